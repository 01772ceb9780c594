"""Exits: the ladder leaves nothing without an exit, stops and clocks win, dust is said and not fought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Rung, Snipe, SnipeState
from mexclab.trading.exits import Cancel, Close, Leave, Place, exit_steps, ladder_orders

ABC = Symbol("ABC")
NOW = 20_600 * DAY
MARKET = Market(ABC, Decimal("0.0001"), Decimal(1))


def held(quantity: str = "1000", price: str = "0.05", ladder: Sequence[Rung] = LADDERS["balanced"]) -> Desk:
    """A desk that has just bought ``quantity`` at ``price``."""
    plan = Plan(
        "s-1",
        "s-1",
        ABC,
        Decimal(50),
        Decimal(1),
        NOW,
        NOW + MINUTE,
        ExitPlan(tuple(ladder), Decimal("0.1"), HOUR),
    )
    order = Order(
        "s-1-b-1", ABC, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, Decimal(quantity), Decimal(1), "s-1", "b"
    )
    fill = Fill("T1", "s-1-b-1", ABC, Side.BUY, Decimal(price), Decimal(quantity), Decimal(0), "USDT", NOW)
    steps = (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING)
    return Desk.of([
        e.SnipePlanned(NOW, plan), *(e.SnipeMoved(NOW, "s-1", to) for to in steps),
        e.OrderDecided(NOW, order), e.OrderSent(NOW, "s-1-b-1"), e.OrderFilled(NOW, fill),
        e.SnipeMoved(NOW, "s-1", SnipeState.ENTERED),
    ])  # fmt: skip


def snipe(desk: Desk) -> Snipe:
    return desk.snipes["s-1"]


def book(bid: str, at_ns: int = NOW) -> Book:
    return Book(ABC, (Level(Decimal(bid), Decimal(10)),), (Level(Decimal(bid) * 2, Decimal(10)),), at_ns)


def placed(desk: Desk, orders: Sequence[Order]) -> Desk:
    for order in orders:
        desk.fold(e.OrderDecided(NOW, order))
        desk.fold(e.OrderSent(NOW, order.client_id))
        desk.fold(e.OrderAccepted(NOW, order.client_id, f"v-{order.client_id}"))
    return desk


@pytest.mark.parametrize("name", list(LADDERS))
def test_a_preset_ladder_sells_all_that_is_held_at_ascending_prices(name: str) -> None:
    desk = held(ladder=LADDERS[name])
    orders = ladder_orders(snipe(desk), desk, MARKET, NOW)
    assert sum(order.quantity for order in orders) == 1000
    assert [order.price for order in orders] == sorted(order.price for order in orders)
    gains = [Decimal("0.05") * (1 + rung.gain) for rung in LADDERS[name]]
    assert all(order.price >= gain for order, gain in zip(orders, gains, strict=True))


@given(
    quantity=st.integers(25, 100_000),
    price=st.decimals("0.0400", "2", places=4),
    shares=st.lists(st.integers(1, 100), min_size=1, max_size=6),
)
def test_no_lot_is_left_without_an_exit_and_none_is_sold_twice(
    quantity: int, price: Decimal, shares: list[int]
) -> None:
    cuts = [Decimal(share) / sum(shares) for share in shares[:-1]]
    ladder = [Rung(Decimal(n + 1) / 10, cut) for n, cut in enumerate([*cuts, 1 - sum(cuts, Decimal(0))])]
    desk = held(str(quantity), str(price), ladder)
    orders = ladder_orders(snipe(desk), desk, MARKET, NOW)
    assert all(not MARKET.is_dust(order.quantity, order.price) for order in orders)
    assert sum(order.quantity for order in orders) == quantity
    placed(desk, orders)
    assert ladder_orders(snipe(desk), desk, MARKET, NOW) == []


def test_only_what_is_missing_is_placed_again() -> None:
    desk = held()
    orders = ladder_orders(snipe(desk), desk, MARKET, NOW)
    placed(desk, orders)
    lost = orders[1]
    desk.fold(e.OrderCanceled(NOW, lost.client_id, "the venue never took it"))
    again = ladder_orders(snipe(desk), desk, MARKET, NOW)
    assert [(order.leg, order.quantity, order.client_id) for order in again] == [
        ("t2", lost.quantity, "s-1-t2-2")
    ]


def test_a_rung_that_the_venue_keeps_refusing_is_left_to_the_stop_and_the_clock() -> None:
    desk = held()
    for _ in range(6):
        orders = ladder_orders(snipe(desk), desk, MARKET, NOW)
        for order in orders:
            desk.fold(e.OrderDecided(NOW, order))
            desk.fold(e.OrderSent(NOW, order.client_id))
            desk.fold(e.OrderRejected(NOW, order.client_id, 30005, "Oversold"))
    assert orders == []
    assert isinstance(exit_steps(snipe(desk), desk, MARKET, book("0.04"), NOW)[0], Leave)


@pytest.mark.parametrize(
    ("bid", "after_ns", "reason"),
    [("0.0451", 0, None), ("0.0450", 0, "stop"), ("0.06", HOUR, "time"), ("0.06", HOUR - SECOND, None)],
)
def test_the_stop_and_the_clock_end_a_position_at_their_bound(
    bid: str, after_ns: int, reason: str | None
) -> None:
    desk = held()
    placed(desk, ladder_orders(snipe(desk), desk, MARKET, NOW))
    steps = exit_steps(snipe(desk), desk, MARKET, book(bid, NOW + after_ns), NOW + after_ns)
    assert [step.reason for step in steps if isinstance(step, Leave)] == ([reason] if reason else [])


def test_leaving_cancels_what_rests_first_and_then_sells_the_rest_with_a_floor() -> None:
    desk = held()
    placed(desk, ladder_orders(snipe(desk), desk, MARKET, NOW))
    desk.fold(e.ExitDecided(NOW, "s-1", "stop", "the bid"))
    steps = exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW)
    assert steps
    assert all(isinstance(step, Cancel) for step in steps)
    for step in steps:
        desk.fold(e.CancelSent(NOW, step.client_id, "stop"))
        assert exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW) != [] or step is steps[-1]
    for step in steps:
        desk.fold(e.OrderCanceled(NOW, step.client_id, "asked for"))
    (sale,) = exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW)
    assert isinstance(sale, Place)
    assert (sale.order.quantity, sale.order.type) == (1000, OrderType.IMMEDIATE_OR_CANCEL)
    assert sale.order.price == Decimal("0.0428")  # 5 % below the bid, rounded towards us


@pytest.mark.parametrize("seen", [None, book("0.045", NOW - 2 * MINUTE)])
def test_nothing_is_sold_at_a_price_that_is_not_known_or_old(seen: Book | None) -> None:
    desk = held()
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    assert exit_steps(snipe(desk), desk, MARKET, seen, NOW) == []


def test_tries_to_sell_are_spaced_and_wait_longer_after_each_refusal() -> None:
    desk = held()
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    waits, now = [], NOW
    for _ in range(4):
        start = now
        while not (steps := exit_steps(snipe(desk), desk, MARKET, book("0.045", now), now)):
            now += SECOND // 4
        waits.append((now - start) / SECOND)
        order = steps[0].order
        desk.fold(e.OrderDecided(now, order))
        desk.fold(e.OrderSent(now, order.client_id))
        desk.fold(e.OrderRejected(now, order.client_id, 30005, "Oversold"))
    assert waits == [0, 1, 2, 4]


def test_dust_closes_the_snipe_and_is_said() -> None:
    desk = held("10", "0.05")
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    (step,) = exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW)
    assert isinstance(step, Close)
    assert "10 ABC are left" in step.why


def test_a_position_waits_while_its_entry_may_still_grow() -> None:
    desk = held()
    more = replace(desk.orders["s-1-b-1"], client_id="s-1-b-2", fills=())
    desk.fold(e.OrderDecided(NOW, replace(more, state=type(more.state).DECIDED)))
    desk.fold(e.OrderSent(NOW, "s-1-b-2"))
    assert exit_steps(snipe(desk), desk, MARKET, book("0.01"), NOW) == []
