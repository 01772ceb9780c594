"""How many signed orders a second the simulated venue takes over real sockets, and what each costs it.

``python -m benchmarks.simulator [--quick]``: the server, with its living default world, in this process; in
a process of its own a client that only writes requests it has signed beforehand and reads the answers, one
at a time on each connection: orders and cancels in turn, on 1 connection and on 50. Server CPU is all of
this process's CPU while the client runs, the living market included. Beside it, on the same machine at the
same time: what the market costs alone, what an order costs without any wire, and a bare asyncio server that
answers the same client with fixed bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from statistics import median, quantiles
from typing import Any, cast

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
from mexclab.venues.simulator.world import Account, World, WorldTerms

GOAL_RATE, GOAL_CPU_US = 5_000, 60.0
WITHOUT_LIMIT = 10**9
ACCOUNT = Account(
    "loader", "mx0loaderOfTheBenchmark", "f" * 32, {"USDT": Decimal(10**9), "BTC": Decimal(10**6)}
)
TERMS = ServerTerms(
    ip_weight_10s=WITHOUT_LIMIT,
    uid_weight_10s=WITHOUT_LIMIT,
    orders_per_s=WITHOUT_LIMIT,
    ban_after=WITHOUT_LIMIT,
)


# -- the client, a process of its own ----------------------------------------------------------------


def requests(connection: int, count: int, stamp_ms: int) -> Iterator[bytes]:
    """Signed requests: an order far from the market, then its cancel, and so on."""
    seal = hmac.new(ACCOUNT.secret.encode(), digestmod=hashlib.sha256)
    for number in range(count):
        order_id = f"b{connection}-{stamp_ms}-{number // 2}"
        if number % 2:
            method, wanted = "DELETE", f"symbol=BTCUSDT&origClientOrderId={order_id}"
        else:
            order = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=40000.01"
            method, wanted = "POST", f"{order}&newClientOrderId={order_id}"
        query = f"{wanted}&recvWindow=60000&timestamp={stamp_ms}"
        sign = seal.copy()
        sign.update(query.encode())
        yield (
            f"{method} /api/v3/order?{query}&signature={sign.hexdigest()} HTTP/1.1\r\nHost: simulator\r\n"
            f"X-MEXC-APIKEY: {ACCOUNT.key}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        ).encode()


def client(port: int, connections: int, count: int) -> None:
    """Send ``count`` requests over so many connections; print the seconds and the round trips as JSON."""
    stamp_ms = time.time_ns() // MILLISECOND
    each = count // connections
    chooser = selectors.DefaultSelector()
    for number in range(connections):
        link = socket.create_connection(("127.0.0.1", port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flow = iter(list(requests(number, each, stamp_ms)))
        chooser.register(link, selectors.EVENT_READ, [flow, 0.0])
    print("ready", flush=True)
    sys.stdin.readline()
    trips: list[float] = []
    began, left = time.perf_counter(), connections
    for key in list(chooser.get_map().values()):
        key.data[1] = time.perf_counter()
        key.fileobj.send(next(key.data[0]))  # type: ignore[union-attr]
    while left:
        for key, _ in chooser.select():
            sock, state = key.fileobj, key.data
            answer = sock.recv(65536)  # type: ignore[union-attr]
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"the venue refused: {answer!r}")
            now = time.perf_counter()
            trips.append(now - state[1])
            following = next(state[0], None)
            if following is None:
                chooser.unregister(sock)
                left -= 1
            else:
                state[1] = now
                sock.send(following)  # type: ignore[union-attr]
    took = time.perf_counter() - began
    cuts = quantiles(trips, n=100)
    told = {"orders": len(trips), "seconds": took, "p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6}
    print(json.dumps(told), flush=True)


# -- the server, here ---------------------------------------------------------------------------------


class Bare(asyncio.Protocol):
    """Answers every piece of bytes with the same reply, and knows nothing."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 250\r\n\r\n" + b"x" * 250

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self.ANSWER)


async def load(port: str, connections: int, count: int) -> dict[str, float]:
    """Let the client run once; what it told, and the CPU that this process, the server, took."""
    arguments = ["-m", "benchmarks.simulator", "--client", port, str(connections), str(count)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    began = time.process_time()
    process.stdin.write(b"go\n")
    line = await process.stdout.readline()
    cpu = time.process_time() - began
    await process.wait()
    told: dict[str, float] = json.loads(line)
    return {**told, "rate": told["orders"] / told["seconds"], "cpu_us": cpu / told["orders"] * 1e6}


async def loads(port: str, count: int, runs: int) -> dict[int, dict[str, float]]:
    """Medians over the runs, by connections."""
    found: dict[int, dict[str, float]] = {}
    for connections in (1, 50):
        rows = [await load(port, connections, count) for _ in range(runs)]
        found[connections] = {name: median(row[name] for row in rows) for name in rows[0]}
    return found


def core_cpu_us(world: World, count: int) -> float:
    """CPU of one order or cancel that comes without a wire."""
    symbol, quantity, price = Symbol("BTC"), Decimal("0.001"), Decimal("40000.01")
    began = time.process_time()
    for number in range(count // 2):
        name = f"core-{number}"
        order = NewOrder("", ACCOUNT.owner, Side.BUY, OrderType.LIMIT, quantity, price, None, name)
        world.place(ACCOUNT.owner, symbol, order)
        world.cancel(ACCOUNT.owner, name)
    return (time.process_time() - began) / count * 1e6


async def measure(count: int, runs: int) -> dict[str, Any]:
    """The venue and the bare server under the same client, the core, and the market at rest."""
    world = World(WorldTerms(time.time_ns(), 7, (ACCOUNT,)))
    server = SimulatorServer(world, TERMS)
    await server.start()
    bare = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    try:
        began = time.process_time()
        await asyncio.sleep(2)
        market = (time.process_time() - began) / 2
        return {
            "market": market,
            "core": core_cpu_us(world, count),
            "bare": await loads(str(bare.sockets[0].getsockname()[1]), count, runs),
            "venue": await loads(server.url.rpartition(":")[2], count, runs),
        }
    finally:
        bare.close()
        await server.stop()
        world.close()


def main() -> None:
    if "--client" in sys.argv[1:]:
        client(*(int(text) for text in sys.argv[2:5]))
        return
    count, runs = (4_000, 3) if "--quick" in sys.argv[1:] else (20_000, 5)
    found = asyncio.run(measure(count, runs))
    print(f"the living market alone: {found['market']:.1%} of a CPU")
    print(f"an order or cancel without a wire: {found['core']:.1f} us of CPU")
    for name in ("bare", "venue"):
        for connections, row in found[name].items():
            print(
                f"{name:>5}, {connections:>2} connections: {row['rate']:>7,.0f} signed orders and cancels/s, "
                f"p50 {row['p50_us']:,.0f} us, p99 {row['p99_us']:,.0f} us, "
                f"server CPU {row['cpu_us']:.1f} us each"
            )
    rate, cpu = found["venue"][1]["rate"], found["venue"][50]["cpu_us"]
    goals = {
        "orders_per_s_of_one_client": {
            "value": round(rate), "goal": GOAL_RATE, "unit": "orders/s", "met": rate >= GOAL_RATE,
        },
        "server_cpu_per_order": {
            "value": round(cpu, 1), "goal": GOAL_CPU_US, "unit": "us", "met": cpu <= GOAL_CPU_US,
        },
    }  # fmt: skip
    peers = {
        "bare_asyncio_orders_per_s_of_one_client": round(found["bare"][1]["rate"]),
        "bare_asyncio_cpu_us": round(found["bare"][50]["cpu_us"], 1),
        "core_cpu_us": round(found["core"], 1),
    }
    print(json.dumps({"benchmark": "simulator", "goals": goals, "peers": peers}))


if __name__ == "__main__":
    main()
