"""The venue's patience: budgets, 429 with when to come back, 418 for who does not wait."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mexclab.venues.simulator.http import Call, Reply, Route
from mexclab.venues.simulator.pools import Pools, ServerTerms, Window
from tests.venues.raw_wire import PATIENT, venue

ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"


def nothing(call: Call) -> Reply:
    return Reply(200, b"{}")


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def retry_after(reply: Reply | None) -> int:
    assert reply is not None
    return int(dict(reply.headers)["Retry-After"])


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.floats(0, 3, allow_subnormal=False), st.integers(1, 3)), max_size=40),
)
def test_no_stretch_of_a_window_ever_holds_more_than_its_limit(limit, steps):
    window, now, taken = Window(limit, 1.0), 0.0, []
    for pause, weight in steps:
        now += pause
        within = sum(each for at, each in taken if at > now - 1.0)
        assert window.used(now) == within
        wait = window.wait_s(weight, now)
        assert (wait == 0) is (within + weight <= limit)
        if not wait:
            window.take(weight, now)
            taken.append((now, weight))
        elif weight <= limit:
            assert deepcopy(window).wait_s(weight, now + wait + 1e-9) == 0


def test_orders_and_cancels_share_twelve_a_second_of_each_user():
    clock = Hand()
    pools, order = Pools(ServerTerms(), clock), Route(nothing, True, 1, "orders")
    for _ in range(12):
        assert pools.admit(order, "ip", "me") is None
    clock.now += 0.4
    refusal = pools.admit(order, "ip", "me")
    assert refusal is not None
    assert refusal.status == 429
    assert refusal.body == b'{"code":429,"msg":"Too Many Requests"}'
    assert retry_after(refusal) == 1
    assert pools.admit(order, "ip", "you") is None
    clock.now += 0.6
    assert pools.admit(order, "ip", "me") is None


def test_a_batch_is_one_of_the_orders_and_two_a_second_are_all():
    clock = Hand()
    pools = Pools(ServerTerms(orders_per_s=3), clock)
    batch, order = Route(nothing, True, 1, "batch"), Route(nothing, True, 1, "orders")
    assert pools.admit(batch, "ip", "me") is None
    assert pools.admit(batch, "ip", "me") is None
    assert pools.admit(batch, "ip", "me") is not None
    assert pools.admit(order, "ip", "me") is None
    assert pools.admit(order, "ip", "me") is not None


def test_weights_are_counted_for_the_address_and_for_the_user():
    clock = Hand()
    pools = Pools(ServerTerms(ip_weight_10s=30, uid_weight_10s=25), clock)
    heavy = Route(nothing, True, 20)
    assert pools.admit(heavy, "here", "me") is None
    assert pools.admit(heavy, "there", "me") is not None  # the user's
    assert pools.admit(heavy, "here", "you") is not None  # the address's
    assert pools.admit(heavy, "there", "you") is None
    clock.now += 4
    assert retry_after(pools.admit(heavy, "here", "me")) == 6
    clock.now += 6
    assert pools.admit(heavy, "here", "me") is None


def test_a_call_that_is_refused_takes_nothing_from_any_budget():
    clock = Hand()
    pools = Pools(ServerTerms(ip_weight_10s=20, account_per_s=1), clock)
    account, cheap = Route(nothing, True, 10, "account"), Route(nothing, True, 10)
    assert pools.admit(account, "ip", "me") is None
    assert pools.admit(account, "ip", "me") is not None
    assert pools.admit(cheap, "ip", "me") is None
    assert pools.admit(cheap, "ip", "me") is not None


def test_announcements_have_a_budget_of_their_own():
    pools = Pools(ServerTerms(ip_weight_10s=1), Hand())
    news = Route(nothing, pool="announcements")
    assert [pools.admit(news, "ip", "") is None for _ in range(6)] == [True] * 5 + [False]


def test_who_goes_on_after_429_is_banned_and_let_in_again():
    clock = Hand()
    pools = Pools(ServerTerms(ip_weight_10s=1, ban_after=3, ban_s=120), clock)
    call = Route(nothing)
    assert pools.admit(call, "ip", "") is None
    statuses = [reply.status for _ in range(3) if (reply := pools.admit(call, "ip", ""))]
    assert statuses == [429, 429, 418]
    clock.now += 60.5
    banned = pools.admit(call, "ip", "")
    assert banned is not None
    assert (banned.status, retry_after(banned)) == (418, 60)
    assert pools.admit(call, "elsewhere", "") is None
    assert pools.admit(Route(nothing, pool="none"), "ip", "") is None
    clock.now += 60
    assert pools.admit(call, "ip", "") is None
    assert pools.refused == 4


def test_refusals_long_ago_are_forgiven():
    clock = Hand()
    pools = Pools(ServerTerms(ip_weight_10s=1, ban_after=2), clock)
    for _ in range(5):
        assert pools.admit(Route(nothing), "ip", "") is None
        refusal = pools.admit(Route(nothing), "ip", "")
        assert refusal is not None
        assert refusal.status == 429
        clock.now += 61


def test_nobody_is_remembered_for_ever():
    clock = Hand()
    pools = Pools(ServerTerms(ip_weight_10s=1, ban_after=2), clock)
    for number in range(30_000):
        clock.now += 0.01
        pools.admit(Route(nothing), f"ip{number}", "")
        pools.admit(Route(nothing), f"ip{number}", "")
    assert len(pools._windows) <= 10_000
    assert len(pools._refusals) <= 10_000


async def test_an_order_too_many_is_told_so_on_the_wire_and_never_placed():
    async with venue(terms=replace(PATIENT, orders_per_s=2)) as v:
        await v.order(ORDER)
        await v.ok("DELETE", "openOrders", "symbol=BTCUSDT")
        answer = await v.call("POST", "order", ORDER)
        assert answer.refusal == (429, 429, "Too Many Requests")
        assert answer.headers["retry-after"] == "1"
        assert len(await v.ok("GET", "allOrders", "symbol=BTCUSDT")) == 1


async def test_each_endpoint_costs_what_the_table_says():
    async with venue(terms=replace(PATIENT, ip_weight_10s=10, ban_after=100)) as v:
        await v.ok("GET", "myTrades", "symbol=BTCUSDT")
        assert (await v.refused("GET", "order", "symbol=BTCUSDT&orderId=1"))[1] == 429
    async with venue(terms=replace(PATIENT, account_per_s=2)) as v:
        await v.ok("GET", "account")
        await v.ok("GET", "account")
        assert (await v.refused("GET", "account"))[1] == 429


async def test_a_banned_address_hears_418_whatever_it_asks():
    async with venue(terms=replace(PATIENT, ip_weight_10s=1, ban_after=2)) as v:
        statuses = [(await v.wire.ask("GET", "/api/v3/ping")).status for _ in range(3)]
        assert statuses == [200, 429, 418]
        answer = await v.call("POST", "order", ORDER)
        assert answer.status == 418
        assert int(answer.headers["retry-after"]) == 120
