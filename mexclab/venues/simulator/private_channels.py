"""The private channels: what an account is told of its orders, its trades and its balances.

One batch of news is told at once. The matcher shows balances and orders as they are after the whole
batch; what they were in between is reckoned back from there, so that nothing is remembered here and a
deposit is never missed. The sums are those of ``accounts.Accounts``: the tests hold them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side
from mexclab.domain.order import Fill, OrderType
from mexclab.domain.reports import Accepted, Cancelled, Happening, Traded
from mexclab.venues import proto
from mexclab.venues.accounts import EXACT, ZERO, FeeAsset
from mexclab.venues.matcher import Matcher, OwnTrade, Placed
from mexclab.venues.orders import Status
from mexclab.venues.simulator.http import plain
from mexclab.venues.simulator.pairs import KNOWN_IDS

if TYPE_CHECKING:
    from mexclab.venues.simulator.world import World

ACCOUNT = "spot@private.account.v3.api.pb"
DEALS = "spot@private.deals.v3.api.pb"
ORDERS = "spot@private.orders.v3.api.pb"
PRIVATE = frozenset({ACCOUNT, DEALS, ORDERS})

NAMELESS_KEPT = 500  # the most that can be open, so that those that were filled are looked for beyond

PLACED, TRADED, FEE = "ENTRUST_PLACE", "ENTRUST", "TRADE_FEE"
CANCELED, UNFROZEN = "ENTRUST_CANCEL", "ENTRUST_UNFROZEN"
_AVERAGE = Context(prec=18)
_add, _subtract, _multiply = EXACT.add, EXACT.subtract, EXACT.multiply


class Move(NamedTuple):
    """What one step does to one asset: to what is free, and to what open orders hold."""

    asset: str
    free: Decimal
    locked: Decimal
    why: str


@dataclass(slots=True)
class Step:
    """One happening of an order, and how far the order was then."""

    placed: Placed
    at_ns: int
    status: Status
    filled: Decimal
    filled_value: Decimal
    trade: OwnTrade | None = None
    moves: list[Move] = field(default_factory=list)


_Told: TypeAlias = Accepted | Traded | Cancelled
_Balances: TypeAlias = dict[str, tuple[Decimal, Decimal]]  # free and locked, by asset
_Found: TypeAlias = tuple[_Told, Placed, OwnTrade | None]


class PrivateChannels:
    """What the accounts of a world are told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._coins = dict(KNOWN_IDS)
        # open orders without a client id, by owner and venue id: news of them does not say which it is of
        self._nameless: dict[str, dict[str, Placed]] = {}
        for account in world.accounts.values():
            for told in world.matcher.open_orders(account.owner):
                if not told.client_id:
                    self.hear(account.owner, Accepted("", told.venue_id, world.now_ns))

    def hear(self, owner: str, happening: Happening, is_told: bool = False) -> None:
        """To be told of everything, so that orders without a client id are known again.

        ``is_told``: it will be among the news of a later ``frames``.
        """
        if not isinstance(happening, Accepted | Cancelled) or happening.client_id:
            return
        if isinstance(happening, Cancelled):
            if not is_told:
                self._nameless_end(owner, happening)
            return
        placed = self._world.matcher.find(owner, happening.venue_id)
        if placed is not None and placed.status is not Status.FILLED:
            known = self._nameless.setdefault(owner, {})
            known[placed.venue_id] = placed
            if len(known) > NAMELESS_KEPT:
                for venue_id in [key for key, each in known.items() if each.status is Status.FILLED]:
                    del known[venue_id]

    def frames(self, owner: str, news: Sequence[Happening], now_ns: int) -> list[tuple[str, Any]]:
        """What the owner's streams say of these happenings: channel and ``proto.PushData``, in order.

        All that happened to the account since the last call, and nothing else, must be in ``news``.
        """
        world = self._world
        steps = _steps(world.matcher, owner, self._orders_of(owner, news))
        balances = _balances_before(world.matcher, owner, steps)
        frames: list[tuple[str, Any]] = []
        for step in steps:
            if step.trade is not None:
                frames.append((DEALS, _deal(step, step.trade, now_ns)))
            frames.append((ORDERS, _order(step, now_ns)))
            for move in step.moves:
                free, locked = balances[move.asset]
                balances[move.asset] = now = _add(free, move.free), _add(locked, move.locked)
                frames.append((ACCOUNT, _account(move, now, self._coin_id(move.asset), step.at_ns, now_ns)))
        return frames

    def _orders_of(self, owner: str, news: Sequence[Happening]) -> list[_Found]:
        matcher = self._world.matcher
        ours = [happening for happening in news if isinstance(happening, Accepted | Traded | Cancelled)]
        moments = [happening.at_ns for happening in ours if isinstance(happening, Traded)]
        own = matcher.own_trades(owner, min(moments)) if moments else []
        trades = {trade.fill.trade_id: trade for trade in own}
        found: list[_Found] = []
        for happening in ours:
            placed, trade = None, None
            if isinstance(happening, Traded):
                trade = trades[happening.fill.trade_id]
                placed = matcher.find(owner, trade.venue_id)
            elif isinstance(happening, Accepted):
                placed = matcher.find(owner, happening.venue_id)
            elif happening.client_id:
                placed = matcher.find(owner, happening.client_id)
            else:
                placed = self._nameless_end(owner, happening)
            if placed is not None:
                found.append((happening, placed, trade))
        return found

    def _nameless_end(self, owner: str, end: Cancelled) -> Placed | None:
        """The order that a cancellation without a client id is about."""
        known = self._nameless.get(owner, {})
        for venue_id, placed in known.items():
            was = (placed.filled, placed.updated_ns)
            if not placed.status.is_open and was == (end.executed, end.at_ns):
                return known.pop(venue_id)
        return None

    def _coin_id(self, asset: str) -> str:
        if asset not in self._coins:
            known = (row.coin_id for row in self._world.rows() if row.symbol.base == asset)
            self._coins[asset] = next(known, "")
        return self._coins[asset]


# -- what happened, step by step ---------------------------------------------------------------------


def _steps(matcher: Matcher, owner: str, found: Sequence[_Found]) -> list[Step]:
    """Each happening with its order as it was then: taken back by the whole batch, and forward again."""
    reach: dict[str, tuple[Decimal, Decimal]] = {}  # by venue id: filled and its value, as told so far
    for _, placed, trade in found:
        filled, value = reach.get(placed.venue_id, (placed.filled, placed.filled_value))
        if trade is not None:
            filled, value = _subtract(filled, trade.fill.quantity), _subtract(value, trade.fill.value)
        reach[placed.venue_id] = filled, value
    held: dict[str, Decimal] = {}  # what orders in quote still hold
    steps: list[Step] = []
    for happening, placed, trade in found:
        filled, value = reach[placed.venue_id]
        if trade is not None:
            filled, value = _add(filled, trade.fill.quantity), _add(value, trade.fill.value)
            reach[placed.venue_id] = filled, value
        status = _status(happening, placed, filled)
        step = Step(placed, happening.at_ns, status, filled, value, trade)
        step.moves = _moves(matcher.accounts.fee_asset, step, held, isinstance(happening, Accepted))
        steps.append(step)
    return steps


def _status(happening: _Told, placed: Placed, filled: Decimal) -> Status:
    if isinstance(happening, Accepted):
        return Status.NEW
    if isinstance(happening, Cancelled):
        return Status.PARTIALLY_CANCELED if filled else Status.CANCELED
    whole = filled == placed.quantity
    if placed.quantity is None:  # in quote: whole is when it ended so
        whole = placed.status is Status.FILLED and filled == placed.filled
    return Status.FILLED if whole else Status.PARTIALLY_FILLED


def _moves(fee_asset: FeeAsset, step: Step, held: dict[str, Decimal], is_new: bool) -> list[Move]:
    placed = step.placed
    asset, unit = placed.hold.asset, placed.hold.unit
    if is_new:
        locked = _locked_at_first(placed, fee_asset)
        held[placed.venue_id] = locked
        return [Move(asset, -locked, locked, PLACED)]
    moves: list[Move] = []
    if step.trade is not None:
        moves, spent = _moves_of_trade(placed, step.trade.fill)
        if unit is None:
            held[placed.venue_id] = _subtract(held[placed.venue_id], spent)
    if step.status.is_open or (step.status is Status.FILLED and unit is not None):
        return moves
    # the end: what it still held is free again
    rest = held[placed.venue_id] if unit is None else _multiply(unit, _subtract(_whole(placed), step.filled))
    if rest:
        moves.append(Move(asset, rest, -rest, UNFROZEN if step.status is Status.FILLED else CANCELED))
    return moves


def _locked_at_first(placed: Placed, fee_asset: FeeAsset) -> Decimal:
    if placed.hold.unit is not None:
        return _multiply(placed.hold.unit, _whole(placed))
    market = placed.hold.market
    rate = max(market.maker_fee, market.taker_fee) if fee_asset is FeeAsset.QUOTE else ZERO
    return _multiply(placed.request.quote_quantity or ZERO, _add(Decimal(1), rate))


def _moves_of_trade(placed: Placed, fill: Fill) -> tuple[list[Move], Decimal]:
    """What one trade moves, and what it took of the hold."""
    symbol, unit, value = placed.symbol, placed.hold.unit, _multiply(fill.price, fill.quantity)
    fee_of_hold = fill.fee if fill.fee_asset == symbol.quote else ZERO
    if fill.side is Side.SELL:
        taken = fill.quantity
        moves = [Move(symbol.base, ZERO, -taken, TRADED), Move(symbol.quote, value, ZERO, TRADED)]
    else:
        taken = _add(value, fee_of_hold) if unit is None else _multiply(unit, fill.quantity)
        back = _subtract(taken, value)
        moves = [Move(symbol.quote, back, -taken, TRADED), Move(symbol.base, fill.quantity, ZERO, TRADED)]
    if fill.fee:
        moves.append(Move(fill.fee_asset, -fill.fee, ZERO, FEE))
    return moves, taken


def _balances_before(
    matcher: Matcher, owner: str, steps: Sequence[Step]
) -> dict[str, tuple[Decimal, Decimal]]:
    balances: dict[str, tuple[Decimal, Decimal]] = {}
    for step in steps:
        for move in step.moves:
            if move.asset not in balances:
                now = matcher.accounts.balance(owner, move.asset)
                balances[move.asset] = now.free, now.locked
            free, locked = balances[move.asset]
            balances[move.asset] = _subtract(free, move.free), _subtract(locked, move.locked)
    return balances


def _whole(placed: Placed) -> Decimal:
    return placed.quantity or ZERO


# -- how it is said ----------------------------------------------------------------------------------


def _account(move: Move, now: tuple[Decimal, Decimal], coin_id: str, at_ns: int, now_ns: int) -> Any:
    at_ms = at_ns // MILLISECOND
    wrapper = proto.PushData(channel=ACCOUNT, createTime=at_ms, sendTime=now_ns // MILLISECOND)
    body = wrapper.privateAccount
    body.vcoinName, body.coinId, body.type, body.time = move.asset, coin_id, move.why, at_ms
    body.balanceAmount, body.frozenAmount = plain(now[0]), plain(now[1])
    body.balanceAmountChange, body.frozenAmountChange = plain(move.free), plain(move.locked)
    return wrapper


def _wrapper(channel: str, step: Step, now_ns: int) -> Any:
    return proto.PushData(channel=channel, symbol=str(step.placed.symbol), sendTime=now_ns // MILLISECOND)


def _deal(step: Step, trade: OwnTrade, now_ns: int) -> Any:
    fill = trade.fill
    wrapper = _wrapper(DEALS, step, now_ns)
    body = wrapper.privateDeals
    body.price, body.quantity = plain(fill.price), plain(fill.quantity)
    body.amount = plain(_multiply(fill.price, fill.quantity))
    body.tradeType = proto.TRADE_TYPES[fill.side]
    body.isMaker, body.isSelfTrade = fill.is_maker, trade.is_self_trade
    body.tradeId, body.clientOrderId, body.orderId = fill.trade_id, fill.client_id, trade.venue_id
    body.feeAmount, body.feeCurrency = plain(fill.fee), fill.fee_asset
    body.time = fill.at_ns // MILLISECOND
    return wrapper


def _order(step: Step, now_ns: int) -> Any:
    placed, request = step.placed, step.placed.request
    wrapper = _wrapper(ORDERS, step, now_ns)
    body = wrapper.privateOrders
    body.id, body.clientId, body.price = placed.venue_id, placed.client_id, plain(placed.price)
    is_market = request.type is OrderType.MARKET
    if placed.quantity is None:  # in quote: what its money buys at its bound, as the REST answers have it
        amount = request.quote_quantity or ZERO
        quantity, rest = placed.hold.market.whole_lots(amount / placed.price), amount - step.filled_value
    else:  # a recorded MARKET order by quantity has the amount 0 and what its bound leaves of the value
        quantity, value = placed.quantity, _multiply(placed.price, placed.quantity)
        amount, rest = (ZERO if is_market else value), _subtract(value, step.filled_value)
    body.quantity, body.amount = plain(quantity), plain(amount)
    body.avgPrice = plain(_AVERAGE.divide(step.filled_value, step.filled) if step.filled else ZERO)
    body.orderType, body.tradeType = proto.ORDER_TYPES[request.type], proto.TRADE_TYPES[request.side]
    left = ZERO if step.status is Status.FILLED else _subtract(quantity, step.filled)
    body.remainAmount, body.remainQuantity = plain(max(rest, ZERO)), plain(max(left, ZERO))
    if step.trade is not None:
        body.isMaker, body.lastDealQuantity = step.trade.fill.is_maker, plain(step.trade.fill.quantity)
    body.cumulativeQuantity, body.cumulativeAmount = plain(step.filled), plain(step.filled_value)
    body.status, body.createTime = proto.ORDER_STATUSES[step.status], placed.created_ns // MILLISECOND
    return wrapper
