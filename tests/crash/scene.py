"""A venue and a desk as processes, on a ledger of their own, for one run."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from mexclab.domain.clock import SECOND
from mexclab.store.embedded import PORT, USER, EmbeddedServer, attach
from mexclab.store.postgres import connect
from tests.crash import child
from tests.crash.points import ROOT
from tests.crash.truth import Book, Findings, Venue, compare
from tests.processes import Simulator, coming_listing, environment, settings, simulator

START_S = 120.0
LOOK_S = 0.08
SECONDS = dict.fromkeys(("calendar_interval_s", "symbols_interval_s", "near_interval_s"), 1)
USUAL: Mapping[str, Mapping[str, Any]] = {
    "venue": {"ip_weight_10s": 100_000, "timeout_ms": 1000, **SECONDS},
    "listings": {"poll_interval_s": 1},
    "limits": {"clock_offset_ms": 2000, "stale_price_s": 30, "clock_age_s": 120, "concentration": "1"},
    "protections": {"cooldown_s": 0, "loss_streak": 0},
    # what a bad venue does here is tried for itself, not for what it makes a monitor or a trigger do
    "monitors": {"flash_crash": "1", "spread": "1", "depth_multiple": "0", "venue_errors": 10_000},
    "halt": {"clock_s": 0, "errors": 0, "ledger_lag_s": 0, "mismatch": False},
    "snipe": {"auto_arm": True, "time_stop_s": 2, "stop_loss": "0.9", "cap_multiple": "10"},
}


class Databases:
    """One Postgres for all runs; each has a database of its own."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    @classmethod
    @contextmanager
    def up(cls, folder: Path) -> Iterator[Databases]:
        """Running, with a migrated database to copy."""
        server = attach(folder)
        try:
            databases = cls(server)
            databases._do("CREATE DATABASE template")
            connect(databases._url("template"), folder).close()
            yield databases
        finally:
            server.release()

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of an empty ledger, gone afterwards."""
        name = f"crash_{secrets.token_hex(6)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE template")
        try:
            yield self._url(name)
        finally:
            self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self._server.socket_dir}&port={PORT}"

    def _do(self, statement: str) -> None:
        with psycopg.connect(self._url(USER), autocommit=True) as session:
            session.execute(statement)


@dataclass
class Scene:
    """One venue, one listing, one desk that may die."""

    data: Path
    venue: Simulator
    symbol: str
    ledger_url: str | None
    desk: subprocess.Popen[bytes] | None = None
    book: Book | None = None
    opens_ns: int = 0
    starts: list[float] = field(default_factory=list)  # seconds that each start took

    # -- the desk --------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        return (self.data / "process.log").read_text(errors="replace")

    @property
    def crash_log(self) -> Path:
        return self.data / "points.log"

    def start(self, at: str | None = None, turn: int = 1) -> bool:
        """Start the desk and wait until it answers; False when it ended before.

        Args:
            at: None: the plain command line; else with crash points, and what to die at ("": nothing).
        """
        (self.data / "daemon.json").unlink(missing_ok=True)
        more = {"MEXCLAB_API__PORT": "0", "PYTHONPATH": str(ROOT)}
        module = "mexclab.cli"
        if at is not None:
            module = "tests.crash.child"
            more |= {child.AT: at, child.TURN: str(turn), child.LOG: str(self.crash_log)}
        began = time.monotonic()
        with (self.data / "process.log").open("ab") as log:
            self.desk = subprocess.Popen(
                [sys.executable, "-m", module, "trade"],
                env=environment(self.data, **more), cwd=self.data,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        while self.is_up and not (self.data / "daemon.json").exists():
            assert time.monotonic() < began + START_S, f"the desk does not start: {self.log[-2000:]}"
            time.sleep(LOOK_S)
        self.starts.append(time.monotonic() - began)
        return self.is_up

    @property
    def is_up(self) -> bool:
        return self.desk is not None and self.desk.poll() is None

    def end(self, number: int = signal.SIGKILL) -> int:
        """End the desk; its exit code, negative for a signal."""
        assert self.desk is not None
        if self.is_up:
            self.desk.send_signal(number)
        return self.desk.wait(60)

    def ended(self) -> int:
        """Wait until the desk ends by itself; its exit code."""
        assert self.desk is not None
        return self.desk.wait(60)

    def passed(self) -> list[str]:
        """Every point that was passed, in order; the last line may say where the desk died."""
        return self.crash_log.read_text().splitlines() if self.crash_log.exists() else []

    def act(self, path: str, **body: str) -> None:
        """Ask the running desk for something; that it dies or refuses meanwhile is no matter here."""
        with suppress(httpx.HTTPError, OSError, ValueError):
            url = json.loads((self.data / "daemon.json").read_text())["url"]
            headers = {"Authorization": f"Bearer {(self.data / 'daemon.token').read_text().strip()}"}
            httpx.post(url + path, headers=headers, json=body, timeout=60)

    # -- the venue -------------------------------------------------------------------------------

    def shown_in(self, seconds: float) -> int:
        """Let the venue say that the listing opens so soon; the moment, on its clock."""
        to_ns = int(time.time_ns() + seconds * SECOND)  # the venue lives in real time
        self.venue.post("listing", act="postpone", symbol=self.symbol, to_ns=to_ns)
        return to_ns

    def since_opening_s(self) -> float:
        """Seconds since the opening, negative before it; never, while it has not been said."""
        return (time.time_ns() - self.opens_ns) / SECOND if self.opens_ns else -math.inf

    def opens_in(self, seconds: float) -> None:
        """Let the listing open so soon."""
        self.opens_ns = self.shown_in(seconds)

    def goes_wrong(self, *rules: Mapping[str, Any]) -> None:
        """From now on this goes wrong at the venue."""
        self.venue.post("faults", rule=[dict(rule) for rule in rules])

    # -- what is known ---------------------------------------------------------------------------

    def read(self) -> Book:
        """The ledger as far as it is durable."""
        if self.book is None:
            self.book = Book(self.ledger_url, self.data)
        self.book.read_on()
        return self.book

    def findings(self) -> Findings:
        """Where the two differ now."""
        book = self.read()
        found = compare(book.desk, book.events, Venue.ask(self.venue.url, self.symbol, self.data / "memory"))
        found.portfolio += [f"the hash chain: {why}" for why in [book.torn()] if why]
        return found


@contextmanager
def staged(databases: Databases | None, own: Mapping[str, Mapping[str, Any]]) -> Iterator[Scene]:
    """A venue that runs, and a desk that was never started.

    Args:
        databases: where the ledger is; None: the desk's own embedded Postgres.
        own: settings above the usual ones, by group.
    """
    data = Path(tempfile.mkdtemp(prefix="mexclab-crash-"))
    data.chmod(0o755)  # the embedded server's user must be able to pass through
    scene = None
    seed, listing = coming_listing(time.time_ns())
    words = ("--quiet", "--patient", "--seed", str(seed), "--memory", str(data / "memory"))
    try:
        with simulator(data, *words) as venue, _ledger(databases) as url:
            groups = {name: {**USUAL.get(name, {}), **own.get(name, {})} for name in {*USUAL, *own}}
            groups["venue"]["rest_url"] = venue.url
            if url is not None:
                groups["ledger"] = {"url": url}
            (data / "mexclab.toml").write_text('mode = "paper"\n' + settings(**groups))
            os.chmod(data / "mexclab.toml", 0o600)
            scene = Scene(data, venue, str(listing.symbol), url)
            try:
                yield scene
            finally:
                if scene.desk is not None:
                    scene.end()
                if scene.book is not None:
                    scene.book.close()
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _ledger(databases: Databases | None) -> Iterator[str | None]:
    if databases is None:
        yield None
        return
    with databases.fresh() as url:
        yield url
