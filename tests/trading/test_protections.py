"""Protections: what earns a pause, that one cause earns one, and that a person can end it with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config.risk import ProtectionSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk, Result
from mexclab.domain.desk_state import DeskState, put
from mexclab.domain.market import Symbol
from mexclab.domain.marks import peak_since, peaks_after
from mexclab.domain.portfolio import Portfolio
from mexclab.domain.protection import Protection, ProtectionRule
from mexclab.errors import DomainError, RiskRefused
from mexclab.trading import protections
from tests.trading.conftest import Station

Make = Callable[..., Station]
ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
NOW = 20_600 * DAY + 12 * HOUR
STREAK = ProtectionRule("loss_streak", Decimal(3), 24 * HOUR, HOUR, least=3)
DAY_LOSS = ProtectionRule("day_loss", Decimal(50), DAY, None)
WIN_RATE = ProtectionRule("low_win_rate", Decimal("0.25"), 168 * HOUR, 6 * HOUR, least=4)
COOLDOWN = ProtectionRule("cooldown", Decimal(3600), HOUR, HOUR, per_symbol=True)
DRAWDOWN = ProtectionRule("drawdown", Decimal("0.05"), 168 * HOUR, 0)


def result(name: str, profit: object, ago_ns: int, symbol: Symbol = ABC) -> Result:
    return Result(name, symbol, NOW - ago_ns, Decimal(str(profit)))


def after(*results: Result) -> Desk:
    """A desk that closed these snipes, the oldest first."""
    desk = Desk()
    desk._results = {each.snipe_id: each for each in results}
    return desk


def losses(count: int, profit: object = -1, symbol: Symbol = ABC) -> list[Result]:
    return [result(f"s{n}", profit, (count - n) * MINUTE, symbol) for n in range(count)]


def earned_today(profit: object) -> Desk:
    desk = Desk()
    desk.portfolio = replace(Portfolio(Decimal(1000)), realised_by_day={NOW // DAY: Decimal(str(profit))})
    return desk


def marked(*marks: tuple[int, int]) -> Desk:
    """A desk whose equity was marked: (how long ago, how much)."""
    desk = Desk()
    for ago_ns, equity in marks:
        desk.fold(e.EquityMarked(NOW - ago_ns, Decimal(equity), Decimal(0), Decimal(0)))
    return desk


def raised(desk: Desk, rule: ProtectionRule, now_ns: int = NOW) -> list[Protection]:
    """What is due now, and is written into the desk."""
    found = protections.due(desk, [rule], now_ns)
    for each in found:
        desk.fold(e.ProtectionRaised(now_ns, each))
    return found


def test_losses_in_a_row_pause_all_entries_for_as_long_as_the_rule_says_after_the_last() -> None:
    (found,) = protections.due(after(*losses(3)), [STREAK], NOW)
    assert (found.kind, found.symbol, found.value, found.bound) == ("loss_streak", None, "3", "3")
    assert found.until_ns == NOW - MINUTE + HOUR
    assert found.why == "the last 3 snipes lost, 3.00 in all"


@pytest.mark.parametrize(
    "results",
    [
        losses(2),
        [*losses(2), result("w", 1, 0), result("x", -1, 0)],
        [result("s", -1, 25 * HOUR), *losses(2)],
        [*losses(2), result("even", 0, 0)],
    ],
    ids=["too few", "a win between", "too long ago", "nothing lost"],
)
def test_what_is_no_streak_pauses_nothing(results: Sequence[Result]) -> None:
    assert protections.due(after(*results), [STREAK], NOW) == []


def test_a_streak_that_ended_long_ago_pauses_nothing_more() -> None:
    assert protections.due(after(*losses(3)), [STREAK], NOW + HOUR) == []


def test_a_rule_per_symbol_judges_and_pauses_each_symbol_by_itself() -> None:
    rule = replace(STREAK, per_symbol=True)
    mixed = [*losses(3), result("x1", -1, 0, XYZ), result("x2", -1, 0, XYZ)]
    (found,) = protections.due(after(*mixed), [rule], NOW)
    assert found.symbol == ABC
    assert found.covers(ABC)
    assert not found.covers(XYZ)


def test_the_loss_of_a_day_pauses_until_midnight_utc_and_again_when_as_much_more_is_lost() -> None:
    desk = earned_today(-60)
    (found,) = raised(desk, DAY_LOSS)
    assert (found.until_ns, found.value) == ((NOW // DAY + 1) * DAY, "60.00")
    assert "60.00 were lost on 2026-05-27 (UTC)" in found.why
    assert raised(desk, DAY_LOSS) == []
    desk.portfolio = earned_today(-99).portfolio
    assert raised(desk, DAY_LOSS) == []
    desk.portfolio = earned_today(-101).portfolio
    assert len(raised(desk, DAY_LOSS)) == 1
    assert len(desk.protections_of(None, NOW)) == 1  # the newer one took the place of the first


def test_what_has_been_lost_deeper_is_no_news_when_less_is_lost() -> None:
    desk = earned_today(-130)
    (deep,) = raised(desk, DAY_LOSS)
    desk.fold(e.ProtectionReleased(NOW, deep.protection_id, "ada", "known"))
    desk.portfolio = earned_today(-60).portfolio
    assert raised(desk, DAY_LOSS) == []


def test_few_winners_among_enough_results_pause_entries_and_few_results_say_nothing() -> None:
    few = [result("w", 5, HOUR), *losses(2)]
    assert protections.due(after(*few), [WIN_RATE], NOW) == []
    (found,) = protections.due(after(*few, *[result(f"y{n}", -1, 0) for n in range(3)]), [WIN_RATE], NOW)
    assert (found.value, found.bound) == ("0.17", "0.25")
    assert "1 of the 6 snipes" in found.why


def test_a_symbol_cools_down_after_a_snipe_of_it_and_the_others_do_not() -> None:
    (found,) = protections.due(after(result("s", 5, 10 * MINUTE)), [COOLDOWN], NOW)
    assert (found.symbol, found.until_ns) == (ABC, NOW + 50 * MINUTE)


def test_a_fall_from_the_peak_of_the_look_back_pauses_until_a_person_releases_it() -> None:
    desk = marked((3 * HOUR, 1000), (2 * HOUR, 1100), (0, 1040))
    (found,) = protections.due(desk, [DRAWDOWN], NOW)
    assert (found.until_ns, found.value) == (None, "0.0545")
    assert "equity 1040.00 is 5.5% below 1100.00" in found.why
    assert found.ends == "until a person releases it"


def test_a_peak_older_than_the_look_back_does_not_count() -> None:
    desk = marked((200 * HOUR, 1200), (2 * HOUR, 1060), (0, 1040))
    assert protections.due(desk, [DRAWDOWN], NOW) == []


def test_the_equity_of_this_moment_counts_before_it_is_marked() -> None:
    desk = marked((2 * HOUR, 1000))
    assert protections.due(desk, [DRAWDOWN], NOW, Decimal(960)) == []
    assert len(protections.due(desk, [DRAWDOWN], NOW, Decimal(949))) == 1


def test_without_any_mark_a_drawdown_is_not_known() -> None:
    assert protections.due(Desk(), [DRAWDOWN], NOW, Decimal(1)) == []


def test_one_cause_raises_one_protection_however_it_ended() -> None:
    desk = after(*losses(3))
    (first,) = raised(desk, STREAK)
    assert raised(desk, STREAK) == []
    assert desk.protections_of(ABC, NOW) == [first]
    assert desk.protections_of(ABC, NOW + HOUR) == []
    assert raised(desk, STREAK, NOW + 2 * HOUR) == []


def test_what_a_person_released_is_not_raised_for_the_same_losses_but_for_the_next_one() -> None:
    desk = after(*losses(3))
    (first,) = raised(desk, STREAK)
    desk.fold(e.ProtectionReleased(NOW, first.protection_id, "ada", "a known cause"))
    assert raised(desk, STREAK) == []
    desk._results["s9"] = result("s9", -2, 0)
    (again,) = raised(desk, STREAK)
    assert again.protection_id != first.protection_id
    assert again.value == "4"


def test_a_snipe_that_closes_anew_after_a_late_fill_is_new_evidence() -> None:
    desk = after(*losses(3))
    (first,) = raised(desk, STREAK)
    desk._results["s2"] = replace(desk._results.pop("s2"), closed_ns=NOW + MINUTE)
    (again,) = raised(desk, STREAK, NOW + 2 * MINUTE)
    assert again.protection_id != first.protection_id


def test_what_is_over_is_remembered_for_as_long_as_its_cause_can_be_seen_and_then_forgotten() -> None:
    desk = after(*losses(3))
    (first,) = raised(desk, STREAK)
    desk.fold(e.ProtectionReleased(NOW + 1, first.protection_id, "ada", "a known cause"))
    assert list(desk.spent) == [first.protection_id]
    back = Desk()
    put(back, DeskState.of(desk))
    assert back.spent == desk.spent
    other = replace(first, protection_id="other", kind="cooldown")
    desk.fold(e.ProtectionRaised(NOW + STREAK.look_back_ns, other))
    assert desk.spent == {}


def test_a_kind_that_nobody_knows_is_an_error_and_not_a_rule_that_never_speaks() -> None:
    with pytest.raises(DomainError, match="no kind of protection 'luck'"):
        protections.due(after(*losses(1)), [replace(STREAK, kind="luck")], NOW)


profits = st.integers(min_value=-5, max_value=5)
moments = st.integers(min_value=0, max_value=4)


@given(st.lists(st.tuples(moments, profits, st.sampled_from([ABC, XYZ])), max_size=9), st.randoms())
def test_results_of_one_moment_pause_the_same_in_whatever_order_they_come(rows: list, random: object) -> None:
    rules = [replace(rule, per_symbol=split) for rule in (STREAK, WIN_RATE, COOLDOWN) for split in (0, 1)]
    results = [result(f"s{n}", gain, ago * MINUTE, of) for n, (ago, gain, of) in enumerate(rows)]
    shuffled = list(results)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = [
        protections.due(after(*sorted(order, key=lambda each: each.closed_ns)), rules, NOW)
        for order in (results, shuffled)
    ]
    assert found[0] == found[1]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), max_size=40), st.integers(0, 400))
def test_the_peak_of_a_look_back_is_the_naive_one_to_within_an_hour(steps: list, back_min: int) -> None:
    peaks: tuple[e.EquityMarked, ...] = ()
    every, at_ns = [], NOW
    for wait_min, equity in steps:
        at_ns += wait_min * MINUTE
        every.append(e.EquityMarked(at_ns, Decimal(equity), Decimal(0), Decimal(0)))
        peaks = peaks_after(peaks, every[-1])
    assert [p.equity for p in peaks] == sorted((p.equity for p in peaks), reverse=True)
    since_ns = at_ns - back_min * MINUTE
    found = peak_since(peaks, since_ns)
    most = max((mark.equity for mark in every if mark.at_ns > since_ns), default=None)
    least = max((mark.equity for mark in every if mark.at_ns > since_ns + HOUR), default=None)
    assert found is None or (most is not None and found.equity <= most)
    assert least is None or (found is not None and found.equity >= least)


def test_the_settings_make_the_rules_and_a_threshold_of_zero_makes_none() -> None:
    kinds = [rule.kind for rule in ProtectionSettings().rules()]
    assert kinds == ["loss_streak", "day_loss", "low_win_rate", "cooldown", "drawdown"]
    off = ProtectionSettings(
        loss_streak=0, day_loss_quote=Decimal(0), low_win_rate=Decimal(0), cooldown_s=0, drawdown=Decimal(0)
    )
    assert off.rules() == ()


async def test_a_release_needs_a_reason_and_a_protection_that_is_in_force(station: Make) -> None:
    desk = station()
    await desk.start()
    now = desk.clock.now_ns()
    held = Protection("p1", "loss_streak", None, now, now + HOUR, "3", "3", DAY, "three losses")
    await desk.engine.record(e.ProtectionRaised(now, held))
    with pytest.raises(RiskRefused, match="a reason is required"):
        await protections.release(desk.engine, "p1", "ada", "  ")
    with pytest.raises(DomainError, match="no protection 'p2' is in force; those in force: p1"):
        await protections.release(desk.engine, "p2", "ada", "why not")
    assert desk.engine.desk.protections_of(None, now) == [held]
    said = await protections.release(desk.engine, "p1", "ada", "a known cause")
    assert said == "p1 is released: everything may be entered again, limits permitting"
    assert desk.engine.desk.protections_of(None, now) == []
    with pytest.raises(DomainError, match="those in force: none"):
        await protections.release(desk.engine, "p1", "ada", "once more")


async def test_a_protection_that_has_ended_by_itself_cannot_be_released(station: Make) -> None:
    desk = station()
    await desk.start()
    now = desk.clock.now_ns()
    held = Protection("p1", "cooldown", ABC, now, now + SECOND, "0 ms", "1 s", SECOND, "closed")
    await desk.engine.record(e.ProtectionRaised(now, held))
    await desk.run(now + 2 * SECOND)
    with pytest.raises(DomainError, match="no protection 'p1' is in force"):
        await protections.release(desk.engine, "p1", "ada", "it is over anyway")
