"""A simulator of one's own: a process that lives as long as the one that started it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mexclab.errors import VenueUnavailable

READY_S = 90.0  # a simulator that remembers a long account lives through it again first
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a simulator listens."""

    url: str
    ws_url: str


class ChildSimulator:
    """``mexclab simulate`` as a child process; it ends when our end of its standard input closes.

    Args:
        folder: where it writes its address (``simulator.json``) and its log (``simulator.log``).
        arguments: of ``mexclab simulate``, besides the ones that make it a child.

    Raises:
        VenueUnavailable: it did not come up; the sentence holds its last words.
    """

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log = folder / "simulator.log"
        ready = folder / "simulator.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mexclab.cli", "simulate", "--port", "0", "--child", str(ready)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the desk's: it still needs its venue on the way out
            )
        try:
            self.address = self._wait_for(ready)
        except BaseException:  # Ctrl-C, too: no process may stay behind
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_for(self, ready: Path) -> Address:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                return Address(**json.loads(ready.read_text()))
            time.sleep(0.02)
        words = self._log.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else f"it said nothing in {READY_S:.0f} s"
        raise VenueUnavailable(f"the simulator did not start: {last}", last=last)

    def death(self) -> str:
        """How it ended by itself, in words; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        words = self._log.read_text(errors="replace").strip().splitlines()
        said = f", and said last: {words[-1][:300]}" if words else ", without a word"
        return f"the simulator ended {how}{said} ({self._log})"

    def stop(self) -> None:
        """Let it end by itself; end it when it does not."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
