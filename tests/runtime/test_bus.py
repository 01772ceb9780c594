from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from mexclab.domain.events import Event, Halted
from mexclab.runtime.bus import PATIENCE, Bus

NEWS = Halted(at_ns=1, by="Ada", why="")


class Spectator:
    """Remembers what it was told; fails while ``is_broken``."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.told: list[int] = []
        self.is_broken = is_broken

    def __call__(self, seq: int, event: Event) -> None:
        self.told.append(seq)
        if self.is_broken:
            raise RuntimeError("the dashboard is gone")


@pytest.fixture
def bus() -> Bus:
    return Bus()


def test_every_subscriber_is_told_of_each_event_in_order(bus: Bus) -> None:
    first, second = Spectator(), Spectator()
    bus.subscribe(first)
    bus.publish(1, NEWS)
    bus.subscribe(second)
    bus.publish(2, NEWS)
    assert (first.told, second.told) == ([1, 2], [2])


def test_who_leaves_is_told_nothing_more_and_may_leave_twice(bus: Bus) -> None:
    spectator = Spectator()
    leave = bus.subscribe(spectator)
    bus.publish(1, NEWS)
    leave()
    leave()
    bus.publish(2, NEWS)
    assert spectator.told == [1]


def test_one_who_subscribed_twice_is_told_twice_and_leaves_once_at_a_time(bus: Bus) -> None:
    spectator = Spectator()
    leave = bus.subscribe(spectator)
    bus.subscribe(spectator)
    leave()
    bus.publish(1, NEWS)
    assert spectator.told == [1]


def test_a_subscriber_that_raises_is_logged_and_harms_nobody(bus: Bus) -> None:
    broken, sound = Spectator(is_broken=True), Spectator()
    bus.subscribe(broken)
    bus.subscribe(sound)
    with capture_logs() as logs:
        bus.publish(7, NEWS)
    assert sound.told == [7]
    assert [(log["log_level"], log["seq"], log["kind"]) for log in logs] == [("error", 7, "Halted")]
    assert "Spectator" in logs[0]["subscriber"]


def test_a_subscriber_that_recovers_is_kept(bus: Bus) -> None:
    flaky = Spectator()
    bus.subscribe(flaky)
    with capture_logs():
        for seq in range(3 * PATIENCE):
            flaky.is_broken = seq % PATIENCE != 0
            bus.publish(seq, NEWS)
    assert len(flaky.told) == 3 * PATIENCE


def test_a_subscriber_that_always_raises_is_let_go(bus: Bus) -> None:
    broken, sound = Spectator(is_broken=True), Spectator()
    bus.subscribe(broken)
    bus.subscribe(sound)
    with capture_logs() as logs:
        for seq in range(PATIENCE + 5):
            bus.publish(seq, NEWS)
    assert len(broken.told) == PATIENCE
    assert len(sound.told) == PATIENCE + 5
    assert "let go" in logs[-1]["event"]


def test_a_subscriber_may_leave_or_join_while_news_is_told(bus: Bus) -> None:
    late = Spectator()

    def once(seq: int, event: Event) -> None:
        leave()
        bus.subscribe(late)

    leave = bus.subscribe(once)
    bus.publish(1, NEWS)
    bus.publish(2, NEWS)
    assert late.told == [2]


async def test_a_listener_takes_its_news_when_it_has_time(bus: Bus) -> None:
    async with bus.listen() as news:
        for seq in range(3):
            bus.publish(seq, NEWS)
        assert len(news) == 3
        assert [await anext(news) for _ in range(3)] == [(0, NEWS), (1, NEWS), (2, NEWS)]
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.publish(3, NEWS)
        assert await waiting == (3, NEWS)
        assert news.dropped == 0


async def test_a_slow_listener_loses_the_oldest_and_knows_how_many(bus: Bus) -> None:
    async with bus.listen(maxsize=3) as slow, bus.listen() as quick:
        for seq in range(10):
            bus.publish(seq, NEWS)
        assert [(await anext(slow))[0] for _ in range(3)] == [7, 8, 9]
        assert (slow.dropped, quick.dropped, len(quick)) == (7, 0, 10)


async def test_listening_ends_with_what_is_left_and_is_told_nothing_more(bus: Bus) -> None:
    async with bus.listen() as news:
        bus.publish(1, NEWS)
    bus.publish(2, NEWS)
    assert [seq async for seq, _ in news] == [1]


async def test_who_waits_for_news_is_let_go_when_listening_ends(bus: Bus) -> None:
    async with AsyncExitStack() as stack:
        news = await stack.enter_async_context(bus.listen())

        async def everything() -> list[int]:
            return [seq async for seq, _ in news]

        waiting = asyncio.ensure_future(everything())
        await asyncio.sleep(0)
    assert await asyncio.wait_for(waiting, 1) == []


@pytest.mark.parametrize("maxsize", [0, -1])
async def test_a_listener_holds_at_least_one(bus: Bus, maxsize: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        async with bus.listen(maxsize):
            pass
