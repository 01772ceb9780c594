"""One life of a desk: it starts, it dies at a point, it starts again, and is held against the venue."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from mexclab.domain.clock import SECOND
from mexclab.errors import MexclabError
from tests.crash.child import DIED, kind_of
from tests.crash.scenarios import Scenario
from tests.crash.scene import LOOK_S, Databases, Scene, staged
from tests.crash.truth import Findings

LIFE_S = 60.0  # by then the life of a desk is over, on a busy machine too
NOTHING_S = 4.0  # after the opening: a desk that planned nothing by then has nothing to do
BLIND_S = 40.0
SETTLE_S = 30.0  # for the last answers
STOPPED = 130  # the exit code of a desk that was told to
ANNOUNCED_S = 90.0  # the opening as it is told until the desk is up


@dataclass(frozen=True, slots=True)
class Death:
    """Where to die: a key of a point or a pattern of keys, the how-manieth, and in which scenario."""

    at: str
    scenario: str = "plain"
    turn: int = 1


@dataclass(slots=True)
class Outcome:
    """What became of one life.

    Attributes:
        died_at: the key of the point; empty when it was never reached.
        wrong: everything that should not be; empty when it survived.
        restart_s: from the restart until it answered.
        story: the ledger, for a person who looks into what is wrong.
    """

    death: Death
    died_at: str = ""
    findings: Findings = field(default_factory=Findings)
    wrong: list[str] = field(default_factory=list)
    restart_s: float = 0.0
    took_s: float = 0.0
    story: str = ""
    passed: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.wrong:
            return "FAILED"
        return "survived" if self.died_at else "not reached"


def lived(databases: Databases, scenario: Scenario, death: Death) -> Outcome:
    """One whole life; never raises for what the desk does wrong."""
    began = time.monotonic()
    outcome = Outcome(death)
    with staged(None if scenario.embedded else databases, scenario.own) as scene:
        try:
            _live(scene, scenario, outcome)
        except (AssertionError, MexclabError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
            outcome.wrong.append(f"{type(error).__name__}: {error}")
        if outcome.wrong:
            outcome.story = _story(scene)
    outcome.took_s = time.monotonic() - began
    return outcome


def _live(scene: Scene, scenario: Scenario, outcome: Outcome) -> None:
    death = outcome.death
    if scenario.rules:
        scene.goes_wrong(*scenario.rules)
    life = _Life(scene, scenario)
    scene.shown_in(ANNOUNCED_S)
    if scenario.prelude:
        assert scene.start(), f"the desk does not start: {scene.log[-1500:]}"
        life.until(lambda: life.has(scenario.prelude))
        scene.end()
        scenario.between(scene)
    if scene.start(death.at, death.turn):
        life.until(life.is_over)
    code = scene.ended() if scenario.stops or not scene.is_up else None
    if _has_died(scene, outcome) or code == STOPPED:
        _starts_again(scene, life, outcome)
    _verify(scene, life, outcome)
    code = scene.end(signal.SIGTERM)
    if not outcome.died_at and _has_died(scene, outcome):  # while it stopped
        _starts_again(scene, life, outcome)
        _verify(scene, life, outcome)
        code = scene.end(signal.SIGTERM)
    if code != STOPPED:
        outcome.wrong.append(f"it did not stop as told but with code {code}: {scene.log[-1500:]}")


def _has_died(scene: Scene, outcome: Outcome) -> bool:
    """Whether it died at its point."""
    outcome.passed = scene.passed()
    last = outcome.passed[-1] if outcome.passed else ""
    if last.startswith(DIED):
        outcome.died_at = last.removeprefix(DIED)
        code = scene.ended()
        assert code == -signal.SIGKILL, f"it ended by itself, with code {code}: {scene.log[-1500:]}"
    return bool(outcome.died_at)


def _starts_again(scene: Scene, life: _Life, outcome: Outcome) -> None:
    assert scene.start(), f"the desk does not start again: {scene.log[-1500:]}"
    outcome.restart_s = scene.starts[-1]
    life.until(life.is_over)


def _verify(scene: Scene, life: _Life, outcome: Outcome) -> None:
    assert scene.is_up, f"the desk ended by itself: {scene.log[-1500:]}"
    if not life.is_over():
        outcome.wrong.append("the desk does not come to an end of it")
    outcome.findings = life.settled()
    outcome.wrong += outcome.findings.all


class _Life:
    """What happens around the desk, from its first start to its last end."""

    def __init__(self, scene: Scene, scenario: Scenario) -> None:
        self._scene = scene
        self._scenario = scenario
        self._left = list(scenario.acts)
        self._quiet_s = 0.0

    def has(self, kind: str) -> bool:
        return any(kind_of(event) == kind for event in self._scene.read().events)

    def is_over(self) -> bool:
        """Whether nothing is left to do: sold, given up, or there was never anything."""
        opened_s, desk = self._scene.since_opening_s(), self._scene.read().desk
        if opened_s < 0.5:
            return False
        if not desk.snipes:
            return opened_s > NOTHING_S
        moving = any(not snipe.state.is_over for snipe in desk.snipes.values())
        return not moving and not any(desk.open_orders())

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, the desk is down, or its life has lasted long enough; act meanwhile."""
        scene = self._scene
        if not scene.opens_ns:
            scene.opens_in(self._scenario.opens_s)
        # who looks into an embedded ledger keeps its server up: nobody does until the desk has died
        blind = self._scenario.embedded and len(scene.starts) == 1
        ends_s = time.monotonic() + (BLIND_S if blind else LIFE_S)
        while scene.is_up and time.monotonic() < ends_s:
            if not blind:
                self._act()
                if holds():
                    return
            time.sleep(LOOK_S)

    def _act(self) -> None:
        for act in list(self._left):
            if self.has(act.when):
                self._left.remove(act)
                act.do(self._scene)
                return

    def settled(self) -> Findings:
        """What is different once the last answers are in."""
        ends_s = time.monotonic() + SETTLE_S
        time.sleep(0.3)
        found = self._scene.findings()
        while found.all and time.monotonic() < ends_s:
            time.sleep(0.5)
            found = self._scene.findings()
        return found


def _story(scene: Scene) -> str:
    try:
        book = scene.read()
    except MexclabError as error:
        return f"the ledger cannot be read: {error}"
    base = next((event.at_ns for event in book.events), 0)
    lines = [
        f"{number:4} {(event.at_ns - base) / SECOND:8.3f} {event}"[:600]
        for number, event in enumerate(book.events, 1)
    ]
    return "\n".join([*lines, "-- log", scene.log[-3000:]])
