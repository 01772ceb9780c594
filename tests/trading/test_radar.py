"""The radar: what the sources show is kept as first seen, and a silent source is no empty calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from mexclab.config import ListingsSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.listing import CalendarEntry, Partial, SymbolState
from mexclab.domain.market import Symbol
from mexclab.errors import VenueUnavailable
from mexclab.patterns.calendar_lead import CalendarLead
from mexclab.patterns.ready_state import ReadyState
from mexclab.store.memory import MemoryRecorder
from mexclab.trading.radar import Radar

NOW = 20_600 * DAY
OPENS = NOW + 6 * HOUR
ACE = CalendarEntry("coin-1", "ACE", "Ace of Tests", "NEW", OPENS)
BEE = CalendarEntry("coin-2", "BEE", "Busy Bee", "NEW", OPENS + HOUR)
SYMBOL = Symbol("ACE")
SETTINGS = ListingsSettings()


def state(*triple: int, quote: str = "USDT", open_ns: int = OPENS, ticker: str = "ACE") -> SymbolState:
    return SymbolState("coin-1", ticker, quote, *triple, open_ns, 4, 2)


@dataclass
class Board:
    """A calendar that shows what is written on it, or is away."""

    rows: list[CalendarEntry] = field(default_factory=list)
    table: list[SymbolState] = field(default_factory=list)
    away: str = ""
    table_away: str = ""
    is_partial: bool = False

    async def entries(self) -> Sequence[CalendarEntry]:
        if self.away:
            raise VenueUnavailable(self.away)
        return Partial(self.rows) if self.is_partial else list(self.rows)

    async def states(self) -> Sequence[SymbolState]:
        if self.table_away:
            raise VenueUnavailable(self.table_away)
        return list(self.table)


class Watch:
    """A radar with what it stands on; the desk takes the news in, as the engine's does."""

    def __init__(self, board: Board, recorder: MemoryRecorder | None = None, patterns: bool = False) -> None:
        self.board = board
        self.recorder = recorder or MemoryRecorder()
        self.desk = Desk()
        signs = (CalendarLead(SETTINGS), ReadyState(SETTINGS)) if patterns else ()
        self.radar = Radar(board, self.recorder, signs)

    async def poll(self, now_ns: int) -> list[e.Event]:
        news = await self.radar.take(await self.radar.ask(now_ns), now_ns, self.desk)
        for event in news:
            self.desk.fold(event)
        return news

    def listing(self, coin_id: str = "coin-1"):
        return self.radar.board.listings[coin_id]


def kinds(news: Sequence[e.Event]) -> list[str]:
    return [type(event).__name__ for event in news]


def signals(news: Sequence[e.Event]) -> dict[str, e.SignalRaised]:
    return {event.signal.pattern: event for event in news if isinstance(event, e.SignalRaised)}


# -- what is kept ----------------------------------------------------------------------------------


async def test_a_listing_keeps_the_moment_at_which_it_was_first_seen() -> None:
    watch = Watch(Board([ACE]))
    assert await watch.poll(NOW) == [e.ListingSeen(NOW, SYMBOL, "coin-1", OPENS, "calendar")]
    watch.board.rows = [replace(ACE, full_name="Ace of Trumps")]
    await watch.poll(NOW + HOUR)
    watch.board.rows = [replace(ACE, open_ns=OPENS + HOUR)]
    await watch.poll(NOW + 2 * HOUR)
    assert watch.listing().first_seen_ns == NOW
    assert [sighting.first_seen_ns for sighting in watch.recorder.sightings()] == [
        NOW,
        NOW + HOUR,
        NOW + 2 * HOUR,
    ]


async def test_an_unchanged_poll_records_nothing_and_tells_nothing() -> None:
    watch = Watch(Board([ACE, BEE], [state(1, 1, 1)]))
    assert len(await watch.poll(NOW)) == 3
    before = watch.recorder.sightings()
    for minute in range(1, 4):
        assert await watch.poll(NOW + minute * MINUTE) == []
    assert watch.recorder.sightings() == before
    assert len(before) == 3
    assert watch.radar.polled_ns == NOW + 3 * MINUTE, "the board is known to be fresh all the same"


async def test_only_what_is_new_is_recorded() -> None:
    watch = Watch(Board([ACE]))
    await watch.poll(NOW)
    watch.board.rows = [ACE, BEE]
    assert kinds(await watch.poll(NOW + MINUTE)) == ["ListingSeen"]
    assert [sighting.key for sighting in watch.recorder.sightings()] == ["coin-1", "coin-2"]


async def test_a_changed_opening_is_told_once_and_remembered() -> None:
    watch = Watch(Board([ACE]))
    await watch.poll(NOW)
    later = OPENS + 30 * MINUTE
    watch.board.rows = [replace(ACE, open_ns=later)]
    assert await watch.poll(NOW + HOUR) == [e.OpeningMoved(NOW + HOUR, SYMBOL, OPENS, later)]
    assert await watch.poll(NOW + 2 * HOUR) == []
    (step,) = watch.listing().postponements
    assert (step.seen_ns, step.from_ns, step.to_ns) == (NOW + HOUR, OPENS, later)


async def test_an_opening_may_move_forward_too_and_back_again() -> None:
    watch = Watch(Board([ACE]))
    await watch.poll(NOW)
    told = []
    for hour, opens in ((1, OPENS - HOUR), (2, OPENS)):
        watch.board.rows = [replace(ACE, open_ns=opens)]
        told += await watch.poll(NOW + hour * HOUR)
    assert [(event.from_ns, event.to_ns) for event in told if isinstance(event, e.OpeningMoved)] == [
        (OPENS, OPENS - HOUR),
        (OPENS - HOUR, OPENS),
    ]


async def test_two_sources_that_disagree_do_not_postpone_each_other_for_ever() -> None:
    watch = Watch(Board([ACE], [state(1, 1, 1, open_ns=OPENS + 5 * MINUTE)]))
    told = await watch.poll(NOW)
    for minute in range(1, 4):
        told += await watch.poll(NOW + minute * MINUTE)
    assert "OpeningMoved" not in kinds(told)
    assert watch.listing().open_ns == OPENS


async def test_each_new_state_is_told_once() -> None:
    watch = Watch(Board([ACE], [state(1, 1, 1)]))
    assert kinds(await watch.poll(NOW)) == ["ListingSeen", "ListingStateSeen"]
    watch.board.table = [state(2, 2, 4)]
    assert await watch.poll(NOW + HOUR) == [e.ListingStateSeen(NOW + HOUR, SYMBOL, (2, 2, 4))]
    assert await watch.poll(NOW + 2 * HOUR) == []


async def test_of_several_quote_currencies_the_one_that_most_listings_have_is_the_listing() -> None:
    watch = Watch(Board([], [state(2, 2, 4, quote="USDC"), state(1, 1, 1)]))
    await watch.poll(NOW)
    assert watch.listing().symbol == SYMBOL
    assert watch.listing().state.triple == (1, 1, 1)
    assert len(watch.recorder.sightings()) == 2, "the other market is recorded all the same"


async def test_a_pair_that_has_long_traded_is_recorded_and_is_no_listing() -> None:
    watch = Watch(Board([], [state(1, 1, 1, open_ns=NOW - DAY - 1)]))
    assert await watch.poll(NOW) == []
    assert not watch.radar.board.listings
    assert len(watch.recorder.sightings()) == 1


async def test_a_row_that_names_no_symbol_is_one_alert_and_harms_no_other_row() -> None:
    watch = Watch(Board([replace(ACE, ticker=""), BEE]))
    alert, seen = await watch.poll(NOW)
    assert isinstance(alert, e.AlertRaised)
    assert "names no symbol" in alert.text
    assert isinstance(seen, e.ListingSeen)
    assert await watch.poll(NOW + MINUTE) == []
    watch.board.rows = [ACE, BEE]
    assert kinds(await watch.poll(NOW + HOUR)) == ["ListingSeen"], "a row that was mended is a listing"


async def test_what_opens_later_is_upcoming_and_nothing_else_is() -> None:
    watch = Watch(Board([ACE, BEE]))
    await watch.poll(NOW)
    names = [[x.symbol.base for x in watch.radar.upcoming(at)] for at in (OPENS - 1, OPENS, OPENS + HOUR)]
    assert names == [["ACE", "BEE"], ["BEE"], []]


# -- sources that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["away", "table_away"])
async def test_a_source_that_fails_is_a_problem_and_one_alert_and_never_no_listings(which: str) -> None:
    watch = Watch(Board([ACE, BEE]))
    await watch.poll(NOW)
    setattr(watch.board, which, "HTTP 503 from the calendar")
    watch.board.rows = []
    (alert,) = await watch.poll(NOW + MINUTE)
    assert isinstance(alert, e.AlertRaised)
    assert alert.level == "warning"
    assert "HTTP 503 from the calendar" in alert.text
    assert await watch.poll(NOW + 2 * MINUTE) == []
    assert watch.radar.problem == "HTTP 503 from the calendar"
    assert watch.radar.polled_ns == NOW, "the board is as old as the last answer"
    assert len(list(watch.radar.upcoming(NOW))) == 2


async def test_a_source_that_answers_again_ends_the_problem_and_the_next_failure_is_told() -> None:
    watch = Watch(Board([ACE]))
    watch.board.away = "no route to host"
    assert kinds(await watch.poll(NOW)) == ["AlertRaised"]
    watch.board.away = ""
    assert kinds(await watch.poll(NOW + MINUTE)) == ["ListingSeen"]
    assert (watch.radar.problem, watch.radar.polled_ns) == ("", NOW + MINUTE)
    watch.board.away = "no route to host"
    assert kinds(await watch.poll(NOW + 2 * MINUTE)) == ["AlertRaised"]


# -- recovery --------------------------------------------------------------------------------------


async def test_recovery_folds_what_was_recorded_so_that_nothing_is_seen_for_the_first_time_again() -> None:
    first = Watch(Board([ACE, BEE], [state(1, 1, 1)]))
    await first.poll(NOW)
    first.board.rows = [replace(ACE, open_ns=OPENS + HOUR), BEE]
    await first.poll(NOW + HOUR)
    after = Watch(first.board, first.recorder)
    after.radar.recover()
    assert after.radar.board == first.radar.board
    assert after.listing().first_seen_ns == NOW
    assert after.radar.polled_ns is None, "what was recorded is not an answer"
    before = after.recorder.sightings()
    assert await after.poll(NOW + 2 * HOUR) == []
    assert after.recorder.sightings() == before


async def test_an_opening_that_moved_while_we_were_away_is_told_at_the_first_poll() -> None:
    first = Watch(Board([ACE]))
    await first.poll(NOW)
    after = Watch(Board([replace(ACE, open_ns=OPENS + HOUR)]), first.recorder)
    after.radar.recover()
    back = NOW + 3 * HOUR
    assert await after.poll(back) == [e.OpeningMoved(back, SYMBOL, OPENS, OPENS + HOUR)]


async def test_an_unreadable_row_is_passed_over_in_recovery_too() -> None:
    first = Watch(Board([replace(ACE, ticker=" "), BEE]))
    await first.poll(NOW)
    after = Watch(first.board, first.recorder)
    after.radar.recover()
    assert list(after.radar.board.listings) == ["coin-2"]
    assert await after.poll(NOW + MINUTE) == []


# -- patterns --------------------------------------------------------------------------------------


async def test_the_calendar_raises_one_signal_with_its_evidence() -> None:
    watch = Watch(Board([ACE]), patterns=True)
    raised = signals(await watch.poll(NOW))
    assert set(raised) == {"calendar_lead"}
    signal = raised["calendar_lead"].signal
    assert (signal.symbol, signal.at_ns, signal.open_ns, signal.lead_ns) == (SYMBOL, NOW, OPENS, 6 * HOUR)
    assert signal.evidence["lead"] == "6 h 00 min, which meets the floor of 3 h 30 min"
    assert signal.evidence["opens"].endswith("06:00:00 UTC")
    assert "not yet measured" in signal.evidence["basis"]
    for minute in range(1, 4):
        assert await watch.poll(NOW + minute * MINUTE) == []


@pytest.mark.parametrize(
    ("lead_ns", "says"),
    [(3 * HOUR + 30 * MINUTE, "meets"), (3 * HOUR + 30 * MINUTE - 1, "misses"), (100 * MINUTE, "misses")],
)
async def test_a_lead_is_held_against_the_floor_of_three_and_a_half_hours(lead_ns: int, says: str) -> None:
    watch = Watch(Board([ACE]), patterns=True)
    signal = signals(await watch.poll(OPENS - lead_ns))["calendar_lead"].signal
    assert f"which {says} the floor of 3 h 30 min" in signal.evidence["lead"]
    assert signal.lead_ns == lead_ns


async def test_the_ready_state_raises_its_signal_when_the_state_is_seen_and_once() -> None:
    watch = Watch(Board([ACE], [state(2, 2, 2)]), patterns=True)
    assert set(signals(await watch.poll(NOW))) == {"calendar_lead"}
    watch.board.table = [state(2, 2, 4)]
    seen = OPENS - 10 * MINUTE
    raised = signals(await watch.poll(seen))
    assert set(raised) == {"ready_state"}
    signal = raised["ready_state"].signal
    assert signal.evidence["state (sts, st, tt)"] == "(2, 2, 4)"
    assert signal.evidence["seen"].endswith("05:50:00 UTC")
    assert signal.probability > CalendarLead.prior
    assert signals(await watch.poll(seen + MINUTE)) == {}


async def test_a_postponement_raises_no_second_signal() -> None:
    watch = Watch(Board([ACE]), patterns=True)
    await watch.poll(NOW)
    watch.board.rows = [replace(ACE, open_ns=OPENS + HOUR)]
    assert kinds(await watch.poll(NOW + HOUR)) == ["OpeningMoved"]


async def test_a_restart_raises_no_signal_that_the_ledger_has() -> None:
    first = Watch(Board([ACE], [state(2, 2, 4)]), patterns=True)
    assert set(signals(await first.poll(NOW))) == {"calendar_lead", "ready_state"}
    after = Watch(first.board, first.recorder, patterns=True)
    after.radar.recover()
    after.desk = first.desk
    assert await after.poll(NOW + MINUTE) == []


async def test_a_coin_that_is_seen_when_it_has_opened_raises_no_signal() -> None:
    watch = Watch(Board([ACE], [state(2, 2, 4)]), patterns=True)
    assert signals(await watch.poll(OPENS)) == {}


async def test_a_source_that_fails_raises_no_signal_from_an_old_board() -> None:
    watch = Watch(Board([ACE]), patterns=True)
    watch.board.away = "timeout"
    assert signals(await watch.poll(NOW)) == {}
