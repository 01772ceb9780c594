"""A view in the browser and the kernel behind it: its front end, its messages, and when it may end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anywidget
import traitlets

from mexclab.errors import ConfigError

STATIC = Path(__file__).parent / "static"
NEVER_SEEN_S = 180.0
"""A kernel under Voila whose page never showed up exits after this long (not a preheated one)."""

Message: TypeAlias = Mapping[str, Any]


class View(anywidget.AnyWidget):
    """A built front end and what it says.

    Args:
        name: of the front end's files.
        shown: what it is to show first; traits of the class.

    Attributes:
        symbol: whose chart to show first.
        leave: ends the kernel; None where the kernel must stay.

    Raises:
        ConfigError: the front end has not been built.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    symbol = traitlets.Unicode("").tag(sync=True)

    def __init__(self, name: str, **shown: str) -> None:
        super().__init__(_esm=bundle(f"{name}.js"), _css=bundle(f"{name}.css"), **shown)
        self.leave = leave_kernel if under_voila() else None
        self._seen = threading.Event()

    def listen(self, take: Callable[[Message], None]) -> None:
        """Hand every message of the view to ``take``; a kernel under Voila that gets none ends."""

        def heard(_widget: object, message: Message, _buffers: object) -> None:
            self._seen.set()
            take(message)

        self.on_msg(heard)
        if os.environ.get("VOILA_PREHEAT") == "False":
            threading.Thread(target=self._wait_for_view, daemon=True).start()

    def _wait_for_view(self) -> None:
        if not self._seen.wait(NEVER_SEEN_S):
            leave_kernel()


def bundle(name: str) -> str:
    """The text of a built front-end file.

    Raises:
        ConfigError: the front end has not been built.
    """
    try:
        return (STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "The front end has not been built. Run `npm --prefix frontend ci && npm --prefix frontend run "
            "build` in the project's folder.",
            missing=name,
        ) from None


def under_voila() -> bool:
    """Whether this kernel serves a dashboard, and nobody but its page needs it."""
    return "VOILA_PREHEAT" in os.environ


def leave_kernel() -> None:
    """End this kernel. It holds nothing that could be lost."""
    os._exit(0)
