"""Prepared shots and bursts: at their instant, by one client id, and only while the venue says "not yet"."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from mexclab.domain.reports import Accepted, FeedNews, Lost, Refused, ShotTimed
from mexclab.errors import ConfigError
from mexclab.venues.mexc.burst import Burst, GateTerms
from mexclab.venues.mexc.limits import LimitTerms
from tests.venues.mexc.gate_scene import at_the_gate, order
from tests.venues.mexc.raw_server import Talk, message, placed, refuses, silence, takes

MS = 1_000_000
NOT_YET = refuses(10007, "symbol not support api")
FIVE = Burst(attempts=5, spacing_ns=20 * MS)


async def test_a_prepared_shot_carries_the_stamp_of_its_instant_and_its_phases_are_in_order() -> None:
    async with at_the_gate() as scene:
        release = scene.now_ns() + 100 * MS
        scene.gate.prepare(order(), release)
        await asyncio.sleep(0.06)
        scene.gate.fire(order())  # up to the venue's tolerance early: its stamp is still the instant's
        timed = await scene.told.one(ShotTimed)
        (params,) = scene.params()
        assert int(params["timestamp"]) == release // MS
        (accepted,) = scene.told.of(Accepted)
        assert timed.scheduled_ns == release
        assert timed.released_ns <= timed.written_ns <= accepted.at_ns == timed.acked_ns
        assert timed.transmissions == 1
        assert scene.told.happenings == [accepted, timed]


async def test_preparing_opens_the_connections_and_firing_uses_one_of_them() -> None:
    async with at_the_gate() as scene:
        scene.gate.prepare(order(), scene.now_ns())
        await scene.told.until(lambda: scene.server.connections == 2)
        await asyncio.sleep(0.02)
        before = asyncio.all_tasks()
        scene.gate.fire(order())
        assert asyncio.all_tasks() == before
        await scene.told.one(Accepted)
        assert scene.server.connections == 2


async def test_a_shot_that_is_fired_late_is_signed_anew() -> None:
    async with at_the_gate() as scene:
        scene.gate.prepare(order(), scene.now_ns() - 4_000 * MS)
        now_ms = scene.now_ns() // MS
        scene.gate.fire(order())
        await scene.told.one(Accepted)
        assert int(scene.params()[0]["timestamp"]) >= now_ms


async def test_what_is_fired_is_the_order_that_was_given_last_not_the_one_that_was_prepared() -> None:
    async with at_the_gate() as scene:
        scene.gate.prepare(order(), scene.now_ns())
        scene.gate.fire(order(quantity=order().quantity * 3))
        await scene.told.one(Accepted)
        assert scene.params()[0]["quantity"] == "1.5"


async def test_a_shot_without_an_answer_is_timed_without_one() -> None:
    async with at_the_gate(silence) as scene:
        scene.gate.prepare(order(), scene.now_ns())
        scene.gate.fire(order(), FIVE)
        timed = await scene.told.one(ShotTimed)
        assert timed.acked_ns is None
        assert timed.transmissions == 1
        assert len(scene.told.of(Lost)) == 1


async def test_a_burst_sends_one_client_id_again_until_the_symbol_is_open_and_then_stops() -> None:
    script = [NOT_YET, refuses(30000, "suspended"), refuses(30016, "trading disabled"), takes()]
    async with at_the_gate(*script) as scene:
        scene.gate.fire(order(), FIVE)
        accepted = await scene.told.one(Accepted)
        await asyncio.sleep(0.1)
        assert scene.told.happenings == [accepted]
        assert {params["newClientOrderId"] for params in scene.params()} == {order().client_id}
        seen = scene.server.seen
        assert len(seen) == 4
        gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(seen)]
        assert min(gaps) > 0.015
        stamps = [int(params["timestamp"]) for params in scene.params()]
        assert stamps == sorted(set(stamps)), "each transmission is stamped for its own moment"


@pytest.mark.parametrize("code", [30002, 30005, 30001, 700002])
async def test_any_other_refusal_ends_a_burst(code: int) -> None:
    async with at_the_gate(NOT_YET, refuses(code, "no")) as scene:
        scene.gate.fire(order(), FIVE)
        refused = await scene.told.one(Refused)
        await asyncio.sleep(0.1)
        assert refused.code == code
        assert scene.told.happenings == [refused]
        assert len(scene.server.seen) == 2


async def test_silence_ends_a_burst_as_lost() -> None:
    async with at_the_gate(NOT_YET, silence) as scene:
        scene.gate.fire(order(), FIVE)
        lost = await scene.told.one(Lost)
        await asyncio.sleep(0.1)
        assert scene.told.happenings == [lost]
        assert len(scene.server.seen) == 2


async def test_a_burst_that_is_used_up_tells_the_venues_last_word_once() -> None:
    async with at_the_gate(otherwise=NOT_YET) as scene:
        scene.gate.prepare(order(), scene.now_ns())
        scene.gate.fire(order(), FIVE)
        timed = await scene.told.one(ShotTimed)
        (refused,) = scene.told.of(Refused)
        assert refused.code == 10007
        assert timed.transmissions == len(scene.server.seen) == 5
        assert timed.acked_ns == refused.at_ns
        assert len(scene.told.happenings) == 2


async def test_a_burst_stays_inside_the_order_budget_and_its_time() -> None:
    limits = LimitTerms(orders_per_s=3, orders_reserve_per_s=0)
    many = Burst(attempts=100, spacing_ns=10 * MS)
    async with at_the_gate(otherwise=NOT_YET, limits=limits, terms=GateTerms(0.5, 0.5)) as scene:
        scene.gate.fire(order(), many)
        refused = await scene.told.one(Refused)
        assert refused.code == 10007
        assert len(scene.server.seen) == 3


async def test_a_burst_does_not_outlive_its_time_by_waiting_for_a_turn() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0, slack_ms=0)
    async with at_the_gate(otherwise=NOT_YET, limits=limits, terms=GateTerms(1.9, 0.4)) as scene:
        scene.gate.fire(order(), FIVE)
        refused = await scene.told.one(Refused)
        await asyncio.sleep(0.8)
        assert len(scene.server.seen) == 1
        assert scene.told.happenings == [refused]


async def test_a_burst_is_stopped_between_two_transmissions() -> None:
    async with at_the_gate(otherwise=NOT_YET) as scene:
        scene.gate.fire(order(), Burst(attempts=50, spacing_ns=100 * MS))
        await scene.told.until(lambda: scene.server.seen)
        await asyncio.sleep(0.05)
        assert scene.gate.stop(order().client_id)
        (refused,) = scene.told.of(Refused)
        assert refused.code == 10007
        await asyncio.sleep(0.3)
        assert len(scene.server.seen) == 1
        assert len(scene.told.happenings) == 1


# -- overlapping -------------------------------------------------------------------------------------


def after(seconds: float, order_id: str = "", code: int = 0) -> object:
    """An answer that takes its time."""

    async def act(talk: Talk) -> None:
        await asyncio.sleep(seconds)
        if code:
            await talk.say(message(400, json.dumps({"msg": "no", "code": code}).encode()))
        else:
            await talk.say(message(200, json.dumps(placed(talk.seen.params, order_id)).encode()))

    return act


OVERLAP = Burst(attempts=3, spacing_ns=20 * MS, overlap=True)


async def test_an_overlapping_burst_does_not_wait_for_answers() -> None:
    duplicate = refuses(400, "duplicate client order id")
    script = [after(0.15, code=10007), after(0.15, "C02__1"), duplicate]
    async with at_the_gate(*script) as scene:
        scene.gate.prepare(order(), scene.now_ns(), OVERLAP)
        await asyncio.sleep(0.05)
        scene.gate.fire(order(), OVERLAP)
        await asyncio.sleep(0.03)
        assert len(scene.server.seen) == 2, "the second one left before the first was answered"
        assert len({seen.connection for seen in scene.server.seen}) == 2
        timed = await scene.told.one(ShotTimed)
        (accepted,) = scene.told.of(Accepted)
        assert accepted.venue_id == "C02__1"
        assert timed.transmissions == 3
        assert scene.told.happenings == [accepted, timed], "a duplicate that is refused is as it should be"


async def test_an_overlapping_burst_whose_id_is_known_and_whose_acceptance_is_lost_is_of_unknown_fate() -> (
    None
):
    script = [silence, refuses(400, "duplicate client order id")]
    async with at_the_gate(*script) as scene:
        scene.gate.fire(order(), Burst(attempts=2, spacing_ns=20 * MS, overlap=True))
        lost = await scene.told.one(Lost)
        assert scene.told.happenings == [lost]


async def test_an_overlapping_burst_stops_at_the_first_acceptance() -> None:
    many = Burst(attempts=9, spacing_ns=30 * MS, overlap=True)
    async with at_the_gate(after(0.0, "C02__1")) as scene:
        scene.gate.fire(order(), many)
        await scene.told.one(Accepted)
        await asyncio.sleep(0.15)
        assert len(scene.server.seen) == 1
        assert len(scene.told.happenings) == 1


async def test_a_transmission_that_waits_for_its_turn_does_not_leave_after_another_one_was_taken() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0, slack_ms=0)
    burst = Burst(attempts=2, spacing_ns=10 * MS, overlap=True)
    async with at_the_gate(after(0.1, "C02__1"), limits=limits, terms=GateTerms(1.9, 1.9)) as scene:
        scene.gate.fire(order(), burst)
        await scene.told.one(Accepted)
        assert scene.gate.asked == 2, "the second one waits"
        await asyncio.sleep(1.2)
        assert (scene.gate.asked, scene.gate.under_way) == (1, 0)
        assert len(scene.server.seen) == len(scene.told.happenings) == 1


async def test_one_client_id_that_is_taken_twice_is_told_loudly() -> None:
    script = [after(0.1, "C02__1"), after(0.1, "C02__2"), after(0.1, code=10007)]
    async with at_the_gate(*script) as scene:
        scene.gate.fire(order(), OVERLAP)
        lost = await scene.told.one(Lost)
        (news,) = scene.told.of(FeedNews)
        assert news.degraded
        for venue_id in ("C02__1", "C02__2"):
            assert venue_id in news.what
            assert venue_id in lost.why
        assert len(scene.told.of(Accepted)) == 1


async def test_an_overlapping_burst_of_which_one_transmission_is_lost_is_of_unknown_fate() -> None:
    script = [silence, after(0.0, code=10007), after(0.0, code=10007)]
    async with at_the_gate(*script) as scene:
        scene.gate.fire(order(), OVERLAP)
        lost = await scene.told.one(Lost)
        assert scene.told.happenings == [lost]
        assert len(scene.server.seen) == 3


@pytest.mark.parametrize(
    "terms", [{"attempts": 0}, {"spacing_ns": 0}, {"attempts": 2, "spacing_ns": 999_999}]
)
def test_a_burst_that_is_none_is_refused(terms: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Burst(**terms)
