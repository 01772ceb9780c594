"""A snapshot saves the fold, and is never believed against the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put
from mexclab.domain.events import Event, Halted
from mexclab.errors import DomainError, LedgerCorrupt, LedgerUnavailable
from mexclab.store import snapshot as snapshots
from mexclab.store.codec import decode, encode
from mexclab.store.ledger import PostgresLedger
from mexclab.store.memory import MemoryLedger
from mexclab.store.postgres import Postgres
from mexclab.store.tables import snapshot
from tests.domain.histories import random_history
from tests.domain.test_desk_state import folded, written
from tests.recorded_day import recorded_day

AnyLedger = PostgresLedger | MemoryLedger


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[PostgresLedger]:
    opened = PostgresLedger.open(postgres)
    yield opened
    opened.close()


@pytest.fixture(params=["postgres", "memory"])
def either(request: pytest.FixtureRequest) -> AnyLedger:
    """Both ledgers keep the same promises."""
    return request.getfixturevalue("ledger") if request.param == "postgres" else MemoryLedger()


@pytest.fixture
def events(seed: int) -> list[Event]:
    return random_history(seed)


def started(ledger: AnyLedger) -> tuple[int, Desk]:
    """What a start does: recall, then fold what came later. The cut, and the desk."""
    desk = Desk()
    cut = ledger.recall(desk)
    return cut, folded((event for _, event in ledger.read(cut)), desk)


async def remembered(ledger: AnyLedger, events: list[Event], *cuts: int) -> dict[str, str]:
    """Append everything, keep a snapshot at each cut; the desk that it all adds up to."""
    await ledger.append(*events)
    for cut in cuts:
        ledger.remember(Desk.of(events[:cut]), cut)
    return written(Desk.of(events))


def kept(postgres: Postgres) -> list[int]:
    with postgres.engine.connect() as session:
        return list(session.execute(sa.select(snapshot.c.seq).order_by(snapshot.c.seq)).scalars())


# -- what every ledger promises ------------------------------------------------------------------


async def test_without_a_snapshot_everything_is_folded(either: AnyLedger, events: list[Event]) -> None:
    whole = await remembered(either, events)
    desk = Desk()
    assert either.recall(desk) == 0
    assert written(desk) == written(Desk())
    cut, desk = started(either)
    assert (cut, written(desk)) == (0, whole)


async def test_recalling_and_folding_on_is_folding_everything(either: AnyLedger, events: list[Event]) -> None:
    whole = await remembered(either, events)
    for cut in [*range(1, len(events), max(1, len(events) // 11)), len(events)]:
        either.remember(Desk.of(events[:cut]), cut)
        found, desk = started(either)
        assert (found, written(desk)) == (cut, whole)


@pytest.mark.parametrize("stories", [0, 3])
def test_at_every_cut_the_bytes_of_a_snapshot_and_the_tail_are_the_whole(seed: int, stories: int) -> None:
    as_read = [decode(entry.kind, entry.body) for entry in map(encode, recorded_day())]
    events = random_history(seed, stories) if stories else as_read
    whole, growing = written(Desk.of(events)), Desk()
    for cut, event in enumerate(events, 1):
        growing.fold(event)
        desk = Desk()
        put(desk, snapshots.unpack(snapshots.pack(DeskState.of(growing))))
        assert written(desk) == written(growing)
        assert written(folded(events[cut:], desk)) == whole


async def test_a_snapshot_is_the_desk_as_it_was_then(either: AnyLedger, events: list[Event]) -> None:
    await either.append(*events)
    desk = Desk.of(events[:200])
    before = written(desk)
    either.remember(desk, 200)
    folded(events[200:], desk)
    again = Desk()
    assert either.recall(again) == 200
    assert written(again) == before


async def test_nothing_is_kept_of_an_entry_that_is_not_in_the_ledger(either: AnyLedger) -> None:
    await either.append(Halted(1, "ann", "x"))
    for seq in (0, 2):
        either.remember(Desk.of([Halted(1, "ann", "x")]), seq)
    assert either.recall(Desk()) == 0


async def test_a_desk_that_holds_something_is_not_recalled_into(
    either: AnyLedger, events: list[Event]
) -> None:
    await remembered(either, events, 50)
    with pytest.raises(DomainError, match="empty desk"):
        either.recall(Desk.of(events[:1]))


# -- on Postgres ---------------------------------------------------------------------------------


async def test_the_newest_two_are_kept(
    ledger: PostgresLedger, postgres: Postgres, events: list[Event]
) -> None:
    await remembered(ledger, events, 10, 20, 20, 30)
    assert kept(postgres) == [20, 30]


async def test_a_snapshot_that_claims_a_later_entry_gives_way(
    ledger: PostgresLedger, postgres: Postgres, events: list[Event]
) -> None:
    await remembered(ledger, events, 10, 90, 40)
    assert kept(postgres) == [10, 40]


async def test_a_reader_recalls_and_does_not_remember(
    ledger: PostgresLedger, postgres: Postgres, events: list[Event]
) -> None:
    whole = await remembered(ledger, events, 60)
    reader = PostgresLedger.open(postgres, writer=False)
    cut, desk = started(reader)
    assert (cut, written(desk)) == (60, whole)
    with pytest.raises(LedgerUnavailable, match="writer=True"):
        reader.remember(desk, reader.last())
    assert kept(postgres) == [60]


DAMAGE = [
    "state = substr(state, 1, length(state) / 2)",
    "state = ''",
    "state = set_byte(state, 100, (get_byte(state, 100) + 1) % 256)",
    "seal = sha256('x')",
    "seal = ''",
    "chain_hash = sha256('x')",
    "code = sha256('x')",
    "seq = seq + 1",
    "seq = -seq",
]


@pytest.mark.parametrize("change", DAMAGE)
async def test_a_torn_or_edited_snapshot_is_passed_over_and_told(
    ledger: PostgresLedger, tamper: Callable[[str], None], events: list[Event], change: str
) -> None:
    whole = await remembered(ledger, events, 30, 60)
    tamper(f"UPDATE snapshot SET {change} WHERE seq = 60")
    with capture_logs() as told:
        cut, desk = started(ledger)
    assert (cut, written(desk)) == (30, whole)
    if change != "seq = -seq":  # then it is the older one, and the other is found first
        assert [entry["event"].endswith("passed over") for entry in told] == [True]
    tamper(f"UPDATE snapshot SET {change} WHERE seq = 30")
    cut, desk = started(ledger)
    assert (cut, written(desk)) == (0, whole)


async def test_a_whole_snapshot_of_other_entries_is_not_believed(
    ledger: PostgresLedger, postgres: Postgres, tamper: Callable[[str], None], events: list[Event]
) -> None:
    """Sealed by its own rules, but the chain has another hash there: another ledger's, put into this one."""
    whole = await remembered(ledger, events)
    state, strange = snapshots.pack(DeskState.of(Desk.of(events[:5]))), bytes(range(32))
    row = {"seq": 9, "chain_hash": strange, "code": snapshots.CODE, "state": state}
    with postgres.engine.begin() as session:
        sealed = snapshots.seal(9, strange, snapshots.CODE, state)
        session.execute(sa.insert(snapshot).values(**row, seal=sealed))
    with capture_logs() as told:
        cut, desk = started(ledger)
    assert (cut, written(desk)) == (0, whole)
    assert [entry["log_level"] for entry in told] == ["warning"]


async def test_a_sealed_snapshot_that_cannot_be_read_is_passed_over(
    ledger: PostgresLedger, postgres: Postgres, events: list[Event]
) -> None:
    whole = await remembered(ledger, events)
    hash_ = ledger.rows(after=8, limit=1)[0].hash
    for state in (
        b"no state",
        snapshots.pack(DeskState.of(Desk()))[:-9],
        snapshots.zlib.compress(b'{"a":1}'),
        snapshots.zlib.compress(b'{"rows":1,"columns":{}}'),
    ):
        with postgres.engine.begin() as session:
            session.execute(sa.delete(snapshot))
            sealed = snapshots.seal(9, hash_, snapshots.CODE, state)
            row = {"seq": 9, "chain_hash": hash_, "code": snapshots.CODE, "state": state, "seal": sealed}
            session.execute(sa.insert(snapshot).values(**row))
        cut, desk = started(ledger)
        assert (cut, written(desk)) == (0, whole)


async def test_a_ledger_whose_newest_entries_were_cut_off_does_not_believe_a_later_snapshot(
    ledger: PostgresLedger, tamper: Callable[[str], None], events: list[Event]
) -> None:
    await remembered(ledger, events, 60)
    tamper("DELETE FROM event WHERE seq > 50")
    cut, desk = started(ledger)
    assert (cut, written(desk)) == (0, written(Desk.of(events[:50])))


async def test_the_tail_is_checked_against_the_entry_of_the_snapshot(
    ledger: PostgresLedger, tamper: Callable[[str], None], events: list[Event]
) -> None:
    await remembered(ledger, events, 60)
    tamper("UPDATE event SET prev_hash = sha256('x') WHERE seq = 61")
    with pytest.raises(LedgerCorrupt) as caught:
        started(ledger)
    assert caught.value.data["seq"] == 61


async def test_an_edited_body_at_the_cut_is_found(
    ledger: PostgresLedger, tamper: Callable[[str], None], events: list[Event]
) -> None:
    await remembered(ledger, events, 60)
    tamper("UPDATE event SET body = body || ' ' WHERE seq = 60")
    with pytest.raises(LedgerCorrupt) as caught:
        started(ledger)
    assert caught.value.data["seq"] == 60


async def test_a_snapshot_that_cannot_be_kept_is_a_warning(
    ledger: PostgresLedger, url: str, events: list[Event]
) -> None:
    whole = await remembered(ledger, events)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("ALTER TABLE snapshot RENAME TO elsewhere")
    with capture_logs() as told:
        ledger.remember(Desk.of(events), len(events))
    assert [entry["log_level"] for entry in told] == ["warning"]
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("ALTER TABLE elsewhere RENAME TO snapshot")
    cut, desk = started(ledger)
    assert (cut, written(desk)) == (0, whole)


async def test_the_entries_stay_append_only_beside_the_snapshots(
    ledger: PostgresLedger, url: str, events: list[Event]
) -> None:
    await remembered(ledger, events, 60)
    with psycopg.connect(url) as session, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        session.execute("DELETE FROM event")


# -- the code that folds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["domain/desk.py", "domain/new.py", "store/codec.py", "store/columns.py", "store/snapshot.py"]
)
def test_another_byte_in_the_code_that_folds_is_another_digest(tmp_path: Path, name: str) -> None:
    for file in (
        "domain/desk.py",
        "domain/order.py",
        "store/codec.py",
        "store/columns.py",
        "store/snapshot.py",
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("one = 1\n")
    before = snapshots.digest(tmp_path)
    assert snapshots.digest(tmp_path) == before
    (tmp_path / name).write_text("one = 2\n")
    assert snapshots.digest(tmp_path) != before


@pytest.mark.parametrize("missing", ["domain/desk.py", "store/codec.py"])
def test_without_all_of_its_sources_code_has_no_digest(tmp_path: Path, missing: str) -> None:
    for file in {"domain/desk.py", "store/codec.py", "store/columns.py", "store/snapshot.py"} - {missing}:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("one = 1\n")
    assert snapshots.digest(tmp_path) == b""


def test_the_digest_is_of_this_package() -> None:
    root = Path(snapshots.__file__).parents[1]
    assert (root / "domain" / "desk.py").is_file()
    assert snapshots.digest(root) == snapshots.CODE
