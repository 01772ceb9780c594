"""Clocks: the system's, a scaled one for demos, and one that a replay moves by hand."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import DomainError

SPIN_NS = 2_500_000  # asyncio wakes a millisecond or two late: the rest of a wait is spun
SLIP_NS = 5 * MILLISECOND  # accelerated work that falls behind by more than this moves the schedule
SLICE_NS = 50 * MILLISECOND  # a long wait is cut, so that a clock that is changed under us is noticed


class SystemClock:
    """Real time: this machine's clock, moved by what is known of the venue's (``shift_ns``)."""

    def __init__(self) -> None:
        self.shift_ns = 0  # venue minus ours

    def now_ns(self) -> int:
        return time.time_ns() + self.shift_ns

    async def sleep_until(self, at_ns: int) -> None:
        await _sleep(lambda: at_ns - self.now_ns())

    def lateness_ns(self, at_ns: int) -> int:
        return self.now_ns() - at_ns


class ManualClock:
    """Time that moves only when told; waiting for a moment makes it so."""

    def __init__(self, now_ns: int) -> None:
        self._now = now_ns

    def now_ns(self) -> int:
        return self._now

    def move_to(self, at_ns: int) -> None:
        """Make it ``at_ns``, unless it is later already; nobody else gets a turn."""
        if at_ns > self._now:
            self._now = at_ns

    async def sleep_until(self, at_ns: int) -> None:
        self.move_to(at_ns)
        await asyncio.sleep(0)

    def lateness_ns(self, at_ns: int) -> int:
        return self._now - at_ns


@dataclass(frozen=True, slots=True)
class Stretch:
    """Venue time from ``start_ns`` on passes ``speed`` times as fast as wall time."""

    start_ns: int
    speed: float


class Pace:
    """Which speed venue time has when: fast where nothing happens, slower where one wants to look.

    Args:
        stretches: ascending by start; the first one starts the show, the last one has no end.
    """

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        if not stretches or any(stretch.speed <= 0 for stretch in stretches):
            raise DomainError("a pace needs at least one stretch, each with a speed above zero")
        self.stretches = tuple(stretches)
        self._starts = [stretch.start_ns for stretch in stretches]
        if self._starts != sorted(set(self._starts)):
            raise DomainError("the stretches of a pace must be ascending by start")
        wall = 0.0
        self._walls = [0.0]  # wall ns after the first start, at the start of each stretch
        for here, there in pairwise(stretches):
            wall += (there.start_ns - here.start_ns) / here.speed
            self._walls.append(wall)

    def at(self, venue_ns: int) -> Stretch:
        return self.stretches[max(0, bisect.bisect_right(self._starts, venue_ns) - 1)]

    def wall_after(self, venue_ns: int) -> int:
        """Wall ns between the first start and ``venue_ns``."""
        place = max(0, bisect.bisect_right(self._starts, venue_ns) - 1)
        stretch = self.stretches[place]
        return int(self._walls[place] + (venue_ns - stretch.start_ns) / stretch.speed)

    def venue_after(self, wall_ns: int) -> int:
        """The venue time that is ``wall_ns`` of wall time after the first start."""
        place = max(0, bisect.bisect_right(self._walls, wall_ns) - 1)
        stretch = self.stretches[place]
        return int(stretch.start_ns + (wall_ns - self._walls[place]) * stretch.speed)


class ScaledClock:
    """Accelerated venue time that steps from one due moment to the next.

    Between two waits ``now_ns`` stands still, so that what is decided depends on the schedule and not
    on how busy the machine is: the same seed gives the same decisions. Only the waiting, and the
    lateness it reports, is real.

    Args:
        pace: venue time against wall time.
        anchor_wall_ns: the wall time (``time.time_ns``) at which the pace's first stretch starts.
        now_ns: the venue time to go on from; without it the show begins at the pace's start.
    """

    def __init__(self, pace: Pace, anchor_wall_ns: int, now_ns: int | None = None) -> None:
        self.pace = pace
        self._anchor = anchor_wall_ns
        # perf_counter does not jump when someone sets the machine's clock
        self._offset = time.time_ns() - time.perf_counter_ns()
        self._now = pace.stretches[0].start_ns if now_ns is None else now_ns

    def _wall(self) -> int:
        return time.perf_counter_ns() + self._offset - self._anchor

    def start_again(self) -> None:
        """The present moment is now: wall time that passed while nothing was played does not count."""
        self._anchor += self.lateness_ns(self._now)

    @property
    def speed(self) -> float:
        return self.pace.at(self._now).speed

    def now_ns(self) -> int:
        return self._now

    async def sleep_until(self, at_ns: int) -> None:
        behind = self.lateness_ns(self._now)
        if behind > SLIP_NS:
            self._anchor += behind  # the show takes longer; it never skips what one wants to see
        target = self.pace.wall_after(at_ns)
        await _sleep(lambda: target - self._wall())
        self._now = max(self._now, at_ns)

    def lateness_ns(self, at_ns: int) -> int:
        return self._wall() - self.pace.wall_after(at_ns)


async def _sleep(left_ns: Callable[[], int]) -> None:
    left = left_ns()
    if left <= 0:
        await asyncio.sleep(0)  # others get their turn even when we are late
        return
    while left > SPIN_NS:
        await asyncio.sleep(min(left - SPIN_NS, SLICE_NS) / SECOND)
        left = left_ns()
    while left_ns() > 0:
        pass
