"""The panel file and the vectors: ``python -m benchmarks.vectors [--quick] [--lake FOLDER]``.

A lake of random walks is written to a temporary folder (or one that is there is taken), and then, in CPU
seconds: the panel file is built in a process of its own, whose peak of memory is told; opened again;
brought up to date after a live minute of every symbol and after a repaired bar. Vectors of windows of 60
bars are built over the same panel, and their recall is measured against the exact search, exclusion zones
and all, at every effort.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from mexclab.research.similarity import SimilarityOptions
from mexclab.research.windows import Panel
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import COLUMNS
from mexclab.store.panel_file import panel_of
from mexclab.store.vectors import VectorSpec
from mexclab.store.vectors_faiss import FaissVectors
from mexclab.store.vectors_search import measure, sampled_queries, sufficient
from mexclab.store.vectors_windows import WindowVectors

MINUTE_MS = 60_000
START_MS = 20_454 * 86_400_000  # 2026-01-01 00:00 UTC
LENGTH, K = 60, 10
RECALL_GOAL = 0.98
BUILD = "import sys; from pathlib import Path; from mexclab.store.lake import Lake; "
BUILD += "from mexclab.store.panel_file import panel_of; print(len(panel_of(Lake(Path(sys.argv[1])))))"


def bars(symbol: str, first: int, count: int, rng: np.random.Generator) -> pl.DataFrame:
    """``count`` minutes of a random walk with steps of 10 bp, to eight digits as a venue quotes them."""
    close = np.round(100.0 * np.exp(np.cumsum(rng.standard_normal(count)) * 1e-3), 6)
    opened = np.append(close[0], close[:-1])
    return pl.DataFrame(
        {
            "symbol": pl.Series([symbol]).new_from_index(0, count),
            "ts": pl.Series(START_MS + (first + np.arange(count)) * MINUTE_MS).cast(pl.Datetime("ms", "UTC")),
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": np.round(rng.exponential(size=count), 3),
        }
    )


def written(folder: Path, symbols: int, days: int) -> Lake:
    """A lake of walks."""
    lake, rng = Lake(folder), np.random.default_rng(1)
    for number in tqdm(range(symbols), desc="lake", unit="symbol", disable=None):
        lake.write(bars(f"W{number:04}USDT", 0, days * 1440, rng))
    return lake


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of ``work`` in this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measured_build(lake: Lake) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of a process that builds the panel file and nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", BUILD, str(lake.root)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, after.ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


def minutes(lake: Lake, runs: int) -> list[float]:
    """CPU seconds to bring the panel up to date after a minute of every symbol, several times."""
    panel = panel_of(lake)
    times = panel.segment_time + np.diff(panel.segment_start) * panel.interval_ns
    first = (int(times.max()) // 1_000_000 - START_MS) // MINUTE_MS
    rng, taken = np.random.default_rng(2), []
    for run in range(runs):
        lake.append(pl.concat([bars(symbol, first + run, 1, rng) for symbol in panel.symbols]))
        taken.append(cpu(lambda: panel_of(lake)))
    return taken


def repaired(lake: Lake) -> float:
    """CPU seconds after one old bar got another close: its group is laid out anew."""
    symbol = lake.symbols()[0]
    one = lake.bars(symbol, START_MS * 1_000_000, (START_MS + 500 * MINUTE_MS) * 1_000_000)[300:301]
    lake.write(one.with_columns(close=pl.col("high"), low=pl.col("low") * 0.99).select(COLUMNS), replace=True)
    return cpu(lambda: panel_of(lake))


def vectors_over(panel: Panel, folder: Path, queries: int, stride: int) -> dict[str, float]:
    """Build vectors and print what they find; the figures of the effort that reaches the goal."""
    spec = VectorSpec(panel.interval_ns, LENGTH, stride)
    begun = time.process_time()
    made = WindowVectors.build(folder, panel, spec, lambda size, state: FaissVectors(folder, size, state))
    seconds = time.process_time() - begun
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"vectors, stride {stride}: {len(made):,}, {seconds:.1f} CPU s, {size / len(made):.1f} bytes each")
    found = measure(
        made, panel, sampled_queries(made, panel, queries, seed=3), K, options=SimilarityOptions()
    )
    for recall in found:
        print(f"  {recall}")
    best = sufficient(found, RECALL_GOAL)
    return {
        "recall": best.share,
        "cpu_ms": best.cpu_ms,
        "exact_cpu_ms": best.exact_cpu_ms,
        "build_cpu_s": seconds,
    }


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 symbols of 10 days")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--lake", type=Path, help="a lake that is there; its panel file is made anew")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--no-vectors", action="store_true", help="the panel file alone")
    asked = parser.parse_args()
    symbols, days = (40, 10) if asked.quick else (asked.symbols, asked.days)
    with tempfile.TemporaryDirectory(prefix="mexclab-bench-") as temporary:
        lake = Lake(asked.lake) if asked.lake else written(Path(temporary) / "lake", symbols, days)
        build_s, peak_mb = measured_build(lake)
        panel = panel_of(lake)
        opened = [cpu(lambda: panel_of(Lake(lake.root))) for _ in range(5)]
        disk = sum(path.stat().st_blocks * 512 for path in (lake.root / "panel" / "1m").iterdir())
        print(f"{panel!r}")
        print(f"panel file: {build_s:.1f} CPU s to build ({build_s / len(panel) * 1e8:.0f} per 100M bars), ")
        print(f"  peak {peak_mb:.0f} MB, {disk / len(panel):.1f} bytes a bar on the disk")
        print(f"  opened in {statistics.median(opened) * 1e3:.0f} CPU ms")
        figures = {"panel_build_cpu_s": build_s, "panel_peak_mb": peak_mb, "panel_open_cpu_s": opened[0]}
        if asked.lake is None:
            live = statistics.median(minutes(lake, 5))
            print(f"  a live minute of {len(panel.symbols)} symbols: {live * 1e3:.0f} CPU ms")
            print(f"  an old bar repaired: {repaired(lake) * 1e3:.0f} CPU ms")
            figures["panel_minute_cpu_s"] = live
        goals = {}
        if not asked.no_vectors:
            for stride in (1, 4):
                name = f"stride_{stride}"
                found = vectors_over(panel, Path(temporary) / name, asked.queries, stride)
                met = found["recall"] >= RECALL_GOAL
                goals[f"recall_at_10_{name}"] = {
                    "value": round(found["recall"], 3), "goal": RECALL_GOAL, "unit": "share", "met": met,
                }  # fmt: skip
                figures |= {f"{name}_{key}": value for key, value in found.items()}
    rounded = {name: round(value, 3) for name, value in figures.items()}
    print(json.dumps({"benchmark": "vectors", "goals": goals, "figures": rounded}))


if __name__ == "__main__":
    main()
