"""What happens with bad input: a typed error in a sentence that says what to do, or a stated behaviour.

The table of ``docs/guides/notebooks.md`` says the same in words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mexclab.errors import DataError, MexclabError, NotEnoughData, ParameterError
from mexclab.research.outcomes import outcomes
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel, Query

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE
BARS = 600


def walk(seed: int, bars: int = BARS) -> np.ndarray:
    return 5.0 * np.exp(np.cumsum(np.random.default_rng(seed).standard_normal(bars)) * 1e-3)


def bars_of(symbol: str, close: np.ndarray, first: int = 0) -> pl.DataFrame:
    """A frame as the lake gives it, from bar ``first`` on."""
    times = pl.Series(START + (first + np.arange(len(close))) * MINUTE).cast(pl.Datetime("ns", "UTC"))
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(close),
            "ts": times.dt.cast_time_unit("ms"),
            "high": close * 1.001,
            "low": close * 0.999,
            "close": close,
            "volume": np.full(len(close), 3.0),
        }
    )


def panel_of(*frames: pl.DataFrame) -> Panel:
    return Panel.from_frame(pl.concat(frames), MINUTE)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(bars_of("AUSDT", walk(1)), bars_of("BUSDT", walk(2)), bars_of("CUSDT", walk(3)))


def query_of(values: np.ndarray, symbol: str = "QUSDT") -> Query:
    return Query(values, symbol, START + BARS * MINUTE, MINUTE)


# -- the query -------------------------------------------------------------------------------------


def test_a_query_longer_than_all_history_is_not_enough_data_and_counts_what_there_is(panel: Panel) -> None:
    with pytest.raises(NotEnoughData, match="has no 601 unbroken bars"):
        panel.window("AUSDT", length=601)
    with pytest.raises(NotEnoughData, match="No window of 700 bars") as caught:
        similar(panel, query_of(walk(9, 700)))
    assert caught.value.data["windows"] == 0


def test_a_query_before_all_history_is_not_enough_data(panel: Panel) -> None:
    early = Query(walk(9, 30), "QUSDT", START, MINUTE)
    with pytest.raises(NotEnoughData, match="later or shorter query, or more history"):
        similar(panel, early)


@pytest.mark.parametrize("length", [0, 1, 9, 2001])
def test_a_query_outside_ten_to_two_thousand_bars_is_refused(length: int) -> None:
    with pytest.raises(ParameterError, match="10 to 2000"):
        query_of(np.ones(length))


def test_a_query_of_several_rows_is_refused() -> None:
    with pytest.raises(ParameterError, match="one row of prices"):
        query_of(np.ones((2, 20)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_a_query_with_a_price_that_cannot_be_names_the_time(bad: float) -> None:
    values = walk(9, 20)
    values[3] = bad
    with pytest.raises(DataError, match=r"QUSDT at 20\d\d-.* is not a positive, finite price"):
        query_of(values)


def test_a_flat_query_has_no_shape_and_is_refused(panel: Panel) -> None:
    with pytest.raises(ParameterError, match=r"flat.*Choose another window"):
        similar(panel, query_of(np.full(30, 5.0)))


def test_a_query_that_is_one_jump_has_no_shape_and_is_refused(panel: Panel) -> None:
    quiet = np.exp(1e-7 * np.random.default_rng(0).standard_normal(30))
    quiet[15:] *= 1.2
    with pytest.raises(ParameterError, match="one jump"):
        similar(panel, query_of(quiet))


def test_a_query_of_other_bars_than_the_panel_is_refused(panel: Panel) -> None:
    with pytest.raises(ParameterError, match="bars of 5m, the panel of 1m"):
        similar(panel, replace(query_of(walk(9, 30)), interval_ns=5 * MINUTE))


def test_a_query_whose_symbol_is_not_in_the_panel_is_answered(panel: Panel) -> None:
    assert len(similar(panel, query_of(walk(9, 30)), 5)) == 5


@pytest.mark.parametrize(
    ("k", "horizon", "words"),
    [
        (0, 0, "k is a whole number from 1"),
        (-3, 0, "k is a whole number from 1"),
        (2.5, 0, "k is a whole number from 1 .*not 2.5"),
        (5, -1, "horizon is a whole number from 0"),
        (5, 1.5, "horizon is a whole number from 0 .*not 1.5"),
        (5, 10**12, "horizon is a whole number from 0"),
    ],
)
def test_a_number_of_matches_or_a_horizon_that_cannot_be_is_refused(
    panel: Panel, k: float, horizon: float, words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        similar(panel, panel.window("AUSDT", length=30), k, horizon=horizon)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("horizon", "rules"),
    [(10**9, {}), (0, {"embargo": 10**9}), (40_000_000, {"embargo": 40_000_000}), (0, {"exclusion": 10**9})],
    ids=str,
)
def test_more_bars_than_time_has_room_for_are_refused(
    panel: Panel, horizon: int, rules: dict[str, int]
) -> None:
    query, options = panel.window("AUSDT", length=30), SimilarityOptions(**rules)
    with pytest.raises(ParameterError, match="longer than time can be told: give fewer"):
        similar(panel, query, horizon=horizon, options=options)


def test_more_threads_than_there_is_work_for_give_the_same_answer(panel: Panel) -> None:
    query = panel.window("AUSDT", length=30)
    many = similar(panel, query, options=SimilarityOptions(threads=10**9))
    assert many.table.equals(similar(panel, query).table)


@pytest.mark.parametrize("interval_ns", [0, -MINUTE])
def test_a_query_whose_bars_have_no_length_is_refused(interval_ns: int) -> None:
    with pytest.raises(ParameterError, match="A bar has a positive length"):
        replace(query_of(walk(9, 30)), interval_ns=interval_ns)


def test_more_matches_than_there_are_gives_those_there_are_and_says_so(panel: Panel) -> None:
    found = similar(panel, panel.window("AUSDT", length=30), 10_000)
    assert 0 < len(found) < 200
    assert f"only {len(found)} of the 10000 asked for" in found.notes[0].replace(",", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"exclusion": -1},
        {"exclusion": 10**12},
        {"exclusion": float("nan")},
        {"per_symbol": 0},
        {"embargo": -1},
        {"threads": 0},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} is a whole number from"):
        SimilarityOptions(**wrong)


# -- the panel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -2.0, None])
def test_a_bar_with_a_price_that_cannot_be_names_symbol_and_time(bad: float | None) -> None:
    frame = bars_of("AUSDT", walk(1, 20))
    close = frame["close"].to_list()
    close[4] = bad
    with pytest.raises(DataError) as caught:
        panel_of(frame.with_columns(close=pl.Series(close, dtype=pl.Float64)), bars_of("BUSDT", walk(2, 20)))
    assert caught.value.data == {"symbol": "AUSDT", "time_ns": START + 4 * MINUTE}


@pytest.mark.parametrize(
    ("order", "fault"), [([0, 2, 1, 3], "backwards"), ([0, 1, 1, 2], "twice"), ([3, 2, 1, 0], "backwards")]
)
def test_times_that_are_unsorted_or_repeated_are_refused_and_say_what_to_do(
    order: list[int], fault: str
) -> None:
    with pytest.raises(DataError, match=f"AUSDT: time .* {fault}. Sort the bars and keep one of each"):
        panel_of(bars_of("AUSDT", walk(1, 4))[order])


def test_a_time_off_the_grid_is_refused() -> None:
    times = START + np.array([0, 60, 90, 180]) * 10**9
    with pytest.raises(DataError, match="off its grid of 1m"):
        Panel.from_arrays({"AUSDT": (times, np.ones(4))}, MINUTE)


def test_times_without_a_zone_are_refused() -> None:
    frame = bars_of("AUSDT", walk(1, 20)).with_columns(pl.col("ts").dt.replace_time_zone(None))
    with pytest.raises(DataError, match="UTC"):
        panel_of(frame)


def test_no_bars_at_all_are_not_enough_data() -> None:
    with pytest.raises(NotEnoughData, match="empty"):
        panel_of(bars_of("AUSDT", walk(1, 20)).clear())


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column close"):
        panel_of(bars_of("AUSDT", walk(1, 20)).drop("close"))


def test_one_symbol_alone_is_compared_with_its_own_past() -> None:
    alone = panel_of(bars_of("AUSDT", walk(1)))
    found = similar(alone, alone.window("AUSDT", length=30), 4, horizon=20)
    assert found.table["symbol"].to_list() == ["AUSDT"] * 4
    assert found.table["end"].dt.epoch("ns").max() + 20 * MINUTE <= found.query.start_ns
    assert len(outcomes(alone, found, (5, 20)).table) == 4


def test_a_single_bar_of_history_is_a_panel_without_windows() -> None:
    one = panel_of(bars_of("AUSDT", walk(1, 1)))
    with pytest.raises(NotEnoughData, match="No window of 30 bars"):
        similar(one, query_of(walk(9, 30)))


# -- channels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "bad", "channel"),
    [("volume", -1.0, "volume"), ("volume", np.nan, "volume"), ("volume", None, "volume"),
     ("high", 0.0, "range"), ("high", 1e-3, "range"), ("low", np.inf, "range"), ("low", None, "range")],
)  # fmt: skip
def test_a_channel_that_cannot_be_is_refused_and_named(column: str, bad: float | None, channel: str) -> None:
    frame = bars_of("AUSDT", walk(1, 20))
    values = frame[column].to_list()
    values[4] = bad
    with pytest.raises(DataError, match=rf"AUSDT.*{channel}|{channel}.*AUSDT"):
        Panel.from_frame(
            frame.with_columns(pl.Series(column, values, dtype=pl.Float64)), MINUTE, channels=(channel,)
        )
    assert len(Panel.from_frame(frame, MINUTE, channels=(channel,))) == 20


def test_a_channel_that_is_not_known_or_has_no_column_is_refused() -> None:
    frame = bars_of("AUSDT", walk(1, 20))
    with pytest.raises(ParameterError, match="no channel spread: choose among volume, range"):
        Panel.from_frame(frame, MINUTE, channels=("spread",))
    with pytest.raises(DataError, match="no column volume"):
        Panel.from_frame(frame.drop("volume"), MINUTE, channels=("volume",))


@pytest.mark.parametrize("values", [np.ones(29), np.full(30, np.nan), np.ones((2, 30))])
def test_a_query_whose_channel_does_not_fit_its_prices_is_refused(values: np.ndarray) -> None:
    with pytest.raises(DataError, match="volume of QUSDT is not 30 finite numbers"):
        replace(query_of(walk(9, 30)), channels={"volume": values})


# -- symbols that end, or stand still ----------------------------------------------------------------


@pytest.fixture(scope="module")
def with_a_delisted() -> Panel:
    """D stops trading after bar 400, in the middle of what would be its last windows."""
    return panel_of(bars_of("AUSDT", walk(1)), bars_of("DUSDT", walk(4, 400)))


def test_a_symbol_delisted_in_the_middle_of_a_window_has_no_such_window(with_a_delisted: Panel) -> None:
    with pytest.raises(NotEnoughData, match="DUSDT has no 30 unbroken bars"):
        with_a_delisted.window("DUSDT", end_ns=START + 415 * MINUTE, length=30)
    assert with_a_delisted.window("DUSDT", length=30).end_ns == START + 400 * MINUTE


def test_no_match_reaches_beyond_a_delisting(with_a_delisted: Panel) -> None:
    found = similar(with_a_delisted, with_a_delisted.window("AUSDT", length=30), 500)
    ends = found.table.filter(pl.col("symbol") == "DUSDT")["end"].dt.epoch("ns")
    assert len(ends) > 0
    assert ends.max() <= START + 400 * MINUTE


def test_a_match_shortly_before_its_delisting_stays_and_its_unknown_outcome_is_counted() -> None:
    shape = walk(7, 30)
    ended = np.concatenate(
        [walk(4, 365), 5.0 * shape / shape[0], 5.0 * shape[-1] / shape[0] * walk(5, 5) / 5]
    )
    asked = np.concatenate([walk(1), 3.0 * shape / shape[0]])
    both = panel_of(bars_of("AUSDT", asked), bars_of("DUSDT", ended))
    found = similar(both, both.window("AUSDT", length=30), 6, horizon=60)
    first = found.table.row(0, named=True)
    assert (first["symbol"], round(first["correlation"], 6)) == ("DUSDT", 1.0)
    told = outcomes(both, found, (60,))
    assert told.table["n"][0] < len(found)
    assert "no known outcome over 60 bars" in " ".join(told.notes)


def test_months_without_volume_are_flat_windows_that_are_left_out_and_counted() -> None:
    asleep = walk(4)
    asleep[100:500] = asleep[100]
    both = panel_of(bars_of("AUSDT", walk(1)), bars_of("DUSDT", asleep))
    found = similar(both, both.window("AUSDT", length=30), 200)
    starts = found.table.filter(pl.col("symbol") == "DUSDT")["start"].dt.epoch("ns").to_numpy()
    assert found.excluded["flat"] >= 400 - 30
    assert not ((starts > START + 106 * MINUTE) & (starts < START + 465 * MINUTE)).any()
    with pytest.raises(ParameterError, match="flat"):
        similar(both, both.window("DUSDT", end_ns=START + 400 * MINUTE, length=30))


def test_a_history_that_never_moves_gives_no_match_and_says_so() -> None:
    still = panel_of(bars_of("AUSDT", np.full(BARS, 5.0)))
    found = similar(still, query_of(walk(9, 30)), 5)
    assert (len(found), found.scanned) == (0, 0)
    assert "only 0 of the 5" in found.notes[0]
    assert found.excluded["flat"] == BARS - 29
    assert "0 windows most like" in repr(found)
    with pytest.raises(NotEnoughData, match="no match"):
        outcomes(still, found, (5,))


def test_every_refusal_is_one_of_our_errors_and_carries_a_sentence(panel: Panel) -> None:
    refusals = (
        lambda: panel.window("NOPEUSDT", length=30),
        lambda: panel.window("AUSDT", length=5000),
        lambda: query_of(np.ones(3)),
        lambda: similar(panel, query_of(np.ones(30))),
    )
    for refuse in refusals:
        with pytest.raises(MexclabError) as caught:
            refuse()
        assert caught.value.message.endswith((".", "?"))
