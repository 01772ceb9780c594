"""Intervals that hold as often as they say: calibrated on what earlier ones missed, point in time.

A forecast names a lower and an upper bound. How far past outcomes lay outside of theirs tells by how
much the next bounds must move (conformalised quantile regression: Romano, Patterson and Candes, 2019).
Only outcomes that were known when a forecast was made are used for it. Because markets change, the
level itself is nudged after every miss and every hit (adaptive conformal inference: Gibbs and Candes,
2021), which keeps the long-run share of misses near the wanted one whatever the market does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import statistics


@dataclass(frozen=True, slots=True)
class ConformalOptions:
    """How intervals are calibrated.

    Args:
        level: the share of outcomes that intervals should hold.
        window: how many of the latest known outcomes to calibrate on.
        fewest: no interval before so many are known.
        rate: how strongly one miss moves the level; 0 for plain rolling calibration.
    """

    level: float = 0.9
    window: int = 250
    fewest: int = 30
    rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0 or not 0.0 <= self.rate < 1.0:
            raise ParameterError(f"level and rate are shares: {self!r}.")
        if not 2 <= self.fewest <= self.window:
            raise ParameterError(f"fewest is from 2 up to window: {self!r}.")


@dataclass(frozen=True, eq=False, slots=True)
class Forecasts:
    """Bounds that were named one after the other, and what came.

    Args:
        low, high: (n,) bounds, in the unit of ``actual``.
        actual: (n,) outcomes.
        scale: (n,) positive; misses are compared in units of it, such as the volatility when it was said.
        made_ns: (n,) when each was made, ascending.
        known_ns: (n,) when its outcome was known.

    Raises:
        ParameterError: shapes that differ, a forecast made after its outcome, or not in order of time.
    """

    low: np.ndarray
    high: np.ndarray
    actual: np.ndarray
    scale: np.ndarray
    made_ns: np.ndarray
    known_ns: np.ndarray

    def __post_init__(self) -> None:
        arrays = (self.low, self.high, self.actual, self.scale, self.made_ns, self.known_ns)
        if len({array.shape for array in arrays}) != 1 or self.low.ndim != 1:
            raise ParameterError("The bounds, outcomes, scales and times of forecasts are of one length.")
        if (np.diff(self.made_ns) < 0).any() or (self.known_ns <= self.made_ns).any():
            raise ParameterError("Forecasts come in order of time, each before its outcome.")
        if not (self.scale > 0).all():
            raise ParameterError("A forecast's scale is positive.")
        if any(np.isnan(array).any() for array in (self.low, self.high, self.actual)):
            raise ParameterError("A forecast's bounds and outcome are numbers: leave out what is not known.")

    def __len__(self) -> int:
        return len(self.low)

    @property
    def misses(self) -> np.ndarray:
        """(n,) how far each outcome lay outside its bounds, in scales; negative inside."""
        missed = np.maximum(self.low - self.actual, self.actual - self.high)
        scaled: np.ndarray = missed / self.scale
        return scaled


@dataclass(frozen=True, eq=False, slots=True)
class Conformal:
    """Calibrated intervals and how often they held.

    Attributes:
        table: a row per forecast that got an interval: made, known (UTC), low, high, actual, inside,
            raw_low, raw_high, raw_inside (the bounds as they were named), calibrated_on, level (the one
            in force).
        coverage, raw_coverage: shares of outcomes inside; low_coverage and high_coverage are
            Wilson's 95 % interval of the first, outcomes that overlap in time counted once.
        margin: what the next forecast's bounds must move outwards by, in its scale.
        level: the share that was wanted.
        verdict: one sentence.
    """

    table: pl.DataFrame
    coverage: float
    low_coverage: float
    high_coverage: float
    raw_coverage: float
    margin: float
    level: float
    verdict: str

    def interval(self, low: float, high: float, scale: float) -> tuple[float, float]:
        """The calibrated bounds of the next forecast."""
        return low - self.margin * scale, high + self.margin * scale

    def __repr__(self) -> str:
        return f"{self.table.height} calibrated intervals at {self.level:.0%}\n{self.verdict}"


def conformal(forecasts: Forecasts, options: ConformalOptions = ConformalOptions()) -> Conformal:
    """Calibrate ``forecasts`` one after the other and count how often they held.

    Raises:
        NotEnoughData: no forecast has ``options.fewest`` known outcomes before it.
    """
    misses = forecasts.misses
    order = np.argsort(forecasts.known_ns, kind="stable")
    known = np.searchsorted(forecasts.known_ns[order], forecasts.made_ns, side="right")
    count = len(forecasts)
    margins, levels, used = np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, np.int64)
    level, told = options.level, 0
    for at in range(count):
        level = _nudged(level, misses[order[told : known[at]]], margins[order[told : known[at]]], options)
        told = int(known[at])
        if told >= options.fewest:
            recent = misses[order[max(0, told - options.window) : told]]
            margins[at], levels[at], used[at] = _margin(recent, level), level, len(recent)
    issued = ~np.isnan(margins)
    if not issued.any():
        raise NotEnoughData(
            f"None of {count} forecasts has {options.fewest} known outcomes before it: make more of them.",
            forecasts=count,
        )
    last = misses[order[max(0, count - options.window) :]]
    level = _nudged(level, misses[order[told:]], margins[order[told:]], options)
    columns = {"margin": margins, "level": levels, "used": used}
    table = _table(forecasts, issued, columns)
    return _counted(table, _margin(last, level), options)


def _nudged(level: float, misses: np.ndarray, margins: np.ndarray, options: ConformalOptions) -> float:
    """The level after these outcomes have come to be known; those without an interval teach nothing."""
    for miss, margin in zip(misses, margins, strict=True):
        if not np.isnan(margin):
            level += options.rate * ((miss > margin) - (1.0 - options.level))
    return level


def _margin(misses: np.ndarray, level: float) -> float:
    """The smallest margin that would have held the share ``level`` of them, one more to come counted in.

    Infinite where that is more than all of them; all of nothing is the smallest there is.
    """
    rank = int(np.ceil(level * (len(misses) + 1)))
    if rank > len(misses):
        return float("inf")
    return float(np.partition(misses, max(0, rank - 1))[max(0, rank - 1)])


def _table(forecasts: Forecasts, issued: np.ndarray, columns: dict[str, np.ndarray]) -> pl.DataFrame:
    moment = pl.Datetime("ns", "UTC")
    reach = columns["margin"] * forecasts.scale
    low, high, actual = forecasts.low - reach, forecasts.high + reach, forecasts.actual
    return pl.DataFrame(
        {
            "made": pl.Series(forecasts.made_ns[issued]).cast(moment),
            "known": pl.Series(forecasts.known_ns[issued]).cast(moment),
            "low": low[issued],
            "high": high[issued],
            "actual": actual[issued],
            "inside": ((low <= actual) & (actual <= high))[issued],
            "raw_low": forecasts.low[issued],
            "raw_high": forecasts.high[issued],
            "raw_inside": (forecasts.misses <= 0)[issued],
            "calibrated_on": columns["used"][issued],
            "level": columns["level"][issued],
        }
    )


def _counted(table: pl.DataFrame, margin: float, options: ConformalOptions) -> Conformal:
    inside = table["inside"].to_numpy().astype(np.float64)
    made, known = table["made"].dt.epoch("ns").to_numpy(), table["known"].dt.epoch("ns").to_numpy()
    coverage, raw = float(inside.mean()), float(table["raw_inside"].mean())  # type: ignore[arg-type]
    low, high = statistics.share_interval(coverage, table.height / overlap_of(made, known))
    word = "hold what they say" if low <= options.level <= high else "do not hold what they say"
    verdict = (
        f"intervals {word}: of {table.height} that were meant to hold {options.level:.0%} of outcomes "
        f"{coverage:.1%} did (95 % interval {low:.1%} to {high:.1%}); as they were named, before "
        f"calibration, the same bounds held {raw:.1%}."
    )
    return Conformal(table, coverage, low, high, raw, margin, options.level, verdict)


def overlap_of(made_ns: np.ndarray, known_ns: np.ndarray) -> int:
    """The most forecasts that wait for their outcomes at once, 1 or more."""
    waiting = np.searchsorted(made_ns, known_ns, side="left") - np.arange(len(made_ns))
    return int(waiting.max())


def block_of(made_ns: np.ndarray, known_ns: np.ndarray) -> int:
    """Neighbours in a bootstrap block: as many as overlap in time, and no fewer than the cube root."""
    return max(int(np.ceil(len(made_ns) ** (1 / 3))), overlap_of(made_ns, known_ns))
