"""The wire: every payload read exactly, every difference told, nothing guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from mexclab.domain.market import Book, Candle, Level, Side, Symbol, Trade
from mexclab.domain.order import OrderState
from mexclab.domain.reports import Balance, DriftSeen
from mexclab.errors import DomainError, OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc import wire_account, wire_listings, wire_market
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.wire import ANSWERS as DESCRIBED
from mexclab.venues.mexc.wire import decode, left_out
from tests.payloads.mexc import ANSWERS

NOW = 1_893_456_000_000_000_000
NOVA = Symbol("NOVA")


class Heard:
    """A drift whose alarms are kept."""

    def __init__(self) -> None:
        self.alarms: list[DriftSeen] = []
        self.drift = Drift(self.alarms.append)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alarm.field, alarm.what) for alarm in self.alarms]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def read(endpoint: Endpoint, heard: Heard, body: bytes | None = None) -> Any:
    return decode(endpoint, ANSWERS[endpoint.name] if body is None else body, heard.drift, NOW)


def changed(endpoint: Endpoint, *path: str | int, to: Any) -> bytes:
    """The sample with one value changed; ``to`` may be raw JSON as bytes."""
    payload = json.loads(ANSWERS[endpoint.name], parse_float=Decimal)
    spot = payload
    for part in path[:-1]:
        spot = spot[part]
    spot[path[-1]] = msgspec.Raw(to) if isinstance(to, bytes) else to
    return msgspec.json.encode(payload)


@pytest.mark.parametrize("endpoint", DESCRIBED, ids=lambda endpoint: endpoint.name)
def test_every_endpoint_has_an_answer_that_is_read_without_an_alarm(endpoint: Endpoint, heard: Heard) -> None:
    read(endpoint, heard)
    assert heard.told == []


def test_every_endpoint_is_described() -> None:
    assert set(DESCRIBED) == set(e.ENDPOINTS)
    assert len({endpoint.name for endpoint in e.ENDPOINTS}) == len(e.ENDPOINTS)


def test_a_number_keeps_every_digit_whether_json_writes_it_as_text_or_bare(heard: Heard) -> None:
    digits = "123456789012345678.123456789012345678901234"
    depth = read(e.DEPTH, heard, changed(e.DEPTH, "bids", 0, 0, to=digits))
    assert depth.bids[0].price == Decimal(digits)
    fees = read(e.TRADE_FEE, heard, changed(e.TRADE_FEE, "data", "makerCommission", to=digits.encode()))
    assert fees.data.maker_commission == Decimal(digits)
    assert read(e.TRADE_FEE, heard).data.taker_commission == Decimal("0.0005")
    whole = read(e.AVG_PRICE, heard, changed(e.AVG_PRICE, "price", to=b"7"))
    assert whole.price == 7
    assert str(whole.price) == "7"
    assert heard.told == []


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "-1",
        "1_000",
        " 1",
        "１２",
        "0x1f",
        "1e400",
        "1" * 19,
        "0." + "1" * 25,
        "",
        "one",
    ],
)
def test_a_price_that_is_no_price_is_refused_and_never_guessed(text: str, heard: Heard) -> None:
    with pytest.raises(VenueUnavailable) as failed:
        read(e.AVG_PRICE, heard, changed(e.AVG_PRICE, "price", to=text))
    assert failed.value.data["field"] == "price"
    assert [field for field, _ in heard.told] == ["price"]


@pytest.mark.parametrize(
    "raw", [b"1e999", b"-1.5", b"true", b"null", b"[]", b"9999999999999999999", b"9" * 40]
)
def test_a_bare_number_that_is_no_price_is_refused_too(raw: bytes, heard: Heard) -> None:
    with pytest.raises(VenueUnavailable):
        read(e.AVG_PRICE, heard, changed(e.AVG_PRICE, "price", to=raw))


def test_a_trade_at_no_price_is_left_out_and_a_balance_of_nothing_is_read(heard: Heard) -> None:
    trades = read(e.TRADES, heard, changed(e.TRADES, 0, "price", to="0"))
    assert [trade.price for trade in trades] == [Decimal("1.24")]
    assert heard.told == [("[].price", "is not above zero; the row is left out")]
    assert read(e.ACCOUNT, heard).balances[1].locked == 0


def test_a_new_field_is_told_once_and_nothing_is_lost(heard: Heard) -> None:
    body = changed(e.EXCHANGE_INFO, "symbols", 0, "leverage", to={"max": 3})
    for _ in range(3):
        assert read(e.EXCHANGE_INFO, heard, body) == read(e.EXCHANGE_INFO, heard)
    assert heard.alarms == [DriftSeen("exchangeInfo", "symbols[].leverage", "is a new field", NOW)]
    assert heard.drift.counts["exchangeInfo", "symbols[].leverage", "is a new field"] == 3


def test_a_new_place_in_an_array_is_told_and_cut_off(heard: Heard) -> None:
    rows = read(e.KLINES, heard, changed(e.KLINES, 0, to=[*json.loads(ANSWERS["klines"])[0], "17"]))
    assert rows == read(e.KLINES, heard)
    assert heard.told == [("[][8]", "is a new field")]


def test_a_row_that_cannot_be_read_is_left_out_and_told_and_the_others_stay(heard: Heard) -> None:
    info = read(e.EXCHANGE_INFO, heard, changed(e.EXCHANGE_INFO, "symbols", 0, "baseAssetPrecision", to=-3))
    assert [row.symbol for row in info.symbols] == ["新星USDT", "ORE(XAU)USDC"]
    assert left_out(info.symbols) == 1
    assert left_out(read(e.EXCHANGE_INFO, heard).symbols) == 0
    assert heard.told == [
        ("symbols[].baseAssetPrecision", "is wrong: Expected `int` >= 0; the row is left out")
    ]


def test_a_list_of_which_no_row_can_be_read_is_unreadable_not_empty(heard: Heard) -> None:
    body = changed(e.CALENDAR, "data", "newCoins", to=[{"vcoin": 1}, None, "NOVA"])
    with pytest.raises(VenueUnavailable, match="no row that can be read"):
        read(e.CALENDAR, heard, body)
    assert read(e.CALENDAR, heard, changed(e.CALENDAR, "data", "newCoins", to=[])).data.new_coins == []


@pytest.mark.parametrize("missing", [None, {}, "none", 0])
def test_missing_listings_are_unavailable_and_never_no_listings(missing: Any, heard: Heard) -> None:
    with pytest.raises(VenueUnavailable):
        read(e.CALENDAR, heard, changed(e.CALENDAR, "data", to=missing))
    assert heard.alarms


def test_a_symbol_table_that_is_a_flat_list_is_not_taken_for_one(heard: Heard) -> None:
    with pytest.raises(VenueUnavailable, match="a list instead of an object"):
        read(e.SYMBOLS_V2, heard, changed(e.SYMBOLS_V2, "data", "symbols", to=[]))


def test_a_group_of_unreadable_rows_is_left_out_and_the_other_currencies_stay(heard: Heard) -> None:
    reply = read(e.SYMBOLS_V2, heard, changed(e.SYMBOLS_V2, "data", "symbols", "USDT", 0, "ot", to=None))
    assert set(reply.data.symbols) == {"USDC"}
    assert len(heard.alarms) == 2  # of the row, and of the group that it emptied


def test_a_field_that_we_can_do_without_is_told_and_left_out(heard: Heard) -> None:
    (ticker,) = read(e.TICKER_24H, heard, changed(e.TICKER_24H, "bidQty", to=""))
    assert ticker.bid_qty is None
    assert ticker.ask_qty == Decimal("3.75")
    assert heard.told == [("[].bidQty", "is no number that a price or quantity can be")]


def test_a_number_in_the_clothes_of_text_is_read_and_told(heard: Heard) -> None:
    info = read(e.EXCHANGE_INFO, heard, changed(e.EXCHANGE_INFO, "symbols", 0, "tradeSideType", to="1"))
    assert info.symbols[0].trade_side_type == 1
    order = read(e.QUERY_ORDER, heard, changed(e.QUERY_ORDER, "orderId", to=11))
    assert order.order_id == "11"
    assert heard.told == [
        ("symbols[].tradeSideType", "is text instead of a number"),
        ("orderId", "is a number instead of text"),
    ]


def test_a_key_that_stands_twice_is_told_and_read_only_when_both_agree(heard: Heard) -> None:
    body = ANSWERS["avgPrice"]
    same = body.replace(b"{", b'{ "price" : "1.2345",', 1)
    assert read(e.AVG_PRICE, heard, same).price == Decimal("1.2345")
    assert heard.told == [("price", "stands twice in one object")]
    with pytest.raises(VenueUnavailable, match="twice"):
        read(e.AVG_PRICE, heard, body.replace(b"{", b'{"price":"9",', 1))
    with pytest.raises(VenueUnavailable, match="twice"):  # one colon is hidden, another is added
        read(e.AVG_PRICE, heard, b'{"price":"9","price":"8","more":"a\\u003Ab"}')


def test_an_unreadable_answer_to_an_order_may_have_placed_it(heard: Heard) -> None:
    for endpoint in (e.NEW_ORDER, e.BATCH_ORDERS, e.CANCEL_ORDER, e.CANCEL_OPEN_ORDERS):
        with pytest.raises(OrderUnknown):
            read(endpoint, heard, b'{"symbol":"NOVAU')
    for endpoint in (e.TEST_ORDER, e.QUERY_ORDER, e.OPEN_ORDERS):
        with pytest.raises(VenueUnavailable):
            read(endpoint, heard, b"<html></html>")


def test_one_answer_of_a_batch_is_never_left_out(heard: Heard) -> None:
    with pytest.raises(OrderUnknown):
        read(e.BATCH_ORDERS, heard, changed(e.BATCH_ORDERS, 0, to="accepted"))


def test_a_book_is_read_whole_or_not_at_all(heard: Heard) -> None:
    with pytest.raises(VenueUnavailable):
        read(e.DEPTH, heard, changed(e.DEPTH, "asks", 1, 1, to="-1"))


def test_a_refusal_in_an_answer_of_status_200_is_a_refusal(heard: Heard) -> None:
    body = b'{"msg":"symbol not support api","code":10007,"_extend":null}'
    with pytest.raises(VenueRejected) as refused:
        read(e.NEW_ORDER, heard, body)
    assert refused.value.data["code"] == 10007
    assert refused.value.data["words"] == "symbol not support api"
    with pytest.raises(VenueUnavailable) as limited:
        read(e.ACCOUNT, heard, b'{"code":429,"msg":"Too Many Requests"}')
    assert limited.value.data["retry_after_s"] > 0
    assert heard.told == []


def test_an_order_in_an_unknown_state_is_not_taken_for_a_known_one(heard: Heard) -> None:
    with pytest.raises(VenueUnavailable, match="is none of NEW"):
        read(e.QUERY_ORDER, heard, changed(e.QUERY_ORDER, "status", to="FROZEN"))


# -- into our words ------------------------------------------------------------------------------


def test_tick_and_lot_follow_from_the_precisions_and_the_least_value_is_no_step(heard: Heard) -> None:
    nova, star, ore = read(e.EXCHANGE_INFO, heard).symbols
    market = wire_market.market_of(nova)
    assert (market.symbol, market.tick, market.lot) == (NOVA, Decimal("0.00001"), Decimal("0.01"))
    assert (market.min_notional, market.maker_fee, market.taker_fee) == (1, 0, Decimal("0.0005"))
    assert wire_market.market_of(star).lot == 1
    assert wire_market.market_of(star).tick == Decimal("0.000000000001")
    assert str(wire_market.market_of(ore).symbol) == "ORE(XAU)USDC"


def test_a_row_whose_name_is_not_its_base_and_quote_makes_no_market(heard: Heard) -> None:
    row = read(e.EXCHANGE_INFO, heard).symbols[0]
    with pytest.raises(DomainError, match="named safely"):
        wire_market.market_of(msgspec.structs.replace(row, symbol="NOWAUSDT"))


def test_the_price_band_is_a_band_and_may_be_absent(heard: Heard) -> None:
    nova, star, _ = read(e.EXCHANGE_INFO, heard).symbols
    assert wire_market.band_of(nova) == wire_market.PriceBand(Decimal("0.2"), Decimal("0.25"))
    assert wire_market.band_of(star) is None


def test_old_and_new_forms_of_the_status_mean_the_same(heard: Heard) -> None:
    nova, star, ore = read(e.EXCHANGE_INFO, heard).symbols
    assert [row.is_online for row in (nova, star, ore)] == [True, True, False]
    assert [row.is_api_tradable for row in (nova, star, ore)] == [True, False, False]
    assert nova.first_open_ns == 1_893_459_600_000_000_000
    assert star.first_open_ns is None


def test_a_snapshot_becomes_a_book_with_the_venues_own_time(heard: Heard) -> None:
    book = wire_market.book_of(read(e.DEPTH, heard), NOVA, NOW)
    levels = [(Level(Decimal("1.25"), Decimal("40.5")), Level(Decimal("1.24"), Decimal(12)))]
    assert book == Book(NOVA, levels[0], book.asks, 1_893_456_000_200_000_000, 7700123)
    timeless = read(e.DEPTH, heard, changed(e.DEPTH, "timestamp", to=None))
    assert wire_market.book_of(timeless, NOVA, NOW).at_ns == NOW
    assert [(price, quantity) for price, quantity in timeless.bids] == [(1.25, 40.5), (Decimal("1.24"), 12)]


def test_public_trades_and_bars_in_our_words(heard: Heard) -> None:
    taken, given = (wire_market.trade_of(row, NOVA) for row in read(e.TRADES, heard))
    assert taken == Trade(NOVA, Decimal("1.25"), Decimal(3), Side.BUY, 1_893_456_000_100_000_000)
    assert given.side is Side.SELL
    (whole_second,) = read(e.AGG_TRADES, heard)
    assert wire_market.trade_of(whole_second, NOVA) == replace(taken, at_ns=NOW)
    bar = wire_market.candle_of(read(e.KLINES, heard)[0], NOVA)
    prices = [Decimal(text) for text in ("1.2", "1.4", "1.1", "1.25", "1000.5", "1250.625")]
    assert bar == Candle(NOVA, NOW, *prices)


def test_our_orders_fills_and_balances_in_our_words(heard: Heard) -> None:
    order = wire_account.venue_order_of(read(e.QUERY_ORDER, heard))
    assert (order.client_id, order.symbol, order.side) == ("s1-e-1", NOVA, Side.BUY)
    assert (order.state, order.quantity, order.filled) == (OrderState.PARTIALLY_FILLED, 40, Decimal("12.5"))
    (nameless,) = read(e.OPEN_ORDERS, heard)
    assert wire_account.venue_order_of(nameless).client_id == ""
    (row,) = read(e.MY_TRADES, heard)
    fill = wire_account.fill_of(row)
    assert (fill.trade_id, fill.client_id, fill.is_maker) == ("500000000000000001X1", "s1-e-1", False)
    assert (fill.fee, fill.fee_asset, fill.at_ns) == (Decimal("0.0078125"), "USDT", NOW + 340_000_000)
    assert wire_account.fill_of(row, client_id="known-by-order").client_id == "known-by-order"
    balances = wire_account.balances_of(read(e.ACCOUNT, heard))
    assert balances["USDT"] == Balance(Decimal("934.375"), Decimal("34.375"))


def test_the_quantity_of_an_order_is_found_or_its_lack_is_told(heard: Heard) -> None:
    renamed = json.loads(ANSWERS["query order"])
    renamed["Qty"] = renamed.pop("origQty")
    order = wire_account.venue_order_of(read(e.QUERY_ORDER, heard, json.dumps(renamed).encode()))
    assert order.quantity == 40
    del renamed["Qty"]
    with pytest.raises(VenueUnavailable, match="quantity"):
        wire_account.venue_order_of(read(e.QUERY_ORDER, heard, json.dumps(renamed).encode()))
    spent = read(e.QUERY_ORDER, heard, json.dumps(renamed | {"type": "MARKET", "origQty": "0"}).encode())
    assert wire_account.venue_order_of(spent).quantity == Decimal("12.5")


def test_a_pair_that_cannot_be_taken_apart_is_told_and_not_guessed(heard: Heard) -> None:
    row = msgspec.structs.replace(read(e.QUERY_ORDER, heard), symbol="NOVAXYZ")
    with pytest.raises(VenueUnavailable, match="NOVAXYZ"):
        wire_account.venue_order_of(row)
    known = {"NOVAXYZ": Symbol("NOVA", "XYZ")}
    assert wire_account.venue_order_of(row, known.__getitem__).symbol == Symbol("NOVA", "XYZ")


def test_calendar_and_symbol_rows_join_by_coin_id(heard: Heard) -> None:
    first, second = (wire_listings.entry_of(row) for row in read(e.CALENDAR, heard).data.new_coins)
    assert (first.ticker, first.zone, second.ticker) == ("NOVA", "NEW", "新星")
    assert first.open_ns == 1_893_459_600_000_000_000
    states = wire_listings.states_of(read(e.SYMBOLS_V2, heard).data.symbols)
    assert [(state.ticker, state.quote, state.triple) for state in states] == [
        ("NOVA", "USDT", (2, 1, 1)),
        ("ORE(XAU)", "USDC", (1, 1, 1)),
    ]
    assert states[0].coin_id == first.coin_id
