"""The venue's clock: the true offset always lies within the bound that is told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.clock import ClockTerms, OffsetEstimator, Watch, measure

NO_PAUSE = ClockTerms(pause_ms=0.0)
START_NS = 5_000 * SECOND  # of the steady clock


class World:
    """Two computers: a steady and a settable clock here, the venue's there, and a road between them.

    Args:
        offset_ns: the venue's clock minus our steady one, at the start.
        drift_ppm: how much faster the venue's clock runs than ours.
    """

    def __init__(self, offset_ns: int, drift_ppm: float = 0.0) -> None:
        self.steady = START_NS
        self.wall_ahead_ns = 1_700_000_000 * SECOND  # our wall clock minus our steady one
        self.venue_ahead_ns = self.wall_ahead_ns + offset_ns
        self.drift_ppm = drift_ppm

    def venue_ns(self) -> int:
        return self.steady + self.venue_ahead_ns + int((self.steady - START_NS) * self.drift_ppm / 1e6)

    def wall_ns(self) -> int:
        return self.steady + self.wall_ahead_ns

    @property
    def offset_ns(self) -> int:
        """The truth."""
        return self.venue_ns() - self.wall_ns()

    def exchange(self, there_ns: int, back_ns: int, false_by_ms: int = 0) -> tuple[int, int, int]:
        asked = self.steady
        self.steady += there_ns
        told = self.venue_ns() // MILLISECOND + false_by_ms
        self.steady += back_ns
        return asked, self.steady, told

    def ask(self, delays: Iterator[tuple[int, int]]) -> Callable[[], object]:
        async def ask_time() -> int:
            return self.exchange(*next(delays))[2]

        return ask_time


OFFSETS = st.integers(-10 * SECOND, 10 * SECOND)
DELAYS = st.tuples(st.integers(0, 400 * MILLISECOND), st.integers(0, 400 * MILLISECOND))
GAPS = st.integers(0, 30 * SECOND)


def assert_within(world: World, estimator: OffsetEstimator) -> None:
    reading = estimator.reading(world.steady, world.wall_ns())
    assert reading is not None
    assert abs(reading.offset_ns - world.offset_ns) <= reading.error_ns
    assert abs(reading.measured_ns - world.venue_ns()) <= reading.error_ns


@given(OFFSETS, st.lists(st.tuples(GAPS, DELAYS), min_size=1, max_size=30))
def test_the_true_offset_lies_within_the_bound_however_unequal_the_ways(
    offset_ns: int, road: list[tuple[int, tuple[int, int]]]
) -> None:
    world, estimator = World(offset_ns), OffsetEstimator()
    for gap_ns, delays in road:
        world.steady += gap_ns
        estimator.observe(*world.exchange(*delays))
        assert_within(world, estimator)
    assert estimator.seen.outliers == estimator.seen.steps == 0


@given(
    OFFSETS,
    st.floats(-100, 100),
    st.lists(st.tuples(GAPS, DELAYS), min_size=1, max_size=30),
    st.integers(0, 3600 * SECOND),
)
def test_it_does_so_while_the_clocks_drift_and_the_samples_age(
    offset_ns: int, drift_ppm: float, road: list[tuple[int, tuple[int, int]]], wait_ns: int
) -> None:
    world, estimator = World(offset_ns, drift_ppm), OffsetEstimator(ClockTerms(keep_s=1e6))
    for gap_ns, delays in road:
        world.steady += gap_ns
        estimator.observe(*world.exchange(*delays))
    world.steady += wait_ns
    assert_within(world, estimator)


@given(
    OFFSETS,
    st.lists(st.tuples(DELAYS, st.sampled_from([-5000, -2000, 2000, 5000])), min_size=1, max_size=6),
    st.lists(DELAYS, min_size=3, max_size=6),
)
def test_one_false_answer_among_honest_ones_is_never_believed(
    offset_ns: int, false: list[tuple[tuple[int, int], int]], honest: list[tuple[int, int]]
) -> None:
    world, estimator = World(offset_ns), OffsetEstimator()
    for delays in honest:
        estimator.observe(*world.exchange(*delays))
    for delays, false_by_ms in false:
        estimator.observe(*world.exchange(*delays, false_by_ms))
        assert estimator.is_in_doubt
        assert_within(world, estimator)  # the bound covers both while nobody knows
        estimator.observe(*world.exchange(*honest[0]))
        assert not estimator.is_in_doubt
        assert_within(world, estimator)
    assert estimator.seen.outliers == len(false)
    assert estimator.seen.steps == 0


@given(
    OFFSETS,
    st.sampled_from([-5 * SECOND, -900 * MILLISECOND, 900 * MILLISECOND, 5 * SECOND]),
    st.lists(DELAYS, min_size=1, max_size=6),
    st.lists(DELAYS, min_size=3, max_size=6),
)
def test_a_step_of_the_venues_clock_is_noticed_and_never_leaves_the_bound(
    offset_ns: int, step_ns: int, before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    world, estimator = World(offset_ns), OffsetEstimator()
    for delays in before:
        estimator.observe(*world.exchange(*delays))
    world.venue_ahead_ns += step_ns
    for number, delays in enumerate(after, 1):
        estimator.observe(*world.exchange(*delays))
        assert_within(world, estimator)
        assert estimator.seen.steps == (number >= 3)
    reading = estimator.reading(world.steady, world.wall_ns())
    assert reading is not None
    assert reading.error_ns <= 402 * MILLISECOND


@given(OFFSETS, st.integers(-(10**12), 10**12), DELAYS)
def test_setting_our_own_clock_moves_the_offset_and_does_no_other_harm(
    offset_ns: int, set_by_ns: int, delays: tuple[int, int]
) -> None:
    world, estimator = World(offset_ns), OffsetEstimator()
    estimator.observe(*world.exchange(*delays))
    world.wall_ahead_ns += set_by_ns
    assert_within(world, estimator)
    estimator.observe(*world.exchange(*delays))
    assert_within(world, estimator)
    assert not estimator.is_in_doubt


def test_one_sample_is_known_to_half_the_round_trip_and_half_a_millisecond() -> None:
    world, estimator = World(123_456_789), OffsetEstimator(ClockTerms(drift_ppm=0.0))
    estimator.observe(*world.exchange(10 * MILLISECOND, 30 * MILLISECOND))
    reading = estimator.reading(world.steady, world.wall_ns())
    assert reading is not None
    assert reading.error_ns == pytest.approx(20.5 * MILLISECOND, abs=2)


def test_several_samples_tell_more_than_the_best_one() -> None:
    world, estimator = World(-77_000_000), OffsetEstimator()
    errors = []
    for number in range(40):
        world.steady += 23_700_000 + number * 137_000
        there = 10 * MILLISECOND + (number * 617_919 % 6_000_000)
        estimator.observe(*world.exchange(there, 21 * MILLISECOND - there))
        reading = estimator.reading(world.steady, world.wall_ns())
        assert reading is not None
        errors.append(reading.error_ns)
        assert_within(world, estimator)
    assert errors[0] == pytest.approx(11 * MILLISECOND, rel=0.01)
    assert errors[-1] < 0.8 * errors[0]
    best = estimator.best_round_trip_ns
    assert best == 21 * MILLISECOND
    assert errors[-1] < best / 2 + MILLISECOND / 2


@given(OFFSETS)
def test_changing_phases_win_back_the_millisecond_that_the_venue_cuts_off(offset_ns: int) -> None:
    world, estimator = World(offset_ns), OffsetEstimator(ClockTerms(drift_ppm=1.0))
    for _ in range(40):
        world.steady += 23_700_000  # the default pause: the phase moves on by 0.9 ms each time
        estimator.observe(*world.exchange(100_000, 100_000))
    assert_within(world, estimator)
    reading = estimator.reading(world.steady, world.wall_ns())
    assert reading is not None
    assert reading.error_ns <= 160_000  # of the first sample alone: 600,000


def test_a_slow_answer_is_left_out_and_counted() -> None:
    world, estimator = World(0), OffsetEstimator()
    estimator.observe(*world.exchange(SECOND, SECOND + 1))
    assert estimator.reading(world.steady, world.wall_ns()) is None
    assert (estimator.seen.kept, estimator.seen.slow) == (0, 1)


def test_samples_are_forgotten_and_then_nothing_is_known() -> None:
    world, estimator = World(0), OffsetEstimator()
    estimator.observe(*world.exchange(0, 0))
    world.steady += 301 * SECOND
    assert estimator.reading(world.steady, world.wall_ns()) is None


def test_a_measurement_asks_on_until_a_doubt_is_resolved() -> None:
    world = World(250 * MILLISECOND)
    watch = Watch(world.wall_ns, lambda: world.steady, OffsetEstimator(NO_PAUSE))
    road = iter([(MILLISECOND, MILLISECOND)] * 100)
    first = asyncio.run(watch.measure(world.ask(road)))
    assert abs(first.offset_ns - world.offset_ns) <= first.error_ns <= 1.6 * MILLISECOND
    world.venue_ahead_ns += SECOND
    second = asyncio.run(watch.measure(world.ask(road)))
    assert abs(second.offset_ns - world.offset_ns) <= second.error_ns <= 1.6 * MILLISECOND
    assert watch.estimator.seen.steps == 1


async def test_a_measurement_without_any_answer_is_an_error_that_says_why() -> None:
    async def ask_time() -> int:
        raise VenueUnavailable("the network is gone")

    world = World(0)
    watch = Watch(world.wall_ns, lambda: world.steady, OffsetEstimator(NO_PAUSE))
    watch.estimator.observe(*world.exchange(0, 0))
    with pytest.raises(VenueUnavailable, match="the network is gone"):
        await watch.measure(ask_time)


async def test_one_answer_that_fails_does_not_spoil_a_measurement() -> None:
    world, calls = World(-3 * MILLISECOND), count()

    async def ask_time() -> int:
        if next(calls) == 1:
            raise VenueUnavailable("once")
        return world.exchange(MILLISECOND, MILLISECOND)[2]

    watch = Watch(world.wall_ns, lambda: world.steady, OffsetEstimator(NO_PAUSE))
    reading = await watch.measure(ask_time)
    assert abs(reading.offset_ns - world.offset_ns) <= reading.error_ns


async def test_on_real_clocks_an_honest_venue_on_this_machine_has_no_offset() -> None:
    async def ask_time() -> int:
        return time.time_ns() // MILLISECOND

    reading = await measure(ask_time, time.time_ns)
    assert abs(reading.offset_ns) <= reading.error_ns
    assert reading.error_ns < 250 * MILLISECOND


@pytest.mark.parametrize(
    "wrong", [{"samples": 0}, {"keep_s": 0.0}, {"drift_ppm": math.nan}, {"pause_ms": -1.0}]
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ClockTerms(**wrong)  # type: ignore[arg-type]


def test_a_clock_that_goes_back_cannot_time_round_trips() -> None:
    with pytest.raises(ConfigError, match="never go back"):
        OffsetEstimator().observe(2, 1, 0)
