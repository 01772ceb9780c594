"""``lab.risk``: limits and a review show themselves, in words and colours, with the mode before them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mexclab import Lab, Settings
from mexclab.errors import DeskError, ParameterError
from mexclab.notebook.desk import Answer
from mexclab.notebook.display import _answer_html, mode_html
from mexclab.notebook.header import Header
from mexclab.notebook.risk import BAD, GOOD
from mexclab.notebook.status import sentences
from mexclab.notebook.stream import Snapshot
from tests.daemon.risk_scene import Door, found_in, paused, planned

PAUSE = "loss_streak:<abc>"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Door]]:
    folder = tmp_path_factory.mktemp("live")
    door = asyncio.run(planned(folder, mode="live"))
    asyncio.run(paused(door, PAUSE))
    with found_in(folder / "data", door):
        yield Lab(Settings(data=folder / "data"), source="sample"), door
    door.station.close()


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Door]]:
    folder = tmp_path_factory.mktemp("paper")
    door = asyncio.run(planned(folder))
    with found_in(folder / "data", door):
        yield Lab(Settings(data=folder / "data"), source="sample"), door
    door.station.close()


def test_a_review_says_of_every_limit_whether_it_holds(paper: tuple[Lab, Door]) -> None:
    lab, door = paper
    good = lab.risk.review(snipe=door.snipe_id)
    assert good.is_cleared, good.breaches
    assert repr(good).startswith("PAPER cleared: ")
    assert f"{GOOD} exposure: 0.00 → " in repr(good)
    assert BAD not in good._repr_html_()
    bad = lab.risk.review(door.symbol, budget=900, cap="5")
    assert not bad.is_cleared
    assert any("the limit is 50" in why for why in bad.breaches)
    html = bad._repr_html_()
    assert html.count(BAD) == len(bad.breaches)
    assert "#b3261e" in html
    assert "PAPER" in html


def test_a_review_of_nothing_or_of_two_things_is_one_clear_error(paper: tuple[Lab, Door]) -> None:
    lab, door = paper
    for ask in (lab.risk.review, lambda: lab.risk.review(door.symbol, snipe=door.snipe_id)):
        with pytest.raises(ParameterError, match="Give a symbol, or the id of a snipe"):
            ask()
    with pytest.raises(DeskError, match="NOWHEREUSDT"):
        lab.risk.review("NOWHEREUSDT")
    with pytest.raises(DeskError, match="budget"):
        lab.risk.review(door.symbol, budget=-1)


def test_the_limits_show_themselves_with_pauses_and_what_is_missing(live: tuple[Lab, Door]) -> None:
    lab, _ = live
    html, text = lab.risk._repr_html_(), repr(lab.risk)
    for shown in (html, text):
        assert "LIVE" in shown
        assert "value at risk" in shown
        assert "MISSING live_limits" in shown
    assert f"PAUSED all until {lab.risk.page()['protections'][0]['ends'].removeprefix('until ')}" in text
    assert "&lt;abc&gt;" in html
    assert "<abc>" not in html


def test_a_pause_is_released_from_a_notebook_with_a_reason(live: tuple[Lab, Door]) -> None:
    lab, door = live
    with pytest.raises(ParameterError, match="say why"):
        lab.risk.release(PAUSE, "")
    assert lab.risk.release(PAUSE, "looked at").mode == "live"
    assert door.station.engine.desk.protections_of(None, door.station.clock.now_ns()) == []


# -- paper, demo and live at a glance ------------------------------------------------------------------


def test_real_money_never_looks_like_paper() -> None:
    html = {mode: mode_html(mode, "x") for mode in ("paper", "demo", "live", "offline")}
    assert "LIVE: REAL MONEY" in html["live"]
    colours = {mode: text.split("background:")[1][:7] for mode, text in html.items()}
    assert colours["live"] not in {colours[mode] for mode in ("paper", "demo", "offline")}
    assert "border-left" in html["live"]
    assert "border-left" not in html["paper"]


def test_an_answer_and_the_head_of_a_notebook_say_the_mode() -> None:
    assert "LIVE: REAL MONEY" in _answer_html(Answer(1, False, "done", "live"))
    head = Header((("desk", "live"),), "live")
    assert "LIVE: REAL MONEY" in head._repr_html_()
    assert repr(head).startswith("LIVE: REAL MONEY\n")
    assert repr(Header((("desk", "paper"),))) == "desk         paper"


def test_the_status_says_what_refuses_entries() -> None:
    why = {"limit": "live_limits", "why": "nobody has confirmed", "value": "", "bound": ""}
    pause = {"symbol": None, "ends": "until 12:00", "kind": "loss_streak", "why": "3 lost"}
    monitor = {"state": "tripped", "monitor": "spread", "symbol": "ABCUSDT", "why": "30 % wide"}
    over = {"name": "day loss", "used": "101.00", "bound": "100.00", "unit": "USDT", "broken": True}
    risk = {
        "quote": "USDT", "pnl": "0", "at_risk": "0", "missing": [why], "protections": [pause],
        "monitors": [monitor], "limits": [over],
    }  # fmt: skip
    body = {
        "mode": "live", "venue": "MEXC", "at_ns": 1, "halt": None, "health": {"checks": []}, "risk": risk,
        "listings": [], "positions": [], "orders": [], "frame": 1,
    }  # fmt: skip
    text = "\n".join(sentences(Snapshot(body)))
    assert "LIVE: REAL MONEY" in text.splitlines()[0]
    for words in (
        "MISSING   live_limits",
        "PAUSED    all",
        "TRIPPED   spread of ABCUSDT",
        "LIMIT     day loss",
    ):
        assert words in text
