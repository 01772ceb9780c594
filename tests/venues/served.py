"""A simulated venue on a real port, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from mexclab.domain.clock import DAY, HOUR
from mexclab.venues.simulator.fault_plan import FaultPlan, plan_of
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.scenario import FIRST_DAY
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.world import World, WorldTerms

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
PAIRS = ("BTCUSDT", "ETHUSDT", "DOGEUSDT", "MXUSDT")
START_NS = FIRST_DAY * DAY + 8 * HOUR
PATIENT = ServerTerms(stepped=True, ip_weight_10s=100_000, ban_after=1_000)


@dataclass
class Served:
    server: SimulatorServer
    client: httpx.AsyncClient

    @property
    def world(self) -> World:
        return self.server.world

    async def ask(self, path: str, **params: Any) -> Any:
        """The JSON of an answer of 200."""
        reply = await self.client.get(path, params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def refusal(self, path: str, **params: Any) -> tuple[int, int, str]:
        """Status, code and words of an answer that says no."""
        reply = await self.client.get(path, params=params)
        told = reply.json()
        return reply.status_code, told["code"], told["msg"]

    async def control(self, name: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/simulator/{name}", json=body)


@asynccontextmanager
async def served(
    plan: FaultPlan | None = None, terms: ServerTerms = PATIENT, world: World | None = None
) -> AsyncIterator[Served]:
    """Start a venue, and stop it at the end."""
    world = world or World(WorldTerms(START_NS, seed=7, pairs=PAIRS, past_days=1))
    server = SimulatorServer(world, terms, Faults(plan))
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
            yield Served(server, client)
    finally:
        await server.stop()
        world.close()


def number(text: str) -> Decimal:
    """A number as the venue writes it: plain, no exponent, no negative zero."""
    assert "E" not in text.upper()
    assert text != "-0"
    return Decimal(text)


def listings_only(start_ns: int) -> World:
    """A world without established pairs, whose days pass quickly."""
    return World(WorldTerms(start_ns, seed=7, pairs=(), past_days=1))


def planned(*rules: dict[str, Any], seed: int = 7, **more: Any) -> FaultPlan:
    """A fault plan of these rules."""
    return plan_of({"seed": seed, "rule": list(rules), **more})
