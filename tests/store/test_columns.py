"""Values written as columns come back as they were, digit for digit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import CLIENT_ID, Fill, Order
from mexclab.store import columns


class Hue(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    hue: Hue
    price: Decimal
    peak: Decimal | None
    number: int
    is_tall: bool
    symbol: Symbol
    best: Leaf
    last: Leaf | None
    pairs: tuple[tuple[int, Decimal], ...]
    words: tuple[str, ...]
    leaves: tuple[Leaf, ...] = ()


few = st.sampled_from(["", "a", "b", "§ '\"\\ \0 💥"])
money = st.sampled_from([Decimal(text) for text in ("1", "1.0", "1.00", "0E-8", "-0", "1E+3", "0.1")])
symbols = st.builds(Symbol, st.sampled_from(["ABC", "XYZ"]), st.just("USDT"))
leaves = st.builds(Leaf, few, money)
trees = st.builds(
    Tree,
    name=few | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    price=money | st.decimals(allow_nan=False, allow_infinity=False),
    peak=st.none() | money,
    number=st.integers(-(2**63), 2**64 - 1) | st.integers(0, 1),
    symbol=symbols,
    best=leaves,
    last=st.none() | leaves,
    pairs=st.lists(st.tuples(st.integers(0, 2), money), max_size=2).map(tuple),
    words=st.lists(few, max_size=2).map(tuple),
    leaves=st.lists(leaves, max_size=3).map(tuple),
)


@given(st.lists(trees, max_size=12))
def test_rows_come_back_digit_for_digit(rows: list[Tree]) -> None:
    text = columns.write(Tree, rows)
    again = columns.read(Tree, text)
    assert again == rows
    assert repr(again) == repr(rows)
    assert columns.write(Tree, again) == text


def test_equal_amounts_with_other_digits_are_not_taken_for_each_other() -> None:
    amounts = [Decimal(text) for text in ("1.0", "1.00", "1", "1.0", "1.00", "1")]
    rows = [Leaf("a", amount) for amount in amounts]
    trees = [Tree("", Hue.RED, a, a, 1, True, Symbol("A"), Leaf("", a), None, (), ()) for a in amounts]
    assert repr(columns.read(Leaf, columns.write(Leaf, rows))) == repr(rows)
    assert repr(columns.read(Tree, columns.write(Tree, trees))) == repr(trees)


def test_what_repeats_is_written_once_and_shared() -> None:
    fills = [
        Fill(f"t{n}", "s-entry-1", Symbol("LONGNAME"), Side.BUY, Decimal(n), Decimal(1), Decimal(0), "MX", n)
        for n in range(1, 50)
    ]
    text = columns.write(Fill, fills)
    assert text.count(b"LONGNAME") == 1
    assert len({id(fill.symbol) for fill in columns.read(Fill, text)}) == 1


def test_a_value_that_was_read_is_as_frozen_and_whole_as_any(seed: int) -> None:
    order = Order("s-1-entry-1", Symbol("A"), Side.BUY, "LIMIT", Decimal(seed + 1), Decimal(2))  # type: ignore[arg-type]
    (again,) = columns.read(Order, columns.write(Order, [order]))
    assert CLIENT_ID.match(again.client_id)
    assert (again, hash(again)) == (order, hash(order))
    with pytest.raises(AttributeError):
        again.quantity = Decimal(1)  # type: ignore[misc]


WHOLE = columns.write(Leaf, [Leaf("a", Decimal(1)), Leaf("a", Decimal(2))])
FAULTS = [
    (b'"rows":2', b'"rows":3'),
    (b'"rows":2', b'"rows":-1'),
    (b'"name":', b'"nome":'),
    (b"[0,0]", b"[0,1]"),
    (b"[0,0]", b"[0,-1]"),
    (b"[0,0]", b"[0]"),
    (b'["1","2"]', b'["1"]'),
    (b'["1","2"]', b'["1","x"]'),
    (b'["1","2"]', b'["1",null]'),
    (b"}}}", b"}}"),
]


@pytest.mark.parametrize(("old", "new"), FAULTS)
def test_what_is_no_such_table_is_refused(old: bytes, new: bytes) -> None:
    assert WHOLE.count(old) == 1
    with pytest.raises((msgspec.MsgspecError, LookupError, ValueError)):
        columns.read(Leaf, WHOLE.replace(old, new))


def test_counts_that_do_not_fit_their_table_are_refused() -> None:
    rows = [Tree("", Hue.RED, Decimal(1), None, 1, True, Symbol("A"), Leaf("", Decimal(1)), None, (), ())] * 2
    text = columns.write(Tree, rows)
    assert text.count(b'"counts":[0,0]') == 1
    for counts in (b"[0,1]", b"[1,-1]", b"[0]"):
        with pytest.raises((msgspec.MsgspecError, ValueError)):
            columns.read(Tree, text.replace(b'"counts":[0,0]', b'"counts":' + counts))
