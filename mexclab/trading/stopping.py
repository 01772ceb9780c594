"""Stopping with grace: nothing new is entered, answers are waited for, positions are kept or sold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.order import OrderState
from mexclab.domain.snipe import SnipeState
from mexclab.trading import safety

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

_HOLDING = (SnipeState.ENTERED, SnipeState.EXITING)
_UNANSWERED = (OrderState.SENT, OrderState.CANCEL_SENT, OrderState.UNKNOWN)


async def stop(engine: Engine, why: str) -> None:
    """Begin to stop. A shot that is loaded stays here and its snipe stays armed, for a desk that starts
    again in time; take-profits rest on at the venue. ``orders.on_stop`` says what becomes of positions.
    """
    engine.stopping = True
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        for client_id in list(engine.shots):
            engine.drop_shot(client_id)
            snipe_id = engine.desk.orders[client_id].snipe_id
            words = "the desk was stopped before it left"
            await engine.record(
                e.OrderCanceled(now, client_id, words),
                e.SnipeMoved(now, snipe_id, SnipeState.ARMED, "stopped", words),
            )
    if engine.rules.orders.on_stop == "flatten":
        await safety.flatten(engine, "desk", why)
    engine.parts.feed.stir()


async def flatten_entered(engine: Engine, snipe_id: str) -> None:
    """Sell what is entered after the stop was asked for, if everything is to be sold first."""
    snipe = engine.desk.snipes[snipe_id]
    if engine.stopping and engine.rules.orders.on_stop == "flatten" and snipe.state is SnipeState.ENTERED:
        now, why = engine.parts.clock.now_ns(), "desk: it was entered while the desk stops"
        await engine.record(e.ExitDecided(now, snipe_id, "flatten", why))


def is_at_rest(engine: Engine) -> bool:
    """Whether nothing is on its way that a stop should wait for."""
    desk = engine.desk
    if any(order.state in _UNANSWERED or order.awaits_fills for order in desk.open_orders()):
        return False
    if engine.rules.orders.on_stop == "keep":
        return True
    return not any(s.state in _HOLDING or _may_enter(engine, s.snipe_id) for s in desk.live_snipes())


def _may_enter(engine: Engine, snipe_id: str) -> bool:
    """Whether more may come of an entry that has left."""
    return any(order.is_live for order in engine.desk.entries(snipe_id))
