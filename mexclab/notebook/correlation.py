"""Correlation as an analyst asks for it: one call, and an object with the tables and the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any, TypedDict, Unpack

import numpy as np
import plotly.graph_objects as go
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.notebook import plots_correlation as plots
from mexclab.notebook.asked import bars_of, known_options, of_kind, truth, whole
from mexclab.notebook.bars import BarReader, Moment, SymbolLike, moment_ns, name_of, names_of
from mexclab.notebook.display import Table, frame_html
from mexclab.research.correlation import Correlation, Returns, aligned_returns, correlate
from mexclab.research.correlation_breaks import breaks
from mexclab.research.correlation_clusters import Clusters, Factors, check_bound, clusters, factors
from mexclab.research.correlation_rolling import rolling_average, rolling_pair
from mexclab.research.correlation_watch import BreakOptions
from mexclab.research.lead_lag import FEWEST_BLOCKS, LeadLag, LeadLagOptions, cross_correlation, lead_lag
from mexclab.research.shrinkage import shrunk
from mexclab.research.wash import SUSPICIOUS, WashOptions, wash_suspicion
from mexclab.research.windows import Panel, span
from mexclab.store.lake_layout import interval_ms

MOST_BARS = 100_000_000  # some 3 GB as a frame
PAIRS, WASHED = 10, 12  # rows shown of a study, of a suspicion


class StudyOptions(TypedDict, total=False):
    """What a study is of, as keywords."""

    start: Moment | None
    end: Moment | None
    interval: str
    every: int
    shrink: bool
    bound: float


@dataclass(frozen=True, eq=False)
class Study:
    """Correlations of one stretch of time, and what follows from them.

    Attributes:
        returns: (T, N) of the symbols, aligned.
        correlation: over all of them.
        clusters: what moves together.
        remark: a word on the data, such as that they are simulated.
    """

    returns: Returns
    correlation: Correlation
    clusters: Clusters
    remark: str = ""

    @cached_property
    def factors(self) -> Factors:
        """How many common movements there are above noise; some seconds for thousands of symbols."""
        return factors(self.correlation)

    @property
    def pairs(self) -> Table:
        """The known pairs, the strongest first."""
        return Table(f"{self.correlation!r}{self.remark}", self.correlation.table, "no pair is known")

    def lead_lag(self, options: LeadLagOptions | None = None) -> LeadLag:
        """Who moves first, with significance over all pairs; None: blocks as long as the history allows."""
        usual = LeadLagOptions()
        block = min(usual.block, max(len(self.returns) // FEWEST_BLOCKS, 2 * usual.lags))
        return lead_lag(self.returns, options or replace(usual, block=block))

    def rolling(self, window: int = 240, every: int = 30) -> pl.DataFrame:
        """The average correlation over each ``window`` returns, moving on by ``every``."""
        return rolling_average(self.returns, window, every)

    def pair(self, first: SymbolLike, second: SymbolLike, window: int = 240) -> pl.DataFrame:
        """The correlation of two symbols over each ``window`` returns."""
        return rolling_pair(self.returns, name_of(first), name_of(second), window)

    def breaks(self, options: BreakOptions = BreakOptions()) -> Table:  # noqa: B008 - frozen
        """Every alarm that a symbol came loose from the others, as it would have been raised."""
        found = breaks(self.returns, options)
        title = f"{found.height} alarms, drop in standard errors of Fisher's z{self.remark}"
        return Table(title, found, "no symbol came loose from the others")

    def figure(self) -> go.Figure:
        """The ordered matrix with its tree."""
        return plots.figure_heat_map(self.correlation, self.clusters)

    def rolling_figure(
        self, window: int = 240, every: int = 30, options: BreakOptions | None = None
    ) -> go.Figure:
        """The average correlation by time; with ``options`` also the alarms."""
        alarms = breaks(self.returns, options) if options is not None else None
        words = f"Average correlation over {span(window * self.returns.interval_ns)}{self.remark}"
        return plots.figure_rolling(self.rolling(window, every), alarms, words)

    def pair_figure(self, first: SymbolLike, second: SymbolLike, window: int = 240) -> go.Figure:
        """The correlation of two symbols by time."""
        names = name_of(first), name_of(second)
        words = f"{names[0]} and {names[1]} over {span(window * self.returns.interval_ns)}"
        return plots.figure_pair(self.pair(*names, window), words)

    def lead_lag_figure(self, found: LeadLag | None = None) -> go.Figure:
        """Who leads whom, and the surest pair by lag; ``found``: what ``lead_lag`` gave before."""
        found = found or self.lead_lag()
        best = found.significant.head(1).to_dicts()
        profile = (
            cross_correlation(self.returns, best[0]["leader"], best[0]["follower"], found.options)
            if best
            else None
        )
        return plots.figure_leads(found, profile)

    def __repr__(self) -> str:
        return "\n".join(f"{part!r}" for part in (self.correlation, self.clusters, self.factors))

    def _repr_html_(self) -> str:
        facts = [repr(self.factors), *self.correlation.notes]
        groups = [escape(line) for line in repr(self.clusters).splitlines()]
        strongest = frame_html(
            self.correlation.table.head(PAIRS).with_columns(pl.col("correlation").round(3))
        )
        notes = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
        head = f"<p><b>{escape(repr(self.correlation))}</b>{escape(self.remark)}</p>"
        return f"{head}{strongest}<ul>{notes}</ul><p>{'<br>'.join(groups)}</p>"


@dataclass(frozen=True, eq=False)
class Wash:
    """Which symbols' volume looks printed rather than traded.

    Attributes:
        table: a row per symbol; see :func:`mexclab.research.wash.wash_suspicion`.
        bars: what it rests on: symbol, close, volume.
        options: where each sign begins.
        remark: a word on the data.
    """

    table: pl.DataFrame
    bars: pl.DataFrame
    options: WashOptions
    remark: str = ""

    @property
    def suspicious(self) -> list[str]:
        """The symbols under suspicion."""
        return self.table.filter(pl.col("suspicion") == SUSPICIOUS)["symbol"].to_list()

    def figure(self) -> go.Figure:
        """How alike volumes are, against whether they follow the price."""
        return plots.figure_wash(self.table, self.options)

    def turnover_figure(self) -> go.Figure:
        """The distribution of turnover of each symbol."""
        return plots.figure_turnover(self.bars, self.table)

    @property
    def verdict(self) -> str:
        """How many, in a sentence."""
        judged = self.table.filter(pl.col("known") > 0).height
        return f"{len(self.suspicious)} of {judged} symbols have volume that looks printed{self.remark}."

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.head(WASHED).drop("evidence", "bars", "known")
        numbers = [name for name, kind in shown.schema.items() if kind == pl.Float64]
        small = pl.col(numbers).abs() < 0.0005  # shown as 0, and not as -0
        rows = frame_html(
            shown.with_columns(pl.when(small).then(0.0).otherwise(pl.col(numbers).round(3)).name.keep())
        )
        first = self.table.row(0, named=True)
        words = f"{first['symbol']}: {first['evidence']}. All rows are in .table, with their evidence."
        return f"<p><b>{escape(self.verdict)}</b></p>{rows}<p>{escape(words)}</p>"


class CorrelationLab:
    """``lab.correlation("2026-06-01")`` and its kin: see :class:`Study`.

    Args:
        panel: gives the closes of an interval.
        bars: reads bars with their volume.
        remark: a word on the data, shown with every result.
    """

    def __init__(self, panel: Callable[[str], Panel], bars: BarReader, remark: str = "") -> None:
        self._panel, self._bars, self._remark = panel, bars, remark

    def __call__(
        self, symbols: SymbolLike | Iterable[SymbolLike] | None = None, **options: Unpack[StudyOptions]
    ) -> Study:
        """Correlations of some symbols, or of all that moved.

        Args:
            symbols: two or more; None: every symbol.
            options: ``start`` and ``end`` (moments, half-open), ``interval`` of the bars ("1m"), ``every``
                (bars that make one return, 1), ``shrink`` (Ledoit and Wolf, False), ``bound`` (the
                correlation at which clusters are cut, 0.3).

        Raises:
            ParameterError: an unknown symbol or option, or a symbol that is named twice.
            NotEnoughData: too few bars in the range, or fewer than two symbols.
        """
        check_bound(options.get("bound", 0.3))  # before minutes of work
        names = names_of(symbols)
        if names is not None and len(names) < 2:
            raise NotEnoughData(f'Correlation needs two symbols or more, such as ["{names[0]}", "ETHUSDT"].')
        returns = self._returns(names, options)
        found = shrunk(returns) if options.get("shrink", False) else correlate(returns)
        grouped = clusters(found, options.get("bound", 0.3))
        return Study(returns, found, grouped, self._remark)

    def horizons(
        self,
        symbols: SymbolLike | Iterable[SymbolLike] | None = None,
        lengths: Iterable[int] = (1, 5, 15, 60),
        **options: Unpack[StudyOptions],
    ) -> pl.DataFrame:
        """The average correlation of all pairs by the length of a return: length, bars, average, low, high.

        T. W. Epps, "Comovements in stock prices in the very short run", Journal of the American Statistical
        Association 74, 1979: over short returns less is shared, because news takes time to arrive. A length
        at which no pair is known has NaN.

        Raises:
            NotEnoughData: no pair is known at any length, or too few bars.
        """
        rows = []
        names = names_of(symbols)
        for every in sorted(set(bars_of("lengths", lengths))):
            returns = self._returns(names, {**options, "every": every})
            found = correlate(returns)
            pairs = found.pairs
            low, high = np.quantile(pairs, [0.25, 0.75]) if len(pairs) else (np.nan, np.nan)
            rows.append((span(returns.interval_ns), every, found.average, float(low), float(high)))
        if np.isnan([row[2] for row in rows]).all():
            raise NotEnoughData("Horizons need two symbols that moved together: no pair of symbols is known.")
        schema = {"length": pl.String, "bars": pl.Int64} | dict.fromkeys(
            ("average", "low", "high"), pl.Float64
        )
        return pl.DataFrame(rows, schema=schema, orient="row")

    def horizons_figure(self, *arguments: Any, **options: Any) -> go.Figure:
        """:meth:`horizons` as a figure."""
        return plots.figure_horizons(self.horizons(*arguments, **options))

    def wash(
        self,
        symbols: SymbolLike | Iterable[SymbolLike] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        interval: str = "1m",
        options: WashOptions = WashOptions(),  # noqa: B008 - frozen
    ) -> Wash:
        """Which symbols' volume looks printed rather than traded, with the evidence.

        Raises:
            DataError: an unknown symbol.
            ParameterError: more bars than memory holds.
        """
        of_kind("options", options, WashOptions, "a WashOptions")
        asked = self._bars(symbols, start, end, interval)
        if len(asked) > MOST_BARS:
            raise ParameterError(
                f"{len(asked):,} bars are more than fit in memory: give a start, or fewer symbols.",
                bars=len(asked),
            )
        bars = asked.lazy.select("symbol", "close", "volume").collect()
        return Wash(wash_suspicion(bars, options), bars, options, self._remark)

    def _returns(self, names: list[str] | None, options: StudyOptions) -> Returns:
        known_options(options, StudyOptions.__annotations__)
        truth("shrink", options.get("shrink", False))
        whole("every", options.get("every", 1))
        twice = [name for place, name in enumerate(names or ()) if name in (names or [])[:place]]
        if twice:
            raise ParameterError(f"{twice[0]} is named twice: name each symbol once.", symbol=twice[0])
        interval = options.get("interval", "1m")
        interval_ms(interval)
        begins, ends = moment_ns(options.get("start")), moment_ns(options.get("end"))
        returns = aligned_returns(self._panel(interval), begins, ends, options.get("every", 1))
        return returns if names is None else returns.only(tuple(names))

    def __repr__(self) -> str:
        return "correlation: call it, lab.correlation(start=..., every=5); or .horizons(), .wash()"
