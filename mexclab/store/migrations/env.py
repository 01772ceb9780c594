"""Alembic's way in. ``mexclab.store.migrations.upgrade`` hands over its connection, in a transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
