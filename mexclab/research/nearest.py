"""From bounds to the nearest windows: refine what could be near until the answer cannot change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mexclab.research.lanes import EMPTY, LANES
from mexclab.research.refine import pick, refine
from mexclab.research.scan import BLOCK, NOTHING
from mexclab.research.windows import Panel

PARTS = 64  # into so many the bounds are cut to find where the highest begin
FIRST_BLOCKS = 64  # refined in the first round; each further round refines four times as many


@dataclass(frozen=True, eq=False, slots=True)
class Searched:
    """What the first pass found about one query.

    Attributes:
        flats: the channels' cells, log closes first.
        tiles: (tiles, 4), see :class:`~mexclab.research.tiles.Tiles`.
        bounds: (blocks * LANES,) float32; used up, a block that was refined becomes NOTHING.
        question: (the query's z-normalised channels (channels, m), their weights).
        rule: ``ActivityFloor.rule``.
    """

    flats: tuple[np.ndarray, ...]
    tiles: np.ndarray
    bounds: np.ndarray
    question: tuple[np.ndarray, np.ndarray]
    rule: tuple[int, float]


def nearest(
    panel: Panel, searched: Searched, k: int, apart: int, per_symbol: int
) -> tuple[np.ndarray, np.ndarray]:
    """First cells and distances of the ``k`` nearest windows, best first.

    Blocks are refined in order of their bounds. A window that the greedy choice takes is final once
    nothing in a block that is left could be nearer; when k are final, the rest need not be looked at.

    Args:
        apart: two matches of one symbol start at least so many bars apart.
        per_symbol: the most matches of one symbol.
    """
    length = searched.question[0].shape[1]
    cells, distances = np.empty(0, dtype=np.int64), np.empty(0)
    size = FIRST_BLOCKS
    while True:
        blocks, left = _best_blocks(searched.bounds, size)
        more = _refine(searched, blocks)
        cells, distances = np.append(cells, more[0]), np.append(distances, more[1])
        symbols, times = panel.bars_at(cells)
        order = np.lexsort((times, symbols, distances))
        cells, distances, symbols, times = cells[order], distances[order], symbols[order], times[order]
        chosen = np.empty(min(k, len(cells)), dtype=np.int64)
        chosen = chosen[: pick(symbols, times, (apart * panel.interval_ns, per_symbol), chosen)]
        reach = _least_distance(left, length)
        final = int(np.searchsorted(distances[chosen], reach, side="left"))
        if final >= k or reach == np.inf:
            return cells[chosen], distances[chosen]
        if per_symbol < k:
            _close_full(panel, searched, symbols[chosen[:final]], per_symbol)
        size *= 4


def _best_blocks(bounds: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """At least the ``size`` blocks with the highest bounds, and a bound of all the others."""
    if size >= len(bounds):
        return np.flatnonzero(bounds > NOTHING), NOTHING
    # Of the largest of each PARTS bounds, the ``size``-th is no more than the ``size``-th of all.
    width = len(bounds) // PARTS
    tops = bounds[: width * PARTS].reshape(PARTS, width).max(axis=0) if size < width else bounds
    least = max(float(np.partition(tops, len(tops) - size)[len(tops) - size]), 0.0)
    blocks = np.flatnonzero(bounds >= least)
    return blocks, least if least > 0.0 else NOTHING


def _refine(searched: Searched, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells and distances of the active windows in ``blocks``, which are then used up."""
    deep, lanes = np.divmod(blocks, LANES)
    tile = np.searchsorted(searched.tiles[:, 2], deep, side="right") - 1
    skipped = (deep - searched.tiles[tile, 2]) * BLOCK
    firsts = searched.tiles[tile, 0] + skipped * LANES + lanes
    counts = np.minimum(BLOCK, searched.tiles[tile, 1] - skipped)
    cells = np.empty(int(counts.sum()), dtype=np.int64)
    distances = np.empty(len(cells))
    where = np.column_stack([firsts, counts])
    found = refine(searched.flats, where, searched.question, searched.rule, (cells, distances))
    searched.bounds[blocks] = NOTHING
    return cells[:found], distances[:found]


def _least_distance(bound: float, length: int) -> float:
    """No window whose correlation is at most ``bound`` is nearer than this; infinite below 0."""
    if bound < 0.0:
        return float(np.inf)
    return float(max(0.0, np.sqrt(2.0 * length * (1.0 - min(1.0, bound))) - 1e-9))


def _close_full(panel: Panel, searched: Searched, symbols: np.ndarray, per_symbol: int) -> None:
    """Strike the blocks of the symbols that have all the matches they may have."""
    bounds = searched.bounds.reshape(-1, LANES)
    edges = np.searchsorted(searched.tiles[:, 0], [group.offset for group in panel.groups])
    firsts = np.append(searched.tiles[:, 2], len(bounds))
    ends = np.append(edges[1:], len(searched.tiles))
    taken = np.bincount(symbols, minlength=len(panel.symbols))
    for group, first, last in zip(panel.groups, firsts[edges], firsts[ends], strict=True):
        owners = np.array(group.symbols)
        bounds[first:last, (owners != EMPTY) & (taken[owners] >= per_symbol)] = NOTHING
