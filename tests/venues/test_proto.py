"""The stream's schema: every fact of the recorded one, in a pool of its own, readable by ccxt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToDict, ParseDict

from mexclab.venues import proto

FACTS = Path(__file__).resolve().parents[2].parent / "shared" / "mexc" / "fixtures"
TYPES = {9: "string", 5: "int32", 3: "int64", 8: "bool"}


def fixture(name: str) -> Any:
    path = FACTS / name
    if not path.exists():
        pytest.skip(f"the recorded facts {name} are not at hand")
    return json.loads(path.read_text(encoding="utf-8"))


def facts_of(descriptor: Any) -> list[dict[str, Any]]:
    return [
        {
            "n": field.number,
            "name": field.name,
            "type": TYPES[field.type] if field.type != field.TYPE_MESSAGE else field.message_type.name,
            "repeated": field.is_repeated,
            "oneof": field.containing_oneof.name if field.containing_oneof is not None else None,
        }
        for field in descriptor.fields
    ]


def test_every_message_has_exactly_the_recorded_fields() -> None:
    recorded = fixture("proto_schema_2026_06_facts.json")
    pool = proto.PushData.DESCRIPTOR.file.message_types_by_name
    assert set(pool) == set(recorded)
    for name, message in recorded.items():
        by_number = sorted(message["fields"], key=lambda fact: fact["n"])
        assert sorted(facts_of(pool[name]), key=lambda fact: fact["n"]) == by_number, name


def test_no_message_of_ours_is_in_the_default_pool() -> None:
    ours = proto.PushData.DESCRIPTOR.file.pool
    assert ours is not descriptor_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName(proto.PushData.DESCRIPTOR.file.name)


def filled(message: Any) -> Any:
    """The message with a value of its own in every field, one body at a time left out of the wrapper."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and field.containing_oneof.name == "body":
            continue
        if field.type == field.TYPE_MESSAGE:
            filled(getattr(message, field.name).add())
        else:
            kinds = {"string": f"{field.name} {field.number}", "bool": True}
            setattr(message, field.name, kinds.get(TYPES[field.type], 10**9 + field.number))
    return message


def without(fields: Any, new: frozenset[str]) -> Any:
    if isinstance(fields, dict):
        return {name: without(value, new) for name, value in fields.items() if name not in new}
    return [without(value, new) for value in fields] if isinstance(fields, list) else fields


@pytest.mark.parametrize("body", proto.BODIES)
def test_ccxt_decodes_what_we_encode_and_we_what_it_encodes(body: str) -> None:
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2

    ours = filled(proto.PushData())
    filled(getattr(ours, body))
    theirs = PushDataV3ApiWrapper_pb2.PushDataV3ApiWrapper.FromString(ours.SerializeToString())
    assert theirs.WhichOneof("body") == body
    # fields that came after ccxt's copy of the schema are skipped by it
    new = frozenset({"tradeId", "lastOrderCreateTime"}) if body.startswith("public") else frozenset()
    new |= {"version"} if body in ("publicBookTickerBatch", "publicAggreBookTicker") else frozenset()
    assert MessageToDict(theirs) == without(MessageToDict(ours), new)
    back = proto.PushData.FromString(theirs.SerializeToString())
    assert back == ours  # what it does not know it still carries on


@pytest.mark.parametrize("kind", ["kline", "depth", "order_market_buy_filled", "account_place"])
def test_a_recorded_frame_survives_the_way_through_the_wire(kind: str) -> None:
    recorded = fixture("ws_private_samples_from_ccxt_comments.json")[kind]
    wire = ParseDict(recorded, proto.PushData()).SerializeToString()
    assert MessageToDict(proto.PushData.FromString(wire)) == recorded
    assert wire[0] == 0x0A or "channel" not in recorded


def test_an_unknown_field_is_no_error() -> None:
    newer = b"\x0a\x01c\xfa\x7f\x03abc"  # field 2047, bytes
    assert proto.PushData.FromString(newer).channel == "c"
