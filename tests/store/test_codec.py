from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.events import (
    EVENT_TYPES,
    AlertRaised,
    Event,
    Halted,
    OrderFilled,
    OrderSent,
    SignalRaised,
    SnipeMoved,
)
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import CLIENT_ID, Fill, Order
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import ExitPlan, Plan, Rung
from mexclab.errors import DataError, LedgerCorrupt, LedgerError
from mexclab.store import codec
from mexclab.store.codec import GENESIS, Chain, decode, decode_fact, encode, encode_fact, seal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ids = st.from_regex(CLIENT_ID, fullmatch=True)
names = st.text("ABCDEFXYZ0123456789$", min_size=1, max_size=8)
times = st.integers(0, 2**63 - 1)
money = st.decimals(allow_nan=False, allow_infinity=False)
amounts = st.decimals(min_value="1e-18", max_value="1e12", allow_nan=False)
fractions = st.decimals(min_value=0, max_value=1, places=6)
symbols = st.builds(Symbol, names, names)
fills = st.builds(
    Fill, trade_id=texts, client_id=ids, symbol=symbols, price=amounts, quantity=amounts, fee_asset=names
)
evidence = st.dictionaries(texts, texts, max_size=4).map(MappingProxyType)
shares = st.decimals("0.001", "0.999", places=3)
ladders = st.lists(st.integers(1, 10**5), min_size=1, max_size=6, unique=True).map(
    lambda gains: tuple(Rung(Decimal(gain) / 1000, Decimal("0.10")) for gain in sorted(gains))
)
exits = st.builds(
    ExitPlan,
    ladder=ladders,
    stop_loss=shares,
    time_stop_ns=st.integers(1, 2**62),
    trailing=st.none() | shares,
    break_even_after=st.none() | shares,
    version=st.integers(0, 999),
)
plans = st.builds(
    lambda start, length, **rest: Plan(not_before_ns=start, deadline_ns=start + length, **rest),
    start=st.integers(0, 2**62),
    length=st.integers(1, 2**61),
    snipe_id=st.from_regex(r"\A[0-9a-zA-Z_-]{1,20}\Z"),
    signal_id=ids,
    symbol=symbols,
    budget_quote=amounts,
    price_cap=amounts,
    exit=exits,
    probability=fractions,
    attempts=st.integers(1, 50),
    spacing_ns=st.integers(1, 2**62),
)
for type_, strategy in {
    str: texts,
    int: times,
    Decimal: money,
    Symbol: symbols,
    Fill: fills,
    ExitPlan: exits,
    Plan: plans,
    Order: st.builds(
        Order, client_id=ids, quantity=amounts, price=amounts, fills=st.lists(fills, max_size=3).map(tuple)
    ),
    Signal: st.builds(Signal, probability=fractions, evidence=evidence),
}.items():
    st.register_type_strategy(type_, strategy)

events = st.one_of([st.builds(type_) for type_ in EVENT_TYPES.values()]).filter(
    lambda event: "\0" not in codec.correlation(event)
)
HALT = Halted(at_ns=5, by="Ada", why="fog")


def sized(value: object) -> object:
    """The value with every Decimal spelled out, so that 1.0 and 1.00 differ."""
    return msgspec.to_builtins(value, enc_hook=dict)


@pytest.mark.parametrize("kind", EVENT_TYPES)
@settings(max_examples=25)
@given(data=st.data())
def test_every_kind_of_event_comes_back_as_it_was(kind: str, data: st.DataObject) -> None:
    event = data.draw(st.builds(EVENT_TYPES[kind]).filter(lambda e: "\0" not in codec.correlation(e)))
    entry = encode(event)
    again = decode(entry.kind, entry.body)
    assert type(again) is type(event)
    assert again == event
    assert sized(again) == sized(event)
    assert encode(again) == entry


@settings(max_examples=50)
@given(events)
def test_a_body_is_json_with_sorted_keys_and_no_blanks(event: Event) -> None:
    body = encode(event).body
    assert json.loads(body) == json.loads(body, object_pairs_hook=lambda pairs: dict(sorted(pairs)))
    canonical = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(canonical) == json.loads(body)
    keys: list[list[str]] = []
    json.loads(body, object_pairs_hook=lambda pairs: keys.append([key for key, _ in pairs]))
    assert all(level == sorted(level, key=str.encode) for level in keys)


@pytest.mark.parametrize(
    "digits", ["1.10", "0.000", "1E+3", "-0", "123456789012345678901234567890.0000000001"]
)
def test_money_keeps_every_digit(digits: str) -> None:
    fill = Fill("t", "s-entry-1", Symbol("ABC"), Side.BUY, Decimal(1), Decimal(1), Decimal(digits), "MX", 1)
    entry = encode(OrderFilled(1, fill))
    again = decode(entry.kind, entry.body)
    assert isinstance(again, OrderFilled)
    assert str(again.fill.fee) == digits


def test_evidence_comes_back_read_only() -> None:
    signal = Signal("x", Symbol("ABC"), "p", 1, 2, Decimal("0.5"), MappingProxyType({"why": "seen"}))
    entry = encode(SignalRaised(1, signal))
    again = decode(entry.kind, entry.body)
    assert isinstance(again, SignalRaised)
    with pytest.raises(TypeError):
        again.signal.evidence["why"] = "edited"  # type: ignore[index]


def test_a_body_from_before_a_field_was_added_takes_its_default() -> None:
    assert decode("OrderSent", '{"at_ns":1,"client_id":"s-entry-1"}') == OrderSent(1, "s-entry-1", None)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Halted", ""),
        ("Halted", '{"at_ns":1,"by":"x"'),
        ("Halted", '{"at_ns":1,"by":"x"}'),
        ("Halted", '{"at_ns":"1","by":"x","why":""}'),
        ("SnipeMoved", '{"at_ns":1,"snipe_id":"s","to":"NOWHERE"}'),
        ("ListingStateSeen", '{"at_ns":1,"symbol":{"base":"","quote":"USDT"},"triple":[1,2,3]}'),
        ("ListingStateSeen", '{"at_ns":1,"symbol":{"base":"A","quote":"USDT"},"triple":[1,2]}'),
    ],
)
def test_a_body_that_is_not_of_its_kind_is_corruption(kind: str, body: str) -> None:
    with pytest.raises(LedgerCorrupt, match=kind):
        decode(kind, body)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(LedgerCorrupt, match="'Teleported'"):
        decode("Teleported", "{}")


@dataclass(frozen=True, slots=True)
class Teleported:
    at_ns: int


@pytest.mark.parametrize(
    "event",
    [
        Teleported(1),
        replace(HALT, at_ns=2**63),
        replace(HALT, at_ns=1.5),
        replace(HALT, why=None),
        replace(HALT, why="\ud800"),
        replace(HALT, why=object()),
        SnipeMoved(1, "s", "NOWHERE"),  # type: ignore[arg-type]
        AlertRaised(1, "info", "text", correlation_id="a\0b"),
        OrderFilled(1, Fill("t", "s", Symbol("A"), Side.BUY, 0.1, Decimal(1), Decimal(1), "MX", 1)),  # type: ignore[arg-type]
    ],
    ids=lambda event: repr(event)[:40].encode("ascii", "replace").decode(),
)
def test_what_could_not_be_read_back_is_not_written(event: Event) -> None:
    with pytest.raises(LedgerError):
        encode(event)


def test_texts_from_a_hostile_venue_survive() -> None:
    event = replace(HALT, why="\0 ' \" \\ \u202e 💥 \x1b[31m")
    entry = encode(event)
    assert "\0" not in entry.body
    assert decode(entry.kind, entry.body) == event


def test_the_chain_is_the_documented_recipe() -> None:
    entry = encode(HALT)
    recipe = GENESIS + (1).to_bytes(8, "big") + b'Halted\0\0{"at_ns":5,"by":"Ada","why":"fog"}'
    assert seal(GENESIS, 1, entry) == sha256(recipe).digest()
    rows = list(Chain().extend([entry, entry]))
    assert [row.seq for row in rows] == [1, 2]
    assert rows[1].prev_hash == rows[0].hash
    assert rows[1].hash != rows[0].hash


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 3}, {"at_ns": 6}, {"kind": "Resumed"}, {"correlation": "x"}, {"prev_hash": bytes(32)},
        {"hash": bytes(32)}, {"body": '{"at_ns":5,"by":"Eve","why":"fog"}'},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_change_to_any_column_breaks_the_chain(change: dict[str, object]) -> None:
    first, second = Chain().extend([encode(HALT), encode(HALT)])
    chain = Chain()
    chain.check(first)
    with pytest.raises(LedgerCorrupt) as caught:
        chain.check(second._replace(**change))
    assert caught.value.data["seq"] == 2


@given(st.builds(CalendarEntry) | st.builds(SymbolState))
def test_listing_facts_come_back_as_they_were(fact: CalendarEntry | SymbolState) -> None:
    assert decode_fact(*encode_fact(fact)) == fact


@pytest.mark.parametrize(("kind", "body"), [("Rumour", "{}"), ("CalendarEntry", "{}"), ("SymbolState", "[")])
def test_a_recorded_fact_that_cannot_be_read_is_refused(kind: str, body: str) -> None:
    with pytest.raises(DataError, match=kind):
        decode_fact(kind, body)
