"""Waiting at the limiter: nobody starves, urgent requests go first, the venue's silence is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc import endpoints
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.simulator.pools import Pools
from mexclab.venues.simulator.world import PAPER_ACCOUNT
from tests.naive.limits_naive import busiest_window
from tests.venues.mexc.limiter_time import (
    BATCH,
    CANCEL,
    HEAVY,
    ORDER,
    QUESTION,
    SteppedClock,
    exhaust,
    in_simulated_time,
    timed,
)
from tests.venues.mexc.venue_parts import quiet_world
from tests.venues.served import served


def test_waiting_requests_go_in_the_order_in_which_they_came() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0), now)
        turns = [asyncio.create_task(timed(limiter.take(ORDER), now)) for _ in range(40)]
        moments = await asyncio.gather(*turns)
        assert moments == sorted(moments)
        assert busiest_window([(at, 1) for at in moments], 1.0) == 8
        assert moments[-1] == pytest.approx(4.0, abs=0.01)

    in_simulated_time(main)


def test_an_urgent_request_overtakes_all_that_wait() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0), now)
        exhaust(limiter, ORDER)
        exhaust(limiter, CANCEL, urgent=True)
        orders = [asyncio.create_task(timed(limiter.take(ORDER), now)) for _ in range(30)]
        await asyncio.sleep(0.5)
        cancels = [asyncio.create_task(timed(limiter.take(CANCEL, urgent=True), now)) for _ in range(12)]
        assert max(await asyncio.gather(*cancels)) == pytest.approx(1.0, abs=0.01)
        assert min(await asyncio.gather(*orders)) >= 2.0

    in_simulated_time(main)


def test_a_heavy_question_is_not_starved_by_a_stream_of_light_ones() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0, ip_weight_per_10s=40, ip_reserve_per_10s=10), now)

        lights: set[asyncio.Task[None]] = set()

        async def ask_for_ever() -> None:
            while True:  # more than the pool lets through, evenly: it is full and drips
                lights.add(asyncio.create_task(limiter.take(QUESTION)))
                await asyncio.sleep(0.25)

        stream = asyncio.create_task(ask_for_ever())
        await asyncio.sleep(30)
        asked = now()
        heavy = asyncio.create_task(timed(limiter.take(HEAVY), now))
        assert await asyncio.wait_for(heavy, 60) - asked <= 20.1
        for task in (stream, *lights):
            task.cancel()
        await asyncio.gather(stream, *lights, return_exceptions=True)

    in_simulated_time(main)


def test_try_take_does_not_pass_one_who_waits() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0, ip_weight_per_10s=40, ip_reserve_per_10s=10), now)
        for _ in range(20):
            assert limiter.try_take(QUESTION)
        heavy = asyncio.create_task(limiter.take(HEAVY))
        await asyncio.sleep(0)
        assert not limiter.try_take(QUESTION)
        assert limiter.try_take(ORDER)
        assert limiter.try_take(QUESTION, urgent=True)
        await heavy

    in_simulated_time(main)


def test_a_waiting_batch_does_not_hold_back_orders_that_have_room() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0), now)
        exhaust(limiter, BATCH)
        batch = asyncio.create_task(timed(limiter.take(BATCH), now))
        await asyncio.sleep(0.25)
        assert exhaust(limiter, ORDER) == 6
        assert await batch == pytest.approx(1.0, abs=0.01)

    in_simulated_time(main)


def test_one_who_gives_up_waiting_makes_way() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(slack_ms=0, ip_weight_per_10s=40, ip_reserve_per_10s=10), now)
        for _ in range(20):
            limiter.try_take(QUESTION)
        heavy = asyncio.create_task(limiter.take(HEAVY))
        light = asyncio.create_task(timed(limiter.take(QUESTION), now))
        await asyncio.sleep(1)
        heavy.cancel()
        assert await light == pytest.approx(1.0, abs=0.01)
        assert limiter.state().waiting == 0

    in_simulated_time(main)


def test_silence_that_the_venue_asks_for_holds_for_every_pool_of_the_host() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(), now)
        limiter.obey(QUESTION, 7.0)
        assert not limiter.try_take(ORDER)
        assert not limiter.try_take(QUESTION)
        assert limiter.state().quiet_for_s == pytest.approx(7.0)
        assert await timed(limiter.take(ORDER), now) == pytest.approx(7.0, abs=0.01)

    in_simulated_time(main)


def test_a_longer_silence_is_an_error_and_not_a_wait() -> None:
    async def main(now: Callable[[], float]) -> None:
        limiter = Limiter(LimitTerms(), now)
        waiting = [asyncio.create_task(limiter.take(ORDER)) for _ in range(9)]
        await asyncio.sleep(0)
        limiter.obey(ORDER, 600.0, banned=True)
        with pytest.raises(VenueUnavailable) as told:
            await waiting[8]
        assert told.value.data["retry_after_s"] == pytest.approx(600.0)
        with pytest.raises(VenueUnavailable):
            await limiter.take(QUESTION)
        assert limiter.state().is_banned
        await asyncio.sleep(600.1)
        await limiter.take(QUESTION)
        assert not limiter.state().is_banned

    in_simulated_time(main)


def test_cancels_go_on_slowly_during_silence_and_rarely_during_a_ban() -> None:
    async def main(now: Callable[[], float]) -> None:
        for banned, gap_s, first_s in ((False, 0.25, 0.0), (True, 2.0, 2.0)):
            limiter = Limiter(LimitTerms(), now)
            limiter.obey(ORDER, 3600.0, banned=banned)
            begun = now()
            cancels = [timed(limiter.take(CANCEL, urgent=True), now) for _ in range(5)]
            moments = [at - begun for at in await asyncio.gather(*cancels)]
            assert moments == pytest.approx([first_s + n * gap_s for n in range(5)], abs=0.01)

    in_simulated_time(main)


@pytest.mark.parametrize("retry_after_s", [None, -5.0, float("nan"), 0.0])
def test_a_retry_after_that_says_nothing_gets_the_terms_own_time(retry_after_s: float | None) -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    limiter.obey(ORDER, retry_after_s)
    assert limiter.state().quiet_for_s == 10.0


def test_a_retry_after_beyond_reason_is_cut_to_the_longest_ban_there_is() -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    limiter.obey(ORDER, float("inf"))
    assert limiter.state().quiet_for_s == 3 * 86_400


def test_a_shorter_retry_after_does_not_end_a_longer_one() -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    limiter.obey(ORDER, 100.0, banned=True)
    limiter.obey(ORDER, 1.0)
    assert limiter.state().quiet_for_s == 100.0
    assert limiter.state().is_banned


async def ask_for_the_account(limits: LimitTerms, times: int) -> None:
    """Both sides count by the loop's clock: what one is kept from the other is kept from, too."""
    now = asyncio.get_running_loop().time
    async with served(world=quiet_world()) as venue:
        venue.server.pools = Pools(venue.server.terms, now)
        signer = Signer(PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)
        drift = Drift(lambda _seen: None)
        rest = Rest(venue.server.url, lambda: venue.world.now_ns, Limiter(limits, now), drift, signer)
        try:
            await asyncio.gather(*(rest.ask(endpoints.ACCOUNT) for _ in range(times)))
        finally:
            await rest.close()


async def test_a_venue_that_counts_for_itself_never_has_to_say_slow_down() -> None:
    now = asyncio.get_running_loop().time
    begun = now()
    await ask_for_the_account(LimitTerms(), 7)
    assert now() - begun >= 3.0


async def test_without_the_limiter_the_same_questions_are_too_many() -> None:
    with pytest.raises(VenueUnavailable, match="slow down"):
        await ask_for_the_account(LimitTerms(accounts_per_s=100), 7)
