"""An answer, and the verdict that the venue never took an order, are waited for from when its bytes left."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from mexclab.config import OrderSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side
from mexclab.domain.order import Order, OrderState, OrderType
from mexclab.store.memory import MemoryLedger
from mexclab.trading import execution
from mexclab.trading.execution import Answer
from tests.trading.truth_scene import ABC, OPENS, Desks

WAITS = OrderSettings()
DECIDED = OPENS - SECOND
ORDER = Order(
    "s-1-b-1", ABC, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, Decimal(40), Decimal(1), "s-1", "b",
    decided_ns=DECIDED,
)  # fmt: skip
SENT = (e.OrderDecided(DECIDED, ORDER), e.OrderSent(DECIDED, ORDER.client_id, OPENS))


def none_there(desk: Desk, asked_ns: int) -> list[e.Event]:
    """What "there is no such order" means, asked at that moment."""
    return execution.settle(desk.orders["s-1-b-1"], Answer(None, (), asked_ns), desk, asked_ns, WAITS)


def test_a_shot_that_left_late_is_given_up_late() -> None:
    left = OPENS + 8 * SECOND
    desk = Desk.of([*SENT, e.Fired(left, "s-1", "s-1-b-1", OPENS, 8 * SECOND)])
    order = desk.orders["s-1-b-1"]
    window = execution.RECV_WINDOW_NS + WAITS.grace_s * SECOND
    assert not execution.is_overdue(order, left + WAITS.in_flight_s * SECOND, WAITS)
    assert execution.is_overdue(order, left + WAITS.in_flight_s * SECOND + 1, WAITS)
    assert none_there(desk, OPENS + window + SECOND) == none_there(desk, left + window) == []
    (end,) = none_there(desk, left + window + 1)
    assert isinstance(end, e.OrderCanceled)
    assert end.why == "the venue never took it"


def test_a_shot_that_left_in_time_is_judged_from_its_instant() -> None:
    desk = Desk.of([*SENT, e.Fired(OPENS, "s-1", "s-1-b-1", OPENS, 0)])
    assert desk.orders["s-1-b-1"].gone_ns == OPENS
    assert replace(ORDER, sent_ns=None).gone_ns == DECIDED


class Lagging(MemoryLedger):
    """Takes so long for an append that is an order's."""

    scene: Desks
    lag_ns = 0

    async def append(self, *events: e.Event) -> int:
        if any(isinstance(event, e.OrderSent) for event in events):
            self.scene.clock.move_to(self.scene.clock.now_ns() + self.lag_ns)
        return await super().append(*events)


async def sold(lag_ns: int) -> tuple[Desks, Order]:
    """A position's first take-profit, written by a ledger that lags."""
    scene = Desks()
    scene.ledger = ledger = Lagging()
    ledger.scene = scene
    scene.engine = scene._process()
    await scene.start()
    client_id = await scene.bought()
    told = scene.venue.take(client_id)
    told += scene.venue.trade(client_id, Decimal(40), Decimal("0.9"))
    ledger.lag_ns = lag_ns
    await scene.engine.on(told)
    return scene, scene.desk.exits("s-1")[0]


async def test_an_exit_that_a_lagging_ledger_held_up_is_judged_from_when_it_left() -> None:
    scene, order = await sold(4 * SECOND)
    assert order.sent_ns is not None
    assert (order.state, order.gone_ns) == (OrderState.SENT, order.sent_ns + 4 * SECOND)
    in_time = order.gone_ns + WAITS.in_flight_s * SECOND
    assert not execution.is_overdue(order, in_time, WAITS)
    await scene.restart()
    assert scene.desk.orders[order.client_id].left_ns == order.left_ns


async def test_an_exit_that_left_at_once_costs_no_entry_of_its_own() -> None:
    scene, order = await sold(0)
    assert (order.left_ns, order.gone_ns) == (None, order.sent_ns)
    fired = [event for _, event in scene.ledger.read() if isinstance(event, e.Fired)]
    assert [event.client_id for event in fired] == ["s-1-b-1"]
