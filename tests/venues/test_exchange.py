"""``CcxtExchange`` trades by ccxt's mexc and by a second class, on one world, to the last digit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.reports import Accepted, Balance, Cancelled, Lost, Refused, Traded
from mexclab.errors import ConfigError
from mexclab.venues.exchange import CcxtExchange, CcxtTerms
from mexclab.venues.mexc.endpoints import (
    ACCOUNT,
    EXCHANGE_INFO,
    MY_TRADES,
    OPEN_ORDERS,
    QUERY_ORDER,
    TICKER_24H,
)
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.orders import NewOrder, Status
from mexclab.venues.simulator.dialect_binanceus_words import trade_number
from tests.venues.ccxt_rig import BTC, LIVING, ME, MX
from tests.venues.exchange_rig import IDS, Desk, desk_of, serving, trading


@pytest.fixture(params=IDS)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_of(request.param) as found:
        yield found


def truth(desk: Desk) -> list[Fill]:
    """The world's own fills of ours, with trade ids as the dialect writes them."""
    fills = [own.fill for own in desk.world.matcher.own_trades(ME.owner, 0)]
    if desk.kind == "binanceus":
        fills = [replace(fill, trade_id=str(trade_number(fill.trade_id))) for fill in fills]
    return [replace(fill, at_ns=fill.at_ns // MILLISECOND * MILLISECOND) for fill in fills]


def leaves(value: Any) -> Iterator[Any]:
    """Everything that a nest of dicts and lists holds."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    else:
        yield value


# -- orders ----------------------------------------------------------------------------------------


async def test_an_order_that_takes_is_accepted_and_its_trades_are_told(desk: Desk) -> None:
    order = desk.taker()
    desk.x.submit(order)
    (accepted,) = await desk.until(Accepted)
    await desk.until(Traded, len(truth(desk)))
    assert accepted.client_id == order.client_id
    assert [each.fill for each in desk.told if isinstance(each, Traded)] == truth(desk)
    found = await desk.x.order(order.client_id, BTC)
    assert found is not None
    assert (found.venue_id, found.state) == (accepted.venue_id, OrderState.FILLED)
    assert (found.quantity, found.filled, found.price) == (order.quantity, order.quantity, order.price)


async def test_every_type_arrives_as_itself(desk: Desk) -> None:
    bid = desk.touch(Side.BUY)[0]
    for kind in OrderType:
        desk.x.submit(desk.order(kind.value[:9], Side.BUY, kind, "0.0015", bid))
    await desk.until(Accepted, 5)
    placed = {each.client_id: each for each in desk.world.matcher.placed(ME.owner)}
    for kind in OrderType:
        mine = placed[f"{desk.kind}-{kind.value[:9]}"]
        assert (mine.request.type, mine.quantity) == (kind, Decimal("0.0015"))
        if kind is not OrderType.MARKET:
            assert mine.price == bid


async def test_the_end_of_what_cannot_rest_is_told_with_what_it_executed(desk: Desk) -> None:
    price, size = desk.touch(Side.SELL)
    order = desk.order("partly", Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, str(size + 1), price)
    desk.x.submit(order)
    (ended,) = await desk.until(Cancelled)
    assert (ended.client_id, ended.executed) == (order.client_id, size)
    assert sum(each.fill.quantity for each in desk.told if isinstance(each, Traded)) == size
    assert [type(each) for each in desk.told][-1] is Cancelled


async def test_partial_fills_of_a_resting_order_are_found_by_looking(desk: Desk) -> None:
    price, size = desk.touch(Side.SELL)
    order = desk.order("rests", Side.BUY, OrderType.LIMIT, str(size + 1), price)
    desk.x.submit(order)
    (first,) = await desk.until(Traded)
    assert first.fill.quantity == size
    desk.lives(5)
    desk.other(Side.SELL, Decimal("0.4"), price)
    (_, second) = await desk.until(Traded, 2)
    assert (second.fill.quantity, second.fill.is_maker) == (Decimal("0.4"), True)
    desk.lives(5)
    desk.other(Side.SELL, Decimal("0.6"), price)
    fills = [each.fill for each in await desk.until(Traded, 3)]
    assert fills == truth(desk)
    found = await desk.x.order(order.client_id, BTC)
    assert found is not None
    assert found.state is OrderState.FILLED
    await asyncio.sleep(0.3)
    assert len(desk.told) == 4  # each trade once, and nothing more


async def test_a_cancelled_order_is_told_once_with_what_had_traded(desk: Desk) -> None:
    price, size = desk.touch(Side.SELL)
    order = desk.order("rests", Side.BUY, OrderType.LIMIT, str(size + 1), price)
    desk.x.submit(order)
    await desk.until(Traded)
    desk.x.cancel(order)
    (ended,) = await desk.until(Cancelled)
    assert (ended.client_id, ended.executed) == (order.client_id, size)
    (placed,) = desk.world.matcher.placed(ME.owner)
    assert placed.status is Status.PARTIALLY_CANCELED
    await asyncio.sleep(0.3)
    assert [type(each) for each in desk.told] == [Accepted, Traded, Cancelled]


async def test_open_orders_name_ours_and_those_of_others(desk: Desk) -> None:
    mine = desk.bid()
    desk.x.submit(mine)
    (accepted,) = await desk.until(Accepted)
    by_hand = desk.world.place(
        ME.owner, BTC, NewOrder("", ME.owner, Side.BUY, OrderType.LIMIT, Decimal("0.02"), mine.price)
    )
    assert by_hand.order is not None
    found = {order.quantity: order for order in await desk.x.open_orders()}
    assert set(found) == {Decimal("0.01"), Decimal("0.02")}
    assert (found[mine.quantity].client_id, found[mine.quantity].venue_id) == (
        mine.client_id,
        accepted.venue_id,
    )
    assert (found[mine.quantity].state, found[mine.quantity].price) == (OrderState.ACCEPTED, mine.price)
    assert found[mine.quantity].symbol == BTC
    assert found[Decimal("0.02")].client_id != mine.client_id


async def test_an_order_that_never_was_is_none(desk: Desk) -> None:
    assert await desk.x.order("never-was", BTC) is None


# -- refusals --------------------------------------------------------------------------------------


REFUSALS = {
    "mexc": {"poor": 10101, "oversold": 30005, "lot": 10096, "small": 30002, "post": 30041},
    "binanceus": {"poor": -2010, "oversold": -2010, "lot": -1013, "small": -1013, "post": -2010},
}


async def test_a_refusal_carries_the_venues_code_and_words(desk: Desk) -> None:
    ask, bid = desk.touch(Side.SELL)[0], desk.touch(Side.BUY)[0]
    for order in (
        desk.order("poor", Side.BUY, OrderType.LIMIT, "100000", bid),
        desk.order("oversold", Side.SELL, OrderType.LIMIT, "1000", ask),
        desk.order("lot", Side.BUY, OrderType.LIMIT, "0.0100000001", bid),
        desk.order("small", Side.BUY, OrderType.LIMIT, "0.000001", bid),
        desk.order("post", Side.BUY, OrderType.LIMIT_MAKER, "0.01", ask),
    ):
        desk.x.submit(order)
    refused = {each.client_id.partition("-")[2]: each for each in await desk.until(Refused, 5)}
    assert {name: each.code for name, each in refused.items()} == REFUSALS[desk.kind]
    assert all(each.words for each in refused.values())
    assert desk.world.matcher.placed(ME.owner) == []


async def test_a_doubled_client_id_is_lost_and_not_refused(desk: Desk) -> None:
    desk.x.submit(desk.bid())
    await desk.until(Accepted)
    desk.x.submit(desk.bid())
    (lost,) = await desk.until(Lost)
    assert "id already" in lost.why
    assert len(desk.world.matcher.placed(ME.owner)) == 1


async def test_a_pair_that_the_exchange_does_not_have_is_refused_before_anything_leaves(desk: Desk) -> None:
    desk.x.submit(replace(desk.bid(), symbol=Symbol("NOPE")))
    (refused,) = await desk.until(Refused)
    assert "no pair NOPEUSDT" in refused.words
    assert desk.server.orders_received == 0


async def test_an_order_that_is_cancelled_while_it_waits_never_leaves() -> None:
    slow = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with desk_of("mexc", limits=slow, turn_s=5.0) as desk:
        first, second = desk.bid("first"), desk.bid("second")
        desk.x.submit(first)
        desk.x.submit(second)
        await desk.until(Accepted)
        desk.x.cancel(second)
        (ended,) = await desk.until(Cancelled)
        assert (ended.client_id, ended.executed) == (second.client_id, 0)
        assert "never left" in ended.why
        assert desk.server.orders_received == 1


async def test_an_order_whose_turn_does_not_come_is_given_up_unsent() -> None:
    slow = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with desk_of("mexc", limits=slow, turn_s=0.2) as desk:
        desk.x.submit(desk.bid("first"))
        desk.x.submit(desk.bid("second"))
        (ended,) = await desk.until(Cancelled)
        assert "never left" in ended.why
        assert desk.server.orders_received == 1


async def test_preparing_sends_no_order_and_loads_the_markets() -> None:
    async with serving() as server, trading(server, "mexc") as desk:
        desk.x.prepare(desk.bid(), server.now_ns() + 10**9)
        for _ in range(200):
            if server.requests >= 3:
                break
            await asyncio.sleep(0.01)
        assert server.requests >= 3  # exchangeInfo, the futures' list, the time
        assert server.orders_received == 0


# -- exactness -------------------------------------------------------------------------------------


async def test_balances_are_the_accounts_to_the_last_digit(desk: Desk) -> None:
    desk.world.deposit(ME.owner, "USDT", Decimal("0.123456789012345678"))
    desk.x.submit(desk.taker(quantity="0.012345"))
    await desk.until(Traded)
    desk.x.submit(desk.bid(quantity="0.012347"))
    await desk.until(Accepted, 2)
    own = {asset: held for asset, held in desk.world.matcher.balances(ME.owner).items() if held.total}
    found = await desk.x.balances()
    assert found == own
    assert len(str(found["USDT"].free.normalize()).partition(".")[2]) >= 18
    assert all(isinstance(number, Decimal) for held in found.values() for number in (held.free, held.locked))
    assert isinstance(found["BTC"], Balance)


async def test_no_answer_that_is_asked_for_holds_a_float(desk: Desk) -> None:
    for order in (desk.taker(), desk.bid()):
        desk.x.submit(order)
    await desk.until(Traded)
    name, client, mine = "BTC/USDT", desk.x.client, desk.taker().client_id
    for endpoint, call in (
        (TICKER_24H, lambda exchange: exchange.fetch_ticker(name)),
        (OPEN_ORDERS, lambda exchange: exchange.fetch_open_orders(name)),
        (MY_TRADES, lambda exchange: exchange.fetch_my_trades(name)),
        (ACCOUNT, lambda exchange: exchange.fetch_balance()),
        (EXCHANGE_INFO, lambda exchange: exchange.load_markets()),
        (QUERY_ORDER, lambda exchange: exchange.fetch_order("", name, {"clientOrderId": mine})),
    ):
        answer = await client.ask(endpoint, call)
        found = [leaf for leaf in leaves(answer) if isinstance(leaf, float)]
        assert answer
        assert not found, (call, found[:5])


async def test_all_trades_are_found_page_by_page(desk: Desk) -> None:
    price = desk.touch(Side.SELL)[0]
    since = desk.world.now_ns
    for number in range(230):
        if number % 3 == 0:
            desk.world.advance(desk.world.now_ns + MILLISECOND)
        request = NewOrder("", ME.owner, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, Decimal("0.001"), price * 2)
        request.type = OrderType.MARKET
        request.price = None
        assert desk.world.place(ME.owner, BTC, request).refusal is None
    known = truth(desk)
    assert len(known) >= 230
    found = await desk.x.fills(BTC, since)
    assert {fill.trade_id for fill in found} == {fill.trade_id for fill in known}
    assert [fill.at_ns for fill in found] == sorted(fill.at_ns for fill in found)


async def test_a_new_start_recovers_whose_orders_and_trades_they_are(desk: Desk) -> None:
    taker, maker = desk.taker(), desk.bid()
    desk.x.submit(taker)
    desk.x.submit(maker)
    await desk.until(Traded)
    await desk.until(Accepted, 2)
    async with trading(desk.server, desk.kind) as again:
        assert await again.x.fills(BTC, 0) == truth(desk)
        assert {fill.client_id for fill in await again.x.fills(BTC, 0)} == {taker.client_id}
        assert [order.client_id for order in await again.x.open_orders()] == [maker.client_id]


async def test_both_dialects_tell_the_same_story() -> None:
    async with serving() as server, trading(server, "mexc") as one, trading(server, "binanceus") as two:
        one.x.submit(one.taker())
        await one.until(Traded)
        two.x.submit(two.bid())
        await two.until(Accepted)
        assert await one.x.balances() == await two.x.balances()
        fills = [await desk.x.fills(BTC, 0) for desk in (one, two)]
        assert [replace(fill, trade_id="") for fill in fills[0]] == [
            replace(fill, trade_id="") for fill in fills[1]
        ]
        (resting,), (other) = await one.x.open_orders(), await two.x.open_orders()
        assert resting.client_id == "binanceus-rests"
        assert [replace(order, venue_id=resting.venue_id) for order in other] == [resting]
        one.x.cancel(Order(resting.client_id, BTC, Side.BUY, OrderType.LIMIT, Decimal(1), resting.price))
        await two.until(Cancelled)


# -- markets ---------------------------------------------------------------------------------------


async def test_the_rules_of_a_market_are_the_venues(desk: Desk) -> None:
    for symbol in (BTC, MX):
        known = desk.book(symbol).market
        found = await desk.x.market(symbol)
        assert found is not None
        if desk.kind == "binanceus":  # its exchangeInfo names no fees: ccxt's own table stands in
            found = replace(found, maker_fee=known.maker_fee, taker_fee=known.taker_fee)
        assert found == known
    assert await desk.x.market(Symbol("NOPE")) is None


async def test_prices_and_whether_a_pair_is_tradable_are_the_venues(desk: Desk) -> None:
    day = desk.world.history.day(BTC)
    assert day is not None
    assert await desk.x.reference_price(BTC) == day.last
    assert await desk.x.reference_price(Symbol("NOPE")) is None
    assert await desk.x.is_api_tradable(BTC) is True
    assert await desk.x.is_api_tradable(Symbol("NOPE")) is None


async def test_closes_are_those_of_the_venues_whole_minutes(desk: Desk) -> None:
    since_ns = desk.world.now_ns - 90 * MINUTE
    told = await desk.x.closes(BTC, since_ns)
    kept = desk.world.history.candles(BTC, "1m", since_ns, None, 500)
    known = {bar.open_ns + MINUTE: bar.close for bar in kept}
    assert len(told) > 60
    assert all(known[at_ns] == price for at_ns, price in told[:-1])
    assert await desk.x.closes(Symbol("NOPE"), since_ns) == ()


async def test_a_book_holds_the_venues_best_levels_at_the_venues_time(desk: Desk) -> None:
    before_ns = desk.server.now_ns()
    book = await desk.x.book(BTC)
    assert book is not None
    known = desk.book(BTC).snapshot(5, before_ns)
    assert (book.bids, book.asks) == (known.bids, known.asks)
    assert abs(book.at_ns - before_ns) < 60_000 * MILLISECOND
    assert await desk.x.book(Symbol("NOPE")) is None


async def test_a_market_that_closed_to_the_api_is_seen_when_the_list_is_old() -> None:
    async with desk_of("mexc", fresh_for_s=0.05) as desk:
        desk.world.forbid_api(BTC, None)
        await asyncio.sleep(0.06)
        assert await desk.x.is_api_tradable(BTC) is False


@pytest.mark.parametrize("exchange_id", IDS)
async def test_the_venues_clock_is_measured(exchange_id: str) -> None:
    async with serving(terms=LIVING) as server, trading(server, exchange_id) as desk:
        reading = await desk.x.clock_reading()
        before_ns = time.time_ns()
        there_ns, taken_ns = server.now_ns(), time.time_ns() - before_ns
        off_by = there_ns - before_ns
        assert abs(reading.offset_ns - off_by) <= reading.error_ns + taken_ns + 5 * MILLISECOND
        assert reading.error_ns < 10 * SECOND


def test_an_exchange_that_ccxt_does_not_have_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        CcxtExchange(CcxtTerms("nowhere"), print, lambda: 0)


def test_the_terms_show_no_secret() -> None:
    shown = repr(CcxtTerms("mexc", "the-key", "the-secret", "the-password"))
    assert not {word for word in ("the-key", "the-secret", "the-password") if word in shown}
