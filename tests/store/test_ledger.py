from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from mexclab.domain.events import AlertRaised, Event, Halted, SnipeRetimed
from mexclab.errors import LedgerCorrupt, LedgerError, LedgerInUse, LedgerUnavailable
from mexclab.store.embedded import EmbeddedServer
from mexclab.store.ledger import PostgresLedger
from mexclab.store.memory import MemoryLedger
from mexclab.store.postgres import Postgres, connect

ROOT = Path(__file__).resolve().parents[2]
AnyLedger = PostgresLedger | MemoryLedger


def halted(number: int, why: str = "") -> Halted:
    return Halted(at_ns=number, by="test", why=why)


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[PostgresLedger]:
    opened = PostgresLedger.open(postgres)
    yield opened
    opened.close()


@pytest.fixture(params=["postgres", "memory"])
def either(request: pytest.FixtureRequest) -> AnyLedger:
    """Both ledgers keep the same promises."""
    return request.getfixturevalue("ledger") if request.param == "postgres" else MemoryLedger()


# -- what every ledger promises ------------------------------------------------------------------


async def test_what_was_appended_is_read_in_order(either: AnyLedger) -> None:
    assert (either.last(), list(either.read())) == (0, [])
    assert await either.append(halted(1), halted(2)) == 2
    assert await either.append(halted(3)) == 3
    assert list(either.read()) == [(1, halted(1)), (2, halted(2)), (3, halted(3))]
    assert list(either.read(after=2)) == [(3, halted(3))]
    assert list(either.read(after=3)) == []
    assert list(either.read(after=9)) == []
    assert either.last() == 3
    assert either.lag_s() == 0


async def test_an_append_of_nothing_writes_nothing(either: AnyLedger) -> None:
    await either.append(halted(1))
    assert await either.append() == 1
    assert either.verify().events == 1


async def test_raw_rows_are_paged_and_picked_by_correlation(either: AnyLedger) -> None:
    for number in range(1, 5):
        await either.append(halted(number), SnipeRetimed(number, f"s{number % 2}", 1, 2))
    assert [row.seq for row in either.rows(after=2, limit=3)] == [3, 4, 5]
    ours = either.rows(correlation="s1")
    assert [(row.seq, row.kind, row.correlation) for row in ours] == [
        (2, "SnipeRetimed", "s1"),
        (6, "SnipeRetimed", "s1"),
    ]
    assert ours[0].body == '{"at_ns":1,"deadline_ns":2,"not_before_ns":1,"snipe_id":"s1"}'
    assert isinstance(ours[0].hash, bytes)
    assert [row.seq for row in either.rows(after=2, limit=1, correlation="s1")] == [6]


async def test_an_event_that_cannot_be_written_takes_its_whole_call_with_it(either: AnyLedger) -> None:
    with pytest.raises(LedgerError):
        await either.append(halted(1), AlertRaised(2, "info", "", correlation_id="\0"))
    assert either.last() == 0
    assert await either.append(halted(3)) == 1


async def test_a_closed_ledger_takes_nothing_more(either: AnyLedger) -> None:
    await either.append(halted(1))
    either.close()
    with pytest.raises(LedgerUnavailable, match="open"):
        await either.append(halted(2))
    either.close()


async def test_a_follower_gets_what_was_missed_and_then_what_comes(either: AnyLedger) -> None:
    await either.append(halted(1), halted(2))
    stream: AsyncIterator[tuple[int, Event]] = either.follow(after=1)
    assert await anext(stream) == (2, halted(2))
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    assert not coming.done()
    await either.append(halted(3))
    assert await asyncio.wait_for(coming, 60) == (3, halted(3))
    await stream.aclose()  # type: ignore[attr-defined]


async def test_the_same_events_have_the_same_fingerprint_on_postgres_and_in_memory(
    ledger: PostgresLedger,
) -> None:
    memory = MemoryLedger()
    events = [halted(number, why="§ 1.10") for number in range(30)]
    await memory.append(*events)
    for event in events[:10]:
        await ledger.append(event)
    await ledger.append(*events[10:])  # large enough to be copied, not inserted
    assert ledger.fingerprint() == memory.fingerprint() == memory.verify().head
    assert ledger.verify() == memory.verify()
    assert ledger.rows() == memory.rows()


# -- writing -------------------------------------------------------------------------------------


async def test_concurrent_calls_are_written_in_call_order_and_none_is_torn(ledger: PostgresLedger) -> None:
    calls = [tuple(halted(100 * call + place) for place in range(call % 13 + 1)) for call in range(400)]
    ends = await asyncio.gather(*(ledger.append(*call) for call in calls))
    assert list(ends) == sorted(ends)
    assert [event for _, event in ledger.read()] == [event for call in calls for event in call]
    assert [seq for seq, _ in ledger.read()] == list(range(1, ledger.last() + 1))


async def test_concurrent_calls_share_transactions(ledger: PostgresLedger, url: str) -> None:
    await asyncio.gather(*(ledger.append(halted(number)) for number in range(300)))
    with psycopg.connect(url) as session:
        count = session.execute("SELECT count(DISTINCT xmin::text) FROM event").fetchone()
    assert count is not None
    assert count[0] < 100


async def test_appends_from_several_loops_are_all_answered(ledger: PostgresLedger) -> None:
    ends: list[int] = []

    def elsewhere(first: int) -> None:
        async def some() -> None:
            ends.extend(await asyncio.gather(*(ledger.append(halted(first + n)) for n in range(50))))

        asyncio.run(some())

    threads = [threading.Thread(target=elsewhere, args=(1000 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sorted(ends) == list(range(1, 151))
    assert ledger.verify().events == 150


async def test_a_cancelled_append_does_not_disturb_the_others(ledger: PostgresLedger) -> None:
    first = asyncio.ensure_future(ledger.append(halted(1)))
    second = asyncio.ensure_future(ledger.append(halted(2)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ledger.last()
    assert ledger.verify().events == ledger.last()


async def test_a_cancelled_append_ends_when_it_is_known_what_is_durable(ledger: PostgresLedger) -> None:
    for number in range(1, 6):
        cancelled = asyncio.ensure_future(ledger.append(halted(number)))
        await asyncio.sleep(0)
        for _ in range(2):  # once more does not hurry it either
            cancelled.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert ledger.last() == len(ledger.rows()) == number


async def test_closing_writes_what_waits(postgres: Postgres) -> None:
    ledger = PostgresLedger.open(postgres)
    asks = [asyncio.ensure_future(ledger.append(halted(number))) for number in range(3000)]
    await asyncio.sleep(0)
    ledger.close()
    assert (await asyncio.gather(*asks))[-1] == 3000
    assert PostgresLedger.open(postgres, writer=False).verify().events == 3000


async def test_a_reader_needs_no_pen_and_cannot_write(ledger: PostgresLedger, postgres: Postgres) -> None:
    await ledger.append(halted(1))
    reader = PostgresLedger.open(postgres, writer=False)
    assert list(reader.read()) == [(1, halted(1))]
    assert (reader.last(), reader.fingerprint(), reader.lag_s()) == (1, ledger.fingerprint(), 0)
    with pytest.raises(LedgerUnavailable, match="writer=True"):
        await reader.append(halted(2))


async def test_a_broken_connection_fails_the_ledger_until_it_is_opened_again(
    ledger: PostgresLedger, postgres: Postgres, url: str
) -> None:
    await ledger.append(halted(1))
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'mexclab pen%'"
        )
    with pytest.raises(LedgerUnavailable, match="Nothing may trade"):
        await ledger.append(halted(2))
    with pytest.raises(LedgerUnavailable):
        await ledger.append(halted(3))
    assert ledger.lag_s() == 0
    again = PostgresLedger.open(postgres)
    assert await again.append(halted(4)) == 2
    assert [event for _, event in again.read()] == [halted(1), halted(4)]
    again.close()


# -- one pen -------------------------------------------------------------------------------------


async def test_a_second_writer_is_refused_and_told_who_has_the_pen(
    ledger: PostgresLedger, postgres: Postgres
) -> None:
    with pytest.raises(
        LedgerInUse, match=re.escape(f"process {os.getpid()} on {socket.gethostname()[:32]} since 20")
    ) as caught:
        PostgresLedger.open(postgres)
    assert caught.value.data["pid"] == str(os.getpid())
    ledger.close()
    PostgresLedger.open(postgres).close()


def test_two_databases_of_one_server_have_a_pen_each(
    ledger: PostgresLedger, server: EmbeddedServer, url: str
) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE DATABASE other_pen TEMPLATE template")
    other = connect(url.replace(url.partition("@/")[2].partition("?")[0], "other_pen"), Path("unused"))
    PostgresLedger.open(other).close()
    other.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from mexclab.domain.events import Halted
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import connect

async def caller(ledger, name):
    for number in range(10**9):
        events = [Halted(at_ns=number, by=f"{name}/{place}", why="") for place in range(3)]
        print(await ledger.append(*events), name, number, flush=True)

async def main():
    ledger = PostgresLedger.open(connect(sys.argv[1], Path("unused")))
    await asyncio.gather(*(caller(ledger, name) for name in range(20)))

asyncio.run(main())
"""


def child(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_after_kill_9_the_chain_holds_all_that_was_acknowledged_and_no_call_in_part(
    postgres: Postgres, url: str
) -> None:
    with child(WRITER, url) as writer:
        assert writer.stdout is not None
        acknowledged = [line.split() for line in islice(writer.stdout, 500)]
        with pytest.raises(LedgerInUse, match=f"process {writer.pid}"):
            PostgresLedger.open(postgres)
        writer.kill()
        acknowledged += [line.split() for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL

    ledger = reopened(postgres)
    found = list(ledger.read())
    assert ledger.verify().events == len(found) >= 1500
    calls = [found[at : at + 3] for at in range(0, len(found), 3)]
    told = {}
    for call in calls:
        name, number = call[0][1].by.partition("/")[0], call[0][1].at_ns
        assert [event for _, event in call] == [Halted(number, f"{name}/{place}", "") for place in range(3)]
        told[name, str(number)] = call[-1][0]
    assert len(told) == len(calls)
    for seq, name, number in (line for line in acknowledged if len(line) == 3):
        assert told[name, number] == int(seq)
    for caller in {name for name, _ in told}:  # a prefix of what each caller attempted
        numbers = sorted(int(number) for name, number in told if name == caller)
        assert numbers == list(range(len(numbers)))
    ledger.close()


def reopened(postgres: Postgres) -> PostgresLedger:
    """The ledger again, once the server has noticed that its writer is gone."""
    for _ in range(100):
        try:
            return PostgresLedger.open(postgres)
        except LedgerInUse:
            threading.Event().wait(0.02)
    return PostgresLedger.open(postgres)


# -- corruption ----------------------------------------------------------------------------------


async def filled(ledger: PostgresLedger) -> None:
    for number in range(1, 11):
        await ledger.append(halted(number))


@pytest.mark.parametrize(
    ("statement", "seq", "words"),
    [
        ("UPDATE event SET body = replace(body, 'test', 'Eve') WHERE seq = 4", 4, "changed after"),
        ("UPDATE event SET kind = 'Resumed' WHERE seq = 10", 10, "changed after"),
        ("UPDATE event SET at_ns = 77 WHERE seq = 5", 5, "time was changed"),
        ("UPDATE event SET correlation = 'x' WHERE seq = 5", 5, "changed after"),
        ("UPDATE event SET hash = sha256('x') WHERE seq = 6", 6, "changed after"),
        ("UPDATE event SET prev_hash = sha256('x') WHERE seq = 7", 7, "does not follow"),
        ("DELETE FROM event WHERE seq = 8", 8, "missing"),
        ("DELETE FROM event WHERE seq = 1", 1, "missing"),
        ("DELETE FROM event WHERE seq < 10", 1, "missing"),
        ("UPDATE event SET seq = 20 WHERE seq = 9", 9, "missing"),
    ],
)
async def test_a_torn_or_edited_entry_is_found_and_named(
    ledger: PostgresLedger, tamper: Callable[[str], None], statement: str, seq: int, words: str
) -> None:
    await filled(ledger)
    tamper(statement)
    for check in (ledger.verify, lambda: list(ledger.read())):
        with pytest.raises(LedgerCorrupt, match=words) as caught:
            check()
        assert caught.value.data["seq"] == seq


async def test_reading_on_notices_that_the_entry_before_was_torn_out_or_edited(
    ledger: PostgresLedger, tamper: Callable[[str], None]
) -> None:
    await filled(ledger)
    tamper("UPDATE event SET body = replace(body, 'test', 'Eve') WHERE seq = 4")
    assert [seq for seq, _ in ledger.read(after=5)] == [6, 7, 8, 9, 10]
    with pytest.raises(LedgerCorrupt):
        list(ledger.read(after=4))
    tamper("DELETE FROM event WHERE seq = 5")
    with pytest.raises(LedgerCorrupt, match="entry 5 is missing"):
        list(ledger.read(after=5))


@pytest.mark.parametrize("statement", ["UPDATE event SET kind = 'x'", "DELETE FROM event", "TRUNCATE event"])
async def test_the_database_itself_refuses_changes(ledger: PostgresLedger, url: str, statement: str) -> None:
    await ledger.append(halted(1))
    with psycopg.connect(url) as session, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        session.execute(statement)
