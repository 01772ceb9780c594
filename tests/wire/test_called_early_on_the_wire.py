"""A venue that says "not open yet" of an order that it has taken: what is bought, and what becomes of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.saga import Ending
from mexclab.domain.snipe import SnipeState
from mexclab.trading.sagas import COMPENSATED
from tests.wire.conftest import ORDERS, Wire, at_once

SWALLOWED: dict[str, Any] = {
    "name": "taken, and called too early",
    "fault": "refuse", "code": 10007, "msg": "symbol not support api", "handled": True,
    "path": ORDERS, "method": "POST",
}  # fmt: skip
NONE: dict[str, Any] = {"fault": "refuse", "code": -2013, "msg": "Order does not exist."}
ASKED: dict[str, Any] = {"path": ORDERS, "method": "GET"}
LATE: dict[str, Any] = {"fault": "delay", "channel": "*private*", "delay_ms": 1500, "count": 40}


def spent(wire: Wire) -> Decimal:
    return sum((fill.value for order in wire.entries for fill in order.fills), Decimal(0))


def one_by_one(wire: Wire, spacing_ms: int = 250) -> None:
    """Every attempt has a client id of its own, so that the venue cannot tell a doubled one."""
    once = wire.settings.venue.model_copy(update={"burst_attempts": 1})
    spaced = wire.settings.snipe.model_copy(update={"attempt_spacing_ms": spacing_ms})
    wire.settings = wire.settings.model_copy(update={"venue": once, "snipe": spaced})


async def its_word_is_held_against_the_order_itself(wire: Wire) -> None:
    one_by_one(wire)
    await wire.start()
    wire.plan({**SWALLOWED, "nth": 1}, LATE)
    await wire.is_managed()
    [taken] = wire.entries
    assert taken.fills
    assert not wire.told(e.OrderRejected), "what the venue has taken is never told as refused"
    assert len({each.client_id for each in wire.placed if each.client_id.endswith("-b-1")}) == 1
    assert 0 < spent(wire) <= wire.snipe.plan.budget_quote


async def a_silent_venue_leaves_its_fate_open_and_nothing_more_leaves(wire: Wire) -> None:
    await wire.start()
    silent = {"fault": "status", "status": 503, "count": 3, **ASKED}
    wire.plan({**SWALLOWED, "nth": 1}, silent, LATE)
    await wire.until(lambda: wire.told(e.OrderLost))
    assert "does not say whether it took it" in wire.told(e.OrderLost)[0].why
    assert wire.desk.frozen(wire.symbol)
    assert len(wire.entries) == 1
    await wire.is_managed()
    assert len(wire.entries) == 1
    assert 0 < spent(wire) <= wire.snipe.plan.budget_quote


async def its_own_stream_ends_the_burst(wire: Wire) -> None:
    await wire.start()
    wire.plan({**SWALLOWED, "nth": 1}, {**NONE, **ASKED, "count": 3})
    await wire.is_managed()
    assert len(wire.entries) == 1, "the private stream told of it before another attempt could leave"
    assert 0 < spent(wire) <= wire.snipe.plan.budget_quote


async def a_doubled_id_is_refused_and_asked_for(wire: Wire) -> None:
    await wire.start()
    wire.plan({**SWALLOWED, "nth": 1}, {**NONE, **ASKED, "count": 1}, LATE)
    await wire.is_managed()
    assert len(wire.entries) == 1
    assert "has an order of this id already" in wire.told(e.OrderLost)[0].why
    assert 0 < spent(wire) <= wire.snipe.plan.budget_quote


async def test_an_order_that_was_called_too_early_and_taken_is_bought_once() -> None:
    each = (
        its_word_is_held_against_the_order_itself,
        a_silent_venue_leaves_its_fate_open_and_nothing_more_leaves,
        its_own_stream_ends_the_burst,
        a_doubled_id_is_refused_and_asked_for,
    )
    await at_once({scenario.__name__: scenario for scenario in each})


async def test_a_venue_that_lies_twice_and_tells_late_sells_two_attempts_and_all_is_sold_back(
    wire: Wire,
) -> None:
    """The worst case: refused but taken, denied when asked, told of when another attempt has left."""
    one_by_one(wire)
    await wire.start()
    wire.plan({**SWALLOWED, "nth": 1}, {**NONE, **ASKED, "count": 1}, LATE)
    await wire.until(lambda: wire.state is SnipeState.CLOSED)
    budget = wire.snipe.plan.budget_quote
    assert len(wire.entries) == 2, "the first word of the doubled purchase ends the burst"
    assert budget < spent(wire) <= 2 * budget
    assert wire.snipe.exit_why == COMPENSATED
    [ended] = [event for event in wire.told(e.SagaEnded) if event.saga_id == wire.snipe.snipe_id]
    assert ended.outcome == Ending.COMPENSATED
    assert any("is sold back: the entry cost" in text for text in wire.alerts())
    assert wire.desk.held(wire.symbol) < sum((o.filled for o in wire.entries), Decimal(0)) / 50
    await wire.agrees()


async def test_an_attempt_that_waits_for_its_turn_stays_when_an_earlier_one_turns_out_to_have_bought(
    wire: Wire,
) -> None:
    one_by_one(wire, spacing_ms=5_000)
    await wire.start()
    wire.plan({**SWALLOWED, "nth": 1}, {**NONE, **ASKED, "count": 1}, LATE)
    await wire.is_managed()
    assert 0 < spent(wire) <= wire.snipe.plan.budget_quote
    assert sum(bool(order.fills) for order in wire.entries) == 1
    await wire.agrees()
