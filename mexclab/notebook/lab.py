"""The notebook's entrance: one object, from bars to post-mortems. It reads and asks; it owns nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Unpack

import polars as pl

from mexclab import __version__
from mexclab.config import Settings, load_settings
from mexclab.domain.clock import MILLISECOND, SECOND, from_utc, written
from mexclab.errors import ParameterError
from mexclab.notebook import tables
from mexclab.notebook.asked import above_zero, bars_of, of_kind, whole
from mexclab.notebook.bars import BarReader, Moment, SymbolLike, moment_ns, name_of
from mexclab.notebook.closes import Closes
from mexclab.notebook.correlation import CorrelationLab
from mexclab.notebook.desk import DeskClient
from mexclab.notebook.display import Table, mode_html, register, said
from mexclab.notebook.explorer import Explorer
from mexclab.notebook.header import Header, commit_rows
from mexclab.notebook.outcomes import SHOWN
from mexclab.notebook.portfolio import Portfolio
from mexclab.notebook.portfolio_reading import given_prices, portfolio
from mexclab.notebook.post_mortem import PostMortem, review
from mexclab.notebook.progress import shown
from mexclab.notebook.quality import QualityLab, look_at
from mexclab.notebook.record import daemon, listings_in, read
from mexclab.notebook.risk import RiskLab
from mexclab.notebook.similarity import ManyOptions, Search, SearchOptions, cut
from mexclab.research.controls import OutcomeOptions
from mexclab.research.outcomes import Costs, Outcomes, outcomes
from mexclab.research.outcomes_many import ManyOutcomes, outcomes_many
from mexclab.research.similarity import Matches
from mexclab.research.walk_forward import WalkForward, WalkForwardOptions, walk_forward
from mexclab.research.windows import Panel, Query
from mexclab.runtime.progress import Progress
from mexclab.sample import sample_lake
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import INTERVAL_MS, interval_ms
from mexclab.store.panel_file import panel_of
from mexclab.vectoring import Vectors
from mexclab.venues.mexc.preflight_report import PreflightReport

SIMULATED = "SIMULATED sample: no market ever made these prices"


class Lab:
    """Bars, similarity, listings, signals, snipes and the desk, from one name.

    Args:
        settings: where the data lies; None reads file and environment.
        source: ``lake``, or ``sample`` for the simulated one. An empty lake falls back to the sample,
            and everything that shows itself says so.

    Raises:
        ConfigError: the settings cannot be used.
        ParameterError: an unknown source.
    """

    def __init__(self, settings: Settings | None = None, source: str = "lake") -> None:
        if source not in ("lake", "sample"):
            raise ParameterError(f"source is 'lake' or 'sample', not {source!r}.", source=source)
        self.settings = settings or load_settings().settings
        self.source = source
        self.bars = BarReader(lambda: self.lake, lambda: f" ({SIMULATED})" if self.simulated else "")
        self.refresh()
        register(more=SHOWN)

    def refresh(self) -> None:
        """Look at the lake anew: bars that came since are seen from now on."""
        own = Lake(self.settings.data / "lake")
        self.simulated = self.source == "sample" or not any(own.symbols(interval) for interval in INTERVAL_MS)
        self.lake = sample_lake(self.settings.data / "sample") if self.simulated else own
        self._panels: dict[tuple[str, tuple[str, ...]], Panel] = {}
        self._closes = Closes(None if self.simulated else own)
        self._range = ""  # read when it is first shown

    # -- prices ----------------------------------------------------------------------------------

    def symbols(self, interval: str = "1m") -> list[str]:
        """Every symbol that has bars, sorted."""
        return self.lake.symbols(interval)

    def coverage(self, interval: str = "1m") -> Table:
        """First and last bar, number of bars and of gaps, for each symbol."""
        frame = self.lake.coverage(interval)
        kind = SIMULATED if self.simulated else str(self.lake.root)
        others = ", ".join(name for name in INTERVAL_MS if self.lake.symbols(name))
        empty = f"it holds bars of {others}, and none of {interval}" if others else "the lake is empty"
        return Table(f"{frame.height} symbols, {interval}: {kind}", frame, empty)

    def quality(
        self,
        symbols: SymbolLike | Iterable[SymbolLike] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        interval: str = "1m",
    ) -> QualityLab:
        """How far bars can be trusted: gaps, minutes without trades, frozen prices, spikes, odd volume.

        Args and errors as in ``lab.bars``; without symbols every one of the lake.

        Raises:
            NotEnoughData: no bar opens in the range; the sentence says where there are some.
        """
        chosen = self.bars(symbols, start, end, interval)
        remark = f" ({SIMULATED})" if self.simulated else ""
        return look_at(chosen, interval_ms(interval) * MILLISECOND, remark)

    def most_active(self, hours: float = 24.0) -> str:
        """The symbol with the highest turnover in quote units over the last hours of the data."""
        above_zero("hours", hours)
        ends = self.lake.coverage()["last"].dt.epoch("ns").to_list()  # told by footers; prices stay unread
        start_ns = max(ends) - int(hours * 3600) * SECOND + 1 if ends else None
        recent = self.bars(start=start_ns).lazy
        turnover = (pl.col("close") * pl.col("volume")).sum().alias("turnover")
        ranked = recent.group_by("symbol").agg(turnover).sort("turnover", "symbol")
        return str(ranked.select("symbol").last().collect().item())

    def panel(
        self, interval: str = "1m", channels: Sequence[str] = (), progress: Progress | None = None
    ) -> Panel:
        """Every symbol's closes, as similarity search takes them; read once, until ``refresh``.

        Args:
            interval: length of a bar.
            channels: what else it holds of each bar: ``volume``, ``range``.
            progress: told how much is read; None: a bar shows it.

        Raises:
            ParameterError: an unknown channel.
        """
        key = (interval, tuple(sorted(channels)))
        if key not in self._panels:
            with shown("reading the lake", "piece") as bar:
                self._panels[key] = panel_of(self.lake, interval, key[1], progress or bar)
        return self._panels[key]

    def window(
        self, symbol: SymbolLike, end: Moment | None = None, length: int = 60, interval: str = "1m"
    ) -> Query:
        """The ``length`` bars of ``symbol`` before ``end``; the latest ones without an end.

        Raises:
            ParameterError: an unknown symbol, or a length outside 10..2000.
            NotEnoughData: those bars are not all there.
        """
        whole("length", length)
        step_ns = self.panel(interval).interval_ns
        end_ns = moment_ns(end)
        whole_ns = None if end_ns is None else end_ns - end_ns % step_ns
        return self.panel(interval).window(name_of(symbol), end_ns=whole_ns, length=length)

    def similar(
        self,
        symbol: SymbolLike | Query,
        end: Moment | None = None,
        length: int = 60,
        k: int = 10,
        horizon: int = 240,
        **options: Unpack[SearchOptions],
    ) -> Matches:
        """The windows of all history before it that look most like this one; exact, point in time.

        Args:
            symbol: whose window to ask about, or a window of its own (``lab.window``).
            end: when the window closes; None: with the data.
            length: of the window, in bars.
            k: how many matches.
            horizon: bars after each match whose outcome must lie before the query too.
            options: see :class:`SearchOptions`: ``per_symbol=2`` is two matches per symbol at most,
                ``rerank="dtw"`` ranks the nearest again by dynamic time warping,
                ``channels={"close": 2, "volume": 1}`` compares volume too.

        Raises:
            ParameterError: an argument that does not fit, or a window without a shape.
            NotEnoughData: there is no history to compare with.
        """
        query = cut([symbol], lambda each: self.window(each, end, length), skip=False)[0]
        search = Search.of(k, horizon, options)
        return search.one(self.panel_of(query, search.channels), query)

    def similar_many(
        self,
        windows: SymbolLike | Query | Iterable[SymbolLike | Query],
        end: Moment | None = None,
        length: int = 60,
        k: int = 10,
        horizon: int = 240,
        **options: Unpack[ManyOptions],
    ) -> list[Matches]:
        """The same for several windows, or the newest window of several symbols, in one pass over the bars.

        Returns:
            an answer for each, in order. ``skip=True`` leaves out windows that have no shape (months
            without trades, say) or no history before them.

        Raises:
            ParameterError, NotEnoughData: as ``similar`` does, for any of them, and nothing is answered;
                with ``skip=True`` only if none can be.
        """
        skip = options.pop("skip", False)
        queries = cut(windows, lambda symbol: self.window(symbol, end, length), skip)
        search = Search.of(k, horizon, options)
        return search.many(lambda query: self.panel_of(query, search.channels), queries, skip)

    def outcomes(
        self,
        matches: Matches,
        horizons: Iterable[int] = (15, 60, 240),
        costs: Costs = Costs(),  # noqa: B008 - frozen
        options: OutcomeOptions = OutcomeOptions(),  # noqa: B008 - frozen
    ) -> Outcomes:
        """What followed the matches, beside what follows such windows anyway, net of costs.

        Raises:
            ParameterError: no horizon, no matches, or those of another panel.
            NotEnoughData: no match with a known outcome.
        """
        panel, spans = self._asked([matches], horizons, costs, options)
        return outcomes(panel, matches, spans, costs, options)

    def outcomes_many(
        self,
        searches: Sequence[Matches],
        horizons: Iterable[int] = (15, 60, 240),
        costs: Costs = Costs(),  # noqa: B008 - frozen
        options: OutcomeOptions = OutcomeOptions(),  # noqa: B008 - frozen
    ) -> ManyOutcomes:
        """The same for every search that was made, judged together: of twenty one looks good by chance.

        Raises:
            ParameterError: no search, searches in bars of several lengths, or of another panel.
        """
        panel, spans = self._asked(searches, horizons, costs, options)
        with shown("outcomes", "search") as progress:
            return outcomes_many(panel, searches, spans, costs, options, progress=progress)

    def _asked(
        self, searches: Sequence[Matches], horizons: Iterable[int], costs: Costs, options: OutcomeOptions
    ) -> tuple[Panel, tuple[int, ...]]:
        """The panel that was searched and the horizons, once everything is of its kind."""
        for matches in searches:
            of_kind("a search", matches, Matches, "what lab.similar found")
        of_kind("costs", costs, Costs, "a Costs")
        of_kind("options", options, OutcomeOptions, "an OutcomeOptions")
        if len({matches.query.interval_ns for matches in searches}) != 1:
            raise ParameterError("Give searches of one interval, one at least.", searches=len(searches))
        return self.panel_of(searches[0].query), bars_of("horizons", horizons)

    def walk_forward(
        self,
        options: WalkForwardOptions = WalkForwardOptions(),  # noqa: B008 - frozen
        interval: str = "1m",
    ) -> WalkForward:
        """Ask over and over with nothing but the past: do matches forecast better than the base rate?

        Raises:
            NotEnoughData: fewer than 20 questions could be answered.
        """
        of_kind("options", options, WalkForwardOptions, "a WalkForwardOptions")
        panel = self.panel(interval)
        with shown("walk forward", "question") as progress:
            return walk_forward(panel, options, progress)

    @property
    def correlation(self) -> CorrelationLab:
        """What moves together: ``lab.correlation(every=5)``, ``lab.correlation.wash()``."""
        remark = f" ({SIMULATED})" if self.simulated else ""
        return CorrelationLab(self.panel, self.bars, remark)

    def panel_of(self, query: Query, channels: Sequence[str] = ()) -> Panel:
        """The panel that has bars as long as this window's.

        Raises:
            ParameterError: the lake keeps no bars of that length.
        """
        lengths = {ms * MILLISECOND: interval for interval, ms in INTERVAL_MS.items()}
        if query.interval_ns not in lengths:
            raise ParameterError(f"The lake keeps no bars as long as those of {query!r}.")
        return self.panel(lengths[query.interval_ns], channels)

    def explorer(self, symbol: str = "", interval: str = "1m") -> Explorer:
        """Draw a window on a chart; see at once where its shape came before, and what followed."""
        return Explorer(self, symbol, interval)

    @property
    def vectors(self) -> Vectors:
        """Windows as vectors, for questions in bulk: ``lab.vectors.build(60)``, ``.search(queries)``."""
        return Vectors(self.lake, self.settings)

    # -- what was recorded -----------------------------------------------------------------------

    def listings(self) -> Table:
        """Every listing that was seen: when, how long before its opening, and what came of it."""
        return tables.listings(read(self.settings))

    def signals(self) -> Table:
        """Every signal with its evidence, and what it came to."""
        return tables.signals(read(self.settings))

    def snipes(self) -> Table:
        """Every snipe and its state."""
        return tables.snipes(read(self.settings))

    def events(self, after: int = 0, snipe: str | None = None) -> Table:
        """The ledger's entries above sequence number ``after``, of one snipe or of all."""
        whole("after", after)
        return tables.events(read(self.settings, after, snipe))

    def post_mortem(self, snipe_id: str | None = None) -> PostMortem:
        """What became of one snipe, or of all of them: phases, slippage, profit.

        Raises:
            ParameterError: no snipe has this id; the sentence lists those there are.
        """
        record = read(self.settings)
        events = [event for _, event in record.events]
        return PostMortem(review(events, listings_in(record), snipe_id, self._closes.first), record.source)

    def portfolio(
        self, at: Moment | None = None, prices: Mapping[SymbolLike, Decimal | str] | None = None
    ) -> Portfolio:
        """What is held, what it earned, for whom, and what bad hours would do to it.

        The running desk is asked; without one the ledger is read, and prices are the lake's last closes.

        Args:
            at: an entry of the ledger by its number, or a moment (UTC); None: now.
            prices: the price of each symbol that is held, to value it by instead.

        Raises:
            ParameterError: the ledger has no such entry, or that is no moment, one to come, or no price.
            DeskError: the running desk says the same.
        """
        return portfolio(self.settings, at, given_prices(prices), self._closes.last)

    # -- the desk --------------------------------------------------------------------------------

    @property
    def desk(self) -> DeskClient:
        """The daemon's client: ``lab.desk.snapshot()``, ``lab.desk.halt("why")``.

        Without a daemon each call raises DaemonUnreachable, which says how to start one; a halt leaves the
        halt file before that.
        """
        return DeskClient.on(self.settings.data)

    @property
    def risk(self) -> RiskLab:
        """The running desk's limits and what is used of them; ``lab.risk.review("BTCUSDT", budget=20)``."""
        return RiskLab(lambda: self.desk)

    def preflight(self, symbol: str | None = None) -> PreflightReport:
        """Whether the venue would take an order of ours now, check by check; the running desk asks it."""
        with self.desk as client:
            return client.preflight(symbol)

    @property
    def mode(self) -> str:
        """``demo``, ``paper`` or ``live`` as the running daemon says; ``offline`` without one."""
        client = daemon(self.settings)
        if client is None:
            return "offline"
        with client:
            return client.snapshot().mode

    # -- itself ----------------------------------------------------------------------------------

    def header(self, **parameters: Any) -> Header:
        """What a result rests on: version, commit, parameters, data range, and when."""
        mode = self.mode
        rows = [("mexclab", __version__), *commit_rows(), ("data", self._data_range())]
        rows += [("desk", mode), ("made", written(from_utc(datetime.now(UTC))))]
        rows += [(name, said(value) if value != "" else "(empty)") for name, value in parameters.items()]
        return Header(tuple(rows), mode)

    def _data_range(self) -> str:
        self._range = self._range or self._read_range()
        return self._range

    def _read_range(self) -> str:
        found = self.lake.coverage()
        kind = SIMULATED if self.simulated else "lake"
        if not found.height:
            return f"{kind}: no 1m bars"
        first, last = found["first"].min(), found["last"].max()
        held = f"{found.height} symbols, {found['rows'].sum():,} bars of 1m"
        return f"{kind}; {held}, {said(first)} to {said(last)} UTC"

    def __repr__(self) -> str:
        return f"Lab: {self._data_range()}; desk: {self.mode}; folder {self.settings.data}"

    def _repr_html_(self) -> str:
        return mode_html(self.mode, f"{self._data_range()}; folder {self.settings.data}")
