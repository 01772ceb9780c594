"""Months and fresh bars read as one: lazily, in order, each bar once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
from polars.io.plugins import register_io_source

from mexclab.errors import DataError
from mexclab.store import lake_months, lake_partition
from mexclab.store.lake_gaps import Run, joined, runs_of
from mexclab.store.lake_layout import BARS, FILE_SCHEMA, FRAME_SCHEMA, INTERVAL_MS, TS, Partition
from mexclab.store.lake_months import Months

HELD_OPEN = 256 if os.name == "posix" else 0
"""A query keeps at most so many partitions open. (Elsewhere a file that is open cannot be replaced, so none
is held.)"""

TOGETHER = 32
"""So many symbols are one polars query. It takes a thread for each, and stands still where there are more
than it may have, so a query over more symbols is one after another of these."""

GROUP_PARTS = 96  # and so many partitions: about 4 million minutes, 240 MB if every column is wanted


@dataclass(frozen=True, slots=True)
class Holding:
    """What the lake held of one symbol when it was looked at.

    Attributes:
        symbol: whose bars.
        interval: of the bars.
        parts: the month partitions, oldest first.
        fresh: bars with the columns of `FRAME_SCHEMA`, sorted, which win over those of the months.
    """

    symbol: str
    interval: str
    parts: Sequence[Partition]
    fresh: pl.DataFrame

    def lazy(self, months: Months, hold: bool) -> pl.LazyFrame:
        """Every bar once, oldest first, also if a compaction moves the fresh ones before it is collected."""
        if self.fresh.is_empty():
            return lake_months.lazy(self.symbol, self.parts, hold)
        if not self.parts:
            return self.fresh.lazy()
        stored = lake_months.lazy(self.symbol, self.parts, hold)
        if not self._overlapped(months):
            return pl.concat([stored.filter(pl.col("ts") < self.fresh["ts"][0]), self.fresh.lazy()])
        stored = stored.filter(~pl.col("ts").is_in(self.fresh["ts"].implode()))
        return pl.concat([stored, self.fresh.lazy()]).sort("ts")

    def _overlapped(self, months: Months) -> bool:
        """Whether some month holds bars at or after the first fresh one."""
        first = epoch_ms(self.fresh["ts"])[0]
        footers = [months.footer(part) for part in self.parts]
        return any(footer is None or footer.last_ms >= first for footer in footers)

    def extent(self, months: Months) -> tuple[int, list[Run]]:
        """How many bars there are, and the runs of neighbours; whole months are counted by their footers.

        Raises:
            DataError: a partition is damaged.
        """
        step = INTERVAL_MS[self.interval]
        fresh = epoch_ms(self.fresh["ts"])
        rows, runs = len(fresh), runs_of(fresh, step)
        for part in self.parts:
            footer = months.footer(part) or lake_partition.check(part)
            apart = not len(fresh) or footer.last_ms < fresh[0]
            whole = footer.known and footer.rows == (footer.last_ms - footer.first_ms) // step + 1
            if apart and whole:
                rows += footer.rows
                runs.append((footer.first_ms, footer.last_ms))
                continue
            times = epoch_ms(lake_partition.times(part))
            rows += len(times) if apart else int(np.isin(times, fresh, invert=True).sum())
            runs += runs_of(times, step)
        return rows, joined(runs, step)


def epoch_ms(ts: pl.Series) -> np.ndarray:
    """Times of the lake as ms since the epoch, (bars,) int64."""
    return ts.to_physical().to_numpy()


def lazy(
    holdings: Sequence[Holding], months: Months, start_ms: int | None, end_ms: int | None
) -> pl.LazyFrame:
    """The bars of all ``holdings``, in their order, that open in [start_ms, end_ms)."""
    some = [holding for holding in holdings if holding.parts or holding.fresh.height]
    if not some:
        return FRAME_SCHEMA.to_frame().lazy()
    if len(some) <= TOGETHER and sum(len(holding.parts) for holding in some) <= HELD_OPEN:
        return within(pl.concat(holding.lazy(months, True) for holding in some), start_ms, end_ms)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for group in _groups(some):
            query = within(pl.concat(one.lazy(months, HELD_OPEN > 0) for one in group), start_ms, end_ms)
            query = query if predicate is None else query.filter(predicate)
            query = query if columns is None else query.select(columns)
            found = (query if rows is None else query.head(rows)).collect()
            yield found
            rows = None if rows is None else rows - found.height
            if rows == 0:
                return

    return register_io_source(read, schema=FRAME_SCHEMA, is_pure=True)


def _groups(holdings: Sequence[Holding]) -> Iterator[list[Holding]]:
    """``holdings`` in their order, a few at a time."""
    group: list[Holding] = []
    for holding in holdings:
        parts = sum(len(one.parts) for one in group) + len(holding.parts)
        if group and (len(group) == TOGETHER or parts > GROUP_PARTS):
            yield group
            group = []
        group.append(holding)
    if group:
        yield group


def within(query: pl.LazyFrame, start_ms: int | None, end_ms: int | None) -> pl.LazyFrame:
    """The rows of ``query`` with start_ms <= ts < end_ms; None is unbounded."""
    if start_ms is not None:
        query = query.filter(pl.col("ts") >= pl.lit(start_ms, pl.Int64).cast(TS))
    if end_ms is not None:
        query = query.filter(pl.col("ts") < pl.lit(end_ms, pl.Int64).cast(TS))
    return query


def collected(query: pl.LazyFrame, holdings: Sequence[Holding]) -> pl.DataFrame:
    """The answer of ``query``.

    Raises:
        DataError: a partition of ``holdings`` is damaged; the sentence names it.
    """
    try:
        return query.collect()
    except (OSError, pl.exceptions.PolarsError):
        for part in (part for holding in holdings for part in holding.parts):
            lake_partition.read(part)
        raise


_COLUMNS = pa.schema([*FILE_SCHEMA, pa.field("interval", pa.string()), pa.field("symbol", pa.string())])


def sql_door(parts: Sequence[Partition], fresh: Mapping[str, pl.DataFrame]) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that sees ``bars`` and nothing else: no file, no network, no other setting.

    Args:
        parts: month partitions of any interval.
        fresh: fresh bars by interval; they win over those of the months.
    """
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    pieces = [frame.with_columns(interval=pl.lit(interval)) for interval, frame in fresh.items()]
    latest = pl.concat(pieces).select(_COLUMNS.names).to_arrow().cast(_COLUMNS) if pieces else None
    if parts:
        connection.register("months" if pieces else "bars", _dataset(parts))
    if latest is not None:
        connection.register("fresh" if parts else "bars", latest)
    if parts and latest is not None:
        names = ", ".join(_COLUMNS.names)
        connection.execute(
            f"CREATE TEMP VIEW bars AS SELECT {names} FROM fresh UNION ALL "
            f"SELECT {names} FROM months ANTI JOIN fresh USING (interval, symbol, ts)"
        )
    connection.execute("SET lock_configuration = true")
    return connection


def _dataset(parts: Sequence[Partition]) -> pads.Dataset:
    if len(parts) <= HELD_OPEN:
        parquet = pads.ParquetFileFormat()
        held = [
            parquet.make_fragment(
                pa.memory_map(str(part.path)),
                partition_expression=(pads.field("interval") == part.interval)
                & (pads.field("symbol") == part.symbol),
            )
            for part in parts
        ]
        return pads.FileSystemDataset(held, _COLUMNS, parquet)
    folders = pa.schema([_COLUMNS.field("interval"), _COLUMNS.field("symbol")])
    return pads.dataset(
        [str(part.path) for part in parts],
        schema=_COLUMNS,
        format="parquet",
        partitioning=pads.partitioning(folders, flavor="hive"),
        partition_base_dir=str(parts[0].root / BARS),
    )


def empty(root: str, interval: str | None, held: Sequence[str]) -> DataError:
    """The sentence for a lake that has no bars (of ``interval``)."""
    what = f"no {interval} bars" if interval else "no bars"
    hint = f"it holds {', '.join(held)}" if held else "fill it with `mexclab import FILES`"
    return DataError(f"the lake {root} has {what}; {hint}", path=root, interval=interval)
