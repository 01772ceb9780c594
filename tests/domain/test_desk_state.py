"""A desk that was put back from its state is the desk that was folded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

import pytest

from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put
from mexclab.domain.events import Event
from mexclab.errors import DomainError
from tests.domain.histories import random_history

UNORDERED = "_trades"  # is asked for what it holds, never for its order
ODOMETER = "folded"  # counts what this one object took in, and says nothing of what the desk is


def written(desk: Desk) -> dict[str, str]:
    """Every attribute, digit for digit: order of mappings, trailing zeros and kinds of mapping included."""
    texts = {name: repr(value) for name, value in vars(desk).items() if name != ODOMETER}
    return texts | {UNORDERED: repr(sorted(vars(desk)[UNORDERED]))}


def put_back(state: DeskState) -> Desk:
    desk = Desk()
    put(desk, state)
    return desk


def folded(events: Iterable[Event], desk: Desk) -> Desk:
    for event in events:
        desk.fold(event)
    return desk


@pytest.fixture
def events(seed: int) -> list[Event]:
    return random_history(seed)


def busiest(events: list[Event]) -> int:
    """A cut at which no attribute of the desk is as it was at the beginning."""
    desk, empty = Desk(), written(Desk())
    for cut, event in enumerate(events, 1):
        desk.fold(event)
        if desk.halt and desk._open and desk.disputed and desk._results and desk._live:
            idle = [name for name, text in written(desk).items() if text == empty[name]]
            if not idle:
                return cut
    raise AssertionError("the history leaves an attribute of the desk untouched: teach it about the new one")


def test_a_state_carries_every_attribute_of_a_desk() -> None:
    events = random_history(7, stories=30)
    desk = Desk.of(events[: busiest(events)])
    assert written(put_back(DeskState.of(desk))) == written(desk)


def test_folding_on_from_a_state_is_folding_everything(events: list[Event]) -> None:
    whole = written(Desk.of(events))
    for cut in [0, 1, *range(0, len(events), max(1, len(events) // 23)), len(events)]:
        state = DeskState.of(Desk.of(events[:cut]))
        assert written(folded(events[cut:], put_back(state))) == whole


def test_a_later_fold_does_not_change_a_state(events: list[Event]) -> None:
    desk = Desk.of(events[:-40])
    state, before = DeskState.of(desk), written(desk)
    folded(events[-40:], desk)
    assert written(put_back(state)) == before != written(desk)


def test_whoever_holds_a_mapping_of_the_desk_sees_it_filled(events: list[Event]) -> None:
    desk = Desk()
    orders, held = desk.orders, desk
    put(desk, DeskState.of(Desk.of(events)))
    assert held.orders is orders
    assert orders


def test_evidence_that_came_as_a_plain_mapping_is_read_only_on_the_desk(events: list[Event]) -> None:
    state = DeskState.of(Desk.of(events))
    plain = tuple(replace(signal, evidence=dict(signal.evidence)) for signal in state.signals)
    desk = put_back(replace(state, signals=plain))
    assert {type(signal.evidence) for signal in desk.signals.values()} == {MappingProxyType}
    assert DeskState.of(desk) == state


def test_a_state_is_not_put_into_a_desk_that_holds_something(events: list[Event]) -> None:
    desk = Desk.of(events[:1])
    before = written(desk)
    with pytest.raises(DomainError, match="empty desk"):
        put(desk, DeskState.of(Desk.of(events)))
    assert written(desk) == before


@pytest.mark.parametrize("field", ["open_orders", "live_snipes"])
def test_a_state_that_names_what_it_does_not_hold_does_not_exist(field: str) -> None:
    with pytest.raises(DomainError, match="ghost-entry-1"):
        replace(DeskState.of(Desk()), **{field: ("ghost-entry-1",)})
