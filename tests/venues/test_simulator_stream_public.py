"""The public channels: what they say is what the books, trades and candles are, at every push."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import NewOrder, Phase
from mexclab.venues.simulator.channels import _end_ns, feed_of
from mexclab.venues.simulator.http import plain
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.session import framed
from mexclab.venues.simulator.world import World, WorldTerms
from tests.venues.stream_door import START_NS, small_world, venue

BTC, MX = Symbol("BTC"), Symbol("MX")
FAST = "spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT"
SLOW = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
DEALS = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
TICKER = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
BATCH = "spot@public.bookTicker.batch.v3.api.pb@BTCUSDT"
LIMIT = "spot@public.limit.depth.v3.api.pb@BTCUSDT@{}"
KLINE = "spot@public.kline.v3.api.pb@BTCUSDT@{}"


class Twin:
    """The naive book: a snapshot, and each diff written over it."""

    def __init__(self, book: OrderBook) -> None:
        bids, asks = book.levels(10**6)
        self.version = book.version
        self.bids, self.asks = dict(bids), dict(asks)

    def apply(self, diff: Any) -> None:
        assert int(diff.fromVersion) == self.version + 1, "a gap"
        assert int(diff.toVersion) >= int(diff.fromVersion)
        self.version = int(diff.toVersion)
        for side, levels in ((self.bids, diff.bids), (self.asks, diff.asks)):
            for level in levels:
                side[Decimal(level.price)] = Decimal(level.quantity)
                if not side[Decimal(level.price)]:
                    del side[Decimal(level.price)]

    def equals(self, book: OrderBook) -> bool:
        return (self.version, (self.bids, self.asks)) == (
            book.version, tuple(map(dict, book.levels(10**6))),
        )  # fmt: skip


spans = st.lists(st.floats(0.001, 4.0), min_size=1, max_size=6)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(spans=spans, seed=st.integers(0, 2**16), joins=st.integers(0, 5))
async def test_all_diffs_on_a_snapshot_are_the_book_at_every_push(
    spans: list[float], seed: int, joins: int
) -> None:
    async with venue(small_world(seed)) as stream, stream.client(FAST, SLOW) as client:
        book = stream.world.book(BTC)
        assert book is not None
        twins = {FAST: Twin(book), SLOW: Twin(book)}
        for place, span in enumerate(spans):
            if place == joins:  # whoever comes later reads the same frames
                await client.ask("UNSUBSCRIPTION", [SLOW])
                await client.ask("SUBSCRIPTION", [SLOW])
                twins[SLOW] = Twin(book)
            best = book.best_bid
            assert best is not None
            order = NewOrder("", "ann", Side.BUY, OrderType.LIMIT, Decimal("0.5"), best - place)
            placed = stream.world.place("ann", BTC, order)
            stream.step(span)
            if place % 2 and placed.order is not None:
                stream.world.cancel("ann", placed.order.venue_id)
                stream.push()
            for mark in range(stream.marks - (1 + place % 2) + 1, stream.marks + 1):
                for frame in await client.until_mark(mark):
                    twins[frame.channel].apply(frame.publicAggreDepths)
            assert all(twin.equals(book) for twin in twins.values())


async def test_a_snapshot_between_pushes_ends_where_a_frame_ends() -> None:
    async with venue() as stream, stream.client(SLOW) as client:
        book = stream.world.book(BTC)
        assert book is not None
        stream.world.advance(stream.world.now_ns + SECOND)
        stream.hub.align(BTC)
        snapshot = Twin(book)
        assert int((await client.data()).publicAggreDepths.toVersion) == snapshot.version
        stream.step(1)
        for frame in await client.until_mark(1):
            snapshot.apply(frame.publicAggreDepths)
        assert snapshot.equals(book)


async def test_a_book_that_changes_more_than_it_remembers_between_pushes_leaves_no_gap() -> None:
    async with venue() as stream, stream.client(SLOW) as client:
        book = stream.world.book(BTC)
        assert book is not None
        twin, before = Twin(book), book.version
        stream.step(900)
        assert book.version - before > 1 << 16
        (frame,) = await client.until_mark(1)
        twin.apply(frame.publicAggreDepths)
        assert twin.equals(book)


async def test_a_hole_that_cannot_be_filled_shows_in_the_versions() -> None:
    async with venue() as stream:
        feed = feed_of(SLOW, stream.world)
        book = stream.world.book(BTC)
        assert feed is not None
        assert book is not None
        start = book.version
        for number in range(1 << 16):
            book.requote("nobody", {1: 1 + number % 2}, {}, 0)
        assert feed.message(0) is None
        book.requote("nobody", {2: 5}, {}, 0)
        diff = feed.message(0)
        assert int(diff.publicAggreDepths.fromVersion) > start + (1 << 16)


async def test_every_trade_is_told_once_oldest_first_with_its_own_id() -> None:
    async with venue() as stream, stream.client(DEALS) as client:
        heard: list[Any] = []
        stream.world.listen(lambda owner, news: None)
        began = stream.world.now_ns
        for span in (0.5, 3, 240):
            stream.step(span)
            for frame in await client.until_mark(stream.marks):
                assert frame.publicAggreDeals.eventType == DEALS.removesuffix("@BTCUSDT")
                assert frame.symbol == "BTCUSDT"
                heard += frame.publicAggreDeals.deals
        known = [t for t in reversed(stream.world.history.trades(BTC, 1000)) if t.at_ns > began]
        assert len(known) > 300
        assert [deal.tradeId for deal in heard] == [trade.trade_id for trade in known]
        assert [(d.price, d.quantity, d.tradeType, d.time) for d in heard] == [
            (plain(t.price), plain(t.quantity), 1 if t.side is Side.BUY else 2, t.at_ns // MILLISECOND)
            for t in known
        ]


async def test_ids_are_right_beyond_what_the_history_remembers() -> None:
    async with venue() as stream, stream.client(DEALS) as client:
        stream.step(1800)
        (frame,) = await client.until_mark(1)
        deals = frame.publicAggreDeals.deals
        known = list(reversed(stream.world.history.trades(BTC, 1000)))
        assert len(deals) > len(known) == 1000
        ids = [deal.tradeId for deal in deals]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        assert ids[-1000:] == [trade.trade_id for trade in known]
        numbers = [int(trade_id.split("X")[0]) for trade_id in ids]
        assert numbers == list(range(numbers[0], numbers[0] + 2 * len(numbers), 2))


@pytest.mark.parametrize("depth", [5, 10, 20])
async def test_the_limited_depth_is_the_best_of_the_book(depth: int) -> None:
    async with venue() as stream, stream.client(LIMIT.format(depth)) as client:
        book = stream.world.book(BTC)
        assert book is not None
        for span in (0, 1, 0):
            stream.step(span)
            frames = await client.until_mark(stream.marks)
            if not frames:
                continue
            body = frames[0].publicLimitDepths
            assert len(frames) == 1
            assert body.eventType == "spot@public.limit.depth.v3.api.pb"
            assert int(body.version) == book.version
            told = [
                [(Decimal(x.price), Decimal(x.quantity)) for x in side] for side in (body.bids, body.asks)
            ]
            assert told == [list(side) for side in book.levels(depth)]
        assert stream.marks == 3
        assert frames == []  # nothing changed, nothing said


async def test_the_book_tickers_are_the_touch_and_speak_only_when_it_changes() -> None:
    async with venue() as stream, stream.client(TICKER, BATCH) as client:
        book = stream.world.book(BTC)
        assert book is not None
        stream.step(1)
        bodies = {frame.channel: frame for frame in await client.until_mark(1)}
        assert set(bodies) == {TICKER, BATCH}
        one, (item,) = bodies[TICKER].publicAggreBookTicker, bodies[BATCH].publicBookTickerBatch.items
        ((bid, bid_size),), ((ask, ask_size),) = book.levels(1)
        said = [plain(value) for value in (bid, bid_size, ask, ask_size)]
        assert [one.bidPrice, one.bidQuantity, one.askPrice, one.askQuantity] == said
        assert [item.bidPrice, item.bidQuantity, item.askPrice, item.askQuantity] == said
        assert int(one.version) == book.version == int(bodies[BATCH].publicBookTickerBatch.version)
        stream.world.place("ann", BTC, deep_bid(book))
        stream.push()
        assert await client.until_mark(2) == []  # the book changed, the touch did not


def deep_bid(book: OrderBook) -> NewOrder:
    assert book.best_bid is not None
    price = book.market.limit_price(book.best_bid * Decimal("0.9"), Side.BUY)
    return NewOrder("", "ann", Side.BUY, OrderType.LIMIT, Decimal("0.1"), price)


async def test_who_comes_later_is_told_the_state_at_once() -> None:
    channels = (LIMIT.format(5), TICKER, BATCH, KLINE.format("Min1"))
    async with venue() as stream, stream.client(*channels) as first:
        stream.step(1)
        assert len(await first.until_mark(1)) == 4
        async with stream.client(*channels) as second:
            stream.push()
            assert {frame.channel for frame in await second.until_mark(2)} == set(channels)


INTERVALS = {
    "Min1": MINUTE, "Min5": 5 * MINUTE, "Min15": 15 * MINUTE, "Min30": 30 * MINUTE, "Min60": HOUR,
    "Hour4": 4 * HOUR, "Hour8": 8 * HOUR, "Day1": DAY, "Week1": 7 * DAY, "Month1": 31 * DAY,
}  # fmt: skip


@pytest.mark.parametrize(("name", "length"), INTERVALS.items())
async def test_a_kline_is_the_bar_of_its_minutes_with_its_window_in_seconds(name: str, length: int) -> None:
    async with venue() as stream, stream.client(KLINE.format(name)) as client:
        stream.step(90)
        (frame,) = await client.until_mark(1)
        body, now_ns = frame.publicSpotKline, stream.world.now_ns
        assert frame.symbolId == "2fb942154ef44a4ab2ef98c8afb6a4a7"
        assert frame.createTime == now_ns // MILLISECOND
        assert body.interval == name
        assert body.windowStart <= now_ns // SECOND < body.windowEnd
        assert (body.windowEnd - body.windowStart) * SECOND == length  # May has 31 days
        minutes = stream.world.history.candles(BTC, "1m", body.windowStart * SECOND, limit=10**6)
        if length < DAY:
            assert minutes[0].open_ns == max(body.windowStart * SECOND, minutes[0].open_ns)
            assert Decimal(body.openingPrice) == minutes[0].open
            assert Decimal(body.highestPrice) == max(minute.high for minute in minutes)
            assert Decimal(body.lowestPrice) == min(minute.low for minute in minutes)
            assert Decimal(body.volume) == sum(minute.volume for minute in minutes)
            assert Decimal(body.amount) == sum(minute.quote_volume for minute in minutes)
        assert Decimal(body.closingPrice) == minutes[-1].close


def test_a_month_ends_where_the_next_begins() -> None:
    december = 1_764_547_200 * SECOND  # 2025-12-01
    assert _end_ns(december, "1M") == 1_767_225_600 * SECOND
    assert _end_ns(1_769_904_000 * SECOND, "1M") == 1_772_323_200 * SECOND  # February of 2026


async def test_klines_come_each_second_and_only_while_the_symbol_trades() -> None:
    async with venue() as stream, stream.client(KLINE.format("Min1")) as client:
        pushes = []
        for _ in range(9):
            stream.step(0.5)
            pushes.append(len(await client.until_mark(stream.marks)))
        assert pushes == [1, 0, 1, 0, 1, 0, 1, 0, 1]
        stream.world.pause(BTC)
        stream.step(5)
        assert await client.until_mark(stream.marks) == []


async def test_the_mini_ticker_is_the_day_and_the_change_since_midnight_of_its_zone() -> None:
    zones = ("24H", "UTC+8", "UTC-10", "UTC+5:30", "UTC+12:45")
    names = [f"spot@public.miniTicker.v3.api.pb@MXUSDT@{zone}" for zone in zones]
    async with venue() as stream, stream.client(*names) as client:
        stream.step(30)
        frames = {frame.channel: frame.publicMiniTicker for frame in await client.until_mark(1)}
        day, now_ns = stream.world.history.day(MX), stream.world.now_ns
        assert day is not None
        for zone, name in zip(zones, names, strict=True):
            ticker = frames[name]
            assert (ticker.symbol, Decimal(ticker.price)) == ("MXUSDT", day.last)
            assert (Decimal(ticker.high), Decimal(ticker.low)) == (day.high, day.low)
            assert (Decimal(ticker.volume), Decimal(ticker.quantity)) == (day.quote_volume, day.volume)
            offset = {"UTC+8": 480, "UTC-10": -600, "UTC+5:30": 330, "UTC+12:45": 765}.get(zone)
            if offset is None:
                assert ticker.zonedRate == f"{day.last / day.open - 1:.4f}"
                continue
            midnight = (now_ns + offset * MINUTE) // DAY * DAY - offset * MINUTE
            bars = stream.world.history.candles(MX, "1m", midnight, limit=1)
            assert bars[0].open_ns == midnight
            assert ticker.zonedRate == f"{day.last / bars[0].open - 1:.4f}"
            assert ticker.rate == frames[names[1]].zonedRate
            assert Decimal(ticker.lastCloseHigh) >= Decimal(ticker.high)


async def test_the_mini_tickers_hold_every_symbol_every_three_seconds() -> None:
    async with venue() as stream, stream.client("spot@public.miniTickers.v3.api.pb@UTC+0") as client:
        pushes = []
        for _ in range(7):
            stream.step(1)
            pushes.append(await client.until_mark(stream.marks))
        assert [len(frames) for frames in pushes] == [1, 0, 0, 1, 0, 0, 1]
        symbols = [item.symbol for item in pushes[0][0].publicMiniTickers.items]
        assert {"BTCUSDT", "MXUSDT"} <= set(symbols)
        assert len(set(symbols)) == len(symbols)


async def test_a_listing_is_streamed_from_its_opening() -> None:
    world = World(WorldTerms(START_NS, seed=7, pairs=()))
    script = min(world.market.scripts(), key=lambda known: known.opens_ns)
    while script.opens_ns <= world.now_ns or world.row(str(script.symbol)) is None:
        later = [known for known in world.market.scripts() if known.opens_ns > world.now_ns]
        script = min(later, key=lambda known: known.opens_ns)
        world.advance(script.opens_ns - MINUTE)
    name = str(script.symbol)
    depth, deals = (f"spot@public.aggre.{kind}.v3.api.pb@10ms@{name}" for kind in ("depth", "deals"))
    kline = f"spot@public.kline.v3.api.pb@{name}@Min1"
    async with venue(world) as stream, stream.client(depth, deals, kline) as client:
        book = world.book(script.symbol)
        assert book is not None
        twin = Twin(book)
        stream.step(1)
        assert await client.until_mark(1) == []
        world.advance(script.opens_ns)
        stream.step(2)
        frames = await client.until_mark(2)
        kinds = defaultdict(list)
        for frame in frames:
            kinds[frame.channel].append(frame)
        assert book.phase is Phase.OPEN
        assert set(kinds) == {depth, deals, kline}
        twin.apply(kinds[depth][0].publicAggreDepths)
        assert twin.equals(book)


async def test_in_real_time_the_timer_pushes_at_the_pace_of_the_channel() -> None:
    async with venue(terms=ServerTerms()) as stream, stream.client(FAST, SLOW) as client:
        began = stream.world.now_ns
        counts: dict[str, int] = defaultdict(int)
        twins: dict[str, int] = {}
        for step in range(150):
            stream.world.advance(began + step * 5 * MILLISECOND)
            book = stream.world.book(BTC)
            assert book is not None
            stream.world.place("ann", BTC, deep_bid(book))
            frame = await client.data()
            counts[frame.channel] += 1
            body = frame.publicAggreDepths
            assert int(body.fromVersion) == twins.get(frame.channel, int(body.fromVersion) - 1) + 1
            twins[frame.channel] = int(body.toVersion)
        assert counts[FAST] > 4 * counts[SLOW] > 0


@given(size=st.integers(0, 70_000))
def test_a_frame_has_the_header_that_its_size_needs(size: int) -> None:
    frame = framed(bytes(size))
    assert frame[0] == 0x82
    header = 2 if size < 126 else 4 if size < 65_536 else 10
    assert len(frame) == header + size
    assert frame[1] < 128  # servers do not mask


async def test_the_same_frame_goes_to_every_subscriber() -> None:
    async with venue() as stream:
        made: list[bytes] = []
        put = stream.hub._put
        stream.hub._put = lambda sessions, frame: (made.append(frame), put(sessions, frame))  # type: ignore
        async with stream.client(SLOW) as first, stream.client(SLOW) as second:
            stream.step(1)
            assert await first.until_mark(1) == await second.until_mark(1) != []
            assert len(made) == 1
            assert stream.hub.frames_sent == 2


def test_every_venue_is_the_same_for_the_same_seed(seed: int) -> None:
    said: list[list[bytes]] = []
    for _ in range(2):
        world = small_world(seed)
        feeds = [feed_of(name, world) for name in (FAST, TICKER, KLINE.format("Min5"))]
        world.advance(world.now_ns + 10 * SECOND)
        messages = [feed.message(world.now_ns) for feed in feeds if feed is not None]
        said.append([message.SerializeToString() for message in messages])
    assert said[0] == said[1]
