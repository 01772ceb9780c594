"""A line to the streams that is kept up: connection after connection, each with the same channels.

A connection that is lost is made again after a pause that grows and is never the same twice. One that comes
of age is replaced before the venue cuts it: the new one listens before the old one is let go, so nothing is
missed, and what both tell is for the listener to tell apart.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mexclab.errors import VenueError, VenueUnavailable
from mexclab.venues.mexc.connection import Connection, ConnectionHooks, Word

STEADY_S = 30.0  # a connection that lived so long was a good one: the next pause begins small again


@dataclass(frozen=True, slots=True)
class LineTerms:
    """How a line is kept up; seconds of real time.

    Attributes:
        most_channels: of one connection (MEXC takes 30).
        ping_s: between two pings of ours; MEXC closes what is silent for 60 s.
        idle_s: without a byte from the venue a connection counts as dead after this.
        deadline_s: for everything that is waited for.
        life_s: how long the venue lets a connection live; it is replaced at about 0.95 of it.
        overlap_s: how long the old connection still listens beside the new one.
        pause_s, longest_pause_s: before the first attempt to reconnect, and before the later ones at most.
        ask_again_s: between two requests for a channel that was refused or never acknowledged.
    """

    most_channels: int = 30
    ping_s: float = 15.0
    idle_s: float = 40.0
    deadline_s: float = 10.0
    life_s: float = 86_400.0
    overlap_s: float = 2.0
    pause_s: float = 0.1
    longest_pause_s: float = 30.0
    ask_again_s: float = 5.0


@dataclass(frozen=True, slots=True)
class LineHooks:
    """Whom a line tells.

    Attributes:
        url: where to connect, asked before each attempt; raises ``VenueError``.
        frame: a data frame, and the connection that it came on.
        word: a control message that matters.
        ready: a connection listens to all that it was given.
        lost: nothing listens any more, and why; or, that it could not be made to.
    """

    url: Callable[[], Awaitable[str]]
    frame: Callable[[Connection, bytes], None]
    word: Callable[[Connection, Word, str], None]
    ready: Callable[[Connection], None]
    lost: Callable[[str], None]


class Line:
    """Channels that are listened to, whatever happens to the connections.

    Attributes:
        channels: all that are wanted.
        connection: the one that counts; None while there is none.
        openings: how many connections were made.
        failures: attempts to connect that failed, in a row.
    """

    def __init__(self, hooks: LineHooks, terms: LineTerms, chance: random.Random) -> None:
        self._hooks = hooks
        self._terms = terms
        self._chance = chance
        self._pauses = 0
        self.failures = 0
        self._open: list[Connection] = []
        self.channels: dict[str, None] = {}
        self.connection: Connection | None = None
        self.openings = 0

    @property
    def open_connections(self) -> tuple[Connection, ...]:
        """One, two while an old one is being replaced, or none."""
        return tuple(self._open)

    @property
    def is_settled(self) -> bool:
        """Whether all that was asked for was answered, or nobody can be asked for now."""
        if self.connection is None:
            return self.failures > 0
        return None not in self.connection.channels.values()

    def want(self, *channels: str) -> None:
        """Listen to these too."""
        fresh = [channel for channel in channels if channel not in self.channels]
        self.channels.update(dict.fromkeys(fresh))
        for connection in self._open:
            connection.subscribe(fresh)

    def drop(self, *channels: str) -> None:
        """Listen to these no more."""
        for channel in channels:
            self.channels.pop(channel, None)
        for connection in self._open:
            connection.unsubscribe(channels)

    def ask_again(self) -> None:
        """Ask once more for the channels that were refused."""
        for connection in self._open:
            connection.subscribe([name for name, given in connection.channels.items() if given is False])

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        try:
            while True:
                try:
                    self.connection = await self._connect()
                except VenueError as error:
                    self.failures += 1
                    self._hooks.lost(error.message)
                    await self._pause()
                    continue
                self.failures = 0
                why = await self._follow()
                self._hooks.lost(why)
                await self._pause()
        finally:
            for connection in self._open:
                connection.close("the stream is shut")

    async def _connect(self) -> Connection:
        """A connection that was asked for every channel.

        Raises:
            VenueError: there was none to be had.
        """
        hooks = ConnectionHooks(self._hooks.frame, self._word, self._closed)
        connection = Connection(hooks)
        try:
            async with asyncio.timeout(self._terms.deadline_s):
                url = await self._hooks.url()
        except TimeoutError:
            raise VenueUnavailable("where to connect was not known in time") from None
        await connection.open(url, self._terms.deadline_s)
        self.openings += 1
        self._open.append(connection)
        connection.subscribe(self.channels)
        return connection

    def _word(self, connection: Connection, word: Word, about: str) -> None:
        if word is Word.READY:
            self._hooks.ready(connection)
        else:
            self._hooks.word(connection, word, about)

    def _closed(self, connection: Connection, why: str) -> None:
        if connection in self._open:
            self._open.remove(connection)

    async def _follow(self) -> str:
        """Look after the connection, and its successors, until it is lost; why it was.

        Raises:
            Exception: what a listener raised.
        """
        assert self.connection is not None
        due_s = self._replace_at(self.connection)
        while True:
            connection = self.connection
            done, _ = await asyncio.wait((connection.ended,), timeout=self._next_look_s(connection, due_s))
            now_s = asyncio.get_running_loop().time()
            if done:
                if connection.bug is not None:
                    raise connection.bug
                if now_s - connection.opened_s > STEADY_S:
                    self._pauses = 0
                self.connection = None
                return connection.ended.result()
            if now_s - connection.heard_s >= self._terms.idle_s:
                connection.abort(f"nothing came for {self._terms.idle_s:g} s")
                continue
            self._tend(connection, now_s)
            if now_s >= due_s:
                due_s = await self._replace(connection)

    def _next_look_s(self, connection: Connection, due_s: float) -> float:
        """How long nothing needs to be done, unless something happens."""
        now_s = asyncio.get_running_loop().time()
        looks = [due_s, connection.pinged_s + self._terms.ping_s, connection.heard_s + self._terms.idle_s]
        if not all(connection.channels.values()):
            looks.append(connection.asked_s + self._terms.ask_again_s)
        return max(min(looks) - now_s, 0.001)

    def _tend(self, connection: Connection, now_s: float) -> None:
        if now_s - connection.pinged_s >= self._terms.ping_s:
            connection.ping()
        if now_s - connection.asked_s >= self._terms.ask_again_s:
            connection.subscribe([channel for channel, given in connection.channels.items() if not given])

    def _replace_at(self, connection: Connection) -> float:
        return connection.opened_s + self._terms.life_s * self._chance.uniform(0.93, 0.96)

    async def _replace(self, old: Connection) -> float:
        """Put a new connection in the place of one that comes of age; when to do so again."""
        terms, loop = self._terms, asyncio.get_running_loop()
        fresh = None
        try:
            fresh = await self._connect()
            async with asyncio.timeout(terms.deadline_s):
                await fresh.ready.wait()
        except (VenueError, TimeoutError):
            if fresh is not None and fresh.is_open:
                fresh.close("it was not given what the old one has")
            return loop.time() + terms.life_s * 0.005  # there is time for some attempts
        self.connection = fresh
        loop.call_later(terms.overlap_s, _let_go, old)
        return self._replace_at(fresh)

    async def _pause(self) -> None:
        """Longer each time, up to a limit, and never the same for two clients."""
        longest = min(self._terms.longest_pause_s, self._terms.pause_s * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 20)
        await asyncio.sleep(longest * self._chance.uniform(0.5, 1.0))


def _let_go(connection: Connection) -> None:
    if connection.is_open:
        connection.close("another connection took its place")
