"""Accounts and the matcher: reservations, fees, settlement, reports; and all of it against the naive twin."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import Order, OrderState, OrderType
from mexclab.domain.reports import Accepted, Balance, Cancelled, Refused, Traded, TradeSeen
from mexclab.errors import DomainError
from mexclab.venues.accounts import FeeAsset
from mexclab.venues.matcher import EVERYBODY, Matcher, News
from mexclab.venues.matching import HOUSE, NewOrder, Phase, Status
from tests.naive.matching_naive import NaiveMarket

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
IOC, FOK, MAKER = OrderType.IMMEDIATE_OR_CANCEL, OrderType.FILL_OR_KILL, OrderType.LIMIT_MAKER
ACE = Symbol("ACE")
RULES = Market(ACE, D("0.01"), D("0.1"), min_notional=D(5), maker_fee=D("0.0001"), taker_fee=D("0.0005"))
FUNDS = {"ann": {"USDT": D(1000), "ACE": D(100)}, "bob": {"USDT": D(1000), "ACE": D(100)}}


@pytest.fixture
def matcher() -> Matcher:
    matcher = Matcher(FUNDS)
    matcher.add(RULES)
    return matcher


def place(
    matcher: Matcher,
    who: str,
    side: Side,
    terms: tuple[str | None, ...],
    kind: OrderType = LIMIT,
    name: str = "",
) -> News:
    """``terms``: quantity, price, quote quantity."""
    amounts = [None if text is None else D(text) for text in terms]
    quantity, price, spend = [*amounts, None, None][:3]
    return matcher.place(ACE, NewOrder("", who, side, kind, quantity, price, spend, name), at_ns=9)


def money(matcher: Matcher, who: str) -> tuple[Balance, Balance]:
    return matcher.accounts.balance(who, "USDT"), matcher.accounts.balance(who, "ACE")


# -- reservations and settlement -------------------------------------------------------------------


def test_a_resting_buy_holds_its_value_and_the_takers_fee(matcher: Matcher) -> None:
    place(matcher, "ann", BUY, ("10", "9"))
    assert money(matcher, "ann")[0] == Balance(D("909.955"), D("90.045"))


def test_a_resting_sell_holds_what_it_sells(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("10", "9"))
    assert money(matcher, "ann")[1] == Balance(D(90), D(10))


def test_a_trade_moves_money_and_goods_and_collects_both_fees(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("10", "9"))
    place(matcher, "bob", BUY, ("10", "9.50"))
    assert money(matcher, "ann") == (Balance(D("1089.991"), D(0)), Balance(D(90), D(0)))
    assert money(matcher, "bob") == (Balance(D("909.955"), D(0)), Balance(D(110), D(0)))
    assert matcher.accounts.fees == {"USDT": D("0.054")}


def test_a_better_price_frees_the_difference_at_once(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("5", "9"))
    place(matcher, "bob", BUY, ("10", "10"))
    usdt, _ = money(matcher, "bob")
    assert usdt.locked == D("50.025")  # five more at ten, with the fee
    assert usdt.total == D(1000) - D("45.0225")


def test_cancelling_frees_what_was_held(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("4", "9"))
    place(matcher, "bob", BUY, ("10", "9"), name="b1")
    news = matcher.cancel("bob", "b1", 10)
    assert (news.order.status, news.order.filled) == (Status.PARTIALLY_CANCELED, D(4))
    assert money(matcher, "bob")[0] == Balance(D("963.982"), D(0))
    assert matcher.cancel("bob", "b1", 11).refusal.code == -2011


def test_the_whole_balance_less_the_fee_can_be_spent_and_not_a_lot_more(matcher: Matcher) -> None:
    assert place(matcher, "ann", BUY, ("100", "10")).refusal == (10101, "Insufficient balance")
    assert place(matcher, "ann", BUY, ("99.9", "10")).refusal is None


def test_selling_more_than_is_free_is_oversold(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("60", "9"))
    assert place(matcher, "ann", SELL, ("40.1", "9")).refusal == (30005, "Oversold")
    assert place(matcher, "ann", SELL, ("40", "9")).refusal is None


def test_a_market_buy_in_quote_pays_its_fee_on_top(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("100", "9"))
    assert place(matcher, "bob", BUY, (None, None, "1000"), MARKET).refusal.code == 10101
    assert place(matcher, "bob", BUY, (None, None, "900"), MARKET).order.filled == D(100)
    assert money(matcher, "bob") == (Balance(D("99.55"), D(0)), Balance(D(200), D(0)))


def test_a_fee_in_the_asset_received_makes_the_buyer_receive_less() -> None:
    matcher = Matcher(FUNDS, FeeAsset.RECEIVED)
    matcher.add(RULES)
    place(matcher, "ann", SELL, ("10", "9"))
    news = place(matcher, "bob", BUY, ("10", "9"), name="b1")
    assert money(matcher, "bob") == (Balance(D(910), D(0)), Balance(D("109.995"), D(0)))
    fill = news.to("bob")[2].fill
    assert (fill.fee, fill.fee_asset) == (D("0.005"), "ACE")


def test_a_fee_is_rounded_down_to_eighteen_places() -> None:
    rules = replace(RULES, tick=D("0.0000000000001"), taker_fee=D("0.00033333"), min_notional=D(0))
    matcher = Matcher(FUNDS)
    matcher.add(rules)
    place(matcher, "ann", SELL, ("0.1", "1.0000000000001"))
    place(matcher, "bob", BUY, ("0.1", "1.0000000000001"))
    assert matcher.fills("bob", 0)[0].fee == D("0.000033333000000003")
    assert matcher.accounts.total("USDT") == D(2000)


def test_the_house_trades_without_an_account_and_pays_no_fee(matcher: Matcher) -> None:
    matcher.requote(ACE, "maker", {}, {900: 100}, 0)
    place(matcher, "ann", BUY, ("10", "9"))
    assert matcher.balances(HOUSE) == {"ACE": Balance(D(-10), D(0)), "USDT": Balance(D(90), D(0))}
    assert matcher.accounts.total("USDT") == D(2000)
    assert matcher.house(ACE, SELL, LIMIT, (D(10), D(8)), 0).refusal is None
    assert not list(matcher.house(ACE, BUY, LIMIT, (D(5), D(7)), 0))  # nothing traded: nobody is told


def test_no_more_can_be_taken_out_than_is_free(matcher: Matcher) -> None:
    with pytest.raises(DomainError, match="more than is free"):
        matcher.accounts.deposit("ann", "USDT", D(-1001))


# -- reports ---------------------------------------------------------------------------------------


def test_everybody_is_told_what_concerns_them_in_order(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("5", "9"), name="a1")
    news = place(matcher, "bob", BUY, ("10", "9"), IOC, "b1")
    assert [(whom, type(what)) for whom, what in news.told] == [
        ("bob", Accepted),
        (EVERYBODY, TradeSeen),
        ("bob", Traded),
        ("ann", Traded),
        ("bob", Cancelled),
    ]
    assert news.order.status is Status.PARTIALLY_CANCELED
    mine, theirs = news.to("bob")[2].fill, news.to("ann")[1].fill
    assert (mine.side, mine.is_maker, mine.client_id) == (BUY, False, "b1")
    assert (theirs.side, theirs.is_maker, theirs.client_id) == (SELL, True, "a1")
    assert mine.trade_id != theirs.trade_id
    assert (mine.fee, theirs.fee) == (D("0.0225"), D("0.0045"))


def test_a_refusal_carries_the_venues_code_and_words(matcher: Matcher) -> None:
    matcher.set_phase(ACE, Phase.NOT_OPEN)
    news = place(matcher, "ann", BUY, ("10", "9"), name="a1")
    assert list(news) == [Refused("a1", 10007, "symbol not support api", 9)]
    assert matcher.find("ann", "a1") is None


def test_a_client_id_is_used_once_by_an_owner_and_a_refused_one_may_be_used_again(matcher: Matcher) -> None:
    assert place(matcher, "ann", BUY, ("10", "999"), name="a1").refusal.code == 10101
    assert place(matcher, "ann", BUY, ("10", "9"), name="a1").refusal is None
    matcher.cancel("ann", "a1", 9)
    assert place(matcher, "ann", BUY, ("10", "9"), name="a1").refusal == (400, "duplicate client order id")
    assert place(matcher, "bob", BUY, ("10", "9"), name="a1").refusal is None
    assert place(matcher, "ann", BUY, ("10", "9"), name="a 1").refusal.code == 700008


def test_an_order_is_found_by_either_id_and_only_by_its_owner(matcher: Matcher) -> None:
    placed = place(matcher, "ann", BUY, ("10", "9"), name="a1").order
    assert placed.venue_id == "C02__000000000000000000001"
    assert matcher.find("ann", "a1") is matcher.find("ann", placed.venue_id) is placed
    assert matcher.find("bob", placed.venue_id) is None
    assert matcher.cancel("bob", placed.venue_id, 9).refusal.code == -2011


def test_an_order_of_the_domain_is_reported_back_as_the_port_wants_it(matcher: Matcher) -> None:
    order = Order("a1", ACE, BUY, LIMIT, D(10), D(9))
    matcher.submit("ann", order, 3)
    told = matcher.order("ann", "a1")
    assert (told.state, told.quantity, told.price, told.filled) == (OrderState.ACCEPTED, D(10), D(9), D(0))
    assert matcher.open_orders("ann") == [told]
    place(matcher, "bob", SELL, ("10", "9"))
    assert matcher.order("ann", "a1").state is OrderState.FILLED
    assert matcher.open_orders("ann") == []
    assert matcher.order("ann", "a2") is None


def test_own_trades_are_listed_from_a_time_on(matcher: Matcher) -> None:
    for at_ns in (10, 20, 30):
        matcher.submit("ann", Order(f"a{at_ns}", ACE, SELL, LIMIT, D(1), D(9)), at_ns)
        matcher.submit("bob", Order(f"b{at_ns}", ACE, BUY, LIMIT, D(1), D(9)), at_ns)
    assert [fill.client_id for fill in matcher.fills("ann", 20)] == ["a20", "a30"]
    assert matcher.fills("nobody", 0) == []


def test_a_trade_with_oneself_is_two_fills_and_costs_only_the_fees(matcher: Matcher) -> None:
    place(matcher, "ann", SELL, ("10", "9"))
    place(matcher, "ann", BUY, ("10", "9"))
    first, second = matcher.own_trades("ann", 0)
    assert first.is_self_trade
    assert second.is_self_trade
    assert first.fill.trade_id != second.fill.trade_id
    assert money(matcher, "ann") == (Balance(D("999.946"), D(0)), Balance(D(100), D(0)))


def test_an_account_may_have_only_so_many_open_orders() -> None:
    matcher = Matcher(FUNDS, max_open_orders=2)
    matcher.add(RULES)
    for price in ("8", "9"):
        assert place(matcher, "ann", BUY, ("1", price)).refusal is None
    assert place(matcher, "ann", BUY, ("1", "7")).refusal.code == 30029
    assert len(matcher.cancel_all(9, owner="ann", symbol=ACE)) == 2
    assert place(matcher, "ann", BUY, ("1", "7")).refusal is None


def test_books_never_share_a_trade_id_and_an_unlisted_symbol_is_refused() -> None:
    matcher, other = Matcher(FUNDS), Symbol("BEE")
    assert place(matcher, "ann", BUY, ("1", "9")).refusal.code == -1121
    for symbol in (ACE, other):
        matcher.add(replace(RULES, symbol=symbol))
        matcher.requote(symbol, "maker", {}, {900: 100}, 0)
        matcher.submit("ann", Order(f"on{symbol}", symbol, BUY, LIMIT, D(1), D(9)), 1)
    ids = [fill.trade_id for fill in matcher.fills("ann", 0)]
    assert ids == ["500000000000000000X1", "501000000000000000X1"]
    with pytest.raises(DomainError, match="listed already"):
        matcher.add(RULES)


def test_an_account_cannot_be_called_the_house(matcher: Matcher) -> None:
    with pytest.raises(DomainError, match="not the name of an account"):
        place(matcher, HOUSE, BUY, ("1", "9"))


# -- against the naive twin ------------------------------------------------------------------------

WILD = replace(RULES, maker_fee=D("0.00007"), taker_fee=D("0.000333333333333333"))
TICKS, LOTS = st.integers(980, 1020), st.integers(1, 700)


class Venue(RuleBasedStateMachine):
    """Two accounts and the house, the matcher and its naive twin, step by step."""

    @initialize(fee_in_base=st.booleans())
    def begin(self, fee_in_base: bool) -> None:
        self.matcher = Matcher(FUNDS, FeeAsset.RECEIVED if fee_in_base else FeeAsset.QUOTE)
        self.book = self.matcher.add(WILD)
        deposits = {(who, asset): held for who, assets in FUNDS.items() for asset, held in assets.items()}
        self.naive = NaiveMarket(WILD, deposits, fee_in_base)
        self.count = 0

    def same(self, news: News, expected: tuple[str | int, list]) -> None:
        said = news.refusal.code if news.refusal else str(news.order.status)
        traded = [(x.price, x.quantity) for x in news.executions]
        assert (said, traded) == (expected[0], [(x.price, x.quantity) for x in expected[1]])

    def both(self, who: str, side: Side, kind: OrderType, terms: tuple[Decimal | None, ...]) -> None:
        self.count += 1
        quantity, price, spend = terms
        name = f"x{self.count}"
        news = self.matcher.place(
            ACE, NewOrder("", who, side, kind, quantity, price, spend, name), self.count
        )
        self.same(news, self.naive.submit(name, who, side, kind, terms))

    @rule(
        who=st.sampled_from(("ann", "bob")),
        side=st.sampled_from((BUY, SELL)),
        kind=st.sampled_from((LIMIT, LIMIT, LIMIT, IOC, FOK, MAKER, MARKET)),
        ticks=TICKS,
        lots=LOTS,
    )
    def order(self, who: str, side: Side, kind: OrderType, ticks: int, lots: int) -> None:
        price = None if kind is MARKET else ticks * WILD.tick
        self.both(who, side, kind, (lots * WILD.lot, price, None))

    @rule(who=st.sampled_from(("ann", "bob")), cents=st.integers(100, 99_999))
    def spend(self, who: str, cents: int) -> None:
        self.both(who, BUY, MARKET, (None, None, D(cents) / 100))

    @rule(who=st.sampled_from(("ann", "bob")), back=st.integers(0, 12))
    def cancel(self, who: str, back: int) -> None:
        name = f"x{self.count - back}"
        mine = self.matcher.find(who, name)
        if mine is not None:
            self.same(self.matcher.cancel(who, name, self.count), (self.naive.cancel(name), []))

    @rule(
        bids=st.dictionaries(st.integers(980, 999), LOTS, max_size=3),
        asks=st.dictionaries(st.integers(1000, 1020), LOTS, max_size=3),
        shift=st.integers(-9, 9),
    )
    def requote(self, bids: dict[int, int], asks: dict[int, int], shift: int) -> None:
        bids, asks = ({ticks + shift: lots for ticks, lots in side.items()} for side in (bids, asks))
        priced = ({p * WILD.tick: q * WILD.lot for p, q in side.items()} for side in (bids, asks))
        news = self.matcher.requote(ACE, "maker", bids, asks, self.count)
        expected = self.naive.requote("maker", *priced)
        assert [(x.price, x.quantity) for x in news.executions] == [(x.price, x.quantity) for x in expected]

    @invariant()
    def books_agree(self) -> None:
        assert self.book.levels(99) == (tuple(self.naive.levels(BUY)), tuple(self.naive.levels(SELL)))

    @invariant()
    def balances_agree_and_none_is_negative(self) -> None:
        for who in FUNDS:
            for asset in ("USDT", "ACE"):
                balance = self.matcher.accounts.balance(who, asset)
                assert balance == Balance(self.naive.free(who, asset), self.naive.locked(who, asset))
                assert balance.free >= 0
                assert balance.locked >= 0
        assert self.matcher.accounts.fees == self.naive.fees

    @invariant()
    def what_is_locked_is_what_open_orders_hold(self) -> None:
        for who in FUNDS:
            held = {"USDT": D(0), "ACE": D(0)}
            for told in self.matcher.open_orders(who):
                hold = self.matcher.find(who, told.venue_id).hold
                held[hold.asset] += hold.locked
            assert held == {asset: self.matcher.accounts.balance(who, asset).locked for asset in held}

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        assert (self.matcher.accounts.total("USDT"), self.matcher.accounts.total("ACE")) == (D(2000), D(200))


Venue.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestVenue = Venue.TestCase
