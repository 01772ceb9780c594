"""How a panel lies in memory: sixteen symbols side by side, one row per bar.

Symbols come in groups of :data:`LANES`. Within a group a row holds the same instant of all its symbols,
so one SIMD register is one row, and a new bar appends a row. Cell ``offset + row * LANES + lane`` of one
flat float64 array is the bar of a group's ``lane`` at ``first_ns + row * interval_ns``; NaN stands where
there is no bar. A symbol whose history has a very long hole may own several lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mexclab.research.compiling import compiled

LANES = 16
EMPTY = -1  # the symbol of a lane that nobody owns
LONGEST_HOLE = 10_000  # rows; a longer one is not laid out, the symbol goes on in another lane
ALIGNMENT = 64  # bytes of a cache line, and of a row of float32


@dataclass(frozen=True, slots=True)
class Group:
    """Up to sixteen series on one grid of time.

    Args:
        offset: cell of the first row's first lane in the flat array.
        rows: rows in use; the array may hold room for more behind them.
        first_ns: open time of the first row, UTC.
        symbols: (LANES,) position in the panel's ``symbols`` of each lane's owner, or EMPTY.
    """

    offset: int
    rows: int
    first_ns: int
    symbols: tuple[int, ...]

    @property
    def end(self) -> int:
        """The cell after the last row in use."""
        return self.offset + self.rows * LANES


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bars of one symbol that are laid out in one lane, with whatever short holes they have.

    Args:
        symbol: position in the panel's ``symbols``.
        first_ns, last_ns: open times of the first and the last bar, UTC.
    """

    symbol: int
    first_ns: int
    last_ns: int


def blank(cells: int) -> np.ndarray:
    """(cells,) float64, all NaN, aligned to a cache line."""
    room = np.empty(cells + ALIGNMENT // 8)
    skipped = (-room.ctypes.data % ALIGNMENT) // 8
    flat = room[skipped : skipped + cells]
    flat.fill(np.nan)
    return flat


def stretches(symbol: int, times: np.ndarray, interval_ns: int) -> list[Stretch]:
    """What to lay out for one symbol with bars at ``times`` ((n,) ns, ascending, one grid)."""
    breaks = np.flatnonzero(np.diff(times) > LONGEST_HOLE * interval_ns)
    firsts = times[np.append(0, breaks + 1)]
    lasts = times[np.append(breaks, len(times) - 1)]
    return [Stretch(symbol, int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def arrange(pieces: Sequence[Stretch], interval_ns: int) -> tuple[Group, ...]:
    """Groups with a lane for each stretch, one behind the other from cell 0.

    Stretches on one phase of the grid that begin together share a group. One joins the group before it
    while that costs no more rows than a group of its own would.
    """
    groups: list[Group] = []
    for piece in sorted(pieces, key=lambda p: (p.first_ns % interval_ns, p.first_ns, p.last_ns, p.symbol)):
        if groups:
            wider = _joined(groups[-1], piece, interval_ns)
            if wider is not None:
                groups[-1] = wider
                continue
        rows = (piece.last_ns - piece.first_ns) // interval_ns + 1
        offset = groups[-1].end if groups else 0
        groups.append(Group(offset, rows, piece.first_ns, (piece.symbol,) + (EMPTY,) * (LANES - 1)))
    return tuple(groups)


def _joined(group: Group, piece: Stretch, interval_ns: int) -> Group | None:
    """``group`` with ``piece`` in it; None where it has no lane for it, or where that wastes room."""
    row, off = divmod(piece.first_ns - group.first_ns, interval_ns)
    own = (piece.last_ns - piece.first_ns) // interval_ns + 1
    if off or row + own - group.rows > own:
        return None
    rows = max(group.rows, row + own)
    if piece.symbol in group.symbols:  # the same symbol after a very long hole
        return replace(group, rows=rows)
    if EMPTY not in group.symbols:
        return None
    lane = group.symbols.index(EMPTY)
    return replace(
        group, rows=rows, symbols=(*group.symbols[:lane], piece.symbol, *group.symbols[lane + 1 :])
    )


def cells_of(groups: Sequence[Group], symbol: int, times: np.ndarray, interval_ns: int) -> np.ndarray:
    """(n,) int64: where ``symbol`` lies at ``times`` (ns, ascending); -1 where no group of its reaches.

    The rows of two groups in which the symbol has a lane may be the same times, so a stretch is placed as a
    whole: cut in two it would seem to have a gap.
    """
    cells = np.full(len(times), -1, dtype=np.int64)
    own = [(group, group.symbols.index(symbol)) for group in groups if symbol in group.symbols]
    for piece in stretches(symbol, times, interval_ns):
        first, end = np.searchsorted(times, [piece.first_ns, piece.last_ns + 1])
        for group, lane in own:
            rows, off = np.divmod(times[first:end] - group.first_ns, interval_ns)
            if not off.any() and rows[0] >= 0 and rows[-1] < group.rows:
                cells[first:end] = group.offset + rows * LANES + lane
                break
    return cells


@dataclass(frozen=True, eq=False, slots=True)
class Runs:
    """The runs of bars without a gap, in order of (symbol, time); each array is (runs,) int64.

    Attributes:
        symbol: position of the owner in the panel's ``symbols``.
        cell: where the first bar lies.
        bars: how many there are.
        first_ns: open time of the first bar, UTC.
    """

    symbol: np.ndarray
    cell: np.ndarray
    bars: np.ndarray
    first_ns: np.ndarray


def runs_of(flat: np.ndarray, groups: Sequence[Group], interval_ns: int) -> Runs:
    """The runs that the NaNs in ``flat`` leave; one pass over the groups, a memory map will do."""
    found = []
    for group in groups:
        rows = np.asarray(flat[group.offset : group.end])
        changes = np.flatnonzero(_changing_rows(rows, np.empty(group.rows, dtype=np.bool_)))
        firsts, lanes, lasts = _run_ends(rows, changes)
        owners = np.array(group.symbols, dtype=np.int64)[lanes]
        cell = group.offset + firsts * LANES + lanes
        found.append(np.stack([owners, cell, lasts - firsts, group.first_ns + firsts * interval_ns]))
    every = np.concatenate(found, axis=1)
    every = every[:, every[0] != EMPTY]
    every = every[:, np.lexsort((every[3], every[0]))]
    return Runs(*(np.ascontiguousarray(row) for row in every))


@compiled()
def _changing_rows(flat, changing):  # type: ignore[no-untyped-def]
    """Fill ``changing`` (rows,): whether some lane begins or ends a run of bars at this row."""
    changing[0] = True
    for row in range(1, len(changing)):
        before = flat[(row - 1) * LANES : row * LANES]
        here = flat[row * LANES : (row + 1) * LANES]
        changed = False
        for lane in range(LANES):
            changed |= (here[lane] == here[lane]) != (before[lane] == before[lane])
        changing[row] = changed
    return changing


def _run_ends(flat: np.ndarray, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first row, lane, row after the last) of each run, given the rows where something changes."""
    rows = len(flat) // LANES
    there = ~np.isnan(flat.reshape(rows, LANES)[changes])
    blank_row = np.zeros((1, LANES), dtype=bool)
    turns = np.diff(np.concatenate([blank_row, there, blank_row]).astype(np.int8), axis=0)
    edges = np.append(changes, rows)
    lanes, begins = np.nonzero(turns.T == 1)
    ends = np.nonzero(turns.T == -1)[1]
    return edges[begins], lanes, edges[ends]
