"""A sample of the crash matrix (``make crash`` runs it whole): the meanest moments, and one by chance."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.conftest import SEED_VARIABLE
from tests.crash import matrix
from tests.crash.life import Death

MEANEST = {
    "the order is durable and has not left": Death("trading.shots.load#* engine.record(...):after@firing"),
    "it has left and nothing says so": Death("trading.shots.release#* engine.record(...):before@firing"),
    "the venue took it and nobody wrote that down": Death(
        "trading.engine.Engine.book#* self.record(...):before@OrderAccepted(b)"
    ),
    "a fill is durable and not folded": Death(
        "trading.engine.Engine.record#* self.parts.ledger.append(...):after@OrderFilled(b)"
    ),
    "the second rung is on its way to the disk": Death(
        "store.ledger.PostgresLedger.append#* asyncio.shield(...):handed@OrderDecided(t)+OrderSent(t)", turn=2
    ),
    "leaving is decided and nothing was cancelled": Death(
        "trading.leaving.take#* engine.record(...):after@exiting"
    ),
    "the second cancel is durable and was not sent": Death(
        "trading.engine.Engine.cancel#* self.record(...):after@exiting", turn=2
    ),
    "the sale that compensates an entry is durable and has not left": Death(
        "trading.engine.Engine.record#* *append(...):after@OrderDecided(x)+SagaStepped*", "handled"
    ),
    "the exit is durable and has not left, on an embedded Postgres": Death(
        "trading.engine.Engine.send#* self.record(...):after@exiting", "embedded"
    ),
}
BY_CHANCE = 1
AGAIN = 3  # a busy machine may sleep over an opening, and with it over the moment: it is lived once more
PASSES = 900  # points that every life passes at least, one after the other


@pytest.mark.slow
def test_a_desk_killed_at_its_meanest_moments_holds_what_the_venue_holds() -> None:
    coin = random.Random(int(os.environ[SEED_VARIABLE]))
    deaths = [*MEANEST.values(), *(Death("*", turn=coin.randint(1, PASSES)) for _ in range(BY_CHANCE))]
    began = time.monotonic()
    with matrix.databases() as up:
        outcomes = matrix.carried_out(up, deaths)
        for _ in range(AGAIN):
            slept_over = [each.death for each in outcomes if not (each.died_at or each.wrong)]
            if not slept_over:
                break
            outcomes = [each for each in outcomes if each.died_at or each.wrong]
            outcomes += matrix.carried_out(up, slept_over)
    report = f"{matrix.table(outcomes)}\n{matrix.total(outcomes, time.monotonic() - began)}"
    assert not any(outcome.wrong for outcome in outcomes), "\n".join([*matrix.failures(outcomes), report])
    # a moment that is never reached proves nothing
    assert all(outcome.died_at for outcome in outcomes), report
