"""What a lake lacks, fetched: nothing twice, nothing lost, nothing made up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from mexclab.errors import DataError, ParameterError, VenueError
from mexclab.fetching import sink
from mexclab.fetching.bars import Errand, bring, fetch
from mexclab.fetching.report import FetchWishes, moment_ns
from mexclab.store.bar_rows import Span, frame_of, missing_spans, overlap_ms
from mexclab.store.lake import Lake
from mexclab.venues.raw_bars import RawBar
from tests.fetching.scene import (
    BTC,
    KLINES,
    MINUTE_MS,
    MX,
    Shelf,
    fetching,
    plain_bar,
    rows_of,
    url_of,
)
from tests.venues.exchange_rig import IDS
from tests.venues.served import planned

START = 1_780_272_000_000  # 2026-06-01 00:00 UTC
DAY_MS = 1440 * MINUTE_MS


@pytest.mark.parametrize("exchange", IDS)
async def test_a_range_is_fetched_once_and_is_the_venues_own(exchange: str, tmp_path: Path) -> None:
    lake, told = Lake(tmp_path), []
    async with fetching(exchange) as here:
        wishes = here.wishes(1_200, "BTCUSDT", "MX/USDT")
        report = await fetch(here.source, lake, wishes, lambda done, total: told.append((done, total)))
        assert (report.total("added"), report.total("missing"), report.failed) == (2_400, 0, ())
        assert told[-1] == (2_400, 2_400)
        prefix = "" if exchange == "mexc" else "BINANCEUS:"
        assert lake.symbols() == [f"{prefix}BTCUSDT", f"{prefix}MXUSDT"]
        for symbol in (BTC, MX):
            stored = rows_of(lake.bars(f"{prefix}{symbol}"))
            assert stored == here.truth(symbol, here.past_ms(1_200), here.past_ms(0))
        again = await fetch(here.source, lake, wishes)
        assert (again.total("asked"), again.requests) == (0, 0)
        assert "had every bar" in str(again)


async def test_only_the_hole_is_asked_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        await fetch(here.source, lake, here.wishes(300, "BTCUSDT"))
        whole = lake.bars("BTCUSDT")
        holed = Lake(tmp_path / "holed")
        holed.write(pl.concat([whole[:100], whole[130:200], whole[220:]]))
        report = await fetch(here.source, holed, here.wishes(300, "BTCUSDT"))
        assert (report.total("asked"), report.total("added")) == (50, 50)
        assert report.requests == 1  # both holes lie within one page
        assert holed.bars("BTCUSDT").equals(whole)


async def test_a_bar_that_contradicts_the_lake_is_refused_unless_it_may_replace(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        truth = here.truth(BTC, here.past_ms(20), here.past_ms(10))
        other = frame_of("BTCUSDT", [plain_bar(truth[0][0])], "1m").frame
        lake.write(other)
        pair, span = here.source.pair("BTCUSDT"), Span(here.past_ms(20), here.past_ms(0))
        errand = Errand(here.wishes(20, "BTCUSDT"), span, {pair: [span]})
        with pytest.raises(DataError, match="contradict the lake"):
            await bring(here.source, lake, errand)
        assert lake.bars("BTCUSDT").equals(other)
        report = await fetch(here.source, lake, here.wishes(20, "BTCUSDT", replace=True))
        assert [report.total(what) for what in ("added", "replaced", "missing")] == [19, 1, 0]
        assert rows_of(lake.bars("BTCUSDT")) == here.truth(BTC, span.start_ms, span.end_ms)


async def test_one_pair_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    refuse = {"fault": "refuse", "path": KLINES, "symbol": "MXUSDT", "code": -1121, "msg": "Invalid symbol."}
    async with fetching(plan=planned(refuse)) as here:
        report = await fetch(here.source, lake, here.wishes(50, "MXUSDT", "BTCUSDT"))
        assert [(pair.name, pair.added, bool(pair.why)) for pair in report.pairs] == [
            ("MXUSDT", 0, True), ("BTCUSDT", 50, False),
        ]  # fmt: skip
        assert "MXUSDT: stopped" in str(report)
        with pytest.raises(VenueError, match="nothing was fetched"):
            await fetch(here.source, lake, here.wishes(50, "MXUSDT"))


@pytest.mark.parametrize("windows", [True, False])
async def test_a_late_beginning_is_found_by_halving(windows: bool, tmp_path: Path) -> None:
    first = START + 300 * DAY_MS
    now = first + 95 * MINUTE_MS
    shelf = Shelf([plain_bar(at) for at in range(first, now, MINUTE_MS)], windows=windows, now_ms=now)
    lake = Lake(tmp_path)
    report = await fetch(shelf, lake, FetchWishes(["BTCUSDT"], since="2026-06-01"))
    assert report.total("added") == 95
    assert report.requests < 40 if windows else report.requests == 10  # and not 43,210


@pytest.mark.parametrize("give", [1, 3, 10])
async def test_a_venue_with_shorter_pages_than_it_says_loses_nothing(give: int, tmp_path: Path) -> None:
    times = [START + n * MINUTE_MS for n in range(60) if n not in (7, 8, 9, 31)]
    now = START + 60 * MINUTE_MS
    lake = Lake(tmp_path)
    shelf = Shelf([plain_bar(at) for at in times], give=give, now_ms=now)
    report = await fetch(shelf, lake, FetchWishes(["BTCUSDT"], since="2026-06-01"))
    assert [row[0] for row in rows_of(lake.bars("BTCUSDT"))] == times
    assert (report.total("added"), report.total("missing")) == (56, 4)
    assert "nothing for 4 of 60 bars" in str(report)


async def test_rows_that_are_no_bars_stay_outside_and_are_counted(tmp_path: Path) -> None:
    bars = [plain_bar(START + n * MINUTE_MS) for n in range(20)]
    bars[3] = bars[3]._replace(low="9")
    bars[5] = bars[5]._replace(volume="")
    lake = Lake(tmp_path)
    shelf = Shelf(bars, now_ms=START + 20 * MINUTE_MS)
    report = await fetch(shelf, lake, FetchWishes(["BTCUSDT"], since="2026-06-01"))
    assert (report.total("added"), report.total("refused")) == (18, 2)
    assert "high is below low" in report.pairs[0].reason


async def test_what_was_written_before_a_stop_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "BUNDLE_BARS", 20)
    lake = Lake(tmp_path)
    now = START + 100 * MINUTE_MS
    shelf = Shelf([plain_bar(at) for at in range(START, now, MINUTE_MS)], now_ms=now)
    wishes = FetchWishes(["BTCUSDT"], since="2026-06-01")

    def stop(done: int, total: int) -> None:
        if done >= 50:
            task.cancel()  # as Ctrl-C does

    task = asyncio.create_task(fetch(shelf, lake, wishes, stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = lake.bars("BTCUSDT").height
    assert 50 <= kept < 100
    asked = len(shelf.asked)
    report = await fetch(shelf, lake, wishes)
    assert (report.total("asked"), lake.bars("BTCUSDT").height) == (100 - kept, 100)
    assert len(shelf.asked) - asked == (100 - kept) // 10


CHILD = """
import asyncio, sys
from pathlib import Path
from mexclab.fetching import sink
from mexclab.fetching.bars import fetch
from mexclab.fetching.report import FetchWishes
from mexclab.store.lake import Lake
from mexclab.venues.fetch import BarSource, FetchTerms

sink.BUNDLE_BARS = 1
url, folder, since, until = sys.argv[1:]

async def main():
    source = BarSource(FetchTerms(url=url, gap_s=0.15, requests_per_10s=10**6))
    source.page_bars = 50
    await source.open()
    print("ready", flush=True)
    await fetch(source, Lake(Path(folder)), FetchWishes(["BTCUSDT"], since=since, until=until))

asyncio.run(main())
"""


async def test_a_fetch_that_is_killed_loses_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        wishes = here.wishes(1_000, "BTCUSDT")
        until = f"{pl.Series([here.past_ms(0)]).cast(pl.Datetime('ms', 'UTC'))[0].isoformat()}"
        command = [
            sys.executable,
            "-c",
            CHILD,
            url_of(here.server, "mexc"),
            str(tmp_path),
            wishes.since,
            until,
        ]
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not lake.symbols() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert child.stdout is not None
        await child.stdout.read()
        kept = rows_of(lake.bars("BTCUSDT"))
        assert 0 < len(kept) < 1_000
        assert kept == here.truth(BTC, here.past_ms(1_000), here.past_ms(0))[: len(kept)]
        report = await fetch(here.source, lake, wishes)
        assert report.total("asked") == 1_000 - len(kept)
        assert rows_of(lake.bars("BTCUSDT")) == here.truth(BTC, here.past_ms(1_000), here.past_ms(0))


def test_missing_spans_are_those_that_a_slow_look_finds(tmp_path: Path, seed: int) -> None:
    import random

    rng = random.Random(seed)
    lake = Lake(tmp_path)
    held = sorted(rng.sample(range(200), 120))
    lake.write(frame_of("AUSDT", [plain_bar(START + n * MINUTE_MS) for n in held], "1m").frame)
    for low, high in ((0, 200), (-5, 205), (50, 51), (17, 160), (held[0], held[0] + 1)):
        span = Span(START + low * MINUTE_MS, START + high * MINUTE_MS)
        found = missing_spans(lake, "AUSDT", "1m", span)
        minutes = [n for s in found for n in range(s.start_ms, s.end_ms, MINUTE_MS)]
        assert minutes == [START + n * MINUTE_MS for n in range(low, high) if n not in held]
    assert missing_spans(lake, "BUSDT", "1m", Span(START, START + 1)) == [Span(START, START + MINUTE_MS)]


def test_the_overlap_of_holes_and_spans_is_what_counting_minutes_finds(seed: int) -> None:
    import random

    rng = random.Random(seed)
    for _ in range(100):
        holes, spans = (
            [Span(low, high) for low, high in zip(cuts[::2], cuts[1::2], strict=True)]
            for cuts in (sorted(rng.sample(range(40), 2 * rng.randrange(6))) for _ in range(2))
        )
        inside = [{at for one in some for at in range(one.start_ms, one.end_ms)} for some in (holes, spans)]
        assert overlap_ms(holes, spans, 1) == len(inside[0] & inside[1])
    assert overlap_ms([Span(0, 60)], [Span(11, 35)], 10) == 20


def test_a_moment_is_iso_text_or_how_long_ago() -> None:
    now = START * 10**6
    assert moment_ns("2026-06-01", 0) == now
    assert moment_ns("2026-06-01T02:00+02:00", 0) == now
    assert moment_ns("90m", now) == now - 90 * 60 * 10**9
    assert moment_ns("2w", now) == now - 14 * 86_400 * 10**9
    with pytest.raises(ParameterError, match="'yesterday' is no moment"):
        moment_ns("yesterday", now)


async def test_a_range_without_a_closed_bar_is_refused(tmp_path: Path) -> None:
    shelf = Shelf([], now_ms=START)
    with pytest.raises(ParameterError, match="no closed 1m bar"):
        await fetch(shelf, Lake(tmp_path), FetchWishes(["BTCUSDT"], since="2026-07-01", until="2026-06-02"))
    assert not (tmp_path / "bars").exists()


def test_text_becomes_the_nearest_float_and_nothing_else() -> None:
    frame = frame_of(
        "X", [RawBar(START, "0.1", "0.30000000000000004", "1e-9", "0.2", "12345678.9")], "1m"
    ).frame
    assert frame.row(0)[2:] == (0.1, 0.30000000000000004, 1e-9, 0.2, 12345678.9)
