"""Brute force in float64 beside the exact search, over data with everything that hurts."""

from __future__ import annotations

import numpy as np

from mexclab.research.activity import ActivityFloor
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel, Query, z_normalised

MINUTE_NS = 60_000_000_000
K = 10
FLOOR = ActivityFloor(min_moves=0.2, max_jump_share=0.8)


def rough_panel(length: int, seed: int) -> Panel:
    """Six symbols of different length and listing, with jumps, flats, ticks, gaps; prices from 1e-9 up."""
    rng = np.random.default_rng(seed)
    series = {}
    for index in range(6):
        bars = int(rng.integers(2 * length, 3 * length)) + 1500
        size = 10.0 ** rng.uniform(-4.5, -2.0)
        close = 10.0 ** rng.integers(-9, 5) * np.exp(np.cumsum(rng.standard_normal(bars)) * size)
        for _ in range(3):
            close *= np.where(np.arange(bars) > rng.integers(bars), 10.0 ** rng.uniform(-3, 3), 1.0)
            calm = rng.integers(bars)
            close[calm : calm + rng.integers(5, 400)] = close[calm]
        if index % 2:
            tick = np.median(close) * 10.0 ** rng.uniform(-5, -3)
            close = np.maximum(np.round(close / tick), 1.0) * tick
        kept = rng.random(bars) > 2.0 / (length + 50)
        times = (int(rng.integers(0, 3000)) + np.arange(bars)) * MINUTE_NS
        series[f"R{index}USDT"] = (times[kept], close[kept])
    return Panel.from_arrays(series, MINUTE_NS)


def random_query(panel: Panel, length: int, rng: np.random.Generator) -> Query:
    """A window of the panel that has a shape, or a walk of its own, after everything."""
    end_ns = int((panel.segment_time + np.diff(panel.segment_start) * MINUTE_NS).max())
    need, limit = FLOOR.rule(length)
    room = np.diff(panel.segment_start)
    while True:
        log = np.cumsum(rng.standard_normal(length)) * 1e-3
        if rng.random() < 0.7 and (room >= length).any():
            segment = int(rng.choice(np.flatnonzero(room >= length)))
            first = panel.segment_start[segment] + rng.integers(0, room[segment] - length + 1)
            log = panel.log_at(first + np.arange(length)) + rng.standard_normal(length) * rng.choice(
                [0, 1e-4]
            )
        query = Query(np.exp(log), "QUSDT", end_ns, MINUTE_NS)
        squares = np.diff(np.log(query.values)) ** 2
        if np.count_nonzero(squares) >= need and squares.max() <= limit * squares.sum():
            return query


def all_distances(panel: Panel, query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbol, start time and distance of every active window, float64, as the definition says."""
    need, limit = FLOOR.rule(query.length)
    parts = []
    for segment, bars in enumerate(np.diff(panel.segment_start)):
        if bars < query.length:
            continue
        log = panel.log_at(panel.segment_start[segment] + np.arange(bars))
        view = np.lib.stride_tricks.sliding_window_view(log, query.length)
        squares = np.lib.stride_tricks.sliding_window_view(np.diff(log) ** 2, query.length - 1)
        active = (np.count_nonzero(squares, axis=1) >= need) & (
            squares.max(axis=1) <= limit * squares.sum(axis=1)
        )
        rows = np.flatnonzero(active)
        distances = np.empty(len(rows))
        for begin in range(0, len(rows), 512):
            some = rows[begin : begin + 512]
            shapes = z_normalised(view[some])
            distances[begin : begin + 512] = np.sqrt(((shapes - query.normalised) ** 2).sum(axis=1))
        times = panel.segment_time[segment] + rows * panel.interval_ns
        parts.append((np.full(len(rows), panel.segment_symbol[segment]), times, distances))
    symbols, times, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
    return symbols, times, distances


def brute_force(panel: Panel, query: Query) -> tuple[list[tuple[str, int]], list[float], int]:
    """The K nearest windows (symbol, start), half a window apart, their distances; how many were active."""
    symbols, times, distances = all_distances(panel, query)
    taken: list[int] = []
    for candidate in np.lexsort((times, symbols, np.round(distances, 10))):
        near = (
            abs(times[candidate] - times[i]) < query.length // 2 * panel.interval_ns
            for i in taken
            if symbols[i] == symbols[candidate]
        )
        if not any(near):
            taken.append(int(candidate))
        if len(taken) == K:
            break
    places = [(panel.symbols[symbols[i]], int(times[i])) for i in taken]
    return places, [float(distances[i]) for i in taken], len(distances)


def identical(panel: Panel, query: Query) -> bool:
    """Whether the search and brute force name the same windows, in order, at the same distances."""
    matches = similar(panel, query, K, options=SimilarityOptions(activity=FLOOR))
    places, distances, active = brute_force(panel, query)
    starts = matches.table["start"].dt.epoch("ns")
    return (
        list(zip(matches.table["symbol"], starts, strict=True)) == places
        and np.allclose(matches.table["distance"], distances, rtol=0, atol=1e-9)
        and matches.scanned == active
    )


def share_identical(length: int, queries: int, seed: int) -> tuple[int, int]:
    """(how many of ``queries`` random queries of ``length`` bars are answered identically, of how many)."""
    rng = np.random.default_rng((seed, length))
    same, panel = 0, rough_panel(length, seed)
    for asked in range(queries):
        if asked % 20 == 19:
            panel = rough_panel(length, seed + asked)
        same += identical(panel, random_query(panel, length, rng))
    return same, queries
