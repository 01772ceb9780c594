"""A circuit breaker: a family of endpoints that keeps failing is left alone for a while."""

from __future__ import annotations

from typing import Literal, NamedTuple


class BreakerState(NamedTuple):
    """One family of endpoints now."""

    family: str
    state: Literal["closed", "open", "half-open"]
    failures: int  # in a row
    tried_in_s: float  # until the next probe; 0 when it is closed


class Breaker:
    """Leaves a family of endpoints alone after failures in a row, then tries it with one request.

    Urgent requests do not ask it. After a probe of which nothing is heard, the next one goes when the same
    time has passed again.

    Args:
        after: failures in a row that open it.
        open_s: how long it stays open the first time; doubled with each probe that fails.
        open_s_max: the longest that it stays open.
    """

    __slots__ = ("_after", "_open_s", "_open_s_max", "_probing", "_stretch_s", "_tried_at", "failures")

    def __init__(self, after: int, open_s: float, open_s_max: float) -> None:
        self._after, self._open_s, self._open_s_max = after, open_s, open_s_max
        self.failures = 0
        self._tried_at: float | None = None  # when ordinary requests may try again; None while it is closed
        self._probing = False
        self._stretch_s = open_s

    def admits(self, now: float) -> bool:
        """Whether an ordinary request may go; in the half-open state it becomes the probe."""
        if self._tried_at is None:
            return True
        if now < self._tried_at:
            return False
        self._probing, self._tried_at = True, now + self._stretch_s
        return True

    def shuts_out(self, now: float) -> bool:
        """Whether an ordinary request would be refused now; changes nothing."""
        return self._tried_at is not None and now < self._tried_at

    def report(self, ok: bool, now: float) -> None:
        """Tell how a request ended, an urgent one as well: any success closes it."""
        if ok:
            self.failures, self._tried_at, self._probing = 0, None, False
            self._stretch_s = self._open_s
            return
        self.failures += 1
        if self._tried_at is None:
            if self.failures >= self._after:
                self._tried_at = now + self._stretch_s
        elif self._probing:
            self._probing = False
            self._stretch_s = min(2 * self._stretch_s, self._open_s_max)
            self._tried_at = now + self._stretch_s

    def tried_in_s(self, now: float) -> float:
        """Seconds until the next probe may go; 0 while it is closed."""
        return 0.0 if self._tried_at is None else max(0.0, self._tried_at - now)

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        if self._tried_at is None:
            return "closed"
        return "half-open" if self._probing or now >= self._tried_at else "open"
