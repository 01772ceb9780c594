"""The engine: one order path for backtest, paper, demo and live. Only clock, venue and ledger differ.

Everything that happens enters by ``on`` (news) or ``on_time`` (the clock); everything that is decided
leaves by ``record`` (durable, folded, told) and only then acts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Symbol
from mexclab.domain.order import Order, OrderState
from mexclab.domain.reports import Balances, BookSeen, ClockReading, Happening, TradeSeen
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.ports import Bus, Clock, Exchange, Feed, Ledger, Strategy, Venue
from mexclab.trading import entries, execution, exits
from mexclab.trading.radar import Radar
from mexclab.trading.risk import Facts, Intent, Verdict, review

CLOCK_POLL_NS = 20 * SECOND


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
        self.halting = False  # set before the halt is durable: a shot that is about to leave sees it
        self._markets: dict[Symbol, Market] = {}
        self._first_seen: set[Symbol] = set()
        self._shots: dict[str, int] = {}  # client id -> the instant it may leave
        self._poll_at = self._clock_at = self._settle_at = 0

    # -- the pen ---------------------------------------------------------------------------------

    async def record(self, *happened: e.Event) -> None:
        """Make events durable, fold them, tell them; in that order."""
        if not happened:
            return
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
                    news = execution.events_of(happening, self.desk)
                    await self.record(*news)
                    touched.update(e.correlation(event) for event in news)
            await self._act(touched)

    async def _see(self, book: Book) -> None:
        self.books[book.symbol] = book
        if book.symbol not in self._first_seen:
            self._first_seen.add(book.symbol)
            for snipe in self.desk.snipes.values():
                if snipe.plan.symbol == book.symbol and snipe.snipe_id not in self.desk.first_books:
                    seen = e.FirstBookSeen(book.at_ns, snipe.snipe_id, book.symbol, book.bid, book.ask)
                    await self.record(seen)

    async def on_time(self) -> None:
        """Do what the clock has made due. Shots first."""
        now = self.parts.clock.now_ns()
        async with self.gate:
            for client_id in [c for c, release in self._shots.items() if release <= now]:
                await self._release(client_id)
            await self._act(set())
            if now >= self._clock_at:
                await self._read_clock(now)
            if now >= self._settle_at:
                await self._settle_unknown(now)
            if now >= self._poll_at:
                self._poll_at = now + self.rules.poll_ns
                await self._look(now)

    def due_ns(self) -> int:
        """When ``on_time`` is next needed."""
        now = self.parts.clock.now_ns()
        due = [self._poll_at, self._clock_at, *self._shots.values()]
        if self.desk.unknown_orders():
            due.append(self._settle_at)
        for snipe in self.desk.live_snipes():
            at = entries.due_ns(snipe, self.desk, now)
            if at is not None:
                due.append(at)
        return min(due)

    async def _act(self, touched: set[str]) -> None:
        """Move every snipe that can move; late fills bring back the ones we had given up."""
        for snipe_id in touched:
            snipe = self.desk.snipes.get(snipe_id)
            given_up = snipe is not None and snipe.state in (SnipeState.ABORTED, SnipeState.MISSED)
            if snipe is not None and given_up and any(order.fills for order in self.desk.entries(snipe_id)):
                now = self.parts.clock.now_ns()
                why = "the venue reports a fill after we had given up"
                await self.record(e.SnipeMoved(now, snipe_id, SnipeState.ENTERED, "late_fill", why))
        for snipe in self.desk.live_snipes():
            if snipe.state.is_waiting:
                await self._wait(snipe)
            elif snipe.state is SnipeState.FIRING:
                await self._fire(snipe)
            if self.desk.snipes[snipe.snipe_id].state in (SnipeState.ENTERED, SnipeState.EXITING):
                await self._exit(snipe.snipe_id)

    # -- listings to plans -----------------------------------------------------------------------

    async def _look(self, now: int) -> None:
        news = await self.parts.radar.poll(now, self.desk)
        await self.record(*news)
        for event in news:
            if isinstance(event, e.OpeningMoved):
                await self._retime(event)
        await self._plan(now)

    async def _retime(self, moved: e.OpeningMoved) -> None:
        for snipe in self.desk.live_snipes():
            loaded = [order for order in self.desk.entries(snipe.snipe_id) if order.client_id in self._shots]
            unsent = snipe.state.is_waiting or (snipe.state is SnipeState.FIRING and loaded)
            if snipe.plan.symbol != moved.symbol or not unsent:
                continue
            plan = snipe.plan.moved_to(moved.to_ns)
            for order in loaded:
                del self._shots[order.client_id]
                await self.record(e.OrderCanceled(moved.at_ns, order.client_id, "postponed before it left"))
            if snipe.state is SnipeState.FIRING:
                why = "the opening was moved"
                await self.record(
                    e.SnipeMoved(moved.at_ns, snipe.snipe_id, SnipeState.PLANNED, "postponed", why)
                )
            await self.record(
                e.SnipeRetimed(moved.at_ns, snipe.snipe_id, plan.not_before_ns, plan.deadline_ns)
            )

    async def _plan(self, now: int) -> None:
        """Make a plan of every signal that has none and can have one by now."""
        openings = {listing.symbol: listing.open_ns for listing in self.parts.radar.upcoming(now)}
        sniped = {snipe.plan.symbol for snipe in self.desk.snipes.values()}
        for signal in list(self.desk.signals.values()):
            if signal.symbol in sniped or signal.symbol not in openings:
                continue
            try:
                market = await self._market(signal.symbol)
                reference = await self.parts.venue.reference_price(signal.symbol)
                if market is None or reference is None:
                    missing = "trading rules" if market is None else "reference price"
                    raise DomainError(f"the venue shows no {missing} yet, and a plan needs a price cap")
                at_opening = replace(signal, open_ns=openings[signal.symbol])
                plan = self.parts.strategy.plan(at_opening, market, reference)
                entries.entry_order(plan, market, 1, now)
            except (DomainError, VenueUnavailable) as error:
                if self.desk.declined.get(signal.signal_id) != error.message:
                    reason = error.message
                    await self.record(
                        e.PlanDeclined(now, signal.signal_id, signal.symbol, reason, error.message)
                    )
                continue
            sniped.add(signal.symbol)
            await self.record(e.SnipePlanned(now, plan))
            self.parts.feed.watch(signal.symbol)

    async def _market(self, symbol: Symbol) -> Market | None:
        if symbol not in self._markets:
            market = await self.parts.venue.market(symbol)
            if market is None:
                return None
            self._markets[symbol] = market
        return self._markets[symbol]

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
            await self._read_clock(now)
            self.balances = await self.parts.exchange.balances()
            if await self.parts.venue.is_api_tradable(snipe.plan.symbol) is False:
                reasons.append(("not_api_tradable", "the venue takes no orders by API for it"))
            verdict = await self._review(snipe, now)
            reasons += [(breach.limit, breach.why) for breach in verdict.breaches]
        except VenueUnavailable as error:
            reasons.append(("venue_unavailable", error.message))
        result = entries.preflight(now, stage, reasons)
        happened: list[e.Event] = [e.PreflightDone(now, snipe.snipe_id, result)]
        happened += entries.after_preflight(snipe, result, reasons, self.rules.auto_arm)
        await self.record(*happened)

    async def _review(self, snipe: Snipe, now: int) -> Verdict:
        market = await self._market(snipe.plan.symbol)
        if market is None:
            raise VenueUnavailable(f"the venue shows no trading rules for {snipe.plan.symbol}")
        order = entries.entry_order(snipe.plan, market, snipe.attempts_made + 1, now)
        return review(Intent(order, snipe.plan), self.desk, self.rules.limits, self._facts(market, now))

    def _facts(self, market: Market, now: int) -> Facts:
        quote = self.balances.get(self.rules.quote_asset) if self.balances is not None else None
        free = quote.free if quote else (Decimal(0) if self.balances is not None else None)
        prices = {symbol: book.bid for symbol, book in self.books.items() if book.bid is not None}
        return Facts(now, self.clock_reading, free, self.books.get(market.symbol), prices, market.taker_fee)

    async def _load(self, snipe: Snipe) -> None:
        """Judge the next attempt and write it; it leaves at its instant, not before."""
        now = self.parts.clock.now_ns()
        market = self._markets.get(snipe.plan.symbol)
        if market is None:
            why = "the venue's trading rules were never seen"
            await self.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, "market_unknown", why))
            return
        order = entries.entry_order(snipe.plan, market, snipe.attempts_made + 1, now)
        verdict = review(Intent(order, snipe.plan), self.desk, self.rules.limits, self._facts(market, now))
        given = e.VerdictGiven(now, snipe.snipe_id, order.client_id, verdict.breaches)
        if not verdict.cleared:
            refused = e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, verdict.reason, verdict.why)
            await self.record(given, refused)
            return
        release = max(snipe.plan.not_before_ns + snipe.attempts_made * snipe.plan.spacing_ns, now)
        firing = (
            [e.SnipeMoved(now, snipe.snipe_id, SnipeState.FIRING)] if snipe.state is SnipeState.ARMED else []
        )
        await self.record(
            given, *firing, e.OrderDecided(now, order), e.OrderSent(now, order.client_id, release)
        )
        self._shots[order.client_id] = release
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
        if any(order.state.is_open for order in self.desk.entries(snipe.snipe_id)):
            return
        now = self.parts.clock.now_ns()
        outcome = entries.after_attempt(snipe, self.desk, now)
        if outcome is not None:
            state, reason, why = outcome
            await self.record(e.SnipeMoved(now, snipe.snipe_id, state, reason, why))
        elif now >= snipe.plan.not_before_ns + snipe.attempts_made * snipe.plan.spacing_ns:
            await self._load(snipe)

    # -- exits -----------------------------------------------------------------------------------

    async def _exit(self, snipe_id: str) -> None:
        for _ in range(3):  # leaving leads to cancelling leads to selling: three steps at most in one go
            snipe = self.desk.snipes[snipe_id]
            market = await self._market(snipe.plan.symbol)
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
        if order.state is not OrderState.CANCEL_SENT:
            await self.record(e.CancelSent(now, order.client_id, why))
        self.parts.exchange.cancel(order)

    def holds_shot(self, client_id: str) -> bool:
        """Whether the order is loaded here and has not left."""
        return client_id in self._shots

    def drop_shot(self, client_id: str) -> bool:
        """Take a loaded shot out before it leaves; False when it has left already."""
        return self._shots.pop(client_id, None) is not None

    # -- truth -----------------------------------------------------------------------------------

    async def _read_clock(self, now: int) -> None:
        self._clock_at = now + CLOCK_POLL_NS
        # without an answer the old reading grows old, and the limits refuse entries when it is too old
        with contextlib.suppress(VenueUnavailable):
            self.clock_reading = await self.parts.venue.clock_reading()

    async def _settle_unknown(self, now: int) -> None:
        self._settle_at = now + execution.UNKNOWN_POLL_NS
        for order in self.desk.unknown_orders():
            await self.settle(order)

    async def settle(self, order: Order) -> bool:
        """Ask the venue about one order and write what it says; False when it did not say."""
        try:
            found = await self.parts.exchange.order(order.client_id, order.symbol)
            trades = await self.parts.exchange.fills(order.symbol, order.decided_ns)
        except VenueUnavailable:
            return False
        now = self.parts.clock.now_ns()
        mine = [fill for fill in trades if fill.client_id == order.client_id]
        await self.record(*execution.settle(order, found, mine, self.desk, now))
        return True
