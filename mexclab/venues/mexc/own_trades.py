"""Our trades, page by page: all that the venue shows of a span, or an error, never a part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import MY_TRADES, Endpoint
from mexclab.venues.mexc.rest import Params, Rest
from mexclab.venues.mexc.wire import left_out
from mexclab.venues.mexc.wire_account import MyTradeRow

PAGE = 100  # rows of an answer at most
KEPT_MS = 30 * DAY // MILLISECOND  # the venue answers for the last month
AHEAD_MS = 1_000  # the venue's clock may be ahead of ours
MOST_PAGES = 40


async def ask_about_us(rest: Rest, endpoint: Endpoint, params: Params) -> Any:
    """A question about the account: a refusal says nothing about it, and an answer in parts is none.

    Raises:
        VenueUnavailable: the venue did not say, or not in full.
    """
    try:
        answer = await rest.ask(endpoint, params)
    except VenueRejected as error:
        raise not_said(error) from error
    if isinstance(answer, list) and (missing := left_out(answer)):
        raise VenueUnavailable(
            f"{endpoint.name}: {missing} rows of the answer cannot be read; what they say is not known"
        )
    return answer


def not_said(error: VenueRejected) -> VenueUnavailable:
    """A refused question says nothing about what was asked."""
    return VenueUnavailable(f"{error.message}; nothing is known. Ask again", **error.data)


class OwnTrades:
    """Asks for our trades."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def since(self, symbol: Symbol, since_ns: int) -> list[MyTradeRow]:
        """Every trade of the symbol from then on, the oldest first; the venue keeps them for a month.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        return await self._span(symbol, since_ns // MILLISECOND, ())

    async def of_order(self, symbol: Symbol, venue_id: str) -> list[MyTradeRow]:
        """Every trade of one order that the venue shows.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        which = (("orderId", venue_id),)
        rows = await self._page(symbol, which)
        if len(rows) >= PAGE:
            rows = await self._span(symbol, 0, which)
        return [row for row in rows if row.order_id == venue_id]

    async def _page(self, symbol: Symbol, which: Params) -> list[MyTradeRow]:
        params = (("symbol", str(symbol)), *which, ("limit", str(PAGE)))
        rows: list[MyTradeRow] = await ask_about_us(self._rest, MY_TRADES, params)
        if any(row.symbol != str(symbol) for row in rows):
            raise VenueUnavailable(f"the venue answered about another pair than {symbol}; ask again")
        return rows

    async def _span(self, symbol: Symbol, since_ms: int, which: Params) -> list[MyTradeRow]:
        now_ms = self._rest.clock_ns() // MILLISECOND
        first_ms = min(max(since_ms, now_ms - KEPT_MS), now_ms)
        spans, found = [(first_ms, now_ms + AHEAD_MS)], dict[str, MyTradeRow]()
        for _ in range(MOST_PAGES):
            if not spans:
                return sorted(found.values(), key=lambda row: row.time)
            first, last = spans.pop()
            span = (("startTime", str(first)), ("endTime", str(last)))
            rows = await self._page(symbol, (*which, *span))
            found.update((row.id, row) for row in rows)
            if len(rows) >= PAGE:
                spans += _still_to_ask(first, last, [row.time for row in rows])
        raise VenueUnavailable(f"{symbol} has more trades since then than can be asked for at once")


def _still_to_ask(first: int, last: int, times: list[int]) -> list[tuple[int, int]]:
    """The spans around a full page, in milliseconds, both ends included.

    The venue does not say which end of a span a full page leaves out: the order of its rows shows it.
    """
    low, high = min(times), max(times)
    if low == high:
        if first == last:
            raise VenueUnavailable(
                f"{PAGE} trades or more in one millisecond: they cannot be asked for singly"
            )
        around = [(first, low - 1), (low, low), (high + 1, last)]
        return [(begin, end) for begin, end in around if begin <= end]
    newest_first = all(one >= next_ for one, next_ in pairwise(times))
    oldest_first = all(one <= next_ for one, next_ in pairwise(times))
    return [(first, low)] * (not oldest_first) + [(high, last)] * (not newest_first)
