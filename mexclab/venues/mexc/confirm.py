"""Asking what became of an order, until its end and every trade of it are known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.reports import Cancelled, Happening, Lost, Traded, VenueOrder
from mexclab.errors import ConfigError, VenueUnavailable

NO_REST = frozenset({OrderType.MARKET, OrderType.IMMEDIATE_OR_CANCEL, OrderType.FILL_OR_KILL})
MOST_TOLD = 50_000  # trade ids that are remembered as told; whoever listens counts by id anyway
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class ConfirmTerms:
    """When an order is asked for: soon after its acknowledgement, then at growing distances, then no more."""

    first_s: float = 0.05
    longest_s: float = 1.0
    give_up_s: float = 8.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s <= self.give_up_s:
            raise ConfigError("first_s, longest_s and give_up_s must be above 0 and ascending")


class Asker(Protocol):
    """Who asks the venue; both raise VenueUnavailable when it does not say."""

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None: ...

    async def fills_of(self, order: VenueOrder) -> Sequence[Fill]: ...


class Confirmer:
    """Tells the trades and the ends of orders from what the venue answers when asked.

    Args:
        tell: called with ``Traded`` once per trade id, with ``Cancelled``, and with ``Lost`` when an order
            that cannot rest has no known end after ``give_up_s``.
        now_ns: the venue's time.
    """

    def __init__(
        self, asker: Asker, tell: Callable[[Happening], None], now_ns: Callable[[], int], terms: ConfirmTerms
    ) -> None:
        self._asker = asker
        self._tell = tell
        self._now_ns = now_ns
        self._terms = terms
        self._told: dict[str, None] = {}  # trade ids, the oldest first

    def tell_fill(self, fill: Fill) -> None:
        """Tell a trade that has not been told."""
        if self.note(fill.trade_id):
            self._tell(Traded(fill, self._now_ns()))

    def note(self, trade_id: str) -> bool:
        """Remember a trade as told; False when it was already."""
        if trade_id in self._told:
            return False
        self._told[trade_id] = None
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        return True

    async def look(self, order: Order) -> bool:
        """Ask once and tell what is new; whether the order has ended and all of it has been told.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        found = await self._asker.order(order.client_id, order.symbol)
        if found is None:
            return False
        fills = await self._asker.fills_of(found) if found.filled > 0 else ()
        for fill in fills:
            self.tell_fill(fill)
        if sum((fill.quantity for fill in fills), _NOTHING) < found.filled:
            return False  # the venue counts trades that it does not show yet
        if found.state in (OrderState.CANCELED, OrderState.REJECTED):
            why = "the venue says that its rest is cancelled"
            self._tell(Cancelled(order.client_id, why, self._now_ns(), found.filled))
            return True
        return found.state is OrderState.FILLED

    async def confirm(self, order: Order) -> bool:
        """Ask until the end is known or ``give_up_s`` have passed; whether it is known."""
        pause, asked_s = self._terms.first_s, 0.0
        why = "the venue does not show how it ended"
        while asked_s < self._terms.give_up_s:
            await asyncio.sleep(pause)
            asked_s += pause
            pause = min(pause * 2, self._terms.longest_s)
            try:
                if await self.look(order):
                    return True
            except VenueUnavailable as error:
                why = error.message
        if order.type in NO_REST:
            self._tell(
                Lost(order.client_id, f"it was taken, and its end is not known: {why}", self._now_ns())
            )
        return False
