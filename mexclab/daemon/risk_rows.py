"""Pictures of risk for JSON: limits and their use, pauses, monitors, triggers, permits. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mexclab.daemon.risk_types import (
    BreachRow,
    CheckedRow,
    ConfirmedRow,
    HaltRow,
    LimitRow,
    LimitsPage,
    MonitorRow,
    NamedText,
    ProtectionRow,
    RehearsedRow,
    ReviewRow,
    RiskPage,
    SizingRow,
    TriggerRow,
    WatchedRow,
)
from mexclab.daemon.rows import exact
from mexclab.domain.clock import SECOND
from mexclab.domain.events import Breach
from mexclab.domain.market import Symbol
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.domain.portfolio import ZERO
from mexclab.trading import permits, risk, shots
from mexclab.trading.engine import Engine
from mexclab.trading.facts import Facts

BY_TRIGGER = "trigger "  # the name under which one halts begins so
CAUSES = "causes"  # the unit of what must not be, and has no measure
COUNTED = (CAUSES, "orders", "snipes", "symbols")
AT_LEAST = ("minimum_probability",)  # more of it is better: there is nothing that is used up
ASKED_FOR = "insufficient_balance"  # its bound is the venue's answer, and as old as that
BADNESS: Mapping[MonitorState, int] = MappingProxyType({
    MonitorState.TRIPPED: 0, MonitorState.WARNING: 1, MonitorState.QUIET: 2, MonitorState.UNKNOWN: 3,
})  # fmt: skip
NAMES: Mapping[str, str] = MappingProxyType({
    "total_exposure_quote": "exposure",
    "per_symbol_quote": "largest position",
    "per_order_quote": "one order",
    "day_loss_quote": "day loss",
    "cluster_quote": "largest cluster",
    "value_at_risk_quote": "value at risk",
    "expected_shortfall_quote": "expected shortfall",
    "orders_per_s": "orders a second",
    "clock_age_s": "age of the clock",
    "clock_offset_ms": "clock offset",
    "insufficient_balance": "free balance",
    "unknown_order": "orders of unknown fate",
    "price_unknown": "held without a price",
    "stale_price": "age of the price",
    "price_above_cap": "best ask",
    "price_collar": "price",
    "minimum_probability": "probability, at least",
    "quote_asset": "asset it is paid in",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Money:
    """What is held and what it has earned, at the best bids; ``unrealised`` None: a price is missing."""

    at_risk: Decimal
    realised: Decimal
    unrealised: Decimal | None
    today: Decimal
    equity: Decimal  # what cannot be priced at its cost

    @property
    def profit(self) -> Decimal:
        return self.realised + (self.unrealised or ZERO)


def money_of(engine: Engine) -> Money:
    """The desk's money now."""
    portfolio, now = engine.desk.portfolio, engine.parts.clock.now_ns()
    prices = prices_of(engine)
    unrealised, open_profit = portfolio.unrealised(prices), portfolio.valued(prices).unrealised
    return Money(
        at_risk=engine.desk.committed(),
        realised=portfolio.realised,
        unrealised=unrealised,
        today=portfolio.realised_on(now) + open_profit,
        equity=portfolio.equity(open_profit),
    )


def prices_of(engine: Engine) -> dict[Symbol, Decimal]:
    """The best bid of everything whose book is known."""
    return {symbol: book.bid for symbol, book in engine.books.items() if book.bid is not None}


# -- limits ----------------------------------------------------------------------------------------


def limit_rows(engine: Engine) -> list[LimitRow]:
    """Every limit that does not belong to one entry alone, and how much of it is used."""
    return [_row(engine, use) for use in _usage(engine)]


def gauges(engine: Engine) -> list[LimitRow]:
    """Those of them that a bar can show: what has a measure, and what must not be and is."""
    return [_row(engine, use) for use in _usage(engine) if use.unit != CAUSES and (use.bound or use.used)]


def _usage(engine: Engine) -> tuple[risk.LimitUse, ...]:
    return risk.usage(engine.desk, engine.rules.limits, _facts_now(engine))


def _facts_now(engine: Engine) -> Facts:
    now = engine.parts.clock.now_ns()
    lacking = permits.missing(engine.desk, engine.rules, now)
    return replace(shots.facts_of(engine, None, now), missing=lacking)


def _row(engine: Engine, use: risk.LimitUse) -> LimitRow:
    row = _limit(use, engine.rules.quote_asset)
    return replace(row, asked_ns=engine.balances_ns) if use.name == ASKED_FOR else row


def _limit(use: risk.LimitUse, quote: str) -> LimitRow:
    unit = _unit(use.unit, quote)
    return LimitRow(
        limit=use.name,
        name=NAMES.get(use.name, use.name.replace("_", " ")),
        used=_told(use.used, use.unit),
        bound=_told(use.bound, use.unit) or "",
        unit=unit,
        fraction=None if use.name in AT_LEAST else _fraction(use.used, use.bound),
        broken=use.broken,
        why=use.why,
    )


def review_row(use: risk.LimitUse, quote: str) -> ReviewRow:
    """One limit before and after an entry that is only asked about."""
    row = _limit(use, quote)
    return ReviewRow(
        limit=row.limit,
        name=row.name,
        before=row.used,
        after=_told(use.after, use.unit),
        bound=row.bound,
        unit=row.unit,
        fraction=None if use.name in AT_LEAST else _fraction(use.after, use.bound),
        broken=row.broken,
        why=row.why,
    )


def _fraction(used: Decimal | None, bound: Decimal | None) -> float | None:
    if used is None or bound is None:
        return None
    if bound <= 0:
        return 1.0 if used > 0 else 0.0
    return float(min(max(used / bound, ZERO), Decimal(1)))


def _unit(unit: str, quote: str) -> str:
    return {CAUSES: "", "fraction": "%", "price": quote, "quote": quote}.get(unit, unit)


def _told(value: Decimal | None, unit: str) -> str | None:
    """A measure as people read it; a gain where a loss is measured is none."""
    if value is None:
        return None
    match unit:
        case "price":
            return exact(value)
        case "fraction":
            return f"{max(value, ZERO) * 100:.2f}"
        case "ms":
            return f"{value:.0f}"
    return f"{max(value, ZERO):.2f}" if unit not in COUNTED else f"{value:.0f}"


# -- pauses, monitors, triggers ----------------------------------------------------------------------


def protection_rows(engine: Engine) -> list[ProtectionRow]:
    """The pauses in force, the one that ends last at the end."""
    active = engine.desk.protections_of(None, engine.parts.clock.now_ns())
    active.sort(key=lambda each: (each.until_ns is None, each.until_ns or 0, each.protection_id))
    return [
        ProtectionRow(
            protection_id=each.protection_id,
            kind=each.kind,
            symbol=_name(each.symbol),
            raised_ns=each.raised_ns,
            until_ns=each.until_ns,
            ends=each.ends,
            value=each.value,
            bound=each.bound,
            look_back_ns=each.look_back_ns,
            why=each.why,
        )
        for each in active
    ]


def watched_rows(engine: Engine) -> list[WatchedRow]:
    """What raises protections, in the order in which it is judged."""
    return [
        WatchedRow(r.kind, exact(r.threshold), r.look_back_ns, r.pause_ns, r.least, r.per_symbol)
        for r in engine.rules.protections
    ]


def monitor_rows(engine: Engine) -> list[MonitorRow]:
    """What every monitor finds now, of this machine and of every market that is watched; the worst first."""
    monitors, now = engine.monitors, engine.parts.clock.now_ns()
    found = monitors.common(now)
    common = len(found)
    for symbol in monitors.followed:
        found += monitors.readings(symbol, now)[:-common]
    found += engine.questions.past_prices.readings(now)
    found.sort(key=lambda each: (BADNESS[each.state], str(each.symbol or ""), each.monitor))
    return [_monitor(engine, each) for each in found]


def _monitor(engine: Engine, reading: Reading) -> MonitorRow:
    symbol, state = _name(reading.symbol), str(reading.state)
    last = engine.desk.monitors.get((reading.monitor, symbol or ""))
    since_ns = last.at_ns if last is not None and last.state == state else None
    return MonitorRow(reading.monitor, symbol, state, reading.value, reading.bound, reading.why, since_ns)


def trigger_rows(engine: Engine) -> list[TriggerRow]:
    """What halts the desk by itself, and whether it holds now, or is why the desk is halted."""
    fired = {each.name: each.why for each in engine.guard.triggers()}
    halt = engine.desk.halt
    if halt is not None and halt.by.startswith(BY_TRIGGER):
        fired.setdefault(halt.by.removeprefix(BY_TRIGGER), halt.why)
    return [
        TriggerRow(name, on, name in fired, bound, fired.get(name, ""))
        for name, on, bound in _triggers(engine)
    ]


def _triggers(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    halt, limits, quote = engine.rules.halt, engine.rules.limits, engine.rules.quote_asset
    yield "day_loss", halt.day_loss, f"{exact(limits.day_loss_quote)} {quote}"
    yield "drawdown", halt.drawdown, f"{exact((limits.drawdown * 100).normalize())} %"
    yield "mismatch", halt.mismatch, "twice in a row"
    yield "clock", halt.clock_s > 0, f"{halt.clock_s} s"
    yield "errors", halt.errors > 0, f"{halt.errors} in a minute"
    yield "ledger_lag", halt.ledger_lag_s > 0, f"{halt.ledger_lag_s} s"


def _name(symbol: Symbol | None) -> str | None:
    return None if symbol is None else str(symbol)


# -- permits ---------------------------------------------------------------------------------------


def breach_rows(breaches: Iterable[Breach]) -> list[BreachRow]:
    return [BreachRow(each.limit, each.value, each.bound, each.why) for each in breaches]


def missing_rows(engine: Engine) -> list[BreachRow]:
    """What live trading lacks for any target; nothing in other modes."""
    return breach_rows(permits.missing(engine.desk, engine.rules, engine.parts.clock.now_ns()))


def checked_row(engine: Engine) -> CheckedRow | None:
    """The last preflight of the account, or None."""
    checked = engine.desk.checked
    if checked is None:
        return None
    is_ours = checked.account == engine.rules.account
    until_ns = checked.at_ns + engine.rules.live.preflight_age_s * SECOND
    good = until_ns if checked.green and is_ours else None
    return CheckedRow(checked.at_ns, checked.account, checked.green, list(checked.reasons), good)


def confirmed_row(engine: Engine, digest: str) -> ConfirmedRow | None:
    """The limits that a person took on last, or None; ``digest`` is that of the limits in force."""
    known = engine.desk.confirmed
    if known is None:
        return None
    in_force = (known.account, known.digest) == (engine.rules.account, digest)
    return ConfirmedRow(known.at_ns, known.account, known.digest, known.by, known.why, in_force)


def limits_page(engine: Engine) -> LimitsPage:
    """The limits in force as a person confirms them."""
    rules, digest = engine.rules, permits.digest(engine.rules)
    return LimitsPage(
        mode=rules.mode,
        account=rules.account,
        digest=digest,
        limits=[NamedText(name, text) for name, text in permits.written(rules)],
        confirmed=confirmed_row(engine, digest),
    )


def rehearsed_row(engine: Engine) -> RehearsedRow | None:
    """The last rehearsal of the emergency, or None."""
    done = engine.desk.rehearsed
    if done is None:
        return None
    return RehearsedRow(
        done.at_ns, done.passed, done.halted_ns, done.flattened_ns, done.resumed_ns, done.evidence, done.by
    )


# -- the whole -------------------------------------------------------------------------------------


def risk_page(engine: Engine) -> RiskPage:
    """Everything that bounds money, and how much of it is used now."""
    money, rules, digest = money_of(engine), engine.rules, permits.digest(engine.rules)
    halt, sizing = engine.desk.halt, engine.rules.sizing
    return RiskPage(
        at_ns=engine.parts.clock.now_ns(),
        mode=rules.mode,
        account=rules.account,
        quote=rules.quote_asset,
        equity=None if money.unrealised is None else cents(money.equity),
        at_risk=cents(money.at_risk),
        day_pnl=cents(money.today),
        pnl=cents(money.profit),
        unrealised=None if money.unrealised is None else cents(money.unrealised),
        halt=None if halt is None else HaltRow(halt.at_ns, halt.by, halt.why),
        limits=limit_rows(engine),
        protections=protection_rows(engine),
        watched=watched_rows(engine),
        monitors=monitor_rows(engine),
        triggers=trigger_rows(engine),
        missing=missing_rows(engine),
        checked=checked_row(engine),
        confirmed=confirmed_row(engine, digest),
        digest=digest,
        rehearsed=rehearsed_row(engine),
        sizing=SizingRow(
            method=sizing.method,
            risk_quote=exact(sizing.risk_quote),
            kelly_fraction=exact(sizing.kelly_fraction),
            kelly_cap=exact(sizing.kelly_cap),
            kelly_results=sizing.kelly_results,
        ),
    )


def shown(engine: Engine) -> dict[str, Any]:
    """The same for a dashboard: what changes from frame to frame, as plain values."""
    money, rehearsed = money_of(engine), rehearsed_row(engine)
    return {
        "quote": engine.rules.quote_asset,
        "account": engine.rules.account,
        "at_risk": cents(money.at_risk),
        "day_pnl": cents(money.today),
        "pnl": cents(money.profit),
        "unrealised": None if money.unrealised is None else cents(money.unrealised),
        "equity": None if money.unrealised is None else cents(money.equity),
        "limits": [asdict(row) for row in gauges(engine)],
        "protections": [asdict(row) for row in protection_rows(engine)],
        "monitors": [asdict(row) for row in monitor_rows(engine)],
        "triggers": [asdict(row) for row in trigger_rows(engine)],
        "missing": [asdict(row) for row in missing_rows(engine)],
        "rehearsed": asdict(rehearsed) if rehearsed else None,
    }


def cents(value: Decimal) -> str:
    """Money for a dashboard, to four places."""
    return f"{value:.4f}"
