"""The door of a desk that is still starting: alive, not ready, and open to a halt alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from mexclab.daemon.early_door import BODY_BYTES, EarlyDoor
from mexclab.daemon.requests import Answer
from mexclab.errors import DeskError

TOKEN = "a-token"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


class Desk:
    """Remembers who asked for a halt, and can fail to start."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.starts = True
        self.door = EarlyDoor(TOKEN, self.halt)

    async def halt(self, by: str, why: str) -> Answer:
        self.asked.append((by, why))
        if not self.starts:
            raise DeskError("the desk did not start")
        return Answer(seq=3, halted=True, message="halted")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(desk.door)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=KNOWN) as client:
        yield client


async def test_it_is_alive_and_not_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"live": True}
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert "starting" in ready.json()["checks"][0]["why"]


async def test_a_halt_is_taken(desk: Desk, client: httpx.AsyncClient) -> None:
    reply = await client.post("/halt", json={"why": " looks odd ", "by": "ada"})
    assert reply.json() == {"seq": 3, "halted": True, "message": "halted"}
    assert desk.asked == [("ada", "looks odd")]


@pytest.mark.parametrize("path", ["/resume", "/flatten", "/snapshot", "/orders/x", "/", "/openapi.json"])
async def test_everything_else_is_told_to_come_back(client: httpx.AsyncClient, path: str) -> None:
    for reply in (await client.get(path), await client.post(path, json={"why": "x"})):
        assert reply.status_code == 503
        assert reply.json()["error"] == "DeskError"
        assert "starting" in reply.json()["message"]


@pytest.mark.parametrize("header", [None, "", "Bearer wrong", TOKEN, "Bearer ä"])
async def test_a_stranger_halts_nothing(desk: Desk, client: httpx.AsyncClient, header: str | None) -> None:
    headers = {"Authorization": "" if header is None else header.encode()}
    reply = await client.post("/halt", json={"why": "x"}, headers=headers)  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["error"]) == (401, "NotAuthorised")
    assert desk.asked == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"why": ""}', b'{"why": "a", "what": 1}', b'{"why": 5}', b"\xff\xfe",
     b'{"why": "\\ud800"}', b'{"why": "a\\u0000b"}', b'{"why": "' + b"x" * 3000 + b'"}', b"[" * 30_000,
     b'{"why": "' + b"x" * BODY_BYTES + b'"}'],
)  # fmt: skip
async def test_a_body_that_cannot_be_used_is_one_clear_refusal(
    desk: Desk, client: httpx.AsyncClient, body: bytes
) -> None:
    reply = await client.post("/halt", content=body)
    assert (reply.status_code, reply.json()["error"]) == (422, "ParameterError")
    assert reply.json()["message"]
    assert desk.asked == []


async def test_a_desk_that_does_not_start_does_not_claim_to_be_halted(
    desk: Desk, client: httpx.AsyncClient
) -> None:
    desk.starts = False
    reply = await client.post("/halt", json={"why": "x"})
    assert (reply.status_code, reply.json()["error"]) == (503, "DeskError")


async def test_once_it_is_open_everything_goes_inside(desk: Desk, client: httpx.AsyncClient) -> None:
    inside = FastAPI()

    @inside.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(path: str) -> PlainTextResponse:
        return PlainTextResponse(f"inside {path}")

    desk.door.open(inside)
    assert (await client.get("/snapshot")).text == "inside snapshot"
    assert (await client.post("/halt", json={"why": "x"})).text == "inside halt"
    assert desk.asked == []
