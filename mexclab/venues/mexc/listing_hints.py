"""What the title of an announcement hints at. A hint is for people to read: nothing is traded on a title."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mexclab.domain.clock import from_utc
from mexclab.venues.mexc.wire_listings import AnnouncementRow
from mexclab.venues.mexc.wire_types import ns

_IN_BRACKETS = re.compile(r"\(([^\s()]{1,20})\)")
_PAIR = re.compile(r"(?<![A-Z0-9])([A-Z0-9]{1,20}?)[/_]?USDT(?![A-Z0-9])")
_DAY, _TIME = r"(\d{4})-(\d{2})-(\d{2})", r"(\d{2}):(\d{2})(?::(\d{2}))?"
_MOMENT = re.compile(rf"{_DAY}[ T,]+{_TIME}\s*\(?UTC(?![+\-\d])", re.ASCII)
_NO_TICKER = frozenset({"UTC", "UTC+8", "API"})


@dataclass(frozen=True, slots=True)
class Hint:
    """An announcement, with the ticker and the moment that its title names, if it names them plainly."""

    title: str
    url: str
    posted_ns: int
    ticker: str | None
    at_ns: int | None


def hint_of(row: AnnouncementRow) -> Hint:
    """Read a title: ``NOVA Chain (NOVA) ... 2030-01-01 10:00 (UTC)``. Other time zones are not guessed."""
    return Hint(row.title, row.url or "", ns(row.post_time), _ticker(row.title), _moment(row.title))


def hints_of(rows: Iterable[AnnouncementRow]) -> tuple[Hint, ...]:
    return tuple(hint_of(row) for row in rows)


def _ticker(title: str) -> str | None:
    for name in _IN_BRACKETS.findall(title):
        if name not in _NO_TICKER and name == name.upper():
            return str(name)
    pair = _PAIR.search(title)
    return pair[1] if pair else None


def _moment(title: str) -> int | None:
    found = _MOMENT.search(title)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return from_utc(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    except ValueError:
        return None
