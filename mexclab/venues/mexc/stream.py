"""MEXC's streams: the books and trades of the symbols that are watched, and the account.

Books are kept by ``book.py``; whenever one is lost, because a version is missing, a frame cannot be read or
the connection is gone, it is counted, told, and begun anew from a snapshot; until then none of it is shown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Symbol
from mexclab.domain.reports import Balances, BookSeen, FeedNews, Happening, TradeSeen
from mexclab.errors import DomainError, VenueError, VenueUnavailable
from mexclab.venues.mexc.book import DepthSnapshot, LiveBook, Step
from mexclab.venues.mexc.connection import Connection, Word
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Deals, Decoder, DepthDiff, channel_of
from mexclab.venues.mexc.line import Line, LineHooks, LineTerms
from mexclab.venues.mexc.own_stream import OwnDoors, OwnStream, OwnTerms
from mexclab.venues.mexc.stream_health import Sieve, StreamHealth, health_of
from mexclab.venues.mexc.stream_marks import Marks

__all__ = ["DepthSnapshot", "Stream", "StreamDoors", "StreamTerms"]

TOLD_AFTER = 3  # attempts to begin a book in a row that fail, before it is told


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """Where the streams are and how they are kept up.

    Attributes:
        url: ``wss://wbs-api.mexc.com/ws``.
        speed: of books and trades: ``10ms`` or ``100ms``.
        depth: levels a side of the books that are told.
        renew_s: between two renewals of the listen key, which lives twice as long.
        seed: of the pauses before reconnecting; None: drawn.
    """

    url: str
    speed: str = "100ms"
    depth: int = 20
    renew_s: float = 1_800.0
    seed: int | None = None
    line: LineTerms = field(default_factory=LineTerms)


@dataclass(frozen=True, slots=True)
class StreamDoors:
    """What the streams need of the rest of the adapter.

    Attributes:
        tell: takes each piece of news, in order, on the event loop; must not wait.
        snapshot: the whole book now. Raises ``VenueError``.
        listen_key: a key for the private stream; None: there is no account.
        renew: lets a listen key live on.
        catch_up: tells what happened to our orders since a moment.
        now_ns: the venue's clock.
        symbol_of: the pair of a name on the wire that is not watched.
    """

    tell: Callable[[Happening], None]
    snapshot: Callable[[Symbol], Awaitable[DepthSnapshot]]
    listen_key: Callable[[], Awaitable[str]] | None
    renew: Callable[[str], Awaitable[None]] | None
    catch_up: Callable[[int], Awaitable[None]] | None
    now_ns: Callable[[], int]
    symbol_of: Callable[[str], Symbol] = Symbol.parse


@dataclass(slots=True, eq=False)
class _Watched:
    """One symbol: its book and what has been told of it."""

    symbol: Symbol
    book: LiveBook
    line: Line
    depth_channel: str
    sieve: Sieve = field(default_factory=Sieve)
    given: asyncio.Event = field(default_factory=asyncio.Event)  # diffs come: a snapshot makes sense
    syncing: asyncio.Task[None] | None = None
    failures: int = 0  # attempts to begin the book, in a row
    is_degraded: bool = False
    heard_ns: int = 0


class Stream:
    """All that is listened to. ``watch`` symbols, ``run`` it, and it tells.

    Attributes:
        books: by symbol; a book whose ``version`` is None is being begun.
        decoder: reads the frames; counts what it could not read.
        marks: for a stepped venue: what every connection has shown.
    """

    def __init__(self, terms: StreamTerms, doors: StreamDoors) -> None:
        self.terms = terms
        self._doors = doors
        self._chance = random.Random(terms.seed)
        self._watched: dict[Symbol, _Watched] = {}
        self._by_name: dict[str, Symbol] = {}
        self._lines: list[Line] = []
        self._handlers: dict[bytes, Callable[[Connection, bytes], None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._down: dict[str, None] = {}  # what was told as degraded
        self._ask_again_ns = 0
        self.decoder = Decoder(Drift(doors.tell), self._symbol_of)
        self.marks = Marks(self._connections, terms.line.deadline_s)
        self._own = self._own_stream()

    def _own_stream(self) -> OwnStream | None:
        doors = self._doors
        if doors.listen_key is None:
            return None
        own = OwnDoors(doors.tell, doors.listen_key, doors.renew, doors.catch_up, doors.now_ns)
        terms = OwnTerms(self.terms.url, self.terms.line, self.terms.renew_s)
        return OwnStream(terms, own, self.decoder, self._chance)

    # -- for the outside -------------------------------------------------------------------------

    @property
    def books(self) -> Mapping[Symbol, LiveBook]:
        return MappingProxyType({symbol: watched.book for symbol, watched in self._watched.items()})

    @property
    def balances(self) -> Balances:
        """What the private stream told of the account's assets; those that did not change are not in it."""
        return MappingProxyType(self._own.balances) if self._own is not None else MappingProxyType({})

    def watch(self, symbol: Symbol) -> None:
        """Tell this symbol's books and trades from now on."""
        if symbol in self._watched:
            return
        depth, deals = self._channels(symbol)
        line = self._line_for(2)
        book = LiveBook(symbol, self._read_diff)
        watched = self._watched[symbol] = _Watched(symbol, book, line, depth)
        self._by_name[str(symbol)] = symbol
        self._handlers[depth.encode()] = partial(self._take_depth, watched)
        self._handlers[deals.encode()] = partial(self._take_deals, watched)
        line.want(depth, deals)
        self._begin(watched)

    def unwatch(self, symbol: Symbol) -> None:
        """Tell no more of this symbol. A frame that is on its way is dropped."""
        watched = self._watched.pop(symbol, None)
        if watched is None:
            return
        del self._by_name[str(symbol)]
        channels = self._channels(symbol)
        for channel in channels:
            del self._handlers[channel.encode()]
            self._down.pop(channel, None)
        watched.line.drop(*channels)
        if watched.syncing is not None:
            watched.syncing.cancel()

    def silent_ns(self, symbol: Symbol) -> int | None:
        """See ``ports.Feed.silent_ns``; any byte on its connection is a sign of life."""
        watched = self._watched.get(symbol)
        connection = watched.line.connection if watched is not None else None
        if watched is None or connection is None or not connection.is_open or watched.book.version is None:
            return None
        if not all(connection.channels.get(channel) for channel in self._channels(symbol)):
            return None
        return round((asyncio.get_running_loop().time() - connection.heard_s) * SECOND)

    def _channels(self, symbol: Symbol) -> tuple[str, str]:
        """Of its depth and its deals."""
        stem = "spot@public.aggre.{}.v3.api.pb@{}@{}"
        return stem.format("depth", self.terms.speed, symbol), stem.format("deals", self.terms.speed, symbol)

    async def run(self) -> None:
        """Listen until cancelled. What a bug raises ends it."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for line in self._lines:
                    tasks.create_task(line.run())
                if self._own is not None:
                    tasks.create_task(self._own.run())
                for watched in self._watched.values():
                    self._begin(watched)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def wait_mark(self, number: int) -> None:
        """Return when every open connection has shown this mark, and what was asked for meanwhile is settled.

        Raises:
            VenueUnavailable: a connection has not, within the deadline.
        """
        await self.marks.wait(number)
        now_ns = self._doors.now_ns()
        if now_ns >= self._ask_again_ns:  # a stepped venue's hours pass in seconds of ours
            self._ask_again_ns = now_ns + round(self.terms.line.ask_again_s * SECOND)
            for line in self._lines:
                line.ask_again()
        await self.settled()

    async def settled(self) -> bool:
        """Wait until all that is watched is shown or refused; False: it took longer than the deadline."""
        try:
            async with asyncio.timeout(self.terms.line.deadline_s):
                while not self._is_settled():  # noqa: ASYNC110  many small things make it so
                    await asyncio.sleep(0.0005)
        except TimeoutError:
            return False
        return True

    def health(self) -> StreamHealth:
        """How everything that is listened to is doing."""
        own = self._own.line if self._own is not None else None
        books = {watched.book: watched.heard_ns for watched in self._watched.values()}
        return health_of(self._named_lines(), own, books, self.decoder, self._doors.now_ns())

    # -- lines -----------------------------------------------------------------------------------

    def _line_for(self, channels: int) -> Line:
        for line in self._lines:
            if len(line.channels) + channels <= self.terms.line.most_channels:
                return line
        name = f"public stream {len(self._lines) + 1}"
        hooks = LineHooks(
            self._address, self._heard, self._word, partial(self._ready, name), partial(self._lost, name)
        )
        line = Line(hooks, self.terms.line, self._chance)
        self._lines.append(line)
        if self._tasks is not None:
            self._tasks.create_task(line.run())
        return line

    async def _address(self) -> str:
        return self.terms.url

    def _named_lines(self) -> dict[str, Line]:
        return {f"public stream {number}": line for number, line in enumerate(self._lines, start=1)}

    def _connections(self) -> list[Connection]:
        lines = [*self._lines, *([self._own.line] if self._own is not None else [])]
        return [connection for line in lines for connection in line.open_connections]

    def _ready(self, name: str, connection: Connection) -> None:
        self._news(name, "it listens", degraded=False)

    def _lost(self, name: str, why: str) -> None:
        self._news(name, f"it was lost: {why}; trades meanwhile are not told", degraded=True)
        line = self._named_lines()[name]
        for watched in self._watched.values():
            if watched.line is line and not line.open_connections:
                watched.given.clear()
                watched.book.lose("the connection was lost")
                self._begin(watched)

    def _word(self, connection: Connection, word: Word, about: str) -> None:
        if word is Word.GIVEN:
            self._news(about, "the venue gives it", degraded=False)
            for watched in self._watched.values():
                if watched.depth_channel == about:
                    watched.given.set()
        elif word is Word.REFUSED:
            self._news(about, "the venue refuses it; it is asked for again and again", degraded=True)

    def _news(self, source: str, what: str, degraded: bool) -> None:
        """Told when it goes down and when it is back, not each time that it is tried."""
        if degraded == (source in self._down):
            return
        if degraded:
            self._down[source] = None
        else:
            del self._down[source]
        self._doors.tell(FeedNews(source, what, self._doors.now_ns(), degraded))

    # -- frames ----------------------------------------------------------------------------------

    def _heard(self, connection: Connection, frame: bytes) -> None:
        handler = self._handlers.get(channel_of(frame))
        if handler is not None:
            handler(connection, frame)
            return
        try:
            self.decoder.decode(frame, self._doors.now_ns())
        except VenueUnavailable:
            return  # the decoder has told it; a book that misses it finds out by its versions

    def _symbol_of(self, name: str) -> Symbol:
        return self._by_name.get(name) or self._doors.symbol_of(name)

    def _read_diff(self, frame: bytes) -> DepthDiff:
        now_ns = self._doors.now_ns()
        heard = self.decoder.decode(frame, now_ns)
        if not isinstance(heard, DepthDiff):
            self.decoder.refuse("public.aggre.depth", "*", "has the body of another channel", now_ns)
        return heard

    def _take_deals(self, watched: _Watched, connection: Connection, frame: bytes) -> None:
        try:
            heard = self.decoder.decode(frame, self._doors.now_ns())
        except VenueUnavailable:
            return
        if isinstance(heard, Deals):
            for deal in heard.deals:
                if watched.sieve.passes(connection, deal):
                    self._doors.tell(TradeSeen(deal.trade))

    def _take_depth(self, watched: _Watched, connection: Connection, frame: bytes) -> None:
        try:
            step = watched.book.take(frame)
        except VenueUnavailable:
            step = Step.GAP  # the decoder has told what is wrong with it
        watched.heard_ns = self._doors.now_ns()
        if step is Step.APPLIED:
            self._show(watched, watched.book.sent_ns or watched.heard_ns)
        elif step is Step.GAP:
            self._begin(watched)

    def _show(self, watched: _Watched, at_ns: int) -> None:
        book = watched.book.book(self.terms.depth, at_ns)
        if book is None:
            self.decoder.note("public.aggre.depth", "publicAggreDepths.quantity", watched.book.why, at_ns)
            self._begin(watched)
        else:
            self._doors.tell(BookSeen(book))

    # -- books -----------------------------------------------------------------------------------

    def _begin(self, watched: _Watched) -> None:
        """Begin a book, anew if it was lost."""
        if watched.book.version is not None:
            return
        if watched.book.why and not watched.is_degraded:
            watched.is_degraded = True
            what = f"lost for the {watched.book.resyncs}. time: {watched.book.why}"
            self._doors.tell(FeedNews(f"book {watched.symbol}", what, self._doors.now_ns(), degraded=True))
        if self._tasks is not None and (watched.syncing is None or watched.syncing.done()):
            watched.failures = 0
            watched.syncing = self._tasks.create_task(self._sync(watched))

    async def _sync(self, watched: _Watched) -> None:
        """Ask for snapshots until one meets the diffs."""
        line = self.terms.line
        while watched.book.version is None:
            await watched.given.wait()
            why = "the snapshot is older than the diffs"
            try:
                async with asyncio.timeout(line.deadline_s):
                    snapshot = await self._doors.snapshot(watched.symbol)
                if watched.given.is_set() and watched.book.anchor(snapshot):
                    break
            except (VenueError, DomainError) as error:
                why = error.message
            except TimeoutError:
                why = "no snapshot came in time"
            watched.failures += 1
            if watched.failures == TOLD_AFTER:
                watched.is_degraded = True
                what = f"it cannot be begun: {why}"
                self._doors.tell(
                    FeedNews(f"book {watched.symbol}", what, self._doors.now_ns(), degraded=True)
                )
            longest = min(line.longest_pause_s, line.pause_s * 2.0 ** min(watched.failures, 20))
            await asyncio.sleep(longest * self._chance.uniform(0.5, 1.0))
        watched.failures, watched.syncing = 0, None
        now_ns = watched.heard_ns = self._doors.now_ns()
        if watched.is_degraded:
            watched.is_degraded = False
            what = f"it is whole again as of version {watched.book.version}"
            self._doors.tell(FeedNews(f"book {watched.symbol}", what, now_ns, degraded=False))
        self._show(watched, now_ns)

    def _is_settled(self) -> bool:
        if self._tasks is None:
            return True
        lines = all(line.is_settled for line in self._lines)
        return (
            lines
            and (self._own is None or self._own.is_settled)
            and all(
                watched.book.version is not None or watched.failures or not watched.given.is_set()
                for watched in self._watched.values()
            )
        )
