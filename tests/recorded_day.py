"""A day as a ledger tells it: a snipe postponed, fired, filled in two parts and stopped out; one refused."""

from __future__ import annotations

from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry, Sighting
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType, client_order_id
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Preflight, SnipeState

OPEN_NS = 20_600 * 24 * HOUR + 14 * HOUR  # 2026-05-27 14:00 UTC
SEEN_NS = OPEN_NS - 8 * HOUR
FIRST_OPEN_NS = OPEN_NS - HOUR
MARROW, OTTER = Symbol("MARROW"), Symbol("OTTER")
WON, REFUSED = "MARROW-1a2b3c4d", "OTTER-5e6f7a8b"
CAP = Decimal("1.20")


def recorded_day() -> list[e.Event]:
    """Every event of the day, in the order of the ledger."""
    start = e.DaemonStarted(SEEN_NS - 1, "paper", "paper venue", "0.1.0", Decimal(1000))
    return [start, *_announced(), *_refused(), *_fired(), *_left()]


def sightings() -> list[Sighting]:
    """What the recorder kept of the same day: the calendar's row, and the row that postponed it."""
    rows = [(SEEN_NS, FIRST_OPEN_NS), (OPEN_NS - 3 * HOUR, OPEN_NS)]
    return [
        Sighting("calendar", "c1", seen, CalendarEntry("c1", "MARROW", "Marrow", "Innovation", opens))
        for seen, opens in rows
    ]


def _plan(snipe_id: str, symbol: Symbol, open_ns: int) -> Plan:
    ladder = ExitPlan(LADDERS["balanced"], Decimal("0.15"), 1800 * SECOND)
    return Plan(
        snipe_id, snipe_id, symbol, Decimal(60), CAP, open_ns, open_ns + 20 * SECOND, ladder, Decimal("0.9")
    )


def _announced() -> list[e.Event]:
    signal = Signal(
        WON, MARROW, "calendar_lead", SEEN_NS, FIRST_OPEN_NS, Decimal("0.9"), {"basis": "<b>prior</b> belief"}
    )
    return [
        e.ListingSeen(SEEN_NS, MARROW, "c1", FIRST_OPEN_NS, "calendar"),
        e.SignalRaised(SEEN_NS, signal),
        e.SnipePlanned(SEEN_NS + SECOND, _plan(WON, MARROW, FIRST_OPEN_NS)),
        e.OpeningMoved(OPEN_NS - 3 * HOUR, MARROW, FIRST_OPEN_NS, OPEN_NS),
        e.SnipeRetimed(OPEN_NS - 3 * HOUR, WON, OPEN_NS, OPEN_NS + 20 * SECOND),
        e.PreflightDone(OPEN_NS - 10 * MINUTE, WON, Preflight(OPEN_NS - 10 * MINUTE, "T-10min", True)),
        e.SnipeMoved(OPEN_NS - 10 * MINUTE, WON, SnipeState.PREFLIGHT),
        e.SnipeMoved(OPEN_NS - 9 * MINUTE, WON, SnipeState.ARMED, by="anna"),
    ]


def _refused() -> list[e.Event]:
    seen, opens = OPEN_NS - 2 * HOUR, OPEN_NS - HOUR
    signal = Signal(REFUSED, OTTER, "calendar_lead", seen, opens, Decimal("0.9"), {})
    return [
        e.ListingSeen(seen, OTTER, "c2", opens, "calendar"),
        e.SignalRaised(seen, signal),
        e.SnipePlanned(seen + SECOND, _plan(REFUSED, OTTER, opens)),
        e.SnipeMoved(opens - 5 * SECOND, REFUSED, SnipeState.ABORTED, "not_api_tradable", "no orders by API"),
    ]


def _order(leg: str, number: int, size: tuple[str, str], at_ns: int) -> Order:
    quantity, price = size
    side, kind = (Side.BUY, OrderType.IMMEDIATE_OR_CANCEL) if leg == "b" else (Side.SELL, OrderType.LIMIT)
    client_id = client_order_id(WON, leg, number)
    amounts = (Decimal(quantity), Decimal(price))
    return Order(client_id, MARROW, side, kind, *amounts, snipe_id=WON, leg=leg, decided_ns=at_ns)


def _fill(trade_id: str, order: Order, size: tuple[str, str], at_ns: int) -> e.OrderFilled:
    quantity, price = (Decimal(part) for part in size)
    fee = quantity * price * Decimal("0.0005")
    fill = Fill(trade_id, order.client_id, MARROW, order.side, price, quantity, fee, "USDT", at_ns)
    return e.OrderFilled(at_ns, fill)


def _fired() -> list[e.Event]:
    """50 wanted at 1.20 or better; 20 bought at 1.00 and 20 at 1.10."""
    load, gone = OPEN_NS - SECOND, OPEN_NS + MILLISECOND // 5
    answered, order = OPEN_NS + 60 * MILLISECOND, _order("b", 1, ("50", "1.20"), load)
    return [
        e.VerdictGiven(load, WON, order.client_id, ()),
        e.SnipeMoved(load, WON, SnipeState.FIRING),
        e.OrderDecided(load, order),
        e.OrderSent(load, order.client_id, OPEN_NS),
        e.Fired(gone, WON, order.client_id, OPEN_NS, 180_000),
        e.OrderAccepted(answered, order.client_id, "v1"),
        _fill("f1", order, ("20", "1.00"), answered),
        _fill("f2", order, ("20", "1.10"), answered + 1),
        e.OrderCanceled(answered + 2, order.client_id, "the rest of an immediate order"),
        e.SnipeMoved(answered + 2, WON, SnipeState.ENTERED, why="bought"),
    ]


def _left() -> list[e.Event]:
    """10 sold at 1.20 by the ladder, 30 at 0.90 by the stop."""
    rung_ns, stop_ns = OPEN_NS + 40 * SECOND, OPEN_NS + 300 * SECOND
    rung, rest = _order("t1", 1, ("10", "1.20"), OPEN_NS + SECOND), _order("x", 1, ("30", "0.88"), stop_ns)
    return [
        e.OrderDecided(OPEN_NS + SECOND, rung),
        e.OrderSent(OPEN_NS + SECOND, rung.client_id),
        e.OrderAccepted(OPEN_NS + SECOND, rung.client_id, "v2"),
        _fill("f3", rung, ("10", "1.20"), rung_ns),
        e.ExitDecided(stop_ns, WON, "stop", "the bid fell to 0.89"),
        e.OrderDecided(stop_ns, rest),
        e.OrderSent(stop_ns, rest.client_id),
        _fill("f4", rest, ("30", "0.90"), stop_ns + SECOND),
        e.SnipeMoved(stop_ns + SECOND, WON, SnipeState.CLOSED, "stop", "everything is sold"),
    ]
