"""The streams over real sockets: books that are right or not shown, and nothing of ours that is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import Accepted, BookSeen, Cancelled, DriftSeen, Traded, TradeSeen
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.stream import DepthSnapshot, Stream, StreamDoors, StreamTerms
from mexclab.venues.orders import NewOrder
from tests.venues.mexc.stream_scene import (
    BTC,
    LIVELY,
    MX,
    OWNER,
    QUICK,
    STEPPED,
    Listening,
    Scene,
    listening,
    small_world,
)
from tests.venues.served import planned

DEPTH = "spot@public.aggre.depth*"


def limit(here: Listening, name: str, side: Side, price: str, quantity: str) -> None:
    """Place an order of ours on the venue."""
    order = NewOrder("", OWNER, side, OrderType.LIMIT, Decimal(quantity), Decimal(price), client_id=name)
    news = here.venue.world.place(OWNER, MX, order)
    assert all(type(told).__name__ != "Refused" for told in news), news


# -- books and trades ---------------------------------------------------------------------------------


async def test_books_are_the_venues_own_after_every_step() -> None:
    async with listening(Scene(server=STEPPED, symbols=(BTC, MX))) as here:
        assert await here.stream.settled()
        for _ in range(40):
            await here.step(0.25)
            assert here.equals_the_venue(BTC)
            assert here.equals_the_venue(MX)
        books = here.stream.health().books
        assert [book.resyncs for book in books] == [0, 0]
        assert all(book.applied > 10 for book in books)


async def test_what_is_told_is_the_best_of_each_book_in_the_order_of_its_versions() -> None:
    async with listening(Scene(server=STEPPED)) as here:
        assert await here.stream.settled()
        for _ in range(20):
            await here.step(0.25)
        seen = [told.book for told in here.of(BookSeen)]
        assert len(seen) > 10
        assert all(len(book.bids) <= 20 and book.symbol == BTC for book in seen)
        assert [book.version for book in seen] == sorted({book.version for book in seen})
        assert [book.at_ns for book in seen] == sorted(book.at_ns for book in seen)
        last = here.stream.books[BTC].book(20, seen[-1].at_ns)
        assert seen[-1] == last


async def test_every_public_trade_is_told_once() -> None:
    async with listening(Scene(server=STEPPED)) as here:
        assert await here.stream.settled()
        begun_ns = here.venue.world.now_ns
        for _ in range(40):
            await here.step(0.5)
        told = Counter(seen.trade for seen in here.of(TradeSeen))
        past = here.venue.world.history.trades(BTC, 10_000)
        true = Counter((t.price, t.quantity, t.side) for t in past if t.at_ns > begun_ns)
        assert true
        assert Counter((t.price, t.quantity, t.side) for t in told.elements()) == true


async def test_a_symbol_is_added_while_the_streams_run() -> None:
    async with listening(Scene(server=STEPPED)) as here:
        await here.step(0.5)
        here.stream.watch(MX)
        here.stream.watch(MX)
        assert await here.stream.settled()
        await here.step(0.5)
        assert here.equals_the_venue(MX)


async def test_what_is_watched_no_more_is_told_no_more_and_makes_room_for_another() -> None:
    names = tuple(Symbol(f"C{number}") for number in range(13))
    async with listening(Scene(symbols=(BTC, MX, *names), server=STEPPED)) as here:
        assert await here.stream.settled()
        await here.step(0.5)
        here.stream.unwatch(MX)
        here.stream.unwatch(MX)
        assert [line.channels for line in here.stream.health().lines] == [28]
        assert await here.stream.settled()
        await here.step(0.25)
        told = len(here.told)
        for _ in range(8):
            await here.step(0.25)
        later = here.told[told:]
        assert {seen.book.symbol for seen in later if isinstance(seen, BookSeen)} == {BTC}
        assert {seen.trade.symbol for seen in later if isinstance(seen, TradeSeen)} <= {BTC}
        assert MX not in here.stream.books
        here.stream.watch(MX)
        assert await here.stream.settled()
        await here.step(0.5)
        assert here.equals_the_venue(MX)
        assert [line.channels for line in here.stream.health().lines] == [30]


async def test_no_connection_has_more_than_thirty_subscriptions() -> None:
    names = tuple(Symbol(f"C{number}") for number in range(31))
    async with listening(Scene(symbols=(BTC, *names))) as here:
        assert await here.stream.settled()
        lines = here.stream.health().lines
        assert [line.channels for line in lines] == [30, 30, 4]
        assert all(line.is_open for line in lines)
        assert sum(len(line.refused) for line in lines) == 62


async def test_a_refused_channel_is_told_asked_for_again_and_told_when_it_is_given() -> None:
    """The symbol is unknown until the venue lists it; then its book begins by itself."""
    symbol = Symbol("CPRF")  # listed an hour and some after the start
    world = small_world(pairs=())
    assert world.row(str(symbol)) is None
    async with listening(Scene(world=world, server=STEPPED, symbols=(symbol,))) as here:
        assert await here.stream.settled()
        channel = f"spot@public.aggre.depth.v3.api.pb@10ms@{symbol}"
        assert [bad for bad, _ in here.news(channel)] == [True]
        assert here.stream.health().lines[0].refused
        while world.row(str(symbol)) is None:
            await here.step(600)
        await here.step(600)
        assert [bad for bad, _ in here.news(channel)] == [True, False]
        await here.stream.settled()
        assert here.equals_the_venue(symbol)
        assert here.of(BookSeen)


# -- gaps, cuts, garbage ------------------------------------------------------------------------------


async def test_a_lost_frame_is_noticed_counted_told_and_the_book_begun_anew() -> None:
    plan = planned({"fault": "gap", "channel": DEPTH, "nth": [5]})
    async with listening(Scene(plan, server=STEPPED)) as here:
        assert await here.stream.settled()
        for _ in range(20):
            await here.step(0.5)
            if here.stream.books[BTC].resyncs:
                break
        await here.stream.settled()
        assert here.stream.books[BTC].resyncs == 1
        news = here.news("book BTCUSDT")
        assert [bad for bad, _ in news] == [True, False]
        assert "are missing" in news[0][1]
        await here.step(0.5)
        assert here.equals_the_venue(BTC)


@pytest.mark.parametrize("fault", ["duplicate", "reorder", "delay", "drop", "truncated_frame"])
async def test_whatever_happens_to_frames_the_book_ends_right(fault: str) -> None:
    rule = {"fault": fault, "channel": DEPTH, "probability": 0.2, "count": 6}
    async with listening(Scene(planned(rule))) as here:
        await here.until(lambda: here.venue.server.faults.counts.total() >= 6, 30)
        await here.until(lambda: here.equals_the_venue(BTC), 30)
        book = here.stream.books[BTC]
        resyncs = [bad for bad, _ in here.news("book BTCUSDT")].count(True)
        assert resyncs == book.resyncs, "every resync is told"
        if fault in ("drop", "truncated_frame"):
            assert book.resyncs > 0
        if fault == "truncated_frame":
            assert here.of(DriftSeen)
            assert here.stream.health().malformed > 0
        assert fault != "duplicate" or book.dropped > 0


@pytest.mark.parametrize("fault", ["cut", "close"])
async def test_a_connection_that_ends_is_made_again_with_the_same_channels(fault: str) -> None:
    plan = planned({"fault": fault, "channel": DEPTH, "nth": [3]})
    async with listening(Scene(plan)) as here:
        await here.until(lambda: len(here.news("public stream 1")) == 2)
        lost, back = here.news("public stream 1")
        assert (lost[0], back[0]) == (True, False)
        assert "trades meanwhile are not told" in lost[1]
        await here.until(lambda: here.equals_the_venue(BTC))
        assert here.stream.health().lines[0].openings == 2
        assert here.stream.books[BTC].resyncs == 1
        assert [bad for bad, _ in here.news("book BTCUSDT")] == [True, False]


async def test_a_venue_that_falls_silent_is_left_and_called_again() -> None:
    line = replace(QUICK, idle_s=0.2, ping_s=60.0)
    async with listening(Scene(server=STEPPED, line=line)) as here:
        await here.until(lambda: here.stream.health().lines[0].openings >= 2)
        assert any("nothing came for 0.2 s" in what for _, what in here.news("public stream 1"))


async def test_our_pings_keep_a_quiet_connection() -> None:
    line = replace(QUICK, idle_s=0.3, ping_s=0.05)
    async with listening(Scene(server=STEPPED, line=line)) as here:
        await asyncio.sleep(1.0)
        health = here.stream.health().lines[0]
        assert (health.openings, health.is_open) == (1, True)


async def test_a_stream_on_which_nothing_happens_lives_while_its_pings_are_answered() -> None:
    line = replace(QUICK, ping_s=0.05, idle_s=30.0)
    async with listening(Scene(server=STEPPED, line=line)) as here:
        await here.until(lambda: here.stream.silent_ns(BTC) is not None)
        await asyncio.sleep(1.5)  # a stepped venue stands still: no book, no trade
        assert (here.stream.silent_ns(BTC) or SECOND) < SECOND
        assert here.stream.silent_ns(Symbol("NOBODY")) is None
        here.stream.books[BTC].lose("a frame is missing")
        assert here.stream.silent_ns(BTC) is None


async def test_a_connection_is_replaced_before_its_day_is_over_and_nothing_is_missed() -> None:
    """The venue cuts after 2 s here; we change over before, with both listening for a while."""
    server = replace(LIVELY, connection_life_s=2.0)
    line = replace(QUICK, life_s=0.8)
    async with listening(Scene(server=server, line=line, with_account=True)) as here:
        await here.until(lambda: here.stream.health().lines[0].openings >= 4, 20)
        book = here.stream.books[BTC]
        assert here.news("public stream 1") == []
        assert (book.resyncs, here.snapshots) == (0, 1)
        assert book.dropped > 0, "two connections told the same for a while"
        told = Counter(seen.trade for seen in here.of(TradeSeen))
        past = here.venue.world.history.trades(BTC, 10_000)
        true = Counter((t.price, t.quantity, t.side) for t in past)
        ours = Counter((t.price, t.quantity, t.side) for t in told.elements())
        assert ours
        assert all(true[trade] >= count for trade, count in ours.items()), "no trade is told twice"


async def test_a_snapshot_that_cannot_be_had_is_told_and_asked_for_again() -> None:
    plan = planned({"fault": "status", "status": 503, "path": "/api/v3/depth", "count": 5})
    async with listening(Scene(plan)) as here:
        await here.until(lambda: here.news("book BTCUSDT"))
        await here.until(lambda: here.equals_the_venue(BTC))
        assert [bad for bad, _ in here.news("book BTCUSDT")] == [True, False]
        assert here.snapshots == 6


async def test_a_venue_that_is_not_there_is_told_once_and_tried_until_it_is() -> None:
    async with listening(Scene()) as here:
        await here.until(lambda: here.equals_the_venue(BTC))
        server = here.venue.server
        port = int(server.url.rpartition(":")[2])
        await server.stop()
        await here.until(lambda: here.news("public stream 1"))
        await asyncio.sleep(0.3)
        assert [bad for bad, _ in here.news("public stream 1")] == [True]
        assert here.stream.books[BTC].book(5, 0) is None, "a book that may be old is not shown"
        await server.start(port=port)
        await here.until(lambda: len(here.news("public stream 1")) == 2)
        await here.until(lambda: here.equals_the_venue(BTC))


# -- the account --------------------------------------------------------------------------------------


async def test_orders_and_trades_of_ours_are_told_as_they_happen() -> None:
    async with listening(Scene(server=STEPPED, with_account=True, symbols=())) as here:
        assert await here.stream.settled()
        ask = here.venue.world.book(MX).snapshot(5, 0).asks[0]
        limit(here, "buys", Side.BUY, str(ask.price), str(min(ask.quantity, Decimal(5))))
        limit(here, "rests", Side.BUY, str(ask.price / 2), "10")
        await here.step(0.1)
        resting = next(o for o in here.venue.world.matcher.open_orders(OWNER) if o.client_id == "rests")
        here.venue.world.cancel(OWNER, resting.venue_id)
        await here.step(0.1)
        assert [a.client_id for a in here.of(Accepted)] == ["buys", "rests"]
        fills = here.venue.world.matcher.fills(OWNER, 0)
        assert [told.fill for told in here.of(Traded)] == [
            replace(fill, at_ns=told.fill.at_ns) for fill, told in zip(fills, here.of(Traded), strict=True)
        ]
        (cancelled,) = here.of(Cancelled)
        assert (cancelled.client_id, cancelled.executed) == ("rests", 0)
        balances = here.venue.world.matcher.balances(OWNER)
        assert here.stream.balances["USDT"] == balances["USDT"]


async def test_the_account_is_asked_for_what_it_missed_whenever_the_stream_was_away() -> None:
    plan = planned({"fault": "cut", "channel": "spot@private*", "nth": [1]})
    async with listening(Scene(plan, with_account=True, symbols=())) as here:
        await here.until(lambda: len(here.news("private stream")) == 1)
        assert len(here.caught_up) == 1
        before_ns = here.venue.server.now_ns()
        limit(here, "rests", Side.BUY, "0.5", "10")
        await here.until(lambda: len(here.news("private stream")) == 3)
        assert [bad for bad, _ in here.news("private stream")] == [False, True, False]
        assert len(here.caught_up) == 2
        assert here.caught_up[1] < before_ns
        limit(here, "again", Side.BUY, "0.5", "10")
        await here.until(lambda: [a.client_id for a in here.of(Accepted)] == ["again"])


async def test_a_catch_up_that_fails_is_told_and_tried_until_it_succeeds() -> None:
    async with listening(Scene(with_account=True, symbols=())) as here:
        here.may_catch_up = False
        await here.until(lambda: len(here.caught_up) > 3)
        assert any(bad and "could not be asked for" in what for bad, what in here.news("private stream"))
        here.may_catch_up = True
        await here.until(lambda: here.news("private stream")[-1][0] is False)


async def test_a_frame_of_ours_that_cannot_be_read_is_asked_for_by_rest() -> None:
    plan = planned({"fault": "truncated_frame", "channel": "spot@private.orders*", "nth": [1]})
    async with listening(Scene(plan, with_account=True, symbols=())) as here:
        await here.until(lambda: here.news("private stream"))
        limit(here, "rests", Side.BUY, "0.5", "10")
        await here.until(lambda: len(here.caught_up) == 2)
        assert here.of(DriftSeen)


async def test_trades_that_an_order_counts_and_that_never_came_are_asked_for() -> None:
    plan = planned({"fault": "drop", "channel": "spot@private.deals*", "nth": [1]})
    async with listening(Scene(plan, with_account=True, symbols=())) as here:
        await here.until(lambda: here.news("private stream"))
        ask = here.venue.world.book(MX).snapshot(5, 0).asks[0]
        limit(here, "buys", Side.BUY, str(ask.price), str(min(ask.quantity, Decimal(5))))
        await here.until(lambda: here.of(Accepted))
        assert len(here.caught_up) == 1, "trades may come a little later than the order that counts them"
        await here.until(lambda: len(here.caught_up) == 2)
        await here.until(lambda: [bad for bad, _ in here.news("private stream")] == [False, True, False])
        assert "trades of order buys did not come" in here.news("private stream")[1][1]


async def test_the_listen_key_is_renewed_and_kept() -> None:
    async with listening(Scene(with_account=True, symbols=(), renew_s=0.05)) as here:
        await here.until(lambda: len(here.renewed) >= 3)
        assert len(here.keys) == 1
        assert set(here.renewed) == set(here.keys)


async def test_a_listen_key_that_the_venue_does_not_know_is_replaced() -> None:
    async with listening(Scene(with_account=True, symbols=())) as here:
        await here.until(lambda: here.news("private stream"))
        here.venue.server.hub.listen_keys.delete(OWNER, here.keys[0])
        await here.until(lambda: len(here.keys) == 2)
        await here.until(lambda: here.news("private stream")[-1][0] is False)
        limit(here, "rests", Side.BUY, "0.5", "10")
        await here.until(lambda: here.of(Accepted))


# -- marks --------------------------------------------------------------------------------------------


async def test_a_mark_is_waited_for_on_every_connection() -> None:
    async with listening(Scene(server=STEPPED, with_account=True)) as here:
        assert await here.stream.settled()
        marks: list[int] = []
        here.stream.marks.on_mark = marks.append
        await here.step(0.1)
        await here.step(0.1)
        assert len(marks) == 2
        assert marks[1] == marks[0] + 1


async def test_a_connection_that_was_opened_after_a_mark_is_not_waited_for_in_vain() -> None:
    async with listening(Scene(server=STEPPED)) as here:
        reply = await here.venue.control("advance", to_ns=here.venue.world.now_ns)
        assert await here.stream.settled()
        async with asyncio.timeout(2):
            await here.stream.wait_mark(reply.json()["mark"])


async def test_a_mark_that_never_comes_is_an_error_at_the_deadline() -> None:
    async def silent(server: ServerConnection) -> None:
        await server.wait_closed()

    async with serve(silent, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
        terms = StreamTerms(url, line=replace(QUICK, deadline_s=0.2))
        stream = Stream(terms, StreamDoors(lambda told: None, no_snapshot, None, None, None, time.time_ns))
        stream.watch(BTC)
        running = asyncio.create_task(stream.run())
        async with asyncio.timeout(5):
            while not stream.health().lines[0].is_open:  # noqa: ASYNC110  its loop is what runs here
                await asyncio.sleep(0.01)
        with pytest.raises(VenueUnavailable, match="has not shown mark 99"):
            await stream.wait_mark(99)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def no_snapshot(symbol: Symbol) -> DepthSnapshot:
    raise VenueUnavailable("there is none")
