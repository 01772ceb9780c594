"""Recording: what cannot be folded is found out before it is durable, and the next record starts clean."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, LedgerUnavailable
from tests.trading.bars_scene import BARS_ONLY, desk_of, run, wander
from tests.trading.conftest import START, Station


async def test_what_cannot_be_folded_is_not_written_and_the_next_record_is(
    station: Callable[..., Station],
) -> None:
    desk = station()
    await desk.start()
    before = desk.ledger.last()
    halted, strange = e.Halted(START, "me", "why"), e.SnipeMoved(START, "nobody", SnipeState.ARMED)
    for bad in ((strange,), (halted, strange), (strange, halted)):
        with pytest.raises(DomainError):
            await desk.engine.record(*bad)
        assert desk.ledger.last() == before
        assert desk.engine.desk.halt is None
    await desk.engine.record(halted)
    assert desk.engine.desk.halt is not None
    assert DeskState.of(Desk.of(event for _, event in desk.ledger.read())) == DeskState.of(desk.engine.desk)


async def test_what_could_not_be_written_is_not_counted_by_the_next_record(
    station: Callable[..., Station],
) -> None:
    desk = station()
    await desk.start()
    desk.ledger._is_open = False
    disputed = e.ReportDisputed(START, "", BARS_ONLY.symbol, "why")
    with pytest.raises(LedgerUnavailable):
        await desk.engine.record(disputed)
    desk.ledger._is_open = True
    await desk.engine.record(e.Resumed(START, "me", "why"))
    assert DeskState.of(Desk.of(event for _, event in desk.ledger.read())) == DeskState.of(desk.engine.desk)


async def test_a_desk_that_was_folded_into_from_elsewhere_is_followed(
    station: Callable[..., Station],
) -> None:
    desk = station()
    await desk.start()
    signal_of = desk_of(wander(50, 1)).venue._signals
    signal = next(iter(signal_of.values()))[0].signal
    desk.engine.desk.fold(e.SignalRaised(START, signal))
    await desk.engine.record(e.PlanDeclined(START, signal.signal_id, signal.symbol, "no", "no"))
    assert desk.engine._ahead is not None
    assert DeskState.of(desk.engine._ahead) == DeskState.of(desk.engine.desk)


async def test_the_desk_ahead_is_the_desk() -> None:
    desk = await run(desk_of(wander(600, 2)))
    assert desk.engine._ahead is not None
    ahead, here = DeskState.of(desk.engine._ahead), DeskState.of(desk.engine.desk)
    assert ahead == here == DeskState.of(Desk.of(event for _, event in desk.ledger.read()))
