"""The radar: watch the venue's listing sources, keep what is seen, let patterns judge it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.listing import CalendarEntry, Listing, ListingBoard, Partial, Sighting, SymbolState
from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Calendar, Pattern, Recorder

GONE_LOOKS = 3  # a listing is withdrawn when so many looks in a row do not show it,
GONE_NS = 30 * SECOND  # the last at least this long after the first;
# far from an opening the sources are asked seldom: many looks would show one answer, and it may be wrong
GONE_FAR_NS = 15 * MINUTE
NEAR_NS = HOUR


@dataclass(frozen=True, slots=True)
class Look:
    """What the sources showed at one moment.

    Attributes:
        sightings: every row.
        is_whole: nothing was left out, so that what is not shown does not exist.
    """

    sightings: tuple[Sighting, ...]
    is_whole: bool = True


@dataclass(slots=True)
class _Absence:
    """A coming listing that is not shown: since which look, and for how many in a row."""

    since_ns: int
    looks: int = 0


class Radar:
    """Listings as known now.

    ``problem`` holds the last failure of a source: while it is set the board is old, and must be shown
    as old, never as "no listings".

    Args:
        quote: the asset that the desk trades with.
    """

    def __init__(
        self, calendar: Calendar, recorder: Recorder, patterns: Sequence[Pattern], quote: str = "USDT"
    ) -> None:
        self._calendar = calendar
        self._recorder = recorder
        self._patterns = patterns
        self._facts: dict[tuple[str, str], CalendarEntry | SymbolState] = {}
        self._unreadable: set[str] = set()
        self._absent: dict[str, _Absence] = {}  # by coin id
        self._withdrawn: set[str] = set()
        self.board = ListingBoard(quote=quote)
        self.problem = ""
        self.polled_ns: int | None = None

    def recover(self) -> None:
        """Fold everything that was recorded before; what was withdrawn is found out again by looking."""
        for sighting in self._recorder.sightings():
            self._take(sighting)

    @property
    def withdrawn(self) -> frozenset[str]:
        """Coin ids of listings that went out of every source before they opened."""
        return frozenset(self._withdrawn)

    def upcoming(self, now_ns: int) -> Iterator[Listing]:
        """Listings that have yet to open and were not withdrawn."""
        for listing in self.board.listings.values():
            if listing.open_ns > now_ns and listing.coin_id not in self._withdrawn:
                yield listing

    def misses(self, listing: Listing) -> bool:
        """Whether the sources that answered last did not show it."""
        return listing.coin_id in self._absent or listing.coin_id in self._withdrawn

    def shows(self, listing: Listing) -> bool:
        """Whether the sources answered when they were last asked, and showed it."""
        return self.polled_ns is not None and not self.problem and not self.misses(listing)

    def by_symbol(self) -> Mapping[Symbol, Listing]:
        """One listing for each symbol: rather one that was not withdrawn, and rather a newer one.

        A listing is found by its former names, too, where no other bears them now.
        """
        ranked = sorted(
            self.board.listings.values(),
            key=lambda listing: (listing.coin_id not in self._withdrawn, listing.first_seen_ns),
        )
        former = {name: listing for listing in ranked for name in listing.former}
        return former | {listing.symbol: listing for listing in ranked}

    async def ask(self, now_ns: int) -> Look | VenueUnavailable:
        """Ask the sources once; everything they show now, or why they do not answer."""
        try:
            entries, states = await self._calendar.entries(), await self._calendar.states()
        except VenueUnavailable as error:
            return error
        # sources that show nothing at all are broken: every listing is hardly withdrawn at once
        is_whole = bool(entries or states) and not any(
            isinstance(rows, Partial) for rows in (entries, states)
        )
        # a coin may trade against several currencies: the one that the desk trades with comes first
        states = sorted(states, key=lambda state: state.quote != self.board.quote)
        return Look(tuple(self._sightings(entries, states, now_ns)), is_whole)

    async def take(self, seen: Look | VenueUnavailable, now_ns: int, desk: Desk) -> list[e.Event]:
        """Keep what is new of what the sources showed; the news, with the signals that follow from it."""
        if isinstance(seen, VenueUnavailable):
            first = not self.problem
            self.problem = seen.message
            self._count_again()
            text = f"the listing sources do not answer, so listings may be missed: {seen.message}"
            return [e.AlertRaised(now_ns, "warning", text)] if first else []
        self.problem, self.polled_ns = "", now_ns
        fresh = [
            sighting
            for sighting in seen.sightings
            if self._facts.get((sighting.source, sighting.key)) != sighting.fact
        ]
        if fresh:
            await self._recorder.record(fresh)
        news = [event for sighting in fresh for event in self._tell(sighting)]
        if not seen.is_whole:
            self._count_again()
        news += self._presence(seen, now_ns)
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
        if before is not None and after is not None and before.symbol.quote != after.symbol.quote:
            before = None  # until now it was known against another currency: this is another pair
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

    def _presence(self, seen: Look, now_ns: int) -> Iterator[e.Event]:
        """Withdrawn is what no whole look of several shows; what is shown again is seen anew."""
        shown = _names(seen.sightings)
        for coin_id, listing in self.board.listings.items():
            pair = {
                (name, quote)
                for name in (coin_id, listing.symbol.base)
                for quote in ("", listing.symbol.quote)
            }
            sources = [shown[each] for each in pair if each in shown]
            if sources:
                self._absent.pop(coin_id, None)
                if coin_id in self._withdrawn:
                    self._withdrawn.discard(coin_id)
                    yield e.ListingSeen(now_ns, listing.symbol, coin_id, listing.open_ns, min(sources))
            elif self._is_gone(listing, seen, now_ns):
                del self._absent[coin_id]
                self._withdrawn.add(coin_id)
                yield e.ListingWithdrawn(now_ns, listing.symbol, coin_id, listing.open_ns)

    def _is_gone(self, listing: Listing, seen: Look, now_ns: int) -> bool:
        """Count one more look that does not show the listing; whether that is enough."""
        if listing.open_ns <= now_ns or listing.coin_id in self._withdrawn:
            return False
        absence = self._absent.setdefault(listing.coin_id, _Absence(now_ns))
        if not seen.is_whole:
            return False
        if not absence.looks:
            absence.since_ns = now_ns
        absence.looks += 1
        patience_ns = GONE_NS if listing.open_ns - now_ns <= NEAR_NS else GONE_FAR_NS
        return absence.looks >= GONE_LOOKS and now_ns - absence.since_ns >= patience_ns

    def _count_again(self) -> None:
        """A look that tells nothing of what is not shown ends the row of those that did."""
        for absence in self._absent.values():
            absence.looks = 0

    def _signals(self, now_ns: int, desk: Desk) -> Iterator[e.Event]:
        for listing in self.upcoming(now_ns):
            for pattern in self._patterns:
                signal = pattern.observe(listing, now_ns)
                if signal is not None and signal.signal_id not in desk.signals:
                    yield e.SignalRaised(now_ns, signal)


def _names(sightings: Sequence[Sighting]) -> dict[tuple[str, str], str]:
    """(coin id or ticker, quote or "") of every row, and its source.

    By ticker too, because a coin may get another id when another source begins to tell of it; a row of
    another quote is another pair's.
    """
    found: dict[tuple[str, str], str] = {}
    for sighting in sightings:
        fact = sighting.fact
        quote = fact.quote if isinstance(fact, SymbolState) else ""
        for name in (fact.coin_id, fact.ticker):
            found.setdefault((name, quote), sighting.source)
    return found
