"""The desk in a few sentences, for terminals and plain-text displays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mexclab.domain.clock import span, written
from mexclab.notebook.desk import Snapshot
from mexclab.notebook.mode import before


def sentences(shot: Snapshot) -> list[str]:
    """What is armed, what is at risk, is it healthy: one line each."""
    return list(_lines(shot))


def _lines(shot: Snapshot) -> Iterator[str]:
    body, risk = shot.body, shot.body["risk"]
    yield before(shot.mode, f"desk on the {body['venue']}, {written(shot.at_ns)}")
    halt = body["halt"]
    if halt:
        yield f"HALTED by {halt['by']} since {written(halt['at_ns'])}: {halt['why']}"
    failing = [check for check in body["health"]["checks"] if not check["ok"]]
    words = "; ".join(f"{check['name']}: {check['why']}" for check in failing)
    yield f"health: {words or 'every check passes'}"
    quote, profit, at_risk = risk["quote"], Decimal(risk["pnl"]), Decimal(risk["at_risk"])
    yield f"profit {profit:+.2f} {quote}, at risk {at_risk:.2f} {quote}"
    yield from _risk(risk)
    for row in body["listings"]:
        if row["snipe_id"] and row["state"] in ("PLANNED", "PREFLIGHT", "ARMED", "FIRING"):
            opens = span(row["open_ns"] - shot.at_ns)
            yield f"{row['state']:<9} {row['symbol']} ({row['snipe_id']}) opens in {opens}, cap {row['cap']}"
    for held in body["positions"]:
        gain = f"{Decimal(held['unrealised']):+.2f}" if held["unrealised"] is not None else "unknown"
        stop = f", stop {held['stop_price']}" if held.get("stop_price") else ""
        yield f"HELD      {held['symbol']} {held['quantity']} at {held['average_cost']}, profit {gain}{stop}"
    yield from _books(body)


def _risk(risk: Mapping[str, Any]) -> Iterator[str]:
    """What refuses entries now, other than a halt; nothing when nothing does."""
    for row in risk.get("missing", ()):
        yield f"MISSING   {row['limit']}: {row['why']}"
    for row in risk.get("protections", ()):
        yield f"PAUSED    {row['symbol'] or 'all'} {row['ends']} ({row['kind']}): {row['why']}"
    for row in risk.get("monitors", ()):
        if row["state"] == "tripped":
            about = row["symbol"] or "the venue"
            yield f"{row['state'].upper():<9} {row['monitor']} of {about}: {row['why']}"
    for row in risk.get("limits", ()):
        if row.get("broken"):
            used = "unknown" if row["used"] is None else row["used"]
            yield f"LIMIT     {row['name']}: {used} of {row['bound']} {row['unit']}".rstrip()


def _books(body: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it should be in the books; nothing when all is."""
    for order in body["orders"]:
        if order["state"] == "UNKNOWN":
            yield f"UNKNOWN   {order['client_id']}: {order['why']}; asked for until the venue tells"
    for dispute in body.get("disputed", ()):
        yield f"DISPUTED  {dispute['symbol']}: {dispute['why']}; no entry until a person resumes"
    last = body.get("reconciliation") or {"differences": ()}
    for sentence in last["differences"]:
        yield f"DIFFERS   {sentence} (compared {written(last['at_ns'])})"
    for rest in body.get("remainders", ()):
        yield f"LEFT OVER {rest['symbol']} {rest['quantity']}: {rest['why']}"
    if body.get("external_count"):
        yield f"OTHERS    {body['external_count']} orders on the account are not ours; they are not touched"
