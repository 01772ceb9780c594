"""A whole desk on the wire: the real engine and adapter, a simulated venue behind sockets.

Time is that of the one loop on which both live (``tests.patient``): it passes as the clock on the wall does,
but not while the machine gives neither of them a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar

import pytest

from mexclab import bootstrap, replay
from mexclab.config import ListingsSettings, Settings, SnipeSettings
from mexclab.config.venue import VenueSettings
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Symbol
from mexclab.domain.order import Order
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.patterns.registry import load_patterns
from mexclab.runtime.bus import Bus
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading import recovery
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.venues.matcher import Placed
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.market_data import MarketData
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.venue import MexcVenue
from mexclab.venues.simulator.fault_plan import plan_of
from mexclab.venues.simulator.pools import Pools, ServerTerms
from mexclab.venues.simulator.scenario import FIRST_DAY, Fate, listing_day_script
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from mexclab.venues.simulator.world import World, WorldTerms
from tests.patient import patient_loop
from tests.storm.accelerated import MachineClock

SEED = 7
OWNER = PAPER_ACCOUNT.owner
IDENTITY = recovery.Identity("paper", "simulated MEXC, over its wire", "test")
LEAD_NS = 2_500 * MILLISECOND  # from the desk's start to the opening
LONGEST_S = 60.0  # a condition that holds is not waited for
ORDERS = "/api/v3/order"
PATIENCE = 3000
T = TypeVar("T", bound=e.Event)


class Passing(Protocol):
    """A loop that says how much of its time has passed."""

    def passed_ns(self) -> int: ...

    def time(self) -> float: ...


class LoopServer(SimulatorServer):
    """The simulator's server on the loop's clock instead of the machine's."""

    def __init__(self, world: World, terms: ServerTerms, loop: Passing) -> None:
        super().__init__(world, terms)
        self._passed_ns = loop.passed_ns
        self._from_ns = loop.passed_ns()
        self.pools = Pools(terms, loop.time)

    def _true_ns(self) -> int:
        return self._anchor_ns + self._passed_ns() - self._from_ns


@dataclass
class Wire:
    """One venue and one desk; ``restart`` is a new process on the same ledger and venue."""

    server: SimulatorServer
    symbol: Symbol
    settings: Settings
    base_ns: int  # this machine's clock, as the desk reads it, is the loop's and this
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover and run, as the daemon does."""
        loop = patient_loop()
        self.clock = clock = MachineClock(self.wall_ns)

        def follow(reading: ClockReading) -> None:
            clock.shift_ns = reading.offset_ns

        terms = bootstrap._terms(self.settings, self.server.url, self.server.ws_url)
        signer = Signer(PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)
        self.venue = venue = MexcVenue(clock, terms, signer, follow)
        venue.limiter._now = loop.time
        venue.data = MarketData(venue.rest, Watch(self.wall_ns, loop.passed_ns), terms.market, loop.time)
        venue.listings.recall(sighting.fact for sighting in self.recorder.sightings())
        radar = Radar(venue, self.recorder, load_patterns(ListingsSettings()))
        strategy = load_strategy("opening_snipe", self.settings.snipe)
        parts = Parts(clock, self.ledger, venue, venue, venue, radar, strategy, Bus())
        # several desks share one loop here, so the clock is read less exactly than alone
        limits = self.settings.limits.model_copy(update={"clock_offset_ms": 2000})
        rules = Rules(limits, poll_ns=250 * MILLISECOND, auto_arm=True)
        self.engine = Engine(parts, rules)
        self.is_up = True
        await venue.start()
        await recovery.start(self.engine, IDENTITY)
        self.running = asyncio.create_task(replay.run(self.engine, stepped=False))

    async def kill(self) -> None:
        """End the process: nothing more is written, decided or heard."""
        self.is_up = False
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.venue.stop()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    def wall_ns(self) -> int:
        return self.base_ns + patient_loop().passed_ns()

    # -- what may be asked -----------------------------------------------------------------------

    @property
    def world(self) -> World:
        return self.server.world

    @property
    def desk(self) -> Desk:
        return self.engine.desk

    @property
    def snipe(self) -> Snipe:
        """The snipe of the listing; there is never a second one."""
        [snipe] = self._snipes()
        return snipe

    @property
    def state(self) -> SnipeState | None:
        """Of that snipe; None: not planned yet, though that of another listing may be."""
        return next((snipe.state for snipe in self._snipes()), None)

    @property
    def entries(self) -> list[Order]:
        return [order for snipe in self._snipes() for order in self.desk.entries(snipe.snipe_id)]

    @property
    def exits(self) -> list[Order]:
        return [order for snipe in self._snipes() for order in self.desk.exits(snipe.snipe_id)]

    def _snipes(self) -> list[Snipe]:
        return [snipe for snipe in self.desk.snipes.values() if snipe.plan.symbol == self.symbol]

    @property
    def placed(self) -> list[Placed]:
        """Our orders as the venue itself knows them."""
        return self.world.matcher.placed(OWNER)

    @property
    def bought(self) -> bool:
        return any(order.fills for order in self.entries)

    def told(self, kind: type[T]) -> list[T]:
        return [event for _, event in self.ledger.read() if isinstance(event, kind)]

    def alerts(self) -> list[str]:
        return [event.text for event in self.told(e.AlertRaised)]

    # -- acting and waiting ----------------------------------------------------------------------

    def plan(self, *rules: Mapping[str, object], **more: object) -> None:
        """From now on this goes wrong at the venue."""
        self.server.faults.replace(plan_of({"seed": SEED, "rule": list(rules), **more}))

    async def until(self, holds: Callable[[], object], within_s: float = LONGEST_S) -> None:
        """Wait until it holds, while the desk lives."""
        now = patient_loop().time
        ends_s = now() + within_s
        while not holds():
            if self.is_up and self.running.done():
                self.running.result()
            if now() > ends_s:
                raise AssertionError(f"not within {within_s:g} s; {self.described()}")
            await asyncio.sleep(0.005)

    async def agrees(self) -> None:
        """Ledger and venue come to hold the same, to the last digit, without anybody's help."""
        await self.until(lambda: not differences(self))
        report = await recovery.reconcile(self.engine)
        if report.unknown_left:  # an answer was lost meanwhile, of an order that the stream had told of
            await self.until(lambda: not differences(self))
            report = await recovery.reconcile(self.engine)
        assert (report.fills_found, report.unknown_left, report.external) == (0, 0, 0), self.described()

    async def is_managed(self) -> None:
        """All that was bought is offered for sale, or sold."""
        await self.until(lambda: self.bought and is_covered(self))
        await self.agrees()

    def described(self) -> str:
        """What a person wants to know of a test that failed."""
        lines = [f"snipe {self.state}", *differences(self)]
        quiet = (e.ShotTimed, e.ListingSeen, e.SignalRaised, e.DaemonStarted)
        for _, event in self.ledger.read():
            if not isinstance(event, quiet):
                lines.append(f"{(event.at_ns - self.world.terms.start_ns) / SECOND:8.3f} {event}"[:400])
        lines += [f"fault {each}" for each in self.server.faults.applied]
        return "\n".join(lines)


def is_covered(wire: Wire) -> bool:
    if wire.snipe.state.is_over:
        return True
    held = wire.desk.held(wire.symbol)
    offered = sum((order.remaining for order in wire.exits if order.is_live), Decimal(0))
    return wire.snipe.state is SnipeState.ENTERED and held == offered and bool(wire.exits)


def differences(wire: Wire) -> list[str]:
    """Where the ledger and the venue's own truth are not the same, in sentences; at one moment."""
    return [*_orders(wire), *_money(wire)]


def _orders(wire: Wire) -> Iterator[str]:
    desk, matcher = wire.desk, wire.world.matcher
    counts = Counter(placed.client_id for placed in wire.placed)
    for client_id, count in counts.items():
        if count > 1:
            yield f"{client_id} is at the venue {count} times"
        if client_id not in desk.orders:
            yield f"{client_id} is at the venue and not in the ledger"
    for order in desk.orders.values():
        there = matcher.find(OWNER, order.client_id)
        if there is None and (order.state.is_open or order.fills):
            yield f"{order.client_id} is {order.state} in the ledger and not at the venue"
        if there is not None and (there.filled, there.status.is_open) != (order.filled, order.is_live):
            yield f"{order.client_id} is {order.state}, {order.filled} filled; there {there.told()}"
    for order in desk.unknown_orders():
        yield f"{order.client_id} is of unknown fate: {order.why}"


def _money(wire: Wire) -> Iterator[str]:
    there = {fill.trade_id: fill for fill in wire.world.matcher.fills(OWNER, 0)}
    told = Counter(event.fill.trade_id for event in wire.told(e.OrderFilled))
    here = {fill.trade_id: fill for order in wire.desk.orders.values() for fill in order.fills}
    if here.keys() != there.keys() or set(told) != set(there):
        yield f"trades: {sorted(here)} in the ledger, {sorted(there)} at the venue"
        return
    twice = [trade_id for trade_id, count in told.items() if count > 1]
    if twice:
        yield f"trades that were written down twice: {twice}"
    for trade_id, fill in there.items():
        mine = here[trade_id]
        facts = [(f.client_id, f.side, f.price, f.quantity, f.fee, f.fee_asset) for f in (mine, fill)]
        if facts[0] != facts[1]:
            yield f"{trade_id}: {facts[0]} in the ledger, {facts[1]} at the venue"
    totals = {asset: held.total for asset, held in wire.world.matcher.balances(OWNER).items()}
    quote = PAPER_ACCOUNT.balances["USDT"]
    for fill in here.values():
        quote += (fill.value if fill.side == "SELL" else -fill.value) - fill.fee
    if quote != totals.get("USDT"):
        yield f"USDT: {quote} by the fills, {totals.get('USDT')} at the venue"
    yield from (each.sentence for each in recovery.balance_mismatches(wire.desk, totals))


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Wire]:
    """A venue with one listing that opens in a moment; the desk is not started yet."""
    script = next(each for each in listing_day_script(FIRST_DAY, SEED) if each.fate is Fate.PLAIN)
    start_ns = script.opens_ns - 3 * HOUR
    assert script.announced_ns < start_ns
    world = World(WorldTerms(start_ns, seed=SEED, pairs=(), past_days=1))
    terms = ServerTerms(ip_weight_10s=PATIENCE, uid_weight_10s=PATIENCE, latency_ms_median=20)
    server = LoopServer(world, terms, patient_loop())
    world.postpone(script.symbol, start_ns + LEAD_NS)
    await server.start()
    wire = Wire(server, script.symbol, settings, start_ns - patient_loop().passed_ns())
    wire.is_up = False
    try:
        yield wire
    finally:
        if wire.is_up:
            await wire.kill()
        await server.stop()
        world.close()


async def at_once(scenarios: Mapping[str, Callable[[Wire], Awaitable[None]]]) -> None:
    """Each with a venue and a desk of its own, side by side, because most of their time is waiting.

    Raises:
        BaseExceptionGroup: some failed; each failure has its name as a note.
    """

    async def one(scenario: Callable[[Wire], Awaitable[None]]) -> None:
        async with opened(usual()) as wire:
            await scenario(wire)

    ended = await asyncio.gather(*map(one, scenarios.values()), return_exceptions=True)
    failures = {name: end for name, end in zip(scenarios, ended, strict=True) if end is not None}
    for name, failure in failures.items():
        failure.add_note(f"in the scenario: {name}")
    if failures:
        raise BaseExceptionGroup(f"{', '.join(failures)}", list(failures.values()))


def usual() -> Settings:
    """As a desk has them, but for weights: here a start, a shot and a restart come within seconds."""
    venue = VenueSettings(near_interval_s=1, ip_weight_10s=PATIENCE)
    return Settings(venue=venue, snipe=SnipeSettings(cap_multiple=Decimal(3)))


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A venue whose listing opens soon after the start; ``await wire.start()`` starts the desk."""
    async with opened(usual()) as wire:
        yield wire
