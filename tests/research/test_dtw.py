"""Dynamic time warping: what it promises, and the comparison with its naive twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.dtw import (
    Warping,
    dtw_distance,
    nearest_windows,
    rerank,
    similar_batch_by_dtw,
    similar_by_dtw,
    warped_onto,
)
from mexclab.research.similarity import Matches, SimilarityOptions, similar
from mexclab.research.windows import Panel, z_normalised
from tests.naive import dtw_naive as naive

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE


def walk(rng: np.random.Generator, bars: int) -> np.ndarray:
    return np.exp(np.cumsum(rng.standard_normal(bars)) * 1e-3)


@pytest.fixture(scope="module")
def panel() -> Panel:
    rng = np.random.default_rng(3)
    times = START + np.arange(900) * MINUTE
    return Panel.from_arrays({name: (times, walk(rng, 900)) for name in ("AUSDT", "BUSDT", "CUSDT")})


def pool_of(panel: Panel, length: int, size: int) -> Matches:
    query = panel.window("AUSDT", length=length)
    return similar(panel, query, size, options=SimilarityOptions(exclusion=3))


@settings(max_examples=80)
@given(
    seed=st.integers(0, 10**6), length=st.integers(1, 45), band=st.sampled_from([0, 0.05, 0.1, 0.34, 0.9, 1])
)
def test_the_distance_is_the_one_of_the_definition(seed: int, length: int, band: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = np.cumsum(rng.standard_normal((2, length)), axis=1)
    radius = Warping(band=band).radius(length)
    assert dtw_distance(first, second, band) == pytest.approx(
        naive.distance(first.tolist(), second.tolist(), radius), abs=2e-10
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([10, 17, 40]),
    k=st.sampled_from([1, 4, 25, 80]),
    cap=st.sampled_from([None, 1, 2, 7]),
    band=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_the_order_is_the_one_of_brute_force_over_the_pool(
    panel: Panel, seed: int, length: int, k: int, cap: int | None, band: float
) -> None:
    pool = pool_of(panel, length, 60)
    kept = np.random.default_rng(seed).permutation(len(pool))[: 5 + seed % 56]
    pool = replace(pool, table=pool.table[kept], windows=pool.windows[kept], positions=pool.positions[kept])
    found = rerank(pool, k, band=band, per_symbol=cap)
    rule = (Warping(band=band).radius(length), cap)
    expected = naive.nearest(
        pool.windows.tolist(), pool.table["symbol"].to_list(), pool.query.normalised.tolist(), k, rule
    )
    assert (found.table["pool_rank"] - 1).to_list() == [place for _, place in expected]
    np.testing.assert_allclose(found.table["distance"], [value for value, _ in expected], rtol=0, atol=2e-10)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([1, 10, 60, 250]),
    cap=st.sampled_from([1, 3, 20, 250]),
    radius=st.sampled_from([0, 1, 4]),
)
def test_no_bound_costs_an_answer_where_many_windows_are_about_as_near(
    seed: int, k: int, cap: int, radius: int
) -> None:
    # One owner has nearly all the nearest, so a cap reaches far down the order of the bounds.
    rng = np.random.default_rng(seed)
    query = z_normalised(np.cumsum(rng.standard_normal(10)))
    size = rng.uniform(0.2, 1.5, 200)
    windows = z_normalised(query + size[:, None] * rng.standard_normal((200, 10)))
    owners = np.where(size < 0.9, 0, rng.integers(1, 6, 200))
    taken, best = nearest_windows(windows, query, radius, owners, (k, cap))
    expected = naive.nearest(windows.tolist(), owners.tolist(), query.tolist(), k, (radius, cap))
    assert taken.tolist() == [place for _, place in expected]
    np.testing.assert_allclose(best, [value for value, _ in expected], rtol=0, atol=2e-10)


def test_a_band_is_a_share_of_the_window_rounded_up() -> None:
    shares = {(0.0, 60): 0, (0.1, 60): 6, (0.1, 61): 7, (0.1, 15): 2, (0.05, 10): 1, (1.0, 10): 9}
    assert {(band, length): Warping(band=band).radius(length) for band, length in shares} == shares


def test_equal_distances_keep_the_order_of_the_pool(panel: Panel) -> None:
    pool = pool_of(panel, 20, 40)
    same = replace(pool, windows=np.repeat(pool.windows[:1], len(pool), axis=0))
    assert rerank(same, 7).table["pool_rank"].to_list() == [1, 2, 3, 4, 5, 6, 7]


def test_without_a_band_the_ranking_is_the_one_of_the_pool(panel: Panel) -> None:
    pool = pool_of(panel, 30, 50)
    found = rerank(pool, 50, band=0.0)
    assert found.positions.tolist() == pool.positions.tolist()
    np.testing.assert_allclose(found.table["distance"], pool.table["distance"], atol=1e-9)
    np.testing.assert_allclose(found.table["correlation"], pool.table["correlation"], atol=1e-9)


def test_the_distance_never_exceeds_the_euclidean_one_nor_falls_below_the_bound_of_keogh(
    panel: Panel,
) -> None:
    pool = pool_of(panel, 40, 80)
    query = pool.query.normalised.tolist()
    for row, window in zip(rerank(pool, 80).table.sort("pool_rank").to_dicts(), pool.windows, strict=True):
        assert row["distance"] <= row["euclidean"] + 1e-9
        assert row["distance"] >= naive.lower_bound(window.tolist(), query, 4) - 1e-9


def test_a_shape_that_comes_late_is_found_by_warping_and_missed_bar_by_bar() -> None:
    rng = np.random.default_rng(1)
    length, late, noise = 60, 5, 200
    bell = np.exp(-(((np.arange(length + late) - 25) / 4.0) ** 2))
    query, delayed = bell[late:], bell[:length]
    close = np.exp(0.01 * np.concatenate([delayed, np.cumsum(rng.standard_normal(noise)) * 0.3, query]))
    times = START + np.arange(len(close)) * MINUTE
    history = Panel.from_arrays({"AUSDT": (times, close * (1 + 1e-6 * rng.standard_normal(len(close))))})
    asked = history.window("AUSDT", length=length)
    options = SimilarityOptions(exclusion=1)
    straight = similar(history, asked, 300, options=options)
    bent = similar_by_dtw(history, asked, 1, options=options, warping=Warping(300))
    assert bent.positions[0] <= 3
    assert bent.table["distance"][0] < 0.1
    assert straight.table["distance"].min() > 2 * bent.table["distance"][0]


def test_the_cap_per_symbol_holds_for_the_answer_and_not_for_the_pool(panel: Panel) -> None:
    query = panel.window("AUSDT", length=20)
    options = SimilarityOptions(per_symbol=2)
    found = similar_by_dtw(panel, query, 6, horizon=30, options=options, warping=Warping(200))
    assert found.table["symbol"].value_counts()["count"].to_list() == [2, 2, 2]
    assert found.options.per_symbol == 2
    unbound = SimilarityOptions()
    pool = similar(panel, query, 200, horizon=30, options=unbound)
    assert found.table.equals(rerank(pool, 6, per_symbol=2).table)
    assert found.horizon == 30
    assert found.table["end"].dt.epoch("ns").max() + 30 * MINUTE <= query.start_ns


def test_a_pool_that_is_smaller_than_asked_for_is_no_fault_and_an_answer_that_is_says_so(
    panel: Panel,
) -> None:
    query = panel.window("AUSDT", length=200)
    found = similar_by_dtw(panel, query, 3)
    assert len(found) == 3
    assert not [note for note in found.notes if note.startswith("only")]
    assert "within 20 bars" in found.notes[0]
    few = similar_by_dtw(panel, query, 500)
    assert len(few) < 500
    assert f"only {len(few)} of the 500 asked for" in few.notes[0]


@pytest.mark.parametrize(
    ("k", "warping", "words"),
    [
        (0, {}, "at least 1"),
        (30, {"pool": 20}, "larger pool"),
        (5, {"pool": 0}, "pool must be at least 1"),
        (5, {"band": 1.5}, "from 0 to 1"),
        (5, {"band": -0.1}, "from 0 to 1"),
        (5, {"band": float("nan")}, "from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(panel: Panel, k: int, warping: dict[str, float], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        similar_by_dtw(panel, panel.window("AUSDT", length=20), k, warping=Warping(**warping))


def test_a_history_that_is_too_short_is_refused_as_without_warping(panel: Panel) -> None:
    query = panel.window("AUSDT", start_ns=START, length=20)
    with pytest.raises(NotEnoughData):
        similar_by_dtw(panel, query, 3)


@pytest.mark.parametrize("second", [np.ones(3), np.ones((2, 2)), np.array([1.0, np.nan, 2.0, 3.0])])
def test_series_that_cannot_be_compared_are_refused(second: np.ndarray) -> None:
    with pytest.raises(ParameterError):
        dtw_distance(np.ones(4), second)


def test_a_window_is_bent_onto_the_bars_of_the_query() -> None:
    bell = np.exp(-(((np.arange(65) - 25) / 4.0) ** 2))
    query, late = z_normalised(bell[5:]), z_normalised(bell[:60])
    bent = warped_onto(query, late)
    assert np.abs(query - late).max() > 1.0
    assert np.abs(query - bent).max() < 0.25
    np.testing.assert_array_equal(warped_onto(query, query), query)
    np.testing.assert_array_equal(warped_onto(query, late, band=0.0), late)


def test_several_queries_get_the_answers_that_each_gets_alone(panel: Panel) -> None:
    queries = [panel.window(symbol, length=25) for symbol in ("BUSDT", "AUSDT")]
    options, warping = SimilarityOptions(per_symbol=3), Warping(100)
    both = similar_batch_by_dtw(panel, queries, 5, horizon=9, options=options, warping=warping)
    for query, found in zip(queries, both, strict=True):
        alone = similar_by_dtw(panel, query, 5, horizon=9, options=options, warping=warping)
        assert found.query is query
        assert found.table.equals(alone.table)
