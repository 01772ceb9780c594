"""Every signed endpoint: its fields, their order and types, and how it says no."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Symbol
from tests.venues.raw_wire import TRADER, fields_of, venue

LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"
BTC = Symbol("BTC")


# -- asking ------------------------------------------------------------------------------------------


async def test_an_order_shows_every_field_and_leaves_null_what_live_answers_leave():
    async with venue() as v:
        told = await v.order(f"{LIMIT}&stpMode=cancel_maker")
        order = await v.ok("GET", "order", f"symbol=BTCUSDT&orderId={told['orderId']}")
        assert order == {
            "symbol": "BTCUSDT",
            "orderId": told["orderId"],
            "orderListId": -1,
            "clientOrderId": None,
            "price": "50000",
            "origQty": "0.001",
            "executedQty": "0",
            "cummulativeQuoteQty": "0",
            "status": "NEW",
            "timeInForce": None,
            "type": "LIMIT",
            "side": "BUY",
            "stopPrice": None,
            "icebergQty": None,
            "time": v.now_ms,
            "updateTime": v.now_ms,
            "stpMode": "cancel_maker",
            "cancelReason": None,
            "isWorking": True,
            "origQuoteOrderQty": "50",
        }
        assert await v.refused("GET", "order", "symbol=BTCUSDT&orderId=1") == (
            400,
            -2013,
            "Order does not exist.",
        )


async def test_orders_and_trades_have_the_recorded_fields_in_their_order():
    async with venue() as v:
        await v.order("symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=100")
        order = (await v.ok("GET", "allOrders", "symbol=BTCUSDT"))[0]
        trade = (await v.ok("GET", "myTrades", "symbol=BTCUSDT"))[0]
    newer = {"stpMode", "cancelReason"}
    recorded = fields_of("ccxt_static/response_http_only.json", "fetchOrders", 0)
    assert [name for name in order if name not in newer] == recorded
    assert list(trade) == fields_of("ccxt_static/response_http_only.json", "fetchMyTrades", 0)


async def test_a_trade_is_told_with_its_fee_and_adds_up_with_its_order():
    async with venue() as v:
        told = await v.order("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.5&newClientOrderId=m1")
        trades = await v.ok("GET", "myTrades", "symbol=BTCUSDT")
        order = await v.ok("GET", "order", "symbol=BTCUSDT&origClientOrderId=m1")
        assert (
            sum(Decimal(trade["qty"]) for trade in trades) == Decimal(order["executedQty"]) == Decimal("0.5")
        )
        assert sum(Decimal(trade["quoteQty"]) for trade in trades) == Decimal(order["cummulativeQuoteQty"])
        for trade in trades:
            assert (trade["orderId"], trade["clientOrderId"]) == (told["orderId"], "m1")
            assert trade["commission"] == f"{Decimal(trade['quoteQty']) * Decimal('0.0005'):f}".rstrip("0")
            assert (trade["commissionAsset"], trade["isBuyer"], trade["isMaker"]) == ("USDT", True, False)
            assert (trade["isBestMatch"], trade["isSelfTrade"], trade["time"]) == (True, False, v.now_ms)
        assert await v.ok("GET", "myTrades", f"symbol=BTCUSDT&orderId={told['orderId']}&limit=1") == [
            trades[0]
        ]
        assert await v.ok("GET", "myTrades", "symbol=MXUSDT") == []


async def test_lists_come_newest_first_within_their_time():
    async with venue() as v:
        began = v.now_ms
        for number in range(3):
            await v.order(f"{LIMIT}&newClientOrderId=t{number}")
            v.world.advance(v.world.now_ns + SECOND)

        async def ids(path: str, query: str = "") -> list[str]:
            return [row["clientOrderId"] for row in await v.ok("GET", path, f"symbol=BTCUSDT{query}")]

        assert await ids("allOrders") == await ids("openOrders") == ["t2", "t1", "t0"]
        assert await ids("allOrders", "&limit=2") == ["t2", "t1"]
        assert await ids("allOrders", f"&startTime={began + 1000}") == ["t2", "t1"]
        assert await ids("allOrders", f"&endTime={began + 1000}") == ["t1", "t0"]
        assert await ids("allOrders", f"&startTime={began + 1001}&endTime={began + 1999}") == []
        assert await ids("allOrders", f"&endTime={began - 1}") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 700004),
        ("symbol=NONE", -1121),
        ("symbol=BTCUSDT&limit=many", 33333),
        ("symbol=BTCUSDT&startTime=-1", 33333),
        ("symbol=BTCUSDT&startTime=1", -1128),
    ],
)
async def test_a_list_that_cannot_be_given_is_refused(query, code):
    async with venue() as v:
        assert (await v.refused("GET", "allOrders", query))[1] == code


async def test_the_account_shows_what_is_free_and_what_is_held():
    async with venue() as v:
        await v.order(LIMIT)
        told = await v.ok("GET", "account")
        assert told["balances"] == [
            {"asset": "USDT", "free": "99949.975", "locked": "50.025", "available": "99949.975"},
            {"asset": "BTC", "free": "10", "locked": "0", "available": "10"},
        ]
        assert told["makerCommission"] is None
        assert (told["canTrade"], told["accountType"], told["permissions"]) == (True, "SPOT", ["SPOT"])
    assert list(told) == fields_of("mexc_net/json_responses/Account_GetAccountInfoAsync.txt")


async def test_fees_are_numbers_as_the_venue_prints_them():
    async with venue() as v:
        answer = await v.call("GET", "tradeFee", "symbol=BTCUSDT")
        assert answer.body.startswith(
            b'{"data":{"makerCommission":0.000000000000000000,"takerCommission":0.000500000000000000},"code":0,'
        )
        assert (await v.refused("GET", "tradeFee"))[1] == 700004
        assert (await v.refused("GET", "tradeFee", "symbol=NONE"))[1] == -1121


async def test_small_answers_have_the_documents_shape():
    async with venue() as v:
        assert await v.ok("GET", "kyc/status") == {"status": "1"}
        assert await v.ok("GET", "uid") == {"uid": TRADER.uid}
        symbols = await v.ok("GET", "selfSymbols")
        assert (list(symbols), symbols["code"], symbols["msg"]) == (["code", "data", "msg"], 200, None)
        assert {"BTCUSDT", "MXUSDT"} <= set(symbols["data"])


async def test_paying_in_mx_is_remembered():
    async with venue() as v:
        off = {"data": {"mxDeductEnable": False}, "code": 0, "msg": "success", "timestamp": v.now_ms}
        assert await v.ok("GET", "mxDeduct/enable") == off
        on = {**off, "data": {"mxDeductEnable": True}}
        assert await v.ok("POST", "mxDeduct/enable", "mxDeductEnable=true") == on
        assert await v.ok("GET", "mxDeduct/enable") == on
        assert (await v.refused("POST", "mxDeduct/enable", "mxDeductEnable=maybe"))[1] == 700004


async def test_every_coin_is_told_with_a_network():
    async with venue() as v:
        coins = await v.ok("GET", "capital/config/getall")
        assert {"BTC", "MX", "USDT"} <= {coin["coin"] for coin in coins}
        assert [coin["coin"] for coin in await v.ok("GET", "capital/config/getall", "coin=BTC")] == ["BTC"]
        assert await v.ok("GET", "capital/config/getall", "coin=NONE") == []
    network = fields_of("mexc_net/endpoints/Account_GetUserAssets.txt", 0, "networkList", 0)
    assert {name.lower() for name in network} <= {name.lower() for name in coins[0]["networkList"][0]}


async def test_listen_keys_are_made_shown_extended_and_ended():
    async with venue() as v:
        key = (await v.ok("POST", "userDataStream"))["listenKey"]
        assert await v.ok("GET", "userDataStream") == {"listenKey": [key]}
        assert await v.ok("PUT", "userDataStream", f"listenKey={key}") == {"listenKey": key}
        assert await v.ok("DELETE", "userDataStream", f"listenKey={key}") == {"listenKey": key}
        assert await v.ok("GET", "userDataStream") == {"listenKey": []}
        for method in ("PUT", "DELETE"):
            assert (await v.refused(method, "userDataStream", f"listenKey={key}"))[1] == 22222
            assert (await v.refused(method, "userDataStream"))[1] == 700004
        for _ in range(60):
            await v.ok("POST", "userDataStream")
        assert await v.refused("POST", "userDataStream") == (400, 26, "operation not allowed")


async def test_groups_are_kept_and_shown():
    async with venue() as v:
        made = (await v.ok("POST", "strategy/group", "tradeGroupName=mine"))["data"]
        number = made["tradeGroupId"]
        assert (await v.refused("POST", "strategy/group", "tradeGroupName=mine"))[1] == 33333
        await v.ok("POST", "strategy/group/uid", f"tradeGroupId={number}&uid=1,2")
        await v.ok("DELETE", "strategy/group/uid", f"tradeGroupId={number}&uid=1")
        shown = await v.ok("GET", "strategy/group", "tradeGroupName=mine")
        assert (shown["code"], shown["msg"]) == (200, "success")
        assert shown["data"] == [{"tradeGroupName": "mine", "tradeGroupId": number, "uid": "2"}]
        assert (await v.refused("POST", "strategy/group/uid", "tradeGroupId=99&uid=1"))[1] == 22222
        assert (await v.ok("DELETE", "strategy/group", f"tradeGroupId={number}"))["data"] is True
        assert (await v.ok("GET", "strategy/group"))["data"] == []
