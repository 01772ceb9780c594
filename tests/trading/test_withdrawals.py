"""Withdrawals: a coming listing that no source shows any more is gone; one that cannot be read is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.snipe import SnipeState
from tests.trading.openings_scene import Make, Scene, scene
from tests.trading.test_radar import ACE, BEE, NOW, OPENS, SYMBOL, Board, Watch, kinds, state

SOON = OPENS - 20 * MINUTE  # near the opening, where the sources are asked often
WITHDRAWN = "ListingWithdrawn"


async def looks(watch: Watch, *at_ns: int) -> list[e.Event]:
    return [event for each in at_ns for event in await watch.poll(each)]


async def known(patterns: bool = False) -> Watch:
    """A radar that knows two coins, and a calendar that has just lost the first."""
    watch = Watch(Board([ACE, BEE]), patterns=patterns)
    await watch.poll(NOW)
    watch.board.rows = [BEE]
    return watch


async def test_a_coming_listing_that_three_looks_do_not_show_is_withdrawn_and_told_once() -> None:
    watch = await known()
    assert await looks(watch, SOON, SOON + 15 * SECOND) == []
    assert [listing.coin_id for listing in watch.radar.upcoming(SOON)] == ["coin-1", "coin-2"]
    at_ns = SOON + 30 * SECOND
    assert await watch.poll(at_ns) == [e.ListingWithdrawn(at_ns, SYMBOL, "coin-1", OPENS)]
    assert watch.radar.withdrawn == {"coin-1"}
    assert [listing.coin_id for listing in watch.radar.upcoming(at_ns)] == ["coin-2"]
    assert await looks(watch, at_ns + MINUTE, at_ns + 2 * MINUTE) == []


async def test_looks_that_follow_each_other_at_once_are_not_enough() -> None:
    watch = await known()
    assert await looks(watch, *(SOON + second * SECOND for second in range(29))) == []
    assert kinds(await watch.poll(SOON + 30 * SECOND)) == [WITHDRAWN]


async def test_far_from_the_opening_one_answer_that_is_kept_for_minutes_is_not_believed() -> None:
    watch = await known()
    assert await looks(watch, *(NOW + minute * MINUTE for minute in range(1, 16))) == []
    assert kinds(await watch.poll(NOW + 16 * MINUTE)) == [WITHDRAWN]


@pytest.mark.parametrize("source", ["calendar", "table"])
async def test_any_source_that_still_shows_it_keeps_it(source: str) -> None:
    watch = Watch(Board([ACE, BEE], [state(2, 1, 1), state(2, 1, 1, ticker="ACE", quote="USDC")]))
    await watch.poll(NOW)
    if source == "calendar":
        watch.board.table = []
    else:
        watch.board.rows = [BEE]
    assert await looks(watch, *(SOON + minute * MINUTE for minute in range(6))) == []
    watch.board.rows, watch.board.table = [BEE], [state(2, 1, 1, quote="USDC")]
    told = await looks(watch, *(SOON + minute * MINUTE for minute in range(6, 9)))
    assert kinds(told) == [WITHDRAWN], "another quote is another pair"


async def test_a_coin_that_goes_on_under_another_id_is_not_withdrawn() -> None:
    watch = await known()
    watch.board.rows = [replace(ACE, coin_id="official:ACE"), BEE]
    told = await looks(watch, *(SOON + minute * MINUTE for minute in range(6)))
    assert kinds(told) == ["ListingSeen"]
    assert watch.radar.by_symbol()[SYMBOL].coin_id == "official:ACE"


async def test_a_look_that_shows_it_again_begins_the_count_anew() -> None:
    watch = await known()
    await looks(watch, SOON, SOON + MINUTE)
    watch.board.rows = [ACE, BEE]
    assert await watch.poll(SOON + 2 * MINUTE) == []
    watch.board.rows = [BEE]
    assert await looks(watch, SOON + 3 * MINUTE, SOON + 4 * MINUTE) == []
    assert kinds(await watch.poll(SOON + 5 * MINUTE)) == [WITHDRAWN]


@pytest.mark.parametrize("trouble", ["away", "table_away", "is_partial", "nothing"])
async def test_what_cannot_be_read_never_counts_and_ends_the_row(trouble: str) -> None:
    watch = await known()
    await looks(watch, SOON, SOON + MINUTE)
    if trouble == "nothing":
        watch.board.rows = []
    else:
        setattr(watch.board, trouble, "503" if trouble != "is_partial" else True)
    told = await looks(watch, *(SOON + minute * MINUTE for minute in range(2, 8)))
    assert WITHDRAWN not in kinds(told)
    watch.board.away, watch.board.table_away, watch.board.is_partial = "", "", False
    watch.board.rows = [BEE]
    assert await looks(watch, SOON + 8 * MINUTE, SOON + 9 * MINUTE) == []
    assert kinds(await watch.poll(SOON + 10 * MINUTE)) == [WITHDRAWN]


async def test_what_has_opened_and_leaves_the_calendar_is_not_withdrawn() -> None:
    watch = await known()
    assert await looks(watch, OPENS - 20 * SECOND, OPENS - SECOND, OPENS + MINUTE, OPENS + HOUR) == []


async def test_what_is_shown_again_is_seen_anew_with_its_new_opening() -> None:
    watch = await known()
    await looks(watch, SOON, SOON + MINUTE, SOON + 2 * MINUTE)
    later, at_ns = OPENS + HOUR, SOON + 3 * MINUTE
    watch.board.rows = [replace(ACE, open_ns=later), BEE]
    assert await watch.poll(at_ns) == [
        e.OpeningMoved(at_ns, SYMBOL, OPENS, later),
        e.ListingSeen(at_ns, SYMBOL, "coin-1", later, "calendar"),
    ]
    assert watch.radar.withdrawn == frozenset()
    assert watch.listing().first_seen_ns == NOW, "the lead is measured from the first time all the same"


async def test_a_withdrawal_is_found_out_again_after_a_restart() -> None:
    first = await known()
    await looks(first, SOON, SOON + MINUTE, SOON + 2 * MINUTE)
    after = Watch(first.board, first.recorder)
    after.radar.recover()
    assert after.radar.withdrawn == frozenset()
    assert await after.poll(SOON + 3 * MINUTE) == []
    assert after.radar.misses(after.listing())
    assert kinds(await looks(after, SOON + 4 * MINUTE, SOON + 5 * MINUTE)) == [WITHDRAWN]


async def test_a_withdrawn_listing_raises_no_signal() -> None:
    watch = await known(patterns=True)
    await looks(watch, SOON, SOON + MINUTE, SOON + 2 * MINUTE)
    watch.desk = Desk()
    raised = await watch.poll(SOON + 3 * MINUTE)
    assert {event.signal.symbol.base for event in raised if isinstance(event, e.SignalRaised)} == {"BEE"}


# -- what it means for a snipe ---------------------------------------------------------------------


async def test_a_withdrawn_listing_ends_its_snipe_with_an_alert_and_comes_back_planned(station: Make) -> None:
    at = await scene(station)
    await at.run(-14 * MINUTE)
    at.sources.is_shown = False
    await at.run(-13 * MINUTE - 35 * SECOND)
    assert at.snipe.state is not SnipeState.ABORTED
    await at.run(-13 * MINUTE - 20 * SECOND)
    assert (at.snipe.state, at.snipe.reason) == (SnipeState.ABORTED, "listing_withdrawn")
    assert len(at.told(e.ListingWithdrawn)) == 1
    [alert] = at.alerts()
    assert "withdrew the listing" in alert
    at.sources.is_shown = True
    await at.run(-12 * MINUTE)
    assert at.snipe.state in (SnipeState.PLANNED, SnipeState.PREFLIGHT)
    assert at.snipe.reason == "listed_again" or at.snipe.preflights
    await at.run(3 * SECOND)
    at.bought_once(at.opens_ns)


async def test_a_withdrawn_listing_is_not_planned_after_a_restart_before_it_is_shown_again(
    station: Make,
) -> None:
    at = await scene(station)
    await at.run(-14 * MINUTE - 30 * SECOND)
    at.sources.is_shown = False
    await at.run(-13 * MINUTE - 30 * SECOND)
    assert at.snipe.state is SnipeState.ABORTED
    again = Scene(at.desk.restart(5))
    again.opens_ns = at.opens_ns
    again.sources.is_shown = False
    await again.desk.start()
    await again.run(-12 * MINUTE - 30 * SECOND)
    assert (again.snipe.state, again.snipe.reason) == (SnipeState.ABORTED, "listing_withdrawn")
    assert len(again.alerts()) == 1
    again.sources.is_shown = True
    await again.run(-12 * MINUTE)
    assert not again.snipe.state.is_over
    await again.run(3 * SECOND)
    again.bought_once(at.opens_ns)


async def test_a_loaded_shot_of_a_withdrawn_listing_does_not_leave(station: Make) -> None:
    at = await scene(station, 2 * MINUTE)
    await at.run(-30_600 * MILLISECOND)
    at.sources.is_shown = False
    await at.look()
    await at.run(-500 * MILLISECOND)
    assert at.desk.engine.shots
    await at.look()
    assert (at.snipe.state, at.snipe.reason) == (SnipeState.ABORTED, "listing_withdrawn")
    await at.run(MINUTE)
    assert not at.told(e.Fired)
    assert at.orders[0].why == "withdrawn before it left"
