"""How often the venue may be asked: sliding windows, a reserve for cancels and exits, silence, breakers.

One :class:`Limiter` stands for one host and one account (www.mexc.com is a host of its own). It counts what
it let through in the last stretch of every pool, so no window of the stated length, wherever it begins,
holds more than the pool; a bucket that refills would let twice as much through. A pool's reserve is for
urgent requests alone: cancels and exits.

What the venue asks for by ``Retry-After`` holds for the whole host. Ordinary requests keep silent. Urgent
ones go on, slowed down (``quiet_gap_s``): a 429 says that one counter is full, and it may be another one. In
a ban (418) nobody gets through, and every try may prolong it; but a position that cannot be cancelled or
sold costs more than a longer ban, and only a try shows that it is over, so urgent ones still go, rarely
(``ban_gap_s``). Facts: MEXC spot API, rate limits since 2026-04.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import count
from typing import NamedTuple

from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.breaker import Breaker, BreakerState
from mexclab.venues.mexc.endpoints import Endpoint

LONGEST_BAN_S = 3 * 86_400.0
_EARLY_S = 1e-4  # a timer that fires a little early must not spin


@dataclass(frozen=True, slots=True)
class LimitTerms:
    """The pools of the venue and how we behave in them. Weights are the venue's; ``per`` is a window."""

    ip_weight_per_10s: int = 300
    ip_reserve_per_10s: int = 30
    uid_weight_per_10s: int = 500
    uid_reserve_per_10s: int = 50
    orders_per_s: int = 12  # orders and cancels together
    orders_reserve_per_s: int = 4
    batches_per_s: int = 2  # each is one of orders_per_s, too
    accounts_per_s: int = 2
    announcements_per_2s: int = 5
    web_per_s: int = 2  # www.mexc.com names no limit: this is manners
    slack_ms: int = 50  # added to each window: requests may draw together on their way
    patience_s: float = 30.0  # a longer silence is an error instead of a wait; not for urgent ones
    quiet_s: float = 10.0  # after a 429 without Retry-After: by then the longest window is empty
    ban_s: float = 120.0  # after a 418 without Retry-After: the shortest ban there is
    quiet_gap_s: float = 0.25  # between two urgent requests while a 429 lasts
    ban_gap_s: float = 2.0  # between two urgent requests while a ban lasts
    breaker_failures: int = 5  # in a row, then the family is left alone
    breaker_open_s: float = 5.0  # the first time; doubled each time that the family is still broken
    breaker_open_s_max: float = 60.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            least = 0 if item.name.endswith(("_ms", "_reserve_per_10s", "_reserve_per_s")) else 1
            if isinstance(value, float):
                if not 0 < value < math.inf:
                    raise ConfigError(f"{item.name} must be above zero, not {value}", name=item.name)
            elif value < least:
                raise ConfigError(f"{item.name} must be at least {least}, not {value}", name=item.name)
        for name in ("ip_weight_per_10s", "uid_weight_per_10s", "orders_per_s"):
            reserve = name.replace("_weight", "").replace("_per", "_reserve_per")
            if getattr(self, reserve) >= getattr(self, name):
                raise ConfigError(f"{reserve} must leave something of {name} for the rest", name=reserve)


class PoolState(NamedTuple):
    """One pool now, in the venue's weights."""

    name: str
    used: int
    limit: int
    reserve: int
    window_s: float


class LimiterState(NamedTuple):
    """What a person wants to see of a :class:`Limiter`."""

    pools: tuple[PoolState, ...]
    breakers: tuple[BreakerState, ...]
    waiting: int
    quiet_for_s: float  # the rest of a Retry-After
    is_banned: bool


class _Window:
    """What was let through in the last ``length_s`` seconds, never more than ``limit``."""

    __slots__ = ("length_s", "limit", "log", "name", "ordinary", "reserve", "used", "used_ordinarily")

    def __init__(self, name: str, limit: int, reserve: int, length_s: float) -> None:
        self.name, self.limit, self.reserve, self.length_s = name, limit, reserve, length_s
        self.ordinary = limit - reserve
        self.used = self.used_ordinarily = 0
        self.log: deque[tuple[float, int, bool]] = deque()  # leaves the window at, weight, urgent

    def forget(self, now: float) -> None:
        log = self.log
        while log and log[0][0] <= now:
            _, weight, urgent = log.popleft()
            self.used -= weight
            if not urgent:
                self.used_ordinarily -= weight

    def fits(self, weight: int, urgent: bool, now: float) -> bool:
        log = self.log
        if log and log[0][0] <= now:
            self.forget(now)
        if self.used + weight > self.limit:
            return False
        return urgent or self.used_ordinarily + weight <= self.ordinary

    def charge(self, weight: int, urgent: bool, now: float) -> None:
        self.log.append((now + self.length_s, weight, urgent))
        self.used += weight
        if not urgent:
            self.used_ordinarily += weight

    def fits_at(self, weight: int, urgent: bool) -> float:
        """When enough will have left the window, if nothing else enters it."""
        excess = self.used + weight - self.limit
        excess_ordinary = -1 if urgent else self.used_ordinarily + weight - self.ordinary
        for leaves_at, left, was_urgent in self.log:
            excess -= left
            excess_ordinary -= 0 if was_urgent else left
            if excess <= 0 and excess_ordinary <= 0:
                return leaves_at
        return math.inf


@dataclass(order=True, slots=True)
class _Waiter:
    place: tuple[bool, int]  # urgent ones first, then in the order of their coming
    endpoint: Endpoint = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)

    @property
    def urgent(self) -> bool:
        return not self.place[0]


class Limiter:
    """Lets requests through, as many as the venue's pools allow, each in its turn.

    Within a pool nobody overtakes: who waits holds back those that came later and need the same pool, however
    little they need; urgent ones go before all others. For one thread and one event loop.

    Args:
        now: seconds of a clock that never steps.
    """

    def __init__(self, terms: LimitTerms, now: Callable[[], float] = time.monotonic) -> None:
        self.terms = terms
        self._now = now
        slack_s = terms.slack_ms / 1000
        ip = _Window("ip", terms.ip_weight_per_10s, terms.ip_reserve_per_10s, 10 + slack_s)
        uid = _Window("uid", terms.uid_weight_per_10s, terms.uid_reserve_per_10s, 10 + slack_s)
        orders = _Window("orders", terms.orders_per_s, terms.orders_reserve_per_s, 1 + slack_s)
        batch = _Window("batch", terms.batches_per_s, 0, 1 + slack_s)
        account = _Window("account", terms.accounts_per_s, 0, 1 + slack_s)
        news = _Window("announcements", terms.announcements_per_2s, 0, 2 + slack_s)
        web = _Window("web", terms.web_per_s, 0, 1 + slack_s)
        self._windows = (ip, uid, orders, batch, account, news, web)
        # Whether MEXC counts a signed question by IP, by UID or by both is not established: both are kept.
        # Each set holds the ones before it on its line, so a waiter cannot be passed by in turns.
        self._pools: dict[tuple[str, bool], tuple[tuple[_Window, bool], ...]] = {}
        for signed in (False, True):
            weighed = ((ip, True), (uid, True)) if signed else ((ip, True),)
            self._pools |= {
                ("ip", signed): weighed,
                ("account", signed): (*weighed, (account, False)),
                ("orders", signed): ((orders, False),),
                ("batch", signed): ((orders, False), (batch, False)),
                ("announcements", signed): ((news, False),),
                ("web", signed): ((web, False),),
                ("none", signed): (),
            }
        self._breakers: dict[str, Breaker] = {}
        self._waiting: list[_Waiter] = []
        self._places = count()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = self._next_urgent = -math.inf
        self._banned = False

    async def take(self, endpoint: Endpoint, urgent: bool = False) -> None:
        """Wait for this request's turn. Send it at once when this returns: it counts from now on.

        Raises:
            VenueUnavailable: not urgent, and the family's breaker is open or the venue wants silence for
                longer than ``patience_s``; ``data["retry_after_s"]`` says how long.
        """
        if self.try_take(endpoint, urgent):
            return
        place = (not urgent, next(self._places))
        waiter = _Waiter(place, endpoint, asyncio.get_running_loop().create_future())
        insort(self._waiting, waiter)
        self._serve()
        try:
            await waiter.turn
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._serve()

    def try_take(self, endpoint: Endpoint, urgent: bool = False) -> bool:
        """Take this request's turn if it is now; never waits, never passes one who does."""
        if self._waiting:
            return not self._held(endpoint, urgent) and self._go(endpoint, urgent, self._now())
        return self._go(endpoint, urgent, self._now())

    def obey(self, endpoint: Endpoint, retry_after_s: float | None, banned: bool = False) -> None:
        """Keep silent as the venue asked, on the whole host.

        Args:
            endpoint: whose answer it was; its pool is taken to be full.
            retry_after_s: of the answer; None or nonsense: the terms' own time.
            banned: whether it was a 418.
        """
        now = self._now()
        if retry_after_s is None or not retry_after_s > 0:
            retry_after_s = self.terms.ban_s if banned else self.terms.quiet_s
        until = now + min(retry_after_s, LONGEST_BAN_S)
        still_banned = self._banned and now < self._quiet_until
        self._quiet_until = max(self._quiet_until, until)
        self._banned = banned or still_banned
        if banned:
            self._next_urgent = max(self._next_urgent, now + self.terms.ban_gap_s)
        self._serve()

    def report(self, endpoint: Endpoint, ok: bool) -> None:
        """Tell how a request ended. ``ok``: the venue answered, and be it with a refusal in its own words."""
        breaker = self._breakers.get(endpoint.family)
        if breaker is None:
            if ok:
                return
            terms = self.terms
            breaker = Breaker(terms.breaker_failures, terms.breaker_open_s, terms.breaker_open_s_max)
            self._breakers[endpoint.family] = breaker
        breaker.report(ok, self._now())
        self._serve()

    def state(self) -> LimiterState:
        """Everything for display."""
        now = self._now()
        for window in self._windows:
            window.forget(now)
        return LimiterState(
            tuple(PoolState(w.name, w.used, w.limit, w.reserve, w.length_s) for w in self._windows),
            tuple(
                BreakerState(family, breaker.state(now), breaker.failures, breaker.tried_in_s(now))
                for family, breaker in sorted(self._breakers.items())
            ),
            len(self._waiting),
            max(0.0, self._quiet_until - now),
            self._banned and now < self._quiet_until,
        )

    def _go(self, endpoint: Endpoint, urgent: bool, now: float) -> bool:
        if now < self._quiet_until and (not urgent or now < self._next_urgent):
            return False
        windows = self._pools[endpoint.pool, endpoint.signed]
        weight = endpoint.weight
        for window, weighed in windows:
            if not window.fits(weight if weighed else 1, urgent, now):
                return False
        if not urgent and self._breakers:
            breaker = self._breakers.get(endpoint.family)
            if breaker is not None and not breaker.admits(now):
                return False
        for window, weighed in windows:
            window.charge(weight if weighed else 1, urgent, now)
        if now < self._quiet_until:
            gap_s = self.terms.ban_gap_s if self._banned else self.terms.quiet_gap_s
            self._next_urgent = now + gap_s
        return True

    def _held(self, endpoint: Endpoint, urgent: bool) -> bool:
        """Whether someone who waits, and is no less urgent, needs a window of ``endpoint``."""
        self._serve()
        mine = {window for window, _ in self._pools[endpoint.pool, endpoint.signed]}
        now = self._now()
        return any(
            not mine.isdisjoint(self._lacking(waiter, now))
            for waiter in self._waiting
            if waiter.urgent or not urgent
        )

    def _lacking(self, waiter: _Waiter, now: float) -> list[_Window]:
        endpoint = waiter.endpoint
        return [
            window
            for window, weighed in self._pools[endpoint.pool, endpoint.signed]
            if not window.fits(endpoint.weight if weighed else 1, waiter.urgent, now)
        ]

    def _serve(self) -> None:
        """Let through whose turn it is, refuse who waits in vain, and come back when that changes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, held, again_at = self._now(), set[_Window](), math.inf
        still: list[_Waiter] = []
        for waiter in self._waiting:
            if waiter.turn.done():
                continue
            if (refusal := self._in_vain(waiter, now)) is not None:
                waiter.turn.set_exception(refusal)
                continue
            lacking = self._lacking(waiter, now)
            endpoint = waiter.endpoint
            windows = self._pools[endpoint.pool, endpoint.signed]
            if held.isdisjoint(window for window, _ in windows) and self._go(endpoint, waiter.urgent, now):
                waiter.turn.set_result(None)
                continue
            held.update(lacking)
            still.append(waiter)
            again_at = min(again_at, self._ready_at(waiter, lacking, now))
        self._waiting[:] = still
        if still:
            loop = still[0].turn.get_loop()
            self._timer = loop.call_later(max(again_at - now, 0.0) + _EARLY_S, self._serve)

    def _ready_at(self, waiter: _Waiter, lacking: list[_Window], now: float) -> float:
        """When this waiter may be able to go; early where one before it holds it back."""
        endpoint = waiter.endpoint
        weights = dict(self._pools[endpoint.pool, endpoint.signed])
        moments = [w.fits_at(endpoint.weight if weights[w] else 1, waiter.urgent) for w in lacking]
        if now < self._quiet_until:
            moments.append(min(self._next_urgent, self._quiet_until) if waiter.urgent else self._quiet_until)
        return max(moments, default=math.inf)

    def _in_vain(self, waiter: _Waiter, now: float) -> Exception | None:
        endpoint = waiter.endpoint
        for window, weighed in self._pools[endpoint.pool, endpoint.signed]:
            room = window.limit if waiter.urgent else window.ordinary
            if weighed and endpoint.weight > room:
                return ConfigError(
                    f"{endpoint.name} weighs {endpoint.weight} and can never pass: the pool {window.name} "
                    f"has room for {room}. Raise it in the limits",
                    endpoint=endpoint.name,
                )
        if waiter.urgent:
            return None
        breaker = self._breakers.get(endpoint.family)
        if breaker is not None and breaker.shuts_out(now):
            return VenueUnavailable(
                f"MEXC's {endpoint.family} endpoints failed {breaker.failures} times in a row and rest "
                f"for {breaker.tried_in_s(now):.1f} s; cancels and exits still go",
                retry_after_s=breaker.tried_in_s(now),
                family=endpoint.family,
            )
        silence_s = self._quiet_until - now
        if silence_s > self.terms.patience_s:
            return VenueUnavailable(
                f"MEXC asked for silence{' (a ban)' if self._banned else ''} for another {silence_s:.0f} s; "
                "cancels and exits still try",
                retry_after_s=silence_s,
                family=endpoint.family,
            )
        return None
