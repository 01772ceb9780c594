from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact
from mexclab.store.lake_partition import ROWS_A_GROUP
from tests.naive.lake_naive import gaps
from tests.store.bar_samples import MAY, bars, ns, partition

MINUTE = timedelta(minutes=1)
MINUTE_MS = 60_000
MINUTE_NS = 60_000_000_000
MAY_NS = ns(MAY)


def at(minute: float) -> int:
    """So many minutes into May, ns."""
    return MAY_NS + int(minute * MINUTE_NS)


def lake_of(root: Path, minutes: list[int], symbol: str = "AUSDT") -> Lake:
    lake = Lake(root)
    lake.write(pl.concat([bars(symbol, MAY + minute * MINUTE, 1) for minute in minutes]))
    return lake


def rows(found: pl.DataFrame) -> list[tuple[int, int, int, str]]:
    """Start and end in minutes of May, missing, reason."""
    minute = ((pl.col(c) - MAY).dt.total_minutes() for c in ("start", "end"))
    return found.select(*minute, "missing", "reason").rows()


def test_without_a_range_a_gap_lies_between_two_bars(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [0, 1, 4, 5, 7])
    assert rows(lake.gaps()) == [(2, 4, 2, "missing"), (6, 7, 1, "missing")]


def test_with_a_range_what_lacks_before_the_first_and_after_the_last_bar_counts(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [3, 4, 6])
    found = lake.gaps("AUSDT", start_ns=at(0.5), end_ns=at(9))
    assert rows(found) == [(1, 3, 2, "missing"), (5, 6, 1, "missing"), (7, 9, 2, "missing")]
    assert rows(lake.gaps(start_ns=at(4))) == [(5, 6, 1, "missing")]
    assert rows(lake.gaps(end_ns=at(5.5))) == [(5, 6, 1, "missing")]
    assert rows(lake.gaps(start_ns=at(20), end_ns=at(22))) == [(20, 22, 2, "missing")]
    assert lake.gaps(start_ns=at(3), end_ns=at(5)).is_empty()


def test_what_lies_outside_a_symbols_life_is_told_apart_from_what_is_missing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [5, 6, 9])
    lake.facts.record(
        [
            Fact("listing", "AUSDT", at(4.5), at(1), "the venue"),
            Fact("delisting", "AUSDT", at(11.5), at(11), "the venue"),
        ]
    )
    assert rows(lake.gaps("AUSDT", start_ns=at(0), end_ns=at(15))) == [
        (0, 4, 4, "before listing"),
        (4, 5, 1, "missing"),
        (7, 9, 2, "missing"),
        (10, 12, 2, "missing"),
        (12, 15, 3, "after delisting"),
    ]


def test_before_and_after_a_rename_a_symbol_trades_under_another_name(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [2, 3], "OLDUSDT")
    lake_of(tmp_path, [5, 6], "NEWUSDT")
    lake.facts.record([Fact("rename", "OLDUSDT", at(4), at(4), "the venue", "NEWUSDT")])
    assert rows(lake.gaps("NEWUSDT", start_ns=at(2), end_ns=at(7))) == [
        (2, 4, 2, "under another name"),
        (4, 5, 1, "missing"),
    ]
    assert rows(lake.gaps("OLDUSDT", start_ns=at(2), end_ns=at(7))) == [(4, 7, 3, "under another name")]


def test_whole_months_are_judged_by_their_footers_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars(count=44_640 + 100))
    file = partition(tmp_path)
    content = bytearray(file.read_bytes())
    content[4:2000] = b"\xff" * 1996
    file.write_bytes(content)
    assert lake.coverage()["rows"].to_list() == [44_740]
    assert lake.gaps().is_empty()


def test_a_symbols_month_of_minutes_is_one_row_group() -> None:
    assert ROWS_A_GROUP >= 31 * 1440


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, float]]:
    """Listings and delistings in turn, at whole and half minutes."""
    halves = sorted(draw(st.sets(st.integers(0, 80), max_size=4)))
    kinds = draw(st.permutations(["listing", "delisting"]))
    return [(kinds[number % 2], half / 2) for number, half in enumerate(halves)]


@given(
    st.sets(st.integers(0, 39), min_size=1),
    st.sets(st.integers(0, 39)),
    st.tuples(st.integers(-5, 20), st.integers(0, 40)),
    lives(),
)
@settings(max_examples=40, deadline=None)
def test_the_gap_map_agrees_with_a_look_at_every_single_bar(
    stored: set[int], live: set[int], span: tuple[int, int], told: list[tuple[str, float]]
) -> None:
    start, end = span[0], span[0] + span[1]
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(Path(folder), sorted(stored))
        if live:
            lake.append(pl.concat([bars("AUSDT", MAY + minute * MINUTE, 1) for minute in sorted(live)]))
        lake.facts.record([Fact(kind, "AUSDT", at(minute), 0, "test") for kind, minute in told])
        told_ms = MAY_NS // 1_000_000
        wanted = gaps(
            {told_ms + minute * MINUTE_MS for minute in stored | live},
            (told_ms + start * MINUTE_MS, told_ms + end * MINUTE_MS),
            MINUTE_MS,
            "AUSDT",
            lake.facts.of("AUSDT"),
        )
        found = lake.gaps("AUSDT", start_ns=at(start), end_ns=at(end))
        times = found.select(pl.col("start", "end").dt.epoch("ms"), "reason").rows()
        assert times == wanted
        assert found["missing"].sum() == sum((b - a) // MINUTE_MS for a, b, _ in wanted)
