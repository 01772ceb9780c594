"""How fast the ledger makes events durable: ``python -m benchmarks.ledger [--quick]``.

Everything runs on one embedded Postgres (fsync on), made for the run. The peers write the same rows with
psycopg as one would by hand: INSERT and COMMIT one by one, and ``executemany`` in batches of 50. A lone
append is measured in turns with a plain INSERT and COMMIT, so that a disk with moods is fair to both.

Then a ledger of a million events (``--quick``: a hundred thousand, to the same goal), many snipes with their
orders and fills, is started from: a snapshot and the 10,000 events after it. Beside it: no snapshot at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ledger_start
from mexclab.domain.events import OrderDecided
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.store.codec import Chain, Row, encode
from mexclab.store.erase import erase
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect

GOAL_PER_S = 10_000
GOAL_RATIO = 1.3
GOAL_START_S = 5.0
LONG, LONG_QUICK = 1_000_000, 100_000
BATCH = 50
CALLERS = 500
INSERT = "INSERT INTO peer VALUES (%s, %s, %s, %s, %s, %s, %s)"


def event(number: int) -> OrderDecided:
    """An entry of the usual size: an order with all of its fields."""
    order = Order(
        client_id=f"snipe{number}-entry-1",
        symbol=Symbol("NEWCOIN"),
        side=Side.BUY,
        type=OrderType.IMMEDIATE_OR_CANCEL,
        quantity=Decimal("1250.50"),
        price=Decimal("0.03998"),
        snipe_id=f"snipe{number}",
        leg="entry",
        decided_ns=1_780_000_000_000_000_000 + number,
    )
    return OrderDecided(order.decided_ns, order)


class Peer:
    """The same rows, written by hand into a table of the same shape on the same server."""

    def __init__(self, postgres: Postgres) -> None:
        self.session: psycopg.Connection[Any] = psycopg.connect(**postgres.arguments())
        self.session.execute("CREATE TABLE peer (LIKE event INCLUDING ALL)")
        self.session.commit()
        self._chain = Chain()

    def rows(self, count: int) -> list[Row]:
        first = self._chain.seq
        return list(self._chain.extend(encode(event(first + number)) for number in range(count)))

    def one(self, row: Row) -> None:
        """INSERT and COMMIT."""
        self.session.execute(INSERT, row)
        self.session.commit()

    def loop(self, rows: list[Row]) -> None:
        for row in rows:
            self.one(row)

    def batches(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), BATCH):
            self.session.cursor().executemany(INSERT, rows[start : start + BATCH])
            self.session.commit()


def rate(write: Callable[[list[Row]], None], rows: list[Row]) -> float:
    """Rows per second."""
    started = time.perf_counter()
    write(rows)
    return len(rows) / (time.perf_counter() - started)


async def concurrent_rate(ledger: PostgresLedger, callers: int, each: int) -> float:
    """Events per second when many callers append one event after the other, each once durable."""

    async def caller(mine: list[OrderDecided]) -> None:
        for one in mine:
            await ledger.append(one)

    events = [[event(number * each + turn) for turn in range(each)] for number in range(callers)]

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for mine in events:
            group.create_task(caller(mine))
    return callers * each / (time.perf_counter() - started)


async def lone(ledger: PostgresLedger, peer: Peer, turns: int) -> tuple[float, float]:
    """Median seconds of one lone append and of one plain INSERT and COMMIT, measured in turns."""
    ours: list[float] = []
    plain: list[float] = []
    for number in range(turns):
        row = peer.rows(1)[0]
        started = time.perf_counter()
        peer.one(row)
        plain.append(time.perf_counter() - started)
        fresh = event(number)
        started = time.perf_counter()
        await ledger.append(fresh)
        ours.append(time.perf_counter() - started)
    return statistics.median(ours), statistics.median(plain)


async def measure(postgres: Postgres, *, quick: bool) -> dict[str, Any]:
    """The whole run; the JSON object of the last line."""
    scale = 1 if quick else 5
    peer = Peer(postgres)
    ledger = PostgresLedger.open(postgres)
    try:
        ours, plain = await lone(ledger, peer, 200 * scale)
        busy = time.process_time()
        rates = [await concurrent_rate(ledger, CALLERS, 8 * scale) for _ in range(3)]
        busy = (time.process_time() - busy) / (3 * CALLERS * 8 * scale)
        by_loop = rate(peer.loop, peer.rows(500 * scale))
        by_batch = rate(peer.batches, peer.rows(2_000 * scale))
        checked = ledger.verify().events
    finally:
        ledger.close()
        peer.session.close()
    per_s, ratio = statistics.median(rates), ours / plain
    print(f"one append {ours * 1e6:,.0f} us, one INSERT and COMMIT {plain * 1e6:,.0f} us")
    print(f"durable events/s: {per_s:,.0f} by {CALLERS} callers")
    print(f"by hand: {by_loop:,.0f} one by one, {by_batch:,.0f} in batches of {BATCH}")
    print(f"{checked:,} entries verified")
    return {
        "benchmark": "ledger",
        "goals": {
            "ledger-throughput": {
                "value": round(per_s), "goal": GOAL_PER_S, "unit": "events/s", "met": per_s >= GOAL_PER_S,
            },
            "ledger-lone-append": {
                "value": round(ratio, 3), "goal": GOAL_RATIO, "unit": "ratio", "met": ratio <= GOAL_RATIO,
            },
        },
        "peers": {
            "plain INSERT+COMMIT p50 us": round(plain * 1e6),
            "our lone append p50 us": round(ours * 1e6),
            "our client's CPU us/event": round(busy * 1e6, 1),
            "plain loop events/s": round(by_loop),
            "executemany of 50 events/s": round(by_batch),
        },
    }  # fmt: skip


def measure_start(postgres: Postgres, where: str, *, quick: bool) -> dict[str, Any]:
    """Goal and peers of starting from a long ledger, each start in a new process."""
    count = LONG_QUICK if quick else LONG
    filled_s, remember_s = ledger_start.fill(postgres, count)
    print(f"{count:,} events written in {filled_s:.0f} s")
    starts = [ledger_start.ask("start", where) for _ in range(3)]
    cold = ledger_start.ask("cold", where)
    verified, exported = ledger_start.ask("verify", where), ledger_start.ask("export", where)
    for one in starts:
        if one["recalled"] != count - ledger_start.TAIL or one["desk"] != cold["desk"]:
            raise SystemExit("a start from the snapshot did not give the desk that the whole ledger gives")
    start = sorted(starts, key=lambda one: float(one["wall s"]))[1]
    print(
        f"start from {count:,} events: {start['wall s']:.2f} s ({start['recall s']:.2f} s of it the snapshot)"
    )
    print(f"without a snapshot {cold['wall s']:.1f} s; only checked {verified['wall s']:.1f} s")
    print(f"exported in {exported['wall s']:.1f} s to {exported['MB']:.0f} MB")
    value = round(start["wall s"], 2)
    goal = {"value": value, "goal": GOAL_START_S, "unit": "s", "met": value <= GOAL_START_S}
    return {
        "goals": {"ledger-start-1M": {**goal, "events": count}},
        "peers": {
            "start: CPU s": round(start["cpu s"], 2),
            "start without a snapshot s": round(cold["wall s"], 1),
            "start without a snapshot: CPU s": round(cold["cpu s"], 1),
            "start: peak MB": round(start["peak MB"]),
            "keeping a snapshot s": round(remember_s, 2),
            "verify s": round(verified["wall s"], 1),
            "export s": round(exported["wall s"], 1),
            "export MB": round(exported["MB"], 1),
            "export: peak MB": round(exported["peak MB"]),
        },
    }


def main() -> None:
    """Run it on a server of its own and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument(
        "--url",
        default=os.environ.get("MEXCLAB_BENCHMARK_POSTGRES"),
        help="an empty database instead; it is emptied",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mexclab-ledger-") as folder:
        postgres = connect(options.url, Path(folder))
        try:
            result = asyncio.run(measure(postgres, quick=options.quick))
            erase(postgres)
        finally:
            postgres.close()
        postgres = connect(options.url, Path(folder))
        try:
            found = measure_start(postgres, options.url or folder, quick=options.quick)
        finally:
            postgres.close()
    result["goals"] |= found["goals"]
    result["peers"] |= found["peers"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
