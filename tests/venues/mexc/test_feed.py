"""The feed of the venue: news as it comes, moments when they come, and neither starves the other."""

from __future__ import annotations

import asyncio

import pytest

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.reports import FeedNews
from mexclab.runtime.clock import SystemClock
from mexclab.venues.mexc.feed import News


def _news(what: str) -> FeedNews:
    return FeedNews("stream", what, 0, degraded=False)


async def test_news_wakes_the_one_who_waits_long_before_the_moment() -> None:
    clock = SystemClock()
    news = News(clock)
    asyncio.get_running_loop().call_later(0.02, news.tell, _news("first"))
    before = clock.now_ns()
    assert [n.what for n in await news.until(before + 30 * SECOND)] == ["first"]
    assert clock.now_ns() - before < 10 * SECOND


async def test_without_news_the_moment_itself_returns_nothing_and_is_never_early() -> None:
    clock = SystemClock()
    at = clock.now_ns() + 5 * MILLISECOND
    assert await News(clock).until(at) == ()
    assert clock.now_ns() >= at


async def test_a_moment_that_is_near_comes_before_news_that_waits() -> None:
    clock = SystemClock()
    news = News(clock)
    news.tell(_news("late"))
    assert await news.until(clock.now_ns() + MILLISECOND) == ()


async def test_news_that_waited_for_a_moment_comes_next_even_when_more_is_due() -> None:
    clock = SystemClock()
    news = News(clock)
    news.tell(_news("waited"))
    assert await news.until(clock.now_ns() - SECOND) == ()
    assert [n.what for n in await news.until(clock.now_ns() - SECOND)] == ["waited"]


async def test_news_keeps_its_order_and_is_told_once() -> None:
    news = News(SystemClock())
    for what in ("a", "b", "c"):
        news.tell(_news(what))
    assert [n.what for n in news.take()] == ["a", "b", "c"]
    assert news.take() == []


async def test_a_clock_that_is_corrected_while_we_wait_moves_the_moment() -> None:
    clock = SystemClock()
    waiting = asyncio.create_task(News(clock).until(clock.now_ns() + 3600 * SECOND))
    await asyncio.sleep(0)
    clock.shift_ns += 3600 * SECOND
    assert await asyncio.wait_for(waiting, 10) == ()


async def test_a_worker_that_died_is_told_to_whoever_waits_and_ever_after() -> None:
    clock = SystemClock()
    news = News(clock)
    asyncio.get_running_loop().call_later(0.01, news.fail, RuntimeError("the stream is gone"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="gone"):
            await asyncio.wait_for(news.until(clock.now_ns() + 3600 * SECOND), 10)
