"""MEXC as one place: account, market data, stream and listings, put together on one wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Book, Market, Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import Balances, ClockReading, Happening, VenueOrder
from mexclab.errors import VenueUnavailable
from mexclab.ports import Clock
from mexclab.venues.mexc import endpoints
from mexclab.venues.mexc.account import AccountTerms, MexcAccount
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.condition import Condition, of_books, of_limits, of_sources, of_streams
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.feed import News
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.listings import Listings, ListingTerms
from mexclab.venues.mexc.market_data import MarketData, MarketTerms
from mexclab.venues.mexc.names import Names
from mexclab.venues.mexc.preflight import PreflightParts, PreflightReport, PreflightTerms, preflight
from mexclab.venues.mexc.rest import Rest, RestTerms
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.stream import DepthSnapshot, Stream, StreamDoors, StreamTerms

SNAPSHOT_LEVELS = 1000
WARM, FRESH_S = 2, 5.0  # connections for orders, and how lately they were heard from


@dataclass(frozen=True, slots=True)
class MexcTerms:
    """Where MEXC is, and how we behave there.

    Attributes:
        rest_url, stream_url, web_url: the REST API, the streams, the listing pages.
    """

    rest_url: str
    stream_url: str
    web_url: str
    rest: RestTerms = field(default_factory=RestTerms)
    limits: LimitTerms = field(default_factory=LimitTerms)
    account: AccountTerms = field(default_factory=AccountTerms)
    market: MarketTerms = field(default_factory=MarketTerms)
    listings: ListingTerms = field(default_factory=ListingTerms)


class MexcVenue:
    """Exchange, Venue, Feed and Calendar (``mexclab.ports``) of one account on MEXC's wire.

    Args:
        clock: the venue's time, as far as it is known.
        signer: the account's key.
        follow: told each reading of the venue's clock, for ``clock`` to follow it.
        watch: measures it, against the clock that ``clock`` is made of.
    """

    def __init__(
        self,
        clock: Clock,
        terms: MexcTerms,
        signer: Signer,
        follow: Callable[[ClockReading], None] = lambda reading: None,
        watch: Watch | None = None,
    ) -> None:
        self.terms = terms
        self.news = News(clock)
        self.drift = Drift(self.news.tell)
        self.limiter = Limiter(terms.limits)
        self.rest = Rest(terms.rest_url, clock.now_ns, self.limiter, self.drift, signer, terms.rest)
        names = Names(self.rest, lambda: self.listings.pairs)
        self.account = MexcAccount(self.rest, self.news.tell, terms.account, names)
        self.data = MarketData(self.rest, watch, terms.market)
        self.listings = Listings(self.rest, terms.web_url, self.news.tell, terms.listings)
        self.stream = self._stream(clock)
        self._follow = follow
        self._clock = clock
        self._running: list[asyncio.Task[None]] = []

    def _stream(self, clock: Clock) -> Stream:
        doors = StreamDoors(
            tell=self._heard,
            snapshot=self._snapshot,
            listen_key=self._listen_key,
            renew=self._renew,
            catch_up=self.account.catch_up,
            now_ns=clock.now_ns,
            symbol_of=self.account.names.of,
        )
        return Stream(StreamTerms(self.terms.stream_url, speed="10ms"), doors)

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the roads and look for listings; all keep themselves up until ``stop``."""
        with contextlib.suppress(VenueUnavailable):  # who asks next is told
            await self.rest.lane.warm(WARM, FRESH_S)
        self._running = [asyncio.create_task(work) for work in self._work()]
        for task in self._running:
            task.add_done_callback(self._ended)

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [self.stream.run(), self.listings.run(self._clock)]

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A worker that ends by an error ends the desk: starting again is recovering, going on is not."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.news.fail(error)

    async def stop(self) -> None:
        """Close everything. What is under way at the venue stays under way there."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.account.close()
        await self.listings.close()
        await self.rest.close()

    def _heard(self, happening: Happening) -> None:
        self.account.saw(happening)
        self.news.tell(happening)

    async def _snapshot(self, symbol: Symbol) -> DepthSnapshot:
        asked = (("symbol", str(symbol)), ("limit", str(SNAPSHOT_LEVELS)))
        depth = await self.rest.ask(endpoints.DEPTH, asked)
        return DepthSnapshot(depth.last_update_id, depth.bids, depth.asks)

    async def _listen_key(self) -> str:
        return str((await self.rest.ask(endpoints.LISTEN_KEY_NEW)).listen_key)

    async def _renew(self, key: str) -> None:
        await self.rest.ask(endpoints.LISTEN_KEY_EXTEND, (("listenKey", key),))

    def condition(self) -> list[Condition]:
        """In which condition everything between us and the venue is."""
        health = self.stream.health()
        sources = of_sources(self.listings.sources(), self._clock.now_ns())
        return [of_streams(health), of_books(health), sources, of_limits(self.limiter.state())]

    async def preflight(self, symbol: Symbol | None, terms: PreflightTerms) -> PreflightReport:
        """Whether an order would be taken; asks, and trades nothing."""
        return await preflight(PreflightParts(self.rest, self.data, terms), symbol)

    # -- Feed ------------------------------------------------------------------------------------

    def watch(self, symbol: Symbol) -> None:
        self.stream.watch(symbol)

    def silent_ns(self, symbol: Symbol) -> int | None:
        return self.stream.silent_ns(symbol)

    def unwatch(self, symbol: Symbol) -> None:
        self.stream.unwatch(symbol)

    def stir(self) -> None:
        self.news.stir()

    async def until(self, at_ns: int) -> Sequence[Happening]:
        return await self.news.until(at_ns)

    # -- Exchange --------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        self.account.prepare(order, release_ns)

    def recall(self, orders: Sequence[Order]) -> None:
        self.account.recall(orders)

    def submit(self, order: Order) -> None:
        self.account.submit(order)

    def stop_sending(self, order: Order) -> None:
        self.account.stop_sending(order)

    def cancel(self, order: Order) -> None:
        self.account.cancel(order)

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        return await self.account.order(client_id, symbol)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await self.account.open_orders()

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        return await self.account.fills(symbol, since_ns)

    async def balances(self) -> Balances:
        return await self.account.balances()

    # -- Venue and Calendar ----------------------------------------------------------------------

    async def market(self, symbol: Symbol) -> Market | None:
        return await self.data.market(symbol)

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        return await self.data.reference_price(symbol)

    async def book(self, symbol: Symbol) -> Book | None:
        return await self.data.book(symbol)

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        return await self.data.closes(symbol, since_ns)

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        return await self.data.is_api_tradable(symbol)

    async def clock_reading(self) -> ClockReading:
        reading = await self.data.clock_reading()
        self._follow(reading)
        return reading

    async def entries(self) -> Sequence[CalendarEntry]:
        return await self.listings.entries()

    async def states(self) -> Sequence[SymbolState]:
        return await self.listings.states()
