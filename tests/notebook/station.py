"""A station that was only told what to say, behind the daemon's own API, served on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from mexclab.daemon.row_types import OrderPage, ReconciledRow, ReconciliationPage, SnipePage, SnipeRow
from mexclab.daemon.snapshot import Check
from mexclab.domain.market import Symbol
from mexclab.errors import RiskRefused

TOKEN = "a-token-that-nobody-may-see"


@dataclass
class Books:
    """A desk that knows every snipe it is asked about, and has the orders that it was told."""

    page: OrderPage = field(default_factory=lambda: OrderPage([], False, [], []))
    live: list[SnipeRow] = field(default_factory=list)
    last: ReconciledRow | None = None
    compared: int = 0

    def knows(self, snipe_id: str) -> bool:
        return bool(snipe_id)

    async def orders(self, wish: object) -> OrderPage:
        return self.page

    async def snipes(self, state: str, limit: int) -> SnipePage:
        return SnipePage(self.live, False)

    async def reconcile(self) -> ReconciliationPage:
        self.compared += 1
        return ReconciliationPage(self.last, [], self.page.disputed, self.page.external)


@dataclass
class Desk:
    """A station (see ``mexclab.daemon.station``) with nothing behind it but what it was told."""

    token: str = TOKEN
    ready: bool = True
    slow_s: float = 0.0
    halted: bool = False
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    pictures: int = 0
    seq: int = 7
    wall_ns: int | None = 1
    desk: Books = field(default_factory=Books)

    def checks(self) -> list[Check]:
        return [Check("ledger", True, "last append 3 ms"), Check("clock", self.ready, "12 ms off")]

    def picture(self, frame: int, symbol: Symbol | None) -> dict[str, Any]:
        self.pictures += 1
        shown = {"symbol": str(symbol) if symbol else "FIRSTUSDT", "candles": [[1, 1.0, 1.0, 1.0, 1.0, 1.0]]}
        halt = {"at_ns": 5, "by": "alice", "why": "looks odd"} if self.halted else None
        times = {"at_ns": 1_779_278_400_000_000_000, "wall_ns": self.wall_ns and time.time_ns()}
        return {
            "frame": frame,
            "seq": self.seq,
            "mode": "demo",
            "halt": halt,
            "listings": [],
            "positions": [],
            "chart": shown,
        } | times

    def events(self, after: int, limit: int, snipe_id: str) -> list[dict[str, Any]]:
        return [
            {"seq": seq, "kind": "Halted", "at_ns": seq, "correlation": snipe_id, "body": {"why": "x"}}
            for seq in range(after + 1, after + 1 + min(limit, 3))
        ]

    def state(self) -> tuple[int, bool]:
        return self.seq, self.halted

    def news(self) -> int:
        return time.monotonic_ns()

    async def act(self, name: str, by: str, why: str, snipe_id: str = "") -> str:
        await asyncio.sleep(self.slow_s)
        self.asked.append((name, by, why, snipe_id))
        if name == "arm":
            raise RiskRefused("open snipes would be 4, the limit is 3")
        self.halted = name == "halt"
        return f"{name} done"


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """The address at which ``app`` answers."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run([listener]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
