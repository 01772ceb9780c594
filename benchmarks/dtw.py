"""How fast the DTW re-rank is: ``python -m benchmarks.dtw [--quick]``.

2,000 windows that resemble the query as a pool of nearest windows does, in CPU milliseconds, one
thread: medians of several runs, after one run that compiles. "Every one begun" is the same without
lower bounds to sort and to skip by. The answers of a small pool are compared with the definition.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from benchmarks.timing import cpu_s
from mexclab.research import dtw_kernels as kernels
from mexclab.research.dtw import Warping, nearest_windows
from mexclab.research.windows import z_normalised

POOL, K, GOAL_MS = 2000, 20, 10.0


def pool_of(length: int, windows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(length,) a random walk and (windows, length) others around it, all z-normalised."""
    rng = np.random.default_rng(seed)
    query = z_normalised(np.cumsum(rng.standard_normal(length)))
    others = z_normalised(np.cumsum(rng.standard_normal((windows, length)), axis=1))
    return query, z_normalised(query + 0.7 * others)


def all_warped(query: np.ndarray, windows: np.ndarray, radius: int) -> np.ndarray:
    """The K least distances when every window is begun, in the order in which they came."""
    taken, best = np.empty(K, dtype=np.int64), np.empty(K)
    order, alone = np.arange(len(windows)), np.zeros(len(windows))
    owners = np.zeros(len(windows), dtype=np.int64)
    kernels.nearest(windows, query, radius, owners, (K, np.inf), order, alone, taken, best)
    return best


def by_definition(query: np.ndarray, window: np.ndarray, radius: int) -> float:
    """The cheapest way's cost, cell by cell."""
    size = len(query)
    costs = np.full((size + 1, size + 1), np.inf)
    costs[0, 0] = 0.0
    for i in range(size):
        for j in range(max(0, i - radius), min(size, i + radius + 1)):
            way = min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
            costs[i + 1, j + 1] = way + (window[i] - query[j]) ** 2
    return float(np.sqrt(costs[-1, -1]))


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs and no window of 2,000 bars")
    quick = parser.parse_args().quick
    owners = np.zeros(POOL, dtype=np.int64)
    found: dict[int, float] = {}
    for length in (60, 240) if quick else (60, 240, 2000):
        query, windows = pool_of(length, POOL, seed=length)
        radius = Warping().radius(length)
        runs = 3 if quick or length > 1000 else 15
        found[length] = 1000.0 * cpu_s(lambda: nearest_windows(windows, query, radius, owners, (K, K)), runs)  # noqa: B023
        plain = 1000.0 * cpu_s(lambda: all_warped(query, windows, radius), runs)  # noqa: B023
        print(f"w={length:<5} pool of {POOL:,}: {found[length]:8.2f} CPU ms; every one begun {plain:8.2f}")
    query, windows = pool_of(60, 60, seed=1)
    radius = Warping().radius(60)
    every = sorted(round(by_definition(query, window, radius), 10) for window in windows)[:K]
    _, best = nearest_windows(windows, query, radius, np.zeros(60, dtype=np.int64), (K, K))
    same = bool(np.allclose(best, every, rtol=0, atol=2e-10))
    print(f"identical to the definition over a pool of 60: {same}")
    goal = {"value": round(found[60], 2), "goal": GOAL_MS, "unit": "CPU ms", "met": found[60] <= GOAL_MS}
    exact = {"value": float(same), "goal": 1.0, "unit": "share of answers", "met": same}
    goals = {"dtw_rerank_of_2000_w60": goal, "identical_to_definition": exact}
    print(json.dumps({"benchmark": "dtw", "goals": goals}))


if __name__ == "__main__":
    main()
