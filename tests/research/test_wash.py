"""Wash volume: printed is told from traded, with the evidence, and little is said of little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mexclab.errors import DataError, ParameterError
from mexclab.research.wash import (
    BENFORD,
    WashOptions,
    digit_deviation,
    first_digits,
    quartile_spread,
    rank_correlation,
    wash_suspicion,
)

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL = SHARED / "data" / "mexc_spot_1m" / "mexc_spot_1m_68sym_20260520_20260611.parquet"


def traded(name: str, seed: int, rows: int = 4000) -> pl.DataFrame:
    """A market: spells of activity move the price and the volume."""
    rng = np.random.default_rng(seed)
    level, spell = 0.0, np.empty(rows)
    for t, shock in enumerate(rng.standard_normal(rows)):
        level = 0.98 * level + 0.2 * shock
        spell[t] = np.exp(level)
    moves = 1e-3 * spell * rng.standard_t(4, rows)
    close = 10 ** rng.uniform(-3, 2) * np.exp(np.cumsum(moves))
    size = (
        10 ** rng.uniform(2, 5)
        * spell
        * (0.3 + np.abs(moves) / 1e-3)
        * np.exp(0.5 * rng.standard_normal(rows))
    )
    return pl.DataFrame({"symbol": [name] * rows, "close": close, "volume": size / close})


def printed(name: str, seed: int, rows: int = 4000) -> pl.DataFrame:
    """The same prices, and a program that turns over an even amount from 0 to 75 a bar."""
    rng = np.random.default_rng(1000 + seed)
    bars = traded(name, seed, rows)
    return bars.with_columns(volume=pl.Series(rng.uniform(0, 75, rows)) / pl.col("close"))


@pytest.fixture(scope="module")
def judged() -> pl.DataFrame:
    frames = [traded(f"T{seed}USDT", seed) for seed in range(12)]
    frames += [printed(f"P{seed}USDT", seed) for seed in range(7)]
    return wash_suspicion(pl.concat(frames))


def test_printed_volume_is_told_from_traded_volume(judged: pl.DataFrame) -> None:
    by_name = dict(judged.select("symbol", "suspicion").iter_rows())
    assert {by_name[f"P{seed}USDT"] for seed in range(7)} == {"suspicious"}
    assert {by_name[f"T{seed}USDT"] for seed in range(12)} == {"not suspicious"}


def test_the_evidence_is_a_sentence_and_numbers_beside_it(judged: pl.DataFrame) -> None:
    first = judged.row(0, named=True)
    assert first["symbol"].startswith("P")
    assert first["signs"] == first["known"] == 5
    assert first["twins"] == 6
    assert "6 other symbols have the same distribution of turnover" in first["evidence"]
    assert first["spread"] == pytest.approx(0.5, abs=0.03)
    assert abs(first["moves"]) < 0.1
    assert first["trades"] is None
    last = judged.row(-1, named=True)
    assert last["evidence"] == "volume behaves like a market's"


def test_among_many_symbols_five_twins_are_no_sign_but_a_quarter_of_the_others_is() -> None:
    crowd = [printed(f"P{seed}USDT", seed, rows=700) for seed in range(6)]
    others = [traded(f"T{seed}USDT", seed, rows=700) for seed in range(22)]
    few = wash_suspicion(pl.concat(crowd + others)).filter(pl.col("twins") >= 5)
    assert few.height >= 6
    assert not few["evidence"].str.contains("same distribution").any()
    enough = wash_suspicion(pl.concat(crowd + others[:14])).filter(pl.col("symbol").str.starts_with("P"))
    assert enough["evidence"].str.contains("5 other symbols have the same distribution").all()
    with pytest.raises(ParameterError, match="share of the other symbols"):
        WashOptions(twins=5)


def test_one_symbol_alone_has_no_twins_to_be_known() -> None:
    found = wash_suspicion(printed("P1USDT", 1)).row(0, named=True)
    assert found["twins"] is None
    assert (found["known"], found["suspicion"]) == (4, "suspicious")


def test_trades_of_one_size_are_a_sign_where_trades_are_counted() -> None:
    bars = traded("T1USDT", 1)
    turnover = (bars["close"] * bars["volume"]).to_numpy()
    alike = bars.with_columns(trades=pl.Series(np.maximum(np.round(turnover / turnover.min()), 1)))
    found = wash_suspicion(alike).row(0, named=True)
    assert found["trades"] < 0.1
    assert "trades are about the same size" in found["evidence"]
    mixed = bars.with_columns(trades=pl.Series(np.random.default_rng(1).integers(1, 60, bars.height)))
    assert wash_suspicion(mixed).row(0, named=True)["trades"] > 0.1


def test_months_without_volume_and_short_histories_are_not_judged() -> None:
    silent = traded("ZUSDT", 1).with_columns(volume=pl.lit(0.0))
    short = printed("SUSDT", 2, rows=300)
    found = wash_suspicion(pl.concat([silent, short]))
    assert set(found["suspicion"]) == {"too few bars"}
    assert set(found["known"]) == {0}
    assert "0 bars with volume" in found.filter(symbol="ZUSDT")["evidence"][0]


def test_volume_that_never_changes_is_suspicious_and_no_error() -> None:
    same = traded("CUSDT", 3).with_columns(volume=100.0 / pl.col("close"))
    found = wash_suspicion(same).row(0, named=True)
    assert found["spread"] == pytest.approx(0.0, abs=1e-9)
    assert found["suspicion"] in ("suspicious", "unclear")


def test_first_digits_are_read_as_people_read_them() -> None:
    amounts = np.array([0.3, 0.001, 9.99, 10.0, 1e-9, 7.5e12, 2.0, 0.7])
    np.testing.assert_allclose(first_digits(amounts) * 8, [3, 1, 1, 0, 0, 0, 2, 0, 1])
    rng = np.random.default_rng(1)
    assert digit_deviation(10 ** rng.uniform(0, 6, 20_000)) < 0.001
    assert digit_deviation(rng.uniform(0, 1, 20_000)) > 0.04
    assert BENFORD.sum() == pytest.approx(1)


def test_the_spread_of_even_amounts_is_a_half_and_ranks_see_any_rising_relation() -> None:
    even = np.linspace(0, 1, 10_001)[1:]
    assert quartile_spread(even) == pytest.approx(0.5, abs=1e-3)
    assert rank_correlation(even, np.exp(9 * even)) == pytest.approx(1)
    assert rank_correlation(even, np.zeros(10_000)) is None


def test_bars_that_are_none_and_bounds_that_contradict_are_refused() -> None:
    with pytest.raises(DataError, match="no column volume"):
        wash_suspicion(pl.DataFrame({"symbol": ["A"], "close": [1.0]}))
    with pytest.raises(DataError, match="AUSDT: close nan"):
        wash_suspicion(pl.DataFrame({"symbol": ["AUSDT"], "close": [float("nan")], "volume": [1.0]}))
    with pytest.raises(DataError, match="AUSDT"):
        wash_suspicion(pl.DataFrame({"symbol": ["AUSDT"], "close": [1.0], "volume": [None]}))
    with pytest.raises(ParameterError, match="as many signs"):
        WashOptions(suspicious=1, unclear=2)
    with pytest.raises(ParameterError, match="twice the longest lag"):
        WashOptions(fewest=100)


@pytest.mark.skipif(
    not REAL.exists(), reason="the bars of 68 real MEXC symbols are not beside the repository"
)
def test_on_real_bars_the_large_coins_trade_and_many_small_ones_share_one_printer() -> None:
    found = wash_suspicion(pl.read_parquet(REAL, columns=["symbol", "close", "volume"]))
    by_name = dict(found.select("symbol", "suspicion").iter_rows())
    assert {by_name[name] for name in ("DOGEUSDT", "SHIBUSDT", "TRUMPUSDT", "BONKUSDT")} == {"not suspicious"}
    assert found.filter(suspicion="suspicious").height == 53
    assert found.filter(pl.col("twins") >= 40).height == 44
