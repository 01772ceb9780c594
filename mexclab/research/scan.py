"""The first pass of an exact search: how near could the windows of a panel be to a query, at most?

It reads every bar once, sixteen symbols at a time, computes in float32 where that is enough, and gives
for each block of 32 neighbouring windows of a symbol an upper bound of their correlation with the query
that holds in spite of every rounding error. `docs/decisions/0005-exact-similarity.md` has the argument.
"""

from __future__ import annotations

import numpy as np

from mexclab.research.activity import ActivityFloor as ActivityFloor
from mexclab.research.activity import active_positions as active_positions
from mexclab.research.activity import activity_at as activity_at
from mexclab.research.compiling import BOUNDED as BOUNDED
from mexclab.research.compiling import compiled as compiled
from mexclab.research.lanes import LANES
from mexclab.research.prepared_kernels import keep, record_size, restore
from mexclab.research.simd import (
    ROWS_AT_ONCE,
    best_product,
    everywhere,
    load,
    mask_of,
    prefetch,
    products,
    store,
    where,
)
from mexclab.research.tile_kernels import BLOCK as BLOCK
from mexclab.research.tile_kernels import CONTRACT, LEVEL_ERROR, bound_terms, prepare
from mexclab.research.tile_kernels import TILE as TILE
from mexclab.research.tile_kernels import room as room

CACHE_LINE = 8  # float64 numbers
NOTHING = -1.0  # the bound of a block in which no window is active
ROUNDED = np.float32(1.0 + 3e-6)  # covers the roundings between a product and a bound
STEADY = np.float32(1e3)  # up to this scale the spread behind it is surely there


@compiled()
def _fetch(ahead, row):  # type: ignore[no-untyped-def]
    """Ask for what the next tile needs from memory, a share of it for each ROWS_AT_ONCE rows.

    ``ahead``: (cells of the panel, the first to fetch, cells that are kept, the first to fetch, how many);
    nothing is fetched from where the first is negative.
    """
    flat, bars, cells, record, size = ahead
    if bars >= 0:
        for line in range(row * LANES, (row + ROWS_AT_ONCE) * LANES, CACHE_LINE):
            prefetch(flat, bars + line)
    if record >= 0:
        share = ROWS_AT_ONCE * size // TILE
        first = row * size // TILE
        for line in range(first, first + share + 4 * CACHE_LINE, 4 * CACHE_LINE):
            prefetch(cells, record + line)


@compiled(fastmath=CONTRACT)
def _bound_one(question, count, room, bounds, at):  # type: ignore[no-untyped-def]
    """The bounds of a tile's blocks for a query of one channel.

    ``question``: (query, (scales, the first of them, terms) as of ``best_product``, what to fetch). While
    the processor is busy with products, the next tile is fetched from memory.
    """
    query, (scales, start, terms), ahead = question
    levels = room.levels[0]
    none, void = everywhere(np.float32(0.0)), everywhere(np.float32(NOTHING))
    for first in range(0, count, BLOCK):
        best = void
        for row in range(first, first + BLOCK, ROWS_AT_ONCE):
            _fetch(ahead, row)
            bound = best_product(levels, row * LANES, query, scales, start + row * LANES, terms)
            best = where(bound > best, bound, best)
        bound = where(best > none, best * everywhere(ROUNDED), void)
        store(bounds, (at + first // BLOCK) * LANES, bound)


@compiled(fastmath=CONTRACT)
def _score(query, first, room, channel, weight):  # type: ignore[no-untyped-def]
    """Add to the scores of a block the weighted bound of one channel's correlation."""
    levels, scales, sums = room.levels[channel], room.scales[channel], room.sums
    none, one, steady = everywhere(np.float32(0.0)), everywhere(np.float32(1.0)), everywhere(STEADY)
    share, rounding = everywhere(np.float32(weight)), everywhere(np.float32(ROUNDED - 1.0))
    nearly, slope = everywhere(np.float32(1.0 - 1e-5)), everywhere(np.float32(4.0 * LEVEL_ERROR))
    factor, error, least = bound_terms(room, channel, len(query))
    for row in range(0, BLOCK, ROWS_AT_ONCE):
        products(levels, (first + row) * LANES, query, sums, row * LANES)
    for row in range(BLOCK):
        product = load(sums, row * LANES) * factor + error
        scale = load(scales, (first + row) * LANES)
        r = where(product > least, product, least) * scale
        # Only a spread that is surely there may count against the window, and no more than its upper end.
        r = where((product < none) & (scale < steady), product * scale * (nearly - slope * scale), r)
        r = where(r > one, one, r) + rounding
        at = (BLOCK + row) * LANES
        store(sums, at, load(sums, at) + r * share)


@compiled(fastmath=CONTRACT)
def _bound_many(question, count, room, bounds, at):  # type: ignore[no-untyped-def]
    """The bounds of a tile's blocks for a query of several channels; ``question``: (query, weights)."""
    query, weights = question
    void, none = everywhere(np.float32(NOTHING)), everywhere(np.float32(0.0))
    for first in range(0, count, BLOCK):
        last = min(first + BLOCK, count)
        for row in range(BLOCK, 2 * BLOCK):
            store(room.sums, row * LANES, none)
        for channel in range(len(weights)):
            if weights[channel] > 0.0:
                _score(query[channel], first, room, channel, weights[channel])
        best = void
        for row in range(first, last):
            score = load(room.sums, (BLOCK + row - first) * LANES)
            score = where(score > none, score, none)
            best = where((score > best) & mask_of(room.active[row]), score, best)
        store(bounds, (at + first // BLOCK) * LANES, best)


@compiled()
def scan(flats, tiles, question, room, found):  # type: ignore[no-untyped-def]
    """Bounds for each query, block and lane.

    Args:
        flats: the channels' cells, tuple of (cells,) float64; the first of them are log closes.
        tiles: ((tiles, 4) int64: first cell, rows of windows (at most TILE), first block, lanes as bits;
            (tiles, queries) bool: whether a query looks at a tile; (numbers (tiles,) int64, ready (tiles,)
            bool, ``Kept``): a tile that is ready is read from there, else it is written there unless its
            number is negative).
        question: (queries (n, channels, length) float32 with zero mean and unit norm, weights
            (channels,) that sum to 1, ``ActivityFloor.rule``).
        room: this thread's.
        found: (bounds (n, blocks * LANES) float32, filled: at least the greatest weighted correlation
            of the block's windows or 0, NOTHING where none is active or the query does not look;
            tally (tiles, 3, LANES) int32, filled: windows that are ACTIVE, FLAT, ONE_JUMP).
    """
    table, looked, (numbers, ready, kept) = tiles
    queries, weights, rule = question
    bounds, tally = found
    length = queries.shape[2]
    size = record_size(length)
    for tile in range(len(table)):
        count, block, number = table[tile, 1], table[tile, 2], numbers[tile]
        if ready[tile]:
            terms = restore(room, tally[tile], length, kept, number)
        else:
            prepare(flats, table[tile], (length, rule), room, tally[tile])
            terms = bound_terms(room, 0, length)
            if number >= 0:
                keep(room, tally[tile], length, kept, number)
        following = min(tile + 1, len(table) - 1)
        # of its bars those that this tile shares with it are in use already
        bars = -1 if ready[following] else table[following, 0] + (length - 1) * LANES
        record = numbers[following] * size if ready[following] else -1
        for i in range(len(queries)):
            if not looked[tile, i]:
                bounds[i, block * LANES : (block + -(-count // BLOCK)) * LANES] = NOTHING
            elif len(weights) == 1:
                ahead = (flats[0], bars, kept.cells, record, size)
                if ready[tile]:
                    scaled = (kept.cells, number * size, terms)
                    _bound_one((queries[i, 0], scaled, ahead), count, room, bounds[i], block)
                else:
                    plain = (room.scales[0], 0, terms)
                    _bound_one((queries[i, 0], plain, ahead), count, room, bounds[i], block)
                bars, record = -1, -1
            else:
                _bound_many((queries[i], weights), count, room, bounds[i], block)
