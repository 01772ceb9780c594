"""What the account asks: all pages or none, nothing taken for nothing, and no answer about something else."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderState
from mexclab.domain.reports import Accepted, Cancelled, Traded
from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.account import AccountTerms, MexcAccount
from mexclab.venues.mexc.confirm import ConfirmTerms
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.mexc.own_trades import PAGE
from tests import patient
from tests.venues.mexc.gate_scene import Told, order, rest_to
from tests.venues.mexc.raw_server import (
    Act,
    RawServer,
    Talk,
    hangs_up,
    message,
    raw_server,
    refuses,
    says,
    takes,
)

BTC = Symbol("BTC")
LIMITS = LimitTerms(ip_weight_per_10s=10**6, uid_weight_per_10s=10**6)
MS = 1_000_000


@asynccontextmanager
async def account_at(
    *script: Act, otherwise: Act = hangs_up, confirms: bool = False
) -> AsyncIterator[tuple[MexcAccount, RawServer, Told]]:
    async with raw_server(otherwise, *script) as server:
        rest, told = rest_to(server.url, LIMITS), Told()
        account = MexcAccount(rest, told.hear, AccountTerms(confirm_by_query=confirms))
        try:
            yield account, server, told
        finally:
            await account.close()
            await rest.close()


def order_row(**changes: object) -> dict[str, object]:
    return {
        "symbol": "BTCUSDT", "orderId": "C02__7", "orderListId": -1, "clientOrderId": None, "price": "100.25",
        "origQty": "0.5", "executedQty": "0.2", "cummulativeQuoteQty": "20.05", "status": "PARTIALLY_FILLED",
        "timeInForce": None, "type": "LIMIT", "side": "BUY", "stopPrice": None, "icebergQty": None,
        "time": 1_700_000_000_000, "updateTime": 1_700_000_000_000, "stpMode": "", "cancelReason": None,
        "isWorking": True, "origQuoteOrderQty": "50.125", **changes,
    }  # fmt: skip


def trade_row(number: int, at_ms: int, **changes: object) -> dict[str, object]:
    return {
        "symbol": "BTCUSDT", "id": f"{number}X1", "orderId": "C02__7", "orderListId": -1, "price": "100.25",
        "qty": "0.1", "quoteQty": "10.025", "commission": "0.005", "commissionAsset": "USDT", "time": at_ms,
        "isBuyer": True, "isMaker": False, "isBestMatch": True, "isSelfTrade": False, "clientOrderId": None,
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize("code", [-2011, -2013, 22222])
async def test_only_the_venues_word_that_it_has_no_such_order_means_none(code: int) -> None:
    async with account_at(refuses(code, "no such order")) as (account, server, _):
        assert await account.order("snipe-b-1", BTC) is None
        params = server.seen[0].params
        assert (params["symbol"], params["origClientOrderId"]) == ("BTCUSDT", "snipe-b-1")


@pytest.mark.parametrize(
    "act",
    [
        hangs_up,
        refuses(700002, "Signature for this request is not valid."),
        refuses(700003, "Timestamp for this request is outside of the recvWindow."),
        refuses(10072, "Api key info invalid"),
        says(404, {"code": 404, "msg": "Not Found"}),
        says(404, b"<html>", "Content-Type: text/html"),
        says(429, {"code": 429, "msg": "Too Many Requests"}),
        says(500, {"code": 500, "msg": "Internal"}),
        says(200, {}),
        says(200, []),
        says(200, order_row(status="UNHEARD_OF")),
        says(200, order_row(executedQty="NaN")),
        says(200, order_row(symbol="ETHUSDT")),
        says(200, order_row(clientOrderId="snipe-b-2")),
    ],
)
async def test_every_other_answer_about_an_order_says_nothing_about_it(act: Act) -> None:
    async with account_at(act) as (account, _, _):
        with pytest.raises(VenueUnavailable):
            await account.order("snipe-b-1", BTC)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NEW", OrderState.ACCEPTED),
        ("PARTIALLY_FILLED", OrderState.PARTIALLY_FILLED),
        ("FILLED", OrderState.FILLED),
        ("CANCELED", OrderState.CANCELED),
        ("PARTIALLY_CANCELED", OrderState.CANCELED),
    ],
)
async def test_the_venues_states_are_ours(status: str, state: OrderState) -> None:
    async with account_at(says(200, order_row(status=status))) as (account, _, _):
        known = await account.order("snipe-b-1", BTC)
        assert known is not None
        assert (known.state, known.client_id, known.venue_id) == (state, "snipe-b-1", "C02__7")
        assert (known.quantity, known.filled, known.side) == (Decimal("0.5"), Decimal("0.2"), Side.BUY)


async def test_orders_and_trades_without_a_client_id_are_known_by_the_venues_id() -> None:
    rows, trades = [order_row(), order_row(orderId="C02__8")], [trade_row(1, 5)]
    async with account_at(takes("C02__7"), says(200, rows), says(200, trades)) as (account, _, told):
        account.submit(order())
        await told.one(Accepted)
        mine, strangers = await account.open_orders()
        assert (mine.client_id, strangers.client_id) == (order().client_id, "")
        (fill,) = await account.fills(BTC, 0)
        assert fill.client_id == order().client_id


@pytest.mark.parametrize(
    "rows",
    [
        [trade_row(1, 5), trade_row(2, 6, qty="many")],
        [trade_row(1, 5), trade_row(2, 6, price="0")],
        [trade_row(1, 5, symbol="ETHUSDT")],
        [trade_row(1, 5, commission=None)],
        {"code": 0},
    ],
)
async def test_trades_that_cannot_all_be_read_are_no_trades(rows: object) -> None:
    async with account_at(says(200, rows)) as (account, _, _):
        with pytest.raises(VenueUnavailable):
            await account.fills(BTC, 0)


async def test_open_orders_that_cannot_all_be_read_are_not_all_open_orders() -> None:
    async with account_at(says(200, [order_row(), order_row(orderId="")])) as (account, _, _):
        with pytest.raises(VenueUnavailable):
            await account.open_orders()


async def test_balances_are_exact() -> None:
    rows = [{"asset": "USDT", "free": "0.1", "locked": "0.2", "available": "0.1"}]
    reply: dict[str, Any] = {"canTrade": True, "balances": rows}
    async with account_at(says(200, reply), says(200, {**reply, "balances": None})) as (account, _, _):
        assert (await account.balances())["USDT"].total == Decimal("0.3")
        with pytest.raises(VenueUnavailable):
            await account.balances()


class Trades:
    """A venue that keeps trades, and shows one page of a span at a time, from one end or the other."""

    def __init__(self, rows: list[dict[str, Any]], newest_first: bool) -> None:
        self.rows = rows
        self.newest_first = newest_first

    async def act(self, talk: Talk) -> None:
        params = talk.seen.params
        first, last = (int(params.get(name, edge)) for name, edge in (("startTime", 0), ("endTime", 10**15)))
        inside = [row for row in self.rows if first <= row["time"] <= last]
        inside.sort(key=lambda row: row["time"], reverse=self.newest_first)
        await talk.say(message(200, json.dumps(inside[: int(params["limit"])]).encode()))


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 2_000), max_size=400),
    st.integers(0, 2_000),
    st.booleans(),
)
def test_the_pages_of_a_span_hold_every_trade_once_whichever_end_the_venue_shows_first(
    offsets: list[int], since: int, newest_first: bool
) -> None:
    base = time.time_ns() // MS - 10_000
    assume(max(Counter(offsets).values(), default=0) < PAGE)
    rows = [trade_row(number, base + offset) for number, offset in enumerate(offsets)]

    async def scene() -> None:
        async with account_at(otherwise=Trades(rows, newest_first).act) as (account, _, _):
            fills = await account.fills(BTC, (base + since) * MS)
            wanted = sorted((row for row in rows if row["time"] >= base + since), key=lambda row: row["time"])
            assert [fill.at_ns for fill in fills] == [row["time"] * MS for row in wanted]
            assert {fill.trade_id for fill in fills} == {row["id"] for row in wanted}

    patient.run(scene())


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("crowd", [PAGE - 1, PAGE + 1])
async def test_a_millisecond_with_more_trades_than_a_page_is_not_guessed_at(
    newest_first: bool, crowd: int
) -> None:
    base = time.time_ns() // MS - 10_000
    rows = [trade_row(number, base + max(0, number - crowd + 1)) for number in range(crowd + 150)]
    async with account_at(otherwise=Trades(rows, newest_first).act) as (account, _, _):
        if crowd < PAGE:
            assert len(await account.fills(BTC, base * MS)) == len(rows)
        else:
            with pytest.raises(VenueUnavailable, match="one millisecond"):
                await account.fills(BTC, base * MS)


async def test_trades_are_asked_for_no_further_back_than_the_venue_keeps_them() -> None:
    async with account_at(says(200, [])) as (account, server, _):
        await account.fills(BTC, 0)
        first = int(server.seen[0].params["startTime"])
        assert 29 < (time.time() - first / 1000) / 86_400 < 31


async def test_an_order_with_more_trades_than_a_page_is_told_in_full() -> None:
    base = time.time_ns() // MS - 10_000
    rows = [trade_row(number, base + number) for number in range(250)]
    filled = order_row(status="FILLED", executedQty="25", origQty="25")
    async with account_at(says(200, filled), otherwise=Trades(rows, True).act) as (account, _, _):
        known = await account.order("snipe-b-1", BTC)
        assert known is not None
        fills = await account.fills_of(known)
        assert sum(fill.quantity for fill in fills) == known.filled
        assert {fill.client_id for fill in fills} == {"snipe-b-1"}


async def test_trades_that_the_venue_counts_and_does_not_show_yet_are_asked_for_again() -> None:
    ended = order_row(status="PARTIALLY_CANCELED", executedQty="0.2")
    both = [trade_row(1, 5), trade_row(2, 6)]
    script = [takes("C02__7"), says(200, ended), says(200, both[:1]), says(200, ended), says(200, both)]
    async with account_at(*script, confirms=True) as (account, _, told):
        account.submit(order())
        gone = await told.one(Cancelled)
        assert gone.executed == Decimal("0.2")
        assert [t.fill.trade_id for t in told.of(Traded)] == ["1X1", "2X1"]
        assert told.happenings[-1] == gone, "the end is told after every trade of it"


async def test_a_cancellation_goes_by_the_venues_id_and_is_repeated_until_it_is_answered() -> None:
    gone = order_row(status="CANCELED", executedQty="0")
    script = [hangs_up, says(502, b"<html>"), refuses(-2011, "Unknown order sent"), says(200, gone)]
    async with account_at(*script) as (account, server, told):
        account.cancel(order(venue_id="C02__7"))
        cancelled = await told.one(Cancelled)
        assert (cancelled.client_id, cancelled.executed) == (order().client_id, 0)
        assert (account.asked, account.under_way) == (3, 0)
        deletes = [seen for seen in server.seen if seen.method == "DELETE"]
        assert len(deletes) == 3
        assert {seen.params["orderId"] for seen in deletes} == {"C02__7"}


@pytest.mark.parametrize("terms", [{"first_s": 0.0}, {"first_s": 2.0}, {"give_up_s": 0.5}])
def test_terms_of_asking_that_make_no_sense_are_refused(terms: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ConfirmTerms(**terms)
