from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import DataError
from mexclab.store import lake_partition
from mexclab.store.lake import Compacted, Lake, Written
from mexclab.store.lake_fresh import FAN_IN
from mexclab.store.lake_layout import FRAME_SCHEMA
from tests.naive.lake_naive import NaiveLake
from tests.store.bar_samples import MAY, bars, ns

MINUTE = timedelta(minutes=1)


def flush(minute: int, symbols: tuple[str, ...] = ("AUSDT", "BUSDT"), volume: float = 1.0) -> pl.DataFrame:
    """One minute of several symbols."""
    frames = [bars(symbol, MAY + minute * MINUTE, 1) for symbol in symbols]
    return pl.concat(frames).with_columns(volume=pl.lit(volume))


def fresh_files(root: Path) -> list[Path]:
    return sorted((root / "fresh").rglob("*.parquet"))


def test_a_flush_of_many_symbols_is_one_file_and_every_reader_sees_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(flush(0, ("AUSDT",)))
    reader = Lake(tmp_path)
    assert reader.symbols() == ["AUSDT"]
    assert lake.append(pl.concat([flush(1), flush(3)])) == Written(added=4, partitions=1)
    assert len(fresh_files(tmp_path)) == 1
    whole = pl.concat([flush(0, ("AUSDT",)), flush(1), flush(3)]).sort("symbol", "ts")
    assert reader.symbols() == ["AUSDT", "BUSDT"]
    assert reader.scan().collect().equals(whole)
    assert reader.bars("BUSDT").equals(whole.filter(symbol="BUSDT"))
    assert reader.bars("AUSDT", ns(MAY + MINUTE), ns(MAY + 2 * MINUTE)).height == 1
    assert reader.coverage().rows() == [
        ("AUSDT", MAY, MAY + 3 * MINUTE, 3, 1),
        ("BUSDT", MAY + MINUTE, MAY + 3 * MINUTE, 2, 1),
    ]
    assert reader.gaps("BUSDT").rows() == [("BUSDT", MAY + 2 * MINUTE, MAY + 3 * MINUTE, 1, "missing")]
    with reader.connect() as connection:
        query = (
            "SELECT symbol, ts, open, high, low, close, volume FROM bars WHERE interval = '1m' ORDER BY ALL"
        )
        found = pl.DataFrame(connection.sql(query).to_arrow_table()).cast(dict(FRAME_SCHEMA))
    assert found.equals(whole)


def test_a_lake_that_only_has_fresh_bars_is_read_like_any_other(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append(flush(0))
    assert lake.scan(["BUSDT", "AUSDT"]).collect()["symbol"].to_list() == ["BUSDT", "AUSDT"]
    assert lake.bars("AUSDT", ns(MAY + MINUTE)).schema == FRAME_SCHEMA
    with lake.connect() as connection:
        assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(2,)]
    with pytest.raises(DataError, match="did you mean AUSDT"):
        lake.bars("AAUSDT")
    with pytest.raises(DataError, match="no 1h bars; it holds 1m"):
        lake.bars("AUSDT", interval="1h")


def test_the_same_flush_again_writes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(flush(0))
    lake.append(flush(1))
    assert lake.append(pl.concat([flush(0), flush(1)])) == Written(unchanged=4)
    assert lake.write(pl.concat([flush(0), flush(1)])) == Written(unchanged=4)
    assert len(fresh_files(tmp_path)) == 1


@pytest.mark.parametrize("held", ["write", "append"])
@pytest.mark.parametrize("comes", ["write", "append"])
def test_a_bar_that_contradicts_the_lake_is_refused_unless_it_may_replace(
    tmp_path: Path, held: str, comes: str
) -> None:
    lake = Lake(tmp_path)
    getattr(lake, held)(flush(0))
    other = pl.concat([flush(0, ("AUSDT",), 2.0), flush(1)])
    with pytest.raises(DataError, match=r"AUSDT 1m: 1 bars contradict the lake.*volume is 2.0.*has 1.0"):
        getattr(lake, comes)(other)
    assert lake.scan().collect().equals(flush(0))
    done = getattr(lake, comes)(other, replace=True)
    assert (done.added, done.replaced, done.unchanged) == (2, 1, 0)
    after = pl.concat([flush(0, ("AUSDT",), 2.0), flush(0, ("BUSDT",)), flush(1)]).sort("symbol", "ts")
    assert lake.scan().collect().equals(after)
    lake.compact()
    assert lake.scan().collect().equals(after)


def test_late_bars_take_their_place_among_the_stored_ones(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    whole = bars("AUSDT", count=30)
    minute = pl.col("ts").dt.minute()
    lake.write(whole.filter(~minute.is_in([3, 4, 17, 29])))
    for late in (29, 17, 3, 4):
        assert lake.append(whole.filter(minute == late)).added == 1
        assert lake.bars("AUSDT")["ts"].is_sorted()
    assert lake.bars("AUSDT").equals(whole)


def test_small_files_become_large_ones_so_that_readers_open_few(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    count = FAN_IN * FAN_IN + 3
    for minute in range(count):
        lake.append(flush(minute))
    assert len(fresh_files(tmp_path)) == 4
    assert lake.bars("AUSDT").height == count
    assert Lake(tmp_path).coverage()["gaps"].to_list() == [0, 0]


def test_a_merge_for_which_the_disk_is_too_full_does_not_make_kept_bars_look_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    for minute in range(FAN_IN - 1):
        lake.append(flush(minute))
    put = lake_partition.put

    def small_only(path: Path, table: pa.Table, *more: Any) -> None:
        if table.num_rows > 2:
            raise DataError("the disk is full")
        put(path, table, *more)

    monkeypatch.setattr(lake_partition, "put", small_only)
    assert lake.append(flush(FAN_IN)).added == 2
    assert Lake(tmp_path).bars("AUSDT").height == FAN_IN


def test_impossible_bars_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(DataError, match="volume is negative"):
        lake.append(pl.concat([flush(0), flush(1, volume=-1.0)]))
    assert not fresh_files(tmp_path)
    assert lake.append(flush(0).clear()) == Written()


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_fresh_file_cut_short_is_named_by_readers_and_writers(tmp_path: Path, keep: int) -> None:
    Lake(tmp_path).append(flush(0))
    (file,) = fresh_files(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    lake = Lake(tmp_path)
    asks = (lake.symbols, lake.scan, lake.coverage, lake.connect, lake.compact, lambda: lake.append(flush(0)))
    for ask in asks:
        with pytest.raises(DataError, match=r"cut short or damaged.*lake gaps") as caught:
            ask()
        assert str(file) in str(caught.value)


def test_a_file_of_another_schema_among_the_fresh_ones_is_refused(tmp_path: Path) -> None:
    Lake(tmp_path).append(flush(0))
    (file,) = fresh_files(tmp_path)
    flush(0).drop("volume").write_parquet(file)
    with pytest.raises(DataError, match="other columns than fresh bars"):
        Lake(tmp_path).bars("AUSDT")
    file.rename(file.with_name("mine.parquet"))
    with pytest.raises(DataError, match=r"mine\.parquet is not a file of the lake"):
        Lake(tmp_path).bars("AUSDT")


@st.composite
def acts(draw: st.DrawFn) -> list[tuple[str, pl.DataFrame, bool]]:
    """Writes, appends (each with its bars and whether it may replace) and compactions, in any order."""
    bar = st.tuples(st.sampled_from("ABC"), st.sampled_from([0, 1, 2, 3, 44_638, 44_639, 44_640]))
    chosen = []
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["append", "append", "append", "write", "compact", "open"]))
        keys = draw(st.lists(bar, min_size=1, max_size=8, unique=True))
        volume = float(draw(st.integers(1, 2)))
        frame = pl.concat([flush(minute, (f"{name}USDT",), volume) for name, minute in keys])
        chosen.append((kind, frame, draw(st.booleans())))
    return chosen


@given(acts())
@settings(max_examples=25, deadline=None)
def test_any_order_of_writes_appends_and_compactions_reads_like_a_dictionary(
    chosen: list[tuple[str, pl.DataFrame, bool]],
) -> None:
    twin = NaiveLake()
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for kind, frame, replace in chosen:
            if kind == "compact":
                lake.compact()
                assert lake.compact() == Compacted()
            elif kind == "open":
                lake = Lake(Path(folder))
            elif (counts := twin.put(frame, replace)) is None:
                with pytest.raises(DataError, match="contradict the lake"):
                    getattr(lake, kind)(frame)
            else:
                done = getattr(lake, kind)(frame, replace=replace)
                assert (done.added, done.replaced, done.unchanged) == counts
            if twin.bars:
                assert lake.scan().collect().equals(twin.frame())
                assert lake.coverage()["rows"].sum() == len(twin.bars)
