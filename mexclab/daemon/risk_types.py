"""The forms of what the API tells of risk: limits and their use, pauses, monitors, triggers, permits.

Money is exact decimals as text; times are ns since the epoch, on the venue's clock; ``fraction`` is how much
of a bound is used, from 0 to 1, and None where that is not known or has no measure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit and what is used of it. ``used`` None: not known, and then entries are refused.

    ``asked_ns`` tells when the venue was asked for what bounds it; None: it is known at any moment.
    """

    limit: str  # its name in the settings
    name: str  # in words
    used: str | None
    bound: str
    unit: str
    fraction: float | None
    broken: bool
    why: str = ""
    asked_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One limit of a plan that is only asked about: as it is now, and as it would be."""

    limit: str
    name: str
    before: str | None
    after: str | None
    bound: str
    unit: str
    fraction: float | None
    broken: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class BreachRow:
    """Something that refuses an entry."""

    limit: str
    value: str
    bound: str
    why: str


@dataclass(frozen=True, slots=True)
class ProtectionRow:
    """A pause of entries that is in force. ``symbol`` None: all; ``until_ns`` None: a person ends it."""

    protection_id: str
    kind: str
    symbol: str | None
    raised_ns: int
    until_ns: int | None
    ends: str
    value: str
    bound: str
    look_back_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class WatchedRow:
    """What raises a protection. ``pause_ns`` None: to the next 00:00 UTC; 0: until a person releases it."""

    kind: str
    threshold: str
    look_back_ns: int
    pause_ns: int | None
    least: int
    per_symbol: bool


@dataclass(frozen=True, slots=True)
class MonitorRow:
    """A market monitor. ``symbol`` None: the venue, or this machine; ``since_ns`` None: never changed.

    ``state`` is ``quiet``, ``warning``, ``tripped`` or ``unknown``.
    """

    monitor: str
    symbol: str | None
    state: str
    value: str
    bound: str
    why: str
    since_ns: int | None


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """What halts the desk by itself. ``on`` false: switched off in the settings."""

    name: str
    on: bool
    fired: bool
    bound: str
    why: str


@dataclass(frozen=True, slots=True)
class RehearsedRow:
    """The last rehearsal of the emergency: how long each act took, and where its evidence is."""

    at_ns: int
    passed: bool
    halted_ns: int
    flattened_ns: int
    resumed_ns: int
    evidence: str
    by: str


@dataclass(frozen=True, slots=True)
class HaltRow:
    """Since when, by whom and why nothing new is entered."""

    at_ns: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class SizingRow:
    """How much one snipe may spend. Fractions are text."""

    method: str
    risk_quote: str
    kelly_fraction: str
    kelly_cap: str
    kelly_results: int


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """The last preflight of the account. ``good_until_ns`` None: it is not good at all."""

    at_ns: int
    account: str
    green: bool
    reasons: list[str]
    good_until_ns: int | None


@dataclass(frozen=True, slots=True)
class ConfirmedRow:
    """The limits that a person took on last. ``in_force``: for this account, and no other limits since."""

    at_ns: int
    account: str
    digest: str
    by: str
    why: str
    in_force: bool


@dataclass(frozen=True, slots=True)
class RiskPage:
    """Everything that bounds money, and how much of it is used now."""

    at_ns: int
    mode: str
    account: str
    quote: str
    equity: str | None
    at_risk: str
    day_pnl: str
    pnl: str
    unrealised: str | None
    halt: HaltRow | None
    limits: list[LimitRow]
    protections: list[ProtectionRow]
    watched: list[WatchedRow]
    monitors: list[MonitorRow]
    triggers: list[TriggerRow]
    missing: list[BreachRow]
    checked: CheckedRow | None
    confirmed: ConfirmedRow | None
    digest: str
    rehearsed: RehearsedRow | None
    sizing: SizingRow


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """The entry that was asked about; ``order_*``: what would be sent."""

    snipe_id: str | None
    symbol: str
    budget: str
    price_cap: str
    probability: str
    order_price: str
    order_quantity: str
    order_value: str
    sizing: str


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """What the limits say of an entry that is only asked about. Nothing was written and nothing moved."""

    at_ns: int
    mode: str
    account: str
    quote: str
    cleared: bool
    plan: PlannedRow
    limits: list[ReviewRow]
    breaches: list[BreachRow]


@dataclass(frozen=True, slots=True)
class NamedText:
    """One line of the limits as they are confirmed."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class LimitsPage:
    """The limits in force as a person confirms them, and whether somebody has."""

    mode: str
    account: str
    digest: str
    limits: list[NamedText]
    confirmed: ConfirmedRow | None
