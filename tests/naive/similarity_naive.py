"""Similarity search as its definition says it, one window at a time: the twin of the fast one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Series = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Rules:
    """Plain numbers, so that the twin shares no code with what it checks. Bars, except ``interval_ns``."""

    interval_ns: int
    exclusion: int
    per_symbol: int | None = None
    point_in_time: bool = True
    horizon: int = 0
    embargo: int = 0
    min_moves: float = 0.2
    max_jump_share: float = 0.8


def z(prices: np.ndarray) -> np.ndarray:
    """z-normalised log prices."""
    log = np.log(prices)
    log = log - log[0]
    log = log - np.mean(log)
    return log / np.sqrt(np.mean(log * log))


def activity(prices: np.ndarray, rules: Rules) -> str:
    """ "active", "flat" or "one jump"."""
    steps = np.diff(np.log(prices))
    if not steps.any() or np.count_nonzero(steps) < rules.min_moves * len(steps) - 1e-9:
        return "flat"
    squares = steps**2
    return "one jump" if squares.max() > rules.max_jump_share * (1 + 1e-9) * squares.sum() else "active"


def candidates(
    series: Series, query: tuple[str, int, np.ndarray], rules: Rules
) -> tuple[list[tuple[float, str, int]], dict[str, int]]:
    """Every window that may match as (distance, symbol, start), and counts of the others by reason."""
    own, start_ns, prices = query
    shape, length, step = z(prices), len(prices), rules.interval_ns
    found: list[tuple[float, str, int]] = []
    counts = {"flat": 0, "one jump": 0, "barred": 0}
    for symbol, (times, close) in series.items():
        for first in range(len(times) - length + 1):
            opened = int(times[first])
            if times[first + length - 1] - opened != (length - 1) * step:
                continue
            end = opened + length * step
            if rules.point_in_time:
                barred = end + (rules.horizon + rules.embargo) * step > start_ns
            else:
                barred = symbol == own and opened < start_ns + length * step and end > start_ns
            if barred:
                counts["barred"] += 1
                continue
            window = close[first : first + length]
            kind = activity(window, rules)
            if kind == "active":
                found.append((round(float(np.sqrt(np.sum((z(window) - shape) ** 2))), 10), symbol, opened))
            else:
                counts[kind] += 1
    return found, counts


def nearest(
    series: Series, query: tuple[str, int, np.ndarray], k: int, rules: Rules
) -> list[tuple[float, str, int]]:
    """The k nearest, greedily, best first."""
    taken: list[tuple[float, str, int]] = []
    for distance, symbol, opened in sorted(candidates(series, query, rules)[0]):
        same = [other[2] for other in taken if other[1] == symbol]
        if rules.per_symbol is not None and len(same) >= rules.per_symbol:
            continue
        if any(abs(opened - other) < rules.exclusion * rules.interval_ns for other in same):
            continue
        taken.append((distance, symbol, opened))
        if len(taken) == k:
            break
    return taken
