"""The simulated venue as bytes on a socket: a small keep-alive client that signs, and a server to talk to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mexclab.domain.clock import DAY, HOUR, MILLISECOND
from mexclab.venues.simulator.fault_plan import FaultPlan
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.scenario import FIRST_DAY
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.world import Account, World, WorldTerms

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "mexc" / "fixtures"
START_NS = FIRST_DAY * DAY + 8 * HOUR
PATIENT = ServerTerms(
    stepped=True,
    ip_weight_10s=100_000,
    uid_weight_10s=100_000,
    orders_per_s=1_000,
    batch_per_s=1_000,
    account_per_s=1_000,
    ban_after=1_000,
)
TRADER = Account(
    "trader",
    "mx0traderOfTheTests",
    "45d0b3c26f2644f19bfb98b07741b2f5",  # of the signing examples in MEXC's documents
    {"USDT": Decimal(100_000), "BTC": Decimal(10)},
    uid="20000001",
)
JSON = {"Content-Type": "application/json"}


def fields_of(fixture: str, *path: Any) -> list[str]:
    """The field names of a recorded answer, in order."""
    file = FIXTURES / fixture
    if not file.exists():
        pytest.skip(f"needs the recorded answers of {file.name}")
    text = file.read_text()
    found = json.loads(text[min(text.find(mark) for mark in "[{" if mark in text) :])
    for step in path:
        found = found[step]
    return list(found)


@dataclass(frozen=True)
class Answer:
    """One reply; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, int, str]:
        """Status, code and words."""
        told = self.json
        return self.status, told["code"], told["msg"]


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: SimulatorServer) -> Wire:
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, has_body: bool = True) -> Answer:
        """The next reply.

        Raises:
            asyncio.IncompleteReadError: the venue hung up instead.
        """
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers["content-length"]) if has_body else 0
        return Answer(int(first.split(" ")[1]), headers, await self.reader.readexactly(size))

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        self.send(request(method, target, body, headers))
        return await self.answer()

    async def is_closed(self) -> bool:
        """Whether the venue has hung up, with nothing more to say."""
        return await asyncio.wait_for(self.reader.read(1), 5) == b""

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def request(method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: simulator"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def signature(text: str, secret: str = TRADER.secret) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass
class Venue:
    """A server, a connection to it, and the key of an account."""

    server: SimulatorServer
    wire: Wire
    account: Account = TRADER

    @property
    def world(self) -> World:
        return self.server.world

    @property
    def now_ms(self) -> int:
        return self.world.now_ns // MILLISECOND

    def signed(self, path: str, query: str = "", **more: Any) -> str:
        """The target of a signed call at the venue's own time; ``more`` replaces what is usual."""
        facts = {"timestamp": self.now_ms, **more}
        query = "&".join(filter(None, [query, *(f"{name}={value}" for name, value in facts.items())]))
        return f"/api/v3/{path}?{query}&signature={signature(query, self.account.secret)}"

    async def call(self, method: str, path: str, query: str = "", **more: Any) -> Answer:
        """One signed call."""
        headers = {"X-MEXC-APIKEY": self.account.key, **JSON}
        self.wire.send(request(method, self.signed(path, query, **more), b"", headers))
        return await self.wire.answer()

    async def ok(self, method: str, path: str, query: str = "") -> Any:
        answer = await self.call(method, path, query)
        assert answer.status == 200, answer.body
        return answer.json

    async def refused(self, method: str, path: str, query: str = "", **more: Any) -> tuple[int, int, str]:
        return (await self.call(method, path, query, **more)).refusal

    async def order(self, query: str) -> Any:
        return await self.ok("POST", "order", query)


@asynccontextmanager
async def venue(
    terms: ServerTerms = PATIENT, account: Account = TRADER, plan: FaultPlan | None = None
) -> AsyncIterator[Venue]:
    """A venue of two pairs, stopped at the end."""
    pairs = ("BTCUSDT", "MXUSDT")
    world = World(WorldTerms(START_NS, seed=7, accounts=(account,), pairs=pairs, past_days=1))
    server = SimulatorServer(world, terms, Faults(plan))
    await server.start()
    wire = await Wire.open(server)
    try:
        yield Venue(server, wire, account)
    finally:
        await wire.close()
        await server.stop()
        world.close()
