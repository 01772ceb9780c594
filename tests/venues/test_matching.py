"""The order book by itself: order types, rules, priority, quotes, versions."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.errors import DomainError
from mexclab.venues.matching import HOUSE, NewOrder, OrderBook, Outcome, Phase, Status
from tests.naive.matching_naive import NaiveMarket

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
IOC, FOK, MAKER = OrderType.IMMEDIATE_OR_CANCEL, OrderType.FILL_OR_KILL, OrderType.LIMIT_MAKER
RULES = Market(Symbol("ACE"), tick=D("0.01"), lot=D("0.1"), min_notional=D(5))


@pytest.fixture
def book() -> OrderBook:
    return OrderBook(RULES)


def send(
    book: OrderBook, name: str, side: Side, quantity: str | None, price: str | None, kind: OrderType = LIMIT
) -> Outcome:
    amount, limit = (None if text is None else D(text) for text in (quantity, price))
    return book.submit(NewOrder(name, name[0], side, kind, amount, limit), at_ns=7)


def spend(book: OrderBook, quote: str) -> Outcome:
    return book.submit(NewOrder("spender", "s", BUY, MARKET, None, None, D(quote)), at_ns=7)


def trades(outcome: Outcome) -> list[tuple[str, Decimal, Decimal]]:
    return [(x.maker_order_id, x.price, x.quantity) for x in outcome.executions]


def ladder(book: OrderBook) -> None:
    """Sellers: a1 10 at 10.00, a2 10 at 10.00, a3 10 at 10.10, a4 10 at 11.00."""
    for name, price in (("a1", "10.00"), ("a2", "10.00"), ("a3", "10.10"), ("a4", "11.00")):
        assert send(book, name, SELL, "10", price).status is Status.NEW


# -- order types -----------------------------------------------------------------------------------


def test_a_limit_order_that_does_not_cross_rests(book: OrderBook) -> None:
    outcome = send(book, "b1", BUY, "10", "9.99")
    assert outcome == Outcome(Status.NEW)
    assert book.levels(5) == (((D("9.99"), D("10.0")),), ())
    assert (book.best_bid, book.best_ask, len(book)) == (D("9.99"), None, 1)


def test_a_limit_order_trades_at_the_makers_prices_oldest_first_and_rests_the_remainder(
    book: OrderBook,
) -> None:
    ladder(book)
    outcome = send(book, "b1", BUY, "35", "10.50")
    assert outcome.status is Status.PARTIALLY_FILLED
    assert trades(outcome) == [("a1", D(10), D(10)), ("a2", D(10), D(10)), ("a3", D("10.10"), D(10))]
    assert book.levels(5) == (((D("10.50"), D("5.0")),), ((D("11.00"), D("10.0")),))
    assert book.last == D("10.10")


def test_a_partly_filled_maker_keeps_its_place(book: OrderBook) -> None:
    ladder(book)
    send(book, "b1", BUY, "4", "10")
    assert trades(send(book, "b2", BUY, "7", "10")) == [("a1", D(10), D(6)), ("a2", D(10), D(1))]


def test_a_post_only_order_that_would_take_is_refused_whole(book: OrderBook) -> None:
    ladder(book)
    outcome = send(book, "b1", BUY, "10", "10.00", MAKER)
    assert (outcome.status, outcome.refusal.code) == (Status.REJECTED, 30041)
    assert send(book, "b2", BUY, "10", "9.99", MAKER).status is Status.NEW
    assert send(book, "c1", SELL, "10", "9.99", MAKER).refusal.code == 30041


def test_an_immediate_or_cancel_order_never_rests(book: OrderBook) -> None:
    ladder(book)
    assert send(book, "b1", BUY, "10", "9.00", IOC).status is Status.CANCELED
    outcome = send(book, "b2", BUY, "25", "10.00", IOC)
    assert (outcome.status, len(outcome.executions)) == (Status.PARTIALLY_CANCELED, 2)
    assert send(book, "b3", BUY, "10", "10.10", IOC).status is Status.FILLED
    assert book.best_bid is None


def test_a_fill_or_kill_order_fills_whole_or_not_at_all(book: OrderBook) -> None:
    ladder(book)
    before = book.levels(9)
    assert send(book, "b1", BUY, "30.1", "10.10", FOK) == Outcome(Status.CANCELED)
    assert book.levels(9) == before
    assert send(book, "b2", BUY, "30", "10.10", FOK).status is Status.FILLED


def test_a_market_order_stops_at_the_band_around_the_touch(book: OrderBook) -> None:
    ladder(book)
    outcome = send(book, "b1", BUY, "35", None, MARKET)  # 11.00 is more than 5 % above 10.00
    assert (outcome.status, sum(x.quantity for x in outcome.executions)) == (Status.PARTIALLY_CANCELED, D(30))


def test_a_price_on_a_market_order_narrows_its_bound(book: OrderBook) -> None:
    ladder(book)
    assert len(send(book, "b1", BUY, "35", "10.05", MARKET).executions) == 2
    assert send(book, "b2", BUY, "5", "10.05", MARKET).status is Status.CANCELED


def test_a_market_sell_is_bounded_below(book: OrderBook) -> None:
    send(book, "b1", BUY, "10", "10.00")
    send(book, "b2", BUY, "10", "9.50")
    send(book, "b3", BUY, "10", "9.49")
    assert trades(send(book, "a1", SELL, "30", None, MARKET))[-1] == ("b2", D("9.50"), D(10))


def test_a_market_order_without_an_opponent_is_refused(book: OrderBook) -> None:
    assert send(book, "b1", BUY, "10", None, MARKET).refusal.code == 30025


def test_a_market_buy_in_quote_spends_at_most_that_in_whole_lots(book: OrderBook) -> None:
    ladder(book)
    outcome = spend(book, "206.5")  # 200 for the first two, then 6.5 buys 0.6 at 10.10
    assert outcome.status is Status.FILLED
    assert trades(outcome)[-1] == ("a3", D("10.10"), D("0.6"))
    assert sum(x.price * x.quantity for x in outcome.executions) == D("206.06")


def test_a_market_buy_in_quote_that_runs_out_of_sellers_is_partially_cancelled(book: OrderBook) -> None:
    ladder(book)
    outcome = spend(book, "100000")
    assert (outcome.status, len(outcome.executions)) == (Status.PARTIALLY_CANCELED, 3)


def test_money_too_small_for_one_lot_buys_nothing() -> None:
    book = OrderBook(Market(Symbol("ACE"), tick=D("1"), lot=D("1"), min_notional=D(1)))
    send(book, "a1", SELL, "3", "10")
    assert spend(book, "9") == Outcome(Status.CANCELED)


def test_cancelling_tells_whether_some_of_it_had_traded(book: OrderBook) -> None:
    ladder(book)
    send(book, "b1", BUY, "4", "10")
    assert book.cancel("a1").status is Status.PARTIALLY_CANCELED
    assert book.cancel("a2").status is Status.CANCELED
    assert book.cancel("a2").refusal.code == -2011
    assert book.best_ask == D("10.10")


def test_a_trade_with_oneself_happens_and_is_flagged(book: OrderBook) -> None:
    send(book, "me-1", SELL, "10", "10")
    send(book, "you-1", SELL, "10", "10")
    assert [x.is_self_trade for x in send(book, "me-2", BUY, "20", "10").executions] == [True, False]


def test_the_house_is_many_people_and_never_trades_with_itself(book: OrderBook) -> None:
    book.submit(NewOrder("h1", HOUSE, SELL, LIMIT, D(10), D(10)), 0)
    assert not book.submit(NewOrder("h2", HOUSE, BUY, LIMIT, D(10), D(10)), 0).executions[0].is_self_trade


def test_each_leg_of_a_trade_has_an_id_of_its_own(book: OrderBook) -> None:
    ladder(book)
    first, second = send(book, "b1", BUY, "15", "10").executions
    assert (first.taker_trade_id, first.maker_trade_id, first.trade_id) == ("1X1", "2X1", "1X0_2X0")
    assert second.number == 3


def test_an_order_id_rests_only_once(book: OrderBook) -> None:
    send(book, "b1", BUY, "10", "9")
    with pytest.raises(DomainError, match="rests already"):
        send(book, "b1", BUY, "10", "8")


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [
        *(("10", price, 33333) for price in ("9.999", "0", "-9", "NaN", "sNaN", "Infinity", None)),
        *((quantity, "9", 10096) for quantity in ("10.05", "0.05", "1E+40")),
        *((quantity, "9", 10102) for quantity in ("0", "-10")),
        (None, "9", 10095),
        ("NaN", "9", 33333),
        ("1E+25", "9", 33333),
        ("0.5", "9.99", 30002),  # worth 4.995 of at least 5
    ],
)
def test_a_malformed_order_is_refused(book: OrderBook, quantity: str, price: str, code: int) -> None:
    outcome = send(book, "b1", BUY, quantity, price)
    assert (outcome.status, outcome.refusal.code, len(book)) == (Status.REJECTED, code, 0)


def test_the_refusal_of_a_small_order_names_the_minimum(book: OrderBook) -> None:
    words = "The minimum transaction volume cannot be less than:5USDT"
    assert send(book, "b1", BUY, "0.1", "1").refusal.words == words
    send(book, "a1", SELL, "10", "10")
    assert spend(book, "4.99").refusal.words == words
    assert send(book, "b2", BUY, "0.4", None, MARKET).refusal.words == words


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ((SELL, MARKET, None, None, D(100)), 33333),  # only buyers spend quote
        ((BUY, MARKET, D(1), None, D(100)), 33333),
        ((BUY, LIMIT, None, D(10), D(100)), 33333),
        ((BUY, MARKET, None, None, D("NaN")), 33333),
        ((BUY, MARKET, None, None, D("1E+99")), 33333),
        ((BUY, MARKET, None, None, None), 10095),
        ((BUY, MARKET, D(10), D("10.001"), None), 33333),
    ],
)
def test_a_market_order_with_the_wrong_terms_is_refused(book: OrderBook, fields: tuple, code: int) -> None:
    ladder(book)
    assert book.submit(NewOrder("b1", "b", *fields), 0).refusal.code == code


@pytest.mark.parametrize(
    ("phase", "buy", "sell"),
    [
        (Phase.NOT_OPEN, 10007, 10007),
        (Phase.OPEN, None, None),
        (Phase.PAUSED, 30016, 30016),
        (Phase.BUY_ONLY, None, 30001),
        (Phase.SELL_ONLY, 30001, None),
        (Phase.CLOSED, 30000, 30000),
    ],
)
def test_a_phase_decides_what_is_taken(
    book: OrderBook, phase: Phase, buy: int | None, sell: int | None
) -> None:
    send(book, "old", BUY, "10", "8")
    book.phase = phase
    for side, price, code in ((BUY, "9", buy), (SELL, "11", sell)):
        refusal = send(book, f"x{side}", side, "10", price).refusal
        assert (refusal and refusal.code) == code
    assert book.cancel("old").status is Status.CANCELED  # always possible


def test_the_house_may_fill_the_book_before_the_open_but_not_trade_through_a_pause(book: OrderBook) -> None:
    book.phase = Phase.NOT_OPEN
    assert book.requote("maker", {990: 10}, {1010: 10}, 0).refusal is None
    book.phase = Phase.PAUSED
    assert book.requote("maker", {995: 10}, {}, 0).refusal.code == 30016
    assert book.best_bid == D("9.90")
    assert book.requote("maker", {}, {}, 0).refusal is None
    assert book.levels(1) == ((), ())


def test_a_price_band_holds_takers_near_the_last_price() -> None:
    book = OrderBook(RULES, price_band=D("0.2"), last=D(10))
    assert send(book, "b1", BUY, "10", "12.01").refusal.code == 30087
    assert send(book, "b2", SELL, "10", "7.99", IOC).refusal.code == 30087
    assert send(book, "b3", BUY, "10", "12.00").refusal is None
    assert send(book, "b4", SELL, "10", "99").refusal is None  # only the aggressive side is held
    assert send(book, "b5", SELL, "10", "12.00").executions
    assert send(book, "b6", BUY, "10", "14.40").refusal is None  # the band follows the last price


def test_a_quote_that_stays_or_shrinks_keeps_its_place_and_one_that_grows_loses_it(book: OrderBook) -> None:
    book.requote("maker", {}, {1000: 50, 1001: 50, 1002: 50}, 0)
    for name, price in (("a1", "10.00"), ("a2", "10.01"), ("a3", "10.02")):
        send(book, name, SELL, "1", price)
    book.requote("maker", {}, {1000: 50, 1001: 40, 1002: 60}, 0)
    taken = trades(send(book, "b1", BUY, "18", "10.02"))
    assert taken == [
        ("maker", D("10.00"), D(5)),
        ("a1", D("10.00"), D(1)),
        ("maker", D("10.01"), D(4)),
        ("a2", D("10.01"), D(1)),
        ("a3", D("10.02"), D(1)),
        ("maker", D("10.02"), D(6)),
    ]


def test_a_quote_that_crosses_takes_the_order_it_meets(book: OrderBook) -> None:
    send(book, "b1", BUY, "1", "10.00")
    outcome = book.requote("maker", {990: 5}, {999: 30}, 0)
    assert trades(outcome) == [("b1", D("10.00"), D(1))]
    assert book.levels(1) == (((D("9.90"), D("0.5")),), ((D("9.99"), D("2.0")),))


def test_quotes_that_cross_each_other_are_an_error(book: OrderBook) -> None:
    with pytest.raises(DomainError, match="its own price"):
        book.requote("maker", {1000: 1}, {1000: 1}, 0)
    with pytest.raises(DomainError, match="above zero"):
        book.requote("maker", {0: 1}, {}, 0)
    with pytest.raises(DomainError, match="above zero"):
        book.requote("maker", {1: 0}, {}, 0)


def test_changes_since_a_version_turn_the_old_levels_into_the_new(book: OrderBook) -> None:
    rng = random.Random(5)
    seen: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    version = 0
    for n in range(400):
        side = BUY if rng.random() < 0.5 else SELL
        send(book, f"x{n}", side, str(rng.randint(10, 90)), f"{rng.randint(985, 1015) / 100:.2f}")
        book.cancel(f"x{rng.randint(0, n)}")
        if rng.random() < 0.2:
            changes = book.changes_since(version)
            assert (changes.from_version, changes.to_version) == (version, book.version)
            version = changes.to_version
            for name in seen:
                seen[name].update(getattr(changes, name))
                seen[name] = {price: quantity for price, quantity in seen[name].items() if quantity}
            bids, asks = book.levels(10**6)
            assert (seen["bids"], seen["asks"]) == (dict(bids), dict(asks))
    assert book.changes_since(version + 10**6) is None


def test_a_version_too_old_to_remember_asks_for_a_snapshot(book: OrderBook) -> None:
    for _ in range(40_000):
        send(book, "x", BUY, "10", "9")
        book.cancel("x")
    assert book.version == 80_000
    assert book.changes_since(0) is None
    assert book.changes_since(79_999).bids == ((D("9.00"), D("0.0")),)


def test_the_same_commands_give_the_same_trades() -> None:
    def run() -> list[tuple]:
        rng, book, out = random.Random(11), OrderBook(RULES), []
        for n in range(2_000):
            side, kind = rng.choice((BUY, SELL)), rng.choice((LIMIT, LIMIT, IOC, FOK, MAKER))
            price = f"{rng.randint(980, 1020) / 100:.2f}"
            out.append(send(book, f"x{n}", side, str(rng.randint(1, 99)), price, kind))
            out.append(book.cancel(f"x{rng.randint(0, n)}"))
        return [*out, book.levels(99), book.version]

    assert run() == run()


def test_a_long_queue_with_many_cancels_keeps_its_order(book: OrderBook) -> None:
    rng, alive = random.Random(3), []
    for n in range(3_000):
        send(book, f"a{n}", SELL, "1", "10")
        alive.append(f"a{n}")
        if rng.random() < 0.9:
            book.cancel(alive.pop(rng.randrange(len(alive))))
        if n % 50 == 49:
            assert trades(send(book, f"b{n}", BUY, "1", "10"))[0][0] == alive.pop(0)
    assert [maker for maker, _, _ in trades(send(book, "b", BUY, str(len(alive)), "10"))] == alive


# -- against the naive twin ------------------------------------------------------------------------

kinds = st.sampled_from((LIMIT, LIMIT, LIMIT, IOC, FOK, MAKER, MARKET))
lots = st.integers(1, 60)


def quotes(low: int, high: int) -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(low, high), lots, max_size=4)


commands = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(Side), kinds, lots, st.integers(985, 1015)),
        st.tuples(st.just("spend"), st.integers(1, 4_000)),
        st.tuples(st.just("cancel"), st.integers(0, 60)),
        st.tuples(st.just("requote"), quotes(985, 999), quotes(1000, 1015), st.integers(-8, 8)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(commands, st.booleans())
def test_the_book_does_what_the_naive_book_does(script: list[tuple], banded: bool) -> None:
    band = D("0.007") if banded else None
    book, naive = OrderBook(RULES, band), NaiveMarket(RULES, {})
    naive.band = band
    for n, (what, *args) in enumerate(script):
        name = f"x{n}"
        match what:
            case "submit":
                side, kind, lots, ticks = args
                terms = (lots * RULES.lot, None if kind is MARKET else ticks * RULES.tick, None)
                outcome = book.submit(NewOrder(name, HOUSE, side, kind, *terms), n)
                expected = naive.submit(name, HOUSE, side, kind, terms)
            case "spend":
                terms = (None, None, D(args[0]) / 10)
                outcome = book.submit(NewOrder(name, HOUSE, BUY, MARKET, *terms), n)
                expected = naive.submit(name, HOUSE, BUY, MARKET, terms)
            case "cancel":
                outcome = book.cancel(f"x{args[0]}")
                expected = naive.cancel(f"x{args[0]}"), []
            case _:
                bids, asks, shift = args
                bids, asks = ({p + shift: q for p, q in side.items()} for side in (bids, asks))
                outcome = book.requote("maker", bids, asks, n)
                priced = ({p * RULES.tick: q * RULES.lot for p, q in side.items()} for side in (bids, asks))
                expected = "NEW", naive.requote("maker", *priced)
        said = outcome.refusal.code if outcome.refusal else str(outcome.status)
        assert (said, trades(outcome)) == (expected[0], [(x.maker, x.price, x.quantity) for x in expected[1]])
        assert book.levels(99) == (tuple(naive.levels(BUY)), tuple(naive.levels(SELL)))
        assert book.last == naive.last
