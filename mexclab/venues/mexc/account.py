"""An account on MEXC: ``ports.Exchange`` over REST, with the gate for orders.

``submit`` and ``cancel`` only send. What the venue answers to an order is told as ``Accepted``, ``Refused``
or ``Lost``; what becomes of it after that is told by the private stream or, where ``confirm_by_query`` is
set, by asking for the order and its trades. Both may tell the same trade: whoever listens counts it once, by
its id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import Accepted, Balances, Cancelled, Happening, Refused, Traded, VenueOrder
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.mexc.burst import ONCE, Burst, GateTerms
from mexclab.venues.mexc.cancels import Cancels
from mexclab.venues.mexc.confirm import NO_REST, Confirmer, ConfirmTerms
from mexclab.venues.mexc.endpoints import ACCOUNT, QUERY_ORDER
from mexclab.venues.mexc.gate import Gate
from mexclab.venues.mexc.names import Names
from mexclab.venues.mexc.open_orders import OpenOrders
from mexclab.venues.mexc.own_trades import OwnTrades, ask_about_us, not_said
from mexclab.venues.mexc.refusals import NO_PAIR, NOT_OPEN_YET, UNKNOWN_ORDER
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.tasks import Tasks
from mexclab.venues.mexc.wire_account import OrderRow, balances_of, fill_of, venue_order_of

MOST_ORDERS = 500  # that may have ended without our being told


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
        names: from the venue's spelling of a pair to ours.

    Raises:
        ConfigError: ``rest`` has no key.
    """

    def __init__(
        self,
        rest: Rest,
        tell: Callable[[Happening], None],
        terms: AccountTerms,
        names: Names | None = None,
    ) -> None:
        self.terms = terms
        self.gate = Gate(rest, self._hear, terms.gate, self._taken_early)
        self._rest = rest
        self._tell = tell
        self.names = names or Names(rest)
        self._trades = OwnTrades(rest)
        self._open = OpenOrders(rest, self.names, tell)
        self._cancels = Cancels(rest)
        self._confirmer = Confirmer(self, tell, rest.clock_ns, terms.confirm)
        self._orders: dict[str, Order] = {}  # sent from here, and not known to have ended
        self._symbols: dict[Symbol, None] = {}  # what this account has had to do with since the start
        self._recalled: dict[Symbol, None] = {}  # and before it
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return f"MexcAccount({self._rest.origin.authority})"

    @property
    def asked(self) -> int:
        """How many order and cancel requests have left, or wait to leave."""
        return self.gate.asked + self._cancels.asked

    @property
    def under_way(self) -> int:
        """How many of them have not been answered, and are not known to stay unanswered."""
        return self.gate.under_way + self._cancels.under_way

    # -- sending ---------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """Make ``submit(order)`` at ``release_ns`` as quick as can be; without it, it only takes longer."""
        self.gate.prepare(order, release_ns, self.terms.burst)

    def submit(self, order: Order) -> None:
        """Send it. Told later: Accepted, Refused, Lost, or Cancelled if it provably never left."""
        self.gate.fire(order)  # the rest can wait until it is on its way
        self._orders[order.client_id] = order
        if len(self._orders) > MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        self._symbols[order.symbol] = None
        self.names.note(order.symbol)

    def stop_sending(self, order: Order) -> None:
        """No further transmission of a burst leaves; what comes of those before is told as ever."""
        self.gate.stop(order.client_id)

    def cancel(self, order: Order) -> None:
        """Ask for its end; what has not left yet does not leave any more."""
        if not self.gate.stop(order.client_id):
            self._cancels.count()
            self._tasks.spawn(self._cancel(order))

    def saw(self, happening: Happening) -> None:
        """Take note of what the private stream told of our orders, so that it is not asked for as well."""
        if isinstance(happening, Traded):
            self._confirmer.note(happening.fill.trade_id)
            self.gate.saw(happening.fill.client_id)
        elif isinstance(happening, Accepted | Cancelled):
            self.gate.saw(happening.client_id)
        if isinstance(happening, Cancelled):
            self._orders.pop(happening.client_id, None)

    async def close(self) -> None:
        """Stop telling. What is under way stays under way at the venue; the connections are the caller's."""
        await self.gate.close()
        await self._tasks.close()

    # -- asking ----------------------------------------------------------------------------------

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        """See ``ports.Exchange.order``."""
        self._symbols[symbol] = None
        try:
            row: OrderRow = await self._rest.ask(
                QUERY_ORDER, (("symbol", str(symbol)), ("origClientOrderId", client_id))
            )
        except VenueRejected as error:
            if error.data.get("code") in UNKNOWN_ORDER | NO_PAIR:
                return None
            raise not_said(error) from error
        if row.symbol != str(symbol) or row.client_order_id not in (None, "", client_id):
            raise VenueUnavailable(f"the venue answered about another order than {client_id}; ask again")
        self.gate.verdicts.remember(row.order_id, client_id)
        return replace(venue_order_of(row, lambda _: symbol), client_id=client_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every order that rests, whoever placed it; ``client_id`` is "" where nobody knows it.

        ``Partial`` where the venue shows those of one pair at a time: then they are of the pairs that this
        account has had to do with, or that were recalled.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        found = await self._open.ask(self._symbols | self._recalled)
        mine = self.gate.verdicts.client_id
        for at, each in enumerate(found):
            found[at] = replace(each, client_id=mine(each.venue_id) or each.client_id)
        return found

    def recall(self, orders: Sequence[Order]) -> None:
        """Orders of before this start: the venue tells trades by its own ids; these say whose."""
        for order in orders:
            self._recalled[order.symbol] = None
            self.names.note(order.symbol)
            if order.venue_id is not None:
                self.gate.verdicts.remember(order.venue_id, order.client_id)

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        """Our trades of one symbol since then, the oldest first; the venue keeps them for a month.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        self._symbols[symbol] = None
        mine = self.gate.verdicts.client_id
        try:
            rows = await self._trades.since(symbol, since_ns)
        except VenueUnavailable as error:
            if error.data.get("code") not in NO_PAIR:
                raise
            rows = []  # a pair that was taken off has nothing to tell; what is held shows in the balances
        return [fill_of(row, lambda _: symbol, mine(row.order_id)) for row in rows]

    async def fills_of(self, order: VenueOrder) -> Sequence[Fill]:
        """The trades of one order, as far as the venue shows them.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        rows = await self._trades.of_order(order.symbol, order.venue_id)
        return [fill_of(row, lambda _: order.symbol, order.client_id) for row in rows]

    async def balances(self) -> Balances:
        """What the account holds, by asset.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        return balances_of(await ask_about_us(self._rest, ACCOUNT, ()))

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
                    self._tasks.spawn(self._confirm(order))
        elif isinstance(report, Refused | Cancelled):
            self._orders.pop(report.client_id, None)

    async def _taken_early(self, order: Order) -> VenueOrder | None:
        """The order, if the venue has it although it called it too early.

        Where it does not even answer questions about a pair that is not open, the balance tells: the order
        cannot rest, so it has bought something or it is not there.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        try:
            found = await self.order(order.client_id, order.symbol)
        except VenueUnavailable as error:
            if error.data.get("code") not in NOT_OPEN_YET:
                raise
            held = (await self.balances()).get(order.symbol.base)
            if order.type not in NO_REST or (held is not None and held.total > 0):
                raise
            return None
        if found is not None and not self.terms.confirm_by_query:  # else its acceptance sees to it
            self._tasks.spawn(self._confirm(order))
        return found

    async def _cancel(self, order: Order) -> None:
        if not await self._cancels.ask(order) or self.terms.confirm_by_query:
            await self._confirm(order)  # the venue did not say yes, or no stream tells of the end

    async def _confirm(self, order: Order) -> None:
        if await self._confirmer.confirm(order):
            self._orders.pop(order.client_id, None)
