"""Market monitors: from books, trades and failures to whether a market is safe to enter, with evidence.

Before a market has traded they know nothing and hold nothing up: at an opening the price cap protects. After
that a monitor that has tripped refuses entries in its market; exits and cancels never ask.

==============  =============================================================================  ===============
flash_crash     fall of the best bid from its highest in the window, as a fraction             of the symbol
spread          ask minus bid, as a fraction of the mid price                                  of the symbol
depth           bids down to where a stop would lie, against the size of an order              of the symbol
stale_data      time since the last news, where the stream has shown no sign of life either    of the symbol
wash_volume     share of the window's volume in trades that have a mirror image                of the symbol
one_sided       share of the window's volume in which the taker sold                           of the symbol
clock           what the limits say of the venue's clock (``risk.clock_breaches``)             of this machine
venue_errors    answers that failed or were lost within a minute                               of the venue
==============  =============================================================================  ===============

A trade has a mirror image when one of the same quantity and of the opposite taker's side lies within
``MIRROR_NS`` of it; each is matched once, the oldest first. It is a stand-in for what needs accounts to be
seen: Victor and Weintraud (Detecting and Quantifying Wash Trading on Decentralized Cryptocurrency Exchanges,
WWW 2021) look for trades among a few accounts whose volumes cancel out within a time window; public trades
name no account, so only the cancelling out is left. It says "suspected" and no more: makers who quote one
fixed size look guilty, and whoever varies the size or waits longer is missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from mexclab.config import LimitSettings, MonitorSettings
from mexclab.domain.clock import MINUTE, SECOND, is_older, span
from mexclab.domain.market import Book, Side, Symbol, Trade
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.domain.portfolio import ZERO
from mexclab.domain.reports import ClockReading
from mexclab.trading.risk import clock_breaches
from mexclab.trading.windows import Count, Flow, Grain, Highest

WARN = Decimal("0.7")  # of the way to a bound, a person is told
WARN_SHARE = Decimal("0.9")  # the same for shares: a few dozen trades are often two thirds of one kind
MIRROR_NS = 2 * SECOND
MOST_WAITING = 4_096  # trades that wait for their mirror image
MARKET_MONITORS = ("flash_crash", "spread", "depth", "stale_data", "wash_volume", "one_sided")
COMMON_MONITORS = ("clock", "venue_errors")

QUIET, WARNING, TRIPPED, UNKNOWN = (
    MonitorState.QUIET,
    MonitorState.WARNING,
    MonitorState.TRIPPED,
    MonitorState.UNKNOWN,
)
Words: TypeAlias = tuple[str, str, str]  # value, bound, and the evidence in a sentence
Finding: TypeAlias = tuple[MonitorState, Callable[[], Words]]  # the words are made when somebody wants them


@dataclass(frozen=True, slots=True)
class Stake:
    """Why a market is watched.

    Attributes:
        opens_ns: what is quoted or traded before it is no market yet.
        reach: how far below the ask a stop lies, as a fraction.
        quote: money of one order in it, in quote units; 0: none is wanted.
    """

    opens_ns: int = 0
    reach: Decimal = Decimal("0.15")
    quote: Decimal = ZERO


class _Mirrors:
    """Trades that wait for their mirror image, by quantity; all that wait under one are of one side."""

    __slots__ = ("_flow", "_order", "_waiting")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._waiting: dict[Decimal, deque[tuple[int, Side, Decimal, Grain]]] = {}
        self._order: deque[tuple[int, Decimal]] = deque()

    def take(self, trade: Trade, value: Decimal, grain: Grain) -> None:
        """Match the trade, or let it wait."""
        at_ns = max(trade.at_ns, self._order[-1][0]) if self._order else trade.at_ns
        while self._order and (self._order[0][0] < at_ns - MIRROR_NS or len(self._order) >= MOST_WAITING):
            self._forget(*self._order.popleft())
        row = self._waiting.get(trade.quantity)
        if row and row[0][1] is not trade.side:
            _, _, other, its_grain = row.popleft()
            self._flow.mirror(its_grain, other)
            self._flow.mirror(grain, value)
        else:
            if row is None:
                row = self._waiting[trade.quantity] = deque()
            row.append((at_ns, trade.side, value, grain))
            self._order.append((at_ns, trade.quantity))
            return
        if not row:
            del self._waiting[trade.quantity]

    def _forget(self, at_ns: int, quantity: Decimal) -> None:
        row = self._waiting.get(quantity)
        if row and row[0][0] <= at_ns:  # else it was matched
            row.popleft()
            if not row:
                del self._waiting[quantity]


@dataclass(slots=True)
class _Watched:
    """What is known of one market."""

    symbol: Symbol
    stake: Stake
    window_ns: int
    book: Book | None = None
    deep: Book | None = None  # the last one with more than the best level
    heard_ns: int = 0
    traded_ns: int = 0
    bids: Highest[Decimal] = field(init=False)
    flow: Flow = field(init=False)
    mirrors: _Mirrors = field(init=False)

    def __post_init__(self) -> None:
        self.bids, self.flow = Highest(self.window_ns), Flow(self.window_ns)
        self.mirrors = _Mirrors(self.flow)


class Monitors:
    """Every monitor of one desk. What is not followed costs one look into a mapping.

    Args:
        rules: from where on each trips.
        limits: how old a price, and how wrong the clock, may be.
        clock: the last reading of the venue's clock.
        silent_ns: see ``ports.Feed.silent_ns``.
    """

    def __init__(
        self,
        rules: MonitorSettings,
        limits: LimitSettings,
        clock: Callable[[], ClockReading | None],
        silent_ns: Callable[[Symbol], int | None] = lambda symbol: None,
    ) -> None:
        self._rules, self._limits, self._clock, self._silent_ns = rules, limits, clock, silent_ns
        self._window_ns = rules.window_s * SECOND
        self._markets: dict[Symbol, _Watched] = {}
        self._failures = Count(MINUTE)
        self._last_failure = ""

    # -- what comes in ---------------------------------------------------------------------------

    @property
    def followed(self) -> Mapping[Symbol, Stake]:
        """The markets that are watched, and why."""
        return {symbol: watched.stake for symbol, watched in self._markets.items()}

    def follow(self, stakes: Mapping[Symbol, Stake]) -> None:
        """Watch these markets and no others; one that opens later than was thought begins anew."""
        for symbol in [each for each in self._markets if each not in stakes]:
            del self._markets[symbol]
        for symbol, stake in stakes.items():
            known = self._markets.get(symbol)
            if known is None or stake.opens_ns > known.stake.opens_ns:
                self._markets[symbol] = _Watched(symbol, stake, self._window_ns)
            else:
                known.stake = stake

    def see(self, book: Book) -> None:
        """Take a book in."""
        watched = self._markets.get(book.symbol) if self._markets else None
        if watched is None or book.at_ns < watched.stake.opens_ns:
            return
        watched.book = book
        if len(book.bids) > 1 or len(book.asks) > 1:
            watched.deep = book
        if book.at_ns > watched.heard_ns:
            watched.heard_ns = book.at_ns
        if book.bids:
            watched.bids.put(book.at_ns, book.bids[0].price)

    def witness(self, trade: Trade) -> None:
        """Take a public trade in."""
        watched = self._markets.get(trade.symbol)
        if watched is None or trade.at_ns < watched.stake.opens_ns:
            return
        watched.traded_ns = trade.at_ns
        if trade.at_ns > watched.heard_ns:
            watched.heard_ns = trade.at_ns
        value = trade.price * trade.quantity
        grain = watched.flow.put(trade.at_ns, value, trade.side is Side.SELL)
        watched.mirrors.take(trade, value, grain)

    def failed(self, at_ns: int, what: str) -> None:
        """An answer of the venue failed or was lost; ``what`` says which, in a sentence."""
        self._failures.put(at_ns)
        self._last_failure = what

    # -- what is found ---------------------------------------------------------------------------

    def failures(self, now_ns: int) -> int:
        """Answers that failed or were lost within the last minute."""
        return self._failures.at(now_ns)

    def readings(self, symbol: Symbol, now_ns: int, size: Decimal | None = None) -> list[Reading]:
        """Every monitor of a market, those of the machine and of the venue included.

        Args:
            size: of the order in question, in base units; None: what its snipe would buy at the best ask.
        """
        market = [
            Reading(name, symbol, state, *words())
            for name, (state, words) in self.findings(symbol, now_ns, size)
        ]
        return market + self.common(now_ns)

    def common(self, now_ns: int) -> list[Reading]:
        """The monitors that are of no market: the clock, and the venue's answers."""
        return [Reading(name, None, state, *words()) for name, (state, words) in self.common_findings(now_ns)]

    def findings(
        self, symbol: Symbol, now_ns: int, size: Decimal | None = None
    ) -> Iterator[tuple[str, Finding]]:
        """The same as ``readings`` of the market alone, with words that are made only when called for."""
        watched = self._markets.get(symbol)
        if watched is None or not watched.traded_ns:
            words = (
                f"{symbol} is not watched" if watched is None else f"{symbol} has not been seen to trade yet"
            )
            for name in MARKET_MONITORS:
                yield name, (UNKNOWN, lambda: ("", "", words))
            return
        yield "flash_crash", _flash_crash(self._rules, watched, now_ns)
        yield "spread", _spread(self._rules, watched)
        yield "depth", _depth(self._rules, watched, size)
        yield "stale_data", self._stale_data(watched, now_ns)
        flow = watched.flow.total(now_ns)
        yield "wash_volume", _share(self._rules, "wash_volume", symbol, flow)
        yield "one_sided", _share(self._rules, "one_sided", symbol, flow)

    def common_findings(self, now_ns: int) -> Iterator[tuple[str, Finding]]:
        """The same as ``common``, with words that are made only when called for."""
        yield "clock", _trust(self._limits, self._clock(), now_ns)
        yield "venue_errors", _errors(self._rules, self._failures.at(now_ns), self._last_failure)

    def _stale_data(self, watched: _Watched, now_ns: int) -> Finding:
        """A market in which nothing happens is no stale one while its stream lives."""
        bound_ns, age_ns = self._limits.stale_price_s * SECOND, now_ns - watched.heard_ns
        symbol, heard = watched.symbol, f"the last news of {watched.symbol} came {span(age_ns)} ago"
        if not is_older(watched.heard_ns, now_ns, bound_ns):
            return QUIET, lambda: (span(age_ns), span(bound_ns), heard)
        silent_ns, patience_ns = self._silent_ns(symbol), self._rules.stream_silence_s * SECOND
        if silent_ns is None:
            why = f"{heard}, and its stream does not tell of it"
            return TRIPPED, lambda: (span(age_ns), span(bound_ns), why)
        alive = f"its stream gave its last sign of life {span(silent_ns)} ago"
        words = (span(silent_ns), span(patience_ns), f"{heard}; {alive}")
        return TRIPPED if silent_ns > patience_ns else QUIET, lambda: words


# -- each monitor --------------------------------------------------------------------------------


def _flash_crash(rules: MonitorSettings, watched: _Watched, now_ns: int) -> Finding:
    bound, found, book = rules.flash_crash, watched.bids.at(now_ns), watched.book
    symbol = watched.symbol
    if found is None or book is None:
        return UNKNOWN, lambda: ("", str(bound), f"nobody has bid for {symbol} within the window")
    (high, high_ns), bid = found, book.bid or ZERO
    fall = (high - bid) / high if high > 0 else ZERO

    def words() -> Words:
        why = f"the best bid of {symbol} is {bid}, {fall:.1%} below {high} of {span(now_ns - high_ns)} ago"
        return f"{fall:.4f}", str(bound), why

    return _judged(fall, bound, WARN), words


def _spread(rules: MonitorSettings, watched: _Watched) -> Finding:
    bound, book, symbol = rules.spread, watched.book, watched.symbol
    if book is None:
        return UNKNOWN, lambda: ("", str(bound), f"no book of {symbol} has been seen")
    bid, ask = book.bid, book.ask
    if bid is None:
        return TRIPPED, lambda: ("none", str(bound), f"nobody bids for {symbol}")
    if ask is None:
        return WARNING, lambda: ("none", str(bound), f"nobody offers {symbol}")
    width = 2 * (ask - bid) / (ask + bid)

    def words() -> Words:
        return f"{width:.4f}", str(bound), f"{symbol}: bid {bid}, ask {ask}, {width:.2%} of the mid apart"

    return _judged(width, bound, WARN), words


def _depth(rules: MonitorSettings, watched: _Watched, size: Decimal | None) -> Finding:
    book, stake, symbol = watched.book, watched.stake, watched.symbol
    deep = watched.deep  # a book that was asked for tells of the best level alone
    if book is not None and deep is not None and book.at_ns - deep.at_ns <= watched.window_ns:
        book = deep
    ask = book.ask or book.bid if book is not None else None
    if size is None and ask:
        size = stake.quote / ask
    if book is None or not ask or not size:
        return UNKNOWN, lambda: ("", "", f"no size to hold the bids of {symbol} against")
    floor, near = ask * (1 - stake.reach), ZERO
    for level in book.bids:
        if level.price < floor:
            break
        near += level.quantity
    least = size * rules.depth_multiple
    state = TRIPPED if near < least else WARNING if near * WARN < least else QUIET
    if state is TRIPPED and len(book.bids) == len(book.asks) == 1:
        state = WARNING  # there may be more bids

    def words() -> Words:
        why = f"bids down to {floor:.6g} take {near:.6g} {symbol.base}; the order is {size:.6g}"
        return f"{near:.6g}", f"{least:.6g}", why

    return state, words


def _share(rules: MonitorSettings, name: str, symbol: Symbol, flow: Grain) -> Finding:
    is_wash = name == "wash_volume"
    bound, part = (rules.wash_share, flow.mirrored) if is_wash else (rules.one_sided, flow.sold)
    if flow.trades < rules.least_trades or not flow.value:
        why = f"{flow.trades} trades of {symbol} in the window; {rules.least_trades} are needed"
        return UNKNOWN, lambda: ("", str(bound), why)
    share = part / flow.value

    def words() -> Words:
        what = "in trades with a mirror image (suspected wash trading)" if is_wash else "sold by takers"
        over = f"{flow.trades} trades within {span(rules.window_s * SECOND)}"
        return f"{share:.4f}", str(bound), f"{share:.1%} of the volume of {symbol} was {what}: {over}"

    return _judged(share, bound, WARN_SHARE), words


def _trust(limits: LimitSettings, reading: ClockReading | None, now_ns: int) -> Finding:
    wrong = list(clock_breaches(reading, limits, now_ns))
    if wrong:
        first = wrong[0]
        state = UNKNOWN if reading is None else TRIPPED
        return state, lambda: (first.value, first.bound, "; ".join(each.why for each in wrong))
    offset = span(abs(reading.offset_ns) + reading.error_ns) if reading is not None else ""
    bound = f"{limits.clock_offset_ms} ms"
    return QUIET, lambda: (offset, bound, f"our clock is at most {offset} off the venue's")


def _errors(rules: MonitorSettings, found: int, last: str) -> Finding:
    bound = rules.venue_errors
    state = TRIPPED if found >= bound else WARNING if found >= bound * WARN else QUIET

    def words() -> Words:
        tail = f"; the last one: {last}" if found else ""
        return str(found), str(bound), f"{found} answers failed or were lost within a minute{tail}"

    return state, words


def _judged(value: Decimal, bound: Decimal, warn: Decimal) -> MonitorState:
    return TRIPPED if value >= bound else WARNING if value >= bound * warn else QUIET
