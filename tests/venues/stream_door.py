"""A door to the stream hub alone: real sockets, the least of servers, and a client that reads frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from mexclab.venues import proto
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.hub import StreamHub
from mexclab.venues.simulator.listen_keys import ListenKeys
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.world import Account, World, WorldTerms

START_NS = 1_780_000_000_000_000_000  # 2026-05-28 20:26:40 UTC
RICH = {"USDT": Decimal(10**9), "BTC": Decimal(10**6), "MX": Decimal(10**7)}
ANN = Account("ann", "mx0ann", "a" * 32, RICH)
BOB = Account("bob", "mx0bob", "b" * 32, RICH)
STEPPED = ServerTerms(stepped=True)


def small_world(seed: int = 7, accounts: Sequence[Account] = (ANN, BOB), **terms: Any) -> World:
    """Two pairs, two rich accounts, a short past."""
    return World(
        WorldTerms(
            start_ns=START_NS, seed=seed, accounts=tuple(accounts), pairs=("BTCUSDT", "MXUSDT"),
            levels=20, past_days=1, **terms,
        )
    )  # fmt: skip


class Door(asyncio.Protocol):
    """Reads one request head and gives the connection to the hub."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.set_protocol(self._hub.open(self._transport, self._head))


class Venue:
    """A hub behind a door."""

    def __init__(self, world: World, hub: StreamHub, url: str) -> None:
        self.world, self.hub, self.url = world, hub, url
        self.marks = 0

    def step(self, seconds: float) -> None:
        """Live on, push what is due, and mark it."""
        self.world.advance(self.world.now_ns + round(seconds * 1e9))
        self.push()

    def push(self) -> None:
        self.marks += 1
        self.hub.flush()
        self.hub.mark(self.marks)

    @asynccontextmanager
    async def client(self, *channels: str, key: str = "", **options: Any) -> AsyncIterator[Client]:
        url = f"{self.url}?listenKey={key}" if key else self.url
        async with websockets.connect(url, max_size=None, **options) as socket:
            client = Client(socket)
            if channels:
                answer = await client.ask("SUBSCRIPTION", channels)
                assert answer == {"id": 0, "code": 0, "msg": ",".join(channels)}
            yield client


@asynccontextmanager
async def venue(
    world: World | None = None, terms: ServerTerms = STEPPED, faults: Faults | None = None
) -> AsyncIterator[Venue]:
    """A venue of streams alone, for the length of a test."""
    world = world or small_world()
    if faults is not None:
        faults.bind(world)
    hub = StreamHub(world, terms, faults, ListenKeys())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Door(hub), "127.0.0.1", 0)
    hub.start()
    try:
        yield Venue(world, hub, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
    finally:
        hub.stop()
        server.close()
        await server.wait_closed()


class Client:
    """Reads one connection; text is a control message, bytes are data."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def ask(self, method: str, params: Sequence[str] | None = None, **more: Any) -> Any:
        """Send a control message and read the next text."""
        message = {"method": method, **({"params": list(params)} if params is not None else {}), **more}
        await self.socket.send(json.dumps(message))
        return await self.text()

    async def text(self) -> Any:
        while isinstance(message := await self.next(), bytes):
            pass
        return json.loads(message) if message.startswith("{") else message

    async def next(self) -> str | bytes:
        return await asyncio.wait_for(self.socket.recv(), 10)

    async def data(self) -> Any:
        """The next data frame."""
        message = await self.next()
        assert isinstance(message, bytes), message
        return proto.PushData.FromString(message)

    async def until_mark(self, number: int) -> list[Any]:
        """Every data frame before the mark."""
        frames = []
        while isinstance(message := await self.next(), bytes):
            frames.append(proto.PushData.FromString(message))
        assert json.loads(message)["msg"] == f"MARK {number}"
        return frames
