"""What shows how far long work in a notebook has come."""

from __future__ import annotations

import io
import re
import sys
import threading
import time

import nbclient
import nbformat
import pytest

from mexclab import Lab, Settings
from mexclab.notebook import progress
from mexclab.research.walk_forward import WalkForwardOptions, questions


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a person sees it; every bar is shown at once."""
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    monkeypatch.setattr(progress, "QUICK_S", 0.0)
    monkeypatch.setattr(progress, "LOOK_S", 0.0)
    return seen


def test_judging_many_searches_and_walking_forward_show_how_far_they_are(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = terminal(monkeypatch)
    lab = Lab(Settings(data=tmp_path_factory.mktemp("data")))
    asked = questions(lab.panel(), WalkForwardOptions(length=20, horizon=15, questions=20))[::8]
    assert "reading the lake: " in seen.getvalue()
    lab.outcomes_many(lab.similar_many(asked, k=15, horizon=15), (5, 15))
    assert re.search(rf"outcomes: +\d+%.* [1-9]\d*/{len(asked)} ", seen.getvalue())
    lab.walk_forward(WalkForwardOptions(length=20, horizon=10, k=10, questions=30))
    assert re.search(r"walk forward: +\d+%.* [1-9]\d*/30 ", seen.getvalue())
    assert seen.getvalue().endswith("\r"), "a finished bar is wiped away"


def test_quick_work_a_thread_and_a_pipe_show_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = terminal(monkeypatch)

    def work() -> None:
        with progress.shown("work", "piece") as told:
            time.sleep(0.2)  # a bar is drawn so often at most
            told(1, 2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    monkeypatch.setattr(progress, "QUICK_S", 60.0)
    work()
    monkeypatch.setattr(progress, "QUICK_S", 0.0)
    pipe = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", pipe)
        work()
    assert (seen.getvalue(), pipe.getvalue()) == ("", "")
    work()
    assert "work:  50%" in seen.getvalue()


CELL = """
import time
from mexclab.notebook import progress
progress.QUICK_S = 0.0
with progress.shown("outcomes", "search") as told:
    for done in range(1, 4):
        time.sleep(0.3)
        told(done, 3)
        seen = progress.tqdm._instances and str(list(progress.tqdm._instances)[0])
seen
"""


def test_in_a_notebook_the_bar_stands_under_the_cell_and_leaves_nothing_behind() -> None:
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = nbclient.NotebookClient(page, timeout=120)
    bars: list[str] = []
    told = client._update_display_id

    def keep(display_id: str, message: dict[str, dict[str, dict[str, str]]]) -> None:
        bars.append(message["content"]["data"]["text/plain"])
        told(display_id, message)

    client._update_display_id = keep
    client.execute()
    shown, value = page.cells[0].outputs
    assert any("outcomes:  67%" in line for line in bars), bars
    assert shown["data"] == {"text/plain": "", "text/html": ""}
    assert "3/3" in value["data"]["text/plain"]
