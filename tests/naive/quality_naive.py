"""How far bars can be trusted, counted one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median


def quality_of(bars: Sequence[tuple[int, float, float, float, float, float]], step: int) -> dict[str, float]:
    """The counts of one symbol's bars, (open time, open, high, low, close, volume) in order of time."""
    missing = gaps = longest = 0
    runs: list[int] = []
    moves: list[float | None] = []
    for number, bar in enumerate(bars):
        before = bars[number - 1] if number else None
        lacks = 0 if before is None else (bar[0] - before[0]) // step - 1
        missing, gaps, longest = missing + lacks, gaps + (lacks > 0), max(longest, lacks)
        still = before is not None and not lacks and len(set(bar[1:5])) == 1 and bar[4] == before[4]
        runs = [*runs[:-1], runs[-1] + 1] if still else [*runs, 1]
        moves.append(None if before is None or lacks else math.log(bar[4] / before[4]))
    sizes = [abs(move) for move in moves if move]
    sigma = 1.4826 * median(sizes) if sizes else math.inf
    jumps = [n for n, move in enumerate(moves) if move is not None and abs(move) / sigma > 25]
    after = [*moves[1:], None]
    spikes = [n for n in jumps if after[n] is not None and abs(moves[n] + after[n]) <= abs(moves[n]) / 4]
    frozen = [run for run in runs if run >= 30]
    return {
        "bars": len(bars), "missing": missing, "gaps": gaps, "longest_gap": longest,
        "missing_share": missing / (missing + len(bars)),
        "zero_volume": sum(bar[5] <= 0 for bar in bars) / len(bars),
        "frozen": sum(frozen) / len(bars), "longest_frozen": max(frozen, default=0),
        "jumps": len(jumps), "spikes": len(spikes),
    }  # fmt: skip


def tick_of(texts: Sequence[str]) -> int:
    """The decimals that the prices were written with."""
    return max(len(text.partition(".")[2].rstrip("0")) for text in texts)
