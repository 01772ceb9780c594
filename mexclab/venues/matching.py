"""A price-time order book: exact, deterministic and quick.

Inside, prices are whole ticks and quantities whole lots, both ints; ``Decimal`` at the door. A level's
key is its price in ticks, negative for asks, so that on both sides a larger key is a better price and
one code serves both: an order with key ``k`` may trade with every facing key of at least ``-k``.

Time, ids and rules come from outside: the same commands give the same trades with the same ids.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal
from itertools import islice
from typing import Any, TypeAlias

from mexclab.domain.market import Book, Level, Market, Side
from mexclab.domain.order import OrderType
from mexclab.errors import DomainError
from mexclab.venues.orders import (
    HOUSE,
    OUTSIDE_BAND,
    UNKNOWN_ORDER,
    WOULD_TAKE,
    Changes,
    Execution,
    Levels,
    NewOrder,
    Outcome,
    Phase,
    Quotes,
    Refusal,
    Status,
    Terms,
)
from mexclab.venues.rules import LARGEST, Rules, closed_to, whole_steps

REMEMBERED = 1 << 16  # changes of levels that can be asked for later

_BUY, _OPEN = Side.BUY, Phase.OPEN
_LIMIT, _MARKET, _MAKER = OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER
_RESTED, _UNFILLED, _CANCELED_PART = map(Outcome, (Status.NEW, Status.CANCELED, Status.PARTIALLY_CANCELED))
_NOT_FOUND = Outcome(Status.REJECTED, (), UNKNOWN_ORDER)
_tuple = tuple.__new__  # a NamedTuple's own constructor costs twice as much

# What rests is a list, because every order makes one and an object costs four times as much:
# the order, the lots that are left (0 = gone, only its place remains), the lots it had, its queue.
_Resting: TypeAlias = list[Any]
_ORDER, _LEFT, _WHOLE, _QUEUE = range(4)
_Trades: TypeAlias = list[Execution]
_UNSWEPT = 16  # places of orders that are gone which a queue may always carry


class _Queue:
    """One price: the lots that rest there and their orders, oldest first.

    Orders that are gone keep their place until it is swept: those before ``head`` and ``dead`` beyond it.
    """

    __slots__ = ("dead", "head", "key", "lots", "orders")

    def __init__(self, key: int) -> None:
        self.key = key
        self.lots = 0
        self.orders: list[_Resting] = []
        self.head = 0
        self.dead = 0

    def sweep(self) -> None:
        """Forget the places of orders that are gone, once they are most of the queue."""
        gone = self.head + self.dead
        if gone > _UNSWEPT and gone * 2 > len(self.orders):
            self.orders = [resting for resting in self.orders if resting[_LEFT]]
            self.head = self.dead = 0


class OrderBook:
    """The book of one symbol.

    Args:
        market: its rules.
        price_band: how far a LIMIT, IOC or FOK may reach through the last price, as a fraction; BUY above
            and SELL below only. None: no band.
        last: the price the band is measured from until the first trade.
        first_trade: the number of the first trade; give each book of a venue its own range.
    """

    def __init__(
        self,
        market: Market,
        price_band: Decimal | None = None,
        last: Decimal | None = None,
        first_trade: int = 1,
    ) -> None:
        self.market = market
        self.phase = Phase.OPEN
        self.version = 0  # one more for each change of a level
        self._tick, self._lot = market.tick, market.lot
        self.rules = Rules(market, price_band)
        self._least, self._has_band = self.rules.least, self.rules.has_band
        self._last = 0 if last is None else whole_steps(market.limit_price(last, _BUY), market.tick)
        self._next_trade = first_trade
        self._queues: dict[int, _Queue] = {}
        self._bids: list[int] = []  # keys, ascending: the best is the last
        self._asks: list[int] = []
        self._resting: dict[str, _Resting] = {}
        self._quotes: dict[str, dict[int, _Resting]] = {}
        self._touched: deque[int] = deque(maxlen=REMEMBERED)

    # -- commands --------------------------------------------------------------------------------

    def submit(self, order: NewOrder, at_ns: int) -> Outcome:
        """Hold the order against the rules, match it, and rest what may rest.

        Raises:
            DomainError: an order of that id rests already.
        """
        terms = self.review(order)
        if terms.__class__ is Refusal:
            return Outcome(Status.REJECTED, (), terms)
        return self.execute(order, terms, at_ns)

    def review(self, order: NewOrder) -> Terms | Refusal:
        """What the order comes to, or why it is refused; changes nothing."""
        kind, quantity, price = order.type, order.quantity, order.price
        if self.phase is not _OPEN and (refusal := closed_to(self.phase, order.owner, order.side)):
            return refusal
        if kind is _MARKET:
            return self.rules.market_terms(order, self._touch(order.side))
        try:
            tick, lot = self._tick, self._lot
            ticks, lots = int(price // tick), int(quantity // lot)
            off_grid = price % tick or quantity % lot
        except (TypeError, ValueError, ArithmeticError):
            return self.rules.why_not(order)
        fits = ticks > 0 and not off_grid and self._least <= ticks * lots < LARGEST
        if not fits or order.quote_quantity is not None:
            return self.rules.why_not(order)
        if kind is _MAKER:
            key, facing = (ticks, self._asks) if order.side is _BUY else (-ticks, self._bids)
            if facing and facing[-1] >= -key:
                return WOULD_TAKE
        elif self._has_band and self._last and self.rules.is_outside_band(order.side, ticks, self._last):
            return OUTSIDE_BAND
        return lots, ticks, None

    def execute(self, order: NewOrder, terms: Terms, at_ns: int) -> Outcome:
        """Carry out an order on the terms that ``review`` gave for the book as it is now.

        Raises:
            DomainError: an order of that id rests already.
        """
        lots, ticks, budget = terms
        kind = order.type
        key, facing = (ticks, self._asks) if order.side is _BUY else (-ticks, self._bids)
        if order.order_id in self._resting:
            raise DomainError(f"order {order.order_id} rests already", order_id=order.order_id)
        if not facing or facing[-1] < -key:
            if kind is not _LIMIT and kind is not _MAKER:
                return _UNFILLED
            self._resting[order.order_id] = self._queue_up(order, key, lots, lots)
            return _RESTED
        if kind is OrderType.FILL_OR_KILL and not self._could_fill(facing, -key, lots):
            return _UNFILLED
        executions: list[Execution] = []
        if budget is None:
            left = self._take(order, lots, -key, at_ns, executions)
        else:
            left = self._spend(order, budget, -key, at_ns, executions)
        if not executions:
            return _UNFILLED
        if not left:
            status = Status.FILLED
        elif kind is _LIMIT:
            self._resting[order.order_id] = self._queue_up(order, key, left, lots)
            status = Status.PARTIALLY_FILLED
        else:
            status = Status.PARTIALLY_CANCELED
        return _tuple(Outcome, (status, tuple(executions), None))

    def cancel(self, order_id: str) -> Outcome:
        """Take a resting order out: CANCELED, or PARTIALLY_CANCELED when some of it had traded."""
        resting = self._resting.pop(order_id, None)
        if resting is None:
            return _NOT_FOUND
        left = resting[_LEFT]
        self._shrink(resting, left)
        return _UNFILLED if left == resting[_WHOLE] else _CANCELED_PART

    def requote(self, maker: str, bids: Quotes, asks: Quotes, at_ns: int) -> Outcome:
        """Make ``bids`` and ``asks`` all that the house's ``maker`` quotes; both empty withdraws it.

        A quote that stays or shrinks keeps its place in time; one that is new or grows queues at the back.
        Old quotes go before new ones come; a new one that crosses trades like any LIMIT order, whatever
        its value. Quotes carry the maker's name as their order id.

        Raises:
            DomainError: the quotes cross each other, or are not whole ticks and lots above zero.
        """
        wanted = {**bids, **{-ticks: lots for ticks, lots in asks.items()}}
        if min(wanted.values(), default=1) <= 0 or min(bids, default=1) <= 0 or min(asks, default=1) <= 0:
            raise DomainError(f"{maker}: quotes are whole ticks and lots above zero", maker=maker)
        if bids and asks and max(bids) >= min(asks):
            raise DomainError(f"{maker}: quotes to buy at or above its own price to sell", maker=maker)
        if wanted and self.phase is not _OPEN and (refusal := closed_to(self.phase, HOUSE, _BUY)):
            return Outcome(Status.REJECTED, (), refusal)
        standing = self._quotes.setdefault(maker, {})
        for key, quote in list(standing.items()):
            left, lots = quote[_LEFT], wanted.get(key, 0)
            if left and left != lots:
                self._shrink(quote, left - lots if lots < left else left)
            if not quote[_LEFT]:
                del standing[key]
        executions: list[Execution] = []
        buy, sell = (NewOrder(maker, HOUSE, side, _LIMIT, None) for side in Side)
        for key, lots in wanted.items():
            if key not in standing:
                order = buy if key > 0 else sell
                left = self._take(order, lots, -key, at_ns, executions)
                if left:
                    standing[key] = self._queue_up(order, key, left, lots)
        return Outcome(Status.NEW, tuple(executions))

    # -- questions -------------------------------------------------------------------------------

    @property
    def best_bid(self) -> Decimal | None:
        return self._bids[-1] * self._tick if self._bids else None

    @property
    def best_ask(self) -> Decimal | None:
        return -self._asks[-1] * self._tick if self._asks else None

    @property
    def last(self) -> Decimal | None:
        """The price of the latest trade, or the one given at the start."""
        return self._last * self._tick if self._last else None

    def __len__(self) -> int:
        """Resting orders; quotes are not counted."""
        return len(self._resting)

    def to_ticks(self, price: Decimal) -> int:
        """Whole ticks, rounded down."""
        return int((price / self._tick).to_integral_value(ROUND_FLOOR))

    def to_lots(self, quantity: Decimal) -> int:
        """Whole lots, rounded down."""
        return int((quantity / self._lot).to_integral_value(ROUND_FLOOR))

    def levels(self, depth: int) -> tuple[Levels, Levels]:
        """``(bids, asks)``, at most ``depth`` of each."""
        bids, asks = (islice(reversed(keys), depth) for keys in (self._bids, self._asks))
        return self._priced(bids), self._priced(asks)

    def snapshot(self, depth: int, at_ns: int) -> Book:
        """The best levels as the domain's ``Book``."""
        bids, asks = (tuple(Level(*pair) for pair in side) for side in self.levels(depth))
        return Book(self.market.symbol, bids, asks, at_ns, self.version)

    def changes_since(self, version: int) -> Changes | None:
        """Every level that changed after ``version``, as it is now; None when that is too long ago."""
        count = self.version - version
        if not 0 <= count <= len(self._touched):
            return None
        keys = sorted(set(islice(reversed(self._touched), count)), reverse=True)
        bids, asks = (key for key in keys if key > 0), (key for key in keys if key < 0)
        return Changes(version, self.version, self._priced(bids), self._priced(asks))

    def _touch(self, side: Side) -> int | None:
        """The best price in ticks that faces ``side``."""
        if side is _BUY:
            return -self._asks[-1] if self._asks else None
        return self._bids[-1] if self._bids else None

    def _could_fill(self, facing: list[int], limit: int, lots: int) -> bool:
        for key in reversed(facing):
            if key < limit:
                return False
            lots -= self._queues[key].lots
            if lots <= 0:
                return True
        return False

    # -- the book itself -------------------------------------------------------------------------

    def _queue_up(self, order: NewOrder, key: int, left: int, whole: int) -> _Resting:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(key)
            insort(self._bids if key > 0 else self._asks, key)
        resting = [order, left, whole, queue]
        queue.orders.append(resting)
        queue.lots += left
        self.version += 1
        self._touched.append(key)
        return resting

    def _shrink(self, resting: _Resting, lots: int) -> None:
        """Take ``lots`` off where it stands."""
        queue = resting[_QUEUE]
        resting[_LEFT] -= lots
        queue.lots -= lots
        self.version += 1
        self._touched.append(queue.key)
        if not queue.lots:
            self._drop(queue.key)
        elif not resting[_LEFT]:
            queue.dead += 1
            if queue.dead > _UNSWEPT:
                queue.sweep()

    def _drop(self, key: int) -> None:
        del self._queues[key]
        keys = self._bids if key > 0 else self._asks
        if keys[-1] == key:
            keys.pop()
        else:
            del keys[bisect_left(keys, key)]

    def _take(self, order: NewOrder, lots: int, limit: int, at_ns: int, executions: _Trades) -> int:
        """Trade up to ``lots`` with facing keys of at least ``limit``; the lots that are left."""
        facing = self._asks if order.side is _BUY else self._bids
        while lots and facing and facing[-1] >= limit:
            lots = self._take_level(order, lots, self._queues[facing[-1]], at_ns, executions)
        return lots

    def _spend(self, order: NewOrder, budget: int, limit: int, at_ns: int, executions: _Trades) -> int:
        """Buy whole lots for at most ``budget``; the lots it would still buy at the last price met."""
        left, asks = 0, self._asks
        while asks and asks[-1] >= limit:
            ticks = -asks[-1]
            lots = budget // ticks
            left = lots and self._take_level(order, lots, self._queues[-ticks], at_ns, executions)
            budget -= (lots - left) * ticks
            if not left:
                break
        return left

    def _take_level(
        self, order: NewOrder, wanted: int, queue: _Queue, at_ns: int, executions: _Trades
    ) -> int:
        order_id, side, lot, resting = order.order_id, order.side, self._lot, self._resting
        trader = None if order.owner == HOUSE else order.owner
        orders, head, number, lots = queue.orders, queue.head, self._next_trade, min(wanted, queue.lots)
        self._last = abs(queue.key)
        price = self._last * self._tick
        queue.lots -= lots
        left = wanted - lots
        while lots:
            maker = orders[head]
            traded = maker[_LEFT]
            if traded > lots:
                traded = lots
                maker[_LEFT] -= traded
            else:
                head += 1
                if not traded:
                    queue.dead -= 1
                    continue
                maker[_LEFT] = 0
                resting.pop(maker[_ORDER].order_id, None)
            lots -= traded
            other = maker[_ORDER]
            is_own = other.owner == trader
            fields = (number, price, traded * lot, other.order_id, order_id, side, at_ns, is_own)
            executions.append(_tuple(Execution, fields))
            number += 2
        self._next_trade = number
        if not queue.lots:
            self._drop(queue.key)
        else:
            queue.head = head
            if head > _UNSWEPT:
                queue.sweep()
        self.version += 1
        self._touched.append(queue.key)
        return left

    def _priced(self, keys: Iterable[int]) -> Levels:
        gone = _Queue(0)
        return tuple((abs(key) * self._tick, self._queues.get(key, gone).lots * self._lot) for key in keys)
