"""The feed: what the stream and the answers tell, handed over in the order in which it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.reports import Happening
from mexclab.ports import Clock

# A moment that is this near is waited for and nothing else: news that came first would make a shot late.
NEAR_NS = 3 * MILLISECOND
LONGEST_NS = SECOND  # the clock may be corrected while we wait


class News:
    """A queue that can be waited for until a moment of the venue's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: list[Happening] = []
        self._waiter: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._stirred = False
        self._owed = False  # news waited while a moment was served: it comes next, whatever is due

    def tell(self, happening: Happening) -> None:
        """Put news in; whoever waits is woken."""
        self._told.append(happening)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Whoever waits is told that no more news will come, now and from now on."""
        self._failure = error
        self._wake()

    def stir(self) -> None:
        """Whoever waits looks again at what is due, news or not."""
        self._stirred = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self) -> Sequence[Happening]:
        """All that has been told and not yet taken."""
        told, self._told = self._told, []
        return told

    async def until(self, at_ns: int) -> Sequence[Happening]:
        """News, or nothing at ``at_ns``. The last stretch before that moment belongs to the moment."""
        while True:
            if self._failure is not None:
                raise self._failure
            left = at_ns - self._clock.now_ns()
            if self._told and (left > NEAR_NS or self._owed):
                self._owed = False
                return self.take()
            if self._stirred and left > NEAR_NS:
                self._stirred = False
                return ()
            if left <= NEAR_NS:
                await self._clock.sleep_until(at_ns)
                self._owed = bool(self._told)
                return ()
            await self._wait(min(left - NEAR_NS, LONGEST_NS) / SECOND)

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(seconds, _end, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
