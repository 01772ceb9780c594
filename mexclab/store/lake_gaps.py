"""Which bars a lake lacks, and why: missing, before the listing, after the delisting, under another name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mexclab.store.lake_facts import FactKind, Span
from mexclab.store.lake_layout import INTERVAL_MS, TS

_NS_PER_MS = 1_000_000

MISSING = "missing"
BEFORE_LISTING = "before listing"
AFTER_DELISTING = "after delisting"
OTHER_NAME = "under another name"

GAP_SCHEMA = pl.Schema(
    [("symbol", pl.String()), ("start", TS), ("end", TS), ("missing", pl.Int64()), ("reason", pl.String())]
)


def absent(life: Sequence[Span], interval: str) -> list[tuple[int | None, int | None, str]]:
    """The stretches outside a symbol's life, in ms, half-open, on the interval's grid; with the reason.

    The bar in which a symbol is listed or delisted is expected to exist.
    """
    step = INTERVAL_MS[interval]
    found: list[tuple[int | None, int | None, str]] = []
    ended: int | None = None
    why = ""
    for number, span in enumerate(life):
        if span.start_ns is not None:
            opened = span.start_ns // _NS_PER_MS // step * step
            if number == 0:
                why = OTHER_NAME if span.began and span.began.kind is FactKind.RENAME else BEFORE_LISTING
            found.append((ended, opened, why))
        if span.end_ns is not None:
            ended = -(-span.end_ns // (_NS_PER_MS * step)) * step
            why = OTHER_NAME if span.ended and span.ended.kind is FactKind.RENAME else AFTER_DELISTING
    if why and life[-1].end_ns is not None:
        found.append((ended, None, why))
    return found


def reasoned(
    symbol: str, gaps: Sequence[tuple[int, int]], life: Sequence[Span], interval: str
) -> list[tuple[str, int, int, int, str]]:
    """Rows of the gap map: ``gaps`` (ms, half-open, in order) cut where the symbol's life begins and ends."""
    step = INTERVAL_MS[interval]
    away = absent(life, interval)
    rows = []
    for start, end in gaps:
        at = start
        for first, beyond, why in away:
            begin = max(at, start if first is None else first)
            until = end if beyond is None else min(end, beyond)
            if begin >= until:
                continue
            if at < begin:
                rows.append((symbol, at, begin, (begin - at) // step, MISSING))
            rows.append((symbol, begin, until, (until - begin) // step, why))
            at = until
        if at < end:
            rows.append((symbol, at, end, (end - at) // step, MISSING))
    return rows


Run = tuple[int, int]  # open times (ms) of the first and the last of neighbouring bars


def runs_of(times_ms: np.ndarray, step: int) -> list[Run]:
    """The runs of neighbouring bars among sorted, unique open times."""
    if not len(times_ms):
        return []
    broken = np.flatnonzero(np.diff(times_ms) != step)
    firsts = times_ms[np.concatenate([[0], broken + 1])]
    lasts = times_ms[np.concatenate([broken, [len(times_ms) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def joined(runs: Sequence[Run], step: int) -> list[Run]:
    """``runs`` in order of time, those that touch or overlap made one."""
    found: list[Run] = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + step:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def between(runs: Sequence[Run], step: int, start: int | None, end: int | None) -> list[tuple[int, int]]:
    """What is missing (ms, half-open) between joined runs; with ``start`` or ``end`` also up to there.

    Args:
        runs: as `joined` returns them; of all time.
        step: length of a bar.
        start, end: bars with an open time in [start, end) are looked at; None stops at the first or last bar.
    """
    begin = (runs[0][0] if runs else start) if start is None else -(-start // step) * step
    beyond = (runs[-1][1] + step if runs else end) if end is None else -(-end // step) * step
    if begin is None or beyond is None:
        return []
    found = []
    at = begin
    for first, last in runs:
        if min(first, beyond) > at:
            found.append((at, min(first, beyond)))
        at = max(at, last + step)
    if at < beyond:
        found.append((at, beyond))
    return found
