"""The engine: one order path for backtest, paper, demo and live. Only clock, venue and ledger differ.

Everything that happens enters by ``on`` (news) or ``on_time`` (the clock); everything that is decided
leaves by ``record`` (durable, folded, told) and only then acts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mexclab.config import (
    HaltSettings,
    LimitSettings,
    LiveSettings,
    MonitorSettings,
    OrderSettings,
    SizingSettings,
)
from mexclab.domain import events as e
from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Symbol
from mexclab.domain.order import Order, OrderState
from mexclab.domain.protection import ProtectionRule
from mexclab.domain.reports import Balances, BookSeen, ClockReading, Happening, SignalSeen, TradeSeen
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Bus, Clock, Exchange, Feed, Ledger, Strategy, Venue
from mexclab.trading import entries, execution, exits, firsts, leaving, planning, sagas, shots, stopping
from mexclab.trading.calm import Calm
from mexclab.trading.guard import Guard
from mexclab.trading.history import History
from mexclab.trading.monitors import Monitors
from mexclab.trading.questions import Questions
from mexclab.trading.radar import Radar
from mexclab.trading.windows import Highest

LATE_NS = 500 * MILLISECOND  # an order that leaves so long after it was written has that written down, too
_HOLDING = (SnipeState.ENTERED, SnipeState.EXITING)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of."""

    clock: Clock
    ledger: Ledger
    exchange: Exchange
    venue: Venue
    feed: Feed
    radar: Radar
    strategy: Strategy
    bus: Bus


@dataclass(frozen=True, slots=True)
class Rules:
    """What an engine goes by."""

    limits: LimitSettings
    orders: OrderSettings = field(default_factory=OrderSettings)
    poll_ns: int = 30 * SECOND
    auto_arm: bool = False
    quote_asset: str = "USDT"
    sizing: SizingSettings = field(default_factory=SizingSettings)
    protections: tuple[ProtectionRule, ...] = ()
    monitors: MonitorSettings = field(default_factory=MonitorSettings)
    halt: HaltSettings = field(default_factory=HaltSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    mode: str = "paper"
    account: str = ""  # label of the account that trades
    polls: bool = True  # False: nothing is asked by the clock alone; for a recording, whose news is whole


class Engine:
    """Signals to plans, plans to shots, shots to positions, positions to exits.

    All entrances take the gate, so decisions are made one at a time, on a state that does not move
    under them.
    """

    def __init__(self, parts: Parts, rules: Rules) -> None:
        self.parts = parts
        self.rules = rules
        self.desk = Desk()
        self.strategy = parts.strategy  # until a person tunes it
        self.books: dict[Symbol, Book] = {}
        self.balances: Balances | None = None  # as the venue told them last
        self.balances_ns = 0  # when it was asked for these
        self.clock_reading: ClockReading | None = None
        self._ahead: Desk | None = None  # the desk as it was after the last record, to try the next one on
        self.seq = 0
        self.kept_seq = 0  # up to where a snapshot of the desk is kept
        self.gate = asyncio.Lock()
        self._pen = asyncio.Lock()  # what is written in one order is folded in the same
        # how often a halt was asked for; a resume that began before the last one does not undo it
        self.halts = 0
        self.halting = False  # set before the halt is durable: a shot that is about to leave sees it
        self.early_halt: tuple[str, str] | None = None  # by whom and why, asked for before it recovered
        self._markets: dict[Symbol, Market] = {}
        self._first_seen: set[Symbol] = set()
        self._noted: Symbol | None = None  # the last of them, that need not be looked for
        self.watched: dict[Symbol, int] = {}  # what the feed tells of, and since when
        self.warned: set[tuple[str, str]] = set()  # (snipe id, trouble) that was alerted
        self.unprotected: dict[str, int] = {}  # snipe id -> since when this process has seen it so
        self.doubted: dict[tuple[str, str], int] = {}  # (snipe id, doubt about its price) -> since when
        self.calm: dict[str, Calm] = {}  # positions about which there is nothing to do, by snipe
        self._due: tuple[int, int] | None = None  # in a recording: as of which entry, and when
        self.shots: dict[str, int] = {}  # client id -> the instant it may leave
        self.stopping = False  # told to stop: nothing new is entered, and what is loaded stays here
        self.questions = Questions(self)
        self.compared_ns = 0  # when all open orders were last compared with the venue
        self.lag = Highest[int](MINUTE)  # how long appends to the ledger took
        self.monitors = Monitors(
            rules.monitors, rules.limits, lambda: self.clock_reading, parts.feed.silent_ns
        )
        self.guard = Guard(self)
        self.history = History(parts.clock.now_ns(), rules.limits.tail_horizon_min)

    @property
    def is_at_rest(self) -> bool:
        """Whether it was told to stop, and nothing is on its way any more."""
        return self.stopping and stopping.is_at_rest(self)

    # -- the pen ---------------------------------------------------------------------------------

    async def record(self, *happened: e.Event) -> None:
        """Make events durable, fold them, tell them; in that order.

        Whoever is cancelled meanwhile stops only when the desk holds again what the ledger holds.

        Raises:
            DomainError: the desk cannot hold one of them; nothing was written.
            LedgerUnavailable: nothing is known to be durable.
        """
        if not happened:
            return
        async with self._pen:
            ahead, self._ahead = self._ahead, None  # whatever goes wrong, the next one starts from the desk
            if ahead is None or ahead.folded != self.desk.folded:
                ahead = self.desk.trial()
            # what cannot be folded must not become durable: every restart would fail on it
            happened = sagas.told(self, happened, ahead)
            begun_ns, ticks = self.parts.clock.now_ns(), time.perf_counter_ns()
            try:
                last = await self.parts.ledger.append(*happened)
            except asyncio.CancelledError:
                last = self.parts.ledger.last()
                if last == self.seq + len(happened):
                    self._take_in(happened, last)
                raise
            # both clocks: the venue's stands still in stepped time, and may jump when it is measured anew
            now = self.parts.clock.now_ns()
            self.lag.put(now, min(now - begun_ns, time.perf_counter_ns() - ticks))
            self._take_in(happened, last)
            self._ahead = ahead

    def _take_in(self, happened: Sequence[e.Event], last: int) -> None:
        """Fold and tell what is durable; ``last`` is the entry of the last of them."""
        for event in happened:
            self.desk.fold(event)
        self.seq = last
        for seq, event in enumerate(happened, start=last - len(happened) + 1):
            self.parts.bus.publish(seq, event)

    # -- news and time ---------------------------------------------------------------------------

    async def on(self, happenings: Sequence[Happening]) -> None:
        """Take news in, in the order in which it happened, and act on it."""
        first = happenings[0] if len(happenings) == 1 else None
        if isinstance(first, BookSeen) and not self.gate.locked():
            # nearly always nothing is to be done; nobody can come between, because nothing is awaited
            is_first = self._note(first.book)
            if is_first or not self._is_quiet():
                await self._attend(first.book, is_first)
            return
        async with self.gate:
            touched: set[str] = set()
            for happening in happenings:
                if isinstance(happening, BookSeen):
                    if self._note(happening.book):
                        await firsts.tell_book(self, happening.book)
                elif isinstance(happening, TradeSeen):
                    await firsts.witness(self, happening.trade)
                elif isinstance(happening, SignalSeen):
                    await planning.propose(self, happening.signal)
                else:
                    touched |= await self.book(execution.events_of(happening, self.desk))
            await self.act(touched)
            if touched:
                pause = execution.pause_ns(self.desk, self.rules.orders)
                self.questions.hasten(self.parts.clock.now_ns() + pause)

    async def see(self, book: Book) -> None:
        """Take in a book that was asked for, unless a newer one is known, and act on it."""
        async with self.gate:
            known = self.books.get(book.symbol)
            if known is None or known.at_ns < book.at_ns:
                if self._note(book):
                    await firsts.tell_book(self, book)
                await self.act(set())

    async def book(self, news: Sequence[e.Event]) -> set[str]:
        """Write what the venue told; the snipes that it touches.

        What our books cannot hold is written down as disputed: the symbol takes no entry until a person
        resumes, and everything else goes on. A trade is disputed once; told again, it is only tried again.
        """
        for event in news:
            try:
                await self.record(event)
            except DomainError as error:
                trade_id = event.fill.trade_id if isinstance(event, e.OrderFilled) else ""
                if trade_id in self.desk.disputed_trades:
                    continue
                client_id = getattr(event, "client_id", "") or getattr(
                    getattr(event, "fill", None), "client_id", ""
                )
                order, now = self.desk.orders[client_id], self.parts.clock.now_ns()
                text = f"the venue reports what our books cannot hold: {error.message}"
                await self.record(
                    e.ReportDisputed(now, client_id, order.symbol, error.message, trade_id),
                    e.AlertRaised(now, "critical", text, order.snipe_id),
                )
            if isinstance(event, e.OrderLost):
                self.monitors.failed(event.at_ns, f"{event.client_id}: {event.why}")
                self.guard.hasten()
                text = f"{event.client_id} is of unknown fate ({event.why}); its symbol is frozen"
                await self.record(e.AlertRaised(event.at_ns, "critical", text, e.correlation(event)))
            if isinstance(event, e.OrderAccepted):
                order = self.desk.orders[event.client_id]
                if order.cancel_ns is not None and order.state is OrderState.ACCEPTED:
                    await self.cancel(order, "asked for before it was acknowledged")
        return {e.correlation(event) for event in news}

    def watch(self, symbol: Symbol) -> None:
        """Hear of this symbol's book and trades from now on."""
        self.watched[symbol] = self.parts.clock.now_ns()
        self.parts.feed.watch(symbol)

    def unwatch(self, symbol: Symbol) -> None:
        """Hear no more of it, and forget its book: an old price is no price."""
        del self.watched[symbol]
        self.books.pop(symbol, None)
        self.parts.feed.unwatch(symbol)

    async def _attend(self, book: Book, is_first: bool) -> None:
        async with self.gate:
            if is_first:
                await firsts.tell_book(self, book)
            await self.act(set())

    def _is_quiet(self) -> bool:
        """Whether it is known already that ``act`` would find nothing to do."""
        if self.guard.is_due():
            return False
        snipes = self.desk.live_snipes()
        return not snipes or all(each.state in _HOLDING and self._is_calm(each) for each in snipes)

    def _note(self, book: Book) -> bool:
        """Remember a book; whether it is the first one of its symbol."""
        symbol = book.symbol
        self.books[symbol] = book
        self.monitors.see(book)
        self.history.see(book)
        if symbol is self._noted or symbol in self._first_seen or book.mid is None:
            return False
        self._first_seen.add(symbol)
        self._noted = symbol
        return True

    async def on_time(self) -> None:
        """Do what the clock has made due; questions are ``questions``' business."""
        now = self.parts.clock.now_ns()
        async with self.gate:
            for client_id in [c for c, leaves_ns in self.shots.items() if leaves_ns <= now]:
                await shots.release(self, client_id)
            await self.act(set())

    def due_ns(self) -> int:
        """When ``on_time`` or a question is next due."""
        now, known = self.parts.clock.now_ns(), self._due
        if known is not None and known[0] == self.seq and now < known[1] and not self.shots:
            return known[1]
        due = [*self.shots.values(), self.questions.due_ns(now)]
        snipes = self.desk.live_snipes()
        for snipe in snipes:
            look = exits.due_ns if snipe.state in _HOLDING else entries.due_ns
            at = look(snipe, self.desk, now)
            if at is not None:
                due.append(at)
        watch = self.guard.due_ns()
        if watch is not None:
            due.append(watch)
        # with nothing to ask it stays so until it comes or something is written, save for a position that
        # is being sold, which is looked at ever again
        is_sold = any(snipe.state is SnipeState.EXITING for snipe in snipes)
        self._due = None if self.rules.polls or is_sold else (self.seq, min(due))
        return min(due)

    async def act(self, touched: set[str]) -> None:
        """Move every snipe that can move; late fills bring back the ones we had given up."""
        seq = self.seq
        if self.guard.is_due():
            await self.guard.watch()
        for snipe_id in sorted(touched):
            snipe = self.desk.snipes.get(snipe_id)
            market = self.known_market(snipe.plan.symbol) if snipe is not None else None
            if snipe is not None and snipe.state.is_over and exits.holds_entry(snipe, self.desk, market):
                now = self.parts.clock.now_ns()
                why = "the venue reports a fill after we had given up"
                await self.record(e.SnipeMoved(now, snipe_id, SnipeState.ENTERED, "late_fill", why))
                self.watch(snipe.plan.symbol)
        for snipe in self.desk.live_snipes():
            if snipe.snipe_id in touched:
                await planning.give_way(self, snipe.snipe_id)
                await shots.hold_back(self, snipe.snipe_id)
                snipe = self.desk.snipes[snipe.snipe_id]
            if snipe.state.is_waiting:
                await shots.wait(self, snipe)
            elif snipe.state is SnipeState.FIRING:
                await shots.fire(self, snipe)
            if self.desk.snipes[snipe.snipe_id].state in _HOLDING and not self._is_calm(snipe):
                await leaving.leave(self, snipe.snipe_id)
        if self.seq != seq and self.guard.is_due():  # a result may have earned a pause
            await self.guard.watch()

    def _is_calm(self, snipe: Snipe) -> bool:
        """Whether it is known already that there is nothing to do about a position."""
        found, symbol = self.calm.get(snipe.snipe_id), snipe.plan.symbol
        if found is None:
            return False
        now = self.parts.clock.now_ns()
        return found.holds(self.seq, self._markets.get(symbol), self.books.get(symbol), now)

    async def market(self, symbol: Symbol, *, fresh: bool = False) -> Market | None:
        """The trading rules; asked anew when ``fresh``, because a listing's first ones may be placeholders.

        Raises:
            VenueUnavailable: the venue does not answer and the rules are not known.
        """
        if fresh or symbol not in self._markets:
            try:
                market = await self.parts.venue.market(symbol)
            except VenueUnavailable as error:
                self.failed(error)
                if symbol not in self._markets:
                    raise
                market = None
            if market is not None:
                self._markets[symbol] = market
        return self._markets.get(symbol)

    def known_market(self, symbol: Symbol) -> Market | None:
        """The trading rules as last heard; asks nobody."""
        return self._markets.get(symbol)

    # -- orders ----------------------------------------------------------------------------------

    async def send(self, order: Order) -> None:
        """Write an order, then let it go at once. For exits: entries are loaded and released."""
        now = self.parts.clock.now_ns()
        await self.record(e.OrderDecided(now, order), e.OrderSent(now, order.client_id))
        self.parts.exchange.submit(order)
        left = self.parts.clock.now_ns()
        if left - now > LATE_NS:  # what the venue says of it is judged from here
            await self.record(e.Fired(left, order.snipe_id, order.client_id, now, left - now))

    async def cancel(self, order: Order, why: str) -> None:
        """Write the wish, then ask the venue."""
        now = self.parts.clock.now_ns()
        await self.record(e.CancelSent(now, order.client_id, why))
        self.parts.exchange.cancel(order)

    def holds_shot(self, client_id: str) -> bool:
        """Whether the order is loaded here and has not left."""
        return client_id in self.shots

    def drop_shot(self, client_id: str) -> bool:
        """Take a loaded shot out before it leaves; False when it has left already."""
        return self.shots.pop(client_id, None) is not None

    async def read_clock(self) -> None:
        await self.questions.read_clock()

    def failed(self, error: VenueUnavailable) -> None:
        """An answer of the venue failed: the monitors count it."""
        self.monitors.failed(self.parts.clock.now_ns(), error.message)
        self.guard.hasten()
