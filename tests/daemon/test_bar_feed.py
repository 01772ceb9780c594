"""The lake's live minutes reach the patterns that live on bars, and their alarms the ledger, as facts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mexclab.config import LimitSettings, ListingsSettings
from mexclab.daemon import bar_feed
from mexclab.daemon.bar_feed import BarFeed
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, MINUTE
from mexclab.errors import NotEnoughData
from mexclab.patterns.correlation_break import CorrelationBreak
from mexclab.patterns.registry import load_patterns
from mexclab.ports import BarPattern
from mexclab.research.correlation_watch import BreakOptions
from mexclab.runtime.clock import ManualClock
from mexclab.store.bar_watch import AWAY_NS, HOLD_NS, BarWatch
from mexclab.store.lake import Lake
from mexclab.trading.engine import Rules
from tests.daemon.conftest import Running
from tests.trading.conftest import START, Station, build

NAMES = [f"C{at}USDT" for at in range(8)]
ROWS = 1500
OPTIONS = BreakOptions(recent=40, before=300)
BEGIN = START - ROWS * MINUTE  # the first bar opens; the last one closes at START


@pytest.fixture(scope="module")
def closes() -> np.ndarray:
    """(ROWS, 8): coins that move together, of which one leaves the others for the last 100 minutes."""
    rng = np.random.default_rng(1)
    moves = 1e-3 * (rng.normal(size=(ROWS, 1)) + 0.6 * rng.normal(size=(ROWS, 8)))
    moves[-100:, 3] = 1e-3 * rng.normal(size=100)
    return 2.0 * np.exp(np.cumsum(moves, axis=0))


def frame(closes: np.ndarray, rows: range, names: Sequence[str] = NAMES) -> pl.DataFrame:
    """Closed bars of these rows."""
    pieces = []
    for name in names:
        prices = closes[rows.start : rows.stop, NAMES.index(name)]
        opened = [(BEGIN + row * MINUTE) // 1_000_000 for row in rows]
        numbers = dict.fromkeys(("open", "high", "low", "close"), prices)
        pieces.append(pl.DataFrame({"symbol": name, "ts": opened, **numbers, "volume": 1.0}))
    return pl.concat(pieces).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))


def now_at(row: int) -> int:
    """The first moment at which the bar of this row is complete."""
    return BEGIN + (row + 1) * MINUTE + HOLD_NS


@dataclass
class Kept:
    """A pattern that keeps what it is shown."""

    name: str = "kept"
    minutes: int = 100
    followed: list[list[str]] = field(default_factory=list)
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def follow(self, symbols: Sequence[str]) -> None:
        self.followed.append(list(symbols))
        self.seen.clear()

    def see(self, at_ns: int, closes: Mapping[str, float]) -> tuple[()]:
        self.seen.append((at_ns, dict(closes)))
        return ()


def by_hand(closes: np.ndarray) -> list[tuple[int, str]]:
    """The row and the sentence of every alarm when all rows are seen from the first on."""
    pattern = CorrelationBreak(ListingsSettings(), OPTIONS)
    pattern.follow(NAMES)
    return [
        (row, f"correlation_break: {alarm}")
        for row, prices in enumerate(closes)
        for alarm in pattern.see(BEGIN + (row + 1) * MINUTE, dict(zip(NAMES, prices.tolist(), strict=True)))
    ]


def test_minutes_out_of_the_lake_alarm_at_the_same_bar_as_all_of_history_seen_in_one_go(
    tmp_path: Path, closes: np.ndarray
) -> None:
    expected = by_hand(closes)
    assert [row > ROWS - 100 for row, _ in expected] == [True]
    lake = Lake(tmp_path)
    first = ROWS - 100
    lake.write(frame(closes, range(first)))
    watch = BarWatch(lake, [CorrelationBreak(ListingsSettings(), OPTIONS)])
    assert watch.look(now_at(first - 1)) == ()
    told = []
    for row in range(first, ROWS):
        lake.append(frame(closes, range(row, row + 1)))
        assert watch.look(now_at(row) - 1) == (), "not before the bar has had its time"
        told += [(row, sentence) for sentence in watch.look(now_at(row))]
    assert [row for row, _ in told] == [row for row, _ in expected]
    assert told[0][1].startswith("correlation_break: C3USDT came loose at ")


def test_what_was_alarmed_before_the_beginning_is_not_told_again(tmp_path: Path, closes: np.ndarray) -> None:
    ((row, _),) = by_hand(closes)
    lake = Lake(tmp_path)
    lake.write(frame(closes, range(row + 10)))
    watch = BarWatch(lake, [CorrelationBreak(ListingsSettings(), OPTIONS)])
    watch.look(now_at(row + 9))
    lake.append(frame(closes, range(row + 10, row + 15)))
    assert watch.look(now_at(row + 14)) == ()


def test_each_minute_is_shown_once_in_order_and_a_missing_bar_is_missing(
    tmp_path: Path, closes: np.ndarray
) -> None:
    lake, pattern = Lake(tmp_path), Kept()
    lake.write(frame(closes, range(500)))
    watch = BarWatch(lake, [pattern])
    watch.look(now_at(499))
    assert [at_ns for at_ns, _ in pattern.seen] == [
        BEGIN + (row + 1) * MINUTE for row in range(500 - 2 * 100, 500)
    ], "it reads back twice as far as the pattern needs"
    lake.append(frame(closes, range(500, 502), NAMES[1:]))
    watch.look(now_at(500))
    lake.append(frame(closes, range(500, 501), NAMES[:1]))  # too late
    watch.look(now_at(501))
    assert [(at_ns, len(shown)) for at_ns, shown in pattern.seen[-2:]] == [
        (BEGIN + 501 * MINUTE, 7),
        (BEGIN + 502 * MINUTE, 7),
    ]
    assert pattern.seen[-1][1]["C3USDT"] == closes[501, 3]


def test_a_minute_that_nobody_has_is_shown_empty(tmp_path: Path, closes: np.ndarray) -> None:
    lake, pattern = Lake(tmp_path), Kept()
    lake.write(frame(closes, range(300)))
    watch = BarWatch(lake, [pattern])
    watch.look(now_at(299))
    assert all(shown for _, shown in pattern.seen)
    lake.append(frame(closes, range(303, 305)))
    watch.look(now_at(304))
    watch.look(now_at(306))  # behind the last bar one may still come
    lake.append(frame(closes, range(305, 307)))
    watch.look(now_at(306))
    assert [((at_ns - BEGIN) // MINUTE, len(shown)) for at_ns, shown in pattern.seen[-7:]] == [
        (301, 0), (302, 0), (303, 0), (304, 8), (305, 8), (306, 8), (307, 8),
    ]  # fmt: skip


def test_it_begins_anew_after_an_absence_each_day_and_when_many_more_symbols_come(
    tmp_path: Path, closes: np.ndarray
) -> None:
    lake, pattern = Lake(tmp_path), Kept()
    lake.write(frame(closes, range(300), NAMES[:5]))
    watch = BarWatch(lake, [pattern])
    watch.look(now_at(299))
    away = AWAY_NS // MINUTE
    assert watch.look(now_at(299) + AWAY_NS) == (), "that long it is waited"
    with pytest.raises(NotEnoughData, match="mexclab fetch follow"):
        watch.look(now_at(300) + AWAY_NS)
    lake.append(frame(closes, range(300, 320), NAMES[:5]))
    watch.look(now_at(319))
    assert len(pattern.followed) == 2, "back from the absence"
    lake.append(frame(closes, range(320, 340), NAMES))
    for row in range(320, 340):
        watch.look(now_at(row))
    assert [len(names) for names in pattern.followed] == [5, 5, 8]
    assert pattern.seen[-1][0] == BEGIN + 340 * MINUTE
    last = 340 + DAY // MINUTE + away
    flat = np.repeat(closes[:1], last, axis=0)
    lake.append(frame(flat, range(340, last)))
    for row in range(340, last, 9):
        watch.look(now_at(row))
    assert len(pattern.followed) == 4, "a day later"


def test_a_lake_without_live_bars_or_with_too_few_symbols_says_what_to_do(
    tmp_path: Path, closes: np.ndarray
) -> None:
    watch = BarWatch(Lake(tmp_path), [CorrelationBreak(ListingsSettings(), OPTIONS)])
    with pytest.raises(NotEnoughData, match="mexclab fetch follow"):
        watch.look(now_at(0))
    Lake(tmp_path).write(frame(closes, range(400), NAMES[:3]))
    with pytest.raises(NotEnoughData, match="watch more of them"):
        watch.look(now_at(399))
    Lake(tmp_path).write(frame(closes, range(400)))
    watch.look(now_at(399))
    assert len(watch) == 8


# -- beside a desk ---------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Station]:
    station = build(ManualClock(START), 7, Rules(limits=LimitSettings()), tmp_path / "venue")
    yield station
    station.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def until_written(station: Station, count: int) -> list[e.AlertRaised]:
    """The alerts in the ledger, when there are so many."""
    deadline = time.monotonic() + 60
    while True:
        alerts = [event for _, event in station.ledger.read() if isinstance(event, e.AlertRaised)]
        if len(alerts) >= count:
            return alerts
        assert time.monotonic() < deadline, alerts
        await asyncio.sleep(0.01)


async def test_an_alarm_is_an_entry_of_the_ledger_and_never_a_signal(
    desk: Station, tmp_path: Path, closes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_feed, "LOOK_S", 0.01)
    await desk.start()
    ((row, _),) = by_hand(closes)
    lake = Lake(tmp_path / "lake")
    feed = BarFeed(lake, [CorrelationBreak(ListingsSettings(), OPTIONS)], desk.engine)
    running = asyncio.create_task(feed.run())
    try:
        (warned,) = await until_written(desk, 1)
        assert (warned.level, "mexclab fetch follow" in warned.text) == ("warning", True)
        await asyncio.sleep(0.1)
        assert len(await until_written(desk, 1)) == 1, "told once, however often it looks"
        now = desk.clock.now_ns()
        shift = (now - now_at(row - 1)) // MINUTE * MINUTE // 1_000_000
        moved = frame(closes, range(ROWS)).with_columns(pl.col("ts") + pl.duration(milliseconds=shift))
        lake.write(moved.filter(pl.col("ts").dt.epoch("ns") < BEGIN + row * MINUTE + shift * 1_000_000))
        await until(lambda: len(feed.watch) > 0)
        lake.append(moved.filter(pl.col("ts").dt.epoch("ns") >= BEGIN + row * MINUTE + shift * 1_000_000))
        await desk.clock.sleep_until(now + MINUTE)
        _, alarm = await until_written(desk, 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert alarm.level == "info"
    assert alarm.text.startswith("correlation_break: C3USDT came loose at ")
    assert not [event for _, event in desk.ledger.read() if isinstance(event, e.SignalRaised)]


async def test_a_plug_in_that_raises_is_told_and_looked_at_again(
    desk: Station, tmp_path: Path, closes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Kept):
        def follow(self, symbols: Sequence[str]) -> None:
            super().follow(symbols)
            if len(self.followed) < 3:
                raise KeyError("mine")

    monkeypatch.setattr(bar_feed, "LOOK_S", 0.01)
    await desk.start()
    lake, pattern = Lake(tmp_path / "lake"), Broken()
    shift = (desk.clock.now_ns() - now_at(ROWS - 1)) // MINUTE * MINUTE // 1_000_000
    lake.write(frame(closes, range(ROWS)).with_columns(pl.col("ts") + pl.duration(milliseconds=shift)))
    running = asyncio.create_task(BarFeed(lake, [pattern], desk.engine).run())
    try:
        (told,) = await until_written(desk, 1)
        assert "KeyError: 'mine'" in told.text
        await until(lambda: bool(pattern.seen))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_around_a_shot_nothing_is_handed_on(
    desk: Station, tmp_path: Path, closes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_feed, "LOOK_S", 0.01)
    await desk.start()
    lake, pattern = Lake(tmp_path / "lake"), Kept()
    shift = (desk.clock.now_ns() - now_at(ROWS - 1)) // MINUTE * MINUTE // 1_000_000
    lake.write(frame(closes, range(ROWS)).with_columns(pl.col("ts") + pl.duration(milliseconds=shift)))
    desk.engine.shots["a-1-1"] = desk.clock.now_ns()
    running = asyncio.create_task(BarFeed(lake, [pattern], desk.engine).run())
    try:
        await asyncio.sleep(0.5)
        assert not pattern.seen
        del desk.engine.shots["a-1-1"]
        await until(lambda: len(pattern.seen) >= 2 * pattern.minutes)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_of_the_installed_patterns_the_broken_tie_lives_on_bars() -> None:
    patterns = load_patterns(ListingsSettings())
    assert [each.name for each in patterns if isinstance(each, BarPattern)] == ["correlation_break"]


def test_a_daemon_that_is_to_watch_bars_says_so_when_nobody_brings_any(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEXCLAB_LISTINGS__WATCH_BARS", "true")
    daemon.start()
    deadline = time.monotonic() + 30
    while True:
        with daemon.client() as client:
            rows = client.get("/events", params={"limit": 1000}).json()["events"]
        texts = [row["body"]["text"] for row in rows if row["kind"] == "AlertRaised"]
        if any("mexclab fetch follow" in text for text in texts):
            break
        assert time.monotonic() < deadline, texts
        time.sleep(0.1)
