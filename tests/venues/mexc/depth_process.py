"""A seeded order book that lives, and the frames that tell of it: whole, doubled, missing or straddling."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mexclab.venues.mexc.book import DepthSnapshot
from mexclab.venues.proto import PushData

WIRE_NAME = "BTCUSDT"
CHANNEL = f"spot@public.aggre.depth.v3.api.pb@10ms@{WIRE_NAME}"
START_VERSION = 43_296_363_236
START_MS = 1_754_741_322_152


@dataclass(frozen=True, slots=True)
class Terms:
    """How lively the book is and how badly it is told."""

    seed: int = 7
    decimals: int = 2  # of a price
    middle: int = 11_700_000  # steps
    spread: int = 150  # mean distance of a change from the middle, in steps
    most_changes: int = 20  # in one frame
    removals: float = 0.3
    lost: float = 0.0  # share of frames that never arrive
    doubled: float = 0.0


class DepthProcess:
    """The true book: every version changes one level; a frame tells of all that changed since the last."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.version = START_VERSION
        self.asks: dict[int, str] = {}
        self.bids: dict[int, str] = {}
        self._rng = random.Random(terms.seed)
        self._middle = terms.middle
        self._has_moved = False
        self._count = 0
        for _ in range(600):
            self._change()
        self.version = START_VERSION

    def _change(self) -> tuple[bool, int, str]:
        """One change: whether of an ask, the price in steps, the quantity now."""
        rng = self._rng
        if rng.random() < 0.05:
            self._middle += rng.choice((-1, 1)) * rng.randint(1, 5)
            self._has_moved = True
        if self._has_moved:  # what the middle went through is gone, one change after the other
            if self.bids and (best := max(self.bids)) >= self._middle:
                return self._put(False, best, "0")
            if self.asks and (best := min(self.asks)) <= self._middle:
                return self._put(True, best, "0")
            self._has_moved = False
        is_ask = rng.random() < 0.5
        away = 1 + int(rng.expovariate(1 / self.terms.spread))
        taken = rng.random() < self.terms.removals
        return self._put(
            is_ask, self._middle + (away if is_ask else -away), "0" if taken else self._quantity()
        )

    def _put(self, is_ask: bool, price: int, quantity: str) -> tuple[bool, int, str]:
        side = self.asks if is_ask else self.bids
        side[price] = quantity
        if quantity == "0":
            del side[price]
        self.version += 1
        return is_ask, price, quantity

    def _quantity(self) -> str:
        lots = self._rng.randint(1, 500_000_000)
        text = f"{lots // 10**8}.{lots % 10**8:08}".rstrip("0").rstrip(".")
        return text or "0.1"

    def text(self, price: int) -> str:
        decimals = self.terms.decimals
        return f"{price // 10**decimals}.{price % 10**decimals:0{decimals}}" if decimals else str(price)

    def snapshot(self) -> DepthSnapshot:
        """The whole book as of this very version."""

        def side(levels: dict[int, str], best_last: bool) -> list[tuple[Decimal, Decimal]]:
            return [
                (Decimal(self.text(price)), Decimal(levels[price]))
                for price in sorted(levels, reverse=best_last)
            ]

        return DepthSnapshot(self.version, side(self.bids, True), side(self.asks, False))

    def frame(self, within: list[DepthSnapshot] | None = None) -> bytes:
        """The next frame; with ``within``, a snapshot from the midst of it is put there."""
        first, changed = self.version + 1, dict[tuple[bool, int], str]()
        count = self._rng.randint(1, self.terms.most_changes)
        for number in range(count):
            is_ask, price, quantity = self._change()
            changed[is_ask, price] = quantity
            if within is not None and number == count // 2:
                within.append(self.snapshot())
        self._count += 1
        return depth_frame(
            (first, self.version),
            [(self.text(price), quantity) for (is_ask, price), quantity in changed.items() if is_ask],
            [(self.text(price), quantity) for (is_ask, price), quantity in changed.items() if not is_ask],
            START_MS + 10 * self._count,
        )

    def told(self, count: int) -> Iterator[tuple[bytes, list[DepthSnapshot]]]:
        """Frames as they arrive, some lost, some twice; each with a snapshot from its midst, or none."""
        rng = random.Random(self.terms.seed + 1)
        told, is_after_loss = 0, True
        while told < count:
            within: list[DepthSnapshot] = []
            frame = self.frame(within if is_after_loss and rng.random() < 0.5 else None)
            dice = rng.random()
            is_after_loss = dice < self.terms.lost
            if is_after_loss:
                continue
            for _ in range(2 if dice > 1 - self.terms.doubled else 1):
                told += 1
                yield frame, within


def depth_frame(
    versions: tuple[int, int],
    asks: list[tuple[str, str]],
    bids: list[tuple[str, str]],
    sent_ms: int = START_MS,
    channel: str = CHANNEL,
) -> bytes:
    """A frame of the depth channel, by the schema."""
    message: Any = PushData(channel=channel, symbol=channel.rpartition("@")[2], sendTime=sent_ms)
    body = message.publicAggreDepths
    for side, levels in ((body.asks, asks), (body.bids, bids)):
        for price, quantity in levels:
            side.add(price=price, quantity=quantity)
    body.eventType = channel.rpartition("@")[0]
    body.fromVersion, body.toVersion = map(str, versions)
    frame: bytes = message.SerializeToString()
    return frame
