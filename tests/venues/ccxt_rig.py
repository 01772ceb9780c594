"""Unmodified ccxt before a simulated venue: configured by its constructor, asked over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import ccxt
import ccxt.async_support
import ccxt.pro

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.matcher import Placed
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
from mexclab.venues.simulator.world import PAPER_ACCOUNT, Account, World, WorldTerms

BTC, MX = Symbol("BTC"), Symbol("MX")
ME = replace(PAPER_ACCOUNT, balances={"USDT": Decimal(10**8), "BTC": Decimal(5), "MX": Decimal(100_000)})
OTHER = Account("other", "mx0other", "5ec4e70f0the4", {"USDT": Decimal(10**9), "BTC": Decimal(1_000)})
PATIENT = ServerTerms(
    stepped=True, ip_weight_10s=10**6, uid_weight_10s=10**6, orders_per_s=10**4, batch_per_s=100,
    account_per_s=100, ban_after=10**6,
)  # fmt: skip
LIVING = replace(PATIENT, stepped=False)
# The stepped venue's clock stands still and ccxt's runs on: stamped 55 s early, a request of the next 55 s
# is neither ahead of it nor outside of the widest window.
EARLY = {"timeDifference": 55_000, "recvWindow": 60_000}

CLASSES: dict[str, Any] = {
    "sync": ccxt.mexc,
    "async": ccxt.async_support.mexc,
    "pro": ccxt.pro.mexc,
}


@dataclass
class Rig:
    """One client of one venue."""

    kind: str
    exchange: Any
    server: SimulatorServer

    @property
    def world(self) -> World:
        return self.server.world

    async def ask(self, name: str, *args: Any, **more: Any) -> Any:
        """Call a method of ccxt: a blocking one in a thread, for the venue runs in this loop."""
        call = partial(getattr(self.exchange, name), *args, **more)
        answer = await asyncio.to_thread(call) if self.kind == "sync" else await call()
        assert not isinstance(answer, Exception)
        return answer

    def book(self, symbol: Symbol = BTC) -> OrderBook:
        book = self.world.book(symbol)
        assert book is not None
        return book

    def touch(self, side: Side) -> tuple[Decimal, Decimal]:
        """Price and quantity of the best bid (BUY) or ask (SELL)."""
        bids, asks = self.book().levels(1)
        return bids[0] if side is Side.BUY else asks[0]

    def placed(self, order_id: str) -> Placed:
        found = self.world.matcher.find(ME.owner, order_id)
        assert found is not None
        return found

    def other(self, side: Side, quantity: Decimal, price: Decimal) -> None:
        """Somebody else's immediate order."""
        kind = OrderType.IMMEDIATE_OR_CANCEL
        request = NewOrder("", OTHER.owner, side, kind, quantity, price)
        assert self.world.place(OTHER.owner, BTC, request).refusal is None

    def lives(self, span_ms: int) -> None:
        """Let a stepped venue's time pass."""
        self.world.advance(self.world.now_ns + span_ms * 1_000_000)
        self.server.hub.flush()


def config(server: SimulatorServer, account: Account = ME, **options: Any) -> dict[str, Any]:
    """What a person who knows ccxt would write."""
    base = server.url
    return {
        "apiKey": account.key,
        "secret": account.secret,
        "enableRateLimit": False,
        "timeout_on_exit": 10,  # ms; nothing here is encrypted
        "options": options,
        "urls": {
            "api": {
                "spot": {"public": base, "private": base},
                "contract": {"public": f"{base}/api/v1/contract", "private": f"{base}/api/v1/private"},
                "spot2": {"public": f"{base}/open/api/v2", "private": f"{base}/open/api/v2"},
                "broker": {"private": f"{base}/api/v3/broker"},
                "ws": {"spot": server.ws_url, "swap": server.ws_url},
            }
        },
    }


@asynccontextmanager
async def venue(terms: ServerTerms = PATIENT, **more: Any) -> AsyncIterator[SimulatorServer]:
    """A venue of today: ccxt stamps and slices by this machine's clock."""
    known: dict[str, Any] = {"accounts": (ME, OTHER), "pairs": ("BTCUSDT", "MXUSDT"), "past_days": 3}
    world = World(WorldTerms(time.time_ns(), seed=7, **(known | more)))
    server = SimulatorServer(world, terms)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        world.close()


@asynccontextmanager
async def client(server: SimulatorServer, kind: str, **changes: Any) -> AsyncIterator[Rig]:
    """A client of ccxt's; without its markets yet."""
    given = config(server, **(EARLY if server.terms.stepped else {}))
    options = given["options"] | changes.pop("options", {})
    exchange = CLASSES[kind](given | changes | {"options": options})
    try:
        yield Rig(kind, exchange, server)
    finally:
        if kind == "sync":
            exchange.session.close()
        else:
            await exchange.close()


@asynccontextmanager
async def rig(kind: str, terms: ServerTerms = PATIENT, **options: Any) -> AsyncIterator[Rig]:
    """Venue and client, with markets."""
    async with venue(terms) as server, client(server, kind, options=options) as found:
        await found.ask("load_markets")
        yield found


def floats(levels: Iterable[Iterable[Decimal]]) -> list[list[float]]:
    return [[float(number) for number in level] for level in levels]
