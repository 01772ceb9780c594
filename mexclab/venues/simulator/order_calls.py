"""The signed endpoints that place and cancel orders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.matcher import NO_SUCH_SYMBOL, News
from mexclab.venues.orders import BAD_PARAMETER, UNKNOWN_ORDER, NewOrder, Refusal
from mexclab.venues.simulator.gatekeeper import NO_PERMISSION, missing
from mexclab.venues.simulator.http import Call, Reply, Route, plain
from mexclab.venues.simulator.order_views import INCOMPLETE, OrderViews, listed, refused
from mexclab.venues.simulator.world import World

LARGEST_BATCH = 20
SYMBOLS_OF_A_SWEEP = 5  # symbols that one DELETE openOrders may name

INVALID_TYPE = Refusal(500, "invalid type")

_SIDES = {str(side): side for side in Side}
_TYPES = {str(kind): kind for kind in OrderType} | {"LIMIT_ORDER": OrderType.LIMIT}  # as the batch's docs say
_STP = frozenset({"", "cancel_maker", "cancel_taker", "cancel_both"})
_is_number = re.compile(r"[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}").fullmatch


class Wanted(NamedTuple):
    """An order as a call asks for it; ``stp`` is noted and shown, nothing more."""

    symbol: Symbol
    request: NewOrder
    stp: str


class OrderCalls:
    """Everything that a key may do to orders.

    Args:
        world: where the orders go.
        views: how they are shown.
    """

    def __init__(self, world: World, views: OrderViews) -> None:
        self._world = world
        self._views = views

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/api/v3/order"): Route(self.new_order, signed=True, pool="orders"),
            ("POST", "/api/v3/order/test"): Route(self.test_order, signed=True),
            ("POST", "/api/v3/batchOrders"): Route(self.batch, signed=True, pool="batch"),
            ("DELETE", "/api/v3/order"): Route(self.cancel, signed=True, pool="orders"),
            ("DELETE", "/api/v3/openOrders"): Route(self.cancel_open, signed=True, pool="orders"),
            ("DELETE", "/api/v3/order/all"): Route(self.cancel_all, signed=True, pool="orders"),
        }

    # -- placing ---------------------------------------------------------------------------------

    def new_order(self, call: Call) -> Reply:
        account = call.account
        assert account is not None
        if not account.can_trade:
            return NO_PERMISSION
        wanted = self._read(call.params, account.owner)
        if not isinstance(wanted, Wanted):
            return wanted if isinstance(wanted, Reply) else refused(wanted)
        news = self._place(wanted, account.owner)
        placed = news.order
        if placed is None:
            return refused(news.refusal or BAD_PARAMETER)
        views, request = self._views, placed.request
        body = (
            f'{{"symbol":{views.name(placed.symbol)},"orderId":"{placed.venue_id}","orderListId":-1,'
            f'"price":"{plain(placed.price)}","origQty":"{plain(views.quantity(placed))}",'
            f'"type":"{request.type}","side":"{request.side}","stpMode":"{wanted.stp}",'
            f'"transactTime":{placed.created_ns // MILLISECOND}}}'
        )
        return Reply(200, body.encode())

    def test_order(self, call: Call) -> Reply:
        """Judged like an order, then forgotten; whether the account could pay is not looked at."""
        account = call.account
        assert account is not None
        wanted = self._read(call.params, account.owner)
        if isinstance(wanted, Wanted):
            book = self._world.book(wanted.symbol)
            terms = NO_SUCH_SYMBOL if book is None else book.review(wanted.request)
            return refused(terms) if isinstance(terms, Refusal) else Reply(200, b"{}")
        return wanted if isinstance(wanted, Reply) else refused(wanted)

    def batch(self, call: Call) -> Reply:
        account = call.account
        assert account is not None
        if not account.can_trade:
            return NO_PERMISSION
        text = call.params.get("batchOrders")
        if not text:
            return missing("batchOrders")
        items = _batch_items(text)
        if items is None:
            return refused(BAD_PARAMETER)
        return listed([self._batch_row(item, account.owner) for item in items])

    def _batch_row(self, item: Mapping[str, str], owner: str) -> str:
        named = item.get("newClientOrderId", "")
        known = f'"newClientOrderId":{json.dumps(named)},' if named else ""
        wanted = self._read(item, owner)
        if isinstance(wanted, Reply):
            return f"{{{known}{wanted.body.decode()[1:-1]}}}"
        if isinstance(wanted, Wanted):
            news = self._place(wanted, owner)
            if (placed := news.order) is not None:
                name = self._views.name(placed.symbol)
                return f'{{"symbol":{name},"orderId":"{placed.venue_id}",{known}"orderListId":-1}}'
            wanted = news.refusal or BAD_PARAMETER
        return f'{{{known}"msg":{json.dumps(wanted.words)},"code":{wanted.code}}}'

    def _place(self, wanted: Wanted, owner: str) -> News:
        news = self._world.place(owner, wanted.symbol, wanted.request)
        if wanted.stp and news.order is not None:
            self._views.stp[news.order.venue_id] = wanted.stp
        return news

    def _read(self, params: Mapping[str, str], owner: str) -> Wanted | Refusal | Reply:
        """The order that the parameters describe, or why they describe none."""
        get = params.get
        name, side_name, type_name = get("symbol"), get("side"), get("type")
        if not (name and side_name and type_name):
            return missing("symbol" if not name else "side" if not side_name else "type")
        row = self._world.row(name)
        if row is None:
            return NO_SUCH_SYMBOL
        side, kind = _SIDES.get(side_name), _TYPES.get(type_name)
        if kind is None:
            return INVALID_TYPE
        quantity, price, spend = get("quantity"), get("price"), get("quoteOrderQty")
        stp, client_id = get("stpMode", ""), get("newClientOrderId", "")
        if side is None or stp not in _STP:
            return BAD_PARAMETER
        for text in (quantity, price, spend):
            if text and not _is_number(text):
                return BAD_PARAMETER
        if kind is OrderType.MARKET:
            if not quantity and not spend:
                return INCOMPLETE
            # a price beside it is what its sender reckons with, no limit: the venue sets the bound
            in_quote = bool(spend) and (side is Side.BUY or not quantity)
            amount = None if in_quote else Decimal(quantity or "")
            money = Decimal(spend or "") if in_quote else None
            return Wanted(row.symbol, NewOrder("", owner, side, kind, amount, None, money, client_id), stp)
        if not (quantity and price):
            return INCOMPLETE
        request = NewOrder("", owner, side, kind, Decimal(quantity), Decimal(price), None, client_id)
        return Wanted(row.symbol, request, stp)

    # -- cancelling ------------------------------------------------------------------------------

    def cancel(self, call: Call) -> Reply:
        found = self._views.find(call)
        if isinstance(found, Reply):
            return found
        if found is None:
            return refused(UNKNOWN_ORDER)
        news = self._world.cancel(found.owner, found.client_id or found.venue_id)
        if news.refusal is not None or news.order is None:
            return refused(news.refusal or UNKNOWN_ORDER)
        return Reply(200, self._views.cancelled_text(news.order).encode())

    def cancel_open(self, call: Call) -> Reply:
        account = call.account
        assert account is not None
        names = call.params.get("symbol")
        if not names:
            return missing("symbol")
        rows = [self._world.row(name) for name in names.split(",")]
        symbols = [row.symbol for row in rows if row is not None]
        if len(symbols) < len(rows):
            return refused(NO_SUCH_SYMBOL)
        if len(symbols) > SYMBOLS_OF_A_SWEEP:
            return refused(BAD_PARAMETER)
        cancelled = [news for symbol in symbols for news in self._world.cancel_all(account.owner, symbol)]
        return listed(
            [self._views.cancelled_text(news.order, True) for news in cancelled if news.order is not None]
        )

    def cancel_all(self, call: Call) -> Reply:
        account = call.account
        assert account is not None
        self._world.cancel_all(account.owner)
        now = self._world.now_ns // MILLISECOND
        return Reply(200, b'{"code":200,"msg":"success","timestamp":%d}' % now)


def _batch_items(text: str) -> list[dict[str, str]] | None:
    """The orders of a batch, every value as the text it was; None for what is no batch of one symbol."""
    try:
        items: Any = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(items, list) or not 0 < len(items) <= LARGEST_BATCH:
        return None
    orders: list[dict[str, str]] = []
    for item in items:
        if not isinstance(item, dict) or not all(isinstance(value, str | None) for value in item.values()):
            return None
        orders.append({name: value for name, value in item.items() if value is not None})
    return orders if len({order.get("symbol") for order in orders}) == 1 else None
