"""Sliding windows over time: the highest value, and sums, at O(1) a value and in bounded memory.

A window is cut into ``GRAINS`` grains, and what is put in counts for its grain: a window of 60 s covers the
grain of now and the 59 before it. What comes late counts as of the newest grain: a window only moves on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Protocol, Self, TypeVar

GRAINS = 60
ZERO = Decimal(0)


class Ordered(Protocol):
    """What can be compared."""

    def __le__(self, other: Self, /) -> bool: ...


V = TypeVar("V", bound=Ordered)


class Highest(Generic[V]):
    """The highest value of a window: a queue of falling values, of which each grain keeps one at most.

    Args:
        window_ns: its length; at least ``GRAINS``.
    """

    __slots__ = ("_falling", "_grain_ns")

    def __init__(self, window_ns: int) -> None:
        self._grain_ns = window_ns // GRAINS
        self._falling: deque[tuple[int, V, int]] = deque()  # grain, value, when

    def put(self, at_ns: int, value: V) -> None:
        """Take one value in."""
        falling, grain = self._falling, at_ns // self._grain_ns
        if falling:
            grain = max(grain, falling[-1][0])
            while falling and falling[-1][1] <= value:
                falling.pop()
            if falling and falling[-1][0] == grain:
                return  # a higher one lives as long
        falling.append((grain, value, at_ns))
        while falling[0][0] <= grain - GRAINS:
            falling.popleft()

    def at(self, now_ns: int) -> tuple[V, int] | None:
        """The highest value as of ``now_ns`` and when it was; None: there is none in the window."""
        oldest = now_ns // self._grain_ns - GRAINS
        return next(((value, at_ns) for grain, value, at_ns in self._falling if grain > oldest), None)


@dataclass(slots=True)
class Grain:
    """What was traded in one grain: how often, and its value by kind, in quote units."""

    number: int
    trades: int = 0
    value: Decimal = ZERO
    sold: Decimal = ZERO  # where the taker sold
    mirrored: Decimal = ZERO  # in trades that have a mirror image; see ``mexclab.trading.monitors``


class Flow:
    """The trades of a window, summed by grain, and in all.

    Sums are exact as long as they have no more than the 28 digits of Decimal's context.

    Args:
        window_ns: its length; at least ``GRAINS``.
    """

    __slots__ = ("_grain_ns", "_grains", "_total")

    def __init__(self, window_ns: int) -> None:
        self._grain_ns = window_ns // GRAINS
        self._grains: deque[Grain] = deque()
        self._total = Grain(0)

    def put(self, at_ns: int, value: Decimal, is_sold: bool) -> Grain:
        """Take one trade in; the grain that it counts for."""
        grains, number = self._grains, at_ns // self._grain_ns
        if not grains or number > grains[-1].number:
            self._let_go(number - GRAINS)
            grains.append(Grain(number))
        grain, total = grains[-1], self._total
        grain.trades += 1
        total.trades += 1
        grain.value += value
        total.value += value
        if is_sold:
            grain.sold += value
            total.sold += value
        return grain

    def mirror(self, grain: Grain, value: Decimal) -> None:
        """A trade of ``grain`` has a mirror image."""
        grain.mirrored += value
        if self._grains and grain.number >= self._grains[0].number:
            self._total.mirrored += value

    def total(self, now_ns: int) -> Grain:
        """The sums of the window as of ``now_ns``; not to be changed."""
        self._let_go(now_ns // self._grain_ns - GRAINS)
        return self._total

    def _let_go(self, oldest: int) -> None:
        grains, total = self._grains, self._total
        while grains and grains[0].number <= oldest:
            gone = grains.popleft()
            total.trades -= gone.trades
            total.value -= gone.value
            total.sold -= gone.sold
            total.mirrored -= gone.mirrored
        if not grains and total.trades == 0:  # nothing that was rounded stays behind
            total.value = total.sold = total.mirrored = ZERO


class Count:
    """How often something happened within a window.

    Args:
        window_ns: its length; at least ``GRAINS``.
    """

    __slots__ = ("_grain_ns", "_grains")

    def __init__(self, window_ns: int) -> None:
        self._grain_ns = window_ns // GRAINS
        self._grains: deque[list[int]] = deque()  # [grain, how often]

    def put(self, at_ns: int) -> None:
        """It happened once more."""
        grains, grain = self._grains, at_ns // self._grain_ns
        if not grains or grain > grains[-1][0]:
            grains.append([grain, 0])
            while grains[0][0] <= grain - GRAINS:
                grains.popleft()
        grains[-1][1] += 1

    def at(self, now_ns: int) -> int:
        """How often within the window that ends at ``now_ns``."""
        oldest = now_ns // self._grain_ns - GRAINS
        return sum(often for grain, often in self._grains if grain > oldest)
