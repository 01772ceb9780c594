"""Live is loud: a green preflight, confirmed limits, a person's arm, and each of them named when missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.config import (
    HaltSettings,
    LimitSettings,
    LiveSettings,
    MonitorSettings,
    ProtectionSettings,
    SizingSettings,
)
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Snipe, SnipeState
from mexclab.errors import RiskRefused
from mexclab.runtime.clock import ManualClock
from mexclab.trading import permits, safety
from mexclab.trading.engine import Rules
from mexclab.trading.risk import Facts, Intent, review
from mexclab.venues.simulator.scenario import Fate
from tests.trading.conftest import START, Station, build

ABC = Symbol("ABC")
NOW = 20_600 * DAY + 12 * HOUR
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.15"), HOUR)
PLAN = Plan("abc-1", "abc-1", ABC, Decimal(40), Decimal(2), NOW, NOW + MINUTE, EXIT, Decimal("0.9"))
ENTRY = Order(
    "abc-1-b-1", ABC, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, Decimal(20), Decimal(2), "abc-1", "b",
    decided_ns=NOW,
)  # fmt: skip
LIVE = Rules(
    limits=LimitSettings(), protections=ProtectionSettings().rules(), mode=permits.LIVE, account="main"
)
AGE_NS = LIVE.live.preflight_age_s * SECOND
FACTS = Facts(NOW, ClockReading(0, 0, NOW), Decimal(1000), None, {}, Decimal("0.0005"))


@dataclass(frozen=True)
class Report:
    """What a preflight found."""

    is_green: bool = True
    reasons: tuple[str, ...] = ()
    at_ns: int = START


def checked(at_ns: int = NOW, account: str = "main", green: bool = True) -> e.AccountChecked:
    return e.AccountChecked(at_ns, account, green, () if green else ("may trade: canTrade is false (red)",))


def confirmed(account: str = "main", digest: str = permits.digest(LIVE)) -> e.LimitsConfirmed:
    return e.LimitsConfirmed(NOW - DAY, account, digest, (), "ada", "seen")


def desk_with(*happened: e.Event) -> Desk:
    desk = Desk()
    for event in (e.DaemonStarted(NOW - DAY, "live", "MEXC", "test", Decimal(1000)), *happened):
        desk.fold(event)
    return desk


def names(desk: Desk, rules: Rules = LIVE, snipe: Snipe | None = None) -> list[str]:
    found = permits.missing(desk, rules, NOW, snipe)
    assert all(breach.value and breach.bound and breach.why for breach in found)
    return [breach.limit for breach in found]


# -- what is missing ---------------------------------------------------------------------------------

CHECKS = {
    None: False, checked(): True, checked(NOW - AGE_NS): True, checked(NOW - AGE_NS - 1): False,
    checked(green=False): False, checked(account="other"): False, checked(NOW + HOUR): False,
}  # fmt: skip
CONFIRMATIONS = {
    None: False, confirmed(): True, confirmed(account="other"): False, confirmed(digest="0" * 64): False,
}  # fmt: skip
ARMERS = {"": False, " ": False, "automatic": False, "api": False, " API ": False, "ada": True}


@given(
    st.sampled_from(list(CHECKS)),
    st.sampled_from(list(CONFIRMATIONS)),
    st.sampled_from(list(ARMERS)),
    st.sampled_from([SnipeState.ARMED, SnipeState.FIRING]),
    st.booleans(),
)
def test_in_live_mode_nothing_is_cleared_without_every_permit_and_each_missing_one_is_named(
    check: e.AccountChecked | None,
    limits: e.LimitsConfirmed | None,
    armed_by: str,
    state: SnipeState,
    auto_arm: bool,
) -> None:
    desk = desk_with(*(event for event in (check, limits) if event is not None))
    rules, snipe = replace(LIVE, auto_arm=auto_arm), Snipe(PLAN, state, armed_by)
    facts = replace(FACTS, missing=permits.missing(desk, rules, NOW, snipe))
    verdict = review(Intent(ENTRY, PLAN), desk, rules.limits, facts)
    held = {
        "live_preflight": CHECKS[check],
        "live_limits": CONFIRMATIONS[limits],
        "live_arm": ARMERS[armed_by] and not auto_arm,
    }
    assert verdict.cleared == all(held.values())
    assert [breach.limit for breach in verdict.breaches] == [
        name for name, holds in held.items() if not holds
    ]


@pytest.mark.parametrize("mode", ["paper", "demo"])
def test_nothing_is_missing_where_no_real_money_is(mode: str) -> None:
    assert names(Desk(), replace(LIVE, mode=mode, auto_arm=True)) == []


def test_a_snipe_that_is_not_armed_yet_lacks_no_arm() -> None:
    desk = desk_with(checked(), confirmed())
    assert names(desk, snipe=Snipe(PLAN, SnipeState.PREFLIGHT)) == []


def test_a_red_preflight_says_why_it_is_red() -> None:
    [breach] = permits.missing(desk_with(checked(green=False), confirmed()), LIVE, NOW)
    assert "canTrade is false" in breach.why


# -- the limits as they are confirmed ----------------------------------------------------------------

GROUPS: dict[str, Any] = {
    "limits": LimitSettings, "sizing": SizingSettings, "monitors": MonitorSettings, "halt": HaltSettings,
    "live": LiveSettings,
}  # fmt: skip
OTHER: dict[str, Any] = {"method": "kelly", "file": "STOP"}


def every_setting() -> list[tuple[str, str]]:
    return [(group, name) for group, kind in GROUPS.items() for name in kind.model_fields]


@pytest.mark.parametrize(
    ("group", "name"), [pytest.param(*each, id=".".join(each)) for each in every_setting()]
)
def test_a_change_of_any_limit_is_other_limits_and_is_written_out(group: str, name: str) -> None:
    settings = getattr(LIVE, group)
    value = getattr(settings, name)
    other = OTHER[name] if name in OTHER else not value if isinstance(value, bool) else value / 2
    changed = replace(LIVE, **{group: settings.model_copy(update={name: other})})
    assert permits.digest(changed) != permits.digest(LIVE)
    texts = dict(permits.written(LIVE)), dict(permits.written(changed))
    assert [key for key in texts[0] if texts[0][key] != texts[1][key]] == [f"{group}.{name}"]


@pytest.mark.parametrize("place", range(len(LIVE.protections)))
@pytest.mark.parametrize(
    "change",
    [{"threshold": Decimal(9)}, {"look_back_ns": 7}, {"pause_ns": 3}, {"least": 50}, {"per_symbol": None}],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_any_protection_is_other_limits(place: int, change: dict[str, Any]) -> None:
    rule = LIVE.protections[place]
    wish = {"per_symbol": not rule.per_symbol} if "per_symbol" in change else change
    rules = (*LIVE.protections[:place], replace(rule, **wish), *LIVE.protections[place + 1 :])
    assert permits.digest(replace(LIVE, protections=rules)) != permits.digest(LIVE)
    assert permits.digest(replace(LIVE, protections=())) != permits.digest(LIVE)


def test_the_same_limit_written_otherwise_is_the_same_limit() -> None:
    written = LimitSettings(per_order_quote=Decimal("50.00"), drawdown=Decimal("0.1"))
    assert permits.digest(replace(LIVE, limits=written)) == permits.digest(LIVE)


# -- acts, on a whole desk ---------------------------------------------------------------------------


@pytest.fixture
async def station(tmp_path: Path) -> Any:
    """A desk that believes it trades real money; its venue is the paper one."""
    made = build(ManualClock(START), 7, LIVE, tmp_path / "venue")
    await made.start()
    yield made
    made.close()


def told(station: Station, kind: type[e.Event]) -> list[Any]:
    return [event for _, event in station.ledger.read() if isinstance(event, kind)]


async def planned(station: Station) -> str:
    """The first plain snipe of the day, an hour before it opens."""
    script = station.script(Fate.PLAIN)
    await station.run(script.open_ns - 3 * MINUTE)
    return next(s.snipe_id for s in station.engine.desk.snipes.values() if s.plan.symbol == script.symbol)


WRONG: list[tuple[dict[str, str], str]] = [
    ({"account": "other"}, "trades on the account 'main', not on 'other'"),
    ({"seen": "0" * 64}, "not the limits in force any more"),
    ({"why": "  "}, "a reason is required"),
    ({"by": "automatic"}, "a person is required"),
    ({"by": "api"}, "a person is required"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG, ids=["account", "digest", "reason", "name", "unnamed"])
async def test_limits_that_are_not_those_in_force_are_not_confirmed(
    station: Station, wrong: dict[str, str], words: str
) -> None:
    wish = {"account": "main", "seen": permits.digest(LIVE), "by": "ada", "why": "seen"} | wrong
    seq = station.engine.seq
    with pytest.raises(RiskRefused, match=words):
        await permits.confirm(station.engine, **wish)
    assert (station.engine.seq, station.engine.desk.confirmed) == (seq, None)


async def test_everything_that_is_wrong_with_a_confirmation_is_said_at_once(station: Station) -> None:
    with pytest.raises(RiskRefused) as refused:
        await permits.confirm(station.engine, "other", "0" * 64, "", "")
    assert len(refused.value.data["breaches"]) == 4


async def test_a_confirmation_is_written_down_with_every_limit_and_once(station: Station) -> None:
    engine, digest = station.engine, permits.digest(LIVE)
    assert "confirmed by ada" in await permits.confirm(engine, "main", digest, "ada", "seen")
    assert "already" in await permits.confirm(engine, "main", digest, "bob", "seen")
    [event] = told(station, e.LimitsConfirmed)
    assert (event.account, event.by, event.why, event.digest) == ("main", "ada", "seen", digest)
    assert event.limits == permits.written(LIVE)


@pytest.mark.parametrize("by", ["automatic", permits.UNNAMED])
async def test_an_arm_is_refused_with_every_missing_piece_and_the_halt(station: Station, by: str) -> None:
    snipe_id = await planned(station)
    await safety.halt(station.engine, "ada", "a drill")
    seq = station.engine.seq
    with pytest.raises(RiskRefused) as refused:
        await safety.arm(station.engine, snipe_id, by)
    for words in ("halted", "no preflight", "nobody has confirmed", "armed by a person"):
        assert words in refused.value.message
    assert len(refused.value.data["breaches"]) == 4
    assert station.engine.seq == seq


async def test_with_every_permit_a_person_arms_and_the_snipe_enters(station: Station) -> None:
    engine = station.engine
    snipe_id = await planned(station)
    await permits.confirm(engine, "main", permits.digest(LIVE), "ada", "seen")
    await permits.check_account(engine, Report(at_ns=station.clock.now_ns()))
    assert "is armed" in await safety.arm(engine, snipe_id, "ada")
    await station.run(engine.desk.snipes[snipe_id].plan.deadline_ns)
    assert engine.desk.snipes[snipe_id].state in (SnipeState.ENTERED, SnipeState.EXITING, SnipeState.CLOSED)


SPOIL: dict[str, Callable[[Station], Any]] = {
    "live_preflight": lambda s: permits.check_account(s.engine, Report(False, ("may trade: no (red)",))),
    "live_limits": lambda s: s.engine.record(confirmed(digest="0" * 64)),
}


@pytest.mark.parametrize("name", SPOIL)
async def test_what_was_armed_does_not_enter_when_a_permit_is_lost_before_the_opening(
    station: Station, name: str
) -> None:
    engine = station.engine
    snipe_id = await planned(station)
    await permits.confirm(engine, "main", permits.digest(LIVE), "ada", "seen")
    await permits.check_account(engine, Report(at_ns=station.clock.now_ns()))
    await safety.arm(engine, snipe_id, "ada")
    await SPOIL[name](station)
    await station.run(engine.desk.snipes[snipe_id].plan.deadline_ns)
    snipe = engine.desk.snipes[snipe_id]
    assert (snipe.state, snipe.reason) == (SnipeState.ABORTED, name)
    assert told(station, e.OrderDecided) == []


# -- the preflight by schedule -----------------------------------------------------------------------


async def test_the_account_is_asked_about_again_before_its_preflight_grows_old(station: Station) -> None:
    engine, asked = station.engine, []

    async def inspect() -> None:
        asked.append(station.clock.now_ns())
        await permits.check_account(engine, Report(at_ns=station.clock.now_ns()))

    engine.questions.inspect = inspect
    snipe_id = await planned(station)
    plan = engine.desk.snipes[snipe_id].plan
    await permits.confirm(engine, "main", permits.digest(LIVE), "ada", "seen")
    await safety.arm(engine, snipe_id, "ada")
    await station.run(plan.deadline_ns)
    times = [event.at_ns for event in told(station, e.AccountChecked)]
    assert len(asked) == len(times)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert max(waits) < AGE_NS  # a snipe was waiting all the while
    assert told(station, e.OrderDecided)


async def test_an_account_that_turns_red_is_alerted_once_and_asked_about_soon(station: Station) -> None:
    engine, red = station.engine, Report(False, ("may trade: no (red)",))
    await planned(station)
    for report in (Report(at_ns=station.clock.now_ns()), red, red):
        await permits.check_account(engine, report)
    alerts = [event.text for event in told(station, e.AlertRaised)]
    assert [text for text in alerts if "not green any more" in text] == [
        "the account main is not green any more: may trade: no (red)"
    ]
    now = station.clock.now_ns()
    due = permits.due_ns(engine.desk, LIVE, now)
    assert due is not None
    assert due <= now + permits.AGAIN_NS


def test_nobody_is_asked_about_the_account_while_nothing_could_be_entered() -> None:
    assert permits.due_ns(desk_with(), LIVE, 0) is None
    waiting = desk_with(e.SnipePlanned(NOW, PLAN))
    assert permits.due_ns(waiting, LIVE, NOW) == NOW + permits.AGAIN_NS
    assert permits.due_ns(waiting, replace(LIVE, mode="paper"), NOW) is None
