"""The historical lake: bars in Parquet, read with polars and DuckDB; months, and what came since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import duckdb
import polars as pl

from mexclab.domain.clock import written
from mexclab.errors import DataError, ParameterError
from mexclab.store import lake_partition, lake_reading
from mexclab.store.lake_checks import admitted
from mexclab.store.lake_compaction import LOCK_NAME as COMPACTION_LOCK
from mexclab.store.lake_compaction import Compacted, Compaction
from mexclab.store.lake_facts import Facts
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_gaps import GAP_SCHEMA, between, reasoned
from mexclab.store.lake_layout import FRAME_SCHEMA, INTERVAL_MS, TS, interval_ms
from mexclab.store.lake_months import Months, unknown
from mexclab.store.lake_reading import Holding, sql_door
from mexclab.store.lake_writing import Written, by_partition, change_of, merged

__all__ = ["Compacted", "Lake", "Written"]

_NS_PER_MS = 1_000_000
_YEAR_10000_NS = 253_402_300_800_000_000_000  # from there on no calendar tells the moment
_COVERAGE = pl.Schema(
    [("symbol", pl.String()), ("first", TS), ("last", TS), ("rows", pl.UInt32()), ("gaps", pl.UInt32())]
)


class Lake:
    """A folder of bars. Opening one creates nothing; the first write does.

    Args:
        root: the lake's folder; month partitions live under ``root/bars``, what was appended since the
            last compaction under ``root/fresh``. Every reader sees both as one.
        lock_wait_s: how long a write waits for another writer before it gives up.

    Attributes:
        facts: listings, delistings and renames.
    """

    def __init__(self, root: Path, *, lock_wait_s: float = 60.0) -> None:
        self.root = Path(root)
        self.facts = Facts(self.root, lock_wait_s)
        self._lock_wait_s = lock_wait_s
        self._months = Months(self.root)
        self._fresh = Fresh(self.root)
        self._swept = False
        if (self.root / lake_partition.LOCK_NAME).exists():
            self._sweep_if_idle()

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    # reading

    def symbols(self, interval: str = "1m") -> list[str]:
        """The symbols that have bars at ``interval``, sorted; empty for an empty lake."""
        fresh = self._fresh.symbols(interval)
        return sorted(fresh.union(self._months.symbols(interval)))

    def fullest(self, interval: str = "1m") -> str:
        """The symbol whose latest month takes most room: as far as sizes tell, it traded most often.

        Raises:
            DataError: the lake has no bars at this interval.
        """
        latest = {name: parts[-1].path for name, parts in self._months.by_symbol(interval).items()}
        newest = max((path.stem for path in latest.values()), default="")
        sizes: dict[str, int] = {}
        for name, path in latest.items():
            with contextlib.suppress(FileNotFoundError):
                sizes |= {name: path.stat().st_size} if path.stem == newest else {}
        names = sizes or dict.fromkeys(self._fresh.symbols(interval), 0)
        if not names:
            raise self._empty(interval)
        return max(sorted(names), key=names.__getitem__)

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
        span = _span_ms(start_ns, end_ns)
        return lake_reading.lazy(self._held(symbols, span, interval), self._months, *span)

    def bars(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None, interval: str = "1m"
    ) -> pl.DataFrame:
        """The bars of one symbol, oldest first; arguments, columns and errors as in `scan`."""
        span = _span_ms(start_ns, end_ns)
        held = self._held(str(symbol), span, interval)
        return lake_reading.collected(lake_reading.lazy(held, self._months, *span), held)

    def history(
        self, symbol: str, start_ns: int | None = None, end_ns: int | None = None, interval: str = "1m"
    ) -> pl.DataFrame:
        """As `bars`, with what was traded under former names before it, all of it called ``symbol``.

        The renames are those of `facts`. A bar that opened before the rename is the old name's, later
        ones are the new name's. Former names that the lake has no bars of are passed over.

        Raises:
            DataError: as `bars`, where the lake has neither the symbol nor any of its former names.
        """
        name = str(symbol)
        _span_ms(start_ns, end_ns)
        spans = self.facts.names(name)
        known = self.symbols(interval) if len(spans) > 1 else [name]
        pieces = []
        for span in spans:
            begin, beyond = span.cut(start_ns, end_ns)
            if span.symbol in known and (begin is None or beyond is None or begin <= beyond):
                pieces.append(self.bars(span.symbol, begin, beyond, interval))
        if not pieces and not any(span.symbol in known for span in spans):
            raise unknown(name, interval, known)
        return pl.concat([FRAME_SCHEMA.to_frame(), *pieces]).with_columns(symbol=pl.lit(name))

    def coverage(self, interval: str = "1m") -> pl.DataFrame:
        """What the lake holds: symbol, first, last (open times), rows, gaps; one row per symbol.

        A gap is a run of missing bars between two that exist. Empty for an empty lake.
        """
        rows = []
        for held in self._held(None, (None, None), interval) if self.symbols(interval) else []:
            count, runs = held.extent(self._months)
            rows.append((held.symbol, runs[0][0], runs[-1][1], count, len(runs) - 1))
        return _table(rows, _COVERAGE)

    def gaps(
        self,
        symbols: str | Iterable[str] | None = None,
        interval: str = "1m",
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> pl.DataFrame:
        """The gap map: every stretch of bars that the lake does not have, and the reason.

        Args:
            symbols: one name, several, or None for every symbol of the lake.
            interval: length of the bars.
            start_ns: look from this open time on, also before a symbol's first bar; None begins there.
            end_ns: look up to this time, also after a symbol's last bar; None ends there.

        Returns:
            symbol, start (first missing open time), end (half-open), missing (bars), reason: ``missing``,
            ``before listing``, ``after delisting`` or ``under another name``, as `facts` say. A gap is
            cut where its reason changes. Sorted as the symbols were asked for, then by start.

        Raises:
            DataError, ParameterError: as in `scan`.
        """
        start, end = _span_ms(start_ns, end_ns)
        step = interval_ms(interval)
        rows = []
        for held in self._held(symbols, (None, None), interval):
            _, runs = held.extent(self._months)
            found = between(runs, step, start, end)
            if found:
                rows += reasoned(held.symbol, found, self.facts.life(held.symbol), interval)
        return _table(rows, GAP_SCHEMA)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with a view ``bars``: ts, the five numbers, interval and symbol.

        It sees the bars that exist now; connect again after an import. It cannot write to the lake: DuckDB
        is given the partitions as a data set and may touch neither files nor the network. Filters on
        interval, symbol and ts skip partitions. Say ``WHERE interval = '1m'`` in a lake that has several.

        Raises:
            DataError: the lake is empty or a partition is damaged.
        """
        fresh = {interval: self._fresh.bars(interval) for interval in self._fresh.intervals()}
        parts = [part for interval in INTERVAL_MS for part in self._months.all(interval)]
        if not parts and not fresh:
            raise self._empty()
        self._months.recall()
        self._months.check(parts)
        self._months.remember()
        return sql_door(parts, fresh)

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
            change = change_of(bars, interval, (self._months, self._fresh), replace)
            if change.fresh.height:
                self._fresh.add(interval, change.fresh)
            files = int(change.fresh.height > 0)
            for part, news in by_partition(change.months, self.root, interval):
                files += 1
                lake_partition.write(part, merged(self._months.stored(part), news))
        return change.counts.with_files(files)

    def append(self, frame: pl.DataFrame, interval: str = "1m", *, replace: bool = False) -> Written:
        """Take live bars of any number of symbols in one small file, durable when this returns.

        Readers see them at once, beside the months. What the lake holds already is not written again; a
        bar that contradicts it is refused as in `write`. `compact` moves the bars into their months.

        Args:
            frame: as in `write`: closed bars, of one flush.
            interval: length of these bars.
            replace: let a corrected bar take the place of the one that the lake holds.

        Returns:
            Counts of bars; ``partitions`` is 1 where a file was written.

        Raises:
            DataError: as in `write`; nothing was kept.
        """
        bars = admitted(frame, interval)
        with lake_partition.locked(self.root, self._lock_wait_s):
            self._sweep()
            change = change_of(bars, interval, (self._months, self._fresh), replace)
            news = pl.concat([change.fresh, change.months]).sort("symbol", "ts")
            if news.is_empty():
                return change.counts
            self._fresh.add(interval, news)
            # The bars are kept, and an error of the merge would say that they are not; it is tried again.
            with (
                contextlib.suppress(DataError, OSError),
                lake_partition.locked_if_free(self.root, COMPACTION_LOCK) as free,
            ):
                if free:
                    self._fresh.merge(interval)
        return change.counts.with_files(1)

    def compact(
        self, interval: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Compacted:
        """Fold what was appended into the month partitions, and then remove the fresh files.

        Appends and writes go on meanwhile: the pen is let go of several times a second. Killed at any
        moment it loses nothing; run it again.

        Args:
            interval: of the bars; None for every interval that has fresh ones.
            progress: called with (symbols done, symbols in all) per interval, first with none done.

        Raises:
            DataError: a damaged file, a full disk, or another writer or compaction that does not end.
        """
        chosen = self._fresh.intervals() if interval is None else [interval]
        done = Compacted()
        work = Compaction(
            self._months, self._fresh, self._lock_wait_s, progress or (lambda done, total: None)
        )
        for name in chosen:
            interval_ms(name)
            if self._fresh.files(name):
                with lake_partition.locked(self.root, self._lock_wait_s, COMPACTION_LOCK):
                    done += work.run(name)
        return done

    # the inside

    def _held(
        self, symbols: str | Iterable[str] | None, span: tuple[int | None, int | None], interval: str
    ) -> list[Holding]:
        """What the lake holds of ``symbols`` in ``span`` (ms), checked.

        Fresh bars are read before the months are looked at: what a compaction moves meanwhile is seen twice,
        never not at all.
        """
        interval_ms(interval)
        names = [symbols] if isinstance(symbols, str) else symbols
        asked = None if names is None else list(dict.fromkeys(str(name) for name in names))
        fresh, live = self._fresh.look(interval, None if asked is None else set(asked), *span)
        by_symbol = {str(piece["symbol"][0]): piece for piece in fresh.partition_by("symbol")}
        if asked is None:
            self._months.recall()
            by_name = self._months.by_symbol(interval)
            everyone = sorted(live.union(by_name))
            if not everyone:
                raise self._empty(interval)
        else:
            by_name = {name: self._months.of(name, interval) for name in asked}
            everyone = asked
            strangers = [name for name in asked if not by_name[name] and name not in live]
            if strangers:
                raise self._unknown(strangers[0], interval)
        held = []
        nothing = FRAME_SCHEMA.to_frame()
        for name in everyone:
            chosen = [part for part in by_name.get(name, ()) if part.meets(*span)]
            chosen = self._months.within(chosen, *span)
            held.append(Holding(name, interval, chosen, by_symbol.get(name, nothing)))
        self._months.remember()
        return held

    def _unknown(self, name: str, interval: str) -> DataError:
        known = self.symbols(interval)
        return unknown(name, interval, known) if known else self._empty(interval)

    def _empty(self, interval: str | None = None) -> DataError:
        held = [name for name in INTERVAL_MS if self.symbols(name)]
        return lake_reading.empty(str(self.root), interval, held)

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


def _table(rows: Sequence[tuple[object, ...]], schema: pl.Schema) -> pl.DataFrame:
    """``rows`` with times in ms as a table with times in UTC."""
    plain = {name: pl.Int64() if kind == TS else kind for name, kind in schema.items()}
    return pl.DataFrame(rows, schema=plain, orient="row").cast(schema)


def _told(at_ns: int) -> str:
    return written(at_ns) if 0 <= at_ns < _YEAR_10000_NS else f"{at_ns} ns"


def _span_ms(start_ns: int | None, end_ns: int | None) -> tuple[int | None, int | None]:
    """The range in ms; a bar opens on a whole ms, so both ends are rounded up."""
    if start_ns is not None and end_ns is not None and end_ns < start_ns:
        raise ParameterError(
            f"the range ends before it starts: {_told(start_ns)} to {_told(end_ns)}; swap them",
            start_ns=start_ns,
            end_ns=end_ns,
        )
    start, end = (None if ns is None else -(-ns // _NS_PER_MS) for ns in (start_ns, end_ns))
    return start, end
