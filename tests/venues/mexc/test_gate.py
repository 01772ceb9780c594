"""The gate: what leaves, what comes back, and that nothing is sent twice by itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import traceback
from decimal import Decimal

import pytest

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import Accepted, Cancelled, Lost, Refused, Report
from mexclab.errors import ConfigError, DomainError
from mexclab.venues.mexc.burst import GateTerms
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.gate import Gate
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest
from tests.venues.mexc.gate_scene import KEY, SECRET, Told, at_the_gate, gate_to, order
from tests.venues.mexc.raw_server import (
    Act,
    RawServer,
    Talk,
    cut,
    hangs_up,
    message,
    placed,
    raw,
    refuses,
    says,
    silence,
)

LONGER_THAN_AN_ANSWER_S = 0.45


@pytest.mark.parametrize("kind", list(OrderType))
@pytest.mark.parametrize("side", list(Side))
async def test_an_order_leaves_with_its_terms_in_the_query_signed_and_is_told_to_be_accepted(
    kind: OrderType, side: Side
) -> None:
    sent = order(
        type=kind,
        side=side,
        quantity=Decimal("1E+3"),
        price=Decimal("0.00000120"),
        symbol=Symbol("GOLD(PAXG)"),
    )
    async with at_the_gate() as scene:
        scene.gate.fire(sent)
        accepted = await scene.told.one(Accepted)
        assert (accepted.client_id, accepted.venue_id) == (sent.client_id, f"C02__{sent.client_id}")
        assert scene.told.happenings == [accepted]
        (seen,) = scene.server.seen
        assert (seen.method, seen.path) == ("POST", "/api/v3/order")
        assert (seen.headers["X-MEXC-APIKEY"], seen.headers["Content-Type"]) == (KEY, "application/json")
        assert seen.headers["Content-Length"] == "0"
        signed, _, signature = seen.query.rpartition("&signature=")
        assert signature == hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        assert signed.startswith("symbol=GOLD%28PAXG%29USDT&")
        params = seen.params
        assert abs(int(params.pop("timestamp")) - accepted.at_ns // 10**6) < 1_000
        del params["signature"]
        assert params == {
            "symbol": "GOLD(PAXG)USDT", "side": str(side), "type": str(kind), "quantity": "1000",
            "price": "0.00000120", "newClientOrderId": sent.client_id, "recvWindow": "5000",
        }  # fmt: skip


async def test_a_warm_gate_writes_before_fire_returns_and_needs_no_task() -> None:
    async with at_the_gate() as scene:
        await scene.rest.lane.warm(1, 5.0)
        before = asyncio.all_tasks()
        scene.gate.fire(order())
        assert asyncio.all_tasks() == before
        await scene.told.one(Accepted)
        assert scene.server.connections == 1


def reply(**changes: object) -> bytes:
    params = {
        "symbol": "BTCUSDT",
        "price": "1",
        "quantity": "1",
        "type": "LIMIT",
        "side": "BUY",
        "timestamp": "1",
    }
    return json.dumps({**placed(params, "C02__1"), **changes}).encode()


UNKNOWN = {
    "silence": silence,
    "the connection ends": hangs_up,
    "half a head": cut(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": cut(message(200, reply())[:-9]),
    "garbage": raw(b"\x00\xff what is this\r\n\r\n"),
    "no JSON": says(200, b"OK"),
    "truncated JSON": says(200, reply()[:-9]),
    "empty": says(200, b""),
    "HTML that is fine": says(200, b"<html>ok</html>", "Content-Type: text/html"),
    "HTML that is not": says(502, b"<html>Bad Gateway</html>", "Content-Type: text/html"),
    "a firewall": says(403, b"<html>Access Denied</html>", "Content-Type: text/html"),
    "500": says(500, {"code": 500, "msg": "Internal Server Error"}),
    "503": says(503, {"code": 503, "msg": "Service Unavailable"}),
    "504 in a body": says(400, {"code": 504, "msg": "Gateway Timeout"}),
    "a redirect": says(301, b"", "Location: https://elsewhere/"),
    "a list": says(200, [json.loads(reply())]),
    "no id": says(200, {"symbol": "BTCUSDT", "price": "1"}),
    "an empty id": says(200, reply(orderId="")),
    "an id of a wrong type": says(200, reply(orderId={"id": 1})),
    "another pair": says(200, reply(symbol="ETHUSDT")),
    "another side": says(200, reply(side="SELL")),
    "two ids": says(200, reply()[:-1] + b',"orderId":"C02__2"}'),
    "an id that is taken": refuses(400, "duplicate client order id"),
}


@pytest.mark.parametrize("act", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_an_order_without_a_readable_answer_is_lost_and_never_sent_again_by_itself(act: Act) -> None:
    async with at_the_gate(act) as scene:
        scene.gate.fire(order())
        lost = await scene.told.one(Lost)
        assert lost.client_id == order().client_id
        assert lost.why
        await asyncio.sleep(LONGER_THAN_AN_ANSWER_S)
        assert scene.told.happenings == [lost]
        assert len(scene.server.seen) == 1


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        (refuses(30002, "The minimum transaction volume cannot be less than:1USDT"), 30002, "The minimum"),
        (refuses(10007, "symbol not support api"), 10007, "symbol not support api"),
        (says(200, {"code": 30005, "msg": "Oversold"}), 30005, "Oversold"),
        (says(403, {"code": 403, "msg": "Access Denied"}), 403, "Access Denied"),
        (says(429, {"code": 429, "msg": "Too Many Requests"}, "Retry-After: 3"), 429, "too many"),
        (says(418, b"<html>", "Retry-After: 3"), 418, "too many"),
    ],
)
async def test_the_venues_own_no_is_a_refusal_with_its_code(act: Act, code: int, words: str) -> None:
    async with at_the_gate(act) as scene:
        scene.gate.fire(order())
        refused = await scene.told.one(Refused)
        assert refused.code == code
        assert refused.words.startswith(words)
        assert scene.told.happenings == [refused]
        assert len(scene.server.seen) == 1


async def test_being_told_to_slow_down_is_obeyed_by_the_limits() -> None:
    async with at_the_gate(says(429, {"code": 429, "msg": "slow"}, "Retry-After: 30")) as scene:
        scene.gate.fire(order(1))
        await scene.told.one(Refused)
        assert scene.rest.limiter.state().quiet_for_s > 29
        scene.gate.fire(order(2))
        gone = await scene.told.one(Cancelled)
        assert gone.client_id == order(2).client_id
        assert len(scene.server.seen) == 1


async def test_a_reply_with_a_new_field_is_read_and_told_as_drift() -> None:
    async with at_the_gate(says(200, reply(status="NEW"))) as scene:
        scene.gate.fire(order())
        assert (await scene.told.one(Accepted)).venue_id == "C02__1"
        assert list(scene.rest.drift.counts) == [("order", "status", "is a new field")]


async def test_the_second_reply_of_a_venue_that_answers_twice_is_not_taken_for_the_next_orders() -> None:
    async def twice(talk: Talk) -> None:
        body = json.dumps(placed(talk.seen.params, "C02__first")).encode()
        await talk.say(message(200, body))
        await asyncio.sleep(0)

        async def later() -> None:
            await asyncio.sleep(0.05)
            await talk.say(message(200, body))

        twice.task = asyncio.create_task(later())  # type: ignore[attr-defined]

    async with at_the_gate(twice, silence) as scene:
        scene.gate.fire(order(1))
        await scene.told.one(Accepted)
        scene.gate.fire(order(2))  # leaves on the same connection, before the second reply comes
        lost = await scene.told.one(Lost)
        assert len({seen.connection for seen in scene.server.seen}) == 1
        assert lost.client_id == order(2).client_id
        assert "C02__first" in lost.why
        assert [each.client_id for each in scene.told.of(Accepted)] == [order(1).client_id]


async def test_what_has_left_and_what_is_still_under_way_is_counted() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with at_the_gate(silence, limits=limits) as scene:
        gate = scene.gate
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        assert (gate.asked, gate.under_way) == (2, 2)
        await scene.told.one(Cancelled)
        await asyncio.sleep(0)
        await scene.told.one(Lost)
        await asyncio.sleep(0.01)
        assert (gate.asked, gate.under_way) == (len(scene.server.seen), 0) == (1, 0)


# -- what never leaves -------------------------------------------------------------------------------


async def test_an_order_that_finds_no_venue_is_told_never_to_have_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with gate_to(f"http://127.0.0.1:{port}", RawServer(silence)) as scene:
        scene.gate.fire(order())
        gone = await scene.told.one(Cancelled)
        assert gone.client_id == order().client_id
        assert gone.why.startswith("it never left")
        assert gone.executed == 0
        assert scene.told.happenings == [gone]


async def test_an_order_that_gets_no_turn_in_time_never_leaves_not_even_later() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with at_the_gate(limits=limits, terms=GateTerms(leave_within_s=0.2)) as scene:
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        gone = await scene.told.one(Cancelled)
        assert gone.client_id == order(2).client_id
        await asyncio.sleep(1.2)
        assert [params["newClientOrderId"] for params in scene.params()] == [order(1).client_id]


async def test_an_order_that_gets_its_turn_in_time_leaves_stamped_for_when_it_was_asked_for() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0, slack_ms=0)
    async with at_the_gate(limits=limits, terms=GateTerms(leave_within_s=1.9)) as scene:
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        await scene.told.until(lambda: len(scene.told.of(Accepted)) == 2)
        first, second = scene.server.seen
        assert second.at_s - first.at_s > 0.9
        assert abs(int(second.params["timestamp"]) - int(first.params["timestamp"])) < 100


async def test_an_exit_has_room_where_an_entry_has_none() -> None:
    limits = LimitTerms(orders_per_s=2, orders_reserve_per_s=1)
    async with at_the_gate(limits=limits, terms=GateTerms(leave_within_s=0.2)) as scene:
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        scene.gate.fire(order(3, side=Side.SELL))
        await scene.told.until(lambda: len(scene.told.happenings) == 3)
        assert {each.client_id for each in scene.told.of(Accepted)} == {
            order(1).client_id,
            order(3).client_id,
        }


async def test_an_order_that_is_stopped_while_it_waits_never_leaves() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with at_the_gate(limits=limits, terms=GateTerms(leave_within_s=1.9)) as scene:
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        await asyncio.sleep(0.05)
        assert scene.gate.stop(order(2).client_id)
        assert [each.client_id for each in scene.told.of(Cancelled)] == [order(2).client_id]
        await asyncio.sleep(1.3)
        assert len(scene.server.seen) == 1
        assert len(scene.told.happenings) == 2


async def test_an_order_that_has_left_cannot_be_stopped() -> None:
    async with at_the_gate(silence) as scene:
        scene.gate.fire(order())
        await scene.told.until(lambda: scene.server.seen)
        assert not scene.gate.stop(order().client_id)
        assert (await scene.told.one(Lost)).client_id == order().client_id


async def test_closing_the_gate_tells_what_never_left_and_what_is_of_unknown_fate() -> None:
    limits = LimitTerms(orders_per_s=1, orders_reserve_per_s=0)
    async with at_the_gate(silence, limits=limits) as scene:
        scene.gate.fire(order(1))
        scene.gate.fire(order(2))
        await scene.told.until(lambda: scene.server.seen)
        await scene.gate.close()
        await scene.rest.close()
        await scene.told.until(lambda: len(scene.told.happenings) == 2)
        assert [
            (type(each), each.client_id) for each in scene.told.happenings if isinstance(each, Report)
        ] == [
            (Cancelled, order(2).client_id),
            (Lost, order(1).client_id),
        ]


async def test_one_client_id_is_not_fired_while_it_is_under_way() -> None:
    async with at_the_gate(silence) as scene:
        scene.gate.fire(order())
        with pytest.raises(DomainError):
            scene.gate.fire(order())
        await scene.told.one(Lost)
        assert len(scene.server.seen) == 1


async def test_no_report_and_no_repr_shows_a_secret() -> None:
    for act in UNKNOWN.values():
        async with at_the_gate(act) as scene:
            scene.gate.fire(order())
            await scene.told.one(Lost)
            shown = repr(scene.told.happenings) + repr(scene.gate) + repr(scene.rest)
            signature = scene.params()[0]["signature"]
            for secret in (KEY, SECRET, signature):
                assert secret not in shown


def test_a_gate_without_a_key_and_one_that_would_let_orders_leave_too_late_are_refused() -> None:
    rest = Rest("http://localhost:1", lambda: 0, Limiter(LimitTerms()), Drift(print))
    with pytest.raises(ConfigError) as caught:
        Gate(rest, Told().hear, GateTerms())
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    for terms in ({"leave_within_s": 2.0}, {"burst_within_s": 2.5}, {"leave_within_s": 0.0}):
        with pytest.raises(ConfigError):
            GateTerms(**terms)
