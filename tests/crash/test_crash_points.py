"""The crash points themselves: every await is one, and a module with points does what it did without."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.snipe import SnipeState
from tests.crash import points
from tests.crash.child import Watch, kind_of
from tests.crash.truth import Venue, compare
from tests.trading.truth_scene import PLAN

SOURCE = """
async def step(value):
    said.append(f"step {value}")
    return value

def later():
    return loop().create_task(step("later"))

class Desk:
    async def act(self, events):
        async with room("a") as first, room("b"):
            await step(first)
        total = await step(await step(1) + 1)
        async for each in source():
            total += each
        return total + sum([n async for n in source()]) + len(await later())

async def fails():
    try:
        await refuse()
    except ValueError:
        return await step("saved")
"""


def told(*marks: str) -> dict[str, Any]:
    """The source run, with the points of ``marks`` put in by a watch; what it said is in ``said``."""
    said: list[str] = []

    @asynccontextmanager
    async def room(name: str) -> AsyncIterator[str]:
        said.append(f"into {name}")
        yield name
        said.append(f"out of {name}")

    async def source() -> AsyncIterator[int]:
        yield 10
        yield 20

    async def refuse() -> None:
        raise ValueError("no")

    room_of = {
        "said": said,
        "room": room,
        "source": source,
        "refuse": refuse,
        "loop": asyncio.get_running_loop,
    }
    return room_of | dict(zip(marks, marks, strict=True))


def watched(log: str) -> dict[str, Any]:
    watch = Watch("", 1, log)
    hooks = (watch.before, watch.handed, watch.after, watch.enter, watch.each)
    names = (points.BEFORE, points.HANDED, points.AFTER, points.ENTER, points.EACH)
    return dict(zip(names, hooks, strict=True))


async def test_a_module_with_points_does_what_it_does_without(tmp_path: Any) -> None:
    results = []
    for with_points in (False, True):
        world = told()
        tree = points.instrumented(SOURCE, "x") if with_points else ast.parse(SOURCE)
        world |= watched(str(tmp_path / "log")) if with_points else {}
        exec(compile(tree, "x", "exec"), world)
        results.append((await world["Desk"]().act([]), await world["fails"](), world["said"]))
    assert results[0] == results[1]
    assert results[0][0] == 2 + 30 + 30 + len("later")

    lines = (tmp_path / "log").read_text().splitlines()
    assert {line.rpartition("@")[2] for line in lines} == {"starting"}
    passed = [line.partition("@")[0].removeprefix("x.") for line in lines]
    assert passed[:6] == [
        "Desk.act#1 with room(...):before",
        "Desk.act#1 with room(...):after",
        "Desk.act#2 with room(...):before",
        "Desk.act#2 with room(...):after",
        "Desk.act#3 step(...):before",
        "Desk.act#3 step(...):after",
    ]
    assert passed[6:10] == [f"Desk.act#{n} with room(...):{p}" for n in (2, 1) for p in ("leaving", "left")]
    # the inner await is waited for before the outer one has begun, and after it was announced
    inner_in_outer = [f"Desk.act#{n} step(...):{p}" for n, p in ((4, "before"), (5, "before"), (5, "after"))]
    assert passed[10:14] == [*inner_in_outer, "Desk.act#4 step(...):after"]
    # only a future is handed to somebody: a coroutine has not begun
    assert [name for name in passed if name.endswith(":handed")] == ["Desk.act#8 later(...):handed"]
    assert passed[-3:] == [
        "fails#1 refuse(...):before",
        "fails#2 step(...):before",
        "fails#2 step(...):after",
    ]


def test_every_await_of_the_order_and_exit_paths_is_a_point() -> None:
    found = points.points()
    assert len({point.name for point in found}) == len(found)
    names = {name for name, _ in points.modules()}
    assert {"trading.engine", "trading.shots", "trading.leaving", "trading.recovery", "replay"} <= names
    by_module = {name: [p for p in found if p.name.startswith(f"{name}.")] for name in names}
    for name, file in points.modules():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        waits = 0
        for node in ast.walk(tree):
            waits += isinstance(node, ast.Await | ast.AsyncFor)
            waits += len(node.items) if isinstance(node, ast.AsyncWith) else 0
            waits += isinstance(node, ast.comprehension) and bool(node.is_async)
        if name in points.ONLY:
            assert 0 < len(by_module[name]) < waits
        else:
            assert len(by_module[name]) == waits, name


@pytest.mark.parametrize("only", [only for each in points.ONLY.values() for only in each])
def test_where_a_part_of_a_module_has_points_that_part_exists(only: str) -> None:
    assert any(f".{only}#" in point.name for point in points.points())


def test_a_moment_names_an_event_by_its_kind_and_the_leg_of_its_order() -> None:
    assert kind_of(e.OrderSent(1, "coin-1-b-1")) == "OrderSent(b)"
    assert kind_of(e.OrderSent(1, "coin-1-t2-1")) == "OrderSent(t)"
    assert kind_of(e.Halted(1, "ada", "a drill")) == "Halted"
    assert kind_of(e.SagaStepped(1, "coin-1", "enter", "done")) == "SagaStepped(enter done)"
    assert kind_of(e.SagaEnded(1, "coin-1", "completed")) == "SagaEnded(completed)"


# -- the comparison with the venue ---------------------------------------------------------------

SYMBOL = Symbol("AAA", "USDT")
ORDER = Order(
    "coin-1-b-1", SYMBOL, Side.BUY, OrderType.LIMIT, Decimal(10), Decimal(2), "coin-1", "b", decided_ns=1
)
FILL = Fill(
    "T1", ORDER.client_id, SYMBOL, Side.BUY, Decimal(2), Decimal(10), Decimal("0.01"), "USDT", 5, False
)
EVENTS: tuple[e.Event, ...] = (
    e.OrderDecided(1, ORDER),
    e.OrderSent(2, ORDER.client_id),
    e.OrderAccepted(3, ORDER.client_id, "V1"),
    e.OrderFilled(5, FILL),
)
ROW = {"clientOrderId": "coin-1-b-1", "executedQty": "10", "status": "FILLED", "time": 3}
TRADE = {
    "id": "T1", "clientOrderId": "coin-1-b-1", "isBuyer": True, "price": "2", "qty": "10",
    "commission": "0.01", "commissionAsset": "USDT",
}  # fmt: skip
TOTALS = {"USDT": Decimal("979.99"), "AAA": Decimal(10)}
PLACED = ((3_000_000, "coin-1-b-1"),)


def found(events: tuple[e.Event, ...] = EVENTS, **venue: Any) -> list[tuple[str, str]]:
    facts = {"orders": [ROW], "trades": [TRADE], "totals": TOTALS, "placed": PLACED, **venue}
    desk = Desk()
    for event in events:
        desk.fold(event)
    findings = compare(desk, events, Venue(**facts))
    kinds = SimpleNamespace(
        **{name: getattr(findings, name) for name in ("duplicates", "lost", "portfolio", "sagas")}
    )
    return [(kind, sentence) for kind, sentences in vars(kinds).items() for sentence in sentences]


def test_a_ledger_that_is_as_the_venue_is_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("kind", "words", "venue"),
    [
        ("duplicates", "at the venue 2 times", {"orders": [ROW, ROW]}),
        ("duplicates", "sent again", {"placed": (*PLACED, (9_000_000, "coin-1-b-1"))}),
        ("lost", "not in the ledger", {"orders": [ROW, ROW | {"clientOrderId": "coin-1-b-2"}]}),
        ("lost", "not at the venue", {"orders": []}),
        ("lost", "at the venue NEW", {"orders": [ROW | {"status": "NEW", "executedQty": "0"}]}),
        ("portfolio", "the ledger does not know: T2", {"trades": [TRADE, TRADE | {"id": "T2"}]}),
        ("portfolio", "the venue does not know: T1", {"trades": []}),
        ("portfolio", "trade T1", {"trades": [TRADE | {"commission": "0.02"}]}),
        ("portfolio", "USDT: 979.99 by the ledger", {"totals": TOTALS | {"USDT": Decimal("979.98")}}),
        ("portfolio", "AAA: 10 by the ledger", {"totals": TOTALS | {"AAA": Decimal("10.1")}}),
    ],
)
def test_whatever_differs_from_the_venue_is_found(kind: str, words: str, venue: dict[str, Any]) -> None:
    assert any(told == kind and words in sentence for told, sentence in found(**venue))


def test_an_order_whose_fate_nobody_knows_is_lost() -> None:
    events = (*EVENTS[:3], e.OrderLost(4, ORDER.client_id, "silence"))
    assert any("of unknown fate" in sentence for _, sentence in found(events, trades=[], totals={}))


def test_a_trade_that_was_written_down_twice_is_found() -> None:
    assert ("portfolio", "trades that were written down twice: T1") in found(
        (*EVENTS, e.OrderFilled(6, FILL))
    )


STEPS = ("enter", "protect", "leave")
FIRED = [e.SnipeMoved(2, "s-1", SnipeState(to)) for to in ("PREFLIGHT", "ARMED", "FIRING")]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([e.SagaBegun(6, "coin-1", "snipe", STEPS)], "saga coin-1 is RUNNING and there is no such snipe"),
        (
            [e.SnipePlanned(1, PLAN), e.SagaBegun(6, "s-1", "snipe", STEPS)],
            "s-1 is PLANNED and its saga RUNNING",
        ),
        ([e.SnipePlanned(1, PLAN), *FIRED], "s-1 is FIRING and its saga is not there"),
    ],
)
def test_a_saga_that_a_death_could_leave_between_is_found(events: list[e.Event], words: str) -> None:
    assert any(kind == "sagas" and words in sentence for kind, sentence in found((*EVENTS, *events)))


def test_a_saga_that_went_with_its_snipe_to_the_end_has_no_findings() -> None:
    missed = e.SnipeMoved(3, "s-1", SnipeState.MISSED, "no_fill", "nobody sold")
    begun = e.SagaBegun(2, "s-1", "snipe", STEPS)
    over = (e.SagaStepped(3, "s-1", "enter", "failed"), e.SagaEnded(3, "s-1", "compensated"))
    assert found((*EVENTS, e.SnipePlanned(1, PLAN), *FIRED, begun, missed, *over)) == []
