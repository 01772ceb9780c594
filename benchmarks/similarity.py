"""How fast the exact similarity search is: ``python -m benchmarks.similarity [--quick]``.

Random walks of 64 symbols, 100 million windows (0.8 GB), one thread, nothing prepared beforehand but the
panel itself; CPU seconds, medians of several runs, after one that compiles. stumpy.mass runs on one walk in
the peers' own environment, faiss IndexFlatL2 on stored z-normalised windows, the definition on numpy's
sliding_window_view. These three get fewer windows, since their time grows with the number of windows alone,
and all figures are per 100 million windows. Then 200 random queries of every width over rough data are
compared with a float64 brute force.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.similarity_truth import MINUTE_NS, K, share_identical
from benchmarks.timing import cpu_s
from mexclab.research.lanes import LANES, Group, blank
from mexclab.research.similarity import SimilarityOptions, similar, similar_batch
from mexclab.research.windows import Panel, Query, z_normalised
from tools.bench_env import NoEnvironment, peers_python

SYMBOLS = 64
BATCH = 64
WIDTHS = (10, 20, 60, 240, 1000, 2000)
GOALS = {"w60": 0.5, "w240": 1.2, "batch": 0.25, "stumpy": 80.0, "faiss": 15.0}
MASS = Path(__file__).resolve().parent / "peers" / "stumpy_mass.py"
PATIENCE_S = 900


def walks(bars: int, seed: int) -> Panel:
    """SYMBOLS random walks of log price with steps of 10 bp, laid out as a panel lies in memory."""
    rng = np.random.default_rng(seed)
    flat = blank(SYMBOLS * bars)
    groups = []
    for offset in range(0, SYMBOLS * bars, LANES * bars):
        owners = len(groups) * LANES + np.arange(LANES)
        groups.append(Group(offset, bars, 0, tuple(owners.tolist())))
        rows = flat[offset : offset + LANES * bars].reshape(bars, LANES)
        for first in range(0, bars, 2**16):
            rows[first : first + 2**16] = rng.standard_normal(rows[first : first + 2**16].shape) * 1e-3
        np.cumsum(rows, axis=0, out=rows)
    return Panel.from_lanes([f"W{i:03}USDT" for i in range(SYMBOLS)], MINUTE_NS, groups, flat)


def query_after(panel: Panel, length: int, seed: int) -> Query:
    """A window that no symbol has, just after the panel's end, so that all windows may be seen."""
    values = np.exp(np.cumsum(np.random.default_rng(seed).standard_normal(length)) * 1e-3)
    return Query(values, "QUSDT", panel.groups[0].rows * MINUTE_NS, MINUTE_NS)


def ours(panel: Panel, runs: int) -> dict[str, float]:
    """CPU seconds per 100 million windows, for a query alone and one of a batch; wall of two threads."""

    def scaled(seconds: float, length: int) -> float:
        return seconds / (SYMBOLS * (panel.groups[0].rows - length + 1)) * 1e8

    found = {}
    for length in (20, 60, 240, 1000):
        query = query_after(panel, length, seed=2)
        found[f"w{length}"] = scaled(cpu_s(lambda query=query: similar(panel, query, K), runs), length)
    queries = [query_after(panel, 60, seed) for seed in range(BATCH)]
    found["batch"] = scaled(cpu_s(lambda: similar_batch(panel, queries, K), 1), 60) / BATCH
    two = SimilarityOptions(threads=2)
    begun = time.perf_counter()
    similar(panel, queries[0], K, options=two)
    found["w60_two_threads_wall"] = scaled(time.perf_counter() - begun, 60)
    return found


def stumpy_s(windows: int, length: int, runs: int) -> float | None:
    """CPU seconds per 100 million windows of stumpy.mass; None, said aloud, where it cannot be had."""
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal(windows + length - 1)) * 1e-3
    query = np.cumsum(rng.standard_normal(length)) * 1e-3
    try:
        python = peers_python()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "task.npz"
            np.savez(path, walk=walk, query=query)
            done = subprocess.run(
                [str(python), str(MASS), str(path), str(runs)],
                check=True,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
    except (NoEnvironment, subprocess.SubprocessError) as error:
        print(f"stumpy takes no part: {error}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_s"]) / windows * 1e8


def faiss_s(windows: int, length: int, runs: int) -> float:
    """CPU seconds per 100 million windows of faiss IndexFlatL2, one query, one thread, ready built."""
    # a gigabyte of windows and more, so that no cache holds them, as none would hold the 24 of 100 million
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal(windows + length - 1)) * 1e-3
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(length)
    view = np.lib.stride_tricks.sliding_window_view(walk, length)
    for first in range(0, windows, 2**16):
        index.add(z_normalised(view[first : first + 2**16]).astype(np.float32))
    query = z_normalised(np.cumsum(rng.standard_normal(length))).astype(np.float32)[None]
    return cpu_s(lambda: index.search(query, K), runs) / windows * 1e8


def numpy_s(windows: int, length: int) -> float:
    """CPU seconds per 100 million windows of the definition itself, distances alone."""
    rng = np.random.default_rng(3)
    view = np.lib.stride_tricks.sliding_window_view(np.cumsum(rng.standard_normal(windows)), length)
    query = z_normalised(np.cumsum(rng.standard_normal(length)))

    def distances() -> None:
        for first in range(0, len(view), 4096):
            np.sqrt(((z_normalised(view[first : first + 4096]) - query) ** 2).sum(axis=1))

    return cpu_s(distances, 1) / len(view) * 1e8


def goal(value: float | None, wanted: float, unit: str, *, at_least: bool = False) -> dict[str, object]:
    """One line of what is promised."""
    met = value is not None and (value >= wanted if at_least else value <= wanted)
    return {"value": None if value is None else round(value, 3), "goal": wanted, "unit": unit, "met": met}


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller panel, fewer runs and queries")
    quick = parser.parse_args().quick
    bars, runs, sample, queries = (100_000, 3, 200_000, 10) if quick else (1_562_560, 5, 1_250_000, 200)
    panel = walks(bars, seed=1)
    print(f"{panel!r}; top {K}; CPU s per 100M windows")
    seconds = ours(panel, runs)
    for name, value in seconds.items():
        print(f"mexclab {name:<24} {value:8.3f}")
    del panel
    peers = {
        "stumpy.mass w60": stumpy_s(sample, 60, runs),
        "stumpy.mass w240": stumpy_s(sample, 240, runs),
        "faiss IndexFlatL2 w60": faiss_s(4 * sample, 60, runs),
        "numpy sliding_window_view w60": numpy_s(sample // 5, 60),
    }
    for name, other in peers.items():
        base = seconds["w240" if name.endswith("w240") else "w60"]
        if other is not None:
            print(f"{name:<32} {other:8.2f}, {other / base:.0f} times ours")
    checks = {length: share_identical(length, queries, seed=5) for length in WIDTHS}
    told = ", ".join(f"w={length} {same} of {asked}" for length, (same, asked) in checks.items())
    print(f"identical to float64 brute force: {told}")
    mass = peers["stumpy.mass w60"]
    goals = {
        "cpu_s_per_100m_windows_w60": goal(seconds["w60"], GOALS["w60"], "CPU s"),
        "cpu_s_per_100m_windows_w240": goal(seconds["w240"], GOALS["w240"], "CPU s"),
        "cpu_s_per_query_in_a_batch_of_64": goal(seconds["batch"], GOALS["batch"], "CPU s"),
        "times_stumpy_mass": goal(mass and mass / seconds["w60"], GOALS["stumpy"], "times", at_least=True),
        "times_faiss_flat": goal(
            peers["faiss IndexFlatL2 w60"] / seconds["w60"], GOALS["faiss"], "times", at_least=True
        ),
        "identical_to_brute_force": goal(
            sum(same for same, _ in checks.values()) / sum(asked for _, asked in checks.values()),
            1.0,
            "share of queries",
            at_least=True,
        ),
    }
    rounded = {name: None if value is None else round(value, 2) for name, value in peers.items()}
    print(json.dumps({"benchmark": "similarity", "goals": goals, "peers": rounded}))


if __name__ == "__main__":
    main()
