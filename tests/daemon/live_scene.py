"""A live desk against a simulated venue by URL: the vault, the settings, the listing that opens when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from mexclab.domain.clock import SECOND
from tests.processes import LONGEST_S, Simulator, environment, run, settings

PHRASE = "planted passphrase 4711 9b3f"
KEY, SECRET = "mx0plantedKeyOfThisRun01", "planted5ecretOfThisRun00dfeed42"
ACCOUNT = f"{KEY}:{SECRET}:1000"
T = TypeVar("T")


def write_settings(data: Path, venue: Simulator, cap_multiple: str) -> None:
    """Live, on that venue; looks at the listings are as frequent as settings allow."""
    seconds = dict.fromkeys(("calendar_interval_s", "symbols_interval_s", "near_interval_s"), 1)
    groups: dict[str, dict[str, Any]] = {
        "venue": {"rest_url": venue.url, "ip_weight_10s": 100_000, **seconds},
        "listings": {"poll_interval_s": 1},
        "limits": {"clock_offset_ms": 2000, "stale_price_s": 30, "clock_age_s": 120},
        "snipe": {"cap_multiple": cap_multiple},
    }
    (data / "mexclab.toml").write_text('mode = "live"\n' + settings(**groups))


def add_key(data: Path, name: str = "mexc", key: str = KEY, secret: str = SECRET) -> None:
    done = run(data, "vault", "add", name, stdin=f"{PHRASE}\n{key}\n{secret}\n")
    assert done.returncode == 0, done.stderr


@dataclass
class LiveDesk:
    """``mexclab trade`` on one data folder, its passphrase piped in; what it says goes to ``process.log``."""

    data: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> str:
        return (self.data / "process.log").read_text()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and return when its API answers."""
        (self.data / "daemon.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "mexclab.cli", "trade"]
        with (self.data / "process.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment(self.data, MEXCLAB_API__PORT="0"), cwd=self.data,
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(f"{PHRASE}\n".encode())
        self.until(lambda: process.poll() is not None or (self.data / "daemon.json").exists())
        assert process.poll() is None, self.log[-2000:]
        return process

    def refused(self, **more: str) -> subprocess.CompletedProcess[str]:
        """A start that is refused; its end."""
        stdin = more.pop("stdin", f"{PHRASE}\n")
        return run(self.data, "trade", stdin=stdin, MEXCLAB_API__PORT="0", **more)

    def ask(self, path: str, **query: Any) -> dict[str, Any]:
        reply = self._call("GET", path, params=query)
        assert reply.status_code == 200, reply.text
        told: dict[str, Any] = reply.json()
        return told

    def act(self, path: str, **body: str) -> httpx.Response:
        return self._call("POST", path, json=body)

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = json.loads((self.data / "daemon.json").read_text())["url"]
        token = (self.data / "daemon.token").read_text().strip()
        return httpx.request(
            method, url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30, **more
        )

    def confirm(self) -> None:
        """A person takes the limits on that are in force."""
        shown = self.ask("/limits")
        wish = {"account": shown["account"], "digest": shown["digest"], "by": "ada", "why": "seen"}
        reply = self.act("/limits/confirm", **wish)
        assert reply.status_code == 200, reply.text

    def told(self, kind: str) -> list[dict[str, Any]]:
        rows = self.ask("/events", limit=10_000)["events"]
        return [row["body"] for row in rows if row["kind"] == kind]

    def snipe(self) -> dict[str, Any]:
        """The one planned snipe, as the board shows it."""

        def planned() -> dict[str, Any] | None:
            rows = self.ask("/snapshot")["listings"]
            return next((row for row in rows if row["state"] is not None), None)

        return self.until(planned)

    def until(self, holds: Callable[[], T | None], within_s: float = LONGEST_S) -> T:
        deadline = time.monotonic() + within_s
        while not (found := holds()):
            assert time.monotonic() < deadline, (
                self.log[-3000:] if (self.data / "process.log").exists() else ""
            )
            time.sleep(0.1)
        return found

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(LONGEST_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def opens_in(venue: Simulator, symbol: str, seconds: float) -> int:
    """Let the listing open so soon; the moment, on the venue's clock."""
    at_ns = int(venue.state()["now_ns"] + seconds * SECOND)
    venue.post("listing", act="postpone", symbol=symbol, to_ns=at_ns)
    return at_ns


def process_text(pid: int) -> str:
    """What the system shows of a process: its command and its environment."""
    folder = Path("/proc") / str(pid)
    texts = [(folder / name).read_bytes() for name in ("cmdline", "environ")]
    return os.linesep.join(text.decode("utf-8", "replace") for text in texts)
