"""The events of one snipe, as short calls: planned, armed, loaded, fired, bought, stopped out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.post_mortem import PostMortemRow, post_mortem
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Preflight, SnipeState

OPEN = 20_600 * 24 * HOUR
ABC = Symbol("ABC")
ID = "ABC-1"
B1, B2, B3 = f"{ID}-b-1", f"{ID}-b-2", f"{ID}-b-3"
S = SnipeState


def plan(snipe_id: str = ID, open_ns: int = OPEN, symbol: Symbol = ABC) -> Plan:
    ladder = ExitPlan(LADDERS["balanced"], Decimal("0.10"), 1800 * SECOND)
    return Plan(snipe_id, snipe_id, symbol, Decimal(100), Decimal("2"), open_ns, open_ns + MINUTE, ladder)


def planned() -> list[e.Event]:
    signal = Signal(ID, ABC, "calendar_lead", OPEN - 5 * HOUR, OPEN, Decimal("0.9"), {})
    return [
        e.ListingSeen(OPEN - 6 * HOUR, ABC, "c1", OPEN, "calendar"),
        e.SignalRaised(OPEN - 5 * HOUR, signal),
        e.SnipePlanned(OPEN - 4 * HOUR, plan()),
    ]


def armed(open_ns: int = OPEN, by: str = "anna") -> list[e.Event]:
    at = open_ns - MINUTE
    return [
        e.PreflightDone(at, ID, Preflight(at, "T-60s", True)),
        e.SnipeMoved(at, ID, S.PREFLIGHT),
        e.SnipeMoved(at + SECOND, ID, S.ARMED, by=by),
    ]


def decided(client_id: str, size: str = "50", price: str = "2", at_ns: int = OPEN - SECOND) -> e.OrderDecided:
    leg = client_id.rsplit("-", 2)[1]
    side, kind = (Side.BUY, OrderType.IMMEDIATE_OR_CANCEL) if leg == "b" else (Side.SELL, OrderType.LIMIT)
    amounts = (Decimal(size), Decimal(price))
    order = Order(client_id, ABC, side, kind, *amounts, snipe_id=e.snipe_of(client_id), leg=leg)
    return e.OrderDecided(at_ns, replace(order, decided_ns=at_ns))


def loaded(client_id: str, leaves_ns: int = OPEN) -> list[e.Event]:
    load_ns = leaves_ns - SECOND
    firing = [e.SnipeMoved(load_ns, ID, S.FIRING)] if client_id.endswith("-1") else []
    return [*firing, decided(client_id, at_ns=load_ns), e.OrderSent(load_ns, client_id, leaves_ns)]


def fired(client_id: str, leaves_ns: int = OPEN) -> e.Fired:
    return e.Fired(leaves_ns + 90_000, ID, client_id, leaves_ns, 70_000)


def fill(
    client_id: str, trade: str, size: str, price: str, at_ns: int, fee: tuple[str, str] = ("0", "USDT")
) -> e.OrderFilled:
    side = Side.BUY if "-b-" in client_id else Side.SELL
    made = Fill(trade, client_id, ABC, side, Decimal(price), Decimal(size), Decimal(fee[0]), fee[1], at_ns)
    return e.OrderFilled(at_ns + MILLISECOND, made)  # told a little after it happened


def bought(at_ns: int = OPEN + 30 * MILLISECOND) -> list[e.Event]:
    """50 wanted at 2 or better; 20 bought at 1.50 and 20 at 1.80: 1.65 on average."""
    return [
        *planned(), *armed(), *loaded(B1), fired(B1),
        e.OrderAccepted(at_ns, B1, "v1"),
        fill(B1, "1", "20", "1.50", at_ns),
        fill(B1, "2", "20", "1.80", at_ns + MILLISECOND),
        e.OrderCanceled(at_ns + 2 * MILLISECOND, B1, "the rest", Decimal(40)),
        e.SnipeMoved(at_ns + 2 * MILLISECOND, ID, S.ENTERED, why="bought"),
    ]  # fmt: skip


def stopped(size: str = "40", price: str = "1.40", at_ns: int = OPEN + 10 * SECOND) -> list[e.Event]:
    x1 = f"{ID}-x-1"
    return [
        e.ExitDecided(at_ns, ID, "stop", "the bid fell"),
        decided(x1, size, "1.30", at_ns),
        e.OrderSent(at_ns, x1),
        e.OrderAccepted(at_ns + MILLISECOND, x1, "v9"),
        fill(x1, "9", size, price, at_ns + 2 * MILLISECOND),
        e.SnipeMoved(at_ns + 5 * MILLISECOND, ID, S.CLOSED, "stop", "everything is sold"),
    ]


def agreed_row(events: Iterable[e.Event]) -> PostMortemRow:
    """The row of the one snipe; the ledger is one that the desk accepts, and the two agree."""
    history = list(events)
    row, desk = post_mortem(ID, history), Desk.of(history)
    snipe = desk.snipes[ID]
    assert (row.state, row.reason, row.why) == (snipe.state, snipe.reason, snipe.why)
    assert (row.profit, row.average_entry) == (desk.profit(ID), desk.entry_price(ID))
    assert (row.attempts, row.held) == (snipe.attempts_made, desk.held(ABC))
    assert row.open_ns == snipe.plan.not_before_ns
    return row
