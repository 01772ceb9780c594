"""The post: alerts are carried from an outbox to every sink, each in order and at least once.

Every sink has a courier, a thread of its own: what blocks one of them is in nobody else's way, least of all
in the way of the loop that trades. A courier marks an alert as delivered after its sink took it, so a process
that dies in between delivers it again under the same id. A sink that does not take an alert is tried again
after ``first_retry_s``, then twice that, up to ``last_retry_s``, without end: nothing is passed over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from mexclab.config.risk import AlertSettings
from mexclab.domain.alert import ALERT_KINDS, Alert, Mark, worded
from mexclab.domain.clock import SECOND, written
from mexclab.domain.events import Event
from mexclab.errors import MexclabError
from mexclab.runtime.notify import LONGEST_WAIT_S, Notifier, Refusal

IDLE_S = 60.0  # an idle courier looks so often, should nobody have called it
LAST_ROUND_S = 3.0  # what still waits when the process ends may take so long; the rest waits for the next one
GRACE_S = 0.2  # for a courier that has just seen that its time is up
FAR = 30  # doublings after which a wait is the longest anyway

_KINDS = frozenset(ALERT_KINDS)

log = structlog.get_logger("mexclab.alerts")


class Outbox(Protocol):
    """Alerts in order, and how far each sink has come. Calls block and may come from any thread."""

    def begin(self, sinks: Sequence[str]) -> None: ...

    def mark(self, sink: str) -> Mark: ...

    def put(self, sink: str, mark: Mark) -> None: ...

    def waiting(self, after: int) -> Sequence[Alert]: ...


@dataclass(frozen=True, slots=True)
class PostTerms:
    """What is delivered, and when what was refused is tried again."""

    level: str = "warning"
    first_retry_s: float = 2.0
    last_retry_s: float = 300.0
    hold_s: Callable[[], float] = lambda: 0.0  # for how long this is no moment to take the processor

    @classmethod
    def of(cls, settings: AlertSettings, hold_s: Callable[[], float] = lambda: 0.0) -> PostTerms:
        """As the settings say."""
        return cls(settings.level, settings.first_retry_s, settings.last_retry_s, hold_s)

    def wait_s(self, attempts: int, refusal: Refusal) -> float:
        """How long to wait after so many refusals in a row; longer where the sink asked for it."""
        backoff = self.first_retry_s * (1 << min(max(attempts - 1, 0), FAR))
        return max(min(backoff, self.last_retry_s), min(refusal.after_s, LONGEST_WAIT_S))

    @property
    def longest_s(self) -> float:
        return max(self.last_retry_s, LONGEST_WAIT_S)


class Courier:
    """Carries one sink's alerts. See the module."""

    def __init__(
        self,
        outbox: Outbox,
        notifier: Notifier,
        terms: PostTerms,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.notifier = notifier
        self._outbox = outbox
        self._terms = terms
        self._now_ns = now_ns
        self._mark: Mark | None = None
        self._since_ns = now_ns()  # of the first refusal in a row that this process has seen
        self._is_kept = True
        self._news = threading.Event()
        self._over = threading.Event()
        self._last_moment = float("inf")  # on the monotonic clock
        self._thread = threading.Thread(target=self._run, name=f"mexclab-{notifier.name}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stir(self) -> None:
        """There may be something to deliver. Returns at once."""
        self._news.set()

    def trouble(self) -> str:
        """Why alerts wait; empty when none do."""
        mark = self._mark
        if self._thread.ident is not None and not self._thread.is_alive() and not self._over.is_set():
            return f"{self.notifier.name}: nobody delivers any more; start the desk again"
        if mark is None or not mark.attempts:
            return ""
        since = written(self._since_ns)
        return f"{self.notifier.name}: alerts not delivered since {since}: {mark.why}, {mark.attempts} tries"

    def last_call(self, until_s: float) -> None:
        """Deliver what waits up to this moment of the monotonic clock; the rest waits for a start."""
        self._last_moment = until_s
        self._over.set()
        self._news.set()

    def join(self, until_s: float) -> None:
        """Wait for its end; one that its sink holds up is left behind, and ends with the process."""
        self._thread.join(max(until_s - time.monotonic(), 0.0) + GRACE_S)

    def _run(self) -> None:
        while not self._over.is_set():
            wait_s = self._round()
            self._news.wait(wait_s)
            self._news.clear()
        self._round()
        self.notifier.close()

    def _round(self) -> float:
        """Deliver what can be delivered now; seconds until there may be more to do."""
        try:
            return self._deliver()
        except MexclabError as error:
            log.warning("alerts wait for their outbox", sink=self.notifier.name, why=error.message)
            return self._terms.first_retry_s

    def _deliver(self) -> float:
        name = self.notifier.name
        mark = self._mark = self._mark or self._outbox.mark(name)
        if not self._is_kept:
            self._keep(mark)
        left_s = (mark.again_ns - self._now_ns()) / SECOND
        if 0 < left_s <= self._terms.longest_s:  # a moment further away is of a clock that was wrong
            return left_s
        while time.monotonic() < self._last_moment:
            self._hold()
            page = self._outbox.waiting(mark.seq)
            for alert in page:
                if time.monotonic() > self._last_moment:
                    return 0.0
                if not alert.is_at_least(self._terms.level):
                    self._mark, self._is_kept = Mark(alert.seq), False
                    continue
                self._hold()
                if (refusal := self.notifier.send(alert)) is not None:
                    return self._refused(alert, refusal)
                self._keep(Mark(alert.seq))
            mark = self._mark
            if not page:
                if not self._is_kept:
                    self._keep(mark)
                return IDLE_S
        return 0.0

    def _hold(self) -> None:
        if (hold_s := self._terms.hold_s()) > 0:
            self._over.wait(hold_s)

    def _refused(self, alert: Alert, refusal: Refusal) -> float:
        before = self._mark or Mark(alert.seq - 1)
        attempts = before.attempts + 1
        if attempts == 1:
            self._since_ns = self._now_ns()
        wait_s = self._terms.wait_s(attempts, refusal)
        log.warning(
            "an alert was not taken", sink=self.notifier.name, alert=alert.alert_id, attempts=attempts,
            why=refusal.why, again_s=wait_s,
        )  # fmt: skip
        self._keep(Mark(before.seq, attempts, self._now_ns() + int(wait_s * SECOND), refusal.why))
        return wait_s

    def _keep(self, mark: Mark) -> None:
        """In memory first: where it cannot be written, at least this process does not deliver twice."""
        self._mark, self._is_kept = mark, False
        self._outbox.put(self.notifier.name, mark)
        self._is_kept = True


class Post:
    """A courier for each sink."""

    def __init__(self, outbox: Outbox, notifiers: Sequence[Notifier], terms: PostTerms) -> None:
        self._outbox = outbox
        self._couriers = [Courier(outbox, notifier, terms) for notifier in notifiers]
        self._is_up = False

    def start(self) -> None:
        """Take the sinks up and begin to deliver; a sink that is new gets what happens from now on.

        Raises:
            LedgerUnavailable: the outbox cannot be used.
        """
        self._outbox.begin([courier.notifier.name for courier in self._couriers])
        self._is_up = True
        for courier in self._couriers:
            courier.start()

    def take(self, _seq: int, event: Event) -> None:
        """A subscriber of the bus: what is an alert stirs the couriers, who read it from the outbox."""
        # most events are none, and this is the loop that trades: the cheap question first
        if type(event).__name__ in _KINDS and worded(event) is not None:
            self.stir()

    def stir(self) -> None:
        """Let every courier look for what there is to deliver."""
        for courier in self._couriers:
            courier.stir()

    def troubles(self) -> dict[str, str]:
        """Where alerts wait, since when, and why: a sentence for each such sink, by its name."""
        found = {courier.notifier.name: courier.trouble() for courier in self._couriers}
        return {name: trouble for name, trouble in found.items() if trouble}

    def close(self, within_s: float = LAST_ROUND_S) -> None:
        """Deliver what waits, at most for so long; may be called again, and without a start."""
        if not self._is_up:
            return
        self._is_up = False
        until_s = time.monotonic() + within_s
        for courier in self._couriers:
            courier.last_call(until_s)
        for courier in self._couriers:
            courier.join(until_s)
