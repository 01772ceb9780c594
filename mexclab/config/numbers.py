"""Types of numbers and words in settings: exact, bounded, never a binary float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

MOST_PLACES = 30


def _exact(value: Any) -> Any:
    """Text and whole numbers as :class:`Decimal`; a float by its shortest digits, never its binary noise."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return value
    if number.is_finite() and number and not -MOST_PLACES <= number.adjusted() <= MOST_PLACES:
        raise ValueError(f"must be written with at most {MOST_PLACES} places")
    return number


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Exact = Annotated[Decimal, BeforeValidator(_exact)]
Money = Annotated[Exact, Field(le=Decimal(10**9))]
Code = Annotated[int, Field(ge=0, le=99)]
Port = Annotated[int, Field(ge=0, le=65535)]
Triples = Annotated[tuple[tuple[Code, Code, Code], ...], BeforeValidator(_tuples), Field(min_length=1)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
Fraction = Annotated[Exact, Field(gt=0, le=1)]
