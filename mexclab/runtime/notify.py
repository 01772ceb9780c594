"""Where alerts go: the terminal, a file, an address on the web. A sink takes an alert, or says why not.

Sinks block, so each belongs to a thread of its own (``mexclab.runtime.post``). None of them prints an address
or a secret; what looks like a secret in an alert is masked before it leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol, TextIO

import httpx

from mexclab.config.risk import AlertSettings
from mexclab.domain.alert import Alert, plain
from mexclab.domain.clock import from_utc
from mexclab.errors import DomainError
from mexclab.runtime.durable import sync_folder
from mexclab.runtime.observe import redact

LONGEST_WAIT_S = 3600.0  # a receiver that asks for more patience is asked again after an hour


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sink did not take an alert, as far as is known.

    Attributes:
        why: in a few words, without addresses and secrets.
        after_s: seconds that it asked to be left alone for.
    """

    why: str
    after_s: float = 0.0


class Notifier(Protocol):
    """A sink. ``send`` returns None once the alert was taken; it blocks, and never raises."""

    @property
    def name(self) -> str: ...

    def send(self, alert: Alert) -> Refusal | None: ...

    def close(self) -> None: ...


class Console:
    """One line on standard error."""

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, alert: Alert) -> Refusal | None:
        """Write the line."""
        stream = self._stream or sys.stderr
        if stream is None:
            return Refusal("there is no standard error")
        try:
            stream.write(f"ALERT {_masked(alert)}\n")
            stream.flush()
        except (OSError, ValueError) as error:  # it was closed, or cannot spell a character
            return Refusal(getattr(error, "strerror", None) or type(error).__name__)
        return None

    def close(self) -> None:
        """Standard error is nobody's to close."""


class LineFile:
    """A line of JSON for each alert, synced to the disk. The file may be moved away at any time."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> Refusal | None:
        """Append the line; a line that a crash cut off stays alone."""
        line = json.dumps(_masked(alert).to_dict(), ensure_ascii=False).encode() + b"\n"
        try:
            self._append(line)
        except OSError as error:
            return Refusal(error.strerror or type(error).__name__)
        return None

    def _append(self, line: bytes) -> None:
        is_new = not self._path.exists()
        if is_new:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            if (end := file.seek(0, os.SEEK_END)) and (file.seek(end - 1), file.read(1))[1] != b"\n":
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self._path.parent)

    def close(self) -> None:
        """It is opened anew for every alert."""


class Webhook:
    """``POST`` of one JSON object; any 2xx means that it was taken. A redirection is not followed.

    The header ``Idempotency-Key`` is the alert's id. For one thread, which runs no event loop.

    Args:
        url: may hold a secret, so it is never shown.
        timeout_s: for the whole exchange, however slowly it drips.
        now_ns: Unix time, for a ``Retry-After`` that is a date.
    """

    name = "webhook"

    def __init__(self, url: str, timeout_s: float, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._now_ns = now_ns
        self._runner = asyncio.Runner()
        self._client: httpx.AsyncClient | None = None
        for library in ("httpx", "httpcore"):  # they log addresses, whatever the root logger's level is
            logging.getLogger(library).setLevel(logging.WARNING)

    def __repr__(self) -> str:
        return f"Webhook({self._timeout_s} s)"

    def send(self, alert: Alert) -> Refusal | None:
        """Post it."""
        try:
            return self._runner.run(self._post(alert))
        except TimeoutError:
            return Refusal(f"no answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            return Refusal(type(error).__name__)  # its words may hold the address

    async def _post(self, alert: Alert) -> Refusal | None:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False)
        headers = {"Idempotency-Key": alert.alert_id}
        told = _masked(alert).to_dict()
        async with (
            asyncio.timeout(self._timeout_s),
            self._client.stream("POST", self._url, json=told, headers=headers) as reply,
        ):
            if reply.is_success:
                return None
            return Refusal(f"HTTP {reply.status_code}", self._patience(reply.headers.get("Retry-After")))

    def _patience(self, text: str | None) -> float:
        """Seconds of a ``Retry-After``: a number of them, or a date."""
        if text is None:
            return 0.0
        if text.strip().isdecimal():
            return min(float(text), LONGEST_WAIT_S)
        with suppress(ValueError, DomainError):
            left_s = (from_utc(parsedate_to_datetime(text)) - self._now_ns()) / 1e9
            return min(max(left_s, 0.0), LONGEST_WAIT_S)
        return 0.0

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            with suppress(httpx.HTTPError, OSError, RuntimeError):
                self._runner.run(self._client.aclose())
        self._runner.close()


def notifiers(settings: AlertSettings) -> tuple[Notifier, ...]:
    """The sinks that the settings ask for."""
    found: list[Notifier] = []
    if settings.console:
        found.append(Console())
    if settings.file is not None:
        found.append(LineFile(settings.file))
    if settings.webhook is not None:
        found.append(Webhook(settings.webhook.get_secret_value(), settings.timeout_s))
    return tuple(found)


def _masked(alert: Alert) -> Alert:
    return replace(alert, text=plain(str(redact(alert.text))))
