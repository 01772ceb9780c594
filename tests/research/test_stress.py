"""Bad hours: what they cost, what a stop saves, and where it saves nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.market import Level, Symbol
from mexclab.errors import ParameterError
from mexclab.research.stress import SCENARIOS, Held, Scenario, Stress, sale, stress
from tests.naive import stress_naive as naive

D = Decimal
ABC, DEF = Symbol("ABC"), Symbol("DEF")
DEEP = (Level(D(2), D(1000)),)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
HELD = Held(ABC, D(100), D(180), DEEP, stop=D("1.8"))


def hit(held: Held, name: str) -> dict[str, object]:
    [row] = stress([held], scenarios=(BY_NAME[name],)).table.to_dicts()
    return row


def test_the_scenarios_are_the_five_bad_hours() -> None:
    moves = [(s.name, s.price, s.liquidity, s.gap, s.selling, s.quote) for s in SCENARIOS]
    assert moves == [
        ("crash", D("-0.20"), D("-0.30"), False, True, 0),
        ("flash", D("-0.10"), D("-0.80"), False, True, 0),
        ("listing_dump", D("-0.70"), D("-0.50"), True, True, 0),
        ("no_selling", D("-0.30"), 0, False, False, 0),
        ("depeg", 0, 0, False, True, D("-0.05")),
    ]


def test_a_stop_sells_on_the_way_down_of_a_crash_and_saves_the_rest_of_the_fall() -> None:
    row = hit(HELD, "crash")
    assert (row["value"], row["loss"], row["loss_with_stop"], row["saved"]) == (200, 40, 20, 20)
    assert "the stop at 1.8 sells on the way down" in str(row["words"])


def test_a_price_that_gaps_through_the_stop_makes_it_worthless_and_says_by_how_much() -> None:
    row = hit(HELD, "listing_dump")
    assert (row["loss"], row["loss_with_stop"], row["saved"]) == (140, 140, 0)
    assert row["words"] == "the price gaps through the stop at 1.8: it sells at 0.6, 120.00 USDT lower"


def test_where_the_venue_takes_no_sales_the_stop_is_reached_and_sells_nothing() -> None:
    row = hit(HELD, "no_selling")
    assert (row["loss"], row["loss_with_stop"], row["unsold"], row["exit_cost"]) == (60, 60, 100, 0)
    assert "cannot sell: it is held all the way down" in str(row["words"])


def test_a_stop_below_the_fall_is_not_reached() -> None:
    row = hit(replace(HELD, stop=D("1.5")), "flash")
    assert (row["loss"], row["saved"]) == (20, 0)
    assert row["words"] == "the stop at 1.5 is not reached: the price stays above it"


def test_a_depeg_takes_its_share_of_holdings_and_of_the_balance_and_no_stop_helps() -> None:
    told = stress([HELD], cash=D(800), scenarios=(BY_NAME["depeg"],))
    assert told.table.select("name", "loss", "saved").rows() == [("ABCUSDT", 10, 0), ("USDT", 40, 0)]
    [total] = told.totals
    assert (total.loss, total.saved) == (50, 0)
    assert "the price in quote does not move" in told.hits[0].words


def test_other_scenarios_leave_the_balance_alone() -> None:
    told = stress([], cash=D(800))
    assert [each.scenario for each in told.hits] == ["depeg"]
    assert [total.loss for total in told.totals] == [0, 0, 0, 0, 40]


def test_a_thin_book_costs_more_to_leave_and_what_finds_no_bid_is_said() -> None:
    bids = (Level(D(2), D(30)), Level(D("1.9"), D(200)))
    held = Held(ABC, D(100), D(180), bids, fee=D("0.01"))
    scenario = Scenario("thin", "half of the bids go", price=D("-0.5"), liquidity=D("-0.5"))
    [row] = stress([held], scenarios=(scenario,)).hits
    brought = (15 * D(1) + 85 * D("0.95")) * D("0.99")
    assert (row.loss, row.exit_cost, row.unsold) == (200 - brought, 100 - brought, 0)
    [row] = stress([held], scenarios=(replace(scenario, liquidity=D("-0.8")),)).hits
    assert row.unsold == 54
    assert row.words == "54% of it find no bid; there is no stop"
    assert row.loss == 200 - ((6 + 40 * D("0.95")) * D("0.99") + 54)


def test_what_a_stop_cannot_sell_in_the_thin_book_falls_with_the_rest() -> None:
    held = replace(HELD, bids=(Level(D(2), D(50)),))
    [row] = stress([held], scenarios=(BY_NAME["crash"],)).hits
    assert row.loss_with_stop == 200 - (35 * D("1.8") + 65 * D("1.6"))
    assert "65% of it find no bid there and fall with the rest" in row.words


def test_a_holding_without_a_price_is_named_and_in_no_sum() -> None:
    told = stress([HELD, Held(DEF, D(7), D("12.5"))])
    lost = [each for each in told.hits if each.name == "DEFUSDT"]
    assert {(each.value, each.loss, each.loss_with_stop, each.saved) for each in lost} == {(None,) * 4}
    assert lost[0].words == "no price is known; at most its cost of 12.50 USDT can be lost"
    assert {total.unpriced for total in told.totals} == {("DEFUSDT",)}
    assert told.totals[0].loss == 40
    assert told.table.filter(told.table["name"] == "DEFUSDT")["loss"].null_count() == 5


def test_nothing_held_costs_nothing_and_the_tables_keep_their_columns() -> None:
    told = stress([])
    assert told.table.height == 0
    assert told.table.columns[:4] == ["scenario", "name", "value", "loss"]
    assert told.summary["loss"].to_list() == [0.0] * 5


@pytest.mark.parametrize(
    "wrong", [{"price": D("0.1")}, {"liquidity": D("-1.01")}, {"quote": D("NaN")}, {"price": D("-Infinity")}]
)
def test_a_fall_that_is_none_is_refused_by_its_name(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ParameterError, match=f"^{next(iter(wrong))} of the scenario 'own'"):
        Scenario("own", "mine", **wrong)


levels = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6)


@given(levels, st.integers(1, 60))
def test_a_sale_is_what_selling_unit_by_unit_brings(steps: list[tuple[int, int]], units: int) -> None:
    price, bids = D(1000), []
    for down, size in steps:
        price -= down
        bids.append((price, size))
    book = [Level(each, D(size)) for each, size in bids]
    assert sale(book, D(units), D(0)) == naive.brought(bids, units)


@st.composite
def holdings(draw: st.DrawFn) -> Held:
    price, bids = D(1000), []
    for down, size in draw(levels):
        price -= down
        bids.append(Level(price / 100, D(size)))
    stop = draw(st.none() | st.integers(1, 1200).map(lambda n: D(n) / 100))
    fee = draw(st.sampled_from([D(0), D("0.0005"), D("0.01")]))
    return Held(ABC, D(draw(st.integers(1, 60))), D(50), tuple(bids), stop, fee)


falls = st.integers(-100, 0).map(lambda n: D(n) / 100)
scenarios = st.builds(
    Scenario, st.just("own"), st.just("mine"), falls, falls, st.booleans(), st.booleans(), falls
)


def alone(held: Held, scenario: Scenario) -> Stress:
    return stress([held], scenarios=(scenario,))


@given(holdings(), scenarios)
def test_a_stop_never_costs_and_nobody_loses_more_than_there_is(held: Held, scenario: Scenario) -> None:
    [row] = alone(held, scenario).hits
    assert row.value is not None
    assert row.loss is not None
    assert row.loss_with_stop is not None
    assert 0 <= row.loss_with_stop <= row.loss <= row.value
    assert 0 <= row.exit_cost <= row.loss
    assert 0 <= row.unsold <= held.quantity


@given(holdings(), scenarios)
def test_a_deeper_fall_and_a_thinner_book_never_cost_less_of_the_price(
    held: Held, scenario: Scenario
) -> None:
    calm = replace(scenario, selling=True, quote=D(0))
    deeper = replace(calm, price=max(calm.price - D("0.1"), D(-1)))
    [first], [second] = alone(held, calm).hits, alone(held, deeper).hits
    assert first.loss is not None
    assert second.loss is not None
    assert first.loss <= second.loss
    thinner = replace(calm, liquidity=max(calm.liquidity - D("0.1"), D(-1)))
    [third] = alone(held, thinner).hits
    assert third.unsold >= first.unsold
