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
from mexclab.research.simd import (
    ROWS_AT_ONCE,
    best_product,
    everywhere,
    load,
    mask_of,
    narrow,
    prefetch,
    products,
    store,
    where,
)
from mexclab.research.tile_kernels import BLOCK as BLOCK
from mexclab.research.tile_kernels import CONTRACT, LEVEL_ERROR, prepare
from mexclab.research.tile_kernels import TILE as TILE
from mexclab.research.tile_kernels import room as room

CACHE_LINE = 8  # float64 numbers
NOTHING = -1.0  # the bound of a block in which no window is active
ROUNDED = np.float32(1.0 + 3e-6)  # covers the roundings between a product and a bound
STEADY = np.float32(1e3)  # up to this scale the spread behind it is surely there


@compiled()
def product_error(length):  # type: ignore[no-untyped-def]
    """How far a float32 product over the tile's norm may be off.

    A rounding (6e-8) for each of the taps, one for each factor, and some for what follows.
    """
    return np.float32((length + 8) * 6e-8)


@compiled(fastmath=CONTRACT)
def _terms(room, channel, length):  # type: ignore[no-untyped-def]
    """The vectors (factor, error, least) that make a product over the tile's norm an upper bound."""
    norm, one = load(room.norms[channel], 0), everywhere(1.0)
    factor = narrow(one / where(norm > everywhere(0.0), norm, one))
    error = product_error(length)
    return factor, everywhere(error), everywhere(np.float32(0.2 * error))


@compiled(fastmath=CONTRACT)
def _bound_one(question, count, room, bounds, at):  # type: ignore[no-untyped-def]
    """The bounds of a tile's blocks for a query of one channel.

    ``question``: (query, cells, the cell where the next tile begins, or -1). While the processor is busy
    with products, the bars of the next tile are fetched from memory.
    """
    query, flat, ahead = question
    levels, scales = room.levels[0], room.scales[0]
    none, void = everywhere(np.float32(0.0)), everywhere(np.float32(NOTHING))
    terms = _terms(room, 0, len(query))
    for first in range(0, count, BLOCK):
        best = void
        for row in range(first, first + BLOCK, ROWS_AT_ONCE):
            if ahead >= 0:
                for line in range(row * LANES, (row + ROWS_AT_ONCE) * LANES, CACHE_LINE):
                    prefetch(flat, ahead + line)
            bound = best_product(levels, row * LANES, query, scales, terms)
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
    factor, error, least = _terms(room, channel, len(query))
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
            (tiles, queries) bool: whether a query looks at a tile).
        question: (queries (n, channels, length) float32 with zero mean and unit norm, weights
            (channels,) that sum to 1, ``ActivityFloor.rule``).
        room: this thread's.
        found: (bounds (n, blocks * LANES) float32, filled: at least the greatest weighted correlation
            of the block's windows or 0, NOTHING where none is active or the query does not look;
            tally (tiles, 3, LANES) int32, filled: windows that are ACTIVE, FLAT, ONE_JUMP).
    """
    table, looked = tiles
    queries, weights, rule = question
    bounds, tally = found
    for tile in range(len(table)):
        prepare(flats, table[tile], (queries.shape[2], rule), room, tally[tile])
        count, block = table[tile, 1], table[tile, 2]
        following = min(tile + 1, len(table) - 1)
        ahead = table[following, 0] + (queries.shape[2] - 1) * LANES  # the rows before are in use already
        for i in range(len(queries)):
            if not looked[tile, i]:
                bounds[i, block * LANES : (block + -(-count // BLOCK)) * LANES] = NOTHING
            elif len(weights) == 1:
                _bound_one((queries[i, 0], flats[0], ahead), count, room, bounds[i], block)
                ahead = -1
            else:
                _bound_many((queries[i], weights), count, room, bounds[i], block)
