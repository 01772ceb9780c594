"""A desk that sells everything before it stops sells what is entered meanwhile, too, and waits for it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.config import OrderSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.market import Book, Level
from mexclab.domain.reports import BookSeen
from mexclab.domain.snipe import SnipeState
from mexclab.trading import stopping
from tests.trading.truth_scene import ABC, Desks


async def under_way(on_stop: str) -> tuple[Desks, str]:
    """A desk that is told to stop while its entry is under way."""
    scene = Desks()
    scene.rules = replace(scene.rules, orders=OrderSettings.model_validate({"on_stop": on_stop}))
    scene.engine = scene._process()
    await scene.start()
    client_id = await scene.bought()
    await stopping.stop(scene.engine, "asked to by SIGTERM")
    return scene, client_id


async def see(scene: Desks) -> None:
    levels = (Level(Decimal("0.89"), Decimal(99)),), (Level(Decimal("0.9"), Decimal(99)),)
    await scene.engine.on([BookSeen(Book(ABC, *levels, scene.clock.now_ns()))])


async def test_an_entry_that_was_under_way_at_the_stop_is_sold_before_the_end() -> None:
    scene, client_id = await under_way("flatten")
    assert not scene.engine.is_at_rest
    await see(scene)
    await scene.engine.on(scene.venue.take(client_id))
    assert not scene.engine.is_at_rest  # taken, and its end is not told: it may have bought
    await scene.engine.on(scene.venue.trade(client_id, Decimal(40), Decimal("0.9")))
    assert (scene.desk.snipes["s-1"].state, scene.desk.snipes["s-1"].exit_why) == (
        SnipeState.EXITING,
        "flatten",
    )
    (sale,) = scene.desk.exits("s-1")
    assert (sale.leg, sale.quantity) == ("x", 40)
    assert not scene.engine.is_at_rest
    await scene.engine.on(scene.venue.trade(sale.client_id, Decimal(40), Decimal("0.89")))
    assert (scene.desk.snipes["s-1"].state, scene.engine.is_at_rest) == (SnipeState.CLOSED, True)


@pytest.mark.parametrize("seconds", [0, 3])
async def test_a_desk_that_keeps_its_positions_offers_what_was_entered_meanwhile(seconds: int) -> None:
    scene, client_id = await under_way("keep")
    scene.clock.move_to(scene.clock.now_ns() + seconds * SECOND)
    told = scene.venue.take(client_id)
    told += scene.venue.trade(client_id, Decimal(40), Decimal("0.9"))
    await scene.engine.on(told)
    assert scene.desk.snipes["s-1"].state is SnipeState.ENTERED
    assert {order.leg for order in scene.desk.exits("s-1")} == {"t1", "t2", "t3", "t4"}
    assert not [event for _, event in scene.ledger.read() if isinstance(event, e.ExitDecided)]
