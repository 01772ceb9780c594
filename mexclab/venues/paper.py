"""The paper venue: an account on the simulated market, in process, with a memory of its own.

It is the venue, not a stand-in: orders travel to it with a delay, meet other people's orders by price
and time, and what comes of them travels back. What it was asked to do is written to its own journal
before it happens; after a crash of the process it comes back with every order and balance, and the
market has gone on without us.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import exp
from pathlib import Path
from typing import Any

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Book, Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import (
    Balances,
    BookSeen,
    ClockReading,
    Happening,
    TradeSeen,
    VenueOrder,
)
from mexclab.ports import Clock
from mexclab.venues.matcher import Matcher
from mexclab.venues.simulator.journal import Journal
from mexclab.venues.simulator.market import SimulatedMarket

OWNER = "me"
DELAY_SPREAD = 0.35  # standard deviation of the log of a delay


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """What the paper account begins with, and what it is charged.

    ``latency_ms`` is the median round trip of a request; half of it is the way there.
    """

    start_ns: int
    seed: int
    quote_asset: str
    quote_balance: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    latency_ms: int


class PaperVenue:
    """Exchange, Venue, Feed and Calendar (``mexclab.ports``) in one place, because a venue is one place.

    Args:
        clock: the venue's time.
        terms: as of the first start; later starts take them from the journal.
        memory: the folder of the journal; None keeps nothing, for replays.

    Raises:
        VenueUnavailable: the journal cannot be read.
    """

    def __init__(self, clock: Clock, terms: PaperTerms, memory: Path | None) -> None:
        self._clock = clock
        self._journal: Journal | None = None
        self.terms = terms
        if memory is not None:
            self._journal, self.terms = _journal(memory, terms)
        self.matcher = Matcher({OWNER: {self.terms.quote_asset: self.terms.quote_balance}})
        fees = (self.terms.maker_fee, self.terms.taker_fee)
        self.market_side = SimulatedMarket(self.matcher, self.terms.seed, self.terms.start_ns, fees)
        self._on_the_way: list[tuple[int, int, dict[str, Any]]] = []  # requests, by arrival
        self._on_the_way_back: list[tuple[int, int, Happening]] = []  # news of ours, by delivery
        self._count = 0
        self._watched: set[Symbol] = set()
        if self._journal is not None:
            self._remember(list(self._journal.read()))

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _remember(self, requests: Sequence[dict[str, Any]]) -> None:
        """Live through everything again: the same market, with our requests at the same moments."""
        for request in requests:
            self.market_side.advance(request["at_ns"])
            self._carry_out(request)
        self.market_side.advance(self._clock.now_ns())

    # -- Feed ------------------------------------------------------------------------------------

    def watch(self, symbol: Symbol) -> None:
        self._watched.add(symbol)

    def silent_ns(self, symbol: Symbol) -> int | None:
        """In process nothing gets lost on the way."""
        return 0

    def unwatch(self, symbol: Symbol) -> None:
        self._watched.discard(symbol)

    def stir(self) -> None:
        """Time is stepped here: nobody waits while something else happens."""

    async def until(self, at_ns: int) -> Sequence[Happening]:
        due = [at_ns, self.market_side.next_ns()]
        due += [queue[0][0] for queue in (self._on_the_way, self._on_the_way_back) if queue]
        target = max(min(due), self._clock.now_ns())
        await self._clock.sleep_until(target)
        # what the caller wants to do at this very moment comes before what the market does at it: a real
        # venue's work would not hold up our shot either
        now = target - 1 if target >= at_ns else target
        self._live(now)
        news = []
        while self._on_the_way_back and self._on_the_way_back[0][0] <= now:
            news.append(heapq.heappop(self._on_the_way_back)[2])
        return news

    def _live(self, now: int) -> None:
        """The market and the requests that arrive, each at its moment, up to and including ``now``."""
        while self._on_the_way and self._on_the_way[0][0] <= now:
            arrival, _, request = heapq.heappop(self._on_the_way)
            self._tell(self.market_side.advance(arrival), arrival)
            if self._journal is not None:
                self._journal.write(request)
            self._tell(self._carry_out(request), arrival)
        self._tell(self.market_side.advance(now), now)

    def _tell(self, happened: Sequence[Happening], at_ns: int) -> None:
        """Public news is seen at once; news of our own orders travels."""
        for happening in happened:
            self._count += 1
            if isinstance(happening, BookSeen | TradeSeen):
                symbol = happening.book.symbol if isinstance(happening, BookSeen) else happening.trade.symbol
                if symbol in self._watched:
                    heapq.heappush(self._on_the_way_back, (at_ns, self._count, happening))
            else:
                arrives = at_ns + self._delay_ns(f"{at_ns}:{_subject(happening)}:back")
                heapq.heappush(self._on_the_way_back, (arrives, self._count, happening))

    def _delay_ns(self, key: str) -> int:
        """One way of a request: lognormal, drawn from the seed and the request itself, never from a clock."""
        chance = random.Random(f"{self.terms.seed}:{key}")
        return int(self.terms.latency_ms / 2 * MILLISECOND * exp(DELAY_SPREAD * chance.gauss(0.0, 1.0)))

    # -- Exchange --------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """In process there is nothing to make ready."""

    def recall(self, orders: Sequence[Order]) -> None:
        """Trades are told by our own ids here."""

    def submit(self, order: Order) -> None:
        self._send(
            {
                "do": "submit",
                "client_id": order.client_id,
                "base": order.symbol.base,
                "quote": order.symbol.quote,
                "side": str(order.side),
                "type": str(order.type),
                "quantity": str(order.quantity),
                "price": str(order.price),
            }
        )

    def stop_sending(self, order: Order) -> None:
        """An order leaves once, when it is submitted."""

    def cancel(self, order: Order) -> None:
        self._send({"do": "cancel", "client_id": order.client_id})

    def _send(self, request: dict[str, Any]) -> None:
        self._count += 1
        now = self._clock.now_ns()
        arrives = now + self._delay_ns(f"{request['client_id']}:{request['do']}:{now}")
        heapq.heappush(self._on_the_way, (arrives, self._count, {**request, "at_ns": arrives}))

    def _carry_out(self, request: dict[str, Any]) -> Sequence[Happening]:
        at_ns = request["at_ns"]
        if request["do"] == "cancel":
            return list(self.matcher.cancel(OWNER, request["client_id"], at_ns))
        order = Order(
            client_id=request["client_id"],
            symbol=Symbol(request["base"], request["quote"]),
            side=Side(request["side"]),
            type=OrderType(request["type"]),
            quantity=Decimal(request["quantity"]),
            price=Decimal(request["price"]),
        )
        return list(self.matcher.submit(OWNER, order, at_ns))

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        return self.matcher.order(OWNER, client_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return self.matcher.open_orders(OWNER)

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        return [fill for fill in self.matcher.fills(OWNER, since_ns) if fill.symbol == symbol]

    async def balances(self) -> Balances:
        return self.matcher.balances(OWNER)

    # -- Venue and Calendar ----------------------------------------------------------------------

    async def market(self, symbol: Symbol) -> Market | None:
        return self.market_side.market(symbol)

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        return self.market_side.reference_price(symbol)

    async def book(self, symbol: Symbol) -> Book | None:
        there = self.market_side.matcher.books.get(symbol)
        book = None if there is None else there.snapshot(1, self._clock.now_ns())
        return book if book is not None and (book.bids or book.asks) else None

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        """It keeps no bars."""
        return ()

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        return self.market_side.is_api_tradable(symbol)

    async def clock_reading(self) -> ClockReading:
        """In process there is one clock: the offset is nothing, and that is known exactly."""
        return ClockReading(0, 0, self._clock.now_ns())

    async def entries(self) -> Sequence[CalendarEntry]:
        return self.market_side.entries()

    async def states(self) -> Sequence[SymbolState]:
        return self.market_side.states()


def _subject(happening: Happening) -> str:
    client_id = getattr(happening, "client_id", None)
    return client_id if client_id is not None else happening.fill.trade_id  # type: ignore[union-attr]


def _journal(memory: Path, terms: PaperTerms) -> tuple[Journal, PaperTerms]:
    """The journal of the folder and the terms that it began with.

    Raises:
        VenueUnavailable: the journal cannot be read.
    """
    written = {name: _plain(getattr(terms, name)) for name in PaperTerms.__slots__}
    journal = Journal(memory, written, "the paper venue's", frozenset({"do", "client_id", "at_ns"}))
    try:
        known = {name: _read_term(name, journal.terms[name], terms) for name in PaperTerms.__slots__}
    except (ValueError, TypeError, ArithmeticError) as error:
        journal.close()
        raise journal.unreadable() from error
    return journal, PaperTerms(**known)


def _read_term(name: str, value: Any, model: PaperTerms) -> Any:
    kind = type(getattr(model, name))
    read = Decimal(value) if kind is Decimal and isinstance(value, str) else value
    if not isinstance(read, kind) or isinstance(read, bool):
        raise TypeError(f"{name} is no {kind.__name__}")
    return read


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value
