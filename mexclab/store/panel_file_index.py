"""The panel file on the disk: its index, the files the index names, and how they are put in place.

A group's rows are of two kinds. *Frozen* rows lie in the data file and never change while a group keeps
its place. The *tail*, its last rows, lies in a small file of its own that is written anew at every
refresh; whoever opens the panel lays it over a private copy of the mapped pages. So a panel that is open
never changes under its reader, and a writer that dies has changed nothing that an index speaks of.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np

from mexclab.errors import DataError
from mexclab.research.lanes import EMPTY, LANES, Group, Runs
from mexclab.store.lake_partition import sync_folder
from mexclab.store.panel_file_stamps import Stamps
from mexclab.store.seal import check_seal, seal_of, sealed, unsealed

FORMAT = 2
CLOSE = "close"  # the file of log closes; the others are named after their channel
ALIGNMENT = 512  # cells: groups do not share a page of memory
INDEX_NAME = "index.json"
_BYTES = 8
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class GroupRecord(msgspec.Struct, frozen=True, array_like=True):
    """A group as the file keeps it.

    Attributes:
        offset: cell of its first row in the data files; a multiple of ALIGNMENT.
        capacity: rows that there is room for.
        frozen: rows that are in the data files for good.
        rows: rows in use, the tail included.
        first_ns: open time of the first row.
        symbols: owner of each lane, None for a free one.
    """

    offset: int
    capacity: int
    frozen: int
    rows: int
    first_ns: int
    symbols: tuple[str | None, ...]


class Index(msgspec.Struct, frozen=True):
    """What the folder holds.

    Attributes:
        interval: length of the bars, as the lake says it.
        channels: names of the data files, CLOSE first.
        data: the generation of the data files.
        cells: cells that are taken in each data file, in use or left behind.
        tail: name of the file with the tails, (channels, rows, LANES), groups end to end.
        runs: name of the file with the runs of frozen bars, (4, n): group, lane, first row, bars.
        seals: of the files with tails and runs.
        groups: in order of their tails.
        stamps: the lake as it was when this was made.
    """

    interval: str
    channels: tuple[str, ...]
    data: str
    cells: int
    tail: str
    runs: str
    seals: tuple[str, str]
    groups: tuple[GroupRecord, ...]
    stamps: Stamps
    format: int = FORMAT

    def symbols(self) -> list[str]:
        """Whose bars they are, sorted."""
        return sorted({name for group in self.groups for name in group.symbols if name is not None})

    def layout(self) -> tuple[list[str], tuple[Group, ...]]:
        """The panel's symbols, and its groups with symbols by their place in that list."""
        names = self.symbols()
        place: Mapping[str | None, int] = {**{name: at for at, name in enumerate(names)}, None: EMPTY}
        return names, tuple(
            Group(g.offset, g.rows, g.first_ns, tuple(place[name] for name in g.symbols)) for g in self.groups
        )


def read_index(folder: Path) -> Index | None:
    """The index of the panel file in ``folder``; None where there is none that can be used."""
    try:
        content = unsealed((folder / INDEX_NAME).read_bytes())
        if content is None:
            return None
        index = msgspec.json.decode(content, type=Index)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    wanted = [(folder / _data_name(name, index.data), index.cells * _BYTES) for name in index.channels]
    wanted += [(folder / index.tail, 0), (folder / index.runs, 0)]
    whole = all(path.is_file() and path.stat().st_size >= size for path, size in wanted)
    return index if index.format == FORMAT and whole else None


def write_index(folder: Path, index: Index) -> None:
    """Make ``index`` the folder's, durable, in one step; then remove the files that it does not name."""
    temporary = folder / f"{INDEX_NAME}.{uuid4().hex[:8]}.tmp"
    _write_synced(temporary, sealed(msgspec.json.encode(index)))
    os.replace(temporary, folder / INDEX_NAME)
    sync_folder(folder)
    remove_unnamed(folder, index)


def remove_unnamed(folder: Path, index: Index | None) -> None:
    """Remove what ``index`` does not name: earlier generations, and what a build that died has left.

    Only the holder of the folder's lock may.
    """
    named = {INDEX_NAME}
    if index is not None:
        named |= {index.tail, index.runs, *(_data_name(name, index.data) for name in index.channels)}
    for path in folder.iterdir():
        if path.name not in named and not path.name.startswith("."):
            with contextlib.suppress(OSError):  # where an open file cannot be removed, the next one will
                path.unlink()


def new_name(kind: str) -> str:
    """A name for a file of tails or runs that nobody has yet."""
    return f"{kind}.{uuid4().hex[:12]}.npy"


def save_array(path: Path, array: np.ndarray) -> str:
    """Write ``array`` as .npy and make it durable; its seal."""
    with path.open("xb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    return seal_of(path)


class DataFiles:
    """The data files of one generation, for writing: regions are taken at the end and filled.

    Args:
        folder: the panel file's folder.
        generation: which files; None for new ones.
        channels: what they hold.
        cells: cells that are taken already.
    """

    def __init__(
        self, folder: Path, channels: Iterable[str], generation: str | None = None, cells: int = 0
    ) -> None:
        self.generation = generation or uuid4().hex[:12]
        self.cells = cells
        self._paths = {name: folder / _data_name(name, self.generation) for name in channels}
        self._files = {name: path.open("r+b" if generation else "xb") for name, path in self._paths.items()}

    def take(self, capacity: int) -> int:
        """The offset of a new region with room for so many rows; holes cost no disk."""
        offset = self.cells
        self.cells += -(-capacity * LANES // ALIGNMENT) * ALIGNMENT
        for file in self._files.values():
            file.truncate(self.cells * _BYTES)
        return offset

    def put(self, offset: int, row: int, matrices: Mapping[str, np.ndarray]) -> None:
        """Write (rows, LANES) float64 of each channel from ``row`` of the region at ``offset`` on."""
        sys.audit("mexclab.panel_file.put", offset, row)
        for name, file in self._files.items():
            file.seek((offset + row * LANES) * _BYTES)
            file.write(np.ascontiguousarray(matrices[name], dtype="<f8").data)

    def sync(self) -> None:
        """Make durable what was put."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()


class Opened:
    """A panel file that is open for reading: mapped files, with the tail laid over them.

    Attributes:
        index: what it is.
        arrays: (cells,) float64 for each channel.
        tails: (tail rows, LANES) views of ``arrays`` by channel, for each group.
        runs: (4, n) int64 runs of frozen bars: group, lane, first row, bars.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self.index = index
        try:
            for name, seal in zip((index.tail, index.runs), index.seals, strict=True):
                check_seal(folder / name, seal)
            tails = np.load(folder / index.tail, allow_pickle=False)
            self.runs = np.load(folder / index.runs, allow_pickle=False)
            self.arrays = {
                name: _mapped(folder / _data_name(name, index.data), index.cells) for name in index.channels
            }
            for channel, name in enumerate(index.channels):
                begin = 0
                for group in index.groups:
                    beyond = begin + group.rows - group.frozen
                    self.rows(name, group, group.frozen)[:] = tails[channel, begin:beyond]
                    begin = beyond
        except (ValueError, EOFError, IndexError) as why:
            raise DataError(
                f"{folder} is damaged ({why}); delete the folder, it is made anew from the lake",
                path=str(folder),
            ) from why

    def rows(self, channel: str, group: GroupRecord, begin: int, end: int | None = None) -> np.ndarray:
        """(rows, LANES) view of a group's rows ``begin`` to ``end`` (None: the last one in use)."""
        beyond = group.rows if end is None else end
        flat = self.arrays[channel][group.offset + begin * LANES : group.offset + beyond * LANES]
        return flat.reshape(-1, LANES)


def runs_in(rows: np.ndarray) -> np.ndarray:
    """(3, n) int64: lane, first row and bars of each run in (rows, LANES) values; by lane, then row."""
    there = np.zeros((len(rows) + 2, LANES), dtype=np.int8)
    there[1:-1] = ~np.isnan(rows)
    turns = np.diff(there, axis=0).T
    lanes, firsts = np.nonzero(turns == 1)
    ends = np.nonzero(turns == -1)[1]
    return np.stack([lanes, firsts, ends - firsts]).astype(np.int64)


def joined(before: np.ndarray, after: np.ndarray, row: int) -> np.ndarray:
    """Runs below ``row`` and runs from ``row`` on (counted from 0 there) as one; shapes as `runs_in`."""
    after = after + np.array([[0], [row], [0]])
    touching = before[1] + before[2] == row
    ends = np.full(LANES, -1)
    ends[before[0, touching]] = np.flatnonzero(touching)
    goes_on = (after[1] == row) & (ends[after[0]] >= 0)
    before = before.copy()
    before[2, ends[after[0, goes_on]]] += after[2, goes_on]
    every = np.concatenate([before, after[:, ~goes_on]], axis=1)
    return every[:, np.lexsort((every[1], every[0]))]


def panel_runs(index: Index, by_group: Iterable[np.ndarray], interval_ns: int) -> Runs:
    """Runs of all groups, as a panel takes them: in order of symbol and time, free lanes left out."""
    _, groups = index.layout()
    found = [np.empty((4, 0), dtype=np.int64)]
    for group, (lanes, firsts, bars) in zip(groups, by_group, strict=True):
        owners = np.array(group.symbols, dtype=np.int64)[lanes]
        cells = group.offset + firsts * LANES + lanes
        found.append(np.stack([owners, cells, bars, group.first_ns + firsts * interval_ns]))
    every = np.concatenate(found, axis=1)
    every = every[:, every[0] != EMPTY]
    return Runs(*np.ascontiguousarray(every[:, np.lexsort((every[3], every[0]))]))


def _mapped(path: Path, cells: int) -> np.ndarray:
    """(cells,) float64: pages of the file until they are written to, then private ones."""
    with path.open("rb") as file:
        if sys.platform == "win32":
            raw = mmap.mmap(file.fileno(), cells * _BYTES, access=mmap.ACCESS_COPY)
        else:
            # nothing is reserved: all but the tail stays pages of the file, however large it is
            flags = mmap.MAP_PRIVATE | _NORESERVE
            raw = mmap.mmap(file.fileno(), cells * _BYTES, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(raw, dtype="<f8")


def _data_name(channel: str, generation: str) -> str:
    return f"{channel}.{generation}.f64"


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
