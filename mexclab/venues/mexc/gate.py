"""The gate: where orders leave. Prepared ones at their instant, all others at once, each by one client id.

A request is written without waiting, on a connection that is warm, within the limits; what comes of it is
told from the connection's own callback. Where no connection is warm or the limits have no room, it waits a
little, and then it is given up: an order that provably never left is told as ``Cancelled`` with nothing
executed ("it never left"). It is not ``Refused``, because the venue said nothing, and not ``Lost``, because
there is nothing to find out.

Once a byte may have left, nothing is sent again by itself: silence is ``Lost``. The one exception is what a
burst was asked for: the venue's own word that the symbol is not open yet lets the same order, with the same
client id, go again. Even that word is held against another one first: the venue is asked for the order, since
one that it had taken all the same would be bought twice. Until it has said that there is none, nothing is
told and nothing more leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import TypeAlias

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import Order
from mexclab.domain.reports import (
    Accepted,
    Cancelled,
    FeedNews,
    Happening,
    Lost,
    Refused,
    ShotTimed,
    VenueOrder,
)
from mexclab.errors import ConfigError, DomainError, VenueUnavailable
from mexclab.venues.mexc.burst import ONCE, Burst, GateTerms, Shot
from mexclab.venues.mexc.endpoints import NEW_ORDER
from mexclab.venues.mexc.http import Connection, Outcome
from mexclab.venues.mexc.order_requests import OrderRequests
from mexclab.venues.mexc.refusals import NOT_OPEN_YET
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.tasks import Tasks
from mexclab.venues.mexc.verdicts import ID_TAKEN, Verdicts

STALE_NS = 200 * MILLISECOND  # a request that was signed for another instant than this is signed anew
FRESH_S = 5.0  # a connection that was heard from so lately is warm
FORGET_NS = 60 * SECOND  # a shot that was not fired by then is unloaded
_NOTHING = Decimal(0)
Find: TypeAlias = Callable[[Order], Awaitable[VenueOrder | None]]


class Gate:
    """Orders leave here, and their acknowledgements come back.

    Args:
        rest: the way to the venue; its signer signs.
        tell: called with ``Accepted``, ``Refused``, ``Lost`` or ``Cancelled`` (it never left), and with
            ``ShotTimed`` after a prepared shot.
        terms: how long an order may wait before it leaves.
        find: asks the venue for a purchase that it called too early; None: that word is taken as it is.
            Raises VenueUnavailable when the venue does not say.

    Attributes:
        asked: requests that have left or wait to leave; one that never leaves is taken off again.
        under_way: those of them whose end is not known yet.

    Raises:
        ConfigError: ``rest`` has no key to sign with.
    """

    def __init__(
        self, rest: Rest, tell: Callable[[Happening], None], terms: GateTerms, find: Find | None = None
    ) -> None:
        if rest.signer is None:
            raise ConfigError("orders need an API key: add one to the vault")
        self.verdicts = Verdicts(rest)
        self.terms = terms
        self.asked = self.under_way = 0
        self._rest = rest
        self._tell = tell
        self._find = find
        self._requests = OrderRequests(rest.origin, rest.signer, rest.common_lines, rest.terms.recv_window_ms)
        # what every order needs, within reach
        self._answer_s = rest.terms.answer_s
        self._clock_ns = rest.clock_ns
        self._try_take = rest.limiter.try_take
        self._ready = rest.lane.ready
        self._loaded: dict[str, Shot] = {}
        self._flying: dict[str, Shot] = {}
        self._tasks = Tasks()

    def __repr__(self) -> str:
        return (
            f"Gate({self._rest.origin.authority}, {len(self._loaded)} loaded, {len(self._flying)} under way)"
        )

    # -- what is asked of it ---------------------------------------------------------------------

    def prepare(self, order: Order, release_ns: int, burst: Burst = ONCE) -> None:
        """Write and sign the request for ``release_ns`` on the venue's clock, and see to warm connections."""
        shot = Shot(order, burst)
        shot.scheduled_ns = shot.stamp_ns = release_ns
        shot.request = self._requests.place(order, release_ns)
        forget = [c for c, s in self._loaded.items() if s.stamp_ns < self._clock_ns() - FORGET_NS]
        for client_id in forget:
            del self._loaded[client_id]
        self._loaded[order.client_id] = shot
        wanted = sum(s.burst.attempts if s.burst.overlap else 1 for s in self._loaded.values())
        self._tasks.spawn(self._warm(wanted + 1))

    def fire(self, order: Order, burst: Burst | None = None) -> None:
        """Let the order go now; returns when it is written, or when it is plain that it has to wait.

        Args:
            order: what was prepared for it is used if it is the same order.
            burst: None: the one it was prepared with, or once.

        Raises:
            DomainError: an order of this client id is under way already.
        """
        client_id = order.client_id
        if client_id in self._flying:
            raise DomainError(f"order {client_id} is on its way already", client_id=client_id)
        now = self._clock_ns()
        shot = self._loaded.pop(client_id, None)
        if shot is None:
            shot = Shot(order, burst or ONCE)
            shot.request = self._requests.place(order, now)
        else:
            if not _same(shot.order, order) or abs(now - shot.stamp_ns) > STALE_NS:
                shot.request = self._requests.place(order, now)
            shot.order, shot.burst, shot.released_ns = order, burst or shot.burst, now
        if shot.burst.attempts > 1:
            shot.ends_s = asyncio.get_running_loop().time() + self.terms.burst_within_s
        self._flying[client_id] = shot
        self._leave(shot)

    def stop(self, client_id: str) -> bool:
        """Let no further transmission of this order leave.

        Returns:
            True when none is under way: whatever there is to tell of the order has been told, and no
            request of it will reach the venue any more. False: it was not here, or an answer is awaited.
        """
        self._loaded.pop(client_id, None)
        shot = self._flying.get(client_id)
        if shot is None:
            return False
        shot.over = True
        if shot.task is not None:
            shot.task.cancel()
        if shot.under_way or shot.doubt is not None:
            return False
        self._end(shot, "it was cancelled before")
        return True

    def saw(self, client_id: str) -> None:
        """The private stream told of this order: the venue has it, so no further transmission leaves."""
        shot = self._flying.get(client_id)
        if shot is not None:
            shot.seen = shot.over = True

    async def close(self) -> None:
        """Let nothing more leave; what waits for its turn is told as never left."""
        for client_id in list(self._flying):
            self.stop(client_id)
        await self._tasks.close()

    # -- leaving ---------------------------------------------------------------------------------

    def _leave(self, shot: Shot) -> None:
        """One transmission: at once if everything is ready, else by a task that waits for it a little."""
        self.asked += 1
        self.under_way += 1
        taken = self._try_take(NEW_ORDER, shot.order.side is Side.SELL)
        if taken:
            connection = self._ready()
            if connection is not None and self._transmit(shot, connection):
                return
        shot.task = self._tasks.spawn(self._leave_later(shot, taken))

    def _transmit(self, shot: Shot, connection: Connection) -> bool:
        if not connection.send(shot.request, self._answer_s, partial(self._hear, shot)):
            return False
        shot.sent += 1
        shot.under_way += 1
        if shot.scheduled_ns is not None and not shot.written_ns:
            shot.written_ns = self._clock_ns()
        if shot.burst is not ONCE:
            shot.written_s = asyncio.get_running_loop().time()
            if shot.burst.overlap:
                self._set_timer(shot)
        return True

    async def _leave_later(self, shot: Shot, taken: bool) -> None:
        limits, lane = self._rest.limiter, self._rest.lane
        ends_s = asyncio.get_running_loop().time() + self.terms.leave_within_s
        left = False
        try:
            async with asyncio.timeout_at(min(ends_s, shot.ends_s) if shot.sent else ends_s):
                if not taken:
                    await limits.take(NEW_ORDER, shot.order.side is Side.SELL)
                while not shot.over:
                    connection = await lane.take()
                    if shot.over:
                        lane.back(connection)
                    elif self._transmit(shot, connection):
                        left = True
                        return
        except TimeoutError:
            why = f"neither a turn within the limits nor a connection in {self.terms.leave_within_s:g} s"
        except VenueUnavailable as error:
            why = error.message
        else:
            why = "it was stopped"
        finally:
            if not left:
                self.asked -= 1
                self.under_way -= 1
        shot.over = True
        if not shot.under_way:
            self._end(shot, why)

    def _again(self, shot: Shot) -> None:
        """The same order, with the same client id, stamped for now."""
        shot.timer = None
        if shot.over or asyncio.get_running_loop().time() > shot.ends_s:
            shot.over = True
            if not shot.under_way:
                self._end(shot)
            return
        shot.request = self._requests.place(shot.order, self._clock_ns())
        self._leave(shot)

    def _set_timer(self, shot: Shot) -> None:
        if shot.sent < shot.burst.attempts and shot.timer is None:
            loop = asyncio.get_running_loop()
            at_s = shot.written_s + shot.burst.spacing_ns / SECOND
            shot.timer = loop.call_at(max(at_s, loop.time()), self._again, shot)

    # -- hearing ---------------------------------------------------------------------------------

    def _hear(self, shot: Shot, outcome: Outcome) -> None:
        """What became of one transmission; called by its connection."""
        shot.under_way -= 1
        self.under_way -= 1
        verdict = self.verdicts.of(shot.order, outcome)
        is_doubted = isinstance(verdict, Refused) and verdict.code in NOT_OPEN_YET and self._may_double(shot)
        if shot.burst is ONCE and shot.scheduled_ns is None and not is_doubted:  # nothing more to come
            del self._flying[verdict.client_id]
            self._tell(verdict)
            return
        if isinstance(verdict, Accepted):
            shot.over = True
            if shot.accepted is None:
                shot.accepted = verdict
                self._tell(verdict)
            elif verdict.venue_id != shot.accepted.venue_id:
                self._tell_twice(shot, verdict)
        elif isinstance(verdict, Refused):
            if shot.refused is None or shot.refused.code in NOT_OPEN_YET:
                shot.refused = verdict
            shot.over = shot.over or verdict.code not in NOT_OPEN_YET
        else:
            shot.over = True
            if shot.lost is None or shot.lost.why == ID_TAKEN:
                shot.lost = verdict
        if is_doubted and not shot.under_way and shot.accepted is None and shot.lost is None:
            shot.doubt = self._tasks.spawn(self._prove(shot))
        else:
            self._go_on(shot)

    def _may_double(self, shot: Shot) -> bool:
        return self._find is not None and shot.order.side is Side.BUY

    async def _prove(self, shot: Shot) -> None:
        """Ask the venue for an order that it called too early, before that is believed."""
        assert self._find is not None
        assert shot.refused is not None
        order, found, is_said, why = shot.order, None, False, "nothing was answered in time"
        try:
            async with asyncio.timeout(self.terms.prove_within_s):
                found = await self._find(order)
            is_said = True
        except VenueUnavailable as error:
            why = error.message
        except TimeoutError:
            pass
        finally:  # also when the gate is closed meanwhile: what was not said is not known
            shot.doubt = None
            now = self._clock_ns()
            if found is not None:
                shot.over, shot.accepted = True, Accepted(order.client_id, found.venue_id, now)
                self._tell(shot.accepted)
            elif not is_said and not shot.seen:
                said = f"{shot.refused.code} {shot.refused.words}"
                text = f"the venue said {said}, and does not say whether it took it all the same: {why}"
                shot.over, shot.lost = True, Lost(order.client_id, text, now)
            self._go_on(shot)

    def _go_on(self, shot: Shot) -> None:
        """The next transmission, or the end; nothing while an answer is awaited."""
        if not shot.over and shot.sent < shot.burst.attempts:
            if shot.task is None or shot.task.done():
                self._set_timer(shot)
        elif not shot.under_way:
            self._end(shot)

    def _end(self, shot: Shot, why: str = "") -> None:
        """Nothing is under way and nothing more will be: tell what has not been told."""
        client_id = shot.order.client_id
        if self._flying.get(client_id) is not shot:
            return
        del self._flying[client_id]
        if shot.timer is not None:
            shot.timer.cancel()
        # that the id is known explains itself where another transmission of it was taken
        if shot.lost is not None and (shot.accepted is None or shot.lost.why != ID_TAKEN):
            self._tell(shot.lost)
        elif shot.accepted is None and not shot.seen:
            never = Cancelled(client_id, f"it never left: {why}", self._clock_ns(), _NOTHING)
            self._tell(shot.refused or never)
        if shot.scheduled_ns is not None and shot.sent:
            last = shot.accepted or (shot.refused if shot.lost is None else None)
            acked = last.at_ns if last is not None else None
            timed = (shot.scheduled_ns, shot.released_ns, shot.written_ns, acked, shot.sent)
            self._tell(ShotTimed(client_id, *timed))

    def _tell_twice(self, shot: Shot, second: Accepted) -> None:
        assert shot.accepted is not None
        why = f"the venue took one client id twice: {shot.accepted.venue_id} and {second.venue_id}"
        shot.lost = Lost(second.client_id, why, second.at_ns)
        self._tell(FeedNews("orders", f"{second.client_id}: {why}; look at both", second.at_ns, True))

    async def _warm(self, count: int) -> None:
        try:
            await self._rest.lane.warm(count, FRESH_S)
        except VenueUnavailable as error:
            self._tell(FeedNews("orders", error.message, self._clock_ns(), True))


def _same(prepared: Order, fired: Order) -> bool:
    """Whether the request that was written for one order says what the other one wants."""
    return (
        prepared.symbol == fired.symbol
        and prepared.side is fired.side
        and prepared.type is fired.type
        and prepared.quantity == fired.quantity
        and prepared.price == fired.price
    )
