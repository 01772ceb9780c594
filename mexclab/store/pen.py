"""The pen: the one session that may write a ledger, and the thread that writes in groups."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from mexclab.errors import LedgerInUse, LedgerUnavailable
from mexclab.store.codec import GENESIS, Chain, Entry, Row
from mexclab.store.postgres import Postgres, reaching, reason

CHANNEL = "mexclab_events"
LOCK = 0x6D78_6C61_6232  # "mxlab2": the pen's advisory lock, one per database
GROUP = 2_000  # the most events in one transaction
SMALL = 8  # up to here one statement in one round trip is quicker than COPY
_COLUMNS = "event (seq, at_ns, kind, correlation, body, prev_hash, hash)"
_TYPES = ("int8", "int8", "text", "text", "text", "bytea", "bytea")
_COPY = f"COPY {_COLUMNS} FROM STDIN (FORMAT BINARY)"
_ROW = "(%s, %s, %s, %s, %s, %s, %s)"
_INSERT = [
    f"WITH written AS (INSERT INTO {_COLUMNS} VALUES {', '.join([_ROW] * count)}) SELECT pg_notify(%s, %s)"
    for count in range(SMALL + 1)
]
_LONE = b"mexclab_lone"
_LONE_INSERT = _INSERT[1].replace("%s", "${}").format(*range(1, 10)).encode()
_LONE_FORMATS = [0, 0, 0, 0, 0, 1, 1, 0, 0]  # the hashes travel as bytes
_HOLDER = """
SELECT a.application_name, a.backend_start::timestamptz(0) AT TIME ZONE 'UTC'
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.objsubid = 1
  AND (l.classid::bigint << 32) + l.objid::bigint = %s AND l.granted
"""


@dataclass(slots=True)
class _Ask:
    """One caller's events, and the future that it waits on."""

    entries: Sequence[Entry]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[int]
    asked_s: float
    last: int = 0


class Pen:
    """Writes a ledger from a thread of its own, on the session that holds the ledger's lock.

    What waits is written together: while one transaction is on its way to the disk, the next group
    gathers. The lock and the writing share one session, so whoever lost the lock cannot write either.
    After any failure the pen stays down: what is durable then can only be learned by reading it again.
    """

    def __init__(self, session: psycopg.Connection[Any], chain: Chain, where: str, deadline_s: float) -> None:
        self.newest = (chain.seq, chain.head)  # the newest durable entry and its hash
        self._session = session
        self._chain = chain
        self._where = where
        self._deadline_s = deadline_s
        self._watching: asyncio.AbstractEventLoop | None = None  # the loop whose timer minds the deadline
        self._queue: SimpleQueue[_Ask | None] = SimpleQueue()
        self._waiting: deque[_Ask] = deque()
        self._guard = threading.Lock()
        self._down: str | None = None
        self._thread = threading.Thread(target=self._run, name="mexclab-pen", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, postgres: Postgres, deadline_s: float) -> Pen:
        """The pen of this ledger, if nobody has it.

        Raises:
            LedgerInUse: somebody has; names the process, its machine, and since when.
            LedgerUnavailable: the server cannot be reached, or does not write through to the disk.
        """
        if not postgres.is_fsynced:
            raise LedgerUnavailable(
                f"{postgres.where} runs with fsync = off and may lose what it commits. Turn fsync on",
                where=postgres.where,
            )
        host = socket.gethostname()[:32]
        session = postgres.session(f"mexclab pen {os.getpid()}@{host}")
        with contextlib.ExitStack() as undo, reaching(postgres.where):
            undo.callback(session.close)
            got = session.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
            if got is None or not got[0]:
                raise _in_use(session.execute(_HOLDER, (LOCK,)).fetchone(), postgres.where)
            newest = session.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
            prepared = session.pgconn.prepare(_LONE, _LONE_INSERT)
            if prepared.status != ExecStatus.COMMAND_OK:
                raise error_from_result(prepared)
            undo.pop_all()
            return cls(session, Chain(*(newest or (0, GENESIS))), postgres.where, deadline_s)

    def ask(self, entries: Sequence[Entry]) -> asyncio.Future[int]:
        """Hand entries in; the future gives the sequence number of the last one once all are durable.

        Raises:
            LedgerUnavailable: the pen is down; nothing was handed in.
        """
        loop = asyncio.get_running_loop()
        ask = _Ask(entries, loop, loop.create_future(), time.monotonic())
        with self._guard:
            if self._down is not None:
                raise self._unavailable()
            self._waiting.append(ask)
            self._queue.put(ask)
        if (
            self._watching is not loop
        ):  # one timer for all that wait: one for each would cost as much as they do
            self._watching = loop
            loop.call_later(self._deadline_s, self._check, loop)
        return ask.future

    def lag_s(self) -> float:
        """For how long the oldest events have waited to become durable; 0 when none wait."""
        try:
            return time.monotonic() - self._waiting[0].asked_s
        except IndexError:
            return 0.0

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watching is loop:
            self._watching = None
        left_s = self._deadline_s - self.lag_s()
        if left_s <= 0:
            self.lay_down(f"the database did not answer for {self._deadline_s:g} s")
        elif self._waiting and self._watching is None:
            self._watching = loop
            loop.call_later(left_s, self._check, loop)

    def lay_down(self, why: str) -> None:
        """Write nothing more; whoever waits is told that nothing is known to be durable."""
        with self._guard:
            self._down = self._down or why
            asks = list(self._waiting)
            self._waiting.clear()
            self._hang_up()
        self._settle(asks, durable=False)
        self._queue.put(None)

    def close(self) -> None:
        """Write what waits, then let go of the lock. Waits for as long as an append may take."""
        self._queue.put(None)
        self._thread.join(self._deadline_s)
        self.lay_down("it was closed")

    def _run(self) -> None:
        try:
            while (group := self._gather()) and self._down is None:
                rows = self._sealed(group)
                self._write(rows)
                with self._guard:
                    if self._down is not None:  # they have been told otherwise already
                        return
                    self.newest = (rows[-1].seq, rows[-1].hash)
                    for _ in group:
                        self._waiting.popleft()
                self._settle(group, durable=True)
        except (psycopg.Error, OSError) as error:
            self.lay_down(reason(error))
        finally:
            with self._guard:
                self._session.close()  # and with it ends the lock

    def _hang_up(self) -> None:
        """End a wait for a server that does not answer, so that the thread ends and the lock with it."""
        if not self._session.closed:
            with (
                contextlib.suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(self._session.fileno())) as line,
            ):
                line.shutdown(socket.SHUT_RDWR)

    def _gather(self) -> list[_Ask]:
        """Everything that waits, up to the size of a group; empty when it is time to stop."""
        asks: list[_Ask] = []
        size = 0
        ask = self._queue.get()
        while ask is not None:
            asks.append(ask)
            size += len(ask.entries)
            if size >= GROUP:
                return asks
            try:
                ask = self._queue.get_nowait()
            except Empty:
                return asks
        if asks:
            self._queue.put(None)  # the word to stop was read too early: say it again
        return asks

    def _sealed(self, group: Sequence[_Ask]) -> list[Row]:
        rows: list[Row] = []
        for ask in group:
            rows.extend(self._chain.extend(ask.entries))
            ask.last = self._chain.seq
        return rows

    def _write(self, rows: Sequence[Row]) -> None:
        """Make the rows durable in one transaction, and tell the followers in it."""
        if len(rows) == 1:
            self._write_one(rows[0])
            return
        newest = str(rows[-1].seq)
        if len(rows) <= SMALL:
            flat = [value for row in rows for value in row]
            self._session.execute(_INSERT[len(rows)], (*flat, CHANNEL, newest))
            return
        with self._session.transaction(), self._session.cursor() as cursor:
            with cursor.copy(_COPY) as copy:
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, newest))

    def _write_one(self, row: Row) -> None:
        """The lone append, by libpq itself: psycopg's adaptation would cost a third of the whole."""
        seq = b"%d" % row.seq
        texts = [seq, b"%d" % row.at_ns, row.kind.encode(), row.correlation.encode(), row.body.encode()]
        values = [*texts, row.prev_hash, row.hash, CHANNEL.encode(), seq]
        result = self._session.pgconn.exec_prepared(_LONE, values, _LONE_FORMATS)
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result)

    def _settle(self, asks: Sequence[_Ask], *, durable: bool) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Ask]] = {}
        for ask in asks:
            by_loop.setdefault(ask.loop, []).append(ask)
        for loop, group in by_loop.items():
            with contextlib.suppress(RuntimeError):  # that loop was closed: nobody waits there
                loop.call_soon_threadsafe(self._tell, group, durable)

    def _tell(self, asks: Sequence[_Ask], durable: bool) -> None:
        for ask in asks:
            if ask.future.done():
                continue
            if durable:
                ask.future.set_result(ask.last)
            else:
                ask.future.set_exception(self._unavailable())

    def _unavailable(self) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"the ledger ({self._where}) takes nothing more: {self._down}. Nothing may trade; "
            "what is durable is known once it has been opened again",
            where=self._where,
        )


def _in_use(holder: tuple[Any, ...] | None, where: str) -> LedgerInUse:
    if holder is None:  # it let go in this very moment
        return LedgerInUse(f"another process was writing the ledger ({where}); try again", where=where)
    name, since = holder
    process, _, host = str(name or "").removeprefix("mexclab pen ").partition("@")
    return LedgerInUse(
        f"the ledger ({where}) is being written by process {process or 'unknown'} on "
        f"{host or 'an unknown machine'} since {since} UTC. There is only one pen: stop that process first",
        where=where, pid=process, host=host, since=str(since),
    )  # fmt: skip
