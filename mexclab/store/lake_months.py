"""The month partitions of a lake: which there are, what their footers say, their bars."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from mexclab.errors import DataError
from mexclab.store import lake_footers, lake_partition
from mexclab.store.lake_footers import Kept
from mexclab.store.lake_layout import (
    NUMBERS,
    Partition,
    folder_of,
    interval_folder,
    interval_ms,
    partitions_in,
    symbol_of,
)
from mexclab.store.lake_partition import Footer


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes whenever a file is replaced."""

    mtime_ns: int
    size: int
    inode: int


class Months:
    """The partitions below ``root/bars``. Footers are read once and kept until the file is replaced.

    Whoever is about to look at many calls `recall` before, and `remember` afterwards: what other processes
    have read need not be read again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._footers: dict[Path, tuple[Stamp, Footer]] = {}
        self._recalled: dict[str, Kept] = {}
        self._news = 0  # footers that were read here, since they were remembered

    def recall(self) -> None:
        """Take in what was remembered."""
        if not self._footers and not self._recalled:
            self._recalled = lake_footers.read(self.root)

    def remember(self) -> None:
        """Keep what was read here for others, if it is worth a file."""
        if self._news < lake_footers.FEW:
            return
        beyond = len(str(self.root)) + 1
        known = {
            str(path)[beyond:]: Kept(s.mtime_ns, s.size, s.inode, f.rows, f.first_ms, f.last_ms)
            for path, (s, f) in self._footers.items()
        }
        lake_footers.write(self.root, lake_footers.read(self.root) | known)
        self._news = 0

    def symbols(self, interval: str) -> list[str]:
        """Who has a partition at ``interval``, sorted; a folder that a crash left empty is nobody."""
        return sorted(symbol_of(folder.name) for folder in self._folders(interval) if _holds_bars(folder))

    def all(self, interval: str) -> list[Partition]:
        """Every partition of ``interval``, by symbol and month."""
        return [part for parts in self.by_symbol(interval).values() for part in parts]

    def by_symbol(self, interval: str) -> dict[str, list[Partition]]:
        """As `all`, per symbol; who has no partition is not there."""
        folders = {symbol_of(folder.name): folder for folder in self._folders(interval)}
        found = {symbol: partitions_in(folders[symbol], interval) for symbol in sorted(folders)}
        return {symbol: parts for symbol, parts in found.items() if parts}

    def of(self, symbol: str, interval: str) -> list[Partition]:
        """The partitions of one symbol, oldest first; none where there are none."""
        folder = interval_folder(self.root, interval) / folder_of(symbol)
        return partitions_in(folder, interval) if folder.is_dir() else []

    def footer(self, part: Partition) -> Footer | None:
        """What the partition's footer says; None where there is no such file.

        Raises:
            DataError: as `lake_partition.check`.
        """
        try:
            stamp = stamp_of(part.path)
        except FileNotFoundError:
            return None
        kept = self._footers.get(part.path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        footer = self._as_recalled(part, stamp)
        if footer is None:
            footer = lake_partition.check(part)
            self._news += 1
        self._footers[part.path] = (stamp, footer)
        return footer

    def _as_recalled(self, part: Partition, stamp: Stamp) -> Footer | None:
        if not self._recalled:
            return None
        kept = self._recalled.get(str(part.path)[len(str(self.root)) + 1 :])
        if kept is None or Stamp(kept.mtime_ns, kept.size, kept.inode) != stamp:
            return None
        return Footer(kept.rows, kept.first_ms, kept.last_ms)

    def check(self, parts: Iterable[Partition]) -> None:
        """Read the footers that are not known yet.

        Raises:
            DataError: a partition is damaged, or went away.
        """
        for part in parts:
            if self.footer(part) is None:
                lake_partition.check(part)

    def within(self, parts: Iterable[Partition], start_ms: int | None, end_ms: int | None) -> list[Partition]:
        """Those that, by their footers, may hold a bar of [start_ms, end_ms); None is unbounded.

        Raises:
            DataError: a partition is damaged, or went away.
        """
        found = []
        for part in parts:
            footer = self.footer(part) or lake_partition.check(part)
            if (start_ms is None or footer.last_ms >= start_ms) and (
                end_ms is None or footer.first_ms < end_ms
            ):
                found.append(part)
        return found

    def stored(self, part: Partition, from_ms: int | None = None) -> pl.DataFrame | None:
        """The partition's bars; None where it has none (or, by its footer, none from ``from_ms`` on)."""
        footer = self.footer(part)
        if footer is None or (from_ms is not None and footer.last_ms < from_ms):
            return None
        return lake_partition.read(part)

    def _folders(self, interval: str) -> list[Path]:
        interval_ms(interval)
        folder = interval_folder(self.root, interval)
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if e.name.startswith("symbol=") and e.is_dir()]


def stamp_of(path: Path) -> Stamp:
    """The stamp of the file at ``path``.

    Raises:
        FileNotFoundError: there is none.
    """
    status = path.stat()
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def lazy(symbol: str, parts: Sequence[Partition], hold: bool) -> pl.LazyFrame:
    """The bars of one symbol's partitions, oldest first.

    Args:
        symbol: whose partitions.
        parts: at least one.
        hold: open the files now and keep them open as long as the query exists, so that it reads these very
            files though a writer puts others in their place. By name, polars looks at a file's footer first
            and at its pages later, and a replacement in between is an error.
    """
    # A scan per symbol: polars' own hive parser trips over a "key=value" folder above the lake.
    with ExitStack() as opened:
        paths = [part.path for part in parts]
        files: list[IO[bytes]] = [opened.enter_context(path.open("rb")) for path in paths if hold]
        query = pl.scan_parquet(files or paths, glob=False, hive_partitioning=False)
    return query.select(pl.lit(symbol).alias("symbol"), "ts", *NUMBERS)


def unknown(symbol: str, interval: str, known: Sequence[str]) -> DataError:
    """The sentence for a symbol that the lake does not have, with the names nearest to it."""
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(symbol.casefold(), folded, n=3, cutoff=0.5)
    nearest = [folded[name] for name in near]
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "see lake.symbols() for those there are"
    return DataError(
        f"the lake has no {interval} bars of {symbol!r}; {hint}",
        symbol=symbol,
        interval=interval,
        nearest=nearest,
    )


def _holds_bars(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(e.name.endswith(".parquet") and not e.name.startswith(".") for e in entries)
