"""The vector index in a Postgres with the pgvector extension: a table and an HNSW graph."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from mexclab.errors import ConfigError, DataError, ParameterError
from mexclab.store.postgres import Postgres, reason
from mexclab.store.vectors import Effort

SCHEMA = "mexclab_vectors"
_WIDEST_SEARCH = 1000  # hnsw.ef_search
_EVERY_ID = 2**63 - 1
_NAME = re.compile(r"[a-z0-9_]{1,40}")


class PgVectors:
    """Vectors in a table of their own, beside the ledger's tables and apart from them.

    Args:
        postgres: a connection; it stays the caller's to close.
        name: what its tables are called first: lower-case letters, digits and underscores.
        dimensions: numbers in a vector.
        state: what `save` returned; None begins with a new table.

    Raises:
        ConfigError: that Postgres has no pgvector, or may not create it.
        DataError: the table is not there any more, or the server does not answer.
    """

    def __init__(
        self, postgres: Postgres, name: str, dimensions: int, state: Mapping[str, Any] | None = None
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f"{name!r} cannot name a table of vectors: use up to 40 of a-z, 0-9 and _.", name=name
            )
        self._prefix = f"{name}__"
        table = str(state["table"]) if state is not None else f"{self._prefix}{uuid4().hex[:12]}"
        self._where = postgres.where
        self._name = table
        self._table = sql.Identifier(SCHEMA, table)
        self._dimensions = dimensions
        self._session = postgres.session("mexclab vectors")
        try:
            with self._asking():
                self._prepare(state)
        except BaseException:  # Ctrl-C, too: nobody else knows of the session yet
            self._session.close()
            raise

    def __len__(self) -> int:
        with self._asking():
            row = self._run("SELECT count(*) FROM {table}").fetchone()
        return int(row[0]) if row else 0

    def train(self, sample: np.ndarray, expected: int) -> None:
        """See `VectorIndex.train`; a graph needs none."""

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """See `VectorIndex.add`; all of them or none."""
        with self._asking(), self._session.transaction():
            self._run("CREATE TEMP TABLE coming (LIKE {table}) ON COMMIT DROP")
            with self._session.cursor().copy("COPY coming FROM STDIN WITH (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "vector"])
                for number, vector in zip(ids.tolist(), vectors, strict=True):
                    copy.write_row((number, vector))
            self._run(
                "INSERT INTO {table} SELECT * FROM coming "
                "ON CONFLICT (id) DO UPDATE SET vector = excluded.vector"
            )

    def nearest(self, vector: np.ndarray, effort: Effort, below: int | None = None) -> np.ndarray:
        """See `VectorIndex.nearest`."""
        width = max(40, min(_WIDEST_SEARCH, max(effort.pool, effort.probes)))
        with self._asking(), self._session.transaction():
            self._run("SET LOCAL hnsw.iterative_scan = relaxed_order")
            self._run(f"SET LOCAL hnsw.ef_search = {width:d}")
            rows = self._run(
                "SELECT id FROM {table} WHERE id < %s ORDER BY vector <-> %s LIMIT %s",
                (_EVERY_ID if below is None else below, vector, effort.pool),
            ).fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    def save(self) -> Mapping[str, Any]:
        """See `VectorIndex.save`; the graph is made when the first vectors are in."""
        with self._asking():
            self._run(
                "CREATE INDEX IF NOT EXISTS {graph} ON {table} USING hnsw (vector vector_l2_ops) "
                "WITH (m = 16, ef_construction = 64)"
            )
            self._run("ANALYZE {table}")
        return {"table": self._name}

    def discard(self, state: Mapping[str, Any]) -> None:
        """See `VectorIndex.discard`: drops the tables of earlier builds."""
        with self._asking():
            rows = self._session.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)",
                (SCHEMA, self._prefix),
            ).fetchall()
            for (table,) in rows:
                if table != state["table"]:
                    drop = sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table))
                    self._session.execute(drop)

    def close(self) -> None:
        """End the session; the table stays."""
        self._session.close()

    def _prepare(self, state: Mapping[str, Any] | None) -> None:
        row = self._run(
            "SELECT installed_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
        if row is None:
            raise ConfigError(
                f"the Postgres at {self._where} has no extension 'vector'; install pgvector there, or keep "
                "the vectors in files (--store faiss)",
                where=self._where,
            )
        if row[0] is None:
            try:
                self._run("CREATE EXTENSION IF NOT EXISTS vector")
            except psycopg.errors.InsufficientPrivilege as why:
                raise ConfigError(
                    f"the extension 'vector' may not be created at {self._where}; have its owner run "
                    "CREATE EXTENSION vector, or keep the vectors in files (--store faiss)",
                    where=self._where,
                ) from why
        register_vector(self._session)
        self._run("CREATE SCHEMA IF NOT EXISTS {schema}")
        if state is None:
            kind = f"vector({self._dimensions:d})"
            self._run(f"CREATE TABLE {{table}} (id bigint PRIMARY KEY, vector {kind} NOT NULL)")
        self._run("SELECT 1 FROM {table} LIMIT 0")

    def _run(self, text: str, values: tuple[Any, ...] = ()) -> psycopg.Cursor[Any]:
        names = {
            "table": self._table,
            "schema": sql.Identifier(SCHEMA),
            "graph": sql.Identifier(f"{self._name}_near"),
        }
        return self._session.execute(sql.SQL(text).format(**names), values or None)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise DataError(
                f"the vectors at {self._where} cannot be used: {reason(error)}; see whether the server runs, "
                "or make them anew with `mexclab vectors build`",
                where=self._where,
            ) from None  # the driver's error may hold the connection string
