"""The lake's live minutes, handed to patterns that live on bars, in order of time and each once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mexclab.domain.clock import DAY, MINUTE, span, written
from mexclab.errors import MexclabError, NotEnoughData
from mexclab.ports import BarPattern
from mexclab.store.lake import Lake

HOLD_NS = 2 * MINUTE  # a bar that is not there so long after its close is missing
AWAY_NS = 10 * MINUTE  # without a bar for so long whoever brings them is away
GROWN = 1.1  # so many times the symbols that are followed have bars: begin anew with all of them
TOGETHER = 64  # symbols that are read at once: a desk has other uses for its memory


@dataclass(frozen=True, eq=False, slots=True)
class _Minutes:
    """(minutes, names) closes from ``start_ns`` on, NaN where there is no bar."""

    start_ns: int
    names: Sequence[str]
    closes: np.ndarray

    @property
    def live(self) -> list[str]:
        """Who has a bar in any of them."""
        return [self.names[at] for at in np.flatnonzero(np.isfinite(self.closes).any(axis=0)).tolist()]

    @property
    def end_ns(self) -> int:
        """When the last minute that anybody has is over; the start, where nobody has any."""
        there = np.flatnonzero(np.isfinite(self.closes).any(axis=1))
        return self.start_ns + (int(there[-1]) + 1 if len(there) else 0) * MINUTE


class BarWatch:
    """The lake's closed minutes, handed to patterns in order of time.

    A beginning, and another one each day, reads back as far as the patterns need, twice: who was loose
    before is known then, and is not told again.

    Args:
        lake: whose one-minute bars.
        patterns: who gets them.
        pause: called before each minute; it may wait.

    Attributes:
        leaving: set to be done at the next minute.
    """

    def __init__(
        self, lake: Lake, patterns: Sequence[BarPattern], pause: Callable[[], None] = lambda: None
    ) -> None:
        self._lake, self._patterns, self._pause = lake, tuple(patterns), pause
        self.leaving = threading.Event()
        self._followed: frozenset[str] = frozenset()
        self._next_ns = 0  # the first open time that was not handed on yet
        self._begun_ns = 0

    def __len__(self) -> int:
        return len(self._followed)

    def look(self, now_ns: int) -> tuple[str, ...]:
        """Hand on every minute that is complete; what was alarmed, in sentences.

        Raises:
            NotEnoughData: nobody brings bars, or of too few symbols.
            DataError: the lake cannot be read.
        """
        until_ns = (now_ns - HOLD_NS) // MINUTE * MINUTE  # bars that opened before it are complete
        if not self._followed:
            self._begin(until_ns)
            return ()
        if until_ns <= self._next_ns:
            return ()
        was_away = until_ns - self._next_ns > AWAY_NS
        # what came after an absence may be half of it yet: then everybody is looked at anew
        news = self._read(self._lake.symbols("1m"), self._next_ns, until_ns)
        if news.end_ns == news.start_ns:
            if was_away:
                raise _nobody(self._next_ns)
            return ()
        told: tuple[str, ...] = ()
        if not was_away:
            told = self._hand_on(news)
            self._next_ns = news.end_ns
        age_ns = until_ns - self._begun_ns
        has_grown = len(news.live) > GROWN * len(self._followed) and age_ns >= AWAY_NS
        if was_away or has_grown or age_ns >= DAY:
            self._begin(until_ns)
        return told

    def _begin(self, until_ns: int) -> None:
        latest = self._read(self._lake.symbols("1m"), until_ns - AWAY_NS, until_ns)
        if not latest.live:
            raise _nobody(latest.start_ns)
        for pattern in self._patterns:
            try:
                pattern.follow(latest.live)
            except MexclabError as error:
                raise NotEnoughData(
                    f"{pattern.name} cannot watch the lake's {len(latest.live)} live symbols: {error.message}"
                ) from error
        self._followed = frozenset(latest.live)
        reach = 2 * max(pattern.minutes for pattern in self._patterns)
        self._hand_on(self._read(latest.live, until_ns - reach * MINUTE, until_ns))
        self._next_ns, self._begun_ns = latest.end_ns, until_ns

    def _read(self, names: Sequence[str], start_ns: int, end_ns: int) -> _Minutes:
        """The bars of these symbols that opened in [start_ns, end_ns), both whole minutes."""
        closes = np.full(((end_ns - start_ns) // MINUTE, len(names)), np.nan)
        for first in range(0, len(names), TOGETHER):
            self._pause()
            some = names[first : first + TOGETHER]
            column = {name: first + at for at, name in enumerate(some)}
            bars = self._lake.scan(some, start_ns, end_ns).select("symbol", "ts", "close").collect()
            for piece in bars.partition_by("symbol"):
                rows = (piece["ts"].dt.epoch("ns").to_numpy() - start_ns) // MINUTE
                closes[rows, column[piece["symbol"][0]]] = piece["close"].to_numpy()
        closes[~(closes > 0)] = np.nan
        return _Minutes(start_ns, names, closes)

    def _hand_on(self, minutes: _Minutes) -> tuple[str, ...]:
        """A minute that nobody has is handed on empty, but for those behind the last bar."""
        mine = [at for at, name in enumerate(minutes.names) if name in self._followed]
        names, closes = [minutes.names[at] for at in mine], minutes.closes[:, mine]
        told: list[str] = []
        for at in range((minutes.end_ns - minutes.start_ns) // MINUTE):
            self._pause()
            if self.leaving.is_set():
                break
            pairs = zip(names, closes[at].tolist(), strict=True)
            known = {name: close for name, close in pairs if close == close}
            for pattern in self._patterns:
                alarms = pattern.see(minutes.start_ns + (at + 1) * MINUTE, known)
                told += [f"{pattern.name}: {alarm}" for alarm in alarms]
        return tuple(told)


def _nobody(since_ns: int) -> NotEnoughData:
    return NotEnoughData(
        f"the lake has got no one-minute bar since {written(since_ns)}, {span(HOLD_NS)} are waited for each; "
        "run `mexclab fetch follow`",
        since_ns=since_ns,
    )
