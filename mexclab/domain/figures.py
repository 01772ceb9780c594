"""Numbers as text for pages and JSON: digit for digit, or to ten digits where they are quotients."""

from __future__ import annotations

from decimal import Context, Decimal

LONGEST = 40  # digits before or after the point
_TEN_DIGITS = Context(prec=10)


def exact(value: Decimal) -> str:
    """The number digit for digit, without zeros behind it; an exponent only where zeros would fill a page."""
    exponent = value.as_tuple().exponent
    is_short = isinstance(exponent, int) and -LONGEST <= exponent <= LONGEST
    text = f"{value:f}" if is_short else str(value)
    return text.rstrip("0").rstrip(".") or "0" if is_short and "." in text else text


def short(value: Decimal) -> str:
    """A quotient, to ten significant digits."""
    return exact(_TEN_DIGITS.plus(value))


def exact_or_none(value: Decimal | None) -> str | None:
    """The same as :func:`exact`; None stays None."""
    return None if value is None else exact(value)


def short_or_none(value: Decimal | None) -> str | None:
    """The same as :func:`short`; None stays None."""
    return None if value is None else short(value)
