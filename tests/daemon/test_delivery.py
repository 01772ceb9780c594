"""Alerts that do not arrive: shown, told once where they can be, and no reason to stop trading."""

from __future__ import annotations

import asyncio
from typing import Any

from mexclab.daemon.delivery import Delivery
from mexclab.daemon.snapshot import Check, is_ready
from mexclab.domain import events as e

WAITS = {"webhook": "webhook: alerts not delivered since 2026-06-01 12:00:00 UTC: HTTP 500, 4 tries"}


class Ears:
    """A post whose sinks wait, and an engine that is written to."""

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        self.written: list[e.AlertRaised] = []
        self.gate = asyncio.Lock()
        self.parts = self.clock = self

    def troubles(self) -> dict[str, str]:
        return self.waiting

    def now_ns(self) -> int:
        return 1

    async def record(self, event: Any) -> None:
        assert self.gate.locked()
        self.written.append(event)


def test_a_desk_whose_alerts_wait_is_ready_and_one_that_may_not_trade_is_not() -> None:
    alerts = Check("alerts", ok=False, why="they wait", blocks=False)
    assert is_ready([Check("ledger", True, ""), alerts])
    assert not is_ready([Check("ledger", False, "it lags"), alerts])


async def test_a_sink_that_refuses_for_long_is_told_of_once_and_again_when_it_refuses_anew() -> None:
    ears = Ears()
    delivery = Delivery(ears, ears, patience_s=0.05)  # type: ignore[arg-type]
    ears.waiting = dict(WAITS)
    await delivery.look()
    assert not ears.written, "a moment is no outage"
    await asyncio.sleep(0.06)
    for _ in range(3):
        await delivery.look()
    assert [(told.level, told.text) for told in ears.written] == [("warning", WAITS["webhook"])]
    ears.waiting = {}
    await delivery.look()
    ears.waiting = dict(WAITS)
    await delivery.look()
    await asyncio.sleep(0.06)
    await delivery.look()
    assert len(ears.written) == 2
