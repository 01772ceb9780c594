"""What a storm brings, drawn by its seed: openings, faults, acts of the venue and of people, restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args

from mexclab.trading.entries import NOT_OPEN_YET
from mexclab.venues.simulator.fault_plan import ActName, FaultPlan, FrameKind, RequestKind, plan_of

Preset: TypeAlias = Literal["conservative", "balanced", "aggressive"]
Deed: TypeAlias = Literal[
    "restart", "die while starting", "stop", "halt", "resume", "flatten", "flatten one", "abort",
    "replace exit", "sweep", "tune",
]  # fmt: skip
Row: TypeAlias = Mapping[str, Any]

FIRST_S = 70.0  # the first opening, after the start
RULES_A_SNIPE = 3
ORDER = "/api/v3/order"
REQUESTS: tuple[Row, ...] = (
    {"path": ORDER, "method": "POST"},
    {"path": ORDER, "method": "POST"},
    {"path": ORDER, "method": "DELETE"},
    {"path": ORDER, "method": "GET"},
    {"path": "/api/v3/myTrades"},
    {"path": "/api/v3/openOrders"},
    {"path": "/api/v3/account"},
    {"path": "/api/v3/time"},
    {"path": "/api/v3/exchangeInfo"},
    {"path": "/api/v3/depth"},
    {"path": "/api/v3/userDataStream"},
    {"path": "/api/v3/*", "method": "GET"},
    {"path": "/api/operation/*"},
    {"path": "/api/platform/*"},
    {"path": "*"},
)
CHANNELS: tuple[Row, ...] = (
    {"channel": "*private.orders*"},
    {"channel": "*private.deals*"},
    {"channel": "*private*"},
    {"channel": "*depth*"},
    {"channel": "*aggre.deals*"},
    {"channel": "*"},
)
# what a venue says instead of an answer; 10007 is "not open yet", 700003 "your clock", 30005 "too little"
WORDS: tuple[Row, ...] = (
    {"code": 10007, "msg": "symbol not support api"},
    {"code": 30016, "msg": "Trading disabled"},
    {"code": 700003, "msg": "Timestamp for this request is outside of the recvWindow."},
    {"code": 30005, "msg": "Oversold"},
    {"code": 10101, "msg": "Insufficient balance"},
    {"code": 1, "msg": "unknown error"},
)
STATUSES: tuple[Row, ...] = (
    {"status": 429, "retry_after_s": 1},
    {"status": 429},
    {"status": 418, "retry_after_s": 3},
    {"status": 500},
    {"status": 502},
    {"status": 503},
    {"status": 504},
    {"status": 403},
)
LIES: tuple[Row, ...] = (
    {
        "fault": "status", "name": "request status", "path": ORDER, "method": "POST", "status": 429,
        "retry_after_s": 1, "handled": True, "probability": 0.1, "count": 4,
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opening:
    """A listing opens ``at_s`` after the start, and is announced ``lead_s`` before."""

    at_s: float
    lead_s: float


@dataclass(frozen=True, slots=True)
class Trading:
    """What the desk of this storm is told to do."""

    budget: Decimal
    preset: Preset
    time_stop_s: int
    reconcile_s: int


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that befalls the desk.

    Attributes:
        at_s: when, after the start.
        for_s: how long it is down.
        pick: which of the snipes that it could fall on, as a share of them.
    """

    at_s: float
    deed: Deed
    for_s: float = 0.0
    pick: float = 0.0


@dataclass(frozen=True, slots=True)
class Weather:
    """All that a seed draws. ``ends_s``: from then on nothing goes wrong any more."""

    seed: int
    openings: tuple[Opening, ...]
    rules: tuple[Row, ...]
    acts: tuple[Row, ...]
    deeds: tuple[Happening, ...]
    trading: Trading
    latency_ms: int
    machine_ms: float  # by how much the desk's machine is ahead of the venue
    ends_s: float

    def plan(self, symbols: Sequence[str]) -> FaultPlan:
        """The faults for the simulator; an act's ``symbol`` is the number of its listing until here."""
        acts = [{**act, **_named(act, symbols)} for act in self.acts]
        return plan_of({"seed": self.seed, "rule": list(self.rules), "act": acts})


def _named(act: Row, symbols: Sequence[str]) -> Row:
    return {"symbol": symbols[act["symbol"]]} if "symbol" in act else {}


def weather_of(seed: int, snipes: int) -> Weather:
    """The weather of one storm of ``snipes`` listings."""
    chance = random.Random(f"storm/{seed}/{snipes}")
    at_s, openings = FIRST_S, []
    for _ in range(snipes):
        openings.append(Opening(at_s, min(at_s, chance.uniform(20.0, 100.0))))
        at_s += chance.choice((0.0, 0.05, 1.0)) if chance.random() < 0.25 else chance.uniform(2.0, 12.0)
    presets: tuple[Preset, ...] = get_args(Preset)
    lies = random.Random(f"lies/{seed}").random() < 0.5
    # an order that rests although it was called refused is found by a comparison, and by nothing else
    trading = Trading(Decimal(20), chance.choice(presets), chance.randint(15, 60), 45 if lies else 300)
    ends_s = at_s + 10.0  # in the thick of it: what is then under way has to come right in the calm
    return Weather(
        seed,
        tuple(openings),
        (*_rules(chance, openings, lies), *_last_gusts(ends_s), *(LIES if lies else ())),
        tuple(_acts(chance, openings, ends_s)),
        tuple(sorted(_deeds(chance, openings, ends_s), key=lambda deed: deed.at_s)),
        trading,
        latency_ms=chance.choice((5, 20, 60, 120)),
        machine_ms=chance.uniform(-120.0, 120.0),
        ends_s=ends_s,
    )


def _about(chance: random.Random, openings: Sequence[Opening]) -> tuple[float, float]:
    """A stretch about some opening: mostly from the shot on, else from the last checks before it."""
    opening = chance.choice(openings)
    before_s = chance.uniform(0.0, 1.2) if chance.random() < 0.7 else chance.uniform(1.2, 8.0)
    return opening.at_s - before_s, opening.at_s + chance.uniform(0.5, 40.0)


def _rules(chance: random.Random, openings: Sequence[Opening], lies: bool) -> Iterator[Row]:
    """Every kind of fault in turn, each about an opening, until there are enough."""
    kinds: list[RequestKind | FrameKind] = [*RequestKind, *FrameKind]
    wanted = max(len(kinds), RULES_A_SNIPE * len(openings))
    rounds = [chance.sample(kinds, len(kinds)) for _ in range(-(-wanted // len(kinds)))]
    for kind in [each for some in rounds for each in some][:wanted]:
        of_requests = isinstance(kind, RequestKind)
        target = chance.choice(REQUESTS) if of_requests else chance.choice(CHANNELS)
        row: dict[str, Any] = {
            "fault": str(kind),
            "name": f"{'request' if of_requests else 'frame'} {kind}",
            **target,
            "between_s": list(_about(chance, openings)),
            "probability": chance.choice((0.3, 0.6, 1.0)),
            "count": chance.randint(1, 2 if of_requests and target["path"] != ORDER else 4),
            **_details(chance, kind, lies),
        }
        if kind is FrameKind.GAP:
            row["channel"] = "*depth*"
        yield row


def _last_gusts(ends_s: float) -> Iterator[Row]:
    """What makes sure that the calm begins with answers and news of our orders missing."""
    end = {"between_s": [max(0.0, ends_s - 12.0), ends_s], "probability": 0.5}
    yield {"fault": "lose_reply", "name": "request lose_reply", "path": ORDER, "count": 6, **end}
    yield {"fault": "drop", "name": "frame drop", "channel": "*private*", "count": 30, **end}


def _details(chance: random.Random, kind: RequestKind | FrameKind, lies: bool) -> Row:
    match kind:
        case RequestKind.DELAY | RequestKind.REORDER | RequestKind.SLOW_REPLY:
            late_ms = chance.choice((50.0, 400.0, 2_000.0, 4_500.0, 8_000.0))
            return {"delay_ms": late_ms, "jitter_ms": late_ms / 4}
        case FrameKind.DELAY | FrameKind.REORDER:
            return {"delay_ms": chance.choice((20.0, 300.0, 3_000.0)), "jitter_ms": 100.0}
        case RequestKind.STATUS:
            told = chance.choice(STATUSES)
            # a failure of the venue's own may come after the deed; "too many" only where the venue lies
            return {**told, "handled": (told["status"] >= 500 or lies) and chance.random() < 0.5}
        case RequestKind.HTML:
            return {"status": chance.choice((500, 502, 503)), "handled": chance.random() < 0.5}
        case RequestKind.REFUSE:
            word = chance.choice(WORDS)
            # a venue that lies calls an order too early that it has taken
            return {**word, "handled": lies and word["code"] in NOT_OPEN_YET}
        case RequestKind.TRUNCATED_JSON | FrameKind.CUT | FrameKind.TRUNCATED_FRAME:
            return {"keep": chance.uniform(0.0, 0.95)}
    return {}


def _acts(chance: random.Random, openings: Sequence[Opening], ends_s: float) -> Iterator[Row]:
    """Every act in turn, each on a listing of its own, in the first part of a storm for sure."""
    names: list[ActName] = [name for name in get_args(ActName) if name not in ("clock", "reopen")]
    some = chance.sample(range(len(openings)), min(len(openings), max(len(names), len(openings) // 3)))
    for place, number in enumerate(some):
        yield from _act(chance, names[place % len(names)], number, is_late=number > 0.75 * len(openings))
    yield {"act": "reopen", "symbol": some[0], "open_s": 40.0}
    for _ in range(1 + len(openings) // 12):
        at_s = chance.uniform(5.0, ends_s - 15.0)
        shift_ms = chance.choice((-5_000.0, -800.0, -100.0, 60.0, 400.0, 5_000.0))
        drift_ppm = chance.choice((0.0, 200.0, -200.0))
        yield {"act": "clock", "at_s": at_s, "shift_ms": shift_ms, "drift_ppm": drift_ppm}
        yield {"act": "clock", "at_s": at_s + chance.uniform(0.5, 8.0), "shift_ms": 0.0, "drift_ppm": 0.0}


def _act(chance: random.Random, name: ActName, number: int, is_late: bool) -> Iterator[Row]:
    """One act on a listing, and what ends it. Only a late listing stays delisted: what is held and has no
    price any more keeps the desk from entering anything."""
    on: dict[str, Any] = {"act": name, "symbol": number}
    soon_s = chance.choice((0.05, 0.4, 2.0, 8.0)) * chance.uniform(0.5, 1.5)
    match name:
        case "postpone":
            by_s = chance.choice((3.0, 12.0, 40.0))
            yield {**on, "open_s": -soon_s * chance.choice((1, 4)), "by_s": by_s}
        case "withdraw":
            gone = {} if chance.random() < 0.3 else {"for_s": chance.choice((1.0, 8.0, 30.0))}
            yield {**on, "open_s": -soon_s * chance.choice((1, 4)), **gone}
        case "pause":
            if chance.random() < 0.5:
                yield {**on, "open_s": soon_s, "for_s": chance.uniform(0.5, 12.0)}
            else:
                yield {**on, "open_s": soon_s}
                yield {"act": "reopen", "symbol": number, "open_s": soon_s + chance.uniform(0.5, 12.0)}
        case "limit_sides":
            yield {**on, "open_s": soon_s, "side": chance.choice(("BUY", "SELL"))}
            yield {**on, "open_s": soon_s + chance.uniform(0.5, 12.0)}
        case "delist":
            yield {**on, "open_s": soon_s + chance.uniform(0.0, 10.0)}
            if not is_late:
                yield {"act": "reopen", "symbol": number, "open_s": soon_s + chance.uniform(12.0, 30.0)}
        case "forbid_api":
            yield {**on, "open_s": chance.choice((-2.0, 0.0, 0.5)), "for_s": chance.choice((0.2, 1.0, 6.0))}


def _deeds(chance: random.Random, openings: Sequence[Opening], ends_s: float) -> Iterator[Happening]:
    """Ends of the process and acts of people, most of them about an opening."""

    def near(some: Sequence[Opening] = openings, from_s: float = -1.5, to_s: float = 4.0) -> float:
        return min(chance.choice(some).at_s + chance.uniform(from_s, to_s), ends_s)

    # a start compares everything, which hides what a desk that lives on would have to find by itself
    often = chance.random() < 0.5
    early = openings if often else openings[: 1 + len(openings) // 4]
    for _ in range(2 + len(openings) // 6 if often else 1):
        yield Happening(near(early), "restart", chance.choice((0.0, 0.3, 3.0)))
    for _ in range(1 + len(openings) // 16 if often else 1):
        yield Happening(near(early), "die while starting", chance.uniform(0.01, 0.6))
    for _ in range(1 + len(openings) // 24 if often else 1):
        yield Happening(near(early), "stop", chance.choice((0.0, 2.0)))
    for _ in range(1 + len(openings) // 24):
        at_s = near()
        yield Happening(at_s, "halt")
        yield Happening(at_s + chance.uniform(0.5, 6.0), "resume")
        yield Happening(near(), "tune", pick=chance.random())
        yield Happening(near(from_s=5.0, to_s=60.0), "sweep")
    ways: tuple[Deed, ...] = ("flatten one", "abort", "replace exit")
    for place in range(max(3, len(openings) // 3)):
        yield Happening(near(from_s=0.0, to_s=12.0), ways[place % len(ways)], pick=chance.random())
    for _ in range(1 + len(openings) // 24):
        yield Happening(near(from_s=0.0, to_s=12.0), "flatten")
