"""The desk dies in the middle of its entry and starts again on the same ledger: one order, one position."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.order import OrderState
from mexclab.trading import safety
from tests.wire.conftest import ORDERS, Wire, at_once

POST = {"path": ORDERS, "method": "POST"}
DEATHS: dict[str, Callable[[Wire], object]] = {
    "as the shot was loaded": lambda wire: wire.entries,
    "as the shot had left": lambda wire: wire.told(e.Fired),
    "as the first trade was told": lambda wire: wire.bought,
    "as the ladder was sent": lambda wire: wire.exits,
}


async def test_a_desk_that_died_holds_what_the_venue_holds_after_its_restart() -> None:
    async def scenario(wire: Wire, dies: Callable[[Wire], object]) -> None:
        await wire.start()
        await wire.until(lambda: dies(wire))
        await wire.restart()
        await wire.is_managed()
        assert len([order for order in wire.entries if order.fills]) == 1

    await at_once({when: partial(scenario, dies=dies) for when, dies in DEATHS.items()})


LOST: dict[str, dict[str, Any]] = {
    "was never answered": {"fault": "lose_reply"},
    "is still on its way": {"fault": "delay", "delay_ms": 1500},
    "is still being answered": {"fault": "reorder", "delay_ms": 1500},
}


async def test_an_entry_that_outlives_its_desk_is_found_again() -> None:
    async def scenario(wire: Wire, how: str) -> None:
        await wire.start()
        silent = {"channel": "*private*", "fault": "drop", "between_s": [0, 3.5]}
        wire.plan({**POST, **LOST[how], "nth": 1}, silent)
        await wire.until(lambda: wire.told(e.Fired))
        await wire.restart()
        [order] = wire.entries
        await wire.is_managed()
        assert [entry.client_id for entry in wire.entries] == [order.client_id]
        assert wire.entries[0].state in (OrderState.FILLED, OrderState.CANCELED)

    await at_once({how: partial(scenario, how=how) for how in LOST})


async def test_a_desk_that_died_twice_in_its_exit_sells_once(wire: Wire) -> None:
    await wire.start()
    await wire.is_managed()
    await safety.flatten(wire.engine, "ada", "out")
    await wire.restart()
    await wire.restart()
    await wire.until(lambda: wire.state is not None and wire.state.is_over)
    await wire.agrees()
