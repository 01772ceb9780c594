"""The real daemon as a process of its own, on an embedded Postgres of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

START_S = 120


@dataclass
class Running:
    """One data folder and the daemons that ran on it; all of them are gone when the test ends."""

    data: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "MEXCLAB_DATA": str(self.data), "MEXCLAB_API__PORT": "0", **more}

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        command = [sys.executable, "-m", "mexclab.cli", *words]
        return subprocess.run(
            command, env=self.environment(**more), capture_output=True, text=True, timeout=START_S
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a daemon and return when its API answers."""
        before = self._address()
        command = [sys.executable, "-m", "mexclab.cli", *(words or ("trade",))]
        log = (self.data / "process.log").open("a")
        process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log, text=True)
        log.close()
        self.processes.append(process)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert process.poll() is None, (self.data / "process.log").read_text()[-2000:]
            address = self._address()
            if address is not None and address != before:
                return process
            time.sleep(0.05)
        raise AssertionError("the daemon did not answer in time")

    def _address(self) -> dict[str, object] | None:
        try:
            return json.loads((self.data / "daemon.json").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def client(self, token: str | None = None) -> httpx.Client:
        address = self._address()
        assert address is not None
        known = (self.data / "daemon.token").read_text().strip() if token is None else token
        return httpx.Client(
            base_url=str(address["url"]), headers={"Authorization": f"Bearer {known}"}, timeout=60
        )

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def daemon() -> Iterator[Running]:
    """A folder outside pytest's own: the embedded server's user must be able to pass through to it."""
    yield from _running()


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Running]:
    """A started daemon for tests that only look."""
    for running in _running():
        running.start()
        yield running


def _running() -> Iterator[Running]:
    data = Path(tempfile.mkdtemp(prefix="mexclab-"))
    running = Running(data)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(data, ignore_errors=True)


Make = Callable[..., Running]
