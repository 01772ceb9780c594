"""Many questions: the best of them looks good in noise, and the q-value knows it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.errors import ParameterError
from mexclab.research.controls import OutcomeOptions
from mexclab.research.multiplicity import draws_needed, q_values
from mexclab.research.outcomes import Costs
from mexclab.research.outcomes_many import ManyOutcomes, outcomes_many
from mexclab.research.similarity import Matches, similar
from mexclab.research.windows import Panel
from tests.naive.outcomes_naive import q_values_of
from tests.research.test_outcomes import FREE, MINUTE, START, planted, walks

P_VALUES = st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.01, 0.5, 1.0]), min_size=1, max_size=30)


def searches(panel: Panel, count: int, k: int = 12) -> list[Matches]:
    """Questions about the last bars, one after the other, of symbol after symbol."""
    found = []
    for number in range(count):
        symbol = panel.symbols[number % len(panel.symbols)]
        query = panel.window(symbol, end_ns=START + (1900 - 25 * number) * MINUTE, length=20)
        found.append(similar(panel, query, k, horizon=20))
    return found


@pytest.fixture(scope="module")
def asked() -> ManyOutcomes:
    panel = walks(21)
    return outcomes_many(panel, searches(panel, 12), (5, 20), FREE)


@given(P_VALUES)
def test_q_values_are_those_of_the_definition(p_values: list[float]) -> None:
    np.testing.assert_allclose(q_values(np.array(p_values)), q_values_of(p_values), atol=1e-12)


def test_under_any_dependence_a_discovery_costs_the_harmonic_number_more() -> None:
    p_values = np.array([0.001, 0.2, 0.9])
    plain, any_ = q_values(p_values), q_values(p_values, "any")
    assert plain[0] == pytest.approx(0.003)
    assert any_[0] == pytest.approx(0.003 * (1 + 1 / 2 + 1 / 3))
    assert q_values(np.empty(0)).tolist() == []
    with pytest.raises(ParameterError, match="positive, any"):
        q_values(p_values, "none")
    with pytest.raises(ParameterError, match="0 to 1"):
        q_values(np.array([1.5]))


def test_of_pure_noise_one_family_in_twenty_has_a_discovery() -> None:
    rng = np.random.default_rng(5)
    families = rng.random((4000, 20))
    any_found = np.mean([(q_values(family) <= 0.05).any() for family in families])
    assert any_found == pytest.approx(0.05, abs=0.011)


def test_the_share_of_false_discoveries_is_kept_when_some_are_true() -> None:
    rng = np.random.default_rng(6)
    shares = []
    for _ in range(1500):
        family = np.concatenate([rng.random(40), rng.random(10) ** 12])  # forty of nothing, ten of something
        called = q_values(family) <= 0.1
        shares.append(called[:40].sum() / max(1, called.sum()))
    assert np.mean(shares) == pytest.approx(0.1 * 40 / 50, abs=0.015)


def test_in_noise_no_query_survives_and_the_sentence_counts_what_chance_gives(asked: ManyOutcomes) -> None:
    assert len(asked) == 12
    assert not asked.table["survives"].any()
    assert asked.verdict.startswith("no edge found: of 12 queries")
    assert "where chance alone gives about 0.6" in asked.verdict
    assert (asked.table["q_value"] >= asked.table["p_value"]).all()
    assert asked.verdict in repr(asked)


def test_a_planted_edge_survives_among_dull_questions() -> None:
    panel, query = planted(0.03)
    edge = similar(panel, query, 30, horizon=10)
    dull = []
    for number in range(8):
        other = panel.window("AUSDT", end_ns=query.start_ns - (400 + 70 * number) * MINUTE, length=30)
        dull.append(similar(panel, other, 30, horizon=10))
    found = outcomes_many(panel, [*dull, edge], (10,))
    assert found.table["edge"][8]
    assert found.table["survives"][8]
    assert found.verdict.startswith("edge found in")


def test_more_questions_take_more_draws_so_that_the_best_one_could_survive() -> None:
    assert draws_needed(1, 0.05) == 80
    assert 1 / (1 + draws_needed(64, 0.05)) < 0.05 / 64
    panel = walks(22)
    one = searches(panel, 1)[0]
    found = outcomes_many(panel, [one] * 15, (5,), FREE)
    assert found.notes[0] == "1,200 control draws a query"


def test_a_question_that_cannot_be_judged_counts_as_one_that_was_asked() -> None:
    panel = walks(23)
    good = searches(panel, 3)
    few = similar(panel, panel.window("AUSDT", length=20), 2, horizon=5)
    late = similar(panel, panel.window("AUSDT", end_ns=START + 400 * MINUTE, length=20), 5, horizon=0)
    found = outcomes_many(panel, [*good, few, late], (370,), FREE)
    assert found.each[4] is None
    assert found.table["n"][4] == 0
    assert found.table["p_value"][3:].to_list() == [1.0, 1.0]
    assert any("independent matches: p = 1" in note for note in found.notes)


def test_each_row_is_that_of_the_single_answer(asked: ManyOutcomes) -> None:
    for row, answer in zip(asked.table.to_dicts(), asked.each, strict=True):
        assert answer is not None
        own = answer.table.filter(sample="matches", horizon=row["horizon"]).row(0, named=True)
        assert row["p_value"] == answer.p_value
        assert (row["n"], row["n_eff"], row["mean"]) == (own["n"], own["n_eff"], own["mean"])
        assert own["p_value"] == answer.table["p_value"].min()


def test_what_survives_but_does_not_pay_is_no_edge() -> None:
    panel, query = planted(0.03)
    edge = similar(panel, query, 30, horizon=10)
    found = outcomes_many(panel, [edge], (10,), Costs(fee_bps=300.0), OutcomeOptions())
    assert found.table.select("survives", "pays", "edge").row(0) == (True, False, False)
    assert found.verdict.endswith("but none of them pays its costs.")


def test_no_question_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least one"):
        outcomes_many(walks(24), [])
