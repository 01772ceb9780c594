"""`mexclab portfolio`: what is held and earned, on one page of a terminal; now and at an earlier entry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mexclab.commands.tables import WIDTH
from tests.daemon.portfolio_scene import Door, holding
from tests.daemon.risk_scene import found_in
from tests.processes import one_line, run


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Door]]:
    """A desk that holds one position."""
    folder = tmp_path_factory.mktemp("held")
    door = asyncio.run(holding(folder))
    with found_in(folder / "data", door):
        yield folder / "data", door
    door.station.close()


def test_what_is_held_earned_and_could_be_lost_is_on_one_page(held: tuple[Path, Door]) -> None:
    data, door = held
    text = run(data, "portfolio").stdout
    [position] = door.desk.portfolio.held
    assert text.startswith("PAPER: portfolio at ")
    assert str(position.symbol) in text
    assert f"{door.desk.portfolio.cash:.4f} USDT" in text
    assert "opening_snipe" in text
    assert "of its own worth" in text, "the bad hours are told in words"
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_an_earlier_entry_is_shown_as_it_was(held: tuple[Path, Door]) -> None:
    data, _ = held
    told = json.loads(run(data, "portfolio", "--at", "1", "--json").stdout)
    assert told["portfolio"]["seq"] == 1
    assert told["portfolio"]["positions"] == []
    assert Decimal(told["portfolio"]["profit"]) == 0
    assert "Nothing is held." in run(data, "portfolio", "--at", "1").stdout


@pytest.mark.parametrize("at", ["yesterday", "999999", "-3"])
def test_a_moment_that_is_none_is_refused_in_one_sentence(held: tuple[Path, Door], at: str) -> None:
    sentence = one_line(run(held[0], "portfolio", f"--at={at}"), 6)
    assert at in sentence
