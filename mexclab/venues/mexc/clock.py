"""How far the venue's clock is from ours, and how far from that estimate it can be at most.

The venue tells its time in whole milliseconds, cut off, from some moment between our asking and its answer's
arrival. So one sample does not say what the offset is, but between which two values it lies: as far apart as
the round trip and the lost millisecond, however unequally the way there and the way back share the time. All
samples are about the same offset, so it lies where they overlap: a few of them, asked at different phases of
the millisecond, tell far more than the best one. An average would say less, and not how wrong it is.

Samples are kept against a clock of ours that never steps, so setting this machine's clock does no harm.
Each sample's bounds widen with age by what two clocks may drift. A sample that overlaps with none of the
others is either wrong or the first after a step of the venue's clock; until the next ones tell which, the
bound covers both, which is too wide to trade on: that is meant. A step smaller than the round trips is
noticed when the overlap is used up; old samples are forgotten, so that it cannot mislead for long.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.reports import ClockReading
from mexclab.errors import ConfigError, VenueUnavailable

GRAIN_NS = MILLISECOND  # the venue cuts its time off to this


@dataclass(frozen=True, slots=True)
class ClockTerms:
    """How the venue's clock is measured."""

    samples: int = 5  # of one measurement
    pause_ms: float = 23.7  # between two of them: no whole milliseconds, so that the phases differ
    keep: int = 40
    keep_s: float = 300.0
    drift_ppm: float = 100.0  # of our clock against the venue's, at most
    slowest_ms: float = 2_000.0  # a round trip above it tells too little to be kept
    steps_after: int = 3  # samples in a row that contradict all before them: the clock was set

    def __post_init__(self) -> None:
        for name in ("samples", "keep", "steps_after"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", name=name)
        for name in ("keep_s", "slowest_ms"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above zero", name=name)
        for name in ("pause_ms", "drift_ppm"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative", name=name)


class Sample(NamedTuple):
    """One answer: asked and heard on our steady clock, and what the venue's said."""

    asked_ns: int
    heard_ns: int
    venue_ms: int

    @property
    def round_trip_ns(self) -> int:
        return self.heard_ns - self.asked_ns

    def bounds(self, now_ns: int, drift_ppm: float) -> Bounds:
        """Between what the venue's clock minus our steady one lies at ``now_ns``, going by this alone."""
        told_ns = self.venue_ms * MILLISECOND
        drift_ns = int(abs(now_ns - self.asked_ns) * drift_ppm / 1e6) + 1
        return Bounds(told_ns - self.heard_ns - drift_ns, told_ns + GRAIN_NS - self.asked_ns + drift_ns)


class Bounds(NamedTuple):
    """From the least to the greatest value that it can be."""

    least: int
    most: int

    def meets(self, other: Bounds) -> bool:
        return self.least <= other.most and other.least <= self.most

    def common(self, other: Bounds) -> Bounds:
        return Bounds(max(self.least, other.least), min(self.most, other.most))

    def hull(self, other: Bounds) -> Bounds:
        return Bounds(min(self.least, other.least), max(self.most, other.most))


@dataclass(slots=True)
class Seen:
    """What has been noticed, for display."""

    kept: int = 0
    slow: int = 0  # left out: the round trip was too long to tell anything
    outliers: int = 0  # left out: they contradicted the others, and later ones did not bear them out
    steps: int = 0  # of the venue's clock, or of ours while the machine slept


class OffsetEstimator:
    """Makes one estimate with an error bound out of many samples.

    Args:
        terms: what is kept and when a step is believed.
    """

    def __init__(self, terms: ClockTerms | None = None) -> None:
        self.terms = terms or ClockTerms()
        self.seen = Seen()
        self._samples: deque[Sample] = deque(maxlen=self.terms.keep)
        self._suspects: list[Sample] = []

    @property
    def best_round_trip_ns(self) -> int | None:
        """The shortest round trip of the samples that are kept."""
        return min((sample.round_trip_ns for sample in self._samples), default=None)

    @property
    def is_in_doubt(self) -> bool:
        """Whether the newest samples contradict the others, and it is not known yet which are right."""
        return bool(self._suspects)

    def observe(self, asked_ns: int, heard_ns: int, venue_ms: int) -> None:
        """Take in one answer; times are of our steady clock."""
        sample = Sample(asked_ns, heard_ns, venue_ms)
        if sample.round_trip_ns < 0:
            raise ConfigError("the clock that measures round trips must never go back")
        if sample.round_trip_ns > self.terms.slowest_ms * MILLISECOND:
            self.seen.slow += 1
            return
        self.seen.kept += 1
        self._forget(heard_ns)
        found = sample.bounds(heard_ns, self.terms.drift_ppm)
        known = self._overlap(self._samples, heard_ns)
        suspected = self._overlap(self._suspects, heard_ns)
        if known is None or known.meets(found):
            self._samples.append(sample)
            if suspected is not None and not suspected.meets(found):
                self._drop_suspects()
            return
        if suspected is not None and not suspected.meets(found):
            self._drop_suspects()  # neither with the others nor with each other
        self._suspects.append(sample)
        if len(self._suspects) >= self.terms.steps_after:
            self.seen.steps += 1
            self._samples.clear()
            self._samples.extend(self._suspects)
            self._suspects.clear()

    def bounds(self, now_ns: int) -> Bounds | None:
        """Between what the venue's clock minus our steady one lies now; None when nothing is known."""
        self._forget(now_ns)
        known = self._overlap(self._samples, now_ns)
        suspected = self._overlap(self._suspects, now_ns)
        if known is None or suspected is None:
            return known or suspected
        return known.hull(suspected)

    def reading(self, steady_ns: int, wall_ns: int, read_within_ns: int = 0) -> ClockReading | None:
        """The venue's clock minus our wall clock, at a moment that both of our clocks tell.

        Args:
            steady_ns: the moment on the clock of the samples.
            wall_ns: the same moment on the clock that the offset is wanted for.
            read_within_ns: how far apart the two may have been read.

        Returns:
            ``error_ns`` bounds the offset on either side; ``measured_ns`` is the moment on the venue's clock.
            None when nothing is known.
        """
        bounds = self.bounds(steady_ns)
        if bounds is None:
            return None
        least, most = (bound + steady_ns - wall_ns for bound in bounds)
        offset = (least + most) // 2
        return ClockReading(offset, most - offset + read_within_ns, wall_ns + offset)

    def _overlap(self, samples: Iterable[Sample], now_ns: int) -> Bounds | None:
        overlap: Bounds | None = None
        for sample in samples:
            bounds = sample.bounds(now_ns, self.terms.drift_ppm)
            overlap = bounds if overlap is None else overlap.common(bounds)
        return overlap

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns - self.terms.keep_s * SECOND
        while self._samples and self._samples[0].heard_ns < oldest:
            self._samples.popleft()
        self._suspects = [sample for sample in self._suspects if sample.heard_ns >= oldest]

    def _drop_suspects(self) -> None:
        self.seen.outliers += len(self._suspects)
        self._suspects.clear()


@dataclass(slots=True)
class Watch:
    """Our two clocks, and what is known of the venue's through them.

    Attributes:
        wall_ns: the clock whose offset is wanted; it may be set at any time.
        steady_ns: the clock that times round trips; it never steps.
    """

    wall_ns: Callable[[], int] = time.time_ns
    steady_ns: Callable[[], int] = time.perf_counter_ns
    estimator: OffsetEstimator = field(default_factory=OffsetEstimator)

    def reading(self) -> ClockReading | None:
        """The offset now, from what was heard so far; None when nothing is known."""
        best = None
        for _ in range(3):  # a moment's absence between the two would be taken for an offset
            before = self.steady_ns()
            wall = self.wall_ns()
            took = self.steady_ns() - before
            if best is None or took < best[2]:
                best = (before, wall, took)
        assert best is not None
        return self.estimator.reading(*best)

    async def measure(self, ask_time: Callable[[], Awaitable[int]]) -> ClockReading:
        """Ask the venue for its time, a few times, and say how far its clock is from ours.

        Args:
            ask_time: asks once; the answer in milliseconds since the Unix epoch.

        Raises:
            VenueUnavailable: no answer told anything; what was known before is kept.
        """
        terms, seen = self.estimator.terms, self.estimator.seen
        kept, why = seen.kept, f"no answer within {terms.slowest_ms:g} ms"
        for number in range(terms.samples + terms.steps_after):
            if number >= terms.samples and not self.estimator.is_in_doubt:
                break
            if number:
                await asyncio.sleep(terms.pause_ms / 1000)
            asked = self.steady_ns()
            try:
                venue_ms = await ask_time()
            except VenueUnavailable as error:
                why = error.message
                continue
            self.estimator.observe(asked, self.steady_ns(), venue_ms)
        reading = self.reading()
        if seen.kept == kept or reading is None:
            raise VenueUnavailable(f"the venue's clock could not be measured: {why}")
        return reading


async def measure(ask_time: Callable[[], Awaitable[int]], wall_ns: Callable[[], int]) -> ClockReading:
    """One measurement from nothing; :class:`Watch` remembers the ones before, which is better."""
    return await Watch(wall_ns).measure(ask_time)
