"""Pictures of orders, snipes and positions for JSON: decimals as text, times in ns. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexclab.daemon.row_types import (
    DisputeRow,
    ExitRow,
    ExternalRow,
    FillRow,
    OrderRow,
    PositionRow,
    PreflightRow,
    ReconciledRow,
    RemainderRow,
    RungRow,
    SnipeRow,
    StopRow,
    TargetRow,
)
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND, span
from mexclab.domain.desk import Desk
from mexclab.domain.figures import digits, ten_digits
from mexclab.domain.market import Book, Market
from mexclab.domain.order import Fill, Order
from mexclab.domain.portfolio import ZERO, Position
from mexclab.domain.snipe import LADDERS, ExitPlan, Snipe, written_ladder
from mexclab.trading import exits
from mexclab.trading.handling import Remainder

MOST_EXTERNAL = 500


def exact(value: Decimal) -> str:
    """The number digit for digit, as the ledger has it."""
    return digits(value)


def short(value: Decimal | None) -> str | None:
    """A quotient, to ten significant digits."""
    return None if value is None else digits(ten_digits(value))


def order_row(order: Order) -> OrderRow:
    return OrderRow(
        client_id=order.client_id,
        venue_id=order.venue_id,
        snipe_id=order.snipe_id,
        leg=order.leg,
        symbol=str(order.symbol),
        side=str(order.side),
        type=str(order.type),
        state=str(order.state),
        quantity=exact(order.quantity),
        price=exact(order.price),
        filled=exact(order.filled),
        average_price=short(order.average_price),
        decided_ns=order.decided_ns,
        sent_ns=order.sent_ns,
        left_ns=order.left_ns,
        acked_ns=order.acked_ns,
        cancel_ns=order.cancel_ns,
        why=order.why,
    )


def fill_row(fill: Fill) -> FillRow:
    return FillRow(
        trade_id=fill.trade_id,
        client_id=fill.client_id,
        price=exact(fill.price),
        quantity=exact(fill.quantity),
        value=exact(fill.value),
        fee=exact(fill.fee),
        fee_asset=fill.fee_asset,
        at_ns=fill.at_ns,
        is_maker=fill.is_maker,
    )


def external_rows(desk: Desk) -> list[ExternalRow]:
    """The newest orders of others on the account."""
    newest = list(desk.external.items())[-MOST_EXTERNAL:]
    return [
        ExternalRow(venue_id, str(o.symbol), str(o.side), exact(o.quantity), exact(o.price), seen_ns=o.at_ns)
        for venue_id, o in newest
    ]


def dispute_rows(desk: Desk) -> list[DisputeRow]:
    return [DisputeRow(str(symbol), why) for symbol, why in desk.disputed.items()]


def exit_row(plan: ExitPlan) -> ExitRow:
    preset = next((name for name, ladder in LADDERS.items() if ladder == plan.ladder), "")
    return ExitRow(
        preset=preset,
        text=written_ladder(plan.ladder),
        ladder=tuple(RungRow(exact(rung.gain), exact(rung.share)) for rung in plan.ladder),
        stop_loss=exact(plan.stop_loss),
        trailing=None if plan.trailing is None else exact(plan.trailing),
        break_even_after=None if plan.break_even_after is None else exact(plan.break_even_after),
        time_stop_s=plan.time_stop_ns / SECOND,
    )


def snipe_row(snipe: Snipe, desk: Desk) -> SnipeRow:
    plan, entry = snipe.plan, desk.entry_price(snipe.snipe_id)
    return SnipeRow(
        snipe_id=plan.snipe_id,
        signal_id=plan.signal_id,
        symbol=str(plan.symbol),
        state=str(snipe.state),
        reason=snipe.reason,
        why=snipe.why,
        armed_by=snipe.armed_by,
        probability=exact(plan.probability),
        budget_quote=exact(plan.budget_quote),
        price_cap=exact(plan.price_cap),
        book_slippage=None if plan.book_slippage is None else exact(plan.book_slippage),
        open_ns=plan.not_before_ns,
        deadline_ns=plan.deadline_ns,
        attempts=plan.attempts,
        attempts_made=snipe.attempts_made,
        planned_ns=snipe.planned_ns,
        entered_ns=snipe.entered_ns,
        closed_ns=snipe.closed_ns,
        entry_price=short(entry),
        stop=stop_row(snipe, desk),
        exit_why=snipe.exit_why,
        profit=exact(desk.profit(snipe.snipe_id)) if entry is not None and snipe.state.is_over else None,
        exit=exit_row(plan.exit),
    )


def stop_row(snipe: Snipe, desk: Desk) -> StopRow:
    entry = desk.entry_price(snipe.snipe_id)
    return StopRow(
        price=short(exits.stop_price(snipe, entry)) if entry is not None else None,
        raised=snipe.stop_price is not None,
        peak=None if snipe.peak_price is None else exact(snipe.peak_price),
    )


def headline(snipe: Snipe, desk: Desk) -> str:
    """What a snipe came to, in a line: its profit, how it left, how long it held."""
    spent = sum((order.filled_value for order in desk.entries(snipe.snipe_id)), ZERO)
    profit = desk.profit(snipe.snipe_id)
    share = f" ({profit / spent * 100:+.1f} %)" if spent else ""
    if snipe.entered_ns is None or snipe.closed_ns is None:
        return f"{profit:+.4f} {snipe.plan.symbol.quote}{share}"
    held = span(snipe.closed_ns - snipe.entered_ns)
    return f"{profit:+.4f} {snipe.plan.symbol.quote}{share} by {snipe.reason}, held for {held}"


def preflight_rows(snipe: Snipe) -> list[PreflightRow]:
    return [PreflightRow(p.at_ns, p.stage, p.passed, p.reasons) for p in snipe.preflights]


def target_rows(snipe: Snipe, desk: Desk) -> tuple[TargetRow, ...]:
    """The take-profits that rest or have sold, each with its share of the entry."""
    bought = sum((order.filled for order in desk.entries(snipe.snipe_id)), ZERO)
    return tuple(
        TargetRow(
            client_id=order.client_id,
            price=exact(order.price),
            share=f"{order.quantity / bought:.2f}" if bought else "0",
            quantity=exact(order.quantity),
            sold=exact(order.filled),
            filled=order.remaining == 0,
            state=str(order.state),
        )
        for order in desk.exits(snipe.snipe_id)
        if order.leg.startswith("t") and (order.fills or order.is_live)
    )


@dataclass(frozen=True, slots=True)
class Quote:
    """What a holding is judged by: the newest book, the trading rules where they are known, the time."""

    book: Book | None
    market: Market | None
    now_ns: int


def position_row(position: Position, desk: Desk, quote: Quote) -> PositionRow:
    snipe = next((s for s in desk.live_snipes() if s.plan.symbol == position.symbol), None)
    book, market = quote.book, quote.market
    price = book.bid if book else None
    value = position.quantity * price if price is not None else None
    gain = value - position.cost if value is not None else None
    entry = desk.entry_price(snipe.snipe_id) if snipe else None
    sellable, why = _sale(position, quote)
    return PositionRow(
        symbol=str(position.symbol),
        snipe_id=snipe.snipe_id if snipe else None,
        quantity=exact(position.quantity),
        cost=exact(position.cost),
        average_cost=short(position.average_cost),
        price=None if price is None else exact(price),
        price_at_ns=book.at_ns if book else None,
        value=short(value),
        unrealised=short(gain),
        unrealised_fraction=float(gain / position.cost) if gain is not None and position.cost else None,
        stop_price=short(exits.stop_price(snipe, entry)) if snipe and entry else None,
        stop_raised=snipe is not None and snipe.stop_price is not None,
        peak_price=exact(snipe.peak_price) if snipe and snipe.peak_price is not None else None,
        trailing=exact(snipe.plan.exit.trailing) if snipe and snipe.plan.exit.trailing is not None else None,
        entered_ns=snipe.entered_ns if snipe else None,
        time_stop_ns=snipe.entered_ns + snipe.plan.exit.time_stop_ns if snipe and snipe.entered_ns else None,
        minimum=exact(market.min_notional) if market else None,
        sellable=sellable,
        why=why,
        targets=target_rows(snipe, desk) if snipe else (),
    )


def _sale(position: Position, quote: Quote) -> tuple[bool | None, str]:
    """Whether the venue would take an order that sells all of it, and why not; None: nobody can say."""
    market, asset = quote.market, position.symbol.quote
    bid = exits.fresh_bid(quote.book, quote.now_ns)
    if market is None:
        return None, "the venue's trading rules are not known"
    if market.whole_lots(position.quantity) <= 0:
        return False, f"less than a lot of {exact(market.lot)}"
    if bid is None:
        return None, "it has no price to act on"
    if market.is_dust(position.quantity, bid):
        worth = short(market.whole_lots(position.quantity) * bid)
        return False, f"worth {worth} {asset}; the least order is {exact(market.min_notional)} {asset}"
    return True, ""


def remainder_row(remainder: Remainder) -> RemainderRow:
    return RemainderRow(
        symbol=str(remainder.symbol),
        snipe_id=remainder.snipe_id,
        quantity=exact(remainder.quantity),
        value=short(remainder.value),
        minimum=None if remainder.minimum is None else exact(remainder.minimum),
        sellable=remainder.sellable,
        why=remainder.why,
    )


def reconciled_row(event: e.Reconciled | None) -> ReconciledRow | None:
    if event is None:
        return None
    return ReconciledRow(
        at_ns=event.at_ns,
        orders_asked=event.orders_asked,
        fills_found=event.fills_found,
        unknown_left=event.unknown_left,
        external=event.external,
        differences=event.differences,
    )
