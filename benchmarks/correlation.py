"""How fast correlations are, and how often alarms are false: ``python -m benchmarks.correlation [--quick]``.

A matrix of 2,000 symbols over 1,440 returns, and a bar added to a rolling one of that size, in CPU
seconds, medians of several runs after one that compiles. Peers get the same returns in the same run;
pandas is timed on fewer symbols, since its time grows with their square. Then the honesty of two tests:
leads in markets without a lead, and alarms in markets whose ties hold; both with fat tails, common spells
of volatility and, for leads, symbols that echo themselves.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.timing import cpu_s
from mexclab.research.correlation import Returns, correlation_matrix
from mexclab.research.correlation_breaks import breaks
from mexclab.research.correlation_rolling import RollingCorrelation
from mexclab.research.lead_lag import LeadLagOptions, lead_lag

SYMBOLS, ROWS = 2000, 1440
MATRIX_GOAL_S, ADD_GOAL_MS = 0.12, 2.0
PEERS = ("numpy.corrcoef", "polars.DataFrame.corr", "pandas.DataFrame.corr")
OFF_GOAL = 2e-6  # the largest difference from float64
MINUTE_NS = 60_000_000_000


def market(seed: int, symbols: int, rows: int, echoes: bool) -> Returns:
    """A common factor, spells of volatility that all share and fat tails; nobody leads, no tie breaks."""
    rng = np.random.default_rng(seed)
    level, spell = 0.0, np.empty(rows)
    for t, shock in enumerate(rng.standard_normal(rows)):
        level = 0.98 * level + 0.25 * shock if echoes else 0.99 * level + 0.1 * shock
        spell[t] = np.exp(level)
    common = (spell * rng.standard_t(4, rows))[:, None] * rng.uniform(0.5, 1.5, symbols)
    moves = common + 1.2 * spell[:, None] * rng.standard_t(4, (rows, symbols))
    if echoes:
        echo = rng.uniform(-0.4, 0.2, symbols)
        for t in range(1, rows):
            moves[t] += echo * moves[t - 1]
    names = tuple(f"S{at:02}" for at in range(symbols))
    return Returns(names, MINUTE_NS * np.arange(1, rows + 1), MINUTE_NS, 1e-3 * moves)


def speed(values: np.ndarray, runs: int) -> dict[str, float]:
    """CPU seconds by what is done, ours and others'."""
    gaps = values.copy()
    gaps[np.random.default_rng(2).random(values.shape) < 0.01] = np.nan
    held = RollingCorrelation(tuple(f"S{at}" for at in range(values.shape[1])), len(values))
    held.extend(values)
    row, broken = values[0].copy(), gaps[1].copy()
    few = values.shape[1] // 5
    frame = pl.DataFrame(values, schema=[f"S{at}" for at in range(values.shape[1])])
    return {
        "matrix": cpu_s(lambda: correlation_matrix(values), runs),
        "matrix, float64": cpu_s(lambda: correlation_matrix(values, kind=np.float64), 3),
        "matrix, 1 % of bars missing": cpu_s(lambda: correlation_matrix(gaps), 3),
        "a bar added": cpu_s(lambda: held.add(row), 51),
        "a bar added, 1 % of it missing": cpu_s(lambda: held.add(broken), 51),
        "all correlations read": cpu_s(held.matrix, 5),
        "sums made anew, once a window": cpu_s(held.recompute, 3),
        "numpy.corrcoef": cpu_s(lambda: np.corrcoef(values, rowvar=False), 5),
        "polars.DataFrame.corr": cpu_s(frame.corr, 3),
        "pandas.DataFrame.corr": 25 * cpu_s(pd.DataFrame(values[:, :few]).corr, 1),
    }


def false_leads(markets: int) -> tuple[float, float, float]:
    """Where nobody leads: the share of p-values below 5 % and 1 %, and of markets with any lead found."""
    shares, found = [], 0
    for seed in range(markets):
        answer = lead_lag(market(seed, 12, 3000, echoes=True), LeadLagOptions(draws=499))
        shares.append(answer.table["p_value"].to_numpy())
        found += answer.significant.height > 0
    every = np.concatenate(shares)
    return float((every < 0.05).mean()), float((every < 0.01).mean()), found / markets


def false_alarms(markets: int, rows: int = 20_000) -> tuple[int, float]:
    """Alarms where ties hold, and over how many symbol days of one-minute returns."""
    alarms = sum(breaks(market(seed, 20, rows, echoes=False)).height for seed in range(markets))
    return alarms, markets * 20 * rows / 1440


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs and fewer markets")
    quick = parser.parse_args().quick
    values = market(1, SYMBOLS, ROWS, echoes=False).values
    found = speed(values, 5 if quick else 15)
    off = float(np.abs(correlation_matrix(values) - np.corrcoef(values, rowvar=False)).max())
    print(f"{SYMBOLS:,} symbols, {ROWS:,} returns; CPU time, medians")
    for name, seconds in found.items():
        ratio = f", {seconds / found['matrix']:.1f} times ours" if name in PEERS else ""
        scaled = ", scaled from a fifth of the symbols" if name.startswith("pandas") else ""
        print(f"{name:<32} {1e3 * seconds:9.2f} ms{ratio}{scaled}")
    print(f"largest difference from float64: {off:.1e}")
    below_5, below_1, any_lead = false_leads(20 if quick else 200)
    print(
        f"no lead there: {below_5:.1%} of p below 5 %, {below_1:.2%} below 1 %, any found in {any_lead:.1%}"
    )
    alarms, days = false_alarms(2 if quick else 10)
    print(f"no tie broken: {alarms} alarms in {days:,.0f} symbol days of one-minute returns")
    added = 1e3 * found["a bar added"]
    goals = {
        "matrix_2000x1440_cpu_s": goal(found["matrix"], MATRIX_GOAL_S, "CPU s"),
        "add_a_bar_cpu_ms": goal(added, ADD_GOAL_MS, "CPU ms"),
        "largest_difference_from_float64": goal(off, OFF_GOAL, ""),
        "false_leads_at_5_percent": goal(below_5, 0.06, "share of p-values"),
        "false_alarms_per_symbol_day": goal(alarms / days, 0.01, ""),
    }
    peers = {name: round(found[name], 4) for name in PEERS}
    print(json.dumps({"benchmark": "correlation", "goals": goals, "peers": peers}))


def goal(value: float, bound: float, unit: str) -> dict[str, object]:
    """A figure beside what it must not exceed."""
    return {"value": float(f"{value:.4g}"), "goal": bound, "unit": unit, "met": value <= bound}


if __name__ == "__main__":
    main()
