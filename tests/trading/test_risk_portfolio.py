"""Limits on everything together, and how far each limit is used: before an entry, after it, and with none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR
from mexclab.domain.desk import Desk, Halt
from mexclab.domain.market import Symbol
from mexclab.domain.protection import Protection
from mexclab.research.tail_risk import TailOptions, tail_loss
from mexclab.trading.history import Tails, tails_of
from mexclab.trading.risk import Intent, LimitUse, review, usage, what_if
from tests.trading.risk_scene import ABC, NOW, WIDE, XYZ, broken, entry, facts, funded, holding, plan

QRS = Symbol("QRS")
OPTIONS = TailOptions(tail=0.05, horizon=60)
INTENT = Intent(entry(plan()), plan())  # 40 USDT of ABC


def limits(**changes: Decimal) -> LimitSettings:
    return LimitSettings.model_construct(**{**WIDE.model_dump(), **changes})


def returns(rows: int = 600, columns: int = 3, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.004, (rows, columns))


def tails(*symbols: Symbol, made_of: np.ndarray | None = None) -> Tails:
    return tails_of(symbols, returns(columns=len(symbols)) if made_of is None else made_of, OPTIONS, 0.8)


def found_of(uses: tuple[LimitUse, ...]) -> Mapping[str, LimitUse]:
    return {use.name: use for use in uses}


def breach(desk: Desk, bounds: LimitSettings, known: object) -> dict[str, str]:
    verdict = review(INTENT, desk, bounds, known)  # type: ignore[arg-type]
    return {each.limit: each.value for each in verdict.breaches}


def test_concentration_is_the_sum_of_squared_shares_of_equity_after_the_entry() -> None:
    desk, known = holding(XYZ, "30", "1"), facts(prices={XYZ: Decimal(2)})
    # equity 1000 + 30 on paper; 60 of XYZ and 40 of ABC
    index = (Decimal(60) ** 2 + Decimal(40) ** 2) / Decimal(1030) ** 2
    assert broken(desk, INTENT, limits(concentration=index + Decimal("0.000002")), known) == set()
    assert set(breach(desk, limits(concentration=index - Decimal("0.000002")), known)) == {"concentration"}


def test_money_in_the_same_symbol_is_one_share() -> None:
    desk, known = holding(ABC, "30", "1"), facts(prices={ABC: Decimal(1)})
    found = found_of(what_if(replace(plan(), budget_quote=Decimal(40)), desk, WIDE, known).limits)
    used, after = found["concentration"].used, found["concentration"].after
    assert used == pytest.approx(Decimal("0.0009"), abs=Decimal("0.000002"))
    assert after == pytest.approx(Decimal("0.0049"), abs=Decimal("0.000002"))


def test_without_equity_every_entry_is_too_concentrated_and_what_the_venue_holds_counts() -> None:
    assert breach(Desk(), WIDE, facts(free_quote=None))["concentration"] == "unknown"
    assert "concentration" in breach(Desk(), WIDE, facts(free_quote=Decimal(0)))
    assert breach(Desk(), WIDE, facts(free_quote=Decimal(1000))) == {}


def test_coins_of_which_too_little_is_known_are_one_cluster() -> None:
    desk, known = holding(XYZ, "120", "1"), facts(prices={XYZ: Decimal(1)})
    assert breach(desk, limits(cluster_quote=Decimal(159)), known) == {"cluster_quote": "160"}
    assert breach(desk, limits(cluster_quote=Decimal(160)), known) == {}
    young = returns(columns=2)
    young[:-30, 0] = np.nan
    known = replace(known, tails=tails(ABC, XYZ, made_of=young))
    assert set(breach(desk, limits(cluster_quote=Decimal(159)), known)) == {"cluster_quote"}


def test_coins_that_are_known_to_be_apart_are_not_one_cluster() -> None:
    desk = holding(XYZ, "120", "1")
    known = facts(prices={XYZ: Decimal(1)}, tails=tails(XYZ, ABC))
    assert breach(desk, limits(cluster_quote=Decimal(120)), known) == {}
    step = returns(columns=1)
    known = replace(known, tails=tails(XYZ, ABC, made_of=np.hstack([step, 2 * step])))
    assert breach(desk, limits(cluster_quote=Decimal(159)), known) == {"cluster_quote": "160"}


def test_money_in_a_symbol_that_the_scenarios_were_not_made_for_may_move_with_anything() -> None:
    desk = holding(XYZ, "120", "1")
    known = facts(prices={XYZ: Decimal(1)}, tails=tails(ABC, QRS))
    assert breach(desk, limits(cluster_quote=Decimal(159)), known) == {"cluster_quote": "160"}


def test_what_is_not_known_loses_the_assumed_share_in_both_measures() -> None:
    desk, known = holding(XYZ, "100", "1"), facts(prices={XYZ: Decimal(2)})
    at_risk = (Decimal(200) + 40) * Decimal("0.7")
    names = {"value_at_risk_quote", "expected_shortfall_quote"}
    assert breach(desk, limits(**dict.fromkeys(names, at_risk)), known) == {}
    found = breach(desk, limits(**{name: at_risk - Decimal("0.00001") for name in names}), known)
    assert {name: Decimal(value) for name, value in found.items()} == dict.fromkeys(names, at_risk)


@pytest.mark.parametrize("order", [(XYZ, ABC), (ABC, XYZ), (ABC, QRS, XYZ)])
def test_the_measures_are_the_worse_of_the_two_simulations_of_the_book_after_the_entry(
    order: tuple[Symbol, ...],
) -> None:
    made = returns(columns=len(order))
    money = {XYZ: 120.0, ABC: 40.0, QRS: 0.0}
    each = [
        tail_loss(made, [money[symbol] for symbol in order], OPTIONS, method)
        for method in ("historical", "filtered")
    ]  # type: ignore[misc]
    known = facts(prices={XYZ: Decimal("1.2")}, tails=tails(*order, made_of=made))
    found = found_of(
        what_if(replace(plan(), budget_quote=Decimal(40)), holding(XYZ, "100", "1"), WIDE, known).limits
    )
    at_risk, shortfall = found["value_at_risk_quote"].after, found["expected_shortfall_quote"].after
    assert at_risk is not None
    assert shortfall is not None
    assert float(at_risk) == pytest.approx(max(one.value_at_risk for one in each), abs=1e-5)
    assert float(shortfall) == pytest.approx(max(one.expected_shortfall for one in each), abs=1e-5)


def test_more_of_what_is_held_is_added_to_it() -> None:
    known = facts(prices={ABC: Decimal(1)}, tails=tails(ABC, XYZ))
    wanted = replace(plan(), budget_quote=Decimal(40))
    both = found_of(what_if(wanted, holding(ABC, "30", "1"), WIDE, known).limits)["value_at_risk_quote"]
    alone = found_of(what_if(wanted, funded(), WIDE, known).limits)["value_at_risk_quote"]
    assert both.after is not None
    assert alone.after is not None
    assert float(both.after) == pytest.approx(float(alone.after) * 70 / 40, abs=1e-5)


def test_what_nobody_can_price_is_at_stake_with_its_cost_and_what_is_written_off_with_nothing() -> None:
    desk = holding(XYZ, "100", "1")
    unknown = found_of(usage(desk, WIDE, facts()))
    assert unknown["price_unknown"].broken
    assert unknown["value_at_risk_quote"].used == 70
    off = found_of(usage(desk, WIDE, facts(written_off=frozenset({XYZ}))))
    assert not off["price_unknown"].broken
    assert off["value_at_risk_quote"].used == 0


def test_what_an_open_buy_may_still_spend_is_reserved_in_every_limit_on_money() -> None:
    desk, other = funded(), plan("xyz-1", XYZ)
    desk.fold(e.SnipePlanned(NOW, other))
    desk.fold(e.OrderDecided(NOW - HOUR, replace(entry(other), decided_ns=NOW - HOUR)))
    desk.fold(e.OrderSent(NOW - HOUR, "xyz-1-b-1"))
    found = found_of(what_if(replace(plan(), budget_quote=Decimal(40)), desk, WIDE, facts()).limits)
    for name in ("total_exposure_quote", "cluster_quote"):
        assert (found[name].used, found[name].after) == (40, 80)
    assert (found["value_at_risk_quote"].used, found["value_at_risk_quote"].after) == (28, 56)
    assert (found["per_symbol_quote"].used, found["per_symbol_quote"].after) == (0, 40)
    assert found["concentration"].after == Decimal("0.0032")


def test_a_what_if_and_a_review_break_the_same_limits() -> None:
    desk = holding(XYZ, "150", "1")
    desk.halt = Halt(NOW, "ada", "drill")
    known = facts(clock=None, prices={XYZ: Decimal("0.4")})
    bounds = limits(cluster_quote=Decimal(1), per_order_quote=Decimal(39))
    verdict = review(INTENT, desk, bounds, known)
    assessed = what_if(replace(plan(), budget_quote=Decimal(40)), desk, bounds, known)
    assert [use.name for use in assessed.broken] == [each.limit for each in verdict.breaches]
    assert [use.why for use in assessed.broken] == [each.why for each in verdict.breaches]
    assert not assessed.cleared
    assert all(use.why == "" for use in assessed.limits if not use.broken)
    assert found_of(assessed.limits)["per_order_quote"].used == 0


def test_a_what_if_moves_nothing_and_lists_limits_that_hold() -> None:
    desk = funded()
    assessed = what_if(plan(), desk, LimitSettings(), facts())
    assert assessed.cleared
    names = [use.name for use in assessed.limits]
    assert len(names) == len(set(names)) >= 20
    assert {"open_snipes", "orders_per_s", "stale_price", "clock_offset_ms", "price_collar"} <= set(names)
    assert not desk.snipes
    used = found_of(assessed.limits)
    assert (used["open_snipes"].used, used["open_snipes"].after, used["open_snipes"].bound) == (0, 1, 3)


def test_usage_tells_how_far_limits_are_used_without_an_entry() -> None:
    desk = holding(XYZ, "40", "1")
    cooling = Protection("p", "cooldown", XYZ, NOW, NOW + HOUR, "1", "1", DAY, "just traded")
    desk.fold(e.ProtectionRaised(NOW, cooling))
    found = found_of(usage(desk, LimitSettings(), facts(prices={XYZ: Decimal("0.9")})))
    assert (found["per_symbol_quote"].used, found["total_exposure_quote"].used) == (40, 40)
    assert found["day_loss_quote"].used == Decimal(4)
    assert found["value_at_risk_quote"].used == Decimal("25.2")
    assert found["open_snipes"].used == 1
    assert not found["protection_cooldown"].broken  # it refuses XYZ, not any entry
    assert "just traded" in found["protection_cooldown"].why
    assert not {"price_collar", "minimum_probability", "per_order_quote"} & set(found)
    assert not any(use.broken for use in found.values())
    assert found_of(usage(Desk(), LimitSettings(), facts(clock=None, free_quote=None)))[
        "clock_unknown"
    ].broken
