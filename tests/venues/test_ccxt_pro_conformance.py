"""Unmodified ccxt.pro watches the simulator: every stream tells what is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side
from mexclab.venues.orders import Status
from tests.venues.ccxt_rig import BTC, LIVING, ME, Rig, floats, rig

SOON_S = 60.0


@pytest.fixture
async def desk() -> AsyncIterator[Rig]:
    """In real time, as ccxt.pro runs by its own clock."""
    async with rig("pro", LIVING) as found:
        yield found


async def seen(desk: Rig, name: str, *args: Any) -> Any:
    return await asyncio.wait_for(desk.ask(name, *args), SOON_S)


class Churn:
    """Somebody else trades and requotes all the time."""

    def __init__(self, desk: Rig) -> None:
        self._desk = desk
        self._task = asyncio.get_running_loop().create_task(self._trade())

    async def _trade(self) -> None:
        side = Side.BUY
        while True:
            price, _ = self._desk.touch(side.opposite)
            self._desk.other(side, Decimal("0.001"), price)
            side = side.opposite
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def busy(desk: Rig) -> AsyncIterator[Rig]:
    churn = Churn(desk)
    try:
        yield desk
    finally:
        await churn.stop()


async def test_watched_trades_are_those_of_the_history(busy: Rig) -> None:
    told: list[Mapping[str, Any]] = []
    while len(told) < 20:
        told += await seen(busy, "watch_trades", "BTC/USDT")
    known = {
        (trade.at_ns // MILLISECOND, float(trade.price), float(trade.quantity), str(trade.side).lower())
        for trade in busy.world.history.trades(BTC, 1_000)
    }
    shown = {(each["timestamp"], each["price"], each["amount"], each["side"]) for each in told}
    assert shown <= known
    assert {side for *_, side in shown} == {"buy", "sell"}


async def test_the_watched_ticker_is_the_touch(busy: Rig) -> None:
    told = await seen(busy, "watch_ticker", "BTC/USDT")
    for _ in range(200):
        now = [float(number) for side in Side for number in busy.touch(side)]
        if [told[name] for name in ("bid", "bidVolume", "ask", "askVolume")] == now:
            return
        told = await seen(busy, "watch_ticker", "BTC/USDT")
    raise AssertionError(f"{told} is never the touch")


async def test_the_watched_candle_is_the_one_of_now(busy: Rig) -> None:
    bar = (await seen(busy, "watch_ohlcv", "BTC/USDT", "1m"))[-1]
    (known,) = [
        each
        for each in busy.world.history.candles(BTC, "1m", limit=3)
        if each.open_ns // MILLISECOND == bar[0]
    ]
    assert bar[1] == float(known.open)
    assert float(known.low) <= bar[3] <= bar[4] <= bar[2] <= float(known.high)
    assert 0 < bar[5] <= float(known.volume)


@pytest.mark.parametrize(
    "options", [{}, {"watchOrderBook": {"snapshotDelay": 0}}], ids=["default", "at once"]
)
async def test_the_watched_book_becomes_the_book_and_stays_it(options: dict[str, Any]) -> None:
    """By default ccxt waits for 25 changes before it asks for the snapshot: a busy market's matter."""
    async with rig("pro", LIVING, **options) as desk:
        churn, equal = Churn(desk), 0
        now = asyncio.get_running_loop().time
        deadline = now() + SOON_S
        try:
            while equal < 5:  # it is not while a change is on its way; a book that went wrong is never again
                assert now() < deadline
                shown = await seen(desk, "watch_order_book", "BTC/USDT")
                sides = desk.book().levels(10)
                equal += [[list(level[:2]) for level in shown[side][:10]] for side in ("bids", "asks")] == [
                    floats(side) for side in sides
                ]
        finally:
            await churn.stop()
        assert shown["nonce"] <= desk.book().version


async def private(desk: Rig, **watched: Any) -> dict[str, asyncio.Task[Any]]:
    """Start to watch, and wait until the venue has every subscription."""
    tasks = {name: asyncio.ensure_future(call) for name, call in watched.items()}
    for _ in range(500):
        if len(desk.server.hub._private.get(ME.owner, {})) == len(tasks):
            return tasks
        await asyncio.sleep(0.02)
    raise AssertionError("the venue has not heard of every subscription")


async def test_an_order_its_trade_and_the_balance_are_watched(desk: Rig) -> None:
    exchange = desk.exchange
    tasks = await private(
        desk,
        order=exchange.watch_orders("BTC/USDT"),
        trade=exchange.watch_my_trades("BTC/USDT"),
        balance=exchange.watch_balance(),
    )
    created = await desk.ask("create_order", "BTC/USDT", "market", "buy", 0.001)
    placed = desk.placed(created["id"])
    assert placed.status is Status.FILLED
    (trade, *_) = await asyncio.wait_for(tasks["trade"], SOON_S)
    (own, *_) = desk.world.matcher.own_trades(ME.owner, 0)
    assert (trade["id"], trade["order"]) == (own.fill.trade_id, created["id"])
    assert (trade["price"], trade["amount"]) == (float(own.fill.price), float(own.fill.quantity))
    assert (trade["side"], trade["timestamp"]) == ("buy", own.fill.at_ns // MILLISECOND)
    assert (trade["fee"]["cost"], trade["fee"]["currency"]) == (float(own.fill.fee), own.fill.fee_asset)
    (order,) = (await asyncio.wait_for(tasks["order"], SOON_S))[-1:]
    while order["status"] != "closed":
        (order,) = (await seen(desk, "watch_orders", "BTC/USDT"))[-1:]
    assert (order["id"], order["filled"], order["side"]) == (created["id"], 0.001, "buy")
    balance = await asyncio.wait_for(tasks["balance"], SOON_S)
    truth = desk.world.matcher.balances(ME.owner)
    while balance["USDT"]["free"] != float(truth["USDT"].free) or balance["BTC"]["free"] != float(
        truth["BTC"].free
    ):
        balance = await seen(desk, "watch_balance")
    assert balance["USDT"]["used"] == float(truth["USDT"].locked)


async def test_a_watched_order_rests_fills_in_part_and_is_cancelled(desk: Rig) -> None:
    tasks = await private(desk, order=desk.exchange.watch_orders("BTC/USDT"))
    told: list[Mapping[str, Any]] = []
    while True:
        price, size = desk.touch(Side.SELL)
        created = await desk.ask("create_order", "BTC/USDT", "limit", "buy", float(size * 2), float(price))
        told += await asyncio.wait_for(tasks["order"], SOON_S) if not told else []
        placed = desk.placed(created["id"])
        try:
            await desk.ask("cancel_order", created["id"], "BTC/USDT")
            break
        except ccxt.BadRequest:  # the market lives: somebody sold us the rest before we took it back
            assert placed.status is Status.FILLED
    assert placed.status is Status.PARTIALLY_CANCELED
    told = [order for order in told if order["id"] == created["id"]]
    while not told or told[-1]["status"] == "open":
        news = await seen(desk, "watch_orders", "BTC/USDT")
        told += [order for order in news if order["id"] == created["id"]]
    assert told[-1]["filled"] == float(placed.filled)
    assert (told[-1]["price"], told[-1]["amount"]) == (float(price), float(size * 2))
