"""When a symbol stops moving with the others: alarms, bar by bar, from what was known at the bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mexclab.domain.clock import written
from mexclab.errors import ParameterError

_SPELL = 30  # returns over which volatility is taken to last
_CALMEST = 0.01  # of the usual variance


@dataclass(frozen=True, slots=True)
class BreakOptions:
    """When a tie counts as broken.

    Attributes:
        recent: the latest returns, in which the tie may be broken.
        before: the returns before those, in which it must have held.
        tie: correlation with the rest that a symbol must have had before, else there is nothing to break.
        drop: how far the correlation must have fallen, in standard errors of Fisher's z. On ties that
            hold, under fat tails and spells of common volatility, 5 gave an alarm in about 1 of 1,000 symbol
            days of one-minute returns; see ``benchmarks/correlation.py``.
        clip: returns count at most so many deviations, so that one bar alone breaks nothing.
        fewest: symbols with a return that make a market.
    """

    recent: int = 120
    before: int = 1440
    tie: float = 0.3
    drop: float = 5.0
    clip: float = 3.0
    fewest: int = 5

    def __post_init__(self) -> None:
        if not 10 <= self.recent <= self.before or self.fewest < 3:
            raise ParameterError(
                f"The recent returns are 10 or more and no more than those before, of 3 symbols: {self!r}."
            )
        if not 0 < self.tie < 1 or self.drop <= 0 or self.clip <= 0:
            raise ParameterError(f"The tie is a correlation above 0, drop and clip are positive: {self!r}.")


DEFAULT = BreakOptions()


@dataclass(frozen=True, slots=True)
class Break:
    """A symbol has come loose from the others.

    Attributes:
        symbol: which.
        at_ns: the close of the bar at which it was seen, UTC.
        before: its correlation with the mean of the others, before.
        recent: the same over the latest returns.
        drop: the fall in standard errors, beyond that of the others.
        peers: how many others it was held against, on average.
    """

    symbol: str
    at_ns: int
    before: float
    recent: float
    drop: float
    peers: int

    def __repr__(self) -> str:
        return (
            f"{self.symbol} came loose at {written(self.at_ns)}: correlation with {self.peers} others "
            f"{self.before:.2f} before, {self.recent:.2f} now ({self.drop:.1f} standard errors)"
        )


def _moments(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(6, N) what a row adds to the sums of x, y, x², y², xy and to their number."""
    held = np.isfinite(own) & np.isfinite(others)
    x, y = np.where(held, own, 0.0), np.where(held, others, 0.0)
    return np.stack([x, y, x * x, y * y, x * y, held])


def _correlation(sums: np.ndarray, least: int) -> np.ndarray:
    """(N,) correlations, NaN where fewer than ``least`` rows are held or nothing moved."""
    x, y, xx, yy, xy, n = sums
    rows = np.maximum(n, 1.0)
    across, down = xx - x * x / rows, yy - y * y / rows
    known = (n >= least) & (across > 1e-9 * rows) & (down > 1e-9 * rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.clip((xy - x * y / rows) / np.sqrt(across * down), -0.9999, 0.9999)
    return np.where(known, found, np.nan)


def medians_of_others(falls: np.ndarray) -> np.ndarray:
    """(M,) for each of M falls the median of the rest; 0 for one alone."""
    count = len(falls)
    if count < 2:
        return np.zeros(count)
    order = np.argsort(falls)
    ranked, rank = falls[order], np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    low, high = (
        (count - 2) // 2,
        (count - 1) // 2,
    )  # of the rest: what is ranked above the left out moves down
    middle: np.ndarray = (ranked[low + (low >= rank)] + ranked[high + (high >= rank)]) / 2.0
    return middle


class BreakWatch:
    """Held against the mean of all others, bar by bar; an alarm when a tie that was there is gone.

    Each return counts in units of the volatility that the symbol's last returns foretell. When the market
    grows quiet every tie loosens, so a fall counts only as far as it exceeds the median fall of the other
    symbols that were tied. The same symbol alarms again only after its tie was seen to come half the way
    back; a halt, in which it is not known, is no return.

    Args:
        symbols: of the columns.
        options: when a tie counts as broken.

    Raises:
        ParameterError: fewer symbols than make a market.
    """

    def __init__(self, symbols: Sequence[str], options: BreakOptions = DEFAULT) -> None:
        if len(symbols) < options.fewest:
            raise ParameterError(
                f"A market is {options.fewest} symbols or more, not {len(symbols)}: watch more of them."
            )
        self.symbols, self.options = tuple(symbols), options
        count, kept = len(self.symbols), options.recent + options.before
        self.loose = np.zeros(count, dtype=np.bool_)  # who has alarmed and not come back
        self._level, self._usual, self._known = np.zeros((3, count))
        self._rows = np.zeros((kept, 6, count), dtype=np.float32)  # what leaves is what was added
        self._recent, self._before = np.zeros((2, 6, count))
        self._peers = np.full(kept, np.nan)
        self._seen = 0

    def see(self, at_ns: int, row: np.ndarray) -> tuple[Break, ...]:
        """One more row (N,) of returns, NaN where missing, complete at ``at_ns``; who came loose with it.

        Raises:
            ParameterError: another number of returns.
        """
        row = np.asarray(row, dtype=np.float64)
        if row.shape != (len(self.symbols),):
            raise ParameterError(
                f"A row has one return for each of {len(self.symbols)} symbols, not {row.shape}."
            )
        self._place(*self._scored(np.where(np.isfinite(row), row, np.nan)))
        self._seen += 1
        if self._seen < self.options.recent + self.options.before:
            return ()
        return self._alarms(at_ns)

    def _scored(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """The row in deviations, the mean of the others for each symbol, and how many there are."""
        ready = (self._known >= _SPELL) & (self._level > 0)
        own = np.full(len(row), np.nan)
        own[ready] = np.clip(row[ready] / np.sqrt(self._level[ready]), -self.options.clip, self.options.clip)
        self._learn(row)
        held = np.isfinite(own)
        peers = int(held.sum())
        if peers < self.options.fewest:
            return own, np.full(len(row), np.nan), 0
        total = own[held].sum()
        return own, np.where(held, (total - own) / (peers - 1), np.nan), peers - 1

    def _learn(self, row: np.ndarray) -> None:
        """What is usual for each symbol: its variance over a spell, and over all of ``before``."""
        held = np.isfinite(row)
        square = row[held] ** 2
        self._known[held] += 1
        seen = self._known[held]
        slow = 2.0 / (np.minimum(seen, self.options.before) + 1.0)
        self._usual[held] += slow * (square - self._usual[held])
        level = self._level[held]
        spell = 2.0 / (np.minimum(seen, _SPELL) + 1.0)
        bound = np.where(seen <= _SPELL, square, np.minimum(square, 25.0 * level))
        # one bar alone makes no spell, nor do bars without a trade make an endless calm
        self._level[held] = np.maximum(level + spell * (bound - level), _CALMEST * self._usual[held])

    def _place(self, own: np.ndarray, others: np.ndarray, peers: int) -> None:
        """Into the recent sums; what leaves them goes to those before, and what leaves those is gone."""
        kept = len(self._rows)
        oldest = self._rows[self._seen % kept]
        leaving = self._rows[(self._seen - self.options.recent) % kept]
        self._before += leaving
        self._before -= oldest
        oldest[:] = _moments(own, others)
        self._recent += oldest
        self._recent -= leaving
        self._peers[self._seen % kept] = peers

    def _alarms(self, at_ns: int) -> tuple[Break, ...]:
        options = self.options
        before = _correlation(self._before, options.before // 2)
        recent, rows = _correlation(self._recent, options.recent // 2), self._recent[5]
        fall = (np.arctanh(before) - np.arctanh(recent)) * np.sqrt(np.maximum(rows - 3.0, 1.0))
        known = np.isfinite(fall)
        fall = np.where(known, fall, 0.0)
        tied = known & (before >= options.tie)
        market = np.full(len(fall), np.median(fall[tied]) if tied.any() else 0.0)
        market[tied] = medians_of_others(fall[tied])
        fall = fall - np.maximum(market, 0.0)
        alarm = tied & (fall >= options.drop) & ~self.loose
        self.loose = (self.loose | alarm) & ~(known & (fall < options.drop / 2))
        peers = round(float(np.mean(self._peers)))
        return tuple(
            Break(self.symbols[at], at_ns, float(before[at]), float(recent[at]), float(fall[at]), peers)
            for at in np.flatnonzero(alarm)
        )
