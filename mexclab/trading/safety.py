"""What a person may ask of a running engine: arm, disarm, halt, resume, flatten.

Each act is journalled with who asked. Halt never waits for anything but the pen, and never blocks an
exit or a cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.market import Side
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, RiskRefused, VenueError
from mexclab.trading import permits

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


async def halt(engine: Engine, by: str, why: str) -> str:
    """Refuse every new entry from now on and cancel every open one; what was done, in a sentence.

    A cancel that fails does not stop the others; it is alerted. Exits keep running.
    """
    engine.halting = True  # before the gate: a shot that is being released sees it
    engine.halts += 1
    for order in engine.desk.open_orders():  # a burst goes on by itself, and the gate may be stuck
        if order.side is Side.BUY and order.client_id not in engine.shots:
            engine.parts.exchange.stop_sending(order)
    async with engine.gate:
        return await halt_inside(engine, by, why)


def halt_early(engine: Engine, by: str, why: str) -> None:
    """Halt a desk that has not recovered yet; ``recovery.start`` writes it down before it decides."""
    engine.halting = True
    engine.halts += 1
    engine.early_halt = engine.early_halt or (by, why)


async def halt_inside(engine: Engine, by: str, why: str) -> str:
    """The same for whoever holds the gate already, such as a trigger."""
    engine.halting = True
    already = engine.desk.halt is not None
    await engine.record(e.Halted(engine.parts.clock.now_ns(), by, why))
    done = await cancel_entries(engine)
    return f"{'already halted' if already else 'halted'}: {done}; exits go on"


async def cancel_entries(engine: Engine) -> str:
    """Take every entry back that may still buy; what was done, in words. For whoever holds the gate."""
    now = engine.parts.clock.now_ns()
    dropped = cancelled = failed = 0
    buys = [order for order in engine.desk.open_orders() if order.side is Side.BUY and order.state.is_open]
    for order in buys:
        if engine.drop_shot(order.client_id):
            reason = "halted before it left"
            await engine.record(
                e.OrderCanceled(now, order.client_id, reason),
                e.SnipeMoved(now, order.snipe_id, SnipeState.ABORTED, "halted", reason),
            )
            dropped += 1
            continue
        try:
            await engine.cancel(order, "halted")
            cancelled += 1
        except VenueError as error:
            failed += 1
            text = f"halt could not cancel {order.client_id}: {error.message}"
            await engine.record(e.AlertRaised(now, "critical", text, order.snipe_id))
    return f"{dropped} shots dropped, {cancelled} cancels sent, {failed} cancels failed"


async def resume(engine: Engine, by: str, why: str) -> str:
    """Allow entries again, after checks of its own.

    Raises:
        RiskRefused: a check does not hold; every one that fails is named. So is a halt that was written
            while this waited for the gate: whoever asked had not seen it.
    """
    halts, seen = engine.halts, engine.desk.halt
    async with engine.gate:
        if engine.desk.halt is None and not engine.desk.disputed:
            engine.halting = engine.halts != halts  # a halt that could not be written ends here
            return "not halted; nothing changed"
        reasons = [f"order {order.client_id} has an unknown fate" for order in engine.desk.unknown_orders()]
        reasons += engine.guard.objections()
        if (halt := engine.desk.halt) is not None and halt != seen:
            reasons.append(f"{halt.by} halted the desk meanwhile ({halt.why}): resume again if that is over")
        if not why.strip():
            reasons.append("a reason is required")
        if reasons:
            raise RiskRefused(f"cannot resume: {'; '.join(reasons)}", breaches=reasons)
        await engine.record(e.Resumed(engine.parts.clock.now_ns(), by, why))
        engine.halting = engine.halts != halts  # a newer halt waits at the gate: it stands
    return "resumed: new entries are allowed"


async def arm(engine: Engine, snipe_id: str, by: str) -> str:
    """Let a planned snipe fire at its opening.

    Raises:
        DomainError: there is no such snipe, or it is past arming.
        RiskRefused: the desk is halted, or a permit of live trading is missing; each one is named.
    """
    async with engine.gate:
        snipe = _waiting(engine, snipe_id, "armed")
        now = engine.parts.clock.now_ns()
        lacking = permits.missing(engine.desk, engine.rules, now)
        reasons = ["the desk is halted; resume it first"] if engine.desk.halt is not None else []
        reasons += [breach.why for breach in lacking]
        if engine.rules.mode == permits.LIVE and not permits.is_person(by):
            reasons.append("live trading is armed by a person: say who")
        if reasons:
            raise RiskRefused(f"cannot arm {snipe_id}: {'; '.join(reasons)}", breaches=reasons)
        if snipe.state is SnipeState.ARMED:
            return f"{snipe_id} is armed already"
        steps = [SnipeState.PREFLIGHT] if snipe.state is SnipeState.PLANNED else []
        moves = [e.SnipeMoved(now, snipe_id, to, by=by) for to in (*steps, SnipeState.ARMED)]
        await engine.record(*moves)
    plan = snipe.plan
    return f"{plan.symbol} is armed: up to {plan.budget_quote} {plan.symbol.quote} below {plan.price_cap}"


async def disarm(engine: Engine, snipe_id: str, by: str) -> str:
    """Take an armed snipe back.

    Raises:
        DomainError: there is no such snipe, or it has fired.
    """
    async with engine.gate:
        snipe = _waiting(engine, snipe_id, "disarmed")
        if snipe.state is not SnipeState.ARMED:
            return f"{snipe_id} is not armed"
        now = engine.parts.clock.now_ns()
        await engine.record(e.SnipeMoved(now, snipe_id, SnipeState.PREFLIGHT, "disarmed", "disarmed", by))
    return f"{snipe.plan.symbol} is disarmed"


async def flatten(engine: Engine, by: str, why: str) -> str:
    """Sell everything that snipes hold, in bounded orders; works while halted."""
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        leaving = [s for s in engine.desk.live_snipes() if s.state is SnipeState.ENTERED]
        for snipe in leaving:
            await engine.record(e.ExitDecided(now, snipe.snipe_id, "flatten", f"{by}: {why}"))
    await engine.on([])  # the exits act at once, not at the next price
    firing = [s for s in engine.desk.live_snipes() if s.state is SnipeState.FIRING]
    rest = (
        f"; {len(firing)} entries are still in flight: halt, and flatten again once they are known"
        if firing
        else ""
    )
    return f"{len(leaving)} positions are being sold{rest}"


def _waiting(engine: Engine, snipe_id: str, wanted: str) -> Snipe:
    snipe = engine.desk.snipes.get(snipe_id)
    if snipe is None:
        raise DomainError(f"there is no snipe {snipe_id!r}; the board shows their ids", snipe_id=snipe_id)
    if not snipe.state.is_waiting:
        raise DomainError(
            f"snipe {snipe_id} is {snipe.state} and cannot be {wanted} any more", snipe_id=snipe_id
        )
    return snipe
