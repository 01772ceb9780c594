"""How fast the lake is: ``python -m benchmarks.lake [--quick] [--folder FOLDER] [--symbols N] [--months M]``.

A synthetic lake of 2,000 symbols x 1 year of minutes (about 1.05 billion bars; ``--quick``: 100 x 2 months)
is built in a temporary folder, or kept in ``--folder``. Then, medians and CPU seconds of all threads:

- one month of one symbol, by a lake that was just opened and by one that was used before, without and
  with fresh files beside the months;
- mean close, highest high and volume per symbol over everything: the lake's two doors beside DuckDB
  reading the same files with nothing in between;
- what the lake holds, its gaps, a flush of one minute of every symbol, and the compaction of a day's flushes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.lake_synthetic import MINUTE_MS, build, flush, months, name_of, next_month_ms
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import partition_of

GOAL_POINT_MS = 30.0
GOAL_AGGREGATE = 2.0  # times DuckDB's own time
OPENED, IN_USE = "symbol-month, just opened", "symbol-month, in use"
OURS, NATIVE = "aggregate, lake.scan()", "aggregate, DuckDB native"
POINTS = 50
FLUSHES = 127  # leaves fifteen files, the most that so few flushes can
NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """Medians: wall time and CPU time of all threads, seconds."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Size:
    """Of the lake."""

    symbols: int
    months: int


class Report:
    """Medians by name, each printed as it comes: the last of them take minutes."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}

    def time(self, name: str, work: Callable[[], object], runs: int) -> None:
        """Keep and print the medians of ``runs`` calls."""
        times = []
        for _ in range(runs):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        taken = Taken(statistics.median(t[0] for t in times), statistics.median(t[1] for t in times))
        self.taken[name] = taken
        print(f"  {name:<44} {taken.wall_s * 1e3:12,.1f} ms {taken.cpu_s * 1e3:12,.1f} CPU ms", flush=True)


def points(report: Report, root: Path, size: Size, what: str) -> None:
    """One symbol-month from a lake just opened, from one in use, and the last day of a symbol.

    Each was read before, so that the disk is not what is measured.
    """
    draw = random.Random(11)
    numbers = [draw.randrange(size.symbols) for _ in range(POINTS)]
    asked = [partition_of(root, "1m", name_of(n), draw.choice(months(size.months))) for n in numbers]
    used, turn = Lake(root), cycle(asked)
    end_ns = next_month_ms(size.months) * NS

    def month(lake: Lake) -> pl.DataFrame:
        part = next(turn)
        return lake.bars(part.symbol, *(ms * NS for ms in part.span_ms))

    def last_day() -> pl.DataFrame:
        return used.bars(next(turn).symbol, end_ns - 1440 * MINUTE_MS * NS)

    for _ in asked:
        month(used)
    report.time(f"{OPENED}, {what}", lambda: month(Lake(root)), POINTS)
    report.time(f"{IN_USE}, {what}", lambda: month(used), POINTS)
    report.time(f"the newest day, {what}", last_day, POINTS)


SQL = "SELECT symbol, avg(close), max(high), sum(volume) FROM {} GROUP BY symbol"


def aggregates(report: Report, root: Path, runs: int) -> None:
    """The same aggregate over every bar, three ways."""
    files = str(root / "bars" / "interval=1m" / "*" / "*.parquet")

    def by_polars() -> pl.DataFrame:
        what = (pl.col("close").mean(), pl.col("high").max(), pl.col("volume").sum())
        return Lake(root).scan().group_by("symbol").agg(*what).collect(engine="streaming")

    def by_the_sql_door() -> list[object]:
        with Lake(root).connect() as connection:
            return connection.execute(SQL.format("bars")).fetchall()

    def by_duckdb() -> list[object]:
        with duckdb.connect() as connection:
            return connection.execute(
                SQL.format(f"read_parquet('{files}', hive_partitioning=true)")
            ).fetchall()

    report.time(OURS, by_polars, runs)
    report.time(NATIVE, by_duckdb, runs)
    report.time("aggregate, lake.connect()", by_the_sql_door, runs)


def upkeep(report: Report, root: Path, size: Size) -> None:
    """Flushes of a live stream, then what the lake says of itself, then the compaction."""
    lake = Lake(root)
    start_ms = next_month_ms(size.months)
    minutes = iter(range(FLUSHES))

    def append() -> None:
        lake.append(flush(size.symbols, start_ms + next(minutes) * MINUTE_MS))

    report.time(f"append of {size.symbols:,} bars", append, FLUSHES)
    files = len(list((root / "fresh" / "1m").glob("*.parquet")))
    print(f"  ({FLUSHES} flushes left {files} fresh files)")
    points(report, root, size, "with fresh files")
    report.time("symbols(), just opened", lambda: Lake(root).symbols(), 3)
    known = Lake(root)
    report.time("coverage(), just opened", known.coverage, 1)
    report.time("coverage() again", known.coverage, 3)
    report.time("gaps() again", known.gaps, 3)
    report.time("compact()", lake.compact, 1)


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """The folder that was asked for, which stays, or a temporary one."""
    if folder is not None:
        yield folder
        return
    path = Path(tempfile.mkdtemp(prefix="mexclab-lake-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 symbols x 2 months")
    parser.add_argument("--folder", type=Path, help="keep the lake here, or use the one that is here")
    parser.add_argument("--symbols", type=int)
    parser.add_argument("--months", type=int)
    wanted = parser.parse_args()
    symbols = wanted.symbols or (100 if wanted.quick else 2_000)
    count = wanted.months or (2 if wanted.quick else 12)
    report = Report()
    with place(wanted.folder) as root:
        bars = build(root, symbols, count)
        print(f"{symbols:,} symbols x {count} months, {bars:,} bars of one minute")
        size = Size(symbols, count)
        points(report, root, size, "months alone")
        upkeep(report, root, size)
        aggregates(report, root, 3 if bars < 1e8 else 1)
    _told(report.taken)


def _told(taken: dict[str, Taken]) -> None:
    """The goals, and the same as JSON on the last line."""
    values = {
        "symbol_month_first_open_ms": (taken[f"{OPENED}, months alone"].wall_s * 1e3, GOAL_POINT_MS, "ms"),
        "symbol_month_ms": (taken[f"{IN_USE}, months alone"].wall_s * 1e3, GOAL_POINT_MS, "ms"),
        "symbol_month_with_fresh_ms": (
            taken[f"{OPENED}, with fresh files"].wall_s * 1e3,
            GOAL_POINT_MS,
            "ms",
        ),
        "aggregate_cpu_beside_duckdb": (taken[OURS].cpu_s / taken[NATIVE].cpu_s, GOAL_AGGREGATE, "times"),
    }
    goals = {
        key: {"value": round(value, 2), "goal": goal, "unit": unit, "met": value <= goal}
        for key, (value, goal, unit) in values.items()
    }
    for key, said in goals.items():
        verdict = "met" if said["met"] else "MISSED"
        print(f"{key}: {said['value']} {said['unit']} (goal {said['goal']}): {verdict}")
    print(json.dumps({"benchmark": "lake", "goals": goals}))


if __name__ == "__main__":
    main()
