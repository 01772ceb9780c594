"""Correlation: the same as by the book through gaps, jumps and flats; rolling, shrunk, grouped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.correlation import Returns, aligned_returns, correlate, correlation_matrix
from mexclab.research.correlation_clusters import clusters, factors
from mexclab.research.correlation_rolling import (
    RollingCorrelation,
    rolling,
    rolling_average,
    rolling_pair,
)
from mexclab.research.shrinkage import shrunk
from mexclab.research.windows import Panel
from tests.naive import correlation_naive as naive

MINUTE_NS = 60_000_000_000


def returns_of(values: np.ndarray) -> Returns:
    times = MINUTE_NS * np.arange(1, len(values) + 1)
    return Returns(tuple(f"S{at:02}" for at in range(values.shape[1])), times, MINUTE_NS, values)


def rough(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Fat tails and a common factor; gaps here and there; a late listing, a delisting, a flat one, a jump."""
    values = 1e-3 * (rng.standard_t(3, (rows, 1)) + rng.standard_t(2, (rows, columns)))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[: rows // 2, 0] = np.nan
    values[rows // 3 :, 1] = np.nan
    values[:, 2] = 0.0
    values[rows // 4, 3] = 2.5
    return values


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(20, 90))
def test_each_pair_is_correlated_over_the_bars_that_both_have(seed: int, rows: int) -> None:
    values = rough(np.random.default_rng(seed), rows, 7)
    expected = naive.matrix(values, 12)
    np.testing.assert_allclose(correlation_matrix(values, 12, np.float64), expected, atol=1e-9)
    np.testing.assert_allclose(correlation_matrix(values, 12), expected, atol=2e-5)


def test_without_gaps_single_precision_is_off_by_less_than_a_millionth() -> None:
    values = np.random.default_rng(1).standard_t(4, (700, 60)) * 1e-3
    found = correlation_matrix(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.corrcoef(values, rowvar=False), atol=1e-6)
    assert (np.diag(found) == 1).all()
    assert (found == found.T).all()


def test_what_never_moved_or_is_known_too_seldom_is_unknown_and_said_so() -> None:
    values = np.random.default_rng(2).normal(0, 1e-3, (100, 4))
    values[:, 1] = 0.0
    values[50:, 2] = np.nan
    found = correlate(returns_of(values), least=60)
    assert np.isnan(found.matrix[1]).all()
    assert np.isnan(found.matrix[2]).all()
    assert np.isfinite(found.between("S00", "S03"))
    assert found.table.height == 1
    assert found.notes == ("5 pairs are not known: too few shared bars, or no movement",)


def test_a_symbol_that_moved_only_where_the_other_has_no_bars_is_unknown_to_it() -> None:
    values = np.random.default_rng(3).normal(0, 1e-3, (200, 3))
    values[100:, 0] = np.nan
    values[:100, 1] = 0.0
    found = correlate(returns_of(values))
    assert np.isnan(found.between("S00", "S01"))
    assert np.isfinite(found.between("S01", "S02"))


@pytest.mark.parametrize("window", [30, 50])
def test_the_rolling_matrix_is_that_of_its_window_at_every_step(window: int) -> None:
    values = rough(np.random.default_rng(window), 140, 6)
    values[70:130, 4] = 0.0  # flat for longer than a window: nothing of what went may be left
    held = RollingCorrelation(tuple("ABCDEF"), window, least=10)
    for end, row in enumerate(values, start=1):
        held.add(row)
        if held.rows >= 10:
            expected = naive.matrix(values[max(0, end - window) : end], 10)
            np.testing.assert_allclose(held.matrix(), expected, atol=1e-9, err_msg=f"after {end} rows")
    assert 0 <= held.drift < 1e-9


def test_many_rows_at_once_and_one_by_one_come_to_the_same() -> None:
    values = rough(np.random.default_rng(5), 120, 5)
    one, many = (RollingCorrelation(tuple("ABCDE"), 40, least=10) for _ in range(2))
    for row in values:
        one.add(row)
    for part in np.split(values, [3, 33, 34, 90]):
        many.extend(part)
    np.testing.assert_allclose(many.matrix(), one.matrix(), atol=1e-9)
    np.testing.assert_array_equal(many.returns(), values[-40:])
    for row in values[:25]:
        one.add(row)
        many.add(row)
    np.testing.assert_allclose(many.matrix(), one.matrix(), atol=1e-9)


def test_sums_are_made_anew_after_each_window_and_their_drift_is_told() -> None:
    values = np.random.default_rng(6).normal(0, 1e-3, (64, 3))
    values[2] = [300.0, -200.0, 100.0]  # no market; but what it leaves behind in a sum can be seen
    held = RollingCorrelation(tuple("ABC"), 20, least=10)
    for row in values[:39]:
        held.add(row)
    wandered = np.abs(held.matrix() - naive.matrix(values[19:39], 10)).max()
    assert 1e-12 < wandered < 1e-4
    held.add(values[39])
    assert np.abs(held.matrix() - naive.matrix(values[20:40], 10)).max() < 1e-12
    assert 1e-12 < held.drift < 1e-4


def test_each_window_of_a_history_knows_only_its_past() -> None:
    values = np.random.default_rng(7).normal(0, 1e-3, (150, 4))
    found = list(rolling(returns_of(values), 70, every=40))
    assert [each.ends_ns // MINUTE_NS for each in found] == [70, 110, 150]
    assert {each.rows for each in found} == {70}
    np.testing.assert_allclose(found[1].matrix, naive.matrix(values[40:110], 60), atol=1e-9)
    frame = rolling_average(returns_of(values), 70, every=40)
    np.testing.assert_allclose(frame["average"], [each.average for each in found])
    pair = rolling_pair(returns_of(values), "S03", "S01", 70)
    assert pair.height == 81
    assert pair["correlation"][40] == pytest.approx(naive.matrix(values[40:110], 60)[1, 3])


def test_returns_are_aligned_on_one_grid_and_gaps_stay_gaps() -> None:
    times = MINUTE_NS * np.arange(100, 112)
    logs = np.arange(12.0) ** 2
    held = np.array([0, 1, 2, 3, 6, 7, 8, 9, 10, 11])
    panel = Panel.from_arrays(
        {"AUSDT": (times[held], np.exp(logs[held] / 100)), "BUSDT": (times[4:], np.exp(logs[4:] / 50))},
        MINUTE_NS,
    )
    found = aligned_returns(panel)
    step = np.diff(logs)
    expected = np.where(np.isin(np.arange(11), [3, 4, 5]), np.nan, step / 100)
    np.testing.assert_allclose(found.values[:, 0], expected)
    np.testing.assert_allclose(found.values[:, 1], np.where(np.arange(11) < 4, np.nan, step / 50))
    assert found.times_ns[0] == times[1] + MINUTE_NS  # complete when its second bar closes
    three = aligned_returns(panel, every=3)
    np.testing.assert_allclose(three.values[:, 0] * 100, [np.nan, np.nan, logs[11] - logs[8]])
    np.testing.assert_array_equal(three.times_ns, times[[5, 8, 11]] + MINUTE_NS)
    part = aligned_returns(panel, int(times[6]), int(times[9]))
    np.testing.assert_allclose(part.values[:, 0], step[6:8] / 100)


def test_a_range_without_two_bars_and_a_step_below_one_are_refused() -> None:
    panel = Panel.from_arrays({"AUSDT": (MINUTE_NS * np.arange(20), np.full(20, 2.0))}, MINUTE_NS)
    with pytest.raises(NotEnoughData, match="need 2 bars"):
        aligned_returns(panel, 0, MINUTE_NS)
    with pytest.raises(ParameterError, match="1 bar or more"):
        aligned_returns(panel, every=0)
    with pytest.raises(ParameterError, match="ends before it starts"):
        aligned_returns(panel, 9 * MINUTE_NS, 3 * MINUTE_NS)


def test_rows_of_another_shape_infinite_returns_and_windows_too_short_are_refused() -> None:
    held = RollingCorrelation(("A", "B"), 20, least=5)
    with pytest.raises(ParameterError, match="one return for each of 2"):
        held.add(np.zeros(3))
    with pytest.raises(ParameterError, match="B: an infinite return"):
        held.add(np.array([0.0, np.inf]))
    with pytest.raises(NotEnoughData, match="0 came so far"):
        held.matrix()
    with pytest.raises(ParameterError, match="must hold the 60"):
        RollingCorrelation(("A", "B"), 20)
    with pytest.raises(ParameterError, match="named once"):
        RollingCorrelation(("A", "A"), 20, least=5)
    with pytest.raises(NotEnoughData, match="A window of 9"):
        list(rolling(returns_of(np.zeros((5, 2))), 9, least=4))


def test_shrinking_is_that_of_ledoit_and_wolf_on_standardised_returns() -> None:
    values = np.random.default_rng(8).normal(0, 1e-3, (80, 30)) * np.linspace(0.1, 9, 30)
    found = shrunk(returns_of(values))
    expected, amount = ledoit_wolf((values - values.mean(axis=0)) / values.std(axis=0), assume_centered=True)
    assert found.shrinkage == pytest.approx(amount)
    assert amount > 0.5
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    assert np.linalg.eigvalsh(found.matrix)[0] > np.linalg.eigvalsh(correlate(returns_of(values)).matrix)[0]


def test_clusters_are_what_was_planted_the_largest_first() -> None:
    rng = np.random.default_rng(9)
    groups = np.array([1, 0, 2, 1, 0, 1, 0, 1, 3])
    common = rng.normal(0, 1, (500, 4))
    values = common[:, groups] + 0.5 * rng.normal(0, 1, (500, 9))
    values[:, 2] = 0.0  # never moves: known to nobody, alone
    found = clusters(correlate(returns_of(values)), bound=0.5)
    assert found.members(1) == tuple(s for s in found.members(1) if s in {"S00", "S03", "S05", "S07"})
    assert set(found.members(2)) == {"S01", "S04", "S06"}
    assert found.count == 4
    assert sorted(found.order.tolist()) == list(range(9))
    inside = found.table.filter(cluster=1)["inside"]
    assert inside.min() > 0.7
    assert found.table.filter(symbol="S08")["inside"].to_list() == [None]
    with pytest.raises(ParameterError, match="no cluster 9"):
        found.members(9)
    with pytest.raises(ParameterError, match="above -1"):
        clusters(correlate(returns_of(values)), bound=1.0)


def test_a_cluster_is_named_by_its_core_and_the_rest_is_counted() -> None:
    rng = np.random.default_rng(11)
    noise = np.linspace(1.2, 0.2, 12)  # the last symbols are the core, the first its fringe
    values = rng.normal(0, 1, (2000, 1)) + noise * rng.normal(0, 1, (2000, 12))
    found = clusters(correlate(returns_of(values)), bound=0.2)
    line = repr(found).splitlines()[1]
    assert line.startswith("  1. S11, S10, ")
    assert line.endswith(" and 4 more")
    assert not {"S00", "S01", "S02"} & set(line.replace(",", "").split())


def test_noise_has_no_movement_above_its_edge_and_a_market_has_one() -> None:
    rng = np.random.default_rng(10)
    noise = rng.normal(0, 1, (2000, 40))
    quiet = factors(correlate(returns_of(noise)))
    assert quiet.above == 0
    assert quiet.effective > 38
    market = factors(correlate(returns_of(noise + rng.normal(0, 1, (2000, 1)))))
    assert market.above == 1
    assert market.first_share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rolled", [False, True])
def test_noise_full_of_gaps_has_no_movement_above_its_edge(rolled: bool) -> None:
    rng = np.random.default_rng(11)
    values = rng.normal(0, 1e-3, (1000, 60))
    values[rng.random(values.shape) < 0.7] = np.nan
    returns = returns_of(np.column_stack([values, np.full((1000, 20), np.nan)]))  # the last 20 never traded
    found = next(rolling(returns, 1000, least=20)) if rolled else correlate(returns, least=20)
    shared = np.isfinite(values).astype(float).T @ np.isfinite(values)
    assert found.common == pytest.approx(shared[np.triu_indices(60, k=1)].mean())
    quiet = factors(found)
    assert quiet.eigenvalues[0] > 2.2  # beyond the 1.55 that all 1,000 rows would allow
    assert quiet.above == 0


def test_a_shrunk_matrix_is_held_against_a_shrunk_edge() -> None:
    values = np.random.default_rng(12).normal(0, 1, (300, 60))
    values[:, :6] += 0.45 * np.random.default_rng(13).normal(0, 1, (300, 1))
    drawn = shrunk(returns_of(values))
    assert 0.2 < drawn.shrinkage < 0.99
    plain, small = factors(correlate(returns_of(values))), factors(drawn)
    assert small.above == plain.above == 1
    assert small.edge - 1 == pytest.approx((1 - drawn.shrinkage) * (plain.edge - 1))


def test_the_last_none_of_returns_are_none_and_fewer_are_refused() -> None:
    returns = returns_of(np.arange(10.0).reshape(5, 2))
    assert [len(returns.tail(count)) for count in (0, 2, 5, 9)] == [0, 2, 5, 5]
    np.testing.assert_array_equal(returns.tail(2).values, returns.values[3:])
    with pytest.raises(ParameterError, match="0 or more, not -1"):
        returns.tail(-1)


def test_more_returns_than_memory_holds_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mexclab.research.correlation.MOST", 100)
    times = MINUTE_NS * np.arange(60)
    panel = Panel.from_arrays({name: (times, np.ones(60)) for name in ("AUSDT", "BUSDT")}, MINUTE_NS)
    with pytest.raises(ParameterError, match="give a start"):
        aligned_returns(panel)
    assert len(aligned_returns(panel, every=2)) == 29
    assert len(aligned_returns(panel, int(times[20]))) == 39
