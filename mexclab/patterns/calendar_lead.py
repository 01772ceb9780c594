"""The venue's own calendar names an opening: the earliest sign there is."""

from __future__ import annotations

from decimal import Decimal

from mexclab.config import ListingsSettings
from mexclab.domain.clock import HOUR, span, written
from mexclab.domain.listing import Listing
from mexclab.domain.signal import Signal
from mexclab.patterns.registry import signal


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
        return signal(self.name, self.prior, listing, now_ns, evidence)
