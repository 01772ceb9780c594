"""``mexclab`` with crash points: the real command line, in a process that dies where it is told to.

``CRASH_LOG`` names a file that takes one line for every point that is passed. ``CRASH_AT`` is what to die
at: a key as it stands there, or a pattern of keys; ``CRASH_TURN`` at the how-manieth of them (1). A key is
``<point>:<phase>@<moment>``: the moment is the events that are being written where the place knows them, else
how far the desk has come.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from inspect import iscoroutine
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from tests.crash import points

AT, TURN, LOG = "CRASH_AT", "CRASH_TURN", "CRASH_LOG"
DIED = "died at "
EVENTS = ("happened", "events", "event")  # the names by which the product's functions hold events
STAGES = {
    "Reconciled": "running",
    "SnipePlanned": "planned",
    "SnipeMoved(ARMED)": "armed",
    "SnipeMoved(FIRING)": "firing",
    "SnipeMoved(ENTERED)": "entered",
    "ExitDecided": "exiting",
    "SnipeMoved(CLOSED)": "over",
    "SnipeMoved(ABORTED)": "over",
    "SnipeMoved(MISSED)": "over",
    "SnipeMoved(PLANNED)": "planned",
}
LEDGER = "store.ledger."


def kind_of(event: object) -> str:
    """An event as a moment names it: ``OrderSent(b)``, ``SnipeMoved(FIRING)``, ``SagaEnded(completed)``."""
    name = type(event).__name__
    to = getattr(event, "to", None)
    if to is not None:
        return f"{name}({to})"
    outcome = getattr(event, "outcome", None)
    if outcome is not None:  # of a saga
        step = getattr(event, "step", "").partition(" ")[0]
        return f"{name}({f'{step} {outcome}'.strip()})"
    holder = getattr(event, "order", None) or getattr(event, "fill", None) or event
    client_id = getattr(holder, "client_id", "")
    parts = client_id.rsplit("-", 2)
    # one rung of a ladder is like the other
    return f"{name}({parts[1].rstrip('0123456789')})" if len(parts) == 3 else name


class Watch:
    """Counts the points as they are passed, and dies at the one."""

    def __init__(self, at: str, turn: int, log: str) -> None:
        self._at, self._left = at, turn
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else -1
        self.stage = "starting"

    def before(self, name: str) -> None:
        self._pass(name, "before", sys._getframe(1))

    def handed(self, name: str, waited: Any) -> Any:
        if not iscoroutine(waited):
            self._pass(name, "handed", sys._getframe(1))
        return waited

    def after(self, name: str, result: Any) -> Any:
        frame = sys._getframe(1)
        if name.startswith(LEDGER):
            for event in frame.f_locals["events"]:
                self.stage = STAGES.get(kind_of(event), self.stage)
        self._pass(name, "after", frame)
        return result

    def enter(self, name: str, context: Any) -> Any:
        return _Entered(self, name, context, sys._getframe(1))

    def each(self, name: str, source: Any) -> Any:
        return _Each(self, name, source, sys._getframe(1))

    def _pass(self, name: str, phase: str, frame: FrameType) -> None:
        key = f"{name}:{phase}@{self._moment(frame)}"
        if self._log >= 0:
            os.write(self._log, f"{key}\n".encode())
        if self._at and (key == self._at or fnmatchcase(key, self._at)):
            self._left -= 1
            if not self._left:
                if self._log >= 0:
                    os.write(self._log, f"{DIED}{key}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def _moment(self, frame: FrameType) -> str:
        for name in EVENTS:
            if name in frame.f_code.co_varnames:
                held = frame.f_locals.get(name)
                several = held if isinstance(held, list | tuple) else [held]
                if several and all(hasattr(event, "at_ns") for event in several):
                    return "+".join(dict.fromkeys(map(kind_of, several)))
        return self.stage


class _Entered:
    """A context whose way in and way out are points."""

    def __init__(self, watch: Watch, name: str, context: Any, frame: FrameType) -> None:
        self._watch, self._name, self._context, self._frame = watch, name, context, frame

    async def __aenter__(self) -> Any:
        self._watch._pass(self._name, "before", self._frame)
        entered = await self._context.__aenter__()
        self._watch._pass(self._name, "after", self._frame)
        return entered

    async def __aexit__(self, *failure: Any) -> Any:
        self._watch._pass(self._name, "leaving", self._frame)
        swallowed = await self._context.__aexit__(*failure)
        self._watch._pass(self._name, "left", self._frame)
        return swallowed


class _Each:
    """A source whose every step is a point."""

    def __init__(self, watch: Watch, name: str, source: Any, frame: FrameType) -> None:
        self._watch, self._name, self._frame = watch, name, frame
        self._steps = source.__aiter__()

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Any:
        self._watch._pass(self._name, "before", self._frame)
        step = await self._steps.__anext__()
        self._watch._pass(self._name, "after", self._frame)
        return step


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with its points in; what is compiled is never kept, and nothing kept is used."""

    def __init__(self, fullname: str, path: str, watch: Watch) -> None:
        super().__init__(fullname, path)
        self._watch = watch

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text(encoding="utf-8")
        tree = points.instrumented(source, fullname.removeprefix("mexclab."))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        watch = self._watch
        hooks = (watch.before, watch.handed, watch.after, watch.enter, watch.each)
        names = (points.BEFORE, points.HANDED, points.AFTER, points.ENTER, points.EACH)
        module.__dict__.update(zip(names, hooks, strict=True))
        super().exec_module(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that have crash points, before anybody else does."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._files = {f"mexclab.{name}": file for name, file in points.modules()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = self._files.get(fullname)
        if file is None:
            return None
        loader = _Loader(fullname, str(file), self._watch)
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def main() -> None:
    """Run the command line with the points of the environment."""
    watch = Watch(os.environ.get(AT, ""), int(os.environ.get(TURN, "1")), os.environ.get(LOG, ""))
    sys.meta_path.insert(0, Finder(watch))
    from mexclab.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
