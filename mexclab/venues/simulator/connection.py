"""HTTP/1.1 on a bare ``asyncio.Protocol``: keep-alive, pipelining answered in order, bounded sizes.

A web framework would cost more than everything the venue does with an order, so the wire is spoken here:
httptools cuts the bytes into requests, a ``Turn`` keeps each request's place in the order of replies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any, Protocol, cast

import httptools

from mexclab.venues.simulator.http import Call, Reply, body_parameters, decoded, error, parameters, written

LARGEST_HEAD = 64 * 1024  # bytes of the address and the headers of one request
LARGEST_BODY = 1024 * 1024
LINGER_S = 1.0  # what a refused client still sends is read so long, or the refusal would be lost with it
UNANSWERED = 256  # pipelined requests of one connection that may wait before it is read no further

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_HTTP = error(400, 400, "Bad Request")
_HEAD_TOO_LARGE = error(431, 431, "Request Header Fields Too Large")
_BODY_TOO_LARGE = error(413, 413, "Payload Too Large")


class Desk(Protocol):
    """Who takes the requests of all connections."""

    connections: set[Connection]

    def take(self, call: Call, turn: Turn) -> None:
        """Answer the call through its turn, now or later."""
        ...

    def upgrade(self, transport: asyncio.Transport, path: str, head: bytes) -> asyncio.BaseProtocol | None:
        """The protocol that takes over a WebSocket; None when nobody does at that path."""
        ...


class Turn:
    """The place of one request among its connection's replies."""

    __slots__ = ("_connection", "_has_body", "_held", "_keeps", "closes", "data")

    def __init__(self, connection: Connection, keeps: bool, has_body: bool) -> None:
        self._connection = connection
        self._keeps = keeps
        self._has_body = has_body
        self._held = b""
        self.data: bytes | None = None
        self.closes = not keeps

    def reply(self, reply: Reply) -> None:
        self.send(self.written(reply))

    def written(self, reply: Reply) -> bytes:
        """The reply as this turn would send it."""
        return written(reply, self._keeps, self._has_body)

    def part(self, data: bytes) -> None:
        """A beginning of the answer; ``send`` is still to come. Who is not next in line keeps it."""
        if not self._connection.write_now(self, data):
            self._held += data

    def send(self, data: bytes, closes: bool | None = None) -> None:
        """These bytes are the answer, whatever they say; ``closes`` ends the connection after them."""
        self.data = self._held + data if self._held else data
        if closes is not None:
            self.closes = closes
        if not self._connection.is_reading:  # which settles everything at its end
            self._connection.settle()

    def hang_up(self) -> None:
        """No answer: the connection ends here."""
        self.send(b"", closes=True)


def _headers(raw: list[bytes]) -> dict[str, str]:
    """Names and values in turn, as a mapping by lower-case name; the first of a name counts."""
    headers: dict[str, str] = {}
    for name, value in zip(raw[::2], raw[1::2], strict=True):
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


class Connection(asyncio.Protocol):
    """One client's connection: bytes in, calls to the desk, replies out in the order of the calls."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._ready: list[tuple[Call, bool]] = []
        self._turns: deque[Turn] = deque()
        self._out: list[bytes] = []
        self.is_reading = self._is_over = self._is_clogged = self._is_paused = self._has_ended = False
        self._refusal: Reply | None = None
        self._headers: dict[str, str] = {}
        self._known_raw: list[bytes] = []  # what the headers were read from
        self._chunk = 0
        self.heard = monotonic()
        self.peer = ""
        self.on_message_begin()

    # -- asyncio ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else ""
        self._desk.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._turns.clear()
        self._desk.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_over or self._refusal is not None:
            return
        self.heard = monotonic()
        self._chunk = len(data)
        rest = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            rest = data[switch.args[0] :]
        except httptools.HttpParserError:
            self._refusal = self._refusal or _NOT_HTTP
        self.is_reading = True
        for call, keeps in self._ready:
            turn = Turn(self, keeps, call.method != "HEAD")
            self._turns.append(turn)
            self._desk.take(call, turn)
        self._ready.clear()
        self._size += self._chunk
        if self._size > LARGEST_HEAD + self._chunk and self._refusal is None:
            if not self._has_head:
                self._refusal = _HEAD_TOO_LARGE
            elif self._size > LARGEST_HEAD + LARGEST_BODY:
                self._refusal = _BODY_TOO_LARGE
        if rest is not None:
            self._switch(rest)
        elif self._refusal is not None:
            turn = Turn(self, keeps=False, has_body=True)
            self._turns.append(turn)
            turn.reply(self._refusal)
        self.is_reading = False
        self.settle()

    def eof_received(self) -> bool:
        self._has_ended = True
        return bool(self._turns)  # who only closed his half still gets his answers

    def pause_writing(self) -> None:
        self._is_clogged = True
        self._throttle()

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._throttle()

    # -- httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._raw: list[bytes] = []
        self._body: list[bytes] = []
        self._size = self._body_size = 0
        self._has_head = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw += (name, value)

    def on_headers_complete(self) -> None:
        self._has_head = True
        raw, self._raw = self._raw, []  # a trailer is no header
        if self._size + self._chunk > LARGEST_HEAD:
            size = len(self._url) + sum(map(len, raw)) + 2 * len(raw)
            if size > LARGEST_HEAD:
                self._refusal = self._refusal or _HEAD_TOO_LARGE
        if raw != self._known_raw:  # most clients say the same in every request
            self._headers, self._known_raw = _headers(raw), raw
        if "expect" in self._headers and not self._turns and not self._ready:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > LARGEST_BODY:
            self._refusal = self._refusal or _BODY_TOO_LARGE
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        upgrades = parser.should_upgrade()
        if self._refusal is not None or (upgrades and self._wants_websocket()):
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        if "%" in path or not path.isascii():
            path = decoded(path.replace("+", "%2B"))
        params = parameters(query)
        body = b""
        if self._body:
            body = b"".join(self._body)
            params = {**body_parameters(body), **params}
        method = parser.get_method().decode("ascii")
        call = Call(method, path, query, body, self._headers, self.peer, params)
        self._ready.append((call, parser.should_keep_alive() and not upgrades))
        self._size = 0

    # -- replies ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Send what is next to be sent; replies that overtook an earlier one wait for it."""
        turns, out = self._turns, self._out
        while turns and (data := turns[0].data) is not None:
            closes = turns.popleft().closes
            out.append(data)
            if closes:
                self._end()
                return
        if self._is_over:
            return
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
        if self._has_ended and not turns:
            self._end()
        elif self._is_paused or len(turns) > UNANSWERED:
            self._throttle()

    def write_now(self, turn: Turn, data: bytes) -> bool:
        """Write a part of the answer that is next in line; False when another one is."""
        if self._is_over or not self._turns or self._turns[0] is not turn:
            return self._is_over
        self._transport.write(data)
        return True

    def is_silent(self, since: float) -> bool:
        """Whether nothing came ``since`` that monotonic moment, and nothing is owed."""
        return self.heard < since and not self._turns

    def close(self) -> None:
        """End the connection as it is."""
        self._is_over = True
        self._turns.clear()
        self._transport.close()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._turns.clear()
        if self._out:
            self._transport.write(b"".join(self._out))
        if self._refusal is not None and not self._has_ended and self._transport.can_write_eof():
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def _throttle(self) -> None:
        if self._is_over or self._has_ended:
            return
        should = self._is_clogged or len(self._turns) > UNANSWERED
        if should and not self._is_paused:
            self._transport.pause_reading()
        elif self._is_paused and not should:
            self._transport.resume_reading()
        self._is_paused = should

    # -- WebSocket -------------------------------------------------------------------------------

    def _wants_websocket(self) -> bool:
        return self._parser.should_upgrade() and self._headers.get("upgrade", "").lower() == "websocket"

    def _switch(self, rest: bytes) -> None:
        """Give the connection away, with the bytes that already follow the request."""
        if not self._wants_websocket():
            return  # no protocol that is spoken here: it was answered as a plain request
        path = self._url.decode("latin-1").partition("?")[0]
        lines = [f"{name}: {value}\r\n" for name, value in self._headers.items()]
        head = b"GET %b HTTP/1.1\r\n%b\r\n" % (self._url, "".join(lines).encode("latin-1"))
        taker = self._desk.upgrade(self._transport, path, head)
        if taker is None:
            turn = Turn(self, keeps=False, has_body=True)
            self._turns.append(turn)
            turn.reply(error(404, 404, "Not Found"))
            return
        self._is_over = True
        self._desk.connections.discard(self)
        self._transport.set_protocol(taker)
        if rest:
            cast(Any, taker).data_received(rest)
