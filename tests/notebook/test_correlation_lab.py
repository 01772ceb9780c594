"""``lab.correlation`` on the simulated sample: studies, figures, and what it says of the data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mexclab import Settings
from mexclab.errors import NotEnoughData, ParameterError
from mexclab.notebook.lab import Lab
from mexclab.notebook.plots_correlation import figure_leads, figure_rolling
from mexclab.research.correlation_watch import BreakOptions
from mexclab.research.lead_lag import LeadLagOptions


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(Settings(data=tmp_path_factory.mktemp("data")), source="sample")


def test_a_study_shows_its_numbers_and_that_its_data_are_simulated(lab: Lab) -> None:
    study = lab.correlation(every=5)
    assert "returns of 5m" in repr(study)
    assert "movements are above noise" in repr(study)
    assert "SIMULATED" in study._repr_html_()
    assert "SIMULATED" in repr(study.pairs)
    assert study.pairs.frame["correlation"].abs().is_sorted(descending=True)


def test_the_matrix_is_drawn_in_the_order_of_its_tree_and_clusters_are_framed(lab: Lab) -> None:
    study = lab.correlation(every=5, bound=0.3)
    figure = study.figure()
    (matrix,) = [trace for trace in figure.data if trace.type == "heatmap"]
    order = study.clusters.order
    np.testing.assert_allclose(matrix.z, study.correlation.matrix[np.ix_(order, order)], atol=6e-4)
    names = list(figure.layout.xaxis2.ticktext)
    assert names == [study.returns.symbols[at] for at in order]
    frames = [shape for shape in figure.layout.shapes if shape.line.width]
    sizes = np.bincount(study.clusters.labels)
    assert sorted(shape.x1 - shape.x0 for shape in frames) == sorted(sizes[sizes > 1])
    assert len([trace for trace in figure.data if trace.type == "scatter"]) == len(order) - 1


def test_rolling_pairs_horizons_leads_and_breaks_are_tables_and_figures(lab: Lab) -> None:
    study = lab.correlation(["SIM01USDT", "SIM02/USDT", "SIM03USDT", "SIM04USDT", "SIM05USDT"], every=5)
    assert study.rolling(288, 144).columns == ["ts", "average", "low", "high", "pairs"]
    assert "over 1d" in study.rolling_figure(288, 144, BreakOptions(recent=24, before=96)).layout.title.text
    pair = study.pair_figure("SIM01USDT", "SIM02USDT", 288)
    assert len(pair.data[0].x) == len(study.returns) - 287
    found = study.lead_lag(LeadLagOptions(draws=99, block=20))
    assert study.lead_lag_figure(found).data or "No lead" in found.verdict
    assert list(study.breaks().frame.columns)[:2] == ["ts", "symbol"]
    lengths = lab.correlation.horizons(lengths=(15, 5))
    assert lengths["length"].to_list() == ["5m", "15m"]
    assert lab.correlation.horizons_figure(lengths=(5,)).data[1].y[0] == lengths["average"][0]


def test_ranges_are_half_open_and_shrinking_is_said(lab: Lab) -> None:
    study = lab.correlation(start="2026-06-02", end="2026-06-03", shrink=True)
    assert len(study.returns) == 1439
    assert "shrunk by" in repr(study)


def test_the_sample_shows_no_printed_volume_and_is_drawn(lab: Lab) -> None:
    wash = lab.correlation.wash()
    assert wash.suspicious == []
    assert wash.verdict.startswith("0 of 12 symbols have volume that looks printed")
    assert sum(len(trace.x) for trace in wash.figure().data) == 12
    assert len(wash.turnover_figure().data) == 12
    assert "looks printed" in wash._repr_html_()


def test_nothing_found_is_a_figure_that_says_so(lab: Lab) -> None:
    study = lab.correlation(["SIM01USDT", "SIM02USDT"], every=5)
    found = study.lead_lag(LeadLagOptions(draws=99, level=1e-6))
    assert figure_leads(found).layout.annotations[0].text == found.verdict
    empty = pl.DataFrame(schema={"ts": pl.Datetime("us", "UTC"), "average": pl.Float64})
    assert "No window is full" in figure_rolling(empty).layout.annotations[0].text


def test_options_and_symbols_that_are_none_are_refused(lab: Lab) -> None:
    with pytest.raises(ParameterError, match="no such option"):
        lab.correlation(evry=5)  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match="NOPEUSDT is not among"):
        lab.correlation(["NOPEUSDT", "SIM01USDT"])
    with pytest.raises(ParameterError, match="1w"):
        lab.correlation(interval="1w")
    with pytest.raises(NotEnoughData):
        lab.correlation(start="2026-06-01", end="2026-06-01 00:10")
    with pytest.raises(NotEnoughData, match="two symbols"):
        lab.correlation(["SIM01USDT"])


def test_horizons_of_one_symbol_are_refused_in_a_sentence(lab: Lab) -> None:
    with pytest.raises(NotEnoughData, match="no pair of symbols is known"):
        lab.correlation.horizons(["SIM01USDT"], lengths=(5, 15))


def test_more_bars_than_memory_holds_are_refused_with_what_to_do(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mexclab.notebook.correlation.MOST_BARS", 50_000)
    with pytest.raises(ParameterError, match="75,090 bars are more than fit"):
        lab.correlation.wash()
    assert lab.correlation.wash(start="2026-06-04").table.height == 12
