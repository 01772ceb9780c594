"""What must hold of sagas and their snipes wherever a ledger ends: the truth of tests here and of crashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.saga import SagaState
from mexclab.domain.snipe import SnipeState
from mexclab.trading.sagas import ENTER, KIND, LEAVE, PROTECT

_S = SnipeState
RUNS = (_S.FIRING, _S.ENTERED, _S.EXITING)
BY_PLAN = ("stop", "time", "ladder", "dust")
SAGA = e.SagaBegun | e.SagaStepped | e.SagaEnded


def grouped(events: Iterable[e.Event]) -> Iterator[list[e.Event]]:
    """The events of a ledger, each with the steps of sagas that follow it: smaller than any append is cut."""
    batch: list[e.Event] = []
    for event in events:
        if batch and not isinstance(event, SAGA):
            yield batch
            batch = []
        batch.append(event)
    if batch:
        yield batch


def wrong(batches: Iterable[Sequence[e.Event]]) -> list[str]:
    """Where a saga and its snipe are not at one after an append, where a process may die, in sentences."""
    desk, found, failed = Desk(), list[str](), set[str]()
    for number, batch in enumerate(batches, 1):
        for event in batch:
            desk.fold(event)
            if isinstance(event, e.SagaBegun):
                failed.discard(event.saga_id)
            elif isinstance(event, e.SagaStepped) and event.outcome == "failed":
                failed.add(event.saga_id)
            elif isinstance(event, e.SagaEnded) and event.saga_id in desk.snipes:
                snipe = desk.snipes[event.saga_id]
                by_plan = snipe.state is _S.CLOSED and snipe.reason in BY_PLAN
                if (by_plan and event.saga_id not in failed) is not (event.outcome == "completed"):
                    found.append(f"append {number}: {snipe.state} ({snipe.reason}) ended {event.outcome}")
        found += [f"append {number}: {sentence}" for sentence in between(desk)]
    return found


def between(desk: Desk) -> Iterator[str]:
    """Where a saga and its snipe are not at one now, in sentences."""
    strays = [saga for saga in desk.sagas.values() if saga.kind == KIND and saga.saga_id not in desk.snipes]
    yield from (f"saga {saga.saga_id} is {saga.state} and there is no such snipe" for saga in strays)
    for snipe_id, snipe in desk.snipes.items():
        saga = desk.sagas.get(snipe_id)
        if (saga is not None) is not (snipe.state in RUNS):
            yield f"{snipe_id} is {snipe.state} and its saga {saga.state if saga else 'is not there'}"
        if saga is None or saga.kind != KIND:
            continue
        turn = saga.next_step.name if saga.next_step else ""
        is_back = saga.state is SagaState.COMPENSATING
        fits = {
            _S.FIRING: not is_back and turn == ENTER,
            _S.ENTERED: not is_back and turn in (PROTECT, LEAVE),
            _S.EXITING: turn == LEAVE if not is_back else turn in (PROTECT, ENTER),
        }
        if not fits.get(snipe.state, True):
            yield f"{snipe_id} is {snipe.state} while its saga is {saga.state} at {turn!r}"
