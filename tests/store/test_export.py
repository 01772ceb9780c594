"""An exported ledger proves itself, and a broken one is not exported."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mexclab.domain.events import AlertRaised, Halted
from mexclab.errors import DataError, LedgerCorrupt, ParameterError
from mexclab.store.codec import Chain, Row, encode
from mexclab.store.export import Exported, verify_export, write
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres
from tests.recorded_day import recorded_day

AT = datetime(2026, 5, 27, 14, 0, 0, 123456, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9 + 123_456_789


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[PostgresLedger]:
    opened = PostgresLedger.open(postgres)
    yield opened
    opened.close()


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sealed(count: int) -> Iterator[Row]:
    """Entries that follow from each other, without a database."""
    return Chain().extend(encode(Halted(AT_NS + number, "ann", f"no. {number} §")) for number in range(count))


def retold(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """The file with other rows under the same metadata: what somebody with a notebook could do."""
    old = pq.read_table(path)
    rows = change(pl.from_arrow(old)).to_arrow().cast(old.schema)  # type: ignore[union-attr]
    other = path.with_name("retold.parquet")
    with pq.ParquetWriter(other, old.schema.remove_metadata()) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata(pq.read_metadata(path).metadata)
    return other


def edited(column: str, seq: int, value: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(
        pl.when(pl.col("seq") == seq).then(value).otherwise(pl.col(column)).alias(column)
    )


async def test_an_export_holds_every_entry_with_its_time_and_its_hashes(
    ledger: PostgresLedger, tmp_path: Path
) -> None:
    events = recorded_day()
    await ledger.append(Halted(AT_NS, "ann", "§ 1.10"), *events)
    done = ledger.export(tmp_path / "deep" / "ledger.parquet")
    count = len(events) + 1
    assert done == Exported(done.path, 1, count, "0" * 64, ledger.fingerprint())
    assert done.events == count
    rows = pl.read_parquet(done.path).to_dicts()
    assert [row["seq"] for row in rows] == list(range(1, count + 1))
    first = rows[0]
    assert (first["ts"], first["at_ns"], first["kind"]) == (AT, AT_NS, "Halted")
    assert first["body"] == f'{{"at_ns":{AT_NS},"by":"ann","why":"§ 1.10"}}'
    for row, entry in zip(rows, ledger.rows(), strict=True):
        assert (row["correlation"], row["body"]) == (entry.correlation, entry.body)
        assert (row["prev_hash"], row["hash"]) == (entry.prev_hash.hex(), entry.hash.hex())
        assert row["ts"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=entry.at_ns // 1000)
    assert pq.ParquetFile(done.path).metadata.row_group(0).column(5).compression == "ZSTD"
    assert verify_export(done.path) == done
    assert inside(done.path.parent) == ["ledger.parquet"]


async def test_a_part_is_exported_and_parts_make_one_chain(
    ledger: PostgresLedger, postgres: Postgres, tmp_path: Path
) -> None:
    await ledger.append(*(Halted(number, "ann", "") for number in range(1, 31)))
    first, reader = (
        ledger.export(tmp_path / "a.parquet", limit=20),
        PostgresLedger.open(postgres, writer=False),
    )
    second = reader.export(tmp_path / "b.parquet", after=first.last_seq)
    assert [(part.first_seq, part.last_seq) for part in (first, second)] == [(1, 20), (21, 30)]
    assert second.follows == first.head
    assert verify_export(second.path) == second
    assert verify_export(second.path, follows=first.head) == second
    with pytest.raises(LedgerCorrupt, match="does not follow") as caught:
        verify_export(second.path, follows=second.head)
    assert caught.value.data["seq"] == 21
    with pytest.raises(ParameterError, match="64 hexadecimal"):
        verify_export(second.path, follows="beef")


async def test_a_broken_ledger_is_not_exported_and_nothing_is_left_behind(
    ledger: PostgresLedger, tamper: Callable[[str], None], tmp_path: Path
) -> None:
    await ledger.append(*(Halted(number, "ann", "") for number in range(1, 31)))
    tamper("UPDATE event SET body = replace(body, 'ann', 'Eve') WHERE seq = 17")
    with pytest.raises(LedgerCorrupt) as caught:
        ledger.export(tmp_path / "ledger.parquet")
    assert caught.value.data["seq"] == 17
    assert inside(tmp_path) == []
    assert ledger.export(tmp_path / "after.parquet", after=18).first_seq == 19


async def test_there_is_nothing_to_export_above_the_last_entry(
    ledger: PostgresLedger, tmp_path: Path
) -> None:
    for after in (0, 5):
        with pytest.raises(DataError, match="nothing to export"):
            ledger.export(tmp_path / "ledger.parquet", after=after)
    await ledger.append(Halted(1, "ann", ""))
    with pytest.raises(DataError, match="nothing to export"):
        ledger.export(tmp_path / "ledger.parquet", after=1)
    assert inside(tmp_path) == []


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "ledger.parquet").write_text("mine")
    with pytest.raises(DataError, match="exists"):
        write(tmp_path / "ledger.parquet", sealed(3))
    assert (tmp_path / "ledger.parquet").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        write(tmp_path / "file" / "ledger.parquet", sealed(3))
    assert inside(tmp_path) == ["file"]


def test_what_the_entries_raise_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[Row]:
        yield from sealed(12_000)
        raise LedgerCorrupt("torn", seq=12_001)

    with pytest.raises(LedgerCorrupt):
        write(tmp_path / "ledger.parquet", failing())
    assert inside(tmp_path) == []


EDITS = [
    ("body", 7, pl.col("body").str.replace("ann", "Eve"), 7),
    ("kind", 7, pl.lit("Resumed"), 7),
    ("correlation", 7, pl.lit("x"), 7),
    ("at_ns", 7, pl.col("at_ns") + 1000, 7),
    ("ts", 7, pl.col("ts") + pl.duration(microseconds=1), 7),
    ("hash", 7, pl.col("hash").str.replace("^.", "g"), 7),
    ("hash", 7, pl.lit("ab" * 32), 7),
    ("prev_hash", 7, pl.lit("ab" * 32), 7),
    ("seq", 7, pl.lit(70), 7),
]


@pytest.mark.parametrize(("column", "seq", "value", "named"), EDITS)
def test_an_edited_cell_of_a_file_is_found_and_named(
    tmp_path: Path, column: str, seq: int, value: pl.Expr, named: int
) -> None:
    done = write(tmp_path / "ledger.parquet", sealed(10))
    with pytest.raises(LedgerCorrupt) as caught:
        verify_export(retold(done.path, edited(column, seq, value)))
    assert caught.value.data["seq"] == named


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: rows.filter(pl.col("seq") != 4), 4),
        (lambda rows: rows.tail(9), 1),
        (lambda rows: rows.head(8), 9),
        (lambda rows: rows.clear(), 1),
        (lambda rows: rows.select(pl.all().gather([0, 1, 3, 2, 4, 5, 6, 7, 8, 9])), 3),
        (lambda rows: pl.concat([rows.head(5), rows.slice(4, 1), rows.tail(5)]), 6),
    ],
    ids=["torn out", "no beginning", "no end", "empty", "reordered", "twice"],
)
def test_missing_and_moved_rows_of_a_file_are_found_and_named(
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], named: int
) -> None:
    done = write(tmp_path / "ledger.parquet", sealed(10))
    with pytest.raises(LedgerCorrupt) as caught:
        verify_export(retold(done.path, change))
    assert caught.value.data["seq"] == named


def test_rows_beyond_what_the_file_tells_of_are_found(tmp_path: Path) -> None:
    short = write(tmp_path / "short.parquet", sealed(10))
    longer = pl.read_parquet(write(tmp_path / "longer.parquet", sealed(12)).path)
    with pytest.raises(LedgerCorrupt) as caught:
        verify_export(retold(short.path, lambda _: longer))
    assert caught.value.data["seq"] == 12


def test_a_torn_file_and_another_file_are_data_errors(tmp_path: Path) -> None:
    done = write(tmp_path / "ledger.parquet", sealed(10))
    whole = done.path.read_bytes()
    torn = tmp_path / "torn.parquet"
    for size in (0, 4, len(whole) // 2, len(whole) - 1):
        torn.write_bytes(whole[:size])
        with pytest.raises(DataError, match="cannot be read as an export"):
            verify_export(torn)
    pq.write_table(pa.table({"seq": [1]}), tmp_path / "other.parquet")
    pq.write_table(pq.read_table(done.path), tmp_path / "no_words.parquet")
    for name in ("other.parquet", "no_words.parquet", "absent.parquet"):
        with pytest.raises(DataError, match="cannot be read as an export"):
            verify_export(tmp_path / name)


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file or directory") as told:
        verify_export(tmp_path / "nope.parquet")
    assert str(told.value).count("nope.parquet") == 1


def test_progress_is_told_to_the_last_entry(tmp_path: Path) -> None:
    told: list[int] = []
    verify_export(write(tmp_path / "ledger.parquet", sealed(11_000)).path, progress=told.append)
    assert told == [5_000, 10_000, 11_000]


def test_a_long_export_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        entry = encode(AlertRaised(AT_NS, "info", "x" * 200, "tie"))
        rows = Chain().extend(islice(iter(lambda: entry, None), count))
        tracemalloc.start()
        write(tmp_path / f"{count}.parquet", rows)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40_000) < 1.5 * peak(10_000)
