"""The daemon's door: snapshot, orders, events, and the acts of a person, on loopback behind a token."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from mexclab.daemon import routes_acts, routes_desk, routes_portfolio, routes_rehearsal, routes_risk
from mexclab.daemon.requests import PROBLEMS
from mexclab.daemon.snapshot import is_ready
from mexclab.daemon.station import Station
from mexclab.daemon.stream import stream
from mexclab.errors import (
    DomainError,
    LedgerError,
    MexclabError,
    NotAuthorised,
    ParameterError,
    RiskRefused,
    VenueError,
)

STATUS: dict[type[MexclabError], int] = {
    NotAuthorised: 401,
    RiskRefused: 409,
    DomainError: 409,
    ParameterError: 422,
    LedgerError: 503,
    VenueError: 503,
}


def build(station: Station) -> FastAPI:
    """The application; it describes itself at ``/openapi.json``."""
    app = FastAPI(
        title="mexclab daemon",
        description="The trading desk on loopback. Every call but /health needs "
        "`Authorization: Bearer <token>`; the token is in `daemon.token` of the data folder.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(MexclabError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    for status in (400, 404, 405):
        app.add_exception_handler(status, _off_the_map)
    app.include_router(_health(station))
    for rooms in (routes_desk, routes_acts, routes_risk, routes_portfolio, routes_rehearsal):
        router = rooms.router(station)
        app.include_router(router, dependencies=[Depends(_guard(station))], responses=PROBLEMS)

    @app.websocket("/stream")
    async def pictures(socket: WebSocket) -> None:
        if _known(station.token, socket.headers.get("authorization")):
            await stream(station, socket)
        else:
            await socket.close(4401, "the token is missing or wrong")

    return app


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)


async def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    words = [f"{'.'.join(str(part) for part in p['loc'][1:]) or 'body'}: {p['msg']}" for p in problems]
    return JSONResponse({"error": "ParameterError", "message": "; ".join(words)}, 422)


async def _off_the_map(_request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses, in the same form as everything else."""
    status = int(getattr(error, "status_code", 400))
    kind = "ParameterError" if status == 400 else "DeskError"
    headers = getattr(error, "headers", None)
    return JSONResponse({"error": kind, "message": str(getattr(error, "detail", error))}, status, headers)


def _known(token: str, header: str | None) -> bool:
    return secrets.compare_digest((header or "").encode(), f"Bearer {token}".encode())


def _guard(station: Station) -> Callable[..., None]:
    def allowed(authorization: Annotated[str | None, Header()] = None) -> None:
        if not _known(station.token, authorization):
            raise NotAuthorised("the token is missing or wrong; it is in daemon.token of the data folder")

    return allowed


def _health(station: Station) -> APIRouter:
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live")
    async def live(response: Response) -> dict[str, bool]:
        """The process answers; the header says which one."""
        response.headers["X-Process-Id"] = str(os.getpid())
        return {"live": True}

    @router.get("/ready", responses={503: {"description": "something is missing; the body says what"}})
    async def ready() -> JSONResponse:
        """Whether the desk may trade by its rules, with a reason per check.

        ``degraded``: it may, and something that it does not need for that fails.
        """
        checks = station.checks()
        good = is_ready(checks)
        rows = [{"name": c.name, "ok": c.ok, "why": c.why, "blocks": c.blocks} for c in checks]
        degraded = good and not all(check.ok for check in checks)
        body = {"ready": good, "degraded": degraded, "checks": rows}
        return JSONResponse(body, 200 if good else 503)

    return router
