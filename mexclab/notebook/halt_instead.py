"""What a client does when it asked a desk to halt and no desk said yes: it leaves the halt file."""

from __future__ import annotations

from pathlib import Path

from mexclab.errors import ConfigError, DaemonUnreachable, DeskError
from mexclab.notebook.address import served
from mexclab.runtime.halt_file import leave

DEFAULT_NAME = "HALT"
UNSERVED = 503  # the desk is there and could not do it


def is_unheard(error: DeskError) -> bool:
    """Whether nobody is known to have halted: no daemon, no answer, or no ledger to write it in."""
    return isinstance(error, DaemonUnreachable) or error.data.get("status") == UNSERVED


def file_instead(folder: Path, by: str, why: str, lost: DeskError) -> DeskError:
    """Leave the halt file for the desk of this folder; what to tell the person who asked.

    It holds where the process is alive but does not answer, and for one that starts there later.
    """
    path = served(folder) / _name()
    try:
        leave(path, f"{by}: {why}")
    except OSError as error:
        words = f"The halt file {path} could not be left either: {error.strerror}."
    else:
        words = (
            f"The halt file {path} was left: a desk on this folder enters nothing while it is there. "
            "Remove it before you resume."
        )
    return type(lost)(f"{lost.message} {words}", **lost.data)


def _name() -> str:
    from mexclab.config import load_settings  # only who needs the file pays for the settings

    try:
        return load_settings().settings.halt.file
    except ConfigError:
        return DEFAULT_NAME
