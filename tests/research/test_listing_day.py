"""The generated listing day: a pure function of its seed whose days look like the recorded ones."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.listing_day import FITTED, QUANTILES, listing_bars, listing_day, trade_sizes
from mexclab.research.listing_day_fit import Anchors, Fit, fit

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"

# The 10, 25, 50, 75 and 90 % quantiles of 48 MEXC spot listing days (2023-06-30 to 2024-10-29, the first
# daily bar of each symbol, relative to its open), and how far ln(model / real) may lie from each.
REAL_DAYS = {
    "high": ((2.358, 2.584, 2.927, 4.321, 10.0), (0.10, 0.10, 0.05, 0.20, 0.20)),
    "low": ((0.800, 1.0, 1.0, 1.0, 1.0), (0.25, 0.01, 0.01, 0.01, 0.01)),
    "close": ((1.604, 1.783, 2.193, 2.652, 5.135), (0.10, 0.10, 0.05, 0.10, 0.15)),
}


def seeded(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def days() -> pl.DataFrame:
    return listing_bars(seeded(11), 2_000)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    if not (SHARED / "mexc_spot_1d").is_dir():
        pytest.skip("the recorded listing days are not beside this repository")
    path = ROOT / "benchmarks" / "fit_listing_day.py"
    spec = importlib.util.spec_from_file_location("fit_listing_day", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def evidence(benchmark: ModuleType) -> tuple[pl.DataFrame, pl.DataFrame, Anchors]:
    return benchmark.read(SHARED)


@pytest.fixture(scope="module")
def refit(evidence: tuple[pl.DataFrame, pl.DataFrame, Anchors]) -> Fit:
    return fit(*evidence)


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    first, again, other = listing_day(seeded(5)), listing_day(seeded(5)), listing_day(seeded(6))
    for name in ("seconds", "price", "trades_per_s", "spread", "depth_quote"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.gap == again.gap
    assert not np.array_equal(first.price, other.price)


def test_a_longer_day_begins_with_the_shorter_one() -> None:
    short, long = listing_day(seeded(3), hours=0.5), listing_day(seeded(3), hours=2.0)
    np.testing.assert_allclose(long.price[:1800], short.price, rtol=1e-12)
    np.testing.assert_allclose(long.depth_quote[:1800], short.depth_quote, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), minutes=st.integers(1, 120))
def test_every_series_is_one_second_apart_finite_and_positive(seed: int, minutes: int) -> None:
    path = listing_day(seeded(seed), hours=minutes / 60)
    np.testing.assert_array_equal(path.seconds, np.arange(minutes * 60))
    assert path.seconds.dtype == np.int64
    for series in (path.price, path.trades_per_s, path.spread, path.depth_quote):
        assert series.shape == path.seconds.shape
        assert series.dtype == np.float64
        assert np.all(np.isfinite(series))
        assert np.all(series > 0)


def test_the_gap_is_the_first_tradable_price_over_the_placeholder() -> None:
    path = listing_day(seeded(9))
    assert path.gap == pytest.approx(np.log(path.price[0]), abs=1e-12)


@pytest.mark.parametrize("gap", [-0.5, 0.0, 0.8, 2.5])
def test_a_gap_that_the_caller_knows_is_where_the_day_opens(gap: float) -> None:
    path = listing_day(seeded(4), hours=0.1, gap=gap)
    assert path.gap == pytest.approx(gap, abs=1e-12)
    assert path.price[0] == pytest.approx(np.exp(gap))


@pytest.mark.parametrize("hours", [0.0, -1.0, 24.01, float("nan"), float("inf")])
def test_a_length_that_the_model_cannot_speak_about_is_refused(hours: float) -> None:
    with pytest.raises(ParameterError, match="hours"):
        listing_day(seeded(), hours=hours)


def test_a_gap_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ParameterError, match="gap"):
        listing_day(seeded(), gap=float("nan"))


def test_volatility_decays_as_the_stated_power_of_time() -> None:
    calm = replace(FITTED, near=replace(FITTED.near, overshoot_median=0.0), remote_share=0.0, shock_df=30.0)
    returns = np.array([np.diff(np.log(listing_day(seeded(s), 4.0, calm).price)) for s in range(60)])
    early, late = returns[:, 600:1200].std(), returns[:, 9600:14399].std()
    ages = (905.0 / 12000.0) ** -FITTED.volatility_decay
    assert early / late == pytest.approx(ages, rel=0.1)


def test_one_second_shocks_have_heavier_tails_than_the_normal() -> None:
    returns = np.concatenate([np.diff(np.log(listing_day(seeded(s)).price[7200:])) for s in range(20)])
    scaled = (returns - returns.mean()) / returns.std()
    assert np.mean(np.abs(scaled) > 5) > 20 * 5.7e-7  # 5.7e-7 is the normal law's share


def test_trading_calms_and_the_book_deepens_after_the_opening() -> None:
    path = listing_day(seeded(2))
    assert np.all(np.diff(path.trades_per_s) < 0)
    assert np.all(np.diff(path.spread) <= 0)
    assert np.all(np.diff(path.depth_quote) > 0)


def test_the_expected_turnover_of_a_day_is_the_one_that_was_drawn() -> None:
    still = replace(FITTED, remote_share=0.0, near=replace(FITTED.near, turnover_log_sd=0.0))
    path = listing_day(seeded(), 24.0, still)
    assert path.trades_per_s.sum() * still.trade_mean_quote == pytest.approx(
        still.near.turnover_24h, rel=0.01
    )


def test_trade_sizes_have_the_stated_median_and_mean() -> None:
    sizes = trade_sizes(seeded(), 400_000)
    assert np.median(sizes) == pytest.approx(FITTED.trade_median_quote, rel=0.02)
    assert sizes.mean() == pytest.approx(FITTED.trade_mean_quote, rel=0.10)


def test_without_an_overshoot_the_average_price_neither_rises_nor_falls() -> None:
    flat = replace(FITTED.near, overshoot_median=0.0, fair_mean=0.0, fair_sd=0.0)
    fair = replace(FITTED, near=flat, remote_share=0.0, opening_hour_weights=(1,) + (0,) * 23)
    closes = listing_bars(seeded(8), 8_000, fair)["close"].to_numpy()
    assert closes.mean() == pytest.approx(1.0, abs=4 * closes.std() / np.sqrt(closes.size))


def test_coarse_days_have_the_highs_and_closes_of_second_by_second_days() -> None:
    whole = replace(FITTED, opening_hour_weights=(1,) + (0,) * 23)
    coarse = listing_bars(seeded(1), 4_000, whole)
    slow = [listing_day(seeded(1_000 + s), 24.0, whole).price for s in range(150)]
    for name, exact in (("high", [p.max() for p in slow]), ("close", [p[-1] for p in slow])):
        grid = np.sort(np.concatenate([coarse[name].to_numpy(), exact]))
        cumulated = [np.searchsorted(np.sort(x), grid, side="right") / len(x) for x in (coarse[name], exact)]
        # The two-sample Kolmogorov-Smirnov distance at which one in a thousand equal pairs fails.
        assert np.max(np.abs(cumulated[0] - cumulated[1])) < 1.95 * np.sqrt(1 / 4_000 + 1 / 150)


@pytest.mark.parametrize("name", ["high", "low", "close"])
def test_two_thousand_generated_days_have_the_quantiles_of_the_recorded_ones(
    days: pl.DataFrame, name: str
) -> None:
    real, tolerance = REAL_DAYS[name]
    errors = np.log(np.quantile(days[name].to_numpy(), QUANTILES) / np.array(real))
    assert np.all(np.abs(errors) <= np.array(tolerance)), errors


def test_a_day_of_bars_holds_its_close_and_the_placeholder(days: pl.DataFrame) -> None:
    assert days.filter((pl.col("low") > pl.col("close")) | (pl.col("close") > pl.col("high"))).is_empty()
    assert days.filter((pl.col("low") > 1) | (pl.col("low") <= 0)).is_empty()
    assert days["opening_hour"].is_between(0, 23).all()


def test_four_hours_are_generated_in_under_twenty_milliseconds_of_cpu() -> None:
    listing_day(seeded())
    spent = []
    for seed in range(9):
        begun = time.process_time()
        listing_day(seeded(seed))
        spent.append(time.process_time() - begun)
    assert np.median(spent) < 0.020


def test_too_few_listings_are_refused_not_fitted() -> None:
    bars = pl.DataFrame(
        {
            "symbol": ["A", "A"],
            "ts": [0, 1],
            **{name: [1.0, 1.0] for name in ("open", "high", "low", "close", "volume")},
        }
    )
    with pytest.raises(NotEnoughData, match="20 spot listings"):
        fit(bars, bars, Anchors(np.array([10]), np.array([900.0]), np.array([20.0])))


def test_the_recorded_quantiles_are_those_of_the_data(
    evidence: tuple[pl.DataFrame, pl.DataFrame, Anchors],
) -> None:
    first = evidence[0].sort("symbol", "ts").group_by("symbol", maintain_order=True).first()
    assert first.height == 48
    for name, (recorded, _) in REAL_DAYS.items():
        quantiles = np.quantile((first[name] / first["open"]).to_numpy(), QUANTILES)
        np.testing.assert_allclose(quantiles, recorded, rtol=1e-3)


def test_fitting_the_data_again_gives_the_recorded_parameters(refit: Fit) -> None:
    near: Callable[[float], object] = lambda value: pytest.approx(value, rel=0.02)  # noqa: E731
    for name in (
        "remote_share",
        "volatility_1h",
        "perp_volatility_1h",
        "volatility_decay",
        "level_log_sd",
        "overshoot_log_sd",
        "turnover_decay",
        "fade_half_life_s",
        "trade_log_sd",
    ):
        assert getattr(refit.parameters, name) == near(getattr(FITTED, name)), name
    for kind in ("near", "remote"):
        for name in ("fair_mean", "fair_sd", "overshoot_median", "turnover_24h", "turnover_log_sd"):
            ours, theirs = getattr(FITTED, kind), getattr(refit.parameters, kind)
            assert getattr(theirs, name) == near(getattr(ours, name)), (kind, name)
    assert refit.parameters.opening_hour_weights == FITTED.opening_hour_weights


def test_the_fit_resembles_the_listing_days_and_the_perpetuals_within_their_noise(
    refit: Fit, benchmark: ModuleType
) -> None:
    errors = benchmark.goals(refit)
    assert errors["worst_median_error_listing_day"] < 0.05
    assert errors["share_of_day_errors_within_two_noise"] >= 0.9
    assert errors["worst_error_perp_1h_return"] < 0.10
    assert errors["worst_error_perp_24h_return"] < 0.25
