"""A coin that trades elsewhere before its opening here has come loose from its market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import log, nan

import numpy as np

from mexclab.config import ListingsSettings
from mexclab.domain.clock import HOUR, span, written
from mexclab.domain.listing import Listing
from mexclab.domain.market import Symbol
from mexclab.domain.signal import Signal
from mexclab.errors import ParameterError
from mexclab.patterns.registry import signal
from mexclab.research.correlation_watch import DEFAULT, Break, BreakOptions, BreakWatch


class CorrelationBreak:
    """Alarms when a symbol stops moving with the others, and a signal when that symbol is about to open.

    ``observe`` is told of listings and not of prices. Prices are fed to ``see``, bar by bar, by whoever has
    them: a notebook, a replay, a feed of another venue; without them this pattern is silent. ``see``
    answers with the alarms of that bar; ``observe`` turns one of the last ``fresh_ns`` into a signal for a
    listing of that symbol that is still to open. The probability is a stated prior, not a measurement.
    """

    name = "correlation_break"
    prior = Decimal("0.50")

    def __init__(self, settings: ListingsSettings, options: BreakOptions = DEFAULT) -> None:
        self._floor_ns = int(settings.minimum_lead_h * HOUR)
        self._options = options
        self._watch: BreakWatch | None = None
        self._columns: dict[Symbol, int] = {}
        self._logs = np.zeros(0)
        self._last: dict[Symbol, Break] = {}
        self.fresh_ns = 24 * HOUR

    def follow(self, symbols: Sequence[Symbol]) -> None:
        """Begin anew with these symbols; the first alarm can come when enough bars were seen.

        Raises:
            ParameterError: too few symbols to make a market, or one named twice.
        """
        if len(set(symbols)) != len(symbols):
            raise ParameterError("Each symbol to follow is named once.")
        self._watch = BreakWatch([str(symbol) for symbol in symbols], self._options)
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._logs, self._last = np.full(len(symbols), np.nan), {}

    def see(self, at_ns: int, closes: Mapping[Symbol, float]) -> tuple[Break, ...]:
        """The closes of one bar, complete at ``at_ns``; the alarms that it raises.

        A symbol without a close has no return at this bar nor at the next one.

        Raises:
            ParameterError: nothing is followed yet, a symbol that is not, or a close that is not positive.
        """
        if self._watch is None:
            raise ParameterError("Nothing is followed yet: call follow with the symbols first.")
        logs = np.full(len(self._columns), nan)
        for symbol, close in closes.items():
            if symbol not in self._columns or not close > 0:
                raise ParameterError(f"{symbol} is not followed, or its close {close} is not positive.")
            logs[self._columns[symbol]] = log(close)
        alarms = self._watch.see(at_ns, logs - self._logs)
        self._logs = logs
        by_name = {str(symbol): symbol for symbol in self._columns}
        self._last |= {by_name[alarm.symbol]: alarm for alarm in alarms}
        return alarms

    def observe(self, listing: Listing, now_ns: int) -> Signal | None:
        alarm = self._last.get(listing.symbol)
        if alarm is None or listing.open_ns <= now_ns or not 0 <= now_ns - alarm.at_ns <= self.fresh_ns:
            return None
        lead_ns = listing.open_ns - now_ns
        floor = "meets" if lead_ns >= self._floor_ns else "misses"
        evidence = {
            "came loose": written(alarm.at_ns),
            "correlation": f"{alarm.before:.2f} before, {alarm.recent:.2f} now, with {alarm.peers} others",
            "fall": f"{alarm.drop:.1f} standard errors",
            "opens": written(listing.open_ns),
            "lead": f"{span(lead_ns)}, which {floor} the floor of {span(self._floor_ns)}",
            "basis": "prior belief, not yet measured on recorded openings",
        }
        return signal(self.name, self.prior, listing, now_ns, evidence)
