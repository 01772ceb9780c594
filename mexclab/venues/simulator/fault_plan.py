"""The plan of a bad venue: which requests, frames, clocks and listings go wrong, when, and how.

A plan is a TOML or JSON file::

    seed = 7                        # of every coin that a rule tosses

    [clock]                         # of the whole venue, from the start
    shift_ms = 250.0
    drift_ppm = 40.0

    [[rule]]
    name = "swallowed"              # how it is shown; "rule 1" unless told
    fault = "lose_reply"            # a RequestKind with `path`, a FrameKind with `channel`
    path = "/api/v3/order"          # a pattern with * and ?
    method = "POST"                 # any, unless told
    symbol = "LUMF*"                # a pattern on the request's symbol, or on the end of the channel
    account = "paper"               # the owner whose key signed
    nth = [1, 4]                    # only these of the requests that match, counted from 1
    probability = 0.5
    between_s = [0, 3600]           # venue seconds since the plan was loaded
    count = 3                       # at most so often

    [[rule]]
    fault = "refuse"                # taken all the same, and called too early
    code = 10007
    msg = "symbol not support api"
    handled = true
    path = "/api/v3/order"
    method = "POST"

    [[act]]
    act = "forbid_api"              # 10007 for 20 s after the open
    symbol = "LUMFUSDT"
    open_s = 0                      # seconds after its opening, or `at_s` after the plan was loaded
    for_s = 20

The first rule that applies to a request or a frame is carried out, and only that one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from mexclab.errors import ConfigError


class RequestKind(StrEnum):
    """What may happen to a request and its reply."""

    DELAY = "delay"  # handled late
    DROP = "drop"  # never handled; the connection closes without a reply
    LOSE_REPLY = "lose_reply"  # handled; then the connection closes without a reply
    DUPLICATE_REQUEST = "duplicate_request"  # handled twice; the first reply is sent
    DUPLICATE_REPLY = "duplicate_reply"  # handled once; the reply is written twice
    REORDER = "reorder"  # handled at once, the reply is held: later ones overtake it
    STATUS = "status"  # an HTTP status instead of an answer (429, 418, 5xx)
    REFUSE = "refuse"  # an error code of the venue instead of an answer
    HTML = "html"  # a page instead of JSON
    TRUNCATED_JSON = "truncated_json"  # the reply ends in the middle
    WRONG_TYPES = "wrong_types"  # numbers where strings belong, strings where numbers do
    SLOW_REPLY = "slow_reply"  # the reply drips


class FrameKind(StrEnum):
    """What may happen to a frame of the stream."""

    DELAY = "delay"  # late, and the channel's later frames behind it
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"  # late, while the channel's later frames overtake it
    GAP = "gap"  # a depth frame is lost, so that the versions have a hole
    CUT = "cut"  # the connection ends in the middle of the frame
    TRUNCATED_FRAME = "truncated_frame"  # a whole frame whose message ends in the middle
    CLOSE = "close"  # the venue says goodbye instead


Share = Annotated[float, Meta(ge=0, le=1)]
Moment = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # nanoseconds since the epoch
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Signed = Annotated[float, Meta(ge=-1e9, le=1e9)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong, and when; the module's head shows every field that says when."""

    fault: str
    name: str = ""
    path: str = ""
    channel: str = ""
    method: str = ""
    symbol: str = ""
    account: str = ""
    nth: Positive | tuple[Positive, ...] = ()
    probability: Share = 1.0
    between_s: tuple[NotNegative, NotNegative] | None = None
    count: Positive | None = None
    delay_ms: NotNegative | None = None  # delay, reorder, slow_reply
    jitter_ms: NotNegative | None = None  # evenly spread, on top of the delay
    status: Annotated[int, Meta(ge=300, le=599)] | None = None  # status, html
    retry_after_s: Annotated[int, Meta(ge=0)] | None = None  # status: the header of that name
    handled: bool | None = None  # status, html, refuse: whether the request was carried out all the same
    code: int | None = None  # refuse
    msg: str | None = None  # refuse
    keep: Share | None = None  # the share that survives of what is cut or truncated

    @property
    def is_of_frames(self) -> bool:
        return bool(self.channel)

    @property
    def turns(self) -> frozenset[int]:
        """Which matches it is for; empty: all."""
        return frozenset(self.nth if isinstance(self.nth, tuple) else (self.nth,))


ActName = Literal["postpone", "withdraw", "pause", "reopen", "limit_sides", "delist", "forbid_api", "clock"]


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that the venue does to a listing or to its clock.

    Attributes:
        at_s: venue seconds after the plan was loaded; open_s: after the symbol's opening, negative = before.
        by_s, to_ns: postpone, by so much or to that moment. for_s, until_ns: how long ``forbid_api``,
            ``pause`` and ``withdraw`` hold (neither: for ever).
        side: the only one that ``limit_sides`` leaves; none: both again.
    """

    act: ActName
    symbol: str = ""
    at_s: NotNegative | None = None
    open_s: Signed | None = None
    by_s: Signed | None = None
    to_ns: Moment | None = None
    for_s: NotNegative | None = None
    until_ns: Moment | None = None
    side: Literal["BUY", "SELL"] | None = None
    shift_ms: Signed | None = None
    drift_ppm: Signed | None = None


class ClockFault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How wrong the venue's clock goes: ahead by ``shift_ms``, faster by ``drift_ppm`` (millionths)."""

    shift_ms: Signed = 0.0
    drift_ppm: Annotated[float, Meta(ge=-1e5, le=1e5)] = 0.0


class FaultPlan(Struct, frozen=True, kw_only=True):
    """A whole plan; an empty one is a venue that behaves."""

    seed: int = 0
    clock: ClockFault = ClockFault()
    rules: tuple[Rule, ...] = ()
    acts: tuple[Act, ...] = ()


_TIMING = frozenset({"delay_ms", "jitter_ms"})
_ANSWER = frozenset({"handled"})
_SETTINGS: Mapping[str, frozenset[str]] = {
    RequestKind.DELAY: _TIMING,
    RequestKind.REORDER: _TIMING,
    RequestKind.SLOW_REPLY: _TIMING,
    RequestKind.STATUS: _ANSWER | {"status", "retry_after_s"},
    RequestKind.HTML: _ANSWER | {"status"},
    RequestKind.REFUSE: _ANSWER | {"code", "msg"},
    RequestKind.TRUNCATED_JSON: frozenset({"keep"}),
    FrameKind.CUT: frozenset({"keep"}),
    FrameKind.TRUNCATED_FRAME: frozenset({"keep"}),
}
_EVERY_SETTING = frozenset().union(*_SETTINGS.values())
_NEEDS: Mapping[str, tuple[str, ...]] = {
    RequestKind.STATUS: ("status",),
    RequestKind.REFUSE: ("code", "msg"),
}
_ACT_FIELDS: Mapping[str, frozenset[str]] = {
    "postpone": frozenset({"by_s", "to_ns"}),
    "withdraw": frozenset({"for_s", "until_ns"}),
    "pause": frozenset({"for_s", "until_ns"}),
    "reopen": frozenset(),
    "limit_sides": frozenset({"side"}),
    "delist": frozenset(),
    "forbid_api": frozenset({"for_s", "until_ns"}),
    "clock": frozenset({"shift_ms", "drift_ppm"}),
}
_EVERY_ACT_FIELD = frozenset().union(*_ACT_FIELDS.values())
_GAP_CHANNEL = "*depth*"

_T = TypeVar("_T", bound=Struct)


def load_plan(file: Path) -> FaultPlan:
    """Read a plan from a ``.toml`` or ``.json`` file.

    Raises:
        ConfigError: the file cannot be read, or a part of it cannot be used; names the part and what to do.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"fault plan {file} cannot be read: {error}", file=str(file)) from error
    return parse_plan(text, file.name, is_toml=file.suffix.lower() != ".json")


def parse_plan(text: str, where: str = "fault plan", is_toml: bool = False) -> FaultPlan:
    """Read a plan from JSON, or from TOML.

    Raises:
        ConfigError: names the rule or act, the field, and what to do.
    """
    try:
        data = tomllib.loads(text) if is_toml else json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "TOML" if is_toml else "JSON"
        raise ConfigError(f"{where} is not {kind}: {error}", file=where) from error
    return plan_of(data, where)


def plan_of(data: Any, where: str = "fault plan") -> FaultPlan:
    """The plan behind plain values, as JSON or TOML gives them.

    Raises:
        ConfigError: names the rule or act, the field, and what to do.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a plan is a table with seed, clock, rule and act", file=where)
    if unknown := sorted(str(key) for key in data.keys() - {"seed", "clock", "rule", "act"}):
        raise ConfigError(
            f"{where}: {', '.join(unknown)} is nothing that a plan has; it has seed, clock, rule and act",
            file=where, unknown=unknown,
        )  # fmt: skip
    seed = data.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError(f"{where}: seed must be a whole number, not {seed!r}", file=where)
    clock = _convert(data.get("clock", {}), ClockFault, f"{where}, clock")
    rules = [
        _checked_rule(_convert(row, Rule, place), place)
        for number, row in enumerate(_rows(data, "rule", where), 1)
        if (place := _place(where, "rule", number, row))
    ]
    acts = [
        checked_act(_convert(row, Act, place), place, is_planned=True)
        for number, row in enumerate(_rows(data, "act", where), 1)
        if (place := _place(where, "act", number, row))
    ]
    named = tuple(
        msgspec.structs.replace(rule, name=rule.name or f"rule {number}")
        for number, rule in enumerate(rules, 1)
    )
    return FaultPlan(seed=seed, clock=clock, rules=named, acts=tuple(acts))


def act_of(data: Any, where: str) -> Act:
    """One act that is to be done now.

    Raises:
        ConfigError: names the field and what to do.
    """
    return checked_act(_convert(data, Act, where), where, is_planned=False)


def _rows(data: Mapping[str, Any], key: str, where: str) -> list[Any]:
    rows = data.get(key, [])
    if not isinstance(rows, list):
        raise ConfigError(f"{where}: {key} must be a list of tables; in TOML write [[{key}]]", file=where)
    return rows


def _place(where: str, key: str, number: int, row: Any) -> str:
    name = row.get("name") if isinstance(row, dict) else None
    return f"{where}, {key} {number}" + (f" ({name})" if isinstance(name, str) and name else "")


def _convert(row: Any, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(row, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        known = ", ".join(kind.__struct_fields__)
        raise ConfigError(f"{where}: {error}. It may have: {known}", where=where) from error


def _checked_rule(rule: Rule, where: str) -> Rule:
    """What the types cannot say: one target, a fault of that target, and only this fault's settings."""
    if rule.fault == FrameKind.GAP and not rule.path:
        rule = msgspec.structs.replace(rule, channel=rule.channel or _GAP_CHANNEL)
    if bool(rule.path) == bool(rule.channel):
        raise ConfigError(
            f"{where}: give either `path` (a fault of requests) or `channel` (a fault of the stream)",
            where=where, field="path",
        )  # fmt: skip
    target, kinds = ("channel", list(FrameKind)) if rule.channel else ("path", list(RequestKind))
    if rule.fault not in [str(kind) for kind in kinds]:
        raise ConfigError(
            f"{where}: {rule.fault!r} is no fault for a {target}; choose one of {', '.join(kinds)}",
            where=where, field="fault",
        )  # fmt: skip
    alien = [field for field in ("method", "account") if rule.is_of_frames and getattr(rule, field)]
    allowed = _SETTINGS.get(rule.fault, frozenset())
    alien += [field for field in sorted(_EVERY_SETTING - allowed) if getattr(rule, field) is not None]
    if alien:
        raise ConfigError(
            f"{where}: {', '.join(alien)} means nothing to {rule.fault} on a {target}; take it out",
            where=where, field=alien[0],
        )  # fmt: skip
    if missing := [field for field in _NEEDS.get(rule.fault, ()) if getattr(rule, field) is None]:
        raise ConfigError(f"{where}: {rule.fault} needs {' and '.join(missing)}; add it", where=where)
    if rule.between_s is not None and not rule.between_s[0] < rule.between_s[1]:
        raise ConfigError(f"{where}: between_s must be [from, until] with from before until", where=where)
    return rule


def checked_act(act: Act, where: str, is_planned: bool) -> Act:
    """The act, once it is sure that it can be done.

    Raises:
        ConfigError: names the field and what to do.
    """
    alien = [
        field for field in sorted(_EVERY_ACT_FIELD - _ACT_FIELDS[act.act]) if getattr(act, field) is not None
    ]
    given = [field for field in ("at_s", "open_s") if getattr(act, field) is not None]
    if alien or (given and not is_planned):
        names = ", ".join(alien or given)
        raise ConfigError(f"{where}: {names} means nothing to {act.act} here; take it out", where=where)
    if is_planned and len(given) != 1:
        raise ConfigError(f"{where}: give either at_s or open_s, so that it is known when", where=where)
    if bool(act.symbol) is (act.act == "clock"):
        say = "is about the whole venue; take symbol out" if act.symbol else "needs the symbol it is about"
        raise ConfigError(f"{where}: {act.act} {say}", where=where, field="symbol")
    if act.act == "clock" and act.open_s is not None:
        raise ConfigError(f"{where}: clock has no opening; give at_s", where=where, field="open_s")
    both = [(a, b) for a, b in (("by_s", "to_ns"), ("for_s", "until_ns"))
            if getattr(act, a) is not None and getattr(act, b) is not None]  # fmt: skip
    if both:
        raise ConfigError(f"{where}: give either {both[0][0]} or {both[0][1]}, not both", where=where)
    if act.act == "postpone" and act.by_s is None and act.to_ns is None:
        raise ConfigError(f"{where}: postpone needs by_s or to_ns; add one", where=where)
    return act
