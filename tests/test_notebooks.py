"""Every notebook is an essay: its shape, and that it runs where nothing was imported or recorded."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mexclab import Settings, jobs
from mexclab.jobs.page import PLOTLY

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
TINY = {
    "00_tour": {"hours": 2},
    "10_pattern_similarity": {"symbol": "SIM03USDT", "end": "2026-06-04T12:00", "k": 5, "horizon": 60},
    "11_outcomes_honestly": {"horizon": 30, "k": 20, "queries": 8, "worlds": 1, "forecasts": 80},
    "12_correlation_clusters": {"window": 144},
    "15_data_quality": {"symbols": "SIM01USDT,SIM02USDT,SIM09USDT"},
    "20_listing_radar": {"days": 7},
    "30_portfolio_and_stress": {},
    "40_snipe_post_mortem": {},
}
LONGEST_CELL = 10  # lines
ABSOLUTE = re.compile(r"""["'](/[\w.-]+/|~/|[A-Za-z]:\\)""")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(path: Path) -> list[tuple[dict[str, Any], str]]:
    return [(c, "".join(c["source"])) for c in read(path)["cells"] if c["cell_type"] == "code"]


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)


def test_there_are_notebooks_and_each_has_tiny_inputs() -> None:
    assert sorted(TINY) == NAMES


@each_notebook
def test_no_outputs_are_committed(path: Path) -> None:
    for cell, _ in code_of(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each_notebook
def test_metadata_say_the_kernel_and_nothing_more(path: Path) -> None:
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    tags = [cell["metadata"] for cell in notebook["cells"] if cell["metadata"]]
    assert tags == [{"tags": ["parameters"]}]


@each_notebook
def test_every_parameter_has_a_type_that_can_be_given_and_a_comment(path: Path) -> None:
    (cell,) = [text for cell, text in code_of(path) if cell["metadata"].get("tags") == ["parameters"]]
    assert all(isinstance(node, ast.AnnAssign) for node in ast.parse(cell).body)
    parameters = jobs.parameters_of(path)
    assert len(parameters) == len(cell.strip().splitlines())
    for parameter in parameters:
        assert parameter.kind in {"bool", "int", "float", "str"}
        assert parameter.help


@each_notebook
def test_cells_are_short_and_define_nothing(path: Path) -> None:
    for _, text in code_of(path):
        assert len(text.splitlines()) <= LONGEST_CELL, text
        defined = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        ]
        assert not defined, text


@each_notebook
def test_no_absolute_path_and_no_shell(path: Path) -> None:
    for _, text in code_of(path):
        assert not ABSOLUTE.search(text), text
        assert not re.search(r"^\s*[!%]", text, re.MULTILINE), text


@each_notebook
def test_it_begins_with_a_question_and_ends_with_an_answer(path: Path) -> None:
    words = ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
    assert words[0].startswith("# ")
    assert "?" in words[0]
    assert any(text.startswith("## The answer") for text in words[-3:])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One data folder for all: the sample is made once."""
    return Settings(data=tmp_path_factory.mktemp("data"))


@pytest.mark.slow
@each_notebook
def test_it_runs_on_the_sample_and_its_page_asks_the_network_for_nothing(
    path: Path, settings: Settings
) -> None:
    done = jobs.run(path, TINY[path.stem], settings)
    outputs = [output for cell, _ in code_of(done.output) for output in cell["outputs"]]
    assert outputs
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    page = done.html.read_text(encoding="utf-8")
    assert external(page) == []
    figures = sum(PLOTLY in output.get("data", {}) for output in outputs)
    assert page.count("Plotly.newPlot(") - page.split("<body")[0].count("Plotly.newPlot(") == figures


def external(page: str) -> list[str]:
    """What a browser would fetch for this page: sources, style sheets, imports; links for people may stay."""
    loads = r"""<(?:script|img|iframe|link|source)\b[^>]*?(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)"""
    styles = r"""url\(\s*["']?(https?:[^"')]+)|@import\s+["']([^"']+)"""
    return [*re.findall(loads, page), *(a or b for a, b in re.findall(styles, page))]


def test_the_look_for_external_sources_finds_them() -> None:
    page = '<script src="https://cdn.example/x.js"></script><link rel="stylesheet" href="a.css">'
    assert external(page) == ["https://cdn.example/x.js", "a.css"]
    assert external("<style>a { background: url(https://cdn.example/a.png) }</style>") != []
    assert external('<a href="https://example.org">a link</a><img src="data:image/png;base64,AA">') == []
