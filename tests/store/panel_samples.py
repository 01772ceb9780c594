"""Lakes that grow, are repaired and lose bars, for the tests of the panel file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from mexclab.store.lake import Lake
from mexclab.store.lake_layout import COLUMNS

MINUTE = 60_000_000_000
START = 20_605 * 1440 * MINUTE  # 2026-06-01 00:00 UTC


def walk(symbol: str, first: int, count: int, rng: np.random.Generator) -> pl.DataFrame:
    """``count`` bars of a random walk from minute ``first`` on."""
    close = np.exp(np.cumsum(rng.standard_normal(count)) * 1e-3)
    times = (START + (first + np.arange(count)) * MINUTE) // 1_000_000
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "ts": pl.Series(times).cast(pl.Datetime("ms", "UTC")),
            "open": close,
            "high": close * 1.001,
            "low": close * 0.999,
            "close": close,
            "volume": np.abs(rng.standard_normal(count)),
        }
    )


def steady_lake(root: Path, symbols: int = 20, bars: int = 1000) -> Lake:
    """Symbols that all have the same minutes."""
    rng = np.random.default_rng(1)
    lake = Lake(root)
    lake.write(pl.concat([walk(f"S{number:02}USDT", 0, bars, rng) for number in range(symbols)]))
    return lake


class GrowingLake:
    """A lake to which something happens at every step, drawn from a seed."""

    def __init__(self, root: Path, seed: int, symbols: int = 20) -> None:
        self.rng = np.random.default_rng(seed)
        self.lake = Lake(root)
        self.ends: dict[str, int] = {}
        frames = []
        for number in range(symbols):
            first, count = int(self.rng.integers(0, 2000)), int(self.rng.integers(1, 400))
            frames.append(walk(f"S{number:02}USDT", first, count, self.rng))
            self.ends[f"S{number:02}USDT"] = first + count
        self.lake.write(pl.concat(frames))

    def live(self, count: int) -> None:
        """Most symbols get their next bars, in one flush."""
        names = [name for name in self.ends if self.rng.random() < 0.8] or list(self.ends)
        self.lake.append(pl.concat([walk(name, self.ends[name], count, self.rng) for name in names]))
        for name in names:
            self.ends[name] += count

    def late(self) -> None:
        """Newer bars of a symbol come before the older ones."""
        name, gap = self._one(), int(self.rng.integers(2, 40))
        self.lake.append(walk(name, self.ends[name] + gap, 3, self.rng))
        self.lake.append(walk(name, self.ends[name], gap, self.rng))
        self.ends[name] += gap + 3

    def corrected(self) -> None:
        """One bar somewhere in the past gets another close."""
        bars = self.lake.bars(self._one())
        at = int(self.rng.integers(bars.height))
        self.lake.write(bars[at : at + 1].with_columns(close=pl.col("high")).select(COLUMNS), replace=True)

    def listed(self) -> None:
        """A new symbol, with more or less history."""
        name, first = f"N{len(self.ends):02}USDT", int(self.rng.integers(0, 3000))
        count = int(self.rng.integers(1, 300))
        self.lake.append(walk(name, first, count, self.rng))
        self.ends[name] = first + count

    def older(self) -> None:
        """History from before a symbol's first bar, next to it or with a gap."""
        name, count = self._one(), int(self.rng.integers(1, 100))
        first = (int(self.lake.bars(name)["ts"].dt.epoch("ns")[0]) - START) // MINUTE
        self.lake.write(walk(name, first - count - int(self.rng.integers(0, 3)), count, self.rng))

    def lost(self) -> None:
        """Somebody deletes a month of a symbol, which may be all it has."""
        self.lake.compact()
        name = self._one()
        parts = sorted((self.lake.root / "bars").glob(f"interval=1m/symbol={name}/*.parquet"))
        parts[int(self.rng.integers(len(parts)))].unlink()
        del self.ends[name]
        if len(parts) > 1:
            last = int(self.lake.bars(name)["ts"].dt.epoch("ns")[-1])
            self.ends[name] = (last - START) // MINUTE + 1

    def silent(self) -> None:
        """A symbol misses bars; now and then it stays away for weeks."""
        self.ends[self._one()] += int(self.rng.choice([3, 200, 9_000, 25_000]))

    def step(self) -> str:
        """One thing happens; which."""
        kinds = ("live", "live", "live", "late", "corrected", "listed", "older", "lost", "silent", "compact")
        kind = str(self.rng.choice(kinds))
        if kind == "live":
            self.live(int(self.rng.integers(1, 60)))
        elif kind == "compact":
            self.lake.compact()
        elif kind != "lost" or len(self.ends) > 1:
            getattr(self, kind)()
        return kind

    def _one(self) -> str:
        return list(self.ends)[int(self.rng.integers(len(self.ends)))]
