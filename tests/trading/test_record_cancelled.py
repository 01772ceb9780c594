"""Whoever is cancelled, at whatever await: the desk holds what the ledger holds; the next record follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import count

import pytest

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.reports import BookSeen, Traded
from mexclab.domain.snipe import SnipeState
from mexclab.store.memory import MemoryLedger
from mexclab.trading import handling, recovery, safety
from tests.trading.truth_scene import ABC, Desks, Truth

Act = Callable[[Desks], Awaitable[object]]


class Disk(MemoryLedger):
    """Takes turns of the loop before and after it writes, once it is ``slow``."""

    slow = False

    async def append(self, *events: e.Event) -> int:
        if self.slow:
            await asyncio.sleep(0)
        last = await super().append(*events)
        if self.slow:
            await asyncio.sleep(0)
        return last


class Asked(Truth):
    """A venue whose price takes a turn of the loop."""

    async def book(self, symbol: Symbol) -> Book | None:
        await asyncio.sleep(0)
        return await super().book(symbol)


async def bought() -> Desks:
    """A desk whose entry has been taken and has traded, and that has not heard of it."""
    scene = Desks(venue=Asked)
    scene.ledger = Disk()
    scene.engine = scene._process()
    await scene.start()
    client_id = await scene.bought()
    scene.venue.take(client_id)
    scene.venue.trade(client_id, scene.desk.orders[client_id].quantity, Decimal("0.9"))
    return scene


async def held() -> Desks:
    scene = await bought()
    await hear(scene)
    return scene


async def given_up() -> Desks:
    """It holds what a closed snipe has left behind, and knows no price of it."""
    scene = await bought()
    (row,) = scene.venue.rows.values()
    now = scene.clock.now_ns()
    await scene.engine.record(e.OrderFilled(now, row.fills[0]))
    for to in (SnipeState.ENTERED, SnipeState.CLOSED):
        await scene.engine.record(e.SnipeMoved(now, "s-1", to, "drill", "given up in a drill"))
    return scene


async def hear(scene: Desks) -> None:
    """It hears of its entry, and of every take-profit that rests."""
    for client_id, row in list(scene.venue.rows.items()):
        traded = [Traded(fill, fill.at_ns) for fill in row.fills]
        await scene.engine.on([*scene.venue.accepted(client_id), *traded])


async def fall(scene: Desks) -> None:
    """Its stop is reached, and what rests is taken back."""
    levels = (Level(Decimal("0.4"), Decimal(99)),), (Level(Decimal("0.5"), Decimal(99)),)
    await scene.engine.on([BookSeen(Book(ABC, *levels, scene.clock.now_ns()))])
    for client_id in list(scene.venue.cancels):
        await scene.engine.on(scene.venue.end(client_id))


async def halt(scene: Desks) -> None:
    await safety.halt(scene.engine, "ada", "enough")


async def flatten(scene: Desks) -> None:
    await safety.flatten(scene.engine, "ada", "enough")


async def sweep(scene: Desks) -> None:
    await handling.sweep(scene.engine, "ada", "tidy up")


async def compare(scene: Desks) -> None:
    await recovery.reconcile(scene.engine)


def agrees(scene: Desks) -> None:
    """The desk is what the ledger adds up to, as of the entry that it believes to be the last."""
    assert scene.engine.seq == scene.ledger.last()
    assert DeskState.of(Desk.of(event for _, event in scene.ledger.read())) == DeskState.of(scene.desk)


@pytest.mark.parametrize(
    ("begin", "act"),
    [(bought, hear), (held, fall), (bought, halt), (held, flatten), (given_up, sweep), (bought, compare)],
    ids=["an entry is heard of", "a stop", "a halt", "a flatten", "a sweep", "a comparison"],
)
async def test_cancelled_at_any_await_the_desk_is_what_the_ledger_adds_up_to(
    begin: Callable[[], Awaitable[Desks]], act: Act
) -> None:
    for turns in count():
        scene = await begin()
        scene.ledger.slow = True
        doing = asyncio.ensure_future(act(scene))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_done = doing.done()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        agrees(scene)
        await scene.engine.record(e.Halted(scene.clock.now_ns(), "ada", "after that"))
        agrees(scene)
        assert not scene.engine.gate.locked()
        if was_done:
            break
    assert turns > 2


async def test_what_is_written_beside_a_record_under_way_is_folded_behind_it() -> None:
    scene = await held()
    scene.ledger.slow = True
    told: list[int] = []
    scene.engine.parts.bus.subscribe(lambda seq, _: told.append(seq))
    now, first = scene.clock.now_ns(), scene.ledger.last()
    halted = asyncio.ensure_future(scene.engine.record(e.Halted(now, "ada", "enough")))
    stopped = asyncio.ensure_future(scene.engine.record(e.DaemonStopped(now, "asked to")))
    for _ in range(2):  # by now the first is written, and nobody knows it yet
        await asyncio.sleep(0)
    halted.cancel()
    await asyncio.gather(halted, stopped, return_exceptions=True)
    agrees(scene)
    assert told == list(range(first + 1, scene.ledger.last() + 1))
