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


@dataclass(frozen=True)
class Channels:
    """What is known beside closes, with the weight of each channel; weights sum to 1.

    Attributes:
        weights: by channel, "close" among them.
        values: by channel and symbol, as long as the symbol's times.
        asked: by channel, of the query.
    """

    weights: Mapping[str, float]
    values: Mapping[str, Mapping[str, np.ndarray]]
    asked: Mapping[str, np.ndarray]


def normalised(values: np.ndarray) -> np.ndarray:
    """Zero mean, unit deviation."""
    values = values - values[0]
    values = values - np.mean(values)
    return values / np.sqrt(np.mean(values * values))


def z(prices: np.ndarray) -> np.ndarray:
    """z-normalised log prices."""
    return normalised(np.log(prices))


def squared(values: np.ndarray, asked: np.ndarray) -> float:
    """Squared distance of the shapes; that of uncorrelated ones where ``values`` stand still."""
    if np.all(values == values[0]):
        return 2.0 * len(values)
    return float(np.sum((normalised(values) - normalised(asked)) ** 2))


def carried(times: np.ndarray, close: np.ndarray, step: int, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """The last close carried over gaps of at most ``fill`` bars."""
    bars: list[tuple[int, float]] = []
    for opened, price in zip(times.tolist(), close.tolist(), strict=True):
        if bars and (opened - bars[-1][0]) // step - 1 <= fill:
            while bars[-1][0] + step < opened:
                bars.append((bars[-1][0] + step, bars[-1][1]))
        bars.append((opened, price))
    return np.array([opened for opened, _ in bars]), np.array([price for _, price in bars])


def activity(prices: np.ndarray, rules: Rules) -> str:
    """ "active", "flat" or "one jump"."""
    steps = np.diff(np.log(prices))
    if not steps.any() or np.count_nonzero(steps) < rules.min_moves * len(steps) - 1e-9:
        return "flat"
    squares = steps**2
    return "one jump" if squares.max() > rules.max_jump_share * (1 + 1e-9) * squares.sum() else "active"


def candidates(
    series: Series, query: tuple[str, int, np.ndarray], rules: Rules, channels: Channels | None = None
) -> tuple[list[tuple[float, str, int]], dict[str, int]]:
    """Every window that may match as (distance, symbol, start), and counts of the others by reason."""
    own, start_ns, prices = query
    length, step = len(prices), rules.interval_ns
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
                square = squared(np.log(window), np.log(prices))
                if channels is not None:
                    square *= channels.weights.get("close", 0.0)
                    for name, asked in channels.asked.items():
                        part = channels.values[name][symbol][first : first + length]
                        square += channels.weights[name] * squared(part, asked)
                found.append((round(float(np.sqrt(square)), 10), symbol, opened))
            else:
                counts[kind] += 1
    return found, counts


def nearest(found: list[tuple[float, str, int]], k: int, rules: Rules) -> list[tuple[float, str, int]]:
    """The k nearest of what ``candidates`` found, greedily, best first."""
    taken: list[tuple[float, str, int]] = []
    for distance, symbol, opened in sorted(found):
        same = [other[2] for other in taken if other[1] == symbol]
        if rules.per_symbol is not None and len(same) >= rules.per_symbol:
            continue
        if any(abs(opened - other) < rules.exclusion * rules.interval_ns for other in same):
            continue
        taken.append((distance, symbol, opened))
        if len(taken) == k:
            break
    return taken
