"""What a venue remembers of its trading: trades, candles, the rolling day; against the naive twin."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.market import Market, Side, Symbol, Trade
from mexclab.errors import DomainError
from mexclab.venues.orders import Execution
from mexclab.venues.simulator.history import DAYS_KEPT, INTERVALS, MINUTES_KEPT, TRADES_KEPT, History
from mexclab.venues.simulator.pairs import ESTABLISHED, plausible_past
from tests.naive import candles as naive

ACE = Symbol("ACE")
MARKET = Market(ACE, Decimal("0.01"), Decimal("0.1"))
START = 20_600 * DAY + 23 * HOUR + 50 * MINUTE


class Now:
    def __init__(self) -> None:
        self.ns = START

    def __call__(self) -> int:
        return self.ns


def execution(number: int, at_ns: int, ticks: int, lots: int) -> Execution:
    side = Side.BUY if ticks % 2 else Side.SELL
    return Execution(2 * number, ticks * MARKET.tick, lots * MARKET.lot, "", "", side, at_ns, False)


def trade(known: Execution) -> Trade:
    return Trade(ACE, known.price, known.quantity, known.taker_side, known.at_ns)


def told(history: History, steps: Sequence[tuple[int, int, int]], now: Now) -> list[Trade]:
    """Record trades, each ``(seconds after the one before, ticks, lots)``."""
    trades = []
    for number, (after_s, ticks, lots) in enumerate(steps):
        now.ns += after_s * SECOND
        known = execution(number, now.ns, ticks, lots)
        history.record(ACE, [known])
        trades.append(trade(known))
    return trades


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 90), st.integers(0, 9_000), st.integers(0, 200_000)),
        st.integers(1, 5_000),
        st.integers(1, 900),
    ),
    min_size=1,
    max_size=40,
)


@given(steps, st.sampled_from(list(INTERVALS)), st.integers(0, 300_000), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_bars_are_those_of_the_naive_twin(
    life: list[tuple[int, int, int]], interval: str, later_s: int, limit: int
) -> None:
    now = Now()
    history = History(now)
    history.add(MARKET)
    trades = told(history, life, now)
    now.ns += later_s * SECOND
    everything = naive.candles(trades, interval, dict(INTERVALS), now.ns)
    assert history.candles(ACE, interval, limit=10**6) == everything
    assert history.candles(ACE, interval, limit=limit) == everything[-limit:]
    middle = everything[len(everything) // 2].open_ns
    since = [bar for bar in everything if bar.open_ns >= middle]
    assert history.candles(ACE, interval, middle, None, limit) == since[:limit]
    assert history.candles(ACE, interval, middle - 1, None, limit) == since[:limit]
    before = [bar for bar in everything if bar.open_ns < middle]
    assert history.candles(ACE, interval, None, middle, limit) == before[-limit:]
    between = [bar for bar in everything if START + HOUR <= bar.open_ns < middle]
    assert history.candles(ACE, interval, START + HOUR, middle, limit) == between[:limit]


@given(steps, st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_the_rolling_day_is_that_of_the_naive_twin(life: list[tuple[int, int, int]], later_s: int) -> None:
    now = Now()
    history = History(now)
    history.add(MARKET)
    trades = told(history, life, now)
    now.ns += later_s * SECOND
    stats = history.day(ACE)
    assert stats is not None
    found = (stats.high, stats.low, stats.volume, stats.quote_volume, stats.count)
    assert found == naive.day(trades, now.ns, ACE)
    assert (stats.last, stats.close_ns) == (trades[-1].price, now.ns)
    assert now.ns - DAY <= stats.open_ns <= now.ns


def test_the_last_trades_come_newest_first_and_only_so_many_are_kept() -> None:
    now = Now()
    history = History(now)
    history.add(MARKET)
    told(history, [(1, 100 + number, 5) for number in range(TRADES_KEPT + 50)], now)
    trades = history.trades(ACE, 3)
    assert [known.price for known in trades] == [
        Decimal(100 + TRADES_KEPT + 49 - back) / 100 for back in range(3)
    ]
    assert trades[0].trade_id == f"{2 * (TRADES_KEPT + 49)}X0_{2 * (TRADES_KEPT + 49) + 1}X0"
    assert trades[0].side is not trades[1].side
    assert len(history.trades(ACE, 10**6)) == TRADES_KEPT


def test_a_symbol_that_nobody_traded_has_nothing() -> None:
    history = History(Now())
    history.add(MARKET)
    for symbol in (ACE, Symbol("NOWHERE")):
        assert history.trades(symbol) == history.candles(symbol, "1m") == []
        assert history.day(symbol) is None


def test_an_interval_that_the_venue_does_not_have_is_named() -> None:
    with pytest.raises(DomainError, match="'2m' is no interval of 1m, 5m"):
        History(Now()).candles(ACE, "2m")


def test_the_first_bar_opens_where_it_is_told_to() -> None:
    now = Now()
    history = History(now)
    history.add(MARKET, Decimal("0.5"))
    told(history, [(0, 300, 10)], now)
    (bar,) = history.candles(ACE, "1m")
    assert (bar.open, bar.low, bar.high, bar.close) == (
        Decimal("0.5"),
        Decimal("0.5"),
        Decimal(3),
        Decimal(3),
    )


def test_a_long_life_keeps_its_minutes_and_days_in_bounds() -> None:
    now = Now()
    history = History(now)
    history.add(MARKET)
    told(history, [(90 * 86_400, 100 + number, 1) for number in range(20)], now)
    assert MINUTES_KEPT <= len(history.candles(ACE, "1m", limit=10**6)) < 1.3 * MINUTES_KEPT
    days = history.candles(ACE, "1d", limit=10**6)
    assert DAYS_KEPT <= len(days) < 1.3 * DAYS_KEPT
    assert {after.open_ns - bar.open_ns for bar, after in pairwise(days)} == {DAY}
    bars = history.candles(ACE, "1m", limit=3)
    assert [bar.close for bar in bars] == [Decimal("1.18"), Decimal("1.18"), Decimal("1.19")]


def test_a_number_beyond_what_a_row_holds_ends_there_and_breaks_nothing() -> None:
    now = Now()
    history = History(now)
    history.add(MARKET)
    told(history, [(1, 10**9, 10**16)] * 3, now)
    now.ns += 2 * MINUTE
    stats = history.day(ACE)
    assert stats is not None
    assert stats.volume == 3 * 10**16 * MARKET.lot
    assert stats.quote_volume > 0


# -- a plausible past ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BTCUSDT", "MXUSDT", "METALUSDT"])
def test_a_past_is_one_of_its_pair(name: str) -> None:
    pair = ESTABLISHED[name]
    past = plausible_past(pair, 7, START + 17 * SECOND, 7)
    minutes = past.minutes
    first, high, low, last, lots, _, count = minutes[:, 1:].T
    assert (np.diff(minutes[:, 0]) == MINUTE).all()
    assert minutes[-1, 0] == START - MINUTE
    assert minutes[0, 0] == START // DAY * DAY - 7 * DAY
    assert (first[1:] == last[:-1]).all()
    assert (low <= np.minimum(first, last)).all()
    assert (high >= np.maximum(first, last)).all()
    assert ((lots > 0) == (count > 0)).all()
    assert (high[count == 0] == low[count == 0]).all()
    assert last[-1] * pair.tick == pair.price
    days = len(minutes) / 1440
    turnover = float((lots * last).sum()) * float(pair.tick * pair.lot) / days
    assert 0.5 < turnover / pair.turnover_day < 2
    volatility = float(np.diff(np.log(last)).std()) * 1440**0.5
    assert 0.5 < volatility / pair.volatility_day < 2
    assert past.days[-1, 0] == minutes[0, 0] - DAY
    assert past.days[-1, 4] == minutes[0, 1], "the days go on into the minutes"
    assert [trade.at_ns for trade in past.trades] == sorted(trade.at_ns for trade in past.trades)
    assert past.trades[-1].price == pair.price
    assert past.trades[-1].at_ns < START


def test_the_same_seed_draws_the_same_past_and_another_another() -> None:
    pair = ESTABLISHED["MXUSDT"]
    pasts = [plausible_past(pair, seed, START, 1) for seed in (7, 7, 8)]
    assert (pasts[0].minutes == pasts[1].minutes).all()
    assert pasts[0].trades == pasts[1].trades
    assert (pasts[0].minutes != pasts[2].minutes).any()
