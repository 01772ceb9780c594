"""Alerts about alerts: a sink that does not take them is told of where people look, and to the other sinks.

A desk whose alerts do not arrive is degraded, and stays ready: it may trade by its rules, its exits and its
stops need nobody who reads, and a chat service must not be able to halt it. What a person must not overlook
is in the ledger, on the tape, in the health report and, through the other sinks, on its way.
"""

from __future__ import annotations

import asyncio
import contextlib

from mexclab.domain import events as e
from mexclab.errors import LedgerError
from mexclab.runtime.post import Post
from mexclab.trading.engine import Engine

LOOK_S = 5.0
PATIENCE_S = 60.0  # a sink that takes its alerts within this is nothing to tell of


class Delivery:
    """Watches where alerts wait, beside the loop that trades.

    Args:
        post: who carries them.
        engine: whose ledger they are of.
    """

    def __init__(self, post: Post, engine: Engine, patience_s: float = PATIENCE_S) -> None:
        self._post = post
        self._engine = engine
        self._patience_s = patience_s
        self._waiting: dict[str, float] = {}  # since when it was seen waiting, on the loop's clock
        self._told: set[str] = set()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(min(LOOK_S, self._patience_s))

    async def look(self) -> None:
        """Write down, once for each time, what has waited for longer than there is patience."""
        now_s, troubles = asyncio.get_running_loop().time(), self._post.troubles()
        for name in [name for name in self._waiting if name not in troubles]:
            del self._waiting[name]
            self._told.discard(name)
        for name, trouble in troubles.items():
            if now_s - self._waiting.setdefault(name, now_s) < self._patience_s or name in self._told:
                continue
            self._told.add(name)
            now_ns = self._engine.parts.clock.now_ns()
            # no ledger, no trading: that ends the desk by itself
            with contextlib.suppress(LedgerError):
                async with self._engine.gate:
                    await self._engine.record(e.AlertRaised(now_ns, "warning", trouble))
