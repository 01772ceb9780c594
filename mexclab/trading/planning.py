"""From listings to plans, and plans that follow a moved opening."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import entries

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def look(engine: Engine, now: int) -> None:
    """Ask the listing sources (outside the gate: a slow one must not hold up a halt), then act on them."""
    radar = engine.parts.radar
    seen = await radar.ask(now)
    async with engine.gate:
        await engine.record(*await radar.take(seen, now, engine.desk))
        for listing in list(radar.board.listings.values()):
            for snipe in engine.desk.live_snipes():
                # compared by state, not by the news: an opening that moved while nobody listened counts too
                if snipe.plan.symbol == listing.symbol and snipe.plan.not_before_ns != listing.open_ns:
                    await _retime(engine, snipe, listing.open_ns, now)
    await _plan(engine, now)


async def _retime(engine: Engine, snipe: Snipe, open_ns: int, now: int) -> None:
    """Move a plan of which nothing has been bought; a shot that is loaded is taken back before it leaves."""
    orders = engine.desk.entries(snipe.snipe_id)
    loaded = [order for order in orders if engine.holds_shot(order.client_id)]
    away = [order for order in orders if order.is_live and order not in loaded]
    if not (snipe.state.is_waiting or snipe.state is SnipeState.FIRING):
        return
    if away or any(order.fills for order in orders):
        return
    happened: list[e.Event] = []
    for order in loaded:
        engine.drop_shot(order.client_id)
        happened.append(e.OrderCanceled(now, order.client_id, "postponed before it left"))
    if snipe.state is SnipeState.FIRING:
        why = "the opening was moved"
        happened.append(e.SnipeMoved(now, snipe.snipe_id, SnipeState.ARMED, "postponed", why))
    plan = snipe.plan.moved_to(open_ns)
    happened.append(e.SnipeRetimed(now, snipe.snipe_id, plan.not_before_ns, plan.deadline_ns))
    await engine.record(*happened)


async def _plan(engine: Engine, now: int) -> None:
    """Make a plan of every signal that has none and can have one by now."""
    openings = {listing.symbol: listing.open_ns for listing in engine.parts.radar.upcoming(now)}
    sniped = {snipe.plan.symbol for snipe in engine.desk.snipes.values()}
    for signal in list(engine.desk.signals.values()):
        if signal.symbol in sniped or signal.symbol not in openings:
            continue
        event: e.Event
        try:
            market = await engine.market(signal.symbol)
            reference = await engine.parts.venue.reference_price(signal.symbol)
            if market is None or reference is None:
                missing = "trading rules" if market is None else "reference price"
                raise DomainError(f"the venue shows no {missing} yet, and a plan needs a price cap")
            at_opening = replace(signal, open_ns=openings[signal.symbol])
            plan = engine.strategy.plan(at_opening, market, reference)
            entries.entry_order(plan, market, 1, now)
            event = e.SnipePlanned(now, plan)
        except (DomainError, VenueUnavailable) as error:
            if engine.desk.declined.get(signal.signal_id) == error.message:
                continue
            event = e.PlanDeclined(now, signal.signal_id, signal.symbol, error.message, error.message)
        async with engine.gate:
            await engine.record(event)
        if isinstance(event, e.SnipePlanned):
            sniped.add(signal.symbol)
            engine.parts.feed.watch(signal.symbol)
