"""What goes through the gate: one order on its way, how often it may be sent, how long it may wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.order import Order
from mexclab.domain.reports import Accepted, Lost, Refused
from mexclab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Burst:
    """How often one order may be sent while the venue says that the symbol is not open yet.

    Attributes:
        attempts: transmissions at most, the first one included.
        spacing_ns: from one to the next.
        overlap: do not wait for an answer before the next one. The venue is then trusted to refuse the
            second order of one client id, which is weakly evidenced; leave it off for money.
    """

    attempts: int = 1
    spacing_ns: int = 20 * MILLISECOND
    overlap: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.spacing_ns < MILLISECOND:
            raise ConfigError("a burst has at least 1 attempt, and at least a millisecond between two")


ONCE = Burst()


@dataclass(frozen=True, slots=True)
class GateTerms:
    """How long the gate waits.

    ``leave_within_s``: a request that cannot leave for so long is given up. ``prove_within_s``: an order that
    was called too early, and that the venue does not say it has or has not for so long, is of unknown fate.

    The desk gives an order up when the venue does not know it 2 s after its receive window (5 s) has ended.
    An order must not leave after that, so this and the length of a burst stay below those 2 s.
    """

    leave_within_s: float = 1.0
    burst_within_s: float = 1.5
    prove_within_s: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.leave_within_s < 2 and 0 < self.burst_within_s < 2):
            raise ConfigError("leave_within_s and burst_within_s must be above 0 and below 2")


class Shot:
    """One order on its way through the gate. What most orders never need stands here, not in each of them."""

    stamp_ns = 0
    scheduled_ns: int | None = None
    written_ns = 0
    written_s = ends_s = 0.0
    sent = under_way = 0  # transmissions; those of them that wait for their answer
    over = False  # nothing more is to be sent
    seen = False  # the private stream told of it: it was taken, whatever is answered
    doubt: asyncio.Task[None] | None = None  # while the venue is asked whether it was taken
    accepted: Accepted | None = None
    refused: Refused | None = None
    lost: Lost | None = None
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    request = b""
    released_ns = 0

    def __init__(self, order: Order, burst: Burst) -> None:
        self.order = order
        self.burst = burst
