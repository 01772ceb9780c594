"""Windows as short vectors: the port that an approximate index fills, and the values around it.

The exact search (``research/similarity.py``) reads all of history for each question. For thousands of
questions of one length that is more than they are worth: here each window is 16 numbers, an index finds
the few hundred that lie nearest, and those, with their neighbours, are compared exactly with the query's
bars. Distances are therefore always right; what an index may do is miss a window, and how often it does
is measured against the exact search and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mexclab.errors import ParameterError
from mexclab.research.activity import ActivityFloor
from mexclab.research.query import check_length

DIMENSIONS = 16
SYMBOL_BITS = 20  # of an id: up to a million symbols; the rest is the number of the bar


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """Which windows an index holds.

    Args:
        interval_ns: length of a bar.
        length: bars in a window, 10 to 2000.
        stride: every so many-th window of the clock is kept. The others are not lost: whoever is near
            to a kept one is compared as its neighbour.
        dimensions: numbers kept of each window; fewer where the window is shorter.
        floor: what a window must do to have a shape.

    Raises:
        ParameterError: a length, a stride or a number of dimensions that cannot be.
    """

    interval_ns: int
    length: int
    stride: int = 4
    dimensions: int = DIMENSIONS
    floor: ActivityFloor = field(default_factory=ActivityFloor)

    def __post_init__(self) -> None:
        check_length(self.length)
        if not 1 <= self.stride <= self.length // 2:
            raise ParameterError(
                f"The stride is 1 to {self.length // 2} of windows of {self.length} bars, not {self.stride}.",
                stride=self.stride,
            )
        if not 1 <= self.dimensions < self.length:
            raise ParameterError(
                f"Keep 1 to {self.length - 1} dimensions of {self.length} bars, not {self.dimensions}.",
                dimensions=self.dimensions,
            )


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard an index is asked to look.

    Args:
        probes: cells of the index that are opened for a query; a graph index takes it as a hint.
        pool: vectors that it hands over for the exact comparison.
    """

    probes: int
    pool: int


EFFORTS = (
    Effort(4, 100),
    Effort(8, 200),
    Effort(16, 400),
    Effort(32, 800),
    Effort(64, 1600),
    Effort(128, 3200),
)
"""From careless to thorough; a build takes the first whose recall is what was asked for."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What share of the exact answer was found, exclusion zones and all.

    Attributes:
        effort: how hard the index looked.
        k: matches asked for in each query.
        queries: how many queries were compared.
        share: of the exact matches, the part that is in the answer, at the same bar; 0 to 1.
        cpu_ms: CPU time of a query here, milliseconds.
        exact_cpu_ms: CPU time of the exact search for the same query.
    """

    effort: Effort
    k: int
    queries: int
    share: float
    cpu_ms: float
    exact_cpu_ms: float

    def __str__(self) -> str:
        return (
            f"recall@{self.k} {self.share:.3f} over {self.queries} queries "
            f"({self.effort.probes} probes, pool {self.effort.pool}; {self.cpu_ms:.2f} CPU ms a query, "
            f"exact {self.exact_cpu_ms:.1f})"
        )


class VectorIndex(Protocol):
    """Vectors under 64-bit ids, found again by nearness. Ids grow with time: see ``ids_of``."""

    def __len__(self) -> int: ...

    def train(self, sample: np.ndarray, expected: int) -> None:
        """Look at (n, dimensions) vectors, float32, before the first ``add``; ``expected`` will come."""
        ...

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Take in (n,) int64 ids and (n, dimensions) float32 vectors; an id given again stays one window."""
        ...

    def nearest(self, vector: np.ndarray, effort: Effort, below: int | None = None) -> np.ndarray:
        """(at most effort.pool,) int64 ids near to one vector, all less than ``below``, nearest first."""
        ...

    def save(self) -> Mapping[str, Any]:
        """Make it durable; what whoever opens it again must know, as JSON."""
        ...

    def discard(self, state: Mapping[str, Any]) -> None:
        """Remove what is kept outside the state that ``save`` returned."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def ids_of(bars: np.ndarray, numbers: np.ndarray | int) -> np.ndarray:
    """Ids of the windows that start with these bars (counted since the epoch) of the symbols so numbered.

    Time comes first, so that "before this moment" is a bound on ids.
    """
    return (np.asarray(bars, dtype=np.int64) << SYMBOL_BITS) | np.asarray(numbers, dtype=np.int64)


def bars_and_numbers(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `ids_of`."""
    return ids >> SYMBOL_BITS, ids & ((1 << SYMBOL_BITS) - 1)


def bound_of(bar: int) -> int:
    """All windows that start before ``bar`` have ids below this, and no other."""
    return bar << SYMBOL_BITS
