"""Tail risk: what a book of holdings may lose within a horizon, from what its prices have done.

Two simulations, both without a model of the distribution and without random numbers, so that a decision can
be made again and come out the same:

historical
    every window of ``horizon`` rows that the history holds is one scenario. The windows overlap: a day has
    24 separate hours, but 1,381 that overlap, and inside each window the prices keep the order, the
    autocorrelation and the bursts that they had. A bootstrap of single rows would lose exactly those, and
    understates the loss of coins that fall for minutes on end.
filtered
    each row is first divided by the volatility of its own moment and multiplied by that of now, both by an
    exponentially weighted moving average (Hull and White, "Incorporating volatility updating into the
    historical simulation method for value-at-risk", Journal of Risk 1(1), 1998; Barone-Adesi, Giannopoulos
    and Vosper, "VaR without correlations for portfolios of derivative securities", Journal of Futures
    Markets 19(5), 1999); windows are taken of the result. A calm history does not hide a storm of now.

Expected shortfall is the mean of the worst share of the scenarios, the last of them counted in part, which
makes it coherent (Acerbi and Tasche, "On the coherence of expected shortfall", Journal of Banking & Finance
26(7), 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mexclab.errors import DataError, NotEnoughData, ParameterError

Returns: TypeAlias = np.ndarray
"""Logarithmic returns (T, N), oldest row first; NaN where a symbol was not known yet."""

Method: TypeAlias = Literal["historical", "filtered"]

MOST_SCALE = 10.0  # minutes without a trade bring a moving volatility to nothing; no row counts more than so
MOST_GAIN = 50.0  # logarithmic: no price rises further, and its exponential still is a number
_BLOCK = 4096  # rows whose weights are held at once: the decay to this power is still a number


@dataclass(frozen=True, slots=True)
class TailOptions:
    """How the tail is looked at.

    Args:
        tail: share of the worst scenarios, in (0, 0.5).
        horizon: rows ahead.
        unknown_loss: fraction that a symbol loses whose history has a gap, 0..1.
        decay: weight of yesterday's variance in today's (RiskMetrics' lambda), in (0.8, 1).
        most: scenarios at most; more windows than that are thinned evenly.

    Raises:
        ParameterError: a value is out of its range.
    """

    tail: float = 0.05
    horizon: int = 1
    unknown_loss: float = 0.70
    decay: float = 0.97
    most: int = 100_000

    def __post_init__(self) -> None:
        rules = (
            (0 < self.tail < 0.5, f"tail {self.tail} is not between 0 and 0.5"),
            (self.horizon >= 1, f"horizon {self.horizon} is not 1 row or more"),
            (0 <= self.unknown_loss <= 1, f"unknown_loss {self.unknown_loss} is not a fraction"),
            (0.8 < self.decay < 1, f"decay {self.decay} is not between 0.8 and 1"),
            (self.most >= 2, f"most {self.most} is not 2 or more"),
        )
        for holds, sentence in rules:
            if not holds:
                raise ParameterError(f"Tail risk: {sentence}.")


@dataclass(frozen=True, slots=True)
class TailLoss:
    """Losses in the unit of the exposures; negative: even the bad cases gain.

    Attributes:
        scenarios: how many there were; they overlap.
        unknown: columns whose history has a gap and that lose ``unknown_loss`` in every scenario.
    """

    value_at_risk: float
    expected_shortfall: float
    scenarios: int
    unknown: tuple[int, ...] = ()


DEFAULT_OPTIONS = TailOptions()


@dataclass(frozen=True, eq=False, slots=True)
class Scenarios:
    """What each known symbol did over the horizon, ready to be weighed by any exposures.

    Attributes:
        moves: (S, K) simple returns of the K symbols whose history has no gap.
        known: (N,) which of the N symbols those are.
    """

    moves: np.ndarray
    known: np.ndarray

    def losses(self, exposures: Sequence[float] | np.ndarray) -> np.ndarray:
        """(S,) what the known symbols lose in each scenario; ``exposures`` (K,) are theirs alone."""
        lost: np.ndarray = self.moves @ np.asarray(exposures)
        return -lost


def value_at_risk(
    returns: Returns,
    exposures: Sequence[float] | np.ndarray,
    options: TailOptions = DEFAULT_OPTIONS,
    method: Method = "historical",
) -> float:
    """The loss that is exceeded in at most the share ``options.tail`` of the scenarios. See ``tail_loss``."""
    return tail_loss(returns, exposures, options, method).value_at_risk


def expected_shortfall(
    returns: Returns,
    exposures: Sequence[float] | np.ndarray,
    options: TailOptions = DEFAULT_OPTIONS,
    method: Method = "historical",
) -> float:
    """The mean loss of the worst share ``options.tail`` of the scenarios. See ``tail_loss``."""
    return tail_loss(returns, exposures, options, method).expected_shortfall


def tail_loss(
    returns: Returns,
    exposures: Sequence[float] | np.ndarray,
    options: TailOptions = DEFAULT_OPTIONS,
    method: Method = "historical",
) -> TailLoss:
    """Both measures at once.

    Args:
        returns: (T, N) logarithmic returns, oldest first; a column with a NaN is a symbol that is unknown.
        exposures: (N,) money in each symbol now.

    Raises:
        ParameterError: the shapes do not fit, or an exposure is not a number.
        DataError: a return is infinite.
        NotEnoughData: fewer scenarios than it takes to see that tail (``1 / tail``).
    """
    money = np.asarray(exposures, dtype=float)
    if returns.ndim != 2 or money.shape != (returns.shape[1],) or not np.isfinite(money).all():
        raise ParameterError(
            f"Tail risk: exposures {money.shape} must be one number for each column of {returns.shape}."
        )
    made = scenarios(returns, options, method)
    unknown = np.flatnonzero(~made.known)
    sure = options.unknown_loss * float(money[unknown].sum())
    if made.known.any():
        at_risk, shortfall = worst(made.losses(money[made.known]), options.tail)
    else:
        at_risk = shortfall = 0.0
    return TailLoss(at_risk + sure, shortfall + sure, len(made.moves), tuple(unknown.tolist()))


def scenarios(
    returns: Returns, options: TailOptions = DEFAULT_OPTIONS, method: Method = "historical"
) -> Scenarios:
    """The scenarios of one method. None (S = 0) when no symbol at all is known.

    Raises:
        DataError, NotEnoughData: as ``tail_loss``.
    """
    if np.isinf(returns).any():
        raise DataError("Tail risk: a return is infinite; a price of zero is no price.")
    known = ~np.isnan(returns).any(axis=0)
    if not known.any():
        return Scenarios(np.empty((0, 0)), known)
    windows, least = len(returns) - options.horizon + 1, int(np.ceil(1 / options.tail - 1e-9))
    if windows < least:
        raise NotEnoughData(
            f"Tail risk: {len(returns)} rows make {max(windows, 0)} windows of {options.horizon}; a tail of "
            f"{options.tail:.3g} takes {least}. Take a longer history, a shorter horizon or a larger tail."
        )
    rows = returns[:, known]
    if method == "filtered":
        rows = filtered(rows, options.decay)
    # the sum of a window is the difference of two running sums
    sums = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows, axis=0)])
    starts = _spread(windows, options.most)
    moves = np.expm1(np.minimum(sums[starts + options.horizon] - sums[starts], MOST_GAIN))
    return Scenarios(np.asfortranarray(moves), known)


def stacked(made: Sequence[Scenarios]) -> Scenarios:
    """Scenarios of the same symbols by several methods, one below the other."""
    return Scenarios(np.asfortranarray(np.vstack([each.moves for each in made])), made[0].known)


def _spread(count: int, most: int) -> np.ndarray:
    """Positions 0..count-1, or ``most`` of them from the first to the last."""
    if count <= most:
        return np.arange(count)
    return np.arange(most) * (count - 1) // (most - 1)


def filtered(returns: Returns, decay: float = DEFAULT_OPTIONS.decay) -> Returns:
    """Each return times (volatility now / volatility of its moment): (T, N), no NaN in and none out.

    The variance of row t is ``decay`` times that of t - 1 plus the rest of the squared return of t - 1; the
    first is the mean square of the column. No row is scaled by more than 10 or less than 1/10, and a column
    that never moved stays as it is.
    """
    squares = returns**2
    variance = np.empty((len(returns) + 1, returns.shape[1]))
    variance[0] = squares.mean(axis=0)
    for start in range(0, len(returns), _BLOCK):
        part = squares[start : start + _BLOCK]
        powers = decay ** np.arange(1, len(part) + 1)[:, None]
        gathered = np.cumsum(part / powers, axis=0) * (1 - decay)
        variance[start + 1 : start + 1 + len(part)] = powers * (variance[start] + gathered)
    deviation = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(deviation[:-1] > 0, deviation[-1] / deviation[:-1], 1.0)
    scaled: Returns = returns * np.clip(scale, 1 / MOST_SCALE, MOST_SCALE)
    return scaled


def worst(losses: np.ndarray, tail: float) -> tuple[float, float]:
    """(value at risk, expected shortfall) of (S,) losses, each as likely; S is at least 1 / tail.

    Value at risk is the largest loss that is not among the worst ``tail * S``.
    """
    return worst_of(losses.reshape(1, -1).copy(), tail)


def worst_of(losses: np.ndarray, tail: float) -> tuple[float, float]:
    """The same of several sets of losses (M, S), the larger of each measure. Reorders ``losses``."""
    count = losses.shape[1]
    cut = tail * count
    whole = int(cut + 1e-9)
    first = count - whole - 1
    losses.partition(first, axis=1)
    measures = [
        (at_risk, (sum(beyond) + (cut - whole) * at_risk) / cut)
        for at_risk, *beyond in losses[:, first:].tolist()  # a few numbers: lists are quicker than arrays
    ]
    return max(each[0] for each in measures), max(each[1] for each in measures)


def log_returns(closes: Sequence[Sequence[float]], rows: int) -> Returns:
    """(rows, N) differences of N series of logarithmic prices that end at the same moment.

    A series shorter than ``rows`` + 1 leaves NaN before its first.
    """
    prices = np.full((rows + 1, len(closes)), np.nan)
    for column, series in enumerate(closes):
        taken = np.asarray(series, dtype=float)[-rows - 1 :]
        if len(taken):
            prices[-len(taken) :, column] = taken
    return np.diff(prices, axis=0)
