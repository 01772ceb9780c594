"""The books of a storm: looked at after every event, and held against the venue at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.snipe import Plan
from mexclab.store.memory import MemoryLedger
from tests.saga_truth import between

ZERO = Decimal(0)


class WatchedLedger(MemoryLedger):
    """A ledger that folds what it is given into a desk of its own and looks at it after every event.

    Attributes:
        shadow: the fold of everything written so far; nobody but this ledger touches it.
        broken: what did not hold, in sentences, with the number of the event.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shadow = Desk()
        self.broken: list[str] = []
        self._held: defaultdict[Symbol, Decimal] = defaultdict(Decimal)
        self._spent: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._plans: dict[str, Plan] = {}
        self._trades: Counter[str] = Counter()
        self._decided: Counter[str] = Counter()

    async def append(self, *events: e.Event) -> int:
        last = await super().append(*events)
        for number, event in enumerate(events, last - len(events) + 1):
            self.shadow.fold(event)
            self._count(event)
            self.broken += [f"event {number} ({type(event).__name__}): {why}" for why in self._wrong(event)]
        self.broken += [f"event {last}: {why}" for why in between(self.shadow)]
        return last

    def _count(self, event: e.Event) -> None:
        """The naive twin of the fold: sums, and nothing else."""
        match event:
            case e.SnipePlanned(plan=plan):
                self._plans[plan.snipe_id] = plan
            case e.OrderDecided(order=order):
                self._decided[order.client_id] += 1
            case e.OrderFilled(fill=fill):
                self._trades[fill.trade_id] += 1
                self._held[fill.symbol] += fill.quantity if fill.side is Side.BUY else -fill.quantity
                if fill.fee_asset == fill.symbol.base:
                    self._held[fill.symbol] -= fill.fee
                if fill.side is Side.BUY:
                    self._spent[e.snipe_of(fill.client_id)] += fill.value

    def _wrong(self, event: e.Event) -> Iterator[str]:
        if isinstance(event, e.OrderDecided) and self._decided[event.order.client_id] > 1:
            yield f"{event.order.client_id} was decided twice"
        if isinstance(event, e.OrderFilled):
            yield from self._wrong_fill(event.fill)
        for symbol, position in self.shadow.portfolio.positions.items():
            if position.quantity < 0 or position.cost < 0:
                yield f"{symbol}: {position.quantity} held at a cost of {position.cost}"
            if position.quantity != self._held[symbol]:
                yield f"{symbol}: {position.quantity} held, {self._held[symbol]} by the sum of fills"

    def _wrong_fill(self, fill: Fill) -> Iterator[str]:
        if self._trades[fill.trade_id] > 1:
            yield f"trade {fill.trade_id} was written twice"
        snipe_id = e.snipe_of(fill.client_id)
        plan = self._plans.get(snipe_id)
        if plan is None:
            yield f"trade {fill.trade_id} belongs to no plan"
        elif self._spent[snipe_id] > plan.budget_quote:
            yield f"{snipe_id} spent {self._spent[snipe_id]} of a budget of {plan.budget_quote}"


def unlike(desk: Desk, again: Desk) -> Iterator[str]:
    """Where the desk that lived and the fold of its ledger differ."""
    for name in ("orders", "snipes", "portfolio", "halt", "signals", "disputed", "external"):
        if getattr(desk, name) != getattr(again, name):
            yield f"the desk's {name} are not what the ledger folds to"
