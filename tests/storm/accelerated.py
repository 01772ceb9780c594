"""Accelerated time: an event loop whose clock jumps to the next timer once nobody has anything to do."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable

from mexclab.domain.clock import MILLISECOND, SECOND

NAP_NS = 100 * MILLISECOND  # a long wait is cut, so that a clock that is corrected meanwhile is noticed
Ready = list[tuple[selectors.SelectorKey, int]]


class _Leaping(selectors.DefaultSelector):
    """Waits for sockets only; a wait that would be for time alone makes that time pass instead."""

    passed_ns = 0

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(None)
        self.passed_ns += math.ceil(timeout * SECOND)
        return []


class AcceleratedLoop(asyncio.SelectorEventLoop):
    """A loop on which sleeping costs nothing. Time stands still while anybody works."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def passed_ns(self) -> int:
        """Nanoseconds since the loop was made."""
        return self._leaping.passed_ns

    def time(self) -> float:
        return self._leaping.passed_ns / SECOND


class MachineClock:
    """The desk's clock (``mexclab.ports.Clock``): its machine's, as wrong as that one is, and what is known.

    Attributes:
        machine_ns: the machine's own clock.
        shift_ns: what was last measured that the venue's clock is ahead of it.
    """

    def __init__(self, machine_ns: Callable[[], int]) -> None:
        self.machine_ns = machine_ns
        self.shift_ns = 0

    def now_ns(self) -> int:
        return self.machine_ns() + self.shift_ns

    async def sleep_until(self, at_ns: int) -> None:
        await asyncio.sleep(0)
        while (left_ns := at_ns - self.now_ns()) > 0:  # noqa: ASYNC110  # the clock may be corrected meanwhile
            await asyncio.sleep(min(left_ns, NAP_NS) / SECOND)

    def lateness_ns(self, at_ns: int) -> int:
        return self.now_ns() - at_ns

    def was_set(self) -> bool:
        return False
