"""Bars and bar files that the tests of the lake and of the import share."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mexclab.errors import ImportRefused
from mexclab.store.bar_import import FileResult, ImportPlan, import_bars
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import FRAME_SCHEMA, INTERVAL_MS, folder_of

ROOT = Path(__file__).resolve().parents[2]
MAY = datetime(2026, 5, 1, tzinfo=UTC)
MAY_S = int(MAY.timestamp())
DAY_NS = 86_400_000_000_000
LATER_NS = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
PLAN = {"now_ns": LATER_NS}


def bars(symbol: str = "BTCUSDT", start: datetime = MAY, count: int = 10, step: str = "1m") -> pl.DataFrame:
    """``count`` neighbouring bars whose values differ from row to row."""
    prices = [100.0 + i / 8 for i in range(count)]
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "ts": [start + timedelta(milliseconds=INTERVAL_MS[step]) * i for i in range(count)],
            "open": prices,
            "high": [p + 1 for p in prices],
            "low": [p - 1 for p in prices],
            "close": [p + 0.5 for p in prices],
            "volume": [float(i) for i in range(count)],
        },
        schema=FRAME_SCHEMA,
    )


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def partition(root: Path, symbol: str = "BTCUSDT", month: str = "2026-05", interval: str = "1m") -> Path:
    return root / "bars" / f"interval={interval}" / folder_of(symbol) / f"{month}.parquet"


def stamps(root: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*.parquet")}


def file_of(frame: pl.DataFrame, path: Path, ts: str = "s") -> Path:
    """Write bars as a foreign file: no symbol column, times as integers or text."""
    text = pl.col("ts").dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    times = text if ts == "iso" else pl.col("ts").dt.epoch(ts)
    foreign = frame.drop("symbol").with_columns(ts=times)
    if path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(foreign.write_csv().encode()))
    elif path.suffix == ".csv":
        foreign.write_csv(path)
    else:
        foreign.write_parquet(path)
    return path


def edited(path: Path, **changes: tuple[int, object]) -> Path:
    """``BTCUSDT.csv`` with single cells replaced: ``close=(3, "abc")`` is data row 3."""
    lines = [line.split(",") for line in file_of(bars(), path).read_text().splitlines()]
    for column, (row, value) in changes.items():
        lines[row][lines[0].index(column)] = str(value)
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    return path


def only(path: Path, lake: Lake, **plan: object) -> FileResult:
    return import_bars([path], lake, ImportPlan(**(PLAN | plan))).files[0]


def refusal(path: Path, lake: Lake, **plan: object) -> str:
    with pytest.raises(ImportRefused) as caught:
        only(path, lake, **plan)
    assert not list(lake.root.rglob("*.parquet"))
    return str(caught.value)
