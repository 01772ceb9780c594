"""Entry orders: bounded by the budget, the cap and the first book; and when having no price ends a snipe."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, MILLISECOND, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Market, Symbol
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.errors import DomainError
from mexclab.trading import entries
from mexclab.trading.risk import Facts, Intent, review

OPENS = 20_600 * DAY
SYMBOL = Symbol("ACE")
MARKET = Market(SYMBOL, Decimal("0.001"), Decimal("0.1"), Decimal(5))
PLAN = Plan(
    "ace", "ace", SYMBOL, Decimal(50), Decimal("3"), OPENS, OPENS + 20 * SECOND,
    ExitPlan(LADDERS["balanced"], Decimal("0.15"), 1800 * SECOND), attempts=6,
    spacing_ns=250 * MILLISECOND, book_slippage=Decimal("0.1"),
)  # fmt: skip


def book(ask: str | None, at_ns: int = OPENS, bid: str | None = None) -> Book:
    def side(price: str | None) -> tuple[Level, ...]:
        return (Level(Decimal(price), Decimal(7)),) if price else ()

    return Book(SYMBOL, side(bid), side(ask), at_ns)


# -- price and quantity ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "price"),
    [
        (None, "3"),  # before the first book the cap alone
        (book("1.23", OPENS - 1), "3"),  # quoted before the opening: no price
        (book(None, bid="1"), "3"),  # nobody sells
        (book("1.2345"), "1.357"),  # 1.35795, down to the tick
        (book("2.9"), "3"),  # 3.19 is above the cap
        (book("3.5"), "3"),  # refused by the limits, and never paid
    ],
)
def test_the_price_is_the_cap_or_a_little_above_the_first_ask_whichever_is_less(
    seen: Book | None, price: str
) -> None:
    order = entries.entry_order(PLAN, MARKET, 1, OPENS, seen)
    assert order.price == Decimal(price)
    assert order.quantity == MARKET.whole_lots(50 / Decimal(price))


def test_without_a_slippage_the_cap_alone_bounds_the_price() -> None:
    order = entries.entry_order(replace(PLAN, book_slippage=None), MARKET, 1, OPENS, book("1"))
    assert order.price == PLAN.price_cap


def test_a_quotient_that_is_rounded_up_to_a_whole_lot_buys_one_lot_less() -> None:
    plan = replace(PLAN, budget_quote=Decimal("8." + "9" * 32))
    order = entries.entry_order(plan, replace(MARKET, lot=Decimal(1)), 1, OPENS)
    assert order.quantity == 2


_prices = st.decimals("0.000001", "5000", places=9)


@given(
    cap=_prices,
    ask=st.none() | _prices,
    slippage=st.none() | st.decimals(0, 2, places=4),
    budget=st.decimals("0.01", "10000", places=6),
    grid=st.tuples(st.integers(-9, 0), st.integers(-8, 3)),
)
def test_no_order_ever_costs_more_than_the_budget_or_pays_more_than_either_bound(
    cap: Decimal, ask: Decimal | None, slippage: Decimal | None, budget: Decimal, grid: tuple[int, int]
) -> None:
    tick, lot = (Decimal(1).scaleb(exponent) for exponent in grid)
    market = Market(SYMBOL, tick, lot, Decimal(1))
    plan = replace(PLAN, price_cap=cap, budget_quote=budget, book_slippage=slippage)
    seen = book(None if ask is None else str(ask))
    bound = cap if ask is None or slippage is None else min(cap, ask * (1 + slippage))
    best = bound // tick * tick
    try:
        order = entries.entry_order(plan, market, 3, OPENS, seen)
    except DomainError:
        assert best <= 0 or budget // (best * lot) * lot * best < market.min_notional or budget < best * lot
        return
    assert order.price == best
    assert order.value_at_risk <= budget < (order.quantity + lot) * order.price
    market.check(order.quantity, order.price)
    assert order.client_id == "ace-b-3"


@pytest.mark.parametrize(
    ("plan", "market", "words"),
    [
        ({"price_cap": Decimal("0.0009")}, {}, "the price 0.0009 is below the tick 0.001"),
        ({"budget_quote": Decimal("4.9")}, {}, "is below the minimum 5"),
        (
            {"budget_quote": Decimal("2")},
            {"lot": Decimal(1)},
            "one lot \\(1 ACE\\) costs 3 USDT at 3, which is above the budget 2",
        ),
        ({"budget_quote": Decimal("1e40")}, {"tick": Decimal("1e-20")}, "cannot be cut into ticks"),
        ({}, {"tick": Decimal("1e-40")}, "cannot be cut into ticks"),
    ],
)
def test_a_plan_that_no_order_can_be_made_of_is_refused_with_the_numbers(
    plan: dict, market: dict, words: str
) -> None:
    with pytest.raises(DomainError, match=words):
        entries.entry_order(replace(PLAN, **plan), replace(MARKET, **market), 1, OPENS)


# -- having no price -------------------------------------------------------------------------------


def fired(code: int | None, left_ns: int = OPENS, trade_ns: int | None = None) -> Desk:
    """A desk whose only shot left at ``left_ns`` and was refused with ``code``; None: it ended unfilled."""
    order = entries.entry_order(PLAN, MARKET, 1, OPENS)
    moves = [SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING]
    told: list[e.Event] = [e.SnipePlanned(1, PLAN), *(e.SnipeMoved(1, "ace", to) for to in moves)]
    told += [e.OrderDecided(1, order), e.OrderSent(1, order.client_id, left_ns)]
    told.append(e.Fired(left_ns, "ace", order.client_id, left_ns, 0))
    if code is None:
        told.append(e.OrderCanceled(left_ns, order.client_id, "the rest"))
    else:
        told.append(e.OrderRejected(left_ns, order.client_id, code, "no"))
    if trade_ns is not None:
        told.append(e.FirstTradeSeen(trade_ns, "ace", SYMBOL, Decimal(1), Decimal(1)))
    return Desk.of(told)


def stale(desk: Desk, now_ns: int, seen: Book | None) -> bool:
    order = entries.entry_order(PLAN, MARKET, 2, now_ns, seen)
    facts = Facts(now_ns, ClockReading(0, 0, now_ns), Decimal(1000), seen, {})
    verdict = review(Intent(order, PLAN), desk, LimitSettings(), facts)
    assert {breach.limit for breach in verdict.breaches} <= {"stale_price"}
    return not verdict.cleared


LATE = OPENS + 10 * SECOND


@pytest.mark.parametrize("code", sorted(entries.NOT_OPEN_YET))
def test_a_venue_that_says_not_open_yet_needs_no_price(code: int) -> None:
    for seen in (None, book("1", OPENS - SECOND), book(None, OPENS + SECOND)):
        assert not stale(fired(code), LATE, seen)


@pytest.mark.parametrize(
    ("desk", "why"),
    [
        (Desk(), "it has not been asked"),
        (fired(None), "it took the order, so it is open"),
        (fired(30005), "it refused for another reason"),
        (fired(10007, OPENS - 5 * SECOND), "it said so of another opening"),
        (fired(10007, trade_ns=OPENS + SECOND), "something has traded"),
    ],
)
def test_otherwise_no_price_soon_after_the_opening_is_a_reason_to_stop(desk: Desk, why: str) -> None:
    assert stale(desk, LATE, None), why
    assert not stale(desk, OPENS + 2 * SECOND, None), "the cap alone protects at first"


def test_a_book_that_was_seen_and_then_fell_silent_is_stale_whatever_the_venue_answers() -> None:
    silent = book("1", LATE - 3 * SECOND)
    assert stale(fired(10007), LATE, silent)
    assert not stale(fired(10007), LATE, book("1", LATE - SECOND))


# -- what follows an attempt -----------------------------------------------------------------------


def after(desk: Desk, now_ns: int, attempts: int) -> str | None:
    snipe = desk.snipes["ace"]
    outcome = entries.after_attempt(replace(snipe, plan=replace(PLAN, attempts=attempts)), desk, now_ns)
    return outcome and outcome[1]


def test_attempts_that_are_used_up_end_a_snipe_unless_the_venue_was_never_open() -> None:
    assert after(fired(None), OPENS + SECOND, 1) == "no_fill"
    assert after(fired(10007), OPENS + SECOND, 1) is None
    assert after(fired(10007), PLAN.deadline_ns, 1) == "deadline"
    assert after(fired(30005), OPENS + SECOND, 6) == "rejected_by_venue"


def test_when_no_attempt_is_left_nothing_is_due_before_the_deadline_and_questions_may_be_asked() -> None:
    desk = fired(10007)
    spent = replace(desk.snipes["ace"], plan=replace(PLAN, attempts=1))
    assert entries.next_shot_ns(spent, desk) == PLAN.deadline_ns
    assert entries.due_ns(spent, desk, OPENS + SECOND) == PLAN.deadline_ns
    assert entries.awaits_word(spent, desk)
    desk.snipes["ace"] = spent
    assert entries.still_until_ns(desk, PLAN.deadline_ns - SECOND) == 0
    assert not entries.awaits_word(desk.snipes["ace"], Desk())
