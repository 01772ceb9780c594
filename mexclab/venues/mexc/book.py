"""The order book of one symbol, kept from depth diffs and a snapshot by MEXC's newest sync rule.

Diffs are kept until a snapshot comes; those that the snapshot holds already are dropped, the first that goes
beyond it may straddle it, and from there each must begin where the one before ended. Where one does not, the
book is lost and says so: it is never quietly wrong. Quantities are absolute, so a diff that begins earlier
than needed brings the book to exactly where it ends. Source: MEXC spot v3, "How to properly maintain a local
order book", 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from mexclab.domain.market import Book, Symbol
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.depth_cut import DepthCut
from mexclab.venues.mexc.depth_levels import DepthLevels
from mexclab.venues.mexc.frames import DepthDiff

MOST_KEPT = 20_000  # diffs that wait for a snapshot
MOST_OLD = 256  # diffs in a row that tell nothing new: the venue counts from somewhere else


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """The book as the venue answered: price and quantity, best first, as of version ``last_update_id``."""

    last_update_id: int
    bids: Sequence[tuple[Decimal, Decimal]]
    asks: Sequence[tuple[Decimal, Decimal]]


class Step(Enum):
    """What a diff did to the book."""

    APPLIED = "applied"
    OLD = "old"  # the book had it already
    KEPT = "kept"  # it waits for the snapshot
    GAP = "gap"  # something is missing: the book is lost, and the diff waits for the next snapshot


_APPLIED = Step.APPLIED


class LiveBook:
    """One symbol's book. Feed it frames, give it a snapshot when it has no version, read it any time.

    Args:
        symbol: whose book.
        channel: the depth channel whose frames come.
        read: reads a frame by the schema, for those that are laid out unusually; raises ``VenueUnavailable``.

    Attributes:
        version: how far the book goes; None while it has no snapshot.
        applied, dropped, resyncs: diffs applied, diffs that were old, and how often the book was lost.
        why: why it was lost the last time.
    """

    def __init__(self, symbol: Symbol, channel: str, read: Callable[[bytes], DepthDiff]) -> None:
        self.symbol = symbol
        self.version: int | None = None
        self.applied = self.dropped = self.resyncs = 0
        self.why = ""
        cutter = DepthCut(channel, str(symbol))
        self._cut = cutter.cut
        self.sent_ns = cutter.sent_ns  # when a frame was sent, by the venue's own word
        self._read = read
        self._levels = DepthLevels()
        self._walk = self._levels.walk
        self._kept: list[tuple[int, int, bytes | DepthDiff]] = []
        self._old = 0

    def __len__(self) -> int:
        """Places that are kept, empty ones among them."""
        return len(self._levels)

    # -- what comes in ---------------------------------------------------------------------------

    def take(self, frame: bytes) -> Step:
        """Take a frame of the depth channel in.

        Raises:
            VenueUnavailable: it cannot be read; the book is lost.
        """
        found = self._cut(frame)
        if found is not None:
            first, last, begin, end = found
            if first - 1 == self.version and first <= last:
                if self._walk(frame, begin, end):
                    self.version = last
                    self.applied += 1
                    self._old = 0
                    return _APPLIED
            elif first <= last:
                return self._judge(first, last, frame)
        return self.take_diff(self._slowly(frame))

    def take_diff(self, diff: DepthDiff) -> Step:
        """Take a diff in that was read elsewhere."""
        return self._judge(diff.first, diff.last, diff)

    def _judge(self, first: int, last: int, diff: bytes | DepthDiff) -> Step:
        """What is to be done with a diff, by its versions; and do it."""
        if self.version is None:
            self._keep(first, last, diff)
            return Step.KEPT
        if last <= self.version:
            self.dropped += 1
            self._old += 1
            if self._old < MOST_OLD:
                return Step.OLD
            self.lose(f"{MOST_OLD} diffs in a row were older than version {self.version}")
        elif first > self.version + 1:
            self.lose(f"versions {self.version + 1} to {first - 1} are missing")
        elif self._levels.is_overgrown:
            self.lose("it has more levels than a book of this venue can have")
        else:
            self._apply(diff)
            self.version = last
            self.applied += 1
            self._old = 0
            return Step.APPLIED
        self._keep(first, last, diff)
        return Step.GAP

    def _keep(self, first: int, last: int, diff: bytes | DepthDiff) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()  # a snapshot that is older than what is left will not meet it
        self._kept.append((first, last, diff))

    def anchor(self, snapshot: DepthSnapshot) -> bool:
        """Begin from a snapshot and apply what was kept; False: they do not meet, ask for a newer one.

        Raises:
            VenueUnavailable: a number of the snapshot is none, or a kept diff cannot be read.
        """
        kept = [entry for entry in self._kept if entry[1] > snapshot.last_update_id]
        if kept and kept[0][0] > snapshot.last_update_id + 1:
            return False
        self._clear()
        for is_ask, levels in ((True, snapshot.asks), (False, snapshot.bids)):
            for price, quantity in levels:
                if not (price > 0 and quantity >= 0):
                    self._clear()
                    raise VenueUnavailable(f"the snapshot of {self.symbol} holds a number below zero")
                self._levels.put(is_ask, price, quantity)
        self.version = snapshot.last_update_id
        self._kept = []
        for number, (first, last, diff) in enumerate(kept, start=1):
            if self._judge(first, last, diff) is Step.GAP:
                self._kept += kept[number:]
                return False
        return True

    def lose(self, why: str) -> None:
        """Forget everything; what is shown from now on needs a new snapshot."""
        if self.version is not None:
            self.resyncs += 1
            self.why = why
        self._clear()
        self._kept = []

    def _clear(self) -> None:
        self.version = None
        self._old = 0
        self._levels.clear()

    def _apply(self, diff: bytes | DepthDiff) -> None:
        if isinstance(diff, bytes):
            found = self._cut(diff)
            if found is not None and self._walk(diff, found[2], found[3]):
                return
            diff = self._slowly(diff)
        for is_ask, levels in ((True, diff.asks), (False, diff.bids)):
            for price, quantity in levels:
                self._levels.put(is_ask, price, quantity)

    def _slowly(self, frame: bytes) -> DepthDiff:
        try:
            return self._read(frame)
        except VenueUnavailable:
            self.lose("a diff could not be read")
            raise

    # -- what goes out ---------------------------------------------------------------------------

    def book(self, depth: int, at_ns: int) -> Book | None:
        """The best ``depth`` levels of each side as of the last diff; None while the book has no snapshot.

        A quantity that turns out to be no number loses the book here.
        """
        if self.version is None:
            return None
        try:
            bids, asks = self._levels.bids(depth), self._levels.asks(depth)
        except ValueError:
            self.lose("a quantity is no number")
            return None
        return Book(self.symbol, bids, asks, at_ns, self.version)
