"""stumpy.mass on the task of ``benchmarks.similarity``; runs in the peers' own environment.

``python stumpy_mass.py FILE RUNS`` reads a query and a walk of log prices from an .npz file; the last line
is the median CPU seconds of one search, after one that compiles, as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from importlib.metadata import version

import numpy as np
import stumpy


def main(path: str, runs: int) -> None:
    """Print the result."""
    with np.load(path) as task:
        query, walk = task["query"], task["walk"]
    nearest = int(np.argmin(stumpy.mass(query, walk)))
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        stumpy.mass(query, walk)
        taken.append(time.process_time() - begun)
    print(json.dumps({"version": version("stumpy"), "cpu_s": statistics.median(taken), "nearest": nearest}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
