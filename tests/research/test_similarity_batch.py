"""Similarity search of many queries, over several channels, and over masked and filled gaps."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import polars as pl
import pytest

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import similarity
from mexclab.research.refine import pick
from mexclab.research.similarity import Matches, SimilarityOptions, similar, similar_batch
from mexclab.research.windows import Panel, Query
from tests.naive import similarity_naive as naive

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE
WIDTHS = (10, 17, 60, 240, 700, 2000)


def rough(rng: np.random.Generator, bars: int) -> np.ndarray:
    """Prices with jumps of up to 1000 times, flats, ticks and levels from 1e-9 up."""
    close = 10.0 ** rng.integers(-9, 5) * np.exp(
        np.cumsum(rng.standard_normal(bars)) * 10.0 ** rng.uniform(-4.5, -1.5)
    )
    for _ in range(2):
        close *= np.where(np.arange(bars) > rng.integers(bars), 10.0 ** rng.uniform(-3, 3), 1.0)
    calm = rng.integers(bars)
    close[calm : calm + rng.integers(5, 120)] = close[calm]
    if rng.random() < 0.4:
        tick = np.median(close) * 10.0 ** rng.uniform(-5, -3)
        close = np.maximum(np.round(close / tick), 1.0) * tick
    return close


def broken(rng: np.random.Generator, bars: int, longest: int) -> np.ndarray:
    """Times of ``bars`` bars with a few gaps, the last ``longest`` of them without one."""
    kept = rng.random(bars + 60) > 4.0 / (bars + longest)
    kept[-longest:] = True
    return START + (int(rng.integers(0, 200)) + np.flatnonzero(kept)) * MINUTE


def volume(rng: np.random.Generator, bars: int) -> np.ndarray:
    """log(1 + volume) with quiet hours in which nothing trades."""
    traded = np.exp(rng.standard_normal(bars) * 1.5 + np.sin(np.arange(bars) / 40.0))
    still = rng.integers(bars - 250)
    traded[still : still + 150] = 0.0
    return np.log1p(traded)


def rows(matches: Matches) -> list[tuple[str, int]]:
    table = matches.table.with_columns(pl.col("start").dt.epoch("ns"))
    return list(zip(table["symbol"], table["start"], strict=True))


def same(matches: Matches, expected: list[tuple[float, str, int]]) -> None:
    assert rows(matches) == [(symbol, opened) for _, symbol, opened in expected]
    distances = [distance for distance, _, _ in expected]
    np.testing.assert_allclose(matches.table["distance"], distances, rtol=0, atol=1e-9)


@pytest.mark.parametrize("length", WIDTHS)
def test_random_queries_of_every_width_are_answered_as_brute_force_does(length: int, seed: int) -> None:
    rng = np.random.default_rng((seed, length))
    bars = max(600, 2 * length + 100)
    series = {}
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        times = broken(rng, bars, length + 5)
        series[symbol] = (times, rough(rng, len(times)))
        bars -= length // 3
    panel = Panel.from_arrays(series, MINUTE)
    rules = naive.Rules(MINUTE, length // 2, point_in_time=False, min_moves=0.0)
    options = SimilarityOptions(point_in_time=False, activity=similarity.ActivityFloor(0.0))
    for symbol in (*panel.symbols, "QUSDT", "QUSDT"):
        walk = np.exp(np.cumsum(rng.standard_normal(length)) * 1e-3)
        query = panel.window(symbol, length=length) if symbol in series else Query(walk, symbol, 0, MINUTE)
        asked = (query.symbol, query.start_ns, query.values)
        if naive.activity(query.values, rules) != "active":
            continue
        found, counts = naive.candidates(series, asked, rules)
        matches = similar(panel, query, 10, options=options)
        same(matches, naive.nearest(found, 10, rules))
        assert matches.scanned == len(found)
        assert matches.excluded["one jump"] == counts["one jump"]


def test_a_batch_answers_each_query_as_if_it_had_been_asked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    times = START + np.arange(1500) * MINUTE
    walks = np.exp(np.cumsum(rng.standard_normal((3, 1500)), axis=1) * 1e-3)
    walks[:, 500:600] = walks[:, 500:501]
    names = ("AUSDT", "BUSDT", "CUSDT")
    panel = Panel.from_arrays({name: (times, walk) for name, walk in zip(names, walks, strict=True)})
    places = [("AUSDT", 700), ("BUSDT", 1460), ("CUSDT", 701), ("AUSDT", 1100), ("AUSDT", 1100)]
    queries = [panel.window(name, start_ns=START + at * MINUTE, length=40) for name, at in places]
    for options in (SimilarityOptions(), SimilarityOptions(point_in_time=False, per_symbol=2, threads=2)):
        alone = [similar(panel, query, 6, horizon=7, options=options) for query in queries]
        for room in (similarity.BOUNDS_BYTES, 1):  # all at once, and one after the other
            monkeypatch.setattr(similarity, "BOUNDS_BYTES", room)
            together = similar_batch(panel, queries, 6, horizon=7, options=options)
            for one, other in zip(alone, together, strict=True):
                assert one.table.equals(other.table)
                assert (one.scanned, one.excluded, one.notes) == (other.scanned, other.excluded, other.notes)


def test_a_batch_of_none_is_empty_and_one_of_two_lengths_is_refused() -> None:
    rng = np.random.default_rng(3)
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(900) * MINUTE, rough(rng, 900))})
    assert similar_batch(panel, []) == []
    with pytest.raises(ParameterError, match=r"one length, not \[20, 30\]"):
        similar_batch(panel, [panel.window("AUSDT", length=length) for length in (20, 30)])


@pytest.mark.parametrize(
    "weights",
    [
        {"close": 0.5, "volume": 0.3, "range": 0.2},
        {"close": 1.0, "volume": 3.0},
        {"range": 1.0, "volume": 1.0},
        {"volume": 2.0},
    ],
)
def test_channels_are_weighed_as_the_definition_says(weights: dict[str, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    series, channels = {}, {"volume": {}, "range": {}}
    for symbol in ("AUSDT", "BUSDT"):
        times = broken(rng, 700, 50)
        series[symbol] = (times, np.exp(np.cumsum(rng.standard_normal(len(times))) * 1e-3))
        channels["volume"][symbol] = volume(rng, len(times))
        channels["range"][symbol] = np.abs(rng.standard_normal(len(times))) * 1e-3
    panel = Panel.from_arrays(series, MINUTE, channels=channels)
    options = SimilarityOptions(channels=weights)
    rules = naive.Rules(MINUTE, 12)
    for symbol in panel.symbols:
        query = panel.window(symbol, length=25)
        total = sum(weights.values())
        shares = {name: weight / total for name, weight in weights.items()}
        asked = {name: query.channels[name] for name in weights if name != "close"}
        found, _ = naive.candidates(
            series, (symbol, query.start_ns, query.values), rules, naive.Channels(shares, channels, asked)
        )
        matches = similar(panel, query, 12, options=options)
        same(matches, naive.nearest(found, 12, rules))
        assert matches.scanned == len(found)
        assert any("alike by weight" in note for note in matches.notes)
        one = dataclasses.replace(options, threads=2)
        assert similar_batch(panel, [query, query], 12, options=one)[1].table.equals(matches.table)


def test_close_alone_is_what_no_channels_means() -> None:
    rng = np.random.default_rng(1)
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(900) * MINUTE, rough(rng, 900))})
    query = panel.window("AUSDT", length=30)
    plain = similar(panel, query)
    assert similar(panel, query, options=SimilarityOptions(channels={"close": 7.0})).table.equals(plain.table)


def test_a_channel_that_is_not_there_or_stands_still_is_refused_in_words() -> None:
    rng = np.random.default_rng(1)
    times = START + np.arange(900) * MINUTE
    close = np.exp(np.cumsum(rng.standard_normal(900)) * 1e-3)
    quiet = np.where(np.arange(900) > 800, 0.0, rng.random(900))
    panel = Panel.from_arrays({"AUSDT": (times, close)}, channels={"volume": {"AUSDT": quiet}})
    query = panel.window("AUSDT", length=30)
    with pytest.raises(ParameterError, match=r"volume of AUSDT .* does not vary"):
        similar(panel, query, options=SimilarityOptions(channels={"close": 1, "volume": 1}))
    with pytest.raises(ParameterError, match="The panel has no channel range"):
        similar(panel, query, options=SimilarityOptions(channels={"range": 1}))
    bare = Query(query.values, "AUSDT", query.start_ns, MINUTE)
    with pytest.raises(ParameterError, match="The query has no channel volume"):
        similar(panel, bare, options=SimilarityOptions(channels={"volume": 1}))
    for wrong in ({"close": -1.0, "volume": 2.0}, {"close": 0.0}, {"volume": float("nan")}):
        with pytest.raises(ParameterError, match="not negative"):
            SimilarityOptions(channels=wrong)


@pytest.mark.parametrize("fill", [0, 2, 30])
def test_gaps_are_masked_or_filled_with_the_last_close(fill: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = rng.random(1200) > 0.02
    kept[300:310] = False
    kept[-40:] = True
    times = START + np.flatnonzero(kept) * MINUTE
    close = np.exp(np.cumsum(rng.standard_normal(len(times))) * 1e-3)
    panel = Panel.from_arrays({"AUSDT": (times, close)}, MINUTE, fill=fill)
    whole = {"AUSDT": naive.carried(times, close, MINUTE, fill)}
    assert len(panel) == len(whole["AUSDT"][0])
    query = panel.window("AUSDT", length=20)
    rules = naive.Rules(MINUTE, 10)
    found, _ = naive.candidates(whole, ("AUSDT", query.start_ns, query.values), rules)
    if not found:
        with pytest.raises(NotEnoughData):
            similar(panel, query)
        return
    matches = similar(panel, query)
    same(matches, naive.nearest(found, 10, rules))
    assert matches.scanned == len(found)


def test_a_bar_without_a_channel_breaks_its_windows_and_is_counted() -> None:
    rng = np.random.default_rng(1)
    times = START + np.arange(900) * MINUTE
    close = np.exp(np.cumsum(rng.standard_normal(900)) * 1e-3)
    whole = Panel.from_arrays({"AUSDT": (times, close)}, channels={"volume": {"AUSDT": volume(rng, 900)}})
    cells = whole.channels["volume"].copy()
    cells[whole.cells(np.array([300]))] = np.nan
    panel = Panel.from_lanes(whole.symbols, MINUTE, whole.groups, whole.flat, {"volume": cells})
    query = panel.window("AUSDT", length=30)
    matches = similar(panel, query, 200, options=SimilarityOptions(channels={"close": 1, "volume": 1}))
    assert matches.excluded["without a channel"] == 30
    opened = matches.table["start"].dt.epoch("ns").to_numpy()
    assert not ((opened > START + 270 * MINUTE) & (opened <= START + 300 * MINUTE)).any()


def _picked(symbols: np.ndarray, times: np.ndarray, rule: tuple[int, int], limit: int) -> list[int]:
    apart, per_symbol = rule
    taken: list[int] = []
    for candidate in range(len(symbols)):
        own = [times[other] for other in taken if symbols[other] == symbols[candidate]]
        near = any(abs(time - times[candidate]) < apart for time in own)
        if len(taken) < limit and len(own) < per_symbol and not near:
            taken.append(candidate)
    return taken


def test_the_choice_is_that_of_the_naive_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for n in [0, 1, *rng.integers(2, 200, 60).tolist()]:
        symbols, times = rng.integers(0, rng.integers(1, 9), n), rng.integers(0, 400, n)
        rule, limit = (int(rng.choice([0, 1, 20])), int(rng.integers(1, 30))), int(rng.integers(0, n + 1))
        chosen = np.empty(limit, dtype=np.int64)
        taken = pick(symbols, times, rule, chosen)
        assert chosen[:taken].tolist() == _picked(symbols, times, rule, limit)


def test_a_choice_among_many_symbols_is_not_quadratic_in_the_number_of_matches() -> None:
    n = 400_000
    chosen = np.empty(n, dtype=np.int64)
    begun = time.process_time()
    assert pick(np.arange(n), np.zeros(n, dtype=np.int64), (1, 1), chosen) == n
    assert time.process_time() - begun < 15.0  # every match against every other one takes minutes
