"""The schema's history, and the step to its newest version at every start."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from mexclab.errors import LedgerUnavailable

LOCK = 0x6D78_6C61_6231  # "mxlab1": whoever migrates a database holds this advisory lock


def upgrade(engine: sa.Engine, where: str) -> None:
    """Bring the tables to this version. Processes that start at once take turns.

    Raises:
        LedgerUnavailable: a newer mexclab has been here.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with engine.begin() as session:
        if _version(session) == set(script.get_heads()):
            return
        session.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        known = {revision.revision for revision in script.walk_revisions()}
        if unknown := _version(session) - known:
            raise LedgerUnavailable(
                f"the tables in {where} are newer than mexclab ({', '.join(sorted(unknown))}); update it",
                where=where,
            )
        config.attributes["connection"] = session
        command.upgrade(config, "head")


def _version(session: sa.Connection) -> set[str]:
    return set(MigrationContext.configure(session).get_current_heads())
