"""Who moves first: cross-correlations over lags, and whether they are more than chance.

Two precautions make the difference between a lead and an artefact. Each series is first freed of its
own past (an autoregression of returns in units of their volatility), because two series that move
together *and* echo themselves look as if each led the other (L. D. Haugh, "Checking the independence of
two covariance-stationary time series", Journal of the American Statistical Association 71, 1976). And
chance is measured by turning the signs of whole blocks of time (R. Y. Liu, "Bootstrap procedures under
some non-i.i.d. models", Annals of Statistics 16, 1988), which keeps common bursts of volatility,
dependence within a block and fat tails as they are.

A lead is of one symbol before another and says nothing of causes: where two follow a third, the quicker
of them leads the slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control  # type: ignore[import-untyped]

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.compiling import compiled
from mexclab.research.correlation import Returns
from mexclab.research.windows import span

OWN = 10  # so many draws as extreme are needed to trust a pair's own draws; else those of all pairs
_BINS, _FINEST = 20_000, 1e-3  # of the pooled statistics: 0 to 20 in steps of 0.001
FEWEST_BLOCKS = 20
_RESIDUE = 1e-9  # of what was to be explained: less is left by rounding


@dataclass(frozen=True, slots=True)
class LeadLagOptions:
    """How leads are looked for.

    Attributes:
        lags: returns by which one may be ahead of the other.
        order: of the autoregression that is taken out of each series; 0 leaves them as they are.
        block: returns in a block whose sign is turned as one; at least twice ``lags``.
        clip: innovations beyond so many deviations are cut to that, so that one bar makes no lead.
        draws: of signs, for the null.
        level: false discoveries that are accepted among the leads found, as a share.
        seed: of the draws.
    """

    lags: int = 10
    order: int = 5
    block: int = 60
    clip: float = 5.0
    draws: int = 999
    level: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.lags < 1 or self.order < 0 or self.draws < 99 or not 0 < self.level < 1 or self.clip <= 0:
            raise ParameterError(
                f"Lags are 1 or more, the order 0 or more, draws 99 or more, level 0..1: {self!r}."
            )
        if self.block < 2 * self.lags:
            raise ParameterError(
                f"A block of {self.block} returns is too short for {self.lags} lags: give {2 * self.lags}."
            )


@dataclass(frozen=True, eq=False, slots=True)
class LeadLag:
    """Which symbols move before which others.

    Attributes:
        table: a row per ordered pair, the surest first: leader, follower, lag (returns by which the leader is
            ahead, where the correlation is strongest), correlation (of innovations, at that lag), statistic,
            p_value (over all lags; never below one in all draws), q_value (Benjamini and Hochberg, over all
            ordered pairs), significant.
        interval_ns: over how long a return is.
        rows: returns that were looked at.
        options: how it was looked for.
    """

    table: pl.DataFrame
    interval_ns: int
    rows: int
    options: LeadLagOptions

    @property
    def significant(self) -> pl.DataFrame:
        """The rows that survive the correction for the number of pairs."""
        return self.table.filter(pl.col("significant"))

    @property
    def leaders(self) -> pl.DataFrame:
        """A row per symbol: leads (others that it leads significantly), follows, net; most leads first."""
        found = self.significant
        symbols = pl.DataFrame({"symbol": sorted({*self.table["leader"], *self.table["follower"]})})
        leads = found.group_by(symbol="leader").agg(leads=pl.len())
        follows = found.group_by(symbol="follower").agg(follows=pl.len())
        both = symbols.join(leads, on="symbol", how="left").join(follows, on="symbol", how="left")
        counts = both.with_columns(pl.col("leads", "follows").fill_null(0).cast(pl.Int64))
        return counts.with_columns(net=pl.col("leads") - pl.col("follows")).sort(
            ["net", "leads", "symbol"], descending=[True, True, False]
        )

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        found = self.significant
        asked = (
            f"among {len(self.table):,} ordered pairs of symbols, over 1 to {self.options.lags} returns of "
        )
        asked += f"{span(self.interval_ns)}"
        if not found.height:
            return f"No lead found {asked}."
        row = found.row(0, named=True)
        return (
            f"{found.height:,} leads found {asked}, at most {self.options.level:.0%} of them by chance; "
            f"the surest: {row['leader']} before {row['follower']} by "
            f"{span(row['lag'] * self.interval_ns)} (correlation {row['correlation']:+.3f})."
        )

    def __repr__(self) -> str:
        return self.verdict


def lead_lag(returns: Returns, options: LeadLagOptions = LeadLagOptions()) -> LeadLag:
    """Test each ordered pair of symbols: do returns of the one come before like returns of the other?

    The statistic of a pair is the largest over the lags of |sum| / sqrt(sum of squared block sums) of
    the products of innovations. Its p-value is the share of draws of block signs that exceed it, among the
    pair's own draws, or among those of all pairs where fewer than ten of its own do.

    Raises:
        ParameterError: fewer than two symbols.
        NotEnoughData: fewer than 20 blocks of returns.
    """
    if len(returns.symbols) < 2:
        raise ParameterError("A lead is of one symbol before another: give two or more.")
    _check_length(returns, options)
    scores = innovations(returns.values, options.order, options.clip)
    observed, lags, own, pooled = _tested(scores, options)
    p_values = _p_values(observed, own, pooled, options.draws)
    names, count = np.array(returns.symbols, dtype=object), len(returns.symbols)
    leader, follower = np.nonzero(~np.eye(count, dtype=bool) & np.isfinite(observed))
    lag = lags[leader, follower]
    found = p_values[leader, follower]
    q_values = false_discovery_control(found) if len(found) else found
    table = pl.DataFrame(
        {
            "leader": names[leader].tolist(),
            "follower": names[follower].tolist(),
            "lag": lag,
            "correlation": _correlations(scores, options.lags)[lag - 1, leader, follower],
            "statistic": observed[leader, follower],
            "p_value": found,
            "q_value": q_values,
            "significant": q_values <= options.level,
        },
        schema_overrides={"leader": pl.String, "follower": pl.String},
    ).sort(["p_value", "statistic"], descending=[False, True])
    return LeadLag(table, returns.interval_ns, len(returns), options)


def cross_correlation(
    returns: Returns, first: str, second: str, options: LeadLagOptions = LeadLagOptions()
) -> pl.DataFrame:
    """The correlation of two symbols' innovations by lag, with the band that chance alone stays in.

    Returns:
        lag (-lags..lags; above 0 the first is ahead), correlation, band: chance is within -band..band
        in 95 of 100 cases, lag by lag.

    Raises:
        ParameterError: an unknown symbol.
        NotEnoughData: fewer than 20 blocks of returns.
    """
    _check_length(returns, options)
    scores = innovations(returns.only((first, second)).values, options.order, options.clip)
    rows = []
    for lag in range(-options.lags, options.lags + 1):
        ahead, behind = (scores[:, 0], scores[:, 1]) if lag >= 0 else (scores[:, 1], scores[:, 0])
        shift = abs(lag)
        products = ahead[: len(ahead) - shift] * behind[shift:]
        held = np.isfinite(products)
        count = max(int(held.sum()), 1)
        blocks = np.arange(len(products)) // options.block
        sums = np.bincount(blocks[held], weights=products[held], minlength=1)
        rows.append((lag, float(sums.sum() / count), float(1.96 * np.sqrt((sums**2).sum()) / count)))
    schema = {"lag": pl.Int64, "correlation": pl.Float64, "band": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _check_length(returns: Returns, options: LeadLagOptions) -> None:
    if len(returns) < FEWEST_BLOCKS * options.block:
        raise NotEnoughData(
            f"Leads need {FEWEST_BLOCKS} blocks of {options.block} returns; there are {len(returns)}."
        )


def innovations(values: np.ndarray, order: int, clip: float) -> np.ndarray:
    """(T, N) what each column's own past does not foretell, in units of its volatility, cut at ``clip``.

    A return counts in units of the volatility of the returns before it; the autoregression is fitted to
    those, by least squares over the rows where the return and its ``order`` predecessors are known. NaN
    elsewhere, and throughout for a column that is known too seldom, does not move, or that its past foretells
    but for rounding.
    """
    found = np.full(values.shape, np.nan)
    if len(values) <= order:
        return found
    for column in range(values.shape[1]):
        series = np.ascontiguousarray(values[:, column], dtype=np.float64)
        past = np.lib.stride_tricks.sliding_window_view(series, order + 1)
        held = np.isfinite(past).all(axis=1)
        if held.sum() < 20 * (order + 1) or np.ptp(past[held, -1]) == 0:
            continue
        scale = np.empty(len(series))
        _volatility(series, float(np.nanvar(series)), scale)
        units = 1.0 / scale[order:][held]
        wanted = np.clip(past[held, -1] * units, -clip, clip)
        design = past[held, :-1] * units[:, None]
        left = wanted - design @ np.linalg.lstsq(design, wanted, rcond=None)[0] if order else wanted
        if left.std() <= _RESIDUE * wanted.std():
            continue
        cut = np.clip(left / left.std(), -clip, clip)
        found[np.flatnonzero(held) + order, column] = (cut - cut.mean()) / cut.std()
    return found


@compiled()
def _volatility(series, variance, scale):  # type: ignore[no-untyped-def]
    """Fill scale (T,): the deviation that the past foretells, an exponential mean over some 30 returns."""
    weight = 2.0 / 31.0
    level = variance
    for t in range(len(series)):
        scale[t] = np.sqrt(level)
        square = series[t] * series[t]
        if square == square:
            level += weight * (min(square, 25.0 * level) - level)  # one bar alone does not make a spell
            level = max(level, 0.01 * variance)  # nor do bars without a trade make it infinitely calm


@compiled(fastmath={"reassoc", "contract"})
def _block_sums(scores, leader, lags, block, sums):  # type: ignore[no-untyped-def]
    """Fill sums (blocks, lags, N): products of the leader's score and each other's ``lag`` rows later."""
    for t in range(1, len(scores)):
        line = sums[t // block]
        for lag in range(1, min(lags, t) + 1):
            ahead = scores[t - lag, leader]
            if ahead != 0.0:
                for j in range(scores.shape[1]):
                    line[lag - 1, j] += ahead * scores[t, j]


def _tested(
    scores: np.ndarray, options: LeadLagOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(N, N) statistics, the lag of each, how many own draws exceed it, and all draws as a histogram."""
    filled = np.where(np.isfinite(scores), scores, 0.0).astype(np.float32)
    rows, count = filled.shape
    blocks = -(-rows // options.block)
    signs = np.random.default_rng(options.seed).choice(
        np.array([-1.0, 1.0], dtype=np.float32), (options.draws, blocks)
    )
    observed, lags = np.full((count, count), np.nan), np.ones((count, count), dtype=np.int64)
    own, pooled = np.zeros((count, count), dtype=np.int64), np.zeros(_BINS, dtype=np.int64)
    for leader in range(count):
        sums = np.zeros((blocks, options.lags, count), dtype=np.float32)
        _block_sums(filled, leader, options.lags, options.block, sums)
        flat = sums.reshape(blocks, -1)
        spread = np.sqrt((flat.astype(np.float64) ** 2).sum(axis=0))
        flat = (flat / np.where(spread > 0, spread, np.inf)).astype(np.float32)
        seen = np.abs(flat.sum(axis=0, dtype=np.float64)).reshape(options.lags, count)
        drawn = np.abs(signs @ flat).reshape(options.draws, options.lags, count).max(axis=1)
        best = seen.max(axis=0)
        known = (spread.reshape(options.lags, count) > 0).any(axis=0)
        known[leader] = False
        observed[leader, known] = best[known]
        lags[leader] = seen.argmax(axis=0) + 1
        own[leader] = (drawn >= best).sum(axis=0)
        bins = np.minimum(drawn[:, known] / _FINEST, _BINS - 1).astype(np.int64)
        pooled += np.bincount(bins.ravel(), minlength=_BINS)
    return observed, lags, own, pooled


def _p_values(observed: np.ndarray, own: np.ndarray, pooled: np.ndarray, draws: int) -> np.ndarray:
    beyond = np.cumsum(pooled[::-1])[::-1]  # draws in this bin or a higher one
    bins = np.minimum(np.nan_to_num(observed) / _FINEST, _BINS - 1).astype(np.int64)
    shared = (1 + beyond[bins]) / (1 + pooled.sum())
    return np.where(own >= OWN, (1 + own) / (1 + draws), shared)


def _correlations(scores: np.ndarray, lags: int) -> np.ndarray:
    """(lags, N, N) mean products of scores over the rows that both have; [l - 1, i, j]: i ahead by l."""
    held = np.isfinite(scores)
    filled, mask = np.where(held, scores, 0.0), held.astype(np.float64)
    found = np.empty((lags, scores.shape[1], scores.shape[1]))
    for lag in range(1, lags + 1):
        counts = mask[:-lag].T @ mask[lag:]
        found[lag - 1] = filled[:-lag].T @ filled[lag:] / np.maximum(counts, 1.0)
    return found
