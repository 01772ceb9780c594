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
from mexclab.trading.exits import (
    Cancel,
    Close,
    Leave,
    Place,
    Step,
    Warn,
    due_ns,
    exit_steps,
    holds_entry,
    ladder_orders,
)

ABC = Symbol("ABC")
NOW = 20_600 * DAY
MARKET = Market(ABC, Decimal("0.0001"), Decimal(1))


def held(
    quantity: str = "1000",
    price: str = "0.05",
    ladder: Sequence[Rung] = LADDERS["balanced"],
    **stops: Decimal,
) -> Desk:
    """A desk that has just bought ``quantity`` at ``price``."""
    plan = Plan(
        "s-1",
        "s-1",
        ABC,
        Decimal(50),
        Decimal(1),
        NOW,
        NOW + MINUTE,
        ExitPlan(tuple(ladder), Decimal("0.1"), HOUR, **stops),
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


def refused(desk: Desk, order: Order, now: int) -> None:
    desk.fold(e.OrderDecided(now, order))
    desk.fold(e.OrderSent(now, order.client_id))
    desk.fold(e.OrderRejected(now, order.client_id, 30005, "Oversold"))


def emptied(desk: Desk, order: Order, now: int) -> None:
    desk.fold(e.OrderDecided(now, order))
    desk.fold(e.OrderSent(now, order.client_id))
    desk.fold(e.OrderCanceled(now, order.client_id, "nothing within the limit"))


def sales(steps: Sequence[Step]) -> list[Order]:
    return [step.order for step in steps if isinstance(step, Place)]


def without_words(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if not isinstance(step, Warn)]


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
    desk, now, tries = held(), NOW, 0
    for _ in range(20):
        for order in ladder_orders(snipe(desk), desk, MARKET, now):
            refused(desk, order, now)
            tries += 1
        now += MINUTE
    assert tries == 4 * 5
    assert due_ns(snipe(desk), desk, NOW + MINUTE) == NOW + HOUR
    (step,) = exit_steps(snipe(desk), desk, MARKET, book("0.04", now), now)
    assert isinstance(step, Leave)


def test_a_refused_rung_is_tried_again_at_the_moment_that_the_clock_says() -> None:
    desk, now, waits = held(ladder=[Rung(Decimal("0.1"), Decimal(1))]), NOW, []
    while orders := ladder_orders(snipe(desk), desk, MARKET, now):
        refused(desk, orders[0], now)
        assert ladder_orders(snipe(desk), desk, MARKET, now) == []
        due = due_ns(snipe(desk), desk, now)
        waits.append((due - now) / SECOND)
        now = due
    assert waits == [1, 2, 4, 8, (NOW + HOUR - now) / SECOND + waits[-1]]


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


@pytest.mark.parametrize("seen", [None, book("0.045", NOW - 2 * MINUTE), book("0")])
def test_nothing_is_sold_at_a_price_that_is_not_known_zero_or_old(seen: Book | None) -> None:
    desk = held()
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    assert without_words(exit_steps(snipe(desk), desk, MARKET, seen, NOW)) == []


@pytest.mark.parametrize("seen", [None, book("0.02", NOW), book("0")])
def test_a_stop_needs_a_fresh_price_and_the_clock_needs_none(seen: Book | None) -> None:
    desk, late = held(), NOW + 2 * MINUTE
    placed(desk, ladder_orders(snipe(desk), desk, MARKET, NOW))
    (step,) = exit_steps(snipe(desk), desk, MARKET, seen, late)
    assert isinstance(step, Warn)
    assert "cannot be guarded by its stop" in step.text
    (step,) = exit_steps(snipe(desk), desk, MARKET, seen, NOW + HOUR)
    assert isinstance(step, Leave)
    assert step.reason == "time"


def test_tries_to_sell_are_spaced_and_wait_longer_after_each_refusal() -> None:
    desk = held()
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    waits, now = [], NOW
    for _ in range(4):
        (order,) = sales(exit_steps(snipe(desk), desk, MARKET, book("0.045", now), now))
        refused(desk, order, now)
        due = due_ns(snipe(desk), desk, now)
        assert sales(exit_steps(snipe(desk), desk, MARKET, book("0.045", now), due - 1)) == []
        waits.append((due - now) / SECOND)
        now = due
    assert waits == [1, 2, 4, 8]


def test_a_position_that_cannot_be_sold_is_said_once_for_each_doubling_of_the_tries() -> None:
    desk, now = held(), NOW
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    keys: dict[str, str] = {}
    for n in range(40):
        steps = exit_steps(snipe(desk), desk, MARKET, book("0.045", now), now)
        for step in steps:
            if isinstance(step, Warn):
                keys.setdefault(step.key, step.text)
        (order,) = sales(steps)
        if n < 20:
            refused(desk, order, now)
        else:
            emptied(desk, order, now)
        now += MINUTE
    assert list(keys) == [
        "refused 1", "refused 2", "refused 4", "refused 8", "refused 16", "empty 4", "empty 8", "empty 16",
    ]  # fmt: skip
    assert "s-1-x-1 was refused (30005 Oversold); refused so far: 1" in keys["refused 1"]
    assert "ABCUSDT cannot be sold: 4 tries sold nothing, the last one at 0.0428" in keys["empty 4"]


def test_a_position_without_a_price_is_said_once_for_each_doubling_of_the_time() -> None:
    desk = held()
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    keys = {
        step.key: None
        for second in range(0, 1000, 10)
        for step in exit_steps(snipe(desk), desk, MARKET, None, NOW + second * SECOND)
    }
    assert list(keys) == ["no price 1", "no price 2", "no price 4", "no price 8", "no price 16"]


def test_the_clock_asks_for_a_look_at_a_position_that_waits_and_never_for_one_in_the_past() -> None:
    desk = held()
    assert due_ns(snipe(desk), desk, NOW) == NOW + HOUR
    late = NOW + 2 * HOUR + 1
    assert due_ns(snipe(desk), desk, late) == NOW + 2 * HOUR + SECOND
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    assert late < due_ns(snipe(desk), desk, late) <= late + SECOND
    (order,) = sales(exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW))
    desk.fold(e.OrderDecided(NOW, order))
    desk.fold(e.OrderSent(NOW, order.client_id))
    assert due_ns(snipe(desk), desk, late) is None
    desk.fold(e.OrderCanceled(NOW, order.client_id, "nothing within the limit"))
    assert due_ns(snipe(desk), desk, NOW) == NOW + SECOND // 2
    assert due_ns(snipe(desk), desk, late) == NOW + 2 * HOUR + SECOND // 2


def test_what_is_of_unknown_fate_does_not_keep_the_rest_from_being_sold() -> None:
    desk = held()
    orders = ladder_orders(snipe(desk), desk, MARKET, NOW)
    placed(desk, orders)
    desk.fold(e.OrderLost(NOW, orders[0].client_id, "no answer came"))
    desk.fold(e.ExitDecided(NOW, "s-1", "stop", "the bid"))
    for order in orders[1:]:
        desk.fold(e.OrderCanceled(NOW, order.client_id, "stop"))
    (sale,) = sales(exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW))
    assert sale.quantity == 1000 - orders[0].quantity


def test_the_floor_is_never_so_low_that_the_venue_would_find_the_order_too_small() -> None:
    desk = held("25", "0.05")
    desk.fold(e.ExitDecided(NOW, "s-1", "stop", "the bid"))
    (sale,) = sales(exit_steps(snipe(desk), desk, MARKET, book("0.0408"), NOW))
    MARKET.check(sale.quantity, sale.price)
    assert sale.price == Decimal("0.04")
    (step,) = exit_steps(snipe(desk), desk, MARKET, book("0.0399"), NOW)
    assert isinstance(step, Close)


def test_dust_closes_the_snipe_and_is_said() -> None:
    desk = held("10", "0.05")
    desk.fold(e.ExitDecided(NOW, "s-1", "time", "held long enough"))
    (step,) = exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW)
    assert isinstance(step, Close)
    assert "10 ABC are left, worth 0.450 USDT at the bid 0.045; the least order is 1 USDT" in step.why


def test_less_than_a_lot_closes_the_snipe_without_a_price() -> None:
    desk = held("0.5", "0.05")
    (step,) = exit_steps(snipe(desk), desk, MARKET, None, NOW)
    assert step == Close("dust", "all that can be sold is sold; 0.5 ABC are left, a lot is 1")


def test_what_a_close_left_behind_does_not_bring_the_snipe_back_and_a_late_fill_does() -> None:
    desk = held("22", "0.05")
    desk.fold(e.ExitDecided(NOW, "s-1", "stop", "the bid"))
    (step,) = exit_steps(snipe(desk), desk, MARKET, book("0.045"), NOW)
    assert isinstance(step, Close)
    desk.fold(e.SnipeMoved(NOW, "s-1", SnipeState.CLOSED, "stop", step.why))
    assert not MARKET.is_dust(desk.held(ABC), Decimal("0.05"))
    assert not holds_entry(snipe(desk), desk, MARKET)
    late = replace(desk.orders["s-1-b-1"], client_id="s-1-b-2", fills=())
    desk.fold(e.OrderDecided(NOW, replace(late, state=type(late.state).DECIDED)))
    desk.fold(e.OrderSent(NOW, "s-1-b-2"))
    fill = Fill("T2", "s-1-b-2", ABC, Side.BUY, Decimal("0.05"), Decimal(5), Decimal(0), "USDT", NOW)
    desk.fold(e.OrderFilled(NOW, fill))
    assert holds_entry(snipe(desk), desk, MARKET)


def test_a_position_waits_while_its_entry_may_still_grow() -> None:
    desk = held()
    more = replace(desk.orders["s-1-b-1"], client_id="s-1-b-2", fills=())
    desk.fold(e.OrderDecided(NOW, replace(more, state=type(more.state).DECIDED)))
    desk.fold(e.OrderSent(NOW, "s-1-b-2"))
    assert exit_steps(snipe(desk), desk, MARKET, book("0.01"), NOW) == []
