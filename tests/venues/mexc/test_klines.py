"""The stream of growing bars: what is read, what is refused, and how it is kept up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE
from mexclab.domain.market import Symbol
from mexclab.venues.mexc.klines import INTERVALS, KlineStream, KlineTerms
from mexclab.venues.proto import PushData
from mexclab.venues.raw_bars import RawBar
from tests.venues.mexc.stream_scene import BTC, LIVELY, MX, QUICK, STEPPED, small_world
from tests.venues.served import Served, planned, served

NONE = Symbol("NOSUCH")


@asynccontextmanager
async def running(stream: KlineStream) -> AsyncIterator[None]:
    task = asyncio.create_task(stream.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110  many things can be true
            await asyncio.sleep(0.005)


def truth(venue: Served, symbol: Symbol, open_ms: int) -> tuple[float, ...]:
    (bar,) = venue.world.history.candles(symbol, "1m", open_ms * MILLISECOND, None, 1)
    return tuple(map(float, (bar.open, bar.high, bar.low, bar.close, bar.volume)))


async def test_the_growing_bar_is_the_venues_own_and_the_next_one_follows_it() -> None:
    async with served(terms=STEPPED, world=small_world()) as venue:
        told: list[tuple[Symbol, RawBar]] = []
        stream = KlineStream(
            KlineTerms(venue.server.ws_url, line=QUICK), [BTC, MX], lambda s, bar: told.append((s, bar))
        )
        async with running(stream):
            await until(lambda: stream.open_connections == 1)
            for _ in range(13):
                await asyncio.sleep(0.01)
                await venue.control("advance", to_ns=venue.world.now_ns + MINUTE // 6)
            await until(lambda: len({bar.open_ms for symbol, bar in told if symbol == BTC}) >= 2)
            last = [bar for symbol, bar in told if symbol == BTC][-1]
            await until(
                lambda: [b for s, b in told if s == BTC][-1].open_ms == venue.world.now_ns // MINUTE * 60_000
            )
            last = [bar for symbol, bar in told if symbol == BTC][-1]
            assert tuple(map(float, last[1:])) == truth(venue, BTC, last.open_ms)
        assert stream.malformed == 0
        assert {symbol for symbol, _ in told} == {BTC, MX}


async def test_pairs_are_spread_over_connections_and_no_more_than_allowed() -> None:
    line = replace(QUICK, most_channels=1)
    async with served(terms=LIVELY, world=small_world()) as venue:
        terms = KlineTerms(venue.server.ws_url, most_connections=2, line=line)
        stream = KlineStream(terms, [BTC, MX, NONE], lambda symbol, bar: None)
        assert stream.listened == (BTC, MX)
        async with running(stream):
            await until(lambda: stream.open_connections == stream.connections == 2)
            await until(lambda: stream.frames >= 2)


async def test_a_channel_that_the_venue_does_not_give_is_known() -> None:
    async with served(terms=LIVELY, world=small_world()) as venue:
        stream = KlineStream(
            KlineTerms(venue.server.ws_url, line=QUICK), [NONE, BTC], lambda symbol, bar: None
        )
        async with running(stream):
            await until(lambda: stream.refused and stream.frames)
        assert stream.refused == {"spot@public.kline.v3.api.pb@NOSUCHUSDT@Min1"}


async def test_a_connection_that_is_lost_is_made_again() -> None:
    plan = planned({"fault": "cut", "channel": "*kline*", "nth": 1})
    async with served(plan, LIVELY, small_world()) as venue:
        heard: list[RawBar] = []
        stream = KlineStream(
            KlineTerms(venue.server.ws_url, line=QUICK), [BTC], lambda symbol, bar: heard.append(bar)
        )
        async with running(stream):
            await until(lambda: len(heard) >= 1)


def frame(**changes: object) -> bytes:
    body = {
        "interval": "Min1", "windowStart": 1_780_272_000, "windowEnd": 1_780_272_060,
        "openingPrice": "1", "closingPrice": "2", "highestPrice": "3", "lowestPrice": "0.5", "volume": "7",
    }  # fmt: skip
    channel = f"spot@public.kline.v3.api.pb@{BTC}@Min1"
    return PushData(channel=channel, publicSpotKline=body | changes).SerializeToString()


@pytest.mark.parametrize(
    ("payload", "is_read"),
    [
        (frame(), True),
        (frame(interval="Min5"), False),
        (frame(windowStart=0), False),
        (frame(windowStart=1_780_272_000_000), False),
        (frame(volume=""), False),
        (frame(closingPrice="NaN"), False),
        (frame()[:-5], False),
    ],
    ids=["whole", "other interval", "no window", "window in ms", "no volume", "not a number", "cut"],
)
def test_a_push_that_is_no_bar_is_counted_and_told_to_nobody(payload: bytes, is_read: bool) -> None:
    told: list[RawBar] = []
    stream = KlineStream(KlineTerms("ws://127.0.0.1:1/ws"), [BTC], lambda symbol, bar: told.append(bar))
    stream._heard(None, payload)  # type: ignore[arg-type]
    assert told == ([RawBar(1_780_272_000_000, "1", "3", "0.5", "2", "7")] if is_read else [])
    assert (stream.frames, stream.malformed) == (1, int(not is_read))


def test_every_interval_of_the_lake_has_a_channel() -> None:
    assert list(INTERVALS) == ["1m", "5m", "15m", "30m", "1h", "4h", "8h", "1d"]
