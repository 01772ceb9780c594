"""A coin may trade against several assets; the desk's money is counted in one. The others are only shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import pytest

from mexclab.config import LimitSettings, ListingsSettings
from mexclab.daemon.snapshot import _listings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, SECOND
from mexclab.domain.listing import CalendarEntry, ListingBoard, Sighting, SymbolState
from mexclab.domain.market import Market, Symbol
from mexclab.domain.reports import SignalSeen
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import SnipeState
from mexclab.notebook.record import Record, listings_in
from mexclab.patterns.registry import load_patterns
from mexclab.store.memory import MemoryRecorder
from mexclab.trading import safety
from mexclab.trading.engine import Engine
from mexclab.trading.radar import Radar
from mexclab.trading.risk import Intent, review, what_if
from tests.trading.risk_scene import broken, entry, facts, funded, plan
from tests.trading.truth_scene import OPENS, PLAN, START, Desks, Truth

IN_BTC, IN_USDT, IN_USDC = Symbol("NEW", "BTC"), Symbol("NEW", "USDT"), Symbol("NEW", "USDC")
ROW = CalendarEntry("c1", "NEW", "Newcomer", "", OPENS)
LOOK = 6 * SECOND
Told = TypeVar("Told")


def state(quote: str, open_ns: int = OPENS, ticker: str = "NEW") -> SymbolState:
    return SymbolState("c1", ticker, quote, 1, 0, 1, open_ns, 8, 2)


class Web(Truth):
    """A venue whose symbol table can be written on."""

    table: Sequence[SymbolState] = ()

    async def states(self) -> Sequence[SymbolState]:
        # a table is never empty: without an old pair the sources would count as broken
        old = SymbolState("old", "OLD", "USDT", 1, 1, 1, START - 400 * DAY, 4, 2)
        return [old, *self.table]

    async def market(self, symbol: Symbol) -> Market | None:
        return Market(symbol, Decimal("0.0001"), Decimal("0.01"), Decimal("0.0001"))


class Coins(Desks):
    """A desk whose patterns look at listings."""

    def _process(self) -> Engine:
        engine = super()._process()
        patterns = load_patterns(ListingsSettings())
        radar = Radar(self.venue, self.recorder, [p for p in patterns if p.name == "calendar_lead"])
        return Engine(replace(engine.parts, radar=radar), self.rules)

    async def look(self, table: Sequence[SymbolState], calendar: Sequence[CalendarEntry] = ()) -> None:
        self.venue.table, self.venue.calendar = list(table), list(calendar)  # type: ignore[attr-defined]
        await self.run(LOOK)

    def told(self, kind: type[Told]) -> list[Told]:
        return [event for _, event in self.ledger.read() if isinstance(event, kind)]

    def planned(self) -> list[str]:
        return [str(snipe.plan.symbol) for snipe in self.desk.snipes.values()]


async def a_desk() -> Coins:
    desk = Coins(venue=Web)
    await desk.start()
    return desk


# -- money is of one asset -------------------------------------------------------------------------


def test_a_pair_that_is_paid_for_in_another_asset_breaks_a_limit_that_names_both() -> None:
    wanted = plan(symbol=IN_BTC)
    assert broken(funded(), Intent(entry(wanted), wanted), LimitSettings(), facts()) == {"quote_asset"}
    verdict = review(Intent(entry(wanted), wanted), funded(), LimitSettings(), facts())
    assert (verdict.breaches[0].value, verdict.breaches[0].bound) == ("BTC", "USDT")
    assert "NEWBTC is paid for in BTC" in verdict.why
    ours = facts(quote_asset="BTC")
    assert review(Intent(entry(wanted), wanted), funded(), LimitSettings(), ours).cleared


def test_a_question_about_such_a_pair_shows_the_limit_like_every_other() -> None:
    for symbol, is_broken in ((IN_BTC, True), (IN_USDT, False)):
        found = what_if(plan(symbol=symbol), funded(), LimitSettings(), facts()).limits
        uses = {use.name: use for use in found}
        use = uses["quote_asset"]
        assert (use.broken, use.bound, bool(use.why)) == (is_broken, 0, is_broken)


async def test_a_coin_that_opens_against_btc_alone_is_shown_and_not_planned_and_the_desk_says_why() -> None:
    desk = await a_desk()
    await desk.look([state("BTC")])
    await desk.run(LOOK)
    assert desk.planned() == []
    (row,) = _listings(desk.engine)
    assert (row["symbol"], row["snipe_id"]) == ("NEWBTC", None)
    assert "NEWBTC is paid for in BTC and not planned: this desk trades with USDT" in row["why"]
    assert [event.symbol for event in desk.told(e.ListingSeen)] == [IN_BTC]
    assert len(desk.told(e.PlanDeclined)) == 1, "it is said once"
    await desk.run(OPENS - desk.clock.now_ns() + SECOND)
    assert desk.venue.requests == {}


async def test_a_signal_of_such_a_pair_that_comes_as_news_is_declined() -> None:
    desk = await a_desk()
    now = desk.clock.now_ns()
    await desk.engine.on([SignalSeen(Signal("x-1", IN_BTC, "p", now, OPENS, Decimal(1), {}))])
    (declined,) = desk.told(e.PlanDeclined)
    assert "this desk trades with USDT alone" in declined.why


async def test_a_plan_of_such_a_pair_from_an_older_ledger_ends_at_its_last_check() -> None:
    desk = await a_desk()
    old = replace(PLAN, symbol=IN_BTC, budget_quote=Decimal(50))
    await desk.engine.record(e.SnipePlanned(desk.clock.now_ns(), old))
    await safety.arm(desk.engine, old.snipe_id, "ada")
    await desk.run(OPENS - desk.clock.now_ns() + MILLISECOND)
    snipe = desk.desk.snipes[old.snipe_id]
    assert (snipe.state, snipe.reason) == (SnipeState.ABORTED, "quote_asset")
    assert desk.venue.requests == {}


# -- one coin, one listing -------------------------------------------------------------------------


async def test_another_quote_in_the_table_first_makes_neither_a_second_snipe_nor_a_deaf_one() -> None:
    desk = await a_desk()
    for table in ([], [state("USDC")], [state("USDT"), state("USDC")]):
        await desk.look(table, [ROW])
    assert desk.planned() == ["NEWUSDT"]
    await desk.look([state("USDT", OPENS + HOUR), state("USDC", OPENS)], [replace(ROW, open_ns=OPENS + HOUR)])
    (snipe,) = desk.desk.snipes.values()
    assert snipe.plan.not_before_ns == OPENS + HOUR, "it follows the postponement"


async def test_a_coin_that_is_seen_against_another_asset_first_is_planned_once_ours_is_told_of() -> None:
    desk = await a_desk()
    await desk.look([state("BTC")])
    seen_ns = desk.clock.now_ns()
    await desk.look([state("BTC"), state("USDT")])
    assert desk.planned() == ["NEWUSDT"]
    assert [event.symbol for event in desk.told(e.ListingSeen)] == [IN_BTC, IN_USDT]
    listing = desk.engine.parts.radar.board.listings["c1"]
    assert listing.first_seen_ns >= seen_ns, "its lead is counted from when it could be bought for our money"
    (told,) = listings_in(Record(tuple(desk.ledger.read())))
    assert (told.symbol, told.first_seen_ns) == (IN_USDT, listing.first_seen_ns)
    await desk.restart()
    assert desk.engine.parts.radar.board.listings["c1"] == listing


async def test_a_coin_that_the_table_spells_otherwise_keeps_its_one_snipe_and_its_news() -> None:
    desk = await a_desk()
    await desk.look([], [ROW])
    await desk.look([state("USDT", ticker="NEWER")], [ROW])
    assert desk.planned() == ["NEWUSDT"]
    assert desk.engine.parts.radar.board.listings["c1"].symbol == Symbol("NEWER")
    await desk.look([state("USDT", ticker="NEWER")], [replace(ROW, open_ns=OPENS + HOUR)])
    (snipe,) = desk.desk.snipes.values()
    assert snipe.plan.not_before_ns == OPENS + HOUR


async def test_what_was_spelled_wrong_before_it_was_planned_is_planned_by_its_right_name() -> None:
    desk = await a_desk()
    everything = desk.venue.market

    async def market(symbol: Symbol) -> Market | None:
        return await everything(symbol) if symbol.base == "NEWER" else None

    desk.venue.market = market  # type: ignore[method-assign]
    await desk.look([], [ROW])
    assert desk.planned() == []
    await desk.look([state("USDT", ticker="NEWER")], [ROW])
    assert desk.planned() == ["NEWERUSDT"]


def folded(*facts: CalendarEntry | SymbolState, quote: str = "USDT", at_ns: int = START) -> ListingBoard:
    board = ListingBoard(quote=quote)
    for number, fact in enumerate(facts):
        board = board.after(Sighting("s", fact.coin_id, at_ns + number, fact))
    return board


@pytest.mark.parametrize(
    ("told", "symbol"),
    [
        ([ROW, state("USDC"), state("USDT")], IN_USDT),
        ([ROW, state("USDT"), state("USDC")], IN_USDT),
        ([state("USDC"), ROW, state("USDT")], IN_USDT),
        ([state("USDC"), state("USDT"), ROW], IN_USDT),
        ([state("USDC"), state("BTC")], IN_USDC),
        ([state("USDC"), state("USDT", START - 2 * DAY)], IN_USDC),
    ],
)
def test_whatever_comes_first_the_listing_is_the_pair_of_our_money(
    told: list[CalendarEntry | SymbolState], symbol: Symbol
) -> None:
    listing = folded(*told).listings["c1"]
    assert listing.symbol == symbol
    assert listing.postponements == ()
    assert listing.state is not None
    assert listing.state.quote == symbol.quote


def test_a_desk_with_other_money_has_other_listings() -> None:
    assert folded(ROW, state("USDT"), state("USDC"), quote="USDC").listings["c1"].symbol == IN_USDC
    assert folded(ROW, state("USDT"), quote="USDC").listings["c1"].symbol == IN_USDT


async def test_of_one_table_the_row_of_our_money_is_read_first() -> None:
    venue = Web(Desks().clock)
    venue.table = [state("USDT"), state("USDC")]
    radar = Radar(venue, MemoryRecorder(), (), "USDC")
    await radar.take(await radar.ask(START), START, Desks().desk)
    assert radar.board.listings["c1"].symbol == IN_USDC
