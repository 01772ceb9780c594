"""Openings that move or come late: the snipe follows, and never buys twice or too early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry
from mexclab.domain.market import Market, Side
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import Traded
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan, SnipeState
from mexclab.ports import Strategy
from mexclab.trading import entries, planning, safety
from tests.trading.openings_scene import Make, Scene, scene

# -- before the shot has left ----------------------------------------------------------------------


@pytest.mark.parametrize("by_ns", [-5 * MINUTE, 10 * MINUTE])
async def test_a_waiting_snipe_follows_its_opening_later_or_earlier(station: Make, by_ns: int) -> None:
    at = await scene(station)
    await at.run(-11 * MINUTE)
    opens_ns = at.moves_to(by_ns)
    await at.run(by_ns + 3 * SECOND)
    assert at.snipe.plan.not_before_ns == opens_ns
    at.bought_once(opens_ns)


async def test_after_a_move_every_check_is_made_again_and_the_old_ones_stay_written(station: Make) -> None:
    at = await scene(station)
    await at.run(-30 * SECOND)
    before = [check.stage for check in at.snipe.preflights]
    assert before[-2:] == ["T-10min", "T-60s"]
    at.moves_to(15 * MINUTE)
    await at.run(-20 * SECOND)
    assert at.snipe.state is SnipeState.ARMED, "what was armed stays armed"
    assert [check.stage for check in at.snipe.preflights] == ["T-2h"], "the first is due at once"
    await at.run(15 * MINUTE + SECOND)
    after = [check.stage for check in at.snipe.preflights]
    assert after == ["T-2h", "T-10min", "T-60s", "T-5s"]
    written = [each for each in at.told(e.PreflightDone) if each.snipe_id == at.snipe.snipe_id]
    assert [each.preflight.stage for each in written] == before + after


async def test_a_shot_that_is_loaded_is_taken_back_and_fired_at_the_new_opening(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-500 * MILLISECOND)
    assert at.snipe.state is SnipeState.FIRING
    [loaded] = at.orders
    assert at.desk.engine.holds_shot(loaded.client_id)
    opens_ns = at.moves_to(MINUTE)
    await at.look()
    assert at.snipe.state is SnipeState.ARMED
    assert (at.orders[0].state, at.orders[0].why) == (OrderState.CANCELED, "postponed before it left")
    assert not at.desk.engine.shots
    await at.run(MINUTE + 3 * SECOND)
    at.bought_once(opens_ns)
    assert [order.client_id[-2:] for order in at.orders[:2]] == ["-1", "-2"]
    assert all(fired.scheduled_ns >= opens_ns for fired in at.told(e.Fired))


async def test_a_loaded_shot_whose_opening_is_moved_forward_a_little_still_leaves_in_time(
    station: Make,
) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-800 * MILLISECOND)
    opens_ns = at.moves_to(-400 * MILLISECOND)
    await at.look()
    await at.run(3 * SECOND)
    at.bought_once(opens_ns)
    assert at.told(e.Fired)[0].scheduled_ns == opens_ns


@pytest.mark.parametrize("loaded", [False, True])
async def test_an_opening_that_had_passed_when_it_was_told_is_missed_and_nothing_fires(
    station: Make, loaded: bool
) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-500 * MILLISECOND if loaded else -30 * SECOND)
    at.sources.open_ns = at.opens_ns - 3 * MINUTE
    await at.look()
    assert (at.snipe.state, at.snipe.reason) == (SnipeState.MISSED, "opening_in_past")
    assert "which had passed when that was seen" in at.snipe.why
    await at.run(MINUTE)
    assert at.snipe.state is SnipeState.MISSED
    assert not at.told(e.Fired)
    assert all(order.state is OrderState.CANCELED for order in at.orders)


# -- after the shot has left -----------------------------------------------------------------------


async def test_a_snipe_that_was_told_not_open_yet_goes_on_waiting_when_the_sources_show_why(
    station: Make,
) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    at.sources.open_ns, opens_ns = at.opens_ns, at.moves_to(MINUTE)
    await at.run(4 * SECOND)
    assert at.snipe.state is SnipeState.FIRING, "no attempt is left, and word of the opening is waited for"
    spent = len(at.orders)
    assert spent == at.snipe.plan.attempts
    assert {order.state for order in at.orders} == {OrderState.REJECTED}
    at.sources.open_ns = None
    await at.run(15 * SECOND)
    assert at.snipe.state is SnipeState.ARMED
    assert at.snipe.plan.not_before_ns == opens_ns
    assert entries.shots_left(at.snipe, at.desk.engine.desk) == 0
    await at.run(MINUTE + 3 * SECOND)
    at.bought_once(opens_ns)
    assert [order.client_id for order in at.orders] == [
        f"{at.snipe.snipe_id}-b-{number}" for number in range(1, len(at.orders) + 1)
    ]
    assert not at.alerts()


async def test_without_word_of_another_opening_it_ends_at_its_deadline_and_not_before(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    at.sources.open_ns, _ = at.opens_ns, at.moves_to(HOUR)
    deadline_ns = at.snipe.plan.deadline_ns - at.opens_ns
    await at.run(deadline_ns - 100 * MILLISECOND)
    assert at.snipe.state is SnipeState.FIRING
    await at.run(deadline_ns + 200 * MILLISECOND)
    assert (at.snipe.state, at.snipe.reason) == (SnipeState.MISSED, "deadline")
    assert "10007" in at.snipe.why
    assert len(at.orders) == at.snipe.plan.attempts


async def test_a_past_opening_that_is_told_after_the_shot_changes_nothing(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    at.sources.open_ns, _ = at.opens_ns, at.moves_to(8 * SECOND)
    await at.run(3 * SECOND)
    assert at.snipe.state is SnipeState.FIRING
    at.sources.open_ns = at.opens_ns - MINUTE
    await at.look()
    assert at.snipe.state is SnipeState.FIRING
    assert at.snipe.plan.not_before_ns == at.opens_ns


async def test_the_next_look_is_soon_while_word_is_waited_for(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    assert planning.pause_ns(at.desk.engine) == at.desk.engine.rules.poll_ns
    at.sources.open_ns, _ = at.opens_ns, at.moves_to(HOUR)
    await at.run(4 * SECOND)
    assert planning.pause_ns(at.desk.engine) == planning.WORD_POLL_NS


# -- after it was given up -------------------------------------------------------------------------


@pytest.mark.parametrize("auto_arm", [True, False])
async def test_a_missed_snipe_is_planned_again_when_the_opening_moves_behind_it(
    station: Make, auto_arm: bool
) -> None:
    at = await scene(station, 2 * MINUTE, auto_arm)
    if not auto_arm:
        await at.run(-70 * SECOND)
        await safety.arm(at.desk.engine, at.snipe.snipe_id, "ada")
    await at.run(-10 * SECOND)
    at.sources.open_ns, opens_ns = at.opens_ns, at.moves_to(3 * MINUTE)
    await at.run(30 * SECOND)
    assert at.snipe.state is SnipeState.MISSED
    at.sources.open_ns = None
    await at.run(40 * SECOND)
    assert at.snipe.plan.not_before_ns == opens_ns
    moved = [event for event in at.told(e.SnipeMoved) if event.to is SnipeState.PLANNED]
    assert [event.reason for event in moved] == ["postponed"]
    if auto_arm:
        assert not at.alerts()
    else:
        assert at.snipe.state in (SnipeState.PLANNED, SnipeState.PREFLIGHT)
        [alert] = at.alerts()
        assert "arm it again" in alert
        await safety.arm(at.desk.engine, at.snipe.snipe_id, "ada")
    await at.run(3 * MINUTE + 3 * SECOND)
    at.bought_once(opens_ns)


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        ("venue_unavailable", True),
        ("clock_age_s", True),
        ("rejected_by_venue", True),
        ("halted", False),
        ("person", False),
    ],
)
async def test_an_aborted_snipe_is_planned_again_unless_a_person_ended_it(
    station: Make, reason: str, again: bool
) -> None:
    at = await scene(station, 5 * MINUTE)
    await at.run(-2 * MINUTE)
    engine, now = at.desk.engine, at.desk.clock.now_ns()
    await engine.record(e.SnipeMoved(now, at.snipe.snipe_id, SnipeState.ABORTED, reason, "a test"))
    await at.run(-MINUTE)
    assert at.snipe.state is SnipeState.ABORTED, "the same opening is no reason"
    at.moves_to(-30 * SECOND)
    await at.run(-50 * SECOND)
    assert at.snipe.state is SnipeState.ABORTED, "neither is an earlier one"
    opens_ns = at.moves_to(MINUTE)
    await at.run(MINUTE + 3 * SECOND)
    if again:
        at.bought_once(opens_ns)
    else:
        assert (at.snipe.state, at.snipe.reason) == (SnipeState.ABORTED, reason)
        assert not at.orders


async def test_a_postponement_that_is_told_while_the_process_is_dead_revives_what_had_ended(
    station: Make,
) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    now = at.desk.clock.now_ns()
    await at.desk.engine.record(e.SnipeMoved(now, at.snipe.snipe_id, SnipeState.ABORTED, "clock_age_s", "x"))
    again = Scene(at.desk.restart(60))
    again.opens_ns = at.opens_ns
    again.sources.open_ns = at.opens_ns + 10 * MINUTE
    await again.desk.start()
    await again.run(MINUTE)
    assert again.snipe.state in (SnipeState.PLANNED, SnipeState.PREFLIGHT, SnipeState.ARMED)
    assert again.snipe.plan.not_before_ns == at.opens_ns + 10 * MINUTE


@pytest.mark.parametrize("how", ["bought", "said to have bought", "of unknown fate"])
async def test_what_has_bought_or_may_have_bought_is_never_planned_again(station: Make, how: str) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(5 * MILLISECOND)
    engine, now, [order] = at.desk.engine, at.desk.clock.now_ns(), at.orders
    told: dict[str, e.Event] = {
        "bought": e.OrderFilled(now, fill_of(order, now)),
        "said to have bought": e.OrderCanceled(now, order.client_id, "the rest", order.quantity / 2),
        "of unknown fate": e.OrderLost(now, order.client_id, "no answer"),
    }
    ended = e.SnipeMoved(now, order.snipe_id, SnipeState.ABORTED, "a test", "a test")
    await engine.record(told[how], ended)
    at.sources.open_ns = at.opens_ns + HOUR
    await at.look()
    assert at.snipe.state is SnipeState.ABORTED
    assert at.snipe.plan.not_before_ns == at.opens_ns


def fill_of(order: Order, at_ns: int) -> Fill:
    """All of it at its limit."""
    numbers = (order.price, order.quantity, Decimal(0))
    return Fill("T1", order.client_id, order.symbol, Side.BUY, *numbers, "USDT", at_ns)


async def test_a_coin_that_lists_anew_under_an_old_name_revives_no_old_plan(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    engine, now = at.desk.engine, at.desk.clock.now_ns()
    await engine.record(e.SnipeMoved(now, at.snipe.snipe_id, SnipeState.ABORTED, "clock_age_s", "a test"))
    real = at.desk.venue.entries
    anew = CalendarEntry("another", at.script.symbol.base, "Another", "NEW", at.opens_ns + 20 * MINUTE)

    async def shows() -> Sequence[CalendarEntry]:
        return [*await real(), anew]

    at.desk.venue.entries = shows  # type: ignore[method-assign]
    await at.run(MINUTE)
    assert (at.snipe.state, at.snipe.plan.not_before_ns) == (SnipeState.ABORTED, at.opens_ns)


# -- a fill that comes late ------------------------------------------------------------------------


@pytest.mark.parametrize("loaded", [False, True])
async def test_a_late_fill_of_an_earlier_attempt_ends_the_waiting_for_another_opening(
    station: Make, loaded: bool
) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-10 * SECOND)
    at.sources.open_ns, opens_ns = at.opens_ns, at.moves_to(MINUTE)
    await at.run(4 * SECOND)
    at.sources.open_ns = None
    await at.run(MINUTE - (500 * MILLISECOND if loaded else 20 * SECOND))
    assert at.snipe.state is (SnipeState.FIRING if loaded else SnipeState.ARMED)
    first, now, engine = at.orders[0], at.desk.clock.now_ns(), at.desk.engine
    await engine.book([e.OrderFilled(now, fill_of(first, now))])
    await planning.give_way(engine, at.snipe.snipe_id)
    assert (at.snipe.state, at.snipe.reason) == (SnipeState.ENTERED, "late_fill")
    assert not engine.shots
    assert not any(order.is_live for order in at.orders)
    await at.desk.run(opens_ns + SECOND)
    assert [order.client_id for order in at.orders if order.fills] == [first.client_id]


# -- an opening that comes late --------------------------------------------------------------------


class Patient:
    """The desk's strategy, with attempts over a longer time."""

    name = "patient"

    def __init__(self, real: Strategy) -> None:
        self._real = real

    def plan(self, signal: Signal, market: Market, reference_price) -> Plan:
        plan = self._real.plan(signal, market, reference_price)
        return replace(plan, attempts=40, spacing_ns=400 * MILLISECOND)


async def test_a_venue_that_opens_seconds_late_is_tried_until_it_does(station: Make) -> None:
    at = Scene(station())
    at.desk.engine.strategy = Patient(at.desk.engine.strategy)  # type: ignore[assignment]
    await at.start(2 * MINUTE)
    await at.run(-10 * SECOND)
    at.sources.open_ns, opens_ns = at.opens_ns, at.moves_to(7 * SECOND)
    await at.run(10 * SECOND)
    at.bought_once(opens_ns)
    refused = [event for event in at.told(e.OrderRejected) if event.code == 10007]
    assert len(refused) > 10
    assert all(not verdict.breaches for verdict in at.told(e.VerdictGiven))


async def test_the_symbol_is_not_planned_twice(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(30 * SECOND)
    planned = [event.plan.symbol for event in at.told(e.SnipePlanned)]
    assert planned.count(at.script.symbol) == 1


async def test_traded_news_of_an_order_of_ours_still_enters(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(5 * MILLISECOND)
    [order], now = at.orders, at.desk.clock.now_ns()
    await at.desk.engine.on([Traded(fill_of(order, now), now)])
    at.sources.open_ns = at.opens_ns + HOUR
    await at.look()
    assert at.snipe.state is SnipeState.ENTERED
    assert at.snipe.plan.not_before_ns == at.opens_ns, "what has entered follows no opening"


async def test_a_symbol_is_listened_to_until_a_while_after_its_last_snipe_is_over(station: Make) -> None:
    at = await scene(station)
    symbol = at.script.symbol
    await at.run(-MINUTE)
    engine = at.desk.engine
    assert symbol in engine.watched
    await at.run(31 * MINUTE)
    assert at.snipe.state.is_over
    closed_ns = at.snipe.closed_ns or 0
    assert symbol in engine.watched, "the venue may still report a late fill"
    await at.desk.run(closed_ns + planning.LET_GO_NS + MINUTE)
    assert symbol not in engine.watched
    assert symbol not in engine.books, "an old price is no price"
