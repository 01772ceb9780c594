"""Tail risk as its definition says it, with plain numbers and lists: the twin of the array one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[float | None]]  # [row][symbol], None where a symbol was not known


@dataclass(frozen=True)
class Rules:
    """Plain numbers, so that the twin shares no code with what it checks."""

    tail: float
    horizon: int
    unknown_loss: float
    decay: float
    is_filtered: bool
    most: int


def filtered(column: Sequence[float], decay: float) -> list[float]:
    """Each return scaled from the volatility of its moment to that of now, by the recursion itself."""
    variances = [sum(each * each for each in column) / len(column)]
    for each in column:
        variances.append(decay * variances[-1] + (1 - decay) * each * each)
    now = math.sqrt(variances[-1])
    scaled = []
    for each, variance in zip(column, variances, strict=False):
        then = math.sqrt(variance)
        scale = now / then if then > 0 else 1.0
        scaled.append(each * min(max(scale, 0.1), 10.0))
    return scaled


def losses(rows: Rows, exposures: Sequence[float], rules: Rules) -> list[float]:
    """What the book loses in each window, in the order of the windows."""
    columns = [[row[place] for row in rows] for place in range(len(exposures))]
    sure, moves = 0.0, []
    for exposure, column in zip(exposures, columns, strict=True):
        known = [each for each in column if each is not None]
        if len(known) < len(column):
            sure += rules.unknown_loss * exposure
        else:
            moves.append((exposure, filtered(known, rules.decay) if rules.is_filtered else known))
    count = len(rows) - rules.horizon + 1
    starts = list(range(count))
    if count > rules.most:
        starts = [place * (count - 1) // (rules.most - 1) for place in range(rules.most)]
    found = []
    for start in starts:
        lost = sure
        for exposure, column in moves:
            total = sum(column[start : start + rules.horizon])
            lost -= exposure * (math.exp(min(total, 50.0)) - 1)
        found.append(lost)
    return found


def value_at_risk(found: Sequence[float], tail: float) -> float:
    """The largest loss that is not one of the worst ``tail`` of them."""
    ordered = sorted(found, reverse=True)
    return ordered[math.floor(tail * len(ordered) + 1e-9)]


def expected_shortfall(found: Sequence[float], tail: float) -> float:
    """The mean of the worst ``tail`` of them, the last one in part."""
    ordered = sorted(found, reverse=True)
    left, total = tail * len(ordered), 0.0
    for loss in ordered:
        part = min(1.0, left)
        total += part * loss
        left -= part
        if left <= 1e-12:
            break
    return total / (tail * len(ordered))
