"""A simulated venue to fetch bars from, for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.fetching.report import FetchWishes
from mexclab.venues.fetch import BarSource, FetchTerms, Pair, lake_name
from mexclab.venues.raw_bars import RawBar
from mexclab.venues.simulator.fault_plan import FaultPlan
from mexclab.venues.simulator.server import SimulatorServer
from tests.venues.ccxt_rig import BTC, MX
from tests.venues.exchange_rig import serving

MINUTE_MS = 60_000
KLINES = "*/klines"


@dataclass
class Here:
    """A venue and a source of its bars."""

    server: SimulatorServer
    source: BarSource
    exchange: str

    def truth(self, symbol: Symbol, start_ms: int, end_ms: int) -> list[tuple[Any, ...]]:
        """Open time in ms and the five numbers, as the venue itself remembers them."""
        span = (start_ms * MILLISECOND, end_ms * MILLISECOND)
        bars = self.server.world.history.candles(symbol, "1m", *span, 10**6)
        return [
            (c.open_ns // MILLISECOND, *map(float, (c.open, c.high, c.low, c.close, c.volume))) for c in bars
        ]

    def past_ms(self, minutes: int) -> int:
        """The open time so many bars before the first one that is not closed."""
        return self.source.closed_ms(MINUTE_MS) - minutes * MINUTE_MS

    def wishes(self, minutes: int, *symbols: str, **more: Any) -> FetchWishes:
        """The last so many closed bars."""
        since = pl.Series([self.past_ms(minutes)]).cast(pl.Datetime("ms", "UTC"))[0].isoformat()
        return FetchWishes(symbols, self.exchange, since=since, **more)


def rows_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Bars in the shape of ``Here.truth``."""
    return frame.select(
        pl.col("ts").dt.epoch("ms"), "open", "high", "low", "close", "volume"
    ).rows()  # fmt: skip


def url_of(server: SimulatorServer, exchange: str) -> str:
    return server.url + ("/binanceus" if exchange == "binanceus" else "")


@asynccontextmanager
async def fetching(
    exchange: str = "mexc", plan: FaultPlan | None = None, **terms: Any
) -> AsyncIterator[Here]:
    """A venue whose clock stands still until it is moved, and a source that knows its pairs."""
    quick = {"gap_s": 0.0, "requests_per_10s": 10**6, "first_pause_s": 0.01, "longest_pause_s": 0.05}
    async with serving(plan=plan) as server:
        source = BarSource(
            FetchTerms(exchange, url=url_of(server, exchange), **(quick | terms)), server.now_ns
        )
        try:
            await source.open()
            yield Here(server, source, exchange)
        finally:
            await source.close()


@contextmanager
def venue_beside() -> Iterator[SimulatorServer]:
    """The same venue in a thread of its own, for commands that run a loop themselves."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    venue = serving()

    def wait(task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, loop).result(30)

    try:
        server = wait(venue.__aenter__())
        try:
            yield server
        finally:
            wait(venue.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@dataclass
class Shelf:
    """A source by hand: bars of one pair, in a venue that gives ``give`` at once from a window or from any
    later time; what ``BarSource`` promises and nothing more."""

    bars: list[RawBar]
    page_bars: int = 10
    give: int = 10
    windows: bool = True
    terms: FetchTerms = field(default_factory=lambda: FetchTerms(settle_s=0.0))
    asked: list[int] = field(default_factory=list)
    now_ms: int = 0
    requests: int = 0
    clocks: int = 0

    @property
    def one(self) -> Pair:
        return Pair(lake_name("mexc", BTC), "BTC/USDT", BTC)

    def now_ns(self) -> int:
        return self.now_ms * MILLISECOND

    def closed_ms(self, interval_ms: int) -> int:
        return self.now_ms // interval_ms * interval_ms

    async def set_clock(self) -> None:
        self.clocks += 1

    def check(self, interval: str) -> None:
        assert interval == "1m"

    def pair(self, text: str) -> Pair:
        return self.one

    async def page(self, pair: Pair, interval: str, start_ms: int, interval_ms: int) -> tuple[RawBar, ...]:
        self.asked.append(start_ms)
        self.requests += 1
        await asyncio.sleep(0)
        end_ms = start_ms + self.page_bars * interval_ms if self.windows else 2**62
        found = [bar for bar in self.bars if start_ms <= bar.open_ms < min(end_ms, self.now_ms)]
        return tuple(found[: self.give])


def plain_bar(open_ms: int, close: float = 1.5) -> RawBar:
    return RawBar(open_ms, "1.5", str(max(close, 1.5) + 1), "0.5", str(close), "10")


__all__ = ["BTC", "MX", "Here", "Shelf", "fetching", "plain_bar", "rows_of", "url_of", "venue_beside"]
