"""Vectors of a lake's windows: made, added to, checked and asked; for the command line and for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from typing import Any

from mexclab.config import Settings
from mexclab.errors import DataError, NotEnoughData, ParameterError
from mexclab.research.query import Query
from mexclab.research.similarity import DEFAULT_OPTIONS, Matches, SimilarityOptions
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import INTERVAL_MS, interval_ms
from mexclab.store.panel_file import panel_of
from mexclab.store.postgres import connect
from mexclab.store.vectors import Recall, VectorIndex, VectorSpec
from mexclab.store.vectors_faiss import FaissVectors
from mexclab.store.vectors_pg import PgVectors
from mexclab.store.vectors_search import measure, sampled_queries, search, sufficient
from mexclab.store.vectors_windows import OpenIndex, WindowVectors

FOLDER = "vectors"
STORES = ("faiss", "pgvector")
GOAL = 0.98  # recall@10 that a build looks for
CHECKED = 25  # queries that it is measured on

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which vectors.

    Args:
        length: bars in a window.
        interval: which bars.
        store: ``faiss``, files beside the lake, or ``pgvector``, a table in the ledger's Postgres.

    Raises:
        ParameterError: an unknown interval or store.
    """

    length: int = 60
    interval: str = "1m"
    store: str = "faiss"

    def __post_init__(self) -> None:
        interval_ms(self.interval)
        if self.store not in STORES:
            raise ParameterError(f"store is {' or '.join(STORES)}, not {self.store!r}.", store=self.store)

    @classmethod
    def of(cls, place: Place | int) -> Place:
        """A place, or the one of the minute windows so long that are kept in files."""
        return place if isinstance(place, Place) else cls(place)

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return interval_ms(self.interval) * 1_000_000

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.interval}-{self.length}-{self.store}"


class Vectors:
    """The vectors of a lake: ``lab.vectors.build(60)``, then ``lab.vectors.search(queries)``.

    Args:
        lake: the bars.
        settings: where a Postgres is, for vectors that live there.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake = lake
        self._settings = settings

    def build(
        self, place: Place | int, stride: int = 4, goal: float = GOAL, progress: Progress | None = None
    ) -> str:
        """Make the vectors of every window anew, and measure how well they find; a sentence about it.

        Args:
            place: which windows and where they are kept, or only their length.
            stride: keep every so many-th window; its neighbours are compared when it is found.
            goal: recall@10 to look for; the cheapest effort that reaches it is used from then on.

        Raises:
            DataError: the lake is empty, or the disk is full; what was there still is.
            NotEnoughData: hardly a window of this length.
        """
        place = Place.of(place)
        panel = panel_of(self._lake, place.interval)
        spec = VectorSpec(place.interval_ns, place.length, stride, min(16, place.length - 1))
        with self._index(place) as open_index:
            vectors = WindowVectors.build(self._folder(place), panel, spec, open_index, progress)
            try:
                queries = sampled_queries(vectors, panel, CHECKED, seed=7)
                vectors.remember(sufficient(measure(vectors, panel, queries), goal))
                return repr(vectors)
            except NotEnoughData:
                return f"{vectors!r}; too little history to measure the recall"
            finally:
                vectors.close()

    def add(self, place: Place | int, progress: Progress | None = None) -> str:
        """Take in the windows that came since; a sentence about it.

        Raises:
            DataError: there are no such vectors.
        """
        place = Place.of(place)
        panel = panel_of(self._lake, place.interval)
        with self._opened(place) as vectors:
            added = vectors.add(panel, progress)
            return f"{added:,} vectors added; {vectors!r}"

    def check(
        self, place: Place | int, queries: int = 50, goal: float = GOAL, progress: Progress | None = None
    ) -> list[Recall]:
        """Recall against the exact search at each effort, careless to thorough; the search keeps to it.

        Raises:
            DataError: there are no such vectors.
            NotEnoughData: too little history to measure anything.
        """
        place = Place.of(place)
        panel = panel_of(self._lake, place.interval)
        with self._opened(place) as vectors:
            asked = sampled_queries(vectors, panel, queries, seed=11)
            found = measure(vectors, panel, asked, progress=progress)
            vectors.remember(sufficient(found, goal))
            return found

    def search(
        self,
        queries: Query | Sequence[Query],
        k: int = 10,
        horizon: int = 0,
        options: SimilarityOptions = DEFAULT_OPTIONS,
        store: str = "faiss",
    ) -> list[Matches]:
        """The matches of many queries of one length, in their order; what may be missed is in the notes.

        Raises:
            DataError: there are no vectors of this length.
            ParameterError: a query that has no shape, or queries of several lengths.
        """
        asked = [queries] if isinstance(queries, Query) else list(queries)
        if not asked:
            return []
        intervals = {ms * 1_000_000: interval for interval, ms in INTERVAL_MS.items()}
        if asked[0].interval_ns not in intervals:
            raise ParameterError(f"The lake keeps no bars as long as those of {asked[0]!r}.")
        place = Place(asked[0].length, intervals[asked[0].interval_ns], store)
        panel = panel_of(self._lake, place.interval)
        with self._opened(place) as vectors:
            return search(vectors, panel, asked, k, horizon=horizon, options=options)

    def lacking(self, place: Place | int) -> int:
        """How many windows of the lake are not in yet."""
        place = Place.of(place)
        with self._opened(place) as vectors:
            return vectors.missing(panel_of(self._lake, place.interval))

    def __repr__(self) -> str:
        folder = self._lake.root / FOLDER
        held = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        return (
            f"vectors (interval-length-store): {', '.join(held) or 'none yet; build them with .build(...)'}"
        )

    def _folder(self, place: Place) -> Path:
        return Path(self._lake.root) / FOLDER / place.name

    @contextmanager
    def _opened(self, place: Place) -> Iterator[WindowVectors]:
        if not (self._folder(place) / "catalogue.json").exists():
            raise DataError(
                f"there are no vectors of {place.length} bars of {place.interval} in {place.store}; make "
                f"them with `mexclab vectors build --length {place.length}`",
                path=str(self._folder(place)),
            )
        with self._index(place) as open_index:
            vectors = WindowVectors.open(self._folder(place), open_index)
            try:
                yield vectors
            finally:
                vectors.close()

    @contextmanager
    def _index(self, place: Place) -> Iterator[OpenIndex]:
        if place.store == "faiss":
            yield lambda size, state: FaissVectors(self._folder(place), size, state)
            return
        # lakes in one database drop the tables of their own earlier builds, never each other's
        lake = blake2s(str(Path(self._lake.root).resolve()).encode(), digest_size=4).hexdigest()
        url = self._settings.ledger.url
        postgres = connect(url.get_secret_value() if url else None, self._settings.data, pool_size=1)

        def opened(size: int, state: Mapping[str, Any] | None) -> VectorIndex:
            return PgVectors(postgres, f"w_{place.interval}_{place.length}_{lake}", size, state)

        try:
            yield opened
        finally:
            postgres.close()
