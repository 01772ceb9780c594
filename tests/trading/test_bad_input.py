"""What cannot be meant is refused with one typed error that names the value and the rule; nothing moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.desk_state import DeskState
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import Traded
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState, parse_ladder
from mexclab.errors import DomainError, IllegalTransition, MexclabError, ParameterError, RiskRefused
from mexclab.trading import entries, handling, safety, tuning
from tests.trading.test_fills_in_any_order import Story, lived
from tests.trading.truth_scene import ABC, MARKET, OPENS, PLAN, START, Desks

D = Decimal
EXIT = ExitPlan(parse_ladder("7:100"), D("0.2"), 60 * 60 * SECOND)
Act = Callable[[Desks], Awaitable[object]]


async def refused(scene: Desks, act: Act, kind: type[MexclabError], words: str) -> None:
    """The act raises exactly this kind of error, and neither ledger, desk nor venue has moved."""
    last, state = scene.ledger.last(), DeskState.of(scene.desk)
    strategy, sent = scene.engine.strategy, (dict(scene.venue.requests), list(scene.venue.rows))
    with pytest.raises(kind, match=words) as raised:
        await act(scene)
    assert type(raised.value) is kind
    assert raised.value.message
    assert "\n" not in raised.value.message
    assert (scene.ledger.last(), DeskState.of(scene.desk)) == (last, state)
    assert scene.engine.strategy is strategy
    assert (dict(scene.venue.requests), list(scene.venue.rows)) == sent
    assert not scene.engine.gate.locked()


async def at(stage: str) -> Desks:
    """A desk with one snipe that has come so far."""
    if stage == "CLOSED":
        return await lived(Story((400,), True, (60,), 4, "USDT"), None, [], 0)
    scene = Desks()
    await scene.start()
    if stage == "none":
        return scene
    if stage in ("PLANNED", "ABORTED"):
        await scene.engine.record(e.SnipePlanned(scene.clock.now_ns(), PLAN))
        if stage == "ABORTED":
            await handling.abort(scene.engine, "s-1", "ada", "no")
        return scene
    client_id = await scene.bought()
    if stage == "ENTERED":
        await scene.engine.on([*scene.venue.take(client_id), *scene.venue.cut(client_id, [1], whole=True)])
    assert scene.desk.snipes["s-1"].state is SnipeState(stage)
    return scene


# -- values that must not exist ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "12:50 5:50",
            "rung 2 of the exit ladder: gains are positive and ascending; 5 % is not above the 12 %",
        ),
        ("5:50 5:50", "rung 2 .* 5 % is not above the 5 %"),
        ("5:60 12:60", "at most 1 \\(100 %\\), not to 120 %"),
        ("-5:50", "rung 1 .* -5 % is not positive"),
        ("0:50", "rung 1 .* 0 % is not positive"),
        ("5:0", "rung 1 of the exit ladder: its share must be positive, not 0 %"),
        ("5:-10", "its share must be positive, not -10 %"),
        ("5:nan", "NaN are not two numbers"),
        ("inf:5", "Infinity and 0.05 are not two numbers"),
        ("99999:100", "a gain of 99999 % is above 10000 %"),
        ("5", "'5' is no rung of an exit ladder"),
        ("5:25:1", "'5:25:1' is no rung"),
        ("", "1 to 6 rungs, not 0"),
        ("1:1 2:1 3:1 4:1 5:1 6:1 7:1", "1 to 6 rungs, not 7"),
    ],
)
def test_a_ladder_that_breaks_a_rule_is_refused_by_its_number_and_the_rule(text: str, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        parse_ladder(text)


@pytest.mark.parametrize(
    ("quantity", "price", "words"),
    [
        ("-1", "1", "quantity -1 must be above zero"),
        ("0", "1", "quantity 0 must be above zero"),
        ("10", "-1", "price -1 must be above zero"),
        ("10", "0", "price 0 must be above zero"),
        ("10.05", "1", "quantity 10.05 is not a multiple of the lot 0.1"),
        ("10", "1.0005", "price 1.0005 is not a multiple of the tick 0.001"),
        ("0.5", "1", "value 0.5 USDT is below the minimum 1"),
    ],
)
def test_a_size_or_price_that_the_market_does_not_have_is_refused(
    quantity: str, price: str, words: str
) -> None:
    with pytest.raises(DomainError, match=f"ABCUSDT: {words}"):
        MARKET.check(D(quantity), D(price))


@pytest.mark.parametrize("quantity", ["0", "-1"])
def test_an_order_and_a_fill_without_a_size_cannot_exist(quantity: str) -> None:
    with pytest.raises(DomainError, match="order s-1-b-1: quantity and price must be above zero"):
        Order("s-1-b-1", ABC, Side.BUY, OrderType.LIMIT, D(quantity), D(1))
    with pytest.raises(DomainError, match="fill T1: price and quantity must be above zero"):
        Fill("T1", "s-1-b-1", ABC, Side.BUY, D(1), D(quantity), D(0), "USDT", 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget_quote": D(0)}, "budget 0 must be above zero"),
        ({"budget_quote": D(-5)}, "budget -5 must be above zero"),
        ({"price_cap": D(0)}, "price cap 0 must be above zero"),
        ({"deadline_ns": OPENS}, "the deadline must be after the opening"),
        ({"attempts": 51}, "51 attempts: 1 to 50"),
        ({"spacing_ns": 0}, "spacing above zero"),
        ({"book_slippage": D("-0.1")}, "slippage -0.1 must not be negative"),
        ({"snipe_id": "a" * 21}, "the id needs 1 to 20"),
    ],
)
def test_a_plan_that_breaks_a_rule_names_itself_and_the_rule(changes: dict, words: str) -> None:
    with pytest.raises(DomainError, match=f"for ABCUSDT: .*{words}"):
        replace(PLAN, **changes)


@pytest.mark.parametrize(
    ("plan", "market", "words"),
    [
        ({"price_cap": D("0.0009")}, {}, "the price 0.0009 is below the tick 0.001"),
        ({"budget_quote": D("0.5")}, {}, "is below the minimum 1"),
        ({"budget_quote": D("0.05")}, {}, "one lot .* costs 0.1.* which is above the budget 0.05"),
        ({}, {"tick": D("1e-40")}, "cannot be cut into ticks of 1E-40"),
    ],
)
def test_a_cap_below_the_tick_or_a_budget_below_a_lot_makes_no_order(
    plan: dict, market: dict, words: str
) -> None:
    with pytest.raises(DomainError, match=f"ABCUSDT: .*{words}"):
        entries.entry_order(replace(PLAN, **plan), replace(MARKET, **market), 1, START)


@pytest.mark.parametrize("text", ["", "ABC", "ABC/XYZ", "A B/USDT", "/USDT"])
def test_what_is_no_symbol_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(DomainError, match="is not a symbol"):
        Symbol.parse(text)


@pytest.mark.parametrize(("name", "value"), [("tick", D(0)), ("lot", D(-1)), ("taker_fee", D(-1))])
def test_a_market_with_impossible_rules_cannot_exist(name: str, value: Decimal) -> None:
    with pytest.raises(DomainError, match=f"ABCUSDT: {name} must"):
        Market(**{"symbol": ABC, "tick": D(1), "lot": D(1), name: value})


# -- events that the desk cannot hold ------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (e.OrderSent(1, "nobody-b-1"), DomainError, "order nobody-b-1 was never decided"),
        (e.SnipeMoved(1, "nobody", SnipeState.ARMED), DomainError, "snipe nobody was never planned"),
        (e.SnipeRetimed(1, "s-1", OPENS, OPENS), DomainError, "the deadline must be after the opening"),
        (e.SnipeMoved(1, "s-1", SnipeState.FIRING), IllegalTransition, "from PLANNED to FIRING"),
        (e.SnipeMoved(1, "s-1", SnipeState.CLOSED), IllegalTransition, "from PLANNED to CLOSED"),
        (e.ExitDecided(1, "s-1", "stop", "x"), IllegalTransition, "from PLANNED to EXITING"),
    ],
)
async def test_an_event_that_cannot_be_true_is_not_written(
    event: e.Event, kind: type[MexclabError], words: str
) -> None:
    scene = await at("PLANNED")
    await refused(scene, lambda s: s.engine.record(e.DaemonStopped(1, "x"), event), kind, words)


async def test_a_report_about_nothing_of_ours_moves_nothing() -> None:
    scene = await at("PLANNED")
    last, state = scene.ledger.last(), DeskState.of(scene.desk)
    fill = Fill("T1", "else-b-1", Symbol("XYZ"), Side.BUY, D(1), D(1), D(0), "USDT", 1)
    await scene.engine.on([Traded(fill, 1)])
    assert (scene.ledger.last(), DeskState.of(scene.desk)) == (last, state)


async def test_a_strategy_refuses_a_signal_whose_opening_leaves_no_price_above_the_tick() -> None:
    scene = await at("none")
    signal = Signal("ABC-1", ABC, "calendar", START, OPENS, D(1), {})
    coarse = replace(MARKET, tick=D(100))

    async def plan(s: Desks) -> Plan:
        made = s.engine.strategy.plan(signal, coarse, D("0.5"))
        entries.entry_order(made, coarse, 1, START)
        return made

    await refused(scene, plan, DomainError, "ABCUSDT: the price 1.50 is below the tick 100")


async def test_a_plan_whose_opening_has_passed_is_missed_and_sends_nothing() -> None:
    scene = await at("none")
    past = replace(PLAN, not_before_ns=START - 60 * SECOND, deadline_ns=START - 40 * SECOND)
    await scene.engine.record(e.SnipePlanned(START, past))
    await scene.run(MILLISECOND)
    snipe = scene.desk.snipes["s-1"]
    assert (snipe.state, snipe.reason) == (SnipeState.MISSED, "late")
    assert (scene.venue.requests, scene.venue.rows) == ({}, {})


# -- acts that come at the wrong time ------------------------------------------------------------

ACTS: dict[str, Act] = {
    "arm": lambda s: safety.arm(s.engine, "s-1", "ada"),
    "disarm": lambda s: safety.disarm(s.engine, "s-1", "ada"),
    "abort": lambda s: handling.abort(s.engine, "s-1", "ada", "no"),
    "flatten": lambda s: handling.flatten_one(s.engine, "s-1", "ada", "out"),
    "replace": lambda s: handling.replace_exit(s.engine, "s-1", EXIT, "ada", "other gains"),
}


@pytest.mark.parametrize(
    ("stage", "acts"),
    [
        ("none", ["arm", "disarm", "abort", "flatten", "replace"]),
        ("PLANNED", ["flatten"]),
        ("FIRING", ["arm", "disarm", "abort", "flatten", "replace"]),
        ("ENTERED", ["arm", "disarm", "abort"]),
        ("CLOSED", ["arm", "disarm", "abort", "flatten", "replace"]),
        ("ABORTED", ["arm", "disarm", "abort", "flatten", "replace"]),
    ],
)
async def test_an_act_at_the_wrong_time_names_the_snipe_and_its_state_and_moves_nothing(
    stage: str, acts: list[str]
) -> None:
    scene = await at(stage)
    words = "there is no snipe 's-1'" if stage == "none" else f"s-1 is {stage}"
    for act in acts:
        await refused(scene, ACTS[act], DomainError, words)


async def test_arming_while_halted_and_resuming_without_a_reason_are_refused() -> None:
    scene = await at("PLANNED")
    await safety.halt(scene.engine, "ada", "drill")
    await refused(scene, ACTS["arm"], RiskRefused, "cannot arm s-1: the desk is halted")
    await scene.run(SECOND)
    await refused(
        scene, lambda s: safety.resume(s.engine, "ada", " "), RiskRefused, "cannot resume: a reason is req"
    )


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(EXIT, stop_loss=D("0.01")), "the bid 0.95 of ABCUSDT is at or below the new stop"),
        (replace(EXIT, time_stop_ns=SECOND), "a time stop of 1 s would sell it at once"),
    ],
)
async def test_an_exit_plan_that_would_sell_everything_at_once_is_refused(plan: ExitPlan, words: str) -> None:
    scene = await at("ENTERED")
    await scene.run(2 * SECOND)
    book = await scene.venue.book(ABC)
    assert book is not None
    await scene.engine.see(book)
    await refused(
        scene, lambda s: handling.replace_exit(s.engine, "s-1", plan, "ada", "x"), DomainError, words
    )


@pytest.mark.parametrize(
    ("values", "why", "words"),
    [
        ({"stop_loss": "1.5"}, "x", "stop_loss = 1.5"),
        ({"budget_quote": "-1"}, "x", "budget_quote = -1"),
        ({"attempts": "0"}, "x", "attempts = 0"),
        ({"attempts": "2.5"}, "x", "attempts = 2.5"),
        ({"cap_multiple": "nan"}, "x", "cap_multiple = "),
        ({"exit_preset": "none", "ladder": "12:50 5:50"}, "x", "gains are positive and ascending"),
        ({"exit_preset": "none", "ladder": "5:60 12:60"}, "x", "at most 1"),
        ({"colour": "red"}, "x", "colour is no parameter"),
        ({}, "x", "name at least one parameter"),
        ({"attempts": "3"}, "", "a reason is required"),
    ],
)
async def test_tuning_with_a_broken_range_changes_nothing(
    values: dict[str, object], why: str, words: str
) -> None:
    scene = await at("PLANNED")
    await refused(scene, lambda s: tuning.tune(s.engine, values, "ada", why), ParameterError, words)


def test_the_presets_themselves_break_no_rule() -> None:
    for name, ladder in LADDERS.items():
        assert ExitPlan.preset(name, D("0.1"), SECOND).ladder == ladder
