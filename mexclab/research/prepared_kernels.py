"""What the first pass keeps of a tile for later queries of the same length, and how it reads it back.

Some four bytes a window: scales and levels as whole numbers of 16 bits, in one stretch of memory per tile,
and for each lane the terms that make a product of such levels an upper bound. What is rounded is rounded to
the safe side, so that bounds stay bounds: `docs/decisions/0005-exact-similarity.md` has the argument.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mexclab.research.compiling import compiled
from mexclab.research.lanes import ALIGNMENT, LANES
from mexclab.research.simd import (
    ROOT_ZERO,
    everywhere,
    inverse_root,
    load,
    load_whole,
    narrow,
    store,
    store_whole,
    where,
    widen,
)
from mexclab.research.tile_kernels import CONTRACT, TILE, bound_terms

FULL = ROOT_ZERO  # the whole number of a lane's largest level, and half of its scales' largest root
LEVEL_OFF = 0.52  # of its unit: how far a level that was kept may be from what it was
GROWN = 1.0 + 1e-5  # covers the errors of two estimated roots, squared


class Kept(NamedTuple):
    """Whole tiles of a panel for windows of one length, in order of their number.

    Attributes:
        cells: (tiles * record_size,) int16: of each tile the roots of the scales of TILE rows of windows,
            then the levels of TILE + length - 1 rows of bars.
        terms: (tiles, 3, LANES) float32: (factor, error, least) as of ``bound_terms``.
        tallies: (tiles, 3, LANES) int32: windows that are ACTIVE, FLAT, ONE_JUMP.
    """

    cells: np.ndarray
    terms: np.ndarray
    tallies: np.ndarray


def room_to_keep(length: int, tiles: int) -> Kept:
    """Room for so many tiles; the system gives the memory when they are written."""
    size = tiles * record_size(length)
    cells = np.empty(size + ALIGNMENT // 2, dtype=np.int16)
    skipped = (-cells.ctypes.data % ALIGNMENT) // 2
    terms, tallies = np.empty((tiles, 3, LANES), np.float32), np.empty((tiles, 3, LANES), np.int32)
    return Kept(cells[skipped : skipped + size], terms, tallies)


def kept_bytes(length: int) -> int:
    """The memory that a tile takes."""
    return 2 * int(record_size(length)) + 2 * 3 * LANES * 4


@compiled()
def record_size(length):  # type: ignore[no-untyped-def]
    """How many numbers of ``Kept.cells`` are one tile's."""
    return (2 * TILE + length - 1) * LANES


@compiled(fastmath=CONTRACT)
def keep(room, tally, length, kept, number):  # type: ignore[no-untyped-def]
    """Write what ``prepare`` made of a whole tile of closes to where ``kept`` has room for it."""
    levels, scales, cells = room.levels[0], room.scales[0], kept.cells
    rows, roots = TILE + length - 1, number * record_size(length)
    numbers = roots + TILE * LANES
    none, one, up = everywhere(np.float32(0.0)), everywhere(np.float32(1.0)), everywhere(np.float32(0.51))
    full = everywhere(FULL)
    top, largest = one, none
    for row in range(TILE):
        scale = load(scales, row * LANES)
        top = where(scale > top, scale, top)
    for row in range(rows):
        level = load(levels, row * LANES)
        level = where(level < none, none - level, level)
        largest = where(level > largest, level, largest)
    # The root of a scale becomes a whole number from 1 to 2 FULL, rounded up; 0 is a window that does not
    # count. Its square is 1e-4 too large at most where a scale is a tenth of the lane's largest.
    finer = (full + full) * inverse_root(top)
    for row in range(TILE):
        scale = load(scales, row * LANES)
        counts = scale > none
        held = where(counts, scale, one)
        whole = where(counts, held * inverse_root(held) * finer + up, none)
        store_whole(cells, roots + row * LANES, whole - full)
    times = where(largest > none, full / where(largest > none, largest, one), none)
    for row in range(rows):
        store_whole(cells, numbers + row * LANES, load(levels, row * LANES) * times)
    factor, error, least = bound_terms(room, 0, length)
    unit = widen(factor) * (widen(largest) / widen(full))
    grown = everywhere(GROWN) / (widen(finer) * widen(finer))
    off = unit * everywhere(LEVEL_OFF * np.sqrt(np.float64(length)))
    store(kept.terms[number, 0], 0, narrow(unit * grown))
    store(kept.terms[number, 1], 0, narrow((widen(error) + off) * grown))
    store(kept.terms[number, 2], 0, narrow(widen(least) * grown))
    kept.tallies[number] = tally


@compiled(fastmath=CONTRACT)
def restore(room, tally, length, kept, number):  # type: ignore[no-untyped-def]
    """Fill the ``levels`` of the closes and ``tally`` from ``kept``; returns the terms for its scales."""
    levels, start = room.levels[0], number * record_size(length) + TILE * LANES
    for row in range(TILE + length - 1):
        store(levels, row * LANES, load_whole(kept.cells, start + row * LANES))
    tally[:] = kept.tallies[number]
    terms = kept.terms[number]
    return load(terms[0], 0), load(terms[1], 0), load(terms[2], 0)
