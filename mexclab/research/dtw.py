"""Dynamic time warping: the nearest windows once more, where one may run a little ahead of the other.

The Euclidean distance compares bar with bar, so a shape that comes two bars late is a stranger to it.
Dynamic time warping (DTW) lets each bar meet any bar within a band around its own place (Sakoe and
Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE ASSP 1978) and
takes the cheapest way through. It is too dear for all of history, so the nearest windows by Euclidean
distance are its pool, and within the pool the answer is exact. Windows whose lower bound (Keogh,
"Exact indexing of dynamic time warping", VLDB 2002) is above what is already taken are never warped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mexclab.errors import ParameterError
from mexclab.research import dtw_kernels as kernels
from mexclab.research.similarity import DEFAULT_OPTIONS, Matches, SimilarityOptions, similar_batch
from mexclab.research.windows import Panel, Query


@dataclass(frozen=True, slots=True)
class Warping:
    """How far time may be bent, and for how many windows.

    Args:
        pool: how many of the nearest windows by Euclidean distance are ranked again.
        band: how far a bar may move, as a share of the window, 0..1; 0 is the Euclidean distance.
    """

    pool: int = 2000
    band: float = 0.1

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise ParameterError(f"pool must be at least 1, not {self.pool}.", pool=self.pool)
        if not 0.0 <= self.band <= 1.0:
            raise ParameterError(
                f"band is a share of the window from 0 to 1, not {self.band}.", band=self.band
            )

    def radius(self, length: int) -> int:
        """How many bars a bar of a window of ``length`` may move: the share, rounded up."""
        return min(length - 1, int(np.ceil(self.band * length - 1e-9)))


DEFAULT_WARPING = Warping()


def dtw_distance(first: np.ndarray, second: np.ndarray, band: float = 0.1) -> float:
    """The DTW distance of two series as they are, to 1e-10: the square root of the cheapest way's cost.

    A cell costs the squared difference. To compare shapes, z-normalise before.

    Args:
        first, second: (m,) finite numbers, m at least 1.
        band: how far a bar may move, as a share of m.

    Raises:
        ParameterError: two lengths, no numbers, numbers that are not finite, or no such band.
    """
    window, query = _pair(first, second)
    taken, best = np.empty(1, dtype=np.int64), np.empty(1)
    one, alone = np.zeros(1, dtype=np.int64), np.zeros(1)
    radius = Warping(band=band).radius(len(query))
    kernels.nearest(window[None, :], query, radius, one, (1, np.inf), one, alone, taken, best)
    return float(best[0])


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    window, query = (np.ascontiguousarray(each, dtype=np.float64) for each in (first, second))
    if window.ndim != 1 or window.shape != query.shape or not len(query):
        raise ParameterError(f"DTW takes two series of one length, not {window.shape} and {query.shape}.")
    if not (np.isfinite(window).all() and np.isfinite(query).all()):
        raise ParameterError("DTW takes finite numbers: drop or fill what is missing.")
    return window, query


def rerank(pool: Matches, k: int = 10, *, band: float = 0.1, per_symbol: int | None = None) -> Matches:
    """The ``k`` of the matches in ``pool`` that are nearest to its query by DTW of z-normalised log closes.

    They keep the rules under which the pool was found. Equal distances go by the order in the pool.

    Returns:
        matches whose ``table`` has the DTW distance as ``distance``, and beside it what the windows were
        before: ``euclidean`` and ``pool_rank`` are their distance and rank in the pool, and
        ``correlation`` stays the one of the pool, bar by bar.

    Raises:
        ParameterError: k or per_symbol is below 1, or no such band.
    """
    if k < 1 or (per_symbol is not None and per_symbol < 1):
        raise ParameterError(f"k and per_symbol are at least 1, not {k} and {per_symbol}.")
    radius = Warping(band=band).radius(pool.query.length)
    taken = _taken(pool, min(k, len(pool)), radius, per_symbol)
    bent = pool.windows[taken[0]]
    table = pool.table[taken[0]].with_columns(
        pl.Series("rank", np.arange(1, len(bent) + 1)),
        pl.Series("distance", taken[1]),
        pl.Series("euclidean", pool.table["distance"].to_numpy()[taken[0]]),
        pl.Series("pool_rank", taken[0] + 1),
    )
    notes = []
    if len(bent) < k:
        rule = f" with at most {per_symbol} per symbol" if per_symbol else ""
        notes.append(f"only {len(bent)} of the {k} asked for: the pool holds no more{rule}")
    notes.append(
        f"re-ranked by DTW of closes within {radius} bars among the {len(pool):,} nearest bar by bar"
    )
    # that history holds fewer than the pool asked for is true of the pool, not of the answer
    notes += [note for note in pool.notes if not note.startswith("only ")]
    return replace(
        pool,
        table=table,
        positions=pool.positions[taken[0]],
        windows=bent,
        options=replace(pool.options, per_symbol=per_symbol),
        notes=tuple(notes),
    )


def _taken(pool: Matches, k: int, radius: int, per_symbol: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(k,) places in the pool, nearest by DTW first, and their distances."""
    if not len(pool):
        return np.empty(0, dtype=np.int64), np.empty(0)
    windows = np.ascontiguousarray(pool.windows, dtype=np.float64)
    query = np.ascontiguousarray(pool.query.normalised)
    owners = np.unique(pool.table["symbol"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    return nearest_windows(windows, query, radius, owners, (k, per_symbol or k))


def nearest_windows(
    windows: np.ndarray, query: np.ndarray, radius: int, owners: np.ndarray, rule: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of ``windows`` nearest to ``query`` by DTW, nearest first, and their distances to 1e-10.

    Args:
        windows, query: (n, m) and (m,) float64, on one scale.
        radius: how many bars a bar may move.
        owners: (n,) int64, whose each window is, numbered from 0.
        rule: (how many at most, how many of one owner at most).
    """
    k, cap = rule
    low, high = np.empty(len(query)), np.empty(len(query))
    kernels.envelope(query, radius, low, high)
    bounds, euclid = np.empty(len(windows)), np.empty(len(windows))
    kernels.bounds(windows, query, low, high, bounds, euclid)
    order = np.argsort(bounds, kind="stable")
    taken, best = np.empty(k, dtype=np.int64), np.empty(k)
    limits = (cap, _ceiling(euclid, owners, k, cap))
    count, _ = kernels.nearest(windows, query, radius, owners, limits, order, bounds, taken, best)
    return taken[:count], best[:count]


def _ceiling(euclid: np.ndarray, owners: np.ndarray, k: int, cap: int) -> float:
    """A squared distance that the k-th answer cannot exceed: no DTW distance exceeds the Euclidean one."""
    order = np.argsort(euclid, kind="stable")
    seen = np.zeros(int(owners.max()) + 1, dtype=np.int64)
    left = k
    for place in order.tolist():
        seen[owners[place]] += 1
        left -= int(seen[owners[place]] <= cap)
        if not left:
            return float(euclid[place])
    return float("inf")


def similar_by_dtw(
    panel: Panel,
    query: Query,
    k: int = 10,
    *,
    horizon: int = 0,
    options: SimilarityOptions = DEFAULT_OPTIONS,
    warping: Warping = DEFAULT_WARPING,
) -> Matches:
    """The ``k`` windows nearest to ``query`` by DTW, among the ``warping.pool`` nearest bar by bar.

    The pool is found by ``similar`` under ``options`` without the cap per symbol, which is held when
    the pool is ranked again. A window outside the pool may be nearer by DTW; a larger pool finds it.

    Raises:
        ParameterError, NotEnoughData: as ``similar`` does.
    """
    asked = [query]
    return similar_batch_by_dtw(panel, asked, k, horizon=horizon, options=options, warping=warping)[0]


def similar_batch_by_dtw(
    panel: Panel,
    queries: Sequence[Query],
    k: int = 10,
    *,
    horizon: int = 0,
    options: SimilarityOptions = DEFAULT_OPTIONS,
    warping: Warping = DEFAULT_WARPING,
) -> list[Matches]:
    """What ``similar_by_dtw`` gives for each of several queries of one length.

    Raises:
        ParameterError, NotEnoughData: as ``similar_batch`` does.
    """
    if k > warping.pool:
        raise ParameterError(f"k = {k} is more than the pool of {warping.pool}: ask for a larger pool.")
    unbound = replace(options, per_symbol=None)
    pools = similar_batch(panel, queries, warping.pool, horizon=horizon, options=unbound)
    return [rerank(pool, k, band=warping.band, per_symbol=options.per_symbol) for pool in pools]


def warped_onto(query: np.ndarray, window: np.ndarray, band: float = 0.1) -> np.ndarray:
    """``window`` bent onto the query's bars, for a picture: the mean of the bars that each of them meets.

    Args:
        query, window: (m,) finite numbers on one scale, z-normalised both.
        band: how far a bar may move, as a share of m.

    Returns:
        (m,) values, one for each bar of the query.

    Raises:
        ParameterError: as ``dtw_distance`` does.
    """
    window, query = _pair(window, query)
    radius = Warping(band=band).radius(len(query))
    rows, columns = np.empty((2, 2 * len(query)), dtype=np.int64)
    costs = np.empty((len(query), 2 * radius + 3))
    steps = kernels.path(window, query, radius, costs, rows, columns)
    met = columns[:steps]
    return np.bincount(met, window[rows[:steps]]) / np.bincount(met)
