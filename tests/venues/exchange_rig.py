"""``CcxtExchange`` before the simulator, in either of its wire dialects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from mexclab.domain.market import Side
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Happening
from mexclab.venues.exchange import CcxtExchange, CcxtTerms
from mexclab.venues.mexc.confirm import ConfirmTerms
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.simulator.dialect_binanceus import BASE, routes
from mexclab.venues.simulator.fault_plan import FaultPlan
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
from mexclab.venues.simulator.world import World, WorldTerms
from tests.venues.ccxt_rig import BTC, ME, OTHER, PATIENT, Rig

IDS = ("mexc", "binanceus")
FREE = LimitTerms(ip_weight_per_10s=10**6, uid_weight_per_10s=10**6, orders_per_s=10**4, accounts_per_s=1_000)
DEADLINE_S = 60.0

_T = TypeVar("_T", bound=Happening)


def urls(server: SimulatorServer, exchange_id: str) -> dict[str, Any]:
    base = server.url
    if exchange_id == "binanceus":
        return {"api": {"public": base + BASE, "private": base + BASE}}
    contract = {"public": f"{base}/api/v1/contract", "private": f"{base}/api/v1/private"}
    return {"api": {"spot": {"public": base, "private": base}, "contract": contract}}


@dataclass
class Desk(Rig):
    """One account on the venue, by ``CcxtExchange``, and what it was told."""

    told: list[Happening] = field(default_factory=list)

    @property
    def x(self) -> CcxtExchange:
        exchange: CcxtExchange = self.exchange
        return exchange

    async def until(self, kind: type[_T], count: int = 1) -> list[_T]:
        """Everything of this kind that was told, once there is so much of it."""
        now = asyncio.get_running_loop().time
        deadline = now() + DEADLINE_S
        while now() < deadline:
            found = [each for each in self.told if isinstance(each, kind)]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {count} {kind.__name__} in {self.told}")

    def order(self, name: str, side: Side, kind: OrderType, quantity: str, price: Decimal) -> Order:
        limit = self.book().market.limit_price(price, side)
        return Order(f"{self.kind}-{name}", BTC, side, kind, Decimal(quantity), limit)

    def bid(self, name: str = "rests", quantity: str = "0.01", away: str = "0.99") -> Order:
        """One that nobody takes."""
        price = self.touch(Side.BUY)[0] * Decimal(away)
        return self.order(name, Side.BUY, OrderType.LIMIT, quantity, price)

    def taker(self, name: str = "takes", quantity: str = "0.01", side: Side = Side.BUY) -> Order:
        price = self.touch(side.opposite)[0]
        return self.order(name, side, OrderType.IMMEDIATE_OR_CANCEL, quantity, price)


@asynccontextmanager
async def serving(
    terms: ServerTerms = PATIENT, plan: FaultPlan | None = None, **more: Any
) -> AsyncIterator[SimulatorServer]:
    """A venue that speaks both dialects."""
    known: dict[str, Any] = {"accounts": (ME, OTHER), "pairs": ("BTCUSDT", "MXUSDT"), "past_days": 1}
    world = World(WorldTerms(time.time_ns(), seed=7, **(known | more)))
    server = SimulatorServer(world, terms, Faults(plan), routes)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        world.close()


@asynccontextmanager
async def trading(
    server: SimulatorServer, exchange_id: str, clock_ns: Callable[[], int] | None = None, **changes: Any
) -> AsyncIterator[Desk]:
    """An account there; told everything as it happens."""
    terms: dict[str, Any] = {
        "key": ME.key, "secret": ME.secret, "urls": urls(server, exchange_id), "limits": FREE,
        "poll_s": 0.1, "close_s": 0.01, "confirm": ConfirmTerms(first_s=0.02, longest_s=0.2, give_up_s=3.0),
    }  # fmt: skip
    told: list[Happening] = []
    exchange = CcxtExchange(
        CcxtTerms(exchange_id, **(terms | changes)), told.append, clock_ns or server.now_ns
    )
    try:
        yield Desk(exchange_id, exchange, server, told)
    finally:
        await exchange.close()


@asynccontextmanager
async def desk_of(exchange_id: str, plan: FaultPlan | None = None, **changes: Any) -> AsyncIterator[Desk]:
    async with serving(plan=plan) as server, trading(server, exchange_id, **changes) as found:
        await found.x.data.ready()
        yield found
