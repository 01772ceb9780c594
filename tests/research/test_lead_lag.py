"""Leads: found where planted, at their lag; not made of echoes, common bursts or luck."""

from __future__ import annotations

import numpy as np
import pytest

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.correlation import Returns
from mexclab.research.lead_lag import LeadLagOptions, cross_correlation, innovations, lead_lag
from tests.naive import correlation_naive as naive

MINUTE_NS = 60_000_000_000
QUICK = LeadLagOptions(draws=299)


def market(seed: int, symbols: int = 8, rows: int = 2400) -> np.ndarray:
    """No lead: a common factor, bursts of volatility that all share, fat tails, and each echoes itself."""
    rng = np.random.default_rng(seed)
    level, burst = 0.0, np.empty(rows)
    for t, shock in enumerate(rng.standard_normal(rows)):
        level = 0.98 * level + 0.25 * shock
        burst[t] = np.exp(level)
    common = (burst * rng.standard_t(4, rows))[:, None] * rng.uniform(0.3, 1.5, symbols)
    moves = common + burst[:, None] * rng.standard_t(4, (rows, symbols))
    echo = rng.uniform(-0.4, 0.2, symbols)
    for t in range(1, rows):
        moves[t] += echo * moves[t - 1]
    return 1e-3 * moves


def returns_of(values: np.ndarray) -> Returns:
    times = MINUTE_NS * np.arange(1, len(values) + 1)
    return Returns(tuple(f"S{at}" for at in range(values.shape[1])), times, MINUTE_NS, values)


def test_a_planted_lead_is_found_at_its_lag_and_in_its_direction() -> None:
    values = market(1)
    values[3:, 5] += 0.4 * values[:-3, 2]
    found = lead_lag(returns_of(values), QUICK)
    row = found.significant.row(0, named=True)
    assert (row["leader"], row["follower"], row["lag"]) == ("S2", "S5", 3)
    assert row["correlation"] > 0.1
    assert found.leaders["symbol"][-1] == "S5"  # who shares S2's moves leads it, too
    assert "S2 before S5 by 3m" in found.verdict


def test_without_leads_few_questions_are_answered_with_one() -> None:
    tables = [lead_lag(returns_of(market(100 + seed)), QUICK) for seed in range(40)]
    share = np.concatenate([each.table["p_value"].to_numpy() for each in tables])
    assert (share < 0.05).mean() < 0.07
    assert (share < 0.01).mean() < 0.02
    assert sum(each.significant.height > 0 for each in tables) <= 6  # 5 % of 40, and luck
    assert "No lead found among 56" in next(each for each in tables if not each.significant.height).verdict


def test_an_echo_of_a_common_move_is_a_lead_only_to_those_who_do_not_take_it_out() -> None:
    rng = np.random.default_rng(4)
    moves = rng.normal(0, 1e-3, (4000, 1)) + rng.normal(0, 0.4e-3, (4000, 4))
    for t in range(1, len(moves)):
        moves[t] -= 0.35 * moves[t - 1]
    naively = lead_lag(returns_of(moves), LeadLagOptions(draws=299, order=0))
    assert naively.significant.height >= 10
    assert lead_lag(returns_of(moves), QUICK).significant.height == 0


def test_statistic_lag_and_draws_are_those_of_the_plain_definition() -> None:
    options = LeadLagOptions(lags=4, block=10, draws=199, seed=3)
    values = market(2, symbols=2, rows=600)
    values[40:55, 1] = np.nan
    found = lead_lag(returns_of(values), options).table
    scores = innovations(values, options.order, options.clip)
    signs = np.random.default_rng(3).choice(np.array([-1.0, 1.0], dtype=np.float32), (199, 60))
    for leader, follower in ((0, 1), (1, 0)):
        best, lag, beyond = naive.lead(scores[:, [leader, follower]], 4, 10, signs)
        row = found.filter(leader=f"S{leader}").row(0, named=True)
        assert row["statistic"] == pytest.approx(best, rel=1e-5)
        assert row["lag"] == lag
        if beyond >= 12:
            assert row["p_value"] == pytest.approx((1 + beyond) / 200, abs=2 / 200)


def test_the_profile_of_a_pair_shows_who_is_ahead() -> None:
    values = market(3)
    values[2:, 1] += 0.5 * values[:-2, 0]
    profile = cross_correlation(returns_of(values), "S0", "S1", QUICK)
    assert profile["lag"].to_list() == list(range(-10, 11))
    ahead = profile.filter(lag=2).row(0, named=True)
    assert ahead["correlation"] > 2 * ahead["band"] > 0
    mirrored = cross_correlation(returns_of(values), "S1", "S0", QUICK)
    np.testing.assert_allclose(mirrored["correlation"], profile["correlation"][::-1], atol=1e-9)


def test_symbols_that_do_not_move_or_are_hardly_known_take_no_part() -> None:
    values = market(5, symbols=4)
    values[:, 1] = 0.0
    values[60:, 2] = np.nan
    found = lead_lag(returns_of(values), QUICK).table
    assert set(found["leader"]) == {"S0", "S3"}
    assert found.height == 2


def test_what_its_own_past_explains_fully_takes_no_part() -> None:
    values = market(6, symbols=4)
    values[:, 1] = 1e-3 * np.sin(0.7 * np.arange(len(values)))
    values[:, 2] = 1e-3 * (-1.0) ** np.arange(len(values))
    found = lead_lag(returns_of(values), QUICK).table
    assert set(found["leader"]) == {"S0", "S3"}


def test_a_profile_of_too_few_returns_is_refused_and_a_past_longer_than_all_foretells_nothing() -> None:
    with pytest.raises(NotEnoughData, match="20 blocks of 60 returns; there are 4"):
        cross_correlation(returns_of(market(1)[:4]), "S0", "S1")
    short = LeadLagOptions(lags=1, block=2, order=60, draws=99)
    assert lead_lag(returns_of(market(1)[:50]), short).table.height == 0


def test_too_little_history_one_symbol_and_blocks_too_short_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="20 blocks of 60"):
        lead_lag(returns_of(np.zeros((100, 2))))
    with pytest.raises(ParameterError, match="two or more"):
        lead_lag(returns_of(np.zeros((2000, 1))))
    with pytest.raises(ParameterError, match="too short for 10 lags"):
        LeadLagOptions(block=15)
    with pytest.raises(ParameterError, match="draws 99 or more"):
        LeadLagOptions(draws=5)
