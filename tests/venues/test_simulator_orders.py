"""Placing and cancelling: what is taken, what is refused and how, and how long it travels."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Side, Symbol
from tests import patient
from tests.venues.raw_wire import PATIENT, TRADER, Venue, fields_of, venue

LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"
BTC = Symbol("BTC")


# -- placing -----------------------------------------------------------------------------------------


async def test_an_order_is_told_with_its_id_and_without_its_fate():
    async with venue() as v:
        told = await v.order(f"{LIMIT}&newClientOrderId=my-1")
        assert told == {
            "symbol": "BTCUSDT",
            "orderId": told["orderId"],
            "orderListId": -1,
            "price": "50000",
            "origQty": "0.001",
            "type": "LIMIT",
            "side": "BUY",
            "stpMode": "",
            "transactTime": v.now_ms,
        }
        assert list(told)[:4] == ["symbol", "orderId", "orderListId", "price"]
        assert told["orderId"].startswith("C02__")
        assert len(told["orderId"]) == 26


async def test_the_answer_has_the_documents_fields():
    async with venue() as v:
        told = await v.order(LIMIT)
    documented = fields_of("mexc_net/json_responses/Trading_PlaceOrderAsync.txt")
    assert [name for name in told if name != "stpMode"] == documented


@pytest.mark.parametrize(
    ("query", "kind", "status"),
    [
        ("side=BUY&type=LIMIT&quantity=0.001&price=50000", "LIMIT", "NEW"),
        ("side=BUY&type=LIMIT_ORDER&quantity=0.001&price=50000", "LIMIT", "NEW"),
        ("side=BUY&type=LIMIT_MAKER&quantity=0.001&price=50000", "LIMIT_MAKER", "NEW"),
        ("side=BUY&type=IMMEDIATE_OR_CANCEL&quantity=0.001&price=50000", "IMMEDIATE_OR_CANCEL", "CANCELED"),
        ("side=BUY&type=FILL_OR_KILL&quantity=0.001&price=50000", "FILL_OR_KILL", "CANCELED"),
        ("side=BUY&type=MARKET&quantity=0.001", "MARKET", "FILLED"),
        ("side=BUY&type=MARKET&quoteOrderQty=100", "MARKET", "FILLED"),
        ("side=BUY&type=MARKET&quoteOrderQty=100&price=1", "MARKET", "FILLED"),
        ("side=SELL&type=MARKET&quantity=0.001", "MARKET", "FILLED"),
    ],
)
async def test_every_type_of_order_is_taken(query, kind, status):
    async with venue() as v:
        told = await v.order(f"symbol=BTCUSDT&{query}")
        assert told["type"] == kind
        order = await v.ok("GET", "order", f"symbol=BTCUSDT&orderId={told['orderId']}")
        assert (order["type"], order["status"]) == (kind, status)
        assert Decimal(order["executedQty"]) <= Decimal(order["origQty"])


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("side=BUY&type=LIMIT&quantity=1&price=1", 700004, "Mandatory parameter 'symbol'"),
        ("symbol=BTCUSDT&type=LIMIT&quantity=1&price=1", 700004, "Mandatory parameter 'side'"),
        ("symbol=BTCUSDT&side=BUY&quantity=1&price=1", 700004, "Mandatory parameter 'type'"),
        ("symbol=NONEUSDT&side=BUY&type=LIMIT&quantity=1&price=1", -1121, "Invalid symbol."),
        ("symbol=btcusdt&side=BUY&type=LIMIT&quantity=1&price=1", -1121, "Invalid symbol."),
        ("symbol=BTCUSDT&side=LONG&type=LIMIT&quantity=1&price=1", 33333, "param error"),
        ("symbol=BTCUSDT&side=BUY&type=STOP&quantity=1&price=1", 500, "invalid type"),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1",
            -1128,
            "Combination of optional parameters invalid.",
        ),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&price=1", -1128, "Combination of optional parameters invalid."),
        ("symbol=BTCUSDT&side=BUY&type=MARKET", -1128, "Combination of optional parameters invalid."),
        ("symbol=BTCUSDT&side=SELL&type=MARKET&quoteOrderQty=5", 33333, "param error"),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1e3&price=1", 33333, "param error"),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=NaN&price=1", 33333, "param error"),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=-1&price=1", 33333, "param error"),
        (f"{LIMIT}&stpMode=cancel_everyone", 33333, "param error"),
        (f"{LIMIT}&newClientOrderId=no+blanks", 700008, "illegal characters"),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0&price=50000", 10102, "Amount cannot be zero"),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.00000000001&price=50000",
            10096,
            "amount decimal places",
        ),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000.123456", 33333, "param error"),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.00001&price=50000",
            30002,
            "The minimum transaction volume",
        ),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=5&price=50000", 10101, "Insufficient balance"),
        ("symbol=BTCUSDT&side=SELL&type=LIMIT&quantity=50&price=500000", 30005, "Oversold"),
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=500000", 30087, "Order price exceeds"),
        ("symbol=BTCUSDT&side=SELL&type=LIMIT_MAKER&quantity=0.001&price=50000", 30041, "current order type"),
    ],
)
async def test_what_cannot_be_placed_is_refused_in_the_venues_words(query, code, words):
    async with venue() as v:
        status, told, said = await v.refused("POST", "order", query)
        assert (status, told) == (400, code)
        assert said.startswith(words)
        assert v.world.matcher.placed("trader") == []


async def test_a_client_id_is_used_once():
    async with venue() as v:
        await v.order(f"{LIMIT}&newClientOrderId=once")
        refusal = await v.refused("POST", "order", f"{LIMIT}&newClientOrderId=once")
        assert refusal == (400, 400, "duplicate client order id")


async def test_a_symbol_that_is_not_open_by_api_says_10007_and_a_paused_one_30016():
    async with venue() as v:
        v.world.forbid_api(BTC, v.world.now_ns + SECOND)
        assert await v.refused("POST", "order", LIMIT) == (400, 10007, "symbol not support api")
        v.world.advance(v.world.now_ns + 2 * SECOND)
        await v.order(LIMIT)
        v.world.pause(BTC)
        assert (await v.refused("POST", "order", LIMIT))[1] == 30016
        v.world.reopen(BTC)
        v.world.limit_sides(BTC, Side.SELL)
        assert (await v.refused("POST", "order", LIMIT))[1] == 30001
        v.world.delist(BTC)
        assert (await v.refused("POST", "order", LIMIT))[1] in (30000, -1121)


async def test_a_test_order_is_judged_and_never_placed():
    async with venue() as v:
        assert await v.ok("POST", "order/test", LIMIT) == {}
        assert (await v.refused("POST", "order/test", LIMIT.replace("0.001", "0.00001")))[1] == 30002
        assert (await v.refused("POST", "order/test", LIMIT.replace("BTCUSDT", "X")))[1] == -1121
        assert (await v.refused("POST", "order/test", "symbol=BTCUSDT"))[1] == 700004
        assert v.world.matcher.placed("trader") == []


def batch(*orders: dict[str, Any]) -> str:
    usual = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.001", "price": "50000"}
    return "batchOrders=" + quote(json.dumps([{**usual, **order} for order in orders]), safe="")


async def test_a_batch_answers_for_each_of_its_orders():
    async with venue() as v:
        rows = await v.ok(
            "POST",
            "batchOrders",
            batch(
                {"newClientOrderId": "b1"},
                {"quantity": 0.002},
                {"quantity": "0.00001", "newClientOrderId": "b3"},
                {"side": None},
            ),
        )
        assert list(rows[0]) == ["symbol", "orderId", "newClientOrderId", "orderListId"]
        assert rows[0]["newClientOrderId"] == "b1"
        assert list(rows[1]) == ["symbol", "orderId", "orderListId"]
        assert list(rows[2]) == ["newClientOrderId", "msg", "code"]
        assert rows[2]["code"] == 30002
        assert rows[3]["code"] == 700004
        assert [order["origQty"] for order in await v.ok("GET", "openOrders")] == ["0.002", "0.001"]


@pytest.mark.parametrize(
    "query",
    [
        "batchOrders=%5B%5D",
        "batchOrders=nonsense",
        "batchOrders=%7B%7D",
        "batchOrders=%5B1%5D",
        "batchOrders=%5B%7B%22symbol%22%3A%7B%7D%7D%5D",
        "batchOrders=" + "%5B" * 5_000,
        batch(*[{}] * 21),
        batch({"symbol": "BTCUSDT"}, {"symbol": "MXUSDT"}),
    ],
)
async def test_what_is_no_batch_of_one_symbol_is_refused_whole(query):
    async with venue() as v:
        assert await v.refused("POST", "batchOrders", query) == (400, 33333, "param error")
        assert v.world.matcher.placed("trader") == []


# -- cancelling --------------------------------------------------------------------------------------


async def test_an_order_is_cancelled_by_either_of_its_ids():
    async with venue() as v:
        told = await v.order(f"{LIMIT}&newClientOrderId=mine")
        gone = await v.ok("DELETE", "order", "symbol=BTCUSDT&origClientOrderId=mine")
        assert gone == {
            "symbol": "BTCUSDT",
            "origClientOrderId": "mine",
            "orderId": told["orderId"],
            "clientOrderId": "mine",
            "price": "50000",
            "origQty": "0.001",
            "executedQty": "0",
            "cummulativeQuoteQty": "0",
            "status": "CANCELED",
            "timeInForce": None,
            "type": "LIMIT",
            "side": "BUY",
        }
        second = await v.order(LIMIT)
        gone = await v.ok("DELETE", "order", f"symbol=BTCUSDT&orderId={second['orderId']}")
        assert gone["clientOrderId"] is None
        again = await v.refused("DELETE", "order", f"symbol=BTCUSDT&orderId={second['orderId']}")
        assert again == (400, -2011, "Unknown order sent")


async def test_a_cancellation_has_the_documents_fields():
    async with venue() as v:
        told = await v.order(LIMIT)
        gone = await v.ok("DELETE", "order", f"symbol=BTCUSDT&orderId={told['orderId']}")
        await v.order(LIMIT)
        swept = await v.ok("DELETE", "openOrders", "symbol=BTCUSDT")
    assert list(gone) == fields_of("mexc_net/json_responses/Trading_CancelOrderAsync.txt")
    assert list(swept[0]) == fields_of("official_docs_2025_08/030_Cancel_all_Open_Orders_on_a_Symbol.json", 0)


async def test_what_cannot_be_cancelled_is_refused():
    async with venue() as v:
        told = await v.order(LIMIT)
        either = (
            400,
            700004,
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        )
        assert await v.refused("DELETE", "order", "symbol=BTCUSDT") == either
        assert (await v.refused("DELETE", "order", f"orderId={told['orderId']}"))[1] == 700004
        assert (await v.refused("DELETE", "order", f"symbol=MXUSDT&orderId={told['orderId']}"))[1] == -2011
        assert (await v.refused("DELETE", "order", "symbol=BTCUSDT&origClientOrderId=none"))[1] == -2011
        assert (await v.refused("DELETE", "openOrders"))[1] == 700004
        assert (await v.refused("DELETE", "openOrders", "symbol=NONE"))[1] == -1121


async def test_a_sweep_takes_the_named_symbols_and_order_all_takes_everything():
    async with venue() as v:
        for query in (LIMIT, "symbol=MXUSDT&side=BUY&type=LIMIT&quantity=10&price=1"):
            await v.order(query)
            await v.order(query)
        assert len(await v.ok("DELETE", "openOrders", "symbol=BTCUSDT")) == 2
        assert {row["symbol"] for row in await v.ok("GET", "openOrders")} == {"MXUSDT"}
        await v.order(LIMIT)
        assert len(await v.ok("DELETE", "openOrders", "symbol=BTCUSDT,MXUSDT")) == 3
        await v.order(LIMIT)
        told = await v.ok("DELETE", "order/all")
        assert told == {"code": 200, "msg": "success", "timestamp": v.now_ms}
        assert await v.ok("GET", "openOrders") == []


async def test_a_venue_id_is_never_mistaken_for_somebody_elses_client_id():
    async with venue() as v:
        first = await v.order(LIMIT)
        second = await v.order(f"{LIMIT}&newClientOrderId={first['orderId']}")
        by_id = await v.ok("GET", "order", f"symbol=BTCUSDT&orderId={first['orderId']}")
        assert by_id["orderId"] == first["orderId"]
        by_name = await v.ok("GET", "order", f"symbol=BTCUSDT&origClientOrderId={first['orderId']}")
        assert by_name["orderId"] == second["orderId"]
        assert (await v.refused("GET", "order", f"symbol=BTCUSDT&origClientOrderId={second['orderId']}"))[
            1
        ] == -2013


# -- time and travel ---------------------------------------------------------------------------------


async def received(v: Venue) -> None:
    """Until the venue has the order. It answers in its own time, so only its counter can tell."""
    for _ in range(5_000):
        if v.server.orders_received:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the order never came")


async def test_an_order_that_travels_arrives_later_and_is_answered_later_still():
    terms = replace(PATIENT, latency_ms_median=100)
    async with venue(terms=terms) as v:
        began = v.world.now_ns
        call = asyncio.ensure_future(v.call("POST", "order", LIMIT))
        await received(v)
        assert v.server.orders_in_flight == 1
        assert v.world.matcher.placed("trader") == []
        v.world.advance(began + SECOND)
        told = (await call).json
        placed = v.world.matcher.placed("trader")[0]
        assert 10 * MILLISECOND < placed.created_ns - began < 300 * MILLISECOND
        assert told["transactTime"] == placed.created_ns // MILLISECOND
        assert v.server.orders_in_flight == 0


async def test_the_same_request_always_travels_as_long():
    delays = []
    for _ in range(2):
        async with venue(terms=replace(PATIENT, latency_ms_median=100)) as v:
            call = asyncio.ensure_future(v.call("POST", "order", f"{LIMIT}&newClientOrderId=x"))
            await received(v)
            began = v.world.now_ns
            v.world.advance(began + SECOND)
            await call
            delays.append(v.world.matcher.placed("trader")[0].created_ns - began)
    assert delays[0] == delays[1]


async def test_in_real_time_the_venue_lives_by_itself():
    async with venue(terms=replace(PATIENT, stepped=False)) as v:
        before = v.world.now_ns
        await asyncio.sleep(0.2)
        assert v.world.now_ns - before > 100 * MILLISECOND
        call = v.signed("openOrders", timestamp=v.server.now_ns() // MILLISECOND)
        answer = await v.wire.ask("GET", call, **{"X-MEXC-APIKEY": TRADER.key})
        assert answer.json == []


async def test_the_clock_that_is_wrong_is_the_one_that_judges():
    async with venue() as v:
        await v.wire.ask("POST", "/simulator/clock", b'{"shift_ms": 20000}')
        assert (await v.refused("GET", "openOrders"))[1] == 700003
        assert (await v.call("GET", "openOrders", timestamp=v.now_ms + 20_000)).status == 200


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "symbol",
                "side",
                "type",
                "quantity",
                "price",
                "quoteOrderQty",
                "newClientOrderId",
                "stpMode",
                "orderId",
                "limit",
            ]
        ),
        st.sampled_from(
            ["BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "1", "0.001", "50000", "9" * 39, "", "é", "a b"]
        )
        | st.text(max_size=6),
    ),
    st.sampled_from(
        ["POST order", "POST order/test", "DELETE order", "GET order", "GET allOrders", "GET myTrades"]
    ),
)
def test_whatever_is_asked_is_answered_in_json_with_a_code(params, what):
    async def ask() -> None:
        async with venue() as v:
            method, path = what.split(" ")
            query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())
            answer = await v.call(method, path, query)
            assert answer.status in (200, 400)
            assert answer.status == 200 or isinstance(answer.json["code"], int)

    patient.run(ask())
