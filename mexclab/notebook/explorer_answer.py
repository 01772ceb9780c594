"""What the explorer asks, and what it is told: plain messages and arrays of numbers, small enough to draw.

Times cross in milliseconds since the epoch (UTC), returns as fractions, shapes as float32 in units of
the window's own standard deviation. Everything is read through one lab, so that a notebook and its
explorer share what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import polars as pl

from mexclab.domain.clock import MILLISECOND
from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.controls import OutcomeOptions
from mexclab.research.outcomes import Costs, Outcomes, fan, outcomes
from mexclab.research.similarity import Matches, SimilarityOptions, similar
from mexclab.research.windows import Panel, Query, check_length, span, utc
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import NUMBERS, interval_ms

BARS_A_PAGE = 3000
"""How many bars cross at once; older ones follow when somebody looks at them."""
POINTS = 240
"""How many points of a shape or of a fan cross at most: a screen shows no more."""
MOST_MATCHES, LONGEST_HORIZON = 100, 10_000
MANY_SYMBOLS = 300
OUTCOMES = OutcomeOptions(sample=20_000)
"""A smaller sample of the base rate than a notebook's: an answer while somebody waits."""

Message: TypeAlias = dict[str, Any]
Numbers: TypeAlias = np.ndarray


class Source(Protocol):
    """What the explorer needs of a lab."""

    simulated: bool

    @property
    def lake(self) -> Lake:
        """Where bars come from."""

    def panel(
        self,
        interval: str = "1m",
        channels: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Panel:
        """Every symbol's closes; ``progress`` is told how much is read, and of how much."""

    def most_active(self) -> str:
        """The symbol with the highest turnover."""

    def refresh(self) -> None:
        """Look at the lake anew."""


@dataclass(frozen=True, slots=True)
class Question:
    """A window that was drawn, and how to search for it.

    Args:
        number: of the question; an answer bears the same one.
        symbol, interval: whose bars.
        start_ns: open time of the window's first bar.
        length: bars in it, 10 to 2,000.
        final: False while the hand still moves: then the matches are enough.
        k: matches wanted, 1 to 100.
        horizon: bars after each match that are looked at, 1 to 10,000.
        per_symbol: the most matches of one symbol; None: no cap.
        exclusion: two matches of a symbol start so many bars apart; None: half a window.

    Raises:
        ParameterError: a number out of its range.
    """

    number: int
    symbol: str
    interval: str
    start_ns: int
    length: int
    final: bool = True
    k: int = 20
    horizon: int = 240
    per_symbol: int | None = None
    exclusion: int | None = None

    def __post_init__(self) -> None:
        ranges = (
            ("k", self.k, 1, MOST_MATCHES, "matches"),
            ("horizon", self.horizon, 1, LONGEST_HORIZON, "bars after them"),
        )
        for name, value, least, most, what in ranges:
            if not least <= value <= most:
                raise ParameterError(f"{least:,} to {most:,} {what}, not {value:,}.", name=name, value=value)
        check_length(self.length)

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Question:
        """The question that a view sent.

        Raises:
            ParameterError: a field that is missing, no number, or out of its range.
        """
        try:
            return cls(
                number=int(message["id"]),
                symbol=str(message["symbol"]),
                interval=str(message["interval"]),
                start_ns=int(message["start_ms"]) * MILLISECOND,
                length=int(message["length"]),
                final=bool(message.get("final", True)),
                k=int(message["k"]),
                horizon=int(message["horizon"]),
                per_symbol=_whole(message.get("per_symbol")),
                exclusion=_whole(message.get("exclusion")),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise ParameterError(f"The page asked for something that cannot be read: {wrong}.") from None

    @property
    def step_ns(self) -> int:
        """Length of a bar."""
        return interval_ms(self.interval) * MILLISECOND

    @property
    def options(self) -> SimilarityOptions:
        """The rules of the search: always point in time."""
        return SimilarityOptions(exclusion=self.exclusion, per_symbol=self.per_symbol)

    @property
    def horizons(self) -> tuple[int, ...]:
        """A sixteenth of the horizon, a quarter and all of it: for 240 bars 15, 60 and 240."""
        return tuple(sorted({max(1, self.horizon // part) for part in (16, 4, 1)}))


def _whole(value: object) -> int | None:
    return None if value is None or value == "" else int(str(value))


# -- bars --------------------------------------------------------------------------------------------


def as_numbers(bars: pl.DataFrame) -> Numbers:
    """(n, 6) float64: open time in ms, open, high, low, close, volume."""
    columns = [bars["ts"].dt.epoch("ms").cast(pl.Float64), *(bars[name] for name in NUMBERS)]
    return np.column_stack([column.to_numpy() for column in columns])


def page_of_bars(lake: Lake, symbol: str, interval: str, **where: int) -> Numbers:
    """At most ``BARS_A_PAGE`` bars: the latest, or those ``before_ms``, ``after_ms`` or ``around_ms``.

    With ``around_length`` the page lies around the middle of the window of so many bars that closes at
    ``around_ms``, so that it holds the whole window however long that is.

    Raises:
        DataError: the lake does not know the symbol, or a file of it is damaged.
        ParameterError: an interval that the lake does not keep, or a length out of its range.
    """
    step_ms, about, length = interval_ms(interval), where.get("around_ms"), where.get("around_length")
    if about is not None:
        if length is not None:
            check_length(length)
            about -= step_ms * (length // 2)
        where = {"after_ms": about - step_ms * (BARS_A_PAGE // 2)}
    before, after = where.get("before_ms"), where.get("after_ms")
    span_ns = (
        None if after is None else after * MILLISECOND + 1,
        None if before is None else before * MILLISECOND,
    )
    kept = pl.LazyFrame.tail if after is None else pl.LazyFrame.head
    return as_numbers(_collected(lake, symbol, interval, span_ns, lambda bars: kept(bars, BARS_A_PAGE)))


def _collected(
    lake: Lake,
    symbol: str,
    interval: str,
    span_ns: tuple[int | None, int | None],
    cut: Callable[[pl.LazyFrame], pl.LazyFrame],
) -> pl.DataFrame:
    """What ``cut`` leaves of the bars; a damaged file is named by the typed error of ``lake.bars``."""
    try:
        return cut(lake.scan(symbol, *span_ns, interval)).collect()
    except (OSError, pl.exceptions.PolarsError):
        return cut(lake.bars(symbol, *span_ns, interval).lazy()).collect()


def newer_bars(lake: Lake, symbol: str, interval: str, last_ms: int) -> Numbers:
    """The bars from ``last_ms`` on: that one again, because it may have been corrected."""
    span_ns = (last_ms * MILLISECOND, None)
    return as_numbers(_collected(lake, symbol, interval, span_ns, lambda bars: bars.head(BARS_A_PAGE)))


def end_of_bars(lake: Lake, symbol: str, interval: str) -> int:
    """When the last bar of ``symbol`` closes, ms."""
    last = _collected(lake, symbol, interval, (None, None), lambda bars: bars.tail(1))
    return int(as_numbers(last)[-1, 0]) + interval_ms(interval)


def bars_of_match(lake: Lake, interval: str, match: Mapping[str, Any]) -> Numbers:
    """A match's bars, half a window (30 bars at least) before it and its horizon after it.

    Raises:
        ParameterError: its length is out of range.
        DataError: the lake does not know the symbol.
    """
    step_ns = interval_ms(interval) * MILLISECOND
    start_ns, length = int(match["start_ms"]) * MILLISECOND, int(match["length"])
    check_length(length)
    first_ns = start_ns - max(30, length // 2) * step_ns
    after = min(int(match["horizon"]), LONGEST_HORIZON)
    end_ns = start_ns + (length + after) * step_ns
    return as_numbers(lake.bars(str(match["symbol"]), first_ns, end_ns, interval))


def query_of(lake: Lake, question: Question) -> Query:
    """The window itself, out of the lake: it may be younger than what the panel holds.

    Raises:
        NotEnoughData: those bars are not all there.
        DataError: the lake does not know the symbol.
    """
    end_ns = question.start_ns + question.length * question.step_ns
    bars = lake.bars(question.symbol, question.start_ns, end_ns, question.interval)
    if bars.height != question.length:
        raise NotEnoughData(
            f"{question.symbol} has {bars.height} of the {question.length} bars from "
            f"{utc(question.start_ns)} UTC: a window never straddles a gap. Draw it beside the gap.",
            symbol=question.symbol,
            start_ns=question.start_ns,
        )
    return Query(bars["close"].to_numpy(), question.symbol, question.start_ns, question.step_ns)


# -- answers -----------------------------------------------------------------------------------------


def end_of(panel: Panel) -> int:
    """When the last bar of the panel closes, ns."""
    lasts = panel.times(np.asarray(panel.segment_start[1:]) - 1)
    return int(lasts.max()) + panel.interval_ns


def search(source: Source, question: Question) -> tuple[Panel, Matches]:
    """The matches, in a panel that holds every bar which the question may see.

    Raises:
        ParameterError, NotEnoughData, DataError: as ``similar`` says.
    """
    query = query_of(source.lake, question)
    panel = source.panel(question.interval)
    if end_of(panel) < query.start_ns - question.horizon * question.step_ns:
        source.refresh()  # the lake has grown since: the panel would miss what may be seen
        panel = source.panel(question.interval)
    found = similar(panel, query, question.k, horizon=question.horizon, options=question.options)
    return panel, found


def history_message(panel: Panel, interval: str) -> Message:
    """What is searched."""
    first_ns = int(np.asarray(panel.segment_time).min())
    return {
        "kind": "history",
        "interval": interval,
        "symbols": len(panel.symbols),
        "bars": len(panel),
        "first_ms": first_ns // MILLISECOND,
        "end_ms": end_of(panel) // MILLISECOND,
    }


def matches_message(panel: Panel, matches: Matches, question: Question) -> tuple[Message, Numbers]:
    """The list of matches, and the shapes: the query's first, then theirs with what followed.

    Returns:
        the message, whose ``x`` counts bars from the window's start, and (1 + k, len(x)) float32 of
        z-normalised log prices; NaN where no bar is known.
    """
    length = question.length
    within = _spread(length)
    after = _spread(min(question.horizon, length))
    bars = np.concatenate([within, after + length])
    told = {
        "kind": "matches",
        "id": question.number,
        "final": question.final,
        "x": bars.tolist(),
        "rows": [
            {
                "rank": int(row["rank"]),
                "symbol": row["symbol"],
                "start_ms": int(row["start_ns"]) // MILLISECOND,
                "correlation": round(float(row["correlation"]), 6),
                "distance": round(float(row["distance"]), 4),
            }
            for row in matches.table.with_columns(start_ns=pl.col("start").dt.epoch("ns")).to_dicts()
        ],
        "scanned": matches.scanned,
        "excluded": {reason: int(count) for reason, count in matches.excluded.items() if count},
        "known_until_ms": (question.start_ns - question.horizon * question.step_ns) // MILLISECOND,
        "notes": list(matches.notes),
    }
    shapes = np.full((1 + len(matches), len(bars)), np.nan, dtype=np.float32)
    shapes[0, : len(within)] = matches.query.normalised[within]
    if len(matches):
        shapes[1:] = _shapes(panel, matches, bars)
    return told, shapes


def _shapes(panel: Panel, matches: Matches, bars: Numbers) -> Numbers:
    """(k, len(bars)) log prices in the matches' own units; NaN behind a gap and past the data."""
    length = matches.query.length
    whole = panel.log_at(matches.positions[:, None] + np.arange(length))
    level = whole.mean(axis=1, keepdims=True)
    deviation = np.sqrt(((whole - level) ** 2).mean(axis=1, keepdims=True))
    wanted = matches.positions[:, None] + bars
    there = np.minimum(wanted, len(panel) - 1)
    same = panel.segment_of(there) == panel.segment_of(matches.positions)[:, None]
    values = (panel.log_at(there) - level) / deviation
    return np.where(same & (wanted == there), values, np.nan)


def _spread(length: int) -> Numbers:
    """At most POINTS whole numbers from 0 to ``length - 1``, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(np.int64))


def outcome_message(panel: Panel, question: Question, matches: Matches) -> Message:
    """The verdict, a row per horizon, the fan, and what each match came to.

    Raises:
        NotEnoughData: no match, or none with a known outcome.
    """
    found = outcomes(panel, matches, question.horizons, Costs(), OUTCOMES)
    longest = found.horizons[-1]
    ways = fan(panel, matches, found, 2000)
    ways = ways[_spread(longest + 1).tolist()]
    last = found.returns.filter(pl.col("horizon") == longest)
    return {
        "kind": "outcome",
        "id": question.number,
        "verdict": found.verdict,
        "edge": found.edge,
        "p_value": found.judgement.p_value,
        "significance": found.options.significance,
        "round_trip": found.costs.round_trip,
        "notes": list(found.notes),
        "rows": _horizon_rows(found),
        "fan": {name: [round(value, 7) for value in ways[name].to_list()] for name in ways.columns},
        "horizon": longest,
        "returns": dict(zip(map(str, last["rank"].to_list()), last["simple_return"].to_list(), strict=True)),
    }


def _horizon_rows(found: Outcomes) -> list[Message]:
    table = found.table
    own = table.filter(pl.col("sample") == "matches").to_dicts()
    base = {row["horizon"]: row for row in table.filter(pl.col("sample") == "base rate").to_dicts()}
    names = ("n", "n_eff", "mean", "mean_low", "mean_high", "q50", "share_up", "net_mean", "p_value")
    return [
        {
            "horizon": row["horizon"],
            "span": span(row["horizon"] * found.query.interval_ns),
            **{name: row[name] for name in names},
            "base": {name: base[row["horizon"]][name] for name in ("n", "mean", "q50", "share_up")},
        }
        for row in own
    ]


def first_symbol(source: Source, interval: str) -> str:
    """Whose chart to show when nobody named one: the most traded symbol of the last day.

    Of very many symbols, the one whose latest month takes most room: their bars would take seconds to read.
    """
    symbols = source.lake.symbols(interval)
    if len(symbols) > MANY_SYMBOLS:
        return source.lake.fullest(interval)
    named = source.most_active() if interval == "1m" else symbols[0]
    return named if named in symbols else symbols[0]


def rehearsal(lake: Lake, symbol: str, interval: str) -> Question | None:
    """A question about the latest bars of ``symbol``: asked once, so that the first answer is quick."""
    bars = page_of_bars(lake, symbol, interval)
    length = 60
    if len(bars) < length:
        return None
    at = Question(0, symbol, interval, int(bars[-length, 0]) * MILLISECOND, length)
    return replace(at, k=5)
