"""The event tape: each event as one sentence for people."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mexclab.domain import events as e
from mexclab.domain.clock import span, written
from mexclab.domain.desk import Desk
from mexclab.domain.snipe import SnipeState, written_ladder

KEPT = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the tape; ``level`` is info, good, warn or bad."""

    seq: int
    at_ns: int
    kind: str
    symbol: str
    level: str
    text: str


class Tape:
    """The newest lines; a subscriber of the bus."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.lines: deque[Line] = deque(maxlen=KEPT)

    def take(self, seq: int, event: e.Event) -> None:
        told = sentence(event, self._desk)
        if told is not None:
            level, symbol, text = told
            self.lines.append(Line(seq, event.at_ns, type(event).__name__, symbol, level, text))


def sentence(event: e.Event, desk: Desk) -> tuple[str, str, str] | None:
    """(level, symbol, text) of an event; None for steps that only the ledger needs."""
    return _listing(event) or _snipe(event, desk) or _order(event, desk) or _desk(event)


def _listing(event: e.Event) -> tuple[str, str, str] | None:
    match event:
        case e.ListingSeen(symbol=symbol, open_ns=open_ns, source=source):
            lead = span(open_ns - event.at_ns)
            return "info", str(symbol), f"seen in the {source}: opens {written(open_ns)}, {lead} ahead"
        case e.OpeningMoved(symbol=symbol, from_ns=from_ns, to_ns=to_ns):
            word = "postponed" if to_ns > from_ns else "brought forward"
            return "warn", str(symbol), f"opening {word} from {written(from_ns)} to {written(to_ns)}"
        case e.ListingWithdrawn(symbol=symbol, open_ns=open_ns):
            return (
                "bad",
                str(symbol),
                f"withdrawn: no source shows it any more; it was to open {written(open_ns)}",
            )
        case e.ListingStateSeen(symbol=symbol, triple=triple):
            return "info", str(symbol), f"state (sts, st, tt) is {triple}"
        case e.SignalRaised(signal=signal):
            odds = f"probability {signal.probability}, {span(signal.lead_ns)} before the opening"
            return "good", str(signal.symbol), f"signal {signal.pattern}: {odds}"
        case e.PlanDeclined(symbol=symbol, why=why):
            return "warn", str(symbol), f"no plan yet: {why}"
    return None


def _snipe(event: e.Event, desk: Desk) -> tuple[str, str, str] | None:
    match event:
        case e.SnipePlanned(plan=plan):
            text = f"planned: up to {plan.budget_quote} {plan.symbol.quote} below {plan.price_cap}"
            return "info", str(plan.symbol), text
        case e.SnipeRetimed(snipe_id=snipe_id, not_before_ns=not_before_ns):
            return "warn", _symbol(snipe_id, desk), f"plan moved to {written(not_before_ns)}"
        case e.PreflightDone(snipe_id=snipe_id, preflight=check):
            told = "passed" if check.passed else "; ".join(check.reasons)
            return (
                "good" if check.passed else "warn",
                _symbol(snipe_id, desk),
                f"preflight {check.stage}: {told}",
            )
        case e.SnipeMoved(snipe_id=snipe_id, to=to, why=why, by=by):
            level = "bad" if to in (SnipeState.ABORTED, SnipeState.MISSED) else "info"
            detail = why or (f"by {by}" if by else "")
            if to is SnipeState.CLOSED:
                profit = desk.profit(snipe_id)
                level = "good" if profit >= 0 else "bad"
                detail = f"{why}; profit {profit:+.4f}"
            return level, _symbol(snipe_id, desk), f"{to}{': ' + detail if detail else ''}"
        case e.ExitDecided(snipe_id=snipe_id, reason=reason, why=why):
            return "warn", _symbol(snipe_id, desk), f"leaving ({reason}): {why}"
        case e.ExitReplaced(snipe_id=snipe_id, exit=plan, by=by, why=why):
            text = f"exit replaced by {by}: {written_ladder(plan.ladder)}; {why}"
            return "warn", _symbol(snipe_id, desk), text
        case e.StopRaised(snipe_id=snipe_id, stop_price=stop, why=why):
            return "info", _symbol(snipe_id, desk), f"stop raised to {stop:.6g}: {why}"
        case e.FirstTradeSeen(symbol=symbol, price=price, quantity=quantity):
            return "info", str(symbol), f"first trade: {quantity} at {price}"
        case e.Fired(snipe_id=snipe_id, client_id=client_id, lateness_ns=lateness_ns):
            late = f"{lateness_ns / 1000:.0f} us after its instant"
            return "info", _symbol(snipe_id, desk), f"fired {client_id}, {late}"
    return None


def _order(event: e.Event, desk: Desk) -> tuple[str, str, str] | None:
    match event:
        case e.OrderFilled(fill=fill):
            text = f"{'bought' if fill.side == 'BUY' else 'sold'} {fill.quantity} at {fill.price}"
            return "good", str(fill.symbol), text
        case e.OrderRejected(client_id=client_id, code=code, words=words):
            return "bad", _symbol(e.snipe_of(client_id), desk), f"{client_id} refused: {code} {words}"
        case e.OrderLost(client_id=client_id, why=why):
            return (
                "bad",
                _symbol(e.snipe_of(client_id), desk),
                f"{client_id} is UNKNOWN: {why}; asking the venue",
            )
        case e.OrderCanceled(client_id=client_id, why=why):
            return "info", _symbol(e.snipe_of(client_id), desk), f"{client_id} ended: {why}"
        case e.WrittenOff(symbol=symbol, quantity=quantity, by=by, why=why):
            return "bad", str(symbol), f"{quantity} written off by {by}: {why}"
        case e.OrderDecided(order=order) if order.side == "SELL":
            return "info", str(order.symbol), f"{order.leg}: sell {order.quantity} at {order.price}"
    return None


def _desk(event: e.Event) -> tuple[str, str, str] | None:
    match event:
        case e.DaemonStarted(mode=mode, venue=venue):
            return "info", "", f"started in mode {mode} on the {venue}"
        case e.DaemonStopped(why=why):
            return "warn", "", f"stopped: {why}"
        case e.Halted(by=by, why=why):
            return "bad", "", f"HALTED by {by}: {why}"
        case e.Resumed(by=by, why=why):
            return "good", "", f"resumed by {by}: {why}"
        case e.Reconciled(orders_asked=asked, fills_found=found, unknown_left=left):
            level = "good" if left == 0 else "bad"
            return level, "", f"reconciled: {asked} orders asked, {found} fills found, {left} open questions"
        case e.StrategySet(name=name, by=by, why=why):
            text = f"strategy {name} tuned" if name else "strategy given back to the settings"
            return "warn", "", f"{text} by {by}: {why}"
        case e.ReportDisputed(symbol=symbol, why=why):
            return "bad", str(symbol), f"DISPUTED, no entries until a person resumes: {why}"
        case e.ExternalOrderSeen(symbol=symbol, venue_id=venue_id):
            return "warn", str(symbol), f"order {venue_id} on the account is not ours; it will not be touched"
        case e.WireDrifted(endpoint=endpoint, field=field, what=what):
            return "warn", "", f"the venue's {endpoint} drifted at {field}: {what}"
        case e.SourceChanged(source=source, degraded=degraded, what=what):
            return ("warn" if degraded else "good"), "", f"{source}: {what}"
        case e.AlertRaised(level=level, text=text):
            return {"critical": "bad", "info": "info"}.get(level, "warn"), "", text
    return None


def _symbol(snipe_id: str, desk: Desk) -> str:
    snipe = desk.snipes.get(snipe_id)
    return str(snipe.plan.symbol) if snipe else ""
