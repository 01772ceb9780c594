"""A bad venue on purpose: carries out a fault plan on requests, on frames, on the clock and on listings."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import DomainError
from mexclab.venues.simulator.fault_plan import Act, ClockFault, FaultPlan, FrameKind, RequestKind, Rule
from mexclab.venues.simulator.http import Call, Reply, error
from mexclab.venues.simulator.listing_acts import act_on_listing, nanoseconds, opening_of

if TYPE_CHECKING:
    from mexclab.venues.simulator.world import World

REMEMBERED = 1_000  # applied faults that are listed one by one
LATE_MS = 150.0  # how late something is when a rule does not say
DRIP_MS = 500.0
LOOK_AGAIN_NS = 60 * SECOND  # a planned act on a symbol that is not known yet is tried again
ORDER_STEP_S = 1e-6  # keeps frames of a held channel in their order
_NUMBER = re.compile(r"-?\d{1,300}(\.\d+)?")
GOODBYE = b"\x88\x02\x03\xe9"  # a close frame, code 1001: going away
WORDS = {
    403: "Access Denied",
    418: "Too Many Requests",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Close(NamedTuple):
    """The connection ends: after these bytes of it, which may be a part of a frame."""

    last: bytes = b""


class Applied(NamedTuple):
    """One fault that was carried out; ``at_ns`` is the venue's time."""

    at_ns: int
    rule: str
    fault: str
    what: str


@dataclass(frozen=True, slots=True)
class RequestFault:
    """What to do with one request: wait ``before_s``, handle it ``times``, wait ``after_s``, then answer.

    Attributes:
        copies: how often the reply is written; 0 = the connection is closed instead.
        drip_s: the reply's bytes are spread over so long.
    """

    kind: RequestKind
    rule: Rule
    times: int = 1
    before_s: float = 0.0
    after_s: float = 0.0
    copies: int = 1
    drip_s: float = 0.0

    def spoil(self, reply: Reply | None) -> Reply:
        """What is sent instead of ``reply``, which is None when the request was not handled."""
        rule = self.rule
        if self.kind is RequestKind.STATUS:
            return _status_reply(rule)
        if self.kind is RequestKind.REFUSE:
            return error(400, rule.code or 0, rule.msg or "")
        if self.kind is RequestKind.HTML or reply is None:
            return _page(rule.status or 502)
        if self.kind is RequestKind.TRUNCATED_JSON:
            keep = 0.5 if rule.keep is None else rule.keep
            return reply._replace(body=reply.body[: min(int(len(reply.body) * keep), len(reply.body) - 1)])
        if self.kind is RequestKind.WRONG_TYPES:
            return reply._replace(body=_json(retyped(json.loads(reply.body))))
        return reply


class _Armed:
    """A rule with its counters and its own coin."""

    __slots__ = ("coin", "left", "rule", "seen", "turns")

    def __init__(self, rule: Rule, seed: str) -> None:
        self.rule = rule
        self.coin = random.Random(seed)
        self.left = -1 if rule.count is None else rule.count
        self.turns = rule.turns
        self.seen = 0

    def strikes(self, age_s: float) -> bool:
        """Whether the rule applies to what has just matched it."""
        rule = self.rule
        if rule.between_s is not None and not rule.between_s[0] <= age_s < rule.between_s[1]:
            return False
        self.seen += 1
        if self.left == 0 or (self.turns and self.seen not in self.turns):
            return False
        if rule.probability < 1 and self.coin.random() >= rule.probability:
            return False
        self.left -= self.left > 0
        return True

    def wait_s(self, usual_ms: float) -> float:
        """How long to wait: the rule's delay, or the usual one, and its jitter."""
        rule = self.rule
        delay = usual_ms if rule.delay_ms is None else rule.delay_ms
        return (delay + self.coin.uniform(0, rule.jitter_ms or 0.0)) / 1e3


class Faults:
    """The faults of one simulated venue. With no plan it is a venue that behaves.

    Args:
        plan: what goes wrong; may be replaced at any time.
        real_ns: a clock that only ever runs forward, until ``bind`` tells of a world with a time of its own.
    """

    def __init__(self, plan: FaultPlan | None = None, real_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._real_ns = real_ns
        self._world: World | None = None
        self._loading = 0
        self.counts: Counter[str] = Counter()
        self._log: deque[Applied] = deque(maxlen=REMEMBERED)
        self.replace(plan or FaultPlan())

    def bind(self, world: World) -> None:
        """Tell whose venue it is: rules and acts count its time from now on."""
        self._world = world
        self.replace(self.plan)

    def replace(self, plan: FaultPlan) -> None:
        """Forget the plan, its counters and what it still held in store, and begin with ``plan``."""
        self.plan = plan
        self._loading += 1
        self._began_ns = self._now_ns()
        armed = [_Armed(rule, f"{plan.seed}/{number}") for number, rule in enumerate(plan.rules)]
        self._of_requests = [rule for rule in armed if not rule.rule.is_of_frames]
        self._of_frames = [rule for rule in armed if rule.rule.is_of_frames]
        self._held_ns: dict[str, int] = {}
        self.set_clock(plan.clock)
        if self._world is not None:
            for act in plan.acts:
                self._await_act(self._world, act)

    @property
    def applied(self) -> Sequence[Applied]:
        """The latest faults that were carried out, oldest first."""
        return tuple(self._log)

    # -- requests --------------------------------------------------------------------------------

    def on_request(self, call: Call) -> RequestFault | None:
        """What is to go wrong with this request; the control endpoint is never touched."""
        if not self._of_requests or call.path.startswith("/simulator/"):
            return None
        for armed in self._of_requests:
            if _meets(armed.rule, call) and armed.strikes(self._age_s()):
                self._note(armed.rule, f"{call.method} {call.path}")
                return _request_fault(armed)
        return None

    # -- frames ----------------------------------------------------------------------------------

    def on_frame(self, channel: str, frame: bytes) -> Sequence[tuple[float, bytes]] | Close:
        """What to write instead of ``frame`` and when: ``(seconds from now, bytes)``, or the end.

        Args:
            channel: with the symbol, as it is subscribed to.
            frame: as it goes on the wire, with its WebSocket header.
        """
        if not self._of_frames:
            return ((0.0, frame),)
        held_s = self._held_s(channel)
        for armed in self._of_frames:
            rule = armed.rule
            if not fnmatchcase(channel, rule.channel):
                continue
            if rule.symbol and not any(fnmatchcase(part, rule.symbol) for part in channel.split("@")):
                continue
            if armed.strikes(self._age_s()):
                self._note(rule, channel)
                return self._frame_fault(armed, channel, frame, held_s)
        return ((held_s, frame),)

    def _frame_fault(
        self, armed: _Armed, channel: str, frame: bytes, held_s: float
    ) -> Sequence[tuple[float, bytes]] | Close:
        kind, keep = FrameKind(armed.rule.fault), armed.rule.keep
        share = 0.5 if keep is None else keep
        if kind is FrameKind.DELAY:
            late_s = max(armed.wait_s(LATE_MS), held_s)
            self._held_ns[channel] = self._now_ns() + round(late_s * SECOND)
            return ((late_s, frame),)
        if kind is FrameKind.REORDER:
            return ((held_s + armed.wait_s(LATE_MS), frame),)
        if kind is FrameKind.DUPLICATE:
            return ((held_s, frame), (self._held_s(channel) if held_s else 0.0, frame))
        if kind is FrameKind.CUT:
            return Close(frame[: max(1, min(int(len(frame) * share), len(frame) - 1))])
        if kind is FrameKind.TRUNCATED_FRAME:
            return ((held_s, shortened(frame, share)),)
        return Close(GOODBYE) if kind is FrameKind.CLOSE else ()

    def _held_s(self, channel: str) -> float:
        """How long the channel is still held, each time a little longer, so that order is kept."""
        until_ns = self._held_ns.get(channel, 0)
        if not until_ns:
            return 0.0
        left_ns = until_ns - self._now_ns()
        if left_ns <= 0:
            del self._held_ns[channel]
            return 0.0
        self._held_ns[channel] = until_ns + round(ORDER_STEP_S * SECOND)
        return left_ns / SECOND + ORDER_STEP_S

    # -- the clock -------------------------------------------------------------------------------

    def set_clock(self, clock: ClockFault) -> None:
        """From now on the venue's clock is wrong by so much."""
        self.clock = clock
        self._clock_ns = self._now_ns()

    def clock_ns(self) -> int:
        """What the venue's clock is ahead of the truth, in nanoseconds; negative = behind."""
        clock = self.clock
        if not clock.drift_ppm:
            return round(clock.shift_ms * MILLISECOND)
        drifted = (self._now_ns() - self._clock_ns) * clock.drift_ppm / 1e6
        return round(clock.shift_ms * MILLISECOND + drifted)

    # -- acts ------------------------------------------------------------------------------------

    def _await_act(self, world: World, act: Act) -> None:
        """Have the world do a planned act at its moment, which moves with the opening that it hangs on."""
        if act.open_s is None:
            world.schedule(self._began_ns + nanoseconds(act.at_s or 0.0), self._unless_replaced(world, act))
            return
        opening = opening_of(world, act.symbol)
        due = world.now_ns + LOOK_AGAIN_NS if opening is None else opening + nanoseconds(act.open_s)
        world.schedule(max(due, world.now_ns), self._unless_replaced(world, act))

    def _unless_replaced(self, world: World, act: Act) -> Callable[[], None]:
        loading = self._loading

        def carry_out() -> None:
            if loading != self._loading:
                return
            if act.open_s is not None:
                opening = opening_of(world, act.symbol)
                if opening is None or opening + nanoseconds(act.open_s) > world.now_ns:
                    self._await_act(world, act)
                    return
            self.do(world, act)

        return carry_out

    def do(self, world: World, act: Act) -> None:
        """Do one act now. What the world refuses is noted among the applied faults, with why."""
        try:
            if act.act == "clock":
                told = ClockFault(shift_ms=act.shift_ms or 0.0, drift_ppm=act.drift_ppm or 0.0)
                self.set_clock(told)
            else:
                act_on_listing(world, act)
        except DomainError as refusal:
            self._log.append(Applied(self._now_ns(), "act", act.act, f"not done: {refusal}"))
            return
        self.counts[act.act] += 1
        self._log.append(Applied(self._now_ns(), "act", act.act, act.symbol))

    # -- bookkeeping -----------------------------------------------------------------------------

    def _now_ns(self) -> int:
        return self._real_ns() if self._world is None else self._world.now_ns

    def _age_s(self) -> float:
        return (self._now_ns() - self._began_ns) / SECOND

    def _note(self, rule: Rule, what: str) -> None:
        self.counts[rule.fault] += 1
        self._log.append(Applied(self._now_ns(), rule.name, rule.fault, what))


def retyped(value: Any) -> Any:
    """The same data in wrong types: numbers become text, text that is a number becomes one, and so on."""
    match value:
        case dict():
            return {key: retyped(held) for key, held in value.items()}
        case list():
            return [retyped(held) for held in value]
        case bool() | None:
            return "" if value is None else int(value)
        case int() | float():
            return str(value)
        case str():
            return float(value) if _NUMBER.fullmatch(value) else None
    return value


def shortened(frame: bytes, keep: float) -> bytes:
    """A whole WebSocket frame that holds only the first part of the message; for the server's, unmasked."""
    sizes = {126: 4, 127: 10}
    payload = frame[sizes.get(frame[1], 2) :]
    part = payload[: max(1, min(int(len(payload) * keep), len(payload) - 1))]
    if len(part) < 126:
        return frame[:1] + bytes((len(part),)) + part
    return frame[:1] + b"\x7e" + len(part).to_bytes(2, "big") + part if len(part) < 1 << 16 else frame


def _meets(rule: Rule, call: Call) -> bool:
    if not fnmatchcase(call.path, rule.path) or (rule.method and rule.method.upper() != call.method):
        return False
    if rule.symbol and not fnmatchcase(call.params.get("symbol", ""), rule.symbol):
        return False
    return not rule.account or (call.account is not None and call.account.owner == rule.account)


def _request_fault(armed: _Armed) -> RequestFault:
    rule, kind = armed.rule, RequestKind(armed.rule.fault)
    match kind:
        case RequestKind.DELAY:
            return RequestFault(kind, rule, before_s=armed.wait_s(LATE_MS))
        case RequestKind.REORDER:
            return RequestFault(kind, rule, after_s=armed.wait_s(LATE_MS))
        case RequestKind.SLOW_REPLY:
            return RequestFault(kind, rule, drip_s=armed.wait_s(DRIP_MS))
        case RequestKind.DROP:
            return RequestFault(kind, rule, times=0, copies=0)
        case RequestKind.LOSE_REPLY:
            return RequestFault(kind, rule, copies=0)
        case RequestKind.DUPLICATE_REQUEST:
            return RequestFault(kind, rule, times=2)
        case RequestKind.DUPLICATE_REPLY:
            return RequestFault(kind, rule, copies=2)
        case RequestKind.STATUS | RequestKind.HTML | RequestKind.REFUSE:
            return RequestFault(kind, rule, times=1 if rule.handled else 0)
    return RequestFault(kind, rule)


def _status_reply(rule: Rule) -> Reply:
    status = rule.status or 503
    wait = {429: 1, 418: 120}.get(status) if rule.retry_after_s is None else rule.retry_after_s
    headers = () if wait is None else (("Retry-After", str(wait)),)
    return error(status, status, WORDS.get(status, "error"), *headers)


def _page(status: int) -> Reply:
    title = f"{status} {WORDS.get(status, 'Error')}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Reply(status, page.encode(), (("Content-Type", "text/html"),))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
