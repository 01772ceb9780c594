"""Reading a payload: plainly when it is as described, else field by field, telling every difference.

The plain way costs one pass in C. The tolerant way is taken only where a row differs: unknown fields are told
and dropped, fields that we can do without are told and left at their default, rows that we cannot do without
a field of are told and left out. A list that held rows and keeps none is unreadable, not empty.
"""

from __future__ import annotations

import functools
import json
import re
import typing
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.wire_types import Rows, Unreadable, WireArray, figure, read_custom

See: TypeAlias = Callable[[str, str], None]

_PARSE = msgspec.json.Decoder(float_hook=figure)
_PRINT = msgspec.json.Encoder(enc_hook=lambda _: None)
_HIDDEN_COLON = re.compile(rb"\\u003a", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"-?\d{1,18}\Z", re.ASCII)
_ANOTHER: Final = "stands twice in one object, with different values"


class Misread(ValueError):
    """A value that cannot be read, on its way to whoever can do without it."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field} {what}")
        self.field = field
        self.what = what


def parse(body: bytes, see: See) -> Any:
    """JSON as plain values, exact numbers included; keys that stand twice are told.

    Raises:
        Misread: it is not JSON, or nested too deep.
    """
    try:
        value = _PARSE.decode(body)
        return value if _is_told_once(value, body) else _parse_with_pairs(body, see)
    except (ValueError, RecursionError) as wrong:
        raise Misread("*", "is no JSON that can be read") from wrong


def _is_told_once(value: Any, body: bytes) -> bool:
    """Whether every key stands once in its object.

    A colon follows every key, and of a key that stands twice one is lost in decoding: so both texts have
    equally many colons only when no key was lost.
    """
    try:
        printed = _PRINT.encode(value)
    except OverflowError:  # a whole number beyond 64 bits: the careful way makes it unreadable
        return False
    return printed.count(b":") == body.count(b":") and not _HIDDEN_COLON.search(body)


def _parse_with_pairs(body: bytes, see: See) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        firsts: dict[str, Any] = {}
        for key, value in pairs:
            if key in firsts:
                see(key, "stands twice in one object")
                if not _same(firsts[key], value):
                    found[key] = Unreadable(_ANOTHER)
            else:
                firsts[key] = value
        return found

    return json.loads(body.decode(), object_pairs_hook=once, parse_float=figure, parse_int=_integer)


def _integer(text: str) -> int | Unreadable:
    return int(text) if len(text) <= 19 else Unreadable("is no number that a price or quantity can be")


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and _PRINT.encode(one) == _PRINT.encode(other)


class Reader:
    """The tolerant way through one payload, and where its alarms go."""

    __slots__ = ("_at_ns", "_drift", "_endpoint")

    # rows of these are never left out: a book without one level, or a batch without one answer, is wrong
    INDISPENSABLE: ClassVar[frozenset[str]] = frozenset({"PriceLevel", "BatchItem"})

    def __init__(self, drift: Drift, endpoint: str, at_ns: int) -> None:
        self._drift = drift
        self._endpoint = endpoint
        self._at_ns = at_ns

    def see(self, field: str, what: str) -> None:
        """Tell a difference."""
        self._drift.see(self._endpoint, field, what, self._at_ns)

    def read(self, kind: Any, value: Any, at: str = "") -> Any:
        """``value`` as ``kind``.

        Raises:
            Misread: not even tolerantly.
        """
        try:
            return msgspec.convert(value, kind, dec_hook=read_custom)
        except (msgspec.ValidationError, RecursionError):
            return self._tolerantly(kind, value, at)

    def _tolerantly(self, kind: Any, value: Any, at: str) -> Any:
        origin, parts = _taken_apart(kind)
        if origin is UnionType:
            return None if value is None else self._tolerantly(parts[0], value, at)
        if origin is list:
            return self._rows(parts[0], value, at)
        if origin is dict:
            return self._groups(parts[0], parts[1], value, at)
        if isinstance(kind, type) and issubclass(kind, WireArray):
            return self._array(kind, value, at)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._object(kind, value, at)
        return self._leaf(kind, value, at)

    def _object(self, kind: type[msgspec.Struct], value: Any, at: str) -> Any:
        if not isinstance(value, dict):
            raise Misread(at or "*", f"is {_sort(value)} instead of an object")
        known = _names(kind)
        if unknown := value.keys() - known:
            for name in sorted(unknown):
                self.see(_below(at, name), "is a new field")
            value = {name: value[name] for name in value.keys() & known}
            try:
                return msgspec.convert(value, kind, dec_hook=read_custom)
            except msgspec.ValidationError:
                pass
        return kind(**self._fields(kind, value, at))

    def _array(self, kind: type[WireArray], value: Any, at: str) -> Any:
        if not isinstance(value, list):
            raise Misread(at or "*", f"is {_sort(value)} instead of a list")
        fields = msgspec.structs.fields(kind)
        if len(value) > len(fields):
            self.see(f"{at}[{len(fields)}]", "is a new field")
        named = {field.encode_name: item for field, item in zip(fields, value, strict=False)}
        return kind(**self._fields(kind, named, at))

    def _fields(self, kind: type[msgspec.Struct], value: dict[str, Any], at: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            path = _below(at, field.encode_name)
            if field.encode_name not in value:
                if field.required:
                    raise Misread(path, "is missing")
                continue
            try:
                found[field.name] = self._tolerantly(field.type, value[field.encode_name], path)
            except Misread as wrong:
                if field.required:
                    raise
                self.see(wrong.field, wrong.what)
        return found

    def _rows(self, kind: Any, value: Any, at: str) -> Rows[Any]:
        if not isinstance(value, list):
            raise Misread(at or "*", f"is {_sort(value)} instead of a list")
        rows: Rows[Any] = Rows()
        for row in value:
            try:
                rows.append(self.read(kind, row, f"{at}[]"))
            except Misread as wrong:
                if getattr(kind, "__name__", "") in self.INDISPENSABLE:
                    raise
                self.see(wrong.field, f"{wrong.what}; the row is left out")
                rows.left_out += 1
        if value and not rows:
            raise Misread(at or "*", "holds no row that can be read")
        return rows

    def _groups(self, name_kind: Any, kind: Any, value: Any, at: str) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise Misread(at or "*", f"is {_sort(value)} instead of an object")
        found: dict[Any, Any] = {}
        inside = _below(at, "*")
        for name, group in value.items():
            try:
                found[self._leaf(name_kind, name, inside)] = self._tolerantly(kind, group, inside)
            except Misread as wrong:
                self.see(wrong.field, f"{wrong.what}; the group is left out")
        if value and not found:
            raise Misread(at or "*", "holds no group that can be read")
        return found

    def _leaf(self, kind: Any, value: Any, at: str) -> Any:
        origin, parts = _taken_apart(kind)
        plain = parts[0] if origin is Annotated else kind
        if plain is int and isinstance(value, str) and _WHOLE_NUMBER.match(value):
            self.see(at, "is text instead of a number")
            value = int(value)
        elif type(value) is int and (plain is str or (origin is Literal and str(value) in parts)):
            self.see(at, "is a number instead of text")
            value = str(value)
        try:
            return msgspec.convert(value, kind, dec_hook=read_custom)
        except msgspec.ValidationError as wrong:
            if isinstance(value, Unreadable):
                raise Misread(at or "*", value.why) from wrong
            if origin is Literal:
                raise Misread(at or "*", f"is none of {', '.join(parts)}") from wrong
            raise Misread(at or "*", _why(str(wrong))) from wrong


@functools.cache
def _taken_apart(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """What a type is made of; of ``X | None`` only X, and UnionType for either spelling of it."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(kind, "__metadata__"):
        return Annotated, parts
    if origin in (UnionType, typing.Union):
        return UnionType, tuple(part for part in parts if part is not NoneType)
    return origin, parts


@functools.cache
def _names(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


def _why(words: str) -> str:
    return words if words.startswith("is ") else f"is wrong: {words}"


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _sort(value: Any) -> str:
    if isinstance(value, Unreadable):
        return "something unreadable"
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", NoneType: "null"}
    return names.get(type(value), "a number")
