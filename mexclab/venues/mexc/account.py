"""An account on MEXC: ``ports.Exchange`` over REST, with the gate for orders.

``submit`` and ``cancel`` only send. What the venue answers to an order is told as ``Accepted``, ``Refused``
or ``Lost``; what becomes of it after that is told by the private stream or, where ``confirm_by_query`` is
set, by asking for the order and its trades. Both may tell the same trade: whoever listens counts it once, by
its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import (
    Accepted,
    Balances,
    Cancelled,
    Happening,
    Refused,
    Traded,
    VenueOrder,
)
from mexclab.errors import OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.confirm import NO_REST, Confirmer, ConfirmTerms
from mexclab.venues.mexc.endpoints import (
    ACCOUNT,
    CANCEL_ORDER,
    MY_TRADES,
    OPEN_ORDERS,
    QUERY_ORDER,
    Endpoint,
)
from mexclab.venues.mexc.gate import ONCE, Burst, Gate, GateTerms
from mexclab.venues.mexc.refusals import UNKNOWN_ORDER
from mexclab.venues.mexc.rest import Params, Rest
from mexclab.venues.mexc.wire import left_out
from mexclab.venues.mexc.wire_account import (
    MyTradeRow,
    OrderRow,
    SymbolOf,
    balances_of,
    fill_of,
    venue_order_of,
)

# what the venue says of an order that it does not have; -2013 is not in its documents but in its answers
NO_SUCH_ORDER = UNKNOWN_ORDER | {-2013}
TRADES_PER_PAGE = 100
TRADES_KEPT_MS = 30 * DAY // MILLISECOND  # the venue answers for the last month
MOST_PAGES = 40
AHEAD_MS = 1_000  # the venue's clock may be ahead of ours
MOST_ORDERS = 500  # that may have ended without our being told
CANCEL_PAUSES_S = (0.0, 0.2, 0.5)  # a cancellation may be repeated: what is gone stays gone


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """How the account behaves.

    Attributes:
        confirm_by_query: no private stream tells of trades, so every acknowledged order that cannot rest and
            every cancellation is asked for until its end is known.
        burst: what a prepared order may do while its symbol is not open yet.
    """

    confirm_by_query: bool = False
    burst: Burst = ONCE
    gate: GateTerms = field(default_factory=GateTerms)
    confirm: ConfirmTerms = field(default_factory=ConfirmTerms)


class MexcAccount:
    """``ports.Exchange`` on MEXC, or on anything that speaks its REST API. For one event loop.

    Args:
        rest: the way to the venue, with a signer.
        tell: called with every report, in the loop.
        symbol_of: from the venue's spelling of a pair to ours.

    Raises:
        ConfigError: ``rest`` has no key.
    """

    def __init__(
        self,
        rest: Rest,
        tell: Callable[[Happening], None],
        terms: AccountTerms,
        symbol_of: SymbolOf = Symbol.parse,
    ) -> None:
        self.terms = terms
        self.gate = Gate(rest, self._hear, terms.gate)
        self._rest = rest
        self._tell = tell
        self._symbol_of = symbol_of
        self._confirmer = Confirmer(self, tell, rest.clock_ns, terms.confirm)
        self._orders: dict[str, Order] = {}  # sent from here, and not known to have ended
        self._symbols: dict[Symbol, None] = {}  # what this account has had to do with since the start
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancels = self._cancels_under_way = 0

    def __repr__(self) -> str:
        return f"MexcAccount({self._rest.origin.authority})"

    @property
    def asked(self) -> int:
        """How many order and cancel requests have left, or wait to leave."""
        return self.gate.asked + self._cancels

    @property
    def under_way(self) -> int:
        """How many of them have not been answered, and are not known to stay unanswered."""
        return self.gate.under_way + self._cancels_under_way

    # -- sending ---------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """Make ``submit(order)`` at ``release_ns`` as quick as can be; without it, it only takes longer."""
        self.gate.prepare(order, release_ns, self.terms.burst)

    def submit(self, order: Order) -> None:
        """Send it. Told later: Accepted, Refused, Lost, or Cancelled if it provably never left."""
        self._orders[order.client_id] = order
        if len(self._orders) > MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        self._symbols[order.symbol] = None
        gate = self.gate
        gate.fire(order, self.terms.burst if gate.holds(order.client_id) else ONCE)

    def cancel(self, order: Order) -> None:
        """Ask for its end; what has not left yet does not leave any more."""
        if not self.gate.stop(order.client_id):
            self._count_cancel()
            self._spawn(self._cancel(order))

    async def close(self) -> None:
        """Stop telling. What is under way stays under way at the venue; the connections are the caller's."""
        await self.gate.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def saw(self, happening: Happening) -> None:
        """Take note of what the private stream told of our orders, so that it is not asked for as well."""
        if isinstance(happening, Traded):
            self._confirmer.note(happening.fill.trade_id)
        elif isinstance(happening, Cancelled):
            self._orders.pop(happening.client_id, None)

    # -- asking ----------------------------------------------------------------------------------

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        """See ``ports.Exchange.order``."""
        self._symbols[symbol] = None
        try:
            row: OrderRow = await self._rest.ask(
                QUERY_ORDER, (("symbol", str(symbol)), ("origClientOrderId", client_id))
            )
        except VenueRejected as error:
            if error.data.get("code") in NO_SUCH_ORDER:
                return None
            raise _not_said(error) from error
        if row.symbol != str(symbol) or row.client_order_id not in (None, "", client_id):
            raise VenueUnavailable(f"the venue answered about another order than {client_id}; ask again")
        self.gate.verdicts.remember(row.order_id, client_id)
        return replace(venue_order_of(row, lambda _: symbol), client_id=client_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every order that rests, whoever placed it; ``client_id`` is "" where nobody knows it.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        rows: list[OrderRow] = await self._ask(OPEN_ORDERS, ())
        found = (venue_order_of(row, self._symbol_of) for row in rows)
        mine = self.gate.verdicts.client_id
        return [replace(each, client_id=mine(each.venue_id) or each.client_id) for each in found]

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        """Our trades of one symbol since then, the oldest first; the venue keeps them for a month.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        self._symbols[symbol] = None
        rows = await self._trades_since(symbol, since_ns // MILLISECOND, ())
        mine = self.gate.verdicts.client_id
        return [fill_of(row, lambda _: symbol, mine(row.order_id)) for row in rows]

    async def fills_of(self, order: VenueOrder) -> Sequence[Fill]:
        """The trades of one order, as far as the venue shows them.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        which = (("orderId", order.venue_id),)
        rows = await self._trades(order.symbol, which)
        if len(rows) >= TRADES_PER_PAGE:
            rows = await self._trades_since(order.symbol, 0, which)
        mine = [row for row in rows if row.order_id == order.venue_id]
        return [fill_of(row, lambda _: order.symbol, order.client_id) for row in mine]

    async def balances(self) -> Balances:
        """What the account holds, by asset.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        return balances_of(await self._ask(ACCOUNT, ()))

    async def catch_up(self, since_ns: int) -> None:
        """Tell every trade since then, and the end of every order sent from here that has ended.

        For a private stream that was away: nothing that happened meanwhile is lost.

        Raises:
            VenueUnavailable: the venue did not say; what was told is true, and the rest is still missing.
        """
        for symbol in list(self._symbols):
            for fill in await self.fills(symbol, since_ns):
                self._confirmer.tell_fill(fill)
        if self._orders:
            resting = {order.client_id for order in await self.open_orders()}
            for order in [order for order in self._orders.values() if order.client_id not in resting]:
                if await self._confirmer.look(order):
                    self._orders.pop(order.client_id, None)

    # -- inside ----------------------------------------------------------------------------------

    def _hear(self, report: Happening) -> None:
        """A report of the gate: told, and followed up where nobody else does."""
        self._tell(report)
        if isinstance(report, Accepted):
            if self.terms.confirm_by_query:
                order = self._orders.get(report.client_id)
                if order is not None and order.type in NO_REST:
                    self._spawn(self._confirm(order))
        elif isinstance(report, Refused | Cancelled):
            self._orders.pop(report.client_id, None)

    async def _cancel(self, order: Order) -> None:
        which = ("orderId", order.venue_id) if order.venue_id else ("origClientOrderId", order.client_id)
        told_by_stream = False
        for pause in CANCEL_PAUSES_S:
            if pause:
                await asyncio.sleep(pause)
                self._count_cancel()
            try:
                await self._ask_cancel((("symbol", str(order.symbol)), which))
                told_by_stream = not self.terms.confirm_by_query
            except VenueRejected:
                pass  # it has ended already, or it cannot be ended: the venue's own word follows
            except (VenueUnavailable, OrderUnknown):
                continue
            break
        if not told_by_stream:
            await self._confirm(order)

    def _count_cancel(self) -> None:
        self._cancels += 1
        self._cancels_under_way += 1

    async def _ask_cancel(self, params: Params) -> None:
        try:
            await self._rest.ask(CANCEL_ORDER, params, urgent=True)
        except VenueUnavailable as error:
            if "retry_after_s" not in error.data:
                self._cancels -= 1  # it never left
            raise
        finally:
            self._cancels_under_way -= 1

    async def _confirm(self, order: Order) -> None:
        if await self._confirmer.confirm(order):
            self._orders.pop(order.client_id, None)

    async def _ask(self, endpoint: Endpoint, params: Params) -> Any:
        """A question about the account; an answer in parts is none."""
        try:
            answer = await self._rest.ask(endpoint, params)
        except VenueRejected as error:
            raise _not_said(error) from error
        if isinstance(answer, list) and (missing := left_out(answer)):
            raise VenueUnavailable(
                f"{endpoint.name}: {missing} rows of the answer cannot be read; what they say is not known"
            )
        return answer

    async def _trades(self, symbol: Symbol, which: Params) -> list[MyTradeRow]:
        params = (("symbol", str(symbol)), *which, ("limit", str(TRADES_PER_PAGE)))
        rows: list[MyTradeRow] = await self._ask(MY_TRADES, params)
        if any(row.symbol != str(symbol) for row in rows):
            raise VenueUnavailable(f"the venue answered about another pair than {symbol}; ask again")
        return rows

    async def _trades_since(self, symbol: Symbol, since_ms: int, which: Params) -> list[MyTradeRow]:
        """Every trade in the span, page by page, the oldest first."""
        now_ms = self._rest.clock_ns() // MILLISECOND
        first_ms = min(max(since_ms, now_ms - TRADES_KEPT_MS), now_ms)
        spans, found = [(first_ms, now_ms + AHEAD_MS)], dict[str, MyTradeRow]()
        for _ in range(MOST_PAGES):
            if not spans:
                return sorted(found.values(), key=lambda row: row.time)
            first, last = spans.pop()
            span = (("startTime", str(first)), ("endTime", str(last)))
            rows = await self._trades(symbol, (*which, *span))
            found.update((row.id, row) for row in rows)
            if len(rows) >= TRADES_PER_PAGE:
                spans += _still_to_ask(first, last, [row.time for row in rows])
        raise VenueUnavailable(f"{symbol} has more trades since then than can be asked for at once")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _still_to_ask(first: int, last: int, times: list[int]) -> list[tuple[int, int]]:
    """The spans around a full page, in milliseconds, both ends included.

    The venue does not say which end of a span a full page leaves out: the order of its rows shows it.
    """
    low, high = min(times), max(times)
    if low == high:
        if first == last:
            raise VenueUnavailable(f"more than {TRADES_PER_PAGE} trades in one millisecond")
        around = [(first, low - 1), (low, low), (high + 1, last)]
        return [(begin, end) for begin, end in around if begin <= end]
    newest_first = all(one >= next_ for one, next_ in pairwise(times))
    oldest_first = all(one <= next_ for one, next_ in pairwise(times))
    return [(first, low)] * (not oldest_first) + [(high, last)] * (not newest_first)


def _not_said(error: VenueRejected) -> VenueUnavailable:
    """A refused question says nothing about what was asked."""
    return VenueUnavailable(f"{error.message}; nothing is known. Ask again", **error.data)
