"""The streams of the whole simulator: by its own port, with faults, in steps, and before ccxt's eyes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import ccxt.pro
import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues import proto
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.fault_plan import plan_of
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.world import PAPER_ACCOUNT, World, WorldTerms
from tests.venues.served import PATIENT, Served, served
from tests.venues.stream_door import STEPPED, Client, venue

BTC = Symbol("BTC")
DEPTH = "spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT"
DEALS = "spot@public.aggre.deals.v3.api.pb@10ms@BTCUSDT"
ORDERS = "spot@private.orders.v3.api.pb"


def rule(**fields: Any) -> Faults:
    return Faults(plan_of({"rule": [fields]}))


# -- faults ------------------------------------------------------------------------------------------


async def test_a_frame_cut_in_the_middle_ends_the_connection_without_a_goodbye() -> None:
    async with venue(faults=rule(fault="cut", channel="*depth*", nth=2)) as stream:
        async with stream.client(DEPTH) as client:
            stream.step(1)
            assert len(await client.until_mark(1)) == 1
            stream.step(1)
            with pytest.raises(ConnectionClosed):
                await client.next()
            assert client.socket.close_code == 1006
        assert stream.hub.connections == 0
        async with stream.client(DEPTH) as again:
            stream.step(1)
            assert len(await again.until_mark(3)) == 1


async def test_a_goodbye_can_be_a_fault_too() -> None:
    async with (
        venue(faults=rule(fault="close", channel="*deals*")) as stream,
        stream.client(DEALS) as client,
    ):
        stream.step(3)
        with pytest.raises(ConnectionClosed):
            await client.next()
        assert client.socket.close_code not in (None, 1006)


async def test_a_lost_depth_frame_is_a_hole_in_the_versions() -> None:
    async with venue(faults=rule(fault="gap", nth=2)) as stream, stream.client(DEPTH) as client:
        versions = []
        for _ in range(4):
            stream.step(1)
            for frame in await client.until_mark(stream.marks):
                body = frame.publicAggreDepths
                versions.append((int(body.fromVersion), int(body.toVersion)))
        assert len(versions) == 3
        follows = [after[0] == before[1] + 1 for before, after in pairwise(versions)]
        assert follows == [False, True]


async def test_a_frame_comes_twice_when_the_plan_says_so() -> None:
    faults = rule(fault="duplicate", channel=DEPTH, nth=1)
    async with venue(faults=faults) as stream, stream.client(DEPTH) as client:
        stream.step(1)
        first, second = await client.until_mark(1)
        assert first == second


async def test_stepped_a_late_frame_comes_when_the_world_is_there() -> None:
    faults = rule(fault="reorder", channel=DEPTH, nth=1, delay_ms=1500, jitter_ms=0)
    async with venue(faults=faults) as stream, stream.client(DEPTH) as client:
        stream.step(1)
        assert await client.until_mark(1) == []
        stream.step(1)
        (second,) = await client.until_mark(2)
        stream.step(1)
        first, third = await client.until_mark(3)
        starts = [int(f.publicAggreDepths.fromVersion) for f in (first, second, third)]
        assert starts == sorted(starts)


async def test_in_real_time_a_late_frame_comes_late() -> None:
    faults = rule(fault="reorder", channel=DEPTH, nth=1, delay_ms=300, jitter_ms=0)
    async with venue(terms=ServerTerms(), faults=faults) as stream, stream.client(DEPTH) as client:
        for _ in range(10):
            stream.world.advance(stream.world.now_ns + SECOND)
            await asyncio.sleep(0.02)
        starts: list[int] = []
        while not starts or starts == sorted(starts):
            starts.append(int((await client.data()).publicAggreDepths.fromVersion))
        assert len(starts) > 3
        assert starts[-1] == min(starts)


async def test_a_shifted_clock_shows_in_the_time_of_sending() -> None:
    faults = Faults(plan_of({"clock": {"shift_ms": 5000}}))
    async with venue(faults=faults) as stream, stream.client(DEPTH) as client:
        stream.step(1)
        (frame,) = await client.until_mark(1)
        assert frame.sendTime == stream.world.now_ns // 10**6 + 5000


# -- the whole server --------------------------------------------------------------------------------


async def test_the_mark_of_a_step_comes_after_all_that_happened_until_then() -> None:
    async with served(terms=PATIENT) as simulator:
        key = simulator.server.hub.listen_keys.create("paper")
        async with (
            websockets.connect(simulator.server.ws_url, compression="deflate") as public,
            websockets.connect(f"{simulator.server.ws_url}?listenKey={key}") as private,
        ):
            open_, own = Client(public), Client(private)
            assert (await open_.ask("SUBSCRIPTION", [DEPTH, DEALS]))["msg"] == f"{DEPTH},{DEALS}"
            assert (await own.ask("SUBSCRIPTION", [ORDERS]))["msg"] == ORDERS
            book = simulator.world.book(BTC)
            assert book is not None
            assert book.best_bid is not None
            order = NewOrder("", "paper", Side.BUY, OrderType.LIMIT, Decimal("0.0001"), book.best_bid)
            simulator.world.place("paper", BTC, order)
            to_ns = simulator.world.now_ns + 5 * SECOND
            answer = (await simulator.control("advance", to_ns=to_ns, orders=0)).json()
            frames = await open_.until_mark(answer["mark"])
            assert {frame.channel for frame in frames} == {DEPTH, DEALS}
            assert max(int(f.publicAggreDepths.toVersion or 0) for f in frames) == book.version
            news = await own.until_mark(answer["mark"])
            assert news[0].privateOrders.status == 1


async def test_a_depth_snapshot_by_rest_ends_where_a_frame_ends() -> None:
    async with (
        served(terms=ServerTerms()) as simulator,
        websockets.connect(simulator.server.ws_url) as socket,
    ):
        client = Client(socket)
        await client.ask("SUBSCRIPTION", [DEPTH])
        ends: set[int] = set()

        async def read() -> None:
            while True:
                ends.add(int((await client.data()).publicAggreDepths.toVersion))

        reading = asyncio.ensure_future(read())
        async with asyncio.timeout(60):
            while not ends:  # noqa: ASYNC110  the first frames are there
                await asyncio.sleep(0.01)
            taken: set[int] = set()
            while len(taken) < 2:
                taken.add((await simulator.ask("/api/v3/depth", symbol="BTCUSDT"))["lastUpdateId"])
                await asyncio.sleep(0.05)
            while max(ends) <= max(taken):  # noqa: ASYNC110  the frames have come so far
                await asyncio.sleep(0.01)
        reading.cancel()
        assert taken <= ends


async def test_another_path_is_no_stream() -> None:
    async with served() as simulator:
        with pytest.raises(websockets.exceptions.InvalidStatus):
            await websockets.connect(simulator.server.ws_url.removesuffix("/ws") + "/elsewhere")


# -- ccxt --------------------------------------------------------------------------------------------


@asynccontextmanager
async def watcher(simulator: Served) -> AsyncIterator[Any]:
    """Unmodified ccxt.pro, by its configuration alone."""
    base = simulator.server.url
    exchange = ccxt.pro.mexc(
        {
            "apiKey": PAPER_ACCOUNT.key,
            "secret": PAPER_ACCOUNT.secret,
            "enableRateLimit": False,
            "options": {"watchOrderBook": {"snapshotDelay": 0}},
            "urls": {
                "api": {
                    "spot": {"public": base, "private": base},
                    "contract": {"public": f"{base}/api/v1/contract", "private": f"{base}/api/v1/private"},
                    "spot2": {"public": f"{base}/open/api/v2", "private": f"{base}/open/api/v2"},
                    "ws": {"spot": simulator.server.ws_url, "swap": simulator.server.ws_url},
                }
            },
        }
    )
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def living() -> AsyncIterator[Served]:
    """A venue of today in real time: ccxt signs by this machine's clock."""
    world = World(WorldTerms(time.time_ns(), seed=7, pairs=("BTCUSDT", "MXUSDT"), past_days=1))
    async with served(terms=ServerTerms(ip_weight_10s=10_000), world=world) as simulator:
        yield simulator


async def first(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, 60)


async def test_ccxt_pro_watches_the_public_channels() -> None:
    async with living() as simulator, watcher(simulator) as exchange:
        trades = await first(exchange.watch_trades("BTC/USDT"))
        history = simulator.world.history.trades(BTC, 500)
        known = {(float(trade.price), float(trade.quantity), str(trade.side).lower()) for trade in history}
        assert {(trade["price"], trade["amount"], trade["side"]) for trade in trades} <= known
        ticker = await first(exchange.watch_ticker("BTC/USDT"))
        assert ticker["bid"] < ticker["ask"]
        asked_ms = time.time() * 1000
        candles = await first(exchange.watch_ohlcv("BTC/USDT", "1m"))
        assert candles[-1][0] % 60_000 == 0
        assert asked_ms - 70_000 < candles[-1][0] <= time.time() * 1000


async def test_the_book_of_ccxt_pro_is_the_book() -> None:
    async with living() as simulator, watcher(simulator) as exchange:
        book = simulator.world.book(BTC)
        assert book is not None
        equal = 0
        now = asyncio.get_running_loop().time
        deadline = now() + 60
        while equal < 5:  # it is not while a change is on its way; a book that went wrong is never again
            watched = await first(exchange.watch_order_book("BTC/USDT"))
            shown = [[(price, size) for price, size in watched[side][:10]] for side in ("bids", "asks")]
            equal += shown == [floats(side) for side in book.levels(10)]
            assert now() < deadline


def floats(levels: Any) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in levels]


async def test_ccxt_pro_watches_its_orders_trades_and_balances() -> None:
    async with living() as simulator, watcher(simulator) as exchange:
        watching: Mapping[str, asyncio.Task[Any]] = {
            "orders": asyncio.ensure_future(exchange.watch_orders("BTC/USDT")),
            "trades": asyncio.ensure_future(exchange.watch_my_trades("BTC/USDT")),
            "balance": asyncio.ensure_future(exchange.watch_balance()),
        }
        for _ in range(500):
            await asyncio.sleep(0.02)
            if len(simulator.server.hub._private.get("paper", {})) == 3:
                break
        created = await exchange.create_order("BTC/USDT", "market", "buy", 0.001)
        (order,) = (await first(watching["orders"]))[-1:]
        assert order["id"] == created["id"]
        (trade, *_) = await first(watching["trades"])
        assert trade["order"] == created["id"]
        assert trade["side"] == "buy"
        assert trade["fee"]["currency"] == "USDT"
        balance = await first(watching["balance"])
        assert balance["USDT"]["free"] < 1000
        while order["status"] != "closed":
            (order,) = (await first(exchange.watch_orders("BTC/USDT")))[-1:]
        assert order["filled"] == pytest.approx(0.001)


async def test_a_message_of_the_server_begins_as_a_wrapper_with_its_channel() -> None:
    async with venue(terms=STEPPED) as stream, stream.client(DEPTH) as client:
        stream.step(1)
        data = await client.next()
        assert isinstance(data, bytes)
        assert data[0] == 0x0A
        assert proto.PushData.FromString(data).channel == DEPTH
