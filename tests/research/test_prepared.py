"""What a panel keeps between queries of one length changes how fast it answers, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.similarity_truth import FLOOR, MINUTE_NS, identical, random_query, rough_panel
from mexclab.research import prepared
from mexclab.research.activity import ActivityFloor
from mexclab.research.prepared import QUERIES_TO_FILL, PreparedLength, PreparedLengths
from mexclab.research.prepared_kernels import room_to_keep
from mexclab.research.similarity import Matches, SimilarityOptions, similar, similar_batch
from mexclab.research.tile_kernels import TILE
from mexclab.research.windows import Panel, Query

ENOUGH = 10**9  # bytes


@pytest.fixture
def panel(seed: int) -> Panel:
    """Four walks of different length; the longest has four whole tiles of windows of 60 bars."""
    return walks(np.random.default_rng(seed), 4 * TILE + 59)


def walks(rng: np.random.Generator, bars: int) -> Panel:
    series = {}
    for i, name in enumerate("DCBA"):
        close = np.exp(np.cumsum(rng.standard_normal(bars - 100 * i)) * 1e-3)
        series[f"{name}USDT"] = (np.arange(len(close)) * MINUTE_NS, close)
    made = Panel.from_arrays(series, MINUTE_NS)
    made.prepared.limit_bytes = ENOUGH
    return made


def later(rng: np.random.Generator, panel: Panel, length: int = 60) -> Query:
    """A walk of its own, after everything."""
    close = np.exp(np.cumsum(rng.standard_normal(length)) * 1e-3)
    return Query(close, "QUSDT", panel.groups[0].rows * MINUTE_NS, MINUTE_NS)


def same(one: Matches, other: Matches) -> bool:
    return one.table.equals(other.table) and (one.scanned, one.excluded) == (other.scanned, other.excluded)


def afresh(panel: Panel) -> Panel:
    """The same bars, of which nothing is ever kept."""
    copy = Panel.from_lanes(panel.symbols, panel.interval_ns, panel.groups, panel.flat, panel.channels)
    copy.prepared.limit_bytes = 0
    return copy


def share_of(panel: Panel, length: int) -> float:
    """How much of a length the panel keeps."""
    found = panel.prepared.of((length, FLOOR.rule(length)), (1, 1), lambda: room_to_keep(length, 0))
    return 0.0 if found is None else found.share


def filled(panel: Panel, query: Query) -> None:
    for _ in range(QUERIES_TO_FILL):
        similar(panel, query)


@pytest.mark.parametrize("length", [10, 60, 240])
def test_queries_of_a_kept_length_are_answered_as_brute_force_answers_them(length: int, seed: int) -> None:
    rng = np.random.default_rng((seed, length))
    rough = rough_panel(length, seed)
    rough.prepared.limit_bytes = ENOUGH
    for _ in range(2 * QUERIES_TO_FILL):
        assert identical(rough, random_query(rough, length, rng))
    assert share_of(rough, length) == 1.0


def test_each_of_the_first_queries_keeps_its_part(seed: int) -> None:
    rng = np.random.default_rng(seed)
    panel = walks(rng, QUERIES_TO_FILL * TILE + 59)  # as many tiles in the one group
    query = later(rng, panel)
    shares = []
    for _ in range(QUERIES_TO_FILL):
        similar(panel, query)
        shares.append(share_of(panel, query.length))
    assert shares == [(i + 1) / QUERIES_TO_FILL for i in range(QUERIES_TO_FILL)]
    other = afresh(panel)
    other.prepared.limit_bytes = ENOUGH
    similar_batch(other, [query] * QUERIES_TO_FILL)
    assert share_of(other, query.length) == 1.0


def test_a_panel_with_more_bars_is_never_answered_from_the_tiles_of_the_shorter_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = walks(rng, 4 * TILE)
    known = [type(group)(group.offset, 3 * TILE, group.first_ns, group.symbols) for group in whole.groups]
    short = Panel.from_lanes(whole.symbols, MINUTE_NS, known, whole.flat)
    short.prepared.limit_bytes = ENOUGH
    query = later(rng, whole)
    filled(short, query)
    twin = Query(np.exp(whole.flat[: 60 * 16 : 16]), "QUSDT", query.start_ns, MINUTE_NS)
    recent = whole.window("DUSDT", length=60)
    asked = Query(recent.values, "QUSDT", query.start_ns, MINUTE_NS)
    assert similar(whole, asked).table["start"].dt.epoch("ns")[0] == recent.start_ns
    for one in (query, twin, asked):
        assert same(similar(whole, one), similar(afresh(whole), one))
        assert same(similar(short, one), similar(afresh(short), one))


def test_a_memory_mapped_panel_keeps_its_tiles_too(panel: Panel, seed: int, tmp_path: Path) -> None:
    panel.flat.tofile(tmp_path / "closes")
    flat = np.memmap(tmp_path / "closes", dtype=np.float64, mode="r")
    mapped = Panel.from_lanes(panel.symbols, MINUTE_NS, panel.groups, flat)
    mapped.prepared.limit_bytes = ENOUGH
    query = later(np.random.default_rng(seed), panel)
    filled(mapped, query)
    assert share_of(mapped, query.length) == 1.0
    assert same(similar(mapped, query), similar(afresh(panel), query))


def test_a_query_over_a_part_of_history_sees_that_part_alone(panel: Panel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    filled(panel, later(rng, panel))
    for start in (TILE + 59, TILE + 60, 2 * TILE + 300, 3 * TILE):
        query = panel.window("DUSDT", start_ns=start * MINUTE_NS, length=60)
        past = similar(panel, query, 5)
        assert past.table["end"].dt.epoch("ns").max() <= query.start_ns
        assert same(past, similar(afresh(panel), query, 5))
        everything = SimilarityOptions(point_in_time=False)
        assert same(
            similar(panel, query, 5, options=everything), similar(afresh(panel), query, 5, options=everything)
        )


def test_a_batch_with_many_points_in_time_is_answered_as_one_by_one(panel: Panel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rng.integers(TILE + 60, 3 * TILE, 12)
    queries = [panel.window("DUSDT", start_ns=int(start) * MINUTE_NS, length=60) for start in starts]
    for _ in range(3):
        for found, query in zip(similar_batch(panel, queries, 5), queries, strict=True):
            assert same(found, similar(afresh(panel), query, 5))


def test_queries_in_several_threads_at_once_are_answered_as_one_after_the_other(
    panel: Panel, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries = [later(rng, panel) for _ in range(12)]
    two = SimilarityOptions(threads=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda query: similar(panel, query, 5, options=two), queries))
    for one, query in zip(found, queries, strict=True):
        assert one.table.equals(similar(afresh(panel), query, 5).table)


def test_another_activity_rule_has_tiles_of_its_own(panel: Panel, seed: int) -> None:
    steps = np.random.default_rng(seed).choice([-1e-3, 1e-3], 60)  # none of them is a jump by any rule
    query = Query(np.exp(np.cumsum(steps)), "QUSDT", panel.groups[0].rows * MINUTE_NS, MINUTE_NS)
    filled(panel, query)
    strict = SimilarityOptions(activity=ActivityFloor(max_jump_share=0.1))
    assert similar(panel, query, options=strict).excluded["one jump"] > 0
    for _ in range(QUERIES_TO_FILL):
        assert same(similar(panel, query, options=strict), similar(afresh(panel), query, options=strict))
    assert same(similar(panel, query), similar(afresh(panel), query))


def test_a_search_that_weighs_channels_keeps_nothing_and_needs_nothing_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = 3 * TILE
    times, close = np.arange(bars) * MINUTE_NS, np.exp(np.cumsum(rng.standard_normal(bars)) * 1e-3)
    volume = {"volume": {"AUSDT": rng.random(bars)}}
    panel = Panel.from_arrays({"AUSDT": (times, close)}, MINUTE_NS, channels=volume)
    panel.prepared.limit_bytes = ENOUGH
    query = panel.window("AUSDT", length=60)
    filled(panel, query)
    taken = panel.prepared.nbytes
    both = SimilarityOptions(channels={"close": 1.0, "volume": 1.0})
    assert same(similar(panel, query, options=both), similar(afresh(panel), query, options=both))
    assert panel.prepared.nbytes == taken > 0


def test_a_limit_of_nothing_keeps_nothing(panel: Panel, seed: int) -> None:
    panel.prepared.limit_bytes = 0
    similar(panel, later(np.random.default_rng(seed), panel))
    assert panel.prepared.nbytes == 0


def test_the_length_that_was_used_longest_ago_is_let_go_first() -> None:
    lengths = PreparedLengths(500)  # so 1,000 bytes
    first = lengths.of((10, (2, 0.8)), (1, 400), lambda: room_to_keep(10, 1))
    lengths.of((20, (2, 0.8)), (1, 400), lambda: room_to_keep(20, 1))
    assert lengths.of((10, (2, 0.8)), (1, 400), lambda: room_to_keep(10, 1)) is first
    lengths.of((30, (2, 0.8)), (1, 400), lambda: room_to_keep(30, 1))
    assert repr(lengths) == "10 bars 0%, 30 bars 0% kept in 800 of 1,000 bytes"
    assert lengths.of((40, (2, 0.8)), (1, 1001), lambda: room_to_keep(40, 1)) is None
    lengths.limit_bytes = 500
    assert repr(lengths) == "30 bars 0% kept in 400 of 500 bytes"
    lengths.clear()
    assert repr(lengths) == "nothing kept in 0 of 500 bytes"


def test_a_tile_is_written_by_one_scan_and_read_once_that_is_through() -> None:
    prepared = PreparedLength(room_to_keep(10, 4), 4)
    numbers = np.array([0, -1, 1, 2, 3])
    with (
        prepared.scanning(numbers, QUERIES_TO_FILL // 2) as (mine, ready),
        prepared.scanning(numbers, 2 * QUERIES_TO_FILL) as (other, early),
    ):
        assert mine.tolist() == [0, -1, 1, -1, -1]
        assert other.tolist() == [-1, -1, -1, 2, 3]
        assert not ready.any()
        assert not early.any()
    with prepared.scanning(numbers, 1) as (given, ready):
        assert given.tolist() == numbers.tolist()
        assert ready.tolist() == [True, False, True, True, True]


def test_what_a_scan_that_failed_was_to_write_is_not_read() -> None:
    prepared = PreparedLength(room_to_keep(10, 2), 2)
    with pytest.raises(KeyboardInterrupt), prepared.scanning(np.arange(2), QUERIES_TO_FILL):
        raise KeyboardInterrupt
    with prepared.scanning(np.arange(2), QUERIES_TO_FILL) as (given, ready):
        assert given.tolist() == [0, 1]
        assert not ready.any()


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_that_may_take_less_than_the_machine_has_is_what_counts(
    name: str, tmp_path: Path
) -> None:
    free = prepared._memory_bytes(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1000000\n")
    assert prepared._memory_bytes(tmp_path) == 1_000_000 < free
    (tmp_path / name).write_text("max\n")
    assert prepared._memory_bytes(tmp_path) == free
