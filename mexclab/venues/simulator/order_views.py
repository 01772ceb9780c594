"""Orders and trades as MEXC shows them to their owner: exact fields, exact order, exact types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.venues.accounts import EXACT, ZERO
from mexclab.venues.matcher import NO_SUCH_SYMBOL, OwnTrade, Placed
from mexclab.venues.orders import BAD_PARAMETER, Refusal
from mexclab.venues.simulator.gatekeeper import missing
from mexclab.venues.simulator.http import Call, Reply, Route, error, plain
from mexclab.venues.simulator.world import World

ORDERS_LIMIT, ORDERS_MOST = 500, 1_000
TRADES_LIMIT = TRADES_MOST = 100
ORDERS_SPAN_NS, ORDERS_LONGEST_NS, TRADES_LONGEST_NS = DAY, 7 * DAY, 30 * DAY

INCOMPLETE = Refusal(-1128, "Combination of optional parameters invalid.")
NO_SUCH_ORDER = Refusal(-2013, "Order does not exist.")
WHICH_ORDER = error(
    400, 700004, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
)

_T = TypeVar("_T")


def refused(refusal: Refusal) -> Reply:
    """What the order engine refuses, in its own order of fields."""
    words = json.dumps(refusal.words)
    return Reply(400, f'{{"msg":{words},"code":{refusal.code},"_extend":null}}'.encode())


def listed(rows: Sequence[str]) -> Reply:
    return Reply(200, f"[{','.join(rows)}]".encode())


class OrderViews:
    """What a key may ask about its orders and trades; lists come newest first.

    Args:
        world: whose orders they are.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.stp: dict[str, str] = {}  # by venue id, of orders that gave a mode
        self._quoted: dict[str, str] = {}

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/api/v3/order"): Route(self.order, signed=True, weight=2),
            ("GET", "/api/v3/openOrders"): Route(self.open_orders, signed=True, weight=3),
            ("GET", "/api/v3/allOrders"): Route(self.all_orders, signed=True, weight=10),
            ("GET", "/api/v3/myTrades"): Route(self.my_trades, signed=True, weight=10),
        }

    # -- as text ---------------------------------------------------------------------------------

    def name(self, symbol: Symbol) -> str:
        """The symbol as JSON."""
        text = symbol.base + symbol.quote
        quoted = self._quoted.get(text)
        if quoted is None:
            quoted = self._quoted[text] = json.dumps(text, ensure_ascii=False)
        return quoted

    def quantity(self, placed: Placed) -> Decimal:
        """The quantity; of an order in quote what its money buys at its bound, or what it has bought."""
        request = placed.request
        if request.quantity is not None:
            return request.quantity
        market = self._world.matcher.books[placed.symbol].market
        return max(market.whole_lots((request.quote_quantity or ZERO) / placed.price), placed.filled)

    def order_text(self, placed: Placed) -> str:
        """As GET order and the lists show it; what live answers leave null is null."""
        request = placed.request
        quantity = self.quantity(placed)
        money = request.quote_quantity
        if money is None:
            money = EXACT.multiply(quantity, placed.price)
        client_id = f'"{request.client_id}"' if request.client_id else "null"
        stp = self.stp.get(placed.venue_id, "")
        return (
            f'{{"symbol":{self.name(placed.symbol)},"orderId":"{placed.venue_id}","orderListId":-1,'
            f'"clientOrderId":{client_id},"price":"{plain(placed.price)}","origQty":"{plain(quantity)}",'
            f'"executedQty":"{plain(placed.filled)}","cummulativeQuoteQty":"{plain(placed.filled_value)}",'
            f'"status":"{placed.status}","timeInForce":null,"type":"{request.type}",'
            f'"side":"{request.side}","stopPrice":null,"icebergQty":null,'
            f'"time":{placed.created_ns // MILLISECOND},"updateTime":{placed.updated_ns // MILLISECOND},'
            f'"stpMode":"{stp}","cancelReason":null,"isWorking":true,"origQuoteOrderQty":"{plain(money)}"}}'
        )

    def cancelled_text(self, placed: Placed, with_list_id: bool = False) -> str:
        """As the answers to cancellations show it."""
        request = placed.request
        client_id = f'"{request.client_id}"' if request.client_id else "null"
        list_id = '"orderListId":-1,' if with_list_id else ""
        return (
            f'{{"symbol":{self.name(placed.symbol)},"origClientOrderId":{client_id},'
            f'"orderId":"{placed.venue_id}",{list_id}"clientOrderId":{client_id},'
            f'"price":"{plain(placed.price)}","origQty":"{plain(self.quantity(placed))}",'
            f'"executedQty":"{plain(placed.filled)}","cummulativeQuoteQty":"{plain(placed.filled_value)}",'
            f'"status":"{placed.status}","timeInForce":null,"type":"{request.type}",'
            f'"side":"{request.side}"}}'
        )

    def trade_text(self, trade: OwnTrade) -> str:
        fill = trade.fill
        client_id = f'"{fill.client_id}"' if fill.client_id else "null"
        value = EXACT.multiply(fill.price, fill.quantity)
        return (
            f'{{"symbol":{self.name(fill.symbol)},"id":"{fill.trade_id}","orderId":"{trade.venue_id}",'
            f'"orderListId":-1,"price":"{plain(fill.price)}","qty":"{plain(fill.quantity)}",'
            f'"quoteQty":"{plain(value)}","commission":"{plain(fill.fee)}",'
            f'"commissionAsset":{json.dumps(fill.fee_asset, ensure_ascii=False)},'
            f'"time":{fill.at_ns // MILLISECOND},"isBuyer":{_bool(fill.side is Side.BUY)},'
            f'"isMaker":{_bool(fill.is_maker)},"isBestMatch":true,'
            f'"isSelfTrade":{_bool(trade.is_self_trade)},"clientOrderId":{client_id}}}'
        )

    # -- finding ---------------------------------------------------------------------------------

    def find(self, call: Call) -> Placed | Reply | None:
        """The caller's order that a call names by ``orderId`` or ``origClientOrderId``."""
        account, params = call.account, call.params
        assert account is not None
        symbol = params.get("symbol")
        if not symbol:
            return missing("symbol")
        venue_id, client_id = params.get("orderId"), params.get("origClientOrderId")
        if not venue_id and not client_id:
            return WHICH_ORDER
        matcher = self._world.matcher
        found = matcher.find(account.owner, venue_id or client_id or "")
        if found is None:
            return None
        if venue_id and found.venue_id != venue_id:  # a client id that looks like another order's venue id
            named = (placed for placed in matcher.placed(account.owner) if placed.venue_id == venue_id)
            found = next(named, None)
        elif not venue_id and found.client_id != client_id:
            found = None
        return found if found is not None and str(found.symbol) == symbol else None

    def _symbol(self, call: Call) -> Symbol | Reply:
        name = call.params.get("symbol")
        if not name:
            return missing("symbol")
        row = self._world.row(name)
        return refused(NO_SUCH_SYMBOL) if row is None else row.symbol

    # -- questions -------------------------------------------------------------------------------

    def order(self, call: Call) -> Reply:
        found = self.find(call)
        if isinstance(found, Reply):
            return found
        return refused(NO_SUCH_ORDER) if found is None else Reply(200, self.order_text(found).encode())

    def open_orders(self, call: Call) -> Reply:
        account = call.account
        assert account is not None
        symbol = self._symbol(call) if call.params.get("symbol") else None
        if isinstance(symbol, Reply):
            return symbol
        matcher, rows = self._world.matcher, []
        for told in reversed(matcher.open_orders(account.owner)):
            placed = matcher.find(account.owner, told.client_id or told.venue_id)
            if placed is not None and symbol in (None, placed.symbol):
                rows.append(self.order_text(placed))
        return listed(rows)

    def all_orders(self, call: Call) -> Reply:
        account, symbol = call.account, self._symbol(call)
        assert account is not None
        if isinstance(symbol, Reply):
            return symbol
        limit = _whole(call.params, "limit", ORDERS_LIMIT)
        span = self._span(call.params, ORDERS_SPAN_NS)
        if limit is None or span is None:
            return refused(BAD_PARAMETER)
        start, end = span
        if end - start > ORDERS_LONGEST_NS:
            return refused(INCOMPLETE)
        found = [
            placed
            for placed in self._world.matcher.placed(account.owner)
            if placed.symbol == symbol and start <= placed.created_ns <= end
        ]
        return listed([self.order_text(placed) for placed in _latest(found, min(limit, ORDERS_MOST))])

    def my_trades(self, call: Call) -> Reply:
        account, symbol = call.account, self._symbol(call)
        assert account is not None
        if isinstance(symbol, Reply):
            return symbol
        limit = _whole(call.params, "limit", TRADES_LIMIT)
        span = self._span(call.params, TRADES_LONGEST_NS)
        if limit is None or span is None:
            return refused(BAD_PARAMETER)
        start, end = max(span[0], self._world.now_ns - TRADES_LONGEST_NS), span[1]
        venue_id = call.params.get("orderId")
        found = [
            trade
            for trade in self._world.matcher.own_trades(account.owner, start)
            if trade.fill.symbol == symbol
            and trade.fill.at_ns <= end
            and venue_id in (None, "", trade.venue_id)
        ]
        return listed([self.trade_text(trade) for trade in _latest(found, min(limit, TRADES_MOST))])

    def _span(self, params: Mapping[str, str], usual_ns: int) -> tuple[int, int] | None:
        """From when to when, both included; None for what is no time."""
        since, until = _whole(params, "startTime", -1), _whole(params, "endTime", -1)
        if since is None or until is None:
            return None
        now = self._world.now_ns
        end = now if until < 0 else (until + 1) * MILLISECOND - 1
        return (min(end, now) - usual_ns if since < 0 else since * MILLISECOND), end


def _whole(params: Mapping[str, str], name: str, usual: int) -> int | None:
    """A whole number that is not negative; the usual one where none is given."""
    text = params.get(name)
    if not text:
        return usual
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def _latest(rows: Sequence[_T], count: int) -> list[_T]:
    return list(reversed(rows[-count:])) if count else []


def _bool(value: bool) -> str:
    return "true" if value else "false"
