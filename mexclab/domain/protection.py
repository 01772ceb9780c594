"""Protections: pauses that earlier results earn, as data: what was looked at, since when, until when, why."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import written
from mexclab.domain.market import Symbol
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class ProtectionRule:
    """When entries pause.

    Attributes:
        kind: ``loss_streak``, ``day_loss``, ``low_win_rate``, ``cooldown`` or ``drawdown``.
        threshold: what it takes, in the kind's own unit: losses, quote units, or a fraction.
        look_back_ns: how far back results count.
        pause_ns: how long entries pause; None: to the next 00:00 UTC; 0: until a person releases it.
        least: how many results there must be before the rule says anything.
        per_symbol: judged, and raised, for each symbol by itself.

    Raises:
        DomainError: a number is out of its range.
    """

    kind: str
    threshold: Decimal
    look_back_ns: int
    pause_ns: int | None
    least: int = 1
    per_symbol: bool = False

    def __post_init__(self) -> None:
        if not self.threshold >= 0 or self.look_back_ns < 0 or (self.pause_ns or 0) < 0 or self.least < 1:
            raise DomainError(f"the protection {self.kind} needs a threshold and times that are not negative")


@dataclass(frozen=True, slots=True)
class Protection:
    """A pause that is, or was, in force.

    Attributes:
        symbol: whose entries pause; None: all.
        until_ns: when it ends by itself; None: only a person ends it.
        value, bound: what was found, and the rule's threshold.
        look_back_ns: how far back was looked.
    """

    protection_id: str
    kind: str
    symbol: Symbol | None
    raised_ns: int
    until_ns: int | None
    value: str
    bound: str
    look_back_ns: int
    why: str

    def is_active(self, now_ns: int) -> bool:
        """Whether it has not ended by itself."""
        return self.until_ns is None or now_ns < self.until_ns

    def covers(self, symbol: Symbol) -> bool:
        """Whether an entry in ``symbol`` is its business."""
        return self.symbol is None or self.symbol == symbol

    def gives_way(self, new: Protection, now_ns: int) -> bool:
        """Whether it is over once ``new`` is raised: it ended by itself, or ``new`` is of the same rule."""
        return not self.is_active(now_ns) or (self.kind, self.symbol) == (new.kind, new.symbol)

    @property
    def forgotten_ns(self) -> int:
        """From when on no look-back reaches what raised it, so that its id need not be remembered."""
        return self.raised_ns + self.look_back_ns

    @property
    def ends(self) -> str:
        """Until when, in words."""
        return "until a person releases it" if self.until_ns is None else f"until {written(self.until_ns)}"
