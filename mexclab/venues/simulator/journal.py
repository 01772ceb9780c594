"""A venue's own memory: a file with one JSON object a line, each written before it takes effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mexclab.errors import VenueUnavailable


class Journal:
    """The journal of one folder. Its first line holds the terms that everything after it began with.

    Args:
        folder: made when it is not there; the file is ``journal.jsonl``.
        terms: of a new journal; an old one keeps its own, see ``terms``.
        whose: the venue, for the sentence of an error.
        needed: what every entry must have.
        survives_power_loss: wait for the disk with every entry; otherwise an entry survives the end of the
            process but perhaps not of the machine, and costs microseconds instead of milliseconds.

    Raises:
        VenueUnavailable: its first line cannot be read; the file is left as it is.
    """

    def __init__(
        self,
        folder: Path,
        terms: dict[str, Any],
        whose: str,
        needed: frozenset[str] = frozenset({"do", "at_ns"}),
        survives_power_loss: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "journal.jsonl"
        self.terms = terms
        self._whose, self._needed, self._sync = whose, needed, survives_power_loss
        self.is_new = not self.path.exists() or not self.path.stat().st_size
        self.size = 0  # bytes, up to the end of the last whole entry
        if self.is_new:
            self._open()
            self.write(terms)
            return
        with self.path.open("rb") as file:
            first = file.readline()
        try:
            self.terms = json.loads(first)
            if not isinstance(self.terms, dict) or set(self.terms) != set(terms):
                raise ValueError("terms without their parts")
        except ValueError as error:
            raise self.unreadable() from error
        self.size = len(first)
        self._open()

    def _open(self) -> None:
        self._file = self.path.open("ab")

    def read(self, after: int | None = None) -> Iterator[dict[str, Any]]:
        """The entries so far, or those from byte ``after`` on; read them all before writing.

        A last line that a crash cut short never took effect: it is taken out of the file.

        Raises:
            VenueUnavailable: a line before the last cannot be read; the file is left as it is.
        """
        with self.path.open("rb") as file:
            start = len(file.readline())
            file.seek(max(start, after or 0))
            self.size = file.tell()
            broken = False
            for line in file:
                if broken:
                    self.close()
                    raise self.unreadable()
                entry = self._entry(line)
                if entry is None:
                    broken = True
                    continue
                self.size += len(line)
                yield entry
                if not line.endswith(b"\n"):
                    self._append(b"\n")
        if broken:
            os.truncate(self.path, self.size)

    def _entry(self, line: bytes) -> dict[str, Any] | None:
        try:
            entry = json.loads(line)
        except ValueError:
            return None
        return entry if isinstance(entry, dict) and self._needed <= set(entry) else None

    def write(self, entry: dict[str, Any]) -> None:
        """Returns when the entry is as safe as this journal makes it."""
        self._append(json.dumps(entry).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        if self._sync:
            os.fsync(self._file.fileno())
        self.size += len(line)

    def close(self) -> None:
        self._file.close()

    def unreadable(self) -> VenueUnavailable:
        """The error to raise when what was read makes no sense."""
        return VenueUnavailable(
            f"{self._whose} memory {self.path} cannot be read; move it away to begin a new account",
            path=str(self.path),
        )
