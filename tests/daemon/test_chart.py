"""The chart: it shows what trades, not what is only waited for."""

from __future__ import annotations

from decimal import Decimal

from mexclab.daemon.chart import Chart
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.reports import BookSeen

OLD, COMING = Symbol("OLD"), Symbol("COMING")


def _seen(symbol: Symbol, at_ns: int, *prices: str) -> BookSeen:
    levels = tuple(Level(Decimal(price), Decimal(1)) for price in prices)
    return BookSeen(Book(symbol, levels, (), at_ns))


def test_an_empty_book_of_a_coming_listing_does_not_take_the_chart_from_what_trades() -> None:
    chart = Chart()
    chart.take([_seen(OLD, 1, "2"), _seen(COMING, 2)])
    assert chart.newest == OLD
    chart.take([_seen(COMING, 3, "5")])
    assert chart.newest == COMING
    assert chart.shown(COMING, [])["book"]["bids"] == [[5.0, 1.0]]
