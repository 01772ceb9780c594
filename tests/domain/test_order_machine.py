"""Orders against a model of the venue: reports in any order, doubled, late or never; answers of any age."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mexclab.config import OrderSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.reports import Accepted, Cancelled, Lost, Refused, Report, Traded, VenueOrder
from mexclab.store.codec import decode, encode
from mexclab.trading.execution import RECV_WINDOW_NS, Answer, events_of, is_overdue, settle

ABC = Symbol("ABC")
START = 20_600 * DAY
WAITS = OrderSettings()
GRACE_NS = WAITS.grace_s * SECOND  # a venue may need so long to show what it took
PRICE = Decimal("0.25")
ZERO = Decimal(0)
PICKS = st.integers(0, 30)
_S = OrderState


@dataclass
class Entry:
    """One order in the venue's own book: what is true of it."""

    order: Order
    left_ns: int
    arrived_ns: int | None = None
    refused: bool = False
    canceled: bool = False
    trades: list[Fill] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        return self.arrived_ns is not None and not self.refused

    @property
    def filled(self) -> Decimal:
        return sum((fill.quantity for fill in self.trades), ZERO)

    @property
    def rests(self) -> bool:
        return self.taken and not self.canceled and self.filled < self.order.quantity

    @property
    def state(self) -> OrderState:
        if self.filled == self.order.quantity:
            return _S.FILLED
        if self.canceled:
            return _S.CANCELED
        return _S.PARTIALLY_FILLED if self.trades else _S.ACCEPTED

    def shown(self) -> VenueOrder | None:
        o = self.order
        if not self.taken:
            return None
        return VenueOrder(
            o.client_id, f"v-{o.client_id}", ABC, o.side, self.state, o.quantity, o.price, self.filled
        )


class OrderMachine(RuleBasedStateMachine):
    @initialize(mix=st.integers(0, 2**16), reports_come=st.booleans())
    def begin(self, mix: int, reports_come: bool) -> None:
        self.now, self.mix, self.reports_come = START, mix, reports_come
        self.desk, self.events = Desk(), list[e.Event]()
        self.book: dict[str, Entry] = {}
        self.reports: list[Report] = []  # all that was ever said; any of it may come at any time, again
        self.asked: list[tuple[str, VenueOrder | None, int]] = []  # the order was shown, its trades not yet
        self.answers: list[tuple[str, Answer]] = []
        self.heard: set[str] = set()  # trades that reached the desk

    # -- the desk's side -------------------------------------------------------------------------

    def write(self, *happened: e.Event) -> None:
        """As the pen does: first on a trial, which must change nothing; and through the codec."""
        state = DeskState.of(self.desk)
        trial = self.desk.trial()
        for event in happened:
            trial.fold(event)
        assert DeskState.of(self.desk) == state
        for event in happened:
            entry = encode(event)
            assert decode(entry.kind, entry.body) == event
            self.desk.fold(event)
            self.events.append(event)
            if isinstance(event, e.OrderFilled):
                self.heard.add(event.fill.trade_id)
            if isinstance(event, e.OrderAccepted):  # as the engine: what was to be cancelled still is
                order = self.desk.orders[event.client_id]
                if order.cancel_ns is not None and order.state is _S.ACCEPTED:
                    self.write(e.CancelSent(self.now, order.client_id, "again"))

    def hear(self, report: Report) -> None:
        for event in events_of(report, self.desk):
            self.write(event)

    def weigh(self, client_id: str, answer: Answer) -> None:
        order = self.desk.orders[client_id]
        for event in settle(order, answer, self.desk, self.now, WAITS):
            self.write(event)

    def pick(self, number: int, found: list[Entry]) -> Entry | None:
        return found[number % len(found)] if found else None

    @rule(side=st.sampled_from(list(Side)), lots=st.integers(1, 20), rests=st.booleans())
    def an_order_is_sent(self, side: Side, lots: int, rests: bool) -> None:
        quantity = Decimal(lots)
        if side is Side.SELL:
            selling = sum((o.remaining for o in self.desk.open_orders() if o.side is side), ZERO)
            quantity = min(quantity, (self.desk.held(ABC) - selling) // 1)
        if quantity <= 0 or len(self.book) >= 6:
            return
        kind = OrderType.LIMIT if rests else OrderType.IMMEDIATE_OR_CANCEL
        name = f"s-1-{'b' if side is Side.BUY else 't1'}-{len(self.book) + 1}"
        order = Order(name, ABC, side, kind, quantity, PRICE, "s-1", "b", decided_ns=self.now)
        self.write(e.OrderDecided(self.now, order), e.OrderSent(self.now, name))
        self.book[name] = Entry(order, self.now)

    @rule(number=PICKS)
    def its_cancellation_is_asked_for(self, number: int) -> None:
        entry = self.pick(number, [x for x in self.book.values() if self.ours(x).state.is_open])
        if entry is not None:
            self.write(e.CancelSent(self.now, entry.order.client_id, "out"))

    @rule(number=PICKS)
    def no_answer_comes(self, number: int) -> None:
        """Whatever became of it at the venue; as a report of the road it may come late, too."""
        entry = self.pick(number, list(self.book.values()))
        if entry is not None:
            report = Lost(entry.order.client_id, "no answer came", self.now)
            self.reports.append(report)
            self.hear(report)

    @rule(seconds=st.sampled_from([1, 3, 8, 100]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    # -- the venue's side ------------------------------------------------------------------------

    @rule(number=PICKS, refused=st.sampled_from([False, False, False, True]), part=st.integers(0, 20))
    def a_request_arrives(self, number: int, refused: bool, part: int) -> None:
        found = [x for x in self.book.values() if x.arrived_ns is None and self.may_arrive(x)]
        entry = self.pick(number, found)
        if entry is None:
            return
        entry.arrived_ns, entry.refused = self.now, refused
        client_id = entry.order.client_id
        if refused:
            self.reports.append(Refused(client_id, 30005, "Oversold", self.now))
            return
        self.reports.append(Accepted(client_id, f"v-{client_id}", self.now))
        if entry.order.type is OrderType.IMMEDIATE_OR_CANCEL:
            self.trade(entry, part)
            self.end(entry)

    def may_arrive(self, entry: Entry) -> bool:
        return self.now <= entry.left_ns + RECV_WINDOW_NS

    @rule(number=PICKS, part=st.integers(1, 20))
    def it_trades(self, number: int, part: int) -> None:
        entry = self.pick(number, [x for x in self.book.values() if x.rests])
        if entry is not None:
            self.trade(entry, part)

    def trade(self, entry: Entry, part: int) -> None:
        quantity = min(Decimal(part), entry.order.quantity - entry.filled)
        if quantity <= 0:
            return
        count = sum(len(x.trades) for x in self.book.values()) + 1
        buys = entry.order.side is Side.BUY
        asset = ("ABC", "USDT", "MX")[count % 3] if buys else ("USDT", "MX")[count % 2]
        fill = Fill(
            f"T{count}", entry.order.client_id, ABC, entry.order.side, PRICE, quantity,
            Decimal("0.01"), asset, self.now,
        )  # fmt: skip
        entry.trades.append(fill)
        self.reports.append(Traded(fill, self.now))

    @rule(number=PICKS)
    def the_rest_of_it_goes(self, number: int) -> None:
        """A cancellation arrives, or the venue drops it."""
        entry = self.pick(number, [x for x in self.book.values() if x.rests])
        if entry is not None:
            self.end(entry)

    def end(self, entry: Entry) -> None:
        if entry.rests:
            entry.canceled = True
            self.reports.append(Cancelled(entry.order.client_id, "the rest", self.now, entry.filled))

    # -- what reaches the desk -------------------------------------------------------------------

    @precondition(lambda self: self.reports)
    @rule(number=PICKS, newest=st.booleans())
    def a_report_comes(self, number: int, newest: bool) -> None:
        self.hear(self.reports[-1 if newest else number % len(self.reports)])

    @rule(number=PICKS, blind=st.booleans())
    def the_venue_is_asked(self, number: int, blind: bool) -> None:
        """What it took a moment ago it may not show yet."""
        entry = self.pick(number, list(self.book.values()))
        if entry is not None:
            young = entry.arrived_ns is not None and self.now <= entry.arrived_ns + GRACE_NS
            shown = None if blind and young else entry.shown()
            self.asked.append((entry.order.client_id, shown, self.now))

    @precondition(lambda self: self.asked)
    @rule(number=PICKS, lags=st.integers(0, 2))
    def its_trades_are_shown(self, number: int, lags: int) -> None:
        """Some of the newest may be missing; an answer that is complete may wait long to be weighed."""
        client_id, shown, asked_ns = self.asked.pop(number % len(self.asked))
        trades = self.book[client_id].trades
        seen = tuple(trades[: len(trades) - lags] if lags < len(trades) else ()) if lags else tuple(trades)
        self.answers.append((client_id, Answer(shown, seen, asked_ns)))

    @precondition(lambda self: self.answers)
    @rule(number=PICKS, newest=st.booleans())
    def an_answer_is_weighed(self, number: int, newest: bool) -> None:
        self.weigh(*self.answers[-1 if newest else number % len(self.answers)])

    @rule(number=PICKS)
    def an_order_that_is_open_is_asked_for_and_the_answer_weighed(self, number: int) -> None:
        entry = self.pick(number, [x for x in self.book.values() if self.ours(x).is_live])
        if entry is not None:
            answer = Answer(entry.shown(), tuple(entry.trades), self.now)
            self.weigh(entry.order.client_id, answer)

    @rule()
    def what_is_not_ours_is_told(self) -> None:
        fill = Fill("X1", "stranger-b-1", ABC, Side.BUY, PRICE, Decimal(1), ZERO, "USDT", self.now)
        assert events_of(Traded(fill, self.now), self.desk) == []
        assert events_of(Cancelled("stranger-b-1", "x", self.now, ZERO), self.desk) == []

    @rule()
    def the_desk_restarts(self) -> None:
        again = Desk.of(decode(*encode(event)[1::2]) for event in self.events)
        assert DeskState.of(again) == DeskState.of(self.desk)
        self.desk = again

    # -- what holds always -----------------------------------------------------------------------

    def ours(self, entry: Entry) -> Order:
        return self.desk.orders[entry.order.client_id]

    @invariant()
    def an_order_never_has_more_than_truly_traded(self) -> None:
        for entry in self.book.values():
            ours = self.ours(entry)
            assert ours.fills == tuple(dict.fromkeys(ours.fills))
            assert set(ours.fills) <= set(entry.trades)
            assert ours.filled <= entry.filled <= ours.quantity
            assert ours.executed is None or ours.executed <= entry.filled

    @invariant()
    def what_is_held_is_the_sum_of_the_fills_that_came(self) -> None:
        known = [f for x in self.book.values() for f in x.trades if f.trade_id in self.heard]
        held = sum((f.quantity if f.side is Side.BUY else -f.quantity for f in known), ZERO)
        held -= sum((f.fee for f in known if f.fee_asset == "ABC"), ZERO)
        paid = sum((f.value if f.side is Side.BUY else -f.value for f in known), ZERO)
        paid += sum((f.fee for f in known if f.fee_asset == "USDT"), ZERO)
        portfolio = self.desk.portfolio
        assert self.desk.held(ABC) == held
        assert abs(portfolio.cost - portfolio.realised - paid) < Decimal("1e-18")
        assert self.desk.trade_count == len(known)

    @invariant()
    def an_order_ends_only_by_the_venues_word(self) -> None:
        for entry in self.book.values():
            ours = self.ours(entry)
            if ours.state is _S.REJECTED:
                assert entry.refused, "what was taken, or never answered, is not a refusal"
            elif ours.state is _S.FILLED:
                assert entry.state is _S.FILLED
            elif ours.state is _S.CANCELED:
                gone = not entry.taken and not self.may_arrive(entry)
                assert entry.canceled or entry.refused or gone

    @invariant()
    def a_symbol_is_frozen_exactly_while_a_fate_is_unknown(self) -> None:
        unknown = [x for x in self.book.values() if self.ours(x).state is _S.UNKNOWN]
        assert self.desk.frozen(ABC) == bool(unknown)
        assert len(self.desk.unknown_orders()) == len(unknown)

    @invariant()
    def what_may_still_change_is_kept_as_open(self) -> None:
        kept = {order.client_id for order in self.desk.open_orders()}
        assert kept == {x.order.client_id for x in self.book.values() if self.ours(x).is_live}

    def teardown(self) -> None:
        """All reports come, or none of them and the venue is asked: the desk is the venue."""
        if not hasattr(self, "book"):
            return
        if self.reports_come:
            told = [*self.reports, *self.reports[::2]]
            Random(self.mix).shuffle(told)
            for report in told:
                self.hear(report)
        self.now += 100 * SECOND  # nothing on its way can arrive any more
        for _ in range(3):
            for order in list(self.desk.open_orders()):
                if order.state is _S.SENT:
                    assert is_overdue(order, self.now, WAITS)
                    self.write(e.OrderLost(self.now, order.client_id, "no answer came"))
                entry = self.book[order.client_id]
                self.weigh(order.client_id, Answer(entry.shown(), tuple(entry.trades), self.now))
            self.now += 100 * SECOND
        for entry in self.book.values():
            ours = self.ours(entry)
            assert ours.state.is_open == ours.is_live == entry.rests
            assert set(ours.fills) == set(entry.trades)
            if entry.taken and ours.state is not _S.CANCEL_SENT:
                assert ours.state is entry.state
            elif not entry.taken:
                assert ours.state is _S.CANCELED or (entry.refused and ours.state is _S.REJECTED)
        assert not self.desk.unknown_orders()
        assert DeskState.of(Desk.of(self.events)) == DeskState.of(self.desk)


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
