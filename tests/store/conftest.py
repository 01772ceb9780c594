"""One embedded Postgres for the session, a fresh database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from mexclab.store.embedded import PORT, USER, EmbeddedServer, attach
from mexclab.store.postgres import Postgres, connect

_number = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A running server, with an empty, migrated database ``template`` to copy."""
    with TemporaryDirectory(prefix="mexclab-test-") as folder:
        place = attach(Path(folder))
        with _administer(place) as session:
            session.execute("CREATE DATABASE template")
        connect(url_of(place, "template"), Path("unused")).close()
        yield place
        place.release()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a server of one's own. pytest closes its own ones to the user that the server runs as."""
    with TemporaryDirectory(prefix="mexclab-test-") as name:
        yield Path(name)


@pytest.fixture
def url(server: EmbeddedServer) -> Iterator[str]:
    """The URL of a fresh database with mexclab's tables."""
    name = f"test_{next(_number)}"
    with _administer(server) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE template")
    yield url_of(server, name)
    with _administer(server) as session:
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres(url: str) -> Iterator[Postgres]:
    """A connection to a fresh database."""
    connection = connect(url, Path("unused"))
    yield connection
    connection.close()


@pytest.fixture
def tamper(url: str) -> Callable[[str], None]:
    """Do what nobody may: change a table behind its guard."""

    def change(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("SET session_replication_role = replica")
            session.execute(statement)

    return change


def url_of(server: EmbeddedServer, database: str) -> str:
    return f"postgresql://{USER}@/{database}?host={server.socket_dir}&port={PORT}"


def _administer(server: EmbeddedServer) -> psycopg.Connection:
    return psycopg.connect(url_of(server, USER), autocommit=True)
