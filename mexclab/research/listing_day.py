"""A seeded generator of listing-day prices, and the fit of its constants to real listing days.

The model is one sentence long: the log price is a *fair level* above the placeholder, plus an *overshoot*
that peaks within the first minutes and fades, plus *noise* whose volatility decays as a power of the time
since the opening. Trades, spread and depth follow from the same volatility and from a turnover that decays
too. docs/listing-day-fit.md says what the data could decide, what it could not, and the errors that remain.

Time is counted from the opening; prices are relative to the placeholder price (= 1.0) that the venue shows
before the first trade. The generator does no I/O and its only source of chance is the ``rng`` it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mexclab.errors import ParameterError

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
HOUR_S = 3600
# Mean of the log range of a unit Brownian path: Alizadeh, Brandt and Diebold,
# "Range-based estimation of stochastic volatility models", Journal of Finance 57 (2002).
LOG_RANGE_MEAN = 0.43
FIRST_HOURS = 72
ONSET_S = 5.0


@dataclass(frozen=True, slots=True)
class Opening:
    """How one kind of listing opens. Logarithms are natural; source: MEXC spot listing days unless said.

    ``fair_mean``, ``fair_sd``: normal distribution of ln(fair level / placeholder).
    ``overshoot_median``: median of the lognormal overshoot at its peak, in log price above the fair level.
    ``turnover_24h``: median quote turnover of the first 24 hours as the venue reports it.
    ``turnover_log_sd``: standard deviation of its logarithm between listings.
    """

    fair_mean: float
    fair_sd: float
    overshoot_median: float
    turnover_24h: float
    turnover_log_sd: float


@dataclass(frozen=True, slots=True)
class ListingDayParameters:
    """The constants of the model: ``fitted`` to data, ``anchored`` to one sample, or ``assumed``.

    ``near``, ``remote``: openings whose placeholder was set near to or far below the market (fitted).
    ``remote_share``: share of listings of the remote kind (fitted: 7 of 48 days).
    ``overshoot_log_sd``: standard deviation of the log of the overshoot (fitted).
    ``volatility_1h``: log-price volatility one hour after the opening, per square root of an hour, of a
    listing with the median level (fitted to MEXC spot).
    ``perp_volatility_1h``: the same for newly listed perpetuals (fitted; used to check the decay).
    ``volatility_decay``: volatility falls as t to the minus this (fitted to hourly perpetual bars).
    ``level_log_sd``: standard deviation of the log volatility level between listings (fitted, perpetuals).
    ``turnover_decay``: turnover per second falls as t to the minus this (fitted, perpetuals).
    ``opening_hour_weights``: relative frequency of each UTC hour as the opening hour (anchored: MEXC
    futures). Only used to cut UTC days out of paths, never by `listing_day`.
    ``fade_half_life_s``: seconds in which the overshoot halves (anchored: MEXC futures pumps).
    ``trade_log_sd``: standard deviation of the log quote size of a taker order (anchored: one spot pair).
    ``trade_median_quote``: median quote size of a taker order (assumed).
    ``peak_mean_s``: mean of the exponential time of the overshoot's peak, seconds (assumed).
    ``opening_share``: share of the overshoot already in the first tradable price (assumed).
    ``onset_s``: seconds for which volatility and turnover are still flat (assumed).
    ``shock_df``: degrees of freedom of the Student-t one-second shocks (anchored: minute closes).
    ``spread_per_trade_sd``: spread in units of the price's standard deviation between two trades (assumed).
    ``spread_floor``, ``spread_cap``: limits of the spread, fraction of price (assumed).
    ``depth_share``: quote depth within 1 % of mid, as a share of the turnover in the time that the price
    takes to diffuse 1 % (assumed).
    """

    near: Opening
    remote: Opening
    remote_share: float
    overshoot_log_sd: float
    volatility_1h: float
    perp_volatility_1h: float
    volatility_decay: float
    level_log_sd: float
    turnover_decay: float
    opening_hour_weights: tuple[int, ...]
    fade_half_life_s: float
    trade_log_sd: float
    trade_median_quote: float = 20.0
    peak_mean_s: float = 30.0
    opening_share: float = 0.5
    onset_s: float = ONSET_S
    shock_df: float = 3.0
    spread_per_trade_sd: float = 1.0
    spread_floor: float = 0.0005
    spread_cap: float = 0.10
    depth_share: float = 1.0

    @property
    def trade_mean_quote(self) -> float:
        """Mean quote size of a taker order under the lognormal distribution of `trade_sizes`."""
        return float(self.trade_median_quote * np.exp(self.trade_log_sd**2 / 2))


FITTED = ListingDayParameters(
    near=Opening(
        0.7375, fair_sd=0.1568, overshoot_median=0.2443, turnover_24h=677_700.0, turnover_log_sd=1.119
    ),
    remote=Opening(
        1.769, fair_sd=0.149, overshoot_median=0.7842, turnover_24h=14_150_000.0, turnover_log_sd=1.06
    ),
    remote_share=0.1458,
    overshoot_log_sd=0.5809,
    volatility_1h=0.06703,
    perp_volatility_1h=0.105,
    volatility_decay=0.32,
    level_log_sd=0.3158,
    turnover_decay=0.4578,
    opening_hour_weights=(
        *(0, 3, 10, 25, 22, 27, 14, 16, 31, 33, 53, 53),
        *(45, 26, 24, 10, 5, 4, 1, 1, 0, 0, 0, 0),
    ),
    fade_half_life_s=889.3,
    trade_log_sd=1.892,
)
"""What `fit` returns for the bars named in docs/listing-day-fit.md."""


@dataclass(frozen=True, slots=True)
class ListingDayPath:
    """One generated opening, one element a second; every array has shape (n,).

    ``seconds``: int64, 0..n-1 since the opening. ``price``: mid relative to the placeholder price = 1.0.
    ``trades_per_s``: expected taker orders a second. ``spread``: fraction of price. ``depth_quote``: quote
    units resting within 1 % of mid, on each side. ``gap``: ln(first tradable price / placeholder).
    """

    seconds: np.ndarray
    price: np.ndarray
    trades_per_s: np.ndarray
    spread: np.ndarray
    depth_quote: np.ndarray
    gap: float


@dataclass(frozen=True, slots=True)
class _Paths:
    """``log_price`` (count, n); the others (count,): level, 24 h turnover, ln(first / placeholder)."""

    log_price: np.ndarray
    level: np.ndarray
    turnover: np.ndarray
    gap: np.ndarray


def listing_day(
    rng: np.random.Generator,
    hours: float = 4.0,
    parameters: ListingDayParameters = FITTED,
    gap: float | None = None,
) -> ListingDayPath:
    """One opening at one-second resolution; the same generator state gives the same path.

    Args:
        rng: the only source of chance. From one state, a longer path begins with the shorter one.
        hours: length of the path since the opening; beyond 24 the constants are known to be wrong.
        parameters: the constants of the model.
        gap: ln(first tradable / placeholder) where the caller knows it, else drawn.

    Raises:
        ParameterError: ``hours`` holds less than two seconds or more than 24 hours, or ``gap`` is not finite.
    """
    count = round(hours * HOUR_S) if np.isfinite(hours) else 0
    if not 2 <= count <= 24 * HOUR_S:
        raise ParameterError("hours must lie between two seconds and 24 hours", hours=hours)
    if gap is not None and not np.isfinite(gap):
        raise ParameterError("gap must be a finite logarithm of a price ratio", gap=gap)
    seconds = np.arange(count, dtype=np.int64)
    paths = draw(rng, seconds, 1, parameters, gap)
    age = (seconds + parameters.onset_s) / HOUR_S
    sigma = paths.level[0] * parameters.volatility_1h * age**-parameters.volatility_decay / np.sqrt(HOUR_S)
    whole = integral(np.array([24.0 * HOUR_S]), parameters.turnover_decay, parameters.onset_s)[0] * HOUR_S
    turnover = paths.turnover[0] * age**-parameters.turnover_decay / whole
    trades = turnover / parameters.trade_mean_quote
    spread = np.clip(
        parameters.spread_per_trade_sd * sigma / np.sqrt(trades),
        parameters.spread_floor,
        parameters.spread_cap,
    )
    depth = parameters.depth_share * turnover * (0.01 / sigma) ** 2
    return ListingDayPath(seconds, np.exp(paths.log_price[0]), trades, spread, depth, float(paths.gap[0]))


def trade_sizes(
    rng: np.random.Generator, count: int, parameters: ListingDayParameters = FITTED
) -> np.ndarray:
    """Quote sizes of ``count`` taker orders, float64 (count,), lognormal."""
    return parameters.trade_median_quote * np.exp(parameters.trade_log_sd * rng.standard_normal(count))


def listing_bars(
    rng: np.random.Generator, count: int, parameters: ListingDayParameters = FITTED
) -> pl.DataFrame:
    """The first UTC days of ``count`` generated listings, as a daily bar would show them.

    The opening hour is drawn, so the first day is cut short by midnight as a real one is; the placeholder
    belongs to the bar, as it does on the venue, so no low lies above 1. Coarser than one second after the
    first minute, which moves the 10-90 % quantiles by less than their sampling error.

    Returns:
        a row per listing: opening_hour (UTC), high, low, close (relative to the placeholder) and
        second_range, ln(high / low) of the following UTC day.
    """
    return bars_on(rng, count, parameters, coarse_clock(48))


def bars_on(
    rng: np.random.Generator, count: int, parameters: ListingDayParameters, clock: np.ndarray
) -> pl.DataFrame:
    weights = np.asarray(parameters.opening_hour_weights, dtype=np.float64)
    hour = rng.choice(24, size=count, p=weights / weights.sum())
    log_price = draw(rng, clock, count, parameters, None).log_price
    left = (24 - hour)[:, None] * HOUR_S
    first = clock[None, :] < left
    second = ~first & (clock[None, :] < left + 24 * HOUR_S)
    last = first.sum(axis=1) - 1
    return pl.DataFrame(
        {
            "opening_hour": hour,
            "high": np.exp(_masked(log_price, first, np.maximum)),
            "low": np.minimum(1.0, np.exp(_masked(log_price, first, np.minimum))),
            "close": np.exp(log_price[np.arange(count), last]),
            "second_range": _masked(log_price, second, np.maximum) - _masked(log_price, second, np.minimum),
        }
    )


def _masked(values: np.ndarray, mask: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    return reduce.reduce(values, axis=1, where=mask, initial=-np.inf if reduce is np.maximum else np.inf)


def coarse_clock(hours: int) -> np.ndarray:
    """Seconds since the opening over ``hours``: fine while the price is fast, then ever coarser."""
    steps = (range(60), range(60, 600, 10), range(600, HOUR_S, 60), range(HOUR_S, hours * HOUR_S + 1, 300))
    return np.concatenate([np.array(part, dtype=np.int64) for part in steps])


def integral(seconds: np.ndarray, decay: float, onset_s: float) -> np.ndarray:
    """Integral of (age in hours) to the minus ``decay`` from the opening to ``seconds``, in hours."""
    power = 1.0 - decay
    return (((seconds + onset_s) / HOUR_S) ** power - (onset_s / HOUR_S) ** power) / power


def draw(
    rng: np.random.Generator,
    clock: np.ndarray,
    count: int,
    parameters: ListingDayParameters,
    gap: float | None,
) -> _Paths:
    remote = rng.random(count) < parameters.remote_share
    if gap is not None:
        remote = np.full(count, gap > (parameters.near.fair_mean + parameters.remote.fair_mean) / 2)
    pick = {
        name: np.where(remote, getattr(parameters.remote, name), getattr(parameters.near, name))
        for name in Opening.__slots__
    }
    normal = rng.standard_normal((4, count))
    overshoot = pick["overshoot_median"] * np.exp(parameters.overshoot_log_sd * normal[0])
    level = np.exp(parameters.level_log_sd * normal[1])
    turnover = pick["turnover_24h"] * np.exp(pick["turnover_log_sd"] * normal[2])
    fair = pick["fair_mean"] + pick["fair_sd"] * normal[3]
    if gap is not None:
        fair = gap - parameters.opening_share * overshoot
    peak_s = parameters.peak_mean_s * rng.standard_exponential(count)
    log_price = _noise(rng, clock, level, parameters)
    log_price += fair[:, None] + overshoot[:, None] * _overshoot_shape(clock, peak_s, parameters)
    return _Paths(log_price, level, turnover, log_price[:, 0].copy())


def _overshoot_shape(clock: np.ndarray, peak_s: np.ndarray, parameters: ListingDayParameters) -> np.ndarray:
    """(count, n): rises in a line from ``opening_share`` to 1 at the peak, then halves every half-life."""
    peak = np.maximum(peak_s, 1.0)[:, None]
    rise = parameters.opening_share + (1.0 - parameters.opening_share) * clock / peak
    return np.where(clock < peak, rise, np.exp2(-(clock - peak) / parameters.fade_half_life_s))


def _noise(
    rng: np.random.Generator, clock: np.ndarray, level: np.ndarray, parameters: ListingDayParameters
) -> np.ndarray:
    """(count, n) log-price noise, 0 at the opening, drifting by minus half its variance.

    One-second steps are Student-t; longer steps are sums of many of them and drawn as normal.
    """
    spent = integral(clock.astype(np.float64), 2 * parameters.volatility_decay, parameters.onset_s)
    sd = parameters.volatility_1h * np.sqrt(np.diff(spent))
    fine = int(np.count_nonzero(np.diff(clock) == 1))
    noise = np.zeros((level.size, clock.size))
    unit = np.sqrt((parameters.shock_df - 2.0) / parameters.shock_df)
    noise[:, 1 : fine + 1] = rng.standard_t(parameters.shock_df, (level.size, fine)) * unit
    noise[:, fine + 1 :] = rng.standard_normal((level.size, clock.size - 1 - fine))
    noise[:, 1:] *= sd * level[:, None]
    noise[:, 1:] -= 0.5 * (sd * level[:, None]) ** 2
    return np.cumsum(noise, axis=1, out=noise)
