"""Fills that come shuffled, doubled, late, by another road or not at all end in the same desk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab import replay
from mexclab.config import LimitSettings, SnipeSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Book, Level, Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
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
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
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
WAYS = st.lists(
    st.tuples(
        st.sampled_from(["stream", "twice", "poll", "ask", "told late", "compare", "restart", "wait"]),
        st.integers(0, 30),
    ),
    max_size=10,
)


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


@dataclass(frozen=True)
class Story:
    """What truly happens: the pieces of the entry and of each take-profit, and the fee."""

    entry: tuple[int, ...]
    whole: bool
    rungs: tuple[int, ...]
    sold: int  # so many rungs are sold
    fee_asset: str


STORIES = st.builds(
    Story,
    entry=st.lists(st.integers(1, 150), min_size=1, max_size=5).map(tuple),
    whole=st.booleans(),
    rungs=st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple),
    sold=st.integers(0, 4),
    fee_asset=st.sampled_from(["USDT", "ABC", "MX"]),
)


async def lived(
    story: Story, entry: Sequence[tuple[str, int]] | None, rungs: Sequence[tuple[str, int]], mix: int
) -> Desks:
    """The story, heard by these ways; without any, every report comes once, in order, at once."""
    scene = Desks()
    scene.venue.fee, scene.venue.fee_asset = Decimal("0.0005"), story.fee_asset
    await scene.start()
    client_id = await scene.bought()
    told = scene.venue.take(client_id)
    told += scene.venue.cut(client_id, story.entry, whole=story.whole, prices=3)
    told += scene.venue.end(client_id)
    await spread(scene, told, entry, mix)
    ladder = [row.order.client_id for row in scene.venue.rows.values() if row.order.side is Side.SELL]
    told = [report for name in ladder for report in scene.venue.accepted(name)]
    for name in ladder[: story.sold]:
        told += scene.venue.cut(name, story.rungs, whole=True)
    await spread(scene, told, None if entry is None else rungs, mix)
    await scene.agrees()
    return scene


async def spread(scene: Desks, told: list[Report], ways: Sequence[tuple[str, int]] | None, mix: int) -> None:
    if told and ways is None:
        await scene.engine.on(told)
    elif told:
        ids = list(scene.venue.rows)
        Random(mix).shuffle(told)
        await scene.hear(told, ways or [], ids)
    await scene.run(75 * SECOND)  # every question about an open order comes round in that time


@settings(max_examples=25)
@given(story=STORIES, entry=WAYS, rungs=WAYS, mix=st.integers(0, 2**16))
def test_fills_in_any_order_by_any_road_end_in_the_same_desk_and_the_same_balances(
    story: Story, entry: list[tuple[str, int]], rungs: list[tuple[str, int]], mix: int
) -> None:
    straight = asyncio.run(lived(story, None, [], 0))
    mixed = asyncio.run(lived(story, entry, rungs, mix))
    assert mixed.digest() == straight.digest()
    assert asyncio.run(mixed.venue.balances()) == asyncio.run(straight.venue.balances())


async def test_a_trade_that_the_stream_and_the_poll_bring_at_once_counts_once() -> None:
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    told = [*scene.venue.take(client_id), *scene.venue.cut(client_id, [100, 300], whole=True)]
    answer = await truth.ask(scene.engine, scene.desk.orders[client_id])
    assert answer is not None
    both = truth.told(scene.engine, client_id, answer)
    await asyncio.gather(scene.engine.on(told), scene.engine.on(told), truth.settle(scene.engine, client_id))
    assert scene.desk.held(ABC) == 40
    assert [event for event in both if isinstance(event, e.OrderFilled)] != []
    async with scene.engine.gate:
        await scene.engine.book(both)  # an answer that was weighed before the stream told the same
    assert (scene.desk.held(ABC), scene.desk.trade_count) == (40, 2)
    assert scene.desk.orders[client_id].state is OrderState.FILLED


async def test_fills_that_nothing_told_are_found_by_asking_and_sell_what_was_bought() -> None:
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    scene.venue.take(client_id)
    scene.venue.cut(client_id, [100, 300], whole=True)
    await scene.run(10 * SECOND)
    assert scene.desk.held(ABC) == 40
    assert scene.desk.snipes["s-1"].state is SnipeState.ENTERED
    sales = [row.order for row in scene.venue.rows.values() if row.order.side is Side.SELL]
    assert sum(order.quantity for order in sales) == 40
    assert {order.type for order in sales} == {OrderType.LIMIT}


async def test_a_fill_that_comes_again_after_everything_was_sold_changes_nothing() -> None:
    scene = await lived(Story((400,), True, (60,), 4, "USDT"), None, [], 0)
    assert scene.desk.snipes["s-1"].state is SnipeState.CLOSED
    before = scene.digest()
    again: list[Happening] = [Traded(fill, scene.clock.now_ns()) for fill in scene.venue.all_fills()]
    last = scene.ledger.last()
    await scene.engine.on(again)
    await scene.restart()
    await scene.engine.on(again)
    assert scene.digest() == before
    told = [event for _, event in scene.ledger.read(last)]
    assert not any(isinstance(event, e.OrderFilled | e.SnipeMoved) for event in told)


async def test_the_digest_tells_one_lost_fill_from_none() -> None:
    """The comparison above must be able to fail."""
    whole = await lived(Story((400,), True, (60,), 0, "USDT"), None, [], 0)
    part = await lived(Story((399,), False, (60,), 0, "USDT"), None, [], 0)
    assert whole.digest() != part.digest()
