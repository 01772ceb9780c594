"""A short soak in every run of the suite; ``make soak`` is the long one, whose slopes mean something."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.soak.soak import Sample, quantile, slope, soak, wrong

DAY_S = 14.0  # of wall time for one day of eight listings


def test_a_day_of_trading_leaves_files_loop_and_books_in_order(tmp_path: Path, seed: int) -> None:
    told: list[Sample] = []
    seen = asyncio.run(soak(tmp_path, 1, seed % 10_000, DAY_S, told.append))
    figures = seen.figures()
    assert wrong(figures, long=False) == []
    assert figures["events"] > 100
    assert len(told) == len(seen.samples) > 5
    assert seen.late_ms
    assert seen.append_ms


def test_a_slope_and_a_quantile_are_what_they_say() -> None:
    assert slope([0, 1, 2], [1.0, 3.0, 5.0]) == 2.0
    assert slope([1], [1.0]) == 0.0
    assert quantile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert quantile([], 0.99) == 0.0


def test_what_a_good_run_must_not_show_is_said() -> None:
    good = {
        "unreconciled": 0.0, "snipes": 8.0, "files_start": 30.0, "files_end": 31.0, "loop_late_p99_ms": 9.0,
        "loop_held_p99_ms": 2.0, "rss_bytes_per_event": 900.0,
    }  # fmt: skip
    assert wrong(good, long=True) == []
    for name, value in (
        ("unreconciled", 1.0),
        ("snipes", 0.0),
        ("files_end", 90.0),
        ("loop_held_p99_ms", 500.0),
    ):
        assert len(wrong({**good, name: value}, long=False)) == 1
    busy = {**good, "loop_late_p99_ms": 500.0}
    assert (wrong(busy, long=False), len(wrong(busy, long=True))) == ([], 1)
    assert len(wrong({**good, "rss_bytes_per_event": 50_000.0}, long=True)) == 1
