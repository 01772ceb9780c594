"""Where the emergency is rehearsed: a venue and a desk as processes of their own, in a folder of their own.

Nothing of it is the person's: not the data folder, not the settings, not the ledger, not the account.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from mexclab.domain.clock import MILLISECOND
from mexclab.errors import DeskError, VenueUnavailable
from mexclab.venues.simulator.child import ChildSimulator
from mexclab.venues.simulator.terms import PAPER_ACCOUNT

START_S, STOP_S, ANSWER_S = 90.0, 30.0, 10.0
LOOK_S = 0.02
STOPPED = 130  # the exit code of a desk that was told to
LISTINGS = 2
T = TypeVar("T")

# Arms by itself, and sells nothing by itself: the exits are what is rehearsed. Two listings open when told.
_SETTINGS = """\
mode = "paper"
[venue]
rest_url = "{url}"
ip_weight_10s = 100000
calendar_interval_s = 1
symbols_interval_s = 1
near_interval_s = 1
[listings]
poll_interval_s = 1
[limits]
clock_offset_ms = 2000
clock_age_s = 120
stale_price_s = 30
[protections]
cooldown_s = 0
[snipe]
auto_arm = true
cap_multiple = 5
ladder = "5000:100"
stop_loss = "0.95"
[halt]
file = "{file}"
[alerts]
console = false
"""


@dataclass
class Stage:
    """The venue and the desk, while they run."""

    folder: Path
    venue_url: str
    desk: subprocess.Popen[bytes]
    http: httpx.Client

    # -- the desk --------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        return self.desk.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "desk.log").read_text(errors="replace")

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """What the desk tells.

        Raises:
            DeskError: it does not.
        """
        return self._call("GET", path, params=query)

    def act(self, path: str, why: str) -> dict[str, Any]:
        """Ask the desk for something, in a rehearsal's name.

        Raises:
            DeskError: it refuses; ``data["status"]`` is the answer's.
        """
        return self._call("POST", path, json={"by": "rehearsal", "why": why})

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        address = json.loads((self.folder / "daemon.json").read_text())
        token = (self.folder / "daemon.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        try:
            reply = self.http.request(method, address["url"] + path, headers=headers, **more)
            told = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DeskError(f"the desk on the stage does not answer {method} {path}: {error}") from error
        if reply.status_code != 200 or not isinstance(told, dict):
            words = told.get("message", reply.text) if isinstance(told, dict) else reply.text
            raise DeskError(str(words), status=reply.status_code)
        return told

    def stop(self) -> int:
        """Tell the desk to stop; its exit code."""
        if self.is_up:
            self.desk.send_signal(signal.SIGTERM)
        try:
            return self.desk.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.desk.kill()
            return self.desk.wait()

    # -- the venue -------------------------------------------------------------------------------

    def symbols(self) -> list[str]:
        """The listings that open when they are told to: the last ones that the venue took in."""
        return [row["symbol"] for row in self._venue("state")["symbols"]][-LISTINGS:]

    def opens_in(self, symbol: str, seconds: float) -> None:
        """Let a listing open so soon."""
        to_ns = int(self._venue("state")["now_ns"]) + round(seconds * 1000) * MILLISECOND
        body = {"act": "postpone", "symbol": symbol, "to_ns": to_ns}
        self.http.post(f"{self.venue_url}/simulator/listing", json=body).raise_for_status()

    def orders(self) -> list[dict[str, Any]]:
        """Every order and cancel as it came in at the venue, the oldest first."""
        heard: list[dict[str, Any]] = self._venue("orders")["orders"]
        return heard

    def held(self) -> dict[str, str]:
        """What the account owns besides money, by the venue's own word."""
        owned = next(row for row in self._venue("state")["accounts"] if row["owner"] == PAPER_ACCOUNT.owner)
        held = {asset: row for asset, row in owned["balances"].items() if asset != "USDT"}
        nothing = {"free": "0", "locked": "0"}
        return {asset: row["free"] for asset, row in held.items() if row != nothing}

    def _venue(self, name: str) -> dict[str, Any]:
        reply = self.http.get(f"{self.venue_url}/simulator/{name}")
        told: dict[str, Any] = reply.raise_for_status().json()
        return told

    # -- waiting ---------------------------------------------------------------------------------

    def until(self, what: str, holds: Callable[[], T | None], within_s: float) -> T:
        """Wait until ``holds`` gives something.

        Raises:
            DeskError: it does not in time, or the desk has ended.
        """
        deadline = time.monotonic() + within_s
        while not (found := holds()):
            if not self.is_up:
                raise DeskError(f"the desk ended before {what}: {_last_line(self.log)}")
            if time.monotonic() > deadline:
                raise DeskError(f"{what} did not happen within {within_s:g} s")
            time.sleep(LOOK_S)
        return found


@contextmanager
def staged(halt_file: str) -> Iterator[Stage]:
    """A venue with listings that open when told, and a desk on it that answers; all gone afterwards.

    Args:
        halt_file: the name of the halt file, as in the person's own settings.

    Raises:
        VenueUnavailable, DeskError: one of them does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="mexclab-rehearsal-"))
    folder.chmod(0o755)  # the embedded server's user must be able to pass through
    venue = desk = None
    try:
        with httpx.Client(timeout=ANSWER_S, trust_env=False) as http:
            venue = ChildSimulator(folder / "venue", ("--quiet", "--patient", "--coming", str(LISTINGS)))
            (folder / "mexclab.toml").write_text(_SETTINGS.format(url=venue.address.url, file=halt_file))
            desk = _desk(folder)
            stage = Stage(folder, venue.address.url, desk, http)
            stage.until("its start", lambda: (folder / "daemon.json").exists(), START_S)
            yield stage
    except httpx.HTTPError as error:
        raise VenueUnavailable(f"the venue on the stage does not answer: {error}") from error
    finally:
        if desk is not None and desk.poll() is None:
            desk.send_signal(signal.SIGTERM)
            try:
                desk.wait(STOP_S)
            except subprocess.TimeoutExpired:
                desk.kill()
                desk.wait()
        if venue is not None:
            venue.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _desk(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "desk.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mexclab.cli", "trade", "--child"],  # it ends when we do, however we do
            env=_environment(folder), cwd=folder, start_new_session=True,
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip


def _environment(folder: Path) -> Mapping[str, str]:
    """This process's, without any setting of the person's."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEXCLAB_")}
    own = {"DATA": folder, "CONFIG": folder / "mexclab.toml", "API__PORT": 0, "LOG__FORMAT": "json"}
    return {**kept, **{f"MEXCLAB_{name}": str(value) for name, value in own.items()}}


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
