"""How fast the exact similarity search is: ``python -m benchmarks.similarity [--quick]``.

Random walks of 64 symbols, 100 million windows (0.8 GB), one thread; CPU seconds, medians of several runs,
after one that compiles. "first" is the first query of its length, with nothing prepared but the panel itself,
and includes what it keeps for later ones; "later" is one for which all is kept that a panel keeps.
stumpy.mass runs on one walk in the peers' own environment, with and without its means and deviations made
beforehand, faiss IndexFlatL2 on stored z-normalised windows, the definition on numpy's sliding_window_view.
These three get fewer windows, since their time grows with the number of windows alone, and all figures are
per 100 million windows. What is made beforehand is compared with what is made beforehand: the goal beside
faiss, whose index is built before its clock starts, is for a later query, all other goals are for a first
one. Then 200 random queries of every width over rough data are compared with a float64 brute force.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from benchmarks.similarity_truth import MINUTE_NS, K, share_identical
from benchmarks.timing import cpu_s
from mexclab.research.lanes import LANES, Group, blank
from mexclab.research.prepared import QUERIES_TO_FILL
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

    def first(work: Callable[[], object]) -> None:
        panel.prepared.clear()
        work()

    found = {}
    for length in (20, 60, 240, 1000):
        one = partial(similar, panel, query_after(panel, length, seed=2), K)
        found[f"w{length} first"] = scaled(cpu_s(partial(first, one), runs), length)
        for _ in range(QUERIES_TO_FILL):
            one()
        found[f"w{length} later"] = scaled(cpu_s(one, runs), length)
    queries = [query_after(panel, 60, seed) for seed in range(BATCH)]
    many = partial(similar_batch, panel, queries, K)
    for name, work in (("first", partial(first, many)), ("later", many)):
        found[f"batch {name}"] = scaled(cpu_s(work, 1), 60) / BATCH
        print(f"w60 kept: {panel.prepared!r}")
    two = partial(similar, panel, queries[0], K, options=SimilarityOptions(threads=2))
    for name, work in (("later", two), ("first", partial(first, two))):
        begun = time.perf_counter()
        work()
        found[f"w60 {name}, wall, two threads"] = scaled(time.perf_counter() - begun, 60)
    return found


def stumpy_s(windows: int, length: int, runs: int) -> dict[str, float]:
    """CPU seconds per 100 million windows of stumpy.mass as its script names them; none without it."""
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
        return {}
    told = json.loads(done.stdout.splitlines()[-1])
    return {name: told[name] / windows * 1e8 for name in ("cpu_s", "prepared_cpu_s")}


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


def peers_beside(seconds: dict[str, float], sample: int, runs: int) -> dict[str, float]:
    """CPU seconds per 100 million windows of the others; prints them and how many times ours they are."""
    mass = {length: stumpy_s(sample, length, runs) for length in (60, 240)}
    flat = faiss_s(4 * sample, 60, runs)
    told = [
        *((f"stumpy.mass w{length}", length, "first", some.get("cpu_s")) for length, some in mass.items()),
        ("stumpy.mass w60, means made before", 60, "later", mass[60].get("prepared_cpu_s")),
        ("faiss IndexFlatL2 w60", 60, "later", flat),
        ("numpy sliding_window_view w60", 60, "first", numpy_s(sample // 5, 60)),
    ]
    told.insert(4, ("faiss IndexFlatL2 w60, our first", 60, "first", flat))
    for name, length, which, value in told:
        if value is not None:
            print(f"{name:<36} {value:8.2f}, {value / seconds[f'w{length} {which}']:.1f} times our {which}")
    return {name: value for name, _, _, value in told if value is not None}


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
        print(f"mexclab {name:<28} {value:8.3f}")
    del panel
    peers = peers_beside(seconds, sample, runs)
    checks = {length: share_identical(length, queries, seed=5) for length in WIDTHS}
    told = ", ".join(f"w={length} {same} of {asked}" for length, (same, asked) in checks.items())
    print(f"identical to float64 brute force: {told}")
    mass, flat = peers.get("stumpy.mass w60"), peers["faiss IndexFlatL2 w60"]
    same = sum(same for same, _ in checks.values()) / sum(asked for _, asked in checks.values())
    times = partial(goal, unit="times", at_least=True)
    goals = {
        "cpu_s_per_100m_windows_w60_first": goal(seconds["w60 first"], GOALS["w60"], "CPU s"),
        "cpu_s_per_100m_windows_w240_first": goal(seconds["w240 first"], GOALS["w240"], "CPU s"),
        "cpu_s_per_query_in_a_first_batch_of_64": goal(seconds["batch first"], GOALS["batch"], "CPU s"),
        "times_stumpy_mass_first": times(mass and mass / seconds["w60 first"], GOALS["stumpy"]),
        "times_faiss_flat_later": times(flat / seconds["w60 later"], GOALS["faiss"]),
        "identical_to_brute_force": goal(same, 1.0, "share of queries", at_least=True),
    }
    print(
        json.dumps(
            {
                "benchmark": "similarity",
                "goals": goals,
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "peers": {name: round(value, 2) for name, value in peers.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
