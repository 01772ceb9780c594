"""Candles and the book of watched symbols, for the eye: floats, bounded, never used to decide."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Book, Candle, Symbol
from mexclab.domain.reports import BookSeen, Happening, TradeSeen

INTERVAL_S = 15
KEPT = 300
SYMBOLS = 48  # of a desk that runs for weeks only the newest are drawn
DEPTH = 20


class Chart:
    """The last candles of each symbol, made of its public trades."""

    def __init__(self) -> None:
        self._candles: dict[Symbol, deque[Candle]] = {}
        self._books: dict[Symbol, Book] = {}
        self.newest: Symbol | None = None

    def take(self, happenings: Iterable[Happening]) -> None:
        for happening in happenings:
            if isinstance(happening, BookSeen):
                if happening.book.bid is None and happening.book.ask is None:
                    continue  # nobody quotes yet: what trades is what one wants to see
                if happening.book.symbol not in self._books:
                    self.newest = happening.book.symbol
                    self._make_room()
                self._books[happening.book.symbol] = happening.book
            elif isinstance(happening, TradeSeen):
                trade = happening.trade
                candles = self._candles.setdefault(trade.symbol, deque(maxlen=KEPT))
                open_ns = trade.at_ns - trade.at_ns % (INTERVAL_S * SECOND)
                if candles and candles[-1].open_ns == open_ns:
                    candles[-1] = candles[-1].after(trade)
                else:
                    price, volume = trade.price, trade.quantity
                    candles.append(
                        Candle(trade.symbol, open_ns, price, price, price, price, volume, price * volume)
                    )

    def _make_room(self) -> None:
        """Let the symbols go that have been known the longest."""
        for known in (self._books, self._candles):
            while len(known) >= SYMBOLS:
                del known[next(iter(known))]

    def shown(self, symbol: Symbol | None, marks: list[dict[str, Any]]) -> dict[str, Any]:
        """The chart of one symbol as the dashboard draws it."""
        book = self._books.get(symbol) if symbol else None
        candles = self._candles.get(symbol, ()) if symbol else ()
        return {
            "symbol": str(symbol) if symbol else None,
            "interval_s": INTERVAL_S,
            "candles": [
                [
                    c.open_ns // SECOND,
                    float(c.open),
                    float(c.high),
                    float(c.low),
                    float(c.close),
                    float(c.volume),
                ]
                for c in candles
            ],
            "book": {
                "bids": [[float(level.price), float(level.quantity)] for level in book.bids[:DEPTH]]
                if book
                else [],
                "asks": [[float(level.price), float(level.quantity)] for level in book.asks[:DEPTH]]
                if book
                else [],
            },
            "marks": marks,
            "at_ns": book.at_ns if book else 0,
        }
