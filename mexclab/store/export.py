"""The ledger as one Parquet file that proves itself: an auditor needs the file and no database.

Columns: ``seq``; ``ts`` (when, in microseconds, UTC) and ``at_ns`` (the same in whole nanoseconds); ``kind``;
``correlation``; ``body`` (the very JSON that was hashed); ``prev_hash`` and ``hash`` (hex). The recipe of a
hash heads ``store/codec.py``. The metadata ``mexclab.first_seq``, ``mexclab.last_seq`` and ``mexclab.head``
(the last hash) say which entries the file holds, so that a file without its end is found out as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from mexclab.errors import DataError
from mexclab.store.codec import GENESIS, Chain, Progress, Row, head_of, torn
from mexclab.store.lake_partition import sync_folder

PAGE = 5_000  # entries in memory at once
GROUP = 10 * PAGE  # entries in a row group
ZSTD_LEVEL = 3
SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("at_ns", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("kind", "correlation", "body")),
        *(pa.field(name, pa.string(), nullable=False) for name in ("prev_hash", "hash")),
    ]
)
_FIRST, _LAST, _HEAD = "mexclab.first_seq", "mexclab.last_seq", "mexclab.head"


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds: entries ``first_seq`` to ``last_seq``, both included.

    Attributes:
        follows: the hash of the entry before the first one (hex); 64 zeros when the first entry is 1.
        head: the hash of the last one (hex), which stands for all before it.
    """

    path: Path
    first_seq: int
    last_seq: int
    follows: str
    head: str

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1


def write(path: Path, rows: Iterable[Row]) -> Exported:
    """Write checked entries, one after the other without a gap, to a file that does not exist yet.

    It appears whole and durable, or not at all. What ``rows`` raises passes through and leaves nothing.

    Raises:
        DataError: the file exists or cannot be written, or there are no entries.
    """
    if path.exists():
        raise DataError(f"{path} exists; an export overwrites nothing. Name another file", path=str(path))
    pages = _pages(rows)
    first = next(pages, None)
    if first is None:
        raise DataError("there is nothing to export: the ledger has no such entries", path=str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            last = _write(temporary, first, pages)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except (OSError, pa.ArrowException) as why:
        raise DataError(
            f"{path} could not be written ({why}); nothing was left behind. "
            "Make room or fix the permissions and run the same command again",
            path=str(path),
        ) from why
    return Exported(path, first[0].seq, last.seq, first[0].prev_hash.hex(), last.hash.hex())


def verify_export(path: Path, follows: str | None = None, progress: Progress | None = None) -> Exported:
    """Check an exported file against its own chain, and that it holds what its metadata say.

    Args:
        follows: the ``head`` of the export before this one (hex): a series of files is then one chain.
        progress: is told how many entries have been checked so far.

    Raises:
        LedgerCorrupt: an entry does not hold or is missing; ``data["seq"]`` names it.
        DataError: the file cannot be read, or is no export of a ledger.
        ParameterError: ``follows`` is not a hash.
    """
    expected = None if follows is None else head_of(follows)
    try:
        with pq.ParquetFile(path) as file:
            claims = _claims(path, file)
            return _checked(claims, _rows(file), expected, progress)
    except (OSError, pa.ArrowException) as why:
        number = getattr(why, "errno", None)  # Arrow's words for it name the file once more
        raise _foreign(path, os.strerror(number) if number else str(why)) from why


def _pages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while page := list(islice(source, PAGE)):
        yield page


def _write(temporary: Path, first: list[Row], pages: Iterator[list[Row]]) -> Row:
    """Everything into the file and onto the disk; the last entry."""
    page = first
    with temporary.open("xb") as file:
        with pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=["kind", "correlation"],
        ) as writer:
            writer.write_batch(_batch(page), row_group_size=GROUP)
            for page in pages:
                writer.write_batch(_batch(page), row_group_size=GROUP)
            last = page[-1]
            words = {_FIRST: str(first[0].seq), _LAST: str(last.seq), _HEAD: last.hash.hex()}
            writer.add_key_value_metadata(words)
        file.flush()
        os.fsync(file.fileno())
    return last


def _batch(page: list[Row]) -> pa.RecordBatch:
    seqs, times, kinds, ties, bodies, befores, hashes = zip(*page, strict=True)
    columns = [
        pa.array(seqs, pa.int64()),
        pa.array([at_ns // 1000 for at_ns in times], pa.int64()).cast(pa.timestamp("us", "UTC")),
        pa.array(times, pa.int64()),
        *(pa.array(texts, pa.string()) for texts in (kinds, ties, bodies)),
        *(pa.array([value.hex() for value in values], pa.string()) for values in (befores, hashes)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _claims(path: Path, file: pq.ParquetFile) -> Exported:
    """What the metadata say that the file holds; ``follows`` is not among it."""
    words = file.metadata.metadata or {}
    if not file.schema_arrow.equals(SCHEMA):
        raise _foreign(path, "its columns are others")
    try:
        first_seq, last_seq = int(words[_FIRST.encode()]), int(words[_LAST.encode()])
        return Exported(path, first_seq, last_seq, "", words[_HEAD.encode()].decode())
    except (KeyError, ValueError):
        raise _foreign(path, "it does not say which entries it holds") from None


def _rows(file: pq.ParquetFile) -> Iterator[Row]:
    for batch in file.iter_batches(PAGE):
        stamps = batch.column("ts").cast(pa.int64()).to_pylist()
        names = [name for name in SCHEMA.names if name != "ts"]
        columns = (batch.column(name).to_pylist() for name in names)
        for stamp, seq, at_ns, kind, tie, body, before, hash_ in zip(stamps, *columns, strict=True):
            if stamp != at_ns // 1000:
                raise torn(seq, f"entry {seq}: its time was changed after it was written")
            try:
                yield Row(seq, at_ns, kind, tie, body, bytes.fromhex(before), bytes.fromhex(hash_))
            except ValueError:
                raise torn(seq, f"entry {seq} has no hash that can be read") from None


def _checked(
    claims: Exported, rows: Iterator[Row], follows: bytes | None, progress: Progress | None
) -> Exported:
    first = next(rows, None)
    if first is None:
        raise torn(claims.first_seq, f"entry {claims.first_seq} is missing, and every later one")
    if follows is None:
        follows = GENESIS if claims.first_seq == 1 else first.prev_hash
    place = Chain(claims.first_seq - 1, follows)
    for count, row in enumerate(chain([first], rows), 1):
        place.check(row)
        if progress is not None and (count % PAGE == 0 or row.seq == claims.last_seq):
            progress(count)
    if place.seq < claims.last_seq:
        raise torn(place.seq + 1, f"entry {place.seq + 1} is missing, and every one up to {claims.last_seq}")
    if place.seq > claims.last_seq or place.head.hex() != claims.head:
        raise torn(place.seq, f"entry {place.seq} is not the one that the file says it ends with")
    return replace(claims, follows=follows.hex())


def _foreign(path: Path, why: str) -> DataError:
    return DataError(f"{path} cannot be read as an export of a ledger: {why}", path=str(path))
