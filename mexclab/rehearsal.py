"""``mexclab rehearse``: halt, flatten and resume, practised for real on a stage, with the evidence kept.

A desk that was never halted has a stop that nobody knows to work. This one buys a position in a first
listing, lets the shot for a second one be loaded, and halts: request to durable, and whether anything was
entered after it by the venue's own record of what came in. Then it sells, resumes with its checks, and is
halted once more by file. Times are this machine's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mexclab import __version__
from mexclab.bootstrap import data_folder
from mexclab.config import Settings
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import ConfigError, DeskError, MexclabError
from mexclab.rehearsal_stage import STOPPED, Stage, staged
from mexclab.runtime.halt_file import leave

HALT_WITHIN_NS = SECOND  # promise 6
FLATTEN_WITHIN_S = 30.0
FIRST_OPENS_S, SECOND_OPENS_S = 4.0, 5.0
ENTER_S, LOAD_S, RESUME_S = 40.0, 40.0, 10.0
AFTER_OPENING_S = 2.0  # that the second listing is watched after it has opened
EVENTS = 10_000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and whether it came out as it must."""

    name: str
    began_ns: int
    ended_ns: int
    ok: bool
    words: str

    @property
    def took_ns(self) -> int:
        return self.ended_ns - self.began_ns


@dataclass(slots=True)
class Rehearsal:
    """What was done and seen.

    Attributes:
        halted_ns: from the request to its answer, which comes when the halt is durable.
        last_entry_ns: from the request to the last entry that came in at the venue after it; 0: none did.
        file_halted_ns: from the moment the halt file was there until the desk said that it is halted.
        orders: every order and cancel as the venue heard it.
        events: the ledger of the stage.
    """

    began_ns: int
    steps: list[Step] = field(default_factory=list)
    halted_ns: int = 0
    last_entry_ns: int = 0
    flattened_ns: int = 0
    resumed_ns: int = 0
    file_halted_ns: int = 0
    orders: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    evidence: str = ""

    @property
    def passed(self) -> bool:
        return len(self.steps) == len(STEPS) and all(step.ok for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; times in ns since the epoch, spans in ns."""
        return {"version": __version__, "passed": self.passed, **asdict(self)}

    def summary(self) -> dict[str, Any]:
        """What a desk keeps of it."""
        spans = {name: getattr(self, name) for name in ("halted_ns", "flattened_ns", "resumed_ns")}
        return {"passed": self.passed, **spans, "evidence": self.evidence}


def rehearse(settings: Settings, say: Say) -> Rehearsal:
    """Practise the emergency; the person's desk, data and account are not touched.

    Args:
        settings: where the evidence is kept, and how the halt file is called.
        say: told each step as it ends.

    Raises:
        ConfigError: the evidence cannot be written.
        VenueUnavailable, DeskError: the stage does not come up; nothing was rehearsed.
    """
    done = Rehearsal(time.time_ns())
    place = _place(settings, done.began_ns)
    try:
        _practise(settings, done, say)
    except MexclabError as error:
        if not done.steps:
            place.unlink(missing_ok=True)
            raise
        done.steps.append(Step("stage", time.time_ns(), time.time_ns(), False, error.message))
    except BaseException:  # Ctrl-C: an empty file is no evidence
        place.unlink(missing_ok=True)
        raise
    done.evidence = str(place)
    try:
        _write(place, json.dumps(done.to_dict(), indent=1))
    except OSError as error:
        raise ConfigError(f"the evidence {place} cannot be written: {error.strerror}") from error
    return done


def _practise(settings: Settings, done: Rehearsal, say: Say) -> None:
    with staged(settings.halt.file) as stage:
        say("a venue and a desk of their own are up")
        acts = _Acts(stage, done, settings.halt.file)
        for name, act in STEPS.items():
            step = _carried_out(name, act, acts)
            done.steps.append(step)
            say(f"{name}: {'' if step.ok else 'FAILED, '}{step.words} ({step.took_ns / MILLISECOND:,.0f} ms)")
            if not step.ok:
                break
        acts.collect()


def _carried_out(name: str, act: Callable[[_Acts], str], acts: _Acts) -> Step:
    began_ns = time.time_ns()
    try:
        words, ok = act(acts), True
    except DeskError as error:
        words, ok = error.message, False
    return Step(name, began_ns, time.time_ns(), ok, words)


class _Acts:
    """The steps, in the order of ``STEPS``: each gives a few words, or raises DeskError: what is wrong."""

    def __init__(self, stage: Stage, done: Rehearsal, halt_file: str) -> None:
        self._stage, self._done = stage, done
        self._file = stage.folder / halt_file
        self._first, self._second = stage.symbols()
        self._asked_ns = self._opens_ns = 0

    def enter(self) -> str:
        self._stage.opens_in(self._first, FIRST_OPENS_S)
        self._stage.until("an entry", lambda: self._is(self._first, "ENTERED"), ENTER_S)
        return f"{self._first} was bought"

    def load(self) -> str:
        self._opens_ns = time.time_ns() + round(SECOND_OPENS_S * SECOND)
        self._stage.opens_in(self._second, SECOND_OPENS_S)
        self._stage.until("a loaded shot", lambda: self._is(self._second, "FIRING"), LOAD_S)
        return f"the shot for {self._second} is loaded and leaves within a second"

    def halt(self) -> str:
        self._asked_ns = time.time_ns()
        answer = self._stage.act("/halt", "a rehearsal")
        self._done.halted_ns = time.time_ns() - self._asked_ns
        if not answer["halted"]:
            raise DeskError("the desk says that it is not halted")
        if self._done.halted_ns > HALT_WITHIN_NS:
            raise DeskError(f"it took {self._done.halted_ns / MILLISECOND:,.0f} ms; it may take a second")
        return str(answer["message"])

    def silence(self) -> str:
        """No entry comes in at the venue any more, though the second listing opens."""
        self._stage.until("the end of the snipe", lambda: self._is(self._second, "ABORTED"), LOAD_S)
        time.sleep(max((self._opens_ns - time.time_ns()) / SECOND + AFTER_OPENING_S, 0))
        heard = self._stage.orders()
        entries = [each["machine_ns"] for each in heard if (each["method"], each["side"]) == ("POST", "BUY")]
        later = [at_ns - self._asked_ns for at_ns in entries if at_ns > self._asked_ns]
        self._done.last_entry_ns = max(later, default=0)
        if self._done.last_entry_ns > HALT_WITHIN_NS:
            raise DeskError(f"{len(later)} entries came in after the halt, the last {later[-1]} ns after it")
        return f"{self._second} opened; {len(later)} entries came in after the request"

    def flatten(self) -> str:
        began_ns = time.time_ns()
        self._stage.act("/flatten", "a rehearsal")
        self._stage.until("the sale", lambda: self._is(self._first, "CLOSED"), FLATTEN_WITHIN_S)
        self._done.flattened_ns = time.time_ns() - began_ns
        left = ", ".join(f"{amount} {asset}" for asset, amount in self._stage.held().items())
        return f"{self._first} was sold{f'; too little to sell: {left}' if left else ''}"

    def resume(self) -> str:
        began_ns = time.time_ns()
        self._refused("/resume", "", "a resume without a reason")
        self._stage.act("/resume", "the rehearsal goes on")
        self._done.resumed_ns = time.time_ns() - began_ns
        if self._halted():
            raise DeskError("the desk is still halted")
        return "entries are allowed again; without a reason it was refused"

    def halt_by_file(self) -> str:
        began_ns = time.time_ns()
        leave(self._file, "a rehearsal")
        self._stage.until("the halt by file", self._halted, HALT_WITHIN_NS / SECOND)
        self._done.file_halted_ns = time.time_ns() - began_ns
        self._refused("/resume", "the file is there", "a resume beside the halt file")
        self._file.unlink()
        self._stage.act("/resume", "the rehearsal is over")
        return "halted; resume was refused while the file was there"

    def stop(self) -> str:
        self.collect()
        code = self._stage.stop()
        if code != STOPPED:
            raise DeskError(f"the desk ended with code {code} instead of {STOPPED}")
        return "the desk stopped as it was told"

    def collect(self) -> None:
        """Take the evidence in, as far as there is any."""
        if self._stage.is_up:
            self._done.orders = self._stage.orders()
            self._done.events = self._stage.get("/events", limit=EVENTS)["events"]

    def _is(self, symbol: str, state: str) -> bool:
        rows = self._stage.get("/snipes", limit=100)["snipes"]
        return any((row["symbol"], row["state"]) == (symbol, state) for row in rows)

    def _halted(self) -> bool:
        return self._stage.get("/snapshot")["halt"] is not None

    def _refused(self, path: str, why: str, what: str) -> None:
        try:
            self._stage.act(path, why)
        except DeskError as refusal:
            if refusal.data.get("status") in (409, 422):
                return
            raise
        raise DeskError(f"{what} was not refused")


STEPS: dict[str, Callable[[_Acts], str]] = {
    "enter": _Acts.enter,
    "load": _Acts.load,
    "halt": _Acts.halt,
    "silence": _Acts.silence,
    "flatten": _Acts.flatten,
    "resume": _Acts.resume,
    "halt by file": _Acts.halt_by_file,
    "stop": _Acts.stop,
}


def _place(settings: Settings, began_ns: int) -> Path:
    """Where the evidence will be; found out before anything is rehearsed for nothing."""
    moment = datetime.fromtimestamp(began_ns // SECOND, UTC)
    place = data_folder(settings) / "rehearsals" / f"{moment:%Y-%m-%dT%H-%M-%SZ}.json"
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"the evidence {place} could not be written: {error.strerror}") from error
    return place


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text + "\n", encoding="utf-8")
    fresh.replace(path)
