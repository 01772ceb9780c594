"""The post-mortem of a snipe: phases to the nanosecond, money to the last digit, whatever came in between."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.post_mortem import AGAINST, PostMortemRow, post_mortem, post_mortems, to_dict
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Preflight, SnipeState
from mexclab.errors import DomainError
from tests.naive.post_mortem_naive import money_of
from tests.recorded_day import OPEN_NS as DAY_OPEN_NS
from tests.recorded_day import REFUSED, WON, recorded_day

OPEN = 20_600 * 24 * HOUR
ABC = Symbol("ABC")
ID = "ABC-1"
B1, B2, B3 = f"{ID}-b-1", f"{ID}-b-2", f"{ID}-b-3"
S = SnipeState


def plan(snipe_id: str = ID, open_ns: int = OPEN, symbol: Symbol = ABC) -> Plan:
    ladder = ExitPlan(LADDERS["balanced"], Decimal("0.10"), 1800 * SECOND)
    return Plan(snipe_id, snipe_id, symbol, Decimal(100), Decimal("2"), open_ns, open_ns + MINUTE, ladder)


def planned() -> list[e.Event]:
    signal = Signal(ID, ABC, "calendar_lead", OPEN - 5 * HOUR, OPEN, Decimal("0.9"), {})
    return [
        e.ListingSeen(OPEN - 6 * HOUR, ABC, "c1", OPEN, "calendar"),
        e.SignalRaised(OPEN - 5 * HOUR, signal),
        e.SnipePlanned(OPEN - 4 * HOUR, plan()),
    ]


def armed(open_ns: int = OPEN, by: str = "anna") -> list[e.Event]:
    at = open_ns - MINUTE
    return [
        e.PreflightDone(at, ID, Preflight(at, "T-60s", True)),
        e.SnipeMoved(at, ID, S.PREFLIGHT),
        e.SnipeMoved(at + SECOND, ID, S.ARMED, by=by),
    ]


def decided(client_id: str, size: str = "50", price: str = "2", at_ns: int = OPEN - SECOND) -> e.OrderDecided:
    leg = client_id.rsplit("-", 2)[1]
    side, kind = (Side.BUY, OrderType.IMMEDIATE_OR_CANCEL) if leg == "b" else (Side.SELL, OrderType.LIMIT)
    amounts = (Decimal(size), Decimal(price))
    order = Order(client_id, ABC, side, kind, *amounts, snipe_id=e.snipe_of(client_id), leg=leg)
    return e.OrderDecided(at_ns, replace(order, decided_ns=at_ns))


def loaded(client_id: str, leaves_ns: int = OPEN) -> list[e.Event]:
    load_ns = leaves_ns - SECOND
    firing = [e.SnipeMoved(load_ns, ID, S.FIRING)] if client_id.endswith("-1") else []
    return [*firing, decided(client_id, at_ns=load_ns), e.OrderSent(load_ns, client_id, leaves_ns)]


def fired(client_id: str, leaves_ns: int = OPEN) -> e.Fired:
    return e.Fired(leaves_ns + 90_000, ID, client_id, leaves_ns, 70_000)


def fill(
    client_id: str, trade: str, size: str, price: str, at_ns: int, fee: tuple[str, str] = ("0", "USDT")
) -> e.OrderFilled:
    side = Side.BUY if "-b-" in client_id else Side.SELL
    made = Fill(trade, client_id, ABC, side, Decimal(price), Decimal(size), Decimal(fee[0]), fee[1], at_ns)
    return e.OrderFilled(at_ns + MILLISECOND, made)  # told a little after it happened


def bought(at_ns: int = OPEN + 30 * MILLISECOND) -> list[e.Event]:
    """50 wanted at 2 or better; 20 bought at 1.50 and 20 at 1.80: 1.65 on average."""
    return [
        *planned(), *armed(), *loaded(B1), fired(B1),
        e.OrderAccepted(at_ns, B1, "v1"),
        fill(B1, "1", "20", "1.50", at_ns),
        fill(B1, "2", "20", "1.80", at_ns + MILLISECOND),
        e.OrderCanceled(at_ns + 2 * MILLISECOND, B1, "the rest", Decimal(40)),
        e.SnipeMoved(at_ns + 2 * MILLISECOND, ID, S.ENTERED, why="bought"),
    ]  # fmt: skip


def stopped(size: str = "40", price: str = "1.40", at_ns: int = OPEN + 10 * SECOND) -> list[e.Event]:
    x1 = f"{ID}-x-1"
    return [
        e.ExitDecided(at_ns, ID, "stop", "the bid fell"),
        decided(x1, size, "1.30", at_ns),
        e.OrderSent(at_ns, x1),
        e.OrderAccepted(at_ns + MILLISECOND, x1, "v9"),
        fill(x1, "9", size, price, at_ns + 2 * MILLISECOND),
        e.SnipeMoved(at_ns + 5 * MILLISECOND, ID, S.CLOSED, "stop", "everything is sold"),
    ]


def of(events: Iterable[e.Event]) -> PostMortemRow:
    """The row of the one snipe; the ledger is one that the desk accepts, and the two agree."""
    history = list(events)
    row, desk = post_mortem(ID, history), Desk.of(history)
    snipe = desk.snipes[ID]
    assert (row.state, row.reason, row.why) == (snipe.state, snipe.reason, snipe.why)
    assert (row.profit, row.average_entry) == (desk.profit(ID), desk.entry_price(ID))
    assert (row.attempts, row.held) == (snipe.attempts_made, desk.held(ABC))
    assert row.open_ns == snipe.plan.not_before_ns
    return row


# -- phases ------------------------------------------------------------------------------------------


def test_every_phase_of_a_timed_shot_is_told_in_nanoseconds() -> None:
    timed = e.ShotTimed(OPEN + 110_000, B1, OPEN, OPEN + 60_000, OPEN + 110_000, OPEN + 25 * MILLISECOND, 2)
    events = bought()
    row = of([*events[:9], timed, *events[9:], *stopped()])
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
    row = of(bought())
    assert (row.released_ns, row.written_ns, row.write_delay_ns) == (OPEN + 90_000, None, None)
    assert row.answer_ns == 30 * MILLISECOND - 90_000
    assert row.transmissions == 1


def test_fills_are_placed_by_the_venues_time_not_by_when_we_heard() -> None:
    events = bought()
    events[10], events[11] = events[11], events[10]
    row = of(events)
    assert row.first_fill_ns == OPEN + 30 * MILLISECOND
    assert row.first_fill == Decimal("1.50")


def test_a_snipe_that_never_fired_has_no_times_of_a_shot() -> None:
    row = of([*planned(), e.SnipeMoved(OPEN, ID, S.MISSED, "late", "nothing watched it")])
    assert [row.loaded_ns, row.scheduled_ns, row.acked_ns, row.first_fill_ns] == [None] * 4
    assert (row.attempts, row.transmissions, row.profit, row.holding_ns) == (0, 0, 0, None)
    assert (row.closed_ns, row.reason) == (OPEN, "late")


def test_a_disarmed_snipe_was_armed_by_nobody() -> None:
    taken_back = e.SnipeMoved(OPEN - SECOND, ID, S.PREFLIGHT, "disarmed", "disarmed", "anna")
    row = of([*planned(), *armed(), taken_back])
    assert (row.armed_ns, row.armed_by) == (None, "")


# -- openings that move ------------------------------------------------------------------------------


def test_a_shot_that_was_postponed_while_loaded_is_not_the_one_that_is_told_of() -> None:
    later = OPEN + HOUR
    row = of([
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
    row = of([
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
    row = of([*planned(), *armed(), *moved])
    assert (row.armed_by, row.armed_ns, row.preflights, row.closed_ns) == ("", None, (), None)


def test_a_listing_that_comes_anew_as_another_coin_was_first_seen_then() -> None:
    old = e.ListingSeen(OPEN - 900 * HOUR, ABC, "c0", OPEN - 800 * HOUR, "calendar")
    again = e.ListingSeen(OPEN - 5 * HOUR, ABC, "c1", OPEN, "symbols")
    signal = planned()
    assert of([old, *signal[:1], again, *signal[1:]]).first_seen_ns == OPEN - 6 * HOUR


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
    row = of(events)
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
    assert of([*planned(), e.VerdictGiven(at, ID, B1, breaches)]).refusals == ("budget", "clock")
    assert of([*planned(), *failed]).refusals == ("not_api_tradable",)


# -- prices ------------------------------------------------------------------------------------------


def test_slippage_is_against_cap_first_trade_and_mid_and_below_zero_is_better() -> None:
    book = e.FirstBookSeen(OPEN + 1, ID, ABC, Decimal("1.4"), Decimal("1.6"))
    trade = e.FirstTradeSeen(OPEN + 2, ID, ABC, Decimal("1.6"), Decimal(7))
    row = of([*bought(), book, trade])
    assert (row.first_bid, row.first_ask, row.first_mid) == (Decimal("1.4"), Decimal("1.6"), Decimal("1.5"))
    assert row.average_entry == Decimal("1.65")
    assert row.slippage("cap") == Decimal("-0.175")
    assert row.slippage("first_trade") == Decimal("0.03125")
    assert row.slippage("first_mid") == Decimal("0.1")
    assert row.slippage("first_fill") == Decimal("0.1")


def test_the_first_book_and_the_first_trade_stay_the_first() -> None:
    books = [e.FirstBookSeen(OPEN + n, ID, ABC, Decimal(n), Decimal(n)) for n in (1, 2)]
    trades = [e.FirstTradeSeen(OPEN + n, ID, ABC, Decimal(n), Decimal(1)) for n in (1, 2)]
    row = of([*bought(), *books, *trades])
    assert (row.first_mid, row.first_trade) == (1, 1)


def test_a_ledger_from_before_first_trades_knows_none() -> None:
    row = of(bought())
    assert (row.first_trade, row.slippage("first_trade"), row.slippage("first_mid")) == (None, None, None)


def test_slippage_against_a_price_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(DomainError, match="first_trade"):
        of(bought()).slippage("moon")


def test_exit_slippage_is_against_the_stop_that_was_hit() -> None:
    row = of([*bought(), *stopped(price="1.40")])
    assert row.exit_reference == Decimal("1.65") * Decimal("0.90")
    assert row.exit_slippage == 1 - Decimal("1.40") / Decimal("1.485")
    assert (row.exit_why, row.exit_words) == ("stop", "the bid fell")


def test_exit_slippage_of_a_raised_stop_counts_only_what_the_stop_sold() -> None:
    rung = [decided(f"{ID}-t1-1", "10", "1.80", OPEN + SECOND), e.OrderSent(OPEN + SECOND, f"{ID}-t1-1")]
    sold = fill(f"{ID}-t1-1", "5", "10", "1.80", OPEN + 2 * SECOND)
    raised = e.StopRaised(OPEN + 3 * SECOND, ID, Decimal("1.70"), Decimal("1.90"), "trailing")
    row = of([*bought(), *rung, sold, raised, *stopped("30", "1.7017")])
    assert (row.stop_price, row.peak_price) == (Decimal("1.70"), Decimal("1.90"))
    assert (row.exit_reference, row.exit_slippage) == (Decimal("1.70"), Decimal("-0.001"))


def test_the_ladder_is_measured_against_its_own_rungs_and_a_clock_against_nothing() -> None:
    rung = [decided(f"{ID}-t1-1", "40", "2", OPEN + SECOND), e.OrderSent(OPEN + SECOND, f"{ID}-t1-1")]
    sold = fill(f"{ID}-t1-1", "5", "40", "2.02", OPEN + 2 * SECOND)
    closed = e.SnipeMoved(OPEN + 3 * SECOND, ID, S.CLOSED, "ladder", "everything is sold")
    ladder = of([*bought(), *rung, sold, closed])
    assert (ladder.exit_why, ladder.exit_reference) == ("ladder", 2)
    assert ladder.exit_slippage == Decimal("-0.01")
    timed_out = [e.ExitDecided(OPEN + SECOND, ID, "time", "held for long"), *stopped()[1:]]
    clock = of([*bought(), *timed_out])
    assert (clock.exit_why, clock.exit_reference, clock.exit_slippage) == ("time", None, None)


def test_another_exit_plan_lets_go_of_the_raised_stop() -> None:
    raised = e.StopRaised(OPEN + SECOND, ID, Decimal("1.70"), Decimal("1.90"), "trailing")
    exit_plan = ExitPlan(LADDERS["balanced"], Decimal("0.2"), HOUR)
    row = of([*bought(), raised, e.ExitReplaced(OPEN + 2 * SECOND, ID, exit_plan, "anna", "wider")])
    assert (row.stop_price, row.peak_price) == (Decimal("1.320"), None)


# -- money -------------------------------------------------------------------------------------------


def test_a_partial_entry_costs_what_it_bought() -> None:
    row = of([*bought(), *stopped()])
    assert (row.spent, row.received, row.average_exit) == (Decimal(66), Decimal(56), Decimal("1.40"))
    assert (row.profit, row.held) == (Decimal(-10), 0)
    assert row.profit_fraction == Decimal(-10) / Decimal(66)


def test_fees_are_kept_by_asset_and_one_in_a_third_asset_has_no_price() -> None:
    events = [*planned(), *armed(), *loaded(B1), fired(B1), e.OrderAccepted(OPEN + 1, B1, "v1")]
    events += [
        fill(B1, "1", "20", "2", OPEN, ("0.02", "USDT")),
        fill(B1, "2", "10", "2", OPEN, ("0.1", "ABC")),
    ]
    row = of([*events, fill(B1, "3", "20", "1", OPEN, ("0.004", "MX"))])
    assert row.fees == (("ABC", Decimal("0.1")), ("MX", Decimal("0.004")), ("USDT", Decimal("0.02")))
    assert row.fees_quote == Decimal("0.22")
    assert row.held == Decimal("49.9")
    assert row.profit == Decimal("-80.02")  # the fee in base is in what can be sold, not in the cash


def test_a_late_fill_revives_a_snipe_and_its_money_counts() -> None:
    missed = [
        *planned(), *armed(), *loaded(B1), fired(B1),
        e.OrderCanceled(OPEN + 20 * MILLISECOND, B1, "nothing traded", Decimal(0)),
        e.SnipeMoved(OPEN + 21 * MILLISECOND, ID, S.MISSED, "no_fill", "1 attempts bought nothing"),
    ]  # fmt: skip
    assert of(missed).closed_ns == OPEN + 21 * MILLISECOND
    revived = [
        *missed, fill(B1, "1", "40", "1.5", OPEN + 5 * MILLISECOND),
        e.SnipeMoved(OPEN + SECOND, ID, S.ENTERED, "late_fill", "bought after all"),
    ]  # fmt: skip
    row = of(revived)
    assert (row.state, row.closed_ns, row.holding_ns) == (S.ENTERED, None, None)
    assert (row.first_fill_ns, row.spent, row.held) == (OPEN + 5 * MILLISECOND, 60, 40)
    again = of([*revived, *stopped()])
    assert (again.state, again.profit) == (S.CLOSED, -4)
    assert again.closed_ns == OPEN + 10 * SECOND + 5 * MILLISECOND


def test_a_trade_that_is_told_twice_counts_once() -> None:
    events = bought()
    assert post_mortem(ID, [*events, events[10]]) == post_mortem(ID, events)


_FILL = st.tuples(
    st.sampled_from([B1, B2, f"{ID}-t1-1", f"{ID}-x-1"]),
    st.integers(1, 12),
    st.decimals("0.0001", "9", places=4),
    st.decimals("0.01", "5", places=2),
    st.tuples(st.decimals("0", "0.3", places=3), st.sampled_from(["USDT", "ABC", "MX"])),
)


@given(st.lists(_FILL, max_size=24))
def test_the_money_is_that_of_the_raw_fills(
    drawn: Sequence[tuple[str, int, Decimal, Decimal, tuple[Decimal, str]]],
) -> None:
    orders = [decided(client_id, "900", "5") for client_id in (B1, B2, f"{ID}-t1-1", f"{ID}-x-1")]
    fills = [
        fill(client_id, f"{client_id}{trade}", str(size), str(price), OPEN + trade, (str(fee), asset))
        for client_id, trade, price, size, (fee, asset) in drawn
    ]
    row = post_mortem(ID, [*planned(), *orders, *fills])
    naive = money_of([event.fill for event in fills])
    assert {name: getattr(row, name) for name in naive} == naive


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
    assert post_mortem(ID, alone) == replace(of([*bought(), *stopped()]), first_seen_ns=None)


def test_orders_that_no_plan_stands_behind_are_passed_over() -> None:
    stray = [decided("other-b-1"), fill("other-b-1", "77", "1", "1", OPEN)]
    assert post_mortems([*bought(), *stray]) == post_mortems(bought())


def test_a_snipe_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DomainError, match="nobody"):
        post_mortem("nobody", bought())


def test_a_row_becomes_json_with_money_as_text_and_moments_as_whole_numbers() -> None:
    told = json.loads(json.dumps(to_dict(of([*bought(), *stopped()]))))
    assert (told["symbol"], told["state"], told["cap"]) == ("ABCUSDT", "CLOSED", "2")
    assert told["scheduled_ns"] == OPEN
    assert told["slippage_cap"] == "-0.175"
    assert told["slippage_first_trade"] is None
    assert told["fees"] == {}
    assert told["preflights"] == [{"at_ns": OPEN - MINUTE, "stage": "T-60s", "passed": True, "reasons": []}]
    assert told["entries"][0]["client_id"] == B1
    assert {f"slippage_{name}" for name in AGAINST} <= told.keys()
    assert not [name for name, value in told.items() if isinstance(value, float)]
