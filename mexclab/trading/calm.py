"""Calm: between which bids, and until when, there is nothing to do about a position. Pure.

Most books change nothing. What ``exits`` decides about a position depends on what was written, on the
clock, and on the bid, and in the bid it is monotone: a stop acts below a price, a rung above one. So once it
has found nothing to do, the next books need one comparison each, until something is written. The naive twin
is ``exits.exit_steps`` itself: wherever a ``Calm`` holds, it finds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import AHEAD_NS
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market
from mexclab.domain.order import OrderState
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.trading.ladder import holding, legs, targets
from mexclab.trading.stops import EXIT_BOOK_AGE_NS, stop_price


@dataclass(frozen=True, slots=True)
class Calm:
    """Nothing is to be done while the bid lies between both prices, themselves excluded, before ``until_ns``.

    Attributes:
        seq: up to where the ledger was written when it was found; it ends with the next entry.
        market: the trading rules that it was found by; other rules end it.
        below: None: no bid is too high.
    """

    seq: int
    market: Market
    above: Decimal
    below: Decimal | None
    until_ns: int

    def holds(self, seq: int, market: Market | None, book: Book | None, now_ns: int) -> bool:
        """Whether it still does, with this book and at this moment."""
        if self.seq != seq or self.market is not market or book is None or not book.bids:
            return False
        bid = book.bids[0].price
        return (
            self.above < bid
            and (self.below is None or bid < self.below)
            and now_ns < self.until_ns
            and -AHEAD_NS <= now_ns - book.at_ns <= EXIT_BOOK_AGE_NS
        )


def calm(snipe: Snipe, desk: Desk, market: Market, bid: Decimal, seq: int) -> Calm | None:
    """The calm around a fresh ``bid`` at which ``exit_steps`` has just found nothing to do.

    None where more than the bid and the time stop count: an order on its way to be tried again, a replaced
    plan whose orders still rest, a position that is being sold.
    """
    entry, names = desk.entry_price(snipe.snipe_id), legs(snipe.plan.exit)
    exits = desk.exits(snipe.snipe_id)
    usual = all((o.is_live and o.leg in names) or o.state is OrderState.FILLED for o in exits)
    if snipe.state is not SnipeState.ENTERED or snipe.entered_ns is None or entry is None or not usual:
        return None
    if any(order.is_live for order in desk.entries(snipe.snipe_id)):
        return None
    above, bounds = stop_price(snipe, entry), []
    lots = market.whole_lots(holding(desk, snipe.snipe_id))
    if any(order.fills for order in exits) and lots > 0:  # a remainder is dust below this bid
        above = max(above, market.min_notional / lots)
    if snipe.plan.exit.trailing is not None or snipe.plan.exit.break_even_after is not None:
        bounds.append(bid)  # a higher one may raise the stop
    if not market.takes_limits:
        bounds += [target.price for target in targets(snipe, desk, market)]
    until_ns = snipe.entered_ns + snipe.plan.exit.time_stop_ns
    return Calm(seq, market, above, min(bounds, default=None), until_ns)
