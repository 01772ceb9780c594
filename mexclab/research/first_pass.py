"""The first pass over a panel: its tiles in several threads, some of them as an earlier query left them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mexclab.research import scan
from mexclab.research.lanes import LANES
from mexclab.research.prepared_kernels import Kept, kept_bytes, room_to_keep
from mexclab.research.tiles import Tiles, whole_tiles
from mexclab.research.windows import Panel


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """What is asked of a panel by queries of one length.

    Attributes:
        flats: the channels' cells, log closes first.
        shapes: (queries, channels, m) z-normalised, float64.
        weights: (channels,) that sum to 1.
        rule: ``ActivityFloor.rule``.
    """

    flats: tuple[np.ndarray, ...]
    shapes: np.ndarray
    weights: np.ndarray
    rule: tuple[int, float]


def first_pass(panel: Panel, tiles: Tiles, asked: Asked, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (queries, blocks * LANES) and tallies (tiles, 3, LANES), as of :func:`~.scan.scan`."""
    queries, channels, length = asked.shapes.shape
    bounds = np.empty((queries, tiles.blocks * LANES), dtype=np.float32)
    tallies = np.zeros((len(tiles.table), 3, LANES), dtype=np.int32)
    question = ((asked.shapes / np.sqrt(length)).astype(np.float32), asked.weights, asked.rule)
    looked = np.ascontiguousarray(np.any(tiles.seen, axis=2).T)
    threads = max(1, min(threads, len(tiles.table), 4 * (os.cpu_count() or 1)))
    edges = np.linspace(0, len(tiles.table), threads + 1).astype(int)
    with _kept_by(panel, tiles, asked) as (numbers, ready, kept):

        def work(part: slice) -> None:
            some = (tiles.table[part], looked[part], (numbers[part], ready[part], kept))
            scan.scan(asked.flats, some, question, scan.room(length, channels), (bounds, tallies[part]))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [slice(*ends) for ends in pairwise(edges)]))
    for query, tile, lane in zip(*np.nonzero(~tiles.seen & looked.T[:, :, None]), strict=True):
        first, deep = tiles.table[tile, 2], -(-tiles.table[tile, 1] // scan.BLOCK)
        bounds[query].reshape(-1, LANES)[first : first + deep, lane] = scan.NOTHING
    return bounds, tallies


@contextmanager
def _kept_by(panel: Panel, tiles: Tiles, asked: Asked) -> Iterator[tuple[np.ndarray, np.ndarray, Kept]]:
    """Which tiles the panel keeps or is to keep, which of them are there, and where.

    Closes alone are kept: with other channels a bound also needs the spread's upper end.
    """
    length = asked.shapes.shape[2]
    count = whole_tiles(panel, length, scan.TILE)
    prepared = None
    if len(asked.flats) == 1:
        size = (count, count * kept_bytes(length))
        prepared = panel.prepared.of((length, asked.rule), size, lambda: room_to_keep(length, count))
    if prepared is None:
        none = np.full(len(tiles.table), -1)
        yield none, none >= 0, room_to_keep(length, 0)
        return
    with prepared.scanning(tiles.numbers, len(asked.shapes)) as (numbers, ready):
        yield numbers, ready, prepared.kept
