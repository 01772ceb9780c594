"""Past prices: what the venue knows of the last day, asked for after a start, beside the loop that trades.

Value at risk, expected shortfall and clusters look back over minutes that this process has not lived. Of what
is held, bought or planned they are asked of the venue (one minute bars), one symbol at a time, within its
limits. Until they are there, and where there are none, the limits take the worst: ``limits.unknown_loss`` of
such a symbol, and that it moves with everything else. What is known is shown as if a monitor
(``price_history``) had read it; it judges nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mexclab.domain.clock import DAY, MINUTE, SECOND, span
from mexclab.domain.market import Side, Symbol
from mexclab.domain.monitor import MonitorState, Reading
from mexclab.errors import VenueUnavailable
from mexclab.trading.history import SILENCE_MIN

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

MONITOR = "price_history"
AGAIN_NS = 15 * SECOND  # after a failure; doubled by each further one, up to
LONGEST_NS = 10 * MINUTE  # this, which is also how soon a history that broke off is asked for anew
MOST_SYMBOLS = 64  # a desk that holds more asks for the newest


@dataclass(slots=True)
class _Asked:
    """One symbol: when it was asked for, and what came of it.

    Attributes:
        known_min: minutes that were known once the answer was in; None: there has been none.
        why: what went wrong the last time.
    """

    at_ns: int
    known_min: int | None = None
    failures: int = 0
    why: str = ""

    @property
    def next_ns(self) -> int:
        """The earliest moment at which it is worth asking again."""
        pause_ns = AGAIN_NS << min(self.failures - 1, 10) if self.failures else LONGEST_NS
        return self.at_ns + min(pause_ns, LONGEST_NS)


class PastPrices:
    """Asks for the histories of one engine; see the head of the module."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: dict[Symbol, _Asked] = {}
        self._seq, self._due_ns = -1, 0

    def wanted(self) -> list[Symbol]:
        """What is held, bought or planned, the newest first."""
        desk = self._engine.desk
        found = [snipe.plan.symbol for snipe in reversed(desk.live_snipes())]
        found += [order.symbol for order in desk.open_orders() if order.side is Side.BUY]
        found += [position.symbol for position in reversed(desk.portfolio.held)]
        return list(dict.fromkeys(found))[:MOST_SYMBOLS]

    def due_ns(self, now_ns: int) -> int:
        """When the next symbol is due; looked at anew with each entry of the ledger, and once a minute."""
        if self._engine.seq != self._seq or now_ns >= self._due_ns:
            self._seq = self._engine.seq
            self._due_ns = min((at for at, _ in self._waiting(now_ns)), default=now_ns + MINUTE)
        return self._due_ns

    async def ask(self) -> None:
        """Ask for the symbol that has waited longest."""
        engine = self._engine
        now = engine.parts.clock.now_ns()
        at_ns, symbol = min(self._waiting(now), default=(now + DAY, None))
        self._seq = -1
        if symbol is None or at_ns > now:
            return
        asked = self._asked.setdefault(symbol, _Asked(now))
        asked.at_ns = now
        history = engine.history
        try:
            closes = await engine.parts.venue.closes(symbol, now - (history.window_min + 1) * MINUTE)
        except VenueUnavailable as error:
            asked.failures, asked.why = asked.failures + 1, error.message
            return  # no failure of the order path: the limits take the worst until it is answered
        history.fill(symbol, closes, engine.parts.clock.now_ns())
        asked.failures, asked.why = 0, ""
        asked.known_min = history.known_min(symbol, engine.parts.clock.now_ns())

    def readings(self, now_ns: int) -> Iterator[Reading]:
        """How much of each history is known, for people."""
        need, assumed = self._engine.history.window_min, self._engine.rules.limits.unknown_loss
        for symbol in self.wanted():
            known = min(self._engine.history.known_min(symbol, now_ns), need)
            asked = self._asked.get(symbol)
            if known >= need:
                state, why = MonitorState.QUIET, "all of it"
            elif asked is None or (asked.known_min is None and not asked.failures):
                state, why = MonitorState.UNKNOWN, "the venue is being asked for it"
            elif asked.failures:
                state, why = MonitorState.UNKNOWN, f"the venue does not say: {asked.why}"
            else:
                state, why = MonitorState.WARNING, "the venue has no more of it"
            text = f"{span(known * MINUTE)} of {span(need * MINUTE)} of prices of {symbol} are known: {why}"
            if known < need:
                text += f"; until it is whole the limits assume that {assumed:.0%} of it may be lost"
            yield Reading(MONITOR, symbol, state, f"{known} min", f"{need} min", text)

    def _waiting(self, now_ns: int) -> Iterator[tuple[int, Symbol]]:
        for symbol in self.wanted():
            asked = self._asked.get(symbol)
            if asked is None:
                yield now_ns, symbol
            elif asked.known_min is None or asked.failures or self._broke_off(symbol, asked, now_ns):
                yield asked.next_ns, symbol

    def _broke_off(self, symbol: Symbol, asked: _Asked, now_ns: int) -> bool:
        """Whether less is known than came in and has passed since: a silence has cut it."""
        history = self._engine.history
        since_min = (now_ns - asked.at_ns) // MINUTE
        expected = min((asked.known_min or 0) + since_min, history.window_min)
        return expected - history.known_min(symbol, now_ns) > SILENCE_MIN
