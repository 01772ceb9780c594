"""What the simulator refuses, unmodified ccxt raises as it would before MEXC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from mexclab.domain.market import Side
from mexclab.venues.simulator.world import Account
from tests.venues.ccxt_rig import BTC, ME, PATIENT, Rig, client, rig, venue


@pytest.fixture(params=["sync", "async"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with rig(request.param) as found:
        yield found


async def raised(desk: Rig, name: str, *args: Any, **more: Any) -> tuple[type[Exception], str]:
    """The very class that a call raises, and its words."""
    with pytest.raises(ccxt.BaseError) as caught:
        await desk.ask(name, *args, **more)
    return type(caught.value), str(caught.value)


async def ordered(desk: Rig, side: str, amount: float, price: float) -> tuple[type[Exception], str]:
    return await raised(desk, "create_order", "BTC/USDT", "limit", side, amount, price)


async def test_what_cannot_be_paid_is_insufficient_funds(desk: Rig) -> None:
    bid = float(desk.touch(Side.BUY)[0])
    kind, words = await ordered(desk, "sell", 1_000, bid)
    assert kind is ccxt.InsufficientFunds
    assert "30005" in words
    assert "Oversold" in words
    kind, words = await ordered(desk, "buy", 100_000, bid)
    assert kind is ccxt.InsufficientFunds
    assert "10101" in words


async def test_an_unknown_pair_is_a_bad_symbol(desk: Rig) -> None:
    assert (await raised(desk, "fetch_ticker", "NOPE/USDT"))[0] is ccxt.BadSymbol
    kind, words = await raised(desk, "spotPublicGetDepth", {"symbol": "NOPEUSDT"})
    assert kind is ccxt.BadSymbol
    assert "-1121" in words


async def test_a_pair_that_is_not_open_by_api_is_a_bad_symbol(desk: Rig) -> None:
    desk.world.forbid_api(BTC, None)
    kind, words = await ordered(desk, "buy", 0.01, float(desk.touch(Side.BUY)[0]))
    assert kind is ccxt.BadSymbol
    assert "10007" in words
    assert "symbol not support api" in words


async def test_an_unknown_order_is_a_bad_request_to_cancel_and_an_error_to_ask_for(desk: Rig) -> None:
    kind, words = await raised(desk, "cancel_order", "C02__0", "BTC/USDT")
    assert kind is ccxt.BadRequest
    assert "-2011" in words
    kind, words = await raised(desk, "fetch_order", "C02__0", "BTC/USDT")
    assert kind is ccxt.ExchangeError
    assert "-2013" in words


async def test_off_lot_too_small_and_out_of_band_are_invalid_orders(desk: Rig) -> None:
    bid = desk.touch(Side.BUY)[0]
    wanted = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": str(bid)}
    kind, words = await raised(desk, "spotPrivatePostOrder", {**wanted, "quantity": "0.0100000001"})
    assert (kind, "10096" in words) == (ccxt.InvalidOrder, True)
    kind, words = await ordered(desk, "buy", 0.000001, float(bid))
    assert (kind, "30002" in words) == (ccxt.InvalidOrder, True)
    kind, words = await ordered(desk, "buy", 0.01, float(bid * 2))
    assert (kind, "30087" in words) == (ccxt.InvalidOrder, True)
    assert desk.world.matcher.placed(ME.owner) == []


async def test_ccxt_itself_cuts_an_amount_to_whole_lots(desk: Rig) -> None:
    created = await desk.ask(
        "create_order", "BTC/USDT", "limit", "buy", 0.0100009, float(desk.touch(Side.BUY)[0])
    )
    assert desk.placed(created["id"]).quantity == Decimal("0.010000")
    kind, _ = await ordered(desk, "buy", 0.0000001, 80_000.0)
    assert kind is ccxt.InvalidOrder


async def test_a_paused_and_a_delisted_pair_refuse_each_in_their_way(desk: Rig) -> None:
    bid = float(desk.touch(Side.BUY)[0])
    desk.world.limit_sides(BTC, Side.BUY)
    assert (await ordered(desk, "sell", 0.01, bid))[0] is ccxt.InvalidOrder  # 30001
    desk.world.pause(BTC)
    assert (await ordered(desk, "buy", 0.01, bid))[0] is ccxt.InvalidOrder  # 30016
    desk.world.delist(BTC)
    kind, words = await ordered(desk, "buy", 0.01, bid)
    assert kind is ccxt.ExchangeError
    assert "30000" in words


async def test_a_doubled_client_order_id_is_refused(desk: Rig) -> None:
    order = ("BTC/USDT", "limit", "buy", 0.01, float(desk.touch(Side.BUY)[0]), {"clientOrderId": "twice"})
    await desk.ask("create_order", *order)
    kind, words = await raised(desk, "create_order", *order)
    assert issubclass(kind, ccxt.ExchangeError)
    assert "duplicate client order id" in words
    assert len(desk.world.matcher.placed(ME.owner)) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("credentials", "expected", "code"),
    [
        ({"apiKey": "mx0nobody"}, ccxt.BadRequest, "10072"),
        ({"apiKey": "nonsense"}, ccxt.AuthenticationError, "700001"),
        ({"secret": "f" * 32}, ccxt.AuthenticationError, "700002"),
    ],
)
async def test_a_bad_key_is_turned_away(
    kind: str, credentials: dict[str, str], expected: Any, code: str
) -> None:
    async with venue() as server, client(server, kind, **credentials) as desk:
        found, words = await raised(desk, "spotPrivateGetAccount")
        assert found is expected
        assert code in words


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("difference_ms", [60_000, -5_000])
async def test_a_clock_that_is_wrong_is_an_invalid_nonce(kind: str, difference_ms: int) -> None:
    wrong = {"timeDifference": difference_ms, "recvWindow": 5_000}
    async with venue() as server, client(server, kind, options=wrong) as desk:
        found, words = await raised(desk, "spotPrivateGetAccount")
        assert found is ccxt.InvalidNonce
        assert "700003" in words


async def test_a_key_that_may_not_trade_is_told_so() -> None:
    reader: Account = replace(ME, can_trade=False)
    async with venue(accounts=(reader,)) as server, client(server, "async") as desk:
        await desk.ask("load_markets")
        found, words = await ordered(desk, "buy", 0.01, float(desk.touch(Side.BUY)[0]))
        assert found is ccxt.AuthenticationError
        assert "700007" in words


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_who_asks_too_often_exceeds_the_rate_limit(kind: str) -> None:
    async with rig(kind, replace(PATIENT, orders_per_s=2)) as desk:
        found = set()
        for _ in range(4):
            try:
                await desk.ask("create_order", "BTC/USDT", "limit", "buy", 0.01, 80_000.0)
            except ccxt.BaseError as error:
                found.add(type(error))
        assert found == {ccxt.RateLimitExceeded}
