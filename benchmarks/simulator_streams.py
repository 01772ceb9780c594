"""How many frames the simulator's streams give in a second, to one client and to fifty.

    python -m benchmarks.simulator_streams [--quick]

The venue runs in a process of its own; here the clients read, byte by byte as fast as they come, until
each has seen the mark behind the last frame. Every frame is one change of a book, encoded, framed and
written: ``one channel`` writes each frame alone, which is the worst case; ``all kinds`` is a living world
with every public channel of six pairs, in which a client gets many frames with one write.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from statistics import median
from typing import NamedTuple

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.world import World, WorldTerms

START_NS = 1_780_000_000_000_000_000
CLIENTS = 50
GOAL = 150_000  # a CPU second: fifty clients, each with its 30 subscriptions at the fastest pace, 10 ms
PENDING_BYTES = 256 * 1024  # unsent bytes of one client at which the next push waits
ONE = ("spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT",)
PAIRS = WorldTerms(START_NS, seed=7).pairs
KINDS = ("depth", "deals", "bookTicker")
ALL = tuple(f"spot@public.aggre.{kind}.v3.api.pb@10ms@{pair}" for kind in KINDS for pair in PAIRS) + tuple(
    f"spot@public.{name}" for pair in PAIRS for name in (f"limit.depth.v3.api.pb@{pair}@20",)
)


class Run(NamedTuple):
    """One measurement: frames counted once a client, seconds until the last byte was read, server CPU."""

    frames: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.frames / self.seconds


# -- the venue's process -----------------------------------------------------------------------------


def serve(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    world = World(WorldTerms(START_NS, seed=7, past_days=1))
    server = SimulatorServer(world, ServerTerms(stepped=True))
    await server.start()
    pipe.send(int(server.url.rpartition(":")[2]))
    while (job := await asyncio.to_thread(pipe.recv)) is not None:
        kind, pushes, clients = job
        while server.hub.connections != clients:  # noqa: ASYNC110  those of the last run are going
            await asyncio.sleep(0.001)
        before, began = server.hub.frames_sent, time.process_time()
        for number in range(pushes):
            if kind == "one channel":
                book = world.matcher.books[Symbol("BTC")]
                book.requote("bench", {1 + number % 2: 5}, {}, world.now_ns)
            else:
                world.advance(world.now_ns + 100 * MILLISECOND)
            server.hub.flush()
            await _until_written(server)
        server.hub.mark(1)
        pipe.send((server.hub.frames_sent - before, time.process_time() - began))
        await asyncio.to_thread(pipe.recv)
    await server.stop()


async def _until_written(server: SimulatorServer) -> None:
    """Let the loop turn; no client is left further behind than it would be by a venue in real time."""
    await asyncio.sleep(0)
    while server.hub.unsent_bytes > PENDING_BYTES:  # noqa: ASYNC110  a turn of the loop is what it takes
        await asyncio.sleep(0)


# -- the clients -------------------------------------------------------------------------------------


def subscriber(port: int, channels: Sequence[str]) -> socket.socket:
    """A WebSocket by hand: what is measured is the venue, not a client library."""
    plug = socket.create_connection(("127.0.0.1", port))
    plug.sendall(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    read = b""
    while b"\r\n\r\n" not in read:
        read += plug.recv(65_536)
    text = json.dumps({"method": "SUBSCRIPTION", "params": channels}).encode()
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    plug.sendall(bytes((0x81, 0xFE)) + len(text).to_bytes(2, "big") + mask + masked)
    answer = b""
    while not answer.endswith(b"}"):
        answer += plug.recv(65_536)
    assert b"Blocked" not in answer, answer
    return plug


def read_to_the_mark(plugs: Sequence[socket.socket]) -> None:
    selector = selectors.DefaultSelector()
    for plug in plugs:
        plug.setblocking(False)
        selector.register(plug, selectors.EVENT_READ)
    left = len(plugs)
    buffer = bytearray(1 << 20)
    while left:
        for key, _ in selector.select():
            count = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            assert count, "the venue hung up"
            if buffer[count - 8 : count] == b'MARK 1"}':
                selector.unregister(key.fileobj)
                left -= 1


def measure(pipe: Connection, port: int, kind: str, clients: int, pushes: int) -> Run:
    plugs = [subscriber(port, ONE if kind == "one channel" else ALL) for _ in range(clients)]
    began = time.perf_counter()
    pipe.send((kind, pushes, clients))
    read_to_the_mark(plugs)
    seconds = time.perf_counter() - began
    frames, cpu_s = pipe.recv()
    for plug in plugs:
        plug.close()
    pipe.send("next")
    return Run(frames, seconds, cpu_s)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    runs = 3 if quick else 7
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    venue = context.Process(target=serve, args=(theirs,))
    venue.start()
    port = pipe.recv()
    rates: dict[tuple[str, int], float] = {}
    cpu: dict[tuple[str, int], float] = {}
    for kind, clients, pushes in (
        ("one channel", 1, 20_000),
        ("one channel", CLIENTS, 2_000),
        ("all kinds", 1, 300),
        ("all kinds", CLIENTS, 300),
    ):
        done = [measure(pipe, port, kind, clients, pushes // (4 if quick else 1)) for _ in range(runs)]
        rates[kind, clients] = median(run.rate for run in done)
        cpu[kind, clients] = median(run.cpu_s / run.frames for run in done)
        print(
            f"{kind + ',':<13}{clients:>3} clients: {rates[kind, clients]:>9,.0f} frames/s, "
            f"{cpu[kind, clients] * 1e6:.2f} us of the venue's CPU a frame and client"
        )
    pipe.send(None)
    venue.join(10)
    value = round(1 / cpu["all kinds", CLIENTS])
    goal = {"value": value, "goal": GOAL, "unit": "frames per CPU second", "met": value >= GOAL}
    goals = {"frames_per_cpu_s_50_clients": goal}
    seen = {f"{kind}, {clients} clients, frames/s": round(rate) for (kind, clients), rate in rates.items()}
    print(json.dumps({"benchmark": "simulator_streams", "goals": goals, "measured": seen, "peers": {}}))


if __name__ == "__main__":
    main()
