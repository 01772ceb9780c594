"""The world: established pairs that live, orders, time, listeners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import Accepted, Cancelled, Happening, Refused, Traded, TradeSeen
from mexclab.errors import DomainError
from mexclab.venues.matcher import EVERYBODY, Matcher
from mexclab.venues.orders import Status
from mexclab.venues.simulator.market import SimulatedMarket
from mexclab.venues.simulator.pairs import ESTABLISHED
from mexclab.venues.simulator.world import PAPER_ACCOUNT, Account, World, WorldTerms
from tests.venues.world_acts import ALICE, BOB, BTC, MX, START, TERMS, Act, acts, near, order, seen


@pytest.fixture
def world() -> World:
    return World(TERMS)


def buy(world: World, quote: int, away: int, kind: OrderType = OrderType.LIMIT) -> str:
    """Alice's order for BTC; its venue id."""
    price = near(world, BTC, away)
    quantity = world.matcher.books[BTC].market.whole_lots(Decimal(quote) / price)
    placed = world.place("alice", BTC, order("alice", Side.BUY, kind, (quantity, price))).order
    assert placed is not None
    return placed.venue_id


# -- always the same -------------------------------------------------------------------------------


def test_the_same_seed_and_orders_give_the_same_world_and_another_seed_another() -> None:
    lives = []
    for seed in (7, 7, 8):
        world = World(replace(TERMS, seed=seed))
        world.advance(START + 3 * SECOND)
        buy(world, 500, 3)
        world.advance(START + 10 * SECOND)
        lives.append(seen(world))
    assert lives[0] == lives[1]
    assert lives[0]["books"] != lives[2]["books"]


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=12))
@settings(max_examples=10, deadline=None)
def test_how_time_is_cut_into_steps_changes_nothing(spans_ms: list[int]) -> None:
    steps, leap = World(TERMS), World(TERMS)
    for span_ms in spans_ms:
        steps.advance(steps.now_ns + span_ms * MILLISECOND)
    leap.advance(steps.now_ns)
    assert seen(steps) == seen(leap)


def test_listings_trade_in_a_world_as_they_do_in_the_simulated_market_alone() -> None:
    world = World(replace(TERMS, accounts=()))
    matcher = Matcher({})
    market = SimulatedMarket(matcher, TERMS.seed, START, (TERMS.maker_fee, TERMS.taker_fee))
    script = min((each for each in market.scripts() if each.opens_ns > START), key=lambda each: each.opens_ns)
    world.leave_alone(script.opens_ns - MINUTE)
    market.advance(script.opens_ns - MINUTE)
    assert list(world.entries()) == [row for row in market.entries() if row.open_ns > START]
    for each in (world, market):
        each.advance(script.opens_ns + 20 * SECOND)
    books = [books[script.symbol].levels(20) for books in (world.matcher.books, matcher.books)]
    assert books[0] == books[1] != ((), ())


# -- established pairs -----------------------------------------------------------------------------


def test_the_books_of_established_pairs_are_deep_uncrossed_and_near_their_price(world: World) -> None:
    for _ in range(60):
        world.advance(world.now_ns + 500 * MILLISECOND)
        for symbol, pair in ((each.symbol, each) for each in map(ESTABLISHED.__getitem__, TERMS.pairs)):
            book = world.book(symbol)
            assert book is not None
            bids, asks = book.levels(200)
            assert min(len(bids), len(asks)) >= 50
            assert bids[0][0] < asks[0][0]
            assert (asks[0][0] / bids[0][0] - 1) < Decimal(str(8 * pair.spread + 3e-4))
            assert abs(float(bids[0][0] / pair.price) - 1) < 0.02
            assert 0.97 < float(bids[-1][0] / bids[0][0]) < 0.999


def test_a_world_can_have_a_hundred_levels_on_each_side() -> None:
    world = World(replace(TERMS, levels=110))
    world.advance(START + SECOND)
    for symbol in (BTC, MX):
        bids, asks = world.matcher.books[symbol].levels(100)
        assert len(bids) == len(asks) == 100


def test_a_pair_trades_about_as_much_as_it_is_said_to() -> None:
    world = World(replace(TERMS, pairs=("ETHUSDT", "XRPUSDT")))
    world.advance(START + 10 * MINUTE)
    for name in ("ETHUSDT", "XRPUSDT"):
        pair = ESTABLISHED[name]
        bars = world.history.candles(pair.symbol, "1m", START, START + 10 * MINUTE)
        assert len(bars) == 10
        turnover = sum(float(bar.quote_volume) for bar in bars) * 144
        assert 0.4 < turnover / pair.turnover_day < 2.5
        moves = [float(bar.close / bar.open) - 1 for bar in bars]
        spread = (sum(move * move for move in moves) / len(moves)) ** 0.5 * 1440**0.5
        assert 0.4 < spread / pair.volatility_day < 2.5


def test_established_pairs_have_a_past_when_the_world_starts(world: World) -> None:
    for symbol in (BTC, MX):
        bars = world.history.candles(symbol, "1m", limit=1000)
        assert len(bars) == 1000
        assert all(after.open == before.close for before, after in pairwise(bars))
        assert all(
            bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars
        )
        day = world.history.day(symbol)
        assert day is not None
        assert day.count > 1000
        assert abs(day.last / ESTABLISHED[str(symbol)].price - 1) < Decimal("0.001")
        trades = world.history.trades(symbol, 200)
        assert len(trades) == 200
        assert len({trade.trade_id for trade in trades}) == 200
        assert len(world.history.candles(symbol, "1d", limit=300)) == 300


def test_a_pair_that_does_not_exist_is_named() -> None:
    with pytest.raises(DomainError, match="'NOUSDT' is no established pair of BTCUSDT"):
        World(replace(TERMS, pairs=("NOUSDT",)))


# -- orders ----------------------------------------------------------------------------------------


def test_an_order_that_crosses_trades_at_once_and_one_that_does_not_rests(world: World) -> None:
    taken = world.matcher.find("alice", buy(world, 500, 20, OrderType.IMMEDIATE_OR_CANCEL))
    rests = world.matcher.find("alice", buy(world, 500, -20))
    assert taken is not None
    assert rests is not None
    assert taken.status is Status.FILLED
    assert rests.status is Status.NEW
    assert world.matcher.balances("alice")["BTC"].total == Decimal("0.02") + taken.filled
    levels = dict(world.matcher.books[BTC].levels(1000)[0])
    assert levels[rests.price] >= Decimal(rests.quantity or 0)


def test_the_market_comes_to_an_order_that_rests_at_the_touch(world: World) -> None:
    book = world.matcher.books[BTC]
    assert book.best_ask is not None
    price = book.best_ask - book.market.tick
    quantity = book.market.whole_lots(1000 / price)
    world.place("alice", BTC, order("alice", Side.BUY, OrderType.LIMIT, (quantity, price)))
    world.advance(START + 2 * MINUTE)
    trades = world.matcher.own_trades("alice", 0)
    assert trades
    assert all(trade.fill.is_maker and trade.fill.price == price for trade in trades)


def test_cancelling_gives_back_what_was_held(world: World) -> None:
    ids = [buy(world, 500, -30), buy(world, 400, -40)]
    news = world.cancel("alice", ids[0])
    assert [type(told) for told in news] == [Cancelled]
    assert world.cancel("alice", ids[0]).refusal is not None
    assert world.cancel("bob", ids[1]).refusal is not None, "another's order is unknown"
    assert len(world.cancel_all("alice")) == 1
    assert world.matcher.balances("alice")["USDT"].free == Decimal(5_000)


def test_a_symbol_that_the_venue_has_not_told_of_is_invalid(world: World) -> None:
    hidden = next(s for s in world.market.scripts() if s.announced_ns > START + 8 * HOUR)
    for symbol in (Symbol("NOWHERE"), hidden.symbol):
        request = order("alice", Side.BUY, OrderType.LIMIT, (Decimal(1), Decimal(1)))
        news = world.place("alice", symbol, request)
        assert news.refusal is not None
        assert news.refusal.code == -1121
        assert [type(told) for told in news] == [Refused]
        assert world.book(symbol) is None


def test_nobody_places_an_order_of_another(world: World) -> None:
    request = order("bob", Side.BUY, OrderType.MARKET, (Decimal("0.001"), None))
    with pytest.raises(DomainError, match="cannot be placed by alice"):
        world.place("alice", BTC, request)


def test_an_owner_with_two_keys_is_paid_in_once(world: World) -> None:
    world.add_account(Account("alice", "second", "00", {"USDT": Decimal(5_000)}))
    assert world.accounts["second"].owner == "alice"
    assert world.matcher.balances("alice")["USDT"].total == Decimal(5_000)
    world.deposit("alice", "USDT", Decimal(-4_000))
    with pytest.raises(DomainError, match="more than is free"):
        world.deposit("alice", "USDT", Decimal(-2_000))


def test_secrets_are_not_shown() -> None:
    assert ALICE.secret not in repr(ALICE) + repr(TERMS)
    assert World(WorldTerms(START, 1, pairs=())).accounts == {PAPER_ACCOUNT.key: PAPER_ACCOUNT}


# -- time and news ---------------------------------------------------------------------------------


def test_what_is_scheduled_happens_at_its_moment_and_in_order(world: World) -> None:
    happened: list[tuple[str, int]] = []

    def note(name: str) -> None:
        happened.append((name, world.now_ns))
        world.advance(world.now_ns + HOUR)  # from within: changes nothing

    for name, after_ms in (("c", 900), ("a", 500), ("b", 500), ("past", -5)):
        world.schedule(START + after_ms * MILLISECOND, lambda name=name: note(name))
    assert world.next_ns() == START
    world.advance(START + 700 * MILLISECOND)
    assert happened == [("past", START), *((name, START + 500 * MILLISECOND) for name in "ab")]
    world.advance(START)
    assert world.now_ns == START + 700 * MILLISECOND, "time does not go back"
    world.advance(START + SECOND)
    assert happened[-1] == ("c", START + 900 * MILLISECOND)


def test_a_listener_hears_everybodys_trades_and_each_owners_own_news(world: World) -> None:
    heard: list[tuple[str, Happening]] = []
    stop = world.listen(lambda owner, told: heard.append((owner, told)))
    buy(world, 500, 20, OrderType.IMMEDIATE_OR_CANCEL)
    assert {owner for owner, _ in heard} == {EVERYBODY, "alice"}
    assert next(type(told) for owner, told in heard if owner == "alice") is Accepted
    own = [told.fill.quantity for _, told in heard if isinstance(told, Traded)]
    public = [told.trade.quantity for _, told in heard if isinstance(told, TradeSeen)]
    assert own == public
    world.advance(START + 5 * SECOND)
    agents = [told for owner, told in heard if owner == EVERYBODY]
    assert len(agents) > len(public)
    assert {type(told) for told in agents} == {TradeSeen}
    stop()
    stop()
    count = len(heard)
    world.advance(START + 10 * SECOND)
    assert len(heard) == count


def test_the_history_knows_a_trade_before_it_is_told(world: World) -> None:
    missing: list[Happening] = []

    def check(_: str, told: Happening) -> None:
        if isinstance(told, TradeSeen):
            known = [(trade.price, trade.at_ns) for trade in world.history.trades(told.trade.symbol, 50)]
            if (told.trade.price, told.trade.at_ns) not in known:
                missing.append(told)

    world.listen(check)
    world.advance(START + 20 * SECOND)
    assert missing == []


def totals(world: World) -> dict[str, Decimal]:
    return {asset: world.matcher.accounts.total(asset) for asset in ("USDT", "BTC", "MX")}


@given(st.lists(acts, min_size=5, max_size=30))
@settings(max_examples=25, deadline=None)
def test_whatever_happens_no_money_is_made_or_lost(life: Sequence[Act]) -> None:
    world = World(TERMS)
    paid = sum((account.balances["USDT"] for account in (ALICE, BOB)), Decimal(0))
    for act in life:
        before = world.matcher.accounts.total("USDT")
        act(world)
        total = totals(world)
        if act.__qualname__.startswith("_paid"):
            paid += total["USDT"] - before
        assert total == {"USDT": paid, "BTC": Decimal("0.02"), "MX": Decimal(300)}
        for owner in ("alice", "bob"):
            assert all(held.free >= 0 <= held.locked for held in world.matcher.balances(owner).values())
