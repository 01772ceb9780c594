"""What the Lab is given and does not take: always a sentence of ours, and never a silent answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mexclab import Lab, Settings
from mexclab.errors import MexclabError, NotEnoughData, ParameterError
from mexclab.notebook import display, plots
from mexclab.notebook.display import Table, frame_html
from mexclab.sample import sample_bars
from mexclab.store.lake import Lake

S, T = "SIM01USDT", "SIM02USDT"
NAN = float("nan")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(Settings(data=tmp_path_factory.mktemp("data")))


REFUSED: list[tuple[str, Callable[[Lab], Any], str]] = [
    ("an end that is a fraction", lambda lab: lab.similar(S, end=1.5), "1.5 is no moment"),
    ("a start that is no number", lambda lab: lab.bars(S, NAN), "nan is no moment"),
    ("a day without a time", lambda lab: lab.bars(S, date(2026, 6, 1)), "is no moment"),
    ("a portfolio of a fraction", lambda lab: lab.portfolio(at=1.5), "1.5 is no moment"),
    ("a portfolio of True", lambda lab: lab.portfolio(at=True), "True is no moment"),
    ("a portfolio to come", lambda lab: lab.portfolio(at="2226-01-01"), "has not come yet"),
    ("prices in a row", lambda lab: lab.portfolio(prices=[1]), "a price for each symbol"),
    ("a price that is none", lambda lab: lab.portfolio(prices={S: NAN}), f"price of {S} .*zero, not nan"),
    ("a price below zero", lambda lab: lab.portfolio(prices={S: "-1"}), "above zero"),
    ("a price of no pair", lambda lab: lab.portfolio(prices={"NOPE": 1}), "'NOPE' is not a symbol"),
    ("a keyword", lambda lab: lab.similar(S, foo=1), "foo: no such option; there are exclusion"),
    ("a keyword of many", lambda lab: lab.similar_many([S], foo=1), "foo: no such option"),
    ("a truth in words", lambda lab: lab.similar(S, point_in_time="no"), "True or False, not 'no'"),
    ("an activity", lambda lab: lab.similar(S, activity=0.5), "activity is an ActivityFloor, not 0.5"),
    ("a band alone", lambda lab: lab.similar(S, band=0.2), "^band belongs to rerank='dtw'"),
    ("a band in words", lambda lab: lab.similar(S, rerank="dtw", band="x"), "band is a share"),
    ("nobody's window", lambda lab: lab.similar(""), "A window is a symbol, .*not ''"),
    ("a window that is a number", lambda lab: lab.similar_many(5), "A window is a symbol, .*not 5"),
    ("an unknown symbol", lambda lab: lab.similar("SIM0USDT"), "'SIM0USDT' is not in .*did you mean SIM"),
    ("one unknown symbol of many", lambda lab: lab.similar_many("DOGEUSDT"), "'DOGEUSDT' is not in"),
    ("no matches", lambda lab: lab.outcomes(None), "what lab.similar found, not None"),
    ("words for matches", lambda lab: lab.outcomes("x"), "what lab.similar found, not 'x'"),
    ("horizons in words", lambda lab: lab.outcomes(lab.similar(S), "x"), "horizons is a whole number"),
    ("no costs", lambda lab: lab.outcomes(lab.similar(S), costs=3), "costs is a Costs, not 3"),
    ("no searches", lambda lab: lab.outcomes_many([]), "one at least"),
    ("a walk in words", lambda lab: lab.walk_forward("x"), "options is a WalkForwardOptions, not 'x'"),
    ("returns in words", lambda lab: lab.correlation(every="5"), "every is a whole number, not '5'"),
    ("half a bar", lambda lab: lab.correlation(every=2.5), "every is a whole number, not 2.5"),
    ("a bound beyond one", lambda lab: lab.correlation(bound=5), "above -1 and below 1, not 5"),
    ("a shrinkage in words", lambda lab: lab.correlation(shrink="no"), "True or False"),
    ("a symbol twice", lambda lab: lab.correlation([S, T, "SIM01/USDT"]), f"{S} is named twice"),
    ("one symbol alone", lambda lab: lab.correlation("DOGEUSDT"), "two symbols or more"),
    ("lengths in words", lambda lab: lab.correlation.horizons(lengths="x"), "whole number"),
    ("entries after a word", lambda lab: lab.events(after="x"), "after is a whole number, not 'x'"),
    ("hours in words", lambda lab: lab.most_active("x"), "hours is a number above zero"),
    ("no symbol", lambda lab: lab.bars([]), "No symbol was given"),
    ("no symbol to judge", lambda lab: lab.quality([]), "No symbol was given"),
    ("a number for a symbol", lambda lab: lab.bars(5), "A symbol is a name such as BTCUSDT, not 5"),
    (
        *("a range that runs backwards", lambda lab: lab.bars(S, "2026-06-02", "2026-06-01")),
        "2026-06-02 00:00:00 UTC to 2026-06-01 00:00:00 UTC; swap them",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("act", "sentence"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    lab: Lab, act: Callable[[Lab], Any], sentence: str
) -> None:
    with pytest.raises(MexclabError, match=sentence):
        act(lab)


def test_a_bound_that_cannot_be_is_refused_before_a_bar_is_read(lab: Lab) -> None:
    fresh = Lab(lab.settings)
    with pytest.raises(ParameterError, match="not 5"):
        fresh.correlation(bound=5)
    assert not fresh._panels


def test_one_window_alone_is_one_search(lab: Lab) -> None:
    assert len(lab.similar_many(S)) == len(lab.similar_many(lab.window(S))) == 1


def test_one_horizon_alone_will_do(lab: Lab) -> None:
    assert lab.outcomes(lab.similar(S), 60).horizons == (60,)


def test_a_range_without_bars_says_where_there_are_some(lab: Lab) -> None:
    nothing = lab.bars(S, "2030-01-01")
    for words in (repr(nothing), nothing._repr_html_(), nothing.figure().layout.annotations[0].text):
        assert "there are bars from 2026-06-01 00:00 to 2026-06-05 23:59 UTC" in words
    with pytest.raises(NotEnoughData, match="2026-06-05 23:59"):
        lab.quality([S], "2030-01-01")


def test_an_interval_without_bars_is_not_an_empty_lake(lab: Lab) -> None:
    assert "it holds bars of 1m, and none of 1h" in repr(lab.coverage("1h"))


def test_a_head_of_times_names_their_zone_and_numbers_stand_right(lab: Lab) -> None:
    page = lab.bars(S)._repr_html_()
    assert ">ts UTC</th>" in page
    assert ">start UTC</th>" in display._matches_html(lab.similar(S))
    assert 'right">12.50 %' in Table("t", pl.DataFrame({"a": [0.125, None]}), percent=("a",))._repr_html_()


def test_fractions_and_money_always_have_the_same_digits() -> None:
    frame = pl.DataFrame({"share": [0.001, 0.0019, None], "paid": [4.05216, 0.000012345, 0.0]})
    table = Table("t", frame, percent=("share",), money=("paid",))
    for text in ("0.10 %", "0.19 %", "4.0522", "0.00001234", "0.0000"):
        assert text in table._repr_html_()
        assert text in repr(table)
    assert table.frame.equals(frame)


def test_what_decides_comes_first_in_the_table_of_outcomes(lab: Lab) -> None:
    page = display._outcomes_html(lab.outcomes(lab.similar(S)))
    heads = (
        "horizon",
        "n_eff",
        "mean",
        "p_value",
        "net_mean",
        "share_up",
        "net_share_up",
        "mean_low",
        "worst",
    )
    places = [page.index(f">{head}</th>") for head in heads]
    assert places == sorted(places)
    assert "overflow-x:auto" in page


def test_candles_name_the_units_of_price_and_volume(lab: Lab) -> None:
    figure = lab.bars(S, "2026-06-05").figure()
    assert [axis.title.text for axis in figure.select_yaxes()] == ["price, USDT", "volume, SIM01"]
    odd = sample_bars().filter(symbol=S).head(30).with_columns(symbol=pl.lit("ODD"))
    assert plots.candles(odd).layout.yaxis.title.text == "price"


def test_a_jump_is_told_as_the_return_of_its_bar(tmp_path: Path) -> None:
    bars = sample_bars().filter(symbol=S)
    doubled = pl.when(pl.int_range(pl.len()) >= 3000).then(2.0).otherwise(1.0)
    Lake(tmp_path / "lake").write(bars.with_columns(pl.col("open", "high", "low", "close") * doubled))
    found = Lab(Settings(data=tmp_path)).quality([S])
    assert found.found.outliers["move"][0] == pytest.approx(1.0, abs=0.02)  # it doubled: +100 %, not +69 %
    assert found.outlier_figure().layout.yaxis.title.text == "return of the bar"
    assert " %" in repr(found.outliers)


def test_alarms_say_in_what_a_drop_is_counted(lab: Lab) -> None:
    assert "drop in standard errors" in lab.correlation().breaks().title


def test_a_frame_without_times_keeps_its_heads() -> None:
    assert ">a</th>" in frame_html(pl.DataFrame({"a": [1]}))
