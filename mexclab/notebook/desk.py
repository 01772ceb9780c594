"""The daemon's client: kernels and scripts read the desk and ask for things through it.

It holds no key, no engine and no order. Everything that it asks for is authorised and written
down by the daemon; closing it changes nothing.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from mexclab.errors import DaemonUnreachable, DeskError
from mexclab.notebook.address import Address, Find, address_in, data_folder, not_authorised, unreachable
from mexclab.notebook.stream import NotConnected, Snapshot, Stream
from mexclab.venues.mexc.preflight_report import PreflightReport

__all__ = [
    "Answer",
    "Check",
    "DeskClient",
    "Health",
    "NotConnected",
    "RecordedEvent",
    "Snapshot",
    "Stream",
]


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One entry of the ledger; ``body`` holds the event's own fields."""

    seq: int
    kind: str
    at_ns: int
    correlation: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon did about a command: the ledger's position, the halt, a sentence."""

    seq: int
    halted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold before the daemon may trade."""

    name: str
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the daemon may trade, and every check behind that."""

    ready: bool
    checks: tuple[Check, ...]


class DeskClient:
    """Reads the desk and asks it for things. Safe to use from several threads.

    Args:
        find: gives the daemon's address; called for every request.
        by: who asks, for the daemon's journal; None: the user of this machine.
        deadline_s: seconds to wait for an answer.
    """

    def __init__(self, find: Find, *, by: str | None = None, deadline_s: float = 5.0) -> None:
        self._find = find
        self._by = _user() if by is None else by
        # A proxy of the machine must never see the token of a daemon on loopback.
        self._http = httpx.Client(timeout=deadline_s, trust_env=False)

    @classmethod
    def discover(cls, data: Path | None = None) -> DeskClient:
        """The client of the daemon that runs on ``data``, or on the data folder of the settings.

        Raises:
            DaemonUnreachable: no daemon left its address there.
        """
        find = partial(address_in, data_folder() if data is None else Path(data))
        find()
        return cls(find)

    def __repr__(self) -> str:
        try:
            return f"DeskClient({self._find().url!r})"
        except DaemonUnreachable:
            return "DeskClient(no daemon)"

    def __enter__(self) -> DeskClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections. The desk is not touched."""
        self._http.close()

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self, symbol: str | None = None) -> Snapshot:
        """The desk as it is now, with the chart of ``symbol`` or of the daemon's choice."""
        return Snapshot(self._ask("GET", "/snapshot", {"symbol": symbol}))

    def events(self, after: int = 0, limit: int = 1000, snipe: str | None = None) -> list[RecordedEvent]:
        """Entries of the ledger above sequence number ``after``, oldest first, of one snipe or of all."""
        body = self._ask("GET", "/events", {"after": after, "limit": limit, "snipe": snipe})
        return [
            RecordedEvent(row["seq"], row["kind"], row["at_ns"], row["correlation"], row["body"])
            for row in body["events"]
        ]

    def health(self) -> Health:
        """Whether the daemon may trade, and why not."""
        body = self._ask("GET", "/health/ready", accept=(200, 503))
        checks = tuple(Check(row["name"], row["ok"], row["why"]) for row in body["checks"])
        return Health(bool(body["ready"]), checks)

    def preflight(self, symbol: str | None = None) -> PreflightReport:
        """Whether the venue would take an order of ours; with a symbol, of that pair. Nothing is traded."""
        return PreflightReport.of(self._ask("GET", "/preflight", {"symbol": symbol}, patience_s=60.0))

    def stream(self, symbol: str | None = None) -> Stream:
        """Pictures of the desk as they are made; see :class:`Stream`."""
        return Stream(self._find, symbol)

    # -- asking ----------------------------------------------------------------------------------

    def halt(self, why: str) -> Answer:
        """Enter nothing new from now on, and say why. Asking twice does no harm."""
        return self._command("/halt", {"why": why})

    def resume(self, why: str) -> Answer:
        """Lift the halt, and say why."""
        return self._command("/resume", {"why": why})

    def flatten(self, why: str) -> Answer:
        """Sell everything that is held, and say why."""
        return self._command("/flatten", {"why": why})

    def arm(self, snipe_id: str) -> Answer:
        """Allow this snipe to fire.

        Raises:
            DeskError: the daemon refuses; the sentence names every broken limit.
        """
        return self._command(f"/snipes/{quote(snipe_id, safe='')}/arm", {})

    def disarm(self, snipe_id: str) -> Answer:
        """Take that permission back."""
        return self._command(f"/snipes/{quote(snipe_id, safe='')}/disarm", {})

    def _command(self, path: str, body: Mapping[str, str]) -> Answer:
        said = self._ask("POST", path, body={**body, "by": self._by})
        return Answer(int(said["seq"]), bool(said["halted"]), str(said["message"]))

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
        patience_s: float | None = None,
    ) -> dict[str, Any]:
        address, timeout = self._find(), patience_s or self._http.timeout
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(
                method, address.url + path, params=asked, json=body, headers=address.authorization,
                timeout=timeout,
            )  # fmt: skip
        except httpx.TimeoutException:
            raise DaemonUnreachable(
                f"The daemon at {address.url} did not answer {method} {path} in time. It may have been "
                "carried out: look at the desk before asking again.",
                url=address.url, path=path,
            ) from None  # fmt: skip
        except (httpx.TransportError, httpx.InvalidURL) as lost:
            raise unreachable(address, lost) from None
        if response.status_code not in accept:
            raise _refusal(address, response)
        return _parsed(address, response)


def _parsed(address: Address, response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise DeskError(f"What answers at {address.url} is not a trading daemon of mexclab.", url=address.url)
    return body


def _refusal(address: Address, response: httpx.Response) -> DeskError:
    if response.status_code in (401, 403):
        return not_authorised(address)
    body = _parsed(address, response)
    error = str(body.get("error", f"HTTP {response.status_code}"))
    path = response.request.url.path
    sentence = body.get("message") or f"The daemon does not take {path}: {body.get('detail', error)}"
    return DeskError(str(sentence), error=error, status=response.status_code)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as nobody in particular
        return "desk"
