"""NautilusTrader on the task of ``benchmarks.engine``; runs in the peers' own environment.

``python nautilus.py FOLDER`` reads what ``Task.write`` wrote; the last line is the result as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

MINUTE_NS = 60_000_000_000


def instrument(rule: dict[str, Any]) -> CurrencyPair:
    base = Currency("BENCH", 0, 0, "BENCH", CurrencyType.CRYPTO)
    fee = Decimal(rule["fee"])
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol("BENCHUSDT"), Venue("SIM")),
        raw_symbol=Symbol("BENCHUSDT"),
        base_currency=base,
        quote_currency=USDT,
        price_precision=5,
        size_precision=0,
        price_increment=Price.from_str(rule["tick"]),
        size_increment=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
        maker_fee=fee,
        taker_fee=fee,
    )


class Rule(Strategy):
    """The rule of the task: every price is looked up in ticks, so that no float decides."""

    def __init__(self, pair: CurrencyPair, bars: BarType, task: tuple[list[int], set[int], dict]) -> None:
        super().__init__(StrategyConfig())
        self._pair, self._bars = pair, bars
        self._ticks, self._signals, self._rule = task
        self._won = 1000 + self._rule["gain_per_mille"]
        self._lost = 1000 - self._rule["loss_per_mille"]
        self._place = -1
        self._entry = self._units = 0

    def on_start(self) -> None:
        self.subscribe_bars(self._bars)

    def on_bar(self, bar: Bar) -> None:
        self._place += 1
        place, close = self._place, self._ticks[self._place]
        if self._units:
            bought = self._ticks[self._entry]
            late = place >= self._entry + self._rule["hold"]
            if close * 1000 >= bought * self._won or close * 1000 <= bought * self._lost or late:
                self._market(OrderSide.SELL, self._units)
                self._units = 0
        elif place in self._signals:
            self._entry, self._units = place, self._rule["budget_ticks"] // close
            self._market(OrderSide.BUY, self._units)

    def _market(self, side: OrderSide, units: int) -> None:
        self.submit_order(self.order_factory.market(self._pair.id, side, Quantity.from_int(units)))


def bars_of(ticks: np.ndarray, rule: dict[str, Any], pair: CurrencyPair, kind: BarType) -> list[Bar]:
    close = ticks * float(rule["tick"])
    first = np.concatenate([close[:1], close[:-1]])
    ends = pd.to_datetime(rule["first_ns"] + (1 + np.arange(len(close))) * MINUTE_NS, utc=True)
    frame = pd.DataFrame(
        {
            "open": first,
            "high": np.maximum(first, close),
            "low": np.minimum(first, close),
            "close": close,
            "volume": 1e9,
        },
        index=ends,
    )
    return BarDataWrangler(kind, pair).process(frame)


def main() -> None:
    folder = Path(sys.argv[1])
    rule = json.loads((folder / "rule.json").read_text())
    ticks = np.load(folder / "ticks.npy")
    signals = set(np.load(folder / "signals.npy").tolist())
    pair = instrument(rule)
    kind = BarType.from_str(f"{pair.id}-1-MINUTE-LAST-EXTERNAL")
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig())
    )
    engine.add_venue(
        venue=Venue("SIM"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        starting_balances=[Money(rule["cash"], USDT)],
    )
    engine.add_instrument(pair)
    engine.add_data(bars_of(ticks, rule, pair, kind))
    engine.add_strategy(Rule(pair, kind, (ticks.tolist(), signals, rule)))
    begun, wall = time.process_time(), time.perf_counter()
    engine.run()
    taken, wall = time.process_time() - begun, time.perf_counter() - wall
    fills = engine.trader.generate_fills_report()
    trades, profit = round_trips(fills, rule)
    print(
        json.dumps(
            {
                "name": f"NautilusTrader {version('nautilus_trader')}",
                "cpu_s": taken,
                "wall_s": wall,
                "trades": trades,
                "profit": profit,
            }
        )
    )


def round_trips(fills: pd.DataFrame, rule: dict[str, Any]) -> tuple[list[list[int]], float]:
    """Entry bar, exit bar, units, entry and exit price in ticks; and the sum of what they earned."""
    tick, trades, total = Decimal(rule["tick"]), [], 0.0
    rows = list(fills.sort_values("ts_event", kind="stable").itertuples())
    for bought, sold in zip(rows[::2], rows[1::2], strict=True):
        places = [
            round((pd.Timestamp(row.ts_event).value - rule["first_ns"]) / MINUTE_NS) - 1
            for row in (bought, sold)
        ]
        prices = [Decimal(str(row.last_px)) for row in (bought, sold)]
        units = int(Decimal(str(bought.last_qty)))
        fees = [float(str(row.commission).split()[0]) for row in (bought, sold)]
        total += units * float(prices[1] - prices[0]) - sum(fees)
        trades.append([*places, units, *(int(price / tick) for price in prices)])
    return trades, total


if __name__ == "__main__":
    main()
