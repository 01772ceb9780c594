"""The desk: all state that matters, as a fold over the ledger's events in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.market import Side, Symbol
from mexclab.domain.marks import peaks_after
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.pauses import fold as fold_pause
from mexclab.domain.portfolio import ZERO, Portfolio
from mexclab.domain.protection import Protection
from mexclab.domain.saga import Saga
from mexclab.domain.saga import fold as fold_saga
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.domain.values import changed
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing new is entered, since when, and by whom."""

    at_ns: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one snipe earned, fees included, in quote units."""

    snipe_id: str
    symbol: Symbol
    closed_ns: int
    profit: Decimal


class Desk:
    """Orders, snipes, portfolio, halt.

    One writer folds events into it, in ledger order; everyone else reads. Folding the same events
    always gives the same desk.
    """

    def __init__(self) -> None:
        self.portfolio = Portfolio()
        self.orders: dict[str, Order] = {}
        self.snipes: dict[str, Snipe] = {}
        self.halt: Halt | None = None
        self._results: dict[str, Result] = {}  # by snipe, the one that was closed last at the end
        self.signals: dict[str, Signal] = {}
        self.declined: dict[str, str] = {}  # signal id -> why no plan was made of it
        self.first_books: dict[str, None] = {}  # snipes whose first book has been written down
        self.first_trades: dict[str, None] = {}  # and those whose first public trade has
        self.strategy: e.StrategySet | None = None  # the last change that a person made
        self.reconciled: e.Reconciled | None = None  # the last comparison with the venue
        self.external: dict[str, e.ExternalOrderSeen] = {}
        self.protections: dict[str, Protection] = {}  # by id; those that ended are let go in time
        self.spent: dict[str, int] = {}  # protections that are over, and until when their cause might be seen
        self.monitors: dict[tuple[str, str], e.MonitorChanged] = {}  # the last change, by name and symbol
        self.confirmed: e.LimitsConfirmed | None = None  # the limits that a person took on last
        self.checked: e.AccountChecked | None = None  # the last preflight of the account
        self.marked: e.EquityMarked | None = None  # the last mark of the equity
        self.peaks: tuple[e.EquityMarked, ...] = ()  # those that a look-back may find the highest
        self.rehearsed: e.Rehearsed | None = None  # the last rehearsal of the emergency
        self.sagas: dict[str, Saga] = {}  # those that go on, by id
        self.folded = 0  # how many events were taken in, or were tried
        self.disputed: dict[Symbol, str] = {}  # symbols whose venue reports could not be booked, and why
        self.disputed_trades: dict[str, None] = {}  # trades that could not be booked and have been said
        self.written_off: dict[str, Decimal] = {}  # by snipe, what a person accepted to be gone, base units
        self._trades: dict[str, None] = {}
        self._by_snipe: dict[str, tuple[str, ...]] = {}
        self._open: dict[str, None] = {}  # client ids in the order they were decided
        self._buying: dict[str, None] = {}  # of those, the purchases
        self._unknown = 0  # how many of them are of unknown fate
        self._live: dict[str, None] = {}  # ids of snipes that are not over, in the order of their plans
        self.busy = 0  # how many of those fire, or hold something

    @classmethod
    def of(cls, events: Iterable[e.Event]) -> Desk:
        """The desk that these events add up to."""
        desk = cls()
        for event in events:
            desk.fold(event)
        return desk

    def trial(self) -> Desk:
        """A desk that starts from this one and can be folded into without changing it. Costs a copy."""
        desk = Desk()
        for name, value in vars(self).items():
            setattr(desk, name, value.copy() if isinstance(value, dict) else value)  # the rest is frozen
        return desk

    # -- questions -------------------------------------------------------------------------------

    def open_orders(self) -> Iterator[Order]:
        """Orders of which more may come, the oldest first."""
        return map(self.orders.__getitem__, self._open)

    def staked_orders(self) -> Iterator[Order]:
        """Of the open orders, the purchases and those of unknown fate: the few that entries ask for."""
        if self._unknown:
            return (order for order in self.open_orders() if order.is_staked)
        return map(self.orders.__getitem__, self._buying)

    def orders_of(self, snipe_id: str) -> list[Order]:
        return [self.orders[client_id] for client_id in self._by_snipe.get(snipe_id, ())]

    @property
    def results(self) -> list[Result]:
        """What each closed snipe earned, in the order in which they were closed."""
        return list(self._results.values())

    def recent_results(self) -> Iterator[Result]:
        """The same, the one that was closed last first."""
        return reversed(self._results.values())

    def live_snipes(self) -> list[Snipe]:
        return [self.snipes[snipe_id] for snipe_id in self._live] if self._live else []

    def entries(self, snipe_id: str) -> list[Order]:
        return [order for order in self.orders_of(snipe_id) if order.side is Side.BUY]

    def exits(self, snipe_id: str) -> list[Order]:
        return [order for order in self.orders_of(snipe_id) if order.side is Side.SELL]

    def held(self, symbol: Symbol) -> Decimal:
        """Units of the base asset held."""
        position = self.portfolio.positions.get(symbol)
        return position.quantity if position else ZERO

    def entry_price(self, snipe_id: str) -> Decimal | None:
        """The average price of the entry, fees not included."""
        bought = [order for order in self.entries(snipe_id) if order.fills]
        quantity = sum((order.filled for order in bought), ZERO)
        return sum((order.filled_value for order in bought), ZERO) / quantity if quantity else None

    def profit(self, snipe_id: str) -> Decimal:
        """Sold minus bought minus fees in quote, over the fills of one snipe."""
        total = ZERO
        for order in self.orders_of(snipe_id):
            sign = 1 if order.side is Side.SELL else -1
            for fill in order.fills:
                total += sign * fill.value - (fill.fee if fill.fee_asset == fill.symbol.quote else ZERO)
        return total

    def committed(self, symbol: Symbol | None = None) -> Decimal:
        """Quote at stake: the cost of what is held and what open buy orders may still spend."""
        held = sum(
            (p.cost for p in self.portfolio.held if symbol is None or p.symbol == symbol),
            ZERO,
        )
        open_buys = (o for o in self.open_orders() if o.side is Side.BUY and symbol in (None, o.symbol))
        return held + sum((order.value_at_risk for order in open_buys), ZERO)

    def recent_orders(self) -> Iterator[Order]:
        """Orders, the one that was decided last first."""
        return (self.orders[client_id] for client_id in reversed(self.orders))

    def protections_of(self, symbol: Symbol | None, now_ns: int) -> list[Protection]:
        """Protections in force that cover ``symbol``; None: every one in force."""
        active = (each for each in self.protections.values() if each.is_active(now_ns))
        return [each for each in active if symbol is None or each.covers(symbol)]

    def unknown_orders(self) -> list[Order]:
        unknown = OrderState.UNKNOWN  # looked up once: a desk may hold hundreds of open orders
        return [order for order in self.open_orders() if order.state is unknown]

    def frozen(self, symbol: Symbol) -> bool:
        """Whether an order of unknown fate, or a dispute with the venue, forbids entries in ``symbol``."""
        return symbol in self.disputed or any(order.symbol == symbol for order in self.unknown_orders())

    # -- the fold --------------------------------------------------------------------------------

    def fold(self, event: e.Event) -> None:
        """Take one event in.

        Raises:
            IllegalTransition: the event asks an order or a snipe for a step its table forbids.
            DomainError: it names an order or a snipe that was never decided.
        """
        self.folded += 1
        fold = _OFTEN.get(type(event))
        if fold is not None:
            fold(self, event)
            return
        match event:
            case e.DaemonStarted():
                if not self.orders and not self.portfolio.positions:
                    self.portfolio = changed(self.portfolio, opening_balance=event.opening_balance)
            case e.Halted():
                self.halt = self.halt or Halt(event.at_ns, event.by, event.why)
            case e.Resumed():
                self.halt = None
                self.disputed.clear()
            case e.SignalRaised(signal=signal):
                self.signals[signal.signal_id] = signal
            case e.PlanDeclined(signal_id=signal_id):
                self.declined[signal_id] = event.reason
            case e.FirstBookSeen(snipe_id=snipe_id):
                self.first_books[snipe_id] = None
            case e.FirstTradeSeen(snipe_id=snipe_id):
                self.first_trades[snipe_id] = None
            case e.StrategySet():
                self.strategy = event
            case e.Reconciled():
                self.reconciled = event
            case e.ExternalOrderSeen():
                self.external[event.venue_id] = event
            case e.ProtectionRaised() | e.ProtectionReleased():
                fold_pause(self.protections, self.spent, event)
            case e.MonitorChanged():
                self.monitors[event.monitor, "" if event.symbol is None else str(event.symbol)] = event
                if event.state == "unknown":  # nobody looks any more: there is nothing to show
                    del self.monitors[event.monitor, "" if event.symbol is None else str(event.symbol)]
            case e.LimitsConfirmed():
                self.confirmed = event
            case e.AccountChecked():
                self.checked = event
            case e.EquityMarked():
                self.marked = event
                self.peaks = peaks_after(self.peaks, event)
            case e.Rehearsed():
                self.rehearsed = event
            case e.SnipePlanned() | e.SnipeRetimed() | e.PreflightDone() | e.SnipeMoved():
                self._fold_snipe(event)
            case e.ExitDecided() | e.ExitReplaced() | e.StopRaised():
                self._fold_exit(event)
            case _:
                self._fold_order(event)

    def _fold_order(self, event: e.Event) -> None:
        match event:
            case e.OrderDecided(order=order):
                self._decide(order)
            case e.OrderFilled(fill=fill):
                self._fill(fill)
            case e.OrderSent(client_id=client_id):
                self._put(
                    self._order(client_id).moved(OrderState.SENT, sent_ns=event.release_ns or event.at_ns)
                )
            case e.OrderAccepted(client_id=client_id):
                self._accept(self._order(client_id), event)
            case e.OrderRejected(client_id=client_id):
                why = f"{event.code} {event.words}"
                self._put(self._order(client_id).moved(OrderState.REJECTED, acked_ns=event.at_ns, why=why))
            case e.OrderLost(client_id=client_id):
                self._put(self._order(client_id).moved(OrderState.UNKNOWN, why=event.why))
            case e.CancelSent(client_id=client_id):
                self._ask_cancel(self._order(client_id), event)
            case e.OrderCanceled(client_id=client_id):
                order = self._order(client_id)
                executed = max(event.executed, order.executed or ZERO)
                self._put(order.moved(OrderState.CANCELED, why=event.why, executed=executed))
            case e.ReportDisputed(symbol=symbol):
                self.disputed[symbol] = event.why
                if event.trade_id:
                    self.disputed_trades[event.trade_id] = None
            case e.WrittenOff():
                self._write_off(event)
            case e.Fired(client_id=client_id):
                self._put(changed(self._order(client_id), left_ns=event.at_ns))
            case _:
                pass  # told for people and for research; changes no state

    def _fold_snipe(self, event: e.Event) -> None:
        match event:
            case e.SnipePlanned(plan=plan):
                self._keep(Snipe(plan, planned_ns=event.at_ns))
            case e.SnipeRetimed(snipe_id=snipe_id):
                snipe = self._snipe(snipe_id)
                plan = changed(snipe.plan, not_before_ns=event.not_before_ns, deadline_ns=event.deadline_ns)
                self._keep(changed(snipe, plan=plan, preflights=()))
            case e.PreflightDone(snipe_id=snipe_id):
                snipe = self._snipe(snipe_id)
                self._keep(changed(snipe, preflights=(*snipe.preflights, event.preflight)))
            case e.SnipeMoved(snipe_id=snipe_id):
                self._move(self._snipe(snipe_id), event)

    def _fold_exit(self, event: e.ExitDecided | e.ExitReplaced | e.StopRaised) -> None:
        snipe = self._snipe(event.snipe_id)
        match event:
            case e.ExitDecided():
                snipe = snipe.moved(SnipeState.EXITING, exit_why=event.reason, why=event.why)
            case e.ExitReplaced():
                plan = changed(snipe.plan, exit=event.exit)
                snipe = changed(snipe, plan=plan, stop_price=None, peak_price=None)
            case e.StopRaised():
                snipe = changed(snipe, stop_price=event.stop_price, peak_price=event.peak)
        self._keep(snipe)

    def _move(self, snipe: Snipe, event: e.SnipeMoved) -> None:
        changes: dict[str, object] = {"why": event.why, "reason": event.reason}
        if event.to is SnipeState.ARMED:
            changes["armed_by"] = event.by or snipe.armed_by
        elif event.to is SnipeState.PLANNED:
            changes |= {"planned_ns": event.at_ns, "closed_ns": None, "armed_by": "", "preflights": ()}
        elif event.to is SnipeState.ENTERED:
            changes["entered_ns"] = event.at_ns
        elif event.to.is_over:
            changes["closed_ns"] = event.at_ns
        self._keep(snipe.moved(event.to, **changes))
        if event.to is SnipeState.CLOSED:
            result = Result(snipe.snipe_id, snipe.plan.symbol, event.at_ns, self.profit(snipe.snipe_id))
            self._results.pop(snipe.snipe_id, None)  # closed anew: it is the last one now
            self._results[snipe.snipe_id] = result

    def _decide(self, order: Order) -> None:
        if order.client_id in self.orders:
            raise DomainError(f"order {order.client_id} was decided before", client_id=order.client_id)
        self._put(order)
        self._by_snipe[order.snipe_id] = (*self._by_snipe.get(order.snipe_id, ()), order.client_id)
        snipe = self.snipes.get(order.snipe_id)
        if snipe is not None and order.side is Side.BUY:
            self._keep(changed(snipe, attempts_made=snipe.attempts_made + 1))

    def _accept(self, order: Order, event: e.OrderAccepted) -> None:
        facts: dict[str, object] = {"venue_id": event.venue_id, "acked_ns": event.at_ns}
        # after a cancel was asked for, this is the venue's word that the order still rests
        if order.state in (OrderState.SENT, OrderState.UNKNOWN, OrderState.CANCEL_SENT):
            self._put(order.moved(OrderState.ACCEPTED, **facts))
        else:  # a fill or a cancel overtook the acknowledgement: the facts are kept, the state stands
            self._put(changed(order, **facts))

    def _ask_cancel(self, order: Order, event: e.CancelSent) -> None:
        """A wish to cancel tells nothing of an order that has not been acknowledged: its state stands."""
        if order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
            order = order.moved(OrderState.CANCEL_SENT, why=event.why)
        self._put(changed(order, cancel_ns=event.at_ns))

    def _fill(self, fill: Fill) -> None:
        if fill.trade_id in self._trades:
            return
        self._put(self._order(fill.client_id).filled_by(fill))
        self._trades[fill.trade_id] = None
        self.disputed_trades.pop(fill.trade_id, None)
        self.portfolio = self.portfolio.after(fill)

    def _write_off(self, event: e.WrittenOff) -> None:
        snipe_id = self._snipe(event.snipe_id).snipe_id
        self.portfolio = self.portfolio.without(event.symbol, event.quantity, event.at_ns)
        self.written_off[snipe_id] = self.written_off.get(snipe_id, ZERO) + event.quantity

    @property
    def trade_count(self) -> int:
        """How many trades have been booked."""
        return len(self._trades)

    def knows_trade(self, trade_id: str) -> bool:
        return trade_id in self._trades

    def _keep(self, snipe: Snipe) -> None:
        before = self.snipes.get(snipe.snipe_id)
        self.snipes[snipe.snipe_id] = snipe
        self.busy += snipe.state.is_busy - (before is not None and before.state.is_busy)
        _mark(self._live, snipe.snipe_id, not snipe.state.is_over)

    def _put(self, order: Order) -> None:
        before, client_id = self.orders.get(order.client_id), order.client_id
        self.orders[client_id] = order
        unknown, is_live = OrderState.UNKNOWN, order.is_live
        self._unknown += (order.state is unknown) - (before is not None and before.state is unknown)
        _mark(self._open, client_id, is_live)
        if order.side is Side.BUY:
            _mark(self._buying, client_id, is_live)

    def _order(self, client_id: str) -> Order:
        try:
            return self.orders[client_id]
        except KeyError:
            raise DomainError(f"order {client_id} was never decided", client_id=client_id) from None

    def _snipe(self, snipe_id: str) -> Snipe:
        try:
            return self.snipes[snipe_id]
        except KeyError:
            raise DomainError(f"snipe {snipe_id} was never planned", snipe_id=snipe_id) from None


def _mark(names: dict[str, None], name: str, is_in: bool) -> None:
    if is_in:
        names[name] = None
    else:
        names.pop(name, None)


# what most entries of a ledger are, and is found at once
_OFTEN: Mapping[type[e.Event], Callable[[Desk, Any], None]] = MappingProxyType(
    dict.fromkeys((e.OrderDecided, e.OrderSent, e.Fired, e.OrderAccepted, e.OrderFilled), Desk._fold_order)
    | dict.fromkeys((e.SnipePlanned, e.PreflightDone, e.SnipeMoved), Desk._fold_snipe)
    | dict.fromkeys((e.SagaBegun, e.SagaStepped, e.SagaEnded), lambda desk, each: fold_saga(desk.sagas, each))
)
