"""What searches of a panel keep for later ones of the same length: which lengths, how much, and how long."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mexclab.research.prepared_kernels import Kept

TIMES_PANEL = 2  # a length takes half of what the closes take and more, so three or so are kept
SHARE_OF_MEMORY = 1 / 4
QUERIES_TO_FILL = 8  # each of them keeps so small a part of the panel that it is hardly slower for it

Key = tuple[int, tuple[int, float]]
"""Bars in a window, ``ActivityFloor.rule``."""


class PreparedLength:
    """The whole tiles of a panel for one length and one activity rule, as far as they are kept.

    Args:
        kept: room for the tiles; what it holds depends on the panel, the length and the rule alone.
        tiles: how many there are.
    """

    def __init__(self, kept: Kept, tiles: int) -> None:
        self.kept = kept
        self._held = np.zeros(tiles, dtype=bool)
        self._claimed = np.zeros(tiles, dtype=bool)  # held, or being written by some scan
        self._lock = Lock()

    @property
    def share(self) -> float:
        """How much of it is held, 0..1."""
        return float(self._held.mean()) if len(self._held) else 0.0

    @contextmanager
    def scanning(self, numbers: np.ndarray, queries: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For the time of a scan: which of its tiles are read from here, and which it is to write.

        Args:
            numbers: (tiles,) int64 of the tiles that are scanned, -1 for parts of one.
            queries: how many are asked together; each writes one part in QUERIES_TO_FILL at most.

        Yields:
            (numbers, -1 where the tile is neither here nor to be written; (tiles,) bool: it is here).
        """
        most = -(-len(self._held) * queries // QUERIES_TO_FILL)
        with self._lock:
            ready = (numbers >= 0) & self._held[numbers]
            free = np.flatnonzero((numbers >= 0) & ~self._claimed[numbers])[:most]
            mine = numbers[free]
            self._claimed[mine] = True
        given = np.where(ready, numbers, -1)
        given[free] = mine
        written = False
        try:
            yield given, ready
            written = True
        finally:
            with self._lock:
                self._held[mine] = written
                self._claimed[mine] = written


class PreparedLengths:
    """The lengths that are kept of one panel; the one that was used longest ago goes first.

    Args:
        cells_bytes: what the panel's closes take.
    """

    def __init__(self, cells_bytes: int) -> None:
        self._limit = min(TIMES_PANEL * cells_bytes, int(SHARE_OF_MEMORY * _memory_bytes()))
        self._lengths: OrderedDict[Key, tuple[PreparedLength, int]] = OrderedDict()
        self._lock = Lock()

    @property
    def limit_bytes(self) -> int:
        """The memory that may be taken; 0 keeps nothing. What is beyond a new limit is let go at once."""
        return self._limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
            self._make_room(0)

    @property
    def nbytes(self) -> int:
        """The memory that is set aside for the lengths kept now."""
        return sum(size for _, size in self._lengths.values())

    def clear(self) -> None:
        """Let everything go."""
        with self._lock:
            self._lengths.clear()

    def of(self, key: Key, size: tuple[int, int], make: Callable[[], Kept]) -> PreparedLength | None:
        """What is kept for ``key``, or the room that ``make`` gives; None where it would not fit.

        Args:
            size: (tiles, bytes) of that room.
        """
        tiles, taken = size
        with self._lock:
            if not 0 < taken <= self._limit:
                return None
            if key not in self._lengths:
                self._make_room(taken)
                self._lengths[key] = PreparedLength(make(), tiles), taken
            self._lengths.move_to_end(key)
            return self._lengths[key][0]

    def _make_room(self, wanted: int) -> None:
        while self._lengths and self.nbytes + wanted > self._limit:
            self._lengths.popitem(last=False)

    def __repr__(self) -> str:
        told = [f"{key[0]} bars {one.share:.0%}" for key, (one, _) in self._lengths.items()]
        return f"{', '.join(told) or 'nothing'} kept in {self.nbytes:,} of {self._limit:,} bytes"


def _memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """What the machine has, or the container if it may take less; no limit where neither tells."""
    told = [float("inf")]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroup v2 and v1
        with suppress(OSError, ValueError):  # not there, or "max"
            told.append(int((cgroup / name).read_text()))
    return min(told)
