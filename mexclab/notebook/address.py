"""Where the daemon is: two files of the data folder, ``daemon.json`` (address) and ``daemon.token``.

Both are read for every call, so that a client outlives a restarted daemon.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mexclab.errors import DaemonUnreachable, NotAuthorised

DEMO = "demo"
HOW_TO_START = "Start one with `mexclab demo` (simulated listings) or `mexclab trade`"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a daemon listens, and the token that it wants; the token is never shown."""

    url: str
    token: str = field(repr=False)
    mode: str = ""  # of the desk, as it said when it started; empty: it did not say

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


Find: TypeAlias = Callable[[], Address]


def data_folder() -> Path:
    """The data folder of the settings.

    Raises:
        ConfigError: the settings cannot be used.
    """
    named = os.environ.get("MEXCLAB_DATA", "").strip()
    if named:
        return Path(named).expanduser()
    # Dashboards are always told the folder; reading settings would cost each kernel a tenth of a second.
    from mexclab.config import load_settings

    return load_settings().settings.data


def address_in(folder: Path) -> Address:
    """The daemon that serves this data folder; where none does, the demo that keeps its own data in it.

    Raises:
        DaemonUnreachable: no daemon left its address here, or the address cannot be read.
    """
    folder = served(folder)
    place = folder / "daemon.json"
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        url, mode = told["url"], str(told.get("mode", ""))
        token = (folder / "daemon.token").read_text(encoding="utf-8").strip()
    except FileNotFoundError as missing:
        raise DaemonUnreachable(
            f"No trading daemon runs on the data folder {folder}. {HOW_TO_START}.", missing=missing.filename
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise DaemonUnreachable(
            f"The daemon's address in {place} cannot be read ({wrong}). Restart the daemon to write it anew.",
            file=str(place),
        ) from None
    return Address(str(url).rstrip("/"), token, mode)


def served(folder: Path) -> Path:
    """The folder of the desk that serves this one: itself, or the demo's where only that one runs."""
    return folder / DEMO if not _lives(folder) and _lives(folder / DEMO) else folder


def _lives(folder: Path) -> bool:
    """Whether the process that left its address here is still there; a killed one leaves a stale file."""
    try:
        os.kill(int(json.loads((folder / "daemon.json").read_text(encoding="utf-8"))["pid"]), 0)
    except PermissionError:
        return True  # somebody else's process
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def unreachable(address: Address, lost: Exception) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"No trading daemon answers at {address.url}. {HOW_TO_START}.", url=address.url, cause=str(lost)
    )


def not_authorised(address: Address) -> NotAuthorised:
    return NotAuthorised(
        f"The daemon at {address.url} does not take this token. It was started on another data folder, or by "
        "another user: set MEXCLAB_DATA to the folder that it runs on.",
        url=address.url,
    )
