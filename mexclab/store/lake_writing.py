"""What a write would change: bars against what the lake holds of them, before the first file is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from mexclab.errors import DataError
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_layout import NUMBERS, Partition, partition_of
from mexclab.store.lake_months import Months

KEY = ("symbol", "ts")


@dataclass(frozen=True, slots=True)
class Written:
    """What one `Lake.write` or `Lake.append` changed; every count is of bars except ``partitions``."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    partitions: int = 0  # files rewritten

    def with_files(self, partitions: int) -> Written:
        """The same counts, and so many files written."""
        return replace(self, partitions=partitions)


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between bars and the lake; both frames are sorted by symbol and ts.

    Attributes:
        fresh: bars that correct a fresh one.
        months: other bars that are new or have other values than their partition has.
        counts: of bars that are new, have other values, or are there already.
    """

    fresh: pl.DataFrame
    months: pl.DataFrame
    counts: Written


def change_of(bars: pl.DataFrame, interval: str, lake: tuple[Months, Fresh], correct: bool) -> Change:
    """How ``bars`` differ from what the lake holds. Call it under the pen.

    A bar that is held fresh is compared with the fresh one, for that is what readers see; every other
    bar with its partition, which is read only where it reaches as far as the bars do.

    Args:
        bars: as `lake_checks.admitted` returns them.
        interval: of these bars.
        lake: the months and the fresh bars.
        correct: whether a bar with other values may take the place of a stored one.

    Raises:
        DataError: a bar contradicts a stored one and ``correct`` is off, or a file is damaged.
    """
    months, fresh = lake
    if bars.is_empty():
        return Change(bars, bars, Written())
    times = bars["ts"].to_physical().to_numpy()
    held = fresh.bars(interval, set(bars["symbol"].unique()), int(times.min()), int(times.max()) + 1)
    covered, loose = bars.clear(), bars
    if held.height:
        covered = bars.join(held, on=KEY, how="semi", maintain_order="left")
        loose = bars.join(held, on=KEY, how="anti", maintain_order="left")
    corrected, fixed = _news(covered, held, (interval, str(fresh.root)), correct)
    keep = np.ones(loose.height, dtype=bool)
    for part, start, end, first_ms in _cuts(loose, months.root, interval):
        stored = months.stored(part, first_ms)
        if stored is not None:
            piece = loose[start:end]
            stored = stored.select(pl.lit(part.symbol).alias("symbol"), pl.all())
            new, other = _news(piece, stored, (interval, str(part.path)), correct)
            keep[start:end] = new
            fixed += other
    news = loose.filter(keep)
    correcting = covered.filter(corrected)
    changed = news.height + correcting.height
    return Change(correcting, news, Written(changed - fixed, fixed, bars.height - changed))


def merged(stored: pl.DataFrame | None, news: pl.DataFrame) -> pl.DataFrame:
    """A partition's bars with ``news`` (ts and numbers, sorted by ts) in them; of two, the newer stays."""
    if stored is None or stored.is_empty():
        return news
    if stored["ts"][-1] < news["ts"][0]:
        return pl.concat([stored, news])
    return pl.concat([stored.join(news, on="ts", how="anti"), news]).sort("ts")


def by_partition(bars: pl.DataFrame, root: Path, interval: str) -> Iterator[tuple[Partition, pl.DataFrame]]:
    """``bars`` (sorted by symbol, ts) cut into months, without copying; pieces have ts and the numbers."""
    numbers = bars.drop("symbol")
    for part, start, end, _ in _cuts(bars, root, interval):
        yield part, numbers[start:end]


def _cuts(bars: pl.DataFrame, root: Path, interval: str) -> Iterator[tuple[Partition, int, int, int]]:
    """Partition, first row, row beyond the last, and first open time (ms) of each piece."""
    if bars.is_empty():
        return
    month = pl.col("ts").dt.year().cast(pl.Int32) * 100 + pl.col("ts").dt.month()
    keys = bars.select("symbol", month.alias("month"), pl.col("ts").dt.epoch("ms"))
    changes = pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in ("symbol", "month"))
    heads = keys.with_row_index("row").filter(changes.fill_null(True))
    ends = [*heads["row"].to_list()[1:], bars.height]
    for (start, symbol, number, first_ms), end in zip(heads.iter_rows(), ends, strict=True):
        part = partition_of(root, interval, symbol, f"{number // 100:04}-{number % 100:02}")
        yield part, start, end, first_ms


def _news(
    bars: pl.DataFrame, stored: pl.DataFrame, place: tuple[str, str], correct: bool
) -> tuple[np.ndarray, int]:
    """Which ``bars`` are not in ``stored`` with these values, and how many of them have others there.

    ``place`` is the interval and the path, for the sentence that refuses.
    """
    if bars.equals(stored):
        return np.zeros(bars.height, dtype=bool), 0
    known = stored.with_columns(known=True)
    beside = bars.join(known, on=KEY, how="left", suffix="_stored", maintain_order="left")
    differs = pl.any_horizontal(pl.col(c) != pl.col(f"{c}_stored") for c in NUMBERS)
    conflicts = beside.filter(pl.col("known") & differs)
    if conflicts.height and not correct:
        row = conflicts.row(0, named=True)
        column = next(c for c in NUMBERS if row[c] != row[f"{c}_stored"])
        raise DataError(
            f"{row['symbol']} {place[0]}: {conflicts.height} bars contradict the lake, the first at "
            f"{row['ts']:%Y-%m-%d %H:%M} UTC: {column} is {row[column]!r}, the lake has "
            f"{row[f'{column}_stored']!r}. Nothing was written; pass replace=True to overwrite",
            symbol=row["symbol"],
            interval=place[0],
            conflicts=conflicts.height,
            path=place[1],
        )
    news = beside.select(pl.col("known").is_null() | differs).to_series()
    return news.to_numpy(), conflicts.height
