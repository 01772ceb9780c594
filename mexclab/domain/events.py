"""What happened: the entries of the ledger. Folding them in order is the state of the desk.

Every event has ``at_ns`` (the venue's clock) and a ``correlation``: the id that runs from a signal
to its last fill. Events are facts; adding a field needs a default, and none is ever renamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias, Union, get_args

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order

# isort: off
from mexclab.domain.risk_events import (
    AccountChecked as AccountChecked,
    Breach as Breach,
    EquityMarked as EquityMarked,
    LimitsConfirmed as LimitsConfirmed,
    MonitorChanged as MonitorChanged,
    ProtectionRaised as ProtectionRaised,
    ProtectionReleased as ProtectionReleased,
    Rehearsed as Rehearsed,
    SagaBegun as SagaBegun,
    SagaEnded as SagaEnded,
    SagaStepped as SagaStepped,
    VerdictGiven as VerdictGiven,
    WrittenOff as WrittenOff,
)

# isort: on
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import ExitPlan, Plan, Preflight, SnipeState


@dataclass(frozen=True, slots=True)
class DaemonStarted:
    at_ns: int
    mode: str
    venue: str
    version: str
    opening_balance: Decimal  # quote units on the account when the ledger began


@dataclass(frozen=True, slots=True)
class DaemonStopped:
    at_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class ListingSeen:
    at_ns: int
    symbol: Symbol
    coin_id: str
    open_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class OpeningMoved:
    at_ns: int
    symbol: Symbol
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ListingWithdrawn:
    """A coming listing is no longer shown by any source that answers."""

    at_ns: int
    symbol: Symbol
    coin_id: str
    open_ns: int


@dataclass(frozen=True, slots=True)
class ListingStateSeen:
    at_ns: int
    symbol: Symbol
    triple: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SignalRaised:
    at_ns: int
    signal: Signal


@dataclass(frozen=True, slots=True)
class PlanDeclined:
    """A signal came and no plan was made of it."""

    at_ns: int
    signal_id: str
    symbol: Symbol
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class SnipePlanned:
    at_ns: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class StrategySet:
    """A person changed the strategy: parameters as (name, text). Plans made from now on follow them."""

    at_ns: int
    name: str
    parameters: tuple[tuple[str, str], ...]
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class SnipeRetimed:
    at_ns: int
    snipe_id: str
    not_before_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class PreflightDone:
    at_ns: int
    snipe_id: str
    preflight: Preflight


@dataclass(frozen=True, slots=True)
class SnipeMoved:
    """A step of the snipe machine; ``reason`` is a short code, ``why`` a sentence."""

    at_ns: int
    snipe_id: str
    to: SnipeState
    reason: str = ""
    why: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class OrderDecided:
    at_ns: int
    order: Order


@dataclass(frozen=True, slots=True)
class OrderSent:
    """Written before the first byte leaves. ``release_ns`` is the instant it may leave, if later."""

    at_ns: int
    client_id: str
    release_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """The shot left. ``lateness_ns`` is measured on the machine's own clock, against the schedule."""

    at_ns: int
    snipe_id: str
    client_id: str
    scheduled_ns: int
    lateness_ns: int


@dataclass(frozen=True, slots=True)
class ShotTimed:
    """The phases of one order's request, on the venue's clock; ``acked_ns`` None: no answer came.

    ``transmissions``: how often the same request, with the same client id, was written.
    """

    at_ns: int
    client_id: str
    scheduled_ns: int
    released_ns: int
    written_ns: int
    acked_ns: int | None
    transmissions: int


@dataclass(frozen=True, slots=True)
class FirstBookSeen:
    """The first book of a sniped symbol that reached us: what slippage is measured against."""

    at_ns: int
    snipe_id: str
    symbol: Symbol
    bid: Decimal | None
    ask: Decimal | None


@dataclass(frozen=True, slots=True)
class FirstTradeSeen:
    """The first public trade of a sniped symbol, at or after its opening."""

    at_ns: int
    snipe_id: str
    symbol: Symbol
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    at_ns: int
    client_id: str
    venue_id: str


@dataclass(frozen=True, slots=True)
class OrderRejected:
    at_ns: int
    client_id: str
    code: int
    words: str


@dataclass(frozen=True, slots=True)
class OrderLost:
    """The outcome is not known: the order is UNKNOWN until the venue itself tells."""

    at_ns: int
    client_id: str
    why: str


@dataclass(frozen=True, slots=True)
class OrderFilled:
    at_ns: int
    fill: Fill


@dataclass(frozen=True, slots=True)
class CancelSent:
    at_ns: int
    client_id: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class OrderCanceled:
    """``executed``: what the venue says had traded by then, in base units."""

    at_ns: int
    client_id: str
    why: str = ""
    executed: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReportDisputed:
    """The venue and our books contradict each other. The symbol takes no entry until a person resumes."""

    at_ns: int
    client_id: str
    symbol: Symbol
    why: str
    trade_id: str = ""  # of the trade that could not be booked, if it was one


@dataclass(frozen=True, slots=True)
class ExternalOrderSeen:
    """An order on the account that this ledger does not know. Shown, never touched."""

    at_ns: int
    venue_id: str
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class ExitDecided:
    """From now on the whole position is to be sold: ``stop``, ``time`` or ``flatten``."""

    at_ns: int
    snipe_id: str
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class ExitReplaced:
    """A person gave the snipe another exit plan; orders of the old one are taken back."""

    at_ns: int
    snipe_id: str
    exit: ExitPlan
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class StopRaised:
    """The stop went up, to follow ``peak`` (the highest bid) or to break even. It never goes down."""

    at_ns: int
    snipe_id: str
    stop_price: Decimal
    peak: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class Halted:
    at_ns: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Resumed:
    at_ns: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The ledger was compared with the venue."""

    at_ns: int
    orders_asked: int
    fills_found: int
    unknown_left: int
    external: int
    differences: tuple[str, ...] = ()  # where balances and positions differ, in sentences


@dataclass(frozen=True, slots=True)
class AlertRaised:
    at_ns: int
    level: str  # "info", "warning", "critical"
    text: str
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class WireDrifted:
    """The venue sent what its description does not hold: a new, missing or retyped field."""

    at_ns: int
    endpoint: str
    field: str
    what: str


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """A source of news was lost or began anew (degraded), or is whole again."""

    at_ns: int
    source: str
    degraded: bool
    what: str


Event: TypeAlias = Union[  # noqa: UP007  # 45 bars in a row would read worse
    DaemonStarted, DaemonStopped, ListingSeen, OpeningMoved, ListingWithdrawn, ListingStateSeen,
    SignalRaised, PlanDeclined, StrategySet, SnipePlanned, SnipeRetimed, PreflightDone, SnipeMoved,
    VerdictGiven, OrderDecided, OrderSent, Fired, ShotTimed, FirstBookSeen, FirstTradeSeen,
    OrderAccepted, OrderRejected, OrderLost, OrderFilled, CancelSent, OrderCanceled, ReportDisputed,
    ExternalOrderSeen, ExitDecided, ExitReplaced, StopRaised, Halted, Resumed, Reconciled, AlertRaised,
    WireDrifted, SourceChanged, ProtectionRaised, ProtectionReleased, MonitorChanged, LimitsConfirmed,
    AccountChecked, EquityMarked, Rehearsed, SagaBegun, SagaStepped, SagaEnded, WrittenOff,
]  # fmt: skip

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


def correlation(event: Event) -> str:
    """The id that ties the event to its snipe, or an empty text."""
    match event:
        case SignalRaised(signal=signal):
            return signal.signal_id
        case SnipePlanned(plan=Plan(snipe_id=text)) | OrderDecided(order=Order(snipe_id=text)):
            return text
        case PlanDeclined(signal_id=text) | AlertRaised(correlation_id=text):
            return text
        case OrderFilled(fill=fill):
            return snipe_of(fill.client_id)
        case SagaBegun(saga_id=text) | SagaStepped(saga_id=text) | SagaEnded(saga_id=text):
            return text
    return str(getattr(event, "snipe_id", "")) or snipe_of(getattr(event, "client_id", ""))


def snipe_of(client_id: str) -> str:
    """The snipe behind a client order id (``snipe-leg-attempt``)."""
    return client_id.rsplit("-", 2)[0]
