"""The seams: what the engine needs from the world, as small as it can be said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel

from mexclab.domain.desk import Desk
from mexclab.domain.events import Event
from mexclab.domain.listing import CalendarEntry, Listing, Sighting, SymbolState
from mexclab.domain.market import Book, Market, Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import Balances, ClockReading, Happening, VenueOrder
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan


class Clock(Protocol):
    """The venue's time. Nothing else in mexclab asks what time it is."""

    def now_ns(self) -> int: ...

    async def sleep_until(self, at_ns: int) -> None:
        """Return at ``at_ns``, or at once when that is past."""
        ...

    def lateness_ns(self, at_ns: int) -> int:
        """How long ago ``at_ns`` was on the machine's own clock; negative when it is still to come."""
        ...

    def was_set(self) -> bool:
        """Whether this machine's clock was set, or stood still, after the venue's was measured by it."""
        ...


class Exchange(Protocol):
    """An account on a venue. ``submit`` and ``cancel`` only send: what comes of it arrives as a report."""

    def prepare(self, order: Order, release_ns: int) -> None:
        """Make everything ready for ``submit`` at ``release_ns``; nothing leaves."""
        ...

    def recall(self, orders: Sequence[Order]) -> None:
        """Orders of before this start, the oldest first: whose trades the venue tells by its own ids."""
        ...

    def submit(self, order: Order) -> None: ...

    def stop_sending(self, order: Order) -> None:
        """What of it has not left does not leave any more; nothing is asked of the venue."""
        ...

    def cancel(self, order: Order) -> None: ...

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        """The order as the venue knows it; None when the venue says that it does not exist.

        Raises:
            VenueUnavailable: the venue did not say, so nothing is known.
        """
        ...

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every order that rests on the account; ``Partial``: of the pairs that it has had to do with alone.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        ...

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]: ...

    async def balances(self) -> Balances: ...


class Venue(Protocol):
    """What a venue publishes about its markets."""

    async def market(self, symbol: Symbol) -> Market | None:
        """The trading rules, or None while the venue has none."""
        ...

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        """The last or indicative price, or None."""
        ...

    async def book(self, symbol: Symbol) -> Book | None:
        """The best bid and ask as the venue answers them now, or None while there is no book.

        Raises:
            VenueUnavailable: the venue did not say.
        """
        ...

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        """Of every whole minute since then that had a trade: when it ended, and its last price; in order.

        Raises:
            VenueUnavailable: the venue did not say, or not in full.
        """
        ...

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        """Whether orders by API are taken for it; None when the venue does not say."""
        ...

    async def clock_reading(self) -> ClockReading: ...


class Feed(Protocol):
    """News of the venue, in the order in which it happened."""

    async def until(self, at_ns: int) -> Sequence[Happening]:
        """Wait for news, at most until ``at_ns``; what happened, possibly nothing."""
        ...

    def stir(self) -> None:
        """Let whoever waits in ``until`` look again: what is due has changed."""
        ...

    def watch(self, symbol: Symbol) -> None:
        """Include this symbol's book and trades from now on."""
        ...

    def unwatch(self, symbol: Symbol) -> None:
        """Leave this symbol out from now on; one that is not watched changes nothing."""
        ...

    def silent_ns(self, symbol: Symbol) -> int | None:
        """For how long the way by which its news comes has shown no sign of life, were it an answered ping.

        None: it is not being listened to, or its book is lost. A market in which nothing happens is silent
        on a way that lives.
        """
        ...


class Calendar(Protocol):
    """Where listings are announced."""

    async def entries(self) -> Sequence[CalendarEntry]: ...

    async def states(self) -> Sequence[SymbolState]: ...


class Ledger(Protocol):
    """The append-only truth. ``append`` returns once the events are durable, all or none."""

    async def append(self, *events: Event) -> int:
        """Write the events in this order; the sequence number of the last one.

        One that is cancelled ends when it is known whether they are durable; ``last`` then tells.

        Raises:
            LedgerUnavailable: nothing is known to be durable.
        """
        ...

    def last(self) -> int:
        """The sequence number of the newest durable entry; 0 when there is none."""
        ...

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Events with a sequence number above ``after``, in order."""
        ...

    def recall(self, desk: Desk) -> int:
        """Bring an empty desk to the newest snapshot that can be trusted; its sequence number, 0: none."""
        ...

    def remember(self, desk: Desk, seq: int) -> None:
        """Keep a snapshot of the desk as of ``seq``, so that the next start folds only what came later."""
        ...


class Recorder(Protocol):
    """Listing facts as they were first seen, raw and append-only."""

    async def record(self, sightings: Sequence[Sighting]) -> None: ...

    def sightings(self) -> Sequence[Sighting]: ...


class Pattern(Protocol):
    """A plug-in that knows a sign of a coming listing (entry points ``mexclab.patterns``)."""

    name: str

    def observe(self, listing: Listing, now_ns: int) -> Signal | None:
        """What this pattern makes of a listing as it is known now; pure."""
        ...


class Alarm(Protocol):
    """What a pattern that lives on bars has seen; ``str`` of it is the sentence."""

    @property
    def symbol(self) -> str: ...

    @property
    def at_ns(self) -> int:
        """The close of the bar at which it was seen."""
        ...


@runtime_checkable
class BarPattern(Protocol):
    """A plug-in of the same group that lives on closed one-minute bars instead of listings.

    Its alarms are facts: written into the ledger and told to people. The desk makes no signal of them.
    """

    name: str
    minutes: int  # so many must be seen before the first alarm can come

    def follow(self, symbols: Sequence[str]) -> None:
        """Begin anew with these symbols, as the lake spells them.

        Raises:
            ParameterError: too few of them.
        """
        ...

    def see(self, at_ns: int, closes: Mapping[str, float]) -> Sequence[Alarm]:
        """The closes of the bars that were complete at ``at_ns``, a minute after those before; maybe none."""
        ...


class Strategy(Protocol):
    """A plug-in that turns a signal into a plan (entry points ``mexclab.strategies``).

    The class that an entry point names has a class attribute ``Parameters`` besides, the type of its
    parameters, and is built from an instance of it; see ``mexclab.strategies.registry``.
    """

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> BaseModel:
        """What it was told; frozen."""
        ...

    def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> Plan:
        """What to do about the signal; pure. The plan's ids, symbol and first instant are the signal's.

        Raises:
            DomainError: no plan can be made of it; the sentence says why.
        """
        ...


Subscriber: TypeAlias = Callable[[int, Event], None]


class Bus(Protocol):
    """News for spectators, who may lag or fail without harm."""

    def publish(self, seq: int, event: Event) -> None: ...

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with each event from now on; call the result to stop."""
        ...


Prices: TypeAlias = Mapping[Symbol, Decimal]
