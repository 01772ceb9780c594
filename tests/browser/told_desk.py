"""A desk on which everything went wrong at once: an order of unknown fate, a dispute, dust, a raised stop."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from mexclab.daemon.requests import Reason
from mexclab.daemon.risk_types import (
    BreachRow,
    LimitRow,
    MonitorRow,
    ProtectionRow,
    RehearsedRow,
    TriggerRow,
)
from mexclab.daemon.row_types import (
    DisputeRow,
    ExitRow,
    ExternalRow,
    OrderPage,
    OrderRow,
    PositionRow,
    ReconciledRow,
    RemainderRow,
    RungRow,
    SnipeRow,
    StopRow,
    TargetRow,
)
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.market import Symbol
from tests.notebook.station import Desk

NOW = 1_779_886_800_000_000_000  # 2026-05-27 13:00:00 UTC
SNIPE = "ABC-1"
PLAN = ExitRow(
    preset="", text="10:50 20:25 40:25",
    ladder=(RungRow("0.1", "0.5"), RungRow("0.2", "0.25"), RungRow("0.4", "0.25")),
    stop_loss="0.2", trailing="0.1", break_even_after=None, time_stop_s=1800.0,
)  # fmt: skip
STOP = StopRow("1.08", True, "1.2")


def order(leg: str, state: str, **told: Any) -> OrderRow:
    """An order of the snipe; by default a limit sale of 50 at 1.2, decided ten minutes ago."""
    said: dict[str, Any] = {
        "client_id": f"{SNIPE}-{leg}-1", "venue_id": "C1", "snipe_id": SNIPE, "leg": leg, "symbol": "ABCUSDT",
        "side": "SELL", "type": "LIMIT", "state": state, "quantity": "50", "price": "1.2", "filled": "0",
        "average_price": None, "decided_ns": NOW - 10 * MINUTE, "sent_ns": NOW - 10 * MINUTE, "left_ns": None,
        "acked_ns": None, "cancel_ns": None, "why": "",
    }  # fmt: skip
    return OrderRow(**{**said, **told})


ENTRY = order("b", "FILLED", side="BUY", quantity="200", filled="200", price="1.1", average_price="1.0")
SOLD = order("t1", "FILLED", quantity="100", filled="100", price="1.1", average_price="1.1")
RESTING = order("t2", "PARTIALLY_FILLED", filled="20", average_price="1.2")
UNSURE = order("x", "UNKNOWN", type="IMMEDIATE_OR_CANCEL", why="no answer within 5 s")
STALE = order("t3", "ACCEPTED", price="1.4")  # open in the page of orders, over in the picture
FOREIGN = ExternalRow("C99", "XYZUSDT", "BUY", "7", "2.5", NOW - 2 * HOUR)
DISPUTE = DisputeRow("DEFUSDT", "the venue sold 12 more than the ledger holds")
COMPARED = ReconciledRow(NOW - 4 * MINUTE, 3, 1, 2, 1, ("DEF: the ledger holds 12, the venue 0",))
DUST = RemainderRow("DEFUSDT", "DEF-1", "0.5", "0.4", "1", False, "worth 0.4 USDT; the least order is 1 USDT")
TARGETS = (
    TargetRow(f"{SNIPE}-t1-1", "1.1", "0.50", "100", "100", True, "FILLED"),
    TargetRow(f"{SNIPE}-t2-1", "1.2", "0.25", "50", "20", False, "PARTIALLY_FILLED"),
)
HELD = PositionRow(
    symbol="ABCUSDT", snipe_id=SNIPE, quantity="80", cost="80", average_cost="1.0", price="1.15",
    price_at_ns=NOW - 12 * SECOND, value="92.0000", unrealised="12.0000", unrealised_fraction=0.15,
    stop_price="1.08", stop_raised=True, peak_price="1.2", trailing="0.1", entered_ns=NOW - 10 * MINUTE,
    time_stop_ns=NOW + 20 * MINUTE, minimum="1", sellable=False, why="an order of unknown fate holds it",
    targets=TARGETS,
)  # fmt: skip
LIVE = SnipeRow(
    snipe_id=SNIPE, signal_id=SNIPE, symbol="ABCUSDT", state="ENTERED", reason="", why="", armed_by="alice",
    probability="0.9", budget_quote="200", price_cap="1.1", book_slippage=None, open_ns=NOW - 10 * MINUTE,
    deadline_ns=NOW, attempts=3, attempts_made=1, planned_ns=NOW - HOUR, entered_ns=NOW - 10 * MINUTE,
    closed_ns=None, entry_price="1.0", stop=STOP, exit_why="", profit=None, exit=PLAN,
)  # fmt: skip
RISK = {
    "quote": "USDT",
    "at_risk": "80",
    "day_pnl": "12",
    "pnl": "12",
    "unrealised": "12",
    "equity": "1012",
    "limits": [],
    "protections": [],
    "monitors": [],
    "missing": [],
    "rehearsed": None,
    "triggers": [asdict(TriggerRow("day_loss", True, False, "100 USDT", ""))],
}
PAUSE = "loss_streak:all:OLD-1"
LIMITS = (
    LimitRow("total_exposure_quote", "exposure", "80.00", "200.00", "USDT", 0.4, False),
    LimitRow("day_loss_quote", "day loss", "110.00", "100.00", "USDT", 1.0, True, "reached"),
    LimitRow("value_at_risk_quote", "value at risk", None, "160.00", "USDT", None, True, "no price"),
)
LOST = ProtectionRow(
    PAUSE, "loss_streak", None, NOW - MINUTE, NOW + HOUR, "until 14:00", "3", "3", HOUR,
    "the last 3 snipes lost",
)  # fmt: skip
WIDE = MonitorRow("spread", "ABCUSDT", "tripped", "0.14", "0.10", "the spread is 14 %", NOW - MINUTE)
CLOCK = MonitorRow("clock", None, "quiet", "3 ms", "250 ms", "3 ms off", None)
UNSEEN = BreachRow("live_limits", "none", "confirmed", "nobody has confirmed these limits")
DRILL = RehearsedRow(NOW - 3 * DAY, True, 12_000_000, 900_000_000, 40_000_000, "r.json", "alice")
GUARDED = RISK | {
    "limits": [asdict(row) for row in LIMITS],
    "protections": [asdict(LOST)],
    "monitors": [asdict(WIDE), asdict(CLOCK)],
    "missing": [asdict(UNSEEN)],
    "rehearsed": asdict(DRILL),
}
RESULT = {
    "symbol": "OLDUSDT", "snipe_id": "OLD-1", "closed_ns": NOW - HOUR, "profit": "2.0292", "reason": "time",
    "headline": "+2.0292 USDT (+5.7 %) by time, held for 30 min 01 s",
}  # fmt: skip
RAISED = {
    "seq": 5, "at_ns": NOW - MINUTE, "kind": "StopRaised", "level": "info", "symbol": "ABCUSDT",
    "text": "stop raised to 1.08: 10 % below the highest bid 1.2",
}  # fmt: skip
LISTING = {
    "symbol": "ABCUSDT", "full_name": "Alphabet", "open_ns": NOW - 10 * MINUTE,
    "first_seen_ns": NOW - 9 * HOUR,
    "lead_h": 8.8, "postponed": 0, "triple": [1, 1, 1], "probability": "0.9",
    "snipe_id": SNIPE, "state": "ENTERED",
    "reason": "", "why": "", "preflight": [], "budget": "200", "cap": "1.1",
    "exit": asdict(PLAN), "stop": asdict(STOP),
}  # fmt: skip


@dataclass
class ToldRisk:
    """Knows one pause, until somebody releases it."""

    released: list[tuple[str, str]] = field(default_factory=list)

    def knows(self, protection_id: str) -> bool:
        return protection_id == PAUSE

    async def release(self, protection_id: str, reason: Reason) -> str:
        self.released.append((protection_id, reason.why))
        return "released: entries may go on"


@dataclass
class ToldDesk(Desk):
    """Shows that desk; ``troubled`` False: a desk on which nothing has happened yet."""

    troubled: bool = True
    risk: ToldRisk = field(default_factory=ToldRisk)

    def picture(self, frame: int, symbol: Symbol | None) -> dict[str, Any]:
        told = _trouble() if self.troubled else _nothing()
        halt = {"at_ns": NOW, "by": "alice", "why": "looks odd"} if self.halted else None
        about = {
            "frame": frame,
            "seq": self.seq,
            "at_ns": NOW,
            "wall_ns": time.time_ns(),
            "mode": "paper",
            "halt": halt,
        }
        about |= {"venue": "told", "version": "0", "speed": 1.0, "health": {"ready": True, "checks": []}}
        chart = {"symbol": "ABCUSDT", "interval_s": 15, "candles": [], "book": {"bids": [], "asks": []}}
        risk = RISK if not self.troubled else GUARDED | ({"protections": []} if self.risk.released else {})
        return about | told | {"risk": risk, "chart": chart | {"marks": [], "at_ns": NOW}}


def page() -> OrderPage:
    """What the desk answers about orders, the newest first."""
    return OrderPage([UNSURE, STALE, RESTING, SOLD, ENTRY], False, [FOREIGN], [DISPUTE])


def _trouble() -> dict[str, Any]:
    dust_held = asdict(HELD) | {"symbol": "DEFUSDT", "snipe_id": None, "quantity": "0.5", "targets": []}
    return {
        "listings": [LISTING], "positions": [asdict(HELD), dust_held], "remainders": [asdict(DUST)],
        "orders": [asdict(RESTING), asdict(UNSURE)], "external": [asdict(FOREIGN)], "external_count": 1,
        "disputed": [asdict(DISPUTE)], "reconciliation": asdict(COMPARED), "results": [RESULT],
        "tape": [RAISED],
    }  # fmt: skip


def _nothing() -> dict[str, Any]:
    lists = ("listings", "positions", "remainders", "orders", "external", "disputed", "results", "tape")
    return {name: [] for name in lists} | {"external_count": 0, "reconciliation": None}
