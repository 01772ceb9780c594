"""A panel file in the making: groups are laid, extended or kept, and then become the folder's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mexclab.errors import DataError
from mexclab.research import series
from mexclab.research.lanes import LANES, Group, Stretch
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import interval_ms
from mexclab.store.panel_file_index import (
    CLOSE,
    DataFiles,
    GroupRecord,
    Index,
    joined,
    new_name,
    runs_in,
    save_array,
    write_index,
)
from mexclab.store.panel_file_stamps import Stamps

Matrices = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Room:
    """How much is kept movable, and how much is set aside.

    Args:
        keep: rows of a group that stay in the tail when older ones are frozen.
        limit: rows of a tail beyond which that happens.
        spare: room for more rows behind a group, as a share of those in use; a hole in the file.
    """

    keep: int = 256
    limit: int = 1024
    spare: float = 0.5

    def capacity(self, rows: int) -> int:
        """Rows to set aside for a group that has so many."""
        return rows + max(self.limit, int(rows * self.spare))


@dataclass(frozen=True, slots=True)
class Source:
    """The bars of a lake, as log closes and channels.

    Args:
        lake: where they are.
        interval: which bars.
        channels: CLOSE first, then what else is wanted.
    """

    lake: Lake
    interval: str
    channels: tuple[str, ...]

    @property
    def step_ns(self) -> int:
        """Length of a bar."""
        return interval_ms(self.interval) * 1_000_000

    @property
    def columns(self) -> list[str]:
        """What is read of each bar."""
        return ["close", *(column for name in self.channels[1:] for column in series.CHANNELS[name])]

    def read(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> tuple[np.ndarray, Matrices]:
        """(n,) open times in ns of the bars in the half-open range, and (n,) values of each channel.

        Raises:
            DataError: the lake does not know the symbol, or a partition is damaged.
        """
        query = self.lake.scan(symbol, start_ns, end_ns, self.interval)
        try:
            bars = query.select("ts", *self.columns).collect()
        except (OSError, pl.exceptions.PolarsError):
            bars = self.lake.bars(symbol, start_ns, end_ns, self.interval)  # names the file that is damaged
        return self._values(symbol, bars)

    def by_symbol(self, bars: pl.DataFrame) -> dict[str, tuple[np.ndarray, Matrices]]:
        """The same, of bars that are at hand, sorted by symbol and ts."""
        if not bars.height:
            return {}
        times, values = self._values("fresh bars", bars)
        names = bars["symbol"]
        firsts = np.flatnonzero(np.append(True, (names != names.shift()).to_numpy()[1:]))
        owners = names.gather(firsts).to_list()
        pieces = {name: np.split(whole, firsts[1:]) for name, whole in values.items()}
        return {
            owner: (part, {name: parts[at] for name, parts in pieces.items()})
            for at, (owner, part) in enumerate(zip(owners, np.split(times, firsts[1:]), strict=True))
        }

    def _values(self, symbol: str, bars: pl.DataFrame) -> tuple[np.ndarray, Matrices]:
        times = bars["ts"].dt.epoch("ns").to_numpy()
        made = {CLOSE: np.log(bars["close"].to_numpy())}
        for name in self.channels[1:]:
            raw = {column: bars[column].to_numpy() for column in series.CHANNELS[name]}
            try:
                made[name] = series.channel(name, raw)
            except DataError as why:
                raise DataError(f"{symbol}: {why.message}", symbol=symbol, **why.data) from None
        return times, made


class Draft:
    """Collects the groups of the next index.

    Args:
        folder: the panel file's folder.
        source: what the bars are.
        data: the data files to write to.
        room: see `Room`.
    """

    def __init__(self, folder: Path, source: Source, data: DataFiles, room: Room) -> None:
        self.data = data
        self._folder = folder
        self._source = source
        self._room = room
        self._groups: list[GroupRecord] = []
        self._tails: list[Matrices] = []
        self._runs: list[np.ndarray] = []

    def keep(self, record: GroupRecord, tails: Matrices, runs: np.ndarray) -> None:
        """A group whose frozen rows stay as they are: its tail, and the runs of its frozen rows.

        A tail that has grown too long is frozen but for its last rows.
        """
        size = record.rows - record.frozen
        if size > self._room.limit:
            done = size - self._room.keep
            self.data.put(record.offset, record.frozen, {name: tail[:done] for name, tail in tails.items()})
            runs = joined(runs, runs_in(tails[CLOSE][:done]), record.frozen)
            tails = {name: tail[done:] for name, tail in tails.items()}
            record = _with(record, frozen=record.frozen + done)
        self._groups.append(record)
        self._tails.append({name: np.array(tail) for name, tail in tails.items()})
        self._runs.append(runs)

    def lay(self, first_ns: int, symbols: Sequence[str | None], matrices: Matrices) -> None:
        """A group at a new place: (rows, LANES) values of each channel, NaN where there is no bar."""
        rows = len(matrices[CLOSE])
        capacity = self._room.capacity(rows)
        frozen = max(0, rows - self._room.keep)
        offset = self.data.take(capacity)
        self.data.put(offset, 0, {name: matrix[:frozen] for name, matrix in matrices.items()})
        record = GroupRecord(offset, capacity, frozen, rows, first_ns, tuple(symbols))
        self.keep(
            record,
            {name: matrix[frozen:] for name, matrix in matrices.items()},
            runs_in(matrices[CLOSE][:frozen]),
        )

    def lay_stretches(
        self, names: Sequence[str], groups: Sequence[Group], pieces: Sequence[Stretch]
    ) -> Iterable[int]:
        """Read stretches from the lake and lay them out in these groups; yields each group's lanes in use.

        Args:
            names: the symbols, as groups and pieces number them.
            groups: have a lane for each piece.
        """
        step = self._source.step_ns
        homes: dict[int, list[Stretch]] = {at: [] for at in range(len(groups))}
        for piece in pieces:
            fits = (at for at, group in enumerate(groups) if _holds(group, piece, step))
            homes[next(fits)].append(piece)
        for at, group in enumerate(groups):
            matrices = {name: np.full((group.rows, LANES), np.nan) for name in self._source.channels}
            for piece in homes[at]:
                times, values = self._source.read(names[piece.symbol], piece.first_ns, piece.last_ns + step)
                rows = (times - group.first_ns) // step
                for name, matrix in matrices.items():
                    matrix[rows, group.symbols.index(piece.symbol)] = values[name]
            owners = [names[place] if place >= 0 else None for place in group.symbols]
            self.lay(group.first_ns, owners, matrices)
            yield len(homes[at])

    def finish(self, stamps: Stamps) -> Index:
        """Make it durable, and the folder's index."""
        self.data.sync()
        channels = self._source.channels
        numbered = [
            np.concatenate([np.full((1, runs.shape[1]), at), runs]) for at, runs in enumerate(self._runs)
        ]
        tails = [np.concatenate([tail[name] for tail in self._tails]) for name in channels]
        tail, runs = new_name("tail"), new_name("runs")
        seals = (
            save_array(self._folder / tail, np.stack(tails)),
            save_array(self._folder / runs, np.concatenate(numbered, axis=1).astype(np.int64)),
        )
        index = Index(
            interval=self._source.interval,
            channels=channels,
            data=self.data.generation,
            cells=self.data.cells,
            tail=tail,
            runs=runs,
            seals=seals,
            groups=tuple(self._groups),
            stamps=stamps,
        )
        write_index(self._folder, index)
        return index


def _with(record: GroupRecord, frozen: int) -> GroupRecord:
    return GroupRecord(record.offset, record.capacity, frozen, record.rows, record.first_ns, record.symbols)


def _holds(group: Group, piece: Stretch, step_ns: int) -> bool:
    return (
        piece.symbol in group.symbols
        and group.first_ns <= piece.first_ns
        and piece.last_ns < group.first_ns + group.rows * step_ns
        and (piece.first_ns - group.first_ns) % step_ns == 0
    )
