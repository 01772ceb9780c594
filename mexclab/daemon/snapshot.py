"""The desk as one picture for dashboards: plain JSON values, decimals as text, times in ns."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from mexclab.config import LimitSettings
from mexclab.daemon.chart import Chart
from mexclab.daemon.tape import Tape
from mexclab.domain.clock import DAY, HOUR
from mexclab.domain.listing import Listing
from mexclab.domain.market import Side, Symbol
from mexclab.domain.portfolio import Position
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.trading.engine import Engine
from mexclab.trading.exits import stop_price


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the health report: whether it holds, and a reason either way."""

    name: str
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """What a picture is taken of."""

    engine: Engine
    chart: Chart
    tape: Tape
    mode: str
    venue: str
    version: str


def snapshot(
    view: View, checks: list[Check], speed: float, frame: int, symbol: Symbol | None
) -> dict[str, Any]:
    """The whole desk at this moment. ``symbol`` chooses the chart; None means the newest."""
    engine, desk = view.engine, view.engine.desk
    shown = symbol or view.chart.newest
    return {
        "frame": frame,
        "seq": engine.seq,
        "at_ns": engine.parts.clock.now_ns(),
        "wall_ns": time.time_ns(),
        "mode": view.mode,
        "venue": view.venue,
        "version": view.version,
        "speed": speed,
        "halt": asdict(desk.halt) if desk.halt else None,
        "health": {"ready": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]},
        "risk": _risk(engine),
        "listings": _listings(engine),
        "positions": [_position(engine, position) for position in desk.portfolio.held],
        "orders": [_order(order) for order in desk.open_orders()],
        "results": [_result(engine, result) for result in desk.results],
        "tape": [asdict(line) for line in view.tape.lines],
        "chart": view.chart.shown(shown, _marks(engine, shown)),
    }


def _money(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _prices(engine: Engine) -> dict[Symbol, Decimal]:
    return {symbol: book.bid for symbol, book in engine.books.items() if book.bid is not None}


def _risk(engine: Engine) -> dict[str, Any]:
    desk, limits, now = engine.desk, engine.rules.limits, engine.parts.clock.now_ns()
    unrealised = desk.portfolio.unrealised(_prices(engine))
    realised, at_risk = desk.portfolio.realised, desk.committed()
    open_pnl = unrealised if unrealised is not None else Decimal(0)
    equity = desk.portfolio.opening_balance + realised + open_pnl
    today = desk.portfolio.realised_on(now) + open_pnl
    return {
        "quote": engine.rules.quote_asset,
        "at_risk": _money(at_risk),
        "day_pnl": _money(today),
        "pnl": _money(realised + open_pnl),
        "unrealised": _money(unrealised),
        "equity": _money(equity) if unrealised is not None else None,
        "limits": _limit_rows(engine, limits, at_risk, today, equity),
    }


def _limit_rows(
    engine: Engine, limits: LimitSettings, at_risk: Decimal, today: Decimal, equity: Decimal
) -> list[dict[str, Any]]:
    desk = engine.desk
    busy = (SnipeState.FIRING, SnipeState.ENTERED, SnipeState.EXITING)
    running = Decimal(sum(1 for snipe in desk.live_snipes() if snipe.state in busy))
    streak = 0
    for result in desk.recent_results():
        if result.profit >= 0:
            break
        streak += 1
    peak = max(desk.portfolio.peak_equity or equity, equity)
    fall = (peak - equity) / peak * 100 if peak > 0 else Decimal(0)
    rows = (
        ("exposure", at_risk, limits.total_exposure_quote, engine.rules.quote_asset),
        ("open snipes", running, Decimal(limits.open_snipes), ""),
        ("day loss", max(-today, Decimal(0)), limits.day_loss_quote, engine.rules.quote_asset),
        ("drawdown", fall, limits.drawdown * 100, "%"),
        ("losses in a row", Decimal(streak), Decimal(limits.loss_streak), ""),
    )
    return [
        {
            "name": name,
            "used": f"{used:.2f}" if unit else str(used),
            "bound": f"{bound:.2f}" if unit else str(bound),
            "unit": unit,
            "fraction": float(min(used / bound, Decimal(1))) if bound else 1.0,
        }
        for name, used, bound, unit in rows
    ]


def _listings(engine: Engine) -> list[dict[str, Any]]:
    now = engine.parts.clock.now_ns()
    board = engine.parts.radar.board.listings.values()
    by_symbol = {snipe.plan.symbol: snipe for snipe in engine.desk.snipes.values()}
    # what had opened before it was first seen can only be history, and no business of the desk
    recent = [x for x in board if x.open_ns > now - DAY and (x.lead_ns > 0 or x.symbol in by_symbol)]
    recent.sort(key=lambda listing: (listing.open_ns, str(listing.symbol)))
    return [_listing(engine, listing, by_symbol.get(listing.symbol)) for listing in recent]


def _listing(engine: Engine, listing: Listing, snipe: Snipe | None) -> dict[str, Any]:
    signals = [s for s in engine.desk.signals.values() if s.symbol == listing.symbol]
    probability = max((s.probability for s in signals), default=None)
    declined = next(
        (engine.desk.declined[s.signal_id] for s in signals if s.signal_id in engine.desk.declined), ""
    )
    return {
        "symbol": str(listing.symbol),
        "full_name": listing.full_name,
        "open_ns": listing.open_ns,
        "first_seen_ns": listing.first_seen_ns,
        "lead_h": round(listing.lead_ns / HOUR, 2),
        "postponed": len(listing.postponements),
        "triple": list(listing.state.triple) if listing.state else None,
        "probability": str(probability) if probability is not None else None,
        "snipe_id": snipe.snipe_id if snipe else None,
        "state": str(snipe.state) if snipe else None,
        "reason": snipe.reason if snipe else "",
        "why": snipe.why if snipe else declined,
        "preflight": [
            {"stage": check.stage, "passed": check.passed, "reasons": list(check.reasons)}
            for check in snipe.preflights
        ]
        if snipe
        else [],
        "budget": str(snipe.plan.budget_quote) if snipe else None,
        "cap": str(snipe.plan.price_cap) if snipe else None,
    }


def _position(engine: Engine, position: Position) -> dict[str, Any]:
    desk = engine.desk
    snipe = next((s for s in desk.live_snipes() if s.plan.symbol == position.symbol), None)
    book = engine.books.get(position.symbol)
    price = book.bid if book else None
    value = position.quantity * price if price is not None else None
    gain = value - position.cost if value is not None else None
    entry = desk.entry_price(snipe.snipe_id) if snipe else None
    targets = [
        {
            "price": str(order.price),
            "share": f"{order.quantity / bought:.2f}" if bought else "0",
            "filled": order.remaining == 0,
        }
        for bought in [
            sum((o.filled for o in desk.entries(snipe.snipe_id)), Decimal(0)) if snipe else Decimal(0)
        ]
        for order in (desk.exits(snipe.snipe_id) if snipe else [])
        if order.leg.startswith("t")
    ]
    return {
        "symbol": str(position.symbol),
        "snipe_id": snipe.snipe_id if snipe else None,
        "quantity": str(position.quantity),
        "average_cost": f"{position.average_cost:.6g}" if position.average_cost else None,
        "price": str(price) if price is not None else None,
        "value": _money(value),
        "unrealised": _money(gain),
        "unrealised_fraction": float(gain / position.cost) if gain is not None and position.cost else None,
        "stop_price": f"{stop_price(snipe, entry):.6g}" if snipe and entry else None,
        "time_stop_ns": (snipe.entered_ns or 0) + snipe.plan.exit.time_stop_ns if snipe else None,
        "entered_ns": snipe.entered_ns if snipe else None,
        "targets": targets,
    }


def _order(order: Any) -> dict[str, Any]:
    return {
        "client_id": order.client_id,
        "symbol": str(order.symbol),
        "side": str(order.side),
        "type": str(order.type),
        "state": str(order.state),
        "quantity": str(order.quantity),
        "price": str(order.price),
        "filled": str(order.filled),
        "sent_ns": order.sent_ns,
    }


def _result(engine: Engine, result: Any) -> dict[str, Any]:
    return {
        "symbol": str(result.symbol),
        "snipe_id": result.snipe_id,
        "closed_ns": result.closed_ns,
        "profit": _money(result.profit),
        "reason": engine.desk.snipes[result.snipe_id].reason,
    }


def _marks(engine: Engine, symbol: Symbol | None) -> list[dict[str, Any]]:
    fills = (fill for order in engine.desk.orders.values() if order.symbol == symbol for fill in order.fills)
    return [
        {
            "at_s": fill.at_ns // 1_000_000_000,
            "side": "BUY" if fill.side is Side.BUY else "SELL",
            "price": float(fill.price),
        }
        for fill in fills
    ]
