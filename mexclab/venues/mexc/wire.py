"""From the venue's bytes to values: what each endpoint answers, and how it is read.

``decode`` returns what ``ANSWERS`` says: a struct, or a list of structs for the endpoints that answer with
rows (tickers answer with one object or with a list: it is always a list here). Lists may be ``Rows``, which
know how many rows were left out. The structs stand in ``wire_market``, ``wire_account`` and
``wire_listings``, beside the functions that make domain values of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc import wire_account as account
from mexclab.venues.mexc import wire_listings as listings
from mexclab.venues.mexc import wire_market as market
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.refusals import code_of, refusal, unreadable
from mexclab.venues.mexc.wire_read import Misread, Reader, parse
from mexclab.venues.mexc.wire_types import Rows

OK = 200
FINE: Final = frozenset({None, 0, OK})  # the codes by which the venue says that all is well

ANSWERS: Mapping[Endpoint, Any] = MappingProxyType(
    {
        e.PING: market.Nothing,
        e.TIME: market.ServerTime,
        e.EXCHANGE_INFO: market.ExchangeInfo,
        e.DEPTH: market.DepthReply,
        e.TRADES: list[market.PublicTradeRow],
        e.HISTORICAL_TRADES: list[market.PublicTradeRow],
        e.AGG_TRADES: list[market.AggTradeRow],
        e.KLINES: list[market.KlineRow],
        e.AVG_PRICE: market.AvgPrice,
        e.TICKER_24H: list[market.Ticker24h],
        e.TICKER_PRICE: list[market.TickerPrice],
        e.BOOK_TICKER: list[market.BookTicker],
        e.DEFAULT_SYMBOLS: listings.SymbolsReply,
        e.SELF_SYMBOLS: listings.SymbolsReply,
        e.OFFLINE_SYMBOLS: listings.OfflineReply,
        e.ANNOUNCEMENTS: listings.AnnouncementsReply,
        e.CALENDAR: listings.CalendarReply,
        e.SYMBOLS_V2: listings.SymbolsV2Reply,
        e.WEB_SYMBOLS: listings.WebSymbolsReply,
        e.ACTIVITIES: listings.ActivitiesReply,
        e.NEW_ORDER: account.NewOrderReply,
        e.TEST_ORDER: market.Nothing,
        e.BATCH_ORDERS: list[account.BatchItem],
        e.CANCEL_ORDER: account.CancelReply,
        e.CANCEL_OPEN_ORDERS: list[account.CancelReply],
        e.CANCEL_ALL: account.Envelope,
        e.QUERY_ORDER: account.OrderRow,
        e.OPEN_ORDERS: list[account.OrderRow],
        e.ALL_ORDERS: list[account.OrderRow],
        e.MY_TRADES: list[account.MyTradeRow],
        e.ACCOUNT: account.AccountReply,
        e.TRADE_FEE: account.TradeFeeReply,
        e.KYC_STATUS: account.KycReply,
        e.UID: account.UidReply,
        e.MX_DEDUCT: account.MxDeductReply,
        e.SET_MX_DEDUCT: account.MxDeductReply,
        e.COINS: list[account.CoinRow],
        e.STP_GROUPS: account.Envelope,
        e.STP_GROUP_NEW: account.Envelope,
        e.STP_GROUP_DELETE: account.Envelope,
        e.STP_UID_NEW: account.Envelope,
        e.STP_UID_DELETE: account.Envelope,
        e.LISTEN_KEY_NEW: account.ListenKeyReply,
        e.LISTEN_KEY_EXTEND: account.ListenKeyReply,
        e.LISTEN_KEY_DELETE: account.ListenKeyReply,
        e.LISTEN_KEYS: account.ListenKeysReply,
    }
)
ONE_OR_MANY = frozenset(endpoint.name for endpoint in (e.TICKER_24H, e.TICKER_PRICE, e.BOOK_TICKER))
_BY_NAME: Final = {endpoint.name: kind for endpoint, kind in ANSWERS.items()}  # hashing a name costs nothing


def decode(endpoint: Endpoint, body: bytes, drift: Drift, now_ns: int) -> Any:
    """What the venue answered with status 200.

    Args:
        body: the answer in full.
        drift: told of every difference from what is described here.
        now_ns: when the answer came.

    Returns:
        The struct, or list of structs, of ``ANSWERS[endpoint]``.

    Raises:
        VenueRejected: the venue refused after all, by a code in the body.
        VenueUnavailable: it asks us to slow down, or the answer cannot be read; ``data["field"]`` and
            ``data["what"]`` say where and why.
        OrderUnknown: the same, of an answer that was to say what became of an order.
    """
    reader = Reader(drift, endpoint.name, now_ns)
    try:
        payload = parse(body, reader.see)
        if code_of(payload) not in FINE:
            raise refusal(OK, body, {}, endpoint)
        if endpoint.name in ONE_OR_MANY and isinstance(payload, dict):
            payload = [payload]
        return reader.read(_BY_NAME[endpoint.name], payload)
    except Misread as wrong:
        reader.see(wrong.field, f"{wrong.what}; the answer is unreadable")
        raise unreadable(
            endpoint, f"the answer cannot be read ({wrong})", field=wrong.field, what=wrong.what
        ) from wrong


def left_out(rows: Sequence[object]) -> int:
    """How many rows of a decoded list could not be read; above 0, what is missing from it may still exist."""
    return rows.left_out if isinstance(rows, Rows) else 0
