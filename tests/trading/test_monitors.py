"""Monitors: each trips on its own evidence, knows nothing before a market has traded, and stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config import LimitSettings, MonitorSettings
from mexclab.domain.clock import DAY, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Side, Symbol, Trade
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.domain.reports import ClockReading
from mexclab.trading import risk
from mexclab.trading.monitors import COMMON_MONITORS, MARKET_MONITORS, MIRROR_NS, Monitors, Stake
from mexclab.trading.windows import GRAINS, Count, Flow, Highest
from tests.naive import windows_naive as naive

ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
OPEN = 20_600 * DAY
NOW = OPEN + MINUTE
STAKE = Stake(OPEN, Decimal("0.15"), Decimal(50))
RULES = MonitorSettings(least_trades=5)
LIMITS = LimitSettings()
QUIET, WARNING, TRIPPED, UNKNOWN = (
    MonitorState.QUIET,
    MonitorState.WARNING,
    MonitorState.TRIPPED,
    MonitorState.UNKNOWN,
)


def levels(*pairs: tuple[object, object]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(str(price)), Decimal(str(quantity))) for price, quantity in pairs)


GOOD_BIDS, GOOD_ASKS = levels((1, 100), ("0.99", 100)), levels(("1.01", 100), ("1.02", 100))


def book(bids: tuple[Level, ...] = GOOD_BIDS, asks: tuple[Level, ...] = GOOD_ASKS, at_ns: int = NOW) -> Book:
    return Book(ABC, bids, asks, at_ns)


def trade(quantity: object = 10, side: Side = Side.BUY, at_ns: int = NOW, symbol: Symbol = ABC) -> Trade:
    return Trade(symbol, Decimal(1), Decimal(str(quantity)), side, at_ns)


def monitors(rules: MonitorSettings = RULES, clock: ClockReading | None = None) -> Monitors:
    made = Monitors(rules, LIMITS, lambda: clock or ClockReading(0, 0, NOW))
    made.follow({ABC: STAKE})
    return made


def traded(*books: Book) -> Monitors:
    """A market that has traded, and these books of it."""
    made = monitors()
    made.witness(trade())
    for each in books or (book(),):
        made.see(each)
    return made


def reading(of: Monitors, name: str, now_ns: int = NOW, size: Decimal | None = None) -> Reading:
    return next(each for each in of.readings(ABC, now_ns, size) if each.monitor == name)


def states(of: Monitors, now_ns: int = NOW) -> dict[str, MonitorState]:
    return {each.monitor: each.state for each in of.readings(ABC, now_ns)}


def test_a_market_that_has_not_traded_is_unknown_whatever_is_quoted() -> None:
    made = monitors()
    made.see(book(bids=(), at_ns=NOW))
    made.witness(trade(at_ns=OPEN - 1))  # of a market before
    assert {states(made)[name] for name in MARKET_MONITORS} == {UNKNOWN}
    assert reading(made, "spread").why == "ABCUSDT has not been seen to trade yet"


def test_a_market_that_is_not_followed_is_unknown_and_costs_no_memory() -> None:
    made = monitors()
    made.witness(trade(symbol=XYZ))
    assert {each.state for each in made.readings(XYZ, NOW)[: len(MARKET_MONITORS)]} == {UNKNOWN}
    assert list(made.followed) == [ABC]


def test_a_good_market_is_quiet_and_every_reading_says_why() -> None:
    made = traded()
    for n in range(40):
        made.witness(trade(quantity=10 + n, side=Side.SELL if n % 2 else Side.BUY))
    found = made.readings(ABC, NOW)
    assert [each.monitor for each in found] == [*MARKET_MONITORS, *COMMON_MONITORS]
    assert {each.state for each in found} == {QUIET}
    assert all(each.value and each.bound and each.why for each in found)
    assert {each.symbol for each in found} == {ABC, None}


def test_a_bid_that_falls_from_its_highest_of_the_window_is_a_flash_crash() -> None:
    made = traded(book(at_ns=NOW - 10 * SECOND), book(bids=levels(("0.69", 500)), at_ns=NOW))
    found = reading(made, "flash_crash")
    assert (found.state, found.value, found.bound) == (TRIPPED, "0.3100", "0.30")
    assert found.why == "the best bid of ABCUSDT is 0.69, 31.0% below 1 of 10 s ago"
    assert reading(made, "flash_crash", NOW + 2 * MINUTE).state is UNKNOWN  # nothing in the window any more


def test_a_fall_on_the_way_to_the_bound_is_a_warning() -> None:
    made = traded(book(at_ns=NOW - SECOND), book(bids=levels(("0.78", 500))))
    assert reading(made, "flash_crash").state is WARNING


def test_what_was_bid_before_the_opening_is_no_height_to_fall_from() -> None:
    made = monitors()
    made.see(book(bids=levels((9, 1)), at_ns=OPEN - 1))
    made.witness(trade())
    made.see(book())
    assert reading(made, "flash_crash").state is QUIET


@pytest.mark.parametrize(
    ("bids", "asks", "state"),
    [
        (levels(("0.95", 100)), levels(("1.05", 100)), TRIPPED),
        (levels(("0.96", 100)), levels(("1.035", 100)), WARNING),
        ((), GOOD_ASKS, TRIPPED),
        (GOOD_BIDS, (), WARNING),
    ],
    ids=["wide", "nearly", "no bids", "no asks"],
)
def test_a_wide_spread_trips_and_so_do_no_bids(bids: tuple, asks: tuple, state: MonitorState) -> None:
    assert reading(traded(book(bids, asks)), "spread").state is state


def test_bids_within_reach_of_the_stop_must_take_their_share_of_the_order() -> None:
    near_and_far = book(levels((1, 10), ("0.99", 10), ("0.5", 10_000)))
    made = traded(near_and_far)
    assert reading(made, "depth", size=Decimal(40)).state is WARNING
    found = reading(made, "depth", size=Decimal(41))
    assert (found.state, found.value, found.bound) == (TRIPPED, "20", "20.5")
    assert found.why == "bids down to 0.8585 take 20 ABC; the order is 41"
    assert reading(made, "depth", size=Decimal(10)).state is QUIET


def test_without_a_size_the_snipes_own_money_is_held_against_the_bids() -> None:
    made = traded(book(levels((1, 20), ("0.99", 2))))
    assert (
        reading(made, "depth").state is TRIPPED
    )  # 50 USDT buy 49.5 at the ask, and half of that must be bid
    made.follow({ABC: replace(STAKE, quote=Decimal(0))})
    assert reading(made, "depth").state is UNKNOWN


def test_a_book_of_the_best_level_alone_does_not_hide_the_deeper_one_before() -> None:
    thin = book(levels((1, 1)), levels(("1.01", 1)))
    assert reading(traded(thin), "depth", size=Decimal(50)).state is WARNING
    assert reading(traded(book(), replace(thin, at_ns=NOW + 1)), "depth", size=Decimal(50)).state is QUIET
    late = replace(thin, at_ns=NOW + 2 * MINUTE)
    assert reading(traded(book(), late), "depth", size=Decimal(50)).state is WARNING


def test_silence_trips_and_any_news_ends_it() -> None:
    made = traded()
    assert reading(made, "stale_data", NOW + 2 * SECOND).state is QUIET
    found = reading(made, "stale_data", NOW + 3 * SECOND)
    assert (found.state, found.value, found.bound) == (TRIPPED, "3 s", "2 s")
    made.witness(trade(at_ns=NOW + 3 * SECOND))
    assert reading(made, "stale_data", NOW + 3 * SECOND).state is QUIET


@pytest.mark.parametrize(
    ("silent_s", "state"),
    [(0, QUIET), (19, QUIET), (21, TRIPPED), (None, TRIPPED)],
    ids=["it lives", "a ping is out", "pings are not answered", "nobody listens"],
)
def test_a_quiet_market_is_stale_when_its_stream_is_dead_and_not_when_nobody_trades(
    silent_s: int | None, state: MonitorState
) -> None:
    silent_ns = None if silent_s is None else silent_s * SECOND
    made = Monitors(RULES, LIMITS, lambda: ClockReading(0, 0, NOW), lambda symbol: silent_ns)
    made.follow({ABC: STAKE})
    made.witness(trade())
    made.see(book())
    later = NOW + 10 * MINUTE
    found = reading(made, "stale_data", later)
    assert found.state is state
    assert "the last news of ABCUSDT came 10 min" in found.why
    assert reading(made, "stale_data", NOW + SECOND).state is QUIET


def test_trades_that_mirror_one_another_are_suspected() -> None:
    made = monitors()
    for n in range(6):
        made.witness(trade(quantity=7 + n, side=Side.BUY, at_ns=NOW + n))
        made.witness(trade(quantity=7 + n, side=Side.SELL, at_ns=NOW + n + SECOND))
    found = reading(made, "wash_volume", NOW + 2 * SECOND)
    assert (found.state, found.value) == (TRIPPED, "1.0000")
    assert "suspected wash trading" in found.why


@pytest.mark.parametrize(
    ("side", "later_ns", "quantity"),
    [(Side.BUY, SECOND, 7), (Side.SELL, MIRROR_NS + 1, 7), (Side.SELL, SECOND, "7.01")],
    ids=["same side", "too late", "another size"],
)
def test_what_has_no_mirror_image_is_not(side: Side, later_ns: int, quantity: object) -> None:
    made = monitors()
    for n in range(6):
        at_ns = NOW + n * 5 * SECOND
        made.witness(trade(quantity=7, side=Side.BUY, at_ns=at_ns))
        made.witness(trade(quantity=quantity, side=side, at_ns=at_ns + later_ns))
    assert reading(made, "wash_volume", NOW + 30 * SECOND).value == "0.0000"


def test_a_market_in_which_only_takers_sell_is_one_sided() -> None:
    made = monitors()
    for n in range(5):
        made.witness(trade(quantity=1 + n, side=Side.SELL))
    assert reading(made, "one_sided").state is TRIPPED
    made.witness(trade(quantity="2.5"))
    assert reading(made, "one_sided").state is QUIET


def test_few_trades_say_nothing_about_volume() -> None:
    made = monitors()
    for n in range(4):
        made.witness(trade(quantity=1 + n, side=Side.SELL))
    assert {states(made)[name] for name in ("wash_volume", "one_sided")} == {UNKNOWN}


@pytest.mark.parametrize(
    "clock",
    [ClockReading(0, 0, NOW - 61 * SECOND), ClockReading(300 * MILLISECOND, 0, NOW), ClockReading(0, 1, NOW)],
)
def test_the_clock_is_judged_by_the_very_rule_of_the_limits(clock: ClockReading) -> None:
    found = reading(monitors(clock=clock), "clock")
    breaches = list(risk.clock_breaches(clock, LIMITS, NOW))
    assert found.state is (TRIPPED if breaches else QUIET)
    assert not breaches or found.why == "; ".join(breach.why for breach in breaches)


def test_a_clock_that_was_never_measured_is_unknown() -> None:
    made = Monitors(RULES, LIMITS, lambda: None)
    assert made.common(NOW)[0].state is UNKNOWN


def test_failed_answers_trip_for_as_long_as_they_are_of_the_last_minute() -> None:
    made = monitors()
    for n in range(5):
        made.failed(NOW + n * SECOND, f"answer {n} did not come")
    found = reading(made, "venue_errors", NOW + 5 * SECOND)
    assert (found.state, found.value, found.bound) == (TRIPPED, "5", "5")
    assert found.why == "5 answers failed or were lost within a minute; the last one: answer 4 did not come"
    assert reading(made, "venue_errors", NOW + 60 * SECOND).state is WARNING
    assert reading(made, "venue_errors", NOW + 2 * MINUTE).state is QUIET


def test_an_opening_that_moves_away_begins_anew_and_a_smaller_order_does_not() -> None:
    made = traded()
    made.follow({ABC: replace(STAKE, quote=Decimal(20))})
    assert reading(made, "spread").state is QUIET
    made.follow({ABC: replace(STAKE, opens_ns=NOW + MINUTE)})
    assert reading(made, "spread").state is UNKNOWN


def test_what_its_snipe_has_left_is_still_the_market_that_was_watched() -> None:
    made = traded()
    made.follow({ABC: Stake()})
    assert reading(made, "spread").state is QUIET


def test_windows_stay_small_however_much_passes_through_them() -> None:
    made = monitors()
    for n in range(20_000):
        at_ns = NOW + n * 10 * MILLISECOND
        made.see(book(levels((Decimal(30_000 - n), 1)), at_ns=at_ns))
        made.witness(trade(quantity=n + 1, at_ns=at_ns))
    watched = made._markets[ABC]
    assert len(watched.bids._falling) <= GRAINS
    assert len(watched.flow._grains) <= GRAINS
    assert len(watched.mirrors._order) <= MIRROR_NS // (10 * MILLISECOND) + 1
    assert len(watched.mirrors._waiting) <= len(watched.mirrors._order)


steps = st.integers(min_value=-2 * SECOND, max_value=20 * SECOND)


def times_of(waits: Sequence[int]) -> list[int]:
    times = [NOW]
    for wait in waits:
        times.append(times[-1] + wait)
    return times[1:]


@given(st.lists(st.tuples(steps, st.integers(1, 9)), max_size=60), st.integers(0, 90))
def test_the_highest_of_a_window_is_the_naive_one(rows: list, later_s: int) -> None:
    times, values = times_of([wait for wait, _ in rows]), [value for _, value in rows]
    highest = Highest[int](MINUTE)
    for at_ns, value in zip(times, values, strict=True):
        highest.put(at_ns, value)
    now_ns = max(times, default=NOW) + later_s * SECOND
    found = highest.at(now_ns)
    assert (found[0] if found else None) == naive.highest(values, times, MINUTE, now_ns)


@given(st.lists(steps, max_size=60), st.integers(0, 90))
def test_the_count_of_a_window_is_the_naive_one(waits: list, later_s: int) -> None:
    times, count = times_of(waits), Count(MINUTE)
    for at_ns in times:
        count.put(at_ns)
    now_ns = max(times, default=NOW) + later_s * SECOND
    assert count.at(now_ns) == len(naive.inside(times, MINUTE, now_ns))


forward = st.integers(min_value=0, max_value=3 * SECOND)
sides = st.sampled_from(Side)


@given(st.lists(st.tuples(forward, st.integers(1, 4), sides), max_size=60), st.integers(0, 90))
def test_shares_of_the_volume_are_the_naive_ones(rows: list, later_s: int) -> None:
    times = times_of([wait for wait, _, _ in rows])
    trades = [trade(quantity, side, at_ns) for at_ns, (_, quantity, side) in zip(times, rows, strict=True)]
    made = monitors(MonitorSettings(least_trades=5))
    for each in trades:
        made.witness(each)
    now_ns = max(times, default=NOW) + later_s * SECOND
    count, sold, wash = naive.shares(trades, MINUTE, now_ns, MIRROR_NS)
    if count < 5:
        assert {states(made, now_ns)[name] for name in ("wash_volume", "one_sided")} == {UNKNOWN}
        return
    assert reading(made, "one_sided", now_ns).value == f"{sold:.4f}"
    assert reading(made, "wash_volume", now_ns).value == f"{wash:.4f}"


def test_an_empty_window_forgets_what_was_rounded() -> None:
    flow = Flow(MINUTE)
    flow.put(NOW, Decimal("0.1234567890123456789012345678"), True)
    flow.put(NOW, Decimal("98765432109876543210.9"), False)
    total = flow.total(NOW + 2 * MINUTE)
    assert (total.trades, total.value, total.sold) == (0, Decimal(0), Decimal(0))
