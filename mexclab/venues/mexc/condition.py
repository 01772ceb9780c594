"""In which condition the road to the venue is: streams, books, listing sources, limits; for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mexclab.domain.clock import SECOND, span
from mexclab.venues.mexc.limits import LimiterState
from mexclab.venues.mexc.listing_sources import SourceState
from mexclab.venues.mexc.stream_health import StreamHealth


@dataclass(frozen=True, slots=True)
class Condition:
    """One line: whether it holds, and a reason either way."""

    name: str
    ok: bool
    why: str


def of_streams(health: StreamHealth) -> Condition:
    """Every connection is open; what is refused or silent is said."""
    down = [line.name for line in health.lines if not line.is_open]
    refused = [channel for line in health.lines for channel in line.refused]
    if down or refused:
        words = [f"{name} is down" for name in down] + [f"{channel} was refused" for channel in refused]
        return Condition("streams", False, "; ".join(words))
    silent_s = max((line.silent_s or 0.0 for line in health.lines), default=0.0)
    oldest = f", heard {span(int(silent_s * SECOND))} ago at the longest" if health.lines else ""
    unread = f"; {health.malformed} frames could not be read" if health.malformed else ""
    return Condition("streams", True, f"{len(health.lines)} open{oldest}{unread}")


def of_books(health: StreamHealth) -> Condition:
    """No book is being begun anew; how often that happened is said."""
    away = [book for book in health.books if not book.is_live]
    lost = [f"{book.symbol}: {book.why or 'waits for its snapshot'}" for book in away]
    resyncs = sum(book.resyncs for book in health.books)
    words = f"{len(health.books)} kept, {resyncs} times begun anew"
    return Condition("books", not lost, "; ".join(lost) or words)


def of_sources(sources: Sequence[SourceState], now_ns: int) -> Condition:
    """Every listing source answers; the age of the oldest answer is said."""
    silent = [f"{source.name}: {source.problem}" for source in sources if source.problem]
    read = [source.read_ns for source in sources if source.read_ns is not None]
    oldest = f", the oldest answer {span(now_ns - min(read))} old" if read else ""
    return Condition("listing sources", not silent, "; ".join(silent) or f"{len(read)} answer{oldest}")


def of_limits(state: LimiterState) -> Condition:
    """The venue asks for no silence, and no family of questions is left alone."""
    broken = [breaker for breaker in state.breakers if breaker.state != "closed"]
    words = [f"{each.family} is left alone after {each.failures} failures" for each in broken]
    if state.quiet_for_s > 0:
        asked = "a ban" if state.is_banned else "silence"
        words.append(f"the venue asked for {asked}: {state.quiet_for_s:.0f} s more")
    return Condition("request limits", not words, "; ".join(words) or f"{state.waiting} waiting")
