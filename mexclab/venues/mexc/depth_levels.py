"""The levels of a book: prices and quantities as they are written, in order, and read when somebody looks.

A level that is gone keeps its place, with a quantity of zero, because most that go come back; places are
given up when too many are empty. A quantity stays the text that it came in: what is never shown is never
converted.
"""

from __future__ import annotations

import math
import re
from bisect import insort
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from mexclab.domain.market import Level

MOST_LEVELS = 100_000  # more than that is no book of this venue
MOST_KNOWN = 20_000  # beginnings of levels that are remembered
EMPTY_PLACES = 2_000  # that may be kept at least
EMPTY_SEEN = 20  # more of them among the best levels are given up
LONGEST_LEVEL = 0x2A  # bytes; a size above it could be taken for a sign, a point or a digit
_ASK, _BID = 0x0A, 0x12  # tags of their levels
_PRICE = re.compile(rb"[0-9]{1,18}(?:\.[0-9]{0,24})?").fullmatch
_QUANTITY = re.compile(rb"[0-9]{1,18}(?:\.[0-9]{1,24})?").fullmatch
_DIGITS_AND_SIZES = bytes([*range(LONGEST_LEVEL + 1), *b".0123456789"])


class _Side:
    """The places of one side. A place is named by the side's letter and the price as it was written first."""

    def __init__(self, letter: bytes, sign: int, quantities: dict[bytes, bytes]) -> None:
        self._letter = letter
        self._sign = sign  # of the keys: the best price has the largest
        self._scale = 0  # digits after the point of the finest price so far
        self._quantities = quantities
        self._names: dict[int, bytes] = {}
        self._written: dict[bytes, bytes] = {}  # price -> name
        self._order: list[tuple[int, bytes]] = []  # best last
        self._made: dict[bytes, tuple[bytes, Level | None]] = {}  # as shown last, with the quantity's text
        self._shown = _Shown(0, [], [], ())
        self._is_moved = True  # since shown: better places came, or places went

    def clear(self) -> None:
        self._names.clear()
        self._written.clear()
        self._order.clear()
        self._made.clear()
        self._is_moved = True

    def name(self, price: bytes) -> bytes | None:
        """The place of a price, however it is written; None: it is no price."""
        name = self._written.get(price)
        if name is None and _PRICE(price) and price.strip(b"0."):
            name = self._names.setdefault(self._key(price), self._letter + price)
            self._written[price] = name
        return name

    def _key(self, price: bytes) -> int:
        """The price as a whole number of the finest step so far."""
        whole, _, rest = price.partition(b".")
        rest = rest.rstrip(b"0")
        if len(rest) > self._scale:
            factor = 10 ** (len(rest) - self._scale)
            self._scale = len(rest)
            self._order = [(key * factor, name) for key, name in self._order]
            self._names = {key * factor: name for key, name in self._names.items()}
            self._is_moved = True
        return self._sign * int(whole + rest.ljust(self._scale, b"0"))

    def insert(self, name: bytes) -> None:
        key = self._key(name[1:])
        insort(self._order, (key, name))
        self._is_moved |= key > self._shown.floor

    def keep(self, full: dict[bytes, bytes]) -> None:
        """Give up all places but these."""
        self._order = [entry for entry in self._order if entry[1] in full]
        self._names = dict(self._order)
        self._written.clear()
        self._made = {name: made for name, made in self._made.items() if name in full}
        self._is_moved = True

    def best(self, depth: int) -> tuple[Level, ...]:
        """The best levels, at most ``depth`` of them.

        Raises:
            ValueError: a quantity among them is no number.
        """
        quantities, made, shown = self._quantities, self._made, self._shown
        if not self._is_moved and shown.depth == depth:
            now = list(map(quantities.__getitem__, shown.names))
            if now == shown.quantities:
                return shown.levels
        found = _Shown(depth, [], [], ())
        levels: list[Level] = []
        for key, name in reversed(self._order):
            quantity = quantities[name]
            known = made.get(name)
            if known is None or known[0] is not quantity:
                known = made[name] = (quantity, _level(name, quantity, known and known[1]))
            found.names.append(name)
            found.quantities.append(quantity)
            if known[1] is not None:
                levels.append(known[1])
                if len(levels) == depth:
                    found.floor = key
                    break
        found.levels = tuple(levels)
        if len(found.names) - len(levels) > EMPTY_SEEN:
            self._give_up(len(found.names))
        else:
            self._shown, self._is_moved = found, False
        return found.levels

    def _give_up(self, count: int) -> None:
        """Give up the empty ones of the best places, which would be passed over again and again."""
        seen = self._order[-count:]
        self._order[-count:] = [entry for entry in seen if self._made[entry[1]][1] is not None]
        for _, name in seen:
            if self._made[name][1] is None:
                del self._quantities[name], self._made[name]
        self._is_moved = True


@dataclass(slots=True)
class _Shown:
    """What was shown last, and the places that it was found at, empty ones among them."""

    depth: int
    names: list[bytes]
    quantities: list[bytes]
    levels: tuple[Level, ...]
    floor: float = -math.inf  # the key of the last place; what lies beyond is not shown


class DepthLevels:
    """Both sides of a book.

    Attributes:
        is_overgrown: there are more levels than a book of this venue can have.
    """

    def __init__(self) -> None:
        self.is_overgrown = False
        self._quantities: dict[bytes, bytes] = {}  # of both sides, by the names of the places
        self._known: dict[bytes, tuple[bytes, int]] = {}  # a level up to its quantity -> its place and size
        self._room = EMPTY_PLACES
        self._asks = _Side(b"a", -1, self._quantities)
        self._bids = _Side(b"b", 1, self._quantities)
        self._sides = {_ASK: self._asks, _BID: self._bids}

    def __len__(self) -> int:
        """Places that are kept, empty ones among them."""
        return len(self._quantities)

    def clear(self) -> None:
        self._quantities.clear()
        self._known.clear()
        self.is_overgrown = False
        self._asks.clear()
        self._bids.clear()

    def walk(self, frame: bytes, at: int, end: int) -> bool:
        """Set the levels that lie between two positions of a frame; False: they are no levels as usual.

        A level is ``tag size 0A size price 12 size quantity``. All of it up to the quantity is looked up in
        one piece: what is known was checked, sizes included, when it was learnt. This is the hot loop of the
        stream. Where it gives up half-way, the same levels must be set again from the schema's reading:
        they are absolute.
        """
        if frame[at:end].translate(None, _DIGITS_AND_SIZES):
            return False
        known, quantities = self._known.get, self._quantities
        before = len(quantities)
        try:
            while at < end:
                start = at + frame[at + 3] + 6
                head = frame[at:start]
                entry = known(head)
                if entry is None:
                    entry = self._learn(head)
                name, size = entry
                at += size
                quantities[name] = frame[start:at]
        except (ValueError, IndexError):
            return False
        if len(quantities) != before:
            self._insert(len(quantities) - before)
        return at == end

    def _learn(self, head: bytes) -> tuple[bytes, int]:
        """Check a level up to its quantity, and remember it.

        Raises:
            ValueError: it is no level as we know them.
            IndexError: it is cut off.
        """
        price, rest = head[4:-2], head[-1]
        size = len(price) + rest + 4
        side = self._sides.get(head[0])
        name = side.name(price) if side is not None else None
        if name is None or not rest or size > LONGEST_LEVEL or head[-2] != 0x12:
            raise ValueError("is no level")
        if head[1] != size or head[2] != 0x0A or head[3] != len(price):
            raise ValueError("is laid out in another way")
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        entry = self._known[head] = (name, size + 2)
        return entry

    def put(self, is_ask: bool, price: Decimal, quantity: Decimal) -> None:
        """Set one level; the price must be above zero, the quantity not below."""
        name = (self._asks if is_ask else self._bids).name(format(price, "f").encode())
        assert name is not None, "a price above zero"
        before = len(self._quantities)
        self._quantities[name] = format(quantity, "f").encode()
        if len(self._quantities) != before:
            self._insert(1)

    def _insert(self, count: int) -> None:
        """Put the newest places in order."""
        for name in list(islice(reversed(self._quantities), count)):
            (self._asks if name[:1] == b"a" else self._bids).insert(name)
        if len(self._quantities) <= self._room:
            return
        full = {name: quantity for name, quantity in self._quantities.items() if not _is_empty(quantity)}
        self.is_overgrown = len(full) > MOST_LEVELS
        self._quantities.clear()
        self._quantities.update(full)
        self._known.clear()
        self._asks.keep(full)
        self._bids.keep(full)
        self._room = 2 * len(full) + EMPTY_PLACES

    def bids(self, depth: int) -> tuple[Level, ...]:
        """The best bids. Raises ``ValueError`` where a quantity among them is no number."""
        return self._bids.best(depth)

    def asks(self, depth: int) -> tuple[Level, ...]:
        """The best asks. Raises ``ValueError`` where a quantity among them is no number."""
        return self._asks.best(depth)


def _is_empty(quantity: bytes) -> bool:
    return quantity == b"0" or (not quantity.strip(b"0.") and bool(_QUANTITY(quantity)))


def _level(name: bytes, quantity: bytes, before: Level | None) -> Level | None:
    """A level as others see it; None where there is nothing.

    Raises:
        ValueError: the quantity is no number.
    """
    if quantity == b"0":
        return None
    if not _QUANTITY(quantity):
        raise ValueError("is no number")
    if not quantity.strip(b"0."):
        return None
    return Level(before.price if before else Decimal(name[1:].decode()), Decimal(quantity.decode()))
