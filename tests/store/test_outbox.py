"""The outbox in the ledger: what waits for whom, over restarts, kills and other people's entries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from mexclab.domain.alert import Mark
from mexclab.domain.events import AlertRaised, Event, Halted, MonitorChanged, OrderLost
from mexclab.errors import LedgerUnavailable
from mexclab.runtime.notify import LineFile, Webhook
from mexclab.runtime.post import Post, PostTerms
from mexclab.store.ledger import PostgresLedger
from mexclab.store.outbox import PAGE, PostgresOutbox
from mexclab.store.postgres import Postgres, connect
from tests.receiver import Reply, receiver, until

ROOT = Path(__file__).resolve().parents[2]
TERMS = PostTerms(first_retry_s=0.05, last_retry_s=0.4)


def alarm(number: int) -> AlertRaised:
    return AlertRaised(number, "critical", f"alarm {number}")


def noise(number: int) -> OrderLost:
    return OrderLost(number, f"x-{number}-1", "no answer")


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[PostgresLedger]:
    opened = PostgresLedger.open(postgres)
    yield opened
    opened.close()


@pytest.fixture
def outbox(postgres: Postgres) -> PostgresOutbox:
    return PostgresOutbox(postgres, "paper")


async def test_the_ledgers_own_entries_wait_in_order_each_with_its_entry_as_id(
    ledger: PostgresLedger, outbox: PostgresOutbox
) -> None:
    mixed: list[Event] = [noise(1), alarm(2), noise(3), Halted(4, "Ann", "lunch"), alarm(5)]
    await ledger.append(*mixed)
    found = outbox.waiting(0)
    assert [alert.text.partition(";")[0] for alert in found] == ["alarm 2", "halted by Ann: lunch", "alarm 5"]
    hashes = {row.seq: row.hash.hex() for row in ledger.rows()}
    assert [alert.alert_id for alert in found] == [f"{seq}-{hashes[seq][:8]}" for seq in (2, 4, 5)]
    assert [alert.seq for alert in outbox.waiting(2)] == [4, 5]
    assert not outbox.waiting(5)
    assert {alert.mode for alert in found} == {"paper"}


async def test_a_new_sink_begins_at_the_ledgers_end_and_a_known_one_where_it_was(
    ledger: PostgresLedger, outbox: PostgresOutbox
) -> None:
    await ledger.append(alarm(1), alarm(2))
    outbox.begin(["file"])
    assert outbox.mark("file") == Mark(2)
    await ledger.append(alarm(3), alarm(4))
    outbox.put("file", Mark(3, 2, 77, "HTTP 500"))
    outbox.begin(["file", "webhook"])
    assert outbox.mark("file") == Mark(3, 2, 77, "HTTP 500")
    assert outbox.mark("webhook") == Mark(4)


async def test_a_sink_that_was_switched_off_is_new_when_it_comes_back(
    ledger: PostgresLedger, outbox: PostgresOutbox
) -> None:
    outbox.begin(["file"])
    await ledger.append(alarm(1))
    outbox.begin([])
    outbox.begin(["file"])
    assert outbox.mark("file") == Mark(1)


async def test_more_entries_than_fit_a_page_that_are_no_alerts_hide_none(
    ledger: PostgresLedger, outbox: PostgresOutbox
) -> None:
    quiet = [MonitorChanged(n, "spread", None, "quiet", "0", "1", "") for n in range(2 * PAGE + 7)]
    await ledger.append(*quiet, alarm(9))
    assert [alert.seq for alert in outbox.waiting(0)] == [len(quiet) + 1]


async def test_a_ledger_restored_from_an_older_copy_is_followed_from_its_end(
    ledger: PostgresLedger, outbox: PostgresOutbox
) -> None:
    await ledger.append(alarm(1))
    outbox.put("file", Mark(900))
    outbox.begin(["file"])
    assert outbox.mark("file") == Mark(1)


def test_a_database_that_went_away_is_a_ledger_that_is_unavailable(postgres: Postgres, url: str) -> None:
    outbox = PostgresOutbox(postgres, "paper")
    with postgres.engine.begin() as session:
        session.execute(sa.text("DROP TABLE outbox"))
    for act in (lambda: outbox.begin(["file"]), lambda: outbox.mark("file")):
        with pytest.raises(LedgerUnavailable):
            act()


async def test_alerts_leave_while_the_ledger_is_written_and_one_writer_holds_its_lock(
    ledger: PostgresLedger, outbox: PostgresOutbox, tmp_path: Path
) -> None:
    path = tmp_path / "alerts.jsonl"
    with receiver(Reply(500), Reply(500)) as there:
        post = Post(outbox, [LineFile(path), Webhook(there.url, 5)], TERMS)
        post.start()
        for number in range(60):
            event = alarm(number) if number % 3 == 0 else noise(number)
            post.take(await ledger.append(event), event)
        until(lambda: len(there.ids) == 22 and path.exists() and len(path.read_text().splitlines()) == 20)
        post.close()
        assert there.texts[2:] == [f"alarm {number}" for number in range(0, 60, 3)]
        assert len(set(there.ids)) == 20
    assert outbox.mark("file") == outbox.mark("webhook") == Mark(58)


CARRIES = """
import asyncio, sys
from pathlib import Path
from mexclab.domain.events import AlertRaised
from mexclab.runtime.notify import Webhook
from mexclab.runtime.post import Post, PostTerms
from mexclab.store.ledger import PostgresLedger
from mexclab.store.outbox import PostgresOutbox
from mexclab.store.postgres import connect

async def main(database, url, count, first):
    postgres = connect(database, Path("unused"))
    ledger = PostgresLedger.open(postgres)
    post = Post(PostgresOutbox(postgres, "paper"), [Webhook(url, 5)], PostTerms("info", 0.05, 0.2))
    post.start()
    for number in range(first, first + count):
        event = AlertRaised(number, "info", str(number))
        post.take(await ledger.append(event), event)
        print(number, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def test_kills_in_the_middle_lose_no_alert_and_doubles_carry_the_same_id(url: str) -> None:
    """Five lives, each killed while it delivers; a last one delivers the rest."""
    with receiver() as there:
        for life in range(6):
            count = 15 if life < 5 else 0
            words = [
                sys.executable,
                "-c",
                textwrap.dedent(CARRIES),
                url,
                there.url,
                str(count),
                str(15 * life),
            ]
            child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
            assert child.stdout is not None
            for _ in range(count):
                child.stdout.readline()
            if life == 5:
                until(lambda: len(set(there.ids)) == 75, 30, lambda: sorted(there.ids))
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()
    first_times = list(dict.fromkeys(there.texts))
    assert first_times == [str(number) for number in range(75)]
    assert len(set(there.ids)) == 75
    pairs = {(body["id"], body["text"]) for body in there.bodies}
    assert len(pairs) == 75


def test_two_couriers_threads_never_share_a_connection(postgres: Postgres) -> None:
    outbox = PostgresOutbox(postgres, "paper")
    outbox.begin(["a", "b", "c"])
    faults: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(50):
                outbox.put(name, Mark(number))
                assert outbox.mark(name) == Mark(number)
        except (LedgerUnavailable, AssertionError) as error:  # told below
            faults.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_the_table_comes_with_the_tables_of_before(url: str) -> None:
    first = connect(url, Path("unused"))
    with first.engine.begin() as session:
        session.execute(sa.text("DROP TABLE outbox"))
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
    first.close()
    again = connect(url, Path("unused"))
    PostgresOutbox(again, "paper").begin(["file"])
    again.close()
