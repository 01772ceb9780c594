"""Every kind of fault that meets a frame, the clock or a listing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
import websockets
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.clock import MILLISECOND, MINUTE, SECOND
from mexclab.venues import proto
from mexclab.venues.simulator.fault_plan import (
    FaultPlan,
)
from mexclab.venues.simulator.faults import GOODBYE, Close, Faults, shortened
from mexclab.venues.simulator.session import framed
from tests.venues.served import START_NS, Served, listings_only, served
from tests.venues.served import planned as plan

# -- what happens to a frame ---------------------------------------------------------------------

CHANNEL = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
BODY = proto.PushData(channel=CHANNEL, symbol="BTCUSDT")
for _level in range(3):
    BODY.publicAggreDepths.asks.add(price=f"10{_level}", quantity="1")
FRAME = framed(BODY.SerializeToString())


def of_frames(fault: str, **settings: Any) -> Faults:
    return Faults(plan({"fault": fault, "channel": "*", **settings}))


def test_a_frame_that_no_rule_is_for_goes_through_as_it_is() -> None:
    assert Faults().on_frame(CHANNEL, FRAME) == ((0.0, FRAME),)
    assert of_frames("drop", symbol="ETHUSDT").on_frame(CHANNEL, FRAME) == ((0.0, FRAME),)
    assert of_frames("drop", symbol="BTC*").on_frame(CHANNEL, FRAME) == ()


def test_frames_are_dropped_doubled_and_ended() -> None:
    assert of_frames("drop").on_frame(CHANNEL, FRAME) == ()
    assert of_frames("duplicate").on_frame(CHANNEL, FRAME) == ((0.0, FRAME), (0.0, FRAME))
    assert of_frames("close").on_frame(CHANNEL, FRAME) == Close(GOODBYE)


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_a_cut_leaves_a_part_of_the_frame_and_never_all(keep: float) -> None:
    fate = of_frames("cut", keep=keep).on_frame(CHANNEL, FRAME)
    assert isinstance(fate, Close)
    assert FRAME.startswith(fate.last)
    assert 0 < len(fate.last) < len(FRAME)


def test_a_gap_is_for_depth_frames_only() -> None:
    faults = Faults(plan({"fault": "gap", "nth": 1}))
    assert faults.on_frame("spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT", FRAME) == ((0.0, FRAME),)
    assert faults.on_frame(CHANNEL, FRAME) == ()
    assert faults.on_frame(CHANNEL, FRAME) == ((0.0, FRAME),)


@given(st.binary(min_size=2, max_size=70_000), st.floats(0, 1))
def test_a_shortened_frame_is_a_whole_frame_of_the_first_bytes(payload: bytes, keep: float) -> None:
    frame = shortened(framed(payload), keep)
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + size
    assert 0 < size < len(payload)
    assert payload.startswith(frame[start:])


class Now:
    """Real time as a test moves it."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def test_a_delayed_frame_holds_back_the_later_ones_of_its_channel_in_their_order() -> None:
    now = Now()
    faults = Faults(plan({"fault": "delay", "channel": "*", "delay_ms": 100, "nth": 1}), now)
    due = [faults.on_frame(CHANNEL, FRAME) for _ in range(3)]
    times = [when for fate in due if not isinstance(fate, Close) for when, _ in fate]
    assert times == sorted(set(times))
    assert times[0] == pytest.approx(0.1)
    assert faults.on_frame("another", FRAME) == ((0.0, FRAME),)
    now.ns = 101 * MILLISECOND
    assert faults.on_frame(CHANNEL, FRAME) == ((0.0, FRAME),)


def test_a_reordered_frame_is_overtaken() -> None:
    faults = of_frames("reorder", delay_ms=100, nth=1)
    first, second = faults.on_frame(CHANNEL, FRAME), faults.on_frame(CHANNEL, FRAME)
    assert first == ((0.1, FRAME),)
    assert second == ((0.0, FRAME),)


# -- frames on a real stream ---------------------------------------------------------------------


async def stream(venue: Served, steps: int) -> list[bytes | str]:
    """Everything that a subscriber of the depth gets in so many steps of half a second, and how it ended."""
    got: list[bytes | str] = []
    async with websockets.connect(venue.server.ws_url) as socket:
        await socket.send(json.dumps({"method": "SUBSCRIPTION", "params": [CHANNEL]}))
        await socket.recv()
        for step in range(1, steps + 1):
            await venue.control("advance", to_ns=START_NS + step * SECOND // 2)
        try:
            async with asyncio.timeout(5):
                while f"MARK {steps}" not in str(got[-1:]):
                    got.append(await socket.recv())
        except websockets.ConnectionClosed as end:
            got.append("closed " + str(end.rcvd.code if end.rcvd else None))
    return got


def versions(got: Sequence[bytes | str]) -> list[tuple[int, int]]:
    told = []
    for frame in got:
        if isinstance(frame, bytes):
            message = proto.PushData()
            message.ParseFromString(frame)
            depths = message.publicAggreDepths
            told.append((int(depths.fromVersion), int(depths.toVersion)))
    return told


async def test_a_stream_without_faults_has_no_hole() -> None:
    async with served() as venue:
        told = versions(await stream(venue, 10))
    assert len(told) >= 5
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(told))


async def test_a_gap_leaves_a_hole_in_the_versions() -> None:
    async with served(plan({"fault": "gap", "nth": 3})) as venue:
        told = versions(await stream(venue, 10))
    holes = [after[0] != before[1] + 1 for before, after in itertools.pairwise(told)]
    assert sum(holes) == 1


async def test_a_doubled_frame_comes_twice() -> None:
    async with served(plan({"fault": "duplicate", "channel": "*depth*", "nth": 2})) as venue:
        told = versions(await stream(venue, 6))
    assert told[1] == told[2]
    assert len(set(told)) == len(told) - 1


async def test_a_delayed_frame_comes_late_and_the_later_ones_after_it() -> None:
    slow = {"fault": "delay", "channel": "*depth*", "nth": 2, "delay_ms": 1200}
    async with served(plan(slow)) as venue:
        told = versions(await stream(venue, 8))
        assert told == sorted(told)
        assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(told))
        assert venue.server.faults.counts == {"delay": 1}


async def test_a_reordered_frame_comes_after_its_followers() -> None:
    slow = {"fault": "reorder", "channel": "*depth*", "nth": 2, "delay_ms": 700}
    async with served(plan(slow)) as venue:
        told = versions(await stream(venue, 8))
    assert [told[0], told[2], told[1], *told[3:]] == sorted(told)


async def test_a_stream_that_is_cut_ends_in_the_middle_of_a_frame_without_goodbye() -> None:
    async with served(plan({"fault": "cut", "channel": "*depth*", "nth": 2})) as venue:
        got = await stream(venue, 6)
    assert len(versions(got)) == 1
    assert got[-1] == "closed None"


async def test_a_stream_that_is_closed_is_told_goodbye() -> None:
    async with served(plan({"fault": "close", "channel": "*depth*", "nth": 2})) as venue:
        got = await stream(venue, 6)
    assert got[-1] == "closed 1001"


async def test_a_truncated_frame_is_whole_on_the_wire_and_cannot_be_decoded() -> None:
    async with served(plan({"fault": "truncated_frame", "channel": "*depth*", "nth": 1})) as venue:
        first = (await stream(venue, 1))[0]
    assert isinstance(first, bytes)
    with pytest.raises(DecodeError):
        proto.PushData().ParseFromString(first)


# -- clock and acts ------------------------------------------------------------------------------


def test_the_clock_is_shifted_and_drifts() -> None:
    now = Now()
    faults = Faults(plan(clock={"shift_ms": -5000, "drift_ppm": 100}), now)
    assert faults.clock_ns() == -5 * SECOND
    now.ns = 10 * SECOND
    assert faults.clock_ns() == -5 * SECOND + MILLISECOND


async def test_a_drift_goes_by_the_venues_own_time() -> None:
    async with served(plan(clock={"drift_ppm": 200})) as venue:
        assert venue.server.faults.clock_ns() == 0
        venue.world.advance(START_NS + 10 * SECOND)
        assert venue.server.faults.clock_ns() == 2 * MILLISECOND


@pytest.mark.parametrize("shift_ms", [5000, -5000])
async def test_a_wrong_clock_is_what_the_venue_tells(shift_ms: int) -> None:
    async with served(plan(clock={"shift_ms": shift_ms})) as venue:
        assert (await venue.ask("/api/v3/time"))["serverTime"] == START_NS // MILLISECOND + shift_ms


async def test_acts_are_done_at_their_moment() -> None:
    acts = [
        {"act": "pause", "symbol": "BTCUSDT", "at_s": 10, "for_s": 5},
        {"act": "limit_sides", "symbol": "ETHUSDT", "side": "SELL", "at_s": 20},
        {"act": "delist", "symbol": "MXUSDT", "at_s": 30},
        {"act": "clock", "shift_ms": 1000, "at_s": 40},
    ]
    async with served(plan(act=acts)) as venue:
        told = []
        for second in (9, 10, 15, 20, 30, 40):
            venue.world.advance(START_NS + second * SECOND)
            rows = [venue.world.row(name) for name in ("BTCUSDT", "ETHUSDT", "MXUSDT")]
            btc, eth, mx = (row for row in rows if row is not None)
            told.append((btc.status, eth.side_type, mx.status, venue.server.faults.clock_ns() > 0))
    assert told == [
        ("1", 1, "1", False), ("2", 1, "1", False), ("1", 1, "1", False),
        ("1", 3, "1", False), ("1", 3, "3", False), ("1", 3, "3", True),
    ]  # fmt: skip


async def test_api_orders_are_forbidden_for_a_while_after_an_opening_even_one_that_moves() -> None:
    async with served(world=listings_only(START_NS)) as venue:
        world = venue.world
        coming = next(row for row in world.rows() if row.first_open_ns > world.now_ns and row.is_api_listed)
        name, opening = str(coming.symbol), coming.first_open_ns
        acts = [
            {"act": "postpone", "symbol": name, "open_s": -300, "by_s": 600},
            {"act": "forbid_api", "symbol": name, "open_s": 0, "for_s": 20},
        ]
        venue.server.faults.replace(plan(act=acts))
        told = []
        for at_ns in (opening + 30 * SECOND, opening + 610 * SECOND, opening + 621 * SECOND):
            world.advance(at_ns)
            row = world.row(name)
            assert row is not None
            told.append((row.first_open_ns - opening, row.api_tradable))
    assert told == [(600 * SECOND, False), (600 * SECOND, False), (600 * SECOND, True)]


async def test_an_act_on_a_symbol_that_is_not_there_yet_waits_for_it() -> None:
    async with served(world=listings_only(START_NS)) as venue:
        world = venue.world
        later = next(
            script for script in world.market.scripts() if script.announced_ns > world.now_ns + 10 * MINUTE
        )
        act = {"act": "postpone", "symbol": str(later.symbol), "open_s": -60, "by_s": 3600}
        venue.server.faults.replace(plan(act=[act]))
        before = later.opens_ns
        world.advance(before + SECOND)
        row = world.row(str(later.symbol))
        assert row is not None
        assert row.first_open_ns == before + 3600 * SECOND


async def test_an_act_that_the_world_refuses_is_noted_and_nothing_breaks() -> None:
    async with served(plan(act=[{"act": "pause", "symbol": "NOPEUSDT", "at_s": 1}])) as venue:
        venue.world.advance(START_NS + 2 * SECOND)
        (applied,) = venue.server.faults.applied
    assert applied.what.startswith("not done: ")
    assert "NOPEUSDT" in applied.what


async def test_a_replaced_plan_leaves_nothing_of_the_old_one_behind() -> None:
    down = {"fault": "status", "status": 503, "path": "/api/v3/*"}
    old = plan(down, act=[{"act": "pause", "symbol": "BTCUSDT", "at_s": 5}], clock={"shift_ms": 100})
    async with served(old) as venue:
        venue.server.faults.replace(FaultPlan())
        venue.world.advance(START_NS + 10 * SECOND)
        row = venue.world.row("BTCUSDT")
        assert row is not None
        assert row.status == "1"
        assert await venue.ask("/api/v3/ping") == {}
        assert venue.server.faults.clock_ns() == 0
