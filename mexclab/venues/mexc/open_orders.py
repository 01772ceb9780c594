"""The orders that rest on our account, whoever placed them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mexclab.domain.listing import Partial
from mexclab.domain.market import Symbol
from mexclab.domain.reports import FeedNews, VenueOrder
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import OPEN_ORDERS
from mexclab.venues.mexc.names import Names
from mexclab.venues.mexc.own_trades import ask_about_us
from mexclab.venues.mexc.refusals import NO_PAIR
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire_account import OrderRow, venue_order_of

SOURCE = "open orders"
PROBE = Symbol("BTC")  # asked about where no pair of ours is there: an answer shows what was refused


class OpenOrders:
    """Asks for them: all at once, or pair by pair where the venue refuses that.

    MEXC's documents allow the question without a pair; older reports say that it is refused. Which is true is
    not established, so a refusal is answered by asking for each pair that we have to do with.
    """

    def __init__(self, rest: Rest, names: Names, tell: Callable[[FeedNews], None]) -> None:
        self._rest = rest
        self._names = names
        self._tell = tell
        self._is_by_pair = False  # from the first refusal that was about the question's form, to the end

    async def ask(self, known: Collection[Symbol]) -> list[VenueOrder]:
        """Every order that rests; ``Partial`` where only those of the ``known`` pairs could be asked for.

        A pair that nobody can take apart does not hide the others: see ``Names``.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        if not self._is_by_pair:
            try:
                rows: list[OrderRow] = await ask_about_us(self._rest, OPEN_ORDERS, ())
                return await self._named(rows)
            except VenueUnavailable as error:
                refusal = error.__cause__
                if not isinstance(refusal, VenueRejected):
                    raise
            rows = await self._by_pair(known)  # raises where it is not the form that was refused
            self._is_by_pair = True
            what = f"not shown at once ({refusal.message}): asked for pair by pair, others are not seen"
            self._tell(FeedNews(SOURCE, what, self._rest.clock_ns(), degraded=True))
            return Partial(await self._named(rows))
        return Partial(await self._named(await self._by_pair(known)))

    async def _by_pair(self, known: Collection[Symbol]) -> list[OrderRow]:
        found: dict[str, OrderRow] = {}
        is_answered = False
        for symbol in known:
            try:
                rows = await self._of(symbol)
            except VenueUnavailable as error:
                if error.data.get("code") not in NO_PAIR:
                    raise
                continue  # a pair that was taken off holds no orders
            found.update((row.order_id, row) for row in rows)
            is_answered = True
        return list(found.values()) if is_answered else await self._of(PROBE)

    async def _of(self, symbol: Symbol) -> list[OrderRow]:
        rows: list[OrderRow] = await ask_about_us(self._rest, OPEN_ORDERS, (("symbol", str(symbol)),))
        return rows

    async def _named(self, rows: list[OrderRow]) -> list[VenueOrder]:
        await self._names.learn(row.symbol for row in rows)
        return [venue_order_of(row, self._names.of) for row in rows]
