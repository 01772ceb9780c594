"""A lake of any size for benchmarks: random walks on a venue's price grid, every partition a real file.

Walking and compressing a billion bars would take longer than everything that is measured, so a few walks
are written through the lake's own writer and the files of all other symbols are copies of theirs. What it
costs to list, open, decode and aggregate a file does not depend on whether another one has the same bars.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from mexclab.store import lake_partition
from mexclab.store.lake_layout import FRAME_SCHEMA, Partition, partition_of

FIRST_YEAR = 2025
WALKS = 40
MINUTE_MS = 60_000
TICK = 2e-3


def name_of(number: int) -> str:
    """The symbol of this number; every name starts with ``SYN``, so that nobody takes it for a market's."""
    return f"SYN{number:04}USDT"


def months(count: int) -> list[str]:
    """The first ``count`` months from January of `FIRST_YEAR` on."""
    return [f"{FIRST_YEAR + n // 12}-{n % 12 + 1:02}" for n in range(count)]


def month_bars(start_ms: int, end_ms: int, price: float, rng: np.random.Generator) -> pl.DataFrame:
    """One-minute bars in [start_ms, end_ms) that walk from ``price`` with steps of 8 bp, on a grid."""
    ts = np.arange(start_ms, end_ms, MINUTE_MS)
    close = price * np.exp(np.cumsum(rng.standard_normal(len(ts)) * 8e-4))
    opened = np.concatenate([[price], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.exponential(3e-4, len(ts)))
    low = np.minimum(opened, close) * (1 - rng.exponential(3e-4, len(ts)))
    numbers = {"open": opened, "high": high, "low": low, "close": close}
    ticks = {name: np.maximum(np.round(values / TICK), 1) / (1 / TICK) for name, values in numbers.items()}
    frame = pl.DataFrame({"ts": ts, **ticks, "volume": np.round(rng.lognormal(5, 1.5, len(ts)), 1)})
    return frame.with_columns(
        pl.col("ts").cast(FRAME_SCHEMA["ts"]),
        high=pl.max_horizontal("open", "high", "close"),
        low=pl.min_horizontal("open", "low", "close"),
    )


def build(root: Path, symbols: int, count: int, seed: int = 7) -> int:
    """Write a lake of ``symbols`` x ``count`` months of minutes; returns how many bars it has.

    A folder that holds such a lake already is taken as it is.
    """
    bars = 0
    names = months(count)
    for month in tqdm(names, desc="building", unit="month"):
        for number in range(min(WALKS, symbols)):
            part = partition_of(root, "1m", name_of(number), month)
            rng = np.random.default_rng([seed, number, int(month[:4]), int(month[5:])])
            if not part.path.exists():
                lake_partition.write(part, month_bars(*part.span_ms, 10.0 + number, rng))
            bars += (part.span_ms[1] - part.span_ms[0]) // MINUTE_MS
        for number in range(WALKS, symbols):
            like = partition_of(root, "1m", name_of(number % WALKS), month)
            _copied(like, partition_of(root, "1m", name_of(number), month))
            bars += (like.span_ms[1] - like.span_ms[0]) // MINUTE_MS
    (root / lake_partition.LOCK_NAME).touch()  # as every lake that was written to has one
    return bars


def flush(symbols: int, at_ms: int) -> pl.DataFrame:
    """One closed minute of every symbol, as a live stream brings it."""
    prices = [10.0 + number % WALKS for number in range(symbols)]
    return pl.DataFrame(
        {
            "symbol": [name_of(number) for number in range(symbols)],
            "ts": [at_ms] * symbols,
            "open": prices,
            "high": [price + 0.01 for price in prices],
            "low": [price - 0.01 for price in prices],
            "close": prices,
            "volume": [at_ms / MINUTE_MS % 100] * symbols,
        },
        schema_overrides={"ts": FRAME_SCHEMA["ts"]},
    )


def next_month_ms(count: int) -> int:
    """The first open time after the lake's last month, ms."""
    year, month = FIRST_YEAR + count // 12, count % 12 + 1
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def _copied(source: Partition, target: Partition) -> None:
    if not target.path.exists():
        target.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path, target.path)
