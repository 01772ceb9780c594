"""Bars as they come in, one series per symbol: what is refused, and which short gaps are filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from mexclab.errors import DataError, NotEnoughData, ParameterError

# what each channel of a panel is made of
CHANNELS: Mapping[str, tuple[str, ...]] = {"volume": ("volume",), "range": ("high", "low")}


def utc(time_ns: int) -> str:
    """``time_ns`` as text, UTC, to the second: ``2026-06-01 12:30`` (seconds where they are not 0)."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")


def span(duration_ns: int) -> str:
    """A duration in the largest unit that divides it: ``1m``, ``4h``, ``90s``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if duration_ns % (size * 1_000_000_000) == 0:
            return f"{duration_ns // (size * 1_000_000_000)}{unit}"
    return f"{duration_ns}ns"


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """The bars of one symbol, in order of time.

    Attributes:
        times: (n,) int64 open times, ns, UTC.
        close: (n,) float64 prices.
        channels: (n,) float64 each, by name; see :func:`channel`.
    """

    times: np.ndarray
    close: np.ndarray
    channels: Mapping[str, np.ndarray]


def channel(name: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values of a channel: ``volume`` is log(1 + volume), ``range`` is log(high / low).

    Raises:
        ParameterError: there is no such channel.
        DataError: a volume is negative or a high is below its low, or one of them is no finite number.
    """
    if name not in CHANNELS:
        raise ParameterError(f"There is no channel {name}: choose among {', '.join(CHANNELS)}.", channel=name)
    if name == "volume":
        values, least = np.asarray(columns["volume"], dtype=np.float64), 0.0
        made = np.log1p(np.where(values >= least, values, np.nan))
    else:
        high, low = (np.asarray(columns[side], dtype=np.float64) for side in ("high", "low"))
        good = (low > 0.0) & (high >= low)
        made = np.log(np.where(good, high, np.nan) / np.where(good, low, 1.0))
    if not np.isfinite(made).all():
        at = int(np.argmax(~np.isfinite(made)))
        seen = ", ".join(f"{column} {columns[column][at]}" for column in CHANNELS[name])
        raise DataError(f"Bar {at} has no {name}: {seen}. Repair it, or leave the channel out.", bar=at)
    return made


def series_of(frame: pl.DataFrame | pl.LazyFrame, channels: tuple[str, ...] = ()) -> dict[str, Series]:
    """The series in a frame with columns ``ts`` (Datetime, UTC, bar open), ``symbol``, ``close``.

    Raises:
        DataError: a missing column, a time that is no UTC Datetime, a row without time or symbol.
    """
    wanted = [column for name in channels for column in CHANNELS.get(name, ())]
    names = frame.collect_schema()
    missing = [name for name in ("ts", "symbol", "close", *wanted) if name not in names]
    if missing:
        raise DataError(f"The frame has no column {', '.join(missing)}.", missing=missing)
    kind = names["ts"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
        raise DataError(f"Column ts must be a Datetime in UTC, not {kind}.", kind=str(kind))
    columns = (pl.col("ts").dt.epoch("ns"), pl.col("symbol").cast(pl.String))
    bars = frame.lazy().select(*columns, pl.col("close", *wanted).cast(pl.Float64)).collect()
    if bars["ts"].null_count() or bars["symbol"].null_count():
        raise DataError("A row has no ts or no symbol: drop it or repair it.")
    found = {}
    for key, part in bars.partition_by("symbol", maintain_order=True, as_dict=True).items():
        raw = {column: part[column].to_numpy() for column in wanted}
        times = part["ts"].to_numpy()
        made = {name: _named(str(key[0]), times, name, raw) for name in channels}
        found[str(key[0])] = Series(times, part["close"].to_numpy(), made)
    return found


def _named(symbol: str, times: np.ndarray, name: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """``channel``, whose refusal says whose bar it was, and when."""
    try:
        return channel(name, columns)
    except DataError as fault:
        at = int(times[fault.data["bar"]])
        raise DataError(f"{symbol} at {utc(at)} UTC: {fault}", symbol=symbol, time_ns=at) from None


def check_prices(symbol: str, times: np.ndarray, close: np.ndarray) -> None:
    """DataError that names the first price that is not positive and finite."""
    wrong = ~(np.isfinite(close) & (close > 0.0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{symbol} at {utc(int(times[at]))} UTC: close {close[at]} is not a positive, finite price.",
            symbol=symbol,
            time_ns=int(times[at]),
        )


def check_order(symbol: str, times: np.ndarray) -> None:
    """DataError that names the first time that repeats or runs backwards."""
    wrong = np.diff(times) <= 0
    if wrong.any():
        at = int(np.argmax(wrong))
        fault = "comes twice" if times[at + 1] == times[at] else "runs backwards"
        raise DataError(
            f"{symbol}: time {utc(int(times[at + 1]))} UTC {fault}. Sort the bars and keep one of each.",
            symbol=symbol,
            time_ns=int(times[at + 1]),
        )


def check_grid(symbol: str, times: np.ndarray, step: int) -> None:
    """DataError that names the first time that is not a whole number of steps after the first one."""
    off = (times - times[0]) % step != 0
    if off.any():
        at = int(times[np.argmax(off)])
        raise DataError(
            f"{symbol}: time {utc(at)} UTC is off its grid of {span(step)}.", symbol=symbol, time_ns=at
        )


def filled(series: Series, step: int, fill: int) -> Series:
    """``series`` with the last close carried over every gap of at most ``fill`` bars.

    A carried bar has no volume and no range.
    """
    missing = np.diff(series.times) // step - 1
    copies = np.append(np.where(missing <= fill, missing, 0), 0) + 1
    before = np.cumsum(copies) - copies
    ahead = np.arange(int(copies.sum())) - np.repeat(before, copies)
    return Series(
        np.repeat(series.times, copies) + ahead * step,
        np.repeat(series.close, copies),
        {name: np.where(ahead, 0.0, np.repeat(v, copies)) for name, v in series.channels.items()},
    )


def commonest_step(every: Mapping[str, Series]) -> int:
    """The most frequent distance of two bars, ns; NotEnoughData when no symbol has two."""
    steps = np.concatenate([np.diff(series.times) for series in every.values()])
    if not len(steps):
        raise NotEnoughData("No symbol has two bars, so the interval is unknown: give interval_ns.")
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])
