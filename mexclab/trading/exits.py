"""Exits: what to do next about a position, decided purely from what is known.

While the snipe is ENTERED, take-profit limits rest at the venue. Once a stop, the clock or a person
says so it is EXITING: resting orders are cancelled first (their base asset is locked), and what is
left goes out in bounded immediate-or-cancel orders until only dust remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from mexclab.domain.clock import MILLISECOND, SECOND, span
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Side
from mexclab.domain.order import Order, OrderState, OrderType, client_order_id
from mexclab.domain.snipe import Snipe, SnipeState

EXIT_SPACING_NS = 500 * MILLISECOND  # between two tries to sell the rest; doubled by each refusal
LEG_TRIES = 3  # a rung that the venue keeps refusing is left to the stop and the clock
EXIT_BOOK_AGE_NS = 90 * SECOND  # an exit never sells at a price older than this


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


Step: TypeAlias = Place | Cancel | Leave | Close


def exit_steps(snipe: Snipe, desk: Desk, market: Market, book: Book | None, now_ns: int) -> list[Step]:
    """The next steps for one snipe that holds something; empty when there is only waiting to do.

    Args:
        snipe: in state ENTERED or EXITING.
        book: the newest book of its symbol, or None when there is none.
        now_ns: the venue's clock.
    """
    if any(order.is_live for order in desk.entries(snipe.snipe_id)):
        return []  # the entry may still grow; its own type or the venue ends it
    if snipe.state is SnipeState.EXITING:
        return _sell_out(snipe, desk, market, book, now_ns)
    exits, held = desk.exits(snipe.snipe_id), desk.held(snipe.plan.symbol)
    reference = (book.bid if book else None) or desk.entry_price(snipe.snipe_id)
    if exits and not any(order.is_live for order in exits) and reference and market.is_dust(held, reference):
        return [_close(snipe, held, "ladder")]
    leave = _reason_to_leave(snipe, desk, book, now_ns)
    if leave is not None:
        return [leave]
    return [Place(order) for order in ladder_orders(snipe, desk, market, now_ns)]


def holds_entry(snipe: Snipe, desk: Desk, market: Market | None) -> bool:
    """Whether more than dust is still held of what the snipe bought."""
    entry, held = desk.entry_price(snipe.snipe_id), desk.held(snipe.plan.symbol)
    return entry is not None and held > 0 and (market is None or not market.is_dust(held, entry))


def stop_price(snipe: Snipe, entry_price: Decimal) -> Decimal:
    """The bid at or below which everything is sold."""
    return entry_price * (1 - snipe.plan.exit.stop_loss)


def _reason_to_leave(snipe: Snipe, desk: Desk, book: Book | None, now_ns: int) -> Leave | None:
    entry = desk.entry_price(snipe.snipe_id)
    ends_ns = (snipe.entered_ns or now_ns) + snipe.plan.exit.time_stop_ns
    if now_ns >= ends_ns:
        return Leave("time", f"held for {span(snipe.plan.exit.time_stop_ns)}")
    if (
        entry is not None
        and book is not None
        and book.bid is not None
        and book.bid <= stop_price(snipe, entry)
    ):
        return Leave("stop", f"the bid {book.bid} is at or below the stop {stop_price(snipe, entry):.6g}")
    return None


def ladder_orders(snipe: Snipe, desk: Desk, market: Market, now_ns: int) -> list[Order]:
    """The take-profit limits that are missing: what each rung wants, less what rests or was sold for it.

    Rungs that the venue would refuse as too small are carried into the next one, and what is left over
    goes to the last, so that no part of the position is without an exit. After a restart, a late fill or
    an order that the venue dropped, only the difference is placed.
    """
    entry = desk.entry_price(snipe.snipe_id)
    if entry is None:
        return []
    orders = desk.exits(snipe.snipe_id)
    held = desk.held(snipe.plan.symbol)
    free = held - sum((order.remaining for order in orders if order.is_live), Decimal(0))
    missing = []
    for leg, price, wanted in _rungs(
        snipe, market, entry, held + sum((o.filled for o in orders), Decimal(0))
    ):
        mine = [order for order in orders if order.leg == leg]
        have = sum((o.filled + (o.remaining if o.is_live else 0) for o in mine), Decimal(0))
        quantity = min(market.whole_lots(wanted - have), market.whole_lots(free))
        if market.is_dust(quantity, price) or len(mine) >= LEG_TRIES:
            continue
        free -= quantity
        missing.append(_exit_order(snipe, leg, len(mine) + 1, OrderType.LIMIT, (quantity, price), now_ns))
    return missing


def _rungs(
    snipe: Snipe, market: Market, entry: Decimal, bought: Decimal
) -> list[tuple[str, Decimal, Decimal]]:
    """(leg, price, quantity) of each take-profit for all that was bought."""
    ladder = snipe.plan.exit.ladder
    rungs: list[tuple[str, Decimal, Decimal]] = []
    carried, left = Decimal(0), market.whole_lots(bought)
    for number, rung in enumerate(ladder, start=1):
        price = market.limit_price(entry * (1 + rung.gain), Side.SELL)
        quantity = min(market.whole_lots(bought * rung.share + carried), left)
        if market.is_dust(quantity, price):
            carried += bought * rung.share
            continue
        rungs.append((f"t{number}", price, quantity))
        carried, left = Decimal(0), left - quantity
    if rungs and left > 0 and sum(rung.share for rung in ladder) == 1:
        leg, price, quantity = rungs[-1]
        rungs[-1] = (leg, price, quantity + left)
    return rungs


def _sell_out(snipe: Snipe, desk: Desk, market: Market, book: Book | None, now_ns: int) -> list[Step]:
    live = [order for order in desk.exits(snipe.snipe_id) if order.is_live]
    held = desk.held(snipe.plan.symbol)
    if live:
        resting = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
        return [
            Cancel(order.client_id, snipe.exit_why)
            for order in live
            if order.state in resting and order.type is OrderType.LIMIT
        ]
    if book is None or book.bid is None or now_ns - book.at_ns > EXIT_BOOK_AGE_NS:
        return []  # no price to sell at: wait for one, never guess
    if market.is_dust(held, book.bid):
        return [_close(snipe, held, snipe.exit_why)]
    tries = [order for order in desk.exits(snipe.snipe_id) if order.leg == "x"]
    refused = sum(1 for order in tries if order.state is OrderState.REJECTED)
    if tries and now_ns - tries[-1].decided_ns < EXIT_SPACING_NS * 2 ** min(refused, 6):
        return []
    floor = market.limit_price(book.bid * (1 - market.market_band), Side.SELL)
    quantity = market.whole_lots(held)
    order = _exit_order(
        snipe, "x", len(tries) + 1, OrderType.IMMEDIATE_OR_CANCEL, (quantity, max(floor, market.tick)), now_ns
    )
    return [Place(order)]


def _close(snipe: Snipe, held: Decimal, reason: str) -> Close:
    rest = f"; {held} {snipe.plan.symbol.base} are left, too little for the venue to trade" if held else ""
    return Close(reason, f"everything is sold{rest}")


def _exit_order(
    snipe: Snipe, leg: str, attempt: int, kind: OrderType, size: tuple[Decimal, Decimal], now_ns: int
) -> Order:
    quantity, price = size
    return Order(
        client_id=client_order_id(snipe.snipe_id, leg, attempt),
        symbol=snipe.plan.symbol,
        side=Side.SELL,
        type=kind,
        quantity=quantity,
        price=price,
        snipe_id=snipe.snipe_id,
        leg=leg,
        decided_ns=now_ns,
    )
