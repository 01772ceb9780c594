"""Risk: one pure function in the only order path. It returns every broken limit, not just the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, takewhile

from mexclab.config import LimitSettings
from mexclab.domain.clock import MILLISECOND, SECOND, span, written
from mexclab.domain.desk import Desk
from mexclab.domain.events import Breach
from mexclab.domain.market import Book
from mexclab.domain.order import Order
from mexclab.domain.portfolio import ZERO
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import Plan, SnipeState
from mexclab.ports import Prices
from mexclab.trading.entries import was_told_to_wait


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world at the moment of the decision; None is "not known", and fails closed."""

    now_ns: int
    clock: ClockReading | None
    free_quote: Decimal | None
    book: Book | None  # of the symbol in question; None before it trades
    prices: Prices  # of everything held
    taker_fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Intent:
    """An entry that the strategy wants, with the plan it belongs to."""

    order: Order
    plan: Plan

    @property
    def value(self) -> Decimal:
        """The most quote that it can spend, before fees."""
        return self.order.quantity * self.order.price


@dataclass(frozen=True, slots=True)
class Verdict:
    breaches: tuple[Breach, ...]

    @property
    def cleared(self) -> bool:
        return not self.breaches

    @property
    def reason(self) -> str:
        """The short code of the first broken limit, or an empty text."""
        return self.breaches[0].limit if self.breaches else ""

    @property
    def why(self) -> str:
        return "; ".join(breach.why for breach in self.breaches)


def review(intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Verdict:
    """Judge one entry. Exits and cancels never come here: no limit may keep money in.

    Args:
        intent: the order and its plan.
        desk: the state so far.
        limits: the bounds in force.
        facts: the world now; what is not known counts as broken.
    """
    checks = (_halt, _target, _price, _size, _losses, _facts)
    return Verdict(tuple(b for check in checks for b in check(intent, desk, limits, facts)))


def _halt(_intent: Intent, desk: Desk, _limits: LimitSettings, _facts: Facts) -> Iterator[Breach]:
    if desk.halt is not None:
        why = f"halted by {desk.halt.by} since {written(desk.halt.at_ns)}: {desk.halt.why}"
        yield Breach("halted", "halted", "not halted", why)


def _target(intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Iterator[Breach]:
    plan = intent.plan
    if plan.probability < limits.minimum_probability:
        why = f"the signal's probability {plan.probability} is below {limits.minimum_probability}"
        yield Breach("minimum_probability", str(plan.probability), str(limits.minimum_probability), why)
    if desk.frozen(plan.symbol):
        why = f"an order in {plan.symbol} has an unknown fate; the symbol is frozen until the venue tells"
        yield Breach("unknown_order", "unknown", "known", why)
    cool_ns = int(limits.symbol_cooldown_s * SECOND)
    recent = takewhile(lambda r: facts.now_ns < r.closed_ns + cool_ns, desk.recent_results())
    last_ns = next((r.closed_ns for r in recent if r.symbol == plan.symbol), None)
    if last_ns is not None:
        ago = span(facts.now_ns - last_ns)
        why = f"{plan.symbol} was traded {ago} ago; the cool-down is {span(cool_ns)}"
        yield Breach("symbol_cooldown", ago, span(cool_ns), why)
    busy = (SnipeState.FIRING, SnipeState.ENTERED, SnipeState.EXITING)
    running = [s for s in desk.live_snipes() if s.state in busy and s.snipe_id != plan.snipe_id]
    if len(running) >= limits.open_snipes:
        why = f"{len(running)} snipes are open and the limit is {limits.open_snipes}"
        yield Breach("open_snipes", str(len(running)), str(limits.open_snipes), why)


def _price(intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Iterator[Breach]:
    plan, order, book = intent.plan, intent.order, facts.book
    if order.price > plan.price_cap:
        why = f"the order's price {order.price} is above the cap {plan.price_cap}"
        yield Breach("price_collar", str(order.price), str(plan.price_cap), why)
    stale_ns = int(limits.stale_price_s * SECOND)
    # what is quoted before the opening is no price: the cap alone protects; soon after there must be one,
    # unless the venue itself says that nothing trades yet
    seen = book if book is not None and book.at_ns >= plan.not_before_ns else None
    age_ns = facts.now_ns - (plan.not_before_ns if seen is None else seen.at_ns)
    is_priced = seen is not None and bool(seen.bids or seen.asks)
    if age_ns > stale_ns and (is_priced or not _is_shut(plan, desk)):
        age = span(age_ns)
        why = f"the book of {plan.symbol} is {age} old; at most {span(stale_ns)} is allowed"
        if seen is None:
            why = f"no price of {plan.symbol} has been seen {age} after the opening"
        yield Breach("stale_price", "none" if seen is None else age, span(stale_ns), why)
    if book is not None and book.ask is not None and book.ask > plan.price_cap:
        why = f"the best ask {book.ask} is above the cap {plan.price_cap}"
        yield Breach("price_above_cap", str(book.ask), str(plan.price_cap), why)


def _is_shut(plan: Plan, desk: Desk) -> bool:
    """Whether no price can exist: the last attempt was refused as too early, and no trade has been seen."""
    return plan.snipe_id not in desk.first_trades and was_told_to_wait(plan, desk)


def _size(intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Iterator[Breach]:
    symbol, value = intent.order.symbol, intent.value
    bounds = (
        ("per_order_quote", value, limits.per_order_quote, "the order is worth"),
        ("per_symbol_quote", desk.committed(symbol) + value, limits.per_symbol_quote, f"{symbol} would hold"),
        (
            "total_exposure_quote",
            desk.committed() + value,
            limits.total_exposure_quote,
            "all positions would hold",
        ),
    )
    for name, found, bound, words in bounds:
        if found > bound:
            yield Breach(
                name, str(found), str(bound), f"{words} {found} {symbol.quote}; the limit is {bound}"
            )
    if facts.free_quote is None:
        yield Breach("balance_unknown", "unknown", "known", "the account's balance is not known")
    elif value * (1 + facts.taker_fee) > facts.free_quote:
        why = f"{value} {symbol.quote} and fees are more than the {facts.free_quote} that are free"
        yield Breach("insufficient_balance", str(value), str(facts.free_quote), why)
    second_ago = facts.now_ns - SECOND
    fresh = takewhile(lambda order: order.decided_ns > second_ago, desk.recent_orders())
    sent = sum(1 for order in fresh if order.sent_ns is not None)
    if sent >= limits.orders_per_s:
        why = f"{sent} orders were sent in the last second; the limit is {limits.orders_per_s}"
        yield Breach("orders_per_s", str(sent), str(limits.orders_per_s), why)


def _losses(_intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Iterator[Breach]:
    portfolio = desk.portfolio
    # what nobody can price counts as worth nothing: a coin that was taken off must not bar entries for ever
    worthless = {p.symbol: ZERO for p in portfolio.held if p.symbol not in facts.prices}
    unrealised = portfolio.unrealised({**facts.prices, **worthless}) or ZERO
    without = f", {', '.join(map(str, worthless))} counted as worth nothing" if worthless else ""
    today = portfolio.realised_on(facts.now_ns) + min(unrealised, ZERO)
    if today <= -limits.day_loss_quote:
        why = f"today's loss is {-today}{without}; the limit is {limits.day_loss_quote}"
        yield Breach("day_loss_quote", str(-today), str(limits.day_loss_quote), why)
    peak = portfolio.peak_equity or portfolio.opening_balance
    fall = peak - (portfolio.opening_balance + portfolio.realised + unrealised)
    if peak > 0 and fall / peak >= limits.drawdown:
        why = f"equity is {fall / peak:.1%} below its peak{without}; the limit is {limits.drawdown:.1%}"
        yield Breach("drawdown", f"{fall / peak:.4f}", str(limits.drawdown), why)
    streak = list(islice(desk.recent_results(), limits.loss_streak))
    pause_ns = int(limits.loss_streak_pause_s * SECOND)
    lost = len(streak) == limits.loss_streak and all(result.profit < 0 for result in streak)
    if lost and facts.now_ns < streak[0].closed_ns + pause_ns:
        until = written(streak[0].closed_ns + pause_ns)
        why = f"the last {limits.loss_streak} snipes lost; entries pause until {until}"
        yield Breach("loss_streak", str(limits.loss_streak), str(limits.loss_streak), why)


def _facts(_intent: Intent, _desk: Desk, limits: LimitSettings, facts: Facts) -> Iterator[Breach]:
    yield from clock_breaches(facts.clock, limits, facts.now_ns)


def clock_breaches(clock: ClockReading | None, limits: LimitSettings, now_ns: int) -> Iterator[Breach]:
    """What is wrong with the venue's clock as we know it; the health report asks the same."""
    if clock is None:
        yield Breach("clock_unknown", "unknown", "known", "the venue's clock has not been measured")
        return
    age = now_ns - clock.measured_ns
    if age > limits.clock_age_s * SECOND:
        why = f"the venue's clock was measured {span(age)} ago; at most {limits.clock_age_s} s are allowed"
        yield Breach("clock_age_s", span(age), f"{limits.clock_age_s} s", why)
    offset = abs(clock.offset_ns) + clock.error_ns
    if offset > limits.clock_offset_ms * MILLISECOND:
        why = f"our clock may be {span(offset)} off; at most {limits.clock_offset_ms} ms are allowed"
        yield Breach("clock_offset_ms", span(offset), f"{limits.clock_offset_ms} ms", why)
