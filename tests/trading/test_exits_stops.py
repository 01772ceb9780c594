"""Stops that only rise: trailing, break-even, and the bound of what a crash can cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market
from mexclab.domain.order import Fill
from mexclab.trading.exits import Leave, Raise, exit_steps, stop_price
from mexclab.trading.stops import break_even_price, raise_step, raised_stop
from tests.trading.test_exits import ABC, MARKET, NOW, book, held, snipe

ENTRY = Decimal("0.05")
TRAIL = Decimal("0.05")


def told(desk: Desk, bid: str) -> list[Raise | Leave]:
    """What one price leads to, written down as the engine does."""
    steps = exit_steps(snipe(desk), desk, MARKET, book(bid), NOW)
    found = [step for step in steps if isinstance(step, Raise | Leave)]
    for step in found:
        if isinstance(step, Raise):
            desk.fold(e.StopRaised(NOW, "s-1", step.stop_price, step.peak, step.why))
    return found


def test_a_trailing_stop_follows_the_highest_bid_and_stays_when_the_bid_falls() -> None:
    desk = held(trailing=TRAIL)
    assert stop_price(snipe(desk), ENTRY) == Decimal("0.045")
    (first,) = told(desk, "0.05")
    assert (first.stop_price, first.peak) == (Decimal("0.0475"), Decimal("0.05"))
    assert told(desk, "0.048") == []
    (second,) = told(desk, "0.06")
    assert (second.stop_price, second.peak) == (Decimal("0.057"), Decimal("0.06"))
    assert told(desk, "0.0571") == []
    assert stop_price(snipe(desk), ENTRY) == Decimal("0.057")
    (leave,) = told(desk, "0.057")
    assert leave == Leave("stop", "the bid 0.057 is at or below the raised stop 0.0570")


def test_a_rise_that_is_not_worth_a_step_is_not_written() -> None:
    desk = held(trailing=TRAIL)
    told(desk, "0.06")
    assert raise_step(Decimal("0.057"), MARKET) == Decimal("0.000114")
    assert told(desk, "0.0601") == []
    (rise,) = told(desk, "0.0603")
    assert rise.stop_price == Decimal("0.0572")


def test_break_even_pays_for_both_fees_and_is_reached_only_once_the_bid_is_above_it() -> None:
    desk = held(break_even_after=Decimal("0.1"))
    assert told(desk, "0.0549") == []
    (rise,) = told(desk, "0.0550")
    assert rise.stop_price == Decimal("0.0501")
    assert rise.stop_price * (1 - MARKET.taker_fee) >= ENTRY * (1 + MARKET.taker_fee)
    assert told(desk, "0.08") == []
    assert told(desk, "0.0502") == []
    assert isinstance(told(desk, "0.0501")[0], Leave)


def test_break_even_waits_while_the_fees_are_more_than_the_gain() -> None:
    dear = replace(MARKET, taker_fee=Decimal("0.05"))
    desk = held(break_even_after=Decimal("0.01"))
    assert raised_stop(snipe(desk), desk, dear, Decimal("0.055")) is None
    rise = raised_stop(snipe(desk), desk, dear, Decimal("0.06"))
    assert rise is not None
    assert rise.stop_price == Decimal("0.0553")


@pytest.mark.parametrize(
    ("fee", "asset", "price"),
    [
        ("0.5", "USDT", "0.050525"),  # 1 % of 50 USDT was paid, which is more than the taker's fee
        ("10", "ABC", "0.050525"),  # the same in the base asset
        ("7", "MX", "0.050050"),  # in a third asset: the taker's fee is assumed
    ],
)
def test_break_even_counts_the_fee_that_was_paid(fee: str, asset: str, price: str) -> None:
    desk = Desk()
    source = held()
    order = replace(source.orders["s-1-b-1"], fills=(), state=type(source.orders["s-1-b-1"].state).DECIDED)
    desk.fold(e.SnipePlanned(NOW, snipe(source).plan))
    desk.fold(e.OrderDecided(NOW, order))
    desk.fold(e.OrderSent(NOW, order.client_id))
    fill = replace(source.orders["s-1-b-1"].fills[0], fee=Decimal(fee), fee_asset=asset)
    desk.fold(e.OrderFilled(NOW, fill))
    assert isinstance(fill, Fill)
    assert f"{break_even_price('s-1', desk, MARKET):.6f}" == price


def test_break_even_and_trailing_together_give_the_higher_stop() -> None:
    desk = held(trailing=Decimal("0.3"), break_even_after=Decimal("0.1"))
    (rise,) = told(desk, "0.06")
    assert rise.why.startswith("break-even")
    (rise,) = told(desk, "0.09")
    assert (rise.stop_price, rise.why) == (Decimal("0.0630"), "30.0 % below the highest bid 0.09")


def test_another_exit_plan_sets_the_stop_anew() -> None:
    desk = held(trailing=TRAIL)
    told(desk, "0.08")
    plan = replace(snipe(desk).plan.exit, trailing=None)
    desk.fold(e.ExitReplaced(NOW, "s-1", plan, "ada", "calmer"))
    assert stop_price(snipe(desk), ENTRY) == Decimal("0.045")


@given(
    bids=st.lists(st.integers(400, 3000), min_size=1, max_size=60),
    trail=st.integers(1, 60),
    gain=st.integers(1, 80),
    tick=st.sampled_from(["0.0001", "0.001", "0.00000001"]),
)
def test_a_stop_never_falls_is_never_at_the_bid_and_lags_the_exact_one_by_less_than_a_step(
    bids: list[int], trail: int, gain: int, tick: str
) -> None:
    trailing, after = Decimal(trail) / 100, Decimal(gain) / 100
    desk = held(trailing=trailing, break_even_after=after)
    market = Market(ABC, Decimal(tick), Decimal(1))
    stop = exact = stop_price(snipe(desk), ENTRY)
    for n, cents in enumerate(bids):
        bid, now = Decimal(cents) / 10_000, NOW + n
        steps = exit_steps(snipe(desk), desk, market, book(str(bid), now), now)
        if any(isinstance(step, Leave) for step in steps):
            assert bid <= stop
            break
        exact = max(exact, bid * (1 - trailing))
        for step in steps:
            if isinstance(step, Raise):
                assert stop < step.stop_price < bid
                assert step.stop_price % market.tick == 0
                desk.fold(e.StopRaised(now, "s-1", step.stop_price, step.peak, step.why))
        stop = stop_price(snipe(desk), ENTRY)
        assert bid > stop
        # the target is rounded down by less than a tick, and not written below a step
        assert exact - stop < raise_step(stop, market) + market.tick
    assert exit_steps(snipe(desk), desk, market, book("0.01", NOW + MINUTE), NOW + MINUTE)
