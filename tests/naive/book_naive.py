"""The live book as one would explain it: a dict of Decimal a side, frames read by protobuf's own means."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mexclab.venues.mexc.book import DepthSnapshot
from mexclab.venues.proto import PushData


class NaiveBook:
    """MEXC's sync rule, step by step. ``version`` is None while a snapshot is needed."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.sides: dict[str, dict[Decimal, Decimal]] = {"asks": {}, "bids": {}}
        self.waiting: list[Any] = []
        self.resyncs = 0

    def take(self, frame: bytes) -> None:
        body = PushData.FromString(frame).publicAggreDepths
        if self.version is None:
            self.waiting.append(body)
            return
        first, last = int(body.fromVersion), int(body.toVersion)
        if last <= self.version:
            return
        if first > self.version + 1:
            self.version = None
            self.resyncs += 1
            self.waiting = [body]
            return
        for name, side in self.sides.items():
            for level in getattr(body, name):
                price, quantity = Decimal(level.price), Decimal(level.quantity)
                if quantity == 0:
                    side.pop(price, None)
                else:
                    side[price] = quantity
        self.version = last

    def anchor(self, snapshot: DepthSnapshot) -> bool:
        newer = [body for body in self.waiting if int(body.toVersion) > snapshot.last_update_id]
        if newer and int(newer[0].fromVersion) > snapshot.last_update_id + 1:
            return False
        self.sides = {"asks": dict(snapshot.asks), "bids": dict(snapshot.bids)}
        self.version = snapshot.last_update_id
        self.waiting = []
        for number, body in enumerate(newer):
            self.take(_frame(body))
            if self.version is None:
                self.waiting = newer[number:]
                return False
        return True

    def levels(self, side: str) -> list[tuple[Decimal, Decimal]]:
        """All of them, best first."""
        return sorted(self.sides[side].items(), reverse=side == "bids")


def _frame(body: Any) -> bytes:
    message = PushData()
    message.publicAggreDepths.CopyFrom(body)
    frame: bytes = message.SerializeToString()
    return frame
