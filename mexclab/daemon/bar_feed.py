"""Closed bars for the patterns that live on them: out of the lake, as ``mexclab fetch follow`` brings them.

The desk asks no venue for these bars: another process follows thousands of pairs, confirms each bar with the
venue's history and appends it to the lake. Here the lake is looked at once a minute, in a thread. What a
pattern alarms becomes an entry of the ledger and so a line of the tape and an alert: a fact, never a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.errors import LedgerError, MexclabError
from mexclab.ports import BarPattern
from mexclab.store.bar_watch import BarWatch
from mexclab.store.lake import Lake
from mexclab.trading.engine import Engine

LOOK_S = 5.0
NEAR_NS = 10 * SECOND  # around a shot nothing is read


class BarFeed:
    """Looks again and again, and writes down what is found; beside the loop that trades.

    Args:
        lake: whose bars.
        patterns: who gets them.
        engine: whose ledger.
    """

    def __init__(self, lake: Lake, patterns: Sequence[BarPattern], engine: Engine) -> None:
        self._engine = engine
        self.watch = BarWatch(lake, patterns, self._wait_for_shots)
        self._trouble = ""

    async def run(self) -> None:
        """Look until cancelled. A lake that cannot be read is told once, and looked at again."""
        try:
            while True:
                for event in await self._news():
                    # no ledger, no trading: that ends the desk by itself
                    with contextlib.suppress(LedgerError):
                        async with self._engine.gate:
                            await self._engine.record(event)
                await asyncio.sleep(LOOK_S)
        finally:
            self.watch.leaving.set()  # or the thread would hold up the end

    async def _news(self) -> list[e.Event]:
        now_ns = self._engine.parts.clock.now_ns()
        # a plug-in may raise anything: it is told, and the desk trades on
        (told,) = await asyncio.gather(asyncio.to_thread(self.watch.look, now_ns), return_exceptions=True)
        if not isinstance(told, BaseException):
            self._trouble = ""
            return [e.AlertRaised(now_ns, "info", sentence) for sentence in told]
        if not isinstance(told, Exception):
            raise told
        why = told.message if isinstance(told, MexclabError) else f"{type(told).__name__}: {told}"
        is_new, self._trouble = not self._trouble, why
        text = f"the patterns that live on bars see nothing: {why}"
        return [e.AlertRaised(now_ns, "warning", text)] if is_new else []

    def _wait_for_shots(self) -> None:
        """Around a shot nothing else takes the processor."""
        while not self.watch.leaving.is_set() and self._is_shooting():
            time.sleep(LOOK_S / 10)

    def _is_shooting(self) -> bool:
        now_ns = self._engine.parts.clock.now_ns()
        return any(abs(at_ns - now_ns) < NEAR_NS for at_ns in list(self._engine.shots.values()))
