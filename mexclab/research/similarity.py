"""The windows of history that look most like a query: exact, and point in time by default.

Distance is the Euclidean distance d of z-normalised log prices over m bars, so with Pearson's
correlation r it holds that d = sqrt(2 m (1 - r)). The measure is the one of Rakthanmanon et al.,
"Searching and Mining Trillions of Time Series Subsequences under Dynamic Time Warping" (KDD 2012).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import scan
from mexclab.research.activity import ACTIVE, FLAT, ONE_JUMP, ActivityFloor, check_shape
from mexclab.research.first_pass import Asked, first_pass
from mexclab.research.lanes import LANES
from mexclab.research.nearest import Searched, nearest
from mexclab.research.query import check_count, check_span
from mexclab.research.tiles import Reach, tiles_for
from mexclab.research.windows import Panel, Query, span, utc, windows_within, z_normalised

CLOSE = "close"  # the channel that every panel and query has
BOUNDS_BYTES = 512 * 2**20  # what the bounds of the queries that are scanned together may take


@dataclass(frozen=True, slots=True)
class SimilarityOptions:
    """Which windows may match, and what makes two of them alike.

    Args:
        exclusion: two matches of one symbol start at least so many bars apart; None for half the
            window, 0 for no such rule.
        per_symbol: the most matches from one symbol; None for no cap.
        point_in_time: only windows whose end, plus the horizon, plus ``embargo``, is not after the
            query's start, whatever the symbol. Without it only bars of the query itself are barred.
        embargo: bars kept clear between the last outcome and the query.
        activity: what the closes of query and matches must do to have a shape at all.
        threads: how many threads scan; the answer does not depend on it.
        channels: the weight of each channel, "close", "volume" and "range"; None for closes alone.
            The squared distance is the weighted mean of the channels' squared distances.
    """

    exclusion: int | None = None
    per_symbol: int | None = None
    point_in_time: bool = True
    embargo: int = 0
    activity: ActivityFloor = field(default_factory=ActivityFloor)
    threads: int = 1
    channels: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name, least in (("exclusion", 0), ("per_symbol", 1), ("embargo", 0), ("threads", 1)):
            value = getattr(self, name)
            if value is not None or name in ("embargo", "threads"):
                check_count(name, value, least)
        given = (self.channels or {CLOSE: 1.0}).values()
        if not all(np.isfinite(weight) and weight >= 0.0 for weight in given) or not sum(given) > 0.0:
            raise ParameterError(
                f"The weights of channels are not negative, and one is positive: {self.channels}."
            )

    def apart(self, length: int) -> int:
        """The exclusion zone in bars for windows of ``length`` bars."""
        return length // 2 if self.exclusion is None else self.exclusion

    @property
    def weights(self) -> dict[str, float]:
        """The channels that count, closes first (even with weight 0), and weights that sum to 1."""
        given = {CLOSE: 0.0, **(self.channels or {CLOSE: 1.0})}
        total = sum(given.values())
        return {name: weight / total for name, weight in given.items() if weight > 0.0 or name == CLOSE}


DEFAULT_OPTIONS = SimilarityOptions()


@dataclass(frozen=True, eq=False, slots=True)
class Matches:
    """The nearest windows, best first.

    Attributes:
        query: what was asked about.
        table: rank (from 1), symbol, start, end (Datetime ns, UTC, half-open), distance, correlation.
        positions: (k,) where each match starts in the panel that was searched.
        windows: (k, m) their z-normalised log closes.
        horizon: bars after each match that had to lie before the query.
        options: the rules of the search.
        scanned: how many windows were compared with the query.
        excluded: how many were not, by reason.
        notes: what the reader should know about this answer.
    """

    query: Query
    table: pl.DataFrame
    positions: np.ndarray
    windows: np.ndarray
    horizon: int
    options: SimilarityOptions
    scanned: int
    excluded: Mapping[str, int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        head = f"{len(self)} window{'s' * (len(self) != 1)} most like {self.query!r}"
        rows = [
            f"{row['rank']:>4}  {row['symbol']:<14} {utc(int(row['start_ns']))}  "
            f"r = {row['correlation']:.4f}  d = {row['distance']:.3f}"
            for row in self.table.head(10).with_columns(start_ns=pl.col("start").dt.epoch("ns")).to_dicts()
        ]
        more = [f"      and {len(self) - 10} more in .table"] if len(self) > 10 else []
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.excluded.items() if count)
        tail = f"compared with {self.scanned:,} windows" + (f"; left out: {reasons}" if reasons else "")
        return "\n".join([head, *rows, *more, tail, *(f"note: {note}" for note in self.notes)])


def similar(
    panel: Panel,
    query: Query,
    k: int = 10,
    *,
    horizon: int = 0,
    options: SimilarityOptions = DEFAULT_OPTIONS,
) -> Matches:
    """The ``k`` windows of ``panel`` that are nearest to ``query``, exactly as brute force finds them.

    Greedy, best first: a window is passed over when a better match of its symbol starts within the
    exclusion zone, or its symbol is at its cap. Equal distances (to 1e-10) go by symbol, then time.

    Args:
        horizon: bars after each match's end that must also lie before the query starts: the furthest
            outcome that will be looked at.

    Returns:
        at most ``k`` matches; ``notes`` says so when there are fewer.

    Raises:
        ParameterError: k, horizon or the query's bar length do not fit, a channel is missing, or the
            query is flat or one jump, so that it has no shape to compare.
        NotEnoughData: the panel has no window of this length that may be seen.
    """
    return similar_batch(panel, [query], k, horizon=horizon, options=options)[0]


def similar_batch(
    panel: Panel,
    queries: Sequence[Query],
    k: int = 10,
    *,
    horizon: int = 0,
    options: SimilarityOptions = DEFAULT_OPTIONS,
) -> list[Matches]:
    """What ``similar`` gives for each of several queries of one length, reading the panel once for many.

    Each query keeps its own point in time. Queries are scanned together as far as their bounds (four
    bytes for 32 windows each) fit in BOUNDS_BYTES.

    Raises:
        ParameterError, NotEnoughData: what ``similar`` raises, for the first query that has a fault; or
            the queries differ in length.
    """
    check_count("k", k, 1)
    check_count("horizon", horizon, 0)
    check_reach(panel, horizon, options)
    lengths = sorted({query.length for query in queries})
    if len(lengths) > 1:
        raise ParameterError(f"Queries that are asked together have one length, not {lengths}.")
    search = _Search(panel, k, horizon, options)
    for query in queries:
        _check_query(panel, query, options)
    allowed = [_allowed(panel, query, search.reach(query)) for query in queries]
    found = []
    for some in search.portions(len(queries)):
        found += search.answers(queries[some], allowed[some])
    return found


def latest_end_ns(query: Query, options: SimilarityOptions) -> int | None:
    """When the last bar that may be seen closes; None when the search is not point in time."""
    return query.start_ns - options.embargo * query.interval_ns if options.point_in_time else None


def check_reach(panel: Panel, horizon: int, options: SimilarityOptions) -> None:
    """Raises ParameterError where the rules reach further than time can be told in nanoseconds."""
    check_span("horizon and embargo", index(horizon) + index(options.embargo), panel.interval_ns)
    check_span("exclusion", index(options.exclusion or 0), panel.interval_ns)


def _check_query(panel: Panel, query: Query, options: SimilarityOptions) -> None:
    if query.interval_ns != panel.interval_ns:
        raise ParameterError(
            f"The query has bars of {span(query.interval_ns)}, the panel of {span(panel.interval_ns)}: "
            "resample one of them."
        )
    check_shape(query, options.activity)
    for name in options.weights:
        if name == CLOSE:
            continue
        for owner, kept in (("panel", panel.channels), ("query", query.channels)):
            if name not in kept:
                raise ParameterError(
                    f"The {owner} has no channel {name}: build the panel with channels=({name!r},) and take "
                    "the query from it, or leave the channel out.",
                    channel=name,
                )
        if np.ptp(query.channels[name]) == 0.0:
            raise ParameterError(
                f"The {name} of {query!r} does not vary, so it has no shape to compare: leave it out.",
                channel=name,
            )


@dataclass(frozen=True, slots=True)
class _Allowed:
    """How many windows a query may see, how many it may not, and why not."""

    seen: int
    barred: int
    reason: str


def _allowed(panel: Panel, query: Query, reach: Reach) -> _Allowed:
    everything = windows_within(panel, query.length).total
    if reach.latest_end_ns is not None:
        seen = windows_within(panel, query.length, reach.latest_end_ns).total
        reason = "not wholly known before the query"
    else:
        seen, reason = everything - _overlapping(panel, query, reach), "overlapping the query"
    if not seen:
        raise NotEnoughData(
            f"No window of {query.length} bars may be compared with {query!r}: all {everything:,} are "
            f"{reason}. Use a later or shorter query, or more history.",
            length=query.length,
            windows=everything,
        )
    return _Allowed(seen, everything - seen, reason)


def _overlapping(panel: Panel, query: Query, reach: Reach) -> int:
    """How many windows share a bar with what is barred."""
    if reach.barred is None:
        return 0
    symbol, start_ns, end_ns = reach.barred
    own = panel.segment_symbol == symbol
    opened, bars = panel.segment_time[own], np.diff(panel.segment_start)[own]
    first = (start_ns - opened) // panel.interval_ns - query.length + 1
    last = np.minimum(-((opened - end_ns) // panel.interval_ns), bars - query.length + 1)
    return int(np.maximum(0, last - np.maximum(0, first)).sum())


@dataclass(frozen=True, eq=False, slots=True)
class _Search:
    """A panel, and what is asked of it whatever the query."""

    panel: Panel
    k: int
    horizon: int
    options: SimilarityOptions

    def reach(self, query: Query) -> Reach:
        """The windows that ``query`` may see."""
        if self.options.point_in_time:
            return Reach(query.start_ns - (self.horizon + self.options.embargo) * query.interval_ns)
        if query.symbol not in self.panel.symbols:
            return Reach(None)
        return Reach(None, (self.panel.symbol_position(query.symbol), query.start_ns, query.end_ns))

    def portions(self, queries: int) -> Iterator[slice]:
        """Which of so many queries are scanned together."""
        blocks = sum(group.rows for group in self.panel.groups) // scan.BLOCK + len(self.panel.groups)
        size = max(1, BOUNDS_BYTES // (4 * LANES * blocks))
        return (slice(first, first + size) for first in range(0, queries, size))

    def answers(self, queries: Sequence[Query], allowed: Sequence[_Allowed]) -> list[Matches]:
        """The matches of queries that are scanned together."""
        length = queries[0].length
        reaches = [self.reach(query) for query in queries]
        tiles = tiles_for(self.panel, length, reaches, (scan.TILE, scan.BLOCK))
        shapes = [self._shapes(query) for query in queries]
        rule = self.options.activity.rule(length)
        asked = Asked(self._flats, np.stack(shapes), self._weights, rule)
        bounds, tallies = first_pass(self.panel, tiles, asked, self.options.threads)
        found = []
        for i, query in enumerate(queries):
            question = (shapes[i], asked.weights)
            searched = Searched(asked.flats, tiles.table, bounds[i], question, rule)
            cap = self.options.per_symbol or self.k
            answer = nearest(self.panel, searched, self.k, self.options.apart(length), cap)
            tally = tallies.sum(axis=(0, 2), where=tiles.seen[i][:, None, :])
            found.append(self._matches(query, answer, allowed[i], tally))
        return found

    @property
    def _weights(self) -> np.ndarray:
        return np.array(list(self.options.weights.values()))

    @property
    def _flats(self) -> tuple[np.ndarray, ...]:
        others = (self.panel.channels[name] for name in self.options.weights if name != CLOSE)
        return (self.panel.flat, *others)

    def _shapes(self, query: Query) -> np.ndarray:
        """(channels, m) z-normalised, closes first."""
        others = [z_normalised(query.channels[name]) for name in self.options.weights if name != CLOSE]
        return np.stack([query.normalised, *others])

    def _matches(
        self, query: Query, answer: tuple[np.ndarray, np.ndarray], allowed: _Allowed, tally: np.ndarray
    ) -> Matches:
        cells, distances = answer
        excluded = {
            allowed.reason: allowed.barred,
            "flat": int(tally[FLAT]),
            "one jump": int(tally[ONE_JUMP]),
        }
        if len(self.options.weights) > 1:
            excluded["without a channel"] = allowed.seen - int(tally.sum())
        symbols, times = self.panel.bars_at(cells)
        return Matches(
            query,
            matches_table(self.panel, (symbols, times), distances, query.length),
            self.panel.positions(symbols, times),
            z_normalised(self.panel.flat[cells[:, None] + np.arange(query.length) * LANES]),
            self.horizon,
            self.options,
            int(tally[ACTIVE]),
            excluded,
            tuple(_notes(query, self.k - len(cells), self.k, self.options)),
        )


def _notes(query: Query, lacking: int, k: int, options: SimilarityOptions) -> Iterator[str]:
    if lacking:
        yield (
            f"only {k - lacking} of the {k} asked for: the history holds no more active windows "
            f"{options.apart(query.length)} bars apart"
            + (f" with at most {options.per_symbol} per symbol" if options.per_symbol else "")
        )
    if not options.point_in_time:
        yield "not point in time: matches may lie after the query, so they cannot support a forecast"
    if len(options.weights) > 1:
        shares = ", ".join(f"{name} {weight:.0%}" for name, weight in options.weights.items())
        yield f"alike by weight: {shares}; the correlation is the weighted mean of the channels'"


def matches_table(
    panel: Panel, bars: tuple[np.ndarray, np.ndarray], distances: np.ndarray, length: int
) -> pl.DataFrame:
    """The table of :class:`Matches`; ``bars``: ((k,) places in ``panel.symbols``, (k,) start times, ns)."""
    symbols, starts = bars
    moment = pl.Datetime("ns", "UTC")
    return pl.DataFrame(
        {
            "rank": np.arange(1, len(starts) + 1),
            "symbol": pl.Series([panel.symbols[i] for i in symbols], dtype=pl.String),
            "start": pl.Series(starts).cast(moment),
            "end": pl.Series(starts + length * panel.interval_ns).cast(moment),
            "distance": distances,
            "correlation": 1.0 - distances**2 / (2 * length),
        }
    )
