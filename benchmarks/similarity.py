"""How fast the exact similarity search is: ``python -m benchmarks.similarity [--quick]``.

One query of 60 bars against random walks, in CPU seconds per 100 million windows, one thread, nothing
prepared beforehand but the panel itself: medians of several runs, after one run that compiles. The
peer reads the definition straight off numpy's ``sliding_window_view``; stumpy takes part where it is
installed. Both are timed on fewer windows, since their time grows with the number of windows alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel, Query, z_normalised

LENGTH = 60
GOAL_CPU_S = 0.5
K = 10
MINUTE_NS = 60_000_000_000


def walks(symbols: int, bars: int, seed: int) -> Panel:
    """Random walks of log price with steps of 10 bp."""
    rng = np.random.default_rng(seed)
    times = np.arange(bars) * MINUTE_NS
    return Panel.from_arrays(
        {f"W{i:03}USDT": (times, np.exp(np.cumsum(rng.standard_normal(bars)) * 1e-3)) for i in range(symbols)}
    )


def query_after(panel: Panel, seed: int) -> Query:
    """A window that no symbol has, just after the panel's end, so that all windows may be seen."""
    values = np.exp(np.cumsum(np.random.default_rng(seed).standard_normal(LENGTH)) * 1e-3)
    last = panel.segment_time + np.diff(panel.segment_start) * panel.interval_ns
    return Query(values, "QUSDT", int(last.max()), panel.interval_ns)


def cpu_per_100m(work: Callable[[], object], windows: int, runs: int) -> float:
    """Median CPU seconds of ``work``, scaled to 100 million windows."""
    work()
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken) / windows * 1e8


def all_distances(panel: Panel, query: Query) -> tuple[np.ndarray, np.ndarray]:
    """Start position and distance of every window, float64, as the definition says."""
    positions, distances = [], []
    shape = query.normalised
    for first, last in zip(panel.segment_start[:-1], panel.segment_start[1:], strict=True):
        view = np.lib.stride_tricks.sliding_window_view(panel.log[first:last], query.length)
        for begin in range(0, len(view), 4096):
            part = z_normalised(view[begin : begin + 4096])
            distances.append(np.sqrt(((part - shape) ** 2).sum(axis=1)))
            positions.append(first + begin + np.arange(len(part)))
    return np.concatenate(positions), np.concatenate(distances)


def brute_force(panel: Panel, query: Query) -> list[tuple[int, float]]:
    """The K nearest windows, half a window apart within a symbol."""
    positions, distances = all_distances(panel, query)
    times = panel.times(positions)
    owners = panel.segment_symbol[panel.segment_of(positions)]
    taken: list[int] = []
    for candidate in np.argsort(distances, kind="stable"):
        near = (
            abs(times[candidate] - times[i]) < LENGTH // 2 * MINUTE_NS
            for i in taken
            if owners[i] == owners[candidate]
        )
        if not any(near):
            taken.append(int(candidate))
        if len(taken) == K:
            break
    return [(int(positions[i]), float(distances[i])) for i in taken]


def identical(panel: Panel, query: Query) -> bool:
    """Whether the search and brute force name the same windows, in order, at the same distances."""
    found = similar(panel, query, K)
    expected = brute_force(panel, query)
    return found.positions.tolist() == [position for position, _ in expected] and np.allclose(
        found.table["distance"], [distance for _, distance in expected], rtol=0, atol=1e-9
    )


def peers(windows: int, runs: int) -> dict[str, float]:
    """CPU seconds per 100 million windows of other ways to the same distances."""
    panel = walks(1, windows + LENGTH - 1, seed=3)
    query = query_after(panel, seed=4)
    found = {"numpy_sliding_window_view": cpu_per_100m(lambda: all_distances(panel, query), windows, runs)}
    if importlib.util.find_spec("stumpy") is not None:
        import stumpy

        logs = np.log(query.values)
        found["stumpy_mass"] = cpu_per_100m(lambda: stumpy.mass(logs, panel.log), windows, runs)
    return found


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller panel and fewer runs")
    quick = parser.parse_args().quick
    symbols, bars, runs = (20, 100_000, 3) if quick else (60, 500_000, 5)
    panel = walks(symbols, bars, seed=1)
    query = query_after(panel, seed=2)
    windows = symbols * (bars - LENGTH + 1)
    seconds = cpu_per_100m(lambda: similar(panel, query, K), windows, runs)
    small = walks(5, 20_000, seed=5)
    checks = [identical(small, query_after(small, seed)) for seed in range(5 if quick else 20)]
    share = sum(checks) / len(checks)
    others = peers(200_000 if quick else 1_000_000, runs)
    threaded = cpu_per_100m(
        lambda: similar(panel, query, K, options=SimilarityOptions(threads=2)), windows, runs
    )

    print(f"{panel!r}; one query of {LENGTH} bars, top {K}, {windows:,} windows")
    print(f"mexclab                    {seconds:7.2f} CPU s per 100M windows (goal {GOAL_CPU_S})")
    print(f"mexclab, two threads       {threaded:7.2f} CPU s per 100M windows")
    for name, value in others.items():
        print(f"{name:<26} {value:7.2f} CPU s per 100M windows, {value / seconds:.0f} times ours")
    print(f"identical to float64 brute force: {sum(checks)} of {len(checks)} queries")
    goals = {
        "cpu_s_per_100m_windows_w60": {
            "value": round(seconds, 3),
            "goal": GOAL_CPU_S,
            "unit": "CPU s",
            "met": seconds <= GOAL_CPU_S,
        },
        "identical_to_brute_force": {
            "value": share,
            "goal": 1.0,
            "unit": "share of queries",
            "met": share == 1.0,
        },
    }
    rounded = {name: round(value, 2) for name, value in others.items()}
    print(json.dumps({"benchmark": "similarity", "goals": goals, "peers": rounded}))


if __name__ == "__main__":
    main()
