"""Fault plans are read strictly: what cannot be used is named, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.errors import ConfigError
from mexclab.venues.simulator import fault_plan
from mexclab.venues.simulator.fault_plan import (
    FaultPlan,
    FrameKind,
    RequestKind,
    load_plan,
    parse_plan,
    plan_of,
)
from mexclab.venues.simulator.faults import Faults
from tests.venues.served import planned


def refusal(data: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        plan_of(data, "plan.toml")
    return caught.value.message


def test_the_plan_of_the_modules_head_is_one() -> None:
    lines = (fault_plan.__doc__ or "").splitlines()
    text = "\n".join(line[4:] for line in lines if line.startswith("    "))
    told = parse_plan(text, is_toml=True)
    assert (told.seed, len(told.rules), len(told.acts)) == (7, 2, 1)
    assert told.rules[0].turns == {1, 4}
    assert told.clock.shift_ms == 250


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, json_file = tmp_path / "plan.toml", tmp_path / "plan.json"
    toml.write_text('seed = 3\n[[rule]]\nfault = "drop"\npath = "/api/*"\nnth = 2\n')
    json_file.write_text('{"seed": 3, "rule": [{"fault": "drop", "path": "/api/*", "nth": 2}]}')
    assert load_plan(toml) == load_plan(json_file)


def test_rules_without_a_name_are_numbered() -> None:
    told = planned({"fault": "drop", "path": "*"}, {"fault": "drop", "path": "*", "name": "mine"})
    assert [rule.name for rule in told.rules] == ["rule 1", "mine"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"fault": "drop"}, "either `path` (a fault of requests) or `channel`"),
        ({"fault": "drop", "path": "*", "channel": "*"}, "either `path`"),
        ({"fault": "explode", "path": "*"}, "choose one of delay, drop, lose_reply"),
        ({"fault": "cut", "path": "*"}, "no fault for a path"),
        ({"fault": "html", "channel": "*"}, "no fault for a channel"),
        ({"fault": "status", "path": "*"}, "status needs status; add it"),
        ({"fault": "refuse", "path": "*", "code": 1}, "refuse needs msg; add it"),
        ({"fault": "drop", "path": "*", "code": 1}, "code means nothing to drop on a path; take it out"),
        ({"fault": "drop", "channel": "*", "method": "GET"}, "method means nothing to drop on a channel"),
        ({"fault": "drop", "path": "*", "probability": 1.5}, "probability"),
        ({"fault": "drop", "path": "*", "probability": float("nan")}, "probability"),
        ({"fault": "drop", "path": "*", "nth": 0}, "nth"),
        ({"fault": "drop", "path": "*", "between_s": [5, 5]}, "from before until"),
        ({"fault": "drop", "path": "*", "count": 0}, "count"),
        ({"fault": "drop", "path": "*", "often": 1}, "often"),
        ({"path": "*"}, "fault"),
        ({"fault": "delay", "path": "*", "delay_ms": -1}, "delay_ms"),
        ({"fault": "delay", "path": "*", "delay_ms": "5"}, "delay_ms"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named_with_what_to_do(rule: dict[str, Any], words: str) -> None:
    sentence = refusal({"rule": [{"fault": "drop", "path": "*"}, {"name": "second", **rule}]})
    assert sentence.startswith("plan.toml, rule 2 (second): ")
    assert words in sentence


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ({"act": "postpone", "symbol": "A", "at_s": 1}, "postpone needs by_s or to_ns"),
        ({"act": "postpone", "symbol": "A", "at_s": 1, "by_s": 1, "to_ns": 1}, "either by_s or to_ns"),
        ({"act": "pause", "at_s": 1}, "needs the symbol"),
        ({"act": "pause", "symbol": "A"}, "either at_s or open_s"),
        ({"act": "pause", "symbol": "A", "at_s": 1, "open_s": 1}, "either at_s or open_s"),
        ({"act": "pause", "symbol": "A", "at_s": 1, "side": "BUY"}, "side means nothing to pause"),
        ({"act": "clock", "symbol": "A", "at_s": 1}, "take symbol out"),
        ({"act": "clock", "open_s": 1, "shift_ms": 1}, "give at_s"),
        ({"act": "vanish", "symbol": "A", "at_s": 1}, "vanish"),
    ],
)
def test_an_act_that_cannot_be_done_is_named_with_what_to_do(act: dict[str, Any], words: str) -> None:
    sentence = refusal({"act": [act]})
    assert sentence.startswith("plan.toml, act 1: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("text", "is_toml"),
    [("{", False), ("[1]", False), ("seed = ", True), ("[" * 100_000, False), ("5", False)],
)
def test_text_that_is_no_plan_is_refused(text: str, is_toml: bool) -> None:
    with pytest.raises(ConfigError, match="fault plan"):
        parse_plan(text, is_toml=is_toml)


@pytest.mark.parametrize(
    "data", [{"rules": []}, {"seed": "7"}, {"seed": True}, {"rule": {}}, {"act": 5}, {"clock": {"shift": 1}}]
)
def test_a_plan_with_parts_that_it_has_not_is_refused(data: dict[str, Any]) -> None:
    assert refusal(data).startswith("plan.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        load_plan(tmp_path / "missing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.toml"):
        load_plan(tmp_path / "bytes.toml")


def read_or_refused(read: Callable[[], FaultPlan]) -> FaultPlan | str:
    """The plan, or the sentence of its refusal, which names the plan; any other error is one of ours."""
    try:
        return read()
    except ConfigError as error:
        sentence = error.message
    assert sentence.startswith("fault plan")
    return sentence


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_rule_fields = st.sampled_from([*fault_plan.Rule.__struct_fields__, "other"])
_kinds = st.sampled_from([*map(str, RequestKind), *map(str, FrameKind)])
_rules = st.dictionaries(_rule_fields, _values | st.integers(0, 600), max_size=6).flatmap(
    lambda rule: st.fixed_dictionaries({"fault": _kinds | _values, "path": st.just("*")}).map(
        lambda base: base | rule
    )
)
_acts = st.dictionaries(
    st.sampled_from([*fault_plan.Act.__struct_fields__, "other"]),
    _values | st.integers(0, 600) | st.sampled_from(["pause", "postpone", "clock", "BUY"]),
    max_size=6,
)


@given(st.fixed_dictionaries({}, optional={
    "seed": _values, "clock": _values, "rule": st.lists(_rules | _values, max_size=3) | _values,
    "act": st.lists(_acts | _values, max_size=3) | _values,
}))  # fmt: skip
def test_any_data_is_a_plan_or_a_config_error(data: dict[str, Any]) -> None:
    told = read_or_refused(lambda: plan_of(data))
    if isinstance(told, FaultPlan):
        Faults(told)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")), st.booleans())
def test_any_text_is_a_plan_or_a_config_error(text: str, is_toml: bool) -> None:
    read_or_refused(lambda: parse_plan(text, is_toml=is_toml))
