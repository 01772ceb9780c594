"""The demo as a newcomer runs it: one command, one day, one JSON object."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = "12"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that the embedded server's own user can pass through to."""
    place = Path(tempfile.mkdtemp(prefix="mexclab-demo-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "mexclab.cli", "demo", "--headless", "--json", "--seconds", SECONDS, *more]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "MEXCLAB_DATA": str(folder)}


def played(folder: Path, *more: str) -> dict[str, object]:
    done = subprocess.run(
        command(*more), env=environment(folder), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.strip().splitlines()) == 1, (
        "standard output holds the JSON object and nothing else"
    )
    return json.loads(done.stdout)


def decided(outcome: dict[str, object]) -> dict[str, object]:
    """All but what is measured on this machine's clock."""
    return {key: value for key, value in outcome.items() if key != "fire_error_us"}


def ledger_of(folder: Path) -> list[tuple[str, int, str]]:
    from mexclab.config import load_settings
    from mexclab.store.ledger import PostgresLedger
    from mexclab.store.postgres import connect

    settings = load_settings(environ={"MEXCLAB_DATA": str(folder / "demo")}).settings
    database = connect(None, settings.data)
    try:
        rows = PostgresLedger.open(database, writer=False).rows(limit=10_000)
        return [(row.kind, row.at_ns, row.body) for row in rows if row.kind not in ("Fired", "DaemonStopped")]
    finally:
        database.close()


def test_the_demo_detects_snipes_refuses_and_accounts_for_everything(folder: Path) -> None:
    outcome = played(folder, "--seed", "7")
    assert outcome["listings"] == outcome["detected"] == 8
    leads = outcome["lead_hours"]
    assert sum(lead >= 3.5 for lead in leads) == 7, "one of the eight is announced too late, on purpose"
    assert outcome["refused"] == {"not_api_tradable": 1, "price_above_cap": 1}
    assert outcome["entered"] == 6
    assert outcome["missed"] == 0
    assert outcome["unreconciled"] == 0
    assert outcome["fire_error_us"]["p50"] > 0
    first = ledger_of(folder)
    again = played(folder, "--seed", "7")
    assert decided(again) == decided(outcome)
    assert ledger_of(folder) == first, "the same seed writes the same ledger, event by event"


def test_a_demo_goes_on_after_it_was_killed_with_positions_open_and_after_its_simulator_died(
    folder: Path,
) -> None:
    process = begun(folder)
    wait_for_a_position(folder, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = begun(folder)
    wait_for_a_position(folder, process)
    holder = int((folder / "demo" / "paper" / "lock").read_text())  # the simulator's process
    os.kill(holder, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "the simulator ended by signal 9" in said.splitlines()[-1]
    assert "`mexclab demo` starts both again" in said.splitlines()[-1]
    outcome = played(folder)
    assert outcome["unreconciled"] == 0
    assert outcome["listings"] == 8
    assert outcome["entered"] + sum(outcome["refused"].values()) + outcome["missed"] == 8
    kinds = [kind for kind, _, _ in ledger_of(folder)]
    assert kinds.count("DaemonStarted") == 3
    assert kinds.count("Reconciled") >= 3


def test_a_second_demo_on_the_same_folder_is_refused_before_it_says_that_it_goes_on(folder: Path) -> None:
    from mexclab.config import load_settings
    from mexclab.store.ledger import PostgresLedger
    from mexclab.store.postgres import connect

    demo = folder / "demo"
    demo.mkdir()
    written = {"seed": 7, "seconds": 12, "venue_ns": 1, "wall_ns": 1, "finished": False}
    (demo / "show.json").write_text(json.dumps(written))
    database = connect(None, load_settings(environ={"MEXCLAB_DATA": str(demo)}).settings.data)
    running = PostgresLedger.open(database)
    try:
        done = subprocess.run(command(), env=environment(folder), capture_output=True, text=True, timeout=120)
    finally:
        running.close()
        database.close()
    assert done.returncode == 4, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "going on" not in done.stderr


def begun(folder: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command("--seed", "7"), env=environment(folder), **pipes)


def wait_for_a_position(folder: Path, process: subprocess.Popen[str]) -> None:
    import httpx

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()[-2000:]
        try:
            address = json.loads((folder / "demo" / "daemon.json").read_text())
            token = (folder / "demo" / "daemon.token").read_text().strip()
            shot = httpx.get(
                f"{address['url']}/snapshot", headers={"Authorization": f"Bearer {token}"}
            ).json()
        except (FileNotFoundError, ValueError, httpx.HTTPError):
            time.sleep(0.05)
            continue
        if shot["positions"]:
            return
    raise AssertionError("no position was opened in time")
