"""The daemon as a process: start, serve, run, stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from mexclab.bootstrap import Assembly, data_folder
from mexclab.config import Settings
from mexclab.daemon import api
from mexclab.daemon.chart import Chart
from mexclab.daemon.delivery import Delivery
from mexclab.daemon.desk_station import DeskStation
from mexclab.daemon.early_door import EarlyDoor
from mexclab.daemon.halt_file import HaltFile
from mexclab.daemon.playing import play
from mexclab.daemon.portfolio_station import PortfolioStation
from mexclab.daemon.requests import Answer
from mexclab.daemon.risk_station import RiskStation
from mexclab.daemon.snapshot import Check, View, snapshot
from mexclab.daemon.tape import Tape
from mexclab.domain import events as e
from mexclab.domain.clock import span
from mexclab.domain.desk import Desk
from mexclab.domain.market import Symbol
from mexclab.errors import ConfigError, DeskError, LedgerError, ParameterError, PortInUse
from mexclab.runtime.trace import Farewell, forget_farewell, leave_farewell
from mexclab.trading import permits, recovery, safety, stopping
from mexclab.trading.risk import clock_breaches
from mexclab.venues.mexc.preflight_report import PreflightReport

LEDGER_LAG_S = 2.0
LAST_SNAPSHOT_EVENTS = 2_000
Hook = Callable[[], Awaitable[None]]
log = structlog.get_logger("mexclab.daemon")


class Daemon:
    """One desk, its API, and the files by which clients find it (``station.Station``)."""

    def __init__(self, settings: Settings, assembly: Assembly) -> None:
        self.settings = settings
        self.assembly = assembly
        self.engine = assembly.engine
        self.chart = Chart()
        self.tape = Tape(self.engine.desk)
        self.desk = DeskStation(self.engine, assembly.ledger)
        self.risk = RiskStation(self.engine)
        self.portfolio = PortfolioStation(self.engine, assembly.ledger)
        self.token = ""
        self.url = ""
        self.failed = ""
        self._news = 0
        self._started_ns = time.time_ns()
        self._played = self._recovered = False
        self._settled = asyncio.Event()  # it has recovered, or never will
        self.halt_file = HaltFile(settings.data / settings.halt.file, self.engine)
        identity = assembly.identity
        self._view = View(self.engine, self.chart, self.tape, identity.mode, identity.venue, identity.version)

    # -- running ---------------------------------------------------------------------------------

    async def run(
        self, until_ns: int | None = None, ready: Hook | None = None, after: Hook | None = None
    ) -> None:
        """Recover, serve the API, trade until ``until_ns`` or a signal to stop.

        Args:
            ready: called once the API answers, before the first decision.
            after: called when ``until_ns`` is reached, while the API still answers.

        Raises:
            PortInUse: another process listens on the API's port.
            LedgerError: the ledger failed; nothing may trade without it.
        """
        folder = data_folder(self.settings)
        listener = listen(self.settings.api.host, self.settings.api.port)
        try:
            self.token = make_token(folder / "daemon.token")
            self.url = f"http://{self.settings.api.host}:{listener.getsockname()[1]}"
            self._door = EarlyDoor(self.token, self._halt_early)
            self.assembly.bus.subscribe(self._take)
            self.assembly.post.start()
            await self._serve(listener, self._live(until_ns, ready, after))
        finally:
            listener.close()
            await self.assembly.venue.stop()
            with contextlib.suppress(FileNotFoundError):
                (folder / "daemon.json").unlink()

    async def _live(self, until_ns: int | None, ready: Hook | None, after: Hook | None) -> None:
        """Recover behind a door that takes a halt alone; then open it, and trade."""
        try:
            await self._recover()
            self._recovered = True
        finally:
            self._settled.set()
        self._door.open(api.build(self))
        # whoever finds this file may call
        _write(data_folder(self.settings) / "daemon.json", self._address())
        forget_farewell(self.settings.data)
        delivery = Delivery(self.assembly.post, self.engine)
        beside = [asyncio.create_task(each) for each in (self.halt_file.watch(), delivery.watch())]
        beside += self._fed()
        try:
            await self._trade(until_ns, ready, after)
        finally:
            for task in beside:
                task.cancel()

    def _fed(self) -> list[asyncio.Task[None]]:
        """Who feeds the patterns that live on bars, if there are any and the settings ask for it."""
        patterns = self.assembly.bar_patterns
        if not patterns or self.assembly.is_stepped:
            return []
        from mexclab.daemon.bar_feed import BarFeed  # most desks need no lake
        from mexclab.store.lake import Lake

        feed = BarFeed(Lake(self.settings.data / "lake"), patterns, self.engine)
        return [asyncio.create_task(feed.run())]

    async def _recover(self) -> None:
        await self.assembly.venue.start()
        account = await self._green_or_held() if self.assembly.identity.mode == permits.LIVE else None
        if account is not None and not account.is_green:
            why = f"started to get out of what is held: {'; '.join(account.reasons)}"
            safety.halt_early(self.engine, "preflight", why)
        self.halt_file.before_recovery()
        gc.disable()  # a history is no garbage; searching it while it grows takes longer than folding
        try:
            report = await recovery.start(self.engine, self.assembly.identity)
        finally:
            gc.freeze()  # nor is it to be searched later, beside a shot
            gc.enable()
        if account is not None:
            await permits.check_account(self.engine, account)
            self.engine.questions.inspect = self._inspect
        if self.engine.early_halt is not None and self.engine.desk.halt is None:  # asked for meanwhile
            await safety.halt(self.engine, *self.engine.early_halt)
        log.info("recovered", seq=self.engine.seq, orders=report.orders_asked, fills=report.fills_found)

    async def _halt_early(self, by: str, why: str) -> Answer:
        """A halt that is asked for while the desk starts.

        Raises:
            DeskError: it did not start after all.
        """
        safety.halt_early(self.engine, by, why)
        await self._settled.wait()
        if not self._recovered:
            raise DeskError("the desk did not start, so nothing trades; the halt was not written down")
        halt = self.engine.desk.halt
        message = "halted while it started, before it decided anything; exits go on"
        if halt is None or (halt.by, halt.why) != (by, why):
            message = await safety.halt(self.engine, by, why)
        return Answer(seq=self.engine.seq, halted=True, message=message)

    async def _green_or_held(self) -> PreflightReport:
        """The preflight of the account.

        A desk that holds something must come back to get out of it: it starts, and enters nothing.

        Raises:
            ConfigError: it is not green and there is nothing to get out of; every reason is named.
        """
        report = await self.assembly.venue.preflight(None, self.assembly.good_enough)
        if report.is_green:
            return report
        desk, ledger = Desk(), self.assembly.ledger
        for _, event in ledger.read(ledger.recall(desk)):
            desk.fold(event)
        if not desk.portfolio.held and next(desk.open_orders(), None) is None:
            raise ConfigError(f"live trading does not start: {'; '.join(report.reasons)}")
        return report

    async def _serve(self, listener: socket.socket, work: Coroutine[Any, Any, None]) -> None:
        config = uvicorn.Config(
            self._door, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        # uvicorn's own entrance would put its signal handlers over ours
        serving = asyncio.create_task(server._serve([listener]))
        trading = asyncio.create_task(work)
        loop = asyncio.get_running_loop()
        asked: list[str] = []
        winding: list[asyncio.Task[None]] = []
        doorless = False

        def stop(name: str) -> None:
            asked.append(name)
            # there is nothing to wind down, or no time for it
            if self._played or not self._recovered or len(asked) > 1:
                trading.cancel()
                return
            winding.append(asyncio.create_task(stopping.stop(self.engine, f"asked to by {name}")))
            loop.call_later(self.settings.orders.stop_within_s, trading.cancel)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, signal.Signals(number).name)
        try:
            # a desk whose door is gone could not be halted any more: it stops instead
            await asyncio.wait((trading, serving), return_when=asyncio.FIRST_COMPLETED)
            if not trading.done():
                doorless = True
                trading.cancel()
            await trading
            why = f"asked to by {asked[0]}" if asked else "the time was up"
        except asyncio.CancelledError:
            why = "the API server ended" if doorless else f"asked to by {asked[0]}" if asked else "cancelled"
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            for task in (trading, *winding):
                task.cancel()
            await asyncio.gather(*winding, return_exceptions=True)
            server.should_exit = True
            await serving
        if self._recovered:
            with contextlib.suppress(LedgerError):
                await self.engine.record(e.DaemonStopped(self.engine.parts.clock.now_ns(), why))
                if not doorless:
                    leave_farewell(self.settings.data, Farewell(self._started_ns, time.time_ns(), why))
                recovery.keep_snapshot(self.engine, after=LAST_SNAPSHOT_EVENTS)
        if doorless:
            raise DeskError("the API server ended, so the desk stopped: nobody could have halted it")
        if asked:
            raise KeyboardInterrupt

    async def _trade(self, until_ns: int | None, ready: Hook | None, after: Hook | None) -> None:
        if ready is not None:
            await ready()
        try:
            await play(self.assembly, until_ns, self._watch)
            self._played = True
            if after is not None and not self.engine.stopping:
                await after()
        except LedgerError as error:
            self.failed = error.message
            raise

    def _watch(self, happenings: Any) -> None:
        self.chart.take(happenings)
        self._news += 1

    def _take(self, seq: int, event: e.Event) -> None:
        self.tape.take(seq, event)
        self._news += 1
        correlation = e.correlation(event)
        log.info(
            type(event).__name__,
            seq=seq,
            at_ns=event.at_ns,
            **({"correlation": correlation} if correlation else {}),
        )

    def _address(self) -> str:
        mode = self.assembly.identity.mode
        return json.dumps({"url": self.url, "pid": os.getpid(), "mode": mode, "started_ns": self._started_ns})

    # -- what the API asks -----------------------------------------------------------------------

    def checks(self) -> list[Check]:
        engine, limits = self.engine, self.engine.rules.limits
        now = engine.parts.clock.now_ns()
        lag = self.assembly.ledger.lag_s()
        lag_words = f"last entry {engine.seq}, oldest waiting {lag:.1f} s"
        reading, radar = engine.clock_reading, engine.parts.radar
        wrong = "; ".join(breach.why for breach in clock_breaches(reading, limits, now))
        age = span(now - reading.measured_ns) if reading else ""
        clock_words = f"offset {span(reading.offset_ns)}, measured {age} ago" if reading else "never measured"
        unknown, waiting = engine.desk.unknown_orders(), self.assembly.post.troubles()
        halt = engine.desk.halt
        return [
            Check("ledger", not self.failed and lag < LEDGER_LAG_S, self.failed or lag_words),
            Check("venue clock", not wrong, wrong or clock_words),
            Check(
                "listings",
                not radar.problem and radar.polled_ns is not None,
                radar.problem or self._polled(now),
            ),
            Check("orders", not unknown, f"{len(unknown)} of unknown fate" if unknown else "all known"),
            Check("entries", halt is None, f"halted by {halt.by}: {halt.why}" if halt else "allowed"),
            *(Check(each.name, each.ok, each.why) for each in self.assembly.venue.condition()),
            *(Check("alerts", ok=False, why=why, blocks=False) for why in waiting.values()),
        ]

    def _polled(self, now: int) -> str:
        polled = self.engine.parts.radar.polled_ns
        return f"asked {span(now - polled)} ago" if polled is not None else "not asked yet"

    def picture(self, frame: int, symbol: Symbol | None) -> dict[str, Any]:
        return snapshot(self._view, self.checks(), self.assembly.speed(), frame, symbol)

    def events(self, after: int, limit: int, snipe_id: str) -> list[dict[str, Any]]:
        rows = self.assembly.ledger.rows(after, limit, snipe_id or None)
        return [
            {
                "seq": r.seq,
                "kind": r.kind,
                "at_ns": r.at_ns,
                "correlation": r.correlation,
                "body": json.loads(r.body),
            }
            for r in rows
        ]

    def state(self) -> tuple[int, bool]:
        return self.engine.seq, self.engine.desk.halt is not None

    def news(self) -> int:
        return self._news

    async def preflight(self, symbol: Symbol | None) -> dict[str, Any]:
        report = await self.assembly.venue.preflight(symbol, self.assembly.good_enough)
        if symbol is None and self.engine.rules.mode == permits.LIVE:
            await permits.check_account(self.engine, report)
        return report.to_dict()

    async def _inspect(self) -> None:
        await self.preflight(None)

    async def act(self, name: str, by: str, why: str, snipe_id: str = "") -> str:
        match name:
            case "halt":
                return await safety.halt(self.engine, by, why)
            case "resume":
                self.halt_file.refuse_resume()
                return await safety.resume(self.engine, by, why)
            case "flatten":
                return await safety.flatten(self.engine, by, why)
            case "arm":
                return await safety.arm(self.engine, snipe_id, by)
            case "disarm":
                return await safety.disarm(self.engine, snipe_id, by)
        raise ParameterError(f"there is no act {name!r}")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortInUse: somebody else listens there.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise ConfigError(
                f"{host}:{port} cannot be listened on: {error.strerror}; set MEXCLAB_API__HOST"
            ) from error
        raise PortInUse(
            f"{host}:{port} is in use by another process; stop it, or choose another port "
            "with MEXCLAB_API__PORT (0 takes any free one)",
            port=port,
        ) from error
    listener.listen(128)
    return listener


def make_token(path: Path) -> str:
    """The API's token: made at the first start, readable by its owner only, kept afterwards."""
    known = path.read_text().strip() if path.exists() else ""
    if known:
        path.chmod(0o600)
        return known
    token = secrets.token_urlsafe(32)
    _write(path, token + "\n")
    return token


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
