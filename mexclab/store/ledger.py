"""The ledger on Postgres: append-only, durable, sealed by a hash chain; one writer, any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
import sqlalchemy as sa
import structlog

from mexclab.domain.desk import Desk
from mexclab.domain.events import Event
from mexclab.errors import LedgerUnavailable
from mexclab.store import snapshot
from mexclab.store.codec import GENESIS, Chain, Progress, Row, Verified, encode, verified
from mexclab.store.pen import CHANNEL, Pen
from mexclab.store.postgres import Postgres, reaching
from mexclab.store.tables import event as table

if TYPE_CHECKING:
    from mexclab.store.export import Exported

PAGE = 2_000  # rows that travel at once
_HISTORY = (
    "SELECT seq, at_ns, kind, correlation, body, prev_hash, hash FROM event WHERE seq >= %s ORDER BY seq"
)
FOLLOW_S = 5.0  # how often a follower looks although nobody called, should a notification be lost

log = structlog.get_logger("mexclab.store")


class PostgresLedger:
    """The append-only truth. See ``open``.

    A writer's ``append`` belongs on an event loop. Everything that reads blocks: call it from a thread
    where a loop must not wait.
    """

    def __init__(self, postgres: Postgres, pen: Pen | None) -> None:
        self._postgres = postgres
        self._pen = pen

    @classmethod
    def open(cls, postgres: Postgres, *, writer: bool = True, deadline_s: float = 10.0) -> Self:
        """The ledger of this database, to write (one process at a time) or only to read.

        Args:
            postgres: where it is; stays open when the ledger is closed.
            writer: take the pen. It is free again when the ledger is closed or its process ends, however.
            deadline_s: an append that takes longer brings the ledger down.

        Raises:
            LedgerInUse: another process has the pen.
            LedgerUnavailable: the database cannot be used for it.
        """
        return cls(postgres, Pen.take(postgres, deadline_s) if writer else None)

    async def append(self, *events: Event) -> int:
        """Write the events in this order, all or none; the sequence number of the last one, once durable.

        Calls are written in the order in which they were made. One that is cancelled is written still, and
        ends when that is done: ``last`` then tells what is durable.

        Raises:
            LedgerError: an event cannot be written; none of this call was.
            LedgerUnavailable: nothing is known to be durable, nor will be until the ledger is opened again.
        """
        if self._pen is None:
            raise LedgerUnavailable("this ledger was opened to be read; open it with writer=True to append")
        entries = [encode(event) for event in events]
        if not entries:
            return self.last()
        written = self._pen.ask(entries)
        try:
            return await asyncio.shield(written)
        except asyncio.CancelledError:
            while not written.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((written,))
            raise

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Events with a sequence number above ``after``, in order, each checked against the chain.

        Raises:
            LedgerCorrupt: an entry was torn out or edited; ``data["seq"]`` names it.
            LedgerUnavailable: the database cannot be read.
        """
        for row, event in self._checked(after):
            yield row.seq, event

    def rows(self, after: int = 0, limit: int = 1000, correlation: str | None = None) -> list[Row]:
        """At most ``limit`` raw entries above ``after``, of one correlation if given; not checked.

        Raises:
            LedgerUnavailable: the database cannot be read.
        """
        query = sa.select(table).where(table.c.seq > after).order_by(table.c.seq).limit(limit)
        if correlation is not None:
            query = query.where(table.c.correlation == correlation)
        return self._found(query)

    def last(self) -> int:
        """The sequence number of the newest durable entry; 0 when there is none."""
        return self._head()[0]

    def recall(self, desk: Desk) -> int:
        """Bring an empty desk to the newest snapshot that can be trusted; its sequence number, 0: none.

        One that is torn, edited, of other code or of another history is logged and not believed. Go on with
        ``read`` from there: it checks that what came later follows from the entry of the snapshot. The
        entries before that one are not looked at; ``verify`` does that.

        Raises:
            DomainError: the desk is not empty.
        """
        try:
            return snapshot.recall(self._postgres, desk)
        except LedgerUnavailable as error:
            log.warning("no snapshot could be read", why=str(error))
            return 0

    def remember(self, desk: Desk, seq: int) -> None:
        """Keep a snapshot of the desk as of ``seq``, so that the next start folds only what came later.

        It blocks, for seconds when the history is long: it belongs before the trading or after it. It uses
        a connection of the pool and never the pen's. A database that fails is a warning here: the next
        start takes longer, and that is all.

        Raises:
            LedgerUnavailable: this ledger was opened to be read.
        """
        if self._pen is None:
            raise LedgerUnavailable("this ledger was opened to be read; open it with writer=True to remember")
        try:
            snapshot.remember(self._postgres, desk, seq)
        except LedgerUnavailable as error:
            log.warning("no snapshot could be kept", seq=seq, why=str(error))

    def export(self, path: Path, after: int = 0, limit: int | None = None) -> Exported:
        """Write the entries above ``after``, at most ``limit``, to a Parquet file; see ``store/export.py``.

        Raises:
            LedgerCorrupt: an entry does not hold; nothing is left behind.
            DataError: the file exists or cannot be written, or there is nothing to export.
            LedgerUnavailable: the database cannot be read.
        """
        from mexclab.store.export import write  # pyarrow takes half a second that trading need not wait for

        with closing(self._checked(after)) as found:
            return write(path, (row for row, _ in islice(found, limit)))

    def fingerprint(self) -> str:
        """The hash of the newest durable entry (hex): equal fingerprints are equal histories."""
        return self._head()[1].hex()

    def verify(self, expected_head: str | None = None, progress: Progress | None = None) -> Verified:
        """Check every entry against the chain, from the first one on.

        Args:
            expected_head: an earlier ``Verified.head``, kept elsewhere: tells when entries were cut off.
            progress: is told how many entries have been checked so far; ``last()`` tells of how many.

        Raises:
            LedgerCorrupt: names the first entry that does not hold, or that is missing.
            ParameterError: ``expected_head`` is not a hash.
            LedgerUnavailable: the database cannot be read.
        """
        with closing(self._history(0)) as found:
            return verified(found, expected_head, progress)

    async def follow(self, after: int | None = None) -> AsyncIterator[tuple[int, Event]]:
        """Events above ``after`` (from now on when not given) as they become durable, without end.

        Raises:
            LedgerUnavailable: the connection broke; follow again after the last one that came.
        """
        arguments = self._postgres.arguments()
        with reaching(self._postgres.where):
            listener: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
                **arguments, autocommit=True, application_name="mexclab follower"
            )
            async with listener:
                await listener.execute(f"LISTEN {CHANNEL}")
                at = await asyncio.to_thread(self.last) if after is None else after
                while True:
                    while page := await asyncio.to_thread(self._page, at):
                        for at, event in page:
                            yield at, event
                    async for _ in listener.notifies(timeout=FOLLOW_S, stop_after=1):
                        pass

    def lag_s(self) -> float:
        """For how long the oldest events have waited to become durable, in seconds; 0 when none wait."""
        return self._pen.lag_s() if self._pen else 0.0

    def close(self) -> None:
        """Write what waits and let go of the pen. The database stays open. May be called again."""
        if self._pen is not None:
            self._pen.close()

    def _page(self, after: int) -> list[tuple[int, Event]]:
        return list(islice(self.read(after), PAGE))

    def _head(self) -> tuple[int, bytes]:
        if self._pen is not None:
            return self._pen.newest
        newest = sa.select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            found = session.execute(newest).first()
        return (found.seq, bytes(found.hash)) if found else (0, GENESIS)

    def _checked(self, after: int) -> Generator[tuple[Row, Event], None, None]:
        """Entries above ``after``, each checked; the one at ``after`` too, since the next follows from it."""
        with closing(self._history(after)) as found:
            chain = Chain()
            if after > 0:
                before = next(found, None)
                if before is None:
                    return
                chain = Chain(after - 1, before.prev_hash)
                chain.check(before)
            for row in found:
                yield row, chain.check(row)

    def _history(self, start: int) -> Generator[Row, None, None]:
        """Entries from ``start`` on through a cursor on the server, so that a long history needs no memory.

        By psycopg itself and in binary: SQLAlchemy's rows take twice the time.
        """
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            driver = session.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with driver.cursor("mexclab_history", binary=True) as cursor:
                cursor.execute(_HISTORY, (start,))
                while page := cursor.fetchmany(PAGE):
                    yield from map(Row._make, page)

    def _found(self, query: sa.Select[Any]) -> list[Row]:
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            return [Row(*row) for row in session.execute(query)]
