"""How the research benchmarks take CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], runs: int) -> float:
    """Median CPU seconds of ``work`` in this process, after one run that is not counted."""
    work()
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)
