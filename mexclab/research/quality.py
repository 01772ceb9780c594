"""How far bars can be trusted, symbol by symbol: gaps, minutes without trades, frozen prices, bad ticks.

Bars come from venues that drop messages, print volume that nobody traded and carry a price on through hours
without a trade. A study that does not look first finds patterns in that. Everything here is counted from the
bars alone; :mod:`mexclab.research.wash` says what their volume looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from mexclab.errors import DataError, ParameterError

PRICES = ("open", "high", "low", "close")
NEEDED = ("symbol", "ts", *PRICES, "volume")
GOOD, CARE, POOR = "good", "with care", "poor"
_MOST_DECIMALS = 14
_FEWEST_SPIKES = 3
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """Where each fault begins.

    The bounds are conventions, chosen so that a liquid pair of a large venue has no fault; they are not
    estimates of anything.

    Attributes:
        frozen_run: bars in a row with one and the same price, from which on it counts as frozen.
        jump: a return counts as a jump when it is this many robust standard deviations away (1.4826 times
            the median absolute return of the bars that moved).
        reverts: a jump is a spike when the next bar takes back all but this fraction of it.
        on_tick: the price step is the largest one that this share of the closes are multiples of.
        missing, zero_volume, frozen, off_tick: shares above which a symbol has this fault.
        spikes: per 10,000 bars; the same, from the third spike on.
        poor: a share of any fault above this makes the symbol's bars poor.
    """

    frozen_run: int = 30
    jump: float = 25.0
    reverts: float = 0.25
    on_tick: float = 0.99
    missing: float = 0.001
    zero_volume: float = 0.05
    frozen: float = 0.05
    off_tick: float = 0.01
    spikes: float = 1.0
    poor: float = 0.5

    def __post_init__(self) -> None:
        for item in fields(self):
            if not getattr(self, item.name) > 0:
                raise ParameterError(f"{item.name} must be above zero, not {getattr(self, item.name)}")
        if self.frozen_run < 2:
            raise ParameterError(f"frozen_run must be 2 or more, not {self.frozen_run}")


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found.

    Attributes:
        table: a row per symbol: symbol, grade, faults (words), first, last, bars, missing, gaps,
            longest_gap (bars), missing_share, zero_volume (share), frozen (share), frozen_traded (share:
            frozen, and yet with volume), longest_frozen (bars), jumps, spikes (bars), tick (quote units),
            off_tick (share of the four prices), empty_months (months without volume).
        days: symbol, day, bars, missing, zero_volume, frozen (shares of the day's bars).
        outliers: every jump: symbol, ts, move (return of the bar, 1.0: it doubled), sigmas (of its log
            return), spike, volume; the largest first.
        months: symbol, month, bars, volume, zero_volume (share); every month that has bars.
        interval_ns: length of a bar.
        options: the bounds.
    """

    table: pl.DataFrame
    days: pl.DataFrame
    outliers: pl.DataFrame
    months: pl.DataFrame
    interval_ns: int
    options: QualityOptions

    def of(self, grade: str) -> list[str]:
        """The symbols of one grade."""
        return self.table.filter(pl.col("grade") == grade)["symbol"].to_list()


def quality(
    bars: pl.DataFrame | pl.LazyFrame, interval_ns: int, options: QualityOptions = QualityOptions()
) -> Quality:
    """Look at bars, without changing them.

    Args:
        bars: symbol, ts (open time, UTC), open, high, low, close, volume; any order, ts once per symbol.
        interval_ns: length of a bar.

    Raises:
        DataError: a column is missing, or there is no bar, or a time comes twice.
        ParameterError: the interval is not above zero.
    """
    if interval_ns <= 0:
        raise ParameterError(f"a bar is longer than {interval_ns} ns", interval_ns=interval_ns)
    rows = _marked(_read(bars), interval_ns, options)
    table = (
        _sums(rows)
        .join(_ticks(rows, options.on_tick), on="symbol")
        .join(_empty_months(rows), on="symbol", how="left")
        .with_columns(pl.col("empty_months").fill_null(0))
    )
    return Quality(
        _graded(table, options),
        _days(rows),
        _outliers(rows),
        _months(rows),
        interval_ns,
        options,
    )


def _read(bars: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    lazy = bars.lazy()
    missing = [name for name in NEEDED if name not in lazy.collect_schema().names()]
    if missing:
        raise DataError(f"bars need the columns {', '.join(NEEDED)}; {', '.join(missing)} not there")
    rows = lazy.select(NEEDED).sort("symbol", "ts").collect()
    if not rows.height:
        raise DataError("there is no bar to look at: give bars of a range that has some")
    same = (pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("ts") == pl.col("ts").shift())
    twice = rows.filter(same)
    if twice.height:
        raise DataError(f"{twice['symbol'][0]} has two bars at {twice['ts'][0]}; keep one of them")
    return rows


def _marked(rows: pl.DataFrame, interval_ns: int, options: QualityOptions) -> pl.DataFrame:
    """Each bar with what is odd about it: lacks (bars before it), still, frozen, run, move, sigmas, spike."""
    close, symbol = pl.col("close"), pl.col("symbol")
    starts = (symbol != symbol.shift()).fill_null(True)
    lacks = (pl.col("ts") - pl.col("ts").shift()).dt.total_nanoseconds() // interval_ns - 1
    still = (pl.min_horizontal(PRICES) == pl.max_horizontal(PRICES)) & (close == close.shift())
    rows = rows.with_columns(
        starts=starts,
        lacks=pl.when(starts).then(0).otherwise(lacks),
        still=pl.when(starts).then(False).otherwise(still),
        move=pl.when(starts).then(None).otherwise((close / close.shift()).log()),
    ).with_columns(move=pl.when(pl.col("lacks") > 0).then(None).otherwise(pl.col("move")))
    run = (pl.col("starts") | ~pl.col("still") | (pl.col("lacks") > 0)).cum_sum()
    rows = rows.with_columns(run=pl.len().over(run))
    moved = pl.col("move").abs()
    sigma = _MAD_TO_SIGMA * moved.filter(moved > 0).median().over("symbol")
    rows = rows.with_columns(
        frozen=pl.col("run") >= options.frozen_run,
        sigmas=(moved / sigma).fill_nan(None),
    )
    jumps = (pl.col("sigmas") > options.jump).fill_null(False)
    back = pl.col("move").shift(-1).over("symbol")
    spike = ((pl.col("move") + back).abs() <= options.reverts * moved).fill_null(False)
    return rows.with_columns(jump=jumps, spike=jumps & spike)


def _sums(rows: pl.DataFrame) -> pl.DataFrame:
    lacks, silent = pl.col("lacks"), pl.col("volume") <= 0
    return rows.group_by("symbol", maintain_order=True).agg(
        first=pl.col("ts").first(),
        last=pl.col("ts").last(),
        bars=pl.len(),
        missing=lacks.sum(),
        gaps=(lacks > 0).sum(),
        longest_gap=lacks.max(),
        missing_share=lacks.sum() / (lacks.sum() + pl.len()),
        zero_volume=silent.mean(),
        frozen=pl.col("frozen").mean(),
        frozen_traded=(pl.col("frozen") & ~silent).mean(),
        longest_frozen=pl.when(pl.col("frozen")).then(pl.col("run")).otherwise(0).max(),
        jumps=pl.col("jump").sum(),
        spikes=pl.col("spike").sum(),
    )


def _ticks(rows: pl.DataFrame, on_tick: float) -> pl.DataFrame:
    """The price step of each symbol, and the share of its prices that are no multiples of it."""
    found = []
    for (name,), part in rows.group_by("symbol", maintain_order=True):
        step = tick_of(part["close"].to_numpy(), on_tick)
        prices = part.select(PRICES).to_numpy()
        off = float((~_on_grid(prices, step)).mean()) if step else 1.0
        found.append((name, step or None, off))
    return pl.DataFrame(
        found, schema={"symbol": pl.String, "tick": pl.Float64, "off_tick": pl.Float64}, orient="row"
    )


def tick_of(prices: np.ndarray, share: float = 0.99) -> float:
    """The largest step of 1, 2 or 5 times a power of ten, at most 1, of which ``share`` of the prices are
    multiples; 0 where there is none with 14 decimals.

    Args:
        prices: (n,) quote units, above zero.
    """
    prices = prices[np.isfinite(prices)]
    if not len(prices):
        return 0.0
    for decimals in range(_MOST_DECIMALS + 1):
        if _on_grid(prices, 10.0**-decimals).mean() >= share:
            coarser = [times * 10.0**-decimals for times in (5, 2) if decimals]
            return next((s for s in coarser if _on_grid(prices, s).mean() >= share), 10.0**-decimals)
    return 0.0


def _on_grid(prices: np.ndarray, step: float) -> np.ndarray:
    """Whether each price is a multiple of the step, to within what a float64 of its size can say."""
    steps = prices / step
    whole = np.round(steps)
    slack = 1e-7 + steps * 1e-15
    return np.asarray((whole >= 1) & (np.abs(steps - whole) <= slack))


def _months(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("symbol", pl.col("ts").dt.truncate("1mo").alias("month"), maintain_order=True).agg(
        bars=pl.len(), volume=pl.col("volume").sum(), zero_volume=(pl.col("volume") <= 0).mean()
    )


def _empty_months(rows: pl.DataFrame) -> pl.DataFrame:
    return _months(rows).group_by("symbol").agg(empty_months=(pl.col("volume") <= 0).sum())


def _days(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("symbol", pl.col("ts").dt.truncate("1d").alias("day"), maintain_order=True).agg(
        bars=pl.len(),
        missing=pl.col("lacks").sum() / (pl.col("lacks").sum() + pl.len()),
        zero_volume=(pl.col("volume") <= 0).mean(),
        frozen=pl.col("frozen").mean(),
    )


def _outliers(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.filter(pl.col("jump"))
        .select("symbol", "ts", pl.col("move").exp() - 1.0, "sigmas", "spike", "volume")
        .sort("sigmas", descending=True)
    )


def _graded(table: pl.DataFrame, options: QualityOptions) -> pl.DataFrame:
    """With the faults in words, the worst symbols first."""
    bounds = (
        ("missing bars", "missing_share", options.missing),
        ("minutes without trades", "zero_volume", options.zero_volume),
        ("frozen prices", "frozen", options.frozen),
        ("prices off the tick", "off_tick", options.off_tick),
    )
    per_bar = pl.col("spikes") * 10_000 / pl.col("bars")
    found = [
        *(pl.when(pl.col(column) > bound).then(pl.lit(words)) for words, column, bound in bounds),
        pl.when((per_bar > options.spikes) & (pl.col("spikes") >= _FEWEST_SPIKES)).then(
            pl.lit("spikes that revert")
        ),
        pl.when(pl.col("empty_months") > 0).then(pl.lit("months without volume")),
    ]
    worst = pl.max_horizontal(*(pl.col(column) for _, column, _ in bounds))
    faults = pl.concat_list(found).list.drop_nulls()
    return (
        table.with_columns(faults=faults.list.join(", "), count=faults.list.len(), worst=worst)
        .with_columns(
            grade=pl.when((pl.col("worst") > options.poor) | (pl.col("empty_months") > 0))
            .then(pl.lit(POOR))
            .when(pl.col("count") > 0)
            .then(pl.lit(CARE))
            .otherwise(pl.lit(GOOD))
        )
        .sort(["worst", "count", "symbol"], descending=[True, True, False])
        .select("symbol", "grade", "faults", pl.exclude("symbol", "grade", "faults", "count", "worst"))
    )
