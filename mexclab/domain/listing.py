"""Listings: what was seen of a coin before it trades, and when it was first seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from mexclab.domain.clock import DAY
from mexclab.domain.market import Symbol

CALENDAR_QUOTE = "USDT"  # an entry names a coin alone, and is taken to open against this
Triple: TypeAlias = tuple[int, int, int]  # (sts, st, tt): status, spot enabled, trading type
_Row = TypeVar("_Row")


class Partial(list[_Row]):
    """Rows of a source that could not be read in full: what is missing from them may still exist."""


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A row of the venue's calendar of new coins (MEXC: ``new_coin_calendar``)."""

    coin_id: str
    ticker: str
    full_name: str
    zone: str
    open_ns: int


@dataclass(frozen=True, slots=True)
class SymbolState:
    """A row of the venue's symbol table (MEXC: ``symbolsV2``); joined to the calendar by ``coin_id``."""

    coin_id: str
    ticker: str
    quote: str
    sts: int
    st: int
    tt: int
    open_ns: int
    price_decimals: int
    quantity_decimals: int

    @property
    def triple(self) -> Triple:
        return (self.sts, self.st, self.tt)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One fact about a listing, and when it was first seen. Append-only; a changed fact is a new row."""

    source: str  # "calendar" or "symbols"
    key: str  # the coin id, with the quote for a symbol row
    first_seen_ns: int
    fact: CalendarEntry | SymbolState


@dataclass(frozen=True, slots=True)
class Postponement:
    """The venue moved an opening. Earlier is possible too."""

    seen_ns: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All that has been seen of one coming pair, as known at one moment.

    Attributes:
        former: names that it went by before the symbol table spelled it otherwise.
    """

    symbol: Symbol
    coin_id: str
    full_name: str
    open_ns: int
    first_seen_ns: int
    state: SymbolState | None = None
    state_seen_ns: int | None = None
    postponements: tuple[Postponement, ...] = ()
    former: tuple[Symbol, ...] = ()

    @property
    def lead_ns(self) -> int:
        """How long before the opening it was first seen; negative when seen too late."""
        return self.open_ns - self.first_seen_ns


@dataclass(frozen=True, slots=True)
class ListingBoard:
    """Every listing by coin id: a pure fold over sightings. One coin is one listing.

    It is the coin's pair with ``quote``, the asset that the desk trades with, from the moment at which that
    pair is told of. Until then a coin that is told of against another asset alone is shown as that pair.
    """

    listings: Mapping[str, Listing] = field(default_factory=lambda: MappingProxyType({}))
    quote: str = CALENDAR_QUOTE

    def after(self, sighting: Sighting) -> ListingBoard:
        """The board with one more fact; an unchanged fact changes nothing."""
        fact, seen = sighting.fact, sighting.first_seen_ns
        known = self.listings.get(fact.coin_id)
        if known is not None and known.symbol.quote != self.quote == _quote_of(fact):
            if fact.open_ns < seen - DAY:
                return self  # it has long traded against ours: the new pair is the other one
            known = None
        if isinstance(fact, CalendarEntry):
            fresh = self._calendar(known, fact, seen)
        else:
            fresh = self._state(known, fact, seen)
        if fresh is known:
            return self
        return replace(self, listings=MappingProxyType({**self.listings, fact.coin_id: fresh}))

    @staticmethod
    def _calendar(known: Listing | None, entry: CalendarEntry, seen_ns: int) -> Listing:
        if known is None:
            symbol = Symbol(entry.ticker, CALENDAR_QUOTE)
            return Listing(symbol, entry.coin_id, entry.full_name, entry.open_ns, seen_ns)
        return _moved(replace(known, full_name=entry.full_name), entry.open_ns, seen_ns)

    @staticmethod
    def _state(known: Listing | None, state: SymbolState, seen_ns: int) -> Listing:
        symbol = Symbol(state.ticker, state.quote)
        if known is None:
            return Listing(symbol, state.coin_id, state.ticker, state.open_ns, seen_ns, state, seen_ns)
        if known.symbol.quote != state.quote:
            return known  # the same coin against another currency is another market, not a change of this one
        told = replace(_named(known, symbol), state=state, state_seen_ns=seen_ns)
        # a symbol row may carry an opening of its own, or an old one: only a change of that row's own
        # opening is news, otherwise two sources that disagree would postpone each other for ever
        if known.state is not None and known.state.open_ns != state.open_ns:
            return _moved(told, state.open_ns, seen_ns)
        return told


def _quote_of(fact: CalendarEntry | SymbolState) -> str:
    return fact.quote if isinstance(fact, SymbolState) else CALENDAR_QUOTE


def _named(listing: Listing, symbol: Symbol) -> Listing:
    """The listing as the table spells it; what was planned under another name is still about this coin."""
    if symbol == listing.symbol:
        return listing
    before = (each for each in (*listing.former, listing.symbol) if each != symbol)
    return replace(listing, symbol=symbol, former=tuple(dict.fromkeys(before)))


def _moved(listing: Listing, open_ns: int, seen_ns: int) -> Listing:
    if open_ns == listing.open_ns:
        return listing
    step = Postponement(seen_ns, listing.open_ns, open_ns)
    return replace(listing, open_ns=open_ns, postponements=(*listing.postponements, step))


def fact_fields(fact: CalendarEntry | SymbolState) -> dict[str, Any]:
    """The fact's fields by name, for a recorder's row."""
    return {name: getattr(fact, name) for name in fact.__slots__}
