"""Pictures of the desk as the daemon makes them, over a WebSocket that mends itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from mexclab.errors import DaemonUnreachable, DeskError
from mexclab.notebook.address import HOW_TO_START, Address, Find, not_authorised, unreachable

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
SILENCE_S = 5.0
"""A stream that says nothing for this long is given up; the daemon sends at least once a second."""
READING_S = 3.0
"""After a refusal: trying at once would change nothing, and the sentence would be gone unread."""
NO_SUCH_SYMBOL = 4422
"""The code with which the daemon closes a stream whose symbol it cannot read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One picture of the whole desk, as the daemon served it.

    Attributes:
        body: the served object: text for money, integers of nanoseconds in names ending in ``_ns``.
    """

    body: Mapping[str, Any] = field(repr=False)

    @property
    def frame(self) -> int:
        """Rises with every picture that the daemon makes."""
        return int(self.body["frame"])

    @property
    def at_ns(self) -> int:
        """The venue's clock."""
        return int(self.body["at_ns"])

    @property
    def mode(self) -> str:
        """``demo``, ``paper`` or ``live``."""
        return str(self.body["mode"])

    @property
    def halted(self) -> bool:
        return self.body["halt"] is not None

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.body[name])} {name}" for name in ("listings", "positions"))
        return f"Snapshot(frame={self.frame}, {self.mode}, halted={self.halted}, {counts})"


@dataclass(frozen=True, slots=True)
class NotConnected:
    """The stream is down: why, for people, and how many seconds until the next try."""

    why: str
    retry_s: float


class Stream:
    """Pictures of the desk as they are made, for ever: ``async for`` yields what arrives.

    Yields a :class:`Snapshot` for each picture, and a :class:`NotConnected` whenever there is no
    connection; then it waits, longer each time up to five seconds, and tries again.
    """

    def __init__(self, find: Find, symbol: str | None) -> None:
        self._find = find
        self._symbol = symbol
        self._socket: ClientConnection | None = None

    async def switch(self, symbol: str | None) -> None:
        """Chart ``symbol`` from now on, across reconnections too."""
        self._symbol = symbol
        if self._socket is not None:
            # When it is lost, the reader sees that too, and asks for the symbol when it connects again.
            with contextlib.suppress(WebSocketException):
                await self._socket.send(json.dumps({"symbol": symbol}))

    async def __aiter__(self) -> AsyncIterator[Snapshot | NotConnected]:
        wait_s = FIRST_RETRY_S
        while True:
            try:
                async with self._connected() as self._socket:
                    while True:
                        picture = await self._next(self._socket)
                        wait_s = FIRST_RETRY_S
                        yield picture
            except DaemonUnreachable as lost:
                why = lost.message
            except DeskError as refused:
                why, wait_s = refused.message, READING_S
            finally:
                self._socket = None
            yield NotConnected(why, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_RETRY_S)

    def _connected(self) -> _Connection:
        return _Connection(self._find(), self._symbol)

    async def _next(self, socket: ClientConnection) -> Snapshot:
        try:
            async with asyncio.timeout(SILENCE_S):
                return Snapshot(json.loads(await socket.recv()))
        except TimeoutError:
            raise DaemonUnreachable(f"The daemon has said nothing for {SILENCE_S:.0f} s") from None
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code == NO_SUCH_SYMBOL:
                refused, self._symbol = self._symbol, None  # asking for it again would fail again
                why = f"There is no chart of {refused!r}: {closed.rcvd.reason}. Showing the daemon's choice."
                raise DeskError(why) from None
            raise DaemonUnreachable(f"The daemon closed the stream ({closed}). {HOW_TO_START}.") from None
        except ValueError as wrong:
            raise DeskError(f"The daemon sent something that is not a snapshot ({wrong})") from None


class _Connection:
    """One WebSocket to the daemon, with the library's errors told in our words."""

    def __init__(self, address: Address, symbol: str | None) -> None:
        query = f"?{urlencode({'symbol': symbol})}" if symbol else ""
        self._address = address
        self._connect = connect(
            "ws" + address.url.removeprefix("http") + "/stream" + query,
            additional_headers=address.authorization,
            proxy=None,
            compression=None,  # loopback: deflating would only cost time
            open_timeout=SILENCE_S,
            max_size=8 * 1024 * 1024,
        )

    async def __aenter__(self) -> ClientConnection:
        try:
            return await self._connect.__aenter__()
        except InvalidStatus as refused:
            status = refused.response.status_code
            if status in (401, 403):
                raise not_authorised(self._address) from None
            raise DeskError(f"The daemon at {self._address.url} answered {status} to /stream") from None
        except (OSError, TimeoutError, WebSocketException) as lost:
            raise unreachable(self._address, lost) from None

    async def __aexit__(self, *exc: Any) -> None:
        await self._connect.__aexit__(*exc)
