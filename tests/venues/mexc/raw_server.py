"""A tiny HTTP server on a real socket that answers as a test tells it to, however wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    connection: int
    at_s: float

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass
class Talk:
    """One request and the way back."""

    seen: Seen
    writer: asyncio.StreamWriter

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    def hang_up(self) -> None:
        self.writer.close()


Act: TypeAlias = Callable[[Talk], Awaitable[None]]


@dataclass
class RawServer:
    """Answers each request by the next act of its script, and then by ``otherwise``."""

    otherwise: Act
    script: deque[Act] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.split("\r\n")
                method, target, _ = line.split(" ")
                path, _, query = target.partition("?")
                headers = dict(each.split(": ", 1) for each in lines if each)
                at_s = asyncio.get_running_loop().time()
                seen = Seen(method, path, query, headers, number, at_s)
                self.seen.append(seen)
                act = self.script.popleft() if self.script else self.otherwise
                await act(Talk(seen, writer))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            self.writers.discard(writer)


def message(status: int, body: bytes, *headers: str) -> bytes:
    """A whole reply with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    if not any(each.lower().startswith("content-type") for each in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw(text: bytes) -> Act:
    """Exactly these bytes."""

    async def act(talk: Talk) -> None:
        await talk.say(text)

    return act


def says(status: int, payload: object, *headers: str) -> Act:
    """A whole reply: JSON, or bytes as they are."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return raw(message(status, body, *headers))


def refuses(code: int, words: str) -> Act:
    return says(400, {"msg": words, "code": code, "_extend": None})


def placed(params: dict[str, str], order_id: str) -> dict[str, object]:
    """What MEXC answers to an order that it took."""
    return {
        "symbol": params["symbol"], "orderId": order_id, "orderListId": -1, "price": params["price"],
        "origQty": params["quantity"], "type": params["type"], "side": params["side"], "stpMode": "",
        "transactTime": int(params["timestamp"]),
    }  # fmt: skip


def takes(order_id: str = "") -> Act:
    """Take an order; its id is made of the client's when none is given."""

    async def act(talk: Talk) -> None:
        params = talk.seen.params
        body = placed(params, order_id or f"C02__{params['newClientOrderId']}")
        await talk.say(message(200, json.dumps(body).encode()))

    return act


async def silence(talk: Talk) -> None:
    """No answer, while the connection stays open."""


async def hangs_up(talk: Talk) -> None:
    """No answer, and the connection ends."""
    talk.hang_up()


def cut(text: bytes) -> Act:
    """These bytes, and then the connection ends."""

    async def act(talk: Talk) -> None:
        await talk.say(text)
        talk.hang_up()

    return act


@asynccontextmanager
async def raw_server(
    otherwise: Act = silence, *script: Act, context: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serve on a free port of localhost until the end of the block."""
    server = RawServer(otherwise, deque(script), scheme="https" if context else "http")
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for writer in list(server.writers):
            writer.close()
        await listener.wait_closed()
        await asyncio.sleep(0.02)
