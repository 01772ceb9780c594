"""`mexclab vectors`: made, added to, checked and asked from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from mexclab.cli import app
from mexclab.errors import DataError
from mexclab.notebook.lab import Lab
from mexclab.research.similarity import similar
from mexclab.store.lake import Lake
from tests.processes import one_line, run
from tests.store.panel_samples import walk


def asked(*words: str) -> Result:
    return CliRunner().invoke(app, ["vectors", *words], catch_exceptions=False)


@pytest.fixture
def lake(data_folder: Path) -> Lake:
    """Three symbols with a day of minutes."""
    rng = np.random.default_rng(1)
    found = Lake(data_folder / "lake")
    found.write(pl.concat([walk(name, 0, 1440, rng) for name in ("AAAUSDT", "BBBUSDT", "CCCUSDT")]))
    return found


def test_vectors_are_built_added_to_checked_and_asked(lake: Lake) -> None:
    made = asked("build", "--length", "20", "--stride", "2")
    assert "windows of 20 bars, every 2; recall@10" in made.stdout
    rng = np.random.default_rng(2)
    lake.append(pl.concat([walk(name, 1440, 60, rng) for name in ("AAAUSDT", "DDDUSDT")]))
    behind = asked("check", "--length", "20", "--queries", "5", "--goal", "0.5")
    assert "windows are not in yet: `mexclab vectors add --length 20`" in behind.stdout
    added = int(asked("add", "--length", "20").stdout.split()[0])
    assert 40 <= added <= 51, "60 windows of one and 41 of the other, each second one, if it has a shape"
    checked = asked("check", "--length", "20", "--queries", "5", "--goal", "0.5")
    assert checked.exit_code == 0
    assert "not in yet" not in checked.stdout
    assert checked.stdout.count("recall@10") == 6, "one line for each effort"
    found = json.loads(asked("search", "AAA/USDT", "--length", "20", "-k", "3", "--json").stdout)
    assert [match["rank"] for match in found["matches"]] == [1, 2, 3]
    assert "approximate" in found["notes"][0]
    assert "3 windows most like AAAUSDT" in asked("search", "AAAUSDT", "--length", "20", "-k", "3").stdout


def test_a_recall_below_the_goal_is_an_exit_code(lake: Lake) -> None:
    asked("build", "--length", "20")
    lake.append(walk("AAAUSDT", 1440, 1440, np.random.default_rng(3)))  # and nobody adds their windows
    below = asked("check", "--length", "20", "--queries", "5", "--goal", "1.0")
    assert below.exit_code == 1
    assert "smaller --stride" in below.stderr


def test_vectors_that_are_not_there_are_one_line_that_says_how_to_make_them(lake: Lake) -> None:
    data = lake.root.parent
    assert "mexclab vectors build --length 25" in one_line(
        run(data, "vectors", "add", "--length", "25"), code=3
    )


def test_a_notebook_builds_and_asks_the_same_vectors(lake: Lake) -> None:
    lab = Lab()
    with pytest.raises(DataError, match="vectors build"):
        lab.vectors.search(lab.window("AAAUSDT", length=20))
    assert "recall@10" in lab.vectors.build(20, stride=1)
    queries = [lab.window(name, length=20) for name in lab.symbols()]
    for query, found in zip(queries, lab.vectors.search(queries, k=5), strict=True):
        exact = similar(lab.panel(), query, 5)
        assert set(found.table["start"]) & set(exact.table["start"])
        assert lab.outcomes(found, horizons=(5,))
    assert "1m-20-faiss" in repr(lab.vectors)
