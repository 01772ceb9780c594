"""How long a start takes on a long ledger; ``benchmarks.ledger`` fills it and asks this in new processes.

``python -m benchmarks.ledger_start TASK WHERE`` prints one JSON object. WHERE is a folder with an embedded
Postgres, or a URL; TASK is one of ``start`` (recall, read the tail, fold), ``cold`` (no snapshot: read and
fold everything), ``verify`` and ``export``.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.ledger_history import history
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.store.codec import Chain, encode
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect
from mexclab.store.snapshot import pack

TAIL = 10_000  # events since the last snapshot
COPY = "COPY event (seq, at_ns, kind, correlation, body, prev_hash, hash) FROM STDIN (FORMAT BINARY)"
TYPES = ("int8", "int8", "text", "text", "text", "bytea", "bytea")
BATCH = 10_000  # rows in one transaction while the ledger is filled


def fill(postgres: Postgres, count: int) -> tuple[float, float]:
    """Write ``count`` events and a snapshot ``TAIL`` before the end; seconds for both."""
    started = time.perf_counter()
    desk, chain, events = Desk(), Chain(), history()
    with postgres.session("mexclab benchmark") as session:
        for start in range(0, count, BATCH):
            some = list(islice(events, min(BATCH, count - start)))
            rows = list(chain.extend(map(encode, some)))
            with session.transaction(), session.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.set_types(TYPES)
                for row in rows:
                    copy.write_row(row)
            for event in some if start < count - TAIL else ():
                desk.fold(event)
        session.execute("VACUUM ANALYZE event")
    filled = time.perf_counter() - started
    ledger = PostgresLedger.open(postgres)
    try:
        started = time.perf_counter()
        ledger.remember(desk, count - TAIL)
        return filled, time.perf_counter() - started
    finally:
        ledger.close()


def ask(task: str, where: str) -> dict[str, Any]:
    """The task in a process of its own, as every start is."""
    command = [sys.executable, "-m", "benchmarks.ledger_start", task, where]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def start(ledger: PostgresLedger, *, cold: bool) -> Iterator[tuple[str, Any]]:
    """What recovery does with a ledger, timed; the digest tells one desk from another, digit for digit."""
    desk = Desk()
    began, busy = time.perf_counter(), time.process_time()
    seq = 0 if cold else ledger.recall(desk)
    yield "recall s", time.perf_counter() - began
    yield "recalled", seq
    for at, event in ledger.read(seq):
        desk.fold(event)
        seq = at
    yield "wall s", time.perf_counter() - began
    yield "cpu s", time.process_time() - busy
    yield "seq", seq
    yield "desk", sha256(pack(DeskState.of(desk))).hexdigest()


def _verify(ledger: PostgresLedger) -> Iterator[tuple[str, Any]]:
    began = time.perf_counter()
    yield "seq", ledger.verify().events
    yield "wall s", time.perf_counter() - began


def _export(ledger: PostgresLedger) -> Iterator[tuple[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="mexclab-export-") as folder:
        began = time.perf_counter()
        done = ledger.export(Path(folder) / "ledger.parquet")
        yield "wall s", time.perf_counter() - began
        yield "seq", done.last_seq
        yield "MB", done.path.stat().st_size / 1e6


def peak_mb() -> float:
    """The most memory that this process has had. ``getrusage`` would tell its parent's, if that was more."""
    try:
        words = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return float(words.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Do one task and print what it took."""
    task, where = sys.argv[1:]
    is_url = "://" in where
    postgres = connect(where if is_url else None, Path("unused" if is_url else where))
    ledger = PostgresLedger.open(postgres, writer=False)
    tasks = {
        "start": lambda: start(ledger, cold=False),
        "cold": lambda: start(ledger, cold=True),
        "verify": lambda: _verify(ledger),
        "export": lambda: _export(ledger),
    }
    try:
        answer = dict(tasks[task]())
    finally:
        postgres.close()
    answer["peak MB"] = peak_mb()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
