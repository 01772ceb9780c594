"""How the streams are doing, for people; and what keeps a trade from being told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Symbol
from mexclab.venues.mexc.book import LiveBook
from mexclab.venues.mexc.frames import Decoder, PublicDeal
from mexclab.venues.mexc.line import Line

REMEMBERED = 2_000  # trades of a symbol


@dataclass(frozen=True, slots=True)
class LineHealth:
    """One line. Ages in seconds: of the connection, and since anything came; None: it is down."""

    name: str
    is_open: bool
    age_s: float | None
    silent_s: float | None
    openings: int
    frames: int
    channels: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BookHealth:
    """One book; ``silent_s``: since its last diff or snapshot, None before the first."""

    symbol: Symbol
    version: int | None
    silent_s: float | None
    applied: int
    dropped: int
    resyncs: int
    why: str

    @property
    def is_live(self) -> bool:
        return self.version is not None


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """All of it; ``malformed``: frames that could not be read."""

    lines: tuple[LineHealth, ...]
    books: tuple[BookHealth, ...]
    malformed: int
    unused: int


def health_of(
    public: Mapping[str, Line],
    private: Line | None,
    books: Mapping[LiveBook, int],
    decoder: Decoder,
    now_ns: int,
) -> StreamHealth:
    """The state of everything now; ``books`` with the moment at which each was heard of last."""
    lines = dict(public) if private is None else {**public, "private stream": private}
    return StreamHealth(
        lines=tuple(_line_health(name, line) for name, line in lines.items()),
        books=tuple(_book_health(book, heard_ns, now_ns) for book, heard_ns in books.items()),
        malformed=decoder.malformed,
        unused=decoder.unused,
    )


def _line_health(name: str, line: Line) -> LineHealth:
    connection = line.connection
    if connection is None or not connection.is_open:
        return LineHealth(name, False, None, None, line.openings, 0, len(line.channels), ())
    now_s = asyncio.get_running_loop().time()
    return LineHealth(
        name=name,
        is_open=True,
        age_s=now_s - connection.opened_s,
        silent_s=now_s - connection.heard_s,
        openings=line.openings,
        frames=connection.frames,
        channels=len(line.channels),
        refused=tuple(channel for channel, given in connection.channels.items() if given is False),
    )


def _book_health(book: LiveBook, heard_ns: int, now_ns: int) -> BookHealth:
    silent_s = (now_ns - heard_ns) / SECOND if heard_ns else None
    return BookHealth(book.symbol, book.version, silent_s, book.applied, book.dropped, book.resyncs, book.why)


@dataclass(slots=True)
class Sieve:
    """Lets each public trade of a symbol pass once, though two connections may tell it.

    A trade with an id passes once. Without one, equal trades are counted on each connection, and one passes
    when a connection tells more of them than any has before.
    """

    _told: dict[object, dict[object, int]] = field(default_factory=dict)

    def passes(self, connection: object, deal: PublicDeal) -> bool:
        """Whether it has not been told yet."""
        key: object = deal.trade_id or deal.trade
        counts = self._told.get(key)
        if counts is None:
            self._told[key] = {connection: 1}
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]
            return True
        if deal.trade_id:
            return False
        most = max(counts.values())
        counts[connection] = mine = counts.get(connection, 0) + 1
        return mine > most
