"""Kill -9 at any point of an append, a write, a compaction or a recording loses and doubles nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from mexclab.store.lake import Lake
from tests.store.lake_killing import ACTS, Killer, killer, minutes, prepared

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9 and fork are POSIX")


@pytest.fixture(scope="module")
def deadly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with killer(tmp_path_factory.mktemp("model") / "lake") as found:
        yield found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return prepared(tmp_path_factory.mktemp("before")).scan().collect()


def lakes(deadly: Killer, act: str, tmp_path: Path, least: set[str]) -> Iterator[tuple[str, Lake]]:
    """A lake for each point at which ``act`` was killed; ``least`` are points that must be among them."""
    points = deadly.points_of(act, tmp_path / "whole")
    assert least <= {name for name, _ in points}
    for number, point in enumerate(points):
        yield f"{act} killed at {point[0]} ({point[1]})", deadly.killed_at(act, point, tmp_path / str(number))


def in_months(root: Path) -> pl.DataFrame:
    """Every bar of every month file, however often it is there."""
    found = [
        pl.from_arrow(pq.ParquetFile(path).read()).with_columns(symbol=pl.lit(path.parent.name))
        for path in (root / "bars").rglob("*.parquet")
    ]
    return pl.concat(found)


def test_an_append_is_kept_whole_or_not_at_all(deadly: Killer, before: pl.DataFrame, tmp_path: Path) -> None:
    flush = minutes("AB", 107, 1)
    after = pl.concat([before, flush]).sort("symbol", "ts")
    least = {"open unfinished", "os.rename fresh", "os.remove fresh"}
    for where, lake in lakes(deadly, "append_one", tmp_path, least):
        found = lake.scan().collect()
        assert found.equals(before) or found.equals(after), where
        assert lake.append(flush).added == (0 if found.equals(after) else 2), where
        assert Lake(lake.root).scan().collect().equals(after), where
        assert not list((lake.root / "unfinished").iterdir()), where


def test_a_write_leaves_each_bar_as_it_was_or_as_it_was_to_be(
    deadly: Killer, before: pl.DataFrame, tmp_path: Path
) -> None:
    written = prepared(tmp_path / "written")
    ACTS["write_two_months"](written)
    after = written.scan().collect()
    either = pl.concat([before, after])
    for where, lake in lakes(deadly, "write_two_months", tmp_path, {"os.rename fresh", "os.rename bars"}):
        found = lake.scan().collect()
        assert found.join(either, on=found.columns, how="anti").is_empty(), where
        assert before.join(found, on=["symbol", "ts"], how="anti").is_empty(), where
        assert found.select("symbol", "ts").is_unique().all(), where
        ACTS["write_two_months"](lake)
        assert lake.scan().collect().equals(after), where


def test_a_compaction_changes_nothing_that_a_reader_sees(
    deadly: Killer, before: pl.DataFrame, tmp_path: Path
) -> None:
    least = {"os.rename bars", "os.mkdir bars", "os.remove fresh"}
    for where, lake in lakes(deadly, "compact", tmp_path, least):
        assert lake.scan().collect().equals(before), where
        with lake.connect() as connection:
            assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(before.height,)], where
        lake.compact()
        assert not list((lake.root / "fresh").rglob("*.parquet")), where
        assert lake.scan().collect().equals(before), where
        assert in_months(lake.root).height == before.height, where


def test_facts_are_recorded_together_or_not_at_all(deadly: Killer, tmp_path: Path) -> None:
    for where, lake in lakes(deadly, "record", tmp_path, {"open unfinished", "os.rename facts.jsonl"}):
        known = len(lake.facts.all())
        assert known in (1, 3), where
        ACTS["record"](lake)
        assert len(Lake(lake.root).facts.all()) == 3, where
