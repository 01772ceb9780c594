"""Warm keep-alive connections to one origin, for requests that must leave at once."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.http_connection import Answer, Connection, Done, NoAnswer, Outcome

__all__ = ["Answer", "Connection", "Done", "NoAnswer", "Origin", "Outcome", "Pool", "PoolTerms"]


@dataclass(frozen=True, slots=True)
class PoolTerms:
    """How many connections are kept to one origin, and when one is not trusted any more."""

    warm: int = 2  # kept open, idle, once the pool has been used
    most: int = 8
    connect_timeout_s: float = 5.0
    retire_after_s: float = 30.0  # idle for longer: the venue may close it just as we write
    body_limit: int = 64 << 20  # bytes
    ca_file: str | None = None  # certificates to trust instead of the system's


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an address; ``prefix`` is its path without a slash at the end."""

    host: str
    port: int
    is_tls: bool
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Read ``https://api.mexc.com`` or ``http://127.0.0.1:8080``.

        Raises:
            ConfigError: not an http or https address of a host.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ConfigError("the venue's address must be http(s)://host[:port]", setting="base_url")
        is_tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


class Pool:
    """Connections to one origin, the one used last first. Its connections outlive their requests.

    Raises:
        ConfigError: the address or the certificates cannot be used.
    """

    def __init__(self, origin: Origin, terms: PoolTerms) -> None:
        self.origin = origin
        self.terms = terms
        self._context: ssl.SSLContext | None = None
        if origin.is_tls:
            try:
                self._context = ssl.create_default_context(cafile=terms.ca_file)
            except OSError as error:
                raise ConfigError(f"the certificates {terms.ca_file} cannot be read: {error}") from error
            self._context.set_alpn_protocols(["http/1.1"])
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def ready(self) -> Connection | None:
        """A warm connection that is sound at this moment, at once; it is the caller's until its reply."""
        idle = self._idle
        if idle and idle[-1].is_sound:
            return idle.pop()
        for place in range(len(idle) - 2, -1, -1):
            if idle[place].is_sound:
                return idle.pop(place)
        return None

    async def take(self) -> Connection:
        """A connection, opened if none is warm; waits while all are busy.

        Raises:
            VenueUnavailable: no connection can be opened; nothing was sent.
        """
        while True:
            if (connection := self.ready()) is not None:
                return connection
            if len(self._all) + self._opening < self.terms.most:
                return await self._open()
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(free)
            try:
                await free
            except asyncio.CancelledError:
                if free.done() and not free.cancelled():
                    self._wake()  # it was our turn and we are gone: the next one's
                raise

    async def warm(self, count: int, fresh_s: float) -> None:
        """See that ``count`` idle connections exist that were heard from in the last ``fresh_s`` seconds.

        Raises:
            VenueUnavailable: not all of them can be opened.
        """
        since = asyncio.get_running_loop().time() - fresh_s
        missing = count - sum(1 for c in self._idle if c.used_s >= since and c.is_sound)
        for _ in range(min(missing, self.terms.most - len(self._all) - self._opening)):
            self.back(await self._open())

    def back(self, connection: Connection) -> None:
        """Take a connection in that is whole and idle."""
        if self._closed:
            connection.close()
            return
        self._idle.append(connection)
        if self._waiters:
            self._wake()

    def forget(self, connection: Connection) -> None:
        """The connection is closed or about to be."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    async def close(self) -> None:
        """Close every connection; requests under way end without an answer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._all):
            connection.close()
        await asyncio.sleep(0)  # the transports close in the loop's next round

    def _wake(self) -> None:
        while self._waiters:
            free = self._waiters.popleft()
            if not free.done():
                free.set_result(None)
                return

    async def _open(self) -> Connection:
        if self._closed:
            raise VenueUnavailable("the connections to the venue are closed")
        loop, origin = asyncio.get_running_loop(), self.origin
        name = origin.host if origin.is_tls else None
        self._opening += 1
        try:
            async with asyncio.timeout(self.terms.connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, not origin.is_tls, self.terms.body_limit),
                    origin.host, origin.port, ssl=self._context, server_hostname=name,
                )  # fmt: skip
        except TimeoutError as error:
            raise VenueUnavailable(f"{origin.authority} takes no connection in time") from error
        except OSError as error:
            raise VenueUnavailable(f"{origin.authority} cannot be reached: {error}") from error
        finally:
            self._opening -= 1
            self._wake()
        self._all.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self.terms.retire_after_s / 4, self._tend)
        return connection

    def _tend(self) -> None:
        """Close what has been idle for long and open as many anew, so that an order finds a fresh one."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.terms.retire_after_s / 4, self._tend)
        old = loop.time() - self.terms.retire_after_s
        for connection in [c for c in self._idle if c.used_s < old]:
            connection.close()
        if len(self._all) < self.terms.warm and not self._tasks:
            task = loop.create_task(self._refill())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refill(self) -> None:
        try:
            while len(self._all) + self._opening < self.terms.warm:
                self.back(await self._open())
        except VenueUnavailable:
            return  # tried again at the next round; who needs one meanwhile is told
