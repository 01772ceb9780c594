"""Every question and order that MEXC's spot API takes: path, weight, pool (docs v3, newest weights seen).

A pool is a budget that several endpoints share. ``ip`` counts weights in ten seconds; ``orders`` (placing
and cancelling), ``batch``, ``account`` and ``announcements`` count requests and leave the ``ip`` pool alone;
``web`` is www.mexc.com, which is not the API and is asked politely by the listings alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path.

    Attributes:
        weight: what one request takes from its pool.
        pool: "ip", "orders", "batch", "account", "announcements" or "web".
        family: what a circuit breaker shuts off together: "orders", "account", "market", "listings",
            "user_stream", "web".
        signed: whether it needs a key and a signature.
    """

    name: str
    method: str
    path: str
    weight: int
    pool: str
    family: str
    signed: bool

    @property
    def is_idempotent(self) -> bool:
        """Asking twice is asking once."""
        return self.method == "GET"

    @property
    def moves_orders(self) -> bool:
        """Whether an answer that got lost may have placed or cancelled something."""
        return self.family == "orders" and self.method != "GET" and self.path != "/api/v3/order/test"


def _market(name: str, path: str, weight: int) -> Endpoint:
    return Endpoint(name, "GET", f"/api/v3/{path}", weight, "ip", "market", False)


def _mine(name: str, path: str, weight: int = 1, method: str = "GET") -> Endpoint:
    return Endpoint(name, method, f"/api/v3/{path}", weight, "ip", "account", True)


def _order(name: str, method: str, path: str, pool: str = "orders") -> Endpoint:
    return Endpoint(name, method, f"/api/v3/{path}", 1, pool, "orders", True)


def _asked_order(name: str, path: str, weight: int) -> Endpoint:
    return Endpoint(name, "GET", f"/api/v3/{path}", weight, "ip", "orders", True)


def _stream(name: str, method: str) -> Endpoint:
    return Endpoint(name, method, "/api/v3/userDataStream", 1, "ip", "user_stream", True)


def _web(name: str, path: str) -> Endpoint:
    return Endpoint(name, "GET", path, 1, "web", "web", False)


PING = _market("ping", "ping", 1)
TIME = _market("time", "time", 1)
EXCHANGE_INFO = _market("exchangeInfo", "exchangeInfo", 25)
DEPTH = _market("depth", "depth", 3)
TRADES = _market("trades", "trades", 5)
HISTORICAL_TRADES = _market("historicalTrades", "historicalTrades", 1)
AGG_TRADES = _market("aggTrades", "aggTrades", 1)
KLINES = _market("klines", "klines", 1)
AVG_PRICE = _market("avgPrice", "avgPrice", 1)
TICKER_24H = _market("ticker/24hr", "ticker/24hr", 25)
TICKER_PRICE = _market("ticker/price", "ticker/price", 10)
BOOK_TICKER = _market("ticker/bookTicker", "ticker/bookTicker", 10)

DEFAULT_SYMBOLS = Endpoint("defaultSymbols", "GET", "/api/v3/defaultSymbols", 1, "ip", "listings", False)
OFFLINE_SYMBOLS = Endpoint("symbol/offline", "GET", "/api/v3/symbol/offline", 10, "ip", "listings", False)
ANNOUNCEMENTS = Endpoint(
    "announcements", "GET", "/api/v3/announcements", 1, "announcements", "listings", False
)
SELF_SYMBOLS = Endpoint("selfSymbols", "GET", "/api/v3/selfSymbols", 1, "ip", "listings", True)

NEW_ORDER = _order("order", "POST", "order")
TEST_ORDER = Endpoint("order/test", "POST", "/api/v3/order/test", 1, "ip", "orders", True)
BATCH_ORDERS = _order("batchOrders", "POST", "batchOrders", "batch")
CANCEL_ORDER = _order("cancel order", "DELETE", "order")
CANCEL_OPEN_ORDERS = _order("cancel openOrders", "DELETE", "openOrders")
CANCEL_ALL = _order("cancel order/all", "DELETE", "order/all")
QUERY_ORDER = _asked_order("query order", "order", 2)
OPEN_ORDERS = _asked_order("openOrders", "openOrders", 3)
ALL_ORDERS = _asked_order("allOrders", "allOrders", 10)
MY_TRADES = _asked_order("myTrades", "myTrades", 10)

ACCOUNT = Endpoint("account", "GET", "/api/v3/account", 10, "account", "account", True)
TRADE_FEE = _mine("tradeFee", "tradeFee", 20)
KYC_STATUS = _mine("kyc/status", "kyc/status")
UID = _mine("uid", "uid")
MX_DEDUCT = _mine("mxDeduct/enable", "mxDeduct/enable")
SET_MX_DEDUCT = _mine("set mxDeduct/enable", "mxDeduct/enable", 1, "POST")
COINS = _mine("capital/config/getall", "capital/config/getall", 10)
STP_GROUPS = _mine("strategy/group", "strategy/group", 20)
STP_GROUP_NEW = _mine("new strategy/group", "strategy/group", 20, "POST")
STP_GROUP_DELETE = _mine("delete strategy/group", "strategy/group", 20, "DELETE")
STP_UID_NEW = _mine("new strategy/group/uid", "strategy/group/uid", 20, "POST")
STP_UID_DELETE = _mine("delete strategy/group/uid", "strategy/group/uid", 20, "DELETE")

LISTEN_KEY_NEW = _stream("new listen key", "POST")
LISTEN_KEY_EXTEND = _stream("extend listen key", "PUT")
LISTEN_KEY_DELETE = _stream("delete listen key", "DELETE")
LISTEN_KEYS = _stream("listen keys", "GET")

CALENDAR = _web("new_coin_calendar", "/api/operation/new_coin_calendar")
SYMBOLS_V2 = _web("symbolsV2", "/api/platform/spot/market-v2/web/symbolsV2")
WEB_SYMBOLS = _web("web/symbols", "/api/platform/spot/market-v2/web/symbols")
ACTIVITIES = _web("activities", "/api/operateactivity/activity/list/by/currencies")

ENDPOINTS: tuple[Endpoint, ...] = tuple(
    thing for thing in list(globals().values()) if type(thing) is Endpoint
)
