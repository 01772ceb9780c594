"""Forgetting a ledger whole. Only for a demo's own embedded Postgres: nothing else may lose an entry."""

from __future__ import annotations

import sqlalchemy as sa

from mexclab.store.postgres import Postgres, reaching


def erase(postgres: Postgres) -> None:
    """Drop everything in the database; the next ``connect`` makes empty tables.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    with reaching(postgres.where), postgres.engine.begin() as session:
        session.execute(sa.text("DROP SCHEMA public CASCADE"))
        session.execute(sa.text("CREATE SCHEMA public"))
