"""Panels of price history, and the windows that can be cut from them.

A panel keeps the bars of all its symbols end to end in one array, symbols in alphabetical order,
split into *segments*: runs of bars without a gap. A window is a start position in that array and a
length, and it lies inside one segment. So order of position is order of (symbol, time).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from mexclab.errors import DataError, NotEnoughData, ParameterError

SHORTEST, LONGEST = 10, 2000  # bars in a window


def utc(time_ns: int) -> str:
    """``time_ns`` as text, UTC, to the second: ``2026-06-01 12:30`` (seconds where they are not 0)."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")


def span(duration_ns: int) -> str:
    """A duration in the largest unit that divides it: ``1m``, ``4h``, ``90s``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if duration_ns % (size * 1_000_000_000) == 0:
            return f"{duration_ns // (size * 1_000_000_000)}{unit}"
    return f"{duration_ns}ns"


def check_length(length: int) -> None:
    """Raises ParameterError unless a window may have ``length`` bars."""
    if not SHORTEST <= length <= LONGEST:
        raise ParameterError(
            f"A window has {SHORTEST} to {LONGEST} bars, not {length}: choose another length.", length=length
        )


def z_normalised(log_prices: np.ndarray) -> np.ndarray:
    """Zero mean and unit (population) deviation along the last axis; shape and order kept, float64."""
    centred = log_prices - log_prices[..., :1]  # first the level, so that its digits do not cost accuracy
    centred = centred - centred.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """The window that we ask about.

    Args:
        values: (n,) prices, float64, positive; n from 10 to 2000.
        symbol: whose prices they are; it need not be in the panel that is searched.
        start_ns: open time of the first bar, UTC; nothing from later is used unless asked for.
        interval_ns: length of a bar.

    Raises:
        DataError: a price is not a positive, finite number.
        ParameterError: the window is too short, too long or not one row of numbers.
    """

    values: np.ndarray
    symbol: str
    start_ns: int
    interval_ns: int

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise ParameterError(
                f"A query is one row of prices, not shape {values.shape}.", shape=values.shape
            )
        check_length(len(values))
        _check_prices(self.symbol, self.start_ns + self.interval_ns * np.arange(len(values)), values)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @property
    def length(self) -> int:
        """Number of bars."""
        return len(self.values)

    @property
    def end_ns(self) -> int:
        """When the last bar closes (the end of the half-open range)."""
        return self.start_ns + self.length * self.interval_ns

    @property
    def normalised(self) -> np.ndarray:
        """(n,) z-normalised log prices."""
        return z_normalised(np.log(self.values))

    def __repr__(self) -> str:
        return (
            f"{self.symbol} {utc(self.start_ns)} to {utc(self.end_ns)} UTC, "
            f"{self.length} bars of {span(self.interval_ns)}"
        )


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """Bars of several symbols, which need not cover the same times. Build it with a ``from_`` method.

    Attributes:
        symbols: in alphabetical order.
        interval_ns: length of a bar.
        close: (bars,) prices, float64, all symbols end to end.
        log: (bars,) natural logarithms of ``close``.
        segment_symbol: (segments,) position of the segment's symbol in ``symbols``.
        segment_start: (segments + 1,) position of each segment's first bar, and the number of bars.
        segment_time: (segments,) open time of each segment's first bar, ns.
    """

    symbols: tuple[str, ...]
    interval_ns: int
    close: np.ndarray
    log: np.ndarray
    segment_symbol: np.ndarray
    segment_start: np.ndarray
    segment_time: np.ndarray

    @classmethod
    def from_frame(cls, frame: pl.DataFrame | pl.LazyFrame, interval_ns: int | None = None) -> Panel:
        """A panel from columns ``ts`` (Datetime, UTC, bar open), ``symbol`` and ``close``.

        Rows of one symbol must be in order of time; symbols may be mixed. ``interval_ns`` defaults to
        the commonest step between two bars.

        Raises:
            DataError: a missing column, a time that is no UTC Datetime, or what ``from_arrays`` refuses.
            NotEnoughData: no rows.
        """
        names = frame.collect_schema()
        missing = [name for name in ("ts", "symbol", "close") if name not in names]
        if missing:
            raise DataError(f"The frame has no column {', '.join(missing)}.", missing=missing)
        kind = names["ts"]
        if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
            raise DataError(f"Column ts must be a Datetime in UTC, not {kind}.", kind=str(kind))
        columns = (
            pl.col("ts").dt.epoch("ns"),
            pl.col("symbol").cast(pl.String),
            pl.col("close").cast(pl.Float64),
        )
        bars = frame.lazy().select(columns).collect()
        if bars["ts"].null_count() or bars["symbol"].null_count():
            raise DataError("A row has no ts or no symbol: drop it or repair it.")
        parts = bars.partition_by("symbol", maintain_order=True, as_dict=True)
        return cls.from_arrays(
            {str(key[0]): (part["ts"].to_numpy(), part["close"].to_numpy()) for key, part in parts.items()},
            interval_ns,
        )

    @classmethod
    def from_arrays(
        cls, series: Mapping[str, tuple[np.ndarray, np.ndarray]], interval_ns: int | None = None
    ) -> Panel:
        """A panel from ``{symbol: (times, close)}``: bar open times in ns (UTC) and prices, each (n,).

        Raises:
            DataError: prices that are NaN, infinite or not positive, times that repeat, run backwards
                or lie off the symbol's grid; it names the symbol and the time.
            NotEnoughData: no bars, or ``interval_ns`` is needed because no symbol has two.
        """
        taken = {
            symbol: (np.asarray(times, dtype=np.int64), np.asarray(close, dtype=np.float64))
            for symbol, (times, close) in sorted(series.items())
            if len(times)
        }
        if not taken:
            raise NotEnoughData("The panel would be empty: give it at least one bar.")
        for symbol, (times, close) in taken.items():
            if times.shape != close.shape or times.ndim != 1:
                raise DataError(f"{symbol}: {times.shape} times but {close.shape} prices.", symbol=symbol)
            _check_order(symbol, times)
            _check_prices(symbol, times, close)
        step = interval_ns if interval_ns is not None else _commonest_step(taken)
        if step <= 0:
            raise ParameterError(f"interval_ns must be positive, not {step}.", interval_ns=step)
        owners, starts, opened, offset = [], [], [], 0
        for position, (symbol, (times, _)) in enumerate(taken.items()):
            first = _segment_firsts(symbol, times, step)
            owners.append(np.full(len(first), position))
            starts.append(first + offset)
            opened.append(times[first])
            offset += len(times)
        close = np.concatenate([prices for _, prices in taken.values()])
        arrays = (
            close,
            np.log(close),
            np.concatenate(owners).astype(np.int64),
            np.append(np.concatenate(starts), offset).astype(np.int64),
            np.concatenate(opened),
        )
        for array in arrays:
            array.flags.writeable = False
        return cls(tuple(taken), int(step), *arrays)

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        gaps = len(self.segment_symbol) - len(self.symbols)
        last = self.segment_time + np.diff(self.segment_start) * self.interval_ns
        return (
            f"Panel of {len(self.symbols):,} symbol{'s' * (len(self.symbols) != 1)}, {len(self):,} bars of "
            f"{span(self.interval_ns)}, {utc(int(self.segment_time.min()))} to {utc(int(last.max()))} UTC, "
            f"{gaps:,} gap{'s' * (gaps != 1)}"
        )

    def segment_of(self, positions: np.ndarray) -> np.ndarray:
        """The segment that holds each bar position; same shape, int64."""
        return np.searchsorted(self.segment_start, positions, side="right") - 1

    def times(self, positions: np.ndarray) -> np.ndarray:
        """Open time in ns of the bar at each position; same shape, int64."""
        segment = self.segment_of(positions)
        return self.segment_time[segment] + (positions - self.segment_start[segment]) * self.interval_ns

    def log_at(self, positions: np.ndarray) -> np.ndarray:
        """Natural logarithm of the close at each bar position; same shape, float64."""
        return self.log[positions]

    def symbol_position(self, symbol: str) -> int:
        """Where ``symbol`` stands in ``symbols``; ParameterError when it is not there."""
        if symbol not in self.symbols:
            raise ParameterError(f"{symbol} is not in this panel: {self!r}.", symbol=symbol)
        return self.symbols.index(symbol)

    def window(
        self, symbol: str, *, start_ns: int | None = None, end_ns: int | None = None, length: int
    ) -> Query:
        """The ``length`` bars of ``symbol`` that start at ``start_ns`` or close at ``end_ns``.

        With neither, the latest ``length`` bars.

        Raises:
            ParameterError: an unknown symbol, a length outside 10..2000, or both ends given.
            NotEnoughData: those bars are not all there; a window never straddles a gap.
        """
        check_length(length)
        owned = np.flatnonzero(self.segment_symbol == self.symbol_position(symbol))
        if start_ns is not None and end_ns is not None:
            raise ParameterError("Give start_ns or end_ns, not both: the length fixes the other end.")
        step = self.interval_ns
        begins = self.segment_time[owned]
        ends = begins + np.diff(self.segment_start)[owned] * step
        if start_ns is None:
            start_ns = int(ends[-1] if end_ns is None else end_ns) - length * step
        inside = (begins <= start_ns) & (start_ns + length * step <= ends) & ((start_ns - begins) % step == 0)
        if not inside.any():
            raise NotEnoughData(
                f"{symbol} has no {length} unbroken bars from {utc(start_ns)}: its bars run from "
                f"{utc(int(begins[0]))} to {utc(int(ends[-1]))} UTC in {len(owned)} piece(s).",
                symbol=symbol,
                start_ns=start_ns,
                length=length,
            )
        segment = owned[int(np.argmax(inside))]
        first = int(self.segment_start[segment] + (start_ns - self.segment_time[segment]) // step)
        return Query(self.close[first : first + length], symbol, int(start_ns), step)


@dataclass(frozen=True, eq=False, slots=True)
class Windows:
    """All windows of one length whose first bar lies in given runs of positions.

    Attributes:
        starts: (runs,) first start position of each run, ascending, int64.
        counts: (runs,) how many consecutive start positions it has, int64.
        length: bars in a window.
    """

    starts: np.ndarray
    counts: np.ndarray
    length: int

    @property
    def total(self) -> int:
        """How many windows there are."""
        return int(self.counts.sum())

    def positions(self) -> np.ndarray:
        """(total,) every start position, ascending."""
        before = np.cumsum(self.counts) - self.counts
        return np.arange(self.total) + np.repeat(self.starts - before, self.counts)


def windows_within(panel: Panel, length: int, latest_end_ns: int | None = None, after: int = 0) -> Windows:
    """The windows of ``length`` bars with ``after`` more bars behind them, all before ``latest_end_ns``.

    ``latest_end_ns`` is when the last of those bars may close; None for no limit.
    """
    room = np.diff(panel.segment_start)
    if latest_end_ns is not None:
        room = np.minimum(room, (latest_end_ns - panel.segment_time) // panel.interval_ns)
    counts = room - length - after + 1
    kept = counts > 0
    return Windows(panel.segment_start[:-1][kept], counts[kept], length)


def _check_prices(symbol: str, times: np.ndarray, close: np.ndarray) -> None:
    wrong = ~(np.isfinite(close) & (close > 0.0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{symbol} at {utc(int(times[at]))} UTC: close {close[at]} is not a positive, finite price.",
            symbol=symbol,
            time_ns=int(times[at]),
        )


def _check_order(symbol: str, times: np.ndarray) -> None:
    wrong = np.diff(times) <= 0
    if wrong.any():
        at = int(np.argmax(wrong))
        fault = "comes twice" if times[at + 1] == times[at] else "runs backwards"
        raise DataError(
            f"{symbol}: time {utc(int(times[at + 1]))} UTC {fault}. Sort the bars and keep one of each.",
            symbol=symbol,
            time_ns=int(times[at + 1]),
        )


def _segment_firsts(symbol: str, times: np.ndarray, step: int) -> np.ndarray:
    off = (times - times[0]) % step != 0
    if off.any():
        at = int(times[np.argmax(off)])
        raise DataError(
            f"{symbol}: time {utc(at)} UTC is off its grid of {span(step)}.", symbol=symbol, time_ns=at
        )
    return np.concatenate([[0], np.flatnonzero(np.diff(times) != step) + 1])


def _commonest_step(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> int:
    steps = np.concatenate([np.diff(times) for times, _ in series.values()])
    if not len(steps):
        raise NotEnoughData("No symbol has two bars, so the interval is unknown: give interval_ns.")
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])
