"""A venue that is a plain list of truth, and desks on it that can be killed and started again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mexclab import replay
from mexclab.config import LimitSettings, SnipeSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Book, Level, Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import (
    Accepted,
    Balance,
    Balances,
    Cancelled,
    ClockReading,
    Happening,
    Report,
    Traded,
    VenueOrder,
)
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan
from mexclab.runtime.bus import Bus
from mexclab.runtime.clock import ManualClock
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading import recovery, safety, truth
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar

ABC = Symbol("ABC")
START = 20_600 * DAY
OPENS = START + 10 * MINUTE
MARKET = Market(ABC, Decimal("0.001"), Decimal("0.1"))
PLAN = Plan(
    "s-1", "s-1", ABC, Decimal(40), Decimal(1), OPENS, OPENS + 20 * SECOND,
    ExitPlan(LADDERS["balanced"], Decimal("0.3"), 2 * HOUR), attempts=3, spacing_ns=250 * MILLISECOND,
)  # fmt: skip
MONEY = Decimal(1000)
ZERO = Decimal(0)


@dataclass
class Row:
    """One order as the venue has it."""

    order: Order
    venue_id: str
    state: OrderState = OrderState.ACCEPTED
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills), ZERO)

    @property
    def rests(self) -> bool:
        return self.state.is_open

    def shown(self) -> VenueOrder:
        o = self.order
        return VenueOrder(
            o.client_id, self.venue_id, o.symbol, o.side, self.state, o.quantity, o.price, self.filled
        )


class Truth:
    """A venue that is a plain list of what is true. Beyond taking sales it does only what a test tells it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rules = MARKET
        self.rows: dict[str, Row] = {}
        self.requests: dict[str, Order] = {}  # sent to it, and not taken yet
        self.cancels: list[str] = []
        self.news: list[Happening] = []  # told by the feed at the next look
        self.trades = 0
        self.fee, self.fee_asset = Decimal(0), "USDT"  # a fraction of what is traded
        self.calendar: list[CalendarEntry] = []

    # -- what is told to it ------------------------------------------------------------------------

    def take(self, client_id: str) -> list[Report]:
        """The request has arrived, and is accepted."""
        order = self.requests.pop(client_id)
        self.rows[client_id] = Row(order, f"v-{client_id}")
        return self.accepted(client_id)

    def accepted(self, client_id: str) -> list[Report]:
        return [Accepted(client_id, self.rows[client_id].venue_id, self.clock.now_ns())]

    def trade(self, client_id: str, quantity: Decimal, price: Decimal | None = None) -> list[Report]:
        row, now = self.rows[client_id], self.clock.now_ns()
        o, price = row.order, price or row.order.price
        self.trades += 1
        base = o.side is Side.BUY and self.fee_asset == o.symbol.base
        asset = self.fee_asset if base or self.fee_asset != o.symbol.base else o.symbol.quote
        fee = self.fee * (quantity if base else quantity * price)
        fill = Fill(
            f"T{self.trades}", client_id, o.symbol, o.side, price, quantity, fee, asset, now
        )  # fmt: skip
        row.fills.append(fill)
        row.state = OrderState.FILLED if row.filled == o.quantity else OrderState.PARTIALLY_FILLED
        return [Traded(fill, now)]

    def end(self, client_id: str) -> list[Report]:
        """The rest of the order goes."""
        row = self.rows[client_id]
        if not row.rests:
            return []
        row.state = OrderState.CANCELED
        return [Cancelled(client_id, "the rest", self.clock.now_ns(), row.filled)]

    def cut(self, client_id: str, cuts: Sequence[int], *, whole: bool, prices: int = 1) -> list[Report]:
        """Trade the order in pieces of so many lots; the last piece takes all of it if ``whole``."""
        row, told = self.rows[client_id], list[Report]()
        for number, lots in enumerate(cuts, start=1):
            left = row.order.quantity - row.filled
            size = left if whole and number == len(cuts) else min(lots * self.rules.lot, left)
            if size > 0:
                price = row.order.price - (number % prices) * self.rules.tick
                told += self.trade(client_id, size, price)
        return told

    # -- Exchange ----------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """Nothing leaves."""

    def recall(self, orders: Sequence[Order]) -> None:
        """Its trades carry our ids."""

    def submit(self, order: Order) -> None:
        assert order.client_id not in self.requests | self.rows, f"{order.client_id} was sent twice"
        self.requests[order.client_id] = order
        if order.side is Side.SELL:  # what is sold arrives at once, and word of it is yet to come
            self.take(order.client_id)

    def stop_sending(self, order: Order) -> None:
        """An order leaves once."""

    def cancel(self, order: Order) -> None:
        self.cancels.append(order.client_id)

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        row = self.rows.get(client_id)
        return row.shown() if row is not None else None

    async def open_orders(self) -> Sequence[VenueOrder]:
        return [row.shown() for row in self.rows.values() if row.rests]

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        return [f for f in self.all_fills() if f.symbol == symbol and f.at_ns >= since_ns]

    def all_fills(self) -> list[Fill]:
        return [fill for row in self.rows.values() for fill in row.fills]

    async def balances(self) -> Balances:
        total = {"USDT": MONEY, ABC.base: ZERO, "MX": Decimal(10)}
        for f in self.all_fills():
            sign = 1 if f.side is Side.BUY else -1
            total[f.symbol.base] += sign * f.quantity
            total[f.symbol.quote] -= sign * f.value
            total[f.fee_asset] -= f.fee
        return {asset: Balance(amount, ZERO) for asset, amount in total.items()}

    # -- Venue, Feed, Calendar ---------------------------------------------------------------------

    async def market(self, symbol: Symbol) -> Market | None:
        return self.rules

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        return Decimal("0.5")

    async def book(self, symbol: Symbol) -> Book | None:
        bid, ask = Level(Decimal("0.95"), Decimal(99)), Level(Decimal("0.96"), Decimal(99))
        return Book(symbol, (bid,), (ask,), self.clock.now_ns())

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        return ()

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        return True

    async def clock_reading(self) -> ClockReading:
        return ClockReading(0, 0, self.clock.now_ns())

    async def until(self, at_ns: int) -> Sequence[Happening]:
        if not self.news:
            await self.clock.sleep_until(at_ns)
        news, self.news = self.news, []
        return news

    def stir(self) -> None:
        """Time is stepped: nobody waits."""

    def watch(self, symbol: Symbol) -> None:
        """Its news are what a test tells."""

    def silent_ns(self, symbol: Symbol) -> int | None:
        """In process nothing gets lost on the way."""
        return 0

    def unwatch(self, symbol: Symbol) -> None:
        """Nor does leaving it out change them."""

    async def entries(self) -> Sequence[CalendarEntry]:
        return list(self.calendar)

    async def states(self) -> Sequence[SymbolState]:
        return []


class Desks:
    """One ledger, one venue, and the process that runs on them; ``restart`` is another process."""

    def __init__(self, limits: LimitSettings | None = None, venue: type[Truth] = Truth) -> None:
        self.clock = ManualClock(START)
        self.venue = venue(self.clock)
        self.ledger, self.recorder = MemoryLedger(), MemoryRecorder()
        self.rules = Rules(limits or LimitSettings(), poll_ns=5 * SECOND)
        self.engine = self._process()

    def _process(self) -> Engine:
        venue, radar = self.venue, Radar(self.venue, self.recorder, [])
        strategy = load_strategy("opening_snipe", SnipeSettings())
        return Engine(Parts(self.clock, self.ledger, venue, venue, venue, radar, strategy, Bus()), self.rules)

    @property
    def desk(self) -> Desk:
        return self.engine.desk

    async def start(self) -> e.Reconciled:
        return await recovery.start(self.engine, recovery.Identity("paper", "a list of truth", "test"))

    async def restart(self) -> e.Reconciled:
        """What is told to a process that is gone is told to nobody."""
        self.engine, self.venue.news = self._process(), []
        return await self.start()

    async def run(self, for_ns: int) -> None:
        await replay.run(self.engine, self.clock.now_ns() + for_ns)

    async def bought(self, plan: Plan = PLAN) -> str:
        """Plan, arm, and live until the first shot has left; its client id."""
        await self.engine.record(e.SnipePlanned(self.clock.now_ns(), plan))
        await safety.arm(self.engine, plan.snipe_id, "ada")
        await self.run(plan.not_before_ns - self.clock.now_ns() + MILLISECOND)
        return self.desk.entries(plan.snipe_id)[0].client_id

    async def hear(self, told: list[Report], ways: Sequence[tuple[str, int]], ids: Sequence[str]) -> None:
        """Let news come by these ways; what is left of ``told`` then never comes."""
        late: list[tuple[str, truth.Answer]] = []
        for way, number in ways:
            report, client_id = told[number % len(told)], ids[number % len(ids)]
            if way == "stream":
                await self.engine.on([report])
            elif way == "twice":
                await self.engine.on([report, *told[: number % len(told)], report])
            elif way == "poll":
                await truth.settle(self.engine, client_id)
            elif way == "ask":
                answer = await truth.ask(self.engine, self.desk.orders[client_id])
                late += [(client_id, answer)] if answer is not None else []
            elif way == "told late" and late:
                client_id, answer = late.pop(number % len(late))
                async with self.engine.gate:
                    await self.engine.act(await self.engine.book(truth.told(self.engine, client_id, answer)))
            elif way == "compare":
                await recovery.reconcile(self.engine)
            elif way == "restart":
                await self.restart()
            elif way == "wait":
                await self.run(number * 300 * MILLISECOND)

    def digest(self) -> dict[str, Any]:
        """All that a person would call the state of the desk; moments and words are left out."""
        portfolio = self.desk.portfolio
        return {
            "orders": {
                o.client_id: (o.state, o.side, o.filled, o.filled_value, o.is_live)
                for o in self.desk.orders.values()
            },
            "snipes": {s.snipe_id: (s.state, s.attempts_made) for s in self.desk.snipes.values()},
            "held": {p.symbol: (p.quantity, _round(p.cost)) for p in portfolio.held},
            "realised": _round(portfolio.realised),
            "results": [(r.snipe_id, r.profit) for r in self.desk.results],
            "trades": self.desk.trade_count,
            "frozen": self.desk.frozen(ABC),
        }

    async def agrees(self) -> None:
        """The desk is the venue, to the last digit, and the ledger gives it back."""
        final = await recovery.reconcile(self.engine)
        assert (final.unknown_left, final.external, final.differences) == (0, 0, ()), final
        assert self.desk.held(ABC) == (await self.venue.balances())[ABC.base].total
        for row in self.venue.rows.values():
            ours = self.desk.orders[row.order.client_id]
            assert {f.trade_id for f in ours.fills} == {f.trade_id for f in row.fills}
            assert (ours.filled, ours.state.is_open) == (row.filled, row.rests)
        again = Desk.of(event for _, event in self.ledger.read())
        assert DeskState.of(again) == DeskState.of(self.desk)
        self.ledger.verify()


def _round(value: Decimal) -> Decimal:
    """Fills of several orders in another order round otherwise in the 28th digit."""
    return value.quantize(Decimal("1e-18"))
