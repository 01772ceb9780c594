"""An index over the windows of a panel: built, added to, kept, and asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np

from mexclab.errors import DataError, ParameterError
from mexclab.research.activity import ActivityFloor
from mexclab.research.windows import Panel
from mexclab.store.lake_partition import locked, sync_folder
from mexclab.store.seal import arrays_in, seal_of, sealed, unsealed
from mexclab.store.vectors import Effort, Recall, VectorIndex, VectorSpec, ids_of
from mexclab.store.vectors_encoding import (
    CHUNK,
    Run,
    WindowMap,
    components_of,
    drawn,
    encoded,
    shapes_at,
    uncovered,
    vectors_of,
)

CATALOGUE = "catalogue.json"
FORMAT = 2
LISTS_SAMPLE = 400_000  # vectors that are looked at before the first is taken in
AT_ONCE = 16 * CHUNK  # windows that are encoded between two words to whoever waits

Progress = Callable[[int, int], None]
"""Is told how many windows are done, and of how many."""

OpenIndex = Callable[[int, Mapping[str, Any] | None], VectorIndex]
"""Opens an index of so many dimensions: the one that `VectorIndex.save` told of, or a new one."""


class Catalogue(msgspec.Struct, frozen=True):
    """What is kept beside the vectors.

    Attributes:
        interval_ns, length, stride, dimensions, min_moves, max_jump_share: the `VectorSpec`.
        symbols: names by the numbers that are in the ids.
        arrays: the file with the components, and with the windows that are in: (n, 3) int64 number of
            the symbol, first bar, bar after the last.
        seal: of that file.
        state: what the index needs to open again.
        recall: what was measured last, None before that.
    """

    interval_ns: int
    length: int
    stride: int
    dimensions: int
    min_moves: float
    max_jump_share: float
    symbols: tuple[str, ...]
    arrays: str
    seal: str
    state: dict[str, Any]
    recall: Recall | None = None
    format: int = FORMAT

    @property
    def spec(self) -> VectorSpec:
        """Which windows are in."""
        floor = ActivityFloor(self.min_moves, self.max_jump_share)
        return VectorSpec(self.interval_ns, self.length, self.stride, self.dimensions, floor)


class WindowVectors:
    """The windows of one length as vectors. Make one with `build`, open it with `open`.

    Attributes:
        spec: which windows.
        recall: what was measured last, None before that.
    """

    def __init__(
        self, folder: Path, index: VectorIndex, catalogue: Catalogue, arrays: Mapping[str, np.ndarray]
    ) -> None:
        self._folder = folder
        self._index = index
        self._catalogue = catalogue
        self._components = np.ascontiguousarray(arrays["components"])
        self._covered = arrays["covered"]
        self.spec = catalogue.spec

    @classmethod
    def build(
        cls,
        folder: Path,
        panel: Panel,
        spec: VectorSpec,
        open_index: OpenIndex,
        progress: Progress | None = None,
        seed: int = 7,
    ) -> WindowVectors:
        """Every window of the panel, in place of what ``folder`` held.

        Raises:
            DataError: it cannot be written; what was there still is.
            NotEnoughData: the panel has hardly a window of this length.
        """
        if spec.interval_ns != panel.interval_ns:
            raise ParameterError("The panel has bars of another length than the windows: open the other one.")
        windows = WindowMap.of(panel, spec)
        components = components_of(windows, seed)
        with locked(folder, wait_s=60.0):
            index = open_index(spec.dimensions, None)
            expected = sum(run.count for run in windows.runs()) // spec.stride
            shapes = shapes_at(windows, drawn(windows, min(LISTS_SAMPLE, 40_000_000 // spec.length), seed))
            index.train((shapes @ components / np.sqrt(spec.length)).astype(np.float32), expected)
            catalogue = Catalogue(
                spec.interval_ns, spec.length, spec.stride, spec.dimensions, spec.floor.min_moves,
                spec.floor.max_jump_share, (), "", "", {},
            )  # fmt: skip
            arrays = {"components": components, "covered": np.empty((0, 3), dtype=np.int64)}
            made = cls(folder, index, catalogue, arrays)
            made._take_in(windows, progress)
            return made

    @classmethod
    def open(cls, folder: Path, open_index: OpenIndex) -> WindowVectors:
        """What `build` left in ``folder``.

        Raises:
            DataError: there is nothing, or it is damaged.
        """
        failed = _unusable(folder, "holds no vectors")
        for _ in range(5):  # a writer may replace the files between two looks
            catalogue = _catalogue_in(folder)
            try:
                arrays = _arrays_in(folder, catalogue)
            except FileNotFoundError:
                failed = _unusable(folder / catalogue.arrays, "is missing")
                continue
            try:
                return cls(folder, open_index(catalogue.dimensions, catalogue.state), catalogue, arrays)
            except DataError as why:
                if _catalogue_in(folder) == catalogue:
                    raise
                failed = why
        raise failed

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        measured = str(self.recall) if self.recall else "recall not measured: `mexclab vectors check`"
        return f"{len(self):,} windows of {self.spec.length} bars, every {self.spec.stride}; {measured}"

    @property
    def recall(self) -> Recall | None:
        """What was measured last."""
        return self._catalogue.recall

    def add(self, panel: Panel, progress: Progress | None = None) -> int:
        """Take in the windows of ``panel`` that are not in yet; how many vectors that were.

        Raises:
            DataError: it cannot be written, or another process changed the vectors since they were
                opened; what was there still is.
        """
        with locked(self._folder, wait_s=60.0):
            now = _catalogue_in(self._folder)
            if not self._is_of(now):
                raise DataError(
                    f"{self._folder} was changed by another process meanwhile; run the same command again",
                    path=str(self._folder),
                )
            self._catalogue = now  # with what was measured meanwhile
            return self._take_in(WindowMap.of(panel, self.spec), progress)

    def remember(self, recall: Recall) -> None:
        """Keep what was measured; searches say so, and look as hard as it did.

        Where another process has changed the vectors since, it is not theirs and stays in memory.

        Raises:
            DataError: it cannot be written, or the vectors are gone.
        """
        with locked(self._folder, wait_s=60.0):
            now = _catalogue_in(self._folder)
            if self._is_of(now):
                self._keep(msgspec.structs.replace(now, recall=recall))
            else:
                self._catalogue = msgspec.structs.replace(self._catalogue, recall=recall)

    def missing(self, panel: Panel) -> int:
        """How many windows of ``panel`` (each bar's, not each stride's) are not in."""
        windows = WindowMap.of(panel, self.spec)
        return sum(run.count for run in uncovered(windows.runs(), self._by_place(panel)))

    def near(self, vector_of: np.ndarray, effort: Effort, below: int | None) -> np.ndarray:
        """Ids near to a window of (length,) z-normalised log prices; see `VectorIndex.nearest`."""
        return self._index.nearest(encoded(vector_of, self._components), effort, below)

    def places(self, panel: Panel) -> np.ndarray:
        """(numbers,) where each numbered symbol stands in ``panel.symbols``; -1 where it does not."""
        at = {name: place for place, name in enumerate(panel.symbols)}
        return np.array([at.get(name, -1) for name in self._catalogue.symbols] or [-1], dtype=np.int64)

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def _is_of(self, catalogue: Catalogue) -> bool:
        """Whether ``catalogue`` names the very vectors that are open here."""
        ours = self._catalogue
        return (catalogue.spec, catalogue.arrays, catalogue.state) == (ours.spec, ours.arrays, ours.state)

    def _take_in(self, windows: WindowMap, progress: Progress | None) -> int:
        panel = windows.panel
        names = [*self._catalogue.symbols]
        known = set(names)
        names += [name for name in panel.symbols if name not in known]
        number = {name: at for at, name in enumerate(names)}
        numbers = np.array([number[name] for name in panel.symbols], dtype=np.int64)
        new = uncovered(windows.runs(), self._by_place(panel))
        total, seen, added = sum(run.count for run in new), 0, 0
        for batch in _batches(new):
            for bars, owners, vectors in vectors_of(windows, batch, self._components):
                self._index.add(ids_of(bars, numbers[owners]), vectors)
                added += len(bars)
            seen += sum(run.count for run in batch)
            if progress is not None:
                progress(seen, total)
        if not new:
            return 0
        ranges = [(int(numbers[run.symbol]), run.bar, run.bar + run.count) for run in new]
        self._covered = _joined(np.concatenate([self._covered, np.array(ranges, dtype=np.int64)]))
        self._keep(
            msgspec.structs.replace(
                self._catalogue,
                symbols=tuple(names),
                arrays=f"arrays.{uuid4().hex[:12]}.npz",
                state=dict(self._index.save()),
            )
        )
        return added

    def _by_place(self, panel: Panel) -> dict[int, np.ndarray]:
        """The covered ranges by the symbol's place in the panel."""
        places = self.places(panel)
        found = {}
        owners, firsts = np.unique(self._covered[:, 0], return_index=True)
        ranges_by_owner = np.split(self._covered[:, 1:], firsts[1:])
        for owner, ranges in zip(owners.tolist(), ranges_by_owner, strict=False):
            if places[owner] >= 0:
                found[int(places[owner])] = ranges
        return found

    def _keep(self, catalogue: Catalogue) -> None:
        """Make ``catalogue`` the folder's in one step, then let go of what it does not name."""
        arrays = self._folder / catalogue.arrays
        temporary = self._folder / f"{CATALOGUE}.{uuid4().hex[:8]}.tmp"
        try:
            if not arrays.exists():
                np.savez(arrays, components=self._components, covered=self._covered)
                catalogue = msgspec.structs.replace(catalogue, seal=seal_of(arrays))
            temporary.write_bytes(sealed(msgspec.json.encode(catalogue)))
            for path in (arrays, temporary):
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, self._folder / CATALOGUE)
        except OSError as why:
            raise DataError(
                f"{self._folder} could not be written ({why}); what was there is unchanged",
                path=str(self._folder),
            ) from why
        sync_folder(self._folder)
        self._catalogue = catalogue
        self._index.discard(catalogue.state)
        for path in (*self._folder.glob("arrays.*"), *self._folder.glob("*.tmp")):
            if path != arrays:
                with contextlib.suppress(OSError):
                    path.unlink()


def _catalogue_in(folder: Path) -> Catalogue:
    """The catalogue as it is now."""
    path = folder / CATALOGUE
    try:
        content = unsealed(path.read_bytes())
        if content is None:
            raise _unusable(path, "is damaged or of another version")
        catalogue = msgspec.json.decode(content, type=Catalogue)
    except FileNotFoundError:
        raise _unusable(folder, "holds no vectors") from None
    except (msgspec.DecodeError, ValueError, OSError) as why:
        raise _unusable(path, "is damaged or of another version") from why
    if catalogue.format != FORMAT:
        raise _unusable(path, "is of another version")
    return catalogue


def _arrays_in(folder: Path, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Components and covered windows.

    Raises:
        FileNotFoundError: a writer may just have put others in their place.
    """
    path = folder / catalogue.arrays
    try:
        return arrays_in(path, catalogue.seal, ("components", "covered"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as why:
        raise _unusable(path, "is damaged") from why


def _joined(ranges: np.ndarray) -> np.ndarray:
    """Ranges that are apart, in order of symbol and time, those that touch as one."""
    rows = ranges[np.lexsort((ranges[:, 1], ranges[:, 0]))]
    goes_on = (rows[1:, 0] == rows[:-1, 0]) & (rows[1:, 1] == rows[:-1, 2])
    first, last = np.append(True, ~goes_on), np.append(~goes_on, True)
    return np.column_stack([rows[first, 0], rows[first, 1], rows[last, 2]])


def _batches(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in order, cut so that a batch has at most AT_ONCE windows."""
    found: list[list[Run]] = []
    size = AT_ONCE
    for run in runs:
        done = 0
        while done < run.count:
            if size >= AT_ONCE:
                found.append([])
                size = 0
            part = min(run.count - done, AT_ONCE - size)
            found[-1].append(Run(run.position + done, part, run.bar + done, run.symbol))
            done += part
            size += part
    return found


def _unusable(path: Path, why: str) -> DataError:
    return DataError(f"{path} {why}; make the vectors anew with `mexclab vectors build`", path=str(path))
