"""Selling into a book one unit at a time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal


def brought(bids: Sequence[tuple[Decimal, int]], units: int) -> tuple[Decimal, int]:
    """What whole units bring, each at the best bid that is left, and how many find none."""
    total, waiting = Decimal(0), [price for price, size in bids for _ in range(size)]
    for price in waiting[:units]:
        total += price
    return total, max(units - len(waiting), 0)
