"""The streams over a simulated venue on a real port, for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from mexclab.domain.market import Symbol
from mexclab.domain.reports import FeedNews, Happening
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.line import LineTerms
from mexclab.venues.mexc.stream import DepthSnapshot, Stream, StreamDoors, StreamTerms
from mexclab.venues.simulator.fault_plan import FaultPlan
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.world import PAPER_ACCOUNT, World, WorldTerms
from tests.venues.served import START_NS, Served, served

T = TypeVar("T")

BTC, MX = Symbol("BTC"), Symbol("MX")
LIVELY = ServerTerms(ip_weight_10s=1_000_000, ban_after=100_000)
STEPPED = replace(LIVELY, stepped=True)
QUICK = LineTerms(pause_s=0.01, longest_pause_s=0.05, deadline_s=5.0, ask_again_s=0.05, overlap_s=0.1)
OWNER = PAPER_ACCOUNT.owner


def small_world(**more: Any) -> World:
    usual: dict[str, Any] = {"seed": 7, "pairs": ("BTCUSDT", "MXUSDT"), "past_days": 1, "stride_ms": 50}
    return World(WorldTerms(START_NS, **{**usual, **more}))


@dataclass
class Scene:
    """What one test wants otherwise than usual."""

    plan: FaultPlan | None = None
    world: World | None = None
    server: ServerTerms = LIVELY
    line: LineTerms = QUICK
    symbols: tuple[Symbol, ...] = (BTC,)
    with_account: bool = False
    speed: str = "10ms"
    renew_s: float = 1_800.0


@dataclass
class Listening:
    venue: Served
    stream: Stream = field(init=False)
    told: list[Happening] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    caught_up: list[int] = field(default_factory=list)
    snapshots: int = 0
    may_catch_up: bool = True
    stray: list[Exception] = field(default_factory=list)

    def of(self, kind: type[T]) -> list[T]:
        """What was told of one kind."""
        return [told for told in self.told if isinstance(told, kind)]

    def news(self, source: str) -> list[tuple[bool, str]]:
        """What was told of a source: whether it was bad, and what."""
        return [(told.degraded, told.what) for told in self.of(FeedNews) if told.source == source]

    async def until(self, holds: Callable[[], object], within_s: float = 10.0) -> None:
        """Wait until something is true."""
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110  a test looks at many things
                await asyncio.sleep(0.002)

    async def step(self, seconds: float) -> None:
        """Of a stepped venue: live on, and hear all of it."""
        world = self.venue.world
        reply = await self.venue.control("advance", to_ns=world.now_ns + round(seconds * 1e9))
        assert reply.status_code == 200, reply.text
        await self.stream.wait_mark(reply.json()["mark"])

    def equals_the_venue(self, symbol: Symbol) -> bool:
        """Whether our book is the venue's, to the last level."""
        ours = self.stream.books[symbol].book(100_000, 0)
        theirs = self.venue.world.book(symbol)
        assert theirs is not None
        seen = theirs.snapshot(100_000, 0)
        return ours is not None and (ours.bids, ours.asks) == (seen.bids, seen.asks)

    async def snapshot(self, symbol: Symbol) -> DepthSnapshot:
        self.snapshots += 1
        reply = await self.venue.client.get("/api/v3/depth", params={"symbol": str(symbol), "limit": 5000})
        if reply.status_code != 200:
            raise VenueUnavailable("no snapshot")
        told = reply.json()
        bids, asks = (
            [(Decimal(price), Decimal(quantity)) for price, quantity in told[side]]
            for side in ("bids", "asks")
        )
        return DepthSnapshot(told["lastUpdateId"], bids, asks)

    async def listen_key(self) -> str:
        self.keys.append(self.venue.server.hub.listen_keys.create(OWNER))
        return self.keys[-1]

    async def renew(self, key: str) -> None:
        self.renewed.append(key)
        self.venue.server.hub.listen_keys.extend(OWNER, key)

    async def catch_up(self, since_ns: int) -> None:
        self.caught_up.append(since_ns)
        if not self.may_catch_up:
            raise VenueUnavailable("not now")


@asynccontextmanager
async def listening(scene: Scene) -> AsyncIterator[Listening]:
    """A venue, and the streams that listen to it."""
    async with served(scene.plan, scene.server, scene.world or small_world()) as venue:
        here = Listening(venue)
        account = scene.with_account
        doors = StreamDoors(
            here.told.append,
            here.snapshot,
            here.listen_key if account else None,
            here.renew if account else None,
            here.catch_up if account else None,
            venue.server.now_ns,
        )
        terms = StreamTerms(venue.server.ws_url, scene.speed, 20, scene.renew_s, seed=1, line=scene.line)
        here.stream = Stream(terms, doors)
        for symbol in scene.symbols:
            here.stream.watch(symbol)
        running = asyncio.create_task(here.stream.run())
        try:
            await asyncio.sleep(0)
            yield here
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
