"""Similarity through the lab: warping, channels, several windows at once, and how it says no."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mexclab import Lab, Settings
from mexclab.domain.clock import utc
from mexclab.errors import DataError, MexclabError, NotEnoughData, ParameterError
from mexclab.notebook.plots_similarity import figure_channels, figure_matches, figure_warping
from mexclab.research.dtw import Warping, similar_by_dtw
from mexclab.research.similarity import Matches, SimilarityOptions
from mexclab.research.windows import Query
from mexclab.sample import sample_bars
from mexclab.store.lake import Lake

NOON = "2026-06-04 12:00"
WEIGHTS = {"close": 2.0, "volume": 1.0, "range": 1.0}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(Settings(data=tmp_path_factory.mktemp("data")))


def own_lab(folder: Path, bars: pl.DataFrame) -> Lab:
    """A lab whose lake holds these bars."""
    Lake(folder / "lake").write(bars)
    return Lab(Settings(data=folder))


def rows(matches: Matches) -> list[dict[str, Any]]:
    return matches.table.to_dicts()


# -- warping ---------------------------------------------------------------------------------------


def test_rerank_by_dtw_is_the_search_of_research_with_the_same_rules(lab: Lab) -> None:
    found = lab.similar("SIM01USDT", NOON, k=5, horizon=60, per_symbol=2, rerank="dtw", pool=300, band=0.2)
    expected = similar_by_dtw(
        lab.panel(),
        lab.window("SIM01USDT", NOON),
        5,
        horizon=60,
        options=SimilarityOptions(per_symbol=2),
        warping=Warping(300, 0.2),
    )
    assert rows(found) == rows(expected)
    assert found.notes == expected.notes
    assert "DTW of closes within 12 bars among the 300" in found.notes[0]


def test_outcomes_of_warped_matches_are_those_of_their_windows(lab: Lab) -> None:
    warped = lab.similar("SIM01USDT", NOON, k=8, horizon=60, rerank="dtw", pool=100)
    told = lab.outcomes(warped, (60,))
    assert told.table["n"][0] == 8
    assert told.verdict


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rerank": "soft"}, "rerank is 'dtw' or None"),
        ({"pool": 50}, "pool belongs? to rerank='dtw'"),
        ({"band": 0.2, "pool": 50}, "belong to rerank='dtw'"),
        ({"rerank": "dtw", "pool": 3}, "ask for a larger pool"),
        ({"rerank": "dtw", "band": 2.0}, "band is a share"),
        ({"exclusion": -1}, "exclusion is a whole number from 0"),
        ({"k": 2.5}, "k is a whole number, not 2.5"),
        ({"length": "60"}, "length is a whole number"),
        ({"horizon": 1.5}, "horizon is a whole number"),
        ({"exclusion": float("nan")}, "exclusion is a whole number"),
        ({"rerank": "dtw", "pool": 100.0}, "pool is a whole number"),
        ({"channels": ["volume"]}, "a weight for each name"),
        ({"channels": {"volume": "1"}}, "a weight for each name"),
        ({"channels": {"spread": 1.0}}, "spread"),
        ({"channels": {"close": -1.0}}, "close"),
        ({"channels": {"close": 0.0, "volume": 0.0}}, "weight"),
        ({"channels": {"close": float("nan")}}, "close"),
    ],
)
def test_a_keyword_that_does_not_fit_is_refused(lab: Lab, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        lab.similar("SIM01USDT", NOON, **options)


def test_a_keyword_that_does_not_exist_is_refused(lab: Lab) -> None:
    with pytest.raises(ParameterError, match="per_simbol: no such option; there are exclusion, per_symbol"):
        lab.similar("SIM01USDT", NOON, per_simbol=2)  # type: ignore[call-arg]


# -- channels --------------------------------------------------------------------------------------


def z(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def shapes(bars: pl.DataFrame, symbol: str, start: Any, length: int) -> dict[str, np.ndarray]:
    """The channels of a window straight from the bars, each normalised by its definition."""
    window = bars.filter((pl.col("symbol") == symbol) & (pl.col("ts") >= start)).head(length)
    volume, high, low = (window[name].to_numpy() for name in ("volume", "high", "low"))
    return {
        "close": z(np.log(window["close"].to_numpy())),
        "volume": z(np.log1p(volume)),
        "range": z(np.log(high / low)),
    }


def test_with_channels_the_distance_is_the_weighted_one_of_the_definition(lab: Lab) -> None:
    found = lab.similar("SIM01USDT", NOON, length=40, k=6, horizon=30, channels=WEIGHTS)
    bars, total = sample_bars(), sum(WEIGHTS.values())
    query = shapes(bars, "SIM01USDT", utc(found.query.start_ns), 40)
    assert len(found) == 6
    for row in found.table.to_dicts():
        window = shapes(bars, row["symbol"], row["start"], 40)
        squares = {name: ((window[name] - query[name]) ** 2).sum() for name in WEIGHTS}
        expected = np.sqrt(sum(weight / total * squares[name] for name, weight in WEIGHTS.items()))
        assert row["distance"] == pytest.approx(expected, abs=1e-8)


def test_a_window_that_was_cut_without_channels_gets_them_from_the_bars(lab: Lab) -> None:
    query = lab.window("SIM01USDT", NOON, 40)
    assert not query.channels
    whole = lab.similar("SIM01USDT", NOON, length=40, k=3, channels=WEIGHTS)
    assert rows(lab.similar(query, k=3, channels=WEIGHTS)) == rows(whole)
    assert lab.outcomes(whole, (60,)).verdict


def test_a_window_that_no_market_made_has_no_volume_unless_it_is_given(lab: Lab) -> None:
    drawn = replace(lab.window("SIM01USDT", NOON, 40), values=np.exp(np.linspace(0.0, 0.1, 40) ** 2))
    with pytest.raises(ParameterError, match=r"no range and no volume.*search by close alone"):
        lab.similar(drawn, channels=WEIGHTS)
    rising = {"volume": np.arange(40.0), "range": np.arange(40.0)}
    assert len(lab.similar(replace(drawn, channels=rising), k=3, channels=WEIGHTS)) == 3


# -- several windows at once -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"rerank": "dtw", "pool": 60}, {"channels": {"close": 1, "volume": 1}}]
)
def test_many_windows_get_the_answers_that_each_gets_alone(lab: Lab, options: dict[str, Any]) -> None:
    windows: list[str | Query] = ["SIM02USDT", lab.window("SIM01USDT", NOON, 45), "SIM03USDT"]
    found = lab.similar_many(windows, NOON, length=30, k=4, horizon=60, per_symbol=2, **options)
    assert [each.query.length for each in found] == [30, 45, 30]
    for window, answer in zip(windows, found, strict=True):
        alone = lab.similar(window, NOON, length=30, k=4, horizon=60, per_symbol=2, **options)
        assert rows(answer) == rows(alone)
        assert (answer.scanned, answer.excluded, answer.notes) == (alone.scanned, alone.excluded, alone.notes)


def test_no_windows_get_no_answers(lab: Lab) -> None:
    assert lab.similar_many([]) == []


def test_one_window_without_a_shape_refuses_them_all_and_is_named(lab: Lab) -> None:
    good = lab.window("SIM01USDT", NOON, 30)
    flat = replace(good, values=np.full(30, 7.0), symbol="FLATUSDT")
    with pytest.raises(ParameterError, match="FLATUSDT"):
        lab.similar_many([good, flat, good])


def test_windows_that_cannot_be_asked_about_may_be_skipped(lab: Lab) -> None:
    good = lab.window("SIM01USDT", NOON, 30)
    flat = replace(good, values=np.full(30, 7.0), symbol="FLATUSDT")
    early = lab.window("SIM02USDT", "2026-06-01 00:45", 40)
    found = lab.similar_many([flat, good, early, "SIM12USDT"], "2026-06-04 11:10", 30, k=3, skip=True)
    assert [each.query for each in found] == [good]
    assert rows(found[0]) == rows(lab.similar(good, k=3))
    with pytest.raises(ParameterError, match="flat"):
        lab.similar_many([flat, early], skip=True)
    with pytest.raises(NotEnoughData, match="SIM12USDT has no 30 unbroken bars"):
        lab.similar_many(["SIM12USDT"], "2026-06-04 11:10", 30, skip=True)
    with pytest.raises(ParameterError, match="k is a whole number from 1"):
        lab.similar_many([good], k=0, skip=True)


# -- bad input, from the lake to the sentence ------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda lab: lab.similar("NOPEUSDT"), MexclabError, "NOPEUSDT"),
        (lambda lab: lab.similar(None), ParameterError, "A window is a symbol"),
        (lambda lab: lab.similar_many([lab.bars["SIM01USDT"]]), ParameterError, "A window is a symbol"),
        (lambda lab: lab.similar("SIM01USDT", "2026-05-01"), NotEnoughData, "unbroken bars"),
        (lambda lab: lab.similar("SIM01USDT", "2026-06-01 00:30", length=30), NotEnoughData, "more history"),
        (lambda lab: lab.similar("SIM01USDT", "soon"), ParameterError, "ISO text"),
        (lambda lab: lab.similar("SIM01USDT", length=9), ParameterError, "10 to 2000"),
        (lambda lab: lab.similar("SIM12USDT", NOON, length=120), NotEnoughData, "unbroken bars"),
        (lambda lab: lab.similar("SIM01USDT", k=0), ParameterError, "k is a whole number from 1"),
        (lambda lab: lab.similar("SIM01USDT", horizon=10**6), NotEnoughData, "more history"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_a_sentence(
    lab: Lab, ask: Any, error: type[MexclabError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        ask(lab)
    assert str(caught.value).endswith(".")


def test_a_lake_with_one_symbol_is_searched_and_more_matches_than_there_are_are_noted(tmp_path: Path) -> None:
    lab = own_lab(tmp_path, sample_bars().filter(pl.col("symbol") == "SIM01USDT").head(900))
    found = lab.similar("SIM01USDT", k=500, horizon=60)
    assert 0 < len(found) < 30
    assert "asked for" in found.notes[0]
    assert lab.outcomes(found, (60,)).verdict


def test_a_month_without_trades_is_left_out_as_flat_and_refused_as_a_question(tmp_path: Path) -> None:
    bars = sample_bars().filter(pl.col("symbol").is_in(["SIM01USDT", "SIM02USDT"]))
    asleep = (pl.col("symbol") == "SIM02USDT") & (pl.col("ts") >= pl.datetime(2026, 6, 3, time_zone="UTC"))
    still = [
        pl.when(asleep).then(pl.lit(7.5)).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    quiet = pl.when(asleep).then(0.0).otherwise("volume").alias("volume")
    lab = own_lab(tmp_path, bars.with_columns(*still, quiet))
    for options in ({}, {"channels": WEIGHTS}):
        found = lab.similar("SIM01USDT", k=300, horizon=60, **options)  # type: ignore[arg-type]
        assert found.excluded["flat"] > 2000
        ends = found.table.filter(pl.col("symbol") == "SIM02USDT")["end"]
        assert len(ends)
        assert ends.max() < pl.Series([found.table["end"].max()])[0].replace(day=3, hour=1)
        assert np.isfinite(found.table["distance"].to_numpy()).all()
    with pytest.raises(ParameterError, match="flat"):
        lab.similar("SIM02USDT")


def spoiled(file: Path, how: str) -> None:
    whole = file.read_bytes()
    if how == "another schema":
        pl.DataFrame({"price": [1.0]}).write_parquet(file)
    else:
        file.write_bytes(whole[: len(whole) // 2 if how == "cut short" else 0])


@pytest.mark.parametrize("how", ["cut short", "empty", "another schema"])
@pytest.mark.parametrize("searched_before", [False, True])
def test_a_file_of_the_lake_that_cannot_be_read_is_named_also_after_it_was_searched(
    tmp_path: Path, how: str, searched_before: bool
) -> None:
    bars = sample_bars().filter(pl.col("symbol").is_in(["SIM01USDT", "SIM02USDT"]))
    lab = own_lab(tmp_path, bars.group_by("symbol", maintain_order=True).head(400))
    if searched_before:
        assert lab.similar("SIM02USDT", k=2, horizon=10)
    (file,) = (tmp_path / "lake").rglob("*SIM01USDT/*.parquet")
    spoiled(file, how)
    lab.refresh()
    with pytest.raises(DataError, match=r"SIM01USDT.*(import|Delete)"):
        lab.similar("SIM02USDT", k=2, horizon=10)


def test_a_channel_that_does_not_exist_is_refused_by_the_panel_too(lab: Lab) -> None:
    with pytest.raises(ParameterError, match="no channel spread"):
        lab.panel(channels=("spread",))


# -- pictures --------------------------------------------------------------------------------------


def test_the_picture_of_warping_shows_the_match_before_and_after(lab: Lab) -> None:
    warped = lab.similar("SIM01USDT", NOON, k=4, rerank="dtw", pool=200)
    figure = figure_warping(warped, rank=2)
    before, query, after, again = (np.array(trace.y) for trace in figure.data)
    np.testing.assert_array_equal(before, warped.windows[1])
    np.testing.assert_array_equal(query, again)
    assert np.linalg.norm(after - query) < np.linalg.norm(before - query)
    assert "dynamic time warping" in figure_matches(warped).layout.title.subtitle.text
    with pytest.raises(ParameterError, match="none of rank 5"):
        figure_warping(warped, rank=5)


def test_the_picture_of_channels_has_a_row_for_each_and_refuses_one_that_is_not_there(lab: Lab) -> None:
    found = lab.similar("SIM01USDT", NOON, k=4, channels=WEIGHTS)
    panel = lab.panel(channels=("range", "volume"))
    figure = figure_channels(panel, found)
    assert len(figure.data) == 3 * (4 + 1)
    titles = [figure.layout[f"yaxis{n}"].title.text for n in ("", "2", "3")]
    assert titles == ["close, z", "range, z", "volume, z"]
    with pytest.raises(ParameterError, match="no channel volume"):
        figure_channels(lab.panel(), found, ("volume",))
