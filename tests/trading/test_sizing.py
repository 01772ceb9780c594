"""Sizing: by budget, by the loss at the stop, by the odds of past results; never above what is allowed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config import LimitSettings, SizingSettings
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.errors import DomainError
from mexclab.runtime.clock import ManualClock
from mexclab.trading.engine import Rules
from mexclab.trading.sizing import (
    Odds,
    Purse,
    beta_below,
    loss_at_stop,
    lower_rate,
    odds_of,
    size,
    sized,
)
from tests.trading.conftest import START, build
from tests.trading.risk_scene import NOW, funded, plan

BUDGET, RISK, KELLY = (SizingSettings(method=name) for name in ("budget", "risk", "kelly"))  # type: ignore[arg-type]
LIMITS = LimitSettings()
RICH = Purse(Decimal(1000))
MONEY = st.decimals(Decimal("0.01"), Decimal(10_000), places=2)


def stopping_at(loss: str) -> ExitPlan:
    return ExitPlan(LADDERS["balanced"], Decimal(loss), HOUR)


def test_by_budget_the_plan_stays_as_it_is_whatever_the_limits_say() -> None:
    wanted = plan(budget_quote=Decimal(5000))
    made = sized(wanted, BUDGET, LIMITS, Purse(None))
    assert made == replace(wanted, sizing="budget: 5000 USDT as it stands")


def test_by_risk_the_fall_to_the_stop_costs_what_was_said() -> None:
    fee = Decimal("0.001")
    made = size(plan(exit=stopping_at("0.25")), RISK, LIMITS, Purse(None, taker_fee=fee))
    bought, sold = made.budget * (1 + fee), made.budget * Decimal("0.75") * (1 - fee)
    assert bought - sold == pytest.approx(Decimal("7.5"), abs=Decimal("1e-6"))
    assert made.why == "risk: 7.5 USDT at the stop, where 25.18% is lost, fees included"


def test_a_size_is_cut_to_the_budget_and_to_the_limits_and_says_to_which() -> None:
    near = plan(exit=stopping_at("0.02"), budget_quote=Decimal(45))
    assert size(near, RISK, LIMITS, RICH).budget == 45
    assert "cut to the plan's budget" in size(near, RISK, LIMITS, RICH).why
    small = LimitSettings(per_order_quote=Decimal(20))
    assert size(near, RISK, small, RICH).budget == 20
    assert "cut to limits.per_order_quote" in size(near, RISK, small, RICH).why


def test_few_results_or_an_unknown_equity_size_by_risk_and_say_so() -> None:
    few = Purse(Decimal(1000), Odds(19, 19, Decimal(1), None, Decimal("0.8")))
    by_risk = size(plan(), RISK, LIMITS, RICH)
    made = size(plan(), KELLY, LIMITS, few)
    assert made.budget == by_risk.budget
    assert made.why == f"{by_risk.why}; kelly has to wait: 19 closed snipes of the 20 that odds take"
    unknown = size(plan(), KELLY, LIMITS, replace(few, odds=replace(few.odds, results=20), equity=None))
    assert unknown.budget == by_risk.budget
    assert "the equity is not known" in unknown.why


GOOD = Odds(100, 60, Decimal("0.2"), Decimal("0.1"), Decimal("0.5"))


def test_by_kelly_a_quarter_of_the_stake_that_the_odds_give_is_taken_up_to_the_cap() -> None:
    # 0.5 / 0.1 - 0.5 / 0.2 = 2.5 times the equity; a quarter of it is above the cap of 5 %
    capped = size(plan(), KELLY, LIMITS, Purse(Decimal(600), GOOD))
    assert capped.budget == Decimal(30)
    assert "5.00% of 600.00 USDT, its cap" in capped.why
    thin = replace(GOOD, win_rate=Decimal("0.34"))  # 3.4 - 3.3 = 0.1
    made = size(plan(), KELLY, LIMITS, Purse(Decimal(600), thin))
    assert made.budget == Decimal(15)
    assert "2.50% of 600.00 USDT, 25% of Kelly's" in made.why
    assert "60 of 100 closed snipes won, at least 34.0% will" in made.why


@pytest.mark.parametrize(
    "odds",
    [
        replace(GOOD, win_rate=Decimal("0.33")),
        Odds(30, 0, None, Decimal("0.1"), Decimal("0.003")),
    ],
)
def test_odds_without_an_edge_decline_the_plan(odds: Odds) -> None:
    with pytest.raises(DomainError, match="the odds give no reason to spend anything"):
        size(plan(), KELLY, LIMITS, Purse(Decimal(1000), odds))


def test_without_a_loss_so_far_the_loss_at_the_stop_is_reckoned_with() -> None:
    unbeaten = replace(GOOD, wins=100, mean_loss=None, win_rate=Decimal("0.99"))
    same = replace(unbeaten, mean_loss=loss_at_stop(plan(), Decimal(0)))
    sizes = [size(plan(), KELLY, LIMITS, Purse(Decimal(100), odds)).budget for odds in (unbeaten, same)]
    assert sizes[0] == sizes[1] > 0


@given(
    budget=MONEY,
    equity=MONEY,
    stop=st.decimals(Decimal("0.01"), Decimal("0.99"), places=2),
    rate=st.decimals(0, 1, places=3),
    method=st.sampled_from([RISK, KELLY]),
    results=st.integers(0, 40),
)
def test_no_size_is_above_the_budget_or_the_limits(
    budget: Decimal, equity: Decimal, stop: Decimal, rate: Decimal, method: SizingSettings, results: int
) -> None:
    wanted = plan(budget_quote=budget, exit=stopping_at(str(stop)))
    purse = Purse(equity, replace(GOOD, results=results, win_rate=rate), Decimal("0.001"))
    try:
        made = size(wanted, method, LIMITS, purse)
    except DomainError:
        assert method is KELLY
        return
    assert 0 <= made.budget <= min(budget, LIMITS.per_order_quote, LIMITS.per_symbol_quote)
    if method is KELLY and results >= method.kelly_results:
        assert made.budget <= method.kelly_cap * equity + Decimal("1e-8")


# -- odds ----------------------------------------------------------------------------------------


def closed(desk: Desk, number: int, spent: str, got: str | None) -> None:
    """A snipe that bought for ``spent``, sold for ``got`` and is closed; None: it bought nothing."""
    symbol, name = Symbol(f"C{number}"), f"c-{number}"
    desk.fold(e.SnipePlanned(NOW, plan(name, symbol)))
    for to in (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING):
        desk.fold(e.SnipeMoved(NOW, name, to))
    if got is None:
        desk.fold(e.SnipeMoved(NOW, name, SnipeState.MISSED))
        return
    for side, leg, price in ((Side.BUY, "b", spent), (Side.SELL, "x", got)):
        order = Order(f"{name}-{leg}-1", symbol, side, OrderType.LIMIT, Decimal(1), Decimal(price), name, leg)
        desk.fold(e.OrderDecided(NOW, order))
        desk.fold(e.OrderSent(NOW, order.client_id))
        trade = f"{name}{leg}"
        fill = Fill(trade, order.client_id, symbol, side, Decimal(price), Decimal(1), Decimal(0), "USDT", NOW)
        desk.fold(e.OrderFilled(NOW, fill))
    for to in (SnipeState.ENTERED, SnipeState.CLOSED):
        desk.fold(e.SnipeMoved(NOW, name, to))


def test_odds_are_what_closed_snipes_earned_on_what_they_spent() -> None:
    desk = funded()
    for number, (spent, got) in enumerate(
        [("10", "12"), ("20", "18"), ("40", "50"), ("50", "50"), ("10", None)]
    ):
        closed(desk, number, spent, got)
    odds = odds_of(desk)
    assert (odds.results, odds.wins) == (4, 2)
    assert odds.mean_win == Decimal("0.225")
    assert odds.mean_loss == Decimal("0.05")  # breaking even is no win
    assert float(odds.win_rate) == pytest.approx(lower_rate(2, 4), abs=1e-6)


def test_nothing_closed_is_no_odds() -> None:
    odds = odds_of(Desk())
    assert (odds.results, odds.mean_win, odds.mean_loss) == (0, None, None)


def naive_beta_below(x: float, a: int, b: int, steps: int = 20_000) -> float:
    """The share of the density's area below x, by the trapezoid rule."""
    grid = [step / steps for step in range(steps + 1)]
    density = [each ** (a - 1) * (1 - each) ** (b - 1) for each in grid]
    areas = [(left + right) / 2 for left, right in pairwise(density)]
    return sum(areas[: round(x * steps)]) / sum(areas)


@pytest.mark.parametrize("x", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 2), (1, 9), (12, 30)])
def test_the_beta_distribution_equals_its_integral(x: float, a: int, b: int) -> None:
    assert beta_below(x, a, b) == pytest.approx(naive_beta_below(x, a, b), abs=2e-5)


@given(results=st.integers(0, 500), share=st.floats(0, 1))
def test_the_lower_rate_is_below_the_seen_one_and_as_doubtful_as_it_says(results: int, share: float) -> None:
    wins = round(results * share)
    rate = lower_rate(wins, results)
    assert beta_below(rate, wins + 1, results - wins + 1) == pytest.approx(0.1, abs=1e-5)
    if wins and results >= 10:
        assert rate < wins / results + 0.1
    assert lower_rate(wins + 1, results + 1) > rate - 1e-9


def test_more_results_at_the_same_rate_leave_less_doubt() -> None:
    rates = [lower_rate(6 * many, 10 * many) for many in (1, 2, 5, 50)]
    assert rates == sorted(rates)
    assert 0.55 < rates[-1] < 0.6


# -- the engine ----------------------------------------------------------------------------------


async def planned(tmp_path: Path, sizing: SizingSettings) -> list[Plan]:
    """What a desk on the paper venue plans in ten hours of listings that nobody arms."""
    rules = Rules(limits=LimitSettings(), sizing=sizing)
    station = build(ManualClock(START), 7, rules, tmp_path / sizing.method)
    await station.start()
    await station.run(START + 10 * HOUR)
    plans = [snipe.plan for snipe in station.engine.desk.snipes.values()]
    station.close()
    return plans


async def test_the_engine_plans_with_the_size_that_its_rules_give(tmp_path: Path) -> None:
    plain = await planned(tmp_path, BUDGET)
    assert plain
    assert {(each.budget_quote, each.sizing) for each in plain} == {(50, "budget: 50 USDT as it stands")}
    lean = await planned(tmp_path, SizingSettings(method="risk", risk_quote=Decimal(3)))
    assert [each.symbol for each in lean] == [each.symbol for each in plain]
    for each in lean:
        lost = each.budget_quote * loss_at_stop(each, Decimal("0.0005"))
        assert lost == pytest.approx(Decimal(3), abs=Decimal("1e-6"))
        assert each.sizing.startswith("risk: 3 USDT at the stop")
