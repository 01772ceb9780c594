from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from mexclab.domain.events import DaemonStopped, Halted
from mexclab.errors import LedgerUnavailable
from mexclab.store.embedded import EmbeddedServer, attach
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import connect

ROOT = Path(__file__).resolve().parents[2]


def child(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def halted(number: int) -> Halted:
    return Halted(at_ns=number, by="test", why="")


def servers(folder: Path) -> list[int]:
    """Process ids that work in the files of this folder's server."""
    found = []
    for process in psutil.process_iter(["name", "status"]):
        if process.info["name"] == "postgres" and process.info["status"] != psutil.STATUS_ZOMBIE:
            try:
                if Path(process.cwd()).is_relative_to(folder):
                    found.append(process.pid)
            except psutil.NoSuchProcess:
                continue
    return found


def gone(folder: Path, within_s: float = 10) -> bool:
    for _ in range(int(within_s / 0.05)):
        if not servers(folder):
            return True
        threading.Event().wait(0.05)
    return False


ATTACHED = """
import sys, time
from pathlib import Path
from mexclab.store.embedded import attach
place = attach(Path(sys.argv[1]))
print("attached", flush=True)
time.sleep(600)
"""


def test_the_server_outlives_whoever_started_it_and_ends_with_its_last_user_however_they_go(
    folder: Path,
) -> None:
    folder = folder / "a folder with blanks" / ("deep " * 12) / ("deeper " * 8)  # too long for a socket
    with child(ATTACHED, str(folder)) as starter, child(ATTACHED, str(folder)) as second:
        assert starter.stdout is not None
        assert second.stdout is not None
        assert (starter.stdout.readline(), second.stdout.readline()) == ("attached\n", "attached\n")
        starter.kill()
        starter.wait()
        third = attach(folder)
        session: psycopg.Connection[Any] = psycopg.connect(
            host=third.socket_dir, user="postgres", dbname="postgres"
        )
        second.kill()
        second.wait()
        assert session.execute("SELECT 1").fetchone() == (1,)
        session.close()
        assert servers(folder)
        third.release()
        third.release()
        assert gone(folder)

        with child(ATTACHED, str(folder)) as last:
            assert last.stdout is not None
            assert last.stdout.readline() == "attached\n"
            last.kill()
        assert gone(folder)  # nobody was left to stop it but its keeper


async def test_a_killed_server_recovers_with_all_that_was_acknowledged(folder: Path) -> None:
    postgres = connect(None, folder)
    ledger = PostgresLedger.open(postgres)
    assert await ledger.append(*(halted(number) for number in range(100))) == 100
    for process in servers(folder):
        os.kill(process, signal.SIGKILL)
    assert gone(folder)
    with pytest.raises(LedgerUnavailable):
        await ledger.append(halted(100))
    with pytest.raises(LedgerUnavailable):
        ledger.verify()
    ledger.close()
    postgres.close()

    # its stale lock file names a process that lives and is somebody else
    pid_file = folder / "postgres" / "cluster" / "postmaster.pid"
    _, _, rest = pid_file.read_text().partition("\n")
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    (folder / "postgres" / "cluster.new").mkdir()  # and once upon a time a creation was cut short
    postgres = connect(None, folder)
    ledger = PostgresLedger.open(postgres)
    assert ledger.verify().events == 100
    assert await ledger.append(DaemonStopped(1, "test")) == 101
    ledger.close()
    postgres.close()
    assert gone(folder)


def test_files_of_another_postgres_are_refused_with_a_way_out(tmp_path: Path) -> None:
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(LedgerUnavailable, match=r"Postgres 12.*pg_upgrade"):
        attach(tmp_path)


def test_a_path_that_no_shell_could_carry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="choose another data folder"):
        attach(tmp_path / "a$b")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match="file"):
        attach(tmp_path / "file" / "postgres")


def test_only_the_servers_user_may_enter_its_files_and_its_socket(server: EmbeddedServer) -> None:
    for folder in (server.folder / "cluster", Path(server.socket_dir)):
        assert folder.stat().st_mode & 0o077 == 0
