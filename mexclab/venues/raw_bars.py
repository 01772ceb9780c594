"""A bar as it was written on the wire, digit for digit."""

from __future__ import annotations

from typing import NamedTuple


class RawBar(NamedTuple):
    """One bar; "" where a number is missing. ``volume`` is in base units."""

    open_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
