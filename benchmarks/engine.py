"""How fast the desk's own engine runs over recorded bars: ``python -m benchmarks.engine [--quick]``.

One-minute bars (a million; ``--quick``: a hundred thousand) go through the engine that trades live: each
bar is a book, each signal a plan that is checked, judged by every limit, written ahead, sent, matched,
filled, guarded and sold, all of it in the hash chain of a ledger in memory. Beside it, in the same run, on
the same bars and by the same rule (``benchmarks.engine_rule``): backtesting.py and NautilusTrader, each in
a process of the peers' own environment (``tools/bench_env.py``); where that cannot be made, the reason is
printed in their place.

CPU seconds of one process, medians; the data lies ready before the clock starts. Bars come in bundles while
nothing is at stake; the same with every bar alone is measured beside it, and its ledger must end in the same
hash. The trades of all must be the same, bar for bar, unit for unit and tick for tick, and the same as the
plainest loop's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_rule import (
    BUDGET_TICKS,
    CASH,
    FEE,
    FIRST_NS,
    GAIN_PER_MILLE,
    HOLD,
    LOSS_PER_MILLE,
    MINUTE_NS,
    TICK,
    Task,
    Trade,
    expected,
    task,
)
from mexclab import replay
from mexclab.config import LimitSettings, ProtectionSettings
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Symbol
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import SnipeState
from mexclab.replay_bars import IDENTITY, BarDesk, bar_desk, bars_of
from mexclab.strategies.opening_snipe import OpeningParameters, OpeningSnipe
from mexclab.trading import recovery
from mexclab.trading.engine import Rules
from mexclab.venues.bars import BarTerms
from tools.bench_env import NoEnvironment, peers_python

GOAL_BARS_PER_S = 100_000
BARS, BARS_QUICK, RUNS = 1_000_000, 100_000, 3
PEERS = {"backtesting.py": "backtesting_py.py", "NautilusTrader": "nautilus.py"}
PEER_PATIENCE_S = 1800
BUNDLE = 60  # bars that are told at once while nothing is at stake; 1: one by one
GRAIN = Decimal("1e-8")  # a peer rounds each fee to this, or adds it up in floats that are at least as exact
# every protection is judged, and none is strict enough to bar a signal: the peers know none
PROTECTIONS = ProtectionSettings(
    loss_streak=1000,
    day_loss_quote=Decimal(10_000),
    low_win_rate=Decimal("0.001"),
    cooldown_s=60,
    drawdown=Decimal("0.9"),
)
MARKET = Market(Symbol("BENCH"), TICK, Decimal(1), Decimal(1), FEE, FEE, takes_limits=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over all bars."""

    name: str
    cpu_s: float
    wall_s: float
    trades: list[Trade]
    profit: Decimal


def our_desk(job: Task, bundle: int = BUNDLE) -> BarDesk:
    """The desk with its bars and signals, not yet started; ``bundle`` as in ``BarTerms``."""
    open_ns = FIRST_NS + np.arange(len(job.ticks), dtype=np.int64) * MINUTE_NS
    bars = bars_of(MARKET, open_ns, job.ticks * float(TICK), MINUTE_NS)
    signals = []
    for place in job.signals.tolist():
        at_ns = bars.close_ns[place]
        signals.append(Signal(f"bar{place}", MARKET.symbol, "breakout", at_ns, at_ns, Decimal(1), {}))
    parameters = OpeningParameters(
        budget_quote=BUDGET_TICKS * TICK,
        cap_multiple=Decimal(1),
        book_slippage=Decimal(0),
        attempts=1,
        exit_preset=None,
        ladder=f"{Decimal(GAIN_PER_MILLE) / 10}:100",
        stop_loss=Decimal(LOSS_PER_MILLE) / 1000,
        time_stop_s=HOLD * 60,
    )
    rules = Rules(limits=LimitSettings(), protections=PROTECTIONS.rules())
    terms = BarTerms({"USDT": Decimal(CASH)}, depth=Decimal(10**9), bundle=bundle)
    return bar_desk(bars, signals, OpeningSnipe(parameters), rules, terms)


async def our_run(job: Task, bundle: int = BUNDLE) -> tuple[Run, BarDesk]:
    """Start and run the desk; what it did, and the desk as it is then."""
    desk = our_desk(job, bundle)
    cpu, wall = time.process_time(), time.perf_counter()
    await recovery.start(desk.engine, IDENTITY)
    await replay.run(desk.engine, desk.end_ns)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    trades = our_trades(desk.engine.desk)
    profit = sum((result.profit for result in desk.engine.desk.results), Decimal(0))
    if desk.engine.desk.portfolio.realised != profit or desk.engine.desk.portfolio.held:
        raise SystemExit("the portfolio does not say what the snipes say")
    return Run("mexclab", cpu, wall, trades, profit), desk


def our_trades(desk: Desk) -> list[Trade]:
    """Closed snipes as round trips; a bar's fills come soon after its close, and before the next one."""
    trades = []
    for snipe in desk.snipes.values():
        if snipe.state is SnipeState.CLOSED:
            bought, sold = (
                [fill for order in orders for fill in order.fills]
                for orders in (desk.entries(snipe.snipe_id), desk.exits(snipe.snipe_id))
            )
            (entry,), (exit_,) = bought, sold
            places = [(fill.at_ns - FIRST_NS) // MINUTE_NS - 1 for fill in (entry, exit_)]
            prices = [int(fill.price / TICK) for fill in (entry, exit_)]
            trades.append(Trade(*places, int(entry.quantity), *prices))
    return trades


def peer_run(python: Path, script: str, folder: Path) -> Run:
    """One pass of a peer over the task in ``folder``.

    Raises:
        NoEnvironment: it failed; the last line it wrote says why.
    """
    program = Path(__file__).parent / "peers" / script
    done = subprocess.run(
        [str(python), str(program), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=PEER_PATIENCE_S,
    )
    if done.returncode:
        raise NoEnvironment((done.stderr.strip().splitlines() or ["it failed without a word"])[-1])
    found = json.loads(done.stdout.splitlines()[-1])
    trades = [Trade(*each) for each in found["trades"]]
    return Run(found["name"], found["cpu_s"], found["wall_s"], trades, Decimal(found["profit"]))


def peers(job: Task, runs: int) -> dict[str, list[Run] | str]:
    """Every peer's runs, or why there are none."""
    try:
        python = peers_python()
    except NoEnvironment as error:
        return dict.fromkeys(PEERS, str(error))
    found: dict[str, list[Run] | str] = {}
    with tempfile.TemporaryDirectory(prefix="mexclab-engine-") as folder:
        job.write(Path(folder))
        for name, script in PEERS.items():
            try:
                found[name] = [peer_run(python, script, Path(folder)) for _ in range(runs)]
            except (NoEnvironment, subprocess.TimeoutExpired) as error:
                found[name] = str(error)
    return found


def agrees(run: Run, trades: list[Trade]) -> bool:
    """Whether these are the trades, and what they earned."""
    exact = sum((trade.profit for trade in trades), Decimal(0))
    return run.trades == trades and abs(run.profit - exact) <= 2 * GRAIN * len(trades)


def measure(bars: int) -> dict[str, Any]:
    """The whole run; the JSON object of the last line."""
    job = task(bars, seed=1)
    trades = expected(job)
    held = sum(trade.exit_bar - trade.entry_bar for trade in trades) / bars
    print(f"{bars:,} one-minute bars, {len(trades):,} trades, something is held in {held:.1%} of the bars")
    ours, single, heads = [], [], set()
    for _ in range(RUNS):
        for runs, bundle in ((ours, BUNDLE), (single, 1)):
            run, desk = asyncio.run(our_run(job, bundle))
            runs.append(run)
            heads.add(desk.ledger.verify().head)
    if len(heads) != 1:
        raise SystemExit("the same bars did not give the same history, bundled or one by one")
    events = desk.engine.seq
    cpu_s, single_s = (statistics.median(run.cpu_s for run in runs) for runs in (ours, single))
    print(f"{'mexclab':<24} {bars / cpu_s:>9,.0f} bars/s, CPU {cpu_s:.2f} s; {events / cpu_s:,.0f} events/s")
    print(
        f"{'mexclab, one by one':<24} {bars / single_s:>9,.0f} bars/s, CPU {single_s:.2f} s; the same history"
    )
    equal = {"mexclab": all(agrees(run, trades) for run in (*ours, *single))}
    beside: dict[str, Any] = {}
    for name, runs in peers(job, RUNS).items():
        if isinstance(runs, str):
            print(f"{name:<24} not measured: {runs}")
            beside[name] = f"not measured: {runs}"
            continue
        peer_s = statistics.median(run.cpu_s for run in runs)
        equal[name] = all(agrees(run, trades) for run in runs)
        print(f"{runs[0].name:<24} {bars / peer_s:>9,.0f} bars/s, CPU {peer_s:.2f} s")
        beside[f"{runs[0].name} bars/s"] = round(bars / peer_s)
    print("the same trades as the plainest loop: " + ", ".join(f"{n}: {v}" for n, v in equal.items()))
    goals = {
        "engine-bars": _goal(round(bars / cpu_s), GOAL_BARS_PER_S, "bars/s of one core"),
        "engine-trades": _goal(sum(equal.values()) / len(equal), 1.0, "share of engines with equal trades"),
    }
    beside["mexclab, bars one by one, bars/s"] = round(bars / single_s)
    about = {"our events/s": round(events / cpu_s), "our events": events, "trades": len(trades)}
    wall = statistics.median(run.wall_s for run in ours)
    return {"benchmark": "engine", "goals": goals, "peers": {**beside, **about, "our wall s": round(wall, 2)}}


def _goal(value: float, goal: float, unit: str) -> dict[str, Any]:
    return {"value": value, "goal": goal, "unit": unit, "met": value >= goal}


def main() -> None:
    """Print what was measured, and the same as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the bars")
    print(json.dumps(measure(BARS_QUICK if parser.parse_args().quick else BARS)))


if __name__ == "__main__":
    main()
