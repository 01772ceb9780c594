"""Questions: what the desk asks the venue by the clock. None holds the gate while it waits for an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mexclab.domain.clock import AHEAD_NS, DAY, SECOND
from mexclab.domain.market import Symbol
from mexclab.domain.snipe import SnipeState
from mexclab.errors import VenueUnavailable
from mexclab.trading import entries, execution, permits, planning, recovery, shots, truth
from mexclab.trading.past_prices import PastPrices

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

CLOCK_POLL_NS = 20 * SECOND
CLOCK_SET_NS = 2 * SECOND  # the same, from when our own clock was set until the venue's has been measured


@dataclass(frozen=True, slots=True)
class Question:
    """One that is due; ``name`` says which, and two of one name are never asked at once."""

    name: str
    ask: Callable[[], Awaitable[None]]


class Questions:
    """When each question is due, and which are being asked.

    In real time they are asked beside the loop that serves shots and news; in stepped time, where an
    answer takes no time, between its turns.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: set[str] = set()
        self.past_prices = PastPrices(engine)
        self._asked_price: dict[Symbol, int] = {}
        self.clock_ns = self.settle_ns = self.look_ns = self._looked_ns = 0
        self.reconcile_ns: int | None = None  # none before the start's own comparison is done
        # makes a preflight of the account and tells it to ``permits``; who knows the venue sets it
        self.inspect: Callable[[], Awaitable[None]] | None = None
        self._inspected_ns = 0

    def hasten(self, at_ns: int) -> None:
        """Look through the open orders by then."""
        self.settle_ns = min(self.settle_ns, at_ns)

    async def read_clock(self) -> None:
        """Measure the venue's clock. Without an answer the old reading ages, until it allows no entry."""
        engine = self._engine
        before = engine.parts.clock.now_ns()
        self.clock_ns = before + CLOCK_POLL_NS
        try:
            engine.clock_reading = await engine.parts.venue.clock_reading()
        except VenueUnavailable as error:
            engine.failed(error)
        now = engine.parts.clock.now_ns()
        if now < before - AHEAD_NS:
            self._begin_anew(now)

    def _begin_anew(self, now_ns: int) -> None:
        """The venue's clock went back, and ours with it: what was to be done by the time that it told would
        be done too late, and no newer price would replace one that is stamped with it."""
        engine = self._engine
        self.clock_ns, self.settle_ns, self.look_ns = now_ns + CLOCK_POLL_NS, now_ns, now_ns
        self._looked_ns = self._inspected_ns = 0
        self._asked_price.clear()
        self.past_prices = PastPrices(engine)
        if self.reconcile_ns is not None:
            self.reconcile_ns = now_ns
        engine.guard.hasten()
        for symbol in [each for each, book in engine.books.items() if book.at_ns > now_ns + AHEAD_NS]:
            del engine.books[symbol]

    def due_ns(self, now_ns: int) -> int:
        """When the next question is due that is not being asked already."""
        if not self._engine.rules.polls and not self._engine.desk.live_snipes():
            return now_ns + DAY  # there is nothing to ask about
        later = now_ns + (SECOND if self._running else DAY)  # all are being asked, or there are none
        return min((at for at, _ in self._all(now_ns)), default=later)

    def due(self, now_ns: int) -> list[Question]:
        """What is to be asked now. Whoever takes it asks it: it counts as being asked from here on."""
        found = [question for at, question in self._all(now_ns) if at <= now_ns]
        self._running.update(question.name for question in found)
        return [Question(question.name, partial(self._ask, question)) for question in found]

    async def _ask(self, question: Question) -> None:
        try:
            await question.ask()
        finally:
            self._running.discard(question.name)

    def _all(self, now_ns: int) -> Iterator[tuple[int, Question]]:
        """Every question that is not being asked, with its moment. Checks may not wait; the rest keeps still
        around a shot."""
        engine = self._engine
        for snipe in engine.desk.live_snipes():
            stage = entries.next_stage(snipe, now_ns) if snipe.state.is_waiting else None
            if stage is not None and (name := f"check {snipe.snipe_id}") not in self._running:
                yield stage[1], Question(name, partial(shots.check, engine, snipe.snipe_id, stage[0]))
        if not engine.rules.polls:
            return
        still_ns = entries.still_until_ns(engine.desk, now_ns)
        for at, name, ask in self._usual(now_ns):
            if name not in self._running:
                yield max(at, still_ns), Question(name, ask)

    def _usual(self, now_ns: int) -> Iterator[tuple[int, str, Callable[[], Awaitable[None]]]]:
        engine = self._engine
        sooner_ns = CLOCK_POLL_NS - CLOCK_SET_NS if engine.parts.clock.was_set() else 0
        yield self.clock_ns - sooner_ns, "clock", self.read_clock
        if next(engine.desk.open_orders(), None) is not None:
            yield self.settle_ns, "settle", self._settle
        if self.inspect is not None:
            at = permits.due_ns(engine.desk, engine.rules, self._inspected_ns)
            if at is not None:
                yield at, "account", self._inspect
        if self.reconcile_ns is not None:
            yield self.reconcile_ns, "reconcile", self._reconcile
        yield min(self.look_ns, self._looked_ns + planning.pause_ns(engine)), "look", self._look
        yield self.past_prices.due_ns(now_ns), "past prices", self.past_prices.ask
        age_ns = engine.rules.orders.price_age_s * SECOND
        for symbol in self._held():
            book = engine.books.get(symbol)
            at = max(book.at_ns if book else 0, self._asked_price.get(symbol, 0)) + age_ns
            yield at, f"price {symbol}", partial(self._price, symbol)

    def _held(self) -> Iterator[Symbol]:
        for snipe in self._engine.desk.live_snipes():
            if snipe.state in (SnipeState.ENTERED, SnipeState.EXITING):
                yield snipe.plan.symbol

    async def _settle(self) -> None:
        engine = self._engine
        await truth.settle_due(engine, engine.parts.clock.now_ns())
        now = engine.parts.clock.now_ns()
        self.settle_ns = now + execution.pause_ns(engine.desk, engine.rules.orders)

    async def _look(self) -> None:
        engine = self._engine
        now = engine.parts.clock.now_ns()
        self._looked_ns, self.look_ns = now, now + engine.rules.poll_ns
        await planning.look(engine, now)

    async def _reconcile(self) -> None:
        engine = self._engine
        self.reconcile_ns = engine.parts.clock.now_ns() + engine.rules.orders.reconcile_s * SECOND
        try:
            await recovery.reconcile(engine)
        except VenueUnavailable as error:
            engine.failed(error)  # compared again at the next turn; health shows the road

    async def _inspect(self) -> None:
        """Ask about the account anew, so that its preflight stays younger than live trading wants."""
        self._inspected_ns = self._engine.parts.clock.now_ns()
        if self.inspect is not None:
            await self.inspect()

    async def _price(self, symbol: Symbol) -> None:
        """Ask for the price of something held whose stream has been silent."""
        engine = self._engine
        self._asked_price[symbol] = engine.parts.clock.now_ns()
        try:
            book = await engine.parts.venue.book(symbol)
        except VenueUnavailable as error:
            engine.failed(error)
            return
        if book is not None:
            await engine.see(book)
