"""What somebody who plays the venue orders of a symbol, on top of its script."""

from __future__ import annotations

from dataclasses import dataclass

from mexclab.domain.market import Side
from mexclab.venues.orders import Phase

FOREVER = 2**63 - 1


@dataclass(slots=True)
class Decree:
    """What is ordered of one symbol now.

    Attributes:
        side: only this one is taken; None: both.
        delisted_ns: since when it is no longer traded.
        no_api_until_ns: no order by API before then, although it trades.
        opens_ns: when it opens again, after its opening was taken back.
        is_withdrawn: it was announced, and is not any more.
    """

    is_paused: bool = False
    side: Side | None = None
    delisted_ns: int | None = None
    no_api_until_ns: int = 0
    opens_ns: int | None = None
    is_withdrawn: bool = False

    def waits(self, now_ns: int) -> bool:
        """Whether its opening was taken back and is still to come."""
        return self.opens_ns is not None and now_ns < self.opens_ns

    def phase(self, natural: Phase, now_ns: int) -> Phase:
        """What comes of it for a symbol that would be in phase ``natural``."""
        if self.delisted_ns is not None or self.is_withdrawn:
            return Phase.CLOSED
        if self.is_paused:
            return Phase.PAUSED
        if natural is not Phase.OPEN or now_ns < self.no_api_until_ns or self.waits(now_ns):
            return Phase.NOT_OPEN
        if self.side is not None:
            return Phase.BUY_ONLY if self.side is Side.BUY else Phase.SELL_ONLY
        return Phase.OPEN

    def next_ns(self, now_ns: int) -> int:
        """When the next part of it ends by itself."""
        ends = (self.no_api_until_ns, self.opens_ns or 0)
        return min((at for at in ends if at > now_ns), default=FOREVER)
