"""What an exchange publishes about its markets, by ccxt: ``ports.Venue``."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from mexclab.domain.clock import MILLISECOND, MINUTE
from mexclab.domain.market import Book, Level, Market, Symbol
from mexclab.domain.reports import ClockReading
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.exchange_client import Client
from mexclab.venues.exchange_values import Unified, exactly, market_of, symbol_of
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.endpoints import DEPTH, EXCHANGE_INFO, KLINES, TICKER_24H, TIME, Endpoint

PAGE_BARS = 500  # bars that are asked for at once
MINUTE_MS = MINUTE // MILLISECOND


class Markets:
    """``ports.Venue`` of one exchange. For one event loop.

    Attributes:
        watch: what is known of the venue's clock; the clock whose offset is wanted is its ``wall_ns``.

    Args:
        steady_s: ages the list of markets.

    Raises, in every method:
        VenueUnavailable: the venue did not say, so nothing is known.
    """

    def __init__(self, client: Client, steady_s: Callable[[], float] = time.monotonic) -> None:
        self.watch = Watch()
        self._client = client
        self._steady_s = steady_s
        self._loading = asyncio.Lock()
        self._loaded_s = -math.inf
        self._by_symbol: dict[Symbol, Unified] = {}
        self._by_name: dict[str, Symbol] = {}

    async def market(self, symbol: Symbol) -> Market | None:
        """The trading rules, or None while the venue has none.

        Raises:
            DomainError: the venue's row cannot be the rules of a market.
        """
        row = await self._row(symbol, self._client.terms.fresh_for_s)
        return None if row is None else market_of(row, symbol, self._client.counts_in_steps)

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        """The last price; where nothing has traded yet, the middle of the book; or None."""
        if await self._row(symbol, self._client.terms.fresh_for_s) is None:
            return None
        name = await self.name(symbol)
        ticker: Unified = await self._asked(TICKER_24H, lambda exchange: exchange.fetch_ticker(name))
        last, bid, ask = (_price(ticker.get(what), what) for what in ("last", "bid", "ask"))
        if last:
            return last
        return (bid + ask) / 2 if bid and ask else None

    async def book(self, symbol: Symbol) -> Book | None:
        """The best levels, as of the answer on the venue's clock; None while there are none."""
        if await self._row(symbol, self._client.terms.fresh_for_s) is None:
            return None
        name = await self.name(symbol)
        told: Unified = await self._asked(DEPTH, lambda exchange: exchange.fetch_order_book(name, 5))
        bids, asks = (
            tuple(
                Level(exactly(row[0], "a level's price"), exactly(row[1], "a level's size")) for row in side
            )
            for side in (told["bids"], told["asks"])
        )
        return Book(symbol, bids, asks, self._now_ns()) if bids or asks else None

    def _now_ns(self) -> int:
        """The exchange's clock, as far as it is known."""
        read = self.watch.reading()
        return self.watch.wall_ns() + (read.offset_ns if read else 0)

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        """Of every whole minute since then that had a trade: when it ended, and its last price."""
        if await self._row(symbol, self._client.terms.fresh_for_s) is None:
            return ()
        name, found = await self.name(symbol), dict[int, Decimal]()
        now_ms, from_ms = self._now_ns() // MILLISECOND, -(-since_ns // MINUTE) * MINUTE_MS
        while from_ms < now_ms - MINUTE_MS:
            rows = await self._bars(name, from_ms)
            bars = [(int(row[0]), exactly(row[4], "a bar's close")) for row in rows if row[0] >= from_ms]
            ends = [(opens + MINUTE_MS, close) for opens, close in bars if opens + MINUTE_MS <= now_ms]
            if not ends:
                break
            found.update((ms * MILLISECOND, close) for ms, close in ends)
            from_ms = ends[-1][0]
        return sorted(found.items())

    async def _bars(self, name: str, from_ms: int) -> list[Any]:
        rows: list[Any] = await self._asked(
            KLINES, lambda exchange: exchange.fetch_ohlcv(name, "1m", from_ms, PAGE_BARS)
        )
        return rows

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        """Whether the exchange takes orders for it now; None when it does not say, or has no such pair."""
        row = await self._row(symbol, self._client.terms.fresh_for_s)
        active = None if row is None else row.get("active")
        return active if isinstance(active, bool) else None

    async def clock_reading(self) -> ClockReading:
        """How far the venue's clock is from ``watch.wall_ns``; asks a few times."""
        return await self.watch.measure(self.ask_time)

    async def ask_time(self) -> int:
        """The venue's time in milliseconds."""
        found = await self._asked(TIME, lambda exchange: exchange.fetch_time())
        return int(exactly(found, "the venue's time"))

    async def name(self, symbol: Symbol) -> str:
        """What ccxt calls the pair.

        Raises:
            VenueRejected: the exchange has no such pair.
        """
        row = await self._row(symbol, math.inf)
        if row is None:
            words = f"{self._client.terms.exchange_id} has no pair {symbol}"
            raise VenueRejected(words, code=0, words=words)
        return str(row["symbol"])

    def symbol(self, name: object) -> Symbol:
        """The pair that ccxt calls so.

        Raises:
            VenueUnavailable: it is none that was listed when the markets were last asked for.
        """
        found = self._by_name.get(str(name))
        if found is None:
            raise VenueUnavailable(f"the venue names {str(name)[:40]!r}, a pair that is not in its list")
        return found

    async def ready(self) -> None:
        """Have the list of markets."""
        await self._fresh(math.inf)

    async def _row(self, symbol: Symbol, fresh_for_s: float) -> Unified | None:
        await self._fresh(fresh_for_s)
        return self._by_symbol.get(symbol)

    async def _fresh(self, for_s: float) -> None:
        async with self._loading:
            if self._by_name and self._steady_s() - self._loaded_s < for_s:
                return
            rows = await self._asked(EXCHANGE_INFO, lambda exchange: exchange.load_markets(True))
            found = [(symbol_of(row), row) for row in rows.values()]
            self._by_symbol = {symbol: row for symbol, row in found if symbol is not None}
            self._by_name = {str(row["symbol"]): symbol for symbol, row in found if symbol is not None}
            self._loaded_s = self._steady_s()

    async def _asked(self, endpoint: Endpoint, call: Callable[[Any], Any]) -> Any:
        """A question whose refusal says nothing about what was asked."""
        try:
            return await self._client.ask(endpoint, call)
        except VenueRejected as no:
            raise VenueUnavailable(f"{no.message}; nothing is known. Ask again", **no.data) from no


def _levels(rows: Sequence[Sequence[object]]) -> tuple[Level, ...]:
    return tuple(Level(exactly(row[0], "a level's price"), exactly(row[1], "a level's size")) for row in rows)


def _price(value: object, what: str) -> Decimal | None:
    return None if value is None else exactly(value, f"the {what} price")
