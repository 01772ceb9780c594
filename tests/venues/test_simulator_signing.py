"""Who may come in: signatures, time stamps, addresses, content types."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.venues.simulator.gatekeeper import signed_text
from mexclab.venues.simulator.http import Call
from tests.venues.raw_wire import JSON, PATIENT, TRADER, Wire, request, signature, venue

ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=11&recvWindow=5000&timestamp=1644489390087"
ORDER_SIGN = "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a"
MIXED_QUERY = "symbol=BTCUSDT&side=BUY&type=LIMIT"
MIXED_BODY = "quantity=1&price=11&recvWindow=5000&timestamp=1644489390087"
MIXED_SIGN = "d1a676610ceb39174c8039b3f548357994b2a34139a8addd33baadba65684592"

SIGNED_BUT_LATE = (400, 700003, "Timestamp for this request is outside of the recvWindow.")
NOT_SIGNED = (400, 700002, "Signature for this request is not valid.")
BAD_TYPE = (400, 700013, "Invalid content Type.")
KEY = {"X-MEXC-APIKEY": TRADER.key, **JSON}


async def posted(wire: Wire, query: str, body: str = "", **headers: str) -> tuple[int, int, str]:
    wire.send(request("POST", f"/api/v3/order?{query}", body.encode(), {**KEY, **headers}))
    return (await wire.answer()).refusal


async def test_the_documents_example_is_signed_and_only_late():
    async with venue() as v:
        assert await posted(v.wire, f"{ORDER}&signature={ORDER_SIGN}") == SIGNED_BUT_LATE


async def test_query_and_body_are_signed_without_anything_between_them():
    async with venue() as v:
        in_the_body = f"{MIXED_BODY}&signature={MIXED_SIGN}"
        assert await posted(v.wire, MIXED_QUERY, in_the_body) == SIGNED_BUT_LATE
        in_the_query = f"{MIXED_QUERY}&signature={MIXED_SIGN}"
        assert await posted(v.wire, in_the_query, MIXED_BODY) == SIGNED_BUT_LATE
        assert await posted(v.wire, f"{MIXED_QUERY}&signature={ORDER_SIGN}", MIXED_BODY) == NOT_SIGNED


async def test_the_signature_that_the_documents_misprint_is_refused():
    async with venue() as v:
        misprint = "323c96ab85a745712e95e63cad28903dd8292e4a905e99c4ee3932023843a117"
        assert await posted(v.wire, f"{ORDER}&signature={misprint}") == NOT_SIGNED


@pytest.mark.parametrize("wrong", [ORDER_SIGN.upper(), ORDER_SIGN[:-1], "0" * 64, "%C3%A9"])
async def test_any_other_signature_is_refused(wrong):
    async with venue() as v:
        assert await posted(v.wire, f"{ORDER}&signature={wrong}") == NOT_SIGNED


async def test_the_signature_may_stand_anywhere():
    async with venue() as v:
        assert await posted(v.wire, f"signature={ORDER_SIGN}&{ORDER}") == SIGNED_BUT_LATE
        head, _, tail = ORDER.partition("&type")
        assert await posted(v.wire, f"{head}&signature={ORDER_SIGN}&type{tail}") == SIGNED_BUT_LATE


async def test_the_text_is_signed_as_it_was_sent_not_as_it_is_read():
    async with venue() as v:
        query = f"symbol=BTC%55SDT&origClientOrderId=none&timestamp={v.now_ms}"
        target = f"/api/v3/order?{query}&signature={signature(query)}"
        v.wire.send(request("GET", target, b"", KEY))
        assert (await v.wire.answer()).refusal == (400, -2013, "Order does not exist.")


@pytest.mark.parametrize(
    ("age_ms", "window", "is_taken"),
    [
        (0, None, True),
        (5_000, None, True),
        (5_001, None, False),
        (-999, None, True),
        (-1_000, None, False),
        (100, 100, True),
        (101, 100, False),
        (0, 0, True),
        (1, 0, False),
        (60_000, 60_000, True),
        (60_001, 60_000, False),
    ],
)
async def test_a_time_stamp_is_taken_within_its_window_to_the_millisecond(age_ms, window, is_taken):
    async with venue() as v:
        more = {} if window is None else {"recvWindow": window}
        answer = await v.call("GET", "openOrders", timestamp=v.now_ms - age_ms, **more)
        assert (answer.status == 200) is is_taken
        assert is_taken or answer.refusal == SIGNED_BUT_LATE


async def test_what_is_no_time_stamp_or_window_is_said():
    async with venue() as v:
        assert await v.refused("GET", "openOrders", recvWindow=60_001) == (
            400, 700005, "recvWindow must less than 60000",
        )  # fmt: skip
        for name, value in (("timestamp", "now"), ("timestamp", "-1"), ("recvWindow", "1e3")):
            status, code, words = await v.refused("GET", "openOrders", **{name: value})
            assert (status, code) == (400, 700004)
            assert f"'{name}'" in words


async def test_what_is_missing_is_named():
    async with venue() as v:
        now = v.now_ms
        v.wire.send(request("GET", f"/api/v3/account?timestamp={now}", b"", KEY))
        words = "Mandatory parameter 'signature' was not sent, was empty/null, or malformed."
        assert (await v.wire.answer()).refusal == (400, 700004, words)
        v.wire.send(request("GET", f"/api/v3/account?signature={signature('')}", b"", KEY))
        assert (await v.wire.answer()).refusal == (400, 700004, words.replace("signature", "timestamp"))


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, (400, 400, "api key required")),
        ({"X-MEXC-APIKEY": "mx0nobody"}, (400, 10072, "Api key info invalid")),
        ({"X-MEXC-APIKEY": "nothing like a key"}, (400, 700001, "API-key format invalid.")),
    ],
)
async def test_a_key_must_be_there_and_known(headers, refusal):
    async with venue() as v:
        v.wire.send(request("GET", v.signed("account"), b"", headers))
        assert (await v.wire.answer()).refusal == refusal


async def test_an_address_off_the_white_list_is_told_which_it_is():
    async with venue(account=replace(TRADER, ip_whitelist=("10.1.2.3",))) as v:
        assert await v.refused("GET", "openOrders") == (
            400,
            700006,
            "IP [127.0.0.1] not in the ip white list",
        )
    async with venue(account=replace(TRADER, ip_whitelist=("10.1.2.3", "127.0.0.1"))) as v:
        assert await v.ok("GET", "openOrders") == []


@pytest.mark.parametrize("content", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_only_json_may_be_posted_whatever_the_documents_show(content):
    async with venue() as v:
        query = f"{ORDER}&signature={ORDER_SIGN}"
        assert await posted(v.wire, query, **{"Content-Type": content}) == BAD_TYPE
        assert await posted(v.wire, "", query, **{"Content-Type": content}) == BAD_TYPE


async def test_without_a_body_the_content_type_may_be_left_out_and_a_charset_may_follow():
    async with venue() as v:
        v.wire.send(request("DELETE", v.signed("order/all"), b"", {"X-MEXC-APIKEY": TRADER.key}))
        assert (await v.wire.answer()).status == 200
        headers = {"X-MEXC-APIKEY": TRADER.key, "Content-Type": "application/json;charset=UTF-8"}
        v.wire.send(request("DELETE", v.signed("order/all"), b"", headers))
        assert (await v.wire.answer()).status == 200
        v.wire.send(request("POST", v.signed("order/test"), b"x=1", {"X-MEXC-APIKEY": TRADER.key}))
        assert (await v.wire.answer()).refusal == BAD_TYPE


async def test_a_json_body_gives_parameters_and_the_query_wins():
    async with venue() as v:
        body = '{"symbol":"MXUSDT","side":"BUY","type":"LIMIT","quantity":10,"price":0.5}'
        query = f"symbol=BTCUSDT&quantity=0.001&price=50000&timestamp={v.now_ms}"
        target = f"/api/v3/order?{query}&signature={signature(query + body)}"
        v.wire.send(request("POST", target, body.encode(), KEY))
        told = (await v.wire.answer()).json
        assert (told["symbol"], told["origQty"], told["price"]) == ("BTCUSDT", "0.001", "50000")


async def test_a_key_that_may_not_trade_may_look():
    async with venue(account=replace(TRADER, can_trade=False)) as v:
        order = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"
        assert await v.refused("POST", "order", order) == (
            400,
            700007,
            "No permission to access the endpoint.",
        )
        assert (await v.ok("GET", "account"))["canTrade"] is False


async def test_a_refused_call_changes_nothing_and_costs_its_address():
    async with venue(terms=replace(PATIENT, ip_weight_10s=2)) as v:
        order = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"
        for _ in range(2):
            assert (await v.refused("POST", "order", order, timestamp=1))[1] == 700003
        assert (await v.refused("POST", "order", order, timestamp=1))[1] == 429
        assert v.world.matcher.placed("trader") == []


pairs = st.lists(
    st.tuples(st.sampled_from(["a", "b", "signatures", "xsignature", ""]), st.text("0a=%", max_size=3)),
    max_size=4,
)


@given(pairs, pairs, st.integers(0, 9), st.booleans())
def test_signing_takes_the_signature_out_and_leaves_every_other_byte(query, body, place, in_query):
    parts = [[f"{name}={value}" for name, value in rows] for rows in (query, body)]
    wanted = "".join("&".join(rows) for rows in parts)
    rows = parts[0] if in_query else parts[1]
    rows.insert(min(place, len(rows)), "signature=5eal")
    texts = ["&".join(rows) for rows in parts]
    call = Call("POST", "/", texts[0], texts[1].encode(), {}, "", {})
    assert signed_text(call) == wanted.encode()
