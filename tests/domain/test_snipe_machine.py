"""One snipe through everything that can happen to it: openings that move, people, refusals, lost answers,
stalls, restarts, fills that come late. The real engine on a venue that is a plain list of truth."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.listing import CalendarEntry
from mexclab.domain.market import Book, Level, Side
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import BookSeen, Happening, Lost, Refused, Report
from mexclab.domain.snipe import Plan, Snipe, SnipeState
from mexclab.errors import DomainError, RiskRefused
from mexclab.runtime.clock import ManualClock
from mexclab.trading import entries, exits, handling, planning, safety, stopping
from mexclab.trading.execution import RECV_WINDOW_NS
from tests.trading.truth_scene import ABC, PLAN, START, Desks, Row, Truth

T = TypeVar("T")
_S = SnipeState
ZERO = Decimal(0)
LIMITS = LimitSettings(orders_per_s=12)
COIN = CalendarEntry("c1", "ABC", "A coin", "NEW", START)
OTHER = CalendarEntry("c2", "OTHER", "Another coin", "NEW", START + 10_000 * MINUTE)
PICKS = st.integers(0, 20)


class Watched(Truth):
    """The same venue, which looks at every shot at the moment at which it leaves."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.scene: Desks | None = None
        self.shots: list[tuple[int, Order]] = []

    def submit(self, order: Order) -> None:
        assert order.client_id not in {shot.client_id for _, shot in self.shots}, "a client id came twice"
        if order.side is Side.BUY:
            self._look_at(order)
        self.shots.append((self.clock.now_ns(), order))
        super().submit(order)
        if order.side is Side.SELL:
            self.news += self.accepted(order.client_id)
            if order.type is OrderType.IMMEDIATE_OR_CANCEL:
                self.news += self.trade(order.client_id, order.quantity)

    def cancel(self, order: Order) -> None:
        super().cancel(order)
        if order.client_id in self.rows:
            self.news += self.end(order.client_id)

    def _look_at(self, order: Order) -> None:
        assert self.scene is not None
        engine, now = self.scene.engine, self.clock.now_ns()
        plan = engine.desk.snipes[order.snipe_id].plan
        assert plan.not_before_ns <= now, f"{order.client_id} left {plan.not_before_ns - now} ns early"
        assert now < plan.deadline_ns, (
            f"{order.client_id} left {now - plan.deadline_ns} ns after its deadline"
        )
        assert not engine.halting, "an entry left while a halt was asked for"
        assert engine.desk.halt is None, "an entry left while halted"
        assert order.price <= plan.price_cap
        before = [at for at, shot in self.shots if shot.side is Side.BUY and at >= plan.not_before_ns]
        assert len(before) < plan.attempts, f"{len(before) + 1} attempts at one opening"
        for request in self.requests.values():  # one that can still be taken may still buy
            assert not self.can_arrive(request), f"{order.client_id} left beside {request.client_id}"
        assert not any(row.rests or row.fills for row in self.entries_of(order.snipe_id)), "a second entry"

    def can_arrive(self, order: Order) -> bool:
        """Whether its request is young enough to be taken (MEXC's receive window)."""
        left = next(at for at, shot in self.shots if shot.client_id == order.client_id)
        return self.clock.now_ns() <= left + RECV_WINDOW_NS

    def entries_of(self, snipe_id: str) -> list[Row]:
        rows = self.rows.values()
        return [row for row in rows if row.order.snipe_id == snipe_id and row.order.side is Side.BUY]


class SnipeMachine(RuleBasedStateMachine):
    @initialize(
        attempts=st.integers(1, 3),
        spacing_ms=st.sampled_from([50, 250, 3000]),
        deadline_ms=st.sampled_from([400, 5000, 20_000]),
        ahead_s=st.sampled_from([3, 30, 700]),
        begins=st.sampled_from(["fired", "loaded", "fired early", "planned", "armed"]),
    )
    def plan(self, attempts: int, spacing_ms: int, deadline_ms: int, ahead_s: int, begins: str) -> None:
        self.runner = asyncio.Runner()
        self.scene = Desks(LIMITS, Watched)
        venue = self.scene.venue
        assert isinstance(venue, Watched)
        venue.scene, self.venue = self.scene, venue
        self.mail: list[Report] = []
        opens_ns = START + ahead_s * SECOND
        venue.calendar = [replace(COIN, open_ns=opens_ns), OTHER]
        self.do(self.scene.start())
        self.look()
        plan = replace(
            PLAN, not_before_ns=opens_ns, deadline_ns=opens_ns + deadline_ms * MILLISECOND,
            attempts=attempts, spacing_ns=spacing_ms * MILLISECOND,
        )  # fmt: skip
        self.do(self.scene.engine.record(e.SnipePlanned(self.now, plan)))
        if begins != "planned":
            self.do(safety.arm(self.scene.engine, "s-1", "ada"))
        if begins not in ("planned", "armed"):
            off_ns = -500 * MILLISECOND if begins == "loaded" else MILLISECOND
            self.do(self.scene.run(opens_ns + off_ns - self.now))
        if begins == "fired early":
            self.answer("early", "at once", 0)

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    @property
    def now(self) -> int:
        return self.scene.clock.now_ns()

    @property
    def desk(self) -> Desk:
        return self.scene.desk

    @property
    def snipe(self) -> Snipe:
        return self.desk.snipes["s-1"]

    def hear(self, *happened: Happening) -> None:
        self.do(self.scene.engine.on(happened))

    def ask(self, act: Coroutine[Any, Any, str]) -> None:
        """What a person asks for; a refusal has moved nothing."""
        before = self.scene.ledger.last()
        try:
            self.do(act)
        except (DomainError, RiskRefused):
            assert self.scene.ledger.last() == before

    # -- time ------------------------------------------------------------------------------------

    @rule(step_ms=st.sampled_from([1, 50, 250, 1000, 4000, 31_000, 300_000]))
    def time_passes(self, step_ms: int) -> None:
        self.do(self.scene.run(step_ms * MILLISECOND))

    @rule(
        moment=st.sampled_from(["check", "load", "open", "deadline"]),
        off_ns=st.sampled_from([-MILLISECOND, 0, 1, MILLISECOND]),
    )
    def time_passes_until(self, moment: str, off_ns: int) -> None:
        plan = self.snipe.plan
        at = {
            "check": plan.not_before_ns - 5 * SECOND,
            "load": plan.not_before_ns - entries.LOAD_NS,
            "open": plan.not_before_ns,
            "deadline": plan.deadline_ns,
        }[moment]
        if at + off_ns > self.now:
            self.do(self.scene.run(at + off_ns - self.now))

    @rule(step_ms=st.sampled_from([10, 900, 6000, 40_000]))
    def the_machine_stalls(self, step_ms: int) -> None:
        """Time passes and nothing is done in it: a swapped-out process, a suspended laptop."""
        self.do(self.scene.clock.sleep_until(self.now + step_ms * MILLISECOND))

    # -- the venue's openings --------------------------------------------------------------------

    @rule(ahead_ms=st.sampled_from([-5000, 500, 1500, 10_000, 40_000, 700_000, None]), at_once=st.booleans())
    def the_opening_moves(self, ahead_ms: int | None, at_once: bool) -> None:
        """To so far from now; None: the listing is withdrawn."""
        moved = [] if ahead_ms is None else [replace(COIN, open_ns=self.now + ahead_ms * MILLISECOND)]
        self.venue.calendar = [*moved, OTHER]
        if at_once:
            self.look()

    def look(self) -> None:
        self.do(planning.look(self.scene.engine, self.now))

    @rule(ask=st.sampled_from(["0.5", "0.9", "2"]))
    def a_book_comes(self, ask: str) -> None:
        bid, offer = Level(Decimal("0.45"), Decimal(9)), Level(Decimal(ask), Decimal(9))
        self.hear(BookSeen(Book(ABC, (bid,), (offer,), self.now)))

    # -- people ----------------------------------------------------------------------------------

    @rule(act=st.sampled_from(["arm", "arm", "disarm", "flatten", "resume", "abort", "halt"]))
    def a_person_acts(self, act: str) -> None:
        engine = self.scene.engine
        if act == "halt":
            self.do(safety.halt(engine, "ada", "drill"))
            return
        self.ask(
            {
                "arm": lambda: safety.arm(engine, "s-1", "ada"),
                "disarm": lambda: safety.disarm(engine, "s-1", "ada"),
                "flatten": lambda: handling.flatten_one(engine, "s-1", "ada", "out"),
                "resume": lambda: safety.resume(engine, "ada", "go on"),
                "abort": lambda: handling.abort(engine, "s-1", "ada", "no"),
            }[act]()
        )

    @precondition(lambda self: self.snipe.state.is_waiting)
    @rule(past_ms=st.sampled_from([-400, 0, 1, 300]))
    def it_is_armed_and_its_opening_comes(self, past_ms: int) -> None:
        self.ask(safety.resume(self.scene.engine, "ada", "go on"))
        self.ask(safety.arm(self.scene.engine, "s-1", "ada"))
        self.do(self.scene.run(self.snipe.plan.not_before_ns - self.now + past_ms * MILLISECOND))

    # -- answers ---------------------------------------------------------------------------------

    @precondition(lambda self: self.venue.requests)
    @rule()
    def the_venue_takes_it_and_nobody_sells(self) -> None:
        self.answer("nothing", "at once", 0)

    @precondition(lambda self: self.venue.requests)
    @rule()
    def the_venue_is_not_open_yet(self) -> None:
        self.answer("early", "at once", 0)

    @precondition(lambda self: self.venue.requests)
    @rule(
        what=st.sampled_from(["nothing", "part", "whole", "early", "refused", "lost", "lost on the way"]),
        way=st.sampled_from(["at once", "late", "never"]),
        part=st.integers(20, 100),
    )
    def the_venue_answers(self, what: str, way: str, part: int) -> None:
        self.answer(what, way, part)

    def answer(self, what: str, way: str, part: int) -> None:
        client_id, order = next(iter(self.venue.requests.items()))
        told: list[Report]
        if what == "lost on the way" or not self.venue.can_arrive(order):
            del self.venue.requests[client_id]
            told = [Lost(client_id, "no answer came", self.now)]
        elif what in ("early", "refused"):
            del self.venue.requests[client_id]
            code, words = (10007, "not open yet") if what == "early" else (30005, "Oversold")
            told = [Refused(client_id, code, words, self.now)]
        else:
            told = self.venue.take(client_id)
            if what != "nothing":
                told += self.venue.cut(client_id, [part], whole=what == "whole")
            told += self.venue.end(client_id)
            told = [Lost(client_id, "no answer came", self.now), *told] if what == "lost" else told
        if way == "at once":
            self.hear(*told)
        elif way == "late":
            self.mail += told

    @precondition(lambda self: self.mail)
    @rule(number=PICKS, twice=st.booleans())
    def late_news_comes(self, number: int, twice: bool) -> None:
        report = self.mail[number % len(self.mail)]
        self.hear(report, *([report] if twice else []))
        if not twice:
            self.mail.remove(report)

    def ended_unbought(self) -> Sequence[Order]:
        """Shots that are over by the venue's word, if nothing was bought and none is away."""
        orders = self.desk.entries("s-1")
        away = [o for o in orders if o.is_live and not self.scene.engine.holds_shot(o.client_id)]
        if away or self.venue.requests or any(row.fills for row in self.venue.entries_of("s-1")):
            return []
        return [o for o in orders if o.left_ns is not None and not o.is_live]

    @precondition(lambda self: self.ended_unbought())
    @rule(number=PICKS, part=st.integers(20, 100))
    def a_fill_comes_after_the_venue_had_said_that_it_was_over(self, number: int, part: int) -> None:
        """The venue contradicts itself; the money is spent all the same."""
        ended = self.ended_unbought()
        order = ended[number % len(ended)]
        self.venue.rows.setdefault(order.client_id, Row(order, f"v-{order.client_id}"))
        row = self.venue.rows[order.client_id]
        told = self.venue.cut(order.client_id, [part], whole=False)
        self.venue.end(order.client_id)
        assert row.fills
        self.hear(*told)
        if self.desk.orders[order.client_id].is_live:  # whether more will come is asked
            self.do(self.scene.run(3 * SECOND))
        assert self.snipe.state in (_S.ENTERED, _S.EXITING, _S.CLOSED), self.snipe
        assert not any(self.scene.engine.holds_shot(o.client_id) for o in self.desk.entries("s-1"))

    # -- processes -------------------------------------------------------------------------------

    @rule(stopped=st.booleans())
    def another_process_starts(self, stopped: bool) -> None:
        """After a stop with grace, or after the process just died."""
        if stopped:
            self.do(stopping.stop(self.scene.engine, "maintenance"))
            self.do(self.scene.run(SECOND))
        self.do(self.scene.restart())

    # -- what holds always -----------------------------------------------------------------------

    @invariant()
    def one_entry_at_a_time_is_live(self) -> None:
        live = [order.client_id for order in self.desk.entries("s-1") if order.is_live]
        assert len(live) <= 1, live
        assert set(self.scene.engine.shots) <= set(live)

    @invariant()
    def no_more_is_spent_than_the_budget(self) -> None:
        spent = sum((f.value for row in self.venue.entries_of("s-1") for f in row.fills), ZERO)
        known = sum((order.filled_value for order in self.desk.entries("s-1")), ZERO)
        risked = sum((o.value_at_risk for o in self.desk.entries("s-1") if o.is_live), ZERO)
        assert known <= spent <= self.snipe.plan.budget_quote
        assert known + risked <= self.snipe.plan.budget_quote

    @invariant()
    def what_was_bought_is_never_given_up(self) -> None:
        holds = exits.holds_entry(self.snipe, self.desk, self.venue.rules)
        if self.snipe.state in (_S.MISSED, _S.ABORTED):
            assert not holds
        if self.snipe.state.is_waiting:
            assert not self.desk.entry_price("s-1")

    @invariant()
    def a_snipe_that_waits_or_is_over_has_nothing_loaded(self) -> None:
        if self.snipe.state is not _S.FIRING:
            assert not self.scene.engine.shots

    @invariant()
    def something_is_always_due_for_a_snipe_that_is_not_over(self) -> None:
        if self.snipe.state is _S.FIRING and not any(o.is_live for o in self.desk.entries("s-1")):
            assert entries.due_ns(self.snipe, self.desk, self.now) is not None

    def teardown(self) -> None:
        """Left alone, everything comes to rest, and the desk is the venue."""
        if not hasattr(self, "scene"):
            return
        try:
            self.venue.requests.clear()
            self.venue.calendar = [OTHER]
            self.do(self.scene.run(90 * SECOND))
            if self.snipe.state is _S.ENTERED:
                self.do(handling.flatten_one(self.scene.engine, "s-1", "ada", "out"))
                self.do(self.scene.run(30 * SECOND))
            assert self.snipe.state.is_over or self.snipe.state.is_waiting, self.snipe
            assert not list(self.desk.open_orders())
            self.do(self.scene.agrees())
            again = Desk.of(event for _, event in self.scene.ledger.read())
            assert DeskState.of(again) == DeskState.of(self.desk)
            plan: Plan = self.snipe.plan
            assert plan.budget_quote == PLAN.budget_quote
        finally:
            self.runner.close()


TestSnipeMachine = SnipeMachine.TestCase
TestSnipeMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
