"""The door of a desk that is still starting: it takes a halt, and says of everything else to come back.

A start folds the ledger and asks the venue, which may take seconds. Whoever asks to halt meanwhile must not
be told that nobody is there while the first shot gets ready.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from mexclab.daemon.requests import Answer, Reason
from mexclab.errors import MexclabError

STARTING = "the desk is starting: it reads its ledger and asks the venue. Until then it takes a halt alone"
BODY_BYTES = 64_000
Halt = Callable[[str, str], Awaitable[Answer]]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class EarlyDoor:
    """An application that is replaced by another one when the desk runs.

    Args:
        token: of the API.
        halt: by whom and why; the answer is awaited until the halt is durable.
    """

    def __init__(self, token: str, halt: Halt) -> None:
        self._token = token
        self._halt = halt
        self._inside: FastAPI | None = None
        self._early = early = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        early.add_api_route("/health/live", self._live)
        early.add_api_route("/health/ready", self._ready)
        early.add_api_route("/halt", self._take_halt, methods=["POST"])
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        early.add_api_route("/{path:path}", self._later, methods=every)

    def open(self, inside: FastAPI) -> None:
        """From now on everything is answered by ``inside``."""
        self._inside = inside

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await (self._inside or self._early)(scope, receive, send)

    async def _live(self, _request: Request) -> JSONResponse:
        return JSONResponse({"live": True})

    async def _ready(self, _request: Request) -> JSONResponse:
        return JSONResponse(
            {"ready": False, "checks": [{"name": "start", "ok": False, "why": STARTING}]}, 503
        )

    async def _later(self, _request: Request) -> JSONResponse:
        return _refused(503, "DeskError", STARTING)

    async def _take_halt(self, request: Request) -> JSONResponse:
        told = request.headers.get("authorization") or ""
        if not secrets.compare_digest(told.encode(), f"Bearer {self._token}".encode()):
            why = "the token is missing or wrong; it is in daemon.token of the data folder"
            return _refused(401, "NotAuthorised", why)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES:
                return _refused(422, "ParameterError", "the body is too long")
        try:
            reason = Reason.model_validate_json(body)
        except ValidationError as error:
            words = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
            return _refused(422, "ParameterError", "; ".join(words))
        try:
            answer = await self._halt(reason.by, reason.why)
        except MexclabError as error:
            return _refused(503, type(error).__name__, error.message)
        return JSONResponse(answer.model_dump())


def _refused(status: int, error: str, message: str) -> JSONResponse:
    return JSONResponse({"error": error, "message": message}, status)
