"""Data quality: every fault that is planted is found, counted as slowly as need be, and named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mexclab.errors import DataError, ParameterError
from mexclab.research.quality import CARE, GOOD, POOR, QualityOptions, quality, tick_of
from tests.naive import quality_naive

START_MS = 1_780_272_000_000  # 2026-06-01 00:00 UTC
MINUTE_NS = 60_000_000_000
Row = tuple[int, float, float, float, float, float]


def walk(rng: np.random.Generator, bars: int = 2_000, decimals: int = 4) -> list[Row]:
    """A liquid pair: it moves each minute, has volume, and every price is on its tick."""
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, bars))), decimals)
    close[1:] += (close[1:] == close[:-1]) * 10.0**-decimals
    opens = np.concatenate([close[:1], close[:-1]])
    rows = zip(range(bars), opens, np.maximum(opens, close), np.minimum(opens, close), close, strict=True)
    return [(START_MS + n * 60_000, *map(float, numbers), float(rng.uniform(1, 9))) for n, *numbers in rows]


def still(rows: list[Row], first: int, last: int, volume: float = 0.0) -> list[Row]:
    """The price of ``first`` carried on."""
    price = rows[first][4]
    frozen = [(at, price, price, price, price, volume) for at, *_ in rows[first + 1 : last]]
    return [*rows[: first + 1], *frozen, *rows[last:]]


def frame_of(symbols: dict[str, list[Row]]) -> pl.DataFrame:
    rows = [(name, *row) for name, part in symbols.items() for row in part]
    columns = ["symbol", "ts", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))


def spiked(rows: list[Row], at: int, times: float) -> list[Row]:
    when, opened, high, low, close, volume = rows[at]
    price = round(close * times, 4)
    return [
        *rows[:at], (when, opened, max(high, price), min(low, price), price, volume), *rows[at + 1 :]
    ]  # fmt: skip


def faulty(seed: int) -> dict[str, list[Row]]:
    rng = np.random.default_rng(seed)
    holed = walk(rng)
    gone = sorted(rng.choice(np.arange(1, 1_999), 60, replace=False).tolist())
    spikes = walk(rng)
    for at in (300, 700, 1_100, 1_500):
        spikes = spiked(spikes, at, 1.3)
    dead = still(walk(rng), 500, 1_900)
    return {
        "DEAD": dead,
        "FINE": walk(rng),
        "HOLED": [row for n, row in enumerate(holed) if n not in gone],
        "PRINTED": still(walk(rng), 100, 700, volume=5.0),
        "SHORT": still(walk(rng), 100, 129),
        "SPIKES": spikes,
    }


def test_every_number_is_what_counting_one_by_one_says(seed: int) -> None:
    symbols = faulty(seed)
    found = quality(frame_of(symbols).sample(fraction=1.0, shuffle=True, seed=seed), MINUTE_NS)
    for row in found.table.to_dicts():
        slow = quality_naive.quality_of(symbols[row["symbol"]], 60_000)
        assert {name: row[name] for name in slow} == pytest.approx(slow), row["symbol"]
    assert found.outliers.height == found.table["jumps"].sum()


def test_each_fault_is_named_and_weighed(seed: int) -> None:
    table = quality(frame_of(faulty(seed)), MINUTE_NS).table
    told = {row["symbol"]: (row["grade"], row["faults"]) for row in table.to_dicts()}
    assert told["FINE"] == told["SHORT"] == (GOOD, "")  # 29 still bars are a quiet half hour
    assert told["DEAD"] == (POOR, "minutes without trades, frozen prices")
    assert told["PRINTED"] == (CARE, "frozen prices")
    assert told["HOLED"] == (CARE, "missing bars")
    assert told["SPIKES"] == (CARE, "spikes that revert")
    assert table["symbol"][0] == "DEAD"  # the worst comes first
    printed = table.filter(pl.col("symbol") == "PRINTED")
    assert printed["frozen_traded"].item() == printed["frozen"].item() > 0.29


def test_a_month_without_volume_makes_bars_poor(seed: int) -> None:
    rows = walk(np.random.default_rng(seed), 3 * 1440)
    quiet = [(at - 2 * 86_400_000, *prices, 0.0) for at, *prices, _ in rows]  # the last two days of May
    bars = frame_of({"A": [row for row in quiet if row[0] < START_MS] + rows})
    found = quality(bars, MINUTE_NS)
    assert found.table.select("empty_months", "grade").row(0) == (1, POOR)
    assert found.months["zero_volume"].to_list() == [1.0, 0.0]


def test_a_gap_neither_freezes_nor_jumps(seed: int) -> None:
    rows = walk(np.random.default_rng(seed), 400)
    late = [(at + 86_400_000, *(2 * price for price in prices), volume) for at, *prices, volume in rows[200:]]
    (row,) = quality(frame_of({"A": rows[:200] + late}), MINUTE_NS).table.to_dicts()
    assert (row["gaps"], row["longest_gap"], row["jumps"]) == (1, 1440, 0)


@pytest.mark.parametrize("decimals", [0, 1, 2, 5, 9, 12])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_tick_is_found_whatever_its_size(decimals: int, times: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(1_000, 9_000, 500) * times
    prices = np.array([float(f"{step}e-{decimals}") for step in steps])
    assert tick_of(prices) == pytest.approx((times if decimals else 1) * 10.0**-decimals)
    if times == 1 and any(step % 10 for step in steps):
        assert quality_naive.tick_of([f"{price:.12f}" for price in prices]) == decimals


def test_prices_between_the_ticks_are_counted(seed: int) -> None:
    rows = walk(np.random.default_rng(seed), 2_000, 2)
    rows[7] = (rows[7][0], *(price + 0.001 for price in rows[7][1:5]), rows[7][5])
    (row,) = quality(frame_of({"A": rows}), MINUTE_NS).table.to_dicts()
    assert row["tick"] == 0.01
    assert row["off_tick"] == pytest.approx(4 / 8_000)


def test_prices_without_any_step_are_off_every_tick() -> None:
    prices = np.random.default_rng(1).uniform(1, 2, 1_000) / 3
    assert tick_of(prices * np.pi) == 0.0
    assert tick_of(np.array([])) == 0.0


def test_what_cannot_be_judged_is_an_error_that_says_so(seed: int) -> None:
    bars = frame_of({"A": walk(np.random.default_rng(seed), 50)})
    with pytest.raises(DataError, match="volume not there"):
        quality(bars.drop("volume"), MINUTE_NS)
    with pytest.raises(DataError, match="no bar"):
        quality(bars.clear(), MINUTE_NS)
    with pytest.raises(DataError, match="two bars"):
        quality(pl.concat([bars, bars.head(1)]), MINUTE_NS)
    with pytest.raises(ParameterError, match="longer than 0 ns"):
        quality(bars, 0)
    with pytest.raises(ParameterError, match="frozen_run"):
        QualityOptions(frozen_run=1)
    with pytest.raises(ParameterError, match="above zero"):
        QualityOptions(jump=0.0)


def test_one_bar_and_a_flat_symbol_are_no_trouble() -> None:
    flat = [(START_MS + n * 60_000, 1.0, 1.0, 1.0, 1.0, 0.0) for n in range(40)]
    found = quality(frame_of({"FLAT": flat, "ONE": flat[:1]}), MINUTE_NS)
    told = {row["symbol"]: row for row in found.table.to_dicts()}
    assert (told["FLAT"]["grade"], told["FLAT"]["frozen"], told["FLAT"]["jumps"]) == (POOR, 1.0, 0)
    assert told["ONE"]["bars"] == 1
    assert found.days.height == 2
