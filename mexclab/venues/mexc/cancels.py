"""Cancellations: asked for until they are answered, since what is gone stays gone."""

from __future__ import annotations

import asyncio

from mexclab.domain.order import Order
from mexclab.errors import OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import CANCEL_ORDER
from mexclab.venues.mexc.rest import Params, Rest

PAUSES_S = (0.0, 0.2, 0.5)  # before each try


class Cancels:
    """Sends cancellations, and counts them.

    Attributes:
        asked: requests that have left or wait to leave; one that never leaves is taken off again.
        under_way: those of them whose end is not known yet.
    """

    def __init__(self, rest: Rest) -> None:
        self.asked = self.under_way = 0
        self._rest = rest

    def count(self) -> None:
        """One more is going to be asked for; to be called before ``ask``, at the moment of the wish."""
        self.asked += 1
        self.under_way += 1

    async def ask(self, order: Order) -> bool:
        """Ask for the end of ``order``, again where nobody answers; whether the venue said yes."""
        which = ("orderId", order.venue_id) if order.venue_id else ("origClientOrderId", order.client_id)
        for pause in PAUSES_S:
            if pause:
                await asyncio.sleep(pause)
                self.count()
            try:
                await self._once((("symbol", str(order.symbol)), which))
                return True
            except VenueRejected:
                return False  # it has ended already, or it cannot be ended
            except (VenueUnavailable, OrderUnknown):
                continue
        return False

    async def _once(self, params: Params) -> None:
        try:
            await self._rest.ask(CANCEL_ORDER, params, urgent=True)
        except VenueUnavailable as error:
            if "retry_after_s" not in error.data:
                self.asked -= 1  # it never left
            raise
        finally:
            self.under_way -= 1
