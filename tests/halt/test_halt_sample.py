"""A sample of the halt matrix; ``python -m tests.halt`` plays all of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scene import Databases
from tests.halt import clients, matrix
from tests.halt.situations import BY_NAME

BUSY_MS = 15_000.0  # a machine may have other things to do


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    folder = Path(tempfile.mkdtemp(prefix="mexclab-halt-ledgers-"))
    folder.chmod(0o755)
    try:
        with Databases.up(folder) as databases:
            yield databases
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("situation", "names"),
    [("mid-burst", ["cli"]), ("network out", ["dashboard"]), ("restart", ["nobody", "api"])],
    ids=["cli, mid-burst", "dashboard, network out", "api, restart"],
)
def test_nothing_is_entered_after_a_halt_and_what_is_held_is_still_sold(
    databases: Databases, situation: str, names: list[str]
) -> None:
    """That a halt takes at most a second is measured by ``make halts``, on a machine that is left alone."""
    rounds = list(matrix.lived(databases, BY_NAME[situation], names, within_ms=BUSY_MS))
    assert [each.client for each in rounds] == names
    assert not [why for each in rounds for why in each.wrong], matrix.page(rounds)


def test_the_matrix_is_every_client_in_every_situation() -> None:
    assert set(clients.HALTING) == {"cli", "api", "dashboard", "trigger", "file"}
    assert list(BY_NAME) == ["idle", "under load", "network out", "mid-burst", "restart"]


def test_a_cell_tells_the_worst_of_its_rounds_and_everything_that_was_wrong() -> None:
    rounds = [
        matrix.Round("cli", "idle", entry_ms=ms, durable_ms=ms + 1, sold_ms=1.0, wrong=["late"] * (ms > 1000))
        for ms in (5.0, 1200.0, 7.0)
    ]
    found = matrix.cells(rounds)["idle"]["cli"]
    assert (found["entry_p50"], found["entry_p99"], found["durable_p99"]) == (7.0, 1200.0, 1201.0)
    assert found["wrong"] == ["late"]
    assert "p99 1,200 ms" in matrix.page(rounds)
