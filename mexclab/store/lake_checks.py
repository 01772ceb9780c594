"""What makes a row a bar: the same vectorised checks guard the lake and sort an import's rows."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mexclab.errors import DataError
from mexclab.store.lake_layout import COLUMNS, FRAME_SCHEMA, INTERVAL_MS, NUMBERS, PRICES, interval_ms

EARLIEST_MS = 1_230_768_000_000  # 2009-01-01: no coin traded before it


@dataclass(frozen=True, slots=True)
class Check:
    """One way a row can be wrong.

    Attributes:
        reason: the words for it.
        bad: boolean expression, true where the row is wrong; never null.
        shown: string expression, the offending value for a person to look at.
    """

    reason: str
    bad: pl.Expr
    shown: pl.Expr


def bar_checks(interval: str) -> tuple[Check, ...]:
    """The checks of one bar, in the order in which a reason is chosen.

    They read ``symbol``, ``ts`` (Datetime ms UTC) and the five float columns.
    """
    step = INTERVAL_MS[interval]
    ms = pl.col("ts").dt.epoch("ms")
    instant = pl.col("ts").dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
    low, high = pl.col("low"), pl.col("high")
    return (
        _check("symbol missing", pl.col("symbol").is_null() | (pl.col("symbol") == ""), pl.col("symbol")),
        _check("time missing", pl.col("ts").is_null(), instant),
        _check("time before 2009", ms < EARLIEST_MS, instant),
        _check(f"time not on the {interval} grid", ms % step != 0, instant),
        *(_check(f"{c} missing or not a number", pl.col(c).is_null(), _number(c)) for c in NUMBERS),
        *(_check(f"{c} is NaN or infinite", ~pl.col(c).is_finite(), _number(c)) for c in NUMBERS),
        *(_check(f"{c} is zero or negative", pl.col(c) <= 0, _number(c)) for c in PRICES),
        _check("volume is negative", pl.col("volume") < 0, _number("volume")),
        _check("high is below low", high < low, pl.format("high {}, low {}", high, low)),
        *(
            _check(
                f"{c} is outside [low, high]",
                (pl.col(c) < low) | (pl.col(c) > high),
                pl.format("{} not in [{}, {}]", pl.col(c), low, high),
            )
            for c in ("open", "close")
        ),
    )


def _check(reason: str, bad: pl.Expr, shown: pl.Expr) -> Check:
    return Check(reason, bad.fill_null(False), shown)


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def faulty(frame: pl.DataFrame, checks: tuple[Check, ...]) -> pl.Series:
    """Boolean Series, one per row: true where any check fails."""
    return frame.select(bad=pl.any_horizontal(c.bad for c in checks)).to_series()


def reasons(faulty_rows: pl.DataFrame, checks: tuple[Check, ...]) -> pl.DataFrame:
    """``faulty_rows`` with the first failing check's ``reason`` and ``value`` (strings) beside each row."""
    return faulty_rows.with_columns(
        reason=pl.coalesce(pl.when(c.bad).then(pl.lit(c.reason)) for c in checks),
        value=pl.coalesce(pl.when(c.bad).then(c.shown.fill_null("(empty)")) for c in checks),
    )


def admitted(frame: pl.DataFrame, interval: str) -> pl.DataFrame:
    """``frame`` with the lake's columns and types, sorted by symbol and ts, each bar once.

    Raises:
        DataError: what the frame lacks, or its first impossible bar.
    """
    interval_ms(interval)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"these bars lack {', '.join(missing)}; they have {', '.join(frame.columns) or 'no columns'}",
            missing=missing,
            present=frame.columns,
        )
    dtype = frame.schema["ts"]
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        raise DataError(f"ts must be a Datetime in UTC, not {dtype}; convert it first", dtype=str(dtype))
    if frame.select(odd=(pl.col("ts").dt.epoch("ns") % 1_000_000 != 0).any()).item():
        raise DataError("some times are finer than a millisecond; a bar opens on its interval's grid")
    try:
        bars = frame.select(pl.col(c).cast(t) for c, t in FRAME_SCHEMA.items())
    except pl.exceptions.PolarsError as why:
        raise DataError(f"these are not bars: {str(why).splitlines()[0]}") from why
    checks = bar_checks(interval)
    wrong = faulty(bars, checks)
    if wrong.any():
        row = reasons(bars.filter(wrong).head(1), checks).row(0, named=True)
        raise DataError(
            f"{wrong.sum()} of {bars.height} rows are no {interval} bars; the first: {row['symbol']} at "
            f"{row['ts']}: {row['reason']} ({row['value']}). Nothing was written",
            rows=int(wrong.sum()),
            symbol=row["symbol"],
            reason=row["reason"],
        )
    return _once_each(in_order(bars))


def in_order(bars: pl.DataFrame, time: str = "ts") -> pl.DataFrame:
    """``bars`` sorted by symbol and time; where it already is, the same frame, for sorting is dear."""
    symbol, at = pl.col("symbol"), pl.col(time)
    before = (symbol < symbol.shift()) | ((symbol == symbol.shift()) & (at < at.shift()))
    return bars.sort("symbol", time) if bars.select(before.any()).item() else bars


def repeated() -> pl.Expr:
    """In a frame that is in order: true where a bar has the symbol and ts of the one above it."""
    same = [pl.col(name) == pl.col(name).shift() for name in ("symbol", "ts")]
    return pl.all_horizontal(same).fill_null(False)


def _once_each(bars: pl.DataFrame) -> pl.DataFrame:
    if not bars.select(repeated().any()).item():
        return bars
    once = bars.unique(maintain_order=True)
    twice = once.filter(repeated())
    if twice.height:
        raise DataError(
            f"{twice['symbol'][0]} has two different bars at {twice['ts'][0]}; keep one. Nothing was written",
            symbol=twice["symbol"][0],
        )
    return once


def holes(bars: pl.DataFrame, interval: str) -> pl.DataFrame:
    """Every gap between neighbouring bars of a symbol.

    Args:
        bars: has symbol and ts; any order, ts unique per symbol.
        interval: of these bars.

    Returns:
        symbol, start (first missing open time), end (the next bar that exists), missing (bars);
        sorted by symbol and start.
    """
    step = INTERVAL_MS[interval]
    symbol, ts = pl.col("symbol"), pl.col("ts")
    previous = pl.when(symbol == symbol.shift()).then(ts.shift())
    return (
        in_order(bars.select("symbol", "ts"))
        .lazy()
        .select(
            symbol.cast(pl.String),
            start=(previous + pl.duration(milliseconds=step)).cast(FRAME_SCHEMA["ts"]),
            end=ts,
            missing=(ts - previous).dt.total_milliseconds() // step - 1,
        )
        .filter(pl.col("missing") > 0)
        .collect()
    )
