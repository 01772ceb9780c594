"""``mexclab fetch follow``: what is missing first, then every bar as it closes, until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mexclab.config import Settings
from mexclab.config.venue import STREAM_URL, is_loopback
from mexclab.domain.clock import SECOND
from mexclab.fetching.bars import fetch, terms_of
from mexclab.fetching.follow import Follower, FollowTerms, Round, starts_of
from mexclab.fetching.origin import settle
from mexclab.fetching.report import FetchReport, FetchWishes
from mexclab.runtime.progress import progress_bar
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import interval_ms
from mexclab.venues.fetch import HOME, BarSource, FetchTerms, Pair
from mexclab.venues.mexc.klines import INTERVALS, KlineStream, KlineTerms

ATTEMPTS = 2  # live bars are asked for again soon anyway
LOOK_S = 0.5  # the venue's clock may be corrected while we wait


@dataclass(frozen=True, slots=True)
class FollowWishes:
    """What is followed.

    Attributes:
        fetch: the pairs, and from when on the lake is to have all of them.
        seconds: how long; None: until Ctrl-C.
        stream_url: another address of the stream.
    """

    fetch: FetchWishes
    seconds: float | None = None
    stream_url: str = ""


@dataclass(frozen=True, slots=True)
class Listening:
    """Whom a follower tells: the download before it, what is listened to, and each round."""

    fetched: Callable[[FetchReport], None]
    begins: Callable[[int, int], None]  # pairs in all, pairs on the stream
    round: Callable[[Round], None]


def follow(settings: Settings, wishes: FollowWishes, told: Listening) -> None:
    """Fetch what is missing, then follow.

    Raises:
        MexclabError: as `fetch`; and the lake cannot take the bars.
    """
    asyncio.run(_follow(settings, wishes, told))


async def _follow(settings: Settings, wishes: FollowWishes, told: Listening) -> None:
    asked = wishes.fetch
    interval_ms(asked.interval)
    terms = terms_of(settings, asked.exchange, asked.url)
    source = BarSource(terms)
    lake = Lake(settings.data / "lake")
    try:
        await source.open()
        settle(lake, terms.url)
        pairs = [source.pair(text) for text in asked.symbols] or list(source.pairs(asked.quote))
        with progress_bar("bar", asked.exchange) as progress:
            report = await fetch(source, lake, asked, progress)
            told.fetched(report)
        source.terms = replace(terms, attempts=ATTEMPTS)
        live = FollowTerms(asked.interval)
        closed_ms = source.closed_ms(interval_ms(asked.interval))
        starts = starts_of(lake, pairs, live, closed_ms, report.span.end_ms)
        follower = Follower(source, lake, starts, live, lambda at_ns: _sleep_until(source, at_ns))
        stream = _stream(settings, wishes, terms, pairs, follower)
        told.begins(len(starts), 0 if stream is None else len(stream.listened))
        await _both(follower, stream, told.round, wishes.seconds)
    finally:
        await source.close()


async def _both(
    follower: Follower, stream: KlineStream | None, tell: Callable[[Round], None], seconds: float | None
) -> None:
    """The follower beside the stream; the end of the first is the end of both."""
    until_ns = None if seconds is None else follower.source.now_ns() + round(seconds * SECOND)
    listening = None if stream is None else asyncio.create_task(stream.run())
    following = asyncio.create_task(follower.run(tell, until_ns))
    tasks = [task for task in (following, listening) if task is not None]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stream(
    settings: Settings, wishes: FollowWishes, terms: FetchTerms, pairs: Sequence[Pair], follower: Follower
) -> KlineStream | None:
    """MEXC's own stream; other exchanges' bars come from their history alone."""
    if terms.exchange != HOME or wishes.fetch.interval not in INTERVALS:
        return None
    beside = terms.url if terms.url is not None and is_loopback(terms.url) else None
    own = f"ws{beside.removeprefix('http')}/ws" if beside else STREAM_URL
    url = wishes.stream_url or (own if wishes.fetch.url else settings.venue.stream_url or own)
    return KlineStream(KlineTerms(url, wishes.fetch.interval), [p.symbol for p in pairs], follower.hear)


async def _sleep_until(source: BarSource, at_ns: int) -> None:
    while (left_s := (at_ns - source.now_ns()) / SECOND) > 0:  # noqa: ASYNC110  the clock may be set
        await asyncio.sleep(min(left_s, LOOK_S))
