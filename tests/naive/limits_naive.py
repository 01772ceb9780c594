"""The naive twin of the limiter's windows: count every window there is."""

from __future__ import annotations

from collections.abc import Sequence


def busiest_window(taken: Sequence[tuple[float, int]], length_s: float) -> int:
    """The most weight that lies in any half-open window of ``length_s`` seconds."""
    return max(
        (sum(weight for at, weight in taken if begin <= at < begin + length_s) for begin, _ in taken),
        default=0,
    )
