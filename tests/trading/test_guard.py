"""The guard on the paper venue: what halts the desk by itself, what pauses it, and what is written of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from mexclab.config import HaltSettings, LimitSettings
from mexclab.config.risk import ProtectionSettings
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Symbol
from mexclab.domain.reports import Balance, Balances, BookSeen, ClockReading
from mexclab.domain.snipe import SnipeState
from mexclab.errors import RiskRefused, VenueUnavailable
from mexclab.trading import protections, recovery, safety
from mexclab.venues.simulator.scenario import Fate
from tests.trading.conftest import START, Station
from tests.trading.test_engine import snipe_of

Make = Callable[..., Station]
ALL = ProtectionSettings().rules()


def told(desk: Station, kind: type) -> list:
    return [event for _, event in desk.ledger.read() if isinstance(event, kind)]


def ruled(desk: Station, **changes: object) -> Station:
    desk.engine.rules = replace(desk.engine.rules, **changes)  # type: ignore[arg-type]
    return desk


async def holding(make: Make, **changes: object) -> Station:
    """A desk that has just entered at the first opening of the day."""
    desk = ruled(make(), **changes)
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns + 3 * SECOND)
    assert snipe_of(desk, Fate.PLAIN).state is SnipeState.ENTERED
    return desk


def moved(book: Book, bid: Decimal = Decimal(1), ask: Decimal = Decimal(1), at_ns: int = 0) -> Book:
    """The book with its bids and asks at these multiples of what they are."""
    bids, asks = (
        tuple(Level(level.price * by, level.quantity) for level in side)
        for side, by in ((book.bids, bid), (book.asks, ask))
    )
    return replace(book, bids=bids, asks=asks, at_ns=at_ns or book.at_ns)


async def crash(desk: Station, to: str = "0.6") -> Symbol:
    """A second later the price is this fraction of what it was, as far as the desk can see."""
    symbol, now = desk.script(Fate.PLAIN).symbol, desk.clock.now_ns() + SECOND
    desk.clock.move_to(now)
    book = moved(desk.engine.books[symbol], Decimal(to), Decimal(to), now)
    await desk.engine.on([BookSeen(book)])
    return symbol


async def test_a_crash_halts_the_desk_exits_still_pass_and_a_resume_waits_until_it_is_over(
    station: Make,
) -> None:
    desk = await holding(station, limits=LimitSettings(day_loss_quote=Decimal(8)))
    snipe = snipe_of(desk, Fate.PLAIN)
    await crash(desk)
    halt = desk.engine.desk.halt
    assert halt is not None
    assert (halt.by, desk.engine.halting) == ("trigger day_loss", True)
    assert "the limit is 8" in halt.why
    with pytest.raises(RiskRefused, match="the trigger day_loss still holds: today's loss is") as refused:
        await safety.resume(desk.engine, "ada", " ")
    assert "a reason is required" in refused.value.data["breaches"]
    assert desk.engine.desk.snipes[snipe.snipe_id].exit_why == "stop"
    await desk.run(desk.clock.now_ns() + MINUTE)
    after = desk.engine.desk.snipes[snipe.snipe_id]
    assert (after.state, after.reason) == (SnipeState.CLOSED, "stop")
    assert len(told(desk, e.Halted)) == 1
    assert desk.engine.desk.portfolio.realised > -8  # the price that was seen was not the one it sold at
    said = await safety.resume(desk.engine, "ada", "looked at it")
    assert said == "resumed: new entries are allowed"
    assert desk.engine.desk.halt is None


async def test_nothing_is_entered_while_a_trigger_holds_the_desk(station: Make) -> None:
    desk = await holding(station, limits=LimitSettings(day_loss_quote=Decimal(8)))
    await crash(desk)
    bought = len([order for order in desk.engine.desk.orders.values() if order.leg == "b"])
    await desk.run(START + 14 * HOUR)
    entries = [order for order in desk.engine.desk.orders.values() if order.leg == "b"]
    assert len(entries) == bought
    refused = [s for s in desk.engine.desk.snipes.values() if s.reason == "halted"]
    assert refused
    assert len(told(desk, e.Halted)) == 1


async def test_a_trigger_that_is_switched_off_halts_nothing(station: Make) -> None:
    off = HaltSettings(day_loss=False, drawdown=False)
    desk = await holding(station, limits=LimitSettings(day_loss_quote=Decimal(8)), halt=off)
    await crash(desk)
    assert desk.engine.desk.halt is None


async def test_the_same_seed_gives_the_same_ledger_with_everything_guarded(station: Make) -> None:
    prints = []
    for _ in range(2):
        desk = ruled(station(11), protections=ALL)
        await desk.start()
        await desk.run(START + 9 * HOUR)
        assert told(desk, e.EquityMarked)
        prints.append(desk.ledger.fingerprint())
    assert prints[0] == prints[1]


async def test_failed_answers_drop_a_loaded_shot(station: Make) -> None:
    desk = station()
    await desk.start()
    await desk.run(desk.script(Fate.PLAIN).opens_ns - 500 * MILLISECOND)
    assert desk.engine.shots
    for n in range(20):
        desk.engine.failed(VenueUnavailable(f"question {n} was not answered"))
    await desk.run(desk.clock.now_ns() + 2 * SECOND)
    snipe = snipe_of(desk, Fate.PLAIN)
    assert (snipe.state, snipe.reason) == (SnipeState.ABORTED, "halted")
    assert not told(desk, e.Fired)
    assert desk.engine.desk.halt is not None
    assert desk.engine.desk.halt.by == "trigger errors"
    with pytest.raises(RiskRefused, match="the trigger errors still holds: 20 answers failed"):
        await safety.resume(desk.engine, "ada", "the network is back")
    await desk.run(desk.clock.now_ns() + MINUTE)
    await safety.resume(desk.engine, "ada", "the network is back")


async def test_a_shot_leaves_on_time_although_its_market_is_watched(station: Make) -> None:
    desk = await holding(station)
    (fired,) = told(desk, e.Fired)
    assert fired.lateness_ns == 0
    shot_ns = desk.script(Fate.PLAIN).opens_ns
    written = [event.at_ns for event in told(desk, e.EquityMarked)]
    assert [at_ns for at_ns in written if at_ns < shot_ns]
    assert not [at_ns for at_ns in written if shot_ns - SECOND < at_ns < shot_ns]


async def test_equity_is_marked_every_minute_while_something_is_held_and_when_it_is_closed(
    station: Make,
) -> None:
    desk = station()
    await desk.start()
    opens_ns = desk.script(Fate.PLAIN).opens_ns
    await desk.run(opens_ns - 10 * MINUTE)
    assert not told(desk, e.EquityMarked)
    assert desk.engine.guard.due_ns() is None
    assert desk.engine.monitors.followed == {}
    await desk.run(opens_ns + 5 * MINUTE)
    times = [mark.at_ns for mark in told(desk, e.EquityMarked)]
    assert times[0] < opens_ns
    assert all(MINUTE <= b - a <= MINUTE + 6 * SECOND for a, b in pairwise(times))
    await safety.flatten(desk.engine, "ada", "out")
    await desk.run(opens_ns + 8 * MINUTE)
    last, portfolio = told(desk, e.EquityMarked)[-1], desk.engine.desk.portfolio
    assert last.at_ns == snipe_of(desk, Fate.PLAIN).closed_ns
    assert last.equity == portfolio.opening_balance + portfolio.realised + last.unrealised


async def test_a_close_raises_the_cool_down_and_a_release_with_a_reason_lasts(station: Make) -> None:
    desk = await holding(station, protections=ALL)
    symbol = desk.script(Fate.PLAIN).symbol
    await safety.flatten(desk.engine, "ada", "out")
    await desk.run(desk.clock.now_ns() + MINUTE)
    (held,) = desk.engine.desk.protections_of(symbol, desk.clock.now_ns())
    assert (held.kind, held.symbol) == ("cooldown", symbol)
    await protections.release(
        desk.engine, held.protection_id, "ada", "the next listing of it is another coin"
    )
    await desk.run(desk.clock.now_ns() + 10 * MINUTE)
    assert desk.engine.desk.protections_of(symbol, desk.clock.now_ns()) == []
    assert len(told(desk, e.ProtectionRaised)) == 1


async def test_a_result_that_a_dead_process_could_not_judge_is_judged_at_the_next_start(
    station: Make,
) -> None:
    desk = await holding(station)  # without rules, so nothing is raised
    await safety.flatten(desk.engine, "ada", "out")
    await desk.run(desk.clock.now_ns() + MINUTE)
    assert snipe_of(desk, Fate.PLAIN).state is SnipeState.CLOSED
    desk.rules = replace(desk.rules, protections=ALL)
    again = desk.restart(away_s=4)
    await again.start()
    await again.run(again.clock.now_ns() + MINUTE)
    assert [each.kind for each in again.engine.desk.protections.values()] == ["cooldown"]
    third = again.restart(away_s=4)
    await third.start()
    await third.run(third.clock.now_ns() + MINUTE)
    assert len(told(third, e.ProtectionRaised)) == 1


async def lacking(desk: Station, units: Decimal) -> None:
    """The venue shows so much less of the first coin than there is, and has been compared with twice."""
    base, real = desk.script(Fate.PLAIN).symbol.base, type(desk.venue).balances

    async def balances() -> Balances:
        shown = dict(await real(desk.venue))
        shown[base] = Balance(shown[base].free - units, shown[base].locked)
        return shown

    desk.venue.balances = balances  # type: ignore[method-assign]
    for _ in range(2):
        await recovery.reconcile(desk.engine)
    await desk.run(desk.clock.now_ns() + 2 * SECOND)


async def test_less_at_the_venue_than_in_the_ledger_halts_until_it_is_there_again(station: Make) -> None:
    desk = await holding(station)
    held = desk.engine.desk.held(desk.script(Fate.PLAIN).symbol)
    await lacking(desk, held / 2)
    assert desk.engine.desk.halt is not None
    assert desk.engine.desk.halt.by == "trigger mismatch"
    with pytest.raises(RiskRefused, match=r"the trigger mismatch still holds: .*: the ledger holds"):
        await safety.resume(desk.engine, "ada", "it is fine")
    del desk.venue.balances
    await recovery.reconcile(desk.engine)
    await safety.resume(desk.engine, "ada", "the transfer came back")
    assert not desk.engine.desk.disputed


async def test_dust_that_is_missing_freezes_its_symbol_and_halts_nothing(station: Make) -> None:
    desk = await holding(station)
    await lacking(desk, Decimal("0.5"))
    assert list(desk.engine.desk.disputed) == [desk.script(Fate.PLAIN).symbol]
    assert desk.engine.desk.halt is None


async def test_a_clock_that_cannot_be_read_halts_in_time_and_bars_the_resume(station: Make) -> None:
    desk = station()
    await desk.start()
    begun_ns = desk.clock.now_ns()

    async def silent() -> ClockReading:
        raise VenueUnavailable("no time was told")

    desk.venue.clock_reading = silent  # type: ignore[method-assign]
    await desk.run(begun_ns + 170 * SECOND)
    assert desk.engine.desk.halt is None
    await desk.run(begun_ns + 220 * SECOND)
    assert desk.engine.desk.halt is not None
    assert desk.engine.desk.halt.by == "trigger clock"
    assert desk.engine.monitors.failures(desk.clock.now_ns()) == 3  # asked every 20 s
    del desk.venue.clock_reading
    with pytest.raises(RiskRefused, match="the venue's clock was measured"):
        await safety.resume(desk.engine, "ada", "go on")
    await desk.run(begun_ns + 250 * SECOND)
    await safety.resume(desk.engine, "ada", "go on")


@pytest.mark.parametrize(("took_s", "halts"), [(5, True), (3, False)])
async def test_a_ledger_that_lags_halts_and_bars_a_resume_for_a_minute(
    station: Make, took_s: int, halts: bool
) -> None:
    desk = station()
    await desk.start()
    desk.engine.lag.put(desk.clock.now_ns(), took_s * SECOND)
    await desk.run(desk.clock.now_ns() + 30 * SECOND)
    assert (desk.engine.desk.halt is not None) is halts
    await safety.halt(desk.engine, "ada", "the disk is slow")
    with pytest.raises(RiskRefused, match=f"an append (to the ledger )?took {took_s}"):
        await safety.resume(desk.engine, "ada", "go on")
    await desk.run(desk.clock.now_ns() + MINUTE)
    await safety.resume(desk.engine, "ada", "go on")


async def test_an_append_is_timed(station: Make) -> None:
    desk = station()
    await desk.start()
    append, clock = desk.ledger.append, desk.clock

    async def slow(*events: e.Event) -> int:
        clock.move_to(clock.now_ns() + 7 * SECOND)
        return await append(*events)

    desk.ledger.append = slow  # type: ignore[method-assign]
    await desk.engine.record(e.AlertRaised(clock.now_ns(), "info", "a test"))
    slowest = desk.engine.lag.at(clock.now_ns())
    # by the machine's own clock it took no time, and the shorter of the two is believed
    assert slowest is not None
    assert slowest[0] < SECOND


async def test_a_market_that_flaps_is_written_down_a_few_times_and_not_each_time(station: Make) -> None:
    desk = await holding(station)
    engine, symbol = desk.engine, desk.script(Fate.PLAIN).symbol
    await desk.run(desk.clock.now_ns() + 5 * SECOND)
    good = moved(engine.books[symbol], ask=engine.books[symbol].bid / engine.books[symbol].ask)  # type: ignore
    before = len(told(desk, e.MonitorChanged))

    async def seen(ask: str) -> None:
        desk.clock.move_to(desk.clock.now_ns() + 500 * MILLISECOND)
        await engine.on([BookSeen(moved(good, ask=Decimal(ask), at_ns=desk.clock.now_ns()))])

    for n in range(120):
        await seen("1.3" if n % 8 < 4 else "1.001")
    spreads = [event.state for event in told(desk, e.MonitorChanged)[before:] if event.monitor == "spread"]
    assert spreads == ["tripped"]
    assert engine.desk.monitors["spread", str(symbol)].state == "tripped"
    for _ in range(40):
        await seen("1.001")
    spreads = [event.state for event in told(desk, e.MonitorChanged)[before:] if event.monitor == "spread"]
    assert spreads == ["tripped", "quiet"]


async def test_a_market_that_is_not_watched_any_more_leaves_nothing_behind(station: Make) -> None:
    desk = await holding(station)
    symbol = await crash(desk)
    assert ("flash_crash", str(symbol)) in desk.engine.desk.monitors
    await desk.run(desk.clock.now_ns() + 5 * MINUTE)
    assert snipe_of(desk, Fate.PLAIN).state is SnipeState.CLOSED
    assert desk.engine.monitors.followed == {}
    assert not [key for key in desk.engine.desk.monitors if key[1] == str(symbol)]
    last = [event for event in told(desk, e.MonitorChanged) if event.monitor == "flash_crash"][-1]
    assert (last.state, last.why) == ("unknown", f"{symbol} is not watched any more")
