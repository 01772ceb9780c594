"""One connection to the streams: what it is subscribed to, what was refused, and whether it is alive.

Control is text: ``SUBSCRIPTION`` and ``PING`` go out, acknowledgements come back, refusals among them, all
with code 0. Channels are asked for one in a message: how several in one are acknowledged is not known.
Source: MEXC spot v3 websocket streams, 2026; the words of a refusal as recorded by several.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import msgspec

from mexclab.venues.mexc.websocket import WebSocket, connect

REFUSED = "Not Subscribed successfully!"
BAD_LISTEN_KEY = "Invalid listen key"
_CHANNEL = re.compile(r"spot@[^\s,\[\]]+")


class Word(Enum):
    """What a control message of the venue was about."""

    READY = "ready"  # every channel that was asked for is acknowledged or refused
    GIVEN = "given"  # a channel is acknowledged
    REFUSED = "refused"  # a channel is not given
    MARK = "mark"
    PONG = "pong"
    BAD_KEY = "bad listen key"


class _Reply(msgspec.Struct):
    msg: str = ""
    id: object = 0
    code: object = 0


_decode = msgspec.json.Decoder(_Reply).decode


@dataclass(frozen=True, slots=True)
class ConnectionHooks:
    """Whom a connection tells.

    Attributes:
        frame: a data frame.
        word: a control message that matters, and its number or channel.
        closed: it is gone, and why.
    """

    frame: Callable[[Connection, bytes], None]
    word: Callable[[Connection, Word, str], None]
    closed: Callable[[Connection, str], None]


class Connection:
    """One open WebSocket and its subscriptions.

    Attributes:
        channels: what was asked for, and whether it was acknowledged (True), refused (False) or neither.
        opened_s, pinged_s, asked_s: when it was opened, pinged, asked for channels, on the loop's clock.
        mark: the number of the last mark that it showed.
        pongs: how many pings were answered.
        ended: done when it is gone; the result is why.
    """

    def __init__(self, hooks: ConnectionHooks) -> None:
        self._hooks = hooks
        self._socket: WebSocket
        self._loop = asyncio.get_running_loop()
        self._asked = 0
        self.channels: dict[str, bool | None] = {}
        self.opened_s = self.pinged_s = self.asked_s = self._loop.time()
        self.mark = self.pings = self.pongs = self.frames = 0
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.ready = asyncio.Event()  # everything that was asked for was answered

    async def open(self, url: str, deadline_s: float) -> None:
        """Connect.

        Raises:
            VenueUnavailable: there was no connection within the deadline.
        """
        self._socket = await connect(url, self, deadline_s)
        self.opened_s = self.pinged_s = self.asked_s = self._loop.time()

    @property
    def is_open(self) -> bool:
        return not self.ended.done()

    @property
    def heard_s(self) -> float:
        """When anything came last, on the loop's clock."""
        return self._socket.heard_s

    @property
    def bug(self) -> Exception | None:
        """What one of the hooks raised, if that is what ended the connection."""
        return self._socket.bug

    # -- what we say -----------------------------------------------------------------------------

    def subscribe(self, channels: Iterable[str]) -> None:
        """Ask for channels; one that was asked for is asked for again."""
        self.asked_s = self._loop.time()
        for channel in channels:
            self._asked += 1
            self.channels[channel] = None
            self.ready.clear()
            asked = {"method": "SUBSCRIPTION", "params": [channel], "id": self._asked}
            self._socket.send(msgspec.json.encode(asked).decode())

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Take channels back; what still comes of them is nobody's business."""
        for channel in channels:
            if self.channels.pop(channel, False) is False:
                continue  # never asked for, or refused
            self._asked += 1
            said = {"method": "UNSUBSCRIPTION", "params": [channel], "id": self._asked}
            self._socket.send(msgspec.json.encode(said).decode())
        self._answered("")

    def ping(self) -> None:
        """Ask for a sign of life; it also tells the venue that we are here."""
        self.pings += 1
        self.pinged_s = self._loop.time()
        self._socket.send('{"method":"PING"}')

    def close(self, why: str) -> None:
        """Say goodbye."""
        self._socket.close(why)

    def abort(self, why: str) -> None:
        """Cut it off."""
        self._socket.abort(why)

    # -- what we hear ----------------------------------------------------------------------------

    def frame(self, payload: bytes) -> None:
        """See ``websocket.Ear``."""
        self.frames += 1
        self._hooks.frame(self, payload)

    def text(self, payload: str) -> None:
        """See ``websocket.Ear``."""
        try:
            said = _decode(payload).msg
        except (msgspec.DecodeError, RecursionError):
            said = payload
        if said == "PONG":
            self.pongs += 1
            self._hooks.word(self, Word.PONG, "")
        elif said.startswith("MARK ") and said[5:].isdigit():
            self.mark = int(said[5:])
            self._hooks.word(self, Word.MARK, said[5:])
        elif BAD_LISTEN_KEY in said:
            self._hooks.word(self, Word.BAD_KEY, "")
        else:
            self._answered(said)

    def _answered(self, said: str) -> None:
        """An acknowledgement, or a refusal in the words of one."""
        is_given = not said.startswith(REFUSED)
        for channel in _CHANNEL.findall(said):
            if channel not in self.channels:
                continue
            self.channels[channel] = is_given
            self._hooks.word(self, Word.GIVEN if is_given else Word.REFUSED, channel)
        if self.channels and None not in self.channels.values() and not self.ready.is_set():
            self.ready.set()
            self._hooks.word(self, Word.READY, "")

    def closed(self, why: str) -> None:
        """See ``websocket.Ear``."""
        if not self.ended.done():
            self.ended.set_result(why)
            self._hooks.closed(self, why)
