"""Fitting the listing-day model to real days: what the data decides, and how well it is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData
from mexclab.research.listing_day import (
    FIRST_HOURS,
    HOUR_S,
    LOG_RANGE_MEAN,
    ONSET_S,
    QUANTILES,
    ListingDayParameters,
    Opening,
    bars_on,
    coarse_clock,
    draw,
    integral,
    listing_bars,
)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Samples that each set one constant; float64 or int64 of any length.

    ``opening_hours``: UTC hours (0..23) at which listings opened. ``pump_seconds``: seconds from a pump's
    alarm to the alarm of its reversal. ``trade_quotes``: quote sizes of single trades of one pair.
    """

    opening_hours: np.ndarray
    pump_seconds: np.ndarray
    trade_quotes: np.ndarray


@dataclass(frozen=True, slots=True)
class Fit:
    """``parameters``, and ``table``: a row per statistic and quantile.

    Columns: statistic, quantile, days (real ones behind it), real, fitted, error (ln fitted / real, or the
    plain difference where the statistic is itself a logarithm), noise (bootstrap standard deviation of
    the real quantile on the scale of ``error``).
    """

    parameters: ListingDayParameters
    table: pl.DataFrame


def fit(daily: pl.DataFrame, hourly: pl.DataFrame, anchors: Anchors, days: int = 1500, seed: int = 0) -> Fit:
    """Fit every constant that the data can decide; the assumed ones keep their defaults.

    Args:
        daily: bars of spot listings (symbol, ts, open, high, low, close, volume); a symbol's first bar is
            its listing day and that bar's open is the placeholder price.
        hourly: bars of perpetuals, same columns; a symbol's first bar is its opening hour.
        anchors: the small samples behind single constants.
        days: simulated days behind each step of the search; the table uses four times as many.
        seed: of the simulation. The result is a pure function of the arguments.

    Raises:
        NotEnoughData: fewer than 20 spot listings, 10 perpetuals, or 4 listings of either kind.
    """
    spot, perps = _stack(daily, 2), _stack(hourly, FIRST_HOURS)
    if len(spot) < 20 or len(perps) < 10:
        raise NotEnoughData("needs 20 spot listings and 10 perpetuals", spot=len(spot), perps=len(perps))
    real = np.log(spot[:, 0, 1:4] / spot[:, 0, :1])
    remote = real[:, 0] > _two_means(real[:, 0])
    if min(remote.sum(), (~remote).sum()) < 4:
        raise NotEnoughData("needs four listings of each kind", remote=int(remote.sum()), all=len(spot))
    start = _start(spot, perps, remote, anchors)
    clock = coarse_clock(24)

    def simulated(candidate: ListingDayParameters) -> np.ndarray:
        return _day_logs(bars_on(np.random.default_rng(seed), days, candidate, clock))

    def near(point: np.ndarray) -> ListingDayParameters:
        volatility, overshoot, spread, fair = np.exp(point).tolist()
        opening = replace(start.near, fair_mean=0.0, fair_sd=fair, overshoot_median=overshoot)
        return replace(
            start, near=opening, remote_share=0.0, volatility_1h=volatility, overshoot_log_sd=spread
        )

    found = near(_search(lambda x: _loss(simulated(near(x)), real[~remote]), np.log([0.1, 0.2, 0.5, 0.1])))
    near_opening = _centred(found.near, simulated(found), real[~remote])

    def far(point: np.ndarray) -> ListingDayParameters:
        overshoot, fair = np.exp(point).tolist()
        opening = replace(start.remote, fair_mean=0.0, fair_sd=fair, overshoot_median=overshoot)
        return replace(found, remote=opening, remote_share=1.0)

    lost = far(_search(lambda x: _loss(simulated(far(x)), real[remote]), np.log([0.5, 0.3])))
    remote_opening = _centred(lost.remote, simulated(lost), real[remote])
    share = float(remote.mean())
    fitted = replace(found, near=near_opening, remote=remote_opening, remote_share=share)
    return Fit(fitted, fit_table(daily, hourly, fitted, 4 * days, seed + 1))


def fit_table(
    daily: pl.DataFrame, hourly: pl.DataFrame, parameters: ListingDayParameters, days: int, seed: int
) -> pl.DataFrame:
    """`Fit.table` of any ``parameters`` against the bars that `fit` takes, from ``days`` simulated days."""
    spot, perps = _stack(daily, 2), _stack(hourly, FIRST_HOURS)
    rng = np.random.default_rng(seed)
    made = listing_bars(rng, days, parameters)
    plain = replace(parameters.near, overshoot_median=0.0, fair_mean=0.0, fair_sd=0.0)
    perp = replace(parameters, near=plain, remote_share=0.0, volatility_1h=parameters.perp_volatility_1h)
    clock = coarse_clock(24)
    path = draw(rng, clock, days, perp, None).log_price
    real_logs, made_logs = np.log(spot[:, 0, 1:4] / spot[:, 0, :1]), _day_logs(made)
    pairs = {
        f"day {name}/open": (real_logs[:, i], made_logs[:, i])
        for i, name in enumerate(("high", "low", "close"))
    }
    pairs["day high/close"] = tuple(logs[:, 0] - logs[:, 2] for logs in (real_logs, made_logs))
    pairs["second day high/low"] = (np.log(spot[:, 1, 1] / spot[:, 1, 2]), made["second_range"].to_numpy())
    opened = np.log(perps / perps[:, :1, :1])
    for hours in (1, 4, 24):
        inside = clock <= hours * HOUR_S
        pairs[f"perp {hours} h close/open"] = (opened[:, hours - 1, 3], path[:, inside][:, -1])
        pairs[f"perp {hours} h high/open"] = (opened[:, :hours, 1].max(axis=1), path[:, inside].max(axis=1))
        pairs[f"perp {hours} h low/open"] = (opened[:, :hours, 2].min(axis=1), path[:, inside].min(axis=1))
    rows = [row for name, (real, model) in pairs.items() for row in _rows(name, real, model)]
    return pl.DataFrame(
        rows, orient="row", schema=["statistic", "quantile", "days", "real", "fitted", "error", "noise"]
    )


def _rows(
    name: str, real: np.ndarray, model: np.ndarray
) -> list[tuple[str, float, int, float, float, float, float]]:
    rng = np.random.default_rng(0)
    again = np.quantile(real[rng.integers(0, real.size, (500, real.size))], QUANTILES, axis=1).std(axis=1)
    ends = zip(QUANTILES, np.quantile(real, QUANTILES), np.quantile(model, QUANTILES), again, strict=True)
    return [
        (name, q, real.size, float(np.exp(r)), float(np.exp(m)), float(m - r), float(n))
        for q, r, m, n in ends
    ]


def _stack(bars: pl.DataFrame, count: int) -> np.ndarray:
    """(symbols, count, 5): open, high, low, close, volume of each symbol's first ``count`` bars."""
    columns = ["open", "high", "low", "close", "volume"]
    groups = bars.sort("symbol", "ts").group_by("symbol", maintain_order=True)
    stacks = [group.select(columns).head(count).to_numpy() for _, group in groups if group.height >= count]
    return np.array(stacks, dtype=np.float64).reshape(-1, count, 5)


def _start(spot: np.ndarray, perps: np.ndarray, remote: np.ndarray, anchors: Anchors) -> ListingDayParameters:
    """The constants that one regression or one sample sets; the openings and the spot level follow later."""
    age = np.log(np.arange(1, FIRST_HOURS) + 0.5)
    logs = np.log(np.log(perps[:, 1:, 1] / perps[:, 1:, 2]).clip(1e-6))
    slope, height = np.polyfit(age, logs.mean(axis=0), 1)
    apart = (logs - logs.mean(axis=0))[:, :23]
    level = np.mean([np.mean(apart[:, :-lag] * apart[:, lag:]) for lag in range(1, 13)])
    quote = np.log((perps[:, 1:, 4] * perps[:, 1:, 3]).clip(1e-9))
    fade, _ = np.polyfit(age, (quote - quote.mean(axis=1, keepdims=True)).mean(axis=0), 1)
    hours = np.bincount(anchors.opening_hours.astype(np.int64), minlength=24)
    seen_s = np.array([24.0 - np.median(anchors.opening_hours), 24.0]) * HOUR_S
    part, whole = integral(seen_s, -fade, ONSET_S)
    turnover = np.log(spot[:, 0, 4] * np.sqrt(spot[:, 0, 1] * spot[:, 0, 3]) * whole / part)
    openings = [
        Opening(0.0, 0.0, 0.0, float(np.exp(np.median(turnover[kind]))), float(turnover[kind].std(ddof=1)))
        for kind in (~remote, remote)
    ]
    return ListingDayParameters(
        *openings,
        remote_share=0.0,
        overshoot_log_sd=0.5,
        volatility_1h=0.1,
        perp_volatility_1h=float(np.exp(height - LOG_RANGE_MEAN)),
        volatility_decay=float(-slope),
        level_log_sd=float(np.sqrt(level)),
        turnover_decay=float(-fade),
        opening_hour_weights=tuple(int(n) for n in hours),
        fade_half_life_s=float(np.median(anchors.pump_seconds)),
        trade_log_sd=float(np.log(anchors.trade_quotes).std(ddof=1)),
    )


def _day_logs(bars: pl.DataFrame) -> np.ndarray:
    return np.log(bars.select("high", "low", "close").to_numpy())


def _loss(model: np.ndarray, real: np.ndarray) -> float:
    """Squared errors of the quantiles of high and close about the median high, and of high less close."""
    shapes = [
        np.stack([x[:, 0] - np.median(x[:, 0]), x[:, 2] - np.median(x[:, 0]), x[:, 0] - x[:, 2]])
        for x in (model, real)
    ]
    model_q, real_q = (np.quantile(shape, QUANTILES, axis=1) for shape in shapes)
    return float(np.sum((model_q - real_q) ** 2))


def _centred(opening: Opening, model: np.ndarray, real: np.ndarray) -> Opening:
    """``opening`` with the fair level that makes the median highs meet; ``model`` was made with level 0."""
    return replace(opening, fair_mean=float(np.median(real[:, 0]) - np.median(model[:, 0])))


def _search(loss: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    """Pattern search: try each coordinate up and down, halve the step when nothing helps."""
    point, best, step = np.asarray(start, dtype=np.float64), loss(start), 0.4
    while step > 0.03:
        moved = False
        for move in step * np.concatenate([np.eye(point.size), -np.eye(point.size)]):
            value = loss(point + move)
            if value < best:
                point, best, moved = point + move, value, True
        step = step if moved else step / 2
    return point


def _two_means(values: np.ndarray) -> float:
    """The cut between two clusters on a line: halfway between their means, at the parameters point."""
    cut = float((values.min() + values.max()) / 2)
    for _ in range(100):
        cut = float((values[values <= cut].mean() + values[values > cut].mean()) / 2)
    return cut
