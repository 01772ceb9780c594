"""A desk on recorded bars: the same engine, in memory, for backtests. ``mexclab.replay.run`` runs it.

::

    bars = bars_of(market, open_ns, close, MINUTE)
    desk = bar_desk(bars, signals, strategy, rules, terms)
    await recovery.start(desk.engine, IDENTITY)
    await replay.run(desk.engine, desk.end_ns)

A signal is told with the bar at whose close it was raised, and planned at once; its snipe then goes the way
of every other: checks, verdict, shot, fills, exits. Nothing is armed by hand, so ``rules`` arm by themselves;
nothing is asked by the clock alone, because a recording tells everything as news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Market
from mexclab.domain.signal import Signal
from mexclab.errors import DataError
from mexclab.ports import Strategy
from mexclab.runtime.bus import Bus
from mexclab.runtime.clock import ManualClock
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.trading.recovery import Identity
from mexclab.venues.bars import Bars, BarTerms, BarVenue

IDENTITY = Identity("replay", "recorded bars", "")
AFTER_NS = 10 * SECOND  # after the last close, for what it still brings


@dataclass(frozen=True, slots=True)
class BarDesk:
    """A desk that has been put together and not yet started."""

    engine: Engine
    venue: BarVenue
    ledger: MemoryLedger
    bus: Bus

    @property
    def end_ns(self) -> int:
        """When everything that the last bar leads to has happened."""
        return self.venue.bars.close_ns[-1] + AFTER_NS


def bar_desk(
    bars: Bars, signals: Sequence[Signal], strategy: Strategy, rules: Rules, terms: BarTerms
) -> BarDesk:
    """The desk of one backtest, at the first close.

    Raises:
        DomainError: a signal is not of these bars.
    """
    clock, bus, ledger = ManualClock(bars.close_ns[0] - SECOND), Bus(), MemoryLedger()
    venue = BarVenue(clock, bars, signals, terms)
    parts = Parts(
        clock=clock,
        ledger=ledger,
        exchange=venue,
        venue=venue,
        feed=venue,
        radar=Radar(venue, MemoryRecorder(), (), rules.quote_asset),
        strategy=strategy,
        bus=bus,
    )
    return BarDesk(Engine(parts, replace(rules, auto_arm=True, polls=False)), venue, ledger, bus)


def bars_of(market: Market, open_ns: NDArray[np.int64], close: NDArray[np.float64], length_ns: int) -> Bars:
    """Bars of arrays, one row each: opening time and closing price in quote units.

    Prices go to the nearest tick: what was traded lies on one, and a float is at most a hair beside it.

    Raises:
        DataError: a price is not a number, or off the tick by more than a hundredth of it.
        DomainError: see ``Bars``.
    """
    ratio = close / float(market.tick)
    ticks = np.rint(ratio)
    if not np.isfinite(ratio).all() or (np.abs(ratio - ticks) > 0.01).any():
        raise DataError(f"the closes of {market.symbol} are not multiples of its tick {market.tick}")
    return Bars(market, (open_ns + length_ns).tolist(), ticks.astype(np.int64).tolist())
