from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from mexclab.errors import ConfigError, LedgerUnavailable
from mexclab.store import tables
from mexclab.store.embedded import EmbeddedServer
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lab:s3cret@127.0.0.1:1/lab",
        "postgresql+psycopg://lab:s3cret@/lab?host=localhost:1&host=127.0.0.1:1",
        "postgresql://lab@127.0.0.1:1/lab?password=s3cret",
        "postgresql://lab:s3cret@no-such-host.invalid/lab",
    ],
)
def test_an_unreachable_database_is_one_clear_line_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable) as caught:
        connect(url, tmp_path)
    sentence = str(caught.value)
    assert "s3cret" not in sentence + repr(caught.value.data) + repr(caught.value.__cause__)
    assert "\n" not in sentence
    assert "cannot be used" in sentence
    assert "***" in sentence


@pytest.mark.parametrize("url", ["mysql://lab:s3cret@host/lab", "sqlite:///x", "no url: s3cret", ""])
def test_a_url_of_something_else_is_a_setting_to_correct(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="postgresql://user:password@host") as caught:
        connect(url, tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_connection_shows_no_password(url: str) -> None:
    secret = url.replace("@/", ":s3cret@/")
    postgres = connect(secret, Path("unused"))
    assert "s3cret" not in repr(postgres) + str(postgres.where)
    postgres.close()


def test_the_tables_are_what_the_queries_expect(postgres: Postgres) -> None:
    with postgres.engine.connect() as session:
        assert compare_metadata(MigrationContext.configure(session), tables.metadata) == []


def test_processes_that_start_at_once_migrate_once(server: EmbeddedServer, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE DATABASE fresh")
    fresh = url.replace(url.partition("@/")[2].partition("?")[0], "fresh")
    failures: list[BaseException] = []

    def start() -> None:
        try:
            connect(fresh, Path("unused")).close()
        except LedgerUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerUnavailable, match="9999"):
        connect(url, Path("unused"))


def test_a_server_that_may_lose_commits_is_no_place_to_write(postgres: Postgres) -> None:
    careless = Postgres(postgres.engine, postgres.where, is_fsynced=False)
    with pytest.raises(LedgerUnavailable, match="fsync"):
        PostgresLedger.open(careless)
    assert postgres.is_fsynced


def test_the_pen_writes_with_every_commit_on_the_disk(postgres: Postgres) -> None:
    with postgres.session("mexclab test") as session:
        assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)
        assert session.execute("SHOW fsync").fetchone() == ("on",)


def test_an_engine_asks_before_it_hands_out_a_dead_connection(postgres: Postgres, url: str) -> None:
    with postgres.engine.connect() as session:
        session.execute(sa.text("SELECT 1"))
    with psycopg.connect(url, autocommit=True) as killer:
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert PostgresLedger.open(postgres, writer=False).last() == 0
