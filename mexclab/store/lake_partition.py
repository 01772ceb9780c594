"""One partition file: checked before it is read, replaced in one step when it is written."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mexclab.errors import DataError
from mexclab.store.lake_layout import FILE_SCHEMA, NUMBERS, Partition

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SAMPLE = 8192
"""Values of a column that are compressed both ways before it is written: split into byte streams (better
for full-precision floats) or plain (better for short decimals, as venues quote them). Readers accept
either; docs/decisions/0003-parquet-lake.md has the sizes that were measured."""

ZSTD_LEVEL = 3
TEMPORARY = ".tmp"
LOCK_NAME = ".lock"


def check(partition: Partition) -> None:
    """Read the footer and compare it with what a partition must hold.

    Raises:
        DataError: the file is cut short, is not Parquet, has other columns or bars of another month.
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
    for group in range(meta.num_row_groups):
        seen = meta.row_group(group).column(0).statistics
        if seen is None or not seen.has_min_max:
            continue
        if seen.min_raw < first or seen.max_raw >= beyond:
            raise DataError(
                f"{partition.path} ({partition.symbol}) holds bars outside {partition.month}; it was "
                "renamed or copied by hand. Move it out of the lake and import it with `mexclab import`",
                path=str(partition.path),
                symbol=partition.symbol,
            )


def read(partition: Partition) -> pl.DataFrame:
    """The whole partition: ts, open, high, low, close, volume; sorted by ts, unique.

    Raises:
        DataError: as `check`, and when a page of data cannot be decoded.
    """
    check(partition)
    try:
        return pl.read_parquet(partition.path, glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as why:
        raise _unreadable(partition, why) from why


def write(path: Path, bars: pl.DataFrame) -> None:
    """Put ``bars`` in the place of ``path``: whoever reads sees the old file or the new one, whole.

    Args:
        path: the partition file.
        bars: ts and the five numbers, sorted by ts.

    Raises:
        DataError: the disk is full or cannot be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{uuid4().hex[:8]}{TEMPORARY}")
    try:
        _make_folder(path.parent)
        try:
            _write_parquet(temporary, bars)
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


def _write_parquet(path: Path, bars: pl.DataFrame) -> None:
    encodings = {name: float_encoding(bars[name]) for name in NUMBERS}
    with path.open("xb") as file:
        pq.write_table(
            bars.select("ts", *NUMBERS).to_arrow().cast(FILE_SCHEMA),
            file,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=False,
            column_encoding={"ts": "DELTA_BINARY_PACKED", **encodings},
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
    leftovers = list((root / "bars").glob(f"interval=*/symbol=*/.*{TEMPORARY}"))
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
def locked(root: Path, wait_s: float) -> Iterator[None]:
    """Hold the lake's only pen. The lock goes away with the process, however it dies.

    Raises:
        DataError: another writer still holds it after ``wait_s`` seconds, or the folder is read-only.
    """
    try:
        _make_folder(root)
        file = (root / LOCK_NAME).open("ab")
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


def _unreadable(partition: Partition, why: BaseException) -> DataError:
    return DataError(
        f"{partition.path} ({partition.symbol}, {partition.interval}) is cut short or damaged: "
        f"{str(why).splitlines()[0]}. Delete the file and import that month again",
        path=str(partition.path),
        symbol=partition.symbol,
        interval=partition.interval,
    )
