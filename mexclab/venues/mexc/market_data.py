"""What MEXC publishes about its markets: ``ports.Venue`` over REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Market, Symbol
from mexclab.domain.reports import ClockReading
from mexclab.errors import ConfigError, DomainError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.endpoints import (
    BOOK_TICKER,
    DEFAULT_SYMBOLS,
    EXCHANGE_INFO,
    KLINES,
    SELF_SYMBOLS,
    TICKER_PRICE,
    TIME,
    Endpoint,
)
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire import left_out
from mexclab.venues.mexc.wire_market import BookTicker, KlineRow, SymbolInfo, TickerPrice, market_of

# "Invalid symbol." and its kin: the venue does not have it; anything else is a failure to answer
NO_SUCH_SYMBOL = frozenset({-1121, 10007, 30014, 30021, 33333})
PAGE_BARS = 500  # bars of an answer at most
MINUTE_MS = MINUTE // MILLISECOND


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """How what the venue says is kept and read.

    Attributes:
        fresh_for_s: an answer younger than this is not asked for again.
        api_list_lead_s: how long before its opening a pair that will take orders by API is in the venue's
            lists of those, at the latest. MEXC does not say; None: before the opening, not being in
            them means nothing.
    """

    fresh_for_s: float = 2.0
    api_list_lead_s: float | None = None

    def __post_init__(self) -> None:
        lead_s = self.api_list_lead_s
        if not self.fresh_for_s >= 0 or (lead_s is not None and not lead_s >= 0):
            raise ConfigError("fresh_for_s and api_list_lead_s must not be negative")


class MarketData:
    """``ports.Venue`` on MEXC, or on anything that speaks its REST API. For one event loop.

    Args:
        rest: the way to the venue. With a signer, the lists of API symbols are this account's.
        watch: what is known of the venue's clock; the clock whose offset is wanted is its ``wall_ns``.
        steady_s: ages what was answered.

    Raises, in every method:
        VenueUnavailable: the venue did not say, so nothing is known.
    """

    def __init__(
        self,
        rest: Rest,
        watch: Watch | None = None,
        terms: MarketTerms = MarketTerms(),
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watch = watch or Watch()
        self.terms = terms
        self._rest = rest
        self._steady_s = steady_s
        self._rows: dict[Symbol, tuple[float, SymbolInfo | None]] = {}
        self._lists: dict[str, tuple[float, frozenset[str]]] = {}

    async def market(self, symbol: Symbol) -> Market | None:
        """The trading rules, or None while the venue has none.

        Raises:
            DomainError: the venue's row cannot be the rules of a market.
        """
        row = await self.row(symbol)
        return None if row is None else market_of(row)

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        """The last price; where nothing has traded yet, the middle of the book; or None."""
        last = await self._of_symbol(TICKER_PRICE, symbol)
        if isinstance(last, TickerPrice) and last.price:
            return last.price
        best = await self._of_symbol(BOOK_TICKER, symbol)
        if isinstance(best, BookTicker) and best.bid_price and best.ask_price:
            return (best.bid_price + best.ask_price) / 2
        return None

    async def book(self, symbol: Symbol) -> Book | None:
        """The best bid and ask (spot v3, bookTicker), as of the answer; None while there is neither."""
        best = await self._of_symbol(BOOK_TICKER, symbol)
        if not isinstance(best, BookTicker):
            return None
        bids, asks = _level(best.bid_price, best.bid_qty), _level(best.ask_price, best.ask_qty)
        return Book(symbol, bids, asks, self._rest.clock_ns()) if bids or asks else None

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        """Of every whole minute since then that had a trade: when it ended, and its last price (klines)."""
        now_ms, found = self._rest.clock_ns() // MILLISECOND, dict[int, Decimal]()
        first_ms = -(-since_ns // MINUTE) * MINUTE // MILLISECOND
        for begin_ms in range(first_ms, now_ms, PAGE_BARS * MINUTE_MS):
            next_ms = begin_ms + PAGE_BARS * MINUTE_MS  # whether the end is part of it is not established
            span = (("startTime", str(begin_ms)), ("endTime", str(min(next_ms, now_ms))))
            asked = (("symbol", str(symbol)), ("interval", "1m"), *span, ("limit", str(PAGE_BARS)))
            try:
                rows: list[KlineRow] = await self._rest.ask(KLINES, asked)
            except VenueRejected as refusal:
                _only_unknown(refusal, symbol)
                return ()
            if left_out(rows):
                raise VenueUnavailable(f"klines: bars of {symbol} cannot be read", symbol=str(symbol))
            for row in rows:
                end_ms = row.open_ms + MINUTE_MS
                if first_ms < end_ms <= now_ms:
                    found[end_ms * MILLISECOND] = row.close
        return sorted(found.items())

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        """Whether orders by API are, or at its opening will be, taken for it; None: the venue does not say.

        Before the opening the venue's row says no for every pair, so the lists of API symbols are asked;
        whether new pairs enter them before their opening is not established (``api_list_lead_s``).
        """
        row = await self.row(symbol)
        if row is not None and not row.is_api_tradable and self._has_opened_since(symbol, row):
            del self._rows[symbol]  # what it said before the opening is no word on what is true after it
            row = await self.row(symbol)
        if row is not None and row.is_api_tradable:
            return True
        opens_ns, now_ns = (None if row is None else row.first_open_ns), self._rest.clock_ns()
        if row is not None and (opens_ns is None or opens_ns <= now_ns):
            return False
        if str(symbol) in await self.api_symbols():
            return True
        lead_s = self.terms.api_list_lead_s
        if opens_ns is None or lead_s is None or opens_ns - now_ns > lead_s * SECOND:
            return None
        return False

    async def clock_reading(self) -> ClockReading:
        """How far the venue's clock is from ``watch.wall_ns``; asks a few times."""
        return await self.watch.measure(self._ask_time)

    async def row(self, symbol: Symbol) -> SymbolInfo | None:
        """All that exchangeInfo says of the pair; None: the venue does not know it."""
        known = self._rows.get(symbol)
        if known is not None and self._is_fresh(known[0]):
            return known[1]
        found: SymbolInfo | None = None
        try:
            rows = (await self._rest.ask(EXCHANGE_INFO, [("symbol", str(symbol))])).symbols
        except VenueRejected as refusal:
            _only_unknown(refusal, symbol)
        else:
            found = next((row for row in rows if row.symbol == str(symbol)), None)
            if found is None and left_out(rows):
                raise VenueUnavailable(f"exchangeInfo's row of {symbol} cannot be read", symbol=str(symbol))
            if found is not None and (found.base_asset, found.quote_asset) != (symbol.base, symbol.quote):
                raise DomainError(
                    f"MEXC's {symbol} is {found.base_asset} in {found.quote_asset}, not {symbol.base} in "
                    f"{symbol.quote}",
                    symbol=str(symbol),
                )
        self._rows[symbol] = (self._steady_s(), found)
        return found

    def _has_opened_since(self, symbol: Symbol, row: SymbolInfo) -> bool:
        """Whether the pair opened after its row was asked for."""
        age_ns, now_ns = int((self._steady_s() - self._rows[symbol][0]) * SECOND), self._rest.clock_ns()
        return row.first_open_ns is not None and now_ns - age_ns <= row.first_open_ns <= now_ns

    async def api_symbols(self) -> frozenset[str]:
        """The pairs that take orders by API: for this account where a key allows to ask, else for anyone."""
        if self._rest.signer is not None:
            try:
                return await self._listed(SELF_SYMBOLS)
            except VenueRejected:
                pass  # the key may not ask
        try:
            return await self._listed(DEFAULT_SYMBOLS)
        except VenueRejected as refusal:
            raise VenueUnavailable(f"the list of API symbols was refused: {refusal.message}") from refusal

    async def _listed(self, endpoint: Endpoint) -> frozenset[str]:
        known = self._lists.get(endpoint.name)
        if known is not None and self._is_fresh(known[0]):
            return known[1]
        names = (await self._rest.ask(endpoint)).data
        if left_out(names):
            raise VenueUnavailable(f"{endpoint.name}: part of the list cannot be read")
        self._lists[endpoint.name] = (self._steady_s(), frozenset(names))
        return self._lists[endpoint.name][1]

    async def _of_symbol(self, endpoint: Endpoint, symbol: Symbol) -> object | None:
        try:
            rows = await self._rest.ask(endpoint, [("symbol", str(symbol))])
        except VenueRejected as refusal:
            _only_unknown(refusal, symbol)
            return None
        found = next((row for row in rows if row.symbol == str(symbol)), None)
        if found is None and left_out(rows):
            raise VenueUnavailable(f"{endpoint.name}: the row of {symbol} cannot be read", symbol=str(symbol))
        return found

    async def _ask_time(self) -> int:
        try:
            return int((await self._rest.ask(TIME)).server_time)
        except VenueRejected as refusal:
            raise VenueUnavailable(f"the venue refused to tell its time: {refusal.message}") from refusal

    def _is_fresh(self, at_s: float) -> bool:
        return self._steady_s() - at_s < self.terms.fresh_for_s


def _level(price: Decimal | None, quantity: Decimal | None) -> tuple[Level, ...]:
    return (Level(price, quantity),) if price and quantity else ()


def _only_unknown(refusal: VenueRejected, symbol: Symbol) -> None:
    """Raise what is not the venue's way of saying that it has no such pair."""
    if refusal.data["code"] not in NO_SUCH_SYMBOL:
        raise VenueUnavailable(
            f"the venue refused to say anything of {symbol}: {refusal.data['code']} {refusal.data['words']}",
            symbol=str(symbol),
            code=refusal.data["code"],
        ) from refusal
