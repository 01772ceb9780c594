"""A desk in memory that bought at an opening and holds it, behind the daemon's own API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from mexclab.config import LimitSettings
from mexclab.daemon import api
from mexclab.daemon.portfolio_station import PortfolioStation
from mexclab.daemon.snapshot import Check
from mexclab.domain.clock import DAY, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.reports import Balances
from mexclab.errors import VenueUnavailable
from mexclab.runtime.clock import ManualClock
from mexclab.trading.engine import Rules
from mexclab.venues.simulator.scenario import Fate, listing_day_script
from tests.trading.conftest import START, Station, build

TOKEN = "a-token-that-nobody-may-see"
SEED = 7


@dataclass
class Door:
    """The API of a desk in memory that bought at an opening and holds what it bought."""

    station: Station
    token: str = TOKEN

    def __post_init__(self) -> None:
        self.portfolio = PortfolioStation(self.station.engine, self.station.ledger)

    @property
    def desk(self) -> Desk:
        return self.station.engine.desk

    @property
    def seq(self) -> int:
        return self.station.engine.seq

    def checks(self) -> list[Check]:
        return [Check("ledger", True, "in memory")]

    @property
    def app(self) -> Any:
        return api.build(self)  # type: ignore[arg-type]

    def deal_with(self, **parts: Any) -> None:
        """Let the desk ask somebody else from now on."""
        self.station.engine.parts = replace(self.station.engine.parts, **parts)

    async def get(self, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
        """One answer of the API."""
        transport = httpx.ASGITransport(self.app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers) as client:
            answer = await client.get(path, params=query)
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def refused(self, path: str, **query: Any) -> str:
        told = await self.get(path, 422, **query)
        assert set(told) == {"error", "message"}
        return str(told["message"])


async def holding(tmp_path: Path) -> Door:
    """A desk two seconds after the opening that it bought at."""
    scripts = sorted(listing_day_script(START // DAY, SEED), key=lambda each: each.opens_ns)
    script = next(each for each in scripts if each.fate is Fate.PLAIN)
    limits = LimitSettings(stale_price_s=3600, clock_age_s=3600)
    rules = Rules(limits=limits, auto_arm=True, mode="paper", account="paper")
    station = build(ManualClock(script.open_ns - 5 * MINUTE), SEED, rules, tmp_path / "venue")
    await station.start()
    await station.run(script.open_ns + 2 * SECOND)
    assert station.engine.desk.portfolio.held
    return Door(station)


@dataclass(frozen=True)
class Teller:
    """A venue that only knows balances; None: it does not answer."""

    known: Balances | None

    async def balances(self) -> Balances:
        if self.known is None:
            raise VenueUnavailable("the venue does not answer")
        return self.known
