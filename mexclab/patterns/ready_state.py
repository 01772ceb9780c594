"""The symbol table shows a state that is believed to come before an opening."""

from __future__ import annotations

from decimal import Decimal

from mexclab.config import ListingsSettings
from mexclab.domain.clock import written
from mexclab.domain.listing import Listing
from mexclab.domain.signal import Signal
from mexclab.patterns.registry import signal


class ReadyState:
    """A signal when (sts, st, tt) is one of the configured triples before the opening.

    Which triples mean "ready" is the belief of bot authors and recorded nowhere; so they are
    settings (``listings.ready_triples``), and the probability is a stated prior.
    """

    name = "ready_state"
    prior = Decimal("0.95")

    def __init__(self, settings: ListingsSettings) -> None:
        self._ready = frozenset(tuple(triple) for triple in settings.ready_triples)

    def observe(self, listing: Listing, now_ns: int) -> Signal | None:
        state = listing.state
        if state is None or state.triple not in self._ready or listing.open_ns <= now_ns:
            return None
        evidence = {
            "state (sts, st, tt)": str(state.triple),
            "seen": written(listing.state_seen_ns or now_ns),
            "opens": written(listing.open_ns),
            "basis": "prior belief, not yet measured on recorded openings",
        }
        return signal(self.name, self.prior, listing, now_ns, evidence)
