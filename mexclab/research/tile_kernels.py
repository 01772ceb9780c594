"""What the first pass of a search makes of one tile before it looks at a query.

A tile is some rows of windows of one group, sixteen lanes wide. Everything here is independent of the
query, so that queries that are asked together share it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mexclab.research.activity import ACTIVE, FLAT, HEADROOM, ONE_JUMP, activity_at
from mexclab.research.compiling import compiled
from mexclab.research.lanes import LANES, blank
from mexclab.research.simd import (
    bits,
    everywhere,
    inverse_root,
    load,
    mask_of,
    missing,
    narrow,
    root,
    store,
    where,
    widen,
)

TILE, BLOCK = 512, 32  # rows of windows in a tile, which stays in the inner caches, and in a block
CONTRACT = {"contract"}  # multiply and add may fuse; nothing is reassociated, no NaN is ruled out

# Spreads are relative to the square of the tile's norm. Below FLOOR one cannot be told from zero; then
# the least of a bound's terms times FLOOR ** -0.5 is at least 1, which bounds any correlation.
FLOOR = 4e-14
LEVEL_ERROR = np.float32(1.3e-7)  # twice the rounding of a level to float32
INACTIVE = np.float32(-1.0)  # the scale of a window that does not count
GAP = np.float32(4096.0)  # more than any window has bars, and few enough that sums in float32 are exact


class Room(NamedTuple):
    """What one thread needs to work on one tile; rows of LANES numbers unless said otherwise.

    Attributes:
        levels: (channels, rows) float32: log prices (or a channel) less a base per lane; 0 where a bar
            is missing.
        scales: (channels, rows) float32: per window, at least the tile's norm over the root of its
            squared deviations; INACTIVE for those that do not count.
        squares: squared steps of the log close, float64.
        moves: float32: 1 where the close moved, 0 where not, -GAP where a bar is missing.
        gone: (rows,) a bit per lane: a bar is missing.
        still: (channels, rows) a bit per lane: the channel does not vary in the window that starts here.
        active, suspects: (rows,) a bit per lane: the window is active, it may be one jump.
        norms: (channels + 2, LANES) float64: the root of each channel's squared levels, the sum of
            squared steps, the base in use.
        sums: (rows,) float32 dot products of a block, then its scores.
        tallies: (2, LANES) float32: how many windows of the tile are whole, and how many of them move.
        tops: squared steps, the largest from here to the end of a block of steps, float64.
        column: the bars of one window.
    """

    levels: np.ndarray
    scales: np.ndarray
    squares: np.ndarray
    moves: np.ndarray
    gone: np.ndarray
    still: np.ndarray
    active: np.ndarray
    suspects: np.ndarray
    norms: np.ndarray
    sums: np.ndarray
    tallies: np.ndarray
    tops: np.ndarray
    column: np.ndarray


def room(length: int, channels: int) -> Room:
    """A thread's own room for windows of ``length`` bars."""
    rows = TILE + length + BLOCK

    def lanes32(*shape: int) -> np.ndarray:
        flat = blank(int(np.prod(shape)) * LANES // 2).view(np.float32)
        flat.fill(0.0)
        return flat.reshape(*shape[:-1], shape[-1] * LANES)

    return Room(
        lanes32(channels, rows),
        lanes32(channels, rows),
        blank(rows * LANES),
        lanes32(rows),
        *(np.zeros(shape, dtype=np.uint16) for shape in (rows, (channels, rows), rows, rows)),
        np.zeros((channels + 2, LANES)),
        lanes32(2 * BLOCK),
        np.zeros((2, LANES), dtype=np.float32),
        blank(rows * LANES),
        np.zeros(rows),
    )


@compiled()
def _choose_base(flat, cell, rows, owned, base):  # type: ignore[no-untyped-def]
    """A level of each lane near the middle of the tile, so that float32 keeps the digits that matter."""
    for lane in range(LANES):
        base[lane] = 0.0
        if not owned >> lane & 1:
            continue
        for i in range(rows):
            row = (rows // 2 + i) % rows
            value = flat[cell + row * LANES + lane]
            if value == value:
                base[lane] = value
                break


@compiled(fastmath=CONTRACT)
def _lay_closes(flat, cell, rows, room):  # type: ignore[no-untyped-def]
    """Fill ``levels``, ``squares``, ``moves`` and ``gone``; row i has the step from bar i - 1 to bar i."""
    levels = room.levels[0]
    base, zero = load(room.norms[-1], 0), everywhere(0.0)
    still, moving, hole = everywhere(np.float32(0.0)), everywhere(np.float32(1.0)), everywhere(-GAP)
    total, total_steps = zero, zero
    before = load(flat, cell)
    for row in range(rows):
        here = load(flat, cell + row * LANES)
        lacks = missing(here)
        level = where(lacks, zero, here - base)
        step = here - before
        moved = step != zero
        square = where(moved, step * step, zero)
        store(levels, row * LANES, narrow(level))
        store(room.squares, row * LANES, square)
        store(room.moves, row * LANES, where(lacks, hole, where(moved, moving, still)))
        room.gone[row] = bits(lacks)
        total = total + level * level
        total_steps = total_steps + square
        before = here
    store(room.norms[0], 0, root(total))
    store(room.norms[-2], 0, total_steps)


@compiled(fastmath=CONTRACT)
def _lay_channel(flat, cell, rows, room, which):  # type: ignore[no-untyped-def]
    """Fill a further channel's ``levels`` and ``still``; where it lacks a bar, the window is broken.

    ``which``: (channel, bars in a window).
    """
    channel, length = which
    levels, still = room.levels[channel], room.still[channel]
    base, zero, hole = load(room.norms[-1], 0), everywhere(0.0), everywhere(-GAP)
    none, one, enough = everywhere(np.float32(0.0)), everywhere(np.float32(1.0)), length - 1.5
    total = zero
    equal = none
    before = load(flat, cell)
    for row in range(rows):
        here = load(flat, cell + row * LANES)
        lacks = missing(here)
        level = where(lacks, zero, here - base)
        store(levels, row * LANES, narrow(level))
        store(room.moves, row * LANES, where(lacks, hole, load(room.moves, row * LANES)))
        room.gone[row] |= bits(lacks)
        equal = where(here == before, equal + one, none) if row else none
        if row >= length - 1:
            still[row - length + 1] = bits(equal > everywhere(np.float32(enough)))
        total = total + level * level
        before = here
    store(room.norms[channel], 0, root(total))


@compiled(fastmath=CONTRACT)
def _find_active(room, count, length, rule, owned):  # type: ignore[no-untyped-def]
    """Fill ``active`` and ``suspects``, whose windows may be one jump; returns the lanes that have some.

    The largest of some numbers that sum to S is at most the root of their squares' sum Q. So no step
    exceeds the share ``limit`` where Q <= (limit * S)**2, and hardly any other window gets through.
    """
    need, limit = rule
    squares, moves = room.squares, room.moves
    one, none = everywhere(np.float32(1.0)), everywhere(np.float32(0.0))
    enough, unbroken = everywhere(np.float32(need - 0.5)), everywhere(np.float32(-0.5))
    zero = everywhere(0.0)
    slack = load(room.norms[-2], 0) * everywhere(rolling_error(count, length))
    slack_fourth = slack * load(room.norms[-2], 0)
    share = everywhere(np.inf if limit >= HEADROOM else limit * limit * (1.0 - 1e-9))
    moved, whole, lively = none, none, none
    total, fourth = zero, zero
    for row in range(1, length - 1):  # row 0 tells of the step to the first bar, which is in no window
        moved = moved + load(moves, row * LANES)
        square = load(squares, row * LANES)
        total = total + square
        fourth = fourth + square * square
    suspicious = np.uint16(0)
    for row in range(count):
        new, old = (row + length - 1) * LANES, (row + 1) * LANES
        moved = moved + load(moves, new)
        square = load(squares, new)
        total = total + square
        fourth = fourth + square * square
        there = mask_of(np.uint16(owned & ~room.gone[row]))
        active = (moved > enough) & there
        surely = where(total > slack, total - slack, zero)
        doubtful = (fourth + slack_fourth > share * (surely * surely)) & active
        whole = where((moved > unbroken) & there, whole + one, whole)
        lively = where(active, lively + one, lively)
        room.active[row] = bits(active)
        room.suspects[row] = bits(doubtful)
        suspicious |= bits(doubtful)
        moved = moved - load(moves, old)
        square = load(squares, old)
        total = total - square
        fourth = fourth - square * square
    store(room.tallies[0], 0, whole)
    store(room.tallies[1], 0, lively)
    return suspicious


@compiled()
def rolling_error(count, length):  # type: ignore[no-untyped-def]
    """How far a rolling float64 sum of squares over a tile may be off, as a share of the tile's sum.

    It is the outcome of at most ``2 * (count + length)`` additions, each off by half a unit in the last
    place (1.1e-16) of something no larger than the tile's sum; twice that also covers the square of the
    rolling sum of the levels themselves.
    """
    return 1e-15 * (count + length)


@compiled(fastmath=CONTRACT)
def _strike_jumps(flat, cell, count, room, question):  # type: ignore[no-untyped-def]
    """Decide the suspects: the largest squared step of each window beside the rolling sum of them.

    The largest of any run of ``steps`` is the larger of a maximum to the end of a block of so many steps
    and one from the beginning of the next (van Herk, 1992). Where the rounding of the sum could decide
    wrongly, the plain definition does.
    """
    length, rule, tally = question
    limit, steps, rows = rule[1], length - 1, count + length - 1
    zero, one, share = everywhere(0.0), everywhere(np.float32(1.0)), everywhere(limit)
    slack = load(room.norms[-2], 0) * everywhere(rolling_error(count, length))
    top = zero
    for row in range(rows - 1, 0, -1):
        square = load(room.squares, row * LANES)
        top = where((square > top) | mask_of(_all_lanes(row % steps == 0)), square, top)
        store(room.tops, row * LANES, top)
    total, jumps = zero, everywhere(np.float32(0.0))
    for end in range(1, rows):
        square = load(room.squares, end * LANES)
        total = total + square
        top = where((square > top) | mask_of(_all_lanes((end - 1) % steps == 0)), square, top)
        first = end - steps
        if first < 0:
            continue
        before = load(room.tops, (first + 1) * LANES)
        excess = where(before > top, before, top) - total * share
        suspects = mask_of(room.suspects[first])
        surely = (excess > slack) & suspects
        jumps = where(surely, jumps + one, jumps)
        room.active[first] &= ~bits(surely)
        doubtful = bits((excess > zero - slack) & suspects) & ~bits(surely)
        if doubtful:
            _decide_plainly(flat, cell + first * LANES, room, first, (length, rule, doubtful, tally))
        total = total - load(room.squares, (first + 1) * LANES)
    store(room.tallies[0], 0, jumps)
    for lane in range(LANES):
        struck = np.int32(room.tallies[0, lane])
        tally[ONE_JUMP, lane] += struck
        tally[ACTIVE, lane] -= struck


@compiled()
def _all_lanes(truth):  # type: ignore[no-untyped-def]
    return np.uint16(0xFFFF) if truth else np.uint16(0)


@compiled()
def _decide_plainly(flat, cell, room, row, question):  # type: ignore[no-untyped-def]
    """Strike those windows of a row, of the lanes in ``doubtful``, that are one jump by the definition."""
    length, rule, doubtful, tally = question
    for lane in range(LANES):
        if not doubtful >> lane & 1:
            continue
        for i in range(length):
            room.column[i] = flat[cell + i * LANES + lane]
        if activity_at(room.column, 0, length, rule[0], rule[1]) == ONE_JUMP:
            room.active[row] &= ~np.uint16(1 << lane)
            tally[ONE_JUMP, lane] += 1
            tally[ACTIVE, lane] -= 1


@compiled(fastmath=CONTRACT)
def _find_scales(room, channel, count, length):  # type: ignore[no-untyped-def]
    """Fill the channel's ``scales`` by rolling sums in float64, which begin anew in each tile."""
    levels, scales, still = room.levels[channel], room.scales[channel], room.still[channel]
    none = everywhere(np.float32(0.0))  # the scale of a channel that stands still, so that its r is 0
    norm = load(room.norms[channel], 0)
    one, zero, share = everywhere(1.0), everywhere(0.0), everywhere(1.0 / length)
    factor = one / where(norm > zero, norm * norm, one)
    doubt, least = everywhere(rolling_error(count, length)), everywhere(np.float32(FLOOR))
    unit, void, rounding = everywhere(np.float32(1.0)), everywhere(INACTIVE), everywhere(LEVEL_ERROR)
    total, squares = zero, zero
    for row in range(length - 1):
        level = widen(load(levels, row * LANES))
        total = total + level
        squares = squares + level * level
    for row in range(count):
        level = widen(load(levels, (row + length - 1) * LANES))
        total = total + level
        squares = squares + level * level
        spread = narrow((squares - total * total * share) * factor - doubt)
        scale = inverse_root(where(spread > least, spread, least))
        # the rounding of the levels may have grown the root of the spread by half of LEVEL_ERROR
        scale = scale * (unit + rounding * scale)
        scale = where(mask_of(still[row]), none, scale)
        store(scales, row * LANES, where(mask_of(room.active[row]), scale, void))
        level = widen(load(levels, row * LANES))
        total = total - level
        squares = squares - level * level
    for row in range(count, count + BLOCK):
        store(scales, row * LANES, void)


@compiled()
def product_error(length):  # type: ignore[no-untyped-def]
    """How far a float32 product over the tile's norm may be off.

    A rounding (6e-8) for each of the taps, one for each factor, and some for what follows.
    """
    return np.float32((length + 8) * 6e-8)


@compiled(fastmath=CONTRACT)
def bound_terms(room, channel, length):  # type: ignore[no-untyped-def]
    """The vectors (factor, error, least) that make a product an upper bound.

    It is ``max(product * factor + error, least) * scale``, for a query of unit norm.
    """
    norm, one = load(room.norms[channel], 0), everywhere(1.0)
    factor = narrow(one / where(norm > everywhere(0.0), norm, one))
    error = product_error(length)
    return factor, everywhere(error), everywhere(np.float32(0.2 * error))


@compiled()
def prepare(flats, tile, question, room, tally):  # type: ignore[no-untyped-def]
    """Fill ``room`` for one tile.

    Args:
        flats: the channels' cells, tuple of (cells,) float64; the first of them are log closes.
        tile: (4,) int64: first cell, rows of windows, first block, lanes in use as bits.
        question: (bars in a window, ``ActivityFloor.rule``).
        tally: (3, LANES) int32, filled: windows that are ACTIVE, FLAT, ONE_JUMP.
    """
    length, rule = question
    cell, count, owned = tile[0], tile[1], tile[3]
    rows = count + length - 1
    for channel in range(len(flats)):
        _choose_base(flats[channel], cell, rows, owned, room.norms[-1])
        if channel == 0:
            _lay_closes(flats[0], cell, rows, room)
        else:
            _lay_channel(flats[channel], cell, rows, room, (channel, length))
    suspicious = _find_active(room, count, length, rule, owned)
    for lane in range(LANES):
        tally[ACTIVE, lane] = np.int32(room.tallies[1, lane])
        tally[FLAT, lane] = np.int32(room.tallies[0, lane] - room.tallies[1, lane])
        tally[ONE_JUMP, lane] = 0
    if suspicious:
        _strike_jumps(flats[0], cell, count, room, (length, rule, tally))
    for channel in range(len(flats)):
        _find_scales(room, channel, count, length)
