"""What the venue knows, what the ledger knows, and where they are not the same."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side
from mexclab.errors import LedgerCorrupt
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from tests.saga_truth import between, grouped, wrong

QUOTE = "USDT"
SMALLEST_ORDER = Decimal(1)  # in quote; what is worth less cannot be sold at the venue
MOST_TRADES = 100  # that the venue shows at once
ENDINGS = ("completed", "compensated")
ENDED = frozenset({"FILLED", "CANCELED", "PARTIALLY_CANCELED"})


class Book:
    """A ledger that somebody else writes, folded as far as it is durable."""

    def __init__(self, url: str | None, data: Path) -> None:
        self._postgres: Postgres = connect(url, data, pool_size=1)
        self._ledger = PostgresLedger.open(self._postgres, writer=False)
        self.desk = Desk()
        self.events: list[e.Event] = []

    def read_on(self) -> None:
        """Fold what has become durable since the last time."""
        for _, event in self._ledger.read(len(self.events)):
            self.desk.fold(event)
            self.events.append(event)

    def torn(self) -> str:
        """Why the hash chain does not hold; empty when it does."""
        try:
            self._ledger.verify()
        except LedgerCorrupt as error:
            return error.message
        return ""

    def has(self, kind: str) -> bool:
        return any(type(event).__name__ == kind for event in self.events)

    def close(self) -> None:
        self._postgres.close()


@dataclass(frozen=True, slots=True)
class Venue:
    """The venue's own books of our account, at one moment."""

    orders: Sequence[dict[str, Any]]
    trades: Sequence[dict[str, Any]]
    totals: dict[str, Decimal]
    placed: Sequence[tuple[int, str]]  # (ns, client id) of every order that it was asked to place

    @classmethod
    def ask(cls, url: str, symbol: str, memory: Path) -> Venue:
        """Over its wire, as the account's owner; and from the journal that it keeps of what it was asked."""
        # a client costs more than all that is asked by it
        with httpx.Client(base_url=f"{url}/api/v3/", timeout=10, verify=False) as client:
            account = _signed(client, "account")
            orders = _signed(client, "allOrders", symbol=symbol, limit="1000")
            trades = _signed(client, "myTrades", symbol=symbol, limit=str(MOST_TRADES))
        totals = {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in account["balances"]}
        if isinstance(orders, dict):  # it does not know the symbol yet, so nothing was placed
            orders, trades = [], []
        assert len(trades) < MOST_TRADES, "there may be more trades than the venue shows"
        lines = [json.loads(line) for line in (memory / "journal.jsonl").read_text().splitlines()[1:]]
        placed = [(line["at_ns"], line["order"][-1]) for line in lines if line.get("do") == "place"]
        return cls(orders, trades, totals, placed)


def _signed(client: httpx.Client, name: str, **params: str) -> Any:
    now_ms = client.get("time").json()["serverTime"]
    query = urlencode({**params, "recvWindow": "60000", "timestamp": str(now_ms)})
    signature = hmac.new(PAPER_ACCOUNT.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MEXC-APIKEY": PAPER_ACCOUNT.key}
    return client.get(f"{name}?{query}&signature={signature}", headers=headers).json()


@dataclass(slots=True)
class Findings:
    """Where ledger and venue differ, in sentences by kind."""

    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    portfolio: list[str] = field(default_factory=list)
    sagas: list[str] = field(default_factory=list)
    venue_orders: int = 0
    ledger_orders: int = 0

    @property
    def all(self) -> list[str]:
        return [*self.duplicates, *self.lost, *self.portfolio, *self.sagas]


def compare(desk: Desk, events: Sequence[e.Event], venue: Venue) -> Findings:
    """Everything that must hold once a desk is quiet.

    Args:
        desk: the ledger, folded.
        events: the ledger.
    """
    found = Findings(venue_orders=len(venue.orders), ledger_orders=len(desk.orders))
    found.duplicates += _duplicates(desk, venue)
    found.lost += _lost(desk, venue)
    found.portfolio += _trades(desk, events, venue)
    found.portfolio += _money(desk, venue)
    found.sagas += _sagas(desk, events)
    return found


def _duplicates(desk: Desk, venue: Venue) -> Iterator[str]:
    for client_id, count in Counter(row["clientOrderId"] for row in venue.orders).items():
        if count > 1:
            yield f"{client_id} is at the venue {count} times"
    taken = {row["clientOrderId"]: int(row["time"]) for row in venue.orders}
    for at_ns, client_id in venue.placed:
        if client_id in taken and at_ns // 1_000_000 > taken[client_id]:
            yield f"{client_id} was sent again after it had been taken"
    for snipe in desk.snipes.values():
        bought = [order for order in desk.entries(snipe.snipe_id) if order.fills]
        if len(bought) > 1:
            yield f"{snipe.snipe_id} bought in {len(bought)} orders"
        spent = sum((fill.value for order in bought for fill in order.fills), Decimal(0))
        if spent > snipe.plan.budget_quote:
            yield f"{snipe.snipe_id} spent {spent} of {snipe.plan.budget_quote}"


def _lost(desk: Desk, venue: Venue) -> Iterator[str]:
    there = {row["clientOrderId"]: row for row in venue.orders}
    for client_id in there:
        if client_id not in desk.orders:
            yield f"{client_id} is at the venue and not in the ledger"
    for order in desk.orders.values():
        row = there.get(order.client_id)
        if row is None:
            if order.is_live or order.fills:
                yield f"{order.client_id} is {order.state} in the ledger and not at the venue"
            continue
        told = (Decimal(row["executedQty"]), row["status"] not in ENDED)
        if told != (order.filled, order.is_live):
            mine = f"{order.client_id} is {order.state}, {order.filled} filled"
            yield f"{mine}; at the venue {row['status']}, {told[0]}"
    for order in desk.unknown_orders():
        yield f"{order.client_id} is of unknown fate: {order.why}"
    for symbol in desk.disputed:
        yield f"{symbol} is disputed"
    for snipe in desk.snipes.values():
        price = desk.entry_price(snipe.snipe_id)
        held = desk.held(snipe.plan.symbol)
        if snipe.state.is_over and price is not None and held * price > 2 * SMALLEST_ORDER:
            yield f"{snipe.snipe_id} is {snipe.state}, and {held} {snipe.plan.symbol.base} is left behind"


def _sagas(desk: Desk, events: Sequence[e.Event]) -> Iterator[str]:
    """Sagas that are between, at the end or wherever a death could have cut the ledger off."""
    ended = [event for event in events if isinstance(event, e.SagaEnded)]
    begun = [event for event in events if isinstance(event, e.SagaBegun)]
    yield from (f"{each.saga_id} ended {each.outcome}" for each in ended if each.outcome not in ENDINGS)
    if len(begun) != len(ended) + len(desk.sagas):
        yield f"{len(begun)} sagas began, {len(ended)} ended and {len(desk.sagas)} go on"
    yield from between(desk)
    yield from wrong(grouped(events))


def _trades(desk: Desk, events: Sequence[e.Event], venue: Venue) -> Iterator[str]:
    there = {row["id"]: row for row in venue.trades}
    here = {fill.trade_id: fill for order in desk.orders.values() for fill in order.fills}
    told = Counter(event.fill.trade_id for event in events if isinstance(event, e.OrderFilled))
    if twice := sorted(trade for trade, count in told.items() if count > 1):
        yield f"trades that were written down twice: {', '.join(twice)}"
    if missing := sorted(there.keys() - here.keys()):
        yield f"trades that the ledger does not know: {', '.join(missing)}"
    if invented := sorted(here.keys() - there.keys()):
        yield f"trades that the venue does not know: {', '.join(invented)}"
    for trade_id in here.keys() & there.keys():
        fill, row = here[trade_id], there[trade_id]
        mine = (fill.client_id, fill.side is Side.BUY, fill.price, fill.quantity, fill.fee, fill.fee_asset)
        numbers = tuple(Decimal(row[name]) for name in ("price", "qty", "commission"))
        theirs = (row["clientOrderId"], row["isBuyer"], *numbers, row["commissionAsset"])
        if mine != theirs:
            yield f"trade {trade_id}: {mine} in the ledger, {theirs} at the venue"


def _money(desk: Desk, venue: Venue) -> Iterator[str]:
    quote = PAPER_ACCOUNT.balances[QUOTE]
    for order in desk.orders.values():
        for fill in order.fills:
            quote += (fill.value if fill.side is Side.SELL else -fill.value) - fill.fee
    if quote != venue.totals.get(QUOTE):
        yield f"{QUOTE}: {quote} by the ledger, {venue.totals.get(QUOTE)} at the venue"
    for symbol in dict.fromkeys(order.symbol for order in desk.orders.values()):
        held, total = desk.held(symbol), venue.totals.get(symbol.base, Decimal(0))
        if held != total:
            yield f"{symbol.base}: {held} by the ledger, {total} at the venue"
