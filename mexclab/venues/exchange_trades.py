"""Our trades on an exchange, by ccxt, and whose orders they belong to.

Exchanges differ in which end of a span a full page leaves out, and ccxt sorts the rows, so that the page
does not show it: around a full page both sides are asked for again. Many do not name the client's order
id in a trade; then the order is asked for, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill
from mexclab.domain.reports import VenueOrder
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.exchange_client import Client
from mexclab.venues.exchange_markets import Markets
from mexclab.venues.exchange_values import Unified, fill_of, text
from mexclab.venues.mexc.endpoints import MY_TRADES, QUERY_ORDER

TRADES_PER_PAGE = 100  # as many as every exchange gives; MEXC gives no more
KEPT_MS = 30 * DAY // MILLISECOND  # MEXC answers for the last month
LONGEST_SPAN_MS = DAY // MILLISECOND  # that some exchanges (Binance's family) answer for at once
MOST_PAGES = 200
MOST_NAMES = 20_000

Span = tuple[int, int | None]  # milliseconds, both ends included; None: until now


class Trades:
    """Asks for trades, and remembers which of the venue's order ids is whose."""

    def __init__(self, client: Client, markets: Markets) -> None:
        self._client = client
        self._markets = markets
        self._names: dict[str, str] = {}  # venue id -> client id, the oldest first
        self._ids: dict[str, str] = {}  # client id -> venue id

    def client_id(self, venue_id: str) -> str | None:
        """Whose order this is; None: not one that was seen here."""
        return self._names.get(venue_id)

    def venue_id(self, client_id: str) -> str | None:
        return self._ids.get(client_id)

    def remember(self, venue_id: str, client_id: str) -> None:
        self._names[venue_id] = client_id
        if client_id:
            self._ids[client_id] = venue_id
        if len(self._names) > MOST_NAMES:
            self._ids.pop(self._names.pop(next(iter(self._names))), None)

    async def since(self, symbol: Symbol, since_ms: int) -> list[Fill]:
        """Every trade of a symbol since then, the oldest first.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        oldest_ms = self._client.clock_ns() // MILLISECOND - KEPT_MS
        rows = await self._rows(symbol, max(since_ms, oldest_ms), {})
        return [await self._fill(row, symbol) for row in rows]

    async def of(self, order: VenueOrder) -> list[Fill]:
        """The trades of one order, as far as the venue shows them.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        rows = await self._page(order.symbol, None, None, {"orderId": order.venue_id})
        mine = [row for row in rows if row.get("order") == order.venue_id]
        if len(rows) >= TRADES_PER_PAGE:
            oldest_ms = self._client.clock_ns() // MILLISECOND - KEPT_MS
            rows = await self._rows(order.symbol, oldest_ms, {"orderId": order.venue_id})
            mine = [row for row in rows if row.get("order") == order.venue_id]
        return [fill_of(row, order.symbol, order.client_id) for row in mine]

    async def _rows(self, symbol: Symbol, since_ms: int, which: Mapping[str, Any]) -> Sequence[Unified]:
        spans: list[Span] = [(since_ms, None)]
        found: dict[str, Unified] = {}
        for _ in range(MOST_PAGES):
            if not spans:
                return sorted(found.values(), key=_time)
            first, last = spans.pop()
            rows = await self._page(symbol, first, last, which)
            new = {text(row.get("id"), "the id of a trade"): row for row in rows}
            spans += _still_to_ask(first, last, rows) if len(rows) >= TRADES_PER_PAGE else []
            found.update(new)
        raise VenueUnavailable(f"{symbol} has more trades since then than can be asked for at once")

    async def _page(
        self, symbol: Symbol, first: int | None, last: int | None, which: Mapping[str, Any]
    ) -> Sequence[Unified]:
        try:
            name = await self._markets.name(symbol)
            params = dict(which) if last is None else {**which, "until": last}
            rows: Sequence[Unified] = await self._client.ask(
                MY_TRADES,
                lambda exchange: exchange.fetch_my_trades(name, first, TRADES_PER_PAGE, params),
            )
        except VenueRejected as no:
            raise VenueUnavailable(f"{no.message}; nothing is known. Ask again", **no.data) from no
        if any(row.get("symbol") != name for row in rows):
            raise VenueUnavailable(f"the venue answered about another pair than {symbol}; ask again")
        return rows

    async def _fill(self, row: Unified, symbol: Symbol) -> Fill:
        venue_id = text(row.get("order"), "the order of a trade")
        told = row.get("info")
        named = self._names.get(venue_id)
        if named is None and isinstance(told, Mapping) and "clientOrderId" in told:
            named = str(told["clientOrderId"] or "")
        if named is None:
            named = await self._asked_name(venue_id, symbol)
        return fill_of(row, symbol, named)

    async def _asked_name(self, venue_id: str, symbol: Symbol) -> str:
        name = await self._markets.name(symbol)
        try:
            row = await self._client.ask(QUERY_ORDER, lambda exchange: exchange.fetch_order(venue_id, name))
        except VenueRejected as no:
            raise VenueUnavailable(f"whose order {venue_id} is, is not known: {no.message}") from no
        named = str(row.get("clientOrderId") or "")
        self.remember(venue_id, named)
        return named


def _time(row: Unified) -> int:
    at_ms = row.get("timestamp")
    if not isinstance(at_ms, int):
        raise VenueUnavailable("the venue does not say when a trade was; ask again")
    return at_ms


def _still_to_ask(first: int, last: int | None, rows: Sequence[Unified]) -> list[Span]:
    """The spans on both sides of a full page, the earlier one in parts that every exchange takes."""
    times = [_time(row) for row in rows]
    low, high = min(times), max(times)
    after = low + 1 if low == high else high
    before = low - 1 if low == high else low
    if low == high and first == last:
        raise VenueUnavailable(f"more than {TRADES_PER_PAGE} trades in one millisecond")
    spans: list[Span] = [(low, low)] if low == high else []
    if last is None or after <= last:
        spans.append((after, last))
    begin = first
    while begin < before:
        end = min(begin + LONGEST_SPAN_MS, before)
        spans.append((begin, end))
        begin = end
    return spans
