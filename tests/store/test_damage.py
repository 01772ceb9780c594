"""Files that were cut short, emptied or altered: a typed error that names the file, or made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mexclab.errors import DataError
from mexclab.research.windows import Panel
from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact, FactKind
from mexclab.store.panel_file import panel_of
from mexclab.store.seal import sealed, unsealed
from mexclab.store.vectors import VectorSpec
from mexclab.store.vectors_faiss import FaissVectors
from mexclab.store.vectors_windows import WindowVectors
from tests.naive import panel_file_naive as naive
from tests.store.panel_samples import steady_lake

MINUTE = 60_000_000_000
CUTS = [0.0, 0.02, 0.3, 0.6, 0.95]  # shares of a file, and all but its last byte
FLIPS = 12  # bytes of a file that are altered, one at a time
Harm = tuple[str, bytes]


def harms(content: bytes, seed: int) -> Iterator[Harm]:
    """The file's content in every state that it must not be trusted in."""
    for share in CUTS:
        yield f"cut at {share:.0%}", content[: int(len(content) * share)]
    yield "without its last byte", content[:-1]
    yield "foreign", b"a file of somebody else\n"
    yield "longer", content + b"\0"
    rng = np.random.default_rng(seed)
    spread = np.linspace(0, len(content) - 1, FLIPS).astype(int)
    for at in {*spread.tolist(), *rng.integers(0, len(content), FLIPS).tolist()}:
        yield (
            f"flipped at {at}",
            content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :],
        )


def each_harm(file: Path) -> Iterator[str]:
    """Harm the file in every way, one after the other; it is whole again in the end."""
    content = file.read_bytes()
    for what, harmed in harms(content, seed=len(content)):
        file.write_bytes(harmed)
        yield f"{file.name}: {what}"
    file.write_bytes(content)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors with a large file, one that was added beside it, and the catalogue of both."""
    rng = np.random.default_rng(3)
    close = np.exp(np.cumsum(rng.standard_normal((4, 700)) * 1e-3, axis=1))
    times = np.arange(700) * MINUTE
    folder = tmp_path_factory.mktemp("vectors")

    def panel(bars: int) -> Panel:
        return Panel.from_arrays({f"V{n}USDT": (times[:bars], close[n, :bars]) for n in range(4)}, MINUTE)

    made = WindowVectors.build(
        folder, panel(650), VectorSpec(MINUTE, 20, 1), lambda *how: FaissVectors(folder, *how)
    )
    made.add(panel(700))
    return folder


@pytest.mark.parametrize("kind", ["base.*.faiss", "added.*.npz", "arrays.*.npz", "catalogue.json"])
def test_damaged_vectors_are_named_with_what_to_do(vectors: Path, kind: str) -> None:
    (file,) = vectors.glob(kind)
    size = len(WindowVectors.open(vectors, lambda *how: FaissVectors(vectors, *how)))
    for what in each_harm(file):
        with pytest.raises(DataError, match="vectors build") as told:
            WindowVectors.open(vectors, lambda *how: FaissVectors(vectors, *how))
        assert file.name in told.value.message, what
    assert len(WindowVectors.open(vectors, lambda *how: FaissVectors(vectors, *how))) == size


@pytest.mark.parametrize("kind", ["index.json", "tail.*.npy", "runs.*.npy"])
def test_a_damaged_panel_file_is_made_anew_by_itself(tmp_path: Path, kind: str) -> None:
    lake = steady_lake(tmp_path, symbols=3, bars=60)
    expected = repr(naive.held_by(panel_of(lake)))
    folder = tmp_path / "panel" / "1m"
    (file,) = folder.glob(kind)
    for what, harmed in harms(file.read_bytes(), seed=5):
        (file,) = folder.glob(kind)
        file.write_bytes(harmed)
        assert repr(naive.held_by(panel_of(lake))) == expected, what


def test_a_data_file_of_the_panel_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    lake = steady_lake(tmp_path, symbols=3, bars=60)
    expected = repr(naive.held_by(panel_of(lake)))
    for share in CUTS:
        (file,) = (tmp_path / "panel" / "1m").glob("close.*")
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])
        assert repr(naive.held_by(panel_of(lake))) == expected, share


def reads(root: Path) -> list[Callable[[], object]]:
    """Every way to read a lake, each by one that has seen nothing of it yet.

    What a lazy query finds in a page is polars' or DuckDB's own to say.
    """
    return [
        lambda: Lake(root).symbols(),
        lambda: Lake(root).coverage(),
        lambda: Lake(root).gaps(),
        lambda: Lake(root).bars("S00USDT"),
        lambda: Lake(root).scan(),
        lambda: Lake(root).connect().close(),
        lambda: Lake(root).facts.names("S00USDT"),
        lambda: panel_of(Lake(root)),
    ]


def refusal(read: Callable[[], object]) -> str | None:
    """The sentence of the typed error, if it refuses."""
    try:
        read()
    except DataError as told:
        return told.message
    return None


@pytest.mark.parametrize("kind", ["bars/**/*.parquet", "fresh/**/*.parquet", "facts.jsonl"])
def test_a_damaged_file_of_the_lake_is_a_typed_error_or_unharmed_bars(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "lake"
    lake = steady_lake(root, symbols=1, bars=300)
    last = lake.bars("S00USDT").tail(1)
    lake.append(last.with_columns(pl.col("ts") + pl.duration(minutes=1)))
    lake.facts.record([Fact(FactKind.LISTING, "S00USDT", 1, 2, "an announcement")])
    (file,) = root.glob(kind)
    for what in each_harm(file):
        for read in reads(root):
            shutil.rmtree(root / "panel", ignore_errors=True)
            said = refusal(read)
            assert said is None or (str(root) in said and len(said) < 1000), what


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(), at=st.integers(0, 1000), bit=st.integers(0, 7), cut=st.integers(1, 1000))
def test_a_sealed_line_comes_back_and_an_altered_one_does_not(
    content: bytes, at: int, bit: int, cut: int
) -> None:
    text = sealed(content)
    assert unsealed(text) == content
    at %= len(text)
    assert unsealed(text[:at] + bytes([text[at] ^ (1 << bit)]) + text[at + 1 :]) is None
    assert unsealed(text[: max(0, len(text) - cut)]) is None
    assert unsealed(text + text[:1]) is None
