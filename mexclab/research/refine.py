"""The second pass of an exact search: plain float64 distances, and the choice among them."""

from __future__ import annotations

import numpy as np

from mexclab.research.activity import ACTIVE, activity_at
from mexclab.research.compiling import compiled
from mexclab.research.lanes import LANES


@compiled()
def _columns(flats, cell, bars, columns):  # type: ignore[no-untyped-def]
    """Copy ``bars`` bars of one lane, a row per channel, NaN in all of them where one is missing."""
    for i in range(bars):
        gone = False
        for c in range(len(flats)):
            value = flats[c][cell + i * LANES]
            columns[c, i] = value
            gone |= value != value
        if gone:
            columns[:, i] = np.nan


@compiled(fastmath={"contract"})
def _square(values, query):  # type: ignore[no-untyped-def]
    """Squared distance of the z-normalised ``values`` from ``query``; for a constant, twice the length."""
    length = len(query)
    base = values[0]
    mean = 0.0
    for i in range(length):
        mean += values[i] - base
    mean /= length
    spread = 0.0
    for i in range(length):
        spread += (values[i] - base - mean) ** 2
    if spread == 0.0:
        return 2.0 * length
    scale = 1.0 / np.sqrt(spread / length)
    square = 0.0
    for i in range(length):
        square += ((values[i] - base - mean) * scale - query[i]) ** 2
    return square


@compiled()
def refine(flats, blocks, question, rule, found):  # type: ignore[no-untyped-def]
    """The exact distances of the active windows of some blocks; returns how many there are.

    Args:
        flats: the channels' cells; the first of them are log closes, which decide what is active.
        blocks: (blocks, 2) int64 first cell of each block, and its number of windows.
        question: (queries (channels, length) float64 with zero mean and unit deviation, weights).
        rule: ``ActivityFloor.rule``.
        found: (cells, distances), (windows,) each, filled from the front: first cell, and sqrt of the
            weighted sum of the channels' sum((z - query)**2), to 1e-10, which is what float64 log prices
            are good for.
    """
    cells, distances = found
    queries, weights = question
    length = queries.shape[1]
    need, limit = rule
    columns = np.empty((len(flats), 64 + length))
    known = 0
    for block in range(len(blocks)):
        cell, count = blocks[block, 0], blocks[block, 1]
        _columns(flats, cell, count + length - 1, columns)
        close = columns[0]
        gap = -1  # the latest missing bar
        for i in range(length - 1):
            gap = i if close[i] != close[i] else gap
        for j in range(count):
            end = j + length
            gap = end - 1 if close[end - 1] != close[end - 1] else gap
            if gap >= j or activity_at(close, j, length, need, limit) != ACTIVE:
                continue
            square = 0.0
            for c in range(len(flats)):
                if weights[c] > 0.0:
                    square += weights[c] * _square(columns[c, j:end], queries[c])
            cells[known] = cell + j * LANES
            distances[known] = round(np.sqrt(square) * 1e10) / 1e10
            known += 1
    return known


@compiled()
def pick(symbols, times, rule, chosen):  # type: ignore[no-untyped-def]
    """Take candidates in the order given unless one was taken near by; returns how many were taken.

    Args:
        symbols, times: (n,) int64 symbol positions and start times of the candidates, best first.
        rule: (two takings from one symbol start at least this far apart, ns; how many to take at most
            from one symbol).
        chosen: (limit,) int64, filled from the front with the indices of those taken.
    """
    apart_ns, per_symbol = rule
    if len(symbols) == 0:
        return 0
    latest = np.full(symbols.max() + 1, -1)  # the last of ``chosen`` that each symbol owns
    before = np.empty(len(chosen), dtype=np.int64)  # the one of the same symbol before it
    owned = np.zeros(len(latest), dtype=np.int64)
    taken = 0
    for candidate in range(len(symbols)):
        if taken == len(chosen):
            break
        symbol = symbols[candidate]
        if owned[symbol] >= per_symbol:
            continue
        other = latest[symbol] if apart_ns > 0 else -1
        while other >= 0 and abs(times[chosen[other]] - times[candidate]) >= apart_ns:
            other = before[other]
        if other < 0:
            chosen[taken] = candidate
            before[taken], latest[symbol] = latest[symbol], taken
            owned[symbol] += 1
            taken += 1
    return taken
