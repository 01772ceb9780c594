"""The saga: an intent of several steps that ends completed or compensated, and never between.

Steps are done in order. The first that fails turns the saga round: what was done is compensated, the last
step first. A step that failed has nothing to compensate: what it left half done is part of compensating the
steps before it. Both machines are tables, and the ledger holds every step of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from mexclab.domain.risk_events import SagaBegun, SagaEnded, SagaStepped
from mexclab.domain.values import changed
from mexclab.errors import DomainError, IllegalTransition

T = TypeVar("T", bound=StrEnum)


class SagaState(StrEnum):
    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    ENDED = "ENDED"


class StepState(StrEnum):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    COMPENSATED = "compensated"


class Ending(StrEnum):
    COMPLETED = "completed"
    COMPENSATED = "compensated"


SAGA_STEPS: Mapping[SagaState, frozenset[SagaState]] = MappingProxyType(
    {
        SagaState.RUNNING: frozenset({SagaState.RUNNING, SagaState.COMPENSATING, SagaState.ENDED}),
        SagaState.COMPENSATING: frozenset({SagaState.COMPENSATING, SagaState.ENDED}),
        SagaState.ENDED: frozenset(),
    }
)
STEP_STEPS: Mapping[StepState, frozenset[StepState]] = MappingProxyType(
    {
        StepState.PENDING: frozenset({StepState.DONE, StepState.FAILED}),
        StepState.DONE: frozenset({StepState.COMPENSATED}),
        StepState.FAILED: frozenset(),
        StepState.COMPENSATED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One step and what came of it."""

    name: str
    state: StepState = StepState.PENDING
    why: str = ""


@dataclass(frozen=True, slots=True)
class Saga:
    """One intent of several steps, as far as it has come.

    Attributes:
        kind: who carries its steps out.
        outcome: how it ended; None while it goes on.

    Raises:
        DomainError: it has no steps, or two of one name.
    """

    saga_id: str
    kind: str
    steps: tuple[SagaStep, ...]
    begun_ns: int = 0
    state: SagaState = SagaState.RUNNING
    outcome: Ending | None = None
    why: str = ""  # what turned it round, and how it ended

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not self.saga_id or not names or len({*names}) < len(names) or "" in names:
            raise DomainError(
                f"saga {self.saga_id!r} needs an id and one or more steps of different names, not {names}",
                saga_id=self.saga_id,
            )

    @classmethod
    def begun(cls, event: SagaBegun) -> Saga:
        """The saga at its beginning: every step is still to be done."""
        return cls(event.saga_id, event.kind, tuple(map(SagaStep, event.steps)), event.at_ns)

    def step(self, name: str) -> SagaStep:
        """The step of this name.

        Raises:
            DomainError: it has none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise DomainError(f"saga {self.saga_id} has no step {name!r}", saga_id=self.saga_id, step=name)

    @property
    def next_step(self) -> SagaStep | None:
        """The step to be done next, or, once it was turned round, the one to be compensated next."""
        if self.state is SagaState.RUNNING:
            return next((step for step in self.steps if step.state is StepState.PENDING), None)
        if self.state is SagaState.COMPENSATING:
            return next((step for step in reversed(self.steps) if step.state is StepState.DONE), None)
        return None

    def stepped(self, name: str, to: StepState, why: str = "") -> Saga:
        """The saga after one step was done, failed, or was compensated.

        Raises:
            IllegalTransition: the tables have no such step, or it is another step's turn.
            DomainError: the saga has no step of this name.
        """
        step, turn = self.step(name), self.next_step
        backwards = to is StepState.COMPENSATED
        if to not in STEP_STEPS[step.state] or backwards is not (self.state is SagaState.COMPENSATING):
            raise self._illegal(f"step {name}", f"{self.state} {step.state}", to)
        if turn is not None and turn is not step:
            where = f"{to} before {turn.name}, which is {turn.state}"
            raise self._illegal(f"step {name}", f"{self.state} {step.state}", where)
        turned = SagaState.COMPENSATING if to is StepState.FAILED else self.state
        steps = tuple(changed(each, state=to, why=why) if each is step else each for each in self.steps)
        return changed(self, steps=steps, state=turned, why=why if to is StepState.FAILED else self.why)

    def ended(self, outcome: Ending, why: str = "") -> Saga:
        """The saga at its end.

        Raises:
            IllegalTransition: steps are left to be done, or to be compensated.
        """
        wanted = SagaState.RUNNING if outcome is Ending.COMPLETED else SagaState.COMPENSATING
        if self.state is not wanted or SagaState.ENDED not in SAGA_STEPS[self.state]:
            raise self._illegal("it", self.state, f"{SagaState.ENDED} {outcome}")
        left = self.next_step
        if left is not None:
            raise self._illegal(
                "it", self.state, f"{SagaState.ENDED} {outcome} while {left.name} is {left.state}"
            )
        return changed(self, state=SagaState.ENDED, outcome=outcome, why=why or self.why)

    def _illegal(self, who: str, was: str, to: str) -> IllegalTransition:
        return IllegalTransition(
            f"saga {self.saga_id}: {who} cannot go from {was} to {to}",
            saga_id=self.saga_id, was=str(was), to=str(to),
        )  # fmt: skip


def fold(sagas: dict[str, Saga], event: SagaBegun | SagaStepped | SagaEnded) -> None:
    """Take one event into the sagas that go on, by id; one that has ended is let go of.

    Its id may then begin anew: what a snipe still holds after its end is another saga of that snipe.

    Raises:
        IllegalTransition: the saga's tables forbid it.
        DomainError: it begins while one of its id goes on, or none of its id does; or a word is none of ours.
    """
    running = sagas.get(event.saga_id)
    if isinstance(event, SagaBegun):
        if running is not None:
            raise DomainError(f"saga {event.saga_id} goes on and cannot begin", saga_id=event.saga_id)
        sagas[event.saga_id] = Saga.begun(event)
        return
    if running is None:
        raise DomainError(f"no saga {event.saga_id!r} goes on", saga_id=event.saga_id)
    if isinstance(event, SagaStepped):
        sagas[event.saga_id] = running.stepped(event.step, _word(StepState, event.outcome), event.why)
    else:
        running.ended(_word(Ending, event.outcome), event.why)
        del sagas[event.saga_id]


def _word(kind: type[T], text: str) -> T:
    try:
        return kind(text)
    except ValueError:
        raise DomainError(f"{text!r} is no outcome; there are {', '.join(kind)}", outcome=text) from None
