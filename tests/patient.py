"""Time that stands still while the machine does: event loops for tests that no stalled scheduler can hurry.

On an ordinary loop a process that gets no turn for a second finds all its timers due at once, whether or not
what they wait for lies in a socket already. Here time passes only while the loop has nothing to do, and at
most ``SLICE_S`` of it between two looks at the sockets, however long the look took. What client and server on
one loop do to each other is therefore decided by the order of events, on any machine.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from mexclab.domain.clock import SECOND

SLICE_S = 0.01
LOOK_S = 0.00001  # what a look that waits for nothing counts for, so that looking again and again ends
T = TypeVar("T")


class _Patient(selectors.DefaultSelector):
    """Waits in slices, and counts none of them for more than a slice."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            self.passed_s += LOOK_S
            return super().select(0)
        left_s = math.inf if timeout is None else timeout
        while True:
            began_s, slice_s = time.monotonic(), min(left_s, SLICE_S)
            ready = super().select(slice_s)
            # where nothing came the slice is over, even if the system woke us a little early
            spent_s = min(time.monotonic() - began_s, slice_s) if ready else slice_s
            self.passed_s += spent_s
            left_s -= spent_s
            if ready or left_s <= 0:
                return ready


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs only while it waits."""

    def __init__(self) -> None:
        self._patient = _Patient()
        super().__init__(self._patient)
        self._begun_s = time.monotonic()

    def passed_ns(self) -> int:
        """Nanoseconds since the loop was made."""
        return round(self._patient.passed_s * SECOND)

    def skip(self, seconds: float) -> None:
        """Let so much time have passed, at once."""
        self._patient.passed_s += seconds

    def time(self) -> float:
        return self._begun_s + self._patient.passed_s


def patient_loop() -> PatientLoop:
    """The loop of the test that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PatientLoop)
    return loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` on a patient loop."""
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        return runner.run(main)
