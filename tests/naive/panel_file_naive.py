"""What a panel file must hold, said plainly: dictionaries of bars, and runs found one bar at a time."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from mexclab.research.windows import Panel

Bars = dict[tuple[str, int], tuple[float, float]]


def bars_of(frame: pl.DataFrame) -> Bars:
    """Log close and log(1 + volume) of each (symbol, open time in ns)."""
    rows = frame.with_columns(pl.col("ts").dt.epoch("ns"))
    return {
        (row["symbol"], row["ts"]): (math.log(row["close"]), math.log1p(row["volume"]))
        for row in rows.to_dicts()
    }


def held_by(panel: Panel) -> Bars:
    """The same, of every position of a panel, in its order."""
    positions = np.arange(len(panel))
    owners = panel.segment_symbol[panel.segment_of(positions)]
    keys = [
        (panel.symbols[owner], int(time)) for owner, time in zip(owners, panel.times(positions), strict=True)
    ]
    assert keys == sorted(keys), "positions are in order of symbol and time"
    volume = (
        panel.channels["volume"][panel.cells(positions)]
        if "volume" in panel.channels
        else positions * math.nan
    )
    return dict(zip(keys, zip(panel.log_at(positions).tolist(), volume.tolist(), strict=True), strict=True))


def runs_of(rows: np.ndarray) -> list[tuple[int, int, int]]:
    """(lane, first row, bars) of each run of numbers in (rows, lanes), by lane, then row."""
    found = []
    for lane in range(rows.shape[1]):
        first = None
        for row in range(len(rows) + 1):
            there = row < len(rows) and not math.isnan(rows[row, lane])
            if there and first is None:
                first = row
            if not there and first is not None:
                found.append((lane, first, row - first))
                first = None
    return found


def left_of(
    runs: list[tuple[int, int, int]], covered: dict[int, list[tuple[int, int]]]
) -> set[tuple[int, int]]:
    """(symbol, bar) of every first bar in ``runs`` (symbol, first, count) that no covered range holds."""
    return {
        (symbol, bar)
        for symbol, first, count in runs
        for bar in range(first, first + count)
        if not any(low <= bar < high for low, high in covered.get(symbol, []))
    }
