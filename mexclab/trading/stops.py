"""Stops: the price at which everything is sold, and when it goes up. Pure.

What a stop has risen to is what was written (``StopRaised``); nothing else is remembered. So it is the
same before and after a crash, and in a replay. To keep the ledger small a rise is written only when it is
worth a step: the stop that counts is less than one step and one tick below ``peak x (1 - trailing)``, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import SECOND, is_older
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Side
from mexclab.domain.snipe import Snipe

EXIT_BOOK_AGE_NS = 90 * SECOND  # an exit never acts on a price older than this
RAISE_STEP = Decimal("0.002")  # a rise of the stop is written when it is this fraction of the stop, or a tick


@dataclass(frozen=True, slots=True)
class Raise:
    """The stop goes up to ``stop_price``, because the bid reached ``peak``."""

    stop_price: Decimal
    peak: Decimal
    why: str


def fresh_bid(book: Book | None, now_ns: int) -> Decimal | None:
    """The best bid, or None when there is none that an exit may act on: absent, zero, or too old."""
    if book is None or book.bid is None or book.bid <= 0 or is_older(book.at_ns, now_ns, EXIT_BOOK_AGE_NS):
        return None
    return book.bid


def stop_price(snipe: Snipe, entry_price: Decimal) -> Decimal:
    """The bid at or below which everything is sold: where the plan put it, or higher once it was raised."""
    return max(entry_price * (1 - snipe.plan.exit.stop_loss), snipe.stop_price or Decimal(0))


def raise_step(stop: Decimal, market: Market) -> Decimal:
    """The least rise of a trailing stop that is worth an entry in the ledger."""
    return max(market.tick, stop * RAISE_STEP)


def raised_stop(snipe: Snipe, desk: Desk, market: Market, bid: Decimal) -> Raise | None:
    """The rise that a fresh bid leads to, or None. Never to the bid or above: a rise alone sells nothing."""
    plan, entry = snipe.plan.exit, desk.entry_price(snipe.snipe_id)
    if entry is None:
        return None
    stop, peak = stop_price(snipe, entry), max(snipe.peak_price or Decimal(0), bid)
    raised: Raise | None = None
    if plan.trailing is not None:
        target = market.limit_price(peak * (1 - plan.trailing), Side.BUY)
        if stop + raise_step(stop, market) <= target < bid:
            raised = Raise(target, peak, f"{plan.trailing * 100:f} % below the highest bid {peak}")
    if plan.break_even_after is not None and bid >= entry * (1 + plan.break_even_after):
        target = market.limit_price(break_even_price(snipe.snipe_id, desk, market), Side.SELL)
        if (raised.stop_price if raised else stop) < target < bid:
            raised = Raise(target, peak, f"break-even, fees included; the bid reached {bid}")
    return raised


def break_even_price(snipe_id: str, desk: Desk, market: Market) -> Decimal:
    """The price at which selling what was bought returns all that it cost, the fees of both ways included.

    The entry's fee is what was paid, and at least the taker's fee where it was paid in a third asset
    or not at all; the exit's fee is the taker's.
    """
    fills = [fill for order in desk.entries(snipe_id) for fill in order.fills]
    cost = paid = units = Decimal(0)
    for fill in fills:
        units += fill.quantity
        cost += fill.value
        if fill.fee_asset == fill.symbol.quote:
            paid += fill.fee
        elif fill.fee_asset == fill.symbol.base:
            paid += fill.fee * fill.price
    paid = max(paid, cost * market.taker_fee)
    return (cost + paid) / units / (1 - market.taker_fee)
