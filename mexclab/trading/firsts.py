"""Firsts: the first book and first public trade of an opening are written down, to be measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.market import Book, Trade

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def tell_book(engine: Engine, book: Book) -> None:
    """Write a book down for each snipe of its symbol that has had none."""
    for snipe in list(engine.desk.snipes.values()):
        if snipe.plan.symbol == book.symbol and snipe.snipe_id not in engine.desk.first_books:
            seen = e.FirstBookSeen(book.at_ns, snipe.snipe_id, book.symbol, book.bid, book.ask)
            await engine.record(seen)


async def witness(engine: Engine, trade: Trade) -> None:
    """Write down the first public trade of each snipe's opening: what its price is held against."""
    engine.monitors.witness(trade)
    for snipe in engine.desk.live_snipes():
        plan = snipe.plan
        is_first = plan.symbol == trade.symbol and snipe.snipe_id not in engine.desk.first_trades
        if is_first and trade.at_ns >= plan.not_before_ns:
            price, quantity, at_ns = trade.price, trade.quantity, trade.at_ns
            await engine.record(e.FirstTradeSeen(at_ns, snipe.snipe_id, plan.symbol, price, quantity))
