"""Running an engine through time: the one loop that paper, demo, replay and live share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.reports import Happening
from mexclab.trading.engine import Engine

Watcher = Callable[[Iterable[Happening]], None]


async def run(engine: Engine, until_ns: int | None = None, watch: Watcher | None = None) -> None:
    """Let the engine live until the venue's clock reaches ``until_ns`` (None: until cancelled).

    Args:
        engine: one that has been started (``mexclab.trading.recovery.start``).
        watch: told of all news after the engine has acted on it; for charts.
    """
    clock, feed = engine.parts.clock, engine.parts.feed
    while until_ns is None or clock.now_ns() < until_ns:
        due = engine.due_ns()
        if until_ns is not None:
            due = min(due, until_ns)
        news = await feed.until(due)
        if news:
            await engine.on(news)
            if watch is not None:
                watch(news)
        if clock.now_ns() >= due:
            await engine.on_time()
            if engine.due_ns() <= due:
                # nothing may be due twice at one moment: a stuck timer must not stop the clock
                await clock.sleep_until(max(due, clock.now_ns()) + 100 * MILLISECOND)
