"""The private channels: every step of an order, and balances that add up at every frame."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.accounts import FeeAsset
from mexclab.venues.matcher import News
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.private_channels import ACCOUNT, DEALS, ORDERS
from mexclab.venues.simulator.world import Account, World
from tests.venues.stream_door import ANN, BOB, Client, Venue, small_world, venue

MX = Symbol("MX")
HUNDRED_LOTS = 100  # what orders here are counted in: one is worth more than the venue's least
ALL = (ORDERS, DEALS, ACCOUNT)
USDT_ID = "128f589271cb4951b03e71e6323eb7be"
FEES = {"maker_fee": Decimal("0.001"), "taker_fee": Decimal("0.002")}


def order(
    world: World,
    owner: str,
    side: Side,
    kind: OrderType = OrderType.LIMIT,
    away: str = "0.9",
    lots: int = 100,
    client_id: str = "",
    budget: Decimal | None = None,
) -> News:
    """Place an order at ``away`` times the last price; with a budget, in quote."""
    book = world.book(MX)
    assert book is not None
    assert book.last is not None
    market = book.market
    price = market.limit_price(book.last * Decimal(away), side)
    is_market = kind is OrderType.MARKET
    quantity = None if budget is not None else lots * HUNDRED_LOTS * market.lot
    request = NewOrder("", owner, side, kind, quantity, None if is_market else price, budget, client_id)
    return world.place(owner, MX, request)


async def told(stream: Venue, client: Client) -> list[Any]:
    stream.push()
    return await client.until_mark(stream.marks)


def bodies(frames: Sequence[Any], channel: str) -> list[Any]:
    name = {ORDERS: "privateOrders", DEALS: "privateDeals", ACCOUNT: "privateAccount"}[channel]
    return [getattr(frame, name) for frame in frames if frame.channel == channel]


def alone(world: World) -> World:
    """Nobody quotes on MX: what trades there is ours."""
    world.matcher.requote(MX, "maker", {}, {}, world.now_ns)
    book = world.book(MX)
    assert book is not None
    assert book.last is not None
    ticks = book.to_ticks(book.last)
    world.matcher.requote(MX, "anchor", {ticks // 2: 10**9}, {ticks * 2: 10**9}, world.now_ns)
    return world


async def test_an_order_is_new_then_partly_filled_then_filled() -> None:
    world = alone(small_world(**FEES))
    async with venue(world) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            placed = order(world, "ann", Side.BUY, away="1", client_id="mine").order
            assert placed is not None
            price, lot = placed.price, HUNDRED_LOTS * placed.hold.market.lot
            for lots in (30, 70):
                request = NewOrder("", "bob", Side.SELL, OrderType.LIMIT, lots * lot, price)
                assert world.place("bob", MX, request).executions
            frames = await told(stream, client)
            assert {frame.symbol for frame in frames if frame.channel != ACCOUNT} == {"MXUSDT"}
            orders = bodies(frames, ORDERS)
            assert [body.status for body in orders] == [1, 3, 2]
            assert {(b.id, b.clientId, b.orderType, b.tradeType) for b in orders} == {
                (placed.venue_id, "mine", 1, 1)
            }
            assert [Decimal(b.cumulativeQuantity) for b in orders] == [0, 30 * lot, 100 * lot]
            assert [Decimal(b.remainQuantity) for b in orders] == [100 * lot, 70 * lot, 0]
            assert [Decimal(b.cumulativeAmount) for b in orders] == [0, 30 * lot * price, 100 * lot * price]
            assert [Decimal(b.avgPrice) for b in orders] == [0, price, price]
            assert not orders[0].HasField("lastDealQuantity")
            assert [b.isMaker for b in orders] == [False, True, True]
            assert {b.createTime for b in orders} == {world.now_ns // MILLISECOND}
            deals = bodies(frames, DEALS)
            known = world.matcher.own_trades("ann", 0)
            assert [deal.tradeId for deal in deals] == [trade.fill.trade_id for trade in known]
            assert {(d.orderId, d.clientOrderId, d.isMaker, d.feeCurrency) for d in deals} == {
                (placed.venue_id, "mine", True, "USDT")
            }
            assert [Decimal(deal.feeAmount) for deal in deals] == [trade.fill.fee for trade in known]
            whys = [body.type for body in bodies(frames, ACCOUNT)]
            assert whys == ["ENTRUST_PLACE", *["ENTRUST", "ENTRUST", "TRADE_FEE"] * 2]


async def test_a_cancelled_order_gives_back_what_it_held() -> None:
    world = alone(small_world())
    async with venue(world) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            placed = order(world, "ann", Side.BUY, away="1").order
            assert placed is not None
            lot = HUNDRED_LOTS * placed.hold.market.lot
            request = NewOrder("", "bob", Side.SELL, OrderType.LIMIT, 40 * lot, placed.price)
            world.place("bob", MX, request)
            world.cancel("ann", placed.venue_id)
            untouched = order(world, "ann", Side.SELL, away="1.5").order
            assert untouched is not None
            world.cancel_all("ann", MX)
            frames = await told(stream, client)
            first = [body for body in bodies(frames, ORDERS) if body.id == placed.venue_id]
            second = [body for body in bodies(frames, ORDERS) if body.id == untouched.venue_id]
            assert [body.status for body in first] == [1, 3, 5]
            assert [body.status for body in second] == [1, 4]
            back = bodies(frames, ACCOUNT)[-1]
            assert (back.type, back.vcoinName) == ("ENTRUST_CANCEL", "MX")
            assert Decimal(back.balanceAmountChange) == 100 * lot == -Decimal(back.frozenAmountChange)
            assert Decimal(back.balanceAmount) == world.matcher.balances("ann")["MX"].free
            assert next(b for b in bodies(frames, ACCOUNT) if b.vcoinName == "USDT").coinId == USDT_ID


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (OrderType.LIMIT, 1),
        (OrderType.LIMIT_MAKER, 2),
        (OrderType.IMMEDIATE_OR_CANCEL, 3),
        (OrderType.FILL_OR_KILL, 4),
        (OrderType.MARKET, 5),
    ],
)
async def test_each_type_of_order_has_the_number_that_the_venue_gives_it(
    kind: OrderType, number: int
) -> None:
    async with venue() as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(ORDERS, key=key) as client:
            assert order(stream.world, "ann", Side.SELL, kind, away="1.05").order is not None
            assert {body.orderType for body in bodies(await told(stream, client), ORDERS)} == {number}


async def test_an_order_that_cannot_rest_ends_as_canceled_in_whole_or_in_part() -> None:
    world = alone(small_world())
    async with venue(world) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            order(world, "ann", Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, away="1")
            order(world, "bob", Side.SELL, away="1", lots=10)
            order(world, "ann", Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, away="1.02")
            frames = await told(stream, client)
            assert [body.status for body in bodies(frames, ORDERS)] == [1, 4, 1, 3, 5]


async def test_a_market_order_shows_its_bound_and_what_its_money_bought() -> None:
    async with venue(small_world(**FEES)) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            placed = order(
                stream.world, "ann", Side.BUY, OrderType.MARKET, budget=Decimal("50.5"), client_id="q"
            ).order
            assert placed is not None
            frames = await told(stream, client)
            last = bodies(frames, ORDERS)[-1]
            assert last.status == 2
            assert (Decimal(last.amount), last.orderType) == (Decimal("50.5"), 5)
            assert Decimal(last.price) == placed.price > Decimal(last.avgPrice)
            assert (last.remainQuantity, Decimal(last.cumulativeQuantity)) == ("0", placed.filled)
            assert Decimal(last.remainAmount) == Decimal("50.5") - placed.filled_value
            assert bodies(frames, ACCOUNT)[-1].type == "ENTRUST_UNFROZEN"
            order(stream.world, "ann", Side.SELL, OrderType.MARKET, lots=50)
            sold = bodies(await told(stream, client), ORDERS)[-1]
            assert (sold.amount, sold.remainAmount, sold.status) == ("0", "0", 2)  # as recorded


async def test_the_fee_of_an_order_in_quote_comes_out_of_what_it_held() -> None:
    poor = Account("poor", "mx0poor", "c" * 32, {"USDT": Decimal("50.1")})
    async with venue(small_world(accounts=(poor,), **FEES)) as stream:
        key = stream.hub.listen_keys.create("poor")
        async with stream.client(ACCOUNT, key=key) as client:
            assert order(stream.world, "poor", Side.BUY, OrderType.MARKET, budget=Decimal(50)).executions
            frames = bodies(await told(stream, client), ACCOUNT)
            assert Decimal(frames[0].balanceAmount) == 0
            assert min(Decimal(body.balanceAmount) for body in frames) == 0
            left = stream.world.matcher.balances("poor")["USDT"]
            assert [Decimal(body.balanceAmount) for body in frames if body.vcoinName == "USDT"][
                -1
            ] == left.free


async def test_only_the_owner_is_told_and_only_what_was_subscribed_to() -> None:
    world = alone(small_world())
    async with venue(world) as stream:
        keys = [stream.hub.listen_keys.create(owner) for owner in ("ann", "bob")]
        async with (
            stream.client(ORDERS, key=keys[0]) as ann,
            stream.client(DEALS, key=keys[1]) as bob,
            stream.client() as nobody,
        ):
            order(world, "ann", Side.BUY, away="1")
            order(world, "bob", Side.SELL, away="0.95", lots=10)
            stream.push()
            assert {frame.channel for frame in await ann.until_mark(1)} == {ORDERS}
            (deal,) = bodies(await bob.until_mark(1), DEALS)
            assert deal.tradeType == 2
            assert await nobody.until_mark(1) == []


async def test_news_from_before_the_subscription_is_not_told() -> None:
    world = alone(small_world())
    order(world, "ann", Side.BUY, away="1", client_id="before")
    async with venue(world) as stream:
        key = stream.hub.listen_keys.create("ann")
        order(world, "ann", Side.BUY, away="1", client_id="also")
        async with stream.client(*ALL, key=key) as client:
            order(world, "ann", Side.BUY, away="1", client_id="after")
            assert [body.clientId for body in bodies(await told(stream, client), ORDERS)] == ["after"]
            world.deposit("ann", "USDT", Decimal(5))
            world.cancel("ann", "before")
            (body,) = bodies(await told(stream, client), ACCOUNT)
            assert Decimal(body.balanceAmount) == world.matcher.balances("ann")["USDT"].free


async def test_orders_without_a_client_id_are_told_apart() -> None:
    world = alone(small_world())
    older = [order(world, "ann", Side.BUY, lots=number + 20).order for number in range(3)]
    async with venue(world) as stream:
        unheard = [order(world, "ann", Side.BUY, lots=number + 20).order for number in range(3)]
        gone = order(world, "ann", Side.BUY, lots=99).order
        assert gone is not None
        world.cancel("ann", gone.venue_id)
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            new = [order(world, "ann", Side.BUY, lots=number + 20).order for number in range(3)]
            await told(stream, client)
            expected = []
            for placed in (new[1], older[2], unheard[0], new[0], older[0]):
                assert placed is not None
                world.advance(world.now_ns + MILLISECOND)
                world.cancel("ann", placed.venue_id)
                expected.append(placed.venue_id)
            frames = bodies(await told(stream, client), ORDERS)
            assert [body.id for body in frames] == expected
            world.cancel_all("ann")
            rest = {body.id for body in bodies(await told(stream, client), ORDERS)}
            assert rest == {p.venue_id for p in (new[2], older[1], unheard[1], unheard[2]) if p is not None}


async def test_in_real_time_news_goes_out_at_once_and_not_with_the_next_tick() -> None:
    async with venue(terms=ServerTerms()) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(*ALL, key=key) as client:
            stream.hub._timer and stream.hub._timer.cancel()
            order(stream.world, "ann", Side.BUY)
            await asyncio.sleep(0)
            assert (await client.data()).channel == ORDERS
            assert (await client.data()).channel == ACCOUNT


# -- everything adds up ------------------------------------------------------------------------------

places = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(list(Side)),
    st.sampled_from(list(OrderType)),
    st.sampled_from(["0.97", "0.99", "1", "1.001", "1.01", "1.03"]),
    st.integers(1, 400),
    st.booleans(),  # whether a MARKET BUY is in quote
)
commands = st.lists(places | st.sampled_from(["cancel", "cancel all", "live", "push"]), max_size=25)


class Statement:
    """The naive twin: balances by adding up what the frames say."""

    def __init__(self, world: World, owner: str) -> None:
        self.world, self.owner = world, owner
        self.sums = {asset: [b.free, b.locked] for asset, b in world.matcher.balances(owner).items()}
        self.orders: dict[str, Any] = {}

    def read(self, frames: Sequence[Any]) -> None:
        for body in bodies(frames, ACCOUNT):
            have = self.sums.setdefault(body.vcoinName, [Decimal(0), Decimal(0)])
            have[0] += Decimal(body.balanceAmountChange)
            have[1] += Decimal(body.frozenAmountChange)
            assert [Decimal(body.balanceAmount), Decimal(body.frozenAmount)] == have
            assert min(have) >= 0
        for body in bodies(frames, ORDERS):
            before = self.orders.get(body.id)
            assert (body.status == 1) == (before is None)
            assert before is None or before.status in (1, 3)
            self.orders[body.id] = body

    def holds(self) -> None:
        """What the frames said is what the venue has."""
        matcher = self.world.matcher
        known = {asset: [b.free, b.locked] for asset, b in matcher.balances(self.owner).items()}
        assert self.sums == known
        statuses = {1: "NEW", 2: "FILLED", 3: "PARTIALLY_FILLED", 4: "CANCELED", 5: "PARTIALLY_CANCELED"}
        for placed in matcher.placed(self.owner):
            body = self.orders[placed.venue_id]
            assert statuses[body.status] == str(placed.status)
            assert Decimal(body.cumulativeQuantity) == placed.filled
            assert Decimal(body.cumulativeAmount) == placed.filled_value


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(commands=commands, fee_asset=st.sampled_from(list(FeeAsset)), names=st.booleans())
async def test_at_every_frame_the_balances_are_those_before_and_the_change(
    commands: list[Any], fee_asset: FeeAsset, names: bool
) -> None:
    world = small_world(**FEES)
    world.matcher.accounts.fee_asset = fee_asset
    async with venue(world) as stream:
        keys = {each.owner: stream.hub.listen_keys.create(each.owner) for each in (ANN, BOB)}
        async with stream.client(*ALL, key=keys["ann"]) as ann, stream.client(*ALL, key=keys["bob"]) as bob:
            books = {"ann": Statement(world, "ann"), "bob": Statement(world, "bob")}
            for count, command in enumerate([*commands, "push"]):
                if isinstance(command, tuple):
                    owner, side, kind, away, lots, in_quote = command
                    spends = in_quote and kind is OrderType.MARKET and side is Side.BUY
                    budget = Decimal(lots) / 3 if spends else None
                    budget = None if budget is None else budget.quantize(Decimal("0.01"))
                    order(world, owner, side, kind, away, lots, f"c{count}" if names else "", budget)
                elif command == "cancel":
                    for told_order in world.matcher.open_orders("ann")[:1]:
                        world.cancel("ann", told_order.venue_id)
                elif command == "cancel all":
                    world.cancel_all("bob", MX)
                elif command == "live":
                    world.advance(world.now_ns + 10**9)
                else:
                    stream.push()
                    for owner, client in (("ann", ann), ("bob", bob)):
                        books[owner].read(await client.until_mark(stream.marks))
                        books[owner].holds()
