"""Desks on made-up bars, and the plain loop that says how they trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from mexclab import replay
from mexclab.config import LimitSettings
from mexclab.domain.clock import DAY, MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Symbol
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import SnipeState
from mexclab.replay_bars import IDENTITY, BarDesk, bar_desk
from mexclab.strategies.opening_snipe import OpeningParameters, OpeningSnipe
from mexclab.trading import recovery
from mexclab.trading.engine import Rules
from mexclab.venues.bars import Bars, BarTerms

FIRST = 19_000 * DAY
TICK = Decimal("0.00001")
FEE = Decimal("0.0005")
BARS_ONLY = Market(Symbol("BARS"), TICK, Decimal(1), maker_fee=FEE, taker_fee=FEE, takes_limits=False)
WITH_LIMITS = Market(Symbol("BARS"), TICK, Decimal(1), maker_fee=FEE, taker_fee=FEE)
WIDE = LimitSettings(day_loss_quote=Decimal(10_000), drawdown=Decimal(1))
GAIN, LOSS, HOLD = 6, 4, 20  # per mille, per mille, bars


class Trade(NamedTuple):
    """One round trip: bars by number, prices in ticks."""

    entry_bar: int
    exit_bar: int
    units: int
    entry_ticks: int
    exit_ticks: int


@dataclass(frozen=True)
class Tape:
    """Closes in ticks, and the bars at whose close a signal is raised."""

    ticks: Sequence[int]
    signals: Sequence[int]
    market: Market = BARS_ONLY
    exit: dict[str, object] = field(
        default_factory=dict
    )  # parameters of the strategy, in place of the rule's
    rules: Rules = field(default_factory=lambda: Rules(limits=WIDE))
    cash: int = 10_000


def wander(bars: int, seed: int, every: int = 15) -> Tape:
    """A random walk with more signals than can be taken."""
    rng = np.random.default_rng(seed)
    log = np.cumsum(rng.standard_normal(bars) * 1.2e-3)
    ticks = np.rint(4000 * np.exp(log)).astype(int).tolist()
    signals = sorted(rng.choice(bars - 2 * HOLD, bars // every, replace=False).tolist())
    return Tape(ticks, signals)


def desk_of(tape: Tape, bundle: int = 60) -> BarDesk:
    """The desk, not yet started; it buys for 50 quote units."""
    close_ns = [FIRST + (bar + 1) * MINUTE for bar in range(len(tape.ticks))]
    signals = [
        Signal(f"bar{bar}", tape.market.symbol, "given", close_ns[bar], close_ns[bar], Decimal(1), {})
        for bar in tape.signals
    ]
    usual = {
        "cap_multiple": Decimal(1), "book_slippage": Decimal(0), "attempts": 1, "exit_preset": None,
        "ladder": f"{Decimal(GAIN) / 10}:100", "stop_loss": Decimal(LOSS) / 1000, "time_stop_s": HOLD * 60,
    }  # fmt: skip
    strategy = OpeningSnipe(OpeningParameters(**{**usual, **tape.exit}))
    terms = BarTerms({"USDT": Decimal(tape.cash)}, depth=Decimal(10**9), bundle=bundle)
    return bar_desk(Bars(tape.market, close_ns, tape.ticks), signals, strategy, tape.rules, terms)


async def run(desk: BarDesk) -> BarDesk:
    """Start it and let it live through all of its bars."""
    await recovery.start(desk.engine, IDENTITY)
    await replay.run(desk.engine, desk.end_ns)
    return desk


def trades_of(desk: Desk) -> list[Trade]:
    """Closed snipes that bought and sold in one piece each."""
    trades = []
    for snipe in desk.snipes.values():
        if snipe.state is SnipeState.CLOSED:
            (bought,) = [fill for order in desk.entries(snipe.snipe_id) for fill in order.fills]
            (sold,) = [fill for order in desk.exits(snipe.snipe_id) for fill in order.fills]
            bars = [(fill.at_ns - FIRST) // MINUTE - 1 for fill in (bought, sold)]
            prices = [int(fill.price / TICK) for fill in (bought, sold)]
            trades.append(Trade(*bars, int(bought.quantity), *prices))
    return trades


def naive_trades(tape: Tape) -> list[Trade]:
    """The rule, bar by bar: 50 quote units at a signal's close; out at the first close that says so."""
    trades: list[Trade] = []
    entry = units = 0
    for bar, close in enumerate(tape.ticks):
        if units:
            bought = tape.ticks[entry]
            won, lost = close * 1000 >= bought * (1000 + GAIN), close * 1000 <= bought * (1000 - LOSS)
            if won or lost or bar >= entry + HOLD:
                trades.append(Trade(entry, bar, units, bought, close))
                units = 0
        elif bar in tape.signals:
            entry, units = bar, 5_000_000 // close
    return trades
