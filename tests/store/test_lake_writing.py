from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import DataError
from mexclab.store.lake import Lake, Written
from mexclab.store.lake_checks import bar_checks, faulty
from mexclab.store.lake_layout import FRAME_SCHEMA
from tests.naive.bars_naive import is_minute_bar
from tests.store.bar_samples import MAY, ROOT, bars, stamps

# writing


def test_writing_the_same_bars_again_rewrites_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.write(bars()) == Written(added=10, partitions=1)
    before = stamps(tmp_path)
    assert lake.write(bars()) == Written(unchanged=10)
    assert lake.write(bars(count=4)) == Written(unchanged=4)
    assert stamps(tmp_path) == before


def test_new_bars_are_merged_between_the_stored_ones(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    whole = bars(count=30)
    lake.write(whole.filter(pl.col("ts").dt.minute() % 3 == 0))
    assert lake.write(whole) == Written(added=20, unchanged=10, partitions=1)
    assert lake.bars("BTCUSDT").equals(whole)


def test_a_bar_that_contradicts_the_lake_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars("ETHUSDT"))
    other = bars("ETHUSDT").with_columns(volume=pl.col("volume") + 1)
    with pytest.raises(DataError, match=r"ETHUSDT 1m: 10 bars contradict the lake.*replace=True") as caught:
        lake.write(pl.concat([bars("BTCUSDT"), other]))
    assert caught.value.data["conflicts"] == 10
    assert lake.symbols() == ["ETHUSDT"]
    assert lake.bars("ETHUSDT").equals(bars("ETHUSDT"))


def test_replace_overwrites_only_what_differs(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    other = bars(count=4).with_columns(volume=pl.when(pl.col("volume") < 2).then(9.0).otherwise("volume"))
    assert lake.write(other, replace=True) == Written(replaced=2, unchanged=2, partitions=1)
    assert lake.bars("BTCUSDT")["volume"].to_list() == [9.0, 9.0, *map(float, range(2, 10))]


def test_exact_duplicates_in_one_frame_count_once_and_two_different_bars_are_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.write(pl.concat([bars(), bars()])).added == 10
    with pytest.raises(DataError, match="two different bars"):
        lake.write(pl.concat([bars("XUSDT"), bars("XUSDT").with_columns(volume=pl.lit(77.0))]))
    assert lake.symbols() == ["BTCUSDT"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"close": pl.lit(float("nan"))}, "close is NaN"),
        ({"open": pl.lit(None, pl.Float64)}, "open missing"),
        ({"low": pl.lit(-1.0)}, "low is zero or negative"),
        ({"volume": pl.lit(-1.0)}, "volume is negative"),
        ({"high": pl.lit(1.0)}, "high is below low"),
        ({"ts": pl.col("ts") + pl.duration(seconds=1)}, "not on the 1m grid"),
        ({"ts": pl.col("ts").dt.replace_time_zone(None)}, "ts must be a Datetime in UTC"),
        ({"ts": pl.col("ts").cast(pl.Datetime("us", "UTC")) + pl.duration(microseconds=1)}, "finer than"),
        ({"volume": pl.lit("many")}, "these are not bars"),
    ],
)
def test_the_lake_itself_takes_no_impossible_bar(
    tmp_path: Path, change: dict[str, pl.Expr], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        Lake(tmp_path).write(bars().with_columns(**change))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_frame_that_lacks_columns_is_refused_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lack low, volume"):
        Lake(tmp_path).write(bars().drop("low", "volume"))


def test_leftover_temporary_files_are_ignored_by_readers_and_cleaned_at_start(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars())
    leftover = tmp_path / "unfinished" / "2026-05.4242.deadbeef.tmp"
    leftover.write_bytes(b"half a file")
    assert lake.scan().collect().equals(bars())
    assert leftover.exists()
    Lake(tmp_path)
    assert not leftover.exists()


def test_a_lake_opened_beside_a_busy_writer_leaves_its_temporary_files_alone(tmp_path: Path) -> None:
    Lake(tmp_path).write(bars())
    busy = tmp_path / "unfinished" / "2026-05.4242.deadbeef.tmp"
    busy.write_bytes(b"half a file")
    holder = _hold_lock(tmp_path)
    try:
        assert Lake(tmp_path).bars("BTCUSDT").height == 10
        assert busy.exists()
        with pytest.raises(DataError, match="another process has been writing"):
            Lake(tmp_path, lock_wait_s=0.1).write(bars(count=12))
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    assert Lake(tmp_path, lock_wait_s=5).write(bars(count=12)).added == 2


def _hold_lock(root: Path) -> subprocess.Popen[bytes]:
    program = """
import sys, time
from pathlib import Path
from mexclab.store.lake_partition import locked
with locked(Path(sys.argv[1]), 5):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(root)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_two_writers_at_once_lose_no_row(tmp_path: Path) -> None:
    whole = bars(count=400)
    pieces = [whole.gather_every(8, offset) for offset in range(8)]
    writers = [threading.Thread(target=Lake(tmp_path).write, args=(piece,)) for piece in pieces]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Lake(tmp_path).bars("BTCUSDT").equals(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_leaves_the_old_partition_and_a_clear_error(tmp_path: Path) -> None:
    Lake(tmp_path).write(bars())
    program = """
import resource, signal, sys
from pathlib import Path
from tests.store.bar_samples import bars
from mexclab.errors import DataError
from mexclab.store.lake import Lake
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    Lake(Path(sys.argv[1])).write(bars(count=40_000))
except DataError as why:
    print(why)
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert "could not be written" in done.stdout
    assert "unchanged" in done.stdout
    assert Lake(tmp_path).bars("BTCUSDT").equals(bars())
    assert not list(tmp_path.rglob("*.tmp"))


# properties

_NUMBER = st.floats(min_value=1e-12, max_value=1e12, allow_nan=False)


@st.composite
def any_bars(draw: st.DrawFn) -> pl.DataFrame:
    """Bars of a few symbols, over a few months, with gaps, in any order."""
    names = draw(
        st.lists(st.sampled_from(["BTCUSDT", "索拉拉USDT", "A(B)USDT", "7"]), min_size=1, unique=True)
    )
    rows = []
    for name in names:
        for minute in draw(st.sets(st.integers(0, 150_000), min_size=1, max_size=25)):
            low, a, b, high = sorted(draw(st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER)))
            volume = draw(st.floats(min_value=0, max_value=1e15))
            rows.append((name, MAY + timedelta(minutes=minute), a, high, low, b, volume))
    return pl.DataFrame(draw(st.permutations(rows)), schema=FRAME_SCHEMA, orient="row")


@given(any_bars())
@settings(max_examples=25, deadline=None)
def test_whatever_is_written_is_read_back_bit_for_bit_and_writing_again_is_nothing(
    frame: pl.DataFrame,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        assert lake.write(frame).added == frame.height
        assert lake.scan().collect().equals(frame.sort("symbol", "ts"))
        before = stamps(Path(folder))
        assert lake.write(frame) == Written(unchanged=frame.height)
        assert stamps(Path(folder)) == before


@given(any_bars(), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_order_and_overlap_of_writes_do_not_matter(frame: pl.DataFrame, percent: int) -> None:
    cut = frame.height * percent // 100
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        Lake(Path(one)).write(frame)
        other = Lake(Path(two))
        other.write(frame[cut:])
        other.write(frame[: cut + 3])
        assert other.scan().collect().equals(Lake(Path(one)).scan().collect())


_ODD = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0]), st.sampled_from([1.0, 2.0])
)
_ODD_TIME = st.one_of(
    st.none(), st.sampled_from([MAY, MAY + timedelta(seconds=1), datetime(2008, 12, 31, tzinfo=UTC)])
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "", None]), _ODD_TIME, _ODD, _ODD, _ODD, _ODD, _ODD), max_size=30
    )
)
@settings(deadline=None)
def test_the_vectorised_checks_agree_with_the_naive_rule(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")
    found = faulty(frame, bar_checks("1m")).to_list()
    assert found == [not is_minute_bar(row) for row in frame.iter_rows(named=True)]
