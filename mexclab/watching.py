"""The dead man's switch: a process of its own that notices when a desk falls silent, and acts.

It needs nothing of the desk but two files of the data folder and its door. Silence is what it says when the
door gives no answer for ``watch.silence_s``, whatever the reason: the process is gone, it hangs, it was
stopped by a signal, its machine is out of breath. A desk that stops in good order leaves a word, and that is
no silence. What is told goes through a spool of its own, so that it is told although the ledger is locked.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import structlog

from mexclab.config import Settings
from mexclab.domain.clock import SECOND, span, written
from mexclab.errors import ConfigError
from mexclab.runtime.durable import write_whole
from mexclab.runtime.halt_file import leave, reason_in
from mexclab.runtime.notify import notifiers
from mexclab.runtime.post import Post, PostTerms
from mexclab.runtime.spool import Spool
from mexclab.runtime.trace import Trace, read_farewell, read_trace

FOLDER = "watch"
DEADLINE_S = (0.5, 2.0)  # an answer may take as long as one round, within these bounds
log = structlog.get_logger("mexclab.watch")


class Sign(StrEnum):
    """How the desk is."""

    ABSENT = "absent"  # none has been seen here yet
    ALIVE = "alive"
    STOPPED = "stopped"  # in good order, and it said so
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found; ``trace`` is the desk that it is about."""

    sign: Sign
    why: str
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Vigil:
    """What the watch knows; kept in a file, so that it knows it after a restart of its own.

    Attributes:
        sign: what was told last.
        trace: the desk that was alive last.
        failing_s: since when no answer comes, on the monotonic clock; None while all is well.
        since_ns, told_ns: Unix time of the first missing answer, and of the last alert of this silence.
        to_cancel: entries at the venue are still to be cancelled.
    """

    sign: Sign = Sign.ABSENT
    trace: Trace | None = None
    failing_s: float | None = None
    since_ns: int = 0
    told_ns: int = 0
    to_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """Something to tell: its kind, how severe, and the sentence."""

    kind: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence lasts before it is told, and before it is told again."""

    silence_s: float
    again_s: float


def look(data: Path, client: httpx.Client) -> Look:
    """Ask the desk of this data folder for a sign of life. Blocks for as long as the client may."""
    trace, farewell = read_trace(data), read_farewell(data)
    if trace is None:
        if farewell is not None:
            return Look(Sign.STOPPED, farewell.why)
        return Look(Sign.ABSENT, "no desk left its address in the data folder")
    fault = _fault(trace, client)
    if not fault:
        return Look(Sign.ALIVE, f"process {trace.pid} answers at {trace.url}", trace)
    if farewell is not None and farewell.started_ns == trace.started_ns:
        return Look(Sign.STOPPED, farewell.why, trace)  # it is just leaving, or was killed on its way out
    there = "is still there" if _exists(trace.pid) else "is gone"
    return Look(Sign.SILENT, f"{fault}; process {trace.pid} {there}", trace)


def judge(vigil: Vigil, seen: Look, now: tuple[float, int], patience: Patience) -> tuple[Vigil, Word | None]:
    """What a look changes, and what is to be told of it. Pure.

    Args:
        now: the monotonic clock (s), and Unix time (ns).
    """
    at_s, at_ns = now
    if seen.sign is Sign.ALIVE:
        return Vigil(Sign.ALIVE, seen.trace), _greeting(vigil, seen, at_ns)
    if seen.sign is Sign.STOPPED:
        told = vigil.sign is Sign.STOPPED
        text = f"the desk stopped in good order: {seen.why}; nobody minds what it holds"
        word = Word("stopped", "warning", text)
        return Vigil(Sign.STOPPED, None), None if told else word
    if seen.sign is Sign.ABSENT and vigil.trace is None and vigil.sign is not Sign.SILENT:
        return (vigil, None)
    began_s = at_s if vigil.failing_s is None else vigil.failing_s
    trace = vigil.trace or seen.trace
    failing = replace(vigil, trace=trace, failing_s=began_s, since_ns=vigil.since_ns or at_ns)
    why = seen.why if seen.sign is Sign.SILENT else "it left without a word"
    if vigil.sign is Sign.SILENT:
        if at_ns - vigil.told_ns < patience.again_s * SECOND:
            return failing, None
        text = f"the desk is still silent, for {span(at_ns - failing.since_ns)}: {why}"
        return replace(failing, told_ns=at_ns), Word("still", "critical", text)
    if at_s - began_s < patience.silence_s:
        return failing, None
    text = f"the desk has been silent since {written(failing.since_ns)}: {why}"
    return replace(failing, sign=Sign.SILENT, told_ns=at_ns), Word("silent", "critical", text)


def _greeting(vigil: Vigil, seen: Look, at_ns: int) -> Word | None:
    if vigil.sign is Sign.SILENT:
        text = f"the desk answers again after {span(at_ns - vigil.since_ns)} of silence"
        return Word("returned", "warning", f"{text}: {seen.why}")
    if vigil.sign is Sign.ALIVE:
        return None
    return Word("alive", "info", f"the desk is up: {seen.why}")


def _fault(trace: Trace, client: httpx.Client) -> str:
    """Why this is no sign of life; empty when it is one."""
    try:
        reply = client.get(f"{trace.url}/health/live")
        told = reply.json() if reply.status_code == 200 else None
    except httpx.TimeoutException:
        return f"no answer from {trace.url} in time"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return f"nobody answers at {trace.url}"
    if not isinstance(told, dict) or told.get("live") is not True:
        return f"{trace.url} does not answer as a desk (HTTP {reply.status_code})"
    if reply.headers.get("X-Process-Id", str(trace.pid)) != str(trace.pid):
        return f"another process answers at {trace.url}"
    return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


class Watcher:
    """Looks, judges, tells, acts. Context manager: inside it the post delivers.

    Args:
        cancel: cancels our open entries at the venue, blocking; gives whether none is left, and a sentence.
            None: entries are not cancelled.
        say: told every word as it is told to the sinks.

    Raises:
        ConfigError: the data folder cannot be written, or another watch is at work on it.
    """

    def __init__(
        self,
        settings: Settings,
        cancel: Callable[[], tuple[bool, str]] | None = None,
        say: Callable[[dict[str, Any]], None] = lambda told: None,
    ) -> None:
        self._settings = settings
        self._data = settings.data
        self._cancel = cancel
        self._say = say
        self._folder = settings.data / FOLDER
        self._patience = Patience(settings.watch.silence_s, settings.watch.again_s)
        try:
            self._spool = Spool(self._folder, "watch")
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be used: {error.strerror}") from error
        self._post = Post(self._spool, notifiers(settings.alerts), PostTerms.of(settings.alerts))
        self._client = health_client(settings)
        self._canceller: threading.Thread | None = None
        self._came_of_it: list[tuple[bool, str]] = []
        self._tries = 0
        self._try_again_s = 0.0
        self.vigil = self._known()

    def __enter__(self) -> Watcher:
        self._post.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._post.close()
        self._client.close()

    def run(self) -> None:
        """Watch until an exception ends it."""
        while True:
            began_s = time.monotonic()
            self.step()
            time.sleep(max(self._settings.watch.poll_s - (time.monotonic() - began_s), 0.05))

    def step(self) -> None:
        """One look, and what follows from it."""
        seen = look(self._data, self._client)
        now = (time.monotonic(), time.time_ns())
        vigil, word = judge(self.vigil, seen, now, self._patience)
        if word is not None:
            self._tell(word, vigil)
            if word.kind == "silent":
                vigil = replace(vigil, to_cancel=self._cancel is not None)
        if vigil.sign is not Sign.SILENT:
            vigil = replace(vigil, to_cancel=False)
        self._move(vigil)
        self._mind_entries()

    # -- telling ---------------------------------------------------------------------------------

    def _tell(self, word: Word, vigil: Vigil) -> None:
        text = word.text
        if word.kind == "silent" and self._settings.watch.halt:
            text = f"{text}; {self._leave_halt(text)}"
        elif word.kind == "returned" and reason_in(self._halt_file) is not None:
            text = f"{text}; the halt file {self._halt_file.name} is there: remove it, then resume"
        self._send(word.kind, word.level, text, vigil)

    def _send(self, kind: str, level: str, text: str, vigil: Vigil) -> None:
        """Into the spool before anything is kept of it: a crash in between tells it twice, not never."""
        mode = vigil.trace.mode if vigil.trace else ""
        alert = self._spool.add(time.time_ns(), level, kind, text, mode)
        self._post.stir()
        pid = vigil.trace.pid if vigil.trace else None
        self._say({**alert.to_dict(), "sign": str(vigil.sign), "pid": pid})

    @property
    def _halt_file(self) -> Path:
        return self._data / self._settings.halt.file

    def _leave_halt(self, why: str) -> str:
        """Leave the halt file for a desk that comes back; what was done, in a few words."""
        path = self._halt_file
        if reason_in(path) is not None:
            return f"the halt file {path.name} was there already"
        try:
            leave(path, f"mexclab watch: {why}")
        except OSError as error:
            return f"THE HALT FILE COULD NOT BE WRITTEN: {error.strerror}"
        return f"the halt file {path.name} was left: a desk that comes back is halted"

    # -- entries at the venue --------------------------------------------------------------------

    def _mind_entries(self) -> None:
        """Cancel open entries, beside the looking, again and again until the venue has none."""
        if self._came_of_it:
            is_done, words = self._came_of_it.pop()
            self._canceller = None
            if is_done or self._tries == 1:
                self._send("entries", "critical", words if is_done else f"{words}; tried again", self.vigil)
            if is_done:
                self._move(replace(self.vigil, to_cancel=False))
            alerts = self._settings.alerts
            wait_s = min(alerts.first_retry_s * (1 << min(self._tries - 1, 20)), alerts.last_retry_s)
            self._try_again_s = time.monotonic() + wait_s
        if not self.vigil.to_cancel:
            self._tries, self._try_again_s = 0, 0.0
            return
        if self._canceller is None and self._cancel is not None and time.monotonic() >= self._try_again_s:
            self._tries += 1
            self._canceller = threading.Thread(target=self._take_back, args=(self._cancel,), daemon=True)
            self._canceller.start()

    def _take_back(self, cancel: Callable[[], tuple[bool, str]]) -> None:
        self._came_of_it.append(cancel())

    # -- memory ----------------------------------------------------------------------------------

    def _move(self, vigil: Vigil) -> None:
        was, self.vigil = self.vigil, vigil
        if replace(was, failing_s=None) == replace(vigil, failing_s=None):
            return
        try:
            write_whole(self._folder / "vigil.json", json.dumps(asdict(replace(vigil, failing_s=None))))
        except OSError as error:
            log.error("the watch cannot keep what it knows", why=error.strerror)

    def _known(self) -> Vigil:
        """What an earlier watch knew. What cannot be read is as if there had been none."""
        try:
            told = json.loads((self._folder / "vigil.json").read_text(encoding="utf-8"))
            trace = Trace(**told["trace"]) if told["trace"] else None
            return Vigil(**{**told, "sign": Sign(told["sign"]), "trace": trace})
        except (OSError, ValueError, KeyError, TypeError):
            return Vigil()


def health_client(settings: Settings) -> httpx.Client:
    """A client for the desk's door: short of patience, and never through a proxy."""
    least, most = DEADLINE_S
    deadline_s = min(max(float(settings.watch.poll_s), least), most)
    return httpx.Client(timeout=deadline_s, trust_env=False)


def check_once(settings: Settings) -> tuple[bool, Look]:
    """Whether the desk lives, or was stopped in good order; looks for at most ``watch.silence_s``.

    It tells nobody, leaves no halt file and cancels nothing.
    """
    until_s = time.monotonic() + settings.watch.silence_s
    with health_client(settings) as client:
        while True:
            seen = look(settings.data, client)
            if seen.sign in (Sign.ALIVE, Sign.STOPPED):
                return True, seen
            if time.monotonic() + settings.watch.poll_s > until_s:
                return False, seen
            time.sleep(settings.watch.poll_s)


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the watch of a data folder.

    Raises:
        ConfigError: another one holds it, or the folder cannot be written.
    """
    folder = data / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or "unknown"
            raise ConfigError(f"another `mexclab watch` (process {who}) watches {data}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
