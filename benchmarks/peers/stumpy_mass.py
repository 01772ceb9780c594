"""stumpy.mass on the task of ``benchmarks.similarity``; runs in the peers' own environment.

``python stumpy_mass.py FILE RUNS`` reads a query and a walk of log prices from an .npz file; the last line
is JSON with the median CPU seconds of one search, after one that compiles: ``cpu_s`` of one that is given
nothing but the two, ``prepared_cpu_s`` of one that is given the walk's means and deviations, too.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import stumpy


def median_s(work: Callable[[], object], runs: int) -> float:
    """Median CPU seconds of ``work`` after one run that is not counted."""
    work()
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def main(path: str, runs: int) -> None:
    """Print the result."""
    with np.load(path) as task:
        query, walk = task["query"], task["walk"]
    _, means, deviations, constant = stumpy.core.preprocess(walk, len(query))
    finite = np.ones(len(means), dtype=bool)

    def prepared() -> np.ndarray:
        return stumpy.mass(query, walk, means, deviations, True, 2.0, finite, constant)

    nearest = int(np.argmin(prepared()))
    print(
        json.dumps(
            {
                "version": version("stumpy"),
                "cpu_s": median_s(lambda: stumpy.mass(query, walk), runs),
                "prepared_cpu_s": median_s(prepared, runs),
                "nearest": nearest,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
