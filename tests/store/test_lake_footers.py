"""Footers that are remembered: never trusted for another file, and nothing is lost with them but time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mexclab.store import lake_footers, lake_partition
from mexclab.store.lake import Lake
from mexclab.store.lake_footers import FILE_NAME
from tests.store.panel_samples import steady_lake
from tests.store.test_damage import harms

HOUR_NS = 3_600_000_000_000


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_footers, "FEW", 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Some symbols whose files have rested for an hour."""
    lake = steady_lake(tmp_path / "lake", symbols=5, bars=100)
    rested(lake)
    return lake


def rested(lake: Lake) -> None:
    for path in lake.root.glob("bars/**/*.parquet"):
        at_ns = path.stat().st_mtime_ns - HOUR_NS
        os.utime(path, ns=(at_ns, at_ns))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many footers were read since the last question."""
    check, seen = lake_partition.check, []

    def counted(part: lake_partition.Partition) -> lake_partition.Footer:
        seen.append(part)
        return check(part)

    monkeypatch.setattr(lake_partition, "check", counted)

    def since() -> int:
        count = len(seen)
        seen.clear()
        return count

    return since


def test_a_new_process_reads_no_footer_that_another_one_has_read(lake: Lake, read: Callable[[], int]) -> None:
    whole = Lake(lake.root).coverage()
    assert read() >= 5
    assert Lake(lake.root).coverage().equals(whole)
    assert Lake(lake.root).gaps().is_empty()
    Lake(lake.root).connect().close()
    assert read() == 0
    assert not list(lake.root.glob(f".{FILE_NAME}*"))


def test_a_file_that_was_replaced_is_read_again_and_a_new_one_too(
    lake: Lake, read: Callable[[], int]
) -> None:
    Lake(lake.root).coverage()
    read()
    later = lake.bars("S01USDT").with_columns(pl.col("ts") + pl.duration(minutes=100))
    lake.write(later)
    lake.write(later.with_columns(symbol=pl.lit("S09USDT")))
    read()
    found = Lake(lake.root).coverage()
    assert read() == 2
    assert dict(found.select("symbol", "rows").rows()) == {
        "S00USDT": 100, "S01USDT": 200, "S02USDT": 100, "S03USDT": 100, "S04USDT": 100, "S09USDT": 100,
    }  # fmt: skip


@pytest.mark.parametrize("change", ["mtime", "size", "inode"])
def test_another_stamp_is_another_file(lake: Lake, read: Callable[[], int], change: str) -> None:
    whole = Lake(lake.root).coverage()
    path = next(lake.root.glob("bars/**/*.parquet"))
    status = path.stat()
    if change == "mtime":
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns - 1))
    else:
        content = path.read_bytes()
        other = path.with_name("other")
        other.write_bytes(content if change == "inode" else content[:-1])
        other.replace(path)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    read()
    if change == "size":
        with pytest.raises(lake_partition.DataError, match="cut short"):
            Lake(lake.root).coverage()
        return
    assert Lake(lake.root).coverage().equals(whole)
    assert read() == 1


def test_a_file_that_changed_just_now_is_not_remembered(lake: Lake, read: Callable[[], int]) -> None:
    path = next(lake.root.glob("bars/**/*.parquet"))
    os.utime(path)
    Lake(lake.root).coverage()
    read()
    Lake(lake.root).coverage()
    assert read() == 1


def test_a_memory_that_is_gone_cut_short_or_altered_costs_time_alone(
    lake: Lake, read: Callable[[], int]
) -> None:
    whole = Lake(lake.root).coverage()
    memory = lake.root / FILE_NAME
    for what, harmed in harms(memory.read_bytes(), seed=1):
        memory.write_bytes(harmed)
        read()
        assert Lake(lake.root).coverage().equals(whole), what
        assert read() >= 5, what
    memory.unlink()
    assert Lake(lake.root).coverage().equals(whole)
    assert memory.is_file()


def test_where_it_cannot_be_written_the_lake_is_read_all_the_same(lake: Lake) -> None:
    (lake.root / FILE_NAME).mkdir()
    assert Lake(lake.root).coverage().height == 5
    assert not list(lake.root.glob(f".{FILE_NAME}*"))


def test_readers_and_a_writer_at_once_see_what_is_there(lake: Lake) -> None:
    grown = lake.bars("S00USDT")
    faults: list[object] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            rows = dict(Lake(lake.root).coverage().select("symbol", "rows").rows())
            if rows["S00USDT"] % 100 or any(rows[name] != 100 for name in rows if name != "S00USDT"):
                faults.append(rows)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(1, 12):
        lake.write(grown.with_columns(pl.col("ts") + pl.duration(minutes=100 * turn)))
        rested(lake)
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert Lake(lake.root).coverage()["rows"].max() == 1200
