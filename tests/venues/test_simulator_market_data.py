"""What the simulator says of books, trades, candles and tickers is true and in the venue's order."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest
import websockets

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Market, Symbol
from mexclab.venues import proto
from mexclab.venues.matching import OrderBook
from mexclab.venues.simulator.public import closing_ns
from tests.venues.served import START_NS, served

BTC = Symbol("BTC")


async def test_the_snapshots_version_is_the_books_and_counts_every_change() -> None:
    async with served() as venue:
        for step in range(5):
            venue.world.advance(START_NS + step * SECOND)
            book = venue.world.book(BTC)
            assert book is not None
            told = await venue.ask("/api/v3/depth", symbol="BTCUSDT", limit=5000)
            assert told["lastUpdateId"] == book.version
            bids, asks = book.levels(5000)
            assert [tuple(map(Decimal, level)) for level in told["bids"]] == list(bids)
            assert [tuple(map(Decimal, level)) for level in told["asks"]] == list(asks)


async def test_depth_gives_a_hundred_levels_unless_told_and_never_refuses_more_than_it_has() -> None:
    async with served() as venue:
        quote = dict.fromkeys(range(1, 301), 1)
        venue.world.matcher.requote(BTC, "deep", quote, {}, venue.world.now_ns)
        assert len((await venue.ask("/api/v3/depth", symbol="BTCUSDT"))["bids"]) == 100
        assert len((await venue.ask("/api/v3/depth", symbol="BTCUSDT", limit=7))["bids"]) == 7
        everything = await venue.ask("/api/v3/depth", symbol="BTCUSDT", limit=9_999)
        assert len(everything["bids"]) > 300


async def test_small_prices_are_written_without_an_exponent() -> None:
    async with served() as venue:
        tiny = Market(Symbol("MX"), tick=Decimal("1E-9"), lot=Decimal("1E+1"))
        book = venue.world.matcher.books[Symbol("MX")] = OrderBook(tiny)
        book.requote("maker", {7: 12}, {31: 5}, START_NS)
        told = await venue.ask("/api/v3/depth", symbol="MXUSDT")
        assert (told["bids"], told["asks"]) == ([["0.000000007", "120"]], [["0.000000031", "50"]])
        ticker = await venue.ask("/api/v3/ticker/bookTicker", symbol="MXUSDT")
        assert (ticker["bidPrice"], ticker["askQty"]) == ("0.000000007", "50")


async def test_trades_come_newest_first_and_their_value_is_price_times_quantity() -> None:
    async with served() as venue:
        told = await venue.ask("/api/v3/trades", symbol="BTCUSDT", limit=1000)
        old = await venue.ask("/api/v3/historicalTrades", symbol="BTCUSDT", limit=1000)
    times = [trade["time"] for trade in told]
    assert times == sorted(times, reverse=True)
    assert len(times) > 100
    assert old == told
    for trade in told:
        assert Decimal(trade["price"]) * Decimal(trade["qty"]) == Decimal(trade["quoteQty"])


async def test_aggregate_trades_come_newest_first_in_whole_seconds() -> None:
    async with served() as venue:
        trades = await venue.ask("/api/v3/trades", symbol="BTCUSDT", limit=1000)
        told = await venue.ask("/api/v3/aggTrades", symbol="BTCUSDT", limit=1000)
    assert [row["T"] for row in told] == [trade["time"] // 1000 * 1000 for trade in trades]
    assert [(row["p"], row["q"], row["m"]) for row in told] == [
        (trade["price"], trade["qty"], trade["isBuyerMaker"]) for trade in trades
    ]


async def test_aggregate_trades_of_a_span_are_those_of_that_span() -> None:
    async with served() as venue:
        trades = await venue.ask("/api/v3/trades", symbol="BTCUSDT", limit=1000)
        start, end = trades[60]["time"], trades[20]["time"]
        told = await venue.ask("/api/v3/aggTrades", symbol="BTCUSDT", startTime=start, endTime=end)
        wanted = [trade for trade in trades if start <= trade["time"] <= end]
        assert [row["q"] for row in told] == [trade["qty"] for trade in wanted]
        first = await venue.ask("/api/v3/aggTrades", symbol="BTCUSDT", startTime=start, endTime=end, limit=3)
        assert first == told[:3]


@pytest.mark.parametrize("only", ["startTime", "endTime"])
async def test_half_a_span_of_aggregate_trades_is_refused(only: str) -> None:
    async with served() as venue:
        refusal = await venue.refusal("/api/v3/aggTrades", symbol="BTCUSDT", **{only: 1})
    assert refusal == (400, -1128, "Combination of optional parameters invalid.")


@pytest.mark.parametrize(
    ("interval", "length"),
    [("1m", MINUTE), ("5m", 5 * MINUTE), ("15m", 15 * MINUTE), ("30m", 30 * MINUTE), ("60m", HOUR),
     ("4h", 4 * HOUR), ("1d", DAY), ("1W", 7 * DAY)],
)  # fmt: skip
async def test_candles_of_every_interval_follow_each_other(interval: str, length: int) -> None:
    async with served() as venue:
        bars = await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval=interval)
    assert bars
    for bar in bars:
        assert len(bar) == 8
        assert bar[6] == bar[0] + length // MILLISECOND
        opening, high, low, close = map(Decimal, bar[1:5])
        assert low <= min(opening, close) <= max(opening, close) <= high
    assert [bar[0] for bar in bars[1:]] == [bar[6] for bar in bars[:-1]]


async def test_months_end_where_the_calendar_says() -> None:
    async with served() as venue:
        bars = await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1M")
    assert [bar[0] for bar in bars[1:]] == [bar[6] for bar in bars[:-1]]
    february_2024 = 1_706_745_600 * SECOND
    assert closing_ns(february_2024, "1M") == february_2024 + 29 * DAY


async def test_at_most_500_candles_come_whatever_is_asked() -> None:
    async with served() as venue:
        assert len(await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m")) == 500
        assert len(await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1000)) == 500
        last = await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=2)
    assert last[-1][0] == START_NS // MINUTE * MINUTE // MILLISECOND


async def test_a_span_of_candles_begins_at_its_start_and_ends_before_its_end() -> None:
    start = (START_NS - 20 * HOUR) // MILLISECOND
    asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": start}
    minute = MINUTE // MILLISECOND
    async with served() as venue:
        told = await venue.ask("/api/v3/klines", **asked, endTime=start + 3 * minute)
        assert [bar[0] for bar in told] == [start, start + minute, start + 2 * minute]
        told = await venue.ask("/api/v3/klines", **asked)
        assert (told[0][0], len(told)) == (start, 500)
        told = await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", endTime=start, limit=2)
        assert [bar[0] for bar in told] == [start - 2 * minute, start - minute]


async def test_minute_candles_beyond_what_the_venue_keeps_are_an_empty_list_and_no_error() -> None:
    start = (START_NS - 60 * DAY) // MILLISECOND
    async with served() as venue:
        span = {"startTime": start, "endTime": start + HOUR // MILLISECOND}
        assert await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", **span) == []


async def test_the_days_change_is_a_fraction_cut_to_four_places() -> None:
    async with served() as venue:
        day = await venue.ask("/api/v3/ticker/24hr", symbol="BTCUSDT")
    change, opening = Decimal(day["priceChange"]), Decimal(day["openPrice"])
    assert change == Decimal(day["lastPrice"]) - opening
    exact = change / opening
    assert 0 <= abs(exact) - abs(Decimal(day["priceChangePercent"])) < Decimal("0.0001")
    assert day["closeTime"] == START_NS // MILLISECOND


async def test_a_ticker_is_an_object_for_one_symbol_and_a_list_for_all() -> None:
    async with served() as venue:
        for kind in ("24hr", "price", "bookTicker"):
            one = await venue.ask(f"/api/v3/ticker/{kind}", symbol="ETHUSDT")
            everything = await venue.ask(f"/api/v3/ticker/{kind}")
            assert one in everything
            assert {row["symbol"] for row in everything} >= {"BTCUSDT", "ETHUSDT", "MXUSDT"}
        # as recorded: the plural is not looked at
        assert await venue.ask("/api/v3/ticker/price", symbols="BTCUSDT") == await venue.ask(
            "/api/v3/ticker/price"
        )


async def test_the_average_price_lies_within_the_last_minutes_trades() -> None:
    async with served() as venue:
        told = await venue.ask("/api/v3/avgPrice", symbol="BTCUSDT")
        bars = await venue.ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=6)
    assert told["mins"] == 5
    assert min(Decimal(bar[3]) for bar in bars) <= Decimal(told["price"])
    assert Decimal(told["price"]) <= max(Decimal(bar[2]) for bar in bars)


async def test_a_snapshot_ends_where_a_frame_of_the_stream_ends() -> None:
    channel = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
    async with served() as venue, websockets.connect(venue.server.ws_url) as socket:
        await socket.send(json.dumps({"method": "SUBSCRIPTION", "params": [channel]}))
        await socket.recv()
        venue.world.advance(START_NS + 5 * SECOND)
        told = await venue.ask("/api/v3/depth", symbol="BTCUSDT")
        message = proto.PushData()
        async with asyncio.timeout(5):
            message.ParseFromString(await socket.recv())
    assert int(message.publicAggreDepths.toVersion) == told["lastUpdateId"] > 0
