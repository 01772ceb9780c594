"""What a venue remembers of its own trading: the last trades, candles, and the rolling day.

Inside, prices are ticks and quantities lots, both int64, a row a minute; ``Decimal`` at the door. As on
MEXC a bar opens at the close of the one before, and a minute without a trade is a flat bar.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.market import Candle, Market, Side, Symbol
from mexclab.errors import DomainError
from mexclab.venues.orders import Execution

TRADES_KEPT = 1_000  # of each symbol, as many as the venue answers with
MINUTES_KEPT = 31 * 1440  # MEXC's own 1m klines end about 30 days back
DAYS_KEPT = 1_000

OPEN_NS, OPEN, HIGH, LOW, CLOSE, LOTS, VALUE, COUNT = range(8)  # the columns of a row
_LARGEST = 2**63 - 1

INTERVALS = {
    "1m": MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "60m": HOUR,
    "4h": 4 * HOUR,
    "1d": DAY,
    "1W": 7 * DAY,
    "1M": 31 * DAY,
}
"""The intervals by the venue's name, in nanoseconds; a month is as long as its calendar says."""


class PublicTrade(NamedTuple):
    """A trade as everybody sees it. ``side`` is the taker's."""

    trade_id: str
    price: Decimal
    quantity: Decimal
    side: Side
    at_ns: int


@dataclass(frozen=True, slots=True)
class DayStats:
    """The last 24 hours of one symbol, to the minute; ``volume`` is in base units."""

    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    volume: Decimal
    quote_volume: Decimal
    open_ns: int
    close_ns: int
    count: int


class _Rows:
    """Rows in order of time, the oldest forgotten above ``limit``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._table = np.empty((64, 8), dtype=np.int64)
        self._count = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": self.view().copy()}  # without the room to grow

    def view(self) -> np.ndarray:
        """int64 (n, 8), not a copy."""
        return self._table[: self._count]

    def append(self, rows: np.ndarray | Sequence[Sequence[int]]) -> None:
        fresh = np.asarray(rows, dtype=np.int64)[-self.limit :]
        if self._count + len(fresh) > len(self._table):
            kept = self.view()[max(0, self._count + len(fresh) - self.limit) :]
            room = min(2 * (len(kept) + len(fresh)), self.limit + self.limit // 4 + 64)
            table = np.empty((max(room, len(kept) + len(fresh)), 8), dtype=np.int64)
            table[: len(kept)] = kept
            self._table, self._count = table, len(kept)
        self._table[self._count : self._count + len(fresh)] = fresh
        self._count += len(fresh)


class _Tape:
    """One symbol: its last trades, its minutes and days, and the minute that is being written."""

    def __init__(self, market: Market, opening: Decimal | None) -> None:
        self.market = market
        self.opening = None if opening is None else int(opening // market.tick)
        self.trades: deque[Execution] = deque(maxlen=TRADES_KEPT)
        self.minutes, self.days = _Rows(MINUTES_KEPT), _Rows(DAYS_KEPT)
        self.day: list[int] | None = None  # the day so far, without the minute that is being written
        self.row: list[int] | None = None  # that minute

    def record(self, execution: Execution) -> None:
        ticks = int(execution.price // self.market.tick)
        lots = int(execution.quantity // self.market.lot)
        minute = execution.at_ns // MINUTE * MINUTE
        row = self.row
        if row is None:
            first = ticks if self.opening is None else self.opening
            row = self.row = [minute, first, first, first, first, 0, 0, 0]
        elif minute > row[OPEN_NS]:
            row = self.roll(minute)
        if ticks > row[HIGH]:
            row[HIGH] = ticks
        if ticks < row[LOW]:
            row[LOW] = ticks
        row[CLOSE] = ticks
        row[LOTS] = min(row[LOTS] + lots, _LARGEST)
        row[VALUE] = min(row[VALUE] + ticks * lots, _LARGEST)
        row[COUNT] += 1
        self.trades.append(execution)

    def roll(self, minute_ns: int) -> list[int]:
        """End the minute that is being written, fill what lies between, and begin ``minute_ns``."""
        row = self.row
        if row is None or minute_ns <= row[OPEN_NS]:
            raise DomainError("a tape is rolled forward only, and after it began", minute_ns=minute_ns)
        self._end(row)
        close = row[CLOSE]
        first_ns = max(row[OPEN_NS] + MINUTE, minute_ns - MINUTES_KEPT * MINUTE)
        if first_ns < minute_ns:
            quiet = np.full((-(-(minute_ns - first_ns) // MINUTE), 8), close, dtype=np.int64)
            quiet[:, OPEN_NS] = np.arange(first_ns, minute_ns, MINUTE)
            quiet[:, LOTS:] = 0
            self.minutes.append(quiet)
        for day_ns in range(row[OPEN_NS] // DAY * DAY + DAY, minute_ns, DAY):
            self._into_day([day_ns, close, close, close, close, 0, 0, 0])
        self.row = [minute_ns, close, close, close, close, 0, 0, 0]
        return self.row

    def _end(self, row: list[int]) -> None:
        self.minutes.append([row])
        self._into_day(row)

    def _into_day(self, row: list[int]) -> None:
        day_ns = row[OPEN_NS] // DAY * DAY
        if self.day is not None and self.day[OPEN_NS] != day_ns:
            self.days.append([self.day])
            self.day = None
        self.day = [day_ns, *row[1:]] if self.day is None else _merged(self.day, row)

    def recall(self, minutes: np.ndarray, days: np.ndarray) -> None:
        """Begin with a past: whole days, then whole minutes that go on from the last of those days."""
        if len(days):
            self.days.append(days)
        today = minutes[:, OPEN_NS] // DAY
        whole = fold(minutes, today * DAY)
        self.days.append(whole[:-1])
        self.day = [int(value) for value in whole[-1]]
        self.minutes.append(minutes[:-1])
        last = [int(value) for value in minutes[-1]]
        self.minutes.append([last])
        close = last[CLOSE]
        self.row = [last[OPEN_NS] + MINUTE, close, close, close, close, 0, 0, 0]


def _merged(day: list[int], row: list[int]) -> list[int]:
    sums = (min(day[column] + row[column], _LARGEST) for column in (LOTS, VALUE, COUNT))
    return [day[0], day[OPEN], max(day[HIGH], row[HIGH]), min(day[LOW], row[LOW]), row[CLOSE], *sums]


def fold(rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Rows of equal key as one row that begins at the key.

    Args:
        rows: int64 (n, 8), in order of time.
        keys: int64 (n,), ascending: when the longer bar begins, in nanoseconds.
    """
    if not len(rows):
        return rows
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    ends = np.append(starts[1:], len(rows)) - 1
    bars = np.empty((len(starts), 8), dtype=np.int64)
    bars[:, OPEN_NS], bars[:, OPEN], bars[:, CLOSE] = keys[starts], rows[starts, OPEN], rows[ends, CLOSE]
    bars[:, HIGH] = np.maximum.reduceat(rows[:, HIGH], starts)
    bars[:, LOW] = np.minimum.reduceat(rows[:, LOW], starts)
    for column in (LOTS, VALUE, COUNT):
        bars[:, column] = np.add.reduceat(rows[:, column], starts)
    return bars


def bar_starts(open_ns: np.ndarray, interval: str) -> np.ndarray:
    """When the bar of ``interval`` begins that holds each moment; weeks begin on Monday, all in UTC."""
    starts: np.ndarray = open_ns // INTERVALS[interval] * INTERVALS[interval]
    if interval == "1M":
        months = open_ns.astype("datetime64[ns]").astype("datetime64[M]")
        starts = months.astype("datetime64[ns]").astype(np.int64)
    elif interval == "1W":
        days = open_ns // DAY
        starts = (days - (days + 3) % 7) * DAY  # the epoch was a Thursday
    return starts


class History:
    """Trades and candles of every symbol of a venue, in bounded memory.

    Args:
        now: the venue's time; questions are answered as of then. It is not part of its pickle.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self._tapes: dict[Symbol, _Tape] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_tapes": self._tapes}

    # -- writing ---------------------------------------------------------------------------------

    def knows(self, symbol: Symbol) -> bool:
        return symbol in self._tapes

    def add(self, market: Market, opening: Decimal | None = None) -> None:
        """Know a symbol; its first bar opens at ``opening``, or at its first trade."""
        self._tapes[market.symbol] = _Tape(market, opening)

    def recall(
        self, symbol: Symbol, minutes: np.ndarray, days: np.ndarray, trades: Sequence[Execution]
    ) -> None:
        """Give a symbol a past: see ``Past`` in ``pairs.py`` for the shapes."""
        tape = self._tapes[symbol]
        tape.recall(minutes, days)
        tape.trades.extend(trades)

    def record(self, symbol: Symbol, executions: Sequence[Execution]) -> None:
        """Take trades in, in order of time."""
        tape = self._tapes[symbol]
        for execution in executions:
            tape.record(execution)

    # -- questions -------------------------------------------------------------------------------

    def trades(self, symbol: Symbol, limit: int = 500) -> list[PublicTrade]:
        """The last trades, newest first; none of a symbol that never traded."""
        tape = self._tapes.get(symbol)
        if tape is None:
            return []
        newest = reversed(tape.trades)
        return [
            PublicTrade(execution.trade_id, execution.price, execution.quantity, execution.taker_side, at_ns)
            for execution, _ in zip(newest, range(limit), strict=False)
            for at_ns in (execution.at_ns,)
        ]

    def candles(
        self,
        symbol: Symbol,
        interval: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
    ) -> list[Candle]:
        """Bars that open in ``[start_ns, end_ns)``, oldest first; the last one may still be growing.

        With a start the first ``limit`` of them, without one the last.

        Raises:
            DomainError: the venue has no such interval.
        """
        if interval not in INTERVALS:
            raise DomainError(f"{interval!r} is no interval of {', '.join(INTERVALS)}", interval=interval)
        tape = self._current(symbol)
        if tape is None or limit <= 0:
            return []
        bars = self._bars(tape, interval, (start_ns, end_ns), limit)
        tick, lot, unit = tape.market.tick, tape.market.lot, tape.market.tick * tape.market.lot
        return [
            Candle(
                symbol, at, first * tick, high * tick, low * tick, last * tick, lots * lot, value * unit
            )
            for at, first, high, low, last, lots, value, _ in bars.tolist()
        ]  # fmt: skip

    def _bars(
        self, tape: _Tape, interval: str, span: tuple[int | None, int | None], limit: int
    ) -> np.ndarray:
        start_ns, end_ns = span
        length = INTERVALS[interval]
        source, tail = (tape.minutes, [tape.row]) if length < DAY else (tape.days, [tape.day, tape.row])
        rows = source.view()
        # only the rows that can be part of an answer: a bar's rows begin less than its length after it
        first = 0 if start_ns is None else int(np.searchsorted(rows[:, OPEN_NS], start_ns - length))
        stop = len(rows) if end_ns is None else int(np.searchsorted(rows[:, OPEN_NS], end_ns + length))
        most = (limit + 3) * (length // (MINUTE if length < DAY else DAY))
        if start_ns is None:
            first = max(first, stop - most)
        elif stop - first > most + length // MINUTE:
            stop = first + most + length // MINUTE
        parts = [rows[first:stop]]
        if stop == len(rows):
            parts += [np.array([row], dtype=np.int64) for row in tail if row is not None]
        rows = np.concatenate(parts)
        bars = fold(rows, bar_starts(rows[:, OPEN_NS], interval))
        if first > 0 and length != MINUTE:
            bars = bars[1:]  # the first may be cut
        low = 0 if start_ns is None else int(np.searchsorted(bars[:, OPEN_NS], start_ns))
        high = len(bars) if end_ns is None else int(np.searchsorted(bars[:, OPEN_NS], end_ns))
        bars = bars[low:high]
        return bars[-limit:] if start_ns is None else bars[:limit]

    def day(self, symbol: Symbol) -> DayStats | None:
        """The last 24 hours, or None of a symbol that never traded."""
        tape = self._current(symbol)
        if tape is None or tape.row is None:
            return None
        rows = tape.minutes.view()[-1439:]
        rows = rows[rows[:, OPEN_NS] > tape.row[OPEN_NS] - DAY]
        row, (tick, lot) = tape.row, (tape.market.tick, tape.market.lot)
        now_ns = self.now()
        if not len(rows):
            first, high, low, sums = row[OPEN], row[HIGH], row[LOW], row[LOTS:]
        else:
            first = int(rows[0, OPEN])
            high, low = max(int(rows[:, HIGH].max()), row[HIGH]), min(int(rows[:, LOW].min()), row[LOW])
            sums = [int(rows[:, column].sum()) + row[column] for column in (LOTS, VALUE, COUNT)]
        return DayStats(
            first * tick, high * tick, low * tick, row[CLOSE] * tick, sums[0] * lot, sums[1] * tick * lot,
            max(now_ns - DAY, int(rows[0, OPEN_NS]) if len(rows) else row[OPEN_NS]), now_ns, sums[2],
        )  # fmt: skip

    def _current(self, symbol: Symbol) -> _Tape | None:
        """The symbol's tape, taken to the present minute."""
        tape = self._tapes.get(symbol)
        if tape is None or tape.row is None:
            return None
        minute = self.now() // MINUTE * MINUTE
        if minute > tape.row[OPEN_NS]:
            tape.roll(minute)
        return tape
