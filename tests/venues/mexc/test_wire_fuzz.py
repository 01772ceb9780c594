"""Broken payloads: a typed error or a drift alarm, never another exception, never a wrong number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.reports import DriftSeen
from mexclab.errors import MexclabError, VenueError
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc import wire_account, wire_listings, wire_market
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.refusals import refusal
from mexclab.venues.mexc.wire import ANSWERS as DESCRIBED
from mexclab.venues.mexc.wire import decode
from tests.payloads.mexc import ANSWERS

ENDPOINTS = list(DESCRIBED)
HOSTILE = [
    *(
        b"null",
        b"true",
        b"-1",
        b"0",
        b"1e999",
        b"-0.0",
        b"9" * 30,
        b"9" * 5000,
        b"1.5",
        b"[]",
        b"{}",
        b"[[]]",
    ),
    *(
        b'""',
        b'"NaN"',
        b'"-Infinity"',
        b'"1e5"',
        b'"-3"',
        b'"1_0"',
        b'"\xd9\xa1\xd9\xa2"',
        b'"\\ud800"',
        b'"a b"',
    ),
    *(
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'"' + b"9" * 40 + b'"',
        b"NaN",
        b'"/"',
    ),
    *(b'{"symbol":"X","symbol":"Y"}', b'"1.50"', b'"FILLED"', b"7", b'"0.00000000000000000000000001"'),
]


def heard_decode(endpoint: Endpoint, body: bytes) -> tuple[Any, list[DriftSeen]]:
    alarms: list[DriftSeen] = []
    try:
        return decode(endpoint, body, Drift(alarms.append), 1), alarms
    except VenueError:
        return None, alarms


def spots(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into a JSON value."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from spots(item, (*at, key))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Endpoint, bytes]:
    """An answer with a few of its values, keys or bytes replaced."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    payload = json.loads(ANSWERS[endpoint.name], parse_float=Decimal)
    for _ in range(draw(st.integers(1, 4))):
        payload = _hurt(draw, payload)
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    if draw(st.booleans()):
        return endpoint, body
    cut = draw(st.integers(0, len(body)))
    noise = draw(
        st.sampled_from([b"", b'"', b",", b"}", b'{"code":10007}', b"\xff", b"\x00", b'"price":"1",'])
    )
    keep = draw(st.sampled_from([cut, min(cut + 1, len(body)), len(body)]))
    return endpoint, body[:cut] + noise + body[keep:]


def _hurt(draw: st.DrawFn, payload: Any) -> Any:
    if isinstance(payload, msgspec.Raw):
        return payload
    path = draw(st.sampled_from(list(spots(payload))))
    hostile = msgspec.Raw(draw(st.sampled_from(HOSTILE)))
    if not path:
        return hostile
    spot = payload
    for part in path[:-1]:
        spot = spot[part]
    act = draw(st.sampled_from(["replace", "delete", "add", "move"]))
    if act == "replace":
        spot[path[-1]] = hostile
    elif act == "delete":
        del spot[path[-1]]
    elif isinstance(spot, dict):
        name = draw(st.sampled_from(["new", "price", "a:b", "新", ""]))
        spot[name] = spot.pop(path[-1]) if act == "move" else hostile
    else:
        spot.append(hostile)
    return payload


def numbers(value: Any) -> Iterator[Decimal]:
    """Every number inside a decoded answer."""
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        yield Decimal(value)
    elif isinstance(value, msgspec.Struct):
        yield from numbers([getattr(value, name) for name in value.__struct_fields__])
    elif isinstance(value, dict):
        yield from numbers(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)


def written(body: bytes) -> set[Decimal]:
    """Every number that stands anywhere in a text, read in the plainest way: the naive twin."""
    found: set[Decimal] = set()

    def note(text: str) -> str:
        try:
            value = Decimal(text)
        except InvalidOperation:
            return text
        if value.is_finite():
            found.add(value)
        return text

    def walk(value: Any) -> None:
        if isinstance(value, str):
            note(value)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    def pairs(items: list[tuple[str, Any]]) -> None:
        for _, value in items:
            walk(value)

    walk(json.loads(body, object_pairs_hook=pairs, parse_float=note, parse_int=note))
    return found


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_a_broken_answer_is_an_error_of_ours_or_read_without_inventing_a_number(
    case: tuple[Endpoint, bytes],
) -> None:
    endpoint, body = case
    answer, _ = heard_decode(endpoint, body)
    if answer is not None:
        allowed = written(body)
        for value in numbers(answer):
            assert value.is_finite()
            assert value in allowed
            assert len(format(value, "f")) <= 45


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ENDPOINTS), st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_an_error_of_ours(endpoint: Endpoint, body: bytes) -> None:
    heard_decode(endpoint, body)
    for status in (200, 400, 403, 429, 503):
        assert isinstance(refusal(status, body, {}, endpoint), VenueError)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_what_was_read_of_a_broken_answer_becomes_our_values_or_an_error_of_ours(
    case: tuple[Endpoint, bytes],
) -> None:
    endpoint, body = case
    answer, _ = heard_decode(endpoint, body)
    if answer is None:
        return
    symbol = wire_market.Symbol("NOVA")
    turn = {
        e.EXCHANGE_INFO: lambda: [
            (wire_market.market_of(row), wire_market.band_of(row), wire_listings.official_entry_of(row))
            for row in answer.symbols
        ],
        e.DEPTH: lambda: wire_market.book_of(answer, symbol, 1),
        e.TRADES: lambda: [wire_market.trade_of(row, symbol) for row in answer],
        e.AGG_TRADES: lambda: [wire_market.trade_of(row, symbol) for row in answer],
        e.KLINES: lambda: [wire_market.candle_of(row, symbol) for row in answer],
        e.QUERY_ORDER: lambda: wire_account.venue_order_of(answer),
        e.OPEN_ORDERS: lambda: [wire_account.venue_order_of(row) for row in answer],
        e.MY_TRADES: lambda: [wire_account.fill_of(row) for row in answer],
        e.ACCOUNT: lambda: wire_account.balances_of(answer),
        e.CALENDAR: lambda: [wire_listings.entry_of(row) for row in answer.data.new_coins],
        e.SYMBOLS_V2: lambda: wire_listings.states_of(answer.data.symbols),
    }.get(endpoint)
    if turn is not None:
        try:
            turn()
        except MexclabError:
            return


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ENDPOINTS), st.data())
def test_a_payload_that_lost_or_gained_a_value_is_never_read_in_silence(
    endpoint: Endpoint, data: st.DataObject
) -> None:
    payload = json.loads(ANSWERS[endpoint.name], parse_float=Decimal)
    inside = [path for path in spots(payload) if path and isinstance(path[-1], str)]
    if not inside or endpoint in (e.STP_GROUP_NEW,):  # its content is of no use to us, whatever it is
        return
    path = data.draw(st.sampled_from(inside))
    spot = payload
    for part in path[:-1]:
        spot = spot[part]
    if isinstance(spot, dict) and path[-1] not in ("USDT", "USDC", "data", "code"):
        spot[f"{path[-1]}X"] = spot[path[-1]]
        _, alarms = heard_decode(endpoint, msgspec.json.encode(payload))
        assert [alarm.what for alarm in alarms] == ["is a new field"]


def test_an_answer_nested_beyond_reason_is_unreadable() -> None:
    for deep in (b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
        for endpoint in (e.KLINES, e.TIME, e.CANCEL_ALL):
            assert heard_decode(endpoint, deep)[0] is None


def test_a_flood_of_differences_is_counted_and_not_all_told() -> None:
    alarms: list[DriftSeen] = []
    drift = Drift(alarms.append)
    body = msgspec.json.encode({"serverTime": 1} | {f"field{number}": number for number in range(5_000)})
    decode(e.TIME, body, drift, 1)
    assert len(alarms) == 201
    assert alarms[-1].field == "*"
    assert sum(drift.counts.values()) == 5_000


@pytest.mark.parametrize("field", ["f" * 10_000, "\n", "a.b"])
def test_a_strange_name_of_a_field_makes_a_short_alarm(field: str) -> None:
    _, alarms = heard_decode(e.TIME, msgspec.json.encode({"serverTime": 1, field: 2}))
    assert len(alarms) == 1
    assert len(alarms[0].field) <= 120
