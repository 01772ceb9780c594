"""Which parts of the lake a panel file has seen, and what changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from mexclab.research.lanes import LONGEST_HOLE
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_layout import Partition, interval_folder, partitions_in, symbol_of
from mexclab.store.lake_months import Months

ALL_OF_TIME = "1970-01"  # a month that none comes before
_SETTLED_NS = 2_000_000_000  # a folder's time stamp may be this coarse
_NS_PER_MS = 1_000_000


class FolderStamp(msgspec.Struct, frozen=True, array_like=True):
    """One symbol's folder: when it last changed, and its files by month: (mtime ns, size, inode)."""

    changed_ns: int
    months: dict[str, tuple[int, int, int]]


class Stamps(msgspec.Struct, frozen=True):
    """The lake at one interval as it was at ``taken_ns``.

    Attributes:
        taken_ns: when, by the clock that stamps files.
        folders: by symbol.
        fresh: open time (ms) of the first bar of each fresh file, by its name.
        live: who has fresh bars.
    """

    taken_ns: int
    folders: dict[str, FolderStamp]
    fresh: dict[str, int]
    live: frozenset[str]


@dataclass(frozen=True, slots=True)
class Extent:
    """Open times of the first and the last bar of a month, or of a symbol's fresh bars, ns."""

    first_ns: int
    last_ns: int


def stamps_of(root: Path, interval: str, before: Stamps | None = None) -> Stamps:
    """The stamps as they are now.

    A partition is replaced by a rename, which changes its folder's time: files of a folder that has not
    changed since ``before`` was taken are not looked at again.

    Raises:
        DataError: a file in the lake is not the lake's.
    """
    taken_ns = time.time_ns()
    # before the months: bars that a compaction moves in between are then seen here, or there
    files = Fresh(root).files(interval)
    fresh = {file.path.name: file.footer.first_ms for file in files}
    live = frozenset().union(*(file.symbols for file in files))
    known = before.folders if before is not None else {}
    settled_ns = before.taken_ns - _SETTLED_NS if before is not None else 0
    folders = {}
    folder = interval_folder(root, interval)
    for symbol, name, changed_ns in _symbol_folders(folder):
        kept = known.get(symbol)
        if kept is None or kept.changed_ns != changed_ns or changed_ns > settled_ns:
            kept = FolderStamp(changed_ns, _months_in(folder / name, interval))
        if kept.months:
            folders[symbol] = kept
    return Stamps(taken_ns, folders, fresh, live)


def same(before: Stamps, now: Stamps) -> bool:
    """Whether nothing changed; times of folders do not count, those of files do."""
    return not changed_months(before, now) and set(now.fresh) <= set(before.fresh)


def changed_months(before: Stamps, now: Stamps) -> dict[str, list[str]]:
    """By symbol, the months whose file is new, replaced or gone; ascending.

    Of a symbol whose fresh bars went away and came into no month (somebody deleted it since): all of time.
    """
    found = {}
    for symbol in sorted({*before.folders, *now.folders}):
        old = before.folders[symbol].months if symbol in before.folders else {}
        new = now.folders[symbol].months if symbol in now.folders else {}
        if old is not new and old != new:
            found[symbol] = sorted(month for month in {*old, *new} if old.get(month) != new.get(month))
    return {symbol: [ALL_OF_TIME] for symbol in before.live - now.live} | found


def fresh_since(root: Path, interval: str, before: Stamps, now: Stamps) -> pl.DataFrame:
    """The fresh bars of every file that is new, as they stand beside the newer ones; sorted by symbol, ts."""
    new = [first for name, first in now.fresh.items() if name not in before.fresh]
    files = Fresh(root)
    return files.bars(interval, start_ms=min(new)) if new else files.bars_in([])


def extents(
    root: Path, interval: str, symbol: str, months: Months, fresh: Mapping[str, Extent]
) -> list[Extent]:
    """Where a symbol has bars, by month and in the fresh files, as footers tell; ascending."""
    found = [extent for part in months.of(symbol, interval) if (extent := _extent(months, part))]
    if symbol in fresh:
        found.append(fresh[symbol])
    return sorted(found, key=lambda extent: extent.first_ns)


def stretched(pieces: Sequence[Extent], step_ns: int) -> list[Extent]:
    """Extents that touch or nearly touch as one: what goes into one lane."""
    found: list[Extent] = []
    for piece in pieces:
        if found and piece.first_ns - found[-1].last_ns <= LONGEST_HOLE * step_ns:
            found[-1] = Extent(found[-1].first_ns, max(found[-1].last_ns, piece.last_ns))
        else:
            found.append(piece)
    return found


def fresh_extents(bars: pl.DataFrame) -> dict[str, Extent]:
    """First and last open time of each symbol of a frame."""
    ts = pl.col("ts").dt.epoch("ns")
    rows = bars.group_by("symbol").agg(first=ts.min(), last=ts.max())
    return {symbol: Extent(first, last) for symbol, first, last in rows.iter_rows()}


def month_first_ms(month: str, root: Path, interval: str) -> int:
    """The first open time that belongs to ``month`` (``2026-05``), ms."""
    return Partition(root, interval, "", month).span_ms[0]


def _extent(months: Months, part: Partition) -> Extent | None:
    footer = months.footer(part)
    if footer is None or not footer.rows:
        return None
    first, last = (footer.first_ms, footer.last_ms) if footer.known else part.span_ms
    return Extent(first * _NS_PER_MS, last * _NS_PER_MS)


def _symbol_folders(folder: Path) -> list[tuple[str, str, int]]:
    """Symbol, name and time of change (ns) of each symbol's folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (symbol_of(entry.name), entry.name, entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.startswith("symbol=") and entry.is_dir()
            )
    except FileNotFoundError:
        return []


def _months_in(folder: Path, interval: str) -> dict[str, tuple[int, int, int]]:
    found = {}
    for part in partitions_in(folder, interval):
        try:
            status = part.path.stat()
        except FileNotFoundError:
            continue
        found[part.month] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found
