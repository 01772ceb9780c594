"""The public channels: their names, and what each says of a symbol's book, trades and candles.

A feed is one channel, whoever listens: its payload is made once. ``message`` gives what there is to
say since it was last asked, or None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Candle, Symbol, Trade
from mexclab.venues import proto
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import Levels, Phase
from mexclab.venues.simulator.http import plain

if TYPE_CHECKING:
    from mexclab.venues.simulator.history import DayStats
    from mexclab.venues.simulator.world import SymbolRow, World

FAST_MS, USUAL_MS, KLINE_MS, MINI_MS = 10, 100, 1_000, 3_000
COLLECT_AT = 8_192  # changes of a book that are taken up before the next push
NAME_AT = 400  # trades whose ids are looked up before the next push: the history keeps the last 1,000
TRADING = frozenset({Phase.OPEN, Phase.BUY_ONLY, Phase.SELL_ONLY})
NO_SIZE = Decimal(0)

_SPEEDS = {"10ms": FAST_MS, "100ms": USUAL_MS}
_DEPTHS = {"5": 5, "10": 10, "20": 20}
# the stream's name of an interval -> the history's
INTERVALS = {
    "Min1": "1m", "Min5": "5m", "Min15": "15m", "Min30": "30m", "Min60": "60m",
    "Hour4": "4h", "Hour8": "8h", "Day1": "1d", "Week1": "1W", "Month1": "1M",
}  # fmt: skip
_LENGTHS = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "60m": HOUR,
    "4h": 4 * HOUR, "8h": 8 * HOUR, "1d": DAY, "1W": 7 * DAY,
}  # fmt: skip
# the time zones of the mini tickers, by their offset from UTC; None: the last 24 hours
ZONES: dict[str, int | None] = {
    "24H": None,
    **{f"UTC{hours:+d}": hours * HOUR for hours in range(-10, 14)},
    "UTC+4:30": 4 * HOUR + 30 * MINUTE,
    "UTC+5:30": 5 * HOUR + 30 * MINUTE,
    "UTC+12:45": 12 * HOUR + 45 * MINUTE,
}
HOME_ZONE_NS = 8 * HOUR  # the zone of the rates that carry no zone in their name


class Feed(ABC):
    """One public channel.

    Attributes:
        channel: its whole name.
        period_ms: how often it may speak.
        pushed_ns: when it last spoke, of the world's time.
    """

    def __init__(self, channel: str, period_ms: int, symbol: Symbol | None) -> None:
        self.channel = channel
        self.period_ms = period_ms
        self.symbol = symbol
        self.pushed_ns = 0

    @abstractmethod
    def message(self, now_ns: int) -> Any | None:
        """The next ``proto.PushData``, or None when there is nothing to say."""

    def greet(self) -> None:
        """Somebody new listens: what is a state and not an event is said again."""
        self.pushed_ns = 0

    def _wrapper(self, now_ns: int) -> Any:
        wrapper = proto.PushData(channel=self.channel, sendTime=now_ns // MILLISECOND)
        if self.symbol is not None:
            wrapper.symbol = str(self.symbol)
        return wrapper


class DealsFeed(Feed):
    """Trades, oldest first."""

    def __init__(self, channel: str, period_ms: int, symbol: Symbol, world: World) -> None:
        super().__init__(channel, period_ms, symbol)
        self._trades: list[tuple[Trade, str]] = []
        self._new: list[Trade] = []
        self._world = world

    def hear(self, trade: Trade) -> None:
        if len(self._new) >= NAME_AT and trade.at_ns > self._new[-1].at_ns:
            self._collect(trade.at_ns)  # trades of one moment come as one, and the history has them all
        self._new.append(trade)

    def _collect(self, before_ns: int | None) -> None:
        """Learn the ids of the trades heard: they are the last that the history has before that moment."""
        heard, self._new = self._new, []
        limit = len(heard) if before_ns is None else 2 * NAME_AT
        known = [
            trade.trade_id
            for trade in self._world.history.trades(heard[0].symbol, limit)
            if before_ns is None or trade.at_ns < before_ns
        ][: len(heard)]
        known += [""] * (len(heard) - len(known))
        self._trades += zip(heard, reversed(known), strict=True)

    def message(self, now_ns: int) -> Any | None:
        if self._new:
            self._collect(None)
        if not self._trades:
            return None
        trades, self._trades = self._trades, []
        wrapper = self._wrapper(now_ns)
        body = wrapper.publicAggreDeals
        body.eventType = self.channel.rpartition("@")[0]
        for trade, trade_id in trades:
            body.deals.add(
                price=plain(trade.price), quantity=plain(trade.quantity),
                tradeType=proto.TRADE_TYPES[trade.side], time=trade.at_ns // MILLISECOND, tradeId=trade_id,
            )  # fmt: skip
        return wrapper


class DepthFeed(Feed):
    """Changes of the book: absolute quantities, 0 = gone; versions without a gap from push to push."""

    def __init__(self, channel: str, period_ms: int, symbol: Symbol, book: OrderBook) -> None:
        super().__init__(channel, period_ms, symbol)
        self._book = book
        self._told = self._collected = book.version
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})

    def collect(self) -> None:
        """Take the book's changes up before it forgets them."""
        changes = self._book.changes_since(self._collected)
        if changes is None:  # more than it remembers: the hole in the versions tells
            self._told = self._collected = self._book.version
            self._sides = ({}, {})
            return
        self._collected = changes.to_version
        for known, new in zip(self._sides, (changes.bids, changes.asks), strict=True):
            known.update(new)

    def collect_if_many(self) -> None:
        if self._book.version - self._collected >= COLLECT_AT:
            self.collect()

    def message(self, now_ns: int) -> Any | None:
        if self._book.version != self._collected:
            self.collect()
        if self._collected == self._told:
            return None
        wrapper = self._wrapper(now_ns)
        body = wrapper.publicAggreDepths
        body.eventType = self.channel.rpartition("@")[0]
        bids, asks = self._sides
        _add_levels(body, tuple(bids.items()), tuple(asks.items()))
        body.fromVersion, body.toVersion = str(self._told + 1), str(self._collected)
        body.lastOrderCreateTime = now_ns // MILLISECOND
        self._told = self._collected
        bids.clear()
        asks.clear()
        return wrapper


class LimitDepthFeed(Feed):
    """The best levels, whenever the book has changed."""

    def __init__(self, channel: str, symbol: Symbol, book: OrderBook, depth: int) -> None:
        super().__init__(channel, USUAL_MS, symbol)
        self._book = book
        self._depth = depth
        self._told = -1

    def greet(self) -> None:
        super().greet()
        self._told = -1

    def message(self, now_ns: int) -> Any | None:
        if self._book.version == self._told:
            return None
        self._told = self._book.version
        wrapper = self._wrapper(now_ns)
        body = wrapper.publicLimitDepths
        body.eventType = self.channel.rsplit("@", 2)[0]
        _add_levels(body, *self._book.levels(self._depth))
        body.version = str(self._told)
        body.lastOrderCreateTime = now_ns // MILLISECOND
        return wrapper


class BookTickerFeed(Feed):
    """The best bid and ask, whenever one of their prices or quantities has changed."""

    def __init__(self, channel: str, period_ms: int, symbol: Symbol, book: OrderBook) -> None:
        super().__init__(channel, period_ms, symbol)
        self._book = book
        self._version = -1
        self._told: tuple[Levels, Levels] | None = None
        self._is_batch = ".batch." in channel

    def greet(self) -> None:
        super().greet()
        self._version, self._told = -1, None

    def message(self, now_ns: int) -> Any | None:
        if self._book.version == self._version:
            return None
        self._version = self._book.version
        touch = self._book.levels(1)
        if touch == self._told:
            return None
        self._told = touch
        wrapper = self._wrapper(now_ns)
        body = wrapper.publicBookTickerBatch if self._is_batch else wrapper.publicAggreBookTicker
        ticker = body.items.add() if self._is_batch else body
        (bid, bid_size), (ask, ask_size) = (side[0] if side else (NO_SIZE, NO_SIZE) for side in touch)
        ticker.bidPrice, ticker.bidQuantity = plain(bid), plain(bid_size)
        ticker.askPrice, ticker.askQuantity = plain(ask), plain(ask_size)
        body.version = str(self._version)
        body.lastOrderCreateTime = now_ns // MILLISECOND
        return wrapper


class KlineFeed(Feed):
    """The bar that is growing, each second while the symbol trades. Its window is in seconds."""

    def __init__(self, channel: str, row: SymbolRow, world: World, interval: str) -> None:
        super().__init__(channel, KLINE_MS, row.symbol)
        self._row = row
        self._world = world
        self._interval = interval

    def message(self, now_ns: int) -> Any | None:
        symbol, name = self._row.symbol, INTERVALS[self._interval]
        book = self._world.book(symbol)
        if book is None or book.phase not in TRADING:
            return None
        bar = self._bar(symbol, name, now_ns)
        if bar is None:
            return None
        wrapper = proto.PushData(
            channel=self.channel, symbol=str(symbol), symbolId=self._row.symbol_id,
            createTime=now_ns // MILLISECOND,
        )  # fmt: skip
        body = wrapper.publicSpotKline
        body.interval = self._interval
        body.windowStart, body.windowEnd = bar.open_ns // SECOND, _end_ns(bar.open_ns, name) // SECOND
        body.openingPrice, body.closingPrice = plain(bar.open), plain(bar.close)
        body.highestPrice, body.lowestPrice = plain(bar.high), plain(bar.low)
        body.volume, body.amount = plain(bar.volume), plain(bar.quote_volume)
        return wrapper

    def _bar(self, symbol: Symbol, name: str, now_ns: int) -> Candle | None:
        history = self._world.history
        if name != "8h":
            bars = history.candles(symbol, name, limit=1)
            return bars[-1] if bars else None
        start_ns = now_ns // (8 * HOUR) * 8 * HOUR  # the history has no bars of 8 hours: two of 4
        bars = [bar for bar in history.candles(symbol, "4h", limit=2) if bar.open_ns >= start_ns]
        if not bars:
            return None
        first, last = bars[0], bars[-1]
        return Candle(
            symbol, start_ns, first.open, max(bar.high for bar in bars), min(bar.low for bar in bars),
            last.close, sum((bar.volume for bar in bars), NO_SIZE),
            sum((bar.quote_volume for bar in bars), NO_SIZE),
        )  # fmt: skip


class MiniTickerFeed(Feed):
    """The day of one symbol, or of all, with the change since midnight of a zone."""

    def __init__(self, channel: str, row: SymbolRow | None, world: World, zone: str) -> None:
        super().__init__(channel, MINI_MS, row.symbol if row is not None else None)
        self._rows = None if row is None else (row,)
        self._world = world
        self._zone_ns = ZONES[zone]
        self._opens: dict[tuple[Symbol, int], tuple[Decimal, Decimal] | None] = {}

    def message(self, now_ns: int) -> Any | None:
        wrapper = self._wrapper(now_ns)
        for row in self._world.rows() if self._rows is None else self._rows:
            day = self._world.history.day(row.symbol)
            if day is not None:
                item = wrapper.publicMiniTicker if self._rows else wrapper.publicMiniTickers.items.add()
                self._fill(item, row.symbol, day, now_ns)
        return None if wrapper.WhichOneof("body") is None else wrapper

    def _fill(self, item: Any, symbol: Symbol, day: DayStats, now_ns: int) -> None:
        item.symbol, item.price = str(symbol), plain(day.last)
        item.high, item.low = plain(day.high), plain(day.low)
        item.volume, item.quantity = plain(day.quote_volume), plain(day.volume)
        home = self._since(symbol, day, HOME_ZONE_NS, now_ns)
        zoned = home if self._zone_ns == HOME_ZONE_NS else self._since(symbol, day, self._zone_ns, now_ns)
        item.rate, item.lastCloseRate = _rate(day.last, home[0]), _rate(day.last, home[1])
        item.zonedRate, item.lastCloseZonedRate = _rate(day.last, zoned[0]), _rate(day.last, zoned[1])
        item.lastCloseHigh = plain(max(day.high, zoned[1]))
        item.lastCloseLow = plain(min(day.low, zoned[1]))

    def _since(
        self, symbol: Symbol, day: DayStats, zone_ns: int | None, now_ns: int
    ) -> tuple[Decimal, Decimal]:
        """The price at the zone's latest midnight, and the last one before it."""
        if zone_ns is None:
            return day.open, day.open
        midnight = (now_ns + zone_ns) // DAY * DAY - zone_ns
        key = (symbol, midnight)
        if key not in self._opens:
            self._opens = {known: prices for known, prices in self._opens.items() if known[1] > now_ns - DAY}
            span = (midnight - 15 * MINUTE, midnight + 15 * MINUTE)
            bars = self._world.history.candles(symbol, "15m", *span, 2)
            self._opens[key] = (bars[-1].open, bars[0].close) if bars else None
        return self._opens[key] or (day.open, day.open)


def feed_of(channel: str, world: World) -> Feed | None:
    """The channel of that name; None: there is none, or not for that symbol, speed, depth or zone."""
    parts = channel.split("@")
    if len(parts) < 3 or parts[0] != "spot":
        return None
    kind, rest = parts[1].removesuffix(".v3.api.pb"), parts[2:]
    if not parts[1].endswith(".v3.api.pb"):
        return None
    if kind == "public.miniTickers":
        return MiniTickerFeed(channel, None, world, rest[0]) if len(rest) == 1 and rest[0] in ZONES else None
    name = rest[-1] if kind.startswith("public.aggre.") else rest[0]
    row = world.row(name)
    if row is None:
        return None
    if kind in ("public.miniTicker", "public.kline"):
        known = len(rest) == 2 and rest[1] in (ZONES if kind == "public.miniTicker" else INTERVALS)
        feed = MiniTickerFeed if kind == "public.miniTicker" else KlineFeed
        return feed(channel, row, world, rest[1]) if known else None
    return _book_feed(channel, (kind, rest), row.symbol, world)


def _book_feed(channel: str, named: tuple[str, list[str]], symbol: Symbol, world: World) -> Feed | None:
    kind, rest = named
    book = world.book(symbol)
    if book is None:
        return None
    if kind == "public.bookTicker.batch" and len(rest) == 1:
        return BookTickerFeed(channel, USUAL_MS, symbol, book)
    if kind == "public.limit.depth" and len(rest) == 2 and rest[1] in _DEPTHS:
        return LimitDepthFeed(channel, symbol, book, _DEPTHS[rest[1]])
    if len(rest) != 2 or rest[0] not in _SPEEDS:
        return None
    if kind == "public.aggre.deals":
        return DealsFeed(channel, _SPEEDS[rest[0]], symbol, world)
    if kind == "public.aggre.depth":
        return DepthFeed(channel, _SPEEDS[rest[0]], symbol, book)
    if kind == "public.aggre.bookTicker":
        return BookTickerFeed(channel, _SPEEDS[rest[0]], symbol, book)
    return None


def _add_levels(body: Any, bids: Levels, asks: Levels) -> None:
    for side, levels in ((body.bids, bids), (body.asks, asks)):
        for price, quantity in levels:
            side.add(price=plain(price), quantity=plain(quantity))


def _rate(now: Decimal, then: Decimal) -> str:
    """The change as a fraction of four decimals."""
    return f"{(now / then - 1):.4f}" if then else "0"


def _end_ns(start_ns: int, interval: str) -> int:
    if interval != "1M":
        return start_ns + _LENGTHS[interval]
    start = datetime.fromtimestamp(start_ns // SECOND, UTC)
    after = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return int(after.timestamp()) * SECOND
