"""The ladder: which take-profit orders a position wants, and which of them are missing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Side
from mexclab.domain.order import Order, OrderState, OrderType, client_order_id
from mexclab.domain.snipe import MOST_RUNGS, ExitPlan, Snipe

EXIT_SPACING_NS = 500 * MILLISECOND  # between two tries to sell; doubled by each refusal
LEG_TRIES = 5  # a rung that the venue keeps refusing is left to the stop and the clock
EMPTY_TRIES = 8  # so many tries that sell nothing are made at the least spacing; then it doubles too

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Target:
    """What one rung wants: all of ``quantity`` at ``price`` or better."""

    leg: str
    price: Decimal
    quantity: Decimal


def holding(desk: Desk, snipe_id: str) -> Decimal:
    """Units that one snipe bought and has not sold, fees in the base asset and write-offs taken off."""
    total = -desk.written_off.get(snipe_id, ZERO)
    for order in desk.orders_of(snipe_id):
        for fill in order.fills:
            total += fill.quantity if fill.side is Side.BUY else -fill.quantity
            total -= fill.fee if fill.fee_asset == fill.symbol.base else ZERO
    return total


def free_units(desk: Desk, snipe: Snipe) -> Decimal:
    """What of a snipe's holding no live order of its symbol may still sell."""
    symbol = snipe.plan.symbol
    sales = [order for order in desk.open_orders() if order.side is Side.SELL and order.symbol == symbol]
    mine = sum((order.remaining for order in sales if order.snipe_id == snipe.snipe_id), ZERO)
    every = sum((order.remaining for order in sales), ZERO)
    return min(holding(desk, snipe.snipe_id) - mine, desk.held(symbol) - every)


def legs(plan: ExitPlan) -> list[str]:
    """The names of the plan's rungs in client order ids: t1, t2 ...; t1v1 ... once it was replaced."""
    suffix = f"v{plan.version}" if plan.version else ""
    return [f"t{number}{suffix}" for number in range(1, MOST_RUNGS + 1)]


def ladder_orders(
    snipe: Snipe, desk: Desk, market: Market, now_ns: int, bid: Decimal | None = None
) -> list[Order]:
    """The take-profits that are missing: what each rung wants, less what rests or was sold for it.

    After a restart, a late fill or an order that the venue dropped, only the difference is placed. Where
    no limit may rest, a rung is sold by a bounded immediate-or-cancel order once ``bid`` reaches its price.
    """
    free = free_units(desk, snipe)
    missing = []
    for target in targets(snipe, desk, market):
        mine = [order for order in desk.exits(snipe.snipe_id) if order.leg == target.leg]
        have = sum((o.filled + (o.remaining if o.is_live else ZERO) for o in mine), ZERO)
        quantity = market.whole_lots(min(target.quantity - have, free))
        if market.is_dust(quantity, target.price) or not _may_try(mine, market, now_ns):
            continue
        if not market.takes_limits and (bid is None or bid < target.price):
            continue
        kind = OrderType.LIMIT if market.takes_limits else OrderType.IMMEDIATE_OR_CANCEL
        free -= quantity
        missing.append(exit_order(snipe, (target.leg, len(mine) + 1), kind, (quantity, target.price), now_ns))
    return missing


def targets(snipe: Snipe, desk: Desk, market: Market) -> list[Target]:
    """What each rung of the plan wants of all that was held when the plan began.

    Rungs that the venue would refuse as too small are carried into the next one, the last of them into
    the one before; when the shares are the whole, what rounding leaves over goes to the last rung.
    """
    entry = desk.entry_price(snipe.snipe_id)
    if entry is None:
        return []
    ladder, names = snipe.plan.exit.ladder, legs(snipe.plan.exit)
    sold = sum((o.filled for o in desk.exits(snipe.snipe_id) if o.leg in names), ZERO)
    whole = holding(desk, snipe.snipe_id) + sold
    rungs: list[Target] = []
    carried, left = ZERO, market.whole_lots(whole)
    for leg, rung in zip(names, ladder, strict=False):
        price = market.limit_price(entry * (1 + rung.gain), Side.SELL)
        wanted = whole * rung.share + carried
        quantity = min(market.whole_lots(wanted), left)
        if market.is_dust(quantity, price):
            carried = wanted
            continue
        rungs.append(Target(leg, price, quantity))
        carried, left = ZERO, left - quantity
    is_all = sum(rung.share for rung in ladder) == 1
    extra = left if is_all else min(market.whole_lots(carried), left)
    if rungs and extra > 0:
        last = rungs[-1]
        rungs[-1] = Target(last.leg, last.price, last.quantity + extra)
    return rungs


def exit_order(
    snipe: Snipe, name: tuple[str, int], kind: OrderType, size: tuple[Decimal, Decimal], now_ns: int
) -> Order:
    """A sale: ``name`` is (leg, attempt), ``size`` is (quantity, limit price)."""
    (leg, attempt), (quantity, price) = name, size
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


def retry_ns(tries: Sequence[Order]) -> int | None:
    """When another try may follow these, the oldest first; None when the last one is no failure.

    A refusal doubles the wait, up to 32 s; tries that sell nothing do so too once there are many.
    """
    if not tries or tries[-1].is_live:
        return None
    refused = empty = 0
    for order in reversed(tries):
        if order.fills:
            break
        refused += order.state is OrderState.REJECTED
        empty += order.state is OrderState.CANCELED
    waits = 1 << min(refused + empty // EMPTY_TRIES, 6)
    return tries[-1].decided_ns + EXIT_SPACING_NS * waits


def is_given_up(mine: Sequence[Order]) -> bool:
    """Whether a rung has been refused, or dropped by the venue, so often that it is not placed again."""
    refused = sum(1 for order in mine if order.state is OrderState.REJECTED)
    rested = sum(1 for order in mine if order.type is OrderType.LIMIT)
    return refused >= LEG_TRIES or rested >= LEG_TRIES


def _may_try(mine: Sequence[Order], market: Market, now_ns: int) -> bool:
    if is_given_up(mine):
        return False
    if market.takes_limits and not (mine and mine[-1].state is OrderState.REJECTED):
        return True  # an order that the venue dropped rests again at once
    return now_ns >= (retry_ns(mine) or now_ns)
