"""One file of the lake: checked before it is read, put in its place in one step when it is written."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mexclab.errors import DataError
from mexclab.store.lake_layout import FILE_SCHEMA, NUMBERS, UNFINISHED, Partition

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SAMPLE = 8192
"""Values of a column that are compressed both ways before it is written: split into byte streams (better
for full-precision floats) or plain (better for short decimals, as venues quote them). Readers accept
either; docs/decisions/0003-parquet-lake.md has the sizes that were measured."""

ZSTD_LEVEL = 3
ROWS_A_GROUP = 65_536  # a month of minutes is one group; a reader of one symbol skips the groups of others
TEMPORARY = ".tmp"
_EVER = 2**62
LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself: how many bars, and the open times (ms) of its first and last one."""

    rows: int
    first_ms: int
    last_ms: int

    @property
    def known(self) -> bool:
        """Whether the file tells its extent; without it, its bars may lie anywhere."""
        return self.first_ms > -_EVER and self.last_ms < _EVER


def check(partition: Partition) -> Footer:
    """Read the footer and compare it with what a partition must hold.

    Raises:
        DataError: the file is cut short, is not Parquet, has other columns, no bar or bars of another month.
    """
    try:
        meta = pq.read_metadata(partition.path)
    except (OSError, pa.ArrowException) as why:
        raise _unreadable(partition, why) from why
    found = meta.schema.to_arrow_schema().remove_metadata()
    if not found.equals(FILE_SCHEMA):
        raise DataError(
            f"{partition.path} ({partition.symbol}) has the columns {_described(found)}; a partition holds "
            f"{_described(FILE_SCHEMA)}. Move it out of the lake and import it with `mexclab import`",
            path=str(partition.path),
            symbol=partition.symbol,
        )
    first, beyond = partition.span_ms
    footer = footer_of(meta, 0)
    if not footer.rows:
        raise _unreadable(partition, "it holds no bar")
    if footer.first_ms > footer.last_ms:
        raise _unreadable(partition, "its last bar comes before its first")
    if footer.known and (footer.first_ms < first or footer.last_ms >= beyond):
        raise DataError(
            f"{partition.path} ({partition.symbol}) holds bars outside {partition.month}; it was "
            "renamed or copied by hand. Move it out of the lake and import it with `mexclab import`",
            path=str(partition.path),
            symbol=partition.symbol,
        )
    return footer


def footer_of(meta: pq.FileMetaData, ts: int) -> Footer:
    """Rows and extent of a file whose column number ``ts`` holds the open times.

    A foreign file may leave out the statistics of its groups: its extent then counts as all of time.
    """
    firsts, lasts = [], []
    for group in range(meta.num_row_groups):
        seen = meta.row_group(group).column(ts).statistics
        known = seen is not None and seen.has_min_max
        firsts.append(seen.min_raw if known else -_EVER)
        lasts.append(seen.max_raw if known else _EVER)
    return Footer(meta.num_rows, min(firsts, default=0), max(lasts, default=0))


def read(partition: Partition) -> pl.DataFrame:
    """The whole partition: ts, open, high, low, close, volume; sorted by ts, unique.

    Raises:
        DataError: as `check`, and when a page of data cannot be decoded.
    """
    check(partition)
    try:
        with partition.path.open(
            "rb"
        ) as file:  # polars opens a path twice, and it may be replaced in between
            return pl.read_parquet(file, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as why:
        raise _unreadable(partition, why) from why


def times(partition: Partition) -> pl.Series:
    """The open times of the partition, sorted.

    Raises:
        DataError: as `read`.
    """
    check(partition)
    try:
        with partition.path.open("rb") as file:
            return pl.read_parquet(file, columns=["ts"], hive_partitioning=False).to_series()
    except (OSError, pl.exceptions.PolarsError) as why:
        raise _unreadable(partition, why) from why


def write(partition: Partition, bars: pl.DataFrame) -> None:
    """Put ``bars`` in the partition's place: whoever reads sees the old file or the new one, whole.

    Args:
        partition: whose file it is.
        bars: ts and the five numbers, sorted by ts.

    Raises:
        DataError: the disk is full or cannot be written; the old file is as it was.
    """
    table = bars.select("ts", *NUMBERS).to_arrow().cast(FILE_SCHEMA)
    encodings = {name: float_encoding(bars[name]) for name in NUMBERS}
    put(partition.path, table, partition.root, encodings)


def put(path: Path, table: pa.Table, root: Path, encodings: Mapping[str, str]) -> None:
    """Write ``table`` to ``path`` in one step: made in the lake's unfinished folder, synced, then renamed.

    Args:
        path: where it is to be, below ``root``.
        table: has a column ts, which is delta-coded.
        root: the lake's folder.
        encodings: Parquet encodings of the other columns; those left out get a dictionary.

    Raises:
        DataError: the disk is full or cannot be written; what was at ``path`` is as it was.
    """
    temporary = root / UNFINISHED / f"{path.stem}.{os.getpid()}.{uuid4().hex[:8]}{TEMPORARY}"
    try:
        _make_folder(temporary.parent)
        _make_folder(path.parent)
        try:
            _write_parquet(temporary, table, encodings)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as why:
        raise DataError(
            f"{path} could not be written ({why}); what was there is unchanged. "
            "Make room or fix the permissions and run the same command again",
            path=str(path),
        ) from why


def _write_parquet(path: Path, table: pa.Table, encodings: Mapping[str, str]) -> None:
    said = {"ts": "DELTA_BINARY_PACKED", **encodings}
    with path.open("xb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=[name for name in table.column_names if name not in said],
            column_encoding=said,
            row_group_size=ROWS_A_GROUP,
        )
        file.flush()
        os.fsync(file.fileno())


def float_encoding(column: pl.Series) -> str:
    """BYTE_STREAM_SPLIT or PLAIN, whichever zstd makes smaller on a sample of this very column."""
    values = column.head(SAMPLE).to_numpy().astype("<f8")
    split = values.view("u1").reshape(-1, 8).T.tobytes()
    codec = pa.Codec("zstd", ZSTD_LEVEL)
    return (
        "BYTE_STREAM_SPLIT" if len(codec.compress(split)) < len(codec.compress(values.tobytes())) else "PLAIN"
    )


def sweep(root: Path) -> int:
    """Delete what writers left behind when they died; call it under the lock. Returns how many files."""
    leftovers = list((root / UNFINISHED).glob(f"*{TEMPORARY}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut (a no-op where folders cannot be synced)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(root: Path, wait_s: float, name: str = LOCK_NAME) -> Iterator[None]:
    """Hold the lake's only pen. The lock goes away with the process, however it dies.

    Args:
        root: the lake's folder.
        wait_s: how long to wait for another holder.
        name: the lock's file; compactions have one of their own beside the pen.

    Raises:
        DataError: another writer still holds it after ``wait_s`` seconds, or the folder is read-only.
    """
    try:
        _make_folder(root)
        file = (root / name).open("ab")
    except OSError as why:
        raise DataError(
            f"the lake {root} cannot be written ({why}); fix the permissions or name another folder",
            path=str(root),
        ) from why
    with file:
        deadline = time.monotonic() + wait_s
        while not _grab(file):
            if time.monotonic() >= deadline:
                raise DataError(
                    f"another process has been writing to the lake {root} for {wait_s:g} s; "
                    "wait for it to finish and try again",
                    path=str(root),
                )
            time.sleep(0.02)
        try:
            yield
        finally:
            _let_go(file)


@contextmanager
def locked_if_free(root: Path, name: str) -> Iterator[bool]:
    """Hold a lock of the lake if nobody else does; yields whether it is held."""
    with (root / name).open("ab") as file:
        held = _grab(file)
        try:
            yield held
        finally:
            if held:
                _let_go(file)


def _grab(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _let_go(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


def _make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, each entry durable before the next."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _unreadable(partition: Partition, why: BaseException | str) -> DataError:
    return DataError(
        f"{partition.path} ({partition.symbol}, {partition.interval}) is cut short or damaged: "
        f"{str(why).splitlines()[0]}. Delete the file and import that month again",
        path=str(partition.path),
        symbol=partition.symbol,
        interval=partition.interval,
    )
