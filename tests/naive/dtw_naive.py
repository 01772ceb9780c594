"""Dynamic time warping as its definition says it, cell by cell: the twin of the fast one."""

from __future__ import annotations

import math
from collections.abc import Sequence


def distance(first: Sequence[float], second: Sequence[float], radius: int) -> float:
    """The square root of the cheapest way's cost through the cells with abs(i - j) <= radius."""
    size = len(first)
    costs = [[math.inf] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            if abs(i - j) > radius:
                continue
            before = [costs[i - 1][j] if i else math.inf, costs[i][j - 1] if j else math.inf]
            before += [costs[i - 1][j - 1] if i and j else math.inf]
            way = 0.0 if i == j == 0 else min(before)
            costs[i][j] = way + (float(first[i]) - float(second[j])) ** 2
    return math.sqrt(costs[-1][-1])


def lower_bound(window: Sequence[float], query: Sequence[float], radius: int) -> float:
    """LB_Keogh: how far the window leaves the band that the query's neighbours span."""
    total = 0.0
    for i, value in enumerate(window):
        near = query[max(0, i - radius) : i + radius + 1]
        total += max(value - max(near), min(near) - value, 0.0) ** 2
    return math.sqrt(total)


def nearest(
    windows: Sequence[Sequence[float]], owners: Sequence[str], query: Sequence[float], k: int, rule: tuple
) -> list[tuple[float, int]]:
    """The k nearest as (distance, place), best first, at most ``cap`` of one owner; rule: (radius, cap)."""
    radius, cap = rule
    every = [(round(distance(window, query, radius), 10), place) for place, window in enumerate(windows)]
    taken: list[tuple[float, int]] = []
    for value, place in sorted(every):
        own = sum(owners[other] == owners[place] for _, other in taken)
        if len(taken) < k and (cap is None or own < cap):
            taken.append((value, place))
    return taken
