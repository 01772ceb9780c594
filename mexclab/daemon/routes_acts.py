"""The acts of a person: authorised here, carried out by the engine, journalled with who asked and why."""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import APIRouter

from mexclab.daemon.requests import (
    UNKNOWN,
    Acceptance,
    Answer,
    Asker,
    ExitWish,
    Reason,
    SnipeId,
    Tuning,
    unknown,
)
from mexclab.daemon.row_types import ReconciliationPage
from mexclab.daemon.station import Station


def router(station: Station) -> APIRouter:
    """What can be asked for."""
    routes = APIRouter(tags=["acts"])
    _desk(station, routes)
    _snipes(station, routes)
    return routes


async def done(station: Station, act: Awaitable[str]) -> Answer:
    """Carry an act out and say what it led to."""
    message = await act
    seq, halted = station.state()
    return Answer(seq=seq, halted=halted, message=message)


def _known(station: Station, snipe_id: str) -> None:
    if not station.desk.knows(snipe_id):
        raise unknown("snipe", snipe_id)


def _desk(station: Station, routes: APIRouter) -> None:
    @routes.post("/halt")
    async def halt(reason: Reason) -> Answer:
        """Refuse new entries, cancel open ones. Exits go on."""
        return await done(station, station.act("halt", reason.by, reason.why))

    @routes.post("/resume")
    async def resume(reason: Reason) -> Answer:
        """Allow entries again, after checks."""
        return await done(station, station.act("resume", reason.by, reason.why))

    @routes.post("/flatten")
    async def flatten(reason: Reason) -> Answer:
        """Sell everything that is held, in bounded orders."""
        return await done(station, station.act("flatten", reason.by, reason.why))

    @routes.post("/sweep")
    async def sweep(reason: Reason) -> Answer:
        """Sell what snipes that are over have left behind, as far as the venue takes it."""
        return await done(station, station.desk.sweep(reason))

    @routes.post("/reconcile")
    async def reconcile() -> ReconciliationPage:
        """Compare the ledger with the venue now."""
        return await station.desk.reconcile()

    @routes.post("/reconcile/accept")
    async def accept(wish: Acceptance) -> Answer:
        """Write off what the venue lacks of a symbol, as the last comparison found it."""
        return await done(station, station.desk.accept(wish))

    @routes.post("/strategy")
    async def tune(wish: Tuning) -> Answer:
        """Put other parameters in force for plans from now on."""
        return await done(station, station.desk.tune(wish))

    @routes.post("/strategy/reset")
    async def reset(reason: Reason) -> Answer:
        """Give the strategy back to the settings."""
        return await done(station, station.desk.reset_strategy(reason))


def _snipes(station: Station, routes: APIRouter) -> None:
    @routes.post("/snipes/{snipe_id}/arm", responses=UNKNOWN)
    async def arm(snipe_id: SnipeId, asker: Asker) -> Answer:
        """Let a planned snipe fire."""
        _known(station, snipe_id)
        return await done(station, station.act("arm", asker.by, "", snipe_id))

    @routes.post("/snipes/{snipe_id}/disarm", responses=UNKNOWN)
    async def disarm(snipe_id: SnipeId, asker: Asker) -> Answer:
        """Take an armed snipe back."""
        _known(station, snipe_id)
        return await done(station, station.act("disarm", asker.by, "", snipe_id))

    @routes.post("/snipes/{snipe_id}/exit", responses=UNKNOWN)
    async def replace_exit(snipe_id: SnipeId, wish: ExitWish) -> Answer:
        """Give a snipe another exit plan; what is not given stays."""
        _known(station, snipe_id)
        return await done(station, station.desk.replace_exit(snipe_id, wish))

    @routes.post("/snipes/{snipe_id}/abort", responses=UNKNOWN)
    async def abort(snipe_id: SnipeId, reason: Reason) -> Answer:
        """Give up a snipe that has not fired."""
        _known(station, snipe_id)
        return await done(station, station.desk.abort(snipe_id, reason))

    @routes.post("/snipes/{snipe_id}/flatten", responses=UNKNOWN)
    async def flatten_one(snipe_id: SnipeId, reason: Reason) -> Answer:
        """Sell what this snipe holds, in bounded orders."""
        _known(station, snipe_id)
        return await done(station, station.desk.flatten_snipe(snipe_id, reason))
