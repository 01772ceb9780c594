"""Bars from CSV and Parquet files into the lake: judged row by row, written partition by partition."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from mexclab.errors import DataError, ImportRefused
from mexclab.store.bar_import_plan import ImportPlan
from mexclab.store.bar_import_reading import Rows, files_in, read_rows
from mexclab.store.bar_import_report import FileResult, ImportReport, Refused, RefusedRow, SymbolGaps
from mexclab.store.bar_import_times import open_time_ns, recognised_interval
from mexclab.store.lake import Lake
from mexclab.store.lake_checks import Check, bar_checks, faulty, holes, in_order, reasons, repeated
from mexclab.store.lake_layout import COLUMNS, INTERVAL_MS, NUMBERS, ORIGIN

__all__ = ["FileResult", "ImportPlan", "ImportReport", "Refused", "RefusedRow", "SymbolGaps", "import_bars"]

EXAMPLES = 20  # kept per reason and file
_NS_PER_MS = 1_000_000


def import_bars(
    paths: Sequence[Path],
    lake: Lake,
    plan: ImportPlan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Take bar files into the lake.

    A file whose structure is wrong is refused whole; a bad row is refused alone and listed. Running the
    same import again changes nothing, and finishes one that was killed.

    Args:
        paths: CSV (also .csv.gz) and Parquet files, or folders of them, searched to any depth.
        lake: where the bars go.
        plan: what is known about the files; None guesses everything.
        progress: called with (files done, files in all), first with none done.

    Returns:
        What became of every file and row, and the gaps that the touched symbols now have.

    Raises:
        ImportRefused: nothing to import, or every file was refused; ``data["report"]`` then tells all.
    """
    plan = plan or ImportPlan()
    if plan.now_ns is None:
        plan = replace(plan, now_ns=time.time_ns())
    files = files_in(paths)
    tell = progress or (lambda done, total: None)
    tell(0, len(files))
    results = []
    for done, path in enumerate(files, start=1):
        results.append(_import_file(path, lake, plan))
        tell(done, len(files))
    report = ImportReport(tuple(results), _gaps_in_lake(results, lake))
    if len(report.having("refused")) == len(results):
        first = results[0]
        others = f" (and {len(results) - 1} more files refused)" if len(results) > 1 else ""
        raise ImportRefused(f"nothing was imported. {first.path}: {first.reason}{others}", report=report)
    return report


def _import_file(path: Path, lake: Lake, plan: ImportPlan) -> FileResult:
    """Read, judge and write one file. What went wrong is in the result: other files still get their turn."""
    result = FileResult(path, "refused")
    try:
        rows = read_rows(path, plan)
        result = replace(result, rows=rows.frame.height, notes=rows.notes)
        interval, note = recognised_interval(rows.frame, plan)
        result = replace(result, interval=interval, notes=(*rows.notes, f"interval {note}"))
        good, refused = _judged(rows, interval, plan)
        symbols = tuple(good["symbol"].unique().sort())
        result = replace(result, refused=refused, symbols=symbols)
        if good.is_empty():
            raise ImportRefused(f"no usable row; {refused[0].rows:,} rows: {refused[0].reason}")
        bars, repeats = _ordered(good, plan)
        result = replace(result, repeats=repeats, gaps=_gap_sums(bars, interval))
        _forget_origin(lake)
        done = lake.write(bars.select(COLUMNS), interval, replace=plan.replace)
    except DataError as why:
        return replace(result, reason=why.message)
    status = "accepted" if done.partitions else "unchanged"
    return replace(result, status=status, added=done.added, replaced=done.replaced, unchanged=done.unchanged)


def _forget_origin(lake: Lake) -> None:
    """A download that brought nothing may have marked the lake as a simulator's: imported bars are not."""
    mark = lake.root / ORIGIN
    if not mark.exists() or any(lake.symbols(interval) for interval in INTERVAL_MS):
        return
    try:
        mark.unlink(missing_ok=True)
    except OSError as why:
        raise DataError(
            f"{mark} could not be removed ({why}); fix the permissions and import again", path=str(mark)
        ) from why


def _judged(rows: Rows, interval: str, plan: ImportPlan) -> tuple[pl.DataFrame, tuple[Refused, ...]]:
    """The good rows (row and the lake's columns) and what was refused.

    The checks run on nanoseconds first, for a time of 0.5 ms past the minute is off the grid too.
    """
    opened = open_time_ns(pl.col("ns"), interval, plan.time_is)
    frame = rows.frame.with_columns(ns=opened).with_columns(
        ts=(pl.col("ns") // _NS_PER_MS).cast(pl.Datetime("ms", "UTC"))
    )
    checks = (*_file_checks(interval, plan), *bar_checks(interval))
    wrong = faulty(frame, checks)
    good = frame.select("row", *COLUMNS)
    if not wrong.any():
        return good, ()
    return good.filter(~wrong), _listed(frame.filter(wrong), checks)


def _file_checks(interval: str, plan: ImportPlan) -> tuple[Check, ...]:
    length = INTERVAL_MS[interval] * _NS_PER_MS
    ns, said = pl.col("ns"), pl.col("raw_ts").cast(pl.String)
    return (
        Check("time missing or not understood", ns.is_null(), said),
        Check(f"time not on the {interval} grid", (ns % _NS_PER_MS != 0).fill_null(False), said),
        Check(
            "the bar has not closed: its time is in the future",
            (ns + length > plan.now_ns).fill_null(False),
            said,
        ),
        *(
            Check(f"{c} missing or not a number", pl.col(c).is_null(), pl.col(f"raw_{c}").cast(pl.String))
            for c in NUMBERS
        ),
    )


def _listed(bad: pl.DataFrame, checks: tuple[Check, ...]) -> tuple[Refused, ...]:
    told = reasons(bad, checks).select("row", "reason", "value").sort("row")
    groups = told.group_by("reason", maintain_order=True).agg(
        rows=pl.len(), row=pl.col("row").head(EXAMPLES), value=pl.col("value").head(EXAMPLES)
    )
    listed = (
        Refused(
            group["reason"],
            group["rows"],
            tuple(RefusedRow(row, value) for row, value in zip(group["row"], group["value"], strict=True)),
        )
        for group in groups.iter_rows(named=True)
    )
    return tuple(sorted(listed, key=lambda group: -group.rows))


def _ordered(good: pl.DataFrame, plan: ImportPlan) -> tuple[pl.DataFrame, int]:
    """``good`` sorted by symbol and ts with each bar once, and how many repeats were dropped.

    Raises:
        ImportRefused: times run backwards, repeat or contradict each other and ``fix`` does not allow it.
    """
    if "sort" not in plan.fix:
        _refuse_backwards(good)
    bars = in_order(good)
    if not bars.select(repeated().any()).item():
        return bars, 0
    once = bars.unique(subset=COLUMNS, keep="first", maintain_order=True)
    clash = once.filter(repeated()).sort("row")
    if clash.height:
        row = clash.row(0, named=True)
        raise ImportRefused(
            f"{row['symbol']} has two different bars at {row['ts']:%Y-%m-%d %H:%M} UTC, the second in row "
            f"{row['row']:,}; {clash.height:,} such rows in all. Keep one of each in the file",
            row=row["row"],
            rows=clash.height,
        )
    repeats = bars.height - once.height
    if "dedupe" not in plan.fix:
        row = bars.filter(repeated()).sort("row").row(0, named=True)
        raise ImportRefused(
            f"{row['symbol']} repeats the bar of {row['ts']:%Y-%m-%d %H:%M} UTC in row {row['row']:,}; "
            f"{repeats:,} exact repeats in all. Allow dropping them with --fix dedupe (fix='dedupe')",
            row=row["row"],
            rows=repeats,
        )
    return once, repeats


def _refuse_backwards(good: pl.DataFrame) -> None:
    symbol, ts = pl.col("symbol"), pl.col("ts")
    behind = good.filter((symbol == symbol.shift()) & (ts < ts.shift())).sort("row")
    if behind.height:
        row = behind.row(0, named=True)
        raise ImportRefused(
            f"times of {row['symbol']} run backwards at row {row['row']:,} ({row['ts']:%Y-%m-%d %H:%M} UTC), "
            f"{behind.height:,} rows in all. If the file is whole, such as newest first, allow sorting "
            "with --fix sort (fix='sort')",
            row=row["row"],
            rows=behind.height,
        )


def _gap_sums(bars: pl.DataFrame, interval: str) -> tuple[SymbolGaps, ...]:
    return _summed(holes(bars, interval), interval)


def _gaps_in_lake(results: Sequence[FileResult], lake: Lake) -> tuple[SymbolGaps, ...]:
    touched: dict[str, set[str]] = {}
    for result in results:
        if result.status != "refused":
            touched.setdefault(result.interval, set()).update(result.symbols)
    return tuple(
        gap
        for interval, symbols in touched.items()
        for gap in _summed(lake.gaps(sorted(symbols), interval), interval)
    )


def _summed(found: pl.DataFrame, interval: str) -> tuple[SymbolGaps, ...]:
    missing = pl.col("missing")
    sums = (
        found.group_by("symbol")
        .agg(count=missing.len(), largest=missing.max(), missing=missing.sum())
        .sort("symbol")
    )
    return tuple(SymbolGaps(interval=interval, **row) for row in sums.iter_rows(named=True))
