"""The arithmetic of correlation with gaps: what a missing bar takes away from the sums of others.

For symbols i and j let S be the sum of x_i x_j over the bars that both have (a missing return counts as
0 in it), and let ``lost[j, i]`` be the sum of x_i, ``lost_squares[j, i]`` that of its square, over the bars
that j does not have. Then the sums of i over the bars shared with j are its own sums less those. Only
missing bars cost anything.
"""

from __future__ import annotations

import numpy as np

from mexclab.research.compiling import compiled

FLAT = 1e-10  # a variance this small beside the symbol's own is rounding, not movement


@compiled()
def standardise(returns, scores, sums, squares, missing):  # type: ignore[no-untyped-def]
    """Fill scores (T, N): each column less its mean, at unit length, 0 where missing or where it never moves.

    sums, squares (N,): of the scores as stored; missing (N,): how many rows each column lacks.
    """
    rows, columns = returns.shape
    mean = np.zeros(columns)
    length = np.zeros(columns)
    for t in range(rows):
        for i in range(columns):
            value = returns[t, i]
            known = value == value
            mean[i] += value if known else 0.0
            missing[i] += 0 if known else 1
    for i in range(columns):
        mean[i] /= max(rows - missing[i], 1)
    for t in range(rows):
        for i in range(columns):
            value = returns[t, i] - mean[i]
            length[i] += value * value if value == value else 0.0
    for i in range(columns):
        held = rows - missing[i]
        moved = length[i] > FLAT * (length[i] + held * mean[i] ** 2)
        length[i] = 1.0 / np.sqrt(length[i]) if moved else 0.0
    for t in range(rows):
        for i in range(columns):
            value = (returns[t, i] - mean[i]) * length[i]
            scores[t, i] = value if value == value else 0.0
            stored = np.float64(scores[t, i])
            sums[i] += stored
            squares[i] += stored * stored


@compiled()
def tally(row, absent, sign, lost, lost_squares, both):  # type: ignore[no-untyped-def]
    """Add one row's part in what is lost, or take it away (sign -1).

    row (N,): the returns, 0 where missing; absent (k, 2): slot and column of each symbol missing in it.
    """
    for k in range(len(absent)):
        slot = absent[k, 0]
        for i in range(len(row)):
            value = np.float64(row[i])
            lost[slot, i] += sign * value
            lost_squares[slot, i] += sign * value * value
        for other in range(len(absent)):
            both[slot, absent[other, 0]] += sign


@compiled()
def tally_all(scores, gaps, slots, lost, lost_squares, both):  # type: ignore[no-untyped-def]
    """Every row's part in what is lost; gaps (T, N) bool, slots (N,): a gappy column's place, or -1."""
    absent = np.empty((scores.shape[1], 2), dtype=np.int64)
    for t in range(len(scores)):
        count = 0
        for i in range(scores.shape[1]):
            if gaps[t, i]:
                absent[count, 0] = slots[i]
                absent[count, 1] = i
                count += 1
        tally(scores[t], absent[:count], 1, lost, lost_squares, both)


@compiled()
def finish(products, moments, losses, rows, least):  # type: ignore[no-untyped-def]
    """Turn products (N, N; the upper triangle is read) into correlations in place; NaN where not known.

    moments, (N,) each: sums, squares, rows missing, and the variance up to which a symbol does not move.
    losses: slots (N,), lost, lost_squares (G, N) and both (G, G) as :func:`tally` fills them.
    rows: of all; least: that two symbols must share.
    """
    sums, squares, missing, floors = moments
    slots, lost, lost_squares, both = losses
    count = len(products)
    for i in range(count):
        own = slots[i]
        for j in range(i, count):
            other = slots[j]
            n = rows - missing[i] - missing[j]
            x, xx, y, yy = sums[i], squares[i], sums[j], squares[j]
            if other >= 0:
                x -= lost[other, i]
                xx -= lost_squares[other, i]
            if own >= 0:
                y -= lost[own, j]
                yy -= lost_squares[own, j]
                n += both[own, other] if other >= 0 else 0
            found = np.nan
            if n >= least:
                across = xx - x * x / n
                down = yy - y * y / n
                if across > floors[i] and down > floors[j]:
                    found = (products[i, j] - x * y / n) / np.sqrt(across * down)
                    found = min(max(found, -1.0), 1.0)
            if i == j and found == found:
                found = 1.0
            products[i, j] = found
            products[j, i] = found


@compiled()
def polish(matrix, squares):  # type: ignore[no-untyped-def]
    """What :func:`finish` does to products of scores where no row is missing: they are correlations."""
    count = len(matrix)
    low, high = matrix.dtype.type(-1.0), matrix.dtype.type(1.0)
    for i in range(count):
        row = matrix[i]
        for j in range(count):
            row[j] = min(max(row[j], low), high)
        row[i] = high
    for i in range(count):
        if squares[i] == 0.0:
            matrix[i] = np.nan
            matrix[:, i] = np.nan


@compiled()
def add_and_drop(packed, fresh, gone):  # type: ignore[no-untyped-def]
    """Rank-one update of a packed upper triangle: one row of returns comes, one goes."""
    count = len(fresh)
    begin = 0
    for i in range(count):
        come, go = fresh[i], gone[i]
        width = count - i
        line, new, old = packed[begin : begin + width], fresh[i:], gone[i:]
        for j in range(width):
            line[j] += come * new[j] - go * old[j]
        begin += width


@compiled()
def unpack(packed, square):  # type: ignore[no-untyped-def]
    """Fill the upper triangle of square (N, N) from its packed form."""
    count = len(square)
    begin = 0
    for i in range(count):
        square[i, i:] = packed[begin : begin + count - i]
        begin += count - i


@compiled()
def pack(square, packed):  # type: ignore[no-untyped-def]
    """The other way: fill packed from the upper triangle of square."""
    count = len(square)
    begin = 0
    for i in range(count):
        packed[begin : begin + count - i] = square[i, i:]
        begin += count - i


def slots_of(missing: np.ndarray) -> np.ndarray:
    """(N,) a place among the columns that lack rows, -1 for those that lack none."""
    gappy = missing > 0
    return np.where(gappy, np.cumsum(gappy) - 1, -1)
