"""Panels of price history, and the windows that can be cut from them.

A panel numbers the bars of all its symbols from 0, symbols in alphabetical order, each in order of time:
a bar's *position*. Order of position is order of (symbol, time). *Segments* are runs of bars without a
gap. A window is a start position and a length, and it lies inside one segment. Where the bars lie in
memory is another matter, which :mod:`mexclab.research.lanes` explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
import polars as pl

from mexclab.errors import DataError, NotEnoughData, ParameterError
from mexclab.research import lanes
from mexclab.research.lanes import LANES, Group, Runs
from mexclab.research.prepared import PreparedLengths
from mexclab.research.query import Query as Query
from mexclab.research.query import check_length as check_length
from mexclab.research.query import z_normalised as z_normalised
from mexclab.research.series import (
    CHANNELS,
    Series,
    check_grid,
    check_order,
    check_prices,
    commonest_step,
    filled,
    series_of,
)
from mexclab.research.series import span as span
from mexclab.research.series import utc as utc


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """Bars of several symbols, which need not cover the same times. Build it with a ``from_`` method.

    Attributes:
        symbols: in alphabetical order.
        interval_ns: length of a bar.
        groups: how the cells are laid out.
        flat: (cells,) natural logarithms of the closes, float64; NaN where there is no bar.
        channels: (cells,) float64 each, by name: "volume" is log(1 + volume), "range" log(high / low).
        segment_symbol: (segments,) position of the segment's symbol in ``symbols``.
        segment_start: (segments + 1,) position of each segment's first bar, and the number of bars.
        segment_time: (segments,) open time of each segment's first bar, ns.
        segment_cell: (segments,) cell of each segment's first bar; the next bar is LANES cells further.
        prepared: what searches keep of it for later ones, so the cells must not change any more. New bars
            make a new panel. ``prepared.limit_bytes = 0`` keeps nothing.
    """

    symbols: tuple[str, ...]
    interval_ns: int
    groups: tuple[Group, ...]
    flat: np.ndarray
    channels: Mapping[str, np.ndarray]
    segment_symbol: np.ndarray
    segment_start: np.ndarray
    segment_time: np.ndarray
    segment_cell: np.ndarray
    prepared: PreparedLengths = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prepared", PreparedLengths(self.flat.nbytes))

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame | pl.LazyFrame,
        interval_ns: int | None = None,
        *,
        channels: Sequence[str] = (),
        fill: int = 0,
    ) -> Panel:
        """A panel from columns ``ts`` (Datetime, UTC, bar open), ``symbol`` and ``close``.

        Rows of one symbol must be in order of time; symbols may be mixed. ``interval_ns`` defaults to
        the commonest step between two bars.

        Args:
            channels: "volume" (from column volume) and "range" (from high and low), if wanted.
            fill: carry the last close over gaps of at most so many bars; longer ones stay gaps.

        Raises:
            DataError: a missing column, a time that is no UTC Datetime, or what ``from_arrays`` refuses.
            NotEnoughData: no rows.
            ParameterError: an unknown channel, or a negative ``fill``.
        """
        return cls._from_series(series_of(frame, _known(channels)), interval_ns, fill)

    @classmethod
    def from_arrays(
        cls,
        series: Mapping[str, tuple[np.ndarray, np.ndarray]],
        interval_ns: int | None = None,
        *,
        channels: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        fill: int = 0,
    ) -> Panel:
        """A panel from ``{symbol: (times, close)}``: bar open times in ns (UTC) and prices, each (n,).

        Args:
            channels: ``{channel: {symbol: values}}``, (n,) each, in the units of the attribute.
            fill: carry the last close over gaps of at most so many bars; longer ones stay gaps.

        Raises:
            DataError: prices that are NaN, infinite or not positive, times that repeat, run backwards
                or lie off the symbol's grid; it names the symbol and the time.
            NotEnoughData: no bars, or ``interval_ns`` is needed because no symbol has two.
            ParameterError: an unknown channel, or a negative ``fill``.
        """
        names = _known(tuple(channels or ()))
        every = {}
        for symbol, (times, close) in series.items():
            own = {name: np.asarray(channels[name][symbol], np.float64) for name in names} if channels else {}
            every[symbol] = Series(np.asarray(times, np.int64), np.asarray(close, np.float64), own)
        return cls._from_series(every, interval_ns, fill)

    @classmethod
    def _from_series(cls, series: Mapping[str, Series], interval_ns: int | None, fill: int) -> Panel:
        every = {symbol: one for symbol, one in sorted(series.items()) if len(one.times)}
        if not every:
            raise NotEnoughData("The panel would be empty: give it at least one bar.")
        for symbol, one in every.items():
            _check_series(symbol, one)
        step = int(interval_ns if interval_ns is not None else commonest_step(every))
        if step <= 0 or fill < 0:
            raise ParameterError(f"interval_ns is positive and fill at least 0, not {step} and {fill}.")
        for symbol, one in every.items():
            check_grid(symbol, one.times, step)
            every[symbol] = filled(one, step, fill) if fill else one
        pieces = [
            piece for i, one in enumerate(every.values()) for piece in lanes.stretches(i, one.times, step)
        ]
        groups = lanes.arrange(pieces, step)
        flat = lanes.blank(groups[-1].end)
        channels = {name: lanes.blank(groups[-1].end) for name in next(iter(every.values())).channels}
        for i, one in enumerate(every.values()):
            cells = lanes.cells_of(groups, i, one.times, step)
            flat[cells] = np.log(one.close)
            for name, values in one.channels.items():
                channels[name][cells] = values
        return cls.from_lanes(tuple(every), step, groups, flat, channels)

    @classmethod
    def from_lanes(
        cls,
        symbols: Sequence[str],
        interval_ns: int,
        groups: Sequence[Group],
        flat: np.ndarray,
        channels: Mapping[str, np.ndarray] | None = None,
        runs: Runs | None = None,
    ) -> Panel:
        """A panel over cells that are laid out already, in memory or in a numpy memory map.

        Args:
            symbols: in alphabetical order, as the groups number them.
            flat, channels: see the attributes; they are not copied.
            runs: where the bars are, if that is known; else the NaNs in ``flat`` tell, in one pass.

        Raises:
            NotEnoughData: there is no bar.
        """
        found = lanes.runs_of(flat, groups, interval_ns) if runs is None else runs
        if not len(found.symbol):
            raise NotEnoughData("The panel would be empty: give it at least one bar.")
        starts = np.append(0, np.cumsum(found.bars))
        arrays = [found.symbol, starts, found.first_ns, found.cell]
        views = {name: _read_only(values) for name, values in (channels or {}).items()}
        return cls(
            tuple(symbols),
            int(interval_ns),
            tuple(groups),
            _read_only(flat),
            MappingProxyType(views),
            *(_read_only(array.astype(np.int64)) for array in arrays),
        )

    def __len__(self) -> int:
        return int(self.segment_start[-1])

    def __repr__(self) -> str:
        gaps = len(self.segment_symbol) - len(np.unique(self.segment_symbol))
        last = self.segment_time + np.diff(self.segment_start) * self.interval_ns
        return (
            f"Panel of {len(self.symbols):,} symbol{'s' * (len(self.symbols) != 1)}, {len(self):,} bars of "
            f"{span(self.interval_ns)}, {utc(int(self.segment_time.min()))} to {utc(int(last.max()))} UTC, "
            f"{gaps:,} gap{'s' * (gaps != 1)}"
        )

    def segment_of(self, positions: np.ndarray) -> np.ndarray:
        """The segment that holds each bar position; same shape, int64."""
        segments: np.ndarray = np.searchsorted(self.segment_start, positions, side="right") - 1
        return segments

    def times(self, positions: np.ndarray) -> np.ndarray:
        """Open time in ns of the bar at each position; same shape, int64."""
        segment = self.segment_of(positions)
        opened: np.ndarray = (
            self.segment_time[segment] + (positions - self.segment_start[segment]) * self.interval_ns
        )
        return opened

    def cells(self, positions: np.ndarray) -> np.ndarray:
        """Where the bar at each position lies in ``flat``; same shape, int64."""
        segment = self.segment_of(positions)
        found: np.ndarray = self.segment_cell[segment] + (positions - self.segment_start[segment]) * LANES
        return found

    def positions(self, symbols: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The positions of bars, given whose they are (positions in ``symbols``) and when they open, ns.

        The bars must be there: the answer for one that lies in a gap is some other bar. Same shape.
        """
        order = np.empty(len(self.segment_time), dtype=[("symbol", np.int64), ("time", np.int64)])
        order["symbol"], order["time"] = self.segment_symbol, self.segment_time
        wanted = np.empty(np.shape(symbols), dtype=order.dtype)
        wanted["symbol"], wanted["time"] = symbols, times
        segment = np.searchsorted(order, wanted, side="right") - 1
        placed: np.ndarray = (
            self.segment_start[segment] + (times - self.segment_time[segment]) // self.interval_ns
        )
        return placed

    def bars_at(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whose bars lie in ``cells`` (positions in ``symbols``), and when they open, ns; same shape."""
        offsets = np.array([group.offset for group in self.groups])
        opened = np.array([group.first_ns for group in self.groups])
        owners = np.array([group.symbols for group in self.groups])
        group = np.searchsorted(offsets, cells, side="right") - 1
        row, lane = np.divmod(cells - offsets[group], LANES)
        return owners[group, lane], opened[group] + row * self.interval_ns

    def log_at(self, positions: np.ndarray) -> np.ndarray:
        """Natural logarithm of the close at each bar position; same shape, float64."""
        logs: np.ndarray = self.flat[self.cells(positions)]
        return logs

    def symbol_position(self, symbol: str) -> int:
        """Where ``symbol`` stands in ``symbols``; ParameterError when it is not there, with what is near."""
        if symbol not in self.symbols:
            near = get_close_matches(symbol.upper(), self.symbols, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "see lab.symbols() for those there are."
            raise ParameterError(f"{symbol!r} is not in this {self!r}; {hint}", symbol=symbol)
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
        first = self.segment_cell[segment] + (start_ns - self.segment_time[segment]) // step * LANES
        cells = first + np.arange(length) * LANES
        known = {name: values[cells] for name, values in self.channels.items()}
        return Query(np.exp(self.flat[cells]), symbol, int(start_ns), step, known)


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
        positions: np.ndarray = np.arange(self.total) + np.repeat(self.starts - before, self.counts)
        return positions


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


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.asarray(array).view()  # of a memory map, too, a plain array
    view.flags.writeable = False
    return view


def _known(channels: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        raise ParameterError(f"There is no channel {unknown[0]}: choose among {', '.join(CHANNELS)}.")
    return tuple(channels)


def _check_series(symbol: str, one: Series) -> None:
    if one.times.shape != one.close.shape or one.times.ndim != 1:
        raise DataError(f"{symbol}: {one.times.shape} times but {one.close.shape} prices.", symbol=symbol)
    check_order(symbol, one.times)
    check_prices(symbol, one.times, one.close)
    for name, values in one.channels.items():
        if values.shape != one.times.shape or not np.isfinite(values).all():
            raise DataError(f"{symbol}: {name} is not {len(one.times)} finite numbers.", symbol=symbol)
