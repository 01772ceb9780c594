"""The rules an order must keep: phase, grid, least value, price band, reach of a MARKET order."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

from mexclab.domain.market import Market, Side
from mexclab.venues.orders import (
    AMOUNT_MISSING,
    AMOUNT_NOT_POSITIVE,
    BAD_PARAMETER,
    HOUSE,
    NO_OPPONENT,
    NOT_OPEN_YET,
    OFF_LOT,
    PAUSED,
    SUSPENDED,
    WRONG_DIRECTION,
    NewOrder,
    Phase,
    Refusal,
    Terms,
)

LARGEST = 10**26  # ticks x lots of one order: every product stays within Decimal's 28 digits


class Rules:
    """The rules of one symbol. Prices are in ticks, quantities in lots.

    Args:
        market: as the venue publishes them.
        price_band: how far a LIMIT, IOC or FOK may reach through the last price, as a fraction; BUY above
            and SELL below only. None: no band.
    """

    def __init__(self, market: Market, price_band: Decimal | None) -> None:
        self.market = market
        self.has_band = price_band is not None
        unit = Fraction(market.tick) * Fraction(market.lot)
        self._unit = unit
        self.least = max(1, ceil(Fraction(market.min_notional) / unit))
        least = f"{market.min_notional:f}{market.symbol.quote}"
        self._too_small = Refusal(30002, f"The minimum transaction volume cannot be less than:{least}")
        self._band = (price_band or Decimal(0)).as_integer_ratio()
        self._market_band = market.market_band.as_integer_ratio()

    def market_bound(self, side: Side, touch: int) -> int:
        """The worst price that a MARKET order may reach from ``touch``."""
        part, whole = self._market_band
        if side is Side.BUY:
            return touch * (whole + part) // whole
        return max(1, -(-touch * (whole - part) // whole))

    def is_outside_band(self, side: Side, ticks: int, last: int) -> bool:
        part, whole = self._band
        if side is Side.BUY:
            return ticks * whole > last * (whole + part)
        return ticks * whole < last * (whole - part)

    def why_not(self, order: NewOrder) -> Refusal:
        """The first rule that a priced order breaks; called when it is known to break one."""
        ticks = whole_steps(order.price, self.market.tick)
        if order.quote_quantity is not None or not ticks:
            return BAD_PARAMETER
        if refusal := self._refused_quantity(order.quantity):
            return refusal
        lots = whole_steps(order.quantity, self.market.lot)
        return self._too_small if ticks * lots < self.least else BAD_PARAMETER

    def _refused_quantity(self, quantity: Decimal | None) -> Refusal | None:
        if quantity is None:
            return AMOUNT_MISSING
        if not quantity.is_finite():
            return BAD_PARAMETER
        if quantity <= 0:
            return AMOUNT_NOT_POSITIVE
        return None if whole_steps(quantity, self.market.lot) else OFF_LOT

    def market_terms(self, order: NewOrder, touch: int | None) -> Terms | Refusal:
        """What a MARKET order comes to when ``touch`` is the best price that faces it."""
        buys, spend = order.side is Side.BUY, order.quote_quantity
        if spend is None:
            if refusal := self._refused_quantity(order.quantity):
                return refusal
        elif not buys or order.quantity is not None or not spend.is_finite() or spend > LARGEST:
            return BAD_PARAMETER
        if touch is None:
            return NO_OPPONENT
        bound = self.market_bound(order.side, touch)
        if order.price is not None:
            cap = whole_steps(order.price, self.market.tick)
            if not cap:
                return BAD_PARAMETER
            bound = min(bound, cap) if buys else max(bound, cap)
        if spend is not None:
            if spend < self.market.min_notional:
                return self._too_small
            return 0, bound, int(Fraction(spend) / self._unit)
        lots = whole_steps(order.quantity, self.market.lot)
        return (lots, bound, None) if self.least <= lots * touch < LARGEST else self._too_small


def closed_to(phase: Phase, owner: str, side: Side) -> Refusal | None:
    """Why ``phase`` takes no order of that owner and side; None when it does."""
    if phase is Phase.PAUSED or phase is Phase.CLOSED:
        return PAUSED if phase is Phase.PAUSED else SUSPENDED
    if owner == HOUSE or phase is Phase.OPEN:
        return None
    if phase is Phase.NOT_OPEN:
        return NOT_OPEN_YET
    allowed = Side.BUY if phase is Phase.BUY_ONLY else Side.SELL
    return None if side is allowed else WRONG_DIRECTION


def whole_steps(value: Decimal | None, step: Decimal) -> int:
    """How many steps ``value`` is; 0 when that is no whole number above zero."""
    try:
        return max(0, int(value // step)) if not value % step else 0
    except (TypeError, ValueError, ArithmeticError):
        return 0
