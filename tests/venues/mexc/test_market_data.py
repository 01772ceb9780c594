"""What the venue publishes, asked over its wire; what it does not say is unknown and never nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.ports import Venue
from mexclab.venues.mexc.market_data import MarketData, MarketTerms
from mexclab.venues.simulator.fault_plan import ClockFault, FaultPlan, Rule
from tests.venues.mexc.venue_parts import Asking, Setup, asking

MX, BTC, NOWHERE = Symbol("MX"), Symbol("BTC"), Symbol("NOWHERE")
FRESH_NS = 10 * MINUTE


def as_port(data: MarketData) -> Venue:
    return data


def coming(found: Asking) -> tuple[Symbol, int]:
    """The listing that opens next, and when."""
    now = found.venue.world.now_ns
    rows = [row for row in found.venue.world.rows() if row.first_open_ns > now]
    row = min(rows, key=lambda row: row.first_open_ns)
    return row.symbol, row.first_open_ns


def shown(found: Asking) -> tuple[Symbol, int]:
    """A coming listing that exchangeInfo has, and that will take orders by API; and when it opens."""
    world = found.venue.world
    for _ in range(600):
        for row in world.rows():
            if row.first_open_ns > world.now_ns and row.is_api_listed:
                return row.symbol, row.first_open_ns
        world.advance(world.now_ns + FRESH_NS)
    raise AssertionError("this world lists nothing")


async def test_rules_and_price_are_those_of_the_venue() -> None:
    async with asking() as found:
        row = found.venue.world.row("MXUSDT")
        assert row is not None
        market = await as_port(found.data).market(MX)
        assert market is not None
        assert (market.tick, market.lot) == (row.market.tick, row.market.lot)
        assert (market.min_notional, market.taker_fee) == (row.market.min_notional, row.market.taker_fee)
        price = await found.data.reference_price(MX)
        assert price == found.venue.world.history.trades(MX, 1)[0].price
        assert await found.data.is_api_tradable(MX) is True
        assert not found.drifts


async def test_closes_are_those_of_the_venues_whole_minutes_page_after_page() -> None:
    async with asking() as found:
        world = found.venue.world
        since_ns = world.now_ns - 1441 * MINUTE
        told = await as_port(found.data).closes(MX, since_ns)
        kept = world.history.candles(MX, "1m", since_ns, None, 5000)
        whole = [(bar.open_ns + MINUTE, bar.close) for bar in kept if bar.open_ns + MINUTE <= world.now_ns]
        assert len(told) > 1000, "more than two pages of them"
        assert list(told) == [row for row in whole if row[0] > since_ns]
        assert await found.data.closes(NOWHERE, since_ns) == ()


async def test_bars_that_cannot_be_read_are_no_history() -> None:
    plan = FaultPlan(rules=(Rule(fault="truncated_json", path="/api/v3/klines"),))
    async with asking(Setup(plan=plan)) as found:
        with pytest.raises(VenueUnavailable):
            await found.data.closes(MX, found.venue.world.now_ns - 60 * MINUTE)


async def test_a_pair_that_the_venue_does_not_know_has_no_rules_no_price_and_no_verdict() -> None:
    async with asking() as found:
        assert await found.data.market(NOWHERE) is None
        assert await found.data.reference_price(NOWHERE) is None
        assert await found.data.is_api_tradable(NOWHERE) is None


@pytest.mark.parametrize("fault", ["drop", "html", "truncated_json", "wrong_types"])
async def test_a_venue_that_does_not_answer_leaves_everything_unknown(fault: str) -> None:
    plan = FaultPlan(rules=(Rule(fault=fault, path="/api/v3/*"),))
    async with asking(Setup(plan=plan)) as found:
        for question in (
            found.data.market(MX),
            found.data.reference_price(MX),
            found.data.is_api_tradable(MX),
        ):
            with pytest.raises(VenueUnavailable):
                await question
        if fault == "wrong_types":  # a number in quotes can be read, and is told as drift
            assert (await found.data.clock_reading()).offset_ns == MILLISECOND // 2
            assert any(drift.field == "serverTime" for drift in found.drifts)
            return
        with pytest.raises(VenueUnavailable):
            await found.data.clock_reading()


async def test_a_closed_pair_takes_no_orders_by_api() -> None:
    async with asking() as found:
        found.venue.world.pause(MX)
        assert await found.data.is_api_tradable(MX) is False
        found.venue.world.reopen(MX)
        assert await found.data.is_api_tradable(MX) is True
        found.venue.world.limit_sides(MX, Side.SELL)
        assert await found.data.is_api_tradable(MX) is True
        found.venue.world.forbid_api(BTC, None)
        assert await found.data.is_api_tradable(BTC) is False


@pytest.mark.parametrize("key", [Setup().key, None], ids=["with a key", "without"])
async def test_before_its_opening_the_lists_of_api_symbols_tell(key: tuple[str, str] | None) -> None:
    async with asking(Setup(key=key)) as found:
        symbol, opens_ns = shown(found)
        row = found.venue.world.row(str(symbol))
        assert row is not None
        assert not row.api_tradable
        assert await found.data.is_api_tradable(symbol) is True
        found.venue.world.forbid_api(symbol, None)
        assert await found.data.is_api_tradable(symbol) is None
        found.venue.world.advance(opens_ns + SECOND)
        assert await found.data.is_api_tradable(symbol) is False


async def test_where_the_lists_are_known_to_be_early_their_silence_is_a_no() -> None:
    terms = MarketTerms(fresh_for_s=0.0, api_list_lead_s=3600.0)
    async with asking(Setup(market=terms)) as found:
        symbol, opens_ns = shown(found)
        found.venue.world.advance(max(found.venue.world.now_ns, opens_ns - 3000 * SECOND))
        found.venue.world.forbid_api(symbol, None)
        assert await found.data.is_api_tradable(symbol) is False


async def test_an_answer_is_asked_for_once_while_it_is_fresh() -> None:
    async with asking(Setup(market=MarketTerms(fresh_for_s=60.0))) as found:
        await found.data.market(MX)
        before = found.venue.server.requests
        await found.data.market(MX)
        await found.data.is_api_tradable(MX)
        assert found.venue.server.requests == before


async def test_the_clock_reading_holds_the_true_offset() -> None:
    plan = FaultPlan(clock=ClockFault(shift_ms=250.0))
    async with asking(Setup(plan=plan)) as found:
        reading = await found.data.clock_reading()
        assert abs(reading.offset_ns - 250 * MILLISECOND) <= reading.error_ns
        assert reading.error_ns < 100 * MILLISECOND


@pytest.mark.parametrize("wrong", [{"fresh_for_s": -1.0}, {"api_list_lead_s": -1.0}])
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        MarketTerms(**wrong)


async def test_the_middle_of_the_book_stands_in_where_nothing_has_traded() -> None:
    async with asking() as found:
        symbol, _ = coming(found)
        price = await found.data.reference_price(symbol)
        assert price is None or price > Decimal(0)
