"""Clocks: venue time against wall time, and what a wait promises."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab import bootstrap
from mexclab.config import Settings
from mexclab.config.venue import VenueSettings
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.reports import ClockReading
from mexclab.errors import DomainError
from mexclab.runtime.clock import SLIP_NS, ManualClock, Pace, ScaledClock, Stretch, SystemClock, steady_ns
from mexclab.venues.mexc.clock import Watch

START = 20_600 * DAY
STEP_NS = 256  # two neighbouring float64 are this far apart at today's nanoseconds since the epoch
FAST = 1_000.0


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    gaps = draw(st.lists(st.integers(MILLISECOND, DAY), max_size=5))
    starts = [START + draw(st.integers(0, DAY))]
    for gap in gaps:
        starts.append(starts[-1] + gap)
    speed = st.floats(0.25, 20_000.0)
    return Pace([Stretch(start, draw(speed)) for start in starts])


def fastest(pace: Pace) -> float:
    return max(stretch.speed for stretch in pace.stretches)


def slowest(pace: Pace) -> float:
    return min(stretch.speed for stretch in pace.stretches)


def naive_wall(pace: Pace, venue_ns: int) -> float:
    """Stretch by stretch: how much of it has passed, over its speed."""
    ends = [stretch.start_ns for stretch in pace.stretches[1:]] + [max(venue_ns, pace.stretches[-1].start_ns)]
    return sum(
        max(0, min(end, venue_ns) - stretch.start_ns) / stretch.speed
        for stretch, end in zip(pace.stretches, ends, strict=True)
    )


def scaled(speed: float = FAST, now_ns: int | None = None) -> ScaledClock:
    return ScaledClock(Pace([Stretch(START, speed)]), time.time_ns(), now_ns)


def work(wall_ns: int) -> None:
    """Keep the loop busy, as a computation would."""
    until = time.perf_counter_ns() + wall_ns
    while time.perf_counter_ns() < until:
        pass


# -- pace ------------------------------------------------------------------------------------------


@given(paces(), st.integers(0, 3 * DAY))
@settings(max_examples=60)
def test_wall_time_is_the_sum_of_what_passed_of_each_stretch_over_its_speed(
    pace: Pace, after_ns: int
) -> None:
    venue_ns = pace.stretches[0].start_ns + after_ns
    assert pace.wall_after(venue_ns) == pytest.approx(naive_wall(pace, venue_ns), rel=1e-12, abs=2)


@given(paces(), st.integers(0, 3 * DAY))
@settings(max_examples=60)
def test_to_wall_time_and_back_is_the_same_moment(pace: Pace, after_ns: int) -> None:
    venue_ns = pace.stretches[0].start_ns + after_ns
    there_and_back = pace.venue_after(pace.wall_after(venue_ns))
    assert abs(there_and_back - venue_ns) <= STEP_NS + 3 * fastest(pace)  # the wall time is whole nanoseconds


@given(paces(), st.integers(0, HOUR))
@settings(max_examples=60)
def test_to_venue_time_and_back_is_the_same_wall_time(pace: Pace, wall_ns: int) -> None:
    assert abs(pace.wall_after(pace.venue_after(wall_ns)) - wall_ns) <= 2 + STEP_NS / slowest(pace)


@given(paces(), st.lists(st.integers(0, 3 * DAY), min_size=2, max_size=8))
@settings(max_examples=60)
def test_neither_time_runs_backward_against_the_other(pace: Pace, moments: list[int]) -> None:
    first = pace.stretches[0].start_ns
    near = [stretch.start_ns - first + near for stretch in pace.stretches for near in (-1, 0, 1)]
    ordered = sorted({*moments, *(moment for moment in near if moment >= 0)})
    walls = [pace.wall_after(first + moment) for moment in ordered]
    assert walls == sorted(walls)
    for here, there in pairwise(sorted({*walls, *moments})):
        assert pace.venue_after(here) <= pace.venue_after(there) + STEP_NS


def test_a_stretch_holds_from_its_start_until_the_next_one() -> None:
    pace = Pace([Stretch(START, 10.0), Stretch(START + HOUR, 2.0)])
    assert [pace.at(START + at).speed for at in (0, HOUR - 1, HOUR, DAY)] == [10.0, 10.0, 2.0, 2.0]
    assert pace.at(START - 1).speed == 10.0, "before the show the first stretch holds"
    assert pace.wall_after(START + 2 * HOUR) == HOUR // 10 + HOUR // 2


@pytest.mark.parametrize(
    "stretches",
    [
        [],
        [Stretch(START, 0.0)],
        [Stretch(START, 1.0), Stretch(START, 2.0)],
        [Stretch(START + 1, 1.0), Stretch(START, 2.0)],
    ],
)
def test_a_pace_without_a_direction_does_not_exist(stretches: list[Stretch]) -> None:
    with pytest.raises(DomainError, match="pace"):
        Pace(stretches)


# -- scaled clock ----------------------------------------------------------------------------------


async def test_a_scaled_clock_steps_to_the_due_moment_and_stands_still_between_waits() -> None:
    clock = scaled()
    for at in (START + 1, START + 2 * SECOND + 7, START + 5 * SECOND):
        await clock.sleep_until(at)
        assert clock.now_ns() == at
        work(MILLISECOND)
        assert clock.now_ns() == at, "what is decided does not depend on how long it takes to decide"


async def test_a_scaled_clock_never_moves_backward() -> None:
    clock = scaled()
    await clock.sleep_until(START + 5 * SECOND)
    await clock.sleep_until(START + SECOND)
    assert clock.now_ns() == START + 5 * SECOND


async def test_a_scaled_wait_takes_the_wall_time_that_its_pace_says() -> None:
    clock = ScaledClock(Pace([Stretch(START, 1e6), Stretch(START + HOUR, 100.0)]), time.time_ns())
    await clock.sleep_until(START + HOUR)
    before = time.perf_counter_ns()
    await clock.sleep_until(START + HOUR + 3 * SECOND)
    assert time.perf_counter_ns() - before >= 30 * MILLISECOND - SLIP_NS
    assert clock.speed == 100.0


async def test_a_scaled_clock_that_falls_behind_slips_and_skips_nothing() -> None:
    clock = scaled()
    await clock.sleep_until(START + SECOND)
    work(40 * MILLISECOND)
    before = time.perf_counter_ns()
    await clock.sleep_until(START + 21 * SECOND)  # 20 ms of wall time, of which all would have passed
    assert time.perf_counter_ns() - before >= 20 * MILLISECOND - SLIP_NS
    assert clock.now_ns() == START + 21 * SECOND


async def test_a_scaled_clock_measures_lateness_on_the_wall() -> None:
    clock = scaled()
    await clock.sleep_until(START + SECOND)
    late = clock.lateness_ns(START + SECOND)
    assert late >= 0, "a wait returns not before its moment"
    work(10 * MILLISECOND)
    assert clock.lateness_ns(START + SECOND) >= late + 10 * MILLISECOND
    assert clock.lateness_ns(START + HOUR) < 0, "it is still to come"


async def test_wall_time_in_which_nothing_was_played_does_not_count() -> None:
    clock = scaled()
    work(20 * MILLISECOND)
    late = clock.lateness_ns(START)
    clock.start_again()
    assert late >= 20 * MILLISECOND
    assert 0 <= clock.lateness_ns(START) < late


async def test_a_scaled_clock_goes_on_from_where_a_show_was_left() -> None:
    clock = scaled(now_ns=START + HOUR)
    assert clock.now_ns() == START + HOUR
    await clock.sleep_until(START + SECOND)
    assert clock.now_ns() == START + HOUR


# -- system clock and manual clock -----------------------------------------------------------------


async def test_the_system_clock_returns_not_before_the_moment() -> None:
    clock = SystemClock()
    for wait_ns in (MILLISECOND // 10, 3 * MILLISECOND, 60 * MILLISECOND):
        at = clock.now_ns() + wait_ns
        await clock.sleep_until(at)
        assert clock.now_ns() >= at
        assert clock.lateness_ns(at) >= 0
    assert clock.lateness_ns(clock.now_ns() + HOUR) < 0


@dataclass
class Machine:
    """A machine with a clock that people set, and one that they cannot."""

    wall_ns: int = START
    steady_ns: int = 5 * HOUR

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall_ns, lambda: self.steady_ns)

    def passes(self, by_ns: int) -> None:
        self.wall_ns += by_ns
        self.steady_ns += by_ns


@pytest.mark.parametrize("step_ns", [-HOUR, -2 * SECOND, 2 * SECOND, 3 * HOUR])
def test_setting_the_machine_does_not_move_the_system_clock_and_is_noticed_until_it_is_measured(
    step_ns: int,
) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.follow(ClockReading(120 * MILLISECOND, MILLISECOND, START))
    machine.passes(MINUTE)
    assert (clock.now_ns(), clock.was_set()) == (START + MINUTE + 120 * MILLISECOND, False)
    machine.wall_ns += step_ns
    assert (clock.now_ns(), clock.was_set()) == (START + MINUTE + 120 * MILLISECOND, True)
    clock.follow(ClockReading(130 * MILLISECOND, MILLISECOND, clock.now_ns()))
    machine.passes(MINUTE)
    assert (clock.now_ns(), clock.was_set()) == (START + 2 * MINUTE + 130 * MILLISECOND, False)


def test_a_machine_that_slept_wakes_up_at_the_right_time() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(8 * HOUR)  # its steady clock counts on, and the other one is right
    assert (clock.now_ns(), clock.was_set()) == (START + 8 * HOUR, False)


def test_a_machine_that_was_stopped_without_noticing_is_in_doubt_until_the_venue_is_asked() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += 20 * MINUTE  # only the time service tells it
    assert clock.was_set()
    clock.follow(ClockReading(20 * MINUTE, MILLISECOND, START + 20 * MINUTE))
    assert (clock.now_ns(), clock.was_set()) == (START + 20 * MINUTE, False)


def test_an_offset_that_is_hardly_known_does_not_move_a_clock_that_was_measured() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.follow(ClockReading(3 * SECOND, 2 * SECOND, START))
    assert clock.shift_ns == 3 * SECOND, "better than nothing"
    clock.follow(ClockReading(SECOND, MILLISECOND, START))
    machine.wall_ns += HOUR
    clock.follow(ClockReading(HOUR, HOUR, START))
    assert (clock.shift_ns, clock.was_set()) == (SECOND, True)


def test_the_venues_clock_is_measured_against_the_clock_that_follows_it() -> None:
    machine = Machine()
    clock = machine.clock()
    watch = Watch(clock.machine_ns, clock.steady_ns)
    venue_ms = (START + 70 * MILLISECOND) // MILLISECOND
    for step_ns in (0, -HOUR, 3 * HOUR):
        machine.wall_ns += step_ns
        watch.estimator.observe(machine.steady_ns, machine.steady_ns, venue_ms)
        reading = watch.reading()
        assert reading is not None
        clock.follow(reading)
        assert abs(clock.now_ns() - START - 70 * MILLISECOND) <= MILLISECOND
        assert clock.now_ns() - reading.measured_ns == 0, "it was measured now"


async def test_a_desk_measures_the_venue_against_its_own_clock() -> None:
    settings = Settings(venue=VenueSettings(rest_url="http://127.0.0.1:9"))
    way = bootstrap.road(settings, "test", lambda: pytest.fail("no key is needed"))
    try:
        assert isinstance(way.clock, SystemClock)
        watch = way.venue.data.watch
        assert (watch.wall_ns, watch.steady_ns) == (way.clock.machine_ns, way.clock.steady_ns)
    finally:
        await way.venue.stop()


def test_the_steady_clock_counts_nanoseconds_and_never_goes_back() -> None:
    read = [steady_ns() for _ in range(1000)]
    assert read == sorted(read)
    before, wall = steady_ns(), time.time_ns()
    work(20 * MILLISECOND)
    assert abs((steady_ns() - before) - (time.time_ns() - wall)) < 10 * MILLISECOND


@pytest.mark.parametrize(
    "clock", [SystemClock(), ManualClock(START), scaled()], ids=lambda c: type(c).__name__
)
async def test_a_wait_for_the_past_gives_others_their_turn(
    clock: SystemClock | ManualClock | ScaledClock,
) -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    task = asyncio.create_task(other())
    await clock.sleep_until(START - HOUR)
    assert turns == ["other"]
    await task


async def test_a_manual_clock_moves_only_when_told_and_never_backward() -> None:
    clock = ManualClock(START)
    work(MILLISECOND)
    assert clock.now_ns() == START
    await clock.sleep_until(START + HOUR)
    await clock.sleep_until(START + SECOND)
    assert clock.now_ns() == START + HOUR
    assert clock.lateness_ns(START + SECOND) == HOUR - SECOND
