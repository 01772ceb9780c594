"""The venue's own calendar names an opening: the earliest sign there is."""

from __future__ import annotations

from decimal import Decimal

from mexclab.config import ListingsSettings
from mexclab.domain.clock import HOUR, span, written
from mexclab.domain.listing import Listing
from mexclab.domain.signal import Signal
from mexclab.patterns.registry import signal_id


class CalendarLead:
    """A signal as soon as a coin with an opening in the future is seen.

    The probability is a stated prior (9 of 10 announced openings happen as announced), not a
    measurement; the evidence says so until recorded outcomes replace it.
    """

    name = "calendar_lead"
    prior = Decimal("0.90")

    def __init__(self, settings: ListingsSettings) -> None:
        self._floor_ns = int(settings.minimum_lead_h * HOUR)

    def observe(self, listing: Listing, now_ns: int) -> Signal | None:
        if listing.open_ns <= now_ns:
            return None
        floor = "meets" if listing.lead_ns >= self._floor_ns else "misses"
        evidence = {
            "first seen": written(listing.first_seen_ns),
            "opens": written(listing.open_ns),
            "lead": f"{span(listing.lead_ns)}, which {floor} the floor of {span(self._floor_ns)}",
            "basis": "prior belief, not yet measured on recorded openings",
        }
        return Signal(
            signal_id(self.name, listing),
            listing.symbol,
            self.name,
            now_ns,
            listing.open_ns,
            self.prior,
            evidence,
        )
