"""``mexclab preflight`` and ``mexclab vault test``: would the venue take an order of ours?

A running desk is asked, because it holds the key and the roads. Without one, a road is made for the question.
A desk that trades on a simulator never answers for real money.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from mexclab import __version__
from mexclab.bootstrap import Road, good_enough, road
from mexclab.config import Settings
from mexclab.domain.market import Symbol
from mexclab.errors import DaemonUnreachable
from mexclab.notebook.desk import DeskClient
from mexclab.vaulting import credential
from mexclab.venues.mexc.preflight_report import PreflightReport


@dataclass(frozen=True, slots=True)
class Asked:
    """A preflight, and of whom: green on a simulator says nothing of real money."""

    report: PreflightReport
    mode: str
    venue: str
    by_desk: bool

    @property
    def is_green(self) -> bool:
        return self.report.is_green

    def to_dict(self) -> dict[str, Any]:
        """The report's values for JSON, with ``mode``, ``venue`` and ``by_desk``."""
        return {**self.report.to_dict(), "mode": self.mode, "venue": self.venue, "by_desk": self.by_desk}

    def __str__(self) -> str:
        who = "by the running desk" if self.by_desk else "by this command"
        return f"{self.report}\n{self.mode.upper()}: {self.venue}; asked {who}"


def preflight(settings: Settings, symbol: str) -> Asked:
    """The checks, by the running desk or by ourselves.

    Raises:
        DomainError: the text is no symbol.
        ConfigError, VaultError, VenueUnavailable: there is no road to the venue.
        DeskError: the running desk does not serve us.
    """
    pair = Symbol.parse(symbol) if symbol else None
    return _by_desk(settings, symbol) or _by_ourselves(settings, pair)


def key_check(settings: Settings, name: str) -> Asked:
    """What the venue says of one credential of the vault, whatever the mode."""
    venue = settings.venue.model_copy(update={"credential": name})
    own = settings.model_copy(update={"mode": "live", "venue": venue})
    own = own.model_copy(update={"snipe": own.snipe.model_copy(update={"auto_arm": False})})
    return _by_ourselves(own, None)


def _by_desk(settings: Settings, symbol: str) -> Asked | None:
    """What the running desk says; None where none runs, or a simulated one is asked about real money."""
    try:
        with DeskClient.discover(settings.data) as desk:
            shown = desk.snapshot()
            if settings.mode == "live" and shown.mode != "live":
                return None
            return Asked(desk.preflight(symbol or None), shown.mode, str(shown.body["venue"]), by_desk=True)
    except DaemonUnreachable:
        return None


def _by_ourselves(settings: Settings, symbol: Symbol | None) -> Asked:
    way = road(settings, __version__, lambda: credential(settings))
    report = asyncio.run(_asked(settings, way, symbol))
    return Asked(report, way.identity.mode, way.identity.venue, by_desk=False)


async def _asked(settings: Settings, way: Road, symbol: Symbol | None) -> PreflightReport:
    try:
        return await way.venue.preflight(symbol, good_enough(settings))
    finally:
        await way.venue.stop()
        if way.simulator is not None:
            way.simulator.stop()
