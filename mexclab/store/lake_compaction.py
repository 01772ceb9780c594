"""Compaction: fresh bars go into their months, and only then do the fresh files go away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from mexclab.store import lake_partition
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_layout import Partition
from mexclab.store.lake_months import Months
from mexclab.store.lake_writing import by_partition, merged

LOCK_NAME = ".compacting"
AT_ONCE = 64  # symbols whose fresh bars are in memory together
HELD_S = 0.25  # the pen is held no longer than about this ...
BREATH_S = 0.05  # ... and then let go for longer than a waiting writer sleeps between two looks


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one `Lake.compact` did.

    Attributes:
        files: fresh files that were folded into months and removed.
        bars: bars that those files held, repeats counted once.
        partitions: month partitions that were rewritten.
    """

    files: int = 0
    bars: int = 0
    partitions: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(self.files + other.files, self.bars + other.bars, self.partitions + other.partitions)


class Compaction:
    """Folds the fresh bars of one interval into months while others go on appending and writing.

    Which files are folded is settled at the start. A bar that one of them holds cannot change in its
    month meanwhile: whoever corrects it writes a newer fresh file, which wins over the month and stays.
    So the pen is needed for one partition at a time, and a process killed anywhere leaves either the
    fresh bar, or both with the same values.

    Args:
        months: the partitions.
        fresh: the fresh files.
        wait_s: how long to wait for the pen.
        tell: called with (symbols done, symbols in all), first with none done.
    """

    def __init__(self, months: Months, fresh: Fresh, wait_s: float, tell: Callable[[int, int], None]) -> None:
        self._months = months
        self._fresh = fresh
        self._wait_s = wait_s
        self._tell = tell

    def run(self, interval: str) -> Compacted:
        """Fold what is fresh now; call it under the lock `LOCK_NAME`.

        Raises:
            DataError: a damaged file, a full disk, or a writer that does not end; run it again afterwards.
        """
        files = self._fresh.files(interval)
        symbols = sorted(set().union(*(file.symbols for file in files)))
        done = Compacted(files=len(files))
        self._tell(0, len(symbols))
        for begin in range(0, len(symbols), AT_ONCE):
            some = symbols[begin : begin + AT_ONCE]
            done += self._fold(self._fresh.bars_in(files, some), interval)
            self._tell(begin + len(some), len(symbols))
        with lake_partition.locked(self._months.root, self._wait_s):
            self._fresh.remove(files)
        return done

    def _fold(self, bars: pl.DataFrame, interval: str) -> Compacted:
        """Put ``bars`` into their months, letting go of the pen every now and then."""
        left = list(by_partition(bars, self._months.root, interval))
        rewritten = 0
        while left:
            with lake_partition.locked(self._months.root, self._wait_s):
                until = time.monotonic() + HELD_S
                while left and time.monotonic() < until:
                    rewritten += self._into_month(*left.pop(0))
            if left:
                time.sleep(BREATH_S)
        return Compacted(bars=bars.height, partitions=rewritten)

    def _into_month(self, part: Partition, piece: pl.DataFrame) -> bool:
        """Whether the partition had to be rewritten; it has not where a killed compaction had done it."""
        stored = self._months.stored(part)
        if stored is not None and piece.join(stored, on=piece.columns, how="anti").is_empty():
            return False
        lake_partition.write(part, merged(stored, piece))
        return True
