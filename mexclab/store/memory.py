"""A ledger and a recorder that live in memory: for replay, and for whatever needs no tomorrow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put, require_empty
from mexclab.domain.events import Event
from mexclab.domain.listing import CalendarEntry, Sighting, SymbolState
from mexclab.errors import LedgerUnavailable
from mexclab.store.codec import Chain, Progress, Row, Verified, encode, verified


class MemoryLedger:
    """The same chain as on Postgres, in a list. The same events give the same ``fingerprint``."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._events: list[Event] = []
        self._chain = Chain()
        self._snapshot: tuple[int, DeskState] | None = None
        self._grown = asyncio.Event()
        self._is_open = True

    async def append(self, *events: Event) -> int:
        """Take the events in, all or none; the sequence number of the last one.

        Raises:
            LedgerError: an event cannot be written; none was.
            LedgerUnavailable: the ledger is closed.
        """
        if not self._is_open:
            raise LedgerUnavailable("the ledger is closed; open it again")
        entries = [encode(event) for event in events]
        self._rows.extend(self._chain.extend(entries))
        self._events.extend(events)
        self._grown.set()
        return self._chain.seq

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Events with a sequence number above ``after``, in order, as they are now."""
        return iter(list(enumerate(self._events[after:], after + 1)))

    def rows(self, after: int = 0, limit: int = 1000, correlation: str | None = None) -> list[Row]:
        """At most ``limit`` raw entries above ``after``, of one correlation if given."""
        fitting = (row for row in self._rows[after:] if correlation in (None, row.correlation))
        return [row for row, _ in zip(fitting, range(limit), strict=False)]

    def last(self) -> int:
        """The sequence number of the newest entry; 0 when there is none."""
        return self._chain.seq

    def recall(self, desk: Desk) -> int:
        """Bring an empty desk to the newest snapshot; its sequence number, 0: none.

        Raises:
            DomainError: the desk is not empty.
        """
        require_empty(desk)
        if self._snapshot is None:
            return 0
        seq, state = self._snapshot
        put(desk, state)
        return seq

    def remember(self, desk: Desk, seq: int) -> None:
        """Keep a snapshot of the desk as of ``seq``; of an entry that does not exist none is kept."""
        if 0 < seq <= self.last():
            self._snapshot = seq, DeskState.of(desk)

    def fingerprint(self) -> str:
        """The hash of the newest entry (hex): equal fingerprints are equal histories."""
        return self._chain.head.hex()

    def verify(self, expected_head: str | None = None, progress: Progress | None = None) -> Verified:
        """Check every entry against the chain.

        Raises:
            LedgerCorrupt: names the first entry that does not hold, or that is missing.
            ParameterError: ``expected_head`` is not the hash of an entry.
        """
        return verified(self._rows, expected_head, progress)

    async def follow(self, after: int | None = None) -> AsyncIterator[tuple[int, Event]]:
        """Events above ``after`` (by default: from now on) as they come; ends when the ledger is closed."""
        at = self.last() if after is None else after
        while True:
            for seq, event in self.read(at):
                at = seq
                yield seq, event
            if not self._is_open:
                return
            if at == self.last():
                self._grown.clear()
                await self._grown.wait()

    def lag_s(self) -> float:
        """Always 0: nothing waits to be written."""
        return 0.0

    def close(self) -> None:
        """Take nothing more in."""
        self._is_open = False
        self._grown.set()


class MemoryRecorder:
    """Listing facts as they were first seen, in a list."""

    def __init__(self) -> None:
        self._sightings: list[Sighting] = []
        self._newest: dict[tuple[str, str], CalendarEntry | SymbolState] = {}

    async def record(self, sightings: Sequence[Sighting]) -> None:
        """Keep each fact that differs from the one before it of the same source and key."""
        for sighting in sightings:
            at = (sighting.source, sighting.key)
            if self._newest.get(at) != sighting.fact:
                self._newest[at] = sighting.fact
                self._sightings.append(sighting)

    def sightings(self) -> Sequence[Sighting]:
        """Every fact, in the order in which they were seen."""
        return tuple(self._sightings)
