"""Entries: when a snipe is checked, loaded and fired, and what each attempt leads to. All pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.events import SnipeMoved
from mexclab.domain.market import Book, Market, Side
from mexclab.domain.order import Order, OrderState, OrderType, client_order_id
from mexclab.domain.snipe import Plan, Preflight, Snipe, SnipeState
from mexclab.errors import DomainError

# how long before the opening each check is made; the last one decides
STAGES: Mapping[str, int] = MappingProxyType(
    {
        "T-2h": 120 * MINUTE,
        "T-10min": 10 * MINUTE,
        "T-60s": 60 * SECOND,
        "T-5s": 5 * SECOND,
    }
)
FINAL_STAGE = "T-5s"
LOAD_NS = SECOND  # the shot is written to the ledger this long before it may leave
STILL_NS = 2 * SECOND  # before a shot, and until its answer: nothing is asked that could make it late

# venue codes that mean "not open yet": only these are tried again
NOT_OPEN_YET = frozenset({10007, 30000, 30016})
# snipes that ended so stay ended, wherever the venue moves the opening: a person's word stands
FINAL_REASONS = frozenset({"halted", "person"})
WITHDRAWN = "listing_withdrawn"


def next_stage(snipe: Snipe, now_ns: int) -> tuple[str, int] | None:
    """The next check of a waiting snipe and when it is due; None when all are behind it.

    Stages whose time had passed when the snipe was planned are skipped, except the newest of them.
    """
    names = list(STAGES)
    behind = 1 + max((names.index(check.stage) for check in snipe.preflights), default=-1)
    due = [(name, snipe.plan.not_before_ns - STAGES[name]) for name in names[behind:]]
    late = [entry for entry in due if entry[1] <= now_ns]
    if late:
        return late[-1]
    return due[0] if due else None


def entry_order(plan: Plan, market: Market, attempt: int, now_ns: int, book: Book | None = None) -> Order:
    """One attempt: an immediate-or-cancel limit whose value never exceeds the budget.

    Its price is the cap; once a book is known that is no older than the opening, at most the plan's
    ``book_slippage`` above its best ask.

    Args:
        attempt: counted from 1 over the whole life of the snipe; part of the client id.
        book: the last one known.

    Raises:
        DomainError: the budget buys less than the venue's minimum, or less than a lot, at that price; the
            price is below the tick; or the numbers are beyond what can be computed exactly.
    """
    budget, bound = plan.budget_quote, plan.price_cap
    try:
        ask = book.ask if book is not None and book.at_ns >= plan.not_before_ns else None
        if ask is not None and plan.book_slippage is not None:
            bound = min(bound, ask * (1 + plan.book_slippage))
        price = market.limit_price(bound, Side.BUY)
        if price <= 0:
            raise DomainError(f"{plan.symbol}: the price {bound} is below the tick {market.tick}")
        quantity = market.whole_lots(budget / price)
        if quantity * price > budget:  # a quotient that was rounded up to a whole lot
            quantity -= market.lot
        if quantity <= 0:
            what = f"one lot ({market.lot} {plan.symbol.base}) costs {market.lot * price} {plan.symbol.quote}"
            raise DomainError(f"{plan.symbol}: {what} at {price}, which is above the budget {budget}")
        market.check(quantity, price)
    except ArithmeticError as error:
        text = f"{plan.symbol}: {budget} at {bound} cannot be cut into ticks of {market.tick} and lots of "
        raise DomainError(text + str(market.lot)) from error
    return Order(
        client_id=client_order_id(plan.snipe_id, "b", attempt),
        symbol=plan.symbol,
        side=Side.BUY,
        type=OrderType.IMMEDIATE_OR_CANCEL,
        quantity=quantity,
        price=price,
        snipe_id=plan.snipe_id,
        leg="b",
        decided_ns=now_ns,
    )


def due_ns(snipe: Snipe, desk: Desk, now_ns: int) -> int | None:
    """When this snipe next needs attention by the clock alone; None when only news can move it."""
    plan = snipe.plan
    if snipe.state.is_waiting:
        stage = next_stage(snipe, now_ns)
        if stage is not None and stage[1] <= now_ns:
            return plan.deadline_ns  # its check is being made, and comes first
        return plan.not_before_ns - LOAD_NS
    if snipe.state is SnipeState.FIRING:
        if any(order.is_live for order in desk.entries(snipe.snipe_id)):
            return None
        return next_shot_ns(snipe, desk)
    return None


def preflight(now_ns: int, stage: str, reasons: Sequence[tuple[str, str]]) -> Preflight:
    """The record of one check; ``reasons`` are (short code, sentence) pairs of what did not hold."""
    return Preflight(now_ns, stage, not reasons, tuple(sentence for _, sentence in reasons))


def after_preflight(
    snipe: Snipe, check: Preflight, reasons: Sequence[tuple[str, str]], auto_arm: bool
) -> list[SnipeMoved]:
    """The steps that follow from one check. Only the last one may end a snipe."""
    moves: list[SnipeMoved] = []

    def move(to: SnipeState, reason: str = "", why: str = "", by: str = "") -> None:
        moves.append(SnipeMoved(check.at_ns, snipe.snipe_id, to, reason, why, by))

    if check.stage == FINAL_STAGE and not check.passed:
        code = reasons[0][0]
        move(SnipeState.ABORTED, code, "; ".join(check.reasons))
        return moves
    if snipe.state is SnipeState.PLANNED:
        move(SnipeState.PREFLIGHT)
    near = check.stage not in ("T-2h",)
    if auto_arm and near and check.passed and snipe.state is not SnipeState.ARMED:
        move(SnipeState.ARMED, by="automatic", why=f"armed by setting after {check.stage}")
    return moves


def shots_left(snipe: Snipe, desk: Desk) -> int:
    """How many attempts have left for the opening that the plan now aims at."""
    entries = desk.entries(snipe.snipe_id)
    return sum(1 for o in entries if o.left_ns is not None and o.left_ns >= snipe.plan.not_before_ns)


def next_shot_ns(snipe: Snipe, desk: Desk) -> int:
    """The instant of the next attempt: the opening, then one spacing after each shot that left for it.

    The deadline when no attempt is left.
    """
    left = shots_left(snipe, desk)
    if left >= snipe.plan.attempts:
        return snipe.plan.deadline_ns
    return snipe.plan.not_before_ns + left * snipe.plan.spacing_ns


def was_told_to_wait(plan: Plan, desk: Desk) -> bool:
    """Whether the venue's answer to the last attempt at this opening was that it is not open yet."""
    orders = desk.entries(plan.snipe_id)
    left = [o for o in orders if o.left_ns is not None and o.left_ns >= plan.not_before_ns]
    return bool(left) and _refusal(left[-1]) in NOT_OPEN_YET


def awaits_word(snipe: Snipe, desk: Desk) -> bool:
    """Whether no attempt is left and nothing is open yet: only another opening could help."""
    spent = snipe.state is SnipeState.FIRING and shots_left(snipe, desk) >= snipe.plan.attempts
    return spent and was_told_to_wait(snipe.plan, desk)


def _refusal(order: Order) -> int | None:
    """The venue's code of a refused order."""
    code = order.why.split(" ", 1)[0]
    return int(code) if order.state is OrderState.REJECTED and code.lstrip("-").isdigit() else None


def still_until_ns(desk: Desk, now_ns: int) -> int:
    """Until when no question is begun whose answer a shot, or what it brings, would have to wait for.

    An answer may take seconds, and the desk does one thing at a time. 0: ask at will.
    """
    ends = [0]
    for snipe in desk.live_snipes():
        if snipe.state not in (SnipeState.ARMED, SnipeState.FIRING):
            continue
        live = [order for order in desk.entries(snipe.snipe_id) if order.is_live]
        away = [order for order in live if order.left_ns is not None]
        shot_ns = next_shot_ns(snipe, desk)
        if not away and shot_ns - STILL_NS <= now_ns < shot_ns < snipe.plan.deadline_ns:
            ends.append(shot_ns)
        ends += [(o.left_ns or 0) + STILL_NS for o in away if o.state is OrderState.SENT]
    return max(ends)


def after_attempt(snipe: Snipe, desk: Desk, now_ns: int) -> tuple[SnipeState, str, str] | None:
    """Where a firing snipe goes after its last attempt ended: (state, reason, why), or None to go on.

    When the venue's last word was that it is not open yet, going on without an attempt left means to see
    until the deadline whether the venue tells of another opening.
    """
    entries = desk.entries(snipe.snipe_id)
    if any(order.fills for order in entries):
        return SnipeState.ENTERED, "", "bought"
    last = entries[-1] if entries else None
    if last is not None and last.state is OrderState.REJECTED and _refusal(last) not in NOT_OPEN_YET:
        return SnipeState.ABORTED, "rejected_by_venue", f"the venue refused: {last.why}"
    if now_ns >= snipe.plan.deadline_ns:
        return SnipeState.MISSED, "deadline", _last_words("the deadline passed", last)
    left = shots_left(snipe, desk)
    if left >= snipe.plan.attempts and not was_told_to_wait(snipe.plan, desk):
        return SnipeState.MISSED, "no_fill", _last_words(f"{left} attempts bought nothing", last)
    return None


def _last_words(sentence: str, last: Order | None) -> str:
    return f"{sentence}; the last attempt: {last.why}" if last is not None and last.why else sentence
