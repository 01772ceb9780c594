"""Two acts of an auditor on a database: is the whole ledger intact, and a copy of it in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mexclab.store.codec import Progress, Verified
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres

if TYPE_CHECKING:
    from mexclab.store.export import Exported


def verify_ledger(
    postgres: Postgres, expected_head: str | None = None, progress: Progress | None = None
) -> Verified:
    """Check every entry against the chain; a daemon may go on writing meanwhile.

    Args:
        expected_head: an earlier ``Verified.head``, kept elsewhere: tells when entries were cut off.
        progress: is told how many entries have been checked so far.

    Raises:
        LedgerCorrupt: names the first entry that does not hold, or that is missing.
        ParameterError: ``expected_head`` is not a hash.
        LedgerUnavailable: the database cannot be read.
    """
    return PostgresLedger.open(postgres, writer=False).verify(expected_head, progress)


def export_ledger(postgres: Postgres, path: Path, after: int = 0, limit: int | None = None) -> Exported:
    """Write the entries above ``after``, at most ``limit``, to a Parquet file that proves itself.

    Raises:
        LedgerCorrupt: an entry does not hold; nothing is left behind.
        DataError: the file exists or cannot be written, or there is nothing to export.
        LedgerUnavailable: the database cannot be read.
    """
    return PostgresLedger.open(postgres, writer=False).export(path, after, limit)
