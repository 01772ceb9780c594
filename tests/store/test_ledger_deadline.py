"""The ledger's deadline: a database that does not answer in time fails it, a slow one does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import psycopg
import pytest

from mexclab.errors import LedgerUnavailable
from mexclab.store import pen
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres
from tests.patient import patient_loop
from tests.store.test_ledger import halted


@pytest.fixture
async def minutes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Lets minutes of the pen's time pass in a moment of ours; else it passes as the loop's does."""
    loop = patient_loop()
    monkeypatch.setattr(pen, "time", SimpleNamespace(monotonic=loop.time))

    async def pass_by(count: float) -> None:
        await asyncio.sleep(0.05)
        loop.skip(60 * count)
        await asyncio.sleep(0.05)

    return pass_by


async def test_a_server_that_does_not_answer_fails_the_ledger_at_the_deadline(
    postgres: Postgres, url: str, minutes: Callable[[float], Awaitable[None]]
) -> None:
    ledger = PostgresLedger.open(postgres, deadline_s=600.0)
    with psycopg.connect(url) as blocker:
        blocker.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
        asked = asyncio.ensure_future(ledger.append(halted(1)))
        await minutes(9)
        assert 540 < ledger.lag_s() < 600
        assert not asked.done()
        await minutes(1)
        with pytest.raises(LedgerUnavailable, match="did not answer"):
            await asked
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        await ledger.append(halted(2))


async def test_a_slow_answer_within_the_deadline_is_waited_for(
    postgres: Postgres, url: str, minutes: Callable[[float], Awaitable[None]]
) -> None:
    ledger = PostgresLedger.open(postgres, deadline_s=600.0)
    for number in (1, 2):  # the second one outlives the timer that the first one set
        with psycopg.connect(url) as blocker:
            blocker.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.ensure_future(ledger.append(halted(number)))
            await minutes(6)
        assert await asked == number
    ledger.close()
