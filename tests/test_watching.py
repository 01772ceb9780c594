"""What the dead man's switch makes of what it sees; no process is started here."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config import AlertSettings, Settings, WatchSettings
from mexclab.domain.clock import SECOND
from mexclab.errors import ConfigError
from mexclab.runtime.halt_file import reason_in
from mexclab.runtime.trace import Farewell, Trace, leave_farewell
from mexclab.watching import Look, Patience, Sign, Vigil, Watcher, check_once, judge, look, only_one
from tests.receiver import until

DESK = Trace("http://127.0.0.1:1", 4711, "paper", 5)
ALIVE, DUMB = Look(Sign.ALIVE, "it answers", DESK), Look(Sign.SILENT, "no answer", DESK)
STOPPED, GONE = Look(Sign.STOPPED, "asked to by SIGTERM"), Look(Sign.ABSENT, "no address")
UNKNOWING = Vigil()
PATIENCE = Patience(silence_s=10, again_s=60)


def told(*looks: tuple[float, Look], vigil: Vigil = UNKNOWING) -> list[tuple[float, str]]:
    """What is told when, of looks at these seconds."""
    found = []
    for at_s, seen in looks:
        vigil, word = judge(vigil, seen, (at_s, int(at_s * SECOND)), PATIENCE)
        if word is not None:
            found.append((at_s, word.kind))
    return found


# -- judging -------------------------------------------------------------------------------------


def test_silence_is_told_when_it_has_lasted_and_again_and_its_end_too() -> None:
    looks = [(0, ALIVE), *((n, DUMB) for n in range(1, 140)), (140, ALIVE), (141, ALIVE)]
    assert told(*looks) == [(0, "alive"), (11, "silent"), (71, "still"), (131, "still"), (140, "returned")]


def test_a_short_gap_is_nothing() -> None:
    assert told((0, ALIVE), (1, DUMB), (10, DUMB), (10.5, ALIVE), (11, DUMB), (20, DUMB), (20.5, ALIVE)) == [
        (0, "alive")
    ]


def test_a_watch_that_was_stopped_itself_does_not_call_that_silence() -> None:
    assert told((0, ALIVE), (500, DUMB), (501, ALIVE)) == [(0, "alive")]


def test_a_clean_stop_is_said_once_and_is_no_silence() -> None:
    assert told((0, ALIVE), (1, STOPPED), (2, STOPPED), (900, STOPPED), (901, ALIVE)) == [
        (0, "alive"),
        (1, "stopped"),
        (901, "alive"),
    ]


def test_a_desk_that_left_without_a_word_is_silent() -> None:
    assert told((0, ALIVE), *((n, GONE) for n in range(1, 15))) == [(0, "alive"), (11, "silent")]


def test_where_no_desk_ever_was_nobody_is_missed() -> None:
    assert told(*((n, GONE) for n in range(100))) == []


def test_a_stale_address_is_silence_although_nobody_saw_it_alive() -> None:
    assert told(*((n, DUMB) for n in range(15))) == [(10, "silent")]


def test_a_desk_that_stops_cleanly_after_a_silence_ends_it() -> None:
    looks = [(0, ALIVE), *((n, DUMB) for n in range(1, 20)), (20, STOPPED), (21, STOPPED)]
    assert told(*looks) == [(0, "alive"), (11, "silent"), (20, "stopped")]


def test_after_a_restart_the_watch_goes_on_where_it_was() -> None:
    known = Vigil(Sign.SILENT, DESK, None, 5 * SECOND, 20 * SECOND)
    assert told((30, DUMB), (79, DUMB), (80, DUMB), vigil=known) == [(80, "still")]
    assert told((30, GONE), (80, GONE), (81, ALIVE), vigil=known) == [(80, "still"), (81, "returned")]
    assert told(*((n, GONE) for n in range(30, 50)), vigil=replace(known, sign=Sign.ALIVE)) == [
        (40, "silent")
    ]


@given(st.lists(st.tuples(st.sampled_from([ALIVE, DUMB, STOPPED, GONE]), st.floats(0.1, 30)), max_size=60))
def test_silence_and_return_alternate_and_silence_is_never_told_too_early(
    steps: list[tuple[Look, float]],
) -> None:
    vigil, at_s, heard_s, was = Vigil(), 0.0, 0.0, ""
    for seen, pause_s in steps:
        at_s += pause_s
        if seen.sign in (Sign.ALIVE, Sign.STOPPED):
            heard_s = at_s
        vigil, word = judge(vigil, seen, (at_s, int(at_s * SECOND)), PATIENCE)
        if word is None:
            continue
        if word.kind == "silent":
            assert was not in ("silent", "still")
            assert at_s - heard_s >= PATIENCE.silence_s
        if word.kind in ("still", "returned"):
            assert was in ("silent", "still")
        was = word.kind


# -- looking -------------------------------------------------------------------------------------


@contextmanager
def door(status: int = 200, body: str = '{"live": true}', pid: int | None = None) -> Iterator[str]:
    """Something that listens, and answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                self.send_response(status)
                if pid is not None:
                    self.send_header("X-Process-Id", str(pid))
                self.end_headers()
                self.wfile.write(body.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def leave_address(data: Path, url: str, pid: int = 0, started_ns: int = 5) -> None:
    told = {"url": url, "pid": pid or os.getpid(), "mode": "paper", "started_ns": started_ns}
    (data / "daemon.json").write_text(json.dumps(told))


def seen(data: Path, patience_s: float = 60.0) -> Look:
    with httpx.Client(timeout=patience_s, trust_env=False) as client:
        return look(data, client)


def test_an_answer_of_the_process_itself_is_life(tmp_path: Path) -> None:
    with door(pid=os.getpid()) as url:
        leave_address(tmp_path, url)
        assert seen(tmp_path).sign is Sign.ALIVE


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"status": 503}, "does not answer as a desk (HTTP 503)"),
        ({"body": "<html>"}, "nobody answers"),
        ({"body": "[]"}, "does not answer as a desk"),
        ({"body": '{"live": false}'}, "does not answer as a desk"),
        ({"pid": 1}, "another process answers"),
    ],
    ids=str,
)
def test_any_other_answer_is_no_life(tmp_path: Path, answers: dict[str, Any], why: str) -> None:
    with door(**answers) as url:
        leave_address(tmp_path, url)
        found = seen(tmp_path)
    assert found.sign is Sign.SILENT
    assert why in found.why
    assert f"process {os.getpid()} is still there" in found.why


def test_an_answer_that_does_not_come_is_no_life(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        leave_address(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}")
        found = seen(tmp_path, patience_s=0.5)
    assert found.sign is Sign.SILENT
    assert "no answer" in found.why
    assert f"process {os.getpid()} is still there" in found.why


def test_nobody_at_the_address_is_no_life_and_a_word_makes_it_a_clean_stop(tmp_path: Path) -> None:
    with door() as url:
        pass
    leave_address(tmp_path, url, pid=2**22 + 1)
    found = seen(tmp_path)
    assert found.sign is Sign.SILENT
    assert "is gone" in found.why
    leave_farewell(tmp_path, Farewell(4, 9, "an earlier desk"))
    assert seen(tmp_path).sign is Sign.SILENT  # that word was of another desk
    leave_farewell(tmp_path, Farewell(5, 9, "asked to by SIGTERM"))
    assert seen(tmp_path) == Look(Sign.STOPPED, "asked to by SIGTERM", Trace(url, 2**22 + 1, "paper", 5))
    (tmp_path / "daemon.json").unlink()
    assert seen(tmp_path) == Look(Sign.STOPPED, "asked to by SIGTERM")


def test_no_proxy_stands_between_the_watch_and_the_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with door() as url:
        leave_address(tmp_path, url)
        assert check_once(terms(tmp_path))[0]


# -- acting --------------------------------------------------------------------------------------


def terms(data: Path, **watch: Any) -> Settings:
    return Settings(
        data=data,
        alerts=AlertSettings(console=False, file=data / "told.jsonl", level="info", first_retry_s=1),
        watch=WatchSettings(silence_s=1, **watch),
    )


def lines(data: Path) -> list[dict[str, Any]]:
    path = data / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def step_until(watcher: Watcher, sign: Sign) -> None:
    deadline = time.monotonic() + 60
    while watcher.vigil.sign is not sign:
        assert time.monotonic() < deadline
        watcher.step()
        time.sleep(0.05)


def test_silence_leaves_the_halt_file_with_the_reason_and_return_points_at_it(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    with Watcher(terms(tmp_path), say=heard.append) as watcher:
        with door() as url:
            leave_address(tmp_path, url)
            step_until(watcher, Sign.ALIVE)
            assert not (tmp_path / "HALT").exists()
        step_until(watcher, Sign.SILENT)
        reason = reason_in(tmp_path / "HALT")
        assert reason is not None
        assert reason.startswith("mexclab watch: the desk has been silent since ")
        with door() as url:
            leave_address(tmp_path, url)
            step_until(watcher, Sign.ALIVE)
        until(lambda: len(lines(tmp_path)) == 3)
    assert [line["kind"] for line in lines(tmp_path)] == ["alive", "silent", "returned"]
    assert [line["level"] for line in lines(tmp_path)] == ["info", "critical", "warning"]
    assert "the halt file HALT was left" in lines(tmp_path)[1]["text"]
    assert "the halt file HALT is there: remove it, then resume" in lines(tmp_path)[2]["text"]
    assert {line["source"] for line in lines(tmp_path)} == {"watch"}
    assert [told["sign"] for told in heard] == ["alive", "silent", "alive"]


def test_a_halt_file_is_left_alone_or_not_left_at_all(tmp_path: Path) -> None:
    leave_address(tmp_path, "http://127.0.0.1:9")
    with Watcher(terms(tmp_path, halt=False)) as watcher:
        step_until(watcher, Sign.SILENT)
    assert not (tmp_path / "HALT").exists()
    (tmp_path / "watch" / "vigil.json").unlink()
    (tmp_path / "HALT").write_text("a person's own reason")
    with Watcher(terms(tmp_path)) as watcher:
        step_until(watcher, Sign.SILENT)
    assert (tmp_path / "HALT").read_text() == "a person's own reason"


def test_entries_are_cancelled_again_and_again_until_the_venue_has_none(tmp_path: Path) -> None:
    answers = [
        (False, "the venue does not answer"),
        (False, "the venue does not answer"),
        (True, "2 cancelled"),
    ]
    asked: list[float] = []
    ended: list[float] = []
    may_end = threading.Event()

    def cancel() -> tuple[bool, str]:
        asked.append(time.monotonic())
        assert may_end.wait(60)
        ended.append(time.monotonic())
        return answers[len(asked) - 1]

    leave_address(tmp_path, "http://127.0.0.1:9")
    with Watcher(terms(tmp_path, halt=False), cancel) as watcher:
        step_until(watcher, Sign.SILENT)
        until(lambda: bool(asked))
        for _ in range(3):
            watcher.step()  # the looking goes on while the venue is asked
        assert (len(asked), ended) == (1, [])
        may_end.set()
        deadline = time.monotonic() + 60
        while watcher.vigil.to_cancel:
            watcher.step()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(asked) == 3
    waits = [again - before for before, again in zip(ended, asked[1:], strict=False)]
    assert [wait >= least for wait, least in zip(waits, (1, 2), strict=True)] == [True, True]
    texts = [line["text"] for line in lines(tmp_path) if line["kind"] == "entries"]
    assert texts == ["the venue does not answer; tried again", "2 cancelled"]


def test_cancelling_is_remembered_over_a_restart_of_the_watch_and_forgotten_when_life_returns(
    tmp_path: Path,
) -> None:
    leave_address(tmp_path, "http://127.0.0.1:9")
    held = threading.Event()

    def hangs() -> tuple[bool, str]:
        held.wait(300)
        return False, "too late"

    with Watcher(terms(tmp_path), hangs) as watcher:
        step_until(watcher, Sign.SILENT)
    done: list[bool] = []

    def works() -> tuple[bool, str]:
        done.append(True)
        return True, "1 cancelled"

    with Watcher(terms(tmp_path), works) as watcher:
        assert watcher.vigil.to_cancel
        watcher.step()
        until(lambda: bool(done))
        with door() as url:
            leave_address(tmp_path, url)
            step_until(watcher, Sign.ALIVE)
        assert not watcher.vigil.to_cancel
    held.set()


def test_two_watches_of_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(ConfigError, match=f"process {os.getpid()}"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "watch").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be used"):
        Watcher(terms(tmp_path))
    with pytest.raises(ConfigError, match="cannot be used"), only_one(tmp_path):
        pass


def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    for text in (
        "{",
        "[]",
        '{"sign": "dancing"}',
        '{"sign": "alive", "trace": {"no": 1}}',
        '{"sign": "alive", "x": 1}',
    ):
        (tmp_path / "watch" / "vigil.json").write_text(text)
        assert Watcher(terms(tmp_path)).vigil == Vigil()


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="looks too seldom"):
        WatchSettings(silence_s=5, poll_s=6)
    with pytest.raises(ValueError, match="first_retry_s 10 is above last_retry_s 5"):
        AlertSettings(first_retry_s=10, last_retry_s=5)
