"""Exits: what to do next about a position, decided purely from what is known.

While the snipe is ENTERED, take-profit limits rest at the venue (``ladder``) and the stop may rise
(``stops``). Once a stop, the clock or a person says so it is EXITING: resting orders are cancelled first
(their base asset is locked), and what is left goes out in bounded immediate-or-cancel orders until only
dust remains. The clock needs no price to decide; a stop, and every sale, needs a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from mexclab.domain.clock import MINUTE, SECOND, span
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Side
from mexclab.domain.order import Order, OrderState, OrderType
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.trading.ladder import (
    exit_order,
    free_units,
    holding,
    is_given_up,
    ladder_orders,
    legs,
    retry_ns,
)
from mexclab.trading.stops import EXIT_BOOK_AGE_NS, Raise, fresh_bid, raised_stop, stop_price

__all__ = [
    "EXIT_BOOK_AGE_NS", "Cancel", "Close", "Leave", "Place", "Raise", "Step", "Warn", "due_ns", "exit_steps",
    "fresh_bid", "holding", "holds_entry", "ladder_orders", "stop_price",
]  # fmt: skip

LEAVING_LEG = "x"  # what sells everything, as against the rungs t1, t2 ...
LOOK_NS = SECOND  # how often the clock alone makes us look at a position that waits for a price
WARN_EMPTY = 4  # tries that sold nothing, before the first alert
WARN_BLIND_NS = MINUTE  # without a price, before the first alert


@dataclass(frozen=True, slots=True)
class Place:
    order: Order


@dataclass(frozen=True, slots=True)
class Cancel:
    client_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Sell everything from now on."""

    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Close:
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Warn:
    """A position cannot be left, or not be watched: to be alerted once per ``key`` of its snipe.

    The key changes each time the trouble has doubled, so a position that stays stuck is said again.
    """

    key: str
    text: str


Step: TypeAlias = Place | Cancel | Leave | Raise | Close | Warn


def exit_steps(snipe: Snipe, desk: Desk, market: Market, book: Book | None, now_ns: int) -> list[Step]:
    """The next steps for one snipe that holds something; empty when there is only waiting to do.

    Args:
        snipe: in state ENTERED or EXITING.
        book: the newest book of its symbol, or None when there is none.
        now_ns: the venue's clock.
    """
    if any(order.is_live for order in desk.entries(snipe.snipe_id)):
        return []  # the entry may still grow; its own type or the venue ends it
    bid = fresh_bid(book, now_ns)
    if snipe.state is SnipeState.EXITING:
        steps = _sell_out(snipe, desk, market, bid, now_ns)
    else:
        steps = _guard(snipe, desk, market, bid, now_ns)
    if any(isinstance(step, Leave | Close) for step in steps):
        return steps
    blind = _blindness(snipe, desk, book, now_ns)
    tried = _failures(snipe, desk) if any(isinstance(step, Place) for step in steps) else []
    return [*blind, *tried, *steps]


def due_ns(snipe: Snipe, desk: Desk, now_ns: int) -> int | None:
    """When the clock alone makes the next look at a position worthwhile; None: only news can move it.

    Args:
        snipe: in any state; only ENTERED and EXITING wait for something here.

    Always after ``now_ns`` unless the time stop has passed unseen within the last second: what could not be
    done at its instant, for want of a price or of trading rules, is looked at again later, not at once.
    """
    if any(order.is_live for order in desk.entries(snipe.snipe_id)):
        return None
    exits = desk.exits(snipe.snipe_id)
    if snipe.state is SnipeState.ENTERED:
        ends_ns = (snipe.entered_ns or now_ns) + snipe.plan.exit.time_stop_ns
        due = [_next_look(ends_ns, LOOK_NS, now_ns)]
        for leg in legs(snipe.plan.exit):
            tries = [order for order in exits if order.leg == leg]
            at = retry_ns(tries)
            if at is not None and tries[-1].state is not OrderState.FILLED and not is_given_up(tries):
                due.append(_next_look(at, max(LOOK_NS, at - tries[-1].decided_ns), now_ns))
        return min(due)
    if snipe.state is SnipeState.EXITING:
        if any(order.is_live and order.state is not OrderState.UNKNOWN for order in exits):
            return None
        at = retry_ns([order for order in exits if order.leg == LEAVING_LEG])
        return now_ns + LOOK_NS if at is None else _next_look(at, LOOK_NS, now_ns)
    return None


def _next_look(at_ns: int, every_ns: int, now_ns: int) -> int:
    """``at_ns``, or the first of the instants ``every_ns`` apart after it that is still to come."""
    if at_ns > now_ns:
        return at_ns
    return at_ns + ((now_ns - at_ns) // every_ns + 1) * every_ns


def holds_entry(snipe: Snipe, desk: Desk, market: Market | None) -> bool:
    """Whether more than dust is held of what the snipe bought, and not only what its close left behind."""
    entry, held = desk.entry_price(snipe.snipe_id), holding(desk, snipe.snipe_id)
    if entry is None or held <= 0 or (market is not None and market.is_dust(held, entry)):
        return False
    if snipe.state is not SnipeState.CLOSED:
        return True
    # a remainder that was too little at the bid may be worth more at the entry's price: only a trade that
    # came after the close, which changes the profit, may bring the snipe back
    closed = [result for result in desk.results if result.snipe_id == snipe.snipe_id]
    return not closed or closed[-1].profit != desk.profit(snipe.snipe_id)


def _guard(snipe: Snipe, desk: Desk, market: Market, bid: Decimal | None, now_ns: int) -> list[Step]:
    """While nothing makes us leave: the stop follows, and the ladder rests."""
    end = _closing(snipe, desk, market, None) or _reason_to_leave(snipe, desk, bid, now_ns)
    if end is not None:
        return [end]
    rise = raised_stop(snipe, desk, market, bid) if bid is not None else None
    steps: list[Step] = [] if rise is None else [rise]
    mine = legs(snipe.plan.exit)
    former = [o for o in desk.exits(snipe.snipe_id) if o.is_live and o.leg not in mine]
    if former:  # what the old plan locks is not the new plan's to sell before the venue has given it back
        return steps + [Cancel(o.client_id, "the exit plan was replaced") for o in former if _rests(o)]
    orders = ladder_orders(snipe, desk, market, now_ns, bid)
    closing = _closing(snipe, desk, market, bid) if not orders else None
    return [closing] if closing is not None else steps + [Place(order) for order in orders]


def _reason_to_leave(snipe: Snipe, desk: Desk, bid: Decimal | None, now_ns: int) -> Leave | None:
    entry = desk.entry_price(snipe.snipe_id)
    ends_ns = (snipe.entered_ns or now_ns) + snipe.plan.exit.time_stop_ns
    if now_ns >= ends_ns:
        return Leave("time", f"held for {span(snipe.plan.exit.time_stop_ns)}")
    if entry is None or bid is None:
        return None
    stop = stop_price(snipe, entry)
    if bid > stop:
        return None
    raised = snipe.stop_price is not None and snipe.stop_price == stop
    return Leave("stop", f"the bid {bid} is at or below the {'raised ' if raised else ''}stop {stop:.6g}")


def _sell_out(snipe: Snipe, desk: Desk, market: Market, bid: Decimal | None, now_ns: int) -> list[Step]:
    closing = _closing(snipe, desk, market, bid)
    if closing is not None:
        return [closing]
    exits = desk.exits(snipe.snipe_id)
    live = [order for order in exits if order.is_live]
    if any(order.state is not OrderState.UNKNOWN for order in live):
        return [Cancel(order.client_id, snipe.exit_why) for order in live if _rests(order)]
    if bid is None:
        return []  # no price to sell at: wait for one, never guess
    quantity = market.whole_lots(free_units(desk, snipe))
    if market.is_dust(quantity, bid):
        return []  # all of it is in orders of unknown fate, which the venue is being asked about
    tries = [order for order in exits if order.leg == LEAVING_LEG]
    if now_ns < (retry_ns(tries) or now_ns):
        return []
    # the band below the bid, but not so low that the venue would find the order too small
    least = max(bid * (1 - market.market_band), market.min_notional / quantity)
    price = max(min(market.limit_price(least, Side.SELL), market.limit_price(bid, Side.BUY)), market.tick)
    name = (LEAVING_LEG, len(tries) + 1)
    return [Place(exit_order(snipe, name, OrderType.IMMEDIATE_OR_CANCEL, (quantity, price), now_ns))]


def _rests(order: Order) -> bool:
    """Whether it stands in the book, so that it can be cancelled and has to be."""
    resting = order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
    return resting and order.type in (OrderType.LIMIT, OrderType.LIMIT_MAKER)


def _closing(snipe: Snipe, desk: Desk, market: Market, bid: Decimal | None) -> Close | None:
    """The end, once nothing is left that the venue would take; what is left over is said.

    While the snipe is ENTERED, only what a ladder has left behind counts as dust: a whole position that is
    too small at this bid waits for a better one until a stop or the clock.
    """
    exits, held = desk.exits(snipe.snipe_id), holding(desk, snipe.snipe_id)
    if any(order.is_live for order in exits):
        return None
    exiting, sold = snipe.state is SnipeState.EXITING, any(order.fills for order in exits)
    reason = snipe.exit_why if exiting else ("ladder" if sold else "dust")
    base, quote = snipe.plan.symbol.base, snipe.plan.symbol.quote
    gone = desk.written_off.get(snipe.snipe_id)
    if held <= 0 and gone:
        return Close("written_off", f"{gone} {base} were written off, and nothing else is held")
    if held <= 0:
        return Close(reason, "everything is sold")
    if market.whole_lots(held) <= 0:
        return Close(reason, f"all that can be sold is sold; {held} {base} are left, a lot is {market.lot}")
    if bid is None or not market.is_dust(held, bid) or not (exiting or sold):
        return None
    words = (
        f"worth {held * bid:.6g} {quote} at the bid {bid}; the least order is {market.min_notional} {quote}"
    )
    return Close(reason, f"all that can be sold is sold; {held} {base} are left, {words}")


def _failures(snipe: Snipe, desk: Desk) -> list[Warn]:
    """Said with the next try: exits that the venue refuses, and tries that sell nothing."""
    exits, warnings = desk.exits(snipe.snipe_id), []
    refused = [order for order in exits if order.state is OrderState.REJECTED]
    if refused:
        text = f"exit {refused[-1].client_id} was refused ({refused[-1].why}); refused so far: {len(refused)}"
        warnings.append(Warn(f"refused {_doubling(len(refused))}", text))
    empty = [
        order
        for order in exits
        if order.type is OrderType.IMMEDIATE_OR_CANCEL
        and order.state is OrderState.CANCELED
        and not (order.fills or order.is_live)
    ]
    if len(empty) >= WARN_EMPTY:
        last = empty[-1]
        text = f"{last.symbol} cannot be sold: {len(empty)} tries sold nothing, the last one at {last.price}"
        warnings.append(Warn(f"empty {_doubling(len(empty))}", text))
    return warnings


def _blindness(snipe: Snipe, desk: Desk, book: Book | None, now_ns: int) -> list[Warn]:
    """Without a price a position can neither be sold nor be guarded by its stop."""
    if fresh_bid(book, now_ns) is not None:
        return []
    exits = desk.exits(snipe.snipe_id)
    seen = book.at_ns if book is not None and now_ns - book.at_ns > EXIT_BOOK_AGE_NS else 0
    blind_ns = now_ns - max(seen, snipe.entered_ns or now_ns, exits[-1].decided_ns if exits else 0)
    if blind_ns < WARN_BLIND_NS:
        return []
    what = "sold" if snipe.state is SnipeState.EXITING else "guarded by its stop"
    text = f"{snipe.plan.symbol} cannot be {what}: it has had no price to act on for {span(blind_ns)}"
    return [Warn(f"no price {_doubling(blind_ns // WARN_BLIND_NS)}", text)]


def _doubling(count: int) -> int:
    """The largest power of two that is not above ``count``."""
    return 1 << (count.bit_length() - 1)
