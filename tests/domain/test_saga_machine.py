"""Sagas: whatever is asked of one, it ends completed or compensated, and what it refuses changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put
from mexclab.domain.saga import SAGA_STEPS, STEP_STEPS, Ending, Saga, SagaState, SagaStep, StepState
from mexclab.errors import DomainError, IllegalTransition
from tests.domain.histories import random_history

NAMES = ("enter", "protect", "leave")
NOW = 1_000


def begun(*names: str) -> Saga:
    return Saga.begun(e.SagaBegun(NOW, "s-1", "snipe", names or NAMES))


def states(saga: Saga) -> list[str]:
    return [str(step.state) for step in saga.steps]


# -- one saga ------------------------------------------------------------------------------------


def test_steps_are_done_in_their_order_and_then_the_saga_is_completed() -> None:
    saga = begun()
    for name in NAMES:
        assert saga.next_step == SagaStep(name)
        saga = saga.stepped(name, StepState.DONE, f"{name} went well")
    ended = saga.ended(Ending.COMPLETED, "sold")
    assert (ended.state, ended.outcome, ended.why) == (SagaState.ENDED, Ending.COMPLETED, "sold")
    assert [step.why for step in ended.steps] == [f"{name} went well" for name in NAMES]


def test_a_step_that_fails_turns_the_saga_round_and_the_last_one_done_is_compensated_first() -> None:
    saga = begun().stepped("enter", StepState.DONE).stepped("protect", StepState.DONE)
    saga = saga.stepped("leave", StepState.FAILED, "a person aborts")
    assert (saga.state, saga.why) == (SagaState.COMPENSATING, "a person aborts")
    for name in ("protect", "enter"):
        assert saga.next_step is not None
        assert saga.next_step.name == name
        saga = saga.stepped(name, StepState.COMPENSATED)
    assert states(saga) == ["compensated", "compensated", "failed"]
    assert saga.ended(Ending.COMPENSATED).outcome is Ending.COMPENSATED


def test_a_first_step_that_fails_leaves_nothing_to_compensate() -> None:
    saga = begun().stepped("enter", StepState.FAILED, "nobody sold")
    assert saga.next_step is None
    assert states(saga.ended(Ending.COMPENSATED)) == ["failed", "pending", "pending"]


@pytest.mark.parametrize(
    ("steps", "name", "to", "words"),
    [
        ([], "protect", StepState.DONE, "from RUNNING pending to done before enter, which is pending"),
        ([], "enter", StepState.COMPENSATED, "from RUNNING pending to compensated"),
        ([("enter", "done")], "enter", StepState.DONE, "from RUNNING done to done"),
        ([("enter", "done")], "enter", StepState.COMPENSATED, "from RUNNING done to compensated"),
        ([("enter", "done")], "enter", StepState.FAILED, "from RUNNING done to failed"),
        ([("enter", "failed")], "protect", StepState.DONE, "from COMPENSATING pending to done"),
        (
            [("enter", "done"), ("protect", "done"), ("leave", "failed")],
            "enter",
            StepState.COMPENSATED,
            "from COMPENSATING done to compensated before protect, which is done",
        ),
    ],
)
def test_a_step_out_of_turn_is_refused_and_names_both_states(
    steps: list[tuple[str, str]], name: str, to: StepState, words: str
) -> None:
    saga = begun()
    for each, outcome in steps:
        saga = saga.stepped(each, StepState(outcome))
    with pytest.raises(IllegalTransition) as refused:
        saga.stepped(name, to)
    assert refused.value.message == f"saga s-1: step {name} cannot go {words}"


@pytest.mark.parametrize(
    ("steps", "ending", "words"),
    [
        ([], Ending.COMPENSATED, "from RUNNING to ENDED compensated"),
        (
            [("enter", "done")],
            Ending.COMPLETED,
            "from RUNNING to ENDED completed while protect is pending",
        ),
        ([("enter", "failed")], Ending.COMPLETED, "from COMPENSATING to ENDED completed"),
        (
            [("enter", "done"), ("protect", "failed")],
            Ending.COMPENSATED,
            "from COMPENSATING to ENDED compensated while enter is done",
        ),
    ],
)
def test_no_saga_ends_between(steps: list[tuple[str, str]], ending: Ending, words: str) -> None:
    saga = begun()
    for each, outcome in steps:
        saga = saga.stepped(each, StepState(outcome))
    with pytest.raises(IllegalTransition) as refused:
        saga.ended(ending)
    assert refused.value.message == f"saga s-1: it cannot go {words}"


@pytest.mark.parametrize("names", [(), ("enter", "enter"), ("",)])
def test_a_saga_without_steps_of_their_own_names_does_not_exist(names: tuple[str, ...]) -> None:
    with pytest.raises(DomainError, match="one or more steps of different names"):
        Saga.begun(e.SagaBegun(NOW, "s-1", "snipe", names))


# -- the desk ------------------------------------------------------------------------------------


def test_the_desk_keeps_the_sagas_that_go_on_and_lets_go_of_those_that_ended() -> None:
    desk = Desk.of([e.SagaBegun(NOW, "s-1", "snipe", NAMES), e.SagaBegun(NOW, "s-2", "snipe", NAMES)])
    for event in (
        e.SagaStepped(NOW, "s-1", "enter", "failed", "nobody sold"),
        e.SagaEnded(NOW, "s-1", "compensated", "nothing was bought"),
    ):
        desk.fold(event)
    assert list(desk.sagas) == ["s-2"]


def test_an_id_may_begin_anew_after_its_end_and_not_before() -> None:
    desk = Desk.of([e.SagaBegun(NOW, "s-1", "snipe", NAMES)])
    with pytest.raises(DomainError, match="goes on and cannot begin"):
        desk.fold(e.SagaBegun(NOW, "s-1", "snipe", NAMES))
    desk.fold(e.SagaStepped(NOW, "s-1", "enter", "failed"))
    desk.fold(e.SagaEnded(NOW, "s-1", "compensated"))
    desk.fold(e.SagaBegun(NOW + 1, "s-1", "snipe", NAMES))
    assert desk.sagas["s-1"] == replace(begun(), begun_ns=NOW + 1)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (e.SagaStepped(NOW, "ghost", "enter", "done"), "no saga 'ghost' goes on"),
        (e.SagaEnded(NOW, "ghost", "completed"), "no saga 'ghost' goes on"),
        (e.SagaStepped(NOW, "s-1", "dance", "done"), "has no step 'dance'"),
        (e.SagaStepped(NOW, "s-1", "enter", "half"), "'half' is no outcome; there are pending, done"),
        (e.SagaEnded(NOW, "s-1", "half"), "there are completed, compensated"),
    ],
)
def test_what_names_no_saga_no_step_or_no_outcome_is_refused(event: e.Event, words: str) -> None:
    desk = Desk.of([e.SagaBegun(NOW, "s-1", "snipe", NAMES)])
    with pytest.raises(DomainError, match=words):
        desk.fold(event)
    assert desk.sagas == {"s-1": begun()}


def test_a_trial_fold_leaves_the_desks_own_sagas_alone() -> None:
    desk = Desk.of([e.SagaBegun(NOW, "s-1", "snipe", NAMES)])
    trial = desk.trial()
    trial.fold(e.SagaStepped(NOW, "s-1", "enter", "failed"))
    trial.fold(e.SagaEnded(NOW, "s-1", "compensated"))
    assert (trial.sagas, list(desk.sagas)) == ({}, ["s-1"])


def test_random_histories_hold_sagas_in_every_state() -> None:
    """What the tests of snapshots are made of."""
    desk, seen = Desk(), set[tuple[SagaState, bool]]()
    for event in random_history(7, stories=30):
        desk.fold(event)
        seen |= {(saga.state, saga.next_step is None) for saga in desk.sagas.values()}
    assert {state for state, _ in seen} == {SagaState.RUNNING, SagaState.COMPENSATING}


# -- whatever is asked of it ---------------------------------------------------------------------


class SagaMachine(RuleBasedStateMachine):
    """Any step, in any order, on a desk; beside it a twin that is a plain list of what was done."""

    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.names = tuple(f"step{number}" for number in range(count))
        self.events: list[e.Event] = []
        self.desk = Desk()
        self.done: list[str] = []
        self.turned = False
        self.fold(e.SagaBegun(NOW, "s-1", "any", self.names))

    def fold(self, event: e.Event) -> bool:
        """Whether the desk takes it; what it refuses has changed nothing."""
        before, refusal = DeskState.of(self.desk), None
        try:
            self.desk.fold(event)
        except IllegalTransition as refused:
            refusal = refused.data
        if refusal is None:
            self.events.append(event)
            return True
        assert refusal["was"]
        assert refusal["to"]
        assert DeskState.of(self.desk) == before
        return False

    @property
    def runs(self) -> bool:
        return "s-1" in self.desk.sagas

    @rule(number=st.integers(0, 3), outcome=st.sampled_from(["done", "done", "failed", "compensated"]))
    def a_step(self, number: int, outcome: str) -> None:
        if not self.runs:
            return
        name = self.names[number % len(self.names)]
        is_turn = len(self.done) < len(self.names) and name == self.names[len(self.done)]
        fits = {
            "done": is_turn and not self.turned,
            "failed": is_turn and not self.turned,
            "compensated": self.turned and bool(self.done) and name == self.done[-1],
        }[outcome]
        assert self.fold(e.SagaStepped(NOW, "s-1", name, outcome)) is fits
        if not fits:
            return
        if outcome == "done":
            self.done.append(name)
        elif outcome == "failed":
            self.turned = True
        else:
            self.done.pop()

    @rule()
    def the_next_step_is_done(self) -> None:
        if self.runs and len(self.done) < len(self.names):
            self.a_step(len(self.done), "done")

    @rule()
    def the_last_step_is_compensated(self) -> None:
        if self.runs and self.done:
            self.a_step(len(self.done) - 1, "compensated")

    @rule(outcome=st.sampled_from(list(Ending)))
    def it_ends(self, outcome: Ending) -> None:
        if not self.runs:
            return
        whole, nothing = len(self.done) == len(self.names), not self.done
        fits = not self.turned and whole if outcome is Ending.COMPLETED else self.turned and nothing
        assert self.fold(e.SagaEnded(NOW, "s-1", outcome)) is fits
        if fits:
            self.done, self.turned = [], False

    @rule()
    def it_begins_anew(self) -> None:
        if not self.runs:
            self.fold(e.SagaBegun(NOW, "s-1", "any", self.names))

    @invariant()
    def the_ledger_gives_it_back(self) -> None:
        assert DeskState.of(Desk.of(self.events)) == DeskState.of(self.desk)
        again = Desk()
        put(again, DeskState.of(self.desk))
        assert again.sagas == self.desk.sagas

    @invariant()
    def what_is_done_is_a_beginning_of_its_steps(self) -> None:
        saga = self.desk.sagas.get("s-1")
        if saga is None:
            return
        assert [step.name for step in saga.steps if step.state is StepState.DONE] == self.done
        assert self.done == list(self.names[: len(self.done)])
        assert (saga.state is SagaState.COMPENSATING) is self.turned
        assert any(step.state is StepState.FAILED for step in saga.steps) is self.turned


def test_the_tables_have_a_way_to_an_end_from_every_state() -> None:
    for state in SagaState:
        reached, new = {state}, {state}
        while new:
            new = {to for each in new for to in SAGA_STEPS[each]} - reached
            reached |= new
        assert SagaState.ENDED in reached
    assert set(STEP_STEPS) == set(StepState)


TestSagaMachine = SagaMachine.TestCase
TestSagaMachine.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
