"""The engine: one order path for backtest, paper, demo and live. Only clock, venue and ledger differ.

Everything that happens enters by ``on`` (news) or ``on_time`` (the clock); everything that is decided
leaves by ``record`` (durable, folded, told) and only then acts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from mexclab.config import LimitSettings, OrderSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Symbol, Trade
from mexclab.domain.order import Order, OrderState
from mexclab.domain.reports import Balances, BookSeen, ClockReading, Happening, TradeSeen
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Bus, Clock, Exchange, Feed, Ledger, Strategy, Venue
from mexclab.trading import entries, execution, exits, leaving, planning, shots, stopping
from mexclab.trading.questions import CLOCK_POLL_NS, Questions
from mexclab.trading.radar import Radar

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
        self.balances: Balances | None = None  # as of the last check
        self.clock_reading: ClockReading | None = None
        self.seq = 0
        self.kept_seq = 0  # up to where a snapshot of the desk is kept
        self.gate = asyncio.Lock()
        # how often a halt was asked for; a resume that began before the last one does not undo it
        self.halts = 0
        self.halting = False  # set before the halt is durable: a shot that is about to leave sees it
        self._markets: dict[Symbol, Market] = {}
        self._first_seen: set[Symbol] = set()
        self.warned: set[tuple[str, str]] = set()  # (snipe id, trouble) that was alerted
        self.shots: dict[str, int] = {}  # client id -> the instant it may leave
        self.stopping = False  # told to stop: nothing new is entered, and what is loaded stays here
        self.questions = Questions(self)
        self.compared_ns = 0  # when all open orders were last compared with the venue

    @property
    def is_at_rest(self) -> bool:
        """Whether it was told to stop, and nothing is on its way any more."""
        return self.stopping and stopping.is_at_rest(self)

    # -- the pen ---------------------------------------------------------------------------------

    async def record(self, *happened: e.Event) -> None:
        """Make events durable, fold them, tell them; in that order.

        Raises:
            DomainError: the desk cannot hold one of them; nothing was written.
            LedgerUnavailable: nothing is known to be durable.
        """
        if not happened:
            return
        trial = self.desk.trial()
        for event in happened:
            trial.fold(event)  # what cannot be folded must not become durable: every restart would fail on it
        last = await self.parts.ledger.append(*happened)
        for seq, event in enumerate(happened, start=last - len(happened) + 1):
            self.desk.fold(event)
            self.seq = seq
        for seq, event in enumerate(happened, start=last - len(happened) + 1):
            self.parts.bus.publish(seq, event)

    # -- news and time ---------------------------------------------------------------------------

    async def on(self, happenings: Sequence[Happening]) -> None:
        """Take news in, in the order in which it happened, and act on it."""
        async with self.gate:
            touched: set[str] = set()
            for happening in happenings:
                if isinstance(happening, BookSeen):
                    await self._see(happening.book)
                elif isinstance(happening, TradeSeen):
                    await self._witness(happening.trade)
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
                await self._see(book)
                await self.act(set())

    async def book(self, news: Sequence[e.Event]) -> set[str]:
        """Write what the venue told; the snipes that it touches.

        What our books cannot hold is written down as disputed: the symbol takes no entry until a person
        resumes, and everything else goes on.
        """
        for event in news:
            try:
                await self.record(event)
            except DomainError as error:
                client_id = getattr(event, "client_id", "") or getattr(
                    getattr(event, "fill", None), "client_id", ""
                )
                order, now = self.desk.orders[client_id], self.parts.clock.now_ns()
                text = f"the venue reports what our books cannot hold: {error.message}"
                await self.record(
                    e.ReportDisputed(now, client_id, order.symbol, error.message),
                    e.AlertRaised(now, "critical", text, order.snipe_id),
                )
            if isinstance(event, e.OrderLost):
                text = f"{event.client_id} is of unknown fate ({event.why}); its symbol is frozen"
                await self.record(e.AlertRaised(event.at_ns, "critical", text, e.correlation(event)))
            if isinstance(event, e.OrderAccepted):
                order = self.desk.orders[event.client_id]
                if order.cancel_ns is not None and order.state is OrderState.ACCEPTED:
                    await self.cancel(order, "asked for before it was acknowledged")
        return {e.correlation(event) for event in news}

    async def _see(self, book: Book) -> None:
        self.books[book.symbol] = book
        if book.symbol not in self._first_seen and book.mid is not None:
            self._first_seen.add(book.symbol)
            for snipe in list(self.desk.snipes.values()):
                if snipe.plan.symbol == book.symbol and snipe.snipe_id not in self.desk.first_books:
                    seen = e.FirstBookSeen(book.at_ns, snipe.snipe_id, book.symbol, book.bid, book.ask)
                    await self.record(seen)

    async def _witness(self, trade: Trade) -> None:
        """Write down the first public trade of each snipe's opening: what its price is held against."""
        for snipe in self.desk.live_snipes():
            plan = snipe.plan
            is_first = plan.symbol == trade.symbol and snipe.snipe_id not in self.desk.first_trades
            if is_first and trade.at_ns >= plan.not_before_ns:
                price, quantity = trade.price, trade.quantity
                at_ns = trade.at_ns
                await self.record(e.FirstTradeSeen(at_ns, snipe.snipe_id, plan.symbol, price, quantity))

    async def on_time(self) -> None:
        """Do what the clock has made due; questions are ``questions``' business."""
        now = self.parts.clock.now_ns()
        async with self.gate:
            for client_id in [c for c, leaves_ns in self.shots.items() if leaves_ns <= now]:
                await shots.release(self, client_id)
            await self.act(set())

    def due_ns(self) -> int:
        """When ``on_time`` or a question is next due."""
        now = self.parts.clock.now_ns()
        due = [*self.shots.values(), self.questions.due_ns(now)]
        for snipe in self.desk.live_snipes():
            look = exits.due_ns if snipe.state in _HOLDING else entries.due_ns
            at = look(snipe, self.desk, now)
            if at is not None:
                due.append(at)
        return min(due)

    async def act(self, touched: set[str]) -> None:
        """Move every snipe that can move; late fills bring back the ones we had given up."""
        for snipe_id in sorted(touched):
            snipe = self.desk.snipes.get(snipe_id)
            market = self.known_market(snipe.plan.symbol) if snipe is not None else None
            if snipe is not None and snipe.state.is_over and exits.holds_entry(snipe, self.desk, market):
                now = self.parts.clock.now_ns()
                why = "the venue reports a fill after we had given up"
                await self.record(e.SnipeMoved(now, snipe_id, SnipeState.ENTERED, "late_fill", why))
                self.parts.feed.watch(snipe.plan.symbol)
        for snipe in self.desk.live_snipes():
            if snipe.snipe_id in touched:
                await planning.give_way(self, snipe.snipe_id)
                snipe = self.desk.snipes[snipe.snipe_id]
            if snipe.state.is_waiting:
                await shots.wait(self, snipe)
            elif snipe.state is SnipeState.FIRING:
                await shots.fire(self, snipe)
            if self.desk.snipes[snipe.snipe_id].state in _HOLDING:
                await leaving.leave(self, snipe.snipe_id)

    async def market(self, symbol: Symbol, *, fresh: bool = False) -> Market | None:
        """The trading rules; asked anew when ``fresh``, because a listing's first ones may be placeholders.

        Raises:
            VenueUnavailable: the venue does not answer and the rules are not known.
        """
        if fresh or symbol not in self._markets:
            try:
                market = await self.parts.venue.market(symbol)
            except VenueUnavailable:
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
        self.questions.clock_ns = self.parts.clock.now_ns() + CLOCK_POLL_NS
        # without an answer the old reading grows old, and the limits refuse entries when it is too old
        with contextlib.suppress(VenueUnavailable):
            self.clock_reading = await self.parts.venue.clock_reading()
