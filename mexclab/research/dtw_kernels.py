"""The inner loops of dynamic time warping; ``mexclab.research.dtw`` says what they are for."""

from __future__ import annotations

import numpy as np

from mexclab.research.compiling import compiled

LANES = 32  # windows that are warped side by side, so that the loops over them use SIMD
LOOK = 4  # rows between two looks at whether to give up
SLACK = 1e-9  # more than rounding; a window that is no further above a limit than this is warped

# No NaN can arise here (windows are finite), which lets a minimum use SIMD.
BOUNDED = {"contract", "nnan", "nsz"}


@compiled(fastmath=BOUNDED)
def _row(window, query, first, last, shift, row, left):  # type: ignore[no-untyped-def]
    """Turn ``row`` into the next one: its cells for the query's bars ``first`` to ``last``, half-open."""
    for lane in range(LANES):
        left[lane] = np.inf
    for j in range(first, last):
        value = query[j]
        here, above = row[j + shift], row[j + shift + 1]
        for lane in range(LANES):
            a, b, c = here[lane], above[lane], left[lane]
            way = a if a < b else b
            way = way if way < c else c
            gap = window[lane] - value
            cost = way + gap * gap
            left[lane] = cost
            here[lane] = cost


@compiled(fastmath=BOUNDED)
def _hopeless(row, first, last, rests, limits, least):  # type: ignore[no-untyped-def]
    """Whether each window's cheapest cell, and the least that its rest costs, is above its limit."""
    for lane in range(LANES):
        least[lane] = np.inf
    for place in range(first, last):
        for lane in range(LANES):
            cost = row[place, lane]
            least[lane] = cost if cost < least[lane] else least[lane]
    above = np.int64(0)
    for lane in range(LANES):
        above += np.int64(least[lane] + rests[lane] > limits[lane])
    return bool(above == LANES)


@compiled(fastmath=BOUNDED)
def _warp(columns, query, radius, rests, limits, row, found):  # type: ignore[no-untyped-def]
    """Squared DTW distances of the LANES windows in ``columns``; False when all were given up.

    Args:
        columns: (length, LANES) the windows, a column each.
        query: (length,).
        radius: a cell (i, j) exists where abs(i - j) <= radius.
        rests: (length + 1, LANES) the least that bars i and later of a window can cost.
        limits: (LANES,) squared distances above which a window does not matter.
        row: (2 radius + 2, LANES) scratch; row[b] is the cell j = i + b - radius of the newest row.
        found: (LANES,) filled unless they were given up.
    """
    length = len(query)
    left, least = np.empty(LANES), np.empty(LANES)
    row[:] = np.inf
    row[radius] = 0.0
    for i in range(length):
        first, last, shift = max(0, i - radius), min(length, i + radius + 1), radius - i
        _row(columns[i], query, first, last, shift, row, left)
        if i % LOOK == LOOK - 1 and _hopeless(row, first + shift, last + shift, rests[i + 1], limits, least):
            return False
    for lane in range(LANES):
        found[lane] = row[radius, lane]
    return True


@compiled()
def envelope(values, radius, low, high):  # type: ignore[no-untyped-def]
    """The least and the greatest of ``values`` within ``radius`` places of each."""
    for i in range(len(values)):
        near = values[max(0, i - radius) : i + radius + 1]
        low[i], high[i] = near.min(), near.max()


@compiled(fastmath=BOUNDED)
def _excess(value, low, high):  # type: ignore[no-untyped-def]
    """Squared distance of ``value`` from the range."""
    over = value - high
    under = low - value
    gap = over if over > under else under
    gap = gap if gap > 0.0 else 0.0
    return gap * gap


@compiled(fastmath=BOUNDED)
def bounds(windows, query, low, high, bounds, euclid):  # type: ignore[no-untyped-def]
    """LB_Keogh and the Euclidean distance to ``query``, squared, of each window (n, length)."""
    for n in range(len(windows)):
        least = 0.0
        straight = 0.0
        for i in range(len(query)):
            value = windows[n, i]
            least += _excess(value, low[i], high[i])
            straight += (value - query[i]) ** 2
        bounds[n] = least
        euclid[n] = straight


@compiled()
def _limit(taken, count, owners, owner, cap, best):  # type: ignore[no-untyped-def]
    """What a window of ``owner`` must not exceed to be taken; ``taken`` is in order, ``best`` its values."""
    owned = 0
    furthest = np.inf
    for place in range(count):
        if owners[taken[place]] == owner:
            owned += 1
            furthest = best[place]
    if owned >= cap:
        return furthest
    return best[count - 1] if count == len(taken) else np.inf


@compiled()
def _offer(taken, best, count, owners, window, value, cap):  # type: ignore[no-untyped-def]
    """Take ``window`` if it belongs to the nearest (equal ones by number); returns how many are taken.

    Whoever leaves for it is the furthest of its own symbol where that is at its cap, else the furthest.
    """
    owned = 0
    leaver = -1
    for place in range(count):
        if owners[taken[place]] == owners[window]:
            owned += 1
            leaver = place
    if owned < cap:
        leaver = count - 1 if count == len(taken) else -1
    if leaver >= 0:
        worse = (best[leaver] < value) or (best[leaver] == value and taken[leaver] < window)
        if worse:
            return count
        for place in range(leaver, count - 1):
            taken[place], best[place] = taken[place + 1], best[place + 1]
        count -= 1
    place = count
    while place > 0 and (best[place - 1] > value or (best[place - 1] == value and taken[place - 1] > window)):
        taken[place], best[place] = taken[place - 1], best[place - 1]
        place -= 1
    taken[place], best[place] = window, value
    return count + 1


@compiled()
def _fill(windows, lanes, low, high, columns, rests):  # type: ignore[no-untyped-def]
    """Lay the windows ``lanes`` into columns, with the least that the rest of each can cost."""
    length = windows.shape[1]
    for lane in range(LANES):
        window = windows[lanes[lane]]
        rests[length, lane] = 0.0
        for back in range(length):
            i = length - 1 - back
            columns[i, lane] = window[i]
            rests[i, lane] = rests[i + 1, lane] + _excess(window[i], low[i], high[i])


@compiled()
def nearest(windows, query, radius, owners, rule, order, bounds, taken, best):  # type: ignore[no-untyped-def]
    """The windows nearest to ``query`` by DTW; returns (how many, how many were warped).

    Args:
        windows, query: (n, length) and (length,), z-normalised, float64.
        radius: of the band, in bars.
        owners: (n,) int64 symbol of each window.
        rule: (most of one owner, a squared distance that no window of the answer exceeds).
        order: (n,) int64 the windows in ascending order of ``bounds``.
        bounds: (n,) LB_Keogh, squared.
        taken, best: (k,) filled with window numbers and distances to 1e-10, in order.
    """
    cap, ceiling = rule
    length = len(query)
    low, high = np.empty(length), np.empty(length)
    envelope(query, radius, low, high)
    columns, rests = np.empty((length, LANES)), np.empty((length + 1, LANES))
    row = np.empty((2 * radius + 2, LANES))
    lanes = np.empty(LANES, dtype=np.int64)
    limits, found = np.empty(LANES), np.empty(LANES)
    count = 0
    warped = 0
    at = 0
    while at < len(order):
        used = 0
        while at < len(order) and used < LANES:
            window = order[at]
            at += 1
            limit = _limit(taken, count, owners, owners[window], cap, best)
            limit = min(ceiling, (limit + SLACK) ** 2) + SLACK
            if bounds[window] <= limit:
                lanes[used], limits[used] = window, limit
                used += 1
        if used == 0:
            break
        lanes[used:] = lanes[0]
        limits[used:] = -1.0  # an empty lane keeps nobody going
        _fill(windows, lanes, low, high, columns, rests)
        warped += used
        if not _warp(columns, query, radius, rests, limits, row, found):
            continue
        for lane in range(used):
            value = round(np.sqrt(found[lane]) * 1e10) / 1e10
            count = _offer(taken, best, count, owners, lanes[lane], value, cap)
    return count, warped


@compiled(fastmath=BOUNDED)
def path(window, query, radius, costs, rows, columns):  # type: ignore[no-untyped-def]
    """Fill the cells of the cheapest way, last one first; returns how many. ``costs``: (m, 2 radius + 3)."""
    length = len(query)
    costs[:] = np.inf
    for i in range(length):
        for j in range(max(0, i - radius), min(length - 1, i + radius) + 1):
            place = j - i + radius + 1
            way = 0.0
            if i + j > 0:
                way = costs[i, place - 1]
                if i > 0:
                    way = min(way, costs[i - 1, place], costs[i - 1, place + 1])
            costs[i, place] = way + (window[i] - query[j]) ** 2
    i = j = length - 1
    steps = 0
    while True:
        rows[steps], columns[steps] = i, j
        steps += 1
        if i == 0 and j == 0:
            return steps
        place = j - i + radius + 1
        both = costs[i - 1, place] if i > 0 and j > 0 else np.inf
        ahead = costs[i - 1, place + 1] if i > 0 else np.inf
        behind = costs[i, place - 1] if j > 0 else np.inf
        least = min(both, ahead, behind)
        if both == least:
            i, j = i - 1, j - 1
        elif ahead == least:
            i -= 1
        else:
            j -= 1
