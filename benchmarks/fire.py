"""From the scheduled instant to the bytes on the wire.

``python -m benchmarks.fire [--quick]``: 500 shots, each prepared ahead (written, signed, a warm
connection), waited for with ``SystemClock.sleep_until`` and fired through the gate at a raw server in a
process of its own. What counts is the moment at which the socket has taken the request, against the
scheduled one: first with nothing else to do, then while the same event loop decodes 2,000 depth frames a
second from another socket.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from benchmarks.raw_venue import KEY, SECRET, serving, stay_on
from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Accepted, Happening, ShotTimed
from mexclab.runtime.clock import SystemClock
from mexclab.venues.mexc.burst import GateTerms
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Decoder
from mexclab.venues.mexc.gate import Gate
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.signing import Signer

MEDIAN_US, P99_US = 100.0, 1_000.0
LIMITS = LimitTerms(orders_per_s=10**6)
SYMBOL, QUANTITY, PRICE = Symbol("BTC"), Decimal("0.0011"), Decimal("1000.25")


class Listener(asyncio.Protocol):
    """Decodes frames that come with their length before them."""

    def __init__(self) -> None:
        self.decoder = Decoder(Drift(print), Symbol.parse)
        self.buffer = b""
        self.frames = 0

    def data_received(self, data: bytes) -> None:
        buffer, at_ns, place = self.buffer + data, time.time_ns(), 0
        while len(buffer) >= place + 4:
            end = place + 4 + int.from_bytes(buffer[place : place + 4], "big")
            if len(buffer) < end:
                break
            self.decoder.decode(buffer[place + 4 : end], at_ns)
            self.frames += 1
            place = end
        self.buffer = buffer[place:]


@asynccontextmanager
async def frames_from(port: int) -> AsyncIterator[Listener]:
    transport, listener = await asyncio.get_running_loop().create_connection(Listener, "127.0.0.1", port)
    try:
        yield listener
    finally:
        transport.close()


class Range:
    """Where shots are fired, one after the other."""

    def __init__(self, url: str) -> None:
        self.clock = SystemClock()
        self.rest = Rest(url, self.clock.now_ns, Limiter(LIMITS), Drift(print), Signer(KEY, SECRET))
        self.gate = Gate(self.rest, self._hear, GateTerms())
        self.shots: list[ShotTimed] = []
        self.chance = random.Random(7)
        self._heard: asyncio.Future[None] | None = None

    def _hear(self, happening: Happening) -> None:
        if isinstance(happening, ShotTimed):
            self.shots.append(happening)
            assert self._heard is not None
            self._heard.set_result(None)
        else:
            assert isinstance(happening, Accepted), happening

    async def fire(self, count: int) -> list[float]:
        """Late by so many microseconds, each shot."""
        self.shots.clear()
        for number in range(count):
            name = f"fire-b-{time.time_ns() % 10**12}-{number}"
            kind = OrderType.IMMEDIATE_OR_CANCEL
            order = Order(name, SYMBOL, Side.BUY, kind, QUANTITY, PRICE)
            self._heard = asyncio.get_running_loop().create_future()
            release = self.clock.now_ns() + int(self.chance.uniform(5, 15) * MILLISECOND)
            self.gate.prepare(order, release)
            await self.clock.sleep_until(release)
            self.gate.fire(order)
            await self._heard
        return [(shot.written_ns - shot.scheduled_ns) / 1e3 for shot in self.shots]

    async def close(self) -> None:
        await self.gate.close()
        await self.rest.close()


def share(times: list[float], part: float) -> float:
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


async def measure(count: int) -> tuple[list[float], list[float], float]:
    """Lateness idle, lateness under load, and the frames decoded in a second of that load."""
    with serving("orders") as port, serving("frames") as stream:
        place = Range(f"http://127.0.0.1:{port}")
        stay_on(ours=True)
        await place.fire(20)
        gc.collect()
        gc.freeze()
        idle = await place.fire(count)
        async with frames_from(stream) as listener:
            began = time.monotonic()
            busy = await place.fire(count)
            rate = listener.frames / (time.monotonic() - began)
        gc.unfreeze()
        await place.close()
    return idle, busy, rate


def main() -> None:
    count = 60 if "--quick" in sys.argv[1:] else 500
    idle, busy, rate = asyncio.run(measure(count))
    for name, times in (("idle", idle), (f"decoding {rate:,.0f} frames/s", busy)):
        print(
            f"{name:<24} median {share(times, 0.5):>7.1f}  p90 {share(times, 0.9):>7.1f}  "
            f"p99 {share(times, 0.99):>7.1f}  worst {max(times):>8.1f} us late  (n = {len(times)})"
        )
    goals = {}
    for name, part, goal in (("median_us", 0.5, MEDIAN_US), ("p99_us", 0.99, P99_US)):
        value = share(idle, part)
        goals[name] = {"value": round(value, 1), "goal": goal, "unit": "us", "met": value <= goal}
    loaded = {
        "median_us": round(share(busy, 0.5), 1),
        "p99_us": round(share(busy, 0.99), 1),
        "frames_per_s": round(rate),
    }
    print(json.dumps({"benchmark": "fire", "goals": goals, "loaded": loaded, "peers": {}}))


if __name__ == "__main__":
    main()
