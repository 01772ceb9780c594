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
from mexclab.notebook.asked import order_state, reason_in
from mexclab.notebook.halt_instead import file_instead, is_unheard
from mexclab.notebook.portfolio_client import PortfolioClient
from mexclab.notebook.risk_client import RiskClient
from mexclab.notebook.stream import NotConnected, Snapshot, Stream
from mexclab.runtime.halt_file import NO_REASON
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

LONG_S = 60.0  # for answers that the venue or a long history has to be asked for


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
    """What the daemon did about a command: the ledger's position, the halt, a sentence, and its mode."""

    seq: int
    halted: bool
    message: str
    mode: str = ""  # demo, paper or live; empty: not known


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
        folder: the data folder, where the halt file is left when a halt is not answered; None: nowhere.
    """

    def __init__(
        self, find: Find, *, by: str | None = None, deadline_s: float = 5.0, folder: Path | None = None
    ) -> None:
        self._find = find
        self._folder = folder
        self._by = _user() if by is None else by
        # A proxy of the machine must never see the token of a daemon on loopback.
        self._http = httpx.Client(timeout=deadline_s, trust_env=False)

    @classmethod
    def discover(cls, data: Path | None = None) -> DeskClient:
        """The client of the daemon that runs on ``data``, or on the data folder of the settings.

        Raises:
            DaemonUnreachable: no daemon left its address there.
        """
        client = cls.on(data)
        client._find()
        return client

    @classmethod
    def on(cls, data: Path | None = None) -> DeskClient:
        """The client of whichever daemon runs on that folder when it is asked; none may run yet."""
        folder = data_folder() if data is None else Path(data)
        return cls(partial(address_in, folder), folder=folder)

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

    @property
    def mode(self) -> str:
        """``demo``, ``paper`` or ``live``, as the daemon said when it started; empty: it did not say.

        Raises:
            DaemonUnreachable: no daemon left its address.
        """
        return self._find().mode

    @property
    def risk(self) -> RiskClient:
        """Limits, pauses and permits: ``desk.risk.page()``, ``desk.risk.check(symbol="BTCUSDT")``."""
        return RiskClient(self._ask, self._command)

    @property
    def portfolio(self) -> PortfolioClient:
        """What is held and earned, now or earlier: ``desk.portfolio.page()``, ``desk.portfolio.stress()``."""
        return PortfolioClient(self._ask)

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
        return PreflightReport.of(self._ask("GET", "/preflight", {"symbol": symbol}, patience_s=LONG_S))

    def orders(
        self, *, state: str = "all", snipe: str | None = None, symbol: str | None = None, limit: int = 100
    ) -> dict[str, Any]:
        """Orders, the newest first: ``orders``, ``more``, ``external`` (those of others) and ``disputed``.

        Args:
            state: ``open``, ``unknown``, ``all``, or a state such as ``FILLED``; ParameterError otherwise.
        """
        query = {"state": order_state(state), "snipe": snipe, "symbol": symbol, "limit": limit}
        return self._ask("GET", "/orders", query)

    def order(self, client_id: str) -> dict[str, Any]:
        """One order: ``order``, its ``fills``, and its ``history`` in the ledger.

        Raises:
            DeskError: there is none of that id.
        """
        return self._ask("GET", f"/orders/{quote(client_id, safe='')}")

    def snipes(self, *, state: str = "all", limit: int = 100) -> dict[str, Any]:
        """Snipes (``live``, ``over`` or ``all``), the one that opens last first: ``snipes``, ``more``."""
        return self._ask("GET", "/snipes", {"state": state, "limit": limit})

    def snipe(self, snipe_id: str) -> dict[str, Any]:
        """One snipe: plan and exit plan, stop in force, checks, orders, post-mortem, history.

        Raises:
            DeskError: there is none of that id.
        """
        return self._ask("GET", _of(snipe_id), patience_s=LONG_S)

    def positions(self) -> dict[str, Any]:
        """``positions``: what is held and what it is worth; ``remainders``: what is too little to sell."""
        return self._ask("GET", "/positions", patience_s=LONG_S)

    def reconciliation(self) -> dict[str, Any]:
        """What the last comparison of the ledger with the venue found, and what is open now."""
        return self._ask("GET", "/reconciliation")

    def post_mortems(self, *, limit: int = 50) -> dict[str, Any]:
        """What became of each snipe that fired or is over: ``post_mortems``, ``more``."""
        return self._ask("GET", "/post-mortems", {"limit": limit}, patience_s=LONG_S)

    def post_mortem(self, snipe_id: str) -> dict[str, Any]:
        """What became of one snipe: phases, prices, money.

        Raises:
            DeskError: there is none of that id.
        """
        return self._ask("GET", f"/post-mortems/{quote(snipe_id, safe='')}", patience_s=LONG_S)

    def strategy(self) -> dict[str, Any]:
        """The strategy in force: name, parameters, ranges, and who set it when."""
        return self._ask("GET", "/strategy")

    def stream(self, symbol: str | None = None) -> Stream:
        """Pictures of the desk as they are made; see :class:`Stream`."""
        return Stream(self._find, symbol)

    # -- asking ----------------------------------------------------------------------------------

    def halt(self, why: str = "") -> Answer:
        """Enter nothing new from now on; the reason may wait. Asking twice does no harm.

        Raises:
            DeskError: nobody answered, or the desk could not write it down: the halt file was left instead.
        """
        why = why.strip() or NO_REASON
        try:
            return self._command("/halt", {"why": why})
        except DeskError as lost:
            if self._folder is None or not is_unheard(lost):
                raise
            raise file_instead(self._folder, self._by, why, lost) from None

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
        return self._command(_of(snipe_id, "arm"), {})

    def disarm(self, snipe_id: str) -> Answer:
        """Take that permission back."""
        return self._command(_of(snipe_id, "disarm"), {})

    def abort(self, snipe_id: str, why: str) -> Answer:
        """Give a snipe up that has bought nothing yet, and say why.

        Raises:
            DeskError: there is no such snipe, or it is past that; the sentence names both states.
        """
        return self._command(_of(snipe_id, "abort"), {"why": why})

    def flatten_snipe(self, snipe_id: str, why: str) -> Answer:
        """Sell what this snipe holds, in bounded orders, and say why."""
        return self._command(_of(snipe_id, "flatten"), {"why": why})

    def replace_exit(self, snipe_id: str, why: str, **wish: str | int) -> Answer:
        """Give a snipe another exit plan, and say why; what is not named stays as it is.

        Args:
            wish: any of ``preset``, ``ladder`` (GAIN:SHARE in percent), ``stop_loss``, ``trailing``,
                ``break_even_after`` (fractions, as text) and ``time_stop_s``.

        Raises:
            DeskError: that makes no exit plan, or the snipe is past it.
        """
        return self._command(_of(snipe_id, "exit"), {**wish, "why": why})

    def sweep(self, why: str) -> Answer:
        """Sell what was left over where it has become large enough, and say why."""
        return self._command("/sweep", {"why": why})

    def reconcile(self) -> dict[str, Any]:
        """Compare the ledger with the venue now; what that found, as ``reconciliation`` gives it.

        Raises:
            DeskError: the venue does not answer.
        """
        return self._ask("POST", "/reconcile", patience_s=LONG_S)

    def accept(self, symbol: str, why: str) -> Answer:
        """Accept that what the venue lacks of ``symbol`` is gone, and say why: it is written off at its cost.

        Raises:
            DeskError: there is no such difference, it is another than was seen, or orders of it are open.
        """
        wish = {"symbol": symbol, "why": why}
        return self._command("/reconcile/accept", wish, patience_s=LONG_S)

    def keep_rehearsal(self, told: Mapping[str, Any]) -> Answer:
        """Let the desk keep how a rehearsal of the emergency went (``mexclab rehearse``)."""
        return self._command("/rehearsals", told)

    def tune(self, parameters: Mapping[str, Any], why: str, *, strategy: str = "") -> Answer:
        """Put other parameters in force for plans from now on, and say why.

        Raises:
            DeskError: names every parameter that cannot be used; nothing was changed.
        """
        wish = {"parameters": dict(parameters), "strategy": strategy, "why": why}
        return self._command("/strategy", wish)

    def reset_strategy(self, why: str) -> Answer:
        """Give the strategy back to the settings, and say why."""
        return self._command("/strategy/reset", {"why": why})

    def _command(self, path: str, body: Mapping[str, Any], patience_s: float | None = None) -> Answer:
        reason_in(body)
        said = self._ask("POST", path, body={**body, "by": self._by}, patience_s=patience_s)
        return Answer(int(said["seq"]), bool(said["halted"]), str(said["message"]), self.mode)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
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


def _of(snipe_id: str, act: str = "") -> str:
    path = f"/snipes/{quote(snipe_id, safe='')}"
    return f"{path}/{act}" if act else path


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
