"""backtesting.py on the task of ``benchmarks.engine``; runs in the peers' own environment.

``python backtesting_py.py FOLDER`` reads what ``Task.write`` wrote; the last line is the result as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy


def strategy(ticks: list[int], signals: set[int], rule: dict[str, Any]) -> type[Strategy]:
    """The rule as a strategy: every price is looked up in ticks, so that no float decides."""
    won, lost, hold = 1000 + rule["gain_per_mille"], 1000 - rule["loss_per_mille"], rule["hold"]

    class Rule(Strategy):
        entry = 0

        def init(self) -> None:
            pass

        def next(self) -> None:
            bar = len(self.data) - 1
            close = ticks[bar]
            if self.position:
                bought = ticks[self.entry]
                if close * 1000 >= bought * won or close * 1000 <= bought * lost or bar >= self.entry + hold:
                    self.position.close()
            elif bar in signals:
                self.entry = bar
                self.buy(size=rule["budget_ticks"] // close)

    return Rule


def main() -> None:
    folder = Path(sys.argv[1])
    rule = json.loads((folder / "rule.json").read_text())
    ticks = np.load(folder / "ticks.npy")
    signals = set(np.load(folder / "signals.npy").tolist())
    tick = float(rule["tick"])
    close = ticks * tick
    first = np.concatenate([close[:1], close[:-1]])
    frame = pd.DataFrame(
        {"Open": first, "High": np.maximum(first, close), "Low": np.minimum(first, close), "Close": close},
        index=pd.to_datetime(rule["first_ns"] + np.arange(len(close)) * 60_000_000_000),
    )
    kind = strategy(ticks.tolist(), signals, rule)
    warnings.simplefilter("ignore")  # a progress bar that is not wanted, positions open at the end
    begun, wall = time.process_time(), time.perf_counter()
    test = Backtest(frame, kind, cash=rule["cash"], commission=float(rule["fee"]), trade_on_close=True)
    found = test.run()["_trades"]
    taken, wall = time.process_time() - begun, time.perf_counter() - wall
    trades = [
        (row.EntryBar, row.ExitBar, row.Size, round(row.EntryPrice / tick), round(row.ExitPrice / tick))
        for row in found.itertuples()
    ]
    profit = float(found["PnL"].sum())  # commissions of both ways are in it
    print(
        json.dumps(
            {
                "name": f"backtesting.py {version('backtesting')}",
                "cpu_s": taken,
                "wall_s": wall,
                "trades": [[int(value) for value in trade] for trade in trades],
                "profit": profit,
            }
        )
    )


if __name__ == "__main__":
    main()
