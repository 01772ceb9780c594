"""From the bars of a panel to vectors, and back from ids to windows that are compared exactly.

A z-normalised window of m bars, divided by the root of m, has length one. Its coordinates along the
directions in which the windows of this panel differ most (principal components of a sample) are its
vector. Those directions are orthogonal, so two vectors are never further apart than the windows are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mexclab.errors import NotEnoughData
from mexclab.research.activity import ActivityFloor
from mexclab.research.compiling import compiled
from mexclab.research.lanes import LANES
from mexclab.research.windows import Panel
from mexclab.store.vectors import VectorSpec, bars_and_numbers

SAMPLE_NUMBERS = 8_000_000  # log prices that are looked at to find the components
ROUGH = 2e-3  # how far a rough distance may be off; most are right to 1e-6
CHUNK = 65_536  # windows that are encoded at once


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """Windows that start one after another: (first position, how many, bar of the first, symbol's place)."""

    position: int
    count: int
    bar: int
    symbol: int


@dataclass(frozen=True, eq=False, slots=True)
class WindowMap:
    """Where the windows of a panel are by symbol and bar, so that an id of long ago still finds its own.

    Attributes:
        panel: the bars.
        spec: which windows.
        phases: (symbols,) what the symbol's grid is off the whole interval, ns.
        keys: (segments,) symbol's place and bar of the segment's first, as one ascending number.
    """

    panel: Panel
    spec: VectorSpec
    phases: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, panel: Panel, spec: VectorSpec) -> WindowMap:
        """The map of a panel as it is now."""
        bars, phase = np.divmod(panel.segment_time, panel.interval_ns)
        phases = np.zeros(len(panel.symbols), dtype=np.int64)
        phases[panel.segment_symbol] = phase
        return cls(panel, spec, phases, _key(panel.segment_symbol, bars))

    def runs(self) -> Iterator[Run]:
        """Every unbroken row of windows, in order of symbol and time."""
        panel = self.panel
        counts = np.diff(panel.segment_start) - self.spec.length + 1
        bars = panel.segment_time // panel.interval_ns
        for segment in np.flatnonzero(counts > 0).tolist():
            yield Run(
                int(panel.segment_start[segment]),
                int(counts[segment]),
                int(bars[segment]),
                int(panel.segment_symbol[segment]),
            )

    def positions(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(n,) where the windows of these ids start in the panel; -1 where it holds them no longer.

        Args:
            ids: (n,) int64.
            places: (numbers,) place in ``panel.symbols`` of each numbered symbol, -1 for one that is gone.
        """
        bars, numbers = bars_and_numbers(ids)
        owners = places[numbers]
        panel = self.panel
        segment = np.maximum(np.searchsorted(self.keys, _key(owners, bars), side="right") - 1, 0)
        first_bar = panel.segment_time[segment] // panel.interval_ns
        start = panel.segment_start[segment] + bars - first_bar
        fits = (owners >= 0) & (panel.segment_symbol[segment] == owners) & (bars >= first_bar)
        fits &= start + self.spec.length <= panel.segment_start[segment + 1]
        return np.where(fits, start, -1)

    def neighbours(self, positions: np.ndarray) -> np.ndarray:
        """These starts and those less than a stride away in the same unbroken run; ascending, each once."""
        reach = self.spec.stride - 1
        segment = self.panel.segment_of(positions)
        around = positions[:, None] + np.arange(-reach, reach + 1)
        last = self.panel.segment_start[segment + 1] - self.spec.length
        inside = (around >= self.panel.segment_start[segment][:, None]) & (around <= last[:, None])
        return once(around[inside])

    def rough_distances(self, positions: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """(n,) distances to within ROUGH, several times as fast as `distances`.

        0 where rounding could spoil it, beside a huge jump; anything for a window without a shape.

        Args:
            positions: (n,) starts of unbroken windows, ascending: neighbours are read once.
            shape: (length,) z-normalised log prices of the query.
        """
        found = np.empty(len(positions))
        _rough(self.panel.flat, self.panel.cells(positions), shape, found)
        return found

    def distances(self, positions: np.ndarray, shape: np.ndarray, floor: ActivityFloor) -> np.ndarray:
        """(n,) exact distances, to 1e-10, of the windows that start there; infinite for one with no shape.

        Args:
            positions: (n,) starts of unbroken windows.
            shape: (length,) z-normalised log prices of the query.
            floor: what a window must do to have a shape.
        """
        found = np.empty(len(positions))
        rule = floor.rule(self.spec.length)
        _distances(self.panel.flat, self.panel.cells(positions), shape, rule, found)
        return found


def drawn(windows: WindowMap, count: int, seed: int) -> np.ndarray:
    """At most ``count`` starts of unbroken windows of the panel, drawn without replacement, ascending."""
    counts = np.diff(windows.panel.segment_start) - windows.spec.length + 1
    counts = np.maximum(counts, 0)
    total = int(counts.sum())
    if not total:
        return np.empty(0, dtype=np.int64)
    picked = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    picked.sort()
    ends = np.cumsum(counts)
    segment = np.searchsorted(ends, picked, side="right")
    starts: np.ndarray = windows.panel.segment_start[segment] + picked - (ends - counts)[segment]
    return starts


def shapes_at(windows: WindowMap, positions: np.ndarray) -> np.ndarray:
    """(at most n, length) float64: the z-normalised windows that start there, if they have a shape."""
    spec, panel = windows.spec, windows.panel
    shapes = np.empty((len(positions), spec.length))
    kept = np.empty(len(positions), dtype=np.bool_)
    _shapes(panel.flat, panel.cells(positions), spec.floor.rule(spec.length), shapes, kept)
    return shapes[kept]


def components_of(windows: WindowMap, seed: int) -> np.ndarray:
    """(length, dimensions) float64, orthonormal: where a sample of the panel's windows differs most.

    Raises:
        NotEnoughData: fewer active windows than twice the dimensions.
    """
    spec = windows.spec
    shapes = shapes_at(windows, drawn(windows, SAMPLE_NUMBERS // spec.length, seed))
    if len(shapes) < 2 * spec.dimensions:
        raise NotEnoughData(
            f"The panel has {len(shapes)} windows of {spec.length} bars with a shape; {spec.dimensions} "
            f"dimensions need {2 * spec.dimensions}. Use shorter windows, fewer dimensions or more history.",
            windows=len(shapes),
        )
    _, vectors = np.linalg.eigh(shapes.T @ shapes)
    found: np.ndarray = np.ascontiguousarray(vectors[:, ::-1][:, : spec.dimensions])
    return found


def encoded(shape: np.ndarray, components: np.ndarray) -> np.ndarray:
    """(dimensions,) float32: the vector of one z-normalised window (length,)."""
    vector: np.ndarray = (shape @ components / np.sqrt(len(shape))).astype(np.float32)
    return vector


def vectors_of(
    windows: WindowMap, runs: Sequence[Run], components: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The active windows of some runs on the grid of the stride, in pieces of at most CHUNK.

    Yields:
        (n,) bars of their starts, (n,) places of their symbols, (n, dimensions) float32 vectors.
    """
    spec, panel = windows.spec, windows.panel
    rule = spec.floor.rule(spec.length)
    cells = np.empty(CHUNK, dtype=np.int64)
    bars, owners = np.empty_like(cells), np.empty_like(cells)
    filled = 0

    def piece() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        vectors = np.empty((filled, spec.dimensions), dtype=np.float32)
        active = np.empty(filled, dtype=np.bool_)
        _encode(panel.flat, cells[:filled], components, rule, vectors, active)
        return bars[:filled][active], owners[:filled][active], vectors[active]

    for run in runs:
        cell = int(panel.cells(np.array([run.position]))[0])
        for begin in range(-run.bar % spec.stride, run.count, spec.stride * CHUNK):
            offsets = np.arange(begin, min(run.count, begin + spec.stride * CHUNK), spec.stride)
            while len(offsets):
                part, offsets = offsets[: CHUNK - filled], offsets[CHUNK - filled :]
                beyond = filled + len(part)
                cells[filled:beyond] = cell + LANES * part
                bars[filled:beyond] = run.bar + part
                owners[filled:beyond] = run.symbol
                filled = beyond
                if filled == CHUNK:
                    yield piece()
                    filled = 0
    if filled:
        yield piece()


def uncovered(runs: Iterator[Run], covered: Mapping[int, np.ndarray]) -> list[Run]:
    """The parts of ``runs`` whose first bars are in none of the covered ranges.

    Args:
        covered: by the symbol's place, (n, 2) int64 half-open ranges of bars, ascending and apart.
    """
    left = []
    for run in runs:
        ranges = covered.get(run.symbol)
        if ranges is None:
            left.append(run)
            continue
        at, beyond = run.bar, run.bar + run.count
        first = int(np.searchsorted(ranges[:, 1], at, side="right"))
        for low, high in ranges[first:].tolist():
            if low >= beyond:
                break
            if low > at:
                left.append(Run(run.position + at - run.bar, low - at, at, run.symbol))
            at = max(at, high)
        if at < beyond:
            left.append(Run(run.position + at - run.bar, beyond - at, at, run.symbol))
    return left


def once(numbers: np.ndarray) -> np.ndarray:
    """The different ones, ascending. Numpy's own way hashes: for a thousand, fifty times slower."""
    ordered = np.sort(numbers)
    new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def _key(symbols: np.ndarray, bars: np.ndarray) -> np.ndarray:
    key: np.ndarray = (np.asarray(symbols, dtype=np.int64) << 40) + bars
    return key


@compiled()
def _levels(flat, cell, length, rule, levels):  # type: ignore[no-untyped-def]
    """The z-normalised log prices of one window into ``levels``; False where it has no shape."""
    need, limit = rule
    base = flat[cell]
    moved = 0
    total = 0.0
    largest = 0.0
    mean = 0.0
    previous = base
    for i in range(length):
        price = flat[cell + i * LANES]
        step = price - previous
        square = step * step
        total += square
        moved += step != 0.0
        largest = max(largest, square)
        previous = price
        levels[i] = price - base
        mean += levels[i]
    if moved < need or largest > limit * total:
        return False
    mean /= length
    spread = 0.0
    for i in range(length):
        levels[i] -= mean
        spread += levels[i] * levels[i]
    scale = 1.0 / np.sqrt(spread / length)
    for i in range(length):
        levels[i] *= scale
    return True


@compiled()
def _shapes(flat, cells, rule, shapes, kept):  # type: ignore[no-untyped-def]
    for row in range(len(cells)):
        kept[row] = _levels(flat, cells[row], shapes.shape[1], rule, shapes[row])


@compiled(fastmath={"contract"})
def _encode(flat, cells, components, rule, vectors, active):  # type: ignore[no-untyped-def]
    length, size = components.shape
    levels = np.empty(length)
    sums = np.empty(size)
    unit = 1.0 / np.sqrt(length)
    for row in range(len(cells)):
        active[row] = _levels(flat, cells[row], length, rule, levels)
        sums[:] = 0.0
        if active[row]:
            for i in range(length):
                for c in range(size):
                    sums[c] += levels[i] * components[i, c]
        for c in range(size):
            vectors[row, c] = np.float32(sums[c] * unit)


@compiled(fastmath={"contract", "reassoc", "nsz"})
def _sums(levels, shape):  # type: ignore[no-untyped-def]
    total = 0.0
    square = 0.0
    product = 0.0
    for i in range(len(shape)):
        total += levels[i]
        square += levels[i] * levels[i]
        product += levels[i] * shape[i]
    return total, square, product


@compiled()
def _rough(flat, cells, shape, found):  # type: ignore[no-untyped-def]
    length = len(shape)
    room = np.empty(length + 256)
    at = len(room)
    base = 0.0
    for row in range(len(cells)):
        cell = cells[row]
        follows = row > 0 and cell == cells[row - 1] + LANES and at + 1 + length <= len(room)
        if follows:
            at += 1
            room[at + length - 1] = flat[cell + (length - 1) * LANES] - base
        else:
            at = 0
            base = flat[cell]
            for i in range(length):
                room[i] = flat[cell + i * LANES] - base
        total, square, product = _sums(room[at : at + length], shape)
        spread = square - total * total / length
        if spread <= 1e-6 * square:
            found[row] = 0.0
        else:
            found[row] = np.sqrt(2.0 * length * max(0.0, 1.0 - product / np.sqrt(spread * length)))


@compiled(fastmath={"contract"})
def _distances(flat, cells, shape, rule, found):  # type: ignore[no-untyped-def]
    length = len(shape)
    levels = np.empty(length)
    for row in range(len(cells)):
        if not _levels(flat, cells[row], length, rule, levels):
            found[row] = np.inf
            continue
        square = 0.0
        for i in range(length):
            square += (levels[i] - shape[i]) ** 2
        found[row] = round(np.sqrt(square) * 1e10) / 1e10
