"""What a played day came to: counted from the ledger and held against the script's whole truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MICROSECOND
from mexclab.domain.desk import Desk
from mexclab.domain.snipe import SnipeState
from mexclab.venues.simulator.scenario import ListingScript


@dataclass(frozen=True, slots=True)
class Report:
    """The demo's outcome. ``fire_error_us``: lateness of scheduled shots on the machine's own clock."""

    listings: int
    detected: int
    lead_hours: tuple[float, ...]
    entered: int
    refused: dict[str, int]
    missed: int
    fire_error_us: dict[str, float | None]
    orders: int
    unreconciled: int
    pnl_quote: Decimal

    def to_json(self) -> dict[str, Any]:
        return {
            "listings": self.listings,
            "detected": self.detected,
            "lead_hours": list(self.lead_hours),
            "entered": self.entered,
            "refused": self.refused,
            "missed": self.missed,
            "fire_error_us": self.fire_error_us,
            "orders": self.orders,
            "unreconciled": self.unreconciled,
            "pnl_quote": str(self.pnl_quote),
        }


def report(
    desk: Desk, scripts: Sequence[ListingScript], events: Iterable[e.Event], unreconciled: int
) -> Report:
    """Count the day.

    Args:
        scripts: the listings that were to open; detection is judged against these, not against what we saw.
        unreconciled: orders and balances on which ledger and venue do not agree.
    """
    history = list(events)
    end_ns = max((event.at_ns for event in history), default=0)
    opened = {script.symbol: script for script in scripts if script.opens_ns <= end_ns}
    seen: dict[Any, int] = {}
    late: list[int] = []
    for event in history:
        if isinstance(event, e.SignalRaised) and event.signal.symbol in opened:
            seen.setdefault(event.signal.symbol, event.at_ns)
        if isinstance(event, e.Fired) and event.client_id.endswith("-b-1"):
            late.append(event.lateness_ns)
    leads = {symbol: (opened[symbol].opens_ns - at_ns) / HOUR for symbol, at_ns in seen.items()}
    detected = {symbol: lead for symbol, lead in leads.items() if lead > 0}
    mine = [snipe for snipe in desk.snipes.values() if snipe.plan.symbol in opened]
    return Report(
        listings=len(opened),
        detected=len(detected),
        lead_hours=tuple(
            round(detected[symbol], 2) for symbol in sorted(detected, key=lambda s: opened[s].opens_ns)
        ),
        entered=sum(1 for snipe in mine if snipe.entered_ns is not None),
        refused=dict(sorted(Counter(s.reason for s in mine if s.state is SnipeState.ABORTED).items())),
        missed=sum(1 for snipe in mine if snipe.state is SnipeState.MISSED),
        fire_error_us={"p50": _quantile(late, 0.50), "p99": _quantile(late, 0.99)},
        orders=len(desk.orders),
        unreconciled=unreconciled,
        pnl_quote=sum((desk.profit(snipe.snipe_id) for snipe in desk.snipes.values()), Decimal(0)),
    )


def _quantile(values: Sequence[int], share: float) -> float | None:
    """In microseconds; None when nothing was fired. The nearest rank: with few shots p99 is the worst one."""
    if not values:
        return None
    ranked = sorted(values)
    place = min(len(ranked) - 1, max(0, -(-int(share * 100) * len(ranked) // 100) - 1))
    return round(ranked[place] / MICROSECOND, 1)


def written_up(done: Report) -> str:
    """The report for people."""
    leads = ", ".join(f"{lead:.1f}" for lead in done.lead_hours) or "none"
    ahead = sum(1 for lead in done.lead_hours if lead >= 3.5)
    refused = (
        ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in done.refused.items()) or "none"
    )
    p50, p99 = done.fire_error_us["p50"], done.fire_error_us["p99"]
    fired = (
        f"p50 {p50:.0f} us, worst {p99:.0f} us"
        if p50 is not None and p99 is not None
        else "nothing was fired"
    )
    return "\n".join(
        (
            "",
            f"listings opened   {done.listings}, {done.detected} of them detected before they opened",
            f"lead times (h)    {leads}; {ahead} of {done.detected} at least 3.5 h",
            f"entered           {done.entered}; refused: {refused}; missed: {done.missed}",
            f"fire error        {fired} after the scheduled instant, on this machine's clock",
            f"orders            {done.orders}, unreconciled: {done.unreconciled}",
            f"profit            {done.pnl_quote:+.4f} USDT after fees; on simulated prices, so no promise",
            "",
        )
    )
