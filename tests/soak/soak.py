"""A soak: the daemon trades day after simulated day while its memory, files, loop and ledger are watched."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from mexclab import __version__
from mexclab.bootstrap import Assembly, Show
from mexclab.bootstrap import demo as assemble
from mexclab.config import Settings
from mexclab.daemon.process import Daemon
from mexclab.demo import demo_settings, pace_of
from mexclab.domain.clock import DAY
from mexclab.runtime.clock import Pace, ScaledClock, Stretch
from mexclab.trading import recovery
from mexclab.venues.simulator.scenario import FIRST_DAY, listing_day_script

DAY_S = 60.0  # wall time of one day of venue time
NAP_S = 0.05  # between two looks at how late the loop is
WARM = 0.25  # the first part of a run fills caches: slopes are taken over the rest
LATE_MS = 100.0  # p99 of the event loop
MOST_BYTES = 12_000.0  # a desk remembers its orders and snipes: history is no leak, but it has a price
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment.

    Attributes:
        at_s: wall seconds since the start.
        rss: bytes of memory in use; of the daemon, and of the simulator beside it.
        files: open file descriptors, likewise.
        seq: the ledger's last entry.
    """

    at_s: float
    venue_ns: int
    rss: int
    simulator_rss: int
    files: int
    simulator_files: int
    seq: int


@dataclass(slots=True)
class Soak:
    """What was seen, and what it comes to."""

    samples: list[Sample] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)  # of the event loop
    held_ms: list[float] = field(default_factory=list)  # of that, what its own thread computed
    append_ms: list[float] = field(default_factory=list)  # of the ledger
    answer_ms: list[float] = field(default_factory=list)  # of the API's snapshot
    snipes: int = 0
    closed: int = 0
    unreconciled: int = -1
    days: float = 0.0

    def figures(self) -> dict[str, float]:
        """Every figure by name, with its unit in the name."""
        warm = self.samples[int(len(self.samples) * WARM) :]
        first, last = warm[0], warm[-1]
        hours = max(last.at_s - first.at_s, 1.0) / 3600
        events = max(last.seq - first.seq, 1)
        return {
            "wall_min": self.samples[-1].at_s / 60,
            "venue_days": self.days,
            "snipes": self.snipes,
            "closed": self.closed,
            "events": self.samples[-1].seq,
            "unreconciled": self.unreconciled,
            "rss_start_mb": first.rss / 1e6,
            "rss_end_mb": last.rss / 1e6,
            "rss_slope_mb_per_h": slope([s.at_s / 3600 for s in warm], [s.rss / 1e6 for s in warm]),
            "rss_bytes_per_event": (last.rss - first.rss) / events,
            "simulator_rss_slope_mb_per_h": slope(
                [s.at_s / 3600 for s in warm], [s.simulator_rss / 1e6 for s in warm]
            ),
            "events_per_h": events / hours,
            "files_start": first.files,
            "files_end": last.files,
            "files_most": max(s.files for s in warm),
            "simulator_files_start": first.simulator_files,
            "simulator_files_end": last.simulator_files,
            "loop_late_p50_ms": quantile(self.late_ms, 0.50),
            "loop_late_p99_ms": quantile(self.late_ms, 0.99),
            "loop_late_worst_ms": max(self.late_ms, default=0.0),
            "loop_held_p99_ms": quantile(self.held_ms, 0.99),
            "ledger_append_p50_ms": quantile(self.append_ms, 0.50),
            "ledger_append_p99_ms": quantile(self.append_ms, 0.99),
            "ledger_append_worst_ms": max(self.append_ms, default=0.0),
            "snapshot_answer_p99_ms": quantile(self.answer_ms, 0.99),
        }


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the straight line through the points (least squares); 0 where there is none."""
    if len(xs) < 2 or max(xs) == min(xs):
        return 0.0
    return statistics.linear_regression(xs, ys).slope


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else 0.0


def pace(days: int, seed: int, day_s: float) -> Pace:
    """Several days, each as a demo plays it."""
    stretches: list[Stretch] = []
    for day in range(FIRST_DAY, FIRST_DAY + days):
        stretches += pace_of(listing_day_script(day, seed), day_s).stretches
    # one day's last stretch may reach into the next one's first
    ordered: dict[int, Stretch] = {stretch.start_ns: stretch for stretch in stretches}
    return Pace([ordered[start] for start in sorted(ordered)])


async def soak(folder: Path, days: int, seed: int, day_s: float, tell: Callable[[Sample], None]) -> Soak:
    """Run a desk for some days of venue time; what was seen.

    Args:
        folder: an empty one, for ledger and venue.
        days: of venue time.
        day_s: wall seconds of each.
        tell: called with every sample.
    """
    settings = demo_settings(Settings(data=folder))
    clock = ScaledClock(pace(days, seed, day_s), time.time_ns())
    start_ns = FIRST_DAY * DAY
    assembly = assemble(settings, Show(clock, start_ns, seed), __version__)
    seen = Soak()
    try:
        daemon = Daemon(settings, assembly)
        _time_appends(assembly, seen)
        async with _watched(daemon, assembly, seen, tell):
            await daemon.run(start_ns + days * DAY, _begin(clock), _end(assembly, seen))
    finally:
        assembly.close()
    seen.days = (seen.samples[-1].venue_ns - start_ns) / DAY
    return seen


def _begin(clock: ScaledClock) -> Callable[[], Awaitable[None]]:
    async def begin() -> None:
        clock.start_again()

    return begin


def _end(assembly: Assembly, seen: Soak) -> Callable[[], Awaitable[None]]:
    async def end() -> None:
        report = await recovery.reconcile(assembly.engine)
        desk = assembly.engine.desk
        seen.unreconciled = report.unknown_left + report.external
        seen.snipes, seen.closed = len(desk.snipes), len(desk.results)

    return end


def _time_appends(assembly: Assembly, seen: Soak) -> None:
    """Watch the ledger from where it is asked: each append's time is the desk's wait."""
    ledger = assembly.ledger
    append = ledger.append

    async def timed(*events: object) -> int:
        began = time.perf_counter()
        last = await append(*events)  # type: ignore[arg-type]
        seen.append_ms.append((time.perf_counter() - began) * 1e3)
        return last

    ledger.append = timed  # type: ignore[method-assign,assignment]


@contextlib.asynccontextmanager
async def _watched(
    daemon: Daemon, assembly: Assembly, seen: Soak, tell: Callable[[Sample], None]
) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_feel(seen)),
        asyncio.create_task(_look(assembly, seen, tell)),
        asyncio.create_task(_ask(daemon, seen)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _feel(seen: Soak) -> None:
    """How late the loop wakes whoever waits."""
    while True:
        due, worked = time.perf_counter() + NAP_S, time.thread_time()
        await asyncio.sleep(NAP_S)
        late_s = max(time.perf_counter() - due, 0.0)
        seen.late_ms.append(late_s * 1e3)
        seen.held_ms.append(min(late_s, time.thread_time() - worked) * 1e3)


async def _look(assembly: Assembly, seen: Soak, tell: Callable[[Sample], None]) -> None:
    began = time.perf_counter()
    child = assembly.simulator.pid if assembly.simulator is not None else os.getpid()
    engine = assembly.engine
    while True:
        sample = Sample(
            at_s=time.perf_counter() - began,
            venue_ns=engine.parts.clock.now_ns(),
            rss=_rss(os.getpid()),
            simulator_rss=_rss(child),
            files=_files(os.getpid()),
            simulator_files=_files(child),
            seq=engine.seq,
        )
        seen.samples.append(sample)
        tell(sample)
        await asyncio.sleep(1.0)


async def _ask(daemon: Daemon, seen: Soak) -> None:
    """Somebody looks at a dashboard all the while."""
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            await asyncio.sleep(0.5)
            if not daemon.url:
                continue
            began = time.perf_counter()
            with contextlib.suppress(httpx.HTTPError):
                headers = {"Authorization": f"Bearer {daemon.token}"}
                answer = await http.get(f"{daemon.url}/snapshot", headers=headers)
                answer.raise_for_status()
                seen.answer_ms.append((time.perf_counter() - began) * 1e3)


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def wrong(figures: dict[str, float], *, long: bool) -> list[str]:
    """What a good run must not show, in sentences.

    Args:
        long: the run was long enough for slopes to mean something, and had the machine for itself. Else the
            loop is charged with what it computed alone, not with what it was kept from.
    """
    found = []
    if figures["unreconciled"] != 0:
        found.append(f"{figures['unreconciled']:g} things did not agree with the venue at the end")
    if not figures["snipes"]:
        found.append("nothing was sniped, so nothing was soaked")
    if figures["files_end"] > figures["files_start"] + 8:
        found.append(f"open files grew from {figures['files_start']:g} to {figures['files_end']:g}")
    late_ms = figures["loop_late_p99_ms" if long else "loop_held_p99_ms"]
    if late_ms > LATE_MS:
        found.append(f"the loop was late by {late_ms:.1f} ms (p99)")
    if long and figures["rss_bytes_per_event"] > MOST_BYTES:
        found.append(f"memory grew by {figures['rss_bytes_per_event']:.0f} bytes an event of the ledger")
    return found
