"""Reports that are lost, late, doubled or wrong; crashes at bad moments: the promises hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry, ListingBoard, Sighting, SymbolState
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import Accepted, Cancelled, Happening, Refused, Traded
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import recovery, safety
from mexclab.venues.simulator.scenario import Fate
from tests.trading.conftest import START, Station
from tests.trading.test_engine import snipe_of

Make = Callable[..., Station]


async def at_the_opening(make: Make, after_ms: int = 5) -> tuple[Station, Order]:
    """A desk whose first shot has left; by default its answer is still on the way."""
    desk = make()
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns + after_ms * MILLISECOND)
    return desk, desk.engine.desk.entries(snipe_of(desk, Fate.PLAIN).snipe_id)[0]


def deaf_to(desk: Station, deaf: Callable[[Happening], bool]) -> None:
    """The venue's feed loses what ``deaf`` says; the venue itself knows."""
    real = desk.venue.until

    async def until(at_ns: int) -> Sequence[Happening]:
        return [happening for happening in await real(at_ns) if not deaf(happening)]

    desk.venue.until = until  # type: ignore[method-assign]


async def agrees(desk: Station) -> None:
    """Ledger and venue hold the same, and nothing is open that nobody watches."""
    final = await recovery.reconcile(desk.engine)
    assert (final.unknown_left, final.external) == (0, 0)


async def test_a_halt_while_an_entry_is_in_flight_is_written_and_the_desk_starts_again(station: Make) -> None:
    desk, order = await at_the_opening(station)
    assert order.state is OrderState.SENT
    await safety.halt(desk.engine, "ada", "drill")
    again = desk.restart(4)
    await again.start()
    await again.run(again.script(Fate.PLAIN).opens_ns + HOUR)
    assert again.engine.desk.halt is not None
    await agrees(again)


async def test_an_order_whose_reports_are_all_lost_is_asked_for_and_managed(station: Make) -> None:
    desk, order = await at_the_opening(station)

    def ours(happening: Any) -> bool:
        told = getattr(happening, "client_id", None) or getattr(
            getattr(happening, "fill", None), "client_id", None
        )
        return told == order.client_id

    deaf_to(desk, ours)
    desk.engine.questions.reconcile_ns = None  # a comparison that happens to come first would find its trades
    await desk.run(desk.script(Fate.PLAIN).opens_ns + HOUR)
    assert desk.engine.desk.orders[order.client_id].fills
    assert snipe_of(desk, Fate.PLAIN).state is SnipeState.CLOSED
    alerts = [event.text for _, event in desk.ledger.read() if isinstance(event, e.AlertRaised)]
    assert any("unknown fate" in text for text in alerts)
    await agrees(desk)


async def test_a_cancel_that_got_lost_in_a_crash_does_not_block_the_exit(station: Make) -> None:
    desk, _ = await at_the_opening(station, after_ms=2000)
    await safety.flatten(desk.engine, "ada", "out")
    assert any(order.state is OrderState.CANCEL_SENT for order in desk.engine.desk.open_orders())
    again = desk.restart(4)
    await again.start()
    await again.run(again.clock.now_ns() + MINUTE)
    assert snipe_of(again, Fate.PLAIN).state is SnipeState.CLOSED
    await agrees(again)


async def test_a_ladder_that_never_arrived_is_placed_again(station: Make) -> None:
    desk, _ = await at_the_opening(station)
    now = desk.clock.now_ns()
    while not desk.engine.desk.exits(snipe_of(desk, Fate.PLAIN).snipe_id):
        now += MILLISECOND
        await desk.run(now)
    again = desk.restart(4)
    await again.start()
    await again.run(again.clock.now_ns() + 20 * SECOND)
    snipe = snipe_of(again, Fate.PLAIN)
    exits = again.engine.desk.exits(snipe.snipe_id)
    covered = sum((o.remaining for o in exits if o.is_live), Decimal(0))
    assert snipe.state.is_over or covered == again.engine.desk.held(snipe.plan.symbol)


async def test_fills_on_their_way_at_a_crash_are_found_though_the_order_had_ended(station: Make) -> None:
    desk, order = await at_the_opening(station)
    symbol, now = order.symbol, desk.clock.now_ns()
    while not (fills := await desk.venue.fills(symbol, 0)):
        now += 5 * MILLISECOND
        await desk.venue.until(now)
    await desk.engine.on([Cancelled(order.client_id, "the rest", now, Decimal(0))])
    again = desk.restart(4)
    await again.start()
    assert again.engine.desk.held(symbol) == sum(fill.quantity for fill in fills)
    await again.run(again.script(Fate.PLAIN).opens_ns + HOUR)
    assert snipe_of(again, Fate.PLAIN).state is SnipeState.CLOSED
    await agrees(again)


async def test_a_cancel_that_overtakes_its_fill_does_not_lead_to_a_second_entry(station: Make) -> None:
    desk, order = await at_the_opening(station)
    bought = order.quantity - order.quantity // 10
    now = desk.clock.now_ns() + 100 * MILLISECOND
    await desk.clock.sleep_until(now)
    await desk.engine.on(
        [Accepted(order.client_id, "v1", now), Cancelled(order.client_id, "rest", now, bought)]
    )
    await desk.clock.sleep_until(now + 2 * SECOND)
    await desk.engine.on([])
    assert len(desk.engine.desk.entries(order.snipe_id)) == 1
    fill = Fill("T1", order.client_id, order.symbol, Side.BUY, order.price, bought, Decimal(0), "USDT", now)
    await desk.engine.on([Traded(fill, now)])
    assert desk.engine.desk.snipes[order.snipe_id].state is SnipeState.ENTERED


async def test_what_the_books_cannot_hold_is_disputed_and_freezes_the_symbol_instead_of_crashing(
    station: Make,
) -> None:
    desk, order = await at_the_opening(station, after_ms=2000)
    order = desk.engine.desk.orders[order.client_id]
    assert order.state is OrderState.FILLED
    again = Traded(replace(order.fills[0], trade_id="the same trade under another id"), desk.clock.now_ns())
    before = desk.engine.desk.held(order.symbol)
    await desk.engine.on([again])
    assert desk.engine.desk.held(order.symbol) == before
    assert desk.engine.desk.frozen(order.symbol)
    restarted = desk.restart(4)
    await restarted.start()
    assert restarted.engine.desk.frozen(order.symbol)


async def test_a_fill_after_a_refusal_is_true_all_the_same(station: Make) -> None:
    desk, order = await at_the_opening(station)
    now = desk.clock.now_ns()
    fill = Fill(
        "T1", order.client_id, order.symbol, Side.BUY, order.price, order.quantity, Decimal(0), "USDT", now
    )
    await desk.engine.on([Refused(order.client_id, 700003, "recvWindow", now)])
    await desk.engine.on([Traded(fill, now)])
    assert desk.engine.desk.orders[order.client_id].state is OrderState.FILLED
    assert desk.engine.desk.snipes[order.snipe_id].state is SnipeState.ENTERED


@pytest.mark.parametrize("before_s", [1, 2, 4])
async def test_a_restart_in_the_last_seconds_still_fires_what_was_armed(station: Make, before_s: int) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns - before_s * SECOND - 500 * MILLISECOND)
    again = desk.restart()
    await again.start()
    await again.run(first.opens_ns + MINUTE)
    assert snipe_of(again, Fate.PLAIN).entered_ns is not None


async def test_a_postponement_that_was_recorded_but_not_told_before_a_crash_is_still_followed(
    station: Make,
) -> None:
    desk = station()
    await desk.start()
    script = desk.script(Fate.POSTPONED)
    real = desk.ledger.append

    class Died(BaseException):
        pass

    async def append(*events: e.Event) -> int:
        if any(isinstance(event, e.OpeningMoved) for event in events):
            raise Died
        return await real(*events)

    desk.ledger.append = append  # type: ignore[method-assign]
    with pytest.raises(Died):
        await desk.run(START + DAY)
    desk.ledger.append = real  # type: ignore[method-assign]
    again = desk.restart(4)
    await again.start()
    await again.run(script.opens_ns + MINUTE)
    snipe = snipe_of(again, Fate.POSTPONED)
    assert snipe.plan.not_before_ns == script.moved_to_ns
    assert snipe.entered_ns is not None


async def test_a_row_that_names_no_symbol_is_alerted_and_harms_nobody(station: Make) -> None:
    desk = station()
    await desk.start()
    real = desk.venue.entries

    async def entries() -> Sequence[CalendarEntry]:
        return [*await real(), CalendarEntry("x9", "MY COIN", "My Coin", "NEW", START + DAY)]

    desk.venue.entries = entries  # type: ignore[method-assign]
    await desk.run(START + MINUTE)
    again = desk.restart(4)
    await again.start()
    alerts = [event.text for _, event in again.ledger.read() if isinstance(event, e.AlertRaised)]
    assert alerts == ["a row of the calendar names no symbol: 'MY COIN'"]


async def test_rules_that_change_after_planning_abort_the_snipe_with_a_reason(station: Make) -> None:
    desk = station()
    await desk.start()
    first = desk.script(Fate.PLAIN)
    await desk.run(first.opens_ns - HOUR)
    real = desk.venue.market

    async def market(symbol: Symbol) -> Any:
        known = await real(symbol)
        return replace(known, min_notional=Decimal(60)) if known else None

    desk.venue.market = market  # type: ignore[method-assign]
    await desk.run(first.opens_ns + MINUTE)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert (snipe.state, snipe.reason) == (SnipeState.ABORTED, "market_rules")
    assert "below the minimum 60" in snipe.why


async def test_a_venue_that_shows_no_rules_for_a_while_does_not_end_the_desk(station: Make) -> None:
    desk, _ = await at_the_opening(station, after_ms=5000)
    again = desk.restart(4)
    await again.start()

    async def silent(_symbol: Symbol) -> Any:
        raise VenueUnavailable("503")

    again.venue.market = silent  # type: ignore[method-assign]
    await again.run(again.clock.now_ns() + HOUR)
    assert snipe_of(again, Fate.PLAIN).state is SnipeState.CLOSED


async def test_a_slow_listing_source_does_not_hold_up_a_halt(station: Make) -> None:
    desk = station()
    await desk.start()
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Sequence[CalendarEntry]:
        asked.set()
        await release.wait()
        return []

    desk.venue.entries = slow  # type: ignore[method-assign]
    running = asyncio.create_task(desk.run(START + MINUTE))
    await asked.wait()
    said = await asyncio.wait_for(safety.halt(desk.engine, "ada", "now"), 1)
    assert said.startswith("halted")
    release.set()
    await running


def test_another_quote_of_a_coin_is_another_market_and_no_postponement() -> None:
    board = ListingBoard().after(
        Sighting("calendar", "c", 1, CalendarEntry("c", "ABC", "A", "NEW", 100 * DAY))
    )
    for seen, quote, opens in ((2, "USDT", 100 * DAY), (3, "USDC", 105 * DAY)):
        state = SymbolState("c", "ABC", quote, 1, 0, 1, opens, 4, 2)
        board = board.after(Sighting("symbols", f"c/{quote}", seen, state))
    listing = board.listings["c"]
    assert (listing.symbol, listing.open_ns, listing.postponements) == (Symbol("ABC"), 100 * DAY, ())


async def test_an_event_that_cannot_be_folded_is_not_written(station: Make) -> None:
    desk = station()
    await desk.start()
    last = desk.ledger.last()
    with pytest.raises(DomainError, match="never decided"):
        await desk.engine.record(e.DaemonStopped(1, "x"), e.OrderSent(1, "nobody-b-1"))
    assert desk.ledger.last() == last
