"""The daemon from outside: what it serves, whom it refuses, and how it dies and comes back."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import stat
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.daemon.conftest import START_S, Running


def test_health_answers_without_a_token_and_gives_a_reason_per_check(shared_daemon: Running) -> None:
    with shared_daemon.client(token="none") as client:
        assert client.get("/health/live").json() == {"live": True}
        deadline = time.monotonic() + 60  # the listing sources are asked once the API answers
        while (ready := client.get("/health/ready")).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert ready.status_code == 200
    checks = ready.json()["checks"]
    own = {"ledger", "venue clock", "listings", "orders", "entries"}
    venue = {"streams", "books", "listing sources", "request limits"}
    assert {check["name"] for check in checks} == own | venue
    assert all(check["ok"] and check["why"] for check in checks)


@pytest.mark.parametrize("path", ["/snapshot", "/events"])
@pytest.mark.parametrize("token", ["x", "wrong"])
def test_reading_without_the_token_is_refused(shared_daemon: Running, path: str, token: str) -> None:
    with shared_daemon.client(token=token) as client:
        answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"] == "NotAuthorised"


@pytest.mark.parametrize("path", ["/halt", "/resume", "/flatten", "/snipes/x/arm", "/snipes/x/disarm"])
def test_acting_without_the_token_is_refused_and_moves_nothing(shared_daemon: Running, path: str) -> None:
    with shared_daemon.client() as known, shared_daemon.client(token="wrong") as stranger:
        before = known.get("/snapshot").json()["halt"]
        assert stranger.post(path, json={"why": "let me"}).status_code == 401
        assert known.get("/snapshot").json()["halt"] == before


def test_the_token_is_readable_by_its_owner_only_and_is_not_in_the_log(shared_daemon: Running) -> None:
    path = shared_daemon.data / "daemon.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in (shared_daemon.data / "process.log").read_text()


def test_openapi_describes_every_act(shared_daemon: Running) -> None:
    with shared_daemon.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert {"/halt", "/resume", "/flatten", "/snapshot", "/events", "/health/ready"} <= set(paths)


@pytest.mark.parametrize("body", [{}, {"why": ""}, {"why": 3}, {"why": "x", "extra": 1}, []])
def test_a_wrong_body_is_refused_with_a_reason_and_halts_nothing(
    shared_daemon: Running, body: object
) -> None:
    with shared_daemon.client() as client:
        answer = client.post("/halt", json=body)
        assert answer.status_code == 422
        assert answer.json()["error"] == "ParameterError"
        assert answer.json()["message"]
        assert client.get("/snapshot").json()["halt"] is None


def test_an_unknown_snipe_and_an_unreadable_symbol_are_one_clear_sentence(shared_daemon: Running) -> None:
    with shared_daemon.client() as client:
        arm = client.post("/snipes/nobody-1/arm", json={})
        shot = client.get("/snapshot", params={"symbol": "what"})
    assert (arm.status_code, arm.json()["error"]) == (404, "DeskError")
    assert "no snipe 'nobody-1'" in arm.json()["message"]
    assert shot.status_code == 409
    assert "not a symbol" in shot.json()["message"]


def test_events_come_in_order_with_their_bodies(shared_daemon: Running) -> None:
    with shared_daemon.client() as client:
        rows = client.get("/events").json()["events"]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["kind"] == "DaemonStarted"
    assert rows[0]["body"]["mode"] == "paper"


async def test_the_stream_sends_rising_frames_and_refuses_a_stranger(shared_daemon: Running) -> None:
    with shared_daemon.client() as client:
        url = str(client.base_url).replace("http", "ws").rstrip("/") + "/stream"
        headers = dict(client.headers)
    async with connect(url, additional_headers={"Authorization": headers["authorization"]}) as socket_:
        frames = [json.loads(await asyncio.wait_for(socket_.recv(), 60))["frame"] for _ in range(3)]
        await socket_.send("not json")
        await asyncio.wait_for(socket_.wait_closed(), 60)
        assert socket_.close_code == 4422
    assert frames == sorted(set(frames))
    with pytest.raises(InvalidStatus, match="403"):
        await connect(url, additional_headers={"Authorization": "Bearer x"})


def test_a_halt_is_in_force_when_it_is_answered_and_survives_kill_9(daemon: Running) -> None:
    process = daemon.start()
    began = time.monotonic()
    with daemon.client() as client:
        assert client.post("/halt", json={"why": "a drill", "by": "test"}).json()["halted"] is True
        assert time.monotonic() - began < 10  # the second that is promised is measured by `make halts`
        assert client.get("/snapshot").json()["halt"]["why"] == "a drill"
    done = daemon.run("resume", "the drill is over")
    assert done.returncode == 0, done.stderr
    assert daemon.run("halt", "another drill").returncode == 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    daemon.start()
    with daemon.client() as client:
        shot = client.get("/snapshot").json()
        assert shot["halt"]["why"] == "another drill"
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert "another drill" in ready.text
    assert daemon.run("ledger", "verify").stdout.startswith("the ledger is whole")


def test_a_second_daemon_on_the_same_ledger_is_refused_in_one_line(daemon: Running) -> None:
    first = daemon.start()
    second = daemon.run("trade")
    assert second.returncode == 4
    assert f"process {first.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    with daemon.client() as client:
        assert client.get("/health/live").status_code == 200


def test_sigterm_is_graceful_and_written_down(daemon: Running) -> None:
    process = daemon.start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(START_S) == 130
    assert not (daemon.data / "daemon.json").exists()
    daemon.start()
    with daemon.client() as client:
        kinds = [(row["kind"], row["body"]) for row in client.get("/events").json()["events"]]
    stopped = [body for kind, body in kinds if kind == "DaemonStopped"]
    assert [body["why"] for body in stopped] == ["asked to by SIGTERM"]


def test_a_port_in_use_is_one_clear_line_and_no_half_started_desk(daemon: Running) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = daemon.run("trade", MEXCLAB_API__PORT=str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port} is in use" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (daemon.data / "daemon.json").exists()


def test_a_ledger_that_cannot_be_reached_stops_everything_with_the_password_masked(daemon: Running) -> None:
    done = daemon.run("trade", MEXCLAB_LEDGER__URL="postgresql://ada:tops3cret@127.0.0.1:9/none")
    assert done.returncode == 4
    assert "tops3cret" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_live_mode_names_what_is_missing_and_trades_nothing(daemon: Running) -> None:
    done = daemon.run("trade", MEXCLAB_MODE="live")
    assert done.returncode == 2
    assert "there is no vault" in done.stderr
    armed = daemon.run("trade", MEXCLAB_MODE="live", MEXCLAB_SNIPE__AUTO_ARM="true")
    assert armed.returncode == 2
    assert "auto_arm" in armed.stderr


def test_no_daemon_is_said_with_how_to_start_one(daemon: Running) -> None:
    done = daemon.run("status")
    assert done.returncode == 6
    assert "mexclab trade" in done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:9/health/live")
