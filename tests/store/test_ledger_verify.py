"""The whole ledger checked: whatever was done to it is found, and the entry is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mexclab.domain.events import Halted
from mexclab.errors import LedgerCorrupt, ParameterError
from mexclab.store.codec import Chain, encode, seal
from mexclab.store.ledger import PostgresLedger
from mexclab.store.memory import MemoryLedger
from mexclab.store.postgres import Postgres

ENTRIES = [Halted(at_ns=number, by="test", why="") for number in range(1, 11)]
Tamper = Callable[[str], None]


@pytest.fixture
async def ledger(postgres: Postgres) -> Iterator[PostgresLedger]:
    opened = PostgresLedger.open(postgres)
    await opened.append(*ENTRIES)
    yield opened
    opened.close()


def named(ledger: PostgresLedger, expected_head: str | None = None) -> int:
    with pytest.raises(LedgerCorrupt, match="hash chain does not hold") as caught:
        ledger.verify(expected_head)
    seq: int = caught.value.data["seq"]
    assert f"{seq}" in str(caught.value)
    return seq


@pytest.mark.parametrize("seq", [1, 4, 10])
@pytest.mark.parametrize(
    "change",
    [
        "body = substr(body, 1, length(body) / 2)",
        "body = ''",
        "body = replace(body, 'test', 'Eve')",
        "body = body || ' '",
        "at_ns = at_ns + 1",
        "kind = 'Resumed'",
        "kind = 'Teleported'",
        "correlation = 'x'",
        "hash = sha256('x')",
        "hash = ''",
        "hash = substr(hash, 1, 31)",
        "prev_hash = sha256('x')",
        "prev_hash = ''",
    ],
)
async def test_an_edited_column_is_found_and_its_entry_named(
    ledger: PostgresLedger, tamper: Tamper, change: str, seq: int
) -> None:
    tamper(f"UPDATE event SET {change} WHERE seq = {seq}")
    assert named(ledger) == seq


@pytest.mark.parametrize("seqs", [(1,), (4,), (4, 5, 6), (1, 2, 3, 4, 5, 6, 7, 8, 9)])
async def test_torn_out_entries_are_found_and_the_first_is_named(
    ledger: PostgresLedger, tamper: Tamper, seqs: tuple[int, ...]
) -> None:
    tamper(f"DELETE FROM event WHERE seq IN ({', '.join(map(str, seqs))})")
    assert named(ledger) == seqs[0]


@pytest.mark.parametrize(("one", "other"), [(4, 5), (1, 10), (9, 10)])
async def test_entries_that_changed_places_are_found_and_the_first_is_named(
    ledger: PostgresLedger, tamper: Tamper, one: int, other: int
) -> None:
    tamper(
        f"UPDATE event SET seq = 99 WHERE seq = {one}; UPDATE event SET seq = {one} WHERE seq = {other};"
        f"UPDATE event SET seq = {other} WHERE seq = 99"
    )
    assert named(ledger) == one


SHIFT = (
    "UPDATE event SET seq = -seq WHERE seq >= {at}; UPDATE event SET seq = 1 - seq WHERE seq < 0;"
    "INSERT INTO event VALUES ({at}, {at_ns}, 'Halted', '', '{body}', '\\x{before}', '\\x{hash}')"
)


@pytest.mark.parametrize("at", [1, 5, 10])
async def test_an_inserted_entry_is_found_where_it_was_put(
    ledger: PostgresLedger, tamper: Tamper, at: int
) -> None:
    entry, old = encode(Halted(3, "Eve", "")), ledger.rows(after=at - 1, limit=1)[0]
    facts = {"at": at, "at_ns": 3, "body": entry.body, "before": old.prev_hash.hex()}
    tamper(SHIFT.format(**facts, hash=old.hash.hex()))
    assert named(ledger) == at


@pytest.mark.parametrize("at", [1, 5, 10])
async def test_an_inserted_entry_that_is_sealed_by_the_recipe_is_found_at_the_next_one(
    ledger: PostgresLedger, tamper: Tamper, at: int
) -> None:
    entry, old = encode(Halted(3, "Eve", "")), ledger.rows(after=at - 1, limit=1)[0]
    facts = {"at": at, "at_ns": 3, "body": entry.body, "before": old.prev_hash.hex()}
    tamper(SHIFT.format(**facts, hash=seal(old.prev_hash, at, entry).hex()))
    assert named(ledger) == at + 1


async def test_the_kept_head_tells_when_the_newest_entries_were_cut_off(
    ledger: PostgresLedger, tamper: Tamper
) -> None:
    kept = ledger.verify()
    tamper("DELETE FROM event WHERE seq > 8")
    assert ledger.verify().events == 8
    assert named(ledger, kept.head) == 9
    tamper("DELETE FROM event")
    assert named(ledger, kept.head) == 1


async def test_the_kept_head_tells_when_the_whole_history_was_written_anew(
    ledger: PostgresLedger, tamper: Tamper
) -> None:
    kept = ledger.verify()
    others = [Halted(event.at_ns, "Eve", event.why) for event in ENTRIES]
    for row in Chain().extend(map(encode, others)):
        tamper(
            f"UPDATE event SET body = '{row.body}', prev_hash = '\\x{row.prev_hash.hex()}', "
            f"hash = '\\x{row.hash.hex()}' WHERE seq = {row.seq}"
        )
    assert ledger.verify().events == 10
    assert named(ledger, kept.head) == 11


async def test_an_earlier_head_is_found_in_a_ledger_that_has_grown(ledger: PostgresLedger) -> None:
    earlier = ledger.verify()
    await ledger.append(*ENTRIES)
    now = ledger.verify(earlier.head)
    assert (now.events, now.head) == (20, ledger.fingerprint())
    assert ledger.verify(now.head.upper()) == now
    assert ledger.verify("0" * 64) == now  # the head of the ledger before its first entry


@pytest.mark.parametrize("text", ["", "beef", "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
async def test_a_head_that_is_none_is_refused(ledger: PostgresLedger, text: str) -> None:
    with pytest.raises(ParameterError, match="64 hexadecimal digits"):
        ledger.verify(text)


async def test_the_memory_ledger_keeps_the_same_promises() -> None:
    memory = MemoryLedger()
    await memory.append(*ENTRIES)
    kept, told = memory.verify(), list[int]()
    assert memory.verify(kept.head, told.append) == kept
    assert told == [10]
    with pytest.raises(LedgerCorrupt) as caught:
        memory.verify("ab" * 32)
    assert caught.value.data["seq"] == 11


async def test_progress_is_told_in_steps_to_the_end(ledger: PostgresLedger, postgres: Postgres) -> None:
    await ledger.append(*(Halted(number, "test", "") for number in range(4_990)))
    told: list[int] = []
    reader = PostgresLedger.open(postgres, writer=False)
    assert reader.verify(progress=told.append) == ledger.verify()
    assert told == [2_000, 4_000, 5_000]


async def test_progress_of_an_empty_ledger_is_told_once(postgres: Postgres) -> None:
    told: list[int] = []
    assert PostgresLedger.open(postgres, writer=False).verify(progress=told.append).events == 0
    assert told == [0]
