"""Orders over the wire: bought once, whatever becomes of the answers."""

from __future__ import annotations

from functools import partial
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.snipe import SnipeState
from mexclab.trading import safety
from tests.wire.conftest import ORDERS, Wire, at_once

POST = {"path": ORDERS, "method": "POST"}


async def test_a_listing_is_bought_at_its_opening_and_its_ladder_rests(wire: Wire) -> None:
    await wire.start()
    await wire.is_managed()
    [first, *_] = wire.entries
    fired = wire.told(e.Fired)[0]
    assert fired.scheduled_ns == wire.snipe.plan.not_before_ns
    assert fired.lateness_ns >= 0
    assert first.left_ns is not None
    assert all(order.venue_id for order in wire.desk.orders.values() if order.fills)
    assert wire.told(e.ShotTimed)
    assert not wire.alerts()


async def test_a_position_that_is_flattened_leaves_nothing_behind(wire: Wire) -> None:
    await wire.start()
    await wire.is_managed()
    await safety.flatten(wire.engine, "ada", "out")
    await wire.until(lambda: wire.state is SnipeState.CLOSED)
    await wire.agrees()
    assert not wire.world.matcher.open_orders("paper")


LOST: dict[str, dict[str, Any]] = {
    "swallowed": {"fault": "lose_reply"},
    "truncated": {"fault": "truncated_json"},
    "a page for people": {"fault": "html", "handled": True},
    "a 502 after the fact": {"fault": "status", "status": 502, "handled": True},
    "wrong types": {"fault": "wrong_types"},
}


async def test_an_entry_whose_answer_says_nothing_is_asked_for_and_never_sent_again() -> None:
    async def scenario(wire: Wire, how: str) -> None:
        await wire.start()
        wire.plan({**POST, **LOST[how], "nth": 1})
        await wire.is_managed()
        assert wire.server.faults.counts.total() == 1
        assert [p.client_id for p in wire.placed].count(wire.entries[0].client_id) == 1
        assert len(wire.entries) == 1

    await at_once({how: partial(scenario, how=how) for how in LOST})


async def never_arrived(wire: Wire) -> None:
    await wire.start()
    wire.plan({**POST, "fault": "drop", "nth": 1})
    await wire.until(lambda: wire.told(e.OrderLost))
    assert any("unknown fate" in text for text in wire.alerts())
    lost = wire.entries[0]
    await wire.until(lambda: not wire.desk.unknown_orders())
    ended = next(event for event in wire.told(e.OrderCanceled) if event.client_id == lost.client_id)
    assert ended.why == "the venue never took it"
    assert lost.sent_ns is not None
    assert ended.at_ns - lost.sent_ns > 7_000_000_000
    await wire.agrees()


ODD: dict[str, dict[str, Any]] = {
    "the answer comes twice": {"fault": "duplicate_reply"},
    "the request arrives twice": {"fault": "duplicate_request"},
    "the fills overtake the answer": {"fault": "reorder", "delay_ms": 700},
    "the answer drips": {"fault": "slow_reply", "delay_ms": 700},
}


async def test_an_answer_that_is_doubled_or_late_buys_and_sells_once_and_a_lost_request_is_given_up() -> None:
    """It is given up only when it can no longer arrive."""

    async def scenario(wire: Wire, how: str) -> None:
        await wire.start()
        wire.plan({**POST, **ODD[how]})
        await wire.is_managed()
        assert len(wire.entries) == 1
        await safety.flatten(wire.engine, "ada", "out")
        await wire.until(lambda: wire.state is SnipeState.CLOSED)
        await wire.agrees()

    odd = {how: partial(scenario, how=how) for how in ODD}
    await at_once({**odd, "the request never arrives": never_arrived})


async def test_an_exit_whose_answer_is_lost_is_asked_for_and_never_sent_again(wire: Wire) -> None:
    await wire.start()
    wire.plan({**POST, "fault": "lose_reply", "nth": [2, 3, 5]})
    await wire.is_managed()
    await safety.flatten(wire.engine, "ada", "out")
    await wire.until(lambda: wire.state is SnipeState.CLOSED)
    await wire.agrees()
