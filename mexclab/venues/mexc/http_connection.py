"""One HTTP/1.1 connection by hand: a request at a time, a deadline on each, and what became of it.

An :class:`Answer` is a whole reply. A :class:`NoAnswer` says whether any byte may have left: where none did,
nothing happened and the request may be made again; where one did, only the venue can say. A connection whose
reply did not come, came in pieces or came twice is closed, so that no late reply is ever taken for the answer
to another request.

Requests are never pipelined: with more than one of them on a connection, a lost reply would leave all of
them of unknown fate.
"""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import httptools

BUFFER = 1 << 16
HEAD_LIMIT = 1 << 16
_UNREAD = select.POLLIN | select.POLLERR | select.POLLHUP | getattr(select, "POLLRDHUP", 0)


class Answer(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[bytes, bytes]  # of several with one name, the last
    body: bytes

    @property
    def named(self) -> dict[str, str]:
        """The headers as text; names as the venue wrote them."""
        return {name.decode("latin-1"): text.decode("latin-1") for name, text in self.headers.items()}


class NoAnswer(NamedTuple):
    """No whole reply came. ``left``: whether any byte of the request may have reached the venue."""

    left: bool
    why: str


Outcome: TypeAlias = Answer | NoAnswer
Done: TypeAlias = Callable[[Outcome], None]


class Owner(Protocol):
    """Who keeps connections."""

    def back(self, connection: Connection) -> None:
        """The connection is whole and idle."""
        ...

    def forget(self, connection: Connection) -> None:
        """The connection is closed or about to be."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection: idle, or waiting for the reply to one request."""

    def __init__(self, owner: Owner, is_plain: bool, body_limit: int) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._view = memoryview(bytearray(BUFFER))  # read into one buffer: no allocation per reply
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        # the parser calls these straight, without a step through Python for each header
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._is_plain = is_plain
        self._limit = body_limit + HEAD_LIMIT
        self._transport: asyncio.Transport
        self._poll = select.poll() if hasattr(select, "poll") else None
        self._done: Done | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf  # when the timer does
        self._begun = self._size = 0  # messages, and bytes, of the reply that is coming in
        self._status = self._parts = 0  # of the reply once it is whole: its status, the pieces of its body
        self._keeps_alive = True
        self.used_s = self._loop.time()  # when it was opened, or a request left by it for the last time

    # -- the request -----------------------------------------------------------------------------

    @property
    def is_sound(self) -> bool:
        """Whether it is idle, open, and nothing lies unread in its socket: no reply too many, no farewell."""
        if self._done is not None or self._transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def send(self, request: bytes, deadline_s: float, done: Done) -> bool:
        """Write the request now; ``done`` is called once, later, with what became of it.

        Returns:
            False when no byte left; ``done`` is then not called.
        """
        transport = self._transport
        if self._done is not None or transport.is_closing():
            return False
        transport.write(request)
        if self._is_plain and transport.is_closing():
            return False  # the system refused the very first byte
        self._done = done
        self.used_s = now = self._loop.time()
        self._due = now + deadline_s
        if self._due < self._rings:
            self._set_timer()
        return True

    def close(self) -> None:
        self._owner.forget(self)
        self._transport.abort() if self._done is not None else self._transport.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._due
        self._timer = self._loop.call_at(self._due, self._look_at_time)

    def _look_at_time(self) -> None:
        """One timer serves many requests: it is set again for as long as there is something to wait for."""
        self._timer, self._rings = None, math.inf
        if self._done is None:
            return
        if self._loop.time() < self._due:
            self._set_timer()
        else:
            self._fail("no answer came in time")

    def _fail(self, why: str) -> None:
        """End it without an answer."""
        done = self._done
        self.close()
        self._done = None
        if done is not None:
            done(NoAnswer(True, why))

    # -- the transport's side --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._poll is not None:
            self._poll.register(transport.get_extra_info("socket").fileno(), _UNREAD)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._done is None:
            self.close()  # nobody asked
            return
        self._size += nbytes
        try:
            self._parser.feed_data(self._view[:nbytes])
        except httptools.HttpParserError:
            if not self._status:
                self._fail("the reply is not HTTP")
                return
            self._keeps_alive = False  # a whole reply, then garbage
        except httptools.HttpParserUpgrade:
            self._fail("the venue changed the protocol")
            return
        if self._size > self._limit:
            self._fail("the reply is too long")
        elif self._status:
            self._finish()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fail("the reply was cut short" if self._begun else "the connection was lost before the answer")

    def _finish(self) -> None:
        """The reply is whole; the connection is free before its news is told, for whoever wants to go on."""
        done, body = self._done, self._body
        whole = body[0] if self._parts == 1 else b"".join(body[: self._parts])
        answer = Answer(self._status, self._headers.copy(), whole)
        clean = self._begun == 1 and self._keeps_alive
        self._done = None
        self._begun = self._size = self._status = 0
        self._headers.clear()
        body.clear()
        if clean:
            self._owner.back(self)
        else:
            self.close()
        assert done is not None
        done(answer)

    # -- the parser's side -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_message_complete(self) -> None:
        if self._status:
            return  # one too many
        status = self._parser.get_status_code()
        if status < 200:  # "100 Continue" and its like: the reply is still to come
            self._begun -= 1
            self._headers.clear()
            return
        self._status, self._parts = status, len(self._body)
        self._keeps_alive = self._parser.should_keep_alive()
