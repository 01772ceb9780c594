"""What is asked of a world, as its journal writes it down, and done again from there."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.errors import DomainError
from mexclab.venues.orders import NewOrder

if TYPE_CHECKING:
    from mexclab.venues.simulator.world import World

DECREES = frozenset({"postpone", "withdraw", "pause", "reopen", "limit_sides", "delist", "forbid_api"})


def entry(act: str, at_ns: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The act as a line of the journal."""
    return {"do": act, "at_ns": at_ns, **{name: _plain(value) for name, value in facts.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Symbol):
        return [value.base, value.quote]
    if isinstance(value, NewOrder):
        parts = (value.side, value.type, value.quantity, value.price, value.quote_quantity, value.client_id)
        return [_plain(part) for part in parts]
    return str(value) if isinstance(value, Decimal) else value


def redo(world: World, line: Mapping[str, Any]) -> None:
    """Do again what the line says, at its moment.

    Raises:
        LookupError, TypeError, ValueError, ArithmeticError, DomainError: the line says nothing that could
            be done.
    """
    act = line["do"]
    world.advance(line["at_ns"])
    if act == "up":  # a process took the world up: nothing was asked for
        return
    if act == "away":
        world.leave_alone(line["to_ns"])
        return
    symbol = Symbol(*line["symbol"]) if line.get("symbol") else None
    if act == "cancel":
        world.cancel(line["owner"], line["order_id"])
    elif act == "cancel_all":
        world.cancel_all(line["owner"], symbol)
    elif act == "deposit":
        world.deposit(line["owner"], line["asset"], Decimal(line["amount"]))
    elif symbol is None:
        raise DomainError(f"{act!r} is no act that a symbol is not part of", act=act)
    elif act == "place":
        world.place(line["owner"], symbol, _order(line["owner"], line["order"]))
    elif act == "limit_sides":
        world.limit_sides(symbol, None if line["value"] is None else Side(line["value"]))
    elif act in DECREES:
        values = (line["value"],) if "value" in line else ()
        getattr(world, act)(symbol, *values)
    else:
        raise DomainError(f"{act!r} is no act", act=act)


def _order(owner: str, parts: tuple[str, str, str | None, str | None, str | None, str]) -> NewOrder:
    side, kind, quantity, price, spend, client_id = parts
    sizes = [None if size is None else Decimal(size) for size in (quantity, price, spend)]
    return NewOrder("", owner, Side(side), OrderType(kind), sizes[0], sizes[1], sizes[2], client_id)
