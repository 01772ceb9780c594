"""The facts that a review goes by, as the engine gathers them: prices of what is held, and what has none."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, MINUTE, SECOND
from mexclab.domain.market import Book, Level, Market, Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.reports import BookSeen
from mexclab.domain.snipe import SnipeState
from mexclab.trading import shots
from mexclab.trading.engine import Engine
from mexclab.trading.risk import usage
from tests.trading.conftest import START, Station
from tests.trading.risk_scene import ABC, XYZ, entry, plan

Make = Callable[..., Station]
NEW = Market(Symbol("NEW"), Decimal("0.01"), Decimal("0.01"))


def bought(engine: Engine, symbol: Symbol, snipe_id: str) -> None:
    """A snipe of this desk that holds 30 units at 1."""
    wanted = plan(snipe_id, symbol)
    order, desk = entry(wanted, "30", "1"), engine.desk
    fill = Fill(
        snipe_id, order.client_id, symbol, Side.BUY, Decimal(1), Decimal(30), Decimal(0), "USDT", START
    )
    desk.fold(e.SnipePlanned(START, wanted))
    for to in (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING):
        desk.fold(e.SnipeMoved(START, snipe_id, to))
    desk.fold(e.OrderDecided(START, order))
    desk.fold(e.OrderSent(START, order.client_id))
    desk.fold(e.OrderFilled(START, fill))
    desk.fold(e.SnipeMoved(START, snipe_id, SnipeState.ENTERED))


def book(symbol: Symbol, bid: str, at_ns: int) -> Book:
    bids = (Level(Decimal(bid), Decimal(9)),) if bid else ()
    return Book(symbol, bids, (Level(Decimal(2), Decimal(9)),), at_ns)


async def test_only_what_is_held_is_priced_and_every_symbol_with_money_is_in_the_scenarios(
    station: Make,
) -> None:
    engine = station().engine
    bought(engine, XYZ, "xyz-1")
    for symbol in (XYZ, ABC):
        engine.books[symbol] = book(symbol, "1.1", START)
    facts = shots.facts_of(engine, NEW, START)
    assert dict(facts.prices) == {XYZ: Decimal("1.1")}
    assert facts.tails is not None
    assert facts.tails.symbols == (XYZ, NEW.symbol)
    assert facts.taker_fee == NEW.taker_fee
    assert {reading.symbol for reading in facts.monitors} == {NEW.symbol, None}
    alone = shots.facts_of(engine, None, START)
    assert alone.tails is not None
    assert alone.tails.symbols == (XYZ,)
    assert alone.book is None


async def test_a_held_symbol_without_a_bid_is_unknown_until_it_has_had_no_price_for_a_day(
    station: Make,
) -> None:
    engine = station().engine
    bought(engine, XYZ, "xyz-1")
    assert shots.facts_of(engine, NEW, START).written_off == frozenset()
    assert shots.facts_of(engine, NEW, START + DAY).written_off == frozenset()
    assert shots.facts_of(engine, NEW, START + DAY + 1).written_off == {XYZ}
    await engine.on([BookSeen(book(XYZ, "1", START + MINUTE))])
    await engine.on([BookSeen(book(XYZ, "", START + MINUTE + SECOND))])
    facts = shots.facts_of(engine, NEW, START + DAY + 1)
    assert facts.written_off == frozenset()
    found = {use.name: use for use in usage(engine.desk, engine.rules.limits, facts)}
    assert found["price_unknown"].broken
    assert shots.facts_of(engine, NEW, START + DAY + MINUTE + 1).written_off == {XYZ}


async def test_a_remainder_that_its_snipe_has_closed_on_bars_nothing(station: Make) -> None:
    engine = station().engine
    bought(engine, XYZ, "xyz-1")
    engine.desk.fold(e.SnipeMoved(START, "xyz-1", SnipeState.CLOSED, "dust", "too little to sell"))
    assert shots.facts_of(engine, NEW, START).written_off == {XYZ}
