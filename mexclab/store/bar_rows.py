"""Bars on their way from a venue into the lake: rows of text become a frame, and what is missing is found.

This is the one crossing from a venue's exact numbers to the lake's float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from mexclab.store.lake import Lake
from mexclab.store.lake_checks import bar_checks, faulty, reasons
from mexclab.store.lake_layout import COLUMNS, FRAME_SCHEMA, NUMBERS, TS, interval_ms

_NS_PER_MS = 1_000_000


class Row(Protocol):
    """A bar as a venue wrote it; ``venues.fetch.RawBar`` is one."""

    @property
    def open_ms(self) -> int: ...
    @property
    def open(self) -> str: ...
    @property
    def high(self) -> str: ...
    @property
    def low(self) -> str: ...
    @property
    def close(self) -> str: ...
    @property
    def volume(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of open times, in ms since the epoch."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came of one request.

    Attributes:
        frame: the rows that are bars, with the lake's columns, each once.
        refused: rows that are none, such as a low above the high.
        reason: why the first of them is none; "" when there is none.
    """

    frame: pl.DataFrame
    refused: int = 0
    reason: str = ""


def frame_of(symbol: str, rows: Iterable[Row], interval: str) -> Arrived:
    """Rows of one symbol as bars; what cannot be a bar is left out and counted.

    Raises:
        ParameterError: the lake keeps no such interval.
    """
    interval_ms(interval)
    table = [(row.open_ms, row.open, row.high, row.low, row.close, row.volume) for row in rows]
    if not table:
        return Arrived(pl.DataFrame(schema=FRAME_SCHEMA))
    text = pl.DataFrame(table, schema=["ms", *NUMBERS], orient="row", infer_schema_length=None)
    frame = text.select(
        symbol=pl.lit(symbol),
        ts=pl.col("ms").cast(pl.Int64).cast(TS),
        **{name: pl.col(name).cast(pl.Float64, strict=False) for name in NUMBERS},
    ).select(COLUMNS)
    checks = bar_checks(interval)
    wrong = faulty(frame, checks)
    reason = ""
    if wrong.any():
        first = reasons(frame.filter(wrong).head(1), checks).row(0, named=True)
        reason = f"{first['ts']:%Y-%m-%d %H:%M} UTC: {first['reason']} ({first['value']})"
        frame = frame.filter(~wrong)
    return Arrived(frame.unique("ts", keep="last", maintain_order=True).sort("ts"), int(wrong.sum()), reason)


def rows_of(bars: pl.DataFrame) -> list[tuple[int, str, str, str, str, str]]:
    """Stored bars as rows of text, the inverse of `frame_of`: open_ms and the five numbers."""
    numbers = [pl.col(name).cast(pl.String) for name in NUMBERS]
    return bars.select(pl.col("ts").dt.epoch("ms"), *numbers).rows()


def missing_spans(
    lake: Lake, symbol: str, interval: str, span: Span, known: Iterable[str] | None = None
) -> list[Span]:
    """Where the lake has no bars of a symbol within ``span``, the oldest first.

    Args:
        known: the lake's symbols at this interval, where they are at hand.

    Raises:
        DataError: a partition that is needed is damaged.
    """
    step = interval_ms(interval)
    start, end = -(-span.start_ms // step) * step, -(-span.end_ms // step) * step
    if end <= start:
        return []
    if symbol not in (lake.symbols(interval) if known is None else known):
        return [Span(start, end)]
    times = lake.scan(symbol, start * _NS_PER_MS, end * _NS_PER_MS, interval).select("ts").collect()["ts"]
    edges = pl.concat(
        [pl.Series([start - step]), times.dt.epoch("ms").sort(), pl.Series([end])],
    )
    gaps = pl.DataFrame({"at": edges}).select(after=pl.col("at").shift(), at="at").drop_nulls()
    holes = gaps.filter(pl.col("at") - pl.col("after") > step)
    return [Span(after + step, at) for after, at in holes.rows()]


def overlap_ms(holes: Sequence[Span], spans: Sequence[Span], step_ms: int) -> int:
    """How much of ``spans`` lies in ``holes``, in ms; both in order of time and without overlaps.

    Args:
        step_ms: the grid of the open times; the ends of the spans are rounded up to it.
    """
    total, hole = 0, 0
    for span in spans:
        start, end = (-(-at // step_ms) * step_ms for at in (span.start_ms, span.end_ms))
        while hole < len(holes) and holes[hole].end_ms <= start:
            hole += 1
        at = hole
        while at < len(holes) and holes[at].start_ms < end:
            total += min(end, holes[at].end_ms) - max(start, holes[at].start_ms)
            at += 1
    return total


def within(frame: pl.DataFrame, spans: Sequence[Span]) -> pl.DataFrame:
    """The bars of ``frame`` whose open times lie in one of ``spans``."""
    if not spans:
        return frame.clear()
    ms = pl.col("ts").dt.epoch("ms")
    return frame.filter(pl.any_horizontal((ms >= span.start_ms) & (ms < span.end_ms) for span in spans))


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Several frames as one, in order of symbol and time."""
    return pl.concat(frames).sort("symbol", "ts")
