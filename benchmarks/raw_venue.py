"""The other end of the order-path benchmark, in a process of its own: the least that a venue can be.

``python -m benchmarks.raw_venue KIND`` listens on a free loopback port, prints it, and serves until its
standard input ends. ``orders`` answers signed order POSTs after checking their HMAC, in some thirty lines on
``asyncio.Protocol``; ``simulator`` is our own one, whole, with budgets that no benchmark uses up; ``frames``
pushes depth frames of the stream, each after its length; ``echo`` sends bytes back as they come, on asyncio;
``echo-blocking`` does so on a blocking socket, which is the floor of what this machine's loopback can do.

A venue does not run on our processor. Where there are two or more, the servers stay on the last one and the
measured process on the others: else it is chance whether writing a request also runs the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

SECRET = "45d0b3c26f2644f19bfb98b07741b2f5"  # of MEXC's documentation, nobody's
KEY = "mx0benchmark"
_BODY = (
    '{"symbol":"%s","orderId":"C02__%021d","orderListId":-1,"price":"%s","origQty":"%s",'
    '"type":"%s","side":"%s","stpMode":"","transactTime":%s}'
)
_REFUSED = b'{"code":700002,"msg":"Signature for this request is not valid."}'


class Orders(asyncio.Protocol):
    """Takes orders whose signature holds; knows nothing of books or balances."""

    keyed = hmac.new(SECRET.encode(), digestmod=hashlib.sha256)
    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:  # order POSTs have no body
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.transport.write(self.answer(head))

    def answer(self, head: bytes) -> bytes:
        query = head[head.index(b"?") + 1 : head.index(b" HTTP/1.1")]
        signed, _, signature = query.rpartition(b"&signature=")
        check = self.keyed.copy()
        check.update(signed)
        if not hmac.compare_digest(check.hexdigest().encode(), signature):
            return self.reply(b"400 Bad Request", _REFUSED)
        said = dict(pair.split("=") for pair in signed.decode().split("&"))
        Orders.taken += 1
        body = _BODY % (
            said["symbol"], Orders.taken, said.get("price", ""), said["quantity"],
            said["type"], said["side"], said["timestamp"],
        )  # fmt: skip
        return self.reply(b"200 OK", body.encode())

    @staticmethod
    def reply(status: bytes, body: bytes) -> bytes:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % (status, len(body)) + body


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Frames(asyncio.Protocol):
    """Ten depth frames of ten levels each every 5 ms: 2,000 frames a second to each that connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        from mexclab.venues.proto import PushData

        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        frame = PushData(channel="spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT", symbol="BTCUSDT")
        depths = frame.publicAggreDepths
        depths.eventType, depths.fromVersion, depths.toVersion = frame.channel[:-8], "1000", "1009"
        for level in range(5):
            depths.asks.add(price=f"{100_000 + level}.25", quantity="0.123")
            depths.bids.add(price=f"{99_999 - level}.75", quantity="0.456")
        data = frame.SerializeToString()
        self.burst = (len(data).to_bytes(4, "big") + data) * 10
        self.push()

    def push(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.burst)
            asyncio.get_running_loop().call_later(0.005, self.push)


async def _serve(kind: type[asyncio.Protocol]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(kind, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


async def _simulate() -> None:
    from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
    from mexclab.venues.simulator.world import Account, World, WorldTerms

    now = time.time_ns()
    rich = Account("me", KEY, SECRET, {"USDT": Decimal(10**9)})
    world = World(WorldTerms(start_ns=now, seed=7, accounts=(rich,), pairs=("BTCUSDT",), past_days=0))
    much = 10**9
    terms = ServerTerms(ip_weight_10s=much, uid_weight_10s=much, orders_per_s=much, anchor_ns=now)
    server = SimulatorServer(world, terms)
    await server.start()
    print(server.url.rpartition(":")[2], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()
    world.close()


def _echo_blocking() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def talk() -> None:
        while True:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := peer.recv(65536):
                peer.sendall(data)

    threading.Thread(target=talk, daemon=True).start()
    sys.stdin.read()


def stay_on(ours: bool) -> None:
    """Keep this process on the servers' processor, or off it."""
    if hasattr(os, "sched_setaffinity") and len(all_of := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, all_of[:-1] if ours else all_of[-1:])


@contextlib.contextmanager
def serving(kind: str) -> Iterator[int]:
    """Run a server of this kind beside us; its port."""
    command = [sys.executable, "-m", "benchmarks.raw_venue", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    stay_on(ours=False)
    if sys.argv[1] == "echo-blocking":
        _echo_blocking()
    elif sys.argv[1] == "simulator":
        asyncio.run(_simulate())
    else:
        asyncio.run(_serve({"orders": Orders, "echo": Echo, "frames": Frames}[sys.argv[1]]))
