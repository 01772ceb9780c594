"""Execution: what a report means for an order, and how an order of unknown fate is settled. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mexclab.config import OrderSettings
from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.reports import (
    Accepted,
    Cancelled,
    DriftSeen,
    FeedNews,
    Lost,
    Notice,
    Refused,
    Report,
    ShotTimed,
    Traded,
    VenueOrder,
)

RECV_WINDOW_NS = 5 * SECOND  # the venue takes no request that is older than this (MEXC spot v3, recvWindow)
END_NS = SECOND  # an order that cannot rest has ended when it is taken; its end is told by then, or asked for

_S = OrderState
_UNSETTLED = (_S.SENT, _S.CANCEL_SENT, _S.UNKNOWN)
_RESTS = (OrderType.LIMIT, OrderType.LIMIT_MAKER)


def events_of(report: Report | Notice, desk: Desk) -> list[e.Event]:
    """The events that a report stands for; none when it tells nothing new or is not about our orders."""
    if isinstance(report, DriftSeen):
        return [e.WireDrifted(report.at_ns, report.endpoint, report.field, report.what)]
    if isinstance(report, FeedNews):
        return [e.SourceChanged(report.at_ns, report.source, report.degraded, report.what)]
    client_id = report.fill.client_id if isinstance(report, Traded) else report.client_id
    order = desk.orders.get(client_id)
    if order is None:
        return []
    match report:
        case ShotTimed(_, scheduled, released, written, acked, transmissions):
            return [e.ShotTimed(written, client_id, scheduled, released, written, acked, transmissions)]
        case Traded(fill=fill):
            return [] if desk.knows_trade(fill.trade_id) else [e.OrderFilled(report.at_ns, fill)]
        case Accepted() if order.venue_id is None and order.state is not _S.REJECTED:
            return [e.OrderAccepted(report.at_ns, client_id, report.venue_id)]
        case Refused() if order.state in (_S.SENT, _S.UNKNOWN):
            return [e.OrderRejected(report.at_ns, client_id, report.code, report.words)]
        case Lost() if order.state.is_open and order.state not in (_S.DECIDED, _S.UNKNOWN):
            return [e.OrderLost(report.at_ns, client_id, report.why)]
        case Cancelled() if order.state.is_open:
            return [e.OrderCanceled(report.at_ns, client_id, report.why, report.executed)]
        case _:
            return []


@dataclass(frozen=True, slots=True)
class Answer:
    """The venue's word on one order (None: it says there is none) and its trades, and when it was asked."""

    found: VenueOrder | None
    fills: tuple[Fill, ...]
    asked_ns: int


def is_overdue(order: Order, now_ns: int, waits: OrderSettings) -> bool:
    """Whether an answer that should have come has not: the venue is then asked."""
    in_flight_ns = waits.in_flight_s * SECOND
    if order.state is _S.UNKNOWN:
        return True
    if order.state is _S.SENT:
        return now_ns > order.gone_ns + in_flight_ns
    if order.state is _S.CANCEL_SENT or order.awaits_fills:
        return now_ns > max(order.cancel_ns or 0, order.gone_ns) + in_flight_ns
    if _hangs(order):
        return now_ns > (order.acked_ns or order.gone_ns) + END_NS
    return False


def _hangs(order: Order) -> bool:
    """Whether the venue took an order that cannot rest, and its end has not been told."""
    return order.state in (_S.ACCEPTED, _S.PARTIALLY_FILLED) and order.type not in _RESTS


def pause_ns(desk: Desk, waits: OrderSettings) -> int:
    """How long until open orders are looked through again for those whose answer is overdue."""
    hurry = any(o.state in _UNSETTLED or o.awaits_fills or _hangs(o) for o in desk.open_orders())
    return (waits.unknown_poll_s if hurry else waits.in_flight_s) * SECOND


def settle(order: Order, answer: Answer, desk: Desk, now_ns: int, waits: OrderSettings) -> list[e.Event]:
    """What the venue's own answer makes of an order that is live or of unknown fate.

    An order that the venue does not know is given up only if it was asked for when its request could no
    longer be taken: after the receive window and a grace. Before that, "there is none" is no verdict.
    """
    venue, fills = answer.found, answer.fills
    found = [e.OrderFilled(now_ns, fill) for fill in fills if not desk.knows_trade(fill.trade_id)]
    events: list[e.Event] = list(found)
    if venue is None:
        late = answer.asked_ns > order.gone_ns + RECV_WINDOW_NS + waits.grace_s * SECOND
        if order.state.is_open and not fills and late:
            events.append(e.OrderCanceled(now_ns, order.client_id, "the venue never took it"))
        return events
    # an order that still rests is said to: one of unknown fate, and one whose cancellation got lost
    again = order.state in (_S.UNKNOWN, _S.CANCEL_SENT) and venue.state.is_open
    if order.venue_id is None or again:
        events.insert(0, e.OrderAccepted(now_ns, order.client_id, venue.venue_id))
    if venue.state in (_S.CANCELED, _S.REJECTED) and order.state is not _S.REJECTED:
        why = "canceled at the venue" if venue.state is _S.CANCELED else "refused at the venue"
        if order.state.is_open:
            events.append(e.OrderCanceled(now_ns, order.client_id, why, venue.filled))
    return events
