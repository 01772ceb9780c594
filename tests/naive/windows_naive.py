"""Sliding windows the plain way: everything is kept, and looked through at each question."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from mexclab.domain.market import Side, Trade

GRAINS = 60


def grains_of(times_ns: Sequence[int], window_ns: int) -> list[int]:
    """The grain of each value; what comes late counts as of the newest one before it."""
    found: list[int] = []
    for at_ns in times_ns:
        found.append(max([at_ns // (window_ns // GRAINS), *found[-1:]]))
    return found


def inside(times_ns: Sequence[int], window_ns: int, now_ns: int) -> list[int]:
    """Places of the values that the window covers at ``now_ns``."""
    oldest = now_ns // (window_ns // GRAINS) - GRAINS
    return [place for place, grain in enumerate(grains_of(times_ns, window_ns)) if grain > oldest]


def highest(values: Sequence[int], times_ns: Sequence[int], window_ns: int, now_ns: int) -> int | None:
    """The highest value in the window."""
    return max((values[place] for place in inside(times_ns, window_ns, now_ns)), default=None)


def mirrored(trades: Sequence[Trade], reach_ns: int) -> list[bool]:
    """Which trades have a mirror image: same quantity, other side, within ``reach_ns``; the oldest first."""
    matched = [False] * len(trades)
    for place, trade in enumerate(trades):
        for before, other in enumerate(trades[:place]):
            fits = other.quantity == trade.quantity and other.side is not trade.side
            if fits and not matched[before] and trade.at_ns - other.at_ns <= reach_ns:
                matched[before] = matched[place] = True
                break
    return matched


def shares(
    trades: Sequence[Trade], window_ns: int, now_ns: int, reach_ns: int
) -> tuple[int, Decimal, Decimal]:
    """(trades in the window, share sold by takers, share with a mirror image); shares are 0 of nothing."""
    places, images = inside([trade.at_ns for trade in trades], window_ns, now_ns), mirrored(trades, reach_ns)
    values = {place: trades[place].price * trades[place].quantity for place in places}
    total = sum(values.values(), Decimal(0))
    if not total:
        return 0, Decimal(0), Decimal(0)
    sold = sum((v for place, v in values.items() if trades[place].side is Side.SELL), Decimal(0))
    wash = sum((v for place, v in values.items() if images[place]), Decimal(0))
    return len(places), sold / total, wash / total
