"""Alerts: which of the ledger's entries a person is told at once, how urgently, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.clock import written

LEVELS = ("info", "warning", "critical")
LONGEST = 2_000  # characters of one alert: a receiver that refuses long ones would hold up all that follow

# the entries that are alerts, by their names in the ledger
ALERT_KINDS = (
    "AlertRaised", "Halted", "Resumed", "ProtectionRaised", "ProtectionReleased", "MonitorChanged",
    "LimitsConfirmed", "Rehearsed", "SagaEnded", "WrittenOff", "DaemonStarted", "DaemonStopped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert on its way to people.

    Attributes:
        alert_id: the same at every delivery of this alert and of no other: a receiver drops doubles by it.
        seq: its place in the order of its source; for a desk the number of its entry in the ledger.
        at_ns: when it happened, on the source's clock.
        level: ``info``, ``warning`` or ``critical``.
        kind: the kind of entry, such as ``Halted``.
        text: a sentence, in one line.
        mode: ``paper``, ``live`` or ``demo``: whose money it is about.
        source: ``desk``, or ``watch`` for the dead man's switch.
    """

    alert_id: str
    seq: int
    at_ns: int
    level: str
    kind: str
    text: str
    mode: str = ""
    correlation: str = ""
    source: str = "desk"

    def is_at_least(self, level: str) -> bool:
        """Whether it is as severe as ``level``, or more."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ``at`` is ``at_ns`` for people."""
        return {
            "id": self.alert_id,
            "source": self.source,
            "seq": self.seq,
            "at": written(self.at_ns),
            "at_ns": self.at_ns,
            "level": self.level,
            "kind": self.kind,
            "mode": self.mode,
            "text": self.text,
            "correlation": self.correlation,
        }

    def __str__(self) -> str:
        whose = f"{self.source} ({self.mode})" if self.mode else self.source
        return f"{self.level.upper()} {written(self.at_ns)} {whose}: {self.text} [{self.alert_id}]"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one sink has come: everything up to ``seq`` was taken by it, or is none of its business.

    Attributes:
        attempts: how often the next alert has been refused.
        again_ns: when it is tried again (Unix time of this machine); 0: at once.
        why: what the sink said to the last attempt.
    """

    seq: int
    attempts: int = 0
    again_ns: int = 0
    why: str = ""


def worded(event: e.Event) -> tuple[str, str] | None:
    """The level and the sentence of an event that people are told; None for all others."""
    match event:
        case e.AlertRaised(level=level, text=text):
            return (level if level in LEVELS else "critical"), text
        case e.Halted(by=by, why=why):
            return "critical", f"halted by {by}: {why}; nothing is entered, exits go on"
        case e.Resumed(by=by, why=why):
            return "warning", f"resumed by {by}: {why}; entries are allowed again"
        case e.ProtectionRaised(protection=raised):
            where = f"in {raised.symbol}" if raised.symbol else "in every symbol"
            routine = raised.kind == "cooldown"  # every snipe earns one
            return "info" if routine else "warning", f"entries pause {where} {raised.ends}: {raised.why}"
        case e.ProtectionReleased(protection_id=name, by=by, why=why):
            return "warning", f"the protection {name} was released by {by}: {why}"
        case e.MonitorChanged(
            monitor=name, symbol=symbol, state="tripped", value=value, bound=bound, why=why
        ):
            where = f"for {symbol}" if symbol else "for the venue"
            return "warning", f"the monitor {name} tripped {where}: {why} ({value}, bound {bound})"
    return _kept_short(event)


def _kept_short(event: e.Event) -> tuple[str, str] | None:
    """The rarer ones."""
    match event:
        case e.LimitsConfirmed(account=account, by=by, why=why):
            return "info", f"the limits for the account {account} were confirmed by {by}: {why}"
        case e.Rehearsed(passed=True, by=by):
            return "info", f"the emergency was rehearsed by {by}, and everything held"
        case e.Rehearsed(by=by, evidence=evidence):
            return "critical", f"the rehearsal of the emergency by {by} failed; see {evidence}"
        case e.SagaEnded(saga_id=name, outcome="compensated", why=why):
            # a desk that takes one back by itself alerts that when it decides it; this is how it ended
            return "info", f"the intent {name} was taken back: {why}"
        case e.WrittenOff(symbol=symbol, quantity=quantity, by=by, why=why):
            gone = f"{quantity} {symbol.base} are gone, at a loss of what they cost"
            return "warning", f"{by} accepted that {gone}: {why}"
        case e.DaemonStarted(mode=mode, venue=venue, version=version):
            return "info", f"the desk started: {mode}, {venue}, mexclab {version}"
        case e.DaemonStopped(why=why):
            return "info", f"the desk stopped: {why}"
    return None


def plain(text: str) -> str:
    """The text in one line of printable characters, cut to ``LONGEST``."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def alert_of(event: e.Event, seq: int, alert_id: str, mode: str = "") -> Alert | None:
    """The alert that an entry of the ledger is, if it is one."""
    words = worded(event)
    if words is None:
        return None
    level, text = words
    kind = type(event).__name__
    return Alert(alert_id, seq, event.at_ns, level, kind, plain(text), mode, e.correlation(event))
