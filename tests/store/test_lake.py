from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.errors import DataError, ParameterError
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import FILE_SCHEMA, FRAME_SCHEMA, INTERVAL_MS, folder_of, symbol_of
from mexclab.store.lake_reading import TOGETHER
from tests.store.bar_samples import DAY_NS, MAY, bars, ns, partition

# layout


def test_a_range_that_runs_backwards_is_told_in_utc(tmp_path: Path) -> None:
    Lake(tmp_path).write(bars())
    with pytest.raises(ParameterError, match="2026-05-02 00:00:00 UTC to 2026-05-01 00:00:00 UTC; swap them"):
        Lake(tmp_path).bars("BTCUSDT", ns(MAY + timedelta(days=1)), ns(MAY))
    with pytest.raises(ParameterError, match="ns to 1970-01-01"):
        Lake(tmp_path).bars("BTCUSDT", 10**30, 0)


def test_a_bar_lives_in_the_partition_of_its_symbol_interval_and_month(tmp_path: Path) -> None:
    Lake(tmp_path).write(bars(start=datetime(2026, 5, 31, 23, 58, tzinfo=UTC), count=4))
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.parquet"))
    folder = "bars/interval=1m/symbol=BTCUSDT"
    assert found == [f"{folder}/2026-05.parquet", f"{folder}/2026-06.parquet"]


@pytest.mark.parametrize(("decimals", "encoding"), [(17, "BYTE_STREAM_SPLIT"), (4, "PLAIN")])
def test_each_column_is_written_in_the_encoding_that_zstd_makes_smaller(
    tmp_path: Path, decimals: int, encoding: str, seed: int
) -> None:
    steps = np.random.default_rng(seed).normal(0, 0.001, 5_000)
    close = pl.Series("close", np.exp(np.cumsum(steps)) + 1).round(decimals)
    start = datetime(2026, 5, 1, tzinfo=UTC)
    ts = pl.datetime_range(start, start + timedelta(minutes=4_999), "1m", time_unit="ms", eager=True).alias(
        "ts"
    )
    frame = pl.DataFrame(
        [ts, *(close.alias(name) for name in ("open", "high", "low", "close")), close.alias("volume")]
    )
    Lake(tmp_path).write(frame.with_columns(symbol=pl.lit("BTCUSDT")))
    group = pq.read_metadata(next(tmp_path.rglob("*.parquet"))).row_group(0)
    for i in range(1, 6):
        column = group.column(i)
        assert encoding in column.encodings
        assert column.compression == "ZSTD"
        assert not column.has_dictionary_page


@given(st.text(min_size=1, max_size=12))
def test_every_printable_symbol_has_a_safe_folder_that_reads_back(symbol: str) -> None:
    if not symbol.isprintable() or not symbol.strip():
        with pytest.raises(DataError, match="cannot name a symbol"):
            folder_of(symbol)
        return
    folder = folder_of(symbol)
    assert symbol_of(folder) == symbol
    assert set(folder.removeprefix("symbol=")) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%_-")


def test_symbols_that_differ_only_in_case_do_not_share_a_folder() -> None:
    assert folder_of("AbUSDT").casefold() != folder_of("ABUSDT").casefold()


def test_opening_a_lake_creates_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "typo")
    assert lake.symbols() == []
    assert lake.coverage().is_empty()
    assert not (tmp_path / "typo").exists()


# reading


@pytest.mark.parametrize("symbol", ["索拉拉USDT", "GOLD(PAXG)USDT", "123", "A/B", "%41USDT", "a=b"])
def test_a_symbol_in_any_script_comes_back_from_every_reader(tmp_path: Path, symbol: str) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(symbol))
    assert lake.symbols() == [symbol]
    assert lake.bars(symbol).equals(bars(symbol))
    assert lake.scan().collect()["symbol"].unique().to_list() == [symbol]
    with lake.connect() as connection:
        assert connection.sql("SELECT DISTINCT symbol, interval FROM bars").fetchall() == [(symbol, "1m")]


@pytest.mark.parametrize("folder", ["run=3", "symbol=OLD", "we[ird]*", "with space %20"])
def test_the_lake_may_lie_below_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    lake = Lake(tmp_path / folder / "lake")
    lake.write(bars())
    assert lake.scan().collect().equals(bars())
    with lake.connect() as connection:
        assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(10,)]


def test_readers_return_symbol_ts_and_five_numbers_ordered_by_symbol_and_time(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(pl.concat([bars("ETHUSDT"), bars("BTCUSDT")]).reverse())
    found = lake.scan()
    assert found.collect_schema() == FRAME_SCHEMA
    assert found.collect().equals(pl.concat([bars("BTCUSDT"), bars("ETHUSDT")]))


def test_the_range_is_half_open_in_open_times(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(count=10))
    start, end = ns(MAY + timedelta(minutes=3)), ns(MAY + timedelta(minutes=6))
    assert lake.bars("BTCUSDT", start, end)["ts"].dt.minute().to_list() == [3, 4, 5]
    assert lake.bars("BTCUSDT", start + 1, end + 1)["ts"].dt.minute().to_list() == [4, 5, 6]
    assert lake.bars("BTCUSDT", end_ns=start).height == 3
    assert lake.bars("BTCUSDT", start, start).is_empty()


def test_a_range_without_bars_of_a_known_symbol_is_an_empty_answer_not_an_error(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    assert lake.bars("BTCUSDT", ns(MAY) + 300 * DAY_NS).schema == FRAME_SCHEMA
    assert lake.scan([]).collect().is_empty()


def test_a_range_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    with pytest.raises(ParameterError, match="swap them"):
        lake.scan(start_ns=ns(MAY) + DAY_NS, end_ns=ns(MAY))


def test_only_the_partitions_of_the_symbols_and_months_asked_for_are_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(pl.concat([bars("BTCUSDT"), bars("BTCUSDT", MAY + timedelta(days=40)), bars("ETHUSDT")]))
    partition(tmp_path, month="2026-06").write_bytes(b"rubbish")
    partition(tmp_path, "ETHUSDT").write_bytes(b"rubbish")
    assert lake.bars("BTCUSDT", end_ns=ns(MAY) + DAY_NS).height == 10
    assert lake.scan(["BTCUSDT"], end_ns=ns(MAY) + DAY_NS).collect().height == 10
    with pytest.raises(DataError, match="ETHUSDT"):
        lake.scan(end_ns=ns(MAY) + DAY_NS)


def test_a_query_over_more_symbols_than_polars_has_threads_for_is_answered_in_groups(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    names = [f"C{number:03}USDT" for number in range(2 * TOGETHER + 3)]
    whole = pl.concat([bars(name, count=3) for name in names])
    lake.write(whole.filter(pl.col("ts").dt.minute() < 2))
    lake.append(whole.filter(pl.col("ts").dt.minute() == 2))
    query = lake.scan()
    assert query.collect_schema() == FRAME_SCHEMA
    assert query.collect().equals(whole)
    assert query.head(100).collect().equals(whole[:100])
    assert query.filter(symbol=names[40]).select("close").collect().equals(bars(count=3).select("close"))
    ends = query.group_by("symbol").agg(pl.col("volume").sum()).sort("symbol").collect(engine="streaming")
    assert ends["volume"].to_list() == [3.0] * len(names)
    last_minute = lake.scan(names[::-1], ns(MAY + timedelta(minutes=2))).collect()
    assert last_minute["symbol"].to_list() == names[::-1]


def test_coverage_tells_first_last_rows_and_gaps(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    whole = bars(count=20)
    lake.write(whole.filter(~pl.col("ts").dt.minute().is_in([4, 5, 6, 11])))
    lake.write(bars("ETHUSDT", count=1))
    assert lake.coverage().rows() == [
        ("BTCUSDT", MAY, MAY + timedelta(minutes=19), 16, 2),
        ("ETHUSDT", MAY, MAY, 1, 0),
    ]
    minute = timedelta(minutes=1)
    assert lake.gaps().rows() == [
        ("BTCUSDT", MAY + 4 * minute, MAY + 7 * minute, 3, "missing"),
        ("BTCUSDT", MAY + 11 * minute, MAY + 12 * minute, 1, "missing"),
    ]


def test_a_gap_across_two_months_is_seen(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    late = datetime(2026, 5, 31, 22, tzinfo=UTC)
    lake.write(bars(start=late, count=5, step="1h").filter(pl.col("ts").dt.hour() != 23), "1h")
    assert lake.gaps(interval="1h")["missing"].to_list() == [1]
    lake.write(bars(start=late, count=5, step="1h"), "1h")
    assert lake.gaps(interval="1h").is_empty()


def test_intervals_are_kept_apart(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for step in INTERVAL_MS:
        lake.write(bars(step=step, count=3), step)
    for step in INTERVAL_MS:
        assert lake.bars("BTCUSDT", interval=step).equals(bars(step=step, count=3))


# DuckDB


def test_sql_sees_the_same_bars_as_the_readers(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(pl.concat([bars("BTCUSDT", count=50), bars("ETHUSDT", MAY + timedelta(days=31))]))
    with lake.connect() as connection:
        query = """SELECT symbol, ts, open, high, low, close, volume FROM bars
                   WHERE interval = '1m' ORDER BY symbol, ts"""
        found = pl.DataFrame(connection.sql(query).to_arrow_table()).cast(dict(FRAME_SCHEMA))
    assert found.equals(lake.scan().collect())


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{root}/x.csv'",
        "COPY (SELECT 1) TO '{file}'",
        "ATTACH '{root}/x.db'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "INSTALL httpfs",
        "INSERT INTO bars SELECT * FROM bars",
        "DELETE FROM bars",
        "SET enable_external_access = true",
    ],
)
def test_the_sql_door_neither_writes_nor_reaches_files_or_the_network(tmp_path: Path, statement: str) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    before = sorted(tmp_path.rglob("*"))
    with lake.connect() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(root=tmp_path, file=partition(tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before
    assert lake.bars("BTCUSDT").equals(bars())


# clear errors


def test_an_unknown_symbol_names_its_nearest_neighbours(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(pl.concat([bars("DOGEUSDT"), bars("BTCUSDT")]))
    with pytest.raises(DataError, match="'DOGUSDT'; did you mean DOGEUSDT") as caught:
        lake.bars("DOGUSDT")
    assert caught.value.data["nearest"][0] == "DOGEUSDT"
    with pytest.raises(DataError, match="did you mean DOGEUSDT"):
        lake.scan(["BTCUSDT", "dogeusdt"])


def test_an_empty_lake_says_how_to_fill_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for ask in (lake.scan, lake.gaps, lake.connect, lambda: lake.bars("BTCUSDT")):
        with pytest.raises(DataError, match="mexclab import"):
            ask()


def test_an_interval_without_bars_names_those_that_have_some(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(step="1h"), "1h")
    with pytest.raises(DataError, match="no 1m bars; it holds 1h"):
        lake.bars("BTCUSDT")
    with pytest.raises(ParameterError, match="'2m' is not an interval"):
        lake.bars("BTCUSDT", interval="2m")


@pytest.mark.parametrize("keep", [0, 3, 0.5, -1])
def test_a_file_cut_short_is_named_by_every_reader_and_by_the_writer(tmp_path: Path, keep: float) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(count=500))
    file = partition(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else int(keep)])
    asks = (
        lake.scan,
        lake.coverage,
        lake.gaps,
        lake.connect,
        lambda: lake.bars("BTCUSDT"),
        lambda: lake.write(bars(count=600)),
    )
    for ask in asks:
        with pytest.raises(DataError, match="cut short or damaged") as caught:
            ask()
        assert str(file) in str(caught.value)
        assert "BTCUSDT" in str(caught.value)


def test_a_page_that_was_overwritten_is_named_when_bars_are_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(count=5000))
    file = partition(tmp_path)
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"2026-05\.parquet .BTCUSDT, 1m. is cut short or damaged"):
        lake.bars("BTCUSDT")


def test_a_file_with_another_schema_is_refused_with_both_schemas(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    bars().with_columns(pl.col("volume").cast(pl.Float32)).drop("symbol").write_parquet(partition(tmp_path))
    with pytest.raises(DataError, match=r"volume float; a partition holds .* volume double"):
        lake.bars("BTCUSDT")


def test_a_month_without_a_bar_is_named_as_a_damaged_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    pq.write_table(FILE_SCHEMA.empty_table(), partition(tmp_path))
    for look in (lake.bars, lake.gaps):
        with pytest.raises(DataError, match=r"2026-05\.parquet .* damaged: it holds no bar"):
            look("BTCUSDT")


def test_a_partition_renamed_to_another_month_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    partition(tmp_path).rename(partition(tmp_path, month="2026-07"))
    with pytest.raises(DataError, match="outside 2026-07"):
        lake.bars("BTCUSDT")


def test_a_stray_parquet_file_in_a_symbol_folder_is_refused_not_skipped(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    bars().write_parquet(partition(tmp_path).with_name("mine.parquet"))
    with pytest.raises(DataError, match=r"mine\.parquet is not a partition"):
        lake.bars("BTCUSDT")
