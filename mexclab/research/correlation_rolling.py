"""Correlations that move on bar by bar: one row of returns comes, the oldest goes, the rest stays summed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.correlation import Correlation, Returns, common_rows, described
from mexclab.research.correlation_kernels import (
    FLAT,
    add_and_drop,
    finish,
    pack,
    tally,
    tally_all,
    unpack,
)
from mexclab.research.diversification import LEAST_COMMON

_LEFT_OVER = 1e-4  # of a peak, times FLAT: what rounding leaves of a jump that went is no movement


class RollingCorrelation:
    """The correlations over the last ``window`` returns, updated by each new row of them.

    Sums of products are kept in float64 for the upper triangle, so a new bar costs two multiplications and
    additions a pair. Rounding leaves a little behind in every sum; after each ``window`` additions all of
    them are made anew from the returns that are held, and :attr:`drift` says how far they had wandered.
    Memory for N symbols: 4 N² bytes for the sums and 8 N window for the returns; 24 N² more from the first
    missing bar on.

    Args:
        symbols: of the columns.
        window: returns that are looked at.
        least: returns that two symbols must share.

    Raises:
        ParameterError: no symbols, a symbol twice, or a window below ``least`` or ``least`` below 3.
    """

    def __init__(self, symbols: tuple[str, ...], window: int, least: int = LEAST_COMMON) -> None:
        if not symbols or len(set(symbols)) != len(symbols):
            raise ParameterError("A rolling correlation is of symbols, each named once.")
        if not 3 <= least <= window:
            raise ParameterError(
                f"The window of {window} returns must hold the {least} that pairs must share, 3 at least.",
                window=window,
                least=least,
            )
        count = len(symbols)
        self.symbols, self.window, self.least = symbols, window, least
        self.drift = 0.0
        self.rows = 0
        self._ring = np.zeros((window, count))  # returns as given, 0 where missing
        self._gaps = np.zeros((window, count), dtype=np.bool_)
        self._at = 0  # where the next row goes
        self._age = 0  # additions since the sums were made
        self._packed = np.zeros(count * (count + 1) // 2)
        self._sums, self._squares = np.zeros(count), np.zeros(count)
        self._peaks = np.zeros(count)  # the largest squares since the sums were made
        self._missing = np.zeros(count, dtype=np.int64)
        self._lost: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, row: np.ndarray) -> None:
        """One more row (N,) of log returns, NaN where missing; the oldest goes once the window is full.

        Raises:
            ParameterError: another shape, or an infinite return.
        """
        fresh, absent = self._checked(np.asarray(row, dtype=np.float64)[None])
        gone, left = self._ring[self._at].copy(), self._gaps[self._at].copy()
        full = self.rows == self.window
        self._ring[self._at], self._gaps[self._at] = fresh[0], absent[0]
        self._at = (self._at + 1) % self.window
        self.rows += 0 if full else 1
        add_and_drop(self._packed, fresh[0], gone)
        self._sums += fresh[0] - gone
        self._squares += fresh[0] ** 2 - gone**2
        self._peaks = np.maximum(self._peaks, self._squares)
        self._missing += absent[0].astype(np.int64) - left
        self._count_gaps(fresh[0], absent[0], 1)
        self._count_gaps(gone, left, -1)
        self._age += 1
        if self._age >= self.window:
            self.recompute()

    def extend(self, rows: np.ndarray) -> None:
        """Many rows (T, N), oldest first; by one product of matrices where that is the cheaper way."""
        rows = np.asarray(rows, dtype=np.float64)
        if 10 * len(rows) < self.window:
            for row in rows:
                self.add(row)
            return
        fresh, absent = self._checked(rows)
        for name, each in (("_ring", fresh), ("_gaps", absent)):
            held = np.roll(getattr(self, name), -self._at, axis=0)[self.window - self.rows :]
            kept = np.concatenate([held, each])[-self.window :]
            store = np.zeros_like(getattr(self, name))
            store[: len(kept)] = kept
            setattr(self, name, store)
        self.rows = min(self.rows + len(rows), self.window)
        self._at = self.rows % self.window
        self._make()

    def recompute(self) -> None:
        """Make every sum anew from the returns that are held, and note the drift of the correlations."""
        before = self.matrix() if self.rows >= self.least else None
        self._make()
        if before is not None:
            difference = np.abs(before - self.matrix())
            known = difference[np.isfinite(difference)]
            self.drift = max(self.drift, float(known.max(initial=0.0)))

    def matrix(self) -> np.ndarray:
        """(N, N) correlations over the returns held, float64; NaN where not known.

        Raises:
            NotEnoughData: fewer returns so far than pairs must share.
        """
        if self.rows < self.least:
            raise NotEnoughData(
                f"Correlations need {self.least} returns; {self.rows} came so far.", rows=self.rows
            )
        count = len(self.symbols)
        products = np.empty((count, count))
        unpack(self._packed, products)
        slots = np.where(self._missing > 0, np.arange(count), -1)
        none = (*np.zeros((2, 0, count)), np.zeros((0, 0), dtype=np.int64))
        floors = FLAT * np.maximum(self._squares, _LEFT_OVER * self._peaks)
        moments = (self._sums, self._squares, self._missing, floors)
        finish(products, moments, (slots, *(self._lost or none)), self.rows, self.least)
        return products

    def correlation(self, ends_ns: int, interval_ns: int) -> Correlation:
        """The matrix as a value; ``ends_ns`` is when the last return was complete."""
        times = ends_ns - interval_ns * np.arange(self.rows - 1, -1, -1)
        unread = np.broadcast_to(np.nan, (self.rows, len(self.symbols)))
        matrix = self.matrix()
        gaps = self._gaps[: self.rows]  # in no order, which is of no concern to a count
        common = common_rows(~gaps, matrix) if self._missing.any() else float(self.rows)
        return described(matrix, Returns(self.symbols, times, interval_ns, unread), common=common)

    def returns(self) -> np.ndarray:
        """(rows, N) the returns that are held, oldest first, NaN where missing."""
        start = self._at - self.rows
        order = np.arange(start, self._at) % self.window
        return np.where(self._gaps[order], np.nan, self._ring[order])

    def _checked(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if rows.ndim != 2 or rows.shape[1] != len(self.symbols):
            raise ParameterError(
                f"A row has one return for each of {len(self.symbols)} symbols, not shape {rows.shape[1:]}."
            )
        if np.isinf(rows).any():
            at = self.symbols[int(np.argmax(np.isinf(rows).any(axis=0)))]
            raise ParameterError(f"{at}: an infinite return; give NaN where a bar is missing.", symbol=at)
        absent = np.isnan(rows)
        return np.where(absent, 0.0, rows), absent

    def _count_gaps(self, row: np.ndarray, absent: np.ndarray, sign: int) -> None:
        columns = np.flatnonzero(absent)
        if not len(columns):
            return
        if self._lost is None:
            count = len(self.symbols)
            self._lost = (*np.zeros((2, count, count)), np.zeros((count, count), dtype=np.int64))
        tally(row, np.stack([columns, columns], axis=1), sign, *self._lost)

    def _make(self) -> None:
        held = self._ring[: self.rows]  # the order of rows is of no concern to a sum
        gaps = self._gaps[: self.rows]
        pack(held.T @ held, self._packed)
        self._sums, self._squares = held.sum(axis=0), (held**2).sum(axis=0)
        self._peaks, self._missing = self._squares.copy(), gaps.sum(axis=0)
        self._age = 0
        self._lost = None
        if self._missing.any():
            count = len(self.symbols)
            self._lost = (*np.zeros((2, count, count)), np.zeros((count, count), dtype=np.int64))
            tally_all(held, gaps, np.arange(count), *self._lost)


def rolling(
    returns: Returns, window: int, every: int = 1, least: int = LEAST_COMMON
) -> Iterator[Correlation]:
    """The correlation over each ``window`` returns, moving on by ``every``; each knows only its past.

    Raises:
        ParameterError: ``every`` below 1, or what :class:`RollingCorrelation` refuses.
        NotEnoughData: fewer returns than the window.
    """
    if every < 1:
        raise ParameterError(f"A window moves on by 1 return or more, not {every}.", every=every)
    if len(returns) < window:
        raise NotEnoughData(f"A window of {window} returns; there are {len(returns)}.")
    held = RollingCorrelation(returns.symbols, window, least)
    before = 0
    for end in range(window, len(returns) + 1, every):
        held.extend(returns.values[before:end])
        before = end
        yield held.correlation(int(returns.times_ns[end - 1]), returns.interval_ns)


def rolling_average(returns: Returns, window: int, every: int = 1) -> pl.DataFrame:
    """How closely everything moved together, by time: ts (the window's end), average, low, high, pairs.

    average is the mean of the known pairs, low and high their quartiles.
    """
    rows = []
    for found in rolling(returns, window, every):
        pairs = found.pairs
        low, high = np.quantile(pairs, [0.25, 0.75]) if len(pairs) else (np.nan, np.nan)
        rows.append((found.ends_ns // 1000, found.average, float(low), float(high), len(pairs)))
    schema = {"ts": pl.Int64, "average": pl.Float64, "low": pl.Float64, "high": pl.Float64, "pairs": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC"))
    )


def rolling_pair(returns: Returns, first: str, second: str, window: int) -> pl.DataFrame:
    """The correlation of two symbols over each ``window`` returns: ts (the window's end), correlation."""
    two = returns.only((first, second))
    rows = [(found.ends_ns // 1000, found.between(first, second)) for found in rolling(two, window)]
    frame = pl.DataFrame(rows, schema={"ts": pl.Int64, "correlation": pl.Float64}, orient="row")
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
