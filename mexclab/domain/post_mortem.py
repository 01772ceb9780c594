"""What became of each snipe, from one pass over the ledger.

A tally per snipe takes each of its events in once, so a million events cost one pass. The money is that
of ``Desk.profit``; what a late fill, a moved opening or a third fee asset mean is said at
:class:`~mexclab.domain.post_mortem_row.PostMortemRow`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.post_mortem_row import AGAINST, OrderPhases, PostMortemRow, between, to_dict
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan, Preflight, SnipeState
from mexclab.errors import DomainError

__all__ = ["AGAINST", "OrderPhases", "PostMortemRow", "post_mortem", "post_mortems", "to_dict"]

ZERO = Decimal(0)
_STOP = "stop"  # the one reason to leave that has a price behind it
_SHOT = ("loaded_ns", "scheduled_ns", "released_ns", "written_ns", "acked_ns", "lateness_ns", "answer_ns")


def post_mortem(snipe_id: str, events: Iterable[e.Event]) -> PostMortemRow:
    """The row of one snipe.

    Args:
        events: in the order of the ledger, from the first sight of the listing on. Entries of the snipe
            alone will do; then ``first_seen_ns`` is not known.

    Raises:
        DomainError: no snipe with this id was planned in them.
    """
    tallies = _tally(events, snipe_id)
    if snipe_id not in tallies:
        raise DomainError(f"there is no snipe {snipe_id!r}; the board shows their ids", snipe_id=snipe_id)
    return _row(tallies[snipe_id])


def post_mortems(events: Iterable[e.Event]) -> list[PostMortemRow]:
    """A row per snipe, by opening, then symbol, in one pass over the ledger's events in order."""
    rows = [_row(tally) for tally in _tally(events).values()]
    return sorted(rows, key=lambda row: (row.open_ns, str(row.symbol), row.planned_ns))


@dataclass(slots=True)
class _Tally:
    """What the events of one snipe add up to so far."""

    plan: Plan
    planned_ns: int
    first_seen_ns: int | None
    signal: Signal | None
    state: SnipeState = SnipeState.PLANNED
    reason: str = ""
    why: str = ""
    armed_by: str = ""
    armed_ns: int | None = None
    closed_ns: int | None = None
    exit_decided_ns: int | None = None
    first_exit_sent_ns: int | None = None
    exit_why: str = ""
    exit_words: str = ""
    raised_stop: Decimal | None = None
    peak_price: Decimal | None = None
    hit_stop: Decimal | None = None
    book: e.FirstBookSeen | None = None
    first_trade: Decimal | None = None
    first_fill: Fill | None = None
    aim: int = 0  # counts the openings that it was aimed at
    preflights: tuple[Preflight, ...] = ()
    retimings: list[tuple[int, int]] = field(default_factory=list)
    entries: dict[str, OrderPhases] = field(default_factory=dict)
    exits: dict[str, OrderPhases] = field(default_factory=dict)
    trades: set[str] = field(default_factory=set)
    refusals: dict[str, None] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)  # exits that a stop sent out
    fees: dict[str, Decimal] = field(default_factory=dict)
    fees_quote: Decimal = ZERO
    paid: Decimal = ZERO  # fees in quote
    taken: Decimal = ZERO  # fees in base
    written_off: Decimal = ZERO  # what a person accepted to be gone, in base units

    def shot(self) -> OrderPhases | None:
        """The shot that the phases tell of: see ``PostMortemRow``."""
        filled = next((shot for shot in self.entries.values() if shot.filled), None)
        aim = filled.aim if filled else self.aim
        shots = [shot for shot in self.entries.values() if shot.aim == aim]
        return next((shot for shot in shots if shot.left), shots[-1] if shots else None)

    # -- the fold ----------------------------------------------------------------------------------

    def take(self, event: e.Event) -> None:
        match event:
            case e.OrderDecided(order=order):
                size = (order.price, order.quantity)
                kept = OrderPhases(order.client_id, order.leg, *size, self.aim, event.at_ns)
                (self.entries if order.side is Side.BUY else self.exits)[order.client_id] = kept
                if self.state is SnipeState.EXITING and self.exit_why == _STOP:
                    self.stopped.add(order.client_id)
            case e.OrderFilled(fill=fill):
                self._fill(fill)
            case e.WrittenOff(quantity=quantity):
                self.written_off += quantity
            case e.SnipeMoved():
                self._move(event)
            case e.SnipeRetimed():
                self._retime(event)
            case e.PreflightDone(preflight=preflight):
                self.preflights = (*self.preflights, preflight)
            case e.VerdictGiven(breaches=breaches):
                self.refusals |= dict.fromkeys(breach.limit for breach in breaches)
            case e.FirstBookSeen():
                self.book = self.book or event
            case e.FirstTradeSeen(price=price):
                self.first_trade = price if self.first_trade is None else self.first_trade
            case e.ExitDecided() | e.ExitReplaced() | e.StopRaised():
                self._leave(event)
            case _:
                self._order(event)

    def _order(self, event: Any) -> None:
        """What happened to one order; an event of another snipe's order has no place here."""
        orders = self.entries if event.client_id in self.entries else self.exits
        order = orders.get(event.client_id)
        if order is None:
            return
        match event:
            case e.OrderSent(release_ns=release_ns):
                order = replace(order, scheduled_ns=event.at_ns if release_ns is None else release_ns)
                if orders is self.exits and self.first_exit_sent_ns is None:
                    self.first_exit_sent_ns = event.at_ns
            case e.Fired():
                order = replace(order, lateness_ns=event.lateness_ns)
                if order.written_ns is None:
                    order = replace(order, scheduled_ns=event.scheduled_ns, released_ns=event.at_ns)
            case e.ShotTimed():
                order = replace(
                    order,
                    scheduled_ns=event.scheduled_ns,
                    released_ns=event.released_ns,
                    written_ns=event.written_ns,
                    acked_ns=order.acked_ns if event.acked_ns is None else event.acked_ns,
                    transmissions=event.transmissions,
                )
            case e.OrderAccepted():
                order = replace(order, acked_ns=event.at_ns if order.acked_ns is None else order.acked_ns)
            case e.OrderRejected(code=code, words=words):
                self.refusals[str(code)] = None
                acked_ns = event.at_ns if order.acked_ns is None else order.acked_ns
                order = replace(order, acked_ns=acked_ns, refused=str(code), why=words)
            case e.OrderLost(why=why) | e.OrderCanceled(why=why):
                order = replace(order, why=why or order.why)
        orders[order.client_id] = order

    def _fill(self, fill: Fill) -> None:
        orders = self.entries if fill.client_id in self.entries else self.exits
        order = orders.get(fill.client_id)
        if order is None or fill.trade_id in self.trades:
            return
        self.trades.add(fill.trade_id)
        orders[fill.client_id] = replace(
            order,
            filled=order.filled + fill.quantity,
            value=order.value + fill.value,
            first_fill_ns=fill.at_ns if order.first_fill_ns is None else min(order.first_fill_ns, fill.at_ns),
            last_fill_ns=max(order.last_fill_ns or 0, fill.at_ns),
        )
        if orders is self.entries and (self.first_fill is None or fill.at_ns < self.first_fill.at_ns):
            self.first_fill = fill
        if not fill.fee:
            return
        self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, ZERO) + fill.fee
        if fill.fee_asset == fill.symbol.quote:
            self.paid += fill.fee
            self.fees_quote += fill.fee
        elif fill.fee_asset == fill.symbol.base:
            self.taken += fill.fee
            self.fees_quote += fill.fee * fill.price

    def _move(self, event: e.SnipeMoved) -> None:
        was, self.state, self.reason, self.why = self.state, event.to, event.reason, event.why
        self.closed_ns = event.at_ns if event.to.is_over else None
        if event.to is SnipeState.ARMED:
            self.armed_by = event.by or self.armed_by
            # a shot that was postponed goes back to being armed; nobody armed it anew
            self.armed_ns = self.armed_ns if was is SnipeState.FIRING else event.at_ns
        elif event.to is SnipeState.PLANNED:
            self.aim += 1
            self.armed_by, self.armed_ns, self.preflights = "", None, ()
        elif event.to is SnipeState.PREFLIGHT:
            self.armed_by, self.armed_ns = "", None
        elif event.to is SnipeState.ABORTED and self.preflights:
            last = self.preflights[-1]
            if not last.passed and last.at_ns == event.at_ns:
                self.refusals[event.reason] = None
        if event.to is SnipeState.CLOSED and not self.exit_why:
            self.exit_why, self.exit_words = event.reason, event.why

    def _retime(self, event: e.SnipeRetimed) -> None:
        self.preflights = ()
        if event.not_before_ns != self.plan.not_before_ns:
            self.aim += 1
            self.retimings.append((event.at_ns, event.not_before_ns))
        self.plan = replace(self.plan, not_before_ns=event.not_before_ns, deadline_ns=event.deadline_ns)

    def _leave(self, event: e.ExitDecided | e.ExitReplaced | e.StopRaised) -> None:
        match event:
            case e.ExitDecided(reason=reason, why=why):
                self.state, self.exit_why = SnipeState.EXITING, reason
                self.why = self.exit_words = why
                self.exit_decided_ns = self.exit_decided_ns or event.at_ns
                self.hit_stop = self.stop_price() if reason == _STOP else self.hit_stop
            case e.ExitReplaced(exit=plan):
                self.plan = replace(self.plan, exit=plan)
                self.raised_stop = self.peak_price = None
            case e.StopRaised():
                self.raised_stop, self.peak_price = event.stop_price, event.peak

    def stop_price(self) -> Decimal | None:
        """Where the plan put the stop, or higher once it was raised; None before an entry."""
        entry = _average(self.entries.values())
        if entry is None:
            return None
        return max(entry * (1 - self.plan.exit.stop_loss), self.raised_stop or ZERO)


def _tally(events: Iterable[e.Event], only: str | None = None) -> Mapping[str, _Tally]:
    """The tallies of all snipes, or of one, by id, in the order in which they were planned."""
    tallies: dict[str, _Tally] = {}
    seen: dict[Symbol, e.ListingSeen] = {}
    signals: dict[str, Signal] = {}
    for event in events:
        kind = type(event)
        if kind in _SNIPES:
            tally = tallies.get(e.correlation(event))
            if tally is not None:
                tally.take(event)
        elif isinstance(event, e.ListingSeen):
            known = seen.get(event.symbol)
            if known is None or known.coin_id != event.coin_id:
                seen[event.symbol] = event  # a symbol may be listed anew, as another coin
        elif isinstance(event, e.SignalRaised):
            signals.setdefault(event.signal.signal_id, event.signal)
        elif isinstance(event, e.SnipePlanned) and only in (None, event.plan.snipe_id):
            plan = event.plan
            listing = seen.get(plan.symbol)
            first_ns = listing.at_ns if listing else None
            fresh = _Tally(plan, event.at_ns, first_ns, signals.get(plan.signal_id))
            tallies.setdefault(plan.snipe_id, fresh).plan = plan
    return tallies


_SNIPES: frozenset[type] = frozenset(
    {
        *(e.SnipeMoved, e.SnipeRetimed, e.PreflightDone, e.VerdictGiven, e.FirstBookSeen, e.FirstTradeSeen),
        *(e.OrderDecided, e.OrderSent, e.Fired, e.ShotTimed, e.OrderAccepted, e.OrderRejected),
        *(e.OrderLost, e.OrderFilled, e.OrderCanceled, e.ExitDecided, e.ExitReplaced, e.StopRaised),
        e.WrittenOff,
    }
)


def _average(orders: Iterable[OrderPhases]) -> Decimal | None:
    traded = [order for order in orders if order.filled]
    quantity = sum((order.filled for order in traded), ZERO)
    return sum((order.value for order in traded), ZERO) / quantity if quantity else None


def _exit_against(tally: _Tally) -> tuple[Decimal | None, Decimal | None]:
    """The price that the exit is measured against, and how far below it the sales came out."""
    sold = [order for order in tally.exits.values() if order.filled]
    reference = tally.hit_stop
    if reference is not None:
        sold = [order for order in sold if order.client_id in tally.stopped]
    elif tally.exit_decided_ns is None and sold:
        quantity = sum((order.filled for order in sold), ZERO)
        reference = sum((order.price * order.filled for order in sold), ZERO) / quantity
    average = _average(sold)
    return reference, None if average is None or reference is None else 1 - average / reference


def _row(tally: _Tally) -> PostMortemRow:
    plan, book, shot, first = tally.plan, tally.book, tally.shot(), tally.first_fill
    entries, exits = tuple(tally.entries.values()), tuple(tally.exits.values())
    spent, received = (sum((order.value for order in part), ZERO) for part in (entries, exits))
    bought, sold = (sum((order.filled for order in part), ZERO) for part in (entries, exits))
    first_fill_ns = first.at_ns if first else None
    last_exit_ns = max((o.last_fill_ns for o in exits if o.last_fill_ns is not None), default=None)
    mid = (book.bid + book.ask) / 2 if book and book.bid is not None and book.ask is not None else None
    reference, exit_slippage = _exit_against(tally)
    written = [1 if o.transmissions is None else o.transmissions for o in entries if o.left]
    phases: dict[str, Any] = {name: getattr(shot, name, None) for name in _SHOT}
    return PostMortemRow(
        snipe_id=plan.snipe_id, symbol=plan.symbol, state=tally.state, reason=tally.reason, why=tally.why,
        armed_by=tally.armed_by, open_ns=plan.not_before_ns, postponements=len(tally.retimings),
        first_seen_ns=tally.first_seen_ns, signal_ns=tally.signal.at_ns if tally.signal else None,
        planned_ns=tally.planned_ns, preflights=tally.preflights, armed_ns=tally.armed_ns, **phases,
        first_fill_ns=first_fill_ns,
        last_entry_fill_ns=max((o.last_fill_ns for o in entries if o.last_fill_ns is not None), default=None),
        first_exit_sent_ns=tally.first_exit_sent_ns,
        first_exit_fill_ns=min((o.first_fill_ns for o in exits if o.first_fill_ns is not None), default=None),
        exit_decided_ns=tally.exit_decided_ns, last_exit_fill_ns=last_exit_ns, closed_ns=tally.closed_ns,
        write_delay_ns=between(shot.scheduled_ns, shot.written_ns) if shot else None,
        holding_ns=between(first_fill_ns, last_exit_ns) if tally.state is SnipeState.CLOSED else None,
        attempts=len(entries), transmissions=sum(written),
        orders=len(entries) + len(exits), fills=len(tally.trades),
        cap=plan.price_cap, first_bid=book.bid if book else None, first_ask=book.ask if book else None,
        first_mid=mid, first_trade=tally.first_trade, first_fill=first.price if first else None,
        average_entry=_average(entries), average_exit=_average(exits),
        stop_price=tally.stop_price(), peak_price=tally.peak_price,
        exit_reference=reference, exit_slippage=exit_slippage,
        held=bought - sold - tally.taken - tally.written_off, spent=spent, received=received,
        fees=tuple(sorted(tally.fees.items())), fees_quote=tally.fees_quote,
        profit=received - spent - tally.paid, exit_why=tally.exit_why, exit_words=tally.exit_words,
        refusals=tuple(tally.refusals), plan=plan, signal=tally.signal,
        retimings=tuple(tally.retimings), entries=entries, exits=exits,
    )  # fmt: skip
