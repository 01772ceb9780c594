"""The simulated market: days that a seed writes, and agents that trade on them within their reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Accepted, BookSeen, Happening, Refused, Traded, TradeSeen
from mexclab.venues.matcher import Matcher, News
from mexclab.venues.orders import HOUSE
from mexclab.venues.simulator.market import API_LIST_NS, TAKER_REACH, SimulatedMarket, _mid
from mexclab.venues.simulator.scenario import FATES, QUIET_NS, Fate, ListingScript, listing_day_script

ME = "me"
TODAY = 20_600
FEES = (Decimal(0), Decimal("0.0005"))
DEPOSIT = Decimal(100_000)

days = st.integers(19_000, 22_000)
seeds = st.integers(0, 2**31)


def script_of(fate: Fate, seed: int = 7) -> ListingScript:
    return next(script for script in listing_day_script(TODAY, seed) if script.fate is fate)


class HouseOrders(Matcher):
    """The matcher itself, which also notes what the agents asked for and what they got."""

    def __init__(self) -> None:
        super().__init__({ME: {"USDT": DEPOSIT}})
        self.asked: list[tuple[Side, Decimal, News, int]] = []

    def house(
        self, symbol: Symbol, side: Side, kind: OrderType, size: tuple[Decimal, Decimal | None], at_ns: int
    ) -> News:
        news = super().house(symbol, side, kind, size, at_ns)
        assert kind is OrderType.IMMEDIATE_OR_CANCEL
        assert size[1] is not None
        self.asked.append((side, size[1], news, at_ns))
        return news


def market_before(script: ListingScript, seed: int = 7) -> SimulatedMarket:
    """The market a minute before the script's opening."""
    return SimulatedMarket(HouseOrders(), seed, script.opens_ns - MINUTE, FEES)


def entry(script: ListingScript, client_id: str, quote: int = 50) -> Order:
    market, price = script.market(*FEES), script.placeholder * 8
    quantity = market.whole_lots(Decimal(quote) / price)
    limit = market.limit_price(price, Side.BUY)
    return Order(client_id, script.symbol, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, quantity, limit)


def steps(market: SimulatedMarket, until_ns: int) -> Iterator[tuple[int, list[Happening]]]:
    """Each moment at which something happens, alone."""
    while (at_ns := market.next_ns()) <= until_ns:
        yield at_ns, market.advance(at_ns)


# -- scenario --------------------------------------------------------------------------------------


@given(days, seeds)
@settings(max_examples=20)
def test_the_same_day_and_seed_write_the_same_script(day: int, seed: int) -> None:
    first = listing_day_script(day, seed)
    assert listing_day_script(day, seed) == first
    assert listing_day_script(day, seed + 1) != first
    assert listing_day_script(day + 1, seed) != first


@given(days, seeds)
@settings(max_examples=40)
def test_a_day_has_every_fate_and_openings_apart_and_within_it(day: int, seed: int) -> None:
    scripts = listing_day_script(day, seed)
    assert Counter(script.fate for script in scripts) == Counter(FATES)
    assert set(FATES) == set(Fate)
    assert len({script.symbol for script in scripts}) == len({s.coin_id for s in scripts}) == len(scripts)
    announced = [script.open_ns for script in scripts]
    assert all(there - here >= QUIET_NS for here, there in pairwise(announced))
    real = [script.opens_ns for script in scripts]
    assert all(there - here >= 30 * MINUTE for here, there in pairwise(real)), (
        "postponed ones collide with none"
    )
    assert day * DAY <= min(announced)
    assert max(real) < (day + 1) * DAY


@given(days, seeds)
@settings(max_examples=40)
def test_all_but_the_late_one_are_announced_well_ahead_and_none_after_it_opened(day: int, seed: int) -> None:
    for script in listing_day_script(day, seed):
        lead = script.open_ns - script.announced_ns
        assert (lead < 3.5 * HOUR) == (script.fate is Fate.LATE)
        assert lead > 0
        assert (script.moved_ns is not None) == (script.fate is Fate.POSTPONED)
        assert (script.gap is not None) == (script.fate is Fate.GAP)


@given(days, seeds)
@settings(max_examples=40)
def test_a_postponed_row_shows_its_new_time_only_from_the_moment_it_is_published(day: int, seed: int) -> None:
    script = next(s for s in listing_day_script(day, seed) if s.fate is Fate.POSTPONED)
    assert script.moved_ns is not None
    assert script.announced_ns < script.moved_ns < script.open_ns < script.opens_ns
    for now, shown in (
        (script.announced_ns, script.open_ns),
        (script.moved_ns - 1, script.open_ns),
        (script.moved_ns, script.opens_ns),
        (script.opens_ns, script.opens_ns),
    ):
        row, state = script.calendar(now), script.state(now)
        assert row is not None
        assert row.open_ns == shown
        assert state is None or state.open_ns == shown


@given(days, seeds, st.sampled_from(Fate))
@settings(max_examples=40)
def test_a_row_is_shown_from_its_announcement_until_a_day_after_the_opening(
    day: int, seed: int, fate: Fate
) -> None:
    script = next(s for s in listing_day_script(day, seed) if s.fate is fate)
    moments = (script.announced_ns - 1, script.announced_ns, script.opens_ns + DAY - 1, script.opens_ns + DAY)
    assert [script.calendar(now) is not None for now in moments] == [False, True, True, False]
    assert script.state(script.announced_ns - 1) is None
    joined = script.calendar(script.opens_ns), script.state(script.opens_ns)
    assert {row.coin_id for row in joined if row is not None} == {script.coin_id}


def test_the_states_climb_the_ladder_and_end_where_they_began() -> None:
    script = script_of(Fate.PLAIN)
    before = {
        3 * HOUR: (1, 1, 1),
        2 * HOUR + 1: (1, 1, 1),
        2 * HOUR: (2, 1, 1),
        30 * MINUTE + 1: (2, 1, 1),
        30 * MINUTE: (2, 2, 2),
        12 * MINUTE: (2, 2, 4),
        1: (2, 2, 4),
        0: (1, 1, 1),
        -HOUR: (1, 1, 1),
    }
    states = {left: script.state(script.open_ns - left) for left in before}
    assert {left: state and state.triple for left, state in states.items()} == before


def test_a_postponed_listing_climbs_down_and_up_again() -> None:
    script = script_of(Fate.POSTPONED)
    assert script.moved_ns is not None
    rows = [script.state(at) for at in (script.moved_ns - 1, script.moved_ns, script.opens_ns - MINUTE)]
    assert [row.triple for row in rows if row is not None] == [(2, 2, 2), (2, 1, 1), (2, 2, 4)]


# -- before and at the opening ---------------------------------------------------------------------


def test_before_the_opening_orders_get_10007_and_from_it_on_they_are_taken() -> None:
    script = script_of(Fate.PLAIN)
    market = market_before(script)
    market.advance(script.opens_ns - 1)
    (refused,) = market.matcher.submit(ME, entry(script, "a-b-1"), script.opens_ns - 1)
    assert isinstance(refused, Refused)
    assert refused.code == 10007
    assert len(market.matcher.books[script.symbol].levels(1)[0]) == 0, "nobody quotes before the opening"
    market.advance(script.opens_ns)
    told = market.matcher.submit(ME, entry(script, "a-b-2"), script.opens_ns)
    assert isinstance(next(iter(told)), Accepted)


def test_a_symbol_that_is_never_tradable_by_api_stays_at_10007() -> None:
    script = script_of(Fate.NOT_BY_API)
    market = market_before(script)
    for after_ns in (-1, 0, SECOND, HOUR):
        at_ns = script.opens_ns + after_ns
        news = market.advance(at_ns)
        assert not any(isinstance(x, BookSeen) and x.book.symbol == script.symbol for x in news)
        (refused,) = market.matcher.submit(ME, entry(script, f"a-b-{after_ns + 2}"), at_ns)
        assert isinstance(refused, Refused)
        assert refused.code == 10007
    assert market.is_api_tradable(script.symbol) is False


def test_whether_a_symbol_is_tradable_by_api_is_said_an_hour_ahead_and_not_before() -> None:
    script = script_of(Fate.PLAIN)
    market = SimulatedMarket(HouseOrders(), 7, script.announced_ns - MINUTE, FEES)
    assert market.is_api_tradable(script.symbol) is None
    assert market.market(script.symbol) is None, "no rules before the row is there"
    assert market.reference_price(script.symbol) is None
    market.advance(script.opens_ns - API_LIST_NS - 1)
    assert market.is_api_tradable(script.symbol) is None
    market.advance(script.opens_ns - API_LIST_NS)
    assert market.is_api_tradable(script.symbol) is True
    assert market.market(script.symbol) == script.market(*FEES)
    assert market.reference_price(script.symbol) == script.placeholder


def test_a_postponed_listing_opens_at_its_new_time_only() -> None:
    script = script_of(Fate.POSTPONED)
    market = SimulatedMarket(HouseOrders(), 7, script.open_ns - MINUTE, FEES)
    market.advance(script.opens_ns - 1)
    (refused,) = market.matcher.submit(ME, entry(script, "a-b-1"), market.now_ns)
    assert isinstance(refused, Refused)
    market.advance(script.opens_ns)
    assert market.matcher.books[script.symbol].best_ask is not None


def test_a_wild_gap_opens_above_any_sensible_cap_and_a_common_one_below() -> None:
    for fate, is_above in ((Fate.GAP, True), (Fate.PLAIN, False)):
        script = script_of(fate)
        market = market_before(script)
        market.advance(script.opens_ns)
        ask = market.matcher.books[script.symbol].best_ask
        assert ask is not None
        assert (ask > 3 * script.placeholder) is is_above


# -- agents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_after_every_requote_a_book_has_two_sides_that_do_not_cross(seed: int) -> None:
    script = script_of(Fate.PLAIN, seed)
    market = market_before(script, seed)
    told = 0
    for at_ns, news in steps(market, script.opens_ns + 2 * MINUTE):
        books = [x.book for x in news if isinstance(x, BookSeen)]
        assert all(book.at_ns == at_ns for book in books)
        if (at_ns - script.opens_ns) % (100 * MILLISECOND):
            continue  # between two requotes the crowd may empty a side
        for book in books:
            assert book.bid is not None
            assert book.ask is not None
            assert book.bid < book.ask
            assert all(level.quantity > 0 for level in book.bids + book.asks)
            told += 1
    assert told > 100


@pytest.mark.parametrize("seed", [7, 8])
def test_takers_reach_no_further_through_the_reference_price_than_they_may(seed: int) -> None:
    script = script_of(Fate.PLAIN, seed)
    market = market_before(script, seed)
    matcher = market.matcher
    assert isinstance(matcher, HouseOrders)
    market.advance(script.opens_ns + 2 * MINUTE)
    (stage,) = [stage for stage in market._stages if stage.script == script]
    traded = 0
    for side, limit, news, at_ns in matcher.asked:
        mid = _mid(stage, at_ns - script.opens_ns)
        far = mid * (1 + TAKER_REACH) if side is Side.BUY else mid * (1 - TAKER_REACH) - float(script.tick)
        sign = 1 if side is Side.BUY else -1
        assert sign * float(limit) <= sign * far * (1 + sign * 1e-9)
        for trade in (x.trade for x in news if isinstance(x, TradeSeen)):
            traded += 1
            assert trade.side is side
            assert sign * trade.price <= sign * limit
    assert traded > 100


def test_one_advance_or_many_come_to_the_same_market() -> None:
    script = script_of(Fate.PLAIN)
    whole, parts = market_before(script), market_before(script)
    until = script.opens_ns + 20 * SECOND
    at_once = whole.advance(until)
    bit_by_bit: list[Happening] = []
    for at_ns in range(script.opens_ns - SECOND, until + 1, 37 * MILLISECOND):
        bit_by_bit += parts.advance(at_ns)
    bit_by_bit += parts.advance(until)
    assert at_once == bit_by_bit
    assert len(at_once) > 100


def test_the_same_seed_trades_the_same_and_another_seed_does_not() -> None:
    script = script_of(Fate.PLAIN)
    until = script.opens_ns + 10 * SECOND
    first, again = (market_before(script).advance(until) for _ in range(2))
    other = script_of(Fate.PLAIN, seed=8)
    assert first == again
    assert first != market_before(other, seed=8).advance(other.opens_ns + 10 * SECOND)


def test_nothing_is_made_or_lost_while_we_trade_with_the_agents() -> None:
    script = script_of(Fate.PLAIN)
    market = market_before(script)
    accounts, base = market.matcher.accounts, script.symbol.base
    fills: list[Traded] = []
    rounds = range(0, 60, 5)
    for second in rounds:
        at_ns = script.opens_ns + second * SECOND + 1
        fills += [x for x in market.advance(at_ns) if isinstance(x, Traded)]
        told = market.matcher.submit(ME, entry(script, f"a-b-{second}", quote=400), at_ns)
        rests = _sale(market, script, f"a-s-{second}")
        told_of_sale = market.matcher.submit(ME, rests, at_ns) if rests is not None else ()
        fills += [x for x in (*told, *told_of_sale) if isinstance(x, Traded)]
        assert accounts.total("USDT") == DEPOSIT
        assert accounts.total(base) == 0
        assert all(balance.free >= 0 <= balance.locked for balance in accounts.balances(ME).values())
    assert {report.fill.side for report in fills} == {Side.BUY, Side.SELL}
    assert any(report.fill.is_maker for report in fills), "an agent took our resting order"
    signed = {Side.BUY: -1, Side.SELL: 1}
    earned = sum(signed[r.fill.side] * r.fill.value - r.fill.fee for r in fills)
    assert accounts.balance(ME, "USDT").total == DEPOSIT + earned
    assert accounts.balance(HOUSE, "USDT").total == -earned - accounts.fees.get("USDT", Decimal(0))


def _sale(market: SimulatedMarket, script: ListingScript, client_id: str) -> Order | None:
    """All that is free, offered at the best bid's next tick: it rests at the top of the book."""
    rules, book = script.market(*FEES), market.matcher.books[script.symbol]
    free = rules.whole_lots(market.matcher.accounts.balance(ME, script.symbol.base).free)
    if free <= 0 or book.best_bid is None or rules.is_dust(free, book.best_bid):
        return None
    price = book.best_bid + script.tick
    return Order(client_id, script.symbol, Side.SELL, OrderType.LIMIT, free, price)


def test_every_day_is_written_a_day_ahead_and_a_name_lists_once() -> None:
    market = SimulatedMarket(HouseOrders(), 7, TODAY * DAY, FEES)
    known = {script.opens_ns // DAY for script in market.scripts()}
    assert known == {TODAY, TODAY + 1}
    assert len({script.symbol for script in market.scripts()}) == len(market.scripts())
    rows = market.entries()
    assert {row.ticker for row in rows} == {
        script.symbol.base for script in market.scripts() if script.announced_ns <= market.now_ns
    }
