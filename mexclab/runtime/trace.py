"""The traces that a desk leaves in its data folder, by which others tell how it is.

``daemon.json`` is there while the desk serves: its address, process, mode and start. A desk that stops in
good order leaves ``daemon.stopped`` and takes ``daemon.json`` away; one that is killed leaves ``daemon.json``
behind; one that fails leaves neither.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mexclab.runtime.durable import sync_folder, write_whole

HERE, STOPPED = "daemon.json", "daemon.stopped"


@dataclass(frozen=True, slots=True)
class Trace:
    """A desk that serves, or served, this data folder; ``started_ns`` tells it from every other one."""

    url: str
    pid: int
    mode: str
    started_ns: int


@dataclass(frozen=True, slots=True)
class Farewell:
    """The last word of a desk that stopped in good order."""

    started_ns: int
    stopped_ns: int
    why: str


def read_trace(folder: Path) -> Trace | None:
    """The desk whose address lies here; None where none does, or it cannot be read."""
    told = _read(folder / HERE)
    if told is None:
        return None
    try:
        return Trace(str(told["url"]), int(told["pid"]), str(told["mode"]), int(told["started_ns"]))
    except (KeyError, TypeError, ValueError):
        return None


def read_farewell(folder: Path) -> Farewell | None:
    """The word that a desk left here when it stopped; None where none did."""
    told = _read(folder / STOPPED)
    if told is None:
        return None
    try:
        return Farewell(int(told["started_ns"]), int(told["stopped_ns"]), str(told["why"]))
    except (KeyError, TypeError, ValueError):
        return None


def leave_farewell(folder: Path, farewell: Farewell) -> None:
    """Say that the desk stopped in good order. A disk that refuses only makes it look like silence."""
    with contextlib.suppress(OSError):
        write_whole(folder / STOPPED, json.dumps(asdict(farewell)))


def forget_farewell(folder: Path) -> None:
    """A desk is up again."""
    with contextlib.suppress(OSError):
        (folder / STOPPED).unlink()
        sync_folder(folder)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None
