"""What followed a window: its return, the best and worst points on the way, and when they came.

Everything is for a long position entered at the close of the window's last bar and left at the close
``horizon`` bars later. Only closes are known here, so the best and the worst point are by closes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mexclab.research.activity import ActivityFloor
from mexclab.research.compiling import compiled
from mexclab.research.lanes import LANES
from mexclab.research.windows import Panel


@dataclass(frozen=True, eq=False, slots=True)
class Followed:
    """What followed n windows over one horizon; every array is (n,) float64.

    Attributes:
        log: log return from the window's last close.
        best, worst: the largest and the smallest log return on the way; 0 where it never rose or fell.
        to_best, to_worst: bars until that point; 0 where it never rose or fell.
        volatility: root mean square of the window's own one-bar log returns.
    """

    log: np.ndarray
    best: np.ndarray
    worst: np.ndarray
    to_best: np.ndarray
    to_worst: np.ndarray
    volatility: np.ndarray

    def scaled(self, horizon: int) -> np.ndarray:
        """(n,) log returns in units of the window's own volatility times the root of ``horizon``."""
        scaled: np.ndarray = self.log / (self.volatility * np.sqrt(horizon))
        return scaled


@compiled()
def _follow(flat, cells, length, horizon, found):  # type: ignore[no-untyped-def]
    """Fill found (6, n) for the windows whose first bars lie in ``cells`` (n,); rows as in ``Followed``."""
    for n in range(len(cells)):
        last = cells[n] + (length - 1) * LANES
        variance = 0.0
        for cell in range(cells[n], last, LANES):
            variance += (flat[cell + LANES] - flat[cell]) ** 2
        best, worst, to_best, to_worst = 0.0, 0.0, 0, 0
        moved = 0.0
        for bar in range(1, horizon + 1):
            moved = flat[last + bar * LANES] - flat[last]
            if moved > best:
                best, to_best = moved, bar
            if moved < worst:
                worst, to_worst = moved, bar
        found[0, n] = moved
        found[1, n] = best
        found[2, n] = worst
        found[3, n] = to_best
        found[4, n] = to_worst
        found[5, n] = np.sqrt(variance / (length - 1))


def followed(panel: Panel, starts: np.ndarray, length: int, horizon: int) -> Followed:
    """What followed the windows of ``length`` bars at positions ``starts`` (n,) over ``horizon`` bars.

    Each of them must have that many unbroken bars behind it, as ``windows_within`` sees to.
    """
    found = np.empty((6, len(starts)))
    _follow(panel.flat, panel.cells(starts), length, horizon, found)
    return Followed(*found)


def volatility(panel: Panel, starts: np.ndarray, length: int) -> np.ndarray:
    """(n,) root mean square of the one-bar log returns within the windows at ``starts``."""
    return followed(panel, starts, length, 0).volatility


@compiled()
def _moves(flat, cells, steps, need, limit, active):  # type: ignore[no-untyped-def]
    """Fill active (n,) bool: whether the windows of ``steps`` + 1 bars in ``cells`` obey the floor's rule."""
    for n in range(len(cells)):
        moved = 0
        total = 0.0
        largest = 0.0
        for cell in range(cells[n], cells[n] + steps * LANES, LANES):
            step = flat[cell + LANES] - flat[cell]
            moved += step != 0.0
            total += step * step
            largest = max(largest, step * step)
        active[n] = moved >= need and largest <= limit * total


def active_among(panel: Panel, starts: np.ndarray, length: int, floor: ActivityFloor) -> np.ndarray:
    """Those of the windows at ``starts`` (n,) that lie above the activity floor, in the same order."""
    active = np.empty(len(starts), dtype=np.bool_)
    _moves(panel.flat, panel.cells(starts), length - 1, *floor.rule(length), active)
    return starts[active]


def log_paths(panel: Panel, starts: np.ndarray, bars: int) -> np.ndarray:
    """(n, bars) log closes of the bars from each of ``starts`` (n,) on; each run lies in one segment."""
    return panel.flat[panel.cells(starts)[:, None] + np.arange(bars) * LANES]
