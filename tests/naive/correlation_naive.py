"""Correlations by the book: a pair at a time, over the rows that both have, in plain Python."""

from __future__ import annotations

import math

import numpy as np


def pair(first: list[float], second: list[float], least: int) -> float:
    """Pearson's correlation over the rows that both have; NaN where they are too few or one is constant."""
    rows = [(x, y) for x, y in zip(first, second, strict=True) if not (math.isnan(x) or math.isnan(y))]
    if len(rows) < least:
        return math.nan
    across, down = [x for x, _ in rows], [y for _, y in rows]
    if max(across) - min(across) == 0 or max(down) - min(down) == 0:
        return math.nan
    x_mean, y_mean = math.fsum(across) / len(rows), math.fsum(down) / len(rows)
    shared = math.fsum((x - x_mean) * (y - y_mean) for x, y in rows)
    x_square = math.fsum((x - x_mean) ** 2 for x in across)
    y_square = math.fsum((y - y_mean) ** 2 for y in down)
    return shared / math.sqrt(x_square * y_square)


def matrix(values: np.ndarray, least: int) -> np.ndarray:
    """(N, N) of (T, N) returns, NaN where missing."""
    columns = [values[:, at].tolist() for at in range(values.shape[1])]
    return np.array([[pair(first, second, least) for second in columns] for first in columns])


def lead(scores: np.ndarray, lags: int, block: int, signs: np.ndarray) -> tuple[float, int, int]:
    """The first column before the second: the statistic, its lag, and how many draws of signs exceed it."""
    blocks = -(-len(scores) // block)
    sums = [[0.0] * blocks for _ in range(lags)]
    for t in range(len(scores)):
        for lag in range(1, min(lags, t) + 1):
            product = float(scores[t - lag, 0]) * float(scores[t, 1])
            sums[lag - 1][t // block] += 0.0 if math.isnan(product) else product
    spreads = [math.sqrt(math.fsum(each**2 for each in line)) for line in sums]
    seen = [abs(math.fsum(line)) / spread for line, spread in zip(sums, spreads, strict=True)]
    best = max(seen)
    drawn = [
        max(
            abs(math.fsum(float(s) * each for s, each in zip(row, line, strict=True))) / spread
            for line, spread in zip(sums, spreads, strict=True)
        )
        for row in signs
    ]
    return best, seen.index(best) + 1, sum(each >= best for each in drawn)
