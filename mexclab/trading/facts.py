"""What risk is asked, and what it goes by: the intent, the facts of the moment, one limit at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from mexclab.config import LimitSettings
from mexclab.domain.desk import Desk
from mexclab.domain.events import Breach
from mexclab.domain.market import Book, Symbol
from mexclab.domain.monitor import Reading
from mexclab.domain.order import Order
from mexclab.domain.portfolio import ZERO
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import Plan
from mexclab.ports import Prices
from mexclab.trading.history import Tails
from mexclab.trading.standing import Standing


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world at the moment of the decision; None is "not known", and fails closed.

    Attributes:
        book: of the symbol in question; None before it trades.
        prices: best bids of everything held.
        monitors: what the market monitors read for the symbol in question, and for the venue.
        tails: scenarios of everything held and of the symbol in question; None: nothing is known of them.
        missing: what live trading lacks.
        written_off: held symbols that nobody can price, and that count as worth nothing.
        quote_asset: the one asset that money is counted in: an amount of another one is not comparable.
    """

    now_ns: int
    clock: ClockReading | None
    free_quote: Decimal | None
    book: Book | None
    prices: Prices
    taker_fee: Decimal = Decimal(0)
    monitors: tuple[Reading, ...] = ()
    tails: Tails | None = None
    missing: tuple[Breach, ...] = ()
    written_off: frozenset[Symbol] = frozenset()
    quote_asset: str = "USDT"


@dataclass(frozen=True, slots=True)
class Intent:
    """An entry that the strategy wants, with the plan it belongs to."""

    order: Order
    plan: Plan

    @property
    def value(self) -> Decimal:
        """The most quote that it can spend, before fees."""
        return self.order.quantity * self.order.price


@dataclass(frozen=True, slots=True)
class Case:
    """What the limits judge: the desk as it stands, and an entry on top of it.

    Attributes:
        plan: of the entry; None: the desk alone is looked at.
        value, price: of its order, in quote units; a value of zero is no entry.
    """

    desk: Desk
    limits: LimitSettings
    facts: Facts
    standing: Standing
    plan: Plan | None = None
    value: Decimal = ZERO
    price: Decimal | None = None


Say: TypeAlias = Callable[[], tuple[str, str, str]]
"""A breach's value, bound and reason; only asked when the limit is broken."""

Figure: TypeAlias = Decimal | int | float | None

Line: TypeAlias = tuple[str, Figure, Figure, str, bool, Say]
"""One limit as found with the entry: name, found (None: not known), bound, unit, whether it is broken, words.

A plain tuple of plain figures (nanoseconds where the unit is s or ms), because two dozen are made for every
entry, and most of them are never looked at.
"""
