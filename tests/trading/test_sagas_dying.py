"""Sagas of snipes when the process dies: at any append, and with a ledger of an older version."""

from __future__ import annotations

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.snipe import SnipeState
from mexclab.errors import LedgerUnavailable
from mexclab.trading import handling
from tests.saga_truth import wrong
from tests.trading.saga_scene import LATE, Mortal, batches_of, lived, mortal, venue_of
from tests.trading.test_sagas import COMPLETED, bought, written
from tests.trading.truth_scene import ABC, Desks


async def _flattened(scene: Desks) -> None:
    snipe = scene.desk.snipes.get("s-1")
    if snipe is not None and snipe.state is SnipeState.ENTERED:
        await handling.flatten_one(scene.engine, "s-1", "ada", "enough")


LIVES: dict[str, dict[str, object]] = {
    "by plan": {},
    "nobody sells": {"sells": False},
    "unprotected": {"bid": None, "offers": False},
    "flattened": {},
}


TEDIOUS = {"unprotected"}  # the same prices are asked for again and again: every second append, by the seed


async def _live(scene: Desks, name: str) -> None:
    """One life up to its end, from wherever the ledger stands."""
    if name == "flattened":
        if "s-1" not in scene.desk.snipes:
            await lived(scene, 2 * SECOND)
        await _flattened(scene)
    elif name == "unprotected" and "s-1" not in scene.desk.snipes:
        await lived(scene, 25 * SECOND)
    venue_of(scene).bid = LATE
    await lived(scene, 40 * SECOND)


def _at(name: str) -> Desks:
    scene = mortal()
    for attribute, value in LIVES[name].items():
        setattr(scene.venue, attribute, value)
    return scene


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("durable", [True, False])
async def test_a_process_that_dies_at_any_append_leaves_a_saga_that_ends(
    name: str, durable: bool, seed: int
) -> None:
    whole = _at(name)
    await whole.start()
    begun = len(batches_of(whole))
    await _live(whole, name)
    assert whole.desk.snipes["s-1"].state.is_over
    assert wrong(batches_of(whole)) == []
    # from the append before the first one that a saga is in
    first = next(
        n for n, batch in enumerate(batches_of(whole)) if any(isinstance(v, e.SagaBegun) for v in batch)
    )
    deaths = 0
    numbers = range(first - begun, len(batches_of(whole)) - begun + 1)
    if name in TEDIOUS:
        numbers = numbers[seed % 2 :: 2]
    for number in numbers:
        scene = _at(name)
        await scene.start()
        assert isinstance(scene.ledger, Mortal)
        scene.ledger.dies_at, scene.ledger.durable = number, durable
        try:
            await _live(scene, name)
        except LedgerUnavailable:
            deaths += 1
            await scene.restart()
            await _live(scene, name)
        assert scene.desk.snipes["s-1"].state.is_over, number
        assert scene.desk.sagas == {}
        assert wrong(batches_of(scene)) == [], number
        await scene.agrees()
    assert deaths > 5


def _without_sagas(scene: Desks) -> list[e.Event]:
    sagas = e.SagaBegun | e.SagaStepped | e.SagaEnded
    return [event for _, event in scene.ledger.read() if not isinstance(event, sagas)]


async def test_a_ledger_of_an_older_version_gets_its_sagas_at_the_start() -> None:
    scene = await bought(offers=False)
    older = _without_sagas(scene)
    scene.ledger = Mortal()
    await scene.ledger.append(*older)
    await scene.restart()
    assert list(scene.desk.sagas) == ["s-1"]
    await scene.run(MINUTE)
    assert written(scene.ledger) == COMPLETED


@pytest.mark.parametrize(("reason", "ending"), [("time", "completed"), ("flatten", "compensated")])
async def test_an_older_ledger_that_was_selling_goes_on_as_it_had_decided(reason: str, ending: str) -> None:
    scene = await bought(offers=False)
    older = _without_sagas(scene)
    scene.ledger = Mortal()
    await scene.ledger.append(*older, e.ExitDecided(scene.clock.now_ns(), "s-1", reason, "before"))
    await scene.restart()
    await scene.run(10 * SECOND)
    assert scene.desk.held(ABC) == 0
    assert written(scene.ledger)[-1] == ending
