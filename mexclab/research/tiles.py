"""Which pieces of a panel a search looks at, piece by piece and query by query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mexclab.research.lanes import EMPTY, LANES, Group
from mexclab.research.windows import Panel


@dataclass(frozen=True, slots=True)
class Reach:
    """The windows that one query may see.

    Args:
        latest_end_ns: when the last bar of a window may close; None for no limit.
        barred: (position of a symbol, start, end in ns): no window of this symbol may share a bar with
            this half-open range; None to bar nothing.
    """

    latest_end_ns: int | None
    barred: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Tiles:
    """Tiles that no query's limit cuts in two.

    Attributes:
        table: (tiles, 4) int64: first cell, rows of windows, first block, lanes in use as bits.
        numbers: (tiles,) int64: which of the panel's whole tiles it is, the same for every query; -1 for a
            part of one.
        seen: (queries, tiles, LANES) bool: whether a query may see the windows of a tile and lane, if
            there are any.
        blocks: rows of LANES blocks in all.
    """

    table: np.ndarray
    numbers: np.ndarray
    seen: np.ndarray
    blocks: int


def tiles_for(panel: Panel, length: int, reaches: Sequence[Reach], size: tuple[int, int]) -> Tiles:
    """Tiles for the windows of ``length`` bars that some query may see.

    They begin at every ``size[0]``-th row of a group and where a query's limit lies, so that a limit cuts
    one tile and leaves the others what they are.

    Args:
        size: (rows of windows in a tile at most, rows in a block).
    """
    tables, numbers, seen, blocks, before = [], [], [], 0, 0
    for group in panel.groups:
        first_number, before = before, before + _whole(group, length, size[0])
        spans = [_rows_seen(group, length, reach, panel.interval_ns) for reach in reaches]
        edges = sorted({0, *(row for span in spans for row in span)})
        if edges[-1] == 0:
            continue
        firsts = np.union1d(np.arange(0, edges[-1], size[0]), edges[:-1])
        counts = np.diff(np.append(firsts, edges[-1]))
        deep = -(-counts // size[1])
        owned = sum(1 << lane for lane, symbol in enumerate(group.symbols) if symbol != EMPTY)
        columns = (group.offset + firsts * LANES, counts, blocks + np.cumsum(deep) - deep)
        tables.append(np.column_stack([*columns, np.full(len(firsts), owned)]))
        numbers.append(np.where(counts == size[0], first_number + firsts // size[0], -1))
        seen.append(_seen(group, firsts, reaches, spans))
        blocks += int(deep.sum())
    if not tables:
        none = np.empty((0, 4), dtype=np.int64)
        return Tiles(none, none[:, 0], np.empty((len(reaches), 0, LANES), dtype=bool), 0)
    table, number = np.concatenate(tables).astype(np.int64), np.concatenate(numbers).astype(np.int64)
    return Tiles(table, number, np.concatenate(seen, axis=1), blocks)


def whole_tiles(panel: Panel, length: int, rows: int) -> int:
    """How many tiles of ``rows`` rows :func:`tiles_for` numbers in this panel."""
    return sum(_whole(group, length, rows) for group in panel.groups)


def _whole(group: Group, length: int, rows: int) -> int:
    return max(0, group.rows - length + 1) // rows


def _rows_seen(group: Group, length: int, reach: Reach, interval_ns: int) -> tuple[int, int, int]:
    """(rows where a window may start, first and last + 1 of those that ``barred`` touches)."""
    rows = group.rows
    if reach.latest_end_ns is not None:
        rows = min(rows, (reach.latest_end_ns - group.first_ns) // interval_ns)
    rows = max(0, rows - length + 1)
    if reach.barred is None or reach.barred[0] not in group.symbols:
        return rows, 0, 0
    _, start_ns, end_ns = reach.barred
    first = (start_ns - group.first_ns) // interval_ns - length + 1
    last = -((group.first_ns - end_ns) // interval_ns)
    return rows, min(max(first, 0), rows), min(max(last, 0), rows)


def _seen(
    group: Group, firsts: np.ndarray, reaches: Sequence[Reach], spans: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    lanes = np.array(group.symbols)
    seen = np.empty((len(reaches), len(firsts), LANES), dtype=bool)
    for query, (reach, (rows, first, last)) in enumerate(zip(reaches, spans, strict=True)):
        seen[query] = (firsts < rows)[:, None]
        if reach.barred is not None:
            touched = (firsts >= first) & (firsts < last)
            seen[query] &= ~(touched[:, None] & (lanes == reach.barred[0]))
    return seen
