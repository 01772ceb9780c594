"""The daemon's door: snapshot, events, and the acts of a person, on loopback behind a token."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mexclab.daemon.snapshot import Check
from mexclab.domain.market import Symbol
from mexclab.errors import (
    DomainError,
    LedgerError,
    MexclabError,
    NotAuthorised,
    ParameterError,
    RiskRefused,
    VenueError,
)

FRAMES_PER_S = 5
KEEP_ALIVE_S = 1.0

STATUS: dict[type[MexclabError], int] = {
    NotAuthorised: 401,
    RiskRefused: 409,
    DomainError: 409,
    ParameterError: 422,
    LedgerError: 503,
    VenueError: 503,
}


def _writable(text: str) -> str:
    """Refuse half a character (a lone surrogate): it cannot be written down."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a character, which cannot be written down") from None
    return text


Words = Annotated[str, AfterValidator(_writable)]


class Reason(BaseModel):
    """Why a person asks for it; it is journalled."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    why: Words = Field(min_length=1, max_length=2000, description="the reason, in a sentence")
    by: Words = Field(default="api", max_length=60, description="who asks")


class Asker(BaseModel):
    """Who asks; it is journalled."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    by: Words = Field(default="api", max_length=60, description="who asks")


class Answer(BaseModel):
    """What an act led to."""

    seq: int = Field(description="the last entry of the ledger")
    halted: bool
    message: str


class Problem(BaseModel):
    """Why a call was not served, and what to do."""

    error: str = Field(description="the kind of error")
    message: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "the body is no JSON"},
    401: {"model": Problem, "description": "the token is missing or wrong"},
    409: {"model": Problem, "description": "the desk's state or its limits forbid it"},
    422: {"model": Problem, "description": "a parameter that cannot be used"},
    503: {"model": Problem, "description": "the ledger or the venue cannot be reached"},
}


class Station(Protocol):
    """What the API needs of a running daemon."""

    token: str

    def checks(self) -> list[Check]: ...

    def picture(self, frame: int, symbol: Symbol | None) -> dict[str, Any]: ...

    def events(self, after: int, limit: int, snipe_id: str) -> list[dict[str, Any]]: ...

    def state(self) -> tuple[int, bool]:
        """The ledger's last sequence number, and whether the desk is halted."""
        ...

    def news(self) -> int:
        """A number that changes whenever there is something new to show."""
        ...

    async def preflight(self, symbol: Symbol | None) -> dict[str, Any]: ...

    async def act(self, name: str, by: str, why: str, snipe_id: str = "") -> str: ...


def build(station: Station) -> FastAPI:
    """The application; its OpenAPI page is at ``/docs`` (offline, the JSON at ``/openapi.json``)."""
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
    app.include_router(_reading(station))
    app.include_router(_acts(station))

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await _stream(station, socket)

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
    async def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @router.get("/ready", responses={503: {"description": "something is missing; the body says what"}})
    async def ready() -> JSONResponse:
        """Whether everything that an entry needs is there, with a reason per check."""
        checks = station.checks()
        good = all(check.ok for check in checks)
        body = {"ready": good, "checks": [{"name": c.name, "ok": c.ok, "why": c.why} for c in checks]}
        return JSONResponse(body, 200 if good else 503)

    return router


def _symbol(text: str) -> Symbol | None:
    return Symbol.parse(text) if text else None


def _reading(station: Station) -> APIRouter:
    router = APIRouter(tags=["desk"], dependencies=[Depends(_guard(station))], responses=PROBLEMS)

    @router.get("/snapshot")
    async def snapshot(
        symbol: Annotated[str, Query(description="the chart's symbol")] = "",
    ) -> dict[str, Any]:
        """The whole desk at this moment."""
        return station.picture(0, _symbol(symbol))

    @router.get("/events")
    async def events(
        after: Annotated[int, Query(ge=0, lt=2**63, description="entries above this sequence number")] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        snipe: Annotated[str, Query(pattern="^[0-9A-Za-z_-]{0,32}$", description="only this snipe's")] = "",
    ) -> dict[str, Any]:
        """Entries of the ledger, in order."""
        rows = await asyncio.to_thread(station.events, after, limit, snipe)
        return {"events": rows, "last": station.state()[0]}

    @router.get("/preflight")
    async def preflight(
        symbol: Annotated[str, Query(description="a pair such as BTCUSDT; none: the account alone")] = "",
    ) -> dict[str, Any]:
        """Whether an order would be taken, check by check; nothing is traded."""
        return await station.preflight(_symbol(symbol))

    return router


def _acts(station: Station) -> APIRouter:
    router = APIRouter(tags=["acts"], dependencies=[Depends(_guard(station))], responses=PROBLEMS)

    async def done(act: Awaitable[str]) -> Answer:
        message = await act
        seq, halted = station.state()
        return Answer(seq=seq, halted=halted, message=message)

    @router.post("/halt")
    async def halt(reason: Reason) -> Answer:
        """Refuse new entries, cancel open ones. Exits go on."""
        return await done(station.act("halt", reason.by, reason.why))

    @router.post("/resume")
    async def resume(reason: Reason) -> Answer:
        """Allow entries again, after checks."""
        return await done(station.act("resume", reason.by, reason.why))

    @router.post("/flatten")
    async def flatten(reason: Reason) -> Answer:
        """Sell everything that is held, in bounded orders."""
        return await done(station.act("flatten", reason.by, reason.why))

    @router.post("/snipes/{snipe_id}/arm")
    async def arm(snipe_id: str, asker: Asker) -> Answer:
        """Let a planned snipe fire."""
        return await done(station.act("arm", asker.by, "", snipe_id))

    @router.post("/snipes/{snipe_id}/disarm")
    async def disarm(snipe_id: str, asker: Asker) -> Answer:
        """Take an armed snipe back."""
        return await done(station.act("disarm", asker.by, "", snipe_id))

    return router


async def _stream(station: Station, socket: WebSocket) -> None:
    """Send the newest picture at most five times a second; the client may switch the chart's symbol."""
    if not _known(station.token, socket.headers.get("authorization")):
        await socket.close(4401, "the token is missing or wrong")
        return
    await socket.accept()
    chosen: dict[str, Symbol | None] = {"symbol": None}
    try:
        chosen["symbol"] = _symbol(socket.query_params.get("symbol", ""))
        async with asyncio.TaskGroup() as group:
            group.create_task(_listen(socket, chosen))
            group.create_task(_send(station, socket, chosen))
    except* (WebSocketDisconnect, RuntimeError, asyncio.CancelledError):
        pass  # the client left, or the server stops
    except* DomainError as errors:
        await socket.close(4422, str(errors.exceptions[0])[:120])


async def _listen(socket: WebSocket, chosen: dict[str, Symbol | None]) -> None:
    while True:
        try:
            asked = json.loads(await socket.receive_text())
        except ValueError:
            raise DomainError('the stream takes JSON objects such as {"symbol": "BTCUSDT"}') from None
        if not isinstance(asked, dict):
            raise DomainError('the stream takes JSON objects such as {"symbol": "BTCUSDT"}')
        chosen["symbol"] = _symbol(str(asked.get("symbol") or ""))


async def _send(station: Station, socket: WebSocket, chosen: dict[str, Symbol | None]) -> None:
    frame = 0
    async for _ in _beats(station):
        frame += 1
        await socket.send_text(json.dumps(station.picture(frame, chosen["symbol"]), separators=(",", ":")))


async def _beats(station: Station) -> AsyncIterator[None]:
    """A beat per piece of news, no more than the allowed frames, no less than one a second."""
    shown, quiet = -1, 0
    while True:
        news = station.news()
        if news != shown or quiet >= FRAMES_PER_S * KEEP_ALIVE_S:
            shown, quiet = news, 0
            yield
        quiet += 1
        await asyncio.sleep(1 / FRAMES_PER_S)
