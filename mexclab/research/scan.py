"""Compiled kernels that walk over all windows of a panel: which are active, which could be near.

``scan`` is the first of two passes of an exact search. It computes in float32 and gives, for each
block of 32 neighbouring windows, an upper bound of their correlation with the query that holds in
spite of every rounding error. ``refine`` is the second: the plain definition in float64, for the few
windows whose block could hold a match. `docs/decisions/0005-exact-similarity.md` has the argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from mexclab.errors import ParameterError
from mexclab.research.windows import Panel, Windows

ACTIVE, FLAT, ONE_JUMP = 0, 1, 2
TILE, BLOCK = 1024, 32  # windows in a tile, which fits the innermost cache, and in a block

# Moves are compared with this much headroom, so that a share that is exactly at the limit in
# arithmetic (four fifths of a sum, say) does not depend on the order of a float64 sum.
HEADROOM = 1.0 + 1e-9

# No NaN can arise in these kernels (prices are checked, divisors are floored), which lets a maximum
# use SIMD. Sums are never reassociated and denormals never flushed.
BOUNDED = {"contract", "nnan", "nsz"}


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit without the GIL, cached on disk where any cache folder can be written.

    numba caches beside the module or, when that folder is read-only, in the user's cache folder.
    Where neither can be written it refuses to compile at all; then we compile once per process.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, error_model="numpy", **options)(function)

    return wrap


@dataclass(frozen=True, slots=True)
class ActivityFloor:
    """What a window must do to have a shape worth comparing.

    Args:
        min_moves: the least share of its steps that change the price, 0..1; one step at least.
        max_jump_share: the most that its largest squared step may be of the sum of them, 0..1.
            A window beyond it is one jump, and all of those look alike. 1 lifts the rule.
    """

    min_moves: float = 0.2
    max_jump_share: float = 0.8

    def __post_init__(self) -> None:
        for name in ("min_moves", "max_jump_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ParameterError(f"{name} is a share from 0 to 1, not {getattr(self, name)}.")

    def rule(self, length: int) -> tuple[int, float]:
        """(steps that must move, limit of the largest squared step's share) for windows of ``length``."""
        return max(1, int(np.ceil(self.min_moves * (length - 1) - 1e-9))), self.max_jump_share * HEADROOM


@compiled()
def activity_at(log, start, length, need, limit):  # type: ignore[no-untyped-def]
    """ACTIVE, FLAT or ONE_JUMP: one window by the plain definition. ``need, limit``: ActivityFloor.rule."""
    moved = 0
    total = 0.0
    largest = 0.0
    for i in range(start, start + length - 1):
        step = log[i + 1] - log[i]
        square = step * step
        total += square
        moved += step != 0.0
        largest = max(largest, square)
    if moved < need:
        return FLAT
    return ONE_JUMP if largest > limit * total else ACTIVE


@compiled(fastmath=BOUNDED)
def _squared_steps(log, start, steps, squares, sums):  # type: ignore[no-untyped-def]
    """Squared steps, their prefix sums (steps + 1), and how many of them are zero."""
    here, there = log[start:], log[start + 1 :]
    for i in range(steps):
        step = there[i] - here[i]
        squares[i] = step * step
    still = 0
    for i in range(steps):
        still += np.int64(squares[i] == 0.0)
    total = 0.0
    for i in range(steps):
        sums[i] = total
        total += squares[i]
    sums[steps] = total
    return still


@compiled(fastmath=BOUNDED)
def _has_dominant_step(squares, sums, steps, side, limit, slack):  # type: ignore[no-untyped-def]
    """Whether some step may exceed its share of a window that holds ``side`` steps before or after it."""
    found = 0
    middle = max(0, steps - 2 * side)
    own = squares[side:]
    near, past, far = sums[side:], sums[side + 1 :], sums[2 * side + 1 :]
    for i in range(middle):
        before = near[i] - sums[i]
        after = far[i] - past[i]
        quiet = before if before < after else after
        found += np.int64(own[i] * (1.0 - limit) > limit * quiet - slack)
    for i in range(min(side, steps)):  # at an end of the tile only one side can be there
        last = steps - 1 - i
        after = sums[min(steps, i + 1 + side)] - sums[i + 1]
        before = sums[last] - sums[max(0, last - side)]
        found += np.int64(squares[i] * (1.0 - limit) > limit * after - slack)
        found += np.int64(squares[last] * (1.0 - limit) > limit * before - slack)
    return found > 0


@compiled()
def mark_activity(log, start, count, length, rule, scratch, marks):  # type: ignore[no-untyped-def]
    """Fill ``marks[j]`` (uint8) for the ``count`` windows that start at ``start + j``.

    ``scratch`` is (2, count + length) float64. Prefix sums decide; where their rounding could decide
    wrongly, ``activity_at`` does.
    """
    need, limit = rule
    steps = count + length - 2
    squares, sums = scratch[0], scratch[1]
    still = _squared_steps(log, start, steps, squares, sums)
    marks[:count] = ACTIVE
    if still > length - 1 - need:
        moved = 0
        for i in range(length - 2):
            moved += squares[i] != 0.0
        for j in range(count):
            moved += squares[j + length - 2] != 0.0
            if moved < need:
                marks[j] = FLAT
            moved -= squares[j] != 0.0
    if limit >= HEADROOM:
        return
    slack = 4.0 * steps * 2.3e-16 * sums[steps]
    side = (length - 2) // 2  # any window has at least this many steps on one side of each of its steps
    if not _has_dominant_step(squares, sums, steps, side, limit, slack):
        return
    for i in range(steps):
        quiet = sums[steps]
        if i >= side:
            quiet = min(quiet, sums[i] - sums[i - side])
        if i + 1 + side <= steps:
            quiet = min(quiet, sums[i + 1 + side] - sums[i + 1])
        if squares[i] == 0.0 or squares[i] * (1.0 - limit) <= limit * quiet - slack:
            continue  # no window is dominated by this step
        for j in range(max(0, i - length + 2), min(i, count - 1) + 1):
            if marks[j] != ACTIVE:
                continue
            excess = squares[i] - limit * (sums[j + length - 1] - sums[j])
            if abs(excess) <= slack:
                marks[j] = activity_at(log, start + j, length, need, limit)
            elif excess > 0.0:
                marks[j] = ONE_JUMP


@compiled()
def _mark_runs(log, starts, counts, length, rule, marks):  # type: ignore[no-untyped-def]
    piece = 4096  # short, so that prefix sums stay accurate
    scratch = np.empty((2, piece + length))
    done = 0
    for run in range(len(starts)):
        for first in range(0, counts[run], piece):
            size = min(piece, counts[run] - first)
            mark_activity(log, starts[run] + first, size, length, rule, scratch, marks[done : done + size])
            done += size


def active_positions(panel: Panel, windows: Windows, floor: ActivityFloor) -> np.ndarray:
    """(n,) start positions of the windows above the activity floor, ascending."""
    marks = np.empty(windows.total, dtype=np.uint8)
    rule = floor.rule(windows.length)
    _mark_runs(panel.log, windows.starts, windows.counts, windows.length, rule, marks)
    return windows.positions()[marks == ACTIVE]


@compiled(fastmath=BOUNDED)
def _products(levels, query, count, products):  # type: ignore[no-untyped-def]
    """products[j] = sum of query[i] * levels[i + j], float32, four taps a pass over the tile."""
    length = len(query)
    products[:count] = np.float32(0.0)
    tap = 0
    while tap + 4 <= length:
        moved = levels[tap : tap + count + 3]
        q0, q1, q2, q3 = query[tap], query[tap + 1], query[tap + 2], query[tap + 3]
        for j in range(count):
            products[j] = (
                products[j] + q0 * moved[j] + q1 * moved[j + 1] + q2 * moved[j + 2] + q3 * moved[j + 3]
            )
        tap += 4
    while tap < length:
        moved = levels[tap : tap + count]
        for j in range(count):
            products[j] += query[tap] * moved[j]
        tap += 1


@compiled(fastmath=BOUNDED)
def _spreads(log, start, count, length, levels, scratch, spreads):  # type: ignore[no-untyped-def]
    """Lower bounds of the windows' sums of squared deviations; returns the norm of the tile's levels.

    ``levels`` receives the tile's log prices less a base, so that float32 keeps their digits.
    """
    bars = count + length - 1
    base = log[start + bars // 2]
    window = log[start : start + bars]
    sums, squares = scratch[0], scratch[1]
    for i in range(bars):
        levels[i] = np.float32(window[i] - base)
    total = 0.0
    total_squares = 0.0
    for i in range(bars):
        level = window[i] - base
        sums[i] = total
        squares[i] = total_squares
        total += level
        total_squares += level * level
    sums[bars] = total
    squares[bars] = total_squares
    # A prefix sum of n terms is off by at most n roundings of the sum of their sizes: n * norm**2 for
    # the squares, n * sqrt(n) * norm for the sums, and |mean_sum| is at most sqrt(length) * norm.
    doubt = 1.2e-16 * bars * total_squares * (4.0 + 4.0 * np.sqrt(bars / length))
    share = 1.0 / length
    sums_after, squares_after = sums[length:], squares[length:]
    for j in range(count):
        mean_sum = sums_after[j] - sums[j]
        spreads[j] = np.float32((squares_after[j] - squares[j]) - mean_sum * mean_sum * share - doubt)
    return np.sqrt(total_squares)


@compiled(fastmath=BOUNDED)
def _bounds(products, spreads, marks, count, error):  # type: ignore[no-untyped-def]
    """Turn ``products`` into upper bounds of r squared where r > 0; 0 else; -1 where inactive."""
    zero, least, grown = np.float32(0.0), np.float32(1e-30), np.float32(1.0 + 2e-6)
    for j in range(count):
        spread = spreads[j] if spreads[j] > least else least
        product = products[j] + error
        product = product if product > zero else zero
        products[j] = grown * product * product / spread
    for j in range(count):
        products[j] = products[j] if marks[j] == ACTIVE else np.float32(-1.0)


@compiled(fastmath=BOUNDED)
def scan(log, tiles, query, rule, bounds, tally):  # type: ignore[no-untyped-def]
    """An upper bound of r squared for each block of each tile.

    Args:
        log: (bars,) log prices, float64.
        tiles: (tiles, 3) int64: first start position, how many windows (at most TILE), first block.
        query: (length,) float32, zero mean, unit norm.
        rule: ``ActivityFloor.rule``.
        bounds: (blocks,) float32, filled: 0 where no window of the block correlates positively, -1
            where none is active.
        tally: (3,) int64, increased by the number of windows that are ACTIVE, FLAT, ONE_JUMP.
    """
    length = len(query)
    levels = np.empty(TILE + length, dtype=np.float32)
    products = np.empty(TILE, dtype=np.float32)
    spreads = np.empty(TILE, dtype=np.float32)
    marks = np.empty(TILE, dtype=np.uint8)
    scratch = np.empty((2, TILE + length))
    # A float32 dot product is off by (length + 3) roundings of |query| |levels|; the tile's norm is at
    # least the window's.
    unit = (length + 8) * 6e-8
    for tile in range(len(tiles)):
        start, count, block = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2]
        mark_activity(log, start, count, length, rule, scratch, marks)
        norm = _spreads(log, start, count, length, levels, scratch, spreads)
        _products(levels, query, count, products)
        _bounds(products, spreads, marks, count, np.float32(unit * norm))
        flat = 0
        jumps = 0
        for j in range(count):
            flat += np.int64(marks[j] == FLAT)
            jumps += np.int64(marks[j] == ONE_JUMP)
        tally[FLAT] += flat
        tally[ONE_JUMP] += jumps
        tally[ACTIVE] += count - flat - jumps
        for first in range(0, count, BLOCK):
            best = np.float32(-1.0)
            part = products[first : min(first + BLOCK, count)]
            for j in range(len(part)):
                best = part[j] if part[j] > best else best
            bounds[block + first // BLOCK] = best


@compiled(fastmath={"contract"})
def refine(log, firsts, counts, query, rule, positions, distances):  # type: ignore[no-untyped-def]
    """The exact distances of the active windows of some blocks; returns how many there are.

    Args:
        log: (bars,) log prices, float64.
        firsts, counts: (blocks,) int64 first start position and number of windows of each block.
        query: (length,) float64, zero mean, unit deviation.
        rule: ``ActivityFloor.rule``.
        positions, distances: (sum of counts,) filled from the front: start position and distance,
            sqrt(sum((z - query)**2)), to 1e-10, which is what float64 log prices are good for.
    """
    length = len(query)
    need, limit = rule
    found = 0
    for block in range(len(firsts)):
        for start in range(firsts[block], firsts[block] + counts[block]):
            if activity_at(log, start, length, need, limit) != ACTIVE:
                continue
            base = log[start]
            mean = 0.0
            for i in range(length):
                mean += log[start + i] - base
            mean /= length
            spread = 0.0
            for i in range(length):
                spread += (log[start + i] - base - mean) ** 2
            scale = 1.0 / np.sqrt(spread / length)
            square = 0.0
            for i in range(length):
                square += ((log[start + i] - base - mean) * scale - query[i]) ** 2
            positions[found] = start
            distances[found] = round(np.sqrt(square) * 1e10) / 1e10
            found += 1
    return found


@compiled()
def pick(symbols, times, limit, apart_ns, per_symbol, chosen):  # type: ignore[no-untyped-def]
    """Take candidates in the order given unless one was taken near by; returns how many were taken.

    Args:
        symbols, times: (n,) int64 symbol positions and start times of the candidates, best first.
        limit: how many to take at most.
        apart_ns: two takings from one symbol start at least this far apart.
        per_symbol: how many to take at most from one symbol.
        chosen: (limit,) int64, filled with the indices of those taken.
    """
    taken = 0
    for candidate in range(len(symbols)):
        if taken == limit:
            break
        owned = 0
        free = True
        for other in chosen[:taken]:
            if symbols[other] == symbols[candidate]:
                owned += 1
                if owned >= per_symbol or abs(times[other] - times[candidate]) < apart_ns:
                    free = False
                    break
        if free:
            chosen[taken] = candidate
            taken += 1
    return taken
