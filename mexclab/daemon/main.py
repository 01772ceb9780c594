"""``mexclab trade``: one desk, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial

from mexclab import __version__
from mexclab.bootstrap import data_folder, desk
from mexclab.config import Settings
from mexclab.daemon.process import Daemon
from mexclab.runtime.parent import when_parent_is_gone
from mexclab.vaulting import credential

LAST_S = 30.0  # beyond the time that a desk has for its stop anyway


def trade(settings: Settings, is_child: bool = False) -> None:
    """Run the trading daemon in the foreground.

    Args:
        is_child: end with the process at the other end of standard input.

    Raises:
        ConfigError, PortInUse, LedgerError, VaultError, VenueUnavailable: what is wrong, in one sentence.
    """
    data_folder(settings)
    if is_child:
        when_parent_is_gone(partial(_end, settings.orders.stop_within_s + LAST_S))
    assembly = desk(settings, __version__, lambda: credential(settings))
    try:
        asyncio.run(Daemon(settings, assembly).run())
    finally:
        assembly.close()


def _end(within_s: float) -> None:
    """Stop as if told to; a desk that does not is not left behind either."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(within_s)
    os.kill(os.getpid(), signal.SIGKILL)
