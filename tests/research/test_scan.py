"""The first pass of the search: its bounds hold, and are no looser than they need to be."""

from __future__ import annotations

import numpy as np
import pytest

from mexclab.research import scan
from mexclab.research.activity import ACTIVE, FLAT, ONE_JUMP, activity_at
from mexclab.research.lanes import LANES
from mexclab.research.prepared_kernels import Kept, keep, room_to_keep
from mexclab.research.simd import ROOT_ZERO
from mexclab.research.tile_kernels import BLOCK, TILE, prepare, product_error, room

RULE = (3, 0.8)
ALL_LANES = 2**LANES - 1


def bars(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, LANES) log prices: one lane a kind of trouble."""
    log = np.cumsum(rng.standard_normal((rows, LANES)) * 1e-3, axis=0)
    log[:, 1] *= 1e-6  # very quiet
    log[rows // 2 :, 2] += 7.0  # a jump of 1000 times
    log[:, 3] = log[:, 1] + np.where(np.arange(rows) > rows // 3, 7.0, 0.0)  # beside quiet bars
    log[100:400, 4] = log[100, 4]  # flat
    log[:, 5] = np.round(log[:, 5] / 2e-3) * 2e-3  # coarse ticks
    log[:, 6] = 0.25  # one level throughout
    log[:, 7] += 1e3  # far from zero
    log[:, 8] *= np.exp(0.01 * np.arange(rows) % 5)  # bursts
    log[rng.random(rows) < 0.01, 9] = np.nan  # gaps
    log[: rows // 2, 10] = np.nan  # listed late
    log[rows // 2 :, 11] = np.nan  # delisted
    log[:, 12] = np.nan
    log[:, 13] = np.where(np.arange(rows) % 97 == 0, 0.05, 0.0).cumsum()  # rare jumps
    return log


def truth(column: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each window with the query (-2 where it does not count), and its activity."""
    length = len(query)
    count = len(column) - length + 1
    found, kinds = np.full(count, -2.0), np.full(count, -1)
    for first in range(count):
        window = column[first : first + length]
        if np.isnan(window).any():
            continue
        kinds[first] = activity_at(window, 0, length, *RULE)
        if kinds[first] == ACTIVE:
            centred = window - window[0] - np.mean(window - window[0])
            found[first] = centred @ query / np.linalg.norm(centred)
    return found, kinds


def scanned(
    log: np.ndarray, query: np.ndarray, kept: Kept, number: int, ready: bool
) -> tuple[np.ndarray, ...]:
    """Bounds (blocks, LANES) and tally (3, LANES) of the windows of a tile for one query."""
    length = len(query)
    count = len(log) - length + 1
    blocks = -(-count // BLOCK)
    bounds = np.full((1, blocks * LANES), np.nan, dtype=np.float32)
    tally = np.zeros((1, 3, LANES), dtype=np.int32)
    store = (np.array([number]), np.array([ready]), kept)
    tiles = (np.array([[0, count, 0, ALL_LANES]]), np.ones((1, 1), dtype=bool), store)
    cells = log.ravel()
    cells.flags.writeable = False  # as in a panel, so that the kernels compiled for it serve
    question = (query.astype(np.float32)[None, None], np.ones(1), RULE)
    scan.scan((cells,), tiles, question, room(length, 1), (bounds, tally))
    return bounds.reshape(-1, LANES), tally[0]


def unit_walk(rng: np.random.Generator, length: int) -> np.ndarray:
    query = np.cumsum(rng.standard_normal(length))
    query -= query.mean()
    return query / np.linalg.norm(query)


def check(log: np.ndarray, query: np.ndarray, found: tuple[np.ndarray, ...], loose: float = 1e-3) -> None:
    """Fails unless these are bounds of the windows' correlations, of plain walks no looser than said."""
    bounds, tally = found
    count = len(log) - len(query) + 1
    for lane in range(LANES):
        r, kinds = truth(log[:, lane], query)
        assert tally[:, lane].tolist() == [int((kinds == k).sum()) for k in (ACTIVE, FLAT, ONE_JUMP)]
        best = np.array([r[first : first + BLOCK].max() for first in range(0, count, BLOCK)])
        got = bounds[:, lane]
        assert ((got < 0) == (best == -2.0)).all(), lane
        assert (got[best >= 0] >= best[best >= 0]).all(), lane
        if lane in (0, 14, 15):  # plain walks
            assert (got[best > 0.1] < best[best > 0.1] + loose).all()


@pytest.mark.parametrize("length", [10, 60, 300])
def test_no_bound_is_below_the_best_window_of_its_block(length: int, seed: int) -> None:
    rng = np.random.default_rng((seed, length))
    log = bars(rng, TILE - 17 + length - 1)
    query = unit_walk(rng, length)
    check(log, query, scanned(log, query, room_to_keep(length, 0), -1, ready=False))


@pytest.mark.parametrize("length", [10, 60, 300, 2000])
def test_no_bound_from_a_tile_that_was_kept_is_below_the_best_window_of_its_block(
    length: int, seed: int
) -> None:
    rng = np.random.default_rng((seed, length))
    log = bars(rng, TILE + length - 1)
    kept, query = room_to_keep(length, 2), unit_walk(rng, length)
    check(log, query, scanned(log, query, kept, 1, ready=False))
    nothing = np.full_like(log, np.nan)  # so the answer can only come from what was kept
    for asked in (query, unit_walk(rng, length)):
        check(log, asked, scanned(nothing, asked, kept, 1, ready=True), loose=4e-3)


def test_a_scale_that_was_kept_is_never_below_what_was_made_and_hardly_above(seed: int) -> None:
    length = 60
    log = bars(np.random.default_rng(seed), TILE + length - 1)
    own, tally, kept = room(length, 1), np.zeros((3, LANES), dtype=np.int32), room_to_keep(length, 1)
    prepare((log.ravel(),), np.array([0, TILE, 0, ALL_LANES]), (length, RULE), own, tally)
    keep(own, tally, length, kept, 0)
    made = own.scales[0].reshape(-1, LANES)[:TILE].astype(np.float64)
    roots = kept.cells[: TILE * LANES].reshape(TILE, LANES) + np.float64(ROOT_ZERO)
    least = 0.2 * product_error(length)
    read = roots**2 * kept.terms[0, 2] / least
    assert ((read == 0.0) == (made <= 0.0)).all()
    counted = made > 0.0
    largest = np.broadcast_to(made.max(axis=0), made.shape)
    assert (read[counted] >= made[counted]).all()
    finest = np.sqrt(largest[counted] / made[counted]) / ROOT_ZERO  # of a root, in parts of itself
    assert (read[counted] <= made[counted] * (1.0 + finest) ** 2 + 1e-4).all()
