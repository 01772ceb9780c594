"""Similarity search: what it promises, and the comparison with its naive twin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mexclab
from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import nearest
from mexclab.research.scan import ActivityFloor
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel, Query
from tests.naive import similarity_naive as naive

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE
SHARED = Path(__file__).resolve().parents[2].parent / "shared"
BARS = SHARED / "data" / "mexc_spot_1m"


def walk(rng: np.random.Generator, bars: int, *, level: float = 1.0, size: float = 1e-3) -> np.ndarray:
    return level * np.exp(np.cumsum(rng.standard_normal(bars)) * size)


def rough(rng: np.random.Generator, bars: int) -> np.ndarray:
    """Prices with everything that hurts: level, ticks, flats, jumps of up to 1000x, bursts."""
    close = walk(rng, bars, level=10.0 ** rng.integers(-9, 5), size=10.0 ** rng.uniform(-4.5, -1.5))
    if rng.random() < 0.5:
        close *= np.where(np.arange(bars) > rng.integers(bars), 10.0 ** rng.uniform(-3, 3), 1.0)
    if rng.random() < 0.4:
        calm = rng.integers(bars)
        close[calm : calm + rng.integers(5, 120)] = close[calm]
    if rng.random() < 0.4:
        tick = np.median(close) * 10.0 ** rng.uniform(-5, -3)
        close = np.maximum(np.round(close / tick), 1.0) * tick
    return close


def rough_series(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One to four symbols of different length and start, some with gaps."""
    rng = np.random.default_rng(seed)
    series = {}
    for index in range(rng.integers(1, 5)):
        bars = int(rng.integers(60, 700))
        times = START + (int(rng.integers(0, 200)) + np.arange(bars)) * MINUTE
        close = rough(rng, bars)
        if rng.random() < 0.5:
            kept = rng.random(bars) > 0.004
            kept[-45:] = True
            times, close = times[kept], close[kept]
        series[f"{'ZYXW'[index]}USDT"] = (times, close)
    return series


def same_answer(
    series: dict[str, tuple[np.ndarray, np.ndarray]], query: Query, k: int, rules: naive.Rules
) -> None:
    panel = Panel.from_arrays(series, MINUTE)
    options = SimilarityOptions(
        exclusion=rules.exclusion,
        per_symbol=rules.per_symbol,
        point_in_time=rules.point_in_time,
        embargo=rules.embargo,
        activity=ActivityFloor(rules.min_moves, rules.max_jump_share),
    )
    asked = (query.symbol, query.start_ns, query.values)
    if naive.activity(query.values, rules) != "active":
        with pytest.raises(ParameterError, match="no shape"):
            similar(panel, query, k, horizon=rules.horizon, options=options)
        return
    found, counts = naive.candidates(series, asked, rules)
    expected = naive.nearest(found, k, rules)
    try:
        matches = similar(panel, query, k, horizon=rules.horizon, options=options)
    except NotEnoughData:
        assert not found
        assert not counts["flat"]
        assert not counts["one jump"]
        return
    rows = matches.table.with_columns(pl.col("start").dt.epoch("ns"))
    got = list(zip(rows["symbol"], rows["start"], strict=True))
    assert got == [(symbol, opened) for _, symbol, opened in expected]
    np.testing.assert_allclose(rows["distance"], [distance for distance, _, _ in expected], rtol=0, atol=1e-9)
    assert matches.scanned == len(found)
    assert matches.excluded["flat"] == counts["flat"]
    assert matches.excluded["one jump"] == counts["one jump"]
    assert sum(matches.excluded.values()) == sum(counts.values())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([10, 13, 40]),
    k=st.sampled_from([1, 3, 25]),
    past=st.booleans(),
    zone=st.sampled_from([0, 1, 7, 60]),
    cap=st.sampled_from([None, 1, 2]),
)
def test_the_answer_is_the_one_of_brute_force(
    seed: int, length: int, k: int, past: bool, zone: int, cap: int | None
) -> None:
    series = rough_series(seed)
    panel = Panel.from_arrays(series, MINUTE)
    query = panel.window(panel.symbols[seed % len(panel.symbols)], length=length)
    rules = naive.Rules(MINUTE, zone, cap, past, horizon=seed % 20, embargo=seed % 3)
    same_answer(series, query, k, rules)


def test_the_answer_is_the_one_of_brute_force_over_many_rounds_of_refinement() -> None:
    # Few blocks in the first round, wide zones and a cap: the search must come back for more.
    rng = np.random.default_rng(11)
    times = START + np.arange(4000) * MINUTE
    series = {name: (times, walk(rng, 4000)) for name in ("AUSDT", "BUSDT")}
    query = Query(walk(rng, 30), "QUSDT", int(times[-1]) + MINUTE, MINUTE)
    before = nearest.FIRST_BLOCKS
    try:
        nearest.FIRST_BLOCKS = 1
        same_answer(series, query, 12, naive.Rules(MINUTE, 200))
        same_answer(series, query, 12, naive.Rules(MINUTE, 5, per_symbol=2))
        same_answer(series, query, 4000, naive.Rules(MINUTE, 3))
    finally:
        nearest.FIRST_BLOCKS = before


def test_a_jump_of_a_thousand_times_beside_a_quiet_market_costs_no_accuracy() -> None:
    rng = np.random.default_rng(5)
    times = START + np.arange(3000) * MINUTE
    close = walk(rng, 3000, level=1e-9, size=1e-6)
    close[1500:] *= 1000.0
    query = Query(walk(rng, 60, size=1e-6), "QUSDT", int(times[-1]) + MINUTE, MINUTE)
    same_answer({"AUSDT": (times, close)}, query, 20, naive.Rules(MINUTE, 30))


def test_a_planted_copy_is_found_at_distance_zero() -> None:
    rng = np.random.default_rng(1)
    close = walk(rng, 5000)
    close[1000:1060] = 3.0 * close[4900:4960]  # the same shape at another level
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(5000) * MINUTE, close)})
    query = panel.window("AUSDT", start_ns=START + 4900 * MINUTE, length=60)
    best = similar(panel, query, 1).table.row(0, named=True)
    assert best["start"].timestamp() == (START + 1000 * MINUTE) / 1e9
    assert best["distance"] < 1e-9
    assert best["correlation"] == pytest.approx(1.0)


def test_distance_and_correlation_agree_with_pearson() -> None:
    panel = Panel.from_arrays(rough_series(3), MINUTE)
    query = panel.window(panel.symbols[0], length=40)
    matches = similar(panel, query, 5)
    for window, row in zip(matches.windows, matches.table.to_dicts(), strict=True):
        r = np.corrcoef(window, query.normalised)[0, 1]
        assert row["correlation"] == pytest.approx(r, abs=1e-9)
        assert row["distance"] == pytest.approx(np.sqrt(2 * 40 * (1 - r)), abs=1e-6)


@pytest.mark.parametrize("horizon", [0, 30])
def test_nothing_after_the_query_can_change_the_answer(horizon: int) -> None:
    rng = np.random.default_rng(2)
    times = START + np.arange(2000) * MINUTE
    past = {name: (times, walk(rng, 2000)) for name in ("AUSDT", "BUSDT")}
    cut = 1200
    future = {
        name: (times, np.concatenate([close[: cut - horizon], walk(rng, 2000 - cut + horizon)]))
        for name, (_, close) in past.items()
    }
    query = Query(walk(rng, 40), "AUSDT", START + cut * MINUTE, MINUTE)
    one, other = (similar(Panel.from_arrays(s), query, 8, horizon=horizon) for s in (past, future))
    assert one.table.equals(other.table)
    last = one.table["end"].dt.epoch("ns").max()
    assert last + horizon * MINUTE <= query.start_ns


def test_the_embargo_keeps_its_distance() -> None:
    rng = np.random.default_rng(2)
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(300) * MINUTE, walk(rng, 300))})
    query = panel.window("AUSDT", length=20)
    options = SimilarityOptions(embargo=50, exclusion=1)
    matches = similar(panel, query, 1000, horizon=10, options=options)
    assert matches.table["end"].dt.epoch("ns").max() == query.start_ns - 60 * MINUTE


def test_without_point_in_time_the_query_itself_is_barred_and_the_reader_is_told() -> None:
    rng = np.random.default_rng(2)
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(400) * MINUTE, walk(rng, 400))})
    query = panel.window("AUSDT", start_ns=START + 200 * MINUTE, length=20)
    matches = similar(panel, query, 500, options=SimilarityOptions(exclusion=0, point_in_time=False))
    starts = (matches.table["start"].dt.epoch("ns").to_numpy() - START) // MINUTE
    assert set(starts) == set(range(181)) | set(range(220, 381))
    assert matches.excluded["overlapping the query"] == 39
    assert any("not point in time" in note for note in matches.notes)


def test_two_matches_of_one_symbol_keep_half_a_window_apart_by_default() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(3000) * MINUTE, walk(np.random.default_rng(4), 3000))}
    )
    starts = similar(panel, panel.window("AUSDT", length=60), 30).table["start"].dt.epoch("ns").sort()
    assert starts.diff().min() >= 30 * MINUTE


def test_equal_distances_go_by_symbol_and_then_by_time() -> None:
    cycle = np.exp(0.01 * np.sin(np.arange(50) * 2 * np.pi / 50))
    close = np.tile(cycle, 12)
    times = START + np.arange(len(close)) * MINUTE
    panel = Panel.from_arrays({"BUSDT": (times, close), "AUSDT": (times, close)})
    query = panel.window("BUSDT", length=50)
    table = similar(panel, query, 4, options=SimilarityOptions(exclusion=50)).table
    assert table["symbol"].to_list() == ["AUSDT"] * 4
    assert ((table["start"].dt.epoch("ns") - START) // MINUTE).to_list() == [0, 50, 100, 150]


def test_threads_do_not_change_the_answer() -> None:
    panel = Panel.from_arrays(rough_series(8) | rough_series(9), MINUTE)
    query = panel.window(panel.symbols[0], length=30)
    one, two = (similar(panel, query, 9, options=SimilarityOptions(threads=n)) for n in (1, 2))
    assert one.table.equals(two.table)
    assert (one.scanned, one.excluded) == (two.scanned, two.excluded)


def test_flat_and_one_jump_windows_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(0)
    close = np.concatenate([np.full(100, 2.0), np.full(100, 3.0), walk(rng, 400)])
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(600) * MINUTE, close)})
    floor = ActivityFloor(min_moves=0.0)
    matches = similar(panel, panel.window("AUSDT", length=20), 5, options=SimilarityOptions(activity=floor))
    # 81 windows inside each flat stretch; 19 with the jump between them; 19 or fewer with the jump out.
    assert matches.excluded["flat"] == 81 + 81
    assert 19 <= matches.excluded["one jump"] <= 38
    assert sum(matches.excluded.values()) + matches.scanned == 581


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.full(30, 2.0), "flat"),
        (np.where(np.arange(30) < 15, 1.0, 1.5) * (1 + 1e-6 * np.arange(30)), "jump"),
    ],
)
def test_a_query_without_a_shape_is_refused_in_words(values: np.ndarray, word: str) -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(300) * MINUTE, walk(np.random.default_rng(0), 300))}
    )
    with pytest.raises(ParameterError, match=word):
        similar(panel, Query(values, "QUSDT", START + 300 * MINUTE, MINUTE))


def test_fewer_matches_than_asked_for_are_returned_with_a_note() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(200) * MINUTE, walk(np.random.default_rng(0), 200))}
    )
    matches = similar(panel, panel.window("AUSDT", length=20), 50)
    assert 0 < len(matches) < 50
    assert any("of the 50 asked for" in note for note in matches.notes)


def test_a_history_of_flat_windows_only_gives_an_empty_answer_that_says_so() -> None:
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(200) * MINUTE, np.full(200, 5.0))})
    query = Query(walk(np.random.default_rng(0), 20), "QUSDT", START + 200 * MINUTE, MINUTE)
    matches = similar(panel, query)
    assert len(matches) == 0
    assert matches.windows.shape == (0, 20)
    assert matches.excluded["flat"] == 181
    assert "only 0 of the 10" in repr(matches)


def test_a_query_longer_than_its_history_is_not_enough_data() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(100) * MINUTE, walk(np.random.default_rng(0), 100))}
    )
    with pytest.raises(NotEnoughData, match="60 bars"):
        similar(panel, panel.window("AUSDT", length=60))
    with pytest.raises(NotEnoughData, match="no 101 unbroken bars"):
        panel.window("AUSDT", length=101)


def test_the_longest_window_is_searched_exactly() -> None:
    rng = np.random.default_rng(6)
    times = START + np.arange(4300) * MINUTE
    series = {"AUSDT": (times, walk(rng, 4300))}
    query = Panel.from_arrays(series).window("AUSDT", length=2000)
    same_answer(series, query, 3, naive.Rules(MINUTE, 40))


def test_a_query_of_another_bar_length_is_refused() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(300) * MINUTE, walk(np.random.default_rng(0), 300))}
    )
    query = Query(walk(np.random.default_rng(1), 20), "AUSDT", START + 300 * MINUTE, 5 * MINUTE)
    with pytest.raises(ParameterError, match=r"bars of 5m, the panel of 1m"):
        similar(panel, query)


def test_the_answer_reads_as_a_sentence() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(3000) * MINUTE, walk(np.random.default_rng(0), 3000))}
    )
    text = repr(similar(panel, panel.window("AUSDT", length=60), 12))
    assert text.startswith("12 windows most like AUSDT 20")
    assert "and 2 more in .table" in text
    assert "compared with 2,881 windows; left out: 60 not wholly known before the query" in text


def test_the_kernels_compile_where_no_cache_folder_can_be_written(tmp_path: Path) -> None:
    # A file where a folder must be made stops every user, root too.
    copy = tmp_path / "mexclab"
    source = Path(next(iter(mexclab.__path__)))
    (copy / "research").mkdir(parents=True)
    shutil.copy(source / "errors.py", copy)
    for file in (source / "research").glob("*.py"):
        shutil.copy(file, copy / "research")
    (copy / "__init__.py").touch()
    (copy / "research" / "__pycache__").touch()
    (tmp_path / "home").touch()
    code = "import numpy as np; from mexclab.research.scan import activity_at; "
    code += "assert activity_at(np.zeros(10), 0, 10, 1, 0.8) == 1"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not BARS.is_dir(), reason="the recorded one-minute bars are not here")
def test_recorded_bars_give_the_answer_of_brute_force() -> None:
    bars = pl.scan_parquet(BARS / "*.parquet").filter(
        pl.col("symbol").is_in(["DOGEUSDT", "GIGAUSDT", "WINUSDT", "BSBUSDT"])
    )
    ts = pl.from_epoch("ts", time_unit="s").dt.replace_time_zone("UTC")
    late = datetime(2026, 6, 10, 12, tzinfo=UTC)
    part = bars.with_columns(ts).filter(pl.col("ts") >= late).collect()
    panel = Panel.from_frame(part)
    series = {
        str(key[0]): (rows["ts"].dt.epoch("ns").to_numpy(), rows["close"].to_numpy())
        for key, rows in part.partition_by("symbol", as_dict=True).items()
    }
    for symbol in ("DOGEUSDT", "WINUSDT"):
        same_answer(series, panel.window(symbol, length=60), 10, naive.Rules(MINUTE, 30, horizon=60))
