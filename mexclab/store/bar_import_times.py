"""Times of an import: any unit or ISO text becomes integer nanoseconds, and the interval is recognised."""

from __future__ import annotations

import polars as pl

from mexclab.errors import ImportRefused
from mexclab.store.bar_import_plan import ImportPlan
from mexclab.store.lake_checks import in_order
from mexclab.store.lake_layout import INTERVAL_MS

NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_BOUNDS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))  # the year 5138 in each unit
_LARGEST = 9_200_000_000_000_000_000
_ISO = (
    r"^(?P<day>\d{4}[-/]\d{2}[-/]\d{2})(?:[T ](?P<clock>\d{2}:\d{2})(?::(?P<second>\d{2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)


def times_ns(raw: pl.Series, plan: ImportPlan) -> tuple[pl.Series, str]:
    """Read a time column.

    Args:
        raw: integers, floats, text, Date or Datetime; a time without a zone is UTC.
        plan: its ``time_unit`` is used for numbers and text.

    Returns:
        Int64 nanoseconds since the epoch, null where a value is no time; and a note on how it was read.

    Raises:
        ImportRefused: the column's type cannot be a time.
    """
    dtype = raw.dtype
    if dtype == pl.Date:
        raw, dtype = raw.cast(pl.Datetime("us")), pl.Datetime("us")
    if isinstance(dtype, pl.Datetime):
        zone = "" if dtype.time_zone else ", UTC assumed"
        return _scaled(raw.to_physical(), dtype.time_unit), f"a datetime column{zone}"
    if dtype == pl.String:
        return _from_text(raw, plan)
    if not dtype.is_numeric():
        raise ImportRefused(
            f"the time column {raw.name!r} is of type {dtype}, which is no time", dtype=str(dtype)
        )
    return _from_numbers(raw, plan)


def _from_text(raw: pl.Series, plan: ImportPlan) -> tuple[pl.Series, str]:
    text = raw.str.strip_chars()
    if plan.time_unit != "iso":
        whole = text.cast(pl.Int64, strict=False)
        numbers = whole if whole.null_count() == text.null_count() else text.cast(pl.Float64, strict=False)
        if plan.time_unit != "auto" or 2 * numbers.count() > text.count():
            return _from_numbers(numbers, plan)
    return _from_iso(text), "ISO 8601 text, UTC where no zone is given"


def _from_numbers(raw: pl.Series, plan: ImportPlan) -> tuple[pl.Series, str]:
    if plan.time_unit == "iso":
        raise ImportRefused(
            f"the time column {raw.name!r} holds numbers, not ISO text; leave time_unit on auto"
        )
    if plan.time_unit != "auto":
        return _scaled(raw, plan.time_unit), f"{plan.time_unit}, as told"
    middle = raw.cast(pl.Float64).fill_nan(None).abs().median()
    size = float(middle) if isinstance(middle, int | float) else 0.0
    unit = next((unit for bound, unit in _BOUNDS if size < bound), "ns")
    return _scaled(raw, unit), f"{unit}, by magnitude"


def _scaled(raw: pl.Series, unit: str) -> pl.Series:
    """``raw`` in ``unit`` as Int64 ns; null beyond what 64 bits hold (about the years 1678 to 2261)."""
    factor = NS_PER[unit]
    value = pl.col("value")
    inside = value.abs() <= _LARGEST // factor
    if raw.dtype.is_integer():
        scaled = pl.when(inside).then(value.cast(pl.Int64, strict=False)) * factor
    else:
        # A float holds seconds to the microsecond, so the scaling happens before the rounding.
        per_us = factor / 1_000
        scaled = (pl.when(inside).then(value.cast(pl.Float64)) * per_us).round().cast(
            pl.Int64, strict=False
        ) * 1_000
    return pl.DataFrame({"value": raw}).select(ts=scaled).to_series()


def _from_iso(text: pl.Series) -> pl.Series:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    clock = pl.col("clock").fill_null("00:00")
    base = pl.concat_str(
        pl.col("day").str.replace_all("/", "-"),
        pl.lit("T"),
        clock,
        pl.lit(":"),
        pl.col("second").fill_null("00"),
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = pl.col("fraction").fill_null("0").str.pad_end(9, "0").cast(pl.Int64)
    zone = pl.col("zone").str.replace(":", "")
    digits = zone.str.extract(r"(\d{2,4})").fill_null("0").str.pad_end(4, "0").cast(pl.Int64)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    offset_s = sign * ((digits // 100) * 3600 + (digits % 100) * 60)
    in_range = base.dt.year().is_between(1700, 2250)
    micros = pl.when(in_range).then(base.dt.epoch("us"))
    return parts.select(ts=micros * 1_000 + fraction - offset_s * NS_PER["s"]).to_series()


def recognised_interval(rows: pl.DataFrame, plan: ImportPlan) -> tuple[str, str]:
    """The interval of these bars and a note on how it is known.

    Args:
        rows: symbol and ns (Int64), any order, nulls allowed.
        plan: its ``interval`` wins where it is given.

    Raises:
        ImportRefused: too few bars to tell, or a median step that is no interval of the lake.
    """
    if plan.interval != "auto":
        return plan.interval, f"{plan.interval}, as told"
    step_ns = (
        in_order(rows.select("symbol", "ns").drop_nulls(), "ns")
        .select(step=pl.when(pl.col("symbol") == pl.col("symbol").shift()).then(pl.col("ns").diff()))
        .filter(pl.col("step") > 0)
        .to_series()
        .median()
    )
    if not isinstance(step_ns, int | float):
        raise ImportRefused(
            "too few bars to tell their interval; give it with --interval 1m (interval='1m'); "
            "if the times look odd, see --time-unit"
        )
    for name, length in INTERVAL_MS.items():
        if step_ns == length * NS_PER["ms"]:
            return name, f"{name}, the median step"
    raise ImportRefused(
        f"the median step between bars is {step_ns / NS_PER['s']:g} s, which is none of "
        f"{', '.join(INTERVAL_MS)}; if the file skips quiet bars, give --interval (interval=)",
        step_ns=step_ns,
    )


def open_time_ns(ns: pl.Expr, interval: str, time_is: str) -> pl.Expr:
    """The bar's open time. A close time may be the next open or up to a second before it (…59.999)."""
    if time_is == "open":
        return ns
    length = INTERVAL_MS[interval] * NS_PER["ms"]
    short = -ns % length
    return ns + pl.when(short <= NS_PER["s"]).then(short).otherwise(0) - length
