"""How long a signed order takes through our whole Exchange port, and what it costs.

``python -m benchmarks.order_path [--quick]``: ``MexcAccount.submit`` until ``Accepted`` is told, with limits,
drift and all, against a raw asyncio server that checks signatures (``benchmarks/raw_venue.py``) and against
our own simulator, each in a process of its own on loopback. Beside it, on the same raw server: ccxt's async
``create_order``, and aiohttp with a hand-signed request. Below it: a TCP ping-pong of requests of the same
length, blocking and on asyncio. All take turns in blocks of 50 within one run. Wall time of each order, and
CPU time of this process (kernel included; the median of the blocks); on a shared machine p10, p50 and CPU
are to be trusted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any, TypeAlias

import aiohttp
import ccxt.async_support as ccxt

from benchmarks.raw_venue import KEY, SECRET, serving, stay_on
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Accepted, Happening
from mexclab.venues.mexc.account import AccountTerms, MexcAccount
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.signing import Signer

BLOCK = 50
LIMITS = LimitTerms(orders_per_s=10**6)  # the simulator and the raw server are told to take as many
P50_US, P50_OVER_FLOOR, CPU_RATIO = 75.0, 7.0, 7.0
SYMBOL, QUANTITY, PRICE = Symbol("BTC"), Decimal("0.0011"), Decimal("1000.25")
PING = b"x" * 360  # about as long as an order

Block: TypeAlias = Callable[[int], Awaitable[list[int]]]  # so many orders one by one; ns of each


@dataclass
class Contender:
    """Who takes part, and how long its orders took."""

    name: str
    block: Block
    times_ns: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of each block

    async def run(self, count: int) -> None:
        began = time.process_time()
        self.times_ns += await self.block(count)
        self.cpu_s.append(time.process_time() - began)

    def us(self, share: float) -> float:
        ordered = sorted(self.times_ns)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e3

    @property
    def cpu_us(self) -> float:
        return median(self.cpu_s) / BLOCK * 1e6


class Ours:
    """Submits orders through the port, each when the one before it was told to be accepted."""

    def __init__(self, url: str) -> None:
        rest = Rest(url, time.time_ns, Limiter(LIMITS), Drift(print), Signer(KEY, SECRET))
        self._rest = rest
        self._account = MexcAccount(rest, self._hear, AccountTerms())
        self._number = time.time_ns() % 10**9
        self._heard: asyncio.Future[None] | None = None

    async def open(self, count: int) -> None:
        self._orders = [self._order() for _ in range(count)]
        await self._rest.lane.warm(1, 60.0)

    async def close(self) -> None:
        await self._account.close()
        await self._rest.close()

    def _order(self) -> Order:
        self._number += 1
        kind = OrderType.IMMEDIATE_OR_CANCEL
        return Order(f"bench-b-{self._number}", SYMBOL, Side.BUY, kind, QUANTITY, PRICE)

    async def block(self, count: int) -> list[int]:
        self._times: list[int] = []
        self._left = count
        self._heard = asyncio.get_running_loop().create_future()
        self._submit()
        await self._heard
        return self._times

    def _submit(self) -> None:
        order = self._orders.pop()
        self._left -= 1
        self._began = time.perf_counter_ns()
        self._account.submit(order)

    def _hear(self, happening: Happening) -> None:
        self._times.append(time.perf_counter_ns() - self._began)
        assert isinstance(happening, Accepted), happening
        if self._left:
            self._submit()
        elif self._heard is not None:
            self._heard.set_result(None)


@asynccontextmanager
async def ours(url: str, count: int) -> AsyncIterator[Block]:
    port = Ours(url)
    await port.open(count)
    try:
        yield port.block
    finally:
        await port.close()


@asynccontextmanager
async def with_ccxt(url: str) -> AsyncIterator[Block]:
    exchange = ccxt.mexc(
        {
            "apiKey": KEY,
            "secret": SECRET,
            "enableRateLimit": False,
            "urls": {"api": {"spot": {"public": url, "private": url}}},
        }
    )
    row: dict[str, Any] = {
        "id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC",
        "quoteId": "USDT", "type": "spot", "spot": True, "swap": False, "future": False, "option": False,
        "contract": False, "active": True, "limits": {}, "info": {},
        "precision": {"amount": 0.0001, "price": 0.01},
    }  # fmt: skip
    exchange.set_markets([row])
    amount, price = float(QUANTITY), float(PRICE)

    async def block(count: int) -> list[int]:
        times = []
        for _ in range(count):
            began = time.perf_counter_ns()
            await exchange.create_order("BTC/USDT", "limit", "buy", amount, price, {"timeInForce": "IOC"})
            times.append(time.perf_counter_ns() - began)
        return times

    try:
        yield block
    finally:
        await exchange.close()


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Block]:
    signer = Signer(KEY, SECRET)
    start = f"symbol=BTCUSDT&side=BUY&type=IMMEDIATE_OR_CANCEL&quantity={QUANTITY}&price={PRICE}"
    headers = {"X-MEXC-APIKEY": KEY, "Content-Type": "application/json"}

    async with aiohttp.ClientSession(headers=headers) as session:

        async def block(count: int) -> list[int]:
            times = []
            for number in range(count):
                began = time.perf_counter_ns()
                stamp = time.time_ns() // 1_000_000
                text = f"{start}&newClientOrderId=a-b-{number}&recvWindow=5000&timestamp={stamp}"
                query = f"{text}&signature={signer.sign(text.encode()).decode()}"
                async with session.post(f"{url}/api/v3/order?{query}") as reply:
                    assert (await reply.json())["orderId"]
                times.append(time.perf_counter_ns() - began)
            return times

        yield block


@asynccontextmanager
async def ping_pong_blocking(port: int) -> AsyncIterator[Block]:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        async def block(count: int) -> list[int]:
            times = []
            for _ in range(count):
                began = time.perf_counter_ns()
                peer.sendall(PING)
                peer.recv(65536)
                times.append(time.perf_counter_ns() - began)
            return times

        yield block


class _Pong(asyncio.Protocol):
    def __init__(self) -> None:
        self.times: list[int] = []
        self.left = 0
        self.began = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ping(self) -> None:
        self.began = time.perf_counter_ns()
        self.transport.write(PING)

    def data_received(self, data: bytes) -> None:
        self.times.append(time.perf_counter_ns() - self.began)
        self.left -= 1
        if self.left:
            self.ping()
        else:
            self.done.set_result(None)

    async def block(self, count: int) -> list[int]:
        self.times, self.left = [], count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ping()
        await self.done
        return self.times


@asynccontextmanager
async def ping_pong_asyncio(port: int) -> AsyncIterator[Block]:
    loop = asyncio.get_running_loop()
    transport, pong = await loop.create_connection(_Pong, "127.0.0.1", port)
    try:
        yield pong.block
    finally:
        transport.close()


async def measure(rounds: int) -> dict[str, Contender]:
    """Blocks of 50 orders in turn, after one block of each that does not count."""
    orders = (rounds + 1) * BLOCK
    async with AsyncExitStack() as stack:
        ports = {
            kind: stack.enter_context(serving(kind))
            for kind in ("orders", "simulator", "echo", "echo-blocking")
        }
        raw, simulator = (f"http://127.0.0.1:{ports[kind]}" for kind in ("orders", "simulator"))
        entered = {
            "ours": ours(raw, orders),
            "ours, simulator": ours(simulator, orders),
            "ccxt async": with_ccxt(raw),
            "aiohttp": with_aiohttp(raw),
            "tcp blocking": ping_pong_blocking(ports["echo-blocking"]),
            "tcp asyncio": ping_pong_asyncio(ports["echo"]),
        }
        runners = [Contender(name, await stack.enter_async_context(block)) for name, block in entered.items()]
        for runner in runners:
            await runner.block(BLOCK)
        gc.collect()
        gc.freeze()
        stay_on(ours=True)
        for _ in range(rounds):
            for runner in runners:
                await runner.run(BLOCK)
        gc.unfreeze()
        return {runner.name: runner for runner in runners}


def main() -> None:
    rounds = 6 if "--quick" in sys.argv[1:] else 40
    found = asyncio.run(measure(rounds))
    for name, each in found.items():
        print(
            f"{name:<16} p10 {each.us(0.1):>7.1f}  p50 {each.us(0.5):>7.1f}  p99 {each.us(0.99):>8.1f}  "
            f"CPU {each.cpu_us:>6.1f} us per order  (n = {len(each.times_ns)})"
        )
    mine, floor, theirs = found["ours"], found["tcp blocking"], found["ccxt async"]
    over, ratio = mine.us(0.5) / floor.us(0.5), theirs.cpu_us / mine.cpu_us
    measured = (
        ("p50_us", round(mine.us(0.5), 1), P50_US, "us", mine.us(0.5) <= P50_US),
        ("p50_over_floor", round(over, 2), P50_OVER_FLOOR, "x", over <= P50_OVER_FLOOR),
        ("cpu_ratio_ccxt", round(ratio, 2), CPU_RATIO, "x", ratio >= CPU_RATIO),
    )
    goals: dict[str, dict[str, object]] = {
        name: {"value": value, "goal": goal, "unit": unit, "met": met}
        for name, value, goal, unit, met in measured
    }
    goals["p50_us"]["or"] = "p50_over_floor"  # the machine's own speed is not ours to answer for
    peers = {
        name: {
            "p10_us": round(each.us(0.1), 1),
            "p50_us": round(each.us(0.5), 1),
            "p99_us": round(each.us(0.99), 1),
            "cpu_us": round(each.cpu_us, 1),
        }
        for name, each in found.items()
    }
    print(json.dumps({"benchmark": "order_path", "goals": goals, "peers": peers}))


if __name__ == "__main__":
    main()
