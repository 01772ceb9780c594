"""Words for time: units in nanoseconds, and how a moment is written for people."""

from __future__ import annotations

from datetime import UTC, datetime

from mexclab.errors import DomainError

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
AHEAD_NS = SECOND  # what is stamped further ahead of our clock than this is of no age that we know


def is_older(at_ns: int, now_ns: int, most_ns: int) -> bool:
    """Whether something is older than ``most_ns``, or of no age that we know: stamped after ``now_ns``."""
    return not -AHEAD_NS <= now_ns - at_ns <= most_ns


def utc(at_ns: int) -> datetime:
    """The moment as an aware ``datetime`` (microseconds; the rest is dropped)."""
    seconds, rest = divmod(at_ns, SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // MICROSECOND)


def written(at_ns: int) -> str:
    """The moment for people, with its zone: ``2026-05-20 14:00:00 UTC``."""
    return utc(at_ns).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(duration_ns: int) -> str:
    """A duration for people: ``4 h 05 min``, ``12.5 s``, ``80 ms``; negative ones with a minus."""
    sign, size = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if size < SECOND:
        return f"{sign}{size / MILLISECOND:.3g} ms"
    if size < MINUTE:
        return f"{sign}{size / SECOND:.3g} s"
    minutes = size // MINUTE
    if minutes < 60:
        return f"{sign}{minutes} min {size // SECOND % 60:02d} s"
    return f"{sign}{minutes // 60} h {minutes % 60:02d} min"


def from_utc(moment: datetime) -> int:
    """Nanoseconds since the epoch.

    Raises:
        DomainError: the moment has no zone, so nobody can say when it is.
    """
    if moment.tzinfo is None:
        raise DomainError(f"{moment!r} has no time zone; give an aware datetime, in UTC", value=str(moment))
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * MICROSECOND
