"""A rehearsal of the emergency is told to the desk, which keeps when it was and how it went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from mexclab.daemon.requests import Answer, Asker, Words
from mexclab.daemon.routes_acts import done
from mexclab.daemon.station import Station
from mexclab.domain import events as e

LONGEST_NS = 3600 * 10**9
Span = Annotated[int, Field(ge=0, le=LONGEST_NS, description="ns from the request until it was done")]


class Rehearsal(Asker):
    """How a rehearsal went; what did not happen took 0 ns."""

    passed: bool
    halted_ns: Span
    flattened_ns: Span
    resumed_ns: Span
    evidence: Words = Field(min_length=1, max_length=1000, description="the file that tells of it")


def router(station: Station) -> APIRouter:
    """What can be told."""
    routes = APIRouter(tags=["rehearsals"])

    @routes.post("/rehearsals")
    async def rehearsed(told: Rehearsal) -> Answer:
        """Keep that the emergency was rehearsed on a simulator. Nothing of this desk moves."""
        return await done(station, _kept(station, told))

    return routes


async def _kept(station: Station, told: Rehearsal) -> str:
    engine = station.desk.engine
    spans = (told.halted_ns, told.flattened_ns, told.resumed_ns)
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        await engine.record(e.Rehearsed(now, told.passed, *spans, told.evidence, told.by))
    return f"the rehearsal is kept: it {'passed' if told.passed else 'FAILED'}"
