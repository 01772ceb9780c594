"""Risk: one pure function in the only order path. It returns every broken limit, not just the first.

``review`` judges an entry. ``what_if`` tells of every limit how far a plan would use it up, and ``usage`` how
far it is used up now; all three read the same lines, so they never disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile

from mexclab.config import LimitSettings
from mexclab.domain.clock import AHEAD_NS, MILLISECOND, SECOND, span, written
from mexclab.domain.desk import Desk
from mexclab.domain.events import Breach
from mexclab.domain.monitor import MonitorState
from mexclab.domain.portfolio import ZERO
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import Plan
from mexclab.trading.entries import was_told_to_wait
from mexclab.trading.facts import Case, Facts, Figure, Intent, Line
from mexclab.trading.history import as_money
from mexclab.trading.limits_portfolio import losses, together
from mexclab.trading.standing import Standing

__all__ = [
    "Assessment", "Facts", "Intent", "LimitUse", "Standing", "Verdict", "clock_breaches", "review", "usage",
    "what_if",
]  # fmt: skip

_NS = {"s": SECOND, "ms": MILLISECOND}


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


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How far one limit is used up.

    Attributes:
        name: as in a breach.
        used: what it measures now; None: not known.
        after: the same with the entry made; equal to ``used`` where no entry is looked at.
        bound: None: it has none, or the bound is not known. What must not be at all has 0.
        unit: the quote asset ("quote" where no entry is looked at), ``fraction``, ``s``, ``ms``, ``price``,
            or what is counted: ``orders``, ``snipes``, ``symbols``, ``causes``.
        broken: whether it refuses the entry; where no entry is looked at, any entry in any symbol.
        why: a sentence when it is broken or a cause is counted, or an empty text.
    """

    name: str
    used: Decimal | None
    after: Decimal | None
    bound: Decimal | None
    unit: str
    broken: bool
    why: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What would be said of a plan's first entry at its price cap, and how far each limit would be used."""

    plan: Plan
    limits: tuple[LimitUse, ...]

    @property
    def cleared(self) -> bool:
        return not any(limit.broken for limit in self.limits)

    @property
    def broken(self) -> tuple[LimitUse, ...]:
        return tuple(limit for limit in self.limits if limit.broken)


def review(intent: Intent, desk: Desk, limits: LimitSettings, facts: Facts) -> Verdict:
    """Judge one entry. Exits and cancels never come here: no limit may keep money in.

    Args:
        intent: the order and its plan.
        desk: the state so far.
        limits: the bounds in force.
        facts: the world now; what is not known counts as broken.
    """
    standing = Standing.of(desk, facts.prices, facts.written_off)
    case = Case(desk, limits, facts, standing, intent.plan, intent.value, intent.order.price)
    return Verdict(tuple([Breach(line[0], *line[5]()) for line in _lines(case) if line[4]]))


def what_if(plan: Plan, desk: Desk, limits: LimitSettings, facts: Facts) -> Assessment:
    """Every limit before and after an entry that spends the plan's whole budget at its cap. Nothing moves."""
    standing = Standing.of(desk, facts.prices, facts.written_off)
    without = Case(desk, limits, facts, standing, plan, ZERO, plan.price_cap)
    entered = Case(desk, limits, facts, standing, plan, plan.budget_quote, plan.price_cap)
    pairs = zip(_lines(without), _lines(entered), strict=True)
    return Assessment(plan, tuple(_use(before, after) for before, after in pairs))


def usage(desk: Desk, limits: LimitSettings, facts: Facts) -> tuple[LimitUse, ...]:
    """How far each limit is used up now that does not belong to one entry alone."""
    case = Case(desk, limits, facts, Standing.of(desk, facts.prices, facts.written_off))
    return tuple(_use(line, line) for line in _lines(case))


def _use(before: Line, after: Line) -> LimitUse:
    name, found, bound, unit, broken, say = after
    why = say()[2] if broken or (bound == 0 and found) else ""
    used = _exact(before[1], unit)
    return LimitUse(name, used, _exact(found, unit), _exact(bound, unit), unit, broken, why)


def _exact(figure: Figure, unit: str) -> Decimal | None:
    """The figure in its unit; what is no exact number to a millionth."""
    if figure is None or isinstance(figure, float):
        return None if figure is None else as_money(figure)
    exact = Decimal(figure) / _NS[unit] if unit in _NS else Decimal(figure)
    return round(exact, 6) if unit == "fraction" else exact


def _lines(case: Case) -> Iterator[Line]:
    """Every limit, the ones that say most first; the first that is broken names a verdict."""
    yield from _halt(case)
    yield from _target(case)
    if case.plan is not None:
        yield from _price(case, case.plan)
    yield from _size(case)
    yield from losses(case)
    yield from together(case)
    yield from clock_lines(case.facts.clock, case.limits, case.facts.now_ns)
    yield from _monitors(case)
    for breach in case.facts.missing:
        yield _cause(breach.limit, breach.value, breach.bound, breach.why)


def _cause(name: str, value: str, bound: str, why: str, there: bool = True) -> Line:
    """A limit that counts what must not be."""
    return (name, int(there), 0, "causes", there, lambda: (value, bound, why))


def _halt(case: Case) -> Iterator[Line]:
    halt = case.desk.halt
    why = "" if halt is None else f"halted by {halt.by} since {written(halt.at_ns)}: {halt.why}"
    yield _cause("halted", "halted", "not halted", why, halt is not None)


def _target(case: Case) -> Iterator[Line]:
    desk, plan, limits, now_ns = case.desk, case.plan, case.limits, case.facts.now_ns
    symbol = plan.symbol if plan is not None else None
    if plan is not None:
        quote, counted = plan.symbol.quote, case.facts.quote_asset
        yield (
            "quote_asset", int(quote != counted), 0, "causes", quote != counted,
            lambda: (quote, counted,
                     f"{symbol} is paid for in {quote}; every limit and balance here is in {counted}"),
        )  # fmt: skip
        odds, least = plan.probability, limits.minimum_probability
        yield (
            "minimum_probability", odds, least, "fraction", odds < least,
            lambda: (str(odds), str(least), f"the signal's probability {odds} is below {least}"),
        )  # fmt: skip
    strange = [each for each in (*case.standing.unknown, *desk.disputed) if symbol in (None, each)]
    yield (
        "unknown_order", len(strange), 0, "orders", bool(strange) and plan is not None,
        lambda: ("unknown", "known",
                 f"an order in {', '.join(sorted({str(each) for each in strange}))} has an unknown fate; the "
                 "symbol is frozen until the venue tells"),
    )  # fmt: skip
    for each in desk.protections_of(symbol, now_ns) if desk.protections else ():
        text = f"{each.why}; entries in {each.symbol or 'all symbols'} pause {each.ends}"
        refuses = plan is not None or each.symbol is None
        name, said = f"protection_{each.kind}", (each.value, each.bound, text)
        yield name, 1, 0, "causes", refuses, lambda said=said: said  # type: ignore[misc]
    yield _open_snipes(case)


def _open_snipes(case: Case) -> Line:
    desk, bound, more = case.desk, case.limits.open_snipes, 1 if case.value else 0
    own = desk.snipes.get(case.plan.snipe_id) if case.plan is not None else None
    running = desk.busy - (own is not None and own.state.is_busy)
    return (
        "open_snipes", running + more, bound, "snipes", running + more > bound,
        lambda: (str(running), str(bound), f"{running} snipes are open and the limit is {bound}"),
    )  # fmt: skip


def _price(case: Case, plan: Plan) -> Iterator[Line]:
    facts, price, book, cap = case.facts, case.price, case.facts.book, plan.price_cap
    yield (
        "price_collar", price, cap, "price", price is not None and price > cap,
        lambda: (str(price), str(cap), f"the order's price {price} is above the cap {cap}"),
    )  # fmt: skip
    stale_ns = int(case.limits.stale_price_s * SECOND)
    # what is quoted before the opening is no price: the cap alone protects; soon after there must be one,
    # unless the venue itself says that nothing trades yet
    seen = book if book is not None and book.at_ns >= plan.not_before_ns else None
    age_ns = facts.now_ns - (plan.not_before_ns if seen is None else seen.at_ns)
    is_priced = seen is not None and bool(seen.bids or seen.asks)
    is_ahead = seen is not None and age_ns < -AHEAD_NS
    broken = is_ahead or (age_ns > stale_ns and (is_priced or not _is_shut(plan, case.desk)))

    def say() -> tuple[str, str, str]:
        age, bound = span(age_ns), span(stale_ns)
        if seen is None:
            return "none", bound, f"no price of {plan.symbol} has been seen {age} after the opening"
        if is_ahead:
            return "unknown", bound, f"the book of {plan.symbol} is {span(-age_ns)} ahead of our clock"
        return age, bound, f"the book of {plan.symbol} is {age} old; at most {bound} is allowed"

    yield ("stale_price", max(age_ns, 0), stale_ns, "s", broken, say)
    ask = book.ask if book is not None else None
    yield (
        "price_above_cap", ask, cap, "price", ask is not None and ask > cap,
        lambda: (str(ask), str(cap), f"the best ask {ask} is above the cap {cap}"),
    )  # fmt: skip


def _is_shut(plan: Plan, desk: Desk) -> bool:
    """Whether no price can exist: the last attempt was refused as too early, and no trade has been seen."""
    return plan.snipe_id not in desk.first_trades and was_told_to_wait(plan, desk)


def _monitors(case: Case) -> Iterator[Line]:
    symbol = case.plan.symbol if case.plan is not None else None
    for reading in case.facts.monitors:
        if symbol is None or reading.symbol is None or reading.symbol == symbol:
            tripped = reading.state == MonitorState.TRIPPED
            refuses = tripped and (symbol is not None or reading.symbol is None)
            name = f"monitor_{reading.monitor}"
            said = (reading.value, reading.bound, reading.why)
            yield name, int(tripped), 0, "causes", refuses, lambda said=said: said  # type: ignore[misc]


def _size(case: Case) -> Iterator[Line]:
    facts, limits, standing, value = case.facts, case.limits, case.standing, case.value
    if case.plan is not None:
        symbol, quote = case.plan.symbol, case.plan.symbol.quote
        yield _bounded("per_order_quote", value, limits.per_order_quote, quote, "the order is worth")
        here, words = standing.committed_in(symbol) + value, f"{symbol} would hold"
    else:
        quote, words = "quote", "one symbol would hold"
        here = max((standing.committed_in(each) for each in standing.symbols), default=ZERO)
    yield _bounded("per_symbol_quote", here, limits.per_symbol_quote, quote, words)
    total = standing.committed + value
    yield _bounded(
        "total_exposure_quote", total, limits.total_exposure_quote, quote, "all positions would hold"
    )
    free = facts.free_quote
    why = "the account's balance is not known"
    yield _cause("balance_unknown", "unknown", "known", why, free is None)
    if free is not None:
        needed = value * (1 + facts.taker_fee)
        yield (
            "insufficient_balance", needed, free, quote, needed > free,
            lambda: (str(value), str(free),
                     f"{value} {quote} and fees are more than the {free} that are free"),
        )  # fmt: skip
    second_ago = facts.now_ns - SECOND
    fresh = takewhile(lambda order: order.decided_ns > second_ago, case.desk.recent_orders())
    sent = sum(1 for order in fresh if order.sent_ns is not None)
    most, more = limits.orders_per_s, 1 if value else 0
    yield (
        "orders_per_s", sent + more, most, "orders", sent + more > most,
        lambda: (str(sent), str(most), f"{sent} orders were sent in the last second; the limit is {most}"),
    )  # fmt: skip


def _bounded(name: str, found: Decimal, bound: Decimal, quote: str, words: str) -> Line:
    return (
        name, found, bound, quote, found > bound,
        lambda: (str(found), str(bound), f"{words} {found} {quote}; the limit is {bound}"),
    )  # fmt: skip


def clock_breaches(clock: ClockReading | None, limits: LimitSettings, now_ns: int) -> Iterator[Breach]:
    """What is wrong with the venue's clock as we know it; the health report asks the same."""
    return (Breach(line[0], *line[5]()) for line in clock_lines(clock, limits, now_ns) if line[4])


def clock_lines(clock: ClockReading | None, limits: LimitSettings, now_ns: int) -> Iterator[Line]:
    """The limits on the venue's clock."""
    age, most_s = (0 if clock is None else now_ns - clock.measured_ns), limits.clock_age_s
    why = "the venue's clock has not been measured"
    if age < -AHEAD_NS:
        why = f"the venue's clock was measured {span(-age)} from now: one of the two times is wrong"
    yield _cause("clock_unknown", "unknown", "known", why, clock is None or age < -AHEAD_NS)
    if clock is None:
        return
    yield (
        "clock_age_s", age, most_s * SECOND, "s", age > most_s * SECOND,
        lambda: (span(age), f"{most_s} s",
                 f"the venue's clock was measured {span(age)} ago; at most {most_s} s are allowed"),
    )  # fmt: skip
    offset, most_ms = abs(clock.offset_ns) + clock.error_ns, limits.clock_offset_ms
    yield (
        "clock_offset_ms", offset, most_ms * MILLISECOND, "ms",
        offset > most_ms * MILLISECOND,
        lambda: (span(offset), f"{most_ms} ms",
                 f"our clock may be {span(offset)} off; at most {most_ms} ms are allowed"),
    )  # fmt: skip
