"""The signed side of the second dialect: orders, trades and balances in Binance US's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain.clock import HOUR, MILLISECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderType
from mexclab.venues.accounts import EXACT, ZERO
from mexclab.venues.matcher import OwnTrade, Placed
from mexclab.venues.orders import BAD_PARAMETER, UNKNOWN_ORDER, NewOrder, Status
from mexclab.venues.simulator.asking import list_reply, text_json
from mexclab.venues.simulator.dialect_binanceus_words import (
    BASE,
    INVALID_SYMBOL,
    NO_PERMISSION,
    missing,
    order_number,
    padded,
    refuse,
    refused,
    reworded,
    trade_number,
    whole,
)
from mexclab.venues.simulator.http import Call, Gate, Reply, Route
from mexclab.venues.simulator.world import Account

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import Routes, SimulatorServer

TRADES_LIMIT, ORDERS_LIMIT, MOST = 500, 500, 1_000
LONGEST_NS = 24 * HOUR  # between startTime and endTime
NO_SUCH_ORDER = refuse(-2013, "Order does not exist.")
TOO_LONG = refuse(-1127, "More than 24 hours between startTime and endTime.")

_SIDES = {str(side): side for side in Side}
_IN_FORCE = {
    "GTC": OrderType.LIMIT,
    "IOC": OrderType.IMMEDIATE_OR_CANCEL,
    "FOK": OrderType.FILL_OR_KILL,
}
# theirs, by our type: type and time in force
_KINDS = {kind: ("LIMIT", force) for force, kind in _IN_FORCE.items()} | {
    OrderType.MARKET: ("MARKET", "GTC"),
    OrderType.LIMIT_MAKER: ("LIMIT_MAKER", "GTC"),
}
_is_number = re.compile(r"[0-9]{1,40}(?:\.[0-9]{0,40})?").fullmatch

Told = dict[str, object]


def routes(server: SimulatorServer, gate: Gate) -> Routes:
    """Every signed route, with the gate that lets calls in."""
    calls = _OrderCalls(server)

    def signed(handle: Callable[[Call], Reply], weight: int = 1, pool: str = "ip") -> Route:
        return Route(handle, True, weight, pool, gate, reworded)

    return {
        ("POST", f"{BASE}/order"): signed(calls.new_order, pool="orders"),
        ("DELETE", f"{BASE}/order"): signed(calls.cancel, pool="orders"),
        ("DELETE", f"{BASE}/openOrders"): signed(calls.cancel_open, pool="orders"),
        ("GET", f"{BASE}/order"): signed(calls.order, 2),
        ("GET", f"{BASE}/openOrders"): signed(calls.open_orders, 3),
        ("GET", f"{BASE}/allOrders"): signed(calls.all_orders, 10),
        ("GET", f"{BASE}/myTrades"): signed(calls.my_trades, 10),
        ("GET", f"{BASE}/account"): signed(calls.account, 10, "account"),
    }


class _OrderCalls:
    def __init__(self, server: SimulatorServer) -> None:
        self._world = server.world

    # -- placing and cancelling ------------------------------------------------------------------

    def new_order(self, call: Call) -> Reply:
        account, world = _caller(call), self._world
        if not account.can_trade:
            return refuse(*NO_PERMISSION, 401)
        row = world.row(call.params.get("symbol", ""))
        if row is None:
            return INVALID_SYMBOL
        wanted = _read(call.params, account.owner)
        if isinstance(wanted, Reply):
            return wanted
        news = world.place(account.owner, row.symbol, wanted)
        placed = news.order
        if placed is None:
            return refused(news.refusal or BAD_PARAMETER)
        told = self._told(placed)
        told["transactTime"] = placed.created_ns // MILLISECOND
        style = call.params.get("newOrderRespType", "FULL")
        if style == "ACK":
            kept = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
            told = {name: told[name] for name in kept}
        elif style == "FULL":
            told["fills"] = [_leg(trade) for trade in self._trades_of(placed)]
        return _json(told)

    def cancel(self, call: Call) -> Reply:
        found = self._find(call)
        if isinstance(found, Reply):
            return found
        if found is None:
            return refused(UNKNOWN_ORDER)
        news = self._world.cancel(found.owner, found.client_id or found.venue_id)
        if news.refusal is not None or news.order is None:
            return refused(news.refusal or UNKNOWN_ORDER)
        return _json(self._cancelled(news.order, call.params.get("newClientOrderId")))

    def cancel_open(self, call: Call) -> Reply:
        row = self._world.row(call.params.get("symbol", ""))
        if row is None:
            return INVALID_SYMBOL
        news = self._world.cancel_all(_caller(call).owner, row.symbol)
        ended = [each.order for each in news if each.order is not None]
        if not ended:
            return refused(UNKNOWN_ORDER)
        return list_reply(text_json(self._cancelled(placed, None)) for placed in ended)

    # -- questions -------------------------------------------------------------------------------

    def order(self, call: Call) -> Reply:
        found = self._find(call)
        if isinstance(found, Reply):
            return found
        return NO_SUCH_ORDER if found is None else _json(self._told(found))

    def open_orders(self, call: Call) -> Reply:
        return self._orders(call, lambda placed: placed.status.is_open, needs_symbol=False)

    def all_orders(self, call: Call) -> Reply:
        first = whole(call, "orderId") or 0
        start, end = whole(call, "startTime"), whole(call, "endTime")
        if start is not None and end is not None and (end - start) * MILLISECOND > LONGEST_NS:
            return TOO_LONG

        def fits(placed: Placed) -> bool:
            at_ms = placed.created_ns // MILLISECOND
            in_time = (start or 0) <= at_ms and (end is None or at_ms <= end)
            return in_time and order_number(placed.venue_id) >= first

        return self._orders(call, fits, needs_symbol=True)

    def my_trades(self, call: Call) -> Reply:
        """Oldest first: from ``startTime`` or ``fromId`` on, or the last ones."""
        row = self._world.row(call.params.get("symbol", ""))
        if row is None:
            return INVALID_SYMBOL
        start, end = whole(call, "startTime"), whole(call, "endTime")
        order_id, first = whole(call, "orderId"), whole(call, "fromId")
        if start is not None and end is not None and (end - start) * MILLISECOND > LONGEST_NS:
            return TOO_LONG
        found = [
            trade
            for trade in self._world.matcher.own_trades(_caller(call).owner, (start or 0) * MILLISECOND)
            if trade.fill.symbol == row.symbol
            and (end is None or trade.fill.at_ns // MILLISECOND <= end)
            and order_id in (None, order_number(trade.venue_id))
            and trade_number(trade.fill.trade_id) >= (first or 0)
        ]
        limit = min(whole(call, "limit") or TRADES_LIMIT, MOST)
        kept = found[-limit:] if start is None and first is None else found[:limit]
        return list_reply(text_json(_trade(trade)) for trade in kept)

    def account(self, call: Call) -> Reply:
        account, terms = _caller(call), self._world.terms
        maker, taker = (int(fee * 10_000) for fee in (terms.maker_fee, terms.taker_fee))
        balances = [
            {"asset": asset, "free": padded(balance.free), "locked": padded(balance.locked)}
            for asset, balance in self._world.matcher.balances(account.owner).items()
        ]
        rates = {"maker": padded(terms.maker_fee), "taker": padded(terms.taker_fee)}
        none = padded(ZERO)
        return _json(
            {
                "makerCommission": maker,
                "takerCommission": taker,
                "buyerCommission": 0,
                "sellerCommission": 0,
                "commissionRates": {**rates, "buyer": none, "seller": none},
                "canTrade": account.can_trade,
                "canWithdraw": False,
                "canDeposit": True,
                "updateTime": self._world.now_ns // MILLISECOND,
                "accountType": "SPOT",
                "balances": balances,
                "permissions": ["SPOT"],
            }
        )

    # -- inside ----------------------------------------------------------------------------------

    def _find(self, call: Call) -> Placed | Reply | None:
        """The caller's order that a call names."""
        row = self._world.row(call.params.get("symbol", ""))
        if row is None:
            return INVALID_SYMBOL
        number, client_id = whole(call, "orderId"), call.params.get("origClientOrderId")
        if number is None and not client_id:
            return refuse(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        known = self._world.matcher.placed(_caller(call).owner)
        return next(
            (
                placed
                for placed in reversed(known)
                if placed.symbol == row.symbol
                and number in (None, order_number(placed.venue_id))
                and client_id in (None, "", _client_id(placed))
            ),
            None,
        )

    def _orders(self, call: Call, fits: Callable[[Placed], bool], needs_symbol: bool) -> Reply:
        name = call.params.get("symbol")
        row = self._world.row(name) if name else None
        if row is None and (name or needs_symbol):
            return INVALID_SYMBOL
        found = [
            placed
            for placed in self._world.matcher.placed(_caller(call).owner)
            if (row is None or placed.symbol == row.symbol) and fits(placed)
        ]
        limit = min(whole(call, "limit") or ORDERS_LIMIT, MOST)
        return list_reply(text_json(self._told(placed)) for placed in found[-limit:])

    def _trades_of(self, placed: Placed) -> Sequence[OwnTrade]:
        known = self._world.matcher.own_trades(placed.owner, placed.created_ns)
        return [trade for trade in known if trade.venue_id == placed.venue_id]

    def _told(self, placed: Placed) -> Told:
        """As GET order shows it; a market order has no price of its own."""
        request = placed.request
        kind, force = _KINDS[request.type]
        price = ZERO if request.type is OrderType.MARKET else placed.price
        quantity = placed.filled if request.quantity is None else request.quantity
        return {
            "symbol": str(placed.symbol),
            "orderId": order_number(placed.venue_id),
            "orderListId": -1,
            "clientOrderId": _client_id(placed),
            "price": padded(price),
            "origQty": padded(quantity),
            "executedQty": padded(placed.filled),
            "cummulativeQuoteQty": padded(placed.filled_value),
            "status": _status(placed),
            "timeInForce": force,
            "type": kind,
            "side": str(request.side),
            "stopPrice": padded(ZERO),
            "icebergQty": padded(ZERO),
            "time": placed.created_ns // MILLISECOND,
            "updateTime": placed.updated_ns // MILLISECOND,
            "isWorking": True,
            "workingTime": placed.created_ns // MILLISECOND,
            "origQuoteOrderQty": padded(request.quote_quantity or ZERO),
            "selfTradePreventionMode": "NONE",
        }

    def _cancelled(self, placed: Placed, name: str | None) -> Told:
        """As the answers to cancellations show it: ``clientOrderId`` is the cancellation's own."""
        told = self._told(placed)
        told["origClientOrderId"] = _client_id(placed)
        told["clientOrderId"] = name or f"cancel{order_number(placed.venue_id)}"
        told["transactTime"] = placed.updated_ns // MILLISECOND
        return told


def _caller(call: Call) -> Account:
    assert call.account is not None
    return call.account


def _json(told: Told) -> Reply:
    return Reply(200, text_json(told).encode())


def _client_id(placed: Placed) -> str:
    """The venue makes one up for an order that came without."""
    return placed.client_id or f"web{order_number(placed.venue_id)}"


def _status(placed: Placed) -> str:
    """What ended by its own type has expired; there is no word for partly cancelled."""
    if placed.status not in (Status.CANCELED, Status.PARTIALLY_CANCELED):
        return str(placed.status)
    rests = placed.request.type in (OrderType.LIMIT, OrderType.LIMIT_MAKER)
    return "CANCELED" if rests else "EXPIRED"


def _read(params: Mapping[str, str], owner: str) -> NewOrder | Reply:
    """The order that the parameters describe, or why they describe none."""
    side, name = _SIDES.get(params.get("side", "")), params.get("type", "")
    if side is None:
        return refuse(-1117, "Invalid side.")
    quantity, price, spend = (params.get(each) for each in ("quantity", "price", "quoteOrderQty"))
    for label, text in (("quantity", quantity), ("price", price), ("quoteOrderQty", spend)):
        if text and not _is_number(text):
            return refuse(-1100, f"Illegal characters found in parameter '{label}'.")
    amount, limit, money = (Decimal(text) if text else None for text in (quantity, price, spend))
    client_id = params.get("newClientOrderId", "")
    if name == "MARKET":
        if (amount is None) == (money is None):
            return missing("quantity")
        return NewOrder("", owner, side, OrderType.MARKET, amount, None, money, client_id)
    force = params.get("timeInForce", "")
    kind = OrderType.LIMIT_MAKER if name == "LIMIT_MAKER" else _IN_FORCE.get(force)
    if name not in ("LIMIT", "LIMIT_MAKER"):
        return refuse(-1116, "Invalid orderType.")
    if kind is None:
        return refuse(-1115, "Invalid timeInForce.") if force else missing("timeInForce")
    if amount is None or limit is None:
        return missing("quantity" if amount is None else "price")
    return NewOrder("", owner, side, kind, amount, limit, None, client_id)


def _leg(trade: OwnTrade) -> Told:
    """A trade as the full answer to an order shows it."""
    fill = trade.fill
    return {
        "price": padded(fill.price),
        "qty": padded(fill.quantity),
        "commission": padded(fill.fee),
        "commissionAsset": fill.fee_asset,
        "tradeId": trade_number(fill.trade_id),
    }


def _trade(trade: OwnTrade) -> Told:
    """A trade as myTrades shows it: whose order it was is told by the venue's number alone."""
    fill = trade.fill
    return {
        "symbol": str(fill.symbol),
        "id": trade_number(fill.trade_id),
        "orderId": order_number(trade.venue_id),
        "orderListId": -1,
        "price": padded(fill.price),
        "qty": padded(fill.quantity),
        "quoteQty": padded(EXACT.multiply(fill.price, fill.quantity)),
        "commission": padded(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at_ns // MILLISECOND,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }
