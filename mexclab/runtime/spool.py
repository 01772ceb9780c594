"""A spool of alerts for a process that has no ledger: small files, each whole and synced.

An alert is a file until every sink took it; a sink's mark is a file, too. What the disk refuses is delivered
all the same while this process lives: an alert that could only be lost is the wrong one to be tidy about.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from mexclab.domain.alert import Alert, Mark, plain
from mexclab.runtime.durable import write_whole

log = structlog.get_logger("mexclab.alerts")


class Spool:
    """Alerts of one source in one folder, as an outbox (``mexclab.runtime.post``). For one process at a time.

    Args:
        folder: made if it is not there.
        source: who tells these alerts.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, source: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._source = source
        self._guard = threading.Lock()
        found = (_alert(path) for path in sorted(folder.glob("alert-*.json")))
        self._alerts = {alert.seq: alert for alert in found if alert is not None}
        marks = {path: _read(path) for path in folder.glob("sink-*.json")}
        self._marks = {
            path.stem.removeprefix("sink-"): Mark(**told) for path, told in marks.items() if told is not None
        }
        self._last = max([*self._alerts, *(mark.seq for mark in self._marks.values()), 0])
        self._name = self._own_name()

    def add(self, at_ns: int, level: str, kind: str, text: str, mode: str = "") -> Alert:
        """One more alert; on the disk when this returns, unless the disk refuses."""
        with self._guard:
            self._last += 1
            name = f"{self._source}-{self._last}-{self._name}"
            alert = Alert(name, self._last, at_ns, level, kind, plain(text), mode, source=self._source)
            self._alerts[alert.seq] = alert
            self._write(self._path(alert.seq), asdict(alert))
            return alert

    def begin(self, sinks: Sequence[str]) -> None:
        """Take up these sinks: a new one gets what is added from now on, others are forgotten."""
        with self._guard:
            for gone in set(self._marks) - set(sinks):
                del self._marks[gone]
                self._remove(self._folder / f"sink-{gone}.json")
            for sink in sinks:
                if sink not in self._marks:
                    self._set(sink, Mark(self._last))
            self._prune()

    def mark(self, sink: str) -> Mark:
        """How far this sink has come."""
        with self._guard:
            return self._marks.get(sink) or Mark(self._last)

    def put(self, sink: str, mark: Mark) -> None:
        """Remember how far this sink has come, and forget the alerts that every sink has."""
        with self._guard:
            self._set(sink, mark)
            self._prune()

    def waiting(self, after: int) -> Sequence[Alert]:
        """Alerts above ``after``, in order."""
        with self._guard:
            return [self._alerts[seq] for seq in sorted(self._alerts) if seq > after]

    def _set(self, sink: str, mark: Mark) -> None:
        self._marks[sink] = mark
        self._write(self._folder / f"sink-{sink}.json", asdict(mark))

    def _prune(self) -> None:
        done = min((mark.seq for mark in self._marks.values()), default=self._last)
        for seq in [seq for seq in self._alerts if seq <= done]:
            del self._alerts[seq]
            self._remove(self._path(seq))

    def _own_name(self) -> str:
        """Tells this spool's alerts from those of any other; made once."""
        path = self._folder / "spool.json"
        known = _read(path) or {}
        name = known.get("name")
        if not isinstance(name, str) or not name:
            name = secrets.token_hex(4)
            self._write(path, {"name": name})
        return name

    def _path(self, seq: int) -> Path:
        return self._folder / f"alert-{seq:012}.json"

    def _write(self, path: Path, told: dict[str, Any]) -> None:
        try:
            write_whole(path, json.dumps(told))
        except OSError as error:
            log.error("the spool of alerts cannot be written", file=path.name, why=error.strerror)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the spool of alerts cannot be tidied", file=path.name, why=error.strerror)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _alert(path: Path) -> Alert | None:
    told = _read(path)
    try:
        return Alert(**told) if told is not None else None
    except TypeError:
        log.warning("what lies in the spool of alerts is none", file=path.name)
        return None
