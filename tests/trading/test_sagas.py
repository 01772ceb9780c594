"""Sagas of snipes: entered, protected, left by the plan; or what was bought is sold back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderState
from mexclab.domain.snipe import SnipeState
from mexclab.runtime.clock import ManualClock
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.trading import handling, safety, stopping
from mexclab.trading.engine import Rules
from mexclab.trading.sagas import PRICE_LOOKS
from mexclab.venues.simulator.scenario import Fate
from tests.saga_truth import wrong
from tests.trading.conftest import START, Station, build
from tests.trading.saga_scene import BRIEF, LATE, Mortal, batches_of, lived, mortal, venue_of
from tests.trading.test_engine import snipe_of
from tests.trading.truth_scene import ABC, OPENS, Desks

BOUND_NS = PRICE_LOOKS * 3 * SECOND
COMPLETED = ["begun", "enter done", "protect done", "leave done", "completed"]
ENTERED = ["begun", "enter done"]
SOLD_BACK = ["enter compensated", "compensated"]


def written(ledger: MemoryLedger, saga_id: str = "s-1") -> list[str]:
    """What the ledger holds of a saga: ``begun``, ``enter done``, ``completed``."""
    told = []
    for _, event in ledger.read():
        match event:
            case e.SagaBegun() if event.saga_id == saga_id:
                told.append("begun")
            case e.SagaStepped() if event.saga_id == saga_id:
                told.append(f"{event.step} {event.outcome}")
            case e.SagaEnded() if event.saga_id == saga_id:
                told.append(str(event.outcome))
    return told


def whys(ledger: MemoryLedger, step: str) -> list[str]:
    return [v.why for _, v in ledger.read() if isinstance(v, e.SagaStepped) and v.step == step]


def decided(ledger: MemoryLedger) -> list[e.ExitDecided]:
    return [event for _, event in ledger.read() if isinstance(event, e.ExitDecided)]


def state(scene: Desks) -> SnipeState:
    return scene.desk.snipes["s-1"].state


async def bought(**venue: object) -> Desks:
    """A desk that has just bought 40 ABC at 1; ``venue`` says what its venue is like."""
    scene = mortal()
    for name, value in venue.items():
        setattr(scene.venue, name, value)
    await scene.start()
    await scene.bought(BRIEF)
    await scene.run(10 * MILLISECOND)
    assert scene.desk.held(ABC) == 40
    return scene


# -- by its plan ---------------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Callable[[int], Station]]:
    """A desk on the paper venue whose ledger keeps what was appended together."""
    made: list[Station] = []

    def make(seed: int) -> Station:
        rules, kept = Rules(limits=LimitSettings(), auto_arm=True), (Mortal(), MemoryRecorder())
        made.append(build(ManualClock(START), seed, rules, tmp_path / f"venue{len(made)}", kept))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_on_the_paper_venue_no_append_is_between_a_snipe_and_its_saga(
    paper: Callable[[int], Station],
) -> None:
    desk = paper(7)
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns + HOUR)
    assert isinstance(desk.ledger, Mortal)
    assert wrong(desk.ledger.batches) == []
    snipe = snipe_of(desk, Fate.PLAIN)
    assert snipe.state is SnipeState.CLOSED
    assert written(desk.ledger, snipe.snipe_id) == COMPLETED


async def test_a_snipe_that_is_bought_and_sold_by_its_clock_is_a_completed_saga() -> None:
    scene = mortal()
    await scene.start()
    await lived(scene)
    assert written(scene.ledger) == COMPLETED
    (batch,) = [b for b in batches_of(scene) if any(isinstance(v, e.SagaBegun) for v in b)]
    assert {type(event) for event in batch} >= {e.OrderDecided, e.OrderSent, e.SagaBegun}
    assert scene.desk.sagas == {}


async def test_what_protects_a_position_is_said() -> None:
    priced, silent = await bought(), await bought(bid=None)
    for scene in (priced, silent):
        await scene.run(2 * SECOND)
    assert whys(priced.ledger, "protect") == ["s-1-t1-1 is offered at 1.05"]
    assert whys(silent.ledger, "protect") == ["s-1-t1-1 is offered at 1.05"]
    refused = await bought(offers=False)
    await refused.run(5 * SECOND)
    assert whys(refused.ledger, "protect") == ["its stop is watched from the bid 0.95"]


async def test_a_snipe_that_bought_nothing_is_over_and_left_nothing_to_compensate() -> None:
    scene = mortal()
    venue_of(scene).sells = False
    await scene.start()
    await lived(scene)
    assert state(scene) is SnipeState.MISSED
    assert written(scene.ledger) == ["begun", "enter failed", "compensated"]
    (ended,) = [event for _, event in scene.ledger.read() if isinstance(event, e.SagaEnded)]
    assert ended.why.startswith("nothing was bought: 3 attempts bought nothing")


async def test_a_shot_that_is_taken_back_ends_its_saga_and_the_next_one_begins_another() -> None:
    scene = mortal()
    await scene.start()
    await scene.engine.record(e.SnipePlanned(scene.clock.now_ns(), BRIEF))
    await safety.arm(scene.engine, "s-1", "ada")
    await scene.run(OPENS - scene.clock.now_ns() - 500 * MILLISECOND)
    assert list(scene.desk.sagas) == ["s-1"]
    await stopping.stop(scene.engine, "maintenance")
    assert (state(scene), scene.desk.sagas) == (SnipeState.ARMED, {})
    await scene.restart()
    await lived(scene)
    assert written(scene.ledger) == ["begun", "enter failed", "compensated", *COMPLETED]
    assert wrong(batches_of(scene)) == []


# -- sold back -----------------------------------------------------------------------------------


async def test_what_nothing_protects_is_sold_back_at_the_first_price_that_comes() -> None:
    scene = await bought(bid=None, offers=False)
    scene.venue.rules = replace(scene.venue.rules, min_notional=Decimal(1))
    began = scene.clock.now_ns()
    plan = replace(BRIEF.exit, time_stop_ns=HOUR)
    await scene.engine.record(e.ExitReplaced(began, "s-1", plan, "ada", "patience"))
    await scene.run(BOUND_NS - SECOND)
    assert decided(scene.ledger) == []
    await scene.run(5 * SECOND)
    (exit_,) = decided(scene.ledger)
    assert exit_.reason == "compensated"
    assert exit_.why == (
        "for 30 s no take-profit was taken (the last take-profit: 30004 Insufficient position) and its stop "
        "had no price to act on"
    )
    assert exit_.at_ns - began <= BOUND_NS + 3 * SECOND
    assert state(scene) is SnipeState.EXITING
    assert written(scene.ledger) == [*ENTERED, "protect failed"]
    alerts = [event.text for _, event in scene.ledger.read() if isinstance(event, e.AlertRaised)]
    assert f"ABCUSDT is sold back: {exit_.why}" in alerts
    venue_of(scene).bid = LATE
    await scene.run(MINUTE)
    assert state(scene) is SnipeState.CLOSED
    assert written(scene.ledger) == [*ENTERED, "protect failed", *SOLD_BACK]
    assert scene.desk.held(ABC) == 0
    await scene.agrees()


async def test_one_price_or_one_take_profit_in_time_keeps_a_position() -> None:
    for late in ({"bid": LATE}, {"offers": True}):
        scene = await bought(bid=None, offers=False)
        plan = replace(BRIEF.exit, time_stop_ns=HOUR)
        await scene.engine.record(e.ExitReplaced(scene.clock.now_ns(), "s-1", plan, "ada", "patience"))
        await scene.run(10 * SECOND)
        assert written(scene.ledger) == ENTERED
        for name, value in late.items():
            setattr(scene.venue, name, value)
        await scene.run(2 * MINUTE)
        assert state(scene) is SnipeState.ENTERED
        assert written(scene.ledger) == [*ENTERED, "protect done"]


async def test_a_new_process_gives_a_position_its_time_again() -> None:
    scene = await bought(bid=None, offers=False)
    plan = replace(BRIEF.exit, time_stop_ns=HOUR)
    await scene.engine.record(e.ExitReplaced(scene.clock.now_ns(), "s-1", plan, "ada", "patience"))
    await scene.run(5 * SECOND)
    await scene.clock.sleep_until(scene.clock.now_ns() + 10 * MINUTE)  # nobody was there to ask
    venue_of(scene).bid = LATE
    await scene.restart()
    await scene.run(10 * SECOND)
    assert state(scene) is SnipeState.ENTERED
    assert written(scene.ledger) == [*ENTERED, "protect done"]


async def test_a_time_stop_that_comes_before_any_protection_sells_back_too() -> None:
    scene = await bought(bid=None, offers=False)
    await scene.run(25 * SECOND)
    assert [exit_.reason for exit_ in decided(scene.ledger)] == ["time"]
    venue_of(scene).bid = LATE
    await scene.run(MINUTE)
    assert written(scene.ledger) == [*ENTERED, "protect failed", *SOLD_BACK]


def _sells_all(event: e.Event) -> bool:
    return isinstance(event, e.OrderDecided) and event.order.leg == "x"


@pytest.mark.parametrize("offers", [True, False])
async def test_a_person_who_flattens_compensates_the_last_step_first(offers: bool) -> None:
    scene = await bought(offers=offers)
    await scene.run(SECOND)
    await handling.flatten_one(scene.engine, "s-1", "ada", "enough")
    await scene.run(10 * SECOND)
    assert written(scene.ledger) == [
        *ENTERED, "protect done", "leave failed", "protect compensated", *SOLD_BACK,
    ]  # fmt: skip
    assert whys(scene.ledger, "leave") == ["flatten: ada: enough"]
    # what rested was taken back before the first sale, and the step says so with that sale
    (sale,) = [o for o in scene.desk.exits("s-1") if o.leg == "x"]
    (batch,) = [b for b in batches_of(scene) if any(map(_sells_all, b))]
    assert [getattr(v, "step", "") for v in batch if isinstance(v, e.SagaStepped)] == ["protect"]
    assert sale.state is OrderState.FILLED


async def test_an_entry_that_cost_more_than_its_plan_allows_is_sold_back() -> None:
    """The venue had said that the first shot was over; a trade of it is told when the second has bought."""
    scene = mortal()
    venue_of(scene).sells = False
    await scene.start()
    await scene.bought(BRIEF)
    await scene.run(10 * MILLISECOND)
    venue_of(scene).sells = True
    await scene.run(SECOND)
    first, second = scene.desk.entries("s-1")
    assert (first.state, second.state) == (OrderState.CANCELED, OrderState.FILLED)
    await scene.engine.on(scene.venue.trade(first.client_id, Decimal(10)))
    (exit_,) = decided(scene.ledger)
    assert exit_.reason == "compensated"
    assert exit_.why == "the entry cost 50 USDT, and its plan allows 40"
    await scene.run(10 * SECOND)
    assert scene.desk.held(ABC) == 0
    assert written(scene.ledger)[-4:] == ["leave failed", "protect compensated", *SOLD_BACK]


async def test_an_entry_above_its_cap_is_sold_back() -> None:
    scene = mortal()
    venue_of(scene).sells = False
    await scene.start()
    client_id = await scene.bought(BRIEF)
    await scene.engine.on(scene.venue.trade(client_id, Decimal(10), Decimal("1.2")))
    await scene.run(10 * SECOND)
    (exit_,) = decided(scene.ledger)
    assert exit_.why == "it was bought at 1.2, above its cap 1"
    assert written(scene.ledger)[-1] == "compensated"
    assert scene.desk.held(ABC) == 0


async def test_a_late_fill_begins_another_saga_of_the_same_snipe() -> None:
    scene = mortal()
    venue_of(scene).sells = False
    await scene.start()
    await lived(scene)
    first = scene.desk.entries("s-1")[0]
    await scene.engine.on(scene.venue.trade(first.client_id, Decimal(10)))
    await scene.run(MINUTE)
    assert written(scene.ledger) == ["begun", "enter failed", "compensated", *COMPLETED]
    assert wrong(batches_of(scene)) == []


async def test_what_is_swept_up_is_sold_back_by_a_saga_of_its_own() -> None:
    scene = await bought()
    now = scene.clock.now_ns()
    await handling.flatten_one(scene.engine, "s-1", "ada", "enough")
    await scene.engine.record(e.SnipeMoved(now, "s-1", SnipeState.CLOSED, "drill", "given up in a drill"))
    assert scene.desk.sagas == {}
    await scene.run(5 * SECOND)
    await handling.sweep(scene.engine, "ada", "tidy up")
    await scene.run(10 * SECOND)
    assert scene.desk.held(ABC) == 0
    again = written(scene.ledger)
    assert again[again.index("compensated") + 1 :] == [
        *ENTERED, "protect done", "leave failed", "protect compensated", *SOLD_BACK,
    ]  # fmt: skip


async def test_no_sale_of_a_saga_is_unbounded() -> None:
    scene = await bought(offers=False)
    await handling.flatten_one(scene.engine, "s-1", "ada", "enough")
    await scene.run(10 * SECOND)
    sales = [order for order in scene.desk.orders_of("s-1") if order.side is Side.SELL and order.leg == "x"]
    assert sales
    assert all(LATE * Decimal("0.94") < order.price <= LATE for order in sales)
