"""A coin that trades elsewhere before its opening here has come loose from its market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from mexclab.config import ListingsSettings
from mexclab.domain.clock import HOUR, span, written
from mexclab.domain.listing import Listing
from mexclab.domain.signal import Signal
from mexclab.errors import ParameterError
from mexclab.patterns.registry import signal
from mexclab.research.correlation_watch import DEFAULT, Break, BreakOptions, BreakWatch


class CorrelationBreak:
    """Alarms when a symbol stops moving with the others, and a signal when that symbol is about to open.

    Prices are fed to ``see``, bar by bar, by whoever has them: a notebook, a replay, the trading daemon
    (``daemon/bar_feed.py``); without them this pattern is silent. ``see`` answers with the alarms of that
    bar, and they are all that the daemon takes of it: facts, never a reason to enter. ``observe`` is for
    research: it turns an alarm of the last ``fresh_ns`` into a signal for a listing of that symbol that is
    still to open. The probability is a stated prior, not a measurement.
    """

    name = "correlation_break"
    prior = Decimal("0.50")

    def __init__(self, settings: ListingsSettings, options: BreakOptions = DEFAULT) -> None:
        self._floor_ns = int(settings.minimum_lead_h * HOUR)
        self._options = options
        self.minutes = options.recent + options.before
        self._watch: BreakWatch | None = None
        self._columns: dict[str, int] = {}
        self._logs = np.zeros(0)
        self._last: dict[str, Break] = {}
        self.fresh_ns = 24 * HOUR

    def follow(self, symbols: Sequence[str]) -> None:
        """Begin anew with these symbols; the first alarm can come when enough bars were seen.

        Raises:
            ParameterError: too few symbols to make a market, or one named twice.
        """
        if len(set(symbols)) != len(symbols):
            raise ParameterError("Each symbol to follow is named once.")
        self._watch = BreakWatch(symbols, self._options)
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._logs, self._last = np.full(len(symbols), np.nan), {}

    def see(self, at_ns: int, closes: Mapping[str, float]) -> tuple[Break, ...]:
        """The closes of one bar, complete at ``at_ns``; the alarms that it raises.

        A symbol without a close has no return at this bar nor at the next one.

        Raises:
            ParameterError: nothing is followed yet, a symbol that is not, or a close that is not positive.
        """
        if self._watch is None:
            raise ParameterError("Nothing is followed yet: call follow with the symbols first.")
        columns = [self._columns.get(symbol, -1) for symbol in closes]
        values = np.fromiter(closes.values(), dtype=np.float64, count=len(closes))
        for place in np.flatnonzero(~(values > 0) | (np.array(columns, dtype=np.int64) < 0))[:1]:
            raise ParameterError(
                f"{list(closes)[place]} is not followed, or its close {values[place]} is not positive."
            )
        logs = np.full(len(self._columns), np.nan)
        logs[columns] = np.log(values)
        alarms = self._watch.see(at_ns, logs - self._logs)
        self._logs = logs
        self._last |= {alarm.symbol: alarm for alarm in alarms}
        return alarms

    def observe(self, listing: Listing, now_ns: int) -> Signal | None:
        alarm = self._last.get(str(listing.symbol))
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
