"""``mexclab demo``: a day of simulated listings in about seventy seconds, on everything that is real.

The daemon, the ledger, the matching core, the dashboard and the papermill run are the ones that trade;
only the market is simulated and time is accelerated.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import time
import webbrowser
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer

from mexclab import __version__
from mexclab.bootstrap import Assembly, Show, data_folder
from mexclab.bootstrap import demo as assemble
from mexclab.config import Settings
from mexclab.daemon.process import Daemon
from mexclab.demo_report import Report, report, written_up
from mexclab.domain.clock import DAY, MINUTE, SECOND, written
from mexclab.errors import ConfigError, MexclabError, ParameterError
from mexclab.runtime.clock import Pace, ScaledClock, Stretch
from mexclab.runtime.observe import configure
from mexclab.trading import recovery
from mexclab.venues.simulator.scenario import FIRST_DAY, ListingScript, listing_day_script

DAY_PLAYED = FIRST_DAY  # a fixed day, so that a seed means the same for ever
BEFORE_NS, MOMENT_NS, AFTER_NS = 75 * SECOND, 25 * SECOND, 34 * MINUTE
SHARES = (0.25, 0.45, 0.30)  # of the wall time: the openings, the positions, everything else
DEFAULT_SEED = 7
LONGEST_GAP_NS = 5 * MINUTE  # venue time that an interrupted demo misses at most


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for on the command line; ``seed`` None is an interrupted demo's, else 7."""

    seed: int | None = None
    seconds: float = 70
    headless: bool = False
    as_json: bool = False
    fresh: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an interrupted demo was; kept beside its ledger."""

    seed: int
    seconds: float
    venue_ns: int
    wall_ns: int
    finished: bool


def pace_of(scripts: tuple[ListingScript, ...], seconds: float) -> Pace:
    """Fast while nothing happens, slow around each opening, in between while positions are open."""
    start = scripts[0].opens_ns // DAY * DAY
    moments = sorted(script.opens_ns for script in scripts)
    end = moments[-1] + AFTER_NS
    slow = sum(BEFORE_NS + MOMENT_NS for _ in moments)
    middle = sum(AFTER_NS - MOMENT_NS for _ in moments)
    rest = max(end - start - slow - middle, SECOND)
    wall = seconds * SECOND
    speeds = [span / (wall * share) for span, share in zip((slow, middle, rest), SHARES, strict=True)]
    stretches = [Stretch(start, speeds[2])]
    for moment in moments:
        stretches += [Stretch(moment - BEFORE_NS, speeds[0]), Stretch(moment + MOMENT_NS, speeds[1])]
        stretches.append(Stretch(moment + AFTER_NS, speeds[2]))
    return Pace(stretches)


def play(settings: Settings, wishes: Wishes) -> None:
    """Play the day, or the rest of one that was interrupted.

    Raises:
        MexclabError: what went wrong, in one sentence; the exit code is the error's.
    """
    if not math.isfinite(wishes.seconds):
        raise ParameterError(f"--seconds {wishes.seconds} is not a length of time; 70 is the default")
    settings = demo_settings(settings)
    configure("json" if wishes.as_json else settings.log.format, "WARNING" if not wishes.as_json else "ERROR")
    progress = _prepare(settings, wishes)
    wishes = replace(wishes, seed=progress.seed, seconds=progress.seconds)
    scripts = listing_day_script(DAY_PLAYED, progress.seed)
    pace = pace_of(scripts, wishes.seconds)
    server = _dashboard(settings) if not wishes.headless else None
    try:
        done = asyncio.run(_Stage(settings, wishes, pace, server).run(progress))
    finally:
        if server is not None:
            server.stop()
    if wishes.as_json:
        typer.echo(json.dumps(done.to_json()))


def demo_settings(settings: Settings) -> Settings:
    """The person's settings with what makes a demo of them: its own folder and port, arming by itself."""
    return settings.model_copy(
        update={
            "mode": "paper",
            "data": settings.data / "demo",
            "ledger": settings.ledger.model_copy(update={"url": None}),
            "api": settings.api.model_copy(update={"port": 0}),
            # a look takes a millisecond or two, in which minutes pass
            # and a full comparison with the venue takes a few
            "orders": settings.orders.model_copy(update={"reconcile_s": 3600, "price_age_s": 60}),
            "listings": settings.listings.model_copy(update={"poll_interval_s": 60}),
            "snipe": settings.snipe.model_copy(update={"auto_arm": True}),
        }
    )


def _prepare(settings: Settings, wishes: Wishes) -> Progress:
    """The demo to play: an interrupted one, or a new one in a clean folder."""
    data_folder(settings)
    known = _read_progress(settings.data)
    if known is not None and not known.finished and not wishes.fresh:
        if wishes.seed not in (None, known.seed):
            raise ConfigError(
                f"an interrupted demo of seed {known.seed} is here; --fresh starts seed {wishes.seed}, "
                "without --seed the interrupted one goes on"
            )
        return known
    _clear(settings)
    seed = DEFAULT_SEED if wishes.seed is None else wishes.seed
    return Progress(seed, wishes.seconds, 0, 0, finished=False)


def _read_progress(folder: Path) -> Progress | None:
    try:
        return Progress(**json.loads((folder / "show.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write_progress(folder: Path, progress: Progress) -> None:
    fresh = folder / ".show.json.fresh"
    fresh.write_text(json.dumps(asdict(progress)))
    fresh.replace(folder / "show.json")


def _clear(settings: Settings) -> None:
    """Forget the last demo's ledger and venue; nothing else lies in this folder.

    Raises:
        LedgerInUse: a demo is running in it.
    """
    from mexclab.bootstrap import forget_ledger

    forget_ledger(settings)
    shutil.rmtree(settings.data / "paper", ignore_errors=True)
    (settings.data / "show.json").unlink(missing_ok=True)


def _dashboard(settings: Settings) -> Any:
    from mexclab.notebook.launch import start_dash

    return start_dash(settings)


def _say(wishes: Wishes, text: str) -> None:
    typer.echo(text, err=wishes.as_json)


class _Stage:
    """One run of the demo."""

    def __init__(self, settings: Settings, wishes: Wishes, pace: Pace, server: Any) -> None:
        self.settings, self.wishes, self.pace, self.server = settings, wishes, pace, server

    async def run(self, progress: Progress) -> Report:
        clock = self._clock(progress)
        show = Show(clock, self.pace.stretches[0].start_ns, progress.seed)
        assembly = assemble(self.settings, show, __version__)  # refused where a demo is running
        if progress.venue_ns:
            since = f"that was interrupted at {written(progress.venue_ns)}"
            _say(self.wishes, f"going on with the demo {since} (--fresh starts anew)")
        try:
            daemon = Daemon(self.settings, assembly)
            return await self._play(daemon, assembly, clock)
        finally:
            assembly.close()

    def _clock(self, progress: Progress) -> ScaledClock:
        """A new show starts at midnight; an interrupted one goes on a little after it was cut."""
        if not progress.venue_ns:
            return ScaledClock(self.pace, time.time_ns())
        away_ns = time.time_ns() - progress.wall_ns
        there = self.pace.venue_after(self.pace.wall_after(progress.venue_ns) + away_ns)
        now = min(there, progress.venue_ns + LONGEST_GAP_NS)
        return ScaledClock(self.pace, time.time_ns() - self.pace.wall_after(now), now)

    async def _play(self, daemon: Daemon, assembly: Assembly, clock: ScaledClock) -> Report:
        end = self.pace.stretches[-1].start_ns
        teller = _Teller(self.wishes, daemon, clock, self.settings.data)
        finished: list[Report] = []

        async def opened() -> None:
            self._announce(daemon)
            assembly.bus.subscribe(teller.take)  # after the daemon, whose tape it reads
            if self.server is not None:
                await asyncio.to_thread(self.server.wait_ready)
                webbrowser.open(self.server.url)
            clock.start_again()

        async def after() -> None:
            final = await recovery.reconcile(assembly.engine)
            teller.keep(finished=True)
            finished.append(await self._write_up(assembly, final.unknown_left + final.external))
            if self.wishes.keep:
                _say(self.wishes, "the dashboard stays up; Ctrl-C ends it")
                await asyncio.Event().wait()

        beat = asyncio.create_task(teller.beat())
        try:
            await daemon.run(end, opened, after)
        except KeyboardInterrupt:
            if not finished:
                raise
        finally:
            beat.cancel()
        return finished[0]

    def _announce(self, daemon: Daemon) -> None:
        day = written(self.pace.stretches[0].start_ns)[:10]
        where = f"; dashboard: {self.server.url}" if self.server is not None else ""
        length = f"{day} (UTC) in about {self.wishes.seconds:.0f} s, seed {self.wishes.seed}"
        _say(self.wishes, f"mexclab demo: {length}; API {daemon.url}{where}")

    async def _write_up(self, assembly: Assembly, unreconciled: int) -> Report:
        """Count, then let papermill write the day up; the run is part of what the demo shows."""
        scripts = listing_day_script(DAY_PLAYED, self.wishes.seed or 0)
        done = report(assembly.engine.desk, scripts, self._events(assembly), unreconciled)
        _say(self.wishes, written_up(done))
        from mexclab.jobs import run as run_pipeline

        try:
            job = await asyncio.to_thread(run_pipeline, "snipe_post_mortem", {}, self.settings)
        except MexclabError as error:
            typer.echo(f"mexclab: the day was played, but it could not be written up: {error}", err=True)
            return done
        _say(self.wishes, f"written up in {job.seconds:.0f} s: {job.html or job.output}")
        return done

    @staticmethod
    def _events(assembly: Assembly) -> list[Any]:
        return [event for _, event in assembly.ledger.read()]


class _Teller:
    """Tells the terminal what happens, and remembers how far the show has come."""

    def __init__(self, wishes: Wishes, daemon: Daemon, clock: ScaledClock, folder: Path) -> None:
        self._wishes, self._daemon, self._clock, self._folder = wishes, daemon, clock, folder
        self._finished = False

    def take(self, seq: int, _event: Any) -> None:
        if self._wishes.as_json or not self._daemon.tape.lines:
            return
        line = self._daemon.tape.lines[-1]
        if line.seq == seq and line.level != "info":
            typer.echo(f"{written(line.at_ns)}  {line.symbol:<10} {line.text}")

    def keep(self, finished: bool = False) -> None:
        self._finished = self._finished or finished
        wishes, now = self._wishes, self._clock.now_ns()
        progress = Progress(wishes.seed or 0, wishes.seconds, now, time.time_ns(), self._finished)
        _write_progress(self._folder, progress)

    async def beat(self) -> None:
        while True:
            self.keep()
            await asyncio.sleep(0.5)
