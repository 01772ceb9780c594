"""How the second dialect writes numbers, and how it says no: the world's refusals in Binance's codes."""

from __future__ import annotations

import json
from decimal import Decimal

from mexclab.venues.orders import Refusal
from mexclab.venues.simulator.http import Call, Reply

BASE = "/binanceus/api/v3"
PLACES = 8

INSUFFICIENT = (-2010, "Account has insufficient balance for requested action.")
CLOSED = (-1013, "Market is closed.")
NO_PERMISSION = (-2015, "Invalid API-key, IP, or permissions for action.")

# MEXC's code of a refusal -> Binance's code and words
_WORDS: dict[int, tuple[int, str]] = {
    -2011: (-2011, "Unknown order sent."),
    -2013: (-2013, "Order does not exist."),
    -1121: (-1121, "Invalid symbol."),
    400: (-2010, "Duplicate order sent."),
    10007: CLOSED,
    30000: CLOSED,
    30001: CLOSED,
    30016: CLOSED,
    10095: (-1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
    10096: (-1013, "Filter failure: LOT_SIZE"),
    10101: INSUFFICIENT,
    10102: (-1013, "Filter failure: LOT_SIZE"),
    30002: (-1013, "Filter failure: NOTIONAL"),
    30005: INSUFFICIENT,
    30025: (-2010, "No orders on book for symbol."),
    30029: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    30041: (-2010, "Order would immediately match and take."),
    30087: (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    33333: (-1013, "Filter failure: PRICE_FILTER"),
    700008: (-1100, "Illegal characters found in parameter 'newClientOrderId'."),
}
# MEXC's code at the door -> status, Binance's code and words
_DOOR: dict[int, tuple[int, int, str]] = {
    400: (401, -2014, "API-key format invalid."),
    10072: (401, *NO_PERMISSION),
    700001: (401, -2014, "API-key format invalid."),
    700002: (400, -1022, "Signature for this request is not valid."),
    700003: (400, -1021, "Timestamp for this request is outside of the recvWindow."),
    700005: (400, -1131, "recvWindow must be less than 60000."),
    700006: (401, *NO_PERMISSION),
    700007: (401, *NO_PERMISSION),
    429: (429, -1003, "Too many requests; please use the websocket for live updates."),
    418: (418, -1003, "Way too many requests; IP banned."),
}


def refuse(code: int, words: str, status: int = 400) -> Reply:
    return Reply(status, b'{"code":%d,"msg":%b}' % (code, json.dumps(words).encode()))


INVALID_SYMBOL = refuse(-1121, "Invalid symbol.")
INVALID_INTERVAL = refuse(-1120, "Invalid interval.")


def missing(name: str) -> Reply:
    words = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return refuse(-1102, words)


def refused(refusal: Refusal) -> Reply:
    """What the order engine refuses."""
    return refuse(*_WORDS.get(refusal.code, (-2010, refusal.words)))


def reworded(reply: Reply) -> Reply:
    """What the server refuses before a handler is asked."""
    told = json.loads(reply.body)
    status, code, words = _DOOR.get(told["code"], (reply.status, -1102, told["msg"]))
    return Reply(status, refuse(code, words).body, reply.headers)


def padded(value: Decimal) -> str:
    """At least eight places, as Binance writes amounts; more where the world has more."""
    units, _, part = format(value if value else abs(value), "f").partition(".")
    return f"{units}.{part.rstrip('0').ljust(PLACES, '0')}"


def trade_number(trade_id: str) -> int:
    """The world's trade id as a number: its first part."""
    return int(trade_id.partition("X")[0])


def order_number(venue_id: str) -> int:
    """The world's order id as a number."""
    return int(venue_id.rpartition("_")[2])


def whole(call: Call, name: str) -> int | None:
    """A whole number that is not negative; None for what is none, or is not there."""
    text = call.params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 21 else None
