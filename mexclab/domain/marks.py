"""Marks of the equity, and which of them a drawdown may still be held against."""

from __future__ import annotations

from bisect import bisect_right

from mexclab.domain.clock import DAY, HOUR
from mexclab.domain.portfolio import Portfolio, Valuation
from mexclab.domain.risk_events import EquityMarked

LONGEST_NS = 366 * DAY  # no rule looks further back


def mark_of(portfolio: Portfolio, worth: Valuation, at_ns: int) -> EquityMarked:
    """What everything is worth, to be written down; what has no price stands at what it cost."""
    equity = portfolio.equity(worth.unrealised)
    return EquityMarked(at_ns, equity, worth.unrealised, worth.exposure, worth.unpriced)


def peaks_after(peaks: tuple[EquityMarked, ...], mark: EquityMarked) -> tuple[EquityMarked, ...]:
    """The marks that some look-back may still find the highest: falling equity, rising time, one per hour.

    The highest of the last n hours is then the first of them that is not older, to within an hour. There
    are at most as many as hours in a year, however long the desk runs.
    """
    first, end = bisect_right(peaks, mark.at_ns - LONGEST_NS, key=_time), len(peaks)
    while end > first and peaks[end - 1].equity <= mark.equity:
        end -= 1
    kept = peaks[first:end]
    if kept and kept[-1].at_ns // HOUR == mark.at_ns // HOUR:
        return kept
    return (*kept, mark)


def peak_since(peaks: tuple[EquityMarked, ...], since_ns: int) -> EquityMarked | None:
    """The highest mark after ``since_ns``; None: nothing has been marked since."""
    place = bisect_right(peaks, since_ns, key=_time)
    return peaks[place] if place < len(peaks) else None


def _time(peak: EquityMarked) -> int:
    return peak.at_ns
