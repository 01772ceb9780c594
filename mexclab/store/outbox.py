"""The outbox of alerts: the ledger's own entries, and how far each sink has come with them.

An alert is durable because its entry is. What is kept here besides is one row for each sink, written after
the sink took an alert: a process that dies in between delivers that alert again, under the same id, and
loses none.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from mexclab.domain.alert import ALERT_KINDS, Alert, Mark, alert_of
from mexclab.store.codec import Row, decode
from mexclab.store.postgres import Postgres, reaching
from mexclab.store.tables import event, outbox

PAGE = 100
# a search of the index for each kind: a scan from ``after`` on would read all that happened since
_NEXT = sa.text(
    "SELECT e.* FROM unnest(CAST(:kinds AS text[])) AS k CROSS JOIN LATERAL ("
    " SELECT seq, at_ns, kind, correlation, body, prev_hash, hash FROM event"
    " WHERE kind = k AND seq > :after ORDER BY seq LIMIT :page) AS e ORDER BY e.seq LIMIT :page"
).bindparams(kinds=list(ALERT_KINDS))
_LAST = sa.select(sa.func.coalesce(sa.func.max(event.c.seq), 0))


class PostgresOutbox:
    """Alerts of the ledger in this database. Every call blocks and may come from any thread.

    Args:
        mode: of the desk, for people: ``paper``, ``live`` or ``demo``.
    """

    def __init__(self, postgres: Postgres, mode: str) -> None:
        self._postgres = postgres
        self._mode = mode

    def begin(self, sinks: Sequence[str]) -> None:
        """Take up these sinks: a new one begins at the ledger's end, one that is not named is forgotten.

        Raises:
            LedgerUnavailable: the database cannot be used.
        """
        with reaching(self._postgres.where), self._postgres.engine.begin() as session:
            session.execute(sa.delete(outbox).where(outbox.c.sink.not_in(sinks)))
            last = session.execute(_LAST).scalar_one()
            # a ledger that was restored from an older copy has fewer entries than were delivered
            session.execute(sa.update(outbox).where(outbox.c.seq > last).values(seq=last))
            for sink in sinks:
                fresh = {"sink": sink, "seq": last, "attempts": 0, "again_ns": 0, "why": ""}
                session.execute(insert(outbox).values(**fresh).on_conflict_do_nothing())

    def mark(self, sink: str) -> Mark:
        """How far this sink has come; an unknown one is at the ledger's end.

        Raises:
            LedgerUnavailable: the database cannot be used.
        """
        columns = (outbox.c.seq, outbox.c.attempts, outbox.c.again_ns, outbox.c.why)
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            found = session.execute(sa.select(*columns).where(outbox.c.sink == sink)).first()
            return Mark(*found) if found else Mark(session.execute(_LAST).scalar_one())

    def put(self, sink: str, mark: Mark) -> None:
        """Remember how far this sink has come.

        Raises:
            LedgerUnavailable: the database cannot be used.
        """
        row = {"seq": mark.seq, "attempts": mark.attempts, "again_ns": mark.again_ns, "why": mark.why}
        write = (
            insert(outbox).values(sink=sink, **row).on_conflict_do_update(index_elements=["sink"], set_=row)
        )
        with reaching(self._postgres.where), self._postgres.engine.begin() as session:
            session.execute(write)

    def waiting(self, after: int) -> Sequence[Alert]:
        """The next alerts above ``after``, in the ledger's order; empty when there are none.

        Raises:
            LedgerUnavailable: the database cannot be used.
            LedgerCorrupt: an entry cannot be read.
        """
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            while True:
                rows = [Row(*row) for row in session.execute(_NEXT, {"after": after, "page": PAGE})]
                found = [alert for row in rows if (alert := self._alert(row)) is not None]
                if found or len(rows) < PAGE:
                    return found
                after = rows[-1].seq  # a page of monitors that became quiet

    def _alert(self, row: Row) -> Alert | None:
        return alert_of(decode(row.kind, row.body), row.seq, f"{row.seq}-{row.hash.hex()[:8]}", self._mode)
