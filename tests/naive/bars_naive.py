"""What a bar is, said for one row; the twin of `mexclab.store.lake_checks.bar_checks`."""

from __future__ import annotations

from datetime import datetime


def is_minute_bar(row: dict[str, object]) -> bool:
    """Whether this row is a bar of one minute."""
    o, h, low, c, v = (row[name] for name in ("open", "high", "low", "close", "volume"))
    for value in (o, h, low, c, v):
        if not isinstance(value, float) or value != value or abs(value) == float("inf"):
            return False
    moment = row["ts"]
    if not isinstance(moment, datetime) or moment.year < 2009 or moment.second or moment.microsecond:
        return False
    return min(o, h, low, c) > 0 and v >= 0 and low <= o <= h and low <= c <= h and bool(row["symbol"])
