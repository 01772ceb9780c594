"""Walk forward: skill where there is some, none in noise, and nothing from after the question."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.conformal import conformal
from mexclab.research.similarity import SimilarityOptions
from mexclab.research.walk_forward import WalkForward, WalkForwardOptions, walk_forward
from mexclab.research.windows import Panel

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE
FEW = WalkForwardOptions(length=20, horizon=10, k=20, questions=60)


def panel_of(steps: np.ndarray) -> Panel:
    """Symbols whose log prices are the running sums of the rows of ``steps``."""
    times = START + np.arange(steps.shape[1]) * MINUTE
    return Panel.from_arrays(
        {f"{'ABCDEFGH'[i]}USDT": (times, np.exp(np.cumsum(row))) for i, row in enumerate(steps)}
    )


def noise(seed: int, symbols: int = 3, bars: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((symbols, bars)) * 1e-3


def waves(seed: int) -> np.ndarray:
    """Noise on a wave of forty bars: what comes next can be read off the window's shape."""
    phase = 2 * np.pi * np.arange(4000) / 40
    offsets = np.array([[0.0], [1.0], [2.0]])
    return noise(seed) * 0.5 + 1.2e-3 * np.sin(phase + offsets)


@pytest.fixture(scope="module")
def quiet() -> WalkForward:
    return walk_forward(panel_of(noise(1)), FEW)


def test_where_the_shape_tells_what_comes_next_skill_is_found() -> None:
    found = walk_forward(panel_of(waves(0)), FEW)
    row = found.skill.filter(score="crps").row(0, named=True)
    assert row["skill"] > 0.2
    assert 0.0 < row["low"] < row["skill"] < row["high"]
    assert found.verdict.startswith("skill found: over 60 questions")
    assert found.skill.filter(score="pinball")["low"][0] > 0


def test_in_noise_no_skill_is_found_and_few_matches_forecast_worse_than_the_base_rate(
    quiet: WalkForward,
) -> None:
    assert quiet.verdict.startswith("no skill found")
    row = quiet.skill.filter(score="crps").row(0, named=True)
    assert row["skill"] < 0.02
    assert any("endlessly many" in note for note in quiet.notes)


def test_noise_is_called_skill_about_once_in_forty() -> None:
    said = []
    for seed in range(16):
        options = WalkForwardOptions(length=12, horizon=5, k=15, questions=24, seed=seed, resamples=500)
        said.append(walk_forward(panel_of(noise(seed, 2, 800)), options).verdict.startswith("skill found"))
    assert sum(said) <= 2  # of 16 at 2.5 %: more happens with one list of seeds in 150


def test_each_row_is_what_really_came(quiet: WalkForward) -> None:
    panel = panel_of(noise(1))
    for row in quiet.table.head(10).to_dicts():
        at = (int(row["made"].timestamp()) * 10**9 - START) // MINUTE + 4000 * panel.symbols.index(
            row["symbol"]
        )
        close = panel.log_at(np.arange(at - 20, at + 10))
        assert row["actual"] == pytest.approx(close[-1] - close[19])
        assert row["scale"] == pytest.approx(np.sqrt(np.mean(np.diff(close[:20]) ** 2) * 10))
        assert row["known"] - row["made"] == pl.duration(minutes=10).pipe(pl.select).item()
        assert row["q05"] < row["q50"] < row["q95"]
        assert row["base_q05"] < row["base_q50"] < row["base_q95"]
        assert row["n_eff"] <= row["n"] <= 20


def test_questions_come_in_order_of_time_and_do_not_ask_about_the_warm_up(quiet: WalkForward) -> None:
    made = quiet.table["made"].dt.epoch("ns").to_numpy()
    assert (np.diff(made) > 0).all()
    assert made.min() >= START + int(0.3 * 4000) * MINUTE
    assert made.max() <= START + 3990 * MINUTE
    assert quiet.table["symbol"].n_unique() == 3


def test_no_forecast_changes_when_the_future_does() -> None:
    steps = noise(2)
    other = steps.copy()
    other[:, 3000:] *= 5.0
    options = WalkForwardOptions(length=20, horizon=10, k=20, questions=40, warm_up=0.5)
    one, two = (walk_forward(panel_of(each), options).table for each in (steps, other))
    before = one["known"].dt.epoch("ns").to_numpy() <= START + 3000 * MINUTE
    assert 10 < before.sum() < 40
    assert one.filter(before).equals(two.filter(before))


def test_its_bands_can_be_calibrated(quiet: WalkForward) -> None:
    for sample in ("matches", "base"):
        found = conformal(quiet.forecasts(sample))
        assert found.table.height == 30
        assert 0.7 <= found.coverage <= 1.0
    with pytest.raises(ParameterError, match="matches, base"):
        quiet.forecasts("both")
    assert set(quiet.coverage) == {"matches", "base"}


def test_the_seed_fixes_every_number(quiet: WalkForward) -> None:
    again = walk_forward(panel_of(noise(1)), FEW)
    assert again.table.equals(quiet.table)
    assert again.skill.equals(quiet.skill)


def test_progress_is_told_and_the_answer_can_be_read(quiet: WalkForward) -> None:
    seen: list[tuple[int, int]] = []
    options = WalkForwardOptions(length=12, horizon=5, k=5, questions=20)
    walk_forward(panel_of(noise(3, 2, 1000)), options, lambda done, total: seen.append((done, total)))
    assert seen == [(number + 1, 20) for number in range(20)]
    text = repr(quiet)
    assert "60 questions" in text
    assert quiet.verdict in text


def test_too_little_history_or_a_search_that_sees_the_future_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="20 are needed"):
        walk_forward(panel_of(noise(4, 1, 120)), WalkForwardOptions(length=40, horizon=20))
    with pytest.raises(ParameterError, match="point in time"):
        WalkForwardOptions(search=SimilarityOptions(point_in_time=False))
    with pytest.raises(NotEnoughData, match="Only 19"):
        walk_forward(panel_of(noise(4, 1, 400)), WalkForwardOptions(length=12, horizon=5, k=5, questions=19))
    with pytest.raises(ParameterError, match="questions from 1"):
        WalkForwardOptions(questions=0)
    with pytest.raises(ParameterError):
        WalkForwardOptions(length=5)
