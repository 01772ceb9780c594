"""The venue's patience: weights of an address and of a user, orders a second, and the ban of who goes on.

Every budget is a sliding window: never more than so much within any stretch of that length, so whoever
stays within it here stays within it whichever way the venue cuts its seconds. Wall time counts, because
patience is with machines, not with markets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic

from mexclab.venues.simulator.http import Reply, Route, error

IP_WINDOW_S = UID_WINDOW_S = 10.0
ANNOUNCEMENTS_WINDOW_S = 2.0
REFUSALS_WINDOW_S = 60.0
SHORTEST_WAIT_S = 1e-6  # rounding must not turn a wait into none
PEOPLE_KEPT = 10_000  # addresses and users that are remembered

TOO_MANY_REQUESTS = "Too Many Requests"
BANNED = "Access denied: too many requests after 429"


@dataclass(frozen=True, slots=True)
class ServerTerms:
    """What the server allows and how it keeps time.

    Attributes:
        ip_weight_10s, uid_weight_10s: weights within ten seconds, of an address and of a user.
        orders_per_s: orders and cancels together, of a user.
        ban_after: refusals of one address within a minute that end its welcome, for ``ban_s``.
        latency_ms_median: of the round trip of an order or cancel; 0 answers at once.
        time_scale: divides the times of a connection's life, for tests that cannot wait a day.
        stepped: time moves only by the control endpoint.
        anchor_ns: the venue's time when the server starts; None: where the world is.
    """

    ip_weight_10s: int = 300
    uid_weight_10s: int = 500
    orders_per_s: int = 12
    batch_per_s: int = 2
    account_per_s: int = 2
    announcements_2s: int = 5
    ban_after: int = 20
    ban_s: float = 120.0
    latency_ms_median: int = 0
    connection_life_s: float = 86_400
    no_subscription_s: float = 30
    idle_s: float = 60
    time_scale: float = 1.0
    stepped: bool = False
    anchor_ns: int | None = None


class Window:
    """So much, and no more, within any stretch of ``span_s`` seconds."""

    __slots__ = ("_moments", "_used", "limit", "span_s")

    def __init__(self, limit: int, span_s: float) -> None:
        self.limit, self.span_s = limit, span_s
        self._moments: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """What of the limit is taken at ``now``."""
        moments, since = self._moments, now - self.span_s
        while moments and moments[0][0] <= since:
            self._used -= moments.popleft()[1]
        return self._used

    def take(self, weight: int, now: float) -> None:
        self._moments.append((now, weight))
        self._used += weight

    def wait_s(self, weight: int, now: float) -> float:
        """How long until ``weight`` fits; 0 when it does now, the whole span when it never will."""
        over = self.used(now) + weight - self.limit
        if over <= 0:
            return 0.0
        for at, taken in self._moments:
            over -= taken
            if over <= 0:
                return max(at + self.span_s - now, SHORTEST_WAIT_S)
        return self.span_s


class Pools:
    """Every budget of every address and user.

    Args:
        now: seconds that only ever grow.
    """

    def __init__(self, terms: ServerTerms, now: Callable[[], float] = monotonic) -> None:
        self._terms = terms
        self._now = now
        self._windows: dict[tuple[str, str], Window] = {}
        self._refusals: dict[str, Window] = {}
        self._bans: dict[str, float] = {}
        self.refused = 0  # answers of 429 and 418 so far
        self._budgets = {
            "ip": (terms.ip_weight_10s, IP_WINDOW_S),
            "uid": (terms.uid_weight_10s, UID_WINDOW_S),
            "orders": (terms.orders_per_s, 1.0),
            "batch": (terms.batch_per_s, 1.0),
            "account": (terms.account_per_s, 1.0),
            "announcements": (terms.announcements_2s, ANNOUNCEMENTS_WINDOW_S),
        }

    def admit(self, route: Route, peer: str, uid: str) -> Reply | None:
        """Take what the call costs; the refusal when a budget is spent, and then nothing is taken.

        Args:
            uid: whose key signed; empty for who is nobody.
        """
        pool = route.pool
        if pool == "none":
            return None
        now = self._now()
        if self._bans and (refusal := self._banned(peer, now)):
            return refusal
        if pool == "orders":  # the one that must be quick
            window = self._windows.get(("orders", uid)) or self._window("orders", uid, now)
            if window.used(now) < window.limit:
                window.take(1, now)
                return None
            return self._refuse(peer, window.wait_s(1, now), now)
        wanted = self._wanted(route, peer, uid, now)
        wait = max(window.wait_s(weight, now) for window, weight in wanted)
        if wait:
            return self._refuse(peer, wait, now)
        for window, weight in wanted:
            window.take(weight, now)
        return None

    def _wanted(self, route: Route, peer: str, uid: str, now: float) -> list[tuple[Window, int]]:
        if route.pool == "batch":
            return [(self._window("batch", uid, now), 1), (self._window("orders", uid, now), 1)]
        if route.pool == "announcements":
            return [(self._window("announcements", peer, now), 1)]
        wanted = [(self._window("ip", peer, now), route.weight)]
        if uid:
            wanted.append((self._window("uid", uid, now), route.weight))
        if route.pool == "account":
            wanted.append((self._window("account", uid, now), 1))
        return wanted

    def _window(self, name: str, whose: str, now: float) -> Window:
        window = self._windows.get((name, whose))
        if window is None:
            if len(self._windows) >= PEOPLE_KEPT:
                self._windows = {key: known for key, known in self._windows.items() if known.used(now)}
            window = self._windows[name, whose] = Window(*self._budgets[name])
        return window

    def _banned(self, peer: str, now: float) -> Reply | None:
        until = self._bans.get(peer)
        if until is None:
            return None
        if until <= now:
            del self._bans[peer]
            return None
        self.refused += 1
        return error(418, 418, BANNED, _retry_after(until - now))

    def _refuse(self, peer: str, wait_s: float, now: float) -> Reply:
        self.refused += 1
        if len(self._refusals) >= PEOPLE_KEPT:
            self._refusals = {key: known for key, known in self._refusals.items() if known.used(now)}
        refusals = self._refusals.setdefault(peer, Window(self._terms.ban_after, REFUSALS_WINDOW_S))
        refusals.take(1, now)
        if refusals.used(now) >= refusals.limit:
            del self._refusals[peer]
            self._bans[peer] = now + self._terms.ban_s
            return error(418, 418, BANNED, _retry_after(self._terms.ban_s))
        return error(429, 429, TOO_MANY_REQUESTS, _retry_after(wait_s))


def _retry_after(seconds: float) -> tuple[str, str]:
    return "Retry-After", str(max(1, ceil(seconds)))
