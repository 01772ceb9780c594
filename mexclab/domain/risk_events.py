"""Events of risk and safety: verdicts, protections, monitors, permits, marks, sagas, rehearsals, write-offs.

Part of :mod:`mexclab.domain.events`, whose rules hold here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.market import Symbol
from mexclab.domain.protection import Protection


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken limit: its name, what was found, and the bound."""

    limit: str
    value: str
    bound: str
    why: str


@dataclass(frozen=True, slots=True)
class VerdictGiven:
    at_ns: int
    snipe_id: str
    client_id: str
    breaches: tuple[Breach, ...]


@dataclass(frozen=True, slots=True)
class ProtectionRaised:
    """Entries pause: in one symbol, or in all."""

    at_ns: int
    protection: Protection


@dataclass(frozen=True, slots=True)
class ProtectionReleased:
    """A person ended a protection before its time."""

    at_ns: int
    protection_id: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class MonitorChanged:
    """A market monitor went to another state: ``quiet``, ``warning``, ``tripped`` or ``unknown``."""

    at_ns: int
    monitor: str
    symbol: Symbol | None  # None: the venue, or this machine
    state: str
    value: str
    bound: str
    why: str


@dataclass(frozen=True, slots=True)
class LimitsConfirmed:
    """A person saw these limits, as (name, text), and took them on for this account."""

    at_ns: int
    account: str
    digest: str
    limits: tuple[tuple[str, str], ...]
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class AccountChecked:
    """The preflight of the account was made: whether it is green, and every reason why not."""

    at_ns: int
    account: str
    green: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EquityMarked:
    """What everything was worth at the best bids of this moment, in quote units.

    ``unpriced``: symbols held whose price nobody knew; they stand at what they cost.
    """

    at_ns: int
    equity: Decimal
    unrealised: Decimal
    exposure: Decimal
    unpriced: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The emergency was rehearsed against the simulator; ``evidence`` names the file that tells of it."""

    at_ns: int
    passed: bool
    halted_ns: int  # from the request to the halt, and likewise below
    flattened_ns: int
    resumed_ns: int
    evidence: str
    by: str


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """A person accepted that what a snipe held is not on the account any more, and why.

    ``quantity`` is in base units. What it brought is not known here: it counts as sold for nothing.
    """

    at_ns: int
    snipe_id: str
    symbol: Symbol
    quantity: Decimal
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class SagaBegun:
    """An intent of several steps began: each is done, or what was done is compensated."""

    at_ns: int
    saga_id: str
    kind: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SagaStepped:
    """One step of it: ``done``, ``failed`` or ``compensated``."""

    at_ns: int
    saga_id: str
    step: str
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class SagaEnded:
    """It is over: ``completed`` or ``compensated``, and nothing between."""

    at_ns: int
    saga_id: str
    outcome: str
    why: str = ""
