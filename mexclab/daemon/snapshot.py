"""The desk as one picture for dashboards: plain JSON values, decimals as text, times in ns."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from mexclab.daemon import risk_rows, rows
from mexclab.daemon.chart import Chart
from mexclab.daemon.tape import Tape
from mexclab.domain.clock import DAY, HOUR
from mexclab.domain.desk import Result
from mexclab.domain.listing import Listing
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.portfolio import Position
from mexclab.domain.snipe import Snipe
from mexclab.trading import handling
from mexclab.trading.engine import Engine

SHOWN = 50  # orders of others, and results told in a line, that a picture holds; the newest


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the health report: whether it holds, and a reason either way.

    Attributes:
        blocks: while it does not hold, nothing may be entered; else the desk is degraded and trades on.
    """

    name: str
    ok: bool
    why: str
    blocks: bool = True


def is_ready(checks: Iterable[Check]) -> bool:
    """Whether the desk may trade by its rules."""
    return all(check.ok or not check.blocks for check in checks)


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
        "health": {"ready": is_ready(checks), "checks": [asdict(check) for check in checks]},
        "risk": risk_rows.shown(engine),
        "listings": _listings(engine),
        "positions": [_position(engine, position) for position in desk.portfolio.held],
        "remainders": _remainders(engine),
        "orders": [asdict(rows.order_row(order)) for order in desk.open_orders()],
        "external": [asdict(row) for row in rows.external_rows(desk)][-SHOWN:],
        "external_count": len(desk.external),
        "disputed": [asdict(row) for row in rows.dispute_rows(desk)],
        "reconciliation": _reconciliation(engine),
        "results": _results(engine),
        "tape": [asdict(line) for line in view.tape.lines],
        "chart": view.chart.shown(shown, _marks(engine, shown)),
    }


def _money(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.4f}"


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
        "exit": asdict(rows.exit_row(snipe.plan.exit)) if snipe else None,
        "stop": asdict(rows.stop_row(snipe, engine.desk)) if snipe else None,
    }


def _rules(engine: Engine, symbol: Symbol) -> Market | None:
    return engine.known_market(symbol)


def _quote(engine: Engine, symbol: Symbol) -> rows.Quote:
    book = engine.books.get(symbol)
    return rows.Quote(book, _rules(engine, symbol), engine.parts.clock.now_ns())


def _position(engine: Engine, position: Position) -> dict[str, Any]:
    row = rows.position_row(position, engine.desk, _quote(engine, position.symbol))
    cents = {"value": _money(_number(row.value)), "unrealised": _money(_number(row.unrealised))}
    return asdict(row) | cents


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _remainders(engine: Engine) -> list[dict[str, Any]]:
    held = [position.symbol for position in engine.desk.portfolio.held]
    markets = {symbol: market for symbol in held if (market := _rules(engine, symbol)) is not None}
    now = engine.parts.clock.now_ns()
    found = handling.remainders(engine.desk, engine.books, markets, now) if held else []
    return [asdict(rows.remainder_row(each)) for each in found]


def _reconciliation(engine: Engine) -> dict[str, Any] | None:
    row = rows.reconciled_row(engine.desk.reconciled)
    return asdict(row) if row else None


def _results(engine: Engine) -> list[dict[str, Any]]:
    """All of them, as ever; the newest ones with a line of their post-mortem."""
    results = engine.desk.results
    newest = len(results) - SHOWN
    return [_result(engine, result, told=n >= newest) for n, result in enumerate(results)]


def _result(engine: Engine, result: Result, *, told: bool) -> dict[str, Any]:
    snipe = engine.desk.snipes[result.snipe_id]
    return {
        "symbol": str(result.symbol),
        "snipe_id": result.snipe_id,
        "closed_ns": result.closed_ns,
        "profit": _money(result.profit),
        "reason": snipe.reason,
        "headline": rows.headline(snipe, engine.desk) if told else "",
    }


def _marks(engine: Engine, symbol: Symbol | None) -> list[dict[str, Any]]:
    desk = engine.desk
    ours = (snipe.snipe_id for snipe in desk.snipes.values() if snipe.plan.symbol == symbol)
    fills = (fill for snipe_id in ours for order in desk.orders_of(snipe_id) for fill in order.fills)
    return [
        {
            "at_s": fill.at_ns // 1_000_000_000,
            "side": "BUY" if fill.side is Side.BUY else "SELL",
            "price": float(fill.price),
        }
        for fill in fills
    ]
