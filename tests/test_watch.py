"""`mexclab watch` beside a real desk that is stopped, killed, ended, and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from mexclab import Settings
from mexclab.bootstrap import road
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import VenueOrder
from tests.daemon.conftest import Running
from tests.daemon.live_scene import ACCOUNT, KEY, PHRASE, SECRET, add_key
from tests.processes import environment, run, settings, simulator
from tests.receiver import Receiver, Reply, receiver, until

MX = Symbol("MX", "USDT")
OURS, STRANGER, SALE = "MX-0a1b2c3d-b-1", "somebody-elses-order", "MX-0a1b2c3d-t1-1"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Outside pytest's own: the embedded server's user must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="mexclab-watch-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def there() -> Iterator[Receiver]:
    with receiver() as told:
        yield told


@pytest.fixture(scope="module")
def desk(folder: Path, there: Receiver) -> Iterator[Running]:
    """A paper desk on its own simulator, with a webhook; one after the other is started on this folder."""
    groups: dict[str, dict[str, Any]] = {
        "alerts": {
            "webhook": there.url,
            "file": str(folder / "told.jsonl"),
            "level": "info",
            "first_retry_s": 1,
        },
        "watch": {"silence_s": 6, "poll_s": 1, "cancel_entries": True},
    }
    (folder / "mexclab.toml").write_text(settings(**groups))
    desk = Running(folder)
    try:
        yield desk
    finally:
        for process in desk.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        desk.stop()


def catches_sigterm(pid: int) -> bool:
    """Whether the process has come so far that a signal is heard, and does not just end it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@contextmanager
def watch(data: Path, stdin: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """``mexclab watch --json`` that is up; ended in the end."""
    out = data / "watch.out"
    command = [sys.executable, "-m", "mexclab.cli", "watch", "--json"]
    with out.open("ab") as log:
        process = subprocess.Popen(
            command, env=environment(data), cwd=data, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(stdin.encode())
    try:
        until(lambda: catches_sigterm(process.pid))
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130


def told(there: Receiver, source: str) -> list[dict[str, Any]]:
    return [body for body in there.bodies if body["source"] == source]


def kinds(there: Receiver) -> list[str]:
    return [body["kind"] for body in told(there, "watch")]


def heard(there: Receiver, kind: str, since: int = 0) -> dict[str, Any]:
    """The first word of this kind after so many words of the watch."""
    until(lambda: kind in kinds(there)[since:], told=lambda: (kinds(there), there.texts))
    return told(there, "watch")[since + kinds(there)[since:].index(kind)]


# -- orders, placed beside the desk --------------------------------------------------------------


def at_venue(data: Path, url: str, *orders: Order) -> list[VenueOrder]:
    """Place these; the open orders of the paper account afterwards."""

    async def work() -> list[VenueOrder]:
        told = Settings(data=data)
        venue = told.venue.model_copy(update={"rest_url": url})
        way = road(told.model_copy(update={"venue": venue}), "test", _no_key)
        try:
            await way.venue.clock_reading()
            for order in orders:
                way.venue.submit(order)
            deadline = time.monotonic() + 60
            while True:
                found = list(await way.venue.open_orders())
                if {order.client_id for order in orders} <= {order.client_id for order in found}:
                    return found
                assert time.monotonic() < deadline, found
                await asyncio.sleep(0.1)
        finally:
            await way.venue.stop()

    return asyncio.run(work())


def _no_key() -> Any:
    raise AssertionError("paper needs no key")


def resting(client_id: str, side: Side = Side.BUY, price: str = "0.5", quantity: str = "20") -> Order:
    return Order(client_id, MX, side, OrderType.LIMIT, Decimal(quantity), Decimal(price))


def last_price(url: str) -> Decimal:
    return Decimal(httpx.get(f"{url}/api/v3/ticker/price", params={"symbol": "MXUSDT"}).json()["price"])


def below(url: str) -> str:
    """A price that rests: a tenth below the last one."""
    return str((last_price(url) * Decimal("0.9")).quantize(Decimal("0.001")))


# -- the desk ------------------------------------------------------------------------------------


def test_a_desk_that_hangs_is_noticed_and_its_entries_are_taken_back_and_its_return_is_said(
    desk: Running, there: Receiver
) -> None:
    process = desk.start()
    until(lambda: any(body["kind"] == "DaemonStarted" for body in told(there, "desk")))
    url = json.loads((desk.data / "paper" / "simulator.json").read_text())["url"]
    price = below(url)
    at_venue(desk.data, url, resting(OURS, price=price), resting(STRANGER, price=price))
    assert desk.run("watch", "--once").returncode == 0
    with watch(desk.data):
        heard(there, "alive")
        os.kill(process.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        try:
            silent = heard(there, "silent")
            assert time.monotonic() - stopped_s > 5
            assert f"process {process.pid} is still there" in silent["text"]
            assert (silent["level"], silent["mode"]) == ("critical", "paper")
            assert "mexclab watch: " in (desk.data / "HALT").read_text()
            entries = heard(there, "entries")
            assert f"1 open entry was cancelled at the venue ({OURS})" in entries["text"]
            assert "1 orders that are not ours were left alone" in entries["text"]
            assert [order.client_id for order in at_venue(desk.data, url)] == [STRANGER]
            done = desk.run("watch", "--once", "--json")
            assert done.returncode == 1
            assert json.loads(done.stdout)["sign"] == "silent"
        finally:
            os.kill(process.pid, signal.SIGCONT)
        returned = heard(there, "returned")
        assert "the halt file HALT is there" in returned["text"]
        until(lambda: any(body["kind"] == "Halted" for body in told(there, "desk")))
    assert kinds(there) == ["alive", "silent", "entries", "returned"]


def test_a_killed_desk_is_noticed_and_the_next_one_starts_halted(desk: Running, there: Receiver) -> None:
    process, before = desk.processes[-1], len(kinds(there))
    with watch(desk.data):
        time.sleep(1.5)
        process.kill()
        process.wait()
        silent = heard(there, "silent", before)
        assert f"process {process.pid} is gone" in silent["text"]
        desk.start()
        heard(there, "returned", before)
    with desk.client() as client:
        assert client.get("/snapshot").json()["halt"] is not None
        refused = client.post("/resume", json={"by": "Ann", "why": "all is well"})
        assert refused.status_code == 409
        (desk.data / "HALT").unlink()
        assert client.post("/resume", json={"by": "Ann", "why": "all is well"}).status_code == 200
    until(lambda: any(body["kind"] == "Resumed" for body in told(there, "desk")))


def test_a_clean_stop_is_said_once_and_is_no_silence(desk: Running, there: Receiver) -> None:
    before = len(kinds(there))
    with watch(desk.data):
        time.sleep(1.5)
        desk.stop()
        stopped = heard(there, "stopped", before)
        assert "asked to by SIGTERM" in stopped["text"]
        time.sleep(8)
    with watch(desk.data):  # nor does a watch that starts later say it anew
        time.sleep(3)
    assert kinds(there)[before:] == ["stopped"]
    assert not (desk.data / "HALT").exists()
    done = desk.run("watch", "--once")
    assert (done.returncode, done.stdout.strip()) == (0, "stopped: asked to by SIGTERM")
    until(lambda: any(body["kind"] == "DaemonStopped" for body in told(there, "desk")))


def test_an_alert_that_the_desk_could_not_deliver_comes_after_its_next_start(
    desk: Running, there: Receiver
) -> None:
    there.replies += [Reply(500)] * 50
    process = desk.start()
    with desk.client() as client:
        why = "nobody hears this one"
        assert client.post("/halt", json={"by": "Ann", "why": why}).status_code == 200
        until(lambda: len(there.replies) < 50)

        def checks() -> dict[str, str]:
            rows = client.get("/health/ready").json()["checks"]
            return {row["name"]: row["why"] for row in rows if not row["ok"]}

        until(lambda: "HTTP 500" in checks().get("alerts", ""), told=checks)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there.replies.clear()
    before = len(there.bodies)
    desk.start()
    until(
        lambda: any(why in body["text"] for body in there.bodies[before:]), told=lambda: there.texts[before:]
    )
    by_id: dict[str, set[str]] = {}
    for body in there.bodies:
        by_id.setdefault(body["id"], set()).add(body["text"])
    assert all(len(texts) == 1 for texts in by_id.values())
    filed = [json.loads(line)["id"] for line in (desk.data / "told.jsonl").read_text().splitlines()]
    assert set(filed) == set(by_id)
    secret = there.url.rpartition("/")[2]
    said = (desk.data / "process.log").read_text() + (desk.data / "watch.out").read_text()
    assert secret not in said


# -- an account behind a vault -------------------------------------------------------------------


def test_in_live_mode_the_vault_is_opened_at_the_start_and_only_entries_of_ours_are_taken_back(
    folder: Path,
) -> None:
    data = folder / "live"
    data.mkdir(mode=0o755)
    with simulator(folder, "--quiet", "--pair", "MXUSDT", "--patient", "--account", ACCOUNT) as venue:
        told_file = data / "told.jsonl"
        groups: dict[str, dict[str, Any]] = {
            "venue": {"rest_url": venue.url},
            "alerts": {"console": False, "file": str(told_file), "level": "info"},
            "watch": {"silence_s": 2, "poll_s": 1, "cancel_entries": True},
        }
        (data / "mexclab.toml").write_text('mode = "live"\n' + settings(**groups))
        add_key(data)
        dead = {"url": "http://127.0.0.1:9", "pid": 2**22 + 1, "mode": "live", "started_ns": 1}
        (data / "daemon.json").write_text(json.dumps(dead))
        assert run(data, "watch", stdin="a wrong passphrase\n").returncode == 8
        price = below(venue.url)
        place(venue.url, OURS, "BUY", price)
        place(venue.url, STRANGER, "BUY", price)
        place(venue.url, SALE, "SELL", str(last_price(venue.url) * 2))
        with watch(data, stdin=f"{PHRASE}\n"):
            until(lambda: told_file.exists() and "cancelled at the venue" in told_file.read_text())
            assert run(data, "watch", stdin=f"{PHRASE}\n").returncode == 2  # one watch is enough
        left = {order["clientOrderId"] for order in signed(venue.url, "GET", "/api/v3/openOrders")}
        assert left == {STRANGER, SALE}
        said = (data / "watch.out").read_text() + told_file.read_text()
        assert not any(word in said for word in (PHRASE, KEY, SECRET))


def place(url: str, client_id: str, side: str, price: str) -> None:
    """A limit order of the vault's account; it is given what it sells."""
    if side == "SELL":
        signed(url, "POST", "/api/v3/order", symbol="MXUSDT", side="BUY", type="MARKET", quoteOrderQty="30")
    reply = signed(
        url, "POST", "/api/v3/order", symbol="MXUSDT", side=side, type="LIMIT", quantity="5", price=price,
        newClientOrderId=client_id,
    )  # fmt: skip
    assert "orderId" in reply, reply


def signed(url: str, method: str, path: str, **params: str) -> Any:
    from mexclab.venues.mexc.signing import Signer

    now_ms = httpx.get(f"{url}/api/v3/time").json()["serverTime"]
    query = "&".join(f"{name}={value}" for name, value in {**params, "timestamp": str(now_ms)}.items())
    signature = Signer(KEY, SECRET).sign(query.encode()).decode()
    return httpx.request(
        method, f"{url}{path}?{query}&signature={signature}", headers={"X-MEXC-APIKEY": KEY}
    ).json()
