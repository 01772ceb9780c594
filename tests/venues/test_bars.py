"""Real bars: what a pair fitted to them is like, and their replay."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.market import Symbol
from mexclab.errors import DataError, NotEnoughData, VenueUnavailable
from mexclab.venues.simulator.bars import BarReplay, Bars, BarsReference, fit
from mexclab.venues.simulator.world import World
from tests.venues.world_acts import START, TERMS, seen

ACE = Symbol("ACE")
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mexc_spot_1m"


def drawn(count: int = 600, seed: int = 3, quiet: float = 0.2) -> Bars:
    """Bars of one minute with gaps of trade, on a grid of 0.001 and 0.1."""
    rng = np.random.default_rng(seed)
    volume = np.round(rng.lognormal(5.0, 1.0, count), 1) * (rng.random(count) > quiet)
    moves = np.where(volume > 0, 0.002 * rng.standard_normal(count), 0.0)
    close = np.round(5 * np.exp(np.cumsum(moves)), 3)
    first = np.concatenate(([5.0], close[:-1]))
    wick = np.where(volume > 0, np.abs(rng.standard_normal((2, count))) * 0.004, 0.0)
    high = np.round(np.maximum(first, close) + wick[0], 3)
    low = np.round(np.minimum(first, close) - wick[1], 3)
    times = START - DAY + np.arange(count, dtype=np.int64) * MINUTE
    return Bars(times, first, high, low, close, volume)


def world_of(replay: BarReplay, stride_ms: int = 180) -> World:
    return World(replace(TERMS, pairs=(), replays=(replay,), stride_ms=stride_ms))


# -- the path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 60.0, 0.5])
def test_the_path_of_a_bar_has_its_ends_and_its_range_at_any_speed(speed: float) -> None:
    bars = drawn()
    path = BarsReference(BarReplay(fit(ACE, bars, 100), bars, 100, speed), START)
    for place in (100, 250, 598):
        begins = START + int((place - 100) * MINUTE / speed)
        ends = begins + int(MINUTE / speed)
        prices = [path.at(int(at))[0] for at in np.linspace(begins + 1, ends - 1, 301)]
        assert prices[0] == pytest.approx(bars.open[place], rel=1e-4)
        assert prices[-1] == pytest.approx(bars.close[place], rel=1e-4)
        assert max(prices) == pytest.approx(bars.high[place], rel=1e-3)
        assert min(prices) == pytest.approx(bars.low[place], rel=1e-3)


def test_after_the_last_bar_the_path_goes_on_from_where_it_is() -> None:
    bars = drawn()
    path = BarsReference(BarReplay(fit(ACE, bars), bars), START)
    end = START + 600 * MINUTE
    assert path.at(end + 1)[0] == pytest.approx(path.at(end - 1)[0], rel=1e-6)
    ratio = path.at(end + 90 * SECOND)[0] / path.at(START + 90 * SECOND)[0]
    assert ratio == pytest.approx(bars.close[-1] / bars.open[0], rel=1e-9)


def test_in_a_gap_between_bars_nobody_trades_and_the_price_stands() -> None:
    whole = drawn(50)
    keep = np.ones(50, dtype=bool)
    keep[20:25] = False
    bars = Bars(*(getattr(whole, name)[keep] for name in Bars.__slots__))
    path = BarsReference(BarReplay(fit(ACE, bars), bars), START)
    assert path.at(START + 22 * MINUTE) == (float(whole.close[19]), 0.0)
    assert path.at(START + 25 * MINUTE + SECOND)[1] > 0 or whole.volume[25] == 0


def test_a_replay_repeats_the_bars_in_trades(tmp_path: Path) -> None:
    bars = drawn(600)
    pair = fit(ACE, bars, 300)
    world = world_of(BarReplay(pair, bars, 300, speed=1.0))
    world.advance(START + 40 * MINUTE)
    made = world.history.candles(ACE, "1m", START, START + 40 * MINUTE)
    real = slice(300, 340)
    away = [abs(float(bar.close) / last - 1) for bar, last in zip(made, bars.close[real], strict=True)]
    assert np.median(away) < 2 * pair.spread + 5e-4
    quiet = [bar.volume == 0 for bar in made]
    assert all(is_quiet for is_quiet, volume in zip(quiet, bars.volume[real], strict=True) if volume == 0)
    volume = float(sum(bar.volume for bar in made))
    assert 0.3 < volume / bars.volume[real].sum() < 3


def test_a_replay_at_sixty_times_lives_an_hour_in_a_minute() -> None:
    bars = drawn(600)
    world = world_of(BarReplay(fit(ACE, bars, 300), bars, 300, speed=60.0), stride_ms=50)
    world.advance(START + MINUTE)
    bids, asks = world.matcher.books[ACE].levels(1)
    assert float(bids[0][0] + asks[0][0]) / 2 == pytest.approx(bars.close[359], rel=0.01)


def test_the_bars_before_the_start_are_its_past() -> None:
    bars = drawn(600)
    world = world_of(BarReplay(fit(ACE, bars, 300), bars, 300))
    made = world.history.candles(ACE, "1m", None, START, 300)
    assert [bar.open_ns for bar in made] == [START - (300 - place) * MINUTE for place in range(300)]
    for bar, place in zip(made, range(300), strict=True):
        real = [getattr(bars, name)[place] for name in ("open", "high", "low", "close", "volume")]
        assert [float(value) for value in (bar.open, bar.high, bar.low, bar.close, bar.volume)] == real


def test_a_restart_needs_the_same_bars(tmp_path: Path) -> None:
    bars = drawn(600)
    replay = BarReplay(fit(ACE, bars, 300), bars, 300)
    terms = replace(TERMS, pairs=("MXUSDT",), replays=(replay,))
    world = World(terms, tmp_path)
    world.advance(START + 5 * SECOND)
    before = seen(world)
    world.close()
    back = World(terms, tmp_path)
    assert seen(back) == before
    back.close()
    other = replace(terms, replays=(BarReplay(replay.pair, drawn(600, seed=4), 300),))
    with pytest.raises(VenueUnavailable, match="cannot be read; move it away"):
        World(other, tmp_path)


# -- the fit ---------------------------------------------------------------------------------------


def test_a_fit_finds_the_grid_and_how_the_bars_trade() -> None:
    bars = drawn(5_000)
    pair = fit(ACE, bars)
    assert (pair.tick, pair.lot) == (Decimal("0.001"), Decimal("0.1"))
    assert pair.price == Decimal("5.000")
    assert pair.volatility_day == pytest.approx(0.002 * 0.8**0.5 * 1440**0.5, rel=0.1)
    assert pair.turnover_day == pytest.approx(float((bars.volume * bars.close).mean()) * 1440, rel=1e-6)
    assert pair.trades_per_s >= -np.log(0.2) / 60 * 0.9
    assert 0.001 / 5.0 <= pair.spread < 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"open": np.array([1.0])}, "six columns of one length"),
        ({"open_ns": np.zeros(600, dtype=np.int64)}, "in order of time"),
        ({"low": np.zeros(600)}, "above zero"),
        ({"high": np.full(600, 0.1)}, "no high below its low"),
        ({"volume": np.full(600, -1.0)}, "not negative"),
    ],
)
def test_columns_that_are_no_bars_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(DataError, match=words):
        replace(drawn(), **change)


def test_a_replay_without_a_bar_to_live_or_without_speed_is_refused() -> None:
    bars = drawn()
    pair = fit(ACE, bars)
    with pytest.raises(DataError, match="none is left to be lived"):
        BarReplay(pair, bars, 599)
    with pytest.raises(DataError, match="lives no bar"):
        BarReplay(pair, bars, 0, 0.0)
    with pytest.raises(NotEnoughData, match="no bar has any volume"):
        fit(ACE, replace(bars, volume=np.zeros(600)))


# -- real bars -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> dict[str, Bars]:
    files = sorted(SHARED.glob("*.parquet"))
    if not files:
        pytest.skip("the shared one-minute bars of MEXC are not here")
    table = pl.read_parquet(files[0])
    names = table["symbol"].unique().sort().to_list()[::17]
    found = {}
    for name in names:
        rows = table.filter(pl.col("symbol") == name).sort("ts").head(8 * 1440)
        columns = [
            rows[column].to_numpy().astype(float) for column in ("open", "high", "low", "close", "volume")
        ]
        found[name] = Bars(rows["ts"].to_numpy().astype(np.int64) * SECOND, *columns)
    return found


def test_agents_fitted_to_real_bars_trade_like_them(real: dict[str, Bars]) -> None:
    ratios = []
    for name, bars in real.items():
        symbol = Symbol.parse(name)
        pair = fit(symbol, bars, 7 * 1440)
        world = world_of(BarReplay(pair, bars, 7 * 1440), stride_ms=1_000)
        world.advance(START + HOUR)
        made = world.history.candles(symbol, "1m", START, START + HOUR)
        span = slice(7 * 1440, 7 * 1440 + 60)
        turnover = float(sum(bar.quote_volume for bar in made)) / float(
            (bars.volume * bars.close)[span].sum()
        )
        last = float(made[-1].close) / float(bars.close[span][-1])
        ratios.append(turnover)
        assert abs(last - 1) < 3 * pair.spread + 0.005, f"{name} ends {last - 1:.2%} away"
    assert 0.5 < np.median(ratios) < 2
