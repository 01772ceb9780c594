"""The simulator's second wire dialect, before ccxt's own class for it: the same world in other words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.async_support
import httpx
import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE
from mexclab.domain.market import Side
from mexclab.venues.orders import Status
from mexclab.venues.simulator.dialect_binanceus_words import BASE, order_number, padded
from tests.venues.ccxt_rig import BTC, EARLY, ME, MX, Rig, floats, venue
from tests.venues.exchange_rig import serving, urls
from tests.venues.served import number


@asynccontextmanager
async def rig(**changes: Any) -> AsyncIterator[Rig]:
    """Unmodified ccxt.binanceus, by its constructor alone."""
    async with serving() as server:
        given = {"apiKey": ME.key, "secret": ME.secret, "enableRateLimit": False, "timeout_on_exit": 10}
        options = EARLY | changes.pop("options", {})
        exchange = ccxt.async_support.binanceus(
            given | changes | {"options": options, "urls": urls(server, "binanceus")}
        )
        try:
            yield Rig("async", exchange, server)
        finally:
            await exchange.close()


@pytest.fixture
async def desk() -> AsyncIterator[Rig]:
    async with rig() as found:
        await found.ask("load_markets")
        yield found


async def test_one_unsigned_question_loads_the_markets() -> None:
    async with rig() as desk:
        desk.world.forbid_api(MX, None)
        before = desk.server.requests
        markets = await desk.ask("load_markets")
        assert desk.server.requests == before + 1
        assert (markets["BTC/USDT"]["active"], markets["MX/USDT"]["active"]) == (True, False)
        rules = desk.book().market
        told = markets["BTC/USDT"]
        assert told["precision"]["price"] == float(rules.tick)
        assert told["precision"]["amount"] == float(rules.lot)
        assert told["limits"]["cost"]["min"] == float(rules.min_notional)


async def test_public_answers_are_the_worlds(desk: Rig) -> None:
    book = await desk.ask("fetch_order_book", "BTC/USDT", 20)
    bids, asks = desk.book().levels(20)
    assert (book["bids"], book["asks"], book["nonce"]) == (floats(bids), floats(asks), desk.book().version)
    known = desk.world.history.trades(BTC, 30)
    for method in ("publicGetAggTrades", "publicGetTrades"):
        trades = await desk.ask("fetch_trades", "BTC/USDT", None, 30, {"fetchTradesMethod": method})
        assert [(t["timestamp"], t["price"], t["amount"], t["side"]) for t in trades] == [
            (t.at_ns // MILLISECOND, float(t.price), float(t.quantity), str(t.side).lower())
            for t in reversed(known)
        ]
    ticker = await desk.ask("fetch_ticker", "BTC/USDT")
    day = desk.world.history.day(BTC)
    assert day is not None
    assert [ticker[name] for name in ("open", "high", "low", "last", "baseVolume", "quoteVolume")] == [
        float(n) for n in (day.open, day.high, day.low, day.last, day.volume, day.quote_volume)
    ]
    assert ticker["percentage"] == pytest.approx(float((day.last / day.open - 1) * 100), abs=0.001)
    assert (ticker["bid"], ticker["ask"]) == (float(bids[0][0]), float(asks[0][0]))
    assert set(await desk.ask("fetch_tickers", ["BTC/USDT", "MX/USDT"])) == {"BTC/USDT", "MX/USDT"}
    assert await desk.ask("fetch_time") == desk.server.now_ns() // MILLISECOND


async def test_candles_are_those_of_the_history(desk: Rig) -> None:
    for name, own in {"1m": "1m", "15m": "15m", "1h": "60m", "1d": "1d"}.items():
        known = desk.world.history.candles(BTC, own, limit=20)
        assert await desk.ask("fetch_ohlcv", "BTC/USDT", name, limit=20) == [
            [bar.open_ns // MILLISECOND, *map(float, (bar.open, bar.high, bar.low, bar.close, bar.volume))]
            for bar in known
        ]
    since = (desk.world.now_ns // MINUTE - 50) * MINUTE
    shown = await desk.ask("fetch_ohlcv", "BTC/USDT", "1m", since // MILLISECOND, 10)
    assert [bar[0] for bar in shown] == [since // MILLISECOND + 60_000 * count for count in range(10)]
    with pytest.raises(ccxt.BadRequest):
        await desk.ask("publicGetKlines", {"symbol": "BTCUSDT", "interval": "60m"})


async def test_an_order_lives_and_is_told_in_numbers(desk: Rig) -> None:
    price, size = desk.touch(Side.SELL)
    order = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", float(size * 2), float(price), {"clientOrderId": "mine"}
    )
    (placed,) = desk.world.matcher.placed(ME.owner)
    assert order["id"] == str(order_number(placed.venue_id))
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("open", float(size), "mine")
    assert [trade["amount"] for trade in order["trades"]] == [float(size)]
    for key, params in ((order["id"], {}), ("", {"clientOrderId": "mine"})):
        found = await desk.ask("fetch_order", key, "BTC/USDT", params)
        assert (found["id"], found["remaining"], found["price"]) == (order["id"], float(size), float(price))
    assert [each["id"] for each in await desk.ask("fetch_open_orders", "BTC/USDT")] == [order["id"]]
    ended = await desk.ask("cancel_order", order["id"], "BTC/USDT")
    assert (ended["status"], ended["filled"]) == ("canceled", float(size))
    assert placed.status is Status.PARTIALLY_CANCELED
    (trade,) = await desk.ask("fetch_my_trades", "BTC/USDT")
    (own,) = desk.world.matcher.own_trades(ME.owner, 0)
    assert (trade["order"], trade["price"], trade["amount"]) == (order["id"], float(price), float(size))
    assert (trade["fee"]["cost"], trade["fee"]["currency"]) == (float(own.fill.fee), own.fill.fee_asset)
    assert "clientOrderId" not in trade["info"]


async def test_types_and_times_in_force_are_taken_apart(desk: Rig) -> None:
    ask, size = desk.touch(Side.SELL)
    more = float(size + 1)
    killed = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", more, float(ask), {"timeInForce": "FOK"}
    )
    assert (killed["status"], killed["filled"]) == ("expired", 0.0)
    partly = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", more, float(ask), {"timeInForce": "IOC"}
    )
    assert (partly["status"], partly["filled"], partly["info"]["status"]) == (
        "expired",
        float(size),
        "EXPIRED",
    )
    bid = float(desk.touch(Side.BUY)[0])
    maker = await desk.ask("create_order", "BTC/USDT", "limit", "buy", 0.01, bid, {"postOnly": True})
    assert (maker["status"], maker["info"]["type"]) == ("open", "LIMIT_MAKER")
    market = await desk.ask("create_order", "BTC/USDT", "market", "sell", 0.02)
    assert (market["status"], market["filled"]) == ("closed", 0.02)
    shown = await desk.ask("fetch_orders", "BTC/USDT")
    assert [order["id"] for order in shown] == [each["id"] for each in (killed, partly, maker, market)]
    await desk.ask("cancel_all_orders", "BTC/USDT")
    assert desk.world.matcher.open_orders(ME.owner) == []


async def test_the_balance_is_the_accounts_to_the_last_digit(desk: Rig) -> None:
    desk.world.deposit(ME.owner, "USDT", Decimal("0.123456789012345"))
    await desk.ask("create_order", "BTC/USDT", "limit", "buy", 0.0123, 80_000)
    told = (await desk.ask("fetch_balance"))["info"]["balances"]
    own = desk.world.matcher.balances(ME.owner)
    assert {row["asset"]: (number(row["free"]), number(row["locked"])) for row in told} == {
        asset: (held.free, held.locked) for asset, held in own.items()
    }


async def test_refusals_are_in_its_own_codes(desk: Rig) -> None:
    bid, ask = (float(desk.touch(side)[0]) for side in Side)
    order = ("create_order", "BTC/USDT", "limit")
    for error, call in (
        (ccxt.InsufficientFunds, (*order, "sell", 1_000, ask)),
        (ccxt.InsufficientFunds, (*order, "buy", 100_000, bid)),
        (ccxt.OrderImmediatelyFillable, (*order, "buy", 0.01, ask, {"postOnly": True})),
        (ccxt.InvalidOrder, (*order, "buy", 0.01, bid * 2)),
        (ccxt.OrderNotFound, ("fetch_order", "99999", "BTC/USDT")),
        (ccxt.OrderNotFound, ("cancel_order", "99999", "BTC/USDT")),
        (ccxt.BadSymbol, ("publicGetDepth", {"symbol": "NOPEUSDT"})),
        (ccxt.BadRequest, (*order, "buy", 0.000001, bid)),
    ):
        with pytest.raises(error):
            await desk.ask(*call)
    desk.world.pause(BTC)
    with pytest.raises(ccxt.OperationRejected, match="Market is closed"):
        await desk.ask(*order, "buy", 0.01, bid)
    with pytest.raises(ccxt.BadRequest, match="24 hours"):
        await desk.ask("fetch_my_trades", "BTC/USDT", 0, None, {"until": 10**12})


@pytest.mark.parametrize(
    ("credentials", "error"),
    [
        ({"apiKey": "mx0nobody"}, ccxt.AuthenticationError),
        ({"apiKey": "nonsense"}, ccxt.AuthenticationError),
        ({"secret": "f" * 32}, ccxt.AuthenticationError),
        ({"options": {"timeDifference": 99_000}}, ccxt.InvalidNonce),
    ],
)
async def test_a_bad_key_and_a_wrong_clock_are_turned_away(
    credentials: dict[str, Any], error: type[Exception]
) -> None:
    async with rig(**credentials) as desk:
        with pytest.raises(error):
            await desk.ask("privateGetAccount")


async def test_only_a_server_that_was_given_the_dialect_speaks_it_and_mexcs_all_the_same() -> None:
    async with serving() as both, httpx.AsyncClient(base_url=both.url) as client:
        assert (await client.get(f"{BASE}/ping")).json() == {}
        assert (await client.get("/api/v3/ping")).json() == {}
    async with venue() as one, httpx.AsyncClient(base_url=one.url) as client:
        assert (await client.get(f"{BASE}/ping")).status_code == 404
        assert (await client.get("/api/v3/ping")).json() == {}


AMOUNTS = {
    "0": "0.00000000",
    "-0": "0.00000000",
    "0E-18": "0.00000000",
    "1E+3": "1000.00000000",
    "1.5": "1.50000000",
    "0.1234567890120": "0.123456789012",
    "-2": "-2.00000000",
}


@pytest.mark.parametrize(("value", "text"), AMOUNTS.items())
def test_amounts_have_eight_places_or_as_many_as_they_need(value: str, text: str) -> None:
    assert padded(Decimal(value)) == text
