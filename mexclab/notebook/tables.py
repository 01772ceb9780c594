"""What was recorded, as tables: listings, signals, snipes, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, utc
from mexclab.domain.desk import Desk
from mexclab.notebook.display import Table, said
from mexclab.notebook.record import NOTHING, Record, listings_in, triples_in
from mexclab.store.codec import encode

_UTC = pl.Datetime("us", "UTC")
LISTINGS = {
    "symbol": pl.String, "full_name": pl.String, "first_seen": _UTC, "opens": _UTC, "lead_h": pl.Float64,
    "postponed": pl.Int64, "triple": pl.String, "signal_lead_h": pl.Float64, "state": pl.String,
    "why": pl.String,
}  # fmt: skip
SIGNALS = {
    "symbol": pl.String, "pattern": pl.String, "raised": _UTC, "opens": _UTC, "lead_h": pl.Float64,
    "probability": pl.Float64, "evidence": pl.String, "came_to": pl.String,
}  # fmt: skip
SNIPES = {
    "snipe_id": pl.String, "symbol": pl.String, "state": pl.String, "opens": _UTC, "budget": pl.String,
    "cap": pl.String, "attempts": pl.Int64, "entered": _UTC, "closed": _UTC, "profit": pl.String,
    "why": pl.String,
}  # fmt: skip
EVENTS = {"seq": pl.Int64, "at": _UTC, "kind": pl.String, "correlation": pl.String, "body": pl.String}


def listings(record: Record) -> Table:
    """A row per listing, by opening: when it was first seen, when a signal was raised, what came of it.

    ``lead_h`` is from the first sight to the opening as it stood last, ``signal_lead_h`` from the first
    signal; negative is too late.
    """
    desk = Desk.of(event for _, event in record.events)
    triples = triples_in(record)
    snipes = {snipe.plan.symbol: snipe for snipe in desk.snipes.values()}
    rows = []
    for listing in listings_in(record):
        signals = [signal for signal in desk.signals.values() if signal.symbol == listing.symbol]
        first = min((signal.at_ns for signal in signals), default=None)
        declined = next((desk.declined[s.signal_id] for s in signals if s.signal_id in desk.declined), "")
        snipe = snipes.get(listing.symbol)
        triple = listing.state.triple if listing.state else triples.get(str(listing.symbol))
        rows.append(
            {
                "symbol": str(listing.symbol),
                "full_name": listing.full_name,
                "first_seen": utc(listing.first_seen_ns),
                "opens": utc(listing.open_ns),
                "lead_h": listing.lead_ns / HOUR,
                "postponed": len(listing.postponements),
                "triple": said(triple) if triple else "",
                "signal_lead_h": None if first is None else (listing.open_ns - first) / HOUR,
                "state": str(snipe.state) if snipe else "",
                "why": (snipe.why or snipe.reason) if snipe else declined,
            }
        )
    return _table(f"{len(rows)} listings", rows, LISTINGS, record)


def signals(record: Record) -> Table:
    """A row per signal, oldest first, with its evidence and what it came to."""
    desk = Desk.of(event for _, event in record.events)
    rows = []
    for signal in sorted(desk.signals.values(), key=lambda signal: signal.at_ns):
        snipe = next((s for s in desk.snipes.values() if s.plan.signal_id == signal.signal_id), None)
        rows.append(
            {
                "symbol": str(signal.symbol),
                "pattern": signal.pattern,
                "raised": utc(signal.at_ns),
                "opens": utc(signal.open_ns),
                "lead_h": signal.lead_ns / HOUR,
                "probability": float(signal.probability),
                "evidence": said(signal.evidence),
                "came_to": str(snipe.state)
                if snipe
                else desk.declined.get(signal.signal_id, "no plan of its own"),
            }
        )
    return _table(f"{len(rows)} signals", rows, SIGNALS, record)


def snipes(record: Record) -> Table:
    """A row per snipe, by opening; money digit for digit, as text."""
    desk = Desk.of(event for _, event in record.events)
    rows = [
        {
            "snipe_id": snipe.snipe_id,
            "symbol": str(snipe.plan.symbol),
            "state": str(snipe.state),
            "opens": utc(snipe.plan.not_before_ns),
            "budget": said(snipe.plan.budget_quote),
            "cap": said(snipe.plan.price_cap),
            "attempts": snipe.attempts_made,
            "entered": None if snipe.entered_ns is None else utc(snipe.entered_ns),
            "closed": None if snipe.closed_ns is None else utc(snipe.closed_ns),
            "profit": said(desk.profit(snipe.snipe_id)) if snipe.entered_ns is not None else None,
            "why": snipe.why or snipe.reason,
        }
        for snipe in sorted(desk.snipes.values(), key=lambda snipe: snipe.plan.not_before_ns)
    ]
    return _table(f"{len(rows)} snipes", rows, SNIPES, record)


def events(record: Record) -> Table:
    """A row per entry of the ledger, oldest first; the body as it stands there."""
    rows = [
        {
            "seq": seq,
            "at": utc(event.at_ns),
            "kind": type(event).__name__,
            "correlation": e.correlation(event),
            "body": encode(event).body,
        }
        for seq, event in record.events
    ]
    return _table(f"{len(rows)} events", rows, EVENTS, record)


def _table(title: str, rows: Sequence[Mapping[str, Any]], schema: dict[str, Any], record: Record) -> Table:
    frame = pl.DataFrame(rows, schema=schema)
    if rows:
        return Table(f"{title}, read from {record.source}", frame)
    nothing = not record.events and not record.sightings
    return Table(title, frame, NOTHING if nothing else f"none so far in {record.source}")
