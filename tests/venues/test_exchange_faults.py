"""``CcxtExchange`` when the venue is bad: refused only by a clear no, and never sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt
import pytest

from mexclab.domain.market import Side
from mexclab.domain.order import OrderState
from mexclab.domain.reports import Accepted, Cancelled, Lost, Refused, Traded
from mexclab.errors import OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.exchange_errors import Heard, judged, said
from mexclab.venues.mexc.confirm import ConfirmTerms
from mexclab.venues.mexc.endpoints import ACCOUNT, NEW_ORDER
from mexclab.venues.mexc.limits import LimitTerms
from tests.venues.ccxt_rig import BTC, ME
from tests.venues.exchange_rig import IDS, desk_of, serving, trading
from tests.venues.served import planned

pytestmark = pytest.mark.parametrize("exchange_id", IDS)


def rule(fault: str, path: str = "*/order", method: str = "POST", **more: Any) -> dict[str, Any]:
    return {"fault": fault, "path": path, "method": method, "count": 1, **more}


OPEN_ENDS = [
    rule("lose_reply"),
    rule("status", status=503, handled=True),
    rule("status", status=500, handled=True),
    rule("html", status=502, handled=True),
    rule("html", status=403, handled=True),
    rule("truncated_json", keep=0.5),
    rule("refuse", code=504, msg="Gateway Time-out", handled=True),
    rule("slow_reply", delay_ms=3_000),
]


@pytest.mark.parametrize("bad", OPEN_ENDS, ids=lambda bad: f"{bad['fault']}-{bad.get('status', '')}")
async def test_an_order_without_a_clear_answer_is_lost_found_and_never_resent(
    exchange_id: str, bad: dict[str, Any]
) -> None:
    async with desk_of(exchange_id, planned(bad), deadline_s=1.0) as desk:
        order = desk.bid()
        desk.x.submit(order)
        (lost,) = await desk.until(Lost)
        assert lost.client_id == order.client_id
        found = await desk.x.order(order.client_id, BTC)
        assert found is not None
        assert found.state is OrderState.ACCEPTED
        assert desk.server.orders_received == 1
        assert len(desk.world.matcher.placed(ME.owner)) == 1


async def test_a_lost_order_that_trades_is_told_all_the_same(exchange_id: str) -> None:
    async with desk_of(exchange_id, planned(rule("lose_reply"))) as desk:
        desk.x.submit(desk.taker())
        await desk.until(Lost)
        (traded, *_) = await desk.until(Traded)
        assert traded.fill.client_id == desk.taker().client_id


@pytest.mark.parametrize("fault", ["drop", "delay"])
async def test_an_order_that_was_swallowed_is_lost_and_then_known_not_to_be(
    exchange_id: str, fault: str
) -> None:
    more = {"delay_ms": 60_000} if fault == "delay" else {}
    async with desk_of(exchange_id, planned(rule(fault, **more)), deadline_s=0.5) as desk:
        desk.x.submit(desk.bid())
        await desk.until(Lost)
        assert await desk.x.order(desk.bid().client_id, BTC) is None
        assert desk.server.orders_received == 1


async def test_too_many_requests_are_a_refusal(exchange_id: str) -> None:
    async with desk_of(exchange_id, planned(rule("status", status=429, retry_after_s=1))) as desk:
        desk.x.submit(desk.bid())
        (refused,) = await desk.until(Refused)
        assert refused.code == 429
        assert desk.world.matcher.placed(ME.owner) == []
        assert desk.x.client.limiter.state().quiet_for_s > 0


async def test_a_venue_that_is_not_there_was_sent_nothing(exchange_id: str) -> None:
    async with serving() as server, trading(server, exchange_id) as desk:
        order = desk.bid()
        await desk.x.data.ready()
        await server.stop()
        await asyncio.sleep(0.1)  # the client hears of the end of its connections
        desk.x.submit(order)
        (ended,) = await desk.until(Cancelled)
        assert "never left" in ended.why
        with pytest.raises(VenueUnavailable):
            await desk.x.balances()


@pytest.mark.parametrize("fault", ["lose_reply", "drop"])
async def test_a_cancellation_without_an_answer_is_repeated_until_the_end_is_known(
    exchange_id: str, fault: str
) -> None:
    async with desk_of(exchange_id, planned(rule(fault, method="DELETE"))) as desk:
        order = desk.bid()
        desk.x.submit(order)
        await desk.until(Accepted)
        desk.x.cancel(order)
        (ended,) = await desk.until(Cancelled)
        assert (ended.client_id, ended.executed) == (order.client_id, 0)
        assert desk.world.matcher.open_orders(ME.owner) == []


async def test_cancelling_what_has_filled_tells_of_the_fill(exchange_id: str) -> None:
    async with desk_of(exchange_id) as desk:
        order = desk.taker()
        desk.x.submit(order)
        await desk.until(Traded)
        desk.x.cancel(order)
        await asyncio.sleep(0.3)
        assert [type(each) for each in desk.told] == [Accepted, Traded]


async def test_an_end_that_cannot_be_asked_for_is_lost(exchange_id: str) -> None:
    deaf = planned(rule("status", method="GET", status=503) | {"count": 1_000})
    quick = ConfirmTerms(first_s=0.02, longest_s=0.1, give_up_s=0.3)
    async with desk_of(exchange_id, deaf, confirm=quick) as desk:
        desk.x.submit(desk.taker())
        await desk.until(Accepted)
        (lost,) = await desk.until(Lost)
        assert "its end is not known" in lost.why


QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 503}),
    ("html", {"status": 502}),
    ("truncated_json", {"keep": 0.4}),
    ("lose_reply", {"count": 2}),  # the HTTP library below ccxt asks again once by itself
    ("refuse", {"code": 700007, "msg": "No permission to access the endpoint."}),
]


@pytest.mark.parametrize(("fault", "more"), QUESTIONS, ids=[fault for fault, _ in QUESTIONS])
async def test_a_question_without_an_answer_says_nothing(
    exchange_id: str, fault: str, more: dict[str, Any]
) -> None:
    bad = [
        rule(fault, path=path, method="GET", **more)
        for path in ("*/account", "*/openOrders", "*/myTrades", "*/order")
    ]
    async with desk_of(exchange_id, planned(*bad)) as desk:
        for ask in (
            desk.x.balances,
            desk.x.open_orders,
            lambda: desk.x.fills(BTC, 0),
            lambda: desk.x.order("any", BTC),
        ):
            with pytest.raises(VenueUnavailable):
                await ask()
        assert await desk.x.order("any", BTC) is None


async def test_wrong_types_never_become_wrong_values(exchange_id: str) -> None:
    """Numbers where strings belong and strings where numbers do: read exactly, or not at all."""
    bad = [
        rule("wrong_types", path=path, method="GET") for path in ("*/account", "*/openOrders", "*/myTrades")
    ]
    async with desk_of(exchange_id, planned(*bad)) as desk:
        desk.x.submit(desk.taker())
        await desk.until(Traded)
        own = {asset: held for asset, held in desk.world.matcher.balances(ME.owner).items() if held.total}
        known = desk.world.matcher.own_trades(ME.owner, 0)
        found = await _unless_unavailable(desk.x.balances())
        assert found in (None, own)
        fills = await _unless_unavailable(desk.x.fills(BTC, 0))
        if fills is not None:
            assert [(fill.price, fill.quantity, fill.fee) for fill in fills] == [
                (each.fill.price, each.fill.quantity, each.fill.fee) for each in known
            ]


async def _unless_unavailable(question: Any) -> Any:
    try:
        return await question
    except VenueUnavailable:
        return None


async def test_what_ccxt_raises_after_sending_is_a_refusal_only_with_the_venues_own_word(
    exchange_id: str,
) -> None:
    name = exchange_id
    no = Heard(True, 400, {}, '{"code":30004,"msg":"Insufficient position"}')
    found = judged(ccxt.InsufficientFunds(name), no, NEW_ORDER, ccxt)
    assert isinstance(found, VenueRejected)
    assert (found.data["code"], found.data["words"]) == (30004, "Insufficient position")
    for error, heard in (
        (ccxt.RequestTimeout(name), Heard(True)),
        (ccxt.NetworkError(name), Heard(True)),
        (ccxt.ExchangeNotAvailable(name), Heard(True)),
        (ccxt.ExchangeNotAvailable(name), Heard(True, 400, {}, "Bad Request")),
        (ccxt.BadResponse(name), Heard(True, 200, {}, "{")),
        (ccxt.ExchangeError(name), Heard(True)),
        (ccxt.ExchangeError(name), Heard(True, 400, {}, '{"msg":"?"}')),
        (ccxt.ExchangeError(name), Heard(True, 400, {}, '{"code":500,"msg":"Internal error"}')),
        (ccxt.InsufficientFunds(name), Heard(True, 503, {}, '{"code":30004,"msg":""}')),
        (ccxt.AuthenticationError(name), Heard(True, 401, {}, "<html>")),
        (ccxt.OperationFailed(name), Heard(True, 400, {}, '{"code":-1006,"msg":"unknown"}')),
        (ccxt.RequestTimeout(name), Heard(True, 400, {}, '{"code":-1007,"msg":"unknown"}')),
    ):
        assert isinstance(judged(error, heard, NEW_ORDER, ccxt), OrderUnknown), (error, heard)
        assert isinstance(judged(error, heard, ACCOUNT, ccxt), VenueUnavailable)
    local = judged(ccxt.InvalidOrder("too small"), Heard(), NEW_ORDER, ccxt)
    assert isinstance(local, VenueRejected)
    assert local.data["code"] == 0
    assert isinstance(judged(ccxt.NetworkError(name), Heard(), NEW_ORDER, ccxt), VenueUnavailable)
    assert said("<html>") is None
    assert said('[{"code":"-2011","msg":"Unknown order sent."}]') == (-2011, "Unknown order sent.")


async def test_a_sale_may_use_the_reserve_and_a_purchase_may_not(exchange_id: str) -> None:
    tight = LimitTerms(orders_per_s=2, orders_reserve_per_s=1)
    async with desk_of(exchange_id, limits=tight, turn_s=0.2) as desk:
        for order in (desk.bid("first"), desk.bid("second"), desk.taker("sells", side=Side.SELL)):
            desk.x.submit(order)
        accepted = {each.client_id for each in await desk.until(Accepted, 2)}
        assert accepted == {f"{exchange_id}-first", f"{exchange_id}-sells"}
        (given_up,) = await desk.until(Cancelled)
        assert given_up.client_id == f"{exchange_id}-second"
