"""The snipe: buy at the opening instant, leave by a plan that was made beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, IllegalTransition

SNIPE_ID = re.compile(r"[0-9a-zA-Z_-]{1,20}\Z")


class SnipeState(StrEnum):
    PLANNED = "PLANNED"
    PREFLIGHT = "PREFLIGHT"
    ARMED = "ARMED"
    FIRING = "FIRING"
    ENTERED = "ENTERED"
    EXITING = "EXITING"
    CLOSED = "CLOSED"
    ABORTED = "ABORTED"
    MISSED = "MISSED"

    @property
    def is_over(self) -> bool:
        return self in (SnipeState.CLOSED, SnipeState.ABORTED, SnipeState.MISSED)

    @property
    def is_waiting(self) -> bool:
        """Nothing has been sent for it yet."""
        return self in (SnipeState.PLANNED, SnipeState.PREFLIGHT, SnipeState.ARMED)


_S = SnipeState
SNIPE_STEPS: Mapping[SnipeState, frozenset[SnipeState]] = MappingProxyType(
    {
        _S.PLANNED: frozenset({_S.PREFLIGHT, _S.ABORTED, _S.MISSED}),
        _S.PREFLIGHT: frozenset({_S.PLANNED, _S.ARMED, _S.ABORTED, _S.MISSED}),
        _S.ARMED: frozenset({_S.PLANNED, _S.PREFLIGHT, _S.FIRING, _S.ABORTED, _S.MISSED}),
        # a firing that its own pre-write announced may still be postponed before a byte has left
        _S.FIRING: frozenset({_S.ENTERED, _S.ABORTED, _S.MISSED, _S.ARMED}),
        _S.ENTERED: frozenset({_S.EXITING, _S.CLOSED}),
        _S.EXITING: frozenset({_S.EXITING, _S.CLOSED}),
        # a fill that the venue reports late makes the money real whatever we had concluded
        _S.CLOSED: frozenset({_S.ENTERED}),
        # and an opening that the venue moves after we gave up gives the plan another chance
        _S.ABORTED: frozenset({_S.ENTERED, _S.PLANNED}),
        _S.MISSED: frozenset({_S.ENTERED, _S.PLANNED}),
    }
)


@dataclass(frozen=True, slots=True)
class Rung:
    """Sell ``share`` of the entry at ``gain`` above the average entry price (both fractions)."""

    gain: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """A ladder of take-profits, a stop that may only rise, and a time after which everything is sold.

    Raises:
        DomainError: more than 6 rungs, not ascending, shares above 100 %, a fraction that is none.
    """

    ladder: tuple[Rung, ...]
    stop_loss: Decimal  # fraction below the average entry price
    time_stop_ns: int  # after the first fill
    trailing: Decimal | None = None  # the stop follows this fraction below the highest bid since the entry
    break_even_after: Decimal | None = None  # gain (fraction) at which the stop moves to break-even

    def __post_init__(self) -> None:
        gains = [rung.gain for rung in self.ladder]
        if not 1 <= len(gains) <= 6:
            raise DomainError(f"an exit ladder has 1 to 6 rungs, not {len(gains)}", rungs=len(gains))
        if gains != sorted(set(gains)) or gains[0] <= 0:
            raise DomainError(f"exit gains must be positive and ascending, not {', '.join(map(str, gains))}")
        if any(rung.share <= 0 for rung in self.ladder) or sum(rung.share for rung in self.ladder) > 1:
            raise DomainError("exit shares must be positive and sum to at most 1")
        if not 0 < self.stop_loss < 1:
            raise DomainError(f"stop loss {self.stop_loss} is not a fraction between 0 and 1")
        if self.time_stop_ns <= 0:
            raise DomainError("the time stop must be after the entry")


def _ladder(gains: str, shares: str) -> tuple[Rung, ...]:
    pairs = zip(gains.split(), shares.split(), strict=True)
    return tuple(Rung(Decimal(gain) / 100, Decimal(share) / 100) for gain, share in pairs)


LADDERS: Mapping[str, tuple[Rung, ...]] = MappingProxyType(
    {
        "conservative": _ladder("3 7 12", "30 40 30"),
        "balanced": _ladder("5 12 20 35", "25 35 25 15"),
        "aggressive": _ladder("8 18 35 60", "20 30 30 20"),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a snipe may do, decided before the opening.

    Attributes:
        budget_quote: the most that the entry may spend, in quote units, fees not included.
        price_cap: never buy above this price. Required: a plan without a cap does not exist.
        not_before_ns, deadline_ns: the entry is fired in this half-open range, on the venue's clock.
        attempts, spacing_ns: at most this many entry orders, this far apart.
        book_slippage: once a book is seen, an entry pays at most its best ask times 1 + this; None: the cap.
    """

    snipe_id: str
    signal_id: str
    symbol: Symbol
    budget_quote: Decimal
    price_cap: Decimal
    not_before_ns: int
    deadline_ns: int
    exit: ExitPlan
    probability: Decimal = Decimal(1)
    attempts: int = 1
    spacing_ns: int = 50_000_000
    book_slippage: Decimal | None = None

    def __post_init__(self) -> None:
        rules = (
            (
                SNIPE_ID.match(self.snipe_id) is not None,
                "the id needs 1 to 20 of 0-9 a-z A-Z _ - so that client order ids fit",
            ),
            (self.budget_quote > 0, f"budget {self.budget_quote} must be above zero"),
            (self.price_cap > 0, f"price cap {self.price_cap} must be above zero"),
            (self.deadline_ns > self.not_before_ns, "the deadline must be after the opening"),
            (1 <= self.attempts <= 50, f"{self.attempts} attempts: 1 to 50 are allowed"),
            (self.spacing_ns > 0, "attempts need a spacing above zero"),
            (
                self.book_slippage is None or self.book_slippage >= 0,
                f"slippage {self.book_slippage} must not be negative",
            ),
        )
        for holds, sentence in rules:
            if not holds:
                raise DomainError(
                    f"plan {self.snipe_id} for {self.symbol}: {sentence}", snipe_id=self.snipe_id
                )

    def moved_to(self, open_ns: int) -> Plan:
        """The same plan for an opening that the venue moved."""
        return replace(
            self, not_before_ns=open_ns, deadline_ns=open_ns + self.deadline_ns - self.not_before_ns
        )


@dataclass(frozen=True, slots=True)
class Preflight:
    """One check before the shot: what was asked, whether it held, and why not."""

    at_ns: int
    stage: str  # "T-2h", "T-10min", "T-60s", "T-5s"
    passed: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snipe:
    """A plan and how far it has come."""

    plan: Plan
    state: SnipeState = SnipeState.PLANNED
    armed_by: str = ""
    why: str = ""
    reason: str = ""  # the short code behind an abort, a refusal or a miss
    attempts_made: int = 0
    planned_ns: int = 0
    entered_ns: int | None = None
    closed_ns: int | None = None
    stop_price: Decimal | None = None  # as it was last raised; None: it stands where the plan put it
    peak_price: Decimal | None = None  # the highest bid behind that
    exit_why: str = ""
    preflights: tuple[Preflight, ...] = field(default=())

    @property
    def snipe_id(self) -> str:
        return self.plan.snipe_id

    def moved(self, to: SnipeState, **changes: object) -> Snipe:
        """The snipe in its next state.

        Raises:
            IllegalTransition: the table has no such step.
        """
        if to not in SNIPE_STEPS[self.state]:
            raise IllegalTransition(
                f"snipe {self.snipe_id} cannot go from {self.state} to {to}",
                snipe_id=self.snipe_id, was=str(self.state), to=str(to),
            )  # fmt: skip
        return replace(self, state=to, **changes)  # type: ignore[arg-type]
