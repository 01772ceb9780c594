"""Exits against a venue that does what it likes: fills, drops, refuses, forgets, while the desk restarts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Market, Side
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.snipe import LADDERS, ExitPlan, Snipe, SnipeState, parse_ladder
from mexclab.trading import exits
from mexclab.trading.exits import Step
from mexclab.trading.ladder import holding
from tests.trading.test_exits import ABC, NOW, held

ZERO = Decimal(0)
_S = OrderState
PLANS = st.builds(
    ExitPlan,
    ladder=st.sampled_from([*LADDERS.values(), parse_ladder("10:100"), parse_ladder("5:20 50:20")]),
    stop_loss=st.sampled_from([Decimal("0.05"), Decimal("0.3")]),
    time_stop_ns=st.sampled_from([HOUR, 5 * HOUR]),
    trailing=st.sampled_from([None, Decimal("0.08")]),
    break_even_after=st.sampled_from([None, Decimal("0.1")]),
)
MARKETS = st.builds(
    Market,
    symbol=st.just(ABC),
    tick=st.sampled_from([Decimal("0.00001"), Decimal("0.001")]),
    lot=st.sampled_from([Decimal("0.1"), Decimal(1), Decimal(7)]),
    min_notional=st.sampled_from([Decimal(1), Decimal(5)]),
    takes_limits=st.booleans(),
)
PICKS = st.integers(0, 50)
PARTS = st.integers(1, 100)


class ExitsMachine(RuleBasedStateMachine):
    """One desk with one entered snipe, carried along as ``trading.leaving`` does."""

    @initialize(market=MARKETS, plan=PLANS, quantity=st.integers(300, 300_000))
    def enter(self, market: Market, plan: ExitPlan, quantity: int) -> None:
        self.now, self.trades, self.book = NOW, 0, None
        self.closed_at: Decimal | None = None  # the bid at which what was left was too little
        self.market = market
        bought = held(str(Decimal(quantity) / 10), "0.05")
        entry = bought.orders["s-1-b-1"]
        snipe = replace(bought.snipes["s-1"].plan, exit=plan)
        steps = (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING)
        self.desk, self.events = Desk(), list[e.Event]()
        self.write(
            e.SnipePlanned(NOW, snipe), *(e.SnipeMoved(NOW, "s-1", to) for to in steps),
            e.OrderDecided(NOW, replace(entry, fills=(), state=_S.DECIDED)), e.OrderSent(NOW, "s-1-b-1"),
            e.OrderFilled(NOW, entry.fills[0]), e.SnipeMoved(NOW, "s-1", SnipeState.ENTERED),
        )  # fmt: skip
        self.bought = entry.filled
        self.stop = exits.stop_price(self.snipe, Decimal("0.05"))
        self.act()

    @property
    def snipe(self) -> Snipe:
        return self.desk.snipes["s-1"]

    def write(self, *happened: e.Event) -> None:
        for event in happened:
            self.desk.fold(event)
            self.events.append(event)

    def act(self) -> None:
        """Carry out what is decided until nothing is; it must come to rest by itself."""
        for _ in range(5):
            if self.snipe.state.is_over:
                return
            steps = exits.exit_steps(self.snipe, self.desk, self.market, self.book, self.now)
            steps = [step for step in steps if not isinstance(step, exits.Warn)]
            if not steps:
                return
            for step in steps:
                self.take(step)
        raise AssertionError(f"the exits do not come to rest: {steps}")

    def take(self, step: Step) -> None:
        bid = exits.fresh_bid(self.book, self.now)
        match step:
            case exits.Place(order=order):
                self.market.check(order.quantity, order.price)
                if order.type is OrderType.IMMEDIATE_OR_CANCEL:
                    assert bid is not None
                    assert order.price <= bid
                self.write(e.OrderDecided(self.now, order), e.OrderSent(self.now, order.client_id))
            case exits.Cancel(client_id=client_id, why=why):
                self.write(e.CancelSent(self.now, client_id, why))
            case exits.Leave(reason=reason, why=why):
                assert reason == "time" or bid is not None
                self.write(e.ExitDecided(self.now, "s-1", reason, why))
            case exits.Raise(stop_price=price, peak=peak, why=why):
                assert bid is not None
                assert self.stop < price < bid
                self.write(e.StopRaised(self.now, "s-1", price, peak, why))
            case exits.Close(reason=reason, why=why):
                self.closed_at = bid
                self.write(e.SnipeMoved(self.now, "s-1", SnipeState.CLOSED, reason, why))

    def pick(self, number: int, *states: OrderState) -> Order | None:
        found = [order for order in self.desk.open_orders() if order.state in states]
        return found[number % len(found)] if found else None

    def fill(self, order: Order, part: int) -> None:
        quantity = max(
            self.market.whole_lots(order.remaining * part / 100), min(self.market.lot, order.remaining)
        )
        self.trades += 1
        trade_id = f"T{self.trades + 1}"
        self.write(e.OrderFilled(self.now, Fill(
            trade_id, order.client_id, ABC, Side.SELL, order.price, quantity, ZERO, "USDT", self.now
        )))  # fmt: skip

    # -- what the venue and the world do -----------------------------------------------------------

    @rule(cents=st.integers(200, 1500))
    def a_price_comes(self, cents: int) -> None:
        bid, ask = Decimal(cents) / 10_000, Decimal(cents + 10) / 10_000
        bid = max(self.market.limit_price(bid, Side.BUY), self.market.tick)
        self.book = Book(ABC, (Level(bid, Decimal(9)),), (Level(ask, Decimal(9)),), self.now)
        self.act()

    @rule(bids=st.sampled_from([(), (Level(ZERO, Decimal(1)),)]))
    def a_book_without_a_bid_comes(self, bids: tuple[Level, ...]) -> None:
        self.book = Book(ABC, bids, (Level(Decimal(1), Decimal(1)),), self.now)
        self.act()

    @rule(seconds=st.sampled_from([1, 5, 40, 100, 1800]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.act()

    @rule(number=PICKS, answer=st.sampled_from(["taken", "refused", "lost"]))
    def the_venue_answers(self, number: int, answer: str) -> None:
        order = self.pick(number, _S.SENT)
        if order is None:
            return
        if answer == "refused":
            self.write(e.OrderRejected(self.now, order.client_id, 30005, "Oversold"))
        elif answer == "lost":
            self.write(e.OrderLost(self.now, order.client_id, "no answer came"))
        else:
            self.write(e.OrderAccepted(self.now, order.client_id, f"v-{order.client_id}"))
        self.act()

    @rule(number=PICKS, part=PARTS)
    def an_order_trades(self, number: int, part: int) -> None:
        order = self.pick(number, _S.SENT, _S.ACCEPTED, _S.PARTIALLY_FILLED, _S.CANCEL_SENT, _S.UNKNOWN)
        if order is not None:
            self.fill(order, part)
            self.act()

    @rule(number=PICKS, late=st.booleans(), part=PARTS)
    def an_order_ends(self, number: int, late: bool, part: int) -> None:
        """A confirmed cancel, the rest of an immediate order, a drop; ``late``: a trade is yet to be told."""
        order = self.pick(number, _S.SENT, _S.ACCEPTED, _S.PARTIALLY_FILLED, _S.CANCEL_SENT, _S.UNKNOWN)
        if order is None:
            return
        more = min(self.market.lot, order.remaining) if late else ZERO
        self.write(e.OrderCanceled(self.now, order.client_id, "ended", order.filled + more))
        self.act()

    @rule(number=PICKS)
    def a_late_trade_is_told(self, number: int) -> None:
        waiting = [order for order in self.desk.open_orders() if order.awaits_fills]
        if waiting:
            self.fill(waiting[number % len(waiting)], 1)
            self.act()

    @rule(number=PICKS)
    def a_lost_order_is_found(self, number: int) -> None:
        order = self.pick(number, _S.UNKNOWN)
        if order is not None:
            self.write(e.OrderAccepted(self.now, order.client_id, f"v-{order.client_id}"))
            self.act()

    # -- what people do, and crashes ---------------------------------------------------------------

    @precondition(lambda self: self.snipe.state is SnipeState.ENTERED)
    @rule(plan=PLANS)
    def the_exit_plan_is_replaced(self, plan: ExitPlan) -> None:
        version = self.snipe.plan.exit.version + bool(self.desk.exits("s-1"))
        self.write(e.ExitReplaced(self.now, "s-1", replace(plan, version=version), "ada", "other gains"))
        self.stop = exits.stop_price(self.snipe, Decimal("0.05"))
        self.act()

    @precondition(lambda self: self.snipe.state is SnipeState.ENTERED)
    @rule()
    def a_person_flattens(self) -> None:
        self.write(e.ExitDecided(self.now, "s-1", "flatten", "ada: out"))
        self.act()

    @rule()
    def the_desk_restarts(self) -> None:
        self.desk = Desk.of(self.events)
        self.book = None
        self.act()

    # -- what holds always -------------------------------------------------------------------------

    @invariant()
    def no_more_is_on_sale_than_is_held(self) -> None:
        sold = sum((order.filled for order in self.desk.exits("s-1")), ZERO)
        live = sum((order.remaining for order in self.desk.exits("s-1") if order.is_live), ZERO)
        assert sold + live <= self.bought
        assert holding(self.desk, "s-1") == self.desk.held(ABC) == self.bought - sold

    @invariant()
    def nothing_of_a_former_plan_rests_unasked(self) -> None:
        if self.snipe.state is SnipeState.ENTERED:
            resting = [o for o in self.desk.open_orders() if o.state in (_S.ACCEPTED, _S.PARTIALLY_FILLED)]
            suffix = f"v{self.snipe.plan.exit.version}" if self.snipe.plan.exit.version else ""
            immediate = OrderType.IMMEDIATE_OR_CANCEL
            assert all(order.leg[2:] == suffix for order in resting if order.type is not immediate)

    @invariant()
    def tries_to_sell_out_are_spaced(self) -> None:
        tries = [order.decided_ns for order in self.desk.exits("s-1") if order.leg == "x"]
        assert all(later - earlier >= SECOND // 2 for earlier, later in pairwise(tries))

    @invariant()
    def the_stop_never_falls(self) -> None:
        stop = exits.stop_price(self.snipe, Decimal("0.05"))
        assert stop >= self.stop
        self.stop = stop

    @invariant()
    def the_clock_is_never_asked_for_the_past(self) -> None:
        due = exits.due_ns(self.snipe, self.desk, self.now)
        assert due is None or due > self.now
        waits = self.snipe.state in (SnipeState.ENTERED, SnipeState.EXITING)
        assert due is not None or not waits or next(self.desk.open_orders(), None) is not None

    @invariant()
    def folding_again_gives_the_same_desk(self) -> None:
        again = Desk.of(self.events)
        assert (again.orders, again.snipes) == (self.desk.orders, self.desk.snipes)
        assert (again.portfolio, again.results) == (self.desk.portfolio, self.desk.results)

    def teardown(self) -> None:
        """Given a price and a willing venue, every position ends, and at the moments the clock asks for."""
        if not hasattr(self, "market"):
            return
        if self.snipe.state is SnipeState.ENTERED:
            self.a_person_flattens()
        for _ in range(60):
            if self.snipe.state is SnipeState.CLOSED:
                break
            bid = max(self.market.limit_price(Decimal("0.05"), Side.BUY), self.market.tick)
            self.book = Book(ABC, (Level(bid, Decimal(10**6)),), (), self.now)
            self.act()
            for order in list(self.desk.open_orders()):
                if order.type is OrderType.IMMEDIATE_OR_CANCEL and order.state is _S.SENT:
                    self.fill(order, 100)
                elif order.awaits_fills:
                    self.fill(order, 1)
                else:
                    self.write(e.OrderCanceled(self.now, order.client_id, "ended", order.filled))
            self.act()
            self.now = exits.due_ns(self.snipe, self.desk, self.now) or self.now
        assert self.snipe.state is SnipeState.CLOSED
        left = self.desk.held(ABC)
        assert left == 0 or self.market.whole_lots(left) == 0 or self.market.is_dust(left, self.closed_at)
        assert self.now < NOW + 10**6 * MINUTE


TestExitsMachine = ExitsMachine.TestCase
TestExitsMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
