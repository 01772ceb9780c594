"""The order book of one symbol, kept from depth diffs and a snapshot by MEXC's newest sync rule.

Diffs are kept until a snapshot comes; those that the snapshot holds already are dropped, the first that goes
beyond it may straddle it, and from there each must begin where the one before ended. Where one does not, the
book is lost and says so: it is never quietly wrong. Quantities are absolute, so a diff that begins earlier
than needed brings the book to exactly where it ends. Source: MEXC spot v3, "How to properly maintain a local
order book", 2026.

Prices and quantities stay the text they came in until somebody reads them. A level that is gone keeps its
place, with a quantity of zero, because most that go come back; places are cleared when too many stay empty.
"""

from __future__ import annotations

import math
import re
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from itertools import islice

from mexclab.domain.market import Book, Level, Symbol
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.depth_cut import DepthCut
from mexclab.venues.mexc.frames import DepthDiff

MOST_KEPT = 20_000  # diffs that wait for a snapshot
MOST_LEVELS = 100_000  # of a side; more than that is no book of this venue
MOST_OLD = 256  # diffs in a row that tell nothing new: the venue counts from somewhere else
EMPTY_PLACES = 1_000  # that a side may keep at least
SPARE = 15  # levels beyond those that are shown, for when some of those go
EMPTY_SEEN = 20  # more of them among the best levels are cleared away
_PRICE = re.compile(rb"([0-9]{1,18})(?:\.([0-9]{0,24}))?")
_TO_BLANKS = bytes(byte if byte in b"0123456789." else 0x20 for byte in range(256))


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


class _Side:
    """One side: prices as they are written, their quantities, and their order."""

    def __init__(self, sign: int) -> None:
        self._sign = sign  # of the keys: the best price has the largest
        self._scale = 0  # digits after the point of the finest price so far
        self._room = EMPTY_PLACES
        self._quantities: dict[bytes, bytes] = {}
        self._order: list[tuple[int, bytes]] = []  # best last
        self._spelled: dict[int, bytes] = {}  # how a price was written first
        self._shown = _Shown(0, [], [], [], ())
        self._is_moved = self._is_touched = True  # since shown: places came or went, quantities changed

    def __len__(self) -> int:
        return len(self._quantities)

    def clear(self) -> None:
        self._quantities.clear()
        self._order.clear()
        self._spelled.clear()
        self._room = EMPTY_PLACES
        self._is_moved = self._is_touched = True

    def update(self, levels: bytes) -> None:
        """Set the levels of a frame, as ``DepthCut`` cuts them.

        Raises:
            ValueError: a price is none; none of these levels that is new was taken.
        """
        quantities = self._quantities
        before = len(quantities)
        numbers = iter(levels.translate(_TO_BLANKS).split())
        quantities.update(zip(numbers, numbers))  # noqa: B905  one iterator cannot be longer than itself
        self._is_touched = True
        if len(quantities) != before:
            self._place(len(quantities) - before)

    def put(self, price: Decimal, quantity: Decimal) -> None:
        """Set one level; the price must be above zero."""
        text = format(price, "f").encode()
        before = len(self._quantities)
        self._quantities[text] = format(quantity, "f").encode()
        self._is_touched = True
        if len(self._quantities) != before:
            self._place(1)

    def _place(self, count: int) -> None:
        """Give the ``count`` newest prices their places."""
        quantities = self._quantities
        fresh = list(islice(reversed(quantities), count))[::-1]
        for text in fresh:
            if not _PRICE.fullmatch(text) or not text.strip(b"0."):
                for new in fresh:
                    del quantities[new]
                raise ValueError("is no price")
        for text in fresh:
            key = self._key(text)
            known = self._spelled.setdefault(key, text)
            if known is text:
                insort(self._order, (key, text))
                self._is_moved |= key > self._shown.floor
            else:  # another spelling of the same price
                quantities[known] = quantities.pop(text)
        if len(quantities) > self._room:
            self._clear_places()

    def _key(self, text: bytes) -> int:
        """The price as a whole number of the finest step so far."""
        whole, _, rest = text.partition(b".")
        rest = rest.rstrip(b"0")
        if len(rest) > self._scale:
            factor = 10 ** (len(rest) - self._scale)
            self._scale = len(rest)
            self._order = [(key * factor, known) for key, known in self._order]
            self._spelled = {key * factor: known for key, known in self._spelled.items()}
            self._is_moved = True
        return self._sign * int(whole + rest.ljust(self._scale, b"0"))

    def _clear_places(self) -> None:
        """Forget prices at which there is nothing."""
        full = {text: quantity for text, quantity in self._quantities.items() if quantity.strip(b"0.")}
        if len(full) > MOST_LEVELS:
            raise VenueUnavailable(
                f"an order book of more than {MOST_LEVELS} levels a side is none of this venue"
            )
        self._quantities = full
        self._order = [(key, text) for key, text in self._order if text in full]
        self._spelled = dict(self._order)
        self._is_moved = True
        self._room = 2 * len(full) + EMPTY_PLACES

    def best(self, depth: int) -> tuple[Level, ...]:
        """The best levels, at most ``depth`` of them.

        Raises:
            ValueError: a quantity among them is no number.
        """
        shown = self._shown
        if self._is_moved or shown.depth != depth:
            shown = self._look(depth)
        elif self._is_touched:
            now = list(map(self._quantities.__getitem__, shown.prices))
            if now != shown.quantities:
                for place, (text, quantity) in enumerate(zip(shown.prices, now, strict=True)):
                    if quantity is not shown.quantities[place]:
                        shown.levels[place] = _level(text, quantity)
                shown.quantities = now
                shown.best = tuple(filter(None, shown.levels))[:depth]
                if len(shown.best) < depth and len(now) < len(self._order):
                    shown = self._look(depth)
        self._is_touched = self._is_moved = False
        self._shown = shown
        return shown.best

    def _look(self, depth: int) -> _Shown:
        """See from the best place on how many it takes to show ``depth`` levels, and some to spare."""
        shown = zip(self._shown.quantities, self._shown.levels, strict=True)
        known = dict(zip(self._shown.prices, shown, strict=True))
        found = _Shown(depth, [], [], [], ())
        full = 0
        for _, text in reversed(self._order):
            quantity = self._quantities[text]
            before, level = known.get(text, (None, None))
            if quantity is not before:
                level = _level(text, quantity)
            found.prices.append(text)
            found.quantities.append(quantity)
            found.levels.append(level)
            full += level is not None
            if full == depth + SPARE:
                break
        found.best = tuple(filter(None, found.levels))[:depth]
        if full == depth + SPARE:
            found.floor = self._order[-len(found.prices)][0]
        if len(found.levels) - full > EMPTY_SEEN:
            self._clear_best(len(found.levels))
            return self._look(depth)
        return found

    def _clear_best(self, count: int) -> None:
        """Forget the empty ones of the best places, which would be passed over again and again."""
        seen = self._order[-count:]
        empty = {entry for entry in seen if not self._quantities[entry[1]].strip(b"0.")}
        self._order[-count:] = [entry for entry in seen if entry not in empty]
        for key, text in empty:
            del self._quantities[text], self._spelled[key]


@dataclass(slots=True)
class _Shown:
    """The best places as they were shown last, empty ones among them."""

    depth: int
    prices: list[bytes]
    quantities: list[bytes]
    levels: list[Level | None]
    best: tuple[Level, ...]
    floor: float = -math.inf  # the key of the last of them; beyond it nothing is shown


def _level(price: bytes, quantity: bytes) -> Level | None:
    """A level as others see it; None where there is nothing.

    Raises:
        ValueError: the quantity is no number.
    """
    if quantity == b"0" or not quantity.strip(b"0."):
        return None
    try:
        return Level(Decimal(price.decode()), Decimal(quantity.decode()))
    except InvalidOperation:
        raise ValueError("is no number") from None


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
        self._asks, self._bids = _Side(-1), _Side(1)
        self._kept: list[tuple[int, int, bytes | DepthDiff]] = []
        self._old = 0

    def __len__(self) -> int:
        """Places that are kept, empty ones among them."""
        return len(self._asks) + len(self._bids)

    # -- what comes in ---------------------------------------------------------------------------

    def take(self, frame: bytes) -> Step:
        """Take a frame of the depth channel in.

        Raises:
            VenueUnavailable: it cannot be read; the book is lost.
        """
        found = self._cut(frame)
        if found is not None:
            first, last, asks, bids = found
            if first - 1 == self.version and first <= last:
                if self._update(asks, bids):
                    self.version = last
                    self.applied += 1
                    self._old = 0
                    return Step.APPLIED
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
        for side, levels in ((self._asks, snapshot.asks), (self._bids, snapshot.bids)):
            for price, quantity in levels:
                if not (price > 0 and quantity >= 0):
                    self._clear()
                    raise VenueUnavailable(f"the snapshot of {self.symbol} holds a number below zero")
                side.put(price, quantity)
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
        self._asks.clear()
        self._bids.clear()

    def _apply(self, diff: bytes | DepthDiff) -> None:
        if isinstance(diff, bytes):
            found = self._cut(diff)
            if found is not None and self._update(found[2], found[3]):
                return
            diff = self._slowly(diff)
        for side, levels in ((self._asks, diff.asks), (self._bids, diff.bids)):
            for price, quantity in levels:
                side.put(price, quantity)

    def _update(self, asks: bytes, bids: bytes) -> bool:
        """Set the levels of a frame; False: a price is none, and the schema must say so."""
        try:
            if asks:
                self._asks.update(asks)
            if bids:
                self._bids.update(bids)
        except ValueError:
            return False
        except VenueUnavailable as error:
            self.lose(error.message)
            raise
        return True

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
            bids, asks = self._bids.best(depth), self._asks.best(depth)
        except ValueError:
            self.lose("a quantity is no number")
            return None
        return Book(self.symbol, bids, asks, at_ns, self.version)
