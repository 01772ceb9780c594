"""The engine: one order path for backtest, paper, demo and live. Only clock, venue and ledger differ.

Everything that happens enters by ``on`` (news) or ``on_time`` (the clock); everything that is decided
leaves by ``record`` (durable, folded, told) and only then acts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Side, Symbol
from mexclab.domain.order import Order, OrderState
from mexclab.domain.reports import Balances, BookSeen, ClockReading, Happening, TradeSeen
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Bus, Clock, Exchange, Feed, Ledger, Strategy, Venue
from mexclab.trading import entries, execution, exits, planning, truth
from mexclab.trading.radar import Radar
from mexclab.trading.risk import Facts, Intent, Verdict, review

CLOCK_POLL_NS = 20 * SECOND
CHECK_S = 4.0  # a preflight holds the gate: who wants to act waits no longer than this


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
        self.books: dict[Symbol, Book] = {}
        self.balances: Balances | None = None  # as of the last check
        self.clock_reading: ClockReading | None = None
        self.seq = 0
        self.gate = asyncio.Lock()
        # how often a halt was asked for; a resume that began before the last one does not undo it
        self.halts = 0
        self.halting = False  # set before the halt is durable: a shot that is about to leave sees it
        self._markets: dict[Symbol, Market] = {}
        self._first_seen: set[Symbol] = set()
        self._shots: dict[str, int] = {}  # client id -> the instant it may leave
        self._poll_at = self._clock_at = self._settle_at = 0
        self.compared_ns = 0  # when all open orders were last compared with the venue

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
                elif not isinstance(happening, TradeSeen):
                    touched |= await self.book(execution.events_of(happening, self.desk))
            await self.act(touched)
            if touched:
                soon = self.parts.clock.now_ns() + execution.pause_ns(self.desk)
                self._settle_at = min(self._settle_at, soon)

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
            if isinstance(event, e.OrderRejected):
                await self._complain(event)
            if isinstance(event, e.OrderAccepted):
                order = self.desk.orders[event.client_id]
                if order.cancel_ns is not None and order.state is OrderState.ACCEPTED:
                    await self.cancel(order, "asked for before it was acknowledged")
        return {e.correlation(event) for event in news}

    async def _complain(self, refusal: e.OrderRejected) -> None:
        """Alert when the venue keeps refusing to let us out: at the first, second, fourth ... time."""
        order = self.desk.orders[refusal.client_id]
        refused = sum(1 for o in self.desk.exits(order.snipe_id) if o.state is OrderState.REJECTED)
        if order.side is Side.SELL and refused & (refused - 1) == 0:
            text = f"exit {order.client_id} was refused ({order.why}); refused so far: {refused}"
            await self.record(e.AlertRaised(refusal.at_ns, "critical", text, order.snipe_id))

    async def _see(self, book: Book) -> None:
        self.books[book.symbol] = book
        if book.symbol not in self._first_seen and book.mid is not None:
            self._first_seen.add(book.symbol)
            for snipe in list(self.desk.snipes.values()):
                if snipe.plan.symbol == book.symbol and snipe.snipe_id not in self.desk.first_books:
                    seen = e.FirstBookSeen(book.at_ns, snipe.snipe_id, book.symbol, book.bid, book.ask)
                    await self.record(seen)

    async def on_time(self) -> None:
        """Do what the clock has made due. Shots first; what asks the venue waits outside the gate."""
        now = self.parts.clock.now_ns()
        async with self.gate:
            for client_id in [c for c, release in self._shots.items() if release <= now]:
                await self._release(client_id)
            await self.act(set())
        if now < entries.still_until_ns(self.desk, now):
            return
        if now >= self._clock_at:
            await self._read_clock(now)
        if now >= self._settle_at:
            await truth.settle_due(self, now)
            self._settle_at = now + execution.pause_ns(self.desk)
        if now >= self._poll_at:
            self._poll_at = now + self.rules.poll_ns
            await planning.look(self, now)

    def due_ns(self) -> int:
        """When ``on_time`` is next needed."""
        now = self.parts.clock.now_ns()
        still, asked = entries.still_until_ns(self.desk, now), [self._poll_at, self._clock_at]
        if next(self.desk.open_orders(), None) is not None:
            asked.append(self._settle_at)
        due = [*self._shots.values(), *(max(at, still) for at in asked)]
        for snipe in self.desk.live_snipes():
            at = entries.due_ns(snipe, self.desk, now)
            if at is not None:
                due.append(at)
        return min(due)

    async def act(self, touched: set[str]) -> None:
        """Move every snipe that can move; late fills bring back the ones we had given up."""
        for snipe_id in sorted(touched):
            snipe = self.desk.snipes.get(snipe_id)
            market = self._markets.get(snipe.plan.symbol) if snipe is not None else None
            if snipe is not None and snipe.state.is_over and exits.holds_entry(snipe, self.desk, market):
                now = self.parts.clock.now_ns()
                why = "the venue reports a fill after we had given up"
                await self.record(e.SnipeMoved(now, snipe_id, SnipeState.ENTERED, "late_fill", why))
                self.parts.feed.watch(snipe.plan.symbol)
        for snipe in self.desk.live_snipes():
            if snipe.state.is_waiting:
                await self._wait(snipe)
            elif snipe.state is SnipeState.FIRING:
                await self._fire(snipe)
            if self.desk.snipes[snipe.snipe_id].state in (SnipeState.ENTERED, SnipeState.EXITING):
                await self._exit(snipe.snipe_id)

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

    # -- waiting, loading, firing ----------------------------------------------------------------

    async def _wait(self, snipe: Snipe) -> None:
        now = self.parts.clock.now_ns()
        if now >= snipe.plan.deadline_ns:
            why = "nothing watched it at its opening"
            await self.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.MISSED, "late", why))
            return
        stage = entries.next_stage(snipe, now)
        if stage is not None and stage[1] <= now:
            await self._check(snipe, stage[0])
            snipe = self.desk.snipes[snipe.snipe_id]
        if now >= snipe.plan.not_before_ns - entries.LOAD_NS and snipe.state.is_waiting:
            if snipe.state is SnipeState.ARMED:
                await self._load(snipe)
            else:
                why = "nobody armed it"
                await self.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.MISSED, "not_armed", why))

    async def _check(self, snipe: Snipe, stage: str) -> None:
        """One preflight. Only the last one may end the snipe: until then things may still come right."""
        now = self.parts.clock.now_ns()
        reasons: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(CHECK_S):
                await self._read_clock(now)
                self.balances = await self.parts.exchange.balances()
                if await self.parts.venue.is_api_tradable(snipe.plan.symbol) is False:
                    reasons.append(("not_api_tradable", "the venue takes no orders by API for it"))
                _, verdict = await self._judge(snipe, now, fresh=True)
            reasons += [(breach.limit, breach.why) for breach in verdict.breaches]
        except (VenueUnavailable, TimeoutError) as error:
            words = getattr(error, "message", f"the venue did not answer the checks in {CHECK_S:g} s")
            reasons.append(("venue_unavailable", words))
        except DomainError as error:
            reasons.append(("market_rules", error.message))
        result = entries.preflight(now, stage, reasons)
        happened: list[e.Event] = [e.PreflightDone(now, snipe.snipe_id, result)]
        happened += entries.after_preflight(snipe, result, reasons, self.rules.auto_arm)
        await self.record(*happened)

    async def _judge(self, snipe: Snipe, now: int, *, fresh: bool = False) -> tuple[Order, Verdict]:
        """The next attempt and what the limits say of it.

        Raises:
            VenueUnavailable: the venue shows no trading rules.
            DomainError: the plan does not fit the rules.
        """
        market = await self.market(snipe.plan.symbol, fresh=fresh)
        if market is None:
            raise VenueUnavailable(f"the venue shows no trading rules for {snipe.plan.symbol}")
        order = entries.entry_order(snipe.plan, market, snipe.attempts_made + 1, now)
        return order, review(
            Intent(order, snipe.plan), self.desk, self.rules.limits, self._facts(market, now)
        )

    def _facts(self, market: Market, now: int) -> Facts:
        quote = self.balances.get(self.rules.quote_asset) if self.balances is not None else None
        free = quote.free if quote else (Decimal(0) if self.balances is not None else None)
        prices = {symbol: book.bid for symbol, book in self.books.items() if book.bid is not None}
        return Facts(now, self.clock_reading, free, self.books.get(market.symbol), prices, market.taker_fee)

    async def _load(self, snipe: Snipe) -> None:
        """Judge the next attempt and write it; it leaves at its instant, not before."""
        now = self.parts.clock.now_ns()
        try:
            order, verdict = await self._judge(snipe, now)
        except (VenueUnavailable, DomainError) as error:
            why = f"no order can be made of the plan: {error.message}"
            await self.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, "market_rules", why))
            return
        given = e.VerdictGiven(now, snipe.snipe_id, order.client_id, verdict.breaches)
        if not verdict.cleared:
            refused = e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, verdict.reason, verdict.why)
            await self.record(given, refused)
            return
        release = max(entries.next_shot_ns(snipe, self.desk), now)
        firing = (
            [e.SnipeMoved(now, snipe.snipe_id, SnipeState.FIRING)] if snipe.state is SnipeState.ARMED else []
        )
        await self.record(
            given, *firing, e.OrderDecided(now, order), e.OrderSent(now, order.client_id, release)
        )
        self._shots[order.client_id] = release
        self.parts.exchange.prepare(order, release)
        if release <= self.parts.clock.now_ns():
            await self._release(order.client_id)

    async def _release(self, client_id: str) -> None:
        scheduled = self._shots.pop(client_id)
        order = self.desk.orders[client_id]
        if self.halting or self.desk.halt is not None:
            now = self.parts.clock.now_ns()
            why = "halted before it left"
            await self.record(
                e.OrderCanceled(now, client_id, why),
                e.SnipeMoved(now, order.snipe_id, SnipeState.ABORTED, "halted", why),
            )
            return
        self.parts.exchange.submit(order)
        lateness = self.parts.clock.lateness_ns(scheduled)
        now = self.parts.clock.now_ns()
        await self.record(e.Fired(now, order.snipe_id, client_id, scheduled, lateness))

    async def _fire(self, snipe: Snipe) -> None:
        if any(order.is_live for order in self.desk.entries(snipe.snipe_id)):
            return
        now = self.parts.clock.now_ns()
        outcome = entries.after_attempt(snipe, self.desk, now)
        if outcome is not None:
            state, reason, why = outcome
            await self.record(e.SnipeMoved(now, snipe.snipe_id, state, reason, why))
        elif now >= entries.next_shot_ns(snipe, self.desk):
            await self._load(snipe)

    # -- exits -----------------------------------------------------------------------------------

    async def _exit(self, snipe_id: str) -> None:
        for _ in range(3):  # leaving leads to cancelling leads to selling: three steps at most in one go
            snipe = self.desk.snipes[snipe_id]
            try:
                market = await self.market(snipe.plan.symbol)
            except VenueUnavailable:
                return  # asked again at the next news or poll; other snipes go on
            if snipe.state.is_over or market is None:
                return
            now = self.parts.clock.now_ns()
            steps = exits.exit_steps(snipe, self.desk, market, self.books.get(market.symbol), now)
            if not steps:
                return
            for step in steps:
                await self._take(snipe, step, now)

    async def _take(self, snipe: Snipe, step: exits.Step, now: int) -> None:
        match step:
            case exits.Place(order=order):
                await self.send(order)
            case exits.Cancel(client_id=client_id, why=why):
                await self.cancel(self.desk.orders[client_id], why)
            case exits.Leave(reason=reason, why=why):
                await self.record(e.ExitDecided(now, snipe.snipe_id, reason, why))
            case exits.Close(reason=reason, why=why):
                await self.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.CLOSED, reason, why))

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
        return client_id in self._shots

    def drop_shot(self, client_id: str) -> bool:
        """Take a loaded shot out before it leaves; False when it has left already."""
        return self._shots.pop(client_id, None) is not None

    async def _read_clock(self, now: int) -> None:
        self._clock_at = now + CLOCK_POLL_NS
        # without an answer the old reading grows old, and the limits refuse entries when it is too old
        with contextlib.suppress(VenueUnavailable):
            self.clock_reading = await self.parts.venue.clock_reading()
