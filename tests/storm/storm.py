"""One storm: a venue, a desk, everything that can go wrong; and then the books are held against the venue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, MexclabError, RiskRefused
from mexclab.trading import recovery
from mexclab.venues.orders import Phase
from mexclab.venues.simulator.fault_plan import ActName, FaultPlan, FrameKind, RequestKind
from tests.storm.accelerated import AcceleratedLoop
from tests.storm.books import unlike
from tests.storm.people import carry_out
from tests.storm.scene import START_NS, plainly, scripts_of, staged, symbols_of
from tests.storm.weather import Deed, Happening, Weather, weather_of
from tests.wire.conftest import ORDERS, differences

# venue time: in which what is missing must have been asked for (all open orders are once a minute), and in
# which every position must be sold
SETTLES_S, ENDS_S = 100.0, 300.0
KINDS = (
    *(f"request {kind}" for kind in RequestKind),
    *(f"frame {kind}" for kind in FrameKind),
    *(f"act {name}" for name in get_args(ActName)),
)
STOPS_S = 20.0
TRIES = 60  # of a person who wants something


@dataclass
class Report:
    """What a storm came to; ``wrong`` is empty when it was survived."""

    seed: int
    snipes: int = 0
    entered: int = 0
    orders: int = 0
    fills: int = 0
    events: int = 0
    venue_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    settled_s: float = 0.0  # venue time from the last fault until ledger and venue agreed
    refused_starts: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # snipes by state and reason
    applied: Counter[str] = field(default_factory=Counter)  # faults, acts and deeds that happened
    wrong: list[str] = field(default_factory=list)
    story: str = ""

    def line(self) -> str:
        speed = self.venue_s / self.wall_s if self.wall_s else 0.0
        fate = "survived" if not self.wrong else f"FAILED ({len(self.wrong)})"
        return (
            f"storm {self.seed}: {fate}; {self.snipes} snipes ({self.entered} bought), {self.orders} orders, "
            f"{self.fills} fills, {self.events} events, {sum(self.applied.values())} faults and acts, "
            f"settled in {self.settled_s:.0f} s; {self.venue_s:.0f} s of venue time in {self.wall_s:.1f} s "
            f"({speed:.0f}x; {self.cpu_s:.1f} s of CPU)"
        )


def told(reports: list[Report]) -> str:
    """The sums of some storms, with the count of every kind of fault that was survived."""
    counts = Counter[str]()
    for report in reports:
        if not report.wrong:
            counts.update(report.applied)
    ends = sum((report.ends for report in reports), Counter[str]())
    lines = [report.line() for report in reports]
    lines += ["survived, by kind:"]
    lines += [f"  {kind:<28}{counts[kind]:>7}" for kind in (*KINDS, *get_args(Deed))]
    lines += ["snipes ended:", *(f"  {end:<40}{count:>5}" for end, count in ends.most_common())]
    return "\n".join(lines)


class Storm:
    """One run. ``Storm(weather).blow()`` returns what it came to; it never raises for what it finds."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.report = Report(weather.seed)
        self._people: set[asyncio.Task[None]] = set()
        self._switch = asyncio.Lock()  # who halts resumes, and not before

    def blow(self) -> Report:
        began, worked = time.perf_counter(), time.process_time()
        with asyncio.Runner(loop_factory=AcceleratedLoop) as runner:
            runner.run(self._live())
        self.report.wall_s = time.perf_counter() - began
        self.report.cpu_s = time.process_time() - worked
        return self.report

    async def _live(self) -> None:
        async with staged(self.weather) as desk:
            self.desk = desk
            desk.server.faults.replace(self.weather.plan(symbols_of(self.weather)))
            try:
                await desk.rise()
                await self._weather()
                await asyncio.gather(*self._people)
                await self._calm()
                await self._settle()
            except (MexclabError, AssertionError, ExceptionGroup) as error:
                self.report.wrong.append(plainly(error))
            self._count()
            if self.report.wrong:
                self.report.story = self._story()

    # -- while it blows --------------------------------------------------------------------------

    def _age_s(self) -> float:
        return (self.desk.world.now_ns - START_NS) / SECOND

    async def _rest(self, until_s: float) -> None:
        """Let time pass while the desk lives."""
        while self._age_s() < until_s:
            if self.desk.is_up and self.desk.running.done():
                await self._mourn()
            await asyncio.sleep(min(0.25, max(0.001, until_s - self._age_s())))

    async def _mourn(self) -> None:
        """A desk that ended by itself is a finding; the storm goes on with its successor."""
        ended = (await asyncio.gather(self.desk.running, return_exceptions=True))[0]
        why = plainly(ended) if isinstance(ended, BaseException) else "it returned"
        self.report.wrong.append(f"the desk ended by itself: {why}")
        await self.desk.kill()
        await self.desk.rise()

    async def _weather(self) -> None:
        for deed in self.weather.deeds:
            await self._rest(deed.at_s)
            if deed.deed in ("restart", "die while starting", "stop"):
                await self._restart(deed)
            else:
                turn = self._switch if deed.deed in ("halt", "resume") else asyncio.Lock()
                self._people.add(asyncio.create_task(self._ask(deed, turn)))
        await self._rest(self.weather.ends_s)

    async def _restart(self, deed: Happening) -> None:
        desk = self.desk
        if deed.deed == "stop":
            await self._stop(deed)
        await desk.kill()
        if deed.deed == "die while starting":
            rising = asyncio.create_task(desk.rise())
            await asyncio.wait({rising}, timeout=deed.for_s)
            rising.cancel()
            await asyncio.gather(rising, return_exceptions=True)
            await desk.kill()
        else:
            await asyncio.sleep(deed.for_s)
        await desk.rise()
        self.report.applied[deed.deed] += 1

    async def _stop(self, deed: Happening) -> None:
        """Ask the desk to stop, and wait for it as long as whoever stops a service does."""
        await self.desk.ask(carry_out(self.desk.engine, deed))
        await asyncio.wait({self.desk.running}, timeout=STOPS_S)

    async def _ask(self, deed: Happening, turn: asyncio.Lock) -> None:
        """A person asks for something; of a desk that is away or refuses, again a little later."""
        async with turn:
            for _ in range(TRIES):
                if self.desk.is_up:
                    try:
                        if await self.desk.ask(carry_out(self.desk.engine, deed)):
                            self.report.applied[deed.deed] += 1
                            return
                    except RiskRefused:
                        pass  # an order is of unknown fate: it will be known
                    except DomainError:
                        return  # there was nothing to do it to
                await asyncio.sleep(1.0)

    # -- after it --------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Nothing goes wrong any more, and what was closed for a while is open again."""
        server, world = self.desk.server, self.desk.world
        applied = server.faults.applied
        self.report.applied.update(_kind(each) for each in applied if not each.what.startswith("not done"))
        server.faults.replace(FaultPlan())
        for script in scripts_of(self.weather):
            decree = world.matcher.decrees.get(script.symbol)
            if decree is not None:
                world.limit_sides(script.symbol, None)
                if decree.is_paused:
                    world.reopen(script.symbol)
        if self.desk.desk.halt is not None:
            await self._ask(Happening(self._age_s(), "resume"), self._switch)

    async def _settle(self) -> None:
        """Ledger and venue come to agree by themselves, every snipe to its end; nothing is left to find."""
        desk, calm_s = self.desk, self._age_s()
        await self._comes_right(lambda: differences(desk), SETTLES_S)
        self.report.settled_s = self._age_s() - calm_s
        await self._comes_right(lambda: [*differences(desk), *self._unfinished()], ENDS_S)
        found = await recovery.reconcile(desk.engine)
        if (found.fills_found, found.unknown_left, found.external) != (0, 0, 0):
            self.report.wrong.append(f"a last comparison found {found}")
        self.report.wrong += [f"after it: {each}" for each in differences(desk)]
        self.report.wrong += desk.ledger.broken[:20]
        self.report.wrong += desk.bad_starts[:5]
        again = Desk.of(event for _, event in desk.ledger.read())
        self.report.wrong += unlike(desk.desk, again)
        desk.ledger.verify()

    async def _comes_right(self, wrong: Callable[[], list[str]], within_s: float) -> None:
        """Wait until nothing is wrong; what still is after ``within_s`` of venue time is a finding."""
        ends_s = self._age_s() + within_s
        while left := wrong():
            if self._age_s() > ends_s:
                self.report.wrong += left
                return
            await self._rest(self._age_s() + 0.25)

    def _unfinished(self) -> Iterator[str]:
        """Snipes that are not over although their symbol trades."""
        for snipe in self.desk.desk.live_snipes():
            book = self.desk.world.matcher.books.get(snipe.plan.symbol)
            if snipe.state is SnipeState.FIRING or (book is not None and book.phase is Phase.OPEN):
                yield f"{snipe.snipe_id} is {snipe.state}, and should be over"

    # -- what it came to -------------------------------------------------------------------------

    def _count(self) -> None:
        report, desk = self.report, self.desk.desk
        report.snipes, report.orders = len(desk.snipes), len(desk.orders)
        report.entered = sum(1 for s in desk.snipes if any(o.fills for o in desk.entries(s)))
        report.fills = sum(len(order.fills) for order in desk.orders.values())
        report.events = self.desk.ledger.last()
        report.venue_s, report.refused_starts = self._age_s(), self.desk.refused_starts
        report.ends = Counter(f"{s.state} {s.reason or s.exit_why}".strip() for s in desk.snipes.values())

    def _story(self) -> str:
        """What a person wants to know of a storm that was not survived: the events of whom it struck."""
        words = " ".join(self.report.wrong)
        struck = {snipe_id for snipe_id in self.desk.desk.snipes if snipe_id in words}
        trades = {f.trade_id: f.client_id for o in self.desk.desk.orders.values() for f in o.fills}
        struck |= {e.snipe_of(client_id) for trade, client_id in trades.items() if trade in words}
        lines = []
        for seq, event in self.desk.ledger.read():
            mine = e.correlation(event)
            if mine in struck or isinstance(event, e.DaemonStarted | e.Halted | e.Resumed):
                lines.append((event.at_ns, f"{seq:6} {event}"[:420]))
        applied = self.desk.server.faults.applied
        lines += [(each.at_ns, f"       fault {_kind(each)}: {each.what}") for each in applied]
        return "\n".join(f"{(at - START_NS) / SECOND:9.3f} {line}" for at, line in sorted(lines))


def _kind(applied: object) -> str:
    rule, fault = getattr(applied, "rule", ""), getattr(applied, "fault", "")
    return f"act {fault}" if rule == "act" else str(rule)


def storm(seed: int, snipes: int) -> Report:
    """Let one storm blow."""
    return Storm(weather_of(seed, snipes)).blow()


__all__ = ["KINDS", "ORDERS", "Report", "Storm", "storm", "told"]
