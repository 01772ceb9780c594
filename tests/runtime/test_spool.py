"""The spool: an outbox of files, whole at every moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from mexclab.domain.alert import Mark
from mexclab.runtime.spool import Spool
from mexclab.runtime.trace import Farewell, Trace, forget_farewell, leave_farewell, read_farewell, read_trace

FILLS = """
import sys
from pathlib import Path
from mexclab.runtime.spool import Spool
spool = Spool(Path(sys.argv[1]), "watch")
while True:
    alert = spool.add(1, "critical", "silent", "x" * 1000)
    print(alert.alert_id, flush=True)
"""


def test_what_was_added_is_there_after_a_kill(tmp_path: Path) -> None:
    Spool(tmp_path, "watch").begin(["file"])
    child = subprocess.Popen([sys.executable, "-c", FILLS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [child.stdout.readline().strip() for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    told += [line.strip() for line in child.stdout if line.endswith("\n")]
    child.wait()
    child.stdout.close()
    found = [alert.alert_id for alert in Spool(tmp_path, "watch").waiting(0)]
    assert found[: len(told)] == told
    assert len(found) - len(told) in (0, 1)  # one may have been written and not told


def test_numbers_go_on_and_ids_are_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", "watch")
    spool.begin(["file"])
    first = spool.add(1, "info", "alive", "up")
    spool.put("file", Mark(first.seq))
    assert not list((tmp_path / "a").glob("alert-*"))
    second = Spool(tmp_path / "a", "watch").add(1, "info", "alive", "up")
    other = Spool(tmp_path / "b", "watch").add(1, "info", "alive", "up")
    assert (first.seq, second.seq, other.seq) == (1, 2, 1)
    assert first.alert_id.rpartition("-")[2] == second.alert_id.rpartition("-")[2]
    assert first.alert_id != other.alert_id


def test_an_alert_is_kept_until_every_sink_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "watch")
    spool.begin(["file", "webhook"])
    spool.add(1, "info", "alive", "up")
    spool.put("file", Mark(1))
    assert [alert.seq for alert in Spool(tmp_path, "watch").waiting(0)] == [1]
    spool.put("webhook", Mark(1))
    assert not Spool(tmp_path, "watch").waiting(0)


def test_a_sink_that_is_not_wanted_any_more_holds_nothing_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "watch")
    spool.begin(["file", "webhook"])
    spool.add(1, "info", "alive", "up")
    spool.begin(["file"])
    spool.put("file", Mark(1))
    assert not spool.waiting(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sink-file.json", "spool.json"]


def test_a_disk_that_refuses_does_not_keep_an_alert_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", "watch")
    spool.begin(["file"])
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    (tmp_path / "spool").rmdir()
    spool.add(1, "critical", "silent", "nobody answers")
    assert [alert.text for alert in spool.waiting(0)] == ["nobody answers"]
    spool.put("file", Mark(1))
    assert spool.mark("file") == Mark(1)


def test_rubbish_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "alert-000000000007.json").write_text('{"no": "alert"}')
    (tmp_path / "alert-000000000008.json").write_text("{")
    (tmp_path / "spool.json").write_text("[]")
    spool = Spool(tmp_path, "watch")
    assert not spool.waiting(0)
    assert spool.add(1, "info", "alive", "up").alert_id.startswith("watch-1-")


def test_a_farewell_is_left_read_and_forgotten(tmp_path: Path) -> None:
    assert read_farewell(tmp_path) is None
    leave_farewell(tmp_path, Farewell(1, 2, "asked to by SIGTERM"))
    assert read_farewell(tmp_path) == Farewell(1, 2, "asked to by SIGTERM")
    forget_farewell(tmp_path)
    assert read_farewell(tmp_path) is None
    forget_farewell(tmp_path)
    leave_farewell(tmp_path / "nowhere", Farewell(1, 2, "a disk that refuses"))


def test_an_address_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    for text in ("", "{", "[]", '{"url": "x"}', '{"url": "x", "pid": "y", "mode": "", "started_ns": 1}'):
        path.write_text(text)
        assert read_trace(tmp_path) is None
    path.write_text('{"url": "http://127.0.0.1:1", "pid": 7, "mode": "paper", "started_ns": 5}')
    assert read_trace(tmp_path) == Trace("http://127.0.0.1:1", 7, "paper", 5)
