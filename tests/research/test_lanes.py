"""How panels are laid out in memory, and the sixteen-lane arithmetic over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import NotEnoughData
from mexclab.research import lanes
from mexclab.research.compiling import compiled
from mexclab.research.lanes import EMPTY, LANES, Group, Stretch, arrange
from mexclab.research.simd import ROWS_AT_ONCE, inverse_root, load, products, store
from mexclab.research.similarity import similar
from mexclab.research.windows import Panel

MINUTE = 60_000_000_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(1, 400), st.sampled_from([0, 1])), min_size=1, max_size=40
    )
)
def test_every_bar_has_a_cell_of_its_own_and_nobody_waits_in_a_group_that_costs_more(
    wanted: list[tuple[int, int, int]],
) -> None:
    pieces = [
        Stretch(symbol, first * 60 + phase, (first + bars - 1) * 60 + phase)
        for symbol, (first, bars, phase) in enumerate(wanted)
    ]
    groups = arrange(pieces, 60)
    cells = []
    for piece in pieces:
        times = np.arange(piece.first_ns, piece.last_ns + 1, 60)
        own = lanes.cells_of(groups, piece.symbol, times, 60)
        assert (own >= 0).all()
        cells.append(own)
    every = np.concatenate(cells)
    assert len(np.unique(every)) == len(every)
    assert every.max() < groups[-1].end
    alone = sum((piece.last_ns - piece.first_ns) // 60 + 1 for piece in pieces)
    assert sum(group.rows for group in groups) <= alone


def test_symbols_that_begin_together_share_a_row() -> None:
    groups = arrange([Stretch(i, 0, 599) for i in range(20)], 1)
    assert [group.rows for group in groups] == [600, 600]
    assert [sum(symbol != EMPTY for symbol in group.symbols) for group in groups] == [16, 4]


def test_a_symbol_with_a_very_long_hole_is_not_laid_out_through_it() -> None:
    late = (lanes.LONGEST_HOLE + 500) * MINUTE
    times = np.concatenate([np.arange(100), late // MINUTE + np.arange(100)]) * MINUTE
    close = np.exp(np.cumsum(np.random.default_rng(0).standard_normal(200)) * 1e-3)
    panel = Panel.from_arrays({"AUSDT": (times, close)})
    assert len(panel.flat) == 2 * 100 * LANES
    assert panel.segment_time.tolist() == [0, late]
    assert panel.window("AUSDT", length=50).start_ns == late + 50 * MINUTE
    np.testing.assert_allclose(np.exp(panel.log_at(np.arange(200))), close, rtol=1e-14)


def _runs(times: np.ndarray) -> list[list[int]]:
    """[first, how many] of every run of whole minutes without a gap, the naive way."""
    found: list[list[int]] = []
    for time in times.tolist():
        if found and time == found[-1][0] + found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([time, 1])
    return found


def _segments_are_the_runs(minutes: dict[str, np.ndarray]) -> None:
    series = {name: (times * MINUTE, 1.0 + times % 97) for name, times in minutes.items()}
    panel = Panel.from_arrays(series, MINUTE)
    lengths = np.diff(panel.segment_start)
    for i, name in enumerate(panel.symbols):
        own = panel.segment_symbol == i
        pairs = zip((panel.segment_time[own] // MINUTE).tolist(), lengths[own].tolist(), strict=True)
        assert [list(pair) for pair in pairs] == _runs(minutes[name]), name
    logs = np.concatenate([np.log(close) for _, (_, close) in sorted(series.items())])
    assert panel.log_at(np.arange(len(panel))).tolist() == logs.tolist()


def test_a_symbol_with_lanes_in_two_overlapping_groups_keeps_its_windows_whole() -> None:
    minutes = {f"S{i:02}": np.arange(1000) for i in range(16)}
    minutes["S00"] = np.concatenate([np.arange(1000), np.arange(20_000, 21_000)])
    minutes["S16"] = np.arange(100, 30_000)
    _segments_are_the_runs(minutes)


def test_random_symbols_with_very_long_holes_have_the_segments_that_their_bars_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(8):
        minutes = {}
        for i in range(40):
            first = int(rng.integers(0, 400))
            pieces = []
            for _ in range(rng.integers(1, 5)):
                bars = int(rng.integers(1, 1500)) * int(rng.choice([1, 1, 15]))
                kept = rng.random(bars) > rng.choice([0.0, 0.003])
                kept[-1] = True
                pieces.append(first + np.flatnonzero(kept))
                first += bars + int(rng.choice([1, lanes.LONGEST_HOLE, rng.integers(9_000, 14_000)]))
            minutes[f"S{i:02}"] = np.concatenate(pieces)
        _segments_are_the_runs(minutes)


def test_a_memory_map_with_spare_rows_gives_the_panel_that_the_arrays_give(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = {}
    for i, symbol in enumerate(["AUSDT", "BUSDT", "CUSDT"]):
        kept = np.flatnonzero((rng.random(400) > 0.02) | (np.arange(400) > 380))
        series[symbol] = ((kept + 7 * i) * MINUTE, np.exp(rng.standard_normal(len(kept)) * 1e-3))
    plain = Panel.from_arrays(series, MINUTE)
    spare = 50 * LANES
    path = tmp_path / "close.f64"
    mapped = np.memmap(path, dtype=np.float64, mode="w+", shape=(spare + len(plain.flat) + spare,))
    mapped[:] = np.nan
    mapped[spare : spare + len(plain.flat)] = plain.flat
    groups = [Group(g.offset + spare, g.rows, g.first_ns, g.symbols) for g in plain.groups]
    panel = Panel.from_lanes(plain.symbols, MINUTE, groups, np.memmap(path, dtype=np.float64, mode="r"))
    for name in ("segment_symbol", "segment_start", "segment_time"):
        assert getattr(panel, name).tolist() == getattr(plain, name).tolist()
    everything = np.arange(len(plain))
    assert panel.log_at(everything).tolist() == plain.log_at(everything).tolist()
    symbols, times = panel.bars_at(panel.cells(everything))
    assert panel.positions(symbols, times).tolist() == everything.tolist()
    assert times.tolist() == panel.times(everything).tolist()
    query = plain.window("CUSDT", length=10)
    assert similar(panel, query).table.equals(similar(plain, query).table)


def test_cells_without_a_bar_are_not_enough_data() -> None:
    with pytest.raises(NotEnoughData):
        Panel.from_lanes(
            ["AUSDT"], MINUTE, [Group(0, 5, 0, (0,) + (EMPTY,) * 15)], np.full(5 * LANES, np.nan)
        )


@compiled()
def _products(levels, query, out):  # type: ignore[no-untyped-def]
    products(levels, LANES, query, out, 0)


@compiled()
def _inverse_roots(numbers, out):  # type: ignore[no-untyped-def]
    for at in range(0, len(numbers), LANES):
        store(out, at, inverse_root(load(numbers, at)))


def test_a_product_is_off_by_no_more_than_a_rounding_a_tap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for taps in (1, 10, 60, 2000):
        levels = rng.standard_normal(((ROWS_AT_ONCE + taps + 1), LANES)).astype(np.float32)
        query = rng.standard_normal(taps).astype(np.float32)
        out = np.empty(ROWS_AT_ONCE * LANES, dtype=np.float32)
        _products(levels.ravel(), query, out)
        for row, got in enumerate(out.reshape(-1, LANES)):
            part = levels[row + 1 : row + 1 + taps].astype(np.float64)
            norms = np.linalg.norm(part, axis=0) * np.linalg.norm(query.astype(np.float64))
            assert (np.abs(query.astype(np.float64) @ part - got) <= (taps + 1) * 6e-8 * norms).all()


def test_an_inverse_root_is_as_good_as_the_bounds_rely_on(seed: int) -> None:
    exponents = np.random.default_rng(seed).uniform(np.log(4e-14), np.log(2.0), 16_000)
    numbers = np.exp(exponents).astype(np.float32)
    out = np.empty_like(numbers)
    _inverse_roots(numbers, out)
    wanted = 1.0 / np.sqrt(numbers.astype(np.float64))
    assert np.abs(out / wanted - 1.0).max() < 1e-6
