"""Footers that were read before, in one small file beside the lake: a new process need not read them again.

``<root>/footers.json`` is a memory and no truth: an entry counts only while its file has the same size,
time of change and inode. Deleting it costs the time to read the footers again; cut short, altered or
of another version it is as good as deleted. Of two processes that write it at once the later one stays.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from mexclab.store.seal import sealed, unsealed

FILE_NAME = "footers.json"
FORMAT = 1
FEW = 256  # new footers that are not worth a file
_SETTLED_NS = (
    2_000_000_000  # a file system's clock may be this coarse: what changed just now may change again
)


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One footer: the stamp of its file, and what it said."""

    mtime_ns: int
    size: int
    inode: int
    rows: int
    first_ms: int
    last_ms: int


class _Memory(msgspec.Struct, frozen=True):
    footers: dict[str, Kept]  # by path below the lake's folder
    format: int = FORMAT


def read(root: Path) -> dict[str, Kept]:
    """What is remembered; nothing where there is no such file, or no whole one."""
    try:
        content = unsealed((root / FILE_NAME).read_bytes())
        memory = msgspec.json.decode(content or b"", type=_Memory)
    except (OSError, msgspec.DecodeError):
        return {}
    return memory.footers if memory.format == FORMAT else {}


def write(root: Path, footers: Mapping[str, Kept]) -> None:
    """Remember these; where that cannot be written, nothing is lost but time."""
    settled_ns = time.time_ns() - _SETTLED_NS
    settled = {name: kept for name, kept in footers.items() if kept.mtime_ns < settled_ns}
    temporary = root / f".{FILE_NAME}.{os.getpid()}.{uuid4().hex[:8]}"
    try:
        temporary.write_bytes(sealed(msgspec.json.encode(_Memory(settled))))
        temporary.replace(root / FILE_NAME)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
