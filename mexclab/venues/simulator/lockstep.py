"""A stepped simulator's time, moved by its client: nothing happens on the venue between two steps.

In accelerated time a busy machine would turn a millisecond of real delay into seconds of venue time. So
the venue stands still while its client works: each step says how far it may live, and returns when all
that it told on the way has arrived. The wire is the real one; only time is governed, and the same seed
gives the same day, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from mexclab.domain.clock import SECOND
from mexclab.domain.reports import BookSeen, Happening, Traded, TradeSeen
from mexclab.errors import VenueUnavailable
from mexclab.ports import Clock
from mexclab.venues.mexc.clock import ClockTerms, OffsetEstimator, Watch
from mexclab.venues.mexc.http import Answer, Origin, Outcome, Pool, PoolTerms
from mexclab.venues.mexc.market_data import MarketData
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.venue import MexcTerms, MexcVenue

ANSWER_S = 30.0
SETTLE_S = 10.0  # what was told must arrive within this: it only has to cross the loopback


@dataclass(frozen=True, slots=True)
class LockstepDoors:
    """What a step needs of the client's side.

    Attributes:
        sent: how many order and cancel requests have left.
        answered: how many of them have been answered, or are known to stay unanswered.
        wait_mark: returns when every open stream has shown this mark.
        take: the news that has arrived.
    """

    sent: Callable[[], int]
    answered: Callable[[], int]
    wait_mark: Callable[[int], Awaitable[None]]
    take: Callable[[], Sequence[Happening]]


class Lockstep:
    """A feed (``mexclab.ports.Feed.until``) that moves the venue's time as far as its client has come.

    Args:
        url: of the stepped simulator.
        clock: the client's; its waiting is what one sees.
        early_ns: venue time by which a step comes before its moment, so that the moment is met exactly.
    """

    def __init__(
        self, url: str, clock: Clock, doors: LockstepDoors, early_ns: Callable[[], int] = lambda: 0
    ) -> None:
        self._origin = Origin.parse(url)
        self._pool = Pool(self._origin, PoolTerms(warm=1, most=1, retire_after_s=3600))
        self._clock = clock
        self._doors = doors
        self._early_ns = early_ns
        self._next_ns = 0

    async def until(self, at_ns: int) -> Sequence[Happening]:
        """News up to ``at_ns`` or up to the next moment at which something happens on the venue."""
        target = max(min(at_ns, self._next_ns), self._clock.now_ns())
        await self._clock.sleep_until(max(self._clock.now_ns(), target - self._early_ns()))
        # what the client wants to do at this very moment comes before what the market does at it
        await self._advance(target - 1 if target >= at_ns else target)
        await self._clock.sleep_until(target)
        return sorted(self._doors.take(), key=_when)

    async def meet(self) -> None:
        """Bring both to one moment: whoever is behind follows, for one of the two may have been killed."""
        told = await self._post({"to_ns": self._clock.now_ns(), "orders": 0})
        await self._clock.sleep_until(told["now_ns"])

    async def _advance(self, to_ns: int) -> None:
        told = await self._post({"to_ns": to_ns, "orders": self._doors.sent()})
        self._next_ns = told["next_ns"]
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._doors.wait_mark(told["mark"])
                while self._doors.sent() - self._doors.answered() > told["orders_in_flight"]:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        except TimeoutError:
            raise VenueUnavailable("what the simulator told did not arrive: its streams are broken") from None

    async def _post(self, asked: dict[str, int]) -> dict[str, int]:
        connection = await self._pool.take()
        body = json.dumps(asked)
        head = (
            f"POST {self._origin.prefix}/simulator/advance HTTP/1.1\r\nHost: {self._origin.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        connection.send((head + body).encode(), ANSWER_S, done.set_result)
        outcome = await done
        if not isinstance(outcome, Answer) or outcome.status != 200:
            words = outcome.body.decode(errors="replace") if isinstance(outcome, Answer) else outcome.why
            raise VenueUnavailable(f"the simulator does not step: {words}")
        told: dict[str, int] = json.loads(outcome.body)
        return told

    async def close(self) -> None:
        await self._pool.close()


def _when(happening: Happening) -> tuple[int, int, str]:
    """Streams and answers arrive side by side; this is one order of them that depends on no chance."""
    match happening:
        case BookSeen(book=book):
            return book.at_ns, 2, str(book.symbol)
        case TradeSeen(trade=trade):
            return trade.at_ns, 1, ""
        case Traded(fill=fill):
            return happening.at_ns, 0, fill.trade_id
    at_ns = getattr(happening, "at_ns", 0) or getattr(happening, "written_ns", 0)
    return at_ns, 0, ""


class SteppedMexc(MexcVenue):
    """An account on a stepped simulator: the wire of MEXC, with time that waits for us."""

    def __init__(
        self, clock: Clock, terms: MexcTerms, signer: Signer, early_ns: Callable[[], int] = lambda: 0
    ) -> None:
        super().__init__(clock, terms, signer)
        doors = LockstepDoors(
            sent=lambda: self.account.asked,
            answered=lambda: self.account.asked - self.account.under_way,
            wait_mark=self.stream.wait_mark,
            take=self.news.take,
        )
        # the venue's clock stands still between two steps: one question tells all there is to know of it
        alone = OffsetEstimator(ClockTerms(samples=1, pause_ms=0.0, keep=1, steps_after=1))
        watch = Watch(clock.now_ns, clock.now_ns, alone)
        self.data = MarketData(self.rest, watch, terms.market, steady_s=lambda: clock.now_ns() / SECOND)
        self._lockstep = Lockstep(terms.rest_url, clock, doors, early_ns)

    async def start(self) -> None:
        await self._lockstep.meet()
        await super().start()

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [self.stream.run()]  # listings are asked for when the desk asks: time waits for the answer

    async def until(self, at_ns: int) -> Sequence[Happening]:
        return await self._lockstep.until(at_ns)

    async def stop(self) -> None:
        await self._lockstep.close()
        await super().stop()
