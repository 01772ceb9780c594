"""Asking the vectors: candidates from the index, exact distances from the bars, and the recall of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.activity import ACTIVE, activity_at, check_shape
from mexclab.research.query import Query, z_normalised
from mexclab.research.refine import pick
from mexclab.research.series import span
from mexclab.research.similarity import (
    DEFAULT_OPTIONS,
    Matches,
    SimilarityOptions,
    check_reach,
    matches_table,
    similar,
)
from mexclab.research.windows import Panel
from mexclab.store.vectors import EFFORTS, Effort, Recall, bound_of
from mexclab.store.vectors_encoding import ROUGH, WindowMap, drawn, once
from mexclab.store.vectors_windows import WindowVectors

CLOSELY, CLOSELY_A_MATCH = 200, 40  # windows that are compared exactly at first
GROWTH = 4  # how much harder to look when exclusion zones used the candidates up
EVERYTHING = Effort(2**20, 2**40)
MOST_CANDIDATES = 200_000  # beyond it the exact search is quicker, and takes less memory

Progress = Callable[[int, int], None]
"""Is told how many queries are done, and of how many."""


def search(
    vectors: WindowVectors,
    panel: Panel,
    queries: Sequence[Query],
    k: int = 10,
    *,
    horizon: int = 0,
    options: SimilarityOptions = DEFAULT_OPTIONS,
    effort: Effort | None = None,
) -> list[Matches]:
    """What `similarity.similar` answers, for many queries, but for what the index misses.

    Every distance is exact, and all rules hold: exclusion zone, cap per symbol, point in time. A query
    whose rules leave too few of MOST_CANDIDATES is answered by the exact search itself, and noted so.

    Args:
        vectors: an index of windows as long as the queries.
        panel: the bars; those that came after the index was made can be found too once `add` ran.
        effort: how hard to look; None for what the last check chose.

    Raises:
        ParameterError: a query does not fit the index, has no shape, or asks for channels.
    """
    if k < 1 or horizon < 0:
        raise ParameterError(f"k is at least 1 and horizon at least 0, not {k} and {horizon}.")
    if getattr(options, "channels", None):
        raise ParameterError("Vectors hold closes alone: search channels exactly, with lab.similar.")
    asked = Asked(vectors, WindowMap.of(panel, vectors.spec), vectors.places(panel), k, horizon, options)
    return [asked.answer(query, effort) for query in queries]


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """One set of rules, for one query after the other."""

    vectors: WindowVectors
    windows: WindowMap
    places: np.ndarray
    k: int
    horizon: int
    options: SimilarityOptions

    def answer(self, query: Query, effort: Effort | None = None) -> Matches:
        """The matches of one query."""
        self._check(query)
        measured = self.vectors.recall
        look = effort or (measured.effort if measured else EFFORTS[2])
        shape = query.normalised
        while True:
            positions = self._candidates(query, shape, look)
            found, distances = self._nearest(positions, shape)
            if len(found) == self.k or look == EVERYTHING:
                return self._matches(query, found, distances, len(positions))
            grown = Effort(look.probes * GROWTH, look.pool * GROWTH)
            if min(grown.pool, len(self.vectors)) > MOST_CANDIDATES:
                return self._exactly(query) or self._matches(query, found, distances, len(positions))
            look = grown if grown.pool < len(self.vectors) else EVERYTHING

    def _exactly(self, query: Query) -> Matches | None:
        """What the exact search finds; None where there is no window that it may see."""
        try:
            found = similar(self.windows.panel, query, self.k, horizon=self.horizon, options=self.options)
        except NotEnoughData:
            return None
        return replace(found, notes=("exact: the rules left too few candidates", *found.notes))

    def _check(self, query: Query) -> None:
        spec = self.vectors.spec
        if query.length != spec.length or query.interval_ns != spec.interval_ns:
            raise ParameterError(
                f"These vectors are of {spec.length} bars of {span(spec.interval_ns)}, the query has "
                f"{query.length} of {span(query.interval_ns)}: build vectors of that length.",
                length=query.length,
            )
        check_shape(query, self.options.activity)
        check_reach(self.windows.panel, self.horizon, self.options)

    def _candidates(self, query: Query, shape: np.ndarray, look: Effort) -> np.ndarray:
        """Where the windows start that the index finds and that may be seen, with their neighbours."""
        step, panel = query.interval_ns, self.windows.panel
        latest_ns = query.start_ns - (query.length + self.horizon + self.options.embargo) * step
        past = self.options.point_in_time
        ids = self.vectors.near(shape, look, bound_of(latest_ns // step + 1) if past else None)
        found = self.windows.positions(once(ids), self.places)
        positions = self.windows.neighbours(found[found >= 0])
        times = panel.times(positions)
        if past:
            return positions[times <= latest_ns]
        if query.symbol not in panel.symbols:
            return positions
        own = panel.segment_symbol[panel.segment_of(positions)] == panel.symbol_position(query.symbol)
        kept: np.ndarray = positions[~own | (np.abs(times - query.start_ns) >= query.length * step)]
        return kept

    def _nearest(self, positions: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and exact distances of at most k of these windows, by the rules.

        Rough distances say which are worth an exact one: enough for k, and all of them where the rules
        leave less than k of those.
        """
        rough = self.windows.rough_distances(positions, shape)
        enough = max(CLOSELY, CLOSELY_A_MATCH * self.k)
        while True:
            some, sure = positions, np.inf
            if enough < len(positions):
                nearer = np.argpartition(rough, enough)
                some, sure = positions[nearer[:enough]], rough[nearer[enough]] - ROUGH
            distances = self.windows.distances(some, shape, self.options.activity)
            order = np.lexsort((some, distances))
            order = order[np.isfinite(distances[order])]
            some, distances = some[order], distances[order]
            chosen = self._picked(some)
            if enough >= len(positions) or (len(chosen) == self.k and distances[chosen[-1]] < sure):
                return some[chosen], distances[chosen]
            enough *= GROWTH

    def _picked(self, positions: np.ndarray) -> np.ndarray:
        panel = self.windows.panel
        chosen = np.empty(min(self.k, len(positions)), dtype=np.int64)
        apart_ns = self.options.apart(self.vectors.spec.length) * panel.interval_ns
        rule = (apart_ns, self.options.per_symbol or self.k)
        owners = panel.segment_symbol[panel.segment_of(positions)]
        taken = int(pick(owners, panel.times(positions), rule, chosen))
        return chosen[:taken]

    def _matches(self, query: Query, positions: np.ndarray, distances: np.ndarray, compared: int) -> Matches:
        measured = self.vectors.recall
        notes = [f"approximate, {measured}" if measured else "approximate, and the recall was not measured"]
        if len(positions) < self.k:
            notes.append(f"only {len(positions)} of the {self.k} asked for: the vectors know of no more")
        if not self.options.point_in_time:
            notes.append(
                "not point in time: matches may lie after the query, so they cannot support a forecast"
            )
        panel = self.windows.panel
        bars = positions[:, None] + np.arange(query.length)
        owners = panel.segment_symbol[panel.segment_of(positions)]
        return Matches(
            query=query,
            table=matches_table(panel, (owners, panel.times(positions)), distances, query.length),
            positions=positions,
            windows=z_normalised(panel.log_at(bars)),
            horizon=self.horizon,
            options=self.options,
            scanned=compared,
            excluded={},
            notes=tuple(notes),
        )


def sampled_queries(vectors: WindowVectors, panel: Panel, count: int, seed: int) -> list[Query]:
    """At most ``count`` windows with a shape from the later half of the panel's time, drawn at random."""
    windows = WindowMap.of(panel, vectors.spec)
    length = vectors.spec.length
    positions = drawn(windows, 40 * count, seed)
    times = panel.times(positions)
    late = times >= (int(panel.segment_time.min()) + int(times.max(initial=0))) // 2
    positions = np.random.default_rng(seed).permutation(positions[late])
    found: list[Query] = []
    need, limit = vectors.spec.floor.rule(length)
    for position in positions.tolist():
        levels = panel.log_at(position + np.arange(length))
        if activity_at(levels, 0, length, need, limit) == ACTIVE:
            owner = panel.symbols[int(panel.segment_symbol[panel.segment_of(np.array([position]))[0]])]
            start_ns = int(panel.times(np.array([position]))[0])
            found.append(Query(np.exp(levels), owner, start_ns, panel.interval_ns))
        if len(found) == count:
            break
    return found


def measure(
    vectors: WindowVectors,
    panel: Panel,
    queries: Sequence[Query],
    k: int = 10,
    *,
    options: SimilarityOptions = DEFAULT_OPTIONS,
    efforts: Sequence[Effort] = EFFORTS,
    progress: Progress | None = None,
) -> list[Recall]:
    """The recall of each effort against the exact search, with the same rules for both.

    Raises:
        NotEnoughData: none of the queries has a window that it may be compared with.
    """
    exact: list[set[int]] = []
    kept: list[Query] = []
    exact_s = 0.0
    for done, query in enumerate(queries, 1):
        try:
            if not kept:
                similar(panel, query, k, options=options)  # compiles what is not yet
            begun = time.process_time()
            exact.append(set(similar(panel, query, k, options=options).positions.tolist()))
            exact_s += time.process_time() - begun
            kept.append(query)
        except NotEnoughData:
            continue
        finally:
            if progress is not None:
                progress(done, len(queries))
    if not kept:
        raise NotEnoughData("No query has a past to be compared with: use more history or shorter windows.")
    exact_ms = exact_s * 1e3 / len(kept)
    search(vectors, panel, kept[:1], k, options=options, effort=efforts[0])  # the same
    found = []
    for effort in efforts:
        begun = time.process_time()
        answers = search(vectors, panel, kept, k, options=options, effort=effort)
        taken_ms = (time.process_time() - begun) * 1e3 / len(kept)
        hits = sum(
            len(truth & set(answer.positions.tolist())) for truth, answer in zip(exact, answers, strict=True)
        )
        share = hits / max(1, sum(map(len, exact)))
        found.append(Recall(effort, k, len(kept), share, taken_ms, exact_ms))
    return found


def sufficient(found: Sequence[Recall], goal: float) -> Recall:
    """The cheapest effort that reaches ``goal``; the best one where none does."""
    return next((each for each in found if each.share >= goal), max(found, key=lambda each: each.share))
