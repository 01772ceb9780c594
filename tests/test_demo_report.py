"""The demo's report: a small day counted by hand, and quantiles by the nearest rank."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.demo_report import Report, report, written_up
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MICROSECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.venues.simulator.scenario import ListingScript, listing_day_script

SCRIPTS = listing_day_script(20_600, seed=7)
WON, CAPPED, LATE, UNSEEN, TOMORROW = sorted(SCRIPTS, key=lambda script: script.opens_ns)[:5]
DAY_OF_FOUR = (WON, CAPPED, LATE, UNSEEN, TOMORROW)
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.1"), 10 * MINUTE)


def name(script: ListingScript) -> str:
    return f"{script.symbol.base}-1"


def noticed(script: ListingScript, at_ns: int, sign: str = "calendar_lead") -> e.SignalRaised:
    signal = Signal(f"{name(script)}-{sign}", script.symbol, sign, at_ns, script.opens_ns, Decimal("0.9"), {})
    return e.SignalRaised(at_ns, signal)


def planned(script: ListingScript, at_ns: int) -> e.SnipePlanned:
    opens = script.opens_ns
    cap = Decimal(3)
    plan = Plan(
        name(script),
        f"{name(script)}-calendar_lead",
        script.symbol,
        Decimal(50),
        cap,
        opens,
        opens + SECOND,
        EXIT,
    )
    return e.SnipePlanned(at_ns, plan)


def moved(script: ListingScript, at_ns: int, to: SnipeState, reason: str = "") -> e.SnipeMoved:
    return e.SnipeMoved(at_ns, name(script), to, reason)


def traded(script: ListingScript, leg: str, side: Side, price: str, fee: str) -> list[e.Event]:
    """Ten units decided, sent and filled a second after the opening."""
    at_ns, client_id = script.opens_ns + SECOND, f"{name(script)}-{leg}-1"
    quantity = Decimal(10)
    order = Order(
        client_id, script.symbol, side, OrderType.LIMIT, quantity, Decimal(price), name(script), leg
    )
    fill = Fill(
        f"{client_id}x", client_id, script.symbol, side, Decimal(price), quantity, Decimal(fee), "USDT", at_ns
    )
    return [e.OrderDecided(at_ns, order), e.OrderSent(at_ns, client_id), e.OrderFilled(at_ns, fill)]


def fired(lateness_us: float, client_id: str = "ACE-1-b-1", at_ns: int = 1) -> e.Fired:
    return e.Fired(at_ns, client_id[:-4], client_id, at_ns, int(lateness_us * MICROSECOND))


def a_day() -> list[e.Event]:
    """One bought and sold, one above its cap, one noticed after it opened, one never noticed."""
    first = WON.opens_ns - 4 * HOUR
    states = SnipeState
    history: list[e.Event] = [
        noticed(WON, first),
        noticed(WON, WON.opens_ns - 5 * MINUTE, "ready_state"),
        planned(WON, first),
        *(moved(WON, WON.opens_ns, to) for to in (states.PREFLIGHT, states.ARMED, states.FIRING)),
    ]
    history += traded(WON, "b", Side.BUY, "1.0", "0.005")
    history += [
        fired(250, f"{name(WON)}-b-1", WON.opens_ns + SECOND),
        moved(WON, WON.opens_ns + SECOND, states.ENTERED),
    ]
    history += traded(WON, "s", Side.SELL, "1.2", "0.006")
    history += [
        moved(WON, WON.opens_ns + MINUTE, states.CLOSED),
        noticed(CAPPED, CAPPED.opens_ns - 90 * MINUTE),
        planned(CAPPED, CAPPED.opens_ns - HOUR),
        moved(CAPPED, CAPPED.opens_ns, states.ABORTED, "price_above_cap"),
        noticed(LATE, LATE.opens_ns + 1),
        planned(LATE, LATE.opens_ns + 1),
        moved(LATE, LATE.opens_ns + SECOND, states.MISSED, "too_late"),
        # announced today, opens after the day is over: neither a listing of the day nor detected in it
        noticed(TOMORROW, UNSEEN.opens_ns),
    ]
    return history


def test_a_day_is_counted_against_the_whole_truth_of_its_script() -> None:
    history = a_day()
    done = report(Desk.of(history), DAY_OF_FOUR, history, unreconciled=0)
    assert done.listings == 4, "what opens later is not of the day, what nobody noticed is"
    assert done.detected == 2, "to notice it after it opened is not to detect it"
    assert done.lead_hours == (4.0, 1.5), "by the first signal, in the order of the openings"
    assert done.entered == 1
    assert done.refused == {"price_above_cap": 1}
    assert done.missed == 1
    assert done.fire_error_us == {"p50": 250.0, "p99": 250.0}
    assert done.orders == 2
    assert done.pnl_quote == Decimal("1.989"), "2 earned, 0.011 of fees"


def test_a_report_is_held_against_openings_as_they_happened_and_not_as_announced() -> None:
    script = next(script for script in SCRIPTS if script.moved_to_ns is not None)
    seen = script.opens_ns - 2 * HOUR
    history = [noticed(script, seen), e.DaemonStopped(script.opens_ns, "the day is over")]
    done = report(Desk.of(history), [script], history, unreconciled=0)
    assert done.lead_hours == (2.0,)
    before = [noticed(script, seen), e.DaemonStopped(script.open_ns, "stopped before it opened")]
    assert report(Desk.of(before), [script], before, unreconciled=0).listings == 0


def test_what_does_not_agree_with_the_venue_is_passed_on() -> None:
    history = a_day()
    assert report(Desk.of(history), DAY_OF_FOUR, history, unreconciled=3).unreconciled == 3


def test_an_empty_day_has_nothing_and_no_fire_error() -> None:
    done = report(Desk(), SCRIPTS, [], unreconciled=0)
    assert done == Report(0, 0, (), 0, {}, 0, {"p50": None, "p99": None}, 0, 0, Decimal(0))
    assert "nothing was fired" in written_up(done)


def test_only_the_first_shot_of_an_entry_counts_for_the_fire_error() -> None:
    shots = [fired(100), fired(9_000, "ACE-1-b-2"), fired(9_000, "ACE-1-s-1")]
    assert report(Desk(), [], shots, 0).fire_error_us == {"p50": 100.0, "p99": 100.0}


@pytest.mark.parametrize(
    ("late_us", "p50", "p99"),
    [
        ([7], 7, 7),
        ([4, 1], 1, 4),
        ([30, 10, 20], 20, 30),
        (list(range(100, 0, -1)), 50, 99),
        (list(range(1, 102)), 51, 100),
        ([0.04], 0.0, 0.0),
        ([12.34], 12.3, 12.3),
    ],
)
def test_a_quantile_is_the_value_at_the_nearest_rank(late_us: list[float], p50: float, p99: float) -> None:
    shots = [fired(late) for late in late_us]
    assert report(Desk(), [], shots, 0).fire_error_us == {"p50": p50, "p99": p99}


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=250))
@settings(max_examples=60)
def test_at_least_that_share_of_all_shots_was_no_later_than_a_quantile(late_us: list[int]) -> None:
    found = report(Desk(), [], [fired(late) for late in late_us], 0).fire_error_us
    for percent, value in ((50, found["p50"]), (99, found["p99"])):
        assert value in late_us
        assert sum(late <= value for late in late_us) * 100 >= percent * len(late_us)
        assert sum(late < value for late in late_us) * 100 < percent * len(late_us), "and no smaller one"


def test_the_json_form_is_plain_and_keeps_money_exact() -> None:
    history = a_day()
    shown = json.loads(json.dumps(report(Desk.of(history), DAY_OF_FOUR, history, 0).to_json()))
    assert shown["pnl_quote"] == "1.989"
    assert shown["lead_hours"] == [4.0, 1.5]
    assert set(shown) == set(Report.__slots__)


def test_the_write_up_says_the_figures_and_makes_no_promise() -> None:
    history = a_day()
    text = written_up(report(Desk.of(history), DAY_OF_FOUR, history, 0))
    assert "4, 2 of them detected before they opened" in text
    assert "4.0, 1.5; 1 of 2 at least 3.5 h" in text
    assert "refused: 1 price above cap; missed: 1" in text
    assert "+1.9890 USDT after fees; on simulated prices, so no promise" in text


def test_the_days_of_these_tests_are_apart() -> None:
    """What the hand-made day rests on: its openings are in order, apart, and of one day."""
    opens = [script.opens_ns for script in DAY_OF_FOUR]
    assert all(there - here > 30 * MINUTE for here, there in pairwise(opens))
    assert opens[-1] - opens[0] < DAY
