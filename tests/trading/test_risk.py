"""Risk: every limit is named when it is broken, all of them at once, and what is unknown counts as broken."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Halt
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.domain.portfolio import ZERO
from mexclab.domain.protection import Protection
from mexclab.domain.reports import ClockReading
from mexclab.trading.risk import Intent, review
from tests.trading.risk_scene import ABC, NOW, WIDE, XYZ, broken, entry, facts, funded, holding, plan


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


def test_a_held_symbol_without_a_price_is_unknown_and_bars_entries() -> None:
    verdict = review(Intent(entry(plan()), plan()), holding(XYZ, "9", "1"), WIDE, facts())
    assert [breach.limit for breach in verdict.breaches] == ["price_unknown"]
    assert verdict.breaches[0].value == "XYZUSDT"
    priced = facts(prices={XYZ: Decimal(1)})
    assert broken(holding(XYZ, "9", "1"), Intent(entry(plan()), plan()), WIDE, priced) == set()


def test_what_is_written_off_counts_as_worth_nothing_and_bars_entries_only_by_that_loss() -> None:
    known = facts(written_off=frozenset({XYZ}))
    small, large = holding(XYZ, "9", "1"), holding(XYZ, "150", "1")
    assert broken(small, Intent(entry(plan()), plan()), WIDE, known) == set()
    verdict = review(Intent(entry(plan()), plan()), large, WIDE, known)
    assert {breach.limit for breach in verdict.breaches} == {"day_loss_quote", "drawdown"}
    assert all("XYZUSDT counted as worth nothing" in breach.why for breach in verdict.breaches)


def test_open_snipes_and_exposure_are_counted() -> None:
    desk = holding(XYZ, "30", "1.5")
    limits = LimitSettings.model_construct(
        **{**LimitSettings().model_dump(), "open_snipes": 1, "total_exposure_quote": Decimal(80)}
    )
    found = broken(desk, Intent(entry(plan()), plan()), limits, facts(prices={XYZ: Decimal("1.5")}))
    assert found == {"open_snipes", "total_exposure_quote"}


def test_a_fall_on_paper_counts_as_loss_of_the_day_and_as_drawdown() -> None:
    desk = holding(XYZ, "300", "1")
    known = facts(prices={XYZ: Decimal("0.60")})
    assert broken(desk, Intent(entry(plan()), plan()), WIDE, known) == {"day_loss_quote", "drawdown"}


def test_a_gain_on_paper_that_went_again_is_no_drawdown() -> None:
    """A spike in a thin book would bar entries for ever; the protection of that name looks back at marks."""
    desk = holding(XYZ, "30", "1")
    known, intent = facts(prices={XYZ: Decimal(1)}), Intent(entry(plan()), plan())
    desk.fold(e.EquityMarked(NOW - HOUR, Decimal(1120), Decimal(120), Decimal(150)))
    desk.fold(e.EquityMarked(NOW - MINUTE, Decimal(1000), ZERO, Decimal(30)))
    assert broken(desk, intent, WIDE, known) == set()


def protection(kind: str, symbol: Symbol | None, until_ns: int | None) -> Protection:
    return Protection(f"{kind}-1", kind, symbol, NOW - HOUR, until_ns, "3", "3", DAY, "it was earned")


def test_a_protection_pauses_what_it_covers_until_it_ends() -> None:
    desk, intent = funded(), Intent(entry(plan()), plan())
    desk.fold(e.ProtectionRaised(NOW - HOUR, protection("loss_streak", None, NOW + 1)))
    desk.fold(e.ProtectionRaised(NOW - HOUR, protection("cooldown", ABC, None)))
    desk.fold(e.ProtectionRaised(NOW - HOUR, protection("low_win_rate", XYZ, None)))
    assert broken(desk, intent, LimitSettings(), facts()) == {"protection_loss_streak", "protection_cooldown"}
    verdict = review(intent, desk, LimitSettings(), facts())
    assert "it was earned; entries in ABCUSDT pause until a person releases it" in verdict.why
    later = facts(now_ns=NOW + 1)
    assert broken(desk, intent, LimitSettings(), later) == {"protection_cooldown"}
    desk.fold(e.ProtectionReleased(NOW, "cooldown-1", "ada", "looked at it"))
    assert broken(desk, intent, LimitSettings(), later) == set()


def reading(name: str, symbol: Symbol | None, state: MonitorState) -> Reading:
    return Reading(name, symbol, state, "31 %", "30 %", f"{name} of {symbol}")


def test_a_tripped_monitor_of_the_symbol_or_of_the_venue_refuses_and_no_other_state_does() -> None:
    known = facts(
        monitors=(
            reading("flash_crash", ABC, MonitorState.TRIPPED),
            reading("venue_errors", None, MonitorState.TRIPPED),
            reading("spread", ABC, MonitorState.WARNING),
            reading("depth", ABC, MonitorState.UNKNOWN),
            reading("one_sided", XYZ, MonitorState.TRIPPED),
        )
    )
    found = broken(funded(), Intent(entry(plan()), plan()), LimitSettings(), known)
    assert found == {"monitor_flash_crash", "monitor_venue_errors"}


def test_what_live_trading_lacks_is_a_breach_of_its_own() -> None:
    lacking = e.Breach("live_arm", "automatic", "armed by a person", "nobody armed it")
    verdict = review(Intent(entry(plan()), plan()), funded(), LimitSettings(), facts(missing=(lacking,)))
    assert verdict.breaches == (lacking,)


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
