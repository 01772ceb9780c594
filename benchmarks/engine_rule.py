"""The one rule that every engine of ``benchmarks.engine`` trades by, and the plain loop that carries it out.

Closes are whole ticks, so that floats and Decimals agree to the last digit. At a signal bar's close, when
nothing is held: buy as many whole units as the budget pays for. At each later close sell everything at that
close once it is a gain of ``GAIN_PER_MILLE`` or more, a loss of ``LOSS_PER_MILLE`` or more, or ``HOLD`` bars
after the entry. A signal that comes while something is held is passed over, also at the bar that ends it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TICK = Decimal("0.00001")
FEE = Decimal("0.0005")  # of the value, each way
BUDGET_TICKS = 5_000_000  # 50 quote units
CASH = 100_000
GAIN_PER_MILLE = 6
LOSS_PER_MILLE = 4
HOLD = 20
MINUTE_NS = 60_000_000_000
FIRST_NS = 1_577_836_800_000_000_000  # 2020-01-01
LOOK_BACK = 480
APART = 120  # bars between two signals, at least


class Trade(NamedTuple):
    """One round trip: bars by number, prices in ticks."""

    entry_bar: int
    exit_bar: int
    units: int
    entry_ticks: int
    exit_ticks: int

    @property
    def profit(self) -> Decimal:
        """In quote units, fees of both ways included."""
        bought, sold = (self.units * ticks * TICK for ticks in (self.entry_ticks, self.exit_ticks))
        return sold - bought - (sold + bought) * FEE


@dataclass(frozen=True)
class Task:
    """One-minute bars and the bars at whose close a signal is raised.

    Attributes:
        ticks: int64, one close per bar.
        signals: int64, ascending bar numbers.
    """

    ticks: NDArray[np.int64]
    signals: NDArray[np.int64]

    def write(self, folder: Path) -> None:
        """As the peers read it: ``ticks.npy``, ``signals.npy``, ``rule.json``."""
        np.save(folder / "ticks.npy", self.ticks)
        np.save(folder / "signals.npy", self.signals)
        (folder / "rule.json").write_text(json.dumps(rule()))


def rule() -> dict[str, Any]:
    """What a peer has to know."""
    return {
        "tick": str(TICK), "fee": str(FEE), "budget_ticks": BUDGET_TICKS, "cash": CASH, "hold": HOLD,
        "gain_per_mille": GAIN_PER_MILLE, "loss_per_mille": LOSS_PER_MILLE, "first_ns": FIRST_NS,
    }  # fmt: skip


def task(bars: int, seed: int) -> Task:
    """A price that wanders around 0.04 by 12 bp a minute; a signal is a close above the last eight hours'."""
    rng = np.random.default_rng(seed)
    log = np.empty(bars)
    at = 0.0
    for place, step in enumerate(rng.standard_normal(bars) * 1.2e-3):
        at = at * 0.9998 + step
        log[place] = at
    ticks = np.rint(4000 * np.exp(log)).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(ticks[:-1], LOOK_BACK).max(axis=1)
    breaks = np.flatnonzero(ticks[LOOK_BACK:] > windows) + LOOK_BACK
    kept, last = [], -APART
    for place in breaks[breaks < bars - 2 * HOLD]:
        if place - last >= APART:
            kept.append(place)
            last = place
    return Task(ticks, np.array(kept, dtype=np.int64))


def expected(job: Task) -> list[Trade]:
    """What the rule gives, by the plainest loop."""
    ticks, signals = job.ticks.tolist(), set(job.signals.tolist())
    trades: list[Trade] = []
    entry = units = 0
    for bar, close in enumerate(ticks):
        if units:
            bought = ticks[entry]
            won = close * 1000 >= bought * (1000 + GAIN_PER_MILLE)
            lost = close * 1000 <= bought * (1000 - LOSS_PER_MILLE)
            if won or lost or bar >= entry + HOLD:
                trades.append(Trade(entry, bar, units, bought, close))
                units = 0
        elif bar in signals:
            entry, units = bar, BUDGET_TICKS // close
    return trades
