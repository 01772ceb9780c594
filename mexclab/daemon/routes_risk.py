"""Risk through the API: what is used of each limit, what an entry would use, pauses, and the permits."""

from __future__ import annotations

from fastapi import APIRouter

from mexclab.daemon.requests import UNKNOWN, Answer, CheckWish, Confirmation, ProtectionId, Reason, unknown
from mexclab.daemon.risk_types import LimitsPage, ReviewPage, RiskPage
from mexclab.daemon.routes_acts import done
from mexclab.daemon.station import Station


def router(station: Station) -> APIRouter:
    """What can be read and asked for."""
    routes = APIRouter(tags=["risk"])
    _read(station, routes)
    _act(station, routes)
    return routes


def _read(station: Station, routes: APIRouter) -> None:
    @routes.get("/risk")
    async def risk() -> RiskPage:
        """Every limit and what is used of it, pauses, monitors, triggers, and what live trading lacks."""
        return station.risk.page()

    @routes.post("/risk/check", responses=UNKNOWN)
    async def check(wish: CheckWish) -> ReviewPage:
        """What the limits say of an entry that is only asked about. Nothing is written and nothing moves."""
        if wish.snipe_id is not None and not station.desk.knows(wish.snipe_id):
            raise unknown("snipe", wish.snipe_id)
        return await station.risk.check(wish)

    @routes.get("/limits")
    async def limits() -> LimitsPage:
        """The limits in force in full, as a person confirms them."""
        return station.risk.limits()


def _act(station: Station, routes: APIRouter) -> None:
    @routes.post("/limits/confirm")
    async def confirm(wish: Confirmation) -> Answer:
        """Take the limits in force on for the account that trades."""
        return await done(station, station.risk.confirm(wish))

    @routes.post("/protections/{protection_id}/release", responses=UNKNOWN)
    async def release(protection_id: ProtectionId, reason: Reason) -> Answer:
        """End a pause of entries before its time."""
        if not station.risk.knows(protection_id):
            raise unknown("protection", protection_id)
        return await done(station, station.risk.release(protection_id, reason))
