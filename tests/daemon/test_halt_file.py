"""Halting without the API: by a file, and while the desk starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import pytest

from tests.daemon.conftest import START_S, Running

SECOND_S = 1.0
DECISIONS = {"VerdictGiven", "OrderDecided", "OrderSent", "SnipeMoved"}


def events(daemon: Running) -> list[tuple[str, dict[str, Any]]]:
    with daemon.client() as client:
        rows = client.get("/events", params={"limit": 1000}).json()["events"]
    return [(row["kind"], row["body"]) for row in rows]


def is_halted(daemon: Running) -> bool:
    with daemon.client() as client:
        return client.get("/snapshot").json()["halt"] is not None


def test_a_desk_beside_the_halt_file_starts_halted_and_does_not_resume_until_it_is_gone(
    daemon: Running,
) -> None:
    told = daemon.run("halt", "nobody is there")
    assert told.returncode == 6
    assert "HALT was left" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
    file = daemon.data / "HALT"
    daemon.start()
    kinds = events(daemon)
    assert [kind for kind, _ in kinds[:2]] == ["DaemonStarted", "Halted"]
    assert kinds[1][1]["by"] == "halt file"
    assert kinds[1][1]["why"].endswith(": nobody is there")
    with daemon.client() as client:
        refused = client.post("/resume", json={"why": "too early"})
    assert refused.status_code == 409
    assert refused.json()["message"].count("halt file") == 1
    by_hand = daemon.run("resume", "too early")
    assert by_hand.returncode != 0
    assert str(file) in by_hand.stderr
    file.unlink()
    assert daemon.run("resume", "the file is gone").returncode == 0
    assert not is_halted(daemon)
    file.mkdir()
    deadline = time.monotonic() + START_S
    while not is_halted(daemon):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    halts = [body for kind, body in events(daemon) if kind == "Halted"]
    assert len(halts) == 2
    time.sleep(2 * SECOND_S)
    assert sum(kind == "Halted" for kind, _ in events(daemon)) == 2, "one file halts once"


def test_a_desk_that_is_starting_takes_a_halt_before_it_decides_anything(daemon: Running) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (daemon.data / "daemon.token").write_text("a-token\n")
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": "Bearer a-token"}
    wish = {"why": "early", "by": "ada"}
    answers: list[httpx.Response] = []

    def asks() -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                answers.append(httpx.post(f"{url}/halt", json=wish, headers=headers, timeout=START_S))
                return
            except httpx.TransportError:
                time.sleep(0.005)

    thread = threading.Thread(target=asks)
    thread.start()
    environment = daemon.environment(MEXCLAB_API__PORT=str(port))
    log = (daemon.data / "process.log").open("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "mexclab.cli", "trade"], env=environment, stdout=log, stderr=log, text=True
    )
    log.close()
    daemon.processes.append(process)
    thread.join(START_S)
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].json()["halted"] is True
    deadline = time.monotonic() + START_S
    while not (daemon.data / "daemon.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kinds = [kind for kind, _ in events(daemon)]
    assert "Halted" in kinds
    assert not DECISIONS & set(kinds[: kinds.index("Halted")])
    process.send_signal(signal.SIGTERM)
    assert process.wait(START_S) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_desk_that_is_told_to_stop_while_it_starts_ends_cleanly(
    daemon: Running, number: signal.Signals
) -> None:
    """The venue is silent, so the start cannot end by itself."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        log = daemon.data / "process.log"
        with log.open("w") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "mexclab.cli", "trade"],
                env=daemon.environment(MEXCLAB_VENUE__REST_URL=url, MEXCLAB_VENUE__TIMEOUT_MS="4900"),
                stdout=told, stderr=told, text=True,
            )  # fmt: skip
        daemon.processes.append(process)
        silent.settimeout(START_S)
        silent.accept()[0].close()
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(START_S) == 130, log.read_text()[-2000:]
    assert "Traceback" not in log.read_text()
    assert not (daemon.data / "daemon.json").exists()


def test_the_short_way_of_the_command_line_halts_as_the_long_one_does(daemon: Running) -> None:
    daemon.start()
    environment = {**os.environ, "MEXCLAB_DATA": str(daemon.data)}
    command = [sys.executable, "-X", "importtime", "-m", "mexclab", "halt", 'it "looks" odd: äöü']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("PAPER: halted: 0 shots dropped")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert not imported & {"typer", "pydantic", "httpx", "mexclab.cli"}
    halt = next(body for kind, body in events(daemon) if kind == "Halted")
    assert halt["why"] == 'it "looks" odd: äöü'
    assert halt["by"]
    told = json.loads((daemon.data / "daemon.json").read_text())
    (daemon.data / "daemon.json").write_text(json.dumps({**told, "url": "http://127.0.0.1:1"}))
    lost = subprocess.run(command[:1] + command[3:], env=environment, capture_output=True, text=True)
    assert lost.returncode == 6
    assert "HALT was left" in lost.stderr
