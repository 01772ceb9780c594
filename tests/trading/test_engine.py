"""The engine on the paper venue: what a day comes to, and what a person's word does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderState
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, RiskRefused
from mexclab.runtime.clock import ManualClock
from mexclab.trading import recovery, safety
from mexclab.trading.engine import Rules
from mexclab.venues.simulator.scenario import Fate
from tests.trading.conftest import START, Station, build

Make = Callable[..., Station]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A desk at the end of its first day; for those who only look at it."""
    desk = build(
        ManualClock(START), 7, Rules(limits=LimitSettings(), auto_arm=True), tmp_path_factory.mktemp("day")
    )

    async def live() -> None:
        await desk.start()
        await desk.run(START + DAY)

    asyncio.run(live())
    yield desk
    desk.close()


def kinds(station: Station) -> list[str]:
    return [type(event).__name__ for _, event in station.ledger.read()]


def snipe_of(station: Station, fate: Fate):
    script = station.script(fate)
    return next(s for s in station.engine.desk.snipes.values() if s.plan.symbol == script.symbol)


async def test_a_day_of_listings_is_detected_sniped_and_accounted_to_the_last_digit(day: Station) -> None:
    states = {fate: snipe_of(day, fate) for fate in Fate}
    assert states[Fate.PLAIN].state is SnipeState.CLOSED
    assert states[Fate.LATE].state is SnipeState.CLOSED
    assert states[Fate.POSTPONED].state is SnipeState.CLOSED
    assert (states[Fate.GAP].state, states[Fate.GAP].reason) == (SnipeState.ABORTED, "price_above_cap")
    assert (states[Fate.NOT_BY_API].state, states[Fate.NOT_BY_API].reason) == (
        SnipeState.ABORTED,
        "not_api_tradable",
    )
    balances = await day.venue.balances()
    earned = balances["USDT"].total - 1000
    assert earned == sum(day.engine.desk.profit(s) for s in day.engine.desk.snipes)
    final = await recovery.reconcile(day.engine)
    assert (final.unknown_left, final.external) == (0, 0)


async def test_the_same_seed_gives_the_same_history_and_another_seed_another(station: Make) -> None:
    prints = []
    for seed in (11, 11, 12):
        desk = station(seed)
        await desk.start()
        await desk.run(START + 9 * HOUR)
        prints.append(desk.ledger.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_an_order_is_written_before_it_is_sent_and_no_entry_leaves_before_its_opening(day: Station) -> None:
    written: dict[str, list[str]] = {}
    for _, event in day.ledger.read():
        client_id = getattr(event, "client_id", "") or getattr(getattr(event, "order", None), "client_id", "")
        if client_id:
            written.setdefault(client_id, []).append(type(event).__name__)
    entries = {c: steps for c, steps in written.items() if "-b-" in c}
    assert entries
    for steps in entries.values():
        if steps == ["VerdictGiven"]:
            continue  # refused: nothing was decided
        assert steps[:4] == ["VerdictGiven", "OrderDecided", "OrderSent", "Fired"]
    for _, event in day.ledger.read():
        if isinstance(event, e.Fired):
            plan = day.engine.desk.snipes[event.snipe_id].plan
            assert plan.not_before_ns <= event.scheduled_ns < plan.deadline_ns
            assert event.at_ns >= event.scheduled_ns


def test_a_postponed_opening_moves_the_plan_and_is_sniped_when_it_really_opens(day: Station) -> None:
    script, snipe = day.script(Fate.POSTPONED), snipe_of(day, Fate.POSTPONED)
    assert snipe.plan.not_before_ns == script.moved_to_ns != script.open_ns
    assert snipe.entered_ns is not None
    assert snipe.entered_ns >= script.moved_to_ns
    listing = day.engine.parts.radar.board.listings[script.coin_id]
    assert [(p.from_ns, p.to_ns) for p in listing.postponements] == [(script.open_ns, script.moved_to_ns)]


async def test_nothing_fires_that_nobody_armed(station: Make) -> None:
    desk = station(auto_arm=False)
    await desk.start()
    await desk.run(START + 9 * HOUR)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert (snipe.state, snipe.reason) == (SnipeState.MISSED, "not_armed")
    assert not desk.engine.desk.orders


async def test_a_person_can_arm_and_disarm_until_it_fires(station: Make) -> None:
    desk = station(auto_arm=False)
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns - HOUR)
    snipe_id = snipe_of(desk, Fate.PLAIN).snipe_id
    await safety.arm(desk.engine, snipe_id, "ada")
    await safety.disarm(desk.engine, snipe_id, "ada")
    await safety.arm(desk.engine, snipe_id, "ada")
    await desk.run(first.opens_ns + MINUTE)
    assert desk.engine.desk.snipes[snipe_id].entered_ns is not None
    with pytest.raises(DomainError, match="cannot be disarmed"):
        await safety.disarm(desk.engine, snipe_id, "ada")


async def test_halt_drops_a_loaded_shot_refuses_new_entries_and_lets_exits_run(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns - 500 * MILLISECOND)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert snipe.state is SnipeState.FIRING
    await safety.halt(desk.engine, "ada", "a drill")
    await desk.run(START + 12 * HOUR)
    after = desk.engine.desk.snipes[snipe.snipe_id]
    assert (after.state, after.reason) == (SnipeState.ABORTED, "halted")
    assert "Fired" not in kinds(desk)
    others = [s for s in desk.engine.desk.snipes.values() if s.snipe_id != snipe.snipe_id]
    assert {s.state for s in others} <= {
        SnipeState.ABORTED,
        SnipeState.MISSED,
        SnipeState.PLANNED,
        SnipeState.PREFLIGHT,
    }


async def test_exits_go_on_while_halted(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + 3 * SECOND)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert snipe.state in (SnipeState.ENTERED, SnipeState.EXITING)
    await safety.halt(desk.engine, "ada", "a drill")
    await desk.run(first.opens_ns + HOUR)
    assert desk.engine.desk.snipes[snipe.snipe_id].state is SnipeState.CLOSED


async def test_resume_needs_a_reason_and_allows_entries_again(station: Make) -> None:
    desk = station()
    await desk.start()
    await safety.halt(desk.engine, "ada", "a drill")
    with pytest.raises(RiskRefused, match="a reason is required"):
        await safety.resume(desk.engine, "ada", " ")
    await safety.resume(desk.engine, "ada", "the drill is over")
    await desk.run(desk.script(Fate.PLAIN).opens_ns + MINUTE)
    assert snipe_of(desk, Fate.PLAIN).entered_ns is not None


async def test_a_resume_does_not_undo_a_halt_that_was_written_while_it_waited(station: Make) -> None:
    desk = station()
    await desk.start()
    await safety.halt(desk.engine, "ada", "a drill")
    async with desk.engine.gate:
        waiting = asyncio.create_task(safety.resume(desk.engine, "ada", "the drill is over"))
        await asyncio.sleep(0)
        now = desk.clock.now_ns()
        await desk.engine.record(e.Resumed(now, "bob", "the drill is over"))
        await safety.halt_inside(desk.engine, "trigger venue_errors", "every third answer failed")
    with pytest.raises(RiskRefused, match="trigger venue_errors halted the desk meanwhile"):
        await waiting
    assert desk.engine.halting
    assert desk.engine.desk.halt is not None
    assert await safety.resume(desk.engine, "ada", "seen") == "resumed: new entries are allowed"


async def test_a_halt_survives_a_restart(station: Make) -> None:
    desk = station()
    await desk.start()
    await safety.halt(desk.engine, "ada", "a drill")
    again = desk.restart()
    await again.start()
    await again.run(again.script(Fate.PLAIN).opens_ns + MINUTE)
    assert again.engine.desk.halt is not None
    assert not again.engine.desk.orders


async def test_flatten_sells_everything_in_bounded_orders(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + 2 * SECOND)
    snipe = snipe_of(desk, Fate.PLAIN)
    await safety.flatten(desk.engine, "ada", "enough")
    await desk.run(first.opens_ns + MINUTE)
    after = desk.engine.desk.snipes[snipe.snipe_id]
    assert after.state is SnipeState.CLOSED
    balances = await desk.venue.balances()
    assert balances[first.symbol.base].total == desk.engine.desk.held(first.symbol)
    for order in desk.engine.desk.exits(snipe.snipe_id):
        assert order.price > 0


@pytest.mark.parametrize("after_open_ms", [-700, 0, 30, 70, 200, 900, 5_000, 60_000])
async def test_a_process_that_dies_around_the_opening_recovers_without_a_second_entry(
    station: Make, after_open_ms: int
) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + after_open_ms * MILLISECOND)
    again = desk.restart(away_s=4)
    await again.start()
    await again.run(first.opens_ns + HOUR)
    entries = again.engine.desk.entries(snipe_of(again, Fate.PLAIN).snipe_id)
    assert sum(1 for order in entries if order.fills) <= 1
    assert all(not order.state.is_open for order in again.engine.desk.orders.values())
    assert snipe_of(again, Fate.PLAIN).state.is_over
    final = await recovery.reconcile(again.engine)
    assert (final.unknown_left, final.external) == (0, 0)


async def test_fills_that_came_while_the_process_was_dead_are_found_at_the_start(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + 2 * SECOND)
    known = sum(len(o.fills) for o in desk.engine.desk.orders.values())
    again = desk.restart(away_s=1500)
    await again.start()
    found = sum(len(o.fills) for o in again.engine.desk.orders.values())
    venue = await again.venue.fills(first.symbol, 0)
    assert found == len(venue)
    assert found >= known
    reports = [event for _, event in again.ledger.read() if isinstance(event, e.Reconciled)]
    assert reports[-1].fills_found == found - known


async def test_an_order_on_the_account_that_is_not_ours_is_shown_and_never_touched(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + 5 * SECOND)
    book = desk.engine.books[first.symbol]
    mine = next(iter(desk.engine.desk.orders.values()))
    low = book.bids[-1].price
    market = desk.venue.market_side.market(first.symbol)
    assert market is not None
    price = market.limit_price(low * Decimal("0.2"), Side.BUY)
    stranger = type(mine)(
        "by-hand", first.symbol, Side.BUY, mine.type.LIMIT, market.whole_lots(5 / price), price
    )
    desk.venue.submit(stranger)
    await desk.run(desk.clock.now_ns() + SECOND)
    again = desk.restart()
    await again.start()
    assert [seen.symbol for seen in again.engine.desk.external.values()] == [first.symbol]
    await safety.halt(again.engine, "ada", "a drill")
    await again.run(again.clock.now_ns() + MINUTE)
    assert "by-hand" in {order.client_id for order in await again.venue.open_orders()}


async def test_a_symbol_with_an_order_of_unknown_fate_takes_no_entry(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns + 5 * MILLISECOND)
    sent = desk.engine.desk.entries(snipe_of(desk, Fate.PLAIN).snipe_id)[0]
    await desk.engine.record(e.OrderLost(desk.clock.now_ns(), sent.client_id, "no answer"))
    assert desk.engine.desk.frozen(first.symbol)
    await safety.halt(desk.engine, "ada", "drill")
    assert desk.engine.desk.orders[sent.client_id].state is OrderState.UNKNOWN
    with pytest.raises(RiskRefused, match="unknown fate"):
        await safety.resume(desk.engine, "ada", "try")
    await desk.run(first.opens_ns + MINUTE)
    assert not desk.engine.desk.frozen(first.symbol)


async def test_limits_stop_entries_and_say_which(station: Make) -> None:
    desk = station(limits=LimitSettings(per_order_quote=Decimal(10), per_symbol_quote=Decimal(10)))
    await desk.start()
    await desk.run(START + 9 * HOUR)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert (snipe.state, snipe.reason) == (SnipeState.ABORTED, "per_order_quote")
    assert "the limit is 10" in snipe.why
    assert not desk.engine.desk.orders
