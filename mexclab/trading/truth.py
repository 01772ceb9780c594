"""Truth comes from the venue: orders of which an answer is missing are asked for, all others now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mexclab.domain import events as e
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import VenueOrder
from mexclab.errors import VenueUnavailable
from mexclab.trading import execution

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def settle_due(engine: Engine, now: int) -> None:
    """Ask for every order whose answer is overdue, and for all open ones once a minute."""
    everyone = now >= engine.compared_ns + execution.OPEN_POLL_NS
    if everyone:
        engine.compared_ns = now
    for order in list(engine.desk.open_orders()):
        if engine.holds_shot(order.client_id):
            continue
        overdue = execution.is_overdue(order, now)
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


Answer: TypeAlias = tuple[VenueOrder | None, list[Fill]]


async def ask(engine: Engine, order: Order) -> Answer | None:
    """The venue's word on one order: the order, and its trades; None when the venue does not answer."""
    try:
        found = await engine.parts.exchange.order(order.client_id, order.symbol)
        trades = await engine.parts.exchange.fills(order.symbol, order.decided_ns)
    except VenueUnavailable:
        return None
    return found, [fill for fill in trades if fill.client_id == order.client_id]


def told(engine: Engine, client_id: str, answer: Answer) -> list[e.Event]:
    """What the answer makes of the order as it stands now."""
    found, mine = answer
    now = engine.parts.clock.now_ns()
    return execution.settle(engine.desk.orders[client_id], found, mine, engine.desk, now)
