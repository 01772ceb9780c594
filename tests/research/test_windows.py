"""Panels and the windows cut from them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mexclab.errors import DataError, NotEnoughData, ParameterError
from mexclab.research.windows import Panel, windows_within, z_normalised

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE


def walk(rng: np.random.Generator, bars: int, *, level: float = 1.0) -> np.ndarray:
    return level * np.exp(np.cumsum(rng.standard_normal(bars)) * 1e-3)


def frame(times: list[int], close: list[float | None], symbol: str = "AUSDT") -> pl.DataFrame:
    ts = pl.Series(np.array(times) * MINUTE + START).cast(pl.Datetime("ns", "UTC")).dt.cast_time_unit("ms")
    return pl.DataFrame({"ts": ts, "symbol": [symbol] * len(times), "close": close})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0, None])
def test_a_price_that_cannot_be_names_its_symbol_and_time(bad: float | None) -> None:
    with pytest.raises(DataError, match=r"AUSDT at 20\d\d-\d\d-\d\d \d\d:\d\d UTC") as caught:
        Panel.from_frame(frame([0, 1, 2], [1.0, bad, 1.0]))
    assert caught.value.data == {"symbol": "AUSDT", "time_ns": START + MINUTE}


@pytest.mark.parametrize(("times", "fault"), [([0, 2, 1, 3], "backwards"), ([0, 1, 1, 2], "twice")])
def test_times_out_of_order_or_repeated_name_their_symbol_and_time(times: list[int], fault: str) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        Panel.from_frame(frame(times, [1.0] * 4))
    assert caught.value.data == {"symbol": "AUSDT", "time_ns": START + MINUTE}


def test_a_time_off_the_grid_and_a_naive_time_are_refused() -> None:
    times = np.array([0, 60, 120, 150]) * 10**9
    with pytest.raises(DataError, match="off its grid of 1m"):
        Panel.from_arrays({"AUSDT": (times, np.ones(4))}, MINUTE)
    naive_time = frame([0, 1], [1.0, 1.0]).with_columns(pl.col("ts").dt.replace_time_zone(None))
    with pytest.raises(DataError, match="UTC"):
        Panel.from_frame(naive_time)
    with pytest.raises(DataError, match="no column close"):
        Panel.from_frame(frame([0, 1], [1.0, 1.0]).drop("close"))


def test_an_empty_frame_is_not_enough_data() -> None:
    with pytest.raises(NotEnoughData):
        Panel.from_frame(frame([0], [1.0]).clear())


def test_symbols_may_be_mixed_in_a_frame_and_lazy_frames_will_do() -> None:
    both = pl.concat([frame([0, 1, 2], [1.0, 2.0, 3.0], "BUSDT"), frame([0, 1, 3], [4.0, 5.0, 6.0])]).sort(
        "ts"
    )
    panel = Panel.from_frame(both.lazy())
    assert panel.symbols == ("AUSDT", "BUSDT")
    np.testing.assert_allclose(np.exp(panel.log_at(np.arange(6))), [4, 5, 6, 1, 2, 3], rtol=1e-15)
    assert panel.segment_start.tolist() == [0, 2, 3, 6]
    assert panel.times(np.arange(6)).tolist() == [START + i * MINUTE for i in (0, 1, 3, 0, 1, 2)]
    assert "2 symbols, 6 bars of 1m" in repr(panel)
    assert "1 gap" in repr(panel)


def test_a_window_never_straddles_a_gap() -> None:
    kept = np.delete(np.arange(100), 50)
    panel = Panel.from_arrays({"AUSDT": (START + kept * MINUTE, walk(np.random.default_rng(0), 99))})
    assert windows_within(panel, 20).total == 31 + 30
    with pytest.raises(NotEnoughData, match="in 2 piece"):
        panel.window("AUSDT", start_ns=START + 45 * MINUTE, length=20)
    assert panel.window("AUSDT", end_ns=START + 50 * MINUTE, length=20).start_ns == START + 30 * MINUTE


def test_a_window_is_found_by_either_end_and_an_unknown_symbol_is_named() -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(100) * MINUTE, walk(np.random.default_rng(0), 100))}
    )
    by_start = panel.window("AUSDT", start_ns=START + 10 * MINUTE, length=20)
    by_end = panel.window("AUSDT", end_ns=START + 30 * MINUTE, length=20)
    assert by_start.values.tolist() == by_end.values.tolist()
    assert by_end.end_ns == START + 30 * MINUTE
    with pytest.raises(ParameterError, match="NOPEUSDT"):
        panel.window("NOPEUSDT", length=20)
    with pytest.raises(ParameterError, match="not both"):
        panel.window("AUSDT", start_ns=START, end_ns=START, length=20)


def test_a_panel_cannot_be_changed() -> None:
    panel = Panel.from_arrays({"AUSDT": (START + np.arange(100) * MINUTE, np.ones(100))})
    with pytest.raises(ValueError, match="read-only"):
        panel.flat[0] = 2.0
    with pytest.raises(AttributeError):
        panel.interval_ns = 1  # type: ignore[misc]


@pytest.mark.parametrize("length", [9, 2001])
def test_a_length_outside_ten_to_two_thousand_is_refused(length: int) -> None:
    panel = Panel.from_arrays(
        {"AUSDT": (START + np.arange(3000) * MINUTE, walk(np.random.default_rng(0), 3000))}
    )
    with pytest.raises(ParameterError, match="10 to 2000"):
        panel.window("AUSDT", length=length)


def test_z_normalising_leaves_mean_zero_and_deviation_one() -> None:
    values = z_normalised(
        np.log(np.array([walk(np.random.default_rng(i), 50, level=1e-9) for i in range(3)]))
    )
    np.testing.assert_allclose(values.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=1), 1.0, atol=1e-12)


def test_channels_come_from_their_columns_and_a_carried_bar_has_none() -> None:
    columns = {"volume": [0.0, 3.0, 8.0], "high": [1.2, 2.0, 3.3], "low": [1.0, 2.0, 3.0]}
    bars = frame([0, 1, 3], [1.1, 2.0, 3.0]).with_columns(**{n: pl.Series(v) for n, v in columns.items()})
    panel = Panel.from_frame(bars, MINUTE, channels=("volume", "range"), fill=1)
    cells = panel.cells(np.arange(4))
    assert panel.segment_start.tolist() == [0, 4]
    np.testing.assert_allclose(np.exp(panel.log_at(np.arange(4))), [1.1, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(panel.channels["volume"][cells], np.log1p([0.0, 3.0, 0.0, 8.0]))
    np.testing.assert_allclose(panel.channels["range"][cells], np.log([1.2, 1.0, 1.0, 1.1]))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [("volume", [1.0, -1.0], "no volume: volume -1.0"), ("high", [1.0, 0.5], "no range: high 0.5, low 1.0")],
)
def test_a_volume_or_a_range_that_cannot_be_is_refused(column: str, values: list[float], words: str) -> None:
    whole = frame([0, 1], [1.0, 1.0]).with_columns(volume=1.0, high=1.0, low=1.0)
    bars = whole.with_columns(pl.Series(column, values))
    with pytest.raises(DataError, match=words):
        Panel.from_frame(bars, channels=("volume", "range"))
    with pytest.raises(DataError, match="no column volume"):
        Panel.from_frame(whole.drop("volume"), channels=("volume",))
    with pytest.raises(ParameterError, match="no channel colour"):
        Panel.from_frame(whole, channels=("colour",))
    with pytest.raises(ParameterError, match="fill at least 0"):
        Panel.from_frame(whole, fill=-1)
