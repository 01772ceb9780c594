"""Orders of others in pairs whose names nobody can take apart, and a venue that wants a pair to be named."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from mexclab import bootstrap, cancelling
from mexclab.config import LimitSettings, Settings, SnipeSettings
from mexclab.domain import events as e
from mexclab.domain.listing import Partial
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.domain.reports import FeedNews
from mexclab.errors import LedgerUnavailable, VenueUnavailable
from mexclab.runtime.bus import Bus
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading import recovery
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.venues.mexc.account import AccountTerms, MexcAccount
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Decoder, OwnOrder
from mexclab.venues.mexc.names import Names
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.fault_plan import FaultPlan, plan_of
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from mexclab.venues.simulator.world import World, WorldTerms
from tests.venues.mexc.gate_scene import Told, rest_to
from tests.venues.mexc.gate_scene import order as entry
from tests.venues.mexc.raw_server import RawServer, Talk, message, raw_server, refuses, says
from tests.venues.mexc.test_account import PATIENT
from tests.venues.mexc.test_account_questions import LIMITS, order_row
from tests.venues.mexc.test_frames import own_order

WLFI, MX = Symbol("WLFI", "USD1"), Symbol("MX")
OURS = "MX-0a1b2c3d-b-1"
NO_INFO = {"path": "/api/v3/exchangeInfo", "fault": "html"}


@asynccontextmanager
async def venue_with_a_foreign_order(plan: FaultPlan | None = None) -> AsyncIterator[bootstrap.Road]:
    """The real adapter on a simulated venue: somebody has an order by hand in WLFIUSD1, and we one in MX."""
    terms = WorldTerms(time.time_ns(), seed=7, pairs=("MXUSDT", "WLFIUSD1"), past_days=0)
    world, owner = World(terms), PAPER_ACCOUNT.owner
    server = SimulatorServer(world, PATIENT, Faults(plan))
    world.deposit(owner, "USD1", Decimal(100))
    for symbol, price, client_id in ((WLFI, "0.15", ""), (MX, "1.9", OURS)):
        rests = NewOrder("", owner, Side.BUY, OrderType.LIMIT, Decimal(20), Decimal(price), None, client_id)
        assert world.place(owner, symbol, rests).refusal is None
    await server.start()
    way = bootstrap.road(paper_at(server.url), "test", lambda: pytest.fail("no key is needed"))
    try:
        await way.venue.clock_reading()
        yield way
    finally:
        await way.venue.stop()
        await server.stop()
        world.close()


def paper_at(url: str) -> Settings:
    settings = Settings()
    return settings.model_copy(update={"venue": settings.venue.model_copy(update={"rest_url": url})})


def desk_on(way: bootstrap.Road) -> Engine:
    venue = way.venue
    strategy = load_strategy("opening_snipe", SnipeSettings())
    radar = Radar(venue, MemoryRecorder(), [])
    parts = Parts(way.clock, MemoryLedger(), venue, venue, venue, radar, strategy, Bus())
    return Engine(parts, Rules(LimitSettings()))


async def test_an_order_by_hand_in_a_pair_of_an_unusual_asset_is_shown_and_stops_no_desk() -> None:
    async with venue_with_a_foreign_order() as way:
        found = await way.venue.open_orders()
        assert {(order.symbol, order.client_id) for order in found} == {(WLFI, ""), (MX, OURS)}
        engine = desk_on(way)
        report = await recovery.start(engine, recovery.Identity("paper", "the simulator", "test"))
        assert report.external == 2
        seen = [event for _, event in engine.parts.ledger.read() if isinstance(event, e.ExternalOrderSeen)]
        assert {event.symbol for event in seen} == {WLFI, MX}
        assert (await recovery.reconcile(engine)).external == 2


async def test_where_exchange_info_is_silent_too_it_is_spelled_as_the_venue_spells_it() -> None:
    async with venue_with_a_foreign_order(plan_of({"rule": [NO_INFO]})) as way:
        found = await way.venue.open_orders()
        assert sorted(str(order.symbol) for order in found) == ["MXUSDT", "WLFIUSD1"]


async def test_entries_are_taken_back_from_outside_beside_a_strange_order() -> None:
    async with venue_with_a_foreign_order() as way:
        settings = paper_at(f"http://{way.venue.rest.origin.authority}")
        done = await cancelling._cancelled(settings, lambda: pytest.fail("no key is needed"))
        assert (done.gone, done.left, done.strangers, done.why) == ((OURS,), (), 1, "")


async def test_a_strange_order_on_the_private_stream_is_read() -> None:
    rest = rest_to("http://localhost:1")
    decoder = Decoder(Drift(lambda seen: pytest.fail(str(seen))), Names(rest).of)
    frame = own_order().replace(b"MXUSDT", b"LFUSD1")
    heard = decoder.decode(frame, 1)
    assert isinstance(heard, OwnOrder)
    assert str(heard.symbol) == "LFUSD1"
    await rest.close()


@pytest.mark.parametrize("name", ["WLFIUSD1", "AB", "A", "索拉拉X", "GOLD(PAXG)USDQ"])
async def test_a_name_is_never_lost(name: str) -> None:
    rest = rest_to("http://localhost:1")
    assert str(Names(rest).of(name)).removesuffix("?") == name
    await rest.close()


# -- a venue that shows open orders of one pair at a time ---------------------------------------------


class OneByOne:
    """Refuses the question about all pairs, and knows what rests in each."""

    def __init__(
        self, rows: dict[str, list[dict[str, object]]], refusal: tuple[int, str] | None = None
    ) -> None:
        self.rows = rows
        self.refusal = refusal  # of every question

    async def act(self, talk: Talk) -> None:
        path, params = talk.seen.path, talk.seen.params
        symbol = params.get("symbol")
        if path == "/api/v3/time":
            await says(200, {"serverTime": time.time_ns() // 10**6})(talk)
        elif talk.seen.method == "DELETE":
            (gone,) = self.rows.pop(symbol or "")
            await says(200, {**gone, "status": "CANCELED"})(talk)
        elif self.refusal is not None:
            await refuses(*self.refusal)(talk)
        elif symbol is None:
            await refuses(44444, "Mandatory parameter 'symbol' was not sent")(talk)
        elif symbol == "GONEUSDT":
            await refuses(-1121, "Invalid symbol.")(talk)
        else:
            await talk.say(message(200, json.dumps(self.rows.get(symbol, [])).encode()))


@asynccontextmanager
async def account_at(act: Callable[[Talk], Any]) -> AsyncIterator[tuple[MexcAccount, RawServer, Told]]:
    async with raw_server(act) as server:
        rest, told = rest_to(server.url, LIMITS), Told()
        account = MexcAccount(rest, told.hear, AccountTerms())
        try:
            yield account, server, told
        finally:
            await account.close()
            await rest.close()


def known(*names: str) -> list[Order]:
    return [entry(number, symbol=Symbol.parse(name)) for number, name in enumerate(names)]


async def test_a_venue_that_wants_a_pair_is_asked_for_each_that_the_ledger_knows_and_it_is_told() -> None:
    venue = OneByOne({"MXUSDT": [order_row(symbol="MXUSDT", orderId="1")], "ETHUSDT": [order_row()]})
    async with account_at(venue.act) as (account, server, told):
        account.recall(known("MXUSDT", "GONEUSDT"))
        for _ in range(2):
            found = await account.open_orders()
            assert isinstance(found, Partial)
            assert [str(order.symbol) for order in found] == ["MXUSDT"]
        asked = [seen.params.get("symbol") for seen in server.seen]
        assert asked == [None, "MXUSDT", "GONEUSDT", "MXUSDT", "GONEUSDT"], "it is not asked for all again"
        (news,) = told.of(FeedNews)
        assert news.degraded
        assert "44444" in news.what


async def test_an_answer_is_no_answer_where_nothing_was_asked() -> None:
    async with account_at(OneByOne({}).act) as (account, server, _):
        assert await account.open_orders() == []
        assert [seen.params.get("symbol") for seen in server.seen] == [None, "BTCUSDT"]


@pytest.mark.parametrize("names", [(), ("MXUSDT",), ("GONEUSDT",)])
async def test_a_refusal_that_is_not_about_the_pair_is_no_empty_account(names: tuple[str, ...]) -> None:
    venue = OneByOne({}, (700002, "Signature for this request is not valid."))
    async with account_at(venue.act) as (account, _, told):
        account.recall(known(*names))
        with pytest.raises(VenueUnavailable):
            await account.open_orders()
        assert told.of(FeedNews) == []


async def test_the_watch_takes_entries_back_in_the_pairs_of_the_ledger() -> None:
    row = order_row(symbol="MXUSDT", clientOrderId=OURS, status="NEW")
    async with raw_server(OneByOne({"MXUSDT": [row]}).act) as server:
        way = bootstrap.road(paper_at(server.url), "test", lambda: pytest.fail("no key is needed"))
        try:
            done = await cancelling._at(way, lambda: known("MXUSDT"))
        finally:
            await way.venue.stop()
        assert (done.gone, done.left, done.why) == ((OURS,), (), "")


async def test_a_watch_that_cannot_read_the_ledger_does_not_say_that_it_is_done() -> None:
    def unreadable() -> list[Order]:
        raise LedgerUnavailable("the database is away")

    async with raw_server(OneByOne({}).act) as server:
        way = bootstrap.road(paper_at(server.url), "test", lambda: pytest.fail("no key is needed"))
        try:
            done = await cancelling._at(way, unreadable)
        finally:
            await way.venue.stop()
        assert not done.is_done
        assert "the database is away" in done.why
