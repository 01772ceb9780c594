"""The windows of history that look most like a query: exact, and point in time by default.

Distance is the Euclidean distance d of z-normalised log prices over m bars, so with Pearson's
correlation r it holds that d = sqrt(2 m (1 - r)). The measure is the one of Rakthanmanon et al.,
"Searching and Mining Trillions of Time Series Subsequences under Dynamic Time Warping" (KDD 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import scan
from mexclab.research.scan import BLOCK, TILE, ActivityFloor
from mexclab.research.windows import (
    Panel,
    Query,
    Windows,
    check_length,
    span,
    utc,
    windows_within,
    z_normalised,
)

FIRST_BLOCKS = 512  # refined in the first round; each further round refines four times as many


@dataclass(frozen=True, slots=True)
class SimilarityOptions:
    """Which windows may match.

    Args:
        exclusion: two matches of one symbol start at least so many bars apart; None for half the
            window, 0 for no such rule.
        per_symbol: the most matches from one symbol; None for no cap.
        point_in_time: only windows whose end, plus the horizon, plus ``embargo``, is not after the
            query's start, whatever the symbol. Without it only bars of the query itself are barred.
        embargo: bars kept clear between the last outcome and the query.
        activity: what query and matches must do to have a shape at all.
        threads: how many threads scan; the answer does not depend on it.
    """

    exclusion: int | None = None
    per_symbol: int | None = None
    point_in_time: bool = True
    embargo: int = 0
    activity: ActivityFloor = field(default_factory=ActivityFloor)
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("exclusion", 0), ("per_symbol", 1), ("embargo", 0), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ParameterError(f"{name} must be at least {least}, not {value}.", name=name, value=value)

    def apart(self, length: int) -> int:
        """The exclusion zone in bars for windows of ``length`` bars."""
        return length // 2 if self.exclusion is None else self.exclusion


DEFAULT_OPTIONS = SimilarityOptions()


@dataclass(frozen=True, eq=False, slots=True)
class Matches:
    """The nearest windows, best first.

    Attributes:
        query: what was asked about.
        table: rank (from 1), symbol, start, end (Datetime ns, UTC, half-open), distance, correlation.
        positions: (k,) where each match starts in the panel that was searched.
        windows: (k, m) their z-normalised log prices.
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
        ParameterError: k, horizon or the query's bar length do not fit, or the query is flat or one
            jump, so that it has no shape to compare.
        NotEnoughData: the panel has no window of this length that may be seen.
    """
    if k < 1 or horizon < 0:
        raise ParameterError(f"k is at least 1 and horizon at least 0, not {k} and {horizon}.")
    check_length(query.length)
    _check_query(panel, query, options)
    windows, excluded = _allowed(panel, query, horizon, options)
    tiles = _tiles(windows)
    rule = options.activity.rule(query.length)
    shape = query.normalised
    bounds, tally = _scan(panel, tiles, shape, rule, options.threads)
    positions, distances = _nearest(panel, _Task(tiles, bounds, shape, rule), k, options)
    excluded = excluded | {"flat": int(tally[scan.FLAT]), "one jump": int(tally[scan.ONE_JUMP])}
    notes = []
    if len(positions) < k:
        notes.append(
            f"only {len(positions)} of the {k} asked for: the history holds no more active windows "
            f"{options.apart(query.length)} bars apart"
            + (f" with at most {options.per_symbol} per symbol" if options.per_symbol else "")
        )
    if not options.point_in_time:
        notes.append("not point in time: matches may lie after the query, so they cannot support a forecast")
    bars = positions[:, None] + np.arange(query.length)
    return Matches(
        query,
        _table(panel, positions, distances, query.length),
        positions,
        z_normalised(panel.log[bars]),
        horizon,
        options,
        int(tally[scan.ACTIVE]),
        excluded,
        tuple(notes),
    )


def latest_end_ns(query: Query, options: SimilarityOptions) -> int | None:
    """When the last bar that may be seen closes; None when the search is not point in time."""
    return query.start_ns - options.embargo * query.interval_ns if options.point_in_time else None


def _check_query(panel: Panel, query: Query, options: SimilarityOptions) -> None:
    if query.interval_ns != panel.interval_ns:
        raise ParameterError(
            f"The query has bars of {span(query.interval_ns)}, the panel of {span(panel.interval_ns)}: "
            "resample one of them."
        )
    state = scan.activity_at(np.log(query.values), 0, query.length, *options.activity.rule(query.length))
    if state != scan.ACTIVE:
        kind = (
            "flat: too few of its bars move" if state == scan.FLAT else "one jump: a single bar is nearly all"
        )
        raise ParameterError(
            f"The query {query!r} is {kind}, so it has no shape to compare. Choose another window, or a "
            "lower ActivityFloor.",
            symbol=query.symbol,
            start_ns=query.start_ns,
        )


def _allowed(
    panel: Panel, query: Query, horizon: int, options: SimilarityOptions
) -> tuple[Windows, dict[str, int]]:
    """The windows that may be seen, and how many may not, by reason."""
    length = query.length
    everything = windows_within(panel, length)
    if options.point_in_time:
        allowed = windows_within(panel, length, _outcome_end(query, horizon, options))
        reason = "not wholly known before the query"
    else:
        allowed, reason = _clear_of(panel, everything, query), "overlapping the query"
    if not allowed.total:
        raise NotEnoughData(
            f"No window of {length} bars may be compared with {query!r}: all {everything.total:,} are "
            f"{reason}. Use a later or shorter query, or more history.",
            length=length,
            windows=everything.total,
        )
    return allowed, {reason: everything.total - allowed.total}


def _outcome_end(query: Query, horizon: int, options: SimilarityOptions) -> int:
    """The latest time at which a match may end, so that its outcome is over before the query starts."""
    return query.start_ns - (horizon + options.embargo) * query.interval_ns


def _clear_of(panel: Panel, windows: Windows, query: Query) -> Windows:
    """``windows`` without those that share a bar with the query."""
    runs: list[tuple[int, int]] = []
    symbols = panel.segment_symbol[panel.segment_of(windows.starts)]
    times = panel.times(windows.starts)
    reach = windows.length * panel.interval_ns
    for start, count, symbol, time in zip(windows.starts, windows.counts, symbols, times, strict=True):
        if panel.symbols[symbol] != query.symbol:
            runs.append((start, count))
            continue
        before = min(count, (query.start_ns - reach - time) // panel.interval_ns + 1)
        after = max(0, -((time - query.end_ns) // panel.interval_ns))
        runs.append((start, before))
        runs.append((start + after, count - after))
    kept = np.array([run for run in runs if run[1] > 0], dtype=np.int64).reshape(-1, 2)
    return Windows(kept[:, 0], kept[:, 1], windows.length)


def _tiles(windows: Windows) -> np.ndarray:
    """(tiles, 3) int64: first start position, number of windows, first block; order of position."""
    pieces = -(-windows.counts // TILE)
    within = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(windows.starts, pieces) + within * TILE
    counts = np.minimum(TILE, np.repeat(windows.counts, pieces) - within * TILE)
    blocks = -(-counts // BLOCK)
    return np.column_stack([starts, counts, np.cumsum(blocks) - blocks])


def _scan(
    panel: Panel, tiles: np.ndarray, shape: np.ndarray, rule: tuple[int, float], threads: int
) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.empty(int(tiles[-1, 2] + -(-tiles[-1, 1] // BLOCK)), dtype=np.float32)
    unit = (shape / np.sqrt(len(shape))).astype(np.float32)
    parts = np.array_split(tiles, min(threads, len(tiles)))
    tallies = np.zeros((len(parts), 3), dtype=np.int64)
    work = [(panel.log, part, unit, rule, bounds, tally) for part, tally in zip(parts, tallies, strict=True)]
    if len(work) == 1:
        scan.scan(*work[0])
    else:
        with ThreadPoolExecutor(len(work)) as pool:
            list(pool.map(lambda job: scan.scan(*job), work))
    return bounds, tallies.sum(axis=0)


@dataclass(frozen=True, eq=False, slots=True)
class _Task:
    """What the second pass needs: ``bounds`` is used up, a block that was refined becomes -1."""

    tiles: np.ndarray
    bounds: np.ndarray
    shape: np.ndarray
    rule: tuple[int, float]


def _nearest(panel: Panel, task: _Task, k: int, options: SimilarityOptions) -> tuple[np.ndarray, np.ndarray]:
    """Positions and distances of the ``k`` nearest windows under the rules of ``options``.

    Blocks are refined in order of their bounds. A window that the greedy choice takes is final once
    nothing in a block that is left could be nearer; when k are final, the rest need not be looked at.
    """
    length = len(task.shape)
    apart_ns = options.apart(length) * panel.interval_ns
    cap = options.per_symbol or k
    positions, distances = np.empty(0, dtype=np.int64), np.empty(0)
    size = FIRST_BLOCKS
    while True:
        more = _refine(panel, task, _best_blocks(task.bounds, size))
        positions, distances = np.append(positions, more[0]), np.append(distances, more[1])
        order = np.lexsort((positions, distances))
        positions, distances = positions[order], distances[order]
        chosen = np.empty(min(k, len(positions)), dtype=np.int64)
        symbols = panel.segment_symbol[panel.segment_of(positions)]
        taken = scan.pick(symbols, panel.times(positions), len(chosen), apart_ns, cap, chosen)
        chosen = chosen[:taken]
        reach = _least_distance(float(task.bounds.max()), length)
        final = int(np.searchsorted(distances[chosen], reach, side="left"))
        if final >= k or reach == np.inf:
            return positions[chosen], distances[chosen]
        if options.per_symbol:
            _close_full(panel, task, symbols[chosen[:final]], cap)
        size *= 4


def _best_blocks(bounds: np.ndarray, size: int) -> np.ndarray:
    """The ``size`` blocks with the highest bounds, of those that have an active window left."""
    if size < len(bounds):
        blocks = np.argpartition(bounds, len(bounds) - size)[len(bounds) - size :]
    else:
        blocks = np.arange(len(bounds))
    return blocks[bounds[blocks] >= 0.0]


def _refine(panel: Panel, task: _Task, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tile = np.searchsorted(task.tiles[:, 2], blocks, side="right") - 1
    skipped = (blocks - task.tiles[tile, 2]) * BLOCK
    firsts = task.tiles[tile, 0] + skipped
    counts = np.minimum(BLOCK, task.tiles[tile, 1] - skipped)
    positions = np.empty(int(counts.sum()), dtype=np.int64)
    distances = np.empty(len(positions))
    found = scan.refine(panel.log, firsts, counts, task.shape, task.rule, positions, distances)
    task.bounds[blocks] = -1.0
    return positions[:found], distances[:found]


def _least_distance(bound: float, length: int) -> float:
    """No window whose r squared is at most ``bound`` is nearer than this; infinite for a bound of -1."""
    if bound < 0.0:
        return np.inf
    r = min(1.0, np.sqrt(bound))
    return max(0.0, np.sqrt(2.0 * length * (1.0 - r)) - 1e-9)


def _close_full(panel: Panel, task: _Task, symbols: np.ndarray, cap: int) -> None:
    """Strike the blocks of the symbols that have all the matches they may have."""
    owners = panel.segment_symbol[panel.segment_of(task.tiles[:, 0])]
    edges = np.append(task.tiles[:, 2], len(task.bounds))
    for symbol, count in zip(*np.unique(symbols, return_counts=True), strict=True):
        if count >= cap:
            first, last = np.searchsorted(owners, [symbol, symbol + 1])
            task.bounds[edges[first] : edges[last]] = -1.0


def _table(panel: Panel, positions: np.ndarray, distances: np.ndarray, length: int) -> pl.DataFrame:
    starts = panel.times(positions)
    symbols = panel.segment_symbol[panel.segment_of(positions)]
    moment = pl.Datetime("ns", "UTC")
    return pl.DataFrame(
        {
            "rank": np.arange(1, len(positions) + 1),
            "symbol": pl.Series([panel.symbols[i] for i in symbols], dtype=pl.String),
            "start": pl.Series(starts).cast(moment),
            "end": pl.Series(starts + length * panel.interval_ns).cast(moment),
            "distance": distances,
            "correlation": 1.0 - distances**2 / (2 * length),
        }
    )
