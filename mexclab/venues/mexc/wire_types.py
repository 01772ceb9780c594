"""Numbers, names and times as MEXC writes them, and the crossing into ours: exact, bounded, or refused."""

from __future__ import annotations

import functools
import re
from abc import ABC
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec

from mexclab.domain.clock import MILLISECOND

T = TypeVar("T")

LATEST_MS = 9_000_000_000_000  # the year 2255; nanoseconds still fit 64 bits
_PLAIN = re.compile(r"\d{1,18}(?:\.\d{1,24})?\Z", re.ASCII).match
_SHORT = 9  # characters
_RAISED = re.compile(r"-?\d{1,18}(?:\.\d{1,24})?[eE][+-]?\d{1,2}\Z", re.ASCII)

if TYPE_CHECKING:
    Amount: TypeAlias = Decimal
    Positive: TypeAlias = Decimal
    Change: TypeAlias = Decimal
else:

    class Amount(ABC):  # noqa: B024  a Decimal, read by our own rules instead of the decoder's
        """A price, quantity or fee: zero or more."""

    class Positive(ABC):  # noqa: B024
        """A price or quantity of something that happened: above zero."""

    class Change(ABC):  # noqa: B024
        """A difference: of either sign."""

    for _kind in (Amount, Positive, Change):
        _kind.register(Decimal)

Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]  # milliseconds since the Unix epoch, UTC
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Small: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Decimals: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=24)]  # digits after the point
# a coin or pair in any alphabet: "索拉拉USDT", "GOLD(PAXG)USDT"; never blank, never a path
Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[^\s/\\\x00-\x1f\x7f]+\Z", max_length=64)]
Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+\Z", max_length=128)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=10_000)]


class Unreadable:
    """Stands where a value was that nobody can read: no type takes it. ``why`` says what was wrong."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class Rows(list[T]):
    """Rows that were read; ``left_out`` counts those that could not be."""

    def __init__(self, rows: Iterable[T] = (), left_out: int = 0) -> None:
        super().__init__(rows)
        self.left_out = left_out


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, gc=False):
    """A payload. Fields without a default are the ones that we need.

    Unknown fields are forbidden so that the plain way of decoding sees them; the tolerant reader then
    tells of them and goes on.
    """


class WireArray(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A payload that is a JSON array with a meaning for each place."""


def number(text: str) -> Decimal:
    """The exact number that ``text`` writes.

    Raises:
        ValueError: it is no finite decimal number of at most 18 digits before and 24 after the point.
    """
    if _PLAIN(text):
        return Decimal(text)
    if _RAISED.match(text):
        text = format(Decimal(text), "f")
    size = text.removeprefix("-")
    if not _PLAIN(size):
        raise ValueError("is no number that a price or quantity can be")
    return Decimal(text) or Decimal(size)  # minus nothing is nothing


_common = functools.lru_cache(4096)(number)  # fees, bands and least values are the same in thousands of rows


def figure(text: str) -> Decimal | Unreadable:
    """A number that JSON writes bare, with a point or an exponent."""
    try:
        return number(text)
    except ValueError as wrong:
        return Unreadable(str(wrong))


def read_custom(kind: type[Any], value: object) -> Decimal:
    """What msgspec calls for our own kinds of numbers.

    Raises:
        ValueError: the value is none of that kind; the sentence holds no part of it.
    """
    if type(value) is str:
        found = _common(value) if len(value) <= _SHORT else number(value)
    elif type(value) is int:
        found = number(str(value) if abs(value) < 10**18 else "")
    elif type(value) is Decimal:
        found = value  # read by ``figure``
    else:
        raise ValueError("is no number")
    if found.is_signed() and kind is not Change:
        raise ValueError("is below zero")
    if kind is Positive and not found:
        raise ValueError("is not above zero")
    return found


def ns(ms: int) -> int:
    """Milliseconds of the wire in nanoseconds."""
    return ms * MILLISECOND


def step(decimals: int) -> Decimal:
    """The smallest step of a grid with that many digits after the point."""
    return Decimal(1).scaleb(-decimals)
