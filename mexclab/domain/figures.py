"""Numbers as text for pages and JSON: digit for digit, or to ten digits where they are quotients."""

from __future__ import annotations

from decimal import Context, Decimal

LONGEST = 40  # digits before or after the point
_TEN_DIGITS = Context(prec=10)


def digits(value: Decimal) -> str:
    """The number digit for digit; with an exponent only where zeros would fill the page."""
    exponent = value.as_tuple().exponent
    is_short = isinstance(exponent, int) and -LONGEST <= exponent <= LONGEST
    return f"{value:f}" if is_short else str(value)


def exact(value: Decimal) -> str:
    """The same without zeros behind it."""
    text = digits(value)
    return text.rstrip("0").rstrip(".") or "0" if "." in text and "E" not in text else text


def ten_digits(value: Decimal) -> Decimal:
    """A quotient, to ten significant digits."""
    return _TEN_DIGITS.plus(value)


def short(value: Decimal) -> str:
    """A quotient as text, to ten significant digits."""
    return exact(ten_digits(value))


def exact_or_none(value: Decimal | None) -> str | None:
    """The same as :func:`exact`; None stays None."""
    return None if value is None else exact(value)


def short_or_none(value: Decimal | None) -> str | None:
    """The same as :func:`short`; None stays None."""
    return None if value is None else short(value)
