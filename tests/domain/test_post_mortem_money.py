"""The prices and the money of a post-mortem, to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, SECOND
from mexclab.domain.post_mortem import post_mortem
from mexclab.domain.snipe import LADDERS, ExitPlan
from mexclab.errors import DomainError
from tests.domain.snipe_history import (
    ABC,
    B1,
    B2,
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
from tests.naive.post_mortem_naive import money_of

# -- prices ------------------------------------------------------------------------------------------


def test_slippage_is_against_cap_first_trade_and_mid_and_below_zero_is_better() -> None:
    book = e.FirstBookSeen(OPEN + 1, ID, ABC, Decimal("1.4"), Decimal("1.6"))
    trade = e.FirstTradeSeen(OPEN + 2, ID, ABC, Decimal("1.6"), Decimal(7))
    row = agreed_row([*bought(), book, trade])
    assert (row.first_bid, row.first_ask, row.first_mid) == (Decimal("1.4"), Decimal("1.6"), Decimal("1.5"))
    assert row.average_entry == Decimal("1.65")
    assert row.slippage("cap") == Decimal("-0.175")
    assert row.slippage("first_trade") == Decimal("0.03125")
    assert row.slippage("first_mid") == Decimal("0.1")
    assert row.slippage("first_fill") == Decimal("0.1")


def test_the_first_book_and_the_first_trade_stay_the_first() -> None:
    books = [e.FirstBookSeen(OPEN + n, ID, ABC, Decimal(n), Decimal(n)) for n in (1, 2)]
    trades = [e.FirstTradeSeen(OPEN + n, ID, ABC, Decimal(n), Decimal(1)) for n in (1, 2)]
    row = agreed_row([*bought(), *books, *trades])
    assert (row.first_mid, row.first_trade) == (1, 1)


def test_a_ledger_from_before_first_trades_knows_none() -> None:
    row = agreed_row(bought())
    assert (row.first_trade, row.slippage("first_trade"), row.slippage("first_mid")) == (None, None, None)


def test_slippage_against_a_price_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(DomainError, match="first_trade"):
        agreed_row(bought()).slippage("moon")


def test_exit_slippage_is_against_the_stop_that_was_hit() -> None:
    row = agreed_row([*bought(), *stopped(price="1.40")])
    assert row.exit_reference == Decimal("1.65") * Decimal("0.90")
    assert row.exit_slippage == 1 - Decimal("1.40") / Decimal("1.485")
    assert (row.exit_why, row.exit_words) == ("stop", "the bid fell")


def test_exit_slippage_of_a_raised_stop_counts_only_what_the_stop_sold() -> None:
    rung = [decided(f"{ID}-t1-1", "10", "1.80", OPEN + SECOND), e.OrderSent(OPEN + SECOND, f"{ID}-t1-1")]
    sold = fill(f"{ID}-t1-1", "5", "10", "1.80", OPEN + 2 * SECOND)
    raised = e.StopRaised(OPEN + 3 * SECOND, ID, Decimal("1.70"), Decimal("1.90"), "trailing")
    row = agreed_row([*bought(), *rung, sold, raised, *stopped("30", "1.7017")])
    assert (row.stop_price, row.peak_price) == (Decimal("1.70"), Decimal("1.90"))
    assert (row.exit_reference, row.exit_slippage) == (Decimal("1.70"), Decimal("-0.001"))


def test_the_ladder_is_measured_against_its_own_rungs_and_a_clock_against_nothing() -> None:
    rung = [decided(f"{ID}-t1-1", "40", "2", OPEN + SECOND), e.OrderSent(OPEN + SECOND, f"{ID}-t1-1")]
    sold = fill(f"{ID}-t1-1", "5", "40", "2.02", OPEN + 2 * SECOND)
    closed = e.SnipeMoved(OPEN + 3 * SECOND, ID, S.CLOSED, "ladder", "everything is sold")
    ladder = agreed_row([*bought(), *rung, sold, closed])
    assert (ladder.exit_why, ladder.exit_reference) == ("ladder", 2)
    assert ladder.exit_slippage == Decimal("-0.01")
    timed_out = [e.ExitDecided(OPEN + SECOND, ID, "time", "held for long"), *stopped()[1:]]
    clock = agreed_row([*bought(), *timed_out])
    assert (clock.exit_why, clock.exit_reference, clock.exit_slippage) == ("time", None, None)


def test_another_exit_plan_lets_go_of_the_raised_stop() -> None:
    raised = e.StopRaised(OPEN + SECOND, ID, Decimal("1.70"), Decimal("1.90"), "trailing")
    exit_plan = ExitPlan(LADDERS["balanced"], Decimal("0.2"), HOUR)
    row = agreed_row([*bought(), raised, e.ExitReplaced(OPEN + 2 * SECOND, ID, exit_plan, "anna", "wider")])
    assert (row.stop_price, row.peak_price) == (Decimal("1.320"), None)


# -- money -------------------------------------------------------------------------------------------


def test_a_partial_entry_costs_what_it_bought() -> None:
    row = agreed_row([*bought(), *stopped()])
    assert (row.spent, row.received, row.average_exit) == (Decimal(66), Decimal(56), Decimal("1.40"))
    assert (row.profit, row.held) == (Decimal(-10), 0)
    assert row.profit_fraction == Decimal(-10) / Decimal(66)


def test_fees_are_kept_by_asset_and_one_in_a_third_asset_has_no_price() -> None:
    events = [*planned(), *armed(), *loaded(B1), fired(B1), e.OrderAccepted(OPEN + 1, B1, "v1")]
    events += [
        fill(B1, "1", "20", "2", OPEN, ("0.02", "USDT")),
        fill(B1, "2", "10", "2", OPEN, ("0.1", "ABC")),
    ]
    row = agreed_row([*events, fill(B1, "3", "20", "1", OPEN, ("0.004", "MX"))])
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
    assert agreed_row(missed).closed_ns == OPEN + 21 * MILLISECOND
    revived = [
        *missed, fill(B1, "1", "40", "1.5", OPEN + 5 * MILLISECOND),
        e.SnipeMoved(OPEN + SECOND, ID, S.ENTERED, "late_fill", "bought after all"),
    ]  # fmt: skip
    row = agreed_row(revived)
    assert (row.state, row.closed_ns, row.holding_ns) == (S.ENTERED, None, None)
    assert (row.first_fill_ns, row.spent, row.held) == (OPEN + 5 * MILLISECOND, 60, 40)
    again = agreed_row([*revived, *stopped()])
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
