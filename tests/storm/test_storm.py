"""After any storm the ledger is what the venue is, to the last digit."""

from __future__ import annotations

import re
import sys
from typing import get_args

import pytest

from mexclab.venues.simulator.fault_plan import ActName, FrameKind, RequestKind
from tests.storm.storm import KINDS, Report, Storm, storm, told
from tests.storm.weather import Deed, weather_of

SNIPES = 36
# seeds whose storms once found something, with the listings of that storm; they stay
FAILED_ONCE = (
    (12, 12),  # the venue refused to tell its time, and the desk ended
    (17, 12),  # a listing was withdrawn under its shot, and the desk never started again
    (39, 12),  # every question was being asked at once, and the desk ended
    (902, 36),  # an exit that was called refused rested all the same, and held the coins for ever
)


def survived(report: Report) -> None:
    if report.wrong:
        pytest.fail("\n".join([report.line(), *report.wrong, report.story]), pytrace=False)


@pytest.mark.slow
def test_the_books_agree_with_the_venue_after_a_storm(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = storm(seed, SNIPES)
    with capsys.disabled():
        sys.stdout.write(f"\n{told([report])}\n")
    survived(report)
    assert report.snipes >= SNIPES * 2 // 3  # what is listed while the desk is away is not sniped
    assert report.fills
    assert report.applied["restart"]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "snipes"), FAILED_ONCE)
def test_a_storm_that_once_found_something_finds_nothing_any_more(seed: int, snipes: int) -> None:
    survived(storm(seed, snipes))


@pytest.mark.parametrize("snipes", [6, SNIPES])
def test_every_storm_brings_every_fault_and_every_act_of_the_simulator(seed: int, snipes: int) -> None:
    weather = weather_of(seed, snipes)
    symbols = [f"C{number}USDT" for number in range(snipes)]
    plan = weather.plan(symbols)
    of_requests = {rule.fault for rule in plan.rules if not rule.is_of_frames}
    of_frames = {rule.fault for rule in plan.rules if rule.is_of_frames}
    assert of_requests == set(RequestKind)
    assert of_frames == set(FrameKind)
    assert {act.act for act in plan.acts} == set(get_args(ActName))
    assert {happening.deed for happening in weather.deeds} == set(get_args(Deed))
    assert len(KINDS) == len(RequestKind) + len(FrameKind) + len(get_args(ActName))


def test_the_same_seed_gives_the_same_storm_event_by_event(seed: int) -> None:
    def lived() -> list[str]:
        storm = Storm(weather_of(seed, 6))
        storm.blow()
        port = storm.desk.server.url.rsplit(":", 1)[1]
        return [re.sub(rf"\b{port}\b", "PORT", str(event)) for _, event in storm.desk.ledger.read()]

    assert lived() == lived()


def test_different_seeds_give_different_storms(seed: int) -> None:
    assert weather_of(seed, 6) != weather_of(seed + 1, 6)
