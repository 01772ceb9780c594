"""Bars on their way into the lake: gathered from several requests, written in bundles."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from mexclab.store.bar_rows import together
from mexclab.store.lake import Lake

BUNDLE_BARS = 20_000  # written at once, at most
BUNDLE_S = 5.0  # and at least so often, while pages come
LIVE_S = 2.0  # the same of live bars


@dataclass(slots=True)
class Sink:
    """Bars on their way into the lake, in bundles of several pages.

    Args:
        replace: let these bars win over stored ones.
    """

    lake: Lake
    interval: str
    replace: bool
    added: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    _frames: dict[str, list[Any]] = field(default_factory=dict)
    _bars: int = 0
    _due_s: float = 0.0

    def take(self, name: str, frame: Any) -> None:
        """Keep these bars of one pair; write what has gathered when it is much, or old.

        Raises:
            DataError: they contradict the lake, or cannot be written.
        """
        if not frame.height:
            return
        if not self._bars:
            self._due_s = time.monotonic() + BUNDLE_S
        self._frames.setdefault(name, []).append(frame)
        self._bars += frame.height
        if self._bars >= BUNDLE_BARS or time.monotonic() >= self._due_s:
            self.flush()

    def flush(self) -> None:
        """Write everything."""
        frames, self._frames, self._bars = self._frames, {}, 0
        for name, parts in frames.items():
            done = self.lake.write(together(parts), self.interval, replace=self.replace)
            self.added[name] = self.added.get(name, 0) + done.added
            self.replaced[name] = self.replaced.get(name, 0) + done.replaced


@dataclass(slots=True)
class Live:
    """Live bars on their way: one small file for many symbols, every few seconds at most."""

    lake: Lake
    interval: str
    _frames: dict[bool, list[Any]] = field(default_factory=dict)
    _due_s: float = 0.0

    def take(self, frame: Any, replace: bool) -> None:
        """Keep these bars; write when what has gathered is old.

        Args:
            replace: they correct stored ones.

        Raises:
            DataError: they contradict the lake, or cannot be written.
        """
        if not frame.height:
            return
        if not self._frames:
            self._due_s = time.monotonic() + LIVE_S
        self._frames.setdefault(replace, []).append(frame)
        if time.monotonic() >= self._due_s:
            self.flush()

    def flush(self) -> None:
        """Write everything: new bars, then corrections."""
        frames, self._frames = self._frames, {}
        for replace in sorted(frames):
            self.lake.append(together(frames[replace]), self.interval, replace=replace)
