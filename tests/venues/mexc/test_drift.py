"""Alarms are told once; refusals say what may be done next; recorded answers alarm only where they must."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mexclab.domain.reports import DriftSeen
from mexclab.errors import OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc.drift import MOST_KINDS, Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.refusals import refusal
from mexclab.venues.mexc.wire import decode

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
FIXTURES = SHARED / "mexc" / "fixtures"
BY_ROUTE = {(endpoint.method, endpoint.path): endpoint for endpoint in e.ENDPOINTS}

NO_SUCH_QUANTITY = "is no number that a price or quantity can be"
NUMBER_FOR_TEXT = "is a number instead of text"
TEXT_FOR_NUMBER = "is text instead of a number"

# What the recordings really do differently from what the venue sends today, by the endpoint's name:
# examples of MEXC's documents that were never live (numeric order ids, empty quantities) ...
FROM_DOCUMENTS = {
    ("ticker/24hr", "[].bidQty", NO_SUCH_QUANTITY),
    ("ticker/24hr", "[].askQty", NO_SUCH_QUANTITY),
    ("cancel order", "orderId", NUMBER_FOR_TEXT),
    ("query order", "orderId", NUMBER_FOR_TEXT),
    *((name, "[].orderId", NUMBER_FOR_TEXT) for name in ("openOrders", "allOrders", "cancel openOrders")),
    ("exchangeInfo", "symbols[].tradeSideType", TEXT_FOR_NUMBER),
    ("capital/config/getall", "network", "stands twice in one object"),
    (
        "capital/config/getall",
        "[].networkList[].network",
        "stands twice in one object, with different values",
    ),
}
# ... and a recorder that wrote every whole number as text
FROM_RECORDER = {
    *(("depth", field, TEXT_FOR_NUMBER) for field in ("lastUpdateId", "timestamp")),
    *(("myTrades", f"[].{field}", TEXT_FOR_NUMBER) for field in ("orderListId", "time")),
    *(("allOrders", f"[].{field}", TEXT_FOR_NUMBER) for field in ("orderListId", "time", "updateTime")),
    ("aggTrades", "[].T", TEXT_FOR_NUMBER),
    *(("ticker/24hr", f"[].{field}", TEXT_FOR_NUMBER) for field in ("openTime", "closeTime")),
}
STATIC = {
    "fetchOrderBook": e.DEPTH,
    "fetchMyTrades": e.MY_TRADES,
    "fetchOrders": e.ALL_ORDERS,
    "fetchTrades_aggTrades": e.AGG_TRADES,
    "fetchTicker_24hr": e.TICKER_24H,
    "fetchOHLCV": e.KLINES,
}
DOCUMENTS = {
    "001": e.PING, "002": e.TIME, "003": e.DEFAULT_SYMBOLS, "005": e.DEPTH, "006": e.TRADES,
    "007": e.HISTORICAL_TRADES, "008": e.AGG_TRADES, "009": e.KLINES, "010": e.AVG_PRICE,
    "024": e.KYC_STATUS, "025": e.SELF_SYMBOLS, "026": e.TEST_ORDER, "027": e.NEW_ORDER,
    "029": e.CANCEL_ORDER, "030": e.CANCEL_OPEN_ORDERS, "031": e.QUERY_ORDER, "032": e.OPEN_ORDERS,
    "033": e.ALL_ORDERS, "034": e.ACCOUNT, "035": e.MY_TRADES, "036": e.SET_MX_DEDUCT, "037": e.MX_DEDUCT,
    "038": e.TRADE_FEE, "074": e.LISTEN_KEY_NEW, "075": e.LISTEN_KEYS, "076": e.LISTEN_KEY_EXTEND,
    "077": e.LISTEN_KEY_DELETE,
}  # fmt: skip


def alarms_of(cases: Iterator[tuple[Endpoint, bytes]]) -> tuple[int, set[tuple[str, str, str]]]:
    told: list[DriftSeen] = []
    count = 0
    for endpoint, body in cases:
        decode(endpoint, body, Drift(told.append), 1)
        count += 1
    return count, {(alarm.endpoint, alarm.field, alarm.what) for alarm in told}


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"the recorded payloads are not here: {path.name}")
    return path


def recorded() -> Iterator[tuple[Endpoint, bytes]]:
    routes = json.loads(need(FIXTURES / "gct_recorded" / "http_11326f4c.json").read_bytes())["routes"]
    for path, methods in routes.items():
        for method, answers in methods.items():
            for answer in answers if (method, path) in BY_ROUTE else ():
                yield BY_ROUTE[method, path], json.dumps(answer["data"], ensure_ascii=False).encode()


def static() -> Iterator[tuple[Endpoint, bytes]]:
    answers = json.loads(need(FIXTURES / "ccxt_static" / "response_http_only.json").read_bytes())
    for name, endpoint in STATIC.items():
        yield endpoint, json.dumps(answers[name]).encode()


def with_routes(folder: Path) -> Iterator[tuple[Endpoint, bytes]]:
    for file in sorted(need(folder).rglob("*.txt")):
        method, path, _, body = file.read_text(encoding="utf-8-sig").split("\n", 3)
        if endpoint := BY_ROUTE.get((method.strip(), path.strip())):
            yield endpoint, re.sub(r"\AUriParams:.*\n", "", body).encode()


def named_by_call(folder: Path) -> Iterator[tuple[Endpoint, bytes]]:
    routes = {
        "GetAggregatedTradeHistory": e.AGG_TRADES, "GetAveragePrice": e.AVG_PRICE, "GetKlines": e.KLINES,
        "GetBookPrices": e.BOOK_TICKER, "GetExchangeInfo": e.EXCHANGE_INFO, "GetOrderBook": e.DEPTH,
        "GetPrices": e.TICKER_PRICE, "GetRecentTrades": e.TRADES, "GetTickers": e.TICKER_24H,
        "CancelAllOrders": e.CANCEL_OPEN_ORDERS, "CancelOrder": e.CANCEL_ORDER, "GetOrder": e.QUERY_ORDER,
        "GetUserTrades": e.MY_TRADES, "PlaceOrder": e.NEW_ORDER, "GetAccountInfo": e.ACCOUNT,
        "SetMxDeduction": e.SET_MX_DEDUCT,
    }  # fmt: skip
    for file in sorted(need(folder).rglob("*Async.txt")):
        if endpoint := routes.get(file.stem.removesuffix("Async").split("_")[-1]):
            yield endpoint, file.read_text(encoding="utf-8-sig").encode()


def documents() -> Iterator[tuple[Endpoint, bytes]]:
    folder = need(FIXTURES / "official_docs_2025_08")
    for number, endpoint in DOCUMENTS.items():
        (file,) = folder.glob(f"{number}_*.json")
        yield endpoint, file.read_bytes()
    (row,) = folder.glob("004_*.json")
    yield e.EXCHANGE_INFO, b'{"symbols":[' + row.read_bytes() + b"]}"
    (coins,) = folder.glob("039_*.txt")
    yield e.COINS, coins.read_bytes().rstrip().removesuffix(b"]").rstrip().removesuffix(b",") + b"]"


def test_live_recordings_are_read_without_any_alarm() -> None:
    count, alarms = alarms_of(recorded())
    assert count == 20
    assert alarms == set()


def test_the_static_recordings_alarm_only_where_their_recorder_wrote_text_for_numbers() -> None:
    assert alarms_of(static()) == (len(STATIC), FROM_RECORDER)


@pytest.mark.parametrize(
    "folder", ["mexc/fixtures/mexc_net/endpoints", "data/mexc_wire/jkorf_spot/Endpoints"]
)
def test_the_samples_with_routes_alarm_only_where_they_copy_documents(folder: str) -> None:
    count, alarms = alarms_of(with_routes(SHARED / folder))
    assert count >= 30
    assert alarms == {alarm for alarm in FROM_DOCUMENTS if alarm[0] not in ("exchangeInfo", e.COINS.name)}


@pytest.mark.parametrize(
    "folder", ["mexc/fixtures/mexc_net/json_responses", "data/mexc_wire/jkorf_spot/JsonResponses"]
)
def test_the_older_samples_alarm_only_where_they_copy_documents(folder: str) -> None:
    count, alarms = alarms_of(named_by_call(SHARED / folder))
    assert count >= 14
    assert alarms <= FROM_DOCUMENTS


def test_the_documents_alarm_only_where_they_differ_from_the_live_venue() -> None:
    count, alarms = alarms_of(documents())
    assert count == len(DOCUMENTS) + 2
    assert alarms == {alarm for alarm in FROM_DOCUMENTS if alarm[0] != "ticker/24hr"}


def test_a_difference_is_told_once_and_counted_each_time() -> None:
    told: list[DriftSeen] = []
    drift = Drift(told.append)
    for at_ns in (1, 2, 3):
        drift.see("depth", "bids", "is missing", at_ns)
    drift.see("depth", "bids", "is a number instead of text", 4)
    drift.see("time", "bids", "is missing", 5)
    assert [alarm.at_ns for alarm in told] == [1, 4, 5]
    assert drift.counts["depth", "bids", "is missing"] == 3


def test_differences_of_one_endpoint_do_not_silence_another() -> None:
    told: list[DriftSeen] = []
    drift = Drift(told.append)
    for number in range(3 * MOST_KINDS):
        drift.see("depth", f"field{number}", "is a new field", 1)
    drift.see("time", "serverTime", "is missing", 2)
    assert told[-1] == DriftSeen("time", "serverTime", "is missing", 2)
    assert len(told) == MOST_KINDS + 2


# -- refusals ------------------------------------------------------------------------------------


def test_a_code_of_the_venue_is_a_clear_no_for_orders_too() -> None:
    body = b'{"code":30002,"msg":"The minimum transaction volume cannot be less than:1USDT"}'
    for endpoint in (None, e.NEW_ORDER, e.ACCOUNT):
        said = refusal(400, body, {}, endpoint)
        assert isinstance(said, VenueRejected)
        assert said.data["code"] == 30002
        assert said.data["words"].startswith("The minimum")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"code":500,"msg":"Internal Error"}'),
        (400, b'{"code":504,"msg":"timeout"}'),
        (502, b"<html>bad gateway</html>"),
        (503, b""),
        (403, b"<html>Access Denied</html>"),
        (200, b"<html>maintenance</html>"),
        (400, b'{"msg":"no code"}'),
    ],
)
def test_an_unclear_answer_leaves_an_order_unknown_and_a_question_unanswered(
    status: int, body: bytes
) -> None:
    assert isinstance(refusal(status, body, {}, e.NEW_ORDER), OrderUnknown)
    assert isinstance(refusal(status, body, {}, e.CANCEL_ORDER), OrderUnknown)
    assert isinstance(refusal(status, body, {}, e.QUERY_ORDER), VenueUnavailable)
    assert isinstance(refusal(status, body, {}, e.TEST_ORDER), VenueUnavailable)


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        (429, b'{"code":429,"msg":"Too Many Requests"}', {"Retry-After": "7"}, 7),
        (418, b"", {"retry-after": "300"}, 300),
        (418, b"", {}, 120),
        (429, b"<html>", {}, 10),
        (400, b'{"msg":"Too Many Requests","code":429}', {}, 10),
        (429, b"", {"Retry-After": "999999999"}, 259_200),
        (429, b"", {"Retry-After": "soon"}, 10),
        (
            429,
            b"",
            {"Retry-After": "Tue, 01 Jan 2030 00:01:30 GMT", "Date": "Tue, 01 Jan 2030 00:01:00 GMT"},
            30,
        ),
    ],
)
def test_a_limit_says_how_long_to_wait_and_that_nothing_was_done(
    status: int, body: bytes, headers: dict[str, str], seconds: float
) -> None:
    for endpoint in (e.NEW_ORDER, e.DEPTH):
        limited = refusal(status, body, headers, endpoint)
        assert isinstance(limited, VenueUnavailable)
        assert limited.data["retry_after_s"] == seconds


def test_a_firewall_is_told_from_a_refusal_of_the_api() -> None:
    assert refusal(403, b"<html>Access Denied</html>", {}).data["waf"] is True
    assert isinstance(refusal(403, b'{"code":403,"msg":"Access Denied"}', {}), VenueRejected)


def test_no_error_repeats_what_an_unreadable_answer_held() -> None:
    secret = "0123456789abcdef-listen-key"
    for body in (f'{{"listenKey":"{secret}"'.encode(), f"<html>{secret}</html>".encode()):
        error = refusal(500, body, {}, e.LISTEN_KEY_NEW)
        with pytest.raises(VenueUnavailable) as failed:
            decode(e.LISTEN_KEY_NEW, body, Drift(lambda alarm: None), 1)
        for said in (error, failed.value):
            assert secret not in f"{said} {said!r} {said.data} {said.__cause__}"
