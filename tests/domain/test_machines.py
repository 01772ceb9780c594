"""The order and snipe machines, and the fold over fills: what must hold whatever happens."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import ORDER_STEPS, Fill, Order, OrderState, OrderType, client_order_id
from mexclab.domain.portfolio import Portfolio
from mexclab.domain.snipe import LADDERS, SNIPE_STEPS, ExitPlan, Plan, Rung, Snipe, SnipeState
from mexclab.errors import DomainError, IllegalTransition

ABC = Symbol("ABC")


def order(quantity: str = "10", state: OrderState = OrderState.DECIDED, side: Side = Side.BUY) -> Order:
    return Order("s-1-b-1", ABC, side, OrderType.LIMIT, Decimal(quantity), Decimal(2), "s-1", "b", state)


def fill(trade_id: str, quantity: str, price: str = "2", side: Side = Side.BUY, fee: str = "0") -> Fill:
    return Fill(trade_id, "s-1-b-1", ABC, side, Decimal(price), Decimal(quantity), Decimal(fee), "USDT", 1)


@pytest.mark.parametrize("state", list(OrderState))
@pytest.mark.parametrize("to", list(OrderState))
def test_an_order_takes_only_the_steps_of_its_table_and_names_both_states_otherwise(
    state: OrderState, to: OrderState
) -> None:
    if to in ORDER_STEPS[state]:
        assert order(state=state).moved(to).state is to
    else:
        with pytest.raises(IllegalTransition, match=f"{state} to {to}"):
            order(state=state).moved(to)


@pytest.mark.parametrize("state", list(SnipeState))
@pytest.mark.parametrize("to", list(SnipeState))
def test_a_snipe_takes_only_the_steps_of_its_table(state: SnipeState, to: SnipeState) -> None:
    snipe = Snipe(plan(), state)
    if to in SNIPE_STEPS[state]:
        assert snipe.moved(to).state is to
    else:
        with pytest.raises(IllegalTransition, match=f"{state} to {to}"):
            snipe.moved(to)


def test_a_fill_counts_once_and_the_last_one_fills_the_order() -> None:
    part = order(state=OrderState.SENT).filled_by(fill("1", "4"))
    assert part.state is OrderState.PARTIALLY_FILLED
    assert part.filled_by(fill("1", "4")) == part
    assert part.filled_by(fill("2", "6")).state is OrderState.FILLED


def test_a_cancelled_order_may_still_turn_out_filled() -> None:
    cancelled = order(state=OrderState.CANCELED)
    assert cancelled.filled_by(fill("1", "4")).state is OrderState.CANCELED
    assert cancelled.filled_by(fill("1", "10")).state is OrderState.FILLED


def test_more_than_was_ordered_cannot_be_filled() -> None:
    with pytest.raises(DomainError, match="4 \\+ 7 filled of 10"):
        order(state=OrderState.SENT).filled_by(fill("1", "4")).filled_by(fill("2", "7"))


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    seed=st.randoms(use_true_random=False),
    doubled=st.integers(0, 7),
)
def test_fills_shuffled_and_repeated_end_in_the_same_desk(
    sizes: list[int], seed: object, doubled: int
) -> None:
    fills = [fill(str(n), str(size), str(2 + n)) for n, size in enumerate(sizes)]
    total = Decimal(sum(sizes))
    head = [
        e.SnipePlanned(0, plan()),
        e.OrderDecided(0, replace(order(), quantity=total)),
        e.OrderSent(0, "s-1-b-1"),
    ]
    told = [e.OrderFilled(1, f) for f in fills]
    shuffled = [*told, told[doubled % len(told)]]
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    straight, mixed = Desk.of([*head, *told]), Desk.of([*head, *shuffled])
    assert mixed.portfolio == straight.portfolio
    assert mixed.orders["s-1-b-1"].state is straight.orders["s-1-b-1"].state is OrderState.FILLED
    assert mixed.orders["s-1-b-1"].filled_value == straight.orders["s-1-b-1"].filled_value


@given(
    buys=st.lists(
        st.tuples(st.integers(1, 50), st.integers(1, 999), st.integers(0, 9)), min_size=1, max_size=6
    ),
    cuts=st.lists(st.integers(1, 100), min_size=1, max_size=6),
)
def test_quote_in_is_quote_out_plus_fees_to_the_last_digit(
    buys: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    portfolio, spent, got = Portfolio(), Decimal(0), Decimal(0)
    held = Decimal(0)
    for n, (quantity, price, fee) in enumerate(buys):
        f = fill(f"b{n}", str(quantity), f"0.{price:03d}", fee=f"0.00{fee}")
        portfolio = portfolio.after(f)
        spent += f.value + f.fee
        held += f.quantity
    for n, cut in enumerate(cuts):
        quantity = (held * cut / 300).quantize(Decimal("0.01")) if n < len(cuts) - 1 else held
        if quantity <= 0 or quantity > held:
            continue
        f = fill(f"s{n}", str(quantity), "0.5", Side.SELL, "0.001")
        portfolio = portfolio.after(f)
        got += f.value - f.fee
        held -= quantity
    assert held == 0
    assert portfolio.held == ()
    assert portfolio.cost == 0
    assert abs(portfolio.realised - (got - spent)) < Decimal("1e-22")


def test_a_fee_in_the_base_asset_lowers_what_is_held() -> None:
    bought = replace(fill("1", "10"), fee=Decimal("0.01"), fee_asset="ABC")
    position = Portfolio().after(bought).positions[ABC]
    assert position.quantity == Decimal("9.99")
    assert position.cost == 20


def test_spot_cannot_be_sold_short() -> None:
    with pytest.raises(DomainError, match="1 sold of 0 held"):
        Portfolio().after(fill("1", "1", side=Side.SELL))


def plan(**changes: object) -> Plan:
    base = Plan(
        "s-1",
        "s-1",
        ABC,
        Decimal(50),
        Decimal(3),
        10,
        20,
        ExitPlan(LADDERS["balanced"], Decimal("0.15"), 1_000),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget_quote": Decimal(0)}, "budget 0"),
        ({"price_cap": Decimal(-1)}, "price cap -1"),
        ({"deadline_ns": 10}, "deadline"),
        ({"attempts": 0}, "0 attempts"),
    ],
)
def test_a_wrong_plan_cannot_exist(changes: dict[str, object], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        plan(**changes)


@pytest.mark.parametrize(
    ("rungs", "words"),
    [
        ([], "1 to 6 rungs"),
        ([("0.1", "0.1")] * 7, "1 to 6 rungs"),
        ([("0.2", "0.5"), ("0.1", "0.5")], "ascending"),
        ([("0.1", "0.7"), ("0.2", "0.7")], "sum to at most 1"),
        ([("0.1", "0")], "positive"),
    ],
)
def test_a_wrong_ladder_cannot_exist(rungs: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        ExitPlan(tuple(Rung(Decimal(g), Decimal(s)) for g, s in rungs), Decimal("0.1"), 1)


@pytest.mark.parametrize("text", ["", "x" * 33, "a b", "ä"])
def test_a_client_order_id_that_the_venue_would_refuse_cannot_exist(text: str) -> None:
    with pytest.raises(DomainError):
        replace(order(), client_id=text)


def test_a_client_order_id_is_the_same_for_the_same_attempt() -> None:
    assert client_order_id("ABC-12345678", "b", 2) == "ABC-12345678-b-2"
    assert e.snipe_of("ABC-12345678-b-2") == "ABC-12345678"


@pytest.mark.parametrize("text", ["BTCUSDT", "btc/usdt", "BTC_USDT", "BTC-USDT"])
def test_a_symbol_is_read_in_every_usual_spelling(text: str) -> None:
    assert Symbol.parse(text) == Symbol("BTC", "USDT")


@pytest.mark.parametrize("text", ["BTC", "", "USDT", "BTC/XYZ"])
def test_what_is_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(DomainError, match="not a symbol"):
        Symbol.parse(text)


@given(st.decimals("0.000001", "1000", places=8), st.sampled_from(list(Side)))
def test_a_limit_price_is_on_the_tick_and_never_worse(price: Decimal, side: Side) -> None:
    market = Market(ABC, Decimal("0.0001"), Decimal(1))
    limit = market.limit_price(price, side)
    assert limit % market.tick == 0
    assert (limit <= price) if side is Side.BUY else (limit >= price)
    assert abs(limit - price) < market.tick


@pytest.mark.parametrize(
    ("quantity", "price", "words"),
    [
        ("1", "0.00015", "tick"),
        ("1.5", "2", "lot"),
        ("1", "0.5", "minimum"),
        ("-1", "2", "quantity -1"),
        ("1", "0", "price 0"),
    ],
)
def test_an_order_that_the_venue_would_refuse_is_refused_here(quantity: str, price: str, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        Market(ABC, Decimal("0.0001"), Decimal(1)).check(Decimal(quantity), Decimal(price))
