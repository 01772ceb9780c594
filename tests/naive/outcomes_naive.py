"""Naive twins of the outcome kernels: loops over plain lists, as the definitions say it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mexclab.research.controls import OutcomeOptions
    from mexclab.research.similarity import Matches
    from mexclab.research.windows import Panel


def outcome_of(closes: list[float], length: int) -> dict[str, float]:
    """What followed the first ``length`` of ``closes`` until the last of them."""
    entry, after = closes[length - 1], closes[length:]
    gains = [0.0] + [price / entry - 1.0 for price in after]
    squares = [math.log(b / a) ** 2 for a, b in itertools.pairwise(closes[:length])]
    volatility = math.sqrt(sum(squares) / len(squares))
    moved = math.log(after[-1] / entry) if after else 0.0
    return {
        "simple_return": gains[-1],
        "log_return": moved,
        "best": max(gains),
        "worst": min(gains),
        "to_best": gains.index(max(gains)),
        "to_worst": gains.index(min(gains)),
        "scaled": moved / volatility / math.sqrt(len(after)) if after else 0.0,
        "volatility": volatility,
    }


def base_rate_of(
    panel: Panel, matches: Matches, horizon: int, options: OutcomeOptions, clusters: list[int]
) -> tuple[int, float]:
    """How many windows are like the matches in symbol, hours and volatility, and what they did on average.

    For panels without gaps and windows above the activity floor; every match must have a known outcome.
    """
    length, step = matches.query.length, panel.interval_ns
    windows: dict[str, list[dict[str, float]]] = {}
    for index, symbol in enumerate(panel.symbols):
        first, last = int(panel.segment_start[index]), int(panel.segment_start[index + 1])
        opened = int(panel.segment_time[index])
        closes = [math.exp(value) for value in panel.log_at(np.arange(first, last)).tolist()]
        for start in range(len(closes) - length - horizon + 1):
            end_ns = opened + (start + length) * step
            if end_ns + horizon * step <= matches.query.start_ns:
                facts = outcome_of(closes[start : start + length + horizon], length)
                facts["band"] = end_ns // 3_600_000_000_000 % 24 // options.hour_band
                facts["start_ns"] = opened + start * step
                windows.setdefault(symbol, []).append(facts)
    sizes = {cluster: clusters.count(cluster) for cluster in clusters}
    total, mean, seen = 0, 0.0, set()
    for row, cluster in zip(matches.table.to_dicts(), clusters, strict=True):
        own = windows[row["symbol"]]
        edges = _edges(sorted(facts["volatility"] for facts in own), options.volatility_buckets)
        at = int(row["start"].timestamp()) * 1_000_000_000
        (match,) = [facts for facts in own if facts["start_ns"] == at]
        bucket = sum(edge < match["volatility"] for edge in edges)
        alike = [
            facts
            for facts in own
            if facts["band"] == match["band"] and sum(e < facts["volatility"] for e in edges) == bucket
        ]
        mean += sum(f["simple_return"] for f in alike) / len(alike) / sizes[cluster] / len(sizes)
        key = (row["symbol"], match["band"], bucket)
        total += len(alike) if key not in seen else 0
        seen.add(key)
    return total, mean


def _edges(ordered: list[float], buckets: int) -> list[float]:
    found = []
    for number in range(1, buckets):
        place = number / buckets * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        found.append(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
    return found


def q_values_of(p_values: list[float]) -> list[float]:
    """Benjamini and Hochberg by its definition: the smallest level at which each would be rejected."""
    count = len(p_values)
    found = []
    for own in p_values:
        levels = [count * p / sum(other <= p for other in p_values) for p in p_values if p >= own]
        found.append(min([1.0, *levels]))
    return found


def crps_of(members: list[float], weights: list[float], actual: float, *, fair: bool = False) -> float:
    """The score by its definition, a double sum."""
    total = sum(weights)
    shares = [weight / total for weight in weights]
    miss = sum(share * abs(member - actual) for share, member in zip(shares, members, strict=True))
    pairs = sum(
        a * b * abs(x - y)
        for a, x in zip(shares, members, strict=True)
        for b, y in zip(shares, members, strict=True)
    )
    return miss - pairs / 2 / (1 - sum(share**2 for share in shares) if fair else 1)


def pinball_of(quantiles: list[float], shares: list[float], actual: float) -> float:
    """The mean pinball loss of one forecast."""
    losses = [
        share * (actual - q) if actual >= q else (1 - share) * (q - actual)
        for q, share in zip(quantiles, shares, strict=True)
    ]
    return sum(losses) / len(losses)


def margins_of(
    misses: list[float],
    made: list[int],
    known: list[int],
    level: float,
    window: int,
    fewest: int,
    rate: float,
) -> list[float | None]:
    """The margin of each forecast, everything worked out anew from what was known when it was made."""
    margins: list[float | None] = []
    for at, now in enumerate(made):
        past = sorted((known[i], i) for i in range(len(made)) if known[i] <= now)
        wanted = level
        for _, i in past:
            if i < at and margins[i] is not None:
                wanted += rate * ((misses[i] > margins[i]) - (1 - level))
        recent = sorted(misses[i] for _, i in past[-window:])
        if len(past) < fewest:
            margins.append(None)
            continue
        rank = math.ceil(wanted * (len(recent) + 1))
        margins.append(math.inf if rank > len(recent) else recent[max(0, rank - 1)])
    return margins
