"""A bar under the cell whose work takes long; quick work shows none, and a finished one leaves nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from IPython import get_ipython
from IPython.display import DisplayHandle, display
from tqdm import tqdm

from mexclab.runtime.progress import Progress, told_to

QUICK_S = 1.0  # who is done so soon shows no bar
LOOK_S = 0.1  # a bar is drawn anew so often at most
CELL_LOOK_S = 0.25  # the same where each drawing is a message to a browser


@contextmanager
def shown(what: str, unit: str) -> Iterator[Progress]:
    """A bar for the block: in a notebook under the cell, in a terminal on standard error.

    A thread has no cell of its own, and shows nothing.

    Args:
        what: is done, such as "outcomes".
        unit: of the numbers that it is told, such as "search".
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda done, total: None
        return
    place: dict[str, Any] = {"file": sys.stderr, "disable": None, "mininterval": LOOK_S}
    if hasattr(get_ipython(), "kernel"):
        place = {"file": _Cell(), "ncols": 80, "mininterval": CELL_LOOK_S}
    with told_to(tqdm(desc=what, unit=unit, leave=False, delay=QUICK_S, **place)) as progress:
        yield progress


class _Cell:
    """Takes the lines of a bar, each in place of the one before it. No widget: a saved page needs none."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def write(self, text: str) -> None:
        line = text.strip()
        bundle = {"text/plain": line, "text/html": f"<pre>{escape(line)}</pre>" if line else ""}
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif line:
            self._handle = display(bundle, raw=True, display_id=True)

    def flush(self) -> None:
        """Nothing is held back."""
