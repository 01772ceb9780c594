"""Monitors: whether a market is safe to enter, one property at a time, each with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mexclab.domain.market import Symbol


class MonitorState(StrEnum):
    """What a monitor finds. Only ``TRIPPED`` refuses an entry; nothing here ever holds up an exit."""

    UNKNOWN = "unknown"  # nothing to judge by: the market has not traded, or too little
    QUIET = "quiet"
    WARNING = "warning"  # past ``WARN`` of the way to the bound
    TRIPPED = "tripped"

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to tell a person."""
        return self in (MonitorState.UNKNOWN, MonitorState.QUIET)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one monitor finds at one moment.

    Attributes:
        monitor: ``flash_crash``, ``spread``, ``depth``, ``stale_data``, ``wash_volume``, ``one_sided``,
            ``clock`` or ``venue_errors``.
        symbol: the market; None: the venue, or this machine.
        value, bound: what was found, and from where on it trips, in the same unit.
        why: the evidence, in a sentence.
    """

    monitor: str
    symbol: Symbol | None
    state: MonitorState
    value: str
    bound: str
    why: str
