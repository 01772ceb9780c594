"""A second wire dialect of the simulator: REST v3 as Binance US speaks it, and ccxt's ``binanceus`` with it.

Why this one. MEXC's REST v3 is modelled on Binance's, so the same world can tell the same story in it, and
yet nothing is the same on the wire: keys come in another header, orders in a form body, order and trade ids
are numbers, time in force is a parameter, steps are in filters, lists run oldest first, the trades of an
account do not name the client's order id, a closing time is the last millisecond, percentages are percent,
and every refusal has another code. Of ccxt's classes in this family ``binanceus`` needs the least at
``load_markets``: one unsigned GET exchangeInfo. ``binance`` asks three hosts for futures and options and,
with a key, for currencies and margin pairs; ``coinsph``, ``toobit`` and ``weex`` name other paths, and
``toobit`` asks twice.

The routes stand on paths of their own, so that one server speaks both dialects of one world::

    SimulatorServer(world, terms, dialect=dialect_binanceus.routes)
    ccxt.binanceus({"urls": {"api": {"public": url + BASE, "private": url + BASE}}})

Source: Binance US API documentation (REST, spot) and the parsers of ccxt 4.5.90.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Market, Side
from mexclab.venues.simulator import dialect_binanceus_orders as orders
from mexclab.venues.simulator.asking import decimals, list_reply, text_json
from mexclab.venues.simulator.dialect_binanceus_words import (
    BASE,
    INVALID_INTERVAL,
    INVALID_SYMBOL,
    padded,
    refuse,
    reworded,
    trade_number,
    whole,
)
from mexclab.venues.simulator.gatekeeper import Gatekeeper
from mexclab.venues.simulator.history import DayStats, PublicTrade
from mexclab.venues.simulator.http import Call, Reply, Route
from mexclab.venues.simulator.public import ONLINE, closing_ns, last_price
from mexclab.venues.simulator.world import SymbolRow, World

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import Routes, SimulatorServer

__all__ = ["BASE", "routes"]

# theirs -> the history's own
INTERVALS = {name: name for name in ("1m", "5m", "15m", "30m", "4h", "1d", "1M")} | {"1h": "60m", "1w": "1W"}
LIMITS = {"depth": (100, 5_000), "trades": (500, 1_000), "klines": (500, 1_000)}  # usual, most
LARGEST = "9000000000.00000000"
NOTHING = (Decimal(0), Decimal(0))

Question = Callable[[Call, SymbolRow], Reply]


def routes(server: SimulatorServer) -> Routes:
    """Every route of the dialect, public and signed."""
    market = _MarketCalls(server)
    gate = Gatekeeper(server.world.accounts, server.told_ns, "x-mbx-apikey", takes_forms=True)
    public: dict[str, tuple[Callable[[Call], Reply], int]] = {
        "ping": (lambda _call: Reply(200, b"{}"), 1),
        "time": (market.time, 1),
        "exchangeInfo": (market.exchange_info, 10),
        "depth": (market.of_symbol(market.depth), 1),
        "trades": (market.of_symbol(market.trades), 1),
        "aggTrades": (market.of_symbol(market.aggregate_trades), 1),
        "klines": (market.of_symbol(market.klines), 1),
        "ticker/24hr": (market.listed(_day_ticker), 1),
        "ticker/price": (market.listed(_price_ticker), 1),
        "ticker/bookTicker": (market.listed(_book_ticker), 1),
    }
    found = {
        ("GET", f"{BASE}/{path}"): Route(handle, weight=weight, reworded=reworded)
        for path, (handle, weight) in public.items()
    }
    return {**found, **orders.routes(server, gate)}


class _MarketCalls:
    """The public questions."""

    def __init__(self, server: SimulatorServer) -> None:
        self._server = server
        self._world = server.world

    def of_symbol(self, question: Question) -> Callable[[Call], Reply]:
        """A question about one symbol, which must be there."""

        def handle(call: Call) -> Reply:
            row = self._world.row(call.params.get("symbol", ""))
            return INVALID_SYMBOL if row is None else question(call, row)

        return handle

    def listed(self, one: Callable[[World, SymbolRow], dict[str, object]]) -> Callable[[Call], Reply]:
        """A ticker: of one symbol an object, of several or all a list."""

        def handle(call: Call) -> Reply:
            world = self._world
            if "symbol" in call.params:
                row = world.row(call.params["symbol"])
                return INVALID_SYMBOL if row is None else Reply(200, text_json(one(world, row)).encode())
            names = _names(call.params.get("symbols"))
            rows = [row for row in world.rows() if row.status == ONLINE]
            if names is not None:
                rows = [row for name in names if (row := world.row(name)) is not None]
                if len(rows) < len(names):
                    return INVALID_SYMBOL
            return list_reply(text_json(one(world, row)) for row in rows)

        return handle

    def time(self, call: Call) -> Reply:
        return Reply(200, b'{"serverTime":%d}' % self._now_ms())

    def exchange_info(self, call: Call) -> Reply:
        rows = self._world.rows()
        names = _names(call.params.get("symbols"))
        if one := call.params.get("symbol"):
            names = [one]
        if names is not None:
            rows = [row for name in names if (row := self._world.row(name)) is not None]
            if len(rows) < len(names):
                return INVALID_SYMBOL
        told = {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [_symbol(row) for row in rows],
        }
        return Reply(200, text_json(told).encode())

    def depth(self, call: Call, row: SymbolRow) -> Reply:
        limit = _limit(call, "depth")
        if limit is None:
            return refuse(-1100, "Illegal characters found in parameter 'limit'.")
        book = self._world.book(row.symbol)
        version, bids, asks = (0, (), ()) if book is None else (book.version, *book.levels(limit))
        sides = (
            ",".join(f'["{padded(price)}","{padded(quantity)}"]' for price, quantity in side)
            for side in (bids, asks)
        )
        return Reply(200, '{{"lastUpdateId":{},"bids":[{}],"asks":[{}]}}'.format(version, *sides).encode())

    def trades(self, call: Call, row: SymbolRow) -> Reply:
        """The last ones, oldest first."""
        limit = _limit(call, "trades")
        if limit is None:
            return refuse(-1100, "Illegal characters found in parameter 'limit'.")
        newest_first = self._world.history.trades(row.symbol, limit)
        return list_reply(_trade(trade) for trade in reversed(newest_first))

    def aggregate_trades(self, call: Call, row: SymbolRow) -> Reply:
        """Oldest first: from ``startTime`` on, or the last ones."""
        limit, start, end = _limit(call, "trades"), whole(call, "startTime"), whole(call, "endTime")
        if limit is None:
            return refuse(-1100, "Illegal characters found in parameter 'limit'.")
        newest_first = self._world.history.trades(row.symbol, LIMITS["trades"][1])
        found = [
            trade
            for trade in reversed(newest_first)
            if (start or 0) <= trade.at_ns // MILLISECOND
            and (end is None or trade.at_ns // MILLISECOND <= end)
        ]
        return list_reply(map(_aggregate, found[:limit] if start is not None else found[-limit:]))

    def klines(self, call: Call, row: SymbolRow) -> Reply:
        interval = INTERVALS.get(call.params.get("interval", ""))
        limit, start, end = _limit(call, "klines"), whole(call, "startTime"), whole(call, "endTime")
        if interval is None or limit is None:
            return INVALID_INTERVAL
        start_ns, end_ns = (None if at is None else at * MILLISECOND for at in (start, end))
        zero = padded(Decimal(0))
        return list_reply(
            f'[{candle.open_ns // MILLISECOND},"{padded(candle.open)}","{padded(candle.high)}",'
            f'"{padded(candle.low)}","{padded(candle.close)}","{padded(candle.volume)}",'
            f'{closing_ns(candle.open_ns, interval) // MILLISECOND - 1},"{padded(candle.quote_volume)}",'
            f'0,"{zero}","{zero}","0"]'
            for candle in self._world.history.candles(row.symbol, interval, start_ns, end_ns, limit)
        )

    def _now_ms(self) -> int:
        return self._server.now_ns() // MILLISECOND


def _names(text: str | None) -> list[str] | None:
    """The symbols of a JSON list; None where none is given."""
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return [str(name) for name in found] if isinstance(found, list) else [text]


def _limit(call: Call, what: str) -> int | None:
    usual, most = LIMITS[what]
    if not call.params.get("limit"):
        return usual
    told = whole(call, "limit")
    return min(told, most) if told else None


def _symbol(row: SymbolRow) -> dict[str, object]:
    """A row of exchangeInfo; what cannot be traded by API is in a break."""
    symbol, market = row.symbol, row.market
    trades = row.status == ONLINE and row.api_tradable
    return {
        "symbol": str(symbol),
        "status": "TRADING" if trades else "BREAK",
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "isSpotTradingAllowed": trades,
        "isMarginTradingAllowed": False,
        "filters": _filters(market),
        "permissions": ["SPOT"],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _filters(market: Market) -> list[dict[str, object]]:
    tick, lot = padded(market.tick), padded(market.lot)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": LARGEST, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": LARGEST, "stepSize": lot},
        {
            "filterType": "NOTIONAL",
            "minNotional": padded(market.min_notional),
            "applyMinToMarket": True,
            "maxNotional": LARGEST,
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]


def _trade(trade: PublicTrade) -> str:
    maker = "false" if trade.side is Side.BUY else "true"
    return (
        f'{{"id":{trade_number(trade.trade_id)},"price":"{padded(trade.price)}",'
        f'"qty":"{padded(trade.quantity)}","quoteQty":"{padded(trade.price * trade.quantity)}",'
        f'"time":{trade.at_ns // MILLISECOND},"isBuyerMaker":{maker},"isBestMatch":true}}'
    )


def _aggregate(trade: PublicTrade) -> str:
    maker, at = ("false" if trade.side is Side.BUY else "true"), trade_number(trade.trade_id)
    return (
        f'{{"a":{at},"p":"{padded(trade.price)}","q":"{padded(trade.quantity)}","f":{at},"l":{at},'
        f'"T":{trade.at_ns // MILLISECOND},"m":{maker},"M":true}}'
    )


def _day(world: World, row: SymbolRow) -> DayStats:
    last = last_price(world, row)
    nothing = Decimal(0)
    idle = DayStats(last, last, last, last, nothing, nothing, world.now_ns, world.now_ns, 0)
    return world.history.day(row.symbol) or idle


def _day_ticker(world: World, row: SymbolRow) -> dict[str, object]:
    day, change = _day(world, row), _day(world, row).last - _day(world, row).open
    percent = 100 * change / day.open if day.open else Decimal(0)
    mean = day.quote_volume / day.volume if day.volume else Decimal(0)
    touch = _book_ticker(world, row)
    return {
        "symbol": str(row.symbol),
        "priceChange": padded(change),
        "priceChangePercent": f"{percent:.3f}",
        "weightedAvgPrice": f"{mean:.{max(8, decimals(row.market.tick))}f}",
        "prevClosePrice": padded(day.open),
        "lastPrice": padded(day.last),
        "lastQty": padded(Decimal(0)),
        **{name: value for name, value in touch.items() if name != "symbol"},
        "openPrice": padded(day.open),
        "highPrice": padded(day.high),
        "lowPrice": padded(day.low),
        "volume": padded(day.volume),
        "quoteVolume": padded(day.quote_volume),
        "openTime": day.open_ns // MILLISECOND,
        "closeTime": day.close_ns // MILLISECOND,
        "firstId": -1,
        "lastId": -1,
        "count": day.count,
    }


def _price_ticker(world: World, row: SymbolRow) -> dict[str, object]:
    return {"symbol": str(row.symbol), "price": padded(last_price(world, row))}


def _book_ticker(world: World, row: SymbolRow) -> dict[str, object]:
    book = world.book(row.symbol)
    bids, asks = ((), ()) if book is None else book.levels(1)
    (bid, bid_size), (ask, ask_size) = (side[0] if side else NOTHING for side in (bids, asks))
    return {
        "symbol": str(row.symbol),
        "bidPrice": padded(bid),
        "bidQty": padded(bid_size),
        "askPrice": padded(ask),
        "askQty": padded(ask_size),
    }
