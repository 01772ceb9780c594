"""The hub: every open WebSocket, what each listens to, and when what is pushed.

A frame is made once per channel and its bytes go to all subscribers. In real time a timer of 10 ms
pushes; stepped, nothing moves but by ``flush``, and ``mark`` tells every client how far it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Symbol, Trade
from mexclab.domain.reports import Happening, TradeSeen
from mexclab.venues.simulator.channels import KLINE_MS, DealsFeed, DepthFeed, Feed, feed_of
from mexclab.venues.simulator.faults import Close, Faults
from mexclab.venues.simulator.listen_keys import ListenKeys
from mexclab.venues.simulator.private_channels import PRIVATE, PrivateChannels
from mexclab.venues.simulator.session import BROKE_A_RULE, GOING_AWAY, NORMAL, Session, framed

if TYPE_CHECKING:
    from mexclab.venues.simulator.pools import ServerTerms
    from mexclab.venues.simulator.world import World

TICK_MS = 10
TICK_S = TICK_MS / 1000
LOOK_EVERY = 16  # trades of any symbol, between two looks whether a book is about to forget changes


@dataclass(slots=True)
class _Channel:
    """One channel that somebody listens to."""

    feed: Feed
    sessions: dict[Session, None] = field(default_factory=dict)


class StreamHub:
    """All streams of one venue.

    Args:
        world: what is streamed.
        terms: of the server: connection times, stepped or not.
        faults: what goes wrong with frames; None: nothing.
        listen_keys: who may open a private stream.

    Attributes:
        frames_sent: data frames, counted once for each client.
    """

    def __init__(
        self, world: World, terms: ServerTerms, faults: Faults | None, listen_keys: ListenKeys
    ) -> None:
        self.world = world
        self.terms = terms
        self.faults = faults
        self.listen_keys = listen_keys
        self.frames_sent = 0
        self._sessions: dict[Session, None] = {}
        self._channels: dict[str, _Channel] = {}
        self._by_period: dict[int, dict[str, _Channel]] = {}
        self._by_symbol: dict[Symbol, list[Feed]] = {}
        self._private: dict[str, dict[str, dict[Session, None]]] = {}  # owner -> channel -> sessions
        self._news: dict[str, list[Happening]] = {}  # of owners with private streams
        self._is_due = False  # whether the news is about to be told
        self._touched: dict[Session, None] = {}  # who has something in the outbox
        self._accounts = PrivateChannels(world)
        self._heard = 0  # public trades
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_listening = world.listen(self._hear)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._sessions)

    @property
    def unsent_bytes(self) -> int:
        """What the client that is furthest behind has not been sent yet."""
        return max((session.unsent_bytes for session in self._sessions), default=0)

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the timers run; stepped there are none."""
        self._loop = asyncio.get_running_loop()
        if not self.terms.stepped:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Say goodbye to everybody; the world is heard no more."""
        self._stop_listening()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for session in list(self._sessions):
            session.close(GOING_AWAY, "the venue closes")

    def open(self, transport: asyncio.Transport, raw_request: bytes) -> asyncio.BaseProtocol:
        """Take over a connection whose upgrade request was read; the handshake is answered here."""
        session = Session(self, transport)
        self._sessions[session] = None
        session.open(raw_request)
        return session

    def _tick(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_at(self._loop.time() + TICK_S, self._tick)
        self._ticks += 1
        due = [period for period in self._by_period if self._ticks * TICK_MS % period == 0]
        for period in due:
            self._push(self._by_period[period].values())
        self._write_out()
        self._sweep(self._loop.time())

    def _sweep(self, now_s: float) -> None:
        """End the connections whose time is up."""
        terms, scale = self.terms, self.terms.time_scale
        for session in list(self._sessions):
            if not session.is_open:
                continue
            if now_s - session.opened_s >= terms.connection_life_s / scale:
                session.close(GOING_AWAY, "the connection has had its day")
            elif not session.channels and now_s - session.bare_s >= terms.no_subscription_s / scale:
                session.close(BROKE_A_RULE, "no subscription")
            elif now_s - session.heard_s >= terms.idle_s / scale:
                session.close(BROKE_A_RULE, "no data and no ping")
            elif session.listen_key and self.listen_keys.owner_of(session.listen_key) is None:
                session.close(NORMAL, "the listen key has expired")

    # -- what sessions ask for -------------------------------------------------------------------

    def admit(self, session: Session, listen_key: str | None) -> bool:
        """See ``session.Desk``."""
        if listen_key is None:
            return True
        owner = self.listen_keys.owner_of(listen_key)
        if owner is None or not self.listen_keys.attach(listen_key):
            return False
        session.owner, session.listen_key = owner, listen_key
        return True

    def subscribe(self, session: Session, channel: str) -> bool:
        """See ``session.Desk``."""
        if channel in PRIVATE:
            if not session.owner:
                return False
            self._private.setdefault(session.owner, {}).setdefault(channel, {})[session] = None
        else:
            known = self._channels.get(channel)
            if known is None:
                feed = feed_of(channel, self.world)
                if feed is None:
                    return False
                known = self._add(feed)
            if session not in known.sessions:
                known.sessions[session] = None
                known.feed.greet()
        session.channels[channel] = None
        return True

    def unsubscribe(self, session: Session, channel: str) -> None:
        """See ``session.Desk``."""
        if channel not in session.channels:
            return
        del session.channels[channel]
        if not session.channels and self._loop is not None:
            session.bare_s = self._loop.time()
        if channel in PRIVATE:
            listeners = self._private[session.owner]
            del listeners[channel][session]
            if not any(listeners.values()):
                del self._private[session.owner]
                self._news.pop(session.owner, None)
            return
        known = self._channels[channel]
        del known.sessions[session]
        if not known.sessions:
            self._remove(known.feed)

    def forget(self, session: Session) -> None:
        """See ``session.Desk``."""
        for channel in list(session.channels):
            self.unsubscribe(session, channel)
        if session.listen_key:
            self.listen_keys.detach(session.listen_key)
        self._sessions.pop(session, None)
        self._touched.pop(session, None)

    def _add(self, feed: Feed) -> _Channel:
        known = self._channels[feed.channel] = _Channel(feed)
        self._by_period.setdefault(feed.period_ms, {})[feed.channel] = known
        if feed.symbol is not None and isinstance(feed, DealsFeed | DepthFeed):
            self._by_symbol.setdefault(feed.symbol, []).append(feed)
        return known

    def _remove(self, feed: Feed) -> None:
        del self._channels[feed.channel]
        del self._by_period[feed.period_ms][feed.channel]
        if feed.symbol is not None and feed in self._by_symbol.get(feed.symbol, ()):
            self._by_symbol[feed.symbol].remove(feed)

    # -- what the world tells --------------------------------------------------------------------

    def _hear(self, owner: str, happening: Happening) -> None:
        if isinstance(happening, TradeSeen):
            self._hear_trade(happening.trade)
            return
        is_told = owner in self._private
        self._accounts.hear(owner, happening, is_told)
        if is_told:
            self._news.setdefault(owner, []).append(happening)
            if not self._is_due and self._loop is not None and not self.terms.stepped:
                # once the command is through: only then are balances and orders those that the news is of
                self._is_due = True
                self._loop.call_soon(self._tell_at_once)

    def _hear_trade(self, trade: Trade) -> None:
        self._heard += 1
        for feed in self._by_symbol.get(trade.symbol, ()):
            if isinstance(feed, DealsFeed):
                feed.hear(trade)
        if self._heard % LOOK_EVERY == 0:
            for feeds in self._by_symbol.values():
                for feed in feeds:
                    if isinstance(feed, DepthFeed):
                        feed.collect_if_many()

    def _tell_at_once(self) -> None:
        self._is_due = False
        self._tell_owners()
        self._write_out()

    def _tell_owners(self) -> None:
        news, self._news = self._news, {}
        now_ns = self._told_ns()
        for owner, happenings in news.items():
            listeners = self._private.get(owner, {})
            for channel, message in self._accounts.frames(owner, happenings, now_ns):
                if sessions := listeners.get(channel):
                    self._publish(channel, message, sessions)

    # -- pushing ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Push what is due now: all that happened, and of the clocked channels those whose time has come."""
        self._tell_owners()
        now_ns = self.world.now_ns
        self._push(
            known
            for known in self._channels.values()
            if known.feed.period_ms < KLINE_MS
            or now_ns - known.feed.pushed_ns >= known.feed.period_ms * MILLISECOND
        )
        self._write_out()

    def align(self, symbol: Symbol) -> None:
        """Push the symbol's changes of depth, so that a snapshot taken now ends where a frame ends."""
        feeds = [feed for feed in self._by_symbol.get(symbol, ()) if isinstance(feed, DepthFeed)]
        self._push([self._channels[feed.channel] for feed in feeds])
        self._write_out()

    def mark(self, number: int) -> None:
        """Tell every open connection, after all data frames, that it has seen everything up to here."""
        now_s = asyncio.get_running_loop().time()
        for session in list(self._sessions):
            if session.is_open:
                session.send_mark(number, now_s)

    def _told_ns(self) -> int:
        """The venue's clock as its frames tell it."""
        return self.world.now_ns + (self.faults.clock_ns() if self.faults is not None else 0)

    def _push(self, channels: Iterable[_Channel]) -> None:
        now_ns = self.world.now_ns
        shown_ns = self._told_ns()
        for known in list(channels):
            message = known.feed.message(now_ns)
            if message is not None:
                known.feed.pushed_ns = now_ns
                if shown_ns != now_ns and message.HasField("sendTime"):
                    message.sendTime = shown_ns // MILLISECOND
                self._publish(known.feed.channel, message, known.sessions)

    def _publish(self, channel: str, message: Any, sessions: dict[Session, None]) -> None:
        frame = framed(message.SerializeToString())
        if self.faults is None:
            self._put(sessions, frame)
            return
        fate = self.faults.on_frame(channel, frame)
        if isinstance(fate, Close):
            for session in list(sessions):
                session.cut(fate.last)
            return
        for delay_s, data in fate:
            if delay_s <= 0:
                self._put(sessions, data)
            else:
                self._put_later(delay_s, list(sessions), data)

    def _put(self, sessions: Iterable[Session], frame: bytes) -> None:
        for session in sessions:
            session.outbox.append(frame)
            self._touched[session] = None
            self.frames_sent += 1

    def _put_later(self, delay_s: float, sessions: list[Session], frame: bytes) -> None:
        """In real time by the loop; stepped by the world's own calendar, for the next flush to write."""

        def deliver() -> None:
            self._put([session for session in sessions if session.is_open], frame)
            if not self.terms.stepped:
                self._write_out()

        if self.terms.stepped or self._loop is None:
            self.world.schedule(self.world.now_ns + round(delay_s * SECOND), deliver)
        else:
            self._loop.call_later(delay_s, deliver)

    def _write_out(self) -> None:
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        now_s = asyncio.get_running_loop().time()
        for session in touched:
            session.send_outbox(now_s)
