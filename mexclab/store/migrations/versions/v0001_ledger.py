"""The ledger's entries and the sightings of listings; both can only grow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSE = """
CREATE FUNCTION mexclab_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: what happened is not changed afterwards', TG_TABLE_NAME;
END $$
"""
_GUARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION mexclab_append_only()
"""


def upgrade() -> None:
    """Create both tables, and the guard that refuses every change of a row."""
    op.create_table(
        "event",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("correlation", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("event_correlation", "event", ["correlation", "seq"])
    op.create_index("event_kind", "event", ["kind", "seq"])
    op.create_table(
        "sighting",
        sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.UniqueConstraint("source", "key", "previous", name="sighting_one_successor"),
    )
    op.execute(_REFUSE)
    for table in ("event", "sighting"):
        op.execute(_GUARD.format(table=table))


def downgrade() -> None:
    """There is no way back that keeps what happened."""
    raise NotImplementedError("a ledger is not taken down by a migration; restore a backup instead")
