"""The scene of a storm: a venue with many listings, and a desk on its wire; both in accelerated time."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from mexclab import bootstrap, replay
from mexclab.config import LimitSettings, ListingsSettings, OrderSettings, Settings, SnipeSettings
from mexclab.config.venue import VenueSettings
from mexclab.domain.clock import DAY, MILLISECOND, SECOND
from mexclab.domain.reports import ClockReading
from mexclab.errors import MexclabError, VenueUnavailable
from mexclab.patterns.registry import load_patterns
from mexclab.runtime.bus import Bus
from mexclab.store.memory import MemoryRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading import recovery
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.market_data import MarketData
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.venue import MexcVenue
from mexclab.venues.orders import Phase
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.scenario import Fate, ListingScript, listing_day_script
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from mexclab.venues.simulator.world import World, WorldTerms
from tests.storm.accelerated import AcceleratedLoop, MachineClock
from tests.storm.books import WatchedLedger
from tests.storm.weather import Weather
from tests.wire.conftest import LoopServer, Wire

START_NS = 20_700 * DAY + 3 * 3600 * SECOND
PATIENCE = 3000  # the venue's and ours: a storm asks in minutes what a day asks in hours
AGAIN_S = (1.0, 2.0, 4.0)  # until a desk that could not start is started again; the last one repeats
STARTS = 90


def listed(world: World, weather: Weather) -> None:
    """Bring the weather's listings into the world: scripts of other days, each with a moment of its own."""
    market, fees = world.market, (world.terms.maker_fee, world.terms.taker_fee)
    market._scripts.clear()  # the world's own, of which each day has eight
    market._waiting.clear()
    for script in scripts_of(weather):
        market._scripts[script.symbol] = script
        market._waiting.append(script)
        market.matcher.add(script.market(*fees), Phase.NOT_OPEN)
    world._look_ahead()
    world.lifecycle.changed()


def scripts_of(weather: Weather) -> Sequence[ListingScript]:
    """The scripts behind the weather's openings, in their order."""
    scripts: list[ListingScript] = []
    day = START_NS // DAY + 10
    while len(scripts) < len(weather.openings):
        of_day = listing_day_script(day, weather.seed)
        scripts += of_day if day % 2 else [each for each in of_day if each.fate is Fate.PLAIN]
        day += 1
    return [
        replace(
            script,
            announced_ns=START_NS + round((opening.at_s - opening.lead_s) * SECOND),
            open_ns=START_NS + round(opening.at_s * SECOND),
            moved_ns=None,
            moved_to_ns=None,
        )
        for script, opening in zip(scripts, weather.openings, strict=False)
    ]


def symbols_of(weather: Weather) -> list[str]:
    return [str(script.symbol) for script in scripts_of(weather)]


def settings_of(weather: Weather) -> Settings:
    """As a desk has them, but for what would keep it from entering again and again: losses, exposure."""
    chosen = weather.trading
    return Settings(
        venue=VenueSettings(near_interval_s=1, ip_weight_10s=PATIENCE),
        listings=ListingsSettings(minimum_lead_h=Decimal(0)),
        snipe=SnipeSettings(
            budget_quote=chosen.budget,
            cap_multiple=Decimal(4),
            exit_preset=chosen.preset,
            time_stop_s=chosen.time_stop_s,
            stop_loss=Decimal("0.10"),
        ),
        orders=OrderSettings(reconcile_s=chosen.reconcile_s),
        limits=LimitSettings(
            open_snipes=1000,
            orders_per_s=12,
            total_exposure_quote=Decimal(10**6),
            day_loss_quote=Decimal(10**6),
            drawdown=Decimal(1),
            concentration=Decimal(1),
            cluster_quote=Decimal(10**6),
            value_at_risk_quote=Decimal(10**6),
            expected_shortfall_quote=Decimal(10**6),
        ),
    )


@dataclass
class StormDesk(Wire):
    """A desk whose time is the loop's; ``kill`` ends its process, ``rise`` starts it until it runs."""

    ledger: WatchedLedger = field(default_factory=WatchedLedger)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    starts: int = 0
    refused_starts: int = 0
    bad_starts: list[str] = field(default_factory=list)  # that ended by what no start should end by
    is_up: bool = False

    def wall_ns(self) -> int:
        return self.base_ns + _loop().passed_ns()

    def __post_init__(self) -> None:
        self.patterns = load_patterns(self.settings.listings)
        self.strategy = load_strategy("opening_snipe", self.settings.snipe)

    async def start(self) -> None:
        loop = _loop()
        self.clock = clock = MachineClock(self.wall_ns)  # type: ignore[assignment]

        def follow(reading: ClockReading) -> None:
            clock.shift_ns = reading.offset_ns

        terms = bootstrap._terms(self.settings, self.server.url, self.server.ws_url)
        signer = Signer(PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)
        self.venue = venue = MexcVenue(clock, terms, signer, follow)
        venue.limiter._now = loop.time
        venue.stream._chance.seed(self.starts)  # its pauses are the only chance on our side of the wire
        watch = Watch(self.wall_ns, loop.passed_ns)
        venue.data = MarketData(venue.rest, watch, terms.market, loop.time)
        venue.listings.recall(sighting.fact for sighting in self.recorder.sightings())
        radar = Radar(venue, self.recorder, self.patterns)
        parts = Parts(clock, self.ledger, venue, venue, venue, radar, self.strategy, Bus())
        rules = Rules(self.settings.limits, self.settings.orders, poll_ns=SECOND, auto_arm=True)
        self.engine = Engine(parts, rules)
        self.starts += 1
        try:
            await venue.start()
            await recovery.start(self.engine, recovery.Identity("paper", "simulated MEXC", "storm"))
        except BaseException:
            await venue.stop()
            raise
        self.is_up = True
        self.running = asyncio.create_task(replay.run(self.engine, stepped=False))

    async def rise(self) -> None:
        """Start as a supervisor does: a desk that finds no venue ends, and is started again."""
        for number in range(STARTS):
            try:
                await self.start()
                return
            except VenueUnavailable:
                self.refused_starts += 1
            except MexclabError as error:
                self.refused_starts += 1
                self.bad_starts.append(f"the desk did not start: {plainly(error)}")
            await asyncio.sleep(AGAIN_S[min(number, len(AGAIN_S) - 1)])
        raise AssertionError(f"the desk did not start in {STARTS} attempts")

    async def kill(self) -> None:
        if not self.is_up:
            return
        for call in self.calls:
            call.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        await super().kill()

    async def ask(self, call: Coroutine[object, object, None]) -> bool:
        """What a person asks of the desk; False when its process ended before it was done."""
        task = asyncio.create_task(call)
        self.calls.add(task)
        await asyncio.wait({task})
        self.calls.discard(task)
        if task.cancelled():
            return False
        task.result()
        return True


def plainly(error: BaseException) -> str:
    """What was raised and the last places it came through, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    road = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__}: {error} [{road}]"


def _loop() -> AcceleratedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AcceleratedLoop)
    return loop


@contextlib.asynccontextmanager
async def staged(weather: Weather) -> AsyncIterator[StormDesk]:
    """The venue is up and its listings are written; the desk is not started yet."""
    loop = _loop()
    world = World(WorldTerms(START_NS, seed=weather.seed, pairs=(), past_days=1))
    listed(world, weather)
    terms = ServerTerms(ip_weight_10s=PATIENCE, uid_weight_10s=PATIENCE, latency_ms_median=weather.latency_ms)
    server = LoopServer(world, terms, loop)
    await server.start()
    symbol = scripts_of(weather)[0].symbol
    wrong_ns = round(weather.machine_ms * MILLISECOND)
    desk = StormDesk(server, symbol, settings_of(weather), START_NS - loop.passed_ns() + wrong_ns)
    try:
        yield desk
    finally:
        if desk.is_up:
            await desk.kill()
        await server.stop()
        world.close()
