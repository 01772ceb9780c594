"""Commands of mexclab as processes of their own, with what is piped into them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.venues.simulator.scenario import Fate, ListingScript, listing_day_script

LONGEST_S = 120
SEEDS = 20_000  # a minute of every hour has one below 2,200


def environment(data: Path, **more: str) -> dict[str, str]:
    """This process's, without any setting of ours but those given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEXCLAB_")}
    return {**kept, "MEXCLAB_DATA": str(data), **more}


def run(data: Path, *words: str, stdin: str | bytes = "", **more: str) -> subprocess.CompletedProcess[str]:
    """One command to its end, with ``stdin`` piped in."""
    done = subprocess.run(
        [sys.executable, "-m", "mexclab.cli", *words],
        env=environment(data, **more),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=LONGEST_S,
        cwd=data,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The sentence of a refusal: one line on standard error, nothing on standard output."""
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (code, 1, ""), done.stderr + done.stdout
    return lines[0].removeprefix("mexclab: ")


@dataclass
class Simulator:
    """``mexclab simulate`` that runs; ``told`` is the file of what it said."""

    process: subprocess.Popen[bytes]
    url: str
    told: Path

    def post(self, name: str, **body: Any) -> httpx.Response:
        reply = httpx.post(f"{self.url}/simulator/{name}", json=body, timeout=LONGEST_S)
        assert reply.status_code == 200, reply.text
        return reply

    def state(self) -> dict[str, Any]:
        reply: dict[str, Any] = httpx.get(f"{self.url}/simulator/state", timeout=LONGEST_S).json()
        return reply

    @property
    def orders_received(self) -> int:
        return int(self.state()["counters"]["orders_received"])

    def money(self, owner: str) -> dict[str, Any]:
        rows = [row for row in self.state()["accounts"] if row["owner"] == owner]
        balances: dict[str, Any] = rows[0]["balances"]
        return balances

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LONGEST_S)


@contextmanager
def simulator(data: Path, *words: str) -> Iterator[Simulator]:
    """A simulator on a port of its own, gone in the end."""
    handle, name = tempfile.mkstemp(prefix="simulator-", suffix=".out", dir=data)
    command = [sys.executable, "-m", "mexclab.cli", "simulate", "--port", "0", *words]
    with os.fdopen(handle, "wb") as out:
        process = subprocess.Popen(command, env=environment(data), stdout=out, stderr=out, cwd=data)
    told = Path(name)
    try:
        yield Simulator(process, _url(process, told), told)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _url(process: subprocess.Popen[bytes], told: Path) -> str:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        found = re.search(r"(http://\S+) \(REST", told.read_text())
        if found and "Ctrl-C ends it" in told.read_text():
            return found[1]
        assert process.poll() is None, told.read_text()
        time.sleep(0.02)
    raise AssertionError("the simulator did not answer in time")


def coming_listing(now_ns: int) -> tuple[int, ListingScript]:
    """A seed whose only coming listing is well behaved, announced now, and opens in forty minutes or later.

    Nothing else of that seed opens soon or is announced within the hour: what a desk plans on a venue with
    this seed does not depend on the hour of the day at which the tests run.
    """
    return _lonely_listing(now_ns // (5 * MINUTE) * 5 * MINUTE)


@cache
def _lonely_listing(now_ns: int) -> tuple[int, ListingScript]:
    days = (now_ns // DAY, now_ns // DAY + 1)
    for seed in range(SEEDS):
        scripts = [script for day in days for script in listing_day_script(day, seed)]
        ahead = [s for s in scripts if s.announced_ns < now_ns + HOUR and s.opens_ns > now_ns]
        if len(ahead) == 1 and ahead[0].fate in (Fate.PLAIN, Fate.LATE):
            (script,) = ahead
            if script.announced_ns < now_ns and script.open_ns > now_ns + 40 * MINUTE:
                return seed, script
    raise AssertionError("no seed has one listing alone that is announced now")


def settings(**groups: dict[str, Any]) -> str:
    """The text of a settings file."""
    lines = []
    for group, values in groups.items():
        lines += [f"[{group}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def gone(pid: int, within_s: float) -> bool:
    """Whether the process ends in time; one that nobody waited for counts as ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
