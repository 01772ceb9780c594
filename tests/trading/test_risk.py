"""Risk: every limit is named when it is broken, all of them at once, and what is unknown counts as broken."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk, Halt, Result
from mexclab.domain.market import Book, Level, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.trading.risk import Facts, Intent, review

ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
NOW = 20_600 * DAY + 12 * HOUR
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.15"), HOUR)


def plan(snipe_id: str = "abc-1", symbol: Symbol = ABC, **changes: object) -> Plan:
    base = Plan(snipe_id, snipe_id, symbol, Decimal(50), Decimal(2), NOW, NOW + MINUTE, EXIT, Decimal("0.9"))
    return replace(base, **changes)  # type: ignore[arg-type]


def entry(of: Plan, quantity: str = "20", price: str = "2", attempt: int = 1) -> Order:
    client_id = f"{of.snipe_id}-b-{attempt}"
    kind = OrderType.IMMEDIATE_OR_CANCEL
    return Order(
        client_id,
        of.symbol,
        Side.BUY,
        kind,
        Decimal(quantity),
        Decimal(price),
        of.snipe_id,
        "b",
        decided_ns=NOW,
    )


def facts(**changes: object) -> Facts:
    good = Facts(NOW, ClockReading(0, 0, NOW), Decimal(1000), None, {}, Decimal("0.0005"))
    return replace(good, **changes)  # type: ignore[arg-type]


def funded() -> Desk:
    desk = Desk()
    desk.fold(e.DaemonStarted(NOW, "paper", "paper", "test", Decimal(1000)))
    return desk


def holding(symbol: Symbol, quantity: str, price: str, snipe_id: str = "held-1") -> Desk:
    """A desk that has bought something."""
    desk = funded()
    held = plan(snipe_id, symbol)
    order = entry(held, quantity, price)
    fill = Fill(
        "T1", order.client_id, symbol, Side.BUY, Decimal(price), Decimal(quantity), Decimal(0), "USDT", NOW
    )
    happened = [
        e.SnipePlanned(NOW, held),
        *(
            e.SnipeMoved(NOW, snipe_id, to)
            for to in (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING)
        ),
        e.OrderDecided(NOW - HOUR, replace(order, decided_ns=NOW - HOUR)),
        e.OrderSent(NOW - HOUR, order.client_id),
        e.OrderFilled(NOW - HOUR, fill),
        e.SnipeMoved(NOW, snipe_id, SnipeState.ENTERED),
    ]
    for event in happened:
        desk.fold(event)
    return desk


def broken(desk: Desk, intent: Intent, limits: LimitSettings, known: Facts) -> set[str]:
    verdict = review(intent, desk, limits, known)
    assert all(breach.value and breach.bound and breach.why for breach in verdict.breaches)
    return {breach.limit for breach in verdict.breaches}


def closed(desk: Desk, *results: Result) -> None:
    """As if these snipes, and only with these outcomes, had been closed in this order."""
    for result in results:
        desk._results.pop(result.snipe_id, None)
        desk._results[result.snipe_id] = result


def test_an_entry_within_every_limit_is_cleared() -> None:
    verdict = review(Intent(entry(plan()), plan()), funded(), LimitSettings(), facts())
    assert verdict.cleared
    assert (verdict.reason, verdict.why) == ("", "")


LATER: dict[str, object] = {"now_ns": NOW + 3 * SECOND, "clock": ClockReading(0, 0, NOW)}


def test_what_was_quoted_before_the_opening_does_not_make_the_price_of_the_opening_old() -> None:
    quoted = Book(ABC, (), (Level(Decimal("1.9"), Decimal(1)),), NOW - HOUR)
    assert broken(funded(), Intent(entry(plan()), plan()), LimitSettings(), facts(book=quoted)) == set()


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"clock": None}, "clock_unknown"),
        ({"clock": ClockReading(0, 0, NOW - 61 * SECOND)}, "clock_age_s"),
        ({"clock": ClockReading(-200 * MILLISECOND, 51 * MILLISECOND, NOW)}, "clock_offset_ms"),
        ({"free_quote": None}, "balance_unknown"),
        ({"free_quote": Decimal(40)}, "insufficient_balance"),
        (LATER, "stale_price"),
        ({"book": Book(ABC, (), (Level(Decimal("2.1"), Decimal(1)),), NOW)}, "price_above_cap"),
        ({**LATER, "book": Book(ABC, (), (Level(Decimal("1.9"), Decimal(1)),), NOW)}, "stale_price"),
        ({**LATER, "book": Book(ABC, (), (Level(Decimal("1.9"), Decimal(1)),), NOW - 1)}, "stale_price"),
    ],
)
def test_what_the_world_does_not_allow_or_does_not_tell_is_a_breach(
    changes: dict[str, object], limit: str
) -> None:
    assert broken(funded(), Intent(entry(plan()), plan()), LimitSettings(), facts(**changes)) == {limit}


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"per_order_quote": Decimal(39)}, "per_order_quote"),
        ({"per_symbol_quote": Decimal(39)}, "per_symbol_quote"),
        ({"total_exposure_quote": Decimal(39)}, "total_exposure_quote"),
        ({"minimum_probability": Decimal("0.91")}, "minimum_probability"),
    ],
)
def test_each_size_and_odds_limit_is_held_to_the_last_unit(limits: dict[str, Decimal], limit: str) -> None:
    small = {"per_order_quote": 50, "per_symbol_quote": 50, "total_exposure_quote": 200}
    chosen = {**{name: Decimal(value) for name, value in small.items()}, **limits}
    intent = Intent(entry(plan()), plan())
    assert limit in broken(
        funded(), intent, LimitSettings.model_construct(**{**LimitSettings().model_dump(), **chosen}), facts()
    )
    exact = {name: Decimal(40) if name.endswith("quote") else Decimal("0.9") for name in limits}
    allowed = LimitSettings.model_construct(**{**LimitSettings().model_dump(), **chosen, **exact})
    assert limit not in broken(funded(), intent, allowed, facts())


def test_a_price_above_the_cap_is_refused_whatever_the_book_says() -> None:
    intent = Intent(entry(plan(), quantity="10", price="2.5"), plan())
    assert broken(funded(), intent, LimitSettings(), facts()) == {"price_collar"}


def test_a_halt_an_unknown_order_and_a_dispute_each_stop_entries() -> None:
    desk = funded()
    desk.halt = Halt(NOW, "ada", "drill")
    desk.disputed[ABC] = "the same trade twice"
    assert broken(desk, Intent(entry(plan()), plan()), LimitSettings(), facts()) == {
        "halted",
        "unknown_order",
    }


def test_what_nobody_can_price_counts_as_worth_nothing_and_bars_entries_only_by_that_loss() -> None:
    limits = LimitSettings(total_exposure_quote=Decimal(500))
    small, large = holding(XYZ, "9", "1"), holding(XYZ, "150", "1")
    assert broken(small, Intent(entry(plan()), plan()), limits, facts()) == set()
    verdict = review(Intent(entry(plan()), plan()), large, limits, facts())
    assert {breach.limit for breach in verdict.breaches} == {"day_loss_quote", "drawdown"}
    assert all("XYZUSDT counted as worth nothing" in breach.why for breach in verdict.breaches)


def test_open_snipes_and_exposure_are_counted() -> None:
    desk = holding(XYZ, "30", "1.5")
    limits = LimitSettings.model_construct(
        **{**LimitSettings().model_dump(), "open_snipes": 1, "total_exposure_quote": Decimal(80)}
    )
    found = broken(desk, Intent(entry(plan()), plan()), limits, facts())
    assert found == {"open_snipes", "total_exposure_quote"}


def test_a_fall_on_paper_counts_as_loss_of_the_day_and_as_drawdown() -> None:
    desk = holding(XYZ, "300", "1")
    known = facts(prices={XYZ: Decimal("0.60")})
    found = broken(
        desk, Intent(entry(plan()), plan()), LimitSettings(total_exposure_quote=Decimal(500)), known
    )
    assert found == {"day_loss_quote", "drawdown"}


def test_a_streak_of_losses_pauses_entries_and_the_pause_ends() -> None:
    desk = funded()
    lost = [Result(f"r-{n}", XYZ, NOW - n * MINUTE, Decimal(-1)) for n in (3, 2, 1)]
    closed(desk, *lost)
    intent = Intent(entry(plan()), plan())
    assert broken(desk, intent, LimitSettings(), facts()) == {"loss_streak"}
    closed(desk, replace(lost[-1], profit=Decimal(1)))
    assert broken(desk, intent, LimitSettings(), facts()) == set()
    closed(desk, *(Result(f"r-{n}", XYZ, NOW - HOUR - n * MINUTE, Decimal(-1)) for n in (3, 2, 1)))
    assert broken(desk, intent, LimitSettings(), facts()) == set()


def test_a_symbol_that_was_just_traded_cools_down() -> None:
    desk = funded()
    closed(desk, Result("r-1", ABC, NOW - MINUTE, Decimal(1)))
    assert broken(desk, Intent(entry(plan()), plan()), LimitSettings(), facts()) == {"symbol_cooldown"}


def test_orders_of_the_last_second_are_counted() -> None:
    desk = funded()
    desk.fold(e.SnipePlanned(NOW, plan("many-1", XYZ)))
    for attempt in range(1, 6):
        order = entry(plan("many-1", XYZ), "1", "1", attempt)
        desk.fold(e.OrderDecided(NOW, order))
        desk.fold(e.OrderSent(NOW, order.client_id))
    found = broken(desk, Intent(entry(plan()), plan()), LimitSettings(), facts())
    assert found == {"orders_per_s"}
    later = facts(now_ns=NOW + 1_500 * MILLISECOND, clock=ClockReading(0, 0, NOW))
    assert broken(desk, Intent(entry(plan()), plan()), LimitSettings(), later) == set()


def test_every_broken_limit_is_listed_not_just_the_first() -> None:
    desk = holding(ABC, "30", "1.5")
    desk.halt = Halt(NOW, "ada", "drill")
    known = facts(clock=None, free_quote=None)
    verdict = review(Intent(entry(plan(), "40"), plan()), desk, LimitSettings(), known)
    names = [breach.limit for breach in verdict.breaches]
    assert {"halted", "per_order_quote", "per_symbol_quote", "balance_unknown", "clock_unknown"} <= set(names)
    assert verdict.reason == "halted"
    assert verdict.why.count(";") >= 4
