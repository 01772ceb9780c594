"""What public endpoints share: parameters read or refused in MEXC's words, replies and numbers written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mexclab.errors import VenueRejected
from mexclab.venues.simulator.gatekeeper import missing
from mexclab.venues.simulator.http import Call, Reply, plain

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import SimulatorServer
    from mexclab.venues.simulator.world import SymbolRow, World

Handler = Callable[["SimulatorServer", Call], Reply]

MOST_DIGITS = 13  # of a number that is read, as many as milliseconds since the epoch have

REMEMBERED = 8_192  # names and steps that are not worked out again


def refused(status: int, code: int, words: str) -> VenueRejected:
    """A refusal as MEXC's market data writes it: words first, and an idle ``_extend``."""
    body = json.dumps({"msg": words, "code": code, "_extend": None}, separators=(",", ":"))
    return VenueRejected(words, code=code, words=words, reply=Reply(status, body.encode()))


INVALID_SYMBOL = (400, -1121, "Invalid symbol.")
INVALID_INTERVAL = (400, -1121, "Invalid interval.")
BAD_COMBINATION = (400, -1128, "Combination of optional parameters invalid.")


def answered(handler: Handler, server: SimulatorServer) -> Callable[[Call], Reply]:
    """The handler as a route takes it: what it refuses by ``VenueRejected`` becomes the reply."""

    def handle(call: Call) -> Reply:
        try:
            return handler(server, call)
        except VenueRejected as refusal:
            reply: Reply = refusal.data["reply"]
            return reply

    return handle


def malformed(name: str) -> VenueRejected:
    """A parameter that is not there, or is not what it should be."""
    return VenueRejected(f"{name} is missing or malformed", reply=missing(name))


def asked_row(world: World, call: Call) -> SymbolRow:
    """The row of the symbol that is asked for.

    Raises:
        VenueRejected: no symbol is named, or the venue has none of that name.
    """
    name = call.params.get("symbol")
    if not name:
        raise malformed("symbol")
    row = world.row(name)
    if row is None:
        raise refused(*INVALID_SYMBOL)
    return row


def asked_number(call: Call, name: str) -> int | None:
    """A whole number that is not negative, or None when it is not given.

    Raises:
        VenueRejected: it is something else.
    """
    text = call.params.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise malformed(name)
    return int(text)


def asked_limit(call: Call, usual: int, most: int) -> int:
    """How many rows; above ``most`` the venue gives that many.

    Raises:
        VenueRejected: it is no number above zero.
    """
    limit = asked_number(call, "limit")
    if limit == 0:
        raise malformed("limit")
    return min(limit or usual, most)


def decimals(step: Decimal) -> int:
    """Decimal places of a step: 2 for 0.01, 0 for 10."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def cut(value: Decimal, step: Decimal) -> str:
    """The number cut to the places of ``step``, as the venue writes it."""
    return plain(value.quantize(_places(step), ROUND_DOWN)) if value else "0"


@lru_cache(maxsize=REMEMBERED)
def _places(step: Decimal) -> Decimal:
    return Decimal(1).scaleb(-decimals(step))


@lru_cache(maxsize=REMEMBERED)
def name_json(name: str) -> str:
    """A symbol's name in JSON, with its quotation marks."""
    return text_json(name)


def text_json(value: Any) -> str:
    """JSON without idle blanks, names of coins in their own letters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_reply(value: Any) -> Reply:
    return Reply(200, text_json(value).encode())


def list_reply(parts: Iterable[str]) -> Reply:
    """A list of what is JSON already."""
    return Reply(200, f"[{','.join(parts)}]".encode())
