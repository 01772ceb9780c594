"""What a pattern says, with its odds and its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.market import Symbol
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class Signal:
    """A pattern believes that ``symbol`` opens for trading at ``open_ns``.

    Attributes:
        signal_id: the correlation id that follows it to the last fill.
        probability: how often the pattern has been right so far, 0 to 1.
        evidence: the facts it rests on, readable by a person.
    """

    signal_id: str
    symbol: Symbol
    pattern: str
    at_ns: int
    open_ns: int
    probability: Decimal
    evidence: Mapping[str, str]

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise DomainError(f"probability {self.probability} is not between 0 and 1", signal=self.signal_id)

    @property
    def lead_ns(self) -> int:
        """How far ahead of the opening it was raised."""
        return self.open_ns - self.at_ns
