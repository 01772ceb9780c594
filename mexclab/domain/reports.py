"""What a venue tells us, in our own words: the only way news of orders and markets enters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from mexclab.domain.market import Book, Side, Symbol, Trade
from mexclab.domain.order import Fill, OrderState
from mexclab.domain.signal import Signal
from mexclab.domain.values import quick


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the order."""

    client_id: str
    venue_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue said no; ``code`` and ``words`` are its own."""

    client_id: str
    code: int
    words: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Lost:
    """No readable answer came: the order may or may not exist."""

    client_id: str
    why: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade of ours."""

    fill: Fill
    at_ns: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The rest of the order is gone (asked for, or by its own type).

    ``executed`` is what had traded by then, in base units, as the venue tells with every cancellation:
    fills that have not reached us yet show as the difference.
    """

    client_id: str
    why: str
    at_ns: int
    executed: Decimal


@quick
@dataclass(frozen=True, slots=True)
class BookSeen:
    book: Book


@quick
@dataclass(frozen=True, slots=True)
class TradeSeen:
    trade: Trade


@dataclass(frozen=True, slots=True)
class SignalSeen:
    """A signal that came as news: somebody's, or one that a recording holds; it is planned at once."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class ShotTimed:
    """When one order went through its phases, on the venue's clock; ``acked_ns`` None: no answer came."""

    client_id: str
    scheduled_ns: int
    released_ns: int
    written_ns: int
    acked_ns: int | None
    transmissions: int


@dataclass(frozen=True, slots=True)
class DriftSeen:
    """A payload is not what the wire's description says; ``what`` is the difference, in a sentence."""

    endpoint: str
    field: str
    what: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class FeedNews:
    """A source of news was lost, came back, or had to begin anew; ``what`` says so in a sentence."""

    source: str
    what: str
    at_ns: int
    degraded: bool


Report: TypeAlias = Accepted | Refused | Lost | Traded | Cancelled
Notice: TypeAlias = ShotTimed | DriftSeen | FeedNews
Happening: TypeAlias = Report | Notice | BookSeen | TradeSeen | SignalSeen


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """One order as the venue answers when asked for it."""

    client_id: str
    venue_id: str
    symbol: Symbol
    side: Side
    state: OrderState
    quantity: Decimal
    price: Decimal
    filled: Decimal


@dataclass(frozen=True, slots=True)
class Balance:
    """Units of one asset: what is free and what open orders hold."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        return self.free + self.locked


Balances: TypeAlias = Mapping[str, Balance]


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far the venue's clock is from ours (venue minus ours), how sure, and when it was measured."""

    offset_ns: int
    error_ns: int
    measured_ns: int
