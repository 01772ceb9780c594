"""Rows of a frozen value type as columns of JSON: smaller than row by row, and read back much faster.

A value type with n fields becomes n columns. A column whose values repeat holds each of them once, and the
place of each row among them, so that rows share what they have in common (symbols, states, names). A field
that holds tuples of a value type becomes a table of its own, with how many of its rows belong to each.

Nothing is taken for the same that is only equal: ``Decimal("1.0")`` and ``Decimal("1.00")`` stay two values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from itertools import accumulate, chain, pairwise, repeat
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from mexclab.store.codec import plain

T = TypeVar("T")
_EXACT = (str, int, bool, type(None))  # of these, what is equal is the same
_NOTHING = msgspec.Raw()
_encoder = msgspec.json.Encoder(enc_hook=plain, decimal_format="string")


class _Column(msgspec.Struct, omit_defaults=True):
    """One field of all rows: the values, or places among ``once``, or the rows of a table."""

    values: msgspec.Raw = _NOTHING
    once: msgspec.Raw = _NOTHING
    places: list[int] = []
    counts: list[int] | None = None
    table: msgspec.Raw = _NOTHING


class _Table(msgspec.Struct):
    rows: int
    columns: dict[str, _Column]


_tables = msgspec.json.Decoder(_Table)


def write(kind: type[T], rows: Sequence[T]) -> bytes:
    """The rows as JSON; ``read`` gives them back digit for digit.

    Raises:
        NotImplementedError, TypeError: a row holds something that JSON cannot.
    """
    columns = {
        name: _written(type_, [getattr(row, name) for row in rows]) for name, type_ in _fields(kind).items()
    }
    return _encoder.encode(_Table(len(rows), columns))


def read(kind: type[T], text: bytes | msgspec.Raw) -> list[T]:
    """The rows behind what ``write`` gave.

    Every value is of its type, but the rules of ``kind`` itself (``__post_init__``) are not asked again:
    whoever reads must know by other means, such as a seal, that this is what was written.

    Raises:
        msgspec.MsgspecError, LookupError, ValueError: it is not such a table.
    """
    table, types = _tables.decode(text), _fields(kind)
    if table.columns.keys() != types.keys():
        raise ValueError(f"a table of {kind.__name__} has the columns {', '.join(types)}")
    rows = [object.__new__(kind) for _ in repeat(None, table.rows)]
    for name, type_ in types.items():
        column = _read(type_, table.columns[name])
        if len(column) != table.rows:
            raise ValueError(f"column {name} of {kind.__name__} is not as long as its table")
        # the slot itself, called from C for all rows: a frozen __init__ would take five times as long
        deque(map(kind.__dict__[name].__set__, rows, column), maxlen=0)
    return rows


def _written(type_: Any, values: list[Any]) -> _Column:
    part = _part(type_)
    if part is not None:
        flat = list(chain.from_iterable(values))
        return _Column(counts=[len(value) for value in values], table=msgspec.Raw(write(part, flat)))
    is_row = is_dataclass(type_)
    if type_ is Decimal:  # seldom the same, and quick to read
        return _Column(values=msgspec.Raw(_encoder.encode(values)))
    keys = values if _is_exact(type_) else [_encoder.encode(value) for value in values]
    once = dict(zip(keys, values, strict=True))  # of equal keys any value will do
    if 2 * len(once) <= len(values):
        at = {key: place for place, key in enumerate(once)}
        listed = write(type_, list(once.values())) if is_row else _encoder.encode(list(once.values()))
        return _Column(once=msgspec.Raw(listed), places=list(map(at.__getitem__, keys)))
    if is_row:
        return _Column(table=msgspec.Raw(write(type_, values)))
    return _Column(values=msgspec.Raw(_encoder.encode(values)))


def _read(type_: Any, column: _Column) -> Sequence[Any]:
    if column.counts is not None:
        return _grouped(read(_part(type_), column.table), column.counts)
    if column.table:
        return read(type_, column.table)
    if not column.once:
        return _decoded(type_, column.values)
    listed: Any = read if is_dataclass(type_) else _decoded
    once = listed(type_, column.once)
    if column.places and min(column.places) < 0:
        raise ValueError("a place is below zero")
    return list(map(once.__getitem__, column.places))


def _decoded(type_: Any, text: msgspec.Raw) -> list[Any]:
    return _decoder(type_).decode(text)


def _grouped(rows: list[T], counts: Iterable[int]) -> list[tuple[T, ...]]:
    ends = list(accumulate(counts, initial=0))
    if ends[-1] != len(rows) or ends != sorted(ends):
        raise ValueError("a table and its counts do not belong together")
    return [tuple(rows[start:end]) for start, end in pairwise(ends)]


def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def _part(type_: Any) -> Any:
    """The value type of which ``type_`` is a tuple of any length; None when it is something else."""
    arguments = get_args(type_)
    is_rows = get_origin(type_) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis
    return arguments[0] if is_rows and is_dataclass(arguments[0]) else None


@cache
def _is_exact(type_: Any) -> bool:
    """Whether equal values of this type are the same to the last digit."""
    if get_origin(type_) in (Union, UnionType):
        return all(map(_is_exact, get_args(type_)))
    if is_dataclass(type_) and isinstance(type_, type):
        return all(map(_is_exact, _fields(type_).values()))
    return type_ in _EXACT or (isinstance(type_, type) and issubclass(type_, Enum))


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[list[Any]]:
    return msgspec.json.Decoder(list[type_])
