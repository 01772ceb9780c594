"""Sightings of listings on Postgres: what was seen, when it was first seen, and never changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mexclab.domain.listing import CalendarEntry, Sighting, SymbolState
from mexclab.errors import DataError, LedgerUnavailable
from mexclab.store.codec import decode_fact, encode_fact
from mexclab.store.postgres import Postgres, reaching
from mexclab.store.tables import sighting as table

TURNS = 5  # another recorder may write the same fact first; more often than this it does not


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest fact of one source and key, and its row."""

    seq: int
    fact: CalendarEntry | SymbolState


class PostgresRecorder:
    """Keeps a fact when it differs from the one before it of the same source and key.

    Each row names the one that it replaces, and no row can be replaced twice: several recorders on
    one database still write one history. ``PostgresRecorder(postgres)`` reads the newest facts once;
    an unchanged poll then costs no query.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._turn = threading.Lock()
        self._newest = self._read_newest()

    async def record(self, sightings: Sequence[Sighting]) -> None:
        """Keep what is new, all or none; returns once it is durable.

        Raises:
            DataError: a fact cannot be kept as it is; none was.
            LedgerUnavailable: the database cannot be written; none is known to be kept.
        """
        if any(self._is_news(sighting) for sighting in sightings):
            await asyncio.to_thread(self._record, tuple(sightings))

    def sightings(self) -> Sequence[Sighting]:
        """Every fact, in the order in which they were seen.

        Raises:
            DataError: a row cannot be read by this version.
            LedgerUnavailable: the database cannot be read.
        """
        query = sa.select(table).order_by(table.c.seq)
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            return tuple(
                Sighting(row.source, row.key, row.first_seen_ns, decode_fact(row.kind, row.fact))
                for row in session.execute(query)
            )

    def _is_news(self, sighting: Sighting) -> bool:
        known = self._newest.get((sighting.source, sighting.key))
        return known is None or known.fact != sighting.fact

    def _record(self, sightings: tuple[Sighting, ...]) -> None:
        with self._turn, reaching(self._postgres.where):
            for _ in range(TURNS):
                try:
                    fresh = self._write(sightings)
                except IntegrityError:  # another recorder was quicker: what it kept is no news any more
                    self._newest = self._read_newest()
                else:
                    self._newest |= fresh
                    return
        raise LedgerUnavailable(f"another recorder keeps writing to {self._postgres.where}; run only one")

    def _write(self, sightings: tuple[Sighting, ...]) -> dict[tuple[str, str], _Known]:
        """Insert what is news in one transaction; the newest facts that this made."""
        fresh: dict[tuple[str, str], _Known] = {}
        with self._postgres.engine.begin() as session:
            for sighting in sightings:
                at = (sighting.source, sighting.key)
                known = fresh.get(at) or self._newest.get(at)
                if known is not None and known.fact == sighting.fact:
                    continue
                previous = known.seq if known else 0
                written = session.execute(sa.insert(table).returning(table.c.seq), _row(sighting, previous))
                fresh[at] = _Known(written.scalar_one(), sighting.fact)
        return fresh

    def _read_newest(self) -> dict[tuple[str, str], _Known]:
        newest = sa.select(sa.func.max(table.c.seq)).group_by(table.c.source, table.c.key)
        query = sa.select(table).where(table.c.seq.in_(newest))
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            return {
                (row.source, row.key): _Known(row.seq, decode_fact(row.kind, row.fact))
                for row in session.execute(query)
            }


def _row(sighting: Sighting, previous: int) -> dict[str, object]:
    if "\0" in sighting.source + sighting.key:
        raise DataError(f"the sighting of {sighting.key!r} cannot be recorded: a key holds no zero byte")
    kind, body = encode_fact(sighting.fact)
    return {
        "source": sighting.source, "key": sighting.key, "previous": previous,
        "first_seen_ns": sighting.first_seen_ns, "kind": kind, "fact": body,
    }  # fmt: skip
