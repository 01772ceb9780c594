"""``mexclab fetch bars``: what the lake lacks of a range, asked of an exchange page by page, and kept.

The plan is what is missing, so the same command again asks only for what it did not get. Pages go into the
lake as they come, a bundle every few seconds; whatever ends the run, what was written stays, and the pages of
the last bundle are asked for again by the next run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mexclab.config import Settings
from mexclab.errors import ParameterError, VenueError
from mexclab.fetching.origin import settle
from mexclab.fetching.report import Fetched, FetchReport, FetchWishes, span_of
from mexclab.fetching.sink import Sink
from mexclab.runtime.progress import Progress, progress_bar
from mexclab.store.bar_rows import Span, frame_of, missing_spans, overlap_ms, within
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import interval_ms
from mexclab.venues.fetch import HOME, BarSource, FetchTerms, Pair
from mexclab.venues.raw_bars import RawBar

WORKERS = 4  # pairs that are asked for side by side; the pace of the requests is the exchange's all the same


@dataclass(slots=True)
class _Job:
    """One pair on its way."""

    pair: Pair
    spans: Sequence[Span]
    step_ms: int
    pages: int = 0
    refused: int = 0
    reason: str = ""
    why: str = ""

    @property
    def asked(self) -> int:
        return sum(span.end_ms - span.start_ms for span in self.spans) // self.step_ms


async def fetch(
    source: BarSource, lake: Lake, wishes: FetchWishes, progress: Progress | None = None
) -> FetchReport:
    """Bring what the lake lacks of a range.

    Args:
        source: opened.
        progress: called with (bars done, bars in all), bars that the venue does not have counted as done.

    Returns:
        What became of every pair; one that the venue refuses, or does not answer for, stops alone.

    Raises:
        ParameterError: an unknown pair or interval, or a range that is none.
        DataError: the lake cannot take the bars, or one of them contradicts it (``replace`` lets it win).
        VenueError: the venue gave nothing of any pair.
    """
    step = interval_ms(wishes.interval)
    source.check(wishes.interval)
    span = span_of(wishes, source.now_ns(), source.closed_ms(step))
    pairs = [source.pair(text) for text in wishes.symbols] or list(source.pairs(wishes.quote))
    if not pairs:
        raise ParameterError(f"{wishes.exchange} has no spot pair in {wishes.quote!r}; name one by --quote")
    return await bring(source, lake, Errand(wishes, span, _wanted(lake, pairs, wishes, span)), progress)


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be brought: of each pair these spans, all of them within one."""

    wishes: FetchWishes
    span: Span
    wanted: Mapping[Pair, Sequence[Span]]


async def bring(
    source: BarSource, lake: Lake, errand: Errand, progress: Progress | None = None
) -> FetchReport:
    """Bring exactly these spans; returns and raises as `fetch`."""
    began, asked_before, wishes = time.monotonic(), source.requests, errand.wishes
    step = interval_ms(wishes.interval)
    jobs = [_Job(pair, tuple(spans), step) for pair, spans in errand.wanted.items()]
    sink = Sink(lake, wishes.interval, wishes.replace)
    meter = _Meter(sum(job.asked for job in jobs), progress or (lambda done, total: None))
    try:
        await _all(_Run(source, sink, wishes.interval, meter), [job for job in jobs if job.spans])
    finally:
        sink.flush()
    known = frozenset(lake.symbols(wishes.interval))
    report = FetchReport(
        wishes.exchange,
        wishes.interval,
        errand.span,
        tuple(_told(job, sink, known) for job in jobs),
        source.requests - asked_before,
        time.monotonic() - began,
    )
    if jobs and len(report.failed) == len(jobs):
        raise VenueError(f"nothing was fetched: {report.failed[0].why}", report=report)
    return report


def _wanted(lake: Lake, pairs: Sequence[Pair], wishes: FetchWishes, span: Span) -> dict[Pair, list[Span]]:
    """What is asked for of each pair: all of it, or what the lake has not."""
    if wishes.replace:
        return {pair: [span] for pair in pairs}
    known = frozenset(lake.symbols(wishes.interval))
    return {pair: missing_spans(lake, pair.name, wishes.interval, span, known) for pair in pairs}


@dataclass(slots=True)
class _Meter:
    """How far everything is, in bars."""

    total: int
    tell: Progress
    done: int = 0

    def move(self, bars: int) -> None:
        self.done = min(self.done + bars, self.total)
        self.tell(self.done, self.total)


@dataclass(frozen=True, slots=True)
class _Run:
    """What every pair's download needs."""

    source: BarSource
    sink: Sink
    interval: str
    meter: _Meter

    async def page(self, job: _Job, start_ms: int) -> Sequence[RawBar]:
        """One page into the lake; the rows that the venue gave."""
        rows = await self.source.page(job.pair, self.interval, start_ms, job.step_ms)
        arrived = frame_of(job.pair.name, rows, self.interval)
        job.pages += 1
        job.refused += arrived.refused
        job.reason = job.reason or arrived.reason
        if rows:
            first_ms, last_ms = (edge(row.open_ms for row in rows) for edge in (min, max))
            met = [span for span in job.spans if span.start_ms <= last_ms and first_ms < span.end_ms]
            self.sink.take(job.pair.name, within(arrived.frame, met))
        return rows


async def _all(run: _Run, jobs: Sequence[_Job]) -> None:
    """Every pair, a few side by side; the first error that is not a pair's own ends all."""
    waiting = list(reversed(jobs))

    async def work() -> None:
        while waiting:
            job = waiting.pop()
            try:
                await _one(run, job)
            except VenueError as error:
                job.why = error.message

    tasks = [asyncio.create_task(work()) for _ in range(min(WORKERS, len(jobs)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(run: _Run, job: _Job) -> None:
    """Every page of one pair that is missing. Two gaps that one page covers are asked for once."""
    window = run.source.page_bars * job.step_ms
    at_ms = 0
    for span in job.spans:
        at_ms = max(at_ms, span.start_ms)
        is_first = True
        while at_ms < span.end_ms:
            before_ms = at_ms
            rows = await run.page(job, at_ms)
            if rows:  # fewer than a page says nothing: it may be a hole, or a venue with shorter pages
                at_ms = rows[-1].open_ms + job.step_ms
            elif is_first and span.end_ms - at_ms > 2 * window:
                at_ms = await _beginning(run, job, Span(at_ms + window, span.end_ms))
            else:
                at_ms += window
            is_first = False
            run.meter.move((min(at_ms, span.end_ms) - before_ms) // job.step_ms)


async def _beginning(run: _Run, job: _Job, span: Span) -> int:
    """Where a venue's bars begin that has none at first: by halving, for a year of minutes is 1,051 pages.

    What lies before the first bar is taken to be empty: a venue keeps its bars in one piece.
    """
    window = run.source.page_bars * job.step_ms
    low, high = 0, -(-(span.end_ms - span.start_ms) // window)  # pages without bars; pages in all
    while low < high:
        middle = (low + high) // 2
        if await run.page(job, span.start_ms + middle * window):
            high = middle
        else:
            low = middle + 1
    return span.start_ms + low * window


def _told(job: _Job, sink: Sink, known: frozenset[str]) -> Fetched:
    """What became of one pair.

    Args:
        known: the lake's symbols now.
    """
    name = job.pair.name
    added = sink.added.get(name, 0)
    missing = 0
    if added < job.asked:
        hull = Span(job.spans[0].start_ms, job.spans[-1].end_ms)
        holes = missing_spans(sink.lake, name, sink.interval, hull, known)
        missing = overlap_ms(holes, job.spans, job.step_ms) // job.step_ms
    return Fetched(
        name, job.asked, added, sink.replaced.get(name, 0), missing, job.pages, job.refused, job.reason,
        job.why,
    )  # fmt: skip


def terms_of(settings: Settings, exchange: str, url: str) -> FetchTerms:
    """How an exchange is asked: MEXC within ``venue.ip_weight_10s``, others as ccxt says.

    MEXC is asked where ``venue.rest_url`` says, else at its own address: bars need no key and move nothing.
    """
    if exchange != HOME:
        return FetchTerms(exchange, url=url or None)
    most = settings.venue.ip_weight_10s
    return FetchTerms(exchange, url=url or settings.venue.rest_url, requests_per_10s=most, gap_s=10 / most)


def fetch_with_progress(settings: Settings, wishes: FetchWishes) -> FetchReport:
    """Fetch bars into the lake of the data folder, with a progress bar on standard error.

    Raises:
        MexclabError: as `fetch`; and what came before is in the lake.
    """
    return asyncio.run(_fetch_here(settings, wishes))


async def _fetch_here(settings: Settings, wishes: FetchWishes) -> FetchReport:
    interval_ms(wishes.interval)
    lake = Lake(settings.data / "lake")
    source = BarSource(terms_of(settings, wishes.exchange, wishes.url))
    try:
        await source.open()
        settle(lake, source.terms.url)
        with progress_bar("bar", wishes.exchange) as progress:
            return await fetch(source, lake, wishes, progress)
    finally:
        await source.close()
