"""Bring a panel file up to date: append what came, lay out anew what changed, leave the rest alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mexclab.research.lanes import LANES, LONGEST_HOLE, Stretch, arrange
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_months import Months
from mexclab.store.panel_file_draft import Draft, Matrices, Room, Source
from mexclab.store.panel_file_index import CLOSE, DataFiles, GroupRecord, Index, Opened, joined, runs_in
from mexclab.store.panel_file_stamps import (
    Extent,
    Stamps,
    changed_months,
    extents,
    fresh_extents,
    fresh_since,
    month_first_ms,
    stamps_of,
    stretched,
)

MOST_MOVED = 0.25  # of the symbols; beyond it everything is laid out anew
MOST_LEFT_BEHIND = 0.5  # of the data file


@dataclass(frozen=True, slots=True)
class Home:
    """A lane where a symbol lies, and the open times of its first and last bar there."""

    group: int
    lane: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """What to do in one lane.

    Args:
        symbol: whose bars to read from the lake; None blanks the lane.
        since_ns, until_ns: the half-open range that is read anew; None for no end.
        given: bars to put in without reading, (n,) times and values; the range is not used then.
    """

    lane: int
    symbol: str | None
    since_ns: int = 0
    until_ns: int | None = None
    given: tuple[np.ndarray, Matrices] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Column:
    """New values of one lane from ``row`` on, by channel."""

    lane: int
    row: int
    values: Matrices


@dataclass(eq=False, slots=True)
class Plan:
    """What changed, sorted by where it is dealt with.

    Attributes:
        jobs: by group.
        owners: the lanes of each group, as they will be.
        moved: symbols whose bars find a new place, or none.
        pieces: stretches without a lane so far, by symbol.
    """

    jobs: dict[int, list[Job]] = field(default_factory=dict)
    owners: list[list[str | None]] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)
    pieces: list[tuple[str, Extent]] = field(default_factory=list)

    def add(self, group: int, job: Job) -> None:
        """One more thing to do in a group."""
        self.jobs.setdefault(group, []).append(job)


def refreshed(opened: Opened, folder: Path, source: Source, room: Room) -> Index | None:
    """The index after the changes in the lake; None where it is better to build anew.

    Raises:
        DataError: the lake is damaged; the panel file is as it was.
    """
    index = opened.index
    root = source.lake.root
    now = stamps_of(root, source.interval, index.stamps)
    plan = _planned(opened, source, index.stamps, now)
    if len(plan.moved) > max(LANES, MOST_MOVED * len(index.symbols())) or _wasted(index):
        return None
    _place(plan, index, source.step_ns)
    data = DataFiles(folder, source.channels, index.data, index.cells)
    try:
        draft = Draft(folder, source, data, room)
        for at, record in enumerate(index.groups):
            _carry_over(draft, opened, at, _owned_by(record, plan.owners[at]), plan.jobs.get(at, []), source)
        names = sorted({symbol for symbol, _ in plan.pieces})
        pieces = [Stretch(names.index(symbol), e.first_ns, e.last_ns) for symbol, e in plan.pieces]
        for _ in draft.lay_stretches(names, arrange(pieces, source.step_ns), pieces):
            pass
        return draft.finish(now)
    finally:
        data.close()


def _planned(opened: Opened, source: Source, before: Stamps, now: Stamps) -> Plan:
    root, interval = source.lake.root, source.interval
    homes = _homes(opened, source.step_ns)
    plan = Plan(owners=[list(group.symbols) for group in opened.index.groups])
    changed = changed_months(before, now)
    bars = fresh_since(root, interval, before, now)
    every_fresh: dict[str, Extent] | None = None
    by_symbol = source.by_symbol(bars)
    months = Months(root)
    for symbol in sorted({*changed, *by_symbol}):
        own = homes.get(symbol, [])
        if symbol not in changed and _goes_on(own, by_symbol[symbol][0], opened, source.step_ns):
            plan.add(own[-1].group, Job(own[-1].lane, symbol, given=by_symbol[symbol]))
            continue
        if every_fresh is None:
            every_fresh = fresh_extents(Fresh(root).bars(interval))
        found = extents(root, interval, symbol, months, every_fresh)
        since_ms = [month_first_ms(month, root, interval) for month in changed.get(symbol, [])]
        if symbol in by_symbol:
            since_ms.append(int(by_symbol[symbol][0][0]) // 1_000_000)
        since_ns = min(since_ms) * 1_000_000
        if own and found and _fits(own, found, since_ns, opened, source.step_ns):
            for at, home in enumerate(own):
                last = at == len(own) - 1
                if last or home.last_ns >= since_ns:
                    since = max(since_ns, home.first_ns) if at else since_ns
                    plan.add(home.group, Job(home.lane, symbol, since, None if last else home.last_ns + 1))
            continue
        for home in own:
            plan.moved.add(symbol)
            plan.owners[home.group][home.lane] = None
            plan.add(home.group, Job(home.lane, None))
        plan.pieces += [(symbol, piece) for piece in stretched(found, source.step_ns)]
    return plan


def _homes(opened: Opened, step_ns: int) -> dict[str, list[Home]]:
    """Where each symbol lies, oldest first."""
    found: dict[str, list[Home]] = {}
    for at, group in enumerate(opened.index.groups):
        lanes, firsts, bars = _runs_of(opened, at, group)
        for lane, symbol in enumerate(group.symbols):
            mine = lanes == lane
            if symbol is None:
                continue
            first = int(firsts[mine].min()) if mine.any() else 0
            last = int((firsts + bars)[mine].max()) - 1 if mine.any() else 0
            home = Home(at, lane, group.first_ns + first * step_ns, group.first_ns + last * step_ns)
            found.setdefault(symbol, []).append(home)
    return {symbol: sorted(own, key=lambda home: home.first_ns) for symbol, own in found.items()}


def _runs_of(opened: Opened, at: int, group: GroupRecord) -> np.ndarray:
    frozen = opened.runs[1:, opened.runs[0] == at]
    return joined(frozen, runs_in(opened.rows(CLOSE, group, group.frozen)), group.frozen)


def _goes_on(own: Sequence[Home], times: np.ndarray, opened: Opened, step_ns: int) -> bool:
    """Whether fresh bars simply continue the symbol's last lane."""
    if not own:
        return False
    group = opened.index.groups[own[-1].group]
    first, last = int(times[0]), int(times[-1])
    end_ns = group.first_ns + (group.rows + LONGEST_HOLE) * step_ns
    return own[-1].first_ns <= first and last < max(end_ns, first + LONGEST_HOLE * step_ns) and first < end_ns


def _fits(own: Sequence[Home], found: Sequence[Extent], since_ns: int, opened: Opened, step_ns: int) -> bool:
    """Whether the bars that may have changed still belong into the lanes that the symbol has."""
    groups = opened.index.groups
    reach_ns = groups[own[-1].group].first_ns + groups[own[-1].group].rows * step_ns
    for extent in found:
        if extent.last_ns < since_ns:
            continue
        if extent.first_ns < groups[own[0].group].first_ns:
            return False
        if extent.first_ns > reach_ns + LONGEST_HOLE * step_ns:
            return False
        reach_ns = max(reach_ns, extent.last_ns)
        ends = [home.last_ns for home in own[:-1]]
        begins = [home.first_ns for home in own[1:]]
        for end_ns, begin_ns in zip(ends, begins, strict=True):
            if extent.last_ns > end_ns and extent.first_ns < begin_ns:
                return False
    return True


def _wasted(index: Index) -> bool:
    used = sum(group.capacity for group in index.groups) * LANES
    return index.cells - used > MOST_LEFT_BEHIND * index.cells


def _place(plan: Plan, index: Index, step_ns: int) -> None:
    """Give stretches the free lanes of groups that are under way then; the rest stays in the plan."""
    left = []
    for symbol, piece in sorted(plan.pieces, key=lambda one: (one[1].first_ns, one[0])):
        home = _free_lane(plan, index, piece, step_ns)
        if home is None:
            left.append((symbol, piece))
            continue
        group, lane = home
        plan.owners[group][lane] = symbol
        plan.add(group, Job(lane, symbol, piece.first_ns, piece.last_ns + step_ns))
    plan.pieces = left


def _free_lane(plan: Plan, index: Index, piece: Extent, step_ns: int) -> tuple[int, int] | None:
    for at in sorted(range(len(index.groups)), key=lambda at: -index.groups[at].first_ns):
        group = index.groups[at]
        row, off = divmod(piece.first_ns - group.first_ns, step_ns)
        blanked = {job.lane for job in plan.jobs.get(at, []) if job.symbol is None}
        free = [lane for lane, owner in enumerate(plan.owners[at]) if owner is None and lane not in blanked]
        if free and not off and 0 <= row <= group.rows:
            return at, free[0]
    return None


def _carry_over(
    draft: Draft, opened: Opened, at: int, record: GroupRecord, jobs: Sequence[Job], source: Source
) -> None:
    """One group into the draft: as it is, with a longer tail, or laid out anew."""
    columns = [_column(opened, record, job, source) for job in jobs]
    rows = max([record.rows, *(column.row + len(column.values[CLOSE]) for column in columns)])
    changed = any(_differs(opened, record, column) for column in columns)
    first = 0 if changed or rows > record.capacity else record.frozen
    matrices = {}
    for name in source.channels:
        matrix = np.full((rows - first, LANES), np.nan)
        matrix[: record.rows - first] = opened.rows(name, record, first)
        for column in columns:
            skipped = max(0, first - column.row)
            values = column.values[name][skipped:]
            begin = column.row + skipped - first
            matrix[begin : begin + len(values), column.lane] = values
        matrices[name] = matrix
    if changed or rows > record.capacity:
        draft.lay(record.first_ns, record.symbols, matrices)
        return
    grown = GroupRecord(record.offset, record.capacity, record.frozen, rows, record.first_ns, record.symbols)
    draft.keep(grown, matrices, opened.runs[1:, opened.runs[0] == at])


def _column(opened: Opened, record: GroupRecord, job: Job, source: Source) -> Column:
    """The lane's values from the first row that the job touches."""
    step = source.step_ns
    if job.given is not None:
        times, values = job.given
        low = int((times[0] - record.first_ns) // step)
        start = record.rows
    elif job.symbol is None:
        times, values = np.empty(0, dtype=np.int64), {name: np.empty(0) for name in source.channels}
        low, start = 0, 0
    else:
        since_ns = max(job.since_ns, record.first_ns)
        times, values = source.read(job.symbol, since_ns, job.until_ns)
        low = -((record.first_ns - since_ns) // step)
        start = low
    beyond = record.rows
    if job.until_ns is not None:
        beyond = min(beyond, max(low, -((record.first_ns - job.until_ns) // step)))
    rows = (times - record.first_ns) // step
    end = max(beyond, int(rows[-1]) + 1 if len(rows) else 0)
    made = {}
    for name in source.channels:
        lane = np.full(end - low, np.nan)
        kept = min(start, record.rows) - low
        if kept > 0:
            lane[:kept] = opened.rows(name, record, low, low + kept)[:, job.lane]
        lane[rows - low] = values[name]
        made[name] = lane
    return Column(job.lane, low, made)


def _differs(opened: Opened, record: GroupRecord, column: Column) -> bool:
    """Whether the column changes a row that is frozen."""
    size = min(record.frozen - column.row, len(column.values[CLOSE]))
    if size <= 0:
        return False
    for name, values in column.values.items():
        old = opened.rows(name, record, column.row, column.row + size)[:, column.lane]
        new = values[:size]
        if not ((old == new) | (np.isnan(old) & np.isnan(new))).all():
            return True
    return False


def _owned_by(record: GroupRecord, owners: Sequence[str | None]) -> GroupRecord:
    return GroupRecord(
        record.offset, record.capacity, record.frozen, record.rows, record.first_ns, tuple(owners)
    )
