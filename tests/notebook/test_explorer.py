"""The explorer's kernel side: what it tells a view, what it refuses, and which question it answers."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mexclab.config import Settings
from mexclab.domain.clock import MILLISECOND, MINUTE
from mexclab.errors import NotEnoughData, ParameterError
from mexclab.notebook import explorer, serve
from mexclab.notebook import explorer_answer as answers
from mexclab.notebook.explorer import Pace, Session
from mexclab.notebook.explorer_answer import Question
from mexclab.notebook.lab import Lab
from mexclab.research.multiplicity import q_values
from mexclab.research.outcomes import Costs, outcomes
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.sample import START_NS, sample_bars
from mexclab.store.lake import Lake

SYMBOLS = ("SIM01USDT", "SIM02USDT", "SIM03USDT", "SIM04USDT")
BARS = 2 * 1440
HELD_BACK = 400  # bars that come later
ASKED = Question(7, "SIM02USDT", "1m", START_NS + 2000 * MINUTE, 60, k=8, horizon=120)
QUICK = Pace(tail_s=0.05, away_s=5.0, leave_s=5.0)


@pytest.fixture(scope="module")
def every_bar() -> pl.DataFrame:
    return sample_bars().filter(pl.col("symbol").is_in(SYMBOLS)).group_by("symbol").head(BARS)


@pytest.fixture
def lab(tmp_path: Path, every_bar: pl.DataFrame) -> Lab:
    """A lab whose lake lacks the last bars of each symbol."""
    settings = Settings(data=tmp_path)
    Lake(tmp_path / "lake").write(every_bar.group_by("symbol").head(BARS - HELD_BACK))
    return Lab(settings)


def the_rest(every_bar: pl.DataFrame, count: int) -> pl.DataFrame:
    """The next ``count`` of the bars that were held back."""
    return every_bar.group_by("symbol").tail(HELD_BACK).group_by("symbol").head(count)


class View:
    """What a page would have heard, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        self.changed = threading.Condition()

    def take(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        json.dumps(message)  # a message that cannot cross must not be sent
        with self.changed:
            self.heard.append((message, buffers))
            self.changed.notify_all()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for message, _ in list(self.heard) if message["kind"] == kind]

    def wait(self, kind: str, count: int = 1, seconds: float = 60.0) -> dict[str, Any]:
        """The ``count``-th message of a kind."""
        end = time.monotonic() + seconds
        with self.changed:
            while len(self.all(kind)) < count:
                assert self.changed.wait(end - time.monotonic()), f"no {kind} among {self.kinds()}"
        return self.all(kind)[count - 1]

    def kinds(self) -> list[str]:
        return [message["kind"] for message, _ in list(self.heard)]

    def buffer(self, kind: str) -> bytes:
        return next(buffers[0] for message, buffers in reversed(self.heard) if message["kind"] == kind)


@contextmanager
def opened(lab: Lab, **ready: Any) -> Iterator[tuple[Session, View]]:
    view = View()
    session = Session(lab, view.take, pace=QUICK)
    session.take({"kind": "ready", **ready})
    view.wait("history")
    try:
        yield session, view
    finally:
        session.close()


def as_asked(question: Question, **other: Any) -> dict[str, Any]:
    return {
        "kind": "ask",
        "id": question.number,
        "symbol": question.symbol,
        "interval": question.interval,
        "start_ms": question.start_ns // MILLISECOND,
        "length": question.length,
        "k": question.k,
        "horizon": question.horizon,
        **other,
    }


def test_a_view_that_is_ready_is_told_the_symbols_the_latest_bars_and_what_is_searched(lab: Lab) -> None:
    with opened(lab, symbol="SIM03USDT") as (_, view):
        assert view.wait("hello")["symbols"] == list(SYMBOLS)
        told = view.wait("bars")
        assert (told["symbol"], told["place"], told["whole"]) == ("SIM03USDT", "new", True)
        bars = np.frombuffer(view.buffer("bars")).reshape(-1, 6)
        expected = answers.as_numbers(lab.lake.bars("SIM03USDT"))[-answers.BARS_A_PAGE :]
        np.testing.assert_array_equal(bars, expected)
        assert view.wait("history")["bars"] == 4 * (BARS - HELD_BACK)


def test_an_answer_is_the_one_of_the_research_layer(lab: Lab) -> None:
    with opened(lab, symbol=ASKED.symbol) as (session, view):
        session.take(as_asked(ASKED))
        told, outcome = view.wait("matches"), view.wait("outcome")
        panel = lab.panel()
        query = panel.window(ASKED.symbol, start_ns=ASKED.start_ns, length=ASKED.length)
        expected = similar(panel, query, ASKED.k, horizon=ASKED.horizon, options=SimilarityOptions())
        assert [row["symbol"] for row in told["rows"]] == expected.table["symbol"].to_list()
        starts = expected.table["start"].dt.epoch("ms").to_list()
        assert [row["start_ms"] for row in told["rows"]] == starts
        found = outcomes(panel, expected, ASKED.horizons, Costs(), answers.OUTCOMES)
        assert outcome["verdict"] == found.verdict
        assert [row["horizon"] for row in outcome["rows"]] == [7, 30, 120]
        shapes = np.frombuffer(view.buffer("matches"), dtype=np.float32).reshape(1 + len(expected), -1)
        np.testing.assert_allclose(shapes[1:, :60], expected.windows, atol=1e-5)
        assert told["x"][60:] == list(range(60, 120)), "the bars that came after, one window long"


def test_no_match_and_no_outcome_reaches_into_the_window(lab: Lab) -> None:
    panel, matches = answers.search(lab, ASKED)
    ends = panel.times(matches.positions) + (ASKED.length + ASKED.horizon) * MINUTE
    assert ends.max() <= ASKED.start_ns


def test_the_latest_question_wins(lab: Lab) -> None:
    with opened(lab) as (session, view):
        for number in range(1, 9):
            session.take(as_asked(ASKED, id=number, start_ms=ASKED.start_ns // MILLISECOND + number * 60_000))
        view.wait("outcome")
        assert [message["id"] for message in view.all("outcome")] == [8]


def test_an_edge_among_many_windows_must_survive_their_number(lab: Lab) -> None:
    with opened(lab) as (session, view):
        for number in range(1, 5):
            start_ms = ASKED.start_ns // MILLISECOND - (number % 3) * 3_600_000
            session.take(as_asked(ASKED, id=number, start_ms=start_ms))
            view.wait("outcome", number)
        told = view.all("outcome")
        assert [each["asked"] for each in told] == [1, 2, 3, 3], "the same window again is no new question"
        assert told[0]["q_value"] == told[0]["p_value"]
        lately = [each["p_value"] for each in told[:3]]
        assert told[2]["q_value"] == q_values(np.array(lately))[2]
        assert all(each["survives"] <= each["edge"] for each in told)


def test_while_the_hand_moves_the_matches_are_enough(lab: Lab) -> None:
    with opened(lab) as (session, view):
        session.take(as_asked(ASKED, id=1, final=False))
        assert view.wait("matches")["final"] is False
        session.take(as_asked(ASKED, id=2))
        view.wait("outcome")
        assert [message["id"] for message in view.all("outcome")] == [2]


CANNOT_BE_ANSWERED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"k": 0}, "1 to 100 matches"),
    ({"horizon": 0}, "bars after them"),
    ({"length": 9}, "10 to 2000 bars"),
    ({"length": "many"}, "cannot be read"),
    ({"symbol": "NOUSDT"}, "NOUSDT"),
    ({"start_ms": START_NS // MILLISECOND}, "No window"),
    ({"start_ms": START_NS // MILLISECOND - 600_000}, "never straddles a gap"),
    ({"interval": "7m"}, "7m"),
)


def test_a_question_that_cannot_be_answered_is_told_why(lab: Lab) -> None:
    with opened(lab) as (session, view):
        for number, (change, words) in enumerate(CANNOT_BE_ANSWERED, 1):
            session.take(as_asked(ASKED, **{"id": number, **change}))
            told = view.wait("refused", number)
            assert told["id"] == number
            assert words in told["text"]
        assert "fault" not in view.kinds()


def test_new_bars_appear_and_a_corrected_last_bar_does_too(lab: Lab, every_bar: pl.DataFrame) -> None:
    with opened(lab, symbol="SIM01USDT") as (_, view):
        lab.lake.write(the_rest(every_bar, 3))
        told = view.wait("bars", 2)
        assert told["place"] == "tail"
        bars = np.frombuffer(view.buffer("bars")).reshape(-1, 6)
        np.testing.assert_array_equal(bars, answers.as_numbers(lab.lake.bars("SIM01USDT"))[-4:])
        last = lab.lake.bars("SIM01USDT").tail(1).with_columns(volume=pl.lit(1.0))
        lab.lake.write(last, replace=True)
        view.wait("bars", 3)
        assert np.frombuffer(view.buffer("bars")).reshape(-1, 6)[-1, 5] == 1.0
        time.sleep(6 * QUICK.tail_s)
        assert len(view.all("bars")) == 3, "what did not change is not sent again"


def test_a_question_about_new_bars_sees_all_that_it_may_see(lab: Lab, every_bar: pl.DataFrame) -> None:
    lab.panel()
    lab.lake.write(the_rest(every_bar, HELD_BACK))
    late = replace(ASKED, start_ns=START_NS + (BARS - 60) * MINUTE)
    panel, matches = answers.search(lab, late)
    assert answers.end_of(panel) == START_NS + BARS * MINUTE
    assert matches.scanned + sum(matches.excluded.values()) == 4 * (BARS - 60 + 1)


def test_a_window_beside_a_gap_is_refused_when_it_straddles_it(lab: Lab, every_bar: pl.DataFrame) -> None:
    lab.lake.write(the_rest(every_bar, 200).group_by("symbol").tail(100))
    with pytest.raises(NotEnoughData, match="never straddles a gap"):
        answers.query_of(lab.lake, replace(ASKED, start_ns=START_NS + (BARS - HELD_BACK - 20) * MINUTE))


def test_a_page_around_a_long_window_holds_all_of_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(sample_bars().filter(pl.col("symbol") == "SIM01USDT"))
    start_ms, length = START_NS // MILLISECOND + 3000 * 60_000, 2000
    close_ms = start_ms + length * 60_000
    page = answers.page_of_bars(lake, "SIM01USDT", "1m", around_ms=close_ms, around_length=length)
    assert len(page) == answers.BARS_A_PAGE
    assert page[0, 0] == start_ms - 500 * 60_000 + 60_000
    assert page[-1, 0] == close_ms + 500 * 60_000
    for wrong in ({"around_length": 9}, {"around_length": 2001}):
        with pytest.raises(ParameterError):
            answers.page_of_bars(lake, "SIM01USDT", "1m", around_ms=close_ms, **wrong)
    with pytest.raises(ParameterError, match="7m"):
        answers.page_of_bars(lake, "SIM01USDT", "7m", around_ms=close_ms, around_length=length)


def test_older_pages_join_without_a_hole(lab: Lab) -> None:
    whole = answers.as_numbers(lab.lake.bars("SIM04USDT"))
    middle = int(whole[1000, 0])
    before = answers.page_of_bars(lab.lake, "SIM04USDT", "1m", before_ms=middle)
    after = answers.page_of_bars(lab.lake, "SIM04USDT", "1m", after_ms=middle - 60_000)
    np.testing.assert_array_equal(np.concatenate([before, after]), whole)


def test_a_match_shows_its_bars_with_what_came_before_and_after(lab: Lab) -> None:
    start_ms = START_NS // MILLISECOND + 6_000_000
    match = {"symbol": "SIM01USDT", "start_ms": start_ms, "length": 60, "horizon": 120}
    bars = answers.bars_of_match(lab.lake, "1m", match)
    assert len(bars) == 30 + 60 + 120
    assert bars[30, 0] == start_ms


def test_what_crosses_stays_small_however_long_the_window_is(lab: Lab) -> None:
    question = replace(ASKED, length=1000, start_ns=START_NS + 1480 * MINUTE, k=100, horizon=200)
    panel, matches = answers.search(lab, question)
    told, shapes = answers.matches_message(panel, matches, question)
    assert shapes.nbytes <= (1 + 100) * 2 * answers.POINTS * 4
    assert len(json.dumps(told)) < 40_000


def test_a_shape_ends_where_the_bars_end(lab: Lab) -> None:
    """A match whose aftermath reaches a gap is drawn up to it; nothing of another symbol is drawn."""
    panel, matches = answers.search(lab, ASKED)
    last = np.asarray(panel.segment_start[1:])[0] - ASKED.length - 5
    cut = replace(matches, positions=np.full(len(matches), last))
    _, shapes = answers.matches_message(panel, cut, ASKED)
    assert np.isfinite(shapes[1:, : ASKED.length + 5]).all()
    assert np.isnan(shapes[1:, ASKED.length + 5 :]).all()


def damaged(file: Path) -> None:
    """The footer stays whole, the pages do not: only a read of the bars shows it."""
    held = file.read_bytes()
    middle = len(held) // 2
    spoiled = file.with_suffix(".spoiled")
    spoiled.write_bytes(held[:4] + bytes(middle - 4) + held[middle:])
    os.replace(spoiled, file)


def test_a_damaged_month_is_named_once_and_not_every_second(lab: Lab) -> None:
    with opened(lab, symbol="SIM01USDT") as (_, view):
        file = next(path for path in lab.lake.root.rglob("*.parquet") if "SIM01USDT" in str(path))
        damaged(file)
        told = view.wait("refused")
        assert (told["id"], file.name in told["text"]) == (0, True)
        view.wait("alive", len(view.all("alive")) + 4)
        assert len(view.all("refused")) == 1
        assert "fault" not in view.kinds()


def test_a_symbol_that_was_removed_is_told_once(lab: Lab) -> None:
    with opened(lab, symbol="SIM01USDT") as (_, view):
        file = next(path for path in lab.lake.root.rglob("*.parquet") if "SIM01USDT" in str(path))
        shutil.rmtree(file.parent)
        assert "SIM01USDT" in view.wait("refused")["text"]
        view.wait("alive", len(view.all("alive")) + 4)
        assert len(view.all("refused")) == 1
        assert "fault" not in view.kinds()


def test_the_page_is_told_how_far_the_reading_is_and_how_long_a_search_takes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "TELL_S", 0.0)
    with opened(lab, symbol="SIM02USDT") as (_, view):
        view.wait("busy", 2)
        rehearsed = view.wait("history", 2)
        assert 0 < rehearsed["search_ms"] < 60_000
        assert "search_ms" not in view.all("history")[0]
        words = [message["words"] for message in view.all("busy")]
        assert words[0] == "reading the history"
        assert "reading the history: 100%" in words
        assert words.index("preparing the search") > words.index("reading the history: 100%")
        while view.all("busy")[-1]["words"]:
            view.wait("busy", len(view.all("busy")) + 1)


def test_of_many_symbols_the_first_chart_is_the_one_with_the_fullest_month(
    lab: Lab, every_bar: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MANY_SYMBOLS", 3)
    calm = every_bar.filter(pl.col("symbol") == "SIM01USDT").with_columns(pl.col("close").first().alias("p"))
    calm = calm.with_columns(
        *(pl.col("p").alias(name) for name in ("open", "high", "low", "close")), volume=0.0
    )
    lab.lake.write(calm.drop("p").with_columns(symbol=pl.lit("AAAUSDT")))
    sizes = {part.parent.name: part.stat().st_size for part in lab.lake.root.glob("bars/**/*.parquet")}
    assert f"symbol={answers.first_symbol(lab, '1m')}" == max(sorted(sizes), key=sizes.__getitem__)
    assert answers.first_symbol(lab, "1m") != "AAAUSDT"


def test_what_is_reread_brings_new_symbols_and_keeps_the_window_in_sight(lab: Lab) -> None:
    with opened(lab, symbol="SIM03USDT") as (session, view):
        late = lab.lake.bars("SIM03USDT").with_columns(symbol=pl.lit("SIM09USDT"))
        lab.lake.write(late)
        close_ms = START_NS // MILLISECOND + 2000 * 60_000
        session.take({"kind": "reread", "around_ms": close_ms, "around_length": 60})
        assert view.wait("hello", 2)["symbols"] == [*SYMBOLS, "SIM09USDT"]
        view.wait("bars", 2)
        told = view.all("bars")[-1]
        assert (told["symbol"], told["interval"], told["place"]) == ("SIM03USDT", "1m", "new")
        bars = np.frombuffer(view.buffer("bars")).reshape(-1, 6)
        assert bars[0, 0] == close_ms - (30 + 1500 - 1) * 60_000


class Failing(Lab):
    """A lab whose history cannot be read, for a reason that nobody foresaw."""

    def panel(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault")


def test_a_question_that_the_kernel_fails_at_is_refused_so_that_the_next_one_can_go_out(lab: Lab) -> None:
    view = View()
    session = Session(Failing(lab.settings), view.take, pace=QUICK)
    session.take(as_asked(ASKED, final=False))
    told = view.wait("refused")
    assert told["id"] == ASKED.number
    assert "ZeroDivisionError" in told["text"]
    assert "a fault" in view.wait("fault")["text"]
    session.close()


def test_a_kernel_ends_when_its_page_has_gone(lab: Lab) -> None:
    gone = threading.Event()
    session = Session(lab, View().take, gone.set, Pace(tail_s=0.05, away_s=0.1, leave_s=0.3))
    session.take({"kind": "ready"})
    assert gone.wait(30)
    session.close()


def test_numbers_out_of_range_never_reach_the_search() -> None:
    for change in ({"k": 101}, {"horizon": 10_001}, {"length": 2001}):
        with pytest.raises(ParameterError):
            replace(ASKED, **change)


def test_every_dashboard_is_served_under_its_name(tmp_path: Path) -> None:
    assert set(serve.beside(serve.dashboards() / "desk.ipynb")) == {"explorer"}
    for name in ("one.ipynb", "other.ipynb"):
        (tmp_path / name).touch()
    assert serve.beside(tmp_path / "one.ipynb") == {}, "a notebook elsewhere is served alone"
