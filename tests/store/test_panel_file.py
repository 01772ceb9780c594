"""The panel file: the same bars as the lake's, whatever happens to the lake and to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import DataError, ParameterError
from mexclab.research.lanes import LANES
from mexclab.research.similarity import similar
from mexclab.research.windows import Panel
from mexclab.store.lake import Lake
from mexclab.store.lake_fresh import Fresh, FreshFile
from mexclab.store.panel_file import PanelFile, panel_of
from mexclab.store.panel_file_draft import Room
from mexclab.store.panel_file_index import Index, joined, read_index, runs_in
from tests.naive import panel_file_naive as naive
from tests.store.panel_samples import MINUTE, START, GrowingLake, steady_lake, walk

ROOT = Path(__file__).resolve().parents[2]
SMALL = Room(keep=8, limit=32)


def index_of(lake: Lake) -> Index:
    index = read_index(lake.root / "panel" / "1m")
    assert index is not None
    return index


@pytest.mark.parametrize("salt", range(2))
def test_after_whatever_happened_to_the_lake_the_panel_holds_its_bars(
    tmp_path: Path, seed: int, salt: int
) -> None:
    grown = GrowingLake(tmp_path, seed + salt)
    file = PanelFile(grown.lake, room=SMALL)
    kept: list[tuple[Panel, naive.Bars]] = []
    told = []
    for turn in range(10):
        told.append(grown.step())
        if turn % 3 == 1:
            continue  # several things happen before somebody looks
        panel = file.panel(("volume",) if turn > 5 else ())
        held = naive.held_by(panel)
        expected = naive.bars_of(grown.lake.scan().collect())
        assert held.keys() == expected.keys(), told
        for at in (0, 1) if "volume" in panel.channels else (0,):
            ours, theirs = ([bars[key][at] for key in expected] for bars in (held, expected))
            np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14, err_msg=str(told))
        assert file.is_fresh(), told
        kept.append((panel, held))
    for panel, held in kept:
        now = naive.held_by(panel)
        assert repr(now) == repr(held), f"a panel that was open has changed: {told}"


def test_searches_in_the_file_and_in_memory_answer_the_same(tmp_path: Path, seed: int) -> None:
    grown = GrowingLake(tmp_path, seed, symbols=6)
    grown.lake.write(walk("LONGUSDT", 0, 3000, grown.rng))
    panel_of(grown.lake)
    grown.live(30)
    ours, memory = panel_of(grown.lake), Panel.from_frame(grown.lake.scan(), MINUTE)
    query = memory.window("LONGUSDT", length=40)
    assert similar(ours, query, 5).table.equals(similar(memory, query, 5).table)


def test_a_panel_that_is_fresh_is_opened_without_reading_a_bar(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path)
    for folder in (tmp_path / "bars").glob("*/*"):
        os.utime(folder, (1e9, 1e9))  # as after a while: a folder that has just changed is not trusted
    first = panel_of(lake)
    for part in (tmp_path / "bars").rglob("*.parquet"):
        os.truncate(part, 100)  # whoever reads it now fails; its folder looks as before
    again = panel_of(Lake(tmp_path))
    assert repr(naive.held_by(again)) == repr(naive.held_by(first))


def test_bars_at_the_end_are_appended_and_nothing_moves(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path)
    file = PanelFile(lake, room=SMALL)
    file.panel()
    before = index_of(lake)
    rng = np.random.default_rng(2)
    for first in range(1000, 1100, 10):
        lake.append(pl.concat([walk(f"S{number:02}USDT", first, 10, rng) for number in range(20)]))
        file.panel()
    after = index_of(lake)
    assert after.data == before.data
    assert [group.offset for group in after.groups] == [group.offset for group in before.groups]
    assert {group.rows for group in after.groups} == {1100}
    assert all(group.rows - group.frozen <= SMALL.limit for group in after.groups)
    lake.compact()
    file.panel()
    assert index_of(lake).data == before.data, "a compaction changes no bar"


def test_a_repaired_gap_moves_its_own_group_alone(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=LANES * 2)
    rng = np.random.default_rng(3)
    lake.write(walk("GAPSUSDT", 0, 300, rng))
    lake.write(walk("GAPSUSDT", 310, 690, rng))
    file = PanelFile(lake, room=SMALL)
    file.panel()
    before = index_of(lake)
    lake.write(walk("GAPSUSDT", 300, 10, rng))
    panel = file.panel()
    after = index_of(lake)
    assert len(panel.window("GAPSUSDT", start_ns=START, length=1000).values) == 1000
    moved = [
        old.symbols for old, new in zip(before.groups, after.groups, strict=True) if old.offset != new.offset
    ]
    assert len(moved) == 1
    assert "GAPSUSDT" in moved[0]


def test_a_new_listing_takes_a_free_lane(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=18)
    file = PanelFile(lake, room=SMALL)
    file.panel()
    before = index_of(lake)
    lake.append(walk("NEWSUSDT", 998, 4, np.random.default_rng(4)))
    panel = file.panel()
    after = index_of(lake)
    assert "NEWSUSDT" in panel.symbols
    assert [group.offset for group in after.groups] == [group.offset for group in before.groups]


def test_room_runs_out_and_the_group_moves_with_all_its_bars(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=2, bars=100)
    file = PanelFile(lake, room=SMALL)
    file.panel()
    room = index_of(lake).groups[0].capacity
    lake.write(walk("S00USDT", 100, room, np.random.default_rng(5)))
    assert len(file.panel().window("S00USDT", start_ns=START, length=100 + room).values) == 100 + room
    assert index_of(lake).groups[0].capacity > room


def test_a_channel_that_is_asked_for_later_is_added(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=2, bars=50)
    assert not panel_of(lake).channels
    assert set(panel_of(lake, channels=("volume",)).channels) == {"volume"}
    assert set(panel_of(lake, channels=("range",)).channels) == {"range"}
    assert set(index_of(lake).channels) == {"close", "range", "volume"}


def test_what_cannot_be_opened_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="import"):
        panel_of(Lake(tmp_path / "empty"))
    lake = steady_lake(tmp_path / "lake", symbols=1, bars=20)
    with pytest.raises(ParameterError, match="no channel spread"):
        panel_of(lake, channels=("spread",))
    with pytest.raises(ParameterError, match="interval"):
        panel_of(lake, "7m")
    assert not (lake.root / "panel").exists()


def test_a_build_that_fails_leaves_no_data_file_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=2, bars=50)
    folder = tmp_path / "panel" / "1m"
    folder.mkdir(parents=True)
    left = folder / "close.0123456789ab.f64"
    left.write_bytes(b"killed")
    seen = []

    def interrupted(done: int, total: int) -> None:
        seen.append(left.exists())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        panel_of(lake, progress=interrupted)
    assert seen == [False]
    assert not [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert len(panel_of(lake)) == 100


def test_an_append_that_is_compacted_between_two_looks_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = steady_lake(tmp_path, symbols=2, bars=50)
    file = PanelFile(lake)
    file.panel()
    lake.append(walk("S00USDT", 50, 5, np.random.default_rng(7)))
    files = Fresh.files

    def compacted(self: Fresh, interval: str) -> list[FreshFile]:
        monkeypatch.undo()
        lake.compact()
        return files(self, interval)

    monkeypatch.setattr(Fresh, "files", compacted)
    assert not file.is_fresh()


@pytest.mark.parametrize("harm", ["data", "gone", "short", "no array"])
def test_a_damaged_panel_file_is_made_anew(tmp_path: Path, harm: str) -> None:
    lake = steady_lake(tmp_path, symbols=2, bars=50)
    expected = naive.held_by(panel_of(lake))
    folder = tmp_path / "panel" / "1m"
    if harm == "data":
        os.truncate(next(folder.glob("close.*")), 4096)
    elif harm == "gone":
        next(folder.glob("runs.*")).unlink()
    else:
        tail = next(folder.glob("tail.*"))
        if harm == "short":
            np.save(tail, np.load(tail)[:, :-2])
        else:
            tail.write_bytes(b"no array")
    assert repr(naive.held_by(panel_of(lake))) == repr(expected)


@pytest.mark.parametrize("has_older_months", [False, True])
def test_fresh_bars_whose_month_is_deleted_after_a_compaction_are_gone(
    tmp_path: Path, has_older_months: bool
) -> None:
    lake = steady_lake(tmp_path, symbols=3, bars=50)
    name, later = ("S01USDT", 31 * 1440) if has_older_months else ("N01USDT", 10)
    lake.append(walk(name, later, 5, np.random.default_rng(2)))
    assert len(panel_of(lake)) == 155
    lake.compact()
    sorted((tmp_path / "bars" / "interval=1m" / f"symbol={name}").iterdir())[-1].unlink()
    assert naive.held_by(panel_of(lake)).keys() == naive.bars_of(lake.scan().collect()).keys()
    assert len(panel_of(lake)) == 150


def test_processes_and_threads_that_ask_at_once_share_one_build(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=4, bars=200)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(panel_of(Lake(tmp_path))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [800] * 4
    assert len(list((tmp_path / "panel" / "1m").glob("close.*"))) == 1
    assert len(panel_of(lake)) == 800


TORN = """
import os, signal, sys
from pathlib import Path

import numpy as np
import polars as pl

from mexclab.store.lake import Lake
from mexclab.store.panel_file import PanelFile
from mexclab.store.panel_file_draft import Room
from tests.naive import panel_file_naive as naive
from tests.store.panel_samples import walk

root, how = Path(sys.argv[1]), sys.argv[2]
WRITES = ("mexclab.panel_file.put", "os.rename", "os.remove", "open")
left = None

class Torn(BaseException): ...

def tear(event, args):
    global left
    if left is None or event not in WRITES or (event == "open" and "panel" not in str(args[0])):
        return
    left -= 1
    if left == 0:
        left = None
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise Torn

def look():
    return PanelFile(Lake(root), room=Room(keep=8, limit=32))

sys.addaudithook(tear)
lake, rng = Lake(root), np.random.default_rng(6)
lake.write(pl.concat([walk(f"S{n:02}USDT", 0, 100, rng) for n in range(20)]))
old = look().panel()
held = naive.held_by(old)
lake.append(pl.concat([walk(f"S{n:02}USDT", 100, 40, rng) for n in range(20)]))
lake.write(lake.bars("S03USDT")[50:51].with_columns(close=pl.col("low")), replace=True)
if how == "kill":
    left = int(sys.argv[3])
    look().panel()
    sys.exit("it was to die before this")
point, done = 0, False
while not done:
    point, left = point + 1, point + 1
    try:
        look().panel()
        done, left = left is not None, None
    except Torn:
        pass
    assert repr(naive.held_by(old)) == repr(held), point
    expected = naive.bars_of(Lake(root).scan().collect())
    if not done and point % 3:
        continue  # the next one finds what several dead ones left
    now = look().panel()
    assert naive.held_by(now).keys() == expected.keys(), point
    lake.append(pl.concat([walk(f"S{n:02}USDT", 140 + 40 * point, 40, rng) for n in range(20)]))
    again = lake.bars("S07USDT")[50:51].with_columns(close=pl.col("low"), low=pl.col("low") * 0.9)
    lake.write(again, replace=True)
print(point)
"""


def torn(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TORN, str(root), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_torn_at_any_write_a_refresh_leaves_a_panel_that_the_next_one_completes(tmp_path: Path) -> None:
    done = torn(tmp_path, "raise")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8, "so many places to be torn at there are at least"


def test_kill_9_in_the_middle_of_a_refresh_loses_nothing(tmp_path: Path) -> None:
    assert torn(tmp_path, "kill", "4").returncode == -signal.SIGKILL
    lake = Lake(tmp_path)
    assert index_of(lake).groups[0].rows == 100, "the old panel is still the one that is named"
    panel = PanelFile(lake, room=SMALL).panel()
    assert naive.held_by(panel).keys() == naive.bars_of(lake.scan().collect()).keys()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_lake_that_may_only_be_read_is_searched_in_memory() -> None:
    with tempfile.TemporaryDirectory() as name:
        lake = steady_lake(Path(name) / "lake", symbols=2, bars=50)
        expected = naive.held_by(Panel.from_frame(lake.scan(), MINUTE))
        for folder in (Path(name), *(path for path in Path(name).rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        os.seteuid(65534)
        try:
            held = naive.held_by(panel_of(Lake(lake.root)))
        finally:
            os.seteuid(0)
        assert repr(held) == repr(expected)
        assert not (lake.root / "panel").exists()


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 12), more=st.integers(0, 12), empty=st.floats(0, 1))
def test_runs_are_those_that_one_finds_bar_by_bar(seed: int, rows: int, more: int, empty: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((rows + more, LANES)) < empty, np.nan, 1.0)
    assert [tuple(run) for run in runs_in(values).T.tolist()] == naive.runs_of(values)
    both = joined(runs_in(values[:rows]), runs_in(values[rows:]), rows)
    assert [tuple(run) for run in both.T.tolist()] == naive.runs_of(values)
