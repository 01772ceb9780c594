"""A WebSocket client for a stream that mostly listens: server frames are cut out of the bytes as they come.

The handshake and what we send are the ``websockets`` library's. What the venue sends is not given to it: a
frame from a server is a size and the bytes that follow (RFC 6455, 5.2), unmasked, and cutting those out costs
less than a tenth of what a general parser takes. No compression is offered, so none is used.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import Close, Frame, Opcode
from websockets.uri import WebSocketURI, parse_uri

from mexclab.errors import ConfigError, VenueUnavailable

MOST_HEAD = 32 * 1024  # bytes of the answer to a handshake
MOST_MESSAGE = 8 * 1024 * 1024  # bytes of one message, in however many frames
CLOSING_S = 1.0  # how long the venue may take to answer our goodbye
_TEXT, _BINARY, _CONTINUED, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


class Ear(Protocol):
    """Who listens. Each is called as the bytes come, in order."""

    def frame(self, payload: bytes) -> None:
        """A binary message."""

    def text(self, payload: str) -> None:
        """A text message."""

    def closed(self, why: str) -> None:
        """The connection is gone; nothing more comes. Called once, and only after it was open."""


class WebSocket(asyncio.Protocol):
    """One connection. Make it with :func:`connect`.

    Attributes:
        heard_s: when bytes came last, on the loop's clock.
        bug: what an ear raised, if that is what ended the connection.
    """

    def __init__(self, uri: WebSocketURI, ear: Ear) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = ClientProtocol(uri, extensions=None)
        self._ear = ear
        self._transport: asyncio.Transport
        self._rest = b""
        self._parts: list[bytes] = []  # of a message in several frames, the opcode's first
        self._opcode = 0
        self._is_open = self._has_ended = False
        self._why = ""
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.heard_s = self._loop.time()
        self.bug: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self._is_open and not self._has_ended and not self._transport.is_closing()

    # -- the transport's side --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wire.send_request(self._wire.connect())
        for data in self._wire.data_to_send():
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        if not self._is_open:
            data = self._shake_hands(data)
            if not self._is_open:
                return
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self._cut(data) :]
        except VenueUnavailable as error:
            self._fail(error.message)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not isinstance(exc, OSError):
            self.bug = exc
        self._end(self._why or (str(exc) if exc is not None else "the connection was cut"))

    def _end(self, why: str) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._is_open:
            self._ear.closed(why)
        elif not self.opened.done():
            self.opened.set_exception(VenueUnavailable(f"the stream does not open: {why}"))
            self.opened.exception()  # seen, should nobody wait any more

    def _fail(self, why: str) -> None:
        self._why = self._why or why
        self._transport.abort()

    def _shake_hands(self, data: bytes) -> bytes:
        """Take the answer to our handshake; what comes behind it."""
        self._rest += data
        end = self._rest.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(self._rest) > MOST_HEAD:
                self._fail("the answer to the handshake has no end")
            return b""
        head, rest = self._rest[:end], self._rest[end:]
        self._rest = b""
        if not head.startswith(b"HTTP/1.1 101"):
            status = head.partition(b"\r\n")[0].decode("ascii", "replace")
            self._fail(f"the venue answered {status!r}")
            return b""
        self._wire.receive_data(head)
        if isinstance(self._wire.handshake_exc, InvalidHandshake):
            self._fail(str(self._wire.handshake_exc))
            return b""
        self._is_open = True
        if not self.opened.done():
            self.opened.set_result(None)
        return rest

    # -- frames ----------------------------------------------------------------------------------

    def _cut(self, data: bytes) -> int:
        """Hand over every whole frame; how many bytes they were.

        Raises:
            VenueUnavailable: these are no frames of a server.
        """
        at, end, hear = 0, len(data), self._ear.frame
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            start = at + 2
            if size > 125:
                if size > 127:
                    raise VenueUnavailable("the venue sent a masked frame")
                start += 2 if size == 126 else 8
                if start > end:
                    break
                size = int.from_bytes(data[at + 2 : start], "big")
                if size > MOST_MESSAGE:
                    raise VenueUnavailable(f"the venue sent a frame of {size} bytes")
            stop = start + size
            if stop > end:
                break
            if first == 0x82 and not self._parts:
                hear(data[start:stop])
            else:
                self._other(first, data[start:stop])
            at = stop
        return at

    def _other(self, first: int, payload: bytes) -> None:
        """Text, fragments and control frames.

        Raises:
            VenueUnavailable: it breaks the rules of frames.
        """
        opcode, is_last = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise VenueUnavailable("the venue sent a frame with bits that were not agreed on")
        if opcode == _PING:
            self._send(Opcode.PONG, payload)
        elif opcode == _CLOSE:
            code, words = int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
            self._why = self._why or f"the venue closed it: {code or 'no code'} {words}".rstrip()
            self._send(Opcode.CLOSE, payload[:2])
            self._transport.close()
        elif opcode in (_TEXT, _BINARY):
            if self._parts:
                raise VenueUnavailable("the venue began a message within another")
            self._opcode = opcode
            self._gather(payload, is_last)
        elif opcode == _CONTINUED and self._parts:
            self._gather(payload, is_last)
        elif opcode != _PONG:
            raise VenueUnavailable(f"the venue sent a frame of kind {opcode}")

    def _gather(self, payload: bytes, is_last: bool) -> None:
        self._parts.append(payload)
        if sum(map(len, self._parts)) > MOST_MESSAGE:
            raise VenueUnavailable("the venue sent a message without end")
        if not is_last:
            return
        message, self._parts = b"".join(self._parts), []
        if self._opcode == _BINARY:
            self._ear.frame(message)
            return
        try:
            self._ear.text(message.decode())
        except UnicodeDecodeError:
            raise VenueUnavailable("the venue sent text that is no UTF-8") from None

    # -- what we say -----------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a text message; on a connection that is gone nothing happens."""
        self._send(Opcode.TEXT, text.encode())

    def _send(self, opcode: Opcode, payload: bytes) -> None:
        if self.is_open:
            self._transport.write(Frame(opcode, payload).serialize(mask=True))

    def close(self, why: str) -> None:
        """Say goodbye; who does not answer is cut off. ``closed`` is called when it is over."""
        self._why = self._why or why
        if self.is_open:
            self._send(Opcode.CLOSE, Close(1000, "").serialize())
            self._loop.call_later(CLOSING_S, self._transport.abort)
        else:
            self._transport.abort()

    def abort(self, why: str) -> None:
        """Cut it off at once."""
        self._fail(why)


async def connect(url: str, ear: Ear, deadline_s: float) -> WebSocket:
    """An open connection.

    Raises:
        VenueUnavailable: there was none within the deadline.
        ConfigError: ``url`` is no address of a stream.
    """
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise ConfigError(f"the address of the stream cannot be used: {error.msg}") from None
    loop = asyncio.get_running_loop()
    socket: WebSocket | None = None
    try:
        async with asyncio.timeout(deadline_s):
            context = ssl.create_default_context() if uri.secure else None
            _, socket = await loop.create_connection(
                lambda: WebSocket(uri, ear), uri.host, uri.port, ssl=context
            )
            await socket.opened
    except (TimeoutError, OSError) as error:
        if socket is not None:
            socket.abort("it took too long")
            socket.opened.cancel()
        why = f"no answer within {deadline_s:g} s" if isinstance(error, TimeoutError) else str(error)
        raise VenueUnavailable(f"the stream at {uri.host}:{uri.port} does not open: {why}") from None
    except asyncio.CancelledError:
        if socket is not None:
            socket.abort("it was not wanted any more")
        raise
    return socket
