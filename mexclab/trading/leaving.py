"""Leaving: the steps that ``exits`` decides are carried out, written first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import span
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import VenueUnavailable
from mexclab.trading import exits, patience, sagas, stopping
from mexclab.trading.calm import calm

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def leave(engine: Engine, snipe_id: str) -> None:
    engine.calm.pop(snipe_id, None)
    await stopping.flatten_entered(engine, snipe_id)
    await sagas.guard(engine, snipe_id)
    for _ in range(3):  # leaving leads to cancelling leads to selling: three steps at most in one go
        snipe = engine.desk.snipes[snipe_id]
        try:
            market = await engine.market(snipe.plan.symbol)
        except VenueUnavailable:
            return  # asked again at the next news or poll; other snipes go on
        if snipe.state.is_over or market is None:
            patience.forget(engine, snipe_id)
            return
        now = engine.parts.clock.now_ns()
        book = engine.books.get(market.symbol)
        steps = exits.exit_steps(snipe, engine.desk, market, book, now)
        bid = exits.fresh_bid(book, now)
        found = calm(snipe, engine.desk, market, bid, engine.seq) if bid is not None and not steps else None
        if found is not None:
            engine.calm[snipe_id] = found
        steps = patience.patient(engine, snipe, market, steps, now)
        if all(isinstance(s, exits.Warn) and (snipe_id, s.key) in engine.warned for s in steps):
            return  # nothing to do, or nothing that has not been said
        for step in steps:
            await take(engine, snipe, step, now)


async def take(engine: Engine, snipe: Snipe, step: exits.Step, now: int) -> None:
    match step:
        case exits.Place(order=order):
            await engine.send(order)
        case exits.Cancel(client_id=client_id, why=why):
            await engine.cancel(engine.desk.orders[client_id], why)
        case exits.Leave(reason=reason, why=why):
            await engine.record(e.ExitDecided(now, snipe.snipe_id, reason, why))
        case exits.Raise(stop_price=stop, peak=peak, why=why):
            await engine.record(e.StopRaised(now, snipe.snipe_id, stop, peak, why))
        case exits.Warn(key=key, text=text):
            if (snipe.snipe_id, key) not in engine.warned:
                engine.warned.add((snipe.snipe_id, key))
                await engine.record(e.AlertRaised(now, "critical", text, snipe.snipe_id))
        case exits.Close(reason=reason, why=why):
            closed = e.SnipeMoved(now, snipe.snipe_id, SnipeState.CLOSED, reason, why)
            await engine.record(closed, *_left_behind(engine, snipe, now))


def _left_behind(engine: Engine, snipe: Snipe, now: int) -> list[e.Event]:
    """The alert of a close that leaves more than dust, at what it cost."""
    market = engine.known_market(snipe.plan.symbol)
    left = patience.meagre(snipe, engine.desk, market) if market is not None else None
    if left is None:
        return []
    entry, symbol = engine.desk.entry_price(snipe.snipe_id), snipe.plan.symbol
    text = (
        f"{left} {symbol.base} bought at {entry:.6g} are given up: for {span(patience.MEAGRE_NS)} nobody bid "
        "enough for the venue's least order. Nothing looks after them any more; sweep sells them once it can"
    )
    return [e.AlertRaised(now, "critical", text, snipe.snipe_id)]
