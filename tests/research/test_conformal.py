"""Conformal intervals: they hold as often as they say, and they know nothing of what was not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.conformal import ConformalOptions, Forecasts, block_of, conformal
from mexclab.research.scores import crps, pinball
from tests.naive.outcomes_naive import crps_of, margins_of, pinball_of

HOUR = 3_600_000_000_000


def forecasts(seed: int, count: int = 400, *, width: float = 1.0, delay: int = 1) -> Forecasts:
    """Bounds of -width..width for normal outcomes, one an hour, known after ``delay`` hours."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(0.0, 0.5, count))
    made = np.arange(count, dtype=np.int64) * HOUR
    return Forecasts(
        -width * scale, width * scale, rng.standard_normal(count) * scale, scale, made, made + delay * HOUR
    )


def test_bounds_that_are_too_narrow_are_widened_until_they_hold_what_they_say() -> None:
    found = [conformal(forecasts(seed, width=0.5), ConformalOptions(rate=0.0)) for seed in range(20)]
    assert np.mean([one.coverage for one in found]) == pytest.approx(0.90, abs=0.012)
    assert np.mean([one.raw_coverage for one in found]) == pytest.approx(0.383, abs=0.03)
    assert found[0].verdict.startswith("intervals hold what they say: of 370")


def test_bounds_that_are_too_wide_are_narrowed() -> None:
    found = conformal(forecasts(1, width=4.0))
    assert found.raw_coverage > 0.99
    assert found.coverage == pytest.approx(0.9, abs=0.05)
    assert (found.table["high"] < found.table["raw_high"]).all()


def test_when_the_market_changes_the_adaptive_level_brings_the_coverage_back() -> None:
    calm, wild = forecasts(2, 600), forecasts(3, 600)
    turned = Forecasts(
        np.concatenate([calm.low, wild.low]),
        np.concatenate([calm.high, wild.high]),
        np.concatenate([calm.actual, 4.0 * wild.actual]),
        np.concatenate([calm.scale, wild.scale]),
        np.arange(1200) * HOUR,
        np.arange(1, 1201) * HOUR,
    )
    rolling, adaptive = (
        conformal(turned, ConformalOptions(rate=rate, window=500)).table for rate in (0.0, 0.03)
    )
    later = slice(-600, None)
    assert rolling["inside"][later].mean() < 0.82
    assert adaptive["inside"][later].mean() > 0.87
    assert adaptive["inside"].mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(("delay", "rate", "window"), [(1, 0.02, 60), (7, 0.0, 50), (13, 0.05, 400)])
def test_every_margin_is_that_of_the_naive_twin(delay: int, rate: float, window: int) -> None:
    given = forecasts(4, 150, width=0.7, delay=delay)
    options = ConformalOptions(level=0.8, window=window, fewest=20, rate=rate)
    found = conformal(given, options)
    expected = margins_of(
        given.misses.tolist(), given.made_ns.tolist(), given.known_ns.tolist(), 0.8, window, 20, rate
    )
    issued = [at for at, margin in enumerate(expected) if margin is not None]
    got = (found.table["high"] - found.table["raw_high"]).to_numpy() / given.scale[issued]
    np.testing.assert_allclose(got, [expected[at] for at in issued], atol=1e-12)
    assert found.table["made"].dt.epoch("ns").to_list() == given.made_ns[issued].tolist()


def test_an_outcome_that_was_not_known_yet_changes_no_interval_before_it_was() -> None:
    given = forecasts(5, 200, delay=10)
    actual = given.actual.copy()
    actual[100:] += 50.0
    one, other = (conformal(each).table for each in (given, replace(given, actual=actual)))
    same = one["made"].dt.epoch("ns").to_numpy() < 110 * HOUR
    assert one["high"].to_numpy()[same].tolist() == other["high"].to_numpy()[same].tolist()
    assert (one["high"].to_numpy()[~same] != other["high"].to_numpy()[~same]).any()


def test_the_next_interval_uses_everything_that_is_known() -> None:
    given = forecasts(6, 300)
    found = conformal(given, ConformalOptions(rate=0.0, window=300))
    misses = np.sort(given.misses)
    assert found.margin == misses[int(np.ceil(0.9 * 301)) - 1]
    low, high = found.interval(-1.0, 1.0, 2.0)
    assert (low, high) == (-1.0 - 2 * found.margin, 1.0 + 2 * found.margin)


def test_where_too_few_outcomes_are_known_there_is_no_interval_or_an_endless_one() -> None:
    with pytest.raises(NotEnoughData, match="30 known outcomes"):
        conformal(forecasts(7, 25))
    few = conformal(forecasts(7, 40), ConformalOptions(level=0.99, fewest=10))
    assert np.isinf(few.table["high"][0])
    assert few.coverage == 1.0


def test_forecasts_out_of_order_or_shape_are_refused() -> None:
    given = forecasts(8, 50)
    with pytest.raises(ParameterError, match="order of time"):
        replace(given, made_ns=given.made_ns[::-1].copy())
    with pytest.raises(ParameterError, match="before its outcome"):
        replace(given, known_ns=given.made_ns - 1)
    with pytest.raises(ParameterError, match="one length"):
        replace(given, low=given.low[1:])
    with pytest.raises(ParameterError, match="positive"):
        replace(given, scale=given.scale * 0)
    for wrong in ({"level": 1.0}, {"rate": -0.1}, {"fewest": 1}, {"fewest": 300}):
        with pytest.raises(ParameterError):
            ConformalOptions(**wrong)  # type: ignore[arg-type]


def test_a_bootstrap_block_is_as_long_as_outcomes_overlap() -> None:
    made = np.arange(64) * HOUR
    assert block_of(made, made + HOUR) == 4
    assert block_of(made, made + 10 * HOUR) == 10


@pytest.mark.parametrize("fair", [False, True])
def test_the_crps_is_that_of_the_double_sum(fair: bool) -> None:
    rng = np.random.default_rng(9)
    for _ in range(30):
        size = int(rng.integers(2, 40))
        members = rng.standard_normal(size).round(1)  # with ties
        weights = rng.random(size) + 0.01
        actual = float(rng.standard_normal())
        expected = crps_of(members.tolist(), weights.tolist(), actual, fair=fair)
        assert crps(members, weights, actual, fair=fair) == pytest.approx(expected, abs=1e-12)


def test_a_fair_crps_does_not_punish_a_small_ensemble_of_the_right_kind() -> None:
    rng = np.random.default_rng(10)
    actual = rng.standard_normal(4000)
    small = [crps(rng.standard_normal(5), np.ones(5), y, fair=True) for y in actual]
    plain = [crps(rng.standard_normal(5), np.ones(5), y) for y in actual]
    perfect = 1 / np.sqrt(np.pi)  # of the standard normal, for itself
    assert np.mean(small) == pytest.approx(perfect, abs=0.03)
    assert np.mean(plain) == pytest.approx(perfect * 1.2, abs=0.03)
    with pytest.raises(ParameterError, match="too few"):
        crps(np.ones(1), np.ones(1), 0.0, fair=True)


def test_the_pinball_loss_is_that_of_its_definition_and_least_at_the_true_quantile() -> None:
    rng = np.random.default_rng(11)
    shares = np.array([0.1, 0.5, 0.8])
    quantiles, actual = rng.standard_normal((20, 3)), rng.standard_normal(20)
    expected = [pinball_of(q.tolist(), shares.tolist(), y) for q, y in zip(quantiles, actual, strict=True)]
    np.testing.assert_allclose(pinball(quantiles, shares, actual), expected)
    draws = rng.standard_normal(20_000)
    at = [pinball(np.full((20_000, 1), q), np.array([0.8]), draws).mean() for q in (0.6, 0.8416, 1.1)]
    assert at[1] < min(at[0], at[2])


def test_intervals_that_all_held_are_not_said_to_fail() -> None:
    made = np.arange(60) * HOUR
    calm = Forecasts(np.full(60, -9.0), np.full(60, 9.0), np.zeros(60), np.ones(60), made, made + HOUR)
    found = conformal(calm, ConformalOptions(level=0.9, fewest=38, rate=0.0))
    assert found.coverage == 1.0
    assert 0.8 < found.low_coverage < 0.9
    assert found.verdict.startswith("intervals hold what they say")


def test_forecasts_that_are_no_numbers_or_known_at_once_are_refused() -> None:
    fine = forecasts(1, 30)
    holed = fine.actual.copy()
    holed[4] = np.nan
    with pytest.raises(ParameterError, match="leave out what is not known"):
        replace(fine, actual=holed)
    with pytest.raises(ParameterError, match="each before its outcome"):
        replace(fine, known_ns=fine.made_ns)
