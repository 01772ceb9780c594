"""The matcher: order books, the accounts that trade on them, and their orders."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from mexclab.domain.clock import DAY
from mexclab.domain.market import Market, Side, Symbol, Trade
from mexclab.domain.order import CLIENT_ID, Fill, Order, OrderState, OrderType
from mexclab.domain.reports import (
    Accepted,
    Balance,
    Cancelled,
    Happening,
    Refused,
    Traded,
    TradeSeen,
    VenueOrder,
)
from mexclab.errors import DomainError
from mexclab.venues.accounts import EXACT, ZERO, Accounts, FeeAsset, Hold
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import (
    HOUSE,
    UNKNOWN_ORDER,
    Execution,
    NewOrder,
    Outcome,
    Phase,
    Quotes,
    Refusal,
    Status,
    Terms,
)

EVERYBODY = ""  # who public news is for
TRADES_PER_BOOK = 10**15  # the range of trade numbers that each book has to itself
FIRST_TRADE = 5 * 10**17  # MEXC's trade numbers have 18 digits
KEPT_NS = 31 * DAY  # a finished order and a trade can be asked for so long, as on MEXC
KEPT_ORDERS = 100_000  # finished ones of the whole venue, at most
KEPT_TRADES = 100_000  # of one account, at most
_FORGET_EVERY = 256  # orders

TOO_MANY = Refusal(30029, "cannot exceed the maximum order limit")
NO_SUCH_SYMBOL = Refusal(-1121, "Invalid symbol.")
ILLEGAL_CLIENT_ID = Refusal(700008, "illegal characters")
DUPLICATE = Refusal(400, "duplicate client order id")


@dataclass(slots=True)
class Placed:
    """An account's order as the venue knows it: the matcher's own record, for others to read only.

    ``price`` is the limit, or a MARKET order's protective bound; ``quantity`` is None for an order in quote.
    """

    venue_id: str
    request: NewOrder
    symbol: Symbol
    price: Decimal
    hold: Hold
    created_ns: int
    updated_ns: int
    status: Status = Status.NEW
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO

    @property
    def owner(self) -> str:
        return self.request.owner

    @property
    def client_id(self) -> str:
        return self.request.client_id

    @property
    def quantity(self) -> Decimal | None:
        return self.request.quantity

    def told(self) -> VenueOrder:
        """As the port's ``VenueOrder``; an order in quote has the quantity that it bought."""
        quantity = self.filled if self.quantity is None else self.quantity
        side, state = self.request.side, _STATES[self.status]
        return VenueOrder(
            self.client_id, self.venue_id, self.symbol, side, state, quantity, self.price, self.filled
        )


_STATES = {
    Status.NEW: OrderState.ACCEPTED,
    Status.PARTIALLY_FILLED: OrderState.PARTIALLY_FILLED,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELED,
    Status.PARTIALLY_CANCELED: OrderState.CANCELED,
}
_ENDED = {
    OrderType.IMMEDIATE_OR_CANCEL: "immediate or cancel: nothing more within the limit",
    OrderType.FILL_OR_KILL: "fill or kill: not all of it within the limit",
    OrderType.MARKET: "market order: nothing more within the protective bound",
}


class OwnTrade(NamedTuple):
    """A fill with what the venue tells its owner besides."""

    fill: Fill
    venue_id: str
    is_self_trade: bool


@dataclass(frozen=True, slots=True)
class News:
    """What one command brought about. Iterating gives every happening, whoever it is for, in order.

    Attributes:
        told: ``(owner, happening)``; public ones are for ``EVERYBODY``.
        executions: the trades, with their ids.
        order: the order that the command was about, when the venue has it.
        refusal: why nothing was done.
    """

    told: tuple[tuple[str, Happening], ...] = ()
    executions: tuple[Execution, ...] = ()
    order: Placed | None = None
    refusal: Refusal | None = None

    def __iter__(self) -> Iterator[Happening]:
        return (happening for _, happening in self.told)

    def to(self, owner: str) -> list[Happening]:
        """What ``owner`` is told: public news and news of its own orders."""
        return [happening for whom, happening in self.told if whom in (EVERYBODY, owner)]


class Matcher:
    """The books of a venue, the accounts that trade on them, and their orders.

    Args:
        balances: owner -> asset -> opening balance.
        fee_asset: which asset pays a buyer's fee.
        max_open_orders: of one account, over all symbols.
    """

    def __init__(
        self,
        balances: Mapping[str, Mapping[str, Decimal]],
        fee_asset: FeeAsset = FeeAsset.QUOTE,
        max_open_orders: int = 500,
    ) -> None:
        self.books: dict[Symbol, OrderBook] = {}
        self.accounts = Accounts(fee_asset)
        self.max_open_orders = max_open_orders
        self._orders: dict[str, Placed] = {}  # by venue id
        self._of: dict[str, dict[str, Placed]] = {}  # by owner and venue id
        self._finished: deque[Placed] = deque()
        self._by_client: dict[tuple[str, str], Placed] = {}
        self._open: dict[str, dict[str, Placed]] = {}  # by owner and venue id
        self._trades: dict[str, list[OwnTrade]] = {}
        self._count = 0
        for owner, assets in balances.items():
            for asset, amount in assets.items():
                self.accounts.deposit(owner, asset, amount)

    # -- markets and the house -------------------------------------------------------------------

    def add(
        self,
        market: Market,
        phase: Phase = Phase.OPEN,
        price_band: Decimal | None = None,
        last: Decimal | None = None,
    ) -> OrderBook:
        """List a symbol; ``last`` is the price that its band is measured from until the first trade.

        Raises:
            DomainError: it is listed already.
        """
        if market.symbol in self.books:
            raise DomainError(f"{market.symbol} is listed already", symbol=str(market.symbol))
        first = FIRST_TRADE + len(self.books) * TRADES_PER_BOOK
        book = self.books[market.symbol] = OrderBook(market, price_band, last, first)
        book.phase = phase
        return book

    def set_phase(self, symbol: Symbol, phase: Phase) -> None:
        """What the symbol takes from now on; orders that rest stay (see ``cancel_all``)."""
        self.books[symbol].phase = phase

    def requote(self, symbol: Symbol, maker: str, bids: Quotes, asks: Quotes, at_ns: int) -> News:
        """``OrderBook.requote`` for a market maker of the house."""
        outcome = self.books[symbol].requote(maker, bids, asks, at_ns)
        return self._house_news(symbol, outcome, at_ns)

    def house(
        self, symbol: Symbol, side: Side, kind: OrderType, size: tuple[Decimal, Decimal | None], at_ns: int
    ) -> News:
        """An order of the house; ``size`` is quantity and price."""
        self._count += 1
        order = NewOrder(f"{HOUSE}{self._count}", HOUSE, side, kind, *size)
        return self._house_news(symbol, self.books[symbol].submit(order, at_ns), at_ns)

    def _house_news(self, symbol: Symbol, outcome: Outcome, at_ns: int) -> News:
        told = self._settle(symbol, outcome.executions, None) if outcome.executions else []
        return News(tuple(told), outcome.executions, None, outcome.refusal)

    # -- orders of accounts ----------------------------------------------------------------------

    def submit(self, owner: str, order: Order, at_ns: int) -> News:
        """Place an order of the domain; a MARKET order's price narrows its protective bound."""
        terms = (order.side, order.type, order.quantity, order.price, None, order.client_id)
        return self.place(order.symbol, NewOrder("", owner, *terms), at_ns)

    def place(self, symbol: Symbol, request: NewOrder, at_ns: int) -> News:
        """Take an account's order: rules, reservation, matching, settlement.

        ``request.order_id`` is given by the venue, whatever it holds. The owner is told ``Accepted``, its
        trades and the end of what cannot rest, or ``Refused``; the makers are told their trades.
        """
        owner, client_id = request.owner, request.client_id
        terms = self._review(symbol, request)
        if isinstance(terms, Refusal):
            return News(((owner, Refused(client_id, *terms, at_ns)),), refusal=terms)
        book = self.books[symbol]
        hold = self.accounts.reserve(request, book.market, terms)
        if isinstance(hold, Refusal):
            return News(((owner, Refused(client_id, *hold, at_ns)),), refusal=hold)
        self._count += 1
        request = replace(request, order_id=f"C02__{self._count:021d}")
        price = terms[1] * book.market.tick
        placed = Placed(request.order_id, request, symbol, price, hold, at_ns, at_ns)
        self._orders[placed.venue_id] = placed
        self._of.setdefault(owner, {})[placed.venue_id] = placed
        self._open.setdefault(owner, {})[placed.venue_id] = placed
        if client_id:
            self._by_client[owner, client_id] = placed
        outcome = book.execute(request, terms, at_ns)
        told: list[tuple[str, Happening]] = [(owner, Accepted(client_id, placed.venue_id, at_ns))]
        told += self._settle(symbol, outcome.executions, placed)
        if outcome.status is not placed.status:
            self._move(placed, outcome.status, at_ns)
            if outcome.status in (Status.CANCELED, Status.PARTIALLY_CANCELED):
                told.append((owner, Cancelled(client_id, _ENDED[request.type], at_ns, placed.filled)))
        if not len(self._orders) % _FORGET_EVERY:
            self._forget(at_ns)
        return News(tuple(told), outcome.executions, placed)

    def cancel(self, owner: str, client_id: str, at_ns: int) -> News:
        """Take the rest of an order out, by the owner's id or the venue's."""
        placed = self.find(owner, client_id)
        if placed is None or not placed.status.is_open:
            return News(order=placed, refusal=UNKNOWN_ORDER)
        return self._cancel(placed, "asked for", at_ns)

    def cancel_all(self, at_ns: int, owner: str | None = None, symbol: Symbol | None = None) -> list[News]:
        """Cancel every open order of an owner, of a symbol, or of both."""
        owners = list(self._open) if owner is None else [owner]
        found = [placed for name in owners for placed in self._open.get(name, {}).values()]
        wanted = [placed for placed in found if symbol in (None, placed.symbol)]
        return [self._cancel(placed, "asked for", at_ns) for placed in wanted]

    # -- questions -------------------------------------------------------------------------------

    def find(self, owner: str, order_id: str) -> Placed | None:
        """The owner's order of that client id, or else of that venue id."""
        placed = self._by_client.get((owner, order_id)) or self._orders.get(order_id)
        return placed if placed is not None and placed.owner == owner else None

    def order(self, owner: str, client_id: str) -> VenueOrder | None:
        placed = self.find(owner, client_id)
        return None if placed is None else placed.told()

    def open_orders(self, owner: str) -> list[VenueOrder]:
        return [placed.told() for placed in self._open.get(owner, {}).values()]

    def placed(self, owner: str) -> list[Placed]:
        """The owner's orders, oldest first; long ago finished ones are forgotten."""
        return list(self._of.get(owner, {}).values())

    def fills(self, owner: str, since_ns: int) -> list[Fill]:
        return [trade.fill for trade in self.own_trades(owner, since_ns)]

    def own_trades(self, owner: str, since_ns: int) -> list[OwnTrade]:
        """The owner's trades at ``since_ns`` or later, oldest first. Commands come in order of time."""
        trades = self._trades.get(owner, [])
        return trades[bisect_left(trades, since_ns, key=lambda trade: trade.fill.at_ns) :]

    def balances(self, owner: str) -> dict[str, Balance]:
        return self.accounts.balances(owner)

    # -- what follows ----------------------------------------------------------------------------

    def _review(self, symbol: Symbol, request: NewOrder) -> Terms | Refusal:
        owner, client_id = request.owner, request.client_id
        if owner in (HOUSE, EVERYBODY):
            raise DomainError(f"{owner!r} is not the name of an account", owner=owner)
        if client_id and not CLIENT_ID.match(client_id):
            return ILLEGAL_CLIENT_ID
        if (owner, client_id) in self._by_client:
            return DUPLICATE
        if symbol not in self.books:
            return NO_SUCH_SYMBOL
        if len(self._open.get(owner, ())) >= self.max_open_orders:
            return TOO_MANY
        return self.books[symbol].review(request)

    def _settle(
        self, symbol: Symbol, executions: tuple[Execution, ...], taker: Placed | None
    ) -> list[tuple[str, Happening]]:
        told: list[tuple[str, Happening]] = []
        for execution in executions:
            _, price, quantity, maker_id, _, side, at_ns, _ = execution
            told.append((EVERYBODY, TradeSeen(Trade(symbol, price, quantity, side, at_ns))))
            maker = self._orders.get(maker_id)
            if maker is None and taker is None:
                continue
            for placed, its_side in ((taker, side), (maker, side.opposite)):
                if placed is None:
                    self.accounts.settle_house(its_side, symbol, price, quantity)
                else:
                    told.append((placed.owner, self._book_fill(placed, execution, placed is maker)))
        return told

    def _book_fill(self, placed: Placed, execution: Execution, is_maker: bool) -> Traded:
        price, quantity, at_ns = execution.price, execution.quantity, execution.at_ns
        fee = self.accounts.settle(placed.hold, price, quantity, is_maker)
        trade_id = execution.maker_trade_id if is_maker else execution.taker_trade_id
        side = placed.request.side
        fill = Fill(trade_id, placed.client_id, placed.symbol, side, price, quantity, *fee, at_ns, is_maker)
        placed.filled = EXACT.add(placed.filled, quantity)
        placed.filled_value = EXACT.add(placed.filled_value, EXACT.multiply(price, quantity))
        trade = OwnTrade(fill, placed.venue_id, execution.is_self_trade)
        trades = self._trades.setdefault(placed.owner, [])
        trades.append(trade)
        if len(trades) > 2 * KEPT_TRADES:
            del trades[:-KEPT_TRADES]
        if is_maker:
            whole = placed.filled == placed.quantity
            self._move(placed, Status.FILLED if whole else Status.PARTIALLY_FILLED, at_ns)
        return Traded(fill, at_ns)

    def _cancel(self, placed: Placed, why: str, at_ns: int) -> News:
        outcome = self.books[placed.symbol].cancel(placed.venue_id)
        self._move(placed, outcome.status, at_ns)
        return News(((placed.owner, Cancelled(placed.client_id, why, at_ns, placed.filled)),), order=placed)

    def _move(self, placed: Placed, status: Status, at_ns: int) -> None:
        placed.status, placed.updated_ns = status, at_ns
        if not status.is_open:
            self.accounts.release(placed.hold)
            del self._open[placed.owner][placed.venue_id]
            self._finished.append(placed)

    def _forget(self, at_ns: int) -> None:
        """Let go of orders that finished, and of trades that happened, too long ago; balances stay."""
        finished, oldest_ns = self._finished, at_ns - KEPT_NS
        while finished and (len(finished) > KEPT_ORDERS or finished[0].updated_ns < oldest_ns):
            placed = finished.popleft()
            del self._orders[placed.venue_id], self._of[placed.owner][placed.venue_id]
            key = placed.owner, placed.client_id
            if self._by_client.get(key) is placed:
                del self._by_client[key]
        for trades in self._trades.values():
            stale = bisect_left(trades, oldest_ns, key=lambda trade: trade.fill.at_ns)
            del trades[: max(stale, len(trades) - KEPT_TRADES)]
