"""``lab.quality()`` on the sample: a table, a verdict, and figures that say what they show."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
import pytest

from mexclab.config import Settings
from mexclab.errors import DataError, ParameterError
from mexclab.notebook.lab import SIMULATED, Lab
from mexclab.notebook.quality import QualityLab, look_at
from mexclab.store.lake import Lake


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(Settings(data=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def found(lab: Lab) -> QualityLab:
    return lab.quality()


def test_every_symbol_has_a_grade_and_a_word_about_its_volume(lab: Lab, found: QualityLab) -> None:
    assert sorted(found.table["symbol"]) == lab.symbols()
    assert set(found.table["grade"]) <= {"good", "with care", "poor"}
    assert found.table["suspicion"].null_count() == 0
    assert f"{len(lab.symbols())} symbols: " in found.verdict
    assert SIMULATED in repr(found)
    assert "SIM" in found._repr_html_()
    assert found.to_pandas().shape[0] == found.table.height


def test_what_is_usable_has_neither_fault_nor_suspicion(found: QualityLab) -> None:
    rows = {row["symbol"]: row for row in found.table.to_dicts()}
    for name in found.usable:
        assert rows[name]["grade"] == "good"
        assert rows[name]["suspicion"] != "suspicious"
    assert found.usable == sorted(found.usable)


def test_one_symbol_and_a_range_are_looked_at_alone(lab: Lab) -> None:
    one = lab.quality("SIM03USDT", start="2026-06-02", end="2026-06-03")
    assert one.table.select("symbol", "bars").rows() == [("SIM03USDT", 1440)]
    with pytest.raises(DataError, match="did you mean"):
        lab.quality("SIM99USDT")
    with pytest.raises(ParameterError, match="no moment"):
        lab.quality(start="soon")


def test_the_figures_name_their_units_and_leave_no_symbol_out_silently(found: QualityLab) -> None:
    figures: list[go.Figure] = [
        *(found.figure(measure) for measure in ("zero_volume", "frozen", "missing")),
        found.faults_figure(),
        found.outlier_figure(),
        found.wash_figure(),
    ]
    for figure in figures:
        assert figure.layout.title.text
        assert figure.layout.xaxis.title.text
    heat = found.figure("frozen").data[0]
    assert sorted(heat.y) == sorted(found.table["symbol"])
    assert heat.z.shape == (found.table.height, found.found.days["day"].n_unique())


def test_the_worst_symbols_come_first_and_the_rest_is_counted() -> None:
    minutes = pl.Series("ts", range(1_780_272_000_000, 1_780_272_000_000 + 60 * 60_000, 60_000))
    prices = {name: [1.0 + n % 7 / 10 for n in range(60)] for name in ("open", "high", "low", "close")}
    frames = [
        pl.DataFrame({"symbol": [f"S{n:02}"] * 60, "ts": minutes, **prices, "volume": [float(n > 2)] * 60})
        for n in range(45)
    ]
    bars = pl.concat(frames).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    shown = look_at(bars.lazy(), 60_000_000_000)
    assert "5 more symbols not shown" in shown.figure().layout.title.text
    assert list(shown.figure().data[0].y)[-3:] == ["S02", "S01", "S00"]
    assert len(shown.faulty) == 3


def test_a_lake_with_a_hole_shows_it(lab: Lab) -> None:
    bars = lab.lake.bars("SIM01USDT")
    own = Lake(lab.settings.data / "lake")
    own.write(bars[:100].vstack(bars[300:1_000]))
    other = Lab(lab.settings)
    found = other.quality()
    assert found.table.select("missing", "gaps", "faults").row(0) == (200, 1, "missing bars")
    assert not found.remark
