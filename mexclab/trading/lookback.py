"""Looking back: desk, shares and curve as of any earlier entry of the ledger, by folding up to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from mexclab.domain.attribution import Attribution
from mexclab.domain.clock import from_utc
from mexclab.domain.desk import Desk
from mexclab.domain.equity import EquityCurve
from mexclab.domain.events import Event
from mexclab.errors import DomainError, ParameterError

SLICE = 200  # entries between two breaths: about 10 ms of folding
Breath = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """Up to where the ledger counts: an entry, or the last one before its clock passed a moment.

    What was written down after that moment was not known then, whatever time it tells of.
    """

    seq: int | None = None
    at_ns: int | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a sequence number, or a moment such as ``2026-06-01 12:30`` (UTC where no zone is given).

        Raises:
            ParameterError: it is neither.
        """
        words = text.strip()
        if words.isascii() and words.isdigit():
            return cls(seq=int(words))
        try:
            moment = datetime.fromisoformat(words)
            return cls(at_ns=from_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
        except (ValueError, OverflowError, DomainError):
            raise ParameterError(
                f"{text[:40]!r} is no place in the ledger: give an entry's number, or a moment such as "
                "2026-06-01 or 2026-06-01T12:30 (UTC)",
                at=text[:40],
            ) from None

    def holds(self, seq: int, event: Event) -> bool:
        """Whether the entry still counts; the first one that does not ends the fold."""
        return (self.seq is None or seq <= self.seq) and (self.at_ns is None or event.at_ns <= self.at_ns)


NOW = Cut()


@dataclass(slots=True)
class Past:
    """What the entries up to ``seq`` add up to; ``at_ns`` is the time of the last one, 0 before the first.

    Attributes:
        whole: the desk is folded too, not only shares and points.
    """

    whole: bool = True
    seq: int = 0
    at_ns: int = 0
    desk: Desk = field(default_factory=Desk)
    shares: Attribution = field(default_factory=Attribution)
    curve: EquityCurve = field(default_factory=EquityCurve)

    def grow(
        self, entries: Iterable[tuple[int, Event]], cut: Cut = NOW, breath: Breath | None = None
    ) -> Self:
        """Fold entries that follow the last one in; what was folded stays when reading fails.

        Args:
            entries: (sequence number, event), in order, from ``seq`` + 1 on.
            cut: where to stop.
            breath: is called now and then, so that a long fold lets others work.

        Raises:
            ParameterError: the cut is an entry that the ledger does not hold.
            LedgerError: they cannot be read.
        """
        for number, (seq, event) in enumerate(entries):
            if not cut.holds(seq, event):
                break
            if breath is not None and number % SLICE == 0:
                breath()
            if self.whole:
                self.desk.fold(event)
            self.shares.take(event)
            self.curve.take(event)
            self.seq, self.at_ns = seq, event.at_ns
        if cut.seq is not None and self.seq < cut.seq:
            raise ParameterError(
                f"the ledger has {self.seq} entries; there is no entry {cut.seq} yet",
                seq=cut.seq,
                last=self.seq,
            )
        return self
