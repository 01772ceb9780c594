"""Statistics of values that share their time: votes, weighted quantiles, bootstrap, control draws."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit


def time_clusters(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Labels (n,) from 0 that join half-open ranges which overlap in time, directly or through others.

    What happened in overlapping ranges happened once, however many symbols show it.
    """
    order = np.lexsort((ends, begins))
    if not len(order):
        return np.empty(0, dtype=np.int64)
    reach = np.maximum.accumulate(ends[order])
    fresh = np.append(True, begins[order][1:] >= reach[:-1])
    labels = np.empty(len(order), dtype=np.int64)
    labels[order] = np.cumsum(fresh) - 1
    return labels


def votes(labels: np.ndarray) -> np.ndarray:
    """Weights (n,) that sum to 1 and give each cluster one equal vote, shared by its members."""
    if not len(labels):
        return np.empty(0)
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1.0 / (len(sizes) * sizes[inverse])
    return weights


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Quantiles at ``shares`` (0..1) of weighted values, interpolated between the middles of the weights.

    Args:
        values: (n, ...) at least one row; quantiles are taken along the first axis.
        weights: (n,) positive, of any sum.

    Returns:
        (shares, ...). With equal weights it is numpy's method ``hazen``.
    """
    flat = values.reshape(len(values), -1)
    found = np.empty((len(shares), flat.shape[1]))
    for column in range(flat.shape[1]):
        order = np.argsort(flat[:, column], kind="stable")
        weight = weights[order]
        middle = (np.cumsum(weight) - weight / 2) / weight.sum()
        found[:, column] = np.interp(shares, middle, flat[order, column])
    return found.reshape(len(shares), *values.shape[1:])


def bootstrap_mean(
    values: np.ndarray, labels: np.ndarray, rng: np.random.Generator, resamples: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of cluster means, resampling whole clusters.

    Returns:
        (low, high); both NaN for fewer than two clusters, which say nothing about spread.
    """
    counts = np.bincount(labels)
    means = (np.bincount(labels, weights=values) / np.maximum(counts, 1))[counts > 0]
    if len(means) < 2:
        return float("nan"), float("nan")
    drawn = means[rng.integers(0, len(means), size=(resamples, len(means)))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def joint_p_values(observed: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, float]:
    """Two-sided p-values of several statistics from control draws, one by one and all together.

    The joint one is that of the largest standardised statistic (Westfall and Young, "Resampling-Based
    Multiple Testing", 1993): asking several questions of the same draws costs what it should and no more.

    Args:
        observed: (s,) statistics.
        drawn: (draws, s) the same statistics of each control draw.

    Returns:
        ((s,) p-values, joint p-value); (1 + as extreme) / (1 + draws), so never 0.
    """
    seen, expected = _standardised(observed, drawn)
    each = (1 + (expected >= seen - 1e-12).sum(axis=0)) / (1 + len(drawn))
    joint = (1 + (expected.max(axis=1) >= seen.max() - 1e-12).sum()) / (1 + len(drawn))
    return each, float(joint)


def adjusted_p_values(observed: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each statistic held against the largest of each control draw (Westfall and Young's single step).

    Returns:
        ((s,) sizes of the standardised statistics, (s,) p-values, none of which asked one question too
        many; the least is the joint one of ``joint_p_values``).
    """
    seen, expected = _standardised(observed, drawn)
    largest = expected.max(axis=1)[:, None]
    return seen, (1 + (largest >= seen - 1e-12).sum(axis=0)) / (1 + len(drawn))


def _standardised(observed: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each statistic, and each draw's, lies from the draws' mean, in their deviations."""
    centre, spread = drawn.mean(axis=0), drawn.std(axis=0)
    spread = np.where(spread > 0, spread, np.inf)  # controls that cannot vary cannot be exceeded
    return np.abs(observed - centre) / spread, np.abs(drawn - centre) / spread


def nearest_in(sorted_times: np.ndarray, wanted: np.ndarray, step: int) -> np.ndarray:
    """Index into ``sorted_times`` of the time nearest to each wanted one, time being taken as a ring.

    A wanted time beyond an end comes in again at the other end, so that shifted blocks keep their
    order and no end is favoured. ``step`` is the spacing at the seam of the ring.
    """
    first, last = sorted_times[0], sorted_times[-1]
    inside = first + (wanted - first) % (last - first + step)
    after = np.clip(np.searchsorted(sorted_times, inside), 0, len(sorted_times) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(inside - sorted_times[before]) < np.abs(sorted_times[after] - inside)
    nearest: np.ndarray = np.where(closer, before, after)
    return nearest


def random_places(shares: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Where blocks begin that are dropped on a ring of length 1 at random, without overlapping.

    Args:
        shares: (blocks,) their lengths; where they sum to more than 1 they are shrunk to fit.

    Returns:
        (draws, blocks) in 0..1; each block's place is uniform, and so is the order of the blocks.
    """
    lengths = shares / max(1.0, shares.sum())
    free = max(0.0, 1.0 - lengths.sum())
    order = rng.random((draws, len(lengths))).argsort(axis=1)
    ordered = lengths[order]
    gaps = free * np.sort(rng.random((draws, len(lengths))), axis=1)
    begins = gaps + np.cumsum(ordered, axis=1) - ordered + rng.random((draws, 1))
    places: np.ndarray = np.empty_like(begins)
    np.put_along_axis(places, order, begins % 1.0, axis=1)
    return places


def block_bootstrap(
    values: np.ndarray, block: int, rng: np.random.Generator, resamples: int = 2000
) -> np.ndarray:
    """Means of resamples made of whole blocks of neighbours, the series being taken as a ring.

    The circular block bootstrap of Politis and Romano (1992): values that depend on their neighbours in
    time keep doing so within a block.

    Args:
        values: (n, c) or (n,) in order of time; the columns are resampled together.
        block: neighbours in a block, cut down to n.

    Returns:
        (resamples, c) or (resamples,).
    """
    count = len(values)
    size = max(1, min(block, count))
    pieces = -(-count // size)
    firsts = rng.integers(0, count, size=(resamples, pieces))
    taken = (firsts[:, :, None] + np.arange(size)).reshape(resamples, -1)[:, :count] % count
    means: np.ndarray = values[taken].mean(axis=1)
    return means


def block_interval(
    observed: float, drawn: np.ndarray, blocks: float, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a block bootstrap, as wide as so few blocks deserve.

    Resamples of few blocks vary too little. Each side is stretched by the quantile of Student's t with
    ``blocks - 1`` degrees of freedom over that of the normal distribution, and by the bias of a variance
    that is taken from so many values.

    Args:
        observed: the statistic of the series itself.
        drawn: (resamples,) the same of each resample.
        blocks: how many blocks the series is long, fractions included.

    Returns:
        (low, high); infinite for fewer than two blocks, which say nothing about spread.
    """
    if blocks < 2.0:
        return float("-inf"), float("inf")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    wider = float(stdtrit(blocks - 1.0, 1.0 - tail) / ndtri(1.0 - tail)) * np.sqrt(blocks / (blocks - 1.0))
    return float(observed - wider * (observed - low)), float(observed + wider * (high - observed))


def share_interval(share: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (JASA 1927) of a share seen in so many independent trials; sound at 0 and 1, too."""
    z = float(ndtri(0.5 + level / 2.0))
    spread = z * z / trials
    middle = (share + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * np.sqrt(share * (1.0 - share) / trials + spread / (4.0 * trials))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
