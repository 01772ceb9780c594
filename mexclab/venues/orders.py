"""What goes into an order book and what comes out of it: small values, and the venue's words for no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from mexclab.domain.market import Side
from mexclab.domain.order import OrderType

HOUSE = "house"  # the owner of the market's own agents: no account, no limits, many people in one

Quotes: TypeAlias = Mapping[int, int]  # ticks -> lots
Levels: TypeAlias = tuple[tuple[Decimal, Decimal], ...]  # price and quantity, best first
# lots, the worst price in ticks, and for an order in quote (then of 0 lots) the ticks x lots to spend
Terms: TypeAlias = tuple[int, int, int | None]


class Status(StrEnum):
    """MEXC's order states; ``REJECTED`` is ours, because there a refusal is an error code instead."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    PARTIALLY_CANCELED = "PARTIALLY_CANCELED"
    REJECTED = "REJECTED"

    @property
    def is_open(self) -> bool:
        return self is Status.NEW or self is Status.PARTIALLY_FILLED


class Phase(StrEnum):
    """What a symbol takes. Cancelling is possible in every phase; the house may quote before the open."""

    NOT_OPEN = "NOT_OPEN"
    OPEN = "OPEN"
    PAUSED = "PAUSED"
    BUY_ONLY = "BUY_ONLY"
    SELL_ONLY = "SELL_ONLY"
    CLOSED = "CLOSED"


class Refusal(NamedTuple):
    """Why an order was not taken: the venue's error code and its words."""

    code: int
    words: str


UNKNOWN_ORDER = Refusal(-2011, "Unknown order sent")
NOT_OPEN_YET = Refusal(10007, "symbol not support api")
AMOUNT_MISSING = Refusal(10095, "The amount cannot be null")
OFF_LOT = Refusal(10096, "amount decimal places is too long")
AMOUNT_NOT_POSITIVE = Refusal(10102, "Amount cannot be zero or negative")
SUSPENDED = Refusal(30000, "suspended transaction for the symbol")
WRONG_DIRECTION = Refusal(30001, "current transaction direction is not allowed")
PAUSED = Refusal(30016, "trading disabled")
NO_OPPONENT = Refusal(30025, "no exist opponent order")
# The venue documents no code for a post-only order that would take; of its list this one fits best.
WOULD_TAKE = Refusal(30041, "current order type can not place order")
OUTSIDE_BAND = Refusal(30087, "Order price exceeds allowed range")
BAD_PARAMETER = Refusal(33333, "param error")


@dataclass(slots=True)
class NewOrder:
    """An order as it arrives. Treat it as frozen: to make a frozen one takes longer than to match it.

    ``quantity`` is in base units; a MARKET BUY may give ``quote_quantity`` (quote units to spend at most)
    instead. ``price`` is the limit; on a MARKET order it may narrow the protective bound. ``order_id`` is
    unique in its book; ``client_id`` is the owner's own name for it, and means nothing to the book.
    """

    order_id: str
    owner: str
    side: Side
    type: OrderType
    quantity: Decimal | None
    price: Decimal | None = None
    quote_quantity: Decimal | None = None
    client_id: str = ""


class Execution(NamedTuple):
    """One trade, at the maker's price. Each leg has an id of its own, as on MEXC."""

    number: int
    price: Decimal
    quantity: Decimal
    maker_order_id: str
    taker_order_id: str
    taker_side: Side
    at_ns: int
    is_self_trade: bool

    @property
    def trade_id(self) -> str:
        """The public id."""
        return f"{self.number}X0_{self.number + 1}X0"

    @property
    def taker_trade_id(self) -> str:
        return f"{self.number}X1"

    @property
    def maker_trade_id(self) -> str:
        return f"{self.number + 1}X1"


class Outcome(NamedTuple):
    """What became of a command: the order's state, its trades, or why it was refused."""

    status: Status
    executions: tuple[Execution, ...] = ()
    refusal: Refusal | None = None


class Changes(NamedTuple):
    """Levels that changed after ``from_version`` up to ``to_version``: price and quantity now, 0 = gone."""

    from_version: int
    to_version: int
    bids: Levels
    asks: Levels
