"""Histories that are like the real one in all but direction: what is found there is not there."""

from __future__ import annotations

import numpy as np

from mexclab.research.lanes import LANES
from mexclab.research.windows import Panel


def coin_flipped(panel: Panel, seed: int) -> Panel:
    """``panel`` with the direction of every bar's move decided by a coin, one for all symbols at a time.

    The size of each move, the quiet and the wild hours, bars without a move and how symbols move
    together all stay; only what came before can no longer tell whether it goes up or down. Channels are
    left out.

    Returns:
        a panel of the same shape, positions and times.
    """
    flat = np.array(panel.flat)
    ends = panel.segment_time + np.diff(panel.segment_start) * panel.interval_ns
    first = int(panel.segment_time.min())
    # symbols may be on different phases of the grid: a coin holds for one interval of wall time
    rows = (int(ends.max()) - first) // panel.interval_ns + 1
    coins = np.random.default_rng(seed).integers(0, 2, rows) * 2.0 - 1.0
    for segment, cell in enumerate(panel.segment_cell):
        bars = int(panel.segment_start[segment + 1] - panel.segment_start[segment])
        row = int((panel.segment_time[segment] - first) // panel.interval_ns)
        lane = slice(int(cell), int(cell) + (bars - 1) * LANES + 1, LANES)
        moves = np.diff(panel.flat[lane]) * coins[row + 1 : row + bars]
        flat[lane] = panel.flat[cell] + np.concatenate([[0.0], np.cumsum(moves)])
    return Panel.from_lanes(panel.symbols, panel.interval_ns, panel.groups, flat)
