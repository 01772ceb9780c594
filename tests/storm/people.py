"""What people do to the desk in a storm: halt, resume, sell, abort, change their minds, stop it politely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from mexclab.domain.clock import SECOND
from mexclab.domain.snipe import LADDERS, Snipe, SnipeState
from mexclab.errors import DomainError
from mexclab.trading import handling, safety, stopping, tuning
from mexclab.trading.engine import Engine
from tests.storm.weather import Happening

WHO, WHY = "ada", "the storm"


async def carry_out(engine: Engine, happening: Happening) -> None:
    """Do what was drawn on the snipe that it falls on.

    Raises:
        DomainError: there is none that it could be done to.
        RiskRefused: a resume finds an order of unknown fate.
    """
    match happening.deed:
        case "halt":
            await safety.halt(engine, WHO, WHY)
        case "resume":
            await safety.resume(engine, WHO, WHY)
        case "flatten":
            await safety.flatten(engine, WHO, WHY)
        case "sweep":
            await handling.sweep(engine, WHO, WHY)
        case "stop":
            await stopping.stop(engine, WHY)
        case "tune":
            changed = (
                {"stop_loss": "0.2", "trailing_stop": "0.05"} if happening.pick < 0.5 else {"attempts": "3"}
            )
            await tuning.tune(engine, changed, WHO, WHY)
        case "flatten one":
            chosen = _one(engine, happening, lambda snipe: snipe.state is SnipeState.ENTERED)
            await handling.flatten_one(engine, chosen.snipe_id, WHO, WHY)
        case "abort":
            chosen = _one(engine, happening, lambda snipe: snipe.state.is_waiting)
            await handling.abort(engine, chosen.snipe_id, WHO, WHY)
        case "replace exit":
            await _replace_exit(engine, happening)
        case _:
            raise DomainError(f"{happening.deed} is nothing that people do")


async def _replace_exit(engine: Engine, happening: Happening) -> None:
    """Another ladder, a wider stop, more time, and a stop that follows."""
    states = (SnipeState.ENTERED, SnipeState.ARMED)
    chosen = _one(engine, happening, lambda snipe: snipe.state in states)
    ladder = LADDERS[sorted(LADDERS)[int(happening.pick * 10) % len(LADDERS)]]
    old = chosen.plan.exit
    plan = replace(
        old,
        ladder=ladder,
        stop_loss=Decimal("0.4"),
        time_stop_ns=old.time_stop_ns + 10 * SECOND,
        trailing=Decimal("0.2"),
    )
    await handling.replace_exit(engine, chosen.snipe_id, plan, WHO, WHY)


def _one(engine: Engine, happening: Happening, fits: Callable[[Snipe], bool]) -> Snipe:
    fitting = [snipe for snipe in engine.desk.live_snipes() if fits(snipe)]
    if not fitting:
        raise DomainError(f"there is no snipe for {happening.deed}")
    return fitting[int(happening.pick * len(fitting))]
