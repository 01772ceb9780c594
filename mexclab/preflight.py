"""``mexclab preflight`` and ``mexclab vault test``: would the venue take an order of ours?

A running desk is asked, because it holds the key and the roads. Without one, a road is made for the question.
"""

from __future__ import annotations

import asyncio

from mexclab.bootstrap import Road, good_enough, road
from mexclab.config import Settings
from mexclab.daemon.main import VERSION
from mexclab.domain.market import Symbol
from mexclab.errors import DaemonUnreachable
from mexclab.notebook.desk import DeskClient
from mexclab.vaulting import credential
from mexclab.venues.mexc.preflight_report import PreflightReport


def preflight(settings: Settings, symbol: str) -> PreflightReport:
    """The checks, by the running desk or by ourselves.

    Raises:
        DomainError: the text is no symbol.
        ConfigError, VaultError, VenueUnavailable: there is no road to the venue.
    """
    pair = Symbol.parse(symbol) if symbol else None
    try:
        return DeskClient.discover(settings.data).preflight(symbol)
    except DaemonUnreachable:
        way = road(settings, VERSION, lambda: credential(settings))
        return asyncio.run(_asked(settings, way, pair))


def key_check(settings: Settings, name: str) -> PreflightReport:
    """What the venue says of one credential of the vault, whatever the mode."""
    venue = settings.venue.model_copy(update={"credential": name})
    own = settings.model_copy(update={"mode": "live", "venue": venue})
    own = own.model_copy(update={"snipe": own.snipe.model_copy(update={"auto_arm": False})})
    return asyncio.run(_asked(own, road(own, VERSION, lambda: credential(own)), None))


async def _asked(settings: Settings, way: Road, symbol: Symbol | None) -> PreflightReport:
    try:
        return await way.venue.preflight(symbol, good_enough(settings))
    finally:
        await way.venue.stop()
        if way.simulator is not None:
            way.simulator.stop()
