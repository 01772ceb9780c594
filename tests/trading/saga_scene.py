"""A venue that answers at once, and a ledger at which a process dies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.market import Book, Level, Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Refused
from mexclab.domain.snipe import SnipeState
from mexclab.errors import LedgerUnavailable
from mexclab.runtime.clock import ManualClock
from mexclab.store.memory import MemoryLedger
from mexclab.trading import safety
from tests.trading.truth_scene import PLAN, Desks, Truth

LATE = Decimal("0.95")
BRIEF = replace(PLAN, exit=replace(PLAN.exit, time_stop_ns=20 * SECOND))
_S = SnipeState


class Answering(Truth):
    """It takes what it is sent and says so at the next look.

    Attributes:
        sells: whether anybody sells to us.
        bid: what it shows as the price; None: it shows none, and nobody buys from us.
        offers: whether it takes limits that rest.
    """

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.sells, self.offers = True, True
        self.bid: Decimal | None = LATE

    async def book(self, symbol: Symbol) -> Book | None:
        if self.bid is None:
            return None
        bid, ask = Level(self.bid, Decimal(99)), Level(self.bid + self.rules.tick, Decimal(99))
        return Book(symbol, (bid,), (ask,), self.clock.now_ns())

    def submit(self, order: Order) -> None:
        if order.type is OrderType.LIMIT and not self.offers:
            refusal = Refused(order.client_id, 30004, "Insufficient position", self.clock.now_ns())
            self.news.append(refusal)
            return
        super().submit(order)
        client_id = order.client_id
        self.news += self.take(client_id) if order.side is Side.BUY else self.accepted(client_id)
        if order.type is OrderType.IMMEDIATE_OR_CANCEL:
            trades = self.sells if order.side is Side.BUY else self.bid is not None
            self.news += self.trade(client_id, order.quantity) if trades else []
            self.news += self.end(client_id)

    def cancel(self, order: Order) -> None:
        super().cancel(order)
        if order.client_id in self.rows:
            self.news += self.end(order.client_id)


class Mortal(MemoryLedger):
    """Keeps what was appended together; the process can be made to die at one of the appends.

    Attributes:
        dies_at: the how-manieth append from now on; None: never.
        durable: whether that one is written before the process dies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[e.Event, ...]] = []
        self.dies_at: int | None = None
        self.durable = True

    async def append(self, *events: e.Event) -> int:
        if self.dies_at is not None:
            self.dies_at -= 1
            if not self.dies_at:
                self.dies_at = None
                if self.durable:
                    await super().append(*events)
                    self.batches.append(events)
                raise LedgerUnavailable("the process dies here")
        last = await super().append(*events)
        self.batches.append(events)
        return last


def mortal() -> Desks:
    """A desk on such a venue and such a ledger, not started yet."""
    scene = Desks(venue=Answering)
    scene.ledger = Mortal()
    scene.engine = scene._process()
    return scene


def venue_of(scene: Desks) -> Answering:
    assert isinstance(scene.venue, Answering)
    return scene.venue


def batches_of(scene: Desks) -> list[tuple[e.Event, ...]]:
    assert isinstance(scene.ledger, Mortal)
    return scene.ledger.batches


async def lived(scene: Desks, for_ns: int = 2 * MINUTE) -> None:
    """Plan it, arm it and live until long after its opening, from wherever the ledger stands."""
    desk = scene.desk
    if "s-1" not in desk.snipes:
        await scene.engine.record(e.SnipePlanned(scene.clock.now_ns(), BRIEF))
    if desk.snipes["s-1"].state in (_S.PLANNED, _S.PREFLIGHT):
        await safety.arm(scene.engine, "s-1", "ada")
    await scene.run(max(BRIEF.not_before_ns - scene.clock.now_ns(), 0) + for_ns)
