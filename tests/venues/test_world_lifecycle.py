"""A symbol's life in a world: announced, shown, listed, opened; postponed, paused, limited, delisted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain.clock import HOUR, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import Cancelled, Happening
from mexclab.errors import DomainError
from mexclab.venues.orders import NewOrder, Status
from mexclab.venues.simulator.scenario import Fate, ListingScript, listing_day_script
from mexclab.venues.simulator.world import SymbolRow, World
from tests.venues.world_acts import BTC, MX, TERMS, near, order

DAY_OF_DEMO = 20_600


def script_of(fate: Fate) -> ListingScript:
    return next(script for script in listing_day_script(DAY_OF_DEMO, TERMS.seed) if script.fate is fate)


def world_at(at_ns: int, pairs: tuple[str, ...] = ()) -> World:
    return World(replace(TERMS, start_ns=at_ns, pairs=pairs))


def row(world: World, symbol: Symbol) -> SymbolRow:
    found = world.row(str(symbol))
    assert found is not None
    return found


def code(world: World, symbol: Symbol, side: Side = Side.BUY) -> int | None:
    """The code that a small order is refused with, None when it is taken."""
    market = world.market.market(symbol) or world.matcher.books[symbol].market
    last = world.matcher.books[symbol].last or world.market.reference_price(symbol)
    assert last is not None
    price = market.limit_price(last, side)
    request = order("alice", side, OrderType.LIMIT, (market.whole_lots(20 / price), price))
    refusal = world.place("alice", symbol, request).refusal
    return None if refusal is None else refusal.code


# -- by the script ---------------------------------------------------------------------------------


def test_a_listing_is_announced_then_shown_then_listed_for_the_api_then_open() -> None:
    script = script_of(Fate.PLAIN)
    name = str(script.symbol)
    world = world_at(script.announced_ns - MINUTE)
    seen = []
    shown = max(script.announced_ns, script.open_ns - 6 * HOUR)
    moments = (
        script.announced_ns - 1,
        shown - 1,
        shown,
        script.open_ns - HOUR,
        script.open_ns - 1,
        script.open_ns,
    )
    for at_ns in moments:
        world.advance(at_ns)
        found = world.row(name)
        facts = None if found is None else (found.status, found.api_tradable, found.is_api_listed)
        in_calendar = script.symbol.base in {entry.ticker for entry in world.entries()}
        in_states = script.symbol.base in {state.ticker for state in world.states()}
        seen.append((in_calendar, in_states, facts))
        if found is not None:
            assert found.first_open_ns == script.open_ns
            assert (found.coin_id, found.full_name) == (script.coin_id, script.full_name)
            assert (found.market.tick, found.market.lot) == (script.tick, script.lot)
            assert (code(world, script.symbol) == 10007) == (at_ns < script.open_ns)
        else:
            assert world.book(script.symbol) is None
    assert seen[0] == (False, False, None)
    assert seen[1][0] == (shown > script.announced_ns)
    assert seen[2:] == [
        (True, True, ("1", False, False)),
        (True, True, ("1", False, True)),
        (True, True, ("1", False, True)),
        (True, True, ("1", True, True)),
    ]


def test_one_that_never_trades_by_api_is_never_in_the_api_list() -> None:
    script = script_of(Fate.NOT_BY_API)
    world = world_at(script.open_ns - MINUTE)
    for at_ns in (script.open_ns - SECOND, script.open_ns + HOUR):
        world.advance(at_ns)
        found = row(world, script.symbol)
        assert (found.api_tradable, found.is_api_listed) == (False, False)
        assert code(world, script.symbol) == 10007


def test_a_listings_first_bar_opens_at_its_placeholder_price() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - MINUTE)
    assert world.history.candles(script.symbol, "1m") == []
    assert world.history.day(script.symbol) is None
    world.advance(script.open_ns + 3 * SECOND)
    (first,) = world.history.candles(script.symbol, "1m")
    assert (first.open, first.open_ns) == (script.placeholder, script.open_ns)
    assert first.high > first.open
    assert first.volume == sum(trade.quantity for trade in world.history.trades(script.symbol, 1000))


def test_a_day_has_an_announcement_for_everything_that_was_told() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.announced_ns - MINUTE)
    before = len(world.announcements())
    world.advance(script.announced_ns)
    newest = world.announcements()[0]
    assert len(world.announcements()) == before + 1
    assert newest.at_ns == script.announced_ns
    assert script.symbol.base in newest.title
    world.postpone(script.symbol, script.open_ns + HOUR)
    assert "moved" in world.announcements()[0].title
    assert len({told.url for told in world.announcements()}) == before + 2


# -- openings that move ----------------------------------------------------------------------------


@pytest.mark.parametrize("by_ns", [HOUR, -30 * MINUTE])
def test_an_opening_can_be_moved_later_or_earlier_and_every_table_says_so(by_ns: int) -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - HOUR)
    to_ns = script.open_ns + by_ns
    world.postpone(script.symbol, to_ns)
    shown = {entry.open_ns for entry in world.entries() if entry.ticker == script.symbol.base}
    shown |= {state.open_ns for state in world.states() if state.ticker == script.symbol.base}
    assert shown | {row(world, script.symbol).first_open_ns} == {to_ns}
    world.advance(to_ns - 1)
    assert code(world, script.symbol) == 10007
    world.advance(to_ns)
    assert code(world, script.symbol) is None
    assert row(world, script.symbol).api_tradable
    world.advance(to_ns + 3 * SECOND)
    assert world.history.trades(script.symbol)


def test_an_opening_that_has_happened_is_taken_back_until_the_new_one() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - MINUTE)
    world.advance(script.open_ns + MINUTE)
    assert code(world, script.symbol) is None
    again = world.now_ns + 5 * MINUTE
    world.postpone(script.symbol, again)
    found = row(world, script.symbol)
    assert (found.api_tradable, found.first_open_ns) == (False, again)
    assert code(world, script.symbol) == 10007
    world.advance(again)
    assert code(world, script.symbol) is None
    assert row(world, script.symbol).api_tradable


def test_an_opening_is_not_moved_into_the_past_and_nothing_happens_to_what_is_not_there() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - HOUR)
    before = world.rows()
    with pytest.raises(DomainError, match="that is past"):
        world.postpone(script.symbol, world.now_ns)
    acts: list[Callable[[Symbol], None]] = [
        world.pause, world.reopen, world.delist, lambda symbol: world.limit_sides(symbol, Side.BUY),
        lambda symbol: world.forbid_api(symbol, None),
        lambda symbol: world.postpone(symbol, world.now_ns + HOUR),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(DomainError, match="NOWHEREUSDT is not on this venue"):
            act(Symbol("NOWHERE"))
    assert world.rows() == before


# -- decrees ---------------------------------------------------------------------------------------


def test_a_pause_refuses_orders_freezes_the_book_and_ends() -> None:
    world = world_at(TERMS.start_ns, ("BTCUSDT",))
    world.pause(BTC)
    assert row(world, BTC).status == "2"
    assert code(world, BTC) == 30016
    frozen = world.matcher.books[BTC].levels(60)
    world.advance(world.now_ns + 10 * SECOND)
    assert world.matcher.books[BTC].levels(60) == frozen
    world.reopen(BTC)
    assert row(world, BTC).status == "1"
    assert code(world, BTC) is None
    world.advance(world.now_ns + SECOND)
    assert world.matcher.books[BTC].levels(60) != frozen


def test_a_pause_before_the_opening_outlasts_it() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - MINUTE)
    world.pause(script.symbol)
    world.advance(script.open_ns + MINUTE)
    assert code(world, script.symbol) == 30016
    assert world.history.trades(script.symbol) == []
    world.reopen(script.symbol)
    assert code(world, script.symbol) is None


@pytest.mark.parametrize(("side", "type_"), [(Side.BUY, 2), (Side.SELL, 3)])
def test_one_side_only_is_one_side_only(side: Side, type_: int) -> None:
    world = world_at(TERMS.start_ns, ("BTCUSDT",))
    world.limit_sides(BTC, side)
    assert row(world, BTC).side_type == type_
    assert code(world, BTC, side) is None
    assert code(world, BTC, side.opposite) == 30001
    world.limit_sides(BTC, None)
    assert row(world, BTC).side_type == 1
    assert code(world, BTC, side.opposite) is None


def test_orders_by_api_are_forbidden_until_their_time_while_others_trade_on() -> None:
    world = world_at(TERMS.start_ns, ("BTCUSDT", "MXUSDT"))
    until = world.now_ns + 30 * SECOND
    world.forbid_api(BTC, until)
    world.forbid_api(MX, None)
    assert not row(world, BTC).api_tradable
    assert row(world, BTC).status == "1"
    last = world.history.trades(BTC, 1)[0].at_ns
    world.advance(until - 1)
    assert (code(world, BTC), code(world, MX)) == (10007, 10007)
    assert world.history.trades(BTC, 1)[0].at_ns > last
    world.advance(until)
    assert (code(world, BTC), code(world, MX)) == (None, 10007)
    assert row(world, BTC).api_tradable
    world.forbid_api(MX, world.now_ns)
    assert code(world, MX) is None


def test_a_delisting_cancels_what_rests_gives_it_back_and_empties_the_book() -> None:
    world = world_at(TERMS.start_ns, ("BTCUSDT",))
    heard: list[tuple[str, Happening]] = []
    price = near(world, BTC, -50)
    request = NewOrder("", "alice", Side.BUY, OrderType.LIMIT, Decimal("0.01"), price)
    placed = world.place("alice", BTC, request).order
    world.listen(lambda owner, told: heard.append((owner, told)))
    world.delist(BTC)
    assert [(owner, type(told)) for owner, told in heard] == [("alice", Cancelled)]
    assert placed is not None
    assert placed.status is Status.CANCELED
    assert world.matcher.balances("alice")["USDT"].locked == 0
    found = row(world, BTC)
    assert (found.status, found.side_type, found.api_tradable) == ("3", 4, False)
    assert found.offline_ns == world.now_ns
    assert code(world, BTC) == 30000
    world.advance(world.now_ns + 5 * SECOND)
    assert world.matcher.books[BTC].levels(5) == ((), ())
    assert next(state.sts for state in world.states() if state.ticker == "BTC") == 3
    world.reopen(BTC)
    world.advance(world.now_ns + SECOND)
    assert len(world.matcher.books[BTC].levels(60)[0]) == 60
    assert code(world, BTC) is None


def test_a_delisted_listing_leaves_the_calendar() -> None:
    script = script_of(Fate.PLAIN)
    world = world_at(script.open_ns - HOUR)
    world.delist(script.symbol)
    assert script.symbol.base not in {entry.ticker for entry in world.entries()}
    world.advance(script.open_ns + SECOND)
    assert code(world, script.symbol) == 30000
    assert world.history.trades(script.symbol) == []
