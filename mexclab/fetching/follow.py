"""Live bars: when a bar has closed it goes into the lake, as the venue's history has it.

The stream tells what is growing, and is kept in mind; a bar is stored when the history has confirmed it.
Where the history does not answer in time, the stream's word is stored and compared later. The last few bars
are asked for again each time: a bar that the venue has corrected meanwhile is corrected here, and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Symbol
from mexclab.errors import DataError, VenueError
from mexclab.fetching.sink import Live
from mexclab.store.bar_rows import frame_of, rows_of
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import interval_ms
from mexclab.venues.fetch import BarSource, Pair
from mexclab.venues.raw_bars import RawBar

WORKERS = 8  # pairs that are asked for side by side
KEPT = 600  # last bars of a pair that are kept in mind: more than one page
FOLD_SOON_S = 600.0  # the first folding, and the next try after one that failed


@dataclass(frozen=True, slots=True)
class FollowTerms:
    """How bars are followed.

    Attributes:
        interval: of the bars.
        recheck: stored bars that are asked for again with each new one.
        recheck_first: the same when following begins.
        hold_s: how long after its end a bar waits for the history before the stream's word is stored.
        again_s, longest_again_s: between two questions for bars that the history does not have yet, at
            first and in the end.
        clock_s: between two looks at the venue's clock.
        compact_s: between two foldings of the fresh bars into their months.
    """

    interval: str = "1m"
    recheck: int = 3
    recheck_first: int = 60
    hold_s: float = 90.0
    again_s: float = 2.0
    longest_again_s: float = 30.0
    clock_s: float = 600.0
    compact_s: float = 21_600.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one closing of bars brought.

    Attributes:
        closed_ms: the first open time that was not closed yet.
        added: bars stored, ``unconfirmed`` of them on the stream's word alone.
        corrected: stored bars that the venue's history has otherwise, and which were replaced.
        late: pairs whose bar is not there yet; they are asked for again.
        refused: rows of the venue that are no bars.
        failed: pairs that the venue did not answer for, with the reason of the first.
        seconds: how long it took.
        trouble: why the last folding of fresh bars failed, told once; it is tried again.
    """

    closed_ms: int
    added: int
    unconfirmed: int
    corrected: int
    late: int
    refused: int
    failed: tuple[str, ...]
    why: str
    seconds: float
    trouble: str = ""


@dataclass(slots=True)
class _Followed:
    """One pair: up to where it is stored, and what was seen of its last bars."""

    pair: Pair
    next_ms: int  # the first open time that is not stored
    stored: dict[int, RawBar] = field(default_factory=dict)
    heard: dict[int, RawBar] = field(default_factory=dict)
    unsure_ms: int | None = None  # from here on the history is still to be compared

    def keep(self, bar: RawBar, sure: bool) -> None:
        """Remember a bar as stored."""
        self.stored[bar.open_ms] = bar
        if not sure and self.unsure_ms is None:
            self.unsure_ms = bar.open_ms
        for old in sorted(self.stored)[:-KEPT]:
            del self.stored[old]
        for old in [at for at in self.heard if at <= bar.open_ms]:
            del self.heard[old]

    def compared_to(self, at_ms: int) -> None:
        """The history has told every bar that opens before this."""
        self.unsure_ms = at_ms if at_ms < self.next_ms else None


class Follower:
    """Follows pairs, from what the lake has of them on.

    Args:
        source: opened.
        starts: where each pair goes on; see `starts_of`.
        sleep_until: waits for a moment of the venue's clock, in ns.
        tell: called after each round.
    """

    def __init__(
        self,
        source: BarSource,
        lake: Lake,
        starts: Iterable[Start],
        terms: FollowTerms,
        sleep_until: Callable[[int], Awaitable[None]],
    ) -> None:
        self.source = source
        self.terms = terms
        self._lake = lake
        self._step = interval_ms(terms.interval)
        self._sleep_until = sleep_until
        self._followed = {start.pair.symbol: _followed(start) for start in starts}
        self._again_s = terms.again_s
        self._growing: dict[Symbol, RawBar] = {}
        self._clock_due_s = time.monotonic() + terms.clock_s
        self._compact_due_s = time.monotonic() + min(FOLD_SOON_S, terms.compact_s)
        self._trouble = ""

    @property
    def growing(self) -> Mapping[Symbol, RawBar]:
        """The bar that each pair's stream told last."""
        return MappingProxyType(self._growing)

    def hear(self, symbol: Symbol, bar: RawBar) -> None:
        """The stream tells a growing bar; what it said last of a bar is kept until that bar is stored."""
        followed = self._followed.get(symbol)
        if followed is None:
            return
        self._growing[symbol] = bar
        if bar.open_ms >= followed.next_ms:
            followed.heard[bar.open_ms] = bar

    async def run(self, tell: Callable[[Round], None], until_ns: int | None = None) -> None:
        """Store each bar when it has closed, until a moment or until cancelled.

        Raises:
            DataError: the lake cannot take the bars.
        """
        while until_ns is None or self.source.now_ns() < until_ns:
            tell(await self.round())
            await self._housekeeping()
            closing_ns = (self.source.closed_ms(self._step) + self._step) * MILLISECOND
            due_ns = closing_ns + round((self.source.terms.settle_s + 0.05) * 1e9)
            if self._is_behind():
                due_ns = min(due_ns, self.source.now_ns() + round(self._again_s * 1e9))
                self._again_s = min(2 * self._again_s, self.terms.longest_again_s)
            else:
                self._again_s = self.terms.again_s
            await self._sleep_until(due_ns if until_ns is None else min(due_ns, until_ns))

    async def round(self) -> Round:
        """Ask for everything that has closed and is not stored."""
        began = time.monotonic()
        closed_ms = self.source.closed_ms(self._step)
        done = _Done(Live(self._lake, self.terms.interval))
        waiting = [one for one in self._followed.values() if self._is_due(one, closed_ms)]

        async def work() -> None:
            while waiting:
                await self._bring(waiting.pop(), closed_ms, done)

        tasks = [asyncio.create_task(work()) for _ in range(min(WORKERS, len(waiting)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            done.live.flush()
        trouble, self._trouble = self._trouble, ""
        return done.told(closed_ms, time.monotonic() - began, trouble)

    # -- inside ----------------------------------------------------------------------------------

    def _is_due(self, followed: _Followed, closed_ms: int) -> bool:
        return followed.next_ms < closed_ms or followed.unsure_ms is not None

    def _is_behind(self) -> bool:
        closed_ms = self.source.closed_ms(self._step)
        return any(followed.next_ms < closed_ms for followed in self._followed.values())

    async def _bring(self, followed: _Followed, closed_ms: int, done: _Done) -> None:
        """Everything of one pair that has closed, page after page."""
        while self._is_due(followed, closed_ms):
            first = followed.next_ms - self.terms.recheck * self._step
            if followed.unsure_ms is not None:
                first = min(first, followed.unsure_ms)
            try:
                rows = await self.source.page(followed.pair, self.terms.interval, first, self._step)
            except VenueError as error:
                done.failed.append(followed.pair.name)
                done.why = done.why or error.message
                self._go_by_the_stream(followed, closed_ms, done)
                return
            news = self._news(followed, rows, done)
            before_ms = followed.unsure_ms
            if before_ms is not None and rows:
                followed.compared_to(rows[-1].open_ms + self._step)
            if not news and followed.unsure_ms == before_ms:
                self._skip(followed, closed_ms, done)
                return

    def _news(self, followed: _Followed, rows: Sequence[RawBar], done: _Done) -> Sequence[RawBar]:
        """New bars, late ones and corrected ones go into the lake; the new ones."""
        arrived = frame_of(followed.pair.name, rows, self.terms.interval)
        done.refused += arrived.refused
        sound = frozenset(arrived.frame["ts"].dt.epoch("ms"))
        good = [row for row in rows if row.open_ms in sound]
        known = followed.stored
        fresh = [row for row in good if row.open_ms >= followed.next_ms]
        since_ms = min(known, default=followed.next_ms)  # what lies before is not known to be missing
        late = [
            row for row in good if since_ms <= row.open_ms < followed.next_ms and row.open_ms not in known
        ]
        mended = [row for row in good if row.open_ms in known and not _same(row, known[row.open_ms])]
        done.added += self._store(followed.pair.name, [*late, *fresh], done, replace=False)
        done.corrected += self._store(followed.pair.name, mended, done, replace=True)
        for row in (*mended, *late, *fresh):
            followed.keep(row, sure=True)
        if fresh:
            followed.next_ms = fresh[-1].open_ms + self._step
        return fresh

    def _store(self, name: str, rows: Sequence[RawBar], done: _Done, replace: bool) -> int:
        frame = frame_of(name, rows, self.terms.interval).frame
        done.live.take(frame, replace)
        return frame.height

    def _skip(self, followed: _Followed, closed_ms: int, done: _Done) -> None:
        """The history has nothing new: it is late, or this long span without a bar is to be gone past."""
        window = self.source.page_bars * self._step
        if closed_ms - followed.next_ms > window:
            followed.next_ms += window
            return
        done.late += followed.next_ms < closed_ms
        self._go_by_the_stream(followed, closed_ms, done)

    def _go_by_the_stream(self, followed: _Followed, closed_ms: int, done: _Done) -> None:
        """Store what the stream said of bars that have waited long enough, without a hole before them."""
        waited_ms = self.source.now_ns() // MILLISECOND - self.terms.hold_s * 1000
        ended: list[RawBar] = []
        at_ms = followed.next_ms
        while at_ms in followed.heard and at_ms < closed_ms and at_ms + self._step <= waited_ms:
            ended.append(followed.heard[at_ms])
            at_ms += self._step
        stored = self._store(followed.pair.name, ended, done, replace=False)
        for bar in ended:
            followed.keep(bar, sure=False)
            followed.next_ms = bar.open_ms + self._step
        done.added += stored
        done.unconfirmed += stored

    async def _housekeeping(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._clock_due_s:
            self._clock_due_s = now_s + self.terms.clock_s
            with contextlib.suppress(VenueError):  # the last reading is good enough for now
                await self.source.set_clock()
        if now_s >= self._compact_due_s:
            self._compact_due_s = now_s + self.terms.compact_s
            try:
                await asyncio.to_thread(self._lake.compact, self.terms.interval)
            except DataError as error:  # fresh bars are read all the same: recording goes on
                self._compact_due_s = now_s + FOLD_SOON_S
                self._trouble = error.message


@dataclass(slots=True)
class _Done:
    """What a round has brought so far."""

    live: Live
    added: int = 0
    unconfirmed: int = 0
    corrected: int = 0
    late: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    why: str = ""

    def told(self, closed_ms: int, seconds: float, trouble: str) -> Round:
        return Round(
            closed_ms, self.added, self.unconfirmed, self.corrected, self.late, self.refused,
            tuple(self.failed), self.why, seconds, trouble,
        )  # fmt: skip


def _same(one: RawBar, other: RawBar) -> bool:
    """Whether both say the same; ``1.50`` is ``1.5``."""
    return one == other or [float(x) for x in one[1:] if x] == [float(x) for x in other[1:] if x]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a pair goes on.

    Attributes:
        next_ms: the first open time that the lake has not.
        last: its last bars in the lake, the oldest first.
    """

    pair: Pair
    next_ms: int
    last: tuple[RawBar, ...] = ()


def starts_of(
    lake: Lake, pairs: Iterable[Pair], terms: FollowTerms, closed_ms: int, fetched_ms: int
) -> list[Start]:
    """Where each pair goes on: after the lake's last bar, or where the download ended if it has none recent.

    Args:
        closed_ms: the first open time that is not closed yet.
        fetched_ms: up to here the download asked; it may have taken longer than what is looked back on.
    """
    step = interval_ms(terms.interval)
    otherwise_ms = min(closed_ms, -(-fetched_ms // step) * step)
    known = frozenset(lake.symbols(terms.interval))
    starts = []
    for pair in pairs:
        last: tuple[RawBar, ...] = ()
        if pair.name in known:
            since_ns = (closed_ms - terms.recheck_first * step) * MILLISECOND
            bars = lake.scan(pair.name, since_ns, closed_ms * MILLISECOND, terms.interval).collect()
            last = tuple(RawBar(*row) for row in rows_of(bars))
        starts.append(Start(pair, last[-1].open_ms + step if last else otherwise_ms, last))
    return starts


def _followed(start: Start) -> _Followed:
    stored = {bar.open_ms: bar for bar in start.last}
    return _Followed(start.pair, start.next_ms, stored, unsure_ms=min(stored, default=None))
