"""Windows as vectors: exact where they answer, honest about what they miss, whole after any death."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.config import Settings
from mexclab.errors import ConfigError, DataError, NotEnoughData, ParameterError
from mexclab.research.query import Query
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel
from mexclab.store import vectors_search
from mexclab.store.lake import Lake
from mexclab.store.postgres import Postgres, connect
from mexclab.store.vectors import EFFORTS, Effort, VectorIndex, VectorSpec, bars_and_numbers, bound_of, ids_of
from mexclab.store.vectors_encoding import Run, WindowMap, components_of, drawn, encoded, shapes_at, uncovered
from mexclab.store.vectors_faiss import FaissVectors
from mexclab.store.vectors_pg import PgVectors
from mexclab.store.vectors_search import EVERYTHING, measure, sampled_queries, search, sufficient
from mexclab.store.vectors_windows import OpenIndex, WindowVectors
from mexclab.vectoring import Place, Vectors
from tests.naive import similarity_naive
from tests.naive.panel_file_naive import left_of

MINUTE = 60_000_000_000
START = 20_605 * 1440 * MINUTE
LENGTH = 20
Series = dict[str, tuple[np.ndarray, np.ndarray]]


def walks(symbols: int, bars: int, seed: int, gaps: bool = True) -> Series:
    """Random walks; every third symbol has a gap, and every fourth a flat stretch and a jump."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(symbols):
        close = np.exp(np.cumsum(rng.standard_normal(bars)) * 1e-3)
        times = START + np.arange(bars) * MINUTE
        if number % 4 == 1:
            close[40:90] = close[40]
            close[200:] *= 3.0
        kept = np.ones(bars, dtype=bool)
        kept[bars // 3 : bars // 3 + 7] = not (gaps and number % 3 == 0)
        found[f"W{number:02}USDT"] = (times[kept], close[kept])
    return found


def opener(folder: Path) -> OpenIndex:
    return lambda size, state: FaissVectors(folder, size, state)


def built(folder: Path, panel: Panel, stride: int = 1) -> WindowVectors:
    return WindowVectors.build(folder, panel, VectorSpec(MINUTE, LENGTH, stride), opener(folder))


@pytest.fixture(scope="module")
def series() -> Series:
    return walks(6, 700, seed=5)


@pytest.fixture(scope="module")
def panel(series: Series) -> Panel:
    return Panel.from_arrays(series, MINUTE)


@pytest.fixture(scope="module")
def early(series: Series) -> Panel:
    return Panel.from_arrays({name: (t[:400], c[:400]) for name, (t, c) in series.items()}, MINUTE)


@pytest.fixture(scope="module")
def vectors(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> WindowVectors:
    return built(tmp_path_factory.mktemp("vectors"), panel)


@pytest.mark.parametrize(
    "rules",
    [
        similarity_naive.Rules(MINUTE, LENGTH // 2),
        similarity_naive.Rules(MINUTE, 0, horizon=30, embargo=5),
        similarity_naive.Rules(MINUTE, 35, per_symbol=1),
        similarity_naive.Rules(MINUTE, LENGTH // 2, point_in_time=False),
    ],
    ids=["default", "horizon and embargo", "one per symbol", "not point in time"],
)
def test_when_every_vector_is_handed_over_the_answer_is_the_one_of_brute_force(
    series: Series, panel: Panel, vectors: WindowVectors, rules: similarity_naive.Rules
) -> None:
    options = SimilarityOptions(
        exclusion=rules.exclusion,
        per_symbol=rules.per_symbol,
        point_in_time=rules.point_in_time,
        embargo=rules.embargo,
    )
    for query in sampled_queries(vectors, panel, 3, seed=8):
        (found,) = search(
            vectors, panel, [query], 8, horizon=rules.horizon, options=options, effort=EVERYTHING
        )
        asked = (query.symbol, query.start_ns, query.values)
        expected = similarity_naive.nearest(similarity_naive.candidates(series, asked, rules)[0], 8, rules)
        got = list(zip(found.table["symbol"], found.table["start"].dt.epoch("ns"), strict=True))
        assert got == [(symbol, opened) for _, symbol, opened in expected]
        np.testing.assert_allclose(
            found.table["distance"], [distance for distance, _, _ in expected], rtol=0, atol=1e-9
        )
        assert found.notes[0].startswith("approximate")


def test_a_stride_misses_little_and_what_it_finds_has_its_exact_distance(
    series: Series, panel: Panel, tmp_path: Path
) -> None:
    sparse = built(tmp_path, panel, stride=3)
    rules = similarity_naive.Rules(MINUTE, LENGTH // 2)
    hits = total = 0
    for query in sampled_queries(sparse, panel, 4, seed=9):
        every, _ = similarity_naive.candidates(series, (query.symbol, query.start_ns, query.values), rules)
        distances = {(symbol, opened): distance for distance, symbol, opened in every}
        (found,) = search(sparse, panel, [query], 5, effort=Effort(8, 400))
        rows = list(zip(found.table["symbol"], found.table["start"].dt.epoch("ns"), strict=True))
        assert found.table["distance"].to_list() == pytest.approx([distances[row] for row in rows], abs=1e-9)
        best = similarity_naive.nearest(every, 5, rules)
        hits += len({(symbol, opened) for _, symbol, opened in best} & set(rows))
        total += len(best)
    assert hits > 0.8 * total


def test_the_recall_is_measured_against_the_exact_search_and_remembered(panel: Panel, tmp_path: Path) -> None:
    made = built(tmp_path, panel)
    queries = sampled_queries(made, panel, 8, seed=1)
    found = measure(made, panel, queries, 5, efforts=[Effort(1, 6), EVERYTHING])
    assert found[0].share < found[1].share == 1.0
    made.remember(sufficient(found, 0.9))
    again = WindowVectors.open(tmp_path, opener(tmp_path))
    assert again.recall == found[1]
    assert "recall@5 1.000 over 8 queries" in repr(again)
    assert "recall@5 1.000" in search(again, panel, queries[:1], 3)[0].notes[0]


def test_candidates_that_zones_use_up_are_followed_by_more(panel: Panel, vectors: WindowVectors) -> None:
    (query,) = sampled_queries(vectors, panel, 1, seed=3)
    (found,) = search(vectors, panel, [query], 12, effort=Effort(1, 12))
    assert len(found) == 12
    (few,) = search(vectors, panel, [query], 10_000, effort=Effort(1, 5))
    assert "only" in few.notes[1]


def test_where_the_rules_leave_too_few_candidates_the_exact_search_answers(
    panel: Panel, vectors: WindowVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_search, "MOST_CANDIDATES", 300)
    options = SimilarityOptions(per_symbol=1)
    (query,) = sampled_queries(vectors, panel, 1, seed=3)
    (found,) = search(vectors, panel, [query], 10, options=options, effort=Effort(1, 12))
    assert found.notes[0] == "exact: the rules left too few candidates"
    assert found.table.equals(similar(panel, query, 10, options=options).table)
    first = panel.window(panel.symbols[0], start_ns=START, length=LENGTH)
    (none,) = search(vectors, panel, [first], 10, options=options, effort=Effort(1, 12))
    assert (len(none), none.notes[0][:11]) == (0, "approximate")


def test_what_another_process_built_or_measured_meanwhile_stays(
    early: Panel, panel: Panel, tmp_path: Path
) -> None:
    ours, theirs = built(tmp_path, early), WindowVectors.open(tmp_path, opener(tmp_path))
    measured = measure(ours, early, sampled_queries(ours, early, 2, seed=1), efforts=[EVERYTHING])[0]
    theirs.remember(measured)
    assert ours.add(panel) > 0
    assert WindowVectors.open(tmp_path, opener(tmp_path)).recall == measured
    anew = built(tmp_path, panel)
    ours.remember(measured)
    with pytest.raises(DataError, match="by another process meanwhile; run the same command again"):
        ours.add(panel)
    again = WindowVectors.open(tmp_path, opener(tmp_path))
    assert len(again) == len(anew)
    assert again.recall is None, "what was measured on other vectors is not theirs"


def test_an_index_that_is_replaced_while_it_is_opened_is_opened_anew(
    early: Panel, panel: Panel, tmp_path: Path
) -> None:
    built(tmp_path, early)
    first_time = iter([True])

    def replaced_once(size: int, state: Mapping[str, Any] | None) -> VectorIndex:
        if next(first_time, False):
            built(tmp_path, panel)
        return FaissVectors(tmp_path, size, state)

    assert WindowVectors.open(tmp_path, replaced_once).missing(panel) == 0


def test_windows_that_came_later_are_added_and_nothing_is_taken_in_twice(
    series: Series, tmp_path: Path
) -> None:
    early = {name: (times[:400], close[:400]) for name, (times, close) in list(series.items())[1:]}
    first, whole = Panel.from_arrays(early, MINUTE), Panel.from_arrays(series, MINUTE)
    made = built(tmp_path / "grown", first)
    before = len(made)
    assert made.missing(whole) > 0
    made.add(whole)
    assert made.missing(whole) == 0
    assert made.add(whole) == 0
    made.close()
    grown = WindowVectors.open(tmp_path / "grown", opener(tmp_path / "grown"))
    fresh = built(tmp_path / "fresh", whole)
    assert before < len(grown) == len(fresh)
    for query in sampled_queries(fresh, whole, 3, seed=4):
        ours, theirs = (search(each, whole, [query], 6, effort=EVERYTHING)[0] for each in (grown, fresh))
        assert ours.table.equals(theirs.table)


def test_small_additions_lie_beside_the_large_file_until_they_are_many(panel: Panel, tmp_path: Path) -> None:
    index = FaissVectors(tmp_path, 4)
    rng = np.random.default_rng(1)
    data = rng.standard_normal((3000, 4)).astype(np.float32)
    index.train(data, len(data))
    index.add(np.arange(2000), data[:2000])
    first = index.save()
    index.add(np.arange(2000, 2100), data[2000:2100])
    second = index.save()
    assert second["base"] == first["base"]
    assert len(second["added"]) == 1
    again = FaissVectors(tmp_path, 4, second)
    assert len(again) == 2100
    ours, theirs = (each.nearest(data[2050], Effort(1000, 1)) for each in (index, again))
    np.testing.assert_array_equal(ours, theirs)
    again.add(np.arange(2100, 3000), data[2100:])
    third = again.save()
    assert third["base"] != first["base"]
    again.discard(third)
    assert [path.name for path in tmp_path.iterdir()] == [third["base"]]


def test_vectors_that_are_written_whole_are_not_kept_a_second_time(tmp_path: Path) -> None:
    index = FaissVectors(tmp_path, 4)
    data = np.random.default_rng(1).standard_normal((1000, 4)).astype(np.float32)
    index.train(data, len(data))
    kept = weakref.ref(data)
    index.add(np.arange(1000), data)
    del data
    assert kept() is None
    assert len(FaissVectors(tmp_path, 4, index.save())) == 1000


def test_an_addition_that_dies_before_its_catalogue_leaves_what_was_there(
    early: Panel, panel: Panel, tmp_path: Path
) -> None:
    made = built(tmp_path, early)
    before = len(made)
    names = {path.name for path in tmp_path.iterdir()}
    index = FaissVectors(tmp_path, 16, WindowVectors.open(tmp_path, opener(tmp_path))._catalogue.state)
    index.add(np.arange(50), np.zeros((50, 16), dtype=np.float32))
    index.save()  # and here it is killed
    (tmp_path / "catalogue.json.1234.tmp").write_bytes(b"{")
    again = WindowVectors.open(tmp_path, opener(tmp_path))
    assert len(again) == before
    again.add(panel)
    left = {path.name for path in tmp_path.iterdir()}
    assert not any(name.endswith(".tmp") for name in left)
    assert len(left) <= len(names) + 1, "what nobody names is removed"


def test_what_is_damaged_or_not_there_says_how_to_make_it(panel: Panel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vectors build"):
        WindowVectors.open(tmp_path / "nothing", opener(tmp_path / "nothing"))
    for harm in ("base.*", "arrays.*", "catalogue.json"):
        folder = tmp_path / harm.partition(".")[0]
        built(folder, panel)
        next(folder.glob(harm)).write_bytes(b"x" * 10)
        with pytest.raises(DataError, match="vectors build"):
            WindowVectors.open(folder, opener(folder))


def test_a_question_that_does_not_fit_is_refused_in_words(panel: Panel, vectors: WindowVectors) -> None:
    name = panel.symbols[0]
    with pytest.raises(ParameterError, match="vectors of that length"):
        search(vectors, panel, [panel.window(name, length=30)])
    flat = Query(np.ones(LENGTH), name, START + 10**15, MINUTE)
    with pytest.raises(ParameterError, match="no shape"):
        search(vectors, panel, [flat])
    with pytest.raises(ParameterError, match="k is at least 1"):
        search(vectors, panel, [panel.window(name, length=LENGTH)], 0)
    with pytest.raises(ParameterError, match="stride"):
        VectorSpec(MINUTE, LENGTH, LENGTH)
    tiny = Panel.from_arrays({"AUSDT": (START + np.arange(25) * MINUTE, np.linspace(1, 2, 25))}, MINUTE)
    with pytest.raises(NotEnoughData, match="dimensions"):
        components_of(WindowMap.of(tiny, VectorSpec(MINUTE, LENGTH)), seed=1)


def test_two_vectors_are_never_further_apart_than_their_windows(panel: Panel, vectors: WindowVectors) -> None:
    windows = WindowMap.of(panel, vectors.spec)
    components = components_of(windows, seed=2)
    np.testing.assert_allclose(components.T @ components, np.eye(components.shape[1]), atol=1e-9)
    shapes = shapes_at(windows, drawn(windows, 40, seed=2))
    short = np.array([encoded(shape, components) for shape in shapes]) * np.sqrt(LENGTH)
    apart = np.linalg.norm(shapes[:, None] - shapes[None], axis=-1)
    assert (np.linalg.norm(short[:, None] - short[None], axis=-1) <= apart + 1e-4).all()


@given(bars=st.lists(st.integers(0, 2**40), min_size=1, max_size=20), number=st.integers(0, 2**20 - 1))
def test_ids_go_by_time_and_come_back(bars: list[int], number: int) -> None:
    ids = ids_of(np.array(sorted(bars)), number)
    assert (np.diff(ids) >= 0).all()
    assert bars_and_numbers(ids)[0].tolist() == sorted(bars)
    assert set(bars_and_numbers(ids)[1].tolist()) == {number}
    middle = sorted(bars)[len(bars) // 2]
    assert (ids < bound_of(middle)).tolist() == [bar < middle for bar in sorted(bars)]


@settings(max_examples=40)
@given(
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 30)), max_size=6),
    edges=st.lists(st.integers(0, 90), max_size=8, unique=True),
)
def test_what_is_left_to_take_in_is_what_no_range_covers(
    runs: list[tuple[int, int, int]], edges: list[int]
) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    ranges = {1: [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True)]}
    arrays = {symbol: np.array(pairs, dtype=np.int64).reshape(-1, 2) for symbol, pairs in ranges.items()}
    given_runs = [Run(1000 + first, count, first, symbol) for symbol, first, count in runs]
    left = uncovered(iter(given_runs), arrays)
    assert all(run.position == 1000 + run.bar for run in left)
    bars = {(run.symbol, bar) for run in left for bar in range(run.bar, run.bar + run.count)}
    assert bars == left_of(runs, ranges)


@pytest.fixture
def pg(postgres: Postgres) -> OpenIndex:
    return lambda size, state: PgVectors(postgres, "w_1m_20", size, state)


def test_pgvector_answers_as_the_files_do(panel: Panel, tmp_path: Path, pg: OpenIndex) -> None:
    spec = VectorSpec(MINUTE, LENGTH, 2)
    ours = WindowVectors.build(tmp_path / "files", panel, spec, opener(tmp_path / "files"))
    theirs = WindowVectors.build(tmp_path / "table", panel, spec, pg)
    assert len(ours) == len(theirs)
    queries = sampled_queries(ours, panel, 4, seed=6)
    for one, other in zip(
        search(ours, panel, queries, 5, effort=EFFORTS[3]),
        search(theirs, panel, queries, 5, effort=EFFORTS[3]),
        strict=True,
    ):
        assert one.table.equals(other.table)
    theirs.close()


def test_pgvector_keeps_its_table_adds_to_it_and_drops_those_of_earlier_builds(
    early: Panel, panel: Panel, tmp_path: Path, pg: OpenIndex, url: str
) -> None:
    spec = VectorSpec(MINUTE, LENGTH, 4)
    WindowVectors.build(tmp_path, panel, spec, pg).close()
    first = WindowVectors.build(tmp_path, early, spec, pg)
    before = len(first)
    first.close()
    again = WindowVectors.open(tmp_path, pg)
    assert again.add(panel) == len(again) - before > 0
    again.close()
    with psycopg.connect(url) as session:
        tables = session.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'mexclab_vectors'").fetchall()
    assert len(tables) == 1


def test_two_lakes_in_one_database_keep_their_own_tables(tmp_path: Path, url: str) -> None:
    given = Settings.model_validate({"data": tmp_path, "ledger": {"url": url}})
    ours, theirs = (Vectors(Lake(tmp_path / name), given) for name in ("ours", "theirs"))
    place = Place(LENGTH, store="pgvector")
    with ours._index(place) as one, theirs._index(place) as other:
        first, second = one(2, None), other(2, None)
        second.discard(second.save())
        assert len(first) == 0, "its table is still there"
        first.close()
        second.close()


def test_a_postgres_without_pgvector_is_a_setting_to_correct(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE SCHEMA hidden")
        session.execute(
            "CREATE VIEW hidden.pg_available_extensions AS SELECT ''::text name, ''::text installed_version"
        )
        name = session.info.dbname
        session.execute(f"ALTER DATABASE {name} SET search_path = hidden, public, pg_catalog")
    postgres = connect(url, Path("unused"))
    with pytest.raises(ConfigError, match=r"no extension 'vector'.*--store faiss"):
        PgVectors(postgres, "w_1m_20", 16)
    postgres.close()


def test_a_table_that_is_gone_says_how_to_make_it(postgres: Postgres) -> None:
    with pytest.raises(DataError, match="vectors build"):
        PgVectors(postgres, "w_1m_20", 16, {"table": "w_1m_20__000000000000"})
