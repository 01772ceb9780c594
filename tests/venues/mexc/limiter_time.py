"""What the tests of the limiter share: endpoints of one pool each, and time that a test moves."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.limits import Limiter


def endpoint(pool: str = "orders", weight: int = 1, family: str = "orders", signed: bool = False) -> Endpoint:
    return Endpoint(f"{pool} {weight}", "GET", "/api/v3/x", weight, pool, family, signed)


ORDER = endpoint()
CANCEL = endpoint()
QUESTION = endpoint("ip", 1, "market")
HEAVY = endpoint("ip", 25, "market")
SIGNED = endpoint("ip", 10, "account", signed=True)
BATCH = endpoint("batch")
ACCOUNT = endpoint("account", 10, "account", signed=True)


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Sleeper(selectors.SelectSelector):
    """Instead of sleeping, moves the time of its loop on."""

    moment = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.moment += timeout
        return ready


def in_simulated_time(main: Callable[[Callable[[], float]], Coroutine[Any, Any, Any]]) -> Any:
    """Run ``main(now)`` on a loop whose hours pass in no time."""
    sleeper = _Sleeper()
    loop = asyncio.SelectorEventLoop(sleeper)
    loop.time = lambda: sleeper.moment  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(asyncio.wait_for(main(loop.time), 1e6))
    finally:
        loop.close()


async def timed(turn: Awaitable[None], now: Callable[[], float]) -> float:
    await turn
    return now()


def exhaust(limiter: Limiter, one: Endpoint, urgent: bool = False) -> int:
    taken = 0
    while limiter.try_take(one, urgent):
        taken += 1
    return taken
