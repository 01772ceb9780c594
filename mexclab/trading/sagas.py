"""Sagas of snipes: enter, protect, leave; an entry is left by its plan, or what was bought is sold back.

Most of it only keeps the books: a step is written in the very append of the move that makes it (``told``), so
no crash can come between the two. A saga goes on exactly while its snipe is FIRING, ENTERED or EXITING.
What is decided here is one thing: that a position is sold back (``guard``). How it is sold is the business of
the same machine as ever (``exits``): it takes back what rests, then sells in bounded orders.

=========  =====================================================  ===========================================
step       is done when                                           is compensated by
=========  =====================================================  ===========================================
enter      the venue has told what was bought                     selling it
protect    a take-profit rests, or a fresh price watches its stop  taking back what rests
leave      nothing is left that the venue would take              (it is the last step)
=========  =====================================================  ===========================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND, span
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side
from mexclab.domain.saga import Ending, Saga, SagaState, StepState
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.trading import exits

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

KIND = "snipe"
ENTER, PROTECT, LEAVE = STEPS = ("enter", "protect", "leave")
BY_PLAN = frozenset({"stop", "time"})  # reasons to leave that the plan itself knows; all others compensate
COMPENSATED = "compensated"  # the reason of ``ExitDecided`` when a position is sold back from here
PRICE_LOOKS = 10  # so many questions for its price may go by before a position counts as unprotected

_RUNS = (SnipeState.FIRING, SnipeState.ENTERED, SnipeState.EXITING)
_TELLS = frozenset({e.SnipeMoved, e.ExitDecided, e.OrderDecided, e.OrderAccepted, e.OrderFilled})


# -- the books -----------------------------------------------------------------------------------


def told(engine: Engine, happened: Sequence[e.Event], trial: Desk) -> tuple[e.Event, ...]:
    """The events with the steps that they are for a saga, each behind its move; all folded into ``trial``.

    Raises:
        DomainError: the desk cannot hold one of them.
    """
    told: list[e.Event] = []
    for event in happened:
        trial.fold(event)
        told.append(event)
        if type(event) in _TELLS:
            for step in _steps(event, trial, engine):
                trial.fold(step)
                told.append(step)
    return tuple(told)


def adopted(desk: Desk, now_ns: int) -> Iterator[e.Event]:
    """Sagas for snipes under way that have none, because an older version wrote their ledger."""
    why = "it was under way before its saga was kept"
    for snipe in desk.live_snipes():
        snipe_id = snipe.snipe_id
        if snipe.state not in _RUNS or snipe_id in desk.sagas:
            continue
        yield e.SagaBegun(now_ns, snipe_id, KIND, STEPS)
        if snipe.state is SnipeState.FIRING:
            continue
        yield e.SagaStepped(now_ns, snipe_id, ENTER, StepState.DONE, why)
        if snipe.state is SnipeState.EXITING:
            outcome = StepState.DONE if snipe.exit_why in BY_PLAN else StepState.FAILED
            yield e.SagaStepped(now_ns, snipe_id, PROTECT, outcome, snipe.why or why)


def _steps(event: e.Event, desk: Desk, engine: Engine) -> Iterator[e.Event]:
    """The steps that follow from a move, one by one: each is folded into ``desk`` before the next is made."""
    match event:
        case e.SnipeMoved(snipe_id=snipe_id, to=to):
            if to is SnipeState.FIRING:
                yield from _begin(event.at_ns, snipe_id, desk)
            elif to is SnipeState.ENTERED:
                yield from _enter(event, desk, engine)
            elif snipe_id in desk.sagas:
                yield from (_close if to is SnipeState.CLOSED else _give_up)(event, desk, engine)
        case e.ExitDecided(snipe_id=snipe_id, reason=reason, why=why) if _is_running(desk, snipe_id):
            yield from _protect(event.at_ns, snipe_id, desk, engine)
            turn = _turn(desk, snipe_id)
            if turn == PROTECT or (turn == LEAVE and reason not in BY_PLAN):
                yield e.SagaStepped(event.at_ns, snipe_id, turn, StepState.FAILED, f"{reason}: {why}")
        case e.OrderDecided(order=order) if order.leg == exits.LEAVING_LEG:
            snipe_id, why = order.snipe_id, "nothing of it rests any more"
            if _state(desk, snipe_id) is SagaState.COMPENSATING and _turn(desk, snipe_id) == PROTECT:
                yield e.SagaStepped(event.at_ns, snipe_id, PROTECT, StepState.COMPENSATED, why)
        case e.OrderAccepted() | e.OrderFilled():
            snipe_id = e.correlation(event)
            if _is_running(desk, snipe_id) and _turn(desk, snipe_id) == PROTECT:
                yield from _protect(event.at_ns, snipe_id, desk, engine)


def _begin(at_ns: int, snipe_id: str, desk: Desk) -> Iterator[e.Event]:
    if snipe_id not in desk.sagas:
        yield e.SagaBegun(at_ns, snipe_id, KIND, STEPS)


def _enter(event: e.SnipeMoved, desk: Desk, engine: Engine) -> Iterator[e.Event]:
    """Bought; of a snipe that had ended, by a late fill or to sweep up what it left, in a saga of its own."""
    yield from _begin(event.at_ns, event.snipe_id, desk)
    if _turn(desk, event.snipe_id) == ENTER:
        yield e.SagaStepped(event.at_ns, event.snipe_id, ENTER, StepState.DONE, event.why)
    yield from _protect(event.at_ns, event.snipe_id, desk, engine)


def _protect(at_ns: int, snipe_id: str, desk: Desk, engine: Engine) -> Iterator[e.Event]:
    if _is_running(desk, snipe_id) and _turn(desk, snipe_id) == PROTECT:
        why = protection(desk.snipes[snipe_id], desk, engine, at_ns)
        if why is not None:
            yield e.SagaStepped(at_ns, snipe_id, PROTECT, StepState.DONE, why)


def _close(event: e.SnipeMoved, desk: Desk, engine: Engine) -> Iterator[e.Event]:
    """Over: completed when it was left by its plan, else everything is compensated that was done."""
    at_ns, snipe_id, why = event.at_ns, event.snipe_id, event.why
    yield from _protect(at_ns, snipe_id, desk, engine)
    turn = _turn(desk, snipe_id)
    if _is_running(desk, snipe_id) and turn == LEAVE:
        yield e.SagaStepped(at_ns, snipe_id, LEAVE, StepState.DONE, why)
        yield e.SagaEnded(at_ns, snipe_id, Ending.COMPLETED, f"{event.reason}: {why}")
        return
    if _is_running(desk, snipe_id):
        yield e.SagaStepped(at_ns, snipe_id, turn, StepState.FAILED, f"over before it was: {why}")
    while step := desk.sagas[snipe_id].next_step:
        yield e.SagaStepped(at_ns, snipe_id, step.name, StepState.COMPENSATED, why)
    yield e.SagaEnded(at_ns, snipe_id, Ending.COMPENSATED, f"{event.reason}: {why}")


def _give_up(event: e.SnipeMoved, desk: Desk, engine: Engine) -> Iterator[e.Event]:
    """Nothing was bought, so there is nothing to compensate; another shot is another saga."""
    why = event.why or event.reason
    if _is_running(desk, event.snipe_id):
        turn = _turn(desk, event.snipe_id)
        yield e.SagaStepped(event.at_ns, event.snipe_id, turn, StepState.FAILED, why)
    yield e.SagaEnded(event.at_ns, event.snipe_id, Ending.COMPENSATED, f"nothing was bought: {why}")


def _state(desk: Desk, snipe_id: str) -> SagaState | None:
    saga = desk.sagas.get(snipe_id)
    return saga.state if saga is not None and saga.kind == KIND else None


def _is_running(desk: Desk, snipe_id: str) -> bool:
    return _state(desk, snipe_id) is SagaState.RUNNING


def _turn(desk: Desk, snipe_id: str) -> str:
    """The name of the step whose turn it is; empty when it is none's."""
    saga: Saga | None = desk.sagas.get(snipe_id)
    step = saga.next_step if saga is not None else None
    return step.name if step is not None else ""


# -- what is decided -----------------------------------------------------------------------------


async def guard(engine: Engine, snipe_id: str) -> None:
    """Before each look at a position: it is protected, or there is time left for it, or it is sold back."""
    desk, now = engine.desk, engine.parts.clock.now_ns()
    snipe = desk.snipes[snipe_id]
    if snipe.state is not SnipeState.ENTERED or not _is_running(desk, snipe_id):
        return
    why = at_odds(snipe, desk)
    if _turn(desk, snipe_id) == PROTECT:
        words = protection(snipe, desk, engine, now)
        if words is None:
            why = why or unprotected(snipe, desk, engine, now)
            if why is None:
                return
        else:
            await engine.record(e.SagaStepped(now, snipe_id, PROTECT, StepState.DONE, words))
    engine.unprotected.pop(snipe_id, None)
    if why is not None:
        text = f"{snipe.plan.symbol} is sold back: {why}"
        await engine.record(
            e.ExitDecided(now, snipe_id, COMPENSATED, why), e.AlertRaised(now, "critical", text, snipe_id)
        )


def at_odds(snipe: Snipe, desk: Desk) -> str | None:
    """How an entry breaks its plan, in a sentence: the venue took more money, or a worse price."""
    plan, fills = snipe.plan, [fill for order in desk.entries(snipe.snipe_id) for fill in order.fills]
    spent = sum(fill.value for fill in fills)
    if spent > plan.budget_quote:
        return f"the entry cost {spent} {plan.symbol.quote}, and its plan allows {plan.budget_quote}"
    worst = max((fill.price for fill in fills), default=plan.price_cap)
    if worst > plan.price_cap:
        return f"it was bought at {worst}, above its cap {plan.price_cap}"
    return None


def protection(snipe: Snipe, desk: Desk, engine: Engine, now_ns: int) -> str | None:
    """What protects a position, in a sentence; None when nothing does."""
    for order in desk.exits(snipe.snipe_id):
        if order.leg != exits.LEAVING_LEG and (order.fills or (order.is_live and order.venue_id is not None)):
            return f"{order.client_id} is offered at {order.price}"
    symbol = snipe.plan.symbol
    bid = exits.fresh_bid(engine.books.get(symbol), now_ns)
    if bid is None or engine.known_market(symbol) is None:
        return None
    return f"its stop is watched from the bid {bid}"


def unprotected(snipe: Snipe, desk: Desk, engine: Engine, now_ns: int) -> str | None:
    """Why a position that nothing protects is given up, in a sentence; None while it has time left.

    Time runs from the first look of this process at it: what nobody asked for was not refused. An order of
    unknown fate may protect it: the venue is asked about that first.
    """
    since_ns = engine.unprotected.setdefault(snipe.snipe_id, now_ns)
    bound_ns = PRICE_LOOKS * engine.rules.orders.price_age_s * SECOND
    live = any(order.is_live for order in desk.orders_of(snipe.snipe_id) if order.side is Side.SELL)
    if live or now_ns < since_ns + bound_ns:
        return None
    refused = [order for order in desk.exits(snipe.snipe_id) if order.why]
    words = f" (the last take-profit: {refused[-1].why})" if refused else ""
    return f"for {span(bound_ns)} no take-profit was taken{words} and its stop had no price to act on"
