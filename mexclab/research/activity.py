"""Which windows have a shape at all: neither flat nor one jump."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mexclab.errors import ParameterError
from mexclab.research.compiling import compiled
from mexclab.research.lanes import LANES
from mexclab.research.windows import Panel, Query, Windows

ACTIVE, FLAT, ONE_JUMP = 0, 1, 2
PIECE = 4096  # windows whose prefix sums are taken together: few, so that they stay accurate

# Moves are compared with this much headroom, so that a share that is exactly at the limit in
# arithmetic (four fifths of a sum, say) does not depend on the order of a float64 sum.
HEADROOM = 1.0 + 1e-9


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


@compiled()
def _squared_steps(log, steps, squares, sums):  # type: ignore[no-untyped-def]
    """Squared steps (0 beside a missing bar), their prefix sums (steps + 1), and how many are zero."""
    still = 0
    total = 0.0
    for i in range(steps):
        step = log[i + 1] - log[i]
        square = step * step if step == step else 0.0
        squares[i] = square
        still += square == 0.0
        sums[i] = total
        total += square
    sums[steps] = total
    return still


@compiled()
def _mark_flat(squares, count, length, need, marks):  # type: ignore[no-untyped-def]
    moved = 0
    for i in range(length - 2):
        moved += squares[i] != 0.0
    for j in range(count):
        moved += squares[j + length - 2] != 0.0
        if moved < need:
            marks[j] = FLAT
        moved -= squares[j] != 0.0


@compiled()
def _mark_activity(log, count, length, rule, scratch, marks):  # type: ignore[no-untyped-def]
    """Fill ``marks[j]`` (uint8) for the ``count`` windows that start at ``log[j]``.

    ``scratch`` is (2, at least count + length) float64. Prefix sums decide; where their rounding could
    decide wrongly, ``activity_at`` does. The mark of a window with a missing bar means nothing.
    """
    need, limit = rule
    steps = count + length - 2
    squares, sums = scratch[0], scratch[1]
    still = _squared_steps(log, steps, squares, sums)
    marks[:count] = ACTIVE
    if still > length - 1 - need:
        _mark_flat(squares, count, length, need, marks)
    if limit >= HEADROOM:
        return
    slack = 4.0 * steps * 2.3e-16 * sums[steps]
    side = (length - 2) // 2  # any window has at least this many steps on one side of each of its steps
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
                marks[j] = activity_at(log, j, length, need, limit)
            elif excess > 0.0:
                marks[j] = ONE_JUMP


@compiled()
def _mark_runs(flat, cells, counts, length, rule, marks):  # type: ignore[no-untyped-def]
    scratch = np.empty((2, PIECE + length))
    column = np.empty(PIECE + length)
    done = 0
    for run in range(len(cells)):
        for first in range(0, counts[run], PIECE):
            size = min(PIECE, counts[run] - first)
            for i in range(size + length - 1):
                column[i] = flat[cells[run] + (first + i) * LANES]
            _mark_activity(column, size, length, rule, scratch, marks[done : done + size])
            done += size


def active_positions(panel: Panel, windows: Windows, floor: ActivityFloor) -> np.ndarray:
    """(n,) start positions of the windows above the activity floor, ascending."""
    marks = np.empty(windows.total, dtype=np.uint8)
    cells = panel.cells(windows.starts)
    _mark_runs(panel.flat, cells, windows.counts, windows.length, floor.rule(windows.length), marks)
    active: np.ndarray = windows.positions()[marks == ACTIVE]
    return active


def check_shape(query: Query, floor: ActivityFloor) -> None:
    """Raises ParameterError for a query that is flat or one jump, so that it has no shape to compare."""
    state = activity_at(np.log(query.values), 0, query.length, *floor.rule(query.length))
    if state != ACTIVE:
        kind = "flat: too few of its bars move" if state == FLAT else "one jump: a single bar is nearly all"
        raise ParameterError(
            f"The query {query!r} is {kind}, so it has no shape to compare. Choose another window, or a "
            "lower ActivityFloor.",
            symbol=query.symbol,
            start_ns=query.start_ns,
        )
