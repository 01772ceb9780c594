"""A process that lives no longer than the one that started it: its standard input is the cord."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def when_parent_is_gone(act: Callable[[], object]) -> None:
    """Call ``act``, in a thread of its own, when the parent's end of our standard input is closed: by it, or
    by its death, however it died. For a child whose standard input is a pipe from its parent.
    """
    pipe = sys.stdin.fileno()

    def listen() -> None:
        try:
            while os.read(pipe, 1024):
                pass
        except OSError:
            pass
        act()

    threading.Thread(target=listen, name="mexclab-parent", daemon=True).start()
