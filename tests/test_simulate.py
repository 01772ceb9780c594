"""`mexclab simulate` as a process: what it refuses, what it remembers, and when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from mexclab.config import Settings
from mexclab.errors import ConfigError, MexclabError
from mexclab.simulate import SimulateWishes, simulate
from mexclab.store.lake import Lake
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.simulator.account_file import account_of
from tests.processes import Simulator, environment, gone, one_line, run, simulator

KEY, SECRET = "mx0plantedKey0123456789", "planted5ecret0123456789abcdef"
ACCOUNT = f"{KEY}:{SECRET}:60"
BARE = ("--quiet", "--pair", "MXUSDT")


def account_file(folder: Path, name: str = "ann", mode: int = 0o600, more: str = "") -> Path:
    file = folder / "accounts.toml"
    text = f'[[account]]\nname = "{name}"\nkey = "{KEY}"\nsecret = "{SECRET}"\n{more}'
    file.write_text(f'{text}[account.balances]\nUSDT = "250.5"\n')
    file.chmod(mode)
    return file


def signed(venue: Simulator, method: str, path: str, **query: str) -> httpx.Response:
    told = httpx.QueryParams({**query, "timestamp": str(time.time_ns() // 10**6), "recvWindow": "5000"})
    signature = Signer(KEY, SECRET).sign(str(told).encode()).decode()
    return httpx.request(
        method, f"{venue.url}{path}?{told}&signature={signature}", headers={"X-MEXC-APIKEY": KEY}, timeout=10
    )


def refusal(data: Path, **wishes: Any) -> str:
    """The sentence with which a simulator is refused, without a process for each; one line."""
    with pytest.raises(MexclabError) as told:
        simulate(Settings(data=data), SimulateWishes(port=0, **wishes), print)
    assert "\n" not in str(told.value)
    return str(told.value)


def bid(venue: Simulator, client_id: str) -> httpx.Response:
    """An order that rests: far below the price."""
    last = float(httpx.get(f"{venue.url}/api/v3/ticker/price?symbol=MXUSDT").json()["price"])
    order = {"symbol": "MXUSDT", "side": "BUY", "type": "LIMIT", "newClientOrderId": client_id}
    return signed(venue, "POST", "/api/v3/order", **order, quantity="10", price=f"{last * 0.8:.4f}")


def open_orders(venue: Simulator) -> list[str]:
    reply = signed(venue, "GET", "/api/v3/openOrders", symbol="MXUSDT")
    assert reply.status_code == 200, reply.text
    return [row["clientOrderId"] for row in reply.json()]


# -- what is refused -----------------------------------------------------------------------------


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(run(tmp_path, "simulate", "--port", str(port), "--quiet"), 2)
    assert said.startswith(f"127.0.0.1:{port} is in use by another process")
    assert "--port 0" in said


@pytest.mark.parametrize(
    "text", ["", "k", "k:s3cr", "k::5", ":s3cr:5", "k:s3cr:-1", "k:s3cr:nan", "k:s3cr:x"]
)
def test_an_account_that_is_none_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(ConfigError, match="--account wants KEY:SECRET:AMOUNT") as told:
        account_of(text)
    assert "s3cr" not in f"{told.value} {told.value.data}"


def test_wrong_accounts_are_one_clear_line_that_holds_no_secret(tmp_path: Path) -> None:
    said = one_line(run(tmp_path, "simulate", "--account", f"{KEY}:{SECRET}:much"), 2)
    assert said.startswith("--account wants KEY:SECRET:AMOUNT")
    assert "chmod 600" in refusal(tmp_path, account_file=account_file(tmp_path, mode=0o644))
    odd = refusal(tmp_path, account_file=account_file(tmp_path, more="surprise = 1\n"))
    assert "surprise" in odd
    twice = refusal(tmp_path, account_file=account_file(tmp_path), accounts=(ACCOUNT,))
    assert "the key of another" in twice
    assert not any(word in said + odd + twice for word in (KEY, SECRET))


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "cannot be read"), ("[[rule", "is not TOML"), ('[[rule]]\nfault = "burn"\npath = "/"', "'burn'")],
    ids=["no file", "no TOML", "no such fault"],
)
def test_a_fault_plan_that_cannot_be_used_says_why(text: str | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    if text is not None:
        file.write_text(text)
    said = refusal(tmp_path, faults=file)
    assert "plan.toml" in said
    assert told in said


def test_a_memory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(tmp_path, pairs=(), memory=tmp_path / "file")
    assert said == f"the memory {tmp_path / 'file'} cannot be used: File exists"


# -- accounts ------------------------------------------------------------------------------------


def test_an_account_of_a_file_trades_and_its_secret_shows_nowhere(tmp_path: Path) -> None:
    with simulator(tmp_path, *BARE, "--accounts", str(account_file(tmp_path))) as venue:
        assert bid(venue, "resting").status_code == 200
        assert venue.money("ann")["USDT"]["locked"] != "0"
        process = Path("/proc") / str(venue.process.pid)
        shown = (process / "cmdline").read_text() + (process / "environ").read_text()
        shown += venue.told.read_text() + json.dumps(venue.state())
    assert "and 1 of yours" in shown
    assert SECRET not in shown
    assert KEY not in shown


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["a restart", "kill -9"])
def test_orders_and_balances_outlive(number: int, tmp_path: Path) -> None:
    words = (*BARE, "--account", ACCOUNT, "--memory", str(tmp_path / "memory"))
    owner = account_of(ACCOUNT).owner
    with simulator(tmp_path, *words) as venue:
        assert bid(venue, "resting").status_code == 200
        before = venue.money(owner)["USDT"]
        assert venue.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    with simulator(tmp_path, *words) as venue:
        assert open_orders(venue) == ["resting"]
        assert venue.money(owner)["USDT"] == before
        assert bid(venue, "resting").status_code == 400  # the id is known to be taken
    assert KEY not in "".join(file.read_text(errors="replace") for file in (tmp_path / "memory").iterdir())


def test_two_simulators_on_one_memory_are_one_too_many(tmp_path: Path) -> None:
    words = ("--quiet", "--memory", str(tmp_path / "memory"))
    with simulator(tmp_path, *words) as venue:
        second = one_line(run(tmp_path, "simulate", "--port", "0", *words), 2)
        assert f"(process {venue.process.pid}) uses the memory" in second
        assert venue.state()["now_ns"] > 0


# -- replay --------------------------------------------------------------------------------------


def test_a_replay_needs_bars_and_a_speed(tmp_path: Path) -> None:
    assert "is no number" in refusal(tmp_path, replays=("BTCUSDT@fast",))
    assert "`mexclab import" in refusal(tmp_path, replays=("BTCUSDT",))
    Lake(tmp_path / "lake").write(bars("BTCUSDT", 60))
    few = one_line(run(tmp_path, "simulate", "--replay", "BTCUSDT"), 3)
    assert "60 one-minute bars of BTCUSDT; a replay needs 120" in few


def test_a_replay_follows_the_lakes_bars(tmp_path: Path) -> None:
    Lake(tmp_path / "lake").write(bars("BTCUSDT", 400))
    with simulator(tmp_path, "--quiet", "--replay", "BTCUSDT@60") as venue:
        asked = {"symbol": "BTCUSDT", "interval": "1m", "limit": "50"}
        candles = httpx.get(f"{venue.url}/api/v3/klines", params=asked).json()
    closes = [float(candle[4]) for candle in candles]
    assert len(closes) == 50
    assert 70_000 * 0.98 < min(closes) <= max(closes) < 70_000 * 1.02


def bars(symbol: str, count: int) -> pl.DataFrame:
    """Minutes that go up and down a little around 70,000."""
    start = datetime(2026, 5, 4, tzinfo=UTC)
    prices = [70_000 + 200 * ((minute * 7) % 11 - 5) / 5 for minute in range(count + 1)]
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "ts": [start + timedelta(minutes=minute) for minute in range(count)],
            "open": prices[:-1],
            "high": [max(pair) + 20 for pair in pairwise(prices)],
            "low": [min(pair) - 20 for pair in pairwise(prices)],
            "close": prices[1:],
            "volume": [3.5] * count,
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )


# -- as a child ----------------------------------------------------------------------------------

PARENT = """
import sys, time
from pathlib import Path
from typing import Any
from mexclab.venues.simulator.child import ChildSimulator
child = ChildSimulator(Path(sys.argv[1]), ["--quiet", "--memory", sys.argv[1]])
print(child.pid, child.address.url, flush=True)
time.sleep(60)
"""


def test_a_child_ends_when_its_parent_is_killed_and_hears_no_ctrl_c_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "paper")]
    parent = subprocess.Popen(
        command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout is not None
        with parent.stdout:
            pid, url = parent.stdout.readline().split()
        assert httpx.get(f"{url}/api/v3/ping").status_code == 200
        assert os.getpgid(int(pid)) != os.getpgid(parent.pid)  # a terminal's Ctrl-C goes to one group
    finally:
        parent.kill()
        parent.wait()
    assert gone(int(pid), within_s=60)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/v3/ping")
