"""Frozen values that come into being quickly are in all else what they were."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from decimal import Decimal

import pytest

from mexclab.domain.market import Level, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.values import changed, quick
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class Plain:
    """As it comes."""

    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise DomainError("a is below zero")


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """Made faster."""

    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise DomainError("a is below zero")


def order() -> Order:
    quantity, price = Decimal("12.5"), Decimal("0.04")
    return Order(
        "s-b-1", Symbol("ABC"), Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, quantity, price, decided_ns=7
    )


@pytest.mark.parametrize("arguments", [(1,), (1, "x"), (1, "x", [2])])
def test_a_quick_value_holds_what_a_plain_one_does(arguments: tuple[object, ...]) -> None:
    plain, made = Plain(*arguments), Quick(*arguments)  # type: ignore[arg-type]
    assert [getattr(made, each.name) for each in fields(made)] == [
        getattr(plain, each.name) for each in fields(plain)
    ]
    assert repr(made) == repr(plain).replace("Plain", "Quick")
    assert made == Quick(*arguments)  # type: ignore[arg-type]
    assert made != Quick(2)
    assert replace(made, a=5).a == 5


def test_a_quick_value_is_frozen_checked_and_takes_names() -> None:
    made = Quick(b="y", a=3)
    assert (made.a, made.b, made.c) == (3, "y", [])
    assert made.c is not Quick(3).c
    with pytest.raises(FrozenInstanceError):
        made.a = 4  # type: ignore[misc]
    with pytest.raises(DomainError):
        Quick(-1)
    for wrong in ({}, {"a": 1, "d": 2}):
        with pytest.raises(TypeError):
            Quick(**wrong)  # type: ignore[arg-type]


def test_a_quick_value_tells_its_own_constructor() -> None:
    assert list(inspect.signature(Quick).parameters) == ["a", "b", "c"]
    assert Quick.__init__.__annotations__ == Plain.__init__.__annotations__
    assert Quick.__init__.__qualname__ == "Quick.__init__"
    assert hash(Level(Decimal(1), Decimal(2))) == hash(Level(Decimal("1.0"), Decimal(2)))


def test_a_changed_value_is_what_replace_makes_of_it() -> None:
    before = order()
    fill = Fill("t", "s-b-1", Symbol("ABC"), Side.BUY, Decimal(1), Decimal(1), Decimal(0), "USDT", 9)
    changes = {"state": OrderState.SENT, "fills": (fill,), "why": "because"}
    assert changed(before, **changes) == replace(before, **changes)  # type: ignore[arg-type]
    assert changed(before) == before == order()


def test_a_changed_value_is_held_against_its_rules() -> None:
    with pytest.raises(DomainError):
        changed(order(), quantity=Decimal(0))
    with pytest.raises(KeyError):
        changed(order(), amount=Decimal(1))
