"""Repair: gaps that are faults are asked for, gaps that have a reason are left alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE
from mexclab.errors import DataError
from mexclab.fetching.bars import fetch
from mexclab.fetching.repair import plan_repair, repair
from mexclab.fetching.report import FetchWishes
from mexclab.store.bar_rows import Span, frame_of
from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact, FactKind
from tests.fetching.scene import MINUTE_MS, Here, Shelf, fetching, plain_bar

START = 1_780_272_000_000
EVER = FetchWishes((), since="3650d")


async def holed(here: Here, lake: Lake) -> pl.DataFrame:
    """A lake with 40 bars missing of one symbol; the whole of it."""
    whole = Lake(lake.root / "whole")
    await fetch(here.source, whole, here.wishes(300, "BTCUSDT", "MXUSDT"))
    bars = whole.scan().collect()
    bitcoin = bars.filter(pl.col("symbol") == "BTCUSDT")
    lake.write(
        pl.concat([bars.filter(pl.col("symbol") != "BTCUSDT"), bitcoin[:50], bitcoin[70:200], bitcoin[220:]])
    )
    return bars


async def test_gaps_are_filled_with_the_venues_own_bars(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        whole = await holed(here, lake)
        plan = plan_repair(lake, EVER, here.source.now_ns())
        start = here.past_ms(300)
        assert plan.gaps == {
            "BTCUSDT": [
                Span(start + 50 * MINUTE_MS, start + 70 * MINUTE_MS),
                Span(start + 200 * MINUTE_MS, start + 220 * MINUTE_MS),
            ]
        }
        assert (plan.bars, plan.exchanges) == (40, ("mexc",))
        report = await repair(here.source, lake, plan, EVER)
        assert (report.total("added"), report.total("missing")) == (40, 0)
        assert lake.scan().collect().equals(whole)
        assert plan_repair(lake, EVER, here.source.now_ns()).gaps == {}


async def test_a_gap_in_which_the_pair_was_not_listed_is_no_fault(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        await holed(here, lake)
        start_ns = here.past_ms(300) * MILLISECOND
        lake.facts.record(
            [
                Fact(FactKind.DELISTING, "BTCUSDT", start_ns + 50 * MINUTE, start_ns, "a page"),
                Fact(FactKind.LISTING, "BTCUSDT", start_ns + 60 * MINUTE, start_ns, "a page"),
            ]
        )
        (first, second) = plan_repair(lake, EVER, here.source.now_ns()).gaps["BTCUSDT"]
        assert (first.end_ms - first.start_ms, second.end_ms - second.start_ms) == (
            10 * MINUTE_MS, 20 * MINUTE_MS,
        )  # fmt: skip


async def test_only_gaps_of_the_time_that_is_asked_about_are_planned(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        await holed(here, lake)
        plan = plan_repair(lake, FetchWishes(["BTCUSDT"], since="95m"), here.source.now_ns())
        assert 13 <= plan.bars <= 16
        with pytest.raises(DataError, match="did you mean"):
            plan_repair(lake, FetchWishes(["BTCUSD"], since="3d"), here.source.now_ns())


async def test_a_pair_that_is_listed_no_more_is_told_and_the_others_are_repaired(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        await holed(here, lake)
        gone = lake.bars("BTCUSDT").with_columns(symbol=pl.lit("GONEUSDT"))
        lake.write(gone)
        report = await repair(here.source, lake, plan_repair(lake, EVER, here.source.now_ns()), EVER)
        told = {pair.name: (pair.added, pair.why) for pair in report.pairs}
        assert told["BTCUSDT"] == (40, "")
        assert "no spot pair 'GONEUSDT'" in told["GONEUSDT"][1]


async def test_each_exchange_is_asked_for_its_own_gaps(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    async with fetching() as here:
        await holed(here, lake)
        lake.write(lake.bars("BTCUSDT").with_columns(symbol=pl.lit("KRAKEN:BTCUSDT")))
        plan = plan_repair(lake, EVER, here.source.now_ns())
        assert plan.exchanges == ("kraken", "mexc")
        assert list(plan.of("mexc").gaps) == ["BTCUSDT"]
        assert list(plan.of("kraken").gaps) == ["KRAKEN:BTCUSDT"]


async def test_a_gap_that_the_venue_has_nothing_for_stays_and_is_told(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    held = [plain_bar(START + n * MINUTE_MS) for n in range(60) if not 20 <= n < 40]
    lake.write(frame_of("BTCUSDT", held, "1m").frame)
    shelf = Shelf(held, now_ms=START + 60 * MINUTE_MS)
    report = await repair(shelf, lake, plan_repair(lake, EVER, shelf.now_ns()), EVER)
    assert (report.total("asked"), report.total("missing")) == (20, 20)
    assert "the venue has nothing for 20 of 20 bars" in str(report)
    assert lake.gaps()["missing"].to_list() == [20]
