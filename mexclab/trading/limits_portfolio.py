"""Limits on everything together: losses, concentration, clusters, value at risk, expected shortfall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import is_, mul

from mexclab.domain.market import Symbol
from mexclab.domain.portfolio import ZERO
from mexclab.trading.facts import Case, Line
from mexclab.trading.history import NOTHING_KNOWN, Tails, as_money

NEAR = 1e-9  # a measure this little above its bound is rounding


def losses(case: Case) -> Iterator[Line]:
    """What today and the time since the highest equity have cost, what is held at its bids."""
    limits, standing, desk = case.limits, case.standing, case.desk
    gone = (*standing.unpriced, *standing.written_off)
    without = f", {', '.join(map(str, gone))} counted as worth nothing" if gone else ""
    unpriced = standing.unpriced
    yield (
        "price_unknown", len(unpriced), 0, "symbols", bool(unpriced),
        lambda: (", ".join(map(str, unpriced)), "known",
                 f"nobody knows what {', '.join(map(str, unpriced))} is worth, and it is held"),
    )  # fmt: skip
    lost = -(desk.portfolio.realised_on(case.facts.now_ns) + min(standing.unrealised, ZERO))
    yield (
        "day_loss_quote", lost, limits.day_loss_quote, _quote(case), lost >= limits.day_loss_quote,
        lambda: (str(lost), str(limits.day_loss_quote),
                 f"today's loss is {lost}{without}; the limit is {limits.day_loss_quote}"),
    )  # fmt: skip
    peak = desk.portfolio.peak_equity or desk.portfolio.opening_balance
    fall = (peak - standing.equity) / peak if peak > 0 else ZERO
    yield (
        "drawdown", fall, limits.drawdown, "fraction", fall >= limits.drawdown,
        lambda: (f"{fall:.4f}", str(limits.drawdown),
                 f"equity is {fall:.1%} below its highest realised value{without}; "
                 f"the limit is {limits.drawdown:.1%}"),
    )  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class _After:
    """The book after the entry, in floats: money by column of the scenarios, and what has no column."""

    amounts: list[float]
    unknown: float
    squares: float
    strangers: bool  # whether money is in a symbol that the scenarios were not made for


def _after(case: Case) -> _After:
    standing, tails = case.standing, case.facts.tails or NOTHING_KNOWN
    held = list(map(float, standing.worth))
    squares, unknown, strangers = sum(map(mul, held, held)), 0.0, False
    places = _places(standing.held, tails)
    if places is None:  # every column in its order
        amounts = held + [0.0] * (len(tails.columns) - len(held))
    else:
        amounts = [0.0] * len(tails.columns)
        for symbol, place, money in zip(standing.held, places, held, strict=True):
            if place is not None:
                amounts[place] = money
            else:
                unknown += money
                strangers = strangers or symbol not in tails.groups
    more = dict(standing.reserved)
    if case.plan is not None:
        more[case.plan.symbol] = more.get(case.plan.symbol, ZERO) + case.value
    for symbol, added in more.items():
        money, before = float(added), 0.0
        if symbol in standing.portfolio.positions:
            before = held[standing.held.index(symbol)]
        squares += (before + money) ** 2 - before**2
        place = tails.columns.get(symbol)
        if place is not None:
            amounts[place] += money
        else:
            unknown += money
            strangers = strangers or (money > 0 and symbol not in tails.groups)
    return _After(amounts, unknown, squares, strangers)


def _places(held: tuple[Symbol, ...], tails: Tails) -> Sequence[int | None] | None:
    """The column of each symbol that is held; None: the first columns, in this order."""
    # nearly always the scenarios were made for what is held, in its order: no symbol need be looked up
    if len(held) <= len(tails.symbols) and all(map(is_, held, tails.symbols)):
        return None if len(tails.columns) == len(tails.symbols) else tails.places[: len(held)]
    return [tails.columns.get(symbol) for symbol in held]


def together(case: Case) -> Iterator[Line]:
    """What the whole book would be with the entry in it."""
    after = _after(case)
    yield _concentration(case, after)
    yield _cluster(case, after)
    yield from _tail(case, after)


def _concentration(case: Case, after: _After) -> Line:
    bound, equity = case.limits.concentration, case.standing.equity
    if equity <= 0:  # nothing was there when the ledger began: what the venue says is there now counts
        equity = (case.facts.free_quote or ZERO) + sum(case.standing.worth, ZERO)
    found = after.squares / float(equity) ** 2 if equity > 0 else None
    broken = after.squares > 0 if found is None else found > float(bound) + NEAR

    def say() -> tuple[str, str, str]:
        if found is None:
            return "unknown", str(bound), f"there is no equity to share; the limit is {bound}"
        index = as_money(found)
        return str(index), str(bound), f"the squared shares of equity sum to {index}; the limit is {bound}"

    return ("concentration", found, bound, "fraction", broken, say)


def _cluster(case: Case, after: _After) -> Line:
    standing, bound = case.standing, case.limits.cluster_quote
    groups = (case.facts.tails or NOTHING_KNOWN).groups
    plan, members = case.plan, None
    if after.strangers:  # money in a symbol that the scenarios do not know may move with any of them
        found = standing.committed + case.value
    elif plan is not None:
        members = groups.get(plan.symbol)
        if members is not None and len(members) == len(groups):
            members = None
        found = _money_in(case, members) + case.value
    else:
        found = max((_money_in(case, each) for each in {*groups.values()}), default=ZERO)

    def say() -> tuple[str, str, str]:
        whose = f"{plan.symbol} and what moves with it" if plan is not None else "the largest cluster"
        count = len(standing.symbols) if members is None else len(members) - 1
        text = f"{whose} ({count} symbols, with those of which too little is known) would hold {found}"
        return str(found), str(bound), f"{text}; the limit is {bound}"

    return ("cluster_quote", found, bound, _quote(case), found > bound, say)


def _money_in(case: Case, members: frozenset[Symbol] | None) -> Decimal:
    """Money committed in these symbols; None: in all, because nothing tells them apart."""
    standing = case.standing
    if members is None:
        return standing.committed
    return sum((standing.committed_in(symbol) for symbol in members), ZERO)


def _tail(case: Case, after: _After) -> Iterator[Line]:
    limits, tails = case.limits, case.facts.tails or NOTHING_KNOWN
    sure = after.unknown * float(limits.unknown_loss)
    at_risk, shortfall = tails.losses(after.amounts, float(limits.tail))
    for name, loss, bound, words in (
        ("value_at_risk_quote", at_risk, limits.value_at_risk_quote, "value at risk"),
        ("expected_shortfall_quote", shortfall, limits.expected_shortfall_quote, "expected shortfall"),
    ):
        found = max(loss + sure, 0.0)

        def say(found: float = found, bound: Decimal = bound, words: str = words) -> tuple[str, str, str]:
            money = str(as_money(found))
            ahead = f"{limits.tail_horizon_min} min ahead, the worst {limits.tail:.1%}"
            if sure:
                ahead += f"; {as_money(sure)} of it in symbols with too short a history to say"
            return money, str(bound), f"{words} would be {money} ({ahead}); the limit is {bound}"

        yield (name, found, bound, _quote(case), found > float(bound) + NEAR, say)


def _quote(case: Case) -> str:
    return case.plan.symbol.quote if case.plan is not None else "quote"
