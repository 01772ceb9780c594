"""Openings over the wire: late for orders by API, moved at the last moment, on a clock that is wrong."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.order import OrderState
from mexclab.domain.snipe import SnipeState
from mexclab.trading import safety
from mexclab.trading.entries import NOT_OPEN_YET
from tests.wire.conftest import ORDERS, Wire, at_once

POST = {"path": ORDERS, "method": "POST"}


def codes(wire: Wire) -> set[int]:
    return {event.code for event in wire.told(e.OrderRejected)}


async def test_an_opening_that_takes_no_orders_by_api_at_first_is_tried_again_until_it_does(
    wire: Wire,
) -> None:
    await wire.start()
    wire.plan(act=[{"act": "forbid_api", "symbol": str(wire.symbol), "open_s": 0, "for_s": 0.9}])
    await wire.is_managed()
    assert codes(wire) <= NOT_OPEN_YET
    assert codes(wire)
    assert len(wire.entries) > 1
    timed = wire.told(e.ShotTimed)
    assert timed[0].transmissions > 1
    [taken] = [order for order in wire.entries if order.fills]
    assert taken.left_ns is not None
    assert min(fill.at_ns for fill in taken.fills) >= wire.snipe.plan.not_before_ns + 900 * MILLISECOND


async def test_a_halt_ends_a_burst_at_once_even_while_the_ledger_is_stuck(wire: Wire) -> None:
    slow = wire.settings.venue.model_copy(update={"burst_attempts": 12, "burst_spacing_ms": 120})
    wire.settings = wire.settings.model_copy(update={"venue": slow})
    await wire.start()
    wire.plan(act=[{"act": "forbid_api", "symbol": str(wire.symbol), "open_s": 0, "for_s": 5.0}])
    await wire.until(lambda: wire.server.orders_received > 0)
    async with wire.engine.gate:  # as it is held while an append does not end
        began = wire.server.orders_received
        halting = asyncio.create_task(safety.halt(wire.engine, "ada", "a drill"))
        await asyncio.sleep(0.2)
        received = wire.server.orders_received
        assert received <= began + 1  # one was perhaps on its way already
        await asyncio.sleep(0.8)
        assert wire.server.orders_received == received
    await halting
    await wire.until(lambda: wire.state is not None and wire.state.is_over)
    assert not wire.engine.desk.unknown_orders()
    await wire.agrees()


async def test_a_refusal_that_is_no_word_about_the_opening_ends_the_snipe_after_one_order() -> None:
    async def scenario(wire: Wire, rule: dict[str, Any], code: int) -> None:
        await wire.start()
        wire.plan({**POST, **rule})
        await wire.until(lambda: wire.state is SnipeState.ABORTED)
        assert wire.snipe.reason == "rejected_by_venue"
        assert codes(wire) == {code}
        assert wire.server.faults.counts.total() == 1
        wire.plan()
        await wire.agrees()

    refusals = {code: {"fault": "refuse", "code": code, "msg": "no"} for code in (30005, 10101, -1121)}
    refusals[429] = {"fault": "status", "status": 429, "retry_after_s": 3}
    await at_once({str(c): partial(scenario, rule=rule, code=c) for c, rule in refusals.items()})


async def test_a_clock_that_is_wrong_before_the_check_lets_nothing_out(wire: Wire) -> None:
    wire.plan(clock={"shift_ms": -5000.0})
    await wire.start()
    await wire.until(lambda: wire.state is not None and wire.state.is_over)
    assert (wire.state, wire.snipe.reason) == (SnipeState.ABORTED, "clock_offset_ms")
    assert "clock" in wire.snipe.why
    assert wire.server.orders_received == 0
    await wire.agrees()


async def test_a_clock_that_steps_after_the_check_buys_nothing_and_the_reason_is_kept() -> None:
    async def scenario(wire: Wire, shift_ms: float) -> None:
        await wire.start()
        await wire.until(lambda: wire.state is SnipeState.ARMED)
        wire.plan(clock={"shift_ms": shift_ms})
        await wire.until(lambda: wire.state is not None and wire.state.is_over)
        assert wire.snipe.reason == "rejected_by_venue"
        assert "700003" in wire.snipe.why
        assert not wire.placed
        wire.plan()
        await wire.agrees()

    await at_once({f"{ms} ms": partial(scenario, shift_ms=ms) for ms in (5500.0, -5500.0)})


async def postponed_in_time(wire: Wire) -> None:
    before = wire.world.terms.start_ns + 5 * SECOND
    wire.world.postpone(wire.symbol, before)
    await wire.start()
    await wire.until(lambda: wire.state is SnipeState.ARMED)
    wire.world.postpone(wire.symbol, before + 2 * SECOND)
    await wire.is_managed()
    assert [event.to_ns - event.from_ns for event in wire.told(e.OpeningMoved)] == [2 * SECOND]
    assert wire.snipe.plan.not_before_ns == before + 2 * SECOND
    assert min(order.left_ns or 0 for order in wire.entries) >= before + 2 * SECOND


async def postponed_behind_our_back(wire: Wire) -> None:
    await wire.start()
    await wire.until(lambda: wire.entries)
    opening = wire.snipe.plan.not_before_ns
    wire.world.postpone(wire.symbol, opening + 3600 * SECOND)
    await wire.until(lambda: wire.state is not SnipeState.FIRING)
    assert codes(wire) <= NOT_OPEN_YET
    assert codes(wire)
    assert not wire.placed
    assert all(order.state is OrderState.REJECTED for order in wire.entries)
    await wire.agrees()


async def test_a_postponed_opening_is_bought_when_it_opens_and_never_before() -> None:
    scenarios = (postponed_in_time, postponed_behind_our_back)
    await at_once({scenario.__name__: scenario for scenario in scenarios})


async def test_without_the_web_the_official_sources_lead_to_the_same_entry(wire: Wire) -> None:
    pages: list[dict[str, Any]] = [
        {"fault": "html", "status": 403, "path": path} for path in ("/api/operat*", "/api/platform/*")
    ]
    wire.plan(*pages)
    await wire.start()
    await wire.is_managed()
    degraded = {event.source for event in wire.told(e.SourceChanged) if event.degraded}
    assert "listings: the calendar of new coins" in degraded
    assert "listings: the web's symbol table" in degraded
    assert any(not each.ok for each in wire.venue.condition())


async def test_a_shot_is_not_late_because_a_question_was_due_before_it(wire: Wire) -> None:
    await wire.start()
    await wire.until(lambda: wire.state is SnipeState.ARMED)
    wire.plan({"fault": "delay", "path": "/api/v3/time", "delay_ms": 800})
    wire.engine._clock_at = wire.snipe.plan.not_before_ns - 300 * MILLISECOND
    await wire.until(lambda: wire.told(e.Fired))
    assert wire.told(e.Fired)[0].lateness_ns < 100 * MILLISECOND
    await wire.is_managed()


async def test_a_venue_that_does_not_answer_the_checks_ends_the_snipe_and_holds_nobody_up(wire: Wire) -> None:
    await wire.start()
    await wire.until(lambda: wire.state is not None)
    wire.plan({"path": "/api/v3/account", "fault": "delay", "delay_ms": 30_000})
    await wire.until(lambda: wire.state is not None and wire.state.is_over)
    assert wire.snipe.reason == "venue_unavailable"
    assert wire.server.orders_received == 0
