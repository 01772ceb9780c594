"""The wire against the simulator's, which somebody else wrote: no difference on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.market import Symbol
from mexclab.domain.reports import DriftSeen, FeedNews
from mexclab.errors import VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.listings import Listings, ListingTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.wire import ANSWERS
from mexclab.venues.mexc.wire_account import fill_of, venue_order_of
from mexclab.venues.mexc.wire_market import band_of, book_of, market_of
from mexclab.venues.simulator.fault_plan import FaultPlan, Rule
from mexclab.venues.simulator.scenario import FIRST_DAY
from mexclab.venues.simulator.world import PAPER_ACCOUNT
from tests.venues.served import PATIENT, Served, listings_only, served

BTC = Symbol("BTC")
STEPPED = replace(PATIENT, announcements_2s=100_000)  # a day of questions passes in seconds
FAST = LimitTerms(
    web_per_s=1000, announcements_per_2s=1000, ip_weight_per_10s=100_000, uid_weight_per_10s=100_000
)
MISSING = {  # what a desk without such an account, group or order is refused
    e.CALENDAR, e.SYMBOLS_V2, e.WEB_SYMBOLS, e.ACTIVITIES, e.NEW_ORDER, e.BATCH_ORDERS, e.CANCEL_ORDER,
    e.QUERY_ORDER, e.LISTEN_KEY_EXTEND, e.LISTEN_KEY_DELETE,
}  # fmt: skip


@dataclass
class Wire:
    venue: Served
    rest: Rest
    listings: Listings
    alarms: list[DriftSeen] = field(default_factory=list)
    news: list[FeedNews] = field(default_factory=list)


@asynccontextmanager
async def wired(venue: Served) -> AsyncIterator[Wire]:
    alarms: list[DriftSeen] = []
    news: list[FeedNews] = []
    signer = Signer(PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)
    rest = Rest(venue.server.url, venue.server.now_ns, Limiter(FAST), Drift(alarms.append), signer)
    listings = Listings(rest, venue.server.url, news.append, ListingTerms(still_s=0))
    try:
        yield Wire(venue, rest, listings, alarms, news)
    finally:
        await listings.close()
        await rest.close()


def question(endpoint: Endpoint, now_ms: int) -> list[tuple[str, str]]:
    asked = [("symbol", "BTCUSDT")]
    if endpoint is e.KLINES:
        asked.append(("interval", "1m"))
    if endpoint is e.AGG_TRADES:
        asked += [("startTime", str(now_ms - 3_600_000)), ("endTime", str(now_ms))]
    if endpoint in (e.TEST_ORDER,):
        asked += [("side", "BUY"), ("type", "MARKET"), ("quoteOrderQty", "10")]
    if endpoint is e.SET_MX_DEDUCT:
        asked = [("mxDeductEnable", "true")]
    if endpoint in (e.TICKER_24H, e.EXCHANGE_INFO):
        asked = []
    return asked


async def test_every_answer_of_the_simulator_is_read_without_an_alarm() -> None:
    asked = [each for each in ANSWERS if each not in MISSING and not each.path.startswith("/api/v3/strategy")]
    assert len(asked) > 25
    async with served() as venue, wired(venue) as wire:
        for endpoint in asked:
            await wire.rest.ask(endpoint, question(endpoint, venue.world.now_ns // 1_000_000))
        assert wire.alarms == []


async def test_an_orders_life_is_read_without_an_alarm() -> None:
    async with served() as venue, wired(venue) as wire:
        ask = wire.rest.ask
        info = await ask(e.EXCHANGE_INFO, [("symbol", "BTCUSDT")])
        market = market_of(info.symbols[0])
        assert market == venue.world.row("BTCUSDT").market
        assert band_of(info.symbols[0]) is not None
        book = book_of(await ask(e.DEPTH, [("symbol", "BTCUSDT")]), BTC, venue.world.now_ns)
        common = [("symbol", "BTCUSDT"), ("side", "BUY")]
        low = str(market.limit_price(book.bids[-1].price, "BUY"))
        rests = [*common, ("type", "LIMIT"), ("quantity", "0.01"), ("price", low), ("newClientOrderId", "a")]
        placed = await ask(e.NEW_ORDER, rests)
        known = venue_order_of(await ask(e.QUERY_ORDER, [("symbol", "BTCUSDT"), ("origClientOrderId", "a")]))
        assert (known.client_id, known.venue_id, known.symbol) == ("a", placed.order_id, BTC)
        assert [row.order_id for row in await ask(e.OPEN_ORDERS, [("symbol", "BTCUSDT")])] == [
            placed.order_id
        ]
        with pytest.raises(VenueRejected) as refused:
            await ask(e.NEW_ORDER, [*common, ("type", "LIMIT"), ("quantity", "0.000001"), ("price", low)])
        assert refused.value.data["code"] == 30002
        gone = await ask(e.CANCEL_ORDER, [("symbol", "BTCUSDT"), ("orderId", placed.order_id)])
        assert gone.status == "CANCELED"
        bought = await ask(e.NEW_ORDER, [*common, ("type", "MARKET"), ("quoteOrderQty", "100")])
        trades = await ask(e.MY_TRADES, [("symbol", "BTCUSDT")])
        fills = [fill_of(row, client_id="b") for row in trades]
        assert {row.order_id for row in trades} == {bought.order_id}
        assert 90 < sum(fill.value for fill in fills) <= 100
        assert await ask(e.CANCEL_OPEN_ORDERS, [("symbol", "BTCUSDT")]) == []
        key = (await ask(e.LISTEN_KEY_NEW)).listen_key
        assert (await ask(e.LISTEN_KEY_EXTEND, [("listenKey", key)])).listen_key == key
        assert (await ask(e.LISTEN_KEYS)).listen_key == [key]
        await ask(e.LISTEN_KEY_DELETE, [("listenKey", key)])
        assert wire.alarms == []


async def test_the_listings_of_half_a_day_are_the_worlds_own() -> None:
    async with served(terms=STEPPED, world=listings_only(FIRST_DAY * DAY)) as venue, wired(venue) as wire:
        seen = set()
        for half_hour in range(24):
            venue.world.advance(FIRST_DAY * DAY + half_hour * HOUR // 2 + MINUTE)
            entries, states = await wire.listings.entries(), await wire.listings.states()
            assert set(venue.world.entries()) <= set(entries)
            assert {entry.ticker for entry in entries} == {entry.ticker for entry in venue.world.entries()}
            assert list(states) == list(venue.world.states())
            seen |= {entry.ticker for entry in entries}
        assert len(seen) >= 6
        assert wire.news == []
        assert wire.alarms == []


async def test_without_the_web_the_api_tells_of_every_opening_in_its_table() -> None:
    plan = FaultPlan(rules=(Rule(fault="html", path="/api/operation/*", status=403),
                            Rule(fault="html", path="/api/platform/*", status=403)))  # fmt: skip
    world = listings_only(FIRST_DAY * DAY)
    async with served(plan, STEPPED, world) as venue, wired(venue) as wire:
        told = set()
        for half_hour in range(24):
            world.advance(FIRST_DAY * DAY + half_hour * HOUR // 2 + MINUTE)
            entries = {entry.ticker: entry.open_ns for entry in await wire.listings.entries()}
            coming = {
                row.symbol.base: row.first_open_ns for row in world.rows() if row.first_open_ns > world.now_ns
            }
            assert entries == coming
            assert await wire.listings.states() == []
            told |= set(entries)
        assert len(told) >= 2
        assert [news.degraded for news in wire.news] == [True, True]


@pytest.mark.parametrize("fault", ["truncated_json", "wrong_types", "drop", "lose_reply"])
async def test_a_venue_that_answers_nonsense_raises_only_our_errors(fault: str) -> None:
    plan = FaultPlan(seed=3, rules=(Rule(fault=fault, path="/api/*"),))
    async with served(plan) as venue, wired(venue) as wire:
        for endpoint in (e.EXCHANGE_INFO, e.DEPTH, e.KLINES, e.ACCOUNT, e.DEFAULT_SYMBOLS):
            try:
                await wire.rest.ask(endpoint, question(endpoint, venue.world.now_ns // 1_000_000))
            except VenueError:
                continue
            assert wire.alarms
        try:
            await wire.listings.entries()
        except VenueUnavailable:
            assert all(news.degraded for news in wire.news)
        else:
            assert wire.alarms
