"""Frames: what the schema says, cut by hand or read by protobuf; and nothing else gets through."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.market import Side, Symbol, Trade
from mexclab.domain.reports import Balance, DriftSeen
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import (
    Deals,
    Decoder,
    DepthDiff,
    OwnBalance,
    OwnDeal,
    OwnOrder,
    Unused,
    channel_of,
    kind_of,
)
from mexclab.venues.proto import PushData
from tests.venues.mexc.depth_process import CHANNEL, START_MS, WIRE_NAME, depth_frame

NOW_NS = 1_754_741_323_000_000_000
DEALS = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
BTC = Symbol("BTC")

numbers = st.decimals("0.00000001", 10**12, places=8).map(lambda value: format(value.normalize(), "f"))
quantities = numbers | st.just("0") | st.just("0.00000000")
levels = st.lists(st.tuples(numbers, quantities), max_size=20)


class Told(list[DriftSeen]):
    """A decoder and what it told."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder(Drift(self.append), Symbol.parse)

    def read(self, frame: bytes) -> Any:
        return self.decoder.decode(frame, NOW_NS)

    def refused(self, frame: bytes) -> DriftSeen:
        count = self.decoder.malformed
        with pytest.raises(VenueUnavailable):
            self.read(frame)
        assert self.decoder.malformed == count + 1
        return self[-1]


def push(channel: str, symbol: str = WIRE_NAME, **body: Any) -> bytes:
    message = PushData(channel=channel, symbol=symbol, createTime=START_MS, sendTime=START_MS + 3, **body)
    frame: bytes = message.SerializeToString()
    return frame


def deal(**changes: Any) -> dict[str, Any]:
    fine = {"price": "93220.10", "quantity": "0.04", "tradeType": 2, "time": START_MS, "tradeId": "7X0_8X0"}
    return {**fine, **changes}


def deals_frame(*deals: dict[str, Any]) -> bytes:
    return push(DEALS, publicAggreDeals={"deals": list(deals)})


def own_deal(**changes: Any) -> bytes:
    fine = {
        "price": "0.5", "quantity": "20", "amount": "10", "tradeType": 1, "isMaker": True, "tradeId": "9X1",
        "clientOrderId": "s1-entry-1", "orderId": "C02__1", "feeAmount": "0.005", "feeCurrency": "USDT",
        "time": START_MS,
    }  # fmt: skip
    return push("spot@private.deals.v3.api.pb", "MXUSDT", privateDeals={**fine, **changes})


def own_order(**changes: Any) -> bytes:
    fine = {
        "id": "C02__1", "clientId": "s1-entry-1", "price": "0.5", "quantity": "20", "orderType": 1,
        "tradeType": 1, "cumulativeQuantity": "5", "status": 5, "createTime": START_MS,
    }  # fmt: skip
    return push("spot@private.orders.v3.api.pb", "MXUSDT", privateOrders={**fine, **changes})


# -- depth ------------------------------------------------------------------------------------------


@given(asks=levels, bids=levels, first=st.integers(1, 10**18), more=st.integers(0, 10**6))
def test_a_depth_frame_is_read_as_it_was_written(
    asks: list[tuple[str, str]], bids: list[tuple[str, str]], first: int, more: int
) -> None:
    heard = Told().read(depth_frame((first, first + more), asks, bids))
    sides = ([(Decimal(price), Decimal(quantity)) for price, quantity in side] for side in (asks, bids))
    assert heard == DepthDiff(first, first + more, *sides)


# -- bad input ----------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_none_of_our_business_and_never_a_crash(garbage: bytes) -> None:
    told = Told()
    try:
        assert isinstance(told.read(garbage), Unused)
    except VenueUnavailable:
        assert told.decoder.malformed == 1
        assert told[-1].at_ns == NOW_NS
    channel_of(garbage)


@given(size=st.integers(1, 400))
def test_a_frame_that_is_cut_off_is_refused_counted_and_told(size: int) -> None:
    frame = deals_frame(deal(), deal(tradeId="9X0_10X0"))
    size = min(size, len(frame) - 1)
    told = Told()
    try:
        heard = told.read(frame[:size])
    except VenueUnavailable:
        assert told
        return
    assert isinstance(heard, Unused)  # it ended before its body began


def test_what_is_no_protobuf_names_its_channel_when_it_can_be_seen() -> None:
    told = Told()
    seen = told.refused(deals_frame(deal())[:-3])
    assert (seen.endpoint, seen.field) == ("public.aggre.deals", "*")
    told.refused(deals_frame(deal())[:-3])
    assert len(told) == 1, "the same difference is told once and counted"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1", "", "1.2.3", "9" * 40, "0x10", "1_000", "٣", " 1"])
@pytest.mark.parametrize("field", ["price", "quantity"])
def test_numbers_that_are_none_are_refused(field: str, text: str) -> None:
    told = Told()
    assert told.refused(deals_frame(deal(), deal(**{field: text}))).field == f"publicAggreDeals.{field}"
    assert told.refused(own_deal(**{field: text})).field == f"privateDeals.{field}"
    depth = {"price": "1", "quantity": "1", field: text}
    seen = told.refused(depth_frame((1, 2), [(depth["price"], depth["quantity"])], []))
    assert seen.field == f"publicAggreDepths.{field}"


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (deals_frame(deal(tradeType=3)), "publicAggreDeals.tradeType"),
        (deals_frame(deal(time=-5)), "publicAggreDeals.time"),
        (deals_frame(deal(price="0")), "publicAggreDeals.price"),
        (own_deal(tradeId=""), "privateDeals.tradeId"),
        (own_deal(time=2**62), "privateDeals.time"),
        (own_order(status=9), "privateOrders.status"),
        (own_order(cumulativeQuantity="-1"), "privateOrders.cumulativeQuantity"),
        (depth_frame((9, 5), [], []), "publicAggreDepths.fromVersion"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(frame: bytes, field: str) -> None:
    assert Told().refused(frame).field == field


def test_a_pair_that_nobody_can_read_is_refused() -> None:
    assert Told().refused(push(DEALS, "???", publicAggreDeals={"deals": [deal()]})).field == "symbol"


def test_pairs_in_any_alphabet_are_read() -> None:
    heard = Told().read(push(DEALS, "索拉拉USDT", publicAggreDeals={"deals": [deal()]}))
    assert str(heard.symbol) == "索拉拉USDT"


# -- what the schema does not know --------------------------------------------------------------------


def test_new_fields_are_told_once_and_the_rest_is_read() -> None:
    told = Told()
    frame = deals_frame(deal()) + b"\xfa\x01\x03new"  # field 31 of the wrapper
    for _ in range(3):
        assert len(told.read(frame).deals) == 1
    assert [(seen.endpoint, seen.field, seen.what) for seen in told] == [
        ("public.aggre.deals", "31", "is a new field")
    ]


def test_bodies_that_are_new_or_not_ours_are_counted_and_left_alone() -> None:
    told = Told()
    kline = push("spot@public.kline.v3.api.pb@BTCUSDT@Min1", publicSpotKline={"interval": "Min1"})
    assert told.read(kline) == Unused("publicSpotKline")
    assert not told
    assert told.read(
        PushData(channel="spot@public.new.v3.api.pb").SerializeToString() + b"\x82\x19\x01x"
    ) == Unused("unknown")
    assert told.decoder.unused == 2
    assert [seen.what for seen in told] == ["is a body that the schema does not know"]


# -- domain values ------------------------------------------------------------------------------------


def test_public_trades_carry_id_side_and_time() -> None:
    heard = Told().read(deals_frame(deal(), deal(tradeType=1, tradeId="")))
    assert isinstance(heard, Deals)
    at_ns = START_MS * 1_000_000
    assert [each.trade_id for each in heard.deals] == ["7X0_8X0", ""]
    assert heard.deals[0].trade == Trade(BTC, Decimal("93220.10"), Decimal("0.04"), Side.SELL, at_ns)
    assert heard.deals[1].trade.side is Side.BUY


def test_our_trades_are_fills() -> None:
    heard = Told().read(own_deal())
    assert isinstance(heard, OwnDeal)
    fill = heard.fill
    assert (fill.trade_id, fill.client_id, str(fill.symbol), fill.side) == (
        "9X1",
        "s1-entry-1",
        "MXUSDT",
        Side.BUY,
    )
    assert (fill.price, fill.quantity, fill.fee, fill.fee_asset) == (
        Decimal("0.5"),
        20,
        Decimal("0.005"),
        "USDT",
    )
    assert (fill.is_maker, fill.at_ns, heard.venue_id) == (True, START_MS * 1_000_000, "C02__1")


def test_our_orders_carry_what_had_traded() -> None:
    heard = Told().read(own_order())
    assert isinstance(heard, OwnOrder)
    assert (heard.client_id, heard.venue_id, heard.status) == ("s1-entry-1", "C02__1", "PARTIALLY_CANCELED")
    assert (heard.filled, heard.at_ns) == (5, START_MS * 1_000_000)


def test_balances_are_free_and_locked() -> None:
    body = {"vcoinName": "USDT", "balanceAmount": "0.006", "frozenAmount": "4.4", "time": START_MS}
    heard = Told().read(push("spot@private.account.v3.api.pb", privateAccount=body))
    assert heard == OwnBalance("USDT", Balance(Decimal("0.006"), Decimal("4.4")), START_MS * 1_000_000)


def test_channels_are_named_without_speed_and_symbol() -> None:
    assert kind_of(CHANNEL) == "public.aggre.depth"
    assert kind_of("private") == "private"
    assert channel_of(depth_frame((1, 1), [], [])) == CHANNEL.encode()
