"""A desk in memory behind the daemon's own API: what a person asks of risk, without a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from mexclab.config import LimitSettings, ProtectionSettings
from mexclab.daemon import api
from mexclab.daemon.desk_station import DeskStation
from mexclab.daemon.risk_station import RiskStation
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.protection import Protection
from mexclab.runtime.clock import ManualClock
from mexclab.trading import safety
from mexclab.trading.engine import Rules
from mexclab.venues.simulator.scenario import Fate, listing_day_script
from tests.notebook.station import served
from tests.trading.conftest import START, Station, build

TOKEN = "a-token-that-nobody-may-see"
SEED = 7
RULES = Rules(
    limits=LimitSettings(stale_price_s=3600, clock_age_s=3600),
    protections=ProtectionSettings().rules(),
    account="paper",
)


@dataclass
class Door:
    """A station of the daemon (see ``mexclab.daemon.station``) on a desk in memory."""

    station: Station
    symbol: str  # whose snipe opens next

    @property
    def snipe_id(self) -> str:
        """The snipe that opens next."""
        snipes = self.station.engine.desk.snipes.values()
        return next(snipe.snipe_id for snipe in snipes if str(snipe.plan.symbol) == self.symbol)

    def __post_init__(self) -> None:
        self.token = TOKEN
        self.desk = DeskStation(self.station.engine, self.station.ledger)  # type: ignore[arg-type]
        self.risk = RiskStation(self.station.engine)

    def state(self) -> tuple[int, bool]:
        engine = self.station.engine
        return engine.seq, engine.desk.halt is not None

    async def act(self, name: str, by: str, why: str, snipe_id: str = "") -> str:
        assert name == "arm"
        return await safety.arm(self.station.engine, snipe_id, by)

    @property
    def app(self) -> Any:
        return api.build(self)  # type: ignore[arg-type]

    def client(self, token: str = TOKEN) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://desk", headers={"Authorization": f"Bearer {token}"}
        )


async def planned(tmp_path: Path, mode: str = "paper") -> Door:
    """A desk with one plain snipe that opens in three minutes."""
    rules = replace(RULES, mode=mode, account="main" if mode == "live" else "paper")
    scripts = sorted(listing_day_script(START // DAY, SEED), key=lambda each: each.opens_ns)
    script = next(each for each in scripts if each.fate is Fate.PLAIN)
    station = build(ManualClock(script.open_ns - 5 * MINUTE), SEED, rules, tmp_path / "venue")
    await station.start()
    await station.run(script.open_ns - 3 * MINUTE)
    return Door(station, str(script.symbol))


async def paused(door: Door, protection_id: str = "cooldown:x", until_ns: int | None = None) -> Protection:
    """Raise a pause of all entries by hand."""
    now = door.station.clock.now_ns()
    ends = now + HOUR if until_ns is None else until_ns
    pause = Protection(
        protection_id, "loss_streak", None, now, ends, "3", "3", HOUR, "the last 3 snipes lost"
    )
    await door.station.engine.record(e.ProtectionRaised(now, pause))
    return pause


@contextmanager
def found_in(data: Path, door: Door) -> Iterator[str]:
    """Serve the desk on loopback, and leave its address where commands look for it."""
    data.mkdir(exist_ok=True)
    with served(door.app) as url:
        mode = door.station.rules.mode
        (data / "daemon.json").write_text(json.dumps({"url": url, "pid": os.getpid(), "mode": mode}))
        (data / "daemon.token").write_text(TOKEN)
        yield url
