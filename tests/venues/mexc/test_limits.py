"""The limiter: no window of any pool is ever exceeded, cancels and exits get through, nobody starves."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc import endpoints as endpoints_module
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from tests.naive.limits_naive import busiest_window
from tests.venues.mexc.limiter_time import (
    ACCOUNT,
    BATCH,
    CANCEL,
    HEAVY,
    ORDER,
    QUESTION,
    SIGNED,
    SteppedClock,
    exhaust,
)

TICK = 1 / 64  # a float of two's powers: sums of it are exact


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda ticks: ticks * TICK),  # how long after the one before
        st.sampled_from([ORDER, BATCH, QUESTION, HEAVY, SIGNED, ACCOUNT]),
        st.booleans(),
    ),
    max_size=150,
)
# which requests each pool counts, how much of it each takes, its size, its reserve and its window
POOLS = {
    "orders": ({ORDER: 1, BATCH: 1}, 12, 4, 1.0),
    "batch": ({BATCH: 1}, 2, 0, 1.0),
    "account": ({ACCOUNT: 1}, 2, 0, 1.0),
    "ip": ({QUESTION: 1, HEAVY: 25, SIGNED: 10, ACCOUNT: 10}, 60, 10, 10.0),
    "uid": ({SIGNED: 10, ACCOUNT: 10}, 40, 20, 10.0),
}
TERMS = LimitTerms(
    slack_ms=0, ip_weight_per_10s=60, ip_reserve_per_10s=10, uid_weight_per_10s=40, uid_reserve_per_10s=20
)


@settings(deadline=None)
@given(REQUESTS)
def test_no_window_of_any_pool_is_ever_exceeded(requests: list[tuple[float, Endpoint, bool]]) -> None:
    clock = SteppedClock()
    limiter = Limiter(TERMS, clock)
    passed: list[tuple[float, Endpoint, bool]] = []
    for wait_s, one, urgent in requests:
        clock.now += wait_s
        if limiter.try_take(one, urgent):
            passed.append((clock.now, one, urgent))
    for weights, limit, reserve, window_s in POOLS.values():
        taken = [(at, weights[one], urgent) for at, one, urgent in passed if one in weights]
        assert busiest_window([(at, weight) for at, weight, _ in taken], window_s) <= limit
        ordinary = [(at, weight) for at, weight, urgent in taken if not urgent]
        assert busiest_window(ordinary, window_s) <= limit - reserve


@settings(deadline=None)
@given(REQUESTS)
def test_a_request_is_held_back_only_when_its_pool_has_no_room(
    requests: list[tuple[float, Endpoint, bool]],
) -> None:
    clock = SteppedClock()
    limiter = Limiter(TERMS, clock)
    passed: list[tuple[float, Endpoint, bool]] = []
    for wait_s, one, urgent in requests:
        clock.now += wait_s
        if limiter.try_take(one, urgent):
            passed.append((clock.now, one, urgent))
            continue
        full = []
        for weights, limit, reserve, window_s in POOLS.values():
            if one not in weights:
                continue
            recent = [(weights[o], u) for at, o, u in passed if o in weights and clock.now - at < window_s]
            total = sum(weight for weight, _ in recent) + weights[one]
            ordinary = sum(weight for weight, u in recent if not u) + weights[one]
            full.append(total > limit or (not urgent and ordinary > limit - reserve))
        assert any(full)


@settings(deadline=None)
@given(REQUESTS, st.integers(0, 80))
def test_cancels_always_find_the_reserve_whatever_went_before(
    requests: list[tuple[float, Endpoint, bool]], wait: int
) -> None:
    clock = SteppedClock()
    limiter = Limiter(TERMS, clock)
    for wait_s, one, _ in requests:
        clock.now += wait_s
        limiter.try_take(one)
    clock.now += wait * TICK
    assert all(limiter.try_take(CANCEL, urgent=True) for _ in range(TERMS.orders_reserve_per_s))


def test_a_shot_takes_the_pool_but_not_the_reserve() -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    assert exhaust(limiter, ORDER) == 8
    assert exhaust(limiter, CANCEL, urgent=True) == 4


def test_the_window_is_longer_by_the_slack() -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(slack_ms=500), clock)
    exhaust(limiter, ORDER)
    clock.now += 1.25
    assert not limiter.try_take(ORDER)
    clock.now += 0.25
    assert exhaust(limiter, ORDER) == 8


def test_a_batch_counts_as_an_order_and_as_a_batch() -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    assert exhaust(limiter, BATCH) == 2
    assert exhaust(limiter, ORDER) == 6


def test_questions_and_orders_do_not_share_a_pool() -> None:
    limiter = Limiter(LimitTerms(), SteppedClock())
    assert exhaust(limiter, QUESTION) == 270
    assert exhaust(limiter, ORDER) == 8


async def test_a_family_that_keeps_failing_is_left_alone_and_then_tried_with_one_request() -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(), clock)
    for _ in range(5):
        await limiter.take(QUESTION)
        limiter.report(QUESTION, ok=False)
    with pytest.raises(VenueUnavailable) as told:
        await limiter.take(QUESTION)
    assert told.value.data["retry_after_s"] == pytest.approx(5.0)
    assert limiter.try_take(SIGNED)  # another family
    clock.now += 5.0
    assert limiter.try_take(QUESTION)
    assert not limiter.try_take(QUESTION)
    limiter.report(QUESTION, ok=False)
    assert limiter.state().breakers[0].tried_in_s == pytest.approx(10.0)
    clock.now += 10.0
    assert limiter.try_take(QUESTION)
    limiter.report(QUESTION, ok=True)
    assert limiter.try_take(QUESTION)
    assert limiter.state().breakers[0].state == "closed"


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another() -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(), clock)
    for _ in range(5):
        limiter.report(QUESTION, ok=False)
    for _ in range(3):
        clock.now += 5.0
        assert limiter.try_take(QUESTION)
        assert not limiter.try_take(QUESTION)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.booleans()), max_size=60))
def test_no_breaker_ever_stands_in_the_way_of_a_cancel(news: list[tuple[bool, int, bool]]) -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(), clock)
    for ok, ticks, tries in news:
        clock.now += ticks * TICK
        limiter.report(ORDER, ok)
        if tries:
            limiter.try_take(ORDER)
    assert all(limiter.try_take(CANCEL, urgent=True) for _ in range(4))


async def test_a_request_that_can_never_fit_is_an_error_and_does_not_wait_for_ever() -> None:
    limiter = Limiter(LimitTerms(ip_weight_per_10s=30, ip_reserve_per_10s=10))
    with pytest.raises(ConfigError, match="can never pass"):
        await limiter.take(HEAVY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"orders_per_s": 0},
        {"orders_per_s": 12, "orders_reserve_per_s": 12},
        {"slack_ms": -1},
        {"breaker_open_s": 0.0},
        {"ban_gap_s": float("nan")},
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LimitTerms(**wrong)


def test_every_endpoint_of_the_venue_belongs_to_a_pool_that_lets_it_through() -> None:
    known = [value for value in vars(endpoints_module).values() if isinstance(value, Endpoint)]
    assert known
    for one in known:
        assert Limiter(LimitTerms()).try_take(one), one


def test_state_shows_what_is_used_of_each_pool() -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(slack_ms=0), clock)
    limiter.try_take(ACCOUNT)
    limiter.try_take(CANCEL, urgent=True)
    used = {pool.name: pool.used for pool in limiter.state().pools}
    assert used == {"ip": 10, "uid": 10, "orders": 1, "batch": 0, "account": 1, "announcements": 0, "web": 0}
    clock.now += 10.0
    assert not any(pool.used for pool in limiter.state().pools)


def test_taking_a_turn_costs_less_than_the_wire_notices() -> None:
    clock = SteppedClock()
    limiter = Limiter(LimitTerms(), clock)
    best = float("inf")
    for _ in range(20):
        begun = time.process_time()
        for _ in range(1000):
            clock.now += 1.0
            limiter.try_take(ORDER)
        best = min(best, (time.process_time() - begun) / 1000)
    assert best < 10e-6  # about 1 us on an idle machine; this only catches another order of cost
