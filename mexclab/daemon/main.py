"""``mexclab trade``: one desk, until it is told to stop."""

from __future__ import annotations

import asyncio

from mexclab import __version__
from mexclab.bootstrap import data_folder, desk
from mexclab.config import Settings
from mexclab.daemon.process import Daemon
from mexclab.vaulting import credential


def trade(settings: Settings) -> None:
    """Run the trading daemon in the foreground.

    Raises:
        ConfigError, PortInUse, LedgerError, VaultError, VenueUnavailable: what is wrong, in one sentence.
    """
    data_folder(settings)
    assembly = desk(settings, __version__, lambda: credential(settings))
    try:
        asyncio.run(Daemon(settings, assembly).run())
    finally:
        assembly.close()
