"""A Postgres for the ledger and the recorder: the embedded one, or any from version 15 on by its URL."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mexclab.config.address import url_fault
from mexclab.errors import ConfigError, LedgerUnavailable
from mexclab.store import migrations

if sys.platform != "win32":  # no flock there: on Windows the ledger needs a Postgres by URL
    from mexclab.store.embedded import PORT, USER, EmbeddedServer, attach

OLDEST = 15
# a peer that vanished without a word is noticed within half a minute, on both ends
_KEEPALIVE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_SESSION = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET idle_session_timeout = 0; SET synchronous_commit = on"
)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A reachable Postgres that holds mexclab's tables.

    Attributes:
        engine: the pool, for reading and for the recorder.
        where: the URL for people, without its password.
        is_fsynced: whether what it commits survives a power cut.
    """

    engine: sa.Engine
    where: str
    is_fsynced: bool
    _server: EmbeddedServer | None = None

    def session(self, name: str) -> psycopg.Connection[Any]:
        """A connection of its own, outside the pool, in autocommit; ``name`` is shown by the server.

        Raises:
            LedgerUnavailable: the server cannot be reached.
        """
        with reaching(self.where):
            session: psycopg.Connection[Any] = psycopg.connect(
                **self.arguments(), autocommit=True, application_name=name
            )
            try:
                session.execute(_SESSION)
            except psycopg.Error:
                session.close()
                raise
            return session

    def arguments(self) -> dict[str, Any]:
        """What psycopg needs to connect; holds the password, so never print it."""
        return dict(self.engine.dialect.create_connect_args(self.engine.url)[1])

    def close(self) -> None:
        """Close the pool and, for the embedded server, leave it: the last to leave stops it."""
        self.engine.dispose()
        if self._server is not None:
            self._server.release()


def connect(url: str | None, data: Path, *, pool_size: int = 4) -> Postgres:
    """The Postgres at ``url``, or without one the embedded Postgres in ``<data>/postgres``; tables in place.

    Args:
        url: ``postgresql://user:password@host:port/database`` (``postgresql+psycopg://`` too), or None.
        data: the folder of the project's data.
        pool_size: connections kept open for reading.

    Raises:
        ConfigError: ``url`` is not the URL of a Postgres.
        LedgerUnavailable: it cannot be reached, is too old, or was migrated by a newer mexclab.
    """
    with contextlib.ExitStack() as undo:
        server = None
        if url is None:
            if sys.platform == "win32":
                raise ConfigError("there is no embedded Postgres on Windows; set the URL of a Postgres")
            server = attach(data / "postgres")
            undo.callback(server.release)
            place = {"host": server.socket_dir, "port": str(PORT)}
            target = sa.URL.create("postgresql+psycopg", USER, database=USER, query=place)
        else:
            target = _parsed(url)
        where = (
            target.render_as_string(hide_password=True) if server is None else f"embedded in {server.folder}"
        )
        target = target.set(query={**_KEEPALIVE, **target.query})
        engine = sa.create_engine(target, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True)
        undo.callback(engine.dispose)
        with reaching(where):
            is_fsynced = _inspect(engine, where)
            migrations.upgrade(engine, where)
        undo.pop_all()
        return Postgres(engine, where, is_fsynced, server)


@contextlib.contextmanager
def reaching(where: str) -> Iterator[None]:
    """Turn every way in which a database can fail into the one error that callers know.

    Raises:
        LedgerUnavailable: in place of any error of the driver.
    """
    try:
        yield
    except (psycopg.Error, SQLAlchemyError) as error:
        raise LedgerUnavailable(
            f"the ledger's database ({where}) cannot be used: {reason(error)}; nothing trades without it",
            where=where,
        ) from None  # the driver's error may hold the connection string


def reason(error: BaseException) -> str:
    """The first line of what a driver said, without the statement that caused it."""
    cause = getattr(error, "orig", None) or error
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)


def _parsed(text: str) -> sa.URL:
    example = "expected postgresql://user:password@host:5432/database"
    if fault := url_fault(text):
        raise ConfigError(f"the address of the ledger's database {fault}; {example}")
    try:
        url = sa.make_url(text).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise ConfigError(f"the address of the ledger's database cannot be read; {example}") from None
    if "password" in url.query:  # libpq takes it there too, where nothing would mask it
        url = url.set(password=str(url.query["password"])).difference_update_query(["password"])
    return url


def _inspect(engine: sa.Engine, where: str) -> bool:
    """Refuse a server that cannot hold the ledger; whether it writes through to the disk."""
    names = ("server_version_num", "server_version", "server_encoding", "fsync")
    with engine.connect() as session:
        found = session.execute(
            sa.text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"), {"names": list(names)}
        )
        settings = {row.name: row.setting for row in found}
    if int(settings["server_version_num"]) < OLDEST * 10_000:
        raise LedgerUnavailable(
            f"the ledger needs Postgres {OLDEST} or newer, and {where} is {settings['server_version']}",
            where=where,
            version=settings["server_version"],
        )
    if settings["server_encoding"] != "UTF8":
        raise LedgerUnavailable(
            f"the ledger needs a database in UTF8, and {where} is in {settings['server_encoding']}; "
            "create one with ENCODING 'UTF8'",
            where=where,
        )
    return bool(settings["fsync"] == "on")
