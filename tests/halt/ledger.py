"""The ledger as somebody else sees it: what became durable, and when that was heard of."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, NamedTuple

import psycopg

from mexclab.store.pen import CHANNEL

LOOK_S = 0.2


class Durable(NamedTuple):
    """One entry; ``heard_ns`` is this machine's time at which it was known to be durable."""

    heard_ns: int
    seq: int
    kind: str
    body: dict[str, Any]


class WatchedLedger:
    """Listens beside everything else, over all restarts of the desk."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._entries: list[Durable] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as session:
            session.execute(f"LISTEN {CHANNEL}")
            while not self._ended.is_set():
                self._read(session, time.time_ns())
                list(session.notifies(timeout=LOOK_S, stop_after=1))

    def _read(self, session: psycopg.Connection[Any], heard_ns: int) -> None:
        last = self._entries[-1].seq if self._entries else 0
        found = session.execute("SELECT seq, kind, body FROM event WHERE seq > %s ORDER BY seq", (last,))
        self._entries += [Durable(heard_ns, seq, kind, json.loads(body)) for seq, kind, body in found]

    @property
    def last(self) -> int:
        return self._entries[-1].seq if self._entries else 0

    def since(self, seq: int, kind: str) -> list[Durable]:
        """Entries of this kind above ``seq``, the oldest first."""
        return [entry for entry in list(self._entries) if entry.seq > seq and entry.kind == kind]

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5)
