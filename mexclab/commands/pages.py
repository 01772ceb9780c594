"""The desk's answers as text for terminals: rows in, text out; an empty list is said in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mexclab.commands.tables import (
    Column,
    facts,
    moment,
    moment_utc,
    money,
    number,
    percent,
    second,
    table,
    words,
)
from mexclab.domain.clock import span

Row = Mapping[str, Any]
_SHORT: dict[str, str] = {
    "PARTIALLY_FILLED": "PARTIAL",
    "IMMEDIATE_OR_CANCEL": "IOC",
    "FILL_OR_KILL": "FOK",
    "LIMIT_MAKER": "MAKER",
}
_TOLD_ELSEWHERE = ("at_ns", "snipe_id", "signal_id", "symbol", "fills", "state")
_PARTS = ("order", "fill", "plan", "signal", "preflight", "exit")  # of an entry that hold its facts
UNITS = "Prices and money are in each pair's quote asset, quantities in its base asset."

ORDERS = (
    Column("decided (UTC)"), Column("order"), Column("symbol"), Column("side"), Column("state"),
    Column("filled/quantity", is_number=True), Column("limit", is_number=True),
    Column("average", is_number=True), Column("why", may_shrink=True),
)  # fmt: skip
SNIPES = (
    Column("opens (UTC)"), Column("snipe"), Column("symbol"), Column("state"),
    Column("budget", is_number=True), Column("cap", is_number=True), Column("entry", is_number=True),
    Column("stop", is_number=True), Column("profit", is_number=True), Column("why", may_shrink=True),
)  # fmt: skip
POSITIONS = (
    Column("symbol"), Column("quantity", is_number=True), Column("cost", is_number=True),
    Column("bid", is_number=True), Column("value", is_number=True), Column("profit", is_number=True),
    Column("stop", is_number=True), Column("targets"), Column("why not sellable", may_shrink=True),
)  # fmt: skip
POST_MORTEMS = (
    Column("opens (UTC)"), Column("snipe"), Column("symbol"), Column("state"), Column("late", is_number=True),
    Column("answer", is_number=True), Column("entry", is_number=True), Column("exit", is_number=True),
    Column("profit", is_number=True), Column("why", may_shrink=True),
)  # fmt: skip
FILLS = (
    Column("at (UTC)"), Column("trade"), Column("price", is_number=True), Column("quantity", is_number=True),
    Column("value", is_number=True), Column("fee", is_number=True), Column("of"),
)  # fmt: skip
HISTORY = (
    Column("entry", is_number=True),
    Column("at (UTC)"),
    Column("event"),
    Column("what", may_shrink=True),
)
EXTERNAL = (
    Column("seen (UTC)"), Column("venue's id"), Column("symbol"), Column("side"),
    Column("quantity", is_number=True), Column("limit", is_number=True),
)  # fmt: skip


def orders(told: Row) -> str:
    """A list of orders, then what belongs to others and what is disputed."""
    listed = told["orders"]
    empty = "No order fits that question. An order is decided when a snipe fires or leaves."
    parts = [f"{table(ORDERS, list(map(_order, listed)))}\n{UNITS}" if listed else empty]
    if told["more"]:
        parts.append(f"More than these {len(listed)} fit; --limit shows more.")
    return "\n\n".join([*parts, *_strangers(told)])


def order(story: Row) -> str:
    """One order, its trades and its history."""
    row = story["order"]
    rows = {
        "order": row["client_id"],
        "venue's id": row["venue_id"] or "not known",
        "snipe": row["snipe_id"],
        "symbol": row["symbol"],
        "what": f"{row['side']} {row['type']}, leg {row['leg'] or '-'}",
        "state": _state(row),
        "filled": f"{number(row['filled'])} of {number(row['quantity'])}",
        "limit": number(row["price"]),
        "average": number(row["average_price"]),
        "decided": moment_utc(row["decided_ns"]),
        "sent": moment_utc(row["sent_ns"]),
        "left": moment_utc(row["left_ns"]),
        "acknowledged": moment_utc(row["acked_ns"]),
        "cancel asked": moment_utc(row["cancel_ns"]),
        "why": row["why"],
    }
    fills = [
        (moment(f["at_ns"]), f["trade_id"], number(f["price"]), number(f["quantity"]), number(f["value"]),
         number(f["fee"]), f["fee_asset"])
        for f in story["fills"]
    ]  # fmt: skip
    trades = table(FILLS, fills) if fills else "No trade of it is known."
    return "\n\n".join([facts(rows), trades, _history(story["history"])])


def snipes(told: Row) -> str:
    """A list of snipes."""
    if not told["snipes"]:
        return (
            "No snipe fits that question. Plans are made of listings: `mexclab status` shows what is coming."
        )
    rows = [
        (
            second(row["open_ns"]), row["snipe_id"], row["symbol"], row["state"], number(row["budget_quote"]),
            number(row["price_cap"]), _short(row["entry_price"]), _short(row["stop"]["price"]),
            money(row["profit"]), row["why"] or row["reason"],
        )
        for row in told["snipes"]
    ]  # fmt: skip
    more = f"\n\nMore than these {len(rows)} fit; --limit shows more." if told["more"] else ""
    return f"{table(SNIPES, rows)}\n{UNITS}{more}"


def snipe(story: Row) -> str:
    """One snipe: plan, exit, checks, orders, post-mortem, history."""
    row = story["snipe"]
    checks = [
        f"{check['stage']} ({moment_utc(check['at_ns'])}): "
        + ("passed" if check["passed"] else "; ".join(check["reasons"]))
        for check in story["preflights"]
    ]
    listed = story["orders"]
    looked_back = story["post_mortem"]
    parts = [
        facts(_plan(row)),
        "\n".join(["checks:", *(f"  {check}" for check in checks)]) if checks else "No check was made yet.",
        table(ORDERS, list(map(_order, listed))) if listed else "No order was decided for it.",
        post_mortem(looked_back) if looked_back and listed else "",
        _history(story["history"]),
        "The history goes on; /events has all of it." if story["more"] else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _plan(row: Row) -> dict[str, str]:
    plan = row["exit"]
    stop = row["stop"]
    raised = ", raised" if stop["raised"] else ""
    peak = f", highest bid {number(stop['peak'])}" if stop["peak"] else ""
    return {
        "snipe": row["snipe_id"],
        "symbol": row["symbol"],
        "state": ": ".join(filter(None, (row["state"], row["why"] or row["reason"]))),
        "armed by": row["armed_by"],
        "opens": moment_utc(row["open_ns"]),
        "gives up": moment_utc(row["deadline_ns"]),
        "budget": f"{number(row['budget_quote'])}, cap {number(row['price_cap'])}",
        "attempts": f"{row['attempts_made']} of {row['attempts']}",
        "exit": f"{plan['preset'] or 'own ladder'}: {plan['text']} (gain:share in percent)",
        "stop loss": percent(plan["stop_loss"]),
        "trailing": percent(plan["trailing"]),
        "break-even": f"after {percent(plan['break_even_after'])}" if plan["break_even_after"] else "",
        "time stop": span(int(plan["time_stop_s"] * 10**9)),
        "entered": moment_utc(row["entered_ns"]),
        "entry": number(row["entry_price"]),
        "stop": f"{number(stop['price'])}{raised}{peak}" if stop["price"] else "",
        "closed": moment_utc(row["closed_ns"]),
        "profit": money(row["profit"]),
    }


def positions(told: Row) -> str:
    """What is held, then what is left over."""
    held = told["positions"]
    empty = "Nothing is held. What a snipe buys at an opening shows up here."
    parts = [f"{table(POSITIONS, list(map(_position, held)))}\n{UNITS}" if held else empty]
    left = told["remainders"]
    if left:
        parts.append(
            "Left over, too little for the venue to trade (`mexclab sweep WHY` sells what has grown):"
        )
        parts.append("\n".join(f"  {row['symbol']} {number(row['quantity'])}: {row['why']}" for row in left))
    return "\n\n".join(parts)


def _position(row: Row) -> tuple[str, ...]:
    sold = sum(1 for target in row["targets"] if target["filled"])
    placed = len(row["targets"])
    return (
        row["symbol"], number(row["quantity"]), _short(row["average_cost"]), number(row["price"]),
        _short(row["value"]), money(row["unrealised"]), _short(row["stop_price"]),
        f"{sold} of {placed} sold" if placed else "", row["why"],
    )  # fmt: skip


def reconciliation(told: Row) -> str:
    """What the last comparison found, and what is open."""
    last = told["last"]
    if last is None:
        return "The ledger was never compared with the venue; a desk does so when it starts."
    lines = [
        f"Compared {moment_utc(last['at_ns'])}: {last['orders_asked']} open orders asked for, "
        f"{last['fills_found']} missing trades found, {last['external']} orders of others."
    ]
    lines += [f"DIFFERS   {sentence}" for sentence in last["differences"]]
    lines += [
        f"UNKNOWN   {row['client_id']} ({row['symbol']}): {row['why']}; asked for until the venue tells"
        for row in told["unknown"]
    ]
    open_questions = len(last["differences"]) + len(told["unknown"]) + len(told["disputed"])
    if not open_questions:
        lines.append("The venue and the ledger agree to the last digit; no order is of unknown fate.")
    return "\n\n".join(["\n".join(lines), *_strangers(told)])


def _strangers(told: Row) -> list[str]:
    parts = []
    if told["disputed"]:
        lines = [f"  {row['symbol']}: {row['why']}" for row in told["disputed"]]
        hand = "  Sold or withdrawn by hand? mexclab reconcile --accept SYMBOL --why TEXT, then resume"
        parts.append("\n".join(["Disputed, no entry until a person resumes:", *lines, hand]))
    if told["external"]:
        rows = [
            (second(row["seen_ns"]), row["venue_id"], row["symbol"], row["side"], number(row["quantity"]),
             number(row["price"]))
            for row in told["external"]
        ]  # fmt: skip
        parts.append("Orders of others on this account, shown and never touched:\n" + table(EXTERNAL, rows))
    return parts


def post_mortems(told: Row) -> str:
    """A line per snipe that is over or has fired."""
    if not told["post_mortems"]:
        return "No snipe has fired or ended yet, so there is nothing to look back on."
    rows = [
        (
            second(row["open_ns"]), row["snipe_id"], row["symbol"], row["state"],
            _span(row["lateness_ns"]), _span(row["answer_ns"]), _short(row["average_entry"]),
            _short(row["average_exit"]), money(row["profit"]) if row["fills"] else "",
            row["exit_why"] or row["why"] or row["reason"],
        )
        for row in told["post_mortems"]
    ]  # fmt: skip
    more = f"\n\nMore than these {len(rows)} fit; --limit shows more." if told["more"] else ""
    return f"{table(POST_MORTEMS, rows)}\n{UNITS}{more}"


def post_mortem(row: Row) -> str:
    """One snipe in full: what is known, by name."""
    left_out = ("entries", "exits", "preflights", "retimings")
    told = {name: _fact(name, value) for name, value in row.items() if name not in left_out}
    return facts({name.removesuffix("_ns").replace("_", " "): text for name, text in told.items()})


def _fact(name: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, int) and name.endswith("_ns"):
        is_span = name in ("lateness_ns", "write_delay_ns", "answer_ns", "holding_ns", "lead_ns")
        return span(value) if is_span else moment_utc(value)
    if name.startswith("slippage_") or name in ("exit_slippage", "profit_fraction"):
        return f"{Decimal(value) * 100:+.2f} %"
    return _short(value) if name.startswith("average_") else words(value)


def _order(row: Row) -> tuple[str, ...]:
    return (
        second(row["decided_ns"]), row["client_id"], row["symbol"], row["side"], _state(row),
        f"{number(row['filled'])}/{number(row['quantity'])}", number(row["price"]),
        _short(row["average_price"]), row["why"],
    )  # fmt: skip


def _state(row: Row) -> str:
    return _SHORT.get(row["state"], str(row["state"]))


def _history(entries: Sequence[Row]) -> str:
    if not entries:
        return "The ledger has no entry of it."
    return table(
        HISTORY,
        [(str(e["seq"]), moment(e["at_ns"]), e["kind"], _what(e["kind"], e["body"])) for e in entries],
    )


def _what(kind: str, body: Row) -> str:
    """An entry's own facts; what the page tells elsewhere, and instants, are left out."""
    flat: dict[str, Any] = {}
    for name, value in body.items():
        flat |= value if isinstance(value, dict) and name in _PARTS else {name: value}
    if kind == "VerdictGiven" and not body["breaches"]:
        return f"{body['client_id']}: every limit holds"
    spans = {
        n[:-3]: span(v) for n, v in flat.items() if n in ("lateness_ns", "time_stop_ns") and v is not None
    }
    kept = {n: v for n, v in flat.items() if n not in _TOLD_ELSEWHERE and not n.endswith("_ns")}
    return words(_plain((kept | spans).items()))


def _plain(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if value not in (None, "", [], {}, False)}


def _short(text: str | None) -> str:
    """A quotient for the eye: six significant digits."""
    return number(f"{Decimal(text):.6g}") if text else ""


def _span(duration_ns: int | None) -> str:
    return "" if duration_ns is None else span(duration_ns)
