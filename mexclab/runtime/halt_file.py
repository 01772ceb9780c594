"""The halt file as every process knows it: how it is left, and what it says.

A file of this name in a desk's data folder halts that desk while it is there (``settings.halt.file``).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

REASON_BYTES = 2_000
NO_REASON = "no reason given"
"""What is journalled for a halt without words: who halts in an emergency is not asked for any."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def reason_in(path: Path) -> str | None:
    """Why the file says to halt, in a line of at most ``REASON_BYTES``; None: there is no such file.

    Its mere presence counts. A file that cannot be read halts, and so does a folder or a pipe of that name,
    or a place that cannot be looked at: what is not known to be absent counts as there.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the place of {path.name} cannot be looked at: {error.strerror}"
    if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
        return f"{path.name} is there"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        try:
            told = os.read(handle, REASON_BYTES)
        finally:
            os.close(handle)
    except OSError as error:
        return f"{path.name} is there; it cannot be read: {error.strerror}"
    words = _UNPRINTABLE.sub(" ", told.decode("utf-8", "replace")).strip()
    return words or f"{path.name} is there, and gives no reason"


def leave(path: Path, why: str) -> None:
    """Leave the file, whole, with ``why`` in it; one that is there already stays as it is.

    Raises:
        OSError: it cannot be written, and none was there.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(why.encode("utf-8", "replace")[:REASON_BYTES] + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
