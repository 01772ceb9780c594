"""Value at risk and expected shortfall: equal to the plain definition, coherent, clear about too little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import DataError, NotEnoughData, ParameterError
from mexclab.research.tail_risk import (
    Method,
    TailOptions,
    expected_shortfall,
    filtered,
    log_returns,
    scenarios,
    stacked,
    tail_loss,
    value_at_risk,
    worst_of,
)
from tests.naive import tail_risk_naive as naive

MOVE = st.floats(-0.5, 0.5, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-6 else x)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[list[float | None]], list[float], TailOptions]:
    """Returns with the odd gap, exposures, and options that the rows suffice for."""
    symbols = draw(st.integers(1, 4))
    options = TailOptions(
        tail=draw(st.sampled_from([0.05, 0.1, 0.25, 0.33, 0.4])),
        horizon=draw(st.integers(1, 6)),
        unknown_loss=draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])),
        decay=draw(st.sampled_from([0.9, 0.94, 0.97])),
        most=draw(st.sampled_from([2, 7, 1000])),
    )
    count = options.horizon - 1 + math.ceil(1 / options.tail - 1e-9) + draw(st.integers(0, 20))
    rows: list[list[float | None]] = [[draw(MOVE) for _ in range(symbols)] for _ in range(count)]
    if draw(st.booleans()):
        rows[draw(st.integers(0, count - 1))][draw(st.integers(0, symbols - 1))] = None
    return rows, draw(st.lists(st.floats(0, 500), min_size=symbols, max_size=symbols)), options


def as_array(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if each is None else each for each in row] for row in rows])


@pytest.mark.parametrize("method", ["historical", "filtered"])
@settings(max_examples=120, deadline=None)
@given(book=books())
def test_both_measures_equal_the_plain_definition(book: Any, method: Method) -> None:
    rows, exposures, options = book
    rules = naive.Rules(
        options.tail, options.horizon, options.unknown_loss, options.decay, method == "filtered", options.most
    )
    found = naive.losses(rows, exposures, rules)
    made = tail_loss(as_array(rows), exposures, options, method)
    near = {"rel": 1e-8, "abs": 1e-7}
    assert made.value_at_risk == pytest.approx(naive.value_at_risk(found, options.tail), **near)
    assert made.expected_shortfall == pytest.approx(naive.expected_shortfall(found, options.tail), **near)


@settings(max_examples=80, deadline=None)
@given(book=books())
def test_the_shortfall_is_never_below_the_value_at_risk_and_both_grow_with_the_money(book: Any) -> None:
    rows, exposures, options = book
    once = tail_loss(as_array(rows), exposures, options)
    twice = tail_loss(as_array(rows), [2 * each for each in exposures], options)
    assert once.expected_shortfall >= once.value_at_risk - 1e-9
    assert twice.value_at_risk == pytest.approx(2 * once.value_at_risk, abs=1e-7)
    assert twice.expected_shortfall == pytest.approx(2 * once.expected_shortfall, abs=1e-7)


@settings(max_examples=80, deadline=None)
@given(book=books(), more=st.lists(st.floats(0, 500), min_size=4, max_size=4))
def test_two_books_together_have_no_more_shortfall_than_apart(book: Any, more: list[float]) -> None:
    rows, exposures, options = book
    returns, others = as_array(rows), more[: len(exposures)]
    joined = [one + other for one, other in zip(exposures, others, strict=True)]
    apart = expected_shortfall(returns, exposures, options) + expected_shortfall(returns, others, options)
    assert expected_shortfall(returns, joined, options) <= apart + 1e-6


def test_twenty_losses_of_one_to_twenty_have_a_known_tail() -> None:
    returns = np.log1p(-np.arange(1, 21) / 100)[:, None]
    options = TailOptions(tail=0.1)
    assert value_at_risk(returns, [100.0], options) == pytest.approx(18.0)
    assert expected_shortfall(returns, [100.0], options) == pytest.approx(19.5)
    assert expected_shortfall(returns, [100.0], TailOptions(tail=0.125)) == pytest.approx((20 + 19 + 9) / 2.5)


def test_a_fall_that_takes_several_minutes_counts_whole_over_that_horizon() -> None:
    returns = np.zeros((100, 1))
    returns[40:45, 0] = math.log(0.9)
    assert value_at_risk(returns, [100.0], TailOptions(tail=0.02, horizon=5)) > 100 * (1 - 0.9**4) - 1e-9
    assert value_at_risk(returns, [100.0], TailOptions(tail=0.02, horizon=1)) == pytest.approx(10.0)


def test_a_storm_of_now_raises_the_filtered_measure_above_the_historical_one() -> None:
    chance = np.random.default_rng(7)
    calm, storm = chance.normal(0, 0.001, (900, 1)), chance.normal(0, 0.01, (40, 1))
    returns = np.vstack([calm, storm])
    assert value_at_risk(returns, [1.0], method="filtered") > 2 * value_at_risk(returns, [1.0])
    assert value_at_risk(returns[::-1], [1.0], method="filtered") < value_at_risk(returns[::-1], [1.0])


def test_a_long_history_is_filtered_in_blocks_as_it_would_be_in_one() -> None:
    returns = np.random.default_rng(3).normal(0, 0.01, (9_000, 2))
    twin = np.array([naive.filtered(returns[:, place].tolist(), 0.94) for place in range(2)]).T
    assert np.allclose(filtered(returns, 0.94), twin, rtol=1e-9)


def test_a_symbol_that_never_moved_and_one_that_slept_do_no_harm() -> None:
    returns = np.zeros((3_000, 2))
    returns[-1, 1] = 0.5
    made = filtered(returns)
    assert np.isfinite(made).all()
    assert abs(made).max() <= 5.0


def test_a_symbol_with_a_gap_loses_what_is_assumed_and_is_named() -> None:
    returns = np.zeros((30, 2))
    returns[0, 1] = np.nan
    made = tail_loss(returns, [100.0, 50.0], TailOptions(unknown_loss=0.7))
    assert (made.value_at_risk, made.expected_shortfall) == (pytest.approx(35.0), pytest.approx(35.0))
    assert made.unknown == (1,)
    nothing = tail_loss(np.full((30, 2), np.nan), [100.0, 50.0], TailOptions(unknown_loss=0.7))
    assert (nothing.value_at_risk, nothing.scenarios, nothing.unknown) == (pytest.approx(105.0), 0, (0, 1))


def test_methods_are_stacked_and_the_worse_one_counts() -> None:
    returns = np.random.default_rng(5).normal(0, 0.01, (200, 3))
    money, options = [10.0, 20.0, 30.0], TailOptions(horizon=3)
    both = [scenarios(returns, options, method) for method in ("historical", "filtered")]  # type: ignore[arg-type]
    found = worst_of(stacked(both).losses(money).reshape(2, -1), options.tail)
    each = [tail_loss(returns, money, options, method) for method in ("historical", "filtered")]  # type: ignore[arg-type]
    assert found[0] == pytest.approx(max(one.value_at_risk for one in each))
    assert found[1] == pytest.approx(max(one.expected_shortfall for one in each))


def test_series_that_end_together_are_aligned_at_their_end() -> None:
    returns = log_returns([[0.0, 1.0, 3.0, 6.0], [5.0, 7.0], []], 2)
    assert returns[:, 0].tolist() == [2.0, 3.0]
    assert math.isnan(returns[0, 1])
    assert returns[1, 1] == 2.0
    assert np.isnan(returns[:, 2]).all()


def test_too_few_rows_are_refused_with_what_would_help() -> None:
    with pytest.raises(NotEnoughData, match=r"10 rows make 6 windows of 5; a tail of 0\.05 takes 20"):
        value_at_risk(np.zeros((10, 1)), [1.0], TailOptions(horizon=5))
    with pytest.raises(NotEnoughData):
        value_at_risk(np.zeros((0, 1)), [1.0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"tail": 0.0}, {"tail": 0.5}, {"tail": math.nan}, {"horizon": 0}, {"unknown_loss": 1.1},
        {"unknown_loss": -0.1}, {"decay": 1.0}, {"decay": 0.5}, {"most": 1},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        TailOptions(**wrong)  # type: ignore[arg-type]


def test_exposures_that_do_not_fit_and_infinite_returns_are_refused() -> None:
    with pytest.raises(ParameterError):
        value_at_risk(np.zeros((30, 2)), [1.0])
    with pytest.raises(ParameterError):
        value_at_risk(np.zeros((30, 1)), [math.nan])
    with pytest.raises(DataError):
        value_at_risk(np.full((30, 1), -np.inf), [1.0])
