"""After a start the venue tells what its prices were: by the minute, of what is held or planned; no guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest

from mexclab.config import LimitSettings
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.monitor import MonitorState
from mexclab.errors import VenueUnavailable
from mexclab.trading.history import DAY_MIN, SILENCE_MIN, History
from mexclab.trading.past_prices import AGAIN_NS, LONGEST_NS, MOST_SYMBOLS, PastPrices

ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
NOW = 20_600 * DAY
LIMITS = LimitSettings()
Closes = Sequence[tuple[int, Decimal]]


def closes(minutes: int, end_ns: int = NOW, every: int = 1) -> Closes:
    chance = np.random.default_rng(3)
    mids = np.round(np.exp(np.cumsum(chance.normal(0, 0.002, minutes))), 8).tolist()
    ends = [end_ns - back * MINUTE for back in range(minutes - 1, -1, -1)]
    return [(at, Decimal(str(mid))) for at, mid in zip(ends, mids, strict=True)][every - 1 :: every]


def book(mid: float, at_ns: int, symbol: Symbol = ABC) -> Book:
    level = (Level(Decimal(str(mid)), Decimal(1)),)
    return Book(symbol, level, level, at_ns)


def logs(rows: Closes) -> list[float]:
    return [math.log(float(price)) for _, price in rows]


def test_what_the_venue_tells_goes_before_what_was_lived_and_is_the_same_to_the_last_digit() -> None:
    told, lived, filled = closes(DAY_MIN + 10), History(NOW - 2 * DAY), History(NOW)
    for at_ns, price in told:
        lived.see(book(float(price), at_ns - 1))
    filled.fill(ABC, told, NOW + SECOND)
    assert np.array_equal(lived.returns([ABC], NOW + SECOND), filled.returns([ABC], NOW + SECOND))
    assert not np.isnan(filled.returns([ABC], NOW + SECOND)).any()
    assert filled.tails([ABC], NOW + SECOND, LIMITS).columns == {ABC: 0}


@pytest.mark.parametrize("lived_min", [0, 1, 7, 100])
def test_minutes_that_were_lived_stay_and_only_the_ones_before_are_taken(lived_min: int) -> None:
    history, now = History(NOW), NOW + lived_min * MINUTE + SECOND
    for minute in range(lived_min + 1):
        history.see(book(5.0, NOW + minute * MINUTE + SECOND))
    told = closes(200, now // MINUTE * MINUTE)
    history.fill(ABC, told, now)
    got = history.returns([ABC], now)[-199:, 0]
    first_lived = 200 - lived_min
    expected = np.diff([*logs(told)[:first_lived], *[math.log(5.0)] * lived_min])
    assert got == pytest.approx(expected)


def test_minutes_without_a_trade_keep_the_price_and_a_long_silence_ends_what_is_known() -> None:
    sparse = closes(120, every=10)
    history = History(NOW)
    history.fill(ABC, sparse, NOW)
    assert history.known_min(ABC, NOW) == 111
    hole = [row for row in sparse if not NOW - 70 * MINUTE < row[0] < NOW - 20 * MINUTE]
    broken = History(NOW)
    broken.fill(ABC, hole, NOW)
    assert broken.known_min(ABC, NOW) == 21
    old = History(NOW)
    old.fill(ABC, closes(60, NOW - (SILENCE_MIN + 2) * MINUTE), NOW)
    assert old.known_min(ABC, NOW) == 0


def test_prices_that_no_number_can_hold_and_minutes_that_are_not_over_are_left_out() -> None:
    history = History(NOW)
    rows = [*closes(10), (NOW + MINUTE, Decimal(9))]
    rows[4] = (rows[4][0], Decimal("1e-999"))
    history.fill(ABC, rows, NOW + SECOND)
    assert history.known_min(ABC, NOW + SECOND) == 5
    history.fill(XYZ, [], NOW)
    assert history.known_min(XYZ, NOW) == 0


# -- asking -------------------------------------------------------------------------------------------


class _Desk:
    def __init__(self) -> None:
        self.portfolio = self
        self.held: list[object] = []

    def live_snipes(self) -> list[object]:
        return []

    def open_orders(self) -> list[object]:
        return []


class _Scene:
    """The little of an engine that past prices look at: what is held, a clock, a venue, a history."""

    def __init__(self, *symbols: Symbol) -> None:
        self.desk, self.seq = _Desk(), 0
        self.parts = self.venue = self.clock = self.rules = self
        self.limits = LIMITS
        self.history = History(NOW)
        self.now = NOW
        self.answers: dict[Symbol, Closes] = {}
        self.asked: list[Symbol] = []
        self.hold(*symbols)

    def hold(self, *symbols: Symbol) -> None:
        self.seq += 1
        self.desk.held = [type("Held", (), {"symbol": symbol})() for symbol in symbols]

    def now_ns(self) -> int:
        return self.now

    async def closes(self, symbol: Symbol, since_ns: int) -> Closes:
        self.asked.append(symbol)
        if symbol not in self.answers:
            raise VenueUnavailable("the venue is away")
        return [row for row in self.answers[symbol] if row[0] > since_ns]


async def test_each_held_symbol_is_asked_for_once_and_then_known() -> None:
    scene = _Scene(ABC, XYZ)
    scene.answers = {ABC: closes(2 * DAY_MIN), XYZ: closes(180)}
    past = PastPrices(scene)  # type: ignore[arg-type]
    assert {reading.state for reading in past.readings(NOW)} == {MonitorState.UNKNOWN}
    while past.due_ns(scene.now) <= scene.now:
        await past.ask()
    assert sorted(scene.asked) == [ABC, XYZ]
    states = {reading.symbol: reading for reading in past.readings(NOW)}
    assert states[ABC].state is MonitorState.QUIET
    assert (states[XYZ].state, states[XYZ].value) == (MonitorState.WARNING, "180 min")
    assert "70% of it may be lost" in states[XYZ].why
    scene.now += HOUR
    for symbol in (ABC, XYZ):
        for minute in range(60):
            scene.history.see(book(1.0, NOW + minute * MINUTE + SECOND, symbol))
    assert past.due_ns(scene.now) > scene.now, "what is known is not asked for again"


async def test_a_venue_that_does_not_answer_leaves_it_unknown_and_is_asked_more_and_more_rarely() -> None:
    scene = _Scene(ABC)
    past = PastPrices(scene)  # type: ignore[arg-type]
    pauses = []
    for _ in range(9):
        assert past.due_ns(scene.now) <= scene.now
        await past.ask()
        due = past.due_ns(scene.now + 1)
        while due - scene.now > 0 and (later := past.due_ns(due)) > due:
            due = later
        pauses.append(due - scene.now)
        scene.now = due
    [reading] = past.readings(scene.now)
    assert (reading.state, "the venue is away" in reading.why) == (MonitorState.UNKNOWN, True)
    assert pauses[0] == AGAIN_NS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_NS
    assert scene.history.tails([ABC], scene.now, LIMITS).places == (None,)


async def test_a_history_that_a_silence_cut_is_asked_for_anew_but_not_at_once() -> None:
    scene = _Scene(ABC)
    scene.answers = {ABC: closes(2 * DAY_MIN)}
    past = PastPrices(scene)  # type: ignore[arg-type]
    await past.ask()
    assert scene.history.known_min(ABC, NOW) > DAY_MIN - 1
    scene.now += (SILENCE_MIN + 5) * MINUTE
    scene.answers = {ABC: closes(2 * DAY_MIN, scene.now)}
    assert past.due_ns(scene.now) <= scene.now
    await past.ask()
    assert scene.history.known_min(ABC, scene.now) > DAY_MIN - 1
    assert scene.asked == [ABC, ABC]


async def test_a_desk_that_holds_very_many_asks_for_so_many_and_no_more() -> None:
    many = [Symbol(f"C{number}") for number in range(3 * MOST_SYMBOLS)]
    scene = _Scene(*many)
    past = PastPrices(scene)  # type: ignore[arg-type]
    assert past.wanted() == many[::-1][:MOST_SYMBOLS]
