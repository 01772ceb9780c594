"""What a person does with one snipe: it is checked, written down with who and why, and then done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.order import Order, OrderState
from mexclab.domain.reports import BookSeen
from mexclab.domain.snipe import ExitPlan, Snipe, SnipeState, parse_ladder
from mexclab.errors import DomainError
from mexclab.trading import exits, handling, recovery
from mexclab.trading.exits import exit_steps
from mexclab.venues.simulator.scenario import Fate
from tests.trading.conftest import START, Station
from tests.trading.test_engine import snipe_of
from tests.trading.test_exits import ABC, MARKET, NOW, book, held

Make = Callable[..., Station]
OTHER = ExitPlan(parse_ladder("200:50 300:50"), Decimal("0.5"), 2 * HOUR)


async def waiting(make: Make, auto_arm: bool = False) -> tuple[Station, Snipe]:
    """A desk with a snipe that waits for its opening."""
    desk = make(auto_arm=auto_arm)
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns - MINUTE)
    return desk, snipe_of(desk, Fate.PLAIN)


async def holding(make: Make) -> tuple[Station, Snipe]:
    """A desk that has bought and whose ladder rests at the venue."""
    desk = make()
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns)
    now = desk.clock.now_ns()
    for _ in range(400):
        now += 10 * MILLISECOND
        await desk.run(now)
        snipe = snipe_of(desk, Fate.PLAIN)
        orders = desk.engine.desk.exits(snipe.snipe_id)
        if orders and all(order.state is OrderState.ACCEPTED for order in orders):
            break
    assert snipe.state is SnipeState.ENTERED
    return desk, snipe


def last(station: Station) -> int:
    return station.engine.seq


def since(station: Station, seq: int) -> list[e.Event]:
    return [event for _, event in station.ledger.read(seq)]


async def test_a_waiting_snipe_gets_another_exit_plan_and_its_position_leaves_by_it(station: Make) -> None:
    desk, snipe = await waiting(station, auto_arm=True)
    said = await handling.replace_exit(desk.engine, snipe.snipe_id, OTHER, "ada", "patience")
    assert "ladder 200:50 300:50, stop 50 %, time 2 h 00 min" in said
    assert desk.engine.desk.snipes[snipe.snipe_id].plan.exit == OTHER
    await desk.run(desk.script(Fate.PLAIN).opens_ns + 5 * SECOND)
    entry = desk.engine.desk.entry_price(snipe.snipe_id)
    prices = [order.price for order in desk.engine.desk.exits(snipe.snipe_id)]
    assert [round(price / entry, 2) for price in prices] == [3, 4]


async def test_a_positions_new_ladder_is_placed_once_the_old_one_is_taken_back(station: Make) -> None:
    desk, snipe = await holding(station)
    before, old = last(desk), desk.engine.desk.exits(snipe.snipe_id)
    said = await handling.replace_exit(desk.engine, snipe.snipe_id, OTHER, "ada", "patience")
    assert "its stop goes from" in said
    told = since(desk, before)
    assert isinstance(told[0], e.ExitReplaced)
    assert (told[0].by, told[0].why) == ("ada", "patience")
    assert {event.client_id for event in told[1:] if isinstance(event, e.CancelSent)} == {
        order.client_id for order in old
    }
    await desk.run(desk.clock.now_ns() + 3 * SECOND)
    live = [order for order in desk.engine.desk.exits(snipe.snipe_id) if order.is_live]
    assert [order.leg for order in live] == ["t1v1", "t2v1"]
    assert sum(order.remaining for order in live) == desk.engine.desk.held(snipe.plan.symbol)
    placed = [event for event in since(desk, before) if isinstance(event, e.OrderDecided | e.OrderCanceled)]
    kinds = [type(event) for event in placed]
    assert kinds == sorted(kinds, key=[e.OrderCanceled, e.OrderDecided].index)
    assert (await recovery.reconcile(desk.engine)).external == 0


async def test_the_same_exit_plan_again_changes_nothing(station: Make) -> None:
    desk, snipe = await holding(station)
    before = last(desk)
    said = await handling.replace_exit(desk.engine, snipe.snipe_id, snipe.plan.exit, "ada", "again")
    assert "has this exit plan already" in said
    assert last(desk) == before


async def test_a_plan_that_would_sell_at_once_is_refused_and_nothing_has_moved(station: Make) -> None:
    desk, snipe = await holding(station)
    await desk.run(desk.clock.now_ns() + 2 * SECOND)
    before = last(desk)
    with pytest.raises(DomainError, match="a time stop of 1 s would sell it at once; flatten it"):
        await handling.replace_exit(
            desk.engine, snipe.snipe_id, replace(OTHER, time_stop_ns=SECOND), "ada", "quick"
        )
    entry = desk.engine.desk.entry_price(snipe.snipe_id)
    sunk = Book(snipe.plan.symbol, (Level(entry / 2, Decimal(9)),), (), desk.clock.now_ns())
    desk.engine.books[snipe.plan.symbol] = sunk
    with pytest.raises(DomainError, match="at or below the new stop"):
        await handling.replace_exit(
            desk.engine, snipe.snipe_id, replace(OTHER, stop_loss=Decimal("0.2")), "ada", "tight"
        )
    assert last(desk) == before


async def test_a_snipe_that_waits_is_aborted_with_who_and_why_and_stays_so(station: Make) -> None:
    desk, snipe = await waiting(station, auto_arm=True)
    before = last(desk)
    assert "is aborted" in await handling.abort(desk.engine, snipe.snipe_id, "ada", "bad coin")
    (moved,) = since(desk, before)
    assert (moved.to, moved.reason, moved.why, moved.by) == (SnipeState.ABORTED, "person", "bad coin", "ada")
    await desk.run(desk.script(Fate.PLAIN).opens_ns + MINUTE)
    assert desk.engine.desk.snipes[snipe.snipe_id].state is SnipeState.ABORTED
    assert desk.engine.desk.orders_of(snipe.snipe_id) == []


async def test_one_position_is_flattened_and_the_venue_agrees(station: Make) -> None:
    desk, snipe = await holding(station)
    before = last(desk)
    assert "is being sold" in await handling.flatten_one(desk.engine, snipe.snipe_id, "ada", "enough")
    decided = since(desk, before)[0]
    assert isinstance(decided, e.ExitDecided)
    assert (decided.reason, decided.why) == ("flatten", "ada: enough")
    assert "already (flatten)" in await handling.flatten_one(desk.engine, snipe.snipe_id, "ada", "enough")
    await desk.run(desk.clock.now_ns() + MINUTE)
    assert desk.engine.desk.snipes[snipe.snipe_id].state is SnipeState.CLOSED
    final = await recovery.reconcile(desk.engine)
    assert (final.unknown_left, final.external) == (0, 0)


async def test_acts_name_the_snipe_and_its_state_when_they_cannot_be_done(station: Make) -> None:
    desk, snipe = await holding(station)
    before, engine, one = last(desk), desk.engine, snipe.snipe_id
    for act in (handling.abort, handling.flatten_one):
        with pytest.raises(DomainError, match="there is no snipe 'nobody'"):
            await act(engine, "nobody", "ada", "why")
    with pytest.raises(DomainError, match="there is no snipe 'nobody'"):
        await handling.replace_exit(engine, "nobody", OTHER, "ada", "why")
    with pytest.raises(DomainError, match=f"{one} is ENTERED and cannot be aborted"):
        await handling.abort(engine, one, "ada", "why")
    assert last(desk) == before
    await handling.flatten_one(engine, one, "ada", "why")
    with pytest.raises(DomainError, match=f"{one} is EXITING: its exit plan can be replaced only before"):
        await handling.replace_exit(engine, one, OTHER, "ada", "why")
    await desk.run(desk.clock.now_ns() + MINUTE)
    before = last(desk)
    with pytest.raises(DomainError, match=f"{one} is CLOSED and has no position to sell; sweep"):
        await handling.flatten_one(engine, one, "ada", "why")
    assert last(desk) == before


async def test_a_snipe_that_waits_or_whose_entry_is_in_flight_cannot_be_flattened(station: Make) -> None:
    desk, snipe = await waiting(station, auto_arm=True)
    with pytest.raises(DomainError, match="has no position to sell; abort takes back"):
        await handling.flatten_one(desk.engine, snipe.snipe_id, "ada", "why")
    await desk.run(desk.script(Fate.PLAIN).opens_ns + MILLISECOND)
    with pytest.raises(DomainError, match="is FIRING and has no position to sell; its entry is in flight"):
        await handling.flatten_one(desk.engine, snipe.snipe_id, "ada", "why")


def left_over(quantity: str) -> Desk:
    """A desk whose closed snipe holds ``quantity`` that was too little at 0.02."""
    desk = held(quantity)
    desk.fold(e.ExitDecided(NOW, "s-1", "stop", "the bid"))
    desk.fold(e.SnipeMoved(NOW, "s-1", SnipeState.CLOSED, "stop", "dust"))
    return desk


@pytest.mark.parametrize(
    ("quantity", "bid", "value", "sellable", "why"),
    [
        ("30", "0.05", "1.50", True, "worth 1.50 USDT at the bid 0.05"),
        ("30", "0.02", "0.60", False, "worth 0.60 USDT at the bid 0.02; the least order is 1 USDT"),
        ("30", "0", None, False, "it has no price to act on"),
        ("0.5", "9", "4.5", False, "less than a lot of 1"),
    ],
)
def test_what_is_left_over_is_told_with_its_value_and_whether_it_can_be_sold(
    quantity: str, bid: str, value: str | None, sellable: bool, why: str
) -> None:
    desk = left_over(quantity)
    (each,) = handling.remainders(desk, {ABC: book(bid)}, {ABC: MARKET}, NOW)
    assert (each.symbol, each.snipe_id, each.quantity) == (ABC, "s-1", Decimal(quantity))
    assert each.value == (None if value is None else Decimal(value))
    assert (each.minimum, each.sellable, each.why) == (1, sellable, why)


def test_an_old_price_and_missing_rules_make_nothing_sellable_and_a_live_snipe_leaves_nothing_over() -> None:
    desk = left_over("30")
    (each,) = handling.remainders(desk, {ABC: book("0.05")}, {ABC: MARKET}, NOW + HOUR)
    assert (each.value, each.sellable) == (None, False)
    (each,) = handling.remainders(desk, {ABC: book("0.05")}, {})
    assert (each.value, each.minimum, each.sellable) == (Decimal("1.50"), None, False)
    assert handling.remainders(held("30"), {ABC: book("0.05")}, {ABC: MARKET}) == []


async def test_a_sweep_sells_what_can_be_sold_now_through_the_same_machine(station: Make) -> None:
    desk, snipe = await holding(station)
    engine = desk.engine
    del engine.books[snipe.plan.symbol]  # without a price its orders are taken back and nothing is sold
    await handling.flatten_one(engine, snipe.snipe_id, "ada", "enough")
    now = desk.clock.now_ns()
    for turn in range(1, 60):
        await desk.clock.sleep_until(now + turn * 50 * MILLISECOND)
        news = await desk.venue.until(desk.clock.now_ns())
        await engine.on([happening for happening in news if not isinstance(happening, BookSeen)])
    assert not any(order.is_live for order in engine.desk.exits(snipe.snipe_id))
    assert engine.desk.held(snipe.plan.symbol) > 0
    words = "given up in a drill"
    await engine.record(e.SnipeMoved(desk.clock.now_ns(), snipe.snipe_id, SnipeState.CLOSED, "drill", words))
    before, held_before = last(desk), engine.desk.held(snipe.plan.symbol)
    said = await handling.sweep(engine, "ada", "tidy up")
    assert said == f"being sold: {held_before} {snipe.plan.symbol.base}"
    told = [each for each in since(desk, before) if isinstance(each, e.SnipeMoved | e.ExitDecided)]
    moved, decided = told[:2]
    assert (moved.to, moved.reason, moved.by) == (SnipeState.ENTERED, "sweep", "ada")
    assert (decided.reason, decided.why) == ("sweep", "ada: tidy up")
    await desk.run(desk.clock.now_ns() + MINUTE)
    assert engine.desk.snipes[snipe.snipe_id].state is SnipeState.CLOSED
    assert engine.desk.held(snipe.plan.symbol) == 0
    assert await handling.sweep(engine, "ada", "again") == (
        "nothing is left over: no snipe that is over holds anything"
    )


async def test_a_sweep_names_what_it_cannot_sell_and_moves_nothing(station: Make) -> None:
    desk = station()
    await desk.start()
    unknown = Symbol("NOSUCH")
    source = held("30")
    plan = replace(source.snipes["s-1"].plan, symbol=unknown)
    order = source.orders["s-1-b-1"]
    fill = replace(order.fills[0], symbol=unknown)
    steps = (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING, SnipeState.ENTERED)
    bare: Order = replace(order, symbol=unknown, fills=(), state=OrderState.DECIDED)
    await desk.engine.record(
        e.SnipePlanned(START, plan), *(e.SnipeMoved(START, "s-1", to) for to in steps),
        e.OrderDecided(START, bare), e.OrderSent(START, order.client_id), e.OrderFilled(START, fill),
        e.SnipeMoved(START, "s-1", SnipeState.CLOSED, "drill", "given up in a drill"),
    )  # fmt: skip
    await desk.engine.on([])  # what the close leads to by itself is written first
    before = last(desk)
    said = await handling.sweep(desk.engine, "ada", "tidy up")
    assert said == "being sold: nothing; 30 NOSUCH stay: the venue shows no trading rules for it"
    assert last(desk) == before


def test_a_swept_remainder_that_loses_its_worth_meanwhile_closes_again() -> None:
    desk = left_over("30")
    desk.fold(e.SnipeMoved(NOW, "s-1", SnipeState.ENTERED, "sweep", "tidy", "ada"))
    desk.fold(e.ExitDecided(NOW, "s-1", "sweep", "ada: tidy"))
    (step,) = exit_steps(desk.snipes["s-1"], desk, MARKET, book("0.02"), NOW)
    assert isinstance(step, exits.Close)
    assert step.reason == "sweep"
