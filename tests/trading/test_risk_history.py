"""The history behind value at risk: minute by minute, aligned, bounded; what is not known stays unknown."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from mexclab.config import LimitSettings
from mexclab.domain.clock import DAY, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Symbol
from mexclab.trading.history import DAY_MIN, SILENCE_MIN, History

ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
NOW = 20_600 * DAY
LIMITS = LimitSettings()


def book(symbol: Symbol, mid: float, at_ns: int) -> Book:
    price = Decimal(str(mid))
    return Book(symbol, (Level(price, Decimal(1)),), (Level(price, Decimal(1)),), at_ns)


def fed(history: History, symbol: Symbol, minutes: int, end_ns: int = NOW, seed: int = 1) -> list[float]:
    """A book in each of the last ``minutes`` minutes; their mids."""
    chance = np.random.default_rng(seed)
    mids = np.round(np.exp(np.cumsum(chance.normal(0, 0.002, minutes))), 8).tolist()
    for back, mid in zip(range(minutes, 0, -1), mids, strict=True):
        history.see(book(symbol, mid, end_ns - back * MINUTE + 7 * SECOND))
    return mids


def test_returns_are_those_of_the_last_mid_of_each_minute_and_end_with_the_last_whole_one() -> None:
    history = History(NOW - DAY)
    for second, mid in ((1, 1.0), (59, 2.0), (60, 2.5), (119, 4.0), (121, 99.0)):
        history.see(book(ABC, mid, NOW + second * SECOND))
    returns = history.returns([ABC], NOW + 130 * SECOND)
    assert returns.shape == (DAY_MIN, 1)
    assert returns[-1, 0] == pytest.approx(math.log(2))
    assert np.isnan(returns[:-1]).all()


def test_minutes_without_news_keep_the_price_and_symbols_stay_aligned() -> None:
    history = History(NOW - DAY)
    for minute, mid in ((0, 1.0), (1, 2.0), (5, 4.0)):
        history.see(book(ABC, mid, NOW + minute * MINUTE))
    for minute in range(6):
        history.see(book(XYZ, float(2**minute), NOW + minute * MINUTE))
    returns = history.returns([ABC, XYZ], NOW + 6 * MINUTE)
    assert returns[-5:, 0] == pytest.approx([math.log(2), 0, 0, 0, math.log(2)])
    assert returns[-5:, 1] == pytest.approx([math.log(2)] * 5)


def test_a_price_that_was_silent_too_long_begins_anew() -> None:
    history = History(NOW - DAY)
    fed(history, ABC, 100)
    later = NOW + (SILENCE_MIN + 2) * MINUTE
    assert np.isnan(history.returns([ABC], later)).all()
    history.see(book(ABC, 1.0, later))
    history.see(book(ABC, 2.0, later + MINUTE))
    returns = history.returns([ABC], later + 2 * MINUTE)
    assert returns[-1, 0] == pytest.approx(math.log(2))
    assert np.isnan(returns[:-1]).all()


def test_books_that_come_late_or_have_one_side_change_nothing() -> None:
    history = History(NOW - DAY)
    history.see(book(ABC, 1.0, NOW))
    history.see(book(ABC, 2.0, NOW + MINUTE))
    history.see(book(ABC, 9.0, NOW))
    history.see(Book(ABC, (), (Level(Decimal(9), Decimal(1)),), NOW + MINUTE + SECOND))
    assert history.returns([ABC], NOW + 2 * MINUTE)[-1, 0] == pytest.approx(math.log(2))


def test_a_price_that_no_number_can_hold_is_no_history() -> None:
    history = History(NOW - DAY)
    for minute, mid in enumerate(("0", "1e-999", "1e999")):
        price = Decimal(mid)
        side = (Level(price, Decimal(1)),)
        history.see(Book(ABC, side, side, NOW + minute * MINUTE))
    assert np.isnan(history.returns([ABC], NOW + 4 * MINUTE)).all()


def test_no_series_grows_without_end_and_silent_ones_are_let_go() -> None:
    history = History(NOW)
    mids = fed(history, ABC, 2 * DAY_MIN + 200)
    assert len(history._series[ABC].closes) <= 2 * (DAY_MIN + 1)
    returns = history.returns([ABC], NOW)
    assert returns[:, 0] == pytest.approx(np.diff(np.log(mids))[-DAY_MIN:])
    history.see(book(XYZ, 1.0, NOW + 2 * DAY))
    assert set(history._series) == {XYZ}


def test_a_symbol_with_a_whole_day_behind_it_has_a_column_and_a_young_one_has_not() -> None:
    history = History(NOW - 2 * DAY)
    fed(history, ABC, DAY_MIN + 5)
    fed(history, XYZ, DAY_MIN - 5, seed=2)
    tails = history.tails([XYZ, ABC], NOW, LIMITS)
    assert dict(tails.columns) == {ABC: 0}
    assert tails.places == (None, 0)
    assert tails.groups[ABC] == {ABC}  # enough of both is known to tell them apart
    at_risk, shortfall = tails.losses([100.0], 0.05)
    assert 0 < at_risk < shortfall < 100
    assert history.tails([XYZ], NOW, LIMITS).losses([], 0.05) == (0, 0)


def test_scenarios_are_made_once_a_minute_for_the_same_symbols() -> None:
    history = History(NOW - 2 * DAY)
    fed(history, ABC, DAY_MIN + 5)
    first = history.tails([ABC], NOW, LIMITS)
    history.see(book(ABC, 5.0, NOW + 30 * SECOND))
    assert history.tails([ABC], NOW + 59 * SECOND, LIMITS) is first
    assert history.tails([ABC, XYZ], NOW + 59 * SECOND, LIMITS) is not first
    assert history.tails([ABC], NOW + MINUTE, LIMITS) is not first


def test_a_tail_so_small_that_no_history_tells_of_it_leaves_everything_unknown() -> None:
    history = History(NOW - 2 * DAY)
    fed(history, ABC, DAY_MIN + 5)
    tails = history.tails([ABC], NOW, LIMITS.model_copy(update={"tail": Decimal("0.00001")}))
    assert not tails.columns
    assert tails.groups[ABC] == {ABC}


def test_it_tells_when_a_symbol_was_priced_last_and_else_since_when_it_looks() -> None:
    history = History(NOW)
    assert history.priced_ns(ABC) == NOW
    history.see(book(ABC, 1.0, NOW + SECOND))
    history.see(Book(ABC, (), (), NOW + MINUTE))
    assert history.priced_ns(ABC) == NOW + SECOND
