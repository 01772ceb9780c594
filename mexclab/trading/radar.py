"""The radar: watch the venue's listing sources, keep what is seen, let patterns judge it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mexclab.domain import events as e
from mexclab.domain.clock import DAY
from mexclab.domain.desk import Desk
from mexclab.domain.listing import CalendarEntry, Listing, ListingBoard, Sighting, SymbolState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Calendar, Pattern, Recorder


class Radar:
    """Listings as known now.

    ``problem`` holds the last failure of a source: while it is set the board is old, and must be shown
    as old, never as "no listings".
    """

    def __init__(self, calendar: Calendar, recorder: Recorder, patterns: Sequence[Pattern]) -> None:
        self._calendar = calendar
        self._recorder = recorder
        self._patterns = patterns
        self._facts: dict[tuple[str, str], CalendarEntry | SymbolState] = {}
        self._unreadable: set[str] = set()
        self.board = ListingBoard()
        self.problem = ""
        self.polled_ns: int | None = None

    def recover(self) -> None:
        """Fold everything that was recorded before."""
        for sighting in self._recorder.sightings():
            self._take(sighting)

    def upcoming(self, now_ns: int) -> Iterator[Listing]:
        return (listing for listing in self.board.listings.values() if listing.open_ns > now_ns)

    async def ask(self, now_ns: int) -> list[Sighting] | VenueUnavailable:
        """Ask the sources once; everything they show now, or why they do not answer."""
        try:
            entries, states = await self._calendar.entries(), await self._calendar.states()
        except VenueUnavailable as error:
            return error
        # a coin may trade against several currencies: the one that most listings have comes first
        states = sorted(states, key=lambda state: state.quote != "USDT")
        return list(self._sightings(entries, states, now_ns))

    async def take(self, seen: list[Sighting] | VenueUnavailable, now_ns: int, desk: Desk) -> list[e.Event]:
        """Keep what is new of what the sources showed; the news, with the signals that follow from it."""
        if isinstance(seen, VenueUnavailable):
            first = not self.problem
            self.problem = seen.message
            text = f"the listing sources do not answer, so listings may be missed: {seen.message}"
            return [e.AlertRaised(now_ns, "warning", text)] if first else []
        self.problem, self.polled_ns = "", now_ns
        fresh = [
            sighting for sighting in seen if self._facts.get((sighting.source, sighting.key)) != sighting.fact
        ]
        if fresh:
            await self._recorder.record(fresh)
        news = [event for sighting in fresh for event in self._tell(sighting)]
        return news + list(self._signals(now_ns, desk))

    @staticmethod
    def _sightings(
        entries: Sequence[CalendarEntry], states: Sequence[SymbolState], now_ns: int
    ) -> Iterator[Sighting]:
        for entry in entries:
            yield Sighting("calendar", entry.coin_id, now_ns, entry)
        for state in states:
            yield Sighting("symbols", f"{state.coin_id}/{state.quote}", now_ns, state)

    def _take(self, sighting: Sighting) -> tuple[Listing | None, Listing | None]:
        """Fold one sighting; the listing before and after. Pairs that have long traded are not listings."""
        self._facts[sighting.source, sighting.key] = sighting.fact
        coin_id = sighting.fact.coin_id
        before = self.board.listings.get(coin_id)
        if before is None and sighting.fact.open_ns < sighting.first_seen_ns - DAY:
            return None, None
        try:
            self.board = self.board.after(sighting)
        except DomainError:
            self._unreadable.add(coin_id)  # recorded as it came; a row that names no symbol is no listing
            return None, None
        return before, self.board.listings[coin_id]

    def _tell(self, sighting: Sighting) -> Iterator[e.Event]:
        before, after = self._take(sighting)
        at_ns = sighting.first_seen_ns
        if after is None:
            if sighting.fact.coin_id in self._unreadable:
                text = f"a row of the {sighting.source} names no symbol: {sighting.fact.ticker!r}"
                yield e.AlertRaised(at_ns, "warning", text)
            return
        if before is None:
            yield e.ListingSeen(at_ns, after.symbol, after.coin_id, after.open_ns, sighting.source)
        elif before.open_ns != after.open_ns:
            yield e.OpeningMoved(at_ns, after.symbol, before.open_ns, after.open_ns)
        if after.state is not None and (
            before is None or before.state is None or before.state.triple != after.state.triple
        ):
            yield e.ListingStateSeen(at_ns, after.symbol, after.state.triple)

    def _signals(self, now_ns: int, desk: Desk) -> Iterator[e.Event]:
        for listing in self.upcoming(now_ns):
            for pattern in self._patterns:
                signal = pattern.observe(listing, now_ns)
                if signal is not None and signal.signal_id not in desk.signals:
                    yield e.SignalRaised(now_ns, signal)
