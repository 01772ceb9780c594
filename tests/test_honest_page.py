"""The page about fooling oneself: every number on it was computed by the notebook it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mexclab.errors import ParameterError
from mexclab.notebook.outcomes import FACTS, Facts, facts_in
from mexclab.research.outcomes import outcomes
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel
from tools import honest_page

ROOT = Path(__file__).resolve().parents[1]
BARS = ROOT.parent / "shared" / "data" / "mexc_spot_1m"
STORED = json.loads(honest_page.NUMBERS.read_text(encoding="utf-8"))
WORDS = honest_page.WORDS.read_text(encoding="utf-8")


def test_the_page_is_its_words_and_the_numbers_of_the_run() -> None:
    written = honest_page.page(WORDS, STORED["facts"])
    assert honest_page.PAGE.read_text(encoding="utf-8") == written


def test_the_words_hold_no_number_of_their_own() -> None:
    claims = re.sub(r"`[^`]*`|\]\([^)]*\)|\{\w+\}", "", WORDS)
    assert not re.search(r"\d", claims)
    assert len(set(re.findall(r"\{(\w+)\}", WORDS))) > 30


def test_the_numbers_were_computed_by_the_notebook_as_it_is_now() -> None:
    notebook = json.loads(honest_page.NOTEBOOK.read_text(encoding="utf-8"))
    again = "run the notebook on the real bars again, then tools/honest_page.py RUN.ipynb"
    assert honest_page.digest(notebook) == STORED["code"], again


def test_other_parameters_are_no_other_code_but_another_cell_is() -> None:
    notebook = json.loads(honest_page.NOTEBOOK.read_text(encoding="utf-8"))
    given = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": ["k = 3"]}
    same = notebook | {"cells": [*notebook["cells"], given]}
    assert honest_page.digest(same) == honest_page.digest(notebook)
    more = {"cell_type": "code", "metadata": {}, "source": ["k = 3"]}
    other = notebook | {"cells": [*notebook["cells"], more]}
    assert honest_page.digest(other) != honest_page.digest(notebook)


def test_the_notebook_on_the_sample_gives_a_number_for_every_place_on_the_page(data_folder: Path) -> None:
    # its cells without a kernel of their own: tests/test_notebooks.py gives them one
    few = {"length": 20, "horizon": 15, "k": 10, "queries": 4, "worlds": 1, "forecasts": 45}
    notebook = json.loads(honest_page.NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names |= few
    facts = names["facts"].as_json()
    assert facts.keys() == STORED["facts"].keys()
    assert (facts["k"]["value"], facts["source"]["text"]) == (10.0, "simulated sample")
    page = honest_page.page(WORDS, facts)
    assert "10 nearest windows" in page
    assert names["many"].verdict in page


def test_facts_are_found_in_the_outputs_of_an_executed_notebook() -> None:
    facts = Facts()
    facts.note("{:.1%}", share=0.25)
    shown = {"outputs": [{"data": facts._repr_mimebundle_()}, {"name": "stdout", "text": "x"}]}
    code = {"cell_type": "code", "metadata": {}, "source": ["facts"], **shown}
    run = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": []}, code]}
    kept = honest_page.kept(run)
    assert kept["facts"] == {"share": {"value": 0.25, "text": "25.0%"}}
    assert honest_page.page("of it {share}", kept["facts"]) == "of it 25.0%"
    again = code | {"outputs": [{"data": {FACTS: {"share": {"value": 0.3, "text": "30.0%"}}}}]}
    with pytest.raises(ParameterError, match="share twice"):
        facts_in({"cells": [code, again]})


@pytest.mark.slow
@pytest.mark.skipif(not BARS.exists(), reason="the recorded bars of the 68 symbols are not here")
def test_the_first_answer_on_the_page_comes_out_again_on_the_recorded_bars() -> None:
    facts = {name: fact["value"] for name, fact in STORED["facts"].items()}
    (path,) = BARS.glob("*.parquet")
    frame = pl.read_parquet(path, columns=["symbol", "ts", "close"]).sort("symbol", "ts")
    panel = Panel.from_frame(
        frame.with_columns(pl.from_epoch("ts", time_unit="s").dt.replace_time_zone("UTC"))
    )
    assert (len(panel.symbols), len(panel)) == (facts["symbols"], facts["bars"])
    length, horizon, k = (int(facts[name]) for name in ("length", "horizon", "k"))
    query = panel.window(str(facts["symbol"]), length=length)
    found = outcomes(
        panel,
        similar(panel, query, k, horizon=horizon, options=SimilarityOptions(per_symbol=k // 5)),
        (horizon // 4, horizon),
    )
    own, base = found.table.tail(2).to_dicts()
    assert own["mean"] == pytest.approx(facts["mean"])
    assert base["mean"] == pytest.approx(facts["base_mean"])
    assert (own["n"], own["n_eff"]) == (facts["n"], facts["n_eff"])
    assert found.p_value == pytest.approx(facts["p_value"])
    assert found.verdict == facts["verdict"]


def test_a_run_without_facts_is_no_run_and_no_fact_has_two_values() -> None:
    facts = Facts()
    facts.note("{:.0%}", share=0.5)
    facts.note("{:.0%}", share=0.5)
    assert facts["share"] == "50%"
    with pytest.raises(ParameterError, match="share is 50% already"):
        facts.note("{:.0%}", share=0.6)
    with pytest.raises(ParameterError, match="shows no facts"):
        facts_in({"cells": [{"outputs": []}]})
