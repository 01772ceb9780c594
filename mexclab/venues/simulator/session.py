"""One client's WebSocket: the handshake, text control in, frames out, and every rule that ends it.

The wire's own rules are the sans-I/O protocol of the ``websockets`` library. Data frames go past it,
ready-made: servers do not mask, so the same bytes serve every subscriber.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

LARGEST_MESSAGE = 64 * 1024  # bytes a client may send in one message
MESSAGES_PER_S = 100  # that a client may send
SUBSCRIPTIONS = 30
SLOW_BYTES = 4 * 1024 * 1024  # unsent bytes at which a client is too slow to be kept
CLOSING_S = 2.0  # how long a client may take to answer our goodbye

NORMAL, GOING_AWAY, BAD_DATA, BROKE_A_RULE = 1000, 1001, 1007, 1008
BAD_LISTEN_KEY = "Invalid listen key"
REFUSED = "Not Subscribed successfully! [{}].  Reason： Blocked! "
MALFORMED = "msg format invalid"  # not established: no record of MEXC's answer to nonsense is known

_TEXT, _BINARY = 0x81, 0x82  # first byte of a whole frame: last fragment and opcode
_ID_LIMIT = 2**63


class Control(msgspec.Struct):
    """What a client asks, in text."""

    method: str = ""
    params: list[str] = []
    id: object = 0


_decode = msgspec.json.Decoder(Control).decode


def framed(payload: bytes, first: int = _BINARY) -> bytes:
    """A whole unmasked server frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def answer(number: object, words: str) -> bytes:
    """MEXC's only shape of reply, refusals included: code 0."""
    known = number if type(number) is int and -_ID_LIMIT <= number < _ID_LIMIT else 0
    return msgspec.json.encode({"id": known, "code": 0, "msg": words})


class Desk(Protocol):
    """Who knows the channels; see ``hub.StreamHub``."""

    def admit(self, session: Session, listen_key: str | None) -> bool:
        """Whose key it is goes into ``session.owner``; False: nobody's, or it has its connections."""

    def subscribe(self, session: Session, channel: str) -> bool:
        """False: there is no such channel, for this session."""

    def unsubscribe(self, session: Session, channel: str) -> None: ...

    def forget(self, session: Session) -> None:
        """The connection is gone."""


class Session(asyncio.Protocol):
    """A connection from its handshake to its end.

    Attributes:
        owner: the account of its listen key; "" on a public connection.
        listen_key: "" on a public connection.
        channels: what it is subscribed to.
        outbox: whole frames that ``send_outbox`` writes in one go.
        opened_s, bare_s, heard_s: on the loop's clock: since when it is open, without a subscription, and
            without data or ping.
    """

    def __init__(self, desk: Desk, transport: asyncio.Transport) -> None:
        self._desk = desk
        self._transport = transport
        self._wire = ServerProtocol(max_size=LARGEST_MESSAGE)
        self._loop = asyncio.get_running_loop()
        self._message: list[bytes] | None = None  # the fragments so far of a message in several
        self._is_text = self._has_ended = False
        self._second, self._count = 0, 0
        self.owner = self.listen_key = ""
        self.channels: dict[str, None] = {}
        self.outbox: list[bytes] = []
        self.opened_s = self.bare_s = self.heard_s = self._loop.time()

    @property
    def is_open(self) -> bool:
        return self._wire.state is State.OPEN

    @property
    def unsent_bytes(self) -> int:
        """Written, and not yet taken by the system."""
        return self._transport.get_write_buffer_size()

    # -- the wire --------------------------------------------------------------------------------

    def open(self, raw_request: bytes) -> None:
        """Answer the upgrade request; a request that is none is answered 4xx and the connection closed."""
        self._wire.receive_data(raw_request)
        requests = [event for event in self._wire.events_received() if isinstance(event, Request)]
        if requests:
            self._wire.send_response(self._wire.accept(requests[0]))
            if self.is_open:
                self._greet(parse_qs(requests[0].path.partition("?")[2]).get("listenKey"))
        self._write_wire()
        if not self.is_open and self._wire.state is not State.CLOSING:
            self._transport.close()

    def _greet(self, listen_keys: list[str] | None) -> None:
        if not self._desk.admit(self, listen_keys[0] if listen_keys else None):
            self._wire.send_text(BAD_LISTEN_KEY.encode())
            self._wire.send_close(NORMAL)
            self._loop.call_later(CLOSING_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._has_ended:
            return
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._write_wire()

    def eof_received(self) -> bool:
        self._end()
        self._write_wire()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.outbox.clear()
        self._desk.forget(self)

    def _end(self) -> None:
        """Nothing more will be read: the wire is closed from here on."""
        if not self._has_ended:
            self._has_ended = True
            self._wire.receive_eof()

    def _write_wire(self) -> None:
        """Send what the wire's protocol has to say; its empty bytes are the end."""
        for data in self._wire.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    # -- what the client says --------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if not self.is_open:
            return
        self._count_message()
        if frame.opcode is Opcode.PING or frame.opcode is Opcode.PONG:
            self.heard_s = self._loop.time()
            return
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._message, self._is_text = [], frame.opcode is Opcode.TEXT
        if self._message is None:
            return
        self._message.append(bytes(frame.data))
        if frame.fin and self.is_open:
            message, self._message = b"".join(self._message), None
            self._obey(message if self._is_text else b"")

    def _count_message(self) -> None:
        second = int(self._loop.time())
        self._count = self._count + 1 if second == self._second else 1
        self._second = second
        if self._count > MESSAGES_PER_S:
            self.close(BROKE_A_RULE, f"more than {MESSAGES_PER_S} messages in a second")

    def _obey(self, message: bytes) -> None:
        try:
            control = _decode(message.decode())
        except UnicodeDecodeError:
            self.close(BAD_DATA, "not UTF-8")
            return
        except (msgspec.DecodeError, RecursionError):
            self._reply(answer(0, MALFORMED))
            return
        if control.method in ("PING", "ping"):
            self.heard_s = self._loop.time()
            self._reply(answer(control.id, "PONG"))
        elif control.method == "SUBSCRIPTION" and control.params:
            self._subscribe(control)
        elif control.method == "UNSUBSCRIPTION" and control.params:
            for channel in control.params:
                self._desk.unsubscribe(self, channel)
            self._reply(answer(control.id, ",".join(control.params)))
        else:
            self._reply(answer(control.id, MALFORMED))

    def _subscribe(self, control: Control) -> None:
        """Each channel for itself: those that there are are acknowledged, those that are not are named."""
        taken: dict[str, None] = {}
        blocked: dict[str, None] = {}
        for channel in control.params:
            room = channel in self.channels or len(self.channels) < SUBSCRIPTIONS
            known = room and self._desk.subscribe(self, channel)
            (taken if known else blocked)[channel] = None
        if taken:
            self._reply(answer(control.id, ",".join(taken)))
        if blocked:
            self._reply(answer(control.id, REFUSED.format(",".join(blocked))))

    def _reply(self, text: bytes) -> None:
        self._wire.send_text(text)

    # -- what the client is sent -----------------------------------------------------------------

    def send_outbox(self, now_s: float) -> None:
        """Write every frame that waits; a client that does not keep up is cut off, never waited for."""
        frames, self.outbox = self.outbox, []
        if not frames or not self.is_open or self._transport.is_closing():
            return
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        self.heard_s = now_s
        if self.unsent_bytes > SLOW_BYTES:
            self._transport.abort()

    def send_mark(self, number: int, now_s: float) -> None:
        """After all that waits, a text that says how far it goes."""
        self.outbox.append(framed(answer(0, f"MARK {number}"), _TEXT))
        self.send_outbox(now_s)

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, after all that waits; who does not answer is cut off."""
        if not self.is_open:
            return
        self.send_outbox(self._loop.time())
        self._wire.send_close(code, reason)
        self._write_wire()
        self._loop.call_later(CLOSING_S, self._transport.abort)

    def cut(self, last: bytes) -> None:
        """End the connection without a goodbye, after these bytes, which may be a part of a frame."""
        if not self._transport.is_closing():
            self.outbox.append(last)
            self.send_outbox(self._loop.time())
            self._transport.close()
