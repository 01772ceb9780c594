"""What a person may give to the Lab: taken as it is meant, or refused in a sentence. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any, SupportsIndex, TypeVar

from mexclab.domain.order import OrderState
from mexclab.errors import ParameterError

Kind = TypeVar("Kind")


def whole(name: str, value: object) -> None:
    """Raises ParameterError unless ``value`` is a whole number: 30 and not 30.0, nor "30", nor True."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ParameterError(f"{name} is a whole number, not {value!r}.", name=name)


def truth(name: str, value: object) -> None:
    """Raises ParameterError unless ``value`` is True or False; the text "no" would count as True."""
    if isinstance(value, bool):
        return
    from numpy import bool_  # a kernel that only looks at the desk loads no data library

    if not isinstance(value, bool_):
        raise ParameterError(f"{name} is True or False, not {value!r}.", name=name)


def of_kind(name: str, value: object, kind: type[Kind], such_as: str) -> Kind:
    """The value; ParameterError unless it is of this class.

    Args:
        such_as: what it should be, for people.
    """
    if not isinstance(value, kind):
        raise ParameterError(f"{name} is {such_as}, not {value!r}.", name=name)
    return value


def known_options(given: Iterable[str], there_are: Iterable[str]) -> None:
    """Raises ParameterError for keywords that nobody knows, and names those there are."""
    names = list(there_are)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ParameterError(f"{', '.join(unknown)}: no such option; there are {', '.join(names)}.")


def above_zero(name: str, value: object) -> None:
    """Raises ParameterError unless ``value`` is a finite number above zero."""
    if not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise ParameterError(f"{name} is a number above zero, not {value!r}.", name=name)


def bars_of(name: str, value: Any) -> tuple[int, ...]:
    """Several numbers of bars, such as horizons; one alone counts as several.

    Raises:
        ParameterError: one of them is no whole number.
    """
    several = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for each in several:
        whole(f"each of {name}", each)
    return several


def price(name: str, value: object) -> Decimal:
    """A price as it was written; ParameterError unless it is a number above zero."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal(0)
    if not found.is_finite() or found <= 0:
        raise ParameterError(f"The price of {name} is a number above zero, not {value!r}.", symbol=name)
    return found


def order_state(state: str) -> str:
    """A state that orders are asked for by; ParameterError where there is no such one."""
    words = ("open", "unknown", "all", *OrderState)
    if state not in words:
        raise ParameterError(f"state is one of {', '.join(words)}, not {state!r}.", state=str(state))
    return state


def reason_in(body: Mapping[str, Any]) -> None:
    """Raises ParameterError where a person's reason is asked for and is empty."""
    if not str(body.get("why", "none asked")).strip():
        raise ParameterError("Nothing was done: say why, in a few words; it is journalled.")
