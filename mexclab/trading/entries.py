"""Entries: when a snipe is checked, loaded and fired, and what each attempt leads to. All pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.events import SnipeMoved
from mexclab.domain.market import Market, Side
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


def entry_order(plan: Plan, market: Market, attempt: int, now_ns: int) -> Order:
    """One attempt: an immediate-or-cancel limit at the cap, so that the budget cannot be exceeded.

    Raises:
        DomainError: the budget buys less than the venue's minimum at the cap.
    """
    price = market.limit_price(plan.price_cap, Side.BUY)
    if price <= 0:
        raise DomainError(f"{plan.symbol}: the cap {plan.price_cap} is below the tick {market.tick}")
    quantity = market.whole_lots(plan.budget_quote / price)
    market.check(quantity, price)
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
        load = plan.not_before_ns - LOAD_NS
        return min(stage[1], load) if stage else load
    if snipe.state is SnipeState.FIRING:
        if any(order.is_live for order in desk.entries(snipe.snipe_id)):
            return None
        return next_shot_ns(snipe, desk)
    if snipe.state is SnipeState.ENTERED and snipe.entered_ns is not None:
        return snipe.entered_ns + plan.exit.time_stop_ns
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
    """The instant of the next attempt: the opening, then one spacing after each shot that left for it."""
    return snipe.plan.not_before_ns + shots_left(snipe, desk) * snipe.plan.spacing_ns


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
        if not away and shot_ns - STILL_NS <= now_ns < shot_ns:
            ends.append(shot_ns)
        ends += [(o.left_ns or 0) + STILL_NS for o in away if o.state is OrderState.SENT]
    return max(ends)


def after_attempt(snipe: Snipe, desk: Desk, now_ns: int) -> tuple[SnipeState, str, str] | None:
    """Where a firing snipe goes after its last attempt ended: (state, reason, why), or None to try again."""
    entries = desk.entries(snipe.snipe_id)
    if any(order.fills for order in entries):
        return SnipeState.ENTERED, "", "bought"
    last = entries[-1] if entries else None
    if last is not None and last.state is OrderState.REJECTED:
        code = int(last.why.split(" ", 1)[0])
        if code not in NOT_OPEN_YET:
            return SnipeState.ABORTED, "rejected_by_venue", f"the venue refused: {last.why}"
    if now_ns >= snipe.plan.deadline_ns:
        return SnipeState.MISSED, "deadline", _last_words("the deadline passed", last)
    left = shots_left(snipe, desk)
    if left >= snipe.plan.attempts:
        return SnipeState.MISSED, "no_fill", _last_words(f"{left} attempts bought nothing", last)
    return None


def _last_words(sentence: str, last: Order | None) -> str:
    return f"{sentence}; the last attempt: {last.why}" if last is not None and last.why else sentence
