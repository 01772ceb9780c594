"""Who earned what: the shares of symbols and of strategies, which add up to the portfolio."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.attribution import UNKNOWN, Share, attribution
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.portfolio import Portfolio
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError
from tests.domain.histories import random_history
from tests.domain.snipe_history import OPEN, plan

D = Decimal
ABC, DEF, MXP = Symbol("ABC"), Symbol("DEF"), Symbol("MX")
BUY, SELL = Side.BUY, Side.SELL


def planned(snipe_id: str, strategy: str, symbol: Symbol = ABC) -> e.SnipePlanned:
    return e.SnipePlanned(OPEN, replace(plan(snipe_id, symbol=symbol), strategy=strategy))


def traded(
    snipe_id: str,
    side: Side,
    size: str,
    price: str,
    fee: tuple[str, str] = ("0", "USDT"),
    symbol: Symbol = ABC,
) -> e.OrderFilled:
    trade = f"{snipe_id}{side}{size}{price}"
    made = Fill(trade, f"{snipe_id}-b-1", symbol, side, D(price), D(size), D(fee[0]), fee[1], OPEN)
    return e.OrderFilled(OPEN, made)


def closed(snipe_id: str) -> e.SnipeMoved:
    return e.SnipeMoved(OPEN + 9, snipe_id, SnipeState.CLOSED)


def by_name(shares: list[Share]) -> dict[str, Share]:
    return {share.name: share for share in shares}


def test_each_snipe_counts_for_its_symbol_and_for_its_strategy() -> None:
    told = [
        planned("a", "opening_snipe"), planned("b", "ladder", DEF), planned("c", "ladder", DEF),
        traded("a", BUY, "10", "2", ("0.1", "MX")), traded("a", SELL, "10", "3"), closed("a"),
        traded("b", BUY, "5", "4", symbol=DEF), traded("b", SELL, "5", "3", symbol=DEF), closed("b"),
        traded("c", BUY, "6", "1", ("0.5", "USDT"), DEF),
    ]  # fmt: skip
    shares = attribution(told)
    found = by_name(shares.by_strategy())
    assert list(found) == ["ladder", "opening_snipe"]
    mine, other = found["opening_snipe"], found["ladder"]
    assert (mine.snipes, mine.closed, mine.won, mine.win_rate) == (1, 1, 1, 1)
    assert (mine.realised, mine.fees, mine.other_fees) == (10, (("MX", D("0.1")),), ((MXP, D("0.1")),))
    assert (other.snipes, other.closed, other.won, other.win_rate) == (2, 1, 0, 0)
    assert (other.realised, other.bought, other.sold) == (-5, 26, 15)
    assert other.held == ((DEF, 6, D("6.5")),)
    worth = other.valued({DEF: D(2)})
    assert (worth.unrealised, worth.exposure, worth.profit) == (D("5.5"), 12, D("0.5"))
    symbols = by_name(shares.by_symbol())
    assert (symbols["ABCUSDT"].realised, symbols["DEFUSDT"].held) == (10, other.held)


def test_plans_that_do_not_name_their_strategy_are_of_an_unknown_one() -> None:
    [share] = attribution([planned("a", ""), traded("a", BUY, "1", "2")]).by_strategy()
    assert (share.name, share.snipes, share.win_rate) == (UNKNOWN, 1, None)
    [share] = attribution([traded("b", BUY, "1", "2")]).by_strategy()
    assert share.name == UNKNOWN


def test_a_missing_price_makes_the_profit_of_its_own_share_unknown_and_of_no_other() -> None:
    told = [traded("a", BUY, "1", "2"), traded("b", BUY, "1", "2", symbol=DEF)]
    first, second = attribution(told).by_symbol()
    assert first.valued({ABC: D(3)}).profit == 1
    assert second.valued({ABC: D(3)}).profit is None
    assert second.valued({ABC: D(3)}).unpriced == (DEF,)


def test_a_trade_that_is_told_twice_counts_once() -> None:
    told = [planned("a", "x"), traded("a", BUY, "1", "2"), traded("a", BUY, "1", "2")]
    [share] = attribution(told).by_symbol()
    assert share.bought == 2


def test_a_strategy_that_sells_what_another_bought_settles_with_it_when_nothing_is_left() -> None:
    told = [
        planned("a", "one"), planned("b", "two"),
        traded("a", BUY, "10", "1"), traded("b", BUY, "10", "2"), traded("b", SELL, "20", "3"),
    ]  # fmt: skip
    found = by_name(attribution(told).by_strategy())
    assert (found["one"].realised, found["one"].held) == (20, ())
    assert (found["two"].realised, found["two"].held) == (10, ())


_legs = st.tuples(st.sampled_from("abc"), st.sampled_from((ABC, DEF)), st.integers(1, 999), st.booleans())


@given(st.lists(_legs, min_size=1, max_size=20))
def test_the_shares_add_up_to_the_portfolio_to_the_last_digit(
    legs: list[tuple[str, Symbol, int, bool]],
) -> None:
    told: list[e.Event] = [planned("a", "one"), planned("b", "two"), planned("c", "")]
    portfolio = Portfolio()
    for number, (snipe_id, symbol, size, sells) in enumerate(legs):
        position = portfolio.positions.get(symbol)
        side = SELL if sells and position else BUY
        quantity = min(D(size), position.quantity) if side is SELL and position else D(size)
        made = Fill(
            str(number), f"{snipe_id}-b-1", symbol, side, D(size) / 7, quantity, D(size) / 10**5,
            ("USDT", "MX")[size % 2], OPEN,
        )  # fmt: skip
        portfolio = portfolio.after(made)
        told.append(e.OrderFilled(OPEN, made))
    prices = {ABC: D("1.5"), DEF: D("2.25"), MXP: D(3)}
    whole, shares = portfolio.valued(prices), attribution(told)
    for parts in (shares.by_symbol(), shares.by_strategy()):
        worths = [share.valued(prices) for share in parts]
        for name in ("realised", "unrealised", "exposure", "other_fees", "profit"):
            assert abs(sum(getattr(worth, name) for worth in worths) - getattr(whole, name)) < D("1e-15")
        assert sum(D(0) + amount for share in parts for _, amount in share.fees) == sum(
            portfolio.fees.values()
        )


def test_a_long_history_is_counted_as_the_desk_counts_it(seed: int) -> None:
    events = random_history(seed)
    desk, shares = Desk.of(events), attribution(events)
    for parts in (shares.by_symbol(), shares.by_strategy()):
        assert sum(share.realised for share in parts) == desk.portfolio.realised
        assert sum(share.closed for share in parts) == len(desk.results)
        assert sum(share.won for share in parts) == sum(result.profit > 0 for result in desk.results)
        held = {symbol: quantity for share in parts for symbol, quantity, _ in share.held}
        assert held == {position.symbol: position.quantity for position in desk.portfolio.held}


def test_more_sold_than_held_is_no_ledger() -> None:
    with pytest.raises(DomainError, match="sold of 0 held"):
        attribution([traded("a", SELL, "1", "2")])
