"""Snapshots of the desk: a cache of what the ledger adds up to, so it may be thrown away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; its bodies are compressed already, so the server does not try."""
    op.create_table(
        "snapshot",
        sa.Column("number", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("seal", sa.LargeBinary, nullable=False),
    )
    op.execute("ALTER TABLE snapshot ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Nothing is lost: the next start folds the whole ledger."""
    op.drop_table("snapshot")
