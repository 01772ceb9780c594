"""Playing the venue from outside: ``/simulator/*``, for programs on this machine only.

==================  ======================================================================================
GET state           time, symbols, accounts (never a secret), faults and counters
GET orders          the last orders and cancels as they came in, whatever became of them
POST faults         replace the fault plan (JSON, or TOML by its content type); DELETE ends it
POST listing        an act on a listing: ``{"act": "pause", "symbol": "BTCUSDT", "for_s": 60}``
POST clock          ``{"shift_ms": 250.0, "drift_ppm": 40.0}``
POST accounts       ``{"owner", "key", "secret", "balances": {"USDT": "1000"}, "can_trade", "ip_whitelist"}``
POST deposit        ``{"owner", "asset", "amount": "50"}``; a negative amount takes money out
POST advance        stepped only: ``{"to_ns", "orders"}``, see ``_Advance``
==================  ======================================================================================
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from mexclab.domain.order import CLIENT_ID
from mexclab.errors import ConfigError, DomainError, MexclabError
from mexclab.venues.simulator.asking import json_reply
from mexclab.venues.simulator.fault_plan import ClockFault, FaultPlan, act_of, parse_plan
from mexclab.venues.simulator.http import Call, Reply, Route, error, plain
from mexclab.venues.simulator.listing_acts import act_on_listing
from mexclab.venues.simulator.public import last_price
from mexclab.venues.simulator.world import Account, SymbolRow, World

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import SimulatorServer

PREFIX = "/simulator/"
WAIT_S = 10.0  # for orders that are on their way to a stepped venue
LOOK_S = 0.0002  # between two looks whether they have come
APPLIED_SHOWN = 100
NOT_FROM_HERE = error(403, 403, "the control endpoint answers programs on this machine only")

Answer = Reply | Awaitable[Reply]
_T = TypeVar("_T", bound=Struct)
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _NewAccount(Struct, forbid_unknown_fields=True):
    owner: _Name
    key: _Name
    secret: _Name
    balances: dict[_Name, Decimal] = {}
    can_trade: bool = True
    ip_whitelist: tuple[str, ...] = ()
    uid: str = ""


class _Deposit(Struct, forbid_unknown_fields=True):
    owner: _Name
    asset: _Name
    amount: Decimal


class _Step(Struct, forbid_unknown_fields=True):
    to_ns: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    orders: Annotated[int, Meta(ge=0)] = 0


def routes(server: SimulatorServer) -> dict[tuple[str, str], Route]:
    """The control endpoint; it takes from no budget, and no fault ever meets it."""
    table: tuple[tuple[str, str, Callable[[SimulatorServer, Call], Answer]], ...] = (
        ("GET", "state", _state),
        ("GET", "orders", _orders),
        ("POST", "faults", _set_faults),
        ("DELETE", "faults", _end_faults),
        ("POST", "listing", _listing),
        ("POST", "clock", _clock),
        ("POST", "accounts", _add_account),
        ("POST", "deposit", _deposit),
        ("POST", "advance", _Advance()),
    )
    return {
        (method, PREFIX + name): Route(_guarded(handler, server), pool="none")
        for method, name, handler in table
    }


def _guarded(
    handler: Callable[[SimulatorServer, Call], Answer], server: SimulatorServer
) -> Callable[[Call], Answer]:
    def handle(call: Call) -> Answer:
        # a page in this machine's browser is a stranger too: it always says where it comes from
        if not is_loopback(call.peer) or "origin" in call.headers:
            return NOT_FROM_HERE
        try:
            return handler(server, call)
        except MexclabError as refusal:
            return error(400, 400, refusal.message)

    return handle


def is_loopback(peer: str) -> bool:
    """Whether the address is this machine's own."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _read(call: Call, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.json.decode(call.body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        known = ", ".join(kind.__struct_fields__)
        raise ConfigError(f"{where}: {problem}. Send a JSON object with {known}", where=where) from problem


def _ok(**told: Any) -> Reply:
    return json_reply({"code": 0, "msg": "success", **told})


# -- faults, listings, the clock -----------------------------------------------------------------


def _set_faults(server: SimulatorServer, call: Call) -> Reply:
    is_toml = "toml" in call.headers.get("content-type", "")
    plan = parse_plan(call.body.decode("utf-8", "replace"), is_toml=is_toml)
    server.faults.replace(plan)
    return _ok(rules=len(plan.rules), acts=len(plan.acts))


def _end_faults(server: SimulatorServer, call: Call) -> Reply:
    server.faults.replace(FaultPlan())
    return _ok()


def _listing(server: SimulatorServer, call: Call) -> Reply:
    try:
        data = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ConfigError(f"listing: {problem}. Send a JSON object with act and symbol") from problem
    act = act_of(data, "listing")
    if act.act == "clock":
        raise ConfigError("listing: the clock is no listing; post to clock instead")
    act_on_listing(server.world, act)
    row = server.world.row(act.symbol)
    return _ok(symbol=None if row is None else _symbol_state(server.world, row))


def _clock(server: SimulatorServer, call: Call) -> Reply:
    server.faults.set_clock(_read(call, ClockFault, "clock"))
    return _ok(now_ns=server.now_ns())


# -- accounts ------------------------------------------------------------------------------------


def _add_account(server: SimulatorServer, call: Call) -> Reply:
    new = _read(call, _NewAccount, "account")
    if not CLIENT_ID.match(new.owner):
        raise ConfigError("account: owner must be 1 to 32 of 0-9 a-z A-Z _ -")
    for asset, amount in new.balances.items():
        if not (amount.is_finite() and amount >= 0):
            raise ConfigError(f"account: the balance of {asset} must be a number, not below zero")
    known = server.world.accounts.get(new.key)
    if known is not None and known.owner != new.owner:
        raise DomainError(f"account: that key is {known.owner}'s; give another")
    server.world.add_account(
        Account(
            new.owner, new.key, new.secret, new.balances, new.can_trade, new.ip_whitelist, new.uid
        )
    )  # fmt: skip
    return _ok(accounts=len(server.world.accounts))


def _deposit(server: SimulatorServer, call: Call) -> Reply:
    wish = _read(call, _Deposit, "deposit")
    if not wish.amount.is_finite():
        raise ConfigError("deposit: amount must be a number")
    if all(account.owner != wish.owner for account in server.world.accounts.values()):
        raise DomainError(f"deposit: nobody here is called {wish.owner}; add the account first")
    server.world.deposit(wish.owner, wish.asset, wish.amount)
    balance = server.world.matcher.accounts.balance(wish.owner, wish.asset)
    return _ok(free=plain(balance.free), locked=plain(balance.locked))


# -- stepping ------------------------------------------------------------------------------------


class _Advance:
    """Moves a stepped venue on.

    Waits, at most ``WAIT_S`` of real time, until the venue has received ``orders`` orders and cancels since
    it started; lives up to ``to_ns``; pushes what is due to every stream, and then the mark.
    """

    def __init__(self) -> None:
        self._mark = 0

    def __call__(self, server: SimulatorServer, call: Call) -> Answer:
        step = _read(call, _Step, "advance")
        if not server.terms.stepped:
            return error(409, 409, "time runs by itself here; start the simulator stepped to move it")
        if server.orders_received >= step.orders:
            return self._move(server, step)
        return self._move_when_there(server, step)

    async def _move_when_there(self, server: SimulatorServer, step: _Step) -> Reply:
        deadline = monotonic() + WAIT_S
        while server.orders_received < step.orders:
            if monotonic() > deadline:
                come = server.orders_received
                return error(409, 409, f"{come} of {step.orders} orders came within {WAIT_S:.0f} s")
            await asyncio.sleep(LOOK_S)
        return self._move(server, step)

    def _move(self, server: SimulatorServer, step: _Step) -> Reply:
        world = server.world
        if step.to_ns is not None:
            world.advance(step.to_ns)
        server.hub.flush()
        self._mark += 1
        server.hub.mark(self._mark)
        return json_reply(
            {
                "now_ns": world.now_ns,
                "next_ns": world.next_ns(),
                "mark": self._mark,
                "orders_in_flight": server.orders_in_flight,
            }
        )


# -- the state -----------------------------------------------------------------------------------


def _state(server: SimulatorServer, call: Call) -> Reply:
    world, faults = server.world, server.faults
    return json_reply(
        {
            "now_ns": world.now_ns,
            "told_ns": server.now_ns(),
            "next_ns": world.next_ns(),
            "stepped": server.terms.stepped,
            "symbols": [_symbol_state(world, row) for row in world.rows()],
            "accounts": [_account_state(world, account) for account in world.accounts.values()],
            "clock": msgspec.to_builtins(faults.clock),
            "faults": {
                "plan": msgspec.to_builtins(faults.plan),
                "counts": dict(faults.counts),
                "applied": [applied._asdict() for applied in faults.applied[-APPLIED_SHOWN:]],
            },
            "counters": {
                "requests": server.requests,
                "orders_received": server.orders_received,
                "orders_in_flight": server.orders_in_flight,
                "refused_by_limits": server.pools.refused,
                "connections": len(server.connections),
                "streams": server.hub.connections,
                "frames_sent": server.hub.frames_sent,
            },
        }
    )


def _orders(server: SimulatorServer, call: Call) -> Reply:
    return json_reply({"orders": [heard._asdict() for heard in server.heard]})


def _symbol_state(world: World, row: SymbolRow) -> dict[str, Any]:
    book = world.book(row.symbol)
    return {
        "symbol": str(row.symbol),
        "status": row.status,
        "api_tradable": row.api_tradable,
        "side_type": row.side_type,
        "first_open_ns": row.first_open_ns,
        "version": 0 if book is None else book.version,
        "last": plain(last_price(world, row)),
    }


def _account_state(world: World, account: Account) -> dict[str, Any]:
    return {
        "owner": account.owner,
        "key": account.key[:6] + "...",
        "uid": account.uid,
        "can_trade": account.can_trade,
        "balances": {
            asset: {"free": plain(held.free), "locked": plain(held.locked)}
            for asset, held in world.matcher.balances(account.owner).items()
        },
    }
