"""The live desk as one widget: what the daemon streams, drawn in the browser; what is clicked, asked of it.

The kernel is a relay. It connects when the view says that it is ready, never before: a preheated
dashboard does nothing to the outside world. One message per frame crosses to the browser, the
latest wins, and the next one waits for the view's acknowledgement (or one second). Commands
travel the other way, each in a thread of its own, so a halt never queues behind a chart.

Messages from the view: ``ready`` (symbol), ``ack``, ``beat``, ``symbol`` (symbol), ``view`` (view:
``desk`` or ``portfolio``), ``command`` (id, name, why, snipe_id, protection_id). To the view: ``frame``
(frame, lag_ms, desk), ``books`` (orders, more, snipes, why), ``portfolio`` (page, shares, curve, stress,
balances, why; while that view is shown), ``link`` (why, retry_ms), ``alive``, ``answer`` (id, ok, message,
halted), ``fault`` (text). Times cross in milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from mexclab.errors import ConfigError, MexclabError
from mexclab.notebook.desk import Answer, DeskClient, NotConnected, Snapshot
from mexclab.notebook.view import Message, View

ORDERS_SHOWN = 40
"""How many orders a view is told, open or over; the newest."""
POINTS_SHOWN = 600
"""How many points of the equity curve a view is told at most."""

Send: TypeAlias = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a view is told something, and how long a silent one is believed in; seconds.

    Attributes:
        frame_s: between two frames; more than five a second is not seen, and costs every kernel.
        ack_s: how long a frame waits for the view's acknowledgement before the next one goes out.
        alive_s: how long the view hears nothing at most.
        books_s: between two looks at orders that are over; only when the ledger has grown.
        portfolio_s: between two looks at the portfolio, while it is shown.
        balances_s: between two questions to the venue for balances, likewise; a fill asks at once.
        away_s: without a heartbeat for this long nothing is sent, so nothing piles up for a dead tab.
        leave_s: without a heartbeat for this long a kernel under Voila ends: nobody else would end it.
    """

    frame_s: float = 0.2
    ack_s: float = 1.0
    alive_s: float = 1.0
    books_s: float = 1.0
    portfolio_s: float = 2.0
    balances_s: float = 30.0
    away_s: float = 8.0
    leave_s: float = 30.0


def in_milliseconds(value: Any) -> Any:
    """The same object with every ``*_ns`` integer as ``*_ms``: JavaScript has no 64-bit integers."""
    if isinstance(value, dict):
        return dict(_in_milliseconds(name, part) for name, part in value.items())
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [in_milliseconds(part) for part in value]
    return value


def _in_milliseconds(name: str, value: Any) -> tuple[str, Any]:
    if not name.endswith("_ns"):
        return name, in_milliseconds(value)
    return name[:-3] + "_ms", None if value is None else value / 1e6


class Relay:
    """Between one view and the daemon, in a thread of its own, whatever else the kernel is doing.

    Args:
        client: who to ask.
        send: takes a message to the view; called from several threads.
        leave: called once when the view is gone for good; None where the kernel must stay.
        pace: how often, and how long.
    """

    def __init__(
        self, client: DeskClient, send: Send, leave: Callable[[], None] | None = None, pace: Pace = Pace()
    ) -> None:
        self._client = client
        self._pace = pace
        self._send = send
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = asyncio.Event()
        self._stream = client.stream()
        self._latest: Snapshot | NotConnected | None = None
        self._news = asyncio.Event()
        self._ack = asyncio.Event()
        self._beat_s = time.monotonic()
        self._told_seq: int | None = None  # the ledger's position at the last look at the books
        self._view = "desk"
        self._turned = asyncio.Event()  # another page is to be shown

    # -- from the view, on the kernel's thread ------------------------------------------------------

    def take(self, message: Message) -> None:
        """Take one message from the view. Returns at once."""
        self._beat_s = time.monotonic()
        kind, symbol = message.get("kind"), message.get("symbol") or None
        if kind == "command":
            threading.Thread(target=self._carry_out, args=(message,), daemon=True).start()
        elif kind == "ready":
            self._soon(self._show_symbol(symbol), self._running(symbol))
        elif self._loop is not None and kind == "view":
            self._soon(self._turn(str(message.get("view", "desk"))), self._loop)
        elif self._loop is not None and kind == "symbol":
            self._soon(self._show_symbol(symbol), self._loop)
        elif self._loop is not None and kind == "ack":
            self._loop.call_soon_threadsafe(self._ack.set)

    def close(self) -> None:
        """Stop relaying. The desk is not touched."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def _running(self, symbol: str | None) -> asyncio.AbstractEventLoop:
        """The relay's loop, started when it is first needed."""
        if self._loop is None:
            self._stream = self._client.stream(symbol)
            up = threading.Event()
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._run(up)), name="desk relay", daemon=True
            )
            self._thread.start()
            up.wait()
        assert self._loop is not None
        return self._loop

    def _soon(self, work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).add_done_callback(self._tell_fault)

    def _carry_out(self, message: Message) -> None:
        about = {"kind": "answer", "id": message.get("id")}
        try:
            answer = command(self._client, message)
        except MexclabError as refused:
            self._send({**about, "ok": False, "message": refused.message})
        else:
            self._send({**about, "ok": True, **answer})

    # -- to the view, on the relay's thread -----------------------------------------------------------

    async def _run(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        up.set()
        tasks = [asyncio.create_task(work) for work in self._works()]
        for task in tasks:
            task.add_done_callback(self._tell_fault)
        await self._closing.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self._follow(), self._show(), self._keep_books(), self._keep_portfolio(), self._watch()

    async def _turn(self, view: str) -> None:
        self._view = view
        self._turned.set()

    def _tell_fault(self, done: Any) -> None:
        """An exception in a task would vanish: show it on the page."""
        if not done.cancelled() and (fault := done.exception()) is not None:
            self._send({"kind": "fault", "text": f"{type(fault).__name__}: {fault}"})

    async def _show_symbol(self, symbol: str | None) -> None:
        await self._stream.switch(symbol)
        self._told_seq = None
        self._news.set()  # a second view, or one that was reloaded, is shown the latest at once

    async def _follow(self) -> None:
        async with contextlib.aclosing(aiter(self._stream)) as pictures:
            async for picture in pictures:
                self._latest = picture
                self._news.set()

    async def _show(self) -> None:
        pace = self._pace
        while True:
            await _within(pace.alive_s, self._news)
            if time.monotonic() - self._beat_s > pace.away_s:
                await asyncio.sleep(pace.alive_s)
                continue
            started_s = time.monotonic()
            picture = self._latest if self._news.is_set() else None
            self._news.clear()
            self._ack.clear()
            self._send(as_message(picture))
            if isinstance(picture, Snapshot):
                await _within(pace.ack_s, self._ack)
            await asyncio.sleep(max(0.0, started_s + pace.frame_s - time.monotonic()))

    async def _keep_books(self) -> None:
        """Orders that are over are in no picture: ask for them when the ledger has grown."""
        pace = self._pace
        while True:
            await asyncio.sleep(pace.books_s)
            seq = self._latest.body.get("seq") if isinstance(self._latest, Snapshot) else None
            if seq in (None, self._told_seq) or time.monotonic() - self._beat_s > pace.away_s:
                continue
            self._told_seq = seq
            self._send(await asyncio.to_thread(books, self._client))

    async def _keep_portfolio(self) -> None:
        """The portfolio takes a walk through the ledger: asked for only while somebody looks at it."""
        pace, balances_s, asked_of = self._pace, -self._pace.balances_s, ""
        while True:
            await _within(pace.portfolio_s, self._turned)
            self._turned.clear()
            now_s = time.monotonic()
            if self._view != "portfolio" or now_s - self._beat_s > pace.away_s:
                continue
            with_balances = now_s - balances_s >= pace.balances_s
            if with_balances:
                balances_s = now_s
            told = await asyncio.to_thread(portfolio, self._client, with_balances=with_balances)
            self._send(told)
            if with_balances:
                asked_of = holdings(told)
            elif holdings(told) not in ("", asked_of):  # a fill came: the answer is of another ledger
                balances_s = -pace.balances_s

    async def _watch(self) -> None:
        while self._leave is not None:
            await asyncio.sleep(self._pace.leave_s / 30)
            if time.monotonic() - self._beat_s > self._pace.leave_s:
                self._leave()
                return


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def as_message(picture: Snapshot | NotConnected | None) -> dict[str, Any]:
    """A picture as the view takes it; None says only that the kernel lives."""
    if picture is None:
        return {"kind": "alive"}
    if isinstance(picture, NotConnected):
        return {"kind": "link", "why": picture.why, "retry_ms": picture.retry_s * 1e3}
    lag_ms = max(0.0, (time.time_ns() - picture.body["wall_ns"]) / 1e6)
    return {"kind": "frame", "frame": picture.frame, "lag_ms": lag_ms, "desk": in_milliseconds(picture.body)}


def books(client: DeskClient) -> dict[str, Any]:
    """The newest orders and the live snipes as the view takes them, or why they could not be read."""
    try:
        page, live = client.orders(limit=ORDERS_SHOWN), client.snipes(state="live")
    except MexclabError as refused:
        return {"kind": "books", "orders": [], "more": False, "snipes": [], "why": refused.message}
    told = {"orders": page["orders"], "more": page["more"], "snipes": live["snipes"]}
    return {"kind": "books", **in_milliseconds(told), "why": ""}


def portfolio(client: DeskClient, *, with_balances: bool) -> dict[str, Any]:
    """The portfolio as the view takes it; what could not be read is left out, and why stands beside it."""
    wanted: dict[str, Callable[[], dict[str, Any]]] = {
        "page": client.portfolio.page,
        "shares": client.portfolio.attribution,
        "curve": partial(client.portfolio.curve, points=POINTS_SHOWN),
        "stress": client.portfolio.stress,
    }
    if with_balances:
        wanted["balances"] = client.portfolio.balances
    told: dict[str, Any] = {"kind": "portfolio", "why": ""}
    for name, ask in wanted.items():
        try:
            told[name] = in_milliseconds(ask())
        except MexclabError as refused:
            told["why"] = refused.message
    return told


def holdings(told: Message) -> str:
    """What the ledger holds by a portfolio message; it changes with every fill. Empty: it was not told."""
    page = told.get("page")
    if page is None:
        return ""
    return repr([page["cash"], *((each["symbol"], each["quantity"]) for each in page["positions"])])


def command(client: DeskClient, message: Message) -> dict[str, Any]:
    """Ask the daemon for what the view asked for: the sentence it answers, and whether it is halted.

    Raises:
        DeskError: the daemon refuses, or cannot be reached; also for a command that nobody knows.
    """
    why, snipe_id = str(message.get("why", "")), str(message.get("snipe_id", ""))
    asked: dict[str, Callable[[], Answer]] = {
        "halt": partial(client.halt, why),
        "resume": partial(client.resume, why),
        "flatten": partial(client.flatten, why),
        "sweep": partial(client.sweep, why),
        "arm": partial(client.arm, snipe_id),
        "disarm": partial(client.disarm, snipe_id),
        "release": partial(client.risk.release, str(message.get("protection_id", "")), why),
    }
    name = str(message.get("name"))
    if name == "reconcile":
        return {"message": _compared(client.reconcile())}
    if name not in asked:
        known = ", ".join([*asked, "reconcile"])
        raise ConfigError(f"The desk has no command {name!r}; it has {known}.", name=name)
    answer = asked[name]()
    return {"message": answer.message, "halted": answer.halted}


def _compared(page: Message) -> str:
    """What a comparison of the ledger with the venue found, in a sentence."""
    last = page["last"]
    if last is None:
        return "the ledger and the venue have not been compared yet"
    found = f"{last['orders_asked']} orders asked, {last['fills_found']} missed fills found"
    if last["differences"]:
        return f"compared: {'; '.join(last['differences'])} ({found})"
    left = last["unknown_left"]
    return f"compared: {f'{left} open questions' if left else 'ledger and venue agree'}; {found}"


class DeskPanel(View):
    """The live desk. Show it as the last value of a cell.

    Args:
        symbol: whose chart to show first; empty: the daemon chooses. A ``?symbol=`` in the page's
            address wins.
        data: the daemon's data folder; None: the one of the settings.

    Raises:
        ConfigError: the front end has not been built.
    """

    def __init__(self, symbol: str = "", data: Path | None = None) -> None:
        super().__init__("panel", symbol=symbol)
        self._relay = Relay(DeskClient.on(data), self.send, self.leave)
        self.listen(self._relay.take)
