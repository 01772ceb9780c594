"""The bar venue: an account on recorded bars, in process, for backtests on the desk's own engine.

Each bar becomes a book at the instant at which it is complete: both sides at its close, ``depth`` deep. An
order meets the last close before it arrives, by the same matching as on the paper venue; an order that rests
is looked at with each new close. What happened inside a bar is not known and not guessed.

Time is moved here, by hand, from one bar or report to the next; other tasks get a turn now and then. While
nothing of ours rests, is held or is on its way, nobody waits for a bar: those up to the next signal are told
in bundles, as a stream tells what came in one frame.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Book, Level, Market, Side, Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.reports import (
    Balances,
    BookSeen,
    ClockReading,
    Happening,
    SignalSeen,
    TradeSeen,
    VenueOrder,
)
from mexclab.domain.signal import Signal
from mexclab.errors import DomainError
from mexclab.ports import Clock
from mexclab.venues.matcher import Matcher, News

OWNER = "me"
_MAKER = "the bars"
_TURN = 1024  # bars, or bundles of them, after which other tasks get a turn
_NEVER = 1 << 63


class SteppedClock(Clock, Protocol):
    """Time that can be moved by hand."""

    def move_to(self, at_ns: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Bars:
    """The closes of one symbol.

    Args:
        close_ns: when each bar was complete, ascending.
        ticks: the close of each bar, in ticks of ``market``.

    Raises:
        DomainError: the columns differ in length or hold no bar, time does not ascend, or a price is below
            one tick.
    """

    market: Market
    close_ns: Sequence[int]
    ticks: Sequence[int]

    def __post_init__(self) -> None:
        rules = (
            (len(self.close_ns) > 0, "there is no bar"),
            (len(self.close_ns) == len(self.ticks), "each bar needs one time and one price"),
            (all(before < after for before, after in pairwise(self.close_ns)), "time must ascend"),
            (min(self.ticks, default=1) > 0, "a close is at least one tick"),
        )
        for holds, sentence in rules:
            if not holds:
                raise DomainError(f"bars of {self.market.symbol}: {sentence}")


@dataclass(frozen=True, slots=True)
class BarTerms:
    """What the account begins with, and how the venue answers.

    Attributes:
        balances: what is free at the start, by asset.
        depth: base units that stand at each close, on either side.
        latency_ns: the round trip of a request; half of it is the way there.
        bundle: bars that are told at once, at most, while nothing is at stake; 1: always one by one.
    """

    balances: Mapping[str, Decimal]
    depth: Decimal
    latency_ns: int = 50 * MILLISECOND
    bundle: int = 60


class BarVenue:
    """Exchange, Venue, Feed and Calendar (``mexclab.ports``) over one series of bars.

    Args:
        clock: the venue's time, at or before the first close.
        signals: what is told with the book of the bar at whose close it was raised, in order of time.

    Raises:
        DomainError: a signal is not of these bars, or was not raised at a close.
    """

    def __init__(self, clock: SteppedClock, bars: Bars, signals: Sequence[Signal], terms: BarTerms) -> None:
        self._clock = clock
        self.bars = bars
        self.terms = terms
        self.matcher = Matcher({OWNER: terms.balances})
        self.matcher.add(bars.market)
        self._signals = _by_close(bars, signals)
        self._told_at = sorted(self._signals)
        self._place = 0  # of the next bar
        self._close_ns, self._bars, self._symbol = bars.close_ns, len(bars.close_ns), bars.market.symbol
        self._count = 0
        self._queue: list[tuple[int, int, Order | str | Happening]] = []  # requests and reports, by arrival
        self._sides: dict[int, tuple[Level, ...]] = {}
        self._lots = int(terms.depth // bars.market.lot)
        self._rests = False  # whether an order of ours is open
        self._is_idle = terms.bundle > 1  # whether nothing is open or held
        self._turn = 0  # bars or bundles since other tasks had one

    # -- Feed ------------------------------------------------------------------------------------

    def watch(self, symbol: Symbol) -> None:
        """The bars are told from the start."""

    def silent_ns(self, symbol: Symbol) -> int | None:
        """In process nothing gets lost on the way."""
        return 0

    def unwatch(self, symbol: Symbol) -> None:
        """And to the end."""

    def stir(self) -> None:
        """Time is stepped here: nobody waits while something else happens."""

    async def until(self, at_ns: int) -> Sequence[Happening]:
        """The next bar or report before ``at_ns``; else it becomes ``at_ns``, and nothing has happened."""
        while True:
            place = self._place
            bar_ns = self._close_ns[place] if place < self._bars else _NEVER
            if self._queue and self._queue[0][0] < min(bar_ns, at_ns):
                told = self._deliver()
                if told:
                    return told
            elif bar_ns < at_ns:
                self._turn += 1
                if self._turn == _TURN:
                    self._turn = 0
                    await asyncio.sleep(0)
                if self._is_idle and not self._queue:
                    return self._bundle(place, at_ns)
                return self._bar(place, bar_ns)
            else:
                await self._clock.sleep_until(at_ns)
                return ()

    def _bar(self, place: int, close_ns: int) -> Sequence[Happening]:
        self._clock.move_to(close_ns)
        self._place = place + 1
        side = self._side(self.bars.ticks[place])
        seen = BookSeen(Book(self._symbol, side, side, close_ns, self._place))
        if self._rests:
            for one in Side:
                self._tell(self._quote(one, close_ns), close_ns)
        raised = self._signals.get(close_ns)
        return (seen,) if raised is None else (seen, *raised)

    def _bundle(self, place: int, at_ns: int) -> Sequence[Happening]:
        """The bars before ``at_ns``, up to a signal's or the end of a day; the first of a day comes alone."""
        close_ns, ticks, symbol = self._close_ns, self.bars.ticks, self._symbol
        day = close_ns[place] // DAY
        if place and close_ns[place - 1] // DAY != day:
            return self._bar(place, close_ns[place])
        stop = bisect_left(
            close_ns, min(at_ns, (day + 1) * DAY), place, min(place + self.terms.bundle, self._bars)
        )
        signal = bisect_left(self._told_at, close_ns[place])
        if signal < len(self._told_at):
            stop = bisect_right(close_ns, self._told_at[signal], place, stop)
        news: list[Happening] = []
        for number in range(place, stop):
            side = self._sides.get(ticks[number]) or self._side(ticks[number])
            news.append(BookSeen(Book(symbol, side, side, close_ns[number], number + 1)))
        self._clock.move_to(close_ns[stop - 1])
        self._place = stop
        news += self._signals.get(close_ns[stop - 1], ())
        return news

    def _side(self, ticks: int) -> tuple[Level, ...]:
        """Either side of a book at this close; a price comes again and again."""
        side = self._sides.get(ticks)
        if side is None:
            side = self._sides[ticks] = (Level(ticks * self.bars.market.tick, self.terms.depth),)
        return side

    def _quote(self, side: Side, at_ns: int) -> News:
        """Let whoever wants to trade on ``side`` find the last close; nobody stands in the book before."""
        symbol, ticks = self.bars.market.symbol, self.bars.ticks[max(self._place - 1, 0)]
        there = {ticks: self._lots}
        bids, asks = ({}, there) if side is Side.BUY else (there, {})
        return self.matcher.requote(symbol, _MAKER, bids, asks, at_ns)

    def _deliver(self) -> Sequence[Happening]:
        """What arrives next: a report here, or a request at the venue, which reports in its turn."""
        at_ns, _, item = heapq.heappop(self._queue)
        self._clock.move_to(at_ns)
        if isinstance(item, Order):
            self._quote(item.side, at_ns)
            self._tell(self.matcher.submit(OWNER, item, at_ns), at_ns)
        elif isinstance(item, str):
            self._tell(self.matcher.cancel(OWNER, item, at_ns), at_ns)
        else:
            return self._reports(at_ns, item)
        return ()

    def _reports(self, at_ns: int, first: Happening) -> Sequence[Happening]:
        """With everything that arrives at the same instant."""
        news = [first]
        while self._queue and self._queue[0][0] == at_ns and not isinstance(self._queue[0][2], Order | str):
            news.append(heapq.heappop(self._queue)[2])  # type: ignore[arg-type]
        return news

    def _tell(self, news: News, at_ns: int) -> None:
        back_ns = at_ns + self.terms.latency_ns - self.terms.latency_ns // 2
        for happening in news.to(OWNER):
            if not isinstance(happening, TradeSeen):
                self._push(back_ns, happening)
        self._rests = bool(self.matcher.open_orders(OWNER))
        held = self.matcher.accounts.balance(OWNER, self._symbol.base).total
        self._is_idle = self.terms.bundle > 1 and not self._rests and not held

    def _push(self, at_ns: int, item: Order | str | Happening) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at_ns, self._count, item))

    # -- Exchange --------------------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int) -> None:
        """In process there is nothing to make ready."""

    def recall(self, orders: Sequence[Order]) -> None:
        """Trades are told by our own ids here."""

    def submit(self, order: Order) -> None:
        self._push(self._clock.now_ns() + self.terms.latency_ns // 2, order)

    def stop_sending(self, order: Order) -> None:
        """An order leaves once, when it is submitted."""

    def cancel(self, order: Order) -> None:
        self._push(self._clock.now_ns() + self.terms.latency_ns // 2, order.client_id)

    async def order(self, client_id: str, symbol: Symbol) -> VenueOrder | None:
        return self.matcher.order(OWNER, client_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return self.matcher.open_orders(OWNER)

    async def fills(self, symbol: Symbol, since_ns: int) -> Sequence[Fill]:
        return [fill for fill in self.matcher.fills(OWNER, since_ns) if fill.symbol == symbol]

    async def balances(self) -> Balances:
        return self.matcher.balances(OWNER)

    # -- Venue and Calendar ----------------------------------------------------------------------

    async def market(self, symbol: Symbol) -> Market | None:
        return self.bars.market if symbol == self.bars.market.symbol else None

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        book = await self.book(symbol)
        return None if book is None else book.ask

    async def book(self, symbol: Symbol) -> Book | None:
        """The last close, as of now."""
        if symbol != self.bars.market.symbol or not self._place:
            return None
        side = self._sides[self.bars.ticks[self._place - 1]]
        return Book(symbol, side, side, self._clock.now_ns(), self._place)

    async def closes(self, symbol: Symbol, since_ns: int) -> Sequence[tuple[int, Decimal]]:
        """The recording tells them as news: what came before it is not known."""
        return ()

    async def is_api_tradable(self, symbol: Symbol) -> bool | None:
        return symbol == self.bars.market.symbol

    async def clock_reading(self) -> ClockReading:
        """In process there is one clock."""
        return ClockReading(0, 0, self._clock.now_ns())

    async def entries(self) -> Sequence[CalendarEntry]:
        return []

    async def states(self) -> Sequence[SymbolState]:
        return []


def _by_close(bars: Bars, signals: Sequence[Signal]) -> dict[int, tuple[SignalSeen, ...]]:
    told: dict[int, tuple[SignalSeen, ...]] = {}
    closes = set(bars.close_ns)
    for signal in signals:
        if signal.symbol != bars.market.symbol or signal.at_ns not in closes:
            raise DomainError(
                f"signal {signal.signal_id} of {signal.symbol} was not raised at a close of "
                f"{bars.market.symbol}",
                signal_id=signal.signal_id,
            )
        told[signal.at_ns] = (*told.get(signal.at_ns, ()), SignalSeen(signal))
    return told
