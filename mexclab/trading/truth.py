"""Truth comes from the venue: orders of which an answer is missing are asked for, all others now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.order import Order, OrderState
from mexclab.errors import VenueUnavailable
from mexclab.trading import execution
from mexclab.trading.execution import Answer

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def settle_due(engine: Engine, now: int) -> None:
    """Ask for every order whose answer is overdue, and for all open ones once a minute."""
    waits = engine.rules.orders
    everyone = now >= engine.compared_ns + waits.open_poll_s * SECOND
    if everyone:
        engine.compared_ns = now
    for order in list(engine.desk.open_orders()):
        if engine.holds_shot(order.client_id):
            continue
        overdue = execution.is_overdue(order, now, waits)
        if overdue and order.state is OrderState.SENT:
            async with engine.gate:
                if engine.desk.orders[order.client_id].state is OrderState.SENT:
                    await engine.book([e.OrderLost(now, order.client_id, "no answer came")])
        if overdue or (everyone and order.state is not OrderState.SENT):
            await settle(engine, order.client_id)


async def settle(engine: Engine, client_id: str) -> bool:
    """Ask the venue about one order and write what it says; False when it did not say."""
    order = engine.desk.orders[client_id]
    answer = await ask(engine, order)
    if answer is None:
        return False
    async with engine.gate:
        touched = await engine.book(told(engine, client_id, answer))
        await engine.act(touched)
    return True


async def ask(engine: Engine, order: Order) -> Answer | None:
    """The venue's word on one order: the order, and its trades; None when the venue does not answer."""
    asked_ns = engine.parts.clock.now_ns()
    try:
        found = await engine.parts.exchange.order(order.client_id, order.symbol)
        trades = await engine.parts.exchange.fills(order.symbol, order.decided_ns)
    except VenueUnavailable as error:
        engine.failed(error)
        return None
    return Answer(found, tuple(fill for fill in trades if fill.client_id == order.client_id), asked_ns)


def told(engine: Engine, client_id: str, answer: Answer) -> list[e.Event]:
    """What the answer makes of the order as it stands now."""
    now = engine.parts.clock.now_ns()
    return execution.settle(engine.desk.orders[client_id], answer, engine.desk, now, engine.rules.orders)
