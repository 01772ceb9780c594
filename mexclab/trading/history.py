"""The last day of prices, minute by minute, and the scenarios that risk weighs the book with."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType

from mexclab.config import LimitSettings
from mexclab.domain.clock import MINUTE
from mexclab.domain.market import Book, Level, Symbol
from mexclab.errors import NotEnoughData
from mexclab.research.diversification import correlation_clusters
from mexclab.research.tail_risk import (
    Method,
    Returns,
    Scenarios,
    TailOptions,
    log_returns,
    scenarios,
    stacked,
    worst_of,
)

METHODS: tuple[Method, ...] = ("historical", "filtered")
DAY_MIN = 24 * 60
HORIZONS = 8  # a history holds a day, or this many horizons when that is longer
SILENCE_MIN = 30  # a price this old is no price: the history begins anew with the next one
MOST_SCENARIOS = 288  # windows of 60 minutes, 5 minutes apart, tell what windows 1 minute apart tell
MOST_KEPT = 16  # sets of symbols whose scenarios are kept within one minute


class _Series:
    """One symbol: logarithmic mids at the ends of the minutes before ``minute``, and the book after them.

    ``waiting`` holds (time, bid, ask) of books that ended a minute which is not among the closes yet: those
    are made when somebody wants them.
    """

    __slots__ = ("book", "closes", "minute", "waiting")

    def __init__(self, book: Book) -> None:
        self.book = book
        self.minute = book.at_ns // MINUTE
        self.closes = array("d")
        self.waiting: list[tuple[int, Decimal, Decimal]] = []

    def see(self, book: Book, most: int) -> None:
        """Take in a book that is not older than the last one."""
        last = self.book
        if book.at_ns // MINUTE != last.at_ns // MINUTE:
            waiting = self.waiting
            waiting.append((last.at_ns, last.bids[0].price, last.asks[0].price))
            if len(waiting) > 2 * most:  # each ends a minute or more: what lies before the last ones is over
                del waiting[:-most]
                del self.closes[:]
                self.minute = waiting[0][0] // MINUTE
        self.book = book

    def close_until(self, minute: int, most: int) -> None:
        """End every minute before ``minute``; a minute without news keeps the mid of the one before."""
        rows, self.waiting = self.waiting, []
        rows.append((self.book.at_ns, self.book.bids[0].price, self.book.asks[0].price))
        for row, (next_ns, _, _) in pairwise(rows):
            self._close(row, next_ns // MINUTE)
        self._close(rows[-1], minute)
        if len(self.closes) > 2 * most:  # now and then, not every minute
            del self.closes[:-most]

    def _close(self, row: tuple[int, Decimal, Decimal], minute: int) -> None:
        (at_ns, bid, ask), passed = row, minute - self.minute
        if passed <= 0:
            return
        mid = (float(bid) + float(ask)) / 2
        if minute - at_ns // MINUTE > SILENCE_MIN or not 0 < mid < math.inf:
            del self.closes[:]
        else:
            self.closes.extend([math.log(mid)] * passed)
        self.minute = minute


@dataclass(frozen=True, eq=False, slots=True)
class Tails:
    """What a set of symbols may do together, ready to be weighed; see :meth:`History.tails`.

    Attributes:
        symbols: what was asked for.
        places: of each of them, the column among the scenarios; None when its history is not whole.
        columns: the same by symbol, of those that have one.
        groups: for each symbol that was asked for, the symbols (itself too) that are one bet with it.
        made_of: the scenarios by each method, historical and filtered, one below the other.
        methods: how many methods those are.
    """

    symbols: tuple[Symbol, ...]
    places: tuple[int | None, ...]
    columns: Mapping[Symbol, int]
    groups: Mapping[Symbol, frozenset[Symbol]]
    made_of: Scenarios | None = None
    methods: int = 1

    def losses(self, amounts: Sequence[float], tail: float) -> tuple[float, float]:
        """(value at risk, expected shortfall) of money in the symbols of ``columns``, in their order.

        Each is the worse of the two methods'. 0 when no symbol is known.
        """
        if self.made_of is None:
            return 0.0, 0.0
        return worst_of(self.made_of.losses(amounts).reshape(self.methods, -1), tail)


def _whole(rows: Sequence[tuple[int, Decimal]], until: int) -> array[float]:
    """Logarithmic closes by minute without a hole, the last one of the minute before ``until``."""
    found = array("d")
    next_minute = 0
    for minute, close in [*rows, (until, Decimal(0))]:
        if minute > until:
            break
        missing = minute - next_minute
        if missing > SILENCE_MIN:
            del found[:]
        elif found:
            found.extend([found[-1]] * missing)
        price = float(close)
        if minute < until:
            if 0 < price < math.inf:
                found.append(math.log(price))
            else:
                del found[:]
        next_minute = minute + 1
    return found


NOTHING_KNOWN = Tails((), (), MappingProxyType({}), MappingProxyType({}))


class History:
    """Mids by symbol and minute, bounded: a day of each, or 8 horizons.

    Args:
        now_ns: when this process began to look.
        horizon_min: minutes ahead that value at risk looks.
    """

    def __init__(self, now_ns: int, horizon_min: int = 60) -> None:
        self.began_ns = now_ns
        self.window_min = max(DAY_MIN, HORIZONS * horizon_min)
        self._series: dict[Symbol, _Series] = {}
        self._last: _Series | None = None  # the one that saw a book last
        self._kept: dict[tuple[tuple[Symbol, ...], int, float, float], Tails] = {}
        self._kept_minute = 0

    def see(self, book: Book) -> None:
        """Take a book in. One without both sides has no mid and changes nothing."""
        if not book.bids or not book.asks:
            return
        series = self._last  # books come in runs of one symbol: it need not be looked up each time
        if series is None or series.book.symbol is not book.symbol:
            series = self._last = self._series.get(book.symbol)
        if series is None:
            self._forget(book.at_ns // MINUTE)
            self._series[book.symbol] = _Series(book)
            return
        if book.at_ns >= series.book.at_ns:
            series.see(book, self.window_min + 1)

    def fill(self, symbol: Symbol, closes: Sequence[tuple[int, Decimal]], now_ns: int) -> None:
        """Put what was before the first book in front of what is known.

        A minute without a trade keeps the close of the one before; a longer silence ends what can be known.

        Args:
            closes: (when a whole minute ended, its last price), in order of time; one per minute at most.
        """
        minute, most = now_ns // MINUTE, self.window_min + 1
        rows = [(at_ns // MINUTE - 1, close) for at_ns, close in closes if at_ns <= minute * MINUTE]
        series = self._series.get(symbol)
        if series is None:
            if not rows:
                return
            level = (Level(rows[-1][1], Decimal(1)),)  # it stands in until the first book comes
            series = self._series[symbol] = _Series(Book(symbol, level, level, rows[-1][0] * MINUTE))
        series.close_until(minute, most)
        before = _whole(rows, series.minute - len(series.closes))
        series.closes[:0] = (
            before[-(most - len(series.closes)) :] if len(series.closes) < most else before[:0]
        )
        self._kept.clear()

    def known_min(self, symbol: Symbol, now_ns: int) -> int:
        """How many of the last whole minutes have a price, without a hole; at most a window's."""
        series = self._series.get(symbol)
        if series is None:
            return 0
        series.close_until(now_ns // MINUTE, self.window_min + 1)
        is_whole = series.minute == now_ns // MINUTE
        return min(len(series.closes), self.window_min + 1) if is_whole else 0

    def priced_ns(self, symbol: Symbol) -> int:
        """When it last had a bid and an ask; when this process began, if it has not had them since."""
        series = self._series.get(symbol)
        return self.began_ns if series is None else max(series.book.at_ns, self.began_ns)

    def returns(self, symbols: Sequence[Symbol], now_ns: int) -> Returns:
        """Logarithmic returns by minute, aligned, (window_min, N): the last row ends with the last minute.

        NaN before a symbol was known; a minute without news has a return of zero.
        """
        minute, closes = now_ns // MINUTE, []
        for symbol in symbols:
            series = self._series.get(symbol)
            if series is not None:
                series.close_until(minute, self.window_min + 1)
            # a minute that has begun again behind ``now`` has not the same end as the others
            closes.append(series.closes if series is not None and series.minute == minute else ())
        return log_returns(closes, self.window_min)

    def tails(self, symbols: Sequence[Symbol], now_ns: int, limits: LimitSettings) -> Tails:
        """The scenarios of these symbols as of the last whole minute; made once a minute.

        A symbol whose history does not fill the window has no column: what becomes of it is not known.
        """
        minute, wanted = now_ns // MINUTE, tuple(symbols)
        if minute != self._kept_minute:
            self._kept.clear()
            self._kept_minute = minute
        bound, horizon, tail = float(limits.cluster_correlation), limits.tail_horizon_min, float(limits.tail)
        key = (wanted, horizon, bound, tail)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            options = TailOptions(tail, horizon, most=MOST_SCENARIOS)
            found = self._kept[key] = tails_of(wanted, self.returns(wanted, now_ns), options, bound)
        return found

    def _forget(self, minute: int) -> None:
        """Let go of what has been silent for a whole window: in weeks, a desk sees many listings."""
        known = self._series.items()
        silent = [s for s, each in known if minute - each.book.at_ns // MINUTE > self.window_min]
        for symbol in silent:
            del self._series[symbol]
        self._last = None


def tails_of(symbols: Sequence[Symbol], returns: Returns, options: TailOptions, bound: float) -> Tails:
    """The structure behind :meth:`History.tails`, of any returns (T, N); pure.

    Where the rows are too few for the horizon or the tail, no symbol is known.
    """
    if not symbols:
        return NOTHING_KNOWN
    known: list[Symbol] = []
    made_of = None
    with contextlib.suppress(NotEnoughData):
        made_of = stacked([scenarios(returns, options, method) for method in METHODS])
        known = [symbol for symbol, is_known in zip(symbols, made_of.known, strict=True) if is_known]
    labels = correlation_clusters(returns, bound)
    members: dict[int, list[Symbol]] = {}
    for symbol, label in zip(symbols, labels, strict=True):
        members.setdefault(label, []).append(symbol)
    groups = {label: frozenset(each) for label, each in members.items()}
    columns = {symbol: place for place, symbol in enumerate(known)}
    return Tails(
        tuple(symbols),
        tuple(columns.get(symbol) for symbol in symbols),
        MappingProxyType(columns),
        MappingProxyType({symbol: groups[label] for symbol, label in zip(symbols, labels, strict=True)}),
        made_of if known else None,
        len(METHODS),
    )


def as_money(loss: float) -> Decimal:
    """The one crossing from the arrays of research to money: up to the next millionth of the quote unit."""
    return Decimal(math.ceil(loss * 1e6 - 1e-3)).scaleb(-6)
