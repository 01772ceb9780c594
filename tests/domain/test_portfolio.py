"""The fold over fills: exact to the last digit, fees in any asset, whatever the order of what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.clock import DAY
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.portfolio import Portfolio
from mexclab.errors import DomainError
from tests.naive import portfolio_naive as naive

D = Decimal
ABC, MXP = Symbol("ABC"), Symbol("MX")
SYMBOLS = tuple(map(Symbol, ("ABC", "DEF", "GHI")))
PRICES = {ABC: D("1.37"), SYMBOLS[1]: D("0.00042"), SYMBOLS[2]: D(913), MXP: D("2.71")}


def fill(trade: str, side: Side, size: str, price: str, fee: tuple[str, str] = ("0", "USDT")) -> Fill:
    return Fill(trade, "s-1-b-1", ABC, side, D(price), D(size), D(fee[0]), fee[1], 1)


def folded(fills: Sequence[Fill], opening: str = "1000") -> Portfolio:
    return reduce(lambda portfolio, each: portfolio.after(each), fills, Portfolio(D(opening)))


amounts = st.integers(1, 10**9).map(lambda n: D(n) / 10**6)
sizes = st.tuples(amounts, amounts, st.integers(0, 10**6).map(lambda n: D(n) / 10**8))


@st.composite
def trades(draw: st.DrawFn, symbols: Sequence[Symbol] = SYMBOLS) -> list[Fill]:
    """Trades that sell no more than is held; fees in the quote, the base or a third asset."""
    held: dict[Symbol, D] = {}
    told = []
    for number, (price, quantity, fee) in enumerate(draw(st.lists(sizes, min_size=1, max_size=14))):
        symbol = draw(st.sampled_from(list(symbols)))
        asset = draw(st.sampled_from(["USDT", symbol.base, "MX"]))
        have = held.get(symbol, D(0))
        side = Side.SELL if have > 0 and draw(st.booleans()) else Side.BUY
        if side is Side.SELL:
            fee = min(fee, have / 2) if asset == symbol.base else fee
            room = have - (fee if asset == symbol.base else 0)
            share = D(draw(st.integers(1, 4))) / 4
            quantity = room if share == 1 else (room * share).quantize(D("1e-8"))
            if quantity <= 0:
                continue
        else:
            fee = min(fee, quantity / 2)
        taken = fee if asset == symbol.base else D(0)
        held[symbol] = have + (quantity if side is Side.BUY else -quantity) - taken
        told.append(
            Fill(str(number), "s-1-b-1", symbol, side, price, quantity, fee, asset, number * DAY // 5)
        )
    return told


@given(trades())
def test_what_is_held_paid_and_earned_is_what_plain_counting_says_to_the_last_digit(told: list[Fill]) -> None:
    portfolio = folded(told)
    assert {p.symbol: p.quantity for p in portfolio.held} == naive.quantities(told)
    assert dict(portfolio.fees) == naive.fees(told)
    assert portfolio.cash - 1000 == naive.cash(told)
    assert portfolio.valued(PRICES).profit == naive.profit(told, PRICES)
    assert portfolio.realised == sum(portfolio.realised_by_day.values())


@given(trades(), st.randoms(use_true_random=False))
def test_trades_of_different_symbols_may_come_in_any_order(told: list[Fill], random: Random) -> None:
    order = [each.symbol for each in told]
    random.shuffle(order)
    queues = {symbol: iter([t for t in told if t.symbol == symbol]) for symbol in SYMBOLS}
    mixed, straight = folded([next(queues[symbol]) for symbol in order]), folded(told)
    assert mixed.positions == straight.positions
    for name in ("realised", "realised_by_day", "fees", "other_fees", "cost", "cash"):
        assert getattr(mixed, name) == getattr(straight, name), name


@given(trades([ABC]), st.randoms(use_true_random=False))
def test_trades_of_one_symbol_in_another_order_give_the_same_quantity_and_the_same_profit_in_all(
    told: list[Fill], random: Random
) -> None:
    shuffled = list(told)
    random.shuffle(shuffled)
    shuffled.sort(key=lambda each: each.side is Side.SELL)  # what is not held cannot be sold
    mixed, straight = folded(shuffled), folded(told)
    assert {p.symbol: p.quantity for p in mixed.held} == {p.symbol: p.quantity for p in straight.held}
    assert mixed.valued(PRICES).profit == straight.valued(PRICES).profit
    assert mixed.fees == straight.fees


@given(st.lists(sizes, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_sales_in_any_order_leave_a_position_that_costs_the_same_to_the_last_digit(
    told: list[tuple[D, D, D]], random: Random
) -> None:
    whole = sum((quantity for _, quantity, _ in told), D("0.1"))
    bought = fill("0", Side.BUY, str(whole), "1.37", ("0.0013", "USDT"))
    sales = [
        fill(str(number), Side.SELL, str(quantity), str(price), (str(fee), "USDT"))
        for number, (price, quantity, fee) in enumerate(told, 1)
    ]
    mixed = random.sample(sales, len(sales))
    assert folded([bought, *mixed]).positions == folded([bought, *sales]).positions


@given(trades())
def test_a_fold_leaves_the_portfolio_before_it_as_it_was(told: list[Fill]) -> None:
    before = folded(told[:-1])
    seen = repr(before)
    before.after(told[-1])
    assert repr(before) == seen


def test_the_last_sale_leaves_no_cost_and_no_rounding_behind() -> None:
    thirds = [fill("1", Side.BUY, "3", "0.1"), *(fill(str(n), Side.SELL, "1", "0.1") for n in (2, 3, 4))]
    portfolio = folded(thirds)
    assert (portfolio.held, portfolio.cost, portfolio.realised) == ((), 0, 0)


def test_a_fee_in_quote_is_cost_when_buying_and_less_profit_when_selling() -> None:
    bought = folded([fill("1", Side.BUY, "10", "2", ("0.5", "USDT"))])
    assert bought.positions[ABC].average_cost == D("2.05")
    sold = bought.after(fill("2", Side.SELL, "10", "3", ("0.25", "USDT")))
    assert (sold.realised, sold.cash) == (D("9.25"), D("1009.25"))
    assert dict(sold.fees) == {"USDT": D("0.75")}


def test_a_fee_in_the_base_asset_lowers_what_is_held_and_raises_its_average_cost() -> None:
    position = folded([fill("1", Side.BUY, "10", "2", ("0.5", "ABC"))]).positions[ABC]
    assert (position.quantity, position.cost, position.fees) == (D("9.5"), 20, (("ABC", D("0.5")),))
    assert position.average_cost == D(20) / D("9.5")


def test_a_fee_in_a_third_asset_moves_neither_cost_nor_cash_and_is_weighed_at_its_own_price() -> None:
    told = [fill("1", Side.BUY, "10", "2", ("0.5", "MX")), fill("2", Side.SELL, "4", "3", ("0.1", "MX"))]
    portfolio = folded(told)
    assert (portfolio.cost, portfolio.realised, portfolio.cash) == (12, 4, 992)
    assert dict(portfolio.other_fees) == {MXP: D("0.6")}
    worth = portfolio.valued({ABC: D("2.5"), MXP: D(2)})
    assert (worth.realised, worth.unrealised, worth.exposure, worth.other_fees) == (4, 3, 15, D("1.2"))
    assert worth.profit == D("5.8")


def test_a_price_that_nobody_knows_is_said_and_never_taken_for_zero() -> None:
    portfolio = folded([fill("1", Side.BUY, "10", "2", ("0.5", "MX"))])
    without_mx = portfolio.valued({ABC: D(3)})
    assert (without_mx.profit, without_mx.unpriced_fees) == (None, ((MXP, D("0.5")),))
    assert without_mx.missing == ("0.5 MX of fees have no price in USDT; they are in no sum",)
    without_abc = portfolio.valued({MXP: D(2)})
    assert (without_abc.profit, without_abc.unpriced, without_abc.exposure) == (None, (ABC,), 0)
    assert without_abc.missing == ("ABCUSDT is held and has no price; its profit on paper is not known",)
    assert portfolio.unrealised({MXP: D(2)}) is None


def test_a_loss_lowers_the_day_on_which_it_was_made_and_not_the_peak() -> None:
    bought, won, lost = (
        fill("1", Side.BUY, "10", "2"),
        replace(fill("2", Side.SELL, "5", "3"), at_ns=2 * DAY),
        replace(fill("3", Side.SELL, "5", "1"), at_ns=3 * DAY),
    )
    portfolio = folded([bought, won, lost])
    assert dict(portfolio.realised_by_day) == {2: 5, 3: -5}
    assert (portfolio.realised, portfolio.peak_equity) == (0, 1005)
    assert portfolio.realised_on(3 * DAY + 1) == -5


def test_what_is_not_held_cannot_be_sold_nor_its_fee_be_paid_from_it() -> None:
    with pytest.raises(DomainError, match="1 sold of 0 held"):
        folded([fill("1", Side.SELL, "1", "1")])
    with pytest.raises(DomainError, match=r"10\.1 sold of 10 held"):
        folded([fill("1", Side.BUY, "10", "2"), fill("2", Side.SELL, "10", "2", ("0.1", "ABC"))])


def test_a_symbol_that_is_sold_to_the_last_digit_is_kept_only_in_what_it_earned_and_paid() -> None:
    told = [fill("1", Side.BUY, "10", "2", ("0.5", "MX")), fill("2", Side.SELL, "10", "3", ("0.1", "USDT"))]
    portfolio = folded(told)
    assert dict(portfolio.positions) == {}
    assert portfolio.realised == D("9.9")
    assert dict(portfolio.fees) == {"MX": D("0.5"), "USDT": D("0.1")}
