"""Diversification: shares, uncorrelated bets, clusters; and what too little data leaves unsaid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.diversification import (
    correlation_clusters,
    correlations,
    effective_bets,
    effective_holdings,
    herfindahl,
    minimum_torsion,
)

MONEY = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8)


def noise(rows: int, columns: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (rows, columns))


@given(money=MONEY)
def test_the_index_lies_between_one_over_n_and_one(money: list[float]) -> None:
    total = sum(money)
    found = herfindahl(money)
    assert found == pytest.approx(sum((each / total) ** 2 for each in money))
    assert 1 / len(money) - 1e-9 <= found <= 1 + 1e-9
    assert effective_holdings(money) == pytest.approx(1 / found)


def test_shares_of_a_whole_that_is_mostly_cash_are_small() -> None:
    assert herfindahl([50.0, 50.0, 50.0], whole=1000.0) == pytest.approx(0.0075)
    assert herfindahl([], whole=10.0) == 0


@pytest.mark.parametrize("wrong", [[-1.0, 2.0], [math.nan], [[1.0]]])
def test_amounts_that_are_no_amounts_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ParameterError):
        herfindahl(wrong)


def test_nothing_held_and_no_equity_are_said() -> None:
    with pytest.raises(NotEnoughData, match="nothing is held"):
        herfindahl([])
    with pytest.raises(ParameterError, match="must be above zero"):
        herfindahl([1.0], whole=0.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_the_torsion_uncorrelates_and_its_shares_make_a_whole(seed: int, count: int) -> None:
    returns = noise(300, count, seed) + 0.5 * noise(300, 1, seed + 1)
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    torsion = minimum_torsion(covariance)
    made = torsion @ covariance @ torsion.T
    assert np.allclose(made, np.diag(np.diag(made)), atol=1e-9 * np.diag(made).max())
    bets = effective_bets(returns, [10.0] * count)
    assert sum(bets.shares) == pytest.approx(1)
    assert min(bets.shares) >= 0
    assert 1 - 1e-9 <= bets.number <= count + 1e-9


def test_the_torsion_stays_closer_to_the_symbols_than_the_components_do() -> None:
    returns = noise(500, 4) + 0.8 * noise(500, 1, 8)
    covariance = np.cov(returns, rowvar=False)
    deviation = np.sqrt(np.diag(covariance))
    factors = returns @ minimum_torsion(covariance).T
    near = [abs(np.corrcoef(factors[:, n], returns[:, n])[0, 1]) for n in range(4)]
    _, vectors = np.linalg.eigh(covariance)
    main = returns @ vectors
    far = [abs(np.corrcoef(main[:, n], returns[:, n])[0, 1]) for n in range(4)]
    assert min(near) > 0.8 > sum(far) / 4
    assert deviation.min() > 0


@pytest.mark.parametrize("method", ["torsion", "components"])
def test_apart_coins_are_as_many_bets_and_coins_in_step_are_one(method: str) -> None:
    apart = effective_bets(noise(4_000, 4), [10.0] * 4, method)  # type: ignore[arg-type]
    common = noise(4_000, 1, 3)
    step = effective_bets(common + 0.01 * noise(4_000, 4), [10.0] * 4, "components")
    assert step.number == pytest.approx(1, abs=0.01)
    if method == "torsion":
        assert apart.number == pytest.approx(4, abs=0.05)
    one = effective_bets(noise(4_000, 4), [10.0, 0.0, 0.0, 0.0])
    assert one.number == pytest.approx(1, abs=0.05)


def test_bets_that_cannot_be_counted_say_why() -> None:
    with pytest.raises(NotEnoughData, match="more than 5 rows"):
        effective_bets(noise(5, 5), [1.0] * 5)
    with pytest.raises(NotEnoughData, match=r"columns \[1\] never moved"):
        effective_bets(np.column_stack([noise(50, 1), np.zeros(50)]), [1.0, 1.0])
    with pytest.raises(NotEnoughData, match="in step"):
        effective_bets(np.repeat(noise(50, 1), 2, axis=1), [1.0, 1.0])
    with pytest.raises(NotEnoughData, match="nothing is held"):
        effective_bets(noise(50, 2), [0.0, 0.0])
    with pytest.raises(ParameterError):
        effective_bets(noise(50, 2), [1.0])
    gap = noise(50, 2)
    gap[3, 0] = np.nan
    with pytest.raises(NotEnoughData, match="gaps"):
        effective_bets(gap, [1.0, 1.0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), begin=st.integers(0, 150))
def test_each_pair_is_correlated_over_the_rows_that_both_have(seed: int, begin: int) -> None:
    returns = noise(200, 3, seed) + noise(200, 1, seed + 1)
    returns[:begin, 1] = np.nan
    found = correlations(returns, least=60)
    pair = returns[begin:, :2]
    if 200 - begin < 60:
        assert math.isnan(found[0, 1])
    else:
        assert found[0, 1] == pytest.approx(np.corrcoef(pair, rowvar=False)[0, 1], abs=1e-9)
    assert found[0, 2] == pytest.approx(np.corrcoef(returns[:, [0, 2]], rowvar=False)[0, 1], abs=1e-9)


def test_what_is_linked_through_others_is_one_cluster() -> None:
    a, b, c = noise(2_000, 1, 1), noise(2_000, 1, 2), noise(2_000, 1, 3)
    chain = np.column_stack([a, a + b, b, c])  # the first and third know each other by the second alone
    assert correlation_clusters(chain, 0.6) == (0, 0, 0, 1)
    assert correlation_clusters(chain, 0.9) == (0, 1, 2, 3)
    assert correlation_clusters(np.column_stack([a, a]), 1.0) == (0, 0)


def test_opposites_are_not_one_bet() -> None:
    a = noise(200, 1)
    assert correlation_clusters(np.column_stack([a, -a]), 0.5) == (0, 1)


def test_what_is_too_young_or_does_not_move_is_not_known_to_be_apart() -> None:
    returns = noise(200, 3)
    assert correlation_clusters(returns, 0.8) == (0, 1, 2)
    young = returns.copy()
    young[:150, 2] = np.nan
    assert correlation_clusters(young, 0.8) == (0, 0, 0)
    still = returns.copy()
    still[:, 1] = 0.003
    assert correlation_clusters(still[:, :2], 0.8) == (0, 0)


@pytest.mark.parametrize("bound", [0.0, -0.5, 1.1, math.nan])
def test_a_bound_that_is_no_correlation_is_refused(bound: float) -> None:
    with pytest.raises(ParameterError, match="bound"):
        correlation_clusters(noise(100, 2), bound)
