"""Outcomes from the notebook's entrance: judged together, forecast forward, shown and drawn."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mexclab import Lab, Settings
from mexclab.errors import ParameterError
from mexclab.notebook import plots_outcomes as plots
from mexclab.notebook.display import register
from mexclab.notebook.outcomes import FACTS, SHOWN, Facts
from mexclab.notebook.plots_similarity import TEMPLATE
from mexclab.research.conformal import Conformal, conformal
from mexclab.research.outcomes import Outcomes
from mexclab.research.outcomes_many import ManyOutcomes
from mexclab.research.walk_forward import WalkForward, WalkForwardOptions, questions


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(Settings(data=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def many(lab: Lab) -> ManyOutcomes:
    asked = questions(lab.panel(), WalkForwardOptions(length=20, horizon=15, questions=20))[::4]
    return lab.outcomes_many(lab.similar_many(asked, k=15, horizon=15), (5, 15))


@pytest.fixture(scope="module")
def walk(lab: Lab) -> WalkForward:
    return lab.walk_forward(WalkForwardOptions(length=20, horizon=10, k=10, questions=60))


@pytest.fixture(scope="module")
def found(lab: Lab) -> Outcomes:
    return lab.outcomes(lab.similar("SIM03USDT", length=20, k=15, horizon=30), (10, 30))


@pytest.fixture(scope="module")
def calibrated(walk: WalkForward) -> Conformal:
    return conformal(walk.forecasts())


def test_searches_are_judged_together_on_the_labs_own_bars(lab: Lab, many: ManyOutcomes) -> None:
    assert len(many) == 5
    assert many.table["horizon"].is_in([5, 15]).all()
    with pytest.raises(ParameterError, match="one at least"):
        lab.outcomes_many([])


def test_results_show_themselves_with_their_verdict_first(
    many: ManyOutcomes, walk: WalkForward, calibrated: Conformal, found: Outcomes
) -> None:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        assert register(shell, SHOWN)
        for value in (many, walk, calibrated, found):
            shown, _ = shell.display_formatter.format(value)
            assert shown["text/html"].startswith(f"<p><b>{value.verdict.replace(chr(39), '&#x27;')}</b></p>")
            assert "<table>" in shown["text/html"]
            assert value.verdict in shown["text/plain"]
        html = shell.display_formatter.format(found)[0]["text/html"]
        assert all(f">{name}</th>" in html for name in ("best", "worst", "to_best", "to_worst"))
    finally:
        InteractiveShell.clear_instance()


def test_each_figure_names_its_axes_and_says_what_came_of_it(
    many: ManyOutcomes, walk: WalkForward, calibrated: Conformal, found: Outcomes
) -> None:
    beside = plots.figure_beside_base(found)
    assert list(beside.layout.xaxis.ticktext) == ["10m", "30m"]
    medians = next(trace for trace in beside.data if trace.name == "median of matches")
    assert list(medians.y) == pytest.approx([100 * value for value in found.table["q50"][::2]])
    ranked = plots.figure_p_values(many)
    assert list(ranked.data[-1].y) == sorted(many.table["p_value"])
    skill = plots.figure_skill(walk)
    total = (walk.table["base_crps"] - walk.table["crps"]).sum()
    assert skill.data[0].y[-1] == pytest.approx(total)
    held = plots.figure_calibration(calibrated)
    assert [trace.name for trace in held.data] == ["as they were named", "calibrated"]
    for figure in (beside, ranked, skill, held):
        assert figure.layout.template == TEMPLATE
        assert figure.layout.title.text
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text


def test_facts_show_their_words_and_carry_their_values() -> None:
    facts = Facts()
    facts.note("{:+.2%}", mean=0.0123)
    facts.note(symbol="A<b>USDT")
    bundle = facts._repr_mimebundle_()
    assert bundle[FACTS]["mean"] == {"value": 0.0123, "text": "+1.23%"}
    assert "A&lt;b&gt;USDT" in bundle["text/html"]
    assert "+1.23%" in bundle["text/plain"]
    assert len(facts) == 2
