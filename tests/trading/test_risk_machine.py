"""No sequence of market facts, fills, cancels and intents breaks a limit after a Cleared verdict.

The desk is the real fold and the verdict the real review; the venue is honest, but slow and in any order: a
cancellation tells what had traded, and the fills of it may come later. Every verdict is compared with limits
that are reckoned anew here, from a list of what was bought and sold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Side, Symbol
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.domain.order import Fill, Order, OrderType, client_order_id
from mexclab.domain.protection import Protection
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Snipe, SnipeState
from mexclab.research.tail_risk import TailOptions, tail_loss
from mexclab.trading.history import tails_of
from mexclab.trading.risk import Facts, Intent, review, what_if

A, B, C = SYMBOLS = (Symbol("AAA"), Symbol("BBB"), Symbol("CCC"))
START, CAPITAL, FEE = 20_600 * DAY + HOUR, Decimal(1000), Decimal("0.001")
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.15"), HOUR)
LIMITS = LimitSettings(
    per_order_quote=Decimal(50),
    per_symbol_quote=Decimal(80),
    total_exposure_quote=Decimal(150),
    cluster_quote=Decimal(120),
    open_snipes=4,
    orders_per_s=3,
    day_loss_quote=Decimal(15),
    drawdown=Decimal("0.02"),
    concentration=Decimal("0.012"),
    value_at_risk_quote=Decimal(95),
    expected_shortfall_quote=Decimal(97),
)
OPTIONS = TailOptions(tail=0.05, horizon=5)
MOVES = np.random.default_rng(11).normal(0, 0.25, (120, 3))
MOVES[:, 1] = 1.5 * MOVES[:, 0]  # the first two coins move together, the third goes its own way
TAILS = tails_of(SYMBOLS, MOVES, OPTIONS, 0.8)
TOGETHER = ({A, B}, {C})
TROUBLES = (
    *["none"] * 30, "halted", "odds", "pause of C", "pause", "blind", "monitor", "clock off", "clock old",
    "no clock", "poor", "no balance",
)  # fmt: skip


@dataclass
class Ticket:
    """One order as the venue knows it: what it traded, and what it has not told yet."""

    order: Order
    left: Decimal
    owed: list[Fill] = field(default_factory=list)
    is_over: bool = False


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.now = START
        self.bids = dict.fromkeys(SYMBOLS, Decimal(1))
        self.tickets: dict[str, Ticket] = {}
        self.booked: list[Fill] = []  # as the desk was told, in that order
        self.sent_ns: list[int] = []
        self.entered_ns: list[int] = []
        self.serial = 0
        self.desk.fold(e.DaemonStarted(START, "paper", "paper", "test", CAPITAL))

    # -- the world -------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 300, 1100, 5000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms * MILLISECOND

    @rule(symbol=st.sampled_from(SYMBOLS), cents=st.sampled_from([30, 80, 95, 100, 105, 130, 190, 250]))
    def a_price_is_seen(self, symbol: Symbol, cents: int) -> None:
        self.bids[symbol] = Decimal(cents) / 100

    # -- the strategy ----------------------------------------------------------------------------

    def armed(self, symbol: Symbol, odds: Decimal) -> Snipe:
        """A snipe that waits or tries again in this symbol, or a new one."""
        for snipe in self.ready():
            if (snipe.plan.symbol, snipe.plan.probability) == (symbol, odds):
                return snipe
        self.serial += 1
        name = f"s{self.serial}"
        plan = Plan(name, name, symbol, Decimal(50), Decimal(2), self.now, self.now + HOUR, EXIT, odds)
        self.desk.fold(e.SnipePlanned(self.now, plan))
        for to in (SnipeState.PREFLIGHT, SnipeState.ARMED):
            self.desk.fold(e.SnipeMoved(self.now, name, to))
        return self.desk.snipes[name]

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        cents=st.sampled_from([50, 95, 100, 105, 150, 200, 210]),
        value=st.sampled_from([5, 15, 25, 35, 40, 49, 50, 51]),
        knows=st.booleans(),
        trouble=st.sampled_from(TROUBLES),
    )
    def an_entry_is_wanted(self, symbol: Symbol, cents: int, value: int, knows: bool, trouble: str) -> None:
        snipe = self.armed(symbol, Decimal("0.4") if trouble == "odds" else Decimal("0.9"))
        plan, price = snipe.plan, Decimal(cents) / 100
        quantity = (Decimal(value) / price).quantize(Decimal("0.01"), ROUND_FLOOR)
        order = Order(
            client_order_id(plan.snipe_id, "b", len(self.desk.entries(plan.snipe_id)) + 1), symbol,
            Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, quantity, price, plan.snipe_id, "b", decided_ns=self.now,
        )  # fmt: skip
        if trouble == "halted":
            self.desk.fold(e.Halted(self.now, "ada", "drill"))
        if trouble.startswith("pause"):
            self.pause(C if trouble == "pause of C" else None)
        hidden = self.bids.pop(A, None) if trouble == "blind" else None
        facts = self.facts(plan, knows, trouble)
        verdict = review(Intent(order, plan), self.desk, LIMITS, facts)
        broken = {breach.limit for breach in verdict.breaches}
        assert broken == set(self.broken(order, plan, facts, knows))
        assumed = replace(plan, budget_quote=order.quantity * order.price, price_cap=order.price)
        told = {use.name for use in what_if(assumed, self.desk, LIMITS, facts).broken}
        assert told - {"price_above_cap"} == broken - {"price_collar", "price_above_cap"}
        if trouble == "halted":
            self.desk.fold(e.Resumed(self.now, "ada", "over"))
        if hidden is not None:
            self.bids[A] = hidden
        if verdict.cleared:
            if snipe.state is SnipeState.ARMED:
                self.desk.fold(e.SnipeMoved(self.now, plan.snipe_id, SnipeState.FIRING))
            self.put(order)
            self.entered_ns.append(self.now)

    def pause(self, symbol: Symbol | None) -> None:
        self.serial += 1
        until = self.now + SECOND
        pause = Protection(f"p{self.serial}", "cooldown", symbol, self.now, until, "1", "1", DAY, "it lost")
        self.desk.fold(e.ProtectionRaised(self.now, pause))

    def ready(self) -> list[Snipe]:
        live = [s for s in self.desk.live_snipes() if s.state in (SnipeState.ARMED, SnipeState.FIRING)]
        return [s for s in live if not any(o.is_live or o.fills for o in self.desk.entries(s.snipe_id))]

    def facts(self, plan: Plan, knows: bool, trouble: str) -> Facts:
        bid = self.bids.get(plan.symbol)
        side = () if bid is None else (Level(bid, Decimal(100)),)
        book = Book(plan.symbol, side, side, self.now)
        wrong_ms = {"clock off": 300}.get(trouble, 0)
        old_ns = 61 * SECOND if trouble == "clock old" else 0
        reading = ClockReading(wrong_ms * MILLISECOND, 0, self.now - old_ns)
        free = {"poor": Decimal(4), "no balance": None}.get(trouble, CAPITAL)
        state = MonitorState.TRIPPED if trouble == "monitor" else MonitorState.QUIET
        return Facts(
            self.now, None if trouble == "no clock" else reading, free, book, dict(self.bids), FEE,
            (Reading("spread", plan.symbol, state, "1", "1", "wide"),), TAILS if knows else None,
        )  # fmt: skip

    # -- the venue -------------------------------------------------------------------------------

    def put(self, order: Order) -> None:
        self.desk.fold(e.OrderDecided(self.now, order))
        self.desk.fold(e.OrderSent(self.now, order.client_id))
        self.tickets[order.client_id] = Ticket(order, order.quantity)
        self.sent_ns.append(self.now)

    def trading(self) -> list[Ticket]:
        return [ticket for ticket in self.tickets.values() if not ticket.is_over]

    @precondition(lambda self: self.trading())
    @rule(data=st.data(), share=st.sampled_from(["0.3", "0.5", "1"]), better=st.integers(0, 20))
    def the_venue_trades(self, data: st.DataObject, share: str, better: int) -> None:
        ticket = data.draw(st.sampled_from(self.trading()))
        part = (ticket.left * Decimal(share)).quantize(Decimal("0.01")) or ticket.left
        self.trade(ticket, min(part, ticket.left), better)

    def trade(self, ticket: Ticket, quantity: Decimal, better: int) -> None:
        order = ticket.order
        sign = -1 if order.side is Side.BUY else 1
        price = max(order.price + sign * Decimal(better) / 100, Decimal("0.01"))
        self.serial += 1
        fill = Fill(
            f"t{self.serial}", order.client_id, order.symbol, order.side, price, quantity,
            price * quantity * FEE, "USDT", self.now,
        )  # fmt: skip
        ticket.left -= quantity
        ticket.owed.append(fill)
        ticket.is_over = ticket.left == 0

    @precondition(lambda self: any(ticket.owed for ticket in self.tickets.values()))
    @rule(data=st.data())
    def a_fill_is_told(self, data: st.DataObject) -> None:
        owing = [ticket for ticket in self.tickets.values() if ticket.owed]
        ticket = data.draw(st.sampled_from(owing))
        fill = ticket.owed[data.draw(st.integers(0, len(ticket.owed) - 1))]
        ticket.owed.remove(fill)
        self.tell(fill)

    def tell(self, fill: Fill) -> None:
        self.desk.fold(e.OrderFilled(self.now, fill))
        self.desk.fold(e.OrderFilled(self.now, fill))  # told twice, counted once
        self.booked.append(fill)

    @precondition(lambda self: self.tickets)
    @rule()
    def all_is_traded_and_told(self) -> None:
        for ticket in self.tickets.values():
            if not ticket.is_over:
                self.trade(ticket, ticket.left, 0)
            for fill in ticket.owed:
                self.tell(fill)
            ticket.owed.clear()

    @precondition(lambda self: self.trading())
    @rule(data=st.data())
    def the_venue_ends_an_order(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.trading()))
        ticket.is_over = True
        order = ticket.order
        executed = order.quantity - ticket.left
        if executed == 0 and data.draw(st.booleans()):
            self.desk.fold(e.OrderRejected(self.now, order.client_id, 30004, "no balance"))
        else:
            self.desk.fold(e.OrderCanceled(self.now, order.client_id, "ended", executed))

    @precondition(lambda self: self.trading())
    @rule(data=st.data())
    def an_answer_is_lost(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.trading()))
        if self.desk.orders[ticket.order.client_id].state.is_open:
            self.desk.fold(e.OrderLost(self.now, ticket.order.client_id, "no reply"))

    @rule(data=st.data(), cents=st.sampled_from([10, 90, 100, 110, 200]))
    def something_is_sold(self, data: st.DataObject, cents: int) -> None:
        for snipe in self.desk.live_snipes():
            entries = self.desk.entries(snipe.snipe_id)
            if snipe.state is SnipeState.FIRING and entries and not any(o.is_live for o in entries):
                bought = any(order.fills for order in entries)
                to = SnipeState.ENTERED if bought else SnipeState.ABORTED
                self.desk.fold(e.SnipeMoved(self.now, snipe.snipe_id, to))
        entered = [s for s in self.desk.live_snipes() if s.state is SnipeState.ENTERED]
        if not entered:
            return
        snipe = data.draw(st.sampled_from(entered))
        mine = self.desk.exits(snipe.snipe_id)
        bought = sum(order.filled for order in self.desk.entries(snipe.snipe_id))
        left = bought - sum(order.quantity if order.is_live else order.filled for order in mine)
        if left > 0:
            name = client_order_id(snipe.snipe_id, "x", len(mine) + 1)
            price, kind = Decimal(cents) / 100, OrderType.IMMEDIATE_OR_CANCEL
            self.put(
                Order(name, snipe.plan.symbol, Side.SELL, kind, left, price, snipe.snipe_id, "x",
                      decided_ns=self.now)
            )  # fmt: skip
        elif not any(order.is_live for order in mine):
            self.desk.fold(e.SnipeMoved(self.now, snipe.snipe_id, SnipeState.CLOSED))

    # -- the limits, reckoned anew ---------------------------------------------------------------

    def money(self) -> dict[Symbol, Decimal]:
        """What was paid for what is held (at average cost, fees included), and may still be spent."""
        at_stake = {}
        for symbol in SYMBOLS:
            _, cost = self.holding(symbol)
            at_stake[symbol] = cost + self.reserved(symbol)
        return at_stake

    def holding(self, symbol: Symbol) -> tuple[Decimal, Decimal]:
        quantity = cost = Decimal(0)
        for fill in self.booked:
            if fill.symbol != symbol:
                continue
            if fill.side is Side.BUY:
                quantity, cost = quantity + fill.quantity, cost + fill.value + fill.fee
            else:
                cost -= cost * fill.quantity / quantity
                quantity -= fill.quantity
        return quantity, cost

    def reserved(self, symbol: Symbol) -> Decimal:
        """What the venue has traded and not told, and what it may still trade, at the orders' prices."""
        total = Decimal(0)
        for ticket in self.tickets.values():
            if ticket.order.symbol == symbol and ticket.order.side is Side.BUY:
                open_units = Decimal(0) if ticket.is_over else ticket.left
                total += (
                    open_units + sum((f.quantity for f in ticket.owed), Decimal(0))
                ) * ticket.order.price
        return total

    def equity(self) -> Decimal:
        cash = CAPITAL
        for fill in self.booked:
            cash += (fill.value if fill.side is Side.SELL else -fill.value) - fill.fee
        return cash + sum(self.holding(s)[0] * self.bids.get(s, Decimal(0)) for s in SYMBOLS)

    def broken(self, order: Order, plan: Plan, facts: Facts, knows: bool) -> Iterator[str]:
        value, symbol, bid = order.quantity * order.price, order.symbol, self.bids.get(order.symbol)
        money, desk = self.money(), self.desk
        lost = [t.order for t in self.tickets.values() if desk.orders[t.order.client_id].state == "UNKNOWN"]
        pauses = [p for p in desk.protections.values() if p.until_ns is None or self.now < p.until_ns]
        reading = facts.clock
        yield from self.facing_the_book(order, symbol, money, value, knows)
        second = [at for at in self.sent_ns if at > self.now - SECOND]
        for name, is_broken in (
            ("halted", desk.halt is not None),
            ("minimum_probability", plan.probability < Decimal("0.5")),
            ("unknown_order", any(each.symbol == symbol for each in lost)),
            ("protection_cooldown", any(p.symbol in (None, symbol) for p in pauses)),
            ("monitor_spread", facts.monitors[0].state == "tripped"),
            ("open_snipes", len(self.running() - {plan.snipe_id}) >= 4),
            ("price_collar", order.price > plan.price_cap),
            ("price_above_cap", bid is not None and bid > plan.price_cap),
            ("per_order_quote", value > 50),
            ("balance_unknown", facts.free_quote is None),
            ("insufficient_balance", facts.free_quote is not None and value * (1 + FEE) > facts.free_quote),
            ("orders_per_s", len(second) >= 3),
            ("clock_unknown", reading is None),
            ("clock_age_s", reading is not None and self.now - reading.measured_ns > 60 * SECOND),
            ("clock_offset_ms", reading is not None and reading.offset_ns > 250 * MILLISECOND),
        ):
            if is_broken:
                yield name

    def facing_the_book(
        self, order: Order, symbol: Symbol, money: dict[Symbol, Decimal], value: Decimal, knows: bool
    ) -> Iterator[str]:
        group = next(each for each in TOGETHER if symbol in each) if knows else set(SYMBOLS)
        held = {s: self.holding(s) for s in SYMBOLS}
        unpriced = [s for s in SYMBOLS if held[s][0] > 0 and s not in self.bids]
        worth = {
            s: (held[s][0] * self.bids[s] if s in self.bids else held[s][1]) + self.reserved(s)
            for s in SYMBOLS
        }
        worth[symbol] += value
        equity = self.equity()
        peak = self.desk.portfolio.peak_equity or CAPITAL
        paper = sum((held[s][0] * self.bids.get(s, Decimal(0)) - held[s][1] for s in SYMBOLS), Decimal(0))
        day = self.desk.portfolio.realised_on(self.now) + min(paper, Decimal(0))
        exposures = [float(worth[s]) for s in SYMBOLS]
        if knows:
            both = [tail_loss(MOVES, exposures, OPTIONS, method) for method in ("historical", "filtered")]
            at_risk = max(each.value_at_risk for each in both)
            shortfall = max(each.expected_shortfall for each in both)
        else:
            at_risk = shortfall = 0.7 * sum(exposures)
        index = sum(each**2 for each in exposures) / float(equity) ** 2
        for name, is_broken in (
            ("per_symbol_quote", money[symbol] + value > 80),
            ("total_exposure_quote", sum(money.values()) + value > 150),
            ("cluster_quote", sum(money[s] for s in group) + value > 120),
            ("price_unknown", bool(unpriced)),
            ("day_loss_quote", day <= -15),
            ("drawdown", (peak - equity) / peak >= Decimal("0.02")),
            ("concentration", index > 0.012 + 1e-9),
            ("value_at_risk_quote", at_risk > 95 + 1e-9),
            ("expected_shortfall_quote", shortfall > 97 + 1e-9),
        ):
            if is_broken:
                yield name

    def running(self) -> set[str]:
        busy = ("FIRING", "ENTERED", "EXITING")
        return {s.snipe_id for s in self.desk.snipes.values() if s.state in busy}

    @invariant()
    def no_limit_on_money_is_broken(self) -> None:
        """Limits hold before fees, which are known only once they are paid."""
        money, over = self.money(), 1 + FEE
        assert all(each <= 80 * over for each in money.values())
        assert sum(money.values()) <= 150 * over
        assert all(sum(money[s] for s in group) <= 120 * over for group in TOGETHER)
        assert all(
            t.order.quantity * t.order.price <= 50 for t in self.tickets.values() if t.order.leg == "b"
        )

    @invariant()
    def the_desk_reserves_what_the_venue_may_take(self) -> None:
        for symbol, money in self.money().items():
            assert abs(self.desk.committed(symbol) - money) < Decimal("1e-12")

    @invariant()
    def no_more_snipes_and_orders_than_allowed(self) -> None:
        assert len(self.running()) <= 4
        for at in self.entered_ns:
            assert len([each for each in self.entered_ns if at - SECOND < each <= at]) <= 3


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
