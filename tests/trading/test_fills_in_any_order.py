"""Fills that come shuffled, doubled, late, by another road or not at all end in the same desk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderState, OrderType
from mexclab.domain.reports import (
    Happening,
    Report,
    Traded,
)
from mexclab.domain.snipe import SnipeState
from mexclab.trading import truth
from tests.trading.truth_scene import ABC, Desks

WAYS = st.lists(
    st.tuples(
        st.sampled_from(["stream", "twice", "poll", "ask", "told late", "compare", "restart", "wait"]),
        st.integers(0, 30),
    ),
    max_size=10,
)


@dataclass(frozen=True)
class Story:
    """What truly happens: the pieces of the entry and of each take-profit, and the fee."""

    entry: tuple[int, ...]
    whole: bool
    rungs: tuple[int, ...]
    sold: int  # so many rungs are sold
    fee_asset: str


STORIES = st.builds(
    Story,
    entry=st.lists(st.integers(1, 150), min_size=1, max_size=5).map(tuple),
    whole=st.booleans(),
    rungs=st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple),
    sold=st.integers(0, 4),
    fee_asset=st.sampled_from(["USDT", "ABC", "MX"]),
)


async def lived(
    story: Story, entry: Sequence[tuple[str, int]] | None, rungs: Sequence[tuple[str, int]], mix: int
) -> Desks:
    """The story, heard by these ways; without any, every report comes once, in order, at once."""
    scene = Desks()
    scene.venue.fee, scene.venue.fee_asset = Decimal("0.0005"), story.fee_asset
    await scene.start()
    client_id = await scene.bought()
    told = scene.venue.take(client_id)
    told += scene.venue.cut(client_id, story.entry, whole=story.whole, prices=3)
    told += scene.venue.end(client_id)
    await spread(scene, told, entry, mix)
    ladder = [row.order.client_id for row in scene.venue.rows.values() if row.order.side is Side.SELL]
    told = [report for name in ladder for report in scene.venue.accepted(name)]
    for name in ladder[: story.sold]:
        told += scene.venue.cut(name, story.rungs, whole=True)
    await spread(scene, told, None if entry is None else rungs, mix)
    await scene.agrees()
    return scene


async def spread(scene: Desks, told: list[Report], ways: Sequence[tuple[str, int]] | None, mix: int) -> None:
    if told and ways is None:
        await scene.engine.on(told)
    elif told:
        ids = list(scene.venue.rows)
        Random(mix).shuffle(told)
        await scene.hear(told, ways or [], ids)
    await scene.run(75 * SECOND)  # every question about an open order comes round in that time


@settings(max_examples=25)
@given(story=STORIES, entry=WAYS, rungs=WAYS, mix=st.integers(0, 2**16))
def test_fills_in_any_order_by_any_road_end_in_the_same_desk_and_the_same_balances(
    story: Story, entry: list[tuple[str, int]], rungs: list[tuple[str, int]], mix: int
) -> None:
    straight = asyncio.run(lived(story, None, [], 0))
    mixed = asyncio.run(lived(story, entry, rungs, mix))
    assert mixed.digest() == straight.digest()
    assert asyncio.run(mixed.venue.balances()) == asyncio.run(straight.venue.balances())


async def test_a_trade_that_the_stream_and_the_poll_bring_at_once_counts_once() -> None:
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    told = [*scene.venue.take(client_id), *scene.venue.cut(client_id, [100, 300], whole=True)]
    answer = await truth.ask(scene.engine, scene.desk.orders[client_id])
    assert answer is not None
    both = truth.told(scene.engine, client_id, answer)
    await asyncio.gather(scene.engine.on(told), scene.engine.on(told), truth.settle(scene.engine, client_id))
    assert scene.desk.held(ABC) == 40
    assert [event for event in both if isinstance(event, e.OrderFilled)] != []
    async with scene.engine.gate:
        await scene.engine.book(both)  # an answer that was weighed before the stream told the same
    assert (scene.desk.held(ABC), scene.desk.trade_count) == (40, 2)
    assert scene.desk.orders[client_id].state is OrderState.FILLED


async def test_fills_that_nothing_told_are_found_by_asking_and_sell_what_was_bought() -> None:
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    scene.venue.take(client_id)
    scene.venue.cut(client_id, [100, 300], whole=True)
    await scene.run(10 * SECOND)
    assert scene.desk.held(ABC) == 40
    assert scene.desk.snipes["s-1"].state is SnipeState.ENTERED
    sales = [row.order for row in scene.venue.rows.values() if row.order.side is Side.SELL]
    assert sum(order.quantity for order in sales) == 40
    assert {order.type for order in sales} == {OrderType.LIMIT}


async def test_a_fill_that_comes_again_after_everything_was_sold_changes_nothing() -> None:
    scene = await lived(Story((400,), True, (60,), 4, "USDT"), None, [], 0)
    assert scene.desk.snipes["s-1"].state is SnipeState.CLOSED
    before = scene.digest()
    again: list[Happening] = [Traded(fill, scene.clock.now_ns()) for fill in scene.venue.all_fills()]
    last = scene.ledger.last()
    await scene.engine.on(again)
    await scene.restart()
    await scene.engine.on(again)
    assert scene.digest() == before
    told = [event for _, event in scene.ledger.read(last)]
    assert not any(isinstance(event, e.OrderFilled | e.SnipeMoved) for event in told)


async def test_the_digest_tells_one_lost_fill_from_none() -> None:
    """The comparison above must be able to fail."""
    whole = await lived(Story((400,), True, (60,), 0, "USDT"), None, [], 0)
    part = await lived(Story((399,), False, (60,), 0, "USDT"), None, [], 0)
    assert whole.digest() != part.digest()
