"""Any exchange that ccxt speaks to: ``ports.Exchange`` and ``ports.Venue`` in one.

``submit`` and ``cancel`` only send. No private stream is assumed: what becomes of an order is asked for,
soon after its acknowledgement where it cannot rest, every ``poll_s`` where it can. Whoever listens counts a
trade once, by its id. On MEXC ``mexc/account.py`` is quicker by an order of magnitude; this is the way to
all the others, and a second opinion on the first.

What ccxt cannot do: a MARKET order has no bound of ours (the venue's holds), and on exchanges that take a
market buy as an amount to spend only, ccxt refuses one with a quantity, before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Book, Market, Side, Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import (
    Accepted,
    Balances,
    Cancelled,
    ClockReading,
    Happening,
    Lost,
    Refused,
    VenueOrder,
)
from mexclab.errors import OrderUnknown, VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.exchange_client import CcxtTerms, Client
from mexclab.venues.exchange_markets import Markets
from mexclab.venues.exchange_trades import Trades
from mexclab.venues.exchange_values import (
    Unified,
    balances_of,
    order_words,
    side_of,
    text,
    venue_order_of,
)
from mexclab.venues.mexc.confirm import NO_REST, Confirmer
from mexclab.venues.mexc.endpoints import ACCOUNT, CANCEL_ORDER, NEW_ORDER, OPEN_ORDERS, QUERY_ORDER, Endpoint
from mexclab.venues.mexc.refusals import DUPLICATE_CLIENT_ID, UNKNOWN_ORDER
from mexclab.venues.mexc.verdicts import ID_TAKEN

__all__ = ["CcxtExchange", "CcxtTerms"]

NO_SUCH_ORDER = UNKNOWN_ORDER | {-2013}
CANCEL_PAUSES_S = (0.0, 0.2, 0.5)  # a cancellation may be repeated: what is gone stays gone
WARM_S = 3.0  # before its release: a connection that is opened earlier may have ended by then
MOST_MISSES = 20  # looks at an order that the venue does not have, after which it counts as never placed
MOST_ENDS = 20_000
_SAYS_TAKEN = (DUPLICATE_CLIENT_ID, "duplicate order")  # MEXC's words, Binance's
_NOTHING = Decimal(0)


@dataclass(slots=True)
class _Sent:
    """An order of ours that may rest: what of it has been told, and how often it was not there."""

    order: Order
    filled: Decimal = _NOTHING
    misses: int = 0


class CcxtExchange:
    """One account on one exchange. For one event loop; ``close`` it.

    Args:
        tell: called with every report, in the loop.
        clock_ns: the venue's time, as far as it is known.

    Raises:
        ConfigError: ccxt has no exchange of this id.
    """

    def __init__(
        self, terms: CcxtTerms, tell: Callable[[Happening], None], clock_ns: Callable[[], int]
    ) -> None:
        self.terms = terms
        self.client = Client(terms, clock_ns)
        self.data = Markets(self.client)
        self._trades = Trades(self.client, self.data)
        self._tell = tell
        self._clock_ns = clock_ns
        self._confirmer = Confirmer(self, self._confirmed, clock_ns, terms.confirm)
        self._ended: dict[str, None] = {}  # whose end has been told, the oldest first
        self._held: set[str] = set()  # orders that wait for their turn to leave
        self._sent: dict[str, _Sent] = {}
        self._poller: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"CcxtExchange({self.terms.exchange_id})"

    # -- sending ---------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """Have the markets and a warm connection by then; of the order itself nothing leaves."""
        self._spawn(self._warm(release_ns))

    def submit(self, order: Order) -> None:
        """Send it. Told later: Accepted, Refused, Lost, or Cancelled if it provably never left."""
        self._held.add(order.client_id)
        self._spawn(self._send(order))

    def stop_sending(self, order: Order) -> None:
        """What still waits for its turn is told as never left; an order is sent only once anyway."""
        self._held.discard(order.client_id)

    def cancel(self, order: Order) -> None:
        """Ask for its end; what has not left yet does not leave any more."""
        if order.client_id in self._held:
            self._held.discard(order.client_id)
        else:
            self._spawn(self._cancel(order))

    async def close(self) -> None:
        """Stop telling, and hang up. What is under way stays under way at the venue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()

    # -- asking ----------------------------------------------------------------------------------

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        """See ``ports.Exchange.order``."""
        try:
            name = await self.data.name(symbol)
            named = {"clientOrderId": client_id}
            venue_id = self._trades.venue_id(client_id) or client_id
            row = await self.client.ask(
                QUERY_ORDER, lambda exchange: exchange.fetch_order(venue_id, name, dict(named))
            )
        except VenueRejected as error:
            if error.data.get("missing") or error.data.get("code") in NO_SUCH_ORDER:
                return None
            raise _not_said(error) from error
        found = venue_order_of(row, symbol)
        if self.data.symbol(row.get("symbol")) != symbol or found.client_id not in ("", client_id):
            raise VenueUnavailable(f"the venue answered about another order than {client_id}; ask again")
        self._trades.remember(found.venue_id, client_id)
        return replace(found, client_id=client_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every order that rests, whoever placed it; ``client_id`` is "" where nobody knows it.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        await self.data.ready()
        return self._resting(await self._ask(OPEN_ORDERS, lambda exchange: exchange.fetch_open_orders()))

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        """Our trades of one symbol since then, the oldest first, as far back as the venue keeps them.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        return await self._trades.since(symbol, since_ns // MILLISECOND)

    async def fills_of(self, order: VenueOrder) -> Sequence[Fill]:
        """The trades of one order, as far as the venue shows them.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        return await self._trades.of(order)

    async def balances(self) -> Balances:
        """What the account holds, by asset.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        await self.data.ready()
        return balances_of(await self._ask(ACCOUNT, lambda exchange: exchange.fetch_balance()))

    # -- Venue -----------------------------------------------------------------------------------

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

    def recall(self, orders: Sequence[Order]) -> None:
        """Orders of before this start: the exchange tells trades by its own ids; these say whose."""
        for order in orders:
            if order.venue_id is not None:
                self._trades.remember(order.venue_id, order.client_id)

    async def clock_reading(self) -> ClockReading:
        return await self.data.clock_reading()

    # -- inside: sending -------------------------------------------------------------------------

    async def _warm(self, release_ns: int) -> None:
        try:
            await self.data.ready()
            await asyncio.sleep((release_ns - self._clock_ns()) / SECOND - WARM_S)
            await self.data.ask_time()
        except VenueUnavailable:
            pass  # then the order takes longer

    async def _send(self, order: Order) -> None:
        client_id, now = order.client_id, self._clock_ns
        try:
            name = await self.data.name(order.symbol)
            endpoint = self.client.weighed(NEW_ORDER)
            async with asyncio.timeout(self.terms.turn_s):
                await self.client.limiter.take(endpoint, order.side is Side.SELL)
        except VenueRejected as no:
            self._held.discard(client_id)
            self._tell(Refused(client_id, no.data["code"], no.data["words"], now()))
            return
        except (VenueUnavailable, TimeoutError) as error:
            self._held.discard(client_id)
            why = error.message if isinstance(error, VenueError) else "it was not its turn in time"
            self._tell(Cancelled(client_id, f"it never left: {why}", now(), _NOTHING))
            return
        if client_id not in self._held:
            self._tell(Cancelled(client_id, "it never left: it was cancelled before", now(), _NOTHING))
            return
        self._held.discard(client_id)
        self._hear(order, await self._sent_now(order, name))

    async def _sent_now(self, order: Order, name: str) -> Happening:
        """Send it, and say what the answer says of it."""
        kind, side, quantity, price, params = order_words(order)
        try:
            row = await self.client.ask_now(
                NEW_ORDER,
                lambda exchange: exchange.create_order(name, kind, side, quantity, price, params),
            )
            return self._accepted(order, name, row)
        except VenueRejected as no:
            code, words = no.data["code"], str(no.data["words"])
            if no.data.get("duplicate") or any(each in words.lower() for each in _SAYS_TAKEN):
                return Lost(order.client_id, ID_TAKEN, self._clock_ns())
            return Refused(order.client_id, code, words, self._clock_ns())
        except VenueUnavailable as error:
            if "retry_after_s" in error.data:
                code = int(error.data["code"])
                return Refused(order.client_id, code, "too many requests", self._clock_ns())
            why = f"it never left: {error.message}"
            return Cancelled(order.client_id, why, self._clock_ns(), _NOTHING)
        except OrderUnknown as error:
            return Lost(order.client_id, error.message, self._clock_ns())

    def _accepted(self, order: Order, name: str, row: Unified) -> Accepted | Lost:
        """The answer's word for it, when it is about this order and no other."""
        now = self._clock_ns()
        try:
            venue_id = text(row.get("id"), "the id of an order")
            same_side = row.get("side") is None or side_of(row["side"]) is order.side
        except VenueUnavailable as error:
            return Lost(order.client_id, error.message, now)
        known = self._trades.client_id(venue_id)
        fits = row.get("symbol") in (None, name) and same_side and known in (None, order.client_id)
        if not fits or row.get("clientOrderId") not in (None, "", order.client_id):
            return Lost(order.client_id, f"the answer is about another order, {venue_id}", now)
        self._trades.remember(venue_id, order.client_id)
        return Accepted(order.client_id, venue_id, now)

    def _hear(self, order: Order, report: Happening) -> None:
        """Tell what the answer said, and follow the order up."""
        if isinstance(report, Accepted | Lost):
            self._sent[order.client_id] = _Sent(order)
        self._tell(report)
        if isinstance(report, Accepted) and order.type in NO_REST:
            self._spawn(self._confirm(order))
        elif order.client_id in self._sent and (self._poller is None or self._poller.done()):
            self._poller = self._spawn(self._poll())

    async def _cancel(self, order: Order) -> None:
        for pause in CANCEL_PAUSES_S:
            await asyncio.sleep(pause)
            try:
                await self._ask_to_cancel(order)
            except VenueRejected:
                pass  # it has ended already, or it cannot be ended: the venue's own word follows
            except (VenueUnavailable, OrderUnknown):
                continue
            break
        await self._confirm(order)

    async def _ask_to_cancel(self, order: Order) -> None:
        name = await self.data.name(order.symbol)
        venue_id = order.venue_id or self._trades.venue_id(order.client_id)
        named = venue_id or order.client_id
        params = {} if venue_id else {"clientOrderId": order.client_id}
        await self.client.ask(
            CANCEL_ORDER, lambda exchange: exchange.cancel_order(named, name, params), urgent=True
        )

    # -- inside: following up --------------------------------------------------------------------

    def _confirmed(self, report: Happening) -> None:
        """Tell what was found by asking; an end that two questions found at once is told once."""
        if isinstance(report, Cancelled):
            if report.client_id in self._ended:
                return
            self._ended[report.client_id] = None
            if len(self._ended) > MOST_ENDS:
                del self._ended[next(iter(self._ended))]
        self._tell(report)

    async def _confirm(self, order: Order) -> None:
        if await self._confirmer.confirm(order):
            self._sent.pop(order.client_id, None)

    async def _poll(self) -> None:
        """Look at what rests, until nothing does."""
        while self._sent:
            await asyncio.sleep(self.terms.poll_s)
            for symbol in {sent.order.symbol for sent in self._sent.values()}:
                try:
                    await self._look_at(symbol)
                except VenueUnavailable:
                    continue  # the next look may succeed

    async def _look_at(self, symbol: Symbol) -> None:
        name = await self.data.name(symbol)
        rows = await self._ask(OPEN_ORDERS, lambda exchange: exchange.fetch_open_orders(name))
        resting = {order.client_id: order for order in self._resting(rows)}
        for sent in [sent for sent in self._sent.values() if sent.order.symbol == symbol]:
            client_id = sent.order.client_id
            found = resting.get(client_id)
            if found is not None and found.filled == sent.filled:
                continue
            if await self._confirmer.look(sent.order):
                self._sent.pop(client_id, None)
            elif found is not None:
                sent.filled = found.filled
            else:
                sent.misses += 1
                if sent.misses >= MOST_MISSES:
                    self._sent.pop(client_id, None)

    def _resting(self, rows: Sequence[Unified]) -> list[VenueOrder]:
        found = [venue_order_of(row, self.data.symbol(row.get("symbol"))) for row in rows]
        mine = self._trades.client_id
        return [replace(each, client_id=mine(each.venue_id) or each.client_id) for each in found]

    async def _ask(self, endpoint: Endpoint, call: Callable[[Any], Any]) -> Any:
        """A question about the account."""
        try:
            return await self.client.ask(endpoint, call)
        except VenueRejected as error:
            raise _not_said(error) from error

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _not_said(error: VenueRejected) -> VenueUnavailable:
    """A refused question says nothing about what was asked."""
    return VenueUnavailable(f"{error.message}; nothing is known. Ask again", **error.data)
