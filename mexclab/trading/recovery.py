"""Starting is recovering: fold the ledger, ask the venue, reconcile, only then run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import DAY
from mexclab.domain.desk import Desk
from mexclab.domain.order import OrderState
from mexclab.errors import VenueUnavailable
from mexclab.trading import execution, truth
from mexclab.trading.engine import Engine

LOOK_BACK_NS = DAY  # how far back trades are asked for at a start


@dataclass(frozen=True, slots=True)
class Identity:
    """Who starts: written at the head of each run."""

    mode: str
    venue: str
    version: str


async def start(engine: Engine, identity: Identity) -> e.Reconciled:
    """Bring a fresh engine to where the ledger and the venue say it is.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
        VenueUnavailable: the venue does not answer; nothing may run on guesses.
    """
    async with engine.gate:
        for seq, event in engine.parts.ledger.read():
            engine.desk.fold(event)
            engine.seq = seq
        engine.halting = engine.desk.halt is not None
        engine.parts.radar.recover()
        engine.clock_reading = await engine.parts.venue.clock_reading()
        engine.balances = await engine.parts.exchange.balances()
        for snipe in engine.desk.live_snipes():
            engine.parts.feed.watch(snipe.plan.symbol)
            await engine.market(snipe.plan.symbol)
        now = engine.parts.clock.now_ns()
        quote = engine.balances.get(engine.rules.quote_asset)
        opening = quote.total if quote else Decimal(0)
        await engine.record(e.DaemonStarted(now, identity.mode, identity.venue, identity.version, opening))
        return await _reconcile(engine, settled_ns=now)


async def reconcile(engine: Engine) -> e.Reconciled:
    """Compare the ledger with the venue, on request or by schedule."""
    async with engine.gate:
        return await _reconcile(engine, settled_ns=engine.parts.clock.now_ns() - execution.IN_FLIGHT_NS)


async def _reconcile(engine: Engine, settled_ns: int) -> e.Reconciled:
    """``settled_ns``: an order sent before it should have been answered by now."""
    desk, now = engine.desk, engine.parts.clock.now_ns()
    trades_before = sum(len(order.fills) for order in desk.orders.values())
    touched = await _fetch_fills(engine, now)
    asked = list(desk.open_orders())
    for order in asked:
        released = order.sent_ns is not None and order.sent_ns <= now
        if order.state is OrderState.DECIDED or (order.state is OrderState.SENT and not released):
            if not engine.holds_shot(order.client_id):
                why = "the process stopped before it left"
                await engine.record(e.OrderCanceled(now, order.client_id, why))
            continue
        if order.state is OrderState.SENT and (order.sent_ns or 0) > settled_ns:
            continue  # its answer is on the way
        if order.state is OrderState.SENT:
            await engine.book(
                [e.OrderLost(now, order.client_id, "the process stopped before an answer came")]
            )
        answer = await truth.ask(engine, order)
        if answer is None:
            raise VenueUnavailable("the venue does not answer, so open orders cannot be reconciled")
        touched |= await engine.book(truth.told(engine, order.client_id, answer))
    await engine.act(touched)
    external = await _external(engine, now)
    unknown = len(desk.unknown_orders()) + len(desk.disputed) + len(await mismatches(engine))
    found = sum(len(order.fills) for order in desk.orders.values()) - trades_before
    report = e.Reconciled(now, len(asked), found, unknown, external)
    await engine.record(report)
    return report


async def _fetch_fills(engine: Engine, now: int) -> set[str]:
    """Trades of ours that no report brought, whatever their orders had come to; the snipes they touch.

    Raises:
        VenueUnavailable: the venue does not answer.
    """
    desk = engine.desk
    recent = [order for order in desk.orders.values() if order.decided_ns > now - LOOK_BACK_NS]
    touched: set[str] = set()
    for symbol in dict.fromkeys(order.symbol for order in recent):
        since = min(order.decided_ns for order in recent if order.symbol == symbol)
        for fill in await engine.parts.exchange.fills(symbol, since):
            if fill.client_id in desk.orders and not desk.knows_trade(fill.trade_id):
                touched |= await engine.book([e.OrderFilled(now, fill)])
    return touched


async def _external(engine: Engine, now: int) -> int:
    """Orders on the account that the ledger does not know: shown, never touched."""
    strangers = [
        o for o in await engine.parts.exchange.open_orders() if o.client_id not in engine.desk.orders
    ]
    for order in strangers:
        if order.venue_id not in engine.desk.external:
            seen = e.ExternalOrderSeen(
                now, order.venue_id, order.symbol, order.side, order.quantity, order.price
            )
            await engine.record(seen)
    return len(strangers)


async def mismatches(engine: Engine) -> list[str]:
    """Where the venue's balances differ from our positions, in sentences."""
    balances = await engine.parts.exchange.balances()
    return balance_mismatches(engine.desk, {asset: balance.total for asset, balance in balances.items()})


def balance_mismatches(desk: Desk, totals: dict[str, Decimal]) -> list[str]:
    """Pure comparison of positions with the account's totals, to the last digit."""
    sentences = []
    held = {
        symbol: desk.held(symbol) for symbol in dict.fromkeys(order.symbol for order in desk.orders.values())
    }
    for symbol, quantity in held.items():
        total = totals.get(symbol.base, Decimal(0))
        if total != quantity:
            sentences.append(f"{symbol.base}: the ledger holds {quantity}, the venue {total}")
    return sentences
