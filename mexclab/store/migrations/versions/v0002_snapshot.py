"""Snapshots of the desk: a cache of what the entries add up to, so these rows may come and go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. A state comes compressed, so the server need not try it again."""
    op.create_table(
        "snapshot",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chain_hash", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("seal", sa.LargeBinary, nullable=False),
    )
    op.execute("ALTER TABLE snapshot ALTER COLUMN state SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Nothing that happened is lost: the entries give the same desk."""
    op.drop_table("snapshot")
