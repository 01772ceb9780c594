"""The vector index in files: faiss, inverted lists of 8-bit vectors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import faiss
import numpy as np

from mexclab.errors import DataError
from mexclab.store.lake_partition import sync_folder
from mexclab.store.seal import arrays_in, check_seal, seal_of
from mexclab.store.vectors import Effort

MERGE_AT = 0.2  # of the vectors: beyond it additions are written into the large file, not beside it
_A_LIST = 40  # training vectors that a list wants at least
_SEED = 7


class FaissVectors:
    """Vectors in a folder: one large file, and small ones with what was added since.

    Args:
        folder: where the files are.
        dimensions: numbers in a vector.
        state: what `save` returned, to open it again; None for a new one.

    Raises:
        DataError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, dimensions: int, state: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._index: Any = None
        self._base: str | None = None
        self._deltas: list[str] = []
        self._seals: dict[str, str] = {}  # of the files that are named
        self._unsaved: list[tuple[np.ndarray, np.ndarray]] = []
        self._beside = 0  # vectors that are not in the large file
        if state is not None:
            self._load(state)

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    def train(self, sample: np.ndarray, expected: int) -> None:
        """See `VectorIndex.train`: finds the centres of the lists."""
        # about 1.4 times the root of what is expected, so that a probe reads about as much as the centres
        lists = 1
        while 4 * lists * lists <= 2 * expected and 2 * lists * _A_LIST <= len(sample):
            lists *= 2
        self._index = faiss.index_factory(self._dimensions, f"IVF{lists},SQ8")
        self._index.cp.seed = _SEED
        self._index.cp.niter = 10
        self._index.cp.max_points_per_centroid = 64
        self._index.train(np.ascontiguousarray(sample, dtype=np.float32))

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """See `VectorIndex.add`."""
        if not len(ids):
            return
        self._index.add_with_ids(vectors, ids)
        self._beside += len(ids)
        if self._is_rewritten():
            self._unsaved = []
        else:
            self._unsaved.append((ids, vectors))

    def nearest(self, vector: np.ndarray, effort: Effort, below: int | None = None) -> np.ndarray:
        """See `VectorIndex.nearest`."""
        pool = min(effort.pool, len(self))
        if not pool:
            return np.empty(0, dtype=np.int64)
        how = faiss.SearchParametersIVF()
        how.nprobe = min(effort.probes, self._index.nlist)
        if below is not None:
            how.sel = faiss.IDSelectorRange(0, below)
        _, found = self._index.search(vector[None, :], pool, params=how)
        ids: np.ndarray = found[0]
        return ids[ids >= 0]

    def save(self) -> Mapping[str, Any]:
        """See `VectorIndex.save`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            if self._is_rewritten():
                name = f"base.{uuid4().hex[:12]}.faiss"
                faiss.write_index(self._index, str(self._folder / name))
                _sync(self._folder / name)
                self._base, self._deltas, self._beside = name, [], 0
                self._seals = {name: seal_of(self._folder / name)}
            elif self._unsaved:
                name = f"added.{uuid4().hex[:12]}.npz"
                ids, vectors = (np.concatenate(parts) for parts in zip(*self._unsaved, strict=True))
                np.savez(self._folder / name, ids=ids, vectors=vectors)
                _sync(self._folder / name)
                self._deltas.append(name)
                self._seals[name] = seal_of(self._folder / name)
        except (OSError, RuntimeError) as why:  # faiss says RuntimeError when a disk is full
            raise DataError(
                f"the vectors in {self._folder} could not be written ({why}); what was there is unchanged. "
                "Make room and run the same command again",
                path=str(self._folder),
            ) from why
        self._unsaved = []
        sync_folder(self._folder)
        return {"base": self._base, "added": list(self._deltas), "seals": dict(self._seals)}

    def discard(self, state: Mapping[str, Any]) -> None:
        """See `VectorIndex.discard`."""
        named = {state["base"], *state["added"]}
        for path in (*self._folder.glob("base.*"), *self._folder.glob("added.*")):
            if path.name not in named:
                with contextlib.suppress(OSError):
                    path.unlink()

    def close(self) -> None:
        """Nothing is held open."""

    def _is_rewritten(self) -> bool:
        """Whether the next `save` writes everything; more vectors never change that back."""
        return self._base is None or self._beside > MERGE_AT * len(self)

    def _load(self, state: Mapping[str, Any]) -> None:
        self._base, self._deltas = str(state["base"]), [str(name) for name in state["added"]]
        self._seals = dict(state["seals"])
        path = self._folder / self._base
        try:
            check_seal(path, self._seals[self._base])  # faiss would follow a damaged file anywhere
            self._index = faiss.read_index(str(path))
            for name in self._deltas:
                path = self._folder / name
                added = arrays_in(path, self._seals[name], ("ids", "vectors"))
                self._index.add_with_ids(added["vectors"], added["ids"])
                self._beside += len(added["ids"])
        except (OSError, RuntimeError, ValueError, KeyError) as why:
            raise DataError(
                f"{path} is missing or damaged; make the vectors anew with `mexclab vectors build`",
                path=str(path),
            ) from why


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
