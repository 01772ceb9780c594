"""Clocks: the system's, a scaled one for demos, and one that a replay moves by hand.

The live desk asks this machine what time it is once, at its start. From then on it counts what has passed
since, by a clock that nobody can set, and adds what it measured that the venue is ahead (decision 0021).
"""

from __future__ import annotations

import asyncio
import bisect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.reports import ClockReading
from mexclab.errors import DomainError

SPIN_NS = 2_500_000  # asyncio wakes a millisecond or two late: the rest of a wait is spun
SLIP_NS = 5 * MILLISECOND  # accelerated work that falls behind by more than this moves the schedule
SLICE_NS = 50 * MILLISECOND  # a long wait is cut, so that a clock that is changed under us is noticed
SET_NS = SECOND  # the machine's two clocks may part by less than this between two measurements
DOUBT_NS = SECOND  # an offset that is known no better does not move a clock that has been measured before

# the one that counts on while the machine sleeps, as the venue does
_NAME = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
_COUNTING: int | None = getattr(time, _NAME, None)


def steady_ns() -> int:
    """Nanoseconds since some moment in the past. It is never set, never goes back, and does not sleep.

    Where the system has no such clock it is the one that times short spans, which on Windows does the same.
    """
    return time.perf_counter_ns() if _COUNTING is None else time.clock_gettime_ns(_COUNTING)


class SystemClock:
    """Real time: what has passed since the start, moved by what is known of the venue's clock (``shift_ns``).

    Somebody who sets this machine's clock (a person, a time service, a virtual machine that resumes) does not
    move it. A machine that slept wakes up at the right time: what fell due meanwhile is due at once, the
    venue's clock is measured anew, and until then, being measured long ago, it allows no entry. A virtual
    machine that was stopped may not notice: then its two clocks part as soon as the other one is set right,
    and ``was_set`` says so until the venue's has been measured.

    Args:
        wall_ns: this machine's clock, which anybody may set.
        steady: one that nobody can.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady: Callable[[], int] = steady_ns
    ) -> None:
        self.shift_ns = 0  # venue minus ours
        self.steady_ns = steady
        self._wall_ns = wall_ns
        self._anchor_ns = wall_ns() - steady()
        self._apart_ns = 0  # the wall clock minus ours, when the venue's was measured
        self._is_measured = False

    def machine_ns(self) -> int:
        """This machine's time as it would be had nobody set it since the start."""
        return self.steady_ns() + self._anchor_ns

    def now_ns(self) -> int:
        return self.steady_ns() + self._anchor_ns + self.shift_ns

    def was_set(self) -> bool:
        return abs(self._wall_ns() - self.machine_ns() - self._apart_ns) > SET_NS

    def follow(self, reading: ClockReading) -> None:
        """Go by what was measured against ``machine_ns``.

        An answer that contradicts all before it leaves more doubt than is worth moving the clock for: until
        the next ones tell which is right it goes on, and the limits refuse entries by the reading itself.
        """
        if self._is_measured and reading.error_ns > DOUBT_NS:
            return
        self.shift_ns, self._is_measured = reading.offset_ns, True
        self._apart_ns = self._wall_ns() - self.machine_ns()

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

    def was_set(self) -> bool:
        return False


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

    def was_set(self) -> bool:
        return False


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
