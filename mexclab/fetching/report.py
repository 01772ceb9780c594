"""What is asked of a download, and what it did."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, from_utc, utc
from mexclab.errors import ParameterError
from mexclab.store.bar_rows import Span
from mexclab.venues.fetch import HOME

_AGO = re.compile(r"(\d{1,5})\s*([mhdw])\Z")
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


@dataclass(frozen=True, slots=True)
class FetchWishes:
    """A download as it is asked for on the command line.

    Attributes:
        symbols: pairs of the exchange; empty: every pair in ``quote``.
        since, until: ISO text (UTC where it names no zone), or how long ago: ``30d``, ``12h``.
        replace: ask for the whole range again, and let the venue's bars win over the lake's.
        url: another address of the exchange, such as that of a simulator.
    """

    symbols: Sequence[str]
    exchange: str = HOME
    interval: str = "1m"
    since: str = "30d"
    until: str = ""
    replace: bool = False
    url: str = ""
    quote: str = "USDT"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one pair.

    Attributes:
        name: in the lake.
        asked: bars that the lake lacked in the range.
        added, replaced: bars that it has now, or has otherwise.
        missing: bars that it still lacks.
        pages: requests that were answered.
        refused: rows of the venue that are no bars, and why the first is none.
        why: what stopped it; "" when nothing did.
    """

    name: str
    asked: int
    added: int = 0
    replaced: int = 0
    missing: int = 0
    pages: int = 0
    refused: int = 0
    reason: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """The outcome of a download; ``str()`` is for people, ``to_dict`` for machines."""

    exchange: str
    interval: str
    span: Span
    pairs: tuple[Fetched, ...]
    requests: int
    seconds: float

    @property
    def failed(self) -> tuple[Fetched, ...]:
        return tuple(pair for pair in self.pairs if pair.why)

    def total(self, name: str) -> int:
        """The sum over pairs of asked, added, replaced, pages, refused or missing."""
        return sum(getattr(pair, name) for pair in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; times in ISO 8601."""
        names = ("name", "asked", "added", "replaced", "missing", "pages", "refused", "reason", "why")
        return {
            "exchange": self.exchange,
            "interval": self.interval,
            "since": utc(self.span.start_ms * MILLISECOND).isoformat(),
            "until": utc(self.span.end_ms * MILLISECOND).isoformat(),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "pairs": [{name: getattr(pair, name) for name in names} for pair in self.pairs],
        }

    def __str__(self) -> str:
        start, end = (utc(ms * MILLISECOND) for ms in (self.span.start_ms, self.span.end_ms))
        lines = [
            f"{self.exchange}, {self.interval}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: "
            f"{self.total('added'):,} bars added and {self.total('replaced'):,} replaced for "
            f"{len(self.pairs)} pairs, in {self.requests:,} requests and {self.seconds:.1f} s"
        ]
        held = [pair for pair in self.pairs if not pair.asked and not pair.why]
        if held:
            lines.append(f"{len(held)} pairs had every bar of this range already")
        for pair in self.pairs:
            if pair.why:
                lines.append(f"  {pair.name}: stopped, {pair.why}")
            elif pair.missing:
                lines.append(
                    f"  {pair.name}: the venue has nothing for {pair.missing:,} of {pair.asked:,} bars"
                )
            if pair.refused:
                lines.append(f"  {pair.name}: {pair.refused:,} rows are no bars; the first: {pair.reason}")
        return "\n".join(lines)


def span_of(wishes: FetchWishes, now_ns: int, closed_ms: int) -> Span:
    """The range that is wanted, as far as its bars are closed.

    Raises:
        ParameterError: a moment that cannot be read, or nothing lies between the two.
    """
    since = moment_ns(wishes.since, now_ns)
    until = moment_ns(wishes.until, now_ns) if wishes.until else now_ns
    span = Span(-(-since // MILLISECOND), min(-(-until // MILLISECOND), closed_ms))
    if span.end_ms <= span.start_ms:
        raise ParameterError(
            f"no closed {wishes.interval} bar lies from {utc(since):%Y-%m-%d %H:%M} to "
            f"{utc(until):%Y-%m-%d %H:%M} UTC; let --since be before --until, and not now"
        )
    return span


def moment_ns(text: str, now_ns: int) -> int:
    """``2026-06-01``, ``2026-06-01 12:30``, or how long before now: ``30d``, ``12h``, ``90m``, ``2w``.

    Raises:
        ParameterError: it is none of these.
    """
    ago = _AGO.match(text.strip())
    if ago:
        return now_ns - int(ago[1]) * _UNITS[ago[2]]
    try:
        read = datetime.fromisoformat(text.strip())
        return from_utc(read if read.tzinfo else read.replace(tzinfo=UTC))
    except ValueError:
        raise ParameterError(
            f"{text!r} is no moment: give ISO text such as 2026-06-01 or 2026-06-01T12:30 (UTC), or how long "
            "ago, such as 30d or 12h",
            moment=text,
        ) from None
