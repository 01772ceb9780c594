"""How many depth frames a CPU second our stream decodes and applies to the book, beside ccxt.pro.

``python -m benchmarks.stream [--quick]``: the same frames for both, in one run, of a seeded book (1 to 20
levels a frame), CPU time of this process, medians of the rounds. ccxt's mexc is unmodified and gets them by
its own ``handle_message``, ours by ``LiveBook.take``; both have lived through the first half of the frames
when they are measured on the second. Then both once more through a real socket, with another process at its
other end. Beside it: what reading the book after each frame adds, and the naive way of doing it.

At last the book is held against its naive twin, with frames lost, doubled and straddling their snapshots.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import ccxt.pro
from websockets.asyncio.server import ServerConnection, serve

from mexclab.domain.market import Symbol
from mexclab.venues.mexc.book import DepthSnapshot, LiveBook
from mexclab.venues.mexc.connection import Connection, ConnectionHooks, Word
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Decoder, DepthDiff
from mexclab.venues.simulator.session import framed
from tests.naive.book_naive import NaiveBook
from tests.venues.mexc.depth_process import CHANNEL, DepthProcess, Terms

GOAL = 10.0
SYMBOL, UNIFIED = Symbol("BTC"), "BTC/USDT"
SEED = 20260
DEPTH = 20
NOWHERE = "ws://127.0.0.1:9/ws"
AT_ONCE, ENOUGH = 100, 1_000_000  # frames in one write, bytes that may wait for the reader
LOST, DOUBLED = 0.004, 0.01
COMPARE_EVERY = 20_000


def read(frame: bytes) -> DepthDiff:
    """One frame by the schema."""
    heard = Decoder(Drift(lambda seen: None), Symbol.parse).decode(frame, 0)
    assert isinstance(heard, DepthDiff)
    return heard


def begun(snapshot: DepthSnapshot) -> LiveBook:
    book = LiveBook(SYMBOL, read)
    book.anchor(snapshot)
    return book


# -- ccxt ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def ccxt_client(url: str) -> AsyncIterator[tuple[Any, Any]]:
    """ccxt.pro's mexc that knows one market, and its client of that address."""
    exchange = ccxt.pro.mexc({"enableRateLimit": False, "urls": {"api": {"ws": {"spot": url}}}})
    market = {
        "id": str(SYMBOL), "symbol": UNIFIED, "base": "BTC", "quote": "USDT", "spot": True, "type": "spot",
        "active": True, "precision": {"price": 0.01, "amount": 1e-8},
    }  # fmt: skip
    exchange.set_markets([exchange.safe_market_structure(market)])
    try:
        yield exchange, exchange.client(url)
    finally:
        await exchange.close()


def ccxt_begin(exchange: Any, snapshot: DepthSnapshot) -> Any:
    """Give it the book as of the snapshot, as its own REST answer would."""
    levels = {
        side: [[float(price), float(quantity)] for price, quantity in getattr(snapshot, side)]
        for side in ("bids", "asks")
    }
    exchange.orderbooks[UNIFIED] = exchange.order_book({**levels, "nonce": snapshot.last_update_id})
    return exchange.orderbooks[UNIFIED]


# -- in process ---------------------------------------------------------------------------------------


def cpu_s(act: Callable[[bytes], object], frames: Sequence[bytes]) -> float:
    """CPU seconds a frame; what was there before is left out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()
    began = time.process_time()
    for frame in frames:
        act(frame)
    spent = time.process_time() - began
    gc.unfreeze()
    return spent / len(frames)


def halves(act: Callable[[bytes], object], frames: Sequence[bytes]) -> float:
    """CPU seconds a frame of the second half, after the first."""
    middle = len(frames) // 2
    for frame in frames[:middle]:
        act(frame)
    return cpu_s(act, frames[middle:])


def ours(snapshot: DepthSnapshot, frames: Sequence[bytes]) -> float:
    return halves(begun(snapshot).take, frames)


def ours_and_read(snapshot: DepthSnapshot, frames: Sequence[bytes]) -> float:
    book = begun(snapshot)

    def take_and_read(frame: bytes) -> None:
        book.take(frame)
        book.book(DEPTH, 0)

    return halves(take_and_read, frames)


def naively(snapshot: DepthSnapshot, frames: Sequence[bytes]) -> float:
    book = NaiveBook()
    book.anchor(snapshot)
    return halves(book.take, frames)


async def theirs(snapshot: DepthSnapshot, frames: Sequence[bytes]) -> float:
    async with ccxt_client(NOWHERE) as (exchange, client):
        book = ccxt_begin(exchange, snapshot)
        spent = halves(lambda frame: exchange.handle_message(client, frame), frames)
        assert book["nonce"] == read(frames[-1]).first, "ccxt has not applied them"
        return spent


async def rounds(count: int, snapshot: DepthSnapshot, frames: Sequence[bytes]) -> dict[str, list[float]]:
    """CPU seconds a frame of each, side by side, so that the machine's moods fall on all of them."""
    found: dict[str, list[float]] = {"ours": [], "ccxt": [], "ours and read": [], "naive": []}
    for _ in range(count):
        found["ccxt"].append(await theirs(snapshot, frames))
        found["ours"].append(ours(snapshot, frames))
        found["ours and read"].append(ours_and_read(snapshot, frames))
        found["naive"].append(naively(snapshot, frames))
    return found


# -- through a socket ---------------------------------------------------------------------------------


async def pour(count: int) -> None:
    """The other process: to each who subscribes, all the frames as fast as they are taken."""
    frames = [framed(frame) for frame in recorded(count)[1]]
    pieces = [b"".join(frames[start : start + AT_ONCE]) for start in range(0, count, AT_ONCE)]

    async def talk(server: ServerConnection) -> None:
        await server.recv()
        await server.send(json.dumps({"id": 1, "code": 0, "msg": CHANNEL}))
        for piece in pieces:
            server.transport.write(piece)
            while server.transport.get_write_buffer_size() > ENOUGH:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.0005)
        await server.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def pouring(count: int) -> AsyncIterator[str]:
    arguments = ("-m", "benchmarks.stream", "--pour", str(count))
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        port = int(await asyncio.wait_for(child.stdout.readline(), 60))
        yield f"ws://127.0.0.1:{port}/ws"
    finally:
        child.terminate()
        await child.wait()


async def ours_by_socket(url: str, snapshot: DepthSnapshot, count: int) -> float:
    book, done = begun(snapshot), asyncio.Event()

    def hear(connection: Connection, frame: bytes) -> None:
        book.take(frame)
        if book.applied == count:
            done.set()

    def ignore(connection: Connection, word: Word, about: str) -> None:
        """Acknowledgements."""

    connection = Connection(ConnectionHooks(hear, ignore, lambda connection, why: None))
    await connection.open(url, 10)
    began = time.process_time()
    connection.subscribe([CHANNEL])
    await asyncio.wait_for(done.wait(), 120)
    spent = time.process_time() - began
    connection.abort("done")
    await connection.ended
    return spent / count


async def theirs_by_socket(url: str, snapshot: DepthSnapshot, last: int, count: int) -> float:
    async with ccxt_client(url) as (exchange, client):
        book = ccxt_begin(exchange, snapshot)
        await client.connect(await opened_session(exchange))
        began = time.process_time()
        await client.send({"method": "SUBSCRIPTION", "params": [CHANNEL]})
        async with asyncio.timeout(120):
            while book["nonce"] != last:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0.005)
        return (time.process_time() - began) / count


async def opened_session(exchange: Any) -> Any:
    exchange.open()
    return exchange.session


async def socket_rounds(
    times: int, snapshot: DepthSnapshot, frames: Sequence[bytes]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"ours": [], "ccxt": []}
    last = read(frames[-1]).first
    async with pouring(len(frames)) as url:
        for _ in range(times):
            gc.collect()
            gc.freeze()
            found["ccxt"].append(await theirs_by_socket(url, snapshot, last, len(frames)))
            found["ours"].append(await ours_by_socket(url, snapshot, len(frames)))
            gc.unfreeze()
    return found


# -- the twin -----------------------------------------------------------------------------------------


def compare(count: int) -> dict[str, int]:
    """Hold the book against its naive twin through ``count`` diffs; what happened on the way.

    Raises:
        AssertionError: they differ.
    """
    process = DepthProcess(Terms(SEED, lost=LOST, doubled=DOUBLED, spread=40, most_changes=12))
    clever, naive = LiveBook(SYMBOL, read), NaiveBook()
    straddles = snapshots = comparisons = 0
    for number, (frame, within) in enumerate(process.told(count), start=1):
        clever.take(frame)
        naive.take(frame)
        if naive.version is None:
            snapshots += 1
            straddles += bool(within)
            found = within[0] if within else process.snapshot()
            assert clever.anchor(found) == naive.anchor(found)
        assert (clever.version, clever.resyncs) == (naive.version, naive.resyncs)
        if number % COMPARE_EVERY == 0 or number == count:
            assert_equal(clever, naive)
            comparisons += 1
    return {
        "diffs": count, "resyncs": clever.resyncs, "snapshots": snapshots, "straddles": straddles,
        "dropped": clever.dropped, "comparisons": comparisons,
    }  # fmt: skip


def assert_equal(clever: LiveBook, naive: NaiveBook) -> None:
    seen = clever.book(10**9, 0)
    assert seen is not None
    for side in ("asks", "bids"):
        assert [(level.price, level.quantity) for level in getattr(seen, side)] == naive.levels(side)


# -- all of it ----------------------------------------------------------------------------------------


def recorded(count: int) -> tuple[DepthSnapshot, list[bytes]]:
    process = DepthProcess(Terms(SEED))
    snapshot = process.snapshot()
    return snapshot, [process.frame() for _ in range(count)]


async def measure(quick: bool) -> tuple[float, dict[str, float]]:
    """The ratio that is promised, and frames a CPU second of everything."""
    snapshot, frames = recorded(4_000 if quick else 10_000)
    times = 5 if quick else 15
    plain = await rounds(times, snapshot, frames)
    wired = await socket_rounds(max(3, times // 3), snapshot, frames)
    ratio = median(theirs / ours for ours, theirs in zip(plain["ours"], plain["ccxt"], strict=True))
    speeds = {name: 1 / median(spent) for name, spent in plain.items()}
    speeds |= {f"{name} by socket": 1 / median(spent) for name, spent in wired.items()}
    for name, speed in speeds.items():
        print(f"{name:<20} {speed:>9,.0f} frames/s")
    by_socket = speeds["ours by socket"] / speeds["ccxt by socket"]
    print(f"ours is {ratio:.1f} x ccxt.pro, and {by_socket:.1f} x through a socket")
    return ratio, speeds


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--pour"]:
        asyncio.run(pour(int(arguments[1])))
        return
    quick = "--quick" in arguments
    ratio, speeds = asyncio.run(measure(quick))
    diffs = 20_000 if quick else 1_000_000
    twin = compare(diffs)
    print(
        "equal to the naive twin:            "
        + ", ".join(f"{value:,} {name}" for name, value in twin.items())
    )
    goals = {
        "frames_ratio": {"value": round(ratio, 1), "goal": GOAL, "unit": "x ccxt.pro", "met": ratio >= GOAL},
        "diffs_equal": {
            "value": twin["diffs"],
            "goal": diffs,
            "unit": "diffs",
            "met": twin["diffs"] == diffs,
        },
    }
    peers = {
        f"{name}_frames_per_cpu_s": round(value) for name, value in speeds.items() if "ratio" not in name
    }
    print(json.dumps({"benchmark": "stream", "goals": goals, "peers": peers}))


if __name__ == "__main__":
    main()
