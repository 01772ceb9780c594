"""Unmodified ccxt, blocking and asynchronous, on the simulator: every answer is the venue's own truth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderType
from mexclab.venues.orders import Status
from tests.venues.ccxt_rig import BTC, ME, MX, Rig, client, floats, rig, venue

LOT = Decimal("0.000001")


@pytest.fixture(params=["sync", "async"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with rig(request.param) as found:
        yield found


async def bought(desk: Rig, quantity: str = "0.01") -> dict[str, Any]:
    """A market order, as ccxt tells of it afterwards."""
    created = await desk.ask("create_order", "BTC/USDT", "market", "buy", float(quantity))
    found: dict[str, Any] = await desk.ask("fetch_order", created["id"], "BTC/USDT")
    return found


async def rested(desk: Rig, away: str = "0.99", quantity: float = 0.01) -> dict[str, Any]:
    """A bid that nobody takes."""
    price = float(desk.book().market.limit_price(desk.touch(Side.BUY)[0] * Decimal(away), Side.BUY))
    created: dict[str, Any] = await desk.ask("create_order", "BTC/USDT", "limit", "buy", quantity, price)
    return created


# -- markets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async", "pro"])
async def test_the_markets_are_the_venues(kind: str) -> None:
    async with venue() as server, client(server, kind) as desk:
        server.world.forbid_api(MX, None)
        markets = await desk.ask("load_markets")
        assert markets
        for row in server.world.rows():
            told = desk.exchange.markets_by_id[str(row.symbol)][0]
            assert (told["symbol"], told["spot"]) == (f"{row.symbol.base}/{row.symbol.quote}", True)
            assert told["active"] is (row.status == "1" and row.api_tradable)
            rules = row.market
            assert told["precision"]["price"] == float(rules.tick)
            assert told["precision"]["amount"] == float(rules.lot)
            assert told["limits"]["amount"]["min"] == float(rules.lot)
            assert told["limits"]["cost"]["min"] == float(rules.min_notional)
            assert (told["maker"], told["taker"]) == (float(rules.maker_fee), float(rules.taker_fee))
        assert markets["BTC/USDT"]["active"] is True
        assert markets["MX/USDT"]["active"] is False
        assert set(desk.exchange.currencies) >= {"BTC", "MX", "USDT"}


async def test_a_client_without_a_key_has_the_markets_and_the_time() -> None:
    async with venue() as server, client(server, "async", apiKey="", secret="") as desk:
        assert "BTC/USDT" in await desk.ask("load_markets")
        assert await desk.ask("fetch_time") == server.now_ns() // MILLISECOND


async def test_tickers_tell_the_rolling_day_and_the_touch(desk: Rig) -> None:
    told = await desk.ask("fetch_tickers")
    assert set(told) == {f"{row.symbol.base}/{row.symbol.quote}" for row in desk.world.rows()}
    one = await desk.ask("fetch_ticker", "BTC/USDT")
    assert {name: value for name, value in told["BTC/USDT"].items() if name != "info"} == {
        name: value for name, value in one.items() if name != "info"
    }
    day = desk.world.history.day(BTC)
    assert day is not None
    shown = [one[name] for name in ("open", "high", "low", "last", "close", "baseVolume")]
    assert shown == [float(n) for n in (day.open, day.high, day.low, day.last, day.last, day.volume)]
    assert (one["bid"], one["bidVolume"]) == tuple(map(float, desk.touch(Side.BUY)))
    assert (one["ask"], one["askVolume"]) == tuple(map(float, desk.touch(Side.SELL)))
    assert one["change"] == float(day.last - day.open)
    assert one["quoteVolume"] == pytest.approx(float(day.quote_volume), abs=0.01)  # cut to the tick
    assert one["percentage"] == pytest.approx(float((day.last / day.open - 1) * 100), abs=0.01)


INTERVALS = {
    "1m": "1m",
    "5m": "5m",
    "15m": "15m",
    "30m": "30m",
    "1h": "60m",
    "4h": "4h",
    "1d": "1d",
    "1w": "1W",
}


async def test_candles_of_every_interval_are_those_of_the_history(desk: Rig) -> None:
    for name, own in INTERVALS.items():
        shown = await desk.ask("fetch_ohlcv", "BTC/USDT", name, limit=50)
        known = desk.world.history.candles(BTC, own, limit=50)
        assert shown
        assert shown == [
            [bar.open_ns // MILLISECOND, *map(float, (bar.open, bar.high, bar.low, bar.close, bar.volume))]
            for bar in known
        ]


async def test_candles_since_a_moment_begin_there(desk: Rig) -> None:
    since = (desk.world.now_ns // MINUTE - 90) * MINUTE
    shown = await desk.ask("fetch_ohlcv", "BTC/USDT", "1m", since // MILLISECOND, 30)
    known = desk.world.history.candles(BTC, "1m", since, limit=30)
    assert [bar[0] for bar in shown] == [since // MILLISECOND + 60_000 * number for number in range(30)]
    assert [bar[4] for bar in shown] == [float(bar.close) for bar in known]


async def test_the_order_book_is_the_book(desk: Rig) -> None:
    for limit in (5, 100):
        shown = await desk.ask("fetch_order_book", "BTC/USDT", limit)
        bids, asks = desk.book().levels(limit)
        assert (shown["bids"], shown["asks"]) == (floats(bids), floats(asks))
        assert shown["nonce"] == desk.book().version


async def test_public_trades_are_those_of_the_history(desk: Rig) -> None:
    shown = await desk.ask("fetch_trades", "BTC/USDT", limit=40)
    known = desk.world.history.trades(BTC, 40)
    assert len(shown) == 40
    key = ("timestamp", "price", "amount", "side")
    assert sorted(tuple(trade[name] for name in key) for trade in shown) == sorted(
        (trade.at_ns // SECOND * 1000, float(trade.price), float(trade.quantity), str(trade.side).lower())
        for trade in known
    )


# -- the account -----------------------------------------------------------------------------------


async def test_the_balance_is_the_accounts(desk: Rig) -> None:
    await rested(desk)
    await bought(desk)
    shown = await desk.ask("fetch_balance")
    own = desk.world.matcher.balances(ME.owner)
    assert own["USDT"].locked > 0
    for asset, balance in own.items():
        told = shown[asset]
        assert (told["free"], told["used"]) == (float(balance.free), float(balance.locked))
        assert told["total"] == pytest.approx(float(balance.total))


async def test_the_trading_fee_is_the_venues(desk: Rig) -> None:
    told = await desk.ask("fetch_trading_fee", "BTC/USDT")
    rules = desk.book().market
    assert (told["maker"], told["taker"]) == (float(rules.maker_fee), float(rules.taker_fee))


# -- placing ---------------------------------------------------------------------------------------


async def test_a_limit_order_rests_and_is_told_as_it_is(desk: Rig) -> None:
    price = float(desk.touch(Side.BUY)[0] - 10)
    created = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", 0.0123, price, {"clientOrderId": "mine-1"}
    )
    placed = desk.placed(created["id"])
    assert (placed.status, placed.request.type) == (Status.NEW, OrderType.LIMIT)
    assert (placed.client_id, placed.request.side) == ("mine-1", Side.BUY)
    assert (placed.price, placed.quantity) == (Decimal(str(price)), Decimal("0.0123"))
    shown = await desk.ask("fetch_order", created["id"], "BTC/USDT")
    assert (shown["status"], shown["clientOrderId"], shown["type"]) == ("open", "mine-1", "limit")
    assert (shown["price"], shown["amount"], shown["filled"]) == (price, 0.0123, 0.0)
    assert shown["remaining"] == 0.0123
    assert shown["timestamp"] == placed.created_ns // MILLISECOND
    by_own_id = await desk.ask("fetch_order", "", "BTC/USDT", {"clientOrderId": "mine-1"})
    assert by_own_id["id"] == created["id"]


async def test_a_market_buy_by_amount_takes_what_is_there(desk: Rig) -> None:
    shown = await bought(desk, "0.01")
    placed = desk.placed(shown["id"])
    assert (placed.status, placed.filled) == (Status.FILLED, Decimal("0.01"))
    assert (shown["status"], shown["filled"]) == ("closed", 0.01)
    assert shown["cost"] == float(placed.filled_value)
    assert shown["average"] == pytest.approx(float(placed.filled_value / placed.filled))


async def test_a_market_buy_by_cost_spends_no_more(desk: Rig) -> None:
    created = await desk.ask("create_market_buy_order_with_cost", "BTC/USDT", 500)
    placed = desk.placed(created["id"])
    assert placed.request.quote_quantity == 500
    assert 500 - LOT * 200_000 <= placed.filled_value <= 500
    shown = await desk.ask("fetch_order", created["id"], "BTC/USDT")
    assert (shown["filled"], shown["cost"]) == (float(placed.filled), float(placed.filled_value))


async def test_a_market_sale_sells(desk: Rig) -> None:
    before = desk.world.matcher.balances(ME.owner)["BTC"].free
    created = await desk.ask("create_order", "BTC/USDT", "market", "sell", 0.02)
    assert desk.placed(created["id"]).status is Status.FILLED
    assert desk.world.matcher.balances(ME.owner)["BTC"].free == before - Decimal("0.02")


async def test_time_in_force_becomes_a_type(desk: Rig) -> None:
    price, size = desk.touch(Side.SELL)
    more = float(size + Decimal("0.5"))
    killed = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", more, float(price), {"timeInForce": "FOK"}
    )
    assert desk.placed(killed["id"]).request.type is OrderType.FILL_OR_KILL
    assert (desk.placed(killed["id"]).status, desk.placed(killed["id"]).filled) == (Status.CANCELED, 0)
    partly = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", more, float(price), {"timeInForce": "IOC"}
    )
    assert desk.placed(partly["id"]).request.type is OrderType.IMMEDIATE_OR_CANCEL
    assert desk.placed(partly["id"]).status is Status.PARTIALLY_CANCELED
    shown = await desk.ask("fetch_order", partly["id"], "BTC/USDT")
    assert (shown["status"], shown["filled"], shown["timeInForce"]) == ("canceled", float(size), "IOC")


async def test_a_post_only_order_makes_or_is_refused(desk: Rig) -> None:
    bid, ask = (float(desk.touch(side)[0]) for side in Side)
    post = {"postOnly": True}
    created = await desk.ask("create_order", "BTC/USDT", "limit", "buy", 0.01, bid, post)
    assert desk.placed(created["id"]).request.type is OrderType.LIMIT_MAKER
    with pytest.raises(ccxt.InvalidOrder, match="30041"):
        await desk.ask("create_order", "BTC/USDT", "limit", "buy", 0.01, ask, post)


async def test_a_batch_places_each_order_on_its_own(desk: Rig) -> None:
    bid = float(desk.touch(Side.BUY)[0])
    wanted = [
        {"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 0.01, "price": bid - number}
        for number in range(3)
    ]
    wanted.append({"symbol": "BTC/USDT", "type": "limit", "side": "sell", "amount": 4_000, "price": bid + 99})
    told = await desk.ask("create_orders", wanted)
    assert [order["status"] for order in told] == [None, None, None, "rejected"]
    assert [float(desk.placed(order["id"]).price) for order in told[:3]] == [bid, bid - 1, bid - 2]
    assert told[3]["info"]["code"] == 30005


# -- what becomes of them --------------------------------------------------------------------------


async def test_a_cancelled_order_is_gone(desk: Rig) -> None:
    created = await rested(desk)
    told = await desk.ask("cancel_order", created["id"], "BTC/USDT")
    assert (told["id"], told["status"]) == (created["id"], "canceled")
    assert desk.placed(created["id"]).status is Status.CANCELED
    assert await desk.ask("fetch_open_orders", "BTC/USDT") == []


async def test_cancel_all_sweeps_a_symbol_or_everything(desk: Rig) -> None:
    for _ in range(2):
        await rested(desk)
    told = await desk.ask("cancel_all_orders", "BTC/USDT")
    assert [order["status"] for order in told] == ["canceled", "canceled"]
    await rested(desk)
    await desk.ask("create_order", "MX/USDT", "limit", "sell", 100, 99)
    await desk.ask("cancel_all_orders")
    assert desk.world.matcher.open_orders(ME.owner) == []


async def test_open_closed_and_all_orders_are_the_accounts(desk: Rig) -> None:
    filled, resting, cancelled = await bought(desk), await rested(desk), await rested(desk, "0.98")
    await desk.ask("cancel_order", cancelled["id"], "BTC/USDT")
    assert [order["id"] for order in await desk.ask("fetch_open_orders", "BTC/USDT")] == [resting["id"]]
    assert [order["id"] for order in await desk.ask("fetch_open_orders")] == [resting["id"]]
    shown = {order["id"]: order for order in await desk.ask("fetch_orders", "BTC/USDT")}
    assert {key: order["status"] for key, order in shown.items()} == {
        filled["id"]: "closed", resting["id"]: "open", cancelled["id"]: "canceled"
    }  # fmt: skip
    for key, order in shown.items():
        placed = desk.placed(key)
        assert (order["filled"], order["cost"]) == (float(placed.filled), float(placed.filled_value))
    # ccxt asks allOrders with a parameter that spot does not have, and filters nothing
    assert {order["id"] for order in await desk.ask("fetch_closed_orders", "BTC/USDT")} == set(shown)


async def test_a_partial_fill_shows_as_one(desk: Rig) -> None:
    price, size = desk.touch(Side.SELL)
    created = await desk.ask("create_order", "BTC/USDT", "limit", "buy", float(size * 2), float(price))
    shown = await desk.ask("fetch_order", created["id"], "BTC/USDT")
    assert (shown["status"], shown["filled"], shown["remaining"]) == ("open", float(size), float(size))
    desk.other(Side.SELL, Decimal("0.001"), price)
    shown = await desk.ask("fetch_order", created["id"], "BTC/USDT")
    assert shown["filled"] == float(desk.placed(created["id"]).filled) == float(size + Decimal("0.001"))


async def test_my_trades_are_the_accounts_fills(desk: Rig) -> None:
    price, size = desk.touch(Side.SELL)
    await desk.ask("create_order", "BTC/USDT", "limit", "buy", float(size * 2), float(price))
    desk.other(Side.SELL, size, price)
    await desk.ask("create_order", "BTC/USDT", "market", "sell", 0.01)
    shown = await desk.ask("fetch_my_trades", "BTC/USDT")
    known = desk.world.matcher.own_trades(ME.owner, 0)
    assert len(known) >= 3
    assert {trade["takerOrMaker"] for trade in shown} == {"maker", "taker"}
    keys = ("id", "order", "side", "price", "amount", "timestamp")
    assert sorted(tuple(trade[key] for key in keys) for trade in shown) == sorted(
        (
            own.fill.trade_id, own.venue_id, str(own.fill.side).lower(), float(own.fill.price),
            float(own.fill.quantity), own.fill.at_ns // MILLISECOND,
        )
        for own in known
    )  # fmt: skip
    fees = {own.fill.trade_id: (float(own.fill.fee), own.fill.fee_asset) for own in known}
    assert {trade["id"]: (trade["fee"]["cost"], trade["fee"]["currency"]) for trade in shown} == fees
    maker = {own.fill.trade_id for own in known if own.fill.is_maker}
    assert {trade["id"] for trade in shown if trade["takerOrMaker"] == "maker"} == maker
