"""The simulator's market data over a real socket, held against recorded replies where they are at hand."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import DriftSeen
from mexclab.venues.mexc import endpoints
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.wire import decode
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.asking import decimals
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.world import World, WorldTerms
from tests.venues.served import SHARED, START_NS, number, served

RECORDED = SHARED / "mexc/fixtures/gct_recorded/http_11326f4c.json"
NEWER_FIELDS = {"firstOpenTime", "conceptPlates"}  # seen since the recording was made
INVALID_SYMBOL = (400, -1121, "Invalid symbol.")
BTC = Symbol("BTC")


@cache
def recorded() -> dict[str, Any]:
    if not RECORDED.exists():
        pytest.skip("the recorded replies of MEXC are not here")
    routes: dict[str, Any] = json.loads(RECORDED.read_text("utf-8"))["routes"]
    return routes


def shape(value: Any) -> Any:
    """What kind of thing it is: types, field names, and of texts whether they are numbers."""
    match value:
        case dict():
            return {name: shape(held) for name, held in value.items()}
        case list() if value and not isinstance(value[0], dict | list):
            return [shape(held) for held in value]
        case list():
            shapes = [shape(held) for held in value]
            assert all(each == shapes[0] for each in shapes), "rows differ from each other"
            return shapes[:1]
        case str():
            try:
                return "number" if Decimal(value).is_finite() else "text"
            except ArithmeticError:
                return "text"
    return type(value).__name__


def row_shapes(rows: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(shape(row), sort_keys=True) for row in rows}


async def test_every_public_question_is_answered() -> None:
    questions = {
        "ping": {}, "time": {}, "defaultSymbols": {}, "symbol/offline": {}, "exchangeInfo": {},
        "depth": {"symbol": "BTCUSDT"}, "trades": {"symbol": "BTCUSDT"},
        "historicalTrades": {"symbol": "BTCUSDT"}, "aggTrades": {"symbol": "BTCUSDT"},
        "klines": {"symbol": "BTCUSDT", "interval": "1m"}, "avgPrice": {"symbol": "BTCUSDT"},
        "ticker/24hr": {}, "ticker/price": {}, "ticker/bookTicker": {}, "announcements": {},
    }  # fmt: skip
    async with served() as venue:
        for path, params in questions.items():
            reply = await venue.client.get(f"/api/v3/{path}", params=params)
            assert reply.status_code == 200, path
            assert reply.headers["content-type"].startswith("application/json"), path
        assert await venue.ask("/api/v3/ping") == {}


PUBLIC = [
    endpoint
    for endpoint in vars(endpoints).values()
    if isinstance(endpoint, endpoints.Endpoint) and endpoint.method == "GET" and not endpoint.signed
]


@pytest.mark.parametrize("endpoint", PUBLIC, ids=lambda endpoint: endpoint.name)
async def test_our_own_wire_reads_every_public_reply_without_a_drift(endpoint: endpoints.Endpoint) -> None:
    told: list[DriftSeen] = []
    whole = endpoint.path.endswith(("exchangeInfo", "24hr", "ticker/price", "bookTicker"))
    params = {} if whole else {"symbol": "BTCUSDT", "interval": "1m", "currencies": "BTC"}
    async with served() as venue:
        reply = await venue.client.get(endpoint.path, params=params)
        decode(endpoint, reply.content, Drift(told.append), venue.world.now_ns)
    assert told == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("aggTrades", {"symbol": "BTCUSDT", "limit": 50}),
        ("avgPrice", {"symbol": "BTCUSDT"}),
        ("depth", {"symbol": "BTCUSDT", "limit": 10}),
        ("klines", {"symbol": "BTCUSDT", "interval": "5m"}),
        ("ticker/24hr", {"symbol": "BTCUSDT"}),
        ("ticker/bookTicker", {"symbol": "BTCUSDT"}),
        ("ticker/price", {"symbol": "BTCUSDT"}),
        ("ticker/24hr", {}),
        ("ticker/bookTicker", {}),
        ("ticker/price", {}),
        ("time", {}),
    ],
)
async def test_a_reply_has_the_fields_and_types_of_the_recorded_one(
    path: str, params: dict[str, Any]
) -> None:
    replies = recorded()[f"/api/v3/{path}"]["GET"]
    async with served() as venue:
        told = await venue.ask(f"/api/v3/{path}", **params)
    wanted = [shape(reply["data"]) for reply in replies]
    assert shape(told) in wanted


async def test_trades_have_the_fields_and_types_of_the_recorded_ones() -> None:
    async with served() as venue:
        told = await venue.ask("/api/v3/trades", symbol="BTCUSDT")
    assert row_shapes(told) == row_shapes(recorded()["/api/v3/trades"]["GET"][0]["data"])
    assert {(row["tradeType"], row["isBuyerMaker"]) for row in told} == {("BID", False), ("ASK", True)}


async def test_the_list_of_api_symbols_is_as_recorded() -> None:
    wanted = recorded()["/api/v3/defaultSymbols"]["GET"][0]["data"]
    async with served() as venue:
        told = await venue.ask("/api/v3/defaultSymbols")
    assert {**told, "data": [], "timestamp": 0} == {**wanted, "data": [], "timestamp": 0}
    assert "BTCUSDT" in told["data"]


async def test_a_symbols_row_is_as_recorded_but_for_fields_that_came_later() -> None:
    wanted = recorded()["/api/v3/exchangeInfo"]["GET"][0]["data"]
    async with served() as venue:
        told = await venue.ask("/api/v3/exchangeInfo")
    rows = [{name: row[name] for name in row if name not in NEWER_FIELDS} for row in told["symbols"]]
    known = {name: shape(value) for name, value in wanted["symbols"][1].items()}
    for row in rows:
        told_shape = shape(row)
        if not row["filters"]:  # listings have no band; the venue is known to send none as well
            told_shape["filters"] = known["filters"]
        told_shape["contractAddress"] = known["contractAddress"] = "text"
        told_shape["orderTypes"] = known["orderTypes"]
        assert told_shape == known
    assert shape({**told, "symbols": []}) == shape({**wanted, "symbols": []})


async def test_fields_come_in_the_documented_order() -> None:
    async with served() as venue:
        row = (await venue.ask("/api/v3/exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
        day = await venue.ask("/api/v3/ticker/24hr", symbol="BTCUSDT")
        depth = await venue.ask("/api/v3/depth", symbol="BTCUSDT")
    assert list(row)[:10] == [
        "symbol", "status", "baseAsset", "baseAssetPrecision", "quoteAsset", "quotePrecision",
        "quoteAssetPrecision", "baseCommissionPrecision", "quoteCommissionPrecision", "orderTypes",
    ]  # fmt: skip
    assert list(day) == [
        "symbol", "priceChange", "priceChangePercent", "prevClosePrice", "lastPrice", "bidPrice", "bidQty",
        "askPrice", "askQty", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume", "openTime",
        "closeTime", "count",
    ]  # fmt: skip
    assert list(depth) == ["lastUpdateId", "bids", "asks", "timestamp"]


async def test_books_keep_idle_zeros_and_everything_else_drops_them() -> None:
    async with served() as venue:
        for row in venue.world.rows()[:4]:
            name, places = str(row.symbol), (decimals(row.market.tick), decimals(row.market.lot))
            depth = await venue.ask("/api/v3/depth", symbol=name, limit=50)
            for price, quantity in depth["bids"] + depth["asks"]:
                assert tuple(len(text.partition(".")[2]) for text in (price, quantity)) == places
            trades = await venue.ask("/api/v3/trades", symbol=name)
            bars = await venue.ask("/api/v3/klines", symbol=name, interval="1m")
            day = await venue.ask("/api/v3/ticker/24hr", symbol=name)
            texts = [trade[field] for trade in trades for field in ("price", "qty", "quoteQty")]
            texts += [text for bar in bars for text in bar if isinstance(text, str)]
            texts += [day[field] for field in day if field.endswith(("Price", "Qty", "olume", "Change"))]
            for text in texts:
                number(text)
                assert not ("." in text and text.endswith(("0", "."))), text


@pytest.mark.parametrize(
    "path", ["depth", "trades", "historicalTrades", "aggTrades", "klines", "avgPrice", "ticker/24hr",
             "ticker/price", "ticker/bookTicker", "exchangeInfo"],
)  # fmt: skip
async def test_a_symbol_that_is_not_listed_is_refused_in_the_venues_words(path: str) -> None:
    async with served() as venue:
        for name in ("NOPEUSDT", "btcusdt", "索拉拉USDT", "BTCUSDT "):
            refusal = await venue.refusal(f"/api/v3/{path}", symbol=name, interval="1m")
            assert refusal == INVALID_SYMBOL, name


@pytest.mark.parametrize("path", ["depth", "trades", "aggTrades", "klines", "avgPrice"])
async def test_a_question_about_no_symbol_is_refused(path: str) -> None:
    async with served() as venue:
        status, code, words = await venue.refusal(f"/api/v3/{path}")
    assert (status, code) == (400, 700004)
    assert "'symbol'" in words


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "٣", "1" * 30])
async def test_a_limit_that_is_no_number_above_zero_is_refused(limit: str) -> None:
    async with served() as venue:
        for path in ("depth", "trades", "aggTrades", "klines"):
            asked = {"symbol": "BTCUSDT", "interval": "1m", "limit": limit}
            status, code, words = await venue.refusal(f"/api/v3/{path}", **asked)
            assert (status, code) == (400, 700004)
            assert "'limit'" in words


async def test_an_interval_that_the_venue_has_not_is_refused() -> None:
    async with served() as venue:
        for interval in ("1h", "7m", "1mo", "1s"):
            refusal = await venue.refusal("/api/v3/klines", symbol="BTCUSDT", interval=interval)
            assert refusal == (400, -1121, "Invalid interval.")
        reply = await venue.client.get("/api/v3/klines?symbol=BTCUSDT&interval=1h")
        assert reply.text == '{"msg":"Invalid interval.","code":-1121,"_extend":null}'
        status, code, _ = await venue.refusal("/api/v3/klines", symbol="BTCUSDT")
        assert (status, code) == (400, 700004)


async def test_exchange_info_answers_for_one_for_some_and_for_all() -> None:
    async with served() as venue:
        one = await venue.ask("/api/v3/exchangeInfo", symbol="ETHUSDT")
        some = await venue.ask("/api/v3/exchangeInfo", symbols="ETHUSDT,BTCUSDT")
        everything = await venue.ask("/api/v3/exchangeInfo")
        assert [row["symbol"] for row in one["symbols"]] == ["ETHUSDT"]
        assert [row["symbol"] for row in some["symbols"]] == ["ETHUSDT", "BTCUSDT"]
        assert one["symbols"][0] in everything["symbols"]
        assert await venue.refusal("/api/v3/exchangeInfo", symbols="BTCUSDT,NOPEUSDT") == INVALID_SYMBOL


async def test_exchange_info_shows_a_change_at_once() -> None:
    async with served() as venue:

        async def row() -> dict[str, Any]:
            told: dict[str, Any] = (await venue.ask("/api/v3/exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
            return told

        before = await row()
        assert (before["status"], before["isSpotTradingAllowed"], before["tradeSideType"]) == ("1", True, 1)
        venue.world.limit_sides(BTC, Side.BUY)
        assert (await row())["tradeSideType"] == 2
        venue.world.limit_sides(BTC, None)
        venue.world.forbid_api(BTC, None)
        assert (await row())["isSpotTradingAllowed"] is False
        venue.world.pause(BTC)
        assert (await row())["status"] == "2"


async def test_a_paused_and_a_delisted_symbol_are_told_as_offline_and_leave_the_tickers() -> None:
    async with served() as venue:
        assert await venue.ask("/api/v3/symbol/offline") == {"data": []}
        venue.world.pause(BTC)
        venue.world.delist(Symbol("ETH"))
        told = await venue.ask("/api/v3/symbol/offline")
        assert {row["symbol"]: row["state"] for row in told["data"]} == {"BTCUSDT": 2, "ETHUSDT": 3}
        gone = next(row for row in told["data"] if row["symbol"] == "ETHUSDT")
        assert gone["offlineTime"] == START_NS // MILLISECOND
        names = {row["symbol"] for row in await venue.ask("/api/v3/ticker/price")}
        assert not names & {"BTCUSDT", "ETHUSDT"}
        assert "ETHUSDT" not in (await venue.ask("/api/v3/defaultSymbols"))["data"]


async def test_a_listing_has_a_price_before_it_opens_but_no_book_and_no_trades() -> None:
    async with served() as venue:
        coming = next(row for row in venue.world.rows() if row.first_open_ns > venue.world.now_ns)
        name = str(coming.symbol)
        price = await venue.ask("/api/v3/ticker/price", symbol=name)
        assert number(price["price"]) == venue.world.market.reference_price(coming.symbol)
        depth = await venue.ask("/api/v3/depth", symbol=name)
        assert (depth["bids"], depth["asks"]) == ([], [])
        assert await venue.ask("/api/v3/trades", symbol=name) == []
        assert await venue.ask("/api/v3/klines", symbol=name, interval="1m") == []
        day = await venue.ask("/api/v3/ticker/24hr", symbol=name)
        assert (day["volume"], day["priceChange"], day["priceChangePercent"]) == ("0", "0", "0")


async def test_our_own_trade_shows_in_every_public_answer() -> None:
    async with served() as venue:
        book = venue.world.book(BTC)
        assert book is not None
        assert book.best_ask is not None
        size = (Decimal("0.01"), book.best_ask + 5)
        order = NewOrder("", "paper", Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, *size)
        news = venue.world.place("paper", BTC, order)
        assert news.executions
        newest = (await venue.ask("/api/v3/trades", symbol="BTCUSDT", limit=1))[0]
        last = news.executions[-1]
        assert (Decimal(newest["price"]), Decimal(newest["qty"])) == (last.price, last.quantity)
        price = await venue.ask("/api/v3/ticker/price", symbol="BTCUSDT")
        assert Decimal(price["price"]) == last.price


async def test_announcements_come_newest_first_in_pages() -> None:
    async with served() as venue:
        first = (await venue.ask("/api/v3/announcements", limit=2, language="CN"))["data"][0]
        second = (await venue.ask("/api/v3/announcements", limit=2, page=2))["data"][0]
        everything = (await venue.ask("/api/v3/announcements", limit=50))["data"][0]["details"]
    assert [row["title"] for row in first["details"] + second["details"]] == [
        row["title"] for row in everything[:4]
    ]
    assert set(first["details"][0]) == {"title", "url", "language", "postTime"}
    assert {row["language"] for row in first["details"]} == {"CN"}
    assert isinstance(first["totalPage"], str)
    times = [row["postTime"] for row in everything]
    assert times == sorted(times, reverse=True)


async def test_weights_are_taken_from_the_budget_of_the_address() -> None:
    async with served(terms=ServerTerms(stepped=True, ip_weight_10s=30)) as venue:
        assert (await venue.client.get("/api/v3/exchangeInfo")).status_code == 200  # 25
        assert (await venue.client.get("/api/v3/depth?symbol=BTCUSDT")).status_code == 200  # 3
        assert (await venue.client.get("/api/v3/trades?symbol=BTCUSDT")).status_code == 429  # 5
        assert (await venue.client.get("/api/v3/time")).status_code == 200  # 1
        assert (await venue.client.get("/api/v1/contract/detail")).status_code == 200  # nothing


async def test_the_question_that_ccxt_asks_about_futures_is_answered() -> None:
    async with served() as venue:
        assert await venue.ask("/api/v1/contract/detail") == {"success": True, "code": 0, "data": []}


async def test_the_venues_time_is_the_worlds() -> None:
    world = World(WorldTerms(START_NS, seed=7, past_days=1))
    async with served(world=world) as venue:
        assert await venue.ask("/api/v3/time") == {"serverTime": START_NS // MILLISECOND}
        world.advance(START_NS + 90 * SECOND)
        assert await venue.ask("/api/v3/time") == {"serverTime": START_NS // MILLISECOND + 90_000}


async def test_an_unknown_question_is_not_found_and_a_wrong_method_is_named() -> None:
    async with served() as venue:
        assert (await venue.client.get("/api/v3/nonsense")).status_code == 404
        wrong = await venue.client.post("/api/v3/time")
        assert wrong.status_code == 405
