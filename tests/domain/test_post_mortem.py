"""The phases of a snipe to the nanosecond, whatever came in between, from one pass over the ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.post_mortem import AGAINST, post_mortem, post_mortems, to_dict
from mexclab.domain.snipe import Preflight
from mexclab.errors import DomainError
from tests.domain.snipe_history import (
    ABC,
    B1,
    B2,
    B3,
    ID,
    OPEN,
    S,
    agreed_row,
    armed,
    bought,
    decided,
    fill,
    fired,
    loaded,
    planned,
    stopped,
)
from tests.recorded_day import OPEN_NS as DAY_OPEN_NS
from tests.recorded_day import REFUSED, WON, recorded_day

# -- phases ------------------------------------------------------------------------------------------


def test_every_phase_of_a_timed_shot_is_told_in_nanoseconds() -> None:
    timed = e.ShotTimed(OPEN + 110_000, B1, OPEN, OPEN + 60_000, OPEN + 110_000, OPEN + 25 * MILLISECOND, 2)
    events = bought()
    row = agreed_row([*events[:9], timed, *events[9:], *stopped()])
    at = OPEN + 30 * MILLISECOND
    assert (row.first_seen_ns, row.signal_ns, row.planned_ns) == (
        OPEN - 6 * HOUR, OPEN - 5 * HOUR, OPEN - 4 * HOUR,
    )  # fmt: skip
    assert [(check.stage, check.at_ns) for check in row.preflights] == [("T-60s", OPEN - MINUTE)]
    assert (row.armed_ns, row.armed_by) == (OPEN - MINUTE + SECOND, "anna")
    assert (row.loaded_ns, row.scheduled_ns) == (OPEN - SECOND, OPEN)
    assert (row.released_ns, row.written_ns) == (OPEN + 60_000, OPEN + 110_000)
    assert row.acked_ns == OPEN + 25 * MILLISECOND
    assert (row.lateness_ns, row.write_delay_ns) == (70_000, 110_000)
    assert row.answer_ns == 25 * MILLISECOND - 110_000
    assert (row.first_fill_ns, row.last_entry_fill_ns) == (at, at + MILLISECOND)
    leaving = OPEN + 10 * SECOND
    assert (row.first_exit_sent_ns, row.exit_decided_ns) == (leaving, leaving)
    assert row.first_exit_fill_ns == row.last_exit_fill_ns == leaving + 2 * MILLISECOND
    assert row.closed_ns == leaving + 5 * MILLISECOND
    assert row.holding_ns == leaving + 2 * MILLISECOND - at
    assert (row.attempts, row.transmissions, row.orders, row.fills) == (1, 2, 2, 3)


def test_times_of_a_shot_do_not_depend_on_which_report_came_first() -> None:
    timed = e.ShotTimed(OPEN + 110_000, B1, OPEN, OPEN + 60_000, OPEN + 110_000, OPEN + 25 * MILLISECOND, 1)
    events = bought()
    first = post_mortem(ID, [*events[:8], timed, *events[8:]])
    last = post_mortem(ID, [*events, timed])
    assert first == last


def test_a_shot_that_nobody_timed_has_no_written_time_and_its_answer_counts_from_its_release() -> None:
    row = agreed_row(bought())
    assert (row.released_ns, row.written_ns, row.write_delay_ns) == (OPEN + 90_000, None, None)
    assert row.answer_ns == 30 * MILLISECOND - 90_000
    assert row.transmissions == 1


def test_fills_are_placed_by_the_venues_time_not_by_when_we_heard() -> None:
    events = bought()
    events[10], events[11] = events[11], events[10]
    row = agreed_row(events)
    assert row.first_fill_ns == OPEN + 30 * MILLISECOND
    assert row.first_fill == Decimal("1.50")


def test_a_snipe_that_never_fired_has_no_times_of_a_shot() -> None:
    row = agreed_row([*planned(), e.SnipeMoved(OPEN, ID, S.MISSED, "late", "nothing watched it")])
    assert [row.loaded_ns, row.scheduled_ns, row.acked_ns, row.first_fill_ns] == [None] * 4
    assert (row.attempts, row.transmissions, row.profit, row.holding_ns) == (0, 0, 0, None)
    assert (row.closed_ns, row.reason) == (OPEN, "late")


def test_a_disarmed_snipe_was_armed_by_nobody() -> None:
    taken_back = e.SnipeMoved(OPEN - SECOND, ID, S.PREFLIGHT, "disarmed", "disarmed", "anna")
    row = agreed_row([*planned(), *armed(), taken_back])
    assert (row.armed_ns, row.armed_by) == (None, "")


# -- openings that move ------------------------------------------------------------------------------


def test_a_shot_that_was_postponed_while_loaded_is_not_the_one_that_is_told_of() -> None:
    later = OPEN + HOUR
    row = agreed_row([
        *planned(), *armed(), *loaded(B1),
        e.OrderCanceled(OPEN - MILLISECOND, B1, "postponed before it left"),
        e.SnipeMoved(OPEN - MILLISECOND, ID, S.ARMED, "postponed", "the opening was moved"),
        e.SnipeRetimed(OPEN - MILLISECOND, ID, later, later + MINUTE),
        e.SnipeMoved(later - SECOND, ID, S.FIRING),
        *loaded(B2, later), fired(B2, later), e.OrderAccepted(later + MILLISECOND, B2, "v2"),
    ])  # fmt: skip
    assert (row.open_ns, row.postponements) == (later, 1)
    assert row.retimings == ((OPEN - MILLISECOND, later),)
    assert (row.loaded_ns, row.scheduled_ns) == (later - SECOND, later)
    assert (row.attempts, row.transmissions) == (2, 1)  # two orders, one of which never left
    assert [shot.client_id for shot in row.shots] == [B2]
    assert (row.armed_ns, row.armed_by) == (OPEN - MINUTE + SECOND, "anna")  # nobody armed it anew


def test_a_replanned_snipe_is_told_by_its_second_opening_and_keeps_what_was_refused() -> None:
    later = OPEN + 2 * HOUR
    row = agreed_row([
        *planned(), *armed(), *loaded(B1), fired(B1),
        e.OrderRejected(OPEN + MILLISECOND, B1, 30016, "not open"),
        e.SnipeMoved(OPEN + MINUTE, ID, S.MISSED, "deadline", "the deadline passed"),
        e.SnipeMoved(OPEN + HOUR, ID, S.PLANNED, "replanned", "the venue moved the opening"),
        e.SnipeRetimed(OPEN + HOUR, ID, later, later + MINUTE),
        *armed(later, by="ben"),
        e.SnipeMoved(later - SECOND, ID, S.FIRING),
        *loaded(B2, later), fired(B2, later),
        e.OrderAccepted(later + 9 * MILLISECOND, B2, "v2"),
        fill(B2, "1", "50", "1", later + 9 * MILLISECOND),
        e.SnipeMoved(later + SECOND, ID, S.ENTERED, why="bought"),
    ])  # fmt: skip
    assert (row.planned_ns, row.open_ns) == (OPEN - 4 * HOUR, later)
    assert (row.armed_by, [check.at_ns for check in row.preflights]) == ("ben", [later - MINUTE])
    assert (row.scheduled_ns, row.acked_ns) == (later, later + 9 * MILLISECOND)
    assert row.refusals == ("30016",)
    assert row.closed_ns is None
    assert [shot.refused for shot in row.entries] == ["30016", ""]


def test_a_replanned_snipe_that_nobody_armed_again_was_armed_by_nobody() -> None:
    moved = [
        e.SnipeMoved(OPEN - SECOND, ID, S.ABORTED, "withdrawn", "no longer listed"),
        e.SnipeMoved(OPEN, ID, S.PLANNED, "replanned", "listed again"),
    ]
    row = agreed_row([*planned(), *armed(), *moved])
    assert (row.armed_by, row.armed_ns, row.preflights, row.closed_ns) == ("", None, (), None)


def test_a_listing_that_comes_anew_as_another_coin_was_first_seen_then() -> None:
    old = e.ListingSeen(OPEN - 900 * HOUR, ABC, "c0", OPEN - 800 * HOUR, "calendar")
    again = e.ListingSeen(OPEN - 5 * HOUR, ABC, "c1", OPEN, "symbols")
    signal = planned()
    assert agreed_row([old, *signal[:1], again, *signal[1:]]).first_seen_ns == OPEN - 6 * HOUR


# -- attempts ----------------------------------------------------------------------------------------


def test_several_attempts_are_each_told_and_a_refusal_is_named_once() -> None:
    events: list[e.Event] = [*planned(), *armed()]
    for number, client_id in enumerate((B1, B2), start=0):
        at = OPEN + number * 50 * MILLISECOND
        events += [*loaded(client_id, at), fired(client_id, at)]
        events += [e.OrderRejected(at + 10 * MILLISECOND, client_id, 30016, "not open")]
    at = OPEN + 100 * MILLISECOND
    events += [*loaded(B3, at), fired(B3, at), e.OrderAccepted(at + 8 * MILLISECOND, B3, "v3")]
    events += [fill(B3, "1", "50", "1", at + 9 * MILLISECOND)]
    events += [e.ShotTimed(at + 1, B3, at, at, at + 1, at + 8 * MILLISECOND, 3)]
    row = agreed_row(events)
    assert (row.attempts, row.transmissions, row.refusals) == (3, 5, ("30016",))
    assert (row.scheduled_ns, row.acked_ns) == (OPEN, OPEN + 10 * MILLISECOND)  # of the first shot
    assert row.first_fill_ns == at + 9 * MILLISECOND
    assert [shot.answer_ns for shot in row.shots] == [
        10 * MILLISECOND - 90_000, 10 * MILLISECOND - 90_000, 8 * MILLISECOND - 1,
    ]  # fmt: skip


def test_broken_limits_and_a_failed_last_check_are_refusals() -> None:
    breaches = tuple(e.Breach(limit, "1", "0", "too much") for limit in ("budget", "clock"))
    at = OPEN - 5 * SECOND
    failed = [
        e.PreflightDone(at, ID, Preflight(at, "T-5s", False, ("the venue takes no orders by API",))),
        e.SnipeMoved(at, ID, S.ABORTED, "not_api_tradable", "the venue takes no orders by API"),
    ]
    assert agreed_row([*planned(), e.VerdictGiven(at, ID, B1, breaches)]).refusals == ("budget", "clock")
    assert agreed_row([*planned(), *failed]).refusals == ("not_api_tradable",)


# -- the pass ----------------------------------------------------------------------------------------


def test_many_snipes_are_told_in_one_pass_and_each_as_if_it_were_alone() -> None:
    rows = post_mortems(event for event in [*recorded_day(), *bought(), *stopped()])
    assert [row.snipe_id for row in rows] == [ID, REFUSED, WON]  # by opening
    for row in rows:
        assert row == post_mortem(row.snipe_id, [*recorded_day(), *bought(), *stopped()])


def test_the_recorded_day_comes_out_as_the_desk_has_it() -> None:
    desk = Desk.of(recorded_day())
    row = post_mortem(WON, recorded_day())
    assert (row.profit, row.open_ns) == (desk.profit(WON), DAY_OPEN_NS)
    assert (row.exit_why, row.postponements) == (desk.snipes[WON].exit_why, 1)


def test_events_of_one_snipe_alone_tell_all_but_the_first_sight() -> None:
    alone = [event for event in [*bought(), *stopped()] if e.correlation(event) == ID]
    assert post_mortem(ID, alone) == replace(agreed_row([*bought(), *stopped()]), first_seen_ns=None)


def test_orders_that_no_plan_stands_behind_are_passed_over() -> None:
    stray = [decided("other-b-1"), fill("other-b-1", "77", "1", "1", OPEN)]
    assert post_mortems([*bought(), *stray]) == post_mortems(bought())


def test_a_snipe_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DomainError, match="nobody"):
        post_mortem("nobody", bought())


def test_a_row_becomes_json_with_money_as_text_and_moments_as_whole_numbers() -> None:
    told = json.loads(json.dumps(to_dict(agreed_row([*bought(), *stopped()]))))
    assert (told["symbol"], told["state"], told["cap"]) == ("ABCUSDT", "CLOSED", "2")
    assert told["scheduled_ns"] == OPEN
    assert told["slippage_cap"] == "-0.175"
    assert told["slippage_first_trade"] is None
    assert told["fees"] == {}
    assert told["preflights"] == [{"at_ns": OPEN - MINUTE, "stage": "T-60s", "passed": True, "reasons": []}]
    assert told["entries"][0]["client_id"] == B1
    assert {f"slippage_{name}" for name in AGAINST} <= told.keys()
    assert not [name for name, value in told.items() if isinstance(value, float)]
