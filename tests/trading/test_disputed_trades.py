"""A trade that the books cannot hold is disputed once; it is tried again, and said no more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MINUTE
from mexclab.domain.market import Side
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import Balances, Traded
from mexclab.trading import recovery, safety
from tests.trading.truth_scene import ABC, Desks, Truth


class Twice(Truth):
    """A venue that shows its first trade under another id, too; its balances know better."""

    again = "T1-again"

    async def balances(self) -> Balances:
        rows = list(self.rows.values())
        doubled = [(row, [fill for fill in row.fills if fill.trade_id == self.again]) for row in rows]
        for row, fills in doubled:
            row.fills = [fill for fill in row.fills if fill not in fills]
        told = await super().balances()
        for row, fills in doubled:
            row.fills += fills
        return told


async def doubled() -> Desks:
    scene = Desks(venue=Twice)
    await scene.start()
    client_id = await scene.bought()
    told = scene.venue.take(client_id)
    told += scene.venue.trade(client_id, scene.desk.orders[client_id].quantity, Decimal("0.9"))
    await scene.engine.on(told)
    for resting, row in list(scene.venue.rows.items()):
        if row.order.side == "SELL":
            await scene.engine.on(scene.venue.accepted(resting))
    row = scene.venue.rows[client_id]
    row.fills.append(replace(row.fills[0], trade_id=Twice.again))
    return scene


def told(scene: Desks, after: int = 0) -> list[e.Event]:
    kinds = (e.ReportDisputed, e.AlertRaised)
    return [event for _, event in scene.ledger.read(after) if isinstance(event, kinds)]


async def test_a_trade_that_cannot_be_booked_is_disputed_once_and_not_at_every_comparison() -> None:
    scene = await doubled()
    await scene.run(HOUR)
    disputed, alert = told(scene)
    assert isinstance(disputed, e.ReportDisputed)
    assert (disputed.symbol, disputed.trade_id) == (ABC, Twice.again)
    assert isinstance(alert, e.AlertRaised)
    assert alert.level == "critical"
    assert list(scene.desk.disputed_trades) == [Twice.again]


async def test_what_a_person_resumed_over_is_not_disputed_again_after_a_restart_either() -> None:
    scene = await doubled()
    await recovery.reconcile(scene.engine)
    await scene.engine.read_clock()
    await safety.resume(scene.engine, "ada", "looked at it")
    before = scene.ledger.last()
    await recovery.reconcile(scene.engine)
    assert scene.desk.disputed == {}
    await scene.restart()
    final = await recovery.reconcile(scene.engine)
    await scene.run(10 * MINUTE)
    assert (scene.desk.disputed, told(scene, before)) == ({}, [])
    assert (final.unknown_left, final.differences) == (0, ())


async def test_a_disputed_trade_is_booked_once_the_books_can_hold_it() -> None:
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    bought = scene.venue.take(client_id)
    bought += scene.venue.trade(client_id, Decimal(20), Decimal("0.9"))
    late = scene.venue.trade(client_id, Decimal(20), Decimal("0.9"))
    await scene.engine.on(bought)
    for row in list(scene.venue.rows.values()):
        if row.order.side == "SELL":
            await scene.engine.on(scene.venue.end(row.order.client_id))
    await safety.flatten(scene.engine, "ada", "out of it")
    now, size = scene.clock.now_ns(), (Decimal(21), Decimal("0.9"))
    order = Order("s-1-x-9", ABC, Side.SELL, OrderType.IMMEDIATE_OR_CANCEL, *size, "s-1", "x", decided_ns=now)
    await scene.engine.record(e.OrderDecided(now, order), e.OrderSent(now, order.client_id))
    quantity, price = size
    fill = Fill("S1", order.client_id, ABC, Side.SELL, price, quantity, Decimal(0), "USDT", now)
    await scene.engine.on([Traded(fill, now)])
    assert list(scene.desk.disputed_trades) == ["S1"]
    await scene.engine.on(late)  # the purchase that the sale was of
    await scene.engine.on([Traded(fill, now)])
    assert (scene.desk.disputed_trades, scene.desk.knows_trade("S1")) == ({}, True)
