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
from mexclab.venues.mexc.depth_levels import RENEWED_EVERY, DepthLevels, versions
from mexclab.venues.mexc.frames import DepthDiff
from mexclab.venues.mexc.wire_types import LATEST_MS, ns

MOST_KEPT = 20_000  # diffs that wait for a snapshot
MOST_OLD = 256  # diffs in a row that tell nothing new: the venue counts from somewhere else
CHECKED_EVERY = 500  # frames, between two looks for fields that are new


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
_NOTHING = b"\xff" * 16  # stands in no frame: neither text nor a number is written so


class LiveBook:
    """One symbol's book. Feed it frames, give it a snapshot when it has no version, read it any time.

    Args:
        symbol: whose book.
        read: reads a frame by the full schema and tells what is new or wrong in it, see ``Decoder``; raises
            ``VenueUnavailable``.

    Attributes:
        version: how far the book goes; None while it has no snapshot.
        applied, dropped, resyncs: diffs applied, diffs that were old, and how often the book was lost.
        why: why it was lost the last time.
    """

    def __init__(self, symbol: Symbol, read: Callable[[bytes], DepthDiff]) -> None:
        self.symbol = symbol
        self.version: int | None = None
        self.applied = self.dropped = self.resyncs = 0
        self.why = ""
        self._read = read
        self._levels = DepthLevels()
        self._wanted = ""  # the version that the next diff begins with
        self._sign = _NOTHING  # how that is written in its frame
        self._due = 0  # how many diffs are applied when one is read by the full schema
        self._kept: list[tuple[int, int, bytes]] = []
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
        if self._sign in frame:  # most likely it is the one that follows; merged, it says for sure
            self._apply(frame, self._wanted)
            return _APPLIED
        try:
            first, last = versions(frame)
        except ValueError as wrong:
            raise self._unreadable(frame, wrong) from None
        return self._judge(first, last, frame)

    def _judge(self, first: int, last: int, frame: bytes) -> Step:
        """What is to be done with a diff, by its versions; and do it."""
        if self.version is None:
            self._keep(first, last, frame)
            return Step.KEPT
        if last <= self.version:
            self.dropped += 1
            self._old += 1
            if self._old < MOST_OLD:
                return Step.OLD
            self.lose(f"{MOST_OLD} diffs in a row were older than version {self.version}")
        elif first > self.version + 1:
            self.lose(f"versions {self.version + 1} to {first - 1} are missing")
        else:
            self._apply(frame, str(first))
            return Step.APPLIED
        self._keep(first, last, frame)
        return Step.GAP

    def _keep(self, first: int, last: int, frame: bytes) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()  # a snapshot that is older than what is left will not meet it
        self._kept.append((first, last, frame))

    def _apply(self, frame: bytes, wanted: str) -> None:
        """Merge a frame that begins with the version ``wanted``.

        Raises:
            VenueUnavailable: it does not, or cannot be read; the book is lost.
        """
        levels = self._levels
        try:
            is_whole = levels.merge(frame)
            body = levels.body
            version = int(body.toVersion)
            if body.fromVersion != wanted or version < int(wanted):
                raise ValueError("does not tell of the versions that it seemed to")
        except ValueError as wrong:
            raise self._unreadable(frame, wrong) from None
        if not is_whole or self.applied >= self._due:
            self._look_after(frame)
        self._stand(version)
        self._old = 0
        self.applied += 1

    def _stand(self, version: int) -> None:
        """The book is as of this version; the next diff is known by the next one."""
        self.version = version
        wanted = self._wanted = str(version + 1)
        sign = wanted.encode()
        self._sign = b'"%c%b*' % (len(sign), sign)

    def _look_after(self, frame: bytes) -> None:
        """Set a diff's levels as the full schema reads them, which tells what is new in it; give memory back.

        Raises:
            VenueUnavailable: the diff cannot be read; the book is lost.
        """
        self._due = self.applied + CHECKED_EVERY
        levels = self._levels
        try:
            diff = self._read(frame)
        except VenueUnavailable:
            self.lose("a diff could not be read")
            raise
        for is_ask, side in ((True, diff.asks), (False, diff.bids)):
            for price, quantity in side:
                levels.put(is_ask, price, quantity)
        if levels.is_overgrown:
            self.lose("it has more levels than a book of this venue can have")
            raise VenueUnavailable(f"the book of {self.symbol} grows without end")
        if levels.merged >= RENEWED_EVERY:
            levels.renew()

    def anchor(self, snapshot: DepthSnapshot) -> bool:
        """Begin from a snapshot and apply what was kept; False: they do not meet, ask for a newer one.

        Raises:
            VenueUnavailable: a number of the snapshot is none, or a kept diff cannot be read.
        """
        kept = [entry for entry in self._kept if entry[1] > snapshot.last_update_id]
        if kept and kept[0][0] > snapshot.last_update_id + 1:
            return False
        self._clear()
        try:
            for is_ask, levels in ((True, snapshot.asks), (False, snapshot.bids)):
                for price, quantity in levels:
                    if not quantity >= 0:
                        raise ValueError("is below zero")
                    self._levels.put(is_ask, price, quantity)
        except ValueError:
            self._clear()
            raise VenueUnavailable(f"the snapshot of {self.symbol} holds a number that is none") from None
        self._stand(snapshot.last_update_id)
        self._kept = []
        for number, (first, last, frame) in enumerate(kept, start=1):
            if self._judge(first, last, frame) is Step.GAP:
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
        self._sign = _NOTHING
        self._old = 0
        self._levels.clear()

    def _unreadable(self, frame: bytes, wrong: ValueError) -> VenueUnavailable:
        """Lose the book over a frame; the error, which was told where the full schema knows what is wrong."""
        self.lose(f"a diff could not be read: it {wrong}")
        try:
            self._read(frame)
        except VenueUnavailable as error:
            return error
        return VenueUnavailable(f"a diff of {self.symbol} cannot be applied: it {wrong}")

    # -- what goes out ---------------------------------------------------------------------------

    @property
    def sent_ns(self) -> int | None:
        """When the venue sent what was applied last, by its own word; None where it did not say."""
        sent_ms = self._levels.sent_ms
        return ns(sent_ms) if 0 < sent_ms <= LATEST_MS else None

    def book(self, depth: int, at_ns: int) -> Book | None:
        """The best ``depth`` levels of each side as of the last diff; None while the book has no snapshot.

        A quantity that turns out to be no number loses the book here.
        """
        if self.version is None:
            return None
        try:
            bids, asks = self._levels.best(depth)
        except ValueError as wrong:
            self.lose(str(wrong))
            return None
        return Book(self.symbol, bids, asks, at_ns, self.version)
