"""The historical lake: bars in Parquet partitions, read with polars and DuckDB, written in whole months."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads

from mexclab.errors import DataError, ParameterError
from mexclab.store import lake_partition
from mexclab.store.lake_checks import admitted, holes
from mexclab.store.lake_layout import (
    FILE_SCHEMA,
    FRAME_SCHEMA,
    INTERVAL_MS,
    NUMBERS,
    TS,
    Partition,
    folder_of,
    interval_ms,
    partition_of,
    partitions_in,
    symbol_of,
)

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """What one `Lake.write` changed; every count is of bars except ``partitions``."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    partitions: int = 0  # files rewritten


class Lake:
    """A folder of bars. Opening one creates nothing; the first write does.

    Args:
        root: the lake's folder; partitions live under ``root/bars``.
        lock_wait_s: how long a write waits for another writer before it gives up.
    """

    def __init__(self, root: Path, *, lock_wait_s: float = 60.0) -> None:
        self.root = Path(root)
        self._lock_wait_s = lock_wait_s
        self._sound: dict[Path, tuple[int, int, int]] = {}
        self._swept = False
        if (self.root / lake_partition.LOCK_NAME).exists():
            self._sweep_if_idle()

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    # reading

    def symbols(self, interval: str = "1m") -> list[str]:
        """The symbols that have bars at ``interval``, sorted; empty for an empty lake."""
        return list(dict.fromkeys(part.symbol for part in self._all_partitions(interval)))

    def scan(
        self,
        symbols: str | Iterable[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        interval: str = "1m",
    ) -> pl.LazyFrame:
        """Bars as a lazy query that opens only the partitions it needs.

        Args:
            symbols: one name, several, or None for every symbol of the lake.
            start_ns: first open time, ns since the epoch UTC; None for the beginning.
            end_ns: open times before this (half-open range); None for no end.
            interval: length of the bars.

        Returns:
            symbol, ts, open, high, low, close, volume; ordered by the symbols asked for, then ts. No
            rows where the lake knows the symbol but has no bar in the range.

        Raises:
            DataError: the lake has no bars at this interval, does not know a symbol, or a partition
                that is needed is damaged. Footers are read here; a damaged page shows at ``collect``.
            ParameterError: an unknown interval, or a range that ends before it starts.
        """
        parts = self._selected(symbols, (start_ns, end_ns), interval)
        return _lazy(parts, start_ns, end_ns)

    def bars(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None, interval: str = "1m"
    ) -> pl.DataFrame:
        """The bars of one symbol, oldest first; arguments, columns and errors as in `scan`."""
        parts = self._selected(str(symbol), (start_ns, end_ns), interval)
        return _collected(_lazy(parts, start_ns, end_ns), parts)

    def coverage(self, interval: str = "1m") -> pl.DataFrame:
        """What the lake holds: symbol, first, last (open times), rows, gaps; one row per symbol.

        A gap is a run of missing bars between two that exist. Empty for an empty lake.
        """
        if not self.symbols(interval):
            kinds = (pl.String(), TS, TS, pl.UInt32(), pl.UInt32())
            names = ("symbol", "first", "last", "rows", "gaps")
            return pl.DataFrame(schema=list(zip(names, kinds, strict=True)))
        parts = self._selected(None, (None, None), interval)
        times = _collected(_lazy(parts, None, None).select("symbol", "ts"), parts)
        gaps = holes(times, interval).group_by("symbol").agg(gaps=pl.len())
        ts = pl.col("ts")
        return (
            times.group_by("symbol")
            .agg(first=ts.min(), last=ts.max(), rows=pl.len())
            .join(gaps, on="symbol", how="left")
            .with_columns(pl.col("gaps").fill_null(0))
            .sort("symbol")
        )

    def gaps(self, symbols: str | Iterable[str] | None = None, interval: str = "1m") -> pl.DataFrame:
        """Every gap: symbol, start (first missing open time), end (next bar there is), missing (bars)."""
        parts = self._selected(symbols, (None, None), interval)
        return holes(_collected(_lazy(parts, None, None).select("symbol", "ts"), parts), interval)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with a view ``bars``: ts, the five numbers, interval and symbol.

        It sees the partitions that exist now; call again after an import. It cannot write to the
        lake: DuckDB is given the partitions as a data set and may touch neither files nor the network.
        Filters on interval, symbol and ts skip partitions. Say ``WHERE interval = '1m'`` in a lake that
        has several.

        Raises:
            DataError: the lake is empty or a partition is damaged.
        """
        parts = [part for interval in INTERVAL_MS for part in self._all_partitions(interval)]
        if not parts:
            raise self._empty()
        self._check(parts)
        folders = pa.schema([("interval", pa.string()), ("symbol", pa.string())])
        bars = pads.dataset(
            [str(part.path) for part in parts],
            schema=pa.schema([*FILE_SCHEMA, *folders]),
            format="parquet",
            partitioning=pads.partitioning(folders, flavor="hive"),
            partition_base_dir=str(self.root / "bars"),
        )
        connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.register("bars", bars)
        connection.execute("SET lock_configuration = true")
        return connection

    # writing

    def write(self, frame: pl.DataFrame, interval: str = "1m", *, replace: bool = False) -> Written:
        """Merge bars into their month partitions; the same bars again change nothing.

        Each partition is replaced in one step, so a reader or a crash sees it whole, old or new.
        Everything is checked before the first file is touched.

        Args:
            frame: the columns of `scan`, in any order; ``ts`` in UTC. Exact duplicates count once.
            interval: length of these bars; open times must lie on its grid.
            replace: let a bar with other values take the place of the stored one.

        Raises:
            DataError: missing columns, impossible bars, a bar that contradicts a stored one while
                ``replace`` is off, a damaged partition, a full disk, or another writer that does not end.
        """
        bars = admitted(frame, interval)
        with lake_partition.locked(self.root, self._lock_wait_s):
            self._sweep()
            changes = []
            counts = {"added": 0, "replaced": 0, "unchanged": 0}
            for part, fresh in _by_partition(bars, self.root, interval):
                added, replaced = self._difference(part, fresh, replace)
                counts["added"] += added
                counts["replaced"] += replaced
                counts["unchanged"] += fresh.height - added - replaced
                if added or replaced:
                    changes.append((part, fresh))
            for part, fresh in changes:
                lake_partition.write(part.path, _merged(part, fresh))
        return Written(**counts, partitions=len(changes))

    def _difference(self, part: Partition, fresh: pl.DataFrame, replace: bool) -> tuple[int, int]:
        """How many bars of ``fresh`` are new to ``part``, and how many have other values than it."""
        if not part.path.exists():
            return fresh.height, 0
        stored = lake_partition.read(part)
        if stored.equals(fresh):
            return 0, 0
        both = fresh.join(stored, on="ts", suffix="_stored")
        differs = pl.any_horizontal(pl.col(c) != pl.col(f"{c}_stored") for c in NUMBERS)
        conflicts = both.filter(differs)
        if conflicts.height and not replace:
            row = conflicts.row(0, named=True)
            column = next(c for c in NUMBERS if row[c] != row[f"{c}_stored"])
            raise DataError(
                f"{part.symbol} {part.interval}: {conflicts.height} bars contradict the lake, the first at "
                f"{row['ts']:%Y-%m-%d %H:%M} UTC: {column} is {row[column]!r}, the lake has "
                f"{row[f'{column}_stored']!r}. Nothing was written; pass replace=True to overwrite",
                symbol=part.symbol,
                interval=part.interval,
                conflicts=conflicts.height,
                path=str(part.path),
            )
        return fresh.height - both.height, conflicts.height

    # the inside

    def _selected(
        self, symbols: str | Iterable[str] | None, span_ns: tuple[int | None, int | None], interval: str
    ) -> list[Partition]:
        interval_ms(interval)
        start, end = (_ceil_ms(ns) for ns in span_ns)
        if start is not None and end is not None and end < start:
            raise ParameterError(
                f"the range ends before it starts: start_ns={span_ns[0]}, end_ns={span_ns[1]}; swap them",
                start_ns=span_ns[0],
                end_ns=span_ns[1],
            )
        if symbols is None:
            found = self._all_partitions(interval)
            if not found:
                raise self._empty(interval)
        else:
            names = [symbols] if isinstance(symbols, str) else list(dict.fromkeys(str(s) for s in symbols))
            found = [part for name in names for part in self._partitions_of(name, interval)]
        chosen = [part for part in found if part.meets(start, end)]
        self._check(chosen)
        return chosen

    def _all_partitions(self, interval: str) -> list[Partition]:
        """Every partition of ``interval``, by symbol and month."""
        interval_ms(interval)
        folder = self.root / "bars" / f"interval={interval}"
        if not folder.is_dir():
            return []
        named = [entry for entry in folder.iterdir() if entry.name.startswith("symbol=") and entry.is_dir()]
        return [
            part
            for entry in sorted(named, key=lambda entry: symbol_of(entry.name))
            for part in partitions_in(entry, interval)
        ]

    def _partitions_of(self, symbol: str, interval: str) -> list[Partition]:
        folder = self.root / "bars" / f"interval={interval}" / folder_of(symbol)
        parts = partitions_in(folder, interval) if folder.is_dir() else []
        if parts:
            return parts
        known = self.symbols(interval)
        if not known:
            raise self._empty(interval)
        raise _unknown(symbol, interval, known)

    def _check(self, parts: Sequence[Partition]) -> None:
        """Read each footer once; a partition is only ever replaced, so its stamp says whether it changed."""
        for part in parts:
            status = part.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._sound.get(part.path) != stamp:
                lake_partition.check(part)
                self._sound[part.path] = stamp

    def _empty(self, interval: str | None = None) -> DataError:
        held = [name for name in INTERVAL_MS if self.symbols(name)]
        what = f"no {interval} bars" if interval else "no bars"
        hint = f"it holds {', '.join(held)}" if held else "fill it with `mexclab import FILES`"
        return DataError(f"the lake {self.root} has {what}; {hint}", path=str(self.root), interval=interval)

    def _sweep(self) -> None:
        if not self._swept:
            lake_partition.sweep(self.root)
            self._swept = True

    def _sweep_if_idle(self) -> None:
        """Clean up after a dead writer unless a live one is at work or this folder is read-only to us."""
        try:
            with lake_partition.locked(self.root, wait_s=0):
                self._sweep()
        except (DataError, OSError):
            self._swept = False


def _lazy(parts: Sequence[Partition], start_ns: int | None, end_ns: int | None) -> pl.LazyFrame:
    by_symbol: dict[str, list[Partition]] = {}
    for part in parts:
        by_symbol.setdefault(part.symbol, []).append(part)
    if not by_symbol:
        return pl.LazyFrame(schema=FRAME_SCHEMA)
    # A scan per symbol: polars' own hive parser trips over a "key=value" folder above the lake.
    query = pl.concat(
        pl.scan_parquet([p.path for p in group], glob=False, hive_partitioning=False).select(
            pl.lit(symbol).alias("symbol"), "ts", *NUMBERS
        )
        for symbol, group in by_symbol.items()
    )
    start, end = _ceil_ms(start_ns), _ceil_ms(end_ns)
    if start is not None:
        query = query.filter(pl.col("ts") >= pl.lit(start, pl.Int64).cast(TS))
    if end is not None:
        query = query.filter(pl.col("ts") < pl.lit(end, pl.Int64).cast(TS))
    return query


def _collected(query: pl.LazyFrame, parts: Sequence[Partition]) -> pl.DataFrame:
    try:
        return query.collect()
    except (OSError, pl.exceptions.PolarsError):
        for part in parts:
            lake_partition.read(part)
        raise


def _ceil_ms(ns: int | None) -> int | None:
    return None if ns is None else -(-ns // _NS_PER_MS)


def _by_partition(bars: pl.DataFrame, root: Path, interval: str) -> list[tuple[Partition, pl.DataFrame]]:
    """``bars`` (sorted by symbol, ts) cut into months, without copying."""
    month = pl.col("ts").dt.year().cast(pl.Int32) * 100 + pl.col("ts").dt.month()
    keys = bars.select("symbol", month=month)
    changes = pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in ("symbol", "month"))
    starts = keys.select(changes.fill_null(True).arg_true()).to_series().to_list()
    pieces = []
    for start, end in pairwise([*starts, bars.height]):
        symbol, number = keys.row(start)
        part = partition_of(root, interval, symbol, f"{number // 100:04}-{number % 100:02}")
        pieces.append((part, bars.slice(start, end - start).drop("symbol")))
    return pieces


def _merged(part: Partition, fresh: pl.DataFrame) -> pl.DataFrame:
    if not part.path.exists():
        return fresh
    kept = lake_partition.read(part).join(fresh, on="ts", how="anti")
    return pl.concat([kept, fresh]).sort("ts")


def _unknown(symbol: str, interval: str, known: Sequence[str]) -> DataError:
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(symbol.casefold(), folded, n=3, cutoff=0.5)
    nearest = [folded[name] for name in near]
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "see lake.symbols() for those there are"
    return DataError(
        f"the lake has no {interval} bars of {symbol!r}; {hint}",
        symbol=symbol,
        interval=interval,
        nearest=nearest,
    )
