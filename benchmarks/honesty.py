"""Does the statistics tell the truth where the truth is known? ``python -m benchmarks.honesty [--quick]``.

Random walks have no patterns. On walks of three kinds (independent; with a common factor; with a common
factor, fat tails and volatility in spells) every step is checked that can be fooled:

- the share of single queries called significant at 5 %, which should be 5 %;
- the share of families of queries with any survivor of Benjamini and Hochberg, which in pure noise is
  the false-discovery rate and should be at most 5 %;
- with edges planted behind some of the queries: the share of false ones among the discoveries, and how
  many of the planted ones are found;
- the share of walk-forward runs that claim skill, which should be 2.5 %;
- how often conformal intervals of 90 % hold.

Each share stands beside its 99 % interval for so many independent trials. Queries of one family share
their walk, so theirs is counted by families.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from mexclab.errors import ParameterError
from mexclab.research.conformal import conformal
from mexclab.research.outcomes import Costs
from mexclab.research.outcomes_many import ManyOutcomes, outcomes_many
from mexclab.research.similarity import Matches, SimilarityOptions, similar
from mexclab.research.walk_forward import WalkForwardOptions, walk_forward
from mexclab.research.windows import Panel

MINUTE_NS = 60_000_000_000
START_NS = 1_780_272_000_000_000_000
SYMBOLS, BARS = 8, 14_400  # ten days
LENGTH, HORIZONS, K = 30, (15, 60), 30
QUERIES = 10
KINDS = {"independent": (0.0, False), "common factor": (0.8, False), "spells and fat tails": (0.7, True)}
FREE = Costs(0.0, 0.0, 0.0)
EDGE = 0.012  # planted: the rise after a shape, over the longer horizon


def steps(rng: np.random.Generator, kind: str, bars: int = BARS) -> np.ndarray:
    """(SYMBOLS, bars) one-minute log returns without any memory of direction."""
    share, restless = KINDS[kind]
    draws = rng.standard_t(5, (SYMBOLS + 1, bars)) / np.sqrt(5 / 3) if restless else None
    moves = rng.standard_normal((SYMBOLS + 1, bars)) if draws is None else draws
    if restless:
        moves = moves * np.exp(np.array([_spells(rng, bars) for _ in range(SYMBOLS + 1)]))
    mixed: np.ndarray = (share * moves[:1] + np.sqrt(1.0 - share**2) * moves[1:]) * 1e-3
    return mixed


def _spells(rng: np.random.Generator, bars: int) -> np.ndarray:
    """(bars,) log volatility: an autoregression with a half-life of about two hours."""
    level, found = 0.0, np.empty(bars)
    for at, shock in enumerate(rng.standard_normal(bars)):
        level = 0.995 * level + 0.06 * shock
        found[at] = level
    return found


def panel_of(moves: np.ndarray) -> Panel:
    """A panel of walks with these log returns."""
    times = START_NS + np.arange(moves.shape[1]) * MINUTE_NS
    return Panel.from_arrays({f"W{i:02}USDT": (times, np.exp(np.cumsum(row))) for i, row in enumerate(moves)})


def searches(panel: Panel, rng: np.random.Generator, count: int) -> list[Matches]:
    """Point-in-time searches for windows that end in the last quarter of the history."""
    found: list[Matches] = []
    bars = len(panel) // len(panel.symbols)
    while len(found) < count:
        symbol = panel.symbols[int(rng.integers(len(panel.symbols)))]
        end_ns = START_NS + int(rng.integers(3 * bars // 4, bars)) * MINUTE_NS
        try:
            query = panel.window(symbol, end_ns=end_ns, length=LENGTH)
            found.append(
                similar(panel, query, K, horizon=HORIZONS[-1], options=SimilarityOptions(per_symbol=K // 2))
            )
        except ParameterError:  # flat, or one jump
            continue
    return found


def planted(
    rng: np.random.Generator, moves: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int]], np.ndarray]:
    """``moves`` with two shapes, each of which comes twenty times and is followed by a rise.

    Returns:
        (the moves, for each shape the symbol and bar at which a query of that shape ends, and where the
        rises are, bool of the shape of ``moves``).
    """
    changed, asked = moves.copy(), []
    rises = np.zeros(moves.shape, dtype=bool)
    spots = rng.permutation(np.arange(100, BARS - 400, 120))
    for number in range(2):
        shape = rng.standard_normal(LENGTH) * 2e-3
        shape[rng.integers(LENGTH)] += 4e-3
        for spot in spots[number * 20 : number * 20 + 20]:
            symbol = int(rng.integers(SYMBOLS))
            changed[symbol, spot : spot + LENGTH] = shape + rng.standard_normal(LENGTH) * 2e-4
            after = slice(spot + LENGTH, spot + LENGTH + HORIZONS[-1])
            changed[symbol, after] += EDGE / HORIZONS[-1]
            rises[symbol, after] = True
        end = BARS - 100 - 90 * number
        changed[number, end - LENGTH : end] = shape
        asked.append((number, end))
    return changed, asked, rises


def dull(panel: Panel, rng: np.random.Generator, rises: np.ndarray) -> list[Matches]:
    """Searches none of whose matches is followed by a planted rise: there is nothing to find."""
    found: list[Matches] = []
    while len(found) < QUERIES:
        for matches in searches(panel, rng, QUERIES):
            ends = (matches.positions + LENGTH)[:, None] + np.arange(HORIZONS[-1])
            if not rises.ravel()[ends].any() and len(found) < QUERIES:
                found.append(matches)
    return found


def families(kind: str, count: int, seed: int) -> Iterator[ManyOutcomes]:
    """Families of queries in pure noise."""
    for number in tqdm(range(count), desc=kind, disable=None):
        rng = np.random.default_rng([seed, number])
        panel = panel_of(steps(rng, kind))
        yield outcomes_many(panel, searches(panel, rng, QUERIES), HORIZONS, FREE)


def discoveries(kind: str, count: int, seed: int) -> tuple[float, float]:
    """(mean share of false ones among the discoveries, share of the planted edges that are found)."""
    false_shares, found = [], []
    for number in tqdm(range(count), desc=f"{kind}, planted", disable=None):
        rng = np.random.default_rng([seed, 1, number])
        moves, asked, rises = planted(rng, steps(rng, kind))
        panel = panel_of(moves)
        rules = SimilarityOptions(per_symbol=K // 2)
        true = [
            similar(
                panel,
                panel.window(panel.symbols[symbol], end_ns=START_NS + end * MINUTE_NS, length=LENGTH),
                K,
                horizon=HORIZONS[-1],
                options=rules,
            )
            for symbol, end in asked
        ]
        answer = outcomes_many(panel, [*dull(panel, rng, rises), *true], HORIZONS, FREE)
        kept = answer.table["survives"].to_numpy()
        false_shares.append(kept[:QUERIES].sum() / max(1, kept.sum()))
        found.append(kept[QUERIES:].mean())
    return float(np.mean(false_shares)), float(np.mean(found))


def interval(share: float, trials: int) -> tuple[float, float]:
    """The 99 % interval (Wilson, 1927) of a share that was seen in so many independent trials."""
    z = 2.5758
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def judge(kind: str, count: int, seed: int) -> dict[str, object]:
    """Every figure of one kind of walk."""
    p_values, survivors = [], []
    for answer in families(kind, count, seed):
        p_values.append(answer.table["p_value"].to_numpy())
        survivors.append(bool(answer.table["survives"].any()))
    alone = np.concatenate(p_values)
    spread = np.array([(values <= 0.05).mean() for values in p_values]).std(ddof=1) / np.sqrt(count)
    any_survivor = float(np.mean(survivors))
    false_share, power = discoveries(kind, max(4, count // 2), seed)
    claims, held = [], []
    for number in tqdm(range(count), desc=f"{kind}, walk forward", disable=None):
        panel = panel_of(steps(np.random.default_rng([seed, 2, number]), kind, 3000))
        options = WalkForwardOptions(length=20, horizon=10, k=20, questions=80, seed=number, resamples=1000)
        walked = walk_forward(panel, options)
        claims.append(walked.verdict.startswith("skill found"))
        held.append(conformal(walked.forecasts()).coverage)
    return {
        "kind": kind,
        "families": count,
        "queries": len(alone),
        "p_at_most_5_percent": round(float((alone <= 0.05).mean()), 4),
        "standard_error": round(float(spread), 4),
        "p_at_most_50_percent": round(float((alone <= 0.5).mean()), 4),
        "families_with_a_survivor": round(any_survivor, 4),
        "interval": [round(value, 4) for value in interval(any_survivor, count)],
        "false_among_discoveries": round(false_share, 4),
        "planted_found": round(power, 4),
        "claims_of_skill": round(float(np.mean(claims)), 4),
        "claims_interval": [round(value, 4) for value in interval(float(np.mean(claims)), count)],
        "coverage_of_90_percent": round(float(np.mean(held)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="few families; the intervals are wide")
    parser.add_argument("--families", type=int, default=100, help="families of queries of each kind of walk")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of walk; all of them by default")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    count = 8 if arguments.quick else arguments.families
    for kind in arguments.kind or KINDS:
        begun = time.process_time()
        found = judge(kind, count, arguments.seed)
        print(json.dumps(found | {"cpu_s": round(time.process_time() - begun, 1)}), flush=True)


if __name__ == "__main__":
    main()
