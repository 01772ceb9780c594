"""The snipe: buy at the opening instant, leave by a plan that was made beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from mexclab.domain.clock import span
from mexclab.domain.market import Symbol
from mexclab.domain.values import changed, quick
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
    def is_busy(self) -> bool:
        """It fires, or it holds something."""
        return self in (SnipeState.ENTERED, SnipeState.EXITING, SnipeState.FIRING)  # most are the first

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

    def __str__(self) -> str:
        """In percent, as :func:`parse_ladder` reads it: ``12.5:30``."""
        return f"{_percent(self.gain)}:{_percent(self.share)}"


MOST_RUNGS = 6
MOST_GAIN = Decimal(100)  # a fraction: one hundred times the entry price on top of it


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """A ladder of take-profits, a stop that may only rise, and a time after which everything is sold.

    Attributes:
        stop_loss: fraction below the average entry price at which everything is sold.
        time_stop_ns: how long after the first fill everything is sold.
        trailing: the stop follows this fraction below the highest bid since the entry; None: it does not.
        break_even_after: gain (fraction) of the bid at which the stop moves to break-even, fees included.
        version: how many plans of the same snipe had orders before this one. It is part of the names of its
            rungs' orders, so that another plan neither runs out of tries nor counts what the old one sold.

    Raises:
        DomainError: names the value and the rule that it breaks.
    """

    ladder: tuple[Rung, ...]
    stop_loss: Decimal
    time_stop_ns: int
    trailing: Decimal | None = None
    break_even_after: Decimal | None = None
    version: int = 0

    def __post_init__(self) -> None:
        _check_ladder(self.ladder)
        _check_fraction("stop loss", self.stop_loss)
        if self.trailing is not None:
            _check_fraction("trailing stop", self.trailing)
        gain = self.break_even_after
        if gain is not None and not (gain.is_finite() and 0 < gain <= MOST_GAIN):
            raise DomainError(
                f"gain for break-even {gain} is not a fraction above 0 and at most {MOST_GAIN}",
                value=str(gain),
            )
        if self.time_stop_ns <= 0:
            raise DomainError(f"the time stop must be after the entry, not {self.time_stop_ns} ns after it")
        if not 0 <= self.version <= 999:
            raise DomainError(f"exit plan {self.version} of one snipe: 0 to 999 are allowed")

    @classmethod
    def preset(
        cls,
        name: str,
        stop_loss: Decimal,
        time_stop_ns: int,
        *,
        trailing: Decimal | None = None,
        break_even_after: Decimal | None = None,
    ) -> ExitPlan:
        """A plan whose ladder is one of :data:`LADDERS`, or is written out (:func:`parse_ladder`).

        Raises:
            DomainError: no ladder has that name, or a value breaks a rule.
        """
        return cls(ladder_of(name), stop_loss, time_stop_ns, trailing, break_even_after)

    def __str__(self) -> str:
        """For people: the ladder in percent, the stops, the time."""
        parts = [f"ladder {written_ladder(self.ladder)}", f"stop {_percent(self.stop_loss)} %"]
        if self.trailing is not None:
            parts.append(f"trailing {_percent(self.trailing)} %")
        if self.break_even_after is not None:
            parts.append(f"break-even after {_percent(self.break_even_after)} %")
        return ", ".join([*parts, f"time {span(self.time_stop_ns)}"])


def _check_ladder(ladder: tuple[Rung, ...]) -> None:
    if not 1 <= len(ladder) <= MOST_RUNGS:
        raise DomainError(f"an exit ladder has 1 to 6 rungs, not {len(ladder)}", rungs=len(ladder))
    before = Decimal(0)
    for number, rung in enumerate(ladder, start=1):
        name = f"rung {number} of the exit ladder"
        if not (rung.gain.is_finite() and rung.share.is_finite()):
            raise DomainError(f"{name}: {rung.gain} and {rung.share} are not two numbers")
        if rung.gain <= before:
            after = f"above the {_percent(before)} % before it" if before else "positive"
            raise DomainError(
                f"{name}: gains are positive and ascending; {_percent(rung.gain)} % is not {after}"
            )
        if rung.share <= 0:
            raise DomainError(f"{name}: its share must be positive, not {_percent(rung.share)} %")
        before = rung.gain
    total = sum((rung.share for rung in ladder), Decimal(0))
    if total > 1:
        raise DomainError(f"exit shares must sum to at most 1 (100 %), not to {_percent(total)} %")


def _check_fraction(name: str, value: Decimal) -> None:
    if not value.is_finite() or not 0 < value < 1:
        raise DomainError(f"{name} {value} is not a fraction between 0 and 1", value=str(value))


def _percent(fraction: Decimal) -> str:
    if fraction.adjusted() > 20:  # nobody's percentage; written out it would fill pages
        return f"{fraction} times 100"
    percent = (fraction * 100).normalize()
    return str(percent) if percent.adjusted() < -20 else f"{percent:f}"


def parse_ladder(text: str) -> tuple[Rung, ...]:
    """Read rungs written as gain:share in percent, the lowest first: ``5:25 12:35 20:25 35:15``.

    Blanks or commas part the rungs; a percent sign after a number is allowed.

    Raises:
        DomainError: the text is no ladder; says which part of it and why.
    """
    rungs = []
    for word in text.replace(",", " ").split():
        parts = [part.removesuffix("%") for part in word.split(":")]
        try:
            gain, share = (Decimal(part) / 100 for part in parts)
        except (ValueError, ArithmeticError):
            raise DomainError(
                f"{word[:40]!r} is no rung of an exit ladder; write gain:share in percent: 5:25 12:35",
                text=text,
            ) from None
        rungs.append(Rung(gain, share))
    _check_ladder(tuple(rungs))
    if rungs[-1].gain > MOST_GAIN:  # asked of what people type only: plans in old ledgers stay readable
        raise DomainError(
            f"rung {len(rungs)} of the exit ladder: a gain of {_percent(rungs[-1].gain)} % is above "
            f"{_percent(MOST_GAIN)} %",
            text=text,
        )
    return tuple(rungs)


def written_ladder(ladder: tuple[Rung, ...]) -> str:
    """The text that :func:`parse_ladder` reads back as the same ladder."""
    return " ".join(map(str, ladder))


LADDERS: Mapping[str, tuple[Rung, ...]] = MappingProxyType(
    {
        "conservative": parse_ladder("3:30 7:40 12:30"),
        "balanced": parse_ladder("5:25 12:35 20:25 35:15"),
        "aggressive": parse_ladder("8:20 18:30 35:30 60:20"),
    }
)


def ladder_of(text: str) -> tuple[Rung, ...]:
    """The ladder that a preset's name or a text of rungs stands for.

    Raises:
        DomainError: it is neither.
    """
    known = LADDERS.get(text.strip().lower())
    if known is not None:
        return known
    if ":" not in text:
        raise DomainError(
            f"no exit ladder is called {text!r}; there are {', '.join(LADDERS)}, "
            "or write your own in percent, such as 5:25 12:35 20:25 35:15",
            text=text,
        )
    return parse_ladder(text)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a snipe may do, decided before the opening.

    Attributes:
        budget_quote: the most that the entry may spend, in quote units, fees not included.
        price_cap: never buy above this price. Required: a plan without a cap does not exist.
        not_before_ns, deadline_ns: the entry is fired in this half-open range, on the venue's clock.
        attempts, spacing_ns: at most this many entry orders, this far apart.
        book_slippage: once a book is seen, an entry pays at most its best ask times 1 + this; None: the cap.
        strategy: the plug-in that made it.
        sizing: how the budget came about, in a sentence.
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
    strategy: str = ""
    sizing: str = ""

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


@quick
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
        return changed(self, state=to, **changes)
