"""The public questions of REST v3: symbols, books, trades, candles and tickers, as MEXC writes them.

Field names, order, types and number formats follow recorded replies: books and book tickers keep the idle
zeros of their price and quantity steps, everything else drops them; a change in percent is a fraction cut
to four places; a candle ends exactly where the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from functools import partial
from typing import TYPE_CHECKING

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.venues.simulator.asking import (
    BAD_COMBINATION,
    INVALID_INTERVAL,
    INVALID_SYMBOL,
    Handler,
    answered,
    asked_limit,
    asked_number,
    asked_row,
    cut,
    decimals,
    json_reply,
    list_reply,
    malformed,
    name_json,
    refused,
    text_json,
)
from mexclab.venues.simulator.history import INTERVALS, DayStats, PublicTrade
from mexclab.venues.simulator.http import Call, Reply, Route, plain

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import SimulatorServer
    from mexclab.venues.simulator.world import SymbolRow, World

ONLINE, PAUSED, OFFLINE = "1", "2", "3"  # a symbol's status
DEPTH_LIMITS = (100, 5_000)  # usual, most
TRADES_LIMITS = (500, 1_000)
KLINES_LIMITS = (500, 500)
ANNOUNCEMENTS_LIMITS = (10, 50)
LARGEST_QUOTE, LARGEST_QUOTE_MARKET = "2000000", "100000"  # what most recorded symbols show
CONCEPTS = ([51], ["mc-trade-zone-innovation"])
FOUR_PLACES = Decimal("0.0001")
ZERO = Decimal(0)
AVERAGE_MINUTES = 5

EMPTY = Reply(200, b"{}")
NO_CONTRACTS = Reply(200, b'{"success":true,"code":0,"data":[]}')


def routes(server: SimulatorServer) -> dict[tuple[str, str], Route]:
    """Every public question of REST v3, with its weight; and the futures' one that ccxt insists on."""
    table: tuple[tuple[str, Handler, int], ...] = (
        ("ping", lambda _server, _call: EMPTY, 1),
        ("time", _time, 1),
        ("defaultSymbols", _default_symbols, 1),
        ("symbol/offline", _offline, 10),
        ("exchangeInfo", _ExchangeInfo(), 25),
        ("depth", _depth, 3),
        ("trades", _trades, 5),
        ("historicalTrades", _trades, 1),
        ("aggTrades", _aggregate_trades, 1),
        ("klines", _klines, 1),
        ("avgPrice", _average_price, 1),
        ("ticker/24hr", partial(_ticker, _day_ticker), 25),
        ("ticker/price", partial(_ticker, _price_ticker), 10),
        ("ticker/bookTicker", partial(_ticker, _book_ticker), 10),
    )
    found = {
        ("GET", f"/api/v3/{path}"): Route(answered(handler, server), weight=weight)
        for path, handler, weight in table
    }
    found["GET", "/api/v3/announcements"] = Route(answered(_announcements, server), pool="announcements")
    found["GET", "/api/v1/contract/detail"] = Route(lambda _call: NO_CONTRACTS, pool="none")
    return found


# -- time and symbols ----------------------------------------------------------------------------


def _time(server: SimulatorServer, call: Call) -> Reply:
    return Reply(200, b'{"serverTime":%d}' % (server.now_ns() // MILLISECOND))


def _default_symbols(server: SimulatorServer, call: Call) -> Reply:
    names = [str(row.symbol) for row in server.world.rows() if row.is_api_listed and row.status == ONLINE]
    return json_reply({"data": names, "code": 0, "msg": "success", "timestamp": _told_ms(server)})


def _offline(server: SimulatorServer, call: Call) -> Reply:
    data = []
    for row in server.world.rows():
        if row.status in (PAUSED, OFFLINE):
            told: dict[str, object] = {"symbol": str(row.symbol), "state": int(row.status)}
            if row.offline_ns is not None:
                told["offlineTime"] = row.offline_ns // MILLISECOND
            data.append(told)
    return json_reply({"data": data})


class _ExchangeInfo:
    """Answers exchangeInfo; a row that has not changed since is not written again."""

    def __init__(self) -> None:
        self._written: dict[Symbol, tuple[SymbolRow, str]] = {}

    def __call__(self, server: SimulatorServer, call: Call) -> Reply:
        world = server.world
        names = [name for name in call.params.get("symbols", "").split(",") if name]
        if one := call.params.get("symbol"):
            names = [one]
        found = [world.row(name) for name in names] if names else world.rows()
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            raise refused(*INVALID_SYMBOL)
        return Reply(
            200,
            f'{{"timezone":"CST","serverTime":{_told_ms(server)},"rateLimits":[],"exchangeFilters":[],'
            f'"symbols":[{",".join(map(self._row, rows))}]}}'.encode(),
        )

    def _row(self, row: SymbolRow) -> str:
        known = self._written.get(row.symbol)
        if known is None or known[0] != row:
            known = self._written[row.symbol] = (row, symbol_json(row))
        return known[1]


def symbol_json(row: SymbolRow) -> str:
    """A row of exchangeInfo."""
    symbol, market = row.symbol, row.market
    price_decimals, base_decimals = decimals(market.tick), decimals(market.lot)
    least = plain(market.min_notional)
    filters = []
    if row.price_band is not None:
        band = plain(row.price_band)
        filters = [
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": band, "askMultiplierDown": band}
        ]
    told = {
        "symbol": str(symbol),
        "status": row.status,
        "baseAsset": symbol.base,
        "baseAssetPrecision": base_decimals,
        "quoteAsset": symbol.quote,
        "quotePrecision": price_decimals,
        "quoteAssetPrecision": price_decimals,
        "baseCommissionPrecision": base_decimals,
        "quoteCommissionPrecision": price_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": row.api_tradable,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": least,
        "baseSizePrecision": plain(market.lot),
        "permissions": ["SPOT"],
        "filters": filters,
        "maxQuoteAmount": LARGEST_QUOTE,
        "makerCommission": plain(market.maker_fee),
        "takerCommission": plain(market.taker_fee),
        "quoteAmountPrecisionMarket": least,
        "maxQuoteAmountMarket": LARGEST_QUOTE_MARKET,
        "fullName": row.full_name,
        "tradeSideType": row.side_type,
        "contractAddress": row.contract_address,
        "conceptPlateIds": CONCEPTS[0],
        "conceptPlates": CONCEPTS[1],
        "firstOpenTime": row.first_open_ns // MILLISECOND,
        "st": False,
    }
    return text_json(told)


# -- books and trades ----------------------------------------------------------------------------


def _depth(server: SimulatorServer, call: Call) -> Reply:
    row = asked_row(server.world, call)
    limit = asked_limit(call, *DEPTH_LIMITS)
    server.hub.align(row.symbol)  # the snapshot ends where a frame of changes ends
    book = server.world.book(row.symbol)
    version, bids, asks = (0, (), ()) if book is None else (book.version, *book.levels(limit))
    return Reply(
        200,
        f'{{"lastUpdateId":{version},"bids":[{_levels(bids)}],"asks":[{_levels(asks)}],'
        f'"timestamp":{_told_ms(server)}}}'.encode(),
    )


def _levels(levels: Iterable[tuple[Decimal, Decimal]]) -> str:
    return ",".join([f'["{price:f}","{quantity:f}"]' for price, quantity in levels])


def _trades(server: SimulatorServer, call: Call) -> Reply:
    row = asked_row(server.world, call)
    limit = asked_limit(call, *TRADES_LIMITS)
    return list_reply(_trade_json(trade) for trade in server.world.history.trades(row.symbol, limit))


def _trade_json(trade: PublicTrade) -> str:
    maker, kind = ("false", "BID") if trade.side is Side.BUY else ("true", "ASK")
    return (
        f'{{"id":null,"price":"{plain(trade.price)}","qty":"{plain(trade.quantity)}",'
        f'"quoteQty":"{plain(trade.price * trade.quantity)}","time":{trade.at_ns // MILLISECOND},'
        f'"isBuyerMaker":{maker},"isBestMatch":true,"tradeType":"{kind}"}}'
    )


def _aggregate_trades(server: SimulatorServer, call: Call) -> Reply:
    row = asked_row(server.world, call)
    limit = asked_limit(call, *TRADES_LIMITS)
    start, end = asked_number(call, "startTime"), asked_number(call, "endTime")
    if (start is None) != (end is None):
        raise refused(*BAD_COMBINATION)
    found: Iterable[PublicTrade] = server.world.history.trades(row.symbol, TRADES_LIMITS[1])
    if start is not None and end is not None:
        found = [trade for trade in found if start <= trade.at_ns // MILLISECOND <= end]
    return list_reply(_aggregate_json(trade) for trade, _ in zip(found, range(limit), strict=False))


def _aggregate_json(trade: PublicTrade) -> str:
    maker = "false" if trade.side is Side.BUY else "true"
    return (
        f'{{"a":null,"f":null,"l":null,"p":"{plain(trade.price)}","q":"{plain(trade.quantity)}",'
        f'"T":{trade.at_ns // SECOND * 1000},"m":{maker},"M":true}}'
    )


# -- candles -------------------------------------------------------------------------------------


def _klines(server: SimulatorServer, call: Call) -> Reply:
    row = asked_row(server.world, call)
    interval = call.params.get("interval")
    if not interval:
        raise malformed("interval")
    if interval not in INTERVALS:
        raise refused(*INVALID_INTERVAL)
    limit = asked_limit(call, *KLINES_LIMITS)
    start, end = asked_number(call, "startTime"), asked_number(call, "endTime")
    start_ns, end_ns = (None if at is None else at * MILLISECOND for at in (start, end))
    quote_step = row.market.tick
    return list_reply(
        f'[{candle.open_ns // MILLISECOND},"{plain(candle.open)}","{plain(candle.high)}",'
        f'"{plain(candle.low)}","{plain(candle.close)}","{plain(candle.volume)}",'
        f'{closing_ns(candle.open_ns, interval) // MILLISECOND},"{cut(candle.quote_volume, quote_step)}"]'
        for candle in server.world.history.candles(row.symbol, interval, start_ns, end_ns, limit)
    )


def closing_ns(open_ns: int, interval: str) -> int:
    """When the bar that opens at ``open_ns`` ends; months are those of the calendar, in UTC."""
    if interval != "1M":
        return open_ns + INTERVALS[interval]
    opening = datetime.fromtimestamp(open_ns // SECOND, UTC)
    year, month = (opening.year + 1, 1) if opening.month == 12 else (opening.year, opening.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND


def _average_price(server: SimulatorServer, call: Call) -> Reply:
    world = server.world
    row = asked_row(world, call)
    since = world.now_ns - AVERAGE_MINUTES * MINUTE
    candles = world.history.candles(row.symbol, "1m", since, None, AVERAGE_MINUTES + 1)
    volume = sum((candle.volume for candle in candles), ZERO)
    price = last_price(world, row)
    if volume:
        price = sum((candle.quote_volume for candle in candles), ZERO) / volume
    return Reply(200, f'{{"mins":{AVERAGE_MINUTES},"price":"{cut(price, row.market.tick)}"}}'.encode())


# -- tickers -------------------------------------------------------------------------------------


def _ticker(one: Callable[[World, SymbolRow], str], server: SimulatorServer, call: Call) -> Reply:
    """One symbol's ticker as an object, or all as an array; recorded: ``symbols`` is not looked at."""
    world = server.world
    if "symbol" in call.params:
        row = asked_row(world, call)
        return Reply(200, one(world, row).encode())
    return list_reply(one(world, row) for row in world.rows() if row.status == ONLINE)


def last_price(world: World, row: SymbolRow) -> Decimal:
    """The last trade's price; of a listing that has none yet the price that its first bar will open at."""
    book = world.book(row.symbol)
    last = None if book is None else book.last
    return last or world.market.reference_price(row.symbol) or ZERO


def _touch(world: World, row: SymbolRow) -> tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]:
    """The best bid and ask with their quantities; zeros where there is none."""
    book = world.book(row.symbol)
    bids, asks = ((), ()) if book is None else book.levels(1)
    nothing = (ZERO, ZERO)
    return (bids[0] if bids else nothing), (asks[0] if asks else nothing)


def _price_ticker(world: World, row: SymbolRow) -> str:
    return f'{{"symbol":{name_json(str(row.symbol))},"price":"{plain(last_price(world, row))}"}}'


def _book_ticker(world: World, row: SymbolRow) -> str:
    (bid, bid_size), (ask, ask_size) = _touch(world, row)
    return (
        f'{{"symbol":{name_json(str(row.symbol))},"bidPrice":"{bid:f}","bidQty":"{bid_size:f}",'
        f'"askPrice":"{ask:f}","askQty":"{ask_size:f}"}}'
    )


def _day_ticker(world: World, row: SymbolRow) -> str:
    day = world.history.day(row.symbol)
    if day is None:
        last = last_price(world, row)
        day = DayStats(last, last, last, last, ZERO, ZERO, world.now_ns, world.now_ns, 0)
    change = day.last - day.open
    part = (change / day.open).quantize(FOUR_PLACES, ROUND_DOWN) if day.open else ZERO
    opening = plain(day.open)
    (bid, bid_size), (ask, ask_size) = _touch(world, row)
    return (
        f'{{"symbol":{name_json(str(row.symbol))},"priceChange":"{plain(change)}","priceChangePercent":"{plain(part)}",'
        f'"prevClosePrice":"{opening}","lastPrice":"{plain(day.last)}",'
        f'"bidPrice":"{plain(bid)}","bidQty":"{plain(bid_size)}",'
        f'"askPrice":"{plain(ask)}","askQty":"{plain(ask_size)}",'
        f'"openPrice":"{opening}","highPrice":"{plain(day.high)}","lowPrice":"{plain(day.low)}",'
        f'"volume":"{plain(day.volume)}","quoteVolume":"{cut(day.quote_volume, row.market.tick)}",'
        f'"openTime":{day.open_ns // MILLISECOND},"closeTime":{day.close_ns // MILLISECOND},"count":null}}'
    )


# -- announcements -------------------------------------------------------------------------------


def _announcements(server: SimulatorServer, call: Call) -> Reply:
    limit = asked_limit(call, *ANNOUNCEMENTS_LIMITS)
    page = asked_number(call, "page") or 1
    newest = sorted(server.world.announcements(), key=lambda told: -told.at_ns)
    pages = -(-len(newest) // limit)
    first = (page - 1) * limit
    language = call.params.get("language") or "EN"
    details = [
        {"title": told.title, "url": told.url, "language": language, "postTime": told.at_ns // MILLISECOND}
        for told in newest[first : first + limit]
    ]
    return json_reply({"code": 0, "data": [{"details": details, "totalPage": str(pages)}], "msg": ""})


def _told_ms(server: SimulatorServer) -> int:
    return server.now_ns() // MILLISECOND
