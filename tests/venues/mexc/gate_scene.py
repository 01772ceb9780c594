"""A gate in front of a server that goes by a script, for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import Happening
from mexclab.venues.mexc.burst import GateTerms
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.gate import Gate
from mexclab.venues.mexc.http import PoolTerms
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest, RestTerms
from mexclab.venues.mexc.signing import Signer
from tests.patient import patient_loop
from tests.venues.mexc.raw_server import Act, RawServer, raw_server, takes

BEGAN_NS = time.time_ns()
KEY, SECRET = "mx0PlantedKey", "PlantedSecret0123456789abcdef0123"
T = TypeVar("T", bound=Happening)


@dataclass
class Told:
    """What was told, in order."""

    happenings: list[Happening] = field(default_factory=list)

    def hear(self, happening: Happening) -> None:
        self.happenings.append(happening)

    def of(self, kind: type[T]) -> list[T]:
        return [each for each in self.happenings if isinstance(each, kind)]

    async def until(self, enough: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not enough():  # noqa: ASYNC110  what is waited for has no event of its own
                await asyncio.sleep(0.002)

    async def one(self, kind: type[T], seconds: float = 10.0) -> T:
        """The first of this kind, waited for."""
        await self.until(lambda: self.of(kind), seconds)
        return self.of(kind)[0]


@dataclass
class Scene:
    gate: Gate
    rest: Rest
    server: RawServer
    told: Told

    @staticmethod
    def now_ns() -> int:
        """The venue's time: it stands still while the machine does."""
        return BEGAN_NS + patient_loop().passed_ns()

    def params(self) -> list[dict[str, str]]:
        return [seen.params for seen in self.server.seen]


def order(number: int = 1, **changes: object) -> Order:
    fields: dict[str, object] = {
        "client_id": f"snipe-b-{number}",
        "symbol": Symbol("BTC"),
        "side": Side.BUY,
        "type": OrderType.IMMEDIATE_OR_CANCEL,
        "quantity": Decimal("0.5"),
        "price": Decimal("100.25"),
    }
    return Order(**{**fields, **changes})  # type: ignore[arg-type]


def rest_to(
    url: str, limits: LimitTerms | None = None, answer_s: float = 0.3, key: tuple[str, str] = (KEY, SECRET)
) -> Rest:
    terms = RestTerms(answer_s=answer_s, pool=PoolTerms(connect_timeout_s=0.5))
    return Rest(url, time.time_ns, Limiter(limits or LimitTerms()), Drift(print), Signer(*key), terms)


@asynccontextmanager
async def gate_to(
    url: str, server: RawServer, limits: LimitTerms | None = None, terms: GateTerms | None = None
) -> AsyncIterator[Scene]:
    rest, told = rest_to(url, limits), Told()
    rest.clock_ns, rest.limiter = Scene.now_ns, Limiter(limits or LimitTerms(), patient_loop().time)
    gate = Gate(rest, told.hear, terms or GateTerms(leave_within_s=0.3))
    try:
        yield Scene(gate, rest, server, told)
    finally:
        await gate.close()
        await rest.close()


@asynccontextmanager
async def at_the_gate(
    *script: Act,
    otherwise: Act | None = None,
    limits: LimitTerms | None = None,
    terms: GateTerms | None = None,
) -> AsyncIterator[Scene]:
    """A gate whose every request is answered by the script, and then taken."""
    async with (
        raw_server(otherwise or takes(), *script) as server,
        gate_to(server.url, server, limits, terms) as scene,
    ):
        yield scene
