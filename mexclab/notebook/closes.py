"""Closing prices of the lake, for what the ledger holds no price of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from mexclab.domain.clock import DAY, HOUR, utc
from mexclab.domain.market import Symbol
from mexclab.store.lake import Lake


@dataclass(frozen=True, slots=True)
class Closes:
    """Closes of one-minute bars.

    Attributes:
        lake: where they are; None where all bars are simulated, which price nothing.
    """

    lake: Lake | None

    def first(self, symbol: Symbol, open_ns: int) -> Decimal | None:
        """The close of the first bar from an opening on; None where the hour has no bar."""
        if self.lake is None or str(symbol) not in self.lake.symbols():
            return None
        bars = self.lake.scan(str(symbol), open_ns - open_ns % HOUR, open_ns + HOUR)
        first = bars.filter(pl.col("ts") >= utc(open_ns)).head(1).collect()
        return Decimal(str(first["close"][0])) if first.height else None

    def last(self, symbols: Sequence[Symbol], at_ns: int) -> dict[Symbol, Decimal]:
        """The newest close of each symbol in the day before a moment, where there is one."""
        known = set() if self.lake is None else set(self.lake.symbols())
        found: dict[Symbol, Decimal] = {}
        for symbol in symbols:
            if self.lake is not None and str(symbol) in known:
                bars = self.lake.scan(str(symbol), at_ns - DAY, at_ns).tail(1).collect()
                found |= {symbol: Decimal(str(bars["close"][0]))} if bars.height else {}
        return found
