"""Alarms: a symbol that comes loose is named soon after; quiet markets and fat tails raise none."""

from __future__ import annotations

import numpy as np
import pytest

from mexclab.errors import ParameterError
from mexclab.research.correlation import Returns
from mexclab.research.correlation_breaks import breaks
from mexclab.research.correlation_watch import BreakOptions, BreakWatch, medians_of_others

MINUTE_NS = 60_000_000_000
OPTIONS = BreakOptions(recent=60, before=400)
NAMES = tuple(f"S{at}" for at in range(12))


def market(seed: int, rows: int = 2600, quiet: slice | None = None) -> np.ndarray:
    """A common factor, spells of volatility, fat tails; ``quiet``: the factor sleeps, all else goes on."""
    rng = np.random.default_rng(seed)
    level, spell = 0.0, np.empty(rows)
    for t, shock in enumerate(rng.standard_normal(rows)):
        level = 0.99 * level + 0.1 * shock
        spell[t] = np.exp(level)
    factor = spell * rng.standard_t(4, rows)
    if quiet is not None:
        factor[quiet] *= 0.05
    own = spell[:, None] * rng.standard_t(4, (rows, len(NAMES)))
    return 1e-3 * (factor[:, None] * rng.uniform(0.7, 1.5, len(NAMES)) + own)


def returns_of(values: np.ndarray) -> Returns:
    return Returns(NAMES, MINUTE_NS * np.arange(1, len(values) + 1), MINUTE_NS, values)


def test_a_symbol_that_comes_loose_is_named_within_the_recent_window_and_once() -> None:
    values = market(1)
    values[2000:2400, 4] = 1.3e-3 * np.random.default_rng(9).standard_t(4, 400)
    found = breaks(returns_of(values), OPTIONS)
    assert found["symbol"].to_list() == ["S4"]
    row = found.row(0, named=True)
    assert 2000 < row["ts"].timestamp() / 60 <= 2000 + OPTIONS.recent
    assert row["before"] > 0.4 > row["recent"]
    assert row["drop"] >= OPTIONS.drop
    assert row["peers"] == 11


def test_ties_that_hold_raise_hardly_an_alarm() -> None:
    days = 12 * (2600 - 460) / 1440
    alarms = sum(breaks(returns_of(market(50 + seed)), OPTIONS).height for seed in range(3))
    assert alarms / (3 * days) <= 0.03


def test_a_market_that_goes_quiet_is_no_break_of_every_symbol() -> None:
    found = breaks(returns_of(market(2, quiet=slice(2000, 2300))), OPTIONS)
    assert found.height <= 1


def test_an_alarm_knows_nothing_of_later_bars() -> None:
    values = market(1)
    values[2000:2400, 4] = 1.3e-3 * np.random.default_rng(9).standard_t(4, 400)
    found = breaks(returns_of(values), OPTIONS)
    end = int(found["ts"][0].timestamp() / 60)
    values[end:] = np.nan
    assert breaks(returns_of(values), OPTIONS).equals(found)
    assert not breaks(returns_of(values[: end - 1]), OPTIONS).height


def test_missing_bars_and_an_outage_of_everything_raise_nothing_and_break_nothing() -> None:
    values = market(3)
    values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    values[1000:1100] = np.nan
    values[1500:, 2] = np.nan  # delisted
    values[:1200, 3] = np.nan  # listed late
    values[2000:2400, 4] = 1.3e-3 * np.random.default_rng(9).standard_t(4, 400)
    found = breaks(returns_of(values), OPTIONS)
    assert found["symbol"].to_list() == ["S4"]


def test_a_halt_after_a_break_is_no_return_and_raises_no_second_alarm() -> None:
    values = market(1)
    values[2000:2400, 4] = 1.3e-3 * np.random.default_rng(9).standard_t(4, 400)
    alone = breaks(returns_of(values), OPTIONS)
    at = int(alone["ts"][0].timestamp() / 60)
    values[at + 2 : at + 42, 4] = np.nan
    assert breaks(returns_of(values), OPTIONS).equals(alone)


def test_the_only_symbol_that_is_tied_can_come_loose_and_does_so_once() -> None:
    rng = np.random.default_rng(6)
    factor = rng.standard_normal(1200)
    values = 1e-3 * (factor[:, None] + 2.0 * rng.standard_normal((1200, len(NAMES))))
    values[:, 4] = 1e-3 * factor
    values[800:, 4] = 1e-3 * rng.standard_normal(400)
    found = breaks(returns_of(values), BreakOptions(recent=60, before=400, tie=0.7))
    assert found["symbol"].to_list() == ["S4"]


def test_a_fall_is_held_against_the_median_of_the_other_falls() -> None:
    rng = np.random.default_rng(7)
    for count in range(9):
        falls = rng.integers(-3, 9, count).astype(float)
        expected = [float(np.median(np.delete(falls, at))) if count > 1 else 0.0 for at in range(count)]
        np.testing.assert_array_equal(medians_of_others(falls), expected)


def test_too_few_symbols_other_rows_and_windows_upside_down_are_refused() -> None:
    with pytest.raises(ParameterError, match="5 symbols or more, not 2"):
        BreakWatch(("A", "B"))
    watch = BreakWatch(NAMES, OPTIONS)
    with pytest.raises(ParameterError, match="one return for each of 12"):
        watch.see(0, np.zeros(5))
    with pytest.raises(ParameterError, match="no more than those before"):
        BreakOptions(recent=100, before=50)
    with pytest.raises(ParameterError, match="drop and clip are positive"):
        BreakOptions(drop=0.0)
    assert not breaks(returns_of(market(1)[:100]), OPTIONS).height
