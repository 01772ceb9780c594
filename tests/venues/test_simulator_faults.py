"""When a rule applies, and every kind of fault that meets a request, on a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Symbol
from mexclab.venues.simulator.fault_plan import (
    FaultPlan,
)
from mexclab.venues.simulator.faults import Faults, retyped
from mexclab.venues.simulator.http import Call
from mexclab.venues.simulator.world import PAPER_ACCOUNT
from tests.venues.served import START_NS, Served, served
from tests.venues.served import planned as plan

PRICE = "/api/v3/ticker/price?symbol=BTCUSDT"


# -- when a rule applies -------------------------------------------------------------------------


async def statuses(venue: Served, count: int, path: str = PRICE) -> list[int]:
    return [(await venue.client.get(path)).status_code for _ in range(count)]


def failing(**when: Any) -> dict[str, Any]:
    return {"fault": "status", "status": 503, "path": "/api/v3/ticker/*", **when}


async def test_only_the_named_turns_go_wrong() -> None:
    async with served(plan(failing(nth=[2, 4]))) as venue:
        assert await statuses(venue, 5) == [200, 503, 200, 503, 200]
        assert venue.server.faults.counts == {"status": 2}


async def test_a_rule_goes_on_until_its_count_is_used_up() -> None:
    async with served(plan(failing(count=2))) as venue:
        assert await statuses(venue, 4) == [503, 503, 200, 200]


async def test_chance_depends_on_the_seed_alone() -> None:
    runs = []
    for seed in (7, 7, 8):
        async with served(plan(failing(probability=0.5), seed=seed)) as venue:
            runs.append(await statuses(venue, 30))
    assert runs[0] == runs[1] != runs[2]
    assert {200, 503} == set(runs[0])


async def test_a_rule_looks_at_path_method_and_symbol() -> None:
    async with served(plan(failing(symbol="ETH*", method="get"))) as venue:
        assert await statuses(venue, 1) == [200]
        assert await statuses(venue, 1, "/api/v3/ticker/price?symbol=ETHUSDT") == [503]
        assert await statuses(venue, 1, "/api/v3/depth?symbol=ETHUSDT") == [200]
    async with served(plan(failing(method="POST"))) as venue:
        assert await statuses(venue, 1) == [200]


async def test_a_rule_may_be_for_one_account() -> None:
    other = plan({"fault": "drop", "path": "/api/v3/account", "account": "somebody"})
    async with served(other) as venue:
        assert (await venue.client.get("/api/v3/account")).status_code == 400
    ours = plan({"fault": "drop", "path": "/api/v3/account", "account": "paper"})
    async with served(ours) as venue:
        headers = {"X-MEXC-APIKEY": "mx0paperAccountOfTheSimulator"}
        with pytest.raises(httpx.RemoteProtocolError):
            await venue.client.get("/api/v3/account", headers=headers)


async def test_a_rule_holds_between_two_moments_of_the_venues_time() -> None:
    async with served(plan(failing(between_s=[10, 20]))) as venue:
        told = []
        for second in (0, 9.9, 10, 19.9, 20):
            venue.world.advance(START_NS + int(second * SECOND))
            told += await statuses(venue, 1)
    assert told == [200, 200, 503, 503, 200]


async def test_the_first_rule_that_applies_is_the_only_one() -> None:
    async with served(plan(failing(count=1), {"fault": "status", "status": 502, "path": "*"})) as venue:
        assert await statuses(venue, 2) == [503, 502]
        assert [applied.rule for applied in venue.server.faults.applied] == ["rule 1", "rule 2"]


async def test_what_was_applied_is_listed_with_its_time_and_place() -> None:
    async with served(plan(failing(name="flaky", count=1))) as venue:
        await statuses(venue, 2)
        (applied,) = venue.server.faults.applied
    assert applied == (START_NS, "flaky", "status", "GET /api/v3/ticker/price")


# -- what happens to a request -------------------------------------------------------------------


def once(fault: str, path: str = "/api/v3/ticker/price", **settings: Any) -> FaultPlan:
    return plan({"fault": fault, "path": path, "count": 1, **settings})


async def seconds_of(venue: Served, path: str = PRICE) -> float:
    now = asyncio.get_running_loop().time
    began = now()
    assert (await venue.client.get(path)).status_code == 200
    return now() - began


@pytest.mark.parametrize("fault", ["delay", "reorder", "slow_reply"])
async def test_a_late_reply_comes_late_and_whole(fault: str) -> None:
    async with served(once(fault, delay_ms=300)) as venue:
        await venue.ask("/api/v3/ping")
        assert await seconds_of(venue) >= 0.28
        assert await seconds_of(venue) < 0.28


async def test_a_held_reply_is_overtaken_by_a_later_one() -> None:
    async with served(once("reorder", delay_ms=400)) as venue:
        order: list[str] = []

        async def ask(name: str) -> None:
            await venue.client.get(PRICE)
            order.append(name)

        first = asyncio.create_task(ask("first"))
        await asyncio.sleep(0.05)
        assert venue.server.faults.applied
        await ask("second")
        await first
    assert order == ["second", "first"]


async def test_jitter_is_spread_on_top_of_the_delay() -> None:
    late = plan({"fault": "delay", "path": "*", "delay_ms": 10, "jitter_ms": 90})
    faults = Faults(late)
    calls = [faults.on_request(_call()) for _ in range(200)]
    waits = [fault.before_s for fault in calls if fault is not None]
    assert 0.01 <= min(waits) < 0.02 < 0.09 < max(waits) <= 0.1


def _call() -> Call:
    return Call("GET", "/api/v3/time", "", b"", {}, "127.0.0.1", {})


async def test_a_dropped_request_is_never_handled() -> None:
    async with served(once("drop")) as venue:
        with pytest.raises(httpx.RemoteProtocolError):
            await venue.client.get(PRICE)
        assert await statuses(venue, 1) == [200]


@pytest.mark.parametrize(("fault", "orders"), [("drop", 0), ("lose_reply", 1), ("duplicate_request", 2)])
async def test_orders_are_carried_out_as_often_as_the_fault_says(fault: str, orders: int) -> None:
    async with served(once(fault, "/api/v3/order", method="POST")) as venue:
        reply = None
        try:
            reply = await _post_order(venue)
        except httpx.RemoteProtocolError:
            assert fault != "duplicate_request"
        assert len(venue.world.matcher.placed("paper")) == orders
        if fault == "duplicate_request":
            assert reply is not None
            assert reply.status_code == 200


async def _post_order(venue: Served) -> httpx.Response:
    book = venue.world.book(Symbol("BTC"))
    assert book is not None
    assert book.best_bid is not None
    query = (
        f"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price={book.best_bid - 10}"
        f"&timestamp={venue.world.now_ns // MILLISECOND}"
    )
    seal = hmac.new(PAPER_ACCOUNT.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MEXC-APIKEY": PAPER_ACCOUNT.key, "Content-Type": "application/json"}
    return await venue.client.post(f"/api/v3/order?{query}&signature={seal}", headers=headers)


async def test_a_duplicated_reply_is_on_the_wire_twice() -> None:
    async with served(once("duplicate_reply")) as venue:
        port = int(venue.server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {PRICE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        data = b""
        async with asyncio.timeout(5):
            while data.count(b'"BTCUSDT"') < 2:
                data += await reader.read(4096)
        writer.close()
        await writer.wait_closed()
    assert data.count(b"HTTP/1.1 200") == 2
    assert data[: len(data) // 2] == data[len(data) // 2 :]


@pytest.mark.parametrize(
    ("status", "settings", "wait"),
    [(429, {}, "1"), (429, {"retry_after_s": 9}, "9"), (418, {}, "120"), (500, {}, None), (503, {}, None),
     (504, {"retry_after_s": 2}, "2")],
)  # fmt: skip
async def test_a_status_comes_in_the_venues_words(
    status: int, settings: dict[str, Any], wait: str | None
) -> None:
    async with served(once("status", status=status, **settings)) as venue:
        reply = await venue.client.get(PRICE)
    assert reply.status_code == reply.json()["code"] == status
    assert reply.json()["msg"]
    assert reply.headers.get("retry-after") == wait


@pytest.mark.parametrize("handled", [False, True])
async def test_an_order_answered_5xx_may_or_may_not_exist(handled: bool) -> None:
    async with served(once("status", "/api/v3/order", status=504, handled=handled)) as venue:
        assert (await _post_order(venue)).status_code == 504
        assert len(venue.world.matcher.placed("paper")) == int(handled)


async def test_a_refusal_carries_the_code_and_words_of_the_plan() -> None:
    words = "symbol not support api"
    async with served(once("refuse", code=10007, msg=words)) as venue:
        assert await venue.refusal("/api/v3/ticker/price", symbol="BTCUSDT") == (400, 10007, words)


async def test_a_page_comes_instead_of_json() -> None:
    async with served(once("html", status=403)) as venue:
        reply = await venue.client.get(PRICE)
    assert reply.status_code == 403
    assert reply.headers["content-type"] == "text/html"
    assert reply.text.startswith("<html>")


@pytest.mark.parametrize("keep", [None, 0.0, 0.9, 1.0])
async def test_truncated_json_is_a_whole_reply_that_cannot_be_read(keep: float | None) -> None:
    settings: dict[str, Any] = {} if keep is None else {"keep": keep}
    async with served(once("truncated_json", **settings)) as venue:
        reply = await venue.client.get(PRICE)
        assert reply.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            reply.json()
        assert (await venue.client.get(PRICE)).json()["symbol"] == "BTCUSDT"


async def test_wrong_types_keep_the_fields_and_nothing_else() -> None:
    async with served(once("wrong_types", "/api/v3/depth")) as venue:
        wrong = await venue.ask("/api/v3/depth", symbol="BTCUSDT")
        right = await venue.ask("/api/v3/depth", symbol="BTCUSDT")
    assert list(wrong) == list(right)
    assert wrong["lastUpdateId"] == str(right["lastUpdateId"])
    assert wrong["bids"][0] == [float(text) for text in right["bids"][0]]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_json)
def test_wrong_types_are_wrong_everywhere_and_still_json(value: Any) -> None:
    def differ(was: Any, now: Any) -> bool:
        if isinstance(was, dict):
            return list(was) == list(now) and all(differ(was[name], now[name]) for name in was)
        if isinstance(was, list):
            return len(was) == len(now) and all(map(differ, was, now))
        return type(was) is not type(now)

    wrong = retyped(value)
    assert differ(value, wrong)
    json.loads(json.dumps(wrong, allow_nan=False))


async def test_the_control_endpoint_is_never_met_by_a_fault() -> None:
    async with served(plan({"fault": "drop", "path": "*"})) as venue:
        assert (await venue.client.get("/simulator/state")).status_code == 200
        assert (await venue.client.delete("/simulator/faults")).status_code == 200
        assert await statuses(venue, 1) == [200]
