"""Live bars: stored when the venue's history has them, corrected when it corrects them, never made up."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.errors import DataError, VenueUnavailable
from mexclab.fetching.bars import fetch
from mexclab.fetching.follow import Follower, FollowTerms, Round, starts_of
from mexclab.store.bar_rows import frame_of
from mexclab.store.lake import Compacted, Lake
from mexclab.venues.fetch import Pair
from mexclab.venues.mexc.klines import KlineStream, KlineTerms
from mexclab.venues.raw_bars import RawBar
from tests.fetching.scene import BTC, KLINES, MINUTE_MS, MX, Here, Shelf, fetching, plain_bar, rows_of
from tests.venues.mexc.stream_scene import QUICK
from tests.venues.served import planned

START = 1_780_272_000_000
TERMS = FollowTerms(hold_s=90.0)


def follower_of(here: Here, lake: Lake, *names: str) -> Follower:
    """One that moves the venue's clock instead of waiting."""

    async def sleep_until(at_ns: int) -> None:
        ahead_ns = at_ns - here.source.now_ns()
        here.server.world.advance(here.server.now_ns() + max(ahead_ns, MILLISECOND))
        await asyncio.sleep(0)

    pairs = [here.source.pair(name) for name in names]
    starts = starts_of(lake, pairs, TERMS, here.source.closed_ms(MINUTE_MS), here.past_ms(0))
    return Follower(here.source, lake, starts, TERMS, sleep_until)


async def test_every_bar_is_stored_when_it_has_closed_as_the_history_has_it(tmp_path: Path) -> None:
    lake, told = Lake(tmp_path), []
    async with fetching() as here:
        await fetch(here.source, lake, here.wishes(30, "BTCUSDT", "MXUSDT"))
        first = here.past_ms(30)
        follower = follower_of(here, lake, "BTCUSDT", "MXUSDT")
        await follower.run(told.append, here.server.now_ns() + 5 * MINUTE)
        for symbol in (BTC, MX):
            stored = rows_of(lake.bars(str(symbol)))
            assert stored == here.truth(symbol, first, here.past_ms(0))
            assert len(stored) >= 34
        assert sum(done.added for done in told) >= 8
        assert all(done.corrected == done.late == done.unconfirmed == 0 for done in told)
        assert lake.gaps().is_empty()
        assert list((tmp_path / "fresh").rglob("*.parquet"))  # live bars go in by appending
        lake.compact()
        assert rows_of(lake.bars("BTCUSDT")) == here.truth(BTC, first, here.past_ms(0))


async def test_following_goes_on_where_it_stopped_and_mends_what_changed_meanwhile(tmp_path: Path) -> None:
    lake, told = Lake(tmp_path), []
    async with fetching() as here:
        await fetch(here.source, lake, here.wishes(40, "BTCUSDT"))
        truth = here.truth(BTC, here.past_ms(40), here.past_ms(0))
        lake.write(frame_of("BTCUSDT", [plain_bar(truth[30][0])], "1m").frame, replace=True)
        here.server.world.advance(here.server.now_ns() + 3 * MINUTE)
        follower = follower_of(here, lake, "BTCUSDT")
        await follower.run(told.append, here.server.now_ns() + SECOND)
        assert (told[0].added, told[0].corrected) == (3, 1)
        assert rows_of(lake.bars("BTCUSDT")) == here.truth(BTC, truth[0][0], here.past_ms(0))


async def hear(shelf: Shelf, terms: FollowTerms, lake: Lake, heard: list[RawBar] = []) -> Follower:  # noqa: B006
    async def sleep_until(at_ns: int) -> None:
        shelf.now_ms = max(shelf.now_ms, -(-at_ns // MILLISECOND))
        await asyncio.sleep(0)

    closed_ms = shelf.closed_ms(MINUTE_MS)
    starts = starts_of(lake, [shelf.one], terms, closed_ms, closed_ms)
    follower = Follower(shelf, lake, starts, terms, sleep_until)
    for bar in heard:
        follower.hear(BTC, bar)
    return follower


async def test_a_bar_that_is_corrected_late_is_corrected_here_and_counted(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    follower = await hear(shelf, FollowTerms(recheck=3), lake)
    shelf.bars = [plain_bar(START + n * MINUTE_MS, 1.5) for n in range(4)]
    for n in (1, 2):
        shelf.now_ms = START + n * MINUTE_MS
        assert (await follower.round()).added == 1
    shelf.bars[0] = plain_bar(START, 2.0)
    shelf.now_ms = START + 3 * MINUTE_MS
    done = await follower.round()
    assert (done.added, done.corrected) == (1, 1)
    assert lake.bars("BTCUSDT")["close"].to_list() == [2.0, 1.5, 1.5]


async def test_a_bar_that_the_history_does_not_have_yet_is_asked_for_again(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    follower = await hear(shelf, TERMS, lake)
    shelf.now_ms = START + MINUTE_MS
    assert (await follower.round()).late == 1
    shelf.bars = [plain_bar(START)]
    done = await follower.round()
    assert (done.added, done.late) == (1, 0)


class Silent(Shelf):
    """A venue whose history does not answer."""

    async def page(self, pair: Pair, interval: str, start_ms: int, interval_ms: int) -> tuple[RawBar, ...]:
        raise VenueUnavailable("the history does not answer")


async def test_without_the_history_the_streams_word_is_stored_after_a_while_and_compared_later(
    tmp_path: Path,
) -> None:
    lake = Lake(tmp_path)
    silent = Silent([], now_ms=START)
    heard = [plain_bar(START + n * MINUTE_MS, 1.5) for n in range(3)]
    follower = await hear(silent, FollowTerms(hold_s=90.0), lake, heard)
    silent.now_ms = START + 2 * MINUTE_MS
    done = await follower.round()
    assert (done.added, done.failed, done.why) == (0, ("BTCUSDT",), "the history does not answer")
    silent.now_ms = START + 3 * MINUTE_MS + 40_000
    done = await follower.round()
    assert (done.added, done.unconfirmed) == (2, 2)  # the third has not waited for 90 s
    answering = Shelf([plain_bar(START + n * MINUTE_MS, 1.6) for n in range(4)], now_ms=START + 4 * MINUTE_MS)
    follower.source = answering
    done = await follower.round()
    assert (done.added, done.corrected, done.unconfirmed) == (2, 2, 0)
    assert lake.bars("BTCUSDT")["close"].to_list() == [1.6] * 4


async def test_what_the_stream_says_never_jumps_over_a_hole(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    silent = Silent([], now_ms=START)
    follower = await hear(silent, TERMS, lake, [plain_bar(START + n * MINUTE_MS) for n in (0, 2)])
    silent.now_ms = START + 10 * MINUTE_MS
    assert (await follower.round()).unconfirmed == 1
    assert lake.bars("BTCUSDT").height == 1


async def test_after_a_long_silence_every_bar_is_compared_page_after_page(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    silent = Silent([], now_ms=START)
    heard = [plain_bar(START + n * MINUTE_MS, 1.5) for n in range(35)]
    follower = await hear(silent, FollowTerms(hold_s=0.0), lake, heard)
    silent.now_ms = START + 35 * MINUTE_MS
    assert (await follower.round()).unconfirmed == 35
    bars = [plain_bar(START + n * MINUTE_MS, 1.5 if n % 2 else 1.7) for n in range(36)]
    follower.source = Shelf(bars, now_ms=START + 36 * MINUTE_MS)
    done = await follower.round()
    assert (done.added, done.corrected) == (1, 18)
    assert lake.bars("BTCUSDT")["close"].to_list() == [float(bar.close) for bar in bars]


async def test_a_bar_that_only_the_stream_knows_is_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    silent = Silent([], now_ms=START)
    heard = [plain_bar(START + n * MINUTE_MS) for n in range(3)]
    follower = await hear(silent, FollowTerms(hold_s=0.0), lake, heard)
    silent.now_ms = START + 3 * MINUTE_MS
    assert (await follower.round()).unconfirmed == 3
    bars = [plain_bar(START + n * MINUTE_MS, 1.6) for n in (0, 1)]  # never the third
    shelf = Shelf(bars, now_ms=START + 3 * MINUTE_MS)
    follower.source = shelf
    assert (await follower.round()).corrected == 2
    assert len(shelf.asked) < 4  # a round asks, and ends
    shelf.bars.append(plain_bar(START + 3 * MINUTE_MS, 1.6))
    shelf.now_ms = START + 4 * MINUTE_MS
    assert (await follower.round()).added == 1
    assert lake.bars("BTCUSDT")["close"].to_list() == [1.6, 1.6, 1.5, 1.6]


async def test_a_pair_that_stood_still_for_days_is_gone_past(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    follower = await hear(shelf, TERMS, lake)
    shelf.bars = [plain_bar(START + 500 * MINUTE_MS)]
    shelf.now_ms = START + 501 * MINUTE_MS
    for _ in range(60):
        if (await follower.round()).added:
            break
    assert rows_of(lake.bars("BTCUSDT"))[0][0] == START + 500 * MINUTE_MS
    assert len(shelf.asked) < 60


async def test_live_bars_are_folded_and_the_clock_is_looked_at_now_and_then(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    follower = await hear(shelf, FollowTerms(compact_s=0.0, clock_s=0.0), lake)
    shelf.bars = [plain_bar(START + n * MINUTE_MS) for n in range(3)]
    await follower.run(lambda done: None, (START + 3 * MINUTE_MS + 1_000) * MILLISECOND)
    assert lake.bars("BTCUSDT").height == 3
    assert shelf.clocks >= 3
    assert not list((tmp_path / "fresh").rglob("*.parquet"))
    assert list((tmp_path / "bars").rglob("*.parquet"))


async def test_a_download_that_took_longer_than_is_looked_back_leaves_no_hole(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    bars = [plain_bar(START + n * MINUTE_MS) for n in range(-5, 100)]
    lake.write(frame_of("BTCUSDT", bars[:5], "1m").frame)  # the download ended at START, and took 100 minutes
    shelf = Shelf(bars, now_ms=START + 100 * MINUTE_MS)
    starts = starts_of(lake, [shelf.one], TERMS, shelf.closed_ms(MINUTE_MS), START)
    follower = Follower(shelf, lake, starts, TERMS, lambda at_ns: asyncio.sleep(0))
    assert (await follower.round()).added == 100
    assert lake.gaps().is_empty()


async def test_a_bar_that_the_history_had_left_out_is_added_when_it_comes(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    follower = await hear(shelf, FollowTerms(recheck=3), lake)
    bars = [plain_bar(START + n * MINUTE_MS) for n in range(4)]
    shelf.bars, shelf.now_ms = [bars[0], bars[2]], START + 3 * MINUTE_MS
    assert (await follower.round()).added == 2
    shelf.bars, shelf.now_ms = bars, START + 4 * MINUTE_MS
    done = await follower.round()
    assert (done.added, done.corrected, done.late) == (2, 0, 0)
    assert lake.gaps().is_empty()


class Unfoldable(Lake):
    """A lake with a damaged month."""

    def compact(self, *args: object) -> Compacted:
        raise DataError("a month is damaged")


async def test_a_folding_that_fails_is_told_and_recording_goes_on(tmp_path: Path) -> None:
    lake, shelf, told = Unfoldable(tmp_path), Shelf([], now_ms=START), []
    follower = await hear(shelf, FollowTerms(compact_s=0.0), lake)
    shelf.bars = [plain_bar(START + n * MINUTE_MS) for n in range(3)]
    await follower.run(told.append, (START + 3 * MINUTE_MS + 1_000) * MILLISECOND)
    assert lake.bars("BTCUSDT").height == 3
    assert [done.trouble for done in told].count("a month is damaged") == 1  # the next try is minutes away


async def test_rounds_come_at_the_close_and_sooner_while_something_is_late(tmp_path: Path) -> None:
    lake, shelf = Lake(tmp_path), Shelf([], now_ms=START)
    told: list[tuple[int, Round]] = []
    follower = await hear(shelf, FollowTerms(again_s=2.0), lake)
    shelf.bars = [plain_bar(START)]
    tell = lambda done: told.append((shelf.now_ms - START, done))  # noqa: E731
    await follower.run(tell, (START + 2 * MINUTE_MS) * MILLISECOND)
    times = [at for at, _ in told]
    assert times[:2] == [0, MINUTE_MS + 50]
    assert sum(done.added for _, done in told) == 1


async def test_the_stream_tells_the_growing_bar_and_the_history_has_the_last_word(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    refuse = {"fault": "status", "path": KLINES, "status": 503, "nth": [1, 2], "symbol": "MXUSDT"}
    async with fetching(plan=planned(refuse), attempts=1) as here:
        follower = follower_of(here, lake, "BTCUSDT")
        stream = KlineStream(KlineTerms(here.server.ws_url, seed=1, line=QUICK), [BTC, MX], follower.hear)
        running = asyncio.create_task(stream.run())
        try:
            async with asyncio.timeout(60):
                while BTC not in follower.growing:
                    here.server.world.advance(here.server.now_ns() + SECOND)
                    here.server.hub.flush()
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        bar = follower.growing[BTC]
        (now,) = here.truth(BTC, bar.open_ms, bar.open_ms + MINUTE_MS)
        assert float(bar.open) == now[1]
        assert MX not in follower.growing  # nobody follows it
        assert (stream.connections, stream.malformed, stream.refused) == (1, 0, set())


def test_the_stream_has_no_bars_of_seven_minutes() -> None:
    from mexclab.errors import ParameterError

    with pytest.raises(ParameterError, match="no 7m bars"):
        KlineStream(KlineTerms("ws://127.0.0.1:1/ws", "7m"), [BTC], lambda symbol, bar: None)
