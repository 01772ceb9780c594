"""The adapter's questions over a simulated venue on a real port, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mexclab.domain.reports import DriftSeen
from mexclab.venues.mexc.clock import ClockTerms, OffsetEstimator, Watch
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.market_data import MarketData, MarketTerms
from mexclab.venues.mexc.rest import Rest, RestTerms
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.simulator.fault_plan import FaultPlan
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.world import PAPER_ACCOUNT, Account, World, WorldTerms
from tests.venues.served import PATIENT, START_NS, Served, served

GENEROUS = LimitTerms(
    ip_weight_per_10s=100_000, uid_weight_per_10s=100_000, accounts_per_s=1000, breaker_failures=1000
)
PAPER = (PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)


def quiet_world(*accounts: Account) -> World:
    """Two pairs that hardly move, so that hours pass quickly."""
    terms = WorldTerms(
        START_NS,
        seed=7,
        accounts=accounts or (PAPER_ACCOUNT,),
        pairs=("BTCUSDT", "MXUSDT"),
        stride_ms=60_000,
        past_days=1,
    )
    return World(terms)


@dataclass(frozen=True)
class Setup:
    """What one test wants otherwise than usual."""

    key: tuple[str, str] | None = PAPER
    plan: FaultPlan | None = None
    world: World | None = None
    server: ServerTerms = PATIENT
    market: MarketTerms = field(default_factory=lambda: MarketTerms(fresh_for_s=0.0))
    rest: RestTerms = field(default_factory=lambda: RestTerms(answer_s=1.0))


@dataclass
class Asking:
    venue: Served
    rest: Rest
    data: MarketData
    drifts: list[DriftSeen]


@asynccontextmanager
async def asking(setup: Setup = Setup()) -> AsyncIterator[Asking]:
    """A venue, and the adapter's way of asking it; both clocks are the venue's true one."""
    drifts: list[DriftSeen] = []
    async with served(setup.plan, setup.server, setup.world or quiet_world()) as venue:
        clock_ns = lambda: venue.world.now_ns  # noqa: E731
        signer = None if setup.key is None else Signer(*setup.key)
        rest = Rest(venue.server.url, clock_ns, Limiter(GENEROUS), Drift(drifts.append), signer, setup.rest)
        # stepped, the venue's time stands still while it is asked: so must the clock of the round trips
        watch = Watch(clock_ns, clock_ns, OffsetEstimator(ClockTerms(pause_ms=0.0)))
        try:
            yield Asking(venue, rest, MarketData(rest, watch, setup.market), drifts)
        finally:
            await rest.close()
