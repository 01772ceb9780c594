"""Streams that end, lose, double and reorder; exits that have to wait: nothing is lost, nothing is twice."""

from __future__ import annotations

from functools import partial
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.snipe import SnipeState
from mexclab.trading import safety
from tests.wire.conftest import ORDERS, Wire, at_once

POST = {"path": ORDERS, "method": "POST"}
FRAMES: dict[str, dict[str, Any]] = {
    "cut in the middle of a trade": {"channel": "*private.deals*", "fault": "cut", "count": 1},
    "cut in the middle of an order": {"channel": "*private.orders*", "fault": "cut", "count": 1},
    "said goodbye": {"channel": "*private.deals*", "fault": "close", "count": 1},
    "trades that end in the middle": {"channel": "*private.deals*", "fault": "truncated_frame", "nth": 1},
    "everything twice": {"channel": "*private*", "fault": "duplicate"},
    "out of order": {"channel": "*private*", "fault": "reorder", "probability": 0.5, "jitter_ms": 300.0},
    "late": {"channel": "*private*", "fault": "delay", "delay_ms": 600.0},
    "without the second trade": {"channel": "*private.deals*", "fault": "drop", "nth": 2},
    "without any trade": {"channel": "*private.deals*", "fault": "drop"},
    "without any order": {"channel": "*private.orders*", "fault": "drop"},
    "without anything": {"channel": "*private*", "fault": "drop"},
}


async def counted_once(wire: Wire, how: str) -> None:
    await wire.start()
    wire.plan(FRAMES[how])
    await wire.is_managed()
    assert len(wire.entries) == 1
    assert wire.server.faults.counts
    if FRAMES[how]["fault"] in ("cut", "close"):
        await wire.until(lambda: [x.degraded for x in private(wire)][-2:] == [True, False])


async def test_every_trade_counts_once_though_the_private_stream_ended_or_came_in_pieces() -> None:
    await at_once({how: partial(counted_once, how=how) for how in list(FRAMES)[:4]})


async def test_every_trade_counts_once_though_private_frames_were_doubled_reordered_or_late() -> None:
    await at_once({how: partial(counted_once, how=how) for how in list(FRAMES)[4:7]})


async def test_every_trade_counts_once_though_private_frames_were_dropped() -> None:
    await at_once({how: partial(counted_once, how=how) for how in list(FRAMES)[7:]})


def private(wire: Wire) -> list[e.SourceChanged]:
    return [event for event in wire.told(e.SourceChanged) if event.source == "private stream"]


async def a_gap_in_the_book(wire: Wire) -> None:
    await wire.start()
    wire.plan({"channel": "*depth*", "symbol": str(wire.symbol), "fault": "gap", "nth": [4, 9]})
    await wire.is_managed()
    book = f"book {wire.symbol}"

    def told() -> list[bool]:
        return [event.degraded for event in wire.told(e.SourceChanged) if event.source == book]

    await wire.until(lambda: told().count(False) == 2)
    assert told() == [True, False, True, False]
    truth = wire.world.book(wire.symbol)
    assert truth is not None
    await wire.until(lambda: wire.venue.stream.books[wire.symbol].version == truth.version)
    shown = wire.venue.stream.books[wire.symbol].book(5, 0)
    assert shown is not None
    assert (shown.bids, shown.asks) == (truth.snapshot(5, 0).bids, truth.snapshot(5, 0).asks)


async def a_book_that_stopped(wire: Wire) -> None:
    """The first attempts buy nothing; prices come, then no more: what was seen last grows old."""
    patient = wire.settings.snipe.model_copy(update={"attempts": 40})  # enough of them until it is too old
    wire.settings = wire.settings.model_copy(update={"snipe": patient})
    await wire.start()
    act = {"act": "forbid_api", "symbol": str(wire.symbol), "open_s": 0, "for_s": 30}
    wire.plan({"channel": "*aggre*", "fault": "drop", "between_s": [2.5, 60]}, act=[act])
    await wire.until(lambda: wire.state is not None and wire.state.is_over)
    assert (wire.state, wire.snipe.reason) == (SnipeState.ABORTED, "stale_price")
    assert " old; at most " in wire.snipe.why
    assert not wire.placed
    await wire.agrees()


async def asked_to_slow_down(wire: Wire) -> None:
    await wire.start()
    await wire.is_managed()
    began_ns = wire.clock.now_ns()
    slower = {"fault": "status", "status": 429, "retry_after_s": 4, "count": 2}
    wire.plan({**POST, **slower}, {"path": ORDERS, "method": "DELETE", **slower})
    await safety.flatten(wire.engine, "ada", "out")
    await wire.until(lambda: wire.state is SnipeState.CLOSED)
    assert wire.snipe.closed_ns is not None
    assert wire.snipe.closed_ns - began_ns < 8 * SECOND
    assert sum("was refused" in text for text in wire.alerts()) == 2
    await wire.agrees()


async def test_a_gap_is_mended_a_stopped_book_stops_entries_and_a_slowed_exit_gets_out() -> None:
    scenarios = (a_gap_in_the_book, a_book_that_stopped, asked_to_slow_down)
    await at_once({scenario.__name__: scenario for scenario in scenarios})
