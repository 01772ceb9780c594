"""Permits: what real money takes besides ``mode = "live"``, each missing piece by its name.

Live trading needs a key in the vault (or nothing starts), a green preflight of the account that is not
too old, limits that a person has confirmed for this account, and an arm per target that a person gave.
All of it is in the ledger. Outside live mode nothing is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from mexclab.config.group import Group
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, SECOND, is_older, span
from mexclab.domain.desk import Desk
from mexclab.domain.events import Breach
from mexclab.domain.protection import ProtectionRule
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import RiskRefused

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine, Rules

LIVE = "live"
AUTOMATIC = "automatic"  # who arms by setting
UNNAMED = "api"  # who asks through the API without saying who
AGAIN_NS = 30 * SECOND  # before an account that was not green is asked about again, at the latest
GROUPS = ("limits", "sizing", "monitors", "halt", "live")


class AccountReport(Protocol):
    """What a preflight of the account found."""

    @property
    def at_ns(self) -> int: ...

    @property
    def is_green(self) -> bool: ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not green; empty when it is."""
        ...


# -- the limits in force ---------------------------------------------------------------------------


def written(rules: Rules) -> tuple[tuple[str, str], ...]:
    """Everything that bounds money, as (name, text); equal limits give equal texts.

    Numbers are written without zeros at their end: 0.10 and 0.1 are one limit.
    """
    pairs = [("quote_asset", rules.quote_asset)]
    for name in GROUPS:
        group: Group = getattr(rules, name)
        pairs += [(f"{name}.{field}", _text(getattr(group, field))) for field in type(group).model_fields]
    pairs += [(f"protections.{rule.kind}", _rule(rule)) for rule in rules.protections]
    return tuple(pairs)


def digest(rules: Rules) -> str:
    """The SHA-256 of the limits in force, 64 hexadecimal digits: it changes when any of them does."""
    text = "".join(f"{name} = {value}\n" for name, value in written(rules))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _rule(rule: ProtectionRule) -> str:
    pause = {None: "to the next 00:00 UTC", 0: "until a person releases it"}.get(rule.pause_ns)
    scope = "each symbol" if rule.per_symbol else "all symbols"
    return (
        f"{_text(rule.threshold)}, of {rule.least} or more results in {_length(rule.look_back_ns)}; "
        f"pauses {scope} {pause or f'for {_length(rule.pause_ns or 0)}'}"
    )


def _length(ns: int) -> str:
    """A length of time without rounding: two that differ are never written alike."""
    unit, name = next(each for each in ((HOUR, "h"), (SECOND, "s"), (1, "ns")) if ns % each[0] == 0)
    return f"{ns // unit} {name}"


# -- what is missing -------------------------------------------------------------------------------


def missing(desk: Desk, rules: Rules, now_ns: int, snipe: Snipe | None = None) -> tuple[Breach, ...]:
    """What live trading lacks now, every piece of it; nothing in any other mode.

    Args:
        snipe: the target in question; None: what any target needs.
    """
    if rules.mode != LIVE:
        return ()
    return (*_preflight(desk, rules, now_ns), *_confirmed(desk, rules), *_arm(rules, snipe))


def _preflight(desk: Desk, rules: Rules, now_ns: int) -> Iterator[Breach]:
    checked, bound = desk.checked, f"green, at most {rules.live.preflight_age_s} s old"
    again = "`mexclab preflight` makes it anew"
    if checked is None or checked.account != rules.account:
        why = f"there is no preflight of the account {rules.account}; {again}"
        yield Breach("live_preflight", "none", bound, why)
    elif not checked.green:
        why = f"the preflight of the account is not green: {'; '.join(checked.reasons)}"
        yield Breach("live_preflight", "not green", bound, why)
    elif is_older(checked.at_ns, now_ns, rules.live.preflight_age_s * SECOND):
        age = f"{span(now_ns - checked.at_ns)} old"
        yield Breach("live_preflight", age, bound, f"the preflight of the account is {age}; {again}")


def _confirmed(desk: Desk, rules: Rules) -> Iterator[Breach]:
    known, bound = desk.confirmed, f"confirmed by a person for {rules.account}"
    how = "`mexclab risk confirm` shows them and asks"
    if known is None:
        why = f"nobody has confirmed the limits of the account {rules.account}; {how}"
        yield Breach("live_limits", "not confirmed", bound, why)
    elif known.account != rules.account:
        why = f"the limits were confirmed for the account {known.account}, not for {rules.account}; {how}"
        yield Breach("live_limits", f"confirmed for {known.account}", bound, why)
    elif known.digest != digest(rules):
        why = f"the limits are not the ones that {known.by} confirmed; {how}"
        yield Breach("live_limits", "others were confirmed", bound, why)


def _arm(rules: Rules, snipe: Snipe | None) -> Iterator[Breach]:
    bound = "armed by a person"
    if rules.auto_arm:
        why = "snipes are armed by setting; live trading wants snipe.auto_arm = false and a person"
        yield Breach("live_arm", "armed by setting", bound, why)
    elif snipe is not None and _is_armed(snipe) and not is_person(snipe.armed_by):
        why = f"{snipe.snipe_id} was not armed by a person; `mexclab arm {snipe.snipe_id}` does"
        yield Breach("live_arm", snipe.armed_by or "nobody", bound, why)


def is_person(by: str) -> bool:
    """Whether this name may stand for a person: not the setting that arms, nor a call that names nobody."""
    return by.strip().casefold() not in ("", AUTOMATIC, UNNAMED)


def _is_armed(snipe: Snipe) -> bool:
    return snipe.state in (SnipeState.ARMED, SnipeState.FIRING)


# -- the acts --------------------------------------------------------------------------------------


async def confirm(engine: Engine, account: str, seen: str, by: str, why: str) -> str:
    """Take on the limits in force for the account that trades; what was done, in a sentence.

    Args:
        seen: the digest of the limits that the person was shown.

    Raises:
        RiskRefused: another account, or other limits than those in force, or no reason; names each.
    """
    async with engine.gate:
        rules, desk = engine.rules, engine.desk
        current, faults = digest(rules), []
        if account != rules.account:
            faults.append(f"this desk trades on the account {rules.account!r}, not on {account!r}")
        if seen != current:
            faults.append("they are not the limits in force any more; look at them again")
        if not why.strip():
            faults.append("a reason is required")
        if not is_person(by):
            faults.append("the name of a person is required")
        if faults:
            raise RiskRefused(f"the limits were not confirmed: {'; '.join(faults)}", breaches=faults)
        known = desk.confirmed
        if known is not None and (known.account, known.digest) == (account, current):
            return f"the limits of {account} are confirmed already, by {known.by}"
        now = engine.parts.clock.now_ns()
        await engine.record(e.LimitsConfirmed(now, account, current, written(rules), by, why))
    return f"the limits of {account} are confirmed by {by}"


async def check_account(engine: Engine, report: AccountReport) -> None:
    """Write a preflight of the account down; one that is green no longer is alerted."""
    async with engine.gate:
        now, account, before = engine.parts.clock.now_ns(), engine.rules.account, engine.desk.checked
        at_ns = min(report.at_ns, now)  # a start may lie between: it was as good then, and no later
        found: list[e.Event] = [e.AccountChecked(at_ns, account, report.is_green, report.reasons)]
        if not report.is_green and before is not None and before.green:
            text = f"the account {account} is not green any more: {'; '.join(report.reasons)}"
            found.append(e.AlertRaised(now, "warning", text))
        await engine.record(*found)


def due_ns(desk: Desk, rules: Rules, asked_ns: int) -> int | None:
    """When the account is to be asked about again: a preflight stays good while a snipe may need it.

    Args:
        asked_ns: when that was last begun; 0: never.

    Returns:
        None: nothing that is to come needs it.
    """
    wanted = (snipe.state.is_waiting or snipe.state is SnipeState.FIRING for snipe in desk.live_snipes())
    if rules.mode != LIVE or not any(wanted):
        return None
    half_ns = rules.live.preflight_age_s * SECOND // 2
    checked = desk.checked
    if checked is None or checked.account != rules.account:
        return asked_ns + min(half_ns, AGAIN_NS)
    pause_ns = half_ns if checked.green else min(half_ns, AGAIN_NS)
    return max(checked.at_ns + pause_ns, asked_ns + min(half_ns, AGAIN_NS))
