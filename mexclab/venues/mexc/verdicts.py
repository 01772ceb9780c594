"""What the answer to an order POST says of the order: taken, refused, or nobody knows. Nothing of fills."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from mexclab.domain.order import Order
from mexclab.domain.reports import Accepted, Lost, Refused
from mexclab.errors import OrderUnknown, VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import NEW_ORDER
from mexclab.venues.mexc.http import Answer, Outcome
from mexclab.venues.mexc.refusals import DUPLICATE_CLIENT_ID
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire_types import Id

Verdict: TypeAlias = Accepted | Refused | Lost
MOST_NAMES = 20_000
ID_TAKEN = "the venue says that it has an order of this id already"


class _AsDescribed(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", forbid_unknown_fields=True
):
    """The answer to an order exactly as it is described; every other one is read by ``wire.decode``."""

    symbol: str
    order_id: Id
    order_list_id: int
    price: str
    orig_qty: str
    type: str
    side: str
    stp_mode: str
    transact_time: int


class _Placed(Protocol):
    @property
    def order_id(self) -> str: ...
    @property
    def symbol(self) -> str | None: ...
    @property
    def side(self) -> str | None: ...


class Verdicts:
    """Judges answers, and remembers which of the venue's ids is whose.

    A reply that names an id which belongs to another order, or another pair or side, is the answer to
    something else: it says nothing of this order.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._decoder = msgspec.json.Decoder(_AsDescribed)
        self._names: dict[str, str] = {}  # venue id -> client id, the oldest first

    def client_id(self, venue_id: str) -> str | None:
        """Whose order this is; None: not one that was seen here."""
        return self._names.get(venue_id)

    def remember(self, venue_id: str, client_id: str) -> None:
        self._names[venue_id] = client_id
        if len(self._names) > MOST_NAMES:
            del self._names[next(iter(self._names))]

    def of(self, order: Order, outcome: Outcome) -> Verdict:
        """What became of one transmission of ``order``."""
        if isinstance(outcome, Answer) and outcome.status == 200:
            body = outcome.body
            try:
                placed = self._decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                placed = None
            # names that are written twice, or in disguise, are for the careful way
            if placed is not None and body.count(b'"orderId"') == 1 and b"\\" not in body:
                self._rest.limiter.report(NEW_ORDER, ok=True)
                return self._placed(order, placed)
        try:
            return self._placed(order, self._rest.read(NEW_ORDER, outcome))
        except VenueError as error:
            return _no(order, error, self._rest.clock_ns())

    def _placed(self, order: Order, placed: _Placed) -> Accepted | Lost:
        now, venue_id, client_id = self._rest.clock_ns(), placed.order_id, order.client_id
        name = self._names.get(venue_id)
        if name is not None and name != client_id:
            why = f"the answer names the venue's order {venue_id}, which is {name}"
            return Lost(client_id, why, now)
        if placed.symbol not in (None, str(order.symbol)) or placed.side not in (None, order.side):
            why = f"the answer is about another order: {placed.side} {placed.symbol}"
            return Lost(client_id, why, now)
        self.remember(venue_id, client_id)
        return Accepted(client_id, venue_id, now)


def _no(order: Order, error: VenueError, now_ns: int) -> Refused | Lost:
    """A refusal by the venue's own word; all else leaves the order's fate open."""
    if isinstance(error, VenueRejected):
        code, words = int(error.data["code"]), str(error.data["words"])
        if DUPLICATE_CLIENT_ID in words.lower():
            return Lost(order.client_id, ID_TAKEN, now_ns)
        return Refused(order.client_id, code, words, now_ns)
    if isinstance(error, VenueUnavailable) and "retry_after_s" in error.data:
        return Refused(order.client_id, int(error.data["code"]), "too many requests", now_ns)
    assert isinstance(error, OrderUnknown | VenueUnavailable)
    return Lost(order.client_id, error.message, now_ns)
