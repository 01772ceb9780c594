"""``mexclab lake repair``: the gaps of the lake, asked for once more; and what exchanges know of listings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mexclab.config import Settings
from mexclab.domain.clock import MILLISECOND
from mexclab.errors import ParameterError
from mexclab.fetching.bars import Errand, bring, terms_of
from mexclab.fetching.origin import settle
from mexclab.fetching.report import Fetched, FetchReport, FetchWishes, span_of
from mexclab.runtime.progress import Progress, progress_bar
from mexclab.store.bar_rows import Span
from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact, FactKind
from mexclab.store.lake_gaps import MISSING
from mexclab.store.lake_layout import interval_ms
from mexclab.venues.fetch import BarSource, Pair, exchange_of


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The gaps that are to be filled, by the name in the lake; bars in all."""

    interval: str
    gaps: Mapping[str, Sequence[Span]]
    span: Span

    @property
    def bars(self) -> int:
        step = interval_ms(self.interval)
        return sum(gap.end_ms - gap.start_ms for spans in self.gaps.values() for gap in spans) // step

    def of(self, exchange: str) -> RepairPlan:
        """The part that one exchange can fill."""
        chosen = {name: gaps for name, gaps in self.gaps.items() if exchange_of(name)[0] == exchange}
        return replace(self, gaps=chosen)

    @property
    def exchanges(self) -> tuple[str, ...]:
        return tuple(sorted({exchange_of(name)[0] for name in self.gaps}))


def plan_repair(lake: Lake, wishes: FetchWishes, now_ns: int) -> RepairPlan:
    """The gaps between bars, where bars are missing; not those before a listing or after a delisting.

    Args:
        wishes: symbols in the lake's spelling, none for all; ``since`` and ``until`` bound the gaps.

    Raises:
        DataError: the lake has no such symbol.
        ParameterError: an unknown interval, or a range that is none.
    """
    interval_ms(wishes.interval)
    span = span_of(wishes, now_ns, now_ns // MILLISECOND)
    names = list(wishes.symbols) or None
    found = lake.gaps(names, wishes.interval)
    gaps: dict[str, list[Span]] = {}
    for symbol, start, end, reason in found.select("symbol", "start", "end", "reason").iter_rows():
        if reason != MISSING:
            continue
        start_ms, end_ms = (round(moment.timestamp() * 1000) for moment in (start, end))
        cut = Span(max(start_ms, span.start_ms), min(end_ms, span.end_ms))
        if cut.end_ms > cut.start_ms:
            gaps.setdefault(symbol, []).append(cut)
    return RepairPlan(wishes.interval, gaps, span)


async def repair(
    source: BarSource, lake: Lake, plan: RepairPlan, wishes: FetchWishes, progress: Progress | None = None
) -> FetchReport:
    """Ask one exchange for the gaps of its pairs; returns and raises as `fetching.bars.fetch`.

    A pair that the exchange does not list any more is in the report, with that as the reason.
    """
    source.check(plan.interval)
    wanted: dict[Pair, Sequence[Span]] = {}
    gone = []
    for name, gaps in plan.gaps.items():
        try:
            wanted[source.pair(name)] = gaps
        except ParameterError as unknown:
            bars = _bars(gaps, plan.interval)
            gone.append(Fetched(name, bars, missing=bars, why=unknown.message))
    report = await bring(source, lake, Errand(wishes, plan.span, wanted), progress)
    return replace(report, pairs=(*report.pairs, *gone))


def repair_with_progress(settings: Settings, plan: RepairPlan, wishes: FetchWishes) -> FetchReport:
    """Fill the gaps of one exchange's pairs, with a progress bar on standard error; raises as `repair`."""
    return asyncio.run(_repair_here(settings, plan, wishes))


async def _repair_here(settings: Settings, plan: RepairPlan, wishes: FetchWishes) -> FetchReport:
    lake = Lake(settings.data / "lake")
    source = BarSource(terms_of(settings, wishes.exchange, wishes.url))
    try:
        await source.open()
        settle(lake, source.terms.url)
        with progress_bar("bar", f"repair from {wishes.exchange}") as progress:
            return await repair(source, lake, plan, wishes, progress)
    finally:
        await source.close()


def learn(settings: Settings, exchange: str, url: str = "", symbols: Iterable[str] = ()) -> tuple[int, int]:
    """Record when an exchange says that the lake's pairs were listed; how many facts are new, and told.

    Args:
        symbols: in the lake's spelling; none for every symbol of the lake.
    """
    return asyncio.run(_learn(settings, exchange, url, frozenset(symbols)))


async def _learn(settings: Settings, exchange: str, url: str, symbols: frozenset[str]) -> tuple[int, int]:
    lake = Lake(settings.data / "lake")
    terms = terms_of(settings, exchange, url)
    source = BarSource(terms)
    try:
        await source.open()
        settle(lake, terms.url)
        opened = source.openings()
        known_ns, told = source.now_ns(), f"{exchange}, list of pairs"
    finally:
        await source.close()
    chosen = symbols or frozenset(lake.symbols())
    facts = [
        Fact(FactKind.LISTING, pair.name, at_ns, known_ns, told)
        for pair, at_ns in opened.items()
        if pair.name in chosen
    ]
    return lake.facts.record(facts), len(facts)


def _bars(gaps: Sequence[Span], interval: str) -> int:
    return sum(gap.end_ms - gap.start_ms for gap in gaps) // interval_ms(interval)
