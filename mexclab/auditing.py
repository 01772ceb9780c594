"""The ledger from outside: is it whole, and a copy of it that proves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mexclab.bootstrap import database_of
from mexclab.config import Settings
from mexclab.errors import ConfigError
from mexclab.store.ledger import PostgresLedger

Progress = Callable[[int, int], None]  # entries checked so far, and of how many


def verify_ledger(settings: Settings, head: str | None = None, progress: Progress | None = None) -> str:
    """Check the hash chain from the first entry to the last; what was found, in a sentence.

    Args:
        head: the hash that an earlier check ended with: entries that were cut off since are then found too.

    Raises:
        LedgerCorrupt: names the first entry that does not hold.
        ConfigError: there is no ledger here; looking must not create one.
        ParameterError: ``head`` is no hash.
    """
    with _ledger(settings) as ledger:
        last = ledger.last()
        tell = None if progress is None else lambda count: progress(count, last)
        verified = ledger.verify(head, tell)
    return f"the ledger is whole: {verified.events} entries, the last hash is {verified.head}"


def export_ledger(settings: Settings, path: Path) -> str:
    """Write every entry to a Parquet file, each checked against the chain; what was written, in a sentence.

    Raises:
        LedgerCorrupt: an entry does not hold; no file is left.
        DataError: the file exists or cannot be written.
        ConfigError: there is no ledger here.
    """
    with _ledger(settings) as ledger:
        done = ledger.export(path)
    return f"{done.path}: entries {done.first_seq} to {done.last_seq}, the last hash is {done.head}"


def check_export(path: Path) -> str:
    """Check an exported file by itself; what it holds, in a sentence.

    Raises:
        LedgerCorrupt: an entry does not hold or is missing.
        DataError: the file cannot be read, or is no export of a ledger.
    """
    from mexclab.store.export import verify_export

    done = verify_export(path)
    return f"the file is whole: entries {done.first_seq} to {done.last_seq}, the last hash is {done.head}"


@contextmanager
def _ledger(settings: Settings) -> Iterator[PostgresLedger]:
    if settings.ledger.url is None and not (settings.data / "postgres").exists():
        demo = settings.data / "demo"
        hint = f" (a demo keeps its own: MEXCLAB_DATA={demo})" if (demo / "postgres").exists() else ""
        raise ConfigError(f"there is no ledger in {settings.data}{hint}")
    database = database_of(settings)
    try:
        yield PostgresLedger.open(database, writer=False)
    finally:
        database.close()
