"""Risk as text for terminals: rows in, text out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mexclab.commands.tables import Column, facts, moment_utc, number, table
from mexclab.domain.clock import span
from mexclab.notebook.mode import before
from mexclab.notebook.risk_client import is_shown

Told = Mapping[str, Any]

LIMITS = (
    Column(""), Column("limit"), Column("used", is_number=True), Column("bound", is_number=True),
    Column("unit"), Column("used of it", is_number=True),
)  # fmt: skip
REVIEW = (
    Column(""), Column("limit"), Column("now", is_number=True), Column("then", is_number=True),
    Column("bound", is_number=True), Column("unit"),
)  # fmt: skip
PAUSES = (Column("pause"), Column("kind"), Column("symbol"), Column("ends"), Column("why", may_shrink=True))
MONITORS = (
    Column("monitor"), Column("symbol"), Column("state"), Column("value"), Column("bound"),
    Column("why", may_shrink=True),
)  # fmt: skip
TRIGGERS = (Column("trigger"), Column("state"), Column("bound"), Column("why", may_shrink=True))


def page(told: Told) -> str:
    """Everything that bounds money."""
    return "\n\n".join(filter(None, _page(told)))


def _page(told: Told) -> Iterator[str]:
    quote = told["quote"]
    equity = "unknown" if told["equity"] is None else f"{told['equity']} {quote}"
    checked, confirmed, rehearsed = told["checked"], told["confirmed"], told["rehearsed"]
    head = {
        "account": told["account"],
        "at risk": f"{told['at_risk']} {quote}",
        "profit today": f"{told['day_pnl']} {quote}",
        "equity": equity,
        "halt": f"HALTED by {told['halt']['by']}: {told['halt']['why']}" if told["halt"] else "none",
        "sizing": told["sizing"]["method"],
        "preflight": _checked(checked),
        "confirmed": _confirmed(confirmed),
        "rehearsed": _rehearsed(rehearsed),
    }
    yield before(told["mode"], f"risk at {moment_utc(told['at_ns'])}")
    yield facts(head)
    yield table(LIMITS, [_limit(row) for row in told["limits"] if is_shown(row)])
    missing = {row["limit"] for row in told["missing"]}
    yield "\n".join(
        f"{'MISSING' if row['limit'] in missing else 'BROKEN'} {row['limit']}: {row['why']}"
        for row in told["limits"]
        if row["broken"]
    )
    yield _pauses(told["protections"])
    yield _monitors(told["monitors"])
    rows = [(t["name"], _state(t), t["bound"], t["why"]) for t in told["triggers"]]
    yield table(TRIGGERS, rows) if rows else ""


def _limit(row: Told) -> tuple[str, ...]:
    if not row["unit"]:
        return _mark(row), row["name"], "", "", "", ""
    share = "" if row["fraction"] is None else f"{row['fraction'] * 100:.0f} %"
    return _mark(row), row["name"], _used(row["used"]), number(row["bound"]), row["unit"], share


def _mark(row: Told) -> str:
    return "BROKEN" if row["broken"] else "ok"


def _used(text: str | None) -> str:
    return "unknown" if text is None else number(text)


def _state(trigger: Told) -> str:
    return "off" if not trigger["on"] else "FIRED" if trigger["fired"] else "armed"


def _pauses(rows: Sequence[Told]) -> str:
    if not rows:
        return "No entry is paused."
    cells = [(r["protection_id"], r["kind"], r["symbol"] or "all", r["ends"], r["why"]) for r in rows]
    return f"{table(PAUSES, cells)}\n`mexclab risk release PAUSE WHY` ends one before its time."


def _monitors(rows: Sequence[Told]) -> str:
    if not rows:
        return "Every market monitor is quiet."
    cells = [(r["monitor"], r["symbol"] or "all", r["state"], r["value"], r["bound"], r["why"]) for r in rows]
    return table(MONITORS, cells)


def _checked(row: Told | None) -> str:
    if row is None:
        return "never"
    state = "green" if row["green"] else f"NOT green: {'; '.join(row['reasons'])}"
    return f"{state}, {moment_utc(row['at_ns'])}"


def _confirmed(row: Told | None) -> str:
    if row is None:
        return "by nobody"
    which = "these limits" if row["in_force"] else "OTHER limits"
    return f"{which} for {row['account']} by {row['by']}, {moment_utc(row['at_ns'])}: {row['why']}"


def _rehearsed(row: Told | None) -> str:
    if row is None:
        return "never; `mexclab rehearse` does"
    times = ", ".join(f"{name} in {span(row[f'{name}_ns'])}" for name in ("halted", "flattened", "resumed"))
    return f"{'passed' if row['passed'] else 'FAILED'}, {moment_utc(row['at_ns'])}: {times}"


def review(told: Told) -> str:
    """What the limits say of an entry."""
    plan, quote = told["plan"], told["quote"]
    verdict = "cleared: it would be let through now" if told["cleared"] else "REFUSED"
    head = {
        "snipe": plan["snipe_id"] or "",
        "symbol": plan["symbol"],
        "budget": f"{number(plan['budget'])} {quote}",
        "order": f"{number(plan['order_quantity'])} at {number(plan['order_price'])}"
        f" = {number(plan['order_value'])} {quote}",
        "cap": number(plan["price_cap"]),
        "sizing": plan["sizing"],
        "verdict": verdict,
    }
    rows = [_before_and_after(row) for row in told["limits"] if is_shown(row)]
    text = [before(told["mode"], f"what if, at {moment_utc(told['at_ns'])}"), facts(head)]
    reasons = [f"REFUSED {row['limit']}: {row['why']}" for row in told["breaches"]]
    return "\n\n".join(filter(None, [*text, table(REVIEW, rows) if rows else "", "\n".join(reasons)]))


def _before_and_after(row: Told) -> tuple[str, ...]:
    if not row["unit"]:
        return _mark(row), row["name"], "", "", "", ""
    cells = ("" if row[name] is None else number(row[name]) for name in ("before", "after", "bound"))
    return (_mark(row), row["name"], *cells, row["unit"])


def limits(told: Told) -> str:
    """The limits in full, as they are confirmed."""
    head = {"account": told["account"], "digest": told["digest"], "confirmed": _confirmed(told["confirmed"])}
    rows = {row["name"]: row["text"] for row in told["limits"]}
    return "\n\n".join((before(told["mode"], "the limits in force"), facts(rows), facts(head)))
