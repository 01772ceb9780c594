"""The bus: news for spectators. Money moves by function calls; nothing here can stop or delay it for long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import structlog

from mexclab.domain.events import Event
from mexclab.ports import Subscriber

PATIENCE = 10  # a subscriber that fails this often in a row is let go

_log = structlog.get_logger(__name__)


class Listener:
    """A bounded queue of news. ``async for seq, event in listener`` ends when the listening does.

    Attributes:
        dropped: how many were lost because they were not taken in time; the oldest are lost first.
    """

    def __init__(self, maxsize: int) -> None:
        if maxsize < 1:
            raise ValueError(f"a listener holds at least 1 event, not {maxsize}")
        self.dropped = 0
        self._waiting: deque[tuple[int, Event]] = deque(maxlen=maxsize)
        self._news = asyncio.Event()
        self._is_over = False

    def __len__(self) -> int:
        return len(self._waiting)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, Event]:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def put(self, seq: int, event: Event) -> None:
        """Take news in, in place of the oldest when full."""
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append((seq, event))
        self._news.set()

    def end(self) -> None:
        """No more will come; what is queued can still be taken."""
        self._is_over = True
        self._news.set()


class Bus:
    """Tells subscribers of each event, in the publisher's own call and in the order of subscription.

    A subscriber must return at once: whatever waits or computes belongs behind ``listen``. One that
    raises is logged and harms nobody; after ``PATIENCE`` failures in a row it is let go. Belongs to one
    event loop, as the engine that publishes does.
    """

    def __init__(self) -> None:
        self._subscribers: tuple[_Seat, ...] = ()  # replaced, never changed: publishing may be going on

    def publish(self, seq: int, event: Event) -> None:
        """Tell everyone; never raises and never waits."""
        for seat in self._subscribers:
            try:
                seat.subscriber(seq, event)
            except Exception:  # noqa: BLE001 - whatever a spectator does wrong, the publisher goes on
                self._blame(seat, seq, event)
            else:
                seat.failures = 0

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with each event from now on; call the result to stop."""
        seat = _Seat(subscriber)
        self._subscribers = (*self._subscribers, seat)
        return lambda: self._leave(seat)

    @asynccontextmanager
    async def listen(self, maxsize: int = 1000) -> AsyncIterator[Listener]:
        """A queue of the events from now on, which loses its oldest when ``maxsize`` wait already."""
        listener = Listener(maxsize)
        leave = self.subscribe(listener.put)
        try:
            yield listener
        finally:
            leave()
            listener.end()

    def _leave(self, seat: _Seat) -> None:
        self._subscribers = tuple(other for other in self._subscribers if other is not seat)

    def _blame(self, seat: _Seat, seq: int, event: Event) -> None:
        seat.failures += 1
        facts = {"subscriber": repr(seat.subscriber), "seq": seq, "kind": type(event).__name__}
        if seat.failures < PATIENCE:
            _log.exception("a subscriber of the bus failed", failures=seat.failures, **facts)
            return
        self._leave(seat)
        _log.exception("a subscriber of the bus was let go", failures=seat.failures, **facts)


class _Seat:
    """A subscriber and how often it has failed in a row."""

    __slots__ = ("failures", "subscriber")

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.failures = 0
