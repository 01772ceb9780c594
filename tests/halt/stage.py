"""A venue and a desk as processes, for as many halts as one likes."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from mexclab.domain.clock import SECOND
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from tests.crash.scene import Databases
from tests.halt.ledger import WatchedLedger
from tests.halt.venue import STRIDE_MS
from tests.processes import Simulator, _url, environment, settings

ROOT = Path(__file__).resolve().parents[2]
START_S, WAIT_S = 120.0, 60.0
LOOK_S = 0.01
SOON_S = 5.0  # in which the desk hears of an opening, checks, and loads
FILE = "HALT"
TIMEOUT_MS = 1000
COUNTED = {"GET /api/v3/ticker/bookTicker", "GET /api/v3/time"}  # that a desk asks by the clock alone
MANY = 10**6
T = TypeVar("T")

SECONDS = dict.fromkeys(("calendar_interval_s", "symbols_interval_s", "near_interval_s"), 1)
OFF = ("loss_streak", "day_loss_quote", "low_win_rate", "cooldown_s", "drawdown")
CALM = {
    "spread": "0.99",
    "flash_crash": "0.99",
    "wash_share": "0.99",
    "one_sided": "0.99",
    "depth_multiple": 0,
}
USUAL: Mapping[str, Mapping[str, Any]] = {
    "venue": {"ip_weight_10s": 100_000, **SECONDS},
    "listings": {"poll_interval_s": 1},
    "limits": {
        "clock_offset_ms": 5000, "stale_price_s": 30, "clock_age_s": 300, "orders_per_s": 12,
        "open_snipes": 100, "day_loss_quote": MANY, "drawdown": 1,
    },
    "protections": dict.fromkeys(OFF, 0),
    "monitors": {**CALM, "least_trades": 100_000, "venue_errors": 10_000},
    "snipe": {
        "auto_arm": False, "cap_multiple": 5, "ladder": "5000:100", "stop_loss": "0.95",
        "attempts": 50, "attempt_spacing_ms": 250, "deadline_s": 20,
    },
    "orders": {"in_flight_s": 1, "grace_s": 1, "price_age_s": 1},
    "halt": {
        "day_loss": False, "drawdown": False, "mismatch": False,
        "clock_s": 0, "errors": 0, "ledger_lag_s": 0,
    },
    "alerts": {"console": False},
}  # fmt: skip


@dataclass
class Stage:
    """One venue, one desk, one ledger.

    Attributes:
        symbols: listings that have not been used; each opens when it is told to.
        held: the listing of which something is held.
        is_quiet: no order of ours is on its way, and none will be by itself.
        silent_ns: since when the venue answers nothing; 0: it answers.
    """

    data: Path
    venue: Simulator
    ledger: WatchedLedger
    port: int
    http: httpx.Client
    symbols: list[str]
    desk: subprocess.Popen[bytes] | None = None
    held: str = ""
    is_quiet: bool = True
    silent_ns: int = 0
    readers: list[threading.Thread] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    # -- the desk --------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.data / 'daemon.token').read_text().strip()}"}

    @property
    def file(self) -> Path:
        return self.data / FILE

    @property
    def log(self) -> str:
        return (self.data / "process.log").read_text(errors="replace")

    def launch(self) -> None:
        """Start the desk; returns at once."""
        (self.data / "daemon.json").unlink(missing_ok=True)
        more = {"MEXCLAB_API__PORT": str(self.port), "PYTHONPATH": str(ROOT)}
        with (self.data / "process.log").open("ab") as log:
            self.desk = subprocess.Popen(
                [sys.executable, "-m", "mexclab.cli", "trade"],
                env=environment(self.data, **more), cwd=self.data,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def is_up(self) -> bool:
        """Whether it answers as a whole; raises when it has ended."""
        assert self.desk is not None
        assert self.desk.poll() is None, self.log[-3000:]
        return (self.data / "daemon.json").exists()

    def start(self) -> None:
        self.launch()
        self.until("start", self.is_up, START_S)

    def end(self, number: int) -> None:
        assert self.desk is not None
        if self.desk.poll() is None:
            self.desk.send_signal(number)
        self.desk.wait(30)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, self.url + path, headers=self.headers, **more)

    def act(self, path: str, **body: Any) -> httpx.Response:
        return self.ask("POST", path, json={"by": "a drill", **body})

    def snipe(self, symbol: str) -> dict[str, Any] | None:
        rows = self.ask("GET", "/snipes", params={"limit": 1000}).json()["snipes"]
        return next((row for row in rows if row["symbol"] == symbol), None)

    def state(self, symbol: str) -> str:
        row = self.snipe(symbol)
        return "" if row is None else str(row["state"])

    def until(self, what: str, holds: Callable[[], T | None], within_s: float = WAIT_S) -> T:
        deadline = time.monotonic() + within_s
        while not (found := holds()):
            assert time.monotonic() < deadline, f"no {what} in {within_s:g} s\n{self.log[-3000:]}"
            time.sleep(LOOK_S)
        return found

    # -- listings --------------------------------------------------------------------------------

    def opens_in(self, symbol: str, seconds: float) -> int:
        """Let it open so soon; the moment by this machine's clock, as well as it is known."""
        asked_ns = time.time_ns()
        to_ns = int(self.venue.state()["now_ns"] + seconds * SECOND)
        self.venue.post("listing", act="postpone", symbol=symbol, to_ns=to_ns)
        return asked_ns + int(seconds * SECOND)

    def armed(self, seconds: float = SOON_S) -> tuple[str, int]:
        """A listing that was armed and opens so soon, and when."""
        symbol = self.symbols.pop()
        row = self.until(f"plan of {symbol}", lambda: self.snipe(symbol))
        reply = self.act(f"/snipes/{row['snipe_id']}/arm")
        assert reply.status_code == 200, reply.text
        return symbol, self.opens_in(symbol, seconds)

    def loaded(self) -> tuple[str, int]:
        """A listing whose shot is loaded, and when it opens: within a second."""
        return self._comes_to("FIRING")

    def _comes_to(self, wanted: str) -> tuple[str, int]:
        """A listing whose snipe is in this state; of one that a machine slept over, the next one's."""
        state = ""
        while state != wanted:
            assert self.symbols, f"the machine slept over every opening; the last one is {state}"
            symbol, opens_ns = self.armed()
            ends = {wanted, "ENTERED", "MISSED", "ABORTED"}
            state = self.until(f"{wanted} of {symbol}", partial(self._state_in, symbol, ends))
        return symbol, opens_ns

    def _state_in(self, symbol: str, states: set[str]) -> str:
        state = self.state(symbol)
        return state if state in states else ""

    def buy(self) -> None:
        """Hold something of a listing, and offer it for sale."""
        self.held, _ = self._comes_to("ENTERED")
        self.until(f"offer of {self.held}", lambda: self.sales(0))

    # -- the venue -------------------------------------------------------------------------------

    def heard(self) -> list[dict[str, Any]]:
        """Orders and cancels as they came in at the venue."""
        found: list[dict[str, Any]] = self.http.get(f"{self.venue.url}/simulator/orders").json()["orders"]
        return found

    def entries(self, since_ns: int, symbol: str | None = None) -> list[int]:
        """When entries came in after a moment."""
        return [
            each["machine_ns"]
            for each in self.heard()
            if (each["method"], each["side"]) == ("POST", "BUY") and each["machine_ns"] > since_ns
            and symbol in (None, each["symbol"])
        ]  # fmt: skip

    def sales(self, since_ns: int) -> list[int]:
        """When offers of what is held came in after a moment."""
        return [
            each["machine_ns"]
            for each in self.heard()
            if (each["method"], each["side"], each["symbol"]) == ("POST", "SELL", self.held)
            and each["machine_ns"] > since_ns
        ]

    def loses_an_answer(self) -> None:
        """The next order is taken, and its answer is lost."""
        self.goes_wrong({"path": "/api/v3/order", "method": "POST", "fault": "lose_reply", "count": 1})

    def falls_silent(self) -> None:
        """From now on the venue takes connections and answers nothing."""
        self.silent_ns = time.time_ns()
        late = {"fault": "delay", "delay_ms": 900_000}
        self.goes_wrong({"path": "*", **late}, {"channel": "*", "fault": "drop"})

    def unanswered_ns(self) -> int | None:
        """When the first question came in whose answer the desk misses, by this machine's clock."""
        told = self.venue.state()
        ahead_ns = told["now_ns"] - time.time_ns()
        applied = told["faults"]["applied"]
        found = [each["at_ns"] for each in applied if each["what"] in COUNTED and each["fault"] == "delay"]
        return min(found) - ahead_ns if found else None

    def goes_wrong(self, *rules: Mapping[str, Any], acts: Sequence[Mapping[str, Any]] = ()) -> None:
        self.venue.post("faults", rule=[dict(rule) for rule in rules], act=[dict(act) for act in acts])

    def behaves(self) -> None:
        self.silent_ns = 0
        httpx.delete(f"{self.venue.url}/simulator/faults", timeout=WAIT_S).raise_for_status()

    def cancel_all(self, symbol: str) -> None:
        """Cancel our orders behind the desk's back, as the account's owner."""
        now_ms = int(self.venue.state()["told_ns"]) // 1_000_000
        query = urlencode({"symbol": symbol, "recvWindow": "60000", "timestamp": str(now_ms)})
        signature = hmac.new(PAPER_ACCOUNT.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.venue.url}/api/v3/openOrders?{query}&signature={signature}"
        headers = {"X-MEXC-APIKEY": PAPER_ACCOUNT.key}
        httpx.delete(url, headers=headers, timeout=WAIT_S).raise_for_status()

    # -- readers ---------------------------------------------------------------------------------

    def read_on(self, path: str, pause_s: float) -> None:
        """Ask for this again and again, beside everything else."""

        def reads() -> None:
            with httpx.Client(timeout=WAIT_S, trust_env=False) as http:
                while not self.is_over.wait(pause_s):
                    with suppress(httpx.HTTPError, OSError):
                        http.get(self.url + path, headers=self.headers)

        self.readers.append(threading.Thread(target=reads, daemon=True))
        self.readers[-1].start()


@contextmanager
def staged(
    databases: Databases, coming: int, own: Mapping[str, Mapping[str, Any]], stride_ms: int = 0
) -> Iterator[Stage]:
    """A venue and a desk that runs.

    Args:
        coming: listings that open when told.
        own: settings above the usual ones, by group.
        stride_ms: between two requotes of a listing that trades; 0: as it is usual.
    """
    data = Path(tempfile.mkdtemp(prefix="mexclab-halt-"))
    data.chmod(0o755)
    words = ("--quiet", "--patient", "--seed", "11", "--coming", str(coming))
    stage = None
    try:
        with databases.fresh() as url, _venue(data, words, stride_ms) as venue:
            groups = {name: {**USUAL.get(name, {}), **own.get(name, {})} for name in {*USUAL, *own}}
            groups["venue"]["rest_url"] = venue.url
            groups["ledger"] = {"url": url}
            (data / "mexclab.toml").write_text('mode = "paper"\n' + settings(**groups))
            os.chmod(data / "mexclab.toml", 0o600)
            symbols = [row["symbol"] for row in venue.state()["symbols"]][-coming:]
            with httpx.Client(timeout=WAIT_S, trust_env=False) as http:
                stage = Stage(data, venue, WatchedLedger(url), _free_port(), http, symbols)
                try:
                    stage.start()
                    yield stage
                finally:
                    stage.is_over.set()
                    for reader in stage.readers:
                        reader.join(15)
                    if stage.desk is not None:
                        stage.end(signal.SIGKILL)
                    stage.ledger.close()
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _venue(data: Path, words: Sequence[str], stride_ms: int) -> Iterator[Simulator]:
    told = data / "simulator.out"
    module = "tests.halt.venue" if stride_ms else "mexclab.cli"
    more = {"PYTHONPATH": str(ROOT), STRIDE_MS: str(stride_ms)}
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "simulate", "--port", "0", *words],
            env=environment(data, **more), stdout=out, stderr=out, cwd=data,
        )  # fmt: skip
    try:
        yield Simulator(process, _url(process, told), told)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
