"""A desk for the limits: an entry into ABC, perhaps with XYZ held already, and a world that allows it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.trading.risk import Facts, Intent, review

ABC, XYZ = Symbol("ABC"), Symbol("XYZ")
NOW = 20_600 * DAY + 12 * HOUR
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.15"), HOUR)


def plan(snipe_id: str = "abc-1", symbol: Symbol = ABC, **changes: object) -> Plan:
    base = Plan(snipe_id, snipe_id, symbol, Decimal(50), Decimal(2), NOW, NOW + MINUTE, EXIT, Decimal("0.9"))
    return replace(base, **changes)  # type: ignore[arg-type]


def entry(of: Plan, quantity: str = "20", price: str = "2", attempt: int = 1) -> Order:
    client_id = f"{of.snipe_id}-b-{attempt}"
    kind = OrderType.IMMEDIATE_OR_CANCEL
    return Order(
        client_id,
        of.symbol,
        Side.BUY,
        kind,
        Decimal(quantity),
        Decimal(price),
        of.snipe_id,
        "b",
        decided_ns=NOW,
    )


def facts(**changes: object) -> Facts:
    good = Facts(NOW, ClockReading(0, 0, NOW), Decimal(1000), None, {}, Decimal("0.0005"))
    return replace(good, **changes)  # type: ignore[arg-type]


def funded() -> Desk:
    desk = Desk()
    desk.fold(e.DaemonStarted(NOW, "paper", "paper", "test", Decimal(1000)))
    return desk


def holding(symbol: Symbol, quantity: str, price: str, snipe_id: str = "held-1") -> Desk:
    """A desk that has bought something."""
    desk = funded()
    held = plan(snipe_id, symbol)
    order = entry(held, quantity, price)
    fill = Fill(
        "T1", order.client_id, symbol, Side.BUY, Decimal(price), Decimal(quantity), Decimal(0), "USDT", NOW
    )
    happened = [
        e.SnipePlanned(NOW, held),
        *(
            e.SnipeMoved(NOW, snipe_id, to)
            for to in (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING)
        ),
        e.OrderDecided(NOW - HOUR, replace(order, decided_ns=NOW - HOUR)),
        e.OrderSent(NOW - HOUR, order.client_id),
        e.OrderFilled(NOW - HOUR, fill),
        e.SnipeMoved(NOW, snipe_id, SnipeState.ENTERED),
    ]
    for event in happened:
        desk.fold(event)
    return desk


def broken(desk: Desk, intent: Intent, limits: LimitSettings, known: Facts) -> set[str]:
    verdict = review(intent, desk, limits, known)
    assert all(breach.value and breach.bound and breach.why for breach in verdict.breaches)
    return {breach.limit for breach in verdict.breaches}


WIDE = LimitSettings(
    total_exposure_quote=Decimal(500),
    cluster_quote=Decimal(500),
    value_at_risk_quote=Decimal(500),
    expected_shortfall_quote=Decimal(500),
    concentration=Decimal(1),
)
