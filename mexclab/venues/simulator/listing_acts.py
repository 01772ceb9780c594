"""Acts on a listing by its spelling on the wire, for fault plans and for the control endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.errors import DomainError
from mexclab.venues.simulator.fault_plan import Act

if TYPE_CHECKING:
    from mexclab.venues.simulator.world import World


def act_on_listing(world: World, act: Act) -> None:
    """Do an act on a listing now.

    Raises:
        DomainError: the world knows no such symbol, or cannot do it.
    """
    symbol = symbol_of(world, act.symbol)
    until_ns = act.until_ns if act.for_s is None else world.now_ns + nanoseconds(act.for_s)
    if act.act == "postpone":
        opening = opening_of(world, act.symbol) or world.now_ns
        world.postpone(symbol, opening + nanoseconds(act.by_s or 0.0) if act.to_ns is None else act.to_ns)
    elif act.act in ("pause", "withdraw"):
        world.pause(symbol) if act.act == "pause" else world.withdraw(symbol)
        if until_ns is not None:
            world.schedule(until_ns, lambda: world.reopen(symbol))
    elif act.act == "reopen":
        world.reopen(symbol)
    elif act.act == "limit_sides":
        world.limit_sides(symbol, None if act.side is None else Side(act.side))
    elif act.act == "delist":
        world.delist(symbol)
    elif act.act == "forbid_api":
        world.forbid_api(symbol, until_ns)


def symbol_of(world: World, wire_name: str) -> Symbol:
    """The symbol behind its spelling on the wire: listed, only announced, or withdrawn.

    Raises:
        DomainError: the world does not know it.
    """
    row = world.row(wire_name)
    if row is not None:
        return row.symbol
    for state in world.states():
        if state.ticker + state.quote == wire_name:
            return Symbol(state.ticker, state.quote)
    for entry in world.entries():
        if entry.ticker + "USDT" == wire_name:
            return Symbol(entry.ticker)
    for symbol in world.lifecycle.withdrawn():
        if str(symbol) == wire_name:
            return symbol
    raise DomainError(f"{wire_name!r} is neither listed nor announced", symbol=wire_name)


def opening_of(world: World, wire_name: str) -> int | None:
    """When it opens, as far as the venue has told; nanoseconds since the epoch."""
    row = world.row(wire_name)
    if row is not None:
        return row.first_open_ns
    told = [state.open_ns for state in world.states() if state.ticker + state.quote == wire_name]
    told += [entry.open_ns for entry in world.entries() if entry.ticker + "USDT" == wire_name]
    return told[0] if told else None


def nanoseconds(seconds: float) -> int:
    return round(seconds * SECOND)
