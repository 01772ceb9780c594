"""Running an engine through time: the one loop that paper, demo, replay and live share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.reports import Happening
from mexclab.trading.engine import Engine
from mexclab.trading.questions import Question

STUCK_NS = 100 * MILLISECOND
Watcher: TypeAlias = Callable[[Iterable[Happening]], None]
Asker: TypeAlias = Callable[[Sequence[Question]], Awaitable[None]]


async def run(
    engine: Engine, until_ns: int | None = None, watch: Watcher | None = None, *, stepped: bool = True
) -> None:
    """Let the engine live until the venue's clock reaches ``until_ns`` (None: without end), or until it was
    told to stop and has come to rest.

    Args:
        engine: one that has been started (``mexclab.trading.recovery.start``).
        watch: told of all news after the engine has acted on it; for charts.
        stepped: time stands still while the venue is asked, so each answer is waited for; else questions are
            asked beside the loop, which goes on serving shots and news.
    """
    if stepped:
        await _live(engine, until_ns, watch, _in_turn)
        return
    try:
        async with asyncio.TaskGroup() as group:
            asking: set[asyncio.Task[None]] = set()

            async def beside(questions: Sequence[Question]) -> None:
                for question in questions:
                    task = group.create_task(_asked(engine, question))
                    asking.add(task)
                    task.add_done_callback(asking.discard)

            await _live(engine, until_ns, watch, beside)
            for task in asking:
                task.cancel()
    except BaseExceptionGroup as several:  # what ends the desk is told as itself
        raise several.exceptions[0] from several.exceptions[0].__cause__


async def _live(engine: Engine, until_ns: int | None, watch: Watcher | None, ask: Asker) -> None:
    clock, feed = engine.parts.clock, engine.parts.feed
    while not engine.is_at_rest and (until_ns is None or clock.now_ns() < until_ns):
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
            await ask(engine.questions.due(clock.now_ns()))
            if engine.due_ns() <= due:
                # nothing may be due twice at one moment: a stuck timer must not stop the clock or a shot
                late = max(due, clock.now_ns()) + STUCK_NS
                await clock.sleep_until(min([late, *engine.shots.values()]))


async def _in_turn(questions: Sequence[Question]) -> None:
    for question in questions:
        await question.ask()


async def _asked(engine: Engine, question: Question) -> None:
    await question.ask()
    engine.parts.feed.stir()  # what it brought may have made something due
