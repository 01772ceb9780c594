"""The private stream: what becomes of our orders, told as it happens, and asked for where it was missed.

It is opened with a listen key, which lives for an hour unless it is renewed. Whenever the stream was away,
and whenever a frame of it could not be read, the account is asked by REST from a while before; a trade has an
id, so what is told twice counts once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

from mexclab.domain.clock import SECOND
from mexclab.domain.reports import Accepted, Balance, Cancelled, FeedNews, Happening, Traded
from mexclab.errors import VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.connection import Connection, Word
from mexclab.venues.mexc.frames import Decoder, Heard, OwnBalance, OwnDeal, OwnOrder
from mexclab.venues.mexc.line import Line, LineHooks, LineTerms

SOURCE = "private stream"
CHANNELS = tuple(f"spot@private.{kind}.v3.api.pb" for kind in ("orders", "deals", "account"))
MARGIN_NS = 10 * SECOND  # what is asked for again overlaps by this: the venue books before it tells
REMEMBERED = 20_000  # trades, and orders, that were told
PATIENCE_S = (
    0.5  # how long trades may come behind the order that counts them: they have a channel of their own
)
ZERO = Decimal(0)
_ENDED = frozenset({"CANCELED", "PARTIALLY_CANCELED"})


@dataclass(frozen=True, slots=True)
class OwnTerms:
    """Where the account is heard; ``renew_s``: between two renewals of the listen key."""

    url: str
    line: LineTerms
    renew_s: float


@dataclass(frozen=True, slots=True)
class OwnDoors:
    """What the private stream needs: see ``stream.StreamDoors``."""

    tell: Callable[[Happening], None]
    listen_key: Callable[[], Awaitable[str]]
    renew: Callable[[str], Awaitable[None]] | None
    catch_up: Callable[[int], Awaitable[None]] | None
    now_ns: Callable[[], int]


class Once:
    """Remembers what was told, as far back as there is room."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._told: dict[object, None] = {}

    def first(self, what: object) -> bool:
        """Whether it is told for the first time; from now on it is not."""
        if what in self._told:
            return False
        self._told[what] = None
        if len(self._told) > self._room:
            del self._told[next(iter(self._told))]
        return True


class OwnStream:
    """Listens to one account.

    Attributes:
        line: the line it listens on.
        balances: the assets whose balance changed while it listened, as the venue told them.
        catch_ups: how often the account was asked for what may have been missed.
    """

    def __init__(self, terms: OwnTerms, doors: OwnDoors, decoder: Decoder, chance: random.Random) -> None:
        self._terms = terms.line
        self._url = terms.url
        self._renew_s = terms.renew_s
        self._doors = doors
        self._decoder = decoder
        self._once = Once(REMEMBERED)
        self._traded: dict[
            str, Decimal
        ] = {}  # by the venue's id of the order: base units in trades that were told
        self._key = ""
        self._missing_since_ns: int | None = None
        self._wanted = asyncio.Event()  # the account must be asked
        self._failures = 0  # attempts to catch up, in a row
        self._is_listening = False
        self._is_degraded = True
        hooks = LineHooks(self._address, self._heard, self._word, self._ready, self._lost)
        self.line = Line(hooks, terms.line, chance)
        self.line.want(*CHANNELS)
        self.balances: dict[str, Balance] = {}
        self.catch_ups = 0

    @property
    def is_whole(self) -> bool:
        """Whether it listens and nothing is missing."""
        return self._is_listening and self._missing_since_ns is None

    @property
    def is_settled(self) -> bool:
        """Whether it is whole, or as far as the venue lets it come for now."""
        answered = self.line.is_settled and not (self.line.connection is not None and self._is_listening)
        return self.is_whole or self._failures > 0 or answered

    async def run(self) -> None:
        """Listen until cancelled."""
        self._missing_since_ns = self._doors.now_ns() - MARGIN_NS
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.line.run())
            tasks.create_task(self._keep_key())
            tasks.create_task(self._keep_whole())

    # -- the key ---------------------------------------------------------------------------------

    async def _address(self) -> str:
        if not self._key:
            self._key = await self._doors.listen_key()
        return f"{self._url}?listenKey={self._key}"

    async def _keep_key(self) -> None:
        """Renew the key again and again; one that is refused is replaced, and the line with it."""
        wait_s = self._renew_s
        while self._doors.renew is not None:
            await asyncio.sleep(wait_s)
            wait_s = self._renew_s
            if not self._key:
                continue
            try:
                async with asyncio.timeout(self._terms.deadline_s):
                    await self._doors.renew(self._key)
            except VenueRejected as error:
                self._drop_key(f"the listen key was not renewed: {error.message}")
            except (VenueError, TimeoutError):
                wait_s = (
                    self._renew_s / 10
                )  # it lives twice as long as we wait, so there are several attempts

    def _drop_key(self, why: str) -> None:
        self._key = ""
        for connection in self.line.open_connections:
            connection.close(why)

    # -- what is heard ---------------------------------------------------------------------------

    def _heard(self, connection: Connection, frame: bytes) -> None:
        now_ns = self._doors.now_ns()
        try:
            self._take(self._decoder.decode(frame, now_ns))
        except VenueUnavailable:
            self._miss(now_ns)  # the decoder has told what is wrong with it

    def _take(self, heard: Heard) -> None:
        if isinstance(heard, OwnDeal):
            if self._once.first(heard.fill.trade_id):
                self._count(heard.venue_id, self._traded.get(heard.venue_id, ZERO) + heard.fill.quantity)
                self._doors.tell(Traded(heard.fill, heard.fill.at_ns))
        elif isinstance(heard, OwnOrder):
            self._take_order(heard)
        elif isinstance(heard, OwnBalance):
            self.balances[heard.asset] = heard.balance

    def _take_order(self, order: OwnOrder) -> None:
        """An order is taken when it is first heard of; its trades come as deals; it may end without them."""
        if order.status in _ENDED:
            if self._once.first((order.venue_id, "ended")):
                why = "canceled at the venue"
                self._doors.tell(Cancelled(order.client_id, why, order.at_ns, order.filled))
        elif self._once.first((order.venue_id, "taken")):
            self._doors.tell(Accepted(order.client_id, order.venue_id, order.at_ns))

        if order.filled > self._traded.get(order.venue_id, ZERO):
            asyncio.get_running_loop().call_later(PATIENCE_S, self._compare, order)

    def _count(self, venue_id: str, traded: Decimal) -> None:
        self._traded[venue_id] = traded
        if len(self._traded) > REMEMBERED:
            del self._traded[next(iter(self._traded))]

    def _compare(self, order: OwnOrder) -> None:
        """Trades that an order counts and that were never told are asked for."""
        if order.filled > self._traded.get(order.venue_id, ZERO):
            self._count(order.venue_id, order.filled)
            self._news(f"trades of order {order.client_id or order.venue_id} did not come", degraded=True)
            self._miss(self._doors.now_ns())

    # -- what may have been missed ---------------------------------------------------------------

    def _word(self, connection: Connection, word: Word, about: str) -> None:
        if word is Word.BAD_KEY:
            self._drop_key("the venue does not know the listen key")
        elif word is Word.REFUSED:
            self._news(f"the venue refused {about}", degraded=True)

    def _ready(self, connection: Connection) -> None:
        self._is_listening = all(connection.channels.values())
        if self._is_listening:
            self._miss(self._doors.now_ns())

    def _lost(self, why: str) -> None:
        self._is_listening = False
        self._miss(self._doors.now_ns(), ask=False)
        self._news(f"it was lost: {why}", degraded=True)

    def _miss(self, now_ns: int, ask: bool = True) -> None:
        """Something may be missing from a while before now on."""
        since_ns = now_ns - MARGIN_NS - round(self._terms.idle_s * SECOND)
        known = self._missing_since_ns
        self._missing_since_ns = since_ns if known is None else min(known, since_ns)
        if ask:
            self._wanted.set()

    async def _keep_whole(self) -> None:
        """Ask the account for what may be missing, until it has answered."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            since_ns = self._missing_since_ns
            if since_ns is None or self._doors.catch_up is None:
                self._missing_since_ns = None
            else:
                try:
                    self.catch_ups += 1
                    async with asyncio.timeout(3 * self._terms.deadline_s):
                        await self._doors.catch_up(since_ns)
                except (VenueError, TimeoutError):
                    self._news("what was missed could not be asked for; it is tried again", degraded=True)
                    longest = self._terms.pause_s * 2.0 ** min(self._failures, 20)
                    self._failures += 1
                    await asyncio.sleep(min(longest, self._terms.longest_pause_s))
                    self._wanted.set()
                    continue
                self._failures = 0
                if self._is_listening and not self._wanted.is_set():
                    self._missing_since_ns = None
            if self.is_whole:
                self._news("it listens, and what it missed was asked for", degraded=False)

    def _news(self, what: str, degraded: bool) -> None:
        """Told when it changes."""
        if degraded != self._is_degraded or (degraded and self._once.first((SOURCE, what))):
            self._is_degraded = degraded
            self._doors.tell(FeedNews(SOURCE, what, self._doors.now_ns(), degraded))
