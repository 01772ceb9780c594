"""Correlations of many symbols at once: from aligned returns to a matrix, gaps masked, noise shrunk.

A missing bar is missing: it is neither filled nor counted as a return of zero. Each pair is correlated
over the bars that both have, as if those alone were given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.correlation_kernels import FLAT, finish, polish, slots_of, standardise, tally_all
from mexclab.research.diversification import LEAST_COMMON
from mexclab.research.windows import Panel, span, utc

MOST = 400_000_000  # returns of all symbols together: 3.2 GB


@dataclass(frozen=True, eq=False, slots=True)
class Returns:
    """Log returns of several symbols on one grid of time.

    Attributes:
        symbols: of the columns.
        times_ns: (T,) when each return is complete: the close of its bar, UTC.
        interval_ns: over how long a return is.
        values: (T, N) float64; NaN where the bar or the one before it is missing.
    """

    symbols: tuple[str, ...]
    times_ns: np.ndarray
    interval_ns: int
    values: np.ndarray

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.times_ns), len(self.symbols)):
            raise ParameterError(
                f"Returns are (times, symbols): {len(self.times_ns)} times and {len(self.symbols)} symbols "
                f"do not fit {self.values.shape}."
            )

    def __len__(self) -> int:
        return len(self.times_ns)

    def __repr__(self) -> str:
        missing = float(np.isnan(self.values).mean()) if self.values.size else 0.0
        return (
            f"Returns of {len(self.symbols):,} symbols over {span(self.interval_ns)}, {len(self):,} of them "
            f"to {utc(int(self.times_ns[-1])) if len(self) else 'nowhere'} UTC, {missing:.2%} missing"
        )

    def tail(self, count: int) -> Returns:
        """The last ``count`` of them; ParameterError where that is below 0."""
        if count < 0:
            raise ParameterError(f"The last returns are 0 or more, not {count}.", count=count)
        start = max(len(self) - count, 0)
        return Returns(self.symbols, self.times_ns[start:], self.interval_ns, self.values[start:])

    def only(self, symbols: tuple[str, ...]) -> Returns:
        """Of these symbols alone, in this order; ParameterError where one is not here."""
        at = [position_of(self.symbols, symbol) for symbol in symbols]
        return Returns(tuple(symbols), self.times_ns, self.interval_ns, self.values[:, at])


@dataclass(frozen=True, eq=False, slots=True)
class Correlation:
    """A correlation matrix that knows what it is of.

    Attributes:
        symbols: of rows and columns.
        matrix: (N, N) symmetric; NaN where two symbols share too few bars or one never moved in those.
        begins_ns, ends_ns: the half-open range of time that the returns cover.
        interval_ns: over how long a return is.
        rows: bars in that range.
        shrinkage: how far it was drawn towards no correlation at all, 0 to 1.
        notes: what was left out.
        common: bars that two symbols share, the mean over the pairs whose symbols moved; None: all rows.
    """

    symbols: tuple[str, ...]
    matrix: np.ndarray
    begins_ns: int
    ends_ns: int
    interval_ns: int
    rows: int
    shrinkage: float = 0.0
    notes: tuple[str, ...] = field(default=())
    common: float | None = None

    def __len__(self) -> int:
        return len(self.symbols)

    def between(self, first: str, second: str) -> float:
        """The correlation of two symbols; NaN where it is not known."""
        return float(self.matrix[position_of(self.symbols, first), position_of(self.symbols, second)])

    @property
    def pairs(self) -> np.ndarray:
        """(N (N - 1) / 2,) the known correlations above the diagonal."""
        upper = self.matrix[np.triu_indices(len(self), k=1)]
        known: np.ndarray = upper[np.isfinite(upper)]
        return known

    @property
    def average(self) -> float:
        """The mean of all known pairs; NaN where no pair is known."""
        pairs = self.pairs
        return float(pairs.mean()) if len(pairs) else float("nan")

    @property
    def table(self) -> pl.DataFrame:
        """A row per known pair: first, second, correlation; the strongest of either sign first."""
        first, second = np.triu_indices(len(self), k=1)
        found = self.matrix[first, second].astype(np.float64)
        order = np.argsort(-np.abs(np.where(np.isfinite(found), found, 0.0)), kind="stable")
        order = order[np.isfinite(found[order])]
        names = np.array(self.symbols, dtype=object)
        return pl.DataFrame(
            {
                "first": names[first[order]].tolist(),
                "second": names[second[order]].tolist(),
                "correlation": found[order],
            },
            schema={"first": pl.String, "second": pl.String, "correlation": pl.Float64},
        )

    @property
    def frame(self) -> pl.DataFrame:
        """The matrix, a column per symbol after ``symbol``."""
        columns = {name: self.matrix[:, at] for at, name in enumerate(self.symbols)}
        return pl.DataFrame({"symbol": self.symbols, **columns})

    def __repr__(self) -> str:
        shrunk = f", shrunk by {self.shrinkage:.1%}" if self.shrinkage else ""
        return (
            f"Correlation of {len(self):,} symbols over {self.rows:,} returns of {span(self.interval_ns)}, "
            f"{utc(self.begins_ns)} to {utc(self.ends_ns)} UTC: {self.average:.3f} on average{shrunk}"
        )


def aligned_returns(
    panel: Panel, start_ns: int | None = None, end_ns: int | None = None, every: int = 1
) -> Returns:
    """The log returns of a panel's symbols over ``every`` bars, on the grid of its first bar.

    Args:
        start_ns, end_ns: half-open range of bar open times; None: from the first, to the last.
        every: bars that make one return; it needs the closes at both of its ends, nothing between.

    Raises:
        ParameterError: ``every`` is below 1, the range ends before it starts, or there are too many returns.
        NotEnoughData: the range has no two stretches of ``every`` bars.
    """
    if every < 1:
        raise ParameterError(f"Returns are over 1 bar or more, not {every}.", every=every)
    step = panel.interval_ns
    counts = np.diff(panel.segment_start)
    origin = int(panel.segment_time.min())
    last = int((panel.segment_time + counts * step).max())
    begins = origin if start_ns is None else max(origin + -(-(start_ns - origin) // step) * step, origin)
    ends = last if end_ns is None else min(end_ns, last)
    if start_ns is not None and end_ns is not None and end_ns < start_ns:
        raise ParameterError("The range of returns ends before it starts: swap its start and its end.")
    rows = -(-(ends - begins) // step) if ends > begins else 0
    if rows < 2 * every:
        raise NotEnoughData(f"Returns over {every} bar(s) need {2 * every} bars; the range has {rows}.")
    taken = rows // every
    if taken * len(panel.symbols) > MOST:
        raise ParameterError(
            f"{taken:,} returns of {len(panel.symbols):,} symbols do not fit in memory: give a start, or "
            f"returns over more bars (every).",
            rows=taken,
        )
    logs = np.full((taken, len(panel.symbols)), np.nan)  # the last close of each stretch of ``every`` bars
    for segment, (symbol, first) in enumerate(zip(panel.segment_symbol, panel.segment_start, strict=False)):
        row = (int(panel.segment_time[segment]) - begins) // step
        low, high = max(row, 0), min(row + int(counts[segment]), taken * every)
        wanted = np.arange(low + (every - 1 - low) % every, high, every)
        logs[wanted // every, symbol] = panel.log_at(first + wanted - row)
    times = begins + step * every * np.arange(2, taken + 1)
    return Returns(panel.symbols, times, step * every, np.diff(logs, axis=0))


def correlate(returns: Returns, least: int = LEAST_COMMON, precision: str = "single") -> Correlation:
    """Pearson correlations of every pair over the bars that both have.

    Args:
        least: bars that two symbols must share.
        precision: "single" sums the standardised returns in float32, which is off by some 1e-6;
            "double" in float64.

    Raises:
        ParameterError: another precision, or ``least`` below 3.
        NotEnoughData: fewer than ``least`` returns, or no symbol.
    """
    if precision not in ("single", "double") or least < 3:
        raise ParameterError(
            f"precision is 'single' or 'double' and least 3 or more, not {precision!r}, {least}."
        )
    if len(returns) < least or not returns.symbols:
        raise NotEnoughData(f"Correlations need {least} returns of some symbols; there are {len(returns)}.")
    matrix = correlation_matrix(returns.values, least, np.float32 if precision == "single" else np.float64)
    return described(matrix, returns)


def common_rows(held: np.ndarray, matrix: np.ndarray) -> float:
    """The mean over pairs of the rows that both have; ``held`` (T, N) bool, of those known to ``matrix``."""
    alive = np.isfinite(np.diag(matrix))
    count = int(alive.sum())
    each = (held if alive.all() else held[:, alive]).sum(axis=1, dtype=np.int64)
    return float((each**2 - each).sum()) / max(count * (count - 1), 1)


def described(
    matrix: np.ndarray, returns: Returns, shrinkage: float = 0.0, common: float | None = None
) -> Correlation:
    """A matrix of these returns as a value, with a note of what is not known.

    ``common``: rows that two symbols share on average; None: counted in the returns.
    """
    unknown = int(np.isnan(matrix[np.triu_indices(len(matrix), k=1)]).sum())
    notes = (f"{unknown:,} pairs are not known: too few shared bars, or no movement",) if unknown else ()
    begins = int(returns.times_ns[0]) - returns.interval_ns
    span_ns = (begins, int(returns.times_ns[-1]))
    shared = common_rows(np.isfinite(returns.values), matrix) if common is None else common
    return Correlation(
        returns.symbols, matrix, *span_ns, returns.interval_ns, len(returns), shrinkage, notes, shared
    )


def correlation_matrix(
    values: np.ndarray, least: int = LEAST_COMMON, kind: type[np.floating] = np.float32
) -> np.ndarray:
    """(N, N) correlations of (T, N) returns, NaN where missing; each pair over the rows that both have."""
    scores, sums, squares, missing = standardised(values, kind)
    matrix: np.ndarray = scores.T @ scores
    slots = slots_of(missing)
    gappy = int(slots.max(initial=-1)) + 1
    if not gappy and len(values) >= least:
        polish(matrix, squares)
        return matrix
    lost, lost_squares = np.zeros((2, gappy, len(slots)))
    both = np.zeros((gappy, gappy), dtype=np.int64)
    tally_all(scores, np.isnan(values), slots, lost, lost_squares, both)
    moments = (sums, squares, missing, FLAT * squares)
    finish(matrix, moments, (slots, lost, lost_squares, both), len(values), least)
    return matrix


def standardised(
    values: np.ndarray, kind: type[np.floating] = np.float64
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores (T, N): columns less their mean and at unit length, 0 where missing; their sums and squares as
    stored (0 for a column that never moved), and how many rows each lacks."""
    returns = np.ascontiguousarray(values, dtype=np.float64)
    columns = returns.shape[1]
    scores, sums, squares = np.empty(returns.shape, dtype=kind), np.zeros(columns), np.zeros(columns)
    missing = np.zeros(columns, dtype=np.int64)
    standardise(returns, scores, sums, squares, missing)
    return scores, sums, squares, missing


def position_of(symbols: tuple[str, ...], symbol: str) -> int:
    """Where a symbol stands; ParameterError where it does not."""
    if symbol not in symbols:
        raise ParameterError(f"{symbol} is not among these {len(symbols)} symbols.", symbol=symbol)
    return symbols.index(symbol)
