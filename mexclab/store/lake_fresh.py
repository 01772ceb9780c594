"""Fresh bars: what came since the last compaction, one small file of many symbols per append.

Files under ``<root>/fresh/<interval>/`` are written once, never changed, and removed when their bars are
in the months (or in a larger fresh file). Of two files the one with the higher number is newer: its bars
take the place of older ones. ``000000000042-1-9f3c01aa.parquet`` is number 42, level 1.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mexclab.errors import DataError
from mexclab.store import lake_partition
from mexclab.store.lake_layout import FRAME_SCHEMA, FRESH, FRESH_SCHEMA, INTERVAL_MS, NUMBERS, TS, interval_ms
from mexclab.store.lake_partition import Footer

FAN_IN = 8
"""So many files of one level become one of the next: a day of flushes once a minute leaves a dozen
files, and each bar is written at most four times."""

FEW = 16  # symbols that are looked up in all files at once instead of reading whole files to keep
KEEP_ROWS = 65_536  # a file of at most so many bars is kept in memory once it was read

_NAME = re.compile(r"(\d{12})-(\d)-[0-9a-f]{8}\.parquet")
_SYMBOLS = b"mexclab.symbols"
_TRIES = 50
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class FreshFile:
    """One fresh file and what its footer says."""

    path: Path
    number: int
    level: int
    footer: Footer
    names: bytes  # compressed JSON: two thousand names would be most of the work of opening a file

    @property
    def symbols(self) -> frozenset[str]:
        """Whose bars it holds.

        Raises:
            DataError: the file is damaged.
        """
        try:
            return _symbols_in(self.names)
        except (ValueError, zlib.error) as why:
            raise _damaged(self.path, why) from why

    def meets(self, symbols: Collection[str] | None, start_ms: int | None, end_ms: int | None) -> bool:
        """Whether it may hold a bar of ``symbols`` (None: any) in ``[start_ms, end_ms)``."""
        return (
            (start_ms is None or self.footer.last_ms >= start_ms)
            and (end_ms is None or self.footer.first_ms < end_ms)
            and (symbols is None or not self.symbols.isdisjoint(symbols))
        )


class Fresh:
    """The fresh files of a lake. Only the holder of the lake's pen adds, merges or removes any."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[Path, FreshFile] = {}
        self._frames: dict[Path, pl.DataFrame] = {}

    def intervals(self) -> list[str]:
        """The intervals that have fresh bars."""
        return [interval for interval in INTERVAL_MS if self._paths(interval)]

    def files(self, interval: str) -> list[FreshFile]:
        """The fresh files of ``interval``, oldest first.

        Raises:
            DataError: one is cut short, damaged or no fresh file.
        """
        return _steady(lambda: self._listed(interval))

    def symbols(self, interval: str) -> set[str]:
        """Who has fresh bars at ``interval``."""
        return _names(self.files(interval))

    def bars(
        self,
        interval: str,
        symbols: Collection[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> pl.DataFrame:
        """The fresh bars as they are now, each once and the newest of each, sorted by symbol and ts.

        Whoever reads months beside them reads the months afterwards: a compaction that removes a file
        meanwhile has put its bars there before.

        Raises:
            DataError: a file that is needed is damaged.
        """
        return self.look(interval, symbols, start_ms, end_ms)[0]

    def look(
        self,
        interval: str,
        symbols: Collection[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> tuple[pl.DataFrame, set[str]]:
        """As `bars`, and at the same moment who has fresh bars at all, in the range or not."""
        interval_ms(interval)

        def ask() -> tuple[pl.DataFrame, set[str]]:
            files = self._listed(interval)
            return self.bars_in(files, symbols, start_ms, end_ms), _names(files)

        return _steady(ask)

    def bars_in(
        self,
        files: Sequence[FreshFile],
        symbols: Collection[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> pl.DataFrame:
        """As `bars`, of these files.

        Raises:
            FileNotFoundError: one of them was removed meanwhile.
        """
        wanted = [file for file in files if file.meets(symbols, start_ms, end_ms)]
        keep = _within(symbols, start_ms, end_ms)
        if symbols is not None and len(symbols) <= FEW:
            pieces = [piece for piece in self._few(wanted, keep) if piece.height]
        else:
            pieces = [piece for file in wanted if (piece := self._read(file, keep)).height]
        if not pieces:
            return FRAME_SCHEMA.to_frame()
        ordered = pl.concat(pieces).sort("symbol", "ts", maintain_order=True)
        return ordered.unique(["symbol", "ts"], keep="last", maintain_order=True)

    def add(self, interval: str, bars: pl.DataFrame) -> None:
        """Keep ``bars`` (as `lake_checks.admitted` returns them) in a file of their own.

        Raises:
            DataError: the disk is full or cannot be written; nothing changed.
        """
        newest = max((number for _, number, _ in self._paths(interval)), default=0)
        self._put(interval, bars, newest + 1, 0)

    def merge(self, interval: str) -> None:
        """Make one file of `FAN_IN` of a level, level by level, so that readers open few."""
        level = 0
        while len(small := [file for file in self.files(interval) if file.level == level]) >= FAN_IN:
            self._put(interval, self.bars_in(small), small[-1].number, level + 1)
            self.remove(small)
            level += 1

    def remove(self, files: Sequence[FreshFile]) -> None:
        """Take files away whose bars are kept elsewhere, oldest first."""
        for file in files:
            file.path.unlink(missing_ok=True)
        for folder in {file.path.parent for file in files}:
            lake_partition.sync_folder(folder)

    # the inside

    def _paths(self, interval: str) -> list[tuple[Path, int, int]]:
        """Path, number and level of each file, oldest first."""
        found = []
        try:
            names = os.listdir(self._folder(interval))
        except FileNotFoundError:
            return []
        for name in sorted(names):
            match = _NAME.fullmatch(name)
            if match is not None:
                found.append((self._folder(interval) / name, int(match[1]), int(match[2])))
            elif name.endswith(".parquet"):
                raise DataError(
                    f"{self._folder(interval) / name} is not a file of the lake; move it out and import it "
                    "with `mexclab import`",
                    path=str(self._folder(interval) / name),
                )
        return found

    def _folder(self, interval: str) -> Path:
        return self.root / FRESH / interval

    def _listed(self, interval: str) -> list[FreshFile]:
        paths = self._paths(interval)
        known = {path: self._files.get(path) or _opened(path, number, level) for path, number, level in paths}
        for gone in [
            path for path in list(self._files) if path.parent == self._folder(interval) and path not in known
        ]:
            self._files.pop(gone, None)
            self._frames.pop(gone, None)
        self._files.update(known)
        return list(known.values())

    def _few(self, files: Sequence[FreshFile], keep: pl.Expr) -> list[pl.DataFrame]:
        """What a few symbols have in ``files``, in one query where not every file is in memory."""
        if not files or all(file.path in self._frames for file in files):
            return [self._read(file, keep) for file in files]
        query = pl.scan_parquet([file.path for file in files], glob=False, hive_partitioning=False)
        try:
            return [query.filter(keep).collect().cast(FRAME_SCHEMA)]
        except FileNotFoundError:
            raise
        except (OSError, pl.exceptions.PolarsError):
            return [self._read(file, keep) for file in files]  # names the file that is damaged

    def _read(self, file: FreshFile, keep: pl.Expr) -> pl.DataFrame:
        kept = self._frames.get(file.path)
        if kept is not None:
            return kept.filter(keep)
        small = file.footer.rows <= KEEP_ROWS
        query = pl.scan_parquet(file.path, glob=False, hive_partitioning=False)
        try:
            bars = (query if small else query.filter(keep)).collect().cast(FRAME_SCHEMA)
        except FileNotFoundError:
            raise
        except (OSError, pl.exceptions.PolarsError) as why:
            raise _damaged(file.path, why) from why
        if not small:
            return bars
        self._frames[file.path] = bars
        return bars.filter(keep)

    def _put(self, interval: str, bars: pl.DataFrame, number: int, level: int) -> None:
        names = json.dumps(bars["symbol"].unique().sort().to_list(), ensure_ascii=False)
        table = bars.select(*FRAME_SCHEMA).to_arrow().cast(FRESH_SCHEMA)
        table = table.replace_schema_metadata({_SYMBOLS: b64encode(zlib.compress(names.encode()))})
        path = self._folder(interval) / f"{number:012}-{level}-{uuid4().hex[:8]}.parquet"
        lake_partition.put(path, table, self.root, dict.fromkeys(NUMBERS, "PLAIN"))


def _steady(ask: Callable[[], _Answer]) -> _Answer:
    """The answer of ``ask``, which starts again when a file was merged or compacted away under it."""
    for _ in range(_TRIES):
        try:
            return ask()
        except FileNotFoundError:
            continue
    return ask()


@lru_cache(maxsize=64)
def _symbols_in(names: bytes) -> frozenset[str]:
    return frozenset(json.loads(zlib.decompress(b64decode(names))))


def _names(files: Sequence[FreshFile]) -> set[str]:
    return set().union(*(file.symbols for file in files))


def _within(symbols: Collection[str] | None, start_ms: int | None, end_ms: int | None) -> pl.Expr:
    keep = pl.lit(True) if symbols is None else pl.col("symbol").is_in(list(symbols))
    if start_ms is not None:
        keep &= pl.col("ts") >= pl.lit(start_ms, pl.Int64).cast(TS)
    if end_ms is not None:
        keep &= pl.col("ts") < pl.lit(end_ms, pl.Int64).cast(TS)
    return keep


def _opened(path: Path, number: int, level: int) -> FreshFile:
    try:
        meta = pq.read_metadata(path)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as why:
        raise _damaged(path, why) from why
    names = (meta.metadata or {}).get(_SYMBOLS)
    if names is None or not meta.schema.to_arrow_schema().remove_metadata().equals(FRESH_SCHEMA):
        raise DataError(
            f"{path} holds other columns than fresh bars; move it out of the lake and import it with "
            "`mexclab import`",
            path=str(path),
        )
    footer = lake_partition.footer_of(meta, FRESH_SCHEMA.get_field_index("ts"))
    return FreshFile(path, number, level, footer, names)


def _damaged(path: Path, why: BaseException) -> DataError:
    return DataError(
        f"{path} (fresh bars) is cut short or damaged: {str(why).splitlines()[0]}. Delete the file and fetch "
        "those bars again; `mexclab lake gaps` names them",
        path=str(path),
    )
