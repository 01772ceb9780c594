"""Orders: their states, the steps that are legal, and the fills that make them true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from mexclab.domain.market import Side, Symbol
from mexclab.domain.values import changed, quick
from mexclab.errors import DomainError, IllegalTransition

CLIENT_ID = re.compile(r"[0-9a-zA-Z_-]{1,32}\Z")


class OrderType(StrEnum):
    """The venue's order types (MEXC spot v3); time in force is part of the type there."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    IMMEDIATE_OR_CANCEL = "IMMEDIATE_OR_CANCEL"
    FILL_OR_KILL = "FILL_OR_KILL"


class OrderState(StrEnum):
    DECIDED = "DECIDED"
    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCEL_SENT = "CANCEL_SENT"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_open(self) -> bool:
        """Whether the venue may still trade it, as far as anyone knows."""
        return self not in _TERMINAL


_S = OrderState
_TERMINAL = frozenset({_S.FILLED, _S.CANCELED, _S.REJECTED})

ORDER_STEPS: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        _S.DECIDED: frozenset({_S.SENT, _S.CANCELED}),
        _S.SENT: frozenset(
            {_S.ACCEPTED, _S.REJECTED, _S.UNKNOWN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED}
        ),
        _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_SENT, _S.CANCELED, _S.UNKNOWN}),
        _S.PARTIALLY_FILLED: frozenset(
            {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_SENT, _S.CANCELED, _S.UNKNOWN}
        ),
        _S.CANCEL_SENT: frozenset({_S.CANCELED, _S.FILLED, _S.PARTIALLY_FILLED, _S.ACCEPTED, _S.UNKNOWN}),
        _S.UNKNOWN: frozenset(
            {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.UNKNOWN}
        ),
        # a cancel may be confirmed before the fill that beat it is reported
        _S.CANCELED: frozenset({_S.FILLED, _S.CANCELED}),
        _S.FILLED: frozenset(),
        # truth comes from the venue: a trade that it reports is real, whatever it had answered
        _S.REJECTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED}),
    }
)


def client_order_id(snipe_id: str, leg: str, attempt: int) -> str:
    """The id of one attempt of one leg. A retry of the same attempt carries the same id.

    Raises:
        DomainError: the id would not fit the venue's 32 characters of ``[0-9a-zA-Z_-]``.
    """
    text = f"{snipe_id}-{leg}-{attempt}"
    if not CLIENT_ID.match(text):
        raise DomainError(f"{text!r} is not a client order id: 1 to 32 of 0-9 a-z A-Z _ -", client_id=text)
    return text


@quick
@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of ours, as the venue reports it. Counts once, by ``trade_id``."""

    trade_id: str
    client_id: str
    symbol: Symbol
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    at_ns: int
    is_maker: bool = False

    def __post_init__(self) -> None:
        if not (self.price > 0 and self.quantity > 0):
            raise DomainError(
                f"fill {self.trade_id}: price and quantity must be above zero", trade_id=self.trade_id
            )

    @property
    def value(self) -> Decimal:
        """Price times quantity, in quote units, before fees."""
        return self.price * self.quantity


@quick
@dataclass(frozen=True, slots=True)
class Order:
    """One order of ours, as far as it is known."""

    client_id: str
    symbol: Symbol
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal  # the limit; for MARKET the worst price it may walk to
    snipe_id: str = ""
    leg: str = ""
    state: OrderState = OrderState.DECIDED
    decided_ns: int = 0
    sent_ns: int | None = None
    acked_ns: int | None = None
    venue_id: str | None = None
    why: str = ""
    left_ns: int | None = None  # when it was let go, if that was not as soon as it was sent
    cancel_ns: int | None = None  # when we last asked for its cancellation
    executed: Decimal | None = None  # what the venue said had traded when it ended the order
    fills: tuple[Fill, ...] = ()

    def __post_init__(self) -> None:
        if not CLIENT_ID.match(self.client_id):
            raise DomainError(f"{self.client_id!r} is not a client order id", client_id=self.client_id)
        if not (self.quantity > 0 and self.price > 0):
            raise DomainError(
                f"order {self.client_id}: quantity and price must be above zero", client_id=self.client_id
            )

    @property
    def filled(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills), Decimal(0))

    @property
    def filled_value(self) -> Decimal:
        return sum((fill.value for fill in self.fills), Decimal(0))

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_value / self.filled if self.fills else None

    @property
    def awaits_fills(self) -> bool:
        """The venue ended it and told of more trades than have reached us."""
        return self.state is OrderState.CANCELED and self.executed is not None and self.executed > self.filled

    @property
    def is_live(self) -> bool:
        """Whether more may come of it: it can still trade, or trades of it are on their way."""
        return self.state.is_open or self.awaits_fills

    @property
    def gone_ns(self) -> int:
        """From when on its request may have been at the venue, and an answer to it is due."""
        return max(self.sent_ns or self.decided_ns, self.left_ns or 0)

    @property
    def is_staked(self) -> bool:
        """Of an order that is live: whether it may still spend money, or nobody knows what it does."""
        return self.side is Side.BUY or self.state is OrderState.UNKNOWN

    @property
    def value_at_risk(self) -> Decimal:
        """The most quote that this order may still spend."""
        if self.awaits_fills and self.executed is not None:
            return (self.executed - self.filled) * self.price
        return self.remaining * self.price if self.state.is_open else Decimal(0)

    def moved(self, to: OrderState, **changes: object) -> Order:
        """The order in its next state.

        Raises:
            IllegalTransition: the table has no such step.
        """
        if to not in ORDER_STEPS[self.state]:
            raise IllegalTransition(
                f"order {self.client_id} cannot go from {self.state} to {to}",
                client_id=self.client_id, was=str(self.state), to=str(to),
            )  # fmt: skip
        return changed(self, state=to, **changes)

    def filled_by(self, fill: Fill) -> Order:
        """The order after one more trade; a trade that it already has changes nothing.

        Raises:
            IllegalTransition: the order was rejected, so it cannot have traded.
            DomainError: more would be filled than was ordered.
        """
        if any(known.trade_id == fill.trade_id for known in self.fills):
            return self
        if self.filled + fill.quantity > self.quantity:
            raise DomainError(
                f"order {self.client_id}: {self.filled} + {fill.quantity} filled of {self.quantity} ordered",
                client_id=self.client_id, trade_id=fill.trade_id,
            )  # fmt: skip
        whole = self.filled + fill.quantity == self.quantity
        fills = (*self.fills, fill)
        if whole:
            return self.moved(OrderState.FILLED, fills=fills)
        if self.state in (OrderState.CANCELED, OrderState.CANCEL_SENT):
            return changed(self, fills=fills)  # the cancel stands for the rest
        return self.moved(OrderState.PARTIALLY_FILLED, fills=fills)
