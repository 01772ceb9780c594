"""What a lake is, said with a dictionary; the twin of `mexclab.store.lake.Lake` and of its gap map."""

from __future__ import annotations

import polars as pl

from mexclab.store.lake_facts import Fact, FactKind
from mexclab.store.lake_layout import FRAME_SCHEMA


class NaiveLake:
    """Bars by symbol and time. A bar that is there may only be replaced on request."""

    def __init__(self) -> None:
        self.bars: dict[tuple[object, object], tuple[object, ...]] = {}

    def put(self, frame: pl.DataFrame, replace: bool) -> tuple[int, int, int] | None:
        """Counts of added, replaced and unchanged bars; None where the frame is refused."""
        rows = {row[:2]: row for row in frame.select(FRAME_SCHEMA.names()).iter_rows()}
        others = [key for key, row in rows.items() if self.bars.get(key, row) != row]
        if others and not replace:
            return None
        added = [key for key in rows if key not in self.bars]
        self.bars |= rows
        return len(added), len(others), len(rows) - len(added) - len(others)

    def frame(self) -> pl.DataFrame:
        """Every bar, sorted by symbol and time."""
        rows = [self.bars[key] for key in sorted(self.bars, key=lambda key: (key[0], key[1]))]
        return pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")


def reason_of(at_ms: int, step: int, symbol: str, facts: list[Fact]) -> str:
    """Why a bar is missing that would have opened at ``at_ms``, decided for this bar alone.

    Only listings and delistings, each of which changes the symbol's state; facts are in order of time.
    """
    listings = [fact for fact in facts if fact.kind is FactKind.LISTING and fact.symbol == symbol]
    opened_ns, closing_ns = at_ms * 1_000_000, (at_ms + step) * 1_000_000
    traded = "before listing" if facts and facts[0] in listings else "missing"
    for fact in facts:
        if fact in listings and fact.at_ns < closing_ns:
            traded = "missing"
        elif fact not in listings and fact.at_ns <= opened_ns:
            traded = "after delisting"
    return traded


def gaps(
    have_ms: set[int], span: tuple[int, int], step: int, symbol: str, facts: list[Fact]
) -> list[tuple[int, int, str]]:
    """Start, end (ms, half-open) and reason of every gap in ``span``, by looking at one bar after another."""
    found: list[tuple[int, int, str]] = []
    for at in range(*span, step):
        if at in have_ms:
            continue
        why = reason_of(at, step, symbol, facts)
        if found and found[-1][1] == at and found[-1][2] == why:
            found[-1] = (found[-1][0], at + step, why)
        else:
            found.append((at, at + step, why))
    return found
