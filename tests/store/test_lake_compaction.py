from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mexclab.errors import DataError, ParameterError
from mexclab.store.lake import Compacted, Lake
from tests.store.bar_samples import MAY, bars, partition
from tests.store.test_lake_append import flush, fresh_files


def test_compaction_folds_fresh_bars_into_months_and_removes_the_fresh_files(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(flush(0))
    for minute in (1, 2, 31 * 1440):
        lake.append(flush(minute))
    before = lake.scan().collect()
    told: list[tuple[int, int]] = []
    assert lake.compact(progress=lambda done, total: told.append((done, total))) == Compacted(3, 6, 4)
    assert told == [(0, 2), (2, 2)]
    assert not fresh_files(tmp_path)
    assert partition(tmp_path, "BUSDT", "2026-06").exists()
    assert lake.scan().collect().equals(before)
    assert Lake(tmp_path).scan().collect().equals(before)


def test_a_lazy_query_that_is_collected_after_a_compaction_has_every_bar_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(flush(0))
    lake.append(flush(1))
    query = lake.scan()
    with lake.connect() as connection:
        assert connection.sql("SELECT sum(volume) FROM bars").fetchall() == [(4.0,)]
        lake.append(flush(2))
        lake.compact()
        assert query.collect().equals(pl.concat([flush(0), flush(1)]).sort("symbol", "ts"))
        assert connection.sql("SELECT sum(volume), count(*) FROM bars").fetchall() == [(4.0, 4)]


def test_compacting_again_does_nothing_and_an_unknown_interval_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.compact() == Compacted()
    lake.append(flush(0))
    assert lake.compact().files == 1
    assert lake.compact() == Compacted()
    with pytest.raises(ParameterError, match="'2m' is not an interval"):
        lake.compact("2m")


def test_only_the_interval_asked_for_is_compacted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append(flush(0))
    lake.append(bars("AUSDT", step="1h"), "1h")
    lake.compact("1h")
    assert [file.parent.name for file in fresh_files(tmp_path)] == ["1m"]
    assert lake.compact().bars == 2
    assert lake.bars("AUSDT", interval="1h").equals(bars("AUSDT", step="1h"))


@pytest.mark.parametrize("how", ["write", "append"])
def test_a_correction_that_comes_during_a_compaction_is_what_stays(tmp_path: Path, how: str) -> None:
    lake = Lake(tmp_path)
    for minute in range(3):
        lake.append(flush(minute))

    def correct(done: int, total: int) -> None:
        getattr(Lake(tmp_path), how)(flush(1, volume=5.0 + done), replace=True)

    lake.compact(progress=correct)
    expected = pl.concat([flush(0), flush(1, volume=7.0), flush(2)]).sort("symbol", "ts")
    assert lake.scan().collect().equals(expected)
    lake.compact()
    assert Lake(tmp_path).scan().collect().equals(expected)


def test_two_compactions_do_not_run_at_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append(flush(0))

    def another(done: int, total: int) -> None:
        with pytest.raises(DataError, match="another process"):
            Lake(tmp_path, lock_wait_s=0.05).compact()

    assert lake.compact(progress=another).files == 1


def test_a_damaged_month_stops_a_compaction_and_the_fresh_bars_stay(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(flush(0))
    lake.append(flush(1))
    partition(tmp_path, "BUSDT").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"2026-05\.parquet.*cut short or damaged"):
        lake.compact()
    assert len(fresh_files(tmp_path)) == 1
    partition(tmp_path, "BUSDT").unlink()
    lake.compact()
    assert lake.bars("AUSDT").height == 2
    assert lake.bars("BUSDT")["ts"].to_list() == [MAY + timedelta(minutes=1)]


def test_readers_and_appends_go_on_during_compactions_and_see_every_bar_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append(flush(0))
    flushes = 60
    faults: list[str] = []
    over = threading.Event()

    def live() -> None:
        writer = Lake(tmp_path)
        for minute in range(1, flushes):
            writer.append(flush(minute))
        over.set()

    def look() -> None:
        reader, seen = Lake(tmp_path), 0
        while not over.is_set():
            found = reader.bars("AUSDT")
            if found.height < seen or found["ts"].diff().drop_nulls().ne(timedelta(minutes=1)).any():
                faults.append(f"{seen} bars were seen, then {found['ts'].to_list()}")
            seen = found.height

    threads = [threading.Thread(target=work) for work in (live, look)]
    for thread in threads:
        thread.start()
    while not over.wait(0.01) and threads[0].is_alive():
        lake.compact()
    for thread in threads:
        thread.join()
    assert not faults
    lake.compact()
    whole = pl.concat([flush(minute) for minute in range(flushes)]).sort("symbol", "ts")
    assert Lake(tmp_path).scan().collect().equals(whole)
