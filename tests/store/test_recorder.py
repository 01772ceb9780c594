from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mexclab.domain.listing import CalendarEntry, Sighting, SymbolState
from mexclab.errors import DataError, LedgerUnavailable
from mexclab.ports import Recorder
from mexclab.store.memory import MemoryRecorder
from mexclab.store.postgres import Postgres
from mexclab.store.recorder import PostgresRecorder

ENTRY = CalendarEntry("c1", "NEW", "New Coin", "zone", 1_000)
STATE = SymbolState("c1", "NEW", "USDT", 1, 2, 3, 1_000, 4, 2)


def seen(at_ns: int, fact: CalendarEntry | SymbolState = ENTRY, key: str = "c1") -> Sighting:
    return Sighting("calendar" if isinstance(fact, CalendarEntry) else "symbols", key, at_ns, fact)


@pytest.fixture(params=["postgres", "memory"])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    """Both recorders keep the same promises."""
    if request.param == "memory":
        return MemoryRecorder()
    return PostgresRecorder(request.getfixturevalue("postgres"))


async def test_a_fact_keeps_the_moment_when_it_was_first_seen(recorder: Recorder) -> None:
    await recorder.record([seen(1)])
    await recorder.record([seen(2), seen(3)])
    assert list(recorder.sightings()) == [seen(1)]


async def test_a_changed_fact_is_a_new_row_and_so_is_one_that_changes_back(recorder: Recorder) -> None:
    moved = replace(ENTRY, open_ns=2_000)
    await recorder.record([seen(1), seen(2, moved)])
    await recorder.record([seen(3, moved), seen(4), seen(5)])
    assert list(recorder.sightings()) == [seen(1), seen(2, moved), seen(4)]


async def test_sources_and_keys_have_histories_of_their_own(recorder: Recorder) -> None:
    rows = [seen(1), seen(2, STATE), seen(3, key="c2"), seen(4, replace(STATE, st=9), key="c2")]
    await recorder.record(rows)
    await recorder.record(rows)
    assert list(recorder.sightings()) == rows


async def test_the_order_is_that_of_being_seen_whatever_the_clock_said(recorder: Recorder) -> None:
    rows = [seen(9), seen(5, replace(ENTRY, zone="other"))]
    await recorder.record(rows)
    assert list(recorder.sightings()) == rows


async def test_nothing_seen_is_nothing_recorded(recorder: Recorder) -> None:
    await recorder.record([])
    assert list(recorder.sightings()) == []


async def test_another_process_goes_on_where_this_one_stopped(postgres: Postgres) -> None:
    await PostgresRecorder(postgres).record([seen(1)])
    again = PostgresRecorder(postgres)
    await again.record([seen(2), seen(3, replace(ENTRY, zone="other"))])
    assert list(again.sightings()) == [seen(1), seen(3, replace(ENTRY, zone="other"))]


async def test_two_recorders_at_once_write_one_history(postgres: Postgres) -> None:
    first, second = PostgresRecorder(postgres), PostgresRecorder(postgres)
    for number in range(20):
        changed = replace(ENTRY, open_ns=number)
        await asyncio.gather(first.record([seen(number, changed)]), second.record([seen(number, changed)]))
    assert list(first.sightings()) == [seen(number, replace(ENTRY, open_ns=number)) for number in range(20)]


async def test_names_from_a_hostile_venue_are_kept_as_they_are(recorder: Recorder) -> None:
    odd = replace(ENTRY, full_name="\0 ' \" \\u0000 💥")
    await recorder.record([seen(1, odd)])
    assert list(recorder.sightings()) == [seen(1, odd)]


@pytest.mark.parametrize(
    "row", [seen(2, key="a\0"), seen(2, replace(ENTRY, full_name="\ud800"))], ids=["key", "fact"]
)
async def test_what_cannot_be_kept_is_refused_with_all_that_came_with_it(
    postgres: Postgres, row: Sighting
) -> None:
    recorder = PostgresRecorder(postgres)
    with pytest.raises(DataError, match="cannot be recorded"):
        await recorder.record([seen(1), row])
    assert list(recorder.sightings()) == []
    await recorder.record([seen(3)])
    assert list(recorder.sightings()) == [seen(3)]


@pytest.mark.parametrize("statement", ["UPDATE sighting SET first_seen_ns = 0", "DELETE FROM sighting"])
async def test_the_database_itself_refuses_to_change_what_was_seen(
    postgres: Postgres, url: str, statement: str
) -> None:
    await PostgresRecorder(postgres).record([seen(1)])
    with psycopg.connect(url) as session, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        session.execute(statement)


async def test_a_lost_database_loses_no_fact(postgres: Postgres, tamper: Callable[[str], None]) -> None:
    recorder = PostgresRecorder(postgres)
    tamper("ALTER TABLE sighting RENAME TO elsewhere")
    with pytest.raises(LedgerUnavailable):
        await recorder.record([seen(1)])
    tamper("ALTER TABLE elsewhere RENAME TO sighting")
    await recorder.record([seen(2)])
    assert list(recorder.sightings()) == [seen(2)]


facts = st.builds(
    CalendarEntry, coin_id=st.just("c"), ticker=st.sampled_from("AB"), open_ns=st.integers(0, 1)
)
polls = st.lists(
    st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("kl"), facts), max_size=4), max_size=6
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(polls)
async def test_both_recorders_keep_the_same_rows(postgres: Postgres, polls: list[list[tuple]]) -> None:
    with postgres.engine.begin() as session:
        session.exec_driver_sql("SET LOCAL session_replication_role = replica")
        session.exec_driver_sql("TRUNCATE sighting")
    ours, twin = PostgresRecorder(postgres), MemoryRecorder()
    for at_ns, poll in enumerate(polls):
        rows = [Sighting(source, key, at_ns, fact) for source, key, fact in poll]
        await ours.record(rows)
        await twin.record(rows)
    assert list(ours.sightings()) == list(twin.sightings())
