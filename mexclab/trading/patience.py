"""Patience: a price that is a joke is not acted on before it has stood for a while.

At an opening the book is thin: for a moment the best bid may be one that nobody means. A stop may be reached
by it, and the position is then being sold; but it is neither sold to that bid at once, nor given up as dust.
How long a price has stood is known to this process alone: after a start patience begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.trading import exits
from mexclab.trading.ladder import holding

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

TORN = Decimal("0.5")  # a best bid below this part of the best ask: the book is torn
TORN_NS = 5 * SECOND  # so long no sale goes into a torn book; a silent stream is asked well before
MEAGRE_NS = (
    5 * MINUTE
)  # so long what was bought must have been worth too little, at fresh bids, to be given up

DOUBTS = TORN_BOOK, TOO_LITTLE = "torn book", "too little"


def is_torn(book: Book | None) -> bool:
    """Whether the best bid and ask are so far apart that the bid is no price yet."""
    return book is not None and bool(book.bid and book.ask and book.bid < book.ask * TORN)


def meagre(snipe: Snipe, desk: Desk, market: Market) -> Decimal | None:
    """What a snipe holds, in base units, if that is more than dust at its entry price; None: it is not."""
    entry, held = desk.entry_price(snipe.snipe_id), holding(desk, snipe.snipe_id)
    return None if entry is None or market.is_dust(held, entry) else held


def patient(
    engine: Engine, snipe: Snipe, market: Market, steps: Sequence[exits.Step], now_ns: int
) -> list[exits.Step]:
    """The steps without those whose price has not stood for long enough. Asked at each look at a position."""
    torn = snipe.state is SnipeState.EXITING and is_torn(engine.books.get(market.symbol))
    closes = any(isinstance(step, exits.Close) for step in steps)
    given_up = closes and meagre(snipe, engine.desk, market) is not None
    waits_sale = _waits(engine, (snipe.snipe_id, TORN_BOOK), torn, now_ns, TORN_NS)
    waits_close = _waits(engine, (snipe.snipe_id, TOO_LITTLE), given_up, now_ns, MEAGRE_NS)
    return [
        step
        for step in steps
        if not (waits_sale and isinstance(step, exits.Place))
        and not (waits_close and isinstance(step, exits.Close))
    ]


def forget(engine: Engine, snipe_id: str) -> None:
    """Begin anew with it: it is over, or nothing is known of its market."""
    for doubt in DOUBTS:
        engine.doubted.pop((snipe_id, doubt), None)


def _waits(engine: Engine, key: tuple[str, str], is_doubtful: bool, now_ns: int, bound_ns: int) -> bool:
    if not is_doubtful:
        engine.doubted.pop(key, None)
        return False
    return now_ns < engine.doubted.setdefault(key, now_ns) + bound_ns
