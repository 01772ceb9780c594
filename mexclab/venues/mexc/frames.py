"""Protobuf frames of the stream, read into domain values; what cannot be read is counted, told and refused.

Depth diffs, which are nearly all of the traffic, are merged into the book by ``depth_levels.py``; everything
else is read here, and depth frames when one of them seems to be wrong. The schema is that of
``venues/proto.py``; fields and bodies that are not in it are told, and cost nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn, TypeAlias

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

from mexclab.domain.market import Side, Symbol, Trade
from mexclab.domain.order import Fill
from mexclab.domain.reports import Balance
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.wire_read import Misread
from mexclab.venues.mexc.wire_types import LATEST_MS, ns, number
from mexclab.venues.proto import ORDER_STATUSES, TRADE_TYPES, PushData

_VERSION = re.compile(r"[0-9]{1,19}\Z", re.ASCII)
_SIDES = {number: Side(name) for name, number in TRADE_TYPES.items()}
_STATUSES = {number: name for name, number in ORDER_STATUSES.items()}


class PublicDeal(NamedTuple):
    """A public trade and its id, "" where the venue gave none."""

    trade_id: str
    trade: Trade


@dataclass(frozen=True, slots=True)
class Deals:
    """Public trades of one frame, in the venue's order."""

    symbol: Symbol
    deals: tuple[PublicDeal, ...]


@dataclass(frozen=True, slots=True)
class DepthDiff:
    """Levels that changed from version ``first`` to ``last``: price and quantity now; 0 = gone."""

    first: int
    last: int
    asks: Sequence[tuple[Decimal, Decimal]]
    bids: Sequence[tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class OwnDeal:
    """A trade of ours. ``Fill.client_id`` is "" for an order that was sent without one."""

    fill: Fill
    venue_id: str


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order of ours as it is now; ``status`` in the venue's words, ``filled`` in base units."""

    client_id: str
    venue_id: str
    symbol: Symbol
    side: Side
    status: str
    filled: Decimal
    at_ns: int


@dataclass(frozen=True, slots=True)
class OwnBalance:
    """What the account holds of one asset after a change."""

    asset: str
    balance: Balance
    at_ns: int


@dataclass(frozen=True, slots=True)
class Unused:
    """A frame that is none of our business: a body that we do not read, or that the schema does not know."""

    body: str


Heard: TypeAlias = Deals | DepthDiff | OwnDeal | OwnOrder | OwnBalance | Unused


def channel_of(frame: bytes) -> bytes:
    """The channel that a frame names first of all; b"" where it names none, or is cut off in it."""
    if len(frame) < 2 or frame[0] != 0x0A:
        return b""
    stop = 2 + frame[1]
    return frame[2:stop] if frame[1] < 0x80 and stop <= len(frame) else b""


def kind_of(channel: str) -> str:
    """The channel without speed and symbol: ``public.aggre.depth``."""
    parts = channel.split("@")
    return parts[1].removesuffix(".v3.api.pb") if len(parts) > 1 else channel


class Decoder:
    """Reads frames by the schema.

    Args:
        drift: where differences from the schema are told, once each.
        symbol_of: the pair of a name on the wire; raises ``DomainError`` for what is none.

    Attributes:
        malformed: frames that could not be read.
        unused: frames that were read and were not for us.
    """

    def __init__(self, drift: Drift, symbol_of: Callable[[str], Symbol]) -> None:
        self._drift = drift
        self._symbol_of = symbol_of
        self._readers: dict[str, Callable[[Any, Any, int], Heard]] = {
            "publicAggreDeals": self._deals,
            "publicAggreDepths": self._depth,
            "privateDeals": self._own_deal,
            "privateOrders": self._own_order,
            "privateAccount": self._own_balance,
        }
        self.malformed = 0
        self.unused = 0

    def decode(self, frame: bytes, at_ns: int) -> Heard:
        """What one frame says.

        Args:
            at_ns: when it came; also the time of whatever carries none of its own.

        Raises:
            VenueUnavailable: it cannot be read; ``data`` has the channel and the field. Counted and told.
        """
        message = PushData()
        try:
            message.ParseFromString(frame)
        except DecodeError:
            self.refuse(kind_of(channel_of(frame).decode("ascii", "replace")), "*", "is no protobuf", at_ns)
        kind = kind_of(message.channel) or "frame"
        self._see_unknown(kind, "", message, at_ns)
        body: str | None = message.WhichOneof("body")
        reader = self._readers.get(body or "")
        if body is None or reader is None:
            self.unused += 1
            return Unused(body or "unknown")
        content = getattr(message, body)
        self._see_unknown(kind, body, content, at_ns)
        try:
            return reader(message, content, at_ns)
        except Misread as wrong:
            self.refuse(kind, f"{body}.{wrong.field}", wrong.what, at_ns)
        except DomainError:
            self.refuse(kind, "symbol", "is no pair that we know how to read", at_ns)

    def refuse(self, kind: str, field: str, what: str, at_ns: int) -> NoReturn:
        """Count and tell a frame that cannot be read.

        Raises:
            VenueUnavailable: always.
        """
        self.note(kind, field, what, at_ns)
        raise VenueUnavailable(
            f"a frame of {kind} cannot be read: {field} {what}; what can be asked for again is",
            channel=kind, field=field,
        )  # fmt: skip

    def note(self, kind: str, field: str, what: str, at_ns: int) -> None:
        """Count and tell a frame that turned out to be wrong."""
        self.malformed += 1
        self._drift.see(kind, field, what, at_ns)

    def _see_unknown(self, kind: str, path: str, message: Any, at_ns: int) -> None:
        for field in UnknownFieldSet(message):
            name = f"{path}.{field.field_number}" if path else str(field.field_number)
            is_body = not path and field.field_number > 300
            what = "is a body that the schema does not know" if is_body else "is a new field"
            self._drift.see(kind, name, what, at_ns)

    # -- public ----------------------------------------------------------------------------------

    def _deals(self, message: Any, body: Any, at_ns: int) -> Deals:
        symbol = self._symbol_of(message.symbol)
        found = []
        for deal in body.deals:
            self._see_unknown(kind_of(message.channel), "publicAggreDeals.deals", deal, at_ns)
            trade = Trade(
                symbol,
                _positive(deal, "price"),
                _positive(deal, "quantity"),
                _side(deal),
                _time(deal, "time"),
            )
            found.append(PublicDeal(deal.tradeId, trade))
        return Deals(symbol, tuple(found))

    def _depth(self, message: Any, body: Any, at_ns: int) -> DepthDiff:
        for levels in (body.asks, body.bids):
            for level in levels:
                self._see_unknown(kind_of(message.channel), "publicAggreDepths.levels", level, at_ns)
        first, last = _version(body, "fromVersion"), _version(body, "toVersion")
        if first > last:
            raise Misread("fromVersion", "is above toVersion")
        asks, bids = (
            [(_positive(level, "price"), _amount(level, "quantity")) for level in side]
            for side in (body.asks, body.bids)
        )
        return DepthDiff(first, last, asks, bids)

    # -- private ---------------------------------------------------------------------------------

    def _own_deal(self, message: Any, body: Any, at_ns: int) -> OwnDeal:
        if not body.tradeId:
            raise Misread("tradeId", "is missing")
        fill = Fill(
            trade_id=body.tradeId,
            client_id=body.clientOrderId,
            symbol=self._symbol_of(message.symbol),
            side=_side(body),
            price=_positive(body, "price"),
            quantity=_positive(body, "quantity"),
            fee=_number(body, "feeAmount") if body.feeAmount else Decimal(0),
            fee_asset=body.feeCurrency,
            at_ns=_time(body, "time"),
            is_maker=body.isMaker,
        )
        return OwnDeal(fill, body.orderId)

    def _own_order(self, message: Any, body: Any, at_ns: int) -> OwnOrder:
        if body.status not in _STATUSES:
            raise Misread("status", "is none that we know")
        if not body.id:
            raise Misread("id", "is missing")
        happened = message.createTime or message.sendTime
        return OwnOrder(
            client_id=body.clientId,
            venue_id=body.id,
            symbol=self._symbol_of(message.symbol),
            side=_side(body),
            status=_STATUSES[body.status],
            filled=_amount(body, "cumulativeQuantity") if body.cumulativeQuantity else Decimal(0),
            at_ns=ns(happened) if 0 < happened <= LATEST_MS else at_ns,
        )

    def _own_balance(self, message: Any, body: Any, at_ns: int) -> OwnBalance:
        if not body.vcoinName:
            raise Misread("vcoinName", "is missing")
        balance = Balance(_amount(body, "balanceAmount"), _amount(body, "frozenAmount"))
        return OwnBalance(body.vcoinName, balance, _time(body, "time"))


def _number(message: Any, field: str) -> Decimal:
    try:
        return number(getattr(message, field))
    except ValueError as wrong:
        raise Misread(field, str(wrong)) from None


def _amount(message: Any, field: str) -> Decimal:
    value = _number(message, field)
    if value < 0:
        raise Misread(field, "is below zero")
    return value


def _positive(message: Any, field: str) -> Decimal:
    value = _number(message, field)
    if value <= 0:
        raise Misread(field, "is not above zero")
    return value


def _side(message: Any) -> Side:
    side = _SIDES.get(message.tradeType)
    if side is None:
        raise Misread("tradeType", "is neither 1 (buy) nor 2 (sell)")
    return side


def _time(message: Any, field: str) -> int:
    at_ms = getattr(message, field)
    if not 0 < at_ms <= LATEST_MS:
        raise Misread(field, "is no time in milliseconds")
    return ns(at_ms)


def _version(message: Any, field: str) -> int:
    text = getattr(message, field)
    if not _VERSION.match(text):
        raise Misread(field, "is no whole number")
    return int(text)
